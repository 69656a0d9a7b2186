"""Open orders that a bot's state does not know: whose they are, and what `rulings` says of that."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from backfuturectl.engine.context import Context
from backfuturectl.engine.recover import owner
from backfuturectl.engine.rulings import RULINGS, Action, Known, Ruling, Shown, known_of_row
from backfuturectl.model.orders import Order
from backfuturectl.model.records import OrderRecord
from backfuturectl.strategy.base import Gate, Note

FORGOTTEN: Final = (
    "order {} carries this bot's id but is not in its journal; was an older state restored?"
)
_TWIN: Final = "another backfuturectl trades this account (order {})"

_WHY: Final = {Known.LOST: FORGOTTEN, Known.TWIN: _TWIN}


class Strangers:
    """Judges what is listed on the account beside the bot's own orders; each is told once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen: set[str] = set()

    @property
    def has_lost_orders(self) -> bool:
        """Whether an order rests that carries this bot's id and is not in its journal."""
        return Known.LOST.name in self._context.holds

    def forgive(self) -> None:
        """Drop what was held against the account; what still rests there is told anew."""
        self._context.holds.lift_where({known.name for known in _WHY}.__contains__)
        self._seen.clear()

    async def judge(
        self, listed: tuple[Order, ...], ours: Collection[str]
    ) -> list[tuple[Order, OrderRecord]]:
        """Decide what orders mean that are not among *ours*, which the state knows.

        Args:
            listed: All that rest, and what else appeared that was believed absent.
            ours: Their client order ids.

        Returns:
            Orders of ours that were believed never to have arrived, with their rows.
        """
        intruders = []
        for order in listed:
            if order.client_order_id in ours:
                continue
            known, row = await self._known(order)
            is_gone = known is Known.ABSENT and order.status.is_final
            ruling = RULINGS[known, Shown.MORE if is_gone else Shown.OPEN]
            if ruling.action is Action.GO_ON:
                continue
            if ruling.action is Action.EXPEL:
                assert row is not None, "only a row can say that an order never arrived"
                intruders.append((order, row))
            if order.order_id not in self._seen:
                self._seen.add(order.order_id)
                self._tell(order, known, ruling)
        return intruders

    async def _known(self, order: Order) -> tuple[Known, OrderRecord | None]:
        context, name = self._context, order.client_order_id
        known = owner(name, installation=context.installation, bot=context.name.bot)
        row = await context.journal.recall(name) if known is Known.LOST else None
        return (known if row is None else known_of_row(row.status)), row

    def _tell(self, order: Order, known: Known, ruling: Ruling) -> None:
        context = self._context
        if ruling.gate is not Gate.OPEN:
            context.holds.put(known.name, ruling.gate, _WHY[known].format(order.client_order_id))
        what = (
            "was believed never to have arrived; it is taken back, and what it filled is booked"
            if ruling.action is Action.EXPEL
            else "is not this bot's; it is left alone"
        )
        message = f"{order.side} {order.amount_base:f} at {order.price:f} {what}: {ruling.because}"
        context.journal.note(Note(ruling.note, message, is_warning=True), context.clock.now_ms())
