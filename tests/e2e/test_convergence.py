"""Files change, bots follow; what is broken or vanishes stops nothing by accident."""

from __future__ import annotations

import os
import shutil

from backfuturectl.demo.world import World
from tests.e2e.conftest import MEXC, spec

FAST = {"BACKFUTURECTL_PRUNE_GRACE_S": "1", "BACKFUTURECTL_SCAN_INTERVAL_S": "2"}


def bots(world: World) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in world.rows("bots")}


def strategy(world: World, name: str) -> dict[str, object]:
    return next((r for r in world.rows("strategies") if r["name"] == name), {"status": None})


def active(world: World, *names: str) -> bool:
    found = bots(world)
    return all(found.get(name, {}).get("state") == "ACTIVE" for name in names)


def exit_price(world: World) -> object:
    """Return the price at which the take profit of `a` rests."""
    return next(
        (
            row["price"]
            for row in world.rows("orders", "a/BTC-USDT")
            if row["leg"] == "takeProfit" and row["status"] == "open"
        ),
        None,
    )


def test_an_edit_of_one_strategy_reaches_its_bots_and_no_other(make_world):
    world = make_world(MEXC, strategies={"a": spec(MEXC, "BTC/USDT"), "b": spec(MEXC, "ETH/USDT")})
    world.start_daemon()
    world.wait(lambda: active(world, "a/BTC-USDT", "b/ETH-USDT"), "both trade")
    world.write_strategy("a", spec(MEXC, "BTC/USDT", takeProfit={"percent": 2}))
    world.wait(lambda: strategy(world, "a").get("generation") == 2, "the edit is applied")
    world.wait(lambda: exit_price(world) == "69360.02", "the exit order moved")
    assert strategy(world, "b")["generation"] == 1
    assert bots(world)["b/ETH-USDT"]["dealId"] == "b/ETH-USDT#1"


def test_moving_and_reformatting_a_file_restarts_nothing(make_world):
    world = make_world(MEXC, strategies={"a": spec(MEXC, "BTC/USDT")})
    world.start_daemon()
    world.wait(lambda: active(world, "a/BTC-USDT"), "it trades")
    path = world.strategy_file("a")
    moved = world.root / "elsewhere" / "renamed.yaml"
    moved.parent.mkdir()
    moved.write_text("# moved, with a comment\n" + path.read_text())
    path.unlink()
    world.api.act("reconcile")
    assert world.api.get("strategy", "a")["path"].endswith("renamed.yaml")
    assert strategy(world, "a")["generation"] == 1
    assert bots(world)["a/BTC-USDT"]["task"] == "running"


def test_a_removed_strategy_manages_its_deal_to_the_exit_and_goes(make_world):
    world = make_world(
        MEXC,
        strategies={"a": spec(MEXC, "BTC/USDT"), "b": spec(MEXC, "ETH/USDT")},
        environment=FAST,
    )
    world.start_daemon()
    world.wait(lambda: active(world, "a/BTC-USDT", "b/ETH-USDT"), "both trade")
    world.strategy_file("a").unlink()
    world.wait(lambda: bots(world)["a/BTC-USDT"]["isDraining"], "it drains")
    world.set_price("mexc", "BTC/USDT", "70000")
    world.wait(lambda: "a/BTC-USDT" not in bots(world), "it is gone")
    # The bot is off the books a few commits before its document is.
    world.wait(lambda: {row["name"] for row in world.rows("strategies")} == {"b"}, "it too")
    assert any(row["id"] == "a/BTC-USDT#1" for row in world.rows("deals"))


def test_a_strategy_that_returns_never_repeats_a_client_order_id(make_world):
    world = make_world(
        MEXC,
        strategies={"a": spec(MEXC, "BTC/USDT"), "b": spec(MEXC, "ETH/USDT")},
        environment=FAST,
    )
    world.start_daemon()
    world.wait(lambda: active(world, "a/BTC-USDT"), "it trades")
    text = world.strategy_file("a").read_text()
    world.strategy_file("a").unlink()
    world.wait(lambda: bots(world)["a/BTC-USDT"]["isDraining"], "it drains")
    world.set_price("mexc", "BTC/USDT", "70000")
    world.wait(lambda: "a/BTC-USDT" not in bots(world), "it is gone")
    world.strategy_file("a").write_text(text)
    world.wait(lambda: active(world, "a/BTC-USDT"), "it trades again")
    assert bots(world)["a/BTC-USDT"]["dealId"] == "a/BTC-USDT#2"
    ids = [order["client_id"] for order in world.ledger(MEXC)["orders"]]
    assert len(ids) == len(set(ids))


def test_removing_many_strategies_at_once_waits_for_an_approval(make_world):
    names = ("BTC", "ETH", "SOL", "XRP", "ADA")
    world = make_world(
        MEXC,
        strategies={name.lower(): spec(MEXC, f"{name}/USDT") for name in names},
        environment=FAST,
    )
    world.start_daemon()
    every = [f"{name.lower()}/{name}-USDT" for name in names]
    world.wait(lambda: active(world, *every), "all trade")
    for name in names[:3]:
        world.strategy_file(name.lower()).unlink()
    world.wait(lambda: world.api.get("status")["prune"]["blocked"], "the deletion is blocked")
    assert not any(row["isDraining"] for row in bots(world).values())
    assert world.command("status").returncode == 1
    digest = world.api.get("status")["prune"]["digest"]
    assert world.command("approve", "0" * 64).returncode != 0
    assert world.command("approve", digest).returncode == 0
    world.wait(
        lambda: sum(bool(row["isDraining"]) for row in bots(world).values()) == 3, "three drain"
    )


