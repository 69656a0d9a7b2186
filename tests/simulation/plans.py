"""What the files say: strategies drawn from a seed, and edits of them."""

from __future__ import annotations

import random

from tests.simulation.world import Plan

TAKE_PROFITS = (
    "{percent: 1, trailing: {deviationPct: 0.25}}",
    "{percent: 1, steps: [{sharePct: 50, profitPct: 0.8}, {sharePct: 50, profitPct: 1.6}]}",
)
RECOVERY = (
    "{enabled: true, trigger: {drawdownPct: 4, confirmFor: 20s, emaSpan: 30s}, "
    "actions: {takeProfitPct: 0.4, strict: {minInterval: 60s}}, "
    "exit: {drawdownPct: 2, confirmFor: 60s}, "
    "escalate: {drawdownPct: 8, cooldown: 60s, maxPerWindow: {count: 9, window: 1d}}}"
)
TOUR = (
    "{enabled: true, trigger: {drawdownPct: 3, confirmFor: 20s, emaSpan: 10s}, "
    "actions: {takeProfitPct: 0.4, "
    "strict: {minInterval: 30s, minSpacingPct: 0.8, minAverageImprovementPct: 0.2, "
    "maxExtraOrders: 1}, "
    "reduce: {enabled: true, closePct: 10, reboundPct: 1, minInterval: 60s, lossBudgetPct: 3}}, "
    "exit: {drawdownPct: 1.5, marginUsedPct: 99, confirmFor: 40s}, "
    "escalate: {drawdownPct: 7, cooldown: 60s, maxPerWindow: {count: 1, window: 1d}}}"
)
"""Recovery Mode with everything it can do, quick to begin, to end and to give up."""


def drawn_plans(rng: random.Random) -> list[Plan]:
    """Return what the files have at first."""
    spot = Plan("grid", "spot", ("BTC/USDT", "ETH/USDT"))
    futures = Plan("swing", "futures", rng.choice((("BTC/USDT",), ("BTC/USDT", "ETH/USDT"))))
    if rng.random() < 0.5:
        futures.fields["direction"] = "short"
    if rng.random() < 0.3:
        spot.fields["maxActiveDeals"] = "1"
    for plan in (spot, futures):
        plan.fields["onChange"] = rng.choice(("keep", "adopt", "drain", "close"))
        plan.fields["onDelete"] = rng.choice(("drain", "close"))
        if rng.random() < 0.3:
            plan.fields["baseOrder"] = "60 USDT"
        if rng.random() < 0.5:
            plan.fields["takeProfit"] = rng.choice(TAKE_PROFITS)
        if rng.random() < 0.5:
            plan.fields["recovery"] = RECOVERY
    return rng.choice(([spot], [futures], [spot, futures]))


def tour_plans(rng: random.Random) -> list[Plan]:
    """Return strategies that see all of Recovery Mode, given prices that lead through it."""
    plans = [Plan("grid", "spot", ("BTC/USDT",)), Plan("swing", "futures", ("BTC/USDT",))]
    if rng.random() < 0.5:
        plans[1].fields["direction"] = "short"
    for plan in plans:
        plan.fields["recovery"] = TOUR
        plan.fields["cooldown"] = "{afterTakeProfit: 20s, afterStopLoss: 60s, afterRecovery: 40s}"
        plan.fields["takeProfit"] = rng.choice((*TAKE_PROFITS, "{percent: 1}"))
        plan.fields["stopLoss"] = f"{{percent: {rng.choice((13, 15, 18))}, confirmFor: 0s}}"
    return plans


def edited(plan: Plan, rng: random.Random) -> str:
    """Edit *plan* and return what was edited; to delete it is left to the caller."""
    edit = rng.choice(
        (
            "takeProfit",
            "takeProfits",
            "recovery",
            "averaging",
            "risk",
            "pairs",
            "state",
            "delete",
            "broken",
            "onChange",
            "stopLoss",
            "marginLimit",
            "mend",
        )
    )
    match edit:
        case "takeProfit":
            plan.fields["takeProfit"] = f"{{percent: {rng.choice((0.6, 1, 1.5, 2))}}}"
        case "takeProfits":
            plan.fields["takeProfit"] = rng.choice(TAKE_PROFITS)
        case "recovery":
            plan.fields["recovery"] = rng.choice((RECOVERY, "{enabled: false}"))
        case "stopLoss":
            plan.fields["stopLoss"] = f"{{percent: {rng.choice((12, 15, 20))}}}"
        case "averaging":
            plan.fields["averaging"] = (
                f"{{firstDeviationPct: {rng.choice((1.2, 1.5))}, stepScale: 1.1, "
                f"firstSizeRatio: 1, volumeScale: {rng.choice((1, 1.3))}, "
                f"maxOrders: {rng.randrange(1, 6)}, maxPlaced: {rng.randrange(1, 4)}}}"
            )
        case "risk":
            plan.fields["risk"] = rng.choice(("custom", "balanced", "conservative"))
        case "pairs":
            plan.pairs = rng.choice((("BTC/USDT",), ("ETH/USDT",), ("BTC/USDT", "ETH/USDT")))
        case "state":
            plan.fields["state"] = rng.choice(("running", "running", "paused", "stopped"))
        case "onChange":
            plan.fields["onChange"] = rng.choice(("keep", "adopt", "drain", "close"))
        case "marginLimit":
            plan.fields["marginLimit"] = rng.choice(("1000 USDT", "700 USDT", "10%"))
        case "broken":
            plan.is_broken = True
        case "mend":
            plan.is_broken = False
    return edit
