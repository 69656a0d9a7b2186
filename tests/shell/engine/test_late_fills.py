"""Fills that are told long after the order that they belong to has ended."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from backfuturectl.engine.lookups import FILLS_PATIENCE_S, LATE_FILLS_S
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.matching.values import Wallet
from backfuturectl.model.orders import LegKind, Order, OrderStatus
from tests.shell.world import ACCOUNT, NAME, Account, World, world

pytestmark = pytest.mark.looptime(noop_cycles=1)

D = Decimal


class Feeless(Account):
    """As on most exchanges: an order's own view says nothing of fees."""

    async def order(self, pair: str, client_order_id: str, order_id: str | None = None):
        found = await super().order(pair, client_order_id, order_id)
        return None if found is None else replace(found, fees=())

    async def open_orders(self, pair: str) -> tuple[Order, ...]:
        return tuple(replace(order, fees=()) for order in await super().open_orders(pair))


async def begun(w: World) -> None:
    w.account.__class__ = Feeless
    w.account.hides_fills = True
    await w.start()
    await w.price("100", for_s=FILLS_PATIENCE_S + 10)
    assert await w.statuses(LegKind.BASE) == [OrderStatus.FILLED]


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_fee_that_is_told_late_is_taken_off_what_can_be_sold(is_restarted: bool) -> None:
    async with world(starts=False) as w:
        await begun(w)
        assert w.resting(LegKind.TAKE_PROFIT) == [], "more was asked for than is held"
        if is_restarted:
            await w.stop()
            await w.start()
        w.account.hides_fills = False
        await w.price("100", for_s=120)
        assert w.bot is not None
        held = w.venue.balances(ACCOUNT, Wallet.SPOT)["BTC"].total
        assert w.bot.view().position_base == held
        assert len(w.resting(LegKind.TAKE_PROFIT)) == 1
        assert len(await w.store.fills(NAME.bot)) == 1
        await w.price("103", for_s=60)
        (deal,) = await w.store.deals()
        fills = await w.store.fills(NAME.bot, deal=deal.deal)
        sold = sum(fill.price * fill.amount_base for fill in fills if fill.side == "sell")
        paid = sum(fill.price * fill.amount_base for fill in fills if fill.side == "buy")
        fees = sum(fill.fee.amount for fill in fills if fill.fee and fill.fee.currency == "USDT")
        assert deal.result_quote == sold - paid - fees


async def test_fills_that_never_come_are_not_asked_for_for_ever() -> None:
    async with world(starts=False) as w:
        await begun(w)
        await w.price("100", for_s=int(LATE_FILLS_S) + 30)
        asked = w.faults.count(PortCall.FILLS)
        await w.price("100", for_s=300)
        assert w.faults.count(PortCall.FILLS) == asked
