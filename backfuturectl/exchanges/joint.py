"""One read that answers everybody who asks at the same time.

Bots of one account ask for its balances at the same moments: at the start and after an outage.
While a request is under way, all who ask wait for the next one. So nobody is told what was before
he asked, and however many ask, two requests are enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from backfuturectl.model.errors import OperationError

T = TypeVar("T")


class Joint(Generic[T]):
    """A read of one account, shared by all who ask of it; use it from one event loop."""

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._under_way = asyncio.Lock()
        self._next: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        """Return an answer that was asked for after this call; raise what the read raises."""
        answer = self._next
        if answer is None:
            answer = self._next = asyncio.get_running_loop().create_future()
        async with self._under_way:
            if not answer.done():
                if self._next is answer:
                    self._next = None  # who asks from now on is told by a later request
                try:
                    answer.set_result(await self._read())
                except OperationError as error:
                    answer.set_exception(error)
        return await answer  # whoever is canceled while he reads leaves that to the next in line
