"""MEXC futures behind a key: assets, positions, settings, orders, fills.

Positions are one-way: an account in hedge mode, which is the exchange's default, gets its orders
refused here until it changes the mode. Margin mode and leverage come with each order, as on the
exchange; they are the market's settings of the venue.

Source: the exchange's contract API v1, "Account and trading endpoints".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

from backfuturectl.emulator.dialect import Call, Handler, Reply, Route
from backfuturectl.emulator.mexc_auth import authorise_futures, futures_error
from backfuturectl.emulator.mexc_values import (
    DAY_MS,
    Symbols,
    futures_id,
    parse_futures_id,
    symbol_id_of,
)
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    ApiKey,
    FuturesOverview,
    Listing,
    MarginMode,
    OrderRequest,
    PositionMode,
    TimeInForce,
    VenueFill,
    VenueOrder,
    VenuePosition,
    Wallet,
)
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import OrderStatus, OrderType, Side

T = TypeVar("T")

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
_MARGIN_MODES: Final = {1: MarginMode.ISOLATED, 2: MarginMode.CROSS}
_MARGIN_NUMBERS: Final = {mode: number for number, mode in _MARGIN_MODES.items()}
_POSITION_MODES: Final = {1: PositionMode.HEDGE, 2: PositionMode.ONE_WAY}
_STATES: Final = {OrderStatus.OPEN: 2, OrderStatus.FILLED: 3, OrderStatus.CANCELED: 4}

_REFUSALS: Final[Mapping[Refusal, tuple[int, str]]] = {
    Refusal.SYMBOL_UNKNOWN: (1001, "Contract does not exist"),
    Refusal.SYMBOL_CLOSED: (1002, "Contract not allow place order!"),
    Refusal.PRICE_MISSING: (1002, "Contract not allow place order!"),
    Refusal.AMOUNT_BELOW_MINIMUM: (2008, "The quantity is insufficient"),
    Refusal.COST_BELOW_MINIMUM: (2008, "The quantity is insufficient"),
    Refusal.AMOUNT_ABOVE_MAXIMUM: (2028, "The maximum order quantity is exceeded"),
    Refusal.AMOUNT_PRECISION: (2015, "Price or quantity accuracy error"),
    Refusal.PRICE_PRECISION: (2015, "Price or quantity accuracy error"),
    Refusal.PRICE_BAND: (2007, "Order price error"),
    Refusal.INSUFFICIENT_BALANCE: (2005, "Insufficient balance!"),
    Refusal.CLIENT_ID_INVALID: (2030, "The external order ID is too long"),
    Refusal.ORDER_NOT_FOUND: (2040, "order not exist"),
    Refusal.ORDER_NOT_CANCELABLE: (2041, "order state cannot be cancelled"),
    Refusal.TOO_MANY_ORDERS: (2036, "The orders more than the limit"),
    Refusal.REDUCE_ONLY_REJECTED: (2009, "Position is not exists or closed."),
    Refusal.LEVERAGE: (2006, "Leverage ratio error"),
    Refusal.MARGIN_MODE_DIFFERS: (2027, "There is only one cross or isolated position"),
    Refusal.POSITION_MODE_DIFFERS: (600, "Parameter error: position mode"),  # UNVERIFIED
    Refusal.POSITION_OPEN: (2019, "There is an active open position"),
    Refusal.ACCOUNT_UNKNOWN: (1000, "Account does not exist"),
}
_OTHER_REFUSAL: Final = (600, "Parameter error")
_SIDE_WRONG: Final = (2001, "Order side error")
_OPEN_TYPE_WRONG: Final = (2002, "Opening type error")
_TYPE_WRONG: Final = (2029, "Order type error")
_LEVERAGE_DIFFERS: Final = (2021, "The leverage is not consistent with the existing position")


def succeeded(content: Any) -> Reply:
    """Return a success with its *content*."""
    return Reply({"success": True, "code": 0, "data": content})


@dataclass(frozen=True, slots=True)
class KeyedCall:
    """A call whose key was accepted.

    Attributes:
        parameters: The query of a GET, the JSON body of a POST: an object or a list.
    """

    call: Call
    key: ApiKey
    parameters: Any

    @property
    def account(self) -> str:
        """The account the key belongs to."""
        return self.key.account

    def whole(self, name: str, default: int) -> int:
        """Return a parameter that is a whole number."""
        return int(self.parameters.get(name, default))


class MexcContractAccount:
    """The endpoints under ``/api/v1/private``."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols
        self.routes = (
            *self._account_routes(),
            *self._order_routes(),
        )

    def _account_routes(self) -> tuple[Route, ...]:
        root = "/api/v1/private"
        read, write = "CONTRACT_ACCOUNT_READ", "CONTRACT_ACCOUNT_WRITE"
        return (
            Route("GET", f"{root}/account/assets", _keyed(_assets, read), "account"),
            Route("GET", f"{root}/account/asset/{{currency}}", _keyed(_asset, read), "account"),
            Route(
                "GET", f"{root}/position/open_positions", _keyed(self._positions, read), "account"
            ),
            Route("GET", f"{root}/position/leverage", _keyed(self._leverage, read), "account"),
            Route("GET", f"{root}/position/position_mode", _keyed(_position_mode, read), "account"),
            Route(
                "POST",
                f"{root}/position/change_position_mode",
                _keyed(_change_position_mode, write),
                "account",
            ),
            Route(
                "POST",
                f"{root}/position/change_leverage",
                _keyed(self._change_leverage, write),
                "account",
            ),
        )

    def _order_routes(self) -> tuple[Route, ...]:
        root = "/api/v1/private/order"
        read, write = "CONTRACT_DEAL_READ", "CONTRACT_DEAL_WRITE"

        def reading(path: str, handler: Callable[[KeyedCall], Reply]) -> Route:
            return Route("GET", f"{root}/{path}", _keyed(handler, read), "read")

        def writing(path: str, handler: Callable[[KeyedCall], Reply], pool: str) -> Route:
            return Route("POST", f"{root}/{path}", _keyed(handler, write), pool)

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

    def refused(self, error: VenueError) -> Reply:
        """Return the exchange's answer to what the venue refused."""
        return futures_error(*_REFUSALS.get(error.kind, _OTHER_REFUSAL)).reply

    # Positions and settings

    def _positions(self, keyed: KeyedCall) -> Reply:
        wanted = self._wanted(keyed)
        return succeeded(
            [
                _position_row(keyed, position)
                for position in keyed.call.venue.positions(keyed.account)
                if wanted is None or position.symbol == wanted.symbol
            ]
        )

    def _leverage(self, keyed: KeyedCall) -> Reply:
        listing = self._known(keyed.parameters.get("symbol", ""))
        setting = keyed.call.venue.setting(keyed.account, listing.symbol)
        market = listing.market
        return succeeded(
            [
                {
                    "level": 1,
                    "maxVol": 1_000_000,
                    "mmr": market.maintenance_margin,
                    "imr": 1 / Decimal(market.leverage_max),
                    "positionType": position_type,
                    "openType": _MARGIN_NUMBERS[setting.margin_mode],
                    "leverage": setting.leverage,
                    "limitBySys": False,
                    "currentMmr": market.maintenance_margin,
                }
                for position_type in (1, 2)
            ]
        )

    def _change_leverage(self, keyed: KeyedCall) -> Reply:
        """Set leverage by position id, or by symbol and margin mode; both sides share it."""
        venue, call = keyed.call.venue, keyed.call
        leverage = int(keyed.parameters["leverage"])
        if "positionId" in keyed.parameters:
            position = _position_of(keyed, int(keyed.parameters["positionId"]))
            venue.set_leverage(keyed.account, position.symbol, leverage, call.at_ms)
            return Reply({"success": True, "code": 0})
        listing = self._known(str(keyed.parameters.get("symbol", "")))
        mode = _margin_mode(keyed.parameters)
        venue.set_margin_mode(keyed.account, listing.symbol, mode)
        venue.set_leverage(keyed.account, listing.symbol, leverage, call.at_ms)
        return Reply({"success": True, "code": 0})

    # Orders

    def _create(self, keyed: KeyedCall) -> Reply:
        parameters = keyed.parameters
        listing = self._known(str(parameters.get("symbol", "")))
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
        mode = _margin_mode(keyed.parameters)
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
        for order in self._open(keyed, self._wanted(keyed)):
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
        listing = None if name is None else self._known(str(name))
        orders = [one for one in self._open(keyed, listing) if keyed.call.shows_order(one)]
        return succeeded(self._order_rows(keyed, _page(keyed, list(reversed(orders)))))

    def _history(self, keyed: KeyedCall) -> Reply:
        listing = self._wanted(keyed)
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
        listing = self._known(str(keyed.parameters.get("symbol", "")))
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
        symbol = self._known(symbol_id).symbol
        return keyed.call.venue.order_by_client_id(keyed.account, external_id, symbol)

    def _wanted(self, keyed: KeyedCall) -> Listing | None:
        """Return the market that an optional ``symbol`` names."""
        name = keyed.parameters.get("symbol")
        return None if name is None else self._known(str(name))

    def _known(self, symbol_id: str) -> Listing:
        listing = self._symbols.find(symbol_id)
        if listing is None:
            raise futures_error(1001, "Contract does not exist")
        return listing


