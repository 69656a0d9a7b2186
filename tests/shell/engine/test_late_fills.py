"""Fills that are told long after the order that they belong to has ended."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from backfuturectl.engine.lookups import FILLS_PATIENCE_S, LATE_FILLS_S, MISSING_PATIENCE_S
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.matching.values import Wallet
from backfuturectl.model.ids import OrderName, bot_code, client_order_id
from backfuturectl.model.orders import Leg, LegKind, Order, OrderStatus
from backfuturectl.strategy.base import Command, Gate
from tests.shell.world import ACCOUNT, BUSY, NAME, UNKNOWN, Account, World, world

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


async def appears_late(w: World) -> str:
    """Have a rung that was believed absent rest, partly filled; return its id."""
    name = OrderName(w.store.installation, bot_code(NAME.bot), 1, Leg(LegKind.RUNG, 1), 0)
    late = client_order_id(name)
    w.account.hidden_orders = frozenset({late})
    w.faults.lose_answer(PortCall.PLACE, None, None, UNKNOWN)
    await w.start()
    await w.price("100", for_s=60)
    rows = {row.client_order_id: row.status for row in await w.rows(LegKind.RUNG)}
    assert rows[late] is OrderStatus.ABSENT
    w.venue.set_price(w.symbol, D("97.9"), w.clock.now_ms())
    w.venue.set_price(w.symbol, D(100), w.clock.now_ms())
    return late


@pytest.mark.parametrize("what", ["fills lag", "cancel lags", "question fails"])
async def test_all_that_an_order_believed_absent_has_filled_is_booked(what: str) -> None:
    async with world(listing={"fill_max_base": D("0.3")}, starts=False) as w:
        late = await appears_late(w)
        cancel = w.account.cancel

        async def cancel_later(pair: str, client_id: str, order_id: str | None) -> None:
            if client_id == late:
                asyncio.get_running_loop().call_later(
                    2.0, lambda: asyncio.ensure_future(cancel(pair, client_id, order_id))
                )
            else:
                await cancel(pair, client_id, order_id)

        async def cancel_and_hear_nothing(pair: str, client_id: str, order_id: str | None) -> None:
            await cancel(pair, client_id, order_id)
            if client_id == late:
                w.faults.fail(PortCall.ORDER, BUSY)

        if what == "fills lag":
            w.account.hides_fills = True
        if what == "cancel lags":
            w.account.cancel = cancel_later
        if what == "question fails":
            w.account.cancel = cancel_and_hear_nothing
        w.account.hidden_orders = frozenset()
        await w.price("100", for_s=30)
        w.account.hides_fills = False
        await w.price("100", for_s=60)
        assert w.bot is not None
        rows = {row.client_order_id: row for row in await w.rows(LegKind.RUNG)}
        assert rows[late].status is OrderStatus.CANCELED
        assert rows[late].filled_base > 0
        held = w.venue.balances(ACCOUNT, Wallet.SPOT)["BTC"].total
        assert abs(w.bot.view().position_base - held) < D("0.0001")
        w.bot.reconcile_soon()
        await w.price("100", for_s=10)
        assert w.bot.gate[0] is Gate.OPEN


async def test_fills_of_an_order_that_has_vanished_keep_no_comparison_waiting() -> None:
    async with world(listing={"fill_max_base": D("0.3")}) as w:
        await w.price("100", for_s=30)
        (rung, *_) = w.resting(LegKind.RUNG)
        w.account.hides_fills = True
        await w.price("97.9", for_s=2)
        w.account.hidden_orders = frozenset({rung.client_id or ""})
        await w.price("99", for_s=MISSING_PATIENCE_S + 60)
        assert w.bot is not None
        w.bot.reconcile_soon()
        await w.price("99", for_s=10)
        assert w.bot.gate[0] is Gate.EXITS_ONLY, w.bot.gate


async def killed(w: World) -> None:
    """End the bot's task without a word, and have the next one begin from the store."""
    assert w.task is not None
    w.task.cancel()
    await asyncio.wait([w.task])
    await w.start()


