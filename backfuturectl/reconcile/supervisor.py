"""One bot's task, and how it ended.

Expected failures become status and a restart after backoff; a bot that cannot be confirmed stopped
stays on the books. A broad ``except`` stands here: a defect in one bot must not stop the others,
and must not pass unseen either.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from typing import Final

from backfuturectl.engine.bot import Bot
from backfuturectl.model.errors import OperationError
from backfuturectl.model.status import Reason
from backfuturectl.planning.backoff import Failures, delay_s

_LOG = logging.getLogger(__name__)

STOP_PATIENCE_S: Final = 20.0
"""How long a bot may take to finish the call it is in; the exchange's own timeout is shorter."""


class Ended(enum.StrEnum):
    """How a bot's task stands."""

    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"


class Supervisor:
    """Runs one bot until it is told to stop.

    Attributes:
        bot: The bot; its state lives on between restarts of its task.
        trouble: The last failure that ended the task, None while all is well.
    """

    def __init__(self, bot: Bot, *, on_trouble: Callable[[OperationError], None]) -> None:
        self.bot = bot
        self.status = Ended.STOPPED
        self.trouble: tuple[Reason, str] | None = None
        self._on_trouble = on_trouble
        self._is_stopping = False
        self._retry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start the task in *group*."""
        assert self._task is None, "a supervisor runs one task in its life"
        self.status = Ended.RUNNING
        self._task = group.create_task(self._run(), name=f"bot {self.bot.name.bot}")

    async def stop(self) -> None:
        """Stop at the bot's next safe point; cancel it when that takes too long.

        When this returns the task has ended, and no call of it is in flight.
        """
        self._is_stopping = True
        self.bot.stop()
        if self._task is None:
            return
        if self.status is Ended.RESTARTING:
            self._task.cancel()  # it waits, and has no call in flight
        _, pending = await asyncio.wait([self._task], timeout=STOP_PATIENCE_S)
        if pending:
            _LOG.warning("%s did not stop in time; canceling", self.bot.name.bot)
            self._task.cancel()
            await asyncio.wait([self._task])
        self.status = Ended.STOPPED

    def retry_now(self) -> None:
        """End a wait between two runs: what the bot met is over."""
        self._retry.set()

    async def _run(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        while not self._is_stopping:
            started_s = loop.time()
            try:
                await self.bot.run()
            except OperationError as error:
                self.trouble = (error.reason, str(error))
                retry_after_s = error.retry_after_s
                _LOG.warning("%s: %s", self.bot.name.bot, error)
                self._on_trouble(error)
            except Exception:  # noqa: BLE001 - a defect of one bot is not the others' end
                self.trouble = (Reason.INTERNAL_ERROR, "a defect ended the bot; see the log")
                retry_after_s = None
                _LOG.exception("%s: defect", self.bot.name.bot)
            else:
                break
            failures = 1 if loop.time() - started_s > 600 else failures + 1  # noqa: PLR2004
            self.status = Ended.RESTARTING
            self.bot.reconcile_soon()
            wait_s = delay_s(
                Failures(self.bot.name.bot, failures), jitter=0.5, retry_after_s=retry_after_s
            )
            self._retry.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._retry.wait()
            except TimeoutError:
                pass
            self.status = Ended.RUNNING
            self.trouble = None
        self.status = Ended.STOPPED
