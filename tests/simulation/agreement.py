"""Whether a daemon runs what the files have, and its journal says what the exchange says."""

from __future__ import annotations

from decimal import Decimal

from backfuturectl.matching.values import VenueOrder
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import OrderStatus
from backfuturectl.model.records import ABANDONED, PAPER, OrderRecord
from backfuturectl.strategy.base import Gate
from tests.simulation import paper
from tests.simulation.clockwork import now
from tests.simulation.invariants import Trader, deal_books, parsed
from tests.simulation.world import Daemon, World

_NEVER_THERE = {OrderStatus.ABSENT, OrderStatus.REJECTED}


def not_ready(w: World, daemon: Daemon) -> str:
    """Return what is not as the files have it, empty when all is."""
    c = daemon.c
    for entry in (*c.registry.of_kind("Connection"), *c.registry.of_kind("Strategy")):
        ready = entry.status.ready if entry.status is not None else None
        used = entry.kind == "Strategy" or c.strategies.uses(entry.name)
        if used and (ready is None or not ready.status):
            return f"{entry.kind} {entry.name} is {ready}"
        if entry.kind == "Strategy" and not entry.is_current:
            return f"Strategy {entry.name} does not run the files' generation"
    if {e.name for e in c.registry.of_kind("Strategy")} != set(w.plans):
        return "the strategies are not those of the files"
    for name, seat in c.strategies.seats.items():
        if seat.bot.gate[0] is not Gate.OPEN:
            return f"{name} is {seat.bot.gate}"
        if seat.bot.last_error is not None or seat.supervisor.trouble is not None:
            return f"{name}: {seat.bot.last_error} {seat.supervisor.trouble}"
    wanted = {bot for plan in w.plans.values() for bot in plan.bots}
    if set(c.strategies.seats) != wanted:
        views = {name: seat.bot.view() for name, seat in c.strategies.seats.items()}
        return f"bots are {views}, wanted are {sorted(wanted)}"
    return ""


def books_differ(w: World, daemon: Daemon) -> str:
    """Compare journal and exchange to the last digit; return the first difference."""
    assert daemon.store is not None
    w.ledger.update()
    theirs = {
        order.client_id: order
        for account in w.keys
        for order in w.venue.orders(account)
        if order.client_id and order.client_id.startswith("bf")
    }
    rows: dict[str, OrderRecord] = {row.client_order_id: row for row in now(daemon.store.orders())}
    for name, order in theirs.items():
        row = rows.get(name)
        if row is None:
            return f"{name} is not in the journal"
        if (row.status, row.filled_base, row.cost_quote) != (
            order.status,
            order.filled_base,
            order.filled_quote,
        ):
            return f"{name}: the journal has {row}, the exchange {order}"
    for name, row in rows.items():
        is_live = row.environment != PAPER
        if is_live and name not in theirs and row.status not in _NEVER_THERE:
            return f"{name} is {row.status} and was never at the exchange"
    for (installation, code), trader in w.ledger.traders.items():
        text = _trader_differs(w, daemon, trader, f"bf{installation}{code}", theirs)
        if text:
            return f"{trader.bot}: {text}"
    return paper.differs(w, daemon)


def _trader_differs(
    w: World, daemon: Daemon, trader: Trader, prefix: str, theirs: dict[str, VenueOrder]
) -> str:
    store = daemon.store
    assert store is not None
    mine = [order for name, order in theirs.items() if name.startswith(prefix)]
    deals = {deal.number: deal for deal in now(store.deals(trader.bot))}
    told = [fill for fill in now(store.fills(trader.bot)) if fill.client_order_id in theirs]
    real = {
        str(fill.serial): fill
        for fill in w.venue.fills(trader.account, trader.symbol)
        if fill.client_id and fill.client_id.startswith(prefix)
    }
    missing = real.keys() - {fill.fill_id for fill in told}
    if len(told) != len(real) - len(missing):
        return f"fills are {[f.fill_id for f in told]}, at the exchange {sorted(real)}"
    for lost in missing:
        # What no list had for long is written when the deal is settled, and counts until then.
        name = real[lost].client_id or ""
        deal = deals.get(_deal_number(name))
        if name not in w.lost_fills or deal is None or deal.closed_at_ms is not None:
            return f"fill {real[lost]} is not in the journal, whose deal is {deal}"
    for fill in told:
        their = real[fill.fill_id]
        if (fill.price, fill.amount_base, fill.fee) != (
            their.price,
            their.amount_base,
            their.fee,
        ):
            return f"fill {fill} is {their} at the exchange"
    by_deal: dict[int, list[VenueOrder]] = {}
    for order in mine:
        by_deal.setdefault(_deal_number(order.client_id or ""), []).append(order)
    seat = daemon.c.strategies.seats.get(trader.bot)
    view = seat.bot.view() if seat is not None else None
    for number, orders in by_deal.items():
        books = deal_books(orders, trader)
        deal = deals.get(number)
        if deal is None:
            if books.entered_base:
                return f"deal {number} traded and is not in the journal"
            continue
        if deal.closed_at_ms is not None:
            left, until_ms = books.left_quote, None
            if deal.exit_leg == ABANDONED:  # what stays is its owner's, at what it has cost
                left, until_ms = left + books.held_cost, deal.closed_at_ms
            result = trader.sign * (left - books.entered_quote) - books.quote_fee
            result += funding(w, trader, orders, until_ms)
            if deal.result_quote != result:
                return f"deal {number} made {result}, the journal says {deal.result_quote}"
        elif view is None:
            return f"deal {number} is open and nobody tends it"
        elif view.position_base != trader.sign * books.held_base:
            return f"position {view.position_base}, by the fills {trader.sign * books.held_base}"
    return ""


def _deal_number(client_order_id: str) -> int:
    name = parsed(client_order_id)
    assert name is not None, "an order of ours"
    return name.deal


def funding(
    w: World, trader: Trader, orders: list[VenueOrder], until_ms: int | None = None
) -> Decimal:
    """Return what the exchange paid, or took, while the deal of *orders* held something.

    Args:
        w: The world.
        trader: Whose deal it is.
        orders: All of the deal's.
        until_ms: Until when it did; None for its last execution.
    """
    serials = {order.serial for order in orders}
    if trader.kind is MarketKind.SPOT:
        return Decimal(0)
    times = [
        fill.at_ms
        for fill in w.venue.fills(trader.account, trader.symbol)
        if fill.order_serial in serials
    ]
    end_ms = max(times) if until_ms is None else until_ms
    return sum(
        (
            one.payment_quote
            for one in w.venue.fundings(trader.account, trader.symbol, since_ms=min(times))
            if one.at_ms <= end_ms
        ),
        Decimal(0),
    )
