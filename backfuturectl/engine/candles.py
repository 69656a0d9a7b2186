"""One candle feed per exchange and market, shared by all its bots: indicators of closed candles.

One request per pair and interval soon after each close, with enough history to compute every
reading afresh, so that a restart, a gap or a correction leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from backfuturectl.engine.clock import Clock
from backfuturectl.exchanges.port import PublicPort
from backfuturectl.model.candles import Candle, Interval, Rsi
from backfuturectl.model.errors import OperationError
from backfuturectl.strategy.base import IndicatorSeen
from backfuturectl.strategy.indicators import HISTORY, candles_needed, rsi

_LOG = logging.getLogger(__name__)

SETTLE_MS: Final = 2_000
"""Clocks differ by up to a second, and an exchange needs a moment to publish the last trade."""

_JITTER_S: Final = 3.0
_RETRY_S: Final = 5.0
_RETRY_MAX_S: Final = 300.0

LOOKS: Final = 3
"""How often a close is asked for that is not there; without a trade there may never be one."""

_SLEEP_MAX_S: Final = 30.0
"""Wall time may be set; so long at most is waited by a clock that was."""

Listener = Callable[[IndicatorSeen], None]
_Key = tuple[str, Interval]


@dataclass(slots=True)
class _Line:
    """One pair and interval.

    Attributes:
        due_ms: When it is asked for next.
        failures: Requests that failed in a row.
        looks: Requests in a row whose newest candle was older than expected.
        is_short: Whether it was said that the history is too short.
    """

    followers: dict[str, tuple[Rsi, Listener]] = field(default_factory=dict)
    due_ms: int = 0
    failures: int = 0
    looks: int = 0
    is_short: bool = False


class CandleFeed:
    """Asks for candles of the pairs that somebody follows, and tells what they read."""

    def __init__(self, public: PublicPort, clock: Clock, jitter: random.Random) -> None:
        self._public = public
        self._clock = clock
        self._jitter = jitter
        self._lines: dict[_Key, _Line] = {}
        self._changed = asyncio.Event()

    def follow(self, pair: str, who: str, indicator: Rsi, listener: Listener) -> None:
        """Call *listener* soon and then after each close, until *who* unfollows; one per name."""
        self.unfollow(who)
        line = self._lines.setdefault((pair, indicator.interval), _Line())
        line.followers[who] = (indicator, listener)
        line.due_ms = 0
        self._changed.set()

    def unfollow(self, who: str) -> None:
        """Stop calling *who*; unknown names are ignored."""
        for key, line in tuple(self._lines.items()):
            if line.followers.pop(who, None) is not None and not line.followers:
                del self._lines[key]

    async def run(self) -> None:
        """Ask when something is due, until canceled."""
        while True:
            self._changed.clear()
            now_ms = self._clock.now_ms()
            for key, line in tuple(self._lines.items()):
                if line.due_ms <= now_ms and line.followers:
                    await self._look(key, line)
            due_ms = min((line.due_ms for line in self._lines.values()), default=None)
            wait_s = _SLEEP_MAX_S
            if due_ms is not None:
                wait_s = min(max((due_ms - self._clock.now_ms()) / 1_000, 0.0), _SLEEP_MAX_S)
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _look(self, key: _Key, line: _Line) -> None:
        pair, interval = key
        # A candle that closed this very moment may still change.
        closed_ms = (self._clock.now_ms() - SETTLE_MS) // interval.ms * interval.ms
        line.due_ms = closed_ms + interval.ms + SETTLE_MS + self._wait_ms(_JITTER_S)
        try:
            candles = await self._public.candles(pair, interval, limit=HISTORY, before_ms=closed_ms)
        except OperationError as error:
            if not line.failures:
                _LOG.warning("candles of %s %s stopped: %s", pair, interval, error)
            line.failures += 1
            wait_s = min(_RETRY_S * 2 ** min(line.failures - 1, 10), _RETRY_MAX_S)
            self._again(line, max(wait_s, error.retry_after_s or 0))
            return
        line.failures = 0
        is_late = not candles or candles[-1].closed_at_ms < closed_ms
        line.looks = line.looks + 1 if is_late else 0
        if is_late and line.looks % LOOKS:
            self._again(line, _RETRY_S)
        self._tell(key, line, candles)

    def _again(self, line: _Line, wait_s: float) -> None:
        """Ask again in *wait_s* and a little, also where that is after the next close."""
        line.due_ms = self._clock.now_ms() + int(wait_s * 1_000) + self._wait_ms(_JITTER_S)

    def _wait_ms(self, up_to_s: float) -> int:
        return int(self._jitter.uniform(0, up_to_s) * 1_000)

    def _tell(self, key: _Key, line: _Line, candles: tuple[Candle, ...]) -> None:
        closes = [candle.close for candle in candles]
        now_ms = self._clock.now_ms()
        for who, (indicator, listener) in tuple(line.followers.items()):
            needed = candles_needed(indicator.period)
            value = rsi(closes, indicator.period) if len(closes) >= needed else None
            if value is not None:
                listener(IndicatorSeen(indicator, value, candles[-1].closed_at_ms, now_ms))
            elif not line.is_short:
                line.is_short = True
                _LOG.warning(
                    "%s: %d candles of %s, all alike or fewer than the %d that %s needs; no deal "
                    "begins before that",
                    *(who, len(closes), key[0], needed, indicator),
                )
