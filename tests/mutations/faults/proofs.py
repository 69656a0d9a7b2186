"""Faults in the proofs that a worst case fits."""

from __future__ import annotations

from tests.mutations.fault import Fault

_TESTS = ("tests/unit/strategy/test_proofs.py", "tests/unit/strategy/test_arithmetic.py")
_GOLDEN = ("tests/golden/ladder", "tests/golden/validate")
_CAPITAL = "tests/shell/reconcile/test_capital.py"
_WHERE = "strategy/proofs.py"

FAULTS = (
    Fault(
        "a worst case may be twice the limit",
        "V-MARGIN",
        _WHERE,
        (("return self.margin <= self.limit", "return self.margin <= 2 * self.limit"),),
        _TESTS,
    ),
    Fault(
        "one deal is proven, not all of them",
        "V-MARGIN",
        _WHERE,
        (("return terms.max_active_deals * total * rates_of", "return total * rates_of"),),
        _TESTS,
    ),
    Fault(
        "Recovery Mode's extra orders cost nothing",
        "V-MARGIN",
        _WHERE,
        (
            (
                "total = notional(terms.shape, base_quote_of(terms, rules), terms.extra_orders)",
                "total = notional(terms.shape, base_quote_of(terms, rules))",
            ),
        ),
        (*_TESTS, "tests/unit/strategy/test_recovery.py"),
    ),
    Fault(
        "fees are not part of the margin",
        "V-MARGIN",
        "strategy/arithmetic.py",
        (("ONE / self.leverage + 2 * self.taker_fee + self", "ONE / self.leverage + self"),),
        _TESTS,
    ),
    Fault(
        "nothing is set aside for funding, whatever the rules say",
        "V-MARGIN",
        _WHERE,
        (("        funding_reserve=rules.funding_reserve,\n", ""),),
        _TESTS,
    ),
    Fault(
        "a base order at market may need all of the limit",
        "V-MARGIN",
        _WHERE,
        (
            (
                'if worst.fits and terms.entry_type == "market" and not',
                "if worst.loss_at_stop < 0 and not",
            ),
        ),
        _TESTS,
    ),
    Fault(
        "an order may be larger than the cap",
        "V-MARGIN",
        _WHERE,
        (("biggest > terms.max_order_notional:", "biggest > 10 * terms.max_order_notional:"),),
        _TESTS,
    ),
    Fault(
        "strategies on one connection are not summed",
        "V-ACCOUNT",
        _WHERE,
        (("total = sum(shares.values(), ZERO)", "total = max(shares.values(), default=ZERO)"),),
        (*_TESTS, "tests/unit/config/test_compile.py", *_GOLDEN),
    ),
    Fault(
        "validate forgets the connection's capital",
        "V-ACCOUNT",
        "config/proving.py",
        (("prove_account(", "(lambda *_, **__: ())("),),
        ("tests/unit/config/test_compile.py", *_GOLDEN),
    ),
    Fault(
        "what runs by an older document takes nothing of the capital",
        "V-ACCOUNT",
        "reconcile/capital.py",
        (("- had + need <= capital.amount:", "- had + need <= 2 * capital.amount:"),),
        (_CAPITAL,),
    ),
    Fault(
        "the open deals of a strategy that leaves take nothing of the capital",
        "V-ACCOUNT",
        "reconcile/capital.py",
        (("self._rooms.booked(strategy, [seat.planned.bot for seat in seats])", "ZERO"),),
        (_CAPITAL,),
    ),
    Fault(
        "who waits for capital elsewhere does not leave where he was",
        "V-ACCOUNT",
        "reconcile/strategies.py",
        (("actions = tuple(self._endings(actions))", "actions = ()"),),
        (_CAPITAL,),
    ),
    Fault(
        "a restart takes what has no seat yet for free",
        "V-ACCOUNT",
        "reconcile/capital.py",
        (
            (
                "return max(map(self._builder.limit_of, stored.values()), default=ZERO)",
                "return ZERO",
            ),
        ),
        (_CAPITAL,),
    ),
    Fault(
        "a rung may be below the minimum value",
        "V-MIN",
        _WHERE,
        (("rung.size_quote < rules.cost_min or rung", "rung"),),
        _TESTS,
    ),
    Fault(
        "a rung may be below the minimum amount",
        "V-MIN",
        _WHERE,
        (("is_small or rung.amount_base < rules.amount_min", "is_small"),),
        _TESTS,
    ),
    Fault(
        "rungs may fall onto one price",
        "V-RANGE",
        _WHERE,
        (
            (
                "terms.sign * (one.price - two.price) <= 0 or two.price <= 0:",
                "terms.sign * (one.price - two.price) < 0 or two.price <= 0:",
            ),
        ),
        _TESTS,
    ),
    Fault(
        "a ladder may reach below zero",
        "V-RANGE",
        _WHERE,
        (("if last <= 0:  # nothing", "if last <= -HUNDRED:  # nothing"),),
        _TESTS,
    ),
    Fault(
        "liquidation needs no buffer",
        "V-LIQ",
        _WHERE,
        (("if gap < buffer_pct:", "if gap < 0:"),),
        _TESTS,
    ),
    Fault(
        "the stop after the last rung is not compared with liquidation",
        "V-LIQ",
        _WHERE,
        (
            (
                "goal = _stop_at(terms, average=rung.average, start=rungs[0].price)\n"
                '            name = "the stop"',
                "return",
            ),
        ),
        _TESTS,
    ),
    Fault(
        "the planned ladder alone has to fit the first risk tier",
        "V-LIQ",
        _WHERE,
        (
            (
                "whole = notional(terms.shape, base_quote_of(terms, rules), terms.extra_orders)",
                "whole = notional(terms.shape, base_quote_of(terms, rules))",
            ),
        ),
        _TESTS,
    ),
    Fault(
        "the first risk tier has no end",
        "V-LIQ",
        _WHERE,
        (("tier_max is not None and whole > tier_max", "tier_max is not None and whole < 0"),),
        _TESTS,
    ),
    Fault(
        "maintenance margin is forgotten",
        "V-LIQ",
        "strategy/arithmetic.py",
        (("/ (ONE - sign * rates.maintenance_margin)", "/ ONE"),),
        _TESTS,
    ),
    Fault(
        "the stop may lie before the last rung",
        "V-STOP",
        _WHERE,
        (("if stop <= 0 or terms.sign * (following.price - stop) <= 0:", "if stop <= 0:"),),
        _TESTS,
    ),
    Fault(
        "the loss at the stop is not compared with the daily cap",
        "V-STOP",
        _WHERE,
        (("if worst.loss_at_stop > allowed:", "if worst.loss_at_stop > 100 * allowed:"),),
        _TESTS,
    ),
    Fault(
        "a take profit need not pay the fees",
        "V-TP",
        _WHERE,
        (("if kept_pct < fees_pct:", "if kept_pct < 0:"),),
        _TESTS,
    ),
    Fault(
        "what trailing gives back is not counted",
        "V-TP",
        _WHERE,
        (
            (
                "yield terms.sign * HUNDRED * (touched * (ONE - terms.sign * turn) - ONE)",
                "yield terms.sign * HUNDRED * (touched - ONE)",
            ),
        ),
        _TESTS,
    ),
    Fault(
        "Recovery Mode's take profit need not pay the fees",
        "V-TP",
        _WHERE,
        (
            (
                "recovery_pct is not None and recovery_pct < fees_pct",
                "recovery_pct is not None and recovery_pct < 0",
            ),
        ),
        _TESTS,
    ),
    Fault(
        "a rung need not improve the average",
        "V-IMPROVE",
        _WHERE,
        (("if improvement < terms.min_improvement_pct:", "if improvement < 0:"),),
        _TESTS,
    ),
    Fault(
        "trigger and escalation may be in any order",
        "V-RECOVERY",
        _WHERE,
        (('        ("trigger", recovery.drawdown_pct),\n', ""),),
        _TESTS,
    ),
    Fault(
        "the stop may come before escalation",
        "V-RECOVERY",
        _WHERE,
        (
            (
                "        if value >= next_value:",
                "        if value >= next_value and 'stop' not in next_name:",
            ),
        ),
        _TESTS,
    ),
    Fault(
        "the exchange's limit of open orders is ignored",
        "V-ORDERS",
        _WHERE,
        (
            (
                "if limit is not None and needed > limit:",
                'if whose != "the exchange\'s" and limit is not None and needed > limit:',
            ),
        ),
        _TESTS,
    ),
    Fault(
        "exits are no open orders",
        "V-ORDERS",
        _WHERE,
        (("each = terms.max_placed + orders_beside_rungs(terms)", "each = terms.max_placed"),),
        _TESTS,
    ),
    Fault(
        "a stop that is replaced has no place under the cap",
        "V-ORDERS",
        _WHERE,
        (("orders_beside_rungs(terms) + rests_stop(terms, rules)", "orders_beside_rungs(terms)"),),
        ("tests/unit/strategy/test_limits.py",),
    ),
    Fault(
        "more deals than are allowed each have their old part of the cap",
        "V-ORDERS",
        _WHERE,
        (("terms.max_open_orders // deals", "terms.max_open_orders // terms.max_active_deals"),),
        ("tests/unit/strategy/test_limits.py",),
    ),
    Fault(
        "the daemon does not repeat the proofs with the exchange's own rules",
        "the worst case is proven before a bot starts",
        "strategy/averaging/kind.py",
        (("refusals = errors(prove(proven, rules))", "refusals = errors(())"),),
        (
            "tests/unit/strategy/test_averaging.py",
            "tests/unit/strategy/test_beginning.py",
            "tests/shell/reconcile/test_controller.py",
        ),
    ),
    Fault(
        "a deal begins at a price at which the ladder breaks a proof",
        "the worst case is proven before a bot starts",
        "strategy/averaging",
        (("found = prove_at(setup.sized, setup.rules, state.price)", "found = ()"),),
        ("tests/unit/strategy/test_averaging.py", "tests/unit/strategy/test_beginning.py"),
    ),
)
