"""What an open deal waits for: its rungs and its exits."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from backfuturectl.model.market import ZERO, round_amount, round_price
from backfuturectl.model.orders import LegKind, OrderStatus, Side
from backfuturectl.model.units import format_duration
from backfuturectl.strategy.arithmetic import average_after, beyond, precisely
from backfuturectl.strategy.averaging.draft import Draft
from backfuturectl.strategy.averaging.ledger import books, stop_of, target_price, trailed_price
from backfuturectl.strategy.averaging.rungs import open_rungs, rung_left, rung_price
from backfuturectl.strategy.averaging.state import Closing, Deal, LegOrder, Pace, Phase, State
from backfuturectl.strategy.base import Gate
from backfuturectl.strategy.outlook import (
    ExitOutlook,
    Outlook,
    RungOutlook,
    RungState,
)
from backfuturectl.strategy.violation import figure


@precisely
def outlook(state: State) -> Outlook | None:
    """Return what the open deal waits for; None without one."""
    deal = state.live_deal
    if deal is None or not deal.is_open:
        return None
    average = deal.average
    if average is None:
        return None
    return Outlook(
        price=state.price,
        adding=_adding(state, deal),
        rungs=tuple(_rungs(state, deal)),
        exits=tuple(_exits(state, deal, average)),
    )


def _rungs(state: State, deal: Deal) -> Iterator[RungOutlook]:
    setup = state.setup
    ladder = deal.shape.max_orders
    last = max(
        (order.leg.index for order in deal.orders if order.leg.kind is LegKind.RUNG), default=0
    )
    kept = books(deal, setup)
    amount = kept.entered_base - deal.settled_base
    cost = kept.entered_cost - deal.settled_cost
    draft = Draft.of(state, deal, state.price or deal.base.price)
    is_adding = deal.closing is None and not deal.is_winding
    waiting = set(open_rungs(draft, max(last - ladder, 0))) if is_adding else set()
    for number in range(1, max(ladder, last) + 1):
        orders = deal.of(LegKind.RUNG, number)
        filled = sum((order.filled_base for order in orders), ZERO)
        if filled:
            paid = sum((order.cost_quote for order in orders), ZERO) / filled
            yield RungOutlook(number, RungState.FILLED, paid, filled)
        if number not in waiting:
            continue
        resting = next((order for order in orders if order.may_rest), None)
        if resting is not None:
            price, left, how = resting.price, resting.left_base, RungState.RESTING
        else:
            price = round_price(
                rung_price(draft, number), setup.market, is_buy=setup.entry_side is Side.BUY
            )
            if price <= 0:
                return
            left = round_amount(rung_left(deal, number) / price, setup.market)
            how = RungState.PLANNED
        if not left:
            continue
        after = average_after(cost, amount, price=price, size_quote=left * price)
        amount, cost = amount + left, cost + left * price
        yield RungOutlook(number, how, price, left, after)


def _adding(state: State, deal: Deal) -> str:
    """Return why the next rung's order may be late."""
    terms = state.setup.terms
    strict = terms.recovery
    if deal.closing is not None or deal.is_winding:
        return "nothing is added any more: the deal is closing"
    if state.gate is not Gate.OPEN:
        return "nothing is added while the bot is held to exits"
    if (
        terms.max_deal_age_ms is not None
        and state.at_ms >= deal.base.placed_at_ms + terms.max_deal_age_ms
    ):
        return "nothing is added any more: the deal is older than maxDealAge"
    if state.phase is Phase.WATCH:
        return "no new rung is placed while a trigger of Recovery Mode is being confirmed"
    if state.phase is Phase.RECOVERY and not strict.is_adding:
        return "Recovery Mode adds nothing: `addOns: off`"
    pace_ms = (deal.pace or Pace.of(terms)).min_interval_ms
    if state.phase is Phase.RECOVERY:
        pace_ms = max(pace_ms, strict.min_interval_ms)
    wait_ms = deal.last_rung_ms + pace_ms - state.at_ms if deal.last_rung_ms else 0
    if wait_ms > 0:
        return f"minInterval: the next rung is placed in {format_duration(wait_ms // 1000 * 1000)}"
    if state.phase is Phase.RECOVERY:
        return (
            f"Recovery Mode adds one rung at a time, {figure(strict.min_spacing_pct)}% or more "
            "beyond the worst fill, if it improves the average by "
            f"{figure(strict.min_improvement_pct)}%"
        )
    return ""


def _exits(state: State, deal: Deal, average: Decimal) -> Iterator[ExitOutlook]:
    setup = state.setup
    terms, position = setup.terms, books(deal, setup).position_base
    if deal.closing is not None:
        price, how = state.price or average, f"at market: {deal.closing}"
        if deal.closing is Closing.ABANDON:
            how = "the position is left as it is"
        yield ExitOutlook("close", price, position, how)
        return
    leaving = [
        order
        for order in deal.resting
        if order.leg.kind in {LegKind.TAKE_PROFIT, LegKind.REDUCE} and not order.is_waiting_stop
    ]
    for order in sorted(leaving, key=lambda order: terms.sign * order.price):
        yield ExitOutlook(str(order.leg), order.price, order.left_base, _standing(order))
    left = position - sum((order.left_base for order in leaving), ZERO)
    is_trailing = terms.trailing_pct is not None and state.phase in {Phase.ACTIVE, Phase.WATCH}
    if is_trailing and left > 0:
        yield _trailing(state, deal, average, left)
    elif not leaving and left > 0:
        is_recovering = state.phase is Phase.RECOVERY
        target = target_price(average, setup, is_recovering=is_recovering)
        yield ExitOutlook("takeProfit", target, left, "its order is still to come")
    stops = [order for order in deal.resting if order.is_waiting_stop]
    how = "watched by the daemon"
    if any(order.status is OrderStatus.OPEN for order in stops):
        how = "waits on the exchange; the daemon watches as well"
    if terms.stop_confirm_ms:
        how += f"; must hold for {format_duration(terms.stop_confirm_ms)}"
    if state.stop_since_ms is not None:
        how += ", reached"
    yield ExitOutlook("stopLoss", stop_of(deal, average, setup), position, how)


def _trailing(state: State, deal: Deal, average: Decimal, left: Decimal) -> ExitOutlook:
    terms = state.setup.terms
    assert terms.trailing_pct is not None
    share = f"{figure(terms.trailing_pct)}% from the best price"
    if deal.peak is None:
        target = trailed_price(average, state.setup)
        how = f"watched: followed from the touch on, sold at market {share}"
        return ExitOutlook("takeProfit", target, left, how)
    how = f"followed: sold at market here, {share} of {deal.peak:f}"
    return ExitOutlook("takeProfit", beyond(deal.peak, terms.sign, terms.trailing_pct), left, how)


def _standing(order: LegOrder) -> str:
    if order.cancels:
        return "is being canceled"
    return "rests on the exchange" if order.status is OrderStatus.OPEN else "is being placed"
