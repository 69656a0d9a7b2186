"""Say what a command waits for, once it has waited noticeably."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

NOTICEABLE_S: Final = 1.0


@contextmanager
def told_when_slow(what: str, *, after_s: float = NOTICEABLE_S) -> Iterator[None]:
    """Print *what* is waited for to standard error if the block still runs after *after_s*."""
    timer = threading.Timer(after_s, lambda: click.echo(f"waiting for {what} …", err=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
