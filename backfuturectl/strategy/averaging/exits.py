"""The orders that leave: the take profit, whole or in steps, and the way out at market.

All exits share one position: together with a reduction they never ask for more than is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from backfuturectl.model.market import HUNDRED, ZERO, round_amount, round_price
from backfuturectl.model.orders import Leg, LegKind, OrderType, Side
from backfuturectl.strategy.arithmetic import precisely, take_profit_price
from backfuturectl.strategy.averaging.draft import Draft, at_most, is_left
from backfuturectl.strategy.averaging.ledger import (
    Books,
    books,
    is_dust,
    target_price,
    trailed_price,
)
from backfuturectl.strategy.averaging.reduction import hold_reduction, place_reduction
from backfuturectl.strategy.averaging.state import Closing, LegOrder
from backfuturectl.strategy.violation import figure

_CLOSING_LEGS: Final = {Closing.STOP: LegKind.STOP_LOSS, Closing.TRAIL: LegKind.TAKE_PROFIT}
_CLOSING_FIELDS: Final = {
    Closing.STOP: "spec.stopLoss.percent",
    Closing.TRAIL: "spec.takeProfit.trailing.deviationPct",
    Closing.ESCALATE: "spec.recovery.escalate",
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One exit that should rest."""

    index: int
    price: Decimal
    amount_base: Decimal
    field: str


def rest_exits(draft: Draft) -> None:
    """Keep the take profit resting for all that is held and not being reduced."""
    deal, setup, market = draft.deal, draft.setup, draft.setup.market
    kept = books(deal, setup)
    targets = [order for order in deal.resting if order.leg.kind is LegKind.TAKE_PROFIT]
    if kept.average is None or is_left(draft):
        draft.cancel_all(targets, "nothing is left to sell")
        draft.note(
            "PositionTooSmall",
            f"the exchange takes no order for the {kept.position_base:f} {market.base} held; the "
            "deal waits for a rung, `pause` and `halt` leave it as it is",
            once="too small",
        )
        return
    reserved = hold_reduction(draft, kept)
    wanted = {each.index: each for each in _wanted(draft, kept, kept.position_base - reserved)}
    # Where a second one turned up that had been given up for absent, only one may stay.
    newest = {order.leg.index: order for order in targets}
    for order in targets:
        want = wanted.get(order.leg.index)
        if newest[order.leg.index] is not order:
            draft.cancel(order, "there is one take profit at a time")
        elif want is None or (order.price, order.left_base) != (want.price, want.amount_base):
            draft.cancel(order, "the position or its target changed")
    leaving = (
        order for order in deal.resting if not (order.leg.kind.is_adding or order.is_waiting_stop)
    )
    room = kept.position_base - sum((order.left_base for order in leaving), ZERO)
    for want in wanted.values():
        leg = Leg(LegKind.TAKE_PROFIT, want.index)
        if want.index in newest or want.amount_base > room or not draft.is_due(leg):
            continue
        room -= want.amount_base
        draft.place(
            leg,
            type_=OrderType.LIMIT,
            price=want.price,
            amount_base=want.amount_base,
            why=f"{figure(_profit_pct(want.price, kept.average, setup.terms.sign), 2)}% from the "
            f"average {figure(kept.average)}",
            field=want.field,
        )
    place_reduction(draft, room)


def leave_at_market(draft: Draft) -> None:
    """Cancel what rests, then sell everything at market; the stop on the exchange goes last.

    It is the protection while all else is canceled, and two that only reduce cannot both sell.
    """
    deal, setup = draft.deal, draft.setup
    assert deal.closing is not None
    leg = Leg(_CLOSING_LEGS.get(deal.closing, LegKind.CLOSE))
    is_over = deal.closing is Closing.ABANDON or is_left(draft)
    others = [order for order in deal.resting if not order.is_waiting_stop]
    # The exit itself is left alone: at market it fills or ends by itself.
    draft.cancel_all(
        (order for order in others if order.type is not OrderType.MARKET), "the deal is closing"
    )
    if is_over:
        stops = (order for order in deal.resting if order.is_waiting_stop)
        draft.cancel_all(stops, "the deal has ended")
    if others or is_over or not draft.is_due(leg):
        return
    position = books(deal, setup).position_base
    field = _CLOSING_FIELDS.get(deal.closing, deal.closing_field)
    why = f"deal {deal.number} closes: {deal.closing}"
    draft.place(
        leg,
        type_=OrderType.MARKET,
        price=round_price(draft.price, setup.market),
        amount_base=at_most(round_amount(position, setup.market), setup.market.amount_max),
        why=why if field else f"{why}, asked for by the operator",
        field=field,
    )


