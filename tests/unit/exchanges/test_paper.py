"""The paper exchange: fills at seen prices, ids that last, memory out of the journal."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.exchanges.paper import (
    FRESH_MS,
    FUNDS_QUOTE,
    LOOKED_UP_MS,
    ORDERS_KEPT,
    PaperAccount,
)
from backfuturectl.model.errors import PermanentError, TransientError
from backfuturectl.model.market import Market, MarketKind, Quote
from backfuturectl.model.orders import (
    Fee,
    Fill,
    Leg,
    LegKind,
    NewOrder,
    OrderStatus,
    OrderType,
    Side,
)
from backfuturectl.model.records import FillRecord, OrderRecord
from backfuturectl.model.status import Reason
from tests.unit.matching.market import futures_market, spot_market

D = Decimal
PAIR = "BTC/USDT"
BUY, SELL = Side.BUY, Side.SELL


class Clock:
    now = 1_000_000

    def __call__(self) -> int:
        return self.now


def paper(market: Market | None = None, clock: Clock | None = None, **more: object) -> PaperAccount:
    return PaperAccount(
        market or spot_market(),
        **{"leverage": 1, "margin_mode": "isolated", "now_ms": clock or Clock(), **more},
    )


def new(name: str, side: Side, price: str, amount: str = "1", **changes: object) -> NewOrder:
    order = NewOrder(name, PAIR, side, OrderType.LIMIT, D(amount), D(price))
    return replace(order, **changes)


def market_order(name: str, side: Side, price: str, amount: str = "1", **more: object) -> NewOrder:
    return new(name, side, price, amount, type=OrderType.MARKET, **more)


def row(order: NewOrder, status: OrderStatus = OrderStatus.OPEN, **changes: object) -> OrderRecord:
    """Return the journal's row of *order*."""
    kept = OrderRecord(
        client_order_id=order.client_order_id,
        bot="grid/BTC-USDT",
        deal="grid/BTC-USDT#1",
        leg=Leg(LegKind.BASE),
        side=order.side,
        type=order.type,
        price=order.price,
        amount_base=order.amount_base,
        status=status,
        reason="",
        generation=1,
        commit="",
        intended_at_ms=900_000,
        updated_at_ms=900_000,
        is_reduce_only=order.is_reduce_only,
        trigger_price=order.trigger_price,
    )
    return replace(kept, **changes)


def fill_row(fill: Fill) -> FillRecord:
    return FillRecord(
        fill_id=fill.fill_id,
        client_order_id=fill.client_order_id or "",
        bot="grid/BTC-USDT",
        side=fill.side,
        price=fill.price,
        amount_base=fill.amount_base,
        fee=fill.fee,
        at_ms=fill.at_ms,
    )


async def test_a_taker_pays_the_ask_and_gets_the_bid() -> None:
    account = paper()
    account.see(Quote(D(100), D("99.5"), D("100.7")), 1_000_000)
    await account.place(market_order("a", BUY, "100"))
    await account.place(market_order("b", SELL, "100"))
    bought, sold = await account.fills(PAIR, 0)
    assert (bought.price, sold.price) == (D("100.7"), D("99.5"))
    assert bought.fee == Fee("USDT", D("0.1007"))


@pytest.mark.parametrize(("bid", "ask"), [(None, None), (None, D(101)), (D(102), D(101))])
async def test_without_a_sound_bid_and_ask_a_buy_pays_one_tick_more(
    bid: Decimal | None, ask: Decimal | None
) -> None:
    account = paper()
    account.see(Quote(D(100), bid, ask), 1_000_000)
    await account.place(market_order("a", BUY, "100"))
    assert [fill.price for fill in await account.fills(PAIR, 0)] == [D("100.1")]


async def test_a_resting_order_fills_at_its_own_price_once_a_seen_price_touches_it() -> None:
    account = paper()
    account.see(Quote(D(100)), 1_000_000)
    placed = await account.place(new("a", BUY, "98"))
    assert placed.status is OrderStatus.OPEN
    account.see(Quote(D("98.1")), 1_000_100)
    assert (await account.order(PAIR, "a")).status is OrderStatus.OPEN
    account.see(Quote(D(97)), 1_000_200)
    seen = await account.order(PAIR, "a")
    assert (seen.status, seen.cost_quote) == (OrderStatus.FILLED, D(98))
    assert (await account.balances()).total["BTC"] == 1


