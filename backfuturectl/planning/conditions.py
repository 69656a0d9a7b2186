"""Turn the outcome of a reconcile pass into conditions, and changes of conditions into events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from backfuturectl.model.records import EventRecord
from backfuturectl.model.status import REASONS, Condition, ConditionType, Reason, ReasonClass


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
    before = {} if previous is None else {c.type: c for c in previous.conditions}
    row = REASONS[outcome.reason]
    found = (*_summary(row.kind, outcome, outcome.message or row.cause), *outcome.aspects)
    conditions = tuple(_dated(condition, before, now_ms) for condition in found)
    is_settled = row.kind in {ReasonClass.GOOD, ReasonClass.TERMINAL}
    observed = 0 if previous is None else previous.observed_generation
    return ResourceStatus(
        generation=outcome.generation,
        observed_generation=outcome.generation if is_settled else observed,
        conditions=conditions,
    )


def transitions(
    about: str, previous: ResourceStatus | None, current: ResourceStatus, now_ms: int
) -> tuple[EventRecord, ...]:
    """Return one event per condition that changed its status or reason; none for a repetition.

    Reconciling makes no event of its own: Ready says the same with the true reason.
    """
    before = {} if previous is None else {c.type: c for c in previous.conditions}
    return tuple(
        EventRecord(
            at_ms=now_ms,
            about=about,
            kind="Warning" if _is_bad(condition) else "Normal",
            reason=condition.reason.value,
            message=f"{condition.type} is {_WORDS[condition.status]}: {condition.message}",
        )
        for condition in current.conditions
        if condition.type not in {ConditionType.RECONCILING, ConditionType.STALLED}
        and _told(condition) != _told(before.get(condition.type))
    )


_WORDS: Final = {True: "true", False: "false", None: "unknown"}


def _summary(kind: ReasonClass, outcome: Outcome, message: str) -> tuple[Condition, ...]:
    """Return Ready, and Reconciling or Stalled where they are true.

    A resource that waits for something which is under way is neither ready nor broken: unknown.
    """
    reason, code = outcome.reason, outcome.raw_code
    is_under_way = reason in {Reason.PROGRESSING, Reason.NOT_TESTED}
    ready = True if kind is ReasonClass.GOOD else None if is_under_way else False
    summary = [Condition(ConditionType.READY, ready, reason, message, code)]
    match kind:
        case ReasonClass.GOOD:
            pass
        case ReasonClass.WAITING:
            # What an operator suspended makes no progress and does not try to.
            if reason is not Reason.SUSPENDED:
                summary.append(
                    Condition(
                        ConditionType.RECONCILING, status=True, reason=reason, message=message
                    )
                )
        case ReasonClass.RETRYABLE:
            summary.append(
                Condition(
                    ConditionType.RECONCILING,
                    status=True,
                    reason=reason,
                    message=message,
                    raw_code=code,
                )
            )
        case ReasonClass.TERMINAL:
            summary.append(
                Condition(
                    ConditionType.STALLED,
                    status=True,
                    reason=reason,
                    message=message,
                    raw_code=code,
                )
            )
    return tuple(summary)


def _dated(
    condition: Condition, before: Mapping[ConditionType, Condition], now_ms: int
) -> Condition:
    old = before.get(condition.type)
    since_ms = old.since_ms if old is not None and old.status is condition.status else now_ms
    return replace(condition, since_ms=since_ms)


def _told(condition: Condition | None) -> tuple[bool | None, Reason] | None:
    return None if condition is None else (condition.status, condition.reason)


def _is_bad(condition: Condition) -> bool:
    kind = REASONS[condition.reason].kind
    return condition.status is False and kind in {ReasonClass.RETRYABLE, ReasonClass.TERMINAL}
