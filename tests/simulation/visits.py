"""What histories come by: phases, ways out, gates, faults. What none comes by is not tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import get_args

from backfuturectl.model.resources import Entry
from backfuturectl.strategy.averaging.state import Phase

TOLD = {
    "RecoveryGaveUp": "escalation",
    "ReduceFilled": "reduction",
    "StopLossFilled": "stop",
    "TakeProfitTurned": "trailing",
    "RecoveryEnded": "recovered",
    "DailyLossReached": "daily loss",
    "DealTooOld": "old deal",
    "SpreadTooWide": "wide spread",
}
"""What bots say of themselves, and what it is called here."""

ALL = (
    *(str(phase) for phase in Phase),
    "exitsOnly",
    "shut",
    *TOLD.values(),
    "stop on the exchange",
    "watched stop",
    "steps",
    "trailed step",
    "strict add-on",
    "extra add-on",
    "rung from the last fill",
    "cross margin",
    "deal on paper",
    "deal elsewhere",
    "refused edit",
    *(f"{trigger} entry" for trigger in get_args(Entry.model_fields["trigger"].annotation)),
)
"""Whatever some history has to come by."""

FAULTS = (
    "delay",
    "order lost on its way",
    "order placed, answer lost",
    "order under way",
    "order refused",
    "order shown late",
    "time-out before the effect",
    "time-out after the effect",
    "answer lost",
    "rate limit",
    "maintenance",
    "no prices",
    "wrong clock",
    "old look-up",
    "old list",
    "short list",
    "repeated orders",
    "late fills",
    "lost fills",
    "repeated fills",
    "shuffled fills",
    "key revoked",
    "order without the right",
    "rights changed",
    "key of another account",
    "store failure",
    "crash at a side effect",
)
"""Whatever has to hit somebody in some history."""


def coverage(histories: Iterable[frozenset[str]]) -> str:
    """Return how many of *histories* came by what."""
    counts = Counter(what for visited in histories for what in visited)
    return ", ".join(f"{what} {counts[what]}" for what in (*ALL, *FAULTS))


def missing(histories: Iterable[frozenset[str]]) -> list[str]:
    """Return what none of *histories* came by."""
    seen = frozenset[str]().union(*histories)
    return [what for what in (*ALL, *FAULTS) if what not in seen]
