"""Spot orders, balances and refusals of the venue."""

from __future__ import annotations

import pytest

from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    ApiKey,
    ClientIdScope,
    CloseReason,
    FeeMode,
    Listing,
    OrderRequest,
    TimeInForce,
    VenueRules,
    Wallet,
)
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import Fee, OrderStatus
from tests.unit.matching.market import (
    BUY,
    FUTURES,
    LIMIT,
    MARKET,
    SELL,
    SPOT,
    D,
    limit,
    market,
    place,
    spot_market,
    venue,
)


def test_a_resting_buy_holds_its_cost_and_the_taker_fee():
    made = venue()
    place(made, limit(BUY, "1", "90"))
    balance = made.balances("a", Wallet.SPOT)["USDT"]
    assert (balance.held, balance.available) == (D("90.09"), D("9909.91"))


def test_a_resting_order_fills_at_its_own_price_when_the_price_falls_through_it():
    made = venue()
    order = place(made, limit(BUY, "1", "90"))
    (fill,) = made.set_price(SPOT, D(80), 2)
    assert (fill.price, fill.is_maker, fill.fee) == (D(90), True, Fee("USDT", D("0.045")))
    assert made.order("a", order.serial).status is OrderStatus.FILLED
    assert made.balances("a", Wallet.SPOT)["USDT"].total == D(10000) - D("90.045")


def test_a_resting_order_fills_when_the_last_price_touches_it():
    made = venue()
    place(made, limit(BUY, "1", "90"))
    assert made.set_price(SPOT, D("90.1"), 2) == ()
    assert len(made.set_price(SPOT, D(90), 3)) == 1


def test_a_crossing_limit_order_takes_at_the_better_price():
    made = venue()
    order = place(made, limit(BUY, "1", "105"))
    assert order.status is OrderStatus.FILLED
    assert order.average_price == D("100.1")
    assert made.fills("a")[0].is_maker is False


def test_cancel_gives_the_hold_back():
    made = venue()
    order = place(made, limit(BUY, "1", "90"))
    made.cancel("a", order.serial, 2)
    assert made.balances("a", Wallet.SPOT)["USDT"].available == D(10000)
    assert made.open_orders("a") == ()


def test_a_filled_order_cannot_be_canceled():
    made = venue()
    order = place(made, market(BUY, "1"))
    with pytest.raises(VenueError) as caught:
        made.cancel("a", order.serial, 2)
    assert caught.value.kind is Refusal.ORDER_NOT_CANCELABLE


def test_a_big_order_fills_over_several_prices_when_depth_is_limited():
    made = venue(spot={"fill_max_base": D("0.4")})
    order = place(made, limit(BUY, "1", "90"))
    seen = []
    for at_ms in (2, 3, 4):
        made.set_price(SPOT, D(89), at_ms)
        seen.append(made.order("a", order.serial).filled_base)
    assert seen == [D("0.4"), D("0.8"), D("1")]
    assert made.order("a", order.serial).status is OrderStatus.FILLED


def test_a_post_only_order_fills_at_its_own_price_however_long_it_waits_for_depth():
    made = venue(spot={"fill_max_base": D("0.4")})
    place(made, limit(BUY, "1", "90", is_post_only=True))
    for at_ms, price in enumerate(("90", "89", "88"), 2):
        made.set_price(SPOT, D(price), at_ms)
    assert {(fill.price, fill.is_maker) for fill in made.fills("a")} == {(D(90), True)}
    assert sum(fill.amount_base for fill in made.fills("a")) == 1


def test_depth_goes_to_the_better_price_then_to_the_older_order():
    made = venue(spot={"fill_max_base": D(1)})
    late_cheap = place(made, limit(BUY, "1", "90"))
    first = place(made, limit(BUY, "1", "91"))
    second = place(made, limit(BUY, "1", "91"))
    for at_ms in (2, 3):
        made.set_price(SPOT, D(85), at_ms)
    assert [fill.order_serial for fill in made.fills("a")] == [first.serial, second.serial]
    assert made.order("a", late_cheap.serial).filled_base == 0


