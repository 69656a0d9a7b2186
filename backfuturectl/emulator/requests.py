"""The request ledger: what was asked, by whom, and what it did."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from backfuturectl.matching.values import Change

KEPT: Final = 20_000


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request.

    Attributes:
        route: The route's pattern; the path for one that does not exist.
        key: API key it named; "" for none.
        took_us: Microseconds from its arrival until its answer was ready to be sent.
        status: As sent; 0 when the connection was dropped without an answer.
        faults: Names of the faults that it met.
        effects: What it changed in the venue.
    """

    serial: int
    at_ms: int
    host: str
    method: str
    route: str
    target: str
    key: str
    caller_ip: str
    took_us: int
    status: int
    faults: tuple[str, ...]
    effects: tuple[Change, ...]


class RequestLedger:
    """Counts every request and keeps the newest."""

    def __init__(self) -> None:
        self._records: deque[RequestRecord] = deque(maxlen=KEPT)
        self._counts: Counter[tuple[str, str, str, str, int]] = Counter()
        self._total = 0

    @property
    def total(self) -> int:
        """Requests since the start or the last `clear`."""
        return self._total

    def add(
        self,
        *,
        at_ms: int,
        host: str,
        method: str,
        route: str,
        target: str,
        key: str,
        caller_ip: str,
        took_us: int,
        status: int,
        faults: tuple[str, ...],
        effects: tuple[Change, ...],
    ) -> None:
        """Record one request."""
        self._total += 1
        self._counts[host, method, route, key, status] += 1
        self._records.append(
            RequestRecord(
                serial=self._total,
                at_ms=at_ms,
                host=host,
                method=method,
                route=route,
                target=target,
                key=key,
                caller_ip=caller_ip,
                took_us=took_us,
                status=status,
                faults=faults,
                effects=effects,
            )
        )

    def counts(self) -> Iterator[tuple[str, str, str, str, int, int]]:
        """Yield host, method, route, key, status and how often."""
        for (host, method, route, key, status), count in self._counts.items():
            yield host, method, route, key, status, count

    def newest(self, limit: int) -> tuple[RequestRecord, ...]:
        """Return at most *limit* of the newest records, oldest first."""
        records = tuple(self._records)
        return records[-limit:] if limit else ()

    def clear(self) -> None:
        """Forget everything and count from zero."""
        self._records.clear()
        self._counts.clear()
        self._total = 0
