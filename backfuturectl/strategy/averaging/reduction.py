"""Realise a small, budgeted loss on a rebound, in Recovery Mode and only when the file asks for it.

A reduction is a limit order at the price that was seen, never at market: its loss is known before
it is sent and can only turn out smaller. The budget counts what each order may lose at worst while
it rests, and what it did fill afterwards; and what earlier deals on the pair lost this way within
the window of ``maxPerWindow``, so that no row of deals loses what one of them may not.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from backfuturectl.model.market import HUNDRED, ZERO, round_amount, round_price
from backfuturectl.model.orders import Leg, LegKind, OrderStatus, OrderType, Side
from backfuturectl.model.units import format_duration
from backfuturectl.strategy.arithmetic import beyond, notional, precisely
from backfuturectl.strategy.averaging.draft import Draft
from backfuturectl.strategy.averaging.ledger import Books, is_dust, target_price
from backfuturectl.strategy.averaging.state import Deal, Reduction, Setup
from backfuturectl.strategy.base import Gate
from backfuturectl.strategy.violation import figure

PATIENCE_MS: Final = 60_000
"""How long a reduction may wait for its fill; the rebound may be over after that."""


def hold_reduction(draft: Draft, kept: Books) -> Decimal:
    """Decide or end a reduction; return how much of the position is kept free for it."""
    deal = draft.deal
    resting = [order for order in deal.resting if order.leg.kind is LegKind.REDUCE]
    reduction = deal.reduction if draft.is_recovering else None
    if reduction is None and not resting and draft.is_recovering:
        reduction = _decided(draft, kept)
    elif reduction is not None:
        is_over = draft.at_ms >= reduction.since_ms + PATIENCE_MS
        # One that never arrived is tried again: a crash must not cost the rebound.
        is_spent = any(
            order.placed_at_ms >= reduction.since_ms
            and not order.may_rest
            and order.status is not OrderStatus.ABSENT
            for order in deal.of(LegKind.REDUCE)
        )
        if is_over or is_spent:
            reduction = None
    if reduction is not deal.reduction:
        draft.deal = replace(draft.deal, reduction=reduction)
    if reduction is None:
        draft.cancel_all(resting, "the reduction's time is over")
    else:
        draft.wake(reduction.since_ms + PATIENCE_MS)
    if resting:
        return sum((order.left_base for order in resting), ZERO)
    return reduction.amount_base if reduction is not None else ZERO


def place_reduction(draft: Draft, room: Decimal) -> None:
    """Send what was decided once the take profit has made *room* for it."""
    deal, leg = draft.deal, Leg(LegKind.REDUCE)
    reduction = deal.reduction
    if reduction is None or any(order.may_rest for order in deal.of(LegKind.REDUCE)):
        return
    if reduction.amount_base > room or not draft.is_due(leg):
        return
    draft.place(
        leg,
        type_=OrderType.LIMIT,
        price=reduction.price,
        amount_base=reduction.amount_base,
        why=f"reduce on a rebound, losing {figure(reduction.loss_per_base)} per unit at most",
        field="spec.recovery.actions.reduce",
    )
    placed = (draft.deal.orders[-1].client_order_id, reduction.loss_per_base)
    draft.deal = replace(draft.deal, reduced=(*deal.reduced, placed))


@precisely
def budget_of(deal: Deal, setup: Setup) -> Decimal:
    """Return the most that reductions of *deal* may lose, quote; zero when they are off."""
    reduce = setup.terms.recovery.reduce
    if reduce is None:
        return ZERO
    margin = notional(deal.shape, deal.base_quote) / setup.terms.leverage
    return margin * reduce.loss_budget_pct / HUNDRED


@precisely
def reduced_loss(deal: Deal) -> Decimal:
    """Return what *deal*'s reductions have lost, and may still lose while they rest; quote."""
    loss = ZERO
    for client_order_id, per_base in deal.reduced:
        order = deal.named(client_order_id)
        if order is not None:
            loss += per_base * (order.amount_base if order.may_rest else order.filled_base)
    return loss


@precisely
def _decided(draft: Draft, kept: Books) -> Reduction | None:
    """Return the reduction that the price asks for now, if any."""
    deal, setup, market = draft.deal, draft.setup, draft.setup.market
    terms = setup.terms.recovery.reduce
    average, low, sign = kept.average, deal.low, setup.terms.sign
    if terms is None or low is None or average is None or draft.gate is not Gate.OPEN:
        return None
    if sign * (draft.price - beyond(low, -sign, terms.rebound_pct)) < 0:
        return None
    due_ms = deal.reduced_ms + terms.min_interval_ms if deal.reduced_ms else 0
    if draft.at_ms < due_ms:
        draft.wake(due_ms)
        return None
    price = round_price(draft.price, market, is_buy=setup.entry_side is Side.SELL)
    amount = round_amount(kept.position_base * terms.close_pct / HUNDRED, market)
    rest = kept.position_base - amount
    target = target_price(average, setup, is_recovering=True)
    if is_dust(amount, price, market) or is_dust(rest, target, market):
        draft.note(
            "ReduceSkipped",
            f"{figure(terms.close_pct)}% of the position, or what would be left, is too small for "
            "the exchange",
            once="reduce small",
        )
        return None
    fee = setup.rates.taker_fee
    loss = sign * (average - price) + fee * (average + price)
    if loss <= ZERO:
        return None  # the take profit is the better way out
    budget, spent = budget_of(deal, setup), draft.lost_before + reduced_loss(deal)
    if spent + loss * amount > budget:
        draft.note(
            "ReduceBudgetSpent",
            f"no reduction: it would lose {figure(loss * amount)} {market.quote}, and "
            f"{figure(spent)} of the budget of {figure(budget)} are spent within "
            f"{format_duration(setup.terms.recovery.window_ms)}",
            once="reduce budget",
        )
        return None
    draft.deal = replace(deal, low=draft.price, reduced_ms=draft.at_ms)
    return Reduction(amount, price, loss, draft.at_ms)
