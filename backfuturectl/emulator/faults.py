"""What goes wrong, and when: faults on demand or from a seed.

A fault's draw hangs on the plan's seed, the fault's number and how many requests it has matched, so
the same requests in the same order meet the same faults.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from backfuturectl.model.market import ONE

_DRAWS: Final = 2**64


class FaultKind(enum.StrEnum):
    """What a fault does to a request.

    *_BEFORE means that the exchange never saw the request, *_AFTER that it carried it out and the
    answer was lost. LATE drops the connection and carries the request out after that: an order
    that appears when its sender has given it up.
    """

    DELAY = "delay"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    RATE_LIMIT = "rate_limit"
    MAINTENANCE = "maintenance"
    TRUNCATE = "truncate"
    MALFORM = "malform"
    WRONG_CLOCK = "wrong_clock"
    HIDE_FILLS = "hide_fills"
    HIDE_ORDERS = "hide_orders"
    LATE = "late"
    REPEAT = "repeat"
    STALE = "stale"
    REVOKE_KEY = "revoke_key"


class Fault(BaseModel):
    """One rule.

    Attributes:
        exchange: Brand or host, shell-style pattern.
        method: HTTP method, shell-style pattern.
        path: Path without the query, shell-style pattern.
        key: API key, shell-style pattern; "" matches calls without one.
        probability: Of hitting a request that matches.
        skip: Matching requests let through first.
        count: Hits after which the fault is over; None for no end.
        delay_s: Of DELAY and LATE; of TIMEOUT_* how long the connection is held before it is
            dropped.
        status: Of ERROR_*; a firewall's 403 and a limit's 418 or 429 come without the exchange's
            own body.
        retry_after_s: Of RATE_LIMIT.
        shift_ms: Of WRONG_CLOCK, added to the exchange's time for this request.
        hidden_ms: Of HIDE_*: how young an order or fill is left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    exchange: str = "*"
    method: str = "*"
    path: str = "*"
    key: str = "*"
    probability: Annotated[Decimal, Field(ge=0, le=1)] = ONE
    skip: Annotated[int, Field(ge=0)] = 0
    count: Annotated[int, Field(ge=0)] | None = None
    delay_s: Annotated[float, Field(ge=0)] = 60.0
    status: Annotated[int, Field(ge=400, le=599)] = 503
    retry_after_s: Annotated[float, Field(ge=0)] = 1.0
    shift_ms: int = 0
    hidden_ms: Annotated[int, Field(ge=0)] = 60_000


@dataclass(slots=True)
class _Armed:
    fault: Fault
    matched: int = 0
    hits: int = 0

    @property
    def is_over(self) -> bool:
        return self.fault.count is not None and self.hits >= self.fault.count


@dataclass(frozen=True, slots=True)
class FaultState:
    """A fault and what became of it.

    Attributes:
        matched: Requests that fit its patterns.
        hits: Requests that met it.
    """

    number: int
    fault: Fault
    matched: int
    hits: int


class FaultPlan:
    """The faults in force."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._armed: dict[int, _Armed] = {}
        self._last_number = 0

    def add(self, fault: Fault) -> int:
        """Put *fault* in force and return its number."""
        self._last_number += 1
        self._armed[self._last_number] = _Armed(fault)
        return self._last_number

    def remove(self, number: int) -> bool:
        """Lift one fault; False when there is none of that number."""
        return self._armed.pop(number, None) is not None

    def clear(self) -> None:
        """Lift all faults."""
        self._armed.clear()

    def states(self) -> tuple[FaultState, ...]:
        """Return every fault in force, oldest first; those that are over too."""
        return tuple(
            FaultState(number, armed.fault, armed.matched, armed.hits)
            for number, armed in self._armed.items()
        )

    def has(self, kind: FaultKind) -> bool:
        """Return whether a fault of *kind* is in force."""
        return any(armed.fault.kind is kind for armed in self._armed.values())

    def choose(
        self, *, brand: str, host: str, method: str, path: str, key: str
    ) -> tuple[Fault, ...]:
        """Return the faults that this request meets, oldest first; at most one of a kind."""
        chosen: dict[FaultKind, Fault] = {}
        for number, armed in self._armed.items():
            fault = armed.fault
            if armed.is_over or fault.kind in chosen:
                continue
            if not (
                (fnmatchcase(brand, fault.exchange) or fnmatchcase(host, fault.exchange))
                and fnmatchcase(method, fault.method)
                and fnmatchcase(path, fault.path)
                and fnmatchcase(key, fault.key)
            ):
                continue
            armed.matched += 1
            if armed.matched > fault.skip and self._hits(number, armed):
                armed.hits += 1
                chosen[fault.kind] = fault
        return tuple(chosen.values())

    def _hits(self, number: int, armed: _Armed) -> bool:
        if armed.fault.probability == ONE:
            return True
        digest = hashlib.sha256(f"{self._seed}:{number}:{armed.matched}".encode()).digest()
        return int.from_bytes(digest[:8]) < armed.fault.probability * _DRAWS


def chaos(probability: Decimal) -> tuple[Fault, ...]:
    """Return a bit of everything that heals by itself, each with *probability* per request."""
    kinds = (
        FaultKind.DELAY,
        FaultKind.DROP_BEFORE,
        FaultKind.DROP_AFTER,
        FaultKind.ERROR_BEFORE,
        FaultKind.ERROR_AFTER,
        FaultKind.RATE_LIMIT,
        FaultKind.TRUNCATE,
        FaultKind.MALFORM,
        FaultKind.HIDE_ORDERS,
        FaultKind.HIDE_FILLS,
        FaultKind.STALE,
    )
    return tuple(
        Fault(kind=kind, probability=probability, delay_s=0.5, hidden_ms=2_000) for kind in kinds
    )
