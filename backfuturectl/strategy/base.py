"""What a strategy kind is: one pure step from (state, event) to (state, actions).

No await, no clock, no randomness: time arrives inside events as ``at_ms``, ids are computed from
inputs. The same step drives live, paper, simulation and back-test.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Generic, Protocol, TypeVar

from backfuturectl.model.candles import Rsi
from backfuturectl.model.market import Market
from backfuturectl.model.orders import Fee, Funding, Leg, NewOrder, OrderStatus, Side
from backfuturectl.model.units import Money
from backfuturectl.strategy.outlook import Outlook

S = TypeVar("S")


class Gate(enum.StrEnum):
    """What the world around a bot allows it to do.

    OPEN: everything. EXITS_ONLY: DEGRADED, exits and cancels only. SHUT: nothing at all
    (not reconciled, or MANUAL).
    """

    OPEN = "open"
    EXITS_ONLY = "exitsOnly"
    SHUT = "shut"


class Command(enum.StrEnum):
    """What an operator or the reconciler asks of a bot.

    PAUSE: no new deal, the open one is managed. UNPAUSE: lifts that. DRAIN: manage to the exit,
    then stay flat. UNDRAIN: lifts that. TAKE_OVER: touch an open deal no more, a person does.
    RESUME: lifts PAUSE and DRAIN, and leaves HALTED and MANUAL: only a person says it, since an
    edit alone must never clear what a person has to look at. CLOSE: cancel all, close at market,
    stay flat. ABANDON: cancel our orders, leave the position, forget the deal.
    """

    PAUSE = "pause"
    UNPAUSE = "unpause"
    RESUME = "resume"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    TAKE_OVER = "takeOver"
    CLOSE = "close"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True)
class PriceSeen:
    """A price of the bot's market.

    Attributes:
        may_open: Whether the strategy's maxActiveDeals leaves room for one more deal now.
        bid: None where the exchange does not tell.
        ask: None where the exchange does not tell.
    """

    price: Decimal
    at_ms: int
    may_open: bool = True
    bid: Decimal | None = None
    ask: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """The known truth about one of the bot's orders changed; amounts are cumulative.

    Attributes:
        fees: Summed by currency.
        raw_code: The exchange's code, for REJECTED.
        not_before_ms: When the exchange wants to hear of it again at the earliest; 0 for no wish.
    """

    client_order_id: str
    status: OrderStatus
    filled_base: Decimal
    cost_quote: Decimal
    fees: tuple[Fee, ...]
    at_ms: int
    raw_code: str | None = None
    not_before_ms: int = 0


@dataclass(frozen=True, slots=True)
class GateChanged:
    """The world allows more or less than before."""

    gate: Gate
    why: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class SetupChanged:
    """A new generation of the strategy document, or new market rules, apply from now on."""

    setup: Any
    at_ms: int


@dataclass(frozen=True, slots=True)
class Commanded:
    """An operator or the reconciler asks for something.

    Attributes:
        field: Path in the document that makes the reconciler ask; empty for an operator.
    """

    command: Command
    at_ms: int
    field: str = ""


@dataclass(frozen=True, slots=True)
class FundingPaid:
    """What the exchange has listed of funding; payments may be told again."""

    payments: tuple[Funding, ...]
    at_ms: int


@dataclass(frozen=True, slots=True)
class Liquidated:
    """The exchange itself closed the position, or a part of it; amounts are cumulative per order.

    Attributes:
        client_order_id: Made up by the engine, so that the order has a name here.
        order_id: The exchange's.
        fees: Summed by currency.
    """

    client_order_id: str
    order_id: str
    filled_base: Decimal
    cost_quote: Decimal
    fees: tuple[Fee, ...]
    at_ms: int


@dataclass(frozen=True, slots=True)
class IndicatorSeen:
    """What an indicator reads after a candle closed.

    Attributes:
        closed_at_ms: When that candle closed; the reading is as old as that.
    """

    indicator: Rsi
    value: Decimal
    closed_at_ms: int
    at_ms: int


Event = (
    PriceSeen
    | IndicatorSeen
    | OrderChanged
    | GateChanged
    | SetupChanged
    | Commanded
    | FundingPaid
    | Liquidated
)


@dataclass(frozen=True, slots=True)
class Place:
    """Send *order*; its intent is durable before it goes onto the wire.

    Attributes:
        field: Path in the document that causes it, ``spec.takeProfit.percent``; empty where an
            operator does.
    """

    order: NewOrder
    leg: Leg
    deal_number: int
    why: str
    field: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel one of the bot's own orders."""

    client_order_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Note:
    """Tell people: becomes an event in the store.

    Attributes:
        reason: CamelCase word, ``DealOpened``, ``RungFilled``, ``TakeProfitFilled``.
    """

    reason: str
    message: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class DealOpened:
    """A deal began."""

    number: int
    side: Side
    at_ms: int


