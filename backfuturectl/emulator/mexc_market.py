"""MEXC's public spot data: time, markets, tickers, book, trades, candles.

Source: the exchange's spot API v3, "Market Data Endpoints".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from backfuturectl.emulator.dialect import Call, Reply, Route
from backfuturectl.emulator.mexc_values import (
    DAY_MS,
    Symbols,
    decimals_of,
    number_text,
    symbol_id_of,
)
from backfuturectl.emulator.mexc_wire import missing_parameter, spot_error
from backfuturectl.matching.values import Listing, Quote, VenueFill
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import Side

_MINUTE_MS: Final = 60_000
_INTERVALS_MS: Final = {
    "1m": _MINUTE_MS,
    "5m": 5 * _MINUTE_MS,
    "15m": 15 * _MINUTE_MS,
    "30m": 30 * _MINUTE_MS,
    "60m": 60 * _MINUTE_MS,
    "4h": 240 * _MINUTE_MS,
    "1d": DAY_MS,
    "1W": 7 * DAY_MS,
    "1M": 30 * DAY_MS,
}
_CANDLES_MAX: Final = 1000
_TRADES_MAX: Final = 1000
_DEPTH_DEFAULT: Final = 100
_DEPTH_MAX: Final = 5000
_BOOK_LEVELS: Final = 20
_COST_MAX: Final = "4000000"
_LEVEL_QUOTE: Final = Decimal(100_000)  # worth of each made-up level where depth is endless


_DAY_FRESH_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Span:
    """The executions of one market in a stretch of time; nobody but the venue's accounts trades.

    Attributes:
        open: First price; prices are those at the time of `at_ms` when nothing was executed.
    """

    at_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume_base: Decimal = ZERO
    volume_quote: Decimal = ZERO


class DayViews:
    """The last 24 hours of each market, worked out anew only every few seconds."""

    def __init__(self) -> None:
        self._spans: dict[str, Span] = {}

    def view(self, call: Call, listing: Listing, quote: Quote) -> Span:
        """Return the day of *listing*, the price of now included."""
        span = self._spans.get(listing.symbol)
        if span is None or call.at_ms - span.at_ms > _DAY_FRESH_MS:
            executions = sorted_fills(call, listing, call.at_ms - DAY_MS)
            span = _span(executions, quote.last, call.at_ms)
            self._spans[listing.symbol] = span
        return _with_price(span, quote)


class MexcMarketData:
    """The endpoints that need no key."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols
        self._days = DayViews()
        self.routes = (
            Route("GET", "/api/v3/ping", _ping, pool="ip"),
            Route("GET", "/api/v3/time", _time, pool="ip"),
            Route("GET", "/api/v3/exchangeInfo", self._exchange_info, pool="ip", weight=10),
            Route("GET", "/api/v3/defaultSymbols", self._default_symbols, pool="ip"),
            Route("GET", "/api/v3/ticker/price", self._ticker(_price_row), pool="ip"),
            Route("GET", "/api/v3/ticker/bookTicker", self._ticker(_book_row), pool="ip"),
            Route("GET", "/api/v3/ticker/24hr", self._ticker(self._day_row), pool="ip", weight=25),
            Route("GET", "/api/v3/avgPrice", self._average_price, pool="ip"),
            Route("GET", "/api/v3/depth", self._depth, pool="ip"),
            Route("GET", "/api/v3/trades", self._trades, pool="ip", weight=5),
            Route("GET", "/api/v3/aggTrades", self._aggregate_trades, pool="ip"),
            Route("GET", "/api/v3/klines", self._klines, pool="ip"),
        )

    def _exchange_info(self, call: Call) -> Reply:
        return Reply(
            {
                "timezone": "CST",
                "serverTime": call.at_ms,
                "rateLimits": [],
                "exchangeFilters": [],
                "symbols": [_symbol_row(listing) for listing in self._asked(call)],
            }
        )

    def _default_symbols(self, _: Call) -> Reply:
        ids = [symbol_id_of(one) for one in self._symbols.all() if one.market.is_active]
        return Reply({"code": 200, "data": ids, "msg": None})

    def _ticker(
        self, row: Callable[[Call, Listing, Quote], dict[str, Any]]
    ) -> Callable[..., Reply]:
        """Return a handler: one object when one symbol is asked for, a list otherwise."""

        def answer(call: Call) -> Reply:
            rows = [
                row(call, listing, quote)
                for listing in self._asked(call)
                if (quote := call.venue.quote(listing.symbol)) is not None
            ]
            if "symbol" not in call.query:
                return Reply(rows)
            return Reply(rows[0] if rows else {"symbol": call.query["symbol"]})

        return answer

    def _day_row(self, call: Call, listing: Listing, quote: Quote) -> dict[str, Any]:
        day = self._days.view(call, listing, quote)
        change = quote.last - day.open
        return {
            "symbol": symbol_id_of(listing),
            "priceChange": number_text(change),
            "priceChangePercent": number_text(round(change / day.open, 6)),
            "prevClosePrice": number_text(day.open),
            "lastPrice": number_text(quote.last),
            "bidPrice": number_text(quote.bid),
            "bidQty": number_text(_level_amount(listing, quote.bid)),
            "askPrice": number_text(quote.ask),
            "askQty": number_text(_level_amount(listing, quote.ask)),
            "openPrice": number_text(day.open),
            "highPrice": number_text(day.high),
            "lowPrice": number_text(day.low),
            "volume": number_text(day.volume_base),
            "quoteVolume": number_text(day.volume_quote),
            "openTime": call.at_ms - DAY_MS,
            "closeTime": call.at_ms,
            "count": None,
        }

    def _average_price(self, call: Call) -> Reply:
        quote = call.venue.quote(self._one(call).symbol)
        return Reply({"mins": 5, "price": None if quote is None else number_text(quote.last)})

    def _depth(self, call: Call) -> Reply:
        listing = self._one(call)
        limit = min(_number(call, "limit", _DEPTH_DEFAULT), _DEPTH_MAX)
        quote = call.venue.quote(listing.symbol)
        return Reply(
            {
                "lastUpdateId": len(call.venue.changes),
                "bids": _levels(call, listing, quote, Side.BUY)[:limit],
                "asks": _levels(call, listing, quote, Side.SELL)[:limit],
                "timestamp": call.at_ms,
            }
        )

    def _trades(self, call: Call) -> Reply:
        return Reply(
            [
                {
                    "id": None,
                    "price": number_text(fill.price),
                    "qty": number_text(fill.amount_base),
                    "quoteQty": number_text(fill.cost_quote),
                    "time": fill.at_ms,
                    "isBuyerMaker": _is_buyer_maker(fill),
                    "isBestMatch": True,
                }
                for fill in self._public_fills(call)
            ]
        )

    def _aggregate_trades(self, call: Call) -> Reply:
        return Reply(
            [
                {
                    "a": None,
                    "f": None,
                    "l": None,
                    "p": number_text(fill.price),
                    "q": number_text(fill.amount_base),
                    "T": fill.at_ms,
                    "m": _is_buyer_maker(fill),
                    "M": True,
                }
                for fill in self._public_fills(call)
            ]
        )

    def _klines(self, call: Call) -> Reply:
        listing = self._one(call)
        step_ms = _INTERVALS_MS.get(call.query.get("interval", ""))
        if step_ms is None:
            raise spot_error(-1121, "Invalid interval.")
        limit = min(_number(call, "limit", 500), _CANDLES_MAX)
        end_ms = min(_number(call, "endTime", call.at_ms), call.at_ms)
        last_ms = end_ms - end_ms % step_ms
        # The newest ones; from a given start on the oldest ones.
        first_ms = _number(call, "startTime", last_ms - (limit - 1) * step_ms)
        first_ms += -first_ms % step_ms
        last_ms = min(last_ms, first_ms + (limit - 1) * step_ms)
        return Reply(
            [
                [
                    candle.at_ms,
                    number_text(candle.open),
                    number_text(candle.high),
                    number_text(candle.low),
                    number_text(candle.close),
                    number_text(candle.volume_base),
                    candle.at_ms + step_ms,
                    number_text(candle.volume_quote),
                ]
                for candle in candles(call, listing, range(first_ms, last_ms + 1, step_ms))
            ]
        )

    def _public_fills(self, call: Call) -> list[VenueFill]:
        listing = self._one(call)
        limit = min(_number(call, "limit", 500), _TRADES_MAX)
        start_ms, end_ms = _number(call, "startTime", 0), _number(call, "endTime", call.at_ms)
        executions = sorted_fills(call, listing, start_ms)
        return [fill for fill in reversed(executions) if fill.at_ms <= end_ms][:limit]

    def _asked(self, call: Call) -> Iterable[Listing]:
        if "symbol" in call.query:
            return (self._one(call),)
        if "symbols" in call.query:
            return tuple(self._known(one) for one in call.query["symbols"].split(","))
        return self._symbols.all()

    def _one(self, call: Call) -> Listing:
        symbol_id = call.query.get("symbol", "")
        if not symbol_id:
            raise missing_parameter("symbol")
        return self._known(symbol_id)

    def _known(self, symbol_id: str) -> Listing:
        listing = self._symbols.find(symbol_id)
        if listing is None:
            raise spot_error(-1121, "Invalid symbol.")
        return listing


