"""What an averaging bot knows: its setup, its deal with every order of it, and its phase."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Final

from backfuturectl.model.market import ZERO, Market
from backfuturectl.model.orders import Fee, Leg, LegKind, OrderStatus, OrderType, Side
from backfuturectl.strategy.arithmetic import LadderShape, MarginRates, precisely
from backfuturectl.strategy.assumptions import MarketRules
from backfuturectl.strategy.base import BotIdentity, Gate
from backfuturectl.strategy.presets import Terms
from backfuturectl.strategy.proofs import rests_stop
from backfuturectl.strategy.schedule import Windows

NEVER_MS: Final = 1 << 62
"""A time that does not come."""

INFINITE: Final = Decimal("Infinity")

RESTING_STOP: Final = Leg(LegKind.STOP_LOSS, 1)
"""The stop that waits on the exchange; the bot's own way out at the stop is number 0.

Two legs, so that refusals of the one never hold back the other.
"""


class Phase(enum.StrEnum):
    """Where a bot is in a deal's life.

    FLAT: no position; a base order may rest. ACTIVE: ladder, take profit, stop. WATCH: as ACTIVE,
    but no new rung is placed; a trigger of Recovery Mode is being confirmed. RECOVERY: the
    recovery target, strict add-ons, no more. HALTING: cancel everything, then leave. COOLDOWN:
    rest after a deal. HALTED: gave up too often, until an operator resumes. MANUAL: the facts
    contradict the books, or a person took over; nothing is touched until an operator resumes.
    """

    FLAT = "FLAT"
    ACTIVE = "ACTIVE"
    WATCH = "WATCH"
    RECOVERY = "RECOVERY"
    HALTING = "HALTING"
    COOLDOWN = "COOLDOWN"
    HALTED = "HALTED"
    MANUAL = "MANUAL"


class Happening(enum.StrEnum):
    """What moves a bot from phase to phase."""

    ENTRY_FILLED = "entryFilled"
    NOTHING_FILLED = "nothingFilled"
    TROUBLED = "troubled"
    CALMED = "calmed"
    CONFIRMED = "confirmed"
    RECOVERED = "recovered"
    CLOSING = "closing"
    WENT_FLAT = "wentFlat"
    GAVE_UP_TOO_OFTEN = "gaveUpTooOften"
    LEFT_ALONE = "leftAlone"
    RESTED = "rested"
    CONTRADICTED = "contradicted"
    TAKEN_OVER = "takenOver"
    CLEARED_FLAT = "clearedFlat"
    CLEARED_OPEN = "clearedOpen"
    CLEARED_RECOVERY = "clearedRecovery"
    RESUMED = "resumed"


PHASES: Final[dict[tuple[Phase, Happening], Phase]] = {
    (Phase.FLAT, Happening.ENTRY_FILLED): Phase.ACTIVE,
    (Phase.FLAT, Happening.NOTHING_FILLED): Phase.FLAT,
    (Phase.FLAT, Happening.CLOSING): Phase.HALTING,
    (Phase.ACTIVE, Happening.CLOSING): Phase.HALTING,
    (Phase.ACTIVE, Happening.WENT_FLAT): Phase.COOLDOWN,
    (Phase.ACTIVE, Happening.TROUBLED): Phase.WATCH,
    (Phase.WATCH, Happening.CALMED): Phase.ACTIVE,
    (Phase.WATCH, Happening.CONFIRMED): Phase.RECOVERY,
    (Phase.WATCH, Happening.CLOSING): Phase.HALTING,
    (Phase.WATCH, Happening.WENT_FLAT): Phase.COOLDOWN,
    (Phase.RECOVERY, Happening.RECOVERED): Phase.ACTIVE,
    (Phase.RECOVERY, Happening.CLOSING): Phase.HALTING,
    (Phase.RECOVERY, Happening.WENT_FLAT): Phase.COOLDOWN,
    # The base order filled while its cancel was on the way.
    (Phase.HALTING, Happening.ENTRY_FILLED): Phase.HALTING,
    (Phase.HALTING, Happening.NOTHING_FILLED): Phase.FLAT,
    (Phase.HALTING, Happening.CLOSING): Phase.HALTING,
    (Phase.HALTING, Happening.WENT_FLAT): Phase.COOLDOWN,
    (Phase.HALTING, Happening.GAVE_UP_TOO_OFTEN): Phase.HALTED,
    (Phase.HALTING, Happening.LEFT_ALONE): Phase.FLAT,
    (Phase.HALTED, Happening.RESUMED): Phase.FLAT,
    (Phase.COOLDOWN, Happening.RESTED): Phase.FLAT,
    (Phase.MANUAL, Happening.CLEARED_FLAT): Phase.FLAT,
    (Phase.MANUAL, Happening.CLEARED_OPEN): Phase.ACTIVE,
    (Phase.MANUAL, Happening.CLEARED_RECOVERY): Phase.RECOVERY,
    **{(phase, Happening.CONTRADICTED): Phase.MANUAL for phase in Phase},
    **{
        (phase, Happening.TAKEN_OVER): Phase.MANUAL
        for phase in (Phase.ACTIVE, Phase.WATCH, Phase.RECOVERY, Phase.HALTING)
    },
}
"""The state machine; a missing row is a defect."""


class Closing(enum.StrEnum):
    """Why a deal ends by more than a resting order: all leave at market, only ABANDON stays.

    TRAIL: the trailing take profit turned. ESCALATE: Recovery Mode gave up.
    """

    STOP = "stop"
    TRAIL = "trail"
    ESCALATE = "escalate"
    CLOSE = "close"
    ABANDON = "abandon"


@dataclass(frozen=True)
class Setup:
    """What one generation of a strategy document means on one market.

    Attributes:
        sized: The terms with the base order's size in them, which need not be found again.
        base_quote: Size of the base order.
        code: The bot's six characters in client order ids.
        windows: When new deals may begin.
        is_open_for_deals: Whether the document's own state lets new deals begin.
        on_change: What this generation does to an open deal's ladder.
        deals_open: How many deals of the strategy are open, the bot's own among them; zero where
            nobody told. They may be more than an edit allows from now on.
        deal_share: What of marginLimit the bot's open deal may use, quote; None where nobody told:
            as much as a new one.
    """

    terms: Terms
    sized: Terms
    market: Market
    rules: MarketRules
    rates: MarginRates
    base_quote: Decimal
    identity: BotIdentity
    code: str
    windows: Windows
    is_open_for_deals: bool
    on_change: str
    deals_open: int = 0
    deal_share: Decimal | None = None

    @property
    def entry_side(self) -> Side:
        """The side that enlarges the position."""
        return Side.BUY if self.terms.sign > 0 else Side.SELL

    @property
    def rests_stop(self) -> bool:
        """Whether the stop waits on the exchange; one that is to be confirmed is watched here."""
        return rests_stop(self.terms, self.rules)

    @cached_property
    def share(self) -> Decimal:
        """What of marginLimit a new deal is planned for, quote."""
        return self.terms.margin_limit / self.terms.max_active_deals

    @property
    def deals(self) -> int:
        """How many deals share marginLimit and caps."""
        return max(self.terms.max_active_deals, self.deals_open)


@dataclass(frozen=True, slots=True)
class LegOrder:
    """One order of a deal, as far as it is known; amounts are cumulative.

    Attributes:
        since_ms: When its status last changed.
        ladder: Which plan of the deal's ladder asked for it.
        cancels: How often its cancel was asked for.
        cancel_at_ms: When a cancel was last asked for.
        trigger_price: Of a stop that waits on the exchange; None for any other.
        not_before_ms: When its leg may be tried again at the earliest, where the exchange said so.
    """

    client_order_id: str
    leg: Leg
    side: Side
    type: OrderType
    price: Decimal
    amount_base: Decimal
    placed_at_ms: int
    since_ms: int
    ladder: int = 0
    status: OrderStatus = OrderStatus.INTENDED
    filled_base: Decimal = ZERO
    cost_quote: Decimal = ZERO
    fees: tuple[Fee, ...] = ()
    cancels: int = 0
    cancel_at_ms: int = 0
    trigger_price: Decimal | None = None
    not_before_ms: int = 0

    @property
    def may_rest(self) -> bool:
        """Whether it may be on the book right now."""
        return self.status.may_rest

    @property
    def left_base(self) -> Decimal:
        """What may still be filled."""
        return self.amount_base - self.filled_base

    @property
    def is_waiting_stop(self) -> bool:
        """Whether it may be a stop that nothing has set off, as far as is known.

        It takes no part of the position away from other exits: it only reduces, so whatever they
        leave is the most that it fills.
        """
        return self.may_rest and self.trigger_price is not None and not self.filled_base


@dataclass(frozen=True, slots=True)
class Reduction:
    """A small part of the position that Recovery Mode wants to sell at a small loss.

    Attributes:
        price: The worst it may fill at.
        loss_per_base: What one base unit sold at that price loses, fees of both ways in; quote.
        since_ms: When it was decided; it is given up when it does not fill soon.
    """

    amount_base: Decimal
    price: Decimal
    loss_per_base: Decimal
    since_ms: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What else the document says of a deal's rungs, beside where they are and how large.

    Attributes:
        min_interval_ms: Rest between a rung's fill and the next rung's order.
        min_improvement_pct: By which each must improve the average.
    """

    min_interval_ms: int
    min_improvement_pct: Decimal

    @classmethod
    def of(cls, terms: Terms) -> Pace:
        """Return the pace that a deal is born with under *terms*."""
        return cls(terms.min_interval_ms, terms.min_improvement_pct)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a deal's orders.

    Attributes:
        entered_base: Filled by base order and rungs.
        entered_cost: Likewise, quote.
        left_base: Filled by exits.
        left_cost: Likewise, quote.
        fees: By coin.
    """

    entered_base: Decimal
    entered_cost: Decimal
    left_base: Decimal
    left_cost: Decimal
    fees: Mapping[str, Decimal]


@dataclass(frozen=True)
class Deal:
    """From base order until flat.

    Attributes:
        base_quote: Size that the ladder is planned from.
        shape: The ladder the deal was born with, or has adopted.
        orders: Every order ever decided, oldest first. None is dropped before the next deal: a
            fill may be reported late, and an id must never be used twice.
        ladder: Counts plans of the ladder; resting rungs of an older one are replaced.
        closing: None while take profit and ladder are in force.
        closing_field: Path in the document that closes it, where that is not what *closing* says;
            empty for an operator.
        is_winding: An exit has left the deal flat; nothing may add any more.
        is_open: A fill has begun it.
        is_over: It has ended; kept only for what is reported late.
        settled_base: Entries already sold when the deal was last flat: what fills in the race
            after that has an average of its own.
        settled_cost: Likewise, quote.
        last_rung_ms: When a rung last filled.
        pace: Likewise born with or adopted; older records have none, and follow the document.
        share: What of marginLimit it may use, quote; older records have none, likewise.
        deals: How many deals share caps.maxOpenOrders with it; older records have none, likewise.
        recovery_since_ms: Since when it has been in Recovery Mode; None while it is not.
        peak: Best price since the trailing take profit was armed; None while it is not. Only what
            an action recorded survives a restart, so the turn may come a little later then.
        low: Worst calm price in Recovery Mode since its beginning or the last reduction, likewise.
        reduction: What is being sold at a loss now.
        reduced: Id and loss per base unit of each order that sold at a loss.
        reduced_ms: When the last reduction was decided.
        noted: What people have been told and need not hear again.
        funding_quote: Sum of the funding payments; received is positive.
        funding_ids: The exchange's ids of those payments.
        closed_at_ms: When it ended; 0 while it has not.
    """

    number: int
    base_quote: Decimal
    shape: LadderShape
    orders: tuple[LegOrder, ...] = ()
    ladder: int = 0
    closing: Closing | None = None
    closing_field: str = ""
    is_winding: bool = False
    is_open: bool = False
    is_over: bool = False
    settled_base: Decimal = ZERO
    settled_cost: Decimal = ZERO
    last_rung_ms: int = 0
    pace: Pace | None = None
    share: Decimal | None = None
    deals: int = 1
    recovery_since_ms: int | None = None
    peak: Decimal | None = None
    low: Decimal | None = None
    reduction: Reduction | None = None
    reduced: tuple[tuple[str, Decimal], ...] = ()
    reduced_ms: int = 0
    noted: frozenset[str] = frozenset()
    funding_quote: Decimal = ZERO
    funding_ids: frozenset[str] = frozenset()
    closed_at_ms: int = 0

    def of(self, kind: LegKind, index: int = 0) -> tuple[LegOrder, ...]:
        """Return the orders of one leg, oldest first."""
        return tuple(
            order for order in self.orders if order.leg.kind is kind and order.leg.index == index
        )

    def named(self, client_order_id: str) -> LegOrder | None:
        """Return the order with that id, or None."""
        for order in self.orders:
            if order.client_order_id == client_order_id:
                return order
        return None

    @property
    def base(self) -> LegOrder:
        """The order that began it."""
        return self.orders[0]

    @cached_property
    def resting(self) -> tuple[LegOrder, ...]:
        """The orders that may be on the book right now."""
        return tuple(order for order in self.orders if order.status.may_rest)

    @cached_property
    def totals(self) -> Totals:
        """What its orders add up to: the order of reports and their repetition do not matter."""
        return _totals(self.orders)

    @cached_property
    def average(self) -> Decimal | None:
        """Price of what was entered since it was last flat; None when nothing was."""
        return _average(self)

    @cached_property
    def was_stopped(self) -> bool:
        """Whether the exchange has set a resting stop off."""
        return any(order.trigger_price is not None and order.filled_base for order in self.orders)

    def put(self, order: LegOrder) -> Deal:
        """Return the deal with *order* in the place of its namesake."""
        return replace(
            self,
            orders=tuple(
                order if old.client_order_id == order.client_order_id else old
                for old in self.orders
            ),
        )


@precisely
def _totals(orders: Iterable[LegOrder]) -> Totals:
    entered_base = entered_cost = left_base = left_cost = ZERO
    fees: dict[str, Decimal] = {}
    for order in orders:
        if not order.filled_base:
            continue
        if order.leg.kind.is_adding:
            entered_base += order.filled_base
            entered_cost += order.cost_quote
        else:
            left_base += order.filled_base
            left_cost += order.cost_quote
        for fee in order.fees:
            fees[fee.currency] = fees.get(fee.currency, ZERO) + fee.amount
    return Totals(entered_base, entered_cost, left_base, left_cost, fees)


@precisely
def _average(deal: Deal) -> Decimal | None:
    entered_base = deal.totals.entered_base - deal.settled_base
    entered_cost = deal.totals.entered_cost - deal.settled_cost
    return entered_cost / entered_base if entered_base > 0 else None


@dataclass(frozen=True, slots=True)
class Quiet:
    """Until when a price changes nothing, so that most ticks cost next to nothing.

    Attributes:
        low: A price at or below ends the quiet.
        high: A price at or above ends it.
        until_ms: This time ends it.
        wants_room: Room for one more deal ends it.
        calm_low: As low, for the calm price of `recovery.calm_price`.
        calm_high: As high, likewise.
    """

    low: Decimal
    high: Decimal
    until_ms: int
    wants_room: bool
    calm_low: Decimal = -INFINITE
    calm_high: Decimal = INFINITE


@dataclass(frozen=True, slots=True)
class Gauge:
    """What the prices of an open deal have said, for Recovery Mode's rules.

    Ticks are not recorded, so after a restart this is as old as the last recorded step; `seen_ms`
    tells, and what was not seen in between does not count as held.

    Attributes:
        smooth: Smoothed price at `seen_ms`.
        seen_ms: Time of the newest price.
        underwater_since_ms: Since when the deal has been at a loss; None while it is not.
        trouble_since_ms: Since when a trigger has been true; None while none is.
        calm_since_ms: Since when the rule that ends WATCH or RECOVERY has been true.
        escalate_since_ms: Since when the drawdown has been beyond escalation.
    """

    smooth: Decimal
    seen_ms: int
    underwater_since_ms: int | None = None
    trouble_since_ms: int | None = None
    calm_since_ms: int | None = None
    escalate_since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What an indicator last read.

    Attributes:
        of: Name of the indicator; a reading of another one counts for nothing.
        closed_at_ms: When the candle closed that it was taken after.
    """

    of: str
    value: Decimal
    closed_at_ms: int


