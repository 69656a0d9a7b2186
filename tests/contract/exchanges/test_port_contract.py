"""What every port must do, whatever is behind it."""

import contextlib
from decimal import Decimal

import pytest

from backfuturectl.matching.values import OrderRequest, Wallet
from backfuturectl.model.candles import Interval
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.market import MarketKind, Quote
from backfuturectl.model.orders import OrderStatus, OrderType, Side
from backfuturectl.model.status import Reason
from backfuturectl.strategy.indicators import HISTORY

from .conftest import NAME, PAIR, THIN_PAIR, Stand, now_ms


async def test_markets_carry_the_exchanges_own_rules(any_stand: Stand):
    market = await any_stand.market()
    rules = any_stand.venue.listing(any_stand.symbol()).market

    assert market.pair == PAIR
    assert (market.base, market.quote, market.kind) == ("BTC", "USDT", any_stand.kind)
    assert market.price_tick == rules.price_tick
    assert market.amount_step == rules.amount_step
    assert market.contract_size == rules.contract_size
    assert market.cost_min == rules.cost_min
    assert (market.taker_fee, market.maker_fee) == (rules.taker_fee, rules.maker_fee)
    assert market.leverage_max == rules.leverage_max
    assert market.maintenance_margin == rules.maintenance_margin
    assert market.is_active


async def test_the_clock_is_the_exchanges(any_stand: Stand):
    any_stand.emulator.exchanges[any_stand.brand].clock_skew_ms = 5_000

    assert await any_stand.public.server_time_ms() - now_ms() == pytest.approx(5_000, abs=1_000)


async def test_prices_are_exact_and_only_those_asked_for(any_stand: Stand):
    any_stand.set_price("68123.40")
    quote = any_stand.venue.quote(any_stand.symbol())

    assert quote is not None
    assert quote.bid < quote.ask
    shown = Quote(last=Decimal("68123.4"), bid=quote.bid, ask=quote.ask)
    assert await any_stand.public.prices([PAIR]) == {PAIR: shown}
    assert set(await any_stand.public.prices([PAIR, THIN_PAIR])) == {PAIR, THIN_PAIR}


async def test_a_pair_that_is_not_listed_takes_no_other_price_away(any_stand: Stand):
    assert set(await any_stand.public.prices([PAIR, "NOPE/USDT"])) == {PAIR}


@pytest.mark.parametrize("interval", list(Interval))
async def test_candles_are_the_newest_closed_ones_oldest_first(
    any_stand: Stand, interval: Interval
):
    closes = [Decimal(68_000 + number) for number in range(30)]
    closed_ms = now_ms() // interval.ms * interval.ms
    any_stand.venue.tell_past(any_stand.symbol(), closes, step_ms=interval.ms, until_ms=closed_ms)
    any_stand.set_price("70000")  # of the candle that still forms

    found = await any_stand.public.candles(PAIR, interval, limit=20, before_ms=closed_ms)
    assert [candle.close for candle in found] == closes[-20:]
    assert found[-1].closed_at_ms == closed_ms
    assert found[0].closed_at_ms == closed_ms - 19 * interval.ms

    earlier_ms = closed_ms - 5 * interval.ms
    earlier = await any_stand.public.candles(PAIR, interval, limit=3, before_ms=earlier_ms)
    assert [candle.close for candle in earlier] == closes[-8:-5]


async def test_as_many_candles_as_an_indicator_needs_come_in_one_answer(any_stand: Stand):
    step_ms = Interval.HOUR.ms
    closed_ms = now_ms() // step_ms * step_ms
    found = await any_stand.public.candles(PAIR, Interval.HOUR, limit=HISTORY, before_ms=closed_ms)
    assert len(found) == HISTORY
    assert found[-1].closed_at_ms == closed_ms


async def test_candles_of_a_pair_that_is_not_listed_are_refused(any_stand: Stand):
    with pytest.raises(PermanentError) as caught:
        await any_stand.public.candles("NOPE/USDT", Interval.HOUR, limit=3, before_ms=now_ms())
    assert caught.value.reason is Reason.MARKET_UNAVAILABLE


async def test_the_rights_of_a_trading_key(any_stand: Stand):
    rights = await any_stand.account.rights()

    assert rights.can_read
    assert rights.can_withdraw is False
    assert rights.unknown == ()
    is_spot = any_stand.kind is MarketKind.SPOT
    assert (rights.can_trade_spot if is_spot else rights.can_trade_futures) is True


