"""One action to exchange calls, and what the answer means; its intent is durable already."""

from __future__ import annotations

import logging

from backfuturectl.engine.context import Context
from backfuturectl.model.errors import (
    OperationError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
)
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import LegKind, NewOrder, OrderStatus
from backfuturectl.model.status import Reason
from backfuturectl.strategy.base import Cancel, Place

_LOG = logging.getLogger(__name__)


class Wire:
    """Sends what a bot's steps decided; each outcome waits in the context for the next step."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._is_prepared = False
        self._sent_at_ms: dict[str, int] = {}

    def prepare_again(self) -> None:
        """Set leverage and margin mode anew before the next deal."""
        self._is_prepared = False

    def sent_at_ms(self, client_order_id: str) -> int | None:
        """Return when this process sent an order whose fate is open; None when it did not."""
        return self._sent_at_ms.get(client_order_id)

    def is_known(self, client_order_id: str) -> None:
        """Forget when an order was sent: its fate is no longer open."""
        self._sent_at_ms.pop(client_order_id, None)

    async def place(self, action: Place) -> None:
        """Send an order and report how it stands; what it filled is told by a look-up."""
        context, order = self._context, action.order
        bot, client_order_id = context.name.bot, order.client_order_id
        try:
            if action.leg.kind is LegKind.BASE:
                await self._prepare(order)
            if context.holds.forbid(action.leg.kind):
                # The world changed while the intent was being recorded; nothing has been sent.
                context.report(client_order_id, OrderStatus.ABSENT)
                return
            self._sent_at_ms[client_order_id] = context.clock.now_ms()
            placed = await context.account.place(order)
        except OutcomeUnknownError as error:
            _LOG.warning("%s: outcome of %s unknown: %s", bot, action.leg, error)
            context.report(client_order_id, OrderStatus.UNKNOWN)
            return
        except PermanentError as error:
            if error.reason is Reason.ORDER_DUPLICATE:
                # It exists: a look-up tells how it stands.
                context.report(client_order_id, OrderStatus.UNKNOWN)
                return
            _LOG.warning("%s: %s refused: %s", bot, action.leg, error)
            context.on_trouble(error)
            context.report(client_order_id, OrderStatus.REJECTED, error)
            return
        except TransientError as error:
            _LOG.warning("%s: %s not sent: %s", bot, action.leg, error)
            context.report(client_order_id, OrderStatus.ABSENT, error)
            return
        context.journal.acknowledge(client_order_id, placed.order_id)
        # Amounts come with the look-up, together with the fills that explain them.
        context.report(client_order_id, OrderStatus.OPEN)
        context.pace.soon()

    async def cancel(self, action: Cancel) -> None:
        """Ask for an order's end; whether it was canceled or filled is told by a look-up."""
        context = self._context
        row = context.journal.order(action.client_order_id)
        order_id = row.order_id if row is not None else None
        context.pace.soon()
        try:
            await context.account.cancel(context.name.pair, action.client_order_id, order_id)
        except OperationError as error:
            # The look-up that follows says what became of it; the step asks again if it rests.
            context.on_trouble(error)
            _LOG.warning("%s: cancel of %s: %s", context.name.bot, action.client_order_id, error)

    async def _prepare(self, order: NewOrder) -> None:
        context = self._context
        if self._is_prepared or context.market.kind is MarketKind.SPOT:
            return
        await context.account.prepare(
            order.pair, leverage=order.leverage, margin_mode=order.margin_mode or "isolated"
        )
        self._is_prepared = True
