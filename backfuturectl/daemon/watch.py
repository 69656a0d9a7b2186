"""Notice that files may have changed, nothing more: every event only means "look soon".

Watchers lose events silently (overflow, replaced roots, symlink swaps, network file systems), so
the timer is the guarantee and the watcher is the hurry. The watch is renewed whenever the root
becomes another directory, and hourly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
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
                # watchfiles reports exhausted limits and odd file names as RuntimeError's children.
                _LOG.warning("file watcher stopped (%s); polling instead", type(error).__name__)
                self.mode = "polling"
                await asyncio.sleep(_RESTART_PAUSE_S)
            self._on_hint()

    async def _watch(self, until_s: float) -> None:
        loop = asyncio.get_running_loop()
        root = self._root.resolve()
        identity = _identity(root)
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
            if changes:
                self._on_hint()
            if self._root.resolve() != root or _identity(root) != identity:
                _LOG.info("the configuration root was replaced; watching the new one")
                return
            if loop.time() > until_s:
                return


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
