"""KuCoin futures (api-futures.kucoin.com): orders and fills, and the host as a whole.

Sizes are contracts (lots), times in fills nanoseconds, bitcoin is XBT.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from backfuturectl.emulator.dialect import Call, Exchange, ReplyError, Route
from backfuturectl.emulator.kucoin_account import common_routes
from backfuturectl.emulator.kucoin_auth import Permission, private
from backfuturectl.emulator.kucoin_futures_market import futures_market_routes, quoted
from backfuturectl.emulator.kucoin_positions import (
    position_routes,
    venue_margin_mode,
    wire_margin_mode,
)
from backfuturectl.emulator.kucoin_spot import CLIENT_ID
from backfuturectl.emulator.kucoin_wire import (
    DAY_MS,
    NS_PER_MS,
    SUCCESS,
    KucoinDialect,
    body_of,
    decimal_of,
    failed,
    futures_listing,
    futures_name,
    lots,
    page,
    required,
    text,
    whole,
)
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    ApiKey,
    Listing,
    MarginMode,
    OrderRequest,
    TimeInForce,
    VenueFill,
    VenueOrder,
)
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import OrderStatus, OrderType, Side

_ID_BASE: Final = 236_655_147_000_000_000
_TRADE_BASE: Final = 1_784_000_000_000
_BATCH_MAX: Final = 20
_RECENT_MAX: Final = 1_000

_NOT_FOUND: Final = ("100001", "error.getOrder.orderNotExist")
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
    Refusal.ORDER_NOT_FOUND: _NOT_FOUND,
    Refusal.ORDER_NOT_CANCELABLE: _NOT_CANCELABLE,
    Refusal.TOO_MANY_ORDERS: ("300001", "Active order quantity limit exceeded."),
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
        *common_routes(pool="futures"),
        *futures_market_routes(),
        *position_routes(),
        *_order_routes(),
    )
    return KucoinDialect(host="kucoin-futures", routes=routes, refusals=_REFUSALS)


def _order_routes() -> tuple[Route, ...]:
    def trade(method: str, path: str, answer: Callable[[Call, ApiKey], Any], weight: int) -> Route:
        return private(method, path, Permission.FUTURES, answer, pool="futures", weight=weight)

    def read(path: str, answer: Callable[[Call, ApiKey], Any], weight: int) -> Route:
        return private("GET", path, Permission.GENERAL, answer, pool="futures", weight=weight)

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
        read(f"{orders}/byClientOid", _by_client_id, 5),
        read(f"{orders}/{{order_id}}", _by_id, 5),
        read(orders, _orders, 2),
        read("/api/v1/recentDoneOrders", _recent_done, 5),
        read("/api/v1/openOrderStatistics", _open_statistics, 10),
        read("/api/v1/fills", _fills, 5),
        trade("GET", "/api/v1/recentFills", _recent_fills, 3),
        # Conditional orders are not emulated; clients that look for theirs find none.
        read("/api/v1/stopOrders", _no_stop_orders, 6),
        trade("DELETE", "/api/v1/stopOrders", _no_stop_cancel, 15),
    )


# Creating


def _create(call: Call, key: ApiKey) -> dict[str, Any]:
    order = _place(call, key, body_of(call))
    return {"orderId": _order_id(order.serial), "clientOid": order.client_id}


def _test(call: Call, key: ApiKey) -> dict[str, Any]:
    request = _request(call, key, body_of(call))
    call.venue.check(key.account, request)
    # The exchange makes an id up, too; no order has it.
    return {"orderId": str(_ID_BASE - call.at_ms), "clientOid": request.client_id}


def _create_many(call: Call, key: ApiKey) -> list[dict[str, Any]]:
    wanted = call.json()
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= _BATCH_MAX:
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
            answer["orderId"] = _order_id(_place(call, key, body).serial)
        except VenueError as error:
            answer["code"], answer["msg"] = _REFUSALS[error.kind]
        except ReplyError as error:
            answer |= error.reply.content
        answers.append(answer)
    return answers


def _place(call: Call, key: ApiKey, body: dict[str, Any]) -> VenueOrder:
    request = _request(call, key, body)
    if call.exchange.is_cancel_only:
        raise failed(call, *_REFUSALS[Refusal.SYMBOL_CLOSED])
    try:
        return call.venue.place(key.account, request, call.at_ms)
    except VenueError as error:
        if error.kind is Refusal.PRICE_BAND:
            raise _outside_band(call, request) from error
        raise


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
    if body.get("stop"):
        # A conditional order placed as a plain one would trade at once.
        raise failed(call, _ILLEGAL, "stop orders are not supported here")
    price = decimal_of(call, body, "price") if kind == "limit" else None
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
        is_hedge=body.get("positionSide") in {"LONG", "SHORT"},
    )


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
    if body.get("side") not in {"buy", "sell"}:
        raise failed(call, _ILLEGAL, "request parameter illegal")
    side = Side(body["side"])
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


def _outside_band(call: Call, request: OrderRequest) -> ReplyError:
    listing = call.venue.listing(request.symbol)
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
    order = _find_by_id(call, key, call.path_params["order_id"])
    return {"cancelledOrderIds": [_order_id(_cancel(call, key, order).serial)]}


def _cancel_by_client_id(call: Call, key: ApiKey) -> dict[str, str | None]:
    symbol = required(call, call.query, "symbol")
    order = _find_by_client_id(call, key, call.path_params["client_id"], symbol)
    return {"clientOid": _cancel(call, key, order).client_id}


def _cancel(call: Call, key: ApiKey, order: VenueOrder | None) -> VenueOrder:
    if order is None:
        raise failed(call, *_NOT_CANCELABLE)
    return call.venue.cancel(key.account, order.serial, call.at_ms)


def _cancel_all(call: Call, key: ApiKey) -> dict[str, list[str]]:
    orders = _open_orders(call, key)
    for order in orders:
        call.venue.cancel(key.account, order.serial, call.at_ms)
    return {"cancelledOrderIds": [_order_id(order.serial) for order in orders]}


def _cancel_many(call: Call, key: ApiKey) -> list[dict[str, Any]]:
    body = body_of(call)
    answers = []
    for order_id in body.get("orderIdsList") or ():
        order = _find_by_id(call, key, str(order_id))
        answers.append({"orderId": order_id, "clientOid": None} | _try_cancel(call, key, order))
    for named in body.get("clientOidsList") or ():
        client_id = str(named.get("clientOid"))
        order = _find_by_client_id(call, key, client_id, str(named.get("symbol")))
        answers.append({"orderId": None, "clientOid": client_id} | _try_cancel(call, key, order))
    return answers


def _try_cancel(call: Call, key: ApiKey, order: VenueOrder | None) -> dict[str, str]:
    if order is None or not order.is_open:
        return dict(zip(("code", "msg"), _NOT_CANCELABLE, strict=True))
    call.venue.cancel(key.account, order.serial, call.at_ms)
    return {"code": "200", "msg": "success"}


# Reading


def _by_id(call: Call, key: ApiKey) -> dict[str, Any]:
    return _shown(call, _found(call, _find_by_id(call, key, call.path_params["order_id"])))


def _by_client_id(call: Call, key: ApiKey) -> dict[str, Any]:
    client_id = required(call, call.query, "clientOid")
    return _shown(call, _found(call, _find_by_client_id(call, key, client_id, None)))


def _found(call: Call, order: VenueOrder | None) -> VenueOrder:
    if order is None:
        raise failed(call, *_NOT_FOUND)
    return order


def _find_by_id(call: Call, key: ApiKey, order_id: str) -> VenueOrder | None:
    if not re.fullmatch(r"\d{1,18}", order_id):
        return None
    try:
        order = call.venue.order(key.account, int(order_id) - _ID_BASE)
    except VenueError:
        return None
    return order if _is_shown(call, order) else None


def _find_by_client_id(
    call: Call, key: ApiKey, client_id: str, symbol: str | None
) -> VenueOrder | None:
    wanted = None if symbol is None else futures_listing(call, symbol).symbol
    try:
        order = call.venue.order_by_client_id(key.account, client_id, wanted)
    except VenueError:
        return None
    return order if _is_shown(call, order) else None


def _is_shown(call: Call, order: VenueOrder) -> bool:
    return call.venue.listing(order.symbol).is_futures and call.shows_order(order)


def _orders(call: Call, key: ApiKey) -> dict[str, Any]:
    """Return a page of open or done orders, newest first."""
    if call.query.get("status", "done") == "active":
        orders = _open_orders(call, key)
    else:
        orders = [order for order in _all_orders(call, key) if not order.is_open]
    since_ms, until_ms = whole(call, "startAt", 0), whole(call, "endAt", call.at_ms)
    chosen = [
        order
        for order in reversed(orders)
        if _is_shown(call, order)
        and since_ms <= order.created_at_ms <= until_ms
        and _matches(call, order)
    ]
    return page(call, chosen, lambda order: _shown(call, order))


def _recent_done(call: Call, key: ApiKey) -> list[dict[str, Any]]:
    recent = [
        order
        for order in reversed(_all_orders(call, key))
        if not order.is_open
        and _is_shown(call, order)
        and order.updated_at_ms > call.at_ms - DAY_MS
    ]
    return [_shown(call, order) for order in recent[:_RECENT_MAX]]


def _open_statistics(call: Call, key: ApiKey) -> dict[str, Any]:
    listing = futures_listing(call, required(call, call.query, "symbol"))
    orders = call.venue.open_orders(key.account, listing.symbol)

    def total(side: Side) -> tuple[int, str]:
        resting = [order for order in orders if order.side is side]
        amount = sum((order.remaining_base for order in resting), ZERO)
        cost = sum((order.remaining_base * (order.price or ZERO) for order in resting), ZERO)
        return lots(amount, listing.market), text(cost)

    (buy_size, buy_cost), (sell_size, sell_cost) = total(Side.BUY), total(Side.SELL)
    return {
        "openOrderBuySize": buy_size,
        "openOrderSellSize": sell_size,
        "openOrderBuyCost": buy_cost,
        "openOrderSellCost": sell_cost,
        "settleCurrency": listing.market.quote,
    }


def _fills(call: Call, key: ApiKey) -> dict[str, Any]:
    """Return a page of fills, newest first; of one order where the query names it."""
    order_id = call.query.get("orderId")
    since_ms = 0 if order_id else whole(call, "startAt", 0)
    until_ms = call.at_ms if order_id else whole(call, "endAt", call.at_ms)
    chosen = [
        (fill, order)
        for fill, order in _fills_since(call, key, since_ms)
        if fill.at_ms <= until_ms
        and (_order_id(order.serial) == order_id if order_id else _matches(call, order))
    ]
    return page(call, chosen, lambda pair: _shown_fill(call, *pair))


def _recent_fills(call: Call, key: ApiKey) -> list[dict[str, Any]]:
    recent = _fills_since(call, key, call.at_ms - DAY_MS)[:_RECENT_MAX]
    return [_shown_fill(call, fill, order) for fill, order in recent]


def _fills_since(call: Call, key: ApiKey, since_ms: int) -> list[tuple[VenueFill, VenueOrder]]:
    """Return fills of the market in the query, or of all, with their orders; newest first."""
    fills = call.venue.fills(key.account, _symbol_or_none(call), since_ms=since_ms)
    return [
        (fill, call.venue.order(key.account, fill.order_serial))
        for fill in reversed(fills)
        if call.venue.listing(fill.symbol).is_futures and call.shows_fill(fill)
    ]


def _open_orders(call: Call, key: ApiKey) -> list[VenueOrder]:
    return _futures_only(call, call.venue.open_orders(key.account, _symbol_or_none(call)))


def _all_orders(call: Call, key: ApiKey) -> list[VenueOrder]:
    return _futures_only(call, call.venue.orders(key.account, _symbol_or_none(call)))


def _futures_only(call: Call, orders: Iterable[VenueOrder]) -> list[VenueOrder]:
    return [order for order in orders if call.venue.listing(order.symbol).is_futures]


def _symbol_or_none(call: Call) -> str | None:
    name = call.query.get("symbol")
    return futures_listing(call, name).symbol if name else None


def _matches(call: Call, order: VenueOrder) -> bool:
    side, kind = call.query.get("side"), call.query.get("type")
    return side in {None, "", order.side.value} and kind in {None, "", order.type.value}


def _no_stop_orders(call: Call, _key: ApiKey) -> dict[str, Any]:
    return page(call, (), lambda order: order)


def _no_stop_cancel(_call: Call, _key: ApiKey) -> dict[str, list[str]]:
    return {"cancelledOrderIds": []}


# Rendering


def _order_id(serial: int) -> str:
    return str(_ID_BASE + serial)


def _shown(call: Call, order: VenueOrder) -> dict[str, Any]:
    market = call.venue.listing(order.symbol).market
    size = lots(order.amount_base or ZERO, market)
    filled = lots(order.filled_base, market)
    price = order.price or order.average_price or ZERO
    return {
        "id": _order_id(order.serial),
        "symbol": futures_name(market),
        "type": order.type.value,
        "side": order.side.value,
        "price": text(order.price),
        "size": size,
        "value": text((order.amount_base or ZERO) * price),
        "dealValue": text(order.filled_quote),
        "dealSize": filled,
        "stp": "",
        "stop": "",
        "stopPriceType": "",
        "stopTriggered": False,
        "stopPrice": None,
        "timeInForce": order.time_in_force.value.upper(),
        "postOnly": order.is_post_only,
        "hidden": False,
        "iceberg": False,
        "leverage": str(order.leverage),
        "forceHold": False,
        "closeOrder": False,
        "visibleSize": 0,
        "clientOid": order.client_id,
        "remark": None,
        "tags": "",
        "isActive": order.is_open,
        "cancelExist": order.status is OrderStatus.CANCELED,
        "createdAt": order.created_at_ms,
        "updatedAt": order.updated_at_ms,
        "endAt": None if order.is_open else order.updated_at_ms,
        "orderTime": order.created_at_ms * NS_PER_MS,
        "settleCurrency": market.quote,
        "marginMode": wire_margin_mode(order.margin_mode or MarginMode.ISOLATED),
        "avgDealPrice": text(order.average_price),
        "filledSize": filled,
        "filledValue": text(order.filled_quote),
        "status": "open" if order.is_open else "done",
        "reduceOnly": order.is_reduce_only,
    }


def _shown_fill(call: Call, fill: VenueFill, order: VenueOrder) -> dict[str, Any]:
    market = call.venue.listing(fill.symbol).market
    fee = text(fill.fee.amount)
    is_closing = order.is_reduce_only or fill.realised_quote != 0
    return {
        "symbol": futures_name(market),
        "tradeId": str(_TRADE_BASE + fill.serial),
        "orderId": _order_id(fill.order_serial),
        "side": fill.side.value,
        "liquidity": "maker" if fill.is_maker else "taker",
        "forceTaker": False,
        "price": text(fill.price),
        "size": lots(fill.amount_base, market),
        "value": text(fill.cost_quote),
        "openFeePay": "0" if is_closing else fee,
        "closeFeePay": fee if is_closing else "0",
        "stop": "",
        "feeRate": f"{fill.fee_rate:.5f}",
        "fixFee": "0",
        "feeCurrency": fill.fee.currency,
        "subTradeType": None,
        "marginMode": wire_margin_mode(order.margin_mode or MarginMode.ISOLATED),
        "openFeeTaxPay": "0",
        "closeFeeTaxPay": "0",
        "displayType": order.type.value,
        "fee": fee,
        "settleCurrency": market.quote,
        "orderType": order.type.value,
        "tradeType": "liquid" if fill.is_liquidation else "trade",
        "tradeTime": fill.at_ms * NS_PER_MS,
        "createdAt": fill.at_ms,
    }
