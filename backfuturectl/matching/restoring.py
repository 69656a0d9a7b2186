"""Putting orders and positions back as they once stood, for a venue whose memory is elsewhere.

Nothing is matched, charged or refused here: what is put back had been taken before.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from backfuturectl.matching.account import Account
from backfuturectl.matching.execution import (
    fill_order,
    fillable,
    finish_order,
    note_holder,
    with_hold,
)
from backfuturectl.matching.floor import Floor
from backfuturectl.matching.intake import new_order
from backfuturectl.matching.margin import Position
from backfuturectl.matching.values import Listing, OrderRequest, VenueOrder
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import Side


def restore_order(
    floor: Floor,
    owner: Account,
    listing: Listing,
    request: OrderRequest,
    *,
    filled_base: Decimal,
    filled_quote: Decimal,
    taken_at: Decimal,
    at_ms: int,
) -> VenueOrder:
    """Put an open order back onto the book, and return it.

    A stop order waits again, whether it had triggered or not. A market order never rests: its rest
    is executed at *taken_at*, the price of its moment.
    """
    order = new_order(floor, owner, listing, request, at_ms)
    order = replace(order, filled_base=filled_base, filled_quote=filled_quote)
    if order.trigger is None and order.price is not None:
        order = with_hold(floor, order, None)
    elif order.trigger is None:
        market = listing.market
        paid_in = market.quote if order.side is Side.BUY else market.base
        order = replace(order, held_currency=paid_in)
    floor.owners[order.serial] = owner
    if order.client_id is not None:
        owner.serial_by_client_id[order.client_id] = order.serial
    owner.put_order(order)
    if order.trigger is not None:
        floor.books[listing.symbol].stops[order.serial] = None
        return order
    if order.price is not None:
        floor.books[listing.symbol].rest(order)
        return order
    floor.marks.setdefault(listing.symbol, taken_at)  # what it leaves held is shown at some price
    amount = fillable(floor, owner, listing, order, taken_at)
    if amount > 0:
        fill_order(
            floor,
            owner,
            listing,
            order,
            amount=amount,
            price=taken_at,
            is_maker=False,
            at_ms=at_ms,
        )
    order = owner.orders[order.serial]
    if order.is_open:
        finish_order(floor, owner, order, at_ms)
    return owner.orders[order.serial]


def restore_trade(
    floor: Floor,
    owner: Account,
    listing: Listing,
    side: Side,
    *,
    amount_base: Decimal,
    price: Decimal,
    at_ms: int,
) -> None:
    """Carry an execution of before into the futures position."""
    setting = floor.setting(owner, listing)
    position = owner.positions.setdefault(
        listing.symbol, Position(setting.margin_mode, setting.leverage, opened_at_ms=at_ms)
    )
    sign = 1 if side is Side.BUY else -1
    closing = min(amount_base, max(-sign * position.amount_base, ZERO))
    if closing:
        position.reduce(closing, price)
    if closing < amount_base:
        position.add(amount_base - closing, price, side=side, leverage=setting.leverage)
    floor.marks[listing.symbol] = price
    note_holder(floor, owner, listing.symbol)
