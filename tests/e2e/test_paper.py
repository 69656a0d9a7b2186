"""A paper bot in the real process: kill -9, a restart, an edit, and no order at the exchange."""

from __future__ import annotations

import json
from typing import Any

from backfuturectl.demo.world import World
from tests.e2e.conftest import FUTURES, MEXC, spec

DEAL = "btc/BTC-USDT#1"


def test_a_paper_bot_survives_kill_9_and_the_exchange_never_hears_of_an_order(make_world):
    world = make_world(
        MEXC,
        FUTURES,
        strategies={
            "btc": spec(MEXC, "BTC/USDT", mode="paper"),
            "short": spec(FUTURES, "ETH/USDT", mode="paper", direction="short"),
        },
    )
    world.start_daemon()
    world.wait(lambda: orders_of(world, "short/ETH-USDT") >= 4, "the short ladder rests on paper")
    world.wait(lambda: orders_of(world, "btc/BTC-USDT") >= 4, "the ladder rests on paper")
    before = row(world, "btc/BTC-USDT")
    assert before["mode"] == "paper"
    world.kill_daemon()
    world.set_price("mexc", "BTC/USDT", "66000")  # the first rung, which nobody is there to see
    world.set_price("mexc", "BTC/USDT", "68000")
    world.start_daemon()
    world.wait(lambda: orders_of(world, "btc/BTC-USDT") >= 4, "the ladder rests again")
    after = row(world, "btc/BTC-USDT")
    world.tell("DELETE", "/requests")  # the connections' own tests are over
    same = ("dealId", "position", "average")
    assert {key: after[key] for key in same} == {key: before[key] for key in same}

    world.write_strategy("btc", spec(MEXC, "BTC/USDT"))
    world.wait(lambda: strategy(world)["reason"] == "EditRefused", "going live waits for the deal")
    world.write_strategy("btc", spec(MEXC, "BTC/USDT", mode="paper"))
    world.wait(lambda: strategy(world)["status"] == "Ready", "the edit is taken back")
    world.set_price("mexc", "BTC/USDT", "70000")
    world.wait(lambda: deals(world)[DEAL]["status"] == "closed", "the take profit filled on paper")

    listed = world.command("get", "deals").stdout
    assert "paper" in listed
    shown = json.loads(world.command("describe", "deal", DEAL, "-o", "json").stdout)
    assert (shown["mode"], shown["exitLeg"]) == ("paper", "takeProfit")
    assert {order["mode"] for order in shown["orders"]} == {"paper"}
    assert float(shown["result"]) > 0
    assert "on paper" in world.command("status").stdout
    for account in world.accounts:
        ledger = world.ledger(account)
        assert (ledger["orders"], ledger["fills"]) == ([], [])
    keys = {count["key"] for count in world.tell("GET", "/requests")["counts"]}
    assert keys == {""}, "a paper bot sends nothing signed"
    assert "Traceback" not in (world.folder / "daemon.log").read_text()


def row(world: World, bot: str) -> dict[str, Any]:
    return next((each for each in world.rows("bots") if each["name"] == bot), {"openOrders": 0})


def orders_of(world: World, bot: str) -> int:
    return int(row(world, bot)["openOrders"])


def strategy(world: World) -> dict[str, Any]:
    return next(each for each in world.rows("strategies") if each["name"] == "btc")


def deals(world: World) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in world.rows("deals")}
