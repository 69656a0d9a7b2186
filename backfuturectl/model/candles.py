"""Candles and the indicators that are computed from them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal
from typing import Final


class Interval(enum.StrEnum):
    """How long a candle lasts: those lengths that every supported exchange has."""

    MINUTE = "1m"
    MINUTES_5 = "5m"
    MINUTES_15 = "15m"
    MINUTES_30 = "30m"
    HOUR = "1h"
    HOURS_4 = "4h"
    DAY = "1d"

    @property
    def ms(self) -> int:
        """Its length in milliseconds."""
        return _MINUTES[self] * 60_000


_MINUTES: Final = {
    Interval.MINUTE: 1,
    Interval.MINUTES_5: 5,
    Interval.MINUTES_15: 15,
    Interval.MINUTES_30: 30,
    Interval.HOUR: 60,
    Interval.HOURS_4: 240,
    Interval.DAY: 1_440,
}


@dataclass(frozen=True, slots=True)
class Candle:
    """A closed candle, as far as indicators need it.

    Attributes:
        closed_at_ms: Its end; the next one begins there.
        close: Price of its last trade.
    """

    closed_at_ms: int
    close: Decimal


@dataclass(frozen=True, slots=True)
class Rsi:
    """A relative strength index, by Wilder, of the closes of closed candles."""

    period: int
    interval: Interval

    def __str__(self) -> str:
        """Return the name it goes by in notes and in stored states."""
        return f"rsi({self.period}, {self.interval})"
