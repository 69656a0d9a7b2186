"""``backfuturectl init``: scaffold a repository that validates from its first commit."""

from __future__ import annotations

import asyncio
import os
from importlib import resources
from pathlib import Path
from typing import Final

import click

from backfuturectl.config.settings import load_settings
from backfuturectl.emulator.scenario import default_accounts
from backfuturectl.model.errors import ConfigurationError, UsageError
from backfuturectl.model.secret import Secret
from backfuturectl.secrets.age import make_key, recipients_of
from backfuturectl.secrets.encrypt import encrypt_credentials
from backfuturectl.secrets.sops import Sops

_RULES: Final = ".sops.yaml"
_CONNECTION: Final = "configs/connections/mexc-spot-demo.yaml"
_STRATEGY: Final = "configs/strategies/btc-balanced.yaml"
_FILES: Final = {
    # path in the new repository: template
    _RULES: "sops.yaml",
    ".gitignore": "gitignore",
    ".github/workflows/validate.yml": "workflow.yml",
    ".pre-commit-config.yaml": "pre-commit-config.yaml",
    "README.md": "README.md",
    _CONNECTION: "connection.yaml",
    _STRATEGY: "strategy.yaml",
    "configs/policy.yaml": "policy.yaml",
}


@click.command()
@click.argument("directory", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--age-key-file",
    "--key-file",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Age key file, made if it does not exist; outside DIRECTORY [default: SOPS_AGE_KEY_FILE, "
    "or age.key in the configuration directory].",
)
def init(directory: Path, key_file: Path | None) -> None:
    r"""Scaffold a repository of Connections and Strategies in DIRECTORY.

    Writes an age key outside the repository, the rules for whom SOPS encrypts, an example
    Connection and Strategy on the stand-in exchange, a Policy, a CI workflow and a pre-commit
    hook. Overwrites nothing.

    \b
    Examples:
      backfuturectl init trading
      backfuturectl init --age-key-file /media/usb/age.key trading
    """
    settings = load_settings(age_key_file=key_file)
    key = settings.age_key_file.absolute()
    _refuse_conflicts(directory, key)
    sops = asyncio.run(Sops.open(key_file=key, program=settings.sops))
    is_new_key = not key.exists()
    recipients = (make_key(key),) if is_new_key else recipients_of(key)
    if not recipients:
        raise ConfigurationError(f"{key} holds no age key", remedy="remove the file")
    try:
        _write(directory, {"RECIPIENT": ",".join(recipients)})
        _encrypt_example(sops, directory)
    except OSError as error:
        raise ConfigurationError(f"cannot write {error.filename}: {error.strerror}") from error
    _print_next_steps(directory, key, is_new_key=is_new_key)


def _refuse_conflicts(directory: Path, key: Path) -> None:
    present = [name for name in _FILES if os.path.lexists(directory / name)]
    if present:
        raise UsageError(
            f"{directory} has {', '.join(present)} already; nothing was written. Choose another "
            "directory, or move them away"
        )
    if key.resolve().is_relative_to(directory.resolve()):
        raise UsageError(
            f"the age key {key} would lie inside the repository; name a file outside {directory} "
            "with --age-key-file"
        )


def _write(directory: Path, values: dict[str, str]) -> None:
    templates = resources.files("backfuturectl.cli") / "templates"
    for name, template in _FILES.items():
        text = (templates / template).read_text()
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _encrypt_example(sops: Sops, directory: Path) -> None:
    """Put the stand-in exchange's own key into the example, so that it works from the start."""
    path = directory / _CONNECTION
    account = next(account for account in default_accounts() if account.exchange == "mexc")
    known = {"apiKey": Secret(account.keys[0].key), "secret": Secret(account.keys[0].secret)}
    encrypted = encrypt_credentials(
        sops, path.read_bytes(), known, path=path, rules=directory / _RULES
    )
    path.write_bytes(asyncio.run(encrypted))


def _print_next_steps(directory: Path, key: Path, *, is_new_key: bool) -> None:
    made = "made" if is_new_key else "kept"
    print(f"wrote {len(_FILES)} files to {directory}")
    print(f"{made} the age key {key}: keep a copy offline, never in Git\n")
    print("Next:")
    if directory.resolve() != Path.cwd():
        print(f"  cd {directory}")
    steps = (
        ("validate configs", "what CI runs; needs no key"),
        (f"ladder {_STRATEGY}", "the orders of the example"),
        ("emulator --port-base 8900", "the example's exchange; leave it running"),
        ("test", "the connection test against it"),
        ("run", "the daemon; look at it with `backfuturectl get bots`"),
        ("secret set NAME", "enter a key of your own, encrypted"),
    )
    width = max(len(command) for command, _ in steps)
    for command, why in steps:
        print(f"  backfuturectl {command:{width}}  # {why}")
