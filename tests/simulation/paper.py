"""What must hold of bots that trade on paper: no exchange has books of theirs, so prices judge."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from decimal import Decimal
from operator import itemgetter
from typing import TYPE_CHECKING

from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import Side
from backfuturectl.model.records import PAPER, FillRecord, OrderRecord
from backfuturectl.reconcile.seats import Seat
from tests.simulation.clockwork import now
from tests.simulation.invariants import (
    BrokenError,
    DealBooks,
    Trader,
    margin_of,
    must_not_oversell,
)

if TYPE_CHECKING:
    from tests.simulation.world import Daemon, World

SEEN_MS = 15_000
"""How old the price may be that an order filled at: what polling, a slow answer and a daemon that
was away for a moment take."""


def check(w: World, daemon: Daemon) -> None:
    """Raise BrokenError for what does not hold of the deals on paper right now."""
    assert daemon.store is not None
    margins: dict[str, Decimal] = {}
    for trader, seat in _seats(w, daemon):
        view = seat.bot.view()
        if view.deal_number is None:
            continue
        w.visited.add("deal on paper")
        deal = f"{trader.bot}#{view.deal_number}"
        rows = now(daemon.store.orders(trader.bot, deal))
        books = _books(rows, now(daemon.store.fills(trader.bot, deal=deal)))
        books.leverage = seat.planned.spec.leverage or 1
        must_not_oversell(trader, view.deal_number, books)
        margin = margin_of(books, trader)
        margins[trader.strategy] = margins.get(trader.strategy, ZERO) + margin
        if margins[trader.strategy] > trader.limit:
            raise BrokenError(
                f"{trader.strategy}: margin {margins[trader.strategy]:.4f} on paper is above its "
                f"limit of {trader.limit}: {books}"
            )


def differs(w: World, daemon: Daemon) -> str:
    """Compare the journal with the paper exchanges and with itself; return the first difference."""
    assert daemon.store is not None
    for trader, seat in _seats(w, daemon):
        assert seat.paper is not None
        for order in seat.paper._venue.orders("paper"):
            row = now(daemon.store.order(order.client_id or ""))
            if row is None:
                return f"{trader.bot}: {order.client_id} is on paper and not in the journal"
            if (row.status, row.filled_base, row.cost_quote) != (
                order.status,
                order.filled_base,
                order.filled_quote,
            ):
                return f"{trader.bot}: the journal has {row}, the paper exchange {order}"
    for trader in w.ledger.traders.values():
        text = _journal_differs(w, daemon, trader)
        if text:
            return f"{trader.bot} on paper: {text}"
    return ""


def _journal_differs(w: World, daemon: Daemon, trader: Trader) -> str:
    """Compare rows with executions, executions with prices, and results with both."""
    store = daemon.store
    assert store is not None
    rows = [row for row in now(store.orders(trader.bot)) if row.environment == PAPER]
    if not rows:
        return ""
    names = {row.client_order_id: row for row in rows}
    fills = [fill for fill in now(store.fills(trader.bot)) if fill.client_order_id in names]
    for row in rows:
        mine = [fill for fill in fills if fill.client_order_id == row.client_order_id]
        amount = sum((fill.amount_base for fill in mine), ZERO)
        cost = sum((fill.amount_base * fill.price for fill in mine), ZERO)
        if (amount, cost) != (row.filled_base, row.cost_quote):
            return f"{row} has the executions {mine}"
    for fill in fills:
        if not _was_there(w, trader, fill):
            return f"{fill} is at a price that {trader.symbol} did not have"
    for deal in now(store.deals(trader.bot)):
        if deal.environment != PAPER:
            continue
        mine = [row for row in rows if row.deal == deal.deal]
        books = _books(mine, fills)
        result = trader.sign * (books.left_quote - books.entered_quote) - books.quote_fee
        if deal.closed_at_ms is not None and deal.result_quote != result:
            return f"deal {deal.number} made {result}, the journal says {deal.result_quote}"
    return ""


def _was_there(w: World, trader: Trader, fill: FillRecord) -> bool:
    """Return whether the real price has been where *fill* says, shortly before it.

    A buyer pays no less than the last price, one who sells gets no more.
    """
    path = w.path[trader.symbol]
    first, end = (
        bisect_right(path, at_ms, key=itemgetter(0)) for at_ms in (fill.at_ms - SEEN_MS, fill.at_ms)
    )
    prices = [price for _, price in path[first:end]]
    if not prices:
        return False
    return min(prices) <= fill.price if fill.side is Side.BUY else max(prices) >= fill.price


def _books(rows: Iterable[OrderRecord], fills: Iterable[FillRecord]) -> DealBooks:
    books = DealBooks()
    names = {row.client_order_id for row in rows}
    for row in rows:
        rest = row.amount_base - row.filled_base if row.status.may_rest else ZERO
        books.is_resting |= row.status.may_rest
        if row.leg.kind.is_adding:
            books.entered_base += row.filled_base
            books.entered_quote += row.cost_quote
            books.adding_quote += rest * row.price
        else:
            books.left_base += row.filled_base
            books.left_quote += row.cost_quote
            books.exits_base += rest if row.trigger_price is None else ZERO
            books.was_stopped |= row.trigger_price is not None and row.filled_base > 0
    for fill in fills:
        if fill.client_order_id in names and fill.fee is not None:
            books.quote_fee += fill.fee.amount
    return books


def _seats(w: World, daemon: Daemon) -> Iterable[tuple[Trader, Seat]]:
    for (installation, _), trader in w.ledger.traders.items():
        seat = daemon.c.strategies.seats.get(trader.bot)
        if installation == daemon.engines.installation and seat is not None and seat.paper:
            yield trader, seat
