"""Closed candles out of whatever an exchange lists."""

from decimal import Decimal

from backfuturectl.exchanges.candles import Span, closed
from backfuturectl.model.candles import Candle, Interval

HOUR_MS = 3_600_000


def test_what_still_forms_or_was_not_asked_for_is_left_out_and_gaps_stay():
    span = Span(Interval.HOUR, count=3, before_ms=10 * HOUR_MS)
    newest_first = [(hour * HOUR_MS, Decimal(hour)) for hour in (10, 9, 7, 6, 5, 4)]

    assert closed(newest_first, span) == (
        Candle(7 * HOUR_MS, Decimal(6)),
        Candle(8 * HOUR_MS, Decimal(7)),
        Candle(10 * HOUR_MS, Decimal(9)),
    )


def test_the_asked_for_stretch_holds_as_many_candles_as_are_wanted_and_no_other():
    span = Span(Interval.HOUR, count=3, before_ms=10 * HOUR_MS)

    assert [
        at for at in range(0, 12 * HOUR_MS, HOUR_MS) if span.first_ms <= at <= span.last_ms
    ] == [
        7 * HOUR_MS,
        8 * HOUR_MS,
        9 * HOUR_MS,
    ]
