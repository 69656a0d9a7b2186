"""Notice that files may have changed, nothing more: every event only means "look soon".

Watchers lose events silently (overflow, replaced roots, symlink swaps, network file systems), so
the timer is the guarantee and the watcher is the hurry. The watch is renewed whenever the root
becomes another directory, and hourly.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import watchfiles

_LOG = logging.getLogger(__name__)

RENEW_S: Final = 3600.0
_RESTART_PAUSE_S: Final = 5.0
_MISSING_PAUSE_S: Final = 1.0
_STEP_MS: Final = 50
_IDENTITY_CHECK_MS: Final = 5_000


class TreeWatch:
    """Calls back when something below a root may have changed.

    Attributes:
        last_beat_s: Loop time of the watcher's last sign of life.
        mode: ``inotify``, or ``polling`` after the system's limits were reached.
    """

    def __init__(self, root: Path, on_hint: Callable[[], None]) -> None:
        self._root = root
        self._on_hint = on_hint
        self.last_beat_s = 0.0
        self.mode = "inotify"
        self._is_up = False

    async def run(self) -> None:
        """Watch until canceled; a watcher that dies is replaced."""
        loop = asyncio.get_running_loop()
        while True:
            self.last_beat_s = loop.time()
            if not self._root.is_dir():
                await asyncio.sleep(_MISSING_PAUSE_S)
                self._on_hint()
                continue
            try:
                await self._watch(loop.time() + RENEW_S)
            except (OSError, RuntimeError) as error:
                await self._recover(error)
            except ExceptionGroup as group:
                # What fails after the start comes wrapped, as a file name that is not UTF-8 does.
                _, others = group.split((OSError, RuntimeError))
                if others is not None:
                    raise
                await self._recover(group.exceptions[0])
            self._on_hint()

    async def _recover(self, error: Exception) -> None:
        """Wait before the next watch; one that could not even start had hit the system's limits."""
        if not self._is_up:
            self.mode = "polling"
        _LOG.warning("file watcher stopped: %s; %s from now on", error, self.mode)
        await asyncio.sleep(_RESTART_PAUSE_S)

    async def _watch(self, until_s: float) -> None:
        root = self._root.resolve()
        self._is_up = False
        with _same(root) as is_same:
            await self._follow(root, until_s, is_same)

    async def _follow(self, root: Path, until_s: float, is_same: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        async for changes in watchfiles.awatch(
            root,
            watch_filter=None,
            step=_STEP_MS,
            rust_timeout=_IDENTITY_CHECK_MS,
            yield_on_timeout=True,
            recursive=True,
            force_polling=self.mode == "polling",
        ):
            self.last_beat_s = loop.time()
            self._is_up = True
            if changes:
                self._on_hint()
            if self._root.resolve() != root or not is_same():
                _LOG.info("the configuration root was replaced; watching the new one")
                return
            if loop.time() > until_s:
                return


@contextmanager
def _same(root: Path) -> Iterator[Callable[[], bool]]:
    """Give a function that says whether *root* is still the directory that it was.

    The directory is kept open meanwhile: a file system gives the number of one that is gone to the
    next, so that a root deleted and made anew would look like the old one.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield lambda: _identity(root) == _identity(descriptor)
    finally:
        os.close(descriptor)


def _identity(where: Path | int) -> tuple[int, int] | None:
    try:
        found = os.stat(where)
    except OSError:
        return None
    return found.st_dev, found.st_ino
