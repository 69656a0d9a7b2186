"""``edit`` with the real sops: what is written is checked, and no secret ever reaches the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backfuturectl.cli.edit import KEPT
from backfuturectl.cli.main import cli
from backfuturectl.demo.story import ACCOUNTS
from backfuturectl.demo.world import World
from backfuturectl.model.errors import BackfutureError

MEXC = ACCOUNTS[0]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path / "world", ACCOUNTS[:1], hosts={MEXC.host: "http://127.0.0.1:9"})
    world.folder.mkdir()
    world.write_connections()
    world.write_strategy(
        "btc",
        {
            "connection": MEXC.connection,
            "pairs": ["BTC/USDT"],
            "risk": "balanced",
            "marginLimit": "1000 USDT",
            "maxActiveDeals": 1,
        },
    )
    for name, value in world.variables().items():
        if name.startswith("BACKFUTURECTL_"):
            monkeypatch.setenv(name, value)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return world


def editing(world: World, monkeypatch: pytest.MonkeyPatch, *script: str) -> None:
    """Let the editor be a shell script, which first keeps what it was shown."""
    editor = world.folder / "editor"
    shown = world.folder / "shown"
    editor.write_text("\n".join(["#!/bin/sh", f'cp "$1" {shown}', *script]))
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))


def run(kind: str, name: str) -> Result:
    return CliRunner().invoke(cli, ["edit", kind, name])


def left_behind(world: World) -> list[Path]:
    return [each for each in (world.folder.parent / "temporary").rglob("*") if each.is_file()]


def test_a_strategy_is_written_and_each_change_told_with_its_effect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    editing(world, monkeypatch, "sed -i 's/1000 USDT/1200 USDT/' \"$1\"")
    done = run("strategy", "btc")
    assert done.exit_code == 0, done.output
    assert "strategy btc: spec.marginLimit: 1000 USDT → 1200 USDT  [live]" in done.output
    assert "1200 USDT" in world.strategy_file("btc").read_text()
    assert left_behind(world) == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("sed -i 's/marginLimit/marginLimt/' \"$1\"", "did you mean `marginLimit`"),
        ("sed -i 's/1000 USDT/4 USDT/' \"$1\"", "BF6"),
        ("sed -i 's/connection: .*/connection: nowhere/' \"$1\"", "nowhere"),
        ("printf 'a: [' > \"$1\"", "error"),
    ],
    ids=["typo", "proof", "reference", "syntax"],
)
def test_findings_keep_the_old_file_and_the_edited_copy(
    world: World, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    before = world.strategy_file("btc").read_bytes()
    editing(world, monkeypatch, script)
    done = run("strategy", "btc")
    assert said in done.output
    assert "stays as it was; the edited copy is" in str(done.exception)
    assert world.strategy_file("btc").read_bytes() == before
    assert len(left_behind(world)) == 1


def test_a_connection_is_edited_without_its_credentials_and_encrypted_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.connection_file(MEXC.connection)
    before = path.read_bytes()
    editing(world, monkeypatch, "sed -i 's/50000 USDT/40000 USDT/' \"$1\"")
    done = run("connection", MEXC.connection)
    assert done.exit_code == 0, done.output
    shown = (world.folder / "shown").read_text()
    assert shown.count(KEPT) == 2
    for text in (MEXC.secret, MEXC.api_key, "ENC[", "sops"):
        assert text not in shown
    after = path.read_bytes()
    assert after != before
    assert b"40000 USDT" in after
    check = CliRunner().invoke(cli, ["secret", "check"])
    assert "ok" in check.output, "the credentials are the old ones"


@pytest.mark.parametrize(
    "script",
    [
        "sed -i 's/apiKey: .*/apiKey: mx0vglSecretTyped/' \"$1\"",
        "sed -i '/secret:/d' \"$1\"",
        'sed -i \'s/apiKey: .*/apiKey: "mx0vglSecretTyped/\' "$1"',
    ],
    ids=["typed", "removed", "typed into broken YAML"],
)
def test_credentials_cannot_be_typed_in_and_no_copy_of_them_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    path = world.connection_file(MEXC.connection)
    before = path.read_bytes()
    editing(world, monkeypatch, script)
    done = run("connection", MEXC.connection)
    assert isinstance(done.exception, BackfutureError)
    assert path.read_bytes() == before
    assert left_behind(world) == []


@pytest.mark.parametrize(
    ("script", "said"),
    [("exit 3", "ended with 3"), ("kill -9 $$", "ended with -9")],
    ids=["refuses", "dies"],
)
def test_an_editor_that_fails_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    editing(world, monkeypatch, 'echo x >> "$1"', script)
    before = world.strategy_file("btc").read_bytes()
    assert said in str(run("strategy", "btc").exception)
    assert world.strategy_file("btc").read_bytes() == before
    assert left_behind(world) == []


def test_nothing_is_written_when_nothing_was_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.connection_file(MEXC.connection)
    before = path.read_bytes()
    editing(world, monkeypatch, "true")
    assert "nothing was changed" in run("connection", MEXC.connection).output
    assert path.read_bytes() == before


def test_a_file_that_changed_meanwhile_is_not_overwritten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.strategy_file("btc")
    editing(world, monkeypatch, "sed -i 's/1000/1200/' \"$1\"", f"echo '# pulled' >> {path}")
    assert "changed meanwhile" in str(run("strategy", "btc").exception)
    assert path.read_text().endswith("# pulled\n")


def test_a_connection_needs_the_age_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    os.unlink(world.age_key)
    editing(world, monkeypatch, "true")
    assert "no age key" in str(run("connection", MEXC.connection).exception)


def test_a_broken_file_is_found_by_its_name(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path = world.strategy_file("btc")
    good = world.folder / "good"
    good.write_bytes(path.read_bytes())
    path.write_text("spec: [")
    editing(world, monkeypatch, f'cp {good} "$1"')
    assert "+ strategy btc" in run("strategy", "btc").output
    assert path.read_bytes() == good.read_bytes()


def test_what_is_not_there_is_told_with_what_is(world: World) -> None:
    assert "there are: btc" in str(run("strategy", "btcc").exception)
