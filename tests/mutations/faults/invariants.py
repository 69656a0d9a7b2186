"""Faults in the averaging kind, by the invariant that they break."""

from __future__ import annotations

from tests.mutations.fault import Fault

_UNIT = "tests/unit/strategy"
_AVERAGING = f"{_UNIT}/test_averaging.py"
_RECOVERY = f"{_UNIT}/test_recovery.py"
_EXITS = f"{_UNIT}/test_exits.py"
_BEGINNING = f"{_UNIT}/test_beginning.py"
_PATHS = f"{_UNIT}/test_invariants.py"
_LIMITS = f"{_UNIT}/test_limits.py"
_LIMITS_SHELL = "tests/shell/reconcile/test_limits.py"
_ORDERS = "tests/unit/model/test_orders.py"

MARGIN = "1 margin stays within marginLimit"
AVERAGE = "2 in RECOVERY no fill moves the average against the deal"
NO_NEW_DEAL = "3 no new deal in WATCH, RECOVERY or HALTING"
BUDGET = "4 the loss of `reduce` stays within its budget"
REBUILT = "5 state after a crash is the state before; an edit alone leaves no phase"
EXITS = "6 exits are never blocked and never exceed the position"
WICK = "7 a wick is no trigger"
PARTIAL = "8 partial fills, dust and disorder change none of this"
TABLE = "an order's life is a table"

