"""A futures contract of one account has one keeper, whatever the files say and cannot say."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from backfuturectl.matching.values import FeeMode, Listing, symbol_of, wallet_of
from backfuturectl.model.market import MarketKind
from backfuturectl.model.status import Reason
from tests.shell.reconcile.town import Town, connection, new_town, strategy
from tests.shell.world import ACCOUNT, START_MS
from tests.unit.strategy.venue import market

pytestmark = pytest.mark.looptime(noop_cycles=3)

D = Decimal
FUTURES = MarketKind.FUTURES
SYMBOL = symbol_of(FUTURES, "BTC/USDT")
GRID, OTHER = "grid/BTC-USDT", "other/BTC-USDT"


@pytest.fixture
def town(tmp_path: Path) -> Town:
    town = new_town(tmp_path)
    rules = replace(market(FUTURES), pair="BTC/USDT", base="BTC")
    town.venue.add_listing(Listing(rules, fee_mode=FeeMode.QUOTE))
    town.venue.deposit(ACCOUNT, wallet_of(FUTURES), "USDT", D(10_000), START_MS)
    town.venue.set_price(SYMBOL, D(100), START_MS)
    town.write(main=connection().replace("market: spot", "market: futures"), grid=document())
    return town


def document(name: str = "grid", **fields: object) -> str:
    text = strategy(name, **fields)
    return text.replace("maxActiveDeals", "leverage: 2\n  maxActiveDeals")


async def in_deal(town: Town) -> None:
    await town.until(lambda: GRID in town.bots and town.bot().view().position_base > 0)


def message(town: Town, name: str) -> str:
    entry = town.c.registry.get("Strategy", name)
    assert entry is not None
    assert entry.status is not None
    return entry.status.ready.message


async def test_a_newcomer_waits_while_a_broken_files_last_good_generation_runs(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        broken = document().replace("takeProfit:", "takeProfitt:")
        town.write(grid=broken, other=document("other"))
        await town.settled()
        assert town.bots == {GRID}
        assert town.reason("other") is Reason.PROGRESSING
        assert GRID in message(town, "other")

        town.remove("grid")
        await town.settled()
        assert town.bots == {GRID}
        town.venue.set_price(SYMBOL, D(102), town.clock.now_ms())
        await town.settled()
        assert town.bots == {OTHER}
        assert town.reason("other") is Reason.RECONCILE_SUCCEEDED


async def test_a_newcomer_waits_while_the_daemon_refuses_the_edit_that_would_make_way(
    town: Town,
) -> None:
    async with town.daemon():
        await in_deal(town)
        town.write(grid=document(pairs="[ETH/USDT]"), other=document("other"))
        await town.settled()
        assert town.reason("grid") is Reason.MARKET_UNAVAILABLE
        assert town.bots == {GRID}


async def test_a_restart_lets_no_newcomer_in_before_the_keeper_is_back(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
    broken = document().replace("takeProfit:", "takeProfitt:")
    town.write(grid=broken, alone=document("alone"))
    async with town.daemon():
        await town.settled()
        assert town.bots == {GRID}
