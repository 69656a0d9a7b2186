"""Orders that are believed never to have arrived, and are asked for by name for a while.

One that appears late and fills at once never rests, so that no list of open orders has it; on spot
nothing else would tell of it, since what the account holds beyond the journal is its owner's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

from backfuturectl.engine.pace import ABSENT_WATCH_S
from backfuturectl.model.orders import OrderStatus
from backfuturectl.model.records import OrderRecord

ASKED_MAX: Final = 10
"""So many of the newest are asked for after a start."""


class Absent:
    """Who is asked for, and until when.

    Args:
        rows: What the journal has at the start. A process may have ended between the cancel of an
            order that appeared after all and the booking of what it had filled, so that each is
            asked for once, and as long as it might still have been watched.
        now_ms: Wall time of the start.
    """

    def __init__(self, rows: Iterable[OrderRecord], *, now_ms: int) -> None:
        # One with an error of the exchange was refused: there was no silence.
        silent = [row for row in rows if row.status is OrderStatus.ABSENT and not row.raw_code]
        silent.sort(key=lambda row: row.updated_at_ms)
        self._until_s: dict[str, float] = {}
        for row in silent[-ASKED_MAX:]:
            age_s = max(now_ms - row.updated_at_ms, 0) / 1000
            self.watch(row.client_order_id, for_s=max(ABSENT_WATCH_S - age_s, 0.0))

    def watch(self, client_order_id: str, *, for_s: float = ABSENT_WATCH_S) -> None:
        """Ask for an order that has been declared absent, once at least."""
        self._until_s[client_order_id] = _now_s() + for_s

    def forget(self, client_order_id: str) -> None:
        """Ask no more: it has appeared."""
        self._until_s.pop(client_order_id, None)

    def beyond(self, listed: Collection[str]) -> tuple[str, ...]:
        """Return those to ask for that are not *listed* among the open orders."""
        return tuple(name for name in self._until_s if name not in listed)

    def expire(self) -> None:
        """Ask no more for those whose time is over, once all have been asked for."""
        now_s = _now_s()
        self._until_s = {
            name: until_s for name, until_s in self._until_s.items() if now_s < until_s
        }


def _now_s() -> float:
    return asyncio.get_running_loop().time()
