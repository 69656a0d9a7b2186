"""What one price update does: resting orders fill, stops trigger, positions are liquidated."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from backfuturectl.matching.book import crosses, is_reached, taking_price
from backfuturectl.matching.execution import fill_order, fillable, finish_order, is_spent
from backfuturectl.matching.floor import Floor
from backfuturectl.matching.intake import enter_stop
from backfuturectl.matching.liquidation import liquidate_if_due
from backfuturectl.matching.values import Listing, Quote, VenueFill, VenueOrder
from backfuturectl.model.market import step_down
from backfuturectl.model.orders import Side


def move_price(floor: Floor, listing: Listing, quote: Quote) -> tuple[VenueFill, ...]:
    """Set the market's quote and return the fills it makes, in the order in which they happen."""
    symbol, at_ms = listing.symbol, quote.at_ms
    book = floor.books[symbol]
    before, book.quote = book.quote, quote
    depth = listing.fill_max_base
    if depth is not None:
        depth = step_down(depth, listing.market.amount_step)
    book.depth_base = {Side.BUY: depth, Side.SELL: depth}
    fills: list[VenueFill] = []
    for side in Side:
        fills.extend(_fill_reached(floor, listing, side, before, at_ms))
    floor.marks[symbol] = quote.last
    fills.extend(_trigger_stops(floor, listing, quote))
    for name in tuple(floor.holders.get(symbol, ())):
        fills.extend(liquidate_if_due(floor, floor.accounts[name], symbol, at_ms))
    return tuple(fills)


def _trigger_stops(floor: Floor, listing: Listing, quote: Quote) -> Iterator[VenueFill]:
    """Bring stop orders that the new price reached into the market, oldest first.

    A stop trades at the price that set it off, which may lie far beyond its own: where that price
    also liquidates the position, liquidation comes first.
    """
    stops = floor.books[listing.symbol].stops
    for serial in tuple(stops):
        owner = floor.owners[serial]
        order = owner.orders[serial]
        if not order.is_waiting:
            del stops[serial]
            continue
        assert order.trigger is not None  # or it would not wait
        if not order.trigger.is_reached(quote.last):
            continue
        del stops[serial]
        yield from liquidate_if_due(floor, owner, listing.symbol, quote.at_ms)
        order = owner.orders[serial]
        if order.is_waiting:
            known = len(owner.fills.get(listing.symbol, ()))
            enter_stop(floor, owner, listing, order, quote.at_ms)
            yield from owner.fills.get(listing.symbol, ())[known:]


def _fill_reached(
    floor: Floor, listing: Listing, side: Side, before: Quote | None, at_ms: int
) -> Iterator[VenueFill]:
    book = floor.books[listing.symbol]
    quote = book.quote
    assert quote is not None  # set by the caller
    while (serial := book.first(side)) is not None:
        owner = floor.owners[serial]
        order = owner.orders[serial]
        if not order.is_open:
            book.drop_first(side)
            continue
        depth = book.depth_base[side]
        if not is_reached(order, quote) or (depth is not None and depth <= 0):
            return
        price, is_maker = _resting_price(order, quote, before)
        floor.marks[listing.symbol] = price
        yield from liquidate_if_due(floor, owner, listing.symbol, at_ms)
        order = owner.orders[serial]
        if not order.is_open:
            continue
        amount = fillable(floor, owner, listing, order, price)
        if amount > 0:
            fill = fill_order(
                floor,
                owner,
                listing,
                order,
                amount=amount,
                price=price,
                is_maker=is_maker,
                at_ms=at_ms,
            )
            if fill is not None:
                yield fill
        order = owner.orders[serial]
        if order.is_open and is_spent(order, amount, book.depth_base[side]):
            finish_order(floor, owner, order, at_ms)


def _resting_price(order: VenueOrder, quote: Quote, before: Quote | None) -> tuple[Decimal, bool]:
    """Return at what price a reached order fills, and whether as maker.

    An order that already crossed and only waited for depth goes on taking; one that the price came
    to fills at its own price, and one that never takes always does.
    """
    taking = taking_price(order.side, quote)
    if order.price is None:
        return taking, False
    if order.is_post_only or before is None or not crosses(order, before):
        return order.price, True
    better = min if order.side is Side.BUY else max
    return better(order.price, taking), False