def _keyed(handler: Callable[[KeyedCall], Reply], token: str) -> Handler:
    """Return *handler* behind the check of the key and of the right it needs."""

    def guarded(call: Call) -> Reply:
        key = authorise_futures(call, token)
        parameters = call.json() if call.method == "POST" else call.query
        try:
            return handler(KeyedCall(call, key, parameters))
        except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
            # The body has another shape or lacks a field.
            raise ValueError(str(error)) from error

    return guarded


# Account


def _assets(keyed: KeyedCall) -> Reply:
    venue, account = keyed.call.venue, keyed.account
    return succeeded(
        [
            _asset_row(venue.overview(account, currency))
            for currency in venue.balances(account, Wallet.FUTURES)
        ]
    )


def _asset(keyed: KeyedCall) -> Reply:
    currency = keyed.call.path_params["currency"]
    return succeeded(_asset_row(keyed.call.venue.overview(keyed.account, currency)))


def _asset_row(overview: FuturesOverview) -> dict[str, Any]:
    available = max(overview.available_quote, ZERO)
    return {
        "currency": overview.currency,
        "positionMargin": overview.position_margin_quote,
        "frozenBalance": overview.order_margin_quote,
        "availableBalance": available,
        "cashBalance": overview.wallet_quote,
        "equity": overview.equity_quote,
        "unrealized": overview.unrealised_quote,
        "bonus": 0,
    }


