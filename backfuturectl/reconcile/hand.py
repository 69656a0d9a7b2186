"""The operator's hand on running bots: pause and halt until resumed, across restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from backfuturectl.engine.clock import Clock
from backfuturectl.model.records import HoldRecord, halt_note
from backfuturectl.reconcile.books import Books
from backfuturectl.reconcile.seats import Seat
from backfuturectl.store.database import Remove, Store
from backfuturectl.strategy.base import Command, Gate


class Hand:
    """Keeps the holds and makes bots obey them.

    Attributes:
        holds: Those in force, by target and verb.
    """

    def __init__(self, store: Store, clock: Clock, books: Books) -> None:
        self._store = store
        self._clock = clock
        self._books = books
        self._writing = asyncio.Lock()  # what two ask for at once is in the store as in memory
        self.holds: dict[tuple[str, str], HoldRecord] = {}

    def restore(self, holds: Iterable[HoldRecord]) -> None:
        """Take over what the store remembers."""
        self.holds = {(hold.target, hold.verb): hold for hold in holds}

    async def hold(self, target: str, verb: str, *, cancel: bool, close: bool) -> int:
        """Pause or halt the bots of *target* until `lift`; return how many there are now.

        Those that have no seat yet obey when they get one. What an earlier one asked for besides
        stays asked for.

        Args:
            target: ``strategy/NAME``, ``connection/NAME`` or ``all``.
            verb: ``pause``: no new deals. ``halt``: exits only.
            cancel: Also cancel resting orders that would enlarge a position.
            close: Also close open deals at market.
        """
        async with self._writing:
            known = self.holds.get((target, verb))
            if known is not None:
                cancel, close = cancel or known.is_canceling, close or known.is_closing
            note = halt_note(cancel=cancel, close=close)
            record = HoldRecord(target, verb, self._clock.now_ms(), note)
            await self._store.commit([record])
            self.holds[target, verb] = record
        seats = self._books.targeted(target)
        for seat in seats:
            self.lay_on(seat)
        return len(seats)

    async def lift(self, target: str) -> int:
        """Lift every pause and halt of *target*, and let its bots look at the exchange again."""
        async with self._writing:
            lifted = [key for key in self.holds if key[0] == target]
            await self._store.commit([Remove(HoldRecord, key) for key in lifted])
            for key in lifted:
                del self.holds[key]
        seats = self._books.targeted(target)
        for seat in seats:
            seat.bot.command(Command.RESUME)
            if seat.is_draining or seat.is_stopping:
                seat.bot.command(Command.DRAIN)
            seat.bot.forgive()
            self.lay_on(seat)
        return len(seats)

    def take_over(self, target: str) -> int:
        """Leave the open deals of *target* to a person until `lift`; return how many there are."""
        seats = [s for s in self._books.targeted(target) if s.bot.view().deal_number is not None]
        for seat in seats:
            seat.bot.command(Command.TAKE_OVER)
        return len(seats)

    def lay_on(self, seat: Seat) -> None:
        """Make *seat* obey the holds that are in force on it."""
        holds = [hold for hold in self.holds.values() if hold.target in seat.targets]
        verbs = {hold.verb for hold in holds}
        if "pause" in verbs:
            seat.bot.command(Command.PAUSE)
        elif seat.bot.view().is_paused:  # lifted while the bot had no seat
            seat.bot.command(Command.UNPAUSE)
        if any(hold.is_canceling for hold in holds):
            seat.bot.cancel_adding()
        if any(hold.is_closing for hold in holds):
            seat.bot.command(Command.CLOSE)
        if "halt" in verbs:
            seat.bot.hold("operator", Gate.EXITS_ONLY, "halted by the operator")
        else:
            seat.bot.release("operator")
