"""MEXC futures orders: placing, canceling, asking, and the fills.

Margin mode and leverage come with each order, as on the exchange; they are the market's settings of
the venue.

Source: the exchange's contract API v1, "Account and trading endpoints".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from backfuturectl.emulator.dialect import Reply, Route
from backfuturectl.emulator.mexc_auth import KeyedCall, keyed
from backfuturectl.emulator.mexc_contract_terms import (
    OTHER_REFUSAL,
    REFUSALS,
    choice,
    known_listing,
    margin_mode,
    wanted_listing,
)
from backfuturectl.emulator.mexc_values import (
    DAY_MS,
    Symbols,
    futures_id,
    parse_futures_id,
    symbol_id_of,
)
from backfuturectl.emulator.mexc_wire import futures_error, succeeded
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    Listing,
    MarginMode,
    OrderRequest,
    TimeInForce,
    VenueFill,
    VenueOrder,
)
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import OrderStatus, OrderType, Side

_EXTERNAL_ID_MAX: Final = 32
_CANCEL_MAX: Final = 50
_PAGE_DEFAULT: Final = 20
_PAGE_MAX: Final = 100

_OPEN_LONG, _CLOSE_SHORT, _OPEN_SHORT, _CLOSE_LONG = 1, 2, 3, 4
_SIDES: Final = {
    _OPEN_LONG: (Side.BUY, False),
    _CLOSE_SHORT: (Side.BUY, True),
    _OPEN_SHORT: (Side.SELL, False),
    _CLOSE_LONG: (Side.SELL, True),
}
_SIDE_NUMBERS: Final = {value: number for number, value in _SIDES.items()}
_POST_ONLY: Final = 2
_TYPES: Final = {
    1: (OrderType.LIMIT, TimeInForce.GTC),
    _POST_ONLY: (OrderType.LIMIT, TimeInForce.GTC),
    3: (OrderType.LIMIT, TimeInForce.IOC),
    4: (OrderType.LIMIT, TimeInForce.FOK),
    5: (OrderType.MARKET, TimeInForce.GTC),
    6: (OrderType.MARKET, TimeInForce.GTC),
}
_STATES: Final = {OrderStatus.OPEN: 2, OrderStatus.FILLED: 3, OrderStatus.CANCELED: 4}
_SIDE_WRONG: Final = (2001, "Order side error")
_TYPE_WRONG: Final = (2029, "Order type error")
_LEVERAGE_DIFFERS: Final = (2021, "The leverage is not consistent with the existing position")


class MexcContractOrders:
    """The endpoints under ``/api/v1/private/order``."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols
        self.routes = self._routes()

    def _routes(self) -> tuple[Route, ...]:
        root = "/api/v1/private/order"
        read, write = "CONTRACT_DEAL_READ", "CONTRACT_DEAL_WRITE"

        def reading(path: str, handler: Callable[[KeyedCall], Reply]) -> Route:
            return Route("GET", f"{root}/{path}", keyed(handler, read), "read")

        def writing(path: str, handler: Callable[[KeyedCall], Reply], pool: str) -> Route:
            return Route("POST", f"{root}/{path}", keyed(handler, write), pool)

        return (
            writing("create", self._create, "create"),
            writing("submit", self._create, "create"),  # the older name
            writing("cancel", _cancel, "cancel"),
            writing("cancel_with_external", self._cancel_external, "cancel"),
            writing("cancel_all", self._cancel_all, "cancel"),
            reading("get/{order_id}", self._order),
            reading("external/{symbol}/{external_id}", self._order_external),
            reading("batch_query", self._orders_by_id),
            reading("list/open_orders", self._open_orders),
            reading("list/open_orders/{symbol}", self._open_orders),
            reading("list/history_orders", self._history),
            reading("list/order_deals", self._deals),
            reading("deal_details/{order_id}", self._deals_of_order),
        )

    def _create(self, keyed: KeyedCall) -> Reply:
        parameters = keyed.parameters
        listing = known_listing(self._symbols, str(parameters.get("symbol", "")))
        request = _order_request(parameters, listing)
        venue, at_ms = keyed.call.venue, keyed.call.at_ms
        venue.check(keyed.account, request)
        self._apply_settings(keyed, listing, request)
        order = venue.place(keyed.account, request, at_ms)
        return succeeded({"orderId": futures_id(order.serial), "ts": at_ms})

    def _apply_settings(self, keyed: KeyedCall, listing: Listing, request: OrderRequest) -> None:
        """Make the market's settings what the order says; reducing orders take what there is."""
        if request.is_reduce_only:
            return
        venue, account, symbol = keyed.call.venue, keyed.account, listing.symbol
        setting = venue.setting(account, symbol)
        mode = margin_mode(keyed.parameters)
        if mode is not setting.margin_mode:
            try:
                venue.set_margin_mode(account, symbol, mode)
            except VenueError as error:
                raise VenueError(Refusal.MARGIN_MODE_DIFFERS, str(error)) from error
        if request.leverage not in {None, setting.leverage}:
            assert request.leverage is not None
            if venue.position(account, symbol) is not None:
                raise futures_error(*_LEVERAGE_DIFFERS)
            venue.set_leverage(account, symbol, request.leverage, keyed.call.at_ms)

    def _cancel_external(self, keyed: KeyedCall) -> Reply:
        order = self._external(
            keyed, str(keyed.parameters["symbol"]), str(keyed.parameters["externalOid"])
        )
        keyed.call.venue.cancel(keyed.account, order.serial, keyed.call.at_ms)
        return Reply({"success": True, "code": 0})

    def _cancel_all(self, keyed: KeyedCall) -> Reply:
        for order in self._open(keyed, wanted_listing(self._symbols, keyed)):
            keyed.call.venue.cancel(keyed.account, order.serial, keyed.call.at_ms)
        return Reply({"success": True, "code": 0})

    def _order(self, keyed: KeyedCall) -> Reply:
        order = _shown(keyed, _order_by_id(keyed, keyed.call.path_params["order_id"]))
        return succeeded(self._order_rows(keyed, [order])[0])

    def _order_external(self, keyed: KeyedCall) -> Reply:
        names = keyed.call.path_params
        order = _shown(keyed, self._external(keyed, names["symbol"], names["external_id"]))
        return succeeded(self._order_rows(keyed, [order])[0])

    def _orders_by_id(self, keyed: KeyedCall) -> Reply:
        serials = [
            parse_futures_id(text)
            for text in str(keyed.parameters.get("order_ids", "")).split(",")[:_CANCEL_MAX]
        ]
        orders = [
            order
            for order in keyed.call.venue.orders(keyed.account)
            if order.serial in serials and keyed.call.shows_order(order)
        ]
        return succeeded(self._order_rows(keyed, orders))

    def _open_orders(self, keyed: KeyedCall) -> Reply:
        name = keyed.call.path_params.get("symbol") or keyed.parameters.get("symbol")
        listing = None if name is None else known_listing(self._symbols, str(name))
        orders = [one for one in self._open(keyed, listing) if keyed.call.shows_order(one)]
        return succeeded(self._order_rows(keyed, _page(keyed, list(reversed(orders)))))

    def _history(self, keyed: KeyedCall) -> Reply:
        listing = wanted_listing(self._symbols, keyed)
        states = {int(text) for text in str(keyed.parameters.get("states", "")).split(",") if text}
        start_ms, end_ms = _window(keyed)
        symbol = None if listing is None else listing.symbol
        orders = [
            order
            for order in reversed(keyed.call.venue.orders(keyed.account, symbol))
            if self._is_futures(keyed, order.symbol)
            and start_ms <= order.created_at_ms <= end_ms
            and (not states or _STATES[order.status] in states)
            and keyed.call.shows_order(order)
        ]
        return succeeded(self._order_rows(keyed, _page(keyed, orders)))

    def _deals(self, keyed: KeyedCall) -> Reply:
        listing = known_listing(self._symbols, str(keyed.parameters.get("symbol", "")))
        start_ms, end_ms = _window(keyed)
        fills = [
            fill
            for fill in reversed(
                keyed.call.venue.fills(keyed.account, listing.symbol, since_ms=start_ms)
            )
            if fill.at_ms <= end_ms and keyed.call.shows_fill(fill)
        ]
        return succeeded(_fill_rows(keyed, listing, _page(keyed, fills)))

    def _deals_of_order(self, keyed: KeyedCall) -> Reply:
        order = _order_by_id(keyed, keyed.call.path_params["order_id"])
        fills = [
            fill
            for fill in keyed.call.venue.fills(keyed.account, order.symbol)
            if fill.order_serial == order.serial and keyed.call.shows_fill(fill)
        ]
        return succeeded(_fill_rows(keyed, keyed.call.venue.listing(order.symbol), fills))

    def _order_rows(self, keyed: KeyedCall, orders: Iterable[VenueOrder]) -> list[dict[str, Any]]:
        """Return rows with fees by maker and taker, which only the fills tell apart."""
        wanted = tuple(orders)
        fees: dict[tuple[int, bool], Decimal] = {}
        for symbol in {order.symbol for order in wanted if order.filled_base}:
            for fill in keyed.call.venue.fills(keyed.account, symbol):
                place = (fill.order_serial, fill.is_maker)
                fees[place] = fees.get(place, ZERO) + fill.fee.amount
        return [
            _order_row(
                order,
                keyed.call.venue.listing(order.symbol),
                maker_fee=fees.get((order.serial, True), ZERO),
                taker_fee=fees.get((order.serial, False), ZERO),
            )
            for order in wanted
        ]

    def _open(self, keyed: KeyedCall, listing: Listing | None) -> list[VenueOrder]:
        symbol = None if listing is None else listing.symbol
        orders = keyed.call.venue.open_orders(keyed.account, symbol)
        return [order for order in orders if self._is_futures(keyed, order.symbol)]

    def _is_futures(self, keyed: KeyedCall, symbol: str) -> bool:
        return keyed.call.venue.listing(symbol).is_futures

    def _external(self, keyed: KeyedCall, symbol_id: str, external_id: str) -> VenueOrder:
        symbol = known_listing(self._symbols, symbol_id).symbol
        return keyed.call.venue.order_by_client_id(keyed.account, external_id, symbol)


