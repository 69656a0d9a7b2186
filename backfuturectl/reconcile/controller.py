"""The control loop: one queue, three kinds of keys, everything level-triggered.

``files`` reads the tree and says whose turn it is, ``connection/NAME`` tests a key,
``strategy/NAME`` converges bots. A key's work reads everything it needs and may be repeated or
skipped without harm.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final

from backfuturectl.engine.clock import Clock
from backfuturectl.engine.prices import STALE_AFTER_MS
from backfuturectl.exchanges.port import PublicPort
from backfuturectl.model.errors import (
    OperationError,
    PermanentError,
    TransientError,
)
from backfuturectl.model.resources import Connection, Policy, Strategy
from backfuturectl.model.status import ConditionType, Reason
from backfuturectl.reconcile.connections import RETEST_NOW, Lines, key_since_ms
from backfuturectl.reconcile.files import Files
from backfuturectl.reconcile.hub import Hub
from backfuturectl.reconcile.markets import SUSPICIOUS
from backfuturectl.reconcile.notices import Notices, decrypted
from backfuturectl.reconcile.queue import Again, Done, Ending, Failed, WorkQueue
from backfuturectl.reconcile.registry import Entry, Registry
from backfuturectl.reconcile.settling import Settler
from backfuturectl.reconcile.source import Source, stored_document
from backfuturectl.reconcile.strategies import Strategies
from backfuturectl.reconcile.turns import FILES, Turns
from backfuturectl.store.database import Store

_LOG = logging.getLogger(__name__)

PULSE_S: Final = 1.0
RETEST_PAUSE_S: Final = 5.0
"""Least time between two tests of one connection that troubled bots ask for."""


class Controller:
    """Owns desired and running state; other parts read the attributes and ask for turns."""

    def __init__(
        self,
        *,
        source: Source,
        store: Store,
        clock: Clock,
        rng: random.Random,
        tasks: asyncio.TaskGroup,
        hub: Hub,
        scan_interval_s: float,
        test_interval_s: float,
        prune_grace_s: float,
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._notices = Notices(store, clock)

        hub.follow(on_markets=self._markets_changed, on_clock=self._clock_changed)

        self.registry = Registry()
        self.queue = WorkQueue(self._work, jitter=rng)
        self._turns = Turns(self.queue, self.registry)
        self.lines = Lines(
            hub,
            clock,
            rng,
            test_interval_s=test_interval_s,
            on_change=self._connection_changed,
        )
        self.strategies = Strategies(
            store=store,
            clock=clock,
            jitter=rng,
            registry=self.registry,
            lines=self.lines,
            tasks=tasks,
            on_trouble=self._on_trouble,
        )
        self.settler = Settler(store, clock, self.strategies, self.lines)
        self.files = Files(
            source,
            store,
            clock,
            registry=self.registry,
            turns=self._turns,
            strategies=self.strategies,
            lines=self.lines,
            notices=self._notices,
            scan_interval_s=scan_interval_s,
            prune_grace_s=prune_grace_s,
        )

    async def restore(self) -> None:
        """Take over what the store remembers: the last good documents and the bots."""
        for record in await self._store.resources():
            document = stored_document(record.source, record.path)
            if document is None or document.resource is None:
                _LOG.warning(
                    "%s %s: the stored document is of an older format; waiting for the files",
                    record.kind,
                    record.name,
                )
                continue
            self.registry.restore(record, document)
            if record.kind == "Connection":
                since_ms = key_since_ms(record.accepted_at_ms, is_first=record.generation == 1)
                self.lines.line(record.name).remembered = (document.digest, since_ms)
        await self.strategies.restore()

    async def run(self) -> None:
        """Work until canceled."""
        self._turns.soon(FILES)
        self._tasks.create_task(self._pulse(), name="pulse")
        self._tasks.create_task(self.settler.run(), name="settler")
        await self.queue.run()

    def look_soon(self) -> None:
        """Look at the files soon; a hint may be wrong or late without harm."""
        self._turns.soon(FILES)

    def test_soon(self, name: str) -> None:
        """Test a connection soon, whatever its last outcome was."""
        self.lines.line(name).tested_at_ms = 0
        self._turns.anew(f"connection/{name}")

    # Keys.

    async def _work(self, key: str) -> Ending:
        try:
            return await self._work_on(key)
        except TransientError as error:  # the store's: what a key asks of exchanges has its status
            _LOG.warning("%s: %s", key, error)
            return Failed(error.retry_after_s)

    async def _work_on(self, key: str) -> Ending:
        kind, _, name = key.partition("/")
        match kind:
            case "connection":
                return await self._connection(name)
            case "strategy":
                return await self.strategies.reconcile(name)
            case _:
                return await self.files.read()

    async def _connection(self, name: str) -> Ending:
        entry = self.registry.get("Connection", name)
        document = entry.document if entry is not None else None
        if entry is None or document is None:
            return Done()
        line = self.lines.line(name)
        since_ms = self._clock.now_ms() - line.tested_at_ms
        if line.tested_digest == document.digest and since_ms < RETEST_PAUSE_S * 1000:
            return Again(RETEST_PAUSE_S)
        connection = document.resource
        assert isinstance(connection, Connection), "a usable Connection has its resource"
        policy = self.files.generation.loaded.policy if self.files.generation is not None else None
        try:
            key = await self._source.key_of(document)
        except OperationError as error:
            self._notices.settle(
                entry, error.reason, str(error), error.raw_code, aspects=decrypted(error)
            )
            return Done() if isinstance(error, PermanentError) else Failed(error.retry_after_s)
        try:
            ending = await self.lines.test(
                connection, document.digest, key, policy, pair=self._pair_of(name)
            )
        except PermanentError as error:
            self._notices.settle(entry, error.reason, str(error), error.raw_code)
            return Done()
        except OperationError as error:
            self._notices.settle(entry, error.reason, str(error), error.raw_code)
            return Failed(error.retry_after_s)
        if self.registry.get("Connection", name) is not entry:
            return Done()  # it was removed while it was tested
        await self._conclude(entry)
        await self._keep_exits(entry, policy)
        return ending

    async def _keep_exits(self, entry: Entry, policy: Policy | None) -> None:
        """Let the key that ran before serve exits while the newest one is refused."""
        new = entry.desired.resource if entry.desired is not None else None
        before = entry.applied
        old = before.resource if before is not None else None
        if before is None or entry.is_current or self.lines.line(entry.name).account is not None:
            return
        if not isinstance(old, Connection) or not isinstance(new, Connection):
            return
        if _place(old) != _place(new):
            return  # not a key for the deals that are open
        try:
            key = await self._source.key_of(before)
            await self.lines.keep_exits(old, before.digest, key, policy)
        except OperationError as error:
            _LOG.warning("connection %s: no account for exits: %s", entry.name, error)

    async def _conclude(self, entry: Entry) -> None:
        line = self.lines.line(entry.name)
        report = line.report
        assert report is not None, "a test leaves its report"
        if line.is_online and entry.desired is not None and not entry.is_current:
            record = self.registry.applied(entry, entry.desired, self._clock.now_ms())
            await self._store.commit([record])
        failed = next((check for check in report.checks if check.ok is False), None)
        self._notices.settle(
            entry,
            report.outcome,
            failed.message if failed is not None else "",
            failed.raw_code if failed is not None else None,
            aspects=(
                *decrypted(None),
                *(c for c in report.conditions if c.type is not ConditionType.READY),
            ),
        )

    def _pair_of(self, connection: str) -> str | None:
        """Return a pair that is traded on *connection*, to ask for orders of."""
        for entry in self.registry.using(connection):
            resource = entry.document.resource if entry.document is not None else None
            if isinstance(resource, Strategy) and connection in resource.spec.connections:
                return resource.spec.pairs[0]
        return None

    # What others notice.

    def _connection_changed(self, name: str) -> None:
        self.strategies.follow(name)
        self._turns.strategies_of(name)

    def _on_trouble(self, connection: str, error: OperationError) -> None:
        if error.reason is Reason.ACCOUNT_CHANGED:
            self._turns.strategies_of(connection)
        if error.reason in RETEST_NOW:
            self._turns.soon(f"connection/{connection}")
        shared = self.lines.line(connection).shared
        if error.reason in SUSPICIOUS and shared is not None:
            shared.markets.look_soon()

    def _clock_changed(self, public: PublicPort, trouble: str) -> None:
        """Test at once what depends on the clock: every key of that exchange."""
        if not trouble:
            message = f"the clocks of this machine and {public.exchange} agree again"
            self._notices.event("Daemon", "Normal", "ClocksAgree", message)
            return
        self._notices.event("Daemon", "Warning", str(Reason.CLOCK_SKEW), trouble)
        for entry in self.registry.of_kind("Connection"):
            shared = self.lines.line(entry.name).shared
            if shared is not None and shared.public is public:
                self.test_soon(entry.name)

    def _markets_changed(self, public: PublicPort, pairs: frozenset[str]) -> None:
        """Give a turn to the strategies that trade one of *pairs*, or want to."""
        for entry in self.registry.of_kind("Strategy"):
            seats = self.strategies.of(entry.name).values()
            traded = {(seat.planned.connection, seat.planned.pair) for seat in seats}
            resource = entry.document.resource if entry.document is not None else None
            if isinstance(resource, Strategy):
                traded |= {(resource.spec.connection, pair) for pair in resource.spec.pairs}
            if any(
                pair in pairs
                and (shared := self.lines.line(connection).shared) is not None
                and shared.public is public
                for connection, pair in traded
            ):
                self._turns.anew(f"strategy/{entry.name}")

    async def _pulse(self) -> None:
        while True:
            self.strategies.watch(self._clock.now_ms(), STALE_AFTER_MS)
            await asyncio.sleep(PULSE_S)


def _place(connection: Connection) -> tuple[str, str, str | None]:
    """Return whose accounts *connection* is about."""
    spec = connection.spec
    return str(spec.exchange), str(spec.market), spec.endpoint
