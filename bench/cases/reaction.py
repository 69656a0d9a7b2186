"""From a price in hand to the order leaving the engine: 1,000 bots in one process, no HTTP.

The engine's own share of `price_to_order`: the feed tells every bot, a few have room for a deal and
open one, each intent is on disk before its order is placed. The exchange is the venue in memory,
whose hooks stamp when prices were answered and when an order arrived.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from backfuturectl.daemon import interpreter
from backfuturectl.emulator.scenario import Scenario, Synthetic, build
from backfuturectl.engine.bot import Bot
from backfuturectl.engine.clock import WallClock
from backfuturectl.engine.entries import BotName, Provenance
from backfuturectl.engine.journal import Journal
from backfuturectl.engine.prices import PriceFeed
from backfuturectl.engine.room import DealRoom
from backfuturectl.exchanges.simulated import PortCall, SimulatedAccount, SimulatedPublic
from backfuturectl.model.market import Market, MarketKind
from backfuturectl.model.resources import StrategySpec
from backfuturectl.store.database import Store
from backfuturectl.strategy.base import BotIdentity, Gate
from backfuturectl.strategy.registry import KINDS
from bench.figures import Bar, Figure

_PER_TICK = 5
_INTERVAL_S = 0.5


class _Stamps:
    """Notes when prices were answered, and how much later each order of a new deal arrived."""

    def __init__(self) -> None:
        self.answered_s = 0.0
        self.answered_cpu_s = 0.0
        self.delays_ms: list[float] = []
        self.cpu_ms: list[float] = []
        self.opened = asyncio.Event()
        self.opened.set()

    async def before(self, call: PortCall) -> None:
        """Note an order."""
        if call is PortCall.PLACE and not self.opened.is_set():
            self.delays_ms.append((time.perf_counter() - self.answered_s) * 1000)
            self.cpu_ms.append((time.process_time() - self.answered_cpu_s) * 1000)
            if len(self.delays_ms) % _PER_TICK == 0:
                self.opened.set()  # the rungs and exits that follow are not the price's doing

    async def after(self, call: PortCall) -> None:
        """Note prices."""
        if call is PortCall.PRICES:
            self.answered_s, self.answered_cpu_s = time.perf_counter(), time.process_time()


def measure(*, quick: bool) -> Iterator[Figure]:
    """Yield the time from a price to each base order that it caused."""
    bots, ticks = (50, 4) if quick else (1_000, 40)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        stamps = asyncio.run(_run(Path(name), bots, ticks))
    bar = None if quick else Bar(20, "p99")
    name = f"price in hand → order leaves the engine, {bots:,} bots"
    yield Figure(name, "ms", stamps.delays_ms, bar)
    yield Figure(f"{name}: CPU time", "ms", stamps.cpu_ms)


async def _run(folder: Path, count: int, ticks: int) -> _Stamps:
    clock, stamps = WallClock(), _Stamps()
    synthetic = (Synthetic(exchange="kucoin", count=count),)
    venue = build(Scenario(synthetic=synthetic, moves=False), clock=clock).exchanges["kucoin"].venue
    public = SimulatedPublic(venue, MarketKind.SPOT, now_ms=clock.now_ms, disturbance=stamps)
    account = SimulatedAccount(
        venue, "main", MarketKind.SPOT, now_ms=clock.now_ms, disturbance=stamps
    )
    markets = await public.markets()
    feed = PriceFeed(public, clock, interval_s=_INTERVAL_S)
    rooms = [DealRoom() for _ in range(count)]
    bots = []
    async with (
        Store.open(f"sqlite:///{folder / 'state.db'}", seed=bytes(16)) as store,
        asyncio.TaskGroup() as group,
    ):
        for number, room in enumerate(rooms):
            market = markets[f"L{number + 1:04d}/USDT"]
            bot = await _bot(number, market, store=store, account=account, room=room)
            feed.listen(market.pair, bot.name.bot, bot.offer_price)
            bots.append(bot)
            group.create_task(bot.run(), name=bot.name.bot)
        for room in rooms:
            room.deals_max = 0
        # A bot trades freely only once it has looked at a price.
        prices = group.create_task(feed.run(), name="prices")
        while any(bot.gate[0] is not Gate.OPEN for bot in bots):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(_INTERVAL_S)
        tending = group.create_task(
            interpreter.tend(lambda: store.is_recording), name="interpreter"
        )
        await asyncio.sleep(2 * _INTERVAL_S)
        rng = random.Random(5)
        for numbers in _rounds(rng.sample(range(count), ticks * _PER_TICK)):
            stamps.opened.clear()
            for number in numbers:
                rooms[number].deals_max = 1
            await stamps.opened.wait()
            await asyncio.sleep(_INTERVAL_S * rng.uniform(1.2, 1.8))
        prices.cancel()
        tending.cancel()
        for bot in bots:
            bot.stop()
    return stamps


def _rounds(numbers: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), _PER_TICK):
        yield numbers[start : start + _PER_TICK]


async def _bot(
    number: int, market: Market, *, store: Store, account: SimulatedAccount, room: DealRoom
) -> Bot:
    name = BotName(f"s{number}/{market.base}-USDT", f"s{number}", "main", market.pair, "averaging")
    spec = StrategySpec.model_validate(
        {
            "connection": "main",
            "pairs": (market.pair,),
            "risk": "conservative",
            "marginLimit": "200 USDT",
            "maxActiveDeals": 1,
        }
    )
    kind = KINDS["averaging"]
    identity = BotIdentity(store.installation, name.bot)
    return Bot(
        name,
        installation=store.installation,
        kind=kind,
        state=kind.initial(kind.setup(spec, market, identity)),
        market=market,
        account=account,
        journal=await Journal.load(store, name),
        room=room,
        clock=WallClock(),
        jitter=random.Random(number),
        provenance=Provenance(1, ""),
        on_trouble=lambda error: print(f"trouble: {error}"),
    )
