"""``backfuturectl init``: a repository that works, and nothing of the user's is touched."""

from __future__ import annotations

import asyncio
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from backfuturectl.cli.init import init
from backfuturectl.cli.validate import validate
from backfuturectl.model.errors import UsageError
from backfuturectl.secrets.age import recipients_of
from backfuturectl.secrets.program import find_program
from backfuturectl.secrets.sops import Sops

EXAMPLE = Path(__file__).parents[2] / "configs"


def invoke(*arguments: object, command: click.Command = init) -> Result:
    """Run the command in a thread: it starts event loops of its own."""
    with ThreadPoolExecutor(1) as pool:
        texts = [str(one) for one in arguments]
        return pool.submit(CliRunner().invoke, command, texts).result()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Result]:
    """A new repository, its key and what was printed."""
    folder = tmp_path_factory.mktemp("init")
    key = folder / "keys" / "age.key"
    return folder / "repo", key, invoke("--key-file", key, folder / "repo")


def test_every_part_of_a_repository_is_there(made: tuple[Path, Path, Result]) -> None:
    repo, _, result = made
    assert result.exit_code == 0, result.output
    files = {str(path.relative_to(repo)) for path in repo.rglob("*") if path.is_file()}
    assert files == {
        ".github/workflows/validate.yml",
        ".gitignore",
        ".pre-commit-config.yaml",
        ".sops.yaml",
        "README.md",
        "configs/connections/mexc-spot-demo.yaml",
        "configs/policy.yaml",
        "configs/strategies/btc-balanced.yaml",
    }


def test_the_private_key_is_outside_and_is_not_printed(made: tuple[Path, Path, Result]) -> None:
    repo, key, result = made
    private = key.read_text().splitlines()[-1]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert private not in result.output
    assert not [path for path in repo.rglob("*") if path.is_file() and private in path.read_text()]


def test_the_rules_encrypt_for_the_key_and_protect_the_whole_file(
    made: tuple[Path, Path, Result],
) -> None:
    repo, key, _ = made
    (rule,) = yaml.safe_load((repo / ".sops.yaml").read_text())["creation_rules"]
    assert (rule["age"],) == recipients_of(key)
    assert "mac_only_encrypted" not in rule


async def test_the_example_connection_decrypts(made: tuple[Path, Path, Result]) -> None:
    repo, key, _ = made
    ciphertext = await asyncio.to_thread(
        (repo / "configs/connections/mexc-spot-demo.yaml").read_bytes
    )
    decrypted = await Sops(find_program(), key_file=key).decrypt(ciphertext)
    assert set(decrypted) == {("spec", "credentials", "apiKey"), ("spec", "credentials", "secret")}


def test_the_new_repository_validates_without_a_finding(
    made: tuple[Path, Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOPS_AGE_KEY_FILE", raising=False)
    monkeypatch.chdir(made[0])
    result = invoke("configs", command=validate)
    assert result.exit_code == 0, result.output
    assert "0 errors, 0 warnings" in result.output


def test_the_example_repository_validates_without_a_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SOPS_AGE_KEY_FILE", raising=False)
    result = invoke(EXAMPLE, command=validate)
    assert result.exit_code == 0, result.output
    assert "0 errors, 0 warnings" in result.output


def test_the_workflow_and_the_hooks_run_commands_that_pass_here(
    made: tuple[Path, Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = made[0]
    workflow = yaml.safe_load((repo / ".github/workflows/validate.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["validate"]["steps"]]
    (hook,) = yaml.safe_load((repo / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (published,) = yaml.safe_load((EXAMPLE.parent / ".pre-commit-hooks.yaml").read_text())
    commands = (*steps, hook["entry"], published["entry"])
    lines = [line.split() for line in commands if line.startswith("backfuturectl ")]
    assert [line[1] for line in lines] == ["validate", "validate", "validate"]
    monkeypatch.chdir(repo)
    for line in lines:
        assert invoke(*line[2:], command=validate).exit_code == 0


def test_nothing_is_overwritten(made: tuple[Path, Path, Result], tmp_path: Path) -> None:
    _, key, _ = made
    (tmp_path / "README.md").write_text("mine")
    result = invoke("--key-file", key, tmp_path)
    assert isinstance(result.exception, UsageError)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_key_inside_the_repository_is_refused(tmp_path: Path) -> None:
    result = invoke("--key-file", tmp_path / "repo" / "keys" / "age.key", tmp_path / "repo")
    assert isinstance(result.exception, UsageError)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_there_is_used_for_a_second_repository(
    made: tuple[Path, Path, Result], tmp_path: Path
) -> None:
    repo, key, _ = made
    before = key.read_bytes()
    result = invoke("--key-file", key, tmp_path / "second")
    assert "kept the age key" in result.output
    assert key.read_bytes() == before
    assert (tmp_path / "second" / ".sops.yaml").read_text() == (repo / ".sops.yaml").read_text()
