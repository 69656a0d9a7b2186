"""The rows that one step of a bot causes, and what in the repository caused them.

Pure. What is remembered of them, and when they are durable, is the journal's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from backfuturectl.config.places import line_of
from backfuturectl.model.errors import InvalidTransitionError
from backfuturectl.model.ids import deal_id
from backfuturectl.model.orders import Fill, OrderStatus, OrderType, advance
from backfuturectl.model.records import (
    ABANDONED,
    BotRecord,
    DealRecord,
    EventRecord,
    FillRecord,
    FundingRecord,
    OrderRecord,
)
from backfuturectl.strategy.base import (
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


@dataclass(frozen=True, slots=True)
class Entries:
    """Writes the rows of one step of the bot *name*.

    Attributes:
        account_id: Account that its orders go to; empty while the exchange tells none, and on
            paper.
    """

    name: BotName
    provenance: Provenance
    account_id: str
    now_ms: int

    def bot(self, state: str) -> BotRecord:
        """Return the bot's own row, with its state after the step."""
        return BotRecord(
            bot=self.name.bot,
            strategy=self.name.strategy,
            connection=self.name.connection,
            pair=self.name.pair,
            kind=self.name.kind,
            state=state,
            generation=self.provenance.generation,
            updated_at_ms=self.now_ms,
            document=self.provenance.document,
        )

    def opened(self, action: DealOpened, last: DealRecord | None) -> DealRecord:
        """Return the row of a deal that begins, or of the *last* one where it goes on after all."""
        deal = deal_id(self.name.bot, action.number)
        if last is not None and last.deal == deal:
            return replace(last, closed_at_ms=None, result_quote=None, exit_leg=None)
        return DealRecord(
            deal=deal,
            bot=self.name.bot,
            number=action.number,
            side=action.side,
            opened_at_ms=action.at_ms,
            connection=self.name.connection,
            environment=self.name.environment,
            market=self.name.market,
        )

    def intent(self, action: Place) -> OrderRecord:
        """Return the row of an order that is about to be sent."""
        order = action.order
        return OrderRecord(
            client_order_id=order.client_order_id,
            bot=self.name.bot,
            deal=deal_id(self.name.bot, action.deal_number),
            leg=action.leg,
            side=order.side,
            type=order.type,
            price=order.price,
            amount_base=order.amount_base,
            status=OrderStatus.INTENDED,
            reason=action.why,
            generation=self.provenance.generation,
            commit=self.provenance.commit,
            intended_at_ms=self.now_ms,
            updated_at_ms=self.now_ms,
            is_reduce_only=order.is_reduce_only,
            environment=self.name.environment,
            field=action.field,
            source=self.provenance.place_of(action.field),
            trigger_price=order.trigger_price,
            account_id=self.account_id,
        )

    def taken(self, action: Taken) -> OrderRecord:
        """Return the row of an order that was the exchange's own."""
        return OrderRecord(
            client_order_id=action.client_order_id,
            bot=self.name.bot,
            deal=deal_id(self.name.bot, action.deal_number),
            leg=action.leg,
            side=action.side,
            type=OrderType.MARKET,
            price=action.cost_quote / action.amount_base,
            amount_base=action.amount_base,
            status=OrderStatus.FILLED,
            reason="the exchange itself closed the position",
            generation=self.provenance.generation,
            commit=self.provenance.commit,
            intended_at_ms=self.now_ms,
            updated_at_ms=self.now_ms,
            is_reduce_only=True,
            order_id=action.order_id,
            filled_base=action.amount_base,
            cost_quote=action.cost_quote,
            environment=self.name.environment,
            account_id=self.account_id,
        )

    def fill(self, fill: Fill) -> FillRecord:
        """Return the row of an execution."""
        assert fill.client_order_id is not None, "the bot names its own fills before recording"
        return FillRecord(
            fill_id=fill.fill_id,
            client_order_id=fill.client_order_id,
            bot=self.name.bot,
            side=fill.side,
            price=fill.price,
            amount_base=fill.amount_base,
            fee=fill.fee,
            at_ms=fill.at_ms,
        )

    def payment(self, action: FundingBooked) -> FundingRecord:
        """Return the row of a funding payment."""
        return FundingRecord(
            funding_id=action.payment.funding_id,
            bot=self.name.bot,
            pair=action.payment.pair,
            amount_quote=action.payment.amount_quote,
            at_ms=action.payment.at_ms,
            deal=deal_id(self.name.bot, action.deal_number),
        )


def event(name: BotName, note: Note, now_ms: int, deal: str) -> EventRecord:
    """Return the row of what people are told; *deal* is empty where it is about none."""
    return EventRecord(
        at_ms=now_ms,
        about=f"Bot/{name.bot}",
        kind="Warning" if note.is_warning else "Normal",
        reason=note.reason,
        message=note.message,
        deal=deal,
    )


def closed_by(deal: DealRecord, action: DealClosed) -> DealRecord:
    """Return the row of a deal with its end and result as *action* tells them."""
    return replace(
        deal,
        closed_at_ms=action.at_ms,
        result_quote=action.result_quote,
        exit_leg=ABANDONED if action.exit_leg is None else str(action.exit_leg),
    )


def changed(row: OrderRecord, change: OrderChanged, now_ms: int) -> OrderRecord:
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
