"""A key replaced by one of another account: nothing of a deal is touched from there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from backfuturectl.daemon.board import ControllerBoard
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.matching.values import Wallet
from backfuturectl.model.orders import LegKind, OrderStatus
from backfuturectl.model.records import AuditOutcome
from backfuturectl.model.status import Reason
from backfuturectl.reconcile.preview import preview
from backfuturectl.strategy.base import Gate
from tests.shell.reconcile.town import SIDE, Town, connection, new_town, strategy
from tests.shell.world import ACCOUNT, START_MS, UNKNOWN, Account

pytestmark = pytest.mark.looptime(noop_cycles=3)

D = Decimal
GRID, ETH = "grid/BTC-USDT", "grid/ETH-USDT"
HERE, THERE, SAME = connection(), connection(key="theirs"), connection(key="two")

WATCHED = strategy(take_profit="1, trailing: {deviationPct: 0.5}")
"""Once its three rungs have filled, nothing of its deal rests: the coins are all there is."""


@pytest.fixture
def town(tmp_path: Path) -> Town:
    """The other account holds coins of every kind: nothing but whose they are keeps them."""
    made = new_town(tmp_path)
    made.aside.add(THERE)
    for coin in ("BTC", "ETH"):
        made.venue.deposit(SIDE, Wallet.SPOT, coin, D(50), START_MS)
    return made


async def in_deal(town: Town, bot: str = GRID) -> None:
    await town.until(lambda: bot in town.bots and town.bot(bot).view().open_orders >= 3)


async def all_filled(town: Town) -> None:
    """Let every rung of the watched deal fill, so that nothing of it rests."""
    await town.until(lambda: GRID in town.bots and town.bot().view().open_orders >= 2)
    for price in ("97.9", "95.9", "93.9"):
        town.price(price)
        await asyncio.sleep(30)
    assert town.bot().view().open_orders == 0
    assert town.bot().view().position_base > 0


class Everything(frozenset[str]):
    """Has whatever is asked for."""

    def __contains__(self, _: object) -> bool:
        return True


async def moves(town: Town) -> None:
    """Let the price pass everything at which something would be sold, bought or canceled."""
    for price in ("97.9", "103", "80", "97", "103"):
        town.price(price)
        await asyncio.sleep(40)


def is_held(town: Town) -> bool:
    return GRID in town.bots and bool(town.bot().away)


async def told(town: Town, reason: str = "AccountChanged") -> int:
    assert town.store is not None
    events = await town.store.events(f"Bot/{GRID}")
    return [stored.event.reason for stored in events].count(reason)


def sql(town: Town, statement: str) -> None:
    town.disk.driver.execute(statement)


def forget_accounts(town: Town) -> None:
    """Make the store one that was written before accounts were recorded."""
    sql(town, "UPDATE orders SET account_id = ''")


async def account_ids(town: Town) -> set[str]:
    assert town.store is not None
    return {row.account_id for row in await town.store.orders(GRID)}


# Another account.


@pytest.mark.parametrize("is_restarted", [False, True], ids=["while it runs", "while it is down"])
@pytest.mark.parametrize("begin", [in_deal, all_filled], ids=["orders rest", "only coins"])
async def test_a_deal_is_left_alone_while_the_key_is_another_accounts(
    town: Town, begin: Callable[[Town], object], *, is_restarted: bool
) -> None:
    if begin is all_filled:
        town.write(grid=WATCHED)
    async with town.daemon():
        await begin(town)
        if not is_restarted:
            town.write(main=THERE)
            await town.until(lambda: is_held(town))
            await left_alone(town, begin)
            return
    town.write(main=THERE)
    async with town.daemon():
        await town.until(lambda: is_held(town))
        await left_alone(town, begin)


async def left_alone(town: Town, begin: Callable[[Town], object]) -> None:
    deal, before = town.bot().view().deal_number, [order.serial for order in town.orders(SIDE)]
    sent = town.faults.count(PortCall.PLACE), town.faults.count(PortCall.CANCEL)
    assert before == []
    assert town.bot().gate[0] is Gate.SHUT
    assert f"account {SIDE}" in town.bot().gate[1]
    assert f"account {ACCOUNT}" in town.bot().gate[1]
    await town.until(lambda: town.reason("grid") is Reason.ACCOUNT_CHANGED)
    assert town.reason("main", "Connection") is Reason.ONLINE
    await moves(town)
    assert (town.faults.count(PortCall.PLACE), town.faults.count(PortCall.CANCEL)) == sent
    assert town.orders(SIDE) == ()
    assert town.bot().view().deal_number == deal
    assert await told(town) == 1
    # The old key back: what happened meanwhile is found, and the deal goes on to its end.
    town.write(main=HERE)
    await town.until(lambda: not is_held(town) and town.bot().gate[0] is Gate.OPEN)
    await asyncio.sleep(5)
    town.price("100")
    await town.until(lambda: town.bot().view().deal_number != deal)
    await town.until(lambda: town.reason("grid") is Reason.RECONCILE_SUCCEEDED, within_s=90)
    assert town.orders(SIDE) == ()


async def test_nothing_that_another_account_shows_is_believed_of_an_order(town: Town) -> None:
    """An order whose answer never came must not be taken for one that never arrived."""
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and town.bot().gate[0] is Gate.OPEN)
        (here,) = town.accounts
        here.horizon_ms, here.hidden_orders = 600_000, Everything()
        town.faults.lose_answer(PortCall.PLACE, UNKNOWN)
        await town.until(town.orders)
        town.write(main=THERE)
        await town.until(lambda: is_held(town))
        await moves(town)
        assert town.store is not None
        (row,) = await town.store.orders(GRID)
        assert (row.leg.kind, row.status) == (LegKind.BASE, OrderStatus.UNKNOWN)
        town.price("100")
        town.write(main=HERE)
        await town.until(lambda: town.bot().view().open_orders >= 3)
        assert (
            len([order for order in town.orders() if order.client_id == row.client_order_id]) == 1
        )


async def test_a_bot_without_a_deal_starts_afresh_on_the_new_account(town: Town) -> None:
    town.write(grid=strategy(pairs="[BTC/USDT, ETH/USDT]", deals=2))
    async with town.daemon():
        await in_deal(town)
        await in_deal(town, ETH)
        await town.c.strategies.hand.hold("strategy/grid", "pause", cancel=False, close=False)
        town.price("103")
        await town.until(lambda: town.bot().view().deal_number is None)
        town.write(main=THERE)
        await town.until(lambda: ETH in town.bots and bool(town.bot(ETH).away))
        await town.c.strategies.hand.lift("strategy/grid")
        town.price("100")
        await in_deal(town)
        assert not town.bot().away
        assert {order.symbol for order in town.orders(SIDE)} == {"BTC/USDT"}
        assert await account_ids(town) == {ACCOUNT, SIDE}
        # Each to its own account: with the first key again the other bot is the one that waits.
        town.write(main=HERE)
        await town.until(lambda: is_held(town) and not town.bot(ETH).away)
        await town.until(lambda: town.bot(ETH).gate[0] is Gate.OPEN)


async def test_a_deal_that_closed_before_is_not_compared_with_another_account(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        await town.c.strategies.hand.hold("strategy/grid", "pause", cancel=False, close=False)
        town.price("103")
        await town.until(lambda: town.bot().view().deal_number is None)
        town.write(main=THERE)
        await town.until(lambda: GRID in town.bots and town.bot().account_id == SIDE)
        await town.rest(700)
        assert town.store is not None
        (settlement,) = await town.store.settlements([f"{GRID}#1"])
        assert settlement.audit is AuditOutcome.SKIPPED
        board = ControllerBoard(town.c, town.store, town.clock, root="configs")
        asked = {"bot": GRID, "since": START_MS}
        assert (await board.act("audit", asked))["differences"] == []


@pytest.mark.parametrize("begin", [in_deal, all_filled], ids=["orders rest", "only coins"])
async def test_a_deal_can_be_given_up_while_its_account_is_out_of_reach(
    town: Town, begin: Callable[[Town], object]
) -> None:
    document = strategy() if begin is in_deal else WATCHED
    town.write(grid=document, other=strategy("other", pairs="[SOL/USDT]"))
    async with town.daemon():
        await begin(town)
        town.write(main=THERE)
        await town.until(lambda: is_held(town))
        resting = [order for order in town.orders() if order.is_open]
        town.write(grid=document + "  onDelete: abandon\n")
        await town.until(lambda: town.generation("grid") == 2)
        town.remove("grid")
        await town.until(lambda: GRID not in town.bots, within_s=120)
        assert [order for order in town.orders() if order.is_open] == resting
        assert await told(town, "DealAbandoned") == 1
        assert await told(town, "OrdersLeftBehind") == (1 if begin is in_deal else 0)
        town.price("100")
        town.write(grid=document)
        await town.until(lambda: GRID in town.bots and town.bot().view().deal_number == 2)
        await town.until(lambda: {o.symbol for o in town.orders(SIDE)} >= {"BTC/USDT"})


async def test_people_see_whose_account_it_is(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        assert town.store is not None
        board = ControllerBoard(town.c, town.store, town.clock, root="configs")
        shown = await board.describe("connection", "main")
        assert shown is not None
        assert shown["accountId"] == ACCOUNT
        orders = await board.items("orders", about=GRID, limit=10, since=0)
        assert {row["accountId"] for row in orders} == {ACCOUNT}
        running = await board.items("running", about=None, limit=10, since=0)
        town.write(main=THERE)
        (row,) = preview(town.root, running)
        assert row["why"] == f"it changed; account {ACCOUNT} so far"
        await town.until(lambda: town.reason("grid") is Reason.ACCOUNT_CHANGED)
        shown = await board.describe("connection", "main")
        strategy_row = await board.describe("strategy", "grid")
        (bot_row,) = await board.items("bots", about=GRID, limit=10, since=0)
        assert shown is not None
        assert strategy_row is not None
        assert shown["accountId"] == SIDE
        assert strategy_row["message"] == bot_row["gateReason"]
        assert (strategy_row["reason"], bot_row["gate"]) == ("AccountChanged", "shut")
        assert "put a key of the deal's account back" in strategy_row["remedy"]


# The same account.


@pytest.mark.parametrize("begin", [in_deal, all_filled], ids=["orders rest", "only coins"])
@pytest.mark.parametrize("is_told", [True, False], ids=["told", "not told this time"])
async def test_a_new_key_of_the_same_account_is_no_interruption(
    town: Town, begin: Callable[[Town], object], *, is_told: bool
) -> None:
    if begin is all_filled:
        town.write(grid=WATCHED)
    if not is_told:
        town.untold.add(SAME)
    async with town.daemon():
        await begin(town)
        old = town.bot()
        town.write(main=SAME)
        await town.until(lambda: GRID in town.bots and town.bot() is not old)
        await town.until(lambda: town.bot().gate[0] is Gate.OPEN)
        assert town.bot().account_id == (ACCOUNT if is_told else "")
        town.price("103")
        await asyncio.sleep(20)
        town.price("100")
        await town.until(lambda: town.bot().view().deal_number != 1)
        assert await told(town) == 0


async def test_a_test_that_fails_to_tell_the_account_forgets_nothing(town: Town) -> None:
    async with town.daemon() as c:
        await in_deal(town)
        bot = town.bot()
        town.untold.add(HERE)
        for _ in range(3):
            c.test_soon("main")
            await town.rest(10)
        assert (town.bot(), bot.account_id, bot.gate[0]) == (bot, ACCOUNT, Gate.OPEN)
        assert c.lines.line("main").tested_account_id == ACCOUNT
        town.untold.clear()
        c.test_soon("main")
        await town.rest(10)
        assert bot.gate[0] is Gate.OPEN
        assert await account_ids(town) == {ACCOUNT}


async def test_an_account_that_is_told_later_is_taken_note_of(town: Town) -> None:
    town.untold.add(HERE)
    async with town.daemon() as c:
        await in_deal(town)
        assert await account_ids(town) == {""}
        town.untold.clear()
        c.test_soon("main")
        await town.until(lambda: town.bot().account_id == ACCOUNT)
        await town.until(lambda: town.bot().gate[0] is Gate.OPEN)
        assert await account_ids(town) == {ACCOUNT}


# Where accounts are not known.


async def test_an_older_store_learns_the_account_at_the_first_test(town: Town) -> None:
    town.write(grid=WATCHED)
    async with town.daemon():
        await all_filled(town)
    forget_accounts(town)
    town.accounts.clear()
    asked = town.faults.count(PortCall.ORDER)
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and town.bot().gate[0] is Gate.OPEN)
        assert await account_ids(town) == {ACCOUNT}
        assert town.faults.count(PortCall.ORDER) == asked + 1, "the next deal's first id, no proof"
    town.write(main=THERE)
    async with town.daemon():
        await town.until(lambda: is_held(town))


@pytest.mark.parametrize("begin", [in_deal, all_filled], ids=["orders rest", "only coins"])
async def test_an_older_store_learns_a_new_keys_account_from_the_deals_orders(
    town: Town, begin: Callable[[Town], object]
) -> None:
    town.write(grid=strategy() if begin is in_deal else WATCHED)
    async with town.daemon():
        await begin(town)
    forget_accounts(town)
    town.write(main=SAME)
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and town.bot().gate[0] is Gate.OPEN)
        assert await account_ids(town) == {ACCOUNT}
        assert await told(town) == 0


@pytest.mark.parametrize("is_told", [True, False], ids=["older store", "accounts are not told"])
async def test_without_a_proof_a_new_key_is_not_taken_for_the_deals_account(
    town: Town, *, is_told: bool
) -> None:
    town.write(grid=WATCHED)
    if not is_told:
        town.untold |= {HERE, THERE}
    async with town.daemon():
        await all_filled(town)
    if is_told:
        forget_accounts(town)
    town.write(main=THERE)
    for _ in range(2):  # a second start proves no more than the first
        async with town.daemon():
            await town.until(lambda: is_held(town))
            assert "none of its orders is known there" in town.bot().gate[1]
            await moves(town)
            assert town.orders(SIDE) == ()
            assert await told(town) >= 1


async def test_an_order_soon_after_the_swap_may_have_gone_through_the_old_key(town: Town) -> None:
    town.write(grid=WATCHED)
    town.untold |= {HERE, THERE}
    async with town.daemon():
        await all_filled(town)
        town.write(main=THERE)
        await town.until(lambda: is_held(town))
    accepted = "(SELECT accepted_at_ms FROM resources WHERE kind = 'Connection')"
    sql(town, f"UPDATE orders SET intended_at_ms = {accepted} + 5000")
    async with town.daemon():
        await town.until(lambda: is_held(town))


async def test_a_person_may_vouch_for_an_account_that_cannot_be_proven(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.write(grid=WATCHED)
    town.untold |= {HERE, SAME}
    async with town.daemon():
        await all_filled(town)
        monkeypatch.setattr(Account, "hidden_orders", Everything())  # no history reaches back
        town.write(main=SAME)
        await town.until(lambda: is_held(town))
        await town.rest(60)
        await town.c.strategies.hand.lift("strategy/grid")
        await town.until(lambda: town.bot().gate[0] is Gate.OPEN)
        monkeypatch.undo()
        town.price("100")
        await asyncio.sleep(5)
        town.price("99")
        await town.until(lambda: town.bot().view().deal_number is None, within_s=90)


async def test_nobodys_word_makes_another_account_the_deals(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        town.write(main=THERE)
        await town.until(lambda: is_held(town))
        for _ in range(3):
            await town.c.strategies.hand.lift("strategy/grid")
            await town.rest(30)
            assert is_held(town)
            assert town.bot().gate[0] is Gate.SHUT
        assert town.orders(SIDE) == ()


async def test_paper_belongs_to_no_account(town: Town) -> None:
    town.write(grid=strategy(extra="mode: paper"))
    async with town.daemon():
        await in_deal(town)
        old = town.bot()
        town.write(main=THERE)
        await town.until(lambda: GRID in town.bots and town.bot() is not old)
        await town.until(lambda: town.bot().gate[0] is Gate.OPEN)
        assert town.bot().account_id == ""
        assert await account_ids(town) == {""}
