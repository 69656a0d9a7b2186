"""One price feed per exchange and market, shared by all its bots: one batched request a tick."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Set
from typing import Final

from backfuturectl.engine.clock import Clock
from backfuturectl.exchanges.port import PublicPort
from backfuturectl.model.errors import OperationError
from backfuturectl.model.market import ZERO, Quote

_LOG = logging.getLogger(__name__)

STALE_AFTER_MS: Final = 15_000
"""No price for this long and a bot may only exit; fifteen missed ticks are no hiccup."""

_PAUSE_MAX_S: Final = 30.0

_AT_ONCE: Final = 20
"""So many listeners with something to do are told before these get a turn, and the next are told.

Where all have something to do, the first orders do not wait for the last decision.
"""

Listener = Callable[[Quote, int], bool]
"""Takes a quote and its time; returns whether it has something to do now."""


class PriceFeed:
    """Polls prices for the pairs that somebody listens to, and says how old they are."""

    def __init__(self, public: PublicPort, clock: Clock, *, interval_s: float = 1.0) -> None:
        self._public = public
        self._clock = clock
        self._interval_s = interval_s
        self._listeners: dict[str, dict[str, Listener]] = {}
        self._told: dict[str, tuple[Listener, ...]] = {}
        self._last_at_ms: dict[str, int] = {}
        self._untold: frozenset[str] = frozenset()
        self.last_error: str | None = None

    def listen(self, pair: str, who: str, listener: Listener) -> None:
        """Call *listener* on each quote of *pair*, until *who* is muted."""
        self._listeners.setdefault(pair, {})[who] = listener
        self._told[pair] = tuple(self._listeners[pair].values())

    def mute(self, pair: str, who: str) -> None:
        """Stop calling *who*; unknown names are ignored."""
        listeners = self._listeners.get(pair, {})
        listeners.pop(who, None)
        self._told[pair] = tuple(listeners.values())
        if not listeners:
            self._listeners.pop(pair, None)
            del self._told[pair]

    def last_at_ms(self, pair: str) -> int:
        """Return when *pair* last had a price; 0 when it never had one."""
        return self._last_at_ms.get(pair, 0)

    def why_stale(self, pair: str) -> str:
        """Return what keeps the price of *pair* away; empty where nothing is known to."""
        if self.last_error is not None:
            return self.last_error
        if pair in self._untold:
            return f"{self._public.exchange} tells no price of {pair} that is a number above zero"
        return ""

    async def run(self) -> None:
        """Poll until canceled; a failing exchange is asked less and less often, up to 30 s."""
        failures = 0
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        while True:
            wait_s = self._interval_s
            if self._listeners:
                try:
                    await self._tick()
                    failures = 0
                    self.last_error = None
                except OperationError as error:
                    failures += 1
                    wait_s = min(self._interval_s * 2**failures, _PAUSE_MAX_S)
                    wait_s = max(wait_s, error.retry_after_s or 0)
                    if self.last_error is None:
                        _LOG.warning("prices of %s stopped: %s", self._public.exchange, error)
                    self.last_error = str(error)
            # A steady beat: the time a tick took is not added to the interval.
            next_at = max(next_at + wait_s, loop.time())
            await asyncio.sleep(next_at - loop.time())

    async def _tick(self) -> None:
        told = await self._public.prices(tuple(self._listeners))
        # Zero is a hole in the exchange's answer: every long position's stop lies above.
        quotes = {pair: quote for pair, quote in told.items() if quote.last > ZERO}
        self._note_untold(self._listeners.keys() - quotes.keys())
        now_ms = self._clock.now_ms()
        busy = 0
        for pair, quote in quotes.items():
            self._last_at_ms[pair] = now_ms
            for listener in self._told.get(pair, ()):
                busy += listener(quote, now_ms)
            if busy >= _AT_ONCE:
                busy = 0
                await asyncio.sleep(0)

    def _note_untold(self, pairs: Set[str]) -> None:
        """Take note of *pairs* whose price the exchange does not tell, and say so once."""
        for pair in sorted(pairs - self._untold):
            _LOG.warning("%s tells no price of %s", self._public.exchange, pair)
        self._untold = frozenset(pairs)
