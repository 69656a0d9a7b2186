"""A deal while a pass decides about it: which orders it asks for, and when they may be asked for.

Invariants:
- A client order id is used once: its attempt counts the leg's orders, and none is ever dropped.
- Only an order known to be open is canceled; one on its way is waited for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from backfuturectl.model.ids import OrderName, client_order_id
from backfuturectl.model.market import ZERO, MarketKind
from backfuturectl.model.orders import Leg, NewOrder, OrderStatus, OrderType
from backfuturectl.strategy.averaging.ledger import books, is_dust, target_price
from backfuturectl.strategy.averaging.state import NEVER_MS, Deal, LegOrder, Phase, Setup, State
from backfuturectl.strategy.base import Action, Cancel, Gate, Note, Place

ATTEMPTS_MAX: Final = 36**3
"""What a client order id can count."""

_CANCEL_AGAIN_MS: Final = 10_000
_RETRY_MS: Final = 5_000
_RETRY_MAX_MS: Final = 300_000

URGENT_RETRY_MAX_MS: Final = 20_000
"""Longest wait before an exit that was not sent, or a cancel that makes way for one, goes again."""


@dataclass(slots=True)
class Draft:
    """A deal while a pass is deciding about it.

    Attributes:
        deal: As it will be after the actions.
        may_begin: Whether a deal without a fill may still become one.
        lost_before: What reductions of earlier deals have lost within the budget's window, quote.
        actions: In order.
        wake_ms: When to look again even if nothing happens.
    """

    setup: Setup
    deal: Deal
    price: Decimal
    at_ms: int
    gate: Gate
    phase: Phase
    may_begin: bool
    lost_before: Decimal
    actions: list[Action] = field(default_factory=list)
    wake_ms: int = NEVER_MS

    @classmethod
    def of(cls, state: State, deal: Deal, price: Decimal) -> Draft:
        """Return the draft of *deal* at *price* under *state*."""
        return cls(
            setup=state.setup,
            deal=deal,
            price=price,
            at_ms=state.at_ms,
            gate=state.gate,
            phase=state.phase,
            may_begin=state.may_begin,
            lost_before=sum((lost for _, lost in state.recent_reductions), ZERO),
        )

    @property
    def is_recovering(self) -> bool:
        """Whether the rules of Recovery Mode are in force."""
        return self.phase is Phase.RECOVERY

    def wake(self, at_ms: int) -> None:
        """Look again at *at_ms* at the latest."""
        self.wake_ms = min(self.wake_ms, at_ms)

    def note(self, reason: str, message: str, *, once: str) -> None:
        """Warn people, once per deal and *once*."""
        if once not in self.deal.noted:
            self.deal = replace(self.deal, noted=self.deal.noted | {once})
            self.actions.append(Note(reason, message, is_warning=True))

    def cancel(self, order: LegOrder, why: str) -> None:
        """Ask for a cancel of *order*, and again while it goes on resting."""
        if order.status is not OrderStatus.OPEN:
            return  # on its way: its outcome ends or opens it, and either is an event
        order = self.deal.named(order.client_order_id) or order
        again_ms = order.cancel_at_ms + _cancel_again_ms(order.cancels)
        if order.cancels and self.at_ms < again_ms:
            self.wake(again_ms)
            return
        asked = replace(order, cancels=order.cancels + 1, cancel_at_ms=self.at_ms)
        self.deal = self.deal.put(asked)
        self.actions.append(Cancel(order.client_order_id, why))
        self.wake(self.at_ms + _cancel_again_ms(asked.cancels))

    def cancel_all(self, orders: Iterable[LegOrder], why: str) -> None:
        """Ask for a cancel of each of *orders*."""
        for order in orders:
            self.cancel(order, why)

    def place(
        self,
        leg: Leg,
        *,
        type_: OrderType,
        price: Decimal,
        amount_base: Decimal,
        why: str,
        field: str,
        trigger_price: Decimal | None = None,
        is_post_only: bool = False,
    ) -> None:
        """Decide an order, as `Place` has it; the attempt in its id is one the leg never had."""
        setup, deal = self.setup, self.deal
        terms, side = setup.terms, setup.entry_side
        is_futures = setup.market.kind is MarketKind.FUTURES
        order = LegOrder(
            client_order_id=client_order_id(
                OrderName(
                    installation=setup.identity.installation,
                    bot=setup.code,
                    deal=deal.number,
                    leg=leg,
                    attempt=len(deal.of(leg.kind, leg.index)),
                )
            ),
            leg=leg,
            side=side if leg.kind.is_adding else side.opposite,
            type=type_,
            price=price,
            amount_base=amount_base,
            placed_at_ms=self.at_ms,
            since_ms=self.at_ms,
            ladder=deal.ladder,
            trigger_price=trigger_price,
        )
        self.deal = replace(deal, orders=(*deal.orders, order))
        self.actions.append(
            Place(
                order=NewOrder(
                    client_order_id=order.client_order_id,
                    pair=setup.market.pair,
                    side=order.side,
                    type=type_,
                    amount_base=amount_base,
                    price=price,
                    is_reduce_only=is_futures and not leg.kind.is_adding,
                    is_post_only=is_post_only,
                    is_exit=not leg.kind.is_adding,
                    leverage=terms.leverage,
                    margin_mode=terms.margin_mode,
                    trigger_price=trigger_price,
                ),
                leg=leg,
                deal_number=deal.number,
                why=why,
                field=field,
            )
        )

    def is_due(self, leg: Leg) -> bool:
        """Return whether *leg* may be tried now: its ids are not used up, its back-off is over."""
        orders = self.deal.of(leg.kind, leg.index)
        if len(orders) >= ATTEMPTS_MAX:
            self.note(
                "AttemptsExhausted",
                f"{leg} was tried {ATTEMPTS_MAX} times; it needs a person",
                once=f"exhausted {leg}",
            )
            return False
        failed = failures(orders)
        if not failed:
            return True
        last, wait_ms = orders[-1], _backoff_ms(failed, _RETRY_MS)
        if last.status is OrderStatus.ABSENT and not leg.kind.is_adding:
            wait_ms = min(wait_ms, URGENT_RETRY_MAX_MS)
        # What the exchange itself asked for is neither shortened nor, for an exit, prolonged much.
        due_ms = max(last.since_ms + wait_ms, last.not_before_ms)
        if self.at_ms < due_ms:
            self.wake(due_ms)
            return False
        return True


def failures(orders: tuple[LegOrder, ...]) -> int:
    """Return how many of *orders* at their end came to nothing without being canceled by us."""
    count = 0
    for order in reversed(orders):
        if order.may_rest or order.filled_base or order.cancels:
            break
        count += 1
    return count


def is_left(draft: Draft) -> bool:
    """Return whether what *draft*'s deal holds is too little for any exit and none rests."""
    deal, setup = draft.deal, draft.setup
    is_leaving = any(
        not (order.leg.kind.is_adding or order.is_waiting_stop) for order in deal.resting
    )
    if is_leaving and deal.closing is None:
        return False  # an order that is there may fill to its end, however little is left of it
    kept = books(deal, setup)
    if kept.average is None:
        return True
    # While closing, what counts is what the exit would bring now.
    target = target_price(kept.average, setup, is_recovering=draft.is_recovering)
    price = draft.price if deal.closing is not None else target
    return is_dust(kept.position_base, price, setup.market)


def at_most(amount: Decimal, limit: Decimal | None) -> Decimal:
    """Return *amount*, or *limit* where that is less."""
    return amount if limit is None else min(amount, limit)


def _cancel_again_ms(count: int) -> int:
    return min(_backoff_ms(count, _CANCEL_AGAIN_MS), URGENT_RETRY_MAX_MS)


def _backoff_ms(count: int, first_ms: int) -> int:
    """Return the wait after *count* tries: doubled each time, up to five minutes."""
    return int(min(first_ms * 2 ** min(max(count - 1, 0), 10), _RETRY_MAX_MS))
