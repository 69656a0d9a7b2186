"""Closed deals are compared with the exchange and come to what the exchange's ledger says."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backfuturectl.daemon.board import ControllerBoard
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.matching.values import FeeMode, Listing, symbol_of, wallet_of
from backfuturectl.model.errors import TransientError
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import Fee, OrderStatus
from backfuturectl.model.records import AuditOutcome, FillRecord
from backfuturectl.model.status import Reason
from backfuturectl.reconcile.fee_prices import YOUNG_MS
from tests.shell.reconcile.town import ACCOUNT, Town, connection, new_town, strategy
from tests.unit.strategy.venue import market

pytestmark = pytest.mark.looptime(noop_cycles=3)

D = Decimal
GRID = "grid/BTC-USDT"
DEAL = f"{GRID}#1"


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return new_town(tmp_path)


def use_fees(town: Town, mode: FeeMode, coin: str | None = None) -> None:
    """Let the exchange take its fees so on BTC/USDT."""
    listing = town.venue.listings[symbol_of(MarketKind.SPOT, "BTC/USDT")]
    town.venue.add_listing(replace(listing, fee_mode=mode, fee_coin=coin))


def list_coin(town: Town, coin: str, price: str) -> None:
    rules = replace(market(), pair=f"{coin}/USDT", base=coin)
    town.venue.add_listing(Listing(rules))
    town.price(price, f"{coin}/USDT")
    town.venue.deposit(ACCOUNT, wallet_of(MarketKind.SPOT), coin, D(1000), town.clock.now_ms())


def board(town: Town) -> ControllerBoard:
    assert town.store is not None
    return ControllerBoard(town.c, town.store, town.clock, root=str(town.root))


async def one_deal(town: Town) -> None:
    """Trade one deal down a rung and up to its take profit, and let it be settled."""
    await town.until(lambda: GRID in town.bots and town.bot().view().open_orders >= 3)
    town.price("97.9")
    await town.rest(30)
    town.price("103")
    await town.until(lambda: town.bot().view().deal_number is None, within_s=90)
    await town.rest(60)


async def deal(town: Town) -> dict[str, Any]:
    found = await board(town).describe("deal", DEAL)
    assert found is not None
    return found


def cash(town: Town) -> Decimal:
    """What the account's quote balance changed by."""
    balances = town.venue.balances(ACCOUNT, wallet_of(MarketKind.SPOT))
    return balances["USDT"].total - D(10_000)


def halted(town: Town) -> None:
    """Let no second deal begin."""
    town.write(grid=strategy(extra="cooldown: {afterTakeProfit: 7d}"))


@pytest.mark.parametrize("mode", [FeeMode.QUOTE, FeeMode.RECEIVED], ids=str)
async def test_a_deal_comes_to_what_the_accounts_balance_says(town: Town, mode: FeeMode) -> None:
    halted(town)
    use_fees(town, mode)
    async with town.daemon():
        await one_deal(town)
        found = await deal(town)
        assert (found["status"], found["audit"]) == ("closed", "clean")
        result = D(found["realised"])
        assert result == cash(town)
        assert D(found["gross"]) - D(found["fees"]) == result
        assert D(found["fees"]) > 0
        assert found["unvaluedFees"] == []
        assert found["result"] == found["realised"]
        assert D(found["story"][-1]["position"]) == D(found["dust"])
        (strategies,) = await board(town).items("strategies", about=None, limit=1, since=0)
        (connections,) = await board(town).items("connections", about=None, limit=1, since=0)
        (of_strategy,), (of_connection,) = strategies["results"], connections["results"]
        assert of_strategy == of_connection == (await board(town).status())["results"][0]
        assert D(of_strategy["realised"]) == result
        assert (of_strategy["environment"], of_strategy["quote"]) == ("live", "USDT")
        assert (
            f'realised_quote{{connection="main",environment="live",quote="USDT"}} {result:f}'
            in (await board(town).metrics())
        )
    # A restart adds up the same.
    async with town.daemon():
        await town.settled()
        assert (await board(town).status())["results"] == [of_strategy]


async def test_the_open_deal_is_in_the_sums_from_its_first_fill_on(town: Town) -> None:
    use_fees(town, FeeMode.QUOTE)
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and town.bot().view().open_orders >= 3)
        town.price("99")
        await town.rest(5)
        (row,) = await board(town).items("deals", about=None, limit=5, since=0)
        (result,) = (await board(town).status())["results"]
        assert row["result"] is None
        assert D(row["realised"]) == -D(row["fees"]) == D(result["realised"]) < 0
        assert D(result["unrealised"]) < 0


