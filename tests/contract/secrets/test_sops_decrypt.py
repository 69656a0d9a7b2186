"""What decryption gives, refuses and never does."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from backfuturectl.model.errors import PermanentError, TransientError
from backfuturectl.model.secret import Secret
from backfuturectl.secrets.sops import Sops

from .conftest import CANARY_KEY, CANARY_SECRET, CLEAR, encrypt, write_rules

FAKE_FILE = b"a: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\nsops:\n  mac: x\n# %d\n"


def fake(folder: Path, body: str) -> Path:
    """Return a program that stands in for sops."""
    path = folder / "fake-sops"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_only_the_encrypted_leaves_come_back(sops: Sops, ciphertext: bytes) -> None:
    assert await sops.decrypt(ciphertext) == {
        ("spec", "credentials", "apiKey"): Secret(CANARY_KEY),
        ("spec", "credentials", "secret"): Secret(CANARY_SECRET),
    }


async def test_the_result_does_not_print_its_values(sops: Sops, ciphertext: bytes) -> None:
    shown = repr(await sops.decrypt(ciphertext)) + repr(sops) + str(vars(sops))
    assert CANARY_KEY not in shown
    assert CANARY_SECRET not in shown


async def test_a_broken_sops_yaml_in_the_current_directory_does_no_harm(
    sops: Sops, ciphertext: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".sops.yaml").write_text("creation_rules: [")
    monkeypatch.chdir(tmp_path)
    assert await sops.decrypt(ciphertext)


async def test_the_same_bytes_are_decrypted_once(tmp_path: Path, key: tuple[Path, str]) -> None:
    program = fake(
        tmp_path, f'echo run >>{tmp_path}/log; cat >/dev/null; echo \'{{"a": "12345678"}}\''
    )
    sops = Sops(program, key_file=key[0])
    for number in (1, 1, 2, 1):
        await sops.decrypt(FAKE_FILE % number)
    assert (tmp_path / "log").read_text().count("run") == 2


async def test_a_failure_is_not_remembered(
    program: Path, key: tuple[Path, str], ciphertext: bytes, tmp_path: Path
) -> None:
    late = tmp_path / "age.key"
    sops = Sops(program, key_file=late)
    with pytest.raises(TransientError):
        await sops.decrypt(ciphertext)
    late.write_text(key[0].read_text())
    assert await sops.decrypt(ciphertext)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CLEAR.replace(CANARY_SECRET, "'**********'"), "Masked"),
        (CLEAR.replace(CANARY_SECRET, "<your-secret>"), "Masked"),
        (CLEAR.replace(CANARY_SECRET, "REDACTED"), "Masked"),
        (CLEAR.replace(CANARY_SECRET, "12345678"), "NotText"),
        (CLEAR.replace(CANARY_SECRET, "ENC[AES256_GCM,data:x]"), "StillEncrypted"),
        (CLEAR.replace(CANARY_SECRET, '"abcdefgh\\n"'), "Unprintable"),
    ],
)
async def test_what_cannot_be_a_credential_is_refused_by_name(
    sops: Sops, rules: Path, text: str, expected: str
) -> None:
    with pytest.raises(PermanentError) as caught:
        await sops.decrypt(encrypt(sops.program, rules, text))
    assert caught.value.raw_code == expected


async def test_a_mac_over_the_ciphertext_alone_is_refused(
    sops: Sops, key: tuple[Path, str], tmp_path: Path
) -> None:
    rules = write_rules(
        tmp_path, "encrypted_regex: ^credentials$", "mac_only_encrypted: true", f"age: {key[1]}"
    )
    redirected = encrypt(sops.program, rules).replace(b"exchange: mexc", b"exchange: kucoin")
    with pytest.raises(PermanentError) as caught:
        await sops.decrypt(redirected)
    assert caught.value.raw_code == "MacPartial"


async def test_a_second_document_is_refused_instead_of_being_dropped(
    sops: Sops, rules: Path
) -> None:
    both = encrypt(sops.program, rules, f"{CLEAR}---\n{CLEAR}")
    with pytest.raises(PermanentError) as caught:
        await sops.decrypt(both)
    assert caught.value.raw_code == "MultipleDocuments"


async def test_a_large_file_is_refused_unread(sops: Sops) -> None:
    with pytest.raises(PermanentError) as caught:
        await sops.decrypt(b"a" * (1024 * 1024 + 1))
    assert caught.value.raw_code == "TooLarge"


@pytest.mark.parametrize("content", [b"[" * 500_000, b"- " * 200_000, b"\xff\xfe", b"a: \x00"])
async def test_hostile_content_is_malformed_and_nothing_worse(sops: Sops, content: bytes) -> None:
    with pytest.raises(PermanentError) as caught:
        await sops.decrypt(content)
    assert caught.value.raw_code == "Malformed"


async def test_a_stuck_sops_is_killed_with_its_children(
    tmp_path: Path, key: tuple[Path, str]
) -> None:
    program = fake(tmp_path, f"sleep 600 & echo $$ $! >{tmp_path}/pids; wait")
    with pytest.raises(TransientError) as caught:
        await Sops(program, key_file=key[0], timeout_s=1).decrypt(FAKE_FILE % 0)
    assert caught.value.raw_code == "TimedOut"
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert not [pid for pid in pids if is_running(pid)]


async def test_a_child_that_outlives_sops_is_killed_too(
    tmp_path: Path, key: tuple[Path, str]
) -> None:
    program = fake(tmp_path, f"sleep 600 & echo $! >{tmp_path}/pid; cat >/dev/null")
    with pytest.raises(TransientError) as caught:
        await Sops(program, key_file=key[0], timeout_s=1).decrypt(FAKE_FILE % 0)
    assert caught.value.raw_code == "TimedOut"
    assert not is_running(int((tmp_path / "pid").read_text()))


async def test_a_cancelled_decryption_leaves_no_process(
    tmp_path: Path, key: tuple[Path, str]
) -> None:
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    program = fake(tmp_path, f"echo $$ >{pipe}; exec sleep 600")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Sops(program, key_file=key[0]).decrypt(FAKE_FILE % 0))
        pid = int(await asyncio.to_thread(pipe.read_text))
        task.cancel()
    assert task.cancelled()
    assert not is_running(pid)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("cat /dev/zero", "TooLarge"),
        ("cat /dev/zero >&2", "TooLarge"),
        ("kill -9 $$", "Killed"),
        ("cat >/dev/null; echo '{'", "OutputInvalid"),
        ("cat >/dev/null; echo '{\"b\": 1}'", "OutputInvalid"),
        ("exit 77", "Unclassified"),
    ],
)
async def test_a_misbehaving_program_has_a_name(
    tmp_path: Path, key: tuple[Path, str], body: str, expected: str
) -> None:
    with pytest.raises((PermanentError, TransientError)) as caught:
        await Sops(fake(tmp_path, body), key_file=key[0]).decrypt(FAKE_FILE % 0)
    assert caught.value.raw_code == expected


async def test_a_program_that_vanished_is_transient(tmp_path: Path, key: tuple[Path, str]) -> None:
    with pytest.raises(TransientError) as caught:
        await Sops(tmp_path / "none", key_file=key[0]).decrypt(FAKE_FILE % 0)
    assert caught.value.raw_code == "CouldNotStart"


async def test_no_more_programs_run_at_once_than_there_are_cores(
    tmp_path: Path, key: tuple[Path, str]
) -> None:
    running = tmp_path / "running"
    running.mkdir()
    program = fake(
        tmp_path,
        f"mkdir {running}/$$; ls {running} | wc -l >>{tmp_path}/log; sleep 0.05\n"
        f'cat >/dev/null; rmdir {running}/$$; echo \'{{"a": "12345678"}}\'',
    )
    sops = Sops(program, key_file=key[0])
    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(sops.decrypt(FAKE_FILE % number))
    counts = [int(line) for line in (tmp_path / "log").read_text().split()]
    assert len(counts) == 12
    assert max(counts) <= (os.cpu_count() or 1)


async def test_neither_secrets_nor_our_environment_reach_the_command(
    tmp_path: Path, key: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAK", "canary")
    program = fake(
        tmp_path,
        f'echo "$@" >{tmp_path}/argv; env >{tmp_path}/env\n'
        'cat >/dev/null; echo \'{"a": "12345678"}\'',
    )
    await Sops(program, key_file=key[0]).decrypt(FAKE_FILE % 0)
    names = {line.split("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {
        "PATH",
        "SOPS_AGE_KEY_FILE",
        "SOPS_DISABLE_VERSION_CHECK",
    }
    argv = "--config /dev/null decrypt --input-type yaml --output-type json\n"
    assert (tmp_path / "argv").read_text() == argv
