"""KuCoin USDT-margined futures without a key: markets, prices, candles.

Amounts on the wire are whole lots of `contract_size` base units; the rest of the program sees base
units only. KuCoin writes Bitcoin as XBT there.
"""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import Any, Final

import msgspec

from backfuturectl.exchanges.candles import Span, closed
from backfuturectl.exchanges.ccxt_adapter import Client, Route
from backfuturectl.exchanges.kucoin import Envelope, read_egress_ip, told_time_ms
from backfuturectl.exchanges.listing import Listing, listing
from backfuturectl.exchanges.payload import (
    PayloadError,
    flag,
    lists,
    number,
    number_at,
    optional_number,
    rows,
    text,
)
from backfuturectl.exchanges.public import MarketCalls
from backfuturectl.exchanges.tickers import Ticker, lean, quotes
from backfuturectl.model.candles import Candle
from backfuturectl.model.market import Market, MarketKind

_SETTLE: Final = "USDT"
_OPEN_ORDERS_MAX: Final = 100
_STOP_ORDERS_MAX: Final = 50
_MINUTE_MS: Final = 60_000

_PUBLIC: Final = ("futuresPublic",)


class _Ticker(Ticker, gc=False):
    last: Any = msgspec.field(default=None, name="price")
    bid: Any = msgspec.field(default=None, name="bestBidPrice")
    ask: Any = msgspec.field(default=None, name="bestAskPrice")


_TIME: Final = Route(_PUBLIC, "GET", "timestamp", {"public": 2})
_MARKETS: Final = Route(_PUBLIC, "GET", "contracts/active", {"public": 3})
_PRICES: Final = Route(
    _PUBLIC,
    "GET",
    "allTickers",
    {"public": 5},
    is_price=True,
    decode=lean(Envelope[list[_Ticker]]),
)
_CANDLES: Final = Route(_PUBLIC, "GET", "kline/query", {"public": 3})


async def _closed_candles(client: Client, symbol: str, span: Span) -> tuple[Candle, ...]:
    params = {
        "symbol": symbol,
        "granularity": span.interval.ms // _MINUTE_MS,
        "from": span.first_ms,
        "to": span.last_ms,
    }
    return await client.call(_CANDLES, functools.partial(_candles, span=span), params)


def _listing(body: Any) -> Listing:
    """Return the markets that can be read; a row without its rules is no market."""
    markets = {}
    for row in rows(body):
        try:
            is_linear = not flag(row, "isInverse") and text(row, "settleCurrency") == _SETTLE
            if is_linear and text(row, "quoteCurrency") == _SETTLE and not row.get("expireDate"):
                markets[text(row, "symbol")] = _market(row)
        except PayloadError:
            continue
    return listing(markets)


def _market(row: dict[str, Any]) -> Market:
    base, quote = text(row, "baseCurrency"), text(row, "quoteCurrency")
    base = "BTC" if base == "XBT" else base
    contract_size = number(row, "multiplier")
    step = contract_size * number(row, "lotSize")
    lots_max = [
        lots
        for name in ("maxOrderQty", "marketMaxOrderQty")
        if (lots := optional_number(row, name)) is not None
    ]
    return Market(
        exchange="kucoin",
        kind=MarketKind.FUTURES,
        pair=f"{base}/{quote}",
        base=base,
        quote=quote,
        price_tick=number(row, "tickSize"),
        amount_step=step,
        amount_min=step,
        cost_min=Decimal(0),
        taker_fee=number(row, "takerFeeRate"),
        maker_fee=number(row, "makerFeeRate"),
        amount_max=min(lots_max) * contract_size if lots_max else None,
        contract_size=contract_size,
        maintenance_margin=number(row, "maintainMargin"),
        # With isolated margin an account holds no more than the risk level it has chosen, and the
        # whole position is liquidated by that level's rate ("User must set Risk Limit", KuCoin's
        # `get-position-tiers`). Changing it cancels the contract's open orders, so this program
        # does not, and the higher levels are of no use to it. UNVERIFIED: in every sample this is
        # the first level's upper end.
        tier_max_quote=optional_number(row, "minRiskLimit"),
        leverage_max=int(number(row, "maxLeverage")),
        open_orders_max=_OPEN_ORDERS_MAX,
        # Nothing is held for a stop that only reduces, so it may wait beside a take profit.
        stop_orders_max=_STOP_ORDERS_MAX,
        is_active=text(row, "status") == "Open",
    )


def _candles(body: Any, *, span: Span) -> tuple[Candle, ...]:
    return closed(((int(number_at(row, 0)), number_at(row, 4)) for row in lists(body)), span)


CALLS: Final = MarketCalls(
    exchange="kucoin",
    load=lambda client: client.call(_MARKETS, _listing),
    server_time_ms=lambda client: client.call(_TIME, told_time_ms),
    # One request, whatever the number of pairs.
    prices=lambda client, wanted: client.call(_PRICES, functools.partial(quotes, wanted=wanted)),
    candles=_closed_candles,
    egress_ip=read_egress_ip,
)
