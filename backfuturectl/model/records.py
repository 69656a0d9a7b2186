"""Rows of the state store, as values: what must survive a crash."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import Fee, Leg, OrderStatus, OrderType, Side

PAPER: Final = "paper"
"""Environment of deals and orders that no exchange ever saw."""


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    """The last accepted document of one resource, as it came (still encrypted).

    Attributes:
        generation: Counts accepted changes of this resource, from 1.
        digest: SHA-256 of the canonical document without positions or comments.
        source: The document's own bytes.
        path: Where it was found, for messages only; identity is (kind, name).
    """

    kind: str
    name: str
    generation: int
    digest: str
    source: bytes
    path: str
    accepted_at_ms: int


@dataclass(frozen=True, slots=True)
class BotRecord:
    """One bot's state after its last step.

    Attributes:
        bot: ``strategy/BASE-QUOTE``; with ``@connection`` behind, the second bot of that pair.
        kind: Strategy kind, a key of the registry; says how to read *state*.
        state: JSON of the kind's state value.
        generation: Of the strategy document it runs.
        document: The Strategy document it runs, as it came; an open deal lives by this one.
        is_retired: It is off the books; the row stays, since deal numbers must never repeat.
    """

    bot: str
    strategy: str
    connection: str
    pair: str
    kind: str
    state: str
    generation: int
    updated_at_ms: int
    document: bytes = b""
    is_retired: bool = False


ABANDONED: Final = "abandoned"
"""Stands for the exit leg of a deal whose position was left as it is."""


@dataclass(frozen=True, slots=True)
class DealRecord:
    """One deal: from base order until flat.

    Attributes:
        number: Serial within the bot, from 1.
        result_quote: Realised result, fees in; None while open.
        exit_leg: The leg that closed it, or `ABANDONED`; None while open.
        connection: Where it was traded; a strategy may move on to another one.
        environment: Of that connection when it opened, or `PAPER`; empty where it was not recorded.
        market: ``spot`` or ``futures``; empty where it was not recorded.
    """

    deal: str
    bot: str
    number: int
    side: Side
    opened_at_ms: int
    closed_at_ms: int | None = None
    result_quote: Decimal | None = None
    exit_leg: str | None = None
    connection: str = ""
    environment: str = ""
    market: str = ""


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """One order of ours, from intent to end.

    Attributes:
        order_id: The exchange's id; None until known.
        reason: Why it was decided, one sentence.
        generation: Of the strategy document that decided it.
        commit: Git commit of the configuration root; empty outside a work tree.
        raw_code: The exchange's code when it refused.
        field: Path in the Strategy document that caused it, ``spec.takeProfit.percent``; empty
            where an operator or nothing in the document did.
        source: Where that field stands, ``strategies/btc.yaml:17``; empty when unknown.
        trigger_price: Price at which the exchange sets a stop order off; None for other orders.
        environment: ``live``, ``sandbox``, ``emulator`` or, where no exchange ever saw it,
            ``paper``; empty where it was not recorded.
        account_id: Account that it was sent to, as the exchange tells it; empty where it tells
            none, on paper, and where it was not recorded.
    """

    client_order_id: str
    bot: str
    deal: str
    leg: Leg
    side: Side
    type: OrderType
    price: Decimal
    amount_base: Decimal
    status: OrderStatus
    reason: str
    generation: int
    commit: str
    intended_at_ms: int
    updated_at_ms: int
    is_reduce_only: bool = False
    order_id: str | None = None
    filled_base: Decimal = ZERO
    cost_quote: Decimal = ZERO
    raw_code: str | None = None
    field: str = ""
    source: str = ""
    trigger_price: Decimal | None = None
    environment: str = ""
    account_id: str = ""


@dataclass(frozen=True, slots=True)
class FillRecord:
    """One execution of one of our orders; unique by (bot, fill_id).

    Attributes:
        fee: None where the exchange did not tell it yet; a later report adds it.
        fee_price: Price of the fee's coin in quote when it was filled; None while unknown, and for
            fees in quote or base, whose price the fill itself tells.
    """

    fill_id: str
    client_order_id: str
    bot: str
    side: Side
    price: Decimal
    amount_base: Decimal
    fee: Fee | None
    at_ms: int
    fee_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class FundingRecord:
    """One funding payment of a futures position; unique by (bot, funding_id).

    Attributes:
        amount_quote: Signed: what was received is positive, what was paid negative.
        deal: The deal that held the position; empty when none is known to have.
    """

    funding_id: str
    bot: str
    pair: str
    amount_quote: Decimal
    at_ms: int
    deal: str = ""


class AuditOutcome(enum.StrEnum):
    """What came of comparing our fills with the exchange's.

    UNKNOWN: the exchange could not be asked, or its history does not reach back. SKIPPED: nobody
    was to ask, as for deals of before there were audits.
    """

    CLEAN = "clean"
    DIFFERS = "differs"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class SettlementRecord:
    """What a closed deal came to, once its fills were compared with the exchange's.

    Attributes:
        told_quote: The deal's own result when it was settled; another one since, as a fee that
            came late makes it, asks for a new settlement.
        gross: Realised result before fees and funding, quote.
        unvalued: Fees in coins whose price is not known; not in *fees*.
        dust_base: Remainder that nobody takes.
        dust_cost: What that cost, quote.
    """

    deal: str
    bot: str
    audit: AuditOutcome
    told_quote: Decimal
    gross: Decimal
    fees: Decimal
    funding: Decimal
    unvalued: tuple[Fee, ...]
    dust_base: Decimal
    dust_cost: Decimal
    settled_at_ms: int


@dataclass(frozen=True, slots=True)
class DealBooks:
    """A deal with all that its account is made of; of its orders those that filled."""

    deal: DealRecord
    orders: tuple[OrderRecord, ...]
    fills: tuple[FillRecord, ...]
    funding: tuple[FundingRecord, ...]


@dataclass(frozen=True, slots=True)
class SettledDeal:
    """A settlement and where it counts; see `DealRecord` for *connection* and *environment*."""

    settlement: SettlementRecord
    connection: str
    environment: str


@dataclass(frozen=True, slots=True)
class EventRecord:
    """A transition worth telling a person.

    Attributes:
        about: ``Connection/mexc-spot-main``, ``Bot/eth/BTC-USDT``, ``Daemon``.
        kind: ``Normal`` or ``Warning``.
        deal: Id of the deal it belongs to; empty when it is about none.
    """

    at_ms: int
    about: str
    kind: str
    reason: str
    message: str
    deal: str = ""


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """What was decided over the files' heads until it is lifted, across restarts.

    Attributes:
        target: ``strategy/NAME``, ``connection/NAME``, ``bot/NAME`` or ``all``.
        verb: ``pause`` or ``halt``, the operator's hand; ``leave``: a deletion was let through.
        note: What a halt does besides; see `halt_note`.
    """

    target: str
    verb: str
    since_ms: int
    note: str = ""

    @property
    def is_canceling(self) -> bool:
        """Whether it also cancels resting orders that would enlarge a position."""
        return _CANCEL in self.note.split()

    @property
    def is_closing(self) -> bool:
        """Whether it also closes open deals at market."""
        return _CLOSE in self.note.split()


_CANCEL: Final = "cancel"
_CLOSE: Final = "close"


def halt_note(*, cancel: bool, close: bool) -> str:
    """Return the note of a halt that also cancels or closes."""
    return " ".join(word for word, is_meant in ((_CANCEL, cancel), (_CLOSE, close)) if is_meant)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with its place in the store's order.

    Attributes:
        event_id: Grows with every event, never reused; pass the last one seen to read on.
    """

    event_id: int
    event: EventRecord


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """Which daemon writes to the store.

    Attributes:
        host: Node name of its machine.
        heartbeat_ms: When it last said that it is alive.
    """

    host: str
    pid: int
    heartbeat_ms: int
