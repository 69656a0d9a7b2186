"""When a bot looks at its orders next."""

from __future__ import annotations

import asyncio
import random
from typing import Final

IDLE_POLL_S: Final = 20.0
"""How often resting orders are looked at when no price touched them."""

URGENT_POLL_S: Final = 1.0
"""How often an order is looked at whose fate is open: touched by the price, or unknown."""

ABSENT_WATCH_S: Final = 120.0
"""How long the open orders are looked through for one that was believed never to have arrived."""

PAUSE_MAX_S: Final = 15.0
"""Longest pause between two tries while the exchange or the store fails."""


class Pace:
    """The time of the next look, in the loop's seconds; whoever wants it earlier, gets it."""

    def __init__(self, jitter: random.Random) -> None:
        self._jitter = jitter
        self._due_s = 0.0
        self._not_before_s = 0.0
        self._watches_until_s = 0.0

    @property
    def left_s(self) -> float:
        """How long it is until the next look; not positive when that is due."""
        return max(self._due_s, self._not_before_s) - asyncio.get_running_loop().time()

    @property
    def may_ask(self) -> bool:
        """Whether the exchange may be asked anything: the wait after a failure is over."""
        return asyncio.get_running_loop().time() >= self._not_before_s

    @property
    def watches_absent(self) -> bool:
        """Whether an order that was believed absent may still appear."""
        return asyncio.get_running_loop().time() <= self._watches_until_s

    def at_once(self) -> None:
        """Look now; may be called outside the loop."""
        self._due_s = 0.0

    def soon(self) -> None:
        """Look in this turn of the bot's task."""
        self._within(0.0)

    def touched(self) -> bool:
        """Look as soon as the exchange may have carried out what a price has reached.

        Returns:
            Whether that is earlier than the next look was to be.
        """
        return self._within(URGENT_POLL_S / 4)

    def urgent(self) -> None:
        """Look again in a second."""
        self._within(URGENT_POLL_S)

    def watch_absent(self) -> None:
        """Look for an order that has just been declared absent, for a while."""
        self._watches_until_s = asyncio.get_running_loop().time() + ABSENT_WATCH_S

    def idle(self) -> None:
        """Look when it is time again."""
        now = asyncio.get_running_loop().time()
        self._due_s = now + IDLE_POLL_S * self._jitter.uniform(0.8, 1.2)

    def after_failure(self, failures: int, retry_after_s: float | None) -> float:
        """Put the next look off after the *failures*-th failure in a row; return for how long.

        Nothing shortens it, least of all what the exchange itself asked for.
        """
        wait_s: float = min(URGENT_POLL_S * 2 ** min(failures - 1, 8), PAUSE_MAX_S)
        wait_s = max(wait_s * self._jitter.uniform(0.5, 1.0), retry_after_s or 0)
        self._due_s = self._not_before_s = asyncio.get_running_loop().time() + wait_s
        return wait_s

    def forgive(self) -> None:
        """Let the exchange be asked again: it was not what failed."""
        self._not_before_s = 0.0

    def _within(self, wait_s: float) -> bool:
        due_s = asyncio.get_running_loop().time() + wait_s
        is_earlier = due_s < self._due_s
        self._due_s = min(self._due_s, due_s)
        return is_earlier
