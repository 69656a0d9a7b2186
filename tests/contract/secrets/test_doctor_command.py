"""``backfuturectl doctor`` names what is wrong on a machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backfuturectl.cli.doctor import doctor

from .conftest import Invoke, write_rules


@pytest.fixture
def healthy(tmp_path: Path, key: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository and directories in which everything is well."""
    write_rules(tmp_path, "encrypted_regex: ^credentials$", f"age: {key[1]}")
    (tmp_path / "configs").mkdir()
    monkeypatch.setenv("BACKFUTURECTL_ROOT", str(tmp_path / "configs"))
    monkeypatch.setenv("BACKFUTURECTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BACKFUTURECTL_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


def outcomes(invoke: Invoke, *arguments: object) -> dict[str, dict[str, str]]:
    report = json.loads(invoke(doctor, "-o", "json", *arguments).stdout)
    assert report["apiVersion"] == "backfuture.ai/v1alpha1"
    return {item["name"]: item for item in report["items"]}


def test_a_healthy_machine_passes(invoke: Invoke, healthy: Path) -> None:
    assert "fail" not in {item["outcome"] for item in outcomes(invoke).values()}
    assert invoke(doctor).exit_code == 0


def test_the_private_key_is_not_shown(invoke: Invoke, healthy: Path, key: tuple[Path, str]) -> None:
    private = key[0].read_text().splitlines()[-1]
    assert private not in invoke(doctor).output


@pytest.mark.parametrize(
    ("content", "mode", "found"),
    [
        (None, 0o600, "no such file"),
        ("", 0o600, "holds no key"),
        ("AGE-SECRET-KEY-1QQQQ\n", 0o600, "line 1 of"),
        ("hello\n", 0o644, "others can read it"),
    ],
)
def test_a_wrong_age_key_fails_with_a_remedy(
    invoke: Invoke, healthy: Path, content: str | None, mode: int, found: str
) -> None:
    path = healthy / "age.key"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    item = outcomes(invoke, "--key-file", path)["age key"]
    assert item["outcome"] == "fail"
    assert found in item["found"]
    assert item["remedy"]
    assert "QQQQ" not in item["found"]


def test_a_key_that_is_no_recipient_fails(
    invoke: Invoke, healthy: Path, stranger: tuple[Path, str]
) -> None:
    assert outcomes(invoke, "--key-file", stranger[0])["recipients"]["outcome"] == "fail"


def test_a_missing_configuration_root_fails(invoke: Invoke, healthy: Path) -> None:
    result = invoke(doctor, "--root", healthy / "none")
    assert result.exit_code == 1
    assert "fail  configuration" in result.output


def test_a_sops_that_may_not_run_fails(
    invoke: Invoke, healthy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = healthy / "sops"
    program.write_text("#!/bin/sh\n")
    monkeypatch.setenv("BACKFUTURECTL_SOPS", str(program))
    item = outcomes(invoke)["sops"]
    assert item["outcome"] == "fail"
    assert item["remedy"].startswith("run `chmod a+x")


def test_a_file_in_the_place_of_the_socket_fails(invoke: Invoke, healthy: Path) -> None:
    (healthy / "run").mkdir()
    (healthy / "run" / "api.sock").touch()
    assert outcomes(invoke)["socket"]["outcome"] == "fail"


def test_a_state_directory_that_others_can_enter_is_a_warning(
    invoke: Invoke, healthy: Path
) -> None:
    (healthy / "state").mkdir(mode=0o755)
    assert outcomes(invoke)["state directory"]["remedy"].startswith("chmod 700")
