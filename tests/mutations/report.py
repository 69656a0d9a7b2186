"""What was planted and what caught it, as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable

from tests.mutations.check import Outcome, Verdict
from tests.mutations.fault import Fault

REPORT = "docs/mutations.md"
_HEAD = """\
# Mutations: what the tests notice

Written by `make mutations`, which plants each of these faults in a copy of the package, one at a
time, and runs the tests named with it (`tests/mutations/`); `ONLY=words` renews only some rows. A
fault that survives fails the command, and so does one whose place in the code is gone. `make test`
plants a few of them.

{caught} of {all} were caught.

| promise | what is wrong then | where | caught by |
|---|---|---|---|
"""


def report(faults: Iterable[Fault], outcomes: Iterable[Outcome], before: str) -> str:
    """Return the page: what *outcomes* tell, and for the rest of *faults* what it said *before*."""
    told = {outcome.fault: _row(outcome) for outcome in outcomes}
    known = before.splitlines(keepends=True)
    rows = []
    for fault in sorted(faults, key=lambda fault: (fault.promise, fault.name)):
        start = row_of(fault.name, fault.promise)
        kept = next((line for line in known if line.startswith(start)), "")
        rows.append(told.get(fault, kept) or f"{start} `{fault.where}` | **not tried** |\n")
    caught = sum("**" not in row for row in rows)
    return _HEAD.format(caught=caught, all=len(rows)) + "".join(rows)


def row_of(name: str, promise: str) -> str:
    """Return how the row of a fault begins."""
    return f"| {promise} | {name} |"


def _row(outcome: Outcome) -> str:
    fault, by = outcome.fault, outcome.by
    if outcome.verdict is not Verdict.CAUGHT:
        by = f"**{outcome.verdict}**"
    elif "::" in by:
        file, _, test = by.partition("::")
        by = f"`{test}` in `{file}`"
    return f"{row_of(fault.name, fault.promise)} `{fault.where}` | {by} |\n"
