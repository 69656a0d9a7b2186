"""The state store: durable writes in groups, reads that never wait for them.

(Interface; the body follows.)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from backfuturectl.model.records import (
    BotRecord,
    DealRecord,
    EventRecord,
    FillRecord,
    HoldRecord,
    LeaseRecord,
    OrderRecord,
    ResourceRecord,
    StoredEvent,
)


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete one row by its primary key; a row that is not there is no error.

    Attributes:
        record: Which kind of row.
        key: BotRecord: (bot,). ResourceRecord: (kind, name). HoldRecord: (target, verb).
    """

    record: type[BotRecord | ResourceRecord | HoldRecord]
    key: tuple[str, ...]


Write = (
    BotRecord
    | DealRecord
    | OrderRecord
    | FillRecord
    | EventRecord
    | ResourceRecord
    | HoldRecord
    | Remove
)


class Store:
    """The one door to the database."""

    installation: str

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, seed: bytes, inline: bool = False) -> AsyncIterator[Store]:
        """Open, check and migrate the database at *url* (``sqlite:////var/lib/x/state.db``)."""
        raise NotImplementedError
        yield

    async def commit(self, writes: Sequence[Write]) -> None:
        """Make *writes* durable, all or none; they are on disk when this returns."""
        raise NotImplementedError

    def post(self, writes: Sequence[Write]) -> None:
        """Queue *writes* without waiting; refused with a log line when the queue is full."""
        raise NotImplementedError

    async def bots(self) -> tuple[BotRecord, ...]:
        """Return every bot, by name."""
        raise NotImplementedError

    async def deals(
        self, bot: str | None = None, *, is_open: bool | None = None, limit: int | None = None
    ) -> tuple[DealRecord, ...]:
        """Return deals, oldest first; *limit* keeps the newest."""
        raise NotImplementedError

    async def orders(
        self,
        bot: str | None = None,
        deal: str | None = None,
        *,
        is_open: bool | None = None,
        limit: int | None = None,
    ) -> tuple[OrderRecord, ...]:
        """Return orders, oldest first; *limit* keeps the newest; open: not final."""
        raise NotImplementedError

    async def fills(
        self,
        bot: str,
        *,
        deal: str | None = None,
        client_order_ids: Collection[str] | None = None,
    ) -> tuple[FillRecord, ...]:
        """Return a bot's executions, oldest first."""
        raise NotImplementedError

    async def events(
        self, about: str | None = None, *, after_id: int | None = None, limit: int = 200
    ) -> tuple[StoredEvent, ...]:
        """Return events, oldest first: the newest *limit*, or the next *limit* after *after_id*."""
        raise NotImplementedError

    async def resources(self) -> tuple[ResourceRecord, ...]:
        """Return the last accepted document of every resource, by kind and name."""
        raise NotImplementedError

    async def holds(self) -> tuple[HoldRecord, ...]:
        """Return what the operator paused or halted."""
        raise NotImplementedError

    async def take_lease(self, lease: LeaseRecord, *, ttl_ms: int = 30_000) -> None:
        """Become the one writer, or raise ConfigurationError naming the other daemon."""
        raise NotImplementedError

    async def renew_lease(self, lease: LeaseRecord) -> None:
        """Say that this daemon is alive; raise ConfigurationError when another took over."""
        raise NotImplementedError

    async def drop_lease(self, lease: LeaseRecord) -> None:
        """Let go of the lease, so that another host may start at once."""
        raise NotImplementedError
