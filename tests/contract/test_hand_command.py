"""The operator's hand without a daemon: what is laid and lifted in the store itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backfuturectl.cli.main import cli
from backfuturectl.daemon.client import DaemonError
from backfuturectl.store.database import Store


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKFUTURECTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BACKFUTURECTL_RUNTIME_DIR", str(tmp_path / "run"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_what_was_laid_without_a_daemon_is_lifted_without_one() -> None:
    assert "the next one will pause all" in run("pause", "all").output
    assert "the next one will halt all" in run("halt", "all").output
    assert "halt and pause of all is lifted" in run("resume", "all").output
    assert isinstance(run("resume", "all").exception, DaemonError), "nothing is left to lift"


async def test_a_halt_without_a_daemon_leaves_word_to_cancel_and_close(tmp_path: Path) -> None:
    output = await asyncio.to_thread(run, "halt", "all", "--cancel", "--close", "--yes")
    assert "the next one will halt all, and cancel, and close" in output.output
    url = f"sqlite:///{tmp_path / 'state' / 'state.db'}"
    async with Store.open(url, seed=b"a seed of a test") as store:
        (hold,) = await store.holds()
    assert (hold.is_canceling, hold.is_closing) == (True, True)


def test_only_what_was_laid_on_the_very_target_is_lifted() -> None:
    run("pause", "strategy", "btc")
    assert isinstance(run("resume", "all").exception, DaemonError)
    assert "pause of strategy/btc is lifted" in run("resume", "strategy", "btc").output


def test_nothing_is_made_where_there_is_no_store(tmp_path: Path) -> None:
    assert isinstance(run("resume", "all").exception, DaemonError)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("verb", ["pause", "halt", "resume"])
def test_a_daemon_that_may_not_be_asked_is_no_absent_one(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("backfuturectl.daemon.client._UnixConnection.connect", refuse)
    failure = run(verb, "all").exception
    assert isinstance(failure, DaemonError)
    assert str(tmp_path / "run" / "api.sock") in str(failure)
    assert "group" in failure.remedy
    assert not (tmp_path / "state").exists(), "the store is another daemon's"


def test_nothing_is_laid_in_the_store_beside_a_daemon_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(self: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("backfuturectl.daemon.client._UnixConnection.connect", hang)
    assert "did not answer: timed out" in str(run("pause", "all").exception)
    assert not (tmp_path / "state").exists()
