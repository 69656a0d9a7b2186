"""The JSON that other programs read: fields may be added, none may go or change its type."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from backfuturectl.demo.world import World
from tests.e2e.conftest import CARELESS, FUTURES, MEXC, MakeWorld, spec

API_VERSION = "backfuture.ai/v1alpha1"
DECIMAL = re.compile(r"-?\d+(\.\d+)?")
CHECKS = ["endpoint", "key", "rights", "balance", "status"]


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    world = make_world(
        MEXC,
        FUTURES,
        CARELESS,
        strategies={
            "btc": spec(MEXC, "BTC/USDT"),
            "eth": spec(FUTURES, "ETH/USDT"),
            "ada": spec(CARELESS, "ADA/USDT"),
        },
    )
    world.start_daemon()
    world.wait(
        lambda: sum(bot["openOrders"] > 1 for bot in world.rows("bots")) == 2,
        "both bots hold a deal with resting orders",
    )
    world.wait(
        lambda: all(row["lastTested"] for row in world.rows("connections")),
        "every connection was tested",
    )
    return world


def asked(world: World, *arguments: str, expected: int = 0) -> dict[str, Any]:
    done = world.command(*arguments, "-o", "json")
    assert done.returncode == expected, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def items(answer: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    assert answer["apiVersion"] == API_VERSION
    assert answer["kind"] == kind
    return {
        row.get("name") or row.get("clientOrderId") or row["id"]: row for row in answer["items"]
    }


def is_decimal(value: object) -> bool:
    return isinstance(value, str) and DECIMAL.fullmatch(value) is not None


def test_what_other_programs_read_keeps_its_fields_and_types(world: World) -> None:
    _connections(world)
    _bots(world)
    _orders(world)
    _deals_events_and_strategies(world)
    _descriptions(world)
    _status_and_plan(world)


def _connections(world: World) -> None:
    listed = items(asked(world, "get", "connections"), "ConnectionList")
    assert listed.keys() == {MEXC.connection, FUTURES.connection, CARELESS.connection}
    for row in listed.values():
        assert [check["name"] for check in row["checks"]] == CHECKS
        assert all(check["ok"] in {True, False, None} for check in row["checks"])
        assert all(isinstance(one, str) for one in row["permissions"])
        assert isinstance(row["lastTested"], int)
        assert re.fullmatch(r"\S{4}…\S{4} · sha256:[0-9a-f]{8}", row["keyFingerprint"])
    good, bad = listed[MEXC.connection], listed[CARELESS.connection]
    assert (good["exchange"], good["market"], good["status"], good["reason"]) == (
        "mexc",
        "spot",
        "Online",
        "Online",
    )
    assert good["permissions"] == list(MEXC.permissions)
    assert re.fullmatch(r"\d+", good["accountId"])
    assert listed[FUTURES.connection]["market"] == "futures"
    assert (bad["status"], bad["reason"]) == ("Failed", "WithdrawEnabled")
    assert [check["ok"] for check in bad["checks"]] == [True, True, False, None, None]
    # The test from the command line prints the same shape, and fails when one connection does.
    tested = items(asked(world, "test", expected=1), "ConnectionList")
    for name, row in tested.items():
        same = ("name", "exchange", "market", "status", "reason", "permissions")
        same += ("keyFingerprint", "accountId")
        assert {key: row[key] for key in same} == {key: listed[name][key] for key in same}
        assert [check["ok"] for check in row["checks"]] == [
            check["ok"] for check in listed[name]["checks"]
        ]


def _bots(world: World) -> None:
    listed = items(asked(world, "get", "bots"), "BotList")
    assert listed.keys() == {"btc/BTC-USDT", "eth/ETH-USDT"}
    bot = listed["btc/BTC-USDT"]
    assert (bot["strategy"], bot["connection"], bot["pair"]) == ("btc", MEXC.connection, "BTC/USDT")
    assert (bot["state"], bot["dealId"]) == ("ACTIVE", "btc/BTC-USDT#1")
    assert bot["mode"] == "live"
    for row in listed.values():
        assert all(is_decimal(row[key]) for key in ("position", "average", "unrealised"))
        assert isinstance(row["openOrders"], int)
    narrowed = items(asked(world, "get", "bots", "eth"), "BotList")
    assert narrowed.keys() == {"eth/ETH-USDT"}


def _orders(world: World) -> None:
    listed = items(asked(world, "get", "orders", "btc/BTC-USDT"), "OrderList")
    assert listed
    legs = set()
    for row in listed.values():
        assert row["dealId"] == "btc/BTC-USDT#1"
        assert row["bot"] == "btc/BTC-USDT"
        assert row["status"] in {"filled", "open"}
        assert all(is_decimal(row[key]) for key in ("amount", "filled", "cost"))
        assert row["field"].startswith("spec.")
        assert re.fullmatch(r".+\.yaml:\d+", row["source"])
        assert row["generation"] == 1
        assert isinstance(row["commit"], str)
        assert re.fullmatch(r"\d+", row["accountId"])
        legs.add(row["leg"])
    assert {"base", "takeProfit", "rung/1"} <= legs
    base = next(row for row in listed.values() if row["leg"] == "base")
    told = asked(world, "describe", "order", base["clientOrderId"])
    assert (told["kind"], told["dealId"]) == ("Order", "btc/BTC-USDT#1")
    assert [fill["clientOrderId"] for fill in told["fills"]] == [base["clientOrderId"]]
    at_exchange = world.ledger(MEXC)["orders"]
    assert listed.keys() == {order["client_id"] for order in at_exchange}


def _deals_events_and_strategies(world: World) -> None:
    deal = items(asked(world, "get", "deals"), "DealList")["btc/BTC-USDT#1"]
    assert (deal["bot"], deal["number"], deal["side"], deal["status"]) == (
        "btc/BTC-USDT",
        1,
        "buy",
        "open",
    )
    assert isinstance(deal["openedAt"], int)
    assert all(is_decimal(deal[key]) for key in ("realised", "gross", "fees", "funding"))
    assert (deal["quote"], deal["environment"], deal["unvaluedFees"]) == ("USDT", "emulator", [])
    assert deal["connection"] == MEXC.connection
    assert deal["closedAt"] is deal["exitLeg"] is deal["result"] is None
    events = asked(world, "get", "events", "Bot/btc/BTC-USDT")
    assert events["kind"] == "EventList"
    assert "BaseOrderFilled" in {event["reason"] for event in events["items"]}
    strategies = items(asked(world, "get", "strategies"), "StrategyList")
    assert (strategies["btc"]["status"], strategies["btc"]["isCurrent"]) == ("Ready", True)
    assert strategies["ada"]["reason"] == "DependencyNotReady"
    (result,) = strategies["btc"]["results"]
    assert (result["environment"], result["quote"]) == ("emulator", "USDT")
    sums = ("realised", "gross", "fees", "funding", "unrealised")
    assert all(is_decimal(result[key]) for key in sums)
    assert strategies["ada"]["results"] == []
    audited = asked(world, "audit", "btc")
    assert (audited["kind"], audited["items"]) == ("AuditDifferenceList", [])


def _descriptions(world: World) -> None:
    for kind, name in (
        ("connection", MEXC.connection),
        ("strategy", "btc"),
        ("bot", "btc/BTC-USDT"),
        ("deal", "btc/BTC-USDT#1"),
    ):
        answer = asked(world, "describe", kind, name)
        assert (answer["apiVersion"], answer["kind"]) == (API_VERSION, kind.capitalize())
        assert answer.get("name", answer.get("id")) == name
        assert isinstance(answer["events"], list)
    shown = world.command("describe", "connection", MEXC.connection, "-o", "json").stdout
    assert "credentials" not in shown
    assert MEXC.secret not in shown


def _status_and_plan(world: World) -> None:
    # One connection is refused, which needs a person: exit code 1.
    status = asked(world, "status", expected=1)
    assert (status["apiVersion"], status["kind"]) == (API_VERSION, "Status")
    assert status["connections"] == {"total": 3, "online": 2}
    assert status["bots"] == {"total": 2, "running": 2, "paper": 0}
    assert [row["quote"] for row in status["results"]] == ["USDT"]
    planned = asked(world, "plan")
    assert (planned["apiVersion"], planned["kind"]) == (API_VERSION, "Plan")
    assert all({"action", "bot", "changes"} <= row.keys() for row in planned["actions"])
