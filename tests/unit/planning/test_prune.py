from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.status import Reason
from backfuturectl.planning.prune import (
    GRACE_MS,
    PruneVerdict,
    TreeEvidence,
    guard_prune,
    removal_digest,
)

GOOD = TreeEvidence(is_complete=True, is_settled=True, has_errors=False, documents=9)
NAMES = [f"s{number}" for number in range(8)]
LONG_AGO = dict.fromkeys(NAMES, 0)
NOW = GRACE_MS * 10


def guard(
    *,
    desired: Collection[str],
    running: Collection[str] = NAMES,
    tree: TreeEvidence = GOOD,
    **changes: Any,
) -> PruneVerdict:
    arguments: dict[str, Any] = {
        "leaving": (),
        "approvals": (),
        "absent_since_ms": LONG_AGO,
        "now_ms": NOW,
    }
    return guard_prune(running=running, desired=desired, tree=tree, **arguments | changes)


def test_a_strategy_that_was_proven_removed_may_go() -> None:
    verdict = guard(desired=NAMES[1:])
    assert verdict.allowed == ("s0",)
    assert verdict.reason is None
    assert verdict.kept == frozenset()


def test_nothing_missing_needs_nothing() -> None:
    assert guard(desired=NAMES) == PruneVerdict(absent_since_ms={})


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ({"is_complete": False}, Reason.SOURCE_UNREADABLE),
        ({"is_settled": False}, Reason.SOURCE_UNSETTLED),
        ({"has_errors": True}, Reason.SCHEMA_INVALID),
        ({"documents": 0}, Reason.PRUNE_BLOCKED),
        ({"is_whole": False}, Reason.PROGRESSING),
    ],
    ids=["incomplete", "unsettled", "errors", "empty", "not read whole"],
)
def test_a_tree_in_doubt_removes_nothing_even_if_approved(
    flaw: dict[str, Any], reason: Reason
) -> None:
    tree = replace(GOOD, **flaw)
    approvals = [removal_digest(["s0"]), removal_digest(NAMES)]
    for desired in (NAMES[1:], []):
        verdict = guard(desired=desired, tree=tree, approvals=approvals)
        assert verdict.allowed == ()
        assert verdict.reason is reason
        assert verdict.kept == set(NAMES) - set(desired)


def test_an_unreadable_document_counts_as_present() -> None:
    tree = replace(GOOD, unknown=frozenset({"s1"}))
    verdict = guard(desired=NAMES[2:], tree=tree)
    assert verdict.allowed == ("s0",)
    assert verdict.waiting == ("s1",)
    assert verdict.reason is Reason.SOURCE_UNREADABLE
    assert "s1" not in verdict.absent_since_ms


def test_a_strategy_waits_for_its_grace_delay_and_the_clock_starts_over_when_it_returns() -> None:
    first = guard(desired=NAMES[1:], absent_since_ms={}, now_ms=1_000)
    assert first.waiting == ("s0",)
    assert first.absent_since_ms == {"s0": 1_000}
    later = guard(desired=NAMES[1:], absent_since_ms=first.absent_since_ms, now_ms=1_000 + GRACE_MS)
    assert later.allowed == ("s0",)
    back = guard(desired=NAMES, absent_since_ms=first.absent_since_ms, now_ms=2_000)
    again = guard(desired=NAMES[1:], absent_since_ms=back.absent_since_ms, now_ms=1_000 + GRACE_MS)
    assert again.waiting == ("s0",)


def test_a_clock_that_jumps_back_only_lengthens_the_delay() -> None:
    verdict = guard(desired=NAMES[1:], absent_since_ms={"s0": NOW * 9}, now_ms=NOW)
    assert verdict.waiting == ("s0",)
    assert verdict.absent_since_ms == {"s0": NOW}


@pytest.mark.parametrize(
    ("running", "removed", "is_blocked"),
    [(1, 1, False), (4, 1, False), (4, 2, True), (8, 2, False), (8, 3, True), (7, 2, True)],
)
def test_at_most_a_quarter_or_one_goes_at_once(
    running: int, removed: int, is_blocked: bool
) -> None:
    names = NAMES[:running]
    verdict = guard(running=names, desired=names[removed:])
    assert bool(verdict.blocked) is is_blocked
    assert bool(verdict.allowed) is not is_blocked


def test_a_mass_deletion_is_listed_and_goes_after_its_approval() -> None:
    blocked = guard(desired=NAMES[4:])
    assert blocked.allowed == ()
    assert blocked.blocked == tuple(NAMES[:4])
    assert blocked.reason is Reason.PRUNE_BLOCKED
    assert f"backfuturectl approve {blocked.digest}" in blocked.message
    approved = guard(desired=NAMES[4:], approvals={blocked.digest})
    assert approved.allowed == tuple(NAMES[:4])


def test_an_approval_is_for_exactly_the_set_that_was_shown() -> None:
    digest = guard(desired=NAMES[4:]).digest
    assert guard(desired=NAMES[5:], approvals={digest}).allowed == ()
    assert guard(desired=NAMES[3:], approvals={digest}).allowed == ()


def test_an_approved_set_goes_as_a_whole() -> None:
    # Were the ripe ones let go alone, the digest of the rest would not be the approved one.
    since = LONG_AGO | {"s3": NOW - 1}
    digest = removal_digest(NAMES[:4])
    early = guard(desired=NAMES[4:], absent_since_ms=since, approvals={digest})
    assert (early.allowed, early.waiting) == ((), tuple(NAMES[:4]))
    later = guard(
        desired=NAMES[4:], absent_since_ms=since, approvals={digest}, now_ms=NOW + GRACE_MS
    )
    assert later.allowed == tuple(NAMES[:4])


def test_a_strategy_that_is_leaving_already_is_not_counted_again() -> None:
    verdict = guard(desired=NAMES[4:], leaving=NAMES[:3])
    assert verdict.allowed == tuple(NAMES[:4])
    doubtful = guard(desired=NAMES[4:], leaving=NAMES[:3], tree=replace(GOOD, is_complete=False))
    assert doubtful.allowed == tuple(NAMES[:3])
    assert doubtful.waiting == ("s3",)


_SETS = st.sets(st.sampled_from(NAMES))


@given(
    running=_SETS,
    desired=_SETS,
    leaving=_SETS,
    unknown=_SETS,
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 1)),
    since=st.dictionaries(st.sampled_from(NAMES), st.integers(0, NOW * 2)),
    approves=st.booleans(),
)
def test_every_missing_strategy_gets_one_verdict_and_none_goes_without_proof(
    *,
    running: set[str],
    desired: set[str],
    leaving: set[str],
    unknown: set[str],
    flags: tuple[bool, bool, bool, int],
    since: dict[str, int],
    approves: bool,
) -> None:
    tree = TreeEvidence(flags[0], flags[1], flags[2], flags[3], frozenset(unknown))
    missing = running - desired
    approvals = [removal_digest(missing - leaving - unknown)] if approves else []
    verdict = guard(
        running=running,
        desired=desired,
        leaving=leaving,
        tree=tree,
        approvals=approvals,
        absent_since_ms=since,
    )
    everything = (*verdict.allowed, *verdict.waiting, *verdict.blocked)
    assert sorted(everything) == sorted(missing)
    newly = set(verdict.allowed) - leaving
    assert not newly & unknown
    if newly:
        assert (tree.is_complete, tree.is_settled, tree.has_errors) == (True, True, False)
        assert tree.documents > 0
    if not approves:
        assert len(newly) <= max(1, len(running) // 4)
