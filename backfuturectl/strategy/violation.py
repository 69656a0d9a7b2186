"""What a proof found, in terms of the Strategy document."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from backfuturectl.model.errors import BackfutureError


class Severity(enum.StrEnum):
    """ERROR refuses the strategy; WARNING is told and allowed."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule.

    Attributes:
        code: Rule of the specification (``V-MARGIN``), ``V-PRESET`` for settings that no preset
            fills.
        path: Field of the Strategy document, ``("spec", "averaging", "stepScale")``.
        message: One sentence with the figures.
        help: What to change.
    """

    code: str
    path: tuple[str, ...]
    message: str
    help: str
    severity: Severity = Severity.ERROR


class IncompleteTermsError(BackfutureError):
    """Settings are missing or contradict one another, so that nothing can be computed.

    Attributes:
        violations: At least one, all of severity ERROR.
    """

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(violation.message for violation in violations))
        self.violations = tuple(violations)


def errors(violations: Sequence[Violation]) -> tuple[Violation, ...]:
    """Return those of *violations* that refuse the strategy."""
    return tuple(found for found in violations if found.severity is Severity.ERROR)


def figure(value: Decimal, places: int = 6) -> str:
    """Return *value* for a sentence: rounded, without trailing zeros."""
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
