"""New deals through another connection while a pair's deal recovers: apart, counted, in turn."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backfuturectl.model.ids import parse_client_order_id
from backfuturectl.model.orders import LegKind, Side
from backfuturectl.model.records import AuditOutcome
from backfuturectl.model.status import Reason
from backfuturectl.strategy.base import Gate
from tests.shell.reconcile.town import SIDE, Town, connection, new_town, strategy
from tests.shell.world import ACCOUNT

pytestmark = pytest.mark.looptime(noop_cycles=3)

FIRST = "grid/BTC-USDT"
SECOND = "grid/BTC-USDT@spare"
OK = Reason.RECONCILE_SUCCEEDED
SPARE = connection("spare", key="spare")
RECOVERY = """\
recovery:
    trigger: {drawdownPct: 2, marginUsedPct: 99, averagingUsedPct: 99, confirmFor: 5s, emaSpan: 2s}
    actions:
      newDeals: "%s"
      addOns: "off"
      takeProfitPct: 0.5
    exit: {drawdownPct: 1, marginUsedPct: 98, confirmFor: 20s}
    escalate: {drawdownPct: 5, maxDuration: 14d}
"""
REST = "cooldown: {afterTakeProfit: 10s, afterRecovery: 10s}"


def grid(*, deals: int = 2, new_deals: str = "viaConnection: spare") -> str:
    text = strategy(deals=deals, margin="2000 USDT", take_profit="4", extra=REST)
    return text.replace("recovery: {enabled: false}\n", RECOVERY % new_deals)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    town = new_town(tmp_path)
    town.aside.add(SPARE)
    town.write(spare=SPARE, grid=grid())
    return town


def deal(town: Town, bot: str) -> int | None:
    return town.bot(bot).view().deal_number if bot in town.bots else None


def state(town: Town, bot: str = FIRST) -> str:
    return town.bot(bot).view().state


async def recovering(town: Town) -> None:
    """Wait until the first bot's deal is in Recovery Mode and the second one trades."""
    await town.until(lambda: FIRST in town.bots and town.bot(FIRST).view().open_orders >= 3)
    town.price("96.5")
    await town.until(lambda: state(town) == "RECOVERY")


async def both(town: Town) -> None:
    await recovering(town)
    await town.until(lambda: SECOND in town.bots and town.bot(SECOND).view().position_base > 0)


async def test_a_new_deal_opens_on_the_other_account_while_the_old_one_recovers(town: Town) -> None:
    async with town.daemon():
        await town.until(lambda: town.bots == {FIRST, SECOND})
        await both(town)
        assert town.reason("grid") is OK
        names = {parse_client_order_id(o.client_id or "") for o in town.orders(SIDE)}
        assert names
        own = {parse_client_order_id(o.client_id or "") for o in town.orders()}
        assert not {n.bot for n in names if n} & {n.bot for n in own if n}
        assert town.bot(SECOND).view().deal_number == 1
        assert town.bot(FIRST).view().deal_number == 1


async def test_nothing_opens_there_while_the_pair_is_well(town: Town) -> None:
    async with town.daemon():
        await town.until(lambda: town.bots == {FIRST, SECOND})
        await town.until(lambda: deal(town, FIRST) is not None)
        await town.rest(120)
        assert deal(town, SECOND) is None
        assert not town.orders(SIDE)


async def test_both_deals_count_against_max_active_deals(town: Town) -> None:
    town.write(grid=grid(deals=1))
    async with town.daemon():
        await recovering(town)
        await town.rest(60)
        assert state(town) == "RECOVERY"
        assert not town.orders(SIDE)


async def test_the_first_bot_waits_for_the_second_ones_deal_to_end(town: Town) -> None:
    async with town.daemon():
        await both(town)
        town.price("99.8")  # the first deal's recovery target, below the second one's profit
        await town.until(lambda: deal(town, FIRST) is None, within_s=90)
        await town.rest(180)
        assert (deal(town, FIRST), deal(town, SECOND)) == (None, 1)
        town.price("105")
        await town.until(lambda: deal(town, SECOND) is None, within_s=200)
        await town.until(lambda: deal(town, FIRST) == 2, within_s=200)
        await town.rest(120)
        assert deal(town, SECOND) is None


async def test_a_connection_that_is_not_online_does_not_hold_the_first_bot_up(town: Town) -> None:
    town.withdrawing.add(SPARE)
    async with town.daemon() as c:
        await recovering(town)
        await town.rest(60)
        assert town.bots == {FIRST}
        assert (town.reason("grid"), town.generation("grid")) == (OK, 1)
        entry = c.registry.get("Strategy", "grid")
        assert entry is not None
        assert entry.status is not None
        assert "spare" in entry.status.ready.message
        town.withdrawing.clear()
        c.test_soon("spare")
        await town.until(lambda: SECOND in town.bots and deal(town, SECOND) is not None)


async def test_a_restart_restores_both_deals(town: Town) -> None:
    async with town.daemon():
        await both(town)
        sent = len(town.orders(SIDE)) + len(town.orders())
    async with town.daemon():
        await town.until(lambda: town.bots == {FIRST, SECOND})
        await town.rest(60)
        assert (deal(town, FIRST), deal(town, SECOND)) == (1, 1)
        assert town.bot(SECOND).view().position_base > 0
        assert state(town) == "RECOVERY"
        assert town.bot(SECOND).gate[0] is Gate.OPEN
        assert len(town.orders(SIDE)) + len(town.orders()) == sent


