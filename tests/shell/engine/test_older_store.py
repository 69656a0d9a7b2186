"""A state that was put back from an older copy: what was done since is found at the exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from backfuturectl.engine.room import DealRoom
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.matching.values import OrderRequest, Wallet
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import LegKind, OrderType, Side
from backfuturectl.store.database import Store, Write
from backfuturectl.strategy.base import BotIdentity, Gate
from tests.shell.world import ACCOUNT, NAME, REFUSED, Account, Faults, World, world

pytestmark = pytest.mark.looptime(noop_cycles=1)

D = Decimal
SEED = b"a seed of a test"
LOST = b"the seed of another state"


class Nameless(Account):
    """As on KuCoin: executions carry the exchange's order id alone."""

    async def fills(self, pair: str, since_ms: int):
        found = await super().fills(pair, since_ms)
        return tuple(replace(fill, client_order_id=None) for fill in found)


async def copy_of(store: Store) -> list[Write]:
    return [
        *await store.bots(),
        *await store.deals(),
        *await store.orders(),
        *await store.fills(NAME.bot),
    ]


@asynccontextmanager
async def put_back(
    w: World, copy: list[Write], kind: type[Account], *, seed: bytes = SEED
) -> AsyncIterator[World]:
    """Stop the bot, and run it again from *copy* on the same exchange."""
    await w.stop()
    w.task = None
    async with Store.open("sqlite://", seed=seed, inline=True) as store:
        assert (store.installation == w.store.installation) is (seed == SEED)
        await store.commit(copy)
        known = replace(w.setup, identity=BotIdentity(store.installation, NAME.bot))
        account = kind(w.venue, ACCOUNT, MarketKind.SPOT, now_ms=w.clock.now_ms)
        again = World(w.venue, known, store, account, Faults(), DealRoom(1), clock=w.clock)
        await again.start()
        yield again
        await again.stop()


@pytest.mark.parametrize("kind", [Account, Nameless])
async def test_a_deal_beyond_one_that_never_reached_the_exchange_is_found(
    kind: type[Account],
) -> None:
    async with world(cooldown={"afterTakeProfit": "60s"}) as w:
        w.account.__class__ = kind
        await w.price("100")
        await w.price("103")
        assert len(await w.store.deals()) == 1
        copy = await copy_of(w.store)
        w.faults.fail(PortCall.PLACE, REFUSED)  # the base of deal 2 is not taken
        await w.price("103", for_s=400)
        assert len(w.orders(LegKind.BASE)) == 2, "the base of deal 3 is"
        await w.price("107")
        assert not w.resting(LegKind.TAKE_PROFIT)
        before = len(w.orders())
        async with put_back(w, copy, kind) as again:
            await again.price("103", for_s=120)
            assert again.bot is not None
            assert again.bot.gate[0] is Gate.SHUT
            assert "older state" in again.bot.gate[1]
            assert len(again.orders()) == before


@pytest.mark.parametrize("kind", [Account, Nameless])
async def test_what_a_person_traded_meanwhile_is_nothing_the_bot_forgot(
    kind: type[Account],
) -> None:
    async with world(cooldown={"afterTakeProfit": "60s"}) as w:
        w.account.__class__ = kind
        await w.price("100")
        copy = await copy_of(w.store)
        for _ in range(5):
            by_hand = OrderRequest(w.symbol, Side.BUY, OrderType.MARKET, amount_base=D("0.5"))
            w.venue.place(ACCOUNT, by_hand, w.clock.now_ms())
            await w.price("100", for_s=2)
        async with put_back(w, copy, kind) as again:
            await again.price("100", for_s=60)
            assert again.bot is not None
            assert again.bot.gate[0] is Gate.OPEN


@pytest.mark.parametrize("kind", [Account, Nameless])
async def test_a_store_from_before_the_bot_begins_no_deal_beside_one_that_it_does_not_know(
    kind: type[Account],
) -> None:
    async with world(starts=False) as w:
        w.account.__class__ = kind
        w.faults.fail(PortCall.PLACE, REFUSED)  # the base of deal 1 is not taken
        await w.start()
        await w.price("100", for_s=400)
        assert len(w.orders(LegKind.BASE)) == 1, "that of deal 2 is"
        for order in w.resting():
            w.venue.cancel(ACCOUNT, order.serial, w.clock.now_ms())
        await w.stop()
        before = len(w.orders())
        async with put_back(w, [], kind) as again:
            await again.price("100", for_s=120)
            assert again.bot is not None
            assert again.bot.gate[0] is Gate.SHUT
            assert len(again.orders()) == before


@pytest.mark.parametrize("kind", [Account, Nameless])
async def test_a_state_that_was_lost_begins_no_deal_beside_coins_that_it_had_bought(
    kind: type[Account],
) -> None:
    async with world() as w:
        w.account.__class__ = kind
        await w.price("100")
        for order in w.resting():
            w.venue.cancel(ACCOUNT, order.serial, w.clock.now_ms())
        await w.stop()
        before = len(w.orders())
        async with put_back(w, [], kind, seed=LOST) as again:
            await again.price("100", for_s=120)
            assert again.bot is not None
            assert again.bot.gate[0] is Gate.SHUT
            assert "still here" in again.bot.gate[1]
            assert len(again.orders()) == before
            again.bot.forgive()  # a person has looked at it
            await again.price("100", for_s=60)
            assert again.bot.gate[0] is Gate.OPEN
            assert len(again.orders(LegKind.BASE)) == 2


async def test_a_state_that_was_lost_after_its_coins_were_sold_is_no_reason_to_wait() -> None:
    async with world() as w:
        await w.price("100")
        for order in w.resting():
            w.venue.cancel(ACCOUNT, order.serial, w.clock.now_ms())
        await w.stop()
        held = w.venue.balances(ACCOUNT, Wallet.SPOT)["BTC"].total
        w.venue.deposit(ACCOUNT, Wallet.SPOT, "BTC", -held, w.clock.now_ms())
        async with put_back(w, [], Account, seed=LOST) as again:
            await again.price("100", for_s=60)
            assert again.bot is not None
            assert again.bot.gate[0] is Gate.OPEN
            assert len(again.orders(LegKind.BASE)) == 2
