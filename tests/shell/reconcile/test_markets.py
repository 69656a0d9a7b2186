"""Exchanges change their market rules: what a running daemon makes of it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.model.errors import TransientError
from backfuturectl.model.orders import LegKind, OrderStatus
from backfuturectl.model.status import Reason
from backfuturectl.reconcile.markets import RELOAD_PAUSE_S, RELOAD_S
from backfuturectl.strategy.base import Gate
from tests.shell.reconcile.town import Town, connection, new_town, strategy

pytestmark = pytest.mark.looptime(noop_cycles=3)

D = Decimal
GRID = "grid/BTC-USDT"
OK = Reason.RECONCILE_SUCCEEDED
DOWN = TransientError(Reason.EXCHANGE_UNAVAILABLE, "down")


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return new_town(tmp_path)


async def in_deal(town: Town) -> None:
    await town.until(lambda: GRID in town.bots and town.bot().view().open_orders >= 3)


async def reloaded(town: Town) -> None:
    """Ask for the rules as a refused order would, and wait until they are in force."""
    line = town.c.lines.line("main")
    assert line.shared is not None
    count = town.faults.count(PortCall.MARKETS)
    line.shared.markets.look_soon()
    await town.until(lambda: town.faults.count(PortCall.MARKETS) > count, within_s=200)
    await town.rest(3)


def rungs(town: Town) -> set[str | None]:
    return {o.client_id for o in town.orders() if o.is_open and o.client_id[17] == LegKind.RUNG}


@pytest.mark.long
async def test_the_rules_are_loaded_again_by_the_hour(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.change_market(price_tick=D("0.1"))
        assert town.c.strategies.seats[GRID].market.price_tick == D("0.01")
        seat = town.c.strategies.seats[GRID]
        await town.until(lambda: seat.market.price_tick == D("0.1"), within_s=RELOAD_S * 1.2)
        assert town.reason("grid") is OK
        assert town.generation("grid") == 1


async def test_new_orders_follow_a_new_tick_and_resting_rungs_stay(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        before = rungs(town)
        town.change_market(price_tick=D("0.7"))
        await reloaded(town)
        assert rungs(town) == before
        town.price("97.9")
        await town.until(lambda: rungs(town) - before, within_s=90)
        await town.rest(10)
        fresh = [o for o in town.orders() if o.is_open and o.client_id not in before]
        assert len(fresh) >= 2  # the last rung and the exit
        assert all(order.price % D("0.7") == 0 for order in fresh)
        statuses = {row.status for row in await town.store.orders(GRID)}
        assert OrderStatus.REJECTED not in statuses


async def test_a_refused_order_has_the_rules_loaded_and_the_next_one_fits(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        await town.rest(RELOAD_PAUSE_S)
        town.change_market(price_tick=D("0.5"))
        town.price("97.9")
        await town.until(lambda: town.c.strategies.seats[GRID].market.price_tick == D("0.5"), 90)
        town.price("103")
        await town.until(lambda: town.bot().view().deal_number is None, within_s=400)


@pytest.mark.parametrize("on_change", ["keep", "adopt", "drain", "close"])
async def test_new_rules_are_no_edit_of_an_open_deal(town: Town, on_change: str) -> None:
    document = strategy(extra=f"onChange: {on_change}").replace("100 USDT", "auto")
    town.write(grid=document)
    async with town.daemon():
        await in_deal(town)
        before, position = rungs(town), town.bot().view().position_base
        town.change_market(taker_fee=D("0.002"), price_tick=D("0.05"))
        await reloaded(town)
        await town.rest(30)
        assert rungs(town) == before
        assert town.bot().view().position_base == position


async def test_what_no_longer_fits_is_said_until_it_is_mended(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.raise_minimum("BTC/USDT", "150")
        await reloaded(town)
        assert town.reason("grid") is Reason.PROOF_FAILED
        town.c.queue.add("strategy/grid")
        await town.rest(5)
        assert town.reason("grid") is Reason.PROOF_FAILED
        town.price("103")
        await town.until(lambda: town.bot().view().deal_number is None, within_s=90)
        count = len(town.orders())
        await town.rest(120)
        assert len(town.orders()) == count  # no new deal
        town.write(grid=strategy().replace("100 USDT", "200 USDT"))
        await town.until(lambda: town.reason("grid") is OK)
        await town.until(lambda: len(town.orders()) > count, within_s=90)


async def test_a_deal_that_no_longer_fits_moves_to_the_new_key(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.raise_minimum("BTC/USDT", "150")
        await reloaded(town)
        old = town.accounts[-1]
        town.write(main=connection(key="two"))
        await town.until(lambda: town.generation("main", "Connection") == 2)
        await town.until(lambda: GRID in town.bots and town.bot().account is not old, within_s=20)
        assert town.reason("grid") is Reason.PROOF_FAILED
        town.price("103")
        await town.until(lambda: town.bot().view().deal_number is None, within_s=90)


async def test_a_document_that_fits_again_is_applied_by_the_restart_that_finds_it(
    town: Town,
) -> None:
    async with town.daemon():
        await in_deal(town)
    town.raise_minimum("BTC/USDT", "150")
    town.write(grid=strategy().replace("100 USDT", "200 USDT"))
    async with town.daemon():
        await town.until(lambda: (town.reason("grid"), town.generation("grid")) == (OK, 2))


async def test_a_bot_that_does_not_fit_keeps_no_other_from_its_end(town: Town) -> None:
    pairs = "[BTC/USDT, ETH/USDT, SOL/USDT]"
    town.write(grid=strategy(pairs=pairs, deals=3, margin="3000 USDT"))
    async with town.daemon():
        await town.until(lambda: sum(seat.has_open_deal for seat in town.seats) == 3)
        town.write(grid=strategy(pairs="[ETH/USDT, SOL/USDT]", deals=3, margin="3000 USDT"))
        await town.until(lambda: town.reason("grid") is Reason.PROGRESSING)
        town.raise_minimum("ETH/USDT", "150")
        await reloaded(town)
        assert town.reason("grid") is Reason.PROOF_FAILED
        town.price("103")
        await town.until(lambda: GRID not in town.bots)


async def test_a_pair_that_closes_is_held_to_exits_and_opens_again(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.close_market("BTC/USDT")
        await reloaded(town)
        assert town.bot().gate[0] is Gate.EXITS_ONLY
        assert "not open" in town.bot().gate[1]
        assert town.reason("grid") is Reason.MARKET_UNAVAILABLE
        town.close_market("BTC/USDT", is_active=True)
        await reloaded(town)
        await town.until(lambda: town.bot().gate[0] is Gate.OPEN)
        assert town.reason("grid") is OK


async def test_a_pair_that_vanishes_is_a_closed_one(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.unlisted.add("BTC/USDT")
        await reloaded(town)
        assert town.bot().gate[0] is Gate.EXITS_ONLY
        assert town.reason("grid") is Reason.MARKET_UNAVAILABLE
        assert town.reason("main", "Connection") is Reason.ONLINE
        town.unlisted.clear()
        await reloaded(town)
        await town.until(lambda: town.bot().gate[0] is Gate.OPEN, within_s=120)


async def test_a_strategy_that_waits_for_a_pair_starts_when_it_opens(town: Town) -> None:
    town.close_market("BTC/USDT")
    async with town.daemon():
        await town.until(lambda: town.reason("grid") is Reason.MARKET_UNAVAILABLE)
        assert town.bots == set()
        town.close_market("BTC/USDT", is_active=True)
        await reloaded(town)
        await in_deal(town)


async def test_rules_that_cannot_be_loaded_leave_the_known_ones_in_force(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        bot = town.bot()
        town.faults.always[PortCall.MARKETS] = DOWN
        town.change_market(price_tick=D("0.5"))
        await reloaded(town)
        assert town.c.strategies.seats[GRID].market.price_tick == D("0.01")
        assert (town.bot(), bot.gate[0], town.reason("grid")) == (bot, Gate.OPEN, OK)
        del town.faults.always[PortCall.MARKETS]
        seat = town.c.strategies.seats[GRID]
        await town.until(lambda: seat.market.price_tick == D("0.5"), within_s=3 * RELOAD_PAUSE_S)


async def test_many_refusals_load_the_rules_once_a_minute(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        line = town.c.lines.line("main")
        count = town.faults.count(PortCall.MARKETS)
        for _ in range(100):
            line.shared.markets.look_soon()
            await town.rest(1)
        assert town.faults.count(PortCall.MARKETS) - count <= 2


async def test_a_paper_exchange_follows_the_rules_too(town: Town) -> None:
    town.write(grid=strategy(extra="mode: paper"))
    async with town.daemon():
        await in_deal(town)
        town.change_market(price_tick=D("0.00001"))
        await reloaded(town)
        town.price("97.9")
        await town.until(lambda: town.bot().view().position_base > D("1.5"), within_s=90)
        await town.rest(5)
        rows = await town.store.orders(GRID)
        assert OrderStatus.REJECTED not in {row.status for row in rows}
        assert any(row.price % D("0.01") for row in rows)  # the old tick would have refused it
