"""How a deal begins: whether one may, and its base order."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from backfuturectl.model.market import HUNDRED, ONE, ZERO, is_tradable
from backfuturectl.model.orders import Leg, LegKind, OrderStatus, OrderType
from backfuturectl.strategy.averaging.closing import DAY_MS, loss_reached
from backfuturectl.strategy.averaging.draft import Draft
from backfuturectl.strategy.averaging.ledger import is_dust, target_price
from backfuturectl.strategy.averaging.orders import entry
from backfuturectl.strategy.averaging.state import (
    INFINITE,
    NEVER_MS,
    Deal,
    Happening,
    Pace,
    Phase,
    Quiet,
    Reading,
    State,
    moved,
)
from backfuturectl.strategy.base import Action, Note, PriceSeen
from backfuturectl.strategy.presets import RsiTerms, Terms
from backfuturectl.strategy.proofs import prove_at
from backfuturectl.strategy.schedule import MINUTE_MS
from backfuturectl.strategy.violation import figure

PAUSE_AFTER_NO_FILL_MS: Final = 60_000
"""Rest after a base order that nobody filled."""

REFUSED_MS: Final = 30_000
"""First rest after an entry that was refused; doubled each time, up to an hour."""

REFUSED_MAX_MS: Final = 3_600_000


def begin(state: State, seen: PriceSeen, done: list[Action]) -> State:
    """Begin a deal at the price just *seen* if everything allows it; there is room for one."""
    if state.phase is not Phase.FLAT or not state.may_begin or state.at_ms < state.rest_until_ms:
        return state
    if resting_until_ms(state):
        return state
    if not _is_triggered(state):
        return _with_age_told(state, done)
    forbidden = _spread_note(state.setup.terms, seen)
    if forbidden is not None:
        return _told(state, done, forbidden)
    setup, number = state.setup, state.deals + 1
    assert state.price is not None
    found = prove_at(setup.sized, setup.rules, state.price)
    if found:
        return _refused(state, done, f"{found[0].code}: {found[0].message}")
    base = entry(setup, state.price)
    sellable = base.amount_base * (ONE - setup.terms.sign * setup.market.taker_fee)
    if not is_tradable(base.amount_base, base.price, setup.market) or is_dust(
        sellable, target_price(state.price, setup), setup.market
    ):
        return _refused(
            state,
            done,
            f"V-MIN: the base order of {figure(setup.base_quote)} {setup.market.quote} less its "
            "fee is below the exchange's minimum",
        )
    deal = Deal(
        number=number,
        base_quote=setup.base_quote,
        shape=setup.terms.shape,
        pace=Pace.of(setup.terms),
        share=setup.share,
        deals=setup.terms.max_active_deals,
    )
    draft = Draft.of(state, deal, state.price)
    draft.place(
        Leg(LegKind.BASE),
        type_=OrderType(setup.terms.entry_type),
        price=base.price,
        amount_base=base.amount_base,
        is_post_only=base.is_post_only,
        why=f"deal {number} opens at {state.price:f}",
        field="spec.entry",
    )
    done += draft.actions
    window = setup.windows.current(state.at_ms)
    return replace(
        state,
        deals=number,
        deal=draft.deal,
        last_window=window,
        used_reading_ms=state.reading.closed_at_ms if state.reading is not None else 0,
        noted=frozenset(),
    )


def resting_until_ms(state: State) -> int:
    """Return until when schedule or caps allow no new deal; zero when they allow one."""
    now_ms, setup = state.at_ms, state.setup
    if loss_reached(state):
        return (now_ms // DAY_MS + 1) * DAY_MS
    window = setup.windows.current(now_ms)
    is_used = setup.terms.entry_trigger == "schedule" and window == state.last_window
    if window is None or is_used:
        return (now_ms // MINUTE_MS + 1) * MINUTE_MS  # windows begin at whole minutes
    return 0


def quiet_before(state: State) -> Quiet:
    """Return until when prices begin no deal."""
    if state.phase is Phase.COOLDOWN:
        return Quiet(-INFINITE, INFINITE, state.rest_until_ms, wants_room=False)
    if state.phase is not Phase.FLAT or not state.may_begin:
        return Quiet(-INFINITE, INFINITE, NEVER_MS, wants_room=False)
    until_ms = max(state.rest_until_ms, resting_until_ms(state))
    if state.at_ms < until_ms:
        return Quiet(-INFINITE, INFINITE, until_ms, wants_room=False)
    price, rsi = state.setup.terms.entry_price, state.setup.terms.entry_rsi
    if rsi is not None and not _is_triggered(state):
        # The next reading is an event of its own; what is left is to notice when none comes.
        old_ms = _old_ms(rsi, state.reading) if state.reading is not None else 0
        until_ms = old_ms if state.at_ms < old_ms else NEVER_MS
        return Quiet(-INFINITE, INFINITE, until_ms, wants_room=False)
    if price is None or _is_triggered(state):
        until_ms = NEVER_MS
        if not state.setup.windows.is_always:
            until_ms = (state.at_ms // MINUTE_MS + 1) * MINUTE_MS
        return Quiet(-INFINITE, INFINITE, until_ms, wants_room=True)
    if state.setup.terms.entry_trigger == "priceBelow":
        return Quiet(price, INFINITE, NEVER_MS, wants_room=False)
    return Quiet(-INFINITE, price, NEVER_MS, wants_room=False)


def _is_triggered(state: State) -> bool:
    """Return whether price or indicator are where the file wants a deal to begin."""
    terms = state.setup.terms
    if terms.entry_rsi is not None:
        return _reads(state, terms.entry_rsi)
    if terms.entry_price is None or state.price is None:
        return True
    if terms.entry_trigger == "priceBelow":
        return state.price <= terms.entry_price
    return terms.entry_trigger != "priceAbove" or state.price >= terms.entry_price


def _reads(state: State, rsi: RsiTerms) -> bool:
    """Return whether a fresh reading lets a deal begin; each lets one begin, and no more."""
    reading = state.reading
    if reading is None or reading.of != str(rsi.indicator):
        return False
    if state.at_ms >= _old_ms(rsi, reading) or reading.closed_at_ms <= state.used_reading_ms:
        return False
    return reading.value <= rsi.threshold if rsi.is_below else reading.value >= rsi.threshold


def _old_ms(rsi: RsiTerms, reading: Reading) -> int:
    """Return when *reading* is too old to open anything: two closes should have come since."""
    return reading.closed_at_ms + 2 * rsi.indicator.interval.ms


def _with_age_told(state: State, done: list[Action]) -> State:
    """Say once that the newest reading is too old to open anything."""
    rsi, reading = state.setup.terms.entry_rsi, state.reading
    if rsi is None or reading is None or state.at_ms < _old_ms(rsi, reading):
        return state
    note = f"the newest {reading.of} is two candles old; no deal begins before the next one"
    return _told(state, done, Note("IndicatorTooOld", note, is_warning=True))


def unfilled(state: State, deal: Deal) -> State:
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


def _spread_note(terms: Terms, seen: PriceSeen) -> Note | None:
    """Return why bid and ask let no deal begin; None when they do."""
    limit_pct = terms.max_spread_pct
    if limit_pct is None:
        return None
    limit = f"a new deal waits for {figure(limit_pct)}% (caps.maxSpreadPct)"
    if seen.bid is None or seen.ask is None or not ZERO < seen.bid <= seen.ask:
        found = "the exchange tells no bid and ask, or impossible ones"
        return Note("SpreadUnknown", f"{found}; {limit}", is_warning=True)
    spread_pct = 2 * HUNDRED * (seen.ask - seen.bid) / (seen.ask + seen.bid)
    if spread_pct <= limit_pct:
        return None
    found = f"{seen.bid:f} is bid and {seen.ask:f} asked, {figure(spread_pct)}% apart"
    return Note("SpreadTooWide", f"{found}; {limit}", is_warning=True)


def _told(state: State, done: list[Action], note: Note) -> State:
    """Say once why no deal begins, until one does."""
    if note.reason in state.noted:
        return state
    done.append(note)
    return replace(state, noted=state.noted | {note.reason})


def _refused(state: State, done: list[Action], why: str) -> State:
    """Rest before the next try, and say why once."""
    if not state.failures:
        done.append(Note("EntryRefused", f"no deal begins: {why}", is_warning=True))
    failures = state.failures + 1
    return replace(state, failures=failures, rest_until_ms=state.at_ms + _refused_rest_ms(failures))


def _refused_rest_ms(failures: int) -> int:
    return int(min(REFUSED_MS * 2 ** min(failures - 1, 10), REFUSED_MAX_MS))