@dataclass(frozen=True, slots=True)
class DealClosed:
    """A deal ended, with its realised result in quote, fees and funding in.

    Attributes:
        exit_leg: The leg that left it flat; None where the position was left as it is.
    """

    number: int
    at_ms: int
    result_quote: Decimal
    exit_leg: Leg | None


@dataclass(frozen=True, slots=True)
class FundingBooked:
    """A funding payment belongs to a deal."""

    deal_number: int
    payment: Funding


@dataclass(frozen=True, slots=True)
class Taken:
    """An order of the exchange's own that filled for a deal; it was never sent."""

    client_order_id: str
    order_id: str
    leg: Leg
    side: Side
    amount_base: Decimal
    cost_quote: Decimal
    deal_number: int


Action = Place | Cancel | Note | DealOpened | DealClosed | FundingBooked | Taken


@dataclass(frozen=True, slots=True)
class Exposure:
    """What an open futures position has to keep clear of its liquidation.

    Attributes:
        leverage: As the document says; so is *margin_mode*.
        liquidation: Where the strategy's arithmetic puts it; None in cross mode.
        goal: The next price that the position has to reach alive: a rung's, else the stop's.
        buffer_pct: How far liquidation has to lie beyond *goal*, percent of it.
    """

    sign: int
    leverage: int
    margin_mode: str
    liquidation: Decimal | None
    goal: Decimal
    goal_name: str
    buffer_pct: Decimal


@dataclass(frozen=True, slots=True)
class Measure:
    """How near an open deal is to one rule of Recovery Mode.

    Attributes:
        rule: ``trigger``, ``exit`` or ``escalate``: what it leads to.
        unit: ``percent``, ``ms`` or ``flag``, of *value* and *limit*.
        is_true: What it asks for, before it was confirmed.
        is_below: It asks for less than *limit*; at least *limit* otherwise.
    """

    rule: str
    name: str
    value: Decimal | int
    limit: Decimal | int
    is_true: bool
    unit: str = "percent"
    is_below: bool = False


@dataclass(frozen=True, slots=True)
class RecoveryView:
    """How near an open deal is to Recovery Mode, or to its end.

    Attributes:
        score_pct: How much of its way the nearest trigger has come; 100 when one is true.
        held_ms: By rule: for how long it has been true, and for how long it must be.
    """

    score_pct: Decimal
    measures: tuple[Measure, ...]
    held_ms: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class BotView:
    """What people see of a bot.

    Attributes:
        state: State name of the kind's machine, ``ACTIVE``.
        position_base: Signed: short is negative.
        average: Average entry price; None when flat.
        unrealised_quote: At the last price; None when flat or no price was seen.
        margin_quote: Margin in use plus margin of resting adding orders.
        open_orders: Orders of ours that may rest.
        next_exit: Price of the resting or watched take profit; None when flat.
        stop: Price of the stop loss; None when flat.
        is_stop_resting: Whether it waits on the exchange; otherwise it is watched here.
        is_set_apart: New deals on the pair may begin on another connection meanwhile.
        recovery: None without an open deal, and where Recovery Mode is off.
    """

    state: str
    deal_number: int | None
    position_base: Decimal
    average: Decimal | None
    unrealised_quote: Decimal | None
    margin_quote: Decimal
    open_orders: int
    next_exit: Decimal | None = None
    stop: Decimal | None = None
    is_stop_resting: bool = False
    gate: Gate = Gate.OPEN
    is_draining: bool = False
    is_paused: bool = False
    is_set_apart: bool = False
    recovery: RecoveryView | None = None


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """One order of ours that may rest, for reconciliation with the exchange.

    Attributes:
        trigger_price: Of a stop that waits on the exchange; None for any other.
        is_canceling: Its cancel was asked for.
    """

    client_order_id: str
    leg: Leg
    side: Side
    price: Decimal
    amount_base: Decimal
    status: OrderStatus
    filled_base: Decimal
    trigger_price: Decimal | None = None
    is_canceling: bool = False

    @property
    def level(self) -> Decimal:
        """The price that fills it, or sets it off."""
        return self.price if self.trigger_price is None else self.trigger_price

    @property
    def is_below(self) -> bool:
        """Whether prices reach it on their way down; otherwise on their way up."""
        return (self.side is Side.BUY) is (self.trigger_price is None)

    def is_reached(self, price: Decimal) -> bool:
        """Return whether *price* may have filled it, or set it off."""
        return price <= self.level if self.is_below else price >= self.level


