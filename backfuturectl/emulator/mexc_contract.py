"""MEXC USDT-margined futures over HTTP: contracts and prices.

Answers are ``{"success": ..., "code": ..., "data": ...}`` with HTTP 200, errors too; numbers are
JSON numbers and amounts count contracts.

Source: the exchange's contract API v1, "Market endpoints".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from backfuturectl.emulator.dialect import Call, Exchange, Pool, Reply, Route
from backfuturectl.emulator.mexc_contract_account import MexcContractAccount
from backfuturectl.emulator.mexc_contract_orders import MexcContractOrders
from backfuturectl.emulator.mexc_contract_terms import OTHER_REFUSAL, REFUSALS, known_listing
from backfuturectl.emulator.mexc_gateway import Offenders, gateway_reply, maintenance_reply
from backfuturectl.emulator.mexc_market import DayViews, candles, sorted_fills
from backfuturectl.emulator.mexc_values import DAY_MS, Symbols, decimals_of, symbol_id_of
from backfuturectl.emulator.mexc_wire import futures_error, succeeded
from backfuturectl.matching.refusals import VenueError
from backfuturectl.matching.values import Listing, Quote
from backfuturectl.model.market import ONE, ZERO, MarketKind, step_down
from backfuturectl.model.orders import Side

_MINUTE_MS: Final = 60_000
_INTERVALS_MS: Final = {
    "Min1": _MINUTE_MS,
    "Min5": 5 * _MINUTE_MS,
    "Min15": 15 * _MINUTE_MS,
    "Min30": 30 * _MINUTE_MS,
    "Min60": 60 * _MINUTE_MS,
    "Hour4": 240 * _MINUTE_MS,
    "Hour8": 480 * _MINUTE_MS,
    "Day1": DAY_MS,
    "Week1": 7 * DAY_MS,
    "Month1": 30 * DAY_MS,
}
_CANDLES_MAX: Final = 2000
_DEALS_MAX: Final = 100
_BOOK_LEVELS: Final = 20
_LEVEL_CONTRACTS: Final = Decimal(10_000)
_FUNDING_HOURS: Final = 8
_FUNDING_MS: Final = _FUNDING_HOURS * 60 * _MINUTE_MS
_RATE_LIMIT: Final = Decimal("0.003")
_CONTRACTS_MAX: Final = Decimal(1_000_000)
_PRICE_RATE: Final = Decimal("0.1")


class MexcContract:
    """The exchange's ``/api/v1``: ``contract`` is public, ``private`` needs a key."""

    host = "mexc"
    prefix = "/api/v1"

    def __init__(self, exchange: Exchange) -> None:
        self._symbols = Symbols(exchange.venue, MarketKind.FUTURES)
        self._offenders = Offenders()
        self._days = DayViews()
        self.pools = {
            "public": Pool(limit=20, window_s=2, is_per_key=False),
            "read": Pool(limit=20, window_s=2),
            "account": Pool(limit=4, window_s=2),
            "create": Pool(limit=4, window_s=2),
            "cancel": Pool(limit=20, window_s=2),
        }
        routes = (
            *self._public_routes(),
            *MexcContractAccount(self._symbols).routes,
            *MexcContractOrders(self._symbols).routes,
        )
        self.routes = tuple(self._offenders.keep_out(route) for route in routes)

    def _public_routes(self) -> tuple[Route, ...]:
        root = "/api/v1/contract"
        return (
            Route("GET", f"{root}/ping", _ping, "public"),
            Route("GET", f"{root}/detail", self._rows(_detail_row), "public"),
            Route("GET", f"{root}/ticker", self._rows(self._ticker_row), "public"),
            Route("GET", f"{root}/depth/{{symbol}}", self._depth, "public"),
            Route("GET", f"{root}/deals/{{symbol}}", self._deals, "public"),
            Route("GET", f"{root}/kline/{{symbol}}", self._klines, "public"),
            Route("GET", f"{root}/index_price/{{symbol}}", self._price("indexPrice"), "public"),
            Route("GET", f"{root}/fair_price/{{symbol}}", self._price("fairPrice"), "public"),
            Route("GET", f"{root}/funding_rate/{{symbol}}", self._funding_rate, "public"),
        )

    def key_of(self, call: Call) -> str:
        """Return the API key that the request names."""
        return call.headers.get("ApiKey", "")

    def refused(self, call: Call, error: VenueError) -> Reply:  # noqa: ARG002 - the protocol's
        """Return the exchange's answer to what the venue refused."""
        return futures_error(*REFUSALS.get(error.kind, OTHER_REFUSAL)).reply

    def malformed(self, call: Call, error: ValueError) -> Reply:  # noqa: ARG002 - the protocol's
        """Return the answer to a request that cannot be parsed."""
        return futures_error(*OTHER_REFUSAL).reply

    def not_found(self, call: Call) -> Reply:
        """Return the answer to a path or method that does not exist. UNVERIFIED."""
        return futures_error(404, f"Not Found {call.path}", 404).reply

    def rate_limited(self, call: Call, retry_after_s: float) -> Reply:
        """Return code 510, or a ban to a caller that goes on; the HTTP status is UNVERIFIED."""
        refusal = self._offenders.refuse(call, retry_after_s)
        if refusal.content_type != "application/json":
            return refusal
        error = futures_error(510, "Requests are too frequent, please try again later", 429)
        return Reply(error.reply.content, error.reply.status, refusal.headers)

    def maintenance(self, call: Call) -> Reply:  # noqa: ARG002 - the protocol's
        """Return the exchange's answer during maintenance; its HTTP status is UNVERIFIED."""
        return maintenance_reply()

    def server_error(self, call: Call, status: int) -> Reply:  # noqa: ARG002 - the protocol's
        """Return what stands in front of the exchange sends: a page, and no JSON."""
        return gateway_reply(status)

    def _rows(self, row: Callable[[Call, Listing], dict[str, Any] | None]) -> Callable[..., Reply]:
        """Return a handler: one object when one symbol is asked for, a list otherwise."""

        def answer(call: Call) -> Reply:
            if "symbol" in call.query:
                return succeeded(row(call, known_listing(self._symbols, call.query["symbol"])))
            rows = (row(call, listing) for listing in self._symbols.all())
            return succeeded([one for one in rows if one is not None])

        return answer

    def _ticker_row(self, call: Call, listing: Listing) -> dict[str, Any] | None:
        quote = call.venue.quote(listing.symbol)
        if quote is None:
            return None
        day = self._days.view(call, listing, quote)
        change = quote.last - day.open
        return {
            "symbol": symbol_id_of(listing),
            "lastPrice": quote.last,
            "bid1": quote.bid,
            "ask1": quote.ask,
            "volume24": day.volume_base / listing.market.contract_size,
            "amount24": day.volume_quote,
            "holdVol": 0,
            "lower24Price": day.low,
            "high24Price": day.high,
            "riseFallRate": round(change / day.open, 4),
            "riseFallValue": change,
            "indexPrice": quote.last,
            "fairPrice": quote.last,
            "fundingRate": 0,
            "maxBidPrice": _on_tick(quote.last * (ONE + _PRICE_RATE), listing),
            "minAskPrice": _on_tick(quote.last * (ONE - _PRICE_RATE), listing),
            "timestamp": call.at_ms,
        }

    def _depth(self, call: Call) -> Reply:
        listing, quote = self._priced(call)
        return succeeded(
            {
                "asks": _levels(call, listing, quote, Side.SELL),
                "bids": _levels(call, listing, quote, Side.BUY),
                "version": len(call.venue.changes),
                "timestamp": call.at_ms,
            }
        )

    def _deals(self, call: Call) -> Reply:
        listing = self._named(call)
        limit = min(int(call.query.get("limit", _DEALS_MAX)), _DEALS_MAX)
        return succeeded(
            [
                {
                    "p": fill.price,
                    "v": fill.amount_base / listing.market.contract_size,
                    "T": 1 if (fill.side is Side.BUY) != fill.is_maker else 2,
                    "O": 3,
                    "M": 2,
                    "t": fill.at_ms,
                }
                for fill in reversed(sorted_fills(call, listing, 0)[-limit:])
            ]
        )

    def _klines(self, call: Call) -> Reply:
        listing = self._named(call)
        step_ms = _INTERVALS_MS.get(call.query.get("interval", "Min1"))
        if step_ms is None:
            raise futures_error(*OTHER_REFUSAL)
        end_ms = min(int(call.query.get("end", call.at_ms // 1000)) * 1000, call.at_ms)
        last_ms = end_ms - end_ms % step_ms
        start_ms = int(call.query.get("start", 0)) * 1000
        first_ms = max(start_ms, last_ms - (_CANDLES_MAX - 1) * step_ms)
        spans = candles(call, listing, range(first_ms - first_ms % step_ms, last_ms + 1, step_ms))
        size = listing.market.contract_size
        return succeeded(
            {
                "time": [span.at_ms // 1000 for span in spans],
                "open": [span.open for span in spans],
                "close": [span.close for span in spans],
                "high": [span.high for span in spans],
                "low": [span.low for span in spans],
                "vol": [span.volume_base / size for span in spans],
                "amount": [span.volume_quote for span in spans],
            }
        )

    def _price(self, name: str) -> Callable[..., Reply]:
        def answer(call: Call) -> Reply:
            listing, quote = self._priced(call)
            return succeeded(
                {"symbol": symbol_id_of(listing), name: quote.last, "timestamp": call.at_ms}
            )

        return answer

    def _funding_rate(self, call: Call) -> Reply:
        return succeeded(
            {
                "symbol": symbol_id_of(self._named(call)),
                "fundingRate": 0,
                "maxFundingRate": _RATE_LIMIT,
                "minFundingRate": -_RATE_LIMIT,
                "collectCycle": _FUNDING_HOURS,
                "nextSettleTime": call.at_ms - call.at_ms % _FUNDING_MS + _FUNDING_MS,
                "timestamp": call.at_ms,
            }
        )

    def _named(self, call: Call) -> Listing:
        return known_listing(self._symbols, call.path_params["symbol"])

    def _priced(self, call: Call) -> tuple[Listing, Quote]:
        listing = self._named(call)
        quote = call.venue.quote(listing.symbol)
        if quote is None:
            raise futures_error(1002, "Contract not activated")
        return listing, quote


def _ping(call: Call) -> Reply:
    return succeeded(call.at_ms)


def _detail_row(_: Call, listing: Listing) -> dict[str, Any]:
    market = listing.market
    size = market.contract_size
    most = _CONTRACTS_MAX if market.amount_max is None else market.amount_max / size
    maintenance = market.maintenance_margin
    return {
        "symbol": symbol_id_of(listing),
        "displayName": f"{symbol_id_of(listing)} PERPETUAL",
        "displayNameEn": f"{symbol_id_of(listing)} PERPETUAL",
        "positionOpenType": 3,
        "baseCoin": market.base,
        "quoteCoin": market.quote,
        "settleCoin": market.quote,
        "contractSize": size,
        "minLeverage": 1,
        "maxLeverage": market.leverage_max,
        "priceScale": decimals_of(market.price_tick),
        "volScale": decimals_of(market.amount_step / size),
        "amountScale": 4,
        "priceUnit": market.price_tick,
        "volUnit": market.amount_step / size,
        "minVol": market.amount_min / size,
        "maxVol": most,
        "bidLimitPriceRate": _PRICE_RATE,
        "askLimitPriceRate": _PRICE_RATE,
        "takerFeeRate": market.taker_fee,
        "makerFeeRate": market.maker_fee,
        "maintenanceMarginRate": maintenance,
        "initialMarginRate": ONE / market.leverage_max,
        "riskBaseVol": most,
        "riskIncrVol": most,
        "riskIncrMmr": maintenance,
        "riskIncrImr": maintenance,
        "riskLevelLimit": 1,
        "priceCoefficientVariation": _PRICE_RATE,
        "indexOrigin": ["BINANCE", "OKX"],
        "state": 0 if market.is_active else 4,
        "isNew": False,
        "isHot": True,
        "isHidden": False,
        "apiAllowed": True,
    }


def _levels(call: Call, listing: Listing, quote: Quote, side: Side) -> list[list[Any]]:
    """Return one side of the book, best price first, as price, contracts and count of orders."""
    tick, size = listing.market.price_tick, listing.market.contract_size
    best, direction = (quote.bid, -1) if side is Side.BUY else (quote.ask, 1)
    depth = listing.fill_max_base
    contracts = _LEVEL_CONTRACTS if depth is None else depth / size
    rows: dict[Decimal, tuple[Decimal, int]] = {
        price: (contracts, 1)
        for price in (best + direction * index * tick for index in range(_BOOK_LEVELS))
        if price > 0
    }
    for price, amount_base in _resting(call, listing, side):
        resting, count = rows.get(price, (ZERO, 0))
        rows[price] = (resting + amount_base / size, count + 1)
    return [[price, *rows[price]] for price in sorted(rows, reverse=side is Side.BUY)]


def _resting(call: Call, listing: Listing, side: Side) -> Iterable[tuple[Decimal, Decimal]]:
    for account in call.venue.accounts:
        for order in call.venue.open_orders(account, listing.symbol):
            if order.side is side and order.price is not None:
                yield order.price, order.remaining_base


def _on_tick(price: Decimal, listing: Listing) -> Decimal:
    return step_down(price, listing.market.price_tick)
