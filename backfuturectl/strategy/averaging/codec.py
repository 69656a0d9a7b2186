"""An averaging bot's state as JSON and back, exactly."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from backfuturectl.model.orders import Fee, Leg, LegKind, OrderStatus, OrderType, Side
from backfuturectl.strategy.arithmetic import LadderShape
from backfuturectl.strategy.averaging.state import Closing, Deal, LegOrder, Phase, Setup, State
from backfuturectl.strategy.base import Gate


def dump(state: State) -> str:
    """Return *state* without its setup, which comes from the document."""
    return json.dumps(
        {
            "phase": state.phase,
            "gate": state.gate,
            "price": _text(state.price),
            "atMs": state.at_ms,
            "deals": state.deals,
            "deal": _dump_deal(state.deal) if state.deal is not None else None,
            "stopSinceMs": state.stop_since_ms,
            "restUntilMs": state.rest_until_ms,
            "failures": state.failures,
            "isPaused": state.is_paused,
            "isDraining": state.is_draining,
        },
        separators=(",", ":"),
    )


def load(text: str, setup: Setup) -> State:
    """Return the state that `dump` wrote, under *setup*."""
    tree = json.loads(text)
    return State(
        setup=setup,
        phase=Phase(tree["phase"]),
        gate=Gate(tree["gate"]),
        price=None if tree["price"] is None else Decimal(tree["price"]),
        at_ms=tree["atMs"],
        deals=tree["deals"],
        deal=None if tree["deal"] is None else _load_deal(tree["deal"]),
        stop_since_ms=tree["stopSinceMs"],
        rest_until_ms=tree["restUntilMs"],
        failures=tree["failures"],
        is_paused=tree["isPaused"],
        is_draining=tree["isDraining"],
    )


def _dump_deal(deal: Deal) -> dict[str, Any]:
    shape = deal.shape
    return {
        "number": deal.number,
        "baseQuote": _text(deal.base_quote),
        "shape": {
            "sign": shape.sign,
            "reference": shape.reference,
            "firstDeviationPct": _text(shape.first_deviation_pct),
            "stepScale": _text(shape.step_scale),
            "firstSizeRatio": _text(shape.first_size_ratio),
            "volumeScale": _text(shape.volume_scale),
            "maxOrders": shape.max_orders,
        },
        "orders": [_dump_order(order) for order in deal.orders],
        "ladder": deal.ladder,
        "closing": deal.closing,
        "isWinding": deal.is_winding,
        "isOpen": deal.is_open,
        "isOver": deal.is_over,
        "settledBase": _text(deal.settled_base),
        "settledCost": _text(deal.settled_cost),
        "lastRungMs": deal.last_rung_ms,
        "noted": sorted(deal.noted),
    }


def _load_deal(tree: dict[str, Any]) -> Deal:
    shape = tree["shape"]
    return Deal(
        number=tree["number"],
        base_quote=Decimal(tree["baseQuote"]),
        shape=LadderShape(
            sign=shape["sign"],
            reference=shape["reference"],
            first_deviation_pct=Decimal(shape["firstDeviationPct"]),
            step_scale=Decimal(shape["stepScale"]),
            first_size_ratio=Decimal(shape["firstSizeRatio"]),
            volume_scale=Decimal(shape["volumeScale"]),
            max_orders=shape["maxOrders"],
        ),
        orders=tuple(_load_order(order) for order in tree["orders"]),
        ladder=tree["ladder"],
        closing=None if tree["closing"] is None else Closing(tree["closing"]),
        is_winding=tree["isWinding"],
        is_open=tree["isOpen"],
        is_over=tree["isOver"],
        settled_base=Decimal(tree["settledBase"]),
        settled_cost=Decimal(tree["settledCost"]),
        last_rung_ms=tree["lastRungMs"],
        noted=frozenset(tree["noted"]),
    )


def _dump_order(order: LegOrder) -> dict[str, Any]:
    return {
        "id": order.client_order_id,
        "leg": [order.leg.kind, order.leg.index],
        "side": order.side,
        "type": order.type,
        "price": _text(order.price),
        "amountBase": _text(order.amount_base),
        "placedAtMs": order.placed_at_ms,
        "sinceMs": order.since_ms,
        "ladder": order.ladder,
        "status": order.status,
        "filledBase": _text(order.filled_base),
        "costQuote": _text(order.cost_quote),
        "fees": [[fee.currency, _text(fee.amount)] for fee in order.fees],
        "cancels": order.cancels,
        "cancelAtMs": order.cancel_at_ms,
    }


def _load_order(tree: dict[str, Any]) -> LegOrder:
    kind, index = tree["leg"]
    return LegOrder(
        client_order_id=tree["id"],
        leg=Leg(LegKind(kind), index),
        side=Side(tree["side"]),
        type=OrderType(tree["type"]),
        price=Decimal(tree["price"]),
        amount_base=Decimal(tree["amountBase"]),
        placed_at_ms=tree["placedAtMs"],
        since_ms=tree["sinceMs"],
        ladder=tree["ladder"],
        status=OrderStatus(tree["status"]),
        filled_base=Decimal(tree["filledBase"]),
        cost_quote=Decimal(tree["costQuote"]),
        fees=tuple(Fee(currency, Decimal(amount)) for currency, amount in tree["fees"]),
        cancels=tree["cancels"],
        cancel_at_ms=tree["cancelAtMs"],
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
