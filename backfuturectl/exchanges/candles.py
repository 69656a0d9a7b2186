"""Closed candles from what exchanges list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from backfuturectl.model.candles import Candle, Interval


@dataclass(frozen=True, slots=True)
class Span:
    """Which candles are wanted: the newest *count* that closed at or before *before_ms*."""

    interval: Interval
    count: int
    before_ms: int

    @property
    def first_ms(self) -> int:
        """When the first one opens."""
        return self.before_ms - self.count * self.interval.ms

    @property
    def last_ms(self) -> int:
        """Just before the first one opens that is not wanted.

        Exchanges disagree on whether an end is included; no candle opens here.
        """
        return self.before_ms - 1


def closed(opened: Iterable[tuple[int, Decimal]], span: Span) -> tuple[Candle, ...]:
    """Return the candles of *span*, oldest first, from opening times and closes in any order.

    An exchange lists the one that still forms as well; a market without a trade leaves gaps.
    """
    candles = (Candle(opened_ms + span.interval.ms, close) for opened_ms, close in sorted(opened))
    return tuple(candle for candle in candles if candle.closed_at_ms <= span.before_ms)[
        -span.count :
    ]
