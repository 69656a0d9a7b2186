"""What the exchange does to a deal by itself: funding, and closing the position by force."""

from __future__ import annotations

from dataclasses import replace

from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import Leg, LegKind, OrderStatus, OrderType
from backfuturectl.strategy.averaging.closing import booked, corrected
from backfuturectl.strategy.averaging.ledger import books, is_dust
from backfuturectl.strategy.averaging.progress import settle
from backfuturectl.strategy.averaging.state import (
    Deal,
    Happening,
    LegOrder,
    Setup,
    State,
    moved,
)
from backfuturectl.strategy.base import (
    Action,
    FundingBooked,
    FundingPaid,
    Liquidated,
    Note,
    Step,
    Taken,
)
from backfuturectl.strategy.violation import figure


def on_funding(state: State, event: FundingPaid) -> Step[State]:
    """Book those payments that fall into the newest deal and are not booked yet.

    A payment that is told after the deal's end corrects its result, as a late fee does.
    """
    deal = state.deal
    if deal is None or not deal.is_open:
        return Step(state)
    until_ms = _held_until_ms(deal, state.setup) or event.at_ms
    fresh = tuple(
        payment
        for payment in event.payments
        if payment.funding_id not in deal.funding_ids
        and deal.base.placed_at_ms <= payment.at_ms <= until_ms
    )
    if not fresh:
        return Step(state)
    before, deal = (
        deal,
        replace(
            deal,
            funding_quote=deal.funding_quote + sum((one.amount_quote for one in fresh), ZERO),
            funding_ids=deal.funding_ids | {one.funding_id for one in fresh},
        ),
    )
    done: list[Action] = []
    for one in fresh:
        done.append(FundingBooked(deal.number, one))
        done.append(Note("Funding", f"{one.amount_quote:+f} {state.setup.market.quote}"))
    state = replace(state, deal=deal)
    if deal.closed_at_ms:
        state = corrected(state, before, deal, done)
    return settle(state, tuple(done))


def _held_until_ms(deal: Deal, setup: Setup) -> int | None:
    """Return when *deal* held its last; None while it holds something.

    One that waits for a person ends long after the last of it was sold: whatever is paid in between
    belongs to what that person trades.
    """
    if books(deal, setup).position_base:
        return deal.closed_at_ms or None
    return max(order.since_ms for order in deal.orders if order.filled_base)


def on_liquidated(state: State, event: Liquidated) -> Step[State]:
    """Book what the exchange took, end the deal if nothing is left, and leave it to a person."""
    deal, setup = state.deal, state.setup
    if deal is None or deal.is_over or not deal.is_open:
        return Step(state)
    before = deal.named(event.client_order_id)
    if before is not None and before.filled_base >= event.filled_base:
        return Step(state)
    price = event.cost_quote / event.filled_base
    order = LegOrder(
        client_order_id=event.client_order_id,
        leg=Leg(LegKind.LIQUIDATION),
        side=setup.entry_side.opposite,
        type=OrderType.MARKET,
        price=price,
        amount_base=event.filled_base,
        placed_at_ms=event.at_ms,
        since_ms=event.at_ms,
        status=OrderStatus.FILLED,
        filled_base=event.filled_base,
        cost_quote=event.cost_quote,
        fees=event.fees,
    )
    deal = replace(deal, orders=(*deal.orders, order)) if before is None else deal.put(order)
    state = replace(state, deal=deal)
    kept = books(deal, setup)
    done: list[Action] = [
        Taken(
            client_order_id=order.client_order_id,
            order_id=event.order_id,
            leg=order.leg,
            side=order.side,
            amount_base=order.filled_base,
            cost_quote=order.cost_quote,
            deal_number=deal.number,
        ),
        Note(
            "Liquidated",
            f"the exchange itself closed {order.filled_base:f} {setup.market.base} at "
            f"{figure(price, 10)} (liquidation or deleveraging), {kept.position_base:f} are left; "
            "a person has to look before this bot trades again",
            is_warning=True,
        ),
    ]
    if is_dust(kept.position_base, price, setup.market):
        state = booked(state, deal, done)
    return settle(moved(state, Happening.CONTRADICTED), tuple(done))
