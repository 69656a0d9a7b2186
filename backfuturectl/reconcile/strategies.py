"""One Strategy: plan its bots, carry the plan out, keep what could not be confirmed on the books.

A generation is applied whole: every setup is built and proven before the first bot changes. A bot
that was told to end stays here until the exchange confirmed that nothing of it is left.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from backfuturectl.config.compile import Loaded
from backfuturectl.config.parsing import Document
from backfuturectl.engine.clock import Clock
from backfuturectl.model.errors import OperationError, PermanentError, TransientError
from backfuturectl.model.market import MarketKind
from backfuturectl.model.records import HoldRecord, ResourceRecord
from backfuturectl.model.resources import Connection
from backfuturectl.model.status import Reason
from backfuturectl.planning.conditions import Outcome
from backfuturectl.planning.plan import (
    DesiredBot,
    PlanAction,
    RunningBot,
    StartBot,
    UpdateBot,
    plan,
)
from backfuturectl.reconcile import queue
from backfuturectl.reconcile.apply import Applying, whole
from backfuturectl.reconcile.books import Books
from backfuturectl.reconcile.building import Builder, Pass
from backfuturectl.reconcile.capital import Capital
from backfuturectl.reconcile.connections import Lines
from backfuturectl.reconcile.hand import Hand
from backfuturectl.reconcile.registry import Entry, Registry, settle
from backfuturectl.reconcile.rooms import Rooms
from backfuturectl.reconcile.seating import Seating, stop
from backfuturectl.reconcile.seats import Seat, desired_bots, running_bot, spec_of
from backfuturectl.reconcile.supervisor import Ended
from backfuturectl.store.database import Remove, Store

_LOG = logging.getLogger(__name__)

WIND_DOWN_LOOK_S: Final = 2.0
"""How often a bot that was told to end is looked at."""

ASIDE_LOOK_S: Final = 60.0
"""How often a bot that could not be seated is looked at."""

_LEAVE: Final = "leave"


class Strategies:
    """Runs the bots of every strategy; one call at a time per strategy (the queue's word).

    Attributes:
        hand: The operator's.
        leaving: Strategies that were let go and whose bots still wind down.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        jitter: random.Random,
        registry: Registry,
        lines: Lines,
        tasks: asyncio.TaskGroup,
        on_trouble: Callable[[str, OperationError], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._registry = registry
        self._lines = lines
        self._books = Books()
        self._builder = Builder(store, registry, lines, self._books)
        self._rooms = Rooms(store, self._books)
        self._capital = Capital(registry, self._books, self._builder, self._rooms)
        self.hand = Hand(store, clock, self._books)
        self._seating = Seating(
            store=store,
            clock=clock,
            jitter=jitter,
            registry=registry,
            lines=lines,
            books=self._books,
            builder=self._builder,
            rooms=self._rooms,
            hand=self.hand,
            tasks=tasks,
            on_trouble=on_trouble,
        )
        self._applying = Applying(self._books, self._seating)
        self.leaving: set[str] = set()

    async def restore(self) -> None:
        """Read from the store which bots there were."""
        for record in await self._store.bots():
            self._books.remember(record)
        for strategy in self._books.strategies:
            self._capital.note(strategy)
        holds = await self._store.holds()
        self.leaving = {hold.target.partition("/")[2] for hold in holds if hold.verb == _LEAVE}
        self.hand.restore(hold for hold in holds if hold.verb != _LEAVE)

    def trace_to(self, commit: str, loaded: Loaded) -> None:
        """Trace generations from now on to *commit*, and running ones that *loaded* still has.

        A file is often applied before it is committed: what it causes afterwards belongs to the
        commit that has it, not to the one before.

        Args:
            commit: The one that is checked out.
            loaded: The files at that commit.
        """
        if commit == self._seating.commit:
            return
        self._seating.commit = commit
        usable = loaded.usable
        for seat in self._books.seats.values():
            document = usable.get(("Strategy", seat.planned.strategy))
            if document is not None and document.digest == seat.planned.digest:
                seat.bot.trace_to(commit)

    @property
    def seats(self) -> Mapping[str, Seat]:
        """The running bots, by name."""
        return self._books.seats

    async def let_go(self, name: str) -> None:
        """Let a strategy go; a restart remembers it."""
        if name not in self.leaving:
            hold = HoldRecord(f"strategy/{name}", _LEAVE, self._clock.now_ms())
            await self._store.commit([hold])
            self.leaving.add(name)

    async def keep(self, name: str) -> None:
        """Take back `let_go`: the files have the strategy again, or it is gone for good."""
        if name in self.leaving:
            await self._store.commit([Remove(HoldRecord, (f"strategy/{name}", _LEAVE))])
            self.leaving.discard(name)

    def on_books(self) -> set[str]:
        """Return the strategies that have a bot, running or stored."""
        return set(self._books.strategies)

    def uses(self, connection: str) -> bool:
        """Return whether a bot or a strategy still needs *connection*."""
        return bool(self._books.on(connection) or self._registry.using(connection))

    def of(self, strategy: str) -> dict[str, Seat]:
        """Return the running bots of one strategy."""
        return self._books.of(strategy)

    # One pass.

    async def reconcile(self, name: str) -> queue.Ending:
        """Bring the bots of one strategy to what its document asks for."""
        entry = self._registry.get("Strategy", name)
        if entry is None:
            if name not in self.leaving:
                return queue.Done()
            # Removed while its bots were starting: its document is forgotten, they are here.
            entry = Entry("Strategy", name, is_present=False)
        try:
            return await self._pass(entry)
        except PermanentError as error:
            await self._tell(entry, error.reason, str(error), error.raw_code)
            return self._unfinished(name)
        except TransientError as error:
            await self._tell(entry, error.reason, str(error), error.raw_code)
            return queue.Failed(error.retry_after_s)
        finally:
            self._capital.note(name)

    def _unfinished(self, name: str) -> queue.Ending:
        """Return when to look again at a strategy that cannot become what its document asks for.

        That waits for a change, but a bot that winds down or lost its seat does not.
        """
        if any(seat.is_draining or seat.is_stopping for seat in self.of(name).values()):
            return queue.Again(WIND_DOWN_LOOK_S)
        return queue.Again(ASIDE_LOOK_S) if self._books.unseated(name) else queue.Done()

    async def _pass(self, entry: Entry) -> queue.Ending:
        left = Pass()
        await self._seating.resume(entry.name, left)
        await self._seating.move(entry.name, left)
        await self._seating.follow_markets(entry.name, left)
        is_leaving = entry.name in self.leaving
        document = None if is_leaving or not entry.is_present else entry.document
        if not entry.is_present and not is_leaving:
            document = entry.applied  # the deletion guard has not let it go
        desired = self._desired(entry, document) if document is not None else {}
        running = {name: seat.running() for name, seat in self.of(entry.name).items()}
        if document is not None:
            left.sources[document.digest] = document.source
        actions = plan(
            desired, running, departing=tuple(self._departing(entry.name, desired.values()))
        )
        if document is not None:
            actions = whole(actions, document, self.of(entry.name).values())
        # Everything new is built before anything old is touched.
        for wanted in _arrivals(actions):
            if wanted.primary:
                await self._builder.build_second(wanted, left)
            else:
                await self._builder.build(wanted, left)
        self._capital.claim(entry.name, tuple(_arrivals(actions)), left)
        if left.lacking:
            actions = tuple(self._endings(actions))
        for action in actions:
            await self._applying.apply(action, left)
        for seat in self.of(entry.name).values():
            if document is not None and seat.refused_digest == document.digest:
                left.refused = seat.refused_why
            left.is_winding = left.is_winding or seat.is_draining or seat.is_stopping
            if seat.planned.primary:
                left.aside = left.aside or seat.closed or seat.misfit
                continue
            left.closed = left.closed or seat.closed
            if seat.misfit and left.trouble is None:
                left.trouble = PermanentError(Reason.PROOF_FAILED, seat.misfit)
        if left.trouble is not None and not left.lacking:
            raise left.trouble
        return await self._conclude(entry, document, left)

    def _endings(self, actions: Iterable[PlanAction]) -> Iterable[PlanAction]:
        """Yield what ends bots that were told to end before: others may wait for their part."""
        for action in actions:
            if not isinstance(action, StartBot | UpdateBot) and self.seats[action.bot].is_leaving:
                yield action

    def _departing(self, strategy: str, desired: Iterable[DesiredBot]) -> Iterable[RunningBot]:
        """Yield other strategies' bots that the files no longer want, where *desired* will trade.

        A strategy that was renamed looks like one that left and one that came: the newcomer must
        wait until its predecessor is off the account and pair. So must one whose predecessor was
        moved elsewhere or made a paper one. Who was not seated since the start is in the way too.

        On futures whoever is there is in the way: what runs may be the last good generation of a
        document that is broken by now, and a position must never have two keepers.
        """
        for found in self._books.at((bot.connection, bot.pair) for bot in desired):
            whose = found.planned if isinstance(found, Seat) else found
            entry = self._registry.get("Strategy", whose.strategy)
            is_shared = not self._is_futures(whose.connection)
            if whose.strategy == strategy or (
                is_shared and _is_wanted(entry, whose.connection, whose.pair)
            ):
                continue
            if isinstance(found, Seat):
                yield found.running()
            elif (planned := self._builder.remembered(found)) is not None:
                yield running_bot(planned, has_open_deal=True)

    def _is_futures(self, connection: str) -> bool:
        entry = self._registry.get("Connection", connection)
        resource = entry.document.resource if entry is not None and entry.document else None
        return isinstance(resource, Connection) and resource.spec.market is MarketKind.FUTURES

    def _desired(self, entry: Entry, document: Document) -> dict[str, DesiredBot]:
        spec = spec_of(document)
        connection = self._registry.get("Connection", spec.connection)
        target = connection.document if connection is not None else None
        if target is None:
            raise PermanentError(
                Reason.REFERENCE_NOT_FOUND,
                f"connection `{spec.connection}` has no usable document",
            )
        resource = target.resource
        assert isinstance(resource, Connection), "a usable Connection document has its resource"
        is_applied = entry.applied is not None and entry.applied.digest == document.digest
        return desired_bots(
            document,
            resource.spec,
            generation=entry.generation if is_applied else entry.generation + 1,
        )

    # The end of a pass.

    async def _conclude(self, entry: Entry, document: Document | None, left: Pass) -> queue.Ending:
        now_ms = self._clock.now_ms()
        if left.refused:
            await self._tell(entry, Reason.EDIT_REFUSED, left.refused)
            return queue.Again(WIND_DOWN_LOOK_S)
        if left.lacking:
            await self._tell(entry, Reason.CAPITAL_IN_USE, left.lacking)
            return queue.Again(WIND_DOWN_LOOK_S)
        if left.waits_for:
            report = self._lines.line(left.waits_for).report
            standing = report.outcome if report is not None else Reason.NOT_TESTED
            await self._tell(
                entry,
                Reason.DEPENDENCY_NOT_READY,
                f"connection `{left.waits_for}` is not Online: {standing}",
            )
            return queue.Again(WIND_DOWN_LOOK_S) if left.is_winding else queue.Done()
        if document is None and not self.of(entry.name) and not self._books.unseated(entry.name):
            await self._store.commit([Remove(ResourceRecord, ("Strategy", entry.name))])
            await self.keep(entry.name)
            self._rooms.forget(entry.name)
            if not entry.is_present:
                self._registry.drop(entry.key)
            return queue.Done()
        if left.is_winding:
            why = f"waits for {left.behind}" if left.behind else "bots are ending their deals"
            await self._tell(entry, Reason.PROGRESSING, why)
            return queue.Again(WIND_DOWN_LOOK_S)
        if document is not None and entry.desired is document and not entry.is_current:
            record = self._registry.applied(entry, document, now_ms)
            await self._store.commit([record])
        away = next((seat.bot.away for seat in self.of(entry.name).values() if seat.bot.away), "")
        if away:
            await self._tell(entry, Reason.ACCOUNT_CHANGED, away)
            return queue.Again(ASIDE_LOOK_S)
        if left.closed:
            await self._tell(entry, Reason.MARKET_UNAVAILABLE, f"{left.closed}; exits only")
            return queue.Done()
        await self._tell(entry, Reason.RECONCILE_SUCCEEDED, left.aside)
        return queue.Again(ASIDE_LOOK_S) if left.aside else queue.Done()

    async def _tell(
        self, entry: Entry, reason: Reason, message: str, raw_code: str | None = None
    ) -> None:
        outcome = Outcome(entry.generation_wanted, reason, message, raw_code)
        self._store.post(settle(entry, outcome, self._clock.now_ms()))

    # What the world does to running bots.

    def follow(self, connection: str) -> None:
        """Tell a connection's bots how it stands."""
        line = self._lines.line(connection)
        for seat in self._books.on(connection):
            seat.obey(line)
            if line.is_online:
                seat.supervisor.retry_now()

    def watch(self, now_ms: int, stale_after_ms: int) -> None:
        """Look at what bots depend on: their connection, prices and clock.

        One that fails holds its bots to exits at once; it lets go after `HEALTHY_LOOKS` in a row.
        """
        for seat in self.seats.values():
            line = self._lines.line(seat.planned.connection)
            seat.obey(line)
            seat.watch(line, now_ms=now_ms, stale_after_ms=stale_after_ms)

    async def stop_all(self) -> None:
        """Stop every bot's task at its next safe point; resting orders stay on the exchange."""
        await stop(self.seats.values())

    def running_count(self) -> int:
        """Return how many bots run."""
        return sum(s.supervisor.status is Ended.RUNNING for s in self.seats.values())


def _is_wanted(entry: Entry | None, connection: str, pair: str) -> bool:
    """Return whether the files still want a live bot of *entry*'s strategy on *pair*."""
    document = entry.document if entry is not None and entry.is_present else None
    if document is None:
        return entry is not None and entry.is_present
    spec = spec_of(document)
    return connection in spec.connections and pair in spec.pairs and spec.mode == "live"


def _arrivals(actions: Iterable[PlanAction]) -> Iterable[DesiredBot]:
    """Yield what *actions* bring into being or give a new generation."""
    for action in actions:
        if isinstance(action, StartBot | UpdateBot):
            yield action.desired
