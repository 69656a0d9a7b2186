"""Taking new orders, and stop orders once they trigger: rules, funds, what they take at once."""

from __future__ import annotations

from dataclasses import replace

from backfuturectl.matching.account import Account, require
from backfuturectl.matching.admission import admit
from backfuturectl.matching.book import crosses, taking_price
from backfuturectl.matching.execution import (
    close_order,
    fill_order,
    fillable,
    finish_order,
    is_spent,
    reducible,
    with_hold,
)
from backfuturectl.matching.floor import Floor
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    ChangeKind,
    ClientIdScope,
    CloseReason,
    Listing,
    MarginMode,
    OrderRequest,
    PositionMode,
    TimeInForce,
    VenueOrder,
    Wallet,
)


def place_order(
    floor: Floor, owner: Account, listing: Listing, request: OrderRequest, at_ms: int
) -> VenueOrder:
    """Take an order, fill what crosses at once, and return it as it then stands.

    Raises:
        VenueError: Refused; nothing has changed.
    """
    check_order(floor, owner, listing, request)
    book = floor.books[listing.symbol]
    order = new_order(floor, owner, listing, request, at_ms)
    takes = book.quote is not None and crosses(order, book.quote)
    if order.is_post_only and takes and floor.rules.is_post_only_refused:
        raise VenueError(Refusal.POST_ONLY_WOULD_TAKE, "the order would take")
    if order.trigger is None:
        order = with_hold(floor, order, book.quote)
        _require_funds(floor, owner, listing, order)

    floor.owners[order.serial] = owner
    if order.client_id is not None:
        owner.serial_by_client_id[order.client_id] = order.serial
    floor.note(ChangeKind.ORDER_PLACED, owner, order)
    owner.put_order(order)
    if order.trigger is None:
        _match_new(floor, owner, listing, order, takes=takes, at_ms=at_ms)
    elif book.quote is not None and order.trigger.is_reached(book.quote.last):
        enter_stop(floor, owner, listing, order, at_ms)
    else:
        book.stops[order.serial] = None
    return owner.orders[order.serial]


def enter_stop(
    floor: Floor, owner: Account, listing: Listing, order: VenueOrder, at_ms: int
) -> None:
    """Bring a stop order that has triggered into the market, or cancel it where it cannot enter."""
    order = replace(order, triggered_at_ms=at_ms, updated_at_ms=at_ms)
    owner.put_order(order)
    floor.note(ChangeKind.ORDER_TRIGGERED, owner, order)
    if order.is_reduce_only and not reducible(owner, order.symbol, order.side):
        close_order(floor, owner, order, CloseReason.REDUCE_ONLY, at_ms)
        return
    view = floor.view(owner)
    needed = view.order_margin(order.symbol)
    needed -= view.order_margin(order.symbol, without=order.serial)
    if needed > 0 and view.overview(listing.market.quote).available_quote < 0:
        close_order(floor, owner, order, CloseReason.FUNDS, at_ms)
        return
    quote = floor.books[order.symbol].quote
    assert quote is not None  # nothing triggers before the first price
    _match_new(floor, owner, listing, order, takes=crosses(order, quote), at_ms=at_ms)


def check_order(floor: Floor, owner: Account, listing: Listing, request: OrderRequest) -> None:
    """Raise what placing *request* would raise, funds aside."""
    admit(request, listing, floor.books[listing.symbol].quote)
    _check_client_id(floor, owner, request)
    if listing.is_futures:
        _check_futures(floor, owner, listing, request)
    _check_count(owner, listing, request)


def _check_count(owner: Account, listing: Listing, request: OrderRequest) -> None:
    """Refuse one order too many; stop orders that have not triggered are counted by themselves."""
    resting = owner.open_orders.get(listing.symbol, {}).values()
    waiting = sum(1 for order in resting if order.is_waiting)
    market = listing.market
    if request.trigger is not None:
        if waiting >= market.stop_orders_max:
            raise VenueError(
                Refusal.TOO_MANY_STOPS,
                f"{market.stop_orders_max} stop orders on {listing.symbol} already",
            )
    elif len(resting) - waiting >= market.open_orders_max:
        raise VenueError(
            Refusal.TOO_MANY_ORDERS,
            f"{market.open_orders_max} open orders on {listing.symbol} already",
        )


