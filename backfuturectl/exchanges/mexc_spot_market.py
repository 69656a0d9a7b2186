"""MEXC spot without a key: markets, prices, candles."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from backfuturectl.exchanges.candles import Span, closed
from backfuturectl.exchanges.ccxt_adapter import Client, Route
from backfuturectl.exchanges.listing import Listing, listing
from backfuturectl.exchanges.payload import (
    PayloadError,
    exact_or_none,
    flag,
    integer,
    lists,
    mapping,
    number,
    number_at,
    number_or_zero,
    optional_number,
    rows,
    text,
)
from backfuturectl.exchanges.public import MarketCalls
from backfuturectl.model.candles import Candle, Interval
from backfuturectl.model.errors import OperationError
from backfuturectl.model.market import ONE, Market, MarketKind, Quote

_OPEN_ORDERS_MAX: Final = 500
_BOOKS_WAIT_S: Final = 2.0

_INTERVALS: Final = {interval: interval.value for interval in Interval} | {Interval.HOUR: "60m"}

_PUBLIC: Final = ("spot", "public")

_TIME: Final = Route(_PUBLIC, "GET", "time", {"ip": 1})
_MARKETS: Final = Route(_PUBLIC, "GET", "exchangeInfo", {"ip": 25})
# The one endpoint that has all three prices, ticker/24hr, weighs 40 of the 300 that an address may
# spend in ten seconds. Of these two the documentation says 2 and 1, ccxt 4.5.90 counts 10 each,
# UNVERIFIED. The documentation's is kept: at the other one, prices once a second leave a third of
# the limit, and a restart with twenty bots takes more than a minute and a half to ask for orders.
_PRICES: Final = Route(_PUBLIC, "GET", "ticker/price", {"ip": 2}, is_price=True)
_BOOKS: Final = Route(_PUBLIC, "GET", "ticker/bookTicker", {"ip": 1}, is_price=True)
_CANDLES: Final = Route(_PUBLIC, "GET", "klines", {"ip": 1})


async def _quotes(client: Client, wanted: Mapping[str, str]) -> Mapping[str, Quote]:
    """Return the quotes of two requests, whatever the number of pairs.

    A bid and ask that cannot be had take no last price away: exits need only that.
    """
    params = {"symbol": next(iter(wanted))} if len(wanted) == 1 else {}
    last = await client.call(_PRICES, functools.partial(_last_prices, wanted=wanted), params)
    books = await _books(client, wanted, params)
    return {pair: Quote(price, *books.get(pair, ())) for pair, price in last.items()}


async def _books(
    client: Client, wanted: Mapping[str, str], params: Mapping[str, str]
) -> Mapping[str, tuple[Decimal | None, Decimal | None]]:
    try:
        async with asyncio.timeout(_BOOKS_WAIT_S):
            return await client.call(_BOOKS, functools.partial(_book_tops, wanted=wanted), params)
    except (OperationError, TimeoutError):
        return {}


async def _closed_candles(client: Client, symbol: str, span: Span) -> tuple[Candle, ...]:
    params = {
        "symbol": symbol,
        "interval": _INTERVALS[span.interval],
        "startTime": span.first_ms,
        "endTime": span.last_ms,
        "limit": span.count,
    }
    return await client.call(_CANDLES, functools.partial(_candles, span=span), params)


def _time_ms(body: Any) -> int:
    return integer(mapping(body), "serverTime")


def _listing(body: Any) -> Listing:
    """Return the markets that can be read; a row without its rules is no market."""
    markets = {}
    for row in rows(mapping(body).get("symbols")):
        try:
            markets[text(row, "symbol")] = _market(row)
        except PayloadError:
            continue
    return listing(markets)


def _market(row: dict[str, Any]) -> Market:
    base, quote = text(row, "baseAsset"), text(row, "quoteAsset")
    # Despite their names: baseSizePrecision is the least amount, quoteAmountPrecision the least
    # value of a limit order.
    cost_min = max(
        number(row, "quoteAmountPrecision"), number_or_zero(row, "quoteAmountPrecisionMarket")
    )
    side_type = optional_number(row, "tradeSideType")
    return Market(
        exchange="mexc",
        kind=MarketKind.SPOT,
        pair=f"{base}/{quote}",
        base=base,
        quote=quote,
        price_tick=ONE.scaleb(-integer(row, "quoteAssetPrecision")),
        amount_step=ONE.scaleb(-integer(row, "baseAssetPrecision")),
        amount_min=number(row, "baseSizePrecision"),
        cost_min=cost_min,
        taker_fee=number(row, "takerCommission"),
        maker_fee=number(row, "makerCommission"),
        open_orders_max=_OPEN_ORDERS_MAX,
        # The API's order types are LIMIT, MARKET, LIMIT_MAKER, IMMEDIATE_OR_CANCEL, FILL_OR_KILL.
        stop_orders_max=0,
        is_active=(
            text(row, "status") == "1"
            and flag(row, "isSpotTradingAllowed")
            and side_type in {None, ONE}
        ),
    )


def _last_prices(body: Any, *, wanted: Mapping[str, str]) -> dict[str, Decimal]:
    """Return the last price of each pair; one that is no number takes no other pair's away."""
    told = {pair: exact_or_none(row.get("price")) for pair, row in _tickers(body, wanted)}
    return {pair: price for pair, price in told.items() if price is not None}


def _book_tops(
    body: Any, *, wanted: Mapping[str, str]
) -> dict[str, tuple[Decimal | None, Decimal | None]]:
    return {
        pair: (exact_or_none(row.get("bidPrice")), exact_or_none(row.get("askPrice")))
        for pair, row in _tickers(body, wanted)
    }


def _tickers(body: Any, wanted: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of those *wanted*, with their pair; asked for one, the answer is no list."""
    for row in rows([body] if isinstance(body, dict) else body):
        if row.get("symbol") in wanted:
            yield wanted[row["symbol"]], row


def _candles(body: Any, *, span: Span) -> tuple[Candle, ...]:
    return closed(((int(number_at(row, 0)), number_at(row, 4)) for row in lists(body)), span)


CALLS: Final = MarketCalls(
    exchange="mexc",
    load=lambda client: client.call(_MARKETS, _listing),
    server_time_ms=lambda client: client.call(_TIME, _time_ms),
    prices=_quotes,
    candles=_closed_candles,
)
