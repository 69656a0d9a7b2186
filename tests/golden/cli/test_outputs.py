"""What every command says about itself, and how rows look; REWRITE_GOLDEN=1 writes the files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from backfuturectl.cli import describe as describing
from backfuturectl.cli import get as getting
from backfuturectl.cli import logs as logging_
from backfuturectl.cli import status as telling
from backfuturectl.cli.main import COMMANDS, cli

HERE = Path(__file__).parent
NOW_MS = 1_795_383_444_000


def same_as_golden(name: str, text: str) -> bool:
    path = HERE / name
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8") == text


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, arguments, prog_name="backfuturectl", terminal_width=80)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def commands() -> Iterator[tuple[str, ...]]:
    yield ()
    context = click.Context(cli)
    for name in COMMANDS:
        yield (name,)
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((name, inner) for inner in command.commands)


@pytest.mark.parametrize("path", list(commands()), ids=lambda path: "-".join(path) or "group")
def test_help_is_the_golden_one(path):
    code, text, _ = invoke(*path, "--help")
    assert code == 0
    assert same_as_golden(f"help.{'-'.join(path) or 'group'}.txt", text)


def test_no_golden_help_is_left_of_a_command_that_is_gone():
    wanted = {f"help.{'-'.join(path) or 'group'}.txt" for path in commands()}
    assert {path.name for path in HERE.glob("help.*.txt")} == wanted


def test_examples_keep_their_lines():
    text = invoke("get", "--help")[1]
    assert r"\b" not in text
    assert "\n    backfuturectl get connections\n" in text


# Fixed rows, as the status API sends them.

_CHECKS = ("endpoint", "key", "rights", "balance", "status")
ANSWERS: dict[str, Any] = {
    "status": {
        "version": "0.1.0",
        "root": "/srv/backfuturectl/configs",
        "startedAt": NOW_MS - 7_260_000,
        "now": NOW_MS,
        "source": {
            "digest": "d83309ffeab604cf",
            "commit": "5918a4200000000000000000000000000000cafe",
            "readAt": NOW_MS - 3_000,
            "trouble": "",
            "unknown": [],
        },
        "store": {"trouble": "the state database cannot be used: the disk is full (SQLITE_FULL)"},
        "prune": {"blocked": ["Strategy/old"], "waiting": [], "digest": "7c1e"},
        "holds": [{"target": "strategy/btc", "verb": "pause", "since": NOW_MS - 60_000}],
        "connections": {"total": 2, "online": 1},
        "strategies": {"total": 1, "converged": 1},
        "bots": {"total": 2, "running": 2, "paper": 1},
        "results": [
            {
                "environment": "live",
                "quote": "USDT",
                "realised": "41.20717",
                "gross": "43.5",
                "fees": "2.29283",
                "funding": "0",
                "unvaluedFees": [{"currency": "KCS", "amount": "0.013"}],
                "unrealised": "-10.7384759",
            }
        ],
    },
    "connections": [
        {
            "name": "mexc-spot-main",
            "exchange": "mexc",
            "market": "spot",
            "status": "Online",
            "reason": "Online",
            "message": "the connection passed every check",
            "keyFingerprint": "mx0v…Key1 · sha256:30ae0f8c",
            "accountId": "209302839",
            "permissions": ["SPOT_ACCOUNT_READ", "SPOT_DEAL_READ", "SPOT_DEAL_WRITE"],
            "lastTested": NOW_MS - 120_000,
        },
        {
            "name": "kucoin-spot-careless",
            "exchange": "kucoin",
            "market": "spot",
            "status": "Failed",
            "reason": "WithdrawEnabled",
            "message": "the key can withdraw",
            "keyFingerprint": None,
            "accountId": None,
            "permissions": [],
            "lastTested": None,
        },
    ],
    "strategies": [
        {
            "name": "btc",
            "connection": "mexc-spot-main",
            "mode": "live",
            "risk": "balanced",
            "status": "Ready",
            "reason": "ReconcileSucceeded",
            "message": "running state equals the files",
            "bots": 2,
            "openDeals": 1,
            "generation": 3,
            "results": [
                {
                    "environment": "live",
                    "quote": "USDT",
                    "realised": "41.20717",
                    "unrealised": "-10.7384759",
                },
                {
                    "environment": "paper",
                    "quote": "USDT",
                    "realised": "7",
                    "unrealised": "0",
                },
            ],
        }
    ],
    "bots": [
        {
            "name": "btc/BTC-USDT",
            "mode": "live",
            "strategy": "btc",
            "gate": "open",
            "connection": "mexc-spot-main",
            "state": "ACTIVE",
            "isPaused": True,
            "dealId": "btc/BTC-USDT#1",
            "position": "0.005939",
            "average": "66748.12862435",
            "unrealised": "-10.7384759",
            "margin": "587.19828907",
            "nextExit": "0.6350300",
            "stop": "0.5012345678",
            "stopOn": "exchange",
            "liquidation": "0.412345678912",
            "marginMode": "isolated",
            "openOrders": 4,
            "recoveryScore": "99.97",
            "gateReason": "",
        },
        {
            "name": "btc/ETH-USDT",
            "mode": "paper",
            "strategy": "btc",
            "gate": "exits",
            "connection": "mexc-spot-main",
            "state": "COOLDOWN",
            "isPaused": False,
            "dealId": None,
            "position": "0",
            "average": None,
            "unrealised": None,
            "margin": "0",
            "nextExit": None,
            "stop": None,
            "stopOn": None,
            "liquidation": None,
            "marginMode": None,
            "openOrders": 0,
            "recoveryScore": None,
            "gateReason": "the exchange is unavailable",
        },
        {
            "name": "btc/SOL-USDT",
            "mode": "live",
            "strategy": "btc",
            "gate": "open",
            "connection": "mexc-spot-main",
            "state": "RECOVERY",
            "isPaused": False,
            "dealId": "btc/SOL-USDT#4",
            "position": "1.5",
            "average": "180",
            "unrealised": "-24",
            "margin": "270",
            "nextExit": "180.72",
            "stop": "140",
            "stopOn": "daemon",
            "liquidation": None,
            "marginMode": None,
            "openOrders": 1,
            "recoveryScore": "100",
            "gateReason": "",
        },
        {
            "name": "btc/ADA-USDT",
            "mode": "live",
            "strategy": "btc",
            "gate": "shut",
            "connection": "mexc-spot-main",
            "state": "MANUAL",
            "isPaused": False,
            "dealId": None,
            "position": "0",
            "average": None,
            "unrealised": None,
            "margin": "0",
            "nextExit": None,
            "stop": None,
            "stopOn": None,
            "liquidation": None,
            "marginMode": None,
            "openOrders": 0,
            "recoveryScore": None,
            "gateReason": "the journal says 0 ADA, the exchange shows a position of 1",
        },
        {
            "name": "btc/XRP-USDT",
            "mode": "live",
            "strategy": "btc",
            "gate": "open",
            "connection": "mexc-spot-main",
            "state": "HALTED",
            "isPaused": False,
            "dealId": None,
            "position": "0",
            "average": None,
            "unrealised": None,
            "margin": "0",
            "nextExit": None,
            "stop": None,
            "stopOn": None,
            "liquidation": None,
            "marginMode": None,
            "openOrders": 0,
            "recoveryScore": None,
            "gateReason": "",
        },
    ],
    "deals": [
        {
            "id": "btc/BTC-USDT#1",
            "mode": "live",
            "side": "buy",
            "status": "closed",
            "openedAt": NOW_MS - 90_000_000,
            "exitLeg": "takeProfit",
            "result": "3.16737344631",
            "realised": "3.16737344631",
            "gross": "3.968",
            "fees": "0.80062655369",
            "funding": "0",
            "unvaluedFees": [{"currency": "KCS", "amount": "0.013"}],
            "quote": "USDT",
            "environment": "live",
            "audit": "clean",
            "settledAt": NOW_MS - 80_000_000,
        },
        {
            "id": "btc/BTC-USDT#2",
            "mode": "live",
            "side": "buy",
            "status": "closed",
            "openedAt": NOW_MS - 600_000,
            "exitLeg": "takeProfit",
            "result": "2.5",
            "realised": "2.49",
            "gross": "3",
            "fees": "0.51",
            "funding": "0",
            "unvaluedFees": [],
            "quote": "USDT",
            "environment": "live",
            "audit": None,
            "settledAt": None,
        },
    ],
    "logs": [
        {
            "id": 7,
            "at": NOW_MS - 4_000,
            "level": "warning",
            "logger": "backfuturectl.engine.wire",
            "message": "btc/BTC-USDT: rung/1 refused: \x1b[31mno",
        }
    ],
    "orders": [
        {
            "clientOrderId": "bfti0bzidplh00003r01000",
            "dealId": "btc/BTC-USDT#1",
            "mode": "paper",
            "leg": "rung/1",
            "side": "buy",
            "price": "67783.76",
            "amount": "0.001801",
            "filled": "0",
            "status": "open",
            "createdAt": NOW_MS - 200_000,
            "reason": "rung 1 of 6",
            "field": "spec.averaging",
            "source": "configs/strategies/btc.yaml:14",
            "generation": 3,
            "commit": "5918a4200000000000000000000000000000cafe",
        }
    ],
    "events": [
        {
            "id": 6,
            "at": NOW_MS - 4_000,
            "about": "Bot/btc/BTC-USDT",
            "type": "Normal",
            "reason": "RungFilled",
            "message": "buy 0.001801 at 67783.76\x1b[31m (rung/1)",
        }
    ],
    "connection": {
        "apiVersion": "backfuture.ai/v1alpha1",
        "kind": "Connection",
        "name": "mexc-spot-main",
        "status": "Online",
        "since": NOW_MS - 120_000,
        "permissions": ["SPOT_ACCOUNT_READ"],
        "lastTested": NOW_MS - 120_000,
        "checks": [
            {"name": name, "ok": True, "reason": "Online", "message": ""} for name in _CHECKS
        ],
        "findings": [],
        "spec": {"exchange": "mexc", "ipWhitelist": {"require": True, "addresses": ["127.0.0.1"]}},
    },
    "deal": {
        "apiVersion": "backfuture.ai/v1alpha1",
        "kind": "Deal",
        "id": "btc/BTC-USDT#1",
        "openedAt": NOW_MS - 90_000,
        "closedAt": None,
        "result": None,
        "realised": "-0.24",
        "gross": "0",
        "fees": "0.24",
        "funding": "0",
        "state": "RECOVERY",
        "unrealised": "-3.2",
        "recoveryScore": "100",
        "unvaluedFees": [],
        "quote": "USDT",
        "recovery": [
            {
                "rule": rule,
                "measure": measure,
                "unit": unit,
                "value": value,
                "limit": limit,
                "isBelow": rule == "exit",
                "isTrue": is_true,
                "heldMs": held_ms,
                "confirmMs": confirm_ms,
            }
            for rule, measure, unit, value, limit, is_true, held_ms, confirm_ms in (
                ("trigger", "manual", "flag", "1", "1", True, 1_500_000, 900_000),
                ("trigger", "drawdown", "percent", "7.999", "8", False, 1_500_000, 900_000),
                ("trigger", "at a loss", "ms", "14400000", "259200000", False, 0, 900_000),
                ("exit", "drawdown", "percent", "7.999", "3", False, 0, 3_600_000),
                ("escalate", "drawdown", "percent", "7.999", "12", False, 0, 900_000),
                ("escalate", "duration", "ms", "600000", "1209600000", False, 0, 0),
            )
        ],
        "price": "66100",
        "adding": "no new rung is placed while a trigger of Recovery Mode is being confirmed",
        "exits": [
            {
                "name": "takeProfit",
                "price": "68160.21",
                "amount": "0.003613",
                "awayPct": "3.11680787",
                "how": "rests on the exchange",
            },
            {
                "name": "stopLoss",
                "price": "51000.0075",
                "amount": "0.003613",
                "awayPct": "-22.84",
                "how": "watched by the daemon",
            },
        ],
        "ladder": [
            {
                "number": 1,
                "state": "filled",
                "price": "66980",
                "amount": "0.001823",
                "awayPct": None,
                "averageAfter": None,
            },
            {
                "number": 2,
                "state": "resting",
                "price": "65603",
                "amount": "0.002326",
                "awayPct": "-0.75189107",
                "averageAfter": "66748.12862435",
            },
        ],
        "orders": [
            {
                "clientOrderId": "bfti0bzidplh00003t00000",
                "leg": "takeProfit",
                "side": "sell",
                "price": "68680.02",
                "amount": "0.00179",
                "filled": "0",
                "status": "canceled",
                "reason": "1% from the average 68000.01",
                "field": "spec.takeProfit.percent",
                "source": "configs/strategies/btc.yaml:17",
                "commit": "5918a4200000000000000000000000000000cafe",
                "generation": 3,
                "createdAt": NOW_MS - 89_000,
                "updatedAt": NOW_MS - 59_000,
            }
        ],
        "events": [
            {
                "at": NOW_MS - 30_000,
                "type": "Warning",
                "reason": "RecoveryWatch",
                "message": "no new rung: drawdown 2.15%, at or above 2%",
            },
            {
                "at": NOW_MS - 60_000,
                "type": "Normal",
                "reason": "RungFilled",
                "message": "buy 0.001823 at 66980 (rung/1)",
            },
        ],
        "story": [
            {
                "at": NOW_MS - 90_000,
                "leg": "base",
                "side": "buy",
                "price": "68000.01",
                "amount": "0.00179",
                "position": "0.00179",
                "average": "68000.01",
                "fee": "0.1217200179",
                "feeCurrency": "USDT",
            },
            {
                "at": NOW_MS - 60_000,
                "leg": "rung/1",
                "side": "buy",
                "price": "66980",
                "amount": "0.001823",
                "position": "0.003613",
                "average": "67485.34677553",
            },
        ],
        "fills": [{"fillId": "b1f788fc"}],
    },
    "order": {
        "apiVersion": "backfuture.ai/v1alpha1",
        "kind": "Order",
        "clientOrderId": "bfti0bzidplh00003r01000",
        "dealId": "btc/BTC-USDT#1",
        "leg": "rung/1",
        "reason": "rung 1 of 6",
        "field": "spec.averaging",
        "source": "configs/strategies/btc.yaml:14",
        "generation": 3,
        "commit": "5918a4200000000000000000000000000000cafe",
        "createdAt": NOW_MS - 60_000,
        "fills": [
            {
                "fillId": "b1f788fc",
                "at": NOW_MS - 50_000,
                "side": "buy",
                "price": "66980",
                "amount": "0.001823",
                "fee": "0.000001823",
                "feeCurrency": "BTC",
            }
        ],
    },
}


class _Daemon:
    """Answers with fixed rows."""

    def get(self, kind: str, name: str | None = None, **_: object) -> dict[str, Any]:
        found = ANSWERS[kind]
        if isinstance(found, list):
            return {"kind": f"{kind.capitalize()}List", "items": found}
        return dict(found)


@pytest.fixture
def _fixed(monkeypatch):
    for module in (getting, describing, logging_, telling):
        monkeypatch.setattr(module, "daemon", _Daemon)


@pytest.mark.usefixtures("_fixed")
@pytest.mark.parametrize("output", ["table", "wide"])
@pytest.mark.parametrize("kind", getting.LISTS)
def test_a_list_is_the_golden_one(kind, output):
    code, text, _ = invoke("get", kind, "-o", output)
    assert code == 0
    assert same_as_golden(f"get.{kind}.{output}.txt", text)


@pytest.mark.usefixtures("_fixed")
@pytest.mark.parametrize("kind", ["connection", "deal", "order"])
def test_a_description_is_the_golden_one(kind):
    code, text, _ = invoke("describe", kind, "any")
    assert code == 0
    assert same_as_golden(f"describe.{kind}.txt", text)


@pytest.mark.usefixtures("_fixed")
def test_log_lines_are_the_golden_ones():
    code, text, _ = invoke("logs")
    assert code == 0
    assert same_as_golden("logs.txt", text)


@pytest.mark.usefixtures("_fixed")
def test_the_status_is_the_golden_one():
    code, text, _ = invoke("status")
    assert code == 1
    assert same_as_golden("status.txt", text)
