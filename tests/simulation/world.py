"""Whole daemons on virtual time: their files, stores, exchange, and everything that happens."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from sqlite3 import Connection as Driver

from backfuturectl.engine.bot import Bot
from backfuturectl.exchanges.ccxt_adapter import KeyMaterial
from backfuturectl.exchanges.port import AccountPort
from backfuturectl.matching.values import (
    ClientIdScope,
    FeeMode,
    Listing,
    OrderRequest,
    VenueOrder,
    VenueRules,
    symbol_of,
    wallet_of,
)
from backfuturectl.matching.venue import Venue
from backfuturectl.model.errors import OperationError
from backfuturectl.model.ids import OrderName, parse_client_order_id
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import LegKind, NewOrder, OrderStatus, OrderType, Side
from backfuturectl.reconcile.controller import Controller
from backfuturectl.reconcile.hub import Hub, Opened, Where
from backfuturectl.reconcile.source import Source
from backfuturectl.store.engines import Engines, open_engines
from backfuturectl.store.writer import InlineWriter
from backfuturectl.strategy.averaging.state import Phase
from backfuturectl.strategy.base import Gate
from tests.shell.reconcile.town import Decryptor
from tests.shell.world import START_MS, LoopClock
from tests.simulation.faults import (
    Disturbed,
    Key,
    Life,
    Sight,
    UnreliableAccount,
    UnreliablePublic,
    UnreliableStore,
    Weather,
)
from tests.simulation.invariants import (
    BrokenError,
    Ledger,
    Trader,
    codes,
    one_task_per_bot,
    parsed,
)
from tests.simulation.prices import START
from tests.simulation.prices import path as price_path
from tests.simulation.visits import TOLD
from tests.unit.config import samples
from tests.unit.strategy.venue import market

STEP_S = 2.0
FUNDING_RATE = Decimal("0.0005")
OWN_COINS = Decimal(10)
"""Of each base on spot: coins of the owner that no bot may ever sell."""

SPOT, FUTURES = MarketKind.SPOT, MarketKind.FUTURES
CONNECTIONS = {"spot": SPOT, "futures": FUTURES}
PAIRS = ("BTC/USDT", "ETH/USDT")
LIMIT = Decimal(1000)

_ADDING_PHASES = {
    LegKind.BASE: frozenset({Phase.FLAT}),
    LegKind.RUNG: frozenset({Phase.ACTIVE, Phase.RECOVERY}),
}
_GATES = {Gate.OPEN: "open", Gate.EXITS_ONLY: "exitsOnly", Gate.SHUT: "shut"}


@dataclass
class Plan:
    """One strategy as the files shall have it.

    Attributes:
        text: Fields of the spec that differ from the usual.
        is_broken: Whether the file is cut in the middle.
    """

    name: str
    connection: str
    pairs: tuple[str, ...]
    fields: dict[str, str] = field(default_factory=dict)
    is_broken: bool = False

    def text(self) -> str:
        fields = {
            "risk": "custom",
            "marginLimit": f"{LIMIT} USDT",
            "maxActiveDeals": "2",
            "baseOrder": "auto",
            "averaging": "{firstDeviationPct: 1.2, stepScale: 1.2, firstSizeRatio: 1, "
            "volumeScale: 1.2, maxOrders: 4, maxPlaced: 2, minInterval: 20s}",
            "takeProfit": "{percent: 1}",
            "stopLoss": "{percent: 15, confirmFor: 0s}",
            "cooldown": "{afterTakeProfit: 20s, afterStopLoss: 60s}",
            "entry": "{trigger: immediate, orderType: limit, timeout: 2m, maxSlippagePct: 0.3}",
            "recovery": "{enabled: false}",
            "pairs": f"[{', '.join(self.pairs)}]",
            **({"leverage": "2"} if self.connection == "futures" else {}),
            **self.fields,
        }
        spec = "\n".join(f"{name}: {value}" for name, value in fields.items())
        text = samples.strategy(self.name, spec=spec, on=self.connection)
        return text[: len(text) // 2] + "\n  pairs: [" if self.is_broken else text


@dataclass
class Daemon:
    """One installation: a store that outlives its processes, and the process of the moment."""

    name: str
    engines: Engines
    life: Life | None = None
    task: asyncio.Task[None] | None = None
    controller: Controller | None = None
    store: UnreliableStore | None = None

    @property
    def is_up(self) -> bool:
        return self.controller is not None and self.life is not None and not self.life.is_dead

    @property
    def c(self) -> Controller:
        assert self.controller is not None, "the daemon runs"
        return self.controller

    def snapshot(self) -> bytes:
        """Return the database as it is."""
        return self._driver().serialize()

    def restore(self, database: bytes) -> None:
        self._driver().deserialize(database)

    def _driver(self) -> Driver:
        with self.engines.writer.connect() as connection:
            driver = connection.connection.driver_connection
        assert isinstance(driver, Driver)
        return driver


class Recorder(logging.Handler):
    """Keeps the last log records, and the first defect."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info is not None:
            text = f"{text}\n{self.formatException(record)}"
        self._world.note(f"{record.levelname} {text}")
        if record.name.startswith("backfuturectl.engine.") and isinstance(record.args, tuple):
            self._world.visited.update(TOLD[arg] for arg in record.args if arg in TOLD)
        if record.levelno >= logging.ERROR and "events were not recorded" not in text:
            self._world.defect = self._world.defect or text

    def formatException(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return logging.Formatter().formatException(record.exc_info)  # type: ignore[arg-type]


def drawn_venue(rng: random.Random) -> Venue:
    """Return an exchange whose fees and depth *rng* decides."""
    fee = rng.choice((FeeMode.QUOTE, FeeMode.RECEIVED))
    depth = rng.choice((None, None, Decimal("0.9"), Decimal("0.2")))
    return new_venue(fee, depth)


def new_venue(spot_fee: FeeMode, depth_base: Decimal | None) -> Venue:
    """Return an exchange that takes client order ids twice, with money and the owner's coins."""
    venue = Venue("kucoin", VenueRules(client_id_scope=ClientIdScope.NONE))
    for name, kind in CONNECTIONS.items():
        venue.add_account(name)
        venue.deposit(name, wallet_of(kind), "USDT", Decimal(20_000), START_MS)
        for pair in PAIRS:
            base = pair.partition("/")[0]
            rules = replace(market(kind), pair=pair, base=base)
            mode = spot_fee if kind is SPOT else FeeMode.QUOTE
            venue.add_listing(
                Listing(
                    rules,
                    fee_mode=mode,
                    fill_max_base=depth_base,
                    funding_rate=FUNDING_RATE if kind is not SPOT else Decimal(0),
                    funding_interval_ms=3_600_000,
                )
            )
            venue.set_price(symbol_of(kind, pair), Decimal(int(START)), START_MS)
            if kind is SPOT:
                venue.deposit(name, wallet_of(kind), base, OWN_COINS, START_MS)
    return venue


class World:
    """Everything there is in one history.

    Attributes:
        keys: Each connection's key, as the exchange has it.
        originals: The strategies that the files had at first, and shall have in the end.
        plans: The strategies that the files shall have.
        underway: Requests that go on without the daemon that sent them.
        foreign: Resting orders of somebody else: account and serial.
        shut_bots: Bots that must not send anything any more.
        is_shared: Whether two installations trade the accounts, each for itself.
        is_held_by_hand: Whether the owner has enlarged the futures position himself.
        visited: What was come by; see `visits`.
        last: What happened last, for the report of a failure.
        defect: The first thing that was logged as a defect.
    """

    def __init__(self, seed: int, root: Path, venue: Venue | None = None) -> None:
        self.seed = seed
        self.root = root
        self.rng = self.stream("events")
        self.clock = LoopClock()
        self.last: deque[str] = deque(maxlen=80)
        self.defect = ""
        self.decryptor = Decryptor()
        self.weather = Weather(self.stream("weather"))
        self.sights = {name: Sight() for name in CONNECTIONS}
        self.keys = {name: Key() for name in CONNECTIONS}
        self.originals: dict[str, Plan] = {}
        self.plans: dict[str, Plan] = {}
        self.daemons: list[Daemon] = []
        self.underway: set[asyncio.Task[None]] = set()
        self.foreign: list[tuple[str, int]] = []
        self.shut_bots: set[str] = set()
        self.is_shared = False
        self.is_held_by_hand = False
        self.visited: set[str] = set()
        self.steps = 0
        self.lives = 0
        self.venue = venue or drawn_venue(self.stream("venue"))
        self.prices: dict[str, Iterator[Decimal]] = {
            symbol: price_path(self.stream(f"prices {symbol}")) for symbol in self.venue.listings
        }
        self.last_price = dict.fromkeys(self.venue.listings, Decimal(int(START)))
        self.ledger = Ledger(self.venue, tuple(CONNECTIONS), {})

    def stream(self, what: str) -> random.Random:
        """Return randomness for one purpose, so that one more draw here changes nothing there."""
        return random.Random(f"{self.seed} {what}")

    def note(self, text: str) -> None:
        at_s = asyncio.get_running_loop().time()
        self.last.append(f"{at_s:9.3f} {text}")

    # The exchange.

    def add_foreign(self) -> None:
        """Rest orders of somebody else far from the price, some with ids that look like ours."""
        for name, kind in CONNECTIONS.items():
            for client_id in (None, "web-4711"):
                order = self.venue.place(
                    name,
                    OrderRequest(
                        symbol=symbol_of(kind, "BTC/USDT"),
                        side=Side.BUY,
                        type=OrderType.LIMIT,
                        amount_base=Decimal("0.1"),
                        price=Decimal(20),
                        client_id=client_id,
                        leverage=1 if kind is FUTURES else None,
                    ),
                    self.clock.now_ms(),
                )
                self.foreign.append((name, order.serial))

    # Daemons.

    def add_daemon(self, name: str) -> Daemon:
        engines = open_engines("sqlite://", f"{self.seed} {name}".encode(), in_memory=True)
        daemon = Daemon(name, engines)
        self.daemons.append(daemon)
        self.ledger.traders.update(codes(self.traders(), engines.installation))
        return daemon

    def traders(self) -> Iterator[Trader]:
        """Yield every bot that any edit may bring into being."""
        for plan in self.originals.values():
            is_short = plan.fields.get("direction") == "short"
            for pair in PAIRS:
                kind = CONNECTIONS[plan.connection]
                yield Trader(
                    strategy=plan.name,
                    pair=pair,
                    account=plan.connection,
                    kind=kind,
                    sign=-1 if is_short else 1,
                    leverage=2 if kind is FUTURES else 1,
                    limit=LIMIT,
                )

    async def start(self, daemon: Daemon, *, crash_at: int | None = None) -> None:
        """Start a process on what files and store hold."""
        assert daemon.task is None, "one process at a time"
        life = daemon.life = Life(daemon.name, lambda: self.note(f"{daemon.name} dies"), crash_at)
        store = UnreliableStore(daemon.engines, InlineWriter(daemon.engines.writer), None)
        store.life, store.weather = life, self.weather
        daemon.store = store
        started: asyncio.Future[Controller] = asyncio.get_running_loop().create_future()
        self.lives += 1
        number = self.lives

        async def run() -> None:
            async with asyncio.TaskGroup() as tasks:
                hub = Hub(
                    tasks,
                    self.clock,
                    random.Random(number),
                    opener=lambda where: self._open(where, daemon, life, store),
                    price_interval_s=STEP_S,
                )
                controller = Controller(
                    source=Source(self.root, self.decryptor, self.clock, settle_s=0.25),
                    store=store,
                    clock=self.clock,
                    rng=self.stream(f"jitter {daemon.name} {number}"),
                    tasks=tasks,
                    hub=hub,
                    scan_interval_s=30.0,
                    test_interval_s=120.0,
                    prune_grace_s=10.0,
                )
                await controller.restore()
                started.set_result(controller)
                await controller.run()

        self.note(f"{daemon.name} starts, to crash at effect {crash_at}")
        daemon.task = asyncio.get_running_loop().create_task(run(), name=daemon.name)
        await asyncio.wait([daemon.task, started], return_when=asyncio.FIRST_COMPLETED)
        if daemon.task.done():
            await daemon.task
        daemon.controller = started.result()

    async def stop(self, daemon: Daemon) -> None:
        """End the process in order."""
        if daemon.is_up:
            self.note(f"{daemon.name} stops in order")
            await daemon.c.strategies.stop_all()
        await self.kill(daemon)

    async def kill(self, daemon: Daemon) -> None:
        """End the process at once; nothing that it still does reaches the world."""
        if daemon.life is not None:
            daemon.life.die()
        task, daemon.task, daemon.controller = daemon.task, None, None
        if task is None:
            return
        if task.done() and not task.cancelled():
            await task
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.001)
        with suppress(asyncio.CancelledError):
            await task

    def _open(self, where: Where, daemon: Daemon, life: Life, store: UnreliableStore) -> Opened:
        kind = where[1]
        name = next(name for name, known in CONNECTIONS.items() if known is kind)
        now_ms = self.clock.now_ms

        def account(key: KeyMaterial) -> AccountPort:
            return UnreliableAccount(
                self.venue,
                name,
                kind,
                now_ms=now_ms,
                key=self.keys[name],
                way=Disturbed(life, self.weather, self.keys[name]),
                sight=self.sights[name],
                on_send=lambda order: self._check_sent(order, name, daemon, store),
                spawn=self._spawn,
            )

        way = Disturbed(life, self.weather)
        public = UnreliablePublic(self.venue, kind, now_ms=now_ms, disturbance=way)
        public.weather = self.weather
        return Opened(public, account)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="under way")
        self.underway.add(task)
        task.add_done_callback(self.underway.discard)

    # People.

    def by_hand(
        self, daemon: Daemon, target: str, verb: str, *, cancel: bool = False, close: bool = False
    ) -> None:
        """Let an operator ask *daemon* for something; a command to one that dies is lost."""
        hand = daemon.c.strategies.hand

        async def ask() -> None:
            with suppress(OperationError):  # the store fails: the operator is told
                if verb == "lift":
                    await hand.lift(target)
                else:
                    await hand.hold(target, verb, cancel=cancel, close=close)

        self._spawn(ask())

    def trade_by_hand(self, *, opens: bool) -> None:
        """Let the owner enlarge the futures position, and take that back later."""
        long = all(t.sign > 0 for t in self.traders() if t.kind is FUTURES)
        request = OrderRequest(
            symbol=symbol_of(FUTURES, "BTC/USDT"),
            side=Side.BUY if long is opens else Side.SELL,
            type=OrderType.MARKET,
            amount_base=Decimal("0.05"),
            leverage=2,
        )
        self.note(f"the owner trades by hand: {request.side} {request.amount_base}")
        self.venue.place("futures", request, self.clock.now_ms())
        self.is_held_by_hand = opens

    # Checks.

    def _check_sent(
        self, order: NewOrder, account: str, daemon: Daemon, store: UnreliableStore
    ) -> None:
        """What must hold when an order leaves the daemon."""
        try:
            self._must_hold_at_send(order, account, daemon)
        except BrokenError as error:
            self.defect = self.defect or str(error)
            raise
        self.note(
            f"{daemon.name} {account} sends {order.client_order_id} {order.side} "
            f"{order.amount_base} {order.pair} at {order.price} {order.type}"
        )

    def _must_hold_at_send(self, order: NewOrder, account: str, daemon: Daemon) -> None:
        name = parse_client_order_id(order.client_order_id)
        if name is None:
            raise BrokenError(f"{order.client_order_id} is no id of ours")
        trader = self.ledger.traders[name.installation, name.bot]
        if trader.bot in self.shut_bots and daemon is self.daemons[0]:
            raise BrokenError(f"{trader.bot} must stay shut and sends {order}")
        row = self._row(daemon, order.client_order_id)
        if row != OrderStatus.INTENDED:
            raise BrokenError(f"{order.client_order_id} is sent while the store says {row}")
        if not name.leg.kind.is_adding or daemon.controller is None:
            return
        line = daemon.c.lines.line(account)
        if line.report is not None and not line.is_online:
            raise BrokenError(
                f"{order.client_order_id} adds while {account} is {line.report.outcome}"
            )
        seat = daemon.c.strategies.seats.get(trader.bot)
        if seat is None:
            raise BrokenError(f"{order.client_order_id} is sent by a bot that is not on the books")
        self._must_suit_the_phase(order, name, seat.bot)
        if seat.bot.gate[0] is not Gate.OPEN:
            raise BrokenError(f"{order.client_order_id} adds while the gate is {seat.bot.gate}")
        others = [
            other
            for other in daemon.c.strategies.of(trader.strategy).values()
            if other is not seat and other.bot.view().deal_number is not None
        ]
        most = seat.planned.spec.max_active_deals or 1
        if len(others) + 1 > most and not name.attempt and name.leg.kind.value == "b":
            raise BrokenError(f"{order.client_order_id} begins a deal beyond {most}")

    def _must_suit_the_phase(self, order: NewOrder, name: OrderName, bot: Bot) -> None:
        """Check what a phase lets a bot add; *bot*'s state is the one that decided *order*."""
        phase, view = bot._stepper._state.phase, bot.view()
        if phase not in _ADDING_PHASES[name.leg.kind]:
            raise BrokenError(f"{order.client_order_id} adds in {phase}")
        if phase is not Phase.RECOVERY:
            return
        sign = 1 if order.side is Side.BUY else -1
        if view.average is None or sign * (view.average - order.price) <= 0:
            raise BrokenError(
                f"{order.client_order_id} at {order.price} moves the average of {view.average} "
                "against the deal in RECOVERY"
            )
        is_extra = name.leg.index > bot._stepper._state.deal.shape.max_orders
        self.visited.add("extra add-on" if is_extra else "strict add-on")

    def is_known(self, daemon: Daemon, order: VenueOrder) -> bool:
        """Return whether *daemon*'s store has *order*."""
        return self._row(daemon, order.client_id or "") is not None

    def is_noticed(self, order: VenueOrder) -> bool:
        """Return whether *order* leaves a trace by which a journal that lacks it is told.

        One within a deal that was canceled before it filled leaves none, and did nothing.
        """
        is_base = parsed(order.client_id or "").leg.kind is LegKind.BASE
        return is_base or order.is_open or order.filled_base > 0

    def _row(self, daemon: Daemon, client_order_id: str) -> str | None:
        with daemon.engines.reader.connect() as connection:
            return connection.exec_driver_sql(
                "SELECT status FROM orders WHERE client_order_id = ?", (client_order_id,)
            ).scalar_one_or_none()

    def check(self) -> None:
        """Raise BrokenError for what does not hold right now."""
        if self.defect:
            raise BrokenError(self.defect)
        if self.is_shared:
            self.ledger.update()
        else:
            self.ledger.check()
        for daemon in self.daemons:
            if daemon.task is not None and daemon.task.done():
                daemon.task.result()
                raise BrokenError(f"{daemon.name} ended by itself")
            if daemon.is_up:
                for seat in daemon.c.strategies.seats.values():
                    self.visited.add(seat.bot._stepper._state.phase)
                    self.visited.add(_GATES[seat.bot.gate[0]])
        if self.steps % 10 == 0:
            if len(self.daemons) == 1:
                one_task_per_bot()
            for account, serial in self.foreign:
                if not self.venue.order(account, serial).is_open:
                    raise BrokenError(f"the foreign order {serial} on {account} was touched")

    # Time.

    async def step(self, steps: int = 1) -> None:
        """Let time pass, one price at a time."""
        for _ in range(steps):
            await asyncio.sleep(STEP_S)
            self.steps += 1
            for symbol, prices in self.prices.items():
                price = self.last_price[symbol] = next(prices)
                self.venue.set_price(symbol, price, self.clock.now_ms())
            self.check()

    # Files.

    def write(self) -> None:
        """Write all documents; files of strategies that are no more are removed."""
        wanted = {f"{name}.yaml": plan.text() for name, plan in self.plans.items()}
        for name, kind in CONNECTIONS.items():
            wanted[f"connection-{name}.yaml"] = samples.connection(
                name, exchange="kucoin", market=kind.value, capital="9000 USDT"
            )
        for file in self.root.glob("*.yaml"):
            if file.name not in wanted:
                file.unlink()
        for file_name, text in wanted.items():
            (self.root / file_name).write_text(text)

    async def until(self, what: Callable[[], str], *, within_steps: int) -> str:
        """Let time pass until *what* has nothing to complain of; return its last complaint."""
        complaint = what()
        for _ in range(within_steps // 5):
            if not complaint:
                return ""
            await self.step(5)
            complaint = what()
        return complaint
