"""One bot on a simulated exchange, with a real store and virtual time."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

from backfuturectl.engine.bot import Bot
from backfuturectl.engine.entries import BotName, Provenance
from backfuturectl.engine.journal import Journal
from backfuturectl.engine.room import DealRoom
from backfuturectl.exchanges.simulated import PortCall, SimulatedAccount
from backfuturectl.matching.values import (
    ClientIdScope,
    FeeMode,
    Listing,
    VenueOrder,
    VenueRules,
    symbol_of,
    wallet_of,
)
from backfuturectl.matching.venue import Venue
from backfuturectl.model.errors import (
    OperationError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
)
from backfuturectl.model.market import Market, MarketKind, Quote
from backfuturectl.model.orders import LegKind, NewOrder, Order, OrderStatus
from backfuturectl.model.records import OrderRecord
from backfuturectl.model.status import Reason
from backfuturectl.store.database import Store
from backfuturectl.store.engines import open_engines
from backfuturectl.store.writer import InlineWriter
from backfuturectl.strategy.averaging.state import Setup
from backfuturectl.strategy.base import BotIdentity
from tests.unit.strategy.venue import KIND, setup

D = Decimal
S = TypeVar("S", bound=Store)
ACCOUNT = "main"
PAIR = "BTC/USDT"
NAME = BotName("grid/BTC-USDT", "grid", "main", PAIR, "averaging")
START_MS = 1_760_000_000_000
FUNDS = D(10_000)

UNKNOWN = OutcomeUnknownError(Reason.EXCHANGE_UNAVAILABLE, "the answer never came")
BUSY = TransientError(Reason.RATE_LIMITED, "too many requests")
REFUSED = PermanentError(Reason.ORDER_REJECTED, "no", raw_code="30004")


@dataclass
class LoopClock:
    """Wall time that goes with the loop's virtual time, until somebody sets it by *jump_ms*."""

    jump_ms: int = 0

    def now_ms(self) -> int:
        return START_MS + int(asyncio.get_running_loop().time() * 1000) + self.jump_ms


class Disk:
    """A database that outlives the stores over it, as a file would.

    In memory: what files and disks add to it is the matter of `tests/contract/store`.
    """

    def __init__(self) -> None:
        self._engines = open_engines("sqlite://", b"a seed of a test", in_memory=True)
        self._blank = self.copied()

    def store(self, kind: type[S]) -> S:
        """Return a new store on what is written here."""
        return kind(self._engines, InlineWriter(self._engines.writer), None)

    def copied(self) -> bytes:
        """Return all that is written here."""
        return self.driver.serialize()

    def restore(self, copy: bytes) -> None:
        """Have what was *copied* once, and nothing else."""
        self.driver.deserialize(copy)

    def wipe(self) -> None:
        """Forget everything but the installation's name."""
        self.restore(self._blank)

    def close(self) -> None:
        self._engines.close()

    @property
    def driver(self) -> sqlite3.Connection:
        """The connection that there is, outside of any transaction."""
        with self._engines.writer.connect() as connection:
            driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        return driver


@dataclass
class Faults:
    """A disturbance by script: per call and side, errors to raise one after the other."""

    before_calls: dict[PortCall, deque[OperationError | None]] = field(default_factory=dict)
    after_calls: dict[PortCall, deque[OperationError | None]] = field(default_factory=dict)
    always: dict[PortCall, OperationError] = field(default_factory=dict)
    delay_s: float = 0.0
    calls: list[tuple[float, PortCall]] = field(default_factory=list)
    in_flight: int = 0

    def fail(self, call: PortCall, *errors: OperationError | None) -> None:
        """Make the next calls fail before the exchange sees them; None lets one through."""
        self.before_calls.setdefault(call, deque()).extend(errors)

    def lose_answer(self, call: PortCall, *errors: OperationError | None) -> None:
        """Make the next calls fail after the exchange carried them out."""
        self.after_calls.setdefault(call, deque()).extend(errors)

    async def before(self, call: PortCall) -> None:
        self.calls.append((asyncio.get_running_loop().time(), call))
        self.in_flight += 1
        await asyncio.sleep(self.delay_s)
        if call in self.always:
            self.in_flight -= 1
            raise self.always[call]
        self._raise_next(self.before_calls, call)

    async def after(self, call: PortCall) -> None:
        await asyncio.sleep(self.delay_s)
        self._raise_next(self.after_calls, call)
        self.in_flight -= 1

    def count(self, call: PortCall, *, since_s: float = 0.0) -> int:
        return sum(made is call and at_s >= since_s for at_s, made in self.calls)

    def _raise_next(
        self, script: dict[PortCall, deque[OperationError | None]], call: PortCall
    ) -> None:
        waiting = script.get(call)
        error = waiting.popleft() if waiting else None
        if error is not None:
            self.in_flight -= 1
            raise error


