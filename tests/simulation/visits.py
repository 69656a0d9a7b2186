"""What histories come by: phases, ways out, gates. What none comes by is not tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from backfuturectl.strategy.averaging.state import Phase

TOLD = {
    "RecoveryGaveUp": "escalation",
    "ReduceFilled": "reduction",
    "StopLossFilled": "stop",
    "TakeProfitTurned": "trailing",
    "RecoveryEnded": "recovered",
}
"""What bots say of themselves, and what it is called here."""

ALL = (
    *(str(phase) for phase in Phase),
    "exitsOnly",
    "shut",
    *TOLD.values(),
    "steps",
    "strict add-on",
    "extra add-on",
)
"""Whatever some history has to come by."""


def coverage(histories: Iterable[frozenset[str]]) -> str:
    """Return how many of *histories* came by what."""
    counts = Counter(what for visited in histories for what in visited)
    return ", ".join(f"{what} {counts[what]}" for what in ALL)


def missing(histories: Iterable[frozenset[str]]) -> list[str]:
    """Return what none of *histories* came by."""
    seen = frozenset[str]().union(*histories)
    return [what for what in ALL if what not in seen]
