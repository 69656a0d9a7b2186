"""The stop that waits on the exchange: it protects the position while nobody here looks.

One order for all that is held, as soon as anything is held, and for all that resting orders may
yet add to it: rungs that fill while nobody here looks are covered, too. It only reduces, so it
never sells more than there is, whatever its size and whatever rests beside it. That is why a
replacement goes out first, and the old stop is canceled only once the new one is known to rest.

The bot watches the price all the same. Where the exchange refused the stop, or has not set it off
`STOP_PATIENCE_MS` after the price went beyond it, the bot leaves at market by itself.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from backfuturectl.model.market import ZERO, round_amount, round_price
from backfuturectl.model.orders import OrderStatus, OrderType, Side
from backfuturectl.strategy.averaging.draft import Draft, at_most
from backfuturectl.strategy.averaging.ledger import books, stop_of
from backfuturectl.strategy.averaging.state import RESTING_STOP, Deal, LegOrder, Setup
from backfuturectl.strategy.violation import figure

STOP_PATIENCE_MS: Final = 5_000
"""How long the exchange may take to set off a stop that the price has passed."""


def rest_stop(draft: Draft) -> None:
    """Keep one stop waiting on the exchange for all that is, or may come to be, held."""
    deal, setup = draft.deal, draft.setup
    resting = [order for order in deal.resting if order.is_waiting_stop]
    if not setup.rests_stop:
        draft.cancel_all(resting, "the stop is watched, not rested, from now on")
        return
    kept = books(deal, setup)
    if kept.average is None or not kept.position_base:
        return
    trigger = _trigger_price(deal, kept.average, setup)
    adding = sum((order.left_base for order in deal.resting if order.leg.kind.is_adding), ZERO)
    covered = round_amount(kept.position_base + adding, setup.market)
    amount = at_most(covered, setup.market.amount_max)
    # One that has become too large is left in peace: it reduces what is held, and no more.
    right = [
        order
        for order in resting
        if order.trigger_price == trigger and order.left_base >= amount > 0
    ]
    known = [order for order in right or resting if order.status is OrderStatus.OPEN]
    if known and (right or len(resting) > 1):
        # The newest protects; never are there more than it and the one that replaces it.
        draft.cancel_all(
            (order for order in resting if order is not known[-1]), "another stop has replaced it"
        )
    elif not (right or resting[1:] or is_beyond(draft.price, trigger, setup)) and amount:
        _place(draft, trigger, amount)


def is_beyond(price: Decimal, stop: Decimal, setup: Setup) -> bool:
    """Return whether *price* has reached *stop*."""
    return setup.terms.sign * (price - stop) <= 0


def is_awaited(order: LegOrder, price: Decimal, setup: Setup) -> bool:
    """Return whether the exchange should be setting *order* off, *price* being what it is."""
    is_known = order.is_waiting_stop and order.status is OrderStatus.OPEN
    return is_known and is_beyond(price, order.trigger_price or price, setup)


def _place(draft: Draft, trigger: Decimal, amount: Decimal) -> None:
    if not draft.is_due(RESTING_STOP):
        return
    draft.place(
        RESTING_STOP,
        type_=OrderType.MARKET,
        price=trigger,
        amount_base=amount,
        why=f"stop loss at {figure(trigger)}",
        field="spec.stopLoss.percent",
        trigger_price=trigger,
    )
    # Decided last, when it is known what may be added, and sent first, for the protection.
    draft.actions.insert(0, draft.actions.pop())


def _trigger_price(deal: Deal, average: Decimal, setup: Setup) -> Decimal:
    """Return the stop on the tick: no price on a tick sets off the one and not the other."""
    is_sell = setup.entry_side is Side.BUY
    return round_price(stop_of(deal, average, setup), setup.market, is_buy=is_sell)
