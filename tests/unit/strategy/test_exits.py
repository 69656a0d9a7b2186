"""The take profit in steps and the one that trails, and what an old deal may still do."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import Leg, LegKind, OrderType
from backfuturectl.strategy.averaging.closing import exit_leg
from backfuturectl.strategy.averaging.state import Setup
from backfuturectl.strategy.base import Gate, SetupChanged
from tests.unit.strategy.venue import KIND, Venue, market, setup

D = Decimal
STEPS = (
    {"sharePct": D(50), "profitPct": D(1)},
    {"sharePct": D(30), "profitPct": D(2)},
    {"sharePct": D(20), "profitPct": D(4)},
)


def opened(with_setup: Setup) -> Venue:
    venue = Venue.start(with_setup)
    venue.run(100)
    assert venue.phase() == "ACTIVE"
    return venue


def targets(venue: Venue) -> list[tuple[Decimal, Decimal]]:
    return sorted((each.order.price, each.left) for each in venue.live(LegKind.TAKE_PROFIT))


# Steps.


def test_each_step_rests_with_its_share_and_all_of_them_with_everything() -> None:
    venue = opened(setup(takeProfit={"steps": STEPS}))
    assert venue.held() == D("0.9970")
    assert targets(venue) == [
        (D("101.31"), D("0.4985")),
        (D("102.31"), D("0.2991")),
        (D("104.32"), D("0.1994")),
    ]


def test_a_filled_step_leaves_the_others_alone() -> None:
    venue = opened(setup(takeProfit={"steps": STEPS}))
    before = targets(venue)
    venue.run("101.31")
    assert targets(venue) == before[1:]
    venue.run("104.4")
    assert venue.is_flat()
    assert venue.closed()[0].exit_leg.index == 2


def test_a_deal_is_closed_by_what_filled_last_not_by_what_was_sent_last() -> None:
    venue = opened(setup(takeProfit={"steps": STEPS}))
    venue.run("101.4", "102.4", "104.4")
    assert venue.is_flat()
    deal = venue.state.deal
    assert exit_leg(deal) == Leg(LegKind.TAKE_PROFIT, 2)
    sent_otherwise = replace(deal, orders=tuple(reversed(deal.orders)))
    assert exit_leg(sent_otherwise) == Leg(LegKind.TAKE_PROFIT, 2)


def test_people_see_the_nearest_step_that_is_not_sold_yet() -> None:
    venue = opened(staged_and_trailing())
    assert KIND.view(venue.state).next_exit == D("101.31")
    venue.run("101.31")
    assert KIND.view(venue.state).next_exit == D("102.31")
    venue.run("102.31")
    assert KIND.view(venue.state).next_exit == D("100.3") * D("1.04"), "from where it will trail"


def test_a_rung_after_a_step_enlarges_the_steps_again() -> None:
    venue = opened(setup(takeProfit={"steps": STEPS}))
    venue.run("101.31", "98.29")
    total = venue.held()
    assert sum(left for _, left in targets(venue)) == total
    assert len(targets(venue)) == 3


def test_steps_too_small_for_the_exchange_leave_with_the_next() -> None:
    venue = opened(setup(rules=market(cost_min=D(35)), takeProfit={"steps": STEPS}))
    assert [price for price, _ in targets(venue)] == [D("101.31"), D("104.32")]
    assert sum(left for _, left in targets(venue)) == venue.held()


def test_steps_none_of_which_is_large_enough_leave_together() -> None:
    quarters = tuple({"sharePct": D(25), "profitPct": D(n)} for n in (1, 2, 3, 4))
    venue = Venue.start(setup(rules=market(cost_min=D(40)), takeProfit={"steps": quarters}))
    venue.tick(100)
    base = venue.last(LegKind.BASE).order.client_order_id
    venue.accept(base)
    venue.fill(base, D("0.41"))
    venue.report(base)
    venue.cancel(base)
    venue.report(base)
    assert venue.last(LegKind.TAKE_PROFIT).order.amount_base == D("0.41")


def test_an_edit_from_steps_to_one_order_replaces_them() -> None:
    venue = opened(setup(takeProfit={"steps": STEPS}))
    venue.tell(SetupChanged(setup(), venue.now_ms))
    venue.settle()
    assert targets(venue) == [(D("101.31"), venue.held())]


def test_one_order_for_all_waits_until_the_last_step_has_gone() -> None:
    venue = opened(setup(takeProfit={"steps": STEPS}))
    *nearer, last = venue.live(LegKind.TAKE_PROFIT)
    venue.tell(SetupChanged(setup(), venue.now_ms))
    before = len(venue.sent)
    for step in nearer:
        venue.cancel(step.order.client_order_id)
        venue.report(step.order.client_order_id)
    assert len(venue.sent) == before
    venue.cancel(last.order.client_order_id)
    venue.report(last.order.client_order_id)
    assert venue.last(LegKind.TAKE_PROFIT).order.amount_base == venue.held()


# Trailing.


def trailing(**changes: object) -> Setup:
    return setup(takeProfit={"trailing": {"deviationPct": D("0.5")}}, **changes)


def test_a_trailing_take_profit_rests_nowhere_until_the_turn() -> None:
    venue = opened(trailing())
    assert not venue.live(LegKind.TAKE_PROFIT)
    venue.run("101.2")
    assert "TakeProfitArmed" not in venue.notes()
    venue.run("101.31", "103.00", "102.60", "102.49")
    assert venue.message("TakeProfitArmed").startswith("101.31 touched")
    assert venue.phase() == "ACTIVE"
    venue.run("102.48")  # half a percent below the best of 103
    order = venue.last(LegKind.TAKE_PROFIT).order
    assert order.type is OrderType.MARKET
    assert venue.phase() == "COOLDOWN"
    assert venue.closed()[0].exit_leg.kind is LegKind.TAKE_PROFIT
    assert venue.closed()[0].result_quote > 1


def test_a_short_trails_downwards() -> None:
    document = {"trailing": {"deviationPct": D("0.5")}}
    venue = opened(setup(MarketKind.FUTURES, direction="short", takeProfit=document))
    venue.run("98.6", "97.0", "97.4")
    assert venue.phase() == "ACTIVE"
    venue.run("97.5")
    assert venue.phase() == "COOLDOWN"


def test_a_restart_turns_from_the_best_price_that_was_recorded() -> None:
    venue = opened(trailing())
    venue.tick("101.31")
    saved = KIND.dump(venue.state)
    venue.tick("103")
    venue.state = KIND.load(saved, venue.state.setup)
    venue.run("102.4")
    assert venue.phase() == "ACTIVE"  # a little later than it could have been
    venue.run("101.8")
    assert venue.phase() == "COOLDOWN"


def test_a_price_that_jumps_over_the_turn_to_where_nothing_is_won_sells_nothing() -> None:
    venue = opened(trailing())
    venue.run("101.31", "100.2")
    assert venue.phase() == "ACTIVE"
    assert "TakeProfitDisarmed" in venue.notes()
    venue.run("101.31", "100.8")
    assert venue.phase() == "COOLDOWN"


# Steps of which the last one trails.


def staged_and_trailing(**changes: object) -> Setup:
    exits = {"steps": STEPS, "trailing": {"deviationPct": D("0.5")}}
    return setup(takeProfit=exits, **changes)


def test_all_steps_but_the_last_rest() -> None:
    venue = opened(staged_and_trailing())
    assert targets(venue) == [(D("101.31"), D("0.4985")), (D("102.31"), D("0.2991"))]
    venue.run("102.4")
    assert not targets(venue)
    assert venue.held() == D("0.1994")


def test_the_last_step_trails_from_its_own_target_on() -> None:
    venue = opened(staged_and_trailing())
    venue.run("103", "101")  # beyond two steps, not the third
    assert "TakeProfitArmed" not in venue.notes()
    venue.run("104.4", "106", "105.48")
    assert venue.phase() == "ACTIVE"
    venue.run("105.4")
    order = venue.last(LegKind.TAKE_PROFIT).order
    assert (order.type, order.amount_base) == (OrderType.MARKET, D("0.1994"))
    assert venue.is_flat()
    assert len(venue.closed()) == 1


def test_the_last_target_is_noticed_also_after_prices_that_changed_nothing() -> None:
    venue = opened(staged_and_trailing())
    venue.run("103")
    for price in ("103.1", "103.2", "103.1"):
        venue.tick(price)
    assert "TakeProfitArmed" not in venue.notes()
    venue.tick("104.4")
    assert "TakeProfitArmed" in venue.notes()


def test_a_turn_takes_what_is_left_of_the_steps_before_along() -> None:
    venue = opened(staged_and_trailing())
    venue.tick("104.4")  # armed, but the exchange has not filled the steps before
    venue.tick("103.8")
    venue.settle()
    assert not targets(venue)
    assert venue.last(LegKind.TAKE_PROFIT).order.type is OrderType.MARKET
    assert venue.is_flat()


def test_a_rung_after_a_step_enlarges_what_rests_and_what_trails() -> None:
    venue = opened(staged_and_trailing())
    venue.run("101.31", "98.29")
    whole = venue.held() + D("0.4985")
    resting = sum(left for _, left in targets(venue))
    assert resting < venue.held()
    assert venue.held() - resting == pytest.approx(whole * D("0.2"), abs=D("0.0002"))


def test_a_last_step_too_small_for_the_exchange_rests_with_the_one_before() -> None:
    venue = opened(staged_and_trailing(rules=market(cost_min=D(21))))
    assert sum(left for _, left in targets(venue)) == venue.held()
    assert [price for price, _ in targets(venue)] == [D("101.31"), D("102.31")]


def test_an_only_step_that_trails_is_the_plain_trailing_take_profit() -> None:
    only = {"steps": ({"sharePct": D(100), "profitPct": D(2)},)}
    venue = opened(setup(takeProfit={**only, "trailing": {"deviationPct": D("0.5")}}))
    assert not venue.live(LegKind.TAKE_PROFIT)
    venue.run("102.4", "101.8")
    assert venue.is_flat()


def test_the_turn_is_watched_while_only_exits_are_allowed_and_not_while_nothing_is() -> None:
    venue = opened(trailing())
    venue.run("102")
    venue.gate(Gate.SHUT)
    venue.run("101.4")
    assert venue.phase() == "ACTIVE"
    venue.gate(Gate.EXITS_ONLY)
    venue.run("101.4")
    assert venue.phase() == "COOLDOWN"


def test_an_edit_to_trailing_takes_the_resting_order_back_and_the_other_way_round() -> None:
    venue = opened(setup())
    venue.tell(SetupChanged(trailing(), venue.now_ms))
    venue.settle()
    assert not venue.live(LegKind.TAKE_PROFIT)
    venue.run("101.4")
    venue.tell(SetupChanged(setup(takeProfit={"percent": D(2)}), venue.now_ms))
    venue.settle()
    assert targets(venue) == [(D("102.31"), venue.held())]
    venue.run("101.4")
    assert venue.state.deal.peak is None


# Age.


def test_a_deal_beyond_its_age_adds_nothing_and_keeps_its_exits() -> None:
    venue = opened(setup(caps={"maxDealAge": "2h"}))
    assert venue.live(LegKind.RUNG)
    venue.run(100, after_ms=7_198_000)
    assert venue.live(LegKind.RUNG)
    venue.run(100, after_ms=2_000)
    assert not venue.live(LegKind.RUNG)
    assert venue.live(LegKind.TAKE_PROFIT)
    assert venue.notes().count("DealTooOld") == 1
    venue.run(95)
    venue.run(101.4)
    assert venue.closed()


@pytest.mark.parametrize("age", ["30d", None])
def test_a_younger_deal_does_not_mind(age: str | None) -> None:
    venue = opened(setup(caps={"maxDealAge": age} if age else {}))
    venue.run("98.29", after_ms=3_600_000)
    assert len(venue.live(LegKind.RUNG)) == 2