async def test_balances_are_exact_and_tell_free_from_total(any_stand: Stand):
    await any_stand.account.place(any_stand.order())

    balances = await any_stand.account.balances()

    assert balances.total["USDT"] == 100_000
    assert balances.free["USDT"] < 100_000


async def test_a_resting_order_is_open_under_both_its_ids(any_stand: Stand):
    placed = await any_stand.account.place(any_stand.order())

    by_client_id = await any_stand.account.order(PAIR, "bf1")
    by_both = await any_stand.account.order(PAIR, "bf1", placed.order_id)
    assert by_client_id == by_both
    assert by_client_id is not None
    assert by_client_id.order_id == placed.order_id
    assert by_client_id.client_order_id == "bf1"
    assert by_client_id.status is OrderStatus.OPEN
    assert by_client_id.amount_base == Decimal("0.01")
    assert by_client_id.price == 60_000
    assert by_client_id.filled_base == 0
    assert (by_client_id.side, by_client_id.type) == (Side.BUY, OrderType.LIMIT)
    assert await any_stand.account.open_orders(PAIR) == (by_client_id,)


@pytest.mark.parametrize("with_order_id", [True, False])
async def test_a_canceled_order_is_canceled_and_canceling_it_again_is_no_error(
    any_stand: Stand, with_order_id: bool
):
    placed = await any_stand.account.place(any_stand.order())
    order_id = placed.order_id if with_order_id else None

    await any_stand.account.cancel(PAIR, "bf1", order_id)
    await any_stand.account.cancel(PAIR, "bf1", order_id)

    seen = await any_stand.account.order(PAIR, "bf1", order_id)
    assert seen is not None
    assert seen.status is OrderStatus.CANCELED
    assert await any_stand.account.open_orders(PAIR) == ()


async def test_a_cancel_that_loses_the_race_is_a_fill(any_stand: Stand):
    placed = await any_stand.account.place(any_stand.order())
    any_stand.set_price("59000")

    await any_stand.account.cancel(PAIR, "bf1", placed.order_id)

    seen = await any_stand.account.order(PAIR, "bf1")
    assert seen is not None
    assert seen.status is OrderStatus.FILLED


async def test_canceling_what_never_was_is_no_error(any_stand: Stand):
    await any_stand.account.cancel(PAIR, "bfnone", None)


async def test_an_order_that_never_was_is_none(any_stand: Stand):
    assert await any_stand.account.order(PAIR, "bfnone") is None


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize("type_", [OrderType.LIMIT, OrderType.MARKET])
async def test_an_order_that_takes_is_filled_to_the_last_digit(
    any_stand: Stand, side: Side, type_: OrderType
):
    price = Decimal(70_000) if side is Side.BUY else Decimal(66_000)
    await any_stand.account.place(any_stand.order(side=side, type=type_, price=price))

    seen = await any_stand.account.order(PAIR, "bf1")

    assert seen is not None
    assert (seen.side, seen.type, seen.status) == (side, type_, OrderStatus.FILLED)
    assert seen.filled_base == seen.amount_base == Decimal("0.01")
    (fill,) = await any_stand.account.fills(PAIR, now_ms() - 60_000)
    assert fill.side is side
    assert fill.order_id == seen.order_id
    assert fill.amount_base == Decimal("0.01")
    assert seen.cost_quote == fill.price * fill.amount_base
    assert fill.fee is not None
    assert fill.fee.amount > 0
    assert not fill.is_maker


async def test_an_order_filled_in_part_and_canceled_keeps_what_it_got(any_stand: Stand):
    amount, price = Decimal(3), Decimal(170)
    await any_stand.account.place(any_stand.order(pair=THIN_PAIR, amount_base=amount, price=price))

    part = await any_stand.account.order(THIN_PAIR, "bf1")
    await any_stand.account.cancel(THIN_PAIR, "bf1", None)
    rest = await any_stand.account.order(THIN_PAIR, "bf1")

    assert part is not None
    assert rest is not None
    assert (part.status, rest.status) == (OrderStatus.OPEN, OrderStatus.CANCELED)
    assert part.filled_base == rest.filled_base == 1
    assert part.cost_quote == rest.cost_quote > 0


