"""One action to exchange calls, and what the answer means; its intent is durable already."""

from __future__ import annotations

import asyncio
import logging

from backfuturectl.engine.context import Context
from backfuturectl.engine.prices import STALE_AFTER_MS
from backfuturectl.engine.recover import position_mismatch
from backfuturectl.engine.settings import SETTINGS, SETTINGS_REASON, restrict, settings_mismatch
from backfuturectl.model.errors import (
    OperationError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
)
from backfuturectl.model.market import ZERO, MarketKind
from backfuturectl.model.orders import LegKind, OrderStatus
from backfuturectl.model.status import Reason
from backfuturectl.strategy.base import Cancel, Note, Place

_LOG = logging.getLogger(__name__)


class Wire:
    """Sends what a bot's steps decided; each outcome waits in the context for the next step."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._is_verified = False
        self._sent_at_s: dict[str, float] = {}

    def verify_again(self) -> None:
        """Check leverage and margin mode anew before the next order that adds."""
        self._is_verified = False

    def sent_at_s(self, client_order_id: str) -> float | None:
        """Return when this process sent an order whose fate is open; None when it did not.

        On the loop's clock: see `lookups`.
        """
        return self._sent_at_s.get(client_order_id)

    def is_known(self, client_order_id: str) -> None:
        """Forget when an order was sent: its fate is no longer open."""
        self._sent_at_s.pop(client_order_id, None)

    async def place(self, action: Place, decided_ms: int) -> None:
        """Send an order and report how it stands; what it filled is told by a look-up.

        One that adds is sent only while the decision of *decided_ms* is fresh: recording it, or
        the orders before it, may have taken their time. An exit is never too old.
        """
        context, order = self._context, action.order
        bot, client_order_id = context.name.bot, order.client_order_id
        try:
            if action.leg.kind.is_adding and context.market.kind is MarketKind.FUTURES:
                await self._verify(action)
            is_old = abs(context.clock.now_ms() - decided_ms) > STALE_AFTER_MS
            if context.holds.forbid(action.leg.kind) or (is_old and action.leg.kind.is_adding):
                # The world changed while the intent was being recorded; nothing has been sent.
                context.report(client_order_id, OrderStatus.ABSENT)
                return
            self._sent_at_s[client_order_id] = asyncio.get_running_loop().time()
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
            self.is_known(client_order_id)
            _LOG.warning("%s: %s refused: %s", bot, action.leg, error)
            context.on_trouble(error)
            context.report(client_order_id, OrderStatus.REJECTED, error)
            context.is_position_doubted = not action.leg.kind.is_adding
            context.pace.urgent()
            return
        except TransientError as error:
            self.is_known(client_order_id)
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

    async def _verify(self, action: Place) -> None:
        """Have leverage, margin mode and position mode as the document says, or send nothing.

        Before a deal's first order they are set and read back. Before the first rung of a process,
        or of an edit, they are only read: an open position keeps them from being changed.
        """
        context, order = self._context, action.order
        leverage, margin_mode = order.leverage, order.margin_mode or "isolated"
        if action.leg.kind is LegKind.BASE:
            self._is_verified = False
            await self._prepare(order.pair, leverage, margin_mode)
            await self._require_flat(order.pair)
        elif not self._is_verified:
            shown = await context.account.settings(order.pair)
            assert shown is not None, "a futures market has settings"
            trouble = settings_mismatch(leverage, margin_mode, shown)
            restrict(context, SETTINGS, SETTINGS_REASON, trouble)
            if trouble is not None:
                return
        self._is_verified = True

    async def _prepare(self, pair: str, leverage: int, margin_mode: str) -> None:
        context = self._context
        try:
            await context.account.prepare(pair, leverage=leverage, margin_mode=margin_mode)
        except PermanentError as error:
            note = Note("SettingsRefused", str(error), is_warning=True)
            context.journal.note(note, context.clock.now_ms())
            raise

    async def _require_flat(self, pair: str) -> None:
        """Refuse to begin a deal where a position is that the journal does not know.

        Raises:
            TransientError: There is one; the next look judges whether it stays.
        """
        context = self._context
        position = await context.account.position(pair)
        trouble = position_mismatch(ZERO, market=context.market, position=position, balances=None)
        if trouble is not None:
            context.is_position_doubted = True
            context.pace.urgent()
            raise TransientError(Reason.POSITION_MISMATCH, trouble)
