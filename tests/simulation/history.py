"""One seed, one history: trouble first, then calm, in which everything must converge."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import tempfile
from copy import deepcopy
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from backfuturectl.strategy.base import Gate
from tests.simulation import prices
from tests.simulation.agreement import books_differ, not_ready
from tests.simulation.clockwork import Clockwork
from tests.simulation.faults import GOOD_RIGHTS, READ_RIGHTS, WITHDRAW_RIGHTS
from tests.simulation.invariants import BrokenError
from tests.simulation.world import STEP_S, Daemon, Plan, Recorder, World

TROUBLE_STEPS = 1000
CALM_STEPS = 1500
TAKE_PROFITS = (
    "{percent: 1, trailing: {deviationPct: 0.25}}",
    "{percent: 1, steps: [{sharePct: 50, profitPct: 0.8}, {sharePct: 50, profitPct: 1.6}]}",
)
RECOVERY = (
    "{enabled: true, trigger: {drawdownPct: 4, confirmFor: 20s, emaSpan: 30s}, "
    "actions: {takeProfitPct: 0.4, strict: {minInterval: 60s}}, "
    "exit: {drawdownPct: 2, confirmFor: 60s}, "
    "escalate: {drawdownPct: 8, cooldown: 60s, maxPerWindow: {count: 9, window: 1d}}}"
)


class HistoryError(AssertionError):
    """A history went wrong; the message says how to see it again."""


@dataclass(frozen=True)
class Told:
    """What a history amounted to.

    Attributes:
        digest: Equal for two runs of one seed.
    """

    seed: int
    kind: str
    orders: int
    fills: int
    deals: int
    lives: int
    virtual_s: float
    digest: str


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
            replaced by an older copy.
    """

    def __init__(self, seed: int, folder: Path, world: list[World]) -> None:
        self._seed = seed
        self._folder = folder
        self._out = world
        self.kind = {7: "twin", 3: "relapse", 8: "relapse"}.get(seed % 10, "usual")
        self._lives = 0
        self._stored = b""

    async def play(self) -> Told:
        """Run it."""
        w = self._w = World(self._seed, self._folder)
        self._out.append(w)
        logging.getLogger("backfuturectl").addHandler(Recorder(w))
        asyncio.get_running_loop().set_exception_handler(self._unretrieved)
        w.originals = {plan.name: plan for plan in self._plans()}
        w.plans = deepcopy(w.originals)
        w.write()
        w.add_foreign()
        self._daemon = w.add_daemon("daemon")
        try:
            await self._start(self._daemon)
            await self._trouble()
            w.note("calm")
            await self._calm()
            return self._told()
        finally:
            for daemon in w.daemons:
                await w.kill(daemon)
            for task in list(w.underway):
                task.cancel()

    def _unretrieved(self, _: object, context: dict[str, object]) -> None:
        self._w.defect = self._w.defect or f"{context.get('message')}: {context.get('exception')!r}"

    def _plans(self) -> list[Plan]:
        rng = self._w.rng
        spot = Plan("grid", "spot", ("BTC/USDT", "ETH/USDT"))
        futures = Plan("swing", "futures", rng.choice((("BTC/USDT",), ("BTC/USDT", "ETH/USDT"))))
        if rng.random() < 0.5:
            futures.fields["direction"] = "short"
        if rng.random() < 0.3:
            spot.fields["maxActiveDeals"] = "1"
        for plan in (spot, futures):
            plan.fields["onChange"] = rng.choice(("keep", "adopt", "drain", "close"))
            plan.fields["onDelete"] = rng.choice(("drain", "close"))
            if rng.random() < 0.3:
                plan.fields["baseOrder"] = "60 USDT"
            if rng.random() < 0.5:
                plan.fields["takeProfit"] = rng.choice(TAKE_PROFITS)
            if rng.random() < 0.5:
                plan.fields["recovery"] = RECOVERY
        return rng.choice(([spot], [futures], [spot, futures]))

    # Trouble.

    async def _trouble(self) -> None:
        w, rng = self._w, self._w.rng
        happenings = {
            self._new_weather: 0.02,
            self._edit: 0.006,
            self._crash: 0.004,
            self._change_key: 0.002,
        }
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
            if self.kind == "twin" and w.steps == twin_at:
                w.is_shared = True
                await self._start(w.add_daemon("twin"))
            if self.kind == "relapse" and w.steps >= copy_at and not self._stored:
                self._stored = daemon.snapshot()
                w.note("the store is copied")
            if self.kind == "relapse" and w.steps >= relapse_at and not w.shut_bots:
                await self._relapse()
                break

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
        w.weather.lag_s = rng.choice((0.05, 0.15, 0.15, 1.0))
        w.note(f"weather: {w.weather}")

    async def _change_key(self) -> None:
        w, rng = self._w, self._w.rng
        name = rng.choice(sorted(w.keys))
        w.keys[name].rights = rng.choice(
            (GOOD_RIGHTS, GOOD_RIGHTS, WITHDRAW_RIGHTS, READ_RIGHTS, None)
        )
        w.note(f"key of {name}: {w.keys[name].rights}")
        if rng.random() < 0.7 and self._daemon.is_up:
            self._daemon.c.test_soon(name)

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
        edit = rng.choice(
            (
                "takeProfit",
                "takeProfits",
                "recovery",
                "averaging",
                "risk",
                "pairs",
                "state",
                "delete",
                "broken",
                "onChange",
                "stopLoss",
                "marginLimit",
                "mend",
            )
        )
        match edit:
            case "takeProfit":
                plan.fields["takeProfit"] = f"{{percent: {rng.choice((0.6, 1, 1.5, 2))}}}"
            case "takeProfits":
                plan.fields["takeProfit"] = rng.choice(TAKE_PROFITS)
            case "recovery":
                plan.fields["recovery"] = rng.choice((RECOVERY, "{enabled: false}"))
            case "stopLoss":
                plan.fields["stopLoss"] = f"{{percent: {rng.choice((12, 15, 20))}}}"
            case "averaging":
                plan.fields["averaging"] = (
                    f"{{firstDeviationPct: {rng.choice((1.2, 1.5))}, stepScale: 1.1, "
                    f"firstSizeRatio: 1, volumeScale: {rng.choice((1, 1.3))}, "
                    f"maxOrders: {rng.randrange(1, 6)}, maxPlaced: {rng.randrange(1, 4)}}}"
                )
            case "risk":
                plan.fields["risk"] = rng.choice(("custom", "balanced", "conservative"))
            case "pairs":
                plan.pairs = rng.choice((("BTC/USDT",), ("ETH/USDT",), ("BTC/USDT", "ETH/USDT")))
            case "state":
                plan.fields["state"] = rng.choice(("running", "running", "paused", "stopped"))
            case "onChange":
                plan.fields["onChange"] = rng.choice(("keep", "adopt", "drain", "close"))
            case "marginLimit":
                plan.fields["marginLimit"] = rng.choice(("1000 USDT", "700 USDT", "10%"))
            case "broken":
                plan.is_broken = True
            case "mend":
                plan.is_broken = False
            case "delete":
                del w.plans[name]
        w.note(f"edit {name}: {edit} {plan}")
        w.write()
        if self._daemon.is_up:
            self._daemon.c.look_soon()

    async def _relapse(self) -> None:
        """Put an older copy of the store in the place of the present one."""
        w, daemon = self._w, self._daemon
        await w.kill(daemon)
        await w.step(8)  # what is under way arrives
        daemon.restore(self._stored)
        for key, deals in w.ledger.deals.items():
            ids = [o.client_id or "" for number in deals for o in w.ledger.orders(key, number)]
            if any(w._row(daemon, name) is None for name in ids):
                w.shut_bots.add(w.ledger.traders[key].bot)
        w.note(f"the store is as old as its copy; these must stay shut: {sorted(w.shut_bots)}")
        await w.start(daemon)

    # Calm.

    async def _calm(self) -> None:
        w = self._w
        weather = w.weather
        weather.level = weather.store_level = 0
        weather.has_prices, weather.hides, weather.lag_s = True, False, 0.05
        for key in w.keys.values():
            key.rights = GOOD_RIGHTS
        daemon = self._daemon
        if not daemon.is_up:
            await w.kill(daemon)
            await w.start(daemon)
        assert daemon.life is not None
        daemon.life.crash_at = None
        if self.kind == "usual":
            w.plans = deepcopy(w.originals)
            w.write()
        for some in w.daemons:
            for name in w.keys:
                some.c.test_soon(name)
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
            digest=hashlib.sha256(text.encode()).hexdigest()[:16],
        )
