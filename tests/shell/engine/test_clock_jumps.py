"""This machine's clock is set forth and back while a bot trades."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.model.ids import OrderName, bot_code, client_order_id
from backfuturectl.model.orders import Leg, LegKind, OrderStatus
from tests.shell.world import NAME, UNKNOWN, world

pytestmark = pytest.mark.looptime(noop_cycles=1)

D = Decimal
HOUR_MS = 3_600_000
TAKE_PROFIT = LegKind.TAKE_PROFIT


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
