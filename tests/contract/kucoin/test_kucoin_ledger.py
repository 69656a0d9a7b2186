"""Whatever is done to the exchange, what ccxt parses equals what the venue's ledger holds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ccxt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backfuturectl.matching.values import VenueOrder, Wallet
from backfuturectl.matching.venue import Venue
from backfuturectl.model.orders import OrderStatus
from tests.contract.kucoin.kucoin_clients import ACCOUNT, ccxt_client, kucoin

SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
STATUS = {OrderStatus.OPEN: "open", OrderStatus.FILLED: "closed", OrderStatus.CANCELED: "canceled"}

places = st.tuples(
    st.just("place"),
    st.sampled_from([SPOT, SWAP]),
    st.sampled_from(["limit", "market"]),
    st.sampled_from(["buy", "sell"]),
    st.integers(1, 40),
    st.integers(60_000, 76_000),
)
moves = st.tuples(st.just("move"), st.integers(62_000, 74_000))
cancels = st.tuples(st.just("cancel"), st.integers(0, 20))
steps = st.lists(st.one_of(places, moves, cancels), min_size=3, max_size=12)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(steps)
async def test_orders_trades_balances_and_positions_are_the_ledgers(
    steps: list[tuple[Any, ...]],
) -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        venue = stand.venue
        spot = venue.listing(SPOT)
        venue.add_listing(type(spot)(spot.market, fill_max_base=Decimal("0.02")))
        await client.load_markets()
        placed: list[tuple[str, str]] = []
        for step in steps:
            match step:
                case ("place", symbol, kind, side, size, price):
                    amount = size / 1000 if symbol == SPOT else size
                    params = {} if symbol == SPOT else {"leverage": 3, "marginMode": "isolated"}
                    try:
                        order = await client.create_order(symbol, kind, side, amount, price, params)
                    except ccxt.InsufficientFunds:
                        continue
                    placed.append((order["id"], symbol))
                case ("move", price):
                    now_ms = stand.running.emulator.exchanges["kucoin"].now_ms()
                    for symbol in (SPOT, SWAP):
                        venue.set_price(symbol, Decimal(price), now_ms)
                case ("cancel", index) if index < len(placed):
                    order_id, symbol = placed[index]
                    try:
                        await client.cancel_order(order_id, symbol)
                    except (ccxt.OrderNotFound, ccxt.BadRequest):
                        shown = await client.fetch_order(order_id, symbol)
                        assert shown["status"] in {"closed", "canceled"}
        await _compare_orders(client, venue, placed)
        await _compare_trades(client, venue)
        await _compare_money(client, venue)


async def _compare_orders(client: Any, venue: Venue, placed: list[tuple[str, str]]) -> None:
    ours = [order for order in venue.orders(ACCOUNT) if not order.is_liquidation]
    assert len(ours) == len(placed)
    for (order_id, symbol), held in zip(placed, ours, strict=True):
        shown = await client.fetch_order(order_id, symbol)
        assert shown["symbol"] == held.symbol == symbol
        assert shown["status"] == STATUS[held.status]
        assert (shown["side"], shown["type"]) == (held.side.value, held.type.value)
        assert _base(venue, held, shown["amount"]) == held.amount_base
        assert _base(venue, held, shown["filled"]) == held.filled_base
        assert shown["cost"] == pytest.approx(float(held.filled_quote))
    for symbol in (SPOT, SWAP):
        shown_open = {order["clientOrderId"] for order in await client.fetch_open_orders(symbol)}
        assert shown_open == {order.client_id for order in venue.open_orders(ACCOUNT, symbol)}


async def _compare_trades(client: Any, venue: Venue) -> None:
    for symbol in (SPOT, SWAP):
        shown = await client.fetch_my_trades(symbol, None, 100)
        held = venue.fills(ACCOUNT, symbol)
        size = venue.listing(symbol).market.contract_size
        assert [
            (trade["side"], Decimal(str(trade["amount"])) * size, trade["takerOrMaker"])
            for trade in sorted(shown, key=lambda trade: int(trade["id"]))
        ] == [
            (fill.side.value, fill.amount_base, "maker" if fill.is_maker else "taker")
            for fill in held
        ]
        assert sum(trade["cost"] for trade in shown) == pytest.approx(
            float(sum(fill.cost_quote for fill in held))
        )
        assert sum(trade["fee"]["cost"] for trade in shown) == pytest.approx(
            float(sum(fill.fee.amount for fill in held))
        )


async def _compare_money(client: Any, venue: Venue) -> None:
    shown = await client.fetch_balance()
    for currency, balance in venue.balances(ACCOUNT, Wallet.SPOT).items():
        assert shown[currency]["total"] == pytest.approx(float(balance.total), abs=1e-9)
        assert shown[currency]["free"] == pytest.approx(float(balance.available), abs=1e-9)
        assert shown[currency]["used"] == pytest.approx(float(balance.held), abs=1e-9)
    wallet = (await client.fetch_balance({"type": "swap"}))["USDT"]
    overview = venue.overview(ACCOUNT, "USDT")
    assert wallet["total"] == pytest.approx(float(overview.equity_quote))
    assert wallet["free"] == pytest.approx(float(overview.available_quote))
    shown_positions = await client.fetch_positions([SWAP])
    held_positions = venue.positions(ACCOUNT)
    assert len(shown_positions) == len(held_positions)
    for shown_position, held in zip(shown_positions, held_positions, strict=True):
        lots = abs(held.amount_base) / venue.listing(SWAP).market.contract_size
        assert Decimal(str(shown_position["contracts"])) == lots
        assert shown_position["side"] == ("long" if held.amount_base > 0 else "short")
        assert shown_position["entryPrice"] == pytest.approx(float(held.entry_price))
        assert shown_position["unrealizedPnl"] == pytest.approx(
            float(held.unrealised_quote), abs=1e-9
        )
        assert shown_position["realizedPnl"] == pytest.approx(float(held.realised_quote), abs=1e-9)


def _base(venue: Venue, order: VenueOrder, amount: float) -> Decimal:
    """Return what ccxt shows in base units."""
    return Decimal(str(amount)) * venue.listing(order.symbol).market.contract_size
