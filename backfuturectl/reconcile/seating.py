"""From what was built to running bots: seat, give a new generation, move, take away.

A bot is built before anything old is touched, and seated from what the store remembers of it. What
it trades through and listens to, its account, its market and its prices, is chosen here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from backfuturectl.engine.bot import Bot
from backfuturectl.engine.clock import Clock
from backfuturectl.engine.entries import BotName, Provenance
from backfuturectl.engine.journal import Journal
from backfuturectl.exchanges.paper import PaperAccount
from backfuturectl.model.errors import OperationError, PermanentError
from backfuturectl.model.market import Market
from backfuturectl.model.records import PAPER
from backfuturectl.model.resources import Connection
from backfuturectl.model.status import Reason
from backfuturectl.planning.plan import DesiredBot
from backfuturectl.reconcile.books import Books
from backfuturectl.reconcile.building import Builder, Pass
from backfuturectl.reconcile.connections import Lines
from backfuturectl.reconcile.hand import Hand
from backfuturectl.reconcile.hub import Shared
from backfuturectl.reconcile.registry import Registry
from backfuturectl.reconcile.rooms import Rooms
from backfuturectl.reconcile.seats import Seat
from backfuturectl.reconcile.supervisor import Supervisor
from backfuturectl.store.database import Store
from backfuturectl.strategy.base import Command
from backfuturectl.strategy.registry import KINDS


class Seating:
    """Seats the bots of every strategy; one call at a time per strategy (the queue's word).

    Attributes:
        commit: Checked-out Git commit that new generations are traced to.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        jitter: random.Random,
        registry: Registry,
        lines: Lines,
        books: Books,
        builder: Builder,
        rooms: Rooms,
        hand: Hand,
        tasks: asyncio.TaskGroup,
        on_trouble: Callable[[str, OperationError], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._jitter = jitter
        self._registry = registry
        self._lines = lines
        self._books = books
        self._builder = builder
        self._rooms = rooms
        self._hand = hand
        self._tasks = tasks
        self._on_trouble = on_trouble
        self.commit = ""

    async def resume(self, strategy: str, left: Pass) -> None:
        """Seat the bots that the store remembers, each with the document it ran."""
        stored = [(row, self._builder.remembered(row)) for row in self._books.unseated(strategy)]
        await self._rooms.remember(strategy, stored)
        for record, wanted in stored:
            if wanted is None:
                left.trouble = PermanentError(
                    Reason.REFERENCE_NOT_FOUND,
                    f"{record.bot}: the connection or the document it ran is not known any more",
                )
                continue
            left.sources[wanted.digest] = record.document
            if await self._builder.build_known(wanted, left):
                await self.seat(wanted, left)

    async def seat(self, desired: DesiredBot, left: Pass) -> None:
        """Start what `build` prepared, from what the store remembers of the bot."""
        built = left.setups.get(desired.bot)
        if built is None:
            return  # its connection is not Online; that is in *left* already
        setup, market = built
        kind = KINDS[desired.spec.kind]
        name = BotName(
            desired.bot,
            desired.strategy,
            desired.connection,
            desired.pair,
            desired.spec.kind,
            environment=self._environment(desired),
            market=str(market.kind),
        )
        stored = self._books.record(desired.bot)
        # A step's orders are recorded together with the bot: one that has no row has no orders.
        journal = (
            await Journal.load(self._store, name)
            if stored is not None
            else Journal(self._store, name, orders=(), open_deal=None)
        )
        paper = await self._paper(desired, market, journal)
        # From here on nothing waits: the line that is read is the line that is obeyed.
        line = self._lines.line(desired.connection)
        if line.account is None or line.shared is None:
            left.wait_for(desired)
            return
        bot = Bot(
            name,
            installation=self._store.installation,
            kind=kind,
            state=kind.load(stored.state, setup) if stored is not None else kind.initial(setup),
            market=market,
            account=line.account if paper is None else paper,
            journal=journal,
            room=self._rooms.of(desired),
            clock=self._clock,
            jitter=self._jitter,
            provenance=self._provenance(desired, left),
            on_trouble=lambda error: self._on_trouble(desired.connection, error),
            key_since_ms=line.key_since_ms,
        )
        if paper is None:
            bot.identify(line.account_id)
        supervisor = Supervisor(
            bot, on_trouble=lambda error: self._on_trouble(desired.connection, error)
        )
        now_ms = self._clock.now_ms()
        seat = Seat(
            supervisor,
            desired,
            line.account_digest,
            line.shared,
            now_ms,
            market,
            kind.worst_quote(setup),
            misfit=left.misfits.get(desired.bot, ""),
            paper=paper,
        )
        self._books.seat(seat)
        if stored is not None and stored.is_retired:
            bot.command(Command.UNDRAIN)  # it was drained when it left; it is wanted again
        else:
            seat.is_draining = bot.view().is_draining
        seat.obey(line)
        seat.obey_market()
        self._hand.lay_on(seat)
        listener = bot.offer_price if paper is None else seat.see_price
        line.shared.feed.listen(desired.pair, desired.bot, listener)
        _follow(line.shared, desired, bot, setup)
        supervisor.start(self._tasks)

    async def _paper(
        self, desired: DesiredBot, market: Market, journal: Journal
    ) -> PaperAccount | None:
        """Return the exchange of a paper bot as its journal remembers it; None for a live one.

        However many paper bots a connection has, none of them ever uses its account.
        """
        if desired.spec.mode != "paper":
            return None
        # What the bot did on a real exchange before is nothing that this one could remember.
        orders = [order for order in journal.orders if order.environment in {PAPER, ""}]
        ids = [order.client_order_id for order in orders]
        return PaperAccount(
            market,
            leverage=desired.spec.leverage or 1,
            margin_mode=desired.spec.margin_mode,
            now_ms=self._clock.now_ms,
            orders=orders,
            fills=await self._store.fills(desired.bot, client_order_ids=ids),
        )

    def _provenance(self, desired: DesiredBot, left: Pass) -> Provenance:
        entry = self._registry.get("Strategy", desired.strategy)
        found = entry.desired if entry is not None else None
        if found is None or found.digest != desired.digest:
            return Provenance(
                desired.generation, self.commit, left.sources.get(desired.digest, b"")
            )
        return Provenance(
            desired.generation,
            self.commit,
            found.source,
            path=found.path,
            first_line=found.content.count(b"\n", 0, max(found.content.find(found.source), 0)) + 1,
        )

    def _environment(self, desired: DesiredBot) -> str:
        if desired.spec.mode == "paper":
            return PAPER
        entry = self._registry.get("Connection", desired.connection)
        document = entry.document if entry is not None else None
        resource = document.resource if document is not None else None
        return str(resource.spec.environment) if isinstance(resource, Connection) else ""

    def update(self, seat: Seat, desired: DesiredBot, left: Pass, *, is_resumed: bool) -> None:
        """Give a running bot its new generation."""
        assert desired.connection == seat.planned.connection, "such an edit replaces the bot"
        built = left.setups.get(desired.bot)
        if built is None:
            return  # its connection is not Online; the old generation goes on
        setup, market = built
        setup = self._rooms.shared(desired, setup, has_open_deal=seat.has_open_deal)
        seat.bot.adopt(setup, market, self._provenance(desired, left))
        seat.follow(market)
        seat.worst_quote = KINDS[desired.spec.kind].worst_quote(setup)
        seat.misfit = ""
        _follow(seat.shared, desired, seat.bot, setup)
        seat.planned = desired
        seat.refused_digest = None
        if is_resumed and seat.is_draining:
            seat.is_draining = False
            seat.bot.command(Command.UNDRAIN)  # a pause is the operator's to lift

    async def follow_markets(self, strategy: str, left: Pass) -> None:
        """Give running bots the newest rules of their markets, with every proof repeated.

        The exchange's edit is not the owner's: an open deal keeps its ladder, whatever onChange
        says. What no longer fits opens no deals, and manages an open one to its exit.
        """
        for seat in self._books.of(strategy).values():
            line = self._lines.line(seat.planned.connection)
            if line.shared is None or not self._builder.is_ready(line):
                continue  # its turn comes when the connection is Online again
            market = (await line.shared.public.markets()).get(seat.planned.pair)
            if market is None or market == seat.market:
                continue
            spec = seat.planned.spec.model_copy(update={"on_change": "keep"})
            planned = replace(seat.planned, spec=spec)
            if await self._builder.build_known(planned, left):
                setup, market = left.setups.pop(planned.bot)
                setup = self._rooms.shared(planned, setup, has_open_deal=seat.has_open_deal)
                seat.bot.adopt(setup, market, seat.bot.provenance)
                seat.follow(market)
                seat.worst_quote = KINDS[planned.spec.kind].worst_quote(setup)
                seat.misfit = left.misfits.get(planned.bot, "")

    async def move(self, strategy: str, left: Pass) -> None:
        """Move bots to the account of their connection's newest key, once that key passed.

        Whoever lost his task and kept his seat starts again.
        """
        moving = [
            seat
            for seat in self._books.of(strategy).values()
            if (seat.is_ended or self._has_newer_key(seat))
            and await self._builder.build_known(seat.planned, left)
        ]
        await stop(moving)
        for seat in moving:
            seat.is_ended = True  # all of them, before the first that the store may fail
        for seat in moving:
            await self._take_away(seat)
            await self._reseat(seat, left)

    def _has_newer_key(self, seat: Seat) -> bool:
        line = self._lines.line(seat.planned.connection)
        return line.is_online and seat.account_digest != line.account_digest

    async def unseat(self, seat: Seat, left: Pass) -> bool:
        """Stop a flat bot's task; return False when it took a deal in the last moment."""
        await self._take_away(seat)
        if seat.may_hold_deal:
            await self._reseat(seat, left)
            return False
        self._rooms.leave(seat.planned)
        return True

    async def _take_away(self, seat: Seat) -> None:
        """Stop a bot's task and take its seat away; the books have what it was at its end.

        It keeps its seat until that is known: seated as it once was, it would do all again.
        """
        seat.fall_silent()
        await seat.supervisor.stop()
        seat.is_ended = True
        records = await self._store.bots(seat.planned.bot)
        self._books.unseat(seat.planned.bot)
        for record in records:
            self._books.remember(record)

    async def _reseat(self, seat: Seat, left: Pass) -> None:
        """Run the same bot again after its task ended, from what the store remembers.

        It may hold a deal, so neither a connection that is not Online nor a proof that it breaks by
        now keeps it from its seat.
        """
        name = seat.planned.bot
        left.sources[seat.planned.digest] = seat.bot.provenance.document
        if await self._builder.build_known(seat.planned, left):
            await self.seat(seat.planned, left)
        fresh = self._books.seats.get(name)
        if fresh is not None and (seat.is_draining or seat.is_stopping):
            fresh.is_draining = True
            fresh.bot.command(Command.DRAIN)

    async def retire(self, bot: str) -> None:
        """Take a bot off the books; its state stays, since its deal numbers must never repeat."""
        record = self._books.record(bot)
        if record is not None:
            retired = replace(record, is_retired=True)
            await self._store.commit([retired])
            self._books.remember(retired)


def _follow(shared: Shared, desired: DesiredBot, bot: Bot, setup: Any) -> None:
    """Have *bot* told what its generation's indicator reads, or nothing any more."""
    indicator = KINDS[desired.spec.kind].indicator(setup)
    if indicator is None:
        shared.candles.unfollow(desired.bot)
    else:
        shared.candles.follow(desired.pair, desired.bot, indicator, bot.offer_reading)


async def stop(seats: Iterable[Seat]) -> None:
    """Stop the tasks of *seats*, all at once."""
    async with asyncio.TaskGroup() as group:
        for seat in seats:
            group.create_task(seat.supervisor.stop(), name=f"stop {seat.planned.bot}")
