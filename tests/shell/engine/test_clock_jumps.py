"""This machine's clock is set forth and back while a bot trades."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from backfuturectl.engine.lookups import FILLS_PATIENCE_S
from backfuturectl.engine.prices import STALE_AFTER_MS
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.model.ids import OrderName, bot_code, client_order_id
from backfuturectl.model.market import Quote
from backfuturectl.model.orders import Leg, LegKind, OrderStatus
from backfuturectl.store.database import Write
from backfuturectl.strategy.base import Gate
from tests.shell.engine.test_late_fills import Feeless
from tests.shell.world import BUSY, NAME, UNKNOWN, world

pytestmark = pytest.mark.looptime(noop_cycles=1)

D = Decimal
HOUR_MS = 3_600_000
RUNG, TAKE_PROFIT = LegKind.RUNG, LegKind.TAKE_PROFIT


async def test_a_clock_set_forth_makes_no_order_absent_that_may_still_appear() -> None:
    async with world(starts=False) as w:
        w.account.horizon_ms = 60_000
        name = OrderName(w.store.installation, bot_code(NAME.bot), 1, Leg(TAKE_PROFIT), 0)
        w.account.hidden_orders = frozenset({client_order_id(name)})
        w.faults.lose_answer(PortCall.PLACE, None, UNKNOWN)
        await w.start()
        await w.price("100", for_s=5)
        w.clock.jump_ms = HOUR_MS
        await w.price("100", for_s=40)
        assert await w.statuses(TAKE_PROFIT) == [OrderStatus.UNKNOWN]
        w.account.hidden_orders = frozenset()
        await w.price("100", for_s=10)
        assert await w.statuses(TAKE_PROFIT) == [OrderStatus.OPEN]
        assert len(w.orders(TAKE_PROFIT)) == 1


async def test_a_clock_set_back_keeps_no_exit_waiting_for_its_return() -> None:
    async with world(starts=False) as w:
        w.account.horizon_ms = 15_000
        w.faults.fail(PortCall.PLACE, None, UNKNOWN)
        await w.start()
        await w.price("100", for_s=3)
        w.clock.jump_ms = -HOUR_MS
        await w.price("100", for_s=60)
        assert len(w.resting(TAKE_PROFIT)) == 1


async def test_a_clock_set_back_lets_fills_be_waited_for_no_longer() -> None:
    async with world(starts=False) as w:
        w.account.hides_fills = True
        await w.start()
        await w.price("100", for_s=3)
        w.clock.jump_ms = -HOUR_MS
        await w.price("100", for_s=20)
        assert len(w.resting(TAKE_PROFIT)) == 1


async def test_fills_are_found_by_a_clock_that_is_ahead_of_the_exchanges() -> None:
    async with world(starts=False) as w:
        exchange_time = w.clock.now_ms
        w.account._now_ms = lambda: exchange_time() - w.clock.jump_ms
        w.clock.jump_ms = HOUR_MS
        await w.start()
        await w.price("100", for_s=30)
        assert await w.statuses(LegKind.BASE) == [OrderStatus.FILLED]
        assert len(await w.store.fills(NAME.bot)) == 1


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_clock_set_forth_and_back_lets_a_stop_be_confirmed(is_restarted: bool) -> None:
    async with world(stopLoss={"percent": 15, "confirmFor": "20s"}) as w:
        await w.price("100", for_s=5)
        w.clock.jump_ms = HOUR_MS
        await w.price("97.9", for_s=10)  # a rung fills, which is recorded
        if is_restarted:
            await w.stop()
        w.clock.jump_ms = 0
        if is_restarted:
            await w.start()
        await w.price("97.9", for_s=10)
        await w.price("80", for_s=60)
        assert [deal.exit_leg for deal in await w.store.deals()] == ["stopLoss"]


async def test_a_clock_set_forth_and_back_keeps_no_refused_exit_waiting() -> None:
    async with world() as w:
        w.clock.jump_ms = HOUR_MS
        w.faults.fail(PortCall.PLACE, None, BUSY, BUSY)
        await w.price("100", for_s=5)
        w.clock.jump_ms = 0
        await w.price("100", for_s=60)
        assert len(w.resting(TAKE_PROFIT)) == 1


@pytest.mark.parametrize("jump_ms", [HOUR_MS, -HOUR_MS])
async def test_a_price_from_before_the_clock_was_set_decides_nothing(jump_ms: int) -> None:
    async with world() as w:
        await asyncio.sleep(5)
        assert w.bot is not None
        w.bot.offer_price(Quote(D(100)), w.clock.now_ms())
        w.clock.jump_ms = jump_ms
        await asyncio.sleep(5)
        assert w.orders() == []
        await w.price("100", for_s=5)
        assert len(w.orders(LegKind.BASE)) == 1


async def test_what_adds_is_not_sent_on_an_old_decision_and_exits_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as w:
        commit = w.store.commit

        async def slowly(writes: Sequence[Write]) -> None:
            await commit(writes)
            await asyncio.sleep(STALE_AFTER_MS / 1000 + 1)

        await w.price("100", for_s=5)
        sent = len(w.orders(RUNG))
        monkeypatch.setattr(w.store, "commit", slowly)
        await w.price("97.9", for_s=200)
        assert len(w.orders(RUNG)) == sent
        assert OrderStatus.ABSENT in await w.statuses(RUNG)
        assert len(w.orders(TAKE_PROFIT)) >= 2
        monkeypatch.setattr(w.store, "commit", commit)
        await w.price("97.9", for_s=400)
        assert len(w.orders(RUNG)) > sent


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_deal_begun_after_the_clock_was_set_back_is_the_newest(is_restarted: bool) -> None:
    async with world(starts=False) as w:
        w.account.__class__ = Feeless
        w.clock.jump_ms = HOUR_MS
        await w.start()
        await w.price("100", for_s=5)
        await w.price("103", for_s=20)  # the first deal ends
        w.clock.jump_ms = 0
        w.account.hides_fills = True
        await w.price("103", for_s=60 + FILLS_PATIENCE_S + 15)  # the second is booked without fees
        rows = [row for row in await w.rows(LegKind.BASE) if row.deal.endswith("#2")]
        assert [row.status for row in rows] == [OrderStatus.FILLED]
        if is_restarted:
            await w.stop()
            await w.start()
        w.account.hides_fills = False
        await w.price("103", for_s=60)
        assert len(w.resting(TAKE_PROFIT)) == 1, "no more is asked for than is held"


async def test_a_deal_that_ended_after_the_clock_was_set_back_is_remembered_as_the_newest() -> None:
    async with world(starts=False, cooldown={"afterTakeProfit": "120s"}) as w:
        w.clock.jump_ms = HOUR_MS
        await w.start()
        await w.price("100", for_s=5)
        await w.price("103", for_s=20)  # the first deal ends
        w.clock.jump_ms = 0
        await w.price("100", for_s=150)
        await w.price("103", for_s=20)  # and the second, by a clock that is an hour behind
        assert len(await w.store.deals(is_open=False)) == 2
        await w.stop()
        await w.start()
        await w.price("100", for_s=10)
        assert w.bot is not None
        assert w.bot.gate[0] is Gate.OPEN, w.bot.gate
        assert w.bot._context.journal.deal == await w.store.deal(f"{NAME.bot}#2")
        await w.price("100", for_s=150)
        assert w.bot.view().deal_number == 3
