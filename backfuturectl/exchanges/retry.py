"""Repeat a read that failed for a passing reason; nothing else is ever repeated.

Bounded in attempts and in time, with jitter from a seeded source; the server's Retry-After is
obeyed, and where it is longer than the bound, the error goes to the caller at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

import tenacity

from backfuturectl.model.errors import TransientError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how long.

    Attributes:
        rng: Source of jitter, so that bots that failed together do not come back together.
        attempts: All of them, the first included.
        total_s: No attempt begins later than this after the first.
        wait_first_s: Doubles with every attempt; the jitter takes up to half of it away.
    """

    rng: Random
    attempts: int = 3
    total_s: float = 10.0
    wait_first_s: float = 0.3

    async def __call__(self, read: Callable[[], Awaitable[T]]) -> T:
        """Return what *read* returns; raise its last error when every attempt failed."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        try:
            return await read()  # nearly always; setting up what follows costs more than signing
        except TransientError as error:
            failures = [error]
        left_s = self.total_s - (loop.time() - started_s)
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=self._wait_s,
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(self.attempts),
                tenacity.stop_before_delay(left_s),
            ),
            reraise=True,
        )

        async def attempt() -> T:
            if failures:
                raise failures.pop()
            return await read()

        return await retrying(attempt)

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        wait_s = self.wait_first_s * 2.0 ** (state.attempt_number - 1)
        wait_s *= 1 - self.rng.random() / 2
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, TransientError) and error.retry_after_s is not None:
            wait_s = max(wait_s, error.retry_after_s)
        return wait_s
