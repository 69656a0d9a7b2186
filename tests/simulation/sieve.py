"""One story of a whole daemon, told once without a crash and once with one at each side effect.

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

BTC, ETH, SHORT = (
    symbol_of(SPOT, "BTC/USDT"),
    symbol_of(SPOT, "ETH/USDT"),
    symbol_of(FUTURES, "BTC/USDT"),
)
RECOVERY = (
    "{enabled: true, trigger: {drawdownPct: 4, confirmFor: 20s, emaSpan: 10s}, "
    "actions: {takeProfitPct: 0.4, strict: {minInterval: 60s}}, "
    "exit: {drawdownPct: 2, confirmFor: 60s}, escalate: {drawdownPct: 10, cooldown: 1d}}"
)
REST = "{afterTakeProfit: 1d, afterStopLoss: 1d}"


@dataclass(frozen=True)
class Scene:
    """What the prices are for a while, and which edit is made as it begins."""

    prices: dict[str, str]
    edit: str = ""


STORY = (
    Scene({BTC: "100", ETH: "100", SHORT: "100"}),  # three deals begin
    Scene({BTC: "98.7", ETH: "98.7", SHORT: "101.3"}),  # and average
    Scene({BTC: "97.2", ETH: "98.7", SHORT: "103"}, edit="take profit"),
    Scene({BTC: "97.2", ETH: "98.7", SHORT: "109.5"}, edit="pair"),  # the short is in trouble
    Scene({BTC: "97.2", ETH: "98.7", SHORT: "109.5"}),
    Scene({BTC: "101.5", ETH: "101.5", SHORT: "99"}),  # and everything ends well
)


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


def tell(crash_at: int | None = None) -> Telling:
    """Tell the story, with a crash at that side effect.

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
            return runner.run(_tell(Path(folder), crash_at, told))
        except Exception as error:
            last = "\n".join(told[0].last) if told else ""
            raise BrokenError(f"crashed at side effect {crash_at}: {error}\n{last}") from error
        finally:
            log.level, log.propagate = before
            for handler in list(log.handlers):
                if isinstance(handler, Recorder):
                    log.removeHandler(handler)


async def _tell(folder: Path, crash_at: int | None, told: list[World]) -> Telling:
    w = World(0, folder, new_venue(FeeMode.RECEIVED, None), LoopClock())
    told.append(w)
    logging.getLogger("backfuturectl").addHandler(Recorder(w))
    w.weather.lag_s = 0.05
    short = {"direction": "short", "recovery": RECOVERY, "cooldown": REST}
    w.ask_for(
        [
            Plan("grid", "spot", ("BTC/USDT", "ETH/USDT"), {"cooldown": REST}),
            Plan("swing", "futures", ("BTC/USDT",), short),
        ]
    )
    daemon = w.add_daemon("daemon")
    try:
        await w.start(daemon, crash_at=crash_at)
        life = daemon.life
        assert life is not None
        for scene in STORY:
            _begin(w, daemon, scene)
            for _ in range(PHASE_STEPS):
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


def difference(calm: Telling, crash_at: int) -> str:
    """Tell the story with a crash at that side effect; return how its end differs from *calm*."""
    try:
        crashed = tell(crash_at)
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
    if scene.edit:
        w.write()
        if daemon.is_up:
            daemon.c.look_soon()


def _not_over(w: World, daemon: Daemon) -> str:
    if not daemon.is_up:
        return "the daemon is away"
    return not_ready(w, daemon)


def _ending(w: World, daemon: Daemon) -> Ending:
    store = daemon.store
    assert store is not None
    executions: Counter[tuple[str, str, str, Decimal, Decimal]] = Counter()
    deals: dict[str, list[tuple[str, Decimal | None, str | None]]] = {}
    for trader in w.traders():
        for fill in w.venue.fills(trader.account, trader.symbol):
            name = parse_client_order_id(fill.client_id or "")
            if name is not None:
                what = (trader.symbol, str(name.leg), str(fill.side), fill.price, fill.amount_base)
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
