"""KuCoin futures (api-futures.kucoin.com): placing and canceling, and the host as a whole.

Sizes are contracts (lots), bitcoin is XBT.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeVar

from backfuturectl.emulator.dialect import Call, Exchange, ReplyError, Route
from backfuturectl.emulator.kucoin_account import common_routes
from backfuturectl.emulator.kucoin_auth import Permission, private
from backfuturectl.emulator.kucoin_funding import funding_routes
from backfuturectl.emulator.kucoin_futures_market import futures_market_routes, quoted
from backfuturectl.emulator.kucoin_futures_orders import (
    ID_BASE,
    NOT_FOUND,
    STOP_PRICE_TYPES,
    find_by_client_id,
    find_by_id,
    futures_reading_routes,
    open_futures_orders,
    order_id,
    waiting_stops,
)
from backfuturectl.emulator.kucoin_positions import position_routes, venue_margin_mode
from backfuturectl.emulator.kucoin_spot import CLIENT_ID
from backfuturectl.emulator.kucoin_wire import (
    SUCCESS,
    KucoinDialect,
    body_of,
    decimal_of,
    failed,
    futures_listing,
    refusal_of,
    required,
    text,
)
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    ApiKey,
    Listing,
    MarginMode,
    OrderRequest,
    TimeInForce,
    Trigger,
    VenueOrder,
)
from backfuturectl.model.orders import OrderType, Side

_Result = TypeVar("_Result")

_BATCH_MAX: Final = 20

_NOT_CANCELABLE: Final = ("100004", "The order cannot be canceled.")
_ILLEGAL: Final = "300000"
# Source: the official futures error table; the texts of 300000 and 50002 are UNVERIFIED.
_REFUSALS: Final = {
    Refusal.SYMBOL_UNKNOWN: ("200003", "The symbol parameter is invalid."),
    Refusal.SYMBOL_CLOSED: ("300002", "Order placement/cancellation suspended."),
    Refusal.PRICE_MISSING: (_ILLEGAL, "Price parameter cannot be empty."),
    Refusal.AMOUNT_BELOW_MINIMUM: ("400100", "The quantity is below the minimum requirement."),
    Refusal.AMOUNT_ABOVE_MAXIMUM: ("300005", "Risk limit exceeded."),
    Refusal.COST_BELOW_MINIMUM: ("400100", "The quantity is below the minimum requirement."),
    Refusal.AMOUNT_PRECISION: (_ILLEGAL, "Order size increment invalid."),
    Refusal.PRICE_PRECISION: (_ILLEGAL, "Price increment invalid."),
    Refusal.INSUFFICIENT_BALANCE: ("300003", "Balance not enough."),
    Refusal.CLIENT_ID_DUPLICATE: ("300018", "clientOid parameter repeated"),
    Refusal.CLIENT_ID_INVALID: (_ILLEGAL, "clientOid parameter is invalid."),
    Refusal.ORDER_NOT_FOUND: NOT_FOUND,
    Refusal.ORDER_NOT_CANCELABLE: _NOT_CANCELABLE,
    Refusal.TOO_MANY_ORDERS: ("300001", "Active order quantity limit exceeded."),
    Refusal.TOO_MANY_STOPS: ("300004", "Stop order quantity limit exceeded."),
    Refusal.REDUCE_ONLY_REJECTED: ("300009", "No open positions to close."),
    Refusal.LEVERAGE: ("300016", "The leverage cannot be greater than the maximum."),
    Refusal.MARGIN_MODE_DIFFERS: (
        "330005",
        "The order's margin mode does not match the selected one. Please switch and try again.",
    ),
    Refusal.POSITION_MODE_DIFFERS: (
        "330012",
        "Your order is in One-Way Mode, while your account is set to Hedge Mode. "
        "Update your settings so they match and try again.",
    ),
    Refusal.POSITION_OPEN: ("50002", "exist.order.or.position"),
}


def kucoin_futures(_exchange: Exchange) -> KucoinDialect:
    """Return the futures host."""
    routes = (
        *common_routes(pool="futures", timestamp_weight=2, status_weight=4),
        *futures_market_routes(),
        *position_routes(),
        *funding_routes(),
        *_order_routes(),
        *futures_reading_routes(),
    )
    return KucoinDialect(host="kucoin-futures", routes=routes, refusals=_REFUSALS)


def _order_routes() -> tuple[Route, ...]:
    def trade(method: str, path: str, answer: Callable[[Call, ApiKey], Any], weight: int) -> Route:
        return private(method, path, Permission.FUTURES, answer, pool="futures", weight=weight)

    orders = "/api/v1/orders"
    # Literal paths come before those with a variable in the same place.
    return (
        trade("POST", orders, _create, 2),
        trade("POST", f"{orders}/test", _test, 2),
        trade("POST", f"{orders}/multi", _create_many, 20),
        trade("DELETE", f"{orders}/multi-cancel", _cancel_many, 20),
        trade("DELETE", f"{orders}/client-order/{{client_id}}", _cancel_by_client_id, 1),
        trade("DELETE", f"{orders}/{{order_id}}", _cancel_by_id, 1),
        trade("DELETE", orders, _cancel_all, 800),
        trade("DELETE", "/api/v3/orders", _cancel_all, 10),
        trade("DELETE", "/api/v1/stopOrders", _cancel_stops, 15),
    )


# Creating


def _create(call: Call, key: ApiKey) -> dict[str, Any]:
    order = _place(call, key, body_of(call))
    return {"orderId": order_id(order.serial), "clientOid": order.client_id}


def _test(call: Call, key: ApiKey) -> dict[str, Any]:
    request = _request(call, key, body_of(call))
    _with_figures(call, request, lambda: call.venue.check(key.account, request))
    # The exchange makes an id up, too; no order has it.
    return {"orderId": str(ID_BASE - call.at_ms), "clientOid": request.client_id}


def _create_many(call: Call, key: ApiKey) -> list[dict[str, Any]]:
    wanted = call.json()
    if not _is_list_of(wanted, dict) or not 1 <= len(wanted) <= _BATCH_MAX:
        raise failed(call, _ILLEGAL, "request parameter illegal")
    answers = []
    for body in wanted:
        answer = {
            "orderId": None,
            "clientOid": body.get("clientOid"),
            "symbol": body.get("symbol"),
            "code": SUCCESS,
            "msg": "success",
        }
        try:
            answer["orderId"] = order_id(_place(call, key, body).serial)
        except VenueError as error:
            answer["code"], answer["msg"] = refusal_of(_REFUSALS, error)
        except ReplyError as error:
            answer |= error.reply.content
        answers.append(answer)
    return answers


def _place(call: Call, key: ApiKey, body: dict[str, Any]) -> VenueOrder:
    request = _request(call, key, body)
    if call.exchange.is_cancel_only:
        raise failed(call, *_REFUSALS[Refusal.SYMBOL_CLOSED])
    return _with_figures(call, request, lambda: call.venue.place(key.account, request, call.at_ms))


def _request(call: Call, key: ApiKey, body: dict[str, Any]) -> OrderRequest:
    """Return the venue's form of an order's body; ReplyError for what the exchange would refuse."""
    listing = futures_listing(call, required(call, body, "symbol"))
    client_id = required(call, body, "clientOid")
    kind = str(body.get("type") or "limit")
    time_in_force = str(body.get("timeInForce") or "GTC").upper()
    is_closing = body.get("closeOrder") is True
    if not CLIENT_ID.fullmatch(client_id):
        raise failed(call, *_REFUSALS[Refusal.CLIENT_ID_INVALID])
    if kind not in {"limit", "market"} or time_in_force not in {"GTC", "IOC"}:
        raise failed(call, _ILLEGAL, "request parameter illegal")
    price = decimal_of(call, body, "price") if kind == "limit" else None
    if kind == "limit" and price is None:
        raise failed(call, *_REFUSALS[Refusal.PRICE_MISSING])
    side, amount = _side_and_amount(call, key, body, listing, price)
    # The spec's default; an account that chose cross must say so in every order.
    mode = venue_margin_mode(call, str(body.get("marginMode") or "ISOLATED"))
    is_reducing = is_closing or body.get("reduceOnly") is True
    return OrderRequest(
        symbol=listing.symbol,
        side=side,
        type=OrderType(kind),
        amount_base=amount,
        price=price,
        client_id=client_id,
        time_in_force=TimeInForce(time_in_force.lower()),
        is_post_only=body.get("postOnly") is True,
        is_reduce_only=is_reducing,
        leverage=_leverage(call, body, mode, is_reducing=is_reducing),
        margin_mode=mode,
        is_hedge=str(body.get("positionSide")) in {"LONG", "SHORT"},
        trigger=_trigger(call, body),
    )


def _trigger(call: Call, body: dict[str, Any]) -> Trigger | None:
    """Return what sets a stop order off."""
    direction = str(body.get("stop") or "")
    if not direction:
        return None
    price = decimal_of(call, body, "stopPrice")
    by = STOP_PRICE_TYPES.get(str(body.get("stopPriceType")))
    if direction not in {"up", "down"} or by is None or price is None:
        raise failed(call, _ILLEGAL, "request parameter illegal")
    return Trigger(price, is_rising=direction == "up", by=by)


def _side_and_amount(
    call: Call, key: ApiKey, body: dict[str, Any], listing: Listing, price: Decimal | None
) -> tuple[Side, Decimal]:
    """Return the order's side and base units; a closing order takes both from the position."""
    market = listing.market
    if body.get("closeOrder") is True:
        position = call.venue.position(key.account, listing.symbol)
        if position is None:
            raise failed(call, *_REFUSALS[Refusal.REDUCE_ONLY_REJECTED])
        is_long = position.amount_base > 0
        return (Side.SELL if is_long else Side.BUY), abs(position.amount_base)
    side_name = str(body.get("side"))
    if side_name not in {"buy", "sell"}:
        raise failed(call, _ILLEGAL, "request parameter illegal")
    side = Side(side_name)
    size, qty, value = (decimal_of(call, body, name) for name in ("size", "qty", "valueQty"))
    if size is not None:
        if size % 1:
            raise failed(call, *_REFUSALS[Refusal.AMOUNT_PRECISION])
        return side, size * market.contract_size
    if qty is not None:
        return side, qty
    if value is not None:
        at_price = price or quoted(call, str(body["symbol"]))[1].last
        return side, value // (at_price * market.contract_size) * market.contract_size
    raise failed(call, "100001", "Quantity parameter cannot be empty.")