async def test_what_one_strategy_or_connection_came_to_is_what_the_list_says_of_it(
    town: Town,
) -> None:
    # Names that begin alike: one's bots must not count as the other's.
    town.write(
        other=connection("main-2", key="two"),
        grid2=strategy("grid-2", on="main-2", pairs="[ETH/USDT]"),
        grid0=strategy("grid0", pairs="[SOL/USDT]"),
    )
    use_fees(town, FeeMode.QUOTE)
    async with town.daemon():
        await town.until(
            lambda: len(town.bots) == 3 and all(s.bot.view().open_orders >= 3 for s in town.seats)
        )
        for pair, price in {"BTC/USDT": "99", "ETH/USDT": "98.5", "SOL/USDT": "99.5"}.items():
            town.price(price, pair)
        await town.rest(5)
        shown = board(town)
        seen: list[object] = []
        for kind, names in {
            "strategy": {"grid", "grid-2", "grid0"},
            "connection": {"main", "main-2"},
        }.items():
            plural = {"strategy": "strategies"}.get(kind, f"{kind}s")
            rows = await shown.items(plural, about=None, limit=9, since=0)
            assert {row["name"] for row in rows} == names
            for row in rows:
                one = await shown.describe(kind, row["name"])
                assert one is not None
                assert one["results"] == row["results"] != []
                seen.append(row["results"])
        assert all(seen[:3].count(each) == 1 for each in seen[:3]), "each has its own result"


async def test_fees_in_a_coin_of_the_exchange_are_valued_at_its_price(town: Town) -> None:
    halted(town)
    list_coin(town, "KCS", "8")
    use_fees(town, FeeMode.COIN, "KCS")
    async with town.daemon():
        await one_deal(town)
        assert town.store is not None
        fills = await town.store.fills(GRID)
        assert {fill.fee.currency for fill in fills if fill.fee} == {"KCS"}
        assert {fill.fee_price for fill in fills} == {D(8)}
        found = await deal(town)
        assert D(found["fees"]) == 8 * sum(fill.fee.amount for fill in fills if fill.fee)
        assert D(found["realised"]) == cash(town) - D(found["fees"])
        assert found["unvaluedFees"] == []


async def test_a_fee_whose_coin_has_a_price_only_after_a_while_is_in_the_settled_result(
    town: Town,
) -> None:
    halted(town)
    list_coin(town, "KCS", "8")
    use_fees(town, FeeMode.COIN, "KCS")
    town.without_price.add("KCS/USDT")
    async with town.daemon():
        await one_deal(town)
        assert (await deal(town))["settledAt"] is None, "the price may still come"
        town.without_price.clear()
        await town.rest(60)
        found = await deal(town)
        assert found["settledAt"] is not None
        assert found["unvaluedFees"] == []
        assert town.store is not None
        fills = await town.store.fills(GRID)
        assert D(found["fees"]) == 8 * sum(fill.fee.amount for fill in fills if fill.fee)
        assert D(found["result"]) == cash(town) - D(found["fees"])


async def test_a_fee_whose_coin_has_no_price_is_named_and_never_counted_as_nothing(
    town: Town,
) -> None:
    halted(town)
    list_coin(town, "KCS", "8")
    use_fees(town, FeeMode.COIN, "KCS")
    town.without_price.add("KCS/USDT")
    async with town.daemon():
        await one_deal(town)
        await town.rest(YOUNG_MS / 1000)
        found = await deal(town)
        assert found["settledAt"] is not None
        assert town.store is not None
        paid = sum(fill.fee.amount for fill in await town.store.fills(GRID) if fill.fee)
        (unvalued,) = found["unvaluedFees"]
        assert (unvalued["currency"], D(unvalued["amount"])) == ("KCS", paid)
        assert (await board(town).status())["results"][0]["unvaluedFees"] == [unvalued]


async def test_an_execution_that_the_store_lost_is_added_again_where_its_order_knows_it(
    town: Town,
) -> None:
    halted(town)
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and town.bot().view().open_orders >= 3)
        town.faults.always[PortCall.FILLS] = TransientError(Reason.EXCHANGE_UNAVAILABLE, "no")
        town.price("103")
        await town.rest(60)
        del town.faults.always[PortCall.FILLS]
        await town.until(lambda: town.bot().view().deal_number is None, within_s=90)
        await town.rest(120)
        assert (await deal(town))["audit"] == "clean"
        assert D((await deal(town))["realised"]) == cash(town)


async def test_executions_that_the_exchange_never_lists_count_by_their_orders_and_are_told(
    town: Town,
) -> None:
    halted(town)
    use_fees(town, FeeMode.QUOTE)
    async with town.daemon():
        await town.until(lambda: town.accounts)
        for account in town.accounts:
            account.hides_fills = True
        await one_deal(town)
        found = await deal(town)
        assert found["fills"] == []
        assert found["audit"] == "differs"
        fee = D("0.001") * sum(D(row["cost"]) for row in found["orders"])
        assert abs(D(found["realised"]) - (cash(town) + fee)) < D("1e-20")


async def test_a_difference_at_the_close_is_told_loudly(town: Town) -> None:
    halted(town)
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and town.bot().view().open_orders >= 3)
        assert town.store is not None
        (base,) = await town.store.fills(GRID)
        await town.store.commit([replace(base, fill_id="made up")])
        town.price("103")
        await town.rest(90)
        assert (await deal(town))["audit"] == "differs"
        (event,) = [
            stored.event
            for stored in await town.store.events()
            if stored.event.reason == "AuditDiffers"
        ]
        assert (event.kind, event.deal) == ("Warning", DEAL)
        assert "extra made up" in event.message


