"""Bots that wait for an indicator: readings reach them live, after an edit and after a restart."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.model.candles import Interval
from backfuturectl.model.errors import TransientError
from backfuturectl.model.status import Reason
from tests.shell.reconcile.town import Town, new_town, strategy

pytestmark = pytest.mark.looptime(noop_cycles=3)

PAIR = "BTC/USDT"
FALLING = tuple(Decimal(20_000 - number) / 100 for number in range(200))
RISING = FALLING[::-1]


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return new_town(tmp_path)


def waiting(rsi: str = "{period: 5, interval: 5m}") -> str:
    return strategy(extra=f"entry: {{trigger: rsi, rsi: {rsi}}}")


def past(town: Town, closes: tuple[Decimal, ...], interval: Interval = Interval.MINUTES_5) -> None:
    """Let candles have closed at *closes*, the last at the newest close there was."""
    town.venue.tell_past(PAIR, closes, step_ms=interval.ms, until_ms=town.clock.now_ms())


async def test_a_deal_opens_when_its_candles_say_so(town: Town) -> None:
    past(town, RISING)
    town.write(grid=waiting())
    async with town.daemon():
        await town.rest(20)
        assert town.faults.count(PortCall.CANDLES)
        assert not town.orders()
        past(town, FALLING)
        await town.until(town.orders, within_s=310)
        await town.rest(20)
        assert sum(order.side == "buy" and order.filled_base > 0 for order in town.orders()) == 1


async def test_an_edit_of_the_indicator_is_read_at_once(town: Town) -> None:
    past(town, FALLING, Interval.HOUR)
    town.write(grid=waiting("{period: 5, interval: 1h, above: 50}"))
    async with town.daemon():
        await town.rest(20)
        assert not town.orders()
        town.write(grid=waiting("{period: 6, interval: 1h, below: 50}"))
        await town.until(town.orders)


async def test_a_restart_reads_the_history_again(town: Town) -> None:
    past(town, RISING)
    town.write(grid=waiting())
    async with town.daemon():
        await town.rest(20)
    past(town, FALLING)
    asked = town.faults.count(PortCall.CANDLES)
    async with town.daemon():
        await town.until(town.orders)
        assert town.faults.count(PortCall.CANDLES) == asked + 1


async def test_for_a_strategy_that_wants_no_indicator_any_more_none_is_asked(town: Town) -> None:
    past(town, RISING)
    town.write(grid=waiting())
    async with town.daemon():
        await town.until(lambda: town.faults.count(PortCall.CANDLES))
        town.write(grid=strategy())
        await town.until(town.orders)
        asked = town.faults.count(PortCall.CANDLES)
        await town.rest(320)
        assert town.faults.count(PortCall.CANDLES) == asked


async def test_without_candles_no_deal_opens_and_nothing_else_is_the_worse(town: Town) -> None:
    town.faults.always[PortCall.CANDLES] = TransientError(Reason.EXCHANGE_UNAVAILABLE, "no")
    town.write(grid=waiting())
    async with town.daemon():
        await town.rest(60)
        assert not town.orders()
        assert town.reason("grid") is Reason.RECONCILE_SUCCEEDED
