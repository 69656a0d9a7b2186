"""Recovery Mode: when it begins, what it does, how it ends."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfuturectl.model.market import ONE, MarketKind
from backfuturectl.model.orders import Leg, LegKind, OrderStatus, OrderType
from backfuturectl.model.resources import StrategySpec
from backfuturectl.model.units import Money
from backfuturectl.strategy.arithmetic import (
    average_after,
    improvement_pct,
    prices,
    sizes_quote,
)
from backfuturectl.strategy.averaging.gauging import (
    GAP_MS,
    calm_price,
    figures_of,
    smoothed,
)
from backfuturectl.strategy.averaging.ledger import books
from backfuturectl.strategy.averaging.reduction import budget_of, reduced_loss
from backfuturectl.strategy.averaging.rungs import allows_add_on
from backfuturectl.strategy.averaging.state import Deal, Gauge, LegOrder, Setup
from backfuturectl.strategy.base import Cancel, Command, Gate, SetupChanged
from backfuturectl.strategy.presets import PRESETS, resolve
from tests.unit.strategy.venue import IDENTITY, KIND, Venue, market, setup

D = Decimal
MINUTE = 60_000
HOUR = 60 * MINUTE

RECOVERY: dict[str, object] = {
    "enabled": True,
    "trigger": {"drawdownPct": D(3), "confirmFor": "15m", "emaSpan": "1m"},
    "actions": {
        "takeProfitPct": D("0.4"),
        "strict": {
            "minAverageImprovementPct": D("0.5"),
            "minSpacingPct": D("1.5"),
            "minInterval": "1h",
        },
    },
    "exit": {"drawdownPct": D("1.5"), "marginUsedPct": D(99), "confirmFor": "60m"},
    "escalate": {"drawdownPct": D(5), "maxDuration": "14d", "cooldown": "36h"},
}


def document(**changes: object) -> dict[str, object]:
    """The file's recovery section, with *changes* to its parts."""
    merged = {**RECOVERY}
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = {**old, **value} if isinstance(old, dict) else value
    return merged


def deep(**changes: object) -> Setup:
    """A setup whose Recovery Mode begins 3 % below the average; rungs lie at 98.29 and 92.27."""
    return setup(
        **{"recovery": document(), "averaging": {"maxOrders": 2, "stepScale": D(3)}, **changes}
    )


