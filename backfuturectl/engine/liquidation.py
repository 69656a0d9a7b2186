"""What the exchange says of a futures position: its settings, its liquidation price, its end.

Looked at when the position has changed, at each reconciliation and about once a minute. What
restricts adding is lifted by the look that finds it mended, or by the deal's end. Between deals it
is looked at as well: nobody but the bot may hold anything where its next deal will begin.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from backfuturectl.engine.context import Context
from backfuturectl.engine.recover import executed, position_mismatch
from backfuturectl.engine.settings import SETTINGS, SETTINGS_REASON, restrict, settings_mismatch
from backfuturectl.engine.stepper import Stepper
from backfuturectl.model.errors import OperationError
from backfuturectl.model.ids import OrderName, bot_code, client_order_id
from backfuturectl.model.market import ZERO, MarketKind
from backfuturectl.model.orders import Fill, Leg, LegKind, Position
from backfuturectl.strategy.arithmetic import gap_pct
from backfuturectl.strategy.base import Exposure, Liquidated
from backfuturectl.strategy.violation import figure

_LOG = logging.getLogger(__name__)

LOOK_S: Final = 60.0
"""How often an open position is looked at."""

RETRY_S: Final = 15.0
"""How soon again after the exchange did not answer."""

LIQUIDATION: Final = "liquidation"

_SKEW_MS: Final = 1_000
"""The exchange's clock may be behind."""


def nearness(exposure: Exposure, shown: Decimal | None) -> str | None:
    """Return how the exchange's liquidation price leaves less than the required buffer.

    None when it does not, when the exchange shows no price (cross margin), and when its price is
    no nearer than the strategy's own arithmetic, which the proofs have judged.
    """
    own = exposure.liquidation
    if shown is None or own is None or exposure.sign * (shown - own) <= 0:
        return None
    gap = gap_pct(exposure.goal, shown, exposure.sign)
    if gap >= exposure.buffer_pct:
        return None
    return (
        f"the exchange would liquidate at {figure(shown, 10)}, computed was {figure(own, 10)}: "
        f"{figure(gap, 2)}% beyond {exposure.goal_name} at {figure(exposure.goal, 10)}, needed are "
        f"{figure(exposure.buffer_pct)}%"
    )


class PositionWatch:
    """Compares the exchange's view of one bot's position with what the strategy counts on.

    Attributes:
        liquidation_price: As the exchange showed it last; None while flat and where it shows none,
            as with cross margin, which the whole futures wallet stands behind.
        margin_mode: As the exchange showed it last; None while flat.
    """

    def __init__(self, context: Context, stepper: Stepper) -> None:
        self._context = context
        self._stepper = stepper
        self._due_s = 0.0
        self._seen_base: Decimal | None = None
        self._doubts = 0
        self.liquidation_price: Decimal | None = None
        self.margin_mode: str | None = None

    async def look(self) -> bool:
        """Look at the position if it is time; return whether it contradicts the journal for good.

        A failure only puts the look off: it must not keep exits waiting.
        """
        context = self._context
        if context.market.kind is MarketKind.SPOT:
            return False
        now_s = asyncio.get_running_loop().time()
        view = self._stepper.view()
        expected = view.position_base
        if self._stepper.exposure() is None:
            self._forget()
            if view.deal_number is not None:
                return False  # it is just beginning or ending
            if self._seen_base != expected:
                # The exchange may show what the last deal held for a moment longer.
                self._due_s, self._seen_base = now_s + RETRY_S, expected
        is_due = now_s >= self._due_s or expected != self._seen_base
        if not (is_due or context.is_position_doubted):
            return False
        context.is_position_doubted = False
        try:
            position = await context.ask(context.account.position(context.name.pair))
            await self.judge(position)
        except OperationError as error:
            _LOG.warning("%s: the position could not be read: %s", context.name.bot, error)
            context.on_trouble(error)
            self._due_s, self._seen_base = now_s + RETRY_S, expected
            return False
        mismatch = position_mismatch(
            expected, market=context.market, position=position, balances=None
        )
        if mismatch is not None:
            # A fill that is not known yet looks like this: once more, a moment later.
            self._doubts += 1
            self._due_s = now_s
            context.pace.urgent()
            return self._doubts > 1
        self._doubts = 0
        self._due_s = now_s + LOOK_S
        self._seen_base = expected
        return False

    def _forget(self) -> None:
        """Lift what was held against a position that is gone."""
        self.liquidation_price = self.margin_mode = None
        for who in (SETTINGS, LIQUIDATION):
            self._context.holds.lift(who)

    async def judge(self, position: Position | None) -> None:
        """Restrict the bot while *position* is not what the strategy counts on.

        Raises:
            OperationError: The exchange does not answer.
        """
        context, exposure = self._context, self._stepper.exposure()
        if exposure is None or position is None:
            return
        self.liquidation_price = position.liquidation_price
        self.margin_mode = position.margin_mode
        mismatch = settings_mismatch(exposure.leverage, exposure.margin_mode, position)
        if mismatch is None and SETTINGS in context.holds:
            # Perhaps held for what a position does not show.
            shown = await context.ask(context.account.settings(context.name.pair))
            if shown is not None:
                mismatch = settings_mismatch(exposure.leverage, exposure.margin_mode, shown)
        restrict(context, SETTINGS, SETTINGS_REASON, mismatch)
        near = nearness(exposure, position.liquidation_price)
        restrict(context, LIQUIDATION, "LiquidationNear", near)

    async def forced(self) -> dict[str, list[Fill]]:
        """Return what the exchange itself closed of the open deal and no row has, by its order id.

        Raises:
            TransientError: The exchange does not answer.
        """
        context, deal = self._context, self._context.journal.deal
        began_ms = context.journal.began_ms
        is_open = deal is not None and deal.closed_at_ms is None
        if context.market.kind is MarketKind.SPOT or not is_open or began_ms is None:
            return {}
        by_order: dict[str, list[Fill]] = {}
        for fill in await context.ask(
            context.account.fills(context.name.pair, began_ms - _SKEW_MS)
        ):
            if fill.is_forced:
                by_order.setdefault(fill.order_id, []).append(fill)
        booked = {row.order_id: row.filled_base for row in context.journal.taken()}
        return {
            order_id: fills
            for order_id, fills in by_order.items()
            if sum((fill.amount_base for fill in fills), ZERO) > booked.get(order_id, ZERO)
        }

    async def take(self, forced: Mapping[str, list[Fill]]) -> None:
        """Book what `forced` found.

        Raises:
            TransientError: The store failed.
        """
        for order_id, fills in forced.items():
            await self._take(order_id, fills)

    async def _take(self, order_id: str, forced: list[Fill]) -> None:
        context = self._context
        taken = context.journal.taken()
        known = next((row for row in taken if row.order_id == order_id), None)
        name = self._name(len(taken)) if known is None else known.client_order_id
        told = executed(forced, client_order_id=name, order_id=order_id)
        event = Liquidated(
            client_order_id=name,
            order_id=order_id,
            filled_base=told.amount_base,
            cost_quote=told.cost_quote,
            fees=told.fees,
            at_ms=context.clock.now_ms(),
        )
        fills = tuple(replace(fill, client_order_id=name) for fill in forced)
        await self._stepper.take(event, fills)

    def _name(self, attempt: int) -> str:
        context = self._context
        leg = Leg(LegKind.LIQUIDATION)
        code = bot_code(context.name.bot)
        number = context.journal.newest_deal
        return client_order_id(OrderName(context.installation, code, number, leg, attempt))
