"""Bad input ends in a named error with a remedy, never in a traceback, and stops no other bot."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from pathlib import Path

import pytest

from backfuturectl.demo.world import World
from backfuturectl.secrets.age import make_key
from backfuturectl.secrets.program import find_program
from tests.e2e.conftest import CARELESS, KUCOIN, MEXC, spec


def trading(make_world, **more: object) -> World:
    """Return a world in which `good` trades on MEXC."""
    world = make_world(MEXC, KUCOIN, strategies={"good": spec(MEXC, "BTC/USDT")}, **more)
    world.start_daemon()
    world.wait(lambda: is_trading(world), "the good bot trades")
    return world


def is_trading(world: World) -> bool:
    return any(
        row["name"] == "good/BTC-USDT" and row["state"] == "ACTIVE" and row["task"] == "running"
        for row in world.rows("bots")
    )


def standing(world: World, kind: str, name: str) -> dict[str, object]:
    return next((row for row in world.rows(kind) if row["name"] == name), {"reason": None})


def assert_told_in_words(world: World, *, needle: str) -> None:
    log = (world.folder / "daemon.log").read_text()
    assert needle in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("old", "new", "reason", "code"),
    [
        ("risk: conservative", "rsik: conservative", "SchemaInvalid", "BF2"),
        ("maxActiveDeals: 1", "maxActiveDeals: many", "SchemaInvalid", "BF2"),
        ("connection: kucoin", "connection: kukoin", "ReferenceNotFound", "BF3"),
        ("baseOrder: auto", "baseOrder: 1900 USDT", "ProofFailed", "BF6"),
        ("marginLimit:", "marginLimit: 1 USDT\n  marginLimit:", "SourceUnreadable", "BF1"),
    ],
    ids=["unknown-field", "wrong-type", "unknown-connection", "does-not-fit", "duplicate-key"],
)
def test_a_bad_strategy_is_named_and_stops_no_other(make_world, old, new, reason, code):
    world = trading(make_world)
    world.write_strategy("bad", spec(KUCOIN, "ETH/USDT", baseOrder="auto"))
    path = world.strategy_file("bad")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    world.wait(lambda: standing(world, "strategies", "bad")["reason"] == reason, "it is refused")
    found = standing(world, "strategies", "bad")
    assert code in str(found["message"])
    assert f"bad.yaml:{line_of(path, new)}" in str(found["message"])
    assert is_trading(world)
    done = world.command("validate", "configs")
    assert done.returncode == 1
    assert code in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert_told_in_words(world, needle=code)


def line_of(path: Path, text: str) -> str:
    first = text.splitlines()[-1] if "marginLimit: 1 USDT" not in text else "marginLimit:"
    lines = path.read_text().splitlines()
    hits = [number for number, line in enumerate(lines, 1) if first.strip() in line]
    return str(hits[-1])


def test_a_secret_in_clear_text_is_refused(make_world):
    world = trading(make_world)
    path = world.connection_file("kucoin-spot-main")
    text = path.read_text()
    start = text.index("secret: ENC[")
    path.write_text(
        text[:start] + "secret: my-real-secret-in-git" + text[text.index("\n", start) :]
    )
    world.wait(
        lambda: standing(world, "connections", "kucoin-spot-main")["status"] == "Failed", "refused"
    )
    assert "my-real-secret-in-git" not in (world.folder / "daemon.log").read_text()
    done = world.command("validate", "configs")
    assert done.returncode == 1
    assert "BF4" in done.stdout
    assert is_trading(world)


def test_a_changed_ciphertext_fails_integrity_and_the_old_key_goes_on(make_world):
    world = trading(make_world)
    path = world.connection_file("mexc-spot-main")
    text = path.read_text()
    path.write_text(text.replace("capital: 50000 USDT", "capital: 90000 USDT"))
    world.wait(
        lambda: standing(world, "connections", "mexc-spot-main")["reason"] == "IntegrityFailed",
        "the tampering is seen",
    )
    assert is_trading(world)
    assert_told_in_words(world, needle="IntegrityFailed")


def test_another_age_key_is_named_by_test_and_by_the_daemon(make_world):
    world = make_world(MEXC, strategies={"good": spec(MEXC, "BTC/USDT")})
    world.age_key.rename(world.folder / "right.key")
    make_key(world.age_key)
    done = world.command("test")
    assert done.returncode == 1
    assert "DecryptFailed" in done.stdout
    assert "recipients" in done.stdout
    world.start_daemon()
    world.wait(
        lambda: standing(world, "connections", "mexc-spot-main")["reason"] == "DecryptFailed",
        "it is told",
    )
    assert not world.rows("bots")
    assert_told_in_words(world, needle="DecryptFailed")


def test_a_missing_age_key_that_appears_later_is_taken_without_a_restart(make_world):
    world = make_world(MEXC, strategies={"good": spec(MEXC, "BTC/USDT")})
    aside = world.folder / "aside.key"
    world.age_key.rename(aside)
    world.start_daemon()
    world.wait(
        lambda: standing(world, "connections", "mexc-spot-main")["reason"] == "DecryptFailed",
        "it is told",
    )
    aside.rename(world.age_key)
    world.wait(lambda: is_trading(world), "it trades")


def test_without_sops_nothing_starts_and_the_remedy_is_told(make_world):
    world = make_world(MEXC, environment={"BACKFUTURECTL_SOPS": "/nowhere/sops"})
    for arguments in (("run",), ("test",)):
        done = world.command(*arguments)
        assert done.returncode == 78, arguments
        assert "/nowhere/sops" in done.stderr
        assert "help:" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_sops_without_its_execute_bit_is_a_configuration_error(make_world, tmp_path):
    program = tmp_path / "sops"
    shutil.copyfile(find_program(), program)
    program.chmod(stat.S_IRUSR)
    world = make_world(MEXC, environment={"BACKFUTURECTL_SOPS": str(program)})
    done = world.command("run")
    assert done.returncode == 78
    assert "execut" in done.stderr


def test_an_unreachable_exchange_is_retried_and_stops_no_other(make_world):
    world = trading(make_world)
    assert world.emulator is not None
    world.write_strategy("second", spec(KUCOIN, "ETH/USDT"))
    world.tell("POST", "/faults", {"kind": "drop_before", "exchange": "kucoin"})
    world.write_strategy("second", spec(KUCOIN, "SOL/USDT"))
    world.api.act("test", connections=["kucoin-spot-main"])
    world.wait(
        lambda: (
            standing(world, "connections", "kucoin-spot-main")["reason"] == "ExchangeUnavailable"
        ),
        "the outage is told",
    )
    assert is_trading(world)
    assert world.command("test", "kucoin-spot-main").returncode == 1
    world.tell("DELETE", "/faults")
    world.wait(
        lambda: standing(world, "connections", "kucoin-spot-main")["status"] == "Online",
        "it recovers by itself",
        timeout_s=90,
    )


def test_a_key_that_can_withdraw_gets_no_bot(make_world):
    world = make_world(
        MEXC,
        CARELESS,
        strategies={"good": spec(MEXC, "BTC/USDT"), "never": spec(CARELESS, "ADA/USDT")},
    )
    world.start_daemon()
    world.wait(lambda: is_trading(world), "the good bot trades")
    found = standing(world, "connections", "kucoin-spot-careless")
    assert found["reason"] == "WithdrawEnabled"
    assert found["permissions"] == ["General", "Spot", "Transfer"]
    assert standing(world, "strategies", "never")["reason"] == "DependencyNotReady"
    assert not world.ledger(CARELESS)["orders"]


def test_a_key_that_gains_withdrawal_while_bots_run_leaves_them_exits_only(make_world):
    world = trading(make_world, environment={"BACKFUTURECTL_TEST_INTERVAL_S": "6"})
    rights = [*MEXC.permissions, "SPOT_WITHDRAW_WRITE"]
    world.tell("PATCH", f"/exchanges/mexc/keys/{MEXC.api_key}", {"permissions": rights})
    world.wait(
        lambda: standing(world, "connections", "mexc-spot-main")["reason"] == "WithdrawEnabled",
        "the right is seen",
    )
    world.wait(lambda: bot(world)["state"] == "ACTIVE/DEGRADED", "the bot is degraded")
    world.set_price("mexc", "BTC/USDT", "69500")
    world.wait(lambda: world.rows("deals")[0]["status"] == "closed", "its exit still fills")
    world.tell(
        "PATCH", f"/exchanges/mexc/keys/{MEXC.api_key}", {"permissions": list(MEXC.permissions)}
    )
    world.command("test", "mexc-spot-main")
    world.wait(lambda: bot(world)["dealId"] == "good/BTC-USDT#2", "it trades again")


def bot(world: World) -> dict[str, object]:
    return next(row for row in world.rows("bots") if row["name"] == "good/BTC-USDT")


def test_a_second_daemon_on_the_same_state_refuses_to_start(make_world):
    world = trading(make_world)
    done = world.command("run")
    assert done.returncode == 78
    assert "another daemon" in done.stderr
    assert is_trading(world)


def test_commands_without_a_daemon_say_how_to_start_one(make_world):
    world = make_world(MEXC)
    for arguments in (("get", "bots"), ("status",), ("describe", "bot", "x")):
        done = world.command(*arguments)
        assert done.returncode == 2, arguments
        assert "backfuturectl run" in done.stderr
        assert "Traceback" not in done.stderr


def test_sighup_reads_the_files_and_sigterm_ends_in_order(make_world):
    world = trading(make_world)
    assert world.daemon is not None
    os.kill(world.daemon.child.pid, signal.SIGHUP)
    assert world.daemon.end(signal.SIGTERM) == 0
    log = (world.folder / "daemon.log").read_text()
    assert "resting orders stay on the exchange" in log
    assert "Traceback" not in log
    assert not (world.folder / "run" / "api.sock").exists()
    assert sum(order["status"] == "open" for order in world.ledger(MEXC)["orders"]) == 4