def sorted_fills(call: Call, listing: Listing, since_ms: int) -> list[VenueFill]:
    """Return everybody's executions on a market from *since_ms* on, oldest first."""
    executions = [
        fill
        for account in call.venue.accounts
        for fill in call.venue.fills(account, listing.symbol, since_ms=since_ms)
    ]
    return sorted(executions, key=lambda fill: fill.serial)


def candles(call: Call, listing: Listing, starts: range) -> list[Span]:
    """Return a candle per start: prices as far as the venue remembers them, volumes as executed."""
    if not starts:
        return []
    by_start: dict[int, list[VenueFill]] = {}
    for fill in sorted_fills(call, listing, starts.start):
        by_start.setdefault(fill.at_ms - fill.at_ms % starts.step, []).append(fill)
    return [
        Span(
            at_ms=bar.at_ms,
            open=bar.open,
            high=max((bar.high, *(fill.price for fill in by_start.get(bar.at_ms, ())))),
            low=min((bar.low, *(fill.price for fill in by_start.get(bar.at_ms, ())))),
            close=bar.close,
            volume_base=_volume_base(by_start.get(bar.at_ms, ())),
            volume_quote=_volume_quote(by_start.get(bar.at_ms, ())),
        )
        for bar in call.venue.bars(listing.symbol, starts)
    ]


