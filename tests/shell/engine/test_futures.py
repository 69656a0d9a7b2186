"""What only futures have: settings verified, funding booked, liquidation foreseen and told."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backfuturectl.engine.funding import AFTER_CLOSE_MS, due_ms
from backfuturectl.engine.liquidation import LOOK_S, nearness
from backfuturectl.engine.settings import settings_mismatch
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.matching.values import EntryKind, OrderRequest, PositionMode
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import (
    FuturesSettings,
    LegKind,
    NewOrder,
    OrderStatus,
    OrderType,
    Side,
)
from backfuturectl.strategy.base import Command, Exposure, Gate
from tests.shell.world import ACCOUNT, BUSY, REFUSED, World, world

pytestmark = pytest.mark.looptime(noop_cycles=1)

D = Decimal
FUTURES = MarketKind.FUTURES
HOUR_MS = 3_600_000
HOURLY = {"funding_rate": D("0.001"), "funding_interval_ms": HOUR_MS}


def gate(w: World) -> tuple[Gate, str]:
    assert w.bot is not None
    return w.bot.gate


async def opened(w: World) -> None:
    await w.price("100")
    assert w.venue.position(ACCOUNT, w.symbol) is not None


# Settings.


async def test_settings_are_set_before_a_deals_first_order_and_read_after_a_restart() -> None:
    async with world(FUTURES, starts=False) as w:
        known: list[tuple[str, bool]] = []

        def look(order: NewOrder) -> None:
            calls = [call for _, call in w.faults.calls[since:]]
            known.append((order.client_order_id[17], first_call in calls))

        w.account.on_place = look
        since, first_call = 0, PortCall.PREPARE
        await w.start()
        await opened(w)
        assert known[0] == (LegKind.BASE, True)
        assert w.faults.count(PortCall.SETTINGS) == 0
        await w.stop()
        known.clear()
        since, first_call = len(w.faults.calls), PortCall.SETTINGS
        await w.start()
        await w.price("97.9")

        calls = [call for _, call in w.faults.calls[since:]]
        assert PortCall.PREPARE not in calls
        assert calls.count(PortCall.SETTINGS) == 1
        assert (LegKind.RUNG, True) in known
        assert (LegKind.RUNG, False) not in known


async def test_every_deal_is_prepared_anew() -> None:
    async with world(FUTURES, cooldown={"afterTakeProfit": "60s"}) as w:
        await opened(w)
        await w.price("102")
        await w.price("100", for_s=120)

        assert len(w.orders(LegKind.BASE)) == 2
        assert w.faults.count(PortCall.PREPARE) == 2


async def test_a_refused_setting_sends_no_order_and_says_why() -> None:
    async with world(FUTURES) as w:
        w.faults.always[PortCall.PREPARE] = REFUSED
        await w.price("100")
        assert w.orders() == []
        assert "SettingsRefused" in await w.notes()

        del w.faults.always[PortCall.PREPARE]
        await w.price("100", for_s=60)
        assert len(w.orders(LegKind.BASE)) == 1


async def test_hedge_mode_after_a_restart_lets_no_rung_out_until_it_is_undone() -> None:
    async with world(FUTURES, averaging={"maxPlaced": 1}) as w:
        await opened(w)
        await w.stop()
        w.venue.position_mode = lambda _: PositionMode.HEDGE  # the venue itself trades one way
        await w.start()
        await w.price("97.9")
        assert len(w.orders(LegKind.RUNG)) == 1
        assert gate(w)[0] is Gate.EXITS_ONLY
        assert "hedge mode" in gate(w)[1]
        assert (await w.notes()).count("SettingsChanged") == 1

        del w.venue.position_mode
        await w.price("97.9", for_s=2 * LOOK_S)
        assert gate(w) == (Gate.OPEN, "")
        assert len(w.orders(LegKind.RUNG)) == 2
        assert "SettingsChangedCleared" in await w.notes()


async def test_leverage_changed_by_hand_stops_adding_and_keeps_exits() -> None:
    async with world(FUTURES, averaging={"maxPlaced": 1}) as w:
        await opened(w)
        w.venue.set_leverage(ACCOUNT, w.symbol, 5, w.clock.now_ms())
        await w.price("100", for_s=2 * LOOK_S)
        assert gate(w)[0] is Gate.EXITS_ONLY
        assert "leverage 5" in gate(w)[1]
        await w.price("97.9")
        assert len(w.orders(LegKind.RUNG)) == 1
        assert w.resting(LegKind.TAKE_PROFIT)

        await w.price("103")
        assert w.venue.position(ACCOUNT, w.symbol) is None
        await w.price("103")
        assert gate(w) == (Gate.OPEN, ""), "the next deal is prepared before its first order"


async def test_leverage_put_right_again_lets_the_bot_add() -> None:
    async with world(FUTURES, averaging={"maxPlaced": 1}) as w:
        await opened(w)
        w.venue.set_leverage(ACCOUNT, w.symbol, 5, w.clock.now_ms())
        await w.price("100", for_s=2 * LOOK_S)
        w.venue.set_leverage(ACCOUNT, w.symbol, 2, w.clock.now_ms())
        await w.price("100", for_s=2 * LOOK_S)
        assert gate(w) == (Gate.OPEN, "")


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (FuturesSettings(is_one_way=True, margin_mode="isolated", leverage=None), None),
        (FuturesSettings(is_one_way=True, margin_mode="isolated", leverage=3), None),
        (FuturesSettings(is_one_way=False, margin_mode="isolated", leverage=3), "hedge mode"),
        (FuturesSettings(is_one_way=True, margin_mode="cross", leverage=3), "cross margin"),
        (FuturesSettings(is_one_way=True, margin_mode="isolated", leverage=4), "leverage 4"),
    ],
)
def test_every_difference_is_named(shown: FuturesSettings, said: str | None) -> None:
    found = settings_mismatch(3, "isolated", shown)

    assert found is None if said is None else said in (found or "")


# Liquidation.


def exposure(sign: int = 1) -> Exposure:
    return Exposure(
        sign=sign,
        leverage=5,
        margin_mode="isolated",
        liquidation=D(80) if sign > 0 else D(120),
        goal=D(95) if sign > 0 else D(105),
        goal_name="rung 2",
        buffer_pct=D(10),
    )


@pytest.mark.parametrize(
    ("sign", "shown", "is_near"),
    [
        (1, "80", False),
        (1, "79", False),
        (1, "85.5", False),
        (1, "85.6", True),
        (1, "96", True),
        (1, None, False),
        (-1, "120", False),
        (-1, "121", False),
        (-1, "115.5", False),
        (-1, "115.4", True),
        (-1, "104", True),
    ],
)
def test_the_exchanges_price_counts_when_it_is_nearer_and_the_buffer_is_gone(sign, shown, is_near):
    found = nearness(exposure(sign), None if shown is None else D(shown))

    assert (found is not None) is is_near
    if found is not None:
        assert str(D(shown)) in found
        assert ("80" if sign > 0 else "120") in found


async def test_a_nearer_liquidation_stops_adding_until_the_buffer_is_there_again() -> None:
    async with world(FUTURES, averaging={"maxPlaced": 1}) as w:
        await opened(w)
        position = w.venue._floor.accounts[ACCOUNT].positions[w.symbol]
        margin = position.margin_quote
        position.margin_quote = margin / 10  # funding has eaten it, or a person took it out
        await w.price("100", for_s=2 * LOOK_S)
        assert gate(w)[0] is Gate.EXITS_ONLY
        assert "the exchange would liquidate at 95" in gate(w)[1]
        assert (await w.notes()).count("LiquidationNear") == 1
        assert w.bot is not None
        shown = w.venue.position(ACCOUNT, w.symbol)
        assert shown is not None
        assert w.bot.liquidation_price == shown.liquidation_price

        position.margin_quote = margin
        await w.price("100", for_s=2 * LOOK_S)
        assert gate(w) == (Gate.OPEN, "")
        assert "LiquidationNearCleared" in await w.notes()


async def test_the_position_is_looked_at_after_each_fill_and_once_a_minute() -> None:
    async with world(FUTURES) as w:
        await opened(w)
        before = w.faults.count(PortCall.POSITION)
        await w.price("97.9", for_s=5)
        assert w.faults.count(PortCall.POSITION) == before + 1
        await w.price("97.9", for_s=10 * LOOK_S)
        looks = w.faults.count(PortCall.POSITION) - before - 1
        assert 7 <= looks <= 10


async def test_a_look_that_fails_keeps_no_exit_waiting() -> None:
    async with world(FUTURES) as w:
        await opened(w)
        w.faults.always[PortCall.POSITION] = BUSY
        await w.price("97.9")
        await w.price("89")
        await w.price("89")
        assert w.venue.position(ACCOUNT, w.symbol) is None
        assert [deal.exit_leg for deal in await w.store.deals()] == ["stopLoss"]


@pytest.mark.parametrize("direction", ["long", "short"])
async def test_a_liquidation_is_booked_as_the_exchange_tells_it_and_calls_a_person(
    direction: str,
) -> None:
    async with world(FUTURES, direction=direction) as w:
        await opened(w)
        w.bot, bot = None, w.bot  # the price runs away while nobody looks
        ruin = "40" if direction == "long" else "170"
        await w.price(ruin, for_s=1)
        assert w.venue.position(ACCOUNT, w.symbol) is None
        w.bot = bot
        await w.price("100", for_s=120)

        (deal,) = await w.store.deals()
        assert deal.exit_leg == "liquidation"
        entries = w.venue.entries(ACCOUNT)
        kinds = {EntryKind.REALISED, EntryKind.FEE}
        lost = sum(one.amount for one in entries if one.kind in kinds)
        assert deal.result_quote == lost
        assert w.bot is not None
        assert w.bot.view().state == "MANUAL"
        assert "Liquidated" in await w.notes()
        assert "PositionMismatch" not in await w.notes()
        (row,) = await w.rows(LegKind.LIQUIDATION)
        assert row.status is OrderStatus.FILLED
        assert all(order.client_id != row.client_order_id for order in w.orders())
        sent = len(w.orders())
        await w.stop()
        await w.start()
        await w.price("100", for_s=60)
        assert len(w.orders()) == sent
        assert w.bot.view().state == "MANUAL"

        w.bot.command(Command.RESUME)
        await w.price("100", for_s=60)
        assert len(w.orders(LegKind.BASE)) == 2


async def test_a_position_closed_by_a_person_is_no_liquidation() -> None:
    async with world(FUTURES) as w:
        await opened(w)
        held = w.venue.position(ACCOUNT, w.symbol)
        assert held is not None
        by_hand = OrderRequest(
            symbol=w.symbol, side=Side.SELL, type=OrderType.MARKET, amount_base=held.amount_base
        )
        w.venue.place(ACCOUNT, by_hand, w.clock.now_ms())
        await w.price("100", for_s=2 * LOOK_S)

        assert gate(w)[0] is Gate.SHUT
        notes = await w.notes()
        assert "PositionMismatch" in notes
        assert "Liquidated" not in notes


def trade_by_hand(w: World, side: Side) -> None:
    order = OrderRequest(symbol=w.symbol, side=side, type=OrderType.MARKET, amount_base=D(1))
    w.venue.place(ACCOUNT, order, w.clock.now_ms())


async def test_a_position_that_appears_between_deals_calls_a_person() -> None:
    async with world(FUTURES, cooldown={"afterTakeProfit": "300s"}) as w:
        await opened(w)
        await w.price("102")
        assert w.bot is not None
        assert w.bot.view().state == "COOLDOWN"
        trade_by_hand(w, Side.BUY)
        await w.price("102", for_s=LOOK_S + 30)
        assert gate(w)[0] is Gate.SHUT
        assert (await w.notes()).count("PositionMismatch") == 1

        await w.price("102", for_s=300)
        assert len(w.orders(LegKind.BASE)) == 1
        trade_by_hand(w, Side.SELL)
        await w.price("102", for_s=60)
        assert gate(w) == (Gate.OPEN, "")
        assert len(w.orders(LegKind.BASE)) == 2


async def test_no_deal_begins_where_a_position_is_that_nobody_journalled() -> None:
    async with world(FUTURES, entry={"trigger": "priceBelow", "price": D(99)}) as w:
        await w.price("100", for_s=2)
        trade_by_hand(w, Side.BUY)
        await w.price("99", for_s=20)
        assert w.orders(LegKind.BASE) == []
        assert gate(w)[0] is Gate.SHUT
        assert "PositionMismatch" in await w.notes()


async def test_what_the_last_deal_held_and_the_exchange_shows_a_moment_longer_is_no_mismatch() -> (
    None
):
    async with world(FUTURES, cooldown={"afterTakeProfit": "60s"}) as w:
        await opened(w)
        held = w.venue.position(ACCOUNT, w.symbol)
        position, gone_ms = w.venue.position, w.clock.now_ms() + 20_000
        w.venue.position = lambda account, symbol: (
            held if w.clock.now_ms() < gone_ms else position(account, symbol)
        )
        await w.price("102", for_s=120)
        assert "PositionMismatch" not in await w.notes()
        assert len(w.orders(LegKind.BASE)) == 2


# Funding.


@pytest.mark.parametrize(
    ("closed", "asked", "due"),
    [
        (None, 0, 36_060),
        (None, 36_060, 39_660),
        (None, 50_000, 50_460),
        (35_999, 0, None),
        (36_000, 0, 36_000),
        (40_000, 39_660, 40_000),
        (40_000, 40_000, 40_020),
        (40_000, 40_020, 40_120),
        (40_000, 40_120, 40_600),
        (40_000, 40_600, None),
    ],
)
def test_funding_is_asked_for_after_each_hour_and_a_few_times_at_the_end(closed, asked, due):
    found = due_ms(
        33_000_000,
        None if closed is None else closed * 1_000,
        asked_ms=asked * 1_000,
        spread_ms=0,
    )

    assert found == (None if due is None else due * 1_000)


async def test_funding_is_in_the_result_to_the_last_digit_and_in_the_store() -> None:
    async with world(FUTURES, listing=HOURLY) as w:
        await opened(w)
        await w.price("100", for_s=3 * 3600)
        await w.price("102")
        await w.price("102", for_s=60)

        paid = w.venue.fundings(ACCOUNT)
        assert len(paid) == 3
        (deal, *_) = [one for one in await w.store.deals() if one.closed_at_ms is not None]
        kinds = {EntryKind.REALISED, EntryKind.FEE, EntryKind.FUNDING}
        entries = [one for one in w.venue.entries(ACCOUNT) if one.at_ms <= (deal.closed_at_ms or 0)]
        assert deal.result_quote == sum(one.amount for one in entries if one.kind in kinds)
        rows = await w.store.funding(w.name.bot, deal=deal.deal)
        assert [row.amount_quote for row in rows] == [one.payment_quote for one in paid]
        asked = w.faults.count(PortCall.FUNDING)
        assert asked <= 3 + len(AFTER_CLOSE_MS)


async def test_funding_is_in_the_result_though_the_next_deal_begins_at_once() -> None:
    async with world(FUTURES, listing=HOURLY, cooldown={"afterTakeProfit": "0s"}) as w:
        await opened(w)
        await w.price("100", for_s=380)
        await w.price("102")
        (paid,) = w.venue.fundings(ACCOUNT)
        first, *others = sorted(await w.store.deals(), key=lambda deal: deal.number)
        assert others, "the next deal has begun"
        rows = await w.store.funding(w.name.bot, deal=first.deal)
        assert [row.amount_quote for row in rows] == [paid.payment_quote]


async def test_no_deal_begins_before_the_funding_of_the_last_one_could_be_read() -> None:
    async with world(FUTURES, listing=HOURLY, cooldown={"afterTakeProfit": "0s"}) as w:
        await opened(w)
        await w.price("100", for_s=380)
        w.faults.fail(PortCall.FUNDING, BUSY, BUSY)
        await w.price("102", for_s=30)
        assert gate(w) == (Gate.EXITS_ONLY, "the funding of deal 1 could not be read")
        (first,) = await w.store.deals()
        assert first.closed_at_ms is not None
        await w.price("102", for_s=150)
        assert len(await w.store.deals()) > 1
        (paid, *_) = w.venue.fundings(ACCOUNT)
        rows = await w.store.funding(w.name.bot, deal=first.deal)
        assert [row.amount_quote for row in rows] == [paid.payment_quote]


async def test_a_question_about_funding_that_failed_just_before_the_end_is_asked_at_the_end() -> (
    None
):
    async with world(FUTURES, listing=HOURLY, cooldown={"afterTakeProfit": "0s"}) as w:
        await opened(w)
        w.faults.always[PortCall.FUNDING] = BUSY
        for _ in range(200):
            await w.price("100", for_s=5)
            if w.faults.count(PortCall.FUNDING):
                break
        assert w.faults.count(PortCall.FUNDING) == 1
        del w.faults.always[PortCall.FUNDING]
        await w.price("102", for_s=20)
        first, *others = sorted(await w.store.deals(), key=lambda deal: deal.number)
        assert others, "the next deal has begun"
        (paid, *_) = w.venue.fundings(ACCOUNT)
        rows = await w.store.funding(w.name.bot, deal=first.deal)
        assert [row.amount_quote for row in rows] == [paid.payment_quote]


async def test_after_a_restart_the_funding_of_the_last_deal_is_asked_for_first() -> None:
    async with world(FUTURES, listing=HOURLY, cooldown={"afterTakeProfit": "0s"}) as w:
        await opened(w)
        await w.price("100", for_s=380)
        w.faults.fail(PortCall.FUNDING, BUSY)
        await w.price("102", for_s=30)
        await w.stop()
        await w.start()
        await w.price("102", for_s=30)
        first, *others = sorted(await w.store.deals(), key=lambda deal: deal.number)
        assert others
        assert len(await w.store.funding(w.name.bot, deal=first.deal)) == 1


async def test_a_short_deal_asks_for_no_funding_at_all() -> None:
    async with world(FUTURES) as w:
        await opened(w)
        await w.price("102")

        assert w.faults.count(PortCall.FUNDING) == 0


async def test_funding_is_booked_once_across_restarts_and_failures() -> None:
    async with world(FUTURES, listing=HOURLY) as w:
        await opened(w)
        await w.price("100", for_s=600)
        w.faults.fail(PortCall.FUNDING, BUSY, BUSY)
        for _ in range(4):
            await w.stop()
            await w.start()
            await w.price("100", for_s=900)
        await w.price("100", for_s=300)

        (deal,) = await w.store.deals()
        rows = await w.store.funding(w.name.bot, deal=deal.deal)
        assert [row.amount_quote for row in rows] == [
            one.payment_quote for one in w.venue.fundings(ACCOUNT)
        ]
        assert (await w.notes()).count("Funding") == len(rows) > 0


async def test_funding_listed_late_corrects_the_closed_deal() -> None:
    async with world(FUTURES, listing=HOURLY) as w:
        await opened(w)
        await w.price("100", for_s=600)
        real = w.venue.fundings
        w.venue.fundings = lambda *_, **__: ()
        await w.price("102")
        (deal, *_) = [one for one in await w.store.deals() if one.closed_at_ms is not None]
        w.venue.fundings = real
        await w.price("102", for_s=25)
        (paid,) = w.venue.fundings(ACCOUNT)
        assert deal.closed_at_ms is not None
        assert w.bot is not None
        w.bot.command(Command.PAUSE)
        await w.price("102", for_s=700)

        found = {one.deal: one for one in await w.store.deals()}[deal.deal]
        assert found.result_quote == (deal.result_quote or 0) + paid.payment_quote
        assert found.closed_at_ms == deal.closed_at_ms