def _order_request(parameters: Mapping[str, Any], listing: Listing) -> OrderRequest:
    side, is_closing = choice(_SIDES, parameters["side"], _SIDE_WRONG)
    order_type, time_in_force = choice(_TYPES, parameters["type"], _TYPE_WRONG)
    external_id = parameters.get("externalOid")
    if external_id is not None and len(str(external_id)) > _EXTERNAL_ID_MAX:
        raise VenueError(Refusal.CLIENT_ID_INVALID, "length")
    leverage = parameters.get("leverage")
    is_reduce_only = is_closing or parameters.get("reduceOnly") is True
    if leverage is None and not is_reduce_only and margin_mode(parameters) is MarginMode.ISOLATED:
        raise VenueError(Refusal.LEVERAGE, "isolated orders name their leverage")
    return OrderRequest(
        symbol=listing.symbol,
        side=side,
        type=order_type,
        amount_base=Decimal(str(parameters["vol"])) * listing.market.contract_size,
        price=Decimal(str(parameters["price"])) if order_type is OrderType.LIMIT else None,
        client_id=None if external_id is None else str(external_id),
        time_in_force=time_in_force,
        is_post_only=int(parameters["type"]) == _POST_ONLY,
        is_reduce_only=is_reduce_only,
        leverage=None if leverage is None else int(leverage),
        is_hedge=int(parameters.get("positionMode") or 2) == 1,
    )