def hold(venue: Venue, price: object, minutes: int, *, step: int = 1) -> None:
    venue.run(*([price] * (minutes // step)), after_ms=step * MINUTE)


def hold_until_changed(venue: Venue, price: object) -> int:
    """Hold *price* until the phase is another one; return how long that took."""
    phase, began_ms = venue.phase(), venue.now_ms
    for _ in range(120):
        hold(venue, price, 1)
        if venue.phase() != phase:
            break
    return venue.now_ms - began_ms


def opened(with_setup: Setup | None = None) -> Venue:
    venue = Venue.start(with_setup or deep())
    venue.run(100)
    assert venue.phase() == "ACTIVE"
    return venue


def recovering(with_setup: Setup | None = None, price: object = "95.5") -> Venue:
    venue = opened(with_setup)
    hold(venue, price, 22)
    assert venue.phase() == "RECOVERY"
    return venue


# When it begins.


def test_a_trigger_that_holds_leads_through_watch_to_recovery() -> None:
    venue = opened()
    venue.run("95.5", after_ms=1_000)
    assert venue.phase() == "ACTIVE"  # the smoothed price has not followed yet
    hold_until_changed(venue, "95.5")
    assert venue.phase() == "WATCH"
    assert hold_until_changed(venue, "95.5") == 15 * MINUTE
    assert venue.phase() == "RECOVERY"
    assert [reason for reason in venue.notes() if reason.startswith("Recovery")] == [
        "RecoveryWatch",
        "RecoveryBegan",
    ]
    assert "drawdown 3" in venue.message("RecoveryBegan")
    assert "margin used" in venue.message("RecoveryBegan")


def test_a_wick_in_the_smoothed_price_is_no_trigger() -> None:
    slow = document(trigger={"emaSpan": "60m"})
    venue = opened(deep(recovery=slow, averaging={"maxOrders": 0}))
    for _ in range(5):
        for price, seconds in (("91", 20), ("91", 20), ("91", 20), ("99", 100)):
            venue.run(price, after_ms=seconds * 1_000)
            assert venue.phase() == "ACTIVE"


def test_a_price_counts_from_when_it_is_seen_not_from_the_one_before() -> None:
    venue = opened()
    venue.tick(100)
    venue.tick("92.3", after_ms=4 * MINUTE)
    before = measures(venue)["trigger", "drawdown"]
    venue.tick("92.3", after_ms=4 * MINUTE)
    after = measures(venue)["trigger", "drawdown"]
    assert (before, after) == (("0.4 of 3.0", False), ("7.9 of 3.0", True))


def test_a_trigger_shorter_than_confirm_for_never_reaches_recovery() -> None:
    venue = opened()
    for _ in range(4):
        hold(venue, "95.5", 12)
        assert venue.phase() == "WATCH"
        hold(venue, "98.5", 13)
        assert venue.phase() == "WATCH"  # false must hold as long
    hold(venue, "98.5", 6)
    assert venue.phase() == "ACTIVE"
    assert "RecoveryBegan" not in venue.notes()
    assert "RecoveryWatchEnded" in venue.notes()


def test_watch_places_no_new_rung_and_keeps_those_that_rest() -> None:
    three = deep(
        averaging={"maxOrders": 3, "maxPlaced": 1}, recovery=document(trigger={"marginUsedPct": 40})
    )
    venue = opened(three)
    assert [rung.order.price for rung in venue.live(LegKind.RUNG)] == [D("98.29")]
    venue.tick("98.29")
    venue.match()  # half of the ladder's margin is used
    venue.report(venue.last(LegKind.RUNG).order.client_order_id)
    venue.settle()
    venue.run("98.29")
    assert venue.phase() == "WATCH"
    resting = [rung.order.price for rung in venue.live(LegKind.RUNG)]
    assert resting == [D("96.28")]  # placed with the fill, before a price was judged
    venue.run("96.28")
    assert not venue.live(LegKind.RUNG)
    assert venue.live(LegKind.TAKE_PROFIT)


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ({"marginUsedPct": D(60)}, "margin used"),
        ({"averagingUsedPct": D(50)}, "rungs used 50%"),
        ({"underwaterFor": "20m"}, "at a loss for 20m"),
        ({"manual": True}, "the file asks for it"),
    ],
)
def test_any_one_trigger_is_enough(trigger: dict[str, object], said: str) -> None:
    venue = opened(deep(recovery=document(trigger=trigger)))
    hold(venue, "98.2", 45)
    assert venue.phase() == "RECOVERY"
    assert said in venue.message("RecoveryBegan")


def test_a_manual_edit_asks_for_recovery_and_waits_to_be_confirmed() -> None:
    venue = opened()
    edited = deep(recovery=document(trigger={"manual": True}))
    venue.tell(SetupChanged(edited, venue.now_ms))
    venue.run(100)
    assert venue.phase() == "WATCH"
    hold(venue, 100, 16)
    assert venue.phase() == "RECOVERY"


def test_prices_that_were_not_seen_do_not_count_as_held() -> None:
    venue = opened()
    hold(venue, "95.5", 8)
    assert venue.phase() == "WATCH"
    venue.run("95.5", after_ms=3 * HOUR)  # a restart, or an outage of the prices
    assert venue.phase() == "WATCH"
    hold(venue, "95.5", 14)
    assert venue.phase() == "WATCH"
    hold(venue, "95.5", 2)
    assert venue.phase() == "RECOVERY"


def test_a_restart_goes_on_from_the_last_recorded_step() -> None:
    venue = recovering()
    loaded = KIND.load(KIND.dump(venue.state), venue.state.setup)
    assert loaded == venue.state
    venue.state = loaded
    venue.run("95.5", after_ms=3 * HOUR)
    assert venue.phase() == "RECOVERY"


def test_a_state_written_before_recovery_existed_can_be_read() -> None:
    venue = opened()
    tree = json.loads(KIND.dump(venue.state))
    for name in ("gauge", "escalations", "reductions", "lossDay", "dayLoss", "lastWindow"):
        del tree[name]
    for name in ("recoverySinceMs", "peak", "low", "reduction", "reduced", "reducedMs"):
        del tree["deal"][name]
    loaded = KIND.load(json.dumps(tree), venue.state.setup)
    assert loaded.deal == venue.state.deal
    assert loaded.gauge is None


def test_a_rung_filled_in_part_is_not_used_until_it_is_filled_whole() -> None:
    rules = document(trigger={"averagingUsedPct": D(50)})
    venue = opened(deep(averaging={"maxOrders": 1}, recovery=rules))
    (rung,) = venue.live(LegKind.RUNG)
    venue.fill(rung.order.client_order_id, D("0.01"))
    venue.cancel(rung.order.client_order_id)  # the exchange ended it by itself
    venue.report(rung.order.client_order_id)
    venue.settle()
    hold(venue, "99.5", 22)
    assert venue.phase() == "ACTIVE"
    hold(venue, "98.2", 22)
    assert venue.phase() == "RECOVERY"
    assert "rungs used 100%" in venue.message("RecoveryBegan")


def short(**changes: object) -> Setup:
    """As `deep`, for a short at leverage 2: Recovery Mode begins 3 % above the average."""
    wide = {"maxOrders": 2, "stepScale": D(3)}
    given = {"recovery": document(), "averaging": wide, "direction": "short", **changes}
    return setup(MarketKind.FUTURES, **given)


@pytest.mark.parametrize(("direction", "calm"), [("long", 97), ("short", 103)])
def test_the_drawdown_has_the_entrys_fee_in_it_and_no_leverage(direction: str, calm: int) -> None:
    made = short(direction=direction)
    sign = made.terms.sign
    deal = opened(made).state.deal
    assert deal is not None
    paid = 100 + sign * D("0.06")
    seen = figures_of(deal, made, average=D(100), calm=D(calm))
    assert seen.drawdown_pct == pytest.approx(100 * sign * (paid - calm) / paid)
    assert seen.drawdown_pct > 3


def test_margin_used_is_what_is_held_now_not_what_ever_was() -> None:
    deal, made = balanced_deal(5)
    average = D(90)
    whole = figures_of(deal, made, average=average, calm=average)
    sold = replace(
        deal.base,
        client_order_id="exit",
        leg=Leg(LegKind.TAKE_PROFIT),
        filled_base=books(deal, made).position_base / 4,
    )
    less = figures_of(
        replace(deal, orders=(*deal.orders, sold)), made, average=average, calm=average
    )
    assert less.margin_used_pct == pytest.approx(whole.margin_used_pct * 3 / 4)


def test_a_short_recovers_above_its_average_and_adds_above_its_last_fill() -> None:
    venue = opened(short())
    hold(venue, "104.2", 22)
    assert (venue.phase(), venue.live(LegKind.RUNG)) == ("RECOVERY", [])  # minInterval
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    average = KIND.view(venue.state).average
    assert average is not None
    assert target.order.price == (average * D("0.996")).quantize(D("0.01"), rounding="ROUND_FLOOR")
    hold(venue, "104.2", 62)
    (rung,) = venue.live(LegKind.RUNG)
    assert (rung.order.side, rung.order.price) == ("sell", D("107.68"))


def test_a_deal_that_was_in_profit_since_is_not_at_a_loss_any_more() -> None:
    rules = document(trigger={"underwaterFor": "60m", "confirmFor": "5m"})
    venue = opened(deep(recovery=rules))
    hold(venue, "99.5", 50)
    hold(venue, "100.8", 10)
    hold(venue, "99.5", 50)
    assert venue.phase() == "ACTIVE"
    hold(venue, "99.5", 20)
    assert venue.phase() == "RECOVERY"


def test_what_a_person_did_not_let_the_bot_judge_confirms_nothing() -> None:
    venue = opened()
    hold(venue, "95.5", 8)
    assert venue.phase() == "WATCH"
    venue.command(Command.TAKE_OVER)
    hold(venue, "99.9", 60)
    hold(venue, "95.5", 8)
    venue.command(Command.RESUME)
    hold_until_changed(venue, "95.5")
    assert hold_until_changed(venue, "95.5") == 15 * MINUTE
    assert venue.phase() == "RECOVERY"


def test_recovery_switched_off_never_begins() -> None:
    venue = opened(deep(recovery=document(enabled=False)))
    hold(venue, "92", 60)
    assert venue.phase() == "ACTIVE"


# What it does.


@pytest.mark.parametrize("percent", ["0.4", "0.7"])
def test_recovery_sells_at_its_own_target_and_then_rests_long(percent: str) -> None:
    actions = {"takeProfitPct": D(percent)}
    venue = recovering(deep(recovery=document(actions=actions)))
    average = KIND.view(venue.state).average
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    exact = average * (ONE + D(percent) / 100)
    assert target.order.price == exact.quantize(D("0.01"), rounding="ROUND_CEILING")
    next_exit = KIND.view(venue.state).next_exit
    assert next_exit.quantize(D("1e-9")) == exact.quantize(D("1e-9"))
    venue.run(target.order.price)
    assert venue.phase() == "COOLDOWN"
    sent = len(venue.sent)
    venue.run(100, after_ms=36 * HOUR - 60_000)
    assert len(venue.sent) == sent
    venue.run(100, after_ms=60_000)
    assert len(venue.sent) > sent


STEPS = ({"sharePct": D(50), "profitPct": D(1)}, {"sharePct": D(50), "profitPct": D(2)})


@pytest.mark.parametrize(
    "take_profit",
    [{"steps": STEPS}, {"trailing": {"deviationPct": D("0.3")}}],
    ids=["steps", "trailing"],
)
def test_in_recovery_all_rests_at_one_price_neither_in_steps_nor_trailing(
    take_profit: dict[str, object],
) -> None:
    venue = recovering(deep(takeProfit=take_profit))
    average = KIND.view(venue.state).average
    assert average is not None
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    assert target.left == venue.held()
    assert abs(target.order.price - average * D("1.004")) < D("0.01")
    venue.tick(average * D("1.03"))  # the exchange has not filled it yet
    venue.tick(average * D("1.02"))
    assert venue.phase() == "RECOVERY"
    assert "TakeProfitArmed" not in venue.notes()


def test_resting_rungs_are_taken_back_unless_strict_allows_one() -> None:
    close = {"maxOrders": 3, "maxPlaced": 3, "stepScale": D(1)}
    off = {"addOns": "off"}
    venue = opened(deep(averaging=close))
    manual = deep(averaging=close, recovery=document(trigger={"manual": True}, actions=off))
    venue.tell(SetupChanged(manual, venue.now_ms))
    hold(venue, "99.5", 2)
    assert (venue.phase(), len(venue.live(LegKind.RUNG))) == ("WATCH", 3)
    hold(venue, "99.5", 20)
    assert (venue.phase(), len(venue.live(LegKind.RUNG))) == ("RECOVERY", 0)
    strict = deep(averaging=close, recovery=document(trigger={"manual": True}))
    venue.tell(SetupChanged(strict, venue.now_ms))
    venue.settle()
    assert [rung.order.price for rung in venue.live(LegKind.RUNG)] == [D("98.29")]
    hold(venue, "98.2", 30)
    assert not venue.live(LegKind.RUNG)  # the last add-on is less than an hour ago
    hold(venue, "98.2", 40)
    assert [rung.order.price for rung in venue.live(LegKind.RUNG)] == [D("96.28")]


def test_an_add_on_improves_the_average_by_what_the_file_asks_for() -> None:
    """After 100 at 100.30 and 100 at 98.29 a rung at 96.28 improves the average by 1 %."""
    for needed, placed in (("0.9", [D("96.28")]), ("1.1", [D("94.28")])):
        strict = {"minAverageImprovementPct": D(needed), "minSpacingPct": D(1), "minInterval": "0s"}
        rules = document(trigger={"manual": True}, actions={"strict": strict})
        venue = opened(deep(averaging={"maxOrders": 3, "stepScale": D(1)}, recovery=rules))
        hold(venue, "98.2", 30)
        assert venue.phase() == "RECOVERY"
        assert [rung.order.price for rung in venue.live(LegKind.RUNG)] == placed


def test_recovery_takes_rungs_back_although_only_exits_are_allowed() -> None:
    off = document(trigger={"manual": True}, actions={"addOns": "off"})
    venue = opened(deep(averaging={"maxOrders": 3, "stepScale": D(1)}, recovery=off))
    sent = len(venue.sent)
    assert venue.live(LegKind.RUNG)
    venue.gate(Gate.EXITS_ONLY)
    hold(venue, "99.5", 22)
    assert (venue.phase(), venue.live(LegKind.RUNG)) == ("RECOVERY", [])
    assert [place.leg.kind for place in venue.sent[sent:]] == [LegKind.TAKE_PROFIT]


def one_add_on(**changes: object) -> tuple[Venue, str]:
    """A deal that recovers from 99.5 on, and the id of the one rung that rests, at 98.29."""
    rules = document(trigger={"manual": True})
    averaging = {"maxOrders": 3, "stepScale": D(1)}
    venue = opened(deep(**{"averaging": averaging, "recovery": rules, **changes}))
    hold(venue, "99.5", 22)
    (rung,) = venue.live(LegKind.RUNG)
    assert rung.order.price == D("98.29")
    return venue, rung.order.client_order_id


def test_an_add_on_filled_in_part_goes_on_resting_for_the_rest() -> None:
    venue, rung = one_add_on()
    venue.fill(rung, D("0.2"))
    venue.report(rung)
    hold(venue, "99.4", 30)
    assert [each.order.client_order_id for each in venue.live(LegKind.RUNG)] == [rung]
    venue.run("98.2")
    assert not venue.live(LegKind.RUNG)  # and then minInterval counts
    assert len([place for place in venue.sent if place.leg == Leg(LegKind.RUNG, 1)]) == 1


def test_the_rest_of_an_add_on_that_the_exchange_ended_is_placed_again_after_min_interval() -> None:
    venue, rung = one_add_on()
    venue.fill(rung, D("0.2"))
    venue.cancel(rung)
    venue.report(rung)
    hold(venue, "99.4", 58)
    assert not venue.live(LegKind.RUNG)
    hold(venue, "99.4", 4)
    (again,) = venue.live(LegKind.RUNG)
    first = venue.orders[rung].order
    assert again.order.price == first.price
    assert again.left == first.amount_base - D("0.2")


def test_an_add_on_is_measured_from_the_worst_fill_although_a_nearer_rung_is_open() -> None:
    rules = document(trigger={"manual": True})
    venue = opened(deep(averaging={"maxOrders": 2, "stepScale": D(1)}, recovery=rules))
    near, far = venue.live(LegKind.RUNG)
    assert (near.order.price, far.order.price) == (D("98.29"), D("96.28"))
    venue.fill(far.order.client_order_id)
    venue.report(far.order.client_order_id)
    hold(venue, "98.4", 90)
    assert (venue.phase(), venue.live(LegKind.RUNG)) == ("RECOVERY", [])


def test_an_add_on_too_near_to_the_last_fill_gives_way_to_the_next() -> None:
    close = {"maxOrders": 3, "stepScale": D(1)}
    wide = {"strict": {"minSpacingPct": D(3), "minAverageImprovementPct": D("0.5")}}
    rules = document(trigger={"manual": True}, actions=wide)
    venue = opened(deep(averaging=close, recovery=rules))
    hold(venue, "99.5", 22)
    assert [rung.order.price for rung in venue.live(LegKind.RUNG)] == [D("96.28")]


def test_extra_orders_follow_once_the_ladder_is_used_and_stay_before_the_stop() -> None:
    recovery = document(
        trigger={"averagingUsedPct": D(99)},
        actions={"strict": {"minSpacingPct": D(3), "minInterval": "10m", "maxExtraOrders": 3}},
        exit={"marginUsedPct": D(10)},
    )
    venue = opened(deep(recovery=recovery, averaging={"maxOrders": 1}))
    hold(venue, "98", 30)
    assert venue.phase() == "RECOVERY"
    (extra,) = venue.live(LegKind.RUNG)
    assert extra.order.price == D("95.34")  # 3 % below the last fill at 98.29
    assert D("99.9") < extra.order.amount_base * extra.order.price <= 100
    hold(venue, "95.3", 12)
    (extra,) = venue.live(LegKind.RUNG)
    assert extra.order.price == D("92.47")
    hold(venue, "92.4", 12)
    assert not venue.live(LegKind.RUNG)  # 3 % more would lie below the stop at 90.27
    assert measures(venue)["trigger", "rungs used"] == ("100.0 of 99.0", True)
    assert KIND.view(venue.state).margin_quote <= 1_000


def test_margin_for_extra_orders_is_part_of_the_worst_case() -> None:
    recovery = document(actions={"strict": {"maxExtraOrders": 2}})
    auto = deep(recovery=recovery, baseOrder="auto")
    plain = deep(baseOrder="auto")
    assert (plain.base_quote * 3 / auto.base_quote).quantize(D("1e-8")) == 5


def rm(*fills: tuple[int, int]) -> tuple[Decimal, Decimal]:
    """Cost and amount of orders of (quote, price)."""
    return D(sum(quote for quote, _ in fills)), sum((D(q) / D(p) for q, p in fills), D(0))


@pytest.mark.parametrize(
    ("fills", "price", "allowed"),
    [
        pytest.param([(100, 3000), (100, 2850)], 2700, True, id="RM-1 further down"),
        pytest.param([(100, 3000), (100, 2850), (100, 2700)], 2900, False, id="RM-1 rebound"),
        pytest.param([(100, 3000), (100, 2850)], 2900, False, id="RM-2"),
    ],
)
def test_the_worked_add_ons(fills: list[tuple[int, int]], price: int, allowed: bool) -> None:
    cost, amount = rm(*fills)
    terms = replace(deep().terms.recovery, min_improvement_pct=D("0.5"), min_spacing_pct=D(0))
    last = D(min(price for _, price in fills))
    answers = {
        allows_add_on(
            each,
            1,
            total_quote=cost,
            amount_base=amount,
            last_fill=last,
            price=D(price),
            size_quote=D(100),
        )
        for each in (terms, replace(terms, min_spacing_pct=D(3)))
    }
    assert answers == {allowed}


@pytest.mark.parametrize(
    ("sign", "price", "allowed"),
    [(1, "97", True), (1, "97.01", False), (-1, "103", True), (-1, "102.99", False)],
)
def test_an_add_on_lies_min_spacing_beyond_the_last_fill(
    sign: int, price: str, allowed: bool
) -> None:
    terms = replace(deep().terms.recovery, min_improvement_pct=D(0), min_spacing_pct=D(3))
    found = allows_add_on(
        terms,
        sign,
        total_quote=D(100),
        amount_base=D(1),
        last_fill=D(100),
        price=D(price),
        size_quote=D(100),
    )
    assert found is allowed


def test_improvement_alone_blocks_rm_2() -> None:
    cost, amount = rm((100, 3000), (100, 2850))
    assert (cost / amount).quantize(D("0.000001")) == D("2923.076923")
    terms = replace(deep().terms.recovery, min_improvement_pct=D("0.5"), min_spacing_pct=D(0))
    # Measured from a fill above, spacing has nothing against it; the average has.
    common = {"total_quote": cost, "amount_base": amount, "price": D(2900), "size_quote": D(100)}
    assert not allows_add_on(terms, 1, last_fill=D(3000), **common)
    lax = replace(terms, min_improvement_pct=D("0.264"))
    assert allows_add_on(lax, 1, last_fill=D(3000), **common)


def balanced_deal(filled: int) -> tuple[Deal, Setup]:
    """A deal with the balanced ladder of 100, *filled* of its six rungs filled from 100."""
    spec = StrategySpec.model_validate(
        {
            "connection": "x",
            "pairs": ("BTC/USDT",),
            "marginLimit": "5000 USDT",
            "maxActiveDeals": 1,
            "baseOrder": "100 USDT",
        }
    )
    rules = market(MarketKind.FUTURES, taker_fee=D(0))
    made = KIND.setup(spec, rules, IDENTITY, Money(D(9_000), "USDT"))
    venue = Venue.start(made)
    venue.tick(100)
    base = venue.state.deal.base
    orders: list[LegOrder] = []
    shape = made.terms.shape
    for k, (price, size) in enumerate(
        zip(prices(shape, D(100)), sizes_quote(shape, D(100)), strict=True)
    ):
        if k <= filled:
            orders.append(
                replace(
                    base,
                    client_order_id=f"{k}",
                    leg=Leg(LegKind.RUNG if k else LegKind.BASE, k),
                    status=OrderStatus.FILLED,
                    filled_base=size / price,
                    cost_quote=size,
                )
            )
    return replace(venue.state.deal, orders=tuple(orders), is_open=True), made


def test_rm_3_triggers_by_margin_and_rungs_although_the_drawdown_is_below() -> None:
    deal, made = balanced_deal(5)
    cost = sum((order.cost_quote for order in deal.orders), D(0))
    amount = sum((order.filled_base for order in deal.orders), D(0))
    price = deal.orders[-1].cost_quote / deal.orders[-1].filled_base
    seen = figures_of(deal, made, average=cost / amount, calm=price)
    assert price.quantize(D("0.0001")) == D("85.0684")
    assert seen.drawdown_pct.quantize(D("0.001")) == D("7.452")
    assert seen.margin_used_pct.quantize(D("0.01")) == D("75.11")
    assert seen.averaging_used_pct.quantize(D("0.1")) == D("83.3")
    terms = made.terms.recovery
    assert seen.drawdown_pct < terms.drawdown_pct
    assert seen.margin_used_pct > terms.margin_used_pct
    assert seen.averaging_used_pct > terms.averaging_used_pct
    shape = made.terms.shape
    six, size = prices(shape, D(100))[6], sizes_quote(shape, D(100))[6]
    after = average_after(cost, amount, price=six, size_quote=size)
    assert improvement_pct(cost / amount, after, 1).quantize(D("0.000001")) == D("4.135451")
    assert allows_add_on(
        terms,
        1,
        total_quote=cost,
        amount_base=amount,
        last_fill=price,
        price=six,
        size_quote=size,
    )


# Reducing.


def reducing(budget: str = "1.0") -> Venue:
    reduce = {
        "enabled": True,
        "closePct": D(10),
        "reboundPct": D(1),
        "minInterval": "1h",
        "lossBudgetPct": D(budget),
    }
    return recovering(deep(recovery=document(actions={"reduce": reduce})))


def test_a_rebound_sells_a_part_at_a_limit_after_the_take_profit_made_room() -> None:
    venue = reducing()
    held = venue.held()
    venue.tick("96.5")
    assert [a for a in venue.actions[-1:] if isinstance(a, Cancel)]  # the take profit gives way
    venue.settle()
    order = venue.last(LegKind.REDUCE).order
    assert (order.type, order.price) == (OrderType.LIMIT, D("96.50"))
    assert order.amount_base == (held / 10).quantize(D("0.0001"), rounding="ROUND_DOWN")
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    assert target.left + order.amount_base == held
    venue.match()
    venue.settle()
    assert venue.held() == held - order.amount_base
    assert 0 < reduced_loss(venue.state.deal) <= budget_of(venue.state.deal, venue.state.setup)
    hold(venue, "97.9", 30)
    assert len([p for p in venue.sent if p.leg.kind is LegKind.REDUCE]) == 1  # too soon


def test_the_way_back_from_a_wick_is_no_rebound() -> None:
    reduce = {"enabled": True, "closePct": D(10), "reboundPct": D(1), "minInterval": "1h"}
    slow = document(actions={"reduce": reduce}, trigger={"emaSpan": "60m"})
    venue = opened(deep(recovery=slow))
    hold(venue, "95.5", 240)
    assert venue.phase() == "RECOVERY"
    venue.run("93", "95.5", after_ms=20_000)
    hold(venue, "95.5", 30)
    assert not [place for place in venue.sent if place.leg.kind is LegKind.REDUCE]
    venue.run("96.6")  # 1 % above what the price was at for hours
    assert [place.order.price for place in venue.sent if place.leg.kind is LegKind.REDUCE]


def test_a_short_is_reduced_when_the_price_falls_back() -> None:
    reduce = {"enabled": True, "closePct": D(10), "reboundPct": D(1), "lossBudgetPct": D(2)}
    venue = opened(short(recovery=document(actions={"addOns": "off", "reduce": reduce})))
    hold(venue, "104.5", 22)
    assert venue.phase() == "RECOVERY"
    hold(venue, "103.6", 5)
    assert not [place for place in venue.sent if place.leg.kind is LegKind.REDUCE]
    venue.run("103.4")
    order = venue.last(LegKind.REDUCE).order
    assert (order.side, order.price, order.is_reduce_only) == ("buy", D("103.40"), True)


def test_deals_in_a_row_share_the_budget_of_one_within_the_window() -> None:
    reduce = {
        "enabled": True,
        "closePct": D(10),
        "reboundPct": D(1),
        "minInterval": "1h",
        "lossBudgetPct": D("0.3"),
    }
    rules = document(
        actions={"reduce": reduce},
        escalate={"cooldown": "1h", "maxPerWindow": {"count": 5, "window": "7d"}},
    )
    venue = recovering(deep(recovery=rules, cooldown={"afterRecovery": "1h"}))

    def reduced() -> int:
        return len([place for place in venue.sent if place.leg.kind is LegKind.REDUCE])

    def next_deal(after_ms: int) -> None:
        venue.run("99.9")
        assert venue.phase() == "COOLDOWN"
        venue.run(100, 100, after_ms=after_ms)
        hold(venue, "95.5", 22)
        assert venue.phase() == "RECOVERY"
        venue.run("96.5")

    venue.run("96.5")
    assert reduced() == 1
    next_deal(HOUR)
    assert (venue.state.deals, reduced()) == (2, 1)
    venue.state = KIND.load(KIND.dump(venue.state), venue.state.setup)
    assert len(venue.state.reductions) == 1
    assert "spent within 7d" in venue.message("ReduceBudgetSpent")
    next_deal(7 * 24 * HOUR)
    assert (venue.state.deals, reduced()) == (3, 2)


def test_a_reduction_that_rests_may_lose_all_of_it_one_that_ended_what_it_filled() -> None:
    venue = reducing()
    venue.tick("96.5")
    venue.settle()
    deal, order = venue.state.deal, venue.last(LegKind.REDUCE).order
    assert deal is not None
    ((name, per_base),) = deal.reduced
    assert name == order.client_order_id
    assert reduced_loss(deal) == pytest.approx(per_base * order.amount_base)
    venue.fill(name, D("0.01"))
    venue.cancel(name)
    venue.report(name)
    deal = venue.state.deal
    assert deal is not None
    assert reduced_loss(deal) == pytest.approx(per_base * D("0.01"))


def test_a_reduction_that_nobody_takes_is_given_up() -> None:
    venue = reducing()
    venue.tick("96.5")
    venue.settle()
    venue.tick("96.0", after_ms=MINUTE)
    venue.settle()
    assert not venue.live(LegKind.REDUCE)
    assert venue.live(LegKind.TAKE_PROFIT)[0].left == venue.held()
    assert reduced_loss(venue.state.deal) == 0


def test_a_reduction_that_never_arrived_is_tried_again_while_it_lasts() -> None:
    venue = reducing()
    venue.tick("96.5")
    (target,) = [name for name, order in venue.orders.items() if is_canceling(venue, name)]
    venue.cancel(target)
    venue.report(target)
    first = venue.last(LegKind.REDUCE).order
    venue.reject(first.client_order_id, OrderStatus.ABSENT)
    venue.report(first.client_order_id)
    venue.tick("96.5", after_ms=30_000)
    again = venue.last(LegKind.REDUCE).order
    assert again.client_order_id != first.client_order_id
    assert (again.price, again.amount_base) == (first.price, first.amount_base)
    venue.reject(again.client_order_id, OrderStatus.ABSENT)
    venue.report(again.client_order_id)
    hold(venue, "96.5", 30)
    assert len([p for p in venue.sent if p.leg.kind is LegKind.REDUCE]) == 2  # its time is over
    assert reduced_loss(venue.state.deal) == 0


def is_canceling(venue: Venue, client_order_id: str) -> bool:
    order = venue.state.deal.named(client_order_id)
    return order is not None and order.may_rest and order.cancels > 0


def test_a_reduction_beyond_the_budget_is_not_sent() -> None:
    venue = reducing("0.01")
    venue.run("96.5")
    assert not [place for place in venue.sent if place.leg.kind is LegKind.REDUCE]
    assert "ReduceBudgetSpent" in venue.notes()


def test_later_reductions_have_what_earlier_ones_left_of_the_budget() -> None:
    venue = reducing("0.3")
    venue.run("96.5")
    sold = [place.order for place in venue.sent if place.leg.kind is LegKind.REDUCE]
    assert len(sold) == 1
    assert "ReduceBudgetSpent" not in venue.notes()
    hold(venue, "95.5", 62)
    venue.run("96.5")
    assert venue.phase() == "RECOVERY"
    assert [place.order for place in venue.sent if place.leg.kind is LegKind.REDUCE] == sold
    assert "ReduceBudgetSpent" in venue.notes()


def test_a_reduction_loses_the_way_back_from_the_average_and_both_fees() -> None:
    venue = reducing()
    average = KIND.view(venue.state).average
    assert average is not None
    venue.run("96.5")
    deal, order = venue.state.deal, venue.last(LegKind.REDUCE).order
    assert deal is not None
    lost = (average - order.price + D("0.001") * (average + order.price)) * order.amount_base
    assert reduced_loss(deal) == pytest.approx(lost)


def test_the_budget_is_a_share_of_the_whole_ladders_margin() -> None:
    reduce = {"enabled": True, "lossBudgetPct": D(2)}
    for kind, budget in ((MarketKind.SPOT, D(6)), (MarketKind.FUTURES, D(3))):
        known = setup(
            kind,
            recovery=document(actions={"reduce": reduce}),
            averaging={"maxOrders": 2, "stepScale": D(3)},
        )
        deal = Deal(number=1, base_quote=known.base_quote, shape=known.terms.shape)
        assert budget_of(deal, known) == budget  # of 300 USDT, on futures at leverage 2


# How it ends.


@pytest.mark.parametrize("minutes", [30, 60])
def test_the_exit_rule_held_leads_back_to_the_ladder_where_it_was(minutes: int) -> None:
    venue = recovering(deep(recovery=document(exit={"confirmFor": f"{minutes}m"})))
    hold(venue, "98.0", minutes - 5)
    assert venue.phase() == "RECOVERY"
    hold(venue, "98.0", 12)
    assert venue.phase() == "ACTIVE"
    assert "RecoveryEnded" in venue.notes()
    filled = [p for p in venue.sent if p.leg == Leg(LegKind.RUNG, 1)]
    assert len(filled) == 1  # no rung is bought twice
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    assert target.order.price > KIND.view(venue.state).average * D("1.009")


def test_the_exit_rule_asks_for_both_a_small_drawdown_and_little_margin() -> None:
    venue = recovering(deep(recovery=document(exit={"marginUsedPct": D(50)})))
    assert measures(venue)["exit", "margin used"] == ("66.7 of 50.0", False)
    hold(venue, "98.2", 120, step=4)
    assert measures(venue)["exit", "drawdown"] == ("1.2 of 1.5", True)
    assert venue.phase() == "RECOVERY"


def test_a_deal_that_left_recovery_rests_like_any_other() -> None:
    venue = recovering()
    hold(venue, "98.2", 80, step=4)
    assert venue.phase() == "ACTIVE"
    venue.run("101")
    assert venue.phase() == "COOLDOWN"
    assert venue.state.rest_until_ms - venue.now_ms == MINUTE


def test_the_exit_rule_does_not_count_while_a_trigger_is_true() -> None:
    venue = opened(deep(recovery=document(trigger={"averagingUsedPct": D(50)})))
    hold(venue, "98.2", 240, step=4)
    assert venue.phase() == "RECOVERY"
    assert venue.notes().count("RecoveryBegan") == 1


def test_new_deals_may_begin_elsewhere_while_a_deal_recovers_and_not_while_it_is_closed() -> None:
    assert KIND.view(recovering().state).is_set_apart
    stopped = opened()
    assert not KIND.view(stopped.state).is_set_apart
    stopped.tick("50")  # beyond its stop: what is closed now is followed by its cooldown
    assert stopped.phase() == "HALTING"
    assert not KIND.view(stopped.state).is_set_apart


def test_escalation_closes_at_market_and_rests() -> None:
    venue = recovering()
    hold(venue, "93.5", 5)
    assert venue.phase() == "RECOVERY"
    venue.run("99", after_ms=MINUTE)
    hold(venue, "93.5", 22)
    assert venue.phase() == "COOLDOWN"
    assert venue.closed()[0].exit_leg.kind is LegKind.CLOSE
    assert "RecoveryGaveUp" in venue.notes()
    assert venue.is_flat()
    sent = len(venue.sent)
    left_ms = venue.state.rest_until_ms - venue.now_ms
    assert 35 * HOUR < left_ms <= 36 * HOUR
    venue.run("93.5", after_ms=left_ms - 1)
    assert len(venue.sent) == sent


def test_what_a_person_did_not_let_the_bot_judge_gives_nothing_up() -> None:
    venue = recovering()
    hold(venue, "93.3", 6)
    venue.command(Command.TAKE_OVER)
    hold(venue, "97", 60)
    hold(venue, "93.3", 8)
    venue.command(Command.RESUME)
    hold(venue, "93.3", 14)
    assert venue.phase() == "RECOVERY"
    hold(venue, "93.3", 2)
    assert "RecoveryGaveUp" in venue.notes()


def test_escalation_is_confirmed_anew_in_recovery() -> None:
    venue = opened()
    hold_until_changed(venue, "91")
    assert (venue.phase(), hold_until_changed(venue, "91")) == ("WATCH", 15 * MINUTE)
    assert (venue.phase(), hold_until_changed(venue, "91")) == ("RECOVERY", 15 * MINUTE)
    assert "RecoveryGaveUp" in venue.notes()


def test_too_long_in_recovery_closes_as_well() -> None:
    venue = recovering(deep(recovery=document(escalate={"maxDuration": "2h"})))
    hold(venue, "95.5", 110)
    assert venue.phase() == "RECOVERY"
    hold(venue, "95.5", 12)
    assert venue.phase() == "COOLDOWN"
    assert "longer than 2h" in venue.message("RecoveryGaveUp")


def test_too_many_escalations_halt_until_resume() -> None:
    rules = document(
        escalate={
            "maxDuration": "1h",
            "cooldown": "1h",
            "maxPerWindow": {"count": 1, "window": "30d"},
        }
    )
    venue = recovering(deep(recovery=rules))
    hold(venue, "95.5", 70)
    assert venue.phase() == "COOLDOWN"
    venue.run("95.5", after_ms=HOUR)
    assert venue.phase() == "ACTIVE"
    hold(venue, "91", 30)
    hold(venue, "91", 70)
    assert venue.phase() == "HALTED"
    assert "Halted" in venue.notes()
    sent = len(venue.sent)
    venue.tell(SetupChanged(deep(recovery=document(enabled=False)), venue.now_ms))
    hold(venue, "91", 100, step=5)
    assert (venue.phase(), len(venue.sent)) == ("HALTED", sent)
    venue.command(Command.DRAIN)  # the document goes
    venue.command(Command.UNDRAIN)  # and comes back, which is an edit
    venue.run("91")
    assert venue.phase() == "HALTED"
    venue.command(Command.RESUME)
    venue.run("91")
    assert venue.phase() == "ACTIVE"


def test_escalations_further_apart_than_the_window_never_halt() -> None:
    window = {"maxDuration": "1h", "cooldown": "1h", "maxPerWindow": {"count": 1, "window": "2h"}}
    venue = recovering(deep(recovery=document(escalate=window)))
    hold(venue, "95.5", 70)
    assert (venue.phase(), len(venue.state.escalations)) == ("COOLDOWN", 1)
    venue.run("95.5", after_ms=HOUR)
    hold(venue, "91", 30)
    hold(venue, "91", 70)
    assert (venue.phase(), len(venue.state.escalations)) == ("COOLDOWN", 1)


def test_the_stop_stays_in_force_in_recovery() -> None:
    venue = recovering()
    venue.run("90.2")
    assert venue.state.escalations == ()  # a stop is no escalation
    assert venue.closed()[0].exit_leg.kind is LegKind.STOP_LOSS
    assert venue.state.rest_until_ms - venue.now_ms == 36 * HOUR


@pytest.mark.parametrize(
    "edit",
    [
        document(enabled=False),
        document(
            trigger={"drawdownPct": D("4.9")}, exit={"drawdownPct": D("4.8"), "confirmFor": "0s"}
        ),
    ],
)
def test_an_edit_alone_never_leaves_recovery(edit: dict[str, object]) -> None:
    venue = recovering()
    venue.tell(SetupChanged(deep(recovery=edit), venue.now_ms))
    venue.settle()
    assert venue.phase() == "RECOVERY"
    assert venue.live(LegKind.TAKE_PROFIT)


def test_recovery_switched_off_inside_is_left_by_the_exit_rule() -> None:
    venue = recovering()
    venue.tell(SetupChanged(deep(recovery=document(enabled=False)), venue.now_ms))
    hold(venue, "98.2", 70)
    assert venue.phase() == "ACTIVE"


def test_an_operator_who_clears_manual_finds_recovery_again() -> None:
    venue = recovering()
    target = venue.live(LegKind.TAKE_PROFIT)[0]
    told = venue.view(target.order.client_order_id)
    venue.tell(replace(told, status="rejected"))
    assert venue.phase() == "MANUAL"
    venue.command(Command.RESUME)
    assert venue.phase() == "RECOVERY"


@pytest.mark.parametrize("phase", ["ACTIVE", "RECOVERY"])
def test_an_operator_may_take_a_deal_over_and_gives_it_back(phase: str) -> None:
    venue = recovering() if phase == "RECOVERY" else opened()
    resting = len(venue.live(LegKind.TAKE_PROFIT))
    venue.command(Command.TAKE_OVER)
    assert (venue.phase(), "TakenOver" in venue.notes()) == ("MANUAL", True)
    sent = len(venue.sent)
    hold(venue, venue.price, 100, step=5)
    venue.command(Command.UNDRAIN)
    venue.command(Command.UNPAUSE)
    assert (venue.phase(), len(venue.sent)) == ("MANUAL", sent)
    assert len(venue.live(LegKind.TAKE_PROFIT)) == resting
    venue.command(Command.RESUME)
    assert venue.phase() == phase


def test_what_an_operator_takes_over_needs_a_deal() -> None:
    venue = Venue.start(deep())
    venue.command(Command.TAKE_OVER)
    venue.run("100")
    assert venue.phase() == "ACTIVE"


def test_one_resume_ends_a_halt_although_its_deal_was_told_to_close() -> None:
    rules = document(escalate={"maxDuration": "1h", "maxPerWindow": {"count": 1, "window": "30d"}})
    venue = recovering(deep(recovery=rules))
    hold(venue, "95.5", 70)
    venue.run("95.5", after_ms=37 * HOUR)
    hold(venue, "91", 30)
    hold(venue, "91", 70)
    assert venue.phase() == "HALTED"
    venue.command(Command.CLOSE)
    venue.command(Command.RESUME)
    venue.run("91")
    assert venue.phase() == "ACTIVE"


# What people see.


def measures(venue: Venue) -> dict[tuple[str, str], tuple[str, bool]]:
    view = KIND.view(venue.state).recovery
    assert view is not None
    return {
        (each.rule, each.name): (f"{D(each.value):.1f} of {D(each.limit):.1f}", each.is_true)
        for each in view.measures
    }


def test_a_person_sees_how_near_each_trigger_is() -> None:
    limits = {"drawdownPct": D(4), "marginUsedPct": D(80), "averagingUsedPct": D(90)}
    venue = opened(deep(recovery=document(trigger={**limits, "underwaterFor": "2h"})))
    hold(venue, "98.29", 60)
    assert measures(venue) == {
        ("trigger", "drawdown"): ("1.1 of 4.0", False),
        ("trigger", "margin used"): ("66.7 of 80.0", False),
        ("trigger", "rungs used"): ("50.0 of 90.0", False),
        ("trigger", "at a loss"): ("3540000.0 of 7200000.0", False),
    }
    view = KIND.view(venue.state).recovery
    assert view is not None
    assert (round(view.score_pct), view.held_ms) == (83, {"trigger": (0, 15 * MINUTE)})


def test_a_person_sees_how_long_a_trigger_has_held_and_what_ends_recovery() -> None:
    venue = opened()
    hold(venue, "95.5", 8)
    view = KIND.view(venue.state).recovery
    assert view is not None
    held_ms, of_ms = view.held_ms["trigger"]
    assert (venue.phase(), view.score_pct, of_ms) == ("WATCH", 100, 15 * MINUTE)
    assert 4 * MINUTE < held_ms < 8 * MINUTE
    hold(venue, "95.5", 20)
    assert measures(venue) | {("escalate", "duration"): ("", False)} == {
        ("trigger", "drawdown"): ("3.9 of 3.0", True),
        ("trigger", "at a loss"): ("1620000.0 of 259200000.0", False),
        ("exit", "drawdown"): ("3.9 of 1.5", False),
        ("exit", "margin used"): ("66.7 of 99.0", True),
        ("escalate", "drawdown"): ("3.9 of 5.0", False),
        ("escalate", "duration"): ("", False),
    }


def test_without_a_deal_or_with_recovery_switched_off_there_is_nothing_to_see() -> None:
    assert KIND.view(Venue.start(deep()).state).recovery is None
    assert KIND.view(opened(deep(recovery=document(enabled=False))).state).recovery is None


# Smoothing.


@given(
    cuts=st.lists(st.integers(1, 299_999), max_size=8),
    start=st.decimals(50, 150, places=2),
    price=st.decimals(50, 150, places=2),
)
def test_smoothing_does_not_depend_on_how_often_the_same_price_is_told(
    cuts: list[int], start: Decimal, price: Decimal
) -> None:
    def after(times: list[int]) -> Decimal:
        gauge = Gauge(start, 0)
        for _, at_ms in pairwise([0, *times]):
            gauge = smoothed(gauge, price, ((price, at_ms),), span_ms=HOUR)
        return gauge.smooth

    assert abs(after([*sorted(cuts), 300_000]) - after([300_000])) < D("1e-9")


def test_smoothing_begins_anew_after_a_gap() -> None:
    gauge = Gauge(D(100), 0, underwater_since_ms=5, trouble_since_ms=5)
    after = smoothed(gauge, D(100), ((D(50), GAP_MS + 1),), span_ms=HOUR)
    assert (after.smooth, after.trouble_since_ms, after.underwater_since_ms) == (D(50), None, 5)


def test_the_calm_price_is_the_kinder_one() -> None:
    gauge = Gauge(D(100), 0)
    assert (calm_price(D(90), gauge, 1), calm_price(D(90), gauge, -1)) == (100, 90)


# Presets.


@pytest.mark.parametrize("risk", [risk.value for risk in PRESETS])
def test_every_preset_fills_recovery_whole(risk: str) -> None:
    spec = StrategySpec.model_validate(
        {"connection": "x", "pairs": ("BTC/USDT",), "marginLimit": "500 USDT", "risk": risk}
    )
    terms = resolve(spec, None, MarketKind.FUTURES).recovery
    assert terms.is_enabled
    assert terms.drawdown_pct < terms.escalate_pct
    assert terms.take_profit_pct < ONE
    assert terms.margin_used_pct >= 60 <= terms.averaging_used_pct


@given(path=st.lists(st.integers(9_200, 10_100), min_size=5, max_size=60))
@settings(max_examples=60)
def test_no_price_path_shorter_than_confirm_for_reaches_recovery(path: list[int]) -> None:
    """Wicks of at most 14 minutes, each followed by calm: no transition beyond WATCH."""
    venue = opened()
    for price in path:
        for _ in range(4):
            venue.run(D(price) / 100, after_ms=MINUTE)
        hold(venue, "99.8", 8)
        if venue.phase() not in {"ACTIVE", "WATCH"}:
            assert venue.phase() == "COOLDOWN"  # the take profit; the stop is not reached
            return
