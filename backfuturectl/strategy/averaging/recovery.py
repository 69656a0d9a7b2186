"""When Recovery Mode begins, ends and gives up.

Everything is judged by what `gauging` makes of the prices, so that a wick is no trigger. What a
rule says must hold for its time: after a restart, an outage of the prices or a person's turn
confirmation begins anew, since nobody judged what happened in between. The only exception is
``underwaterFor``, which is days long: there an unseen time counts as it was last seen.

Transitions are judged on prices alone. An edit, a report on an order or a command changes what the
next price is judged by, and never the phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from backfuturectl.model.market import HUNDRED, ONE, ZERO
from backfuturectl.model.units import format_duration
from backfuturectl.strategy.arithmetic import precisely
from backfuturectl.strategy.averaging.gauging import (
    JUDGED,
    Figures,
    calm_price,
    endings,
    figures_of,
    is_beyond,
    paid_price,
    told,
    triggers,
)
from backfuturectl.strategy.averaging.state import (
    INFINITE,
    NEVER_MS,
    Closing,
    Gauge,
    Happening,
    Phase,
    State,
    moved,
)
from backfuturectl.strategy.base import Action, Gate, Note
from backfuturectl.strategy.presets import RecoveryTerms
from backfuturectl.strategy.violation import figure


def judged(state: State, done: list[Action]) -> State:
    """Return *state* in the phase that the newest price leads to, and note why in *done*."""
    deal = state.live_deal
    if deal is None or not deal.is_open:
        return state if state.gauge is None else replace(state, gauge=None)
    average = deal.average
    assert state.price is not None
    if state.phase not in JUDGED or deal.base.may_rest or average is None:
        return state
    gauge = state.gauge or Gauge(state.price, state.at_ms)
    if state.gate is Gate.SHUT or deal.is_winding or deal.closing is not None:
        return replace(state, gauge=_reset(gauge))
    if gauge is not state.gauge:
        state = replace(state, gauge=gauge)
    while True:
        before = state.phase
        state = _judged_once(state, average, done)
        if state.phase is before:
            return state


def _judged_once(state: State, average: Decimal, done: list[Action]) -> State:
    deal, gauge, setup = state.deal, state.gauge, state.setup
    assert deal is not None
    assert gauge is not None
    assert state.price is not None
    terms, now_ms = setup.terms.recovery, gauge.seen_ms
    calm = calm_price(state.price, gauge, setup.terms.sign)
    seen = figures_of(deal, setup, average=average, calm=calm)
    underwater_ms = _since(gauge.underwater_since_ms, seen.drawdown_pct > 0, now_ms)
    if underwater_ms != gauge.underwater_since_ms:
        gauge = replace(gauge, underwater_since_ms=underwater_ms)
    why = tuple(told(each) for each in triggers(terms, seen, gauge) if each.is_true)
    is_calm = not why
    if state.phase is Phase.RECOVERY:
        # While a trigger is true, leaving would only lead back.
        is_calm = not why and all(each.is_true for each in endings(terms, seen))
    gauge = replace(
        gauge,
        trouble_since_ms=_since(gauge.trouble_since_ms, bool(why), now_ms),
        calm_since_ms=_since(gauge.calm_since_ms, is_calm, now_ms),
        escalate_since_ms=_since(gauge.escalate_since_ms, is_beyond(terms, seen), now_ms),
    )
    if gauge != state.gauge:
        state = replace(state, gauge=gauge)
    match state.phase:
        case Phase.ACTIVE if why:
            note = f"no new rung: {'; '.join(why)} ({seen})"
            done.append(Note("RecoveryWatch", note, is_warning=True))
            return moved(state, Happening.TROUBLED)
        case Phase.WATCH if _held(gauge.trouble_since_ms, terms.confirm_ms, now_ms):
            note = f"deal {deal.number} is in Recovery Mode: {'; '.join(why)} ({seen})"
            done.append(Note("RecoveryBegan", note, is_warning=True))
            deal = replace(deal, recovery_since_ms=now_ms, peak=None, low=calm)
            return moved(replace(state, deal=deal, gauge=_reset(gauge)), Happening.CONFIRMED)
        case Phase.WATCH if _held(gauge.calm_since_ms, terms.confirm_ms, now_ms):
            done.append(Note("RecoveryWatchEnded", f"no trigger is true any more: {seen}"))
            return moved(replace(state, gauge=_reset(gauge)), Happening.CALMED)
        case Phase.RECOVERY:
            return _in_recovery(state, seen, calm, done)
        case _:
            return state


def _in_recovery(state: State, seen: Figures, calm: Decimal, done: list[Action]) -> State:
    deal, gauge, terms, why = state.deal, state.gauge, state.setup.terms.recovery, ""
    assert deal is not None
    assert gauge is not None
    assert deal.recovery_since_ms is not None
    now_ms = gauge.seen_ms
    if _held(gauge.escalate_since_ms, terms.confirm_ms, now_ms):
        why = f"the drawdown stayed beyond {figure(terms.escalate_pct or ZERO)}%"
    elif now_ms - deal.recovery_since_ms >= terms.max_duration_ms:
        why = f"it took longer than {format_duration(terms.max_duration_ms)}"
    if why:
        note = f"Recovery Mode gives deal {deal.number} up: {why} ({seen})"
        done.append(Note("RecoveryGaveUp", note, is_warning=True))
        return moved(
            replace(state, deal=replace(deal, closing=Closing.ESCALATE)), Happening.CLOSING
        )
    if _held(gauge.calm_since_ms, terms.exit_confirm_ms, now_ms):
        note = (
            f"deal {deal.number} goes on as before: for {format_duration(terms.exit_confirm_ms)} "
            f"the drawdown was below {figure(terms.exit_drawdown_pct)}% and the margin used below "
            f"{figure(terms.exit_margin_used_pct)}% ({seen})"
        )
        done.append(Note("RecoveryEnded", note))
        deal = replace(deal, recovery_since_ms=None, low=None, reduction=None)
        return moved(replace(state, deal=deal, gauge=_reset(gauge)), Happening.RECOVERED)
    is_new_low = deal.low is None or state.setup.terms.sign * (deal.low - calm) > 0
    if terms.reduce is None or not is_new_low:
        return state
    return replace(state, deal=replace(deal, low=calm))


@precisely
def quiet_between(state: State, average: Decimal) -> tuple[Decimal, Decimal, int]:
    """Return between which calm prices, and until when, no rule changes its mind."""
    gauge, setup = state.gauge, state.setup
    if gauge is None or state.phase not in JUDGED or state.price is None:
        return -INFINITE, INFINITE, NEVER_MS
    terms, sign = setup.terms.recovery, setup.terms.sign
    calm, paid = calm_price(state.price, gauge, sign), paid_price(average, setup)
    low, high = -INFINITE, INFINITE
    percents = (ZERO, terms.drawdown_pct, terms.exit_drawdown_pct, terms.escalate_pct)
    levels = [paid * (ONE - sign * each / HUNDRED) for each in percents if each is not None]
    if terms.reduce is not None and state.deal is not None and state.deal.low is not None:
        levels.append(state.deal.low)
    for level in levels:
        if level <= calm:
            low = max(low, level)
        if level >= calm:
            high = min(high, level)
    return low, high, min(_deadlines(state, gauge, terms), default=NEVER_MS)


def _deadlines(state: State, gauge: Gauge, terms: RecoveryTerms) -> Iterator[int]:
    """Yield when what is true now will have been true long enough."""
    is_recovering = state.phase is Phase.RECOVERY
    for since_ms, for_ms in (
        (None if is_recovering else gauge.trouble_since_ms, terms.confirm_ms),
        (gauge.calm_since_ms, terms.exit_confirm_ms if is_recovering else terms.confirm_ms),
        (gauge.escalate_since_ms if is_recovering else None, terms.confirm_ms),
        (gauge.underwater_since_ms, terms.underwater_ms),
        (state.deal.recovery_since_ms if state.deal else None, terms.max_duration_ms),
    ):
        # One that has passed was heard already.
        if since_ms is not None and since_ms + for_ms > gauge.seen_ms:
            yield since_ms + for_ms


def _since(since_ms: int | None, is_true: bool, now_ms: int) -> int | None:  # noqa: FBT001 - a rule
    if not is_true:
        return None
    return now_ms if since_ms is None else since_ms


def _held(since_ms: int | None, for_ms: int, now_ms: int) -> bool:
    return since_ms is not None and now_ms - since_ms >= for_ms


def unheld(state: State) -> State:
    """Return *state* after a time in which a person was at it and no price was judged."""
    gauge = state.gauge
    return replace(state, stop_since_ms=None, gauge=None if gauge is None else _reset(gauge))


def _reset(gauge: Gauge) -> Gauge:
    """Return *gauge* with nothing held yet."""
    return replace(gauge, trouble_since_ms=None, calm_since_ms=None, escalate_since_ms=None)
