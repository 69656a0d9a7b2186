from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.status import REASONS, Condition, ConditionType, Reason, ReasonClass
from backfuturectl.planning.conditions import Outcome, ResourceStatus, observe, transitions

ABOUT = "Connection/mexc-spot-main"
READY, RECONCILING, STALLED = (
    ConditionType.READY,
    ConditionType.RECONCILING,
    ConditionType.STALLED,
)


def shown(status: ResourceStatus) -> dict[ConditionType, bool | None]:
    return {condition.type: condition.status for condition in status.conditions}


@pytest.mark.parametrize(
    ("reason", "expected", "observed"),
    [
        (Reason.ONLINE, {READY: True}, 3),
        (Reason.INVALID_KEY, {READY: False, STALLED: True}, 3),
        (Reason.EXCHANGE_UNAVAILABLE, {READY: False, RECONCILING: True}, 2),
        (Reason.PROGRESSING, {READY: None, RECONCILING: True}, 2),
        (Reason.DEPENDENCY_NOT_READY, {READY: False, RECONCILING: True}, 2),
        (Reason.SUSPENDED, {READY: False}, 2),
    ],
)
def test_an_outcome_shows_as_its_reasons_class_says(
    reason: Reason, expected: dict[ConditionType, bool | None], observed: int
) -> None:
    before = observe(None, Outcome(2, Reason.ONLINE), 10)
    status = observe(before, Outcome(3, reason), 20)
    assert shown(status) == expected
    assert (status.generation, status.observed_generation) == (3, observed)


def test_the_cause_is_the_message_when_there_is_none_and_the_raw_code_is_kept() -> None:
    ready = observe(None, Outcome(1, Reason.INVALID_KEY, raw_code="700003"), 10).ready
    assert ready.message == REASONS[Reason.INVALID_KEY].cause
    assert ready.raw_code == "700003"


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    first = observe(None, Outcome(1, Reason.INVALID_KEY), 10)
    second = observe(first, Outcome(1, Reason.IP_NOT_ALLOWED), 20)
    third = observe(second, Outcome(1, Reason.ONLINE), 30)
    assert [status.ready.since_ms for status in (first, second, third)] == [10, 10, 30]


def test_events_tell_transitions_and_no_repetition() -> None:
    first = observe(None, Outcome(1, Reason.ONLINE), 10)
    (told,) = transitions(ABOUT, None, first, 10)
    assert (told.about, told.kind, told.reason) == (ABOUT, "Normal", "Online")
    again = observe(first, Outcome(2, Reason.ONLINE, "passed again"), 20)
    assert transitions(ABOUT, first, again, 20) == ()
    broken = observe(again, Outcome(2, Reason.IP_NOT_ALLOWED), 30)
    (bad,) = transitions(ABOUT, again, broken, 30)
    assert (bad.kind, bad.reason, bad.at_ms) == ("Warning", "IPNotAllowed", 30)
    assert bad.message == f"Ready is false: {REASONS[Reason.IP_NOT_ALLOWED].cause}"


def test_aspects_are_told_on_their_own() -> None:
    aspect = Condition(ConditionType.REACHABLE, True, Reason.ONLINE, "answered in 80 ms")
    before = observe(None, Outcome(1, Reason.ONLINE, aspects=(aspect,)), 10)
    failing = replace(aspect, status=False, reason=Reason.MAINTENANCE, message="until 12:00")
    after = observe(before, Outcome(1, Reason.ONLINE, aspects=(failing,)), 20)
    (event,) = transitions(ABOUT, before, after, 20)
    assert event.message == "Reachable is false: until 12:00"
    assert event.kind == "Warning"


@given(reasons=st.lists(st.sampled_from(sorted(Reason)), min_size=1))
def test_ready_comes_first_and_agrees_with_what_stands_beside_it(reasons: list[Reason]) -> None:
    status = None
    for number, reason in enumerate(reasons, 1):
        previous, status = status, observe(status, Outcome(number, reason), number)
        kinds = [condition.type for condition in status.conditions]
        assert kinds[0] is READY
        assert len(kinds) == len(set(kinds))
        assert (status.ready.status is True) == (REASONS[reason].kind is ReasonClass.GOOD)
        assert status.observed_generation <= status.generation
        assert not transitions(ABOUT, status, status, number)
        if previous is None:
            assert len(transitions(ABOUT, previous, status, number)) == 1
