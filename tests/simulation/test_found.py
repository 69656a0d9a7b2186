"""What histories have found, as small as it can be told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from backfuturectl.engine.room import DealRoom
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import LegKind, NewOrder, Order, OrderStatus, Position
from backfuturectl.store.database import Store
from backfuturectl.strategy.base import BotIdentity, Command, Gate
from tests.shell.world import NAME, Account, Faults, LoopClock, World, world

pytestmark = pytest.mark.looptime(noop_cycles=1)


async def test_a_fill_between_two_questions_is_no_mismatch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(MarketKind.FUTURES) as w:
        await w.price("100", for_s=30)
        assert w.bot is not None
        asked: list[str] = []
        look = w.account.position

        async def position(pair: str) -> Position | None:
            if not asked:
                # The take profit fills after the orders were looked at, before the position is.
                w.venue.set_price(w.symbol, Decimal(103), w.clock.now_ms())
            asked.append(pair)
            return await look(pair)

        monkeypatch.setattr(w.account, "position", position)
        w.bot.reconcile_soon()
        await asyncio.sleep(0.5)
        await w.price("103", for_s=30)
        assert len(asked) > 1
        assert w.bot.gate[0] is Gate.OPEN
        assert (await w.store.deals())[0].closed_at_ms is not None


async def test_an_exchange_that_contradicts_itself_stops_the_bot_not_its_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as w:
        await w.price("100", for_s=30)
        assert w.bot is not None
        assert w.task is not None
        look = w.account.open_orders

        async def lie(pair: str) -> tuple[Order, ...]:
            return tuple(replace(order, status=OrderStatus.REJECTED) for order in await look(pair))

        monkeypatch.setattr(w.account, "open_orders", lie)
        await w.price("100", for_s=60)
        monkeypatch.setattr(w.account, "open_orders", look)
        before = len(w.orders())
        await w.price("97.9", for_s=60)
        assert not w.task.done()
        assert w.bot.view().state == "MANUAL"
        assert len(w.orders()) == before
        assert "ImpossibleReport" in await w.notes()
        w.bot.command(Command.RESUME)
        await w.price("103", for_s=60)
        assert (await w.store.deals())[0].closed_at_ms is not None


async def test_an_order_that_left_long_after_its_intent_is_waited_for_from_the_next_start() -> None:
    async with world(starts=False) as w:
        w.account.horizon_ms = 10_000
        under_way: list[NewOrder] = []

        async def wait_for_its_turn(order: NewOrder) -> None:
            await asyncio.sleep(30)
            under_way.append(order)
            await asyncio.Event().wait()

        w.account.on_place = wait_for_its_turn
        await w.start()
        await w.price("100", for_s=32)
        assert w.task is not None
        w.task.cancel()  # the process dies as its request leaves
        await asyncio.wait([w.task])
        (order,) = under_way
        w.account.on_place = lambda _: None
        await w.start()
        await w.price("100", for_s=6)
        await w.account.place(order)  # and there it arrives
        await w.price("100", for_s=60)
        assert [sent.client_id for sent in w.orders(LegKind.BASE)] == [order.client_order_id]


async def test_a_store_that_forgot_a_deal_gives_its_ids_to_no_order() -> None:
    async with world() as w:
        await w.price("100", for_s=30)
        await w.price("103", for_s=30)
        assert w.orders(LegKind.TAKE_PROFIT)[0].filled_base
        await w.stop()
        w.task = None
        before = len(w.orders())
        async with Store.open("sqlite://", seed=b"a seed of a test", inline=True) as store:
            assert store.installation == w.store.installation
            identity = BotIdentity(store.installation, NAME.bot)
            account = Account(w.venue, "main", MarketKind.SPOT, now_ms=LoopClock().now_ms)
            known = replace(w.setup, identity=identity)
            again = World(w.venue, known, store, account, Faults(), DealRoom(1))
            bot = await again.start()
            await again.price("100", for_s=120)
            assert bot.gate[0] is Gate.SHUT
            assert len(again.orders()) == before
            await again.stop()


async def test_a_bot_that_may_have_forgotten_a_deal_keeps_the_room_for_one() -> None:
    async with world() as w:
        await w.price("100", for_s=30)
        assert not w.room.has_room("another")
        await w.price("103", for_s=30)
        assert w.room.has_room("another"), "it is flat and knows it"
        await w.stop()
        w.task = None
        async with Store.open("sqlite://", seed=b"a seed of a test", inline=True) as store:
            identity = BotIdentity(store.installation, NAME.bot)
            account = Account(w.venue, "main", MarketKind.SPOT, now_ms=LoopClock().now_ms)
            known = replace(w.setup, identity=identity)
            again = World(w.venue, known, store, account, Faults(), DealRoom(1))
            await again.start()
            assert not again.room.has_room("another"), "before it has looked"
            await again.price("100", for_s=60)
            assert not again.room.has_room("another"), "it has forgotten what it did"
            await again.stop()


async def test_an_order_stays_at_home_when_its_gate_closes_while_it_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(starts=False) as w:
        commit = w.store.commit

        async def close_the_gate(writes: object) -> None:
            await commit(writes)  # type: ignore[arg-type]
            assert w.bot is not None
            w.bot.hold("connection", Gate.EXITS_ONLY, "the key was refused")

        monkeypatch.setattr(w.store, "commit", close_the_gate)
        await w.start()
        await w.price("100", for_s=30)
        assert len(await w.rows(LegKind.BASE)) == 1
        assert w.orders() == []
