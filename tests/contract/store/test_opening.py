"""Opening a database that is new, old, newer, damaged, or out of reach."""

from __future__ import annotations

import sqlite3
import stat
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine
from sqlalchemy.exc import OperationalError

from backfuturectl.model.errors import ConfigurationError
from backfuturectl.model.orders import OrderStatus
from backfuturectl.store import engines
from backfuturectl.store.database import Store
from backfuturectl.store.migrations import MIGRATIONS, Migration, migrate
from backfuturectl.store.schema import METADATA
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


def url(path: Path) -> str:
    return f"sqlite:///{path / 'state.db'}"


def version(path: Path) -> int:
    with sqlite3.connect(path / "state.db") as connection:
        found = connection.execute("SELECT version FROM schema_version").fetchone()[0]
    connection.close()
    return int(found)


async def use(path: Path) -> None:
    async with Store.open(url(path), seed=SEED) as store:
        await store.commit([bot()])


def test_the_migrations_end_in_the_schema_that_the_code_speaks() -> None:
    engine = create_engine("sqlite://")
    migrate(engine)
    found = MetaData()
    found.reflect(engine)
    engine.dispose()
    assert found.tables.keys() == METADATA.tables.keys()
    for name, table in METADATA.tables.items():
        assert [
            (column.name, str(column.type), bool(column.nullable), column.primary_key)
            for column in found.tables[name].columns
        ] == [
            (column.name, str(column.type), bool(column.nullable), column.primary_key)
            for column in table.columns
        ]
        assert {index.name for index in found.tables[name].indexes} == {
            index.name for index in table.indexes
        }


def test_the_versions_of_the_migrations_count_from_one() -> None:
    assert [step.version for step in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


async def test_a_database_of_version_1_is_opened_with_all_it_remembers(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.executescript((Path(__file__).parent / "version_1.sql").read_text("utf-8"))
    connection.close()
    async with Store.open(url(tmp_path), seed=b"another seed") as store:
        assert store.installation == "4eu4"
        assert await store.bots() == (bot(),)
        assert await store.deals() == (
            deal(
                1,
                closed_at_ms=900,
                result_quote=Decimal("-1.50"),
                exit_leg="stopLoss",
                connection="mexc-spot-main",
            ),
            deal(2, connection="mexc-spot-main"),
        )
        small = Decimal("0.00000002")
        assert await store.orders() == (
            order("bf1", status=OrderStatus.FILLED, filled_base=small),
            order("bf2", deal=f"{BOT}#2"),
        )
        assert await store.fills(BOT) == (fill(), fill("f2", fee=None))
        assert [stored.event for stored in await store.events()] == [event()]
        assert await store.resources() == (resource(),)
        assert await store.holds() == (hold(),)
        # What came with version 2 can be written beside it.
        stop = order("bf3", trigger_price=Decimal("90.5"), field="spec.stopLoss.percent")
        await store.commit([stop, funding(), replace(event(), deal=DEAL)])
        assert stop in await store.orders()
        assert await store.funding(BOT) == (funding(),)
    assert version(tmp_path) == MIGRATIONS[-1].version


async def test_an_older_database_is_migrated_and_keeps_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use(tmp_path)
    later = Migration(len(MIGRATIONS) + 1, ("ALTER TABLE bots ADD COLUMN colour TEXT",))
    monkeypatch.setattr(engines, "migrate", lambda engine: migrate(engine, (*MIGRATIONS, later)))
    async with Store.open(url(tmp_path), seed=SEED):
        pass
    assert version(tmp_path) == later.version
    with sqlite3.connect(tmp_path / "state.db") as connection:
        assert connection.execute("SELECT bot, colour FROM bots").fetchall() == [(bot().bot, None)]
    connection.close()


async def test_a_migration_that_fails_half_way_leaves_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use(tmp_path)
    number = len(MIGRATIONS) + 1
    steps = (
        *MIGRATIONS,
        Migration(number, ("CREATE TABLE one (a TEXT)",)),
        Migration(number + 1, ("CREATE TABLE two (a TEXT)", "INSERT INTO nowhere VALUES (1)")),
    )
    monkeypatch.setattr(engines, "migrate", lambda engine: migrate(engine, steps))
    with pytest.raises(ConfigurationError, match="cannot use the state database"):
        await use(tmp_path)
    assert version(tmp_path) == number
    with sqlite3.connect(tmp_path / "state.db") as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert "one" in tables
    assert "two" not in tables


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    await use(tmp_path)
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("UPDATE schema_version SET version = 999")
    connection.close()
    with pytest.raises(ConfigurationError, match="has schema 999, this program knows") as caught:
        await use(tmp_path)
    assert "newer version" in caught.value.remedy


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"kind: Strategy\n" * 200)
    with pytest.raises(ConfigurationError, match="not a state database"):
        await use(tmp_path)


async def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    async with Store.open(url(tmp_path), seed=SEED) as store:
        await store.commit([bot(f"bot{number}", state="x" * 2_000) for number in range(200)])
    content = bytearray((tmp_path / "state.db").read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8192] = b"\xff" * 8192
    (tmp_path / "state.db").write_bytes(content)
    with pytest.raises(ConfigurationError, match="damaged") as caught:
        await use(tmp_path)
    assert "never delete it" in caught.value.remedy


async def test_a_check_that_takes_too_long_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Store.open(url(tmp_path), seed=SEED) as store:
        await store.commit([bot(f"bot{number}") for number in range(2_000)])
    monkeypatch.setattr(engines, "_CHECK_LIMIT_S", -1.0)
    monkeypatch.setattr(engines, "_CHECK_EVERY_STEPS", 1)
    with caplog.at_level("INFO"):
        async with Store.open(url(tmp_path), seed=SEED) as store:
            assert len(await store.bots()) == 2_000
    assert "cut short" in caplog.text


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        await use(tmp_path / "missing")


async def test_a_file_system_that_takes_no_files_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cannot write the state database /proc/"):
        await use(Path("/proc"))


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("state.db", "not a URL"),
        ("postgresql://host/x", "postgresql is not supported"),
        ("sqlite://", "would forget every open deal"),
    ],
    ids=["a path", "another database", "in memory"],
)
async def test_an_address_that_cannot_work_is_refused(address: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        async with Store.open(address, seed=SEED):
            pass


def modes(path: Path) -> dict[str, int]:
    return {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.iterdir()}


async def test_only_the_owner_may_read_the_database(tmp_path: Path) -> None:
    async with Store.open(url(tmp_path), seed=SEED) as store:
        await store.commit([bot()])
        found = modes(tmp_path)
    assert found == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
    assert modes(tmp_path) == {"state.db": 0o600}


async def test_a_commit_is_synced_to_disk_and_readers_cannot_write(tmp_path: Path) -> None:
    async with Store.open(url(tmp_path), seed=SEED) as store:
        with store._engines.writer.connect() as connection:
            found = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous")
            ]
        assert found == ["wal", 2]
        with (
            store._engines.reader.connect() as connection,
            pytest.raises(OperationalError, match="readonly"),
        ):
            connection.exec_driver_sql("DELETE FROM orders")
