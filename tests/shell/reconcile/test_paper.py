"""``mode: paper``: the whole loop, with real prices and not one real order."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from backfuturectl.daemon.board import ControllerBoard
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.model.errors import UsageError
from backfuturectl.model.orders import Side
from backfuturectl.model.records import AuditOutcome
from backfuturectl.model.status import Reason
from tests.shell.reconcile.town import Town, new_town, strategy

pytestmark = pytest.mark.looptime(noop_cycles=3)

D = Decimal
GRID = "grid/BTC-USDT"
OK = Reason.RECONCILE_SUCCEEDED
_TRADING = (PortCall.PREPARE, PortCall.PLACE, PortCall.CANCEL, PortCall.ORDER, PortCall.FILLS)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    made = new_town(tmp_path)
    made.write(grid=strategy(extra="mode: paper"))
    return made


def no_real_order(town: Town) -> None:
    assert town.orders() == ()
    assert not any(town.faults.count(call) for call in _TRADING)


async def in_deal(town: Town, bot: str = GRID) -> None:
    await town.until(lambda: bot in town.bots and town.bot(bot).view().open_orders >= 3)


async def flat(town: Town, bot: str = GRID) -> None:
    await town.until(lambda: town.bot(bot).view().deal_number is None, within_s=90)


async def test_a_paper_bot_trades_a_deal_without_touching_the_account(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        assert town.reason("grid") is OK
        town.price("97.9")
        await town.until(lambda: town.bot().view().position_base > 1.5)
        town.price("103")
        await flat(town)
        (deal,) = [d for d in await town.store.deals(GRID) if d.closed_at_ms is not None]
        assert deal.result_quote > 0
    no_real_order(town)


async def test_a_restart_goes_on_with_the_paper_deal(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.price("97.9")
        await town.until(lambda: town.bot().view().position_base > 1.5)
        before = town.bot().view()
    async with town.daemon():
        await in_deal(town)
        after = town.bot().view()
        assert (after.deal_number, after.position_base, after.average) == (
            before.deal_number,
            before.position_base,
            before.average,
        )
        town.price("103")
        await flat(town)
        fills = await town.store.fills(GRID)
        assert sum(f.amount_base if f.side is Side.BUY else -f.amount_base for f in fills) == 0
        assert {e.event.kind for e in await town.store.events(f"Bot/{GRID}")} == {"Normal"}
    no_real_order(town)


async def test_what_the_price_did_while_the_daemon_was_away_is_not_known(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        position = town.bot().view().position_base
    town.price("97.9")
    town.price("100")
    async with town.daemon():
        await in_deal(town)
        await town.rest(5)
        assert town.bot().view().position_base == position


async def test_a_live_and_a_paper_strategy_share_connection_and_pair(town: Town) -> None:
    town.write(real=strategy("real"))
    async with town.daemon():
        await in_deal(town)
        await in_deal(town, "real/BTC-USDT")
        assert (town.reason("grid"), town.reason("real")) == (OK, OK)
        town.price("103")
        await town.until(lambda: not town.bot().view().position_base, within_s=90)
        await town.until(lambda: not town.bot("real/BTC-USDT").view().position_base, within_s=90)
        rows = {row.client_order_id for row in await town.store.orders("real/BTC-USDT")}
        assert {order.client_id for order in town.orders()} == rows


async def test_going_live_waits_for_the_end_of_a_paper_deal(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.write(grid=strategy())
        await town.until(lambda: town.reason("grid") is Reason.EDIT_REFUSED)
        await town.rest(20)
        no_real_order(town)
        town.price("103")
        await town.until(lambda: (town.reason("grid"), town.generation("grid")) == (OK, 2), 200)
        town.price("100")
        await town.until(lambda: len(town.orders()) >= 3, within_s=90)
        numbers = [deal.number for deal in await town.store.deals(GRID)]
        assert numbers == [1, 2]


async def test_a_paper_deal_that_lasts_is_never_restored_as_a_live_one(town: Town) -> None:
    """The files say live already when the daemon comes back; the deal is a paper one."""
    async with town.daemon():
        await in_deal(town)
    town.write(grid=strategy())
    async with town.daemon():
        await in_deal(town)
        await town.until(lambda: town.reason("grid") is Reason.EDIT_REFUSED)
        await town.rest(20)
    no_real_order(town)


async def test_a_live_successor_waits_for_a_live_deal_of_a_strategy_that_became_paper(
    town: Town,
) -> None:
    town.write(grid=strategy())
    async with town.daemon():
        await in_deal(town)
        count = len(town.orders())
        town.write(grid=strategy(extra="mode: paper\n  onChange: drain"), real=strategy("real"))
        await town.settled()
        assert "real/BTC-USDT" not in town.bots
        assert len(town.orders()) == count
        town.price("103")
        await in_deal(town, "real/BTC-USDT")
        await in_deal(town)
        assert town.c.strategies.seats[GRID].planned.spec.mode == "paper"


async def test_a_paper_bot_waits_for_prices_like_any_other(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.without_price.add("BTC/USDT")
        await town.until(lambda: town.bot().gate[1].startswith("no fresh price"))
        town.without_price.clear()
        await town.until(lambda: town.bot().gate[1] == "")


async def test_results_of_paper_and_live_are_never_added(town: Town) -> None:
    rest = "cooldown: {afterTakeProfit: 7d}"
    town.write(grid=strategy(extra=f"mode: paper\n  {rest}"), real=strategy("real", extra=rest))
    async with town.daemon():
        for bot in (GRID, "real/BTC-USDT"):
            await in_deal(town, bot)
        town.price("103")
        for bot in (GRID, "real/BTC-USDT"):
            await flat(town, bot)
        await town.rest(90)
        board = ControllerBoard(town.c, town.store, town.clock, root=str(town.root))
        sums = {row["environment"]: row for row in (await board.status())["results"]}
        assert set(sums) == {"live", "paper"}
        (paper,) = await town.store.settlements([f"{GRID}#1"])
        (live,) = await town.store.settlements(["real/BTC-USDT#1"])
        assert (paper.audit, live.audit) == (AuditOutcome.SKIPPED, AuditOutcome.CLEAN)
        assert D(sums["paper"]["realised"]) == paper.told_quote
        assert D(sums["live"]["realised"]) == live.told_quote
        with pytest.raises(UsageError, match="on paper"):
            await board.act("audit", {"bot": GRID, "since": 0})


async def test_an_audit_of_a_bot_that_went_live_leaves_its_paper_deals_out(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.price("103")
        await flat(town)
        town.write(grid=strategy())
        town.price("100")
        await town.until(lambda: len(town.orders()) >= 3, within_s=200)
        await town.rest(120)
        board = ControllerBoard(town.c, town.store, town.clock, root=str(town.root))
        found = await board.act("audit", {"bot": GRID, "since": 0})
        assert found["differences"] == []
        assert found["fills"] == 1


async def test_what_was_left_on_the_exchange_is_not_held_on_paper(town: Town) -> None:
    town.write(grid=strategy(extra="onDelete: abandon"))
    async with town.daemon():
        await in_deal(town)
        town.remove("grid")
        await town.settled()
        assert not town.bots
        town.price("140")  # no deal on paper begins to hold anything by itself
        town.write(grid=strategy(extra="mode: paper\n  entry: {trigger: priceBelow, price: 90}"))
        await town.settled()
        assert GRID in town.bots
        held = await town.bot().account.balances()
        assert held.total.get("BTC", D(0)) == 0
