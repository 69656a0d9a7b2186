"""The averaging kind's step: what happened becomes facts, facts move the phase, orders follow.

Every event goes the same way: it is written into the state, then one pass (`progress`) moves the
phase as far as the facts go and lets `orders.arrange` do the rest. A price that can change nothing
ends before that, at `Quiet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfoNotFoundError

from backfuturectl.model.candles import Rsi
from backfuturectl.model.errors import InvalidTransitionError, PermanentError
from backfuturectl.model.ids import bot_code
from backfuturectl.model.market import ZERO, Market
from backfuturectl.model.orders import LegKind, OrderStatus
from backfuturectl.model.resources import StrategySpec
from backfuturectl.model.status import Reason
from backfuturectl.model.units import Money
from backfuturectl.strategy.assumptions import rules_of
from backfuturectl.strategy.averaging import codec
from backfuturectl.strategy.averaging.closing import booked, corrected, taken_back
from backfuturectl.strategy.averaging.exposure import exposure
from backfuturectl.strategy.averaging.gauging import GAP_MS, calm_price, recovery_view, smoothed
from backfuturectl.strategy.averaging.imposed import on_funding, on_liquidated
from backfuturectl.strategy.averaging.ledger import (
    books,
    is_dust,
    observed,
    stop_of,
    target_price,
    trailed_price,
)
from backfuturectl.strategy.averaging.outlook import outlook
from backfuturectl.strategy.averaging.progress import on_price, settle
from backfuturectl.strategy.averaging.recovery import unheld
from backfuturectl.strategy.averaging.rewound import rewound
from backfuturectl.strategy.averaging.state import (
    NEVER_MS,
    Closing,
    Deal,
    Happening,
    LegOrder,
    Pace,
    Phase,
    Quiet,
    Reading,
    Setup,
    State,
    moved,
)
from backfuturectl.strategy.base import (
    Action,
    Band,
    BotIdentity,
    BotView,
    Command,
    Commanded,
    DealOpened,
    Event,
    Exposure,
    FundingPaid,
    GateChanged,
    IndicatorSeen,
    Liquidated,
    Note,
    OpenOrder,
    OrderChanged,
    PriceSeen,
    SetupChanged,
    Step,
)
from backfuturectl.strategy.outlook import Outlook
from backfuturectl.strategy.presets import Terms, resolve
from backfuturectl.strategy.proofs import base_quote_of, margin_of, prove, rates_of
from backfuturectl.strategy.schedule import parse_windows
from backfuturectl.strategy.violation import IncompleteTermsError, Violation, errors, figure

_FILLED_REASONS: Final = {
    LegKind.BASE: "BaseOrderFilled",
    LegKind.RUNG: "RungFilled",
    LegKind.TAKE_PROFIT: "TakeProfitFilled",
    LegKind.STOP_LOSS: "StopLossFilled",
    LegKind.REDUCE: "ReduceFilled",
    LegKind.CLOSE: "CloseFilled",
}


_TAKEN_OVER: Final = Note(
    "TakenOver", "a person takes the open deal over; nothing is touched until `resume`"
)


class Averaging:
    """One averaging deal at a time on one pair; see `base.Kind` for what each method promises."""

    name = "averaging"

    def setup(
        self,
        spec: StrategySpec,
        market: Market,
        identity: BotIdentity,
        capital: Money | None = None,
        *,
        must_fit: bool = True,
        deals_open: int = 0,
    ) -> Setup:
        """Return *spec* on *market* with every setting given, proven to fit.

        Where open deals adopt it, it is proven to fit all *deals_open* of them.

        Without *must_fit* a setup that breaks a proof opens no deals, and manages an open one.

        Raises:
            PermanentError: A setting is missing, or breaks a proof.
        """
        rules = rules_of(market)
        try:
            terms = resolve(spec, capital, market.kind)
        except IncompleteTermsError as error:
            raise _refusal(error.violations) from error
        try:
            windows = parse_windows(terms.windows, terms.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise PermanentError(
                Reason.PROOF_FAILED, f"the time zone `{terms.timezone}` is not known here"
            ) from error
        is_adopted = spec.on_change == "adopt"
        proven = _for_all_open(terms, deals_open) if is_adopted else terms
        refusals = errors(prove(proven, rules))
        if refusals and must_fit:
            raise _refusal(refusals)
        base_quote = base_quote_of(terms, rules)
        return Setup(
            terms=terms,
            sized=replace(terms, base_quote=base_quote),
            market=market,
            rules=rules,
            rates=rates_of(terms, rules),
            base_quote=base_quote,
            identity=identity,
            code=bot_code(identity.bot),
            windows=windows,
            is_open_for_deals=spec.state == "running" and not refusals,
            on_change=spec.on_change,
        )

    def sharing(self, setup: Setup, *, deals: int, share: Decimal) -> Setup:
        """Return *setup* for a bot whose open deal is one of *deals* and may use *share*."""
        return replace(setup, deals_open=deals, deal_share=share)

    def worst_quote(self, setup: Setup) -> Decimal:
        """Return W_strategy by the market's own rules."""
        return margin_of(setup.sized, setup.rules)

    def indicator(self, setup: Setup) -> Rsi | None:
        """Return the indicator that entries wait for."""
        return None if setup.terms.entry_rsi is None else setup.terms.entry_rsi.indicator

    def initial(self, setup: Setup) -> State:
        """Return the state of a bot that never traded; its gate is shut until an event opens it."""
        return State(setup)

    def step(self, state: State, event: Event) -> Step[State]:
        """Return what follows from *event*."""
        match event:
            case PriceSeen():
                return _on_price(state, event)
            case IndicatorSeen():
                return _on_indicator(_at(state, event.at_ms), event)
            case OrderChanged():
                return _on_order(_at(state, event.at_ms), event)
            case GateChanged():
                changed = replace(_at(state, event.at_ms), gate=event.gate)
                return settle(changed)
            case SetupChanged():
                return settle(_with_setup(_at(state, event.at_ms), event.setup))
            case Commanded(command=Command.RESUME) if state.phase is Phase.MANUAL:
                resumed = replace(unheld(state), is_paused=False, is_draining=False)
                return settle(*_cleared(_at(resumed, event.at_ms)))
            case Commanded():
                told = _commanded(_at(state, event.at_ms), event)
                is_taken = told.phase is Phase.MANUAL and state.phase is not Phase.MANUAL
                return settle(told, (_TAKEN_OVER,) if is_taken else ())
            case FundingPaid():
                return on_funding(_at(state, event.at_ms), event)
            case Liquidated():
                return on_liquidated(_at(state, event.at_ms), event)

    def band(self, state: State) -> Band | None:
        """Return which prices would only be remembered."""
        quiet, gauge = state.quiet, state.gauge
        if quiet is None:
            return None
        low, high, seen_ms, gap_ms = quiet.low, quiet.high, state.at_ms, NEVER_MS
        if gauge is not None:
            # The smoothed price stays between itself and the prices that come. It was not beyond
            # the calm price on the kinder side, so no price of the band takes that one out of it.
            low, high = max(low, quiet.calm_low), min(high, quiet.calm_high)
            seen_ms, gap_ms = gauge.seen_ms, GAP_MS
        return Band(
            low=low,
            high=high,
            until_ms=quiet.until_ms,
            seen_ms=seen_ms,
            gap_ms=gap_ms,
            wants_room=quiet.wants_room,
            each_counts=gauge is not None,
        )

    def remember(self, state: State, seen: Sequence[tuple[Decimal, int]]) -> State:
        """Return *state* with the prices *seen*, none of which decides anything."""
        gauge, (price, at_ms) = state.gauge, seen[-1]
        if gauge is not None and state.price is not None:
            span_ms = state.setup.terms.recovery.ema_span_ms
            gauge = smoothed(gauge, state.price, seen, span_ms=span_ms)
        return replace(state, price=price, at_ms=max(state.at_ms, at_ms), gauge=gauge)

    def has_deal(self, state: State) -> bool:
        """Return whether a deal is begun and not over, or a person has to look at how it ended."""
        return state.live_deal is not None or (
            state.deal is not None and state.phase is Phase.MANUAL
        )

    def view(self, state: State) -> BotView:
        """Return what people see."""
        deal, setup = state.deal, state.setup
        if deal is None or not self.has_deal(state):
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
            next_exit=None if average is None else _next_exit(state, deal, average),
            stop=None if average is None else stop_of(deal, average, setup),
            is_stop_resting=any(
                order.is_waiting_stop and order.status is OrderStatus.OPEN for order in resting
            ),
            gate=state.gate,
            is_draining=state.is_draining,
            is_paused=state.is_paused,
            is_set_apart=state.phase is Phase.RECOVERY,
            recovery=recovery_view(state),
        )

    def outlook(self, state: State) -> Outlook | None:
        """Return what the open deal waits for."""
        return outlook(state)

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
                trigger_price=order.trigger_price,
                is_canceling=order.cancels > 0,
            )
            for order in state.deal.resting
        )

    def exposure(self, state: State) -> Exposure | None:
        """Return what V-LIQ asks of the position as it is now."""
        return exposure(state)

    def dump(self, state: State) -> str:
        """Return *state* as JSON."""
        return codec.dump(state)

    def share_of(self, text: str) -> Decimal | None:
        """Return what of marginLimit the open deal in *text* may use."""
        return codec.share_of(text)

    def load(self, text: str, setup: Setup) -> State:
        """Return the state that `dump` wrote, under *setup*."""
        return codec.load(text, setup)


