"""A paper bot after a crash: its journal is the exchange's memory, and that suffices.

The bot and its exchange die together, right before or after each side effect, and come back from
the database alone. What was recorded in the end is what an undisturbed run records.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from backfuturectl.engine.bot import Bot
from backfuturectl.engine.entries import Provenance
from backfuturectl.engine.journal import Journal
from backfuturectl.engine.room import DealRoom
from backfuturectl.exchanges.paper import PaperAccount
from backfuturectl.model.market import ZERO, MarketKind, Quote
from backfuturectl.model.orders import LegKind, NewOrder, Order, OrderStatus
from backfuturectl.strategy.averaging.state import Setup
from backfuturectl.strategy.base import BotIdentity
from tests.shell.engine.test_crash_everywhere import (
    PHASE_S,
    STEP_S,
    CrashingStore,
    Points,
    Scenario,
)
from tests.shell.world import NAME, PAIR, Disk, LoopClock
from tests.unit.strategy.venue import KIND, setup

pytestmark = pytest.mark.looptime(noop_cycles=1)

D = Decimal
_SPOT, _FUTURES = MarketKind.SPOT, MarketKind.FUTURES
SCENARIOS = {
    "spot, two rungs, take profit": Scenario(_SPOT, ("100", "97.9", "95.9", "103"), "takeProfit"),
    "futures short, two rungs, take profit": Scenario(
        _FUTURES, ("100", "102.1", "104.2", "94"), "takeProfit", {"direction": "short"}, down_s=20
    ),
    "futures long, one rung, stop": Scenario(_FUTURES, ("100", "97.9", "88"), "stopLoss"),
}


class CrashingPaper(PaperAccount):
    """A paper account whose writes are side effects to crash at."""

    points: Points

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
class Outcome:
    """What the journal says in the end, without times and attempts."""

    traded: Counter[tuple[LegKind, Decimal, Decimal]]
    results: tuple[Decimal | None, ...]
    exits: tuple[str | None, ...]
    resting: int
    position: Decimal


@dataclass
class Life:
    """One run of a scenario over any number of lives."""

    scenario: Scenario
    disk: Disk
    points: Points
    setup: Setup
    starts: int = 0

    async def play(self) -> Outcome:
        """Run the scenario to its end."""
        async with AsyncExitStack() as stack:
            bot, account, store = await self._start(stack)
            for price in self.scenario.prices:
                for _ in range(PHASE_S // STEP_S):
                    # Without a spread: what a lost fill had paid of one is not known afterwards.
                    quote = Quote(D(price), D(price), D(price))
                    account.see(quote, LoopClock().now_ms())
                    bot.offer_price(quote, LoopClock().now_ms())
                    await asyncio.sleep(STEP_S)
                    if self.points.is_dead:
                        await stack.aclose()
                        self.points.is_dead = False
                        await asyncio.sleep(self.scenario.down_s)
                        bot, account, store = await self._start(stack)
            orders = {row.client_order_id: row for row in await store.orders()}
            fills = await store.fills(NAME.bot)
            deals = await store.deals()
            assert len({fill.fill_id for fill in fills}) == len(fills)
            position = await account.position(PAIR)
            held = (await account.balances()).total.get("BTC", ZERO)
            for row in orders.values():
                told = sum(f.amount_base for f in fills if f.client_order_id == row.client_order_id)
                assert told == row.filled_base
            return Outcome(
                traded=Counter(
                    (orders[f.client_order_id].leg.kind, f.price, f.amount_base) for f in fills
                ),
                results=tuple(deal.result_quote for deal in deals),
                exits=tuple(deal.exit_leg for deal in deals),
                resting=sum(row.status is OrderStatus.OPEN for row in orders.values()),
                position=position.amount_base if position is not None else held,
            )

    async def _start(self, stack: AsyncExitStack) -> tuple[Bot, PaperAccount, CrashingStore]:
        self.starts += 1
        store = self.disk.store(CrashingStore)
        store.points = self.points
        journal = await Journal.load(store, NAME)
        ids = [order.client_order_id for order in journal.orders]
        account = CrashingPaper(
            self.setup.market,
            leverage=self.setup.terms.leverage,
            margin_mode="isolated",
            now_ms=LoopClock().now_ms,
            orders=journal.orders,
            fills=await store.fills(NAME.bot, client_order_ids=ids),
        )
        account.points = self.points
        known = replace(self.setup, identity=BotIdentity(store.installation, NAME.bot))
        stored = next(iter(await store.bots()), None)
        bot = Bot(
            NAME,
            installation=store.installation,
            kind=KIND,
            state=KIND.load(stored.state, known) if stored else KIND.initial(known),
            market=known.market,
            account=account,
            journal=journal,
            room=DealRoom(1, D(1000)),
            clock=LoopClock(),
            jitter=random.Random(1),
            provenance=Provenance(1, "abc"),
            on_trouble=lambda _: None,
        )
        task = asyncio.get_running_loop().create_task(bot.run())
        stack.push_async_callback(_kill, task)
        return bot, account, store


async def _kill(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


def life(scenario: Scenario, disk: Disk, *crash_at: int) -> Life:
    changes = {
        "cooldown": {"afterTakeProfit": "1d", "afterStopLoss": "1d"},
        # A limit order that would have taken may rest at its own, worse, price after a crash.
        "entry": {"orderType": "market"},
        **scenario.changes,
    }
    return Life(scenario, disk, Points(frozenset(crash_at)), setup(scenario.kind, **changes))


@pytest.mark.long
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_paper_bot_ends_as_if_it_had_never_crashed(name: str, disk: Disk) -> None:
    scenario = SCENARIOS[name]
    calm = life(scenario, disk)
    expected = await calm.play()
    assert expected.exits == (scenario.ends_by,)
    assert (expected.position, expected.resting) == (ZERO, 0)

    wrong = {}
    for number, point in enumerate(calm.points.names):
        disk.wipe()
        crashed = life(scenario, disk, number)
        outcome = await crashed.play()
        assert crashed.starts == 2, "the run must have crashed there"
        if outcome != expected:
            wrong[f"{number}: {point}"] = outcome
    assert not wrong, f"expected {expected}"


async def test_a_liquidated_paper_position_stays_liquidated_after_a_restart(disk: Disk) -> None:
    whole = {"averaging": {"maxPlaced": 3}}  # no rung is left to be placed after the fall
    first = await life(Scenario(_FUTURES, ("100", "40"), "", whole), disk).play()
    again = await life(Scenario(_FUTURES, ("40",), "", whole), disk).play()
    for outcome in (first, again):
        assert (outcome.position, outcome.resting) == (ZERO, 0)
        assert LegKind.LIQUIDATION in {leg for leg, _, _ in outcome.traded}
    assert again == first
    told = [stored.event.reason for stored in await disk.store(CrashingStore).events()]
    assert told.count("Liquidated") == 1
    assert "PositionMismatch" not in told
