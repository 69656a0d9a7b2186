"""The trailing take profit: armed when the target is touched, sold at market on the turn.

Of a take profit in steps the last step trails, with all that is left then; the others rest.

The best price is kept with the deal. A tick is not recorded, so after a restart it is the best one
that was, and the turn may come a little later; never below the target's own turn, which still
pays both fees (V-TP).
"""

from __future__ import annotations

from dataclasses import replace

from backfuturectl.model.market import ONE
from backfuturectl.strategy.arithmetic import beyond, precisely
from backfuturectl.strategy.averaging.ledger import trailed_price
from backfuturectl.strategy.averaging.state import Closing, Phase, State
from backfuturectl.strategy.base import Action, Gate, Note
from backfuturectl.strategy.violation import figure

_TRAILED = frozenset({Phase.ACTIVE, Phase.WATCH})


@precisely
def trailed(state: State, done: list[Action]) -> State:
    """Return *state* after its trailing take profit has seen the newest price."""
    deal, terms, price = state.live_deal, state.setup.terms, state.price
    if deal is None or price is None or state.phase not in _TRAILED or deal.base.may_rest:
        return state
    if terms.trailing_pct is None:  # an edit may have taken it away
        return state if deal.peak is None else replace(state, deal=replace(deal, peak=None))
    average = deal.average
    if average is None or deal.is_winding or deal.closing or state.gate is Gate.SHUT:
        return state
    sign = terms.sign
    if deal.peak is None:
        target = trailed_price(average, state.setup)
        if sign * (price - target) < 0:
            return state
        done.append(
            Note("TakeProfitArmed", f"{price:f} touched {figure(target)}; it is followed from here")
        )
        return replace(state, deal=replace(deal, peak=price))
    if sign * (price - deal.peak) > 0:
        return replace(state, deal=replace(deal, peak=price))
    if sign * (price - beyond(deal.peak, sign, terms.trailing_pct)) > 0:
        return state
    if sign * (price - average * (ONE + sign * 2 * state.setup.rates.taker_fee)) < 0:
        # It jumped over the turn to where nothing is won: no take profit any more.
        note = f"the price fell from {deal.peak:f} to {price:f} at once, where nothing is won"
        done.append(Note("TakeProfitDisarmed", note, is_warning=True))
        return replace(state, deal=replace(deal, peak=None))
    note = f"{price:f} is {figure(terms.trailing_pct)}% or more from the best of {deal.peak:f}"
    done.append(Note("TakeProfitTurned", note))
    return replace(state, deal=replace(deal, closing=Closing.TRAIL))
