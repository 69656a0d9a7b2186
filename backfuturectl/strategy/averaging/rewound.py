"""A state whose clock was ahead: every time in it that has not come yet is moved back.

Times in a state never go back by themselves, since reports arrive out of order. A clock that was
set forth and back again would therefore stand still until it is caught up with, and with it
everything that lasts: the confirmation of a stop, the back-off of an exit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from backfuturectl.strategy.averaging.closing import DAY_MS
from backfuturectl.strategy.averaging.state import Deal, Gauge, LegOrder, State

REWIND_MS: Final = 60_000
"""An event older than this is no late report: the clock was set back."""


def rewound(state: State, at_ms: int) -> State:
    """Return *state* as if its clock had never been ahead of *at_ms*."""
    ahead_ms = state.at_ms - at_ms
    if ahead_ms <= REWIND_MS:
        return state

    def back(time_ms: int) -> int:
        return time_ms if time_ms <= at_ms else time_ms - ahead_ms

    def since(time_ms: int | None) -> int | None:
        return None if time_ms is None else back(time_ms)

    def order(known: LegOrder) -> LegOrder:
        return replace(
            known,
            placed_at_ms=back(known.placed_at_ms),
            since_ms=back(known.since_ms),
            cancel_at_ms=back(known.cancel_at_ms),
            not_before_ms=back(known.not_before_ms),
        )

    def deal(known: Deal) -> Deal:
        reduction = known.reduction
        return replace(
            known,
            orders=tuple(order(each) for each in known.orders),
            last_rung_ms=back(known.last_rung_ms),
            recovery_since_ms=since(known.recovery_since_ms),
            reduction=None
            if reduction is None
            else replace(reduction, since_ms=back(reduction.since_ms)),
            reduced_ms=back(known.reduced_ms),
            closed_at_ms=back(known.closed_at_ms),
        )

    def gauge(known: Gauge) -> Gauge:
        return replace(
            known,
            seen_ms=back(known.seen_ms),
            underwater_since_ms=since(known.underwater_since_ms),
            trouble_since_ms=since(known.trouble_since_ms),
            calm_since_ms=since(known.calm_since_ms),
            escalate_since_ms=since(known.escalate_since_ms),
        )

    return replace(
        state,
        at_ms=at_ms,
        deal=None if state.deal is None else deal(state.deal),
        gauge=None if state.gauge is None else gauge(state.gauge),
        stop_since_ms=since(state.stop_since_ms),
        rest_until_ms=back(state.rest_until_ms),
        escalations=tuple(back(each) for each in state.escalations),
        reductions=tuple((back(each), lost) for each, lost in state.reductions),
        loss_day=min(state.loss_day, at_ms // DAY_MS),
        quiet=None,
    )
