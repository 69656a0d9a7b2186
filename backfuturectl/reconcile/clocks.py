"""Notice that this machine's clock is wrong before an exchange refuses requests for it.

Two signs: wall time and monotonic time part (a step of time synchronisation, a suspend), or the
exchange's time and ours do. From then on there is trouble, until several comparisons in a row
found the clocks agreeing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from backfuturectl.engine.clock import Clock
from backfuturectl.exchanges.port import PublicPort
from backfuturectl.exchanges.probe import SKEW_MAX_MS
from backfuturectl.model.errors import OperationError

_LOG = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""How often wall time is compared with monotonic time, which costs nothing."""

JUMP_MAX_MS: Final = 500
"""Slewing moves a clock by half a millisecond a second; more than this within one is a step."""

COMPARE_S: Final = 60.0
"""How often the exchange is asked for its time while all is well."""

COMPARE_SOON_S: Final = 5.0
"""How often in trouble."""

HEALTHY_CHECKS: Final = 3
"""How many comparisons in a row end the trouble."""


class ClockWatch:
    """Watches this machine's clock on behalf of one exchange.

    Args:
        on_change: Called with `trouble` when it begins, after each jump, and when it ends.

    Attributes:
        trouble: What is wrong with the clock; empty while nothing is.
    """

    def __init__(
        self,
        public: PublicPort,
        clock: Clock,
        jitter: random.Random,
        *,
        on_change: Callable[[str], None],
    ) -> None:
        self._public = public
        self._clock = clock
        self._jitter = jitter
        self._on_change = on_change
        self._healthy = 0
        self.trouble = ""

    async def run(self) -> None:
        """Watch until canceled."""
        loop = asyncio.get_running_loop()
        offset_ms = self._offset_ms()
        compare_at = loop.time() + COMPARE_S * self._jitter.uniform(0.5, 1.0)
        while True:
            await asyncio.sleep(LOOK_S)
            jumped_ms = self._offset_ms() - offset_ms
            offset_ms += jumped_ms
            if abs(jumped_ms) > JUMP_MAX_MS:
                where = "ahead" if jumped_ms > 0 else "back"
                self._doubt(f"this machine's clock jumped {abs(jumped_ms)} ms {where}")
                compare_at = loop.time()
            if loop.time() >= compare_at:
                await self._compare()
                wait_s = COMPARE_SOON_S if self.trouble else COMPARE_S
                compare_at = loop.time() + wait_s * self._jitter.uniform(0.9, 1.1)

    def _offset_ms(self) -> int:
        return self._clock.now_ms() - int(asyncio.get_running_loop().time() * 1000)

    async def _compare(self) -> None:
        """Ask the exchange for its time, which lies between our sending and receiving."""
        before_ms = self._clock.now_ms()
        try:
            server_ms = await self._public.server_time_ms()
        except OperationError:
            return  # no news; prices and the connection test have their own say on an outage
        skew_ms = max(before_ms - server_ms, server_ms - self._clock.now_ms(), 0)
        if skew_ms > SKEW_MAX_MS:
            where = "behind" if server_ms > before_ms else "ahead of"
            why = f"this machine's clock is {skew_ms} ms {where} {self._public.exchange}'s"
            self._doubt(why, is_news=not self.trouble)
        elif self.trouble:
            self._healthy += 1
            if self._healthy >= HEALTHY_CHECKS:
                _LOG.info("the clocks of this machine and %s agree again", self._public.exchange)
                self.trouble = ""
                self._on_change("")

    def _doubt(self, why: str, *, is_news: bool = True) -> None:
        self._healthy = 0
        if not self.trouble:
            _LOG.warning("%s; exits only until it agrees with %s's", why, self._public.exchange)
        self.trouble = why
        if is_news:
            self._on_change(why)
