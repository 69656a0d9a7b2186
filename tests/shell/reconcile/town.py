"""A whole control loop over real files, on simulated exchanges and virtual time."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from backfuturectl.engine.bot import Bot
from backfuturectl.engine.clock import Clock
from backfuturectl.exchanges.ccxt_adapter import KeyMaterial
from backfuturectl.exchanges.port import AccountPort, KeyRights
from backfuturectl.exchanges.simulated import TRADING_RIGHTS, SimulatedPublic
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
from backfuturectl.model.errors import OperationError
from backfuturectl.model.market import Market, MarketKind, Quote
from backfuturectl.model.secret import Secret
from backfuturectl.model.status import Reason
from backfuturectl.reconcile.controller import Controller
from backfuturectl.reconcile.hub import Hub, Opened, Where
from backfuturectl.reconcile.seats import Seat
from backfuturectl.reconcile.source import Source
from backfuturectl.store.database import Store
from tests.shell.world import ACCOUNT, START_MS, Account, Disk, Faults, LoopClock
from tests.unit.strategy.venue import market

D = Decimal
PAIRS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
SIDE = "side"
"""The exchange's other account."""

GRACE_S = 5.0
SCAN_S = 15.0


def connection(name: str = "main", *, key: str = "one", spec: str = "") -> str:
    """Return a Connection document; *key* stands for its ciphertext."""

    def enc(what: str) -> str:
        data = base64.b64encode(f"{key} {what}".encode()).decode()
        pad, tag = (base64.b64encode(b"x" * size).decode() for size in (32, 16))
        return f"ENC[AES256_GCM,data:{data},iv:{pad},tag:{tag},type:str]"

    stanza = f"age-encryption.org/v1\n-> X25519 {name} {key}\nbody\n--- mac\n".encode()
    return f"""\
apiVersion: backfuture.ai/v1alpha1
kind: Connection
metadata: {{name: {name}}}
spec:
  exchange: kucoin
  market: spot
  capital: 5000 USDT
  ipWhitelist: {{require: false}}
  {spec}
  credentials:
    apiKey: {enc("key")}
    secret: {enc("secret")}
    password: {enc("password")}
sops:
  age:
    - recipient: age1{"q" * 58}
      enc: |
        -----BEGIN AGE ENCRYPTED FILE-----
        {base64.b64encode(stanza).decode()}
        -----END AGE ENCRYPTED FILE-----
  lastmodified: "2026-01-01T00:00:00Z"
  mac: {enc("mac")}
  version: 3.11.0
  encrypted_regex: ^credentials$
"""


def strategy(
    name: str = "grid",
    *,
    on: str = "main",
    pairs: str = "[BTC/USDT]",
    take_profit: str = "1",
    margin: str = "1000 USDT",
    deals: int = 1,
    extra: str = "",
) -> str:
    """Return a Strategy document."""
    return f"""\
apiVersion: backfuture.ai/v1alpha1
kind: Strategy
metadata: {{name: {name}}}
spec:
  connection: {on}
  pairs: {pairs}
  risk: custom
  marginLimit: {margin}
  maxActiveDeals: {deals}
  baseOrder: 100 USDT
  averaging:
    firstDeviationPct: 2
    stepScale: 1
    firstSizeRatio: 1
    volumeScale: 1
    maxOrders: 3
    maxPlaced: 2
  takeProfit: {{percent: {take_profit}}}
  stopLoss: {{percent: 10}}
  recovery: {{enabled: false}}
  {extra}
"""


class Public(SimulatedPublic):
    """The simulated exchange, of which some prices cannot be had and some pairs are not listed."""

    without_price: set[str]
    unlisted: set[str]

    async def _load(self) -> Mapping[str, Market]:
        found = await super()._load()
        return {pair: market for pair, market in found.items() if pair not in self.unlisted}

    async def prices(self, pairs: Collection[str]) -> Mapping[str, Quote]:
        return await super().prices([pair for pair in pairs if pair not in self.without_price])


@dataclass
class Decryptor:
    """Gives every file keys of its own, without any cryptography.

    Attributes:
        failures: What is raised for a file in which the text occurs.
    """

    failures: dict[bytes, OperationError] = field(default_factory=dict)

    async def decrypt(self, ciphertext: bytes) -> Mapping[tuple[str, ...], Secret]:
        for text, error in self.failures.items():
            if text in ciphertext:
                raise error
        key = hashlib.sha256(ciphertext).hexdigest()
        names = ("apiKey", "secret", "password")
        return {("spec", "credentials", name): Secret(f"{name} {key}") for name in names}


