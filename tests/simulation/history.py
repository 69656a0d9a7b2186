"""One seed, one history: trouble first, then calm, in which everything must converge."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import tempfile
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import repeat
from pathlib import Path

from backfuturectl.matching.values import VenueOrder, symbol_of
from backfuturectl.model.orders import Leg, LegKind
from backfuturectl.model.records import PAPER
from backfuturectl.strategy.base import Gate
from tests.simulation import prices
from tests.simulation.agreement import books_differ, not_ready
from tests.simulation.candles.make import FILES
from tests.simulation.clockwork import Clockwork, now
from tests.simulation.exchange import CONNECTIONS
from tests.simulation.faults import GOOD_RIGHTS, READ_RIGHTS, WITHDRAW_RIGHTS
from tests.simulation.invariants import BrokenError, OverrunError, parsed
from tests.simulation.plans import drawn_plans, edited, tour_plans
from tests.simulation.world import STEP_S, Daemon, Recorder, World

TROUBLE_STEPS = 1000
CALM_STEPS = 1500


_KINDS = {3: "relapse", 4: "swap", 6: "tour", 7: "twin", 8: "relapse", 9: "candles"}


class HistoryError(AssertionError):
    """A history went wrong; the message says how to see it again."""


@dataclass(frozen=True)
class Told:
    """What a history amounted to.

    Attributes:
        open_s: How long its deals were open, in virtual seconds, summed over all of them.
        digest: Equal for two runs of one seed.
        visited: What it came by; see `visits`.
    """

    seed: int
    kind: str
    orders: int
    fills: int
    deals: int
    lives: int
    virtual_s: float
    open_s: float
    digest: str
    visited: frozenset[str] = field(repr=False)


def run(seed: int) -> Told:
    """Run the history of *seed*.

    Raises:
        HistoryError: An invariant broke, or it did not converge.
    """
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=Clockwork) as runner:
        world: list[World] = []
        history = History(seed, Path(folder), world)
        log = logging.getLogger("backfuturectl")
        before = log.level, log.propagate
        log.setLevel(logging.INFO)
        log.propagate = False
        try:
            return runner.run(history.play())
        except Exception as error:
            told = "\n".join(world[0].last) if world else ""
            raise HistoryError(
                f"seed {seed} ({history.kind}): {type(error).__name__}: {error}\n"
                f"last events:\n{told}\n"
                f"seed {seed} ({history.kind}): {type(error).__name__}: {error}\n"
                f"repeat it with: make simulate START={seed} SEEDS=1"
            ) from error
        finally:
            log.level, log.propagate = before
            for handler in list(log.handlers):
                if isinstance(handler, Recorder):
                    log.removeHandler(handler)


class History:
    """What happens, in order.

    Attributes:
        kind: ``usual``; ``twin``: a second daemon trades the accounts; ``relapse``: the store is
            replaced by an older copy; ``swap``: keys are replaced by ones of other accounts and put
            back; ``tour``: prices lead through all of Recovery Mode, the
            exchange contradicts itself once, and so does a position; ``candles``: prices are those
            of candle files.
    """

    def __init__(self, seed: int, folder: Path, world: list[World]) -> None:
        self._seed = seed
        self._folder = folder
        self._out = world
        self.kind = _KINDS.get(seed % 10, "usual")
        self._lives = 0
        self._stored = b""

    async def play(self) -> Told:
        """Run it."""
        w = self._w = World(self._seed, self._folder)
        self._out.append(w)
        logging.getLogger("backfuturectl").addHandler(Recorder(w))
        asyncio.get_running_loop().set_exception_handler(self._unretrieved)
        is_tour = self.kind == "tour"
        w.ask_for(tour_plans(w.rng, self._seed // 10) if is_tour else drawn_plans(w.rng))
        self._daemon = w.add_daemon("daemon")
        try:
            await self._start(self._daemon)
            await self._trouble()
            w.note("calm")
            await self._calm()
            return self._told()
        except OverrunError:
            if not self._daemon.is_up:
                await w.start(self._daemon)
            w.visited.add(
                "overrun"
            )  # nothing follows: the exchange has canceled others' orders too
            return self._told()
        finally:
            for daemon in w.daemons:
                await w.kill(daemon)
            for task in list(w.underway):
                task.cancel()

    def _unretrieved(self, _: object, context: dict[str, object]) -> None:
        self._w.defect = self._w.defect or f"{context.get('message')}: {context.get('exception')!r}"

    # Trouble.

    async def _trouble(self) -> None:
        w, rng = self._w, self._w.rng
        happenings = {
            self._new_weather: 0.02,
            self._new_spread: 0.01,
            self._edit: 0.006,
            self._crash: 0.004,
            self._change_key: 0.003,
            self._take_a_hand: 0.003,
        }
        if self.kind == "tour":
            happenings = {
                self._edit: 0.001,
                self._crash: 0.003,
                self._take_a_hand: 0.004,
                self._new_spread: 0.01,
            }
            lie_at, trade_at = rng.randrange(300, 600), rng.randrange(650, 800)
            signs = {"spot": 1, "futures": -1 if self._is_short() else 1}
            for name, kind in CONNECTIONS.items():
                symbol = symbol_of(kind, "BTC/USDT")
                w.prices[symbol] = prices.tour(w.stream(f"tour {name}"), signs[name])
        if self.kind == "candles":
            for symbol in w.prices:
                w.prices[symbol] = prices.candles(w.stream(symbol), rng.choice(sorted(FILES)))
        swaps = w.stream("swaps")
        twin_at = rng.randrange(200, 600)
        copy_at = rng.randrange(150, 500)
        relapse_at = rng.randrange(copy_at + 50, TROUBLE_STEPS)
        while w.steps < TROUBLE_STEPS:
            await w.step()
            daemon = self._daemon
            if not daemon.is_up:
                await self._resurrect(daemon)
            for happen, share in happenings.items():
                if rng.random() < share:
                    await happen()
            if self.kind == "swap" and swaps.random() < 0.01:
                self._swap_key(swaps.choice(sorted(w.connections)))
            if self.kind == "tour" and w.steps >= lie_at:
                w.sights[rng.choice(sorted(w.sights))].is_lying = True
                lie_at = TROUBLE_STEPS
            if self.kind == "tour" and w.steps >= trade_at:
                w.trade_by_hand(opens=not w.is_held_by_hand)
                trade_at = w.steps + 60 if w.is_held_by_hand else TROUBLE_STEPS
            if self.kind == "twin" and w.steps == twin_at:
                w.is_shared = True
                await self._start(w.add_daemon("twin"))
            if self.kind == "relapse" and w.steps >= copy_at and not self._stored:
                self._stored = daemon.snapshot()
                w.note("the store is copied")
            if self.kind == "relapse" and w.steps >= relapse_at and not w.shut_bots:
                await self._relapse()
                break

    def _is_short(self) -> bool:
        return self._w.originals["swing"].fields.get("direction") == "short"

    async def _start(self, daemon: Daemon) -> None:
        rng = self._w.rng
        self._lives += 1
        crash_at = rng.choice((None, rng.randrange(1, 40), rng.randrange(1, 400)))
        await self._w.start(daemon, crash_at=None if daemon.name == "twin" else crash_at)

    async def _resurrect(self, daemon: Daemon) -> None:
        await self._w.kill(daemon)
        await self._w.step(self._w.rng.choice((1, 1, 2, self._w.rng.randrange(1, 40))))
        await self._start(daemon)

    async def _new_weather(self) -> None:
        w, rng = self._w, self._w.rng
        w.weather.level = rng.choice((0, 0, 0.02, 0.1, 0.3))
        w.weather.store_level = rng.choice((0, 0, 0, 0.05, 0.5))
        w.weather.has_prices = rng.random() > 0.1
        w.weather.hides = rng.random() < 0.5
        w.weather.fills_lag_s = rng.choice((0, 0, 3, 8))
        w.weather.loses_fills = rng.random() < 0.15
        w.weather.lag_s = rng.choice((0.05, 0.15, 0.15, 1.0))
        w.weather.skew_ms = rng.choice((0, 0, 0, 0, 0, -30_000, 30_000))
        w.note(f"weather: {w.weather}")

    async def _new_spread(self) -> None:
        w, rng = self._w, self._w.rng
        w.weather.spread = rng.choice((Decimal(0), Decimal(0), Decimal("0.004")))
        w.note(f"bid and ask are {w.weather.spread} from the price")

    async def _change_key(self) -> None:
        w, rng = self._w, self._w.rng
        name = rng.choice(sorted(w.connections))
        w.keys[name].rights = rng.choice(
            (GOOD_RIGHTS, GOOD_RIGHTS, WITHDRAW_RIGHTS, READ_RIGHTS, None)
        )
        w.note(f"key of {name}: {w.keys[name].rights}")
        if rng.random() < 0.5 and self._daemon.is_up:
            self._daemon.c.test_soon(name)

    async def _take_a_hand(self) -> None:
        """Pause, halt or resume as an operator does; the command dies with its daemon."""
        w, rng = self._w, self._w.rng
        target = rng.choice(("all", *(f"strategy/{name}" for name in sorted(w.originals))))
        verb = rng.choice(("pause", "halt", "lift", "lift"))
        extra = {"cancel": rng.random() < 0.3, "close": verb == "halt" and rng.random() < 0.2}
        if self._daemon.is_up:
            w.note(f"the operator's hand: {verb} {target} {extra}")
            w.by_hand(self._daemon, target, verb, **extra)

    async def _crash(self) -> None:
        w, rng = self._w, self._w.rng
        if rng.random() < 0.3:
            await w.stop(self._daemon)
        else:
            await w.kill(self._daemon)

    async def _edit(self) -> None:
        w, rng = self._w, self._w.rng
        name = rng.choice(sorted(w.originals))
        if name not in w.plans:
            w.plans[name] = deepcopy(w.originals[name])
            w.note(f"{name} is back")
            w.write()
            return
        plan = w.plans[name]
        edit = edited(plan, rng)
        if edit == "delete":
            del w.plans[name]
        w.note(f"edit {name}: {edit} {plan}")
        w.write()
        if self._daemon.is_up:
            self._daemon.c.look_soon()

    def _swap_key(self, name: str) -> None:
        """Give a connection a key of another account, or its own key back."""
        w = self._w
        w.swapped ^= {name}
        w.note(f"the key of {name} is {'a stranger' if name in w.swapped else 'its own'}'s")
        w.write()
        if self._daemon.is_up:
            self._daemon.c.look_soon()

    async def _swap_back(self) -> None:
        """Give every connection its own key at last.

        What was ordered through a stranger's and never answered is asked for there before.
        """
        w = self._w
        for swapped in (set(w.connections), set[str]()):
            for name in sorted(w.swapped ^ swapped):
                self._swap_key(name)
            await w.step(40)

    async def _relapse(self) -> None:
        """Put an older copy of the store in the place of the present one."""
        w, daemon = self._w, self._daemon
        await w.kill(daemon)
        await w.step(15)  # what is under way arrives, and what no list had is listed
        daemon.restore(self._stored)
        for key, deals in w.ledger.deals.items():
            trader = w.ledger.traders[key]
            plan = w.plans.get(trader.strategy)
            is_paper = plan is not None and plan.fields.get("mode") == "paper"
            if is_paper and not w.is_on_books(daemon, trader.bot):
                continue  # whoever starts under this name asks nothing of the account
            orders = [order for number in deals for order in w.ledger.orders(key, number)]
            if any(w.is_noticed(order) and not w.is_known(daemon, order) for order in orders):
                w.shut_bots.add(trader.bot)
        w.ledger.forgives_unfilled = True
        w.note(f"the store is as old as its copy; these must stay shut: {sorted(w.shut_bots)}")
        await w.start(daemon)

    # Calm.

    async def _calm(self) -> None:
        w = self._w
        w.weather.calm_down()
        for key in w.keys.values():
            key.rights = GOOD_RIGHTS
        if w.is_held_by_hand:
            w.trade_by_hand(opens=False)
        daemon = self._daemon
        if not daemon.is_up:
            await w.kill(daemon)
            await w.start(daemon)
        assert daemon.life is not None
        daemon.life.crash_at = None
        if self.kind == "swap":
            await self._swap_back()
        if self.kind in {"usual", "swap", "tour", "candles"}:
            w.plans = deepcopy(w.originals)
            w.write()
            daemon.c.look_soon()
            await w.step(10)
        for some in w.daemons:
            for name in w.connections:
                some.c.test_soon(name)
        for target in ("all", *(f"strategy/{name}" for name in sorted(w.originals))):
            w.by_hand(daemon, target, "lift")
        for number, (symbol, price) in enumerate(w.last_price.items()):
            w.prices[symbol] = prices.calm(price, period=150 + 20 * number)
        if self.kind == "twin":
            await w.step(60)
            for symbol, price in w.last_price.items():
                w.prices[symbol] = repeat(price)
            await w.step(120)
            self._twins_know_each_other()
        elif self.kind == "relapse":
            await w.step(200)
            self._relapsed_are_shut()
        else:
            complaint = await w.until(lambda: not_ready(w, daemon), within_steps=CALM_STEPS)
            if complaint:
                raise BrokenError(f"did not converge: {complaint}")
            await w.step(100)
            for symbol, price in w.last_price.items():
                w.prices[symbol] = repeat(price)
            complaint = await w.until(
                lambda: not_ready(w, daemon) or books_differ(w, daemon), within_steps=200
            )
            if complaint:
                raise BrokenError(f"did not converge: {complaint}")

    def _twins_know_each_other(self) -> None:
        """Who sees orders of the other for long does not add any more."""
        w = self._w
        for daemon in w.daemons:
            own = daemon.engines.installation
            for name, seat in daemon.c.strategies.seats.items():
                trader = next(t for t in w.ledger.traders.values() if t.bot == name)
                others = [
                    order
                    for order in w.venue.open_orders(trader.account, trader.symbol)
                    if (order.client_id or "").startswith("bf")
                    and order.client_id[2:6] != own
                    and order.created_at_ms < w.clock.now_ms() - 120_000
                ]
                if seat.paper is not None:
                    continue  # it sees nothing of the account
                if others and seat.bot.view().open_orders and seat.bot.gate[0] is Gate.OPEN:
                    raise BrokenError(
                        f"{daemon.name} {name} sees {others[0].client_id} and goes on"
                    )

    def _relapsed_are_shut(self) -> None:
        c = self._daemon.c
        for name in self._w.shut_bots:
            seat = c.strategies.seats.get(name)
            if seat is not None and seat.bot.gate[0] is not Gate.SHUT:
                raise BrokenError(f"{name} lost a part of its journal and is {seat.bot.gate}")

    def _told(self) -> Told:
        w = self._w
        orders = [order for account in w.keys for order in w.venue.orders(account)]
        fills = [fill for account in w.keys for fill in w.venue.fills(account)]
        ours = [o.client_id or "" for o in orders if o.filled_base]
        deals = {name[:17] for name in ours if name.startswith("bf")}
        text = str([(o.client_id, o.status, o.filled_quote, o.updated_at_ms) for o in orders])
        return Told(
            seed=self._seed,
            kind=self.kind,
            orders=len(orders),
            fills=len(fills),
            deals=len(deals),
            lives=self._lives,
            virtual_s=w.steps * STEP_S,
            open_s=sum(map(self._open_s, w.daemons)),
            digest=hashlib.sha256(text.encode()).hexdigest()[:16],
            visited=frozenset(w.visited | w.weather.met | _seen_in(orders)),
        )

    def _open_s(self, daemon: Daemon) -> float:
        """Return how long the deals in a daemon's journal were open; not those on paper."""
        assert daemon.store is not None, "it has run"
        now_ms = self._w.clock.now_ms()
        rows = [row for row in now(daemon.store.deals()) if row.environment != PAPER]
        return sum((row.closed_at_ms or now_ms) - row.opened_at_ms for row in rows) / 1000


def _seen_in(orders: Iterable[VenueOrder]) -> set[str]:
    """Return what only the exchange's own books show of a history."""
    seen = set()
    for order in orders:
        name = parsed(order.client_id or "") if order.client_id else None
        if name is None or not order.filled_base:
            continue
        if name.leg == Leg(LegKind.TAKE_PROFIT, 1):
            seen.add("steps")
        if name.leg.kind is LegKind.STOP_LOSS:
            seen.add("watched stop" if order.trigger is None else "stop on the exchange")
        if order.account.startswith("spare"):
            seen.add("deal elsewhere")
    return seen
