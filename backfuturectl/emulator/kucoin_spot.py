"""KuCoin spot (api.kucoin.com): the high-frequency order endpoints, and the host as a whole.

Creating is asynchronous on the exchange: the answer names the order before it can be read. Here the
order exists at once; how long reads hide it is a fault of the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar

from backfuturectl.emulator.dialect import Call, Exchange, ReplyError, Route
from backfuturectl.emulator.kucoin_account import common_routes, spot_account_routes
from backfuturectl.emulator.kucoin_auth import Permission, private
from backfuturectl.emulator.kucoin_spot_market import spot_market_routes
from backfuturectl.emulator.kucoin_wire import (
    DAY_MS,
    KucoinDialect,
    bad_parameter,
    body_of,
    decimal_of,
    failed,
    page,
    required,
    spot_listing,
    spot_name,
    text,
    whole,
)
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    ApiKey,
    Listing,
    OrderRequest,
    TimeInForce,
    VenueFill,
    VenueOrder,
)
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import OrderStatus, OrderType, Side

_Item = TypeVar("_Item")

CLIENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")

# 24 hexadecimal digits, as the exchange's own; the last eight are the serial number.
_ORDER_ID_PREFIX: Final = "6717422bd51c2900"
_ORDER_ID: Final = re.compile(_ORDER_ID_PREFIX + r"([0-9a-f]{8})")
_CURSOR_BASE: Final = 19_814_995_000_000
_TRADE_BASE: Final = 11_029_373_000_000_000
_LIMIT_DEFAULT: Final = 20
_LIMIT_MAX: Final = 100
_RANGE_MAX_MS: Final = 7 * DAY_MS
_BATCH_MAX: Final = 20

_NOT_CANCELABLE: Final = ("400100", "order_not_exist_or_not_allow_to_cancel")
# Source: the official spot error table; texts of 1024xx and of a price off its step are UNVERIFIED.
_REFUSALS: Final = {
    Refusal.SYMBOL_UNKNOWN: ("900001", "symbol not exists"),
    Refusal.SYMBOL_CLOSED: ("400600", "validation.createOrder.symbolNotAvailable"),
    Refusal.PRICE_MISSING: ("400100", "validation.createOrder.priceIsRequired"),
    Refusal.AMOUNT_BELOW_MINIMUM: ("400100", "Order size below the minimum requirement."),
    Refusal.AMOUNT_ABOVE_MAXIMUM: ("102434", "Order size above the maximum requirement."),
    Refusal.COST_BELOW_MINIMUM: ("600100", "Funds below the minimum requirement."),
    Refusal.AMOUNT_PRECISION: ("600100", "Order size increment invalid."),
    Refusal.PRICE_PRECISION: ("600100", "Price increment invalid."),
    Refusal.INSUFFICIENT_BALANCE: ("200004", "Balance insufficient!"),
    Refusal.CLIENT_ID_DUPLICATE: ("102426", "clientOid duplicated"),
    Refusal.CLIENT_ID_INVALID: ("400100", "validation.createOrder.clientOidIsInvalid"),
    Refusal.ORDER_NOT_FOUND: ("400100", "The order does not exist."),
    Refusal.ORDER_NOT_CANCELABLE: _NOT_CANCELABLE,
    Refusal.TOO_MANY_ORDERS: ("102427", "The number of open orders exceeds the limit"),
}


def kucoin_spot(_exchange: Exchange) -> KucoinDialect:
    """Return the spot host."""
    routes = (
        *common_routes(pool="management"),
        *spot_account_routes(),
        *spot_market_routes(),
        *_order_routes(),
    )
    return KucoinDialect(host="kucoin-spot", routes=routes, refusals=_REFUSALS)


def _order_routes() -> tuple[Route, ...]:
    def trade(method: str, path: str, answer: Callable[[Call, ApiKey], Any], weight: int) -> Route:
        return private(method, path, Permission.SPOT, answer, pool="spot", weight=weight)

    def read(path: str, answer: Callable[[Call, ApiKey], Any]) -> Route:
        return private("GET", path, Permission.GENERAL, answer, pool="spot", weight=2)

    orders = "/api/v1/hf/orders"
    # Literal paths come before those with a variable in the same place.
    return (
        trade("POST", orders, _create, 1),
        trade("POST", f"{orders}/sync", _create_sync, 1),
        trade("POST", f"{orders}/test", _test, 1),
        trade("POST", f"{orders}/multi", _create_many, 1),
        trade("POST", f"{orders}/multi/sync", _create_many_sync, 1),
        trade("DELETE", orders, _cancel_symbol, 2),
        trade("DELETE", f"{orders}/cancelAll", _cancel_all, 30),
        trade("DELETE", f"{orders}/sync/client-order/{{client_id}}", _cancel_by_client_id_sync, 1),
        trade("DELETE", f"{orders}/client-order/{{client_id}}", _cancel_by_client_id, 1),
        trade("DELETE", f"{orders}/sync/{{order_id}}", _cancel_by_id_sync, 1),
        trade("DELETE", f"{orders}/{{order_id}}", _cancel_by_id, 1),
        trade("GET", f"{orders}/active/symbols", _active_symbols, 2),
        trade("GET", f"{orders}/dead-cancel-all/query", _dead_man_switch, 2),
        read(f"{orders}/active/page", _active_page),
        read(f"{orders}/active", _active),
        read(f"{orders}/done", _done),
        read(f"{orders}/client-order/{{client_id}}", _by_client_id),
        read(f"{orders}/{{order_id}}", _by_id),
        read("/api/v1/hf/fills", _fills),
        # Conditional orders are not emulated; clients that look for theirs find none.
        read("/api/v1/stop-order", _no_stop_orders),
    )


# Creating


def _create(call: Call, key: ApiKey) -> dict[str, Any]:
    order = _place(call, key, body_of(call))
    return {"orderId": _order_id(order.serial), "clientOid": order.client_id}


def _create_sync(call: Call, key: ApiKey) -> dict[str, Any]:
    return _created(_place(call, key, body_of(call)))


def _test(call: Call, key: ApiKey) -> dict[str, Any]:
    body = body_of(call)
    request = _request(call, body)
    _raising(call, request, lambda: call.venue.check(key.account, request))
    # The exchange makes an id up, too; no order has it.
    return {"orderId": f"670fd33b{call.at_ms % 16**8:08x}07ab3945", "clientOid": request.client_id}


def _create_many(call: Call, key: ApiKey) -> list[dict[str, Any]]:
    def brief(order: VenueOrder) -> dict[str, Any]:
        return {"orderId": _order_id(order.serial), "clientOid": order.client_id}

    return _batch(call, key, brief)


def _create_many_sync(call: Call, key: ApiKey) -> list[dict[str, Any]]:
    return _batch(call, key, _created)


def _batch(
    call: Call, key: ApiKey, render: Callable[[VenueOrder], dict[str, Any]]
) -> list[dict[str, Any]]:
    wanted = body_of(call).get("orderList")
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= _BATCH_MAX:
        raise bad_parameter(call, "orderList is invalid")
    answers: list[dict[str, Any]] = []
    for body in wanted:
        try:
            answers.append(render(_place(call, key, body)) | {"success": True})
        except VenueError as error:
            answers.append({"success": False, "failMsg": _REFUSALS[error.kind][1]})
        except ReplyError as error:
            answers.append({"success": False, "failMsg": error.reply.content["msg"]})
    return answers


def _place(call: Call, key: ApiKey, body: dict[str, Any]) -> VenueOrder:
    request = _request(call, body)
    if call.exchange.is_cancel_only:
        raise failed(call, "200001", "order creation for this pair suspended")
    return _raising(call, request, lambda: call.venue.place(key.account, request, call.at_ms))


def _request(call: Call, body: dict[str, Any]) -> OrderRequest:
    """Return the venue's form of an order's body; ReplyError for what the exchange would refuse."""
    listing = spot_listing(call, required(call, body, "symbol"))
    kind = required(call, body, "type")
    side = required(call, body, "side")
    time_in_force = str(body.get("timeInForce") or "GTC").upper()
    client_id = body.get("clientOid")
    amount, funds = decimal_of(call, body, "size"), decimal_of(call, body, "funds")
    if side not in {"buy", "sell"} or kind not in {"limit", "market"}:
        raise bad_parameter(call, "validation.createOrder.parameterIsInvalid")
    if time_in_force not in {"GTC", "IOC", "FOK"}:
        # Good-till-time needs a timer that the venue does not have: better refused than forgotten.
        raise bad_parameter(call, f"timeInForce {time_in_force} is not supported here")
    if client_id is not None and not CLIENT_ID.fullmatch(str(client_id)):
        raise bad_parameter(call, _REFUSALS[Refusal.CLIENT_ID_INVALID][1])
    if kind == "limit" and amount is None:
        raise bad_parameter(call, "validation.createOrder.sizeIsRequired")
    if kind == "market" and (amount is None) is (funds is None):
        raise bad_parameter(call, "validation.createOrder.sizeOrFundsIsRequired")
    return OrderRequest(
        symbol=listing.symbol,
        side=Side(side),
        type=OrderType(kind),
        amount_base=amount,
        cost_quote=funds if kind == "market" else None,
        price=decimal_of(call, body, "price") if kind == "limit" else None,
        client_id=None if client_id is None else str(client_id),
        time_in_force=TimeInForce(time_in_force.lower()),
        is_post_only=body.get("postOnly") is True,
    )


def _raising(call: Call, request: OrderRequest, act: Callable[[], _Item]) -> _Item:
    """Return what *act* returns; refusals whose text names a figure get it here."""
    try:
        return act()
    except VenueError as error:
        listing = call.venue.listing(request.symbol)
        if error.kind is Refusal.COST_BELOW_MINIMUM and request.type is OrderType.LIMIT:
            least = f"{text(listing.market.cost_min)} {listing.market.quote}"
            message = f"The order funds should more then {least}."
            raise failed(call, "600101", message) from error
        if error.kind is Refusal.PRICE_BAND:
            raise _outside_band(call, listing, request) from error
        raise


def _outside_band(call: Call, listing: Listing, request: OrderRequest) -> ReplyError:
    quote, band = call.venue.quote(listing.symbol), listing.price_band
    if quote is None or band is None:
        return failed(call, "102429", "order price is invalid")
    if request.price is not None and request.price > quote.last:
        return failed(call, "400370", f"Max. price: {text(quote.last * (1 + band))}")
    least = text(quote.last * (1 - band))
    return failed(call, "400760", f"order price should be more than {least}")


# Canceling


def _cancel_by_id(call: Call, key: ApiKey) -> dict[str, str]:
    order = _cancel(call, key, _find_by_id(call, key))
    return {"orderId": _order_id(order.serial)}


def _cancel_by_id_sync(call: Call, key: ApiKey) -> dict[str, Any]:
    order = _cancel(call, key, _find_by_id(call, key))
    return {"orderId": _order_id(order.serial)} | _sizes(order)


def _cancel_by_client_id(call: Call, key: ApiKey) -> dict[str, Any]:
    order = _cancel(call, key, _find_by_client_id(call, key))
    return {"clientOid": order.client_id}


def _cancel_by_client_id_sync(call: Call, key: ApiKey) -> dict[str, Any]:
    order = _cancel(call, key, _find_by_client_id(call, key))
    return {"clientOid": order.client_id} | _sizes(order)


def _cancel_symbol(call: Call, key: ApiKey) -> str:
    listing = spot_listing(call, required(call, call.query, "symbol"))
    for order in call.venue.open_orders(key.account, listing.symbol):
        call.venue.cancel(key.account, order.serial, call.at_ms)
    return "success"


def _cancel_all(call: Call, key: ApiKey) -> dict[str, list[str]]:
    orders = _open_spot_orders(call, key)
    for order in orders:
        call.venue.cancel(key.account, order.serial, call.at_ms)
    return {"succeedSymbols": _symbols_of(call, orders), "failedSymbols": []}


def _cancel(call: Call, key: ApiKey, order: VenueOrder | None) -> VenueOrder:
    if order is None:
        raise failed(call, *_NOT_CANCELABLE)
    return call.venue.cancel(key.account, order.serial, call.at_ms)


# Reading


def _by_id(call: Call, key: ApiKey) -> dict[str, Any]:
    return _shown(call, _found(call, _find_by_id(call, key)))


def _by_client_id(call: Call, key: ApiKey) -> dict[str, Any]:
    return _shown(call, _found(call, _find_by_client_id(call, key)))


def _found(call: Call, order: VenueOrder | None) -> VenueOrder:
    if order is None:
        raise failed(call, *_REFUSALS[Refusal.ORDER_NOT_FOUND])
    return order


def _find_by_id(call: Call, key: ApiKey) -> VenueOrder | None:
    listing = spot_listing(call, required(call, call.query, "symbol"))
    match = _ORDER_ID.fullmatch(call.path_params["order_id"])
    if match is None:
        return None
    try:
        order = call.venue.order(key.account, int(match[1], 16))
    except VenueError:
        return None
    return order if order.symbol == listing.symbol and call.shows_order(order) else None


def _find_by_client_id(call: Call, key: ApiKey) -> VenueOrder | None:
    listing = spot_listing(call, required(call, call.query, "symbol"))
    client_id = call.path_params["client_id"]
    try:
        order = call.venue.order_by_client_id(key.account, client_id, listing.symbol)
    except VenueError:
        return None
    return order if call.shows_order(order) else None


def _active(call: Call, key: ApiKey) -> list[dict[str, Any]]:
    return [_shown(call, order) for order in _open_on_symbol(call, key)]


def _active_page(call: Call, key: ApiKey) -> dict[str, Any]:
    orders = _open_on_symbol(call, key)
    return page(call, orders, lambda order: _shown(call, order), size_default=_LIMIT_DEFAULT)


def _open_on_symbol(call: Call, key: ApiKey) -> list[VenueOrder]:
    """Return the open orders of the market in the query, newest first."""
    listing = spot_listing(call, required(call, call.query, "symbol"))
    orders = call.venue.open_orders(key.account, listing.symbol)
    return [order for order in reversed(orders) if call.shows_order(order)]


def _active_symbols(call: Call, key: ApiKey) -> dict[str, list[str]]:
    orders = [order for order in _open_spot_orders(call, key) if call.shows_order(order)]
    return {"symbols": _symbols_of(call, orders)}


def _done(call: Call, key: ApiKey) -> dict[str, Any]:
    listing = spot_listing(call, required(call, call.query, "symbol"))
    since_ms, until_ms = _time_range(call)
    orders = [
        order
        for order in call.venue.orders(key.account, listing.symbol)
        if not order.is_open
        and call.shows_order(order)
        and since_ms <= order.created_at_ms <= until_ms
        and _matches(call, order)
    ]
    chosen, last_id = _batch_before(call, orders, [order.serial for order in orders])
    return {"lastId": last_id, "items": [_shown(call, order) for order in chosen]}


def _fills(call: Call, key: ApiKey) -> dict[str, Any]:
    listing = spot_listing(call, required(call, call.query, "symbol"))
    since_ms, until_ms = _time_range(call)
    order_id = call.query.get("orderId")
    if order_id:
        since_ms, until_ms = 0, call.at_ms
    pairs = [
        (fill, call.venue.order(key.account, fill.order_serial))
        for fill in call.venue.fills(key.account, listing.symbol, since_ms=since_ms)
        if fill.at_ms <= until_ms
        and call.shows_fill(fill)
        and order_id in {None, "", _order_id(fill.order_serial)}
    ]
    pairs = [(fill, order) for fill, order in pairs if order_id or _matches(call, order)]
    chosen, last_id = _batch_before(call, pairs, [fill.serial for fill, _ in pairs])
    return {"items": [_shown_fill(call, *pair) for pair in chosen], "lastId": last_id}


def _time_range(call: Call) -> tuple[int, int]:
    """Return the range of a history query: a week at most, the last one unless told otherwise."""
    since_ms, until_ms = whole(call, "startAt", 0), whole(call, "endAt", 0)
    if not since_ms:
        until_ms = until_ms or call.at_ms
        since_ms = until_ms - _RANGE_MAX_MS
    until_ms = until_ms or since_ms + _RANGE_MAX_MS
    if not 0 <= until_ms - since_ms <= _RANGE_MAX_MS:
        raise failed(call, "102425", "time range is not supported")
    return since_ms, until_ms


def _batch_before(
    call: Call, items: Sequence[_Item], serials: Sequence[int]
) -> tuple[list[_Item], int]:
    """Return the newest items before the query's lastId, newest first, and the new lastId."""
    last_id = whole(call, "lastId", 0)
    limit = min(max(1, whole(call, "limit", _LIMIT_DEFAULT)), _LIMIT_MAX)
    before = [
        (item, _CURSOR_BASE + serial)
        for item, serial in zip(items, serials, strict=True)
        if not last_id or _CURSOR_BASE + serial < last_id
    ]
    chosen = before[-limit:][::-1]
    return [item for item, _ in chosen], chosen[-1][1] if chosen else 0


