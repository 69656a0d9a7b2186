"""Carry out the plan of one strategy: whole or not at all, and what has to end in its own time."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from backfuturectl.config.parsing import Document
from backfuturectl.planning.plan import (
    DesiredBot,
    DrainBot,
    Ending,
    PlanAction,
    RefuseEdit,
    ReplaceBot,
    StartBot,
    StopBot,
    UpdateBot,
)
from backfuturectl.reconcile.books import Books
from backfuturectl.reconcile.building import Pass
from backfuturectl.reconcile.seating import Seating
from backfuturectl.reconcile.seats import Seat
from backfuturectl.strategy.base import Command, Note

_LOG = logging.getLogger(__name__)

_COMMANDS: Final = {Ending.CLOSE: Command.CLOSE, Ending.ABANDON: Command.ABANDON}


def whole(
    actions: tuple[PlanAction, ...], document: Document, seats: Collection[Seat]
) -> tuple[PlanAction, ...]:
    """Return *actions*, or none but the refusals: a generation is applied whole or not at all.

    While one bot refuses the document, the strategy's others keep the old one too, also those
    that could take it.
    """
    refusals = tuple(action for action in actions if isinstance(action, RefuseEdit))
    standing = [
        seat
        for seat in seats
        if seat.refused_digest == document.digest
        and seat.planned.digest != document.digest
        and seat.may_hold_deal
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


class Applying:
    """Carries out one action after another; a bot that is to end is told so once."""

    def __init__(self, books: Books, seating: Seating) -> None:
        self._books = books
        self._seating = seating

    async def apply(self, action: PlanAction, left: Pass) -> None:
        """Carry out *action*; *left* takes what has to be waited for."""
        match action:
            case StartBot(_, desired, after):
                await self._start(desired, after, left)
            case UpdateBot(bot, desired, changes, is_resumed):
                seat = self._books.seats[bot]
                self._seating.update(seat, desired, left, is_resumed=is_resumed)
                if changes and seat.planned is desired:
                    fields = ", ".join(str(item.change) for item in changes)
                    _LOG.info("%s: %s", bot, fields)
                    _tell_deal(seat, "EditApplied", f"generation {desired.generation}: {fields}")
            case RefuseEdit():
                pass  # `whole` lets no refusal through
            case DrainBot(bot, why):
                self._drain(self._books.seats[bot], why, left)
            case StopBot(bot, how, why, field):
                await self._end(self._books.seats[bot], how, why, left, field=field)
            case ReplaceBot(bot, _, how, _, _):
                seat = self._books.seats[bot]
                if how is Ending.DRAIN:
                    self._drain(seat, "an edit waits for it", left)
                else:
                    await self._end(seat, how, "an edit replaces it", left, field="spec.onChange")
                left.is_winding = True

    async def _start(self, desired: DesiredBot, after: tuple[str, ...], left: Pass) -> None:
        there = [b for b in after if b in self._books.seats or self._books.is_unseated(b)]
        if there:
            left.is_winding, left.behind = True, f"{there[0]}, which trades {desired.pair} there"
            return
        await self._seating.seat(desired, left)

    def _drain(self, seat: Seat, why: str, left: Pass) -> None:
        left.is_winding = True
        if not seat.is_draining:
            _LOG.info("%s: draining: %s", seat.planned.bot, why)
            _tell_deal(seat, "Draining", why)
            seat.is_draining = True
            seat.bot.command(Command.DRAIN)

    async def _end(self, seat: Seat, how: Ending, why: str, left: Pass, *, field: str) -> None:
        if how is not Ending.FLAT and seat.may_hold_deal:
            left.is_winding = True
            if not seat.is_stopping:
                _LOG.info("%s: %s: %s", seat.planned.bot, how, why)
                _tell_deal(seat, "Ending", f"{why}: {how}")
                seat.is_stopping = True
                seat.bot.command(_COMMANDS[how], field)
            return
        if not await self._seating.unseat(seat, left):
            left.is_winding = True
            return
        await self._seating.retire(seat.planned.bot)
        _LOG.info("%s: stopped: %s", seat.planned.bot, why)


def _tell_deal(seat: Seat, reason: str, message: str) -> None:
    """Add what the files did to the story of the open deal, if there is one."""
    if seat.has_open_deal:
        seat.bot.note(Note(reason, message))
