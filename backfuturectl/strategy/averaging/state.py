"""What an averaging bot knows: its setup, its deal with every order of it, and its phase."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Final

from backfuturectl.model.ids import bot_code
from backfuturectl.model.market import ZERO, Market
from backfuturectl.model.orders import Fee, Leg, LegKind, OrderStatus, OrderType, Side
from backfuturectl.strategy.arithmetic import LadderShape, MarginRates
from backfuturectl.strategy.assumptions import MarketRules
from backfuturectl.strategy.base import BotIdentity, Gate
from backfuturectl.strategy.presets import Terms

NEVER_MS: Final = 1 << 62
"""A time that does not come."""


class Phase(enum.StrEnum):
    """Where a bot is in a deal's life.

    FLAT: no position; a base order may rest. ACTIVE: ladder, take profit, stop. HALTING: cancel
    everything, then leave. COOLDOWN: rest after a deal. MANUAL: the facts contradict the books;
    nothing is touched until an operator resumes.
    """

    FLAT = "FLAT"
    ACTIVE = "ACTIVE"
    HALTING = "HALTING"
    COOLDOWN = "COOLDOWN"
    MANUAL = "MANUAL"


class Happening(enum.StrEnum):
    """What moves a bot from phase to phase."""

    ENTRY_FILLED = "entryFilled"
    NOTHING_FILLED = "nothingFilled"
    CLOSING = "closing"
    WENT_FLAT = "wentFlat"
    LEFT_ALONE = "leftAlone"
    RESTED = "rested"
    CONTRADICTED = "contradicted"
    CLEARED_FLAT = "clearedFlat"
    CLEARED_OPEN = "clearedOpen"


PHASES: Final[dict[tuple[Phase, Happening], Phase]] = {
    (Phase.FLAT, Happening.ENTRY_FILLED): Phase.ACTIVE,
    (Phase.FLAT, Happening.NOTHING_FILLED): Phase.FLAT,
    (Phase.FLAT, Happening.CLOSING): Phase.HALTING,
    (Phase.ACTIVE, Happening.CLOSING): Phase.HALTING,
    (Phase.ACTIVE, Happening.WENT_FLAT): Phase.COOLDOWN,
    # The base order filled while its cancel was on the way.
    (Phase.HALTING, Happening.ENTRY_FILLED): Phase.HALTING,
    (Phase.HALTING, Happening.NOTHING_FILLED): Phase.FLAT,
    (Phase.HALTING, Happening.CLOSING): Phase.HALTING,
    (Phase.HALTING, Happening.WENT_FLAT): Phase.COOLDOWN,
    (Phase.HALTING, Happening.LEFT_ALONE): Phase.FLAT,
    (Phase.COOLDOWN, Happening.RESTED): Phase.FLAT,
    (Phase.MANUAL, Happening.CLEARED_FLAT): Phase.FLAT,
    (Phase.MANUAL, Happening.CLEARED_OPEN): Phase.ACTIVE,
    **{(phase, Happening.CONTRADICTED): Phase.MANUAL for phase in Phase},
}
"""The state machine; a missing row is a defect."""


class Closing(enum.StrEnum):
    """Why a deal ends before its take profit: STOP and CLOSE leave at market, ABANDON stays."""

    STOP = "stop"
    CLOSE = "close"
    ABANDON = "abandon"


@dataclass(frozen=True)
class Setup:
    """What one generation of a strategy document means on one market.

    Attributes:
        base_quote: Size of the base order.
        is_open_for_deals: Whether the document's own state lets new deals begin.
        on_change: What this generation does to an open deal's ladder.
    """

    terms: Terms
    market: Market
    rules: MarketRules
    rates: MarginRates
    base_quote: Decimal
    identity: BotIdentity
    is_open_for_deals: bool
    on_change: str

    @cached_property
    def code(self) -> str:
        """The bot's six characters in client order ids."""
        return bot_code(self.identity.bot)

    @property
    def entry_side(self) -> Side:
        """The side that enlarges the position."""
        return Side.BUY if self.terms.sign > 0 else Side.SELL

    @cached_property
    def notional_max(self) -> Decimal:
        """What one deal may hold and have resting, quote, so that marginLimit is never passed."""
        return self.terms.margin_limit / self.terms.max_active_deals / self.rates.per_notional


@dataclass(frozen=True, slots=True)
class LegOrder:
    """One order of a deal, as far as it is known; amounts are cumulative.

    Attributes:
        since_ms: When its status last changed.
        ladder: Which plan of the deal's ladder asked for it.
        cancels: How often its cancel was asked for.
        cancel_at_ms: When a cancel was last asked for.
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

    @property
    def may_rest(self) -> bool:
        """Whether it may be on the book right now."""
        return self.status.may_rest

    @property
    def left_base(self) -> Decimal:
        """What may still be filled."""
        return self.amount_base - self.filled_base


@dataclass(frozen=True, slots=True)
class Deal:
    """From base order until flat.

    Attributes:
        base_quote: Size that the ladder is planned from.
        shape: The ladder the deal was born with, or has adopted.
        orders: Every order ever decided, oldest first. None is dropped before the next deal: a
            fill may be reported late, and an id must never be used twice.
        ladder: Counts plans of the ladder; resting rungs of an older one are replaced.
        closing: None while take profit and ladder are in force.
        is_winding: An exit has left the deal flat; nothing may add any more.
        is_open: A fill has begun it.
        is_over: It has ended; kept only for what is reported late.
        settled_base: Entries already sold when the deal was last flat: what fills in the race
            after that has an average of its own.
        settled_cost: Likewise, quote.
        last_rung_ms: When a rung last filled.
        noted: What people have been told and need not hear again.
    """

    number: int
    base_quote: Decimal
    shape: LadderShape
    orders: tuple[LegOrder, ...] = ()
    ladder: int = 0
    closing: Closing | None = None
    is_winding: bool = False
    is_open: bool = False
    is_over: bool = False
    settled_base: Decimal = ZERO
    settled_cost: Decimal = ZERO
    last_rung_ms: int = 0
    noted: frozenset[str] = frozenset()

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

    @property
    def resting(self) -> tuple[LegOrder, ...]:
        """The orders that may be on the book right now."""
        return tuple(order for order in self.orders if order.may_rest)

    def put(self, order: LegOrder) -> Deal:
        """Return the deal with *order* in the place of its namesake."""
        return replace(
            self,
            orders=tuple(
                order if old.client_order_id == order.client_order_id else old
                for old in self.orders
            ),
        )


@dataclass(frozen=True, slots=True)
class Quiet:
    """Until when a price changes nothing, so that most ticks cost next to nothing.

    Attributes:
        low: A price at or below ends the quiet.
        high: A price at or above ends it.
        until_ms: This time ends it.
        wants_room: Room for one more deal ends it.
    """

    low: Decimal
    high: Decimal
    until_ms: int
    wants_room: bool


@dataclass(frozen=True, slots=True)
class State:
    """All an averaging bot knows.

    Attributes:
        deals: Number of the newest deal; the next has one more.
        deal: The newest deal, kept after its end until the next begins; None before the first.
        stop_since_ms: Since when the price has been beyond the stop; None while it is not.
        rest_until_ms: No deal begins before.
        failures: Entries that were refused in a row.
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
    is_paused: bool = False
    is_draining: bool = False
    quiet: Quiet | None = field(default=None, compare=False, repr=False)

    @property
    def live_deal(self) -> Deal | None:
        """The deal that has not ended."""
        return self.deal if self.deal is not None and not self.deal.is_over else None

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