def _next_exit(state: State, deal: Deal, average: Decimal) -> Decimal:
    """Return where the take profit leaves next: of steps, the nearest that is not sold yet."""
    setup = state.setup
    if state.phase is Phase.RECOVERY:
        return target_price(average, setup, is_recovering=True)
    if not setup.terms.steps:
        return target_price(average, setup)
    resting = [order for order in deal.resting if order.leg.kind is LegKind.TAKE_PROFIT]
    if resting:
        return min((order.price for order in resting), key=lambda price: setup.terms.sign * price)
    return (
        target_price(average, setup)
        if setup.terms.trailing_pct is None
        else (trailed_price(average, setup))
    )


def _refusal(violations: tuple[Violation, ...]) -> PermanentError:
    return PermanentError(
        Reason.PROOF_FAILED, "; ".join(f"{found.code}: {found.message}" for found in violations)
    )


def _at(state: State, at_ms: int) -> State:
    """Return *state* with its clock moved on; back only where it was far ahead."""
    state = rewound(state, at_ms)
    return replace(state, at_ms=max(state.at_ms, at_ms))


# Events.


def _on_price(state: State, event: PriceSeen) -> Step[State]:
    state = rewound(state, event.at_ms)
    price, at_ms, quiet = event.price, max(state.at_ms, event.at_ms), state.quiet
    gauge, is_calm = state.gauge, True
    if gauge is not None and state.price is not None:
        terms = state.setup.terms
        gap_ms = at_ms - gauge.seen_ms
        gauge = smoothed(gauge, state.price, ((price, at_ms),), span_ms=terms.recovery.ema_span_ms)
        is_calm = (
            gap_ms <= GAP_MS
            and quiet is not None
            and (quiet.calm_low < calm_price(price, gauge, terms.sign) < quiet.calm_high)
        )
    seen = replace(state, price=price, at_ms=at_ms, gauge=gauge)
    if is_calm and _is_within(quiet, event, at_ms):
        return Step(seen)
    return on_price(seen, event)


