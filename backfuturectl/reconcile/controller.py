"""The control loop: one queue, three kinds of keys, everything level-triggered.

``files`` reads the tree and says whose turn it is, ``connection/NAME`` tests a key,
``strategy/NAME`` converges bots. A key's work reads everything it needs and may be repeated or
skipped without harm.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from typing import Final

from backfuturectl.engine.clock import Clock
from backfuturectl.engine.prices import STALE_AFTER_MS
from backfuturectl.exchanges.port import PublicPort
from backfuturectl.model.errors import (
    ConfigurationError,
    OperationError,
    PermanentError,
    TransientError,
)
from backfuturectl.model.findings import Key
from backfuturectl.model.records import EventRecord, ResourceRecord
from backfuturectl.model.resources import Connection, Policy, Strategy
from backfuturectl.model.status import Condition, ConditionType, Reason
from backfuturectl.planning.conditions import Outcome
from backfuturectl.planning.prune import (
    PruneVerdict,
    TreeEvidence,
    guard_prune,
    removal_digest,
)
from backfuturectl.reconcile.connections import RETEST_NOW, Lines, key_since_ms
from backfuturectl.reconcile.hub import Hub
from backfuturectl.reconcile.markets import SUSPICIOUS
from backfuturectl.reconcile.queue import RESOLUTION_S, Again, Done, Ending, Failed, WorkQueue
from backfuturectl.reconcile.registry import Entry, Registry, complaint_of, settle
from backfuturectl.reconcile.settling import Settler
from backfuturectl.reconcile.source import Generation, Source, stored_document
from backfuturectl.reconcile.strategies import Strategies
from backfuturectl.store.database import Remove, Store

_LOG = logging.getLogger(__name__)

FILES: Final = "files"
PULSE_S: Final = 1.0
RETEST_PAUSE_S: Final = 5.0
"""Least time between two tests of one connection that troubled bots ask for."""


class Controller:
    """Owns desired and running state; other parts ask through `request` and read the attributes.

    Attributes:
        source_trouble: Why the files could not be read the last time; empty when they were.
        generation: The last settled reading; None before the first.
        prune: What the deletion guard said last.
        read_at_ms: When the files were last read to their end.
    """

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
        self._rng = rng
        self._tasks = tasks
        self._scan_interval_s = scan_interval_s
        self._prune_grace_ms = int(prune_grace_s * 1000)
        self._approvals: set[str] = set()
        self._whole_due_s = 0.0
        self._waiters: list[asyncio.Future[None]] = []

        hub.follow(on_markets=self._markets_changed, on_clock=self._clock_changed)

        self.registry = Registry()
        self.queue = WorkQueue(self._work, jitter=rng)
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
        self.source_trouble = ""
        self.generation: Generation | None = None
        self.prune = PruneVerdict()
        self.read_at_ms = 0

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
        self.queue.add(FILES)
        self._tasks.create_task(self._pulse(), name="pulse")
        self._tasks.create_task(self.settler.run(), name="settler")
        await self.queue.run()

    def look_soon(self) -> None:
        """Look at the files soon; a hint may be wrong or late without harm."""
        self.queue.add(FILES)

    async def read_now(self) -> None:
        """Read every file and return when that pass ended, well or not."""
        done = asyncio.get_running_loop().create_future()
        self._whole_due_s = 0.0
        self._waiters.append(done)
        self.queue.add(FILES)
        await done

    def test_soon(self, name: str) -> None:
        """Test a connection soon, whatever its last outcome was."""
        self.lines.line(name).tested_at_ms = 0
        self.queue.succeed(f"connection/{name}")
        self.queue.add(f"connection/{name}")

    def approve(self, digest: str) -> bool:
        """Let the blocked deletion of *digest* through; return whether there is one."""
        if not self.prune.digest or self.prune.digest != digest:
            return False
        self._approvals.add(digest)
        self.queue.add(FILES)
        return True

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
                waiters, self._waiters = self._waiters, []
                try:
                    return await self._files()
                finally:
                    for waiter in waiters:
                        if not waiter.done():  # who asked may have gone away meanwhile
                            waiter.set_result(None)

    async def _files(self) -> Ending:
        """Read the files: every one when that is due or a removal rests on it, else what changed.

        So every file is read at least once in `scan_interval_s`, however many hints come between.
        """
        loop = asyncio.get_running_loop()
        is_whole = self._whole_due_s - loop.time() <= RESOLUTION_S or bool(self.prune.kept)
        if is_whole:
            self._whole_due_s = loop.time() + self._scan_interval_s
        try:
            generation = await self._source.read(is_whole=is_whole)
        except (ConfigurationError, OperationError) as error:
            if self.source_trouble != str(error):
                _LOG.warning("files: %s; what runs goes on", error)
                self._event("Daemon", "Warning", str(Reason.SOURCE_UNREADABLE), str(error))
            self.source_trouble = str(error)
            self._whole_due_s = 0.0
            self._resume_stored()
            return Failed()
        self.source_trouble = ""
        self.read_at_ms = self._clock.now_ms()
        before = self.generation
        is_same = (
            before is not None
            and before.loaded.tree.digest == generation.loaded.tree.digest
            and before.undecrypted.keys() == generation.undecrypted.keys()
        )
        self.generation = generation
        if not is_same:
            self._take(generation)
        self.strategies.trace_to(generation.commit, generation.loaded)
        await self._prune(generation)
        self._resume_stored()
        if generation.is_retry_needed:
            return Failed()
        if self.prune.waiting:
            return Again(min(1.0, self._scan_interval_s))
        return Again(max(0.0, self._whole_due_s - loop.time()))

    def _take(self, generation: Generation) -> None:
        """Take note of every document, and give a turn to those that changed."""
        loaded = generation.loaded
        usable = loaded.usable
        for key, document in usable.items():
            error = generation.undecrypted.get(key[1]) if key[0] == "Connection" else None
            if error is not None:
                refusal = (error.reason, str(error), error.raw_code)
                if self.registry.refuse(key, document.path, refusal):
                    self._turn(key)  # the last good key goes on, also after a restart
                self._complain(key, aspects=_decrypted(error))
            elif self.registry.see(document):
                self._turn(key)
        for key, document in loaded.documents.items():
            if key in usable:
                continue
            findings = tuple(f for f in loaded.findings_of(key) if f.is_error)
            if self.registry.refuse(key, document.path, complaint_of(findings), findings):
                self._turn(key)
            self._complain(key)
        if loaded.is_complete:
            for key in self.registry.entries.keys() - loaded.documents.keys():
                self.registry.miss(key)

    def _complain(self, key: Key, *, aspects: tuple[Condition, ...] = ()) -> None:
        entry = self.registry.entries[key]
        assert entry.complaint is not None, "the caller refused the document"
        self._settle(entry, *entry.complaint, aspects=aspects)

    def _turn(self, key: Key) -> None:
        kind, name = key
        if kind == "Connection":
            self.queue.succeed(f"connection/{name}")
            self.queue.add(f"connection/{name}")
            self._turn_strategies_of(name)
        elif kind == "Strategy":
            self.queue.succeed(f"strategy/{name}")
            self.queue.add(f"strategy/{name}")

    def _turn_strategies_of(self, connection: str) -> None:
        for entry in self.registry.using(connection):
            self.queue.add(f"strategy/{entry.name}")

    def _resume_stored(self) -> None:
        """Give a turn to last good documents whose files are not usable, once after the start."""
        for entry in self.registry.entries.values():
            if entry.desired is None and entry.applied is not None and entry.status is None:
                self._settle(entry, Reason.PROGRESSING, "resuming the last good generation")
                self._turn(entry.key)

    async def _prune(self, generation: Generation) -> None:
        """Let go of what its owner removed, and only of that."""
        loaded = generation.loaded
        running = self.strategies.on_books()
        present = {e.name for e in self.registry.of_kind("Strategy") if e.is_present}
        self.prune = guard_prune(
            running=running,
            desired=present,
            leaving=self.strategies.leaving,
            tree=TreeEvidence(
                is_complete=loaded.is_complete,
                is_settled=True,
                has_errors=any(finding.is_error for finding in loaded.findings),
                documents=len(loaded.documents),
                is_whole=generation.is_whole,
            ),
            approvals=self._approvals,
            absent_since_ms=self.prune.absent_since_ms,
            now_ms=self._clock.now_ms(),
            grace_ms=self._prune_grace_ms,
        )
        # An approval is for one set of removals: another set, or none any more, needs its own.
        self._approvals &= {removal_digest(self.prune.absent_since_ms)}
        for name in present & self.strategies.leaving:
            await self.strategies.keep(name)
        for name in self.prune.allowed:
            await self.strategies.let_go(name)
            self.queue.add(f"strategy/{name}")
        for name in self.prune.blocked:
            entry = self.registry.get("Strategy", name)
            if entry is not None:
                self._settle(entry, Reason.PRUNE_BLOCKED, self.prune.message)
        await self._sweep(running)

    async def _sweep(self, running: Collection[str]) -> None:
        """Forget absent resources that nothing runs on any more."""
        for entry in list(self.registry.entries.values()):
            if entry.is_present:
                continue
            if entry.kind == "Strategy" and entry.name in running:
                continue
            if entry.kind == "Connection":
                if self.strategies.uses(entry.name):
                    continue
                await self.lines.drop(entry.name)
                self.queue.forget(f"connection/{entry.name}")
            self.registry.drop(entry.key)
            await self._store.commit([Remove(ResourceRecord, entry.key)])

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
        policy = self.generation.loaded.policy if self.generation is not None else None
        try:
            key = await self._source.key_of(document)
        except OperationError as error:
            self._settle(entry, error.reason, str(error), error.raw_code, aspects=_decrypted(error))
            return Done() if isinstance(error, PermanentError) else Failed(error.retry_after_s)
        try:
            ending = await self.lines.test(
                connection, document.digest, key, policy, pair=self._pair_of(name)
            )
        except PermanentError as error:
            self._settle(entry, error.reason, str(error), error.raw_code)
            return Done()
        except OperationError as error:
            self._settle(entry, error.reason, str(error), error.raw_code)
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
        self._settle(
            entry,
            report.outcome,
            failed.message if failed is not None else "",
            failed.raw_code if failed is not None else None,
            aspects=(
                *_decrypted(None),
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
        self._turn_strategies_of(name)

    def _on_trouble(self, connection: str, error: OperationError) -> None:
        if error.reason is Reason.ACCOUNT_CHANGED:
            self._turn_strategies_of(connection)
        if error.reason in RETEST_NOW:
            self.queue.add(f"connection/{connection}")
        shared = self.lines.line(connection).shared
        if error.reason in SUSPICIOUS and shared is not None:
            shared.markets.look_soon()

    def _clock_changed(self, public: PublicPort, trouble: str) -> None:
        """Test at once what depends on the clock: every key of that exchange."""
        if not trouble:
            message = f"the clocks of this machine and {public.exchange} agree again"
            self._event("Daemon", "Normal", "ClocksAgree", message)
            return
        self._event("Daemon", "Warning", str(Reason.CLOCK_SKEW), trouble)
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
                self.queue.succeed(f"strategy/{entry.name}")
                self.queue.add(f"strategy/{entry.name}")

    async def _pulse(self) -> None:
        while True:
            self.strategies.watch(self._clock.now_ms(), STALE_AFTER_MS)
            await asyncio.sleep(PULSE_S)

    def _settle(
        self,
        entry: Entry,
        reason: Reason,
        message: str,
        raw_code: str | None = None,
        *,
        aspects: tuple[Condition, ...] = (),
    ) -> None:
        outcome = Outcome(entry.generation_wanted, reason, message, raw_code, aspects)
        events = settle(entry, outcome, self._clock.now_ms())
        for event in events:
            log: Callable[..., None] = _LOG.warning if event.kind == "Warning" else _LOG.info
            log("%s: %s: %s", event.about, event.reason, event.message)
        self._store.post(events)

    def _event(self, about: str, kind: str, reason: str, message: str) -> None:
        self._store.post([EventRecord(self._clock.now_ms(), about, kind, reason, message)])


def _place(connection: Connection) -> tuple[str, str, str | None]:
    """Return whose accounts *connection* is about."""
    spec = connection.spec
    return str(spec.exchange), str(spec.market), spec.endpoint


def _decrypted(error: OperationError | None) -> tuple[Condition, ...]:
    if error is None:
        return (Condition(ConditionType.DECRYPTED, status=True, reason=Reason.RECONCILE_SUCCEEDED),)
    return (
        Condition(
            ConditionType.DECRYPTED,
            status=False,
            reason=error.reason,
            message=str(error),
            raw_code=error.raw_code,
        ),
    )
