"""Every order says which commit, generation, field and line caused it; with a real Git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from backfuturectl.model.orders import LegKind
from backfuturectl.model.records import OrderRecord
from tests.shell.reconcile.town import Town, new_town, strategy

pytestmark = pytest.mark.looptime(noop_cycles=3)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    made = new_town(tmp_path)
    git(made, "init", "--quiet", "--initial-branch=main")
    return made


def git(town: Town, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments],
        cwd=town.root,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(town: Town, message: str) -> str:
    git(town, "add", "--all")
    git(town, "commit", "--quiet", "--message", message)
    return git(town, "rev-parse", "HEAD")


async def rows(town: Town, kind: LegKind) -> list[OrderRecord]:
    assert town.store is not None
    return [row for row in await town.store.orders() if row.leg.kind is kind]


def line(town: Town, text: str) -> int:
    lines = (town.root / "grid.yaml").read_text().splitlines()
    return next(number for number, found in enumerate(lines, 1) if text in found)


async def test_an_order_is_traced_to_the_commit_and_field_that_caused_it(town: Town) -> None:
    first = commit(town, "Trade")
    async with town.daemon():
        await town.settled()
        town.write(grid=strategy(take_profit="1.5"))
        second = commit(town, "Ask for more")
        await town.settled()
        (base,) = await rows(town, LegKind.BASE)
        assert (base.commit, base.generation, base.field) == (first, 1, "spec.entry")
        rungs = await rows(town, LegKind.RUNG)
        assert [(row.commit, row.generation, row.field) for row in rungs] == [
            (first, 1, "spec.averaging")
        ] * 2
        assert {row.source for row in rungs} == {f"{town.root}/grid.yaml:{line(town, 'averaging')}"}
        old, new = await rows(town, LegKind.TAKE_PROFIT)
        assert (old.commit, old.generation) == (first, 1)
        assert (new.commit, new.generation) == (second, 2)
        assert old.field == new.field == "spec.takeProfit.percent"
        assert new.source == f"{town.root}/grid.yaml:{line(town, 'percent: 1.5')}"
        assert town.store is not None
        edits = [e.event for e in await town.store.events() if e.event.reason == "EditApplied"]
        assert [event.deal for event in edits] == ["grid/BTC-USDT#1"]
        assert "takeProfit.percent: 1 → 1.5" in edits[0].message
    # A restart traces on: the commit is read again, the generation remembered.
    async with town.daemon():
        town.price("97.9")
        await town.settled()
        newest = (await rows(town, LegKind.RUNG))[-1]
        assert (newest.commit, newest.generation) == (second, 2)
        assert newest.source == f"{town.root}/grid.yaml:{line(town, 'averaging')}"


async def test_what_is_applied_before_it_is_committed_is_traced_to_its_own_commit(
    town: Town,
) -> None:
    first = commit(town, "Trade")
    async with town.daemon():
        await town.settled()
        town.write(grid=strategy(take_profit="1.5"))
        await town.settled()
        second = commit(town, "Ask for more")
        await town.settled()
        town.price("97.9")
        await town.settled()
        # The commit before did not have the edit that the files had already.
        assert [row.commit for row in await rows(town, LegKind.TAKE_PROFIT)][:2] == [first, first]
        assert (await rows(town, LegKind.TAKE_PROFIT))[-1].commit == second
        assert (await rows(town, LegKind.RUNG))[-1].commit == second


async def test_an_order_of_a_generation_that_the_files_left_keeps_its_commit(town: Town) -> None:
    first = commit(town, "Trade")
    async with town.daemon():
        await town.settled()
        town.write(grid="kind: Strategy, and no more\n")
        commit(town, "Break it")
        await town.settled()
        town.price("97.9")
        await town.settled()
        newest = (await rows(town, LegKind.RUNG))[-1]
        assert newest.intended_at_ms > (await rows(town, LegKind.RUNG))[0].intended_at_ms
        assert newest.commit == first


async def test_a_bot_that_refuses_the_edit_of_a_commit_is_not_traced_to_it(town: Town) -> None:
    first = commit(town, "Trade")
    async with town.daemon():
        await town.settled()
        edited = strategy().replace("  risk: custom", "  risk: custom\n  leverage: 1")
        town.write(grid=edited.replace("[BTC/USDT]", "[BTC/USDT]\n  mode: paper"))
        commit(town, "Ask for what an open deal cannot take")
        await town.settled()
        town.price("97.9")
        await town.settled()
        rungs = await rows(town, LegKind.RUNG)
        assert rungs[-1].intended_at_ms > rungs[0].intended_at_ms
        assert {(row.commit, row.generation) for row in rungs} == {(first, 1)}


async def test_a_document_further_down_a_file_is_found_at_its_line(town: Town) -> None:
    town.write(
        grid=f"# about the two\n---\n{strategy('other', pairs='[ETH/USDT]')}---\n{strategy()}"
    )
    async with town.daemon():
        await town.settled()
        orders = [row for row in await rows(town, LegKind.BASE) if row.bot == "grid/BTC-USDT"]
        text = (town.root / "grid.yaml").read_text()
        where = text.count("\n", 0, text.rindex("spec:")) + 1
        assert [row.source for row in orders] == [f"{town.root}/grid.yaml:{where}"]
        assert [row.commit for row in orders] == [""]  # nothing is committed yet


async def test_an_operators_close_names_no_field_and_a_deletions_close_its_own(
    town: Town,
) -> None:
    town.write(grid=strategy(extra="onDelete: close"))
    commit(town, "Trade")
    async with town.daemon() as controller:
        await town.settled()
        town.write(other=strategy("other", pairs="[ETH/USDT]"))
        await town.settled()
        await controller.strategies.hand.hold("strategy/other", "halt", cancel=False, close=True)
        town.remove("grid")
        await town.settled()
        closing = {row.bot: row for row in await rows(town, LegKind.CLOSE)}
        assert closing["other/ETH-USDT"].field == ""
        assert closing["other/ETH-USDT"].reason.endswith("asked for by the operator")
        assert closing["grid/BTC-USDT"].field == "spec.onDelete"
