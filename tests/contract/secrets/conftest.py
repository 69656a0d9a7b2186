"""A real sops, real age keys, and a Connection encrypted with them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from backfuturectl.secrets.age import make_key
from backfuturectl.secrets.program import find_program
from backfuturectl.secrets.sops import Sops

CANARY_KEY = "mx0vCANARYKEY7391"
CANARY_SECRET = "canary-secret-5b1f0c9e7a"

CLEAR = f"""\
apiVersion: backfuture.ai/v1alpha1
kind: Connection
metadata:
  name: mexc-spot-main
  labels:
    desk: main
spec:
  exchange: mexc
  market: spot
  capital: 5000 USDT
  ipWhitelist:
    addresses:
      - 203.0.113.7
  credentials:
    apiKey: {CANARY_KEY}
    secret: {CANARY_SECRET}
"""


def encrypt(program: Path, rules: Path, text: str = CLEAR) -> bytes:
    """Return *text* as sops itself encrypts it by *rules*."""
    arguments = [
        *("--config", str(rules), "encrypt", "--input-type", "yaml", "--output-type", "yaml"),
        *("--filename-override", str(rules.parent / "connections" / "main.yaml")),
    ]
    return subprocess.run(
        [program, *arguments], input=text.encode(), check=True, capture_output=True
    ).stdout


def write_rules(folder: Path, *lines: str) -> Path:
    """Return a ``.sops.yaml`` in *folder* with one rule of these lines."""
    rules = folder / ".sops.yaml"
    body = "".join(f"    {line}\n" for line in lines)
    rules.write_text(f"creation_rules:\n  - path_regex: .*\n{body}")
    return rules


@pytest.fixture(scope="session")
def program() -> Path:
    return find_program()


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An age key file and its recipient."""
    path = tmp_path_factory.mktemp("age") / "age.key"
    return path, make_key(path)


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Another age key file and its recipient."""
    path = tmp_path_factory.mktemp("age") / "other.key"
    return path, make_key(path)


@pytest.fixture(scope="session")
def rules(key: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rules(
        tmp_path_factory.mktemp("rules"), "encrypted_regex: ^credentials$", f"age: {key[1]}"
    )


@pytest.fixture(scope="session")
def ciphertext(program: Path, rules: Path) -> bytes:
    return encrypt(program, rules)


@pytest.fixture
def sops(program: Path, key: tuple[Path, str]) -> Sops:
    return Sops(program, key_file=key[0])


Invoke = Callable[..., Result]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, key: tuple[Path, str]) -> Invoke:
    """Run a command as a user would, with the age key of these tests.

    In a thread of its own: a command starts an event loop, and the test's thread has one.
    """
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(key[0]))

    def run(command: click.Command, *arguments: object, stdin: str = "") -> Result:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(
                CliRunner().invoke, command, [str(one) for one in arguments], input=stdin
            ).result()

    return run
