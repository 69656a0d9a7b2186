"""Executing orders: fills, fees, balances, positions, and how an order ends."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from backfuturectl.matching.account import Account
from backfuturectl.matching.book import taking_price
from backfuturectl.matching.floor import Floor
from backfuturectl.matching.margin import Position, fee_of, initial_margin
from backfuturectl.matching.values import (
    ChangeKind,
    CloseReason,
    EntryKind,
    FeeMode,
    Listing,
    Quote,
    VenueFill,
    VenueOrder,
    Wallet,
)
from backfuturectl.model.market import ONE, ZERO, step_down, step_up
from backfuturectl.model.orders import Fee, OrderStatus, Side


def fillable(
    floor: Floor, owner: Account, listing: Listing, order: VenueOrder, price: Decimal
) -> Decimal:
    """Return how much of *order* trades now at *price*, for depth, cost and position."""
    market = listing.market
    if order.cost_quote is None:
        amount = order.remaining_base
    else:
        amount = step_down(order.remaining_quote / price, market.amount_step)
    if order.is_reduce_only:
        amount = min(amount, reducible(owner, order.symbol, order.side))
    depth = floor.books[order.symbol].depth_base[order.side]
    return amount if depth is None else min(amount, depth)


def fill_order(
    floor: Floor,
    owner: Account,
    listing: Listing,
    order: VenueOrder,
    *,
    amount: Decimal,
    price: Decimal,
    is_maker: bool,
    at_ms: int,
) -> VenueFill | None:
    """Execute *amount*; None, and the order is canceled, when the money is not there."""
    cost = amount * price
    rate = listing.market.maker_fee if is_maker else listing.market.taker_fee
    fee = _fee(floor, owner, listing, order.side, amount=amount, cost=cost, rate=rate)
    if not _is_covered(floor, owner, listing, order, amount=amount, cost=cost, fee=fee):
        close_order(floor, owner, order, CloseReason.FUNDS, at_ms)
        return None
    serial = floor.fill_count + 1
    realised = ZERO
    if listing.is_futures:
        realised = _move_position(
            floor, owner, listing, order, amount=amount, price=price, at_ms=at_ms
        )
        book_result(owner, listing, realised, fee, fill_serial=serial, at_ms=at_ms)
    else:
        _swap(
            owner,
            listing,
            order.side,
            amount=amount,
            cost=cost,
            fee=fee,
            fill_serial=serial,
            at_ms=at_ms,
        )
    floor.books[order.symbol].use_depth(order.side, amount)
    fill = VenueFill(
        serial=serial,
        order_serial=order.serial,
        client_id=order.client_id,
        account=owner.name,
        symbol=order.symbol,
        side=order.side,
        price=price,
        amount_base=amount,
        cost_quote=cost,
        fee=fee,
        fee_rate=rate,
        is_maker=is_maker,
        at_ms=at_ms,
        realised_quote=realised,
    )
    record_fill(floor, owner, order, fill)
    return fill


def record_fill(floor: Floor, owner: Account, order: VenueOrder, fill: VenueFill) -> None:
    """Store *fill* and what it makes of its order."""
    floor.fill_count = fill.serial
    owner.fills.setdefault(fill.symbol, []).append(fill)
    filled = replace(
        order,
        filled_base=order.filled_base + fill.amount_base,
        filled_quote=order.filled_quote + fill.cost_quote,
        fees=_with_fee(order.fees, fill.fee),
        updated_at_ms=fill.at_ms,
    )
    if order.amount_base is not None and not filled.remaining_base:
        filled = replace(filled, status=OrderStatus.FILLED)
    held = with_hold(floor, filled, floor.books[order.symbol].quote)
    if held.held:
        # A market order that waits for depth is valued anew; it cannot hold what is not there.
        free = floor.available(owner, Wallet.SPOT, held.held_currency) + order.held
        held = replace(held, held=min(held.held, free))
    owner.put_order(held)
    floor.note(ChangeKind.ORDER_FILLED, owner, order)
    if filled.symbol in owner.positions:
        _cancel_irreducible(floor, owner, filled.symbol, fill.at_ms)


def _cancel_irreducible(floor: Floor, owner: Account, symbol: str, at_ms: int) -> None:
    """Cancel reduce-only orders on the book that have nothing left to reduce.

    Stop orders stay: they are judged when they trigger, and whoever placed them cleans them up.
    """
    for order in tuple(owner.open_orders.get(symbol, {}).values()):
        if order.is_waiting:
            continue
        if order.is_reduce_only and not reducible(owner, symbol, order.side):
            close_order(floor, owner, order, CloseReason.REDUCE_ONLY, at_ms)


def _fee(
    floor: Floor,
    owner: Account,
    listing: Listing,
    side: Side,
    *,
    amount: Decimal,
    cost: Decimal,
    rate: Decimal,
) -> Fee:
    market = listing.market
    in_quote = Fee(market.quote, fee_of(cost, rate))
    received = Fee(market.base, fee_of(amount, rate)) if side is Side.BUY else in_quote
    match FeeMode.QUOTE if listing.is_futures else listing.fee_mode:
        case FeeMode.QUOTE:
            return in_quote
        case FeeMode.RECEIVED:
            return received
        case FeeMode.COIN:
            return _coin_fee(floor, owner, listing, in_quote) or received


def _coin_fee(floor: Floor, owner: Account, listing: Listing, in_quote: Fee) -> Fee | None:
    """Return the fee in the third coin; None without a price for it or enough of it."""
    coin = listing.fee_coin
    price = floor.marks.get(f"{coin}/{listing.market.quote}")
    if coin is None or price is None:
        return None
    fee = Fee(coin, fee_of(in_quote.amount, ONE / price))
    return fee if fee.amount <= floor.available(owner, Wallet.SPOT, coin) else None


def _is_covered(
    floor: Floor,
    owner: Account,
    listing: Listing,
    order: VenueOrder,
    *,
    amount: Decimal,
    cost: Decimal,
    fee: Fee,
) -> bool:
    if not listing.is_futures:
        pays_quote = order.side is Side.BUY
        needed = cost if pays_quote else amount
        if pays_quote and fee.currency == order.held_currency:
            needed += fee.amount
        available = floor.available(owner, Wallet.SPOT, order.held_currency)
        return needed <= available + order.held
    closing = min(amount, reducible(owner, order.symbol, order.side))
    if closing == amount:
        return True
    view = floor.view(owner)
    overview = view.overview(listing.market.quote)
    # The order's own margin is free for this fill; profit of a closing part is not counted.
    free = overview.available_quote + view.order_margin(order.symbol)
    free -= view.order_margin(order.symbol, without=order.serial)
    opening_cost = cost * (amount - closing) / amount
    return initial_margin(opening_cost, order.leverage) + fee.amount <= free


def _swap(
    owner: Account,
    listing: Listing,
    side: Side,
    *,
    amount: Decimal,
    cost: Decimal,
    fee: Fee,
    fill_serial: int,
    at_ms: int,
) -> None:
    sign = 1 if side is Side.BUY else -1
    market = listing.market
    for currency, change, kind in (
        (market.base, sign * amount, EntryKind.TRADE),
        (market.quote, -sign * cost, EntryKind.TRADE),
        (fee.currency, -fee.amount, EntryKind.FEE),
    ):
        owner.book(Wallet.SPOT, currency, change, kind=kind, at_ms=at_ms, fill_serial=fill_serial)


def book_result(
    owner: Account,
    listing: Listing,
    realised: Decimal,
    fee: Fee,
    *,
    fill_serial: int,
    at_ms: int,
) -> None:
    """Book a fill's profit and fee into the futures wallet."""
    for change, kind in ((realised, EntryKind.REALISED), (-fee.amount, EntryKind.FEE)):
        if change:
            owner.book(
                Wallet.FUTURES,
                listing.market.quote,
                change,
                kind=kind,
                at_ms=at_ms,
                fill_serial=fill_serial,
            )
    owner.positions[listing.symbol].realised_quote += realised - fee.amount


