"""DEGRADED: what holds a bot to exits, and that it trades again only after several good looks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from backfuturectl.daemon.board import ControllerBoard
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.matching.values import Wallet
from backfuturectl.model.errors import PermanentError, TransientError
from backfuturectl.model.status import Reason
from backfuturectl.reconcile.clocks import COMPARE_S, HEALTHY_CHECKS
from backfuturectl.reconcile.seats import HEALTHY_LOOKS
from backfuturectl.strategy.base import Gate
from tests.shell.reconcile.town import Town, new_town, strategy
from tests.shell.world import ACCOUNT

pytestmark = pytest.mark.looptime(noop_cycles=3)

GRID = "grid/BTC-USDT"
DOWN = TransientError(Reason.EXCHANGE_UNAVAILABLE, "down")


class SkewedClock:
    """Wall time that somebody changes; the loop's time goes on as it did."""

    def __init__(self, town: Town) -> None:
        self._true = town.clock
        self.skew_ms = 0

    def now_ms(self) -> int:
        return self._true.now_ms() + self.skew_ms


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return new_town(tmp_path)


@pytest.fixture
def clock(town: Town) -> SkewedClock:
    """Give the daemon a clock of its own; the exchange keeps the true time."""
    made = SkewedClock(town)
    town.daemon_clock = made
    return made


async def in_deal(town: Town) -> None:
    await town.until(lambda: GRID in town.bots and town.bot().view().open_orders >= 3)


def gate(town: Town) -> tuple[Gate, str]:
    return town.bot().gate


def clock_doubted(town: Town) -> bool:
    """Return whether the clock, perhaps among other things, holds the bot to exits."""
    held = town.c.strategies.seats[GRID].unhealthy
    return "clock" in held and gate(town)[0] is Gate.EXITS_ONLY


async def seconds_until_open(town: Town, within_s: float = 60.0) -> float:
    loop = asyncio.get_running_loop()
    since = loop.time()
    await town.until(lambda: gate(town)[0] is Gate.OPEN, within_s=within_s)
    return loop.time() - since


# The causes.


