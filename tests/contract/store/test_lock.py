"""One writer: a lock per directory, a lease per database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from backfuturectl.model.errors import ConfigurationError
from backfuturectl.model.records import LeaseRecord
from backfuturectl.store.database import LEASE_TTL_MS, Store
from backfuturectl.store.lock import hold_directory
from tests.contract.store.records import SEED

HOLD = """
import pathlib, sys
from backfuturectl.store.lock import hold_directory
with hold_directory(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
OURS = LeaseRecord("host-a", 100, 1_000_000)
THEIRS = LeaseRecord("host-b", 200, 1_000_000)


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=30)


def test_a_second_daemon_is_told_who_holds_the_directory(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    try:
        with (
            pytest.raises(ConfigurationError, match="in use by another daemon") as caught,
            hold_directory(tmp_path),
        ):
            pass
        assert f"pid {other.pid} on {os.uname().nodename}" in str(caught.value)
    finally:
        end(other)


def test_the_lock_of_a_killed_daemon_is_free(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    end(other)
    with hold_directory(tmp_path):
        assert (tmp_path / "lock").read_text().startswith(f"pid {os.getpid()} on ")


def test_the_lock_can_be_taken_again_after_it_was_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        with hold_directory(tmp_path):
            pass


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="cannot lock the state directory"),
        hold_directory(tmp_path / "missing"),
    ):
        pass


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with Store.open("sqlite://", seed=SEED, inline=True) as opened:
        yield opened


async def test_a_daemon_alive_on_another_machine_is_named(store: Store) -> None:
    await store.take_lease(THEIRS)
    with pytest.raises(ConfigurationError, match="pid 200 on host-b"):
        await store.take_lease(OURS)


async def test_the_lease_of_a_silent_machine_is_taken_over_and_it_notices(store: Store) -> None:
    await store.take_lease(THEIRS)
    later = replace(OURS, heartbeat_ms=THEIRS.heartbeat_ms + LEASE_TTL_MS)
    await store.take_lease(later)
    with pytest.raises(ConfigurationError, match="took over"):
        await store.renew_lease(replace(THEIRS, heartbeat_ms=later.heartbeat_ms + 1))
    await store.renew_lease(later)


async def test_a_restart_on_the_same_machine_need_not_wait(store: Store) -> None:
    await store.take_lease(OURS)
    await store.take_lease(replace(OURS, pid=101))


async def test_a_renewed_lease_stays_alive(store: Store) -> None:
    await store.take_lease(THEIRS)
    await store.renew_lease(replace(THEIRS, heartbeat_ms=THEIRS.heartbeat_ms + LEASE_TTL_MS))
    with pytest.raises(ConfigurationError):
        await store.take_lease(replace(OURS, heartbeat_ms=THEIRS.heartbeat_ms + LEASE_TTL_MS + 1))


async def test_a_dropped_lease_is_free_and_only_its_owner_can_drop_it(store: Store) -> None:
    await store.take_lease(THEIRS)
    await store.drop_lease(OURS)
    with pytest.raises(ConfigurationError):
        await store.take_lease(OURS)
    await store.drop_lease(THEIRS)
    await store.take_lease(OURS)
