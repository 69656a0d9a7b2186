"""Finding the line that caused an order."""

from __future__ import annotations

import pytest

from backfuturectl.config.places import line_of

DOCUMENT = b"""\
apiVersion: backfuture.ai/v1alpha1
kind: Strategy
spec:
  risk: balanced
  entry:
    orderType: market
  takeProfit:
    steps:
      - {sharePct: 50, profitPct: 1}
      - sharePct: 50
        profitPct: 2
  recovery: {actions: {reduce: {enabled: true}}}
"""


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("spec.entry", 5),
        ("spec.entry.orderType", 6),
        ("spec.takeProfit.steps[0].profitPct", 9),
        ("spec.takeProfit.steps[1].profitPct", 11),
        ("spec.recovery.actions.reduce", 12),
        ("spec.averaging", 4),
        ("spec.takeProfit.percent", 4),
        ("spec.entry.price", 5),
        ("spec.onDelete", 3),
    ],
    ids=[
        "a mapping",
        "a field of its own line",
        "a step in one line",
        "a step in several",
        "deep in one line",
        "a section that the preset fills",
        "a field that the preset fills",
        "a default within a section",
        "a default",
    ],
)
def test_a_field_is_found_where_a_person_would_look_for_it(field: str, line: int) -> None:
    assert line_of(DOCUMENT, field) == line


def test_without_a_preset_the_nearest_mapping_is_named() -> None:
    document = DOCUMENT.replace(b"  risk: balanced\n", b"")
    assert line_of(document, "spec.stopLoss.percent") == 3
    assert line_of(document, "spec.takeProfit.percent") == 6


def test_a_document_that_cannot_be_read_has_no_places() -> None:
    assert line_of(b"", "spec.entry") is None
    assert line_of(b"kind: [", "spec.entry") is None
    assert line_of(b"kind: Strategy\n", "spec.entry") is None
