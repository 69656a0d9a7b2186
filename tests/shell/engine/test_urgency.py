"""An exit waits for no answer to a question, and for no failure longer than that lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest

from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.model.errors import TransientError
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import LegKind, OrderStatus
from backfuturectl.model.status import Reason
from backfuturectl.strategy.averaging.draft import URGENT_RETRY_MAX_MS
from backfuturectl.strategy.base import Command, Gate
from tests.shell.world import BUSY, World, world

pytestmark = pytest.mark.looptime(noop_cycles=1)

D = Decimal
STOP = LegKind.STOP_LOSS
READS = [call for call in PortCall if call not in {PortCall.PLACE, PortCall.CANCEL}]


async def open_deal(w: World) -> None:
    await w.start()
    await w.price("100", for_s=5)


def look_now(w: World) -> None:
    """Have the bot look at its orders with the next turn of the loop."""
    assert w.bot is not None
    w.bot._context.pace.at_once()
    w.bot._wake.set()


async def wait_for(w: World, price: str, happened: Callable[[], object], at_most_s: int) -> int:
    """Keep the price; return after how many seconds it has *happened*."""
    for second in range(at_most_s):
        if happened():
            return second
        await w.price(price, for_s=1)
    pytest.fail(f"it has not happened within {at_most_s} s")


def slow_down(w: World, delay_s: float, *calls: PortCall) -> None:
    """Let the exchange take its time to answer *calls*."""
    before = w.faults.before

    async def slowly(call: PortCall) -> None:
        if call in calls:
            await asyncio.sleep(delay_s)
        await before(call)

    w.faults.before = slowly


@pytest.mark.parametrize("kind", list(MarketKind))
async def test_an_exit_does_not_wait_for_a_slow_answer(kind: MarketKind) -> None:
    async with world(kind, starts=False, stopLoss={"percent": 15, "onExchange": "never"}) as w:
        await open_deal(w)
        slow_down(w, 30.0, *READS)
        look_now(w)
        await asyncio.sleep(0.5)
        assert await wait_for(w, "80", lambda: w.faults.count(PortCall.CANCEL), 60) <= 2


async def test_a_persons_word_does_not_wait_for_a_slow_answer() -> None:
    async with world(starts=False) as w:
        await open_deal(w)
        slow_down(w, 30.0, PortCall.OPEN_ORDERS)
        look_now(w)
        await asyncio.sleep(0.5)
        assert w.bot is not None
        w.bot.command(Command.CLOSE)
        await asyncio.sleep(0.5)
        assert w.faults.count(PortCall.CANCEL) >= 1


async def test_a_question_that_was_dropped_is_asked_again() -> None:
    async with world(starts=False) as w:
        await open_deal(w)
        slow_down(w, 5.0, PortCall.OPEN_ORDERS)
        look_now(w)
        await asyncio.sleep(0.5)
        await w.price("80", for_s=60)
        assert [deal.exit_leg for deal in await w.store.deals()] == ["stopLoss"]


async def test_a_look_that_was_dropped_for_a_persons_word_is_not_put_off() -> None:
    async with world(starts=False) as w:
        await open_deal(w)
        slow_down(w, 1.0, PortCall.OPEN_ORDERS)
        w.venue.set_price(w.symbol, Decimal(103), w.clock.now_ms())  # the take profit fills
        look_now(w)
        await asyncio.sleep(0.5)
        assert w.bot is not None
        w.bot.command(Command.PAUSE)

        def has_ended() -> bool:
            return w.bot is not None and w.bot.view().deal_number is None

        assert await wait_for(w, "100", has_ended, 60) <= 4


async def test_a_persons_word_outlives_a_bot_that_is_told_to_stop() -> None:
    async with world(starts=False) as w:
        await open_deal(w)
        slow_down(w, 5.0, PortCall.PLACE)
        await w.price("97.9", for_s=3)  # a rung fills, and an exit for more is under way
        assert w.bot is not None
        w.bot.command(Command.CLOSE)
        await w.stop()
        await w.start()
        await w.price("97.9", for_s=60)
        assert [deal.exit_leg for deal in await w.store.deals()] == ["close"]


async def test_an_exit_does_not_wait_while_questions_are_refused() -> None:
    patient = TransientError(Reason.RATE_LIMITED, "slow down", retry_after_s=90)
    async with world(starts=False) as w:
        await open_deal(w)
        w.faults.fail(PortCall.OPEN_ORDERS, patient)
        look_now(w)
        await asyncio.sleep(0.5)
        asked = w.faults.count(PortCall.OPEN_ORDERS)
        assert await wait_for(w, "80", lambda: w.faults.count(PortCall.CANCEL), 30) <= 2
        await w.price("80", for_s=80)
        assert w.faults.count(PortCall.OPEN_ORDERS) == asked, "what the exchange asked for is kept"
        await w.price("80", for_s=60)
        assert [deal.exit_leg for deal in await w.store.deals()] == ["stopLoss"]


async def test_refused_questions_are_repeated_ever_more_slowly_while_prices_come() -> None:
    async with world(starts=False) as w:
        await open_deal(w)
        w.faults.always[PortCall.OPEN_ORDERS] = BUSY
        await w.price("97.9", for_s=300)
        assert w.faults.count(PortCall.OPEN_ORDERS, since_s=65) <= 240 / 7.5 + 1
        assert w.bot is not None
        assert w.bot.last_error is BUSY


async def test_a_bot_that_has_not_reconciled_sends_nothing_while_prices_come() -> None:
    async with world(starts=False) as w:
        await open_deal(w)
        await w.stop()
        sent = w.faults.count(PortCall.PLACE) + w.faults.count(PortCall.CANCEL)
        w.faults.always[PortCall.OPEN_ORDERS] = BUSY
        bot = await w.start()
        await w.price("80", for_s=120)
        assert bot.gate[0] is Gate.SHUT
        assert w.faults.count(PortCall.PLACE) + w.faults.count(PortCall.CANCEL) == sent


@pytest.mark.parametrize("busy_s", [45, 200])
async def test_an_exit_goes_when_the_wait_that_the_exchange_asked_for_is_over(busy_s: int) -> None:
    async with world(starts=False) as w:
        await open_deal(w)
        loop = asyncio.get_running_loop()
        until_s, before = loop.time() + busy_s, w.faults.before

        async def refuse(call: PortCall) -> None:
            left_s = until_s - loop.time()
            if call is PortCall.PLACE and left_s > 0:
                w.faults.calls.append((loop.time(), call))
                raise TransientError(Reason.RATE_LIMITED, "slow down", retry_after_s=left_s)
            await before(call)

        w.faults.before = refuse
        tried = w.faults.count(PortCall.PLACE)
        assert busy_s <= await wait_for(w, "80", lambda: w.orders(STOP), 400) <= busy_s + 3
        assert w.faults.count(PortCall.PLACE) - tried <= 3


@pytest.mark.parametrize("call", [PortCall.PLACE, PortCall.CANCEL])
async def test_an_exit_goes_soon_after_an_outage_of_unknown_length(call: PortCall) -> None:
    async with world(starts=False) as w:
        await open_deal(w)
        w.faults.always[call] = BUSY
        await w.price("80", for_s=1000)
        assert w.orders(STOP) == []
        del w.faults.always[call]
        await w.price("80", for_s=URGENT_RETRY_MAX_MS // 1000 + 8)
        assert (await w.statuses(STOP))[-1] is OrderStatus.FILLED


async def test_every_exit_is_known_to_the_port_as_one_and_nothing_else_is() -> None:
    sent: dict[str, bool] = {}
    async with world(starts=False) as w:
        w.account.on_place = lambda order: sent.update({order.client_order_id[17]: order.is_exit})
        await open_deal(w)
        await w.price("80", for_s=60)
    assert sent == {"b": False, "r": False, "t": True, "s": True}


async def test_an_exit_leaves_as_soon_as_anybody_could_write_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(starts=False) as w:
        await open_deal(w)
        writer = w.store._writer
        commit = writer.commit

        async def fail(writes: object) -> None:
            raise TransientError(Reason.STORE_UNAVAILABLE, "disk full")

        monkeypatch.setattr(writer, "commit", fail)
        await w.price("80", for_s=300)
        assert w.faults.count(PortCall.CANCEL) == 0
        assert "disk full" in w.store.trouble
        monkeypatch.setattr(writer, "commit", commit)
        await w.store.commit([])  # another bot's
        await asyncio.sleep(0.1)
        assert w.faults.count(PortCall.CANCEL) > 0
        await w.price("80", for_s=30)
        assert await w.statuses(STOP) == [OrderStatus.FILLED]
