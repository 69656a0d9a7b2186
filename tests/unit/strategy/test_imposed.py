"""What the exchange does to a deal by itself: funding, liquidation, and the room kept before it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import Fee, Funding, Leg, LegKind, OrderStatus
from backfuturectl.strategy.arithmetic import gap_pct, liquidation_price
from backfuturectl.strategy.base import (
    Cancel,
    Command,
    DealClosed,
    FundingBooked,
    FundingPaid,
    Liquidated,
    Place,
    Taken,
)
from tests.unit.strategy.venue import KIND, Venue, market, setup

D = Decimal
FUTURES = MarketKind.FUTURES


def opened(**changes: object) -> Venue:
    venue = Venue.start(setup(FUTURES, **changes))
    venue.run(100)
    return venue


def paid(venue: Venue, name: str, amount: str, at_ms: int | None = None) -> FundingPaid:
    at_ms = venue.now_ms if at_ms is None else at_ms
    return FundingPaid((Funding(name, "BTC/USDT", D(amount), at_ms),), venue.now_ms)


def liquidated(venue: Venue, share: int = 1, fee: str = "0") -> Liquidated:
    amount = abs(venue.held()) / share
    return Liquidated(
        client_order_id="bfab120000000001l00000",
        order_id="77",
        filled_base=amount,
        cost_quote=amount * 51,
        fees=(Fee("USDT", D(fee)),),
        at_ms=venue.now_ms + 1,
    )


def test_funding_is_part_of_the_result_and_counts_once() -> None:
    venue, plain = opened(), opened()
    venue.tell(paid(venue, "1", "-0.5"))
    venue.tell(paid(venue, "1", "-0.5"))
    venue.tell(paid(venue, "2", "0.1"))
    for one in (venue, plain):
        one.run("101.31")

    booked = [action for action in venue.actions if isinstance(action, FundingBooked)]
    assert [action.payment.funding_id for action in booked] == ["1", "2"]
    (closed,), (without,) = venue.closed(), plain.closed()
    assert closed.result_quote == without.result_quote - D("0.4")


def test_funding_told_after_the_end_corrects_the_result_and_not_the_time_of_the_end() -> None:
    venue = opened()
    in_time_ms = venue.now_ms
    venue.run("101.31")
    venue.tick(after_ms=5_000)
    venue.tell(paid(venue, "1", "-0.5", in_time_ms))

    first, second = venue.closed()
    assert second == replace(first, result_quote=first.result_quote - D("0.5"))


@pytest.mark.parametrize("offset_ms", [-10_000, 10_000])
def test_funding_of_another_time_belongs_to_no_deal(offset_ms: int) -> None:
    venue = opened()
    began_ms = venue.state.deal.base.placed_at_ms
    venue.run("101.31")
    ended_ms = venue.state.deal.closed_at_ms
    at_ms = began_ms + offset_ms if offset_ms < 0 else ended_ms + offset_ms

    assert venue.tell(paid(venue, "1", "-0.5", at_ms)) == ()


def test_funding_after_the_last_of_the_position_was_sold_is_somebody_elses() -> None:
    """A person has the deal; its take profit fills, and he trades on in the same contract."""
    venue, plain = opened(), opened()
    for one in (venue, plain):
        one.command(Command.TAKE_OVER)
    venue.tell(paid(venue, "1", "-0.5"))
    for one in (venue, plain):
        one.run("101.31")
        assert one.held() == 0
        one.tick(after_ms=5_000)
    others = paid(venue, "2", "0.1")
    venue.tell(others)
    for one in (venue, plain):
        one.command(Command.RESUME)
        one.settle()
    venue.tell(others)

    (closed,), (without,) = venue.closed(), plain.closed()
    assert closed.result_quote == without.result_quote - D("0.5")


@given(st.lists(st.sampled_from("abcd"), max_size=12))
def test_funding_told_in_any_order_and_any_number_of_times_sums_up_the_same(names) -> None:
    amounts = {"a": "-0.5", "b": "0.25", "c": "-0.125", "d": "1"}
    venue = opened()
    for name in names:
        venue.tell(paid(venue, name, amounts[name]))
        venue.state = KIND.load(KIND.dump(venue.state), venue.state.setup)

    assert venue.state.deal.funding_quote == sum((D(amounts[name]) for name in set(names)), D(0))


def test_a_state_from_before_funding_was_known_loads() -> None:
    venue = opened()
    text = KIND.dump(venue.state)
    for key, value in (("fundingQuote", '"0"'), ("fundingIds", "[]"), ("closedAtMs", "0")):
        text = text.replace(f',"{key}":{value}', "")
    assert "unding" not in text

    assert KIND.load(text, venue.state.setup) == venue.state


@pytest.mark.parametrize("direction", ["long", "short"])
def test_a_liquidation_ends_the_deal_by_the_exchanges_figures_and_calls_a_person(direction) -> None:
    venue = opened(direction=direction)
    entered = sum((place.cost for place in venue.orders.values()), D(0))
    fees = sum((sum(place.fees.values()) for place in venue.orders.values()), D(0))
    event = liquidated(venue, fee="0.3")

    actions = venue.tell(event)

    sign = 1 if direction == "long" else -1
    (closed,) = (action for action in actions if isinstance(action, DealClosed))
    assert closed.exit_leg == Leg(LegKind.LIQUIDATION)
    assert closed.result_quote == sign * (event.cost_quote - entered) - fees - D("0.3")
    (taken,) = (action for action in actions if isinstance(action, Taken))
    assert taken.amount_base == abs(venue.held())
    assert not [action for action in actions if isinstance(action, Place)]
    assert venue.phase() == "MANUAL"
    assert "Liquidated" in venue.notes()
    assert KIND.view(venue.state).position_base == 0
    assert venue.tell(event) == ()
    assert not venue.tick(100)


def test_after_a_liquidation_only_a_person_lets_the_bot_trade_again() -> None:
    venue = opened()
    for order in venue.orders.values():
        if not order.status.is_final:
            order.status = OrderStatus.CANCELED
    venue.tell(liquidated(venue))
    for name in list(venue.orders):
        venue.report(name)
    venue.tick(after_ms=10**9)
    assert venue.phase() == "MANUAL"

    venue.command(Command.RESUME)
    venue.tick()

    assert venue.phase() == "FLAT"
    assert venue.state.deals == 2


def test_a_partial_liquidation_leaves_the_rest_to_a_person() -> None:
    venue = opened()
    venue.tell(liquidated(venue, share=2))

    assert venue.phase() == "MANUAL"
    assert not venue.closed()
    assert KIND.view(venue.state).position_base == venue.held() / 2


def test_a_liquidation_that_is_told_in_parts_is_one_order() -> None:
    venue = opened()
    venue.tell(liquidated(venue, share=2))
    venue.tell(liquidated(venue))

    orders = venue.state.deal.of(LegKind.LIQUIDATION)
    assert [order.filled_base for order in orders] == [venue.held()]
    assert len(venue.closed()) == 1


# What has to be kept clear.


@pytest.mark.parametrize("direction", ["long", "short"])
def test_the_next_rung_and_after_the_last_the_stop_come_before_liquidation(direction) -> None:
    venue = opened(direction=direction)
    sign = 1 if direction == "long" else -1
    names = []
    for step in (0, 2, 4, 6):
        venue.run(100 * (1 - sign * D(step) / 100))
        names.append((exposure := KIND.exposure(venue.state)).goal_name)
        average = KIND.view(venue.state).average
        assert exposure.liquidation == liquidation_price(average, sign, venue.state.setup.rates)
        gap = gap_pct(exposure.goal, exposure.liquidation, sign)
        assert gap >= exposure.buffer_pct, "the proofs have seen to it"

    assert names == ["rung 1", "rung 2", "rung 3", "the stop"]
    assert (exposure.leverage, exposure.margin_mode) == (2, "isolated")


def test_there_is_nothing_to_keep_clear_of_on_spot_while_flat_and_at_the_end() -> None:
    spot = Venue.start(setup())
    spot.run(100)
    flat = Venue.start(setup(FUTURES))
    ended = opened()
    ended.run("101.31")

    assert [KIND.exposure(venue.state) for venue in (spot, flat, ended)] == [None] * 3


def test_cross_margin_has_no_liquidation_of_its_own() -> None:
    venue = opened(marginMode="cross")

    assert KIND.exposure(venue.state).liquidation is None


@pytest.mark.parametrize("multiplier", ["0.001", "0.01", "1", "10"])
@pytest.mark.parametrize("direction", ["long", "short"])
def test_amounts_are_whole_contracts_whatever_their_size(multiplier: str, direction: str) -> None:
    size = D(multiplier)
    rules = market(FUTURES, contract_size=size, amount_step=size, amount_min=size, cost_min=D(0))
    price = D(100) if size < 1 else D("0.1")
    rules = replace(rules, price_tick=price / 10_000)
    venue = Venue.start(setup(FUTURES, rules, direction=direction))
    sign = 1 if direction == "long" else -1
    for step in (0, 2, 4, 6, 0):
        venue.run(price * (1 - sign * D(step) / 100))

    assert len(venue.sent) > 5
    assert all(place.order.amount_base % size == 0 for place in venue.sent)
    assert all(place.order.amount_base > 0 for place in venue.sent)
    assert venue.held() % size == 0


def test_what_rests_after_a_liquidation_is_canceled_until_it_is_gone() -> None:
    venue = opened()
    resting = {place.order.client_order_id for place in venue.sent} & {
        name for name, order in venue.orders.items() if not order.status.is_final
    }
    asked = {
        action.client_order_id
        for action in venue.tell(liquidated(venue))
        if isinstance(action, Cancel)
    }
    assert asked == resting
    assert {name[17] for name in resting} >= {LegKind.RUNG, LegKind.TAKE_PROFIT}

    again = {
        action.client_order_id
        for action in venue.tick(after_ms=60_000)
        if isinstance(action, Cancel)
    }
    assert again == resting
    for name in resting:
        venue.cancel(name)
        venue.report(name)
    assert not venue.tick(after_ms=60_000)
    assert len({closed.result_quote for closed in venue.closed()}) == 1