def _cancel(keyed: KeyedCall) -> Reply:
    """Cancel up to fifty orders; each has its own outcome, the call as a whole succeeds."""
    if not isinstance(keyed.parameters, list) or not 1 <= len(keyed.parameters) <= _CANCEL_MAX:
        raise futures_error(*OTHER_REFUSAL)
    return succeeded([_cancel_row(keyed, str(order_id)) for order_id in keyed.parameters])


def _cancel_row(keyed: KeyedCall, order_id: str) -> dict[str, Any]:
    code, message = 0, "success"
    try:
        order = _order_by_id(keyed, order_id)
        keyed.call.venue.cancel(keyed.account, order.serial, keyed.call.at_ms)
    except VenueError as error:
        code, message = REFUSALS.get(error.kind, OTHER_REFUSAL)
    return {
        "orderId": int(order_id) if order_id.isascii() and order_id.isdigit() else order_id,
        "errorCode": code,
        "errorMsg": message,
    }


def _order_by_id(keyed: KeyedCall, order_id: str) -> VenueOrder:
    order = keyed.call.venue.order(keyed.account, parse_futures_id(order_id))
    if not keyed.call.venue.listing(order.symbol).is_futures:
        raise VenueError(Refusal.ORDER_NOT_FOUND, "the order is on spot")
    return order