async def test_an_outage_holds_bots_to_exits_until_it_is_over(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        for call in PortCall:
            town.faults.always[call] = DOWN
        town.c.test_soon("main")
        await town.until(lambda: gate(town)[0] is not Gate.OPEN)
        await town.rest(30)
        town.faults.always.clear()
        await town.until(lambda: town.c.lines.line("main").is_online, within_s=400)
        assert gate(town)[0] is not Gate.OPEN
        assert await seconds_until_open(town) >= HEALTHY_LOOKS - 1


async def test_lost_rights_hold_bots_to_exits(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.rights = replace(town.rights, can_trade_spot=False)
        town.faults.fail(PortCall.PLACE, PermanentError(Reason.NO_TRADING_PERMISSION, "no"))
        town.price("97.9")
        await town.until(lambda: gate(town)[0] is Gate.EXITS_ONLY, within_s=90)
        assert gate(town)[1] == "connection is NoTradingPermission"


async def test_one_fresh_price_is_not_enough(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.without_price.add("BTC/USDT")
        await town.until(lambda: gate(town)[1].startswith("no fresh price"))
        town.without_price.clear()
        await asyncio.sleep(HEALTHY_LOOKS - 1.5)
        assert gate(town)[0] is Gate.EXITS_ONLY
        await seconds_until_open(town)


async def test_prices_that_come_and_go_do_not_open_the_gate(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.without_price.add("BTC/USDT")
        await town.until(lambda: gate(town)[0] is Gate.EXITS_ONLY)
        seat = town.c.strategies.seats[GRID]
        line = town.c.lines.line("main")
        for _ in range(10):
            now_ms = town.clock.now_ms()
            for _ in range(HEALTHY_LOOKS - 1):
                seat.watch(line, now_ms=now_ms, stale_after_ms=10**9)
            seat.watch(line, now_ms=now_ms, stale_after_ms=0)
            assert gate(town)[0] is Gate.EXITS_ONLY


async def test_a_first_start_waits_for_nothing_but_its_reconciliation(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        assert town.c.strategies.seats[GRID].unhealthy == {}


# The clock.


@pytest.mark.parametrize("skew_ms", [3_600_000, -3_600_000, 1_500])
async def test_a_clock_that_jumps_holds_bots_to_exits_at_once(
    town: Town, clock: SkewedClock, skew_ms: int
) -> None:
    async with town.daemon():
        await in_deal(town)
        clock.skew_ms = skew_ms
        await town.until(lambda: clock_doubted(town), within_s=3)
        await town.until(lambda: town.reason("main", "Connection") is Reason.CLOCK_SKEW)
        count = len(town.orders())
        await town.rest(120)
        assert gate(town)[0] is Gate.EXITS_ONLY
        assert "ClockSkew" in gate(town)[1]
        assert len(town.orders()) == count

        clock.skew_ms = 0
        await town.until(lambda: town.reason("main", "Connection") is Reason.ONLINE, 400)
        assert await seconds_until_open(town) > 0
        await town.until(lambda: town.bot().view().open_orders >= 3)
        told = [e.event.reason for e in await town.store.events("Daemon")]
        assert told.count("ClockSkew") == 2  # it went away, and it came back
        assert told[-1] == "ClocksAgree"


async def test_a_jump_to_the_right_time_is_over_after_a_few_comparisons(
    town: Town, clock: SkewedClock
) -> None:
    """A machine that was suspended wakes up with the right time."""
    clock.skew_ms = 800  # little enough for the exchange
    async with town.daemon():
        await in_deal(town)
        clock.skew_ms = 0
        await town.until(lambda: clock_doubted(town), within_s=3)
        assert await seconds_until_open(town) > 5 * (HEALTHY_CHECKS - 1)
        assert town.reason("main", "Connection") is Reason.ONLINE


async def test_a_clock_that_agrees_only_now_and_then_is_not_trusted(
    town: Town, clock: SkewedClock
) -> None:
    async with town.daemon():
        await in_deal(town)
        for _ in range(12):
            clock.skew_ms = 3_000
            await town.rest(2)
            clock.skew_ms = 0
            await town.rest(5 * (HEALTHY_CHECKS - 1))
            assert clock_doubted(town)


async def test_a_clock_that_drifts_is_noticed_before_the_next_test(
    town: Town, clock: SkewedClock
) -> None:
    async with town.daemon():
        await in_deal(town)
        for _ in range(4):
            clock.skew_ms += 300
            await town.rest(2)
        assert gate(town)[0] is Gate.OPEN
        await town.until(lambda: clock_doubted(town), COMPARE_S * 1.2)
        await town.until(lambda: town.reason("main", "Connection") is Reason.CLOCK_SKEW)


async def test_a_slow_drift_within_bounds_is_nothing(town: Town, clock: SkewedClock) -> None:
    async with town.daemon():
        await in_deal(town)
        for _ in range(90):
            clock.skew_ms += 5
            await town.rest(1)
            assert gate(town)[0] is Gate.OPEN


async def test_an_exchange_that_does_not_tell_its_time_is_no_clock_trouble(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.faults.always[PortCall.SERVER_TIME] = DOWN
        await town.rest(3 * COMPARE_S)
        assert gate(town)[0] is Gate.OPEN


async def test_a_clock_set_back_does_not_hide_that_prices_stopped(
    town: Town, clock: SkewedClock
) -> None:
    async with town.daemon():
        await in_deal(town)
        clock.skew_ms = -3_600_000
        await town.rest(3)
        town.without_price.add("BTC/USDT")
        await town.until(lambda: "prices" in town.c.strategies.seats[GRID].unhealthy, 20)


async def test_exits_go_on_while_the_clock_is_wrong(town: Town, clock: SkewedClock) -> None:
    async with town.daemon():
        await in_deal(town)
        clock.skew_ms = 5_000
        await town.until(lambda: clock_doubted(town))
        town.price("103")
        await town.until(lambda: town.bot().view().position_base == 0, within_s=90)
        town.price("100")
        await town.rest(90)
        assert town.bot().view().deal_number is None


async def test_paper_bots_are_held_like_live_ones(town: Town, clock: SkewedClock) -> None:
    town.write(grid=strategy(extra="mode: paper"))
    async with town.daemon():
        await in_deal(town)
        clock.skew_ms = 5_000
        await town.until(lambda: clock_doubted(town))


async def test_a_bot_whose_account_contradicts_its_journal_is_shown_as_manual_while_it_does(
    town: Town,
) -> None:
    async with town.daemon():
        await in_deal(town)

    async def shown() -> str:
        assert town.store is not None
        board = ControllerBoard(town.c, town.store, town.clock, root=str(town.root))
        row = await board.describe("bot", GRID)
        assert row is not None
        return str(row["state"])

    lost = Decimal("0.5")
    for order in town.orders():
        if order.is_open and order.held_currency == "BTC":
            town.venue.cancel(ACCOUNT, order.serial, town.clock.now_ms())
    town.venue.deposit(ACCOUNT, Wallet.SPOT, "BTC", -lost, town.clock.now_ms())
    async with town.daemon():
        await town.rest()
        sent = len(town.orders())
        assert gate(town)[0] is Gate.SHUT
        assert await shown() == "MANUAL"
        await town.rest()
        assert len(town.orders()) == sent

        town.venue.deposit(ACCOUNT, Wallet.SPOT, "BTC", lost, town.clock.now_ms())
        await town.rest()
        assert await shown() == "ACTIVE"
