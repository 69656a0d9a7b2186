import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from backfuturectl.cli import get as getting
from backfuturectl.cli.kinds import Kind, did_you_mean
from backfuturectl.cli.main import COMMANDS, EXIT_USAGE, cli
from tests.unit.config.samples import strategy


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backfuturectl", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **variables},
    )


@pytest.mark.parametrize(("typo", "meant"), [("gte", "get"), ("validat", "validate")])
def test_an_unknown_command_names_the_nearest(typo, meant):
    done = run(typo)
    assert done.returncode == EXIT_USAGE
    assert f"did you mean `{meant}`?" in done.stderr
    assert done.stdout == ""


def test_an_unknown_command_with_nothing_near_points_to_the_list():
    done = run("xyzzy")
    assert done.returncode == EXIT_USAGE
    assert "did you mean" not in done.stderr
    assert "--help" in done.stderr


@pytest.mark.parametrize("text", ["bot", "bots", "BOT", "Bots"])
def test_a_kind_is_taken_in_singular_and_plural(text):
    assert Kind(["bots"]).convert(text, None, None) == "bots"
    assert Kind(["bot"]).convert(text, None, None) == "bot"


def test_a_mistyped_kind_names_the_nearest_and_all():
    result = CliRunner().invoke(cli, ["get", "conections"])
    assert "did you mean `connections`?" in result.stderr
    assert "there are connections, strategies, bots" in result.stderr


def test_an_empty_list_says_so_and_is_no_failure(monkeypatch):
    class Empty:
        def get(self, *_: object, **__: object) -> dict[str, object]:
            return {"kind": "BotList", "items": []}

    monkeypatch.setattr(getting, "daemon", Empty)
    result = CliRunner().invoke(cli, ["get", "bots", "nosuch"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no bots of `nosuch`\n"


def test_nothing_is_suggested_for_what_is_far():
    assert did_you_mean("xyzzy", COMMANDS) == ""


@pytest.mark.parametrize(
    ("words", "at", "expected"),
    [
        ("backfuturectl pla", 1, {"plan"}),
        ("backfuturectl get b", 2, {"bots"}),
        ("backfuturectl describe ", 2, {"connection", "strategy", "bot", "deal", "order"}),
        ("backfuturectl secret ", 2, {"set", "check", "rotate"}),
    ],
)
def test_bash_completes(words, at, expected):
    done = run(
        _BACKFUTURECTL_COMPLETE="bash_complete",
        COMP_WORDS=words,
        COMP_CWORD=str(at),
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_asks_this_program(shell):
    assert "_BACKFUTURECTL_COMPLETE" in run("completion", shell).stdout


def test_a_plan_is_not_made_of_the_store_of_a_daemon_that_may_not_be_asked(tmp_path, monkeypatch):
    def refuse(self: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("backfuturectl.daemon.client._UnixConnection.connect", refuse)
    monkeypatch.setenv("BACKFUTURECTL_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "configs").mkdir()
    planned = CliRunner().invoke(cli, ["plan", "--root", str(tmp_path / "configs")])
    assert "no daemon runs" not in planned.output
    assert "may not talk to the daemon" in str(planned.exception.__cause__ or planned.exception)


def test_a_plan_that_fails_is_told_from_a_plan_with_changes(tmp_path):
    where = {
        "BACKFUTURECTL_STATE_DIR": str(tmp_path / "state"),
        "BACKFUTURECTL_RUNTIME_DIR": str(tmp_path / "run"),
    }
    missing = run("plan", "--root", str(tmp_path / "none"), "--detailed-exitcode", **where)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "help:" in missing.stderr
    assert run("plan", "--root", str(tmp_path / "none"), **where).returncode == 78


def test_no_plugin_of_another_package_is_shown_what_is_checked(tmp_path):
    told = tmp_path / "told"
    (tmp_path / "spy.py").write_text(f"open({str(told)!r}, 'w')\nplugin = None\n")
    package = tmp_path / "spy-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: spy\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[pydantic]\nspy = spy:plugin\n")
    (tmp_path / "one.yaml").write_text(strategy())
    done = run("validate", str(tmp_path / "one.yaml"), PYTHONPATH=str(tmp_path))
    assert done.returncode == 0
    assert not told.exists()


def test_a_kind_that_no_document_has_costs_nothing():
    code = (
        "from backfuturectl.model.resources import Connection, Policy; import sys;"
        "sys.exit(Connection.__pydantic_complete__ or Policy.__pydantic_complete__)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
