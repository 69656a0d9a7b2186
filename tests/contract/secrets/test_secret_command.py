"""``backfuturectl secret``, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from backfuturectl.cli import waiting
from backfuturectl.cli.secret import secret
from backfuturectl.model.errors import OperationError, UsageError

from .conftest import CANARY_KEY, CANARY_SECRET, CLEAR, Invoke, write_rules
from .test_sops_decrypt import fake

KEY_VALUE = f"apiKey={CANARY_KEY}\nsecret = {CANARY_SECRET}\n"
OPEN = CLEAR.replace(CANARY_KEY, '""').replace(CANARY_SECRET, '""')


@pytest.fixture
def root(tmp_path: Path, key: tuple[Path, str]) -> Path:
    """A repository with one Connection that has no credentials yet."""
    write_rules(tmp_path, "encrypted_regex: ^credentials$", f"age: {key[1]}")
    root = tmp_path / "configs"
    (root / "connections").mkdir(parents=True)
    (root / "connections" / "main.yaml").write_text(OPEN)
    return root


@pytest.mark.parametrize(
    "stdin",
    [
        KEY_VALUE,
        json.dumps({"apiKey": CANARY_KEY, "secret": CANARY_SECRET}),
        f"apiKey: {CANARY_KEY}\nsecret: '{CANARY_SECRET}'\n",
    ],
    ids=["key=value", "json", "yaml"],
)
def test_credentials_from_standard_input_are_encrypted_and_never_shown(
    invoke: Invoke, root: Path, stdin: str
) -> None:
    result = invoke(secret, "set", "mexc-spot-main", "--root", root, stdin=stdin)
    assert result.exit_code == 0, result.output
    written = (root / "connections" / "main.yaml").read_text() + result.output
    assert CANARY_SECRET not in written
    assert CANARY_KEY not in written
    assert "mx0v…7391" in result.output
    assert "mexc-spot-main  ok" in invoke(secret, "check", root).output


def test_a_single_value_is_replaced_and_the_others_kept(invoke: Invoke, root: Path) -> None:
    invoke(secret, "set", "mexc-spot-main", "--root", root, stdin=KEY_VALUE)
    changed = invoke(secret, "set", "mexc-spot-main", "--root", root, stdin="secret=another-one\n")
    assert changed.exit_code == 0
    assert "mx0v…7391" in invoke(secret, "check", root).output


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ("", "standard input cannot be read"),
        ("{}", "no credentials"),
        ("apiKey=abcdef12", "needs secret too"),
        (KEY_VALUE + "password=1234567\n", "have no passphrase"),
        ('{"key": "x"}', "other keys"),
        ('{"apiKey": {"a": "x"}, "secret": "y"}', "other keys"),
        ("apiKey=mx0v****\nsecret=********\n", "`secret` is a mask"),
        (f"apiKey={CANARY_KEY}\nsecret=ENC[AES256_GCM,data:x]\n", "ciphertext already"),
        (f"apiKey={CANARY_KEY}\nsecret=\n", "`secret` is empty"),
        (f"{CANARY_SECRET}: [", "standard input cannot be read"),
    ],
)
def test_wrong_input_is_explained_without_being_quoted(
    invoke: Invoke, root: Path, stdin: str, message: str
) -> None:
    result = invoke(secret, "set", "mexc-spot-main", "--root", root, stdin=stdin)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert CANARY_SECRET not in str(result.exception)
    assert (root / "connections" / "main.yaml").read_text() == OPEN


def test_an_unknown_connection_is_named(invoke: Invoke, root: Path) -> None:
    result = invoke(secret, "set", "kucoin", "--root", root, stdin=KEY_VALUE)
    assert str(result.exception) == f"there is no Connection named `kucoin` below {root}"


def test_credentials_in_clear_text_lead_to_a_warning(invoke: Invoke, root: Path) -> None:
    (root / "connections" / "main.yaml").write_text(CLEAR)
    result = invoke(secret, "set", "mexc-spot-main", "--root", root, stdin=KEY_VALUE)
    assert "delete that key at the exchange" in result.stderr


def test_a_tampered_file_is_neither_rewritten_nor_hidden(invoke: Invoke, root: Path) -> None:
    path = root / "connections" / "main.yaml"
    invoke(secret, "set", "mexc-spot-main", "--root", root, stdin=KEY_VALUE)
    redirected = path.read_text().replace("exchange: mexc", "exchange: kucoin")
    path.write_text(redirected)
    for arguments in (("set", "mexc-spot-main", "--root", root), ("rotate", "--root", root)):
        result = invoke(secret, *arguments, stdin="secret=another-one\n")
        assert isinstance(result.exception, OperationError)
        assert path.read_text() == redirected
    checked = invoke(secret, "check", root)
    assert checked.exit_code == 1
    assert "MacMismatch" in checked.output


def test_check_prints_versioned_json(invoke: Invoke, root: Path) -> None:
    invoke(secret, "set", "mexc-spot-main", "--root", root, stdin=KEY_VALUE)
    listing = json.loads(invoke(secret, "check", root, "-o", "json").stdout)
    assert listing["apiVersion"] == "backfuture.ai/v1alpha1"
    assert [item["ok"] for item in listing["items"]] == [True]


def test_one_key_in_two_connections_is_a_failure(invoke: Invoke, root: Path) -> None:
    other = root / "connections" / "other.yaml"
    other.write_text(OPEN.replace("mexc-spot-main", "mexc-spot-other"))
    for name in ("mexc-spot-main", "mexc-spot-other"):
        invoke(secret, "set", name, "--root", root, stdin=KEY_VALUE)
    checked = invoke(secret, "check", root)
    assert checked.exit_code == 1
    assert checked.output.count("SharedKey") == 2


def test_rotate_follows_the_recipients_of_the_rules(
    invoke: Invoke, root: Path, key: tuple[Path, str], stranger: tuple[Path, str]
) -> None:
    invoke(secret, "set", "mexc-spot-main", "--root", root, stdin=KEY_VALUE)
    write_rules(root.parent, "encrypted_regex: ^credentials$", f"age: {key[1]},{stranger[1]}")
    assert invoke(secret, "check", root, "--key-file", stranger[0]).exit_code == 1
    assert invoke(secret, "rotate", "--root", root).exit_code == 0
    assert invoke(secret, "check", root, "--key-file", stranger[0]).exit_code == 0


def test_the_example_repository_decrypts_with_its_published_key(invoke: Invoke) -> None:
    here = Path(__file__)
    configs = here.parents[3] / "configs"
    result = invoke(secret, "check", configs, "--key-file", here.with_name("example-age.key"))
    assert result.exit_code == 0, result.output
    assert result.output.count(" ok ") == len(list((configs / "connections").iterdir()))


def test_at_a_terminal_the_values_are_asked_for_without_an_echo(
    root: Path, key: tuple[Path, str]
) -> None:
    """A pseudo-terminal of its own; an answer is typed once its question is there."""
    spawn = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    command = [sys.executable, "-m", "backfuturectl", "secret", "set", "mexc-spot-main"]
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-c", spawn, *command, "--root", str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "SOPS_AGE_KEY_FILE": str(key[0])},
    ) as process:
        assert process.stdin
        assert process.stdout
        for question, answer in ((b"API key: ", CANARY_KEY), (b"API secret: ", CANARY_SECRET)):
            while not shown.endswith(question):
                byte = process.stdout.read(1)
                assert byte, shown
                shown += byte
            process.stdin.write(f"{answer}\n".encode())
            process.stdin.flush()
        shown += process.stdout.read()
    assert process.returncode == 0, shown
    assert CANARY_KEY.encode() not in shown
    assert CANARY_SECRET.encode() not in shown
    assert "mx0v…7391".encode() in shown


def test_a_sops_that_takes_its_time_is_named_and_so_is_how_long_it_has(
    invoke: Invoke, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke(secret, "set", "mexc-spot-main", "--root", root, stdin=KEY_VALUE)
    told, echo = tmp_path / "told", click.echo

    def telling(text: str, *, err: bool) -> None:
        echo(text, err=err)
        told.touch()

    program = fake(
        tmp_path,
        f'test "$1" = --version && echo sops 3.11.0 && exit\n'
        f"while ! test -e {told}; do sleep 0.05; done; exit 1",
    )
    monkeypatch.setenv("BACKFUTURECTL_SOPS", str(program))
    monkeypatch.setattr(waiting.click, "echo", telling)
    result = invoke(secret, "check", root)
    assert f"waiting for {program}, which has 20 s for each of 1 files" in result.output
    assert result.exit_code == 1, "what it could not do is told as ever"