async def all_is_booked(w: World, late: str, status: OrderStatus) -> None:
    rows = {row.client_order_id: row for row in await w.rows(LegKind.RUNG)}
    assert rows[late].status is status
    assert rows[late].filled_base > 0
    assert w.bot is not None
    held = w.venue.balances(ACCOUNT, Wallet.SPOT)["BTC"].total
    assert abs(w.bot.view().position_base - held) < D("0.0001")
    assert w.bot.gate[0] is Gate.OPEN
    assert "OrderAppeared" in await w.notes()


async def test_a_crash_after_the_cancel_of_an_order_believed_absent_loses_none_of_its_fills() -> (
    None
):
    async with world(listing={"fill_max_base": D("0.3")}, starts=False) as w:
        late = await appears_late(w)
        cancel = w.account.cancel
        canceled = asyncio.Event()

        async def cancel_and_die(pair: str, client_id: str, order_id: str | None) -> None:
            await cancel(pair, client_id, order_id)
            if client_id == late:
                canceled.set()
                await asyncio.sleep(3600)

        w.account.cancel = cancel_and_die
        w.account.hidden_orders = frozenset()
        await w.price("100", for_s=30)
        assert canceled.is_set()
        w.account.cancel = cancel
        await killed(w)
        await w.price("100", for_s=60)
        await all_is_booked(w, late, OrderStatus.CANCELED)


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_an_order_believed_absent_that_has_filled_is_booked(is_restarted: bool) -> None:
    async with world(starts=False) as w:
        late = await appears_late(w)
        if is_restarted:
            await killed(w)
            await w.price("99", for_s=5)
        w.account.hidden_orders = frozenset()
        assert late not in {order.client_id for order in w.resting(LegKind.RUNG)}
        await w.price("99", for_s=60)
        await all_is_booked(w, late, OrderStatus.FILLED)


async def test_a_fill_of_a_deal_that_is_long_over_is_on_record_and_people_are_told() -> None:
    async with world(starts=False) as w:
        late = await appears_late(w)
        await w.price("101", for_s=30)
        assert len(await w.store.deals()) == 1, "the deal has gone on without it"
        await w.price("101", for_s=30)
        w.account.hidden_orders = frozenset()
        await w.price("101", for_s=60)
        assert w.bot is not None
        assert w.bot.view().deal_number == 2
        rows = {row.client_order_id: row for row in await w.rows(LegKind.RUNG)}
        assert (rows[late].status, rows[late].filled_base) == (
            OrderStatus.FILLED,
            rows[late].amount_base,
        )
        assert {"OrderAppeared", "LateFill"} <= set(await w.notes())
        w.bot.reconcile_soon()
        await w.price("101", for_s=10)
        assert w.bot.gate[0] is Gate.OPEN


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_deal_that_goes_on_after_its_end_is_an_open_row_and_then_a_closed_one(
    is_restarted: bool,
) -> None:
    async with world(starts=False) as w:
        late = await appears_late(w)
        await w.price("102", for_s=5)
        (first,) = await w.store.deals(is_open=False)
        w.account.hidden_orders = frozenset()
        await w.price("98.5", for_s=30)
        assert w.bot is not None
        assert w.bot.view().state == "MANUAL"
        w.bot.command(Command.RESUME)
        await w.price("98.5", for_s=5)
        (again,) = await w.store.deals()
        assert (again.deal, again.closed_at_ms) == (first.deal, None)
        assert again.opened_at_ms == first.opened_at_ms
        if is_restarted:
            await killed(w)
            await w.price("98.5", for_s=5)
        await w.price("102", for_s=30)
        (second,) = await w.store.deals(is_open=False)
        fills = await w.store.fills(NAME.bot, deal=second.deal)
        assert late in {fill.client_order_id for fill in fills}
        sold = sum(fill.price * fill.amount_base for fill in fills if fill.side == "sell")
        paid = sum(fill.price * fill.amount_base for fill in fills if fill.side == "buy")
        fees = sum(fill.fee.amount for fill in fills if fill.fee and fill.fee.currency == "USDT")
        assert second.result_quote == sold - paid - fees