def test_an_empty_or_missing_root_stops_nothing(make_world):
    world = make_world(MEXC, strategies={"a": spec(MEXC, "BTC/USDT")}, environment=FAST)
    world.start_daemon()
    world.wait(lambda: active(world, "a/BTC-USDT"), "it trades")
    hidden = world.folder / "hidden"
    os.rename(world.root, hidden)
    world.wait(lambda: world.api.get("status")["source"]["trouble"], "the trouble is told")
    assert active(world, "a/BTC-USDT")
    world.root.mkdir()
    world.wait(lambda: not world.api.get("status")["source"]["trouble"], "the empty root is read")
    world.api.act("reconcile")
    assert not bots(world)["a/BTC-USDT"]["isDraining"]
    shutil.rmtree(world.root)
    os.rename(hidden, world.root)
    world.wait(lambda: strategy(world, "a")["status"] == "Ready", "all is as before")
    assert strategy(world, "a")["generation"] == 1


def test_a_root_that_is_a_swapped_symbolic_link_is_followed(make_world):
    world = make_world(MEXC, strategies={"a": spec(MEXC, "BTC/USDT")})
    first, second = world.folder / "rel1", world.folder / "rel2"
    os.rename(world.root, first)
    shutil.copytree(first, second)
    world.root.symlink_to(first)
    world.start_daemon()
    world.wait(lambda: active(world, "a/BTC-USDT"), "it trades")
    path = second / "strategies" / "a.yaml"
    path.write_text(path.read_text().replace("cooldown:", "takeProfit: {percent: 2}\n  cooldown:"))
    link = world.folder / "link"
    link.symlink_to(second)
    os.rename(link, world.root)
    world.wait(lambda: strategy(world, "a").get("generation") == 2, "the new release is applied")


def test_a_restart_over_a_broken_file_resumes_the_good_generation(make_world):
    world = make_world(MEXC, strategies={"a": spec(MEXC, "BTC/USDT")})
    world.start_daemon()
    world.wait(lambda: active(world, "a/BTC-USDT"), "it trades")
    world.kill_daemon()
    path = world.strategy_file("a")
    path.write_text(path.read_text().replace("risk: conservative", "risk: reckless"))
    world.start_daemon()
    world.wait(lambda: active(world, "a/BTC-USDT"), "it trades by the last good document")
    world.wait(lambda: strategy(world, "a")["status"] == "Failed", "the error is told")
    assert "risk" in str(strategy(world, "a")["message"])


def test_a_pair_taken_out_of_a_strategy_is_managed_to_its_exit(make_world):
    world = make_world(MEXC, strategies={"a": spec(MEXC, "BTC/USDT")}, environment=FAST)
    world.start_daemon()
    world.wait(lambda: active(world, "a/BTC-USDT"), "it trades")
    world.write_strategy("a", spec(MEXC, "ETH/USDT"))
    world.wait(lambda: "a/ETH-USDT" in bots(world), "the new pair starts")
    assert bots(world)["a/BTC-USDT"]["dealId"] == "a/BTC-USDT#1"
    assert bots(world)["a/BTC-USDT"]["isDraining"]


def test_pause_and_halt_hold_until_resumed_across_a_restart(make_world):
    world = make_world(MEXC, strategies={"a": spec(MEXC, "BTC/USDT"), "b": spec(MEXC, "ETH/USDT")})
    world.start_daemon()
    world.wait(
        lambda: all(row.get("openOrders") == 4 for row in bots(world).values()) and bots(world),
        "both ladders rest",
    )
    assert world.command("pause", "strategy", "a").returncode == 0
    assert world.command("halt", "strategy", "b", "--cancel").returncode == 0
    world.wait(lambda: open_legs(world, "b/ETH-USDT") == {"takeProfit"}, "only the exit rests")
    world.kill_daemon()
    world.start_daemon()
    world.wait(lambda: len(bots(world)) == 2, "both are back")
    assert {hold["target"] for hold in world.api.get("status")["holds"]} == {
        "strategy/a",
        "strategy/b",
    }
    world.set_price("mexc", "BTC/USDT", "70000")
    world.wait(lambda: bots(world)["a/BTC-USDT"]["dealId"] is None, "its deal ended")
    world.wait(lambda: bots(world)["a/BTC-USDT"]["state"] == "FLAT", "it opens no other")
    world.wait(lambda: open_legs(world, "b/ETH-USDT") == {"takeProfit"}, "the halt still holds")
    assert world.command("resume", "strategy", "a").returncode == 0
    assert world.command("resume", "strategy", "b").returncode == 0
    world.wait(lambda: active(world, "a/BTC-USDT"), "the next deal opens")
    world.wait(lambda: len(open_legs(world, "b/ETH-USDT")) == 4, "the ladder rests again")
    assert world.command("halt", "all", "--close", "--yes").returncode == 0
    world.wait(
        lambda: all(row["status"] == "closed" for row in world.rows("deals")), "all are closed"
    )


def test_a_halt_without_a_daemon_is_obeyed_by_the_next_one(make_world):
    world = make_world(MEXC, strategies={"a": spec(MEXC, "BTC/USDT")})
    assert world.command("halt", "all").returncode == 0
    world.start_daemon()
    world.wait(lambda: len(bots(world)) == 1, "the bot is there")
    world.wait(lambda: bots(world)["a/BTC-USDT"]["gate"] == "exitsOnly", "it is halted")
    assert not world.ledger(MEXC)["orders"]
    assert world.command("resume", "all").returncode == 0
    world.wait(lambda: active(world, "a/BTC-USDT"), "it trades")


def open_legs(world: World, bot: str) -> set[object]:
    return {row["leg"] for row in world.rows("orders", bot) if row["status"] == "open"}
