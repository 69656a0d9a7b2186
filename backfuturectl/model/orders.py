"""Orders, fills, positions and balances as the exchange tells them; an order's life as a table."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from backfuturectl.model.errors import InvalidTransitionError
from backfuturectl.model.market import ZERO


class Side(enum.StrEnum):
    """Direction of one order."""

    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> Side:
        """The side that undoes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(enum.StrEnum):
    """How an order meets the book."""

    LIMIT = "limit"
    MARKET = "market"


class OrderStatus(enum.StrEnum):
    """Where an order is in its life.

    INTENDED: durable in the store, not yet known to be on the wire.
    UNKNOWN: sent, and the answer never came; only a look-up may end this.
    OPEN: resting or partly filled.
    FILLED, CANCELED: the exchange said so; a canceled order may be partly filled.
    REJECTED: the exchange refused it; nothing was filled.
    ABSENT: proven never to have reached the exchange.
    """

    INTENDED = "intended"
    UNKNOWN = "unknown"
    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    ABSENT = "absent"

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to the order."""
        return self in _FINAL

    @property
    def may_rest(self) -> bool:
        """Whether the order may be on the book right now, so that its margin counts as used."""
        return self not in _FINAL  # asked so often that one call less is felt


_FINAL: Final = frozenset(
    {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.ABSENT}
)

_S = OrderStatus
TRANSITIONS: Final[dict[OrderStatus, frozenset[OrderStatus]]] = {
    _S.INTENDED: frozenset({_S.UNKNOWN, _S.OPEN, _S.FILLED, _S.CANCELED, _S.REJECTED, _S.ABSENT}),
    _S.UNKNOWN: frozenset({_S.OPEN, _S.FILLED, _S.CANCELED, _S.REJECTED, _S.ABSENT}),
    _S.OPEN: frozenset({_S.FILLED, _S.CANCELED}),
    # A fill can arrive after a cancel was acknowledged: the amounts grow, the status stays, unless
    # the exchange says that it was filled after all.
    _S.CANCELED: frozenset({_S.FILLED}),
    _S.FILLED: frozenset(),
    _S.REJECTED: frozenset(),
    # The horizon after which an order counts as absent is generous; should one appear all the
    # same, believing the exchange is the only safe answer.
    _S.ABSENT: frozenset({_S.OPEN, _S.FILLED, _S.CANCELED}),
}


def advance(current: OrderStatus, seen: OrderStatus) -> OrderStatus:
    """Return the status after *seen* is reported for an order in *current*.

    A report older than what is known (open after filled) changes nothing: exchanges answer out of
    order.

    Raises:
        InvalidTransitionError: The pair is in no table row and is no stale report either.
    """
    if seen is current or seen in TRANSITIONS[current]:
        return seen
    if current.is_final and seen in {_S.OPEN, _S.UNKNOWN, _S.INTENDED, _S.CANCELED}:
        return current
    if current is _S.OPEN and seen in {_S.INTENDED, _S.UNKNOWN}:
        return current
    raise InvalidTransitionError(f"an order cannot go from {current} to {seen}")


class LegKind(enum.StrEnum):
    """What an order is for within its deal; the value is its code in client order ids.

    LIQUIDATION is the exchange's own order; its id is made up here and never sent.
    """

    BASE = "b"
    RUNG = "r"
    TAKE_PROFIT = "t"
    STOP_LOSS = "s"
    REDUCE = "d"
    CLOSE = "c"
    LIQUIDATION = "l"

    @property
    def is_adding(self) -> bool:
        """Whether the order enlarges the position."""
        return self in {LegKind.BASE, LegKind.RUNG}


@dataclass(frozen=True, slots=True)
class Leg:
    """A numbered place in a deal: rung 3, take-profit step 0."""

    kind: LegKind
    index: int = 0

    def __str__(self) -> str:
        name = {
            LegKind.BASE: "base",
            LegKind.RUNG: "rung",
            LegKind.TAKE_PROFIT: "takeProfit",
            LegKind.STOP_LOSS: "stopLoss",
            LegKind.REDUCE: "reduce",
            LegKind.CLOSE: "close",
            LegKind.LIQUIDATION: "liquidation",
        }[self.kind]
        return f"{name}/{self.index}" if self.index else name


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to be sent.

    Attributes:
        amount_base: Base units, already on the market's step.
        price: On the tick; for a market order the price it was decided at (for records and for
            exchanges that want a quote amount), never sent as a limit.
        trigger_price: On the tick; makes it a stop order, which the exchange keeps off its book
            until the last price is at or below it (a sell) or at or above it (a buy).
        is_reduce_only: Futures: may only shrink the position. Ignored on spot.
        is_post_only: Must rest; refused by the exchange if it would take.
        is_exit: Shrinks the position, on spot too; goes first where the rate limit is short.
        leverage: Futures; one on spot.
        margin_mode: ``isolated`` or ``cross``; None on spot.
    """

    client_order_id: str
    pair: str
    side: Side
    type: OrderType
    amount_base: Decimal
    price: Decimal
    is_reduce_only: bool = False
    is_post_only: bool = False
    is_exit: bool = False
    leverage: int = 1
    margin_mode: str | None = None
    trigger_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Fee:
    """What one fill cost, in whichever coin the exchange took; negative for a rebate."""

    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution.

    Attributes:
        fill_id: The exchange's id, unique per exchange and pair.
        order_id: The exchange's order id.
        client_order_id: None where the exchange does not repeat it in fills.
        is_forced: Futures: the exchange itself closed the position (liquidation, deleveraging).
    """

    fill_id: str
    order_id: str
    client_order_id: str | None
    pair: str
    side: Side
    price: Decimal
    amount_base: Decimal
    fee: Fee | None
    is_maker: bool
    at_ms: int
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the exchange shows it; amounts are cumulative.

    Attributes:
        cost_quote: Filled value, quote; zero when nothing is filled.
        fees: Summed by currency; empty where the order view carries none (fills do).
        trigger_price: Of a stop order, triggered or not; None for any other.
    """

    client_order_id: str
    order_id: str
    pair: str
    side: Side
    type: OrderType
    status: OrderStatus
    price: Decimal
    amount_base: Decimal
    filled_base: Decimal = ZERO
    cost_quote: Decimal = ZERO
    fees: tuple[Fee, ...] = ()
    is_reduce_only: bool = False
    created_at_ms: int = 0
    updated_at_ms: int = 0
    trigger_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """A futures position.

    Attributes:
        amount_base: Signed base units: long positive, short negative.
        leverage: None where the exchange does not show it.
        liquidation_price: None where the exchange shows none (cross, or flat).
    """

    pair: str
    amount_base: Decimal
    entry_price: Decimal
    leverage: int | None
    margin_mode: str
    liquidation_price: Decimal | None = None
    mark_price: Decimal | None = None
    unrealised_quote: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Funding:
    """One funding payment of a futures position.

    Attributes:
        funding_id: The exchange's id, unique per account and pair.
        amount_quote: Received is positive, paid is negative.
    """

    funding_id: str
    pair: str
    amount_quote: Decimal
    at_ms: int


@dataclass(frozen=True, slots=True)
class FuturesSettings:
    """How an account would open a position in one futures market now.

    Attributes:
        margin_mode: ``isolated`` or ``cross``.
        leverage: None where it is no setting, but travels with each order.
    """

    is_one_way: bool
    margin_mode: str
    leverage: int | None


@dataclass(frozen=True, slots=True)
class Balances:
    """What the account holds, by currency; only currencies with something in them."""

    free: dict[str, Decimal] = field(default_factory=dict)
    total: dict[str, Decimal] = field(default_factory=dict)
