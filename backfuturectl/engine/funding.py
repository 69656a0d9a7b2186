"""When to ask the exchange for funding payments, and the asking.

Funding is paid on whole hours, every eight of them on most markets. While a futures deal is open it
is asked for once after each hour; a deal that was open at a whole hour is asked about a few times
more after its end, since the list may lag behind. Asking again does no harm. The first of these
answers is waited for before the next deal may begin; what is listed only after that one has its
first order belongs to no deal any more.
"""

from __future__ import annotations

import logging
import zlib
from typing import Final

from backfuturectl.engine.context import Context
from backfuturectl.engine.stepper import Stepper
from backfuturectl.model.errors import OperationError
from backfuturectl.model.market import MarketKind
from backfuturectl.strategy.base import FundingPaid, Gate

_LOG = logging.getLogger(__name__)

_HOUR_MS: Final = 3_600_000
_LAG_MS: Final = 60_000
_SPREAD_MS: Final = 300_000
"""The bots of one account ask one after the other, within this time."""

_RETRY_MS: Final = 60_000
_HOLD: Final = "funding"

AFTER_CLOSE_MS: Final = (0, 20_000, 120_000, 600_000)
"""How long after a deal's end it is asked about; at once, since the next deal takes its place."""

FORGOTTEN_MS: Final = 24 * _HOUR_MS
"""A deal that ended longer ago was asked about by an earlier process, or cannot be asked about."""


def due_ms(began_ms: int, closed_at_ms: int | None, *, asked_ms: int, spread_ms: int) -> int | None:
    """Return when to ask about a deal next; None when never again.

    Args:
        began_ms: When its first order was decided.
        closed_at_ms: None while it is open.
        asked_ms: When it was asked about last; 0 for never.
        spread_ms: How long after others' turn this bot's turn is.
    """
    if closed_at_ms is None:
        return (max(began_ms, asked_ms) // _HOUR_MS + 1) * _HOUR_MS + _LAG_MS + spread_ms
    if closed_at_ms // _HOUR_MS <= began_ms // _HOUR_MS:
        return None  # no whole hour passed while it was open
    turns = (closed_at_ms + wait_ms for wait_ms in AFTER_CLOSE_MS)
    return next((at_ms for at_ms in turns if at_ms > asked_ms), None)


class FundingWatch:
    """Asks about the newest deal of one bot, in turn."""

    def __init__(self, context: Context, stepper: Stepper) -> None:
        self._context = context
        self._stepper = stepper
        self._spread_ms = zlib.crc32(context.name.bot.encode()) % _SPREAD_MS
        self._asked_ms: tuple[str, int] = ("", 0)
        self._retry_ms = 0

    @property
    def is_owed(self) -> bool:
        """Whether a deal that ended is to be asked about now, before the next takes its place."""
        deal = self._context.journal.deal
        is_closed = deal is not None and deal.closed_at_ms is not None
        return is_closed and self._is_due(self._context.clock.now_ms())

    async def ask(self) -> None:
        """Ask, if it is time; a failure only puts it off, and new deals with it.

        Raises:
            TransientError: The store failed.
        """
        context, deal = self._context, self._context.journal.deal
        began_ms, now_ms = context.journal.began_ms, context.clock.now_ms()
        if deal is None or began_ms is None:
            return
        if not self._is_due(now_ms):
            if deal.closed_at_ms is not None and now_ms - deal.closed_at_ms > FORGOTTEN_MS:
                context.holds.lift(_HOLD)
            return
        try:
            payments = await context.ask(context.account.funding(context.name.pair, began_ms))
        except OperationError as error:
            _LOG.warning("%s: funding could not be read: %s", context.name.bot, error)
            context.on_trouble(error)
            self._retry_ms = now_ms + _RETRY_MS
            if deal.closed_at_ms is not None:
                why = f"the funding of deal {deal.number} could not be read"
                context.holds.put(_HOLD, Gate.EXITS_ONLY, why)
            return
        await self._stepper.take(FundingPaid(payments, now_ms))
        self._asked_ms = (deal.deal, now_ms)
        context.holds.lift(_HOLD)

    def _is_due(self, now_ms: int) -> bool:
        context, deal = self._context, self._context.journal.deal
        if context.market.kind is MarketKind.SPOT or deal is None:
            return False
        if now_ms < self._retry_ms and (deal.closed_at_ms is None or _HOLD in context.holds):
            return False  # a failure while it was open puts nothing off that its end asks for
        if context.journal.is_elsewhere:
            return False  # it was paid on another account
        began_ms, closed_ms = context.journal.began_ms, deal.closed_at_ms
        if began_ms is None:
            return False  # the next deal has begun; its turn comes when it is open
        if closed_ms is not None and now_ms - closed_ms > FORGOTTEN_MS:
            return False
        name, asked_ms = self._asked_ms
        due = due_ms(
            began_ms,
            closed_ms,
            asked_ms=asked_ms if name == deal.deal else 0,
            spread_ms=self._spread_ms,
        )
        return due is not None and now_ms >= due
