"""When Recovery Mode begins, ends and gives up.

Everything is judged by the calm price: of the price itself and its smoothed value the one that is
kinder to the position, so that a wick is no trigger. What a rule says must hold for its time, and
only prices no further apart than `GAP_MS` count as held: after a restart or an outage of the prices
smoothing and confirmation begin anew, since nobody saw what happened in between. The only
exception is ``underwaterFor``, which is days long: there an unseen time counts as it was last seen.

Transitions are judged on prices alone. An edit, a report on an order or a command changes what the
next price is judged by, and never the phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import Final

from backfuturectl.model.market import HUNDRED, ONE, ZERO
from backfuturectl.model.orders import LegKind
from backfuturectl.model.units import format_duration
from backfuturectl.strategy.arithmetic import notional, precisely
from backfuturectl.strategy.averaging.ledger import books
from backfuturectl.strategy.averaging.state import (
    INFINITE,
    NEVER_MS,
    Closing,
    Deal,
    Gauge,
    Happening,
    Phase,
    Setup,
    State,
    moved,
)
from backfuturectl.strategy.base import Action, Gate, Note
from backfuturectl.strategy.presets import RecoveryTerms
from backfuturectl.strategy.violation import figure

GAP_MS: Final = 300_000
"""Prices further apart than this say nothing about the time between them."""

_JUDGED: Final = frozenset({Phase.ACTIVE, Phase.WATCH, Phase.RECOVERY})
_SMOOTHING: Final = Context(prec=16)
"""Enough for a signal, and fast: it is used on every tick."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a deal's state is judged by.

    Attributes:
        drawdown_pct: Of the calm price from the average, fees in, leverage out; negative when the
            deal is in profit.
        margin_used_pct: What is held, of what the whole ladder costs.
        averaging_used_pct: Rungs filled, of all.
    """

    drawdown_pct: Decimal
    margin_used_pct: Decimal
    averaging_used_pct: Decimal

    def __str__(self) -> str:
        return (
            f"drawdown {figure(self.drawdown_pct, 2)}%, margin used "
            f"{figure(self.margin_used_pct, 2)}%, rungs used {figure(self.averaging_used_pct, 1)}%"
        )


def smoothed(gauge: Gauge, before: Decimal, *, price: Decimal, at_ms: int, span_ms: int) -> Gauge:
    """Return *gauge* after *price* at *at_ms*, when the price was *before* until then.

    An exponential average over time: a tick that repeats the price changes nothing about it, so
    it does not depend on how often prices come.
    """
    passed_ms = at_ms - gauge.seen_ms
    if passed_ms <= 0:
        return gauge
    if passed_ms > GAP_MS:
        return Gauge(price, at_ms, underwater_since_ms=gauge.underwater_since_ms)
    smooth = before
    if gauge.smooth != before and span_ms:
        context = _SMOOTHING
        kept = context.exp(context.divide(Decimal(-passed_ms), Decimal(span_ms)))
        distance = context.subtract(gauge.smooth, before)
        smooth = context.add(before, context.multiply(distance, kept))
    return Gauge(
        smooth,
        at_ms,
        gauge.underwater_since_ms,
        gauge.trouble_since_ms,
        gauge.calm_since_ms,
        gauge.escalate_since_ms,
    )


def calm_price(price: Decimal, gauge: Gauge, sign: int) -> Decimal:
    """Return the price or its smoothed value, whichever is kinder to the position."""
    return max(price, gauge.smooth) if sign > 0 else min(price, gauge.smooth)


@precisely
def figures_of(deal: Deal, setup: Setup, *, average: Decimal, calm: Decimal) -> Figures:
    """Return what *deal* is judged by at the price *calm*."""
    paid = _paid(average, setup)
    planned = notional(deal.shape, deal.base_quote)
    rungs = {
        order.leg.index
        for order in deal.orders
        if order.leg.kind is LegKind.RUNG and order.filled_base and not order.may_rest
    }
    used = sum(1 for k in rungs if k <= deal.shape.max_orders)
    return Figures(
        drawdown_pct=setup.terms.sign * HUNDRED * (paid - calm) / paid,
        margin_used_pct=HUNDRED * books(deal, setup).position_base * average / planned,
        averaging_used_pct=HUNDRED * used / deal.shape.max_orders
        if deal.shape.max_orders
        else ZERO,
    )


def judged(state: State, done: list[Action]) -> State:
    """Return *state* in the phase that the newest price leads to, and note why in *done*."""
    deal = state.live_deal
    if deal is None or not deal.is_open:
        return replace(state, gauge=None)
    average = books(deal, state.setup).average
    assert state.price is not None
    if state.phase not in _JUDGED or deal.base.may_rest or average is None:
        return state
    gauge = state.gauge or Gauge(state.price, state.at_ms)
    if state.gate is Gate.SHUT or deal.is_winding or deal.closing is not None:
        return replace(state, gauge=_reset(gauge))
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
    gauge = replace(
        gauge, underwater_since_ms=_since(gauge.underwater_since_ms, seen.drawdown_pct > 0, now_ms)
    )
    why = tuple(_triggers(terms, seen, gauge))
    is_beyond = terms.escalate_pct is not None and seen.drawdown_pct >= terms.escalate_pct
    is_calm = not why
    if state.phase is Phase.RECOVERY:
        # While a trigger is true, leaving would only lead back.
        is_calm = not why and _may_end(terms, seen)
    gauge = replace(
        gauge,
        trouble_since_ms=_since(gauge.trouble_since_ms, bool(why), now_ms),
        calm_since_ms=_since(gauge.calm_since_ms, is_calm, now_ms),
        escalate_since_ms=_since(gauge.escalate_since_ms, is_beyond, now_ms),
    )
    state = replace(state, gauge=gauge)
    match state.phase:
        case Phase.ACTIVE if why:
            done.append(Note("RecoveryWatch", f"no new rung: {'; '.join(why)}", is_warning=True))
            return moved(state, Happening.TROUBLED)
        case Phase.WATCH if _held(gauge.trouble_since_ms, terms.confirm_ms, now_ms):
            note = f"deal {deal.number} is in Recovery Mode: {'; '.join(why)} ({seen})"
            done.append(Note("RecoveryBegan", note, is_warning=True))
            deal = replace(deal, recovery_since_ms=now_ms, peak=None, low=state.price)
            return moved(replace(state, deal=deal, gauge=_reset(gauge)), Happening.CONFIRMED)
        case Phase.WATCH if _held(gauge.calm_since_ms, terms.confirm_ms, now_ms):
            done.append(Note("RecoveryWatchEnded", f"no trigger is true any more: {seen}"))
            return moved(replace(state, gauge=_reset(gauge)), Happening.CALMED)
        case Phase.RECOVERY:
            return _in_recovery(state, deal, gauge, seen, done)
        case _:
            return state


def _in_recovery(
    state: State, deal: Deal, gauge: Gauge, seen: Figures, done: list[Action]
) -> State:
    terms, now_ms, why = state.setup.terms.recovery, gauge.seen_ms, ""
    assert deal.recovery_since_ms is not None
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
        done.append(Note("RecoveryEnded", f"deal {deal.number} goes on as before: {seen}"))
        deal = replace(deal, recovery_since_ms=None, low=None, reduction=None)
        return moved(replace(state, deal=deal, gauge=_reset(gauge)), Happening.RECOVERED)
    assert state.price is not None
    is_new_low = deal.low is None or state.setup.terms.sign * (deal.low - state.price) > 0
    return replace(state, deal=replace(deal, low=state.price)) if is_new_low else state


def _triggers(terms: RecoveryTerms, seen: Figures, gauge: Gauge) -> Iterator[str]:
    """Yield what asks for Recovery Mode now, in words."""
    if not terms.is_enabled:
        return
    if terms.is_manual:
        yield "the file asks for it"
    for name, value, limit in (
        ("drawdown", seen.drawdown_pct, terms.drawdown_pct),
        ("margin used", seen.margin_used_pct, terms.margin_used_pct),
        ("rungs used", seen.averaging_used_pct, terms.averaging_used_pct),
    ):
        if limit is not None and value >= limit:
            yield f"{name} {figure(value, 2)}%, at or above {figure(limit)}%"
    since_ms = gauge.underwater_since_ms
    if since_ms is not None and gauge.seen_ms - since_ms >= terms.underwater_ms:
        yield f"at a loss for {format_duration(terms.underwater_ms)}"


def _may_end(terms: RecoveryTerms, seen: Figures) -> bool:
    return (
        seen.drawdown_pct < terms.exit_drawdown_pct
        and seen.margin_used_pct < terms.exit_margin_used_pct
    )


@precisely
def quiet_between(state: State, average: Decimal) -> tuple[Decimal, Decimal, int]:
    """Return between which calm prices, and until when, no rule changes its mind."""
    gauge, setup = state.gauge, state.setup
    if gauge is None or state.phase not in _JUDGED or state.price is None:
        return -INFINITE, INFINITE, NEVER_MS
    terms, sign = setup.terms.recovery, setup.terms.sign
    calm, paid = calm_price(state.price, gauge, sign), _paid(average, setup)
    low, high = -INFINITE, INFINITE
    for percent in (ZERO, terms.drawdown_pct, terms.exit_drawdown_pct, terms.escalate_pct):
        if percent is None:
            continue
        level = paid * (ONE - sign * percent / HUNDRED)
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


@precisely
def _paid(average: Decimal, setup: Setup) -> Decimal:
    """Return *average* with the entry's fee in it, at the taker's rate whatever was charged."""
    return average * (ONE + setup.terms.sign * setup.rates.taker_fee)


def _since(since_ms: int | None, is_true: bool, now_ms: int) -> int | None:  # noqa: FBT001 - a rule
    if not is_true:
        return None
    return now_ms if since_ms is None else since_ms


def _held(since_ms: int | None, for_ms: int, now_ms: int) -> bool:
    return since_ms is not None and now_ms - since_ms >= for_ms


def _reset(gauge: Gauge) -> Gauge:
    """Return *gauge* with nothing held yet."""
    return replace(gauge, trouble_since_ms=None, calm_since_ms=None, escalate_since_ms=None)
