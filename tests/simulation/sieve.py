"""`stories` of a whole daemon, told once without a crash and once with one at each side effect.

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

from backfuturectl.matching.values import wallet_of
from backfuturectl.model.ids import parse_client_order_id
from backfuturectl.model.orders import OrderStatus
from tests.shell.world import LoopClock
from tests.simulation.agreement import books_differ, not_ready
from tests.simulation.clockwork import Clockwork, now
from tests.simulation.exchange import CONNECTIONS, FEE_COIN, FUTURES
from tests.simulation.invariants import BrokenError
from tests.simulation.stories import Scene, Story
from tests.simulation.world import Daemon, Recorder, World

PHASE_STEPS = 50
"""How long each price lasts: longer than what one crash may delay."""

AWAY_STEPS = 2
"""How long the daemon is away after a crash."""


@dataclass(frozen=True)
class Ending:
    """What is left of a story.

    Attributes:
        executions: How often each bot executed that leg with that side, price and amount.
        deals: Side, result and exit of each bot's deals that traded, in order.
        fees: What each bot's fees in third coins were worth, quote.
        resting: Open orders of ours.
        states: What runs in the end, and its phase.
        told: What the bots told of themselves on the way; a crash may repeat or delay it.
    """

    executions: Counter[tuple[str, str, str, Decimal, Decimal]]
    deals: dict[str, list[tuple[str, Decimal | None, str | None]]]
    fees: dict[str, Decimal]
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
    w = World(0, folder, story.venue(), LoopClock(story.starts_ms))
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
    if scene.edit is not None:
        scene.edit(w.plans)
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
    fees: dict[str, Decimal] = {}
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
            if told.fee is not None and told.fee.currency == FEE_COIN:
                assert told.fee_price is not None, "its coin always had a price"
                worth = fees.get(trader.bot, Decimal(0)) + told.fee.amount * told.fee_price
                fees[trader.bot] = worth
        ended = sorted(now(store.deals(trader.bot)), key=lambda deal: deal.number)
        deals[trader.bot] = [(d.side, d.result_quote, d.exit_leg) for d in ended]
    return Ending(
        executions=executions,
        deals=deals,
        fees=fees,
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
