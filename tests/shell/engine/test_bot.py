"""One bot on an exchange that fails: what it sends, and what it never sends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from backfuturectl.engine.lookups import FILLS_PATIENCE_S, MISSING_PATIENCE_S
from backfuturectl.engine.stepper import REMEMBERED_MAX, Stepper
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.matching.values import OrderRequest, Wallet
from backfuturectl.model.errors import PermanentError, TransientError
from backfuturectl.model.ids import OrderName, bot_code, client_order_id, parse_client_order_id
from backfuturectl.model.market import MarketKind, Quote
from backfuturectl.model.orders import Fill, Leg, LegKind, NewOrder, OrderStatus, OrderType, Side
from backfuturectl.model.status import Reason
from backfuturectl.strategy.averaging.gauging import GAP_MS
from backfuturectl.strategy.averaging.kind import Averaging
from backfuturectl.strategy.averaging.state import State
from backfuturectl.strategy.base import Command, Event, Gate, GateChanged
from tests.shell.world import ACCOUNT, BUSY, NAME, PAIR, REFUSED, START_MS, UNKNOWN, World, world
from tests.unit.strategy.venue import KIND

pytestmark = pytest.mark.looptime(noop_cycles=1)

D = Decimal
BASE, RUNG, TAKE_PROFIT = LegKind.BASE, LegKind.RUNG, LegKind.TAKE_PROFIT


def attempts(orders: list[str | None]) -> list[int]:
    return [name.attempt for text in orders if (name := parse_client_order_id(text or ""))]


def ids_are_unique(w: World) -> None:
    ids = [order.client_id for order in w.orders()]
    assert len(ids) == len(set(ids))


# Before the wire.


async def test_an_intent_is_in_the_store_before_the_exchange_hears_of_it() -> None:
    seen: list[str] = []

    async with world(starts=False) as w:

        async def check(order: NewOrder) -> None:
            rows = {row.client_order_id: row for row in await w.store.orders()}
            assert rows[order.client_order_id].status is OrderStatus.INTENDED
            seen.append(order.client_order_id)

        w.account.on_place = check
        await w.start()
        await w.price("100")
        await w.price("97.9")
        await w.price("103")
        assert seen == [order.client_id for order in w.orders()]
        assert len(seen) >= 5


async def test_a_store_that_fails_lets_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        await asyncio.sleep(1)
        commit = w.store.commit

        async def fail(writes: object) -> None:
            raise TransientError(Reason.STORE_UNAVAILABLE, "disk full")

        monkeypatch.setattr(w.store, "commit", fail)
        await w.price("100", for_s=60)
        assert w.orders() == []
        assert w.bot is not None
        assert w.bot.last_error is not None

        monkeypatch.setattr(w.store, "commit", commit)
        await w.price("100")
        assert len(w.orders(BASE)) == 1
        assert w.bot.last_error is None


async def test_a_command_survives_a_failing_store(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        commit = w.store.commit

        async def fail(writes: object) -> None:
            raise TransientError(Reason.STORE_UNAVAILABLE, "disk full")

        monkeypatch.setattr(w.store, "commit", fail)
        assert w.bot is not None
        w.bot.command(Command.CLOSE)
        await w.price("100", for_s=30)
        assert w.orders(LegKind.CLOSE) == []
        monkeypatch.setattr(w.store, "commit", commit)
        await w.price("100", for_s=60)
        assert [deal.exit_leg for deal in await w.store.deals()] == ["close"]


# What comes back, and what does not.


async def test_an_order_that_never_arrived_is_placed_once_more_under_a_new_id() -> None:
    async with world() as w:
        w.faults.fail(PortCall.PLACE, None, UNKNOWN)  # the base arrives, the take profit does not
        await w.price("100", for_s=60)
        lost, placed = await w.rows(TAKE_PROFIT)
        assert (lost.status, placed.status) == (OrderStatus.ABSENT, OrderStatus.OPEN)
        assert attempts([lost.client_order_id, placed.client_order_id]) == [0, 1]
        assert len(w.orders(TAKE_PROFIT)) == 1
        ids_are_unique(w)


async def test_absence_is_believed_only_after_the_horizon() -> None:
    async with world() as w:
        w.account.horizon_ms = 30_000
        w.faults.fail(PortCall.PLACE, None, UNKNOWN)
        await w.price("100", for_s=25)
        assert await w.statuses(TAKE_PROFIT) == [OrderStatus.UNKNOWN]
        assert w.orders(TAKE_PROFIT) == []
        await w.price("100", for_s=30)
        assert await w.statuses(TAKE_PROFIT) == [OrderStatus.ABSENT, OrderStatus.OPEN]


async def test_an_order_whose_answer_was_lost_is_found_and_not_sent_again() -> None:
    async with world() as w:
        w.faults.lose_answer(PortCall.PLACE, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
        await w.price("100", for_s=120)
        assert [len(w.orders(leg)) for leg in (BASE, TAKE_PROFIT, RUNG)] == [1, 1, 2]
        assert {row.status for row in await w.rows()} == {OrderStatus.FILLED, OrderStatus.OPEN}


async def test_an_order_that_appears_late_is_found_before_the_horizon() -> None:
    async with world() as w:
        w.account.horizon_ms = 60_000
        w.faults.lose_answer(PortCall.PLACE, None, UNKNOWN)
        await asyncio.sleep(0.5)
        name = OrderName(
            w.store.installation, bot_code(NAME.bot), 1, Leg(TAKE_PROFIT), 0
        )  # the exchange takes its time to show it
        w.account.hidden_orders = frozenset({client_order_id(name)})
        await w.price("100", for_s=20)
        assert await w.statuses(TAKE_PROFIT) == [OrderStatus.UNKNOWN]
        w.account.hidden_orders = frozenset()
        await w.price("100", for_s=20)
        assert await w.statuses(TAKE_PROFIT) == [OrderStatus.OPEN]
        assert len(w.orders(TAKE_PROFIT)) == 1


async def test_a_refused_duplicate_is_looked_up() -> None:
    duplicate = PermanentError(Reason.ORDER_DUPLICATE, "client id exists", raw_code="dup")
    async with world() as w:
        w.faults.lose_answer(PortCall.PLACE, duplicate)
        await w.price("100", for_s=60)
        assert await w.statuses(BASE) == [OrderStatus.FILLED]
        assert len(w.orders(BASE)) == 1


@pytest.mark.parametrize("leg", [BASE, TAKE_PROFIT, RUNG])
async def test_an_exchange_that_is_busy_is_not_pressed(leg: LegKind) -> None:
    async with world() as w:
        if leg is not BASE:
            w.faults.fail(PortCall.PLACE, *[None] * (1 if leg is TAKE_PROFIT else 2))
            w.faults.fail(PortCall.PLACE, *[BUSY] * 1000)
        else:
            w.faults.always[PortCall.PLACE] = BUSY
        for minute in range(5):
            await w.price("100", for_s=60)
            assert w.faults.count(PortCall.PLACE, since_s=minute * 60) <= 15
        assert OrderStatus.ABSENT in await w.statuses(leg)
        assert len(w.orders(leg)) == 0
        # Nothing rests that is not known to rest, and every try had an id of its own.
        rows = await w.rows(leg)
        assert len({row.client_order_id for row in rows}) == len(rows)


async def test_a_refused_order_is_rejected_with_the_exchanges_own_code() -> None:
    async with world() as w:
        w.faults.fail(PortCall.PLACE, REFUSED)
        await w.price("100", for_s=5)
        (row,) = await w.rows(BASE)
        assert (row.status, row.raw_code) == (OrderStatus.REJECTED, "30004")
        assert REFUSED in w.troubles
        assert "OrderRejected" in await w.notes()


async def test_a_leverage_that_is_not_taken_stops_the_entry_before_it_is_sent() -> None:
    async with world(MarketKind.FUTURES) as w:
        w.faults.always[PortCall.PREPARE] = REFUSED
        await w.price("100", for_s=20)
        assert w.faults.count(PortCall.PLACE) == 0
        assert await w.statuses(BASE) == [OrderStatus.REJECTED]


async def test_reads_that_fail_are_repeated_ever_more_slowly() -> None:
    async with world() as w:
        w.faults.always[PortCall.OPEN_ORDERS] = BUSY
        await w.price("100", for_s=300)
        assert w.faults.count(PortCall.PLACE) == 0
        assert w.faults.count(PortCall.OPEN_ORDERS, since_s=60) <= 240 / 7.5 + 1


async def test_the_exchanges_own_waiting_time_is_not_shortened() -> None:
    async with world() as w:
        patient = TransientError(Reason.RATE_LIMITED, "slow down", retry_after_s=90)
        w.faults.fail(PortCall.OPEN_ORDERS, patient)
        await w.price("100", for_s=85)
        assert w.faults.count(PortCall.OPEN_ORDERS) == 1
        await w.price("100", for_s=10)
        assert len(w.orders(BASE)) == 1


async def test_what_was_learned_before_a_call_failed_does_not_wait_for_the_back_off() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        first, _ = sorted(w.resting(RUNG), key=lambda order: -(order.price or 0))
        w.faults.fail(PortCall.OPEN_ORDERS, *[BUSY] * 8)
        w.faults.fail(PortCall.ORDER, None, BUSY)
        looked = w.faults.count(PortCall.ORDER)
        while w.faults.count(PortCall.ORDER) < looked + 2:  # both rungs filled; one is looked up
            await w.price("95", for_s=1)
        await asyncio.sleep(1.5)
        rows = {row.client_order_id: row.status for row in await w.rows(RUNG)}
        assert rows[first.client_id or ""] is OrderStatus.FILLED


async def test_orders_that_ended_leave_nothing_behind() -> None:
    async with world() as w:
        w.faults.fail(PortCall.PLACE, None, UNKNOWN, BUSY, REFUSED)
        await w.price("100", for_s=300)
        assert {OrderStatus.ABSENT, OrderStatus.REJECTED} <= {row.status for row in await w.rows()}
        (gone,) = w.resting(TAKE_PROFIT)
        w.account.hidden_orders = frozenset({gone.client_id or ""})
        await w.price("100", for_s=60)
        assert w.bot is not None
        assert w.bot._lookups._first_missing_s.keys() == {gone.client_id}
        w.account.hidden_orders = frozenset()
        await w.price("100", for_s=30)
        assert w.bot._wire._sent_at_s == {}
        assert w.bot._lookups._first_missing_s == {}


# Fills.


async def test_a_cancel_that_loses_the_race_is_a_fill() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        (old,) = w.resting(TAKE_PROFIT)
        fill_first = w.account.cancel

        async def cancel(pair: str, client_id: str, order_id: str | None) -> None:
            if client_id == old.client_id:
                w.venue.set_price(w.symbol, D(103), w.clock.now_ms())
            await fill_first(pair, client_id, order_id)

        w.account.cancel = cancel
        await w.price("97.9", for_s=60)  # a rung fills, so that the take profit is replaced
        rows = {row.client_order_id: row for row in await w.rows(TAKE_PROFIT)}
        assert rows[old.client_id].status is OrderStatus.FILLED
        ids_are_unique(w)
        assert w.bot is not None
        held = w.venue.balances(ACCOUNT, Wallet.SPOT)["BTC"].total
        assert abs(w.bot.view().position_base - held) < D("0.0001")


async def test_an_order_filled_in_pieces_is_booked_in_pieces() -> None:
    async with world(listing={"fill_max_base": D("0.3")}) as w:
        await w.price("100", for_s=30)
        (base,) = await w.rows(BASE)
        fills = await w.store.fills(NAME.bot, client_order_ids=[base.client_order_id])
        assert len(fills) >= 4
        assert sum(fill.amount_base for fill in fills) == base.filled_base == base.amount_base
        (resting,) = w.resting(TAKE_PROFIT)
        assert resting.amount_base <= base.filled_base


async def test_a_fill_list_that_lags_is_waited_for() -> None:
    async with world(starts=False) as w:
        w.account.hides_fills = True
        await w.start()
        await w.price("100", for_s=FILLS_PATIENCE_S - 2)
        assert w.orders(TAKE_PROFIT) == []
        assert await w.statuses(BASE) == [OrderStatus.OPEN]
        w.account.hides_fills = False
        await w.price("100", for_s=5)
        (base,) = await w.rows(BASE)
        assert base.status is OrderStatus.FILLED
        assert len(await w.store.fills(NAME.bot)) == 1
        assert len(w.resting(TAKE_PROFIT)) == 1


async def test_fills_that_are_always_late_are_all_booked_in_the_end() -> None:
    async with world(starts=False, listing={"fill_max_base": D("0.05")}) as w:
        w.account.hides_fills = True
        await w.start()
        while not w.orders(BASE) or w.orders(BASE)[0].is_open:
            await w.price("100", for_s=1)
        (order,) = w.orders(BASE)
        assert order.updated_at_ms - order.created_at_ms > FILLS_PATIENCE_S * 1000
        await w.price("100", for_s=FILLS_PATIENCE_S - 4)
        w.account.hides_fills = False
        await w.price("100", for_s=5)
        (base,) = await w.rows(BASE)
        assert base.status is OrderStatus.FILLED
        fills = await w.store.fills(NAME.bot, client_order_ids=[base.client_order_id])
        assert sum(fill.amount_base for fill in fills) == base.amount_base


async def test_a_fill_list_that_never_comes_is_not_waited_for_for_ever() -> None:
    async with world(starts=False) as w:
        w.account.hides_fills = True
        await w.start()
        await w.price("100", for_s=FILLS_PATIENCE_S + 10)
        (base,) = await w.rows(BASE)
        assert (base.status, base.filled_base) == (OrderStatus.FILLED, base.amount_base)
        assert len(w.resting(TAKE_PROFIT)) == 1


async def test_an_acknowledged_order_that_vanishes_leaves_exits_only_and_is_not_replaced() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        (gone,) = w.resting(TAKE_PROFIT)
        w.account.hidden_orders = frozenset({gone.client_id or ""})
        await w.price("100", for_s=MISSING_PATIENCE_S - 10)
        assert w.bot is not None
        assert w.bot.gate[0] is Gate.OPEN
        await w.price("100", for_s=60)
        assert w.bot.gate[0] is Gate.EXITS_ONLY
        assert gone.client_id in w.bot.gate[1]
        await w.price("97.9", for_s=120)
        assert [order.client_id for order in w.orders(TAKE_PROFIT)] == [gone.client_id]
        assert await w.statuses(TAKE_PROFIT) == [OrderStatus.OPEN]


# Prices.


async def test_a_price_that_decides_nothing_is_taken_at_once_and_wakes_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        assert w.bot is not None
        before, calls = w.bot.view().unrealised_quote, len(w.faults.calls)
        monkeypatch.setattr(Stepper, "take", None)  # the task would stumble over it
        w.bot.offer_price(Quote(D("100.05")), w.clock.now_ms())
        assert w.bot.view().unrealised_quote != before
        await asyncio.sleep(1)
        assert len(w.faults.calls) == calls
        assert w.task is not None
        assert not w.task.done()


async def test_prices_that_decide_nothing_are_looked_at_together_before_they_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        looked: list[int] = []
        remember = type(KIND).remember

        def count(kind: Averaging, state: State, seen: Sequence[tuple[Decimal, int]]) -> State:
            looked.append(len(seen))
            return remember(kind, state, seen)

        monkeypatch.setattr(type(KIND), "remember", count)
        await w.price("100", for_s=300)
        assert max(looked) <= REMEMBERED_MAX
        assert sum(looked) > 250, "polls between them look as well, but not at every price"
        assert len(looked) < 100


async def test_a_parked_bot_looks_at_a_price_that_reaches_an_order_or_comes_after_a_gap() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        await w.price("100.5", for_s=5)  # in profit, so that nothing lies between here and the exit
        assert w.bot is not None
        (exit_,) = w.resting(TAKE_PROFIT)
        assert w.bot.offer_price(Quote(exit_.price - D("0.01")), w.clock.now_ms()) is False
        assert w.bot.offer_price(Quote(exit_.price), w.clock.now_ms()) is True
        await w.price("100.5", for_s=5)
        await asyncio.sleep(GAP_MS / 1_000 - 1)
        assert w.bot.offer_price(Quote(D("100.5")), w.clock.now_ms()) is False
        await asyncio.sleep(GAP_MS / 1_000 + 1)
        assert w.bot.offer_price(Quote(D("100.5")), w.clock.now_ms()) is True


async def test_a_bot_that_waits_for_room_looks_at_the_first_price_that_comes_with_some() -> None:
    async with world() as w:
        w.room.deals_max = 0
        await w.price("100", for_s=60)
        assert w.bot is not None
        assert w.bot.offer_price(Quote(D(100)), w.clock.now_ms()) is False
        w.room.deals_max = 1
        assert w.bot.offer_price(Quote(D(100)), w.clock.now_ms()) is True
        await asyncio.sleep(1)
        assert len(w.orders(BASE)) == 1


async def test_a_price_that_reaches_a_resting_order_has_it_looked_at_within_a_second() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        assert w.bot is not None
        (exit_,) = w.resting(TAKE_PROFIT)
        w.venue.set_price(w.symbol, exit_.price, w.clock.now_ms())
        w.bot.offer_price(Quote(exit_.price), w.clock.now_ms())
        await asyncio.sleep(0.9)
        assert [deal.exit_leg for deal in await w.store.deals()] == ["takeProfit"]


@pytest.mark.parametrize("gate", [Gate.SHUT, Gate.EXITS_ONLY])
async def test_a_price_that_comes_with_a_closing_gate_opens_nothing(gate: Gate) -> None:
    async with world() as w:
        await asyncio.sleep(5)
        assert w.bot is not None
        w.bot.hold("connection", gate, "offline")
        await w.price("100")
        assert w.orders() == []
        w.bot.release("connection")
        w.bot.offer_price(Quote(D(100)), w.clock.now_ms())
        await asyncio.sleep(1)
        assert len(w.orders(BASE)) == 1


async def test_a_gate_that_could_not_be_recorded_is_told_before_the_next_price(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as w:
        await asyncio.sleep(5)
        assert w.bot is not None
        take = Stepper.take

        async def fail(self: Stepper, event: Event, fills: tuple[Fill, ...] = ()) -> None:
            if isinstance(event, GateChanged):
                raise TransientError(Reason.STORE_UNAVAILABLE, "disk full")
            await take(self, event, fills)

        monkeypatch.setattr(Stepper, "take", fail)
        w.bot.hold("connection", Gate.EXITS_ONLY, "offline")
        await w.price("100", for_s=120)
        assert w.orders() == []


async def test_a_defect_that_a_price_uncovers_ends_the_bots_task_and_not_the_feed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        assert w.bot is not None
        assert w.task is not None
        with monkeypatch.context() as patch:
            patch.setattr(type(KIND), "step", lambda *_: 1 / 0)
            w.bot.offer_price(Quote(D(80)), w.clock.now_ms())
            with pytest.raises(ZeroDivisionError):
                await w.task
        await w.start()
        await w.price("97.9", for_s=30)
        assert len(w.orders(RUNG)) == 3


async def test_prices_that_come_too_fast_are_one_price() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        assert w.bot is not None
        for price in (D(80), D(85), D(100)):  # 80 would stop the deal
            w.bot.offer_price(Quote(price), w.clock.now_ms())
        await w.price("100", for_s=5)
        assert w.orders(LegKind.STOP_LOSS) == []
        assert w.bot.view().state == "ACTIVE"


# The gate.


async def test_nothing_is_placed_before_the_first_comparison_with_the_exchange() -> None:
    async with world(starts=False) as w:
        w.faults.always[PortCall.OPEN_ORDERS] = BUSY
        bot = await w.start()
        await w.price("100", for_s=120)
        assert bot.gate[0] is Gate.SHUT
        assert w.faults.count(PortCall.PLACE) == 0
        del w.faults.always[PortCall.OPEN_ORDERS]
        await w.price("100", for_s=30)
        assert bot.gate[0] is Gate.OPEN
        assert len(w.orders(BASE)) == 1


async def test_a_bot_that_may_only_exit_opens_nothing() -> None:
    async with world(starts=False) as w:
        bot = await w.start()
        bot.hold("prices", Gate.EXITS_ONLY, "no fresh price")
        await w.price("100", for_s=60)
        assert w.orders() == []


async def test_a_bot_that_may_only_exit_replaces_its_take_profit_and_no_rung() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        assert w.bot is not None
        w.bot.hold("connection", Gate.EXITS_ONLY, "offline")
        await w.price("97.9", for_s=60)
        assert len(w.orders(RUNG)) == 2, "no third rung for the one that filled"
        (exit_,) = w.resting(TAKE_PROFIT)
        assert exit_.amount_base > D("1.5")
        w.bot.release("connection")
        await w.price("97.9", for_s=30)
        assert len(w.orders(RUNG)) == 3


async def test_the_strictest_hold_counts_until_each_is_released() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        assert w.bot is not None
        w.bot.hold("a", Gate.EXITS_ONLY, "one")
        w.bot.hold("b", Gate.SHUT, "two")
        assert w.bot.gate == (Gate.SHUT, "two")
        w.bot.release("b")
        assert w.bot.gate == (Gate.EXITS_ONLY, "one")
        w.bot.release("a")
        assert w.bot.gate[0] is Gate.OPEN


async def test_after_an_outage_a_bot_compares_itself_with_the_exchange_before_it_acts() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        assert w.bot is not None
        w.bot.hold("connection", Gate.SHUT, "offline")
        await asyncio.sleep(5)
        # Meanwhile somebody took the coins; the bot must not sell or buy as if it held them.
        w.venue.cancel(ACCOUNT, w.resting(TAKE_PROFIT)[0].serial, w.clock.now_ms())
        w.venue.deposit(ACCOUNT, Wallet.SPOT, "BTC", D("-0.5"), w.clock.now_ms())
        before = len(w.orders())
        w.bot.release("connection", reconcile=True)
        assert w.bot.gate[0] is Gate.SHUT
        await w.price("97.9", for_s=60)
        assert w.bot.gate[0] is Gate.SHUT
        assert len(w.orders()) == before


async def test_after_a_start_only_exits_are_placed_until_the_first_price_was_looked_at() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        (before,) = w.resting(TAKE_PROFIT)
        await w.stop()
        w.venue.set_price(w.symbol, D("97.5"), w.clock.now_ms())
        (second,) = w.resting(RUNG)  # the first has filled

        # The journal's price is of before the fall, and its ladder would go on with a third rung.
        bot = await w.start()
        await asyncio.sleep(20)
        assert bot.gate == (Gate.EXITS_ONLY, "no price looked at yet")
        assert [order.client_id for order in w.resting(RUNG)] == [second.client_id]
        (exit_,) = w.resting(TAKE_PROFIT)
        assert (exit_.amount_base or 0) > (
            before.amount_base or 0
        )  # an exit for all of it waits for no price

        await w.price("97.5", for_s=5)
        assert bot.gate[0] is Gate.OPEN
        assert len(w.resting(RUNG)) == 2


async def test_the_first_price_is_looked_at_although_it_decides_nothing() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        await w.stop()
        bot = await w.start()
        await asyncio.sleep(3)  # its task waits by now
        await w.price("100.01", for_s=1)
        assert bot.gate[0] is Gate.OPEN


# Orders and positions that are not the bot's.


def rest(w: World, client_id: str | None, price: str = "90") -> int:
    """Put an order on the exchange that the bot did not place."""
    request = OrderRequest(
        w.symbol, Side.BUY, OrderType.LIMIT, amount_base=D(1), price=D(price), client_id=client_id
    )
    return w.venue.place(ACCOUNT, request, w.clock.now_ms()).serial


def named(w: World, *, installation: str | None = None, deal: int = 7) -> str:
    return client_order_id(
        OrderName(
            installation or w.store.installation, bot_code(NAME.bot), deal, Leg(LegKind.RUNG, 1), 0
        )
    )


@pytest.mark.parametrize("client_id", [None, "x-web-1", "bfnotquiteours"])
async def test_a_foreign_order_is_reported_and_never_touched(client_id: str | None) -> None:
    async with world(starts=False) as w:
        serial = rest(w, client_id)
        await w.start()
        await w.price("100")
        await w.price("97.9")
        await w.price("103")
        assert w.bot is not None
        w.bot.command(Command.CLOSE)
        await w.price("103")
        assert w.venue.order(ACCOUNT, serial).is_open
        assert "ForeignOrder" in await w.notes()
        assert [deal.exit_leg for deal in await w.store.deals()] == ["takeProfit"]


async def test_another_daemons_order_leaves_only_exits() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        serial = rest(w, named(w, installation="zzzz"))
        await w.price("97.9", for_s=60)
        assert w.bot is not None
        assert w.bot.gate[0] is Gate.EXITS_ONLY
        assert w.venue.order(ACCOUNT, serial).is_open
        assert len(w.orders(RUNG)) == 3, "two of the bot's own, and the stranger's"
        await w.price("103", for_s=60)
        assert [deal.exit_leg for deal in await w.store.deals()] == ["takeProfit"]
        await w.price("100", for_s=300)
        assert len(w.orders(BASE)) == 1


async def test_an_order_of_the_bots_own_name_that_its_journal_does_not_know_shuts_it() -> None:
    async with world(starts=False) as w:
        serial = rest(w, named(w))
        bot = await w.start()
        await w.price("100", for_s=60)
        assert bot.gate[0] is Gate.SHUT
        assert "older state" in bot.gate[1]
        assert w.orders(BASE) == []
        assert w.venue.order(ACCOUNT, serial).is_open
        assert "LostOrder" in await w.notes()


@pytest.mark.parametrize("amount", ["0.5", "-0.5"])
async def test_a_futures_position_that_nobody_journalled_shuts_the_bot(amount: str) -> None:
    async with world(MarketKind.FUTURES, starts=False) as w:
        side = Side.BUY if D(amount) > 0 else Side.SELL
        request = OrderRequest(w.symbol, side, OrderType.MARKET, amount_base=abs(D(amount)))
        w.venue.place(ACCOUNT, request, START_MS)
        bot = await w.start()
        await w.price("100", for_s=60)
        assert bot.gate[0] is Gate.SHUT
        assert len(w.orders()) == 0
        position = w.venue.position(ACCOUNT, w.symbol)
        assert position is not None
        assert position.amount_base == D(amount), "a contradiction is not traded away"
        assert "PositionMismatch" in await w.notes()


async def test_a_spot_balance_below_what_was_bought_shuts_the_bot() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        await w.stop()
        w.venue.cancel(ACCOUNT, w.resting(TAKE_PROFIT)[0].serial, w.clock.now_ms())
        w.venue.deposit(ACCOUNT, Wallet.SPOT, "BTC", D("-0.5"), w.clock.now_ms())
        before = len(w.orders())
        bot = await w.start()
        await w.price("97.9", for_s=60)
        assert bot.gate[0] is Gate.SHUT
        assert len(w.orders()) == before


async def test_the_owners_own_coins_are_no_contradiction() -> None:
    async with world(starts=False) as w:
        w.venue.deposit(ACCOUNT, Wallet.SPOT, "BTC", D(3), START_MS)
        bot = await w.start()
        await w.price("100")
        await w.price("103")
        assert bot.gate[0] is Gate.OPEN
        assert w.venue.balances(ACCOUNT, Wallet.SPOT)["BTC"].total >= 3


# The end.


@pytest.mark.parametrize("at_s", [0.1, 0.3, 0.6, 1.1, 1.7, 2.2, 2.6, 3.4, 4.8])
async def test_a_stopped_bot_has_no_call_in_flight_and_everything_on_record(at_s: float) -> None:
    async with world(starts=False) as w:
        w.faults.delay_s = 0.25
        bot = await w.start()
        w.venue.set_price(w.symbol, D(100), w.clock.now_ms())
        bot.offer_price(Quote(D(100)), w.clock.now_ms())
        await asyncio.sleep(at_s)
        await w.stop()
        assert w.faults.in_flight == 0
        calls = len(w.faults.calls)
        await asyncio.sleep(60)
        assert len(w.faults.calls) == calls
        known = {row.client_order_id for row in await w.rows()}
        assert {order.client_id for order in w.orders()} <= known


async def test_a_stopped_bot_goes_on_where_it_was() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        await w.stop()
        await w.price("97.9", for_s=30)
        await w.start()
        await w.price("97.9", for_s=30)
        await w.price("103", for_s=30)
        (deal,) = await w.store.deals()
        assert deal.exit_leg == "takeProfit"
        ids_are_unique(w)


async def test_a_restart_lists_the_open_orders_once() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        await w.stop()
        since_s = asyncio.get_running_loop().time()
        await w.start()
        await w.price("100", for_s=10)
        assert w.bot is not None
        assert w.bot.gate[0] is Gate.OPEN
        assert w.faults.count(PortCall.OPEN_ORDERS, since_s=since_s) == 1
        await w.price("100", for_s=20)
        assert w.faults.count(PortCall.OPEN_ORDERS, since_s=since_s) == 2


async def test_an_operator_who_cancels_does_not_wait_for_the_look_after_a_restart() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        await w.stop()
        bot = await w.start()
        bot.hold("hand", Gate.EXITS_ONLY, "halt")
        bot.cancel_adding()
        await w.price("100", for_s=5)
        assert all(not order.is_open for order in w.orders(RUNG))


async def test_a_bot_that_waits_for_a_failing_exchange_stops_at_once() -> None:
    async with world() as w:
        w.faults.always[PortCall.OPEN_ORDERS] = TransientError(
            Reason.RATE_LIMITED, "slow down", retry_after_s=300
        )
        await asyncio.sleep(5)
        started_s = asyncio.get_running_loop().time()
        await w.stop()
        assert asyncio.get_running_loop().time() - started_s < 1


# Several bots of one strategy.


@pytest.mark.parametrize("deals_max", [1, 2, 3])
async def test_bots_that_see_a_price_at_once_open_no_more_deals_than_allowed(
    deals_max: int,
) -> None:
    async with world(starts=False) as w:
        w.faults.delay_s = 0.2
        w.room.deals_max = deals_max
        bots = []
        for number in range(5):
            w.name = replace(NAME, bot=f"grid/C{number}-USDT")
            w.setup = replace(w.setup, identity=replace(w.setup.identity, bot=w.name.bot))
            bots.append((await w.start(), w.task))
        await asyncio.sleep(2)
        for _ in range(30):
            for bot, _task in bots:
                bot.offer_price(Quote(D(100)), w.clock.now_ms())
            held = sum(bot.view().deal_number is not None for bot, _ in bots)
            assert held <= deals_max
            await asyncio.sleep(1)
        assert len(w.orders(BASE)) == deals_max
        for bot, task in bots:
            bot.stop()
            assert task is not None
            await task


async def test_a_stale_list_with_an_order_of_an_older_deal_is_no_mismatch() -> None:
    async with world() as w:
        await w.price("100", for_s=5)
        stale = await w.account.open_orders(PAIR)
        await w.price("103", for_s=5)  # the take profit fills, and the deal ends
        await w.price("103", for_s=120)  # the next deal
        assert w.bot is not None
        second = w.bot.view().deal_number
        w.account.listed_too = stale
        w.bot.reconcile_soon()
        await w.price("103", for_s=30)
        assert second is not None
        assert w.bot.gate[0] is Gate.OPEN


async def test_an_order_believed_absent_that_appears_is_canceled_and_not_taken_back() -> None:
    async with world() as w:
        name = OrderName(w.store.installation, bot_code(NAME.bot), 1, Leg(RUNG, 1), 0)
        late = client_order_id(name)
        w.account.hidden_orders = frozenset({late})
        w.faults.lose_answer(PortCall.PLACE, None, None, UNKNOWN)  # the first rung's answer
        await w.price("100", for_s=60)
        statuses = {row.client_order_id: row.status for row in await w.rows(RUNG)}
        assert statuses[late] is OrderStatus.ABSENT
        w.account.hidden_orders = frozenset()
        await w.price("100", for_s=60)
        statuses = {row.client_order_id: row.status for row in await w.rows(RUNG)}
        assert statuses[late] is OrderStatus.CANCELED
        assert late not in {order.client_id for order in w.resting(RUNG)}
        assert w.bot is not None
        assert (w.bot.gate[0], len(w.resting(RUNG))) == (Gate.OPEN, 2)


async def test_a_write_that_succeeds_as_a_pause_ends_harms_nobody() -> None:
    async with world() as w:
        assert w.bot is not None
        context = w.bot._context
        pausing = asyncio.ensure_future(context.pause(1.0))
        await asyncio.sleep(0)
        caught: list[Exception] = []

        def hurry() -> None:
            try:
                context.hurry()
            except RuntimeError as error:
                caught.append(error)

        # After the pause is over, and before whoever paused goes on.
        asyncio.get_running_loop().call_later(1.0, hurry)
        await pausing
        assert caught == []
