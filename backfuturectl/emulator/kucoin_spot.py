"""KuCoin spot (api.kucoin.com): the high-frequency order endpoints, and the host as a whole.

Creating is asynchronous on the exchange: the answer names the order before it can be read. Here the
order exists at once; how long reads hide it is a fault of the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from backfuturectl.emulator.dialect import Call, Exchange, ReplyError, Route
from backfuturectl.emulator.kucoin_account import common_routes, spot_account_routes
from backfuturectl.emulator.kucoin_auth import Permission, private
from backfuturectl.emulator.kucoin_spot_market import spot_market_routes
from backfuturectl.emulator.kucoin_spot_orders import (
    NOT_FOUND,
    created,
    find_by_client_id,
    find_by_id,
    open_spot_orders,
    order_id,
    sizes,
    spot_reading_routes,
    symbols_of,
)
from backfuturectl.emulator.kucoin_wire import (
    KucoinDialect,
    bad_parameter,
    body_of,
    decimal_of,
    failed,
    refusal_of,
    required,
    spot_listing,
    text,
)
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    ApiKey,
    Listing,
    OrderRequest,
    TimeInForce,
    VenueOrder,
)
from backfuturectl.model.orders import OrderType, Side

_Result = TypeVar("_Result")

CLIENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")

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
    Refusal.ORDER_NOT_FOUND: NOT_FOUND,
    Refusal.ORDER_NOT_CANCELABLE: _NOT_CANCELABLE,
    Refusal.TOO_MANY_ORDERS: ("102427", "The number of open orders exceeds the limit"),
}


def kucoin_spot(_exchange: Exchange) -> KucoinDialect:
    """Return the spot host."""
    routes = (
        *common_routes(pool="management", timestamp_weight=3, status_weight=3),
        *spot_account_routes(),
        *spot_market_routes(),
        *_order_routes(),
        *spot_reading_routes(),
    )
    return KucoinDialect(host="kucoin-spot", routes=routes, refusals=_REFUSALS)


def _order_routes() -> tuple[Route, ...]:
    def trade(method: str, path: str, answer: Callable[[Call, ApiKey], Any], weight: int) -> Route:
        return private(method, path, Permission.SPOT, answer, pool="spot", weight=weight)

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
    )


# Creating


def _create(call: Call, key: ApiKey) -> dict[str, Any]:
    order = _place(call, key, body_of(call))
    return {"orderId": order_id(order.serial), "clientOid": order.client_id}


def _create_sync(call: Call, key: ApiKey) -> dict[str, Any]:
    return created(_place(call, key, body_of(call)))


def _test(call: Call, key: ApiKey) -> dict[str, Any]:
    body = body_of(call)
    request = _request(call, body)
    _with_figures(call, request, lambda: call.venue.check(key.account, request))
    # The exchange makes an id up, too; no order has it.
    return {"orderId": f"670fd33b{call.at_ms % 16**8:08x}07ab3945", "clientOid": request.client_id}


def _create_many(call: Call, key: ApiKey) -> list[dict[str, Any]]:
    def brief(order: VenueOrder) -> dict[str, Any]:
        return {"orderId": order_id(order.serial), "clientOid": order.client_id}

    return _batch(call, key, brief)


def _create_many_sync(call: Call, key: ApiKey) -> list[dict[str, Any]]:
    return _batch(call, key, created)


def _batch(
    call: Call, key: ApiKey, render: Callable[[VenueOrder], dict[str, Any]]
) -> list[dict[str, Any]]:
    wanted = body_of(call).get("orderList")
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= _BATCH_MAX:
        raise bad_parameter(call, "orderList is invalid")
    if not all(isinstance(body, dict) for body in wanted):
        raise bad_parameter(call, "orderList is invalid")
    answers: list[dict[str, Any]] = []
    for body in wanted:
        try:
            answers.append(render(_place(call, key, body)) | {"success": True})
        except VenueError as error:
            answers.append({"success": False, "failMsg": refusal_of(_REFUSALS, error)[1]})
        except ReplyError as error:
            answers.append({"success": False, "failMsg": error.reply.content["msg"]})
    return answers


def _place(call: Call, key: ApiKey, body: dict[str, Any]) -> VenueOrder:
    request = _request(call, body)
    if call.exchange.is_cancel_only:
        raise failed(call, "200001", "order creation for this pair suspended")
    return _with_figures(call, request, lambda: call.venue.place(key.account, request, call.at_ms))


def _request(call: Call, body: dict[str, Any]) -> OrderRequest:
    """Return the venue's form of an order's body; ReplyError for what the exchange would refuse."""
    listing = spot_listing(call, required(call, body, "symbol"))
    kind = required(call, body, "type")
    side = required(call, body, "side")
    time_in_force = str(body.get("timeInForce") or "GTC").upper()
    client_id = body.get("clientOid")
    amount, funds, price = (decimal_of(call, body, name) for name in ("size", "funds", "price"))
    if side not in {"buy", "sell"} or kind not in {"limit", "market"}:
        raise bad_parameter(call, "validation.createOrder.parameterIsInvalid")
    if time_in_force not in {"GTC", "IOC", "FOK"}:
        # Good-till-time needs a timer that the venue does not have: better refused than forgotten.
        raise bad_parameter(call, f"timeInForce {time_in_force} is not supported here")
    if client_id is not None and not CLIENT_ID.fullmatch(str(client_id)):
        raise bad_parameter(call, _REFUSALS[Refusal.CLIENT_ID_INVALID][1])
    if kind == "limit" and amount is None:
        raise bad_parameter(call, "validation.createOrder.sizeIsRequired")
    if kind == "limit" and price is None:
        raise bad_parameter(call, _REFUSALS[Refusal.PRICE_MISSING][1])
    if kind == "market" and (amount is None) is (funds is None):
        raise bad_parameter(call, "validation.createOrder.sizeOrFundsIsRequired")
    return OrderRequest(
        symbol=listing.symbol,
        side=Side(side),
        type=OrderType(kind),
        amount_base=amount,
        cost_quote=funds if kind == "market" else None,
        price=price if kind == "limit" else None,
        client_id=None if client_id is None else str(client_id),
        time_in_force=TimeInForce(time_in_force.lower()),
        is_post_only=body.get("postOnly") is True,
    )


def _with_figures(call: Call, request: OrderRequest, act: Callable[[], _Result]) -> _Result:
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
    order = _cancel(call, key, find_by_id(call, key))
    return {"orderId": order_id(order.serial)}


def _cancel_by_id_sync(call: Call, key: ApiKey) -> dict[str, Any]:
    order = _cancel(call, key, find_by_id(call, key))
    return {"orderId": order_id(order.serial)} | sizes(order)


def _cancel_by_client_id(call: Call, key: ApiKey) -> dict[str, Any]:
    order = _cancel(call, key, find_by_client_id(call, key))
    return {"clientOid": order.client_id}


def _cancel_by_client_id_sync(call: Call, key: ApiKey) -> dict[str, Any]:
    order = _cancel(call, key, find_by_client_id(call, key))
    return {"clientOid": order.client_id} | sizes(order)


def _cancel_symbol(call: Call, key: ApiKey) -> str:
    listing = spot_listing(call, required(call, call.query, "symbol"))
    for order in call.venue.open_orders(key.account, listing.symbol):
        call.venue.cancel(key.account, order.serial, call.at_ms)
    return "success"


def _cancel_all(call: Call, key: ApiKey) -> dict[str, list[str]]:
    orders = open_spot_orders(call, key)
    for order in orders:
        call.venue.cancel(key.account, order.serial, call.at_ms)
    return {"succeedSymbols": symbols_of(call, orders), "failedSymbols": []}


def _cancel(call: Call, key: ApiKey, order: VenueOrder | None) -> VenueOrder:
    if order is None:
        raise failed(call, *_NOT_CANCELABLE)
    return call.venue.cancel(key.account, order.serial, call.at_ms)
