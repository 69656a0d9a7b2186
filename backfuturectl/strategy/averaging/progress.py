"""One pass over a bot's facts: the phase moves as far as they go, then the orders follow.

On a price the stop, the trailing take profit and Recovery Mode are judged first. A pass that
follows a price also says until when prices change nothing (`Quiet`); any other event leaves that
open, so that the next price is looked at in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Final

from backfuturectl.model.market import ZERO
from backfuturectl.model.units import format_duration
from backfuturectl.strategy.arithmetic import beyond
from backfuturectl.strategy.averaging.beginning import begin, quiet_before, unfilled
from backfuturectl.strategy.averaging.closing import abandoned, closed
from backfuturectl.strategy.averaging.draft import Draft, is_left
from backfuturectl.strategy.averaging.ledger import books, stop_of, target_price, trailed_price
from backfuturectl.strategy.averaging.orders import arrange
from backfuturectl.strategy.averaging.recovery import judged, quiet_between
from backfuturectl.strategy.averaging.state import (
    INFINITE,
    NEVER_MS,
    Closing,
    Deal,
    Gauge,
    Happening,
    Phase,
    Quiet,
    State,
    moved,
)
from backfuturectl.strategy.averaging.stops import STOP_PATIENCE_MS, is_awaited, is_beyond
from backfuturectl.strategy.averaging.trailing import trailed
from backfuturectl.strategy.base import Action, DealOpened, Gate, Note, PriceSeen, Step
from backfuturectl.strategy.violation import figure


def on_price(state: State, seen: PriceSeen) -> Step[State]:
    """Return what follows from *seen*, whose price *state* has already."""
    done: list[Action] = []
    if state.phase is not Phase.MANUAL:
        state = judged(trailed(_stopped(state, done), done), done)
    state, wake_ms = _passed(state, done, seen)
    return Step(replace(state, quiet=_quiet(state, wake_ms)), tuple(done))


def settle(state: State, actions: tuple[Action, ...] = ()) -> Step[State]:
    """Return what follows from facts other than a price; *actions* come first."""
    done = list(actions)
    state, _ = _passed(state, done)
    return Step(replace(state, quiet=None), tuple(done))


def _passed(state: State, done: list[Action], seen: PriceSeen | None = None) -> tuple[State, int]:
    """Move the phase as far as the facts go, then bring the orders into line.

    Only a price begins a deal.

    Returns the state and when to look again even if nothing happens.
    """
    if state.phase is not Phase.MANUAL:
        state = _phase(state, done)
    if state.phase is Phase.MANUAL:
        return _cleared_away(state, done)
    if state.live_deal is None and seen is not None and seen.may_open:
        state = begin(state, seen, done)
    deal = state.live_deal
    if deal is None or state.price is None:
        return state, NEVER_MS
    draft = Draft.of(state, deal, state.price)
    arrange(draft)
    done += draft.actions
    return state if draft.deal is deal else replace(state, deal=draft.deal), draft.wake_ms


def _cleared_away(state: State, done: list[Action]) -> tuple[State, int]:
    """Cancel what still rests of a deal that has ended, even while a person is awaited.

    It could begin a position that nobody manages.
    """
    deal = state.deal
    if deal is None or not deal.is_over or state.price is None or state.gate is Gate.SHUT:
        return state, NEVER_MS
    draft = Draft.of(state, deal, state.price)
    draft.cancel_all(deal.resting, "its deal has ended")
    done += draft.actions
    return replace(state, deal=draft.deal), draft.wake_ms


def _phase(state: State, done: list[Action]) -> State:
    """Return *state* in the phase that its facts say; what people should know goes to *done*."""
    if state.phase is Phase.COOLDOWN and state.at_ms >= state.rest_until_ms:
        state = moved(state, Happening.RESTED)
    deal, setup, price = state.live_deal, state.setup, state.price
    if deal is None or price is None:
        return state
    kept = books(deal, setup)
    if kept.left_base > kept.entered_base + _unseen_base(deal):
        done.append(Note("ExitsExceedPosition", "more was sold than was held", is_warning=True))
        return moved(state, Happening.CONTRADICTED)
    if not deal.is_open and kept.entered_base:
        deal = replace(deal, is_open=True)
        done.append(DealOpened(deal.number, setup.entry_side, state.at_ms))
        gauge = Gauge(price, state.at_ms)
        state = replace(state, deal=deal, failures=0, gauge=gauge)
        state = moved(state, Happening.ENTRY_FILLED)
    if deal.closing is None and deal.was_stopped:
        # The exchange's stop has fired; what it left, and what fills in the race, follows it.
        deal = replace(deal, closing=Closing.STOP)
        state = replace(state, deal=deal)
    if deal.closing is not None and state.phase is not Phase.HALTING:
        state = moved(state, Happening.CLOSING)
    if deal.base.may_rest:
        return state
    if not deal.is_open:
        return state if deal.resting else unfilled(state, deal)
    if deal.closing is Closing.ABANDON and not deal.resting:
        done.append(
            Note("DealAbandoned", f"{kept.position_base:f} {setup.market.base} stay as they are")
        )
        return moved(abandoned(state, deal, done), Happening.LEFT_ALONE)
    if not (kept.left_base or deal.closing) or not is_left(Draft.of(state, deal, price)):
        return state  # a small beginning is no remainder: a rung may still make it tradable
    if deal.resting:
        # What still fills in the race is a position of its own, which only leaves.
        winding = replace(
            deal, is_winding=True, settled_base=kept.entered_base, settled_cost=kept.entered_cost
        )
        return replace(state, deal=winding)
    return closed(state, deal, done)


def _unseen_base(deal: Deal) -> Decimal:
    """Return what may have been entered without the bot having heard of it.

    Exits ask for no more than is known to be held; only a stop on the exchange takes of what the
    exchange knows, so its fill may be told before those of the rungs on the way down to it.
    """
    if not deal.was_stopped:
        return ZERO
    return sum((order.left_base for order in deal.resting if order.leg.kind.is_adding), ZERO)


def _stopped(state: State, done: list[Action]) -> State:
    """Note since when the price is beyond the stop, and close once that is confirmed.

    A stop that waits on the exchange is given a little time to do it first.
    """
    deal, price = state.live_deal, state.price
    if deal is None or deal.closing is not None or not deal.is_open or state.gate is Gate.SHUT:
        return state if state.stop_since_ms is None else replace(state, stop_since_ms=None)
    average = deal.average
    terms = state.setup.terms
    assert price is not None
    stop = ZERO if average is None else stop_of(deal, average, state.setup)
    if average is None or not is_beyond(price, stop, state.setup):
        return state if state.stop_since_ms is None else replace(state, stop_since_ms=None)
    since_ms = state.at_ms if state.stop_since_ms is None else state.stop_since_ms
    wait_ms = terms.stop_confirm_ms
    if any(is_awaited(order, price, state.setup) for order in deal.resting):
        wait_ms = max(wait_ms, STOP_PATIENCE_MS)
    if state.at_ms - since_ms < wait_ms:
        return replace(state, stop_since_ms=since_ms)
    note = (
        f"{price:f} is at or beyond the stop of {figure(stop)}: deal {deal.number} leaves at market"
    )
    if terms.stop_confirm_ms:
        note += f", after {format_duration(terms.stop_confirm_ms)} there"
    done.append(Note("StopLossReached", note, is_warning=True))
    return replace(state, stop_since_ms=None, deal=replace(deal, closing=Closing.STOP))


_FOREVER: Final = Quiet(-INFINITE, INFINITE, NEVER_MS, wants_room=False)


def _quiet(state: State, wake_ms: int) -> Quiet:
    """Return until when prices change nothing."""
    deal, setup, sign = state.live_deal, state.setup, state.setup.terms.sign
    if state.phase is Phase.MANUAL:
        return replace(_FOREVER, until_ms=wake_ms)
    if deal is None:
        return quiet_before(state)
    if state.gate is Gate.SHUT:
        return _FOREVER
    if state.stop_since_ms is not None:
        return Quiet(ZERO, ZERO, wake_ms, wants_room=False)  # the price's return counts as well
    against, with_us = -sign * INFINITE, sign * INFINITE
    average = deal.average if deal.is_open else None
    if deal.closing is not None:
        # What the rest is worth decides whether it is dust, so every price counts.
        against, with_us = (ZERO, ZERO) if deal.is_open else (against, with_us)
        return Quiet(min(against, with_us), max(against, with_us), wake_ms, wants_room=False)
    if average is None:
        return Quiet(min(against, with_us), max(against, with_us), wake_ms, wants_room=False)
    levels = [stop_of(deal, average, setup), *_levels(state, deal, average)]
    price = state.price or average
    # The nearest on either side; one that the price stands on belongs to both.
    low = max((level for level in levels if level <= price), default=-INFINITE)
    high = min((level for level in levels if level >= price), default=INFINITE)
    calm_low, calm_high, until_ms = quiet_between(state, average)
    return Quiet(
        low,
        high,
        min(wake_ms, until_ms),
        wants_room=False,
        calm_low=calm_low,
        calm_high=calm_high,
    )


def _levels(state: State, deal: Deal, average: Decimal) -> Iterator[Decimal]:
    """Yield the prices, beside the stop, at which something begins or ends."""
    setup, sign = state.setup, state.setup.terms.sign
    recovery, trailing_pct = setup.terms.recovery, setup.terms.trailing_pct
    if state.phase is Phase.RECOVERY:
        if recovery.reduce is not None and deal.low is not None:
            yield beyond(deal.low, -sign, recovery.reduce.rebound_pct)
        return
    if deal.peak is not None and trailing_pct is not None:
        yield deal.peak
        yield beyond(deal.peak, sign, trailing_pct)
    elif trailing_pct is not None:
        yield trailed_price(average, setup)
    if deal.base.may_rest:
        yield target_price(average, setup)
