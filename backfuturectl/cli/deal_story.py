"""A deal's story for people: orders, fills, transitions and payments in the order they came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

Row = dict[str, Any]

_TOLD_BY_FILLS: Final = frozenset(
    {
        "BaseOrderFilled",
        "RungFilled",
        "TakeProfitFilled",
        "StopLossFilled",
        "ReduceFilled",
        "CloseFilled",
        "Funding",
    }
)
"""Events that repeat what the fills and payments beside them say exactly."""

_LAST: Final = frozenset({"DealClosed", "DealAbandoned", "LateFill"})
"""Events that follow from the fills and cancels of the same moment."""

_UNFILLED: Final = frozenset({"canceled", "rejected", "absent"})


def story(found: Mapping[str, Any]) -> list[Row]:
    """Return what happened to the deal *found*, oldest first.

    What came at the same millisecond is told as it follows: what was decided, the orders for it,
    their fills, the end of others, and that the deal is closed.
    """
    rows = [
        *((event["at"], _rank(event), _event(event)) for event in _events(found)),
        *((order["createdAt"], 1, _order(order)) for order in found.get("orders", ())),
        *((fill["at"], 2, _fill(fill)) for fill in found.get("story", ())),
        *((order["updatedAt"], 3, _end(order)) for order in _ended(found)),
        *((each["at"], 4, _payment(each, found)) for each in found.get("fundingPayments", ())),
    ]
    rows.sort(key=lambda item: item[:2])
    return [row | {"time": moment(at_ms)} for at_ms, _, row in rows]


def moment(at_ms: int) -> str:
    """Return a time in UTC, to the second."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _events(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (each for each in found.get("events", ()) if each["reason"] not in _TOLD_BY_FILLS)


def _rank(event: Mapping[str, Any]) -> int:
    return 5 if event["reason"] in _LAST else 0


def _event(event: Mapping[str, Any]) -> Row:
    return {"what": event["reason"], "remark": event["message"]}


def _order(order: Mapping[str, Any]) -> Row:
    return {
        "what": f"order {order['leg']}",
        "side": order["side"],
        "price": _price(order),
        "amount": order["amount"],
        "remark": order["reason"],
    }


def _ended(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (each for each in found.get("orders", ()) if each["status"] in _UNFILLED)


def _end(order: Mapping[str, Any]) -> Row:
    return _order(order) | {
        "what": f"{order['status']} {order['leg']}",
        "remark": f"the exchange's code: {order['rawCode']}" if order.get("rawCode") else None,
    }


def _price(order: Mapping[str, Any]) -> Any:
    """Return the price that an order names: a market order's is only what was seen."""
    trigger = order.get("triggerPrice")
    return trigger if trigger is not None else order["price"]


def _fill(fill: Mapping[str, Any]) -> Row:
    has_fee = fill.get("fee") is not None
    return {
        **fill,
        "what": f"FILLED {fill['leg']}",
        "paid": f"{Decimal(fill['fee']).normalize():f} {fill['feeCurrency']}" if has_fee else None,
    }


def _payment(each: Mapping[str, Any], found: Mapping[str, Any]) -> Row:
    return {"what": "funding", "paid": None, "remark": f"{each['amount']} {found.get('quote', '')}"}
