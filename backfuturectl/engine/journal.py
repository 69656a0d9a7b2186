"""Make steps durable: what one step decided is recorded in one commit, before the wire.

One journal belongs to one bot and is used by that bot's task alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from decimal import Decimal

from backfuturectl.engine.entries import BotName, Entries, Provenance, changed, closed_by, event
from backfuturectl.model.ids import deal_id, parse_client_order_id
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import Fill, LegKind
from backfuturectl.model.records import PAPER, DealRecord, FillRecord, OrderRecord
from backfuturectl.store.database import Store, Write
from backfuturectl.strategy.base import (
    Action,
    Cancel,
    DealClosed,
    DealOpened,
    FundingBooked,
    Note,
    OrderChanged,
    Place,
    Taken,
)


class Journal:
    """The rows of one bot: those of its newest deal in memory, everything in the store.

    Attributes:
        account_id: Account that the next orders go to, as the exchange tells it; empty while it
            tells none, and on paper.
    """

    def __init__(
        self,
        store: Store,
        name: BotName,
        *,
        orders: Iterable[OrderRecord],
        open_deal: DealRecord | None,
        closed_deal: DealRecord | None = None,
        fills: Iterable[FillRecord] = (),
    ) -> None:
        self._store = store
        self._name = name
        self._orders = {order.client_order_id: order for order in orders}
        self._explained = _sums(fills)
        self._deal = open_deal
        self._closed = closed_deal
        self.account_id = ""

    @classmethod
    async def load(cls, store: Store, name: BotName) -> Journal:
        """Return the journal with what the store remembers."""
        orders = await store.remembered_orders(name.bot)
        # By their times the newest would be another after the clock was set back.
        newest = max(orders, key=_number).deal if orders else ""
        deal = await store.deal(newest) if newest else None
        is_open = deal is not None and deal.closed_at_ms is None
        return cls(
            store,
            name,
            orders=orders,
            fills=await store.fills(name.bot, deal=newest) if newest else (),
            open_deal=deal if is_open else None,
            closed_deal=None if is_open else deal,
        )

    def order(self, client_order_id: str) -> OrderRecord | None:
        """Return the row of an order of the newest deal, or of an older one that may still rest."""
        return self._orders.get(client_order_id)

    @property
    def orders(self) -> tuple[OrderRecord, ...]:
        """The rows of the newest deal, and of older orders that may still rest."""
        return tuple(self._orders.values())

    @property
    def account_ids(self) -> frozenset[str]:
        """The accounts that `orders` are known to be on: one, or none where none was told."""
        return frozenset(row.account_id for row in self._orders.values() if row.account_id)

    @property
    def is_elsewhere(self) -> bool:
        """Whether `orders` are on another account than the next ones would be."""
        return bool(self.account_id and self.account_ids - {self.account_id})

    async def claim(self) -> None:
        """Record of those of `orders` whose account was not known that they are on this one.

        Raises:
            TransientError: STORE_UNAVAILABLE; nothing was recorded.
        """
        if not self.account_id:
            return
        rows = [
            row for row in self._orders.values() if not row.account_id and row.environment != PAPER
        ]
        known = [replace(row, account_id=self.account_id) for row in rows]
        if known:
            await self._store.commit(known)
            self._orders |= {row.client_order_id: row for row in known}

    @property
    def deal(self) -> DealRecord | None:
        """The open deal, else the one that was closed last."""
        return self._deal or self._closed

    @property
    def began_ms(self) -> int | None:
        """When the first order of `deal` was decided; None once the next deal has an order."""
        name = self.deal.deal if self.deal is not None else ""
        times = [row.intended_at_ms for row in self._orders.values() if row.deal == name]
        return min(times, default=None)

    def taken(self) -> tuple[OrderRecord, ...]:
        """Return the orders of the newest deal that were the exchange's own, oldest first."""
        found = [row for row in self._orders.values() if row.leg.kind is LegKind.LIQUIDATION]
        return tuple(sorted(found, key=lambda row: row.client_order_id))

    def bare(self) -> tuple[OrderRecord, ...]:
        """Return the orders of the newest deal that ended with more filled than its fills say."""
        return tuple(
            row
            for row in self._orders.values()
            if row.filled_base
            and row.status.is_final
            and row.leg.kind is not LegKind.LIQUIDATION
            and self._explained.get(row.client_order_id, ZERO) < row.filled_base
        )

    async def recall(self, client_order_id: str) -> OrderRecord | None:
        """Return the row of an order of any deal, from the store where memory has it no more."""
        known = self._orders.get(client_order_id)
        name = parse_client_order_id(client_order_id)
        if known is not None or name is None:
            return known
        rows = await self._store.orders(self._name.bot, deal_id(self._name.bot, name.deal))
        return next((row for row in rows if row.client_order_id == client_order_id), None)

    @property
    def newest_deal(self) -> int:
        """Number of the newest deal that has an order; 0 before the first."""
        return max(map(_number, self._orders.values()), default=0)

    @property
    def updated_at_ms(self) -> int:
        """When an order of the newest deal last changed; 0 before the first."""
        return max((row.updated_at_ms for row in self._orders.values()), default=0)

    async def record(
        self,
        *,
        state: str,
        actions: Sequence[Action],
        change: OrderChanged | None,
        fills: Iterable[Fill],
        provenance: Provenance,
        now_ms: int,
    ) -> None:
        """Make one step durable: the state, the order that changed, new intents, deals, events.

        Raises:
            TransientError: STORE_UNAVAILABLE; nothing was recorded and nothing may be sent.
        """
        orders = dict(self._orders)
        deal, closed = self._deal, self._closed
        entries = Entries(self._name, provenance, self.account_id, now_ms)
        listed = [entries.fill(fill) for fill in fills]
        writes: list[Write] = [*listed]
        if change is not None:
            name = change.client_order_id
            known = orders.get(name) or await self.recall(name)  # of a deal that is long over
            if known is not None:
                row = changed(known, change, now_ms)
                orders[name] = row
                writes.append(row)
        about = self._concerned(actions, change)
        for action in actions:
            match action:
                case Place():
                    row = entries.intent(action)
                    orders[row.client_order_id] = row
                    writes.append(row)
                case DealOpened():
                    deal = entries.opened(action, closed)
                    writes.append(deal)
                case DealClosed():
                    # What is told late (a fee, a funding payment) corrects a closed deal's result.
                    ended = deal or closed
                    assert ended is not None, "a deal closes only after it opened"
                    closed = closed_by(ended, action)
                    writes.append(closed)
                    deal = None
                case FundingBooked():
                    writes.append(entries.payment(action))
                case Taken():
                    row = entries.taken(action)
                    orders[row.client_order_id] = row
                    writes.append(row)
                case Note():
                    writes.append(event(self._name, action, now_ms, about))
                case Cancel():
                    pass  # the order's own row tells when it is canceled
        writes.append(entries.bot(state))
        await self._store.commit(writes)
        # Not by their times: a clock may have been set back between two deals.
        newest = max(map(_number, orders.values()), default=0)
        self._orders = {
            key: row
            for key, row in orders.items()
            if _number(row) == newest or not row.status.is_final
        }
        self._deal, self._closed = deal, closed
        # Each list of an order's fills is all of them that there are by then.
        explained = self._explained | _sums(listed)
        self._explained = {key: explained[key] for key in self._orders if key in explained}

    def acknowledge(self, client_order_id: str, order_id: str) -> None:
        """Keep the exchange's order id beside ours; the next record of the order stores it."""
        row = self._orders.get(client_order_id)
        if row is not None and row.order_id != order_id:
            self._orders[client_order_id] = replace(row, order_id=order_id)

    def told_when_writable(self, tell: Callable[[], None]) -> AbstractContextManager[None]:
        """While the block runs, call *tell* as soon as anybody's write to the store succeeds."""
        return self._store.told_of_writes(tell)

    def note(self, note: Note, now_ms: int) -> None:
        """Tell people something that no step decided."""
        deal = self._deal.deal if self._deal is not None else ""
        self._store.post([event(self._name, note, now_ms, deal)])

    def _concerned(self, actions: Sequence[Action], change: OrderChanged | None) -> str:
        """Return the deal that a step's notes belong to; empty when they are about none."""
        row = self._orders.get(change.client_order_id) if change is not None else None
        if row is not None:
            return row.deal
        for action in actions:
            if isinstance(action, Place):
                return deal_id(self._name.bot, action.deal_number)
        return self._deal.deal if self._deal is not None else ""


def _number(row: OrderRecord) -> int:
    return int(row.deal.rpartition("#")[2])


def _sums(fills: Iterable[FillRecord]) -> dict[str, Decimal]:
    """Return how much *fills* say of each order, every execution counted once."""
    found: dict[str, Decimal] = {}
    for fill in {fill.fill_id: fill for fill in fills}.values():
        known = found.get(fill.client_order_id, ZERO)
        found[fill.client_order_id] = known + fill.amount_base
    return found
