"""Every setting of a Strategy document reaches the terms that a bot trades by."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backfuturectl.model.market import MarketKind
from backfuturectl.model.resources import StrategySpec
from backfuturectl.model.units import Money
from backfuturectl.planning.diff import FIELD_CLASSES
from backfuturectl.strategy.presets import Terms, resolve

D = Decimal

ELSEWHERE = {
    *("connection", "state", "mode", "kind", "pairs", "onChange", "onDelete"),
    *("recovery.actions.newDeals", "stopLoss.action", "recovery.escalate.action"),
}
"""What decides which bots there are and what becomes of them, and what has one value only."""

DOCUMENT: dict[str, Any] = {
    "connection": "main",
    "pairs": ["BTC/USDT"],
    "risk": "balanced",
    "entry": {"trigger": "rsi", "rsi": {}},
    "takeProfit": {"trailing": {"deviationPct": D("0.2")}},
    "recovery": {"actions": {"reduce": {"enabled": True}}},
}

OTHER: dict[str, Any] = {
    "direction": "short",
    "risk": "aggressive",
    "leverage": 7,
    "marginMode": "cross",
    "marginLimit": "123 USDT",
    "maxActiveDeals": 7,
    "entry.trigger": "immediate",
    "entry.price": 7,
    "entry.rsi.period": 7,
    "entry.rsi.interval": "4h",
    "entry.rsi.below": 7,
    "entry.rsi.above": 93,
    "entry.orderType": "market",
    "entry.timeout": "7m",
    "entry.maxSlippagePct": D("0.7"),
    "baseOrder": "7 USDT",
    "averaging.reference": "lastFill",
    "averaging.firstDeviationPct": D("0.7"),
    "averaging.stepScale": D("1.7"),
    "averaging.firstSizeRatio": D("1.7"),
    "averaging.volumeScale": D("1.7"),
    "averaging.maxOrders": 7,
    "averaging.maxPlaced": 7,
    "averaging.minInterval": "7m",
    "averaging.minAverageImprovementPct": D("0.7"),
    "takeProfit.percent": D("0.7"),
    "takeProfit.steps": [{"sharePct": 100, "profitPct": D("0.7")}],
    "takeProfit.trailing.deviationPct": D("0.7"),
    "stopLoss.percent": 7,
    "stopLoss.reference": "average",
    "stopLoss.confirmFor": "7s",
    "stopLoss.onExchange": "never",
    "recovery.enabled": False,
    "recovery.trigger.drawdownPct": 7,
    "recovery.trigger.marginUsedPct": 7,
    "recovery.trigger.averagingUsedPct": 7,
    "recovery.trigger.underwaterFor": "7h",
    "recovery.trigger.manual": True,
    "recovery.trigger.confirmFor": "7m",
    "recovery.trigger.emaSpan": "7m",
    "recovery.actions.addOns": "off",
    "recovery.actions.strict.minAverageImprovementPct": D("0.7"),
    "recovery.actions.strict.minSpacingPct": D("0.7"),
    "recovery.actions.strict.minInterval": "7m",
    "recovery.actions.strict.maxExtraOrders": 7,
    "recovery.actions.takeProfitPct": D("0.7"),
    "recovery.actions.reduce.enabled": False,
    "recovery.actions.reduce.closePct": 7,
    "recovery.actions.reduce.reboundPct": 7,
    "recovery.actions.reduce.minInterval": "7m",
    "recovery.actions.reduce.lossBudgetPct": 7,
    "recovery.exit.drawdownPct": D("0.7"),
    "recovery.exit.marginUsedPct": 7,
    "recovery.exit.confirmFor": "7m",
    "recovery.escalate.drawdownPct": 17,
    "recovery.escalate.maxDuration": "7d",
    "recovery.escalate.cooldown": "7h",
    "recovery.escalate.maxPerWindow.count": 7,
    "recovery.escalate.maxPerWindow.window": "7d",
    "caps.maxOrderNotional": "7 USDT",
    "caps.maxOpenOrders": 7,
    "caps.maxDailyRealisedLossPct": 7,
    "caps.maxDealAge": "7d",
    "caps.maxSpreadPct": D("0.7"),
    "cooldown.afterTakeProfit": "7m",
    "cooldown.afterStopLoss": "7m",
    "cooldown.afterRecovery": "7m",
    "schedule.timezone": "Europe/Berlin",
    "schedule.newDeals": ["Mon 07:00-08:00"],
}


def terms(path: str = "", value: Any = None) -> Terms:
    """Return the terms of the document with *value* at *path*."""
    document = _with(DOCUMENT, path.split("."), value) if path else DOCUMENT
    spec = StrategySpec.model_validate(document)
    return resolve(spec, Money.parse("1000 USDT"), MarketKind.FUTURES)


def _with(document: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    head, *rest = path
    return {**document, head: _with(document.get(head, {}), rest, value) if rest else value}


def test_no_setting_is_left_out_here() -> None:
    assert OTHER.keys() == FIELD_CLASSES.keys() - ELSEWHERE


@pytest.mark.parametrize("path", OTHER)
def test_a_setting_reaches_the_terms(path: str) -> None:
    assert terms(path, OTHER[path]) != terms()
