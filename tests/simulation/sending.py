"""What must hold when an order leaves a daemon, judged by the state that decided it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from backfuturectl.exchanges.candles import Span, closed
from backfuturectl.model.candles import Rsi
from backfuturectl.model.ids import OrderName, parse_client_order_id
from backfuturectl.model.market import HUNDRED, ZERO, MarketKind
from backfuturectl.model.orders import LegKind, NewOrder, OrderStatus, OrderType, Side
from backfuturectl.reconcile.seats import Seat
from backfuturectl.strategy.averaging.closing import DAY_MS
from backfuturectl.strategy.averaging.state import Phase
from backfuturectl.strategy.base import Gate
from backfuturectl.strategy.indicators import HISTORY, rsi
from backfuturectl.strategy.presets import Terms
from tests.simulation.clockwork import now
from tests.simulation.exchange import STRANGERS
from tests.simulation.invariants import BrokenError, Trader

if TYPE_CHECKING:
    from tests.simulation.world import Daemon, World

_ADDING_PHASES = {
    LegKind.BASE: frozenset({Phase.FLAT}),
    LegKind.RUNG: frozenset({Phase.ACTIVE, Phase.RECOVERY}),
}

SET_APART_S = 10.0
"""How long ago a deal may have been set apart when a new one begins elsewhere: what a commit and a
request take."""


def must_hold(w: World, order: NewOrder, account: str, daemon: Daemon) -> None:
    """Raise BrokenError where *order* must not be sent through *account*."""
    name = parse_client_order_id(order.client_order_id)
    if name is None:
        raise BrokenError(f"{order.client_order_id} is no id of ours")
    trader = w.ledger.traders[name.installation, name.bot]
    if account in STRANGERS:
        if name.leg.kind is not LegKind.BASE:
            raise BrokenError(f"{order.client_order_id} of an open deal is sent to {account}")
    elif trader.account != account:
        raise BrokenError(f"{order.client_order_id} of {trader.bot} is sent through {account}")
    if trader.bot in w.shut_bots and daemon is w.daemons[0]:
        raise BrokenError(f"{trader.bot} must stay shut and sends {order}")
    row = w.status_of(daemon, order.client_order_id)
    if row != OrderStatus.INTENDED:
        raise BrokenError(f"{order.client_order_id} is sent while the store says {row}")
    if daemon.controller is None or account in STRANGERS:
        return  # it has no money, so whatever begins there is refused
    seat = daemon.c.strategies.seats.get(trader.bot)
    if seat is None:
        if name.leg.kind.is_adding:
            raise BrokenError(f"{order.client_order_id} is sent by a bot that is not on the books")
        return
    if seat.paper is not None:
        raise BrokenError(f"{trader.bot} trades on paper and sends {order.client_order_id}")
    state = seat.bot._stepper._state
    if name.leg.kind.is_adding:
        _may_add(w, order, name=name, trader=trader, daemon=daemon, seat=seat)
        if name.leg.kind is LegKind.BASE:
            _may_begin(w, order, name=name, trader=trader, daemon=daemon, seat=seat)
    elif name.leg.kind is LegKind.TAKE_PROFIT and order.type is OrderType.MARKET:
        w.visited.update({"trailed step"} if state.setup.terms.steps else ())


def _may_add(
    w: World, order: NewOrder, *, name: OrderName, trader: Trader, daemon: Daemon, seat: Seat
) -> None:
    bot, state = seat.bot, seat.bot._stepper._state
    terms: Terms = state.setup.terms
    what = order.client_order_id
    line = daemon.c.lines.line(trader.account)
    if line.report is not None and not line.is_online:
        raise BrokenError(f"{what} adds while {trader.account} is {line.report.outcome}")
    if state.phase not in _ADDING_PHASES[name.leg.kind]:
        raise BrokenError(f"{what} adds in {state.phase}")
    if bot.gate[0] is not Gate.OPEN:
        raise BrokenError(f"{what} adds while the gate is {bot.gate}")
    if terms.max_order_notional is not None and (
        order.amount_base * order.price > terms.max_order_notional
    ):
        raise BrokenError(f"{what} is larger than maxOrderNotional: {order}")
    if trader.kind is MarketKind.FUTURES:
        if (order.leverage, order.margin_mode) != (terms.leverage, terms.margin_mode):
            raise BrokenError(f"{what} has {order.leverage} {order.margin_mode}: {terms}")
        w.visited.update({"cross margin"} if order.margin_mode == "cross" else ())
    if name.leg.kind is not LegKind.RUNG:
        return
    deal = state.deal
    if terms.max_deal_age_ms is not None and (
        state.at_ms >= deal.base.placed_at_ms + terms.max_deal_age_ms
    ):
        raise BrokenError(f"{what} adds to a deal that is older than maxDealAge")
    w.visited.update({"rung from the last fill"} if deal.shape.reference == "lastFill" else ())
    if state.phase is Phase.RECOVERY:
        _must_improve(w, order, name, seat)


def _must_improve(w: World, order: NewOrder, name: OrderName, seat: Seat) -> None:
    view, state = seat.bot.view(), seat.bot._stepper._state
    sign = 1 if order.side is Side.BUY else -1
    if view.average is None or sign * (view.average - order.price) <= 0:
        raise BrokenError(
            f"{order.client_order_id} at {order.price} moves the average of {view.average} "
            "against the deal in RECOVERY"
        )
    is_extra = name.leg.index > state.deal.shape.max_orders
    w.visited.add("extra add-on" if is_extra else "strict add-on")


def _may_begin(
    w: World, order: NewOrder, *, name: OrderName, trader: Trader, daemon: Daemon, seat: Seat
) -> None:
    state, what = seat.bot._stepper._state, order.client_order_id
    terms: Terms = state.setup.terms
    open_deals = {
        bot
        for bot, other in daemon.c.strategies.of(trader.strategy).items()
        if other is not seat and other.bot.view().deal_number is not None
    }
    most = seat.planned.spec.max_active_deals or 1
    if len(open_deals) + 1 > most and not name.attempt:
        raise BrokenError(f"{what} begins a deal beyond {most}")
    if trader.via:
        first = daemon.c.strategies.seats.get(trader.first)
        was_s = w.set_apart_s.get((daemon.name, trader.first), -SET_APART_S)
        is_apart = first is not None and first.bot.view().is_set_apart
        if not is_apart and w.now_s() - was_s >= SET_APART_S:
            raise BrokenError(f"{what} begins a deal elsewhere while {trader.first} is well")
    for other in open_deals:
        if other.startswith(f"{trader.bot}@"):
            raise BrokenError(f"{what} begins a deal while {other} holds one")
    window = state.setup.windows.current(state.at_ms)
    if window is None:
        raise BrokenError(f"{what} begins a deal outside of the schedule")
    if terms.entry_trigger == "schedule":
        _once(w, daemon, trader, name, f"window {window}")
    _must_be_triggered(w, what, trader, state)
    if terms.entry_rsi is not None:
        _once(w, daemon, trader, name, f"candle {state.reading.closed_at_ms}")
    _must_not_have_lost_too_much(what, trader, daemon, terms, state.at_ms)
    if trader.kind is MarketKind.FUTURES:
        setting = w.venue.setting(trader.account, trader.symbol)
        if (setting.leverage, setting.margin_mode.value) != (terms.leverage, terms.margin_mode):
            raise BrokenError(f"{what} begins a deal while the exchange has {setting}")
    w.visited.add(f"{terms.entry_trigger} entry")


def _once(w: World, daemon: Daemon, trader: Trader, name: OrderName, what: str) -> None:
    """Let *what* begin one deal and no more; an older store cannot know of it."""
    if w.ledger.forgives_unfilled:
        return
    number = w.begun.setdefault((daemon.name, trader.bot, what), name.deal)
    if number != name.deal:
        raise BrokenError(f"{what} began deal {number} of {trader.bot}, and now {name.deal}")


def _must_be_triggered(w: World, what: str, trader: Trader, state: Any) -> None:
    """Check the entry's price, spread and reading against what the exchange itself has shown."""
    terms: Terms = state.setup.terms
    shown = w.shown[trader.symbol]
    if terms.max_spread_pct is not None and not any(
        2 * HUNDRED * (ask - bid) <= terms.max_spread_pct * (ask + bid) for _, _, bid, ask in shown
    ):
        raise BrokenError(f"{what} begins a deal while bid and ask are far apart: {shown[-1]}")
    price = terms.entry_price
    if price is not None and not any(
        last <= price if terms.entry_trigger == "priceBelow" else last >= price
        for _, last, _, _ in shown
    ):
        raise BrokenError(f"{what} begins a deal on the wrong side of {price}: {shown[-1]}")
    if terms.entry_rsi is None:
        return
    value = reading(w, trader.symbol, terms.entry_rsi.indicator, state.reading.closed_at_ms)
    if value != state.reading.value:
        raise BrokenError(f"{what}: the RSI is {value}, the bot has read {state.reading}")
    is_there = (
        value <= terms.entry_rsi.threshold
        if terms.entry_rsi.is_below
        else value >= terms.entry_rsi.threshold
    )
    if not is_there:
        raise BrokenError(f"{what} begins a deal at an RSI of {value}: {terms.entry_rsi}")


def reading(w: World, symbol: str, indicator: Rsi, closed_at_ms: int) -> Decimal | None:
    """Return what the exchange's own candles up to then read."""
    span = Span(indicator.interval, HISTORY, closed_at_ms)
    bars = w.venue.bars(symbol, range(span.first_ms, closed_at_ms, indicator.interval.ms))
    candles = closed(((bar.at_ms, bar.close) for bar in bars), span)
    return rsi([candle.close for candle in candles], indicator.period)


def _must_not_have_lost_too_much(
    what: str, trader: Trader, daemon: Daemon, terms: Terms, at_ms: int
) -> None:
    if terms.max_daily_loss_pct is None:
        return
    assert daemon.store is not None
    lost = sum(
        (
            max(-(deal.result_quote or ZERO), ZERO)
            for deal in now(daemon.store.deals(trader.bot))
            if deal.closed_at_ms is not None and deal.closed_at_ms // DAY_MS == at_ms // DAY_MS
        ),
        ZERO,
    )
    most = terms.margin_limit / terms.max_active_deals * terms.max_daily_loss_pct / HUNDRED
    if lost >= most:
        raise BrokenError(f"{what} begins a deal after {lost} were lost today, allowed are {most}")
