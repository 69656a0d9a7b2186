"""What holds of every history of a venue, whatever it is made of."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backfuturectl.matching.refusals import VenueError
from backfuturectl.matching.values import (
    EntryKind,
    FeeMode,
    OrderRequest,
    TimeInForce,
    Trigger,
    Wallet,
)
from backfuturectl.matching.venue import Venue
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import OrderStatus
from tests.unit.matching.market import (
    BUY,
    CROSS,
    FUTURES,
    ISOLATED,
    LIMIT,
    MARKET,
    SELL,
    SPOT,
    D,
    venue,
)

Step = tuple[Any, ...]

amounts = st.integers(1, 3000).map(lambda thousandths: D(thousandths) / 1000)
prices = st.integers(200, 2500).map(lambda tenths: D(tenths) / 10)
symbols = st.sampled_from([SPOT, FUTURES])
sides = st.sampled_from([BUY, SELL])

limit_orders = st.builds(
    lambda symbol, side, amount, price, tif, post_only, reduce_only: OrderRequest(
        symbol,
        side,
        LIMIT,
        amount_base=amount,
        price=price,
        time_in_force=tif,
        is_post_only=post_only and tif is TimeInForce.GTC,
        is_reduce_only=reduce_only and symbol == FUTURES,
    ),
    symbols,
    sides,
    amounts,
    prices,
    st.sampled_from(TimeInForce),
    st.booleans(),
    st.booleans(),
)
market_orders = st.builds(
    lambda symbol, side, amount, reduce_only: OrderRequest(
        symbol,
        side,
        MARKET,
        amount_base=amount,
        is_reduce_only=reduce_only and symbol == FUTURES,
    ),
    symbols,
    sides,
    amounts,
    st.booleans(),
)
stop_orders = st.builds(
    lambda side, amount, price, is_rising, reduce_only, limit_price: OrderRequest(
        FUTURES,
        side,
        MARKET if limit_price is None else LIMIT,
        amount_base=amount,
        price=limit_price,
        is_reduce_only=reduce_only,
        trigger=Trigger(price, is_rising),
    ),
    sides,
    amounts,
    prices,
    st.booleans(),
    st.booleans(),
    st.none() | prices,
)
cost_orders = st.builds(
    lambda side, cost: OrderRequest(SPOT, side, MARKET, cost_quote=cost),
    sides,
    amounts.map(lambda amount: amount * 100),
)
steps = st.one_of(
    st.tuples(st.just("place"), st.one_of(limit_orders, market_orders, stop_orders, cost_orders)),
    st.tuples(st.just("price"), symbols, prices),
    st.tuples(st.just("cancel"), st.integers(1, 30)),
    st.tuples(st.just("leverage"), st.integers(1, 50)),
    st.tuples(st.just("mode"), st.sampled_from([ISOLATED, CROSS])),
    st.tuples(st.just("funding"), st.integers(-50, 50).map(lambda rate: D(rate) / 1000)),
    st.tuples(st.just("deposit"), st.integers(-200, 200).map(D)),
)
histories = st.lists(steps, max_size=40)
listings = st.fixed_dictionaries(
    {
        "fee_mode": st.sampled_from([FeeMode.QUOTE, FeeMode.RECEIVED]),
        "fill_max_base": st.sampled_from([None, D("0.5"), D(2)]),
    }
)


def play(history: list[Step], listing: dict[str, Any], check: Any = None) -> Venue:
    """Return a venue after *history*; refused steps change nothing."""
    made = venue(money="500", spot=listing, futures={"fill_max_base": listing["fill_max_base"]})
    made.deposit("a", Wallet.SPOT, "BTC", D(2), 0)
    for at_ms, step in enumerate(history, start=1):
        before = len(made.changes)
        try:
            _take(made, step, at_ms)
        except VenueError:
            assert len(made.changes) == before
        if check is not None:
            check(made)
    return made


def _take(made: Venue, step: Step, at_ms: int) -> None:
    match step:
        case "place", request:
            made.place("a", request, at_ms)
        case "price", symbol, price:
            made.set_price(symbol, price, at_ms)
        case "cancel", serial:
            made.cancel("a", serial, at_ms)
        case "leverage", leverage:
            made.set_leverage("a", FUTURES, leverage, at_ms)
        case "mode", mode:
            made.set_margin_mode("a", FUTURES, mode)
        case "funding", rate:
            made.apply_funding(FUTURES, rate, at_ms)
        case "deposit", amount:
            made.deposit("a", Wallet.FUTURES, "USDT", amount, at_ms)
        case _:
            raise AssertionError(step)


def totals(made: Venue) -> dict[tuple[Wallet, str], Decimal]:
    return {
        (wallet, currency): balance.total
        for wallet in Wallet
        for currency, balance in made.balances("a", wallet).items()
    }


@given(histories, listings)
def test_a_balance_is_the_sum_of_its_entries(history, listing):
    made = play(history, listing)
    sums: dict[tuple[Wallet, str], Decimal] = defaultdict(Decimal)
    for entry in made.entries("a"):
        sums[entry.wallet, entry.currency] += entry.amount
    assert totals(made) == {name: sums[name] for name in totals(made)}


@given(histories, listings)
def test_spot_trades_change_balances_by_exactly_what_was_filled_and_charged(history, listing):
    made = play(history, listing)
    expected = {"USDT": D(500), "BTC": D(2)}
    for fill in made.fills("a", SPOT):
        sign = 1 if fill.side is BUY else -1
        expected["BTC"] += sign * fill.amount_base
        expected["USDT"] -= sign * fill.cost_quote
        expected[fill.fee.currency] -= fill.fee.amount
    balances = made.balances("a", Wallet.SPOT)
    assert {name: balances[name].total for name in expected} == expected


@given(histories, listings)
def test_the_futures_wallet_is_deposits_profits_fees_and_funding(history, listing):
    made = play(history, listing)
    fills = made.fills("a", FUTURES)
    expected = sum((fill.realised_quote - fill.fee.amount for fill in fills), ZERO) + sum(
        (
            entry.amount
            for entry in made.entries("a")
            if entry.wallet is Wallet.FUTURES
            and entry.kind in {EntryKind.DEPOSIT, EntryKind.FUNDING, EntryKind.INSURANCE}
        ),
        ZERO,
    )
    assert made.balances("a", Wallet.FUTURES)["USDT"].total == expected


@given(histories, listings)
def test_spot_holds_are_what_open_orders_hold_and_never_more_than_there_is(history, listing):
    def check(made: Venue) -> None:
        held: dict[str, Decimal] = defaultdict(Decimal)
        for order in made.open_orders("a", SPOT):
            assert order.held >= 0
            held[order.held_currency] += order.held
        for currency, balance in made.balances("a", Wallet.SPOT).items():
            assert balance.held == held[currency]
            assert balance.total >= 0
            assert balance.available >= 0

    play(history, listing, check)


@given(histories, listings)
def test_fills_never_exceed_the_order(history, listing):
    made = play(history, listing)
    filled: dict[int, Decimal] = defaultdict(Decimal)
    for fill in made.fills("a"):
        assert fill.amount_base > 0
        filled[fill.order_serial] += fill.amount_base
    for order in made.orders("a"):
        assert order.filled_base == filled[order.serial]
        if order.amount_base is not None:
            assert order.filled_base <= order.amount_base
            assert (order.status is OrderStatus.FILLED) == (order.filled_base == order.amount_base)
        else:
            assert order.filled_quote <= order.cost_quote


@given(histories, listings)
def test_a_limit_order_never_fills_worse_than_its_price(history, listing):
    made = play(history, listing)
    for fill in made.fills("a"):
        price = made.order("a", fill.order_serial).price
        if price is not None:
            assert fill.price <= price if fill.side is BUY else fill.price >= price


@given(histories, listings)
def test_a_position_is_the_sum_of_its_fills(history, listing):
    def check(made: Venue) -> None:
        total = sum(
            (
                fill.amount_base if fill.side is BUY else -fill.amount_base
                for fill in made.fills("a", FUTURES)
            ),
            ZERO,
        )
        position = made.position("a", FUTURES)
        assert (position.amount_base if position is not None else ZERO) == total

    play(history, listing, check)


@given(histories, listings)
def test_a_reduce_only_order_never_enlarges_or_turns_a_position(history, listing):
    made = play(history, listing)
    amount = ZERO
    for fill in made.fills("a", FUTURES):
        after = amount + (fill.amount_base if fill.side is BUY else -fill.amount_base)
        if made.order("a", fill.order_serial).is_reduce_only:
            assert abs(after) < abs(amount)
            assert after * amount >= 0
        amount = after


@given(histories, listings)
def test_an_order_that_is_over_stays_as_it_is(history, listing):
    over: dict[int, object] = {}

    def check(made: Venue) -> None:
        for order in made.orders("a"):
            assert over.get(order.serial, order) == order
            if not order.is_open:
                over[order.serial] = order

    play(history, listing, check)


@given(histories, listings)
def test_an_isolated_wallet_is_never_overdrawn(history, listing):
    def check(made: Venue) -> None:
        overview = made.overview("a", "USDT")
        assert overview.wallet_quote >= overview.position_margin_quote
        position = made.position("a", FUTURES)
        if position is not None:
            assert position.margin_quote + position.unrealised_quote > position.maintenance_quote

    without_cross = [step for step in history if step != ("mode", CROSS)]
    play(without_cross, listing, check)


@given(histories, listings)
def test_a_wallet_is_never_below_zero(history, listing):
    def check(made: Venue) -> None:
        assert all(total >= 0 for total in totals(made).values())

    play(history, listing, check)


@given(histories, listings)
def test_a_stop_fills_only_once_a_price_has_set_it_off(history, listing):
    def check(made: Venue) -> None:
        last = made.quote(FUTURES).last
        for order in made.orders("a", FUTURES):
            if order.trigger is None:
                continue
            if order.triggered_at_ms is None:
                assert not order.filled_base
                assert not (order.is_open and order.trigger.is_reached(last))

    play(history, listing, check)


@given(histories, listings, prices)
def test_a_round_trip_at_a_standing_price_never_earns(history, listing, price):
    """With one price throughout and nothing deposited, an account can only lose."""
    standing = [step for step in history if step[0] in {"place", "cancel", "leverage"}]
    made = play([("price", SPOT, price), ("price", FUTURES, price), *standing], listing)
    spot = made.balances("a", Wallet.SPOT)
    worth = spot["USDT"].total + spot["BTC"].total * price
    assert worth <= D(500) + 2 * price
    assert made.overview("a", "USDT").equity_quote <= D(500)


@settings(max_examples=30)
@given(histories, listings)
def test_the_same_history_gives_the_same_venue(history, listing):
    one, other = play(history, listing), play(history, listing)
    for view in ("orders", "fills", "entries", "positions"):
        assert getattr(one, view)("a") == getattr(other, view)("a")
    assert totals(one) == totals(other)
    assert list(one.changes) == list(other.changes)
