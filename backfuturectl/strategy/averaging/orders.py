"""Which orders a deal should have, and what to do about the difference.

Level, not edge: every pass looks at the whole deal, wants what should rest, cancels what should
not, and places what is missing once the way is free. Repeating a pass changes nothing.

Invariants:
- A client order id is used once: its attempt counts the leg's orders, and none is ever dropped.
- What may rest (also what is merely not known to be gone) counts as resting: for margin, for the
  one take profit, and for an exit at market, which waits until nothing rests.
- Only an order known to be open is canceled; one on its way is waited for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from backfuturectl.model.ids import OrderName, client_order_id
from backfuturectl.model.market import (
    HUNDRED,
    ONE,
    ZERO,
    MarketKind,
    is_tradable,
    round_amount,
    round_price,
)
from backfuturectl.model.orders import Leg, LegKind, NewOrder, OrderStatus, OrderType, Side
from backfuturectl.strategy.arithmetic import (
    average_after,
    improvement_pct,
    next_price,
    precisely,
    prices,
    sizes_quote,
)
from backfuturectl.strategy.averaging.ledger import books, is_dust, target_price
from backfuturectl.strategy.averaging.state import NEVER_MS, Closing, Deal, LegOrder, Setup
from backfuturectl.strategy.base import Action, Cancel, Gate, Note, Place
from backfuturectl.strategy.violation import figure

ATTEMPTS_MAX: Final = 36**3
"""What a client order id can count."""

RUNG_FAILURES_MAX: Final = 6
"""Refusals in a row after which a rung is left out; exits are tried on."""

_CANCEL_AGAIN_MS: Final = 10_000
_RETRY_MS: Final = 5_000
_RETRY_MAX_MS: Final = 300_000


@dataclass(slots=True)
class Draft:
    """A deal while a pass is deciding about it.

    Attributes:
        deal: As it will be after the actions.
        may_begin: Whether a deal without a fill may still become one.
        actions: In order.
        wake_ms: When to look again even if nothing happens.
    """

    setup: Setup
    deal: Deal
    price: Decimal
    at_ms: int
    gate: Gate
    may_begin: bool
    actions: list[Action] = field(default_factory=list)
    wake_ms: int = NEVER_MS

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
        again_ms = order.cancel_at_ms + _backoff_ms(order.cancels, _CANCEL_AGAIN_MS)
        if order.cancels and self.at_ms < again_ms:
            self.wake(again_ms)
            return
        asked = replace(order, cancels=order.cancels + 1, cancel_at_ms=self.at_ms)
        self.deal = self.deal.put(asked)
        self.actions.append(Cancel(order.client_order_id, why))
        self.wake(self.at_ms + _backoff_ms(asked.cancels, _CANCEL_AGAIN_MS))

    def cancel_all(self, orders: Iterable[LegOrder], why: str) -> None:
        """Ask for a cancel of each of *orders*."""
        for order in orders:
            self.cancel(order, why)

    def place(
        self, leg: Leg, *, type_: OrderType, price: Decimal, amount_base: Decimal, why: str
    ) -> None:
        """Decide an order; the attempt in its id is one that the leg never had."""
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
                    leverage=terms.leverage,
                    margin_mode=terms.margin_mode,
                ),
                leg=leg,
                deal_number=deal.number,
                why=why,
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
        due_ms = orders[-1].since_ms + _backoff_ms(failed, _RETRY_MS)
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


def arrange(draft: Draft) -> None:
    """Make *draft* want the orders that its deal should have now."""
    deal = draft.deal
    if draft.gate is Gate.SHUT:
        return
    if deal.closing is not None:
        _close(draft)
    elif deal.is_winding and is_left(draft):
        draft.cancel_all(deal.resting, "the deal is flat")
    elif deal.base.may_rest:
        _await_base(draft)
    else:
        _take_profit(draft)
        if draft.gate is Gate.OPEN and not deal.is_winding:
            _rungs(draft)
        elif deal.is_winding:
            draft.cancel_all(
                (order for order in deal.resting if order.leg.kind.is_adding), "the deal is ending"
            )


def is_left(draft: Draft) -> bool:
    """Return whether what *draft*'s deal holds is too little for any exit and none rests."""
    deal, setup = draft.deal, draft.setup
    is_leaving = any(not order.leg.kind.is_adding for order in deal.resting)
    if is_leaving and deal.closing is None:
        return False  # an order that is there may fill to its end, however little is left of it
    kept = books(deal, setup)
    if kept.average is None:
        return True
    # While closing, what counts is what the exit would bring now.
    price = draft.price if deal.closing is not None else target_price(kept.average, setup)
    return is_dust(kept.position_base, price, setup.market)


