"""Write in groups: whatever waits when the disk is ready shares one transaction and one sync.

A group that fails is undone and repeated one by one, so that only those fail that must.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from backfuturectl.model.errors import TransientError
from backfuturectl.model.status import Reason
from backfuturectl.store.failures import translate
from backfuturectl.store.statements import Write, apply

COMMITS_MAX: Final = 20_000
POSTS_MAX: Final = 20_000
_GROUP_MAX: Final = 2_000
_CLOSE_S: Final = 10.0
_log: Final = logging.getLogger(__name__)

Work = Callable[[Connection], None]


class Writer(Protocol):
    """Who carries writes to the database."""

    async def commit(self, writes: Sequence[Write]) -> None:
        """Return when *writes* are durable."""

    def post(self, writes: Sequence[Write]) -> None:
        """Take *writes* and return at once."""

    async def run(self, work: Work) -> None:
        """Run *work* in a transaction of its own."""

    async def close(self) -> None:
        """Finish what was taken."""


class InlineWriter:
    """Writes in the calling thread, for simulations in which one seed is one history."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def commit(self, writes: Sequence[Write]) -> None:
        """Write, in a transaction of its own."""
        await self.run(lambda connection: apply(connection, writes))

    def post(self, writes: Sequence[Write]) -> None:
        """Write; a failure is logged."""
        try:
            _transact(self._engine, lambda connection: apply(connection, writes))
        except TransientError as error:
            _log.error("%d events were not recorded: %s", len(writes), error)

    async def run(self, work: Work) -> None:
        """Run *work* here and now."""
        _transact(self._engine, work)

    async def close(self) -> None:
        """Nothing waits."""


@dataclass(slots=True)
class _Job:
    """One commit, one post or one piece of work, and who waits for it.

    Attributes:
        done: None for a post.
        error: Why it failed; None when it succeeded.
    """

    writes: Sequence[Write]
    work: Work | None = None
    done: asyncio.Future[None] | None = None
    error: Exception | None = field(default=None)

    def run(self, connection: Connection) -> None:
        if self.work is not None:
            self.work(connection)
        else:
            apply(connection, self.writes)

    def settle(self) -> None:
        """Tell who waits; in the loop's thread."""
        if self.done is None or self.done.done():  # a canceled waiter no longer listens
            return
        if self.error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(self.error)


class ThreadWriter:
    """Writes in one thread of its own, so that the loop never waits for the disk.

    What the tasks of one turn of the loop want to write is handed over together at its end: one
    group, and a thread that does not compete with them for the interpreter.
    """

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._gathered: list[_Job] = []
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._is_closing = False
        self._posted = 0  # writes of posts that wait
        self._refused = 0  # writes of posts turned away since the last log line
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._thread.start()

    async def commit(self, writes: Sequence[Write]) -> None:
        """Return when *writes* are on disk; a canceled call may or may not have written them.

        Raises:
            TransientError: STORE_UNAVAILABLE; nothing of *writes* was recorded.
        """
        await self._wait_for(_Job(tuple(writes)))

    async def run(self, work: Work) -> None:
        """Run *work* in the writer's thread, in a transaction of its own."""
        await self._wait_for(_Job((), work))

    def post(self, writes: Sequence[Write]) -> None:
        """Queue *writes*; when the queue is full they are refused, which the log says."""
        with self._wake:
            if self._is_closing or self._posted + len(writes) > POSTS_MAX:
                self._refused += len(writes)
                return
            self._posted += len(writes)
        self._gather(_Job(tuple(writes)))

    async def close(self) -> None:
        """Write what was taken, then end the thread; report what did not end in time."""
        self._hand_over()
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join, _CLOSE_S)
        if self._thread.is_alive():
            _log.error("the state database did not finish writing within %s s", _CLOSE_S)

    async def _wait_for(self, job: _Job) -> None:
        done = job.done = self._loop.create_future()
        with self._wake:
            waiting = len(self._jobs) + len(self._gathered)
            if self._is_closing or waiting >= COMMITS_MAX + POSTS_MAX:
                why = "it is being closed" if self._is_closing else "too many writes wait for it"
                raise TransientError(
                    Reason.STORE_UNAVAILABLE, f"the state database cannot be used: {why}"
                )
        self._gather(job)
        await done

    def _gather(self, job: _Job) -> None:
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(job)

    def _hand_over(self) -> None:
        with self._wake:
            self._jobs.extend(self._gathered)
            self._wake.notify()
        self._gathered.clear()

    def _serve(self) -> None:
        while group := self._next_group():
            _write_group(self._engine, group)
            lost = [job for job in group if job.done is None and job.error is not None]
            if lost:
                writes = sum(len(job.writes) for job in lost)
                _log.error("%d events were not recorded: %s", writes, lost[0].error)
            self._loop.call_soon_threadsafe(_settle, group)

    def _next_group(self) -> list[_Job]:
        """Wait for jobs; return as many as fit one transaction, or none at the end."""
        with self._wake:
            while not self._jobs and not self._is_closing:
                self._wake.wait()
            group: list[_Job] = []
            while self._jobs and len(group) < _GROUP_MAX:
                if self._jobs[0].work is not None and group:
                    break
                group.append(self._jobs.popleft())
                if group[-1].work is not None:
                    break
            self._posted -= sum(len(job.writes) for job in group if job.done is None)
            refused, self._refused = self._refused, 0
        if refused:
            _log.error("%d events were not recorded: too many wait to be written", refused)
        return group


def _settle(group: Iterable[_Job]) -> None:
    for job in group:
        job.settle()


def _write_group(engine: Engine, group: Sequence[_Job]) -> None:
    if len(group) > 1 and _try_together(engine, group):
        return
    for job in group:
        try:
            _transact(engine, job.run)
        except Exception as error:  # noqa: BLE001 - raised again where the job is awaited
            job.error = error


def _try_together(engine: Engine, group: Sequence[_Job]) -> bool:
    writes = chain.from_iterable(job.writes for job in group)
    try:
        _transact(engine, lambda connection: apply(connection, writes))
    except Exception as error:  # noqa: BLE001 - found again, by whose it is, one by one
        _log.debug("a group of %d writes is repeated one by one: %s", len(group), error)
        return False
    return True


def _transact(engine: Engine, work: Work) -> None:
    try:
        with engine.begin() as connection:
            work(connection)
    except DBAPIError as error:
        raise translate(error) from error