async def test_nothing_is_traded_at_a_price_that_is_missing_or_old() -> None:
    clock = Clock()
    account = paper(clock=clock)
    with pytest.raises(TransientError) as caught:
        await account.place(market_order("a", BUY, "98"))
    assert caught.value.reason is Reason.PRICES_STALE
    account.see(Quote(D(100)), clock.now)
    clock.now += FRESH_MS + 1
    for order in (market_order("a", SELL, "100"), new("a", BUY, "101")):
        with pytest.raises(TransientError):
            await account.place(order)
    assert await account.order(PAIR, "a") is None


async def test_before_the_first_price_a_limit_order_rests_at_its_own_price() -> None:
    account = paper()
    await account.place(new("a", BUY, "101"))
    assert (await account.order(PAIR, "a")).filled_base == 0
    account.see(Quote(D(100)), 1_000_000)
    assert (await account.order(PAIR, "a")).cost_quote == D(101)


async def test_the_markets_rules_hold() -> None:
    account = paper()
    account.see(Quote(D(100)), 1_000_000)
    with pytest.raises(PermanentError) as caught:
        await account.place(new("a", BUY, "98.05"))
    assert caught.value.reason is Reason.ORDER_REJECTED
    account.use(spot_market(price_tick=D("0.01")))
    await account.place(new("a", BUY, "98.05"))
    account.use(spot_market(is_active=False))
    with pytest.raises(PermanentError) as caught:
        await account.place(new("b", BUY, "98"))
    assert caught.value.reason is Reason.MARKET_UNAVAILABLE
    with pytest.raises(PermanentError) as caught:
        await account.place(new("a", BUY, "98"))


async def test_a_client_id_is_taken_once() -> None:
    account = paper()
    account.see(Quote(D(100)), 1_000_000)
    await account.place(new("a", BUY, "98"))
    with pytest.raises(PermanentError) as caught:
        await account.place(new("a", BUY, "98"))
    assert caught.value.reason is Reason.ORDER_DUPLICATE


async def test_an_order_is_found_and_canceled_by_its_client_id_whatever_the_other_id_says() -> None:
    account = paper()
    account.see(Quote(D(100)), 1_000_000)
    placed = await account.place(new("a", BUY, "98"))
    assert placed.order_id == "paper-a"
    await account.cancel(PAIR, "a", "paper-a")
    await account.cancel(PAIR, "a", None)
    assert (await account.order(PAIR, "a", "paper-a")).status is OrderStatus.CANCELED
    assert await account.open_orders(PAIR) == ()


@pytest.mark.parametrize("kind", MarketKind)
async def test_what_is_remembered_does_not_grow_with_the_deals(kind: MarketKind) -> None:
    rules = spot_market() if kind is MarketKind.SPOT else futures_market()
    margin = {} if kind is MarketKind.SPOT else {"leverage": 1, "margin_mode": "isolated"}
    clock = Clock()
    account = paper(rules, clock)
    seen: set[str] = set()
    for number in range(ORDERS_KEPT):
        clock.now += LOOKED_UP_MS
        account.see(Quote(D(100)), clock.now)
        await account.place(market_order(f"in{number}", BUY, "100", **margin))
        await account.place(market_order(f"out{number}", SELL, "100", **margin))
        fills = await account.fills(PAIR, 0)
        assert [fill.client_order_id for fill in fills[-2:]] == [f"in{number}", f"out{number}"]
        seen |= {fill.fill_id for fill in fills}
    assert len(seen) == 2 * ORDERS_KEPT
    assert len(account._venue.orders("paper")) <= ORDERS_KEPT


async def test_how_an_order_ended_a_moment_ago_is_remembered() -> None:
    account = paper()
    account.see(Quote(D(100)), 1_000_000)
    for number in range(ORDERS_KEPT + 1):
        await account.place(new(f"o{number}", BUY, "90"))
        await account.cancel(PAIR, f"o{number}", None)
    assert (await account.order(PAIR, "o0")).status is OrderStatus.CANCELED


async def test_what_is_held_or_rests_is_never_forgotten() -> None:
    clock = Clock()
    account = paper(clock=clock)
    account.see(Quote(D(100)), clock.now)
    await account.place(market_order("held", BUY, "100"))
    for number in range(ORDERS_KEPT):
        await account.place(new(f"o{number}", BUY, "90"))
        await account.cancel(PAIR, f"o{number}", None)
    clock.now += 2 * LOOKED_UP_MS
    account.see(Quote(D(100)), clock.now)
    await account.place(new("exit", SELL, "110"))
    assert (await account.balances()).total["BTC"] == 1
    assert await account.order(PAIR, "held") is not None
    account.see(Quote(D(111)), clock.now)
    clock.now += 2 * LOOKED_UP_MS
    account.see(Quote(D(111)), clock.now)
    await account.place(new("rests", BUY, "90"))
    await account.place(new("rests too", BUY, "91"))
    assert {o.client_order_id for o in await account.open_orders(PAIR)} == {"rests", "rests too"}