@precisely
def _wanted(draft: Draft, kept: Books, free: Decimal) -> tuple[_Wanted, ...]:
    """Return the exits for the *free* part of the position, the nearest first."""
    setup, deal = draft.setup, draft.deal
    assert kept.average is not None
    is_whole = draft.is_recovering or deal.is_winding
    if not is_whole and setup.terms.steps:
        return tuple(_staged(draft, kept.average, kept.position_base, free))
    if not is_whole and setup.terms.trailing_pct is not None:
        return ()  # watched, not resting
    target = target_price(kept.average, setup, is_recovering=draft.is_recovering)
    amount = at_most(round_amount(free, setup.market), setup.market.amount_max)
    is_eased = draft.is_recovering and setup.terms.recovery.take_profit_pct is not None
    field = "spec.recovery.actions.takeProfitPct" if is_eased else "spec.takeProfit.percent"
    return (_Wanted(0, _on_tick(draft, target), amount, field),) if amount else ()


def _staged(draft: Draft, average: Decimal, position: Decimal, free: Decimal) -> Iterator[_Wanted]:
    """Yield the steps that are left; what is too small for one leaves with the next.

    Each step's share is of all that the take profit has sold or will sell, so a rung that fills
    after a step enlarges every step again. The last one does not rest where it trails, unless it
    is too small to leave alone.
    """
    setup, deal, market = draft.setup, draft.deal, draft.setup.market
    steps = setup.terms.steps
    sold = [
        sum((order.filled_base for order in deal.of(LegKind.TAKE_PROFIT, index)), ZERO)
        for index in range(len(steps))
    ]
    whole = position + sum(sold, ZERO)
    left = round_amount(free, market)
    plan: list[_Wanted] = []
    carried = ZERO
    is_trailing = setup.terms.trailing_pct is not None
    for index, (share_pct, profit_pct) in enumerate(steps[:-1] if is_trailing else steps):
        price = _on_tick(draft, take_profit_price(average, setup.terms.sign, profit_pct))
        part = round_amount(whole * share_pct / HUNDRED, market) - sold[index]
        is_last = index == len(steps) - 1
        amount = left if is_last else min(max(part, ZERO) + carried, left)
        if not amount or not (
            _rests(draft.deal.of(LegKind.TAKE_PROFIT, index), price, amount)
            or not is_dust(amount, price, market)
        ):
            carried = amount
            continue
        plan.append(_Wanted(index, price, amount, f"spec.takeProfit.steps[{index}].profitPct"))
        left -= amount
        carried = ZERO
    if is_trailing and left and not is_dust(left, trailed_price(average, setup), market):
        left = ZERO
    if left and plan:
        last = plan.pop()
        plan.append(replace(last, amount_base=last.amount_base + left))
    elif left:  # no step alone is large enough, but all together are
        price = _on_tick(draft, target_price(average, setup))
        plan.append(_Wanted(0, price, left, "spec.takeProfit.steps[0].profitPct"))
    for want in plan:
        yield replace(want, amount_base=at_most(want.amount_base, market.amount_max))


def _rests(orders: tuple[LegOrder, ...], price: Decimal, amount: Decimal) -> bool:
    """Return whether exactly that rests: what is there may fill to its end, however small."""
    return any(
        order.may_rest and (order.price, order.left_base) == (price, amount) for order in orders
    )


def _on_tick(draft: Draft, price: Decimal) -> Decimal:
    setup = draft.setup
    return round_price(price, setup.market, is_buy=setup.entry_side is Side.SELL)


def _profit_pct(price: Decimal, average: Decimal, sign: int) -> Decimal:
    return sign * HUNDRED * (price - average) / average
