"""The only reader of wall time; everything else takes ``now_ms`` or a `Clock` as an argument."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time in milliseconds since the epoch, UTC."""

    def now_ms(self) -> int:
        """Return the time."""


class WallClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return the machine's time."""
        return time.time_ns() // 1_000_000