def test_a_market_order_waits_for_depth_and_pays_the_price_of_its_time():
    made = venue(spot={"fill_max_base": D("0.5")})
    order = place(made, market(BUY, "1"))
    assert (order.status, order.filled_base) == (OrderStatus.OPEN, D("0.5"))
    made.set_price(SPOT, D(110), 2)
    assert [fill.price for fill in made.fills("a")] == [D("100.1"), D("110.1")]
    assert made.order("a", order.serial).status is OrderStatus.FILLED


def test_a_crossing_remainder_goes_on_taking_not_worse_than_the_market():
    made = venue(spot={"fill_max_base": D("0.5")})
    place(made, limit(BUY, "1", "120"))
    made.set_price(SPOT, D(90), 2)
    assert [(fill.price, fill.is_maker) for fill in made.fills("a")] == [
        (D("100.1"), False),
        (D("90.1"), False),
    ]


def test_a_market_buy_by_cost_spends_at_most_its_cost():
    made = venue()
    order = place(made, OrderRequest(SPOT, BUY, MARKET, cost_quote=D(50)))
    assert order.status is OrderStatus.FILLED
    assert order.filled_base == D("0.499")
    assert order.filled_quote == D("49.9499")
    assert made.balances("a", Wallet.SPOT)["USDT"].held == 0


def test_a_market_sell_by_cost_raises_at_most_its_cost():
    made = venue()
    place(made, market(BUY, "2"))
    order = place(made, OrderRequest(SPOT, SELL, MARKET, cost_quote=D(150)))
    assert (order.status, order.filled_base) == (OrderStatus.FILLED, D("1.5"))
    assert made.balances("a", Wallet.SPOT)["BTC"].held == 0


def test_a_market_order_whose_money_runs_out_while_it_waits_for_depth_is_canceled():
    made = venue(spot={"fill_max_base": D("0.5")}, money="101")
    order = place(made, market(BUY, "1"))
    made.set_price(SPOT, D(200), 2)
    after = made.order("a", order.serial)
    assert (after.filled_base, after.close_reason) == (D("0.5"), CloseReason.FUNDS)
    assert made.balances("a", Wallet.SPOT)["USDT"].held == 0


def test_a_waiting_market_order_never_holds_more_than_there_is():
    made = venue(spot={"fill_max_base": D("0.5")}, money="101")
    made.deposit("a", Wallet.SPOT, "BTC", D(1), 0)
    place(made, OrderRequest(SPOT, SELL, MARKET, cost_quote=D(90)))
    made.set_price(SPOT, D(50), 2)
    balance = made.balances("a", Wallet.SPOT)["BTC"]
    assert (balance.total, balance.available) == (D(0), D(0))


def test_an_ioc_order_cancels_what_it_cannot_take():
    made = venue(spot={"fill_max_base": D("0.4")})
    order = place(made, limit(BUY, "1", "101", time_in_force=TimeInForce.IOC))
    assert (order.status, order.filled_base) == (OrderStatus.CANCELED, D("0.4"))
    assert order.close_reason is CloseReason.IMMEDIATE


def test_a_fok_order_fills_whole_or_not_at_all():
    made = venue(spot={"fill_max_base": D("0.4")})
    order = place(made, limit(BUY, "1", "101", time_in_force=TimeInForce.FOK))
    assert (order.status, order.filled_base) == (OrderStatus.CANCELED, D(0))
    order = place(made, limit(BUY, "0.4", "101", time_in_force=TimeInForce.FOK))
    assert order.status is OrderStatus.FILLED


def test_a_post_only_order_that_would_take_is_canceled_at_once():
    order = place(venue(), limit(BUY, "1", "101", is_post_only=True))
    assert (order.status, order.close_reason) == (OrderStatus.CANCELED, CloseReason.POST_ONLY)


def test_a_post_only_order_that_would_take_is_refused_where_the_exchange_refuses():
    made = venue(rules=VenueRules(is_post_only_refused=True))
    with pytest.raises(VenueError) as caught:
        place(made, limit(BUY, "1", "101", is_post_only=True))
    assert caught.value.kind is Refusal.POST_ONLY_WOULD_TAKE
    assert made.orders("a") == ()


