"""A deal tells its whole story: fills, averages, recovery, edits, result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backfuturectl.cli.describe import text_lines
from backfuturectl.daemon.board import ControllerBoard
from tests.shell.reconcile.town import Town, new_town, strategy

pytestmark = pytest.mark.looptime(noop_cycles=3)

GRID = "grid/BTC-USDT"
RECOVERY = (
    "recovery: {enabled: true, trigger: {drawdownPct: 3, confirmFor: 20s, emaSpan: 30s}, "
    "actions: {takeProfitPct: 0.4, strict: {minInterval: 60s}}, "
    "exit: {drawdownPct: 1, confirmFor: 60s}, "
    "escalate: {drawdownPct: 7, cooldown: 60s, maxPerWindow: {count: 9, window: 1d}}}"
)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return new_town(tmp_path)


def recovering(**changes: str) -> str:
    text = strategy(extra="cooldown: {afterTakeProfit: 7d, afterRecovery: 7d}", **changes)
    return text.replace("recovery: {enabled: false}", RECOVERY)


async def described(town: Town, deal: str) -> dict[str, Any]:
    assert town.store is not None
    board = ControllerBoard(town.c, town.store, town.clock, root=str(town.root))
    found = await board.describe("deal", deal)
    assert found is not None
    return found


async def test_a_deal_through_watch_and_recovery_is_told_from_entry_to_rest(town: Town) -> None:
    town.write(grid=recovering())
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and town.bot().view().open_orders >= 3)
        town.price("97.9")
        await town.rest(20)
        town.write(grid=recovering(take_profit="1.5"))
        await town.settled()
        town.price("94.5")
        await town.until(lambda: town.bot().view().state == "WATCH", within_s=120)
        await town.until(lambda: town.bot().view().state == "RECOVERY", within_s=120)
        ahead = await described(town, f"{GRID}#1")
        assert {row["state"] for row in ahead["ladder"]} >= {"filled"}
        assert [row["name"] for row in ahead["exits"]] == ["takeProfit", "stopLoss"]
        town.price("99.9")
        await town.until(lambda: town.bot().view().state == "COOLDOWN", within_s=300)
        await town.rest(60)
        found = await described(town, f"{GRID}#1")
        reasons = [event["reason"] for event in found["events"]]
        for first, second in (
            ("BaseOrderFilled", "RungFilled"),
            ("RungFilled", "EditApplied"),
            ("EditApplied", "RecoveryWatch"),
            ("RecoveryWatch", "RecoveryBegan"),
            ("RecoveryBegan", "TakeProfitFilled"),
            ("TakeProfitFilled", "DealClosed"),
        ):
            assert reasons.index(first) < reasons.index(second), reasons
        said = {event["reason"]: event["message"] for event in found["events"]}
        assert "drawdown" in said["RecoveryWatch"]
        assert "takeProfit.percent: 1 → 1.5" in said["EditApplied"]
        legs = [row["leg"] for row in found["story"]]
        assert legs[0] == "base"
        assert legs[-1] == "takeProfit"
        assert "rung/1" in legs
        assert found["story"][-1]["position"].strip("0.") == ""
        exits = [row for row in found["orders"] if row["leg"] == "takeProfit"]
        assert {row["field"] for row in exits} == {
            "spec.takeProfit.percent",
            "spec.recovery.actions.takeProfitPct",
        }
        assert {row["generation"] for row in exits} == {1, 2}
        assert found["audit"] == "clean"
        shown = "\n".join(text_lines(found, town.clock.now_ms()))
        assert not found.keys() & {"ladder", "exits"}, "nothing is ahead of it"
        assert all(row["feeCurrency"] == "USDT" for row in found["story"])
        for word in ("realised", "fees", "RecoveryBegan", "EditApplied", "AVERAGE"):
            assert word in shown


async def test_a_second_deal_tells_nothing_of_the_first(town: Town) -> None:
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and town.bot().view().open_orders >= 3)
        town.price("103")
        await town.until(lambda: town.bot().view().deal_number is None, within_s=90)
        await town.until(lambda: town.bot().view().deal_number == 2, within_s=300)
        await town.rest(20)
        first, second = [await described(town, f"{GRID}#{number}") for number in (1, 2)]
        assert "DealClosed" in {event["reason"] for event in first["events"]}
        assert {event["reason"] for event in second["events"]} == {"BaseOrderFilled"}
        numbers = {event["id"] for event in first["events"]}
        assert not numbers & {event["id"] for event in second["events"]}


async def listed(town: Town, kind: str, about: str) -> list[dict[str, Any]]:
    assert town.store is not None
    board = ControllerBoard(town.c, town.store, town.clock, root=str(town.root))
    return await board.items(kind, about=about, limit=100, since=0)


async def test_lists_are_narrowed_by_whatever_a_trader_names(town: Town) -> None:
    town.write(grid=strategy(), grid2=strategy("grid2", pairs="[ETH/USDT]"))
    async with town.daemon():
        await town.until(lambda: len(town.seats) == 2)
        await town.until(lambda: all(s.bot.view().open_orders >= 3 for s in town.seats))
        await town.rest(5)
        for kind in ("deals", "orders"):
            for about in ("grid", GRID):
                assert {row["bot"] for row in await listed(town, kind, about)} == {GRID}
            assert await listed(town, kind, "gri") == []
        abouts = {row["about"] for row in await listed(town, "events", "grid")}
        assert abouts == {f"Bot/{GRID}", "Strategy/grid"}
        for about in (GRID, f"Bot/{GRID}", f"{GRID}#1"):
            assert {row["about"] for row in await listed(town, "events", about)} == {f"Bot/{GRID}"}
