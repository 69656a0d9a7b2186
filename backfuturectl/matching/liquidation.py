"""Taking over positions whose margin is used up."""

from __future__ import annotations

from decimal import Decimal

from backfuturectl.matching.account import Account
from backfuturectl.matching.execution import book_result, close_order, note_holder, record_fill
from backfuturectl.matching.floor import Floor
from backfuturectl.matching.values import (
    CloseReason,
    EntryKind,
    MarginMode,
    TimeInForce,
    VenueFill,
    VenueOrder,
    Wallet,
)
from backfuturectl.model.market import ZERO, round_price
from backfuturectl.model.orders import Fee, OrderType, Side


def liquidate_if_due(
    floor: Floor, owner: Account, symbol: str, at_ms: int
) -> tuple[VenueFill, ...]:
    """Take the account's position over if the present price exhausts its margin."""
    position = owner.positions.get(symbol)
    if position is None or not position.amount_base:
        return ()
    market = floor.listings[symbol].market
    if position.margin_mode is MarginMode.ISOLATED:
        if not position.is_liquidated(floor.marks[symbol], market.maintenance_margin):
            return ()
        return (_liquidate(floor, owner, symbol, position.bankruptcy_price(), at_ms),)
    view = floor.view(owner)
    if view.cross_equity(market.quote) > view.cross_maintenance(market.quote):
        return ()
    fills = tuple(
        _liquidate(floor, owner, other, floor.marks[other], at_ms)
        for other, held in tuple(owner.positions.items())
        if held.amount_base
        and held.margin_mode is MarginMode.CROSS
        and floor.listings[other].market.quote == market.quote
    )
    _insure(floor, owner, market.quote, at_ms)
    return fills


def _liquidate(floor: Floor, owner: Account, symbol: str, price: Decimal, at_ms: int) -> VenueFill:
    """Take a position over at *price*, on the tick; an isolated one loses exactly its margin.

    What the tick is kinder to the holder than *price* is the exchange's fee.
    """
    for order in tuple(owner.open_orders.get(symbol, {}).values()):
        close_order(floor, owner, order, CloseReason.LIQUIDATION, at_ms)
    listing = floor.listings[symbol]
    position = owner.positions[symbol]
    size, margin = abs(position.amount_base), position.margin_quote
    side = Side.SELL if position.sign > 0 else Side.BUY
    price = round_price(price, listing.market, is_buy=side is Side.BUY)
    order = VenueOrder(
        serial=len(floor.owners) + 1,
        account=owner.name,
        symbol=symbol,
        side=side,
        type=OrderType.MARKET,
        amount_base=size,
        cost_quote=None,
        price=None,
        client_id=None,
        time_in_force=TimeInForce.IOC,
        is_post_only=False,
        is_reduce_only=True,
        leverage=position.leverage,
        margin_mode=position.margin_mode,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
        is_liquidation=True,
    )
    floor.owners[order.serial] = owner
    owner.put_order(order)
    is_isolated = position.margin_mode is MarginMode.ISOLATED
    realised = position.reduce(size, price)
    note_holder(floor, owner, symbol)
    fee = Fee(listing.market.quote, realised + margin if is_isolated else ZERO)
    serial = floor.fill_count + 1
    book_result(owner, listing, realised, fee, fill_serial=serial, at_ms=at_ms)
    fill = VenueFill(
        serial=serial,
        order_serial=order.serial,
        client_id=None,
        account=owner.name,
        symbol=symbol,
        side=side,
        price=price,
        amount_base=size,
        cost_quote=size * price,
        fee=fee,
        fee_rate=ZERO,
        is_maker=False,
        at_ms=at_ms,
        realised_quote=realised,
        is_liquidation=True,
    )
    record_fill(floor, owner, order, fill)
    return fill


def _insure(floor: Floor, owner: Account, currency: str, at_ms: int) -> None:
    """Bring a wallet that a cross liquidation overdrew back up to its isolated margins."""
    missing = -floor.view(owner).cross_equity(currency)
    if missing > 0:
        owner.book(Wallet.FUTURES, currency, missing, kind=EntryKind.INSURANCE, at_ms=at_ms)