@pytest.mark.parametrize("after_s", [0.3, 1.1, 3.2, 6.4, 8.0, 9.7, 12.5, 20.0])
async def test_whenever_the_daemon_dies_neither_deal_is_lost_or_doubled(
    town: Town, after_s: float
) -> None:
    async with town.daemon(is_killed=True):
        await town.until(lambda: deal(town, FIRST) is not None)
        town.price("96.5")
        await asyncio.sleep(after_s)
    async with town.daemon():
        await town.until(lambda: SECOND in town.bots and town.bot(SECOND).view().position_base > 0)
        await town.rest(60)
        assert (deal(town, FIRST), deal(town, SECOND)) == (1, 1)
        assert state(town) == "RECOVERY"
        for account, bot in ((ACCOUNT, FIRST), (SIDE, SECOND)):
            bases = [
                order
                for order in town.orders(account)
                if (name := parse_client_order_id(order.client_id or "")) is not None
                and name.leg.kind is LegKind.BASE
                and order.filled_base
            ]
            assert len(bases) == 1
            held = sum(o.filled_base for o in town.orders(account) if o.side is Side.BUY)
            assert town.bot(bot).view().position_base == held


async def test_after_a_restart_an_open_deal_that_is_out_of_reach_still_counts(town: Town) -> None:
    async with town.daemon():
        await both(town)
    town.withdrawing.add(SPARE)
    async with town.daemon():
        await town.until(lambda: FIRST in town.bots)
        town.price("99.8")
        await town.until(lambda: deal(town, FIRST) is None, within_s=120)
        await town.rest(180)
        assert town.bots == {FIRST}
        assert deal(town, FIRST) is None


async def test_a_pair_that_was_flat_there_goes_on_after_a_restart_without_that_connection(
    town: Town,
) -> None:
    async with town.daemon():
        await town.until(lambda: town.bots == {FIRST, SECOND})
    town.withdrawing.add(SPARE)
    async with town.daemon():
        await town.until(lambda: deal(town, FIRST) is not None)


@pytest.mark.parametrize("how", ["block", "another", "pair"])
async def test_an_edit_lets_the_second_deal_end_by_itself(town: Town, how: str) -> None:
    other = connection("third", key="third")
    async with town.daemon():
        await both(town)
        if how == "another":
            town.write(third=other, grid=grid(new_deals="viaConnection: third"))
        elif how == "block":
            town.write(grid=grid(new_deals="block"))
        else:
            town.write(grid=grid().replace("[BTC/USDT]", "[ETH/USDT]"))
        await town.until(lambda: town.bot(SECOND).view().is_draining)
        assert deal(town, SECOND) == 1
        town.price("103")
        await town.until(lambda: SECOND not in town.bots, within_s=200)
        await town.settled()
        assert (FIRST in town.bots) is (how != "pair")
        assert ("grid/BTC-USDT@third" in town.bots) is (how == "another")


async def test_a_deleted_strategy_goes_only_when_both_its_deals_have_ended(town: Town) -> None:
    town.write(other=strategy("other", pairs="[ETH/USDT]"))
    async with town.daemon() as c:
        await both(town)
        town.remove("grid")
        await town.settled()
        assert town.bot(SECOND).view().is_draining
        assert c.registry.get("Strategy", "grid") is not None
        town.price("103")
        await town.until(lambda: town.bots == {"other/ETH-USDT"}, within_s=300)
        await town.until(lambda: c.registry.get("Strategy", "grid") is None)


async def test_a_hold_on_the_other_connection_reaches_the_second_bot_alone(town: Town) -> None:
    async with town.daemon() as c:
        await both(town)
        await c.strategies.hand.hold("connection/spare", "halt", cancel=False, close=False)
        await asyncio.sleep(1)
        assert town.bot(SECOND).gate[0] is Gate.EXITS_ONLY
        assert town.bot(FIRST).gate[0] is Gate.OPEN


async def test_another_strategy_of_that_connection_need_not_wait_for_the_second_bot(
    town: Town,
) -> None:
    async with town.daemon():
        await town.until(lambda: town.bots == {FIRST, SECOND})
        town.write(other=strategy("other", on="spare"))
        await town.until(lambda: "other/BTC-USDT" in town.c.strategies.seats)
        assert deal(town, SECOND) is None


async def test_what_is_earned_elsewhere_is_settled_in_the_pairs_own_currency(town: Town) -> None:
    async with town.daemon() as c:
        await both(town)
        town.price("105")
        await town.until(lambda: deal(town, SECOND) is None, within_s=200)
        await town.rest(60)
        assert town.store is not None
        (settlement,) = await town.store.settlements([f"{SECOND}#1"])
        assert settlement.audit is AuditOutcome.CLEAN
        assert settlement.unvalued == ()
        assert settlement.fees > 0
        assert {purse.quote for purse in c.settler.totals()} == {"USDT"}
