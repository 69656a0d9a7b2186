"""How near open deals are to Recovery Mode, as rows of plain values."""

from __future__ import annotations

from decimal import Decimal

from backfuturectl.daemon.history import Row, rounded
from backfuturectl.strategy.base import Measure, RecoveryView


def score_of(view: RecoveryView | None) -> str | None:
    """Return how much of its way the nearest trigger has come, percent."""
    return None if view is None else rounded(view.score_pct)


def measure_rows(view: RecoveryView | None) -> list[Row]:
    """Return one row for each rule of Recovery Mode that counts for a deal now."""
    return [] if view is None else [_row(view, each) for each in view.measures]


def _row(view: RecoveryView, measure: Measure) -> Row:
    held_ms, confirm_ms = view.held_ms[measure.rule]
    # That a deal has recovered for too long needs no confirmation.
    is_own_time = measure.rule == "escalate" and measure.unit == "ms"
    return {
        "rule": measure.rule,
        "measure": measure.name,
        "unit": measure.unit,
        "value": rounded(Decimal(measure.value)),
        "limit": rounded(Decimal(measure.limit)),
        "isBelow": measure.is_below,
        "isTrue": measure.is_true,
        "heldMs": 0 if is_own_time else held_ms,
        "confirmMs": 0 if is_own_time else confirm_ms,
    }
