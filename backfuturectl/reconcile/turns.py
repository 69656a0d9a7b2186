"""Whose turn it is: the keys of the queue, by what they are about."""

from __future__ import annotations

from typing import Final

from backfuturectl.model.findings import Key
from backfuturectl.reconcile.queue import WorkQueue
from backfuturectl.reconcile.registry import Registry

FILES: Final = "files"


class Turns:
    """Gives turns; a key that was put off after failures begins anew when it changed."""

    def __init__(self, queue: WorkQueue, registry: Registry) -> None:
        self._queue = queue
        self._registry = registry

    def soon(self, key: str) -> None:
        """Give a turn to *key* of the queue, as soon as its failures allow."""
        self._queue.add(key)

    def anew(self, key: str) -> None:
        """Give a turn to *key* of the queue, whatever its last outcome was."""
        self._queue.succeed(key)
        self._queue.add(key)

    def of(self, key: Key) -> None:
        """Give a turn to the resource *key*, which changed, and to what depends on it."""
        kind, name = key
        if kind == "Connection":
            self.anew(f"connection/{name}")
            self.strategies_of(name)
        elif kind == "Strategy":
            self.anew(f"strategy/{name}")

    def strategies_of(self, connection: str) -> None:
        """Give a turn to the strategies that name *connection*."""
        for entry in self._registry.using(connection):
            self._queue.add(f"strategy/{entry.name}")

    def forget(self, key: str) -> None:
        """Forget *key* of the queue: what it is about is gone."""
        self._queue.forget(key)