def test_received_fees_come_out_of_what_the_trade_brings():
    made = venue(spot={"fee_mode": FeeMode.RECEIVED})
    place(made, market(BUY, "1"))
    assert made.balances("a", Wallet.SPOT)["BTC"].total == D("0.999")
    assert made.balances("a", Wallet.SPOT)["USDT"].total == D("9899.9")
    place(made, market(SELL, "0.999"))
    assert made.fills("a")[1].fee == Fee("USDT", D("0.0999"))


def test_a_third_coin_pays_the_fee_while_the_account_has_it():
    made = venue(spot={"fee_mode": FeeMode.COIN, "fee_coin": "KCS"})
    made.add_listing(Listing(spot_market(pair="KCS/USDT", base="KCS")))
    made.set_price("KCS/USDT", D(10), 0)
    made.deposit("a", Wallet.SPOT, "KCS", D("0.015"), 0)
    place(made, market(BUY, "1"))
    place(made, market(BUY, "1"))
    assert [fill.fee for fill in made.fills("a")] == [
        Fee("KCS", D("0.01001")),
        Fee("BTC", D("0.001")),
    ]


def test_fees_of_an_order_add_up_by_currency():
    made = venue(spot={"fill_max_base": D("0.5")})
    order = place(made, limit(BUY, "1", "90"))
    made.set_price(SPOT, D(90), 2)
    made.set_price(SPOT, D(90), 3)
    assert made.order("a", order.serial).fees == (Fee("USDT", D("0.045")),)


_REFUSED: dict[str, tuple[OrderRequest, Refusal]] = {
    "symbol": (limit(BUY, "1", "90", symbol="NO/PE"), Refusal.SYMBOL_UNKNOWN),
    "small amount": (limit(BUY, "0.0005", "90"), Refusal.AMOUNT_BELOW_MINIMUM),
    "zero": (limit(BUY, "0", "90"), Refusal.AMOUNT_BELOW_MINIMUM),
    "amount step": (limit(BUY, "1.0005", "90"), Refusal.AMOUNT_PRECISION),
    "price tick": (limit(BUY, "1", "90.05"), Refusal.PRICE_PRECISION),
    "negative price": (limit(BUY, "1", "-90"), Refusal.PRICE_PRECISION),
    "small cost": (limit(BUY, "0.001", "90"), Refusal.COST_BELOW_MINIMUM),
    "large amount": (limit(BUY, "6", "90"), Refusal.AMOUNT_ABOVE_MAXIMUM),
    "large cost": (limit(SELL, "5", "140"), Refusal.AMOUNT_ABOVE_MAXIMUM),
    "price band": (limit(BUY, "1", "40"), Refusal.PRICE_BAND),
    "no base": (limit(SELL, "1", "120"), Refusal.INSUFFICIENT_BALANCE),
    "amount and cost": (
        OrderRequest(SPOT, BUY, MARKET, amount_base=D(1), cost_quote=D(1)),
        Refusal.PARAMETER,
    ),
    "neither": (OrderRequest(SPOT, BUY, MARKET), Refusal.PARAMETER),
    "limit by cost": (OrderRequest(SPOT, BUY, LIMIT, cost_quote=D(1)), Refusal.PARAMETER),
    "market with price": (
        OrderRequest(SPOT, BUY, MARKET, amount_base=D(1), price=D(1)),
        Refusal.PARAMETER,
    ),
    "post-only IOC": (
        limit(BUY, "1", "90", is_post_only=True, time_in_force=TimeInForce.IOC),
        Refusal.PARAMETER,
    ),
    "reduce-only on spot": (limit(BUY, "1", "90", is_reduce_only=True), Refusal.PARAMETER),
    "not a number": (limit(BUY, "NaN", "90"), Refusal.PARAMETER),
    "astronomic": (limit(BUY, "1E+400", "90"), Refusal.PARAMETER),
    "cost below a step": (
        OrderRequest(SPOT, BUY, MARKET, cost_quote=D(1)),
        Refusal.AMOUNT_BELOW_MINIMUM,
    ),
}