@precisely
def entry(setup: Setup, price: Decimal) -> tuple[Decimal, Decimal]:
    """Return price and amount of a base order decided at *price*; the amount may be untradable.

    The amount is what the size buys at the worst price it can fill at, so that it never costs
    more than planned.
    """
    market, terms = setup.market, setup.terms
    slipped = price * (ONE + terms.sign * terms.max_slippage_pct / HUNDRED)
    is_buy = setup.entry_side is Side.BUY
    if terms.entry_type == "market":
        limit = round_price(price, market)
    else:
        limit = round_price(slipped, market, is_buy=is_buy)
    size = setup.base_quote
    if terms.max_order_notional is not None:
        size = min(size, terms.max_order_notional)
    amount = round_amount(size / max(slipped, price), market)
    return limit, _at_most(amount, market.amount_max)


def _await_base(draft: Draft) -> None:
    setup, base = draft.setup, draft.deal.base
    timeout_ms = base.placed_at_ms + setup.terms.entry_timeout_ms
    if draft.at_ms >= timeout_ms:
        draft.cancel(base, "the base order's time is over")
        return
    draft.wake(timeout_ms)
    if not base.filled_base:
        if not draft.may_begin:
            draft.cancel(base, "no new deal may begin")
        return
    target = target_price(base.cost_quote / base.filled_base, setup)
    if setup.terms.sign * (draft.price - target) >= 0:
        draft.cancel(base, "a part of the base order has reached its take profit")


def _close(draft: Draft) -> None:
    deal, setup = draft.deal, draft.setup
    resting = deal.resting
    leg = Leg(LegKind.STOP_LOSS if deal.closing is Closing.STOP else LegKind.CLOSE)
    if resting:
        # The exit itself is left alone: at market it fills or ends by itself.
        draft.cancel_all(
            (order for order in resting if order.leg.kind not in _AT_MARKET), "the deal is closing"
        )
        return
    if deal.closing is Closing.ABANDON or is_left(draft) or not draft.is_due(leg):
        return
    position = books(deal, setup).position_base
    draft.place(
        leg,
        type_=OrderType.MARKET,
        price=round_price(draft.price, setup.market),
        amount_base=_at_most(round_amount(position, setup.market), setup.market.amount_max),
        why=f"deal {deal.number} closes: {deal.closing}",
    )


_AT_MARKET: Final = frozenset({LegKind.STOP_LOSS, LegKind.CLOSE})


