"""Keep an exchange's market rules fresh: ticks, minima, fees, what is open for trading.

Loaded at the start, again by the hour, and soon after an order was refused in a way that market
rules explain. What cannot be loaded leaves what is known in force.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Final

from backfuturectl.exchanges.port import PublicPort
from backfuturectl.model.errors import OperationError
from backfuturectl.model.market import Market
from backfuturectl.model.status import Reason

_LOG = logging.getLogger(__name__)

RELOAD_S: Final = 3600.0
"""How often the rules are loaded: exchanges announce a change days ahead, and change seldom."""

RELOAD_PAUSE_S: Final = 60.0
"""Least time between two loads, however many orders are refused, and before another try."""

SUSPICIOUS: Final = frozenset({Reason.ORDER_REJECTED, Reason.MARKET_UNAVAILABLE})
"""What an order may be refused for when the rules are not what they were."""


class MarketWatch:
    """Loads one exchange's markets again, and says which pairs changed.

    Args:
        on_change: Called with the pairs whose rules are other ones now.
    """

    def __init__(
        self,
        public: PublicPort,
        jitter: random.Random,
        *,
        on_change: Callable[[frozenset[str]], None],
    ) -> None:
        self._public = public
        self._jitter = jitter
        self._on_change = on_change
        self._asked = asyncio.Event()

    def look_soon(self) -> None:
        """Load soon: an order was refused that should have fitted."""
        self._asked.set()

    async def run(self) -> None:
        """Load again and again until canceled."""
        wait_s = RELOAD_S * self._jitter.uniform(0.9, 1.1)
        while True:
            await asyncio.sleep(RELOAD_PAUSE_S)
            try:
                async with asyncio.timeout(max(wait_s - RELOAD_PAUSE_S, 0)):
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()
            wait_s = RELOAD_S * self._jitter.uniform(0.9, 1.1)
            try:
                await self._load()
            except OperationError as error:
                _LOG.warning(
                    "markets of %s: %s; the known rules stay in force",
                    self._public.exchange,
                    error,
                )
                wait_s = max(RELOAD_PAUSE_S, error.retry_after_s or 0)

    async def _load(self) -> None:
        before = await self._public.markets()
        await self._public.reload_markets()
        changed = _changed(before, await self._public.markets())
        if changed:
            shown = ", ".join(sorted(changed)[:5]) + ("…" if len(changed) > 5 else "")  # noqa: PLR2004 - a line's worth
            _LOG.info("markets of %s changed: %s", self._public.exchange, shown)
            self._on_change(changed)


def _changed(before: Mapping[str, Market], now: Mapping[str, Market]) -> frozenset[str]:
    return frozenset(
        pair for pair in before.keys() | now.keys() if before.get(pair) != now.get(pair)
    )