@pytest.mark.parametrize(("request_", "kind"), _REFUSED.values(), ids=_REFUSED.keys())
def test_a_refused_order_changes_nothing(request_: OrderRequest, kind: Refusal):
    made = venue(price="100", spot={"price_band": D("0.5"), "cost_max": D(600)})
    made.add_listing(
        Listing(
            spot_market(amount_max=D(5), amount_min=D("0.001"), cost_min=D("0.5")),
            price_band=D("0.5"),
            cost_max=D(600),
        )
    )
    if kind is Refusal.AMOUNT_BELOW_MINIMUM and request_.cost_quote is not None:
        made.set_price(SPOT, D(100_000), 0)
    before = made.balances("a", Wallet.SPOT), len(made.changes)
    with pytest.raises(VenueError) as caught:
        place(made, request_)
    assert caught.value.kind is kind
    assert (made.balances("a", Wallet.SPOT), len(made.changes)) == before
    assert made.orders("a") == ()


def test_an_order_whose_value_decimals_cannot_hold_exactly_is_refused():
    with pytest.raises(VenueError) as caught:
        place(venue(), limit(BUY, "1000000000000", "90000"))
    assert caught.value.kind is Refusal.AMOUNT_ABOVE_MAXIMUM


def test_an_order_beyond_the_balance_is_refused():
    made = venue(money="90")
    with pytest.raises(VenueError) as caught:
        place(made, limit(BUY, "1", "90"))
    assert caught.value.kind is Refusal.INSUFFICIENT_BALANCE


def test_a_test_order_checks_everything_but_the_balance():
    made = venue(money="1")
    made.check("a", limit(BUY, "1", "90"))
    assert made.orders("a") == ()
    with pytest.raises(VenueError) as caught:
        made.check("a", limit(BUY, "1", "90.05"))
    assert caught.value.kind is Refusal.PRICE_PRECISION


@pytest.mark.parametrize(
    ("scope", "while_open", "after_close"),
    [
        (ClientIdScope.ACTIVE, False, True),
        (ClientIdScope.EVER, False, False),
        (ClientIdScope.NONE, True, True),
    ],
)
def test_a_client_id_is_new_within_its_scope(
    scope: ClientIdScope, while_open: bool, after_close: bool
):
    made = venue(rules=VenueRules(client_id_scope=scope))
    refusals: list[tuple[Refusal, int | None]] = []

    def takes_another() -> bool:
        try:
            return place(made, limit(BUY, "1", "90", client_id="x")).is_open
        except VenueError as error:
            refusals.append((error.kind, error.order_serial))
            return False

    assert takes_another()
    assert takes_another() is while_open
    for order in made.open_orders("a"):
        made.cancel("a", order.serial, 2)
    assert takes_another() is after_close
    assert set(refusals) <= {(Refusal.CLIENT_ID_DUPLICATE, 1)}


def test_a_client_id_finds_the_newest_order_of_its_market():
    made = venue()
    old = place(made, limit(BUY, "1", "90", client_id="x"))
    made.cancel("a", old.serial, 2)
    new = place(made, limit(BUY, "1", "91", client_id="x"))
    assert made.order_by_client_id("a", "x").serial == new.serial
    with pytest.raises(VenueError) as caught:
        made.order_by_client_id("a", "x", FUTURES)
    assert caught.value.kind is Refusal.ORDER_NOT_FOUND


def test_orders_of_others_do_not_exist():
    made = venue()
    order = place(made, limit(BUY, "1", "90", client_id="x"))
    made.add_account("b")
    for look in (
        lambda: made.order("b", order.serial),
        lambda: made.order_by_client_id("b", "x"),
        lambda: made.cancel("b", order.serial, 2),
    ):
        with pytest.raises(VenueError) as caught:
            look()
        assert caught.value.kind is Refusal.ORDER_NOT_FOUND


