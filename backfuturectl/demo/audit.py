"""Compare what the daemon believes with what the exchange wrote down: the proof, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from backfuturectl.model.ids import parse_client_order_id

_NEVER_THERE = frozenset({"rejected", "absent"})
_UNSETTLED = frozenset({"intended", "unknown"})


@dataclass(frozen=True, slots=True)
class Audit:
    """The outcome for one or more accounts.

    Attributes:
        duplicates: Client order ids that the exchange has more than once.
        orphans: Orders at the exchange that carry our ids and are not in the journal.
        lost: Orders the journal believes in and the exchange never had.
        differences: Orders whose filled amount or openness differ, one sentence each.
    """

    orders: int = 0
    fills: int = 0
    duplicates: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether journal and exchange agree to the last digit."""
        return not (self.duplicates or self.orphans or self.lost or self.differences)

    def __add__(self, other: Audit) -> Audit:
        return Audit(
            self.orders + other.orders,
            self.fills + other.fills,
            self.duplicates + other.duplicates,
            self.orphans + other.orphans,
            self.lost + other.lost,
            self.differences + other.differences,
        )

    def __str__(self) -> str:
        return (
            f"{self.orders} orders, {self.fills} fills: {len(self.duplicates)} duplicated, "
            f"{len(self.orphans)} orphaned, {len(self.lost)} lost, "
            f"{len(self.differences)} different"
        )


def audit(journal: Iterable[Mapping[str, Any]], ledger: Mapping[str, Any]) -> Audit:
    """Return how the *journal* (rows of ``get orders``) compares with one account's *ledger*."""
    ours = {row["clientOrderId"]: row for row in journal}
    theirs = [order for order in ledger["orders"] if _is_ours(order["client_id"])]
    counts = Counter(order["client_id"] for order in theirs)
    by_id = {order["client_id"]: order for order in theirs}
    return Audit(
        orders=len(theirs),
        fills=len(ledger["fills"]),
        duplicates=tuple(name for name, count in counts.items() if count > 1),
        orphans=tuple(name for name in counts if name not in ours),
        lost=tuple(
            name
            for name, row in ours.items()
            if name not in by_id and row["status"] not in _NEVER_THERE | _UNSETTLED
        ),
        differences=tuple(
            text
            for name, row in ours.items()
            if name in by_id and (text := _difference(row, by_id[name]))
        ),
    )


def _is_ours(client_id: str | None) -> bool:
    return client_id is not None and parse_client_order_id(client_id) is not None


def _difference(row: Mapping[str, Any], order: Mapping[str, Any]) -> str:
    name = row["clientOrderId"]
    if row["status"] in _NEVER_THERE:
        return f"{name}: the journal says {row['status']}, the exchange has it"
    if Decimal(row["filled"]) != Decimal(order["filled_base"]):
        return f"{name}: filled {row['filled']} here, {order['filled_base']} at the exchange"
    if row["status"] != order["status"]:
        return f"{name}: {row['status']} here, {order['status']} at the exchange"
    return ""
