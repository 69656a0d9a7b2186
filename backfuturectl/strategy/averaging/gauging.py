"""What Recovery Mode makes of the prices: how far its rules are from being true.

Everything is measured by the calm price: of the price itself and its smoothed value the one that is
kinder to the position. Only prices no further apart than `GAP_MS` say anything about the time
between them. The measures that decide are the measures that people are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import Final

from backfuturectl.model.market import HUNDRED, ONE, ZERO
from backfuturectl.model.orders import LegKind
from backfuturectl.model.units import format_duration
from backfuturectl.strategy.arithmetic import notional, precisely
from backfuturectl.strategy.averaging.ledger import books
from backfuturectl.strategy.averaging.rungs import is_done
from backfuturectl.strategy.averaging.state import Deal, Gauge, Phase, Setup, State
from backfuturectl.strategy.base import Measure, RecoveryView
from backfuturectl.strategy.presets import RecoveryTerms
from backfuturectl.strategy.violation import figure

GAP_MS: Final = 300_000
"""Prices further apart than this say nothing about the time between them."""

JUDGED: Final = frozenset({Phase.ACTIVE, Phase.WATCH, Phase.RECOVERY})
"""Where prices move a deal from phase to phase."""

_SMOOTHING: Final = Context(prec=16)
"""Enough for a signal, and fast: it is used on every tick."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a deal's state is judged by.

    Attributes:
        drawdown_pct: Of the calm price from the average, fees in, leverage out; negative when the
            deal is in profit.
        margin_used_pct: What is held, of what the whole ladder costs.
        averaging_used_pct: Rungs filled whole, of all.
    """

    drawdown_pct: Decimal
    margin_used_pct: Decimal
    averaging_used_pct: Decimal

    def __str__(self) -> str:
        return (
            f"drawdown {figure(self.drawdown_pct, 2)}%, margin used "
            f"{figure(self.margin_used_pct, 2)}%, rungs used {figure(self.averaging_used_pct, 1)}%"
        )


def smoothed(
    gauge: Gauge, before: Decimal, seen: Iterable[tuple[Decimal, int]], *, span_ms: int
) -> Gauge:
    """Return *gauge* after the prices and times *seen*, when the price was *before* until then.

    An exponential average over time: a tick that repeats the price changes nothing about it, so
    it does not depend on how often prices come.
    """
    context, smooth, seen_ms = _SMOOTHING, gauge.smooth, gauge.seen_ms
    is_broken = False
    for price, at_ms in seen:
        passed_ms = at_ms - seen_ms
        if passed_ms <= 0:
            pass
        elif passed_ms > GAP_MS:
            smooth, seen_ms, is_broken = price, at_ms, True
        else:
            if smooth != before and not span_ms:
                smooth = before
            elif smooth != before:
                kept = context.exp(context.divide(Decimal(-passed_ms), Decimal(span_ms)))
                distance = context.subtract(smooth, before)
                smooth = context.add(before, context.multiply(distance, kept))
            seen_ms = at_ms
        before = price
    known = Gauge(smooth, seen_ms, underwater_since_ms=gauge.underwater_since_ms)
    return known if is_broken else replace(gauge, smooth=smooth, seen_ms=seen_ms)


def calm_price(price: Decimal, gauge: Gauge, sign: int) -> Decimal:
    """Return the price or its smoothed value, whichever is kinder to the position."""
    return max(price, gauge.smooth) if sign > 0 else min(price, gauge.smooth)


@precisely
def figures_of(deal: Deal, setup: Setup, *, average: Decimal, calm: Decimal) -> Figures:
    """Return what *deal* is judged by at the price *calm*."""
    paid = paid_price(average, setup)
    planned = notional(deal.shape, deal.base_quote)
    begun = {
        order.leg.index
        for order in deal.orders
        if order.leg.kind is LegKind.RUNG and order.filled_base
    }
    used = sum(1 for k in begun if k <= deal.shape.max_orders and is_done(deal, setup, k))
    return Figures(
        drawdown_pct=setup.terms.sign * HUNDRED * (paid - calm) / paid,
        margin_used_pct=HUNDRED * books(deal, setup).position_base * average / planned,
        averaging_used_pct=HUNDRED * used / deal.shape.max_orders
        if deal.shape.max_orders
        else ZERO,
    )


@precisely
def paid_price(average: Decimal, setup: Setup) -> Decimal:
    """Return *average* with the entry's fee in it, at the taker's rate whatever was charged."""
    return average * (ONE + setup.terms.sign * setup.rates.taker_fee)


def triggers(terms: RecoveryTerms, seen: Figures, gauge: Gauge) -> Iterator[Measure]:
    """Yield what may ask for Recovery Mode, true or not; any one that is true does."""
    if not terms.is_enabled:
        return
    if terms.is_manual:
        yield Measure("trigger", "manual", ONE, ONE, is_true=True, unit="flag")
    for name, value, limit in (
        ("drawdown", seen.drawdown_pct, terms.drawdown_pct),
        ("margin used", seen.margin_used_pct, terms.margin_used_pct),
        ("rungs used", seen.averaging_used_pct, terms.averaging_used_pct),
    ):
        if limit is not None:
            yield Measure("trigger", name, value, limit, is_true=value >= limit)
    since_ms, limit_ms = gauge.underwater_since_ms, terms.underwater_ms
    at_loss_ms = 0 if since_ms is None else gauge.seen_ms - since_ms
    is_true = since_ms is not None and at_loss_ms >= limit_ms
    yield Measure("trigger", "at a loss", at_loss_ms, limit_ms, is_true=is_true, unit="ms")


def told(measure: Measure) -> str:
    """Return a true trigger in words."""
    match measure.unit:
        case "flag":
            return "the file asks for it"
        case "ms":
            return f"{measure.name} for {format_duration(int(measure.limit))}"
        case _:
            value, limit = figure(Decimal(measure.value), 2), figure(Decimal(measure.limit))
            return f"{measure.name} {value}%, at or above {limit}%"


def endings(terms: RecoveryTerms, seen: Figures) -> Iterator[Measure]:
    """Yield what must all be true for Recovery Mode to end without closing the deal."""
    for name, value, limit in (
        ("drawdown", seen.drawdown_pct, terms.exit_drawdown_pct),
        ("margin used", seen.margin_used_pct, terms.exit_margin_used_pct),
    ):
        yield Measure("exit", name, value, limit, is_true=value < limit, is_below=True)


def is_beyond(terms: RecoveryTerms, seen: Figures) -> bool:
    """Return whether the drawdown is where a deal is given up once that is confirmed."""
    return terms.escalate_pct is not None and seen.drawdown_pct >= terms.escalate_pct


def escalations(
    terms: RecoveryTerms, seen: Figures, *, since_ms: int, now_ms: int
) -> Iterator[Measure]:
    """Yield what gives up a deal that is in Recovery Mode *since_ms*, true or not."""
    value, limit = seen.drawdown_pct, terms.escalate_pct
    if limit is not None:
        is_true = is_beyond(terms, seen)
        yield Measure("escalate", "drawdown", value, limit, is_true=is_true)
    for_ms, limit_ms = now_ms - since_ms, terms.max_duration_ms
    yield Measure("escalate", "duration", for_ms, limit_ms, is_true=for_ms >= limit_ms, unit="ms")


def recovery_view(state: State) -> RecoveryView | None:
    """Return how near the deal's rules are to being true; None where nothing is judged."""
    deal, gauge, setup = state.live_deal, state.gauge, state.setup
    if deal is None or gauge is None or state.price is None or state.phase not in JUDGED:
        return None
    average = deal.average
    if average is None:
        return None
    terms = setup.terms.recovery
    calm = calm_price(state.price, gauge, setup.terms.sign)
    seen = figures_of(deal, setup, average=average, calm=calm)
    measures = tuple(triggers(terms, seen, gauge))
    score = max((_share_pct(each) for each in measures), default=ZERO)
    held = [("trigger", gauge.trouble_since_ms, terms.confirm_ms)]
    if state.phase is Phase.RECOVERY and deal.recovery_since_ms is not None:
        measures += tuple(endings(terms, seen))
        measures += tuple(
            escalations(terms, seen, since_ms=deal.recovery_since_ms, now_ms=gauge.seen_ms)
        )
        held.append(("exit", gauge.calm_since_ms, terms.exit_confirm_ms))
        held.append(("escalate", gauge.escalate_since_ms, terms.confirm_ms))
    elif not measures:
        return None
    return RecoveryView(
        score_pct=score,
        measures=measures,
        held_ms={
            rule: (0 if since_ms is None else gauge.seen_ms - since_ms, for_ms)
            for rule, since_ms, for_ms in held
        },
    )


def _share_pct(measure: Measure) -> Decimal:
    """Return how much of the way to its limit a trigger has come; at most 100."""
    if measure.is_true or not measure.limit:
        return HUNDRED if measure.is_true else ZERO
    share = HUNDRED * Decimal(measure.value) / Decimal(measure.limit)
    return min(max(share, ZERO), HUNDRED)
