"""Stop orders of the venue: waiting, triggering, and what they may do then."""

from __future__ import annotations

import pytest

from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    ChangeKind,
    CloseReason,
    Listing,
    OrderRequest,
    Trigger,
)
from backfuturectl.matching.venue import Venue
from backfuturectl.model.orders import OrderStatus
from tests.unit.matching.market import (
    BUY,
    FUTURES,
    LIMIT,
    MARKET,
    SELL,
    SPOT,
    D,
    futures_market,
    limit,
    market,
    place,
    venue,
)


def long_venue(amount: str = "2", leverage: int = 2, **listing: object) -> Venue:
    """Return a venue without fees and spread, where "a" is long at 100."""
    made = venue()
    free = futures_market(taker_fee=D(0), maker_fee=D(0))
    made.add_listing(Listing(free, spread_ticks=0, **listing))
    made.set_price(FUTURES, D(100), 0)
    made.set_leverage("a", FUTURES, leverage, 0)
    place(made, market(BUY, amount, FUTURES))
    return made


def stop(price: str, amount: str = "2", **more: object) -> OrderRequest:
    """Return a stop that closes a long."""
    falling = Trigger(D(price), is_rising=False)
    return market(SELL, amount, FUTURES, is_reduce_only=True, trigger=falling, **more)


def test_a_stop_waits_and_fills_at_the_price_that_sets_it_off():
    made = long_venue()
    order = place(made, stop("90"))
    made.set_price(FUTURES, D("90.1"), 2)
    assert made.order("a", order.serial).is_waiting
    (fill,) = made.set_price(FUTURES, D(85), 3)
    assert (fill.order_serial, fill.price, fill.is_maker) == (order.serial, D(85), False)
    done = made.order("a", order.serial)
    assert (done.status, done.triggered_at_ms) == (OrderStatus.FILLED, 3)
    assert made.position("a", FUTURES) is None


def test_a_stop_buys_back_a_short_when_the_price_rises():
    made = long_venue()
    place(made, market(SELL, "4", FUTURES))
    rising = Trigger(D(110), is_rising=True)
    place(made, market(BUY, "2", FUTURES, is_reduce_only=True, trigger=rising))
    assert made.set_price(FUTURES, D("109.9"), 2) == ()
    assert len(made.set_price(FUTURES, D(110), 3)) == 1
    assert made.position("a", FUTURES) is None


def test_a_stop_that_the_price_has_passed_already_enters_at_once():
    made = long_venue()
    assert place(made, stop("100")).status is OrderStatus.FILLED


def test_a_waiting_stop_holds_nothing_and_leaves_room_for_a_take_profit():
    made = long_venue()
    before = made.overview("a", "USDT").available_quote
    rising = Trigger(D(120), is_rising=True)
    place(made, market(BUY, "50", FUTURES, trigger=rising))
    place(made, stop("90"))
    assert made.overview("a", "USDT").available_quote == before
    place(made, limit(SELL, "2", "110", FUTURES, is_reduce_only=True))
    assert len(made.open_orders("a", FUTURES)) == 3


def test_a_stop_larger_than_the_position_closes_no_more_than_that():
    made = long_venue()
    place(made, limit(SELL, "1.5", "110", FUTURES, is_reduce_only=True))
    order = place(made, stop("90"))
    made.set_price(FUTURES, D(111), 2)
    made.set_price(FUTURES, D(90), 3)
    done = made.order("a", order.serial)
    assert (done.status, done.filled_base) == (OrderStatus.CANCELED, D("0.5"))
    assert made.position("a", FUTURES) is None


def test_a_stop_outlives_the_position_and_ends_unfilled_when_it_triggers():
    made = long_venue()
    order = place(made, stop("90"))
    place(made, market(SELL, "2", FUTURES))
    assert made.order("a", order.serial).is_waiting
    made.set_price(FUTURES, D(80), 2)
    done = made.order("a", order.serial)
    assert (done.status, done.close_reason) == (OrderStatus.CANCELED, CloseReason.REDUCE_ONLY)
    assert made.position("a", FUTURES) is None


