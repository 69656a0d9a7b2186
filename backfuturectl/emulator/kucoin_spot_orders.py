"""KuCoin spot: finding, listing and showing orders and fills.

A look-up names the market; history is served in weeks and batches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar

from backfuturectl.emulator.dialect import Call, Route
from backfuturectl.emulator.kucoin_auth import Permission, private
from backfuturectl.emulator.kucoin_wire import (
    DAY_MS,
    FOREVER_MS,
    failed,
    page,
    required,
    spot_listing,
    spot_name,
    text,
    whole,
)
from backfuturectl.matching.refusals import VenueError
from backfuturectl.matching.values import ApiKey, VenueFill, VenueOrder
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import OrderStatus

NOT_FOUND: Final = ("400100", "The order does not exist.")

_Item = TypeVar("_Item")

# 24 hexadecimal digits, as the exchange's own; the last eight are the serial number.
_ORDER_ID_PREFIX: Final = "6717422bd51c2900"
_ORDER_ID: Final = re.compile(_ORDER_ID_PREFIX + r"([0-9a-f]{8})")
_CURSOR_BASE: Final = 19_814_995_000_000
_TRADE_BASE: Final = 11_029_373_000_000_000
_LIMIT_DEFAULT: Final = 20
_LIMIT_MAX: Final = 100
_RANGE_MAX_MS: Final = 7 * DAY_MS


def spot_reading_routes() -> tuple[Route, ...]:
    """Return the endpoints that read orders and fills."""

    def read(path: str, answer: Callable[[Call, ApiKey], Any], weight: int = 2) -> Route:
        return private("GET", path, Permission.GENERAL, answer, pool="spot", weight=weight)

    def trader_read(path: str, answer: Callable[[Call, ApiKey], Any]) -> Route:
        return private("GET", path, Permission.SPOT, answer, pool="spot", weight=2)

    orders = "/api/v1/hf/orders"
    # Literal paths come before those with a variable in the same place.
    return (
        trader_read(f"{orders}/active/symbols", _active_symbols),
        trader_read(f"{orders}/dead-cancel-all/query", _dead_man_switch),
        read(f"{orders}/active/page", _active_page),
        read(f"{orders}/active", _active),
        read(f"{orders}/done", _done),
        read(f"{orders}/client-order/{{client_id}}", _by_client_id),
        read(f"{orders}/{{order_id}}", _by_id),
        read("/api/v1/hf/fills", _fills),
        # Conditional orders are not emulated; clients that look for theirs find none.
        read("/api/v1/stop-order", _no_stop_orders, 8),
    )


# Reading


def _by_id(call: Call, key: ApiKey) -> dict[str, Any]:
    return _shown(call, _found(call, find_by_id(call, key)))


def _by_client_id(call: Call, key: ApiKey) -> dict[str, Any]:
    return _shown(call, _found(call, find_by_client_id(call, key)))


def _found(call: Call, order: VenueOrder | None) -> VenueOrder:
    if order is None:
        raise failed(call, *NOT_FOUND)
    return order


def find_by_id(call: Call, key: ApiKey) -> VenueOrder | None:
    """Return the order in the path, on the market in the query; None when there is none (yet)."""
    listing = spot_listing(call, required(call, call.query, "symbol"))
    match = _ORDER_ID.fullmatch(call.path_params["order_id"])
    if match is None:
        return None
    try:
        order = call.venue.order(key.account, int(match[1], 16))
    except VenueError:
        return None
    return order if order.symbol == listing.symbol and call.shows_order(order) else None


def find_by_client_id(call: Call, key: ApiKey) -> VenueOrder | None:
    """Return the newest order with the client id in the path; None when there is none (yet)."""
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
    orders = [order for order in open_spot_orders(call, key) if call.shows_order(order)]
    return {"symbols": symbols_of(call, orders)}


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
    wanted_id = call.query.get("orderId")
    if wanted_id:
        since_ms, until_ms = 0, FOREVER_MS
    pairs = [
        (fill, call.venue.order(key.account, fill.order_serial))
        for fill in call.venue.fills(key.account, listing.symbol, since_ms=since_ms)
        if fill.at_ms <= until_ms
        and call.shows_fill(fill)
        and wanted_id in {None, "", order_id(fill.order_serial)}
    ]
    pairs = [(fill, order) for fill, order in pairs if wanted_id or _matches(call, order)]
    chosen, last_id = _batch_before(call, pairs, [fill.serial for fill, _ in pairs])
    return {"items": [_shown_fill(call, *pair) for pair in chosen], "lastId": last_id}


def _time_range(call: Call) -> tuple[int, int]:
    """Return the range of a history query: a week at most, the last one unless told otherwise."""
    start_ms, end_ms = whole(call, "startAt", 0), whole(call, "endAt", 0)
    if not start_ms:
        return (end_ms or call.at_ms) - _RANGE_MAX_MS, end_ms or FOREVER_MS
    end_ms = end_ms or start_ms + _RANGE_MAX_MS
    if not 0 <= end_ms - start_ms <= _RANGE_MAX_MS:
        raise failed(call, "102425", "time range is not supported")
    return start_ms, end_ms


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


def open_spot_orders(call: Call, key: ApiKey) -> list[VenueOrder]:
    """Return the account's open orders on all spot markets, oldest first."""
    orders = call.venue.open_orders(key.account)
    return [order for order in orders if not call.venue.listing(order.symbol).is_futures]


def symbols_of(call: Call, orders: Iterable[VenueOrder]) -> list[str]:
    """Return the names of the markets that *orders* are on."""
    return sorted({spot_name(call.venue.listing(order.symbol).market) for order in orders})


# Rendering


def order_id(serial: int) -> str:
    """Return an order's id as the exchange writes it."""
    return f"{_ORDER_ID_PREFIX}{serial:08x}"


def created(order: VenueOrder) -> dict[str, Any]:
    """Return what a synchronous create answers."""
    return {
        "orderId": order_id(order.serial),
        "clientOid": order.client_id,
        "orderTime": order.created_at_ms,
        "matchTime": order.updated_at_ms,
    } | sizes(order)


def sizes(order: VenueOrder) -> dict[str, str]:
    """Return how much of the order is filled, left and canceled."""
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
        "id": order_id(order.serial),
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
        "orderId": order_id(fill.order_serial),
        "counterOrderId": order_id(2**32 - fill.serial),
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
