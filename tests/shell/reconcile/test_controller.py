"""From files to running bots: what converges, what stays as it was, what waits."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from backfuturectl.config import tree
from backfuturectl.daemon.board import ControllerBoard
from backfuturectl.engine.bot import Bot
from backfuturectl.exchanges.simulated import TRADING_RIGHTS, PortCall
from backfuturectl.model.errors import PermanentError, TransientError
from backfuturectl.model.ids import bot_code, parse_client_order_id
from backfuturectl.model.status import Reason
from backfuturectl.reconcile.preview import preview
from backfuturectl.reconcile.supervisor import Ended
from backfuturectl.strategy.base import Command, Gate
from tests.shell.reconcile.town import GRACE_S, SCAN_S, Town, connection, new_town, strategy

pytestmark = pytest.mark.looptime(noop_cycles=3)

GRID = "grid/BTC-USDT"
OK = Reason.RECONCILE_SUCCEEDED


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return new_town(tmp_path)


async def in_deal(town: Town, bot: str = GRID) -> Bot:
    """Wait until the bot holds something and its exit rests."""
    await town.until(lambda: bot in town.bots and town.bot(bot).view().open_orders >= 3)
    return town.bot(bot)


async def take_profit(town: Town, bot: str = GRID) -> None:
    """Let the price rise until the bot's deal ends, and fall back."""
    town.price("103")
    await town.until(
        lambda: bot not in town.bots or town.bot(bot).view().deal_number is None, within_s=90
    )
    town.price("100")


# Convergence.


async def test_files_become_running_bots(town: Town) -> None:
    async with town.daemon():
        await town.until(lambda: town.reason("grid") is OK)
        assert town.bots == {GRID}
        assert town.reason("main", "Connection") is Reason.ONLINE
        await in_deal(town)


