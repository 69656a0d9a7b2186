"""An event loop in which one seed is one history: time is virtual, and threads do not exist."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import looptime


class Clockwork(looptime.LoopTimeEventLoop, asyncio.SelectorEventLoop):
    """Skips to the next event at once, and runs what is meant for threads then and there."""

    def __init__(self) -> None:
        super().__init__(noop_cycles=0)

    def run_in_executor(
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call *func* now: a thread would end at a moment that no seed decides."""
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits the call gets it
            done.set_exception(error)
        return done
