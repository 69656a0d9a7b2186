"""What the parts of one bot share; one task runs them all, so nothing needs a lock."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from backfuturectl.engine.clock import Clock
from backfuturectl.engine.entries import BotName
from backfuturectl.engine.holds import Holds
from backfuturectl.engine.journal import Journal
from backfuturectl.engine.pace import Pace
from backfuturectl.exchanges.port import AccountPort
from backfuturectl.model.errors import OperationError
from backfuturectl.model.market import ZERO, Market
from backfuturectl.model.orders import Fill, OrderStatus
from backfuturectl.strategy.base import OrderChanged

_T = TypeVar("_T")


class GaveWayError(Exception):
    """A question to the exchange was dropped for something that must not wait for its answer."""


@dataclass(slots=True, eq=False)
class Context:
    """One bot's surroundings, and what waits for its next step.

    Attributes:
        market: Its rules; an edit may replace them.
        results: What became of the bot's own calls and orders, not yet taken by a step.
        is_position_doubted: Whether the exchange refused an exit, as it does without a position, or
            shows one where the next deal would begin.
        stopping: Set when the bot is to end at its next safe point.
    """

    name: BotName
    installation: str
    market: Market
    account: AccountPort
    journal: Journal
    clock: Clock
    holds: Holds
    pace: Pace
    on_trouble: Callable[[OperationError], None]
    results: deque[tuple[OrderChanged, tuple[Fill, ...]]] = field(default_factory=deque)
    is_position_doubted: bool = False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _asking: asyncio.Timeout | None = None
    _pausing: asyncio.Timeout | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether the bot is to end at its next safe point."""
        return self.stopping.is_set()

    async def ask(self, question: Awaitable[_T]) -> _T:
        """Return the answer to *question*, which changes nothing at the exchange or here.

        Raises:
            GaveWayError: `give_way` was called; the question may be asked again at any time.
            OperationError: As the port says.
        """
        asking = self._asking = asyncio.timeout(None)
        try:
            async with asking:
                return await question
        except TimeoutError as error:
            if not asking.expired():
                raise
            raise GaveWayError from error
        finally:
            self._asking = None

    @property
    def is_asking(self) -> bool:
        """Whether the bot waits for an answer, so that its state is nobody's."""
        return self._asking is not None

    def give_way(self) -> None:
        """Drop the question that the bot waits for, if it does: something is more urgent."""
        if self._asking is not None and not self._asking.expired():
            self._asking.reschedule(asyncio.get_running_loop().time())

    async def pause(self, wait_s: float) -> None:
        """Wait, unless the bot is told to stop or to `hurry`."""
        try:
            async with asyncio.timeout(wait_s) as self._pausing:
                await self.stopping.wait()
        except TimeoutError:
            pass
        finally:
            self._pausing = None

    def hurry(self) -> None:
        """End a `pause`, if there is one: what it waits out is over."""
        if self._pausing is not None and not self._pausing.expired():
            self._pausing.reschedule(asyncio.get_running_loop().time())

    def report(
        self, client_order_id: str, status: OrderStatus, error: OperationError | None = None
    ) -> None:
        """Let the next step take that an order is *status* now; amounts come with a look-up."""
        now_ms = self.clock.now_ms()
        wait_s = error.retry_after_s if error is not None else None
        change = OrderChanged(
            client_order_id=client_order_id,
            status=status,
            filled_base=ZERO,
            cost_quote=ZERO,
            fees=(),
            at_ms=now_ms,
            raw_code=error.raw_code if error is not None else None,
            not_before_ms=0 if wait_s is None else now_ms + math.ceil(wait_s * 1000),
        )
        self.results.append((change, ()))
        if status is OrderStatus.UNKNOWN:
            self.pace.soon()
        elif status is OrderStatus.ABSENT:
            self.pace.watch_absent()