def test_open_orders_are_limited_per_market():
    made = venue()
    made.add_listing(Listing(spot_market(open_orders_max=2)))
    for _ in range(2):
        place(made, limit(BUY, "1", "90"))
    with pytest.raises(VenueError) as caught:
        place(made, limit(BUY, "1", "90"))
    assert caught.value.kind is Refusal.TOO_MANY_ORDERS


def test_a_closed_market_takes_no_orders_and_lets_cancel():
    made = venue()
    order = place(made, limit(BUY, "1", "90"))
    made.add_listing(Listing(spot_market(is_active=False)))
    with pytest.raises(VenueError) as caught:
        place(made, limit(BUY, "1", "90"))
    assert caught.value.kind is Refusal.SYMBOL_CLOSED
    assert made.cancel("a", order.serial, 2).status is OrderStatus.CANCELED


def test_a_market_order_needs_a_price():
    made = venue()
    made.add_listing(Listing(spot_market(pair="ETH/USDT", base="ETH")))
    with pytest.raises(VenueError) as caught:
        place(made, market(BUY, "1", "ETH/USDT"))
    assert caught.value.kind is Refusal.PRICE_MISSING


def test_held_money_cannot_be_moved():
    made = venue(money="100")
    place(made, limit(BUY, "1", "90"))
    with pytest.raises(VenueError) as caught:
        made.transfer("a", "USDT", D(10), source=Wallet.SPOT, target=Wallet.FUNDING, at_ms=2)
    assert caught.value.kind is Refusal.INSUFFICIENT_BALANCE
    made.transfer("a", "USDT", D(9), source=Wallet.SPOT, target=Wallet.FUNDING, at_ms=2)
    assert made.balances("a", Wallet.FUNDING)["USDT"].total == D(9)


@pytest.mark.parametrize(("bid", "ask"), [("0", "1"), ("-1", "1"), ("2", "1")])
def test_an_impossible_price_is_refused(bid: str, ask: str):
    made = venue()
    with pytest.raises(VenueError) as caught:
        made.set_price(SPOT, D(1), 2, bid=D(bid), ask=D(ask))
    assert caught.value.kind is Refusal.PARAMETER
    assert made.quote(SPOT).last == D(100)


def test_fills_are_told_from_a_time_on_and_by_market():
    made = venue()
    for at_ms in (10, 20):
        place(made, market(BUY, "1"), at_ms)
        place(made, market(BUY, "1", FUTURES), at_ms)
    assert [fill.at_ms for fill in made.fills("a", SPOT, since_ms=11)] == [20]
    assert [fill.symbol for fill in made.fills("a")] == [SPOT, FUTURES, SPOT, FUTURES]


def test_a_key_is_usable_until_it_expires_or_is_revoked():
    key = ApiKey("k", "a", "s", expires_at_ms=10)
    assert (key.is_usable(9), key.is_usable(10)) == (True, False)
    assert not ApiKey("k", "a", "s", is_enabled=False).is_usable(0)


def test_a_key_takes_any_address_until_it_lists_some():
    assert ApiKey("k", "a", "s").takes_ip("192.0.2.1")
    listed = ApiKey("k", "a", "s", ips=("192.0.2.1",))
    assert (listed.takes_ip("192.0.2.1"), listed.takes_ip("192.0.2.2")) == (True, False)


def test_a_secret_is_not_printed():
    assert "hush" not in repr(ApiKey("k", "a", "hush", passphrase="hush"))


def test_the_history_tells_each_effect_once():
    made = venue()
    start = len(made.changes)
    order = place(made, limit(BUY, "1", "90", client_id="x"))
    made.set_price(SPOT, D(90), 2)
    assert [(change.kind.value, change.client_id) for change in made.changes[start:]] == [
        ("order_placed", "x"),
        ("order_filled", "x"),
    ]
    assert made.changes[-1].order_serial == order.serial


def test_listings_name_their_symbol_and_wallet():
    made = venue()
    assert {
        symbol: (listing.market.kind, listing.wallet) for symbol, listing in made.listings.items()
    } == {
        SPOT: (MarketKind.SPOT, Wallet.SPOT),
        FUTURES: (MarketKind.FUTURES, Wallet.FUTURES),
    }
