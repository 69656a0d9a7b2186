"""How a deal ends: what it came to, and what comes after it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from backfuturectl.model.market import HUNDRED, ZERO
from backfuturectl.model.orders import Leg, LegKind, OrderStatus
from backfuturectl.model.units import format_duration
from backfuturectl.strategy.arithmetic import precisely
from backfuturectl.strategy.averaging.ledger import books
from backfuturectl.strategy.averaging.reduction import reduced_loss
from backfuturectl.strategy.averaging.state import Closing, Deal, Happening, Setup, State, moved
from backfuturectl.strategy.base import Action, DealClosed, Note
from backfuturectl.strategy.violation import figure

DAY_MS: Final = 86_400_000


def closed(state: State, deal: Deal, done: list[Action]) -> State:
    """End a deal that is flat, and move on to what comes after it."""
    state = booked(state, deal, done)
    if deal.closing is not Closing.ESCALATE:
        return moved(state, Happening.WENT_FLAT)
    return _given_up(state, done)


def booked(state: State, deal: Deal, done: list[Action]) -> State:
    """Book the end of a deal that is flat; the phase stays as it is."""
    setup, kept, leg = state.setup, books(deal, state.setup), exit_leg(deal)
    message = f"deal {deal.number} closed by {leg}: {kept.result_quote:+f} {setup.market.quote}"
    if kept.other_fees:
        paid = ", ".join(f"{fee.amount:f} {fee.currency}" for fee in kept.other_fees)
        message += f", and fees of {paid}"
    if kept.position_base:
        message += f"; {kept.position_base:f} {setup.market.base} too small to sell are left"
    done.append(Note("DealClosed", message))
    done.append(DealClosed(deal.number, state.at_ms, kept.result_quote, leg))
    day = state.at_ms // DAY_MS
    loss = max(-kept.result_quote, ZERO) + (state.day_loss if state.loss_day == day else ZERO)
    state = replace(
        state,
        deal=replace(deal, is_over=True, closed_at_ms=state.at_ms),
        stop_since_ms=None,
        gauge=None,
        reductions=_reductions(state, deal),
        loss_day=day,
        day_loss=loss,
        rest_until_ms=state.at_ms + _rest_ms(state, deal, leg),
    )
    if loss_reached(state):
        done.append(_loss_note(state))
    return state


def taken_back(state: State, before: Deal) -> State:
    """Return *state* without what the end of *before* counted: it is not over, or ends anew.

    Whoever calls this sets its `closed_at_ms` to zero.
    """
    if not before.closed_at_ms:
        return state
    lost = ZERO if before.closing is Closing.ABANDON else max(-_result(before, state.setup), ZERO)
    is_of_day = state.loss_day == before.closed_at_ms // DAY_MS
    counted = (before.closed_at_ms, reduced_loss(before))
    return replace(
        state,
        day_loss=max(state.day_loss - lost, ZERO) if is_of_day else state.day_loss,
        reductions=tuple(each for each in state.reductions if each != counted),
    )


def abandoned(state: State, deal: Deal, done: list[Action]) -> State:
    """Book the end of a deal whose position stays as it is."""
    result = _result(deal, state.setup)
    done.append(DealClosed(deal.number, state.at_ms, result, exit_leg=None))
    ended = replace(deal, is_over=True, closed_at_ms=state.at_ms)
    return replace(state, deal=ended, reductions=_reductions(state, deal))


def _reductions(state: State, deal: Deal) -> tuple[tuple[int, Decimal], ...]:
    lost = reduced_loss(deal)
    return (*state.recent_reductions, (state.at_ms, lost)) if lost else state.recent_reductions


@precisely
def _result(deal: Deal, setup: Setup) -> Decimal:
    """Return what *deal*, which has ended, came to: what was abandoned is neither won nor lost."""
    kept = books(deal, setup)
    if deal.closing is not Closing.ABANDON:
        return kept.result_quote
    return kept.result_quote + setup.terms.sign * kept.position_base * (kept.average or ZERO)


def corrected(state: State, before: Deal, deal: Deal, done: list[Action]) -> State:
    """Tell the new result of *deal*, which has ended, and count it to the day on which it did.

    *before* is the deal without what has been reported late: a fee, or funding.
    """
    was, result = _result(before, state.setup), _result(deal, state.setup)
    leg = None if deal.closing is Closing.ABANDON else exit_leg(deal)
    done.append(DealClosed(deal.number, deal.closed_at_ms, result, leg))
    if state.loss_day != deal.closed_at_ms // DAY_MS:
        return state
    was_reached = loss_reached(state)
    loss = state.day_loss + max(-result, ZERO) - max(-was, ZERO)
    state = replace(state, day_loss=max(loss, ZERO))
    if loss_reached(state) and not was_reached:
        done.append(_loss_note(state))
    return state


def _loss_note(state: State) -> Note:
    return Note(
        "DailyLossReached",
        f"deals closed today lost {figure(state.day_loss)} {state.setup.market.quote}; no new one "
        "begins before midnight UTC",
        is_warning=True,
    )


def loss_reached(state: State) -> bool:
    """Return whether today's realised losses allow no new deal.

    The cap is a share of marginLimit over all deals at once; each bot answers for one deal's part.
    """
    terms = state.setup.terms
    if terms.max_daily_loss_pct is None or state.loss_day != state.at_ms // DAY_MS:
        return False
    limit = terms.margin_limit / terms.max_active_deals * terms.max_daily_loss_pct / HUNDRED
    return state.day_loss >= limit


def _rest_ms(state: State, deal: Deal, leg: Leg) -> int:
    """Return the rest after *deal*; one that Recovery Mode ended in any way rests longest."""
    terms = state.setup.terms
    if deal.closing is Closing.ESCALATE:
        return terms.recovery.cooldown_ms
    is_stopped = leg.kind is LegKind.STOP_LOSS
    rest_ms = terms.rest_after_stop_loss_ms if is_stopped else terms.rest_after_take_profit_ms
    return rest_ms if deal.recovery_since_ms is None else max(rest_ms, terms.rest_after_recovery_ms)


def _given_up(state: State, done: list[Action]) -> State:
    """Count the escalation; too many within the window halt the bot until a person resumes it."""
    terms = state.setup.terms.recovery
    since_ms = state.at_ms - terms.window_ms
    recent = tuple(at_ms for at_ms in (*state.escalations, state.at_ms) if at_ms > since_ms)
    state = replace(state, escalations=recent)
    if len(recent) <= terms.window_count:
        return moved(state, Happening.WENT_FLAT)
    done.append(
        Note(
            "Halted",
            f"Recovery Mode gave up {len(recent)} times within "
            f"{format_duration(terms.window_ms)}; `resume` lets new deals begin",
            is_warning=True,
        )
    )
    return moved(state, Happening.GAVE_UP_TOO_OFTEN)


def exit_leg(deal: Deal) -> Leg:
    """Return the leg of the exit that filled last; CLOSE when dust ended a deal by itself.

    A resting stop was placed long before it filled; once it has, it is what ended the deal.
    """
    if deal.was_stopped:
        return Leg(LegKind.STOP_LOSS)
    left = [order for order in deal.orders if order.filled_base and not order.leg.kind.is_adding]
    if not left:
        return Leg(LegKind.CLOSE)
    # One canceled after a part of it filled ended later than it filled; of equals, the newest.
    ended = [order for order in left if order.status is OrderStatus.FILLED] or left
    return max(enumerate(ended), key=lambda item: (item[1].since_ms, item[0]))[1].leg
