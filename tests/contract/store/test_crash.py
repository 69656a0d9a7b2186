"""A real process, a real file, and the worst moments: killed, disk full, no permission."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from backfuturectl.store.database import Store
from tests.contract.store.records import SEED, bot

ROOT = Path(__file__).parents[3]

COMMIT_FOREVER = """
    import asyncio, sys
    from backfuturectl.store.database import Store
    from tests.contract.store.records import SEED, bot, order

    async def commit_for_ever(store, worker):
        number = 0
        while True:
            name = f"{worker}x{number}"
            await store.commit([order(name), bot(name)])
            sys.stdout.write(name + "\\n")  # acknowledged: from here on it must survive
            sys.stdout.flush()
            number += 1

    async def main():
        async with Store.open(sys.argv[1], seed=SEED) as store:
            async with asyncio.TaskGroup() as group:
                for worker in range(4):
                    group.create_task(commit_for_ever(store, worker))

    asyncio.run(main())
"""

FILL_THE_DISK = """
    import asyncio, resource, sys
    from backfuturectl.model.errors import TransientError
    from backfuturectl.store.database import Store
    from tests.contract.store.records import SEED, bot

    async def main():
        async with Store.open(sys.argv[1], seed=SEED) as store:
            await store.commit([bot("before")])
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
            try:
                for number in range(1_000):
                    await store.commit([bot(f"during{number}", state="x" * 2_000)])
                    print(f"during{number}")
            except TransientError as error:
                print("refused", error.reason.value, error)
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            await store.commit([bot("after")])
            print("after")

    asyncio.run(main())
"""

OPEN_WITHOUT_PERMISSION = """
    import asyncio, os, sys
    from backfuturectl.model.errors import ConfigurationError
    from backfuturectl.store.database import Store

    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)

    async def main():
        async with Store.open(sys.argv[1], seed=b"seed seed"):
            pass

    try:
        asyncio.run(main())
    except ConfigurationError as error:
        print(error)
"""


def start(script: str, address: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), address],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def stored_bots(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        orders = {row[0] for row in connection.execute("SELECT client_order_id FROM orders")}
        bots = {row[0] for row in connection.execute("SELECT bot FROM bots")}
    finally:
        connection.close()
    assert orders <= bots, "a commit was torn in two"
    return bots


@pytest.mark.parametrize("lines", [1, 150, 700])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "state.db"
    process = start(COMMIT_FOREVER, f"sqlite:///{path}")
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().splitlines(keepends=True)
    process.wait(30)
    process.stdout.close()
    # The last line may have been cut by the kill.
    acknowledged.extend(line.strip() for line in rest if line.endswith("\n"))
    assert len(acknowledged) >= lines
    assert set(acknowledged) <= stored_bots(path)


async def test_a_killed_database_opens_again(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    process = start(COMMIT_FOREVER, f"sqlite:///{path}")
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    process.kill()
    process.wait(30)
    process.stdout.close()
    async with Store.open(f"sqlite:///{path}", seed=SEED) as store:
        await store.commit([bot("later")])
        assert {name, "later"} <= {found.bot for found in await store.bots()}


def test_a_disk_without_room_refuses_commits_and_recovers(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    process = start(FILL_THE_DISK, f"sqlite:///{path}")
    output, _ = process.communicate(timeout=60)
    lines = output.splitlines()
    refused = [line for line in lines if line.startswith("refused")]
    assert len(refused) == 1
    assert refused[0].startswith("refused StoreUnavailable the state database cannot be used: the")
    assert "disk" in refused[0]
    assert lines[-1] == "after"
    kept = {line for line in lines if line.startswith("during")} | {"before", "after"}
    assert stored_bots(path) == kept


def test_a_directory_without_permission_is_named(tmp_path: Path) -> None:
    # The temporary directory's parents are private to this user, so the path to refuse is outside.
    process = start(OPEN_WITHOUT_PERMISSION, "sqlite:////etc/backfuturectl-state.db")
    output, _ = process.communicate(timeout=60)
    assert output.startswith("cannot write the state database /etc/backfuturectl-state.db: ")
    assert not os.path.exists("/etc/backfuturectl-state.db")