def _check_client_id(floor: Floor, owner: Account, request: OrderRequest) -> None:
    client_id, scope = request.client_id, floor.rules.client_id_scope
    if client_id is None or scope is ClientIdScope.NONE:
        return
    serial = owner.serial_by_client_id.get(client_id)
    if serial is not None and (scope is ClientIdScope.EVER or owner.orders[serial].is_open):
        raise VenueError(
            Refusal.CLIENT_ID_DUPLICATE,
            f"an order with client id {client_id} exists",
            order_serial=serial,
        )


def _check_futures(floor: Floor, owner: Account, listing: Listing, request: OrderRequest) -> None:
    if owner.position_mode is PositionMode.HEDGE or request.is_hedge:
        raise VenueError(
            Refusal.POSITION_MODE_DIFFERS, f"the account is in {owner.position_mode} mode"
        )
    setting = floor.setting(owner, listing)
    if request.margin_mode not in {None, setting.margin_mode}:
        raise VenueError(
            Refusal.MARGIN_MODE_DIFFERS, f"{listing.symbol} is in {setting.margin_mode} mode"
        )
    if request.trigger is not None:
        return  # what it may reduce is judged when it triggers
    if request.is_reduce_only and not reducible(owner, listing.symbol, request.side):
        raise VenueError(Refusal.REDUCE_ONLY_REJECTED, "there is no position to reduce")


def new_order(
    floor: Floor, owner: Account, listing: Listing, request: OrderRequest, at_ms: int
) -> VenueOrder:
    """Return *request* as an order with the next serial; nothing knows it yet."""
    leverage, mode = 1, None
    if listing.is_futures:
        setting = floor.setting(owner, listing)
        leverage, mode = setting.leverage, setting.margin_mode
        # In cross mode the leverage is the account's, whatever the order says.
        if request.leverage is not None and mode is MarginMode.ISOLATED:
            leverage = request.leverage
    return VenueOrder(
        serial=len(floor.owners) + 1,
        account=owner.name,
        symbol=request.symbol,
        side=request.side,
        type=request.type,
        amount_base=request.amount_base,
        cost_quote=request.cost_quote,
        price=request.price,
        client_id=request.client_id,
        time_in_force=request.time_in_force,
        is_post_only=request.is_post_only,
        is_reduce_only=request.is_reduce_only,
        leverage=leverage,
        margin_mode=mode,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
        trigger=request.trigger,
    )


def _require_funds(floor: Floor, owner: Account, listing: Listing, order: VenueOrder) -> None:
    if listing.is_futures:
        view = floor.view(owner)
        quote = listing.market.quote
        needed = view.order_margin(order.symbol, extra=order) - view.order_margin(order.symbol)
        # Closing needs nothing, even while a loss has eaten all that was available.
        if needed > 0:
            require(view.overview(quote).available_quote, needed, quote)
        return
    available = floor.available(owner, Wallet.SPOT, order.held_currency)
    require(available, order.held, order.held_currency)


def _match_new(
    floor: Floor, owner: Account, listing: Listing, order: VenueOrder, *, takes: bool, at_ms: int
) -> None:
    book = floor.books[order.symbol]
    if order.is_post_only and takes:
        close_order(floor, owner, order, CloseReason.POST_ONLY, at_ms)
        return
    if takes:
        assert book.quote is not None  # otherwise nothing crosses
        price = taking_price(order.side, book.quote)
        amount = fillable(floor, owner, listing, order, price)
        if order.time_in_force is TimeInForce.FOK and amount < order.remaining_base:
            close_order(floor, owner, order, CloseReason.IMMEDIATE, at_ms)
            return
        if amount > 0:
            fill_order(
                floor,
                owner,
                listing,
                order,
                amount=amount,
                price=price,
                is_maker=False,
                at_ms=at_ms,
            )
        order = owner.orders[order.serial]
        if order.is_open and is_spent(order, amount, book.depth_base[order.side]):
            finish_order(floor, owner, order, at_ms)
    order = owner.orders[order.serial]
    if not order.is_open:
        return
    if order.time_in_force is not TimeInForce.GTC:
        close_order(floor, owner, order, CloseReason.IMMEDIATE, at_ms)
        return
    book.rest(order)
