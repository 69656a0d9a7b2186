"""Resting orders of one market in price-time order, and the depth left in the current price update.

Orders that are gone stay in the heaps until they come up; the venue says which are still open.
"""

from __future__ import annotations

import heapq
from decimal import Decimal
from typing import Final

from backfuturectl.matching.values import Quote, VenueOrder
from backfuturectl.model.orders import Side

_INFINITY: Final = Decimal("Infinity")


class Book:
    """One market's resting orders.

    Attributes:
        quote: None before the first price.
        depth_base: Base units that still trade per side before the next price; None for endless.
        stops: Serials of stop orders that are not in the market, oldest first; some may be gone.
    """

    def __init__(self) -> None:
        self.quote: Quote | None = None
        self.depth_base: dict[Side, Decimal | None] = {Side.BUY: None, Side.SELL: None}
        self.stops: dict[int, None] = {}
        self._heaps: dict[Side, list[tuple[Decimal, int]]] = {Side.BUY: [], Side.SELL: []}

    def rest(self, order: VenueOrder) -> None:
        """Put *order* in its place; a market order that waits for depth comes first."""
        if order.price is None:
            key = -_INFINITY
        else:
            key = -order.price if order.side is Side.BUY else order.price
        heapq.heappush(self._heaps[order.side], (key, order.serial))

    def first(self, side: Side) -> int | None:
        """Return the serial of the order that fills next, open or not."""
        heap = self._heaps[side]
        return heap[0][1] if heap else None

    def drop_first(self, side: Side) -> None:
        """Take the first order out."""
        heapq.heappop(self._heaps[side])

    def use_depth(self, side: Side, amount_base: Decimal) -> None:
        """Note that *amount_base* traded in this price update."""
        depth = self.depth_base[side]
        if depth is not None:
            self.depth_base[side] = depth - amount_base


def crosses(order: VenueOrder, quote: Quote) -> bool:
    """Return whether *order* takes at *quote*."""
    if order.price is None:
        return True
    return order.price >= quote.ask if order.side is Side.BUY else order.price <= quote.bid


def is_reached(order: VenueOrder, quote: Quote) -> bool:
    """Return whether a resting *order* trades at *quote*."""
    if order.price is None:
        return True
    if order.side is Side.BUY:
        return order.price >= min(quote.last, quote.ask)
    return order.price <= max(quote.last, quote.bid)


def taking_price(side: Side, quote: Quote) -> Decimal:
    """Return what a taker on *side* pays or gets."""
    return quote.ask if side is Side.BUY else quote.bid