class Account(SimulatedAccount):
    """The simulated account, with views that can be bent and a hook on what is sent."""

    on_place: Callable[[NewOrder], object] = staticmethod(lambda _: None)
    hides_fills = False
    hidden_orders: frozenset[str] = frozenset()
    listed_too: tuple[Order, ...] = ()

    async def place(self, order: NewOrder) -> Order:
        found = self.on_place(order)
        if asyncio.iscoroutine(found):
            await found
        return await super().place(order)

    async def fills(self, pair: str, since_ms: int):
        found = await super().fills(pair, since_ms)
        return () if self.hides_fills else found

    async def order(self, pair: str, client_order_id: str, order_id: str | None = None):
        found = await super().order(pair, client_order_id, order_id)
        return None if client_order_id in self.hidden_orders else found

    async def open_orders(self, pair: str):
        found = await super().open_orders(pair)
        seen = tuple(order for order in found if order.client_order_id not in self.hidden_orders)
        return (*seen, *self.listed_too)


def new_venue(market: Market, **listing: object) -> Venue:
    """Return an exchange that would let a duplicate client id pass, so that a test can see it."""
    venue = Venue("kucoin", VenueRules(client_id_scope=ClientIdScope.NONE))
    listing.setdefault("fee_mode", FeeMode.RECEIVED)
    venue.add_listing(Listing(market, **listing))
    venue.add_account(ACCOUNT)
    venue.deposit(ACCOUNT, wallet_of(market.kind), market.quote, FUNDS, START_MS)
    return venue


@dataclass
class World:
    """Everything around one bot.

    Attributes:
        troubles: What the bot reported about its connection.
        account_id: What the exchange tells of the account.
        key_since_ms: Since when the key is in use.
    """

    venue: Venue
    setup: Setup
    store: Store
    account: Account
    faults: Faults
    room: DealRoom
    clock: LoopClock = field(default_factory=LoopClock)
    troubles: list[OperationError] = field(default_factory=list)
    name: BotName = NAME
    account_id: str = ""
    key_since_ms: int = 0
    bot: Bot | None = None
    task: asyncio.Task[None] | None = None

    @property
    def symbol(self) -> str:
        return symbol_of(self.setup.market.kind, PAIR)

    async def start(self) -> Bot:
        """Start the bot from what the store remembers."""
        self.bot = await self.make()
        self.task = asyncio.get_running_loop().create_task(self.bot.run(), name=self.name.bot)
        return self.bot

    async def make(self) -> Bot:
        """Return the bot as the store remembers it, not yet running."""
        stored = {record.bot: record for record in await self.store.bots()}.get(self.name.bot)
        made = Bot(
            self.name,
            installation=self.store.installation,
            kind=KIND,
            state=KIND.load(stored.state, self.setup) if stored else KIND.initial(self.setup),
            market=self.setup.market,
            account=self.account,
            journal=await Journal.load(self.store, self.name),
            room=self.room,
            clock=self.clock,
            jitter=random.Random(1),
            provenance=Provenance(1, "abc"),
            on_trouble=self.troubles.append,
            key_since_ms=self.key_since_ms,
        )
        made.identify(self.account_id)
        return made

    async def stop(self) -> None:
        """Stop the bot in order."""
        assert self.bot is not None
        assert self.task is not None
        self.bot.stop()
        await self.task

    async def price(self, price: str | Decimal, for_s: float = 30.0) -> None:
        """Keep the price at *price* for some time, seen once a second by exchange and bot."""
        for _ in range(max(int(for_s), 1)):
            self.venue.set_price(self.symbol, D(price), self.clock.now_ms())
            if self.bot is not None:
                self.bot.offer_price(Quote(D(price)), self.clock.now_ms())
            await asyncio.sleep(1.0)

    def orders(self, leg: LegKind | None = None) -> list[VenueOrder]:
        """Return the orders that the exchange got, of one leg if given, oldest first."""
        found = [order for order in self.venue.orders(ACCOUNT) if (order.client_id or "")[:2]]
        return [o for o in found if leg is None or (o.client_id or " " * 18)[17] == leg]

    def resting(self, leg: LegKind | None = None) -> list[VenueOrder]:
        return [order for order in self.orders(leg) if order.is_open]

    async def rows(self, leg: LegKind | None = None) -> list[OrderRecord]:
        """Return the journal's orders, oldest first."""
        return [o for o in await self.store.orders() if leg is None or o.leg.kind is leg]

    async def statuses(self, leg: LegKind) -> list[OrderStatus]:
        return [row.status for row in await self.rows(leg)]

    async def notes(self) -> list[str]:
        return [stored.event.reason for stored in await self.store.events()]


@asynccontextmanager
async def world(
    kind: MarketKind = MarketKind.SPOT,
    *,
    url: str = "sqlite://",
    listing: dict[str, object] | None = None,
    with_setup: Setup | None = None,
    starts: bool = True,
    **changes: object,
) -> AsyncIterator[World]:
    """A bot that has started on an exchange whose price is 100; *changes* edit its strategy."""
    async with Store.open(url, seed=b"a seed of a test", inline=True) as store:
        known = with_setup or setup(kind, **changes)
        # Client ids carry the store's installation, as in the daemon.
        identity = BotIdentity(store.installation, NAME.bot)
        known = replace(known, identity=identity)
        venue = new_venue(known.market, **(listing or {}))
        clock, faults = LoopClock(), Faults()
        account = Account(venue, ACCOUNT, kind, now_ms=clock.now_ms, disturbance=faults)
        made = World(venue, known, store, account, faults, DealRoom(1))
        venue.set_price(made.symbol, D(100), clock.now_ms())
        if starts:
            await made.start()
        try:
            yield made
        finally:
            if made.task is not None:
                await made.stop()
