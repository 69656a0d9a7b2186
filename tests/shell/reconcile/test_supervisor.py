"""How one bot's task ends, and what that means for the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from backfuturectl.engine.bot import Bot
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.model.errors import OperationError, PermanentError
from backfuturectl.model.market import Quote
from backfuturectl.model.status import Reason
from backfuturectl.reconcile.supervisor import STOP_PATIENCE_S, Ended, Supervisor
from backfuturectl.strategy.base import Gate
from tests.shell.world import World, world

pytestmark = pytest.mark.looptime(noop_cycles=3)

REVOKED = PermanentError(Reason.INVALID_KEY, "revoked", raw_code="400003")


@asynccontextmanager
async def supervised() -> AsyncIterator[tuple[World, Supervisor, list[OperationError]]]:
    """A bot that a supervisor runs."""
    async with world(starts=False) as w, asyncio.TaskGroup() as tasks:
        troubles: list[OperationError] = []
        w.bot = await w.make()
        supervisor = Supervisor(w.bot, on_trouble=troubles.append)
        supervisor.start(tasks)
        try:
            yield w, supervisor, troubles
        finally:
            await supervisor.stop()


async def test_a_bot_whose_key_is_refused_is_tried_again_ever_more_slowly() -> None:
    async with supervised() as (w, supervisor, troubles):
        w.faults.always[PortCall.OPEN_ORDERS] = REVOKED
        await w.price("100", for_s=600)
        assert supervisor.status is Ended.RESTARTING
        assert supervisor.trouble == (Reason.INVALID_KEY, "revoked")
        assert 5 <= len(troubles) <= 12
        del w.faults.always[PortCall.OPEN_ORDERS]
        await w.price("100", for_s=310)
        assert (supervisor.status, supervisor.trouble) == (Ended.RUNNING, None)
        assert len(w.orders()) == 4


async def test_a_defect_restarts_the_bot_which_first_looks_at_the_exchange(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with supervised() as (w, supervisor, _):
        await w.price("100", for_s=5)
        poll = Bot._poll

        async def broken(_: Bot) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(Bot, "_poll", broken)
        await w.price("97.9", for_s=5)
        assert supervisor.status is Ended.RESTARTING
        assert supervisor.trouble is not None
        assert supervisor.trouble[0] is Reason.INTERNAL_ERROR
        assert w.bot is not None
        assert w.bot.gate[0] is Gate.SHUT
        monkeypatch.setattr(Bot, "_poll", poll)
        await w.price("97.9", for_s=60)
        assert (supervisor.status, w.bot.gate[0]) == (Ended.RUNNING, Gate.OPEN)
        assert w.bot.view().position_base > 1


async def test_a_bot_that_waits_to_be_restarted_stops_at_once() -> None:
    async with supervised() as (w, supervisor, _):
        w.faults.always[PortCall.OPEN_ORDERS] = REVOKED
        await w.price("100", for_s=300)
        started_s = asyncio.get_running_loop().time()
        await supervisor.stop()
        assert asyncio.get_running_loop().time() - started_s < 1
        assert supervisor.status is Ended.STOPPED


async def test_a_call_that_hangs_is_cut_off_and_looked_up_by_the_next_life() -> None:
    async with supervised() as (w, supervisor, _):
        await asyncio.sleep(1)
        w.faults.delay_s = 3_600
        assert w.bot is not None
        w.venue.set_price(w.symbol, 100, w.clock.now_ms())
        w.bot.offer_price(Quote(w.venue.quote(w.symbol).last), w.clock.now_ms())
        await asyncio.sleep(5)
        started_s = asyncio.get_running_loop().time()
        await supervisor.stop()
        assert asyncio.get_running_loop().time() - started_s <= STOP_PATIENCE_S + 1
        assert supervisor.status is Ended.STOPPED

        w.faults.delay_s = 0.0
        w.bot = await w.start()
        await w.price("100", for_s=60)
        assert len({order.client_id for order in w.orders()}) == len(w.orders()) == 4
