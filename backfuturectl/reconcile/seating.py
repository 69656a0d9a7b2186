"""From documents to running bots: build and prove, seat, move to another account, take away.

A bot is built before anything old is touched, and seated from what the store remembers of it. What
it trades through and listens to, its account, its market and its prices, is chosen here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from backfuturectl.config.parsing import Document
from backfuturectl.engine.bot import Bot
from backfuturectl.engine.clock import Clock
from backfuturectl.engine.journal import BotName, Journal, Provenance
from backfuturectl.engine.room import DealRoom
from backfuturectl.exchanges.paper import PaperAccount
from backfuturectl.model.errors import OperationError, PermanentError, TransientError
from backfuturectl.model.market import Market
from backfuturectl.model.records import PAPER, BotRecord
from backfuturectl.model.resources import Connection, Strategy
from backfuturectl.model.status import Reason
from backfuturectl.model.units import Money
from backfuturectl.planning.plan import DesiredBot
from backfuturectl.reconcile.books import Books
from backfuturectl.reconcile.connections import Line, Lines
from backfuturectl.reconcile.hand import Hand
from backfuturectl.reconcile.hub import Shared
from backfuturectl.reconcile.registry import Registry
from backfuturectl.reconcile.seats import Seat, desired_bots
from backfuturectl.reconcile.source import stored_document
from backfuturectl.reconcile.supervisor import Supervisor
from backfuturectl.store.database import Store
from backfuturectl.strategy.base import BotIdentity, Command
from backfuturectl.strategy.registry import KINDS


@dataclass(slots=True)
class Pass:
    """What one pass over a strategy prepared, and what it left undone.

    Attributes:
        waits_for: Connection that is not Online; empty when none is waited for.
        trouble: Why a bot on the books could not be seated; None when all could.
        aside: Why a second bot of a pair could not be seated; that holds nothing else up.
        closed: Pair that its exchange takes no orders of; empty when all are open.
        misfits: Which proof a bot on the books breaks by now, by bot.
        setups: What was built and proven, by bot.
        sources: The Strategy document that each bot of this pass is to run, by its digest.
    """

    waits_for: str = ""
    trouble: PermanentError | None = None
    aside: str = ""
    refused: str = ""
    is_winding: bool = False
    closed: str = ""
    misfits: dict[str, str] = field(default_factory=dict)
    setups: dict[str, tuple[Any, Market]] = field(default_factory=dict)
    sources: dict[str, bytes] = field(default_factory=dict)

    def wait_for(self, wanted: DesiredBot) -> None:
        """Take note that the connection of *wanted* is not Online."""
        if wanted.primary:
            self.aside = f"connection `{wanted.connection}` is not Online; no deal opens through it"
        else:
            self.waits_for = wanted.connection


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
        self._hand = hand
        self._tasks = tasks
        self._on_trouble = on_trouble
        self._rooms: dict[str, DealRoom] = {}
        self.commit = ""

    # Building.

    async def build(
        self,
        wanted: DesiredBot,
        left: Pass,
        *,
        must_fit: bool = True,
        for_exits: bool = False,
    ) -> None:
        """Prove *wanted* against the exchange's own market rules.

        Args:
            wanted: What to build.
            left: Takes what was built.
            must_fit: Whether a proof that fails is an error; without, exits are managed anyhow.
            for_exits: Also where the connection is not Online, if there is an account.

        Raises:
            PermanentError: A proof fails, the market is not there, or another bot has its order
                ids; nothing was changed.
        """
        line = self._lines.line(wanted.connection)
        if not self._is_ready(line):
            left.wait_for(wanted)
            if not for_exits:
                return
        if line.shared is None or line.account is None:
            left.wait_for(wanted)
            return
        markets = await line.shared.public.markets()
        market = markets.get(wanted.pair)
        is_known = wanted.bot in self._books.seats or self._books.record(wanted.bot) is not None
        namesake = self._books.namesake(wanted.bot)
        if namesake is not None and not is_known:
            raise PermanentError(
                Reason.SCHEMA_INVALID,
                f"{wanted.bot} would give its orders the ids of {namesake}'s; rename the strategy",
            )
        if market is None or not (market.is_active or is_known):
            raise PermanentError(
                Reason.MARKET_UNAVAILABLE,
                f"{wanted.pair} does not exist on {line.shared.public.exchange}, or is closed",
            )
        identity = BotIdentity(self._store.installation, wanted.bot)
        seats = self._books.of(wanted.strategy).values()
        setup = KINDS[wanted.spec.kind].setup(
            wanted.spec,
            market,
            identity,
            must_fit=must_fit,
            deals_open=sum(seat.has_open_deal for seat in seats),
        )
        left.setups[wanted.bot] = (setup, market)

    async def build_second(self, wanted: DesiredBot, left: Pass) -> None:
        """Prove a pair's second bot; what is wrong with it does not hold the first one up."""
        try:
            await self.build(wanted, left)
        except OperationError as error:
            left.aside = f"{wanted.bot}: {error}"

    def _is_ready(self, line: Line) -> bool:
        """Whether the connection's present document passed its test."""
        entry = self._registry.get("Connection", line.name)
        document = entry.document if entry is not None else None
        return line.is_online and document is not None and line.tested_digest == document.digest

    async def _is_built(self, wanted: DesiredBot, left: Pass) -> bool:
        """Build a bot that is on the books; what is wrong with it is no trouble of the others.

        One that no longer fits, since the exchange changed its rules, still manages its open deal.
        """
        try:
            await self.build(wanted, left, for_exits=True)
        except TransientError as error:
            if not wanted.primary:
                raise
            left.aside = f"{wanted.bot}: {error}"
        except PermanentError as error:
            if error.reason is Reason.PROOF_FAILED:
                # Its seat tells of it, unless this very pass gives it a document that fits.
                left.misfits[wanted.bot] = str(error)
                await self.build(wanted, left, must_fit=False, for_exits=True)
            elif wanted.primary:
                left.aside = f"{wanted.bot}: {error}"
            else:
                left.trouble = error
        return wanted.bot in left.setups

    # Bots that the store remembers.

    def remembered(self, record: BotRecord) -> DesiredBot | None:
        """Return what a stored bot ran, by the very document it ran; None when that is unknown."""
        document = self._document_of(record)
        if document is None or not isinstance(document.resource, Strategy):
            return None
        entry = self._registry.get("Connection", document.resource.spec.connection)
        target = entry.document if entry is not None else None
        if target is None or not isinstance(target.resource, Connection):
            return None
        bots = desired_bots(
            document,
            target.resource.spec,
            generation=record.generation,
            extra_pairs=[record.pair],
        )
        return bots[record.bot]

    def _document_of(self, record: BotRecord) -> Document | None:
        """Return the document that a stored bot ran; nearly always it is one that is known."""
        entry = self._registry.get("Strategy", record.strategy)
        for known in (entry.applied, entry.desired) if entry is not None else ():
            if known is not None and known.source == record.document:
                return known
        return stored_document(record.document, record.strategy) if record.document else None

    async def resume(self, strategy: str, left: Pass) -> None:
        """Seat the bots that the store remembers, each with the document it ran."""
        stored = self._books.unseated(strategy)
        room = self._rooms.setdefault(strategy, DealRoom())
        remembered = {record.bot: self.remembered(record) for record in stored}
        for record in stored:
            bot, wanted = record.bot, remembered[record.bot]
            # Until it shows that it is flat, it may hold a deal: the others must not take its room.
            share = KINDS[wanted.spec.kind].share_of(record.state) if wanted is not None else None
            if wanted is None or share is not None:
                room.note(bot, has_deal=True, share=share)
            elif not wanted.primary or await self._may_hold(bot):
                room.doubt(bot)
            else:
                room.note(bot, has_deal=False)
            if wanted is not None:
                self._pair_up(wanted, room)
        for record in stored:
            wanted = remembered[record.bot]
            if wanted is None:
                left.trouble = PermanentError(
                    Reason.REFERENCE_NOT_FOUND,
                    f"{record.bot}: the connection or the document it ran is not known any more",
                )
                continue
            left.sources[wanted.digest] = record.document
            if await self._is_built(wanted, left):
                await self.seat(wanted, left)

    async def _may_hold(self, bot: str) -> bool:
        """Whether the store has an open deal or order of *bot*: its account may be out of reach."""
        deals = await self._store.deals(bot, is_open=True)
        return bool(deals or await self._store.orders(bot, is_open=True))

    def _pair_up(self, wanted: DesiredBot, room: DealRoom) -> None:
        if wanted.primary:
            room.pair_up(wanted.bot, wanted.primary, lambda: self._is_set_apart(wanted.primary))

    def _is_set_apart(self, bot: str) -> bool:
        seat = self._books.seats.get(bot)
        return seat is not None and seat.bot.view().is_set_apart

    # Seating.

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
            room=self._room(desired),
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

    def _room(self, desired: DesiredBot) -> DealRoom:
        room = self._rooms.setdefault(desired.strategy, DealRoom())
        room.deals_max = desired.spec.max_active_deals or 1
        room.limit = _limit(desired)
        self._pair_up(desired, room)
        return room

    def update(self, seat: Seat, desired: DesiredBot, left: Pass, *, is_resumed: bool) -> None:
        """Give a running bot its new generation."""
        assert desired.connection == seat.planned.connection, "such an edit replaces the bot"
        built = left.setups.get(desired.bot)
        if built is None:
            return  # its connection is not Online; the old generation goes on
        setup, market = built
        room = self._room(desired)
        share = room.allowance(desired.bot)
        if desired.spec.on_change == "adopt" and seat.has_open_deal:
            share = room.limit / room.deals
            room.note(desired.bot, has_deal=True, share=share)
        setup = KINDS[desired.spec.kind].sharing(setup, deals=room.deals, share=share)
        seat.bot.adopt(setup, market, self._provenance(desired, left))
        seat.follow(market)
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
            if line.shared is None or not self._is_ready(line):
                continue  # its turn comes when the connection is Online again
            market = (await line.shared.public.markets()).get(seat.planned.pair)
            if market is None or market == seat.market:
                continue
            spec = seat.planned.spec.model_copy(update={"on_change": "keep"})
            if await self._is_built(replace(seat.planned, spec=spec), left):
                setup, market = left.setups.pop(seat.planned.bot)
                room = self._room(seat.planned)
                share = room.allowance(seat.planned.bot)
                setup = KINDS[spec.kind].sharing(setup, deals=room.deals, share=share)
                seat.bot.adopt(setup, market, seat.bot.provenance)
                seat.follow(market)
                seat.misfit = left.misfits.get(seat.planned.bot, "")

    # Taking away.

    async def move(self, strategy: str, left: Pass) -> None:
        """Move bots to the account of their connection's newest key, once that key passed.

        Whoever lost his task and kept his seat starts again.
        """
        moving = [
            seat
            for seat in self._books.of(strategy).values()
            if (seat.is_ended or self._has_newer_key(seat))
            and await self._is_built(seat.planned, left)
        ]
        await stop(moving)
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
        room = self._rooms.get(seat.planned.strategy)
        if room is not None:
            room.note(seat.planned.bot, has_deal=False)
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
        if await self._is_built(seat.planned, left):
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

    def forget(self, strategy: str) -> None:
        """Forget the margin of a strategy that is gone."""
        self._rooms.pop(strategy, None)


def _follow(shared: Shared, desired: DesiredBot, bot: Bot, setup: Any) -> None:
    """Have *bot* told what its generation's indicator reads, or nothing any more."""
    indicator = KINDS[desired.spec.kind].indicator(setup)
    if indicator is None:
        shared.candles.unfollow(desired.bot)
    else:
        shared.candles.follow(desired.pair, desired.bot, indicator, bot.offer_reading)


def _limit(desired: DesiredBot) -> Decimal:
    limit = desired.spec.margin_limit
    assert isinstance(limit, Money), "presets are filled in, and shares turned into money"
    return limit.amount


async def stop(seats: Iterable[Seat]) -> None:
    """Stop the tasks of *seats*, all at once."""
    async with asyncio.TaskGroup() as group:
        for seat in seats:
            group.create_task(seat.supervisor.stop(), name=f"stop {seat.planned.bot}")
