"""What became of a bot's orders: the open ones are listed, what is not listed is looked up."""

from __future__ import annotations

import logging
from dataclasses import replace
from decimal import Decimal
from typing import Final

from backfuturectl.engine.context import Context
from backfuturectl.engine.recover import executed
from backfuturectl.engine.stepper import Stepper
from backfuturectl.engine.strangers import Strangers
from backfuturectl.engine.wire import Wire
from backfuturectl.model.orders import Fill, Order, OrderStatus
from backfuturectl.model.records import OrderRecord
from backfuturectl.strategy.base import Cancel, Gate, OpenOrder, OrderChanged

_LOG = logging.getLogger(__name__)

FILLS_PATIENCE_MS: Final = 10_000
"""How long a fill list may lag behind its order before the order's own figures are believed."""

MISSING_PATIENCE_MS: Final = 120_000
"""How long an acknowledged order may be invisible before a person has to look."""

_MISSING: Final = "missing/"


class Lookups:
    """Asks the exchange about orders; what it learns waits in the context for the next step."""

    def __init__(
        self, context: Context, *, wire: Wire, stepper: Stepper, strangers: Strangers
    ) -> None:
        self._context = context
        self._wire = wire
        self._stepper = stepper
        self._strangers = strangers
        self._started_ms = context.clock.now_ms()
        self._first_missing_ms: dict[str, int] = {}
        self._fills_awaited_ms: dict[tuple[str, bool], int] = {}

    @property
    def awaits_fills(self) -> bool:
        """Whether an order has filled by an amount that its fills do not explain yet."""
        return bool(self._fills_awaited_ms)

    def forgive(self) -> None:
        """Wait anew for orders that the exchange had acknowledged and no longer knows."""
        self._first_missing_ms.clear()
        self._context.holds.lift_where(lambda who: who.startswith(_MISSING))

    def touch(self, price: Decimal) -> bool:
        """Look at the orders soon when *price* reached one that rests.

        Returns:
            Whether the next look comes earlier for that.
        """
        is_reached = any(order.is_reached(price) for order in self._stepper.open_orders())
        return is_reached and self._context.pace.touched()

    async def look(self) -> None:
        """Ask how every order stands that may rest."""
        context = self._context
        listed = await context.account.open_orders(context.name.pair)
        mine = self._stepper.open_orders()
        by_id = {order.client_order_id: order for order in listed}
        ours = {order.client_order_id for order in mine}
        for order, absent in await self._strangers.judge(listed, ours):
            await self._expel(order, absent)
        for known in mine:
            seen = by_id.get(known.client_order_id)
            if seen is None:
                seen = await self._ask(known.client_order_id)
            if seen is None:
                self._judge_missing(known)
            else:
                await self._learn(known, seen)

    async def _ask(self, client_order_id: str) -> Order | None:
        context = self._context
        row = context.journal.order(client_order_id)
        order_id = row.order_id if row is not None else None
        return await context.account.order(context.name.pair, client_order_id, order_id)

    async def _expel(self, order: Order, row: OrderRecord) -> None:
        """Cancel an order of ours that was believed never to have arrived, and book what it did.

        The deal has gone on without it, so it must not be taken into the deal again.
        """
        context = self._context
        _LOG.warning("%s: %s appeared after all; canceling it", context.name.bot, row.leg)
        await self._wire.cancel(Cancel(order.client_order_id, "it was believed absent"))
        seen = await context.account.order(context.name.pair, order.client_order_id, order.order_id)
        context.pace.urgent()
        if seen is not None and seen.status.is_final:
            known = OpenOrder(
                client_order_id=row.client_order_id,
                leg=row.leg,
                side=row.side,
                price=row.price,
                amount_base=row.amount_base,
                status=row.status,
                filled_base=row.filled_base,
                trigger_price=row.trigger_price,
            )
            await self._learn(known, seen)

    async def _learn(self, known: OpenOrder, seen: Order) -> None:
        context, client_order_id = self._context, known.client_order_id
        self._first_missing_ms.pop(client_order_id, None)
        context.holds.lift(_MISSING + client_order_id)
        self._wire.is_known(client_order_id)
        context.journal.acknowledge(client_order_id, seen.order_id)
        filled, cost, fees = seen.filled_base, seen.cost_quote, seen.fees
        fills: tuple[Fill, ...] = ()
        if filled > known.filled_base or (filled and seen.status.is_final):
            fills = await self._fills_of(client_order_id, seen.order_id)
            told = executed(fills, client_order_id=client_order_id, order_id=seen.order_id)
            if told.amount_base >= filled:
                filled, cost, fees = told.amount_base, told.cost_quote, told.fees
            elif self._is_patient(client_order_id, is_final=seen.status.is_final):
                context.pace.urgent()
                return
            for is_final in (False, True):
                self._fills_awaited_ms.pop((client_order_id, is_final), None)
        if seen.status is known.status and filled == known.filled_base:
            return
        change = OrderChanged(
            client_order_id=client_order_id,
            status=seen.status,
            filled_base=filled,
            cost_quote=cost,
            fees=fees,
            at_ms=context.clock.now_ms(),
        )
        context.results.append((change, fills))

    async def _fills_of(self, client_order_id: str, order_id: str) -> tuple[Fill, ...]:
        context = self._context
        row = context.journal.order(client_order_id)
        since_ms = (row.intended_at_ms if row is not None else context.clock.now_ms()) - 60_000
        return tuple(
            replace(fill, client_order_id=client_order_id)
            for fill in await context.account.fills(context.name.pair, since_ms)
            if fill.order_id == order_id or fill.client_order_id == client_order_id
        )

    def _is_patient(self, client_order_id: str, *, is_final: bool) -> bool:
        """Return whether the fill list may still catch up.

        The end of an order is waited for anew, however long its pieces were late: nobody looks at
        it again afterwards, and what is not listed by then is never booked with its fees.
        """
        now_ms = self._context.clock.now_ms()
        since_ms = self._fills_awaited_ms.setdefault((client_order_id, is_final), now_ms)
        return now_ms - since_ms < FILLS_PATIENCE_MS

    def _judge_missing(self, known: OpenOrder) -> None:
        """Decide what it means that the exchange does not know an order of ours."""
        context, client_order_id = self._context, known.client_order_id
        row = context.journal.order(client_order_id)
        now_ms = context.clock.now_ms()
        if row is None or row.order_id is None:
            # An intent of an earlier process may have been sent at any time before that one died.
            sent_at_ms = self._wire.sent_at_ms(client_order_id)
            if now_ms - (sent_at_ms or self._started_ms) > context.account.horizon_ms:
                self._wire.is_known(client_order_id)
                context.report(client_order_id, OrderStatus.ABSENT)
            else:
                context.pace.urgent()
            return
        first_ms = self._first_missing_ms.setdefault(client_order_id, now_ms)
        if now_ms - first_ms > MISSING_PATIENCE_MS:
            if known.trigger_price is not None and known.is_canceling:
                # UNVERIFIED whether every exchange remembers a stop that never triggered.
                context.report(client_order_id, OrderStatus.CANCELED)
                return
            # Exits wait for it, since it may fill; it is looked for at the pace of resting orders.
            context.holds.put(
                _MISSING + client_order_id,
                Gate.EXITS_ONLY,
                f"the exchange no longer knows {known.leg} ({client_order_id}), which it "
                "had acknowledged",
            )
            return
        context.pace.urgent()
