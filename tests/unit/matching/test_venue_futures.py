"""Positions, margin, liquidation and funding of the venue."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    CloseReason,
    EntryKind,
    Listing,
    OrderRequest,
    PositionMode,
    VenueRules,
    Wallet,
)
from backfuturectl.matching.venue import Venue
from backfuturectl.model.orders import OrderStatus
from tests.unit.matching.market import (
    BUY,
    CROSS,
    FUTURES,
    ISOLATED,
    MARKET,
    SELL,
    D,
    futures_market,
    limit,
    market,
    place,
    venue,
)

NO_FEES = {"taker_fee": D(0), "maker_fee": D(0)}


def free_venue(leverage: int = 10, *, money: str = "10000", mode: object = ISOLATED) -> Venue:
    """Return a venue without fees and spread, so that figures can be checked by hand."""
    made = venue(money=money)
    made.add_listing(Listing(futures_market(**NO_FEES), spread_ticks=0))
    made.set_price(FUTURES, D(100), 0)
    made.set_margin_mode("a", FUTURES, mode)
    made.set_leverage("a", FUTURES, leverage, 0)
    return made


def buy(made: Venue, amount: str, price: str | None = None, **more: object) -> None:
    if price is not None:
        made.set_price(FUTURES, D(price), 1)
    place(made, market(BUY, amount, FUTURES, **more))


def sell(made: Venue, amount: str, price: str | None = None, **more: object) -> None:
    if price is not None:
        made.set_price(FUTURES, D(price), 1)
    place(made, market(SELL, amount, FUTURES, **more))


def cash(made: Venue) -> Decimal:
    return made.balances("a", Wallet.FUTURES)["USDT"].total


def test_the_entry_price_is_the_mean_of_what_was_added():
    made = free_venue()
    buy(made, "1", "100")
    buy(made, "3", "120")
    position = made.position("a", FUTURES)
    assert (position.amount_base, position.entry_price) == (D(4), D(115))
    assert position.margin_quote == D(46)


def test_reducing_realises_profit_and_keeps_the_entry_price():
    made = free_venue()
    buy(made, "4", "100")
    sell(made, "1", "110")
    position = made.position("a", FUTURES)
    assert (position.amount_base, position.entry_price, position.margin_quote) == (
        D(3),
        D(100),
        D(30),
    )
    assert cash(made) == D(10010)
    assert made.fills("a")[-1].realised_quote == D(10)


def test_a_short_earns_when_the_price_falls():
    made = free_venue()
    sell(made, "2", "100")
    assert made.position("a", FUTURES).amount_base == D(-2)
    made.set_price(FUTURES, D(90), 2)
    assert made.position("a", FUTURES).unrealised_quote == D(20)
    buy(made, "2")
    assert made.position("a", FUTURES) is None
    assert cash(made) == D(10020)


def test_selling_more_than_held_turns_the_position_around():
    made = free_venue()
    buy(made, "1", "100")
    sell(made, "3", "110")
    position = made.position("a", FUTURES)
    assert (position.amount_base, position.entry_price) == (D(-2), D(110))
    assert cash(made) == D(10010)


@pytest.mark.parametrize(
    ("leverage", "side", "price"),
    [
        # avg * (1 - s/L) / (1 - s*u), u = 0.005
        (10, BUY, D(90) / D("0.995")),
        (50, BUY, D(98) / D("0.995")),
        (10, SELL, D(110) / D("1.005")),
        (2, SELL, D(150) / D("1.005")),
    ],
)
def test_the_liquidation_price_of_an_isolated_position(leverage, side, price):
    made = free_venue(leverage)
    place(made, market(side, "1", FUTURES))
    shown = made.position("a", FUTURES).liquidation_price
    assert shown == price.quantize(D("1e-12"))


def test_a_long_without_leverage_has_no_liquidation_price():
    made = free_venue(1)
    buy(made, "1")
    assert made.position("a", FUTURES).liquidation_price is None


def test_liquidation_costs_exactly_the_margin_however_far_the_price_falls():
    made = free_venue(10)
    buy(made, "1")
    made.set_price(FUTURES, D("90.5"), 2)
    assert made.position("a", FUTURES) is not None
    (fill,) = made.set_price(FUTURES, D(10), 3)
    assert (fill.is_liquidation, fill.price, fill.realised_quote) == (True, D(90), D(-10))
    assert cash(made) == D(9990)
    assert made.position("a", FUTURES) is None


def test_a_position_is_taken_over_at_a_price_on_the_tick():
    for open_position, far, told in ((buy, "80", "85.8"), (sell, "120", "114.2")):
        made = free_venue(7)
        open_position(made, "1")
        (fill,) = made.set_price(FUTURES, D(far), 2)
        assert (fill.is_liquidation, fill.price) == (True, D(told))
        assert round(D(10_000) - cash(made), 9) == round(D(100) / 7, 9), "exactly the margin"
        assert D(10_000) - cash(made) == fill.fee.amount - fill.realised_quote


def test_liquidation_cancels_what_rests_on_the_market():
    made = free_venue(10)
    buy(made, "1")
    rung = place(made, limit(BUY, "1", "50", FUTURES))
    exit_ = place(made, limit(SELL, "1", "120", FUTURES, is_reduce_only=True))
    made.set_price(FUTURES, D(80), 2)
    for order in (rung, exit_):
        after = made.order("a", order.serial)
        assert (after.status, after.close_reason) == (
            OrderStatus.CANCELED,
            CloseReason.LIQUIDATION,
        )


def test_a_rung_above_the_liquidation_price_fills_before_it_is_reached():
    made = free_venue(10)
    buy(made, "1")  # liquidated at 90.45
    place(made, limit(BUY, "3", "95", FUTURES))  # average 96.25 from here on, liquidated at 87.06
    fills = made.set_price(FUTURES, D(88), 2)
    assert [fill.is_liquidation for fill in fills] == [False]
    assert made.position("a", FUTURES).amount_base == D(4)


def test_a_rung_below_the_liquidation_price_comes_too_late():
    made = free_venue(10)
    buy(made, "1")
    rung = place(made, limit(BUY, "3", "85", FUTURES))
    fills = made.set_price(FUTURES, D(84), 2)
    assert [fill.is_liquidation for fill in fills] == [True]
    assert made.order("a", rung.serial).status is OrderStatus.CANCELED


def test_cross_positions_are_backed_by_the_whole_wallet():
    made = free_venue(10, money="100", mode=CROSS)
    buy(made, "1")
    # 100 + (P - 100) = 0.005 * P: the wallet outlives any fall.
    assert made.position("a", FUTURES).liquidation_price is None
    made.set_price(FUTURES, D(50), 2)
    assert made.position("a", FUTURES).unrealised_quote == D(-50)
    assert made.overview("a", "USDT").available_quote == D(40)


def test_a_cross_wallet_that_is_overdrawn_ends_at_zero():
    made = free_venue(10, money="50", mode=CROSS)
    buy(made, "2")
    shown = made.position("a", FUTURES).liquidation_price
    assert shown == (D(75) / D("0.995")).quantize(D("1e-12"))
    made.set_price(FUTURES, D(60), 2)
    assert cash(made) == 0
    assert [entry.amount for entry in made.entries("a") if entry.kind is EntryKind.INSURANCE] == [
        D(30)
    ]


def test_an_opening_order_holds_margin_and_fee():
    made = venue()
    made.set_leverage("a", FUTURES, 10, 0)
    place(made, limit(BUY, "1", "90", FUTURES))
    overview = made.overview("a", "USDT")
    assert overview.order_margin_quote == D("9.09")
    assert overview.available_quote == D(10000) - D("9.09")


def test_an_order_that_closes_holds_nothing():
    made = free_venue()
    buy(made, "2")
    before = made.overview("a", "USDT").available_quote
    place(made, limit(SELL, "2", "120", FUTURES))
    assert made.overview("a", "USDT").available_quote == before
    place(made, limit(SELL, "1", "120", FUTURES))
    assert made.overview("a", "USDT").order_margin_quote == D(12)


def test_an_order_beyond_the_margin_is_refused():
    made = free_venue(10, money="9")
    with pytest.raises(VenueError) as caught:
        buy(made, "1")
    assert caught.value.kind is Refusal.INSUFFICIENT_BALANCE


def test_an_order_without_margin_at_its_turn_is_canceled():
    made = free_venue(10, money="10")
    buy(made, "1")
    exit_ = place(made, limit(SELL, "1", "110", FUTURES))
    place(made, market(SELL, "1", FUTURES, is_reduce_only=True))
    # What was to close the long would now open a short, whose margin is 11.
    made.set_price(FUTURES, D(110), 3)
    after = made.order("a", exit_.serial)
    assert (after.status, after.close_reason) == (OrderStatus.CANCELED, CloseReason.FUNDS)


def test_a_reduce_only_order_needs_a_position_to_reduce():
    made = free_venue()
    for request in (
        limit(SELL, "1", "110", FUTURES, is_reduce_only=True),
        market(BUY, "1", FUTURES, is_reduce_only=True),
    ):
        with pytest.raises(VenueError) as caught:
            place(made, request)
        assert caught.value.kind is Refusal.REDUCE_ONLY_REJECTED


def test_a_reduce_only_order_stops_at_flat():
    made = free_venue()
    buy(made, "1")
    order = place(made, market(SELL, "3", FUTURES, is_reduce_only=True))
    assert made.position("a", FUTURES) is None
    assert (order.filled_base, order.status) == (D(1), OrderStatus.CANCELED)


def test_resting_reduce_only_orders_go_when_the_position_is_gone():
    made = free_venue()
    buy(made, "1")
    order = place(made, limit(SELL, "1", "120", FUTURES, is_reduce_only=True))
    sell(made, "1")
    after = made.order("a", order.serial)
    assert (after.status, after.close_reason) == (OrderStatus.CANCELED, CloseReason.REDUCE_ONLY)


@pytest.mark.parametrize("leverage", [0, 51])
def test_leverage_stays_within_the_market(leverage):
    made = free_venue()
    for call in (
        lambda: made.set_leverage("a", FUTURES, leverage, 1),
        lambda: place(made, market(BUY, "1", FUTURES, leverage=leverage)),
    ):
        with pytest.raises(VenueError) as caught:
            call()
        assert caught.value.kind is Refusal.LEVERAGE


def test_an_isolated_order_brings_its_own_leverage():
    made = free_venue(10)
    buy(made, "1", leverage=20)
    position = made.position("a", FUTURES)
    assert (position.leverage, position.margin_quote) == (20, D(5))


def test_a_cross_order_has_the_leverage_of_the_account():
    made = free_venue(10, mode=CROSS)
    buy(made, "1", leverage=20)
    assert made.position("a", FUTURES).leverage == 10


def test_changing_leverage_changes_the_margin_of_an_open_position():
    made = free_venue(10)
    buy(made, "1")
    made.set_leverage("a", FUTURES, 5, 2)
    assert made.position("a", FUTURES).margin_quote == D(20)


def test_leverage_that_would_liquidate_at_once_is_refused():
    made = free_venue(5)
    buy(made, "1")
    made.set_price(FUTURES, D(95), 2)
    with pytest.raises(VenueError) as caught:
        made.set_leverage("a", FUTURES, 20, 2)
    assert caught.value.kind is Refusal.LEVERAGE
    assert made.setting("a", FUTURES).leverage == 5


def test_margin_and_position_mode_cannot_change_under_an_order():
    made = free_venue()
    order = place(made, limit(BUY, "1", "90", FUTURES))
    for call in (
        lambda: made.set_margin_mode("a", FUTURES, CROSS),
        lambda: made.set_position_mode("a", PositionMode.HEDGE),
    ):
        with pytest.raises(VenueError) as caught:
            call()
        assert caught.value.kind is Refusal.POSITION_OPEN
    made.cancel("a", order.serial, 2)
    made.set_margin_mode("a", FUTURES, CROSS)
    assert made.setting("a", FUTURES).margin_mode is CROSS


def test_an_order_of_another_margin_mode_is_refused():
    with pytest.raises(VenueError) as caught:
        buy(free_venue(), "1", margin_mode=CROSS)
    assert caught.value.kind is Refusal.MARGIN_MODE_DIFFERS


def test_hedge_mode_takes_no_orders():
    made = free_venue()
    with pytest.raises(VenueError) as caught:
        buy(made, "1", is_hedge=True)
    assert caught.value.kind is Refusal.POSITION_MODE_DIFFERS
    hedged = venue(rules=VenueRules(position_mode=PositionMode.HEDGE))
    assert hedged.position_mode("a") is PositionMode.HEDGE
    with pytest.raises(VenueError) as caught:
        buy(hedged, "1")
    assert caught.value.kind is Refusal.POSITION_MODE_DIFFERS
    hedged.set_position_mode("a", PositionMode.ONE_WAY)
    buy(hedged, "1")


def test_longs_pay_shorts_when_the_rate_is_positive():
    made = free_venue()
    made.add_account("b")
    made.deposit("b", Wallet.FUTURES, "USDT", D(1000), 0)
    buy(made, "2")
    made.place("b", market(SELL, "2", FUTURES), 1)
    made.apply_funding(FUTURES, D("0.001"), 2)
    assert cash(made) == D("9999.8")
    assert made.balances("b", Wallet.FUTURES)["USDT"].total == D("1000.2")
    made.apply_funding(FUTURES, D("-0.001"), 3)
    assert cash(made) == D(10000)


def test_funding_beyond_the_available_money_eats_the_margin_and_may_liquidate():
    made = free_venue(10, money="10")
    buy(made, "1")
    before = made.position("a", FUTURES).liquidation_price
    made.apply_funding(FUTURES, D("0.01"), 2)
    position = made.position("a", FUTURES)
    assert position.margin_quote == D(9)
    assert position.liquidation_price > before
    made.apply_funding(FUTURES, D("0.09"), 3)
    assert made.position("a", FUTURES) is None
    assert cash(made) == 0


def test_funding_is_paid_at_its_times_at_the_price_before():
    made = free_venue()
    listing = made.listing(FUTURES)
    made.add_listing(replace(listing, funding_rate=D("0.001"), funding_interval_ms=1_000))
    made.set_price(FUTURES, D(100), 500)
    buy(made, "2")
    made.set_price(FUTURES, D(101), 999)
    assert made.fundings("a", FUTURES) == ()

    made.set_price(FUTURES, D(110), 1_000)
    made.set_price(FUTURES, D(120), 3_700)

    paid = made.fundings("a", FUTURES)
    assert [(one.at_ms, one.mark_price, one.payment_quote) for one in paid] == [
        (1_000, D(101), D("-0.202")),
        (2_000, D(110), D("-0.22")),
        (3_000, D(110), D("-0.22")),
    ]
    assert cash(made) == D(10000) - D("0.642")
    assert made.fundings("a", FUTURES, since_ms=2_000) == paid[1:]


def test_no_funding_is_paid_while_flat():
    made = free_venue()
    listing = made.listing(FUTURES)
    made.add_listing(replace(listing, funding_rate=D("0.001"), funding_interval_ms=1_000))
    made.set_price(FUTURES, D(100), 500)
    made.set_price(FUTURES, D(100), 10_000)
    buy(made, "2")
    made.set_price(FUTURES, D(100), 10_001)

    assert made.fundings("a") == ()


def test_futures_fees_are_in_the_quote_and_come_out_of_the_wallet():
    made = venue()
    made.set_leverage("a", FUTURES, 10, 0)
    buy(made, "1")
    assert cash(made) == D(10000) - D("0.1001")
    assert made.position("a", FUTURES).realised_quote == D("-0.1001")


def test_a_cost_order_is_for_spot_only():
    with pytest.raises(VenueError) as caught:
        place(free_venue(), OrderRequest(FUTURES, BUY, MARKET, cost_quote=D(100)))
    assert caught.value.kind is Refusal.PARAMETER


def test_spot_has_no_position_and_no_setting():
    made = free_venue()
    for call in (
        lambda: made.position("a", "BTC/USDT"),
        lambda: made.setting("a", "BTC/USDT"),
        lambda: made.set_leverage("a", "BTC/USDT", 2, 1),
    ):
        with pytest.raises(VenueError) as caught:
            call()
        assert caught.value.kind is Refusal.SYMBOL_UNKNOWN


def test_a_market_whose_maintenance_is_below_its_fee_cannot_be_listed():
    with pytest.raises(VenueError):
        venue().add_listing(Listing(futures_market(maintenance_margin=D("0.0001"))))


def test_positions_lists_what_is_open():
    made = free_venue()
    assert made.positions("a") == ()
    buy(made, "1")
    assert [position.symbol for position in made.positions("a")] == [FUTURES]
