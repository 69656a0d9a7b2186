"""An event loop in which one seed is one history: time is virtual, and threads do not exist."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Clockwork(asyncio.SelectorEventLoop):
    """Skips to the next event at once, and runs what is meant for threads then and there."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Skips(self))

    def time(self) -> float:
        """Return the virtual seconds since the beginning."""
        return self._now_s

    def skip(self, by_s: float) -> None:
        self._now_s += by_s

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


class _Skips(selectors.SelectSelector):
    """Waits for nobody: whatever happens is in the loop already, so time passes by itself."""

    def __init__(self, loop: Clockwork) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits, and nothing will ever happen"
        if timeout > 0:
            self._loop.skip(timeout)
        return []


def now(reading: Coroutine[object, object, T]) -> T:
    """Return what a reading of an inline store returns, which never waits."""
    try:
        reading.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    raise AssertionError("an inline store does not wait")
