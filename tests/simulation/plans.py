"""What the files say: strategies drawn from a seed, and edits of them."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.simulation.world import Plan

TAKE_PROFITS = (
    "{percent: 1, trailing: {deviationPct: 0.25}}",
    "{percent: 1, steps: [{sharePct: 50, profitPct: 0.8}, {sharePct: 50, profitPct: 1.6}]}",
    "{steps: [{sharePct: 40, profitPct: 0.8}, {sharePct: 60, profitPct: 1.2}], "
    "trailing: {deviationPct: 0.25}}",
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

ENTRY = "timeout: 2m, maxSlippagePct: 0.3"
WINDOWS = ", ".join(
    f'"Mon-Sun {hour:02}:{tens}0-{hour:02}:{tens}6"' for hour in range(24) for tens in range(6)
)
"""Six minutes of every ten."""


# What a document may ask for beyond the usual; each is drawn now and then, and each tour shows one.


def _paper(plans: list[Plan], rng: random.Random) -> None:
    rng.choice(plans).fields["mode"] = "paper"


def _rsi(plans: list[Plan], rng: random.Random) -> None:
    for plan in plans:
        level = "above: 35" if _is_short(plan) else "below: 65"
        plan.fields["entry"] = (
            f"{{trigger: rsi, rsi: {{period: 3, interval: 1m, {level}}}, {ENTRY}}}"
        )


def _via(plans: list[Plan], rng: random.Random) -> None:
    """Open new deals on another account while one recovers."""
    for plan in plans:
        plan.via = f"spare-{plan.connection}"
        plan.fields["maxActiveDeals"] = "2"
        plan.fields["recovery"] = _with_via(plan.fields.get("recovery", RECOVERY), plan.via)


def _loss_cap(plans: list[Plan], rng: random.Random) -> None:
    for plan in plans:
        plan.fields["caps"] = f"{{maxDailyRealisedLossPct: {rng.choice((1, 2, 4))}}}"


def _deal_age(plans: list[Plan], rng: random.Random) -> None:
    for plan in plans:
        plan.fields["baseOrder"] = "40 USDT"
        plan.fields["caps"] = f"{{maxDealAge: {rng.choice((2, 5))}m, maxOrderNotional: 75 USDT}}"


def _spread_cap(plans: list[Plan], rng: random.Random) -> None:
    for plan in plans:
        plan.fields["caps"] = "{maxSpreadPct: 0.4, maxOpenOrders: 12}"


def _schedule(plans: list[Plan], rng: random.Random) -> None:
    for plan in plans:
        plan.fields["schedule"] = f"{{newDeals: [{WINDOWS}]}}"
        plan.fields["entry"] = f"{{trigger: schedule, {ENTRY}}}"


def _prices(plans: list[Plan], rng: random.Random) -> None:
    """Enter beyond a price, and at market."""
    for plan in plans:
        trigger = rng.choice(("priceAbove, price: 98", "priceBelow, price: 102"))
        plan.fields["entry"] = f"{{trigger: {trigger}, orderType: market, {ENTRY}}}"


def _last_fill(plans: list[Plan], rng: random.Random) -> None:
    for plan in plans:
        plan.fields["averaging"] = averaging("lastFill")


def _watched_stop(plans: list[Plan], rng: random.Random) -> None:
    """Let the stop be near, watched and measured from either price."""
    for plan in plans:
        plan.fields["recovery"] = "{enabled: false}"
        plan.fields["stopLoss"] = rng.choice(
            (
                "{percent: 9, reference: baseOrder, onExchange: never}",
                "{percent: 9, reference: baseOrder, confirmFor: 6s}",
                "{percent: 6, reference: average, onExchange: never}",
            )
        )


def _margin(plans: list[Plan], rng: random.Random) -> None:
    """Let the whole wallet stand behind a position."""
    for plan in plans:
        if plan.connection == "futures":
            plan.fields["marginMode"] = "cross"
            plan.fields["leverage"] = rng.choice(("1", "3", "5"))


FEATURES: dict[str, Callable[[list[Plan], random.Random], None]] = {
    "paper": _paper,
    "rsi": _rsi,
    "via": _via,
    "loss cap": _loss_cap,
    "deal age": _deal_age,
    "spread cap": _spread_cap,
    "schedule": _schedule,
    "prices": _prices,
    "last fill": _last_fill,
    "watched stop": _watched_stop,
    "margin": _margin,
}


SHARE = 0.1
"""How often a usual history has each of them."""


def averaging(reference: str = "baseOrder") -> str:
    """Return the usual ladder."""
    return (
        f"{{reference: {reference}, firstDeviationPct: 1.2, stepScale: 1.2, firstSizeRatio: 1, "
        "volumeScale: 1.2, maxOrders: 4, maxPlaced: 2, minInterval: 20s}"
    )


def _with_via(recovery: str, via: str) -> str:
    return recovery.replace("actions: {", f'actions: {{newDeals: "viaConnection: {via}", ')


def _is_short(plan: Plan) -> bool:
    return plan.fields.get("direction") == "short"


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
        if plan is futures:
            plan.fields["leverage"] = rng.choice(("1", "2", "2", "3"))
        if rng.random() < 0.5:
            plan.fields["takeProfit"] = rng.choice(TAKE_PROFITS)
        if rng.random() < 0.5:
            plan.fields["recovery"] = RECOVERY
    plans = rng.choice(([spot], [futures], [spot, futures]))
    for add in FEATURES.values():
        if rng.random() < SHARE:
            add(plans, rng)
    return plans


def tour_plans(rng: random.Random, number: int) -> list[Plan]:
    """Return strategies that see all of Recovery Mode, given prices that lead through it.

    The tour of that *number* also shows one of the features.
    """
    plans = [Plan("grid", "spot", ("BTC/USDT",)), Plan("swing", "futures", ("BTC/USDT",))]
    if rng.random() < 0.5:
        plans[1].fields["direction"] = "short"
    for plan in plans:
        plan.fields["recovery"] = TOUR
        plan.fields["cooldown"] = "{afterTakeProfit: 20s, afterStopLoss: 60s, afterRecovery: 40s}"
        plan.fields["takeProfit"] = rng.choice((*TAKE_PROFITS, "{percent: 1}"))
        plan.fields["stopLoss"] = f"{{percent: {rng.choice((13, 15, 18))}, confirmFor: 0s}}"
    list(FEATURES.values())[number % len(FEATURES)](plans, rng)
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
            "identity",
            "identity",
        )
    )
    match edit:
        case "takeProfit":
            plan.fields["takeProfit"] = f"{{percent: {rng.choice((0.6, 1, 1.5, 2))}}}"
        case "takeProfits":
            plan.fields["takeProfit"] = rng.choice(TAKE_PROFITS)
        case "recovery":
            recovery = _with_via(RECOVERY, plan.via) if plan.via else RECOVERY
            plan.fields["recovery"] = rng.choice((recovery, "{enabled: false}"))
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
        case "identity":
            _other_identity(plan, rng)
        case "broken":
            plan.is_broken = True
        case "mend":
            plan.is_broken = False
    return edit


def _other_identity(plan: Plan, rng: random.Random) -> None:
    """Edit what an open deal does not let be changed."""
    if plan.connection == "futures" and rng.random() < 0.7:
        plan.fields["leverage"] = rng.choice(("1", "2", "3"))
        plan.fields["marginMode"] = rng.choice(("isolated", "cross"))
    else:
        plan.fields["mode"] = rng.choice(("paper", "live"))
