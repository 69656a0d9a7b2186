"""From one schema to the next: nothing lost, never half-way, and no way back."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from backfuturectl.model.errors import ConfigurationError
from backfuturectl.model.orders import Fee, OrderStatus
from backfuturectl.model.records import AuditOutcome, SettlementRecord
from backfuturectl.store import engines
from backfuturectl.store.database import Store
from backfuturectl.store.migrations import MIGRATIONS, migrate
from tests.contract.store.records import (
    BOT,
    DEAL,
    SEED,
    bot,
    deal,
    event,
    fill,
    funding,
    hold,
    order,
    resource,
)

ROOT = Path(__file__).parents[3]
D = Decimal

KILLED_AT_EVERY_STATEMENT = """
    import hashlib, json, os, shutil, signal, sqlite3, sys
    from sqlalchemy import event
    from backfuturectl.store import engines
    from backfuturectl.store.migrations import migrate

    before, path = sys.argv[1:]

    def open_and_die(after):
        def count(*_):
            nonlocal after
            after -= 1
            if not after:
                os.kill(os.getpid(), signal.SIGKILL)

        def dying(engine):
            event.listen(engine, "after_cursor_execute", count)
            event.listen(engine, "commit", count)
            migrate(engine)

        engines.migrate = dying
        engines.open_engines(f"sqlite:///{path}", b"a seed", in_memory=False).close()
        os._exit(0)

    number, is_killed = 0, True
    while is_killed:
        number += 1
        for name in (path, f"{path}-wal", f"{path}-shm"):
            if os.path.exists(name):
                os.remove(name)
        shutil.copy(before, path)
        child = os.fork()
        if not child:
            open_and_die(number)
        is_killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        connection = sqlite3.connect(path)
        dump = hashlib.sha256("".join(connection.iterdump()).encode()).hexdigest()
        print(json.dumps([is_killed, dump]))
        connection.close()
"""


def make(path: Path, version: int) -> None:
    """Make a store as a program of that *version* left it."""
    script = Path(__file__).parent / f"version_{version}.sql"
    connection = sqlite3.connect(path)
    connection.executescript(script.read_text("utf-8"))
    connection.close()


async def test_a_store_of_version_2_is_opened_with_all_it_remembers(tmp_path: Path) -> None:
    make(tmp_path / "state.db", 2)
    place = {"connection": "mexc-spot-main", "environment": "live", "market": "spot"}
    filled = order(
        "bf1",
        status=OrderStatus.FILLED,
        filled_base=D("0.00000002"),
        order_id="7",
        environment="live",
    )
    resting = order(
        "bf2",
        deal=f"{BOT}#2",
        status=OrderStatus.OPEN,
        order_id="8",
        environment="live",
        field="spec.takeProfit.percent",
        source="strategies/eth.yaml:9",
        intended_at_ms=2_000,
        updated_at_ms=2_000,
    )
    async with Store.open(f"sqlite:///{tmp_path / 'state.db'}", seed=b"another seed") as store:
        assert store.installation == "4eu4"
        assert await store.bots() == (bot(),)
        assert await store.deals() == (
            deal(1, closed_at_ms=900, result_quote=D("-1.50"), exit_leg="stopLoss", **place),
            deal(2, **place),
        )
        assert await store.deals(BOT, is_open=True) == (deal(2, **place),)
        assert await store.orders() == (filled, resting)
        assert await store.remembered_orders(BOT) == (resting,)
        assert await store.fills(BOT) == (fill(fee_price=D("2.5")), fill("f2", fee=None))
        assert await store.funding(BOT) == (funding(),)
        assert await store.settlements([DEAL]) == (
            SettlementRecord(
                deal=DEAL,
                bot=BOT,
                audit=AuditOutcome.CLEAN,
                told_quote=D("-1.50"),
                gross=D("-1.40"),
                fees=D("0.10"),
                funding=D(0),
                unvalued=(Fee("MX", D("0.1")),),
                dust_base=D(0),
                dust_cost=D(0),
                settled_at_ms=950,
            ),
        )
        assert [stored.event for stored in await store.events()] == [replace(event(), deal=DEAL)]
        assert await store.resources() == (resource(),)
        assert await store.holds() == (hold(),)
        # What came with version 3: which account an order is on, once known for good.
        for account_id in ("4711", "", "4712"):
            await store.commit([replace(resting, account_id=account_id)])
        assert await store.orders() == (filled, replace(resting, account_id="4711"))


@pytest.mark.parametrize("version", [1, 2])
def test_a_kill_during_a_migration_leaves_one_of_the_versions_whole(
    tmp_path: Path, version: int
) -> None:
    make(tmp_path / "before.db", version)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(KILLED_AT_EVERY_STATEMENT),
            tmp_path / "before.db",
            tmp_path / "state.db",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=True,
    )
    found = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    assert [is_killed for is_killed, _ in found] == [True] * (len(found) - 1) + [False]
    statements = sum(len(step.statements) for step in MIGRATIONS[version:])
    assert len(found) > statements
    # One state for each version that there is on the way, in their order, and nothing between.
    states = list(dict.fromkeys(dump for _, dump in found))
    assert len(states) == len(MIGRATIONS) - version + 1
    assert [dump for _, dump in found] == sorted((d for _, d in found), key=states.index)


async def test_a_program_of_the_version_before_refuses_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"sqlite:///{tmp_path / 'state.db'}"
    async with Store.open(address, seed=SEED) as store:
        await store.commit([bot()])
    before = MIGRATIONS[:-1]
    monkeypatch.setattr(engines, "migrate", lambda engine: migrate(engine, before))
    with pytest.raises(
        ConfigurationError,
        match=f"has schema {len(MIGRATIONS)}, this program knows {len(before)}",
    ) as caught:
        async with Store.open(address, seed=SEED):
            pass
    assert "restore the database from before the upgrade" in caught.value.remedy
    monkeypatch.undo()
    async with Store.open(address, seed=SEED) as store:
        assert await store.bots() == (bot(),)
