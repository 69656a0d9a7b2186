"""Say which fields of a document changed, in the words of the file, with secrets hidden.

Paths are dotted and in the file's spelling (``averaging.firstDeviationPct``), values as a user
would write them (``15m``, not 900000). The table at the end of the imports gives every Strategy
field the class that decides what an edit of it does to an open deal.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from backfuturectl.model.resources import StrategySpec
from backfuturectl.model.units import DurationMs, format_duration

HIDDEN: Final = "(secret)"


class FieldClass(enum.StrEnum):
    """What an edit of a field means for an open deal.

    LIVE: applies at once. LADDER: the open deal was planned with it. IDENTITY: the open deal
    cannot exist under another value. MEMBERSHIP: decides which bots there are.
    """

    LIVE = "live"
    LADDER = "ladder"
    IDENTITY = "identity"
    MEMBERSHIP = "membership"


_L = FieldClass.LIVE
FIELD_CLASSES: Final[dict[str, FieldClass]] = {
    "connection": FieldClass.IDENTITY,
    "state": _L,
    "mode": FieldClass.IDENTITY,
    "kind": FieldClass.IDENTITY,
    "direction": FieldClass.IDENTITY,
    "pairs": FieldClass.MEMBERSHIP,
    # The label itself; what a preset fills in shows as changes of the filled fields.
    "risk": _L,
    "leverage": FieldClass.IDENTITY,
    "marginMode": FieldClass.IDENTITY,
    # Limits bind from now on: they can hold a new order back but never change one that rests.
    "marginLimit": _L,
    "maxActiveDeals": _L,
    # An entry concerns only deals that do not exist yet.
    "entry.trigger": _L,
    "entry.price": _L,
    "entry.rsi.period": _L,
    "entry.rsi.interval": _L,
    "entry.rsi.below": _L,
    "entry.rsi.above": _L,
    "entry.orderType": _L,
    "entry.timeout": _L,
    "entry.maxSlippagePct": _L,
    "baseOrder": FieldClass.LADDER,
    "averaging.reference": FieldClass.LADDER,
    "averaging.firstDeviationPct": FieldClass.LADDER,
    "averaging.stepScale": FieldClass.LADDER,
    "averaging.firstSizeRatio": FieldClass.LADDER,
    "averaging.volumeScale": FieldClass.LADDER,
    "averaging.maxOrders": FieldClass.LADDER,
    "averaging.maxPlaced": _L,
    "averaging.minInterval": FieldClass.LADDER,
    "averaging.minAverageImprovementPct": FieldClass.LADDER,
    "takeProfit.percent": _L,
    "takeProfit.steps": _L,
    "takeProfit.trailing.deviationPct": _L,
    "stopLoss.percent": _L,
    "stopLoss.reference": _L,
    "stopLoss.confirmFor": _L,
    "stopLoss.onExchange": _L,
    "stopLoss.action": _L,
    "recovery.enabled": _L,
    "recovery.trigger.drawdownPct": _L,
    "recovery.trigger.marginUsedPct": _L,
    "recovery.trigger.averagingUsedPct": _L,
    "recovery.trigger.underwaterFor": _L,
    "recovery.trigger.manual": _L,
    "recovery.trigger.confirmFor": _L,
    "recovery.trigger.emaSpan": _L,
    "recovery.actions.newDeals": _L,
    "recovery.actions.addOns": _L,
    "recovery.actions.strict.minAverageImprovementPct": _L,
    "recovery.actions.strict.minSpacingPct": _L,
    "recovery.actions.strict.minInterval": _L,
    "recovery.actions.strict.maxExtraOrders": _L,
    "recovery.actions.takeProfitPct": _L,
    "recovery.actions.reduce.enabled": _L,
    "recovery.actions.reduce.closePct": _L,
    "recovery.actions.reduce.reboundPct": _L,
    "recovery.actions.reduce.minInterval": _L,
    "recovery.actions.reduce.lossBudgetPct": _L,
    "recovery.exit.drawdownPct": _L,
    "recovery.exit.marginUsedPct": _L,
    "recovery.exit.confirmFor": _L,
    "recovery.escalate.drawdownPct": _L,
    "recovery.escalate.maxDuration": _L,
    "recovery.escalate.action": _L,
    "recovery.escalate.cooldown": _L,
    "recovery.escalate.maxPerWindow.count": _L,
    "recovery.escalate.maxPerWindow.window": _L,
    "caps.maxOrderNotional": _L,
    "caps.maxOpenOrders": _L,
    "caps.maxDailyRealisedLossPct": _L,
    "caps.maxDealAge": _L,
    "caps.maxSpreadPct": _L,
    "cooldown.afterTakeProfit": _L,
    "cooldown.afterStopLoss": _L,
    "cooldown.afterRecovery": _L,
    "schedule.timezone": _L,
    "schedule.newDeals": _L,
    "onChange": _L,
    "onDelete": _L,
}


SIZING: Final = frozenset({"marginLimit", "maxActiveDeals"})
"""Limits that a base order of ``auto`` is sized by."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs.

    Attributes:
        path: Dotted, as in the file.
        old: As a user would write it; None when absent; `HIDDEN` for a secret.
        new: Likewise.
    """

    path: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        """Return the change as people read it; what is None is absent from the document."""
        old, new = ("absent" if value is None else value for value in (self.old, self.new))
        return f"{self.path}: {old} → {new}"


def diff(old: BaseModel, new: BaseModel) -> tuple[FieldChange, ...]:
    """Return the fields that differ between two values of one model, in the model's order.

    A secret that differs appears with `HIDDEN` on both sides.
    """
    assert type(old) is type(new), "only documents of one kind can be compared"
    return tuple(_model_changes("", type(old), old, new))


def class_of(path: str) -> FieldClass:
    """Return the class of a Strategy field; *path* comes from `diff` of two `StrategySpec`."""
    return FIELD_CLASSES[path]


def spec_changes(old: StrategySpec, new: StrategySpec) -> tuple[FieldChange, ...]:
    """Return what differs for one bot: everything but membership, which decides its existence."""
    return tuple(c for c in diff(old, new) if class_of(c.path) is not FieldClass.MEMBERSHIP)


def _model_changes(
    prefix: str, model: type[BaseModel], old: BaseModel | None, new: BaseModel | None
) -> Iterator[FieldChange]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        before = None if old is None else getattr(old, name)
        after = None if new is None else getattr(new, name)
        if before == after:
            continue
        nested = next((type(v) for v in (before, after) if isinstance(v, BaseModel)), None)
        if nested is not None:
            yield from _model_changes(f"{path}.", nested, before, after)
        elif isinstance(before, Mapping) or isinstance(after, Mapping):
            yield from _mapping_changes(f"{path}.", before or {}, after or {})
        else:
            yield FieldChange(path, _written(field, before), _written(field, after))


def _mapping_changes(
    prefix: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[FieldChange]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before != after:
            yield FieldChange(f"{prefix}{key}", _text(before), _text(after))


_IS_DURATION: Final = DurationMs.__metadata__[0]  # type: ignore[attr-defined]  # of Annotated


def _written(field: FieldInfo, value: Any) -> str | None:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and extra.get("x-secret"):
        return None if value is None else HIDDEN
    if value is not None and _IS_DURATION in _metadata(field):
        return format_duration(value)
    return _text(value)


def _metadata(field: FieldInfo) -> tuple[Any, ...]:
    """Return the annotations of a field, also those inside ``DurationMs | None``."""
    inner = getattr(field.annotation, "__args__", ())
    return (*field.metadata, *(m for part in inner for m in getattr(part, "__metadata__", ())))


def _text(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value:f}"
        case BaseModel():
            fields = type(value).model_fields.items()
            pairs = (f"{f.alias or name}: {_text(getattr(value, name))}" for name, f in fields)
            return "{" + ", ".join(pairs) + "}"
        case tuple():
            return "[" + ", ".join(str(_text(item)) for item in value) + "]"
        case _:
            return str(value)
