"""A crash right before and right after every side effect ends where no crash would have ended.

The side effects of a scenario are numbered in one undisturbed run: each commit to the store, each
order placed, canceled or prepared. Then the scenario runs once per effect and side. There the bot
stops dead: its task and memory are gone, and a new bot goes on from what is written in the database
and from what the exchange shows.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from backfuturectl.engine.room import DealRoom
from backfuturectl.matching.values import VenueOrder, wallet_of
from backfuturectl.matching.venue import Venue
from backfuturectl.model.market import ZERO, MarketKind
from backfuturectl.model.orders import LegKind, NewOrder, Order, OrderStatus
from backfuturectl.store.database import Store, Write
from backfuturectl.strategy.averaging.state import Setup
from backfuturectl.strategy.base import BotIdentity
from tests.shell.world import (
    ACCOUNT,
    NAME,
    PAIR,
    Account,
    Disk,
    Faults,
    LoopClock,
    World,
    new_venue,
)
from tests.unit.strategy.venue import setup

pytestmark = pytest.mark.looptime(noop_cycles=1)

D = Decimal
PHASE_S = 70
"""How long each price lasts: longer than the back-off that one crash may cause."""

STEP_S = 2
"""How often the exchange and the bot see the price, and a crash is followed by a new start."""


@dataclass
class Points:
    """Counts the moments right before and right after each side effect; stops the bot at some."""

    crash_at: frozenset[int] = frozenset()
    names: list[str] = field(default_factory=list)
    is_dead: bool = False

    async def reach(self, name: str) -> None:
        """Count this moment; never return from one to crash at, nor from any after it."""
        if not self.is_dead:
            self.names.append(name)
            self.is_dead = len(self.names) - 1 in self.crash_at
        if self.is_dead:
            await asyncio.Event().wait()


class CrashingStore(Store):
    """A store whose commits are side effects to crash at."""

    points: Points

    async def commit(self, writes: Sequence[Write]) -> None:
        await self.points.reach("before commit")
        await super().commit(writes)
        await self.points.reach("after commit")


class CrashingAccount(Account):
    """An account whose writes are side effects to crash at."""

    points: Points

    async def prepare(self, pair: str, *, leverage: int, margin_mode: str) -> None:
        await self.points.reach("before prepare")
        await super().prepare(pair, leverage=leverage, margin_mode=margin_mode)
        await self.points.reach("after prepare")

    async def place(self, order: NewOrder) -> Order:
        await self.points.reach(f"before place {order.client_order_id}")
        placed = await super().place(order)
        await self.points.reach(f"after place {order.client_order_id}")
        return placed

    async def cancel(self, pair: str, client_order_id: str, order_id: str | None) -> None:
        await self.points.reach(f"before cancel {client_order_id}")
        await super().cancel(pair, client_order_id, order_id)
        await self.points.reach(f"after cancel {client_order_id}")


@dataclass(frozen=True)
class Scenario:
    """A strategy and the prices that it meets, each for `PHASE_S`.

    Attributes:
        ends_by: The leg that ends the deal in an undisturbed run.
        depth_base: What trades per price and side; None for endless.
        down_s: How long the bot stays away after a crash, while the exchange goes on.
    """

    kind: MarketKind
    prices: tuple[str, ...]
    ends_by: str
    changes: dict[str, object] = field(default_factory=dict)
    depth_base: Decimal | None = None
    down_s: int = 0


_SPOT, _FUTURES = MarketKind.SPOT, MarketKind.FUTURES
SCENARIOS = {
    "spot, two rungs, take profit": Scenario(_SPOT, ("100", "97.9", "95.9", "103"), "takeProfit"),
    "spot, one rung, stop": Scenario(_SPOT, ("100", "97.9", "88"), "stopLoss", down_s=20),
    "futures short, two rungs, take profit": Scenario(
        _FUTURES, ("100", "102.1", "104.2", "94"), "takeProfit", {"direction": "short"}
    ),
    "futures long, two rungs, take profit, away for a while": Scenario(
        _FUTURES, ("100", "97.9", "95.9", "103"), "takeProfit", down_s=20
    ),
    "futures long, one rung, watched stop": Scenario(
        _FUTURES, ("100", "97.9", "88"), "stopLoss", {"stopLoss": {"onExchange": "never"}}
    ),
    "futures long, one rung, stop": Scenario(_FUTURES, ("100", "97.9", "88"), "stopLoss"),
    "futures short, moving stop, away while it fires": Scenario(
        _FUTURES,
        ("100", "102.1", "115"),
        "stopLoss",
        {"direction": "short", "stopLoss": {"reference": "average"}},
        down_s=20,
    ),
    "spot in small pieces": Scenario(
        _SPOT, ("100", "97.9", "103"), "takeProfit", depth_base=D("1.3"), down_s=5
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What is left in the end, without times and ids: those may differ after a crash."""

    balances: dict[str, Decimal]
    position: Decimal
    traded: Counter[tuple[str, Decimal]]
    result: Decimal
    exits: tuple[str | None, ...]
    resting: int


