import itertools

from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.exchanges.kucoin import windows

DAY_MS = 86_400_000
NOW_MS = 1_790_274_000_000


@given(st.integers(0, 180 * DAY_MS))
def test_windows_cover_everything_since_then_without_a_gap_or_an_overlap(age_ms: int):
    spans = windows(NOW_MS - age_ms, NOW_MS)

    assert spans[0][0] == NOW_MS - age_ms
    assert spans[-1][1] > NOW_MS
    assert all(end - start < 7 * DAY_MS for start, end in spans)
    assert all(left[1] + 1 == right[0] for left, right in itertools.pairwise(spans))


def test_asking_for_everything_asks_for_half_a_year():
    assert len(windows(0, NOW_MS)) <= 27


def test_a_time_in_the_far_future_asks_for_nothing():
    assert windows(NOW_MS + DAY_MS, NOW_MS) == []
