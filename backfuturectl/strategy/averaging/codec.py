"""An averaging bot's state as JSON and back, exactly."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from backfuturectl.model.orders import Fee, Leg, LegKind, OrderStatus, OrderType, Side
from backfuturectl.strategy.arithmetic import LadderShape
from backfuturectl.strategy.averaging.state import (
    Closing,
    Deal,
    Gauge,
    LegOrder,
    Pace,
    Phase,
    Reading,
    Reduction,
    Setup,
    State,
)
from backfuturectl.strategy.base import Gate


def dump(state: State) -> str:
    """Return *state* without its setup, which comes from the document."""
    return msgspec.json.encode(
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
            "gauge": _dump_gauge(state.gauge),
            "escalations": state.escalations,
            "reductions": [[at_ms, _text(lost)] for at_ms, lost in state.reductions],
            "lossDay": state.loss_day,
            "dayLoss": _text(state.day_loss),
            "lastWindow": state.last_window,
            "reading": _dump_reading(state.reading),
            "usedReadingMs": state.used_reading_ms,
            "noted": sorted(state.noted),
            "isPaused": state.is_paused,
            "isDraining": state.is_draining,
        }
    ).decode()


def load(text: str, setup: Setup) -> State:
    """Return the state that `dump` wrote, under *setup*."""
    tree = msgspec.json.decode(text)
    return State(
        setup=setup,
        phase=Phase(tree["phase"]),
        gate=Gate(tree["gate"]),
        price=_number(tree["price"]),
        at_ms=tree["atMs"],
        deals=tree["deals"],
        deal=None if tree["deal"] is None else _load_deal(tree["deal"]),
        stop_since_ms=tree["stopSinceMs"],
        rest_until_ms=tree["restUntilMs"],
        failures=tree["failures"],
        # Records of version 0.1 know nothing of what follows.
        gauge=_load_gauge(tree.get("gauge")),
        escalations=tuple(tree.get("escalations", ())),
        reductions=tuple((at_ms, Decimal(lost)) for at_ms, lost in tree.get("reductions", ())),
        loss_day=tree.get("lossDay", 0),
        day_loss=Decimal(tree.get("dayLoss", 0)),
        last_window=tree.get("lastWindow"),
        reading=_load_reading(tree.get("reading")),
        used_reading_ms=tree.get("usedReadingMs", 0),
        noted=frozenset(tree.get("noted", ())),
        is_paused=tree["isPaused"],
        is_draining=tree["isDraining"],
    )


def share_of(text: str) -> Decimal | None:
    """Return what of marginLimit the deal in *text* may use; None without one, or if not known.

    One that has ended counts while a person has to look at how.
    """
    tree = msgspec.json.decode(text)
    deal = tree["deal"]
    is_over = deal is None or (deal["isOver"] and tree["phase"] != Phase.MANUAL)
    return None if is_over else _number(deal.get("share"))


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
        "closingField": deal.closing_field,
        "isWinding": deal.is_winding,
        "isOpen": deal.is_open,
        "isOver": deal.is_over,
        "settledBase": _text(deal.settled_base),
        "settledCost": _text(deal.settled_cost),
        "lastRungMs": deal.last_rung_ms,
        "pace": _dump_pace(deal.pace),
        "share": _text(deal.share),
        "deals": deal.deals,
        "recoverySinceMs": deal.recovery_since_ms,
        "peak": _text(deal.peak),
        "low": _text(deal.low),
        "reduction": _dump_reduction(deal.reduction),
        "reduced": [[name, _text(loss)] for name, loss in deal.reduced],
        "reducedMs": deal.reduced_ms,
        "noted": sorted(deal.noted),
        "fundingQuote": _text(deal.funding_quote),
        "fundingIds": sorted(deal.funding_ids),
        "closedAtMs": deal.closed_at_ms,
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
        closing_field=tree.get("closingField", ""),
        is_winding=tree["isWinding"],
        is_open=tree["isOpen"],
        is_over=tree["isOver"],
        settled_base=Decimal(tree["settledBase"]),
        settled_cost=Decimal(tree["settledCost"]),
        last_rung_ms=tree["lastRungMs"],
        pace=_load_pace(tree.get("pace")),
        share=_number(tree.get("share")),
        deals=tree.get("deals", 1),
        recovery_since_ms=tree.get("recoverySinceMs"),
        peak=_number(tree.get("peak")),
        low=_number(tree.get("low")),
        reduction=_load_reduction(tree.get("reduction")),
        reduced=tuple((name, Decimal(loss)) for name, loss in tree.get("reduced", ())),
        reduced_ms=tree.get("reducedMs", 0),
        noted=frozenset(tree["noted"]),
        funding_quote=Decimal(tree.get("fundingQuote", 0)),
        funding_ids=frozenset(tree.get("fundingIds", ())),
        closed_at_ms=tree.get("closedAtMs", 0),
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
        "notBeforeMs": order.not_before_ms,
        "triggerPrice": _text(order.trigger_price),
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
        not_before_ms=tree.get("notBeforeMs", 0),
        trigger_price=_number(tree.get("triggerPrice")),
    )


def _dump_gauge(gauge: Gauge | None) -> dict[str, Any] | None:
    if gauge is None:
        return None
    return {
        "smooth": _text(gauge.smooth),
        "seenMs": gauge.seen_ms,
        "underwaterSinceMs": gauge.underwater_since_ms,
        "troubleSinceMs": gauge.trouble_since_ms,
        "calmSinceMs": gauge.calm_since_ms,
        "escalateSinceMs": gauge.escalate_since_ms,
    }


def _load_gauge(tree: dict[str, Any] | None) -> Gauge | None:
    if tree is None:
        return None
    return Gauge(
        smooth=Decimal(tree["smooth"]),
        seen_ms=tree["seenMs"],
        underwater_since_ms=tree["underwaterSinceMs"],
        trouble_since_ms=tree["troubleSinceMs"],
        calm_since_ms=tree["calmSinceMs"],
        escalate_since_ms=tree["escalateSinceMs"],
    )


def _dump_pace(pace: Pace | None) -> dict[str, Any] | None:
    if pace is None:
        return None
    return {
        "minIntervalMs": pace.min_interval_ms,
        "minImprovementPct": _text(pace.min_improvement_pct),
    }


def _load_pace(tree: dict[str, Any] | None) -> Pace | None:
    if tree is None:
        return None
    return Pace(tree["minIntervalMs"], Decimal(tree["minImprovementPct"]))


def _dump_reading(reading: Reading | None) -> dict[str, Any] | None:
    if reading is None:
        return None
    return {
        "of": reading.of,
        "value": _text(reading.value),
        "closedAtMs": reading.closed_at_ms,
    }


def _load_reading(tree: dict[str, Any] | None) -> Reading | None:
    if tree is None:
        return None
    return Reading(tree["of"], Decimal(tree["value"]), tree["closedAtMs"])


def _dump_reduction(reduction: Reduction | None) -> dict[str, Any] | None:
    if reduction is None:
        return None
    return {
        "amountBase": _text(reduction.amount_base),
        "price": _text(reduction.price),
        "lossPerBase": _text(reduction.loss_per_base),
        "sinceMs": reduction.since_ms,
    }


def _load_reduction(tree: dict[str, Any] | None) -> Reduction | None:
    if tree is None:
        return None
    return Reduction(
        amount_base=Decimal(tree["amountBase"]),
        price=Decimal(tree["price"]),
        loss_per_base=Decimal(tree["lossPerBase"]),
        since_ms=tree["sinceMs"],
    )


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
