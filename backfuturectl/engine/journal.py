"""Turn steps into rows: what one step decided becomes durable in one commit, before the wire.

One journal belongs to one bot and is used by that bot's task alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from decimal import Decimal

from backfuturectl.config.places import line_of
from backfuturectl.model.errors import InvalidTransitionError
from backfuturectl.model.ids import deal_id, parse_client_order_id
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import Fill, LegKind, OrderStatus, OrderType, advance
from backfuturectl.model.records import (
    ABANDONED,
    PAPER,
    BotRecord,
    DealRecord,
    EventRecord,
    FillRecord,
    FundingRecord,
    OrderRecord,
)
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


@dataclass(frozen=True, slots=True)
class Provenance:
    """What in the repository caused a bot's orders.

    Attributes:
        commit: Git commit of the configuration root; empty outside a work tree.
        document: The Strategy document itself; a restart runs an open deal by it.
        path: File it lies in; empty when the files have it no more.
        first_line: Line of that file on which it begins.
    """

    generation: int
    commit: str
    document: bytes = b""
    path: str = ""
    first_line: int = 1

    def place_of(self, field: str) -> str:
        """Return where *field* stands, ``strategies/btc.yaml:17``; empty when that is unknown."""
        line = line_of(self.document, field) if self.path and field else None
        return "" if line is None else f"{self.path}:{self.first_line + line - 1}"


@dataclass(frozen=True, slots=True)
class BotName:
    """Who a bot is; *bot* is its identity, the rest says where it trades.

    Attributes:
        environment: Of its connection, ``live``, or ``paper``; empty when unknown.
        market: ``spot`` or ``futures``; empty when unknown.
    """

    bot: str
    strategy: str
    connection: str
    pair: str
    kind: str
    environment: str = ""
    market: str = ""


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
        # By the time they began the newest would be another after the clock was set back.
        still_open = await store.deals(name.bot, is_open=True, limit=1)
        deals = still_open or await store.deals(name.bot, limit=1)
        orders = await store.remembered_orders(name.bot)
        newest = still_open[0].deal if still_open else orders[-1].deal if orders else ""
        if still_open and all(row.deal != newest or not row.status.is_final for row in orders):
            orders = (*orders, *await store.orders(name.bot, newest))
        return cls(
            store,
            name,
            orders=orders,
            fills=await store.fills(name.bot, deal=newest) if orders else (),
            open_deal=still_open[0] if still_open else None,
            closed_deal=deals[0] if deals and not still_open else None,
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
        listed = [self._fill(fill) for fill in fills]
        writes: list[Write] = [*listed]
        if change is not None and change.client_order_id in orders:
            row = _changed(orders[change.client_order_id], change, now_ms)
            orders[row.client_order_id] = row
            writes.append(row)
        about = self._concerned(actions, change)
        for action in actions:
            match action:
                case Place():
                    row = self._intent(action, provenance, now_ms)
                    orders[row.client_order_id] = row
                    writes.append(row)
                case DealOpened():
                    deal = DealRecord(
                        deal=deal_id(self._name.bot, action.number),
                        bot=self._name.bot,
                        number=action.number,
                        side=action.side,
                        opened_at_ms=action.at_ms,
                        connection=self._name.connection,
                        environment=self._name.environment,
                        market=self._name.market,
                    )
                    writes.append(deal)
                case DealClosed():
                    # What is told late (a fee, a funding payment) corrects a closed deal's result.
                    ended = deal or closed
                    assert ended is not None, "a deal closes only after it opened"
                    closed = replace(
                        ended,
                        closed_at_ms=action.at_ms,
                        result_quote=action.result_quote,
                        exit_leg=ABANDONED if action.exit_leg is None else str(action.exit_leg),
                    )
                    writes.append(closed)
                    deal = None
                case FundingBooked():
                    writes.append(self._payment(action))
                case Taken():
                    row = self._taken(action, provenance, now_ms)
                    orders[row.client_order_id] = row
                    writes.append(row)
                case Note():
                    writes.append(self._event(action, now_ms, about))
                case Cancel():
                    pass  # the order's own row tells when it is canceled
        writes.append(
            BotRecord(
                bot=self._name.bot,
                strategy=self._name.strategy,
                connection=self._name.connection,
                pair=self._name.pair,
                kind=self._name.kind,
                state=state,
                generation=provenance.generation,
                updated_at_ms=now_ms,
                document=provenance.document,
            )
        )
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
        self._store.post([self._event(note, now_ms, deal)])

    def _concerned(self, actions: Sequence[Action], change: OrderChanged | None) -> str:
        """Return the deal that a step's notes belong to; empty when they are about none."""
        row = self._orders.get(change.client_order_id) if change is not None else None
        if row is not None:
            return row.deal
        for action in actions:
            if isinstance(action, Place):
                return deal_id(self._name.bot, action.deal_number)
        return self._deal.deal if self._deal is not None else ""

    def _intent(self, action: Place, provenance: Provenance, now_ms: int) -> OrderRecord:
        order = action.order
        return OrderRecord(
            client_order_id=order.client_order_id,
            bot=self._name.bot,
            deal=deal_id(self._name.bot, action.deal_number),
            leg=action.leg,
            side=order.side,
            type=order.type,
            price=order.price,
            amount_base=order.amount_base,
            status=OrderStatus.INTENDED,
            reason=action.why,
            generation=provenance.generation,
            commit=provenance.commit,
            intended_at_ms=now_ms,
            updated_at_ms=now_ms,
            is_reduce_only=order.is_reduce_only,
            environment=self._name.environment,
            field=action.field,
            source=provenance.place_of(action.field),
            trigger_price=order.trigger_price,
            account_id=self.account_id,
        )

    def _taken(self, action: Taken, provenance: Provenance, now_ms: int) -> OrderRecord:
        return OrderRecord(
            client_order_id=action.client_order_id,
            bot=self._name.bot,
            deal=deal_id(self._name.bot, action.deal_number),
            leg=action.leg,
            side=action.side,
            type=OrderType.MARKET,
            price=action.cost_quote / action.amount_base,
            amount_base=action.amount_base,
            status=OrderStatus.FILLED,
            reason="the exchange itself closed the position",
            generation=provenance.generation,
            commit=provenance.commit,
            intended_at_ms=now_ms,
            updated_at_ms=now_ms,
            is_reduce_only=True,
            order_id=action.order_id,
            filled_base=action.amount_base,
            cost_quote=action.cost_quote,
            environment=self._name.environment,
            account_id=self.account_id,
        )

    def _payment(self, action: FundingBooked) -> FundingRecord:
        return FundingRecord(
            funding_id=action.payment.funding_id,
            bot=self._name.bot,
            pair=action.payment.pair,
            amount_quote=action.payment.amount_quote,
            at_ms=action.payment.at_ms,
            deal=deal_id(self._name.bot, action.deal_number),
        )

    def _fill(self, fill: Fill) -> FillRecord:
        assert fill.client_order_id is not None, "the bot names its own fills before recording"
        return FillRecord(
            fill_id=fill.fill_id,
            client_order_id=fill.client_order_id,
            bot=self._name.bot,
            side=fill.side,
            price=fill.price,
            amount_base=fill.amount_base,
            fee=fill.fee,
            at_ms=fill.at_ms,
        )

    def _event(self, note: Note, now_ms: int, deal: str) -> EventRecord:
        return EventRecord(
            at_ms=now_ms,
            about=f"Bot/{self._name.bot}",
            kind="Warning" if note.is_warning else "Normal",
            reason=note.reason,
            message=note.message,
            deal=deal,
        )


def _number(row: OrderRecord) -> int:
    return int(row.deal.rpartition("#")[2])


def _sums(fills: Iterable[FillRecord]) -> dict[str, Decimal]:
    """Return how much *fills* say of each order, every execution counted once."""
    found: dict[str, Decimal] = {}
    for fill in {fill.fill_id: fill for fill in fills}.values():
        known = found.get(fill.client_order_id, ZERO)
        found[fill.client_order_id] = known + fill.amount_base
    return found


def _changed(row: OrderRecord, change: OrderChanged, now_ms: int) -> OrderRecord:
    """Return *row* as *change* tells it; an impossible report leaves it as it is.

    What such a report means is the step's to say, which records it as an event.
    """
    try:
        status = advance(row.status, change.status)
    except InvalidTransitionError:
        return row
    return replace(
        row,
        status=status,
        filled_base=max(row.filled_base, change.filled_base),
        cost_quote=max(row.cost_quote, change.cost_quote),
        raw_code=change.raw_code or row.raw_code,
        updated_at_ms=now_ms,
    )