def _move_position(
    floor: Floor,
    owner: Account,
    listing: Listing,
    order: VenueOrder,
    *,
    amount: Decimal,
    price: Decimal,
    at_ms: int,
) -> Decimal:
    """Apply a fill to the position and return the profit it realised."""
    symbol = listing.symbol
    closing = min(amount, reducible(owner, symbol, order.side))
    position = owner.positions.get(symbol)
    realised = ZERO
    if position is None or not position.amount_base:
        setting = floor.setting(owner, listing)
        position = Position(setting.margin_mode, order.leverage, opened_at_ms=at_ms)
        owner.positions[symbol] = position
    if closing:
        realised = position.reduce(closing, price)
    if closing < amount:
        if not position.amount_base:
            position.opened_at_ms = at_ms
        position.add(amount - closing, price, side=order.side, leverage=order.leverage)
    note_holder(floor, owner, symbol)
    return realised


def note_holder(floor: Floor, owner: Account, symbol: str) -> None:
    """Note whether the account now has a position in the market."""
    holders = floor.holders.setdefault(symbol, {})
    if owner.positions[symbol].amount_base:
        holders[owner.name] = None
    else:
        holders.pop(owner.name, None)


def finish_order(floor: Floor, owner: Account, order: VenueOrder, at_ms: int) -> None:
    """End an order that can fill no further although depth is left."""
    if order.is_reduce_only:
        close_order(floor, owner, order, CloseReason.REDUCE_ONLY, at_ms)
    elif order.filled_base:
        # The rest of a cost that buys less than one step stays with the account.
        done = replace(order, status=OrderStatus.FILLED, updated_at_ms=at_ms)
        owner.put_order(with_hold(floor, done, None))
    else:
        close_order(floor, owner, order, CloseReason.FUNDS, at_ms)