def test_two_stops_for_one_position_close_it_once():
    made = long_venue()
    first, second = place(made, stop("90")), place(made, stop("91"))
    made.set_price(FUTURES, D(90), 2)
    assert made.order("a", first.serial).filled_base == D(2)
    assert made.order("a", second.serial).filled_base == 0
    assert made.position("a", FUTURES) is None


def test_a_price_that_liquidates_comes_before_the_stop():
    made = long_venue(leverage=10)
    order = place(made, stop("95"))
    made.set_price(FUTURES, D(80), 2)
    done = made.order("a", order.serial)
    assert (done.status, done.close_reason) == (OrderStatus.CANCELED, CloseReason.LIQUIDATION)


def test_a_stop_fills_as_far_as_the_market_is_deep_and_goes_on_with_the_next_price():
    made = long_venue(fill_max_base=D("0.5"), amount="0.5")
    for at_ms in (2, 3, 4):
        made.set_price(FUTURES, D(100), at_ms)
        place(made, market(BUY, "0.5", FUTURES), at_ms)
    order = place(made, stop("90"))
    made.set_price(FUTURES, D(90), 5)
    assert made.order("a", order.serial).filled_base == D("0.5")
    for at_ms in (6, 7, 8):
        made.set_price(FUTURES, D(95), at_ms)
    assert made.order("a", order.serial).status is OrderStatus.FILLED


def test_a_stop_that_opens_needs_its_margin_when_it_triggers():
    made = long_venue()
    falling = Trigger(D(90), is_rising=False)
    order = place(made, market(SELL, "1000", FUTURES, trigger=falling))
    made.set_price(FUTURES, D(90), 2)
    done = made.order("a", order.serial)
    assert (done.status, done.close_reason) == (OrderStatus.CANCELED, CloseReason.FUNDS)


def test_a_stop_limit_rests_on_the_book_once_triggered():
    made = long_venue()
    falling = Trigger(D(90), is_rising=False)
    request = limit(SELL, "2", "95", FUTURES, is_reduce_only=True, trigger=falling)
    order = place(made, request)
    made.set_price(FUTURES, D(90), 2)
    shown = made.order("a", order.serial)
    assert shown.is_open
    assert not shown.is_waiting
    (fill,) = made.set_price(FUTURES, D(95), 3)
    assert fill.price == D(95)


def test_a_canceled_stop_never_triggers():
    made = long_venue()
    order = place(made, stop("90"))
    made.cancel("a", order.serial, 2)
    assert made.set_price(FUTURES, D(80), 3) == ()
    assert ChangeKind.ORDER_TRIGGERED not in {change.kind for change in made.changes}


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (stop("90.05"), Refusal.PRICE_PRECISION),
        (
            OrderRequest(
                SPOT, SELL, MARKET, amount_base=D(1), trigger=Trigger(D(90), is_rising=False)
            ),
            Refusal.PARAMETER,
        ),
        (
            OrderRequest(
                FUTURES,
                SELL,
                LIMIT,
                amount_base=D(1),
                price=D(90),
                trigger=Trigger(D("NaN"), is_rising=False),
            ),
            Refusal.PARAMETER,
        ),
    ],
    ids=["off the tick", "spot", "no number"],
)
def test_a_malformed_stop_is_refused(request_, refusal):
    with pytest.raises(VenueError) as caught:
        place(long_venue(), request_)
    assert caught.value.kind is refusal


def test_stops_are_counted_apart_from_orders_on_the_book():
    made = long_venue()
    for price in ("90", "91", "92"):
        place(made, stop(price))
    with pytest.raises(VenueError) as caught:
        place(made, stop("93"))
    assert caught.value.kind is Refusal.TOO_MANY_STOPS
    made.add_listing(Listing(futures_market(open_orders_max=1), spread_ticks=0))
    place(made, limit(BUY, "1", "50", FUTURES))
    with pytest.raises(VenueError) as caught:
        place(made, limit(BUY, "1", "51", FUTURES))
    assert caught.value.kind is Refusal.TOO_MANY_ORDERS
