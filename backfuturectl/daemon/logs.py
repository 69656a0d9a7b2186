"""Log lines on standard error: text for people, JSON for collectors; the newest also in memory.

Secrets cannot get here by type (`model.secret`), and libraries that could print requests are kept
at WARNING.
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
from collections import deque
from datetime import UTC, datetime
from typing import Any, Final

KEPT: Final = 2_000

_LOUD_LIBRARIES: Final = ("aiohttp", "asyncio", "ccxt", "sqlalchemy", "urllib3", "watchfiles")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = f"{_time(record)} {record.levelname.lower():7} {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class RecentLines(logging.Handler):
    """Keeps the newest records, for viewers that cannot read the daemon's standard error."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._ids = itertools.count(1)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep *record* as it was told; a traceback stays in the log itself."""
        self._lines.append(
            {
                "id": next(self._ids),
                "at": int(record.created * 1000),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": record.getMessage(),
            }
        )

    def lines(self, *, after: int = 0, limit: int) -> list[dict[str, Any]]:
        """Return the newest *limit* lines, or the next *limit* after id *after*; oldest first."""
        kept = [line for line in tuple(self._lines) if line["id"] > after]
        return kept[:limit] if after else kept[-limit:]


RECENT: Final = RecentLines()
"""One per process, as the log is."""


def configure(level: str, log_format: str) -> None:
    """Send this program's log to standard error; ``auto`` means text on a terminal, else JSON."""
    is_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(_Text() if is_text else _Json())
    root = logging.getLogger()
    root.handlers[:] = [handler, RECENT]
    root.setLevel(level)
    for name in _LOUD_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