def _volume_base(executions: Sequence[VenueFill]) -> Decimal:
    return sum((fill.amount_base for fill in executions), ZERO)


def _volume_quote(executions: Sequence[VenueFill]) -> Decimal:
    return sum((fill.cost_quote for fill in executions), ZERO)


def _span(executions: Sequence[VenueFill], price_before: Decimal, at_ms: int) -> Span:
    prices = [fill.price for fill in executions] or [price_before]
    return Span(
        at_ms=at_ms,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume_base=_volume_base(executions),
        volume_quote=_volume_quote(executions),
    )


def _with_price(span: Span, quote: Quote) -> Span:
    return replace(
        span,
        close=quote.last,
        high=max(span.high, quote.last),
        low=min(span.low, quote.last),
    )


def _ping(_: Call) -> Reply:
    return Reply({})


def _time(call: Call) -> Reply:
    return Reply({"serverTime": call.at_ms})


def _symbol_row(listing: Listing) -> dict[str, Any]:
    market = listing.market
    base_decimals, quote_decimals = decimals_of(market.amount_step), decimals_of(market.price_tick)
    cost_max = _COST_MAX if listing.cost_max is None else number_text(listing.cost_max)
    return {
        "symbol": symbol_id_of(listing),
        "status": "1" if market.is_active else "2",
        "baseAsset": market.base,
        "baseAssetPrecision": base_decimals,
        "quoteAsset": market.quote,
        "quotePrecision": quote_decimals,
        "quoteAssetPrecision": quote_decimals,
        "baseCommissionPrecision": base_decimals,
        "quoteCommissionPrecision": quote_decimals,
        "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER", "IMMEDIATE_OR_CANCEL", "FILL_OR_KILL"],
        "isSpotTradingAllowed": market.is_active,
        "isMarginTradingAllowed": False,
        "quoteAmountPrecision": number_text(market.cost_min),
        "baseSizePrecision": number_text(market.amount_min),
        "permissions": ["SPOT"],
        "filters": [],
        "maxQuoteAmount": cost_max,
        "makerCommission": number_text(market.maker_fee),
        "takerCommission": number_text(market.taker_fee),
        "quoteAmountPrecisionMarket": number_text(market.cost_min),
        "maxQuoteAmountMarket": cost_max,
        "fullName": market.base,
        "tradeSideType": 1 if market.is_active else 4,
        "contractAddress": "",
        "st": False,
    }


def _price_row(_: Call, listing: Listing, quote: Quote) -> dict[str, Any]:
    return {"symbol": symbol_id_of(listing), "price": number_text(quote.last)}


def _book_row(_: Call, listing: Listing, quote: Quote) -> dict[str, Any]:
    return {
        "symbol": symbol_id_of(listing),
        "bidPrice": number_text(quote.bid),
        "bidQty": number_text(_level_amount(listing, quote.bid)),
        "askPrice": number_text(quote.ask),
        "askQty": number_text(_level_amount(listing, quote.ask)),
    }


def _levels(call: Call, listing: Listing, quote: Quote | None, side: Side) -> list[list[str]]:
    """Return one side of the book, best price first: made-up depth, and who really rests."""
    amounts: dict[Decimal, Decimal] = {}
    if quote is not None:
        direction = -1 if side is Side.BUY else 1
        best = quote.bid if side is Side.BUY else quote.ask
        for index in range(_BOOK_LEVELS):
            price = best + direction * index * listing.market.price_tick
            if price > 0:
                amounts[price] = _level_amount(listing, price)
    for account in call.venue.accounts:
        for order in call.venue.open_orders(account, listing.symbol):
            if order.side is side and order.price is not None:
                amounts[order.price] = amounts.get(order.price, ZERO) + order.remaining_base
    return [
        [number_text(price), number_text(amounts[price])]
        for price in sorted(amounts, reverse=side is Side.BUY)
    ]


def _level_amount(listing: Listing, price: Decimal) -> Decimal:
    if listing.fill_max_base is not None:
        return listing.fill_max_base
    steps = (_LEVEL_QUOTE / price / listing.market.amount_step).to_integral_value()
    return max(steps, Decimal(1)) * listing.market.amount_step


def _is_buyer_maker(fill: VenueFill) -> bool:
    return fill.is_maker == (fill.side is Side.BUY)


def _number(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isdecimal():
        raise missing_parameter(name)
    return int(text)
