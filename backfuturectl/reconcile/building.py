"""What a bot would be made of: its setup, proven against the exchange's own market rules.

Whoever asks has it built before anything old is touched. The document is the one that the files
have, or for a bot that the store remembers the very one it ran.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from backfuturectl.config.parsing import Document
from backfuturectl.model.errors import OperationError, PermanentError, TransientError
from backfuturectl.model.market import ZERO, Market
from backfuturectl.model.records import BotRecord
from backfuturectl.model.resources import Connection, ConnectionSpec, Strategy
from backfuturectl.model.status import Reason
from backfuturectl.planning.plan import DesiredBot
from backfuturectl.reconcile.books import Books
from backfuturectl.reconcile.connections import Line, Lines
from backfuturectl.reconcile.registry import Registry
from backfuturectl.reconcile.seats import desired_bots, spec_of
from backfuturectl.reconcile.source import stored_document
from backfuturectl.store.database import Store
from backfuturectl.strategy.base import BotIdentity
from backfuturectl.strategy.presets import margin_limit_of
from backfuturectl.strategy.registry import KINDS


@dataclass(slots=True)
class Pass:
    """What one pass over a strategy prepared, and what it left undone.

    Attributes:
        waits_for: Connection that is not Online; empty when none is waited for.
        trouble: Why a bot on the books could not be seated; None when all could.
        aside: Why a second bot of a pair could not be seated; that holds nothing else up.
        behind: Who has to leave before a bot can start; empty for nobody.
        lacking: Why a connection's capital does not go round; empty when it does.
        closed: Pair that its exchange takes no orders of; empty when all are open.
        misfits: Which proof a bot on the books breaks by now, by bot.
        setups: What was built and proven, by bot.
        sources: The Strategy document that each bot of this pass is to run, by its digest.
    """

    waits_for: str = ""
    trouble: PermanentError | None = None
    aside: str = ""
    refused: str = ""
    lacking: str = ""
    is_winding: bool = False
    behind: str = ""
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


class Builder:
    """Builds and proves bots; it changes none that runs."""

    def __init__(self, store: Store, registry: Registry, lines: Lines, books: Books) -> None:
        self._store = store
        self._registry = registry
        self._lines = lines
        self._books = books

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
        if not self.is_ready(line):
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

    async def build_known(self, wanted: DesiredBot, left: Pass) -> bool:
        """Build a bot that is on the books; return whether there is something to seat.

        What is wrong with it is no trouble of the others.

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

    def is_ready(self, line: Line) -> bool:
        """Whether the connection's present document passed its test."""
        entry = self._registry.get("Connection", line.name)
        document = entry.document if entry is not None else None
        return line.is_online and document is not None and line.tested_digest == document.digest

    def remembered(self, record: BotRecord) -> DesiredBot | None:
        """Return what a stored bot ran, by the very document it ran; None when that is unknown."""
        known = self._ran(record)
        if known is None:
            return None
        document, where = known
        bots = desired_bots(
            document, where, generation=record.generation, extra_pairs=[record.pair]
        )
        return bots[record.bot]

    def limit_of(self, record: BotRecord) -> Decimal:
        """Return marginLimit of what a stored bot ran, quote; zero on paper and where unknown."""
        known = self._ran(record)
        if known is None or (spec := spec_of(known[0])).mode != "live":
            return ZERO
        return margin_limit_of(spec, known[1].capital)

    def _ran(self, record: BotRecord) -> tuple[Document, ConnectionSpec] | None:
        """Return what a stored bot ran, and what its own connection says now."""
        document = self._document_of(record)
        if document is None or not isinstance(document.resource, Strategy):
            return None
        entry = self._registry.get("Connection", document.resource.spec.connection)
        target = entry.document if entry is not None else None
        if target is None or not isinstance(target.resource, Connection):
            return None
        return document, target.resource.spec

    def _document_of(self, record: BotRecord) -> Document | None:
        """Return the document that a stored bot ran; nearly always it is one that is known."""
        entry = self._registry.get("Strategy", record.strategy)
        for known in (entry.applied, entry.desired) if entry is not None else ():
            if known is not None and known.source == record.document:
                return known
        return stored_document(record.document, record.strategy) if record.document else None