# The journal as memory.


async def test_an_acknowledged_order_rests_again_and_an_intent_never_arrived() -> None:
    rows = [
        row(new("rests", BUY, "98")),
        row(new("intent", BUY, "97"), OrderStatus.INTENDED),
        row(new("gone", BUY, "96"), OrderStatus.CANCELED),
    ]
    account = paper(orders=rows)
    assert [order.client_order_id for order in await account.open_orders(PAIR)] == ["rests"]
    assert await account.order(PAIR, "intent") is None
    account.see(Quote(D(90)), 1_000_000)
    assert (await account.order(PAIR, "rests")).status is OrderStatus.FILLED


async def test_an_order_fills_no_earlier_than_at_the_first_price_after_the_restart() -> None:
    account = paper(orders=[row(new("a", BUY, "98"))])
    assert (await account.order(PAIR, "a")).filled_base == 0
    assert await account.fills(PAIR, 0) == ()


async def test_an_acknowledged_market_order_was_executed() -> None:
    account = paper(orders=[row(market_order("a", BUY, "101.5"))])
    seen = await account.order(PAIR, "a")
    assert (seen.status, seen.cost_quote) == (OrderStatus.FILLED, D("101.5"))
    (fill,) = await account.fills(PAIR, 0)
    assert fill.at_ms == 900_000
    assert (await account.balances()).total["BTC"] == 1


async def test_what_a_market_order_left_held_is_shown_before_the_first_price() -> None:
    more = {"leverage": 5, "margin_mode": "isolated"}
    orders = [row(market_order("a", BUY, "100", **more))]
    account = paper(futures_market(), leverage=5, orders=orders)
    position = await account.position(PAIR)
    assert (position.amount_base, position.entry_price) == (1, 100)


async def test_a_recorded_part_is_not_filled_again() -> None:
    order = new("a", BUY, "98", "3")
    first = Fill("paper-a-1", "x", "a", PAIR, BUY, D(98), D(1), None, is_maker=True, at_ms=950_000)
    account = paper(
        orders=[row(order, filled_base=D(1), cost_quote=D(98))], fills=[fill_row(first)]
    )
    account.see(Quote(D(97)), 1_000_000)
    seen = await account.order(PAIR, "a")
    assert (seen.status, seen.filled_base) == (OrderStatus.FILLED, D(3))
    fills = await account.fills(PAIR, 0)
    assert [(fill.fill_id, fill.amount_base) for fill in fills] == [
        ("paper-a-1", D(1)),
        ("paper-a-2", D(2)),
    ]
    assert (await account.balances()).total["BTC"] == 3


async def test_a_fee_in_the_base_is_not_held() -> None:
    fill = Fill("1", "x", "a", PAIR, BUY, D(98), D(1), Fee("BTC", D("0.001")), True, 950_000)
    account = paper(orders=[row(new("a", BUY, "98"), OrderStatus.FILLED)], fills=[fill_row(fill)])
    assert (await account.balances()).total["BTC"] == D("0.999")


@pytest.mark.parametrize("sign", [1, -1], ids=["long", "short"])
async def test_a_futures_position_comes_back_with_price_leverage_and_liquidation(sign: int) -> None:
    rules = futures_market()
    enter, leave = (BUY, SELL) if sign > 0 else (SELL, BUY)
    more = {"leverage": 5, "margin_mode": "isolated"}
    before = paper(rules, leverage=5)
    before.see(Quote(D(100)), 1_000_000)
    await before.prepare(PAIR, leverage=5, margin_mode="isolated")
    orders = [
        market_order("a", enter, "100", "2", **more),
        market_order("b", enter, "100", "1", **more),
        market_order("c", leave, "100", "1", is_reduce_only=True, **more),
    ]
    for order in orders:
        await before.place(order)
    fills = [fill_row(fill) for fill in await before.fills(PAIR, 0)]
    rows = [row(order, OrderStatus.FILLED) for order in orders]
    after = paper(rules, leverage=5, orders=rows, fills=fills)
    after.see(Quote(D(100)), 1_000_000)
    assert await after.position(PAIR) == await before.position(PAIR)
    assert (await after.position(PAIR)).amount_base == sign * 2