async def test_foreign_orders_are_shown_among_the_open_ones(any_stand: Stand):
    await any_stand.account.place(any_stand.order())
    foreign = OrderRequest(
        symbol=any_stand.symbol(),
        side=Side.BUY,
        type=OrderType.LIMIT,
        amount_base=Decimal("0.02"),
        price=Decimal(50_000),
    )
    any_stand.venue.place(NAME, foreign, now_ms())

    orders = await any_stand.account.open_orders(PAIR)

    assert {order.amount_base for order in orders} == {Decimal("0.01"), Decimal("0.02")}
    assert {order.client_order_id == "bf1" for order in orders} == {True, False}


async def test_fills_come_oldest_first_and_all_of_them(any_stand: Stand):
    any_stand.venue.deposit(NAME, _wallet(any_stand), "USDT", Decimal(1_000_000), now_ms())
    for number in range(230):
        taking = OrderRequest(
            symbol=any_stand.symbol(),
            side=Side.BUY,
            type=OrderType.MARKET,
            amount_base=Decimal("0.001"),
        )
        # Several share a millisecond, as they do on a busy day.
        any_stand.venue.place(NAME, taking, now_ms() - 10_000 + number // 7)

    fills = await any_stand.account.fills(PAIR, now_ms() - 60_000)

    assert len({fill.fill_id for fill in fills}) == len(fills) == 230
    assert [fill.at_ms for fill in fills] == sorted(fill.at_ms for fill in fills)


async def test_fills_before_the_time_asked_for_are_left_out(any_stand: Stand):
    await any_stand.account.place(any_stand.order(type=OrderType.MARKET, price=Decimal(68_000)))

    assert await any_stand.account.fills(PAIR, now_ms() + 5_000) == ()


async def test_an_order_without_the_money_is_refused_and_does_not_exist(any_stand: Stand):
    with pytest.raises(PermanentError) as caught:
        await any_stand.account.place(any_stand.order(amount_base=Decimal(1_000)))

    assert caught.value.reason is Reason.INSUFFICIENT_FUNDS
    assert caught.value.raw_code
    assert await any_stand.account.order(PAIR, "bf1") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_base": Decimal("0.0000001")},
        {"amount_base": Decimal(0)},
        {"amount_base": Decimal(-1)},
        {"price": Decimal("60000.001")},
        {"price": Decimal(0)},
    ],
)
async def test_an_order_off_the_steps_is_refused_and_never_cut(any_stand: Stand, changes):
    with pytest.raises(PermanentError) as caught:
        await any_stand.account.place(any_stand.order(**changes))

    assert caught.value.reason is Reason.ORDER_REJECTED
    assert any_stand.venue.orders(NAME) == ()


async def test_a_market_that_is_not_listed_is_unavailable(any_stand: Stand):
    with pytest.raises(PermanentError) as caught:
        await any_stand.account.place(any_stand.order(pair="NOPE/USDT"))

    assert caught.value.reason is Reason.MARKET_UNAVAILABLE


async def test_a_post_only_order_rests(any_stand: Stand):
    await any_stand.account.place(any_stand.order(is_post_only=True))

    seen = await any_stand.account.order(PAIR, "bf1")
    assert seen is not None
    assert seen.status is OrderStatus.OPEN


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
async def test_a_post_only_order_that_would_take_fills_nothing(any_stand: Stand, side: Side):
    price = Decimal(70_000) if side is Side.BUY else Decimal(66_000)
    order = any_stand.order(is_post_only=True, side=side, price=price)
    # Refused at once, or taken and canceled: brands differ.
    with contextlib.suppress(PermanentError):
        await any_stand.account.place(order)

    seen = await any_stand.account.order(PAIR, "bf1")
    assert seen is None or (seen.status, seen.filled_base) == (OrderStatus.CANCELED, 0)
    assert await any_stand.account.fills(PAIR, now_ms() - 60_000) == ()


async def test_there_is_no_position_when_flat(any_stand: Stand):
    assert await any_stand.account.position(PAIR) is None


async def test_what_only_futures_have_is_nothing_on_spot(any_stand: Stand):
    await any_stand.account.prepare(PAIR, leverage=1, margin_mode="isolated")
    settings = await any_stand.account.settings(PAIR)

    assert await any_stand.account.funding(PAIR, 0) == ()
    if any_stand.kind is MarketKind.SPOT:
        assert settings is None
    else:
        assert settings is not None
        assert (settings.is_one_way, settings.margin_mode) == (True, "isolated")


def _wallet(any_stand: Stand) -> Wallet:
    return Wallet.SPOT if any_stand.kind is MarketKind.SPOT else Wallet.FUTURES
