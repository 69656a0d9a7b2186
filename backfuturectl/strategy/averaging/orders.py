"""Which orders a deal should have, and what to do about the difference.

Level, not edge: every pass looks at the whole deal, wants what should rest, cancels what should
not, and places what is missing once the way is free. Repeating a pass changes nothing.

What may rest (also what is merely not known to be gone) counts as resting: for margin, for the
exits that share one position, and for an exit at market, which waits until nothing rests.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from backfuturectl.model.market import HUNDRED, ONE, round_amount, round_price
from backfuturectl.model.orders import Side
from backfuturectl.strategy.arithmetic import precisely
from backfuturectl.strategy.averaging.draft import Draft, at_most, is_left
from backfuturectl.strategy.averaging.exits import leave_at_market, rest_exits
from backfuturectl.strategy.averaging.ledger import target_price
from backfuturectl.strategy.averaging.rungs import rest_rungs
from backfuturectl.strategy.averaging.state import Setup
from backfuturectl.strategy.averaging.stops import is_awaited, rest_stop
from backfuturectl.strategy.base import Gate
from backfuturectl.strategy.proofs import gives_way


def arrange(draft: Draft) -> None:
    """Make *draft* want the orders that its deal should have now."""
    deal = draft.deal
    if draft.gate is Gate.SHUT:
        return
    if deal.closing is not None:
        leave_at_market(draft)
    elif deal.is_winding and is_left(draft):
        draft.cancel_all(deal.resting, "the deal is flat")
    elif deal.base.may_rest:
        _await_base(draft)
    elif not _is_stopping(draft):
        rest_exits(draft)
        if deal.is_winding:
            draft.cancel_all(
                (order for order in deal.resting if order.leg.kind.is_adding), "the deal is ending"
            )
        else:
            rest_rungs(draft)
        rest_stop(draft)


def _is_stopping(draft: Draft) -> bool:
    """Return whether the exchange may just be closing the position: then nothing is changed.

    What was added to it might open it anew, what should leave it would be refused.
    """
    return any(is_awaited(order, draft.price, draft.setup) for order in draft.deal.resting)


@dataclass(frozen=True, slots=True)
class Entry:
    """A base order.

    Attributes:
        price: Its limit; of one at market the price it was decided at.
        amount_base: May be untradable.
    """

    price: Decimal
    amount_base: Decimal
    is_post_only: bool


@precisely
def entry(setup: Setup, price: Decimal) -> Entry:
    """Return the base order that is decided at *price*.

    The amount is what the size comes to when the price is maxSlippagePct higher by then, so that a
    long never costs more than planned. A short sells at whatever is bid: where its rungs could not
    give way to a jump it is post-only, like they are, and rests just above the price.
    """
    market, terms = setup.market, setup.terms
    slipped = price * (ONE + terms.sign * terms.max_slippage_pct / HUNDRED)
    is_buy = setup.entry_side is Side.BUY
    is_limit = terms.entry_type == "limit"
    is_post_only = is_limit and not (is_buy or gives_way(terms, setup.rates, setup.base_quote))
    if is_post_only:
        limit = round_price(price, market, is_buy=False) + market.price_tick
    elif is_limit:
        limit = round_price(slipped, market, is_buy=is_buy)
    else:
        limit = round_price(price, market)
    size = setup.base_quote
    if terms.max_order_notional is not None:
        size = min(size, terms.max_order_notional)
    highest = price * (ONE + terms.max_slippage_pct / HUNDRED)
    if is_post_only:
        highest = max(highest, limit)
    amount = round_amount(size / highest, market)
    return Entry(limit, at_most(amount, market.amount_max), is_post_only)


def _await_base(draft: Draft) -> None:
    setup, base = draft.setup, draft.deal.base
    rest_stop(draft)
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
