"""The stop that waits on the exchange: placed, replaced, fired, watched, and never orphaned."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import Leg, LegKind, OrderStatus, OrderType, Side
from backfuturectl.strategy.averaging.state import RESTING_STOP
from backfuturectl.strategy.averaging.stops import STOP_PATIENCE_MS
from backfuturectl.strategy.base import Cancel, Command, Gate, Place, SetupChanged
from tests.unit.strategy.venue import KIND, Resting, Venue, market, setup

D = Decimal
FUTURES = MarketKind.FUTURES
# The base order buys at 100.3 (its limit), so a stop of 10 % is at 90.27.
STOP = D("90.27")


def long(**changes: object) -> Venue:
    """A long deal whose base order has filled and whose exits rest."""
    venue = Venue.start(setup(FUTURES, **changes), doubts_quiet=True)
    venue.run(100, 100)
    return venue


def stops(venue: Venue) -> list[Resting]:
    """Stops that wait on the exchange."""
    return [order for order in venue.live(LegKind.STOP_LOSS) if order.order.trigger_price]


def names(venue: Venue) -> list[str]:
    return [
        name
        for name, order in venue.orders.items()
        if order.order.trigger_price and order.status is OrderStatus.OPEN
    ]


def cover(venue: Venue) -> Decimal:
    """What is held, and what resting orders may add to it."""
    adding = (*venue.live(LegKind.BASE), *venue.live(LegKind.RUNG))
    return abs(venue.held()) + sum((order.left for order in adding), D(0))


def placed(actions: object) -> list[Place]:
    return [action for action in actions if isinstance(action, Place)]


def canceled(actions: object) -> list[str]:
    return [action.client_order_id for action in actions if isinstance(action, Cancel)]


def test_a_stop_for_all_that_is_held_goes_out_before_the_take_profit() -> None:
    venue = Venue.start(setup(FUTURES))
    venue.tick(100)
    (base,) = venue.orders
    venue.accept(base)
    venue.fill(base)
    stop, take_profit, *_ = placed(venue.report(base))
    assert (stop.leg, take_profit.leg.kind) == (RESTING_STOP, LegKind.TAKE_PROFIT)
    order = stop.order
    assert (order.type, order.side, order.is_reduce_only) == (OrderType.MARKET, Side.SELL, True)
    assert order.trigger_price == order.price == STOP
    venue.settle()
    assert order.amount_base == cover(venue)


def test_a_part_of_the_base_order_is_protected_while_the_rest_is_waited_for() -> None:
    venue = Venue.start(setup(FUTURES))
    venue.tick(100)
    (base,) = venue.orders
    venue.accept(base)
    venue.fill(base, D("0.3"))
    (stop,) = placed(venue.report(base))
    assert (stop.leg, stop.order.amount_base) == (RESTING_STOP, cover(venue))
    venue.settle()
    venue.fill(base)
    venue.report(base)
    venue.settle()
    (only,) = stops(venue)
    assert only.order.amount_base == cover(venue)


def test_a_rung_that_fills_is_covered_already() -> None:
    venue = long()
    before = names(venue)
    for rung in [n for n, o in venue.orders.items() if o in venue.live(LegKind.RUNG)]:
        venue.fill(rung, D("0.2"))
        assert not any(place.leg == RESTING_STOP for place in placed(venue.report(rung)))
    assert names(venue) == before
    assert venue.orders[before[0]].order.amount_base == cover(venue)


def test_people_see_the_stop_and_where_it_is() -> None:
    seen = KIND.view(long().state)
    assert (seen.stop, seen.is_stop_resting) == (STOP, True)
    watched = KIND.view(long(stopLoss={"onExchange": "never"}).state)
    assert (watched.stop, watched.is_stop_resting) == (STOP, False)
    assert KIND.view(Venue.start(setup(FUTURES)).state).stop is None


def test_spot_watches_the_stop() -> None:
    venue = Venue.start(setup(stopLoss={"onExchange": "preferred"}))
    venue.run(100, 100)
    assert not stops(venue)
    venue.run(90)
    assert venue.phase() == "COOLDOWN"


@pytest.mark.parametrize(
    "stop", [{"onExchange": "never"}, {"confirmFor": "60s"}], ids=["never", "to be confirmed"]
)
def test_a_stop_that_must_not_rest_is_watched(stop: dict[str, str]) -> None:
    assert not stops(long(stopLoss=stop))


def test_a_position_that_grows_is_never_without_a_stop_while_it_is_replaced() -> None:
    venue = long(stopLoss={"reference": "average"})
    (first,) = names(venue)
    rung = next(iter(venue.live(LegKind.RUNG)))
    rung_name = next(name for name, order in venue.orders.items() if order is rung)
    venue.fill(rung_name)
    actions = venue.report(rung_name)
    (second,) = [place for place in placed(actions) if place.leg == RESTING_STOP]
    assert first not in canceled(actions)
    assert second.order.amount_base >= venue.held()
    assert second.order.trigger_price < venue.orders[first].order.trigger_price
    venue.accept(second.order.client_order_id)
    assert first in canceled(venue.report(second.order.client_order_id))
    venue.settle()
    assert names(venue) == [second.order.client_order_id]


def test_an_old_stop_stays_when_its_successor_is_refused() -> None:
    venue = long(stopLoss={"reference": "average"})
    (first,) = names(venue)
    rung_name = next(n for n, o in venue.orders.items() if o in venue.live(LegKind.RUNG))
    venue.fill(rung_name)
    (second,) = [p for p in placed(venue.report(rung_name)) if p.leg == RESTING_STOP]
    venue.reject(second.order.client_order_id)
    venue.report(second.order.client_order_id)
    venue.settle()
    assert names(venue) == [first]
    venue.run(99, after_ms=10_000)
    (only,) = stops(venue)
    assert only.order.amount_base == cover(venue)


def test_a_part_that_left_leaves_the_stop_alone() -> None:
    venue = long()
    before = names(venue)
    (target,) = [n for n, o in venue.orders.items() if o in venue.live(LegKind.TAKE_PROFIT)]
    venue.fill(target, D("0.2"))
    venue.report(target)
    venue.settle()
    assert names(venue) == before
    venue.run(80)
    assert venue.held() == 0


def test_a_stop_that_fires_ends_the_deal_as_stopped() -> None:
    rest = {"afterTakeProfit": "1s", "afterStopLoss": "6h"}
    venue = long(cooldown=rest, averaging={"maxOrders": 0})
    venue.run(97, 90)
    assert venue.held() == 0
    assert "StopLossFilled" in venue.notes()
    (closed,) = venue.closed()
    assert closed.exit_leg == Leg(LegKind.STOP_LOSS)
    assert venue.phase() == "COOLDOWN"
    assert venue.state.rest_until_ms - venue.now_ms > 5 * 3_600_000
    assert not any(order.status.may_rest for order in venue.orders.values())
    # The exchange did it; nothing else was sent to sell.
    assert all(place.leg != Leg(LegKind.STOP_LOSS) for place in venue.sent)


def test_a_wick_that_only_the_exchange_saw_ends_the_deal_too() -> None:
    venue = long()
    (stop,) = names(venue)
    venue.fill(stop)
    actions = venue.report(stop)
    assert not placed(actions)
    assert canceled(actions)
    assert "StopLossFilled" in venue.notes()  # although it covered the rungs, too
    venue.settle()
    assert venue.closed()[0].exit_leg == Leg(LegKind.STOP_LOSS)
    assert venue.held() == 0


def test_what_a_fired_stop_leaves_follows_it_at_market() -> None:
    venue = long()
    (stop,) = names(venue)
    venue.fill(stop, D("0.4"))
    venue.report(stop)
    assert venue.phase() == "HALTING"
    assert not any(place.leg == Leg(LegKind.STOP_LOSS) for place in venue.sent)
    venue.cancel(stop)
    venue.report(stop)
    venue.settle()
    venue.run(95)
    assert (venue.held(), venue.phase()) == (0, "COOLDOWN")
    assert venue.last(LegKind.STOP_LOSS).leg == Leg(LegKind.STOP_LOSS)


def test_a_stop_that_the_exchange_does_not_set_off_is_overtaken_once() -> None:
    venue = long()
    (stop,) = names(venue)
    venue.tick(90)
    venue.tick(90, after_ms=STOP_PATIENCE_MS - 1)
    assert venue.state.deal.closing is None
    venue.tick(90, after_ms=1)
    assert venue.phase() == "HALTING"
    for name, order in list(venue.orders.items()):  # all but the stop ends as asked
        if name != stop and order.status is OrderStatus.OPEN:
            venue.cancel(name)
            venue.report(name)
    exit_ = venue.last(LegKind.STOP_LOSS)
    assert (exit_.leg, exit_.order.trigger_price) == (Leg(LegKind.STOP_LOSS), None)
    assert venue.orders[stop].status is OrderStatus.OPEN  # the protection goes last
    venue.settle()
    assert venue.orders[stop].status is OrderStatus.CANCELED
    assert (venue.held(), venue.phase()) == (0, "COOLDOWN")


def test_a_stop_that_fires_before_the_rungs_are_heard_of_is_no_contradiction() -> None:
    venue = long()
    (target,) = [n for n, o in venue.orders.items() if o in venue.live(LegKind.TAKE_PROFIT)]
    venue.fill(target, D("0.2"))
    venue.report(target)
    (stop,) = names(venue)
    rungs = [n for n, o in venue.orders.items() if o in venue.live(LegKind.RUNG)]
    for rung in rungs:
        venue.fill(rung)
    venue.fill(stop)
    venue.report(stop)  # more than the bot knows that it held
    assert venue.phase() == "HALTING"
    venue.settle()
    venue.run(95)
    assert (venue.held(), venue.phase()) == (0, "COOLDOWN")


def test_more_sold_than_was_ever_held_is_still_a_contradiction() -> None:
    venue = long(averaging={"maxOrders": 0})
    (target,) = [n for n, o in venue.orders.items() if o in venue.live(LegKind.TAKE_PROFIT)]
    (stop,) = names(venue)
    venue.fill(target, D("0.2"))
    venue.report(target)
    whole = venue.orders[stop].order.amount_base
    venue.tell(
        replace(
            venue.view(stop), status=OrderStatus.FILLED, filled_base=whole, cost_quote=90 * whole
        )
    )
    assert venue.phase() == "MANUAL"


def test_both_lines_at_once_sell_no_more_than_is_held() -> None:
    venue = long()
    (stop,) = names(venue)
    venue.tick(90)
    venue.tick(90, after_ms=STOP_PATIENCE_MS)
    for name, order in list(venue.orders.items()):
        if name != stop and order.status is OrderStatus.OPEN:
            venue.cancel(name)
            venue.report(name)
    exit_ = venue.last(LegKind.STOP_LOSS).order.client_order_id
    venue.fill(stop)  # it fires after all, before the market order arrives
    venue.accept(exit_)
    assert venue.orders[exit_].status is OrderStatus.CANCELED
    venue.settle()
    assert (venue.held(), venue.phase()) == (0, "COOLDOWN")


def test_a_price_that_returns_in_time_leaves_the_rest_to_the_exchange() -> None:
    venue = long()
    venue.tick(90)
    venue.tick(95, after_ms=STOP_PATIENCE_MS - 1)
    venue.tick(90, after_ms=STOP_PATIENCE_MS)
    assert venue.state.deal.closing is None


def test_a_refused_stop_is_watched_without_delay_and_tried_again() -> None:
    venue = Venue.start(setup(FUTURES))
    venue.tick(100)
    (base,) = venue.orders
    venue.accept(base)
    venue.fill(base)
    (stop,) = [p for p in placed(venue.report(base)) if p.leg == RESTING_STOP]
    venue.reject(stop.order.client_order_id)
    venue.report(stop.order.client_order_id)
    venue.settle()
    assert not stops(venue)
    again = Venue(**{**vars(venue), "orders": dict(venue.orders), "sent": list(venue.sent)})
    again.run(100, after_ms=10_000)
    assert len(stops(again)) == 1
    venue.tick(90)
    assert venue.phase() == "HALTING"
    venue.settle()
    assert (venue.held(), venue.phase()) == (0, "COOLDOWN")


def test_nothing_is_added_while_the_exchange_may_be_closing_the_position() -> None:
    venue = long(averaging={"maxPlaced": 1}, stopLoss={"percent": D(10)})
    rung_name = next(n for n, o in venue.orders.items() if o in venue.live(LegKind.RUNG))
    venue.tick(90)
    venue.fill(rung_name)
    actions = venue.report(rung_name)
    assert not any(place.leg.kind.is_adding for place in placed(actions))


@pytest.mark.parametrize("gate", [Gate.EXITS_ONLY, Gate.SHUT])
def test_the_stop_stays_whatever_the_gate(gate: Gate) -> None:
    venue = long()
    before = names(venue)
    venue.gate(gate)
    venue.run(99, "98.5", after_ms=60_000)
    assert names(venue) == before


def test_a_lost_stop_is_put_back_while_only_exits_are_allowed() -> None:
    venue = long()
    (stop,) = names(venue)
    venue.gate(Gate.EXITS_ONLY)
    venue.cancel(stop)
    venue.report(stop)
    venue.run(99, after_ms=10_000)
    assert len(stops(venue)) == 1


@pytest.mark.parametrize("command", [Command.PAUSE, Command.DRAIN])
def test_the_stop_stays_while_a_deal_is_only_managed(command: Command) -> None:
    venue = long()
    before = names(venue)
    venue.command(command)
    venue.run(99, "98.5")
    assert names(venue) == before


def test_the_stop_stays_in_manual_and_its_fill_is_booked() -> None:
    venue = long()
    (stop,) = names(venue)
    (target,) = [n for n, o in venue.orders.items() if o in venue.live(LegKind.TAKE_PROFIT)]
    impossible = replace(venue.view(target), status=OrderStatus.REJECTED)
    venue.tell(impossible)
    assert venue.phase() == "MANUAL"
    venue.run(99)
    assert names(venue) == [stop]
    venue.fill(stop)
    venue.report(stop)
    assert KIND.view(venue.state).position_base == 0
    assert venue.phase() == "MANUAL"
    venue.command(Command.RESUME)
    venue.settle()
    venue.run(99)
    assert venue.phase() == "COOLDOWN"


def test_the_stop_stays_in_recovery() -> None:
    recovery = {
        "enabled": True,
        "trigger": {"drawdownPct": D(2), "confirmFor": "0s", "emaSpan": "0s"},
        "actions": {"takeProfitPct": D("0.5")},
        "exit": {"drawdownPct": D(1), "marginUsedPct": D(99)},
        "escalate": {"drawdownPct": D(4)},
    }
    venue = long(recovery=recovery)
    venue.run(97, 97, 97)
    assert venue.phase() == "RECOVERY"
    (only,) = stops(venue)
    assert only.order.amount_base >= venue.held()


def test_abandoning_takes_the_stop_off_and_leaves_the_position() -> None:
    venue = long()
    held = venue.held()
    venue.command(Command.ABANDON)
    venue.settle()
    assert not any(order.status.may_rest for order in venue.orders.values())
    assert venue.held() == held


def test_closing_by_hand_does_not_wait_for_the_stop() -> None:
    venue = long()
    (stop,) = names(venue)
    venue.command(Command.CLOSE)
    for name, order in list(venue.orders.items()):
        if name != stop and order.status is OrderStatus.OPEN:
            venue.cancel(name)
            venue.report(name)
    assert venue.last(LegKind.CLOSE).order.amount_base == venue.held()
    assert venue.orders[stop].status is OrderStatus.OPEN
    venue.settle()
    assert venue.orders[stop].status is OrderStatus.CANCELED
    assert venue.closed()[0].exit_leg == Leg(LegKind.CLOSE)


def test_a_deal_ends_only_once_its_stop_is_known_to_be_gone() -> None:
    venue = long()
    (stop,) = names(venue)
    (target,) = [n for n, o in venue.orders.items() if o in venue.live(LegKind.TAKE_PROFIT)]
    venue.fill(target)
    assert stop in canceled(venue.report(target))
    for name, order in list(venue.orders.items()):
        if name != stop and order.status is OrderStatus.OPEN:
            venue.cancel(name)
            venue.report(name)
    assert not venue.closed()
    venue.settle()
    assert venue.closed()[0].exit_leg == Leg(LegKind.TAKE_PROFIT)


@pytest.mark.parametrize(
    ("edit", "level"),
    [({"percent": D(12)}, D("88.26")), ({"percent": D(8)}, D("92.27"))],
    ids=["further", "nearer"],
)
def test_an_edit_moves_the_stop(edit: dict[str, object], level: Decimal) -> None:
    venue = long()
    venue.tell(SetupChanged(setup(FUTURES, stopLoss=edit), venue.now_ms))
    assert len(stops(venue)) == 1
    venue.settle()
    (only,) = stops(venue)
    assert only.order.trigger_price == level


def test_edits_in_quick_succession_never_make_three_stops() -> None:
    venue = long()
    for percent in (12, 13, 14, 15):
        venue.tell(SetupChanged(setup(FUTURES, stopLoss={"percent": D(percent)}), venue.now_ms))
        waiting = [o for o in venue.orders.values() if o.order.trigger_price and o.status.may_rest]
        assert len(waiting) <= 2
    venue.settle()
    (only,) = stops(venue)
    assert only.order.trigger_price == D("85.25")


def test_an_edit_to_beyond_the_price_closes_at_once_and_rests_nothing_there() -> None:
    venue = long(averaging={"maxOrders": 1})
    venue.run(95)
    nearer = setup(FUTURES, averaging={"maxOrders": 1}, stopLoss={"percent": D("4.5")})
    assert not placed(venue.tell(SetupChanged(nearer, venue.now_ms)))
    venue.run(95)
    assert (venue.held(), venue.phase()) == (0, "COOLDOWN")


@pytest.mark.parametrize("stop", [{"onExchange": "never"}, {"confirmFor": "60s"}])
def test_an_edit_takes_the_stop_off_and_another_brings_it_back(stop: dict[str, object]) -> None:
    venue = long()
    venue.tell(SetupChanged(setup(FUTURES, stopLoss=stop), venue.now_ms))
    venue.settle()
    assert not stops(venue)
    venue.tell(SetupChanged(setup(FUTURES), venue.now_ms))
    venue.settle()
    assert len(stops(venue)) == 1


def test_a_position_too_large_for_one_order_leaves_in_two() -> None:
    rules = market(FUTURES, amount_max=D("0.6"))
    venue = Venue.start(setup(FUTURES, rules, averaging={"maxOrders": 1}))
    venue.run(100, 100, 98, 98)
    assert venue.held() > D("0.6")
    (only,) = stops(venue)
    assert only.order.amount_base == D("0.6")
    venue.run(90, 90)
    assert (venue.held(), venue.phase()) == (0, "COOLDOWN")


def test_a_record_without_trigger_prices_is_read() -> None:
    venue = long()
    tree = json.loads(KIND.dump(venue.state))
    for order in tree["deal"]["orders"]:
        del order["triggerPrice"]
    loaded = KIND.load(json.dumps(tree), venue.state.setup)
    assert all(order.trigger_price is None for order in loaded.deal.orders)


@pytest.mark.parametrize("direction", ["long", "short"])
@given(path=st.lists(st.integers(860, 1140), max_size=60))
@settings(max_examples=60)
def test_with_an_honest_exchange_no_position_is_ever_uncovered(
    direction: str, path: list[int]
) -> None:
    venue = Venue.start(
        setup(FUTURES, direction=direction, cooldown={"afterStopLoss": "1s"}), doubts_quiet=True
    )
    sign = venue.state.setup.terms.sign
    for price in path:
        venue.run(D(price) / 10)
        held = sign * venue.held()
        assert held >= 0
        if held and venue.phase() in {"ACTIVE", "WATCH", "RECOVERY"}:
            (only,) = stops(venue)
            assert only.order.amount_base >= cover(venue)
        if not held:
            assert not stops(venue)