def _shown(keyed: KeyedCall, order: VenueOrder) -> VenueOrder:
    if not keyed.call.shows_order(order):
        raise VenueError(Refusal.ORDER_NOT_FOUND, "not to be seen yet")
    return order


def _window(keyed: KeyedCall) -> tuple[int, int]:
    # Without an end nothing is cut off, so that a clock set back hides nothing.
    return keyed.whole("start_time", 0), keyed.whole("end_time", keyed.call.at_ms + DAY_MS)


def _page(keyed: KeyedCall, items: list[Any]) -> list[Any]:
    size = min(keyed.whole("page_size", _PAGE_DEFAULT), _PAGE_MAX)
    start = (max(1, keyed.whole("page_num", 1)) - 1) * size
    return items[start : start + size]


def _order_row(
    order: VenueOrder, listing: Listing, *, maker_fee: Decimal, taker_fee: Decimal
) -> dict[str, Any]:
    size = listing.market.contract_size
    is_isolated = order.margin_mode is MarginMode.ISOLATED
    return {
        "orderId": futures_id(order.serial),
        "symbol": symbol_id_of(listing),
        "positionId": 0,
        "price": order.price or order.average_price or ZERO,
        "vol": (order.amount_base or ZERO) / size,
        "leverage": order.leverage,
        "side": _SIDE_NUMBERS[order.side, order.is_reduce_only],
        "category": 2 if order.is_liquidation else 1,
        "orderType": _type_number(order),
        "dealAvgPrice": order.average_price or ZERO,
        "dealVol": order.filled_base / size,
        "orderMargin": 0,
        "takerFee": taker_fee,
        "makerFee": maker_fee,
        "profit": 0,
        "feeCurrency": listing.market.quote,
        "openType": 1 if is_isolated else 2,
        "state": _STATES[order.status],
        "externalOid": order.client_id or "",
        "errorCode": 0,
        "usedMargin": 0,
        "createTime": order.created_at_ms,
        "updateTime": order.updated_at_ms,
        "positionMode": 2,
    }


def _type_number(order: VenueOrder) -> int:
    if order.type is OrderType.MARKET:
        return 5
    if order.is_post_only:
        return _POST_ONLY
    return {TimeInForce.GTC: 1, TimeInForce.IOC: 3, TimeInForce.FOK: 4}[order.time_in_force]


def _fill_rows(keyed: KeyedCall, listing: Listing, fills: list[VenueFill]) -> list[dict[str, Any]]:
    rows = []
    for fill in fills:
        order = keyed.call.venue.order(keyed.account, fill.order_serial)
        rows.append(
            {
                "id": futures_id(fill.serial),
                "symbol": symbol_id_of(listing),
                "side": _SIDE_NUMBERS[fill.side, order.is_reduce_only],
                "vol": fill.amount_base / listing.market.contract_size,
                "price": fill.price,
                "feeCurrency": fill.fee.currency,
                "fee": fill.fee.amount,
                "timestamp": fill.at_ms,
                "profit": fill.realised_quote,
                "isTaker": not fill.is_maker,
                "taker": not fill.is_maker,
                "category": 2 if fill.is_liquidation else 1,
                "orderId": futures_id(fill.order_serial),
                "positionMode": 2,
            }
        )
    return rows
