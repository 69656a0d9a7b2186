"""The state store: durable writes in groups, reads that never wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

from sqlalchemy import Executable, RowMapping, select
from sqlalchemy.exc import DBAPIError

from backfuturectl.model.errors import TransientError
from backfuturectl.model.ids import client_order_ids
from backfuturectl.model.records import (
    BotRecord,
    DealBooks,
    DealRecord,
    FillRecord,
    FundingRecord,
    HoldRecord,
    LeaseRecord,
    OrderRecord,
    ResourceRecord,
    SettledDeal,
    SettlementRecord,
    StoredEvent,
)
from backfuturectl.store import lock, statements
from backfuturectl.store.engines import Engines, open_engines
from backfuturectl.store.failures import translate
from backfuturectl.store.rows import (
    to_bot,
    to_deal,
    to_deal_fill,
    to_event,
    to_fill,
    to_funding,
    to_hold,
    to_order,
    to_resource,
    to_settled,
    to_settlement,
    to_unpriced,
)
from backfuturectl.store.schema import BOTS, DEALS, HOLDS, ORDERS, RESOURCES
from backfuturectl.store.statements import Remove, Write
from backfuturectl.store.writer import InlineWriter, ThreadWriter, Writer

__all__ = ["LEASE_TTL_MS", "Remove", "Store", "Write"]

LEASE_TTL_MS: Final = 30_000
_T = TypeVar("_T")


class Store:
    """The one door to the database; `open` it, everything else needs it open.

    Attributes:
        installation: Four characters drawn once per database, part of every client order id.
        trouble: Why the last write failed, in words; empty while writes succeed.
    """

    def __init__(
        self, engines: Engines, writer: Writer, reader_thread: ThreadPoolExecutor | None
    ) -> None:
        self.installation = engines.installation
        self.trouble = ""
        self._commits = 0  # that somebody waits for
        self._engines = engines
        self._writer = writer
        self._reader_thread = reader_thread
        self._told: dict[int, Callable[[], None]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, seed: bytes, inline: bool = False) -> AsyncIterator[Store]:
        """Open, check and migrate the database at *url* (``sqlite:////var/lib/x/state.db``).

        Args:
            url: SQLAlchemy's form; SQLite is what there is so far. ``sqlite://`` is a database in
                memory and needs *inline*.
            seed: Random bytes from the edge; used once, to name a new installation.
            inline: Do everything in the calling thread, for simulations.

        Raises:
            ConfigurationError: The file is unreadable, read-only, damaged or of a newer version.
        """
        if inline:
            engines = open_engines(url, seed, in_memory=True)
            try:
                yield cls(engines, InlineWriter(engines.writer), None)
            finally:
                engines.close()
            return
        engines = await asyncio.to_thread(open_engines, url, seed, in_memory=False)
        writer = ThreadWriter(engines.writer, asyncio.get_running_loop())
        reader_thread = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        try:
            yield cls(engines, writer, reader_thread)
        finally:
            await writer.close()
            reader_thread.shutdown()
            await asyncio.to_thread(engines.close)

    @property
    def is_recording(self) -> bool:
        """Whether somebody waits for a commit."""
        return self._commits > 0

    async def commit(self, writes: Sequence[Write]) -> None:
        """Make *writes* durable, all or none; they are on disk when this returns.

        Commits that wait at the same time share one transaction, in the order of the calls. When
        the call is canceled, the writes may or may not have been made.

        An order's row never goes back: see `rows.merge_order`.

        Raises:
            TransientError: STORE_UNAVAILABLE; nothing of *writes* was recorded.
            InvalidTransitionError: An order row contradicts the stored one; nothing was recorded.
        """
        self._commits += 1
        try:
            await self._noted(self._writer.commit(writes))
        finally:
            self._commits -= 1

    async def _noted(self, write: Awaitable[None]) -> None:
        try:
            await write
        except TransientError as error:
            self.trouble = str(error)
            raise
        self.trouble = ""
        for tell in tuple(self._told.values()):
            tell()

    @contextmanager
    def told_of_writes(self, tell: Callable[[], None]) -> Iterator[None]:
        """While the block runs, call *tell* after each write that succeeds.

        Whoever waits out a failure need not wait longer than it lasts.
        """
        self._told[id(tell)] = tell
        try:
            yield
        finally:
            del self._told[id(tell)]

    def post(self, writes: Sequence[Write]) -> None:
        """Queue *writes* without waiting, for events: lost when the store fails, which is logged.

        They are durable once a later commit returns. When too many wait they are refused, with a
        log line.
        """
        if writes:  # most looks at a resource find it as it was, and a transaction has its price
            self._writer.post(writes)

    async def bots(self, bot: str | None = None) -> tuple[BotRecord, ...]:
        """Return every bot, by name; with *bot* that one alone, if there is such a one."""
        query = select(BOTS).order_by(BOTS.c.bot)
        return await self._read(query if bot is None else query.where(BOTS.c.bot == bot), to_bot)

    async def deals(
        self, bot: str | None = None, *, is_open: bool | None = None, limit: int | None = None
    ) -> tuple[DealRecord, ...]:
        """Return deals, oldest first; *limit* keeps the newest."""
        query = statements.deals(bot, is_open=is_open, limit=limit)
        return (await self._read(query, to_deal))[::-1]

    async def deal(self, deal: str) -> DealRecord | None:
        """Return the deal with that id, or None."""
        found = await self._read(select(DEALS).where(DEALS.c.deal == deal), to_deal)
        return found[0] if found else None

    async def order(self, client_order_id: str) -> OrderRecord | None:
        """Return the order with that id, or None."""
        query = select(ORDERS).where(ORDERS.c.client_order_id == client_order_id)
        found = await self._read(query, to_order)
        return found[0] if found else None

    async def orders(
        self,
        bot: str | None = None,
        deal: str | None = None,
        *,
        is_open: bool | None = None,
        limit: int | None = None,
    ) -> tuple[OrderRecord, ...]:
        """Return orders, oldest first; *limit* keeps the newest. Open means not final."""
        query = statements.orders(bot, deal, is_open=is_open, limit=limit)
        return (await self._read(query, to_order))[::-1]

    async def remembered_orders(self, bot: str) -> tuple[OrderRecord, ...]:
        """Return those of a bot's newest deal, and others that may still rest, oldest first."""
        first, beyond = client_order_ids(self.installation, bot)
        which = {"bot": bot, "first": first, "beyond": beyond}
        found = await self._read(statements.REMEMBERED, to_order, which)
        return tuple(sorted(found, key=lambda row: (row.intended_at_ms, row.client_order_id)))

    async def fills(
        self,
        bot: str,
        *,
        deal: str | None = None,
        client_order_ids: Collection[str] | None = None,
    ) -> tuple[FillRecord, ...]:
        """Return a bot's executions, oldest first."""
        query = statements.fills(bot, deal=deal, client_order_ids=client_order_ids)
        return await self._read(query, to_fill)

    async def newest_fill(self) -> int:
        """Return the row of the newest execution, which grows; 0 when there is none."""
        return (await self._read(statements.newest_fill(), lambda row: int(row["row"] or 0)))[0]

    async def unpriced(
        self, after: int, *, limit: int
    ) -> tuple[tuple[int, str, str, FillRecord], ...]:
        """Return executions after row *after* whose fee has no price of its coin, oldest first.

        Returns:
            Row, connection, pair and execution. On most of them the fee is in base or quote, whose
            price the execution tells.
        """
        values = {"after": after, "limit": limit}
        return await self._read(statements.UNPRICED, to_unpriced, values)

    async def funding(self, bot: str, *, deal: str | None = None) -> tuple[FundingRecord, ...]:
        """Return a bot's funding payments, oldest first."""
        return await self._read(statements.funding(bot, deal=deal), to_funding)

    async def unsettled(
        self, since_ms: int, until_ms: int, *, limit: int
    ) -> tuple[DealRecord, ...]:
        """Return deals closed in that time that wait for a settlement, oldest first."""
        values = {"since_ms": since_ms, "until_ms": until_ms, "limit": limit}
        return await self._read(statements.UNSETTLED, to_deal, values)

    async def unsettled_books(
        self,
        since_ms: int,
        *,
        bot: str | None = None,
        strategy: str | None = None,
        connection: str | None = None,
    ) -> tuple[DealBooks, ...]:
        """Return the deals without settlement, open or closed since then, and their books.

        Those of one bot, strategy or connection, where one is named.
        """
        deals, orders, fills, payments = statements.unsettled_books(
            since_ms, bot=bot, strategy=strategy, connection=connection
        )
        filled: dict[str, list[OrderRecord]] = {}
        for order in await self._read(orders, to_order):
            filled.setdefault(order.deal, []).append(order)
        by_deal: dict[str, list[FillRecord]] = {}
        for deal, fill in await self._read(fills, to_deal_fill):
            by_deal.setdefault(deal, []).append(fill)
        paid: dict[str, list[FundingRecord]] = {}
        for payment in await self._read(payments, to_funding):
            paid.setdefault(payment.deal, []).append(payment)
        return tuple(
            DealBooks(
                row,
                tuple(filled.get(row.deal, ())),
                tuple(by_deal.get(row.deal, ())),
                tuple(paid.get(row.deal, ())),
            )
            for row in await self._read(deals, to_deal)
        )

    async def settlements(self, deals: Collection[str]) -> tuple[SettlementRecord, ...]:
        """Return the settlements of *deals*, as far as there are."""
        found: list[SettlementRecord] = []
        for query in statements.settlements(deals):
            found += await self._read(query, to_settlement)
        return tuple(found)

    async def settled(self, after: str, *, limit: int) -> tuple[SettledDeal, ...]:
        """Return the next *limit* settlements after deal *after*, by deal, and where they count."""
        return await self._read(statements.settled(after, limit), to_settled)

    async def events(
        self,
        about: str | None = None,
        *,
        deal: str | None = None,
        after_id: int | None = None,
        limit: int = 200,
    ) -> tuple[StoredEvent, ...]:
        """Return events, oldest first: the newest *limit*, or the next *limit* after *after_id*."""
        query = statements.events(about, deal=deal, after_id=after_id, limit=limit)
        found = await self._read(query, to_event)
        return found[::-1] if after_id is None else found

    async def resources(self) -> tuple[ResourceRecord, ...]:
        """Return the last accepted document of every resource, by kind and name."""
        query = select(RESOURCES).order_by(RESOURCES.c.kind, RESOURCES.c.name)
        return await self._read(query, to_resource)

    async def holds(self) -> tuple[HoldRecord, ...]:
        """Return what the operator paused or halted, by target and verb."""
        return await self._read(select(HOLDS).order_by(HOLDS.c.target, HOLDS.c.verb), to_hold)

    async def take_lease(self, lease: LeaseRecord) -> None:
        """Become the one writer; the caller holds the state directory's lock already.

        Raises:
            ConfigurationError: A daemon on another machine wrote within the last 30 s.
        """
        await self._writer.run(lambda connection: lock.take(connection, lease, LEASE_TTL_MS))

    async def renew_lease(self, lease: LeaseRecord) -> None:
        """Say that this daemon is alive, every 10 s or so.

        Raises:
            ConfigurationError: Another daemon took over; this one must stop trading.
        """
        await self._noted(self._writer.run(lambda connection: lock.renew(connection, lease)))

    async def drop_lease(self, lease: LeaseRecord) -> None:
        """Let go of the lease, so that another machine may start at once."""
        await self._writer.run(lambda connection: lock.drop(connection, lease))

    async def _read(
        self,
        query: Executable,
        record: Callable[[RowMapping], _T],
        values: Mapping[str, object] | None = None,
    ) -> tuple[_T, ...]:
        if self._reader_thread is None:
            return self._fetch(query, record, values)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader_thread, self._fetch, query, record, values)

    def _fetch(
        self,
        query: Executable,
        record: Callable[[RowMapping], _T],
        values: Mapping[str, object] | None,
    ) -> tuple[_T, ...]:
        try:
            with self._engines.reader.connect() as connection:
                return tuple(record(row) for row in connection.execute(query, values).mappings())
        except DBAPIError as error:
            raise translate(error) from error
