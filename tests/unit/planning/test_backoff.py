from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.planning.backoff import BASE_S, CAP_S, Failures, delay_s, failed

_JITTER = st.floats(0, 1, exclude_max=True)


def test_the_wait_doubles_and_is_capped() -> None:
    waits = [delay_s(Failures("d", count), jitter=0.5) for count in range(1, 12)]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 250, 250, 250])


@given(count=st.integers(1, 10_000), jitter=_JITTER)
def test_a_wait_is_within_its_bounds(count: int, jitter: float) -> None:
    assert 0.8 * BASE_S <= delay_s(Failures("d", count), jitter=jitter) <= CAP_S


@given(jitter=_JITTER)
def test_jitter_spreads_a_wait_by_a_fifth(jitter: float) -> None:
    assert delay_s(Failures("d", 1), jitter=jitter) == pytest.approx(0.8 + 0.4 * jitter)


@given(count=st.integers(1, 20), jitter=_JITTER, retry_after_s=st.floats(0, 1e6))
def test_a_servers_wish_is_never_shortened(count: int, jitter: float, retry_after_s: float) -> None:
    wait_s = delay_s(Failures("d", count), jitter=jitter, retry_after_s=retry_after_s)
    assert wait_s >= retry_after_s


def test_a_new_digest_starts_over() -> None:
    twice = failed(failed(None, "one"), "one")
    assert twice == Failures("one", 2)
    assert failed(twice, "two") == Failures("two", 1)
