"""The same exchange read by ccxt's own parsers and by ours must tell the same story."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import ccxt.async_support
import pytest

from backfuturectl.model.candles import Interval
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import OrderStatus, OrderType, Side

from .conftest import KEY, PAIR, PASSPHRASE, SECRET, THIN_PAIR, Stand, now_ms

STATUSES = {
    OrderStatus.OPEN: "open",
    OrderStatus.FILLED: "closed",
    OrderStatus.CANCELED: "canceled",
}


@pytest.fixture
async def ccxt_client(stand: Stand) -> AsyncIterator[Any]:
    client = getattr(ccxt.async_support, stand.brand)(
        {
            "apiKey": KEY,
            "secret": SECRET,
            "password": PASSPHRASE,
            "enableRateLimit": False,
            # Decimal text instead of floats.
            "number": str,
            "options": {"hf": True, "uta": False, "fetchMarkets": {"types": [_type(stand)]}},
        }
    )
    client.has["fetchCurrencies"] = False
    base = stand.url
    client.urls["api"] = (
        {
            "spot": {"public": base, "private": base},
            "contract": {
                "public": f"{base}/api/v1/contract",
                "private": f"{base}/api/v1/private",
            },
        }
        if stand.brand == "mexc"
        else dict.fromkeys(client.urls["api"], base)
    )
    yield client
    await client.close()


def _type(stand: Stand) -> str:
    return "spot" if stand.kind is MarketKind.SPOT else "swap"


def _symbol(stand: Stand, pair: str = PAIR) -> str:
    return pair if stand.kind is MarketKind.SPOT else f"{pair}:USDT"


async def test_on_markets(stand: Stand, ccxt_client: Any):
    ours = await stand.market()
    markets = await ccxt_client.load_markets(params={"marginables": False})
    theirs = markets[_symbol(stand)]

    assert Decimal(theirs["precision"]["price"]) == ours.price_tick
    size = Decimal(theirs["contractSize"] or 1)
    assert size == ours.contract_size
    assert Decimal(theirs["precision"]["amount"]) * size == ours.amount_step
    assert Decimal(theirs["taker"]) == ours.taker_fee
    assert Decimal(theirs["maker"]) == ours.maker_fee
    assert theirs["active"] is ours.is_active


@pytest.mark.parametrize("ending", ["open", "filled", "canceled", "part"])
async def test_on_orders_and_fills(stand: Stand, ccxt_client: Any, ending: str):
    pair = THIN_PAIR if ending == "part" else PAIR
    changes: dict[str, Any] = {}
    if ending == "filled":
        changes = {"type": OrderType.MARKET, "price": Decimal(68_000)}
    if ending == "part":
        changes = {"pair": pair, "amount_base": Decimal(3), "price": Decimal(170)}
    placed = await stand.account.place(stand.order(**changes))
    if ending in {"canceled", "part"}:
        await stand.account.cancel(pair, "bf1", None)

    ours = await stand.account.order(pair, "bf1")
    await ccxt_client.load_markets(params={"marginables": False})
    theirs = await ccxt_client.fetch_order(placed.order_id, _symbol(stand, pair))
    trades = await ccxt_client.fetch_my_trades(_symbol(stand, pair))
    fills = await stand.account.fills(pair, 0)

    assert ours is not None
    size = (await stand.market(pair)).contract_size
    assert theirs["id"] == ours.order_id
    assert theirs["clientOrderId"] == ours.client_order_id
    assert theirs["status"] == STATUSES[ours.status]
    assert theirs["side"] == ours.side.value
    assert theirs["type"] == ours.type.value
    assert Decimal(theirs["amount"]) * size == ours.amount_base
    assert Decimal(theirs["filled"]) * size == ours.filled_base
    assert Decimal(theirs["cost"] or 0) == ours.cost_quote
    assert len(trades) == len(fills)
    for trade, fill in zip(trades, fills, strict=True):
        assert trade["order"] == fill.order_id
        assert trade["side"] == fill.side.value
        assert trade["timestamp"] == fill.at_ms
        assert Decimal(trade["price"]) == fill.price
        assert Decimal(trade["amount"]) * size == fill.amount_base
        assert (trade["takerOrMaker"] == "maker") is fill.is_maker
        assert fill.fee is not None
        assert Decimal(trade["fee"]["cost"]) == fill.fee.amount
        assert trade["fee"]["currency"] == fill.fee.currency


async def test_on_prices_and_balances(stand: Stand, ccxt_client: Any):
    stand.set_price("67999.90")
    await stand.account.place(stand.order())
    await ccxt_client.load_markets(params={"marginables": False})
    code = {"code": "USDT"} if stand.kind is MarketKind.FUTURES else {"hf": False}
    params = {"type": _type(stand), **code} if stand.brand == "kucoin" else {}

    ticker = await ccxt_client.fetch_ticker(_symbol(stand))
    theirs = await ccxt_client.fetch_balance(params)
    ours = await stand.account.balances()

    quote = (await stand.public.prices([PAIR]))[PAIR]
    shown = tuple(Decimal(ticker[name]) for name in ("last", "bid", "ask"))
    assert shown == (quote.last, quote.bid, quote.ask)
    assert Decimal(theirs["USDT"]["free"]) == ours.free["USDT"]
    assert Decimal(theirs["USDT"]["total"]) == ours.total["USDT"]


@pytest.mark.parametrize("interval", [Interval.MINUTE, Interval.HOUR, Interval.DAY])
async def test_on_candles(stand: Stand, ccxt_client: Any, interval: Interval):
    closes = [Decimal(68_000 + 7 * number % 13) for number in range(50)]
    before_ms = now_ms() // interval.ms * interval.ms
    stand.venue.tell_past(stand.symbol(), closes, step_ms=interval.ms, until_ms=before_ms)
    await ccxt_client.load_markets(params={"marginables": False})

    ours = await stand.public.candles(PAIR, interval, limit=40, before_ms=before_ms)
    theirs = await ccxt_client.fetch_ohlcv(
        _symbol(stand), interval.value, since=before_ms - 40 * interval.ms, limit=40
    )

    assert len(ours) == 40
    assert [(candle.closed_at_ms - interval.ms, candle.close) for candle in ours] == [
        (opened_ms, Decimal(close)) for opened_ms, _, _, _, close, _ in theirs
    ]


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
async def test_on_positions(stand: Stand, ccxt_client: Any, side: Side):
    if stand.kind is MarketKind.SPOT:
        return
    await stand.account.place(
        stand.order(side=side, type=OrderType.MARKET, price=Decimal(68_000), leverage=3)
    )
    await ccxt_client.load_markets(params={"marginables": False})

    ours = await stand.account.position(PAIR)
    (theirs,) = await ccxt_client.fetch_positions([_symbol(stand)])

    assert ours is not None
    size = Decimal(theirs["contracts"]) * Decimal(theirs["contractSize"])
    assert size == abs(ours.amount_base)
    assert (theirs["side"] == "long") is (ours.amount_base > 0)
    assert Decimal(theirs["entryPrice"]) == ours.entry_price
    assert theirs["marginMode"] == ours.margin_mode
    assert Decimal(theirs["liquidationPrice"]) == ours.liquidation_price