FAULTS = (
    # 1
    Fault(
        "what is held is not counted when a rung is placed",
        MARGIN,
        "strategy/averaging",
        (("notional_max(deal, setup) - kept.entered_cost", "notional_max(deal, setup)"),),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "a resting rung for which there is no room stays",
        MARGIN,
        "strategy/averaging",
        (('draft.cancel(order, "the margin limit has no room for it")', "pass"),),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "a rung is as large as planned, whatever room is left",
        MARGIN,
        "strategy/averaging",
        (("round_amount(min(size, max(room, ZERO)) / ", "round_amount(size / "),),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "a deal has the whole limit instead of its share",
        MARGIN,
        "strategy/averaging",
        (
            (
                "return self.terms.margin_limit / self.terms.max_active_deals",
                "return self.terms.margin_limit",
            ),
        ),
        (_AVERAGING, _PATHS),
        is_quick=True,
    ),
    Fault(
        "a short's rung may take from the book, at a better price and more margin",
        MARGIN,
        "strategy/averaging",
        (("is_post_only=not is_buy,", "is_post_only=False,"),),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "the base order is sized without the slippage it may pay",
        MARGIN,
        "strategy/averaging",
        (
            (
                "amount = round_amount(size / highest, market)",
                "amount = round_amount(size / price, market)",
            ),
        ),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "a short without rungs to give way sells at whatever is bid",
        MARGIN,
        "strategy/averaging",
        (("is_post_only=base.is_post_only,", "is_post_only=False,"),),
        (_AVERAGING,),
    ),
    Fault(
        "shares of open deals are not summed before a deal begins",
        MARGIN,
        "engine",
        (("return sum(self._shares.values(), ZERO) + kept <= self.limit", "return True"),),
        ("tests/shell/engine/test_room.py",),
        is_quick=True,
    ),
    Fault(
        "a restart forgets the share that a deal was planned for",
        MARGIN,
        "reconcile/rooms.py",
        (
            (
                "room.note(bot, has_deal=True, share=share)",
                "room.note(bot, has_deal=True)",
            ),
        ),
        (_LIMITS_SHELL,),
    ),
    Fault(
        "each of more open deals than are allowed adopts the whole limit",
        MARGIN,
        "strategy/averaging",
        (("setup.deals > setup.terms.max_active_deals:", "setup.deals < 0:"),),
        (_LIMITS,),
    ),
    Fault(
        "deals planned for a higher limit do not give way to a lower one",
        MARGIN,
        "engine/room.py",
        (("return share if booked <= self.limit else", "return share if booked else"),),
        ("tests/shell/engine/test_room.py",),
    ),
    Fault(
        "maxActiveDeals is not asked before a deal begins",
        MARGIN,
        "engine",
        (
            (
                "        if len(self._shares) + len(self._doubted) >= self.deals_max:\n            return False\n",
                "",
            ),
        ),
        ("tests/shell/engine/test_room.py",),
    ),
    # 2
    Fault(
        "Recovery Mode keeps the whole ladder resting",
        AVERAGE,
        "strategy/averaging",
        (
            (
                "_strict_window(draft, kept) if draft.is_recovering else _window(draft)",
                "_window(draft)",
            ),
        ),
        (_RECOVERY, _PATHS),
    ),
    Fault(
        "an add-on need not improve the average",
        AVERAGE,
        "strategy/averaging",
        (("return gained >= terms.min_improvement_pct", "return True"),),
        (_RECOVERY, _PATHS),
    ),
    Fault(
        "an add-on may be as near to the last fill as it likes",
        AVERAGE,
        "strategy/averaging",
        (("terms.min_spacing_pct) - price) < 0:", "terms.min_spacing_pct) - price) < -price:"),),
        (_RECOVERY, _PATHS),
    ),
    Fault(
        "a short's average improves when it falls",
        AVERAGE,
        "strategy/arithmetic.py",
        (("return sign * HUNDRED * (before - after)", "return HUNDRED * (before - after)"),),
        (f"{_UNIT}/test_arithmetic.py",),
    ),
    Fault(
        "minInterval between add-ons is ignored",
        AVERAGE,
        "strategy/averaging",
        (("is_rested = _is_rested(draft, terms.min_interval_ms)", "is_rested = True"),),
        (_RECOVERY, _PATHS),
    ),
    # 3
    Fault(
        "a deal begins whatever the phase",
        NO_NEW_DEAL,
        "strategy/averaging",
        (
            (
                "if state.phase is not Phase.FLAT or not state.may_begin or",
                "if not state.may_begin or",
            ),
        ),
        (_RECOVERY, _BEGINNING, _PATHS),
    ),
    Fault(
        "a deal begins beside the one that lives",
        NO_NEW_DEAL,
        "strategy/averaging",
        (("if state.live_deal is None and seen is not None", "if seen is not None"),),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "a deal may begin on another connection while the first one is being closed",
        NO_NEW_DEAL,
        "strategy/averaging",
        (
            (
                "is_set_apart=state.phase is Phase.RECOVERY,",
                "is_set_apart=state.phase in {Phase.RECOVERY, Phase.HALTING},",
            ),
        ),
        (_RECOVERY,),
    ),
    Fault(
        "no rest follows when Recovery Mode has given up",
        NO_NEW_DEAL,
        "strategy/averaging",
        (
            (
                "(Phase.HALTING, Happening.WENT_FLAT): Phase.COOLDOWN",
                "(Phase.HALTING, Happening.WENT_FLAT): Phase.FLAT",
            ),
        ),
        (_RECOVERY, _AVERAGING, _PATHS),
    ),
    Fault(
        "giving up too often halts nothing",
        NO_NEW_DEAL,
        "strategy/averaging",
        (("if len(recent) <= terms.window_count:", "if recent:"),),
        (_RECOVERY,),
    ),
    Fault(
        "a rung is placed in WATCH",
        NO_NEW_DEAL,
        "strategy/averaging",
        (
            (
                "if draft.phase is Phase.WATCH or draft.gate is not Gate.OPEN:",
                "if draft.gate is not Gate.OPEN:",
            ),
        ),
        (_RECOVERY, _PATHS),
    ),
    # 4
    Fault(
        "what earlier reductions lost is forgotten",
        BUDGET,
        "strategy/averaging",
        (("if spent + loss * amount > budget:", "if loss * amount > budget:"),),
        (_RECOVERY, _PATHS),
    ),
    Fault(
        "a reduction is sold at market",
        BUDGET,
        "strategy/averaging/reduction.py",
        (("type_=OrderType.LIMIT", "type_=OrderType.MARKET"),),
        (_RECOVERY, _PATHS),
    ),
    Fault(
        "fees are no loss",
        BUDGET,
        "strategy/averaging/reduction.py",
        (("sign * (average - price) + fee * (average + price)", "sign * (average - price)"),),
        (_RECOVERY, _PATHS),
    ),
    Fault(
        "leverage enlarges the budget",
        BUDGET,
        "strategy/averaging/reduction.py",
        (
            (
                "notional(deal.shape, deal.base_quote) / setup.terms.leverage",
                "notional(deal.shape, deal.base_quote)",
            ),
        ),
        (_RECOVERY, _PATHS),
    ),
    # 5
    Fault(
        "Recovery Mode's beginning does not survive a restart",
        REBUILT,
        "strategy/averaging/codec.py",
        (('recovery_since_ms=tree.get("recoverySinceMs")', "recovery_since_ms=None"),),
        (_RECOVERY, _PATHS),
    ),
    Fault(
        "the losses of reductions do not survive a restart",
        REBUILT,
        "strategy/averaging/codec.py",
        (('tree.get("reduced", ())', "()"),),
        (_RECOVERY, _PATHS),
    ),
    Fault(
        "escalations do not survive a restart",
        REBUILT,
        "strategy/averaging/codec.py",
        (('tuple(tree.get("escalations", ()))', "()"),),
        (_RECOVERY, _PATHS),
    ),
    Fault(
        "an edit puts the deal back to ACTIVE",
        REBUILT,
        "strategy/averaging",
        (
            (
                "state = replace(state, setup=setup)\n    if deal is None",
                "state = replace(state, setup=setup, phase=Phase.ACTIVE if deal else Phase.FLAT)\n"
                "    if deal is None",
            ),
        ),
        (_RECOVERY, _AVERAGING, _PATHS),
    ),
    Fault(
        "a document that comes back ends HALTED",
        REBUILT,
        "strategy/averaging/kind.py",
        (
            (
                "            return replace(state, is_draining=False)\n",
                "            state = replace(state, is_draining=False)\n            return moved(state, Happening.RESUMED) if state.phase is Phase.HALTED else state\n",
            ),
        ),
        (_RECOVERY, _AVERAGING),
    ),
    # 6
    Fault(
        "KuCoin spot is taken to keep a stop beside a take profit",
        EXITS,
        "exchanges/kucoin_spot_market.py",
        (("stop_orders_max=0,", "stop_orders_max=20,"),),
        ("tests/contract/exchanges/test_stop_orders.py",),
    ),
    Fault(
        "an exit may exceed what other exits leave",
        EXITS,
        "strategy/averaging/exits.py",
        (
            (
                "want.index in newest or want.amount_base > room or not",
                "want.index in newest or not",
            ),
        ),
        (_EXITS, _AVERAGING, _PATHS),
    ),
    Fault(
        "what rests on the exit side is not counted",
        EXITS,
        "strategy/averaging/exits.py",
        (
            (
                "room = kept.position_base - sum((order.left_base for order in leaving), ZERO)",
                "room = kept.position_base",
            ),
        ),
        (_EXITS, _AVERAGING, _PATHS),
    ),
    Fault(
        "the way out at market does not wait for what rests",
        EXITS,
        "strategy/averaging/exits.py",
        (
            (
                "if others or is_over or not draft.is_due(leg):",
                "if is_over or not draft.is_due(leg):",
            ),
        ),
        (_EXITS, _AVERAGING, _PATHS),
    ),
    Fault(
        "a take profit needs an open gate",
        EXITS,
        "strategy/averaging",
        (
            (
                "        rest_exits(draft)\n",
                "        if draft.gate is Gate.OPEN:\n            rest_exits(draft)\n",
            ),
        ),
        (_EXITS, _AVERAGING, _PATHS),
    ),
    Fault(
        "a stop needs an open gate",
        EXITS,
        "strategy/averaging/progress.py",
        (
            (
                "or not deal.is_open or state.gate is Gate.SHUT:",
                "or not deal.is_open or state.gate is not Gate.OPEN:",
            ),
        ),
        (_EXITS, _AVERAGING, _PATHS),
    ),
    Fault(
        "exits on futures may enlarge or turn the position",
        EXITS,
        "strategy/averaging",
        (("is_reduce_only=is_futures and not leg.kind.is_adding", "is_reduce_only=False"),),
        (_EXITS, _AVERAGING, _PATHS),
    ),
    # 7
    Fault(
        "a rule need not hold for its time",
        WICK,
        "strategy/averaging/recovery.py",
        (
            (
                "return since_ms is not None and now_ms - since_ms >= for_ms",
                "return since_ms is not None",
            ),
        ),
        (_RECOVERY, _PATHS),
        is_quick=True,
    ),
    Fault(
        "the bare price is judged, not the calm one",
        WICK,
        "strategy/averaging/gauging.py",
        (
            (
                "return max(price, gauge.smooth) if sign > 0 else min(price, gauge.smooth)",
                "return price",
            ),
        ),
        (_RECOVERY, _PATHS),
    ),
    Fault(
        "a wick that is over goes on counting",
        WICK,
        "strategy/averaging/recovery.py",
        (("if not is_true:\n        return None", "if not is_true:\n        return since_ms"),),
        (_RECOVERY, _PATHS),
    ),
    Fault(
        "an unseen time counts as held",
        WICK,
        "strategy/averaging/gauging.py",
        (("if passed_ms > GAP_MS:", "if passed_ms > GAP_MS * 1000:"),),
        (_RECOVERY, _PATHS),
    ),
    Fault(
        "a stop is not confirmed",
        WICK,
        "strategy/averaging/progress.py",
        (("if state.at_ms - since_ms < wait_ms:", "if False:"),),
        (_AVERAGING, _PATHS),
    ),
    # 8
    Fault(
        "an older report takes fills back",
        PARTIAL,
        "strategy/averaging/ledger.py",
        (
            (
                "filled_base=max(order.filled_base, event.filled_base)",
                "filled_base=event.filled_base",
            ),
        ),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "a fee in the coin itself is still there to be sold",
        PARTIAL,
        "strategy/averaging/ledger.py",
        (("sums.left_base - base_fee", "sums.left_base"),),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "a remainder too small to sell keeps the deal open",
        PARTIAL,
        "strategy/averaging/draft.py",
        (
            (
                "return is_dust(kept.position_base, price, setup.market)",
                "return not kept.position_base",
            ),
        ),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "a rung filled in part is placed again whole",
        PARTIAL,
        "strategy/averaging/rungs.py",
        (
            (
                "sizes_quote(deal.shape, deal.base_quote)[k] - filled, ZERO)",
                "sizes_quote(deal.shape, deal.base_quote)[k], ZERO)",
            ),
        ),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "a fill after the deal's end is nobody's business",
        PARTIAL,
        "strategy/averaging/kind.py",
        (
            (
                "return settle(moved(state, Happening.CONTRADICTED), (*notes, late))",
                "return settle(state, notes)",
            ),
        ),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "a deal that ended while a person was called is never closed",
        PARTIAL,
        "strategy/averaging/kind.py",
        (
            (
                "    if deal.is_open and deal.is_over and not deal.closed_at_ms:\n        state",
                "    if False:\n        state",
            ),
        ),
        (_AVERAGING,),
    ),
    Fault(
        "fees of a later, shorter report replace what is known",
        PARTIAL,
        "strategy/averaging/ledger.py",
        (("if abs(fee.amount) > abs(amounts.get(fee.currency, ZERO)):", "if True:"),),
        (_AVERAGING, _PATHS),
    ),
    # The table.
    Fault(
        "an open order may turn out never to have arrived",
        TABLE,
        "model/orders.py",
        (
            (
                "_S.OPEN: frozenset({_S.FILLED, _S.CANCELED}),",
                "_S.OPEN: frozenset({_S.FILLED, _S.CANCELED, _S.ABSENT, _S.REJECTED}),",
            ),
        ),
        (
            _AVERAGING,
            _PATHS,
            "tests/shell/engine/test_bot.py",
            "tests/contract/store/test_store.py",
        ),
    ),
    Fault(
        "a canceled order cannot have been filled",
        TABLE,
        "model/orders.py",
        (("_S.CANCELED: frozenset({_S.FILLED}),", "_S.CANCELED: frozenset(),"),),
        (_ORDERS, _AVERAGING, _PATHS, "tests/shell/engine/test_bot.py"),
    ),
    Fault(
        "an order believed absent cannot appear",
        TABLE,
        "model/orders.py",
        (("_S.ABSENT: frozenset({_S.OPEN, _S.FILLED, _S.CANCELED}),", "_S.ABSENT: frozenset(),"),),
        (_ORDERS, _AVERAGING, _PATHS, "tests/shell/engine/test_bot.py"),
    ),
    Fault(
        "a report older than what is known is an error",
        TABLE,
        "model/orders.py",
        (("if current.is_final and seen in {", "if current is _S.REJECTED and seen in {"),),
        (_ORDERS, _AVERAGING, _PATHS),
    ),
    Fault(
        "a filled order opens again",
        TABLE,
        "model/orders.py",
        (("_S.FILLED: frozenset(),", "_S.FILLED: frozenset({_S.OPEN}),"),),
        (_ORDERS, _AVERAGING, _PATHS, "tests/contract/store/test_store.py"),
    ),
)