async def test_a_stop_order_waits_again_and_goes_off_at_the_first_price_beyond_it() -> None:
    more = {"leverage": 2, "margin_mode": "isolated"}
    bought = market_order("a", BUY, "100", **more)
    stop = market_order("s", SELL, "90", trigger_price=D(90), is_reduce_only=True, **more)
    fill = Fill("paper-a-1", "x", "a", PAIR, BUY, D(100), D(1), None, is_maker=False, at_ms=1)
    account = paper(
        futures_market(),
        leverage=2,
        orders=[row(bought, OrderStatus.FILLED), row(stop)],
        fills=[fill_row(fill)],
    )
    account.see(Quote(D(91)), 1_000_000)
    (waiting,) = await account.open_orders(PAIR)
    assert (waiting.client_order_id, waiting.trigger_price) == ("s", D(90))
    account.see(Quote(D(89)), 1_000_100)
    assert (await account.order(PAIR, "s")).cost_quote == D(89)
    assert await account.position(PAIR) is None


async def test_an_isolated_position_is_liquidated_by_an_order_of_the_exchanges_own() -> None:
    account = paper(futures_market(), leverage=5)
    account.see(Quote(D(100)), 1_000_000)
    await account.place(market_order("a", BUY, "100", leverage=5, margin_mode="isolated"))
    account.see(Quote(D(70)), 1_000_100)
    assert await account.position(PAIR) is None
    ours, forced = await account.fills(PAIR, 0)
    assert (ours.client_order_id, forced.client_order_id) == ("a", None)
    assert forced.is_forced
    assert forced.fill_id == "paper-liquidation-1000100-1"


async def test_a_market_whose_maintenance_is_below_its_fee_can_be_traded_on_paper() -> None:
    account = paper(futures_market(maintenance_margin=D("0.0001")), leverage=2)
    account.see(Quote(D(100)), 1_000_000)
    await account.place(market_order("a", BUY, "100", leverage=2, margin_mode="isolated"))
    assert (await account.position(PAIR)).amount_base == 1


@given(
    kind=st.sampled_from(MarketKind),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["price", "limit", "market", "cancel", "restart"]),
            st.sampled_from(Side),
            st.integers(90, 110),
            st.integers(1, 5),
        ),
        max_size=30,
    ),
)
async def test_a_restart_changes_neither_orders_nor_holdings_nor_ids(
    kind: MarketKind, steps: list[tuple[str, Side, int, int]]
) -> None:
    rules = spot_market() if kind is MarketKind.SPOT else futures_market()
    margin = {} if kind is MarketKind.SPOT else {"leverage": 2, "margin_mode": "isolated"}
    account = paper(rules, leverage=margin.get("leverage", 1))
    sent: dict[str, OrderRecord] = {}
    account.see(Quote(D(100)), 1_000_000)
    for number, (what, side, price, amount) in enumerate(steps):
        name = f"o{number}"
        if what == "price":
            account.see(Quote(D(price)), 1_000_000)
        elif what in {"limit", "market"}:
            make = new if what == "limit" else market_order
            order = make(name, side, str(price), str(amount), **margin)
            try:
                await account.place(order)
            except PermanentError:
                continue  # nothing to sell
            sent[name] = row(order)
        elif what == "cancel" and sent:
            await account.cancel(PAIR, next(iter(sent)), None)
        elif what == "restart":
            for found in [await account.order(PAIR, each) for each in sent]:
                if found is not None:  # what had ended before the last restart is no more
                    sent[found.client_order_id] = replace(
                        sent[found.client_order_id],
                        status=found.status,
                        filled_base=found.filled_base,
                        cost_quote=found.cost_quote,
                    )
            fills = await account.fills(PAIR, 0)
            last = account._venue.quote(account._symbol)
            again = paper(
                rules,
                leverage=margin.get("leverage", 1),
                orders=sent.values(),
                fills=[fill_row(fill) for fill in fills],
            )
            assert {o.client_order_id: o.filled_base for o in await again.open_orders(PAIR)} == {
                o.client_order_id: o.filled_base for o in await account.open_orders(PAIR)
            }
            assert [f.fill_id for f in await again.fills(PAIR, 0)] == [f.fill_id for f in fills]
            held = (await account.balances()).total.get("BTC", D(0))
            assert (await again.balances()).total.get("BTC", D(0)) == held
            before, after = await account.position(PAIR), await again.position(PAIR)
            assert (before is None) == (after is None)
            if before is not None and after is not None:
                assert (before.amount_base, before.entry_price) == (
                    after.amount_base,
                    after.entry_price,
                )
            account = again
            account.see(Quote(last.last, last.bid, last.ask), 1_000_000)
    ids = [fill.fill_id for fill in await account.fills(PAIR, 0)]
    assert len(ids) == len(set(ids))
    assert (await account.balances()).total["USDT"] > FUNDS_QUOTE / 2
