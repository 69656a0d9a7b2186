"""What a strategy had in use at every moment, replayed from the exchange's own history."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from backfuturectl.model.ids import OrderName, parse_client_order_id

ZERO = Decimal(0)
TAKER_FEES = {True: Decimal("0.0006"), False: Decimal("0.001")}
"""Of the emulator's futures and spot markets."""


@dataclass
class Deal:
    """What one deal has entered, left and resting, quote and base."""

    entered_base: Decimal = ZERO
    entered_quote: Decimal = ZERO
    left_base: Decimal = ZERO
    resting_quote: Decimal = ZERO

    @property
    def used_quote(self) -> Decimal:
        """Cost of what is held, and of what may still be added."""
        held = self.entered_base - self.left_base
        return self.resting_quote + (self.entered_quote * held / self.entered_base if held else 0)


def most_used(ledger: Mapping[str, Any]) -> Decimal:
    """Return the most that was in use at any moment, quote, fees for both ways in.

    *ledger* is one account's, traded by one strategy; the history has the exchange's own order of
    things, so nothing between two of them is missed.
    """
    orders = {order["serial"]: order for order in ledger["orders"]}
    fills: dict[int, deque[dict[str, Any]]] = defaultdict(deque)
    for fill in ledger["fills"]:
        fills[fill["order_serial"]].append(fill)
    deals: dict[tuple[str, int], Deal] = defaultdict(Deal)
    left: dict[int, Decimal] = {}
    used = most = ZERO
    for change in ledger["changes"]:
        order = orders.get(change["order_serial"])
        name = parse_client_order_id((order or {}).get("client_id") or "")
        if order is None or name is None:
            continue
        deal = deals[name.bot, name.deal]
        before = deal.used_quote
        _apply(change["kind"], order, name, deal, fills=fills[order["serial"]], left=left)
        used += (deal.used_quote - before) * _rate(order)
        most = max(most, used)
    return most


def _apply(
    kind: str,
    order: dict[str, Any],
    name: OrderName,
    deal: Deal,
    *,
    fills: deque[dict[str, Any]],
    left: dict[int, Decimal],
) -> None:
    serial, is_adding = order["serial"], name.leg.kind.is_adding
    price = Decimal(order["price"] or 0)
    if kind == "order_placed":
        left[serial] = Decimal(order["amount_base"])
        deal.resting_quote += left[serial] * price if is_adding else 0
    elif kind == "order_filled":
        fill = fills.popleft()
        amount = Decimal(fill["amount_base"])
        left[serial] -= amount
        if is_adding:
            deal.resting_quote -= amount * price
            deal.entered_base += amount
            deal.entered_quote += Decimal(fill["cost_quote"])
        else:
            deal.left_base += amount
    elif kind == "order_canceled" and is_adding:
        deal.resting_quote -= left[serial] * price


def _rate(order: dict[str, Any]) -> Decimal:
    is_futures = order["margin_mode"] is not None
    return 1 / Decimal(order["leverage"]) + 2 * TAKER_FEES[is_futures]