def _position_mode(keyed: KeyedCall) -> Reply:
    mode = keyed.call.venue.position_mode(keyed.account)
    return succeeded(next(number for number, one in _POSITION_MODES.items() if one is mode))


def _change_position_mode(keyed: KeyedCall) -> Reply:
    mode = _POSITION_MODES[int(keyed.parameters["positionMode"])]
    keyed.call.venue.set_position_mode(keyed.account, mode)
    return Reply({"success": True, "code": 0})


def _position_id(keyed: KeyedCall, symbol: str) -> int:
    """Return a number that stays the same for one account and market."""
    place = list(keyed.call.venue.listings).index(symbol)
    return 1_000_000 * keyed.call.venue.account_number(keyed.account) + place


def _position_of(keyed: KeyedCall, number: int) -> VenuePosition:
    for position in keyed.call.venue.positions(keyed.account):
        if _position_id(keyed, position.symbol) == number:
            return position
    raise VenueError(Refusal.REDUCE_ONLY_REJECTED, "there is no such position")


def _position_row(keyed: KeyedCall, position: VenuePosition) -> dict[str, Any]:
    listing = keyed.call.venue.listing(position.symbol)
    contracts = abs(position.amount_base) / listing.market.contract_size
    is_isolated = position.margin_mode is MarginMode.ISOLATED
    return {
        "positionId": _position_id(keyed, position.symbol),
        "symbol": symbol_id_of(listing),
        "positionType": 1 if position.amount_base > 0 else 2,
        "openType": 1 if is_isolated else 2,
        "state": 1,
        "holdVol": contracts,
        "frozenVol": 0,
        "closeVol": 0,
        "holdAvgPrice": position.entry_price,
        "openAvgPrice": position.entry_price,
        "closeAvgPrice": 0,
        "liquidatePrice": position.liquidation_price or ZERO,
        "oim": position.margin_quote,
        "im": position.margin_quote,
        "holdFee": 0,
        "realised": position.realised_quote,
        "leverage": position.leverage,
        "createTime": position.opened_at_ms,
        "updateTime": position.opened_at_ms,
        "autoAddIm": False,
        "unRealizedPnl": position.unrealised_quote,
    }


# Orders


def _order_request(parameters: Mapping[str, Any], listing: Listing) -> OrderRequest:
    side, is_closing = _choice(_SIDES, parameters["side"], _SIDE_WRONG)
    order_type, time_in_force = _choice(_TYPES, parameters["type"], _TYPE_WRONG)
    external_id = parameters.get("externalOid")
    if external_id is not None and len(str(external_id)) > _EXTERNAL_ID_MAX:
        raise VenueError(Refusal.CLIENT_ID_INVALID, "length")
    leverage = parameters.get("leverage")
    is_reduce_only = is_closing or parameters.get("reduceOnly") is True
    if leverage is None and not is_reduce_only and _margin_mode(parameters) is MarginMode.ISOLATED:
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


def _margin_mode(parameters: Mapping[str, Any]) -> MarginMode:
    return _choice(_MARGIN_MODES, parameters["openType"], _OPEN_TYPE_WRONG)


def _choice(table: Mapping[int, T], number: Any, refusal: tuple[int, str]) -> T:
    """Return what *number* stands for; one that stands for nothing has its own *refusal*."""
    if int(number) not in table:
        raise futures_error(*refusal)
    return table[int(number)]


def _cancel(keyed: KeyedCall) -> Reply:
    """Cancel up to fifty orders; each has its own outcome, the call as a whole succeeds."""
    if not isinstance(keyed.parameters, list) or not 1 <= len(keyed.parameters) <= _CANCEL_MAX:
        raise futures_error(*_OTHER_REFUSAL)
    return succeeded([_cancel_row(keyed, str(order_id)) for order_id in keyed.parameters])


def _cancel_row(keyed: KeyedCall, order_id: str) -> dict[str, Any]:
    code, message = 0, "success"
    try:
        order = _order_by_id(keyed, order_id)
        keyed.call.venue.cancel(keyed.account, order.serial, keyed.call.at_ms)
    except VenueError as error:
        code, message = _REFUSALS.get(error.kind, _OTHER_REFUSAL)
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
