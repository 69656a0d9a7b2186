"""One keyed, de-duplicating work queue: a key is never worked on twice at once.

A key added while it is being worked on runs once more afterwards. A key's work ends in one of four
ways, and the queue alone decides when it runs again: done, again after a while, transient error
(backoff), terminal (not until somebody adds the key again).
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from backfuturectl.planning.backoff import Failures, delay_s

_LOG = logging.getLogger(__name__)

WORKERS: Final = 16
"""Keys worked on at once; the exchanges' rate budgets are the real limit."""


RESOLUTION_S: Final = 0.001
"""Appointments this near are due."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing more to do until something changes."""


@dataclass(frozen=True, slots=True)
class Again:
    """Look again after a while; not a failure."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A transient failure: look again after the key's backoff, never before *retry_after_s*."""

    retry_after_s: float | None = None


Ending = Done | Again | Failed
Work = Callable[[str], Awaitable[Ending]]


class WorkQueue:
    """Runs a work function over keys; see the module's docstring for its promises.

    Attributes:
        last_turn_s: Loop time at which a worker last took or finished a key, or found nothing due.
    """

    def __init__(self, work: Work, *, jitter: random.Random) -> None:
        self._work = work
        self._jitter = jitter
        self._due: dict[str, float] = {}
        # The same by time; what `_due` does not confirm was moved or dropped since.
        self._order: list[tuple[float, str]] = []
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._forgotten: set[str] = set()
        self._failures: dict[str, int] = {}
        self._wake = asyncio.Event()
        self.last_turn_s = 0.0

    def add(self, key: str, *, after_s: float = 0.0) -> None:
        """Make *key* run in *after_s* at the latest; an earlier appointment stays."""
        self._forgotten.discard(key)
        if key in self._running and after_s <= 0:
            self._again.add(key)
            return
        due = asyncio.get_running_loop().time() + after_s
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._order, (due, key))
            self._wake.set()

    def forget(self, key: str) -> None:
        """Drop *key*'s appointments and failures; work under way ends, and is the last."""
        self._due.pop(key, None)
        self._failures.pop(key, None)
        self._again.discard(key)
        if key in self._running:
            self._forgotten.add(key)

    def succeed(self, key: str) -> None:
        """Forget past failures of *key*: what it depends on changed, so the backoff starts anew."""
        self._failures.pop(key, None)

    @property
    def depth(self) -> int:
        """Keys due or being worked on now."""
        now = asyncio.get_running_loop().time()
        return len(self._running) + sum(due <= now for due in self._due.values())

    async def run(self) -> None:
        """Work until canceled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                now = asyncio.get_running_loop().time()
                self.last_turn_s = now
                for key in self._take(now):
                    self._running.add(key)
                    group.create_task(self._turn(key), name=f"work {key}")
                await self._sleep()

    def _take(self, now: float) -> list[str]:
        taken: list[str] = []
        soon = now + RESOLUTION_S  # a clock may round a shorter sleep to none, for ever
        while len(self._running) + len(taken) < WORKERS and self._next_at() <= soon:
            _, key = heapq.heappop(self._order)
            del self._due[key]
            taken.append(key)
        return taken

    def _next_at(self) -> float:
        """Return when the next key is due that nobody works on; infinity when there is none."""
        while self._order:
            at, key = self._order[0]
            if self._due.get(key) == at and key not in self._running:
                return at
            heapq.heappop(self._order)  # outdated, or put back when its key's work has ended
        return float("inf")

    async def _sleep(self) -> None:
        now = asyncio.get_running_loop().time()
        # At least one look a second, so that the watchdog sees an idle queue turn.
        wait_s = min(1.0, max(self._next_at() - now, 0.0))
        if len(self._running) >= WORKERS:
            wait_s = 1.0
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _turn(self, key: str) -> None:
        ending: Ending = Failed()
        try:
            ending = await self._work(key)
        except Exception:  # noqa: BLE001 - a defect over one key is not the others' end
            _LOG.exception("%s: defect", key)
        finally:
            self._running.discard(key)
            if key in self._due:
                heapq.heappush(self._order, (self._due[key], key))
            self._wake.set()
        if key in self._forgotten:
            self._forgotten.discard(key)
            return
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        match ending:
            case Done():
                self._failures.pop(key, None)
            case Again(after_s):
                self._failures.pop(key, None)
                self.add(key, after_s=after_s)
            case Failed(retry_after_s):
                count = self._failures.get(key, 0) + 1
                self._failures[key] = count
                wait_s = delay_s(
                    Failures(key, count), jitter=self._jitter.random(), retry_after_s=retry_after_s
                )
                _LOG.debug("%s failed %d times, again in %.1f s", key, count, wait_s)
                self.add(key, after_s=wait_s)