@dataclass(frozen=True, slots=True)
class State:
    """All an averaging bot knows.

    Attributes:
        deals: Number of the newest deal; the next has one more.
        deal: The newest deal, kept after its end until the next begins; None before the first.
        stop_since_ms: Since when the price has been beyond the stop; None while it is not.
        rest_until_ms: No deal begins before.
        failures: Entries that were refused in a row.
        gauge: Recovery Mode's view of the prices; None while no deal is open.
        escalations: When Recovery Mode gave up, oldest first, as far as the window reaches.
        reductions: When deals ended that Recovery Mode reduced, and what that lost, quote; oldest
            first, as far as the window reaches.
        loss_day: UTC day, counted from the epoch, that `day_loss` belongs to.
        day_loss: What deals closed on that day lost, unsigned quote; gains do not make up for it.
        last_window: Schedule window in which the newest deal began, see `schedule.Windows`.
        reading: Newest reading of the indicator that entries wait for; None before the first.
        used_reading_ms: When the candle closed whose reading began the newest deal.
        noted: What people have been told about why no deal begins; forgotten when one does.
        quiet: Follows from the rest; None makes the next event look at everything.
    """

    setup: Setup = field(repr=False)
    phase: Phase = Phase.FLAT
    gate: Gate = Gate.SHUT
    price: Decimal | None = None
    at_ms: int = 0
    deals: int = 0
    deal: Deal | None = None
    stop_since_ms: int | None = None
    rest_until_ms: int = 0
    failures: int = 0
    gauge: Gauge | None = None
    escalations: tuple[int, ...] = ()
    reductions: tuple[tuple[int, Decimal], ...] = ()
    loss_day: int = 0
    day_loss: Decimal = ZERO
    last_window: int | None = None
    reading: Reading | None = None
    used_reading_ms: int = 0
    noted: frozenset[str] = frozenset()
    is_paused: bool = False
    is_draining: bool = False
    quiet: Quiet | None = field(default=None, compare=False, repr=False)

    @property
    def live_deal(self) -> Deal | None:
        """The deal that has not ended."""
        return self.deal if self.deal is not None and not self.deal.is_over else None

    @property
    def recent_reductions(self) -> tuple[tuple[int, Decimal], ...]:
        """What earlier deals lost by reductions, as far as it still counts."""
        since_ms = self.at_ms - self.setup.terms.recovery.window_ms
        return tuple(each for each in self.reductions if each[0] > since_ms)

    @property
    def may_begin(self) -> bool:
        """Whether file, operator and surroundings let a new deal begin."""
        return (
            self.gate is Gate.OPEN
            and self.setup.is_open_for_deals
            and not self.is_paused
            and not self.is_draining
        )


def moved(state: State, happening: Happening) -> State:
    """Return *state* in the phase that *happening* leads to."""
    return replace(state, phase=PHASES[state.phase, happening])