@dataclass(frozen=True, slots=True)
class Band:
    """Which prices a state would only remember: nearly all of them.

    Attributes:
        low: A price at or below has to be looked at.
        high: A price at or above, likewise.
        until_ms: A price of this time or later, likewise.
        seen_ms: Time of the newest price that the state knows.
        gap_ms: A price that comes longer than this after the one before it, likewise.
        wants_room: A price that comes with room for one more deal, likewise.
        each_counts: Whether all of them are to be remembered; otherwise the newest alone is.
    """

    low: Decimal
    high: Decimal
    until_ms: int
    seen_ms: int
    gap_ms: int
    wants_room: bool
    each_counts: bool

    def narrowed(self, orders: Iterable[OpenOrder]) -> Band:
        """Return the band without the prices that reach one of *orders*."""
        low, high = self.low, self.high
        for order in orders:
            if order.is_below:
                low = max(low, order.level)
            else:
                high = min(high, order.level)
        return replace(self, low=low, high=high)


@dataclass(frozen=True, slots=True)
class Step(Generic[S]):
    """A new state and what to do about it, in order."""

    state: S
    actions: tuple[Action, ...] = field(default=())


class Kind(Protocol[S]):
    """One kind of trading; the registry holds one instance per name."""

    name: str

    def setup(
        self,
        spec: Any,
        market: Market,
        identity: BotIdentity,
        capital: Money | None = None,
        *,
        must_fit: bool = True,
        deals_open: int = 0,
    ) -> Any:
        """Return what the kind needs of the strategy document, presets filled in, or raise.

        *capital* is the Connection's; needed where marginLimit is a share of it. Without *must_fit*
        a failing proof is no error: the setup opens no deals, and manages an open one to its exit.
        What open deals adopt must fit for all *deals_open* of them.

        Raises:
            PermanentError: A proof fails with this market's real rules (PROOF_FAILED).
        """

    def sharing(self, setup: Any, *, deals: int, share: Decimal) -> Any:
        """Return *setup* for a bot whose open deal is one of *deals*, as many as are open now.

        *share* is what of marginLimit it may use, quote.
        """

    def worst_quote(self, setup: Any) -> Decimal:
        """Return what all deals of a strategy with *setup* need together at worst, quote."""

    def indicator(self, setup: Any) -> Rsi | None:
        """Return the indicator whose readings a bot of *setup* is to be told; None for none."""

    def initial(self, setup: Any) -> S:
        """Return the state of a bot that never traded."""

    def step(self, state: S, event: Event) -> Step[S]:
        """Return what follows from *event*."""

    def band(self, state: S) -> Band | None:
        """Return which prices *state* would only remember; None when each has to be looked at.

        A step on one of them does nothing, and the band of the state that follows has all the
        prices and times of this one.
        """

    def remember(self, state: S, seen: Sequence[tuple[Decimal, int]]) -> S:
        """Return what steps on *seen*, prices of the band and their times, would lead to."""

    def has_deal(self, state: S) -> bool:
        """Return whether a deal is begun and not over, or a person has to look at how it ended."""

    def view(self, state: S) -> BotView:
        """Return what people see."""

    def outlook(self, state: S) -> Outlook | None:
        """Return what the open deal waits for, for people; None without one."""

    def open_orders(self, state: S) -> tuple[OpenOrder, ...]:
        """Return the orders that may rest on the exchange right now."""

    def exposure(self, state: S) -> Exposure | None:
        """Return what a futures position has to keep clear of; None on spot and while flat."""

    def dump(self, state: S) -> str:
        """Return *state* as JSON; `load` is its inverse."""

    def share_of(self, text: str) -> Decimal | None:
        """Return what of marginLimit the open deal in *text*, which `dump` wrote, may use; quote.

        None where none is open, or the record is too old to tell.
        """

    def load(self, text: str, setup: Any) -> S:
        """Return the state that `dump` wrote, under *setup*."""


@dataclass(frozen=True, slots=True)
class BotIdentity:
    """What makes a bot's client order ids its own.

    Attributes:
        installation: `ids.installation_code` of the state store.
    """

    installation: str
    bot: str
