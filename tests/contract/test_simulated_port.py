"""One contract for every port: the simulated ones and the real adapters on the HTTP stand-ins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random

import pytest

from backfuturectl.emulator.scenario import Scenario, build, default_accounts
from backfuturectl.engine.clock import WallClock
from backfuturectl.exchanges.ccxt_adapter import Endpoint, KeyMaterial
from backfuturectl.exchanges.factory import open_account, open_public
from backfuturectl.exchanges.port import AccountPort, PublicPort
from backfuturectl.exchanges.simulated import (
    TRADING_RIGHTS,
    Calm,
    PortCall,
    SimulatedAccount,
    SimulatedPublic,
)
from backfuturectl.matching.values import ClientIdScope, OrderRequest, Wallet, symbol_of
from backfuturectl.matching.venue import Venue
from backfuturectl.model.errors import OperationError, OutcomeUnknownError, PermanentError
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import NewOrder, OrderStatus, OrderType, Side
from backfuturectl.model.secret import Secret
from backfuturectl.model.status import Reason
from tests.contract.emulator_fixture import running

D = Decimal
PAIR = "BTC/USDT"
PRICE = D(68_000)
AMOUNT = D("0.01")
FUNDS = D(100_000)


@dataclass(frozen=True)
class World:
    """A port and the venue behind it."""

    public: PublicPort
    account: AccountPort
    venue: Venue
    kind: MarketKind

    def set_price(self, price: str) -> None:
        self.venue.set_price(symbol_of(self.kind, PAIR), D(price), WallClock().now_ms())

    def change_market(self, **changes: object) -> None:
        listing = self.venue.listings[symbol_of(self.kind, PAIR)]
        self.venue.add_listing(replace(listing, market=replace(listing.market, **changes)))


def _key(brand: str) -> KeyMaterial:
    (key,) = next(spec for spec in default_accounts() if spec.exchange == brand).keys
    return KeyMaterial(
        Secret(key.key), Secret(key.secret), Secret(key.passphrase) if key.passphrase else None
    )


@asynccontextmanager
async def simulated(kind: MarketKind) -> AsyncIterator[World]:
    emulator = build(Scenario(moves=False), clock=WallClock())
    venue = emulator.exchanges["kucoin"].venue
    now_ms = WallClock().now_ms
    account = SimulatedAccount(venue, "main", kind, now_ms=now_ms)
    yield World(SimulatedPublic(venue, kind, now_ms=now_ms), account, venue, kind)


@asynccontextmanager
async def adapted(brand: str, kind: MarketKind, host: str) -> AsyncIterator[World]:
    async with running() as emulator:
        public = open_public(
            brand, kind, rng=Random(0), endpoint=Endpoint(emulator.endpoints.hosts[host])
        )
        account = open_account(public, _key(brand), now_ms=WallClock().now_ms)
        try:
            yield World(public, account, emulator.venue(brand), kind)
        finally:
            await account.close()
            await public.close()


SPOT, FUTURES = MarketKind.SPOT, MarketKind.FUTURES
WORLDS = {
    "simulated spot": lambda: simulated(SPOT),
    "simulated futures": lambda: simulated(FUTURES),
    "mexc spot": lambda: adapted("mexc", SPOT, "mexc"),
    "kucoin spot": lambda: adapted("kucoin", SPOT, "kucoin-spot"),
    "kucoin futures": lambda: adapted("kucoin", FUTURES, "kucoin-futures"),
}


@pytest.fixture(params=list(WORLDS))
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with WORLDS[request.param]() as made:
        yield made


@pytest.fixture(params=[name for name in WORLDS if "futures" in name])
async def futures(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with WORLDS[request.param]() as made:
        yield made


def order(
    client_order_id: str, side: Side = Side.BUY, price: str = "60000", **changes: object
) -> NewOrder:
    return replace(
        NewOrder(client_order_id, PAIR, side, OrderType.LIMIT, AMOUNT, D(price)), **changes
    )


def leveraged(new: NewOrder, world: World) -> NewOrder:
    """Return *new* as the engine would send it on this kind of market."""
    if world.kind is SPOT:
        return new
    return replace(new, leverage=10, margin_mode="isolated")


async def place(world: World, new: NewOrder) -> None:
    if world.kind is FUTURES:
        await world.account.prepare(PAIR, leverage=10, margin_mode="isolated")
    await world.account.place(leveraged(new, world))


async def test_markets_are_in_base_units(world: World):
    market = (await world.public.markets())[PAIR]
    listed = world.venue.listing(symbol_of(world.kind, PAIR)).market
    assert (market.pair, market.kind, market.base, market.quote) == (
        PAIR,
        world.kind,
        "BTC",
        "USDT",
    )
    assert market.amount_step == listed.amount_step
    assert market.price_tick == listed.price_tick
    assert market.contract_size == listed.contract_size


async def test_unlisted_pairs_have_no_price(world: World):
    assert set(await world.public.prices([PAIR, "NO/PE"])) == {PAIR}


async def test_the_server_tells_its_time(world: World):
    before = WallClock().now_ms()
    assert before <= await world.public.server_time_ms() <= WallClock().now_ms()


async def test_the_built_in_key_reads_and_trades_and_cannot_withdraw(world: World):
    rights = await world.account.rights()
    assert rights.can_read
    assert rights.can_withdraw is False
    assert rights.unknown == ()
    assert rights.can_trade_futures if world.kind is FUTURES else rights.can_trade_spot


async def test_a_resting_order_is_open_and_holds_money(world: World):
    await place(world, order("one"))
    (shown,) = await world.account.open_orders(PAIR)
    assert (shown.client_order_id, shown.status, shown.side) == ("one", OrderStatus.OPEN, Side.BUY)
    assert (shown.price, shown.amount_base, shown.filled_base) == (D(60_000), AMOUNT, D(0))
    balances = await world.account.balances()
    assert balances.total["USDT"] == FUNDS
    assert balances.free["USDT"] < FUNDS


async def test_a_filled_order_tells_amount_and_cost(world: World):
    await place(world, order("one"))
    world.set_price("60000")
    shown = await world.account.order(PAIR, "one")
    assert shown is not None
    assert (shown.status, shown.filled_base, shown.cost_quote) == (
        OrderStatus.FILLED,
        AMOUNT,
        D(600),
    )
    assert await world.account.open_orders(PAIR) == ()


async def test_fills_carry_price_amount_and_fee(world: World):
    await place(world, order("one"))
    world.set_price("60000")
    (fill,) = await world.account.fills(PAIR, WallClock().now_ms() - 60_000)
    assert (fill.pair, fill.side, fill.price, fill.amount_base) == (
        PAIR,
        Side.BUY,
        D(60_000),
        AMOUNT,
    )
    rate = world.venue.listing(symbol_of(world.kind, PAIR)).market.maker_fee
    assert fill.fee is not None
    assert (fill.fee.currency, fill.fee.amount) == ("USDT", D(600) * rate)
    assert fill.is_maker


async def test_a_market_order_fills_at_once(world: World):
    await place(world, order("one", price="68000", type=OrderType.MARKET))
    shown = await world.account.order(PAIR, "one")
    assert shown is not None
    assert (shown.status, shown.filled_base) == (OrderStatus.FILLED, AMOUNT)


async def test_a_canceled_order_is_canceled(world: World):
    await place(world, order("one"))
    await world.account.cancel(PAIR, "one", None)
    shown = await world.account.order(PAIR, "one")
    assert shown is not None
    assert shown.status is OrderStatus.CANCELED
    assert (await world.account.balances()).free["USDT"] == FUNDS


async def test_canceling_what_is_gone_is_no_error(world: World):
    await place(world, order("one"))
    await world.account.cancel(PAIR, "one", None)
    await world.account.cancel(PAIR, "one", None)
    await world.account.cancel(PAIR, "never", None)


async def test_an_order_is_found_by_the_id_it_was_given(world: World):
    await place(world, order("one"))
    (shown,) = await world.account.open_orders(PAIR)
    found = await world.account.order(PAIR, "one", shown.order_id)
    assert found is not None
    assert found.order_id == shown.order_id


async def test_an_unknown_order_is_none(world: World):
    assert await world.account.order(PAIR, "never") is None


async def test_an_order_beyond_the_balance_is_refused_for_good(world: World):
    with pytest.raises(PermanentError) as caught:
        await place(world, order("one", amount_base=D(100)))
    assert caught.value.reason is Reason.INSUFFICIENT_FUNDS
    assert await world.account.open_orders(PAIR) == ()


async def test_a_second_order_with_the_client_id_of_an_open_one_is_a_duplicate_or_another_order(
    world: World,
):
    await place(world, order("one"))
    again = world.account.place(leveraged(order("one"), world))
    if world.venue.rules.client_id_scope is ClientIdScope.NONE:
        await again
        assert len(await world.account.open_orders(PAIR)) == 2
        return
    with pytest.raises(PermanentError) as caught:
        await again
    assert caught.value.reason is Reason.ORDER_DUPLICATE
    assert len(await world.account.open_orders(PAIR)) == 1


async def test_foreign_orders_are_open_orders_too(world: World):
    await place(world, order("one"))
    symbol = symbol_of(world.kind, PAIR)
    by_hand = OrderRequest(symbol, Side.BUY, OrderType.LIMIT, amount_base=AMOUNT, price=D(60_000))
    world.venue.place("main", by_hand, WallClock().now_ms())
    assert len(await world.account.open_orders(PAIR)) == 2


async def test_a_long_and_a_short_are_signed_base_units(futures: World):
    await place(futures, order("one", price="68000", type=OrderType.MARKET))
    position = await futures.account.position(PAIR)
    assert position is not None
    assert (position.amount_base, position.leverage, position.margin_mode) == (
        AMOUNT,
        10,
        "isolated",
    )
    assert position.liquidation_price is not None
    double = order("two", Side.SELL, "68000", type=OrderType.MARKET, amount_base=2 * AMOUNT)
    await futures.account.place(leveraged(double, futures))
    position = await futures.account.position(PAIR)
    assert position is not None
    assert position.amount_base == -AMOUNT


async def test_a_reduce_only_order_closes_and_never_turns(futures: World):
    await place(futures, order("one", price="68000", type=OrderType.MARKET))
    close = order("two", Side.SELL, "68000", type=OrderType.MARKET, is_reduce_only=True)
    await futures.account.place(leveraged(close, futures))
    assert await futures.account.position(PAIR) is None
    with pytest.raises(PermanentError):
        await futures.account.place(leveraged(replace(close, client_order_id="three"), futures))


async def test_preparing_sets_leverage_and_margin_mode(futures: World):
    for mode, leverage in (("cross", 7), ("isolated", 3)):
        await futures.account.prepare(PAIR, leverage=leverage, margin_mode=mode)
        assert futures.venue.setting("main", symbol_of(FUTURES, PAIR)).margin_mode == mode


async def test_leverage_beyond_the_market_is_refused(futures: World):
    with pytest.raises(PermanentError):
        await futures.account.place(replace(order("one"), leverage=1000, margin_mode="isolated"))


async def test_spot_has_no_position():
    async with simulated(SPOT) as world:
        assert await world.account.position(PAIR) is None
        await world.account.prepare(PAIR, leverage=1, margin_mode="isolated")


async def test_an_unlisted_pair_is_an_unavailable_market(world: World):
    with pytest.raises(PermanentError) as caught:
        await world.account.open_orders("NO/PE")
    assert caught.value.reason is Reason.MARKET_UNAVAILABLE


class Lost(Calm):
    """Loses the answer to every order, or the order itself."""

    def __init__(self, *, is_carried_out: bool) -> None:
        self._is_carried_out = is_carried_out

    async def before(self, call: PortCall) -> None:
        if call is PortCall.PLACE and not self._is_carried_out:
            raise OutcomeUnknownError(Reason.ORDER_OUTCOME_UNKNOWN, "no answer")

    async def after(self, call: PortCall) -> None:
        if call is PortCall.PLACE:
            raise OutcomeUnknownError(Reason.ORDER_OUTCOME_UNKNOWN, "no answer")


@pytest.mark.parametrize("is_carried_out", [True, False])
async def test_an_unknown_outcome_is_found_out_by_looking(is_carried_out: bool):
    venue = build(Scenario(moves=False), clock=WallClock()).exchanges["kucoin"].venue
    account = SimulatedAccount(
        venue,
        "main",
        SPOT,
        now_ms=lambda: 7,
        disturbance=Lost(is_carried_out=is_carried_out),
    )
    with pytest.raises(OutcomeUnknownError):
        await account.place(order("one"))
    assert (await account.order(PAIR, "one") is not None) is is_carried_out


async def test_rights_can_change_during_a_simulation():
    venue = build(Scenario(moves=False), clock=WallClock()).exchanges["kucoin"].venue
    shown = [TRADING_RIGHTS, replace(TRADING_RIGHTS, can_withdraw=True)]
    account = SimulatedAccount(venue, "main", SPOT, now_ms=lambda: 7, rights=lambda: shown.pop(0))
    assert [(await account.rights()).can_withdraw for _ in range(2)] == [False, True]


async def test_an_account_shows_only_currencies_with_something_in_them():
    async with simulated(SPOT) as world:
        world.venue.deposit("main", Wallet.SPOT, "ETH", D(0), 0)
        assert set((await world.account.balances()).total) == {"USDT"}


async def test_an_account_that_is_not_there_is_a_bad_key():
    venue = build(Scenario(moves=False), clock=WallClock()).exchanges["kucoin"].venue
    account = SimulatedAccount(venue, "nobody", SPOT, now_ms=lambda: 7)
    with pytest.raises(PermanentError) as caught:
        await account.balances()
    assert caught.value.reason is Reason.INVALID_KEY


async def test_market_rules_change_when_they_are_loaded_again(world: World) -> None:
    before = (await world.public.markets())[PAIR]
    tick = before.price_tick * 10
    world.change_market(price_tick=tick)
    assert (await world.public.markets())[PAIR] == before
    await world.public.reload_markets()
    assert (await world.public.markets())[PAIR] == replace(before, price_tick=tick)
    world.change_market(is_active=False)
    await world.public.reload_markets()
    assert not (await world.public.markets())[PAIR].is_active


async def test_a_pair_that_is_listed_no_more_is_closed_and_its_orders_are_found(
    world: World,
) -> None:
    placed = await world.account.place(leveraged(order("stays"), world))
    listings, symbol = world.venue._floor.listings, symbol_of(world.kind, PAIR)
    known = await world.public.markets()
    listing = listings.pop(symbol)
    await world.public.reload_markets()
    listings[symbol] = listing
    now = await world.public.markets()
    assert now.keys() == known.keys()
    assert now[PAIR] == replace(known[PAIR], is_active=False)
    found = await world.account.order(PAIR, "stays", placed.order_id)
    assert found is not None
    assert found.pair == PAIR


async def test_a_failed_load_leaves_the_known_rules(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await world.public.markets()
    monkeypatch.setattr(world.venue._floor, "listings", {})
    if not isinstance(world.public, SimulatedPublic):  # to the pure one, none is an answer too
        with pytest.raises(OperationError):
            await world.public.reload_markets()
    assert await world.public.markets() == known
