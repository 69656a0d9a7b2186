"""Open the database file safely: permissions, journal mode, integrity, schema.

SQLite in WAL mode: one writer, readers that see the last commit and wait for nobody. With
``synchronous=FULL`` a commit is on disk when it returns. Source: SQLite documentation,
"Write-Ahead Logging" and "PRAGMA synchronous".
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import URL, Connection, Engine, Pool, StaticPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from backfuturectl.model.errors import ConfigurationError
from backfuturectl.model.ids import installation_code
from backfuturectl.store.failures import describe
from backfuturectl.store.migrations import migrate
from backfuturectl.store.schema import INSTALLATION

_CHECK_LIMIT_S: Final = 2.0
_CHECK_EVERY_STEPS: Final = 100_000
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Engines:
    """Two ways into one database.

    Attributes:
        writer: Takes the write lock when a transaction begins, so that none fails half-way.
        reader: Cannot write, but shares its connection with *writer* for a database in memory.
            It begins no transactions: each query is answered from the last commit.
    """

    writer: Engine
    reader: Engine
    installation: str

    def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file."""
        self.reader.dispose()
        self.writer.dispose()


def open_engines(url: str, seed: bytes, *, in_memory: bool) -> Engines:
    """Open the database, check it and bring it to the newest schema.

    Args:
        url: Where it is.
        seed: Names a new installation.
        in_memory: Whether a database in memory is welcome, which threads cannot share.

    Raises:
        ConfigurationError: The address is not one of SQLite, or the file cannot be read, cannot be
            written, is damaged, or was written by a newer version.
    """
    address = _parse(url)
    path = address.database if address.database not in {None, "", ":memory:"} else None
    if path is None and not in_memory:
        raise ConfigurationError(
            "a state database in memory would forget every open deal",
            remedy="use sqlite:////var/lib/backfuturectl/state.db",
        )
    if path is not None:
        _create_file(Path(path))
    writer = _writing(address, pool=None if path else StaticPool)
    reader = _reading(address, pool=None if path else writer.pool)
    with ExitStack() as on_failure:
        on_failure.callback(writer.dispose)
        on_failure.callback(reader.dispose)
        try:
            _check(writer)
            migrate(writer)
            installation = _installation(writer, seed)
        except DBAPIError as error:
            raise ConfigurationError(
                f"cannot use the state database {path or url}: {describe(error)}",
                remedy="see that disk and directory are writable; if the file is damaged, restore "
                "it from a backup, and never delete it while deals are open",
            ) from error
        on_failure.pop_all()
    return Engines(writer, reader, installation)


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "the address of the state database is not a URL",
            remedy="write it as sqlite:////var/lib/backfuturectl/state.db",
        ) from error
    if address.get_backend_name() != "sqlite":
        raise ConfigurationError(
            f"a state database of kind {address.get_backend_name()} is not supported",
            remedy="use sqlite:////var/lib/backfuturectl/state.db",
        )
    return address


def _create_file(path: Path) -> None:
    """Create the file for its owner alone, and make its name as durable as its rows will be."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the state database {path}: {error.strerror}",
            remedy="give the state directory to the user that runs the daemon, on a disk that is "
            "not mounted read-only",
        ) from error


class _DriverConnection(Protocol):
    def execute(self, statement: str) -> object: ...


# Without an isolation level the driver begins no transactions by itself, which it would do late.
_DRIVER: Final = {"timeout": 5.0, "check_same_thread": False, "isolation_level": None}

_BEGIN: Final = "BEGIN IMMEDIATE"


def _writing(address: URL, *, pool: type[Pool] | None) -> Engine:
    engine = create_engine(address, poolclass=pool, connect_args=_DRIVER)

    @event.listens_for(engine, "connect")
    def prepare(driver: _DriverConnection, _: object) -> None:
        driver.execute("PRAGMA journal_mode=WAL")
        driver.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        try:
            driver.execute(_BEGIN)  # as a statement of SQLAlchemy's it would take ten times as long
        except sqlite3.Error as error:
            raise OperationalError(_BEGIN, None, error) from error

    return engine


def _reading(address: URL, *, pool: Pool | None) -> Engine:
    """Return a way to read: through connections of its own, or those of *pool*."""
    if pool is not None:
        return create_engine(address, pool=pool)
    engine = create_engine(address, connect_args=_DRIVER)

    @event.listens_for(engine, "connect")
    def prepare(driver: _DriverConnection, _: object) -> None:
        driver.execute("PRAGMA query_only=ON")

    return engine


def _check(engine: Engine) -> None:
    """Look for damage, but not for longer than a start may take."""
    deadline_s = time.monotonic() + _CHECK_LIMIT_S
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_progress_handler(lambda: time.monotonic() > deadline_s, _CHECK_EVERY_STEPS)
        try:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        except DBAPIError as error:
            if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
                raise
            _log.info("the check of the state database was cut short after %s s", _CHECK_LIMIT_S)
            found = "ok"
        finally:
            driver.set_progress_handler(None, 0)
    if found != "ok":
        raise ConfigurationError(
            f"the state database is damaged: {found}",
            remedy="restore it from a backup; never delete it while deals are open",
        )


def _installation(engine: Engine, seed: bytes) -> str:
    """Return the installation's code; drawn once, since client order ids carry it for ever."""
    with engine.begin() as connection:
        code = connection.execute(INSTALLATION.select()).scalar_one_or_none()
        if code is None:
            code = installation_code(seed)
            connection.execute(INSTALLATION.insert().values(code=code))
        return str(code)
