"""A bot's state, and the one way it moves on: step, record, then act."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any, Final

from backfuturectl.engine.context import Context
from backfuturectl.engine.entries import Provenance
from backfuturectl.engine.room import DealRoom
from backfuturectl.engine.wire import Wire
from backfuturectl.model.errors import TransientError
from backfuturectl.model.orders import Fill
from backfuturectl.strategy.base import (
    Band,
    BotView,
    Cancel,
    Event,
    Exposure,
    GateChanged,
    IndicatorSeen,
    Kind,
    Note,
    OpenOrder,
    OrderChanged,
    Place,
    PriceSeen,
)
from backfuturectl.strategy.outlook import Outlook

_LOG = logging.getLogger(__name__)

REMEMBERED_MAX: Final = 32
"""So many prices wait for the next look at the state; one more is looked at like a loud one."""


class Stepper:
    """Takes one event at a time.

    Attributes:
        provenance: What the next orders are traced to.
    """

    def __init__(
        self,
        context: Context,
        wire: Wire,
        *,
        kind: Kind[Any],
        state: Any,
        room: DealRoom,
        provenance: Provenance,
    ) -> None:
        self._context = context
        self._bot = context.name.bot
        self._wire = wire
        self._kind = kind
        self._stepped = state
        self._band: Band | None = None
        self._unseen: list[tuple[Decimal, int]] = []
        self._seen_ms = 0
        self._room = room
        self._open_orders: tuple[OpenOrder, ...] | None = None
        self.provenance = provenance
        self.book(is_sure=False)

    @property
    def _state(self) -> Any:
        """The strategy's state, with the prices in it that decided nothing."""
        if self._unseen:
            self._stepped = self._kind.remember(self._stepped, self._unseen)
            self._unseen.clear()
        return self._stepped

    def view(self) -> BotView:
        """Return what people see of the bot."""
        return self._kind.view(self._state)

    def outlook(self) -> Outlook | None:
        """Return what the open deal waits for; None without one."""
        return self._kind.outlook(self._state)

    def exposure(self) -> Exposure | None:
        """Return what a futures position has to keep clear of; None on spot and while flat."""
        return self._kind.exposure(self._state)

    def open_orders(self) -> tuple[OpenOrder, ...]:
        """Return the orders that may rest on the exchange right now."""
        if self._open_orders is None:
            self._open_orders = self._kind.open_orders(self._state)
        return self._open_orders

    def may_open(self) -> bool:
        """Return whether the strategy has room for a deal of this bot now."""
        return self._room.has_room(self._bot)

    def book(self, *, is_sure: bool) -> None:
        """Take the room for a deal, or leave it to others; who is not sure to be flat keeps it.

        A bot whose journal may lack what it did could hold a deal that it does not know of.
        """
        self._is_sure = is_sure
        self._book(self._state)

    def _book(self, state: Any) -> None:
        bot, has_deal = self._bot, self._kind.has_deal(state)
        if has_deal or self._is_sure:
            self._room.note(bot, has_deal=has_deal)
        else:
            self._room.doubt(bot)

    def rest(self) -> None:
        """Find out which prices decide nothing, until the next step."""
        band = self._kind.band(self._state)
        if band is not None:
            self._band = band.narrowed(self.open_orders())
            self._seen_ms = band.seen_ms

    def remembers(self, price: Decimal, at_ms: int) -> bool:
        """Remember *price* if it decides nothing; return whether it did.

        The state takes it in when somebody looks at it. This is what nearly every price costs.
        """
        band = self._band
        if (
            band is None
            or not band.low < price < band.high
            or not self._seen_ms <= at_ms < band.until_ms
            or at_ms - self._seen_ms > band.gap_ms
            or len(self._unseen) >= REMEMBERED_MAX
            or (band.wants_room and self._room.has_room(self._bot))
        ):
            return False
        if not band.each_counts:
            self._unseen.clear()
        self._unseen.append((price, at_ms))
        self._seen_ms = at_ms
        return True

    def leaves_on(self, event: PriceSeen) -> bool:
        """Return whether the step on *event* would ask for an exit, or clear the way for one."""
        return any(
            isinstance(action, Cancel)
            or (isinstance(action, Place) and not action.leg.kind.is_adding)
            for action in self._kind.step(self._state, event).actions
        )

    async def take_results(self) -> None:
        """Take all that is known of the bot's own calls and orders."""
        results = self._context.results
        while results:
            change, fills = results.popleft()
            await self.take(change, fills)

    async def take(self, event: Event, fills: tuple[Fill, ...] = ()) -> None:
        """Step on *event*, make it durable with *fills*, and send what it decided.

        Raises:
            TransientError: The store failed: nothing was recorded, sent or changed.
        """
        decided_ms = self._context.clock.now_ms()
        step = self._kind.step(self._state, event)
        if not step.actions and isinstance(event, PriceSeen | IndicatorSeen | GateChanged):
            self._advance(step.state)  # news of a market come again after a restart
            return
        if not (step.actions or fills) and step.state == self._state:
            return
        context = self._context
        bot = self._bot
        # Booked before the first await, so that no other bot of the strategy takes the same room.
        self._book(step.state)
        try:
            await context.journal.record(
                state=self._kind.dump(step.state),
                actions=step.actions,
                change=event if isinstance(event, OrderChanged) else None,
                fills=fills,
                provenance=self.provenance,
                now_ms=context.clock.now_ms(),
            )
        except TransientError:
            self._book(self._state)
            raise
        self._advance(step.state)
        for action in step.actions:
            match action:
                case Place():
                    await self._wire.place(action, decided_ms)
                case Cancel():
                    await self._wire.cancel(action)
                case Note():
                    level = logging.WARNING if action.is_warning else logging.INFO
                    _LOG.log(level, "%s: %s: %s", bot, action.reason, action.message)
                case _:
                    pass  # deals are rows, written above

    def _advance(self, state: Any) -> None:
        self._stepped = state
        self._band = None
        self._open_orders = None
