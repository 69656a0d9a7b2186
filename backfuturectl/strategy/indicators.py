"""Indicators over candles; floats inside the library, a Decimal for whoever decides."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from talipp.indicators import RSI

HISTORY: Final = 200
"""Candles that a reading is computed from: the most that KuCoin futures gives at once."""

_WARM_UP: Final = 8
"""Periods of history that Wilder's smoothing needs.

His averages never forget: each candle keeps the part (n - 1)/n of the ones before, so what the
first average was made of still weighs e^-7, a thousandth, seven periods after it. With less, the
same candle would read differently after every restart.
"""

_PLACES: Final = Decimal("0.0001")


def candles_needed(period: int) -> int:
    """Return how many candles an RSI of *period* needs: one more than it needs changes."""
    return _WARM_UP * period + 1


def rsi(closes: Sequence[Decimal], period: int) -> Decimal | None:
    """Return the relative strength index after the last of *closes*, four places.

    None where they are too few for one, or all alike: a market that does not move has no strength
    either way. What is to be relied on is made of `candles_needed`.
    """
    if len(closes) <= period or len(set(closes)) == 1:
        return None
    values = RSI(period, [float(close) for close in closes])
    return Decimal(str(values[-1])).quantize(_PLACES)
