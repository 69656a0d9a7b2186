"""One rate budget per (exchange, egress address), shared by every account there.

A token bucket per limit of the exchange; a request draws from one or more buckets at once, exits
before other orders before reads, and waits a bounded time. A server's Retry-After pauses the
buckets that its answer was about, for everybody.
"""

from __future__ import annotations

import asyncio
import enum
import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from backfuturectl.model.errors import TransientError
from backfuturectl.model.status import Reason

_WAITING_MAX: Final = 20_000

_BucketName = tuple[str, str]


class Priority(enum.IntEnum):
    """Who goes first when tokens are short."""

    EXIT = 0
    ORDER = 1
    PRICE = 2
    READ = 3


@dataclass(frozen=True, slots=True)
class Limit:
    """One rule of the exchange: *tokens* per *window_s*.

    Attributes:
        is_per_account: Counted per user rather than per address.
    """

    tokens: int
    window_s: float
    is_per_account: bool = False

    @property
    def per_s(self) -> float:
        """Tokens that return each second."""
        return self.tokens / self.window_s


@dataclass(frozen=True, slots=True)
class Draw:
    """What one request takes from one bucket.

    Attributes:
        owner: The account, for limits counted per account; empty for shared ones.
    """

    limit: str
    owner: str
    weight: int

    @property
    def bucket(self) -> _BucketName:
        """Which bucket it takes from."""
        return self.limit, self.owner


@dataclass(slots=True)
class _Bucket:
    limit: Limit
    tokens: float
    filled_at: float
    paused_until: float = 0.0

    def ready_at(self, weight: int, now: float) -> float:
        """Return when *weight* tokens are there, refilling up to *now* first."""
        elapsed = max(0.0, now - self.filled_at)
        self.tokens = min(self.limit.tokens, self.tokens + elapsed * self.limit.per_s)
        self.filled_at = now
        # A float's last digit must not make a timer fire just before its token is there.
        missing = min(weight, self.limit.tokens) - self.tokens - 1e-9
        return max(self.paused_until, now + max(0.0, missing) / self.limit.per_s)

    def spend(self, weight: int) -> None:
        """Take *weight* tokens; a request heavier than the whole limit empties the bucket."""
        self.tokens -= min(weight, self.limit.tokens)


@dataclass(order=True, slots=True)
class _Waiter:
    priority: Priority
    serial: int
    draws: tuple[Draw, ...] = field(compare=False)
    granted: asyncio.Future[None] = field(compare=False)


class Budget:
    """The shared right to send requests; use it from one event loop."""

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self._limits = dict(limits)
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        # Requests that draw from the same buckets queue in one lane: only its head can be next,
        # so that a thousand waiting reads cost no more than one.
        self._lanes: dict[frozenset[_BucketName], list[_Waiter]] = {}
        self._waiting = 0
        self._serial = 0
        self._timer: asyncio.TimerHandle | None = None

    def draws(self, weights: Mapping[str, int], owner: str) -> tuple[Draw, ...]:
        """Return the draws of a request that weighs *weights* by limit, sent for *owner*."""
        return tuple(
            Draw(name, owner if self._limits[name].is_per_account else "", weight)
            for name, weight in weights.items()
        )

    async def acquire(
        self, draws: tuple[Draw, ...], priority: Priority, *, wait_max_s: float
    ) -> None:
        """Wait until every one of *draws* is granted, at most *wait_max_s*.

        Raises:
            TransientError: RATE_LIMITED; the wait would be, or was, longer. Nothing was sent.
        """
        loop = asyncio.get_running_loop()
        pause_s = max((self._bucket(draw).paused_until for draw in draws), default=0) - loop.time()
        if pause_s > wait_max_s:
            raise _too_long(pause_s)
        if self._waiting >= _WAITING_MAX:
            raise _too_long(wait_max_s)
        self._serial += 1
        waiter = _Waiter(priority, self._serial, draws, loop.create_future())
        name = frozenset(draw.bucket for draw in draws)
        lane = self._lanes.setdefault(name, [])
        heapq.heappush(lane, waiter)
        if lane[0] is waiter:
            self._grant()
        self._waiting += 1
        try:
            async with asyncio.timeout(wait_max_s):
                await waiter.granted
        except TimeoutError as error:
            raise _too_long(wait_max_s) from error
        finally:
            self._waiting -= 1
            if waiter.granted.cancelled() and lane and lane[0] is waiter:
                # It gave up at the head of its lane: whoever is next may need less. Elsewhere in
                # the lane it is passed over when its turn comes.
                self._grant()

    def pause(self, draws: tuple[Draw, ...], seconds: float) -> None:
        """Let nothing out of the buckets of *draws* for *seconds*: the server asked for it."""
        until = asyncio.get_running_loop().time() + seconds
        for draw in draws:
            bucket = self._bucket(draw)
            bucket.paused_until = max(bucket.paused_until, until)

    def observe(self, draw: Draw, remaining: int) -> None:
        """Believe the server that no more than *remaining* tokens are left in a bucket.

        Somebody else may spend from the same allowance.
        """
        bucket = self._bucket(draw)
        bucket.ready_at(0, asyncio.get_running_loop().time())
        bucket.tokens = min(bucket.tokens, remaining)

    def _bucket(self, draw: Draw) -> _Bucket:
        if draw.bucket not in self._buckets:
            limit = self._limits[draw.limit]
            now = asyncio.get_running_loop().time()
            self._buckets[draw.bucket] = _Bucket(limit, limit.tokens, now)
        return self._buckets[draw.bucket]

    def _grant(self) -> None:
        """Let out, in order, every waiter whose buckets have enough; sleep until the next may."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        # A bucket that is short for one waiter is closed to all behind it, or a stream of light
        # reads would keep a heavy order waiting for ever.
        short: set[_BucketName] = set()
        wake_at = math.inf
        heads = [(lane[0], name) for name, lane in self._lanes.items()]
        heapq.heapify(heads)
        while heads:
            waiter, name = heapq.heappop(heads)
            if not waiter.granted.done():
                lacking = {
                    draw.bucket: ready_at
                    for draw in waiter.draws
                    if (ready_at := self._bucket(draw).ready_at(draw.weight, now)) > now
                }
                if lacking or not short.isdisjoint(name):
                    short.update(lacking)
                    wake_at = min([wake_at, *lacking.values()])
                    continue
                for draw in waiter.draws:
                    self._bucket(draw).spend(draw.weight)
                waiter.granted.set_result(None)
            lane = self._lanes[name]
            heapq.heappop(lane)
            if lane:
                heapq.heappush(heads, (lane[0], name))
            else:
                del self._lanes[name]
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(wake_at, self._grant) if self._lanes else None


def _too_long(wait_s: float) -> TransientError:
    return TransientError(
        Reason.RATE_LIMITED,
        f"the exchange's rate limit asks for a wait of {wait_s:.1f} s; nothing was sent",
        retry_after_s=wait_s,
    )
