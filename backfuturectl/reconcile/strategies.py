"""One Strategy: plan its bots, carry the plan out, keep what could not be confirmed on the books.

A generation is applied whole: every setup is built and proven before the first bot changes. A bot
that was told to end stays here until the exchange confirmed that nothing of it is left.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from backfuturectl.config.parsing import Document
from backfuturectl.engine.bot import Bot
from backfuturectl.engine.clock import Clock
from backfuturectl.engine.journal import BotName, Journal, Provenance
from backfuturectl.engine.room import DealRoom
from backfuturectl.model.errors import OperationError, PermanentError, TransientError
from backfuturectl.model.market import Market
from backfuturectl.model.records import BotRecord, HoldRecord, ResourceRecord
from backfuturectl.model.resources import Connection, Strategy
from backfuturectl.model.status import Reason
from backfuturectl.model.units import Money
from backfuturectl.planning.conditions import Outcome
from backfuturectl.planning.plan import (
    DesiredBot,
    DrainBot,
    Ending,
    PlanAction,
    RefuseEdit,
    ReplaceBot,
    RunningBot,
    StartBot,
    StopBot,
    UpdateBot,
    plan,
)
from backfuturectl.reconcile import queue
from backfuturectl.reconcile.connections import Line, Lines
from backfuturectl.reconcile.registry import Entry, Registry, settle
from backfuturectl.reconcile.seats import Seat, desired_bots, running_bot, spec_of
from backfuturectl.reconcile.source import stored_document
from backfuturectl.reconcile.supervisor import Ended, Supervisor
from backfuturectl.store.database import Remove, Store
from backfuturectl.strategy.base import BotIdentity, Command, Gate
from backfuturectl.strategy.registry import KINDS

_LOG = logging.getLogger(__name__)

WIND_DOWN_LOOK_S: Final = 2.0
"""How often a bot that was told to end is looked at."""

_LEAVE: Final = "leave"
_CANCEL: Final = "cancel"
_COMMANDS: Final = {Ending.CLOSE: Command.CLOSE, Ending.ABANDON: Command.ABANDON}


@dataclass(slots=True)
class _Pass:
    """What one pass over a strategy left undone.

    Attributes:
        trouble: Why a bot on the books could not be seated; None when all could.
        setups: What was built and proven, by bot.
        sources: The Strategy document that each bot of this pass is to run, by its digest.
    """

    waits_for: str = ""
    trouble: PermanentError | None = None
    refused: str = ""
    is_winding: bool = False
    setups: dict[str, tuple[Any, Market]] = field(default_factory=dict)
    sources: dict[str, bytes] = field(default_factory=dict)


class Strategies:
    """Runs the bots of every strategy; one call at a time per strategy (the queue's word)."""

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
        self._jitter = jitter
        self._registry = registry
        self._lines = lines
        self._tasks = tasks
        self._on_trouble = on_trouble
        self._stored: dict[str, BotRecord] = {}
        self._rooms: dict[str, DealRoom] = {}
        self.seats: dict[str, Seat] = {}
        self.leaving: set[str] = set()
        self.holds: dict[tuple[str, str], HoldRecord] = {}
        self.commit = ""

    async def restore(self) -> None:
        """Read from the store which bots there were."""
        self._stored = {record.bot: record for record in await self._store.bots()}
        holds = await self._store.holds()
        self.leaving = {hold.target.partition("/")[2] for hold in holds if hold.verb == _LEAVE}
        self.holds = {(hold.target, hold.verb): hold for hold in holds if hold.verb != _LEAVE}

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

    # The operator's hand.

    async def hold(self, target: str, verb: str, *, cancel: bool, close: bool) -> int:
        """Pause or halt the bots of *target* until `lift`; return how many there are now.

        Args:
            target: ``strategy/NAME``, ``connection/NAME`` or ``all``.
            verb: ``pause``: no new deals. ``halt``: exits only.
            cancel: Also cancel resting orders that would enlarge a position.
            close: Also close open deals at market.
        """
        record = HoldRecord(target, verb, self._clock.now_ms(), note=_CANCEL if cancel else "")
        await self._store.commit([record])
        self.holds[target, verb] = record
        seats = [seat for seat in self.seats.values() if target in seat.targets]
        for seat in seats:
            self._lay_hand_on(seat)
            if close:
                seat.bot.command(Command.CLOSE)
        return len(seats)

    async def lift(self, target: str) -> int:
        """Lift every pause and halt of *target*, and let its bots look at the exchange again."""
        lifted = [key for key in self.holds if key[0] == target]
        await self._store.commit([Remove(HoldRecord, key) for key in lifted])
        for key in lifted:
            del self.holds[key]
        seats = [seat for seat in self.seats.values() if target in seat.targets]
        for seat in seats:
            seat.bot.command(Command.RESUME)
            if seat.is_draining or seat.is_stopping:
                seat.bot.command(Command.DRAIN)
            seat.bot.forgive()
            self._lay_hand_on(seat)
        return len(seats)

    def _lay_hand_on(self, seat: Seat) -> None:
        """Make *seat* obey the holds that are in force on it."""
        holds = [hold for hold in self.holds.values() if hold.target in seat.targets]
        verbs = {hold.verb for hold in holds}
        if "pause" in verbs:
            seat.bot.command(Command.PAUSE)
        if any(hold.note == _CANCEL for hold in holds):
            seat.bot.cancel_adding()
        if "halt" in verbs:
            seat.bot.hold("operator", Gate.EXITS_ONLY, "halted by the operator")
        else:
            seat.bot.release("operator")

    def on_books(self) -> set[str]:
        """Return the strategies that have a bot, running or stored."""
        running = {seat.planned.strategy for seat in self.seats.values()}
        stored = {record.strategy for record in self._stored.values() if not record.is_retired}
        return running | stored

    def uses(self, connection: str) -> bool:
        """Return whether a bot or a strategy still needs *connection*."""
        if any(seat.planned.connection == connection for seat in self.seats.values()):
            return True
        return any(
            spec_of(document).connection == connection
            for entry in self._registry.of_kind("Strategy")
            for document in (entry.desired, entry.applied)
            if document is not None
        )

    def of(self, strategy: str) -> dict[str, Seat]:
        """Return the bots of one strategy."""
        return {
            name: seat for name, seat in self.seats.items() if seat.planned.strategy == strategy
        }

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
            return queue.Done()
        except TransientError as error:
            await self._tell(entry, error.reason, str(error), error.raw_code)
            return queue.Failed(error.retry_after_s)

    async def _pass(self, entry: Entry) -> queue.Ending:
        left = _Pass()
        await self._resume(entry, left)
        await self._move(entry.name, left)
        is_leaving = entry.name in self.leaving
        document = None if is_leaving or not entry.is_present else entry.document
        if not entry.is_present and not is_leaving:
            document = entry.applied  # the deletion guard has not let it go
        desired = self._desired(entry, document) if document is not None else {}
        running = {name: seat.running() for name, seat in self.of(entry.name).items()}
        if document is not None:
            left.sources[document.digest] = document.source
        actions = plan(desired, running, departing=self._departing(entry.name))
        if document is not None:
            actions = self._whole(actions, document, entry.name)
        # Everything new is built before anything old is touched.
        for wanted in _arrivals(actions):
            await self._build(wanted, left)
        for action in actions:
            await self._apply(action, left)
        for seat in self.of(entry.name).values():
            if document is not None and seat.refused_digest == document.digest:
                left.refused = seat.refused_why
            left.is_winding = left.is_winding or seat.is_draining or seat.is_stopping
        if left.trouble is not None:
            raise left.trouble
        return await self._conclude(entry, document, left)

    def _whole(
        self, actions: tuple[PlanAction, ...], document: Document, name: str
    ) -> tuple[PlanAction, ...]:
        """Return *actions*, or none but the refusals: a generation is applied whole or not at all.

        While one bot refuses the document, the strategy's others keep the old one too, also those
        that could take it.
        """
        seats = self.of(name).values()
        refusals = tuple(action for action in actions if isinstance(action, RefuseEdit))
        standing = [
            seat
            for seat in seats
            if seat.refused_digest == document.digest
            and seat.planned.digest != document.digest
            and seat.has_open_deal
        ]
        if not refusals and not standing:
            for seat in seats:
                seat.refused_digest = None
            return actions
        why = refusals[0].why if refusals else standing[0].refused_why
        for seat in seats:
            seat.refused_digest = document.digest
            seat.refused_why = why
        return ()

    def _departing(self, strategy: str) -> tuple[RunningBot, ...]:
        """Return bots of other strategies that the files no longer name, seated or only stored.

        A strategy that was renamed looks like one that left and one that came: the newcomer must
        wait until its predecessor is off the account and pair.
        """
        present = {e.name for e in self._registry.of_kind("Strategy") if e.is_present}
        seated = [
            seat.running()
            for seat in self.seats.values()
            if seat.planned.strategy != strategy and seat.planned.strategy not in present
        ]
        stored = [
            running_bot(wanted, has_open_deal=True)
            for record in self._unseated()
            if record.strategy != strategy
            and record.strategy not in present
            and (wanted := self._remembered(record)) is not None
        ]
        return (*seated, *stored)

    def _unseated(self, strategy: str | None = None) -> list[BotRecord]:
        """Return the stored bots that are on the books and have no seat yet."""
        return [
            record
            for record in self._stored.values()
            if record.bot not in self.seats
            and not record.is_retired
            and strategy in {None, record.strategy}
        ]

    def _remembered(self, record: BotRecord) -> DesiredBot | None:
        """Return what a stored bot ran, by the very document it ran; None when that is unknown."""
        document = stored_document(record.document, record.strategy) if record.document else None
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

    async def _resume(self, entry: Entry, left: _Pass) -> None:
        """Seat the bots that the store remembers, each with the document it ran."""
        stored = self._unseated(entry.name)
        room = self._rooms.setdefault(entry.name, DealRoom())
        remembered = {record.bot: self._remembered(record) for record in stored}
        for bot, wanted in remembered.items():
            # Until a bot shows that it is flat, its deal counts: the others must not take its room.
            share = _share(wanted) if wanted is not None else None
            room.note(bot, has_deal=True, share=share)
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
                await self._seat(wanted, left)

    async def _move(self, strategy: str, left: _Pass) -> None:
        """Move bots to the account of their connection's newest key, once that key passed."""
        moving = [
            seat
            for seat in self.of(strategy).values()
            if (line := self._lines.line(seat.planned.connection)).is_online
            and seat.account_digest != line.account_digest
            and await self._is_built(seat.planned, left)
        ]
        await _stop(moving)
        for seat in moving:
            del self.seats[seat.planned.bot]
            await self._reseat(seat)

    def _desired(
        self, entry: Entry, document: Document, *, extra: Iterable[BotRecord] = ()
    ) -> dict[str, DesiredBot]:
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
            extra_pairs=[record.pair for record in extra],
        )

    async def _is_built(self, wanted: DesiredBot, left: _Pass) -> bool:
        """Build a bot that is on the books; what is wrong with it is no trouble of the others.

        One that no longer fits, since the exchange changed its rules, still manages its open deal.
        """
        try:
            await self._build(wanted, left)
        except PermanentError as error:
            left.trouble = error
            if error.reason is Reason.PROOF_FAILED:
                await self._build(wanted, left, must_fit=False)
        return wanted.bot in left.setups

    async def _build(self, wanted: DesiredBot, left: _Pass, *, must_fit: bool = True) -> None:
        """Prove *wanted* against the exchange's own market rules.

        Raises:
            PermanentError: A proof fails, or the market is not there; nothing was changed.
        """
        line = self._lines.line(wanted.connection)
        if line.shared is None or not self._is_ready(line):
            left.waits_for = wanted.connection
            return
        markets = await line.shared.public.markets()
        market = markets.get(wanted.pair)
        is_known = wanted.bot in self.seats or wanted.bot in self._stored
        if market is None or not (market.is_active or is_known):
            raise PermanentError(
                Reason.MARKET_UNAVAILABLE,
                f"{wanted.pair} does not exist on {line.shared.public.exchange}, or is closed",
            )
        identity = BotIdentity(self._store.installation, wanted.bot)
        spec = wanted.spec
        if spec.on_change == "adopt":
            # Deals that are open share the limit, however few the edit allows from now on.
            open_deals = sum(s.has_open_deal for s in self.of(wanted.strategy).values())
            spec = spec.model_copy(
                update={"max_active_deals": max(spec.max_active_deals or 1, open_deals)}
            )
        setup = KINDS[spec.kind].setup(spec, market, identity, must_fit=must_fit)
        left.setups[wanted.bot] = (setup, market)

    def _is_ready(self, line: Line) -> bool:
        """Whether the connection's present document passed its test."""
        entry = self._registry.get("Connection", line.name)
        document = entry.document if entry is not None else None
        return line.is_online and document is not None and line.tested_digest == document.digest

    # Carrying out.

    async def _apply(self, action: PlanAction, left: _Pass) -> None:
        match action:
            case StartBot(_, desired, after):
                await self._start(desired, after, left)
            case UpdateBot(bot, desired, changes, is_resumed):
                self._update(self.seats[bot], desired, left, is_resumed=is_resumed)
                if changes:
                    fields = ", ".join(
                        f"{item.change.path}: {item.change.old} → {item.change.new}"
                        for item in changes
                    )
                    _LOG.info("%s: %s", bot, fields)
            case RefuseEdit():
                pass  # `_whole` lets no refusal through
            case DrainBot(bot, why):
                self._drain(self.seats[bot], why, left)
            case StopBot(bot, how, why):
                await self._end(self.seats[bot], how, why, left)
            case ReplaceBot(bot, _, how, _, _):
                seat = self.seats[bot]
                if how is Ending.DRAIN:
                    self._drain(seat, "an edit waits for it", left)
                else:
                    await self._end(seat, how, "an edit replaces it", left)
                left.is_winding = True

    async def _start(self, desired: DesiredBot, after: tuple[str, ...], left: _Pass) -> None:
        unseated = {record.bot for record in self._unseated()}
        if any(name in self.seats or name in unseated for name in after):
            left.is_winding = True
            return
        await self._seat(desired, left)

    async def _seat(self, desired: DesiredBot, left: _Pass) -> None:
        built = left.setups.get(desired.bot)
        if built is None:
            return  # its connection is not Online; that is in *left* already
        setup, market = built
        kind = KINDS[desired.spec.kind]
        name = BotName(
            desired.bot, desired.strategy, desired.connection, desired.pair, desired.spec.kind
        )
        journal = await Journal.load(self._store, name)
        # From here on nothing waits: the line that is read is the line that is obeyed.
        line = self._lines.line(desired.connection)
        if line.account is None or line.shared is None:
            left.waits_for = desired.connection
            return
        stored = self._stored.get(desired.bot)
        bot = Bot(
            name,
            installation=self._store.installation,
            kind=kind,
            state=kind.load(stored.state, setup) if stored is not None else kind.initial(setup),
            market=market,
            account=line.account,
            journal=journal,
            room=self._room(desired),
            clock=self._clock,
            jitter=self._jitter,
            provenance=self._provenance(desired, left),
            on_trouble=lambda error: self._on_trouble(desired.connection, error),
        )
        supervisor = Supervisor(
            bot, on_trouble=lambda error: self._on_trouble(desired.connection, error)
        )
        seat = Seat(supervisor, desired, line.account_digest, self._clock.now_ms())
        self.seats[desired.bot] = seat
        if stored is not None and stored.is_retired:
            bot.command(Command.RESUME)  # it was drained when it left; it is wanted again
        else:
            seat.is_draining = bot.view().is_draining
        seat.obey(line)
        self._lay_hand_on(seat)
        line.shared.feed.listen(desired.pair, desired.bot, bot.offer_price)
        supervisor.start(self._tasks)

    def _provenance(self, desired: DesiredBot, left: _Pass) -> Provenance:
        return Provenance(desired.generation, self.commit, left.sources.get(desired.digest, b""))

    def _room(self, desired: DesiredBot) -> DealRoom:
        room = self._rooms.setdefault(desired.strategy, DealRoom())
        room.deals_max = desired.spec.max_active_deals or 1
        room.limit = _limit(desired)
        return room

    def _update(self, seat: Seat, desired: DesiredBot, left: _Pass, *, is_resumed: bool) -> None:
        built = left.setups.get(desired.bot)
        if built is None:
            return  # its connection is not Online; the old generation goes on
        setup, market = built
        room = self._room(desired)
        if desired.spec.on_change == "adopt" and seat.has_open_deal:
            shares = max(room.deals_max, room.holders)
            room.note(desired.bot, has_deal=True, share=room.limit / shares)
        seat.bot.adopt(setup, market, self._provenance(desired, left))
        seat.planned = desired
        seat.refused_digest = None
        if is_resumed and seat.is_draining:
            seat.is_draining = False
            seat.bot.command(Command.RESUME)
            self._lay_hand_on(seat)  # a pause is the operator's to lift

    def _drain(self, seat: Seat, why: str, left: _Pass) -> None:
        left.is_winding = True
        if not seat.is_draining:
            _LOG.info("%s: draining: %s", seat.planned.bot, why)
            seat.is_draining = True
            seat.bot.command(Command.DRAIN)

    async def _end(self, seat: Seat, how: Ending, why: str, left: _Pass) -> None:
        if how is not Ending.FLAT and seat.has_open_deal:
            left.is_winding = True
            if not seat.is_stopping:
                _LOG.info("%s: %s: %s", seat.planned.bot, how, why)
                seat.is_stopping = True
                seat.bot.command(_COMMANDS[how])
            return
        if not await self._unseat(seat):
            left.is_winding = True
            return
        await self._retire(seat.planned.bot)
        _LOG.info("%s: stopped: %s", seat.planned.bot, why)

    async def _retire(self, bot: str) -> None:
        """Take a bot off the books; its state stays, since its deal numbers must never repeat."""
        records = await self._store.bots()
        record = next((record for record in records if record.bot == bot), None)
        if record is not None:
            # Should the commit fail, the next pass seats the bot as it is now, not as it once was.
            self._stored[bot] = record
            retired = replace(record, is_retired=True)
            await self._store.commit([retired])
            self._stored[bot] = retired

    async def _unseat(self, seat: Seat) -> bool:
        """Stop a flat bot's task; return False when it took a deal in the last moment."""
        name = seat.planned.bot
        line = self._lines.line(seat.planned.connection)
        if line.shared is not None:
            line.shared.feed.mute(seat.planned.pair, name)
        await seat.supervisor.stop()
        del self.seats[name]
        if seat.has_open_deal:
            await self._reseat(seat)
            return False
        room = self._rooms.get(seat.planned.strategy)
        if room is not None:
            room.note(name, has_deal=False)
        return True

    async def _reseat(self, seat: Seat) -> None:
        """Run the same bot again after its task ended, from what the store remembers."""
        name = seat.planned.bot
        records = await self._store.bots()
        self._stored.update({record.bot: record for record in records if record.bot == name})
        left = _Pass()
        left.sources[seat.planned.digest] = seat.bot.provenance.document
        await self._build(seat.planned, left)
        await self._seat(seat.planned, left)
        fresh = self.seats.get(name)
        if fresh is not None and (seat.is_draining or seat.is_stopping):
            fresh.is_draining = True
            fresh.bot.command(Command.DRAIN)

    # The end of a pass.

    async def _conclude(self, entry: Entry, document: Document | None, left: _Pass) -> queue.Ending:
        now_ms = self._clock.now_ms()
        if left.refused:
            await self._tell(entry, Reason.EDIT_REFUSED, left.refused)
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
        if document is None and not self.of(entry.name):
            await self._store.commit([Remove(ResourceRecord, ("Strategy", entry.name))])
            await self.keep(entry.name)
            self._rooms.pop(entry.name, None)
            if not entry.is_present:
                self._registry.drop(entry.key)
            return queue.Done()
        if left.is_winding:
            await self._tell(entry, Reason.PROGRESSING, "bots are ending their deals")
            return queue.Again(WIND_DOWN_LOOK_S)
        if document is not None and entry.desired is document and not entry.is_current:
            record = self._registry.applied(entry, document, now_ms)
            await self._store.commit([record])
        await self._tell(entry, Reason.RECONCILE_SUCCEEDED, "")
        return queue.Done()

    async def _tell(
        self, entry: Entry, reason: Reason, message: str, raw_code: str | None = None
    ) -> None:
        outcome = Outcome(entry.generation_wanted, reason, message, raw_code)
        self._store.post(settle(entry, outcome, self._clock.now_ms()))

    # What the world does to running bots.

    def follow(self, connection: str) -> None:
        """Tell a connection's bots how it stands."""
        line = self._lines.line(connection)
        for seat in [s for s in self.seats.values() if s.planned.connection == connection]:
            seat.obey(line)

    def watch_prices(self, now_ms: int, stale_after_ms: int) -> None:
        """Hold bots back whose prices are stale, and let go of those whose prices came back."""
        for seat in self.seats.values():
            line = self._lines.line(seat.planned.connection)
            pair = seat.planned.pair
            last_ms = line.shared.feed.last_at_ms(pair) if line.shared is not None else 0
            last_ms = max(last_ms, seat.seated_at_ms)
            if now_ms - last_ms > stale_after_ms:
                seat.bot.hold("prices", Gate.EXITS_ONLY, "no fresh price")
            else:
                seat.bot.release("prices")

    async def stop_all(self) -> None:
        """Stop every bot's task at its next safe point; resting orders stay on the exchange."""
        await _stop(self.seats.values())

    def running_count(self) -> int:
        """Return how many bots run."""
        return sum(s.supervisor.status is Ended.RUNNING for s in self.seats.values())


def _arrivals(actions: Iterable[PlanAction]) -> Iterable[DesiredBot]:
    """Yield what *actions* bring into being or give a new generation."""
    for action in actions:
        if isinstance(action, StartBot | UpdateBot):
            yield action.desired


def _limit(desired: DesiredBot) -> Decimal:
    limit = desired.spec.margin_limit
    assert isinstance(limit, Money), "presets are filled in, and shares turned into money"
    return limit.amount


def _share(desired: DesiredBot) -> Decimal:
    """Return what a deal of *desired* was planned for, quote."""
    return _limit(desired) / (desired.spec.max_active_deals or 1)


async def _stop(seats: Iterable[Seat]) -> None:
    """Stop the tasks of *seats*, all at once."""
    async with asyncio.TaskGroup() as group:
        for seat in seats:
            group.create_task(seat.supervisor.stop(), name=f"stop {seat.planned.bot}")
