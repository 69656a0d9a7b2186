"""Compare what the store says was executed with what the exchange says, to the last digit.

Pure: both sides are handed in. An execution that only the exchange knows is *missing* in the store,
one that only the store knows is *extra*.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from backfuturectl.model.ids import parse_client_order_id
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import Fee, Fill, Order
from backfuturectl.model.records import FillRecord, OrderRecord


class DifferenceKind(enum.StrEnum):
    """How store and exchange differ.

    ORPHAN: an open order under this program's prefix that the store does not know as open.
    """

    MISSING = "missing"
    EXTRA = "extra"
    SIDE = "side"
    PRICE = "price"
    AMOUNT = "amount"
    FEE = "fee"
    ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that store and exchange tell differently.

    Attributes:
        about: Fill id, or client order id of an order.
        ours: What the store has; empty for nothing.
        theirs: What the exchange has; empty for nothing.
    """

    kind: DifferenceKind
    about: str
    client_order_id: str
    ours: str
    theirs: str


def own(orders: Iterable[OrderRecord], fills: Iterable[Fill]) -> tuple[tuple[str, Fill], ...]:
    """Return those *fills* that belong to *orders*, each once, with its client order id."""
    by_order = {order.order_id: order.client_order_id for order in orders if order.order_id}
    known = {order.client_order_id for order in orders}
    found: dict[str, tuple[str, Fill]] = {}
    for fill in fills:
        name = fill.client_order_id if fill.client_order_id in known else None
        name = name or by_order.get(fill.order_id)
        if name is not None:
            found[fill.fill_id] = (name, fill)
    return tuple(found.values())


def compare_fills(
    orders: Iterable[OrderRecord],
    ours: Iterable[FillRecord],
    theirs: Iterable[Fill],
    *,
    from_ms: int,
    until_ms: int,
) -> tuple[Difference, ...]:
    """Return how the executions of *orders* differ.

    Args:
        orders: Rows of the store.
        ours: Their executions in the store.
        theirs: The exchange's executions, also of other orders.
        from_ms: What happened before is not compared: the exchange's list begins there.
        until_ms: What happened after is not compared: it may be on its way into the store.
    """
    orders = tuple(orders)
    stored = {fill.fill_id: fill for fill in ours}
    told = {fill.fill_id: (name, fill) for name, fill in own(orders, theirs)}
    found: list[Difference] = []
    for fill_id, (name, fill) in told.items():
        row = stored.get(fill_id)
        if row is not None:
            found += _unlike(row, fill)
        elif from_ms <= fill.at_ms <= until_ms:
            text = f"{fill.side} {fill.amount_base:f} at {fill.price:f}"
            found.append(Difference(DifferenceKind.MISSING, fill_id, name, "", text))
    for fill_id, row in stored.items():
        if fill_id not in told and from_ms <= row.at_ms <= until_ms:
            text = f"{row.side} {row.amount_base:f} at {row.price:f}"
            found.append(Difference(DifferenceKind.EXTRA, fill_id, row.client_order_id, text, ""))
    found += _unlike_sums(orders, told.values(), from_ms=from_ms, until_ms=until_ms)
    return tuple(sorted(found, key=lambda item: (item.client_order_id, item.about, item.kind)))


def find_orphans(
    listed: Iterable[Order], rows: Mapping[str, OrderRecord | None], *, asked_ms: int
) -> tuple[Difference, ...]:
    """Return the open orders under this program's prefix that nobody answers for.

    Args:
        listed: The exchange's open orders.
        rows: The store's row of each of them, None where it has none, read after *listed*.
        asked_ms: When the exchange was asked; what ended since is no orphan.
    """
    found = []
    for order in listed:
        name = order.client_order_id
        if parse_client_order_id(name) is None:
            continue  # not of this program
        row = rows.get(name)
        if row is None or (row.status.is_final and row.updated_at_ms < asked_ms):
            ours = "" if row is None else str(row.status)
            text = f"{order.side} {order.amount_base:f} at {order.price:f}, open"
            found.append(Difference(DifferenceKind.ORPHAN, name, name, ours, text))
    return tuple(found)


def _unlike(row: FillRecord, fill: Fill) -> list[Difference]:
    pairs = (
        (DifferenceKind.SIDE, row.side is fill.side, str(row.side), str(fill.side)),
        (DifferenceKind.PRICE, row.price == fill.price, f"{row.price:f}", f"{fill.price:f}"),
        (
            DifferenceKind.AMOUNT,
            row.amount_base == fill.amount_base,
            f"{row.amount_base:f}",
            f"{fill.amount_base:f}",
        ),
        (DifferenceKind.FEE, row.fee == fill.fee, _fee(row.fee), _fee(fill.fee)),
    )
    return [
        Difference(kind, row.fill_id, row.client_order_id, ours, theirs)
        for kind, is_same, ours, theirs in pairs
        if not is_same
    ]


def _unlike_sums(
    orders: Iterable[OrderRecord],
    told: Iterable[tuple[str, Fill]],
    *,
    from_ms: int,
    until_ms: int,
) -> Iterable[Difference]:
    """Yield the orders, wholly within the time, that say another amount than their executions."""
    sums: dict[str, Decimal] = {}
    for name, fill in told:
        sums[name] = sums.get(name, ZERO) + fill.amount_base
    for order in orders:
        filled = sums.get(order.client_order_id, ZERO)
        is_within = from_ms <= order.intended_at_ms and order.updated_at_ms <= until_ms
        if is_within and order.status.is_final and filled != order.filled_base:
            name = order.client_order_id
            yield Difference(
                DifferenceKind.AMOUNT, name, name, f"{order.filled_base:f}", f"{filled:f}"
            )


def _fee(fee: Fee | None) -> str:
    return "" if fee is None else f"{fee.amount:f} {fee.currency}"