def _leverage(
    call: Call, body: dict[str, Any], mode: MarginMode, *, is_reducing: bool
) -> int | None:
    """Return the leverage of an isolated order; a cross order has the account's."""
    leverage = decimal_of(call, body, "leverage")
    if mode is MarginMode.CROSS:
        return None
    if leverage is None:
        if is_reducing:
            return None
        raise failed(call, "100001", "Leverage parameter invalid.")
    if leverage % 1:
        raise failed(call, "100001", "Leverage parameter invalid.")
    return int(leverage)


def _with_figures(call: Call, request: OrderRequest, act: Callable[[], _Result]) -> _Result:
    """Return what *act* returns; refusals whose text names a figure get it here."""
    try:
        return act()
    except VenueError as error:
        listing = call.venue.listing(request.symbol)
        if error.kind is Refusal.LEVERAGE:
            most = listing.market.leverage_max
            message = f"The leverage cannot be greater than {most}."
            raise failed(call, _REFUSALS[Refusal.LEVERAGE][0], message) from error
        if error.kind is Refusal.PRICE_BAND:
            raise _outside_band(call, listing, request) from error
        raise


def _outside_band(call: Call, listing: Listing, request: OrderRequest) -> ReplyError:
    quote, band = call.venue.quote(request.symbol), listing.price_band
    if quote is None or band is None or request.price is None:
        return failed(call, _ILLEGAL, "request parameter illegal")
    if request.price > quote.last:
        most = text(quote.last * (1 + band))
        return failed(call, "300011", f"Order price cannot be higher than {most}")
    least = text(quote.last * (1 - band))
    return failed(call, "300012", f"Order price cannot be lower than {least}")