def _is_within(quiet: Quiet | None, event: PriceSeen, at_ms: int) -> bool:
    return (
        quiet is not None
        and quiet.low < event.price < quiet.high
        and at_ms < quiet.until_ms
        and not (quiet.wants_room and event.may_open)
    )


def _on_indicator(state: State, event: IndicatorSeen) -> Step[State]:
    known, name = state.reading, str(event.indicator)
    if known is not None and known.of == name and known.closed_at_ms > event.closed_at_ms:
        return Step(state)
    reading = Reading(name, event.value, event.closed_at_ms)
    return settle(replace(state, reading=reading))


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
        return settle(moved(state, Happening.CONTRADICTED), (note,))
    if known == order:
        return Step(state)
    has_filled = known.filled_base > order.filled_base or known.cost_quote > order.cost_quote
    before, deal = deal, deal.put(known)
    if has_filled and known.leg.kind is LegKind.RUNG:
        deal = replace(deal, last_rung_ms=state.at_ms)
    state = replace(state, deal=deal)
    notes = _notes_on(order, known, event)
    if deal.is_over:
        return _reopen(state, before, notes, has_filled=has_filled)
    return settle(state, notes)


def _notes_on(order: LegOrder, known: LegOrder, event: OrderChanged) -> tuple[Note, ...]:
    if known.status is order.status:
        return ()
    # A resting stop covers more than is held, so the exchange cancels what there was no more of.
    is_spent = known.trigger_price is not None and known.status.is_final and known.filled_base > 0
    if known.status is OrderStatus.FILLED or is_spent:
        average = known.cost_quote / known.filled_base if known.filled_base else known.price
        text = f"{known.side} {known.filled_base:f} at {figure(average, 10)} ({known.leg})"
        return (Note(_FILLED_REASONS[known.leg.kind], text),)
    if known.status is OrderStatus.REJECTED:
        code = f" ({event.raw_code})" if event.raw_code else ""
        return (Note("OrderRejected", f"{known.leg} was refused{code}", is_warning=True),)
    return ()


def _reopen(
    state: State, before: Deal, notes: tuple[Note, ...], *, has_filled: bool
) -> Step[State]:
    """Handle what is reported about a deal that has ended, and that was *before* the report."""
    deal = state.deal
    assert deal is not None
    if deal.closed_at_ms and not has_filled:  # a fee came late: only the result changes
        done: list[Action] = [*notes]
        state = corrected(state, before, deal, done)
        return settle(state, tuple(done))
    if not has_filled:
        return settle(state, notes)
    if not deal.is_open and state.phase is Phase.FLAT:  # the base order had filled after all
        return settle(replace(state, deal=replace(deal, is_over=False, closing=None)), notes)
    late = Note(
        "LateFill",
        f"an order of deal {deal.number} filled after the deal had ended; a person has to look",
        is_warning=True,
    )
    # What it has come to is not known before a person has looked.
    state = replace(taken_back(state, before), deal=replace(deal, closed_at_ms=0))
    return settle(moved(state, Happening.CONTRADICTED), (*notes, late))


