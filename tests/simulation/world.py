"""Whole daemons on virtual time: their files, stores, exchange, and everything that happens."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from sqlite3 import Connection as Driver

from backfuturectl.exchanges.ccxt_adapter import KeyMaterial
from backfuturectl.exchanges.port import AccountPort
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.matching.values import MarginMode, OrderRequest, VenueOrder, symbol_of
from backfuturectl.matching.venue import Venue
from backfuturectl.model.errors import OperationError
from backfuturectl.model.ids import bot_id, via_bot_id
from backfuturectl.model.orders import LegKind, NewOrder, OrderType, Side
from backfuturectl.reconcile.controller import Controller
from backfuturectl.reconcile.hub import Hub, Opened, Where
from backfuturectl.reconcile.source import Source
from backfuturectl.store.engines import Engines, open_engines
from backfuturectl.store.writer import InlineWriter
from backfuturectl.strategy.averaging.state import Phase
from backfuturectl.strategy.base import Gate
from tests.shell.reconcile.town import Decryptor
from tests.shell.world import LoopClock
from tests.simulation import paper, sending
from tests.simulation.exchange import (
    ACCOUNTS,
    CONNECTIONS,
    FUTURES,
    PAIRS,
    STRANGERS,
    drawn_clock,
    drawn_venue,
    tell_past,
)
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

STEP_S = 2.0
LIMIT = Decimal(1000)

_GATES = {Gate.OPEN: "open", Gate.EXITS_ONLY: "exitsOnly", Gate.SHUT: "shut"}
_TRADING = {
    PortCall.PREPARE,
    PortCall.PLACE,
    PortCall.CANCEL,
    PortCall.ORDER,
    PortCall.FILLS,
    PortCall.SETTINGS,
    PortCall.FUNDING,
}
"""What a bot asks of an account; a connection test asks for none of it."""


@dataclass
class Plan:
    """One strategy as the files shall have it.

    Attributes:
        fields: Those of the spec that differ from the usual.
        is_broken: Whether the file is cut in the middle.
        via: Connection of new deals while one recovers, as long as the fields name it; empty for
            none.
    """

    name: str
    connection: str
    pairs: tuple[str, ...]
    fields: dict[str, str] = field(default_factory=dict)
    is_broken: bool = False
    via: str = ""

    @property
    def bots(self) -> Iterator[str]:
        """The bots that the file asks for."""
        for pair in self.pairs:
            yield bot_id(self.name, pair)
            if self.via and self.via in self.fields.get("recovery", ""):
                yield via_bot_id(bot_id(self.name, pair), self.via)

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


class World:
    """Everything there is in one history.

    Attributes:
        connections: What the files have, by name.
        swapped: Those of which the files have a key of another account.
        keys: Each account's key, as the exchange has it.
        originals: The strategies that the files had at first, and shall have in the end.
        plans: The strategies that the files shall have.
        underway: Requests that go on without the daemon that sent them.
        foreign: Resting orders of somebody else: account and serial.
        shut_bots: Bots that must not send anything any more.
        is_shared: Whether two installations trade the accounts, each for itself.
        is_held_by_hand: Whether the owner has enlarged the futures position himself.
        visited: What was come by; see `visits`.
        set_apart_s: When a daemon's bot last had a deal in Recovery Mode.
        traded: Accounts that some bot has had for live.
        begun: Which deal of a daemon's bot a window or a candle began.
        path: Every price there was.
        shown: The last prices with bid and ask, and when.
        last: What happened last, for the report of a failure.
        defect: The first thing that was logged as a defect.
    """

    def __init__(
        self, seed: int, root: Path, venue: Venue | None = None, clock: LoopClock | None = None
    ) -> None:
        self.seed = seed
        self.root = root
        self.rng = self.stream("events")
        self.clock = clock or drawn_clock(self.stream("clock"))
        self.last: deque[str] = deque(maxlen=80)
        self.defect = ""
        self.decryptor = Decryptor()
        self.weather = Weather(self.stream("weather"))
        self.connections = dict(CONNECTIONS)
        self.sights = {name: Sight() for name in (*ACCOUNTS, *STRANGERS)}
        self.keys = {name: Key() for name in (*ACCOUNTS, *STRANGERS)}
        self.swapped: set[str] = set()
        self.originals: dict[str, Plan] = {}
        self.plans: dict[str, Plan] = {}
        self.daemons: list[Daemon] = []
        self.underway: set[asyncio.Task[None]] = set()
        self.foreign: list[tuple[str, int]] = []
        self.shut_bots: set[str] = set()
        self.is_shared = False
        self.is_held_by_hand = False
        self.visited: set[str] = set()
        self.set_apart_s: dict[tuple[str, str], float] = {}
        self.traded: set[str] = set()
        self.begun: dict[tuple[str, str, str], int] = {}
        self.steps = 0
        self.lives = 0
        self._names: dict[str, str] = {}
        self.venue = venue or drawn_venue(self.stream("venue"))
        symbols = self.venue.listings
        self.prices: dict[str, Iterator[Decimal]] = {
            symbol: price_path(self.stream(f"prices {symbol}")) for symbol in symbols
        }
        self.last_price = dict.fromkeys(symbols, Decimal(int(START)))
        self.path: dict[str, list[tuple[int, Decimal]]] = {symbol: [] for symbol in symbols}
        self.shown: dict[str, deque[tuple[float, Decimal, Decimal, Decimal]]] = {
            symbol: deque(maxlen=15) for symbol in symbols
        }
        for symbol in symbols:
            tell_past(self.venue, symbol, self.stream(f"past {symbol}"), self.clock.now_ms())
        self.ledger = Ledger(self.venue, tuple(ACCOUNTS), {})

    def ask_for(self, plans: Iterable[Plan]) -> None:
        """Let *plans* be what the files have at first, and write them."""
        self.originals = {plan.name: plan for plan in plans}
        self.plans = deepcopy(self.originals)
        spares = {plan.via for plan in self.originals.values() if plan.via}
        self.connections |= {name: ACCOUNTS[name] for name in sorted(spares)}
        self.write()
        for plan in self.originals.values():
            if plan.fields.get("marginMode") == "cross":  # orders of others keep it from changing
                for name in {plan.connection, plan.via} - {""}:
                    symbol = symbol_of(FUTURES, "BTC/USDT")
                    self.venue.set_margin_mode(name, symbol, MarginMode.CROSS)
        self.add_foreign()

    @property
    def lost_fills(self) -> set[str]:
        """Orders of which some fill was listed very late."""
        return set[str]().union(*(sight.lost for sight in self.sights.values()))

    def stream(self, what: str) -> random.Random:
        """Return randomness for one purpose, so that one more draw here changes nothing there."""
        return random.Random(f"{self.seed} {what}")

    def note(self, text: str) -> None:
        at_s = asyncio.get_running_loop().time()
        self.last.append(f"{at_s:9.3f} {text}")

    # The exchange.

    def add_foreign(self) -> None:
        """Rest orders of somebody else far from the price, some with ids that look like ours."""
        for name, kind in self.connections.items():
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
                first = Trader(
                    strategy=plan.name,
                    pair=pair,
                    account=plan.connection,
                    kind=ACCOUNTS[plan.connection],
                    sign=-1 if is_short else 1,
                    limit=LIMIT,
                )
                yield first
                if plan.via:
                    yield replace(first, account=plan.via, via=plan.via)

    async def start(self, daemon: Daemon, *, crash_at: int | None = None) -> None:
        """Start a process on what files and store hold."""
        assert daemon.task is None, "one process at a time"
        life = daemon.life = Life(daemon.name, lambda: self._mourn(daemon), crash_at)
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
                    opener=lambda where: self._open(where, daemon, life),
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

    def _mourn(self, daemon: Daemon) -> None:
        self.note(f"{daemon.name} dies")
        if daemon.life is not None and daemon.life.effects == daemon.life.crash_at:
            self.visited.add("crash at a side effect")

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

    def _open(self, where: Where, daemon: Daemon, life: Life) -> Opened:
        kind = where[1]
        now_ms = self.clock.now_ms
        fair = Weather(self.stream("fair"))

        def account(key: KeyMaterial) -> AccountPort:
            name = self._names[key.api_key.reveal().partition(" ")[2]]
            weather = fair if name in STRANGERS else self.weather
            return UnreliableAccount(
                self.venue,
                name,
                kind,
                now_ms=now_ms,
                key=self.keys[name],
                way=Disturbed(
                    life,
                    weather,
                    self.keys[name],
                    on_call=lambda call: self._check_asked(call, name, daemon),
                ),
                sight=self.sights[name],
                on_send=lambda order: self._check_sent(order, name, daemon),
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
        listing = self.venue.listing(symbol_of(FUTURES, "BTC/USDT"))
        long = all(t.sign > 0 for t in self.traders() if t.kind is FUTURES)
        request = OrderRequest(
            symbol=symbol_of(FUTURES, "BTC/USDT"),
            side=Side.BUY if long is opens else Side.SELL,
            type=OrderType.MARKET,
            amount_base=max(Decimal("0.05"), listing.market.amount_step),
        )
        self.note(f"the owner trades by hand: {request.side} {request.amount_base}")
        self.venue.place("futures", request, self.clock.now_ms())
        self.is_held_by_hand = opens

    # Checks.

    def _check_sent(self, order: NewOrder, account: str, daemon: Daemon) -> None:
        """What must hold when an order leaves the daemon."""
        with self._noted():
            sending.must_hold(self, order, account, daemon)
        self.note(
            f"{daemon.name} {account} sends {order.client_order_id} {order.side} "
            f"{order.amount_base} {order.pair} at {order.price} {order.type}"
        )

    def _check_asked(self, call: PortCall, account: str, daemon: Daemon) -> None:
        """An account on which all trade on paper is tested, and nothing else is asked of it.

        But for the fills of a deal from when somebody traded there.
        """
        if daemon.controller is None or call not in _TRADING:
            return
        if account in STRANGERS:
            with self._noted():
                if call is PortCall.CANCEL:
                    raise BrokenError(f"something is canceled on {account}, where nothing rests")
            return
        if call is PortCall.FILLS and account in self.traded:
            return
        seats = daemon.c.strategies._books.on(account)
        with self._noted():
            if not any(seat.paper is None for seat in seats):
                raise BrokenError(f"{call} is asked of {account}, where all trade on paper")

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Remember what broke: whoever asked may take the error for one of the exchange's."""
        try:
            yield
        except BrokenError as error:
            self.defect = self.defect or str(error)
            raise

    def is_known(self, daemon: Daemon, order: VenueOrder) -> bool:
        """Return whether *daemon*'s store has *order*."""
        return self.status_of(daemon, order.client_id or "") is not None

    def is_noticed(self, order: VenueOrder) -> bool:
        """Return whether *order* leaves a trace by which a journal that lacks it is told.

        One within a deal that was canceled before it filled leaves none, and did nothing.
        """
        is_base = parsed(order.client_id or "").leg.kind is LegKind.BASE
        return is_base or order.is_open or order.filled_base > 0

    def status_of(self, daemon: Daemon, client_order_id: str) -> str | None:
        """Return what *daemon*'s store says of an order; None when it has none of that id."""
        with daemon.engines.reader.connect() as connection:
            return connection.exec_driver_sql(
                "SELECT status FROM orders WHERE client_order_id = ?", (client_order_id,)
            ).scalar_one_or_none()

    def is_on_books(self, daemon: Daemon, bot: str) -> bool:
        """Return whether *daemon*'s store has *bot* as one that runs."""
        with daemon.engines.reader.connect() as connection:
            is_retired = connection.exec_driver_sql(
                "SELECT is_retired FROM bots WHERE bot = ?", (bot,)
            ).scalar_one_or_none()
        return is_retired == 0

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
                self._look_at_seats(daemon)
                if self.steps % 10 == 0:
                    paper.check(self, daemon)
        if self.steps % 10 == 0:
            if len(self.daemons) == 1:
                one_task_per_bot()
            for account, serial in self.foreign:
                if not self.venue.order(account, serial).is_open:
                    raise BrokenError(f"the foreign order {serial} on {account} was touched")

    def _look_at_seats(self, daemon: Daemon) -> None:
        for name, seat in daemon.c.strategies.seats.items():
            phase = seat.bot._stepper._stepped.phase  # which prices that are remembered leave alone
            self.visited.add(phase)
            self.visited.add(_GATES[seat.bot.gate[0]])
            if phase is Phase.RECOVERY and seat.bot.view().is_set_apart:
                self.set_apart_s[daemon.name, name] = self.now_s()
            if seat.paper is None:
                self.traded.add(seat.planned.connection)
            if seat.bot.away:
                self.visited.add("key of another account")
            if seat.refused_digest is not None:
                self.visited.add("refused edit")

    # Time.

    def now_s(self) -> float:
        """Return the virtual seconds since the beginning."""
        return asyncio.get_running_loop().time()

    async def step(self, steps: int = 1) -> None:
        """Let time pass, one price at a time."""
        for _ in range(steps):
            await asyncio.sleep(STEP_S)
            self.steps += 1
            for symbol, prices in self.prices.items():
                self._set_price(symbol, next(prices))
            self.check()

    def _set_price(self, symbol: str, price: Decimal) -> None:
        at_ms, spread = self.clock.now_ms(), price * self.weather.spread
        self.last_price[symbol] = price
        wide = {"bid": price - spread, "ask": price + spread} if spread else {}
        self.venue.set_price(symbol, price, at_ms, **wide)
        quote = self.venue.quote(symbol)
        assert quote is not None, "it was just set"
        self.shown[symbol].append((self.now_s(), price, quote.bid, quote.ask))
        self.path[symbol].append((at_ms, price))

    # Files.

    def write(self) -> None:
        """Write all documents; files of strategies that are no more are removed."""
        wanted = {f"{name}.yaml": plan.text() for name, plan in self.plans.items()}
        for name, kind in self.connections.items():
            is_swapped = name in self.swapped
            text = samples.connection(
                name,
                exchange="kucoin",
                market=kind.value,
                capital="9000 USDT",
                block=samples.sops(seed="a stranger") if is_swapped else None,
            )
            account = f"stranger-{kind.value}" if is_swapped else name
            self._names[hashlib.sha256(text.encode()).hexdigest()] = account
            wanted[f"connection-{name}.yaml"] = text
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
