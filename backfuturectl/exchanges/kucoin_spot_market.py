"""KuCoin spot without a key: markets, prices, candles."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, TypedDict

import msgspec

from backfuturectl.exchanges.candles import Span, closed
from backfuturectl.exchanges.ccxt_adapter import Client, Route
from backfuturectl.exchanges.kucoin import Envelope, read_egress_ip, told_time_ms
from backfuturectl.exchanges.listing import Listing, listing
from backfuturectl.exchanges.payload import (
    PayloadError,
    flag,
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
from backfuturectl.exchanges.tickers import Ticker, lean, quotes
from backfuturectl.model.candles import Candle, Interval
from backfuturectl.model.market import Market, MarketKind, Quote

_INTERVALS: Final = {
    Interval.MINUTE: "1min",
    Interval.MINUTES_5: "5min",
    Interval.MINUTES_15: "15min",
    Interval.MINUTES_30: "30min",
    Interval.HOUR: "1hour",
    Interval.HOURS_4: "4hour",
    Interval.DAY: "1day",
}

_OPEN_ORDERS_MAX: Final = 200

_PUBLIC: Final = ("public",)


class _Ticker(Ticker, gc=False):
    bid: Any = msgspec.field(default=None, name="buy")
    ask: Any = msgspec.field(default=None, name="sell")


class _Tickers(TypedDict, total=False):
    ticker: list[_Ticker]


_TIME: Final = Route(_PUBLIC, "GET", "timestamp", {"public": 3})
_MARKETS: Final = Route(_PUBLIC, "GET", "symbols", {"public": 4})
_TICKERS: Final = Route(_PUBLIC, "GET", "market/allTickers", {"public": 15}, is_price=True)
_PRICES: Final = replace(_TICKERS, decode=lean(Envelope[_Tickers]))
_CANDLES: Final = Route(_PUBLIC, "GET", "market/candles", {"public": 3})


async def _load(client: Client) -> Listing:
    fees = await client.call(_TICKERS, _fees)
    return await client.call(_MARKETS, functools.partial(_listing, fees=fees))


async def _closed_candles(client: Client, symbol: str, span: Span) -> tuple[Candle, ...]:
    params = {
        "symbol": symbol,
        "type": _INTERVALS[span.interval],
        "startAt": span.first_ms // 1_000,
        "endAt": span.last_ms // 1_000,
    }
    return await client.call(_CANDLES, functools.partial(_candles, span=span), params)


def _fees(body: Any) -> dict[str, tuple[Decimal, Decimal]]:
    """Return (taker, maker) by symbol; a ticker without fees is left out."""
    fees = {}
    for row in rows(mapping(body).get("ticker")):
        try:
            fees[text(row, "symbol")] = (
                number(row, "takerFeeRate") * number(row, "takerCoefficient"),
                number(row, "makerFeeRate") * number(row, "makerCoefficient"),
            )
        except PayloadError:
            continue
    return fees


def _listing(body: Any, *, fees: Mapping[str, tuple[Decimal, Decimal]]) -> Listing:
    """Return the markets that can be read; a row without its rules is no market."""
    markets = {}
    for row in rows(body):
        try:
            symbol = text(row, "symbol")
            if symbol in fees:
                markets[symbol] = _market(row, fees[symbol])
        except PayloadError:
            continue
    return listing(markets)


def _market(row: dict[str, Any], fees: tuple[Decimal, Decimal]) -> Market:
    base, quote = text(row, "baseCurrency"), text(row, "quoteCurrency")
    taker_fee, maker_fee = fees
    return Market(
        exchange="kucoin",
        kind=MarketKind.SPOT,
        pair=f"{base}/{quote}",
        base=base,
        quote=quote,
        price_tick=number(row, "priceIncrement"),
        amount_step=number(row, "baseIncrement"),
        amount_min=number(row, "baseMinSize"),
        # quoteMinSize rules market buys, minFunds limit orders; the higher one satisfies both.
        cost_min=max(number_or_zero(row, "minFunds"), number_or_zero(row, "quoteMinSize")),
        taker_fee=taker_fee,
        maker_fee=maker_fee,
        amount_max=optional_number(row, "baseMaxSize"),
        open_orders_max=_OPEN_ORDERS_MAX,
        # `stop-order` takes no reduceOnly. It holds coins at once (KuCoin's API page) or when it
        # sets off ("Why Stop Orders Are Canceled", KuCoin's help); beside a take profit, which
        # holds them, it is refused or canceled for want of coins, or sells others that the account
        # has. `oco/order` would hold them once, but its stop is a limit order that a fall may leave
        # behind, unfilled and with the coins held; it has one price where a take profit may have
        # steps; and a take profit that fills in part takes the stop away.
        stop_orders_max=0,
        is_active=flag(row, "enableTrading"),
    )


def _prices(body: Any, *, wanted: Mapping[str, str]) -> dict[str, Quote]:
    return quotes(mapping(body).get("ticker"), wanted)


def _candles(body: Any, *, span: Span) -> tuple[Candle, ...]:
    opened = ((int(number_at(row, 0)) * 1_000, number_at(row, 2)) for row in lists(body))
    return closed(opened, span)


CALLS: Final = MarketCalls(
    exchange="kucoin",
    load=_load,
    server_time_ms=lambda client: client.call(_TIME, told_time_ms),
    # One request, whatever the number of pairs.
    prices=lambda client, wanted: client.call(_PRICES, functools.partial(_prices, wanted=wanted)),
    candles=_closed_candles,
    egress_ip=read_egress_ip,
)
