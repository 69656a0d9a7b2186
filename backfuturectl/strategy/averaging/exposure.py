"""What an open futures deal has to keep between its next order and its liquidation."""

from __future__ import annotations

from decimal import Decimal

from backfuturectl.model.market import MarketKind
from backfuturectl.strategy.arithmetic import liquidation_price, precisely
from backfuturectl.strategy.averaging.draft import Draft
from backfuturectl.strategy.averaging.ledger import books, is_dust, stop_of
from backfuturectl.strategy.averaging.rungs import next_rung
from backfuturectl.strategy.averaging.state import State
from backfuturectl.strategy.base import Exposure


@precisely
def exposure(state: State) -> Exposure | None:
    """Return what V-LIQ asks of the position as it is now; None on spot and without one."""
    deal, setup = state.live_deal, state.setup
    if setup.market.kind is MarketKind.SPOT or deal is None or not deal.is_open:
        return None
    kept = books(deal, setup)
    average = kept.average
    if average is None or is_dust(kept.position_base, average, setup.market):
        return None
    rung = None
    if deal.closing is None and not deal.is_winding:
        rung = next_rung(Draft.of(state, deal, state.price or average))
    goal, name = _stop(state, average) if rung is None else (rung[1], f"rung {rung[0]}")
    terms = setup.terms
    return Exposure(
        sign=terms.sign,
        leverage=terms.leverage,
        margin_mode=terms.margin_mode or "isolated",
        liquidation=liquidation_price(average, terms.sign, setup.rates),
        goal=goal,
        goal_name=name,
        buffer_pct=terms.liquidation_buffer_pct,
    )


def _stop(state: State, average: Decimal) -> tuple[Decimal, str]:
    deal = state.live_deal
    assert deal is not None
    return stop_of(deal, average, state.setup), "the stop"
