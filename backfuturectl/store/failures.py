"""Translate the database's errors, by SQLite's own result code."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError

from backfuturectl.model.errors import TransientError
from backfuturectl.model.status import Reason

# Primary result codes; extended ones carry them in their low byte.
# Source: SQLite documentation, "Result and Error Codes".
_CAUSES: Final[dict[int, str]] = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_PERM: "permission is denied",
    sqlite3.SQLITE_AUTH: "permission is denied",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is not a state database",
    sqlite3.SQLITE_BUSY: "another process holds it",
    sqlite3.SQLITE_LOCKED: "another process holds it",
}


def describe(error: DBAPIError) -> str:
    """Return the cause in plain words, with SQLite's name for it; never a row's content."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    name = code_name(error)
    cause = "the database refuses" if code is None else _CAUSES.get(code & 0xFF)
    return f"{cause or 'the database refuses'} ({name})"


def code_name(error: DBAPIError) -> str:
    """Return SQLite's name of the failure, ``SQLITE_FULL``, or the driver's class."""
    return str(getattr(error.orig, "sqlite_errorname", type(error.orig).__name__))


def translate(error: DBAPIError) -> TransientError:
    """Return what the caller of a failed read or write gets."""
    return TransientError(
        Reason.STORE_UNAVAILABLE,
        f"the state database cannot be used: {describe(error)}",
        raw_code=code_name(error),
    )
