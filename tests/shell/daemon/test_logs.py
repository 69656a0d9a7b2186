"""The newest log lines, kept for viewers."""

from __future__ import annotations

import logging

from backfuturectl.daemon.logs import KEPT, RecentLines


def tell(kept: RecentLines, level: int, message: str, *arguments: object) -> None:
    kept.handle(logging.LogRecord("test", level, __file__, 1, message, arguments, None))


def messages(kept: RecentLines, **wanted: int) -> list[str]:
    return [line["message"] for line in kept.lines(**wanted)]


def test_the_newest_lines_are_kept_and_followed_by_id() -> None:
    kept = RecentLines()
    for number in range(5):
        tell(kept, logging.WARNING, "line %d", number)
    assert messages(kept, limit=2) == ["line 3", "line 4"]
    first = kept.lines(limit=5)[0]
    assert (first["id"], first["level"], first["logger"]) == (1, "warning", "test")
    assert messages(kept, after=2, limit=2) == ["line 2", "line 3"]
    assert messages(kept, after=5, limit=2) == []


def test_no_more_is_kept_than_was_promised() -> None:
    kept = RecentLines()
    for number in range(KEPT + 3):
        tell(kept, logging.INFO, "line %d", number)
    assert len(kept.lines(limit=KEPT * 2)) == KEPT
    assert messages(kept, limit=1) == [f"line {KEPT + 2}"]