def _take_profit(draft: Draft) -> None:
    deal, setup, market = draft.deal, draft.setup, draft.setup.market
    leg = Leg(LegKind.TAKE_PROFIT)
    resting = tuple(order for order in deal.of(leg.kind) if order.may_rest)
    kept = books(deal, setup)
    if kept.average is None or is_left(draft):
        draft.cancel_all(resting, "nothing is left to sell")
        draft.note(
            "PositionTooSmall",
            f"the exchange takes no order for the {kept.position_base:f} {market.base} held; the "
            "deal waits for a rung, `pause` and `halt` leave it as it is",
            once="too small",
        )
        return
    price = round_price(
        target_price(kept.average, setup), market, is_buy=setup.entry_side is Side.SELL
    )
    amount = _at_most(round_amount(kept.position_base, market), market.amount_max)
    if resting:
        # Where a second one turned up that had been given up for absent, only one may stay.
        draft.cancel_all(resting[:-1], "there is one take profit at a time")
        current = resting[-1]
        if (current.price, current.left_base) != (price, amount):
            draft.cancel(current, "the position or its target changed")
        return
    if draft.is_due(leg):
        draft.place(
            leg,
            type_=OrderType.LIMIT,
            price=price,
            amount_base=amount,
            why=f"{figure(setup.terms.take_profit_pct)}% from the average {figure(kept.average)}",
        )


@precisely
def _rungs(draft: Draft) -> None:
    """Keep the next rungs resting, as far as margin and the average allow."""
    deal, setup = draft.deal, draft.setup
    kept = books(deal, setup)
    window = _window(draft)
    by_rung = {order.leg.index: order for order in deal.resting if order.leg.kind is LegKind.RUNG}
    for k, order in by_rung.items():
        if k not in window or order.ladder != deal.ladder:
            draft.cancel(order, "it is not among the rungs that should rest")
    for extra in deal.resting:
        if extra.leg.kind is LegKind.RUNG and by_rung[extra.leg.index] is not extra:
            draft.cancel(extra, "there is one order per rung")
    # Whatever may rest is counted before anything is added; nearest first, as it would fill.
    room = setup.notional_max - kept.entered_cost
    for order in sorted(deal.resting, key=lambda order: order.leg.index):
        if order.leg.kind is not LegKind.RUNG:
            continue
        is_on_book = order.status is OrderStatus.OPEN  # and fills at its own price
        room -= order.left_base * (order.price if is_on_book else _worst(draft, order.price))
        if room < 0:
            draft.cancel(order, "the margin limit has no room for it")
    amount = kept.entered_base - deal.settled_base
    cost = kept.entered_cost - deal.settled_cost
    for k in window:
        if k in by_rung:
            amount += by_rung[k].left_base
            cost += by_rung[k].left_base * by_rung[k].price
            continue
        placed = _place_rung(draft, k, amount=amount, cost=cost, room=room)
        amount += placed.amount_base
        cost += placed.amount_base * placed.price
        room -= placed.amount_base * _worst(draft, placed.price)


@dataclass(frozen=True, slots=True)
class _Placed:
    """What placing a rung took; an amount of zero when it was not placed."""

    price: Decimal = ONE
    amount_base: Decimal = ZERO


def _place_rung(draft: Draft, k: int, *, amount: Decimal, cost: Decimal, room: Decimal) -> _Placed:
    """Place rung *k* if it may be: *amount* and *cost* are what is held once the nearer fill."""
    deal, setup, market = draft.deal, draft.setup, draft.setup.market
    rest_until_ms = deal.last_rung_ms + setup.terms.min_interval_ms if deal.last_rung_ms else 0
    if draft.at_ms < rest_until_ms:
        draft.wake(rest_until_ms)
        return _Placed()
    if not draft.is_due(Leg(LegKind.RUNG, k)):
        return _Placed()
    price = round_price(_rung_price(deal, k), market, is_buy=setup.entry_side is Side.BUY)
    if price <= 0:
        return _Placed()
    size = _rung_left(deal, k)
    if setup.terms.max_order_notional is not None:
        size = min(size, setup.terms.max_order_notional)
    wanted = round_amount(min(size, max(room, ZERO)) / _worst(draft, price), market)
    wanted = _at_most(wanted, market.amount_max)
    if not is_tradable(wanted, price, market):
        draft.note(
            "RungSkipped",
            f"rung {k} at {price:f} is left out: margin limit and order sizes leave "
            f"{figure(max(room, ZERO))} {market.quote}, too little for the exchange",
            once=f"small {k}",
        )
        return _Placed()
    # A rung that was filled in part is judged as the whole that it is.
    parts = deal.of(LegKind.RUNG, k)
    before = (cost - sum((part.cost_quote for part in parts), ZERO)) / (
        amount - sum((part.filled_base for part in parts), ZERO)
    )
    after = average_after(cost, amount, price=price, size_quote=wanted * price)
    improvement = improvement_pct(before, after, setup.terms.sign)
    if improvement < setup.terms.min_improvement_pct:
        draft.note(
            "RungSkipped",
            f"rung {k} at {price:f} is left out: it improves the average by "
            f"{figure(improvement)}%, less than {figure(setup.terms.min_improvement_pct)}%",
            once=f"improvement {k}",
        )
        return _Placed()
    draft.place(
        Leg(LegKind.RUNG, k),
        type_=OrderType.LIMIT,
        price=price,
        amount_base=wanted,
        why=f"rung {k} of {deal.shape.max_orders}",
    )
    return _Placed(price, wanted)


