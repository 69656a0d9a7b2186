"""How resources stand, told once: in their status, as an event that is kept, and in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable

from backfuturectl.engine.clock import Clock
from backfuturectl.model.errors import OperationError
from backfuturectl.model.records import EventRecord
from backfuturectl.model.status import Condition, ConditionType, Reason
from backfuturectl.planning.conditions import Outcome
from backfuturectl.reconcile.registry import Entry, settle
from backfuturectl.store.database import Store

_LOG = logging.getLogger(__name__)


class Notices:
    """Tells of resources and of the daemon."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def settle(
        self,
        entry: Entry,
        reason: Reason,
        message: str,
        raw_code: str | None = None,
        *,
        aspects: tuple[Condition, ...] = (),
    ) -> None:
        """Set how *entry* stands, and tell of it where that is new."""
        outcome = Outcome(entry.generation_wanted, reason, message, raw_code, aspects)
        events = settle(entry, outcome, self._clock.now_ms())
        for event in events:
            log: Callable[..., None] = _LOG.warning if event.kind == "Warning" else _LOG.info
            log("%s: %s: %s", event.about, event.reason, event.message)
        self._store.post(events)

    def event(self, about: str, kind: str, reason: str, message: str) -> None:
        """Keep an event that no resource's standing tells."""
        self._store.post([EventRecord(self._clock.now_ms(), about, kind, reason, message)])


def decrypted(error: OperationError | None) -> tuple[Condition, ...]:
    """Return the condition of credentials that could be had, or could not because of *error*."""
    if error is None:
        return (Condition(ConditionType.DECRYPTED, status=True, reason=Reason.RECONCILE_SUCCEEDED),)
    return (
        Condition(
            ConditionType.DECRYPTED,
            status=False,
            reason=error.reason,
            message=str(error),
            raw_code=error.raw_code,
        ),
    )
