"""A canary secret is found in nothing that the processes wrote or show."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from backfuturectl.demo.world import Account, World
from tests.e2e.conftest import KUCOIN, MEXC, spec

CANARY = Account(
    connection="kucoin-spot-canary",
    title="KuCoin Spot Canary",
    exchange="kucoin",
    market="spot",
    host="kucoin-spot",
    api_key="66f1a0c2d5e83b0001a7ca4a",
    secret="CANARY-secret-5f1c-never-shown",
    password="CANARY-phrase-77",
    permissions=("General", "Spot"),
)
SECRETS = (CANARY.secret, CANARY.password or "", MEXC.secret, CANARY.api_key)


def forms(secret: str) -> tuple[bytes, ...]:
    raw = secret.encode()
    return (raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="), raw[4:-2])


def assert_clean(content: bytes, where: str) -> None:
    for secret in SECRETS:
        for form in forms(secret):
            assert form not in content, f"{secret[:6]}… is in {where}"


def everything_shown(world: World) -> str:
    kinds = ("connections", "strategies", "bots", "deals", "orders", "events", "running")
    shown = [json.dumps(world.api.get(kind)) for kind in kinds]
    shown.append(json.dumps(world.api.get("status")))
    shown.append(json.dumps(world.api.get("connection", CANARY.connection)))
    shown.append(json.dumps(world.api.get("bot", "canary/ETH-USDT")))
    for arguments in (("test", "-o", "json"), ("test", "-o", "wide"), ("get", "connections")):
        done = world.command(*arguments)
        shown.append(done.stdout + done.stderr)
    return "\n".join(shown)


def test_a_canary_secret_is_found_in_nothing_that_was_written_or_shown(make_world):
    world = make_world(
        MEXC,
        KUCOIN,
        CANARY,
        strategies={"canary": spec(CANARY, "ETH/USDT"), "mexc": spec(MEXC, "BTC/USDT")},
        environment={"BACKFUTURECTL_LOG_LEVEL": "DEBUG"},
    )
    world.start_daemon()
    world.wait(lambda: sum(b["openOrders"] > 1 for b in world.rows("bots")) == 2, "both trade")
    # Errors are where secrets leak: wrong answers, refused keys, broken files.
    world.tell("POST", "/chaos", {"probability": "0.1"})
    world.set_price("kucoin", "ETH/USDT", "3250")
    world.set_price("mexc", "BTC/USDT", "66000")
    world.wait(
        lambda: sum(row["status"] == "filled" for row in world.rows("orders")) >= 3,
        "orders fill",
        timeout_s=150,
    )
    world.tell("DELETE", "/faults")
    world.tell("PATCH", f"/exchanges/kucoin/keys/{CANARY.api_key}", {"is_enabled": False})
    world.command("test")
    path = world.connection_file(CANARY.connection)
    good = path.read_text()
    path.write_text(good.replace(",type:str]", ",type:int]", 1))
    world.wait(lambda: row_of(world)["status"] == "Failed", "the damage is told")
    world.command("test")
    path.write_text(good[: len(good) // 2])
    world.command("test")
    world.api.act("reconcile")
    assert_clean(everything_shown(world).encode(), "an answer of the status API or a command")

    assert world.daemon is not None
    process = Path("/proc") / str(world.daemon.child.pid)
    assert_clean((process / "cmdline").read_bytes(), "the daemon's command line")
    world.stop()
    written = [path for path in world.folder.rglob("*") if path.is_file()]
    assert any(path.name.startswith("state.db") for path in written)
    for path in written:
        if path.name not in {"scenario.yaml", "emulator.log"}:  # the exchange knows its own keys
            assert_clean(path.read_bytes(), path.name)


def row_of(world: World) -> dict[str, object]:
    return next(row for row in world.rows("connections") if row["name"] == CANARY.connection)


def test_the_daemon_has_no_secret_in_its_environment_and_cannot_be_dumped(make_world):
    world = make_world(MEXC, strategies={"mexc": spec(MEXC, "BTC/USDT")})
    assert not any(secret in value for value in world.variables().values() for secret in SECRETS)
    world.start_daemon()
    assert world.daemon is not None
    process = Path("/proc") / str(world.daemon.child.pid)
    limits = (process / "limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    # A process that is not dumpable belongs to root in /proc, whoever runs it.
    assert (process / "environ").stat().st_uid == 0