@dataclass
class Town:
    """Files, exchange and store: what outlives a daemon.

    Attributes:
        accounts: Every account that was ever opened, oldest first.
        rights: What the exchange says of any key.
        withdrawing: Connection documents of which the exchange says that their key can withdraw.
        aside: Connection documents whose key belongs to the exchange's other account.
        untold: Connection documents of whose key the exchange tells no account.
        without_price: Pairs that the exchange tells no price of.
        daemon_clock: What a daemon takes for the time; None: what it is.
        unlisted: Pairs that the exchange lists no more.
    """

    path: Path
    venue: Venue
    disk: Disk = field(default_factory=Disk)
    faults: Faults = field(default_factory=Faults)
    decryptor: Decryptor = field(default_factory=Decryptor)
    clock: LoopClock = field(default_factory=LoopClock)
    daemon_clock: Clock | None = None
    accounts: list[AccountPort] = field(default_factory=list)
    rights: KeyRights = TRADING_RIGHTS
    withdrawing: set[str] = field(default_factory=set)
    aside: set[str] = field(default_factory=set)
    untold: set[str] = field(default_factory=set)
    without_price: set[str] = field(default_factory=set)
    unlisted: set[str] = field(default_factory=set)
    controller: Controller | None = None
    store: Store | None = None

    @property
    def _clock(self) -> Clock:
        return self.daemon_clock or self.clock

    @property
    def root(self) -> Path:
        return self.path / "configs"

    def write(self, **documents: str) -> None:
        """Write documents to files of these names."""
        for name, text in documents.items():
            (self.root / f"{name}.yaml").write_text(text)

    def remove(self, *names: str) -> None:
        for name in names:
            (self.root / f"{name}.yaml").unlink()

    def price(self, price: str, pair: str = "BTC/USDT") -> None:
        self.venue.set_price(symbol_of(MarketKind.SPOT, pair), D(price), self.clock.now_ms())

    def open(self, where: Where) -> Opened:
        """Open the exchange, whatever *where* says."""
        now_ms = self.clock.now_ms
        public = Public(self.venue, where[1], now_ms=now_ms, disturbance=self.faults)
        public.without_price = self.without_price
        public.unlisted = self.unlisted

        def is_of(key: KeyMaterial, documents: Collection[str]) -> bool:
            digest = key.api_key.reveal().partition(" ")[2]
            return digest in {hashlib.sha256(text.encode()).hexdigest() for text in documents}

        def rights(key: KeyMaterial) -> KeyRights:
            account_id = None if is_of(key, self.untold) else account_of(key)
            told = replace(self.rights, account_id=account_id)
            return replace(told, can_withdraw=True) if is_of(key, self.withdrawing) else told

        def account_of(key: KeyMaterial) -> str:
            return SIDE if is_of(key, self.aside) else ACCOUNT

        def account(key: KeyMaterial) -> AccountPort:
            made = Account(
                self.venue,
                account_of(key),
                where[1],
                now_ms=now_ms,
                rights=lambda: rights(key),
                disturbance=self.faults,
            )
            self.accounts.append(made)
            return made

        return Opened(public, account)

    def close_market(self, pair: str, *, is_active: bool = False) -> None:
        """Let the exchange stop trading *pair*, or begin again."""
        listing = self.venue.listings[symbol_of(MarketKind.SPOT, pair)]
        market = replace(listing.market, is_active=is_active)
        self.venue.add_listing(replace(listing, market=market))

    def change_market(self, pair: str = "BTC/USDT", **changes: object) -> None:
        """Let the exchange trade *pair* by other rules."""
        listing = self.venue.listings[symbol_of(MarketKind.SPOT, pair)]
        self.venue.add_listing(replace(listing, market=replace(listing.market, **changes)))

    def raise_minimum(self, pair: str, cost_min: str) -> None:
        """Let the exchange take no orders of *pair* below *cost_min* any more."""
        listing = self.venue.listings[symbol_of(MarketKind.SPOT, pair)]
        market = replace(listing.market, cost_min=Decimal(cost_min))
        self.venue.add_listing(replace(listing, market=market))

    # Looking.

    @property
    def c(self) -> Controller:
        assert self.controller is not None
        return self.controller

    def bot(self, name: str = "grid/BTC-USDT") -> Bot:
        return self.c.strategies.seats[name].bot

    @property
    def seats(self) -> tuple[Seat, ...]:
        return tuple(self.c.strategies.seats.values())

    @property
    def bots(self) -> set[str]:
        return set(self.c.strategies.seats)

    def reason(self, name: str, kind: str = "Strategy") -> Reason | None:
        """Return why a resource is Ready or not; None when it is not known or not judged."""
        entry = self.c.registry.get(kind, name)
        return entry.status.ready.reason if entry is not None and entry.status else None

    def generation(self, name: str, kind: str = "Strategy") -> int:
        entry = self.c.registry.get(kind, name)
        return entry.generation if entry is not None else 0

    def orders(self, account: str = ACCOUNT) -> tuple[VenueOrder, ...]:
        return self.venue.orders(account)

    def check(self) -> None:
        """Never two live bots on one pair of one account; never an id used twice."""
        held = [
            (seat.planned.connection, seat.planned.pair)
            for seat in self.c.strategies.seats.values()
            if seat.planned.spec.mode == "live"
        ]
        assert len(held) == len(set(held)), held
        ids = [order.client_id for order in (*self.orders(), *self.orders(SIDE))]
        assert len(ids) == len(set(ids))

    async def rest(self, for_s: float = GRACE_S + 2 * SCAN_S) -> None:
        """Let time pass in which everything that could happen happens."""
        for _ in range(int(for_s * 2)):
            self.check()
            await asyncio.sleep(0.5)

    async def until(self, what: Callable[[], object], within_s: float = 60.0) -> None:
        """Wait until *what* holds."""
        end_s = asyncio.get_running_loop().time() + within_s
        while not what():
            self.check()
            assert asyncio.get_running_loop().time() < end_s, f"not within {within_s} s"
            await asyncio.sleep(0.1)

    async def settled(self) -> None:
        """Wait until the files as they are now have been read and their consequences drawn."""
        await asyncio.sleep(0.1)
        await self.c.files.read_now()
        await self.rest()

    @asynccontextmanager
    async def daemon(self, *, is_killed: bool = False) -> AsyncIterator[Controller]:
        """Run a control loop from what files and store hold; end it in order, or at once."""
        store = self.store = self.disk.store(Store)
        started: asyncio.Future[Controller] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            async with asyncio.TaskGroup() as tasks:
                rng = random.Random(1)
                hub = Hub(tasks, self._clock, rng, opener=self.open, price_interval_s=1.0)
                controller = Controller(
                    source=Source(self.root, self.decryptor, self._clock, settle_s=0.25),
                    store=store,
                    clock=self._clock,
                    rng=rng,
                    tasks=tasks,
                    hub=hub,
                    scan_interval_s=SCAN_S,
                    test_interval_s=900.0,
                    prune_grace_s=GRACE_S,
                )
                await controller.restore()
                started.set_result(controller)
                await controller.run()

        task = asyncio.get_running_loop().create_task(run())
        await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        self.controller = started.result()
        try:
            yield self.controller
        finally:
            if not task.done() and not is_killed:
                await self.controller.strategies.stop_all()
            task.cancel()
            await asyncio.wait([task])
            await self.controller.lines.close()
            if not task.cancelled():
                task.result()


def new_town(path: Path) -> Town:
    """Return a place with a Connection and a Strategy, where all is well."""
    venue = Venue("kucoin", VenueRules(client_id_scope=ClientIdScope.NONE))
    venue.add_account(ACCOUNT)
    venue.add_account(SIDE)
    for account in (ACCOUNT, SIDE):
        venue.deposit(account, wallet_of(MarketKind.SPOT), "USDT", D(10_000), START_MS)
    for pair in PAIRS:
        rules = replace(market(), pair=pair, base=pair.partition("/")[0])
        venue.add_listing(Listing(rules, fee_mode=FeeMode.QUOTE))
        venue.set_price(symbol_of(MarketKind.SPOT, pair), D(100), START_MS)
    town = Town(path, venue)
    town.root.mkdir()
    town.write(main=connection(), grid=strategy())
    return town