# Canceling


def _cancel_by_id(call: Call, key: ApiKey) -> dict[str, list[str]]:
    order = find_by_id(call, key, call.path_params["order_id"])
    return {"cancelledOrderIds": [order_id(_cancel(call, key, order).serial)]}


def _cancel_by_client_id(call: Call, key: ApiKey) -> dict[str, str | None]:
    symbol = required(call, call.query, "symbol")
    order = find_by_client_id(call, key, call.path_params["client_id"], symbol)
    return {"clientOid": _cancel(call, key, order).client_id}


def _cancel(call: Call, key: ApiKey, order: VenueOrder | None) -> VenueOrder:
    if order is None:
        raise failed(call, *_NOT_CANCELABLE)
    return call.venue.cancel(key.account, order.serial, call.at_ms)


def _cancel_all(call: Call, key: ApiKey) -> dict[str, list[str]]:
    return _canceled(call, key, open_futures_orders(call, key))


def _cancel_stops(call: Call, key: ApiKey) -> dict[str, list[str]]:
    return _canceled(call, key, waiting_stops(call, key))


def _canceled(call: Call, key: ApiKey, orders: list[VenueOrder]) -> dict[str, list[str]]:
    for order in orders:
        call.venue.cancel(key.account, order.serial, call.at_ms)
    return {"cancelledOrderIds": [order_id(order.serial) for order in orders]}


def _cancel_many(call: Call, key: ApiKey) -> list[dict[str, Any]]:
    body = body_of(call)
    order_ids, client_ids = body.get("orderIdsList") or [], body.get("clientOidsList") or []
    if not _is_list_of(order_ids, str) or not _is_list_of(client_ids, dict):
        raise failed(call, _ILLEGAL, "request parameter illegal")
    answers = []
    for name in order_ids:
        order = find_by_id(call, key, name)
        answers.append({"orderId": name, "clientOid": None} | _try_cancel(call, key, order))
    for named in client_ids:
        client_id = str(named.get("clientOid"))
        order = find_by_client_id(call, key, client_id, str(named.get("symbol")))
        answers.append({"orderId": None, "clientOid": client_id} | _try_cancel(call, key, order))
    return answers


def _is_list_of(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _try_cancel(call: Call, key: ApiKey, order: VenueOrder | None) -> dict[str, str]:
    if order is None or not order.is_open:
        return dict(zip(("code", "msg"), _NOT_CANCELABLE, strict=True))
    call.venue.cancel(key.account, order.serial, call.at_ms)
    return {"code": "200", "msg": "success"}
