"""Open orders that a bot's state does not know: whose they are, and what that means."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from backfuturectl.engine.context import Context
from backfuturectl.engine.recover import Owner, owner
from backfuturectl.model.orders import Order, OrderStatus
from backfuturectl.model.records import OrderRecord
from backfuturectl.strategy.base import Gate, Note

FORGOTTEN: Final = (
    "order {} carries this bot's id but is not in its journal; was an older state restored?"
)

_JOURNAL: Final = "journal"
_TWIN: Final = "twin"


class Strangers:
    """Judges what is listed on the account beside the bot's own orders; each is told once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen: set[str] = set()

    def forgive(self) -> None:
        """Drop what was held against the account; what still rests there is told anew."""
        self._context.holds.lift_where({_JOURNAL, _TWIN}.__contains__)
        self._seen.clear()

    async def judge(
        self, listed: tuple[Order, ...], ours: Collection[str]
    ) -> list[tuple[Order, OrderRecord]]:
        """Decide what open orders mean that are not among *ours*, which the state knows.

        Returns:
            Orders of ours that were believed never to have arrived, with their rows.
        """
        context = self._context
        intruders = []
        for order in listed:
            whose = owner(
                order, journal=ours, installation=context.installation, bot=context.name.bot
            )
            row = None
            if whose is Owner.LOST:
                row = await context.journal.recall(order.client_order_id)
            if row is not None:
                if row.status is OrderStatus.ABSENT:
                    intruders.append((order, row))
                continue  # otherwise the list is older than what is known
            if whose is Owner.MINE or order.order_id in self._seen:
                continue
            self._seen.add(order.order_id)
            self._tell(order, whose)
        return intruders

    def _tell(self, order: Order, whose: Owner) -> None:
        context = self._context
        if whose is Owner.LOST:
            context.holds.put(_JOURNAL, Gate.SHUT, FORGOTTEN.format(order.client_order_id))
        elif whose is Owner.TWIN:
            context.holds.put(
                _TWIN,
                Gate.EXITS_ONLY,
                f"another backfuturectl trades this account (order {order.client_order_id})",
            )
        context.journal.note(
            Note(
                f"{whose.value.capitalize()}Order",
                f"{order.side} {order.amount_base:f} at {order.price:f} is not this bot's; "
                "it is left alone",
                is_warning=True,
            ),
            context.clock.now_ms(),
        )
