"""What the files say: read them, take what is usable, let go of what was removed.

Unreadable is unknown, never absent; a document that is not usable changes only its own status.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from backfuturectl.engine.clock import Clock
from backfuturectl.model.errors import ConfigurationError, OperationError
from backfuturectl.model.findings import Key
from backfuturectl.model.records import ResourceRecord
from backfuturectl.model.status import Condition, Reason
from backfuturectl.planning.prune import (
    PruneVerdict,
    TreeEvidence,
    guard_prune,
    removal_digest,
)
from backfuturectl.reconcile.connections import Lines
from backfuturectl.reconcile.notices import Notices, decrypted
from backfuturectl.reconcile.queue import RESOLUTION_S, Again, Ending, Failed
from backfuturectl.reconcile.registry import Registry, complaint_of
from backfuturectl.reconcile.source import Generation, Source
from backfuturectl.reconcile.strategies import Strategies
from backfuturectl.reconcile.turns import FILES, Turns
from backfuturectl.store.database import Remove, Store

_LOG = logging.getLogger(__name__)


class Files:
    """Brings the registry to what the files say.

    Attributes:
        source_trouble: Why the files could not be read the last time; empty when they were.
        generation: The last settled reading; None before the first.
        prune: What the deletion guard said last.
        read_at_ms: When the files were last read to their end.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        clock: Clock,
        *,
        registry: Registry,
        turns: Turns,
        strategies: Strategies,
        lines: Lines,
        notices: Notices,
        scan_interval_s: float,
        prune_grace_s: float,
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._registry = registry
        self._turns = turns
        self._strategies = strategies
        self._lines = lines
        self._notices = notices
        self._scan_interval_s = scan_interval_s
        self._prune_grace_ms = int(prune_grace_s * 1000)
        self._approvals: set[str] = set()
        self._whole_due_s = 0.0
        self._waiters: list[asyncio.Future[None]] = []
        self.source_trouble = ""
        self.generation: Generation | None = None
        self.prune = PruneVerdict()
        self.read_at_ms = 0

    async def read(self) -> Ending:
        """Read the files, and let those go on who wait for it."""
        waiters, self._waiters = self._waiters, []
        try:
            return await self._read()
        finally:
            for waiter in waiters:
                if not waiter.done():  # who asked may have gone away meanwhile
                    waiter.set_result(None)

    async def read_now(self) -> None:
        """Read every file and return when that pass ended, well or not."""
        done = asyncio.get_running_loop().create_future()
        self._whole_due_s = 0.0
        self._waiters.append(done)
        self._turns.soon(FILES)
        await done

    def approve(self, digest: str) -> bool:
        """Let the blocked deletion of *digest* through; return whether there is one."""
        if not self.prune.digest or self.prune.digest != digest:
            return False
        self._approvals.add(digest)
        self._turns.soon(FILES)
        return True

    async def _read(self) -> Ending:
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
                self._notices.event("Daemon", "Warning", str(Reason.SOURCE_UNREADABLE), str(error))
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
        self._strategies.trace_to(generation.commit, generation.loaded)
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
                if self._registry.refuse(key, document.path, refusal):
                    self._turns.of(key)  # the last good key goes on, also after a restart
                self._complain(key, aspects=decrypted(error))
            elif self._registry.see(document):
                self._turns.of(key)
        for key, document in loaded.documents.items():
            if key in usable:
                continue
            findings = tuple(f for f in loaded.findings_of(key) if f.is_error)
            if self._registry.refuse(key, document.path, complaint_of(findings), findings):
                self._turns.of(key)
            self._complain(key)
        if loaded.is_complete:
            for key in self._registry.entries.keys() - loaded.documents.keys():
                self._registry.miss(key)

    def _complain(self, key: Key, *, aspects: tuple[Condition, ...] = ()) -> None:
        entry = self._registry.entries[key]
        assert entry.complaint is not None, "the caller refused the document"
        self._notices.settle(entry, *entry.complaint, aspects=aspects)

    def _resume_stored(self) -> None:
        """Give a turn to last good documents whose files are not usable, once after the start."""
        for entry in self._registry.entries.values():
            if entry.desired is None and entry.applied is not None and entry.status is None:
                self._notices.settle(entry, Reason.PROGRESSING, "resuming the last good generation")
                self._turns.of(entry.key)

    async def _prune(self, generation: Generation) -> None:
        """Let go of what its owner removed, and only of that."""
        loaded = generation.loaded
        running = self._strategies.on_books()
        present = {e.name for e in self._registry.of_kind("Strategy") if e.is_present}
        self.prune = guard_prune(
            running=running,
            desired=present,
            leaving=self._strategies.leaving,
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
        for name in present & self._strategies.leaving:
            await self._strategies.keep(name)
        for name in self.prune.allowed:
            await self._strategies.let_go(name)
            self._turns.soon(f"strategy/{name}")
        for name in self.prune.blocked:
            entry = self._registry.get("Strategy", name)
            if entry is not None:
                self._notices.settle(entry, Reason.PRUNE_BLOCKED, self.prune.message)
        await self._sweep(running)

    async def _sweep(self, running: Collection[str]) -> None:
        """Forget absent resources that nothing runs on any more."""
        for entry in list(self._registry.entries.values()):
            if entry.is_present:
                continue
            if entry.kind == "Strategy" and entry.name in running:
                continue
            if entry.kind == "Connection":
                if self._strategies.uses(entry.name):
                    continue
                await self._lines.drop(entry.name)
                self._turns.forget(f"connection/{entry.name}")
            self._registry.drop(entry.key)
            await self._store.commit([Remove(ResourceRecord, entry.key)])