async def test_a_deal_whose_exchange_does_not_answer_is_settled_in_the_end_and_says_so(
    town: Town,
) -> None:
    halted(town)
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and town.bot().view().open_orders >= 3)
        town.price("103")
        await town.until(lambda: town.bot().view().deal_number is None, within_s=90)
        town.faults.always[PortCall.FILLS] = TransientError(Reason.EXCHANGE_UNAVAILABLE, "no")
        await town.rest(120)
        assert (await deal(town))["audit"] is None
        await town.rest(600)
        assert (await deal(town))["audit"] == "unknown"
        assert D((await deal(town))["realised"]) == cash(town)


async def test_a_fee_that_comes_after_the_settlement_settles_the_deal_anew(town: Town) -> None:
    halted(town)
    async with town.daemon():
        await one_deal(town)
        assert town.store is not None
        before = D((await board(town).status())["results"][0]["realised"])
        (closed,) = await town.store.deals()
        assert closed.result_quote is not None
        late = FillRecord(
            "late", "no-such", GRID, closed.side, D(1), D(0), Fee("USDT", D("0.5")), 1
        )
        fill = (await town.store.fills(GRID))[0]
        await town.store.commit(
            [
                replace(late, client_order_id=fill.client_order_id),
                replace(closed, result_quote=closed.result_quote - D("0.5")),
            ]
        )
        await town.rest(30)
        (result,) = (await board(town).status())["results"]
        assert D(result["realised"]) == before - D("0.5")


async def test_an_audit_finds_nothing_where_nothing_is_and_an_order_that_nobody_knows(
    town: Town,
) -> None:
    async with town.daemon():
        await one_deal(town)
        since = town.clock.now_ms() - 3_600_000
        asked = {"bot": GRID, "since": since}
        found = await board(town).act("audit", asked)
        assert (found["differences"], found["isComplete"]) == ([], True)
        assert found["fills"] >= 3
        assert town.store is not None
        town.price("100")
        await town.until(lambda: town.bot().view().open_orders >= 3, within_s=300)
        row = next(row for row in await town.store.orders(is_open=True) if row.order_id)
        lost = replace(row, status=OrderStatus.CANCELED, updated_at_ms=row.intended_at_ms)
        await town.store.commit([lost])
        (difference,) = (await board(town).act("audit", asked))["differences"]
        assert (difference["kind"], difference["clientOrderId"]) == ("orphan", row.client_order_id)
        far = await board(town).act("audit", {"bot": GRID, "since": since - 40 * 86_400_000})
        assert not far["isComplete"]


async def test_deals_of_before_there_were_settlements_are_settled_without_their_exchange(
    town: Town,
) -> None:
    halted(town)
    async with town.daemon():
        await one_deal(town)
        assert town.store is not None
        (closed,) = await town.store.deals()
        assert closed.closed_at_ms is not None
        gone = replace(closed, deal="gone/BTC-USDT#1", bot="gone/BTC-USDT", closed_at_ms=5)
        await town.store.commit([gone])
    async with town.daemon():
        await town.settled()
        assert town.store is not None
        (settlement,) = await town.store.settlements([gone.deal])
        assert settlement.audit is AuditOutcome.SKIPPED


@pytest.mark.parametrize(
    "edit", [{"extra": "mode: paper"}, {"on": "other"}], ids=["on paper", "elsewhere"]
)
async def test_a_deal_is_compared_where_it_was_traded_though_its_bot_trades_elsewhere_by_now(
    town: Town, edit: dict[str, str]
) -> None:
    other = connection("other", key="two")
    town.aside.add(other)
    town.write(other=other)
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and town.bot().view().open_orders >= 3)
        town.price("103")
        await town.until(lambda: town.bot().view().deal_number is None, within_s=90)
        assert town.store is not None
        before = await town.store.fills(GRID, deal=DEAL)
        town.write(grid=strategy(**edit))
        await town.settled()
        await town.rest(60)
        assert (await deal(town))["audit"] == "clean"
        assert await town.store.fills(GRID, deal=DEAL) == before
        if "on" in edit:
            asked = {"bot": GRID, "since": town.clock.now_ms() - 3_600_000}
            assert (await board(town).act("audit", asked))["differences"] == []


async def test_a_deal_of_a_strategy_that_is_gone_is_still_compared(town: Town) -> None:
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and town.bot().view().open_orders >= 3)
        town.write(other=connection("other", key="two"), more=strategy("more", on="main"))
        town.price("103")
        await town.until(lambda: town.bot().view().deal_number is None, within_s=90)
        town.remove("grid")
        await town.settled()
        await town.rest(60)
        assert GRID not in town.bots
        assert (await deal(town))["audit"] == "clean"
