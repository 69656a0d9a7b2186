"""What became of a bot's orders: the open ones are listed, what is not listed is looked up.

What it means is in `rulings`. How long something has lasted is counted on the loop's clock: wall
time may jump, and a jump must not turn an order that is on its way into one that never arrived.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from typing import Final

from backfuturectl.engine.absent import Absent
from backfuturectl.engine.context import Context
from backfuturectl.engine.recover import Executed, executed
from backfuturectl.engine.rulings import RULINGS, Action, Known, Ruling, Shown, known_of
from backfuturectl.engine.stepper import Stepper
from backfuturectl.engine.strangers import Strangers
from backfuturectl.engine.wire import Wire
from backfuturectl.model.orders import Fill, Order, OrderStatus
from backfuturectl.model.records import OrderRecord
from backfuturectl.strategy.base import Cancel, Note, OpenOrder, OrderChanged

_LOG = logging.getLogger(__name__)

FILLS_PATIENCE_S: Final = 10.0
"""How long a fill list may lag behind its order before the order's own figures are believed."""

LATE_FILLS_S: Final = 600.0
"""How long fills are asked for after that; then the comparison at the deal's end has its say."""

MISSING_PATIENCE_S: Final = 120.0
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
        self._started_s = _now_s()
        self._first_missing_s: dict[str, float] = {}
        self._fills_awaited_s: dict[tuple[str, bool], float] = {}
        self._bare_since_s: dict[str, float] = {}
        self._expelled: dict[str, OrderRecord] = {}
        self._absent = Absent(context.journal.orders, now_ms=context.clock.now_ms())

    @property
    def awaits_fills(self) -> bool:
        """Whether an order has filled by an amount that its fills do not explain yet."""
        return bool(self._fills_awaited_s)

    def forgive(self) -> None:
        """Wait anew for orders that the exchange had acknowledged and no longer knows."""
        self._first_missing_s.clear()
        self._context.holds.lift_where(lambda who: who.startswith(_MISSING))

    def touch(self, price: Decimal) -> bool:
        """Look at the orders soon when *price* reached one that rests.

        Returns:
            Whether the next look comes earlier for that.
        """
        is_reached = any(order.is_reached(price) for order in self._stepper.open_orders())
        return is_reached and self._context.pace.touched()

    @property
    def is_due(self) -> bool:
        """Whether there is anything to look at."""
        return bool(
            self._stepper.open_orders()
            or self._expelled
            or self._context.pace.watches_absent
            or self._bare()
        )

    async def look(self) -> None:
        """Ask how every order stands that may rest, and for fills that are still owed."""
        context = self._context
        listed = await context.ask(context.account.open_orders(context.name.pair))
        mine = self._stepper.open_orders()
        by_id = {order.client_order_id: order for order in listed}
        ours = {order.client_order_id for order in mine}
        appeared = await self._appeared(by_id)
        for stranger, absent in await self._strangers.judge((*listed, *appeared), ours):
            known = replace(absent, order_id=stranger.order_id)
            self._expelled.setdefault(stranger.client_order_id, known)
            self._absent.forget(stranger.client_order_id)
        self._absent.expire()
        for absent in tuple(self._expelled.values()):
            await self._expel(absent, is_listed=absent.client_order_id in by_id)
        for order in mine:
            seen = by_id.get(order.client_order_id)
            if seen is None:
                seen = await self._ask(order.client_order_id)
            if seen is None:
                self._judge_unseen(order)
            else:
                await self._judge(order, seen, self._known(order))
        for row in self._bare():
            await self._judge_bare(row)

    async def _appeared(self, listed: Collection[str]) -> list[Order]:
        """Return what the exchange knows by now of orders that were believed absent."""
        asked = [await self._ask(name) for name in self._absent.beyond(listed)]
        return [seen for seen in asked if seen is not None]

    def _bare(self) -> tuple[OrderRecord, ...]:
        """Return the orders whose fills are still owed; another account's are not asked for."""
        journal = self._context.journal
        return () if journal.is_elsewhere else journal.bare()

    async def _ask(self, client_order_id: str) -> Order | None:
        context = self._context
        row = context.journal.order(client_order_id)
        order_id = row.order_id if row is not None else None
        return await context.ask(
            context.account.order(context.name.pair, client_order_id, order_id)
        )

    async def _expel(self, row: OrderRecord, *, is_listed: bool) -> None:
        """Cancel an order of ours that was believed never to have arrived, and book what it did.

        The deal has gone on without it, so it must not be taken into the deal again. Its end may
        show later than its cancel, and its fills later than that: it is looked at until they do.
        """
        context, client_order_id = self._context, row.client_order_id
        known = context.journal.order(client_order_id)
        if known is not None and known.status is not OrderStatus.ABSENT:
            self._part_with(client_order_id)  # all of it is booked
            return
        if is_listed:
            await self._take_back(row)
        seen = await context.ask(
            context.account.order(context.name.pair, client_order_id, row.order_id)
        )
        context.pace.urgent()
        if seen is None:
            since_s = self._first_missing_s.setdefault(client_order_id, _now_s())
            if _now_s() - since_s > MISSING_PATIENCE_S:
                self._part_with(client_order_id)
            return
        if not seen.status.is_final:
            if not is_listed:  # the list is behind
                await self._take_back(row)
            return
        order = OpenOrder(
            client_order_id=row.client_order_id,
            leg=row.leg,
            side=row.side,
            price=row.price,
            amount_base=row.amount_base,
            status=row.status,
            filled_base=row.filled_base,
            trigger_price=row.trigger_price,
        )
        is_decided = await self._judge(order, seen, Known.RESTING)
        if is_decided and known is None:
            self._part_with(client_order_id)  # of a deal whose books are closed
            if seen.filled_base:
                context.journal.note(_left_over(row, seen), context.clock.now_ms())

    async def _take_back(self, row: OrderRecord) -> None:
        _LOG.warning("%s: %s appeared after all; canceling it", self._context.name.bot, row.leg)
        await self._wire.cancel(Cancel(row.client_order_id, "it was believed absent"))

    def _part_with(self, client_order_id: str) -> None:
        del self._expelled[client_order_id]
        self._first_missing_s.pop(client_order_id, None)
        self._await_no_fills(client_order_id)

    def _await_no_fills(self, client_order_id: str) -> None:
        for is_final in (False, True):
            self._fills_awaited_s.pop((client_order_id, is_final), None)

    async def _judge(self, order: OpenOrder, seen: Order, known: Known) -> bool:
        """Do what the rulings say of an *order* that the exchange shows as *seen*.

        Returns:
            Whether that is all; not so while its fills may still be listed.
        """
        context, client_order_id = self._context, order.client_order_id
        self._first_missing_s.pop(client_order_id, None)
        context.holds.lift(_MISSING + client_order_id)
        self._wire.is_known(client_order_id)
        context.journal.acknowledge(client_order_id, seen.order_id)
        told = Executed(seen.filled_base, seen.cost_quote, seen.fees)
        fills: tuple[Fill, ...] = ()
        shown = Shown.MORE
        if seen.filled_base > order.filled_base or (seen.filled_base and seen.status.is_final):
            fills = await self._fills_of(client_order_id, seen.order_id, seen.created_at_ms)
            listed = executed(fills, client_order_id=client_order_id, order_id=seen.order_id)
            if listed.amount_base >= seen.filled_base:
                told = listed
            elif self._is_patient(client_order_id, is_final=seen.status.is_final):
                shown = Shown.UNEXPLAINED
            else:
                shown = Shown.OVERDUE
        is_same = seen.status is order.status and told.amount_base == order.filled_base
        if shown is Shown.MORE and is_same:
            shown = Shown.SAME
        ruling = RULINGS[known, shown]
        if ruling.action is Action.LOOK_AGAIN:
            context.pace.urgent()
            return False
        self._await_no_fills(client_order_id)
        if ruling.action in {Action.BOOK, Action.BELIEVE} and not is_same:
            self._learn(client_order_id, seen.status, told, fills)
        return True

    def _judge_unseen(self, order: OpenOrder) -> None:
        """Do what the rulings say of an *order* that the exchange does not show."""
        context, client_order_id = self._context, order.client_order_id
        known, now_s = self._known(order), _now_s()
        if known is Known.UNANSWERED:
            # An intent of an earlier process may have been sent at any time before that one died.
            since_s = self._wire.sent_at_s(client_order_id) or self._started_s
            patience_s = context.account.horizon_ms / 1000
        else:
            since_s = self._first_missing_s.setdefault(client_order_id, now_s)
            patience_s = MISSING_PATIENCE_S
        ruling = RULINGS[known, Shown.GONE if now_s - since_s > patience_s else Shown.UNSEEN]
        if ruling.action is Action.BURY:
            self._wire.is_known(client_order_id)
            context.report(client_order_id, OrderStatus.ABSENT)
            self._absent.watch(client_order_id)
        elif ruling.action is Action.END:
            context.report(client_order_id, OrderStatus.CANCELED)
        elif ruling.action is Action.HOLD:
            # Exits wait for it, since it may fill; it is looked for at the pace of resting orders.
            self._await_no_fills(client_order_id)
            self._hold(order, ruling)
        else:
            context.pace.urgent()

    def _hold(self, order: OpenOrder, ruling: Ruling) -> None:
        context, who = self._context, _MISSING + order.client_order_id
        why = (
            f"the exchange no longer knows {order.leg} ({order.client_order_id}), which it had "
            "acknowledged"
        )
        if who not in context.holds:
            note = Note(ruling.note, f"{why}; {ruling.because}", is_warning=True)
            context.journal.note(note, context.clock.now_ms())
        context.holds.put(who, ruling.gate, why)

    async def _judge_bare(self, row: OrderRecord) -> None:
        """Ask for the fills of an order whose own figures had to be believed."""
        client_order_id = row.client_order_id
        since_s = self._bare_since_s.setdefault(client_order_id, _now_s())
        if _now_s() - since_s > LATE_FILLS_S:
            return
        fills = await self._fills_of(client_order_id, row.order_id or "")
        listed = executed(fills, client_order_id=client_order_id, order_id=row.order_id)
        is_whole = listed.amount_base >= row.filled_base
        ruling = RULINGS[Known.BARE, Shown.MORE if is_whole else Shown.UNEXPLAINED]
        if ruling.action is Action.BOOK:
            self._bare_since_s.pop(client_order_id)
            self._learn(client_order_id, row.status, listed, fills)

    def _learn(
        self,
        client_order_id: str,
        status: OrderStatus,
        told: Executed,
        fills: tuple[Fill, ...],
    ) -> None:
        change = OrderChanged(
            client_order_id=client_order_id,
            status=status,
            filled_base=told.amount_base,
            cost_quote=told.cost_quote,
            fees=told.fees,
            at_ms=self._context.clock.now_ms(),
        )
        self._context.results.append((change, fills))

    def _known(self, order: OpenOrder) -> Known:
        row = self._context.journal.order(order.client_order_id)
        has_id = row is not None and row.order_id is not None
        return known_of(order, has_answer=has_id or order.status is OrderStatus.OPEN)

    async def _fills_of(
        self, client_order_id: str, order_id: str, created_at_ms: int = 0
    ) -> tuple[Fill, ...]:
        """Return an order's fills; looked for from its creation on, by whichever clock was behind.

        Args:
            client_order_id: Its id here.
            order_id: The exchange's.
            created_at_ms: By the exchange's clock; 0 where that is not known.
        """
        context = self._context
        row = context.journal.order(client_order_id)
        since_ms = row.intended_at_ms if row is not None else context.clock.now_ms()
        if created_at_ms:
            since_ms = min(since_ms, created_at_ms)
        return tuple(
            replace(fill, client_order_id=client_order_id)
            for fill in await context.ask(
                context.account.fills(context.name.pair, since_ms - 60_000)
            )
            if fill.order_id == order_id or fill.client_order_id == client_order_id
        )

    def _is_patient(self, client_order_id: str, *, is_final: bool) -> bool:
        """Return whether the fill list may still catch up.

        The end of an order is waited for anew, however long its pieces were late: what is booked
        then without its fees may be more than can be sold.
        """
        now_s = _now_s()
        since_s = self._fills_awaited_s.setdefault((client_order_id, is_final), now_s)
        return now_s - since_s < FILLS_PATIENCE_S


def _left_over(row: OrderRecord, seen: Order) -> Note:
    message = (
        f"{row.leg} of {row.deal}, believed never to have arrived, has filled {seen.filled_base:f} "
        "after another deal had begun; no deal manages that"
    )
    return Note("LateFill", message, is_warning=True)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