def _window(draft: Draft) -> tuple[int, ...]:
    """Return the numbers of the rungs that should rest now: the nearest ones not yet done."""
    deal = draft.deal
    open_rungs: list[int] = []
    for k in range(1, deal.shape.max_orders + 1):
        orders = deal.of(LegKind.RUNG, k)
        if _is_done(draft, k, orders):
            continue
        if failures(orders) >= RUNG_FAILURES_MAX:
            draft.note(
                "RungGivenUp",
                f"rung {k} was refused {RUNG_FAILURES_MAX} times in a row and is left out",
                once=f"given up {k}",
            )
            continue
        open_rungs.append(k)
        if len(open_rungs) == draft.setup.terms.max_placed:
            break
    return tuple(open_rungs)


def _is_done(draft: Draft, k: int, orders: tuple[LegOrder, ...]) -> bool:
    if any(order.status is OrderStatus.FILLED for order in orders):
        return True
    if not any(order.filled_base for order in orders) or any(order.may_rest for order in orders):
        return False
    # Canceled after a part was filled: done when the rest is too small for an order of its own.
    market = draft.setup.market
    price = orders[-1].price
    return not is_tradable(round_amount(_rung_left(draft.deal, k) / price, market), price, market)


def _rung_left(deal: Deal, k: int) -> Decimal:
    """Return what rung *k* may still cost: its size less what its orders have filled."""
    filled = sum((order.cost_quote for order in deal.of(LegKind.RUNG, k)), ZERO)
    return max(sizes_quote(deal.shape, deal.base_quote)[k] - filled, ZERO)


def _rung_price(deal: Deal, k: int) -> Decimal:
    """Return rung *k*'s exact price: from the base's fill, or from the last fill before it."""
    last, price = 0, deal.base.cost_quote / deal.base.filled_base
    if deal.shape.reference == "baseOrder":
        return prices(deal.shape, price)[k]
    for order in deal.orders:
        is_nearer = order.leg.kind is LegKind.RUNG and last <= order.leg.index < k
        if is_nearer and order.filled_base:
            last, price = order.leg.index, order.cost_quote / order.filled_base
    for number in range(last + 1, k + 1):
        price = next_price(deal.shape, k=number, previous=price)
    return price


def _worst(draft: Draft, price: Decimal) -> Decimal:
    """Return the highest price an entry at *price* can fill at: a short sells at what is bid."""
    return price if draft.setup.entry_side is Side.BUY else max(price, draft.price)


def _at_most(amount: Decimal, limit: Decimal | None) -> Decimal:
    return amount if limit is None else min(amount, limit)


def _backoff_ms(count: int, first_ms: int) -> int:
    """Return the wait after *count* tries: doubled each time, up to five minutes."""
    return int(min(first_ms * 2 ** min(max(count - 1, 0), 10), _RETRY_MAX_MS))
