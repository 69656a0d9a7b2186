"""Rows of what the store remembers, as the status API shows them: deals, orders, fills, events.

Field names are part of the public interface. Decimals are text; times are milliseconds UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from backfuturectl.model.market import MarketKind
from backfuturectl.model.records import PAPER, DealRecord, FillRecord, OrderRecord, StoredEvent
from backfuturectl.reconcile.settling import pair_of

Row = dict[str, Any]

_PLACES: Final = Decimal("1e-8")


def text(value: Decimal | None) -> str | None:
    """Return every digit of *value*."""
    return None if value is None else f"{value:f}"


def rounded(value: Decimal | None) -> str | None:
    """Return a figure that was divided, to the eight places that exchanges use; not for orders."""
    return None if value is None else f"{value.quantize(_PLACES).normalize():f}"


def mode_of(environment: str) -> str:
    """Return whether real orders were sent: ``live``, or ``paper``."""
    return "paper" if environment == PAPER else "live"


def deal_row(deal: DealRecord) -> Row:
    """Return what is shown of a deal."""
    return {
        "id": deal.deal,
        "bot": deal.bot,
        "number": deal.number,
        "mode": mode_of(deal.environment),
        "side": str(deal.side),
        "status": "open" if deal.closed_at_ms is None else "closed",
        "openedAt": deal.opened_at_ms,
        "closedAt": deal.closed_at_ms,
        "exitLeg": deal.exit_leg,
        "result": text(deal.result_quote),
    }


def order_row(order: OrderRecord) -> Row:
    """Return what is shown of an order."""
    return {
        "clientOrderId": order.client_order_id,
        "orderId": order.order_id,
        "bot": order.bot,
        "dealId": order.deal,
        "mode": mode_of(order.environment),
        "leg": str(order.leg),
        "side": str(order.side),
        "type": str(order.type),
        "price": text(order.price),
        "triggerPrice": text(order.trigger_price),
        "amount": text(order.amount_base),
        "filled": text(order.filled_base),
        "cost": text(order.cost_quote),
        "status": str(order.status),
        "reduceOnly": order.is_reduce_only,
        "reason": order.reason,
        "generation": order.generation,
        "commit": order.commit,
        "field": order.field,
        "source": order.source,
        "rawCode": order.raw_code,
        "accountId": order.account_id or None,
        "createdAt": order.intended_at_ms,
        "updatedAt": order.updated_at_ms,
    }


def story_rows(
    deal: DealRecord, orders: Iterable[OrderRecord], fills: Iterable[FillRecord]
) -> list[Row]:
    """Return the deal fill by fill: what it was for, and position and average after it.

    On spot a fee in the base coin is taken off the position.
    """
    base = pair_of(deal.bot).partition("/")[0] if deal.market != MarketKind.FUTURES else None
    legs = {order.client_order_id: str(order.leg) for order in orders}
    position = cost = Decimal(0)
    rows = []
    for fill in sorted(fills, key=lambda item: (item.at_ms, item.fill_id)):
        if fill.side is deal.side:
            position += fill.amount_base
            cost += fill.amount_base * fill.price
        elif position:
            cost -= cost * fill.amount_base / position
            position -= fill.amount_base
        if fill.fee is not None and fill.fee.currency == base and position:
            cost -= cost * fill.fee.amount / position
            position -= fill.fee.amount
        rows.append(
            {
                "at": fill.at_ms,
                "leg": legs.get(fill.client_order_id, "?"),
                "side": str(fill.side),
                "price": text(fill.price),
                "amount": text(fill.amount_base),
                "position": text(position),
                "average": rounded(cost / position) if position else None,
                "fee": text(fill.fee.amount) if fill.fee is not None else None,
                "feeCurrency": fill.fee.currency if fill.fee is not None else None,
            }
        )
    return rows


def fill_row(fill: FillRecord) -> Row:
    """Return what is shown of an execution."""
    return {
        "fillId": fill.fill_id,
        "clientOrderId": fill.client_order_id,
        "side": str(fill.side),
        "price": text(fill.price),
        "amount": text(fill.amount_base),
        "fee": text(fill.fee.amount) if fill.fee is not None else None,
        "feeCurrency": fill.fee.currency if fill.fee is not None else None,
        "at": fill.at_ms,
    }


def event_row(event: StoredEvent) -> Row:
    """Return what is shown of an event."""
    return {
        "id": event.event_id,
        "at": event.event.at_ms,
        "about": event.event.about,
        "type": event.event.kind,
        "reason": event.event.reason,
        "message": event.event.message,
        "dealId": event.event.deal or None,
    }
