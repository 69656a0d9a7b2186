"""What an averaging bot does in each situation, one claim per test."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from backfuturectl.model.errors import PermanentError
from backfuturectl.model.ids import parse_client_order_id
from backfuturectl.model.market import Market, MarketKind
from backfuturectl.model.orders import Fee, Funding, LegKind, OrderStatus, OrderType, Side
from backfuturectl.model.status import Reason
from backfuturectl.model.units import Money
from backfuturectl.strategy.base import (
    Cancel,
    Command,
    DealOpened,
    FundingPaid,
    Gate,
    OrderChanged,
    Place,
    PriceSeen,
    SetupChanged,
)
from backfuturectl.strategy.registry import KINDS
from tests.unit.strategy.venue import IDENTITY, KIND, Venue, market, setup, spec

D = Decimal
FUTURES = MarketKind.FUTURES


def opened(**changes: object) -> Venue:
    """A venue whose deal stands: base filled at 100.30, take profit and two rungs resting."""
    venue = Venue.start(setup(**changes))
    venue.run(100)
    assert venue.phase() == "ACTIVE"
    return venue


def places(actions: object) -> list[Place]:
    return [action for action in actions if isinstance(action, Place)]


def cancels(actions: object) -> list[str]:
    return [action.client_order_id for action in actions if isinstance(action, Cancel)]


# Beginning a deal.


def test_the_base_order_is_a_limit_a_little_beyond_the_price() -> None:
    venue = Venue.start(setup())
    (base,) = places(venue.tick(100))
    assert (base.leg.kind, base.order.side, base.order.type) == (
        LegKind.BASE,
        Side.BUY,
        OrderType.LIMIT,
    )
    assert base.order.price == D("100.30")
    assert base.order.amount_base * base.order.price <= 100


def test_a_short_sells_below_the_price_and_holds_no_more_than_planned() -> None:
    venue = Venue.start(setup(FUTURES, direction="short"))
    (base,) = places(venue.tick(100))
    assert (base.order.side, base.order.price) == (Side.SELL, D("99.70"))
    assert base.order.amount_base == D("0.9970")  # what 100 come to at 100.30
    assert (base.order.leverage, base.order.margin_mode) == (2, "isolated")
    assert not base.order.is_reduce_only


def test_a_short_whose_rungs_could_not_give_way_to_a_jump_sells_at_its_own_price_only() -> None:
    venue = Venue.start(
        setup(FUTURES, direction="short", averaging={"maxOrders": 0}, baseOrder=None)
    )
    (base,) = places(venue.tick(100))
    assert base.order.is_post_only  # at whatever is bid it might sell for more than the limit bears
    assert base.order.price == D("100.01")
    venue.accept(base.order.client_order_id)
    venue.price = D(130)
    venue.match()
    venue.report(base.order.client_order_id)
    assert KIND.view(venue.state).margin_quote <= 1000


def test_a_base_order_that_rests_stays_within_the_limit_where_no_slippage_was_counted_on() -> None:
    venue = Venue.start(
        setup(
            FUTURES,
            direction="short",
            averaging={"maxOrders": 0},
            baseOrder=None,
            entry={"maxSlippagePct": D(0)},
        )
    )
    (base,) = places(venue.tick(100))
    assert base.order.amount_base * base.order.price <= venue.state.setup.base_quote


@pytest.mark.parametrize("direction", ["long", "short"])
def test_rungs_give_way_to_a_base_order_that_filled_after_a_jump(direction: str) -> None:
    ladder = {"firstSizeRatio": D("0.5"), "maxOrders": 1}
    venue = Venue.start(
        setup(
            FUTURES,
            direction=direction,
            averaging=ladder,
            baseOrder=None,
            entry={"orderType": "market"},
        )
    )
    (base,) = places(venue.tick(100))
    venue.price = D(149)
    venue.settle()
    venue.run(149)
    assert base.order.type is OrderType.MARKET
    assert KIND.view(venue.state).average == 149
    assert D(900) < KIND.view(venue.state).margin_quote <= 1000


@pytest.mark.parametrize(
    "hold_back",
    [
        lambda venue: venue.gate(Gate.EXITS_ONLY),
        lambda venue: venue.gate(Gate.SHUT),
        lambda venue: venue.command(Command.PAUSE),
        lambda venue: venue.command(Command.DRAIN),
        lambda venue: venue.tell(SetupChanged(setup(state="paused"), 1)),
        lambda venue: venue.tell(SetupChanged(setup(state="stopped"), 1)),
    ],
)
def test_no_deal_begins_when_it_may_not(hold_back) -> None:
    venue = Venue.start(setup())
    hold_back(venue)
    assert not places(venue.tick(100))


def test_a_bot_that_nothing_reconciled_does_nothing() -> None:
    assert not places(Venue(KIND.initial(setup())).tick(100))


def test_no_deal_begins_without_room_for_one() -> None:
    venue = Venue.start(setup())
    assert not places(venue.tick(100, may_open=False))
    assert places(venue.tick(100, may_open=True))


def test_resume_lifts_pause_and_drain() -> None:
    venue = Venue.start(setup())
    venue.command(Command.PAUSE)
    venue.command(Command.DRAIN)
    venue.command(Command.RESUME)
    assert places(venue.tick(100))


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (market(amount_step=D("0.9"), amount_min=D("0.9")), "V-MIN"),
        (market(price_tick=D(7)), "V-RANGE"),
    ],
)
def test_a_proof_that_fails_at_the_price_keeps_the_deal_from_beginning(
    rules: Market, code: str
) -> None:
    venue = Venue.start(setup(rules=rules))
    for _ in range(20):
        assert not places(venue.tick(200))
    assert venue.notes() == ["EntryRefused"]
    assert code in venue.message("EntryRefused")


def test_a_base_order_that_nobody_fills_is_canceled_and_tried_again_later() -> None:
    venue = Venue.start(setup(entry={"timeout": "10m"}))
    (base,) = places(venue.tick(100))
    venue.orders[base.order.client_order_id].status = OrderStatus.OPEN
    venue.report(base.order.client_order_id)
    assert not cancels(venue.tick(101, after_ms=599_000))
    assert cancels(venue.tick(101, after_ms=1_000)) == [base.order.client_order_id]
    venue.cancel(base.order.client_order_id)
    venue.report(base.order.client_order_id)
    assert venue.phase() == "FLAT"
    assert not places(venue.tick(101))
    venue.state = KIND.load(KIND.dump(venue.state), venue.state.setup)  # nor after a restart
    assert not places(venue.tick(101, after_ms=58_000))
    (again,) = places(venue.tick(101, after_ms=1_000))
    assert again.deal_number == 2
    assert not venue.opened()


def test_a_part_filled_at_the_timeout_becomes_the_deal() -> None:
    venue = Venue.start(setup())
    (base,) = places(venue.tick(100))
    name = base.order.client_order_id
    venue.orders[name].status = OrderStatus.OPEN
    venue.fill(name, D("0.4"))
    actions = venue.report(name)
    assert [action for action in actions if isinstance(action, DealOpened)]
    assert not places(actions)  # the ladder's start is not known yet
    assert cancels(venue.tick(100, after_ms=600_000)) == [name]
    venue.cancel(name)
    venue.report(name)
    assert venue.last(LegKind.TAKE_PROFIT).order.amount_base == D("0.4")
    assert venue.last(LegKind.RUNG).leg.index == 2


def test_a_part_that_reaches_its_take_profit_is_not_kept_waiting() -> None:
    venue = Venue.start(setup())
    (base,) = places(venue.tick(100))
    name = base.order.client_order_id
    venue.orders[name].status = OrderStatus.OPEN
    venue.fill(name, D("0.4"))
    venue.report(name)
    assert cancels(venue.tick("101.31")) == [name]


def test_a_pause_takes_back_an_unfilled_base_order_but_no_deal() -> None:
    venue = Venue.start(setup())
    (base,) = places(venue.tick(100))
    name = base.order.client_order_id
    assert not cancels(venue.command(Command.PAUSE))  # its fate is not known yet
    venue.orders[name].status = OrderStatus.OPEN
    assert cancels(venue.report(name)) == [name]
    venue.fill(name)  # too late
    venue.report(name)
    assert venue.phase() == "ACTIVE"
    assert venue.last(LegKind.TAKE_PROFIT)


@pytest.mark.parametrize("status", [OrderStatus.REJECTED, OrderStatus.ABSENT])
def test_a_refused_base_order_is_tried_again_ever_more_slowly(status: OrderStatus) -> None:
    venue = Venue.start(setup())
    tried_at = []
    for _ in range(1_000):
        for place in places(venue.tick(100, after_ms=5_000)):
            tried_at.append(venue.now_ms)
            venue.reject(place.order.client_order_id, status)
            venue.report(place.order.client_order_id)
    rests = [after - before for before, after in pairwise(tried_at)]
    assert rests[0] == 30_000
    assert rests == sorted(rests)
    assert len(tried_at) < 12


# The ladder.


def test_the_ladder_starts_at_the_bases_average_fill() -> None:
    venue = opened()
    prices = [place.order.price for place in venue.sent if place.leg.kind is LegKind.RUNG]
    assert prices == [D("98.29"), D("96.28")]  # 2 % and 4 % below 100.30, rounded down


def test_only_max_placed_rungs_rest_and_the_next_follows_a_fill() -> None:
    venue = opened()
    assert len(venue.live(LegKind.RUNG)) == 2
    venue.run("98.29")
    assert [rung.order.price for rung in venue.live(LegKind.RUNG)] == [D("96.28"), D("94.28")]


def test_the_next_rung_waits_for_the_interval_after_a_fill() -> None:
    venue = opened(averaging={"minInterval": "5m"})
    venue.run("98.29")
    assert len(venue.live(LegKind.RUNG)) == 1
    venue.run("98.29", after_ms=290_000)
    assert len(venue.live(LegKind.RUNG)) == 1
    venue.run("98.29", after_ms=10_000)
    assert len(venue.live(LegKind.RUNG)) == 2


@pytest.mark.parametrize(("on_change", "waits"), [("keep", True), ("adopt", False)])
def test_an_open_deal_keeps_its_interval_or_adopts_a_new_one(on_change: str, waits: bool) -> None:
    venue = opened(averaging={"minInterval": "5m"})
    resting = venue.live(LegKind.RUNG)
    edited = setup(averaging={"minInterval": "1s"}, onChange=on_change)
    venue.tell(SetupChanged(edited, venue.now_ms))
    venue.settle()
    assert venue.live(LegKind.RUNG) == resting, "where the rungs are has not changed"
    venue.run("98.29", "98.29", after_ms=10_000)
    assert len(venue.live(LegKind.RUNG)) == (1 if waits else 2)


def test_a_new_interval_counts_for_the_next_deal() -> None:
    venue = opened(averaging={"minInterval": "1s"})
    venue.tell(SetupChanged(setup(averaging={"minInterval": "5m"}), venue.now_ms))
    venue.run("102")
    venue.run("100", after_ms=120_000)
    venue.run("98.29", "98.29", after_ms=10_000)
    assert venue.state.deals == 2
    assert len(venue.live(LegKind.RUNG)) == 1


@pytest.mark.parametrize(("on_change", "placed"), [("keep", 3), ("adopt", 2)])
def test_an_open_deal_keeps_the_improvement_it_was_born_with(on_change: str, placed: int) -> None:
    venue = opened()
    document = spec(averaging={"minAverageImprovementPct": D("1.5")}, onChange=on_change)
    edited = KIND.setup(document, market(), IDENTITY, must_fit=False)
    venue.tell(SetupChanged(edited, venue.now_ms))
    venue.run("98.29", "96.28")
    rungs = {place.leg.index for place in venue.sent if place.leg.kind is LegKind.RUNG}
    assert len(rungs) == placed


def test_a_deal_from_before_paces_were_kept_follows_its_document() -> None:
    venue = opened(averaging={"minInterval": "5m"})
    older = json.loads(KIND.dump(venue.state))
    del older["deal"]["pace"]
    venue.state = KIND.load(json.dumps(older), venue.state.setup)
    venue.run("98.29", "98.29", after_ms=10_000)
    assert len(venue.live(LegKind.RUNG)) == 1


def test_an_edit_of_the_timeout_counts_for_the_base_order_that_rests() -> None:
    venue = Venue.start(setup(entry={"timeout": "10m"}))
    (base,) = places(venue.tick(100))
    venue.accept(base.order.client_order_id)
    venue.report(base.order.client_order_id)
    assert not cancels(venue.tick(100, after_ms=120_000))
    venue.tell(SetupChanged(setup(entry={"timeout": "1m"}), venue.now_ms))
    deal = venue.state.deal
    assert deal is not None
    assert deal.base.cancels == 1


def test_an_edit_of_the_slippage_counts_for_the_next_base_order() -> None:
    venue = opened()
    venue.tell(SetupChanged(setup(entry={"maxSlippagePct": D(1)}), venue.now_ms))
    venue.run("102")
    venue.run("100", after_ms=120_000)
    assert venue.last(LegKind.BASE).order.price == D("101.00")


def test_a_short_asks_a_little_less_than_the_price_and_no_less() -> None:
    venue = Venue.start(setup(FUTURES, direction="short"))
    (base,) = places(venue.tick(100))
    assert (base.order.side, base.order.price) == (Side.SELL, D("99.70"))


def test_last_fill_measures_from_the_fill_before() -> None:
    venue = opened(averaging={"reference": "lastFill", "maxPlaced": 1})
    name = venue.last(LegKind.RUNG).order.client_order_id
    venue.fill(name, at=D("97.00"))  # better than asked
    venue.tick(97)
    venue.report(name)
    assert venue.last(LegKind.RUNG).order.price == D("95.06")


def test_a_rung_that_would_hardly_improve_the_average_is_left_out() -> None:
    # At the price seen it improves by 1.0 %; the base then fills so that the rung is nearer.
    venue = Venue.start(setup(averaging={"maxOrders": 1, "minAverageImprovementPct": D("0.9")}))
    (base,) = places(venue.tick(100))
    name = base.order.client_order_id
    venue.orders[name].status = OrderStatus.OPEN
    venue.fill(name)
    venue.report(name)
    venue.cancel(venue.last(LegKind.RUNG).order.client_order_id)
    venue.report(venue.last(LegKind.RUNG).order.client_order_id)
    strict = setup(averaging={"maxOrders": 1, "minAverageImprovementPct": D("0.99")})
    terms = replace(strict.terms, min_improvement_pct=D("1.2"))
    adopted = replace(strict, terms=terms, on_change="adopt")
    venue.tell(SetupChanged(adopted, venue.now_ms))
    venue.tick(100, after_ms=60_000)
    assert [place.leg.index for place in venue.sent if place.leg.kind is LegKind.RUNG] == [1]
    assert "improves the average by" in venue.message("RungSkipped")


def test_a_rung_refused_again_and_again_is_given_up() -> None:
    venue = opened(averaging={"maxOrders": 1})
    venue.cancel(venue.last(LegKind.RUNG).order.client_order_id)
    venue.report(venue.last(LegKind.RUNG).order.client_order_id)
    for _ in range(300):
        for place in places(venue.tick(100, after_ms=5_000)):
            venue.reject(place.order.client_order_id)
            venue.report(place.order.client_order_id)
    rungs = [place for place in venue.sent if place.leg.kind is LegKind.RUNG]
    assert len(rungs) == 6
    assert venue.notes().count("RungGivenUp") == 1


def test_the_rest_of_a_rung_that_the_exchange_ended_is_placed_again() -> None:
    venue = opened(averaging={"maxPlaced": 1})
    first = venue.last(LegKind.RUNG).order
    venue.fill(first.client_order_id, D("0.4"))
    venue.cancel(first.client_order_id)
    venue.report(first.client_order_id)
    second = venue.last(LegKind.RUNG).order
    assert parse_client_order_id(second.client_order_id).attempt == 1
    assert second.amount_base == first.amount_base - D("0.4")


def test_rungs_are_not_placed_while_only_exits_are_allowed() -> None:
    venue = Venue.start(setup())
    (base,) = places(venue.tick(100))
    name = base.order.client_order_id
    venue.accept(name)
    venue.fill(name)
    venue.gate(Gate.EXITS_ONLY)
    actions = venue.report(name)
    assert [place.leg.kind for place in places(actions)] == [LegKind.TAKE_PROFIT]


def test_nothing_at_all_is_sent_while_the_gate_is_shut() -> None:
    venue = Venue.start(setup())
    (base,) = places(venue.tick(100))
    name = base.order.client_order_id
    venue.gate(Gate.SHUT)
    venue.accept(name)
    venue.fill(name)
    assert not places(venue.report(name))
    assert not places(venue.tick(50))
    assert places(venue.gate(Gate.OPEN))


# Exits.


def test_the_take_profit_is_one_order_for_all_that_is_held() -> None:
    venue = opened()
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    assert (target.order.price, target.order.amount_base) == (D("101.31"), venue.held())
    assert not target.order.is_reduce_only


def test_on_futures_exits_may_only_reduce() -> None:
    venue = Venue.start(setup(FUTURES))
    venue.run(100)
    assert venue.last(LegKind.TAKE_PROFIT).order.is_reduce_only
    venue.command(Command.CLOSE)
    venue.settle()
    assert venue.last(LegKind.CLOSE).order.is_reduce_only


def test_the_take_profit_is_replaced_only_after_the_old_one_is_gone() -> None:
    venue = opened()
    (old,) = venue.live(LegKind.TAKE_PROFIT)
    rung = venue.live(LegKind.RUNG)[0].order.client_order_id
    venue.fill(rung)
    actions = venue.report(rung)
    assert cancels(actions) == [old.order.client_order_id]
    assert LegKind.TAKE_PROFIT not in [place.leg.kind for place in places(actions)]
    venue.cancel(old.order.client_order_id)
    (new,) = places(venue.report(old.order.client_order_id))
    assert new.order.amount_base == venue.held()
    assert new.order.price == D("100.28")


def test_a_cancel_that_loses_the_race_is_a_fill() -> None:
    venue = opened()
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    rung = venue.live(LegKind.RUNG)[0].order.client_order_id
    venue.fill(rung)
    venue.report(rung)
    venue.fill(target.order.client_order_id)  # the cancel comes too late
    venue.report(target.order.client_order_id)
    assert venue.last(LegKind.TAKE_PROFIT).order.amount_base == venue.held()


def test_a_cancel_that_got_lost_is_asked_for_again_but_not_at_once() -> None:
    venue = opened()
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    rung = venue.live(LegKind.RUNG)[0].order.client_order_id
    venue.fill(rung)
    venue.report(rung)
    assert not cancels(venue.tick(99))
    assert cancels(venue.tick(99, after_ms=10_000)) == [target.order.client_order_id]


def test_a_take_profit_filled_in_part_keeps_resting_for_the_rest() -> None:
    venue = opened()
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    venue.fill(target.order.client_order_id, D("0.3"))
    assert not venue.report(target.order.client_order_id)


def test_a_small_rest_of_a_take_profit_is_left_to_fill() -> None:
    venue = opened()
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    venue.fill(target.order.client_order_id, target.left - D("0.0010"))  # 10 cents of 1 dollar
    assert not venue.report(target.order.client_order_id)
    venue.cancel(target.order.client_order_id)  # only when the exchange ends it, it is dust
    venue.report(target.order.client_order_id)
    venue.settle()
    assert venue.closed()[0].result_quote == venue.cash()
    assert venue.held() == D("0.0010")


def test_a_take_profit_is_replaced_for_its_amount_alone() -> None:
    coarse = setup(
        rules=market(price_tick=D(5)),
        averaging={
            "firstDeviationPct": D(5),
            "firstSizeRatio": D("0.1"),
            "minAverageImprovementPct": D("0.1"),
        },
        stopLoss={"percent": D(25)},
    )
    venue = Venue.start(coarse)
    venue.run(100)
    before = venue.last(LegKind.TAKE_PROFIT).order
    venue.run(95)
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    assert target.order.price == before.price == 105
    assert target.order.amount_base == venue.held() > before.amount_base


def test_a_filled_take_profit_closes_the_deal_once_nothing_rests() -> None:
    venue = opened()
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    rungs = [rung.order.client_order_id for rung in venue.live(LegKind.RUNG)]
    venue.fill(target.order.client_order_id)
    assert cancels(venue.report(target.order.client_order_id)) == rungs
    assert not venue.closed()
    venue.settle()
    (closed,) = venue.closed()
    assert closed.result_quote == venue.cash()
    assert closed.exit_leg.kind is LegKind.TAKE_PROFIT
    assert venue.phase() == "COOLDOWN"


def test_a_rung_that_fills_while_the_deal_winds_down_leaves_at_its_own_profit() -> None:
    venue = opened()
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    rung = venue.live(LegKind.RUNG)[0].order
    venue.fill(target.order.client_order_id)
    venue.report(target.order.client_order_id)
    venue.fill(rung.client_order_id)
    venue.report(rung.client_order_id)
    last = venue.last(LegKind.TAKE_PROFIT).order
    assert (last.amount_base, last.price) == (rung.amount_base, D("99.28"))
    other = venue.live(LegKind.RUNG)[0].order.client_order_id
    assert cancels(venue.tick(99, after_ms=10_000)) == [other]  # nothing adds any more
    venue.settle()
    assert not venue.live(LegKind.RUNG)
    venue.run("99.28")
    assert venue.closed()[0].result_quote == venue.cash()


def test_the_cooldown_depends_on_the_exit() -> None:
    venue = opened(cooldown={"afterTakeProfit": "90s", "afterStopLoss": "5h"})
    venue.run("101.31")
    assert not places(venue.tick(100, after_ms=88_000))
    assert places(venue.tick(100, after_ms=2_000))
    stopped = opened(cooldown={"afterTakeProfit": "90s", "afterStopLoss": "5h"})
    stopped.run(90)
    assert stopped.closed()[0].exit_leg.kind is LegKind.STOP_LOSS
    assert not places(stopped.tick(90, after_ms=5 * 3_600_000 - 1_000))
    assert places(stopped.tick(90, after_ms=1_000))


def test_the_stop_cancels_everything_before_it_sells_at_market() -> None:
    venue = opened()
    venue.run("98.29")
    resting = {order.client_order_id for order in KIND.open_orders(venue.state)}
    actions = venue.tick("90.27")
    assert set(cancels(actions)) == resting
    assert not places(actions)
    for name in resting:
        venue.cancel(name)
        venue.report(name)
    stop = venue.last(LegKind.STOP_LOSS).order
    assert (stop.type, stop.side, stop.amount_base) == (OrderType.MARKET, Side.SELL, venue.held())


def test_the_stop_is_ten_percent_from_the_base_and_not_before() -> None:
    venue = opened()
    assert not cancels(venue.tick("90.28"))
    assert cancels(venue.tick("90.27"))


def test_a_shorts_stop_lies_above() -> None:
    venue = Venue.start(setup(FUTURES, direction="short", stopLoss={"onExchange": "never"}))
    venue.run(100)
    assert not cancels(venue.tick("109.66"))
    assert cancels(venue.tick("109.67"))


def test_a_stop_is_confirmed_anew_when_a_person_gives_the_deal_back() -> None:
    venue = Venue.start(setup(stopLoss={"confirmFor": "60s"}))
    venue.run(100, 90)
    venue.command(Command.TAKE_OVER)
    venue.run(97, 90, after_ms=120_000)
    venue.command(Command.RESUME)
    venue.tick(90)
    assert venue.phase() == "ACTIVE"
    venue.tick(90, after_ms=60_000)
    assert venue.phase() == "HALTING"


def test_a_wick_shorter_than_confirm_for_changes_nothing() -> None:
    venue = opened(stopLoss={"confirmFor": "30s"})
    assert not venue.tick(80)
    assert not venue.tick(80, after_ms=29_000)
    assert not venue.tick(95)
    assert not venue.tick(80)
    assert not venue.tick(80, after_ms=29_999)
    assert cancels(venue.tick(80, after_ms=1))


def test_an_exit_is_not_blocked_by_pause_drain_or_a_degraded_gate() -> None:
    venue = opened()
    venue.command(Command.PAUSE)
    venue.command(Command.DRAIN)
    venue.gate(Gate.EXITS_ONLY)
    venue.run(80)
    assert venue.closed()
    assert venue.is_flat()


def test_a_refused_exit_is_tried_again_and_never_given_up() -> None:
    venue = opened()
    venue.command(Command.CLOSE)
    for name in [order.client_order_id for order in KIND.open_orders(venue.state)]:
        venue.cancel(name)
        venue.report(name)
    for _ in range(2_000):
        name = venue.last(LegKind.CLOSE).order.client_order_id
        if venue.orders[name].status is OrderStatus.INTENDED:
            venue.reject(name)
            venue.report(name)
        venue.tick(100, after_ms=1_000)
    tries = [place for place in venue.sent if place.leg.kind is LegKind.CLOSE]
    assert 8 < len(tries) < 20  # 2,000 s, backing off to five minutes
    venue.run(100, after_ms=300_000)
    assert venue.is_flat()


def test_an_exit_larger_than_one_order_leaves_in_several() -> None:
    venue = Venue.start(setup(rules=market(amount_max=D("0.7"))))
    venue.run(100, "98.29")
    venue.command(Command.CLOSE)
    venue.settle()
    assert venue.is_flat()
    assert all(place.order.amount_base <= D("0.7") for place in venue.sent)


def test_an_exit_waits_while_an_entry_may_still_exist() -> None:
    venue = Venue.start(setup())
    (base,) = places(venue.tick(100))
    name = base.order.client_order_id
    venue.orders[name].status = OrderStatus.OPEN
    venue.fill(name)
    venue.report(name)
    rung = venue.last(LegKind.RUNG).order.client_order_id
    venue.orders[rung].status = OrderStatus.UNKNOWN
    venue.report(rung)
    venue.command(Command.CLOSE)
    for order in KIND.open_orders(venue.state):
        if order.client_order_id != rung:
            venue.cancel(order.client_order_id)
            venue.orders[order.client_order_id].status = OrderStatus.CANCELED
            venue.report(order.client_order_id)
    assert not [place for place in venue.sent if place.leg.kind is LegKind.CLOSE]
    venue.reject(rung, OrderStatus.ABSENT)
    venue.report(rung)
    assert venue.last(LegKind.CLOSE)


# The operator and the file.


def test_close_sells_at_market_and_stays_flat() -> None:
    venue = opened()
    venue.command(Command.CLOSE)
    venue.settle()
    assert venue.closed()[0].exit_leg.kind is LegKind.CLOSE
    venue.run(100, 100, after_ms=3_600_000)
    assert len(venue.closed()) == 1
    assert not KIND.open_orders(venue.state)


def test_drain_manages_the_deal_to_its_exit_and_stays_flat() -> None:
    venue = opened()
    venue.command(Command.DRAIN)
    venue.run("98.29", "100.28")
    assert venue.closed()
    assert not places(venue.tick(100, after_ms=3_600_000))


def test_abandon_cancels_our_orders_and_leaves_the_position() -> None:
    venue = opened()
    held = venue.held()
    venue.command(Command.ABANDON)
    venue.settle()
    assert venue.held() == held
    assert not KIND.open_orders(venue.state)
    assert "DealAbandoned" in venue.notes()
    (closed,) = venue.closed()
    # Nothing was sold: all that is realised is the fee of the entry.
    assert closed.exit_leg is None
    assert -D("1") < closed.result_quote <= 0
    assert not places(venue.tick(100, after_ms=3_600_000))


def test_a_live_edit_replaces_the_take_profit_of_an_open_deal() -> None:
    venue = opened()
    venue.tell(SetupChanged(setup(takeProfit={"percent": D(3)}), venue.now_ms))
    venue.settle()
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    assert target.order.price == D("103.31")


def test_a_live_edit_of_max_placed_takes_the_farther_rung_back() -> None:
    venue = opened()
    venue.tell(SetupChanged(setup(averaging={"maxPlaced": 1}), venue.now_ms))
    venue.settle()
    assert [rung.order.price for rung in venue.live(LegKind.RUNG)] == [D("98.29")]


def test_an_edited_ladder_is_not_for_the_open_deal_unless_adopted() -> None:
    changed = {"firstDeviationPct": D(3), "maxOrders": 2}
    venue = opened()
    venue.tell(SetupChanged(setup(averaging=changed), venue.now_ms))
    venue.settle()
    assert [rung.order.price for rung in venue.live(LegKind.RUNG)] == [D("98.29"), D("96.28")]
    venue.tell(SetupChanged(setup(averaging=changed, onChange="adopt"), venue.now_ms))
    venue.settle()
    assert [rung.order.price for rung in venue.live(LegKind.RUNG)] == [D("97.29"), D("94.28")]


def test_adopting_counts_filled_rungs_and_keeps_within_the_margin() -> None:
    venue = opened()
    venue.run("98.29")
    bigger = setup(onChange="adopt", baseOrder="240 USDT", averaging={"firstDeviationPct": D("2")})
    venue.tell(SetupChanged(bigger, venue.now_ms))
    venue.settle()
    names = [place.leg.index for place in venue.sent[-2:]]
    assert names == [2, 3]
    assert KIND.view(venue.state).margin_quote <= 1_000


def test_on_change_close_ends_the_deal_and_goes_on_with_the_new_ladder() -> None:
    venue = opened()
    new = setup(onChange="close", averaging={"firstDeviationPct": D(3)})
    venue.tell(SetupChanged(new, venue.now_ms))
    venue.settle()
    assert venue.closed()
    venue.run(100, after_ms=60_000)
    assert [rung.order.price for rung in venue.live(LegKind.RUNG)] == [D("97.29"), D("94.28")]


def test_rungs_placed_together_share_what_the_margin_limit_leaves() -> None:
    venue = Venue.start(setup())
    venue.tick(100)
    venue.tell(SetupChanged(setup(marginLimit="250 USDT", baseOrder="50 USDT"), venue.now_ms))
    venue.settle()
    venue.fill(venue.sent[0].order.client_order_id)
    venue.settle()
    first, second = (place.order for place in venue.sent if place.leg.kind is LegKind.RUNG)
    assert first.amount_base == D("1.0173")
    assert D("0.4") < second.amount_base < D("0.6")
    assert KIND.view(venue.state).margin_quote * D("1.002") <= 250


def test_a_short_rung_that_the_price_has_passed_rests_above_it() -> None:
    venue = Venue.start(setup(FUTURES, direction="short", averaging={"maxPlaced": 1}))
    venue.run(100)
    first = venue.live(LegKind.RUNG)[0].order.client_order_id
    venue.fill(first)
    venue.price = D(108)  # it ran through; below that, an order would sell at what is bid
    venue.tell(PriceSeen(D(108), venue.now_ms))
    venue.report(first)
    second = venue.last(LegKind.RUNG).order
    assert second.price == D("108.01")
    assert D("99.9") < second.amount_base * second.price <= 100


def test_only_a_shorts_rungs_are_post_only() -> None:
    for direction in ("long", "short"):
        venue = Venue.start(setup(FUTURES, direction=direction))
        venue.run(100)
        post_only = {place.leg.kind for place in venue.sent if place.order.is_post_only}
        assert post_only == ({LegKind.RUNG} if direction == "short" else set())


def test_a_short_rung_that_would_have_taken_is_tried_again() -> None:
    venue = Venue.start(setup(FUTURES, direction="short", averaging={"maxPlaced": 1}))
    venue.tick(100)
    venue.settle()
    venue.fill(venue.sent[0].order.client_order_id)
    venue.report(venue.sent[0].order.client_order_id)
    first = venue.last(LegKind.RUNG).order.client_order_id
    venue.tick(103)  # it was on its way when the price passed it
    venue.cancel(first)
    venue.orders[first].status = OrderStatus.CANCELED
    venue.tell(venue.view(first))
    venue.tick(103)
    assert venue.last(LegKind.RUNG).order.client_order_id == first

    venue.tick(103, after_ms=5_000)

    second = venue.last(LegKind.RUNG).order
    assert second.client_order_id != first
    assert second.price == D("103.01")


def test_a_lower_margin_limit_takes_back_rungs_that_no_longer_fit() -> None:
    venue = opened()
    venue.tell(SetupChanged(setup(marginLimit="450 USDT"), venue.now_ms))
    assert not cancels(venue.actions[-3:])
    small = setup(marginLimit="210 USDT", baseOrder="50 USDT")
    venue.tell(SetupChanged(small, venue.now_ms))
    venue.settle()
    assert KIND.view(venue.state).margin_quote <= 210


def test_a_deal_has_its_share_of_the_margin_limit_not_all_of_it() -> None:
    venue = opened()
    small = setup(marginLimit="420 USDT", maxActiveDeals=2, baseOrder="50 USDT")
    venue.tell(SetupChanged(small, venue.now_ms))
    venue.settle()
    assert KIND.view(venue.state).margin_quote <= 210


# Facts that come late, twice, or cannot be.


def test_the_same_report_twice_changes_nothing() -> None:
    venue = opened()
    rung = venue.live(LegKind.RUNG)[0].order.client_order_id
    venue.fill(rung, D("0.5"))
    venue.report(rung)
    before = venue.state
    assert not venue.report(rung)
    assert venue.state == before


def test_a_report_with_fewer_fees_takes_back_none_that_are_known() -> None:
    venue = opened()
    base = venue.sent[0].order.client_order_id
    told = venue.view(base)
    before = venue.state
    fewer = tuple(replace(fee, amount=fee.amount / 2) for fee in told.fees)
    assert fewer
    assert not venue.tell(replace(told, fees=fewer))
    assert not venue.tell(replace(told, fees=()))
    assert venue.state == before


def test_an_older_report_changes_nothing() -> None:
    venue = opened()
    rung = venue.live(LegKind.RUNG)[0].order.client_order_id
    old = venue.view(rung)
    venue.fill(rung)
    venue.report(rung)
    before = venue.state
    assert not venue.tell(old)
    assert venue.state.deal == before.deal


def test_fees_in_the_coin_itself_make_the_exit_smaller_and_leave_dust() -> None:
    venue = Venue.start(setup(), fee_in="BTC")
    venue.run(100)
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    assert target.order.amount_base == D("0.9960")  # 0.9970 less 0.000997, rounded down
    venue.run("101.31")
    (closed,) = venue.closed()
    assert closed.result_quote == venue.cash()
    assert 0 < venue.held() < D("0.0001")
    assert "too small to sell" in venue.message("DealClosed")


def test_fees_in_a_third_coin_are_reported_and_not_converted() -> None:
    venue = Venue.start(setup(), fee_in="KCS")
    venue.run(100, "101.31")
    (closed,) = venue.closed()
    assert closed.result_quote == venue.cash()
    assert "KCS" in venue.message("DealClosed")


def test_a_fee_that_comes_after_the_end_corrects_the_result() -> None:
    venue = opened()
    venue.run("101.31")
    name = venue.last(LegKind.TAKE_PROFIT).order.client_order_id
    known = venue.view(name)
    dearer = (Fee("USDT", known.fees[0].amount + 1),)
    venue.tell(
        OrderChanged(name, known.status, known.filled_base, known.cost_quote, dearer, venue.now_ms)
    )
    first, second = venue.closed()
    assert second.result_quote == first.result_quote - 1


def test_a_fill_after_the_end_calls_a_person() -> None:
    venue = opened()
    rung = venue.live(LegKind.RUNG)[0]
    venue.run("101.31")
    assert venue.phase() == "COOLDOWN"
    rung.filled, rung.cost = D("0.5"), D("49.145")
    actions = venue.report(rung.order.client_order_id)
    assert venue.phase() == "MANUAL"
    assert [action.reason for action in actions] == ["LateFill"]
    assert not venue.tick(50)
    assert KIND.view(venue.state).position_base == D("0.5")
    assert KIND.has_deal(venue.state)
    venue.command(Command.RESUME)
    assert venue.phase() == "ACTIVE"
    assert venue.last(LegKind.TAKE_PROFIT).order.amount_base == D("0.5")


def stopped_with_a_late_rung() -> Venue:
    """Have a deal leave by its stop, and a rung of it turn out to have filled after all."""
    venue = opened()
    rung = venue.live(LegKind.RUNG)[0]
    venue.run("84")
    (first,) = venue.closed()
    assert first.result_quote < 0
    assert venue.state.day_loss == -first.result_quote
    rung.filled, rung.cost = D("0.5"), D("49.145")
    venue.report(rung.order.client_order_id)
    assert venue.phase() == "MANUAL"
    return venue


def test_a_deal_with_a_late_fill_keeps_its_share_of_the_margin_limit_across_a_restart() -> None:
    venue = stopped_with_a_late_rung()
    assert KIND.has_deal(venue.state)
    assert KIND.share_of(KIND.dump(venue.state)) == venue.state.setup.share


def test_the_loss_of_a_deal_that_ends_a_second_time_counts_once() -> None:
    venue = stopped_with_a_late_rung()
    venue.command(Command.RESUME)
    assert [action.number for action in venue.opened()] == [1, 1], "people are told that it goes on"
    venue.run("84")
    _, second = venue.closed()
    assert venue.is_flat()
    assert second.result_quote == venue.cash()
    assert venue.state.day_loss == -second.result_quote
    assert KIND.load(KIND.dump(venue.state), venue.state.setup).day_loss == -second.result_quote


def test_a_late_fill_of_an_exit_changes_the_result_once_a_person_has_looked() -> None:
    venue = opened()
    venue.run("84")
    (first,) = venue.closed()
    exit_ = venue.last(LegKind.STOP_LOSS)
    known = venue.view(exit_.order.client_order_id)
    dearer = known.cost_quote + 1
    told = OrderChanged(
        known.client_order_id, known.status, known.filled_base, dearer, known.fees, venue.now_ms
    )
    venue.tell(told)
    assert venue.phase() == "MANUAL"
    venue.command(Command.RESUME)
    _, second = venue.closed()
    assert second.result_quote == first.result_quote + 1
    assert venue.state.day_loss == -second.result_quote
    assert len(venue.opened()) == 1
    venue.command(Command.RESUME)
    assert len(venue.closed()) == 2


def test_funding_that_is_told_while_a_person_looks_at_a_late_fill_is_part_of_the_result() -> None:
    venue = stopped_with_a_late_rung()
    paid = Funding("f1", venue.state.setup.market.pair, D(-3), venue.now_ms)
    venue.tell(FundingPaid((paid,), venue.now_ms))
    assert len(venue.closed()) == 1
    venue.command(Command.RESUME)
    venue.run("84")
    assert venue.closed()[-1].result_quote == venue.cash() - 3


def test_a_base_order_that_filled_after_its_cancel_becomes_the_deal() -> None:
    venue = Venue.start(setup())
    (base,) = places(venue.tick(100))
    order = venue.orders[base.order.client_order_id]
    order.status = OrderStatus.CANCELED
    venue.report(base.order.client_order_id)
    assert venue.phase() == "FLAT"
    order.filled, order.cost, order.status = D("0.5"), D("50.15"), OrderStatus.FILLED
    venue.report(base.order.client_order_id)
    assert venue.phase() == "ACTIVE"
    assert venue.last(LegKind.TAKE_PROFIT).order.amount_base == D("0.5")


def test_an_impossible_report_calls_a_person_once() -> None:
    venue = opened()
    rung = venue.live(LegKind.RUNG)[0].order.client_order_id
    lie = OrderChanged(rung, OrderStatus.REJECTED, D(0), D(0), (), venue.now_ms)
    assert [action.reason for action in venue.tell(lie)] == ["ImpossibleReport"]
    assert venue.phase() == "MANUAL"
    assert not venue.tell(lie)
    venue.command(Command.RESUME)
    assert venue.phase() == "ACTIVE"


def test_more_sold_than_held_calls_a_person() -> None:
    venue = opened()
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    target.filled, target.cost, target.status = D(2), D(202), OrderStatus.FILLED
    venue.report(target.order.client_order_id)
    assert venue.phase() == "MANUAL"
    assert "ExitsExceedPosition" in venue.notes()
    assert not places(venue.tick(50))


def test_a_deal_that_ended_while_a_person_was_called_is_closed_when_he_resumes() -> None:
    venue = opened()
    rung = venue.live(LegKind.RUNG)[0].order.client_order_id
    venue.tell(OrderChanged(rung, OrderStatus.REJECTED, D(0), D(0), (), venue.now_ms))
    assert venue.phase() == "MANUAL"
    for rung in venue.live(LegKind.RUNG):
        venue.cancel(rung.order.client_order_id)
    venue.run("101.31")
    assert venue.is_flat()
    assert not venue.closed()
    venue.command(Command.RESUME)
    (closed,) = venue.closed()
    assert closed.result_quote == venue.cash()
    assert venue.phase() == "FLAT"


def test_a_person_who_resumes_after_more_was_sold_than_held_ends_the_deal() -> None:
    venue = opened()
    (target,) = venue.live(LegKind.TAKE_PROFIT)
    target.filled, target.cost, target.status = D(2), D(202), OrderStatus.FILLED
    venue.report(target.order.client_order_id)
    for rung in venue.live(LegKind.RUNG):
        venue.cancel(rung.order.client_order_id)
        venue.report(rung.order.client_order_id)
    venue.command(Command.RESUME)
    assert len(venue.closed()) == 1
    assert venue.phase() == "FLAT"


def test_a_base_order_that_filled_unseen_opens_its_deal_when_a_person_resumes() -> None:
    venue = Venue.start(setup())
    (base,) = places(venue.tick(100))
    name = base.order.client_order_id
    venue.accept(name)
    venue.report(name)
    venue.tell(OrderChanged(name, OrderStatus.REJECTED, D(0), D(0), (), venue.now_ms))
    assert venue.phase() == "MANUAL"
    venue.fill(name)
    venue.report(name)
    assert not venue.opened()
    venue.command(Command.RESUME)
    assert len(venue.opened()) == 1
    assert venue.phase() == "ACTIVE"
    venue.settle()
    assert venue.live(LegKind.TAKE_PROFIT)


def test_a_report_on_an_order_nobody_knows_changes_nothing() -> None:
    venue = opened()
    stranger = OrderChanged("else", OrderStatus.FILLED, D(1), D(1), (), venue.now_ms)
    before = venue.state
    assert not venue.tell(stranger)
    assert venue.state == before


def test_a_position_too_small_to_sell_waits_for_a_rung() -> None:
    venue = Venue.start(setup(rules=market(cost_min=D(10))))
    (base,) = places(venue.tick(100))
    name = base.order.client_order_id
    venue.orders[name].status = OrderStatus.OPEN
    venue.fill(name, D("0.05"))
    venue.report(name)
    venue.run(100, after_ms=600_000)
    assert venue.phase() == "ACTIVE"
    assert not venue.live(LegKind.TAKE_PROFIT)
    assert "PositionTooSmall" in venue.notes()
    venue.run("98.29")
    assert venue.live(LegKind.TAKE_PROFIT)[0].order.amount_base == venue.held()


# The setup.


def test_a_strategy_that_breaks_a_proof_on_this_market_is_refused() -> None:
    with pytest.raises(PermanentError, match="V-MIN") as caught:
        setup(rules=market(cost_min=D(101)))
    assert caught.value.reason is Reason.PROOF_FAILED


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"stopLoss": {"percent": None}}, "V-PRESET")],
)
def test_a_strategy_that_cannot_be_carried_out_is_refused(
    changes: dict[str, object], code: str
) -> None:
    with pytest.raises(PermanentError, match=code):
        setup(**changes)


def test_a_share_of_the_capital_needs_the_capital() -> None:
    document = spec(marginLimit="20%")
    made = KIND.setup(document, market(), IDENTITY, Money(D(5_000), "USDT"))
    assert made.terms.margin_limit == 1_000
    with pytest.raises(PermanentError, match="capital"):
        KIND.setup(document, market(), IDENTITY)


def test_the_registry_names_the_kind() -> None:
    assert KINDS["averaging"].name == "averaging"


def test_a_tick_that_changes_nothing_keeps_the_deal_itself() -> None:
    venue = opened()
    before = venue.state.deal
    venue.tick(100)
    assert venue.state.deal is before
    assert venue.state.quiet is not None


def test_a_deal_takes_room_as_long_as_the_view_names_one() -> None:
    venue = Venue.start(setup())
    had = [KIND.has_deal(venue.state)]
    for price in (100, 100, 102, 102):
        venue.run(price)
        had.append(KIND.has_deal(venue.state))
        assert had[-1] == (KIND.view(venue.state).deal_number is not None)
    assert had == [False, True, True, False, False]


def test_the_view_shows_what_people_ask_for() -> None:
    venue = opened()
    view = KIND.view(venue.state)
    assert (view.deal_number, view.open_orders) == (1, 3)
    assert view.position_base == venue.held()
    assert view.average == D("100.30")
    assert view.unrealised_quote == (100 - D("100.30")) * venue.held()
    assert view.next_exit == D("101.3030")
    short = Venue.start(setup(FUTURES, direction="short"))
    short.run(100)
    assert KIND.view(short.state).position_base == short.held() < 0
