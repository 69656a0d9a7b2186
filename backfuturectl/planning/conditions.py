"""Turn the outcome of a reconcile pass into conditions, and changes of conditions into events."""

from __future__ import annotations

from dataclasses import dataclass

from backfuturectl.model.records import EventRecord
from backfuturectl.model.status import Condition, Reason


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a pass over one resource ended; the reason's class says whether it is tried again.

    Attributes:
        generation: Of the document that was reconciled.
        message: One sentence; empty takes the reason's cause.
        aspects: Conditions of its own that the kind adds, such as a Connection's checks.
    """

    generation: int
    reason: Reason
    message: str = ""
    raw_code: str | None = None
    aspects: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """What people see of one resource.

    Attributes:
        observed_generation: The last generation that became Ready or Stalled; 0 before the first.
            Older than *generation*: what the conditions say is about to change.
        conditions: Ready always; Reconciling and Stalled only while true; then the kind's own.
    """

    generation: int
    observed_generation: int
    conditions: tuple[Condition, ...]

    @property
    def ready(self) -> Condition:
        """The Ready condition."""
        return self.conditions[0]


def observe(previous: ResourceStatus | None, outcome: Outcome, now_ms: int) -> ResourceStatus:
    """Return the status after *outcome*; times of unchanged conditions are kept."""
    raise NotImplementedError


def transitions(
    about: str, previous: ResourceStatus | None, current: ResourceStatus, now_ms: int
) -> tuple[EventRecord, ...]:
    """Return one event per condition that changed its status or reason; none for a repetition."""
    raise NotImplementedError
