"""The table of causes is complete, and gives nothing but its own words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.errors import PermanentError, TransientError
from backfuturectl.model.status import Reason
from backfuturectl.secrets.failures import FAILURES, SopsFailure, classify, failed, normalise


def test_every_failure_has_cause_and_remedy() -> None:
    assert set(FAILURES) == set(SopsFailure)
    assert all(row.cause and row.remedy for row in FAILURES.values())
    assert {row.reason for row in FAILURES.values()} == {
        Reason.DECRYPT_FAILED,
        Reason.INTEGRITY_FAILED,
    }


def test_tampering_is_never_retried() -> None:
    assert not [
        failure
        for failure, row in FAILURES.items()
        if row.reason is Reason.INTEGRITY_FAILED and row.is_retryable
    ]


@pytest.mark.parametrize("failure", SopsFailure)
def test_the_error_says_whether_to_come_back(failure: SopsFailure) -> None:
    kind = TransientError if FAILURES[failure].is_retryable else PermanentError
    assert type(failed(failure)) is kind


def test_text_wrapped_behind_a_gutter_is_joined() -> None:
    wrapped = "  - | failed to load age\n    | identities. Errors\n"
    assert "failed to load age identities." in normalise(wrapped)
    assert classify(128, wrapped) is SopsFailure.NO_IDENTITY


@given(code=st.integers(1, 255), text=st.text())
def test_any_ending_has_a_name(code: int, text: str) -> None:
    assert classify(code, text) in FAILURES


@given(code=st.integers(-64, -1))
def test_a_signal_is_no_verdict_on_the_file(code: int) -> None:
    assert classify(code, "") is SopsFailure.KILLED
