"""The past of a market's price, kept by the minute from when somebody first asks for it.

Most markets of a large venue are never asked for candles, so nothing is kept for those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

_MINUTE_MS: Final = 60_000

MINUTES_MAX: Final = 50_000
"""Most minutes kept: more than 200 candles of four hours."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A candle; *at_ms* is its beginning."""

    at_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


@dataclass(slots=True)
class History:
    """One market's past: the last price of each minute that had one, oldest first."""

    closes: dict[int, Decimal] = field(default_factory=dict)

    def note(self, price: Decimal, at_ms: int) -> None:
        """Keep *price*; time does not run backwards."""
        self.closes[at_ms // _MINUTE_MS] = price
        if len(self.closes) > MINUTES_MAX:
            del self.closes[next(iter(self.closes))]

    def bars(self, opens: range) -> tuple[Bar, ...]:
        """Return one bar for each of *opens*; flat where nothing is known."""
        if not self.closes:
            return ()
        minutes = sorted(self.closes)
        price, position = self.closes[minutes[0]], 0
        bars = []
        for open_ms in opens:
            seen = [price]
            while position < len(minutes) and minutes[position] * _MINUTE_MS < open_ms + opens.step:
                price = self.closes[minutes[position]]
                if minutes[position] * _MINUTE_MS >= open_ms:
                    seen.append(price)
                else:
                    seen = [price]
                position += 1
            bars.append(Bar(open_ms, seen[0], max(seen), min(seen), seen[-1]))
        return tuple(bars)


def past(closes: Sequence[Decimal], *, step_ms: int, until_ms: int) -> History:
    """Return the history in which candles of *step_ms* closed at *closes*, the last at *until_ms*.

    The last minute of each candle has its close.
    """
    end_ms = until_ms // step_ms * step_ms
    history = History()
    for index, close in enumerate(closes):
        history.note(close, end_ms - (len(closes) - 1 - index) * step_ms - 1)
    return history
