"""The orders that add: which rungs of the ladder should rest, and in Recovery Mode which add-on.

A rung must not cost more than it was sized for. A long's buys at its own price or cheaper. A
short's would sell for more after a jump, so it is post-only: it fills at its own price, or the
exchange does not take it and it is tried again; one that the price has passed rests just above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from typing import Final

from backfuturectl.model.market import ONE, ZERO, is_tradable, round_amount, round_price
from backfuturectl.model.orders import Leg, LegKind, OrderStatus, OrderType, Side
from backfuturectl.model.units import format_duration
from backfuturectl.strategy.arithmetic import (
    average_after,
    beyond,
    extra_size_quote,
    improvement_pct,
    next_price,
    precisely,
    prices,
    sizes_quote,
)
from backfuturectl.strategy.averaging.draft import Draft, at_most, failures
from backfuturectl.strategy.averaging.ledger import Books, books, notional_max, stop_of
from backfuturectl.strategy.averaging.state import Deal, Pace, Phase, Setup
from backfuturectl.strategy.base import Gate
from backfuturectl.strategy.presets import RecoveryTerms
from backfuturectl.strategy.proofs import rungs_under_cap
from backfuturectl.strategy.violation import figure

RUNG_FAILURES_MAX: Final = 6
"""Refusals in a row after which a rung is left out; exits are tried on."""


@precisely
def rest_rungs(draft: Draft) -> None:
    """Keep the next rungs resting, as far as phase, margin and the average allow."""
    deal, setup = draft.deal, draft.setup
    if _is_too_old(draft):
        draft.cancel_all(
            (order for order in deal.resting if order.leg.kind is LegKind.RUNG),
            "the deal is older than maxDealAge",
        )
        return
    kept = books(deal, setup)
    window = _strict_window(draft, kept) if draft.is_recovering else _window(draft)
    by_rung = {order.leg.index: order for order in deal.resting if order.leg.kind is LegKind.RUNG}
    for k, order in by_rung.items():
        if k not in window or order.ladder != deal.ladder:
            draft.cancel(order, "it is not among the rungs that should rest")
    for extra in deal.resting:
        if extra.leg.kind is LegKind.RUNG and by_rung[extra.leg.index] is not extra:
            draft.cancel(extra, "there is one order per rung")
    # Whatever may rest is counted before anything is added; nearest first, as it would fill.
    room = notional_max(deal, setup) - kept.entered_cost
    for order in sorted(deal.resting, key=lambda order: order.leg.index):
        if order.leg.kind is not LegKind.RUNG:
            continue
        room -= order.left_base * order.price
        if room < 0:
            draft.cancel(order, "the margin limit has no room for it")
    free = _rungs_max(draft) - sum(order.leg.kind is LegKind.RUNG for order in deal.resting)
    amount = kept.entered_base - deal.settled_base
    cost = kept.entered_cost - deal.settled_cost
    for k in window:
        if k in by_rung:
            amount += by_rung[k].left_base
            cost += by_rung[k].left_base * by_rung[k].price
            continue
        if draft.phase is Phase.WATCH or draft.gate is not Gate.OPEN:
            continue  # what rests may stay; nothing new is added while trouble is confirmed
        if free <= 0:
            continue  # the place of one that is being canceled is not free yet
        placed = _place_rung(draft, k, amount=amount, cost=cost, room=room)
        free -= 1 if placed.amount_base else 0
        amount += placed.amount_base
        cost += placed.amount_base * placed.price
        room -= placed.amount_base * placed.price


@dataclass(frozen=True, slots=True)
class _Placed:
    """What placing a rung took; an amount of zero when it was not placed."""

    price: Decimal = ONE
    amount_base: Decimal = ZERO


def _place_rung(draft: Draft, k: int, *, amount: Decimal, cost: Decimal, room: Decimal) -> _Placed:
    """Place rung *k* if it may be: *amount* and *cost* are what is held once the nearer fill."""
    deal, setup, market = draft.deal, draft.setup, draft.setup.market
    pace = deal.pace or Pace.of(setup.terms)
    if not _is_rested(draft, pace.min_interval_ms):
        return _Placed()
    if not draft.is_due(Leg(LegKind.RUNG, k)):
        return _Placed()
    is_buy = setup.entry_side is Side.BUY
    price = round_price(rung_price(draft, k), market, is_buy=is_buy)
    if not is_buy:
        price = max(price, round_price(draft.price, market, is_buy=False) + market.price_tick)
    if price <= 0:
        return _Placed()
    size = rung_left(deal, k)
    if setup.terms.max_order_notional is not None:
        size = min(size, setup.terms.max_order_notional)
    wanted = round_amount(min(size, max(room, ZERO)) / price, market)
    wanted = at_most(wanted, market.amount_max)
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
    needed = pace.min_improvement_pct
    if draft.is_recovering:
        needed = max(needed, setup.terms.recovery.min_improvement_pct)
    if improvement < needed:
        draft.note(
            "RungSkipped",
            f"rung {k} at {price:f} is left out: it improves the average by "
            f"{figure(improvement)}%, less than {figure(needed)}%",
            once=f"improvement {k}",
        )
        return _Placed()
    draft.place(
        Leg(LegKind.RUNG, k),
        type_=OrderType.LIMIT,
        price=price,
        amount_base=wanted,
        why=f"rung {k} of {deal.shape.max_orders}",
        field="spec.recovery.actions.addOns" if draft.is_recovering else "spec.averaging",
        is_post_only=not is_buy,
    )
    return _Placed(price, wanted)


def _rungs_max(draft: Draft) -> int:
    """Return how many rungs may rest: maxPlaced, or less while the cap has to do for more deals."""
    deal, setup = draft.deal, draft.setup
    placed = setup.terms.max_placed
    capped = rungs_under_cap(
        setup.terms, setup.rules, max(deal.deals, setup.terms.max_active_deals)
    )
    if capped is None or capped >= placed:
        return placed
    draft.note(
        "RungsCapped",
        f"{capped} instead of {placed} rungs may rest: caps.maxOpenOrders is shared by "
        f"{deal.deals} open deals, and exits come first",
        once="capped",
    )
    return capped


def _window(draft: Draft) -> tuple[int, ...]:
    """Return the numbers of the rungs that should rest now: the nearest ones not yet done."""
    return tuple(islice(open_rungs(draft), _rungs_max(draft)))


def _strict_window(draft: Draft, kept: Books) -> tuple[int, ...]:
    """Return the one add-on that Recovery Mode allows now, if any.

    It is the nearest open rung that lies far enough from the last fill and improves the average
    enough; one beyond the ladder only once the ladder has no open rung left. One that is filled in
    part is judged as the whole that it is, so that its own fills never take its rest back.
    """
    deal, setup = draft.deal, draft.setup
    terms = setup.terms.recovery
    if not (terms.is_adding and _rungs_max(draft)):
        return ()
    is_rested = _is_rested(draft, terms.min_interval_ms)
    for k in open_rungs(draft, terms.extra_orders):
        parts = [order for order in deal.of(LegKind.RUNG, k) if order.filled_base]
        if not (is_rested or any(order.may_rest for order in parts)):
            continue
        amount = kept.entered_base - deal.settled_base
        amount -= sum((part.filled_base for part in parts), ZERO)
        done_quote = sum((part.cost_quote for part in parts), ZERO)
        cost = kept.entered_cost - deal.settled_cost - done_quote
        price = round_price(rung_price(draft, k), setup.market, is_buy=setup.terms.sign > 0)
        if price <= 0 or not _is_before_stop(draft, price):
            return ()
        if allows_add_on(
            terms,
            setup.terms.sign,
            total_quote=cost,
            amount_base=amount,
            last_fill=_worst_fill(_without_rung(deal, k), setup.terms.sign),
            price=price,
            size_quote=rung_left(deal, k) + done_quote,
        ):
            return (k,)
    return ()


@precisely
def allows_add_on(
    terms: RecoveryTerms,
    sign: int,
    *,
    total_quote: Decimal,
    amount_base: Decimal,
    last_fill: Decimal,
    price: Decimal,
    size_quote: Decimal,
) -> bool:
    """Return whether Recovery Mode lets *size_quote* be added at *price*.

    Args:
        terms: Spacing and improvement that are asked for.
        sign: +1 for a long, -1 for a short.
        total_quote: What the position cost.
        amount_base: What it holds.
        last_fill: The worst price at which it was entered so far.
        price: Where the add-on would fill.
        size_quote: What it would cost.
    """
    if sign * (beyond(last_fill, sign, terms.min_spacing_pct) - price) < 0:
        return False
    after = average_after(total_quote, amount_base, price=price, size_quote=size_quote)
    gained = improvement_pct(total_quote / amount_base, after, sign)
    return gained >= terms.min_improvement_pct


def next_rung(draft: Draft) -> tuple[int, Decimal] | None:
    """Return number and price of the nearest rung that is not done; None when none is left."""
    for k in open_rungs(draft):
        return k, rung_price(draft, k)
    return None


def open_rungs(draft: Draft, extra: int = 0) -> Iterator[int]:
    """Yield the rungs not yet done, nearest first, with *extra* beyond the ladder."""
    deal = draft.deal
    for k in range(1, deal.shape.max_orders + extra + 1):
        orders = deal.of(LegKind.RUNG, k)
        if is_done(deal, draft.setup, k):
            continue
        if failures(orders) >= RUNG_FAILURES_MAX:
            draft.note(
                "RungGivenUp",
                f"rung {k} was refused {RUNG_FAILURES_MAX} times in a row and is left out",
                once=f"given up {k}",
            )
            continue
        yield k


def is_done(deal: Deal, setup: Setup, k: int) -> bool:
    """Return whether rung *k* is filled, but for a rest too small for an order of its own."""
    orders = deal.of(LegKind.RUNG, k)
    if any(order.status is OrderStatus.FILLED for order in orders):
        return True
    if not any(order.filled_base for order in orders) or any(order.may_rest for order in orders):
        return False
    market, price = setup.market, orders[-1].price
    return not is_tradable(round_amount(rung_left(deal, k) / price, market), price, market)


def rung_left(deal: Deal, k: int) -> Decimal:
    """Return what rung *k* may still cost: its size less what its orders have filled."""
    filled = sum((order.cost_quote for order in deal.of(LegKind.RUNG, k)), ZERO)
    if k > deal.shape.max_orders:
        return max(extra_size_quote(deal.shape, deal.base_quote) - filled, ZERO)
    return max(sizes_quote(deal.shape, deal.base_quote)[k] - filled, ZERO)


def rung_price(draft: Draft, k: int) -> Decimal:
    """Return rung *k*'s exact price: from the base's fill, or from the last fill before it.

    One beyond the ladder lies as far from the worst fill as Recovery Mode asks for.
    """
    deal, terms = draft.deal, draft.setup.terms
    if k > deal.shape.max_orders:
        worst = _worst_fill(_without_rung(deal, k), terms.sign)
        return beyond(worst, terms.sign, terms.recovery.min_spacing_pct)
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


def _without_rung(deal: Deal, k: int) -> Deal:
    """Return *deal* as if nothing had ever been sent for rung *k*."""
    orders = (order for order in deal.orders if order.leg != Leg(LegKind.RUNG, k))
    return replace(deal, orders=tuple(orders))


def _worst_fill(deal: Deal, sign: int) -> Decimal:
    """Return the entry price furthest against the position; the base order has filled."""
    fills = [
        order.cost_quote / order.filled_base
        for order in deal.orders
        if order.leg.kind.is_adding and order.filled_base
    ]
    return min(fills) if sign > 0 else max(fills)


def _is_before_stop(draft: Draft, price: Decimal) -> bool:
    average = draft.deal.average
    assert average is not None
    return draft.setup.terms.sign * (price - stop_of(draft.deal, average, draft.setup)) > 0


def _is_rested(draft: Draft, interval_ms: int) -> bool:
    """Return whether the last rung's fill is *interval_ms* ago."""
    last_ms = draft.deal.last_rung_ms
    if not last_ms or draft.at_ms >= last_ms + interval_ms:
        return True
    draft.wake(last_ms + interval_ms)
    return False


def _is_too_old(draft: Draft) -> bool:
    limit_ms = draft.setup.terms.max_deal_age_ms
    if limit_ms is None:
        return False
    due_ms = draft.deal.base.placed_at_ms + limit_ms
    if draft.at_ms < due_ms:
        draft.wake(due_ms)
        return False
    draft.note(
        "DealTooOld",
        f"deal {draft.deal.number} is older than maxDealAge ({format_duration(limit_ms)}): it adds "
        "nothing any more, and only waits for its exit",
        once="too old",
    )
    return True
