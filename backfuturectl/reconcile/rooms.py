"""Whose deals share a strategy's margin limit: one room per strategy, for all its bots.

A bot that the store remembers keeps its place from the first moment on, before it is seated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

from backfuturectl.engine.room import DealRoom
from backfuturectl.model.market import ZERO
from backfuturectl.model.records import BotRecord
from backfuturectl.model.units import Money
from backfuturectl.planning.plan import DesiredBot
from backfuturectl.reconcile.books import Books
from backfuturectl.store.database import Store
from backfuturectl.strategy.registry import KINDS


class Rooms:
    """The room of every strategy that has bots."""

    def __init__(self, store: Store, books: Books) -> None:
        self._store = store
        self._books = books
        self._rooms: dict[str, DealRoom] = {}

    def of(self, desired: DesiredBot) -> DealRoom:
        """Return the room of *desired*'s strategy, as that generation has it."""
        room = self._rooms.setdefault(desired.strategy, DealRoom())
        room.deals_max = desired.spec.max_active_deals or 1
        room.limit = _limit(desired)
        self._pair_up(desired, room)
        return room

    def shared(self, desired: DesiredBot, setup: Any, *, has_open_deal: bool) -> Any:
        """Return *setup* with what the bot's deal may use by now of the margin limit.

        An open deal that adopts an edit is booked anew, with an equal share of the new limit.
        """
        room = self.of(desired)
        share = room.allowance(desired.bot)
        if desired.spec.on_change == "adopt" and has_open_deal:
            share = room.limit / room.deals
            room.note(desired.bot, has_deal=True, share=share)
        return KINDS[desired.spec.kind].sharing(setup, deals=room.deals, share=share)

    async def remember(
        self, strategy: str, stored: Iterable[tuple[BotRecord, DesiredBot | None]]
    ) -> None:
        """Keep the places of bots that the store has, each with what it ran, if that is known."""
        room = self._rooms.setdefault(strategy, DealRoom())
        for record, wanted in stored:
            bot = record.bot
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

    def booked(self, strategy: str, bots: Collection[str]) -> Decimal:
        """Return what the open deals of *bots* were planned for, quote."""
        room = self._rooms.get(strategy)
        return ZERO if room is None else room.booked(bots)

    def leave(self, desired: DesiredBot) -> None:
        """Give back the place of a bot that is gone and held no deal."""
        room = self._rooms.get(desired.strategy)
        if room is not None:
            room.note(desired.bot, has_deal=False)

    def forget(self, strategy: str) -> None:
        """Forget the margin of a strategy that is gone."""
        self._rooms.pop(strategy, None)

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


def _limit(desired: DesiredBot) -> Decimal:
    limit = desired.spec.margin_limit
    assert isinstance(limit, Money), "presets are filled in, and shares turned into money"
    return limit.amount
