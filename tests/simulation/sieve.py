"""Stories of a whole daemon, told once without a crash and once with one at each side effect.

The side effects are each commit to the store and each order placed, canceled or prepared, counted
right before and right after. What must be the same in the end is what money knows: executions,
results, balances, positions, what rests, and what runs. What may differ, and why:

- times, since a crash takes some;
- client order ids, and how many orders came to nothing: an intent whose order was never sent is
  found absent, and the next attempt has an id of its own; likewise a deal that never got its base
  order leaves its number unused;
- how many executions an order took is the same only because the exchange fills whole orders here.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import repeat
from pathlib import Path

from backfuturectl.matching.values import FeeMode, symbol_of, wallet_of
from backfuturectl.model.ids import parse_client_order_id
from backfuturectl.model.orders import OrderStatus
from tests.shell.world import LoopClock
from tests.simulation.agreement import books_differ, not_ready
from tests.simulation.clockwork import Clockwork, now
from tests.simulation.exchange import CONNECTIONS, FUTURES, SPOT, new_venue
from tests.simulation.invariants import BrokenError
from tests.simulation.world import Daemon, Plan, Recorder, World

PHASE_STEPS = 50
"""How long each price lasts: longer than what one crash may delay."""

AWAY_STEPS = 2
"""How long the daemon is away after a crash."""

BTC, ETH = symbol_of(SPOT, "BTC/USDT"), symbol_of(SPOT, "ETH/USDT")
SWING, GUARD = symbol_of(FUTURES, "BTC/USDT"), symbol_of(FUTURES, "ETH/USDT")
RECOVERY = (
    "{enabled: true, trigger: {drawdownPct: 4, confirmFor: 20s, emaSpan: 10s}, "
    "actions: {takeProfitPct: 0.4, strict: {minInterval: 60s}}, "
    "exit: {drawdownPct: 2, confirmFor: 60s}, escalate: {drawdownPct: 10, cooldown: 1d}}"
)
EXACT = "{trigger: immediate, timeout: 1d, maxSlippagePct: 0}"
"""On paper, what rests through a restart fills at its own price, never at a better one."""

REST = "{afterTakeProfit: 1d, afterStopLoss: 1d}"


REDUCING = (
    "{enabled: true, trigger: {drawdownPct: 4, confirmFor: 20s, emaSpan: 10s}, "
    "actions: {takeProfitPct: 0.4, strict: {minInterval: 1d}, "
    "reduce: {enabled: true, closePct: 20, reboundPct: 1, minInterval: 1d, lossBudgetPct: 5}}, "
    "exit: {drawdownPct: 2, confirmFor: 1h}, escalate: {drawdownPct: 8, cooldown: 1d}}"
)


@dataclass(frozen=True)
class Scene:
    """What the prices are for a while, and what people do as it begins.

    Attributes:
        pauses: Strategy that the operator has paused in this scene; empty for none.
    """

    prices: dict[str, str]
    edit: str = ""
    pauses: str = ""


@dataclass(frozen=True)
class Story:
    """Strategies, and what happens to them.

    Attributes:
        starts_ms: How long after the usual morning it begins.
    """

    plans: tuple[Plan, ...]
    scenes: tuple[Scene, ...]
    starts_ms: int = 0


WELL = Story(
    (
        Plan("grid", "spot", ("BTC/USDT", "ETH/USDT"), {"cooldown": REST}),
        Plan(
            "swing",
            "futures",
            ("BTC/USDT",),
            {"direction": "short", "recovery": RECOVERY, "cooldown": REST},
        ),
    ),
    (
        Scene({BTC: "100", ETH: "100", SWING: "100"}),  # three deals begin
        Scene({BTC: "98.7", ETH: "98.7", SWING: "101.3"}),  # and average
        Scene({BTC: "97.2", ETH: "98.7", SWING: "103"}, edit="take profit"),
        Scene({BTC: "97.2", ETH: "98.7", SWING: "109.5"}, edit="pair"),  # the short is in trouble
        Scene({BTC: "97.2", ETH: "98.7", SWING: "109.5"}),
        Scene({BTC: "101.5", ETH: "101.5", SWING: "99"}),  # and everything ends well
    ),
)
"""Ladders, Recovery Mode, edits, funding, take profits."""

BADLY = Story(
    (
        Plan("grid", "spot", ("BTC/USDT",), {"mode": "paper", "entry": EXACT, "cooldown": REST}),
        Plan(
            "swing",
            "futures",
            ("BTC/USDT",),
            {"leverage": "3", "marginMode": "cross", "recovery": REDUCING, "cooldown": REST},
        ),
        Plan("guard", "futures", ("ETH/USDT",), {"cooldown": REST, "maxActiveDeals": "1"}),
    ),
    (
        Scene({BTC: "100", SWING: "100", GUARD: "100"}),  # three deals begin
        Scene({BTC: "98.7", SWING: "98.7", GUARD: "98.7"}),  # and average, one on paper
        Scene({BTC: "97.2", SWING: "92", GUARD: "84"}),  # a stop on the exchange goes off
        Scene({BTC: "97.2", SWING: "93.5", GUARD: "84"}, pauses="grid"),  # a rebound: reduce
        Scene({BTC: "97.2", SWING: "87", GUARD: "84"}, edit="delete"),  # Recovery Mode gives up
        Scene({BTC: "100.5", SWING: "87", GUARD: "84"}),  # a take profit on paper
    ),
    starts_ms=900_000,
)
"""A stop on the exchange, a reduction, an escalation, a pause, a deletion, a deal on paper."""


@dataclass(frozen=True)
class Ending:
    """What is left of a story.

    Attributes:
        executions: How often each bot executed that leg with that side, price and amount.
        deals: Side, result and exit of each bot's deals that traded, in order.
        resting: Open orders of ours.
        states: What runs in the end, and its phase.
        told: What the bots told of themselves on the way; a crash may repeat or delay it.
    """

    executions: Counter[tuple[str, str, str, Decimal, Decimal]]
    deals: dict[str, list[tuple[str, Decimal | None, str | None]]]
    balances: dict[str, dict[str, Decimal]]
    positions: dict[str, Decimal]
    resting: int
    states: dict[str, str]
    told: frozenset[str] = field(compare=False)


@dataclass(frozen=True)
class Telling:
    """How a story was told: its end, the side effects of its first life, and its lives."""

    ending: Ending
    effects: int
    lives: int


def tell(story: Story, crash_at: int | None = None) -> Telling:
    """Tell *story*, with a crash at that side effect.

    Raises:
        BrokenError: An invariant broke on the way, or it did not come to its end.
    """
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=Clockwork) as runner:
        log = logging.getLogger("backfuturectl")
        before = log.level, log.propagate
        log.setLevel(logging.INFO)
        log.propagate = False
        told: list[World] = []
        try:
            return runner.run(_tell(story, Path(folder), crash_at, told))
        except Exception as error:
            last = "\n".join(told[0].last) if told else ""
            raise BrokenError(f"crashed at side effect {crash_at}: {error}\n{last}") from error
        finally:
            log.level, log.propagate = before
            for handler in list(log.handlers):
                if isinstance(handler, Recorder):
                    log.removeHandler(handler)


async def _tell(story: Story, folder: Path, crash_at: int | None, told: list[World]) -> Telling:
    w = World(0, folder, new_venue(FeeMode.RECEIVED, None), LoopClock(story.starts_ms))
    told.append(w)
    logging.getLogger("backfuturectl").addHandler(Recorder(w))
    w.weather.lag_s = 0.05
    w.ask_for(story.plans)
    daemon = w.add_daemon("daemon")
    try:
        await w.start(daemon, crash_at=crash_at)
        life = daemon.life
        assert life is not None
        for scene in story.scenes:
            _begin(w, daemon, scene)
            for _ in range(PHASE_STEPS):
                _pause(w, daemon, scene.pauses)
                await w.step()
                if not daemon.is_up:
                    await w.kill(daemon)
                    await w.step(AWAY_STEPS)
                    await w.start(daemon)
        complaint = await w.until(
            lambda: _not_over(w, daemon) or books_differ(w, daemon), within_steps=300
        )
        if complaint:
            raise BrokenError(f"no end: {complaint}")
        return Telling(_ending(w, daemon), life.effects, w.lives)
    finally:
        await w.kill(daemon)
        for task in list(w.underway):
            task.cancel()


def difference(story: Story, calm: Telling, crash_at: int) -> str:
    """Tell *story* with a crash at that side effect; return how its end differs from *calm*."""
    try:
        crashed = tell(story, crash_at)
    except BrokenError as error:
        return str(error)
    if crashed.lives != 2:
        return f"side effect {crash_at}: {crashed.lives} lives, so it was not there that it crashed"
    return "" if crashed.ending == calm.ending else f"side effect {crash_at}: {crashed.ending}"


def _begin(w: World, daemon: Daemon, scene: Scene) -> None:
    for symbol, price in scene.prices.items():
        w.prices[symbol] = repeat(Decimal(price))
    match scene.edit:
        case "take profit":
            w.plans["grid"].fields["takeProfit"] = "{percent: 1.5}"
        case "pair":
            w.plans["grid"].pairs = ("BTC/USDT",)
        case "delete":
            del w.plans["guard"]
    if scene.edit:
        w.write()
        if daemon.is_up:
            daemon.c.look_soon()


def _pause(w: World, daemon: Daemon, strategy: str) -> None:
    """Have the operator pause just *strategy*; he asks again where a daemon died over it."""
    if not daemon.is_up:
        return
    held = {target for target, _ in daemon.c.strategies.hand.holds}
    wanted = {f"strategy/{strategy}"} if strategy else set()
    for target in held - wanted:
        w.by_hand(daemon, target, "lift")
    for target in wanted - held:
        w.by_hand(daemon, target, "pause")


def _not_over(w: World, daemon: Daemon) -> str:
    if not daemon.is_up:
        return "the daemon is away"
    return not_ready(w, daemon)


def _ending(w: World, daemon: Daemon) -> Ending:
    store = daemon.store
    assert store is not None
    executions: Counter[tuple[str, str, str, Decimal, Decimal]] = Counter()
    deals: dict[str, list[tuple[str, Decimal | None, str | None]]] = {}
    for account in CONNECTIONS:
        for fill in w.venue.fills(account):
            name = parse_client_order_id(fill.client_id or "")
            if name is not None:
                what = (fill.symbol, str(name.leg), str(fill.side), fill.price, fill.amount_base)
                executions[what] += 1
    for trader in w.traders():
        for told in now(store.fills(trader.bot)):
            name = parse_client_order_id(told.client_order_id)
            if told.fill_id.startswith("paper-") and name is not None:
                what = ("paper", str(name.leg), str(told.side), told.price, told.amount_base)
                executions[what] += 1
        ended = sorted(now(store.deals(trader.bot)), key=lambda deal: deal.number)
        deals[trader.bot] = [(d.side, d.result_quote, d.exit_leg) for d in ended]
    return Ending(
        executions=executions,
        deals=deals,
        balances={
            name: {
                coin: balance.total
                for coin, balance in w.venue.balances(name, wallet_of(kind)).items()
            }
            for name, kind in CONNECTIONS.items()
        },
        positions={
            trader.bot: position.amount_base
            for trader in w.traders()
            if trader.kind is FUTURES
            and (position := w.venue.position(trader.account, trader.symbol)) is not None
        },
        resting=sum(row.status is OrderStatus.OPEN for row in now(store.orders())),
        states={name: seat.bot.view().state for name, seat in daemon.c.strategies.seats.items()},
        told=frozenset(stored.event.reason for stored in now(store.events())),
    )
