"""KuCoin futures: finding, listing and showing orders and fills.

Sizes are contracts, times of fills nanoseconds; lists come in numbered pages, newest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from backfuturectl.emulator.dialect import Call, Route
from backfuturectl.emulator.kucoin_auth import Permission, private
from backfuturectl.emulator.kucoin_positions import wire_margin_mode
from backfuturectl.emulator.kucoin_wire import (
    DAY_MS,
    FOREVER_MS,
    NS_PER_MS,
    failed,
    futures_listing,
    futures_name,
    lots,
    page,
    required,
    text,
    whole,
)
from backfuturectl.matching.refusals import VenueError
from backfuturectl.matching.values import ApiKey, MarginMode, TriggerBy, VenueFill, VenueOrder
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import OrderStatus, Side

NOT_FOUND: Final = ("100001", "error.getOrder.orderNotExist")
STOP_PRICE_TYPES: Final = {
    "TP": TriggerBy.LAST,
    "MP": TriggerBy.MARK,
    "IP": TriggerBy.INDEX,
}
ID_BASE: Final = 236_655_147_000_000_000

_WIRE_PRICE_TYPES: Final = {by: name for name, by in STOP_PRICE_TYPES.items()}
_ORDER_ID: Final = re.compile(r"[0-9]{1,18}")
_TRADE_BASE: Final = 1_784_000_000_000
_RECENT_MAX: Final = 1_000


def futures_reading_routes() -> tuple[Route, ...]:
    """Return the endpoints that read orders and fills."""

    def read(path: str, answer: Callable[[Call, ApiKey], Any], weight: int) -> Route:
        return private("GET", path, Permission.GENERAL, answer, pool="futures", weight=weight)

    orders = "/api/v1/orders"
    # Literal paths come before those with a variable in the same place.
    return (
        read(f"{orders}/byClientOid", _by_client_id, 5),
        read(f"{orders}/{{order_id}}", _by_id, 5),
        read(orders, _orders, 2),
        read("/api/v1/recentDoneOrders", _recent_done, 5),
        read("/api/v1/openOrderStatistics", _open_statistics, 10),
        read("/api/v1/fills", _fills, 5),
        private(
            "GET",
            "/api/v1/recentFills",
            Permission.FUTURES,
            _recent_fills,
            pool="futures",
            weight=3,
        ),
        read("/api/v1/stopOrders", _stop_orders, 6),
    )


# Reading


def _by_id(call: Call, key: ApiKey) -> dict[str, Any]:
    return _shown(call, _found(call, find_by_id(call, key, call.path_params["order_id"])))


def _by_client_id(call: Call, key: ApiKey) -> dict[str, Any]:
    client_id = required(call, call.query, "clientOid")
    return _shown(call, _found(call, find_by_client_id(call, key, client_id, None)))


def _found(call: Call, order: VenueOrder | None) -> VenueOrder:
    if order is None:
        raise failed(call, *NOT_FOUND)
    return order


def find_by_id(call: Call, key: ApiKey, name: str) -> VenueOrder | None:
    """Return the order with the id *name*; None when there is none (yet)."""
    if not _ORDER_ID.fullmatch(name):
        return None
    try:
        order = call.venue.order(key.account, int(name) - ID_BASE)
    except VenueError:
        return None
    return order if _is_shown(call, order) else None


def find_by_client_id(
    call: Call, key: ApiKey, client_id: str, symbol: str | None
) -> VenueOrder | None:
    """Return the newest order with *client_id*, on one market or any; None when there is none."""
    wanted = None if symbol is None else futures_listing(call, symbol).symbol
    try:
        order = call.venue.order_by_client_id(key.account, client_id, wanted)
    except VenueError:
        return None
    return order if _is_shown(call, order) else None


def _is_shown(call: Call, order: VenueOrder) -> bool:
    return call.venue.listing(order.symbol).is_futures and call.shows_order(order)


def _orders(call: Call, key: ApiKey) -> dict[str, Any]:
    """Return a page of open or done orders, newest first; stops only once they have triggered."""
    if call.query.get("status", "done") == "active":
        orders = open_futures_orders(call, key)
    else:
        orders = [order for order in _all_orders(call, key) if not order.is_open]
    return _page(call, orders)


def _stop_orders(call: Call, key: ApiKey) -> dict[str, Any]:
    """Return a page of stop orders that have not triggered, newest first."""
    return _page(call, waiting_stops(call, key))


def _page(call: Call, orders: list[VenueOrder]) -> dict[str, Any]:
    """Return a page of those of *orders*, oldest first, that the query asks for."""
    since_ms, until_ms = whole(call, "startAt", 0), whole(call, "endAt", FOREVER_MS)
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
        resting = [order for order in orders if order.side is side and not order.is_waiting]
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
    wanted_id = call.query.get("orderId")
    since_ms = 0 if wanted_id else whole(call, "startAt", 0)
    until_ms = FOREVER_MS if wanted_id else whole(call, "endAt", FOREVER_MS)
    chosen = [
        (fill, order)
        for fill, order in _fills_since(call, key, since_ms)
        if fill.at_ms <= until_ms
        and (order_id(order.serial) == wanted_id if wanted_id else _matches(call, order))
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


def open_futures_orders(call: Call, key: ApiKey) -> list[VenueOrder]:
    """Return orders on the book of the market in the query, or of all, oldest first."""
    return [order for order in _open_orders(call, key) if not order.is_waiting]


def waiting_stops(call: Call, key: ApiKey) -> list[VenueOrder]:
    """Return stop orders that have not triggered, of the market in the query or of all."""
    return [order for order in _open_orders(call, key) if order.is_waiting]


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


# Rendering


def order_id(serial: int) -> str:
    """Return an order's id as the exchange writes it."""
    return str(ID_BASE + serial)


def _shown(call: Call, order: VenueOrder) -> dict[str, Any]:
    market = call.venue.listing(order.symbol).market
    size = lots(order.amount_base or ZERO, market)
    filled = lots(order.filled_base, market)
    trigger = order.trigger
    price = order.price or order.average_price or ZERO
    return {
        "id": order_id(order.serial),
        "symbol": futures_name(market),
        "type": order.type.value,
        "side": order.side.value,
        "price": text(order.price),
        "size": size,
        "value": text((order.amount_base or ZERO) * price),
        "dealValue": text(order.filled_quote),
        "dealSize": filled,
        "stp": "",
        "stop": "" if trigger is None else "up" if trigger.is_rising else "down",
        "stopPriceType": "" if trigger is None else _WIRE_PRICE_TYPES[trigger.by],
        "stopTriggered": order.triggered_at_ms is not None,
        "stopPrice": None if trigger is None else text(trigger.price),
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
        "orderId": order_id(fill.order_serial),
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
