"""One writer: a lock on the state directory for as long as the process lives.

The lock is advisory and goes with the process, however it dies. The lease row in the store covers
what it cannot: a directory or a database that two machines share.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from backfuturectl.model.errors import ConfigurationError
from backfuturectl.model.records import LeaseRecord
from backfuturectl.store.rows import lease_values, to_lease
from backfuturectl.store.schema import LEASE

_FILE: Final = "lock"


@contextmanager
def hold_directory(directory: Path) -> Iterator[None]:
    """Hold the state directory's lock while the block runs.

    Raises:
        ConfigurationError: Another process holds it (named with pid and host), or the directory
            cannot be written.
    """
    path = directory / _FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"cannot lock the state directory {directory}: {error.strerror}",
            remedy="create the directory and give it to the user that runs the daemon",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"the state directory {directory} is in use by another daemon"
                f" ({_holder(descriptor)})",
                remedy="stop the other daemon, or give this one its own --state-dir",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
        yield
    finally:
        # The file stays: removing it would let a third process lock a new file of the same name
        # while a second still waits on the old one.
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
    return text if text.isprintable() and text else "pid unknown"


def take(connection: Connection, lease: LeaseRecord, ttl_ms: int) -> None:
    """Write *lease*, unless a daemon on another machine is alive.

    One on the same machine is dead: the caller holds the directory's lock, which it would hold.
    """
    row = connection.execute(LEASE.select()).mappings().one_or_none()
    if row is not None:
        other = to_lease(row)
        is_alive = other.heartbeat_ms > lease.heartbeat_ms - ttl_ms
        if other.host != lease.host and is_alive:
            raise ConfigurationError(
                f"another daemon uses the state database (pid {other.pid} on {other.host})",
                remedy=f"stop it; if that machine is gone, try again in {ttl_ms // 1000} s",
            )
        connection.execute(LEASE.delete())
    connection.execute(LEASE.insert().values(lease_values(lease)))


def renew(connection: Connection, lease: LeaseRecord) -> None:
    """Set the heartbeat, if the lease is still ours."""
    updated = connection.execute(
        LEASE.update()
        .where(LEASE.c.host == lease.host, LEASE.c.pid == lease.pid)
        .values(heartbeat_ms=lease.heartbeat_ms)
    )
    if updated.rowcount == 0:
        raise ConfigurationError(
            "another daemon took over the state database",
            remedy="run one daemon per state directory",
        )


def drop(connection: Connection, lease: LeaseRecord) -> None:
    """Delete the lease, if it is still ours."""
    connection.execute(LEASE.delete().where(LEASE.c.host == lease.host, LEASE.c.pid == lease.pid))