def _matches(call: Call, order: VenueOrder) -> bool:
    query = call.query
    return query.get("side", order.side) == order.side and query.get("type", order.type) == (
        order.type
    )


def _dead_man_switch(_call: Call, _key: ApiKey) -> None:
    """Return nothing: it is not set."""


def _no_stop_orders(call: Call, _key: ApiKey) -> dict[str, Any]:
    return page(call, (), _nothing)


def _nothing(item: object) -> object:
    return item


def _open_spot_orders(call: Call, key: ApiKey) -> list[VenueOrder]:
    orders = call.venue.open_orders(key.account)
    return [order for order in orders if not call.venue.listing(order.symbol).is_futures]


def _symbols_of(call: Call, orders: Iterable[VenueOrder]) -> list[str]:
    return sorted({spot_name(call.venue.listing(order.symbol).market) for order in orders})


# Rendering


def _order_id(serial: int) -> str:
    return f"{_ORDER_ID_PREFIX}{serial:08x}"


def _created(order: VenueOrder) -> dict[str, Any]:
    return {
        "orderId": _order_id(order.serial),
        "clientOid": order.client_id,
        "orderTime": order.created_at_ms,
        "matchTime": order.updated_at_ms,
    } | _sizes(order)


def _sizes(order: VenueOrder) -> dict[str, str]:
    remaining, canceled = _remainder(order, order.remaining_base)
    return {
        "originSize": text(order.amount_base),
        "dealSize": text(order.filled_base),
        "remainSize": text(remaining),
        "canceledSize": text(canceled),
        "status": "open" if order.is_open else "done",
    }


