"""The relative strength index, held against published figures."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfuturectl.strategy.indicators import HISTORY, candles_needed, rsi

D = Decimal

# StockCharts ChartSchool, "Relative Strength Index (RSI)": the worked spreadsheet, QQQQ, 14 days.
PUBLISHED_CLOSES = """
44.3389 44.0902 44.1497 43.6124 44.3278 44.8264 45.0955 45.4245 45.8433 46.0826 45.8931
46.0328 45.6140 46.2820 46.2820 46.0028 46.0328 46.4116 46.2222 45.6439 46.2122 46.2521
45.7137 46.4515 45.7835 45.3548 44.0288 44.1783 44.2181 44.5672 43.4205 42.6628 43.1314
"""
PUBLISHED_READINGS = """
70.53 66.32 66.55 69.41 66.36 57.97 62.93 63.26 56.06 62.38 54.71 50.42 39.99 41.46 41.87
45.46 37.30 33.08 37.77
"""
CLOSES = tuple(D(text) for text in PUBLISHED_CLOSES.split())
READINGS = tuple(D(text) for text in PUBLISHED_READINGS.split())


def test_every_published_reading_is_met() -> None:
    found = [rsi(CLOSES[:count], 14) for count in range(15, len(CLOSES) + 1)]
    assert [value.quantize(D("0.01")) for value in found if value is not None] == list(READINGS)


@pytest.mark.parametrize("closes", [CLOSES[:14], (), (D(5),) * HISTORY])
def test_too_few_closes_or_none_that_moved_read_nothing(closes: tuple[Decimal, ...]) -> None:
    assert rsi(closes, 14) is None


def test_a_market_that_only_rises_reads_a_hundred_and_one_that_only_falls_nought() -> None:
    rising = [D(price) for price in range(100, 200)]
    assert rsi(rising, 14) == 100
    assert rsi(rising[::-1], 14) == 0


@pytest.mark.long
@given(
    steps=st.lists(st.integers(-100, 100).filter(bool), min_size=600, max_size=600),
    period=st.integers(2, 24),
)
@settings(max_examples=60)
def test_what_came_before_the_warm_up_makes_no_difference(steps: list[int], period: int) -> None:
    closes = [D(10_000)]
    for step in steps:
        closes.append(closes[-1] * (10_000 + step) / 10_000)
    assert candles_needed(period) <= HISTORY
    short, whole = rsi(closes[-candles_needed(period) :], period), rsi(closes, period)
    assert short is not None
    assert whole is not None
    assert abs(short - whole) < D("0.2")