async def test_an_edit_reaches_the_bot_without_restarting_it(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        town.write(grid=strategy(take_profit="2"))
        await town.until(lambda: town.generation("grid") == 2)
        await town.until(lambda: bot.view().next_exit is not None and bot.view().next_exit > 101.5)
        assert town.bot() is bot
        assert bot.provenance.generation == 2


async def test_moving_renaming_and_reformatting_a_file_restarts_nothing(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        calls = len(town.orders())
        (town.root / "deep").mkdir()
        (town.root / "grid.yaml").rename(town.root / "deep" / "other.yaml")
        await town.settled()
        text = (town.root / "deep" / "other.yaml").read_text()
        (town.root / "deep" / "other.yaml").write_text("# a remark\n" + text.replace("  ", "    "))
        await town.settled()
        assert town.bot() is bot
        assert (town.generation("grid"), town.reason("grid")) == (1, OK)
        assert len(town.orders()) == calls


async def test_an_edit_that_keeps_size_and_times_is_found_by_the_timer(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        path = town.root / "grid.yaml"
        before = path.stat()
        town.write(grid=strategy(take_profit="2"))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
        await town.until(lambda: bot.provenance.generation == 2)


async def test_an_edit_behind_a_symlink_is_found_by_the_timer(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        outside = town.path / "outside.yaml"
        (town.root / "grid.yaml").rename(outside)
        (town.root / "grid.yaml").symlink_to(outside)
        await town.settled()
        outside.write_text(strategy(take_profit="2"))
        await town.until(lambda: bot.provenance.generation == 2)


async def test_a_file_whose_name_is_not_utf8_stops_nothing(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        (town.root / os.fsdecode(b"\xff\xfe.yaml")).write_text("x: 1")
        await town.settled()
        assert (town.bot(), town.reason("grid")) == (bot, OK)
        await take_profit(town)


async def test_a_new_pair_gets_its_bot_beside_the_old_one(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        town.write(grid=strategy(pairs="[BTC/USDT, ETH/USDT]", deals=2))
        await town.until(lambda: town.bots == {GRID, "grid/ETH-USDT"})
        assert town.bot() is bot


# Last known good.


async def test_an_invalid_document_changes_only_its_own_status(town: Town) -> None:
    town.write(other=strategy("other", pairs="[ETH/USDT]"))
    async with town.daemon():
        bot = await in_deal(town)
        await town.until(lambda: town.reason("other") is OK)
        town.write(grid=strategy().replace("pairs", "pears"))
        await town.settled()
        assert town.reason("grid") is Reason.SCHEMA_INVALID
        assert town.reason("other") is OK
        assert town.bot() is bot
        assert bot.gate[0] is Gate.OPEN

        town.write(grid=strategy(take_profit="2"))
        await town.until(lambda: (town.reason("grid"), town.generation("grid")) == (OK, 2))
        assert town.bot() is bot


async def test_going_back_to_the_good_document_is_no_new_generation(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        town.write(grid="nonsense: [")
        await town.settled()
        town.write(grid=strategy())
        await town.until(lambda: town.reason("grid") is OK)
        assert (town.bot(), town.generation("grid")) == (bot, 1)


async def test_a_strategy_that_breaks_a_proof_leaves_the_old_one_running(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        town.write(grid=strategy(margin="150 USDT"))
        await town.settled()
        assert town.reason("grid") is not OK
        assert (town.bot(), bot.provenance.generation) == (bot, 1)


@pytest.mark.parametrize("damage", ["empty", "truncated", "not utf-8"])
async def test_a_file_that_cannot_be_read_is_unknown_and_not_absent(
    town: Town, damage: str
) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        path = town.root / "grid.yaml"
        whole = path.read_bytes()
        path.write_bytes(
            {"empty": b"", "truncated": whole[:60], "not utf-8": b"\xff\xfe" + whole}[damage]
        )
        await town.settled()
        await town.settled()
        assert town.bot() is bot
        assert not town.c.strategies.leaving
        await take_profit(town)
        await town.rest(90)
        assert town.bot().view().deal_number == 2, "it goes on trading"


async def test_a_missing_root_is_no_empty_tree(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        town.root.rename(town.path / "away")
        await town.settled()
        assert town.c.files.source_trouble
        assert town.bot() is bot
        (town.path / "away").rename(town.root)
        await town.settled()
        assert (town.c.files.source_trouble, town.reason("grid")) == ("", OK)


async def test_an_empty_root_removes_nothing(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        town.remove("grid", "main")
        await town.settled()
        await town.settled()
        assert town.bot() is bot
        assert town.c.files.prune.reason is Reason.PRUNE_BLOCKED


async def test_a_restart_over_a_broken_file_resumes_the_good_generation(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
    town.write(grid="broken: [", main="broken: [")
    async with town.daemon():
        bot = await in_deal(town)
        assert bot.view().deal_number == 1
        await take_profit(town)


# Deletion.


async def test_a_removed_strategy_manages_its_deal_to_the_end_and_goes(town: Town) -> None:
    town.write(other=strategy("other", pairs="[ETH/USDT]"))
    async with town.daemon():
        bot = await in_deal(town)
        town.remove("grid")
        await town.settled()
        assert town.bot() is bot
        assert bot.view().is_draining
        await take_profit(town)
        await town.until(lambda: town.bots == {"other/ETH-USDT"}, within_s=30)
        await town.until(lambda: town.c.registry.get("Strategy", "grid") is None, within_s=60)
        assert {order.client_id for order in town.orders() if order.is_open} <= {
            order.client_id for order in town.orders() if order.symbol == "ETH/USDT"
        }


async def test_nothing_is_removed_while_another_document_is_invalid(town: Town) -> None:
    town.write(other=strategy("other", pairs="[ETH/USDT]"))
    async with town.daemon():
        await in_deal(town)
        await town.until(lambda: town.reason("other") is OK)
        town.write(other="broken: [")
        town.remove("grid")
        await town.settled()
        assert not town.c.strategies.leaving
        assert not town.bot().view().is_draining


async def test_a_brief_absence_is_forgiven(town: Town) -> None:
    town.write(other=strategy("other", pairs="[ETH/USDT]"))
    async with town.daemon():
        bot = await in_deal(town)
        town.remove("grid")
        await asyncio.sleep(0.1)
        await town.c.files.read_now()
        assert town.c.files.prune.waiting == ("grid",)
        town.write(grid=strategy())
        await town.settled()
        assert town.bot() is bot
        assert not bot.view().is_draining


async def test_a_removal_that_a_quick_look_noticed_is_judged_by_a_whole_one(town: Town) -> None:
    town.write(other=strategy("other", pairs="[ETH/USDT]"))
    async with town.daemon() as c:
        await in_deal(town)
        await town.until(lambda: c.files.generation.is_whole)
        town.remove("grid")
        c.look_soon()
        await town.until(lambda: c.files.prune.waiting == ("grid",), within_s=2)
        assert not c.files.generation.is_whole
        assert "read again" in c.files.prune.message
        await town.until(lambda: c.strategies.leaving == {"grid"}, within_s=GRACE_S + 3)
        assert c.files.generation.is_whole


async def test_a_change_that_no_time_shows_is_found_when_every_file_is_read_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "_stamp", lambda _: (1, 1, 1, 0, 0))
    async with town.daemon() as c:
        await in_deal(town)
        town.write(grid=strategy(margin="900 USDT"))
        c.look_soon()
        await asyncio.sleep(1)
        assert town.generation("grid") == 1
        for _ in range(int(2 * SCAN_S)):
            c.look_soon()  # hints without end put off by nothing that every file is read
            await asyncio.sleep(0.5)
        assert town.generation("grid") == 2


async def test_who_asks_for_the_files_gets_every_one_read(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "_stamp", lambda _: (1, 1, 1, 0, 0))
    async with town.daemon() as c:
        await in_deal(town)
        town.write(grid=strategy(margin="900 USDT"))
        await c.files.read_now()
        await town.until(lambda: town.generation("grid") == 2, within_s=2)


async def many(town: Town) -> None:
    town.write(
        b=strategy("b", pairs="[ETH/USDT]", margin="800 USDT"),
        c=strategy("c", pairs="[SOL/USDT]", margin="800 USDT"),
    )


async def test_many_deletions_at_once_wait_for_an_approval(town: Town) -> None:
    await many(town)
    async with town.daemon() as c:
        await town.until(lambda: len(town.bots) == 3)
        town.remove("b", "c")
        await town.settled()
        assert set(c.files.prune.blocked) == {"b", "c"}
        assert town.reason("b") is Reason.PRUNE_BLOCKED
        assert len(town.bots) == 3
        assert not c.files.approve("0" * 12)
        assert c.files.approve(c.files.prune.digest)
        await town.settled()
        assert c.strategies.leaving == {"b", "c"}


async def test_an_approval_is_for_one_deletion_and_not_for_the_next(town: Town) -> None:
    await many(town)
    async with town.daemon() as c:
        await town.until(lambda: len(town.bots) == 3)
        for name in ("b/ETH-USDT", "c/SOL-USDT"):
            await in_deal(town, name)
        town.remove("b", "c")
        await town.settled()
        approved = c.files.prune.digest
        assert c.files.approve(approved)
        await town.settled()
        assert c.strategies.leaving == {"b", "c"}
        await many(town)
        await town.settled()
        assert not c.strategies.leaving
        town.remove("b", "c")
        await town.settled()
        assert set(c.files.prune.blocked) == {"b", "c"}
        assert c.files.prune.digest == approved
        assert not c.strategies.leaving


async def test_an_approval_survives_a_restart(town: Town) -> None:
    await many(town)
    async with town.daemon() as c:
        await town.until(lambda: len(town.bots) == 3)
        await in_deal(town, "b/ETH-USDT")
        await in_deal(town, "c/SOL-USDT")
        town.remove("b", "c")
        await town.settled()
        assert c.files.approve(c.files.prune.digest)
        await town.until(lambda: c.strategies.leaving == {"b", "c"})
    async with town.daemon() as c:
        await town.settled()
        assert not c.files.prune.blocked
        assert town.bot("b/ETH-USDT").view().is_draining
        for pair in ("ETH/USDT", "SOL/USDT"):
            town.price("103", pair)
        await town.until(lambda: town.bots == {GRID}, within_s=120)
        await town.settled()
        assert not c.strategies.leaving


async def test_a_strategy_that_comes_back_while_it_leaves_stays(town: Town) -> None:
    town.write(other=strategy("other", pairs="[ETH/USDT]"))
    async with town.daemon():
        bot = await in_deal(town)
        town.remove("grid")
        await town.settled()
        assert bot.view().is_draining
        town.write(grid=strategy())
        await town.settled()
        assert not bot.view().is_draining
        assert (town.bot(), town.reason("grid")) == (bot, OK)


async def test_a_retired_bot_never_repeats_an_id(town: Town) -> None:
    town.write(other=strategy("other", pairs="[ETH/USDT]"))
    async with town.daemon():
        await in_deal(town)
        town.remove("grid")
        await town.settled()
        await take_profit(town)
        await town.until(lambda: GRID not in town.bots)
        town.write(grid=strategy())
        await in_deal(town)
        town.check()
        assert town.bot().view().deal_number == 2


async def test_a_strategy_removed_while_its_bots_start_does_not_run_for_ever(town: Town) -> None:
    town.write(other=strategy("other", pairs="[ETH/USDT]"))
    town.remove("grid")
    async with town.daemon():
        await town.until(lambda: town.reason("other") is OK)
        town.faults.delay_s = 4.0  # so that the pass over the strategy takes its time
        town.write(grid=strategy())
        await asyncio.sleep(0.1)
        await town.c.files.read_now()
        await asyncio.sleep(2)
        town.remove("grid")
        await town.c.files.read_now()
        town.faults.delay_s = 0.0
        await town.settled()
        town.price("103")
        await town.rest(120)
        assert town.bots == {"other/ETH-USDT"}


# Names and accounts.


async def test_a_renamed_strategy_never_has_two_bots_on_one_pair(town: Town) -> None:
    town.write(other=strategy("other", pairs="[ETH/USDT]"))
    async with town.daemon():
        await in_deal(town)
        town.remove("grid")
        town.write(mesh=strategy("mesh"))
        await town.settled()
        assert "mesh/BTC-USDT" not in town.bots, "its predecessor has an open deal"
        await take_profit(town)
        await town.until(lambda: town.bots == {"mesh/BTC-USDT", "other/ETH-USDT"}, within_s=60)
        await in_deal(town, "mesh/BTC-USDT")
        town.check()


async def test_a_renamed_strategy_without_a_deal_is_followed_at_once(town: Town) -> None:
    town.write(grid=strategy(extra="state: paused"), other=strategy("other", pairs="[ETH/USDT]"))
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and town.reason("grid") is OK)
        town.remove("grid")
        town.write(mesh=strategy("mesh"))
        await town.until(lambda: town.bots == {"mesh/BTC-USDT", "other/ETH-USDT"})


async def test_a_new_key_takes_over_with_the_deal_open(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        old = town.accounts[-1]
        town.write(main=connection(key="two"))
        await town.until(lambda: town.generation("main", "Connection") == 2)
        await town.until(lambda: GRID in town.bots and town.bot()._context.account is not old)
        await in_deal(town)
        assert town.bot().view().deal_number == 1
        await take_profit(town)


async def test_a_bot_whose_rows_cannot_be_read_as_it_moves_keeps_its_deal(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town.daemon():
        await in_deal(town)  # it has no row of the time when this daemon started
        await broken_reads(town, monkeypatch)
        town.write(main=connection(key="two"))
        old = town.bot().account
        await town.until(lambda: GRID in town.bots and town.bot().account is not old)
        await in_deal(town)
        await town.rest(5)
        assert (town.bot().view().deal_number, town.bot().gate[0]) == (1, Gate.OPEN)


async def test_a_bot_whose_rows_cannot_be_read_as_it_leaves_leaves_as_it_is(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town.daemon():
        await in_deal(town)
        town.remove("grid")
        await town.until(lambda: town.bot().view().is_draining)
        await broken_reads(town, monkeypatch)
        town.price("103")
        await town.until(lambda: not town.bots)
        await town.rest(10)
        assert town.bots == set()
        (record,) = await town.store.bots(GRID)
        assert record.is_retired
        assert '"deals":1' in record.state


async def test_a_bot_that_need_not_leave_after_all_runs_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town.daemon() as c:
        bot = await in_deal(town)
        await broken_reads(town, monkeypatch)
        with pytest.raises(TransientError):
            await c.strategies._seating._take_away(town.seats[0])
        c.queue.add("strategy/grid")
        await town.until(lambda: GRID in town.bots and town.bot() is not bot)
        await take_profit(town)


async def broken_reads(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next reads of a bot's row fail."""
    assert town.store is not None
    read, failing = town.store.bots, iter([True])

    async def bots(*asked: str):
        if next(failing, False):
            raise TransientError(Reason.STORE_UNAVAILABLE, "the disk does not answer")
        return await read(*asked)

    monkeypatch.setattr(town.store, "bots", bots)


async def test_a_bot_that_moves_to_another_endpoint_hears_the_old_prices_no_more(
    town: Town,
) -> None:
    def at(port: int) -> str:
        place = f"environment: emulator\n  endpoint: http://127.0.0.1:{port}"
        return connection(key=str(port), spec=place)

    town.write(main=at(1111))
    async with town.daemon():
        await in_deal(town)
        old = town.seats[0].shared
        town.write(main=at(2222))
        await town.until(lambda: town.seats and town.seats[0].shared is not old)
        await in_deal(town)
        assert old.feed._listeners == {}
        assert town.seats[0].shared.feed._listeners.keys() == {"BTC/USDT"}


async def test_a_new_key_that_fails_leaves_the_old_one_for_exits(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        town.rights = replace(TRADING_RIGHTS, can_withdraw=True)
        town.write(main=connection(key="two"))
        await town.until(lambda: town.reason("main", "Connection") is Reason.WITHDRAW_ENABLED)
        await town.settled()
        assert town.bot() is bot
        assert bot.gate[0] is Gate.EXITS_ONLY
        assert town.generation("main", "Connection") == 1
        assert town.c.lines.line("main").account is town.accounts[0], (
            "the refused key serves nobody"
        )
        await take_profit(town)
        await town.rest(120)
        assert bot.view().deal_number is None


async def test_bots_whose_move_to_a_new_key_broke_off_run_on_when_the_old_one_comes_back(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.write(grid=strategy(pairs="[BTC/USDT, ETH/USDT]", deals=2, margin="2000 USDT"))
    async with town.daemon() as c:
        for name in (GRID, "grid/ETH-USDT"):
            await in_deal(town, name)
        assert town.store is not None

        async def fail(_: object = None) -> None:
            raise TransientError(Reason.STORE_UNAVAILABLE, "full")

        with monkeypatch.context() as patched:
            patched.setattr(town.store, "bots", fail)
            town.write(main=connection(key="two"))
            await town.until(lambda: any(seat.is_ended for seat in town.seats))
            town.write(main=connection())
            await town.until(lambda: town.generation("main", "Connection") == 3)
            await town.until(lambda: c.lines.line("main").is_online)
        await town.until(lambda: all(not seat.is_ended for seat in town.seats), 400)
        for name in (GRID, "grid/ETH-USDT"):
            await in_deal(town, name)
            assert c.strategies.seats[name].supervisor.status is Ended.RUNNING
            await town.until(lambda name=name: town.bot(name).gate[0] is Gate.OPEN)


async def test_after_a_restart_a_new_key_that_fails_leaves_the_old_one_for_exits(
    town: Town,
) -> None:
    async with town.daemon():
        await in_deal(town)
    new = connection(key="two")
    town.withdrawing.add(new)
    town.write(main=new)
    async with town.daemon():
        bot = await in_deal(town)
        await town.settled()
        assert town.reason("main", "Connection") is Reason.WITHDRAW_ENABLED
        assert town.reason("grid") is Reason.DEPENDENCY_NOT_READY
        assert bot.gate[0] is Gate.EXITS_ONLY
        assert town.generation("main", "Connection") == 1
        await take_profit(town)
        await town.rest(120)
        assert bot.view().deal_number is None
        town.withdrawing.clear()
        town.c.test_soon("main")
        await town.until(lambda: town.generation("main", "Connection") == 2)
        await town.until(lambda: town.bot().view().deal_number == 2, within_s=120)


async def test_after_a_restart_no_key_that_can_withdraw_serves_exits(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
    town.withdrawing |= {connection(), connection(key="two")}
    town.write(main=connection(key="two"))
    async with town.daemon():
        await town.settled()
        assert town.bots == set()


async def test_a_connection_that_is_removed_while_it_is_tested_leaves_no_account_open(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town.daemon() as c:
        await in_deal(town)
        town.faults.delay_s = 20.0
        town.write(spare=connection("spare", key="spare"))
        await town.until(lambda: len(town.accounts) == 2)
        made, closed = town.accounts[-1], []

        async def close() -> None:
            closed.append(made)

        monkeypatch.setattr(made, "close", close)
        town.remove("spare")
        await c.files.read_now()
        assert c.registry.get("Connection", "spare") is None
        town.faults.delay_s = 0.0
        await town.rest(200)
        assert closed == [made]
        assert c.registry.get("Connection", "spare") is None
        assert c.lines.line("spare").account is None


async def test_a_key_that_cannot_be_decrypted_leaves_the_old_one_at_work(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        town.decryptor.failures[b"- recipient"] = PermanentError(Reason.DECRYPT_FAILED, "no key")
        town.write(main=connection(key="two"))
        await town.settled()
        assert town.reason("main", "Connection") is Reason.DECRYPT_FAILED
        assert (town.bot(), bot.gate[0]) == (bot, Gate.OPEN)
        town.decryptor.failures.clear()
        town.write(main=connection(key="three"))
        await town.until(lambda: town.reason("main", "Connection") is Reason.ONLINE)


async def test_a_decryption_that_fails_for_a_while_is_tried_again(town: Town) -> None:
    town.decryptor.failures[b"- recipient"] = TransientError(Reason.DECRYPT_FAILED, "busy")
    async with town.daemon():
        await town.settled()
        assert town.bots == set()
        town.decryptor.failures.clear()
        await town.until(lambda: town.bots == {GRID}, within_s=400)


async def test_a_bot_whose_market_is_closed_just_then_moves_to_the_new_key_with_its_deal(
    town: Town,
) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        town.close_market("BTC/USDT")
        town.write(main=connection(key="two"))
        await town.until(lambda: GRID in town.bots and town.bot() is not bot)
        town.close_market("BTC/USDT", is_active=True)
        await in_deal(town)
        assert town.bot().view().deal_number == 1


# A Connection that comes and goes.


async def test_no_bot_starts_on_a_key_that_may_not_trade(town: Town) -> None:
    town.rights = replace(TRADING_RIGHTS, can_withdraw=True)
    async with town.daemon() as c:
        await town.settled()
        assert town.reason("grid") is Reason.DEPENDENCY_NOT_READY
        assert (town.bots, town.orders()) == (set(), ())
        town.rights = TRADING_RIGHTS
        c.test_soon("main")
        await town.until(lambda: town.bots == {GRID})


async def test_a_connection_that_goes_offline_holds_its_bots_until_it_is_back(town: Town) -> None:
    async with town.daemon() as c:
        bot = await in_deal(town)
        town.faults.always[PortCall.RIGHTS] = TransientError(Reason.EXCHANGE_UNAVAILABLE, "down")
        c.test_soon("main")
        await town.until(lambda: bot.gate[0] is Gate.EXITS_ONLY)
        await town.rest()
        assert town.bot() is bot
        reads = town.faults.count(PortCall.OPEN_ORDERS)
        town.faults.always.clear()
        await town.until(lambda: bot.gate[0] is Gate.OPEN, within_s=400)
        assert town.faults.count(PortCall.OPEN_ORDERS) > reads, "it looked before it acted"
        await take_profit(town)


async def test_a_revoked_key_is_noticed_by_the_bots_first_failing_call(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        revoked = PermanentError(Reason.INVALID_KEY, "revoked", raw_code="400003")
        for call in (PortCall.RIGHTS, PortCall.OPEN_ORDERS, PortCall.PLACE):
            town.faults.always[call] = revoked
        await town.until(lambda: town.reason("main", "Connection") is Reason.INVALID_KEY)
        assert bot.gate[0] is not Gate.OPEN


async def test_prices_that_stop_hold_the_bots_back(town: Town) -> None:
    async with town.daemon():
        bot = await in_deal(town)
        town.faults.always[PortCall.PRICES] = TransientError(Reason.EXCHANGE_UNAVAILABLE, "down")
        await town.until(lambda: bot.gate == (Gate.EXITS_ONLY, "no fresh price: down"))
        town.faults.always.clear()
        await town.until(lambda: bot.gate[0] is Gate.OPEN)


async def test_one_pair_without_a_price_holds_back_its_own_bot_alone(town: Town) -> None:
    town.write(grid=strategy(pairs="[BTC/USDT, ETH/USDT]", deals=2, margin="2000 USDT"))
    async with town.daemon():
        bot = await in_deal(town)
        other = await in_deal(town, "grid/ETH-USDT")
        town.without_price.add("BTC/USDT")
        why = "no fresh price: kucoin tells no price of BTC/USDT that is a number above zero"
        await town.until(lambda: bot.gate == (Gate.EXITS_ONLY, why))
        assert other.gate[0] is Gate.OPEN
        town.without_price.clear()
        await town.until(lambda: bot.gate[0] is Gate.OPEN)


# Edits that must wait.


async def test_an_edit_that_moves_an_open_deal_elsewhere_is_refused(town: Town) -> None:
    town.write(spare=connection("spare", key="spare"))
    async with town.daemon():
        bot = await in_deal(town)
        town.write(grid=strategy(on="spare"))
        await town.until(lambda: town.reason("grid") is Reason.EDIT_REFUSED)
        await town.rest()
        assert town.bot() is bot
        assert bot.name.connection == "main"
        assert not bot.view().is_draining
        await take_profit(town)
        await town.until(lambda: GRID in town.bots and town.bot().name.connection == "spare")
        await town.until(lambda: town.reason("grid") is OK)
        await in_deal(town)


async def test_a_bot_whose_orders_would_have_another_bots_ids_is_refused(town: Town) -> None:
    first, second = "grid-50501", "grid-54674"
    assert bot_code(f"{first}/BTC-USDT") == bot_code(f"{second}/BTC-USDT")
    town.write(grid=strategy(first), spare=connection("spare", key="spare"))
    async with town.daemon():
        await town.until(lambda: town.reason(first) is OK)
        town.write(second=strategy(second, on="spare"))
        await town.until(lambda: town.reason(second) is Reason.SCHEMA_INVALID)
        assert town.bots == {f"{first}/BTC-USDT"}
        town.write(second=strategy("grid-2", on="spare"))
        await town.until(lambda: town.reason("grid-2") is OK)


# Restarts.


async def test_a_restart_goes_on_with_the_same_deal(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
        before = len(town.orders())
    async with town.daemon():
        await in_deal(town)
        await town.until(lambda: town.reason("grid") is OK)
        assert (len(town.orders()), town.generation("grid")) == (before, 1)
        await take_profit(town)
        assert town.store is not None
        (deal,) = await town.store.deals()
        assert deal.exit_leg == "takeProfit"


async def test_a_deal_that_an_older_store_forgot_keeps_its_keeper_whatever_the_files_say(
    town: Town,
) -> None:
    town.write(spare=connection("spare", key="spare"))
    async with town.daemon():
        await in_deal(town)
        await take_profit(town)
    older = town.disk.copied()
    async with town.daemon():
        await asyncio.sleep(60)  # the cooldown
        await in_deal(town)
    town.disk.restore(older)
    town.write(grid=strategy(on="spare"))
    before = town.orders()
    async with town.daemon():
        await town.until(lambda: town.reason("grid") is Reason.EDIT_REFUSED)
        await town.rest()
        assert town.bot().name.connection == "main"
        assert town.bot().gate[0] is Gate.SHUT
        town.remove("grid")
        await town.settled()
        assert town.bots == {GRID}, "somebody has to look after what is open there"
        assert town.orders() == before


async def test_an_edit_is_planned_also_beside_a_daemon_that_does_not_tell_who_has_looked(
    town: Town,
) -> None:
    async with town.daemon() as c:
        await in_deal(town)
        assert town.store is not None
        board = ControllerBoard(c, town.store, town.clock, root="configs")
        running = await board.items("running", about=None, limit=10, since=0)
        for row in running:
            for bot in row["bots"]:
                del bot["isCompared"]
        town.write(grid=strategy(take_profit="2"))
        (row,) = preview(town.root, running)
        assert (row["action"], row["bot"]) == ("update", GRID)


async def test_an_edit_that_moves_a_bot_waits_until_it_has_looked_at_the_exchange(
    town: Town,
) -> None:
    town.write(spare=connection("spare", key="spare"), grid=strategy(on="main"))
    async with town.daemon() as c:
        await town.until(lambda: GRID in town.bots)
        await c.strategies.hand.hold("all", "pause", cancel=False, close=False)
        await town.settled()
    town.write(grid=strategy(on="spare"))
    town.faults.always[PortCall.ORDER] = TransientError(Reason.EXCHANGE_UNAVAILABLE, "late")
    async with town.daemon():
        await town.until(lambda: GRID in town.bots)
        await town.rest()
        assert town.bot().name.connection == "main"
        assert town.reason("grid") is Reason.PROGRESSING
        del town.faults.always[PortCall.ORDER]
        await town.until(lambda: GRID in town.bots and town.bot().name.connection == "spare")
        await town.until(lambda: town.reason("grid") is OK)


async def test_a_restored_deal_has_the_share_it_was_planned_for(town: Town) -> None:
    town.write(grid=strategy(pairs="[BTC/USDT, ETH/USDT]", deals=1))
    async with town.daemon():
        await town.until(lambda: any(seat.has_open_deal for seat in town.seats))
    town.write(grid=strategy(pairs="[BTC/USDT, ETH/USDT]", deals=2))
    async with town.daemon():
        await town.until(lambda: (town.reason("grid"), town.generation("grid")) == (OK, 2))
        await town.rest()
        assert sum(seat.has_open_deal for seat in town.seats) == 1, "it has all of the limit"


async def test_a_restart_after_an_edit_applies_it(town: Town) -> None:
    async with town.daemon():
        await in_deal(town)
    town.write(grid=strategy(take_profit="2"))
    async with town.daemon():
        await town.until(lambda: (town.reason("grid"), town.generation("grid")) == (OK, 2))
        exit_ = town.bot().view().next_exit
        assert exit_ is not None
        assert exit_ > 101.5


async def test_a_market_that_is_closed_at_a_restart_leaves_no_deal_alone(town: Town) -> None:
    town.write(grid=strategy(pairs="[BTC/USDT, ETH/USDT, SOL/USDT]", deals=3, margin="3000 USDT"))
    names = {f"grid/{pair}-USDT" for pair in ("BTC", "ETH", "SOL")}
    async with town.daemon():
        for name in sorted(names):
            await in_deal(town, name)
    town.close_market("BTC/USDT")
    async with town.daemon():
        await town.until(lambda: town.bots == names)
        await town.settled()
        assert town.reason("grid") is Reason.MARKET_UNAVAILABLE
        assert all(seat.has_open_deal for seat in town.seats)


async def test_a_deal_that_fits_the_exchanges_rules_no_longer_is_managed_to_its_exit(
    town: Town,
) -> None:
    async with town.daemon():
        await in_deal(town)
    town.raise_minimum("BTC/USDT", "1000000")
    async with town.daemon():
        await town.until(lambda: town.reason("grid") is Reason.PROOF_FAILED)
        assert town.seats[0].has_open_deal
        town.price("103")
        await town.until(lambda: not town.seats[0].has_open_deal, within_s=90)
        await town.rest(120)
        assert not town.seats[0].has_open_deal


async def test_deals_of_different_daemons_have_different_ids(town: Town) -> None:
    numbers = []
    for _ in range(3):
        async with town.daemon():
            await in_deal(town)
            numbers.append(town.bot().view().deal_number)
            await take_profit(town)
            await asyncio.sleep(70)
    town.check()
    assert numbers == sorted(set(numbers))
    names = [parse_client_order_id(order.client_id or "") for order in town.orders()]
    assert {name.installation for name in names if name} == {names[0] and names[0].installation}


async def test_an_operators_halt_survives_a_restart_and_is_lifted(town: Town) -> None:
    async with town.daemon() as c:
        await in_deal(town)
        await c.strategies.hand.hold("strategy/grid", "halt", cancel=False, close=False)
        assert town.bot().gate[0] is Gate.EXITS_ONLY
    async with town.daemon() as c:
        await in_deal(town)
        await town.rest(20)
        assert town.bot().gate[0] is Gate.EXITS_ONLY
        await c.strategies.hand.lift("strategy/grid")
        await town.until(lambda: town.bot().gate[0] is Gate.OPEN)


async def test_a_pause_that_is_lifted_while_the_bot_has_no_seat_is_lifted(town: Town) -> None:
    async with town.daemon() as c:
        await in_deal(town)
        await c.strategies.hand.hold("strategy/grid", "pause", cancel=False, close=False)
        await town.until(lambda: town.bot().view().is_paused)
    town.faults.always[PortCall.BALANCES] = TransientError(Reason.EXCHANGE_UNAVAILABLE, "down")
    async with town.daemon() as c:
        await town.settled()
        assert not town.bots
        await c.strategies.hand.lift("strategy/grid")
        town.faults.always.clear()
        await town.until(lambda: GRID in town.bots and not town.bot().view().is_paused, 400)


async def flat(town: Town) -> None:
    """Wait until the deal is closed at market, and see that no other begins while that is laid."""
    await town.until(lambda: GRID in town.bots, 400)
    await town.until(lambda: town.bot().view().deal_number is None, 400)
    assert town.store is not None
    assert [deal.exit_leg for deal in await town.store.deals()] == ["close"]
    await town.rest(120)
    assert town.bot().view().deal_number is None


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_close_reaches_a_bot_that_has_no_seat_yet(town: Town, is_restarted: bool) -> None:
    async with town.daemon():
        await in_deal(town)
    down = TransientError(Reason.EXCHANGE_UNAVAILABLE, "down")
    town.faults.always[PortCall.BALANCES] = down
    async with town.daemon() as c:
        await town.settled()
        assert not town.bots
        assert await c.strategies.hand.hold("all", "halt", cancel=False, close=True) == 0
        await c.strategies.hand.hold("all", "halt", cancel=False, close=False)
        if not is_restarted:
            town.faults.always.clear()
            await flat(town)
    town.faults.always.clear()
    async with town.daemon() as c:
        await flat(town)
        await c.strategies.hand.lift("all")
        await town.until(lambda: town.bot().view().deal_number == 2)


async def test_a_close_that_a_crash_overtakes_is_carried_out_by_the_next_daemon(
    town: Town,
) -> None:
    async with town.daemon(is_killed=True) as c:
        await in_deal(town)
        await c.strategies.hand.hold("strategy/grid", "halt", cancel=False, close=True)
    async with town.daemon():
        await flat(town)


async def test_a_person_takes_a_deal_over_and_gives_it_back(town: Town) -> None:
    async with town.daemon() as c:
        await in_deal(town)
        assert c.strategies.hand.take_over("strategy/grid") == 1
        await town.until(lambda: town.bot().view().state == "MANUAL")
    async with town.daemon() as c:
        await town.until(lambda: GRID in town.bots)
        sent = len(town.orders())
        town.price("99")
        await town.settled()
        assert (town.bot().view().state, len(town.orders())) == ("MANUAL", sent)
        town.write(grid=strategy(take_profit="2"))  # an edit clears nothing
        await town.settled()
        assert town.bot().view().state == "MANUAL"
        await c.strategies.hand.lift("strategy/grid")
        await town.until(lambda: town.bot().view().state == "ACTIVE")


async def test_a_strategy_that_comes_back_clears_nothing_that_a_person_has_to_look_at(
    town: Town,
) -> None:
    town.write(other=strategy("other", pairs="[ETH/USDT]"))
    async with town.daemon() as c:
        await in_deal(town)
        c.strategies.hand.take_over("strategy/grid")
        town.remove("grid")
        await town.settled()
        assert town.bot().view().is_draining
        town.write(grid=strategy())
        await town.settled()
        assert not town.bot().view().is_draining
        assert town.bot().view().state == "MANUAL"


async def test_a_pause_lets_the_deal_end_and_no_other_begin(town: Town) -> None:
    async with town.daemon() as c:
        await in_deal(town)
        await c.strategies.hand.hold("all", "pause", cancel=False, close=False)
        await take_profit(town)
        await town.rest(120)
        assert town.bot().view().deal_number is None
        town.bot().command(Command.RESUME)
        await town.until(lambda: town.bot().view().deal_number == 2)


def commit_slowly(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what one writes still be under way when the next asks for something."""
    assert town.store is not None
    commit = town.store.commit

    async def slowly(writes: object) -> None:
        await asyncio.sleep(0.1)
        await commit(writes)  # type: ignore[arg-type]

    monkeypatch.setattr(town.store, "commit", slowly)


async def test_a_halt_that_is_lifted_while_it_is_laid_again_is_in_the_store_as_in_memory(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town.daemon() as c:
        await town.until(lambda: town.bots == {GRID})
        hand = c.strategies.hand
        await hand.hold("all", "halt", cancel=False, close=False)
        commit_slowly(town, monkeypatch)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hand.hold("all", "halt", cancel=False, close=True))
            tasks.create_task(hand.lift("all"))
        assert town.store is not None
        assert tuple(hand.holds.values()) == await town.store.holds()


async def test_two_who_lift_a_halt_at_once_both_lift_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town.daemon() as c:
        await town.until(lambda: town.bots == {GRID})
        hand = c.strategies.hand
        await hand.hold("strategy/grid", "halt", cancel=False, close=False)
        commit_slowly(town, monkeypatch)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(hand.lift("strategy/grid"))
        assert not hand.holds
        assert town.bot().gate[0] is not Gate.EXITS_ONLY
