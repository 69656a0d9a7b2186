"""Faults in Recovery Mode: each of its keys not meant as it is written."""

from __future__ import annotations

from tests.mutations.fault import Fault
from tests.mutations.faults.invariants import AVERAGE, BUDGET, NO_NEW_DEAL, REBUILT, WICK

_UNIT = "tests/unit/strategy"
_TESTS = (f"{_UNIT}/test_recovery.py",)
_WHERE = "strategy/averaging"

TRIGGERS = "Recovery Mode begins by any one trigger"
LEAVING = "Recovery Mode ends as the file says"
TARGET = "in RECOVERY the exit is Recovery Mode's own"


def _fault(name: str, promise: str, old: str, new: str) -> Fault:
    return Fault(name, promise, _WHERE, ((old, new),), _TESTS)


FAULTS = (
    # When it begins.
    _fault(
        "fees are no part of the drawdown",
        TRIGGERS,
        "return average * (ONE + setup.terms.sign * setup.rates.taker_fee)",
        "return average",
    ),
    _fault(
        "a short's entry fee is on its side",
        TRIGGERS,
        "(ONE + setup.terms.sign * setup.rates.taker_fee)",
        "(ONE + setup.rates.taker_fee)",
    ),
    _fault(
        "a short's drawdown is a long's",
        TRIGGERS,
        "drawdown_pct=setup.terms.sign * HUNDRED",
        "drawdown_pct=HUNDRED",
    ),
    _fault(
        "margin used is what was ever entered",
        TRIGGERS,
        "HUNDRED * books(deal, setup).position_base * average / planned",
        "HUNDRED * books(deal, setup).entered_base * average / planned",
    ),
    _fault(
        "a rung filled in part is used",
        TRIGGERS,
        "k <= deal.shape.max_orders and is_done(deal, setup, k))",
        "k <= deal.shape.max_orders)",
    ),
    _fault(
        "orders beyond the ladder are rungs used",
        TRIGGERS,
        "if k <= deal.shape.max_orders and is_done(deal, setup, k))",
        "if is_done(deal, setup, k))",
    ),
    _fault(
        "the drawdown must be beyond its limit, not at it",
        TRIGGERS,
        "limit, is_true=value >= limit)\n    since_ms",
        "limit, is_true=value > limit)\n    since_ms",
    ),
    _fault(
        "underwaterFor never triggers",
        TRIGGERS,
        "is_true = since_ms is not None and at_loss_ms >= limit_ms",
        "is_true = False",
    ),
    _fault(
        "a deal at a loss stays so although it was in profit since",
        TRIGGERS,
        "underwater_ms = _since(gauge.underwater_since_ms, seen.drawdown_pct > 0, now_ms)",
        "underwater_ms = _since(gauge.underwater_since_ms, True, now_ms)",
    ),
    _fault(
        "`manual` triggers nothing",
        TRIGGERS,
        "    if terms.is_manual:\n",
        "    if False:\n",
    ),
    _fault(
        "`enabled: false` triggers all the same",
        TRIGGERS,
        "    if not terms.is_enabled:\n        return\n    if terms.is_manual",
        "    if terms.is_manual",
    ),
    # Wicks.
    _fault(
        "a rule holds one moment too late",
        WICK,
        "return since_ms is not None and now_ms - since_ms >= for_ms",
        "return since_ms is not None and now_ms - since_ms > for_ms",
    ),
    _fault(
        "the smoothed price follows at once",
        WICK,
        "if smooth != before and not span_ms:",
        "if True:",
    ),
    _fault(
        "the smoothed price never follows",
        WICK,
        "context.multiply(distance, kept)",
        "distance",
    ),
    _fault(
        "the price of now is smoothed as if it had been there all the time",
        WICK,
        "gauge = smoothed(gauge, state.price, ((price, at_ms),)",
        "gauge = smoothed(gauge, price, ((price, at_ms),)",
    ),
    _fault(
        "one false moment ends WATCH",
        WICK,
        "case Phase.WATCH if _held(gauge.calm_since_ms, terms.confirm_ms, now_ms):",
        "case Phase.WATCH if not why:",
    ),
    _fault(
        "what held before a person took the deal over goes on counting",
        WICK,
        "gauge=None if gauge is None else _reset(gauge))",
        "gauge=gauge)",
    ),
    _fault(
        "what held in WATCH counts for escalation and exit",
        WICK,
        "return moved(replace(state, deal=deal, gauge=_reset(gauge)), Happening.CONFIRMED)",
        "return moved(replace(state, deal=deal), Happening.CONFIRMED)",
    ),
    Fault(
        "the lowest price of a wick is where a rebound begins",
        WICK,
        _WHERE,
        (
            (
                "    is_new_low = deal.low is None",
                "    calm = state.price or calm\n    is_new_low = deal.low is None",
            ),
            (
                "            yield beyond(deal.low, -sign,",
                "            yield deal.low\n            yield beyond(deal.low, -sign,",
            ),
        ),
        _TESTS,
    ),
    # What it does.
    _fault(
        "an add-on's own first fill takes its rest back",
        AVERAGE,
        "if not (is_rested or any(order.may_rest for order in parts)):",
        "if not is_rested:",
    ),
    _fault(
        "an add-on's own first fill is where its spacing is measured from",
        AVERAGE,
        "last_fill=_worst_fill(_without_rung(deal, k), setup.terms.sign),",
        "last_fill=_worst_fill(deal, setup.terms.sign),",
    ),
    _fault(
        "the spacing of a short's add-ons is a long's",
        AVERAGE,
        "if sign * (beyond(last_fill, sign, terms.min_spacing_pct) - price) < 0:",
        "if (beyond(last_fill, sign, terms.min_spacing_pct) - price) < 0:",
    ),
    _fault(
        "the spacing is measured from the best fill",
        AVERAGE,
        "return min(fills) if sign > 0 else max(fills)",
        "return max(fills) if sign > 0 else min(fills)",
    ),
    _fault(
        "an add-on may lie beyond the stop",
        AVERAGE,
        "if price <= 0 or not _is_before_stop(draft, price):",
        "if price <= 0:",
    ),
    _fault(
        "`addOns: off` adds",
        AVERAGE,
        "if not (terms.is_adding and _rungs_max(draft)):",
        "if not _rungs_max(draft):",
    ),
    _fault(
        "maxExtraOrders allows one more",
        AVERAGE,
        "open_rungs(draft, terms.extra_orders):",
        "open_rungs(draft, terms.extra_orders + 1):",
    ),
    _fault(
        "Recovery Mode takes no rung back while only exits are allowed",
        AVERAGE,
        "        else:\n            rest_rungs(draft)",
        "        elif draft.gate is Gate.OPEN:\n            rest_rungs(draft)",
    ),
    _fault(
        "takeProfitPct of Recovery Mode is not used",
        TARGET,
        "if is_recovering and terms.recovery.take_profit_pct is not None:",
        "if False:",
    ),
    _fault(
        "the take profit goes on trailing in RECOVERY",
        TARGET,
        "_TRAILED = frozenset({Phase.ACTIVE, Phase.WATCH})",
        "_TRAILED = frozenset({Phase.ACTIVE, Phase.WATCH, Phase.RECOVERY})",
    ),
    _fault(
        "the take profit rests in steps, or nowhere, in RECOVERY",
        TARGET,
        "is_whole = draft.is_recovering or deal.is_winding",
        "is_whole = deal.is_winding",
    ),
    _fault(
        "what earlier deals lost by reductions is forgotten",
        BUDGET,
        "draft.lost_before + reduced_loss(deal)",
        "reduced_loss(deal)",
    ),
    _fault(
        "the budget's window never ends",
        BUDGET,
        "for each in self.reductions if each[0] > since_ms)",
        "for each in self.reductions)",
    ),
    _fault(
        "a reduction that rests cannot lose anything",
        BUDGET,
        "per_base * (order.amount_base if order.may_rest else order.filled_base)",
        "per_base * order.filled_base",
    ),
    _fault(
        "minInterval between reductions is ignored",
        BUDGET,
        "due_ms = deal.reduced_ms + terms.min_interval_ms if deal.reduced_ms else 0",
        "due_ms = 0",
    ),
    _fault(
        "a short's rebound is a long's",
        BUDGET,
        "if sign * (draft.price - beyond(low, -sign, terms.rebound_pct)) < 0:",
        "if draft.price - beyond(low, -sign, terms.rebound_pct) < 0:",
    ),
    _fault(
        "the losses of earlier deals' reductions do not survive a restart",
        REBUILT,
        'tree.get("reductions", ())',
        "()",
    ),
    # How it ends.
    _fault(
        "one of the exit rule's conditions is enough",
        LEAVING,
        "all(each.is_true for each in endings(terms, seen))",
        "any(each.is_true for each in endings(terms, seen))",
    ),
    _fault(
        "the exit rule counts while a trigger is true",
        LEAVING,
        "is_calm = not why and all(",
        "is_calm = all(",
    ),
    _fault(
        "the exit rule is confirmed as quickly as a trigger",
        LEAVING,
        "if _held(gauge.calm_since_ms, terms.exit_confirm_ms, now_ms):",
        "if _held(gauge.calm_since_ms, terms.confirm_ms, now_ms):",
    ),
    _fault(
        "a deal that left RECOVERY rests as if it had not",
        LEAVING,
        "deal = replace(deal, recovery_since_ms=None, low=None, reduction=None)",
        "deal = replace(deal, low=None, reduction=None)",
    ),
    _fault(
        "cooldown.afterRecovery is ignored",
        LEAVING,
        "else max(rest_ms, terms.rest_after_recovery_ms)",
        "else rest_ms",
    ),
    _fault(
        "escalation needs no drawdown",
        LEAVING,
        "terms.escalate_pct is not None and seen.drawdown_pct >= terms.escalate_pct",
        "terms.escalate_pct is not None",
    ),
    _fault(
        "maxDuration is ignored",
        LEAVING,
        "elif now_ms - deal.recovery_since_ms >= terms.max_duration_ms:",
        "elif False:",
    ),
    _fault(
        "an escalation is one too many already when it is the last that may be",
        LEAVING,
        "if len(recent) <= terms.window_count:",
        "if len(recent) < terms.window_count:",
    ),
    _fault(
        "the window of escalations never ends",
        LEAVING,
        "for at_ms in (*state.escalations, state.at_ms) if at_ms > since_ms)",
        "for at_ms in (*state.escalations, state.at_ms))",
    ),
    _fault(
        "a deal whose stop filled counts as given up",
        NO_NEW_DEAL,
        "if deal.closing is not Closing.ESCALATE:\n        return moved(state, Happening.WENT_FLAT)",
        "if deal.recovery_since_ms is None:\n        return moved(state, Happening.WENT_FLAT)",
    ),
)
