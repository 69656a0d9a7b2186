"""The averaging kind's step: what happened becomes facts, facts move the phase, orders follow.

Every event goes the same way: it is written into the state, then one pass (`_settle`) moves the
phase as far as the facts go and lets `orders.arrange` do the rest. A price that can change nothing
ends before that, at `Quiet`.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from backfuturectl.model.errors import InvalidTransitionError, PermanentError
from backfuturectl.model.market import ONE, ZERO, Market, is_tradable
from backfuturectl.model.orders import Leg, LegKind, OrderStatus, OrderType
from backfuturectl.model.resources import StrategySpec
from backfuturectl.model.status import Reason
from backfuturectl.model.units import Money
from backfuturectl.strategy.assumptions import rules_of
from backfuturectl.strategy.averaging import codec
from backfuturectl.strategy.averaging.ledger import (
    books,
    is_dust,
    observed,
    stop_of,
    target_price,
)
from backfuturectl.strategy.averaging.orders import Draft, arrange, entry, is_left
from backfuturectl.strategy.averaging.state import (
    NEVER_MS,
    Closing,
    Deal,
    Happening,
    LegOrder,
    Phase,
    Quiet,
    Setup,
    State,
    moved,
)
from backfuturectl.strategy.base import (
    Action,
    BotIdentity,
    BotView,
    Command,
    Commanded,
    DealClosed,
    DealOpened,
    Event,
    Gate,
    GateChanged,
    Note,
    OpenOrder,
    OrderChanged,
    PriceSeen,
    SetupChanged,
    Step,
)
from backfuturectl.strategy.presets import resolve
from backfuturectl.strategy.proofs import base_quote_of, prove, rates_of, unsupported
from backfuturectl.strategy.violation import IncompleteTermsError, Violation, errors, figure

PAUSE_AFTER_NO_FILL_MS: Final = 60_000
"""Rest after a base order that nobody filled."""

REFUSED_MS: Final = 30_000
"""First rest after an entry that was refused; doubled each time, up to an hour."""

REFUSED_MAX_MS: Final = 3_600_000

_INFINITE: Final = Decimal("Infinity")
_FILLED_REASONS: Final = {
    LegKind.BASE: "BaseOrderFilled",
    LegKind.RUNG: "RungFilled",
    LegKind.TAKE_PROFIT: "TakeProfitFilled",
    LegKind.STOP_LOSS: "StopLossFilled",
    LegKind.REDUCE: "ReduceFilled",
    LegKind.CLOSE: "CloseFilled",
}


class Averaging:
    """One averaging deal at a time on one pair; see `base.Kind` for what each method promises."""

    name = "averaging"

    def setup(
        self,
        spec: StrategySpec,
        market: Market,
        identity: BotIdentity,
        capital: Money | None = None,
    ) -> Setup:
        """Return *spec* on *market* with every setting given, proven to fit.

        Raises:
            PermanentError: A setting is missing, not carried out, or breaks a proof.
        """
        found: tuple[Violation, ...] = unsupported(spec)
        rules = rules_of(market)
        try:
            terms = resolve(spec, capital, market.kind)
        except IncompleteTermsError as error:
            raise _refusal((*errors(found), *error.violations)) from error
        if refusals := errors((*found, *prove(terms, rules))):
            raise _refusal(refusals)
        return Setup(
            terms=terms,
            market=market,
            rules=rules,
            rates=rates_of(terms, rules),
            base_quote=base_quote_of(terms, rules),
            identity=identity,
            is_open_for_deals=spec.state == "running",
            on_change=spec.on_change,
        )

    def initial(self, setup: Setup) -> State:
        """Return the state of a bot that never traded; its gate is shut until an event opens it."""
        return State(setup)

    def step(self, state: State, event: Event) -> Step[State]:
        """Return what follows from *event*."""
        match event:
            case PriceSeen():
                return _on_price(state, event)
            case OrderChanged():
                return _on_order(_at(state, event.at_ms), event)
            case GateChanged():
                changed = replace(_at(state, event.at_ms), gate=event.gate)
                return _settle(changed)
            case SetupChanged():
                return _settle(_with_setup(_at(state, event.at_ms), event.setup))
            case Commanded():
                return _settle(_commanded(_at(state, event.at_ms), event.command))

    def view(self, state: State) -> BotView:
        """Return what people see."""
        deal, setup = state.deal, state.setup
        if deal is None or (deal.is_over and state.phase is not Phase.MANUAL):
            return BotView(
                state=state.phase,
                deal_number=None,
                position_base=ZERO,
                average=None,
                unrealised_quote=None,
                margin_quote=ZERO,
                open_orders=0,
                gate=state.gate,
                is_draining=state.is_draining,
                is_paused=state.is_paused,
            )
        kept, resting = books(deal, setup), deal.resting
        sign, average = setup.terms.sign, kept.average
        adding = sum(
            (order.left_base * order.price for order in resting if order.leg.kind.is_adding), ZERO
        )
        held = kept.position_base * (average or ZERO)
        return BotView(
            state=state.phase,
            deal_number=deal.number,
            position_base=sign * kept.position_base,
            average=average,
            unrealised_quote=(
                sign * (state.price - average) * kept.position_base
                if state.price is not None and average is not None
                else None
            ),
            margin_quote=(held + adding) / setup.terms.leverage,
            open_orders=len(resting),
            next_exit=target_price(average, setup) if average is not None else None,
            gate=state.gate,
            is_draining=state.is_draining,
            is_paused=state.is_paused,
        )

    def open_orders(self, state: State) -> tuple[OpenOrder, ...]:
        """Return the orders that may rest on the exchange right now."""
        if state.deal is None:
            return ()
        return tuple(
            OpenOrder(
                client_order_id=order.client_order_id,
                leg=order.leg,
                side=order.side,
                price=order.price,
                amount_base=order.amount_base,
                status=order.status,
                filled_base=order.filled_base,
            )
            for order in state.deal.resting
        )

    def dump(self, state: State) -> str:
        """Return *state* as JSON."""
        return codec.dump(state)

    def load(self, text: str, setup: Setup) -> State:
        """Return the state that `dump` wrote, under *setup*."""
        return codec.load(text, setup)


def _refusal(violations: tuple[Violation, ...]) -> PermanentError:
    return PermanentError(
        Reason.PROOF_FAILED, "; ".join(f"{found.code}: {found.message}" for found in violations)
    )


def _at(state: State, at_ms: int) -> State:
    """Return *state* with its clock moved on, never back."""
    return replace(state, at_ms=max(state.at_ms, at_ms))


# Events.


def _on_price(state: State, event: PriceSeen) -> Step[State]:
    price, at_ms = event.price, max(state.at_ms, event.at_ms)
    seen = replace(state, price=price, at_ms=at_ms)
    quiet = state.quiet
    if (
        quiet is not None
        and quiet.low < price < quiet.high
        and at_ms < quiet.until_ms
        and not (quiet.wants_room and event.may_open)
    ):
        return Step(seen)
    return _settle(_watch_stop(seen), may_open=event.may_open)


def _watch_stop(state: State) -> State:
    """Note since when the price is beyond the stop, and close once that is confirmed."""
    deal, price = state.live_deal, state.price
    if deal is None or deal.closing is not None or not deal.is_open or state.gate is Gate.SHUT:
        return replace(state, stop_since_ms=None)
    average = books(deal, state.setup).average
    terms = state.setup.terms
    assert price is not None
    if average is None or terms.sign * (price - stop_of(deal, average, state.setup)) > 0:
        return replace(state, stop_since_ms=None)
    since_ms = state.at_ms if state.stop_since_ms is None else state.stop_since_ms
    if state.at_ms - since_ms < terms.stop_confirm_ms:
        return replace(state, stop_since_ms=since_ms)
    return replace(state, stop_since_ms=None, deal=replace(deal, closing=Closing.STOP))


def _on_order(state: State, event: OrderChanged) -> Step[State]:
    deal = state.deal
    order = deal.named(event.client_order_id) if deal is not None else None
    if deal is None or order is None:
        return Step(state)  # of a deal that is long over; its books are closed
    try:
        known = observed(order, event)
    except InvalidTransitionError as error:
        if state.phase is Phase.MANUAL:
            return Step(state)  # said already
        note = Note("ImpossibleReport", f"{order.client_order_id}: {error}", is_warning=True)
        return _settle(moved(state, Happening.CONTRADICTED), (note,))
    if known == order:
        return Step(state)
    has_filled = known.filled_base > order.filled_base or known.cost_quote > order.cost_quote
    deal = deal.put(known)
    if has_filled and known.leg.kind is LegKind.RUNG:
        deal = replace(deal, last_rung_ms=state.at_ms)
    state = replace(state, deal=deal)
    notes = _notes_on(order, known, event)
    if deal.is_over:
        return _reopen(state, deal, notes, has_filled=has_filled)
    return _settle(state, notes)


def _notes_on(order: LegOrder, known: LegOrder, event: OrderChanged) -> tuple[Note, ...]:
    if known.status is order.status:
        return ()
    if known.status is OrderStatus.FILLED:
        average = known.cost_quote / known.filled_base if known.filled_base else known.price
        text = f"{known.side} {known.filled_base:f} at {figure(average, 10)} ({known.leg})"
        return (Note(_FILLED_REASONS[known.leg.kind], text),)
    if known.status is OrderStatus.REJECTED:
        code = f" ({event.raw_code})" if event.raw_code else ""
        return (Note("OrderRejected", f"{known.leg} was refused{code}", is_warning=True),)
    return ()


def _reopen(state: State, deal: Deal, notes: tuple[Note, ...], *, has_filled: bool) -> Step[State]:
    """Handle what is reported about a deal that has ended."""
    if deal.is_open and not has_filled:  # a fee came late: only the result changes
        result = books(deal, state.setup).result_quote
        return _settle(
            state, (*notes, DealClosed(deal.number, state.at_ms, result, _exit_leg(deal)))
        )
    if not has_filled:
        return _settle(state, notes)
    if not deal.is_open and state.phase is Phase.FLAT:  # the base order had filled after all
        return _settle(replace(state, deal=replace(deal, is_over=False, closing=None)), notes)
    late = Note(
        "LateFill",
        f"an order of deal {deal.number} filled after the deal had ended; a person has to look",
        is_warning=True,
    )
    return _settle(moved(state, Happening.CONTRADICTED), (*notes, late))


def _with_setup(state: State, setup: Setup) -> State:
    """Apply a new generation: live settings at once, the ladder as its onChange says."""
    deal = state.live_deal
    state = replace(state, setup=setup)
    if deal is None or (deal.base_quote, deal.shape) == (setup.base_quote, setup.terms.shape):
        return state
    if setup.on_change == "adopt":
        adopted = replace(
            deal,
            base_quote=setup.base_quote,
            shape=setup.terms.shape,
            ladder=deal.ladder + 1,
            noted=frozenset(),
        )
        return replace(state, deal=adopted)
    if setup.on_change == "close":
        return replace(state, deal=replace(deal, closing=deal.closing or Closing.CLOSE))
    return state


def _commanded(state: State, command: Command) -> State:
    deal = state.live_deal
    match command:
        case Command.PAUSE:
            return replace(state, is_paused=True)
        case Command.DRAIN:
            return replace(state, is_draining=True)
        case Command.CLOSE:
            if deal is not None and deal.closing is None:
                deal = replace(deal, closing=Closing.CLOSE)
            return replace(state, is_draining=True, deal=deal or state.deal)
        case Command.ABANDON:
            if deal is not None:
                deal = replace(deal, closing=Closing.ABANDON)
            return replace(state, is_draining=True, deal=deal or state.deal)
        case Command.RESUME:
            state = replace(state, is_paused=False, is_draining=False)
            return _cleared(state) if state.phase is Phase.MANUAL else state


def _cleared(state: State) -> State:
    """Return the phase that the books say, after an operator has looked."""
    deal = state.deal
    if deal is None:
        return moved(state, Happening.CLEARED_FLAT)
    kept = books(deal, state.setup)
    is_held = kept.average is not None and not is_dust(
        kept.position_base, kept.average, state.setup.market
    )
    deal = replace(
        deal,
        is_over=not (is_held or deal.resting),
        is_open=deal.is_open or kept.entered_base > 0,
    )
    is_open = deal.is_open and not deal.is_over
    return moved(
        replace(state, deal=deal), Happening.CLEARED_OPEN if is_open else Happening.CLEARED_FLAT
    )


# The pass.


def _settle(
    state: State, actions: tuple[Action, ...] = (), *, may_open: bool = False
) -> Step[State]:
    """Move the phase as far as the facts go, then bring the orders into line."""
    done: list[Action] = list(actions)
    if state.phase is Phase.MANUAL:
        return Step(replace(state, quiet=_FOREVER), tuple(done))
    state = _phase(state, done)
    if state.phase is Phase.MANUAL:
        return Step(replace(state, quiet=_FOREVER), tuple(done))
    wake_ms = NEVER_MS
    if state.live_deal is None and may_open:
        state = _enter(state, done)
    deal = state.live_deal
    if deal is not None and state.price is not None:
        draft = _draft(state, deal, state.price)
        arrange(draft)
        done += draft.actions
        state = replace(state, deal=draft.deal)
        wake_ms = draft.wake_ms
    return Step(replace(state, quiet=_quiet(state, wake_ms)), tuple(done))


def _phase(state: State, done: list[Action]) -> State:
    """Return *state* in the phase that its facts say; what people should know goes to *done*."""
    if state.phase is Phase.COOLDOWN and state.at_ms >= state.rest_until_ms:
        state = moved(state, Happening.RESTED)
    deal, setup, price = state.live_deal, state.setup, state.price
    if deal is None or price is None:
        return state
    kept = books(deal, setup)
    if kept.left_base > kept.entered_base:
        done.append(Note("ExitsExceedPosition", "more was sold than was held", is_warning=True))
        return moved(state, Happening.CONTRADICTED)
    if not deal.is_open and kept.entered_base:
        deal = replace(deal, is_open=True)
        done.append(DealOpened(deal.number, setup.entry_side, state.at_ms))
        state = moved(replace(state, deal=deal, failures=0), Happening.ENTRY_FILLED)
    if deal.closing is not None and state.phase is not Phase.HALTING:
        state = moved(state, Happening.CLOSING)
    if deal.base.may_rest:
        return state
    if not deal.is_open:
        return state if deal.resting else _unfilled(state, deal)
    if deal.closing is Closing.ABANDON and not deal.resting:
        done.append(
            Note("DealAbandoned", f"{kept.position_base:f} {setup.market.base} stay as they are")
        )
        return moved(replace(state, deal=replace(deal, is_over=True)), Happening.LEFT_ALONE)
    if not (kept.left_base or deal.closing) or not is_left(_draft(state, deal, price)):
        return state  # a small beginning is no remainder: a rung may still make it tradable
    if deal.resting:
        # What still fills in the race is a position of its own, which only leaves.
        winding = replace(
            deal, is_winding=True, settled_base=kept.entered_base, settled_cost=kept.entered_cost
        )
        return replace(state, deal=winding)
    return _closed(state, deal, done)


def _unfilled(state: State, deal: Deal) -> State:
    """End a deal whose base order filled nothing."""
    is_refused = deal.base.status in {OrderStatus.REJECTED, OrderStatus.ABSENT}
    failures = state.failures + 1 if is_refused else 0
    rest_ms = _refused_rest_ms(failures) if is_refused else PAUSE_AFTER_NO_FILL_MS
    return moved(
        replace(
            state,
            deal=replace(deal, is_over=True),
            failures=failures,
            rest_until_ms=state.at_ms + rest_ms,
        ),
        Happening.NOTHING_FILLED,
    )


def _closed(state: State, deal: Deal, done: list[Action]) -> State:
    """End a deal that is flat."""
    setup, kept, leg = state.setup, books(deal, state.setup), _exit_leg(deal)
    message = f"deal {deal.number} closed by {leg}: {kept.result_quote:+f} {setup.market.quote}"
    if kept.other_fees:
        paid = ", ".join(f"{fee.amount:f} {fee.currency}" for fee in kept.other_fees)
        message += f", and fees of {paid}"
    if kept.position_base:
        message += f"; {kept.position_base:f} {setup.market.base} too small to sell are left"
    done.append(Note("DealClosed", message))
    done.append(DealClosed(deal.number, state.at_ms, kept.result_quote, leg))
    rest_ms = (
        setup.terms.rest_after_stop_loss_ms
        if leg.kind is LegKind.STOP_LOSS
        else setup.terms.rest_after_take_profit_ms
    )
    return moved(
        replace(
            state,
            deal=replace(deal, is_over=True),
            stop_since_ms=None,
            rest_until_ms=state.at_ms + rest_ms,
        ),
        Happening.WENT_FLAT,
    )


def _exit_leg(deal: Deal) -> Leg:
    """Return the leg of the newest exit that filled; CLOSE when dust ended a deal by itself."""
    for order in reversed(deal.orders):
        if order.filled_base and not order.leg.kind.is_adding:
            return order.leg
    return Leg(LegKind.CLOSE)


def _enter(state: State, done: list[Action]) -> State:
    """Begin a deal if everything allows it; there is a price and room for one."""
    if state.phase is not Phase.FLAT or not state.may_begin or state.at_ms < state.rest_until_ms:
        return state
    setup, number = state.setup, state.deals + 1
    assert state.price is not None
    found = errors(prove(setup.terms, setup.rules, start=state.price))
    if found:
        return _refused(state, done, f"{found[0].code}: {found[0].message}")
    price, amount = entry(setup, state.price)
    sellable = amount * (ONE - setup.terms.sign * setup.market.taker_fee)
    if not is_tradable(amount, price, setup.market) or is_dust(
        sellable, target_price(state.price, setup), setup.market
    ):
        return _refused(
            state,
            done,
            f"V-MIN: the base order of {figure(setup.base_quote)} {setup.market.quote} less its "
            "fee is below the exchange's minimum",
        )
    deal = Deal(number=number, base_quote=setup.base_quote, shape=setup.terms.shape)
    draft = _draft(state, deal, state.price)
    draft.place(
        Leg(LegKind.BASE),
        type_=OrderType(setup.terms.entry_type),
        price=price,
        amount_base=amount,
        why=f"deal {number} opens at {state.price:f}",
    )
    done += draft.actions
    return replace(state, deals=number, deal=draft.deal)


def _refused(state: State, done: list[Action], why: str) -> State:
    """Rest before the next try, and say why once."""
    if not state.failures:
        done.append(Note("EntryRefused", f"no deal begins: {why}", is_warning=True))
    failures = state.failures + 1
    return replace(state, failures=failures, rest_until_ms=state.at_ms + _refused_rest_ms(failures))


def _refused_rest_ms(failures: int) -> int:
    return int(min(REFUSED_MS * 2 ** min(failures - 1, 10), REFUSED_MAX_MS))


def _draft(state: State, deal: Deal, price: Decimal) -> Draft:
    return Draft(
        setup=state.setup,
        deal=deal,
        price=price,
        at_ms=state.at_ms,
        gate=state.gate,
        may_begin=state.may_begin,
    )


_FOREVER: Final = Quiet(-_INFINITE, _INFINITE, NEVER_MS, wants_room=False)


def _quiet(state: State, wake_ms: int) -> Quiet:
    """Return until when prices change nothing."""
    deal, setup, sign = state.live_deal, state.setup, state.setup.terms.sign
    if deal is None:
        if state.phase is Phase.COOLDOWN:
            wake_ms = state.rest_until_ms
        can_enter = state.phase is Phase.FLAT and state.may_begin
        is_resting = state.at_ms < state.rest_until_ms
        if can_enter and is_resting:
            wake_ms = state.rest_until_ms
        return Quiet(-_INFINITE, _INFINITE, wake_ms, wants_room=can_enter and not is_resting)
    if state.gate is Gate.SHUT:
        return _FOREVER
    if state.stop_since_ms is not None:
        return Quiet(ZERO, ZERO, wake_ms, wants_room=False)  # the price's return counts as well
    against, with_us = -sign * _INFINITE, sign * _INFINITE
    average = books(deal, setup).average if deal.is_open else None
    if deal.closing is not None:
        # What the rest is worth decides whether it is dust, so every price counts.
        against, with_us = (ZERO, ZERO) if deal.is_open else (against, with_us)
    elif average is not None:
        against = stop_of(deal, average, setup)
        if deal.base.may_rest:
            with_us = target_price(average, setup)
    return Quiet(min(against, with_us), max(against, with_us), wake_ms, wants_room=False)