def close_order(
    floor: Floor, owner: Account, order: VenueOrder, reason: CloseReason, at_ms: int
) -> None:
    """Cancel an open order; what it held is free again."""
    closed = replace(
        order,
        status=OrderStatus.CANCELED,
        close_reason=reason,
        updated_at_ms=at_ms,
        held=ZERO,
    )
    owner.put_order(closed)
    floor.note(ChangeKind.ORDER_CANCELED, owner, order)


def with_hold(floor: Floor, order: VenueOrder, quote: Quote | None) -> VenueOrder:
    """Return *order* with what it must hold of the spot wallet from now on."""
    listing = floor.listings[order.symbol]
    if listing.is_futures:
        return order
    currency = listing.market.quote if order.side is Side.BUY else listing.market.base
    held = _needed_spot(order, listing, quote) if order.is_open else ZERO
    return replace(order, held_currency=currency, held=held)


def reducible(owner: Account, symbol: str, side: Side) -> Decimal:
    """Return how much an order on *side* can take off the position."""
    position = owner.positions.get(symbol)
    if position is None:
        return ZERO
    return max(position.amount_base if side is Side.SELL else -position.amount_base, ZERO)


def _needed_spot(order: VenueOrder, listing: Listing, quote: Quote | None) -> Decimal:
    """Return what an open spot order needs to fill: quote and fee for a buy, base for a sell."""
    price = order.price
    if price is None:
        assert quote is not None  # market orders enter only with a price
        price = taking_price(order.side, quote)
    if order.side is Side.SELL:
        if order.cost_quote is None:
            return order.remaining_base
        return step_up(order.remaining_quote / price, listing.market.amount_step)
    cost = order.remaining_quote if order.cost_quote is not None else order.remaining_base * price
    fee_rate = listing.market.taker_fee if listing.fee_mode is FeeMode.QUOTE else ZERO
    return cost + fee_of(cost, fee_rate)


def is_spent(order: VenueOrder, amount: Decimal, depth_left: Decimal | None) -> bool:
    """Return whether an open order that just tried to fill *amount* will never fill further."""
    is_limited_by_depth = depth_left is not None and depth_left <= 0
    if order.cost_quote is not None or order.is_reduce_only:
        return not is_limited_by_depth
    return amount <= 0 and not is_limited_by_depth


def _with_fee(fees: tuple[Fee, ...], fee: Fee) -> tuple[Fee, ...]:
    for index, known in enumerate(fees):
        if known.currency == fee.currency:
            total = Fee(fee.currency, known.amount + fee.amount)
            return (*fees[:index], total, *fees[index + 1 :])
    return (*fees, fee)