def _remainder(order: VenueOrder, left: Decimal) -> tuple[Decimal, Decimal]:
    """Return *left* as (remaining, canceled): what a cancel took away no longer remains."""
    return (ZERO, left) if order.status is OrderStatus.CANCELED else (left, ZERO)


def _shown(call: Call, order: VenueOrder) -> dict[str, Any]:
    market = call.venue.listing(order.symbol).market
    # A limit order's funds are its size at its price; a market order by size has none.
    funds = order.cost_quote or (order.amount_base or ZERO) * (order.price or ZERO)
    size_left, size_canceled = _remainder(order, order.remaining_base)
    funds_left, funds_canceled = _remainder(order, max(funds - order.filled_quote, ZERO))
    return {
        "id": _order_id(order.serial),
        "clientOid": order.client_id,
        "symbol": spot_name(market),
        "opType": "DEAL",
        "type": order.type.value,
        "side": order.side.value,
        "price": text(order.price),
        "size": text(order.amount_base),
        "funds": text(funds),
        "dealSize": text(order.filled_base),
        "dealFunds": text(order.filled_quote),
        "remainSize": text(size_left),
        "remainFunds": text(funds_left),
        "cancelledSize": text(size_canceled),
        "cancelledFunds": text(funds_canceled),
        "fee": text(sum((fee.amount for fee in order.fees), ZERO)),
        "feeCurrency": market.quote,
        "stp": None,
        "timeInForce": order.time_in_force.value.upper(),
        "postOnly": order.is_post_only,
        "hidden": False,
        "iceberg": False,
        "visibleSize": "0",
        "cancelAfter": 0,
        "channel": "API",
        "remark": None,
        "tags": None,
        "cancelExist": order.status is OrderStatus.CANCELED,
        "tradeType": "TRADE",
        "inOrderBook": order.is_open,
        "active": order.is_open,
        "tax": "0",
        "createdAt": order.created_at_ms,
        "lastUpdatedAt": order.updated_at_ms,
    }


def _shown_fill(call: Call, fill: VenueFill, order: VenueOrder) -> dict[str, Any]:
    return {
        "id": _CURSOR_BASE + fill.serial,
        "orderId": _order_id(fill.order_serial),
        "counterOrderId": _order_id(2**32 - fill.serial),
        "tradeId": _TRADE_BASE + fill.serial,
        "symbol": spot_name(call.venue.listing(fill.symbol).market),
        "side": fill.side.value,
        "liquidity": "maker" if fill.is_maker else "taker",
        "type": order.type.value,
        "forceTaker": False,
        "price": text(fill.price),
        "size": text(fill.amount_base),
        "funds": text(fill.cost_quote),
        "fee": text(fill.fee.amount),
        "feeRate": text(fill.fee_rate),
        "feeCurrency": fill.fee.currency,
        "stop": "",
        "tradeType": "TRADE",
        "taxRate": "0",
        "tax": "0",
        "createdAt": fill.at_ms,
    }