def _with_setup(state: State, setup: Setup) -> State:
    """Apply a new generation: live settings at once, the ladder as its onChange says."""
    deal, before = state.live_deal, state.setup.terms
    state = replace(state, setup=setup)
    if deal is None:
        return state
    deal = replace(deal, share=setup.deal_share or setup.share, deals=setup.deals)
    state = replace(state, deal=deal)
    pace, base_quote = Pace.of(setup.terms), setup.base_quote
    if setup.on_change == "adopt" and setup.deals > setup.terms.max_active_deals:
        base_quote = base_quote_of(_for_all_open(setup.terms, setup.deals), setup.rules)
    planned = (base_quote, setup.terms.shape)
    is_same_plan = (deal.base_quote, deal.shape) == planned
    if is_same_plan and (deal.pace or pace) == pace:
        return state
    if setup.on_change == "adopt":
        adopted = replace(
            deal,
            base_quote=base_quote,
            shape=setup.terms.shape,
            pace=pace,
            ladder=deal.ladder if is_same_plan else deal.ladder + 1,
            noted=frozenset(),
        )
        return replace(state, deal=adopted)
    # A limit alone, which `auto` sizes the next deal by, closes nothing.
    is_edited = _ladder_as_written(before) != _ladder_as_written(setup.terms)
    if setup.on_change == "close" and is_edited and deal.closing is None:
        closing = replace(deal, closing=Closing.CLOSE, closing_field="spec.onChange")
        return replace(state, deal=closing)
    return state


def _ladder_as_written(terms: Terms) -> tuple[object, ...]:
    return terms.base_quote, terms.shape, Pace.of(terms)


def _for_all_open(terms: Terms, open_deals: int) -> Terms:
    """Return *terms* for deals that adopt them: all that are open share the limit."""
    return replace(terms, max_active_deals=max(terms.max_active_deals, open_deals))


def _commanded(state: State, event: Commanded) -> State:
    deal = state.live_deal
    match event.command:
        case Command.PAUSE:
            return replace(state, is_paused=True)
        case Command.UNPAUSE:
            return replace(state, is_paused=False)
        case Command.DRAIN:
            return replace(state, is_draining=True)
        case Command.UNDRAIN:
            return replace(state, is_draining=False)
        case Command.TAKE_OVER:
            is_open = deal is not None and deal.is_open and state.phase is not Phase.MANUAL
            return moved(state, Happening.TAKEN_OVER) if is_open else state
        case Command.CLOSE:
            if deal is not None and deal.closing is None:
                deal = replace(deal, closing=Closing.CLOSE, closing_field=event.field)
            return replace(state, is_draining=True, deal=deal or state.deal)
        case Command.ABANDON:
            if deal is not None:
                deal = replace(deal, closing=Closing.ABANDON)
            return replace(state, is_draining=True, deal=deal or state.deal)
        case Command.RESUME:
            state = replace(state, is_paused=False, is_draining=False)
            if state.phase is Phase.HALTED:
                return moved(replace(state, rest_until_ms=state.at_ms), Happening.RESUMED)
            return state


def _cleared(state: State) -> tuple[State, tuple[Action, ...]]:
    """Return the phase that the books say, after an operator has looked, and what they record."""
    deal = state.deal
    if deal is None:
        return moved(state, Happening.CLEARED_FLAT), ()
    kept = books(deal, state.setup)
    is_held = kept.average is not None and not is_dust(
        kept.position_base, kept.average, state.setup.market
    )
    done: list[Action] = []
    before, is_over = deal, not (is_held or deal.resting)
    if before.is_over and not is_over:
        state = taken_back(state, before)
        deal = replace(deal, closed_at_ms=0)
    deal = replace(deal, is_open=bool(deal.is_open or kept.entered_base), is_over=is_over)
    if deal.is_open and (not before.is_open or (before.is_over and not is_over)):
        done.append(DealOpened(deal.number, state.setup.entry_side, state.at_ms))
    state = replace(state, deal=deal)
    if deal.is_open and deal.is_over and not deal.closed_at_ms:
        state = booked(state, deal, done)
    if deal.is_over or not deal.is_open:
        return moved(state, Happening.CLEARED_FLAT), tuple(done)
    is_recovering = deal.recovery_since_ms is not None
    happening = Happening.CLEARED_RECOVERY if is_recovering else Happening.CLEARED_OPEN
    return moved(state, happening), tuple(done)