@dataclass
class Life:
    """One run of a scenario, from the first start to the end, over any number of lives."""

    scenario: Scenario
    disk: Disk
    points: Points
    venue: Venue
    setup: Setup
    phase_s: int = PHASE_S
    starts: int = 0

    async def play(self) -> Outcome:
        """Run the scenario to its end."""
        async with AsyncExitStack() as bot:
            w = await self._start(bot)
            for price in self.scenario.prices:
                for _ in range(self.phase_s // STEP_S):
                    await w.price(price, for_s=1)
                    await asyncio.sleep(STEP_S - 1)
                    self._margin_holds()
                    if self.points.is_dead:
                        await bot.aclose()
                        self.points.is_dead = False
                        w.bot = None
                        if self.scenario.down_s:
                            await w.price(price, for_s=self.scenario.down_s)
                        w = await self._start(bot)
            await w.stop()
            return await self._outcome(w)

    async def _start(self, stack: AsyncExitStack) -> World:
        """Bring a bot to life with nothing but the database and the exchange."""
        self.starts += 1
        store = self.disk.store(CrashingStore)
        store.points = self.points
        clock = LoopClock()
        account = CrashingAccount(self.venue, ACCOUNT, self.scenario.kind, now_ms=clock.now_ms)
        account.points = self.points
        identity = BotIdentity(store.installation, NAME.bot)
        known = replace(self.setup, identity=identity)
        w = World(self.venue, known, store, account, Faults(), DealRoom(1))
        await w.start()
        assert w.task is not None
        stack.push_async_callback(_kill, w.task)
        return w

    def _margin_holds(self) -> None:
        """What the deal entered with, and what may yet add to it, stay within the limit."""
        adding = [o for o in self._orders() if o.client_id[17] in {LegKind.BASE, LegKind.RUNG}]
        used = sum((o.filled_quote + o.remaining_base * o.price * o.is_open for o in adding), ZERO)
        limit = self.setup.share / self.setup.rates.per_notional
        assert used <= limit, f"{used} of {limit}"

    def _orders(self) -> tuple[VenueOrder, ...]:
        return self.venue.orders(ACCOUNT)

    async def _outcome(self, w: World) -> Outcome:
        ids = [order.client_id for order in self._orders()]
        assert len(ids) == len(set(ids)), "an id was used twice"
        rows = {row.client_order_id: row for row in await w.store.orders()}
        for order in self._orders():
            row = rows[order.client_id]
            assert (row.status, row.filled_base) == (order.status, order.filled_base)
            told = await w.store.fills(NAME.bot, client_order_ids=[order.client_id])
            assert sum((fill.amount_base for fill in told), ZERO) == order.filled_base
        sent = set(ids)
        for name, row in rows.items():
            assert name in sent or row.status is OrderStatus.ABSENT
        deals = await w.store.deals()
        traded: Counter[tuple[str, Decimal]] = Counter()
        for fill in self.venue.fills(ACCOUNT):
            traded[fill.side, fill.price] += fill.amount_base
        position = await w.account.position(PAIR)
        balances = self.venue.balances(ACCOUNT, wallet_of(self.scenario.kind))
        return Outcome(
            balances={name: balance.total for name, balance in balances.items()},
            position=position.amount_base if position is not None else ZERO,
            traded=traded,
            result=sum((deal.result_quote or ZERO for deal in deals), ZERO),
            exits=tuple(deal.exit_leg for deal in deals),
            resting=len(w.resting()),
        )


async def _kill(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def life(scenario: Scenario, disk: Disk, *crash_at: int) -> Life:
    disk.wipe()
    changes = {
        "baseOrder": "auto",  # the largest that fits: one order too many breaks the margin limit
        "cooldown": {"afterTakeProfit": "1d", "afterStopLoss": "1d"},
        **scenario.changes,
    }
    known = setup(scenario.kind, **changes)
    venue = new_venue(known.market, fill_max_base=scenario.depth_base)
    return Life(scenario, disk, Points(frozenset(crash_at)), venue, known)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long) if scenario.kind is _FUTURES else name
        for name, scenario in SCENARIOS.items()
    ],
)
async def test_a_crash_at_any_side_effect_ends_as_if_there_had_been_none(
    name: str, disk: Disk
) -> None:
    scenario = SCENARIOS[name]
    calm = life(scenario, disk)
    expected = await calm.play()
    assert expected.exits == (scenario.ends_by,)
    assert (expected.position, expected.resting) == (ZERO, 0)

    wrong = {}
    for number, point in enumerate(calm.points.names):
        crashed = life(scenario, disk, number)
        outcome = await crashed.play()
        assert crashed.starts == 2, "the run must have crashed there"
        if outcome != expected:
            wrong[f"{number}: {point}"] = outcome
    assert not wrong, f"expected {expected}"


@pytest.mark.long
@pytest.mark.parametrize("name", ["spot, two rungs, take profit", "futures long, one rung, stop"])
async def test_a_second_crash_soon_after_the_first_changes_nothing(name: str, disk: Disk) -> None:
    """Recovery has side effects of its own; it too may be cut off anywhere."""
    scenario = SCENARIOS[name]
    calm = life(scenario, disk)
    expected = await calm.play()
    count = len(calm.points.names)
    for first in range(0, count - 6, 3):
        second = first + 1 + first % 5
        crashed = life(scenario, disk, first, second)
        crashed.phase_s = 2 * PHASE_S  # two entries that fail in a row rest the longer
        assert await crashed.play() == expected, f"crashed at {first} and {second}"
        assert crashed.starts == 3
