"""MEXC spot orders: placing, canceling, asking, and what is refused.

What the exchange does in cases marked UNVERIFIED is known from no primary source.

Source: the exchange's spot API v3, "Spot Account/Trade".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from backfuturectl.emulator.dialect import Reply, ReplyError
from backfuturectl.emulator.mexc_auth import SignedCall
from backfuturectl.emulator.mexc_values import (
    DAY_MS,
    Symbols,
    number_text,
    parse_spot_order_id,
    spot_order_id,
    spot_status,
    spot_trade_id,
    symbol_id_of,
)
from backfuturectl.emulator.mexc_wire import missing_parameter, spot_error
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
from backfuturectl.model.orders import OrderType, Side

_CLIENT_ID_MAX: Final = 32
_BATCH_MAX: Final = 20
_CANCEL_SYMBOLS_MAX: Final = 5
_ORDERS_MAX: Final = 1000
_ORDERS_DEFAULT: Final = 500
_FILLS_MAX: Final = 100
_ORDER_DAYS: Final = 7
_FILL_DAYS: Final = 30

_TYPES: Final = {
    "LIMIT": (OrderType.LIMIT, TimeInForce.GTC),
    "LIMIT_MAKER": (OrderType.LIMIT, TimeInForce.GTC),
    "IMMEDIATE_OR_CANCEL": (OrderType.LIMIT, TimeInForce.IOC),
    "FILL_OR_KILL": (OrderType.LIMIT, TimeInForce.FOK),
    "MARKET": (OrderType.MARKET, TimeInForce.GTC),
}

# Texts that name a number are completed by `MexcSpotOrders.refusal`.
_REFUSALS: Final[Mapping[Refusal, tuple[int, str]]] = {
    Refusal.SYMBOL_UNKNOWN: (10007, "bad symbol"),
    Refusal.SYMBOL_CLOSED: (30016, "trading disabled"),
    Refusal.PRICE_MISSING: (30010, "no valid trade price"),
    Refusal.AMOUNT_BELOW_MINIMUM: (30002, "The minimum transaction volume cannot be less than:"),
    Refusal.AMOUNT_ABOVE_MAXIMUM: (30003, "The maximum transaction volume cannot be greater than:"),
    Refusal.COST_BELOW_MINIMUM: (30002, "The minimum transaction volume cannot be less than:"),
    Refusal.AMOUNT_PRECISION: (10096, "amount decimal places is too long"),
    Refusal.PRICE_PRECISION: (10096, "price decimal places is too long"),  # UNVERIFIED
    Refusal.PRICE_BAND: (30087, "Order price exceeds allowed range"),
    Refusal.CLIENT_ID_DUPLICATE: (400, "client order id is duplicated"),  # UNVERIFIED
    Refusal.CLIENT_ID_INVALID: (400, "the length of order id should between 1 and 32"),
    Refusal.TOO_MANY_ORDERS: (30069, "Open orders too many"),
    Refusal.POST_ONLY_WOULD_TAKE: (30041, "current order type can not place order"),  # UNVERIFIED
    Refusal.ACCOUNT_UNKNOWN: (60005, "your account is abnormal"),
}
_OTHER_REFUSAL: Final = (730002, "Your input param is invalid")


class MexcSpotOrders:
    """The endpoints of orders and fills."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols

    def create(self, signed: SignedCall) -> Reply:
        """Answer ``POST order``."""
        order = self._place(signed, signed.parameters)
        return Reply(_created_row(order, signed.call.venue.listings[order.symbol]))

    def test(self, signed: SignedCall) -> Reply:
        """Answer ``POST order/test``: judged, never placed."""
        request = self._request(signed.key, signed.parameters)
        signed.call.venue.check(signed.account, request)
        return Reply({})

    def batch(self, signed: SignedCall) -> Reply:
        """Answer ``POST batchOrders``."""
        orders = json.loads(signed.required("batchOrders"), parse_float=Decimal)
        if not isinstance(orders, list) or not 1 <= len(orders) <= _BATCH_MAX:
            raise spot_error(*_OTHER_REFUSAL)
        if not all(isinstance(order, dict) for order in orders):
            raise spot_error(*_OTHER_REFUSAL)
        texts = [{name: str(value) for name, value in order.items()} for order in orders]
        if len({order.get("symbol") for order in texts}) != 1:
            raise spot_error(*_OTHER_REFUSAL)
        return Reply([self._batch_row(signed, order) for order in texts])

    def _batch_row(self, signed: SignedCall, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Place one of a batch; the others are placed whatever becomes of it."""
        client_id = parameters.get("newClientOrderId")
        try:
            order = self._place(signed, parameters)
        except VenueError as error:
            return {
                "newClientOrderId": client_id,
                **self.refusal("POST", error, parameters).reply.content,
            }
        except ReplyError as error:
            return {"newClientOrderId": client_id, **error.reply.content}
        return {
            "symbol": parameters["symbol"],
            "orderId": spot_order_id(order.serial),
            "newClientOrderId": client_id,
            "orderListId": -1,
        }

    def _place(self, signed: SignedCall, parameters: Mapping[str, str]) -> VenueOrder:
        request = self._request(signed.key, parameters)
        return signed.call.venue.place(signed.account, request, signed.call.at_ms)

    def _request(self, key: ApiKey, parameters: Mapping[str, str]) -> OrderRequest:
        for name in ("symbol", "side", "type"):
            if not parameters.get(name):
                raise missing_parameter(name)
        listing = self._symbols.find(parameters["symbol"])
        if listing is None:
            raise spot_error(10007, "bad symbol")
        if not may_trade(key, listing):
            raise spot_error(30020, "no permission for the symbol")
        if parameters["side"] not in {"BUY", "SELL"}:
            raise missing_parameter("side")
        if parameters["type"] not in _TYPES:
            raise missing_parameter("type")
        order_type, time_in_force = _TYPES[parameters["type"]]
        is_market = order_type is OrderType.MARKET
        amount, cost = _amounts(parameters, is_market=is_market)
        return OrderRequest(
            symbol=listing.symbol,
            side=Side(parameters["side"].lower()),
            type=order_type,
            amount_base=amount,
            cost_quote=cost,
            price=None if is_market else _positive(parameters, "price"),
            client_id=_new_client_id(parameters),
            time_in_force=time_in_force,
            is_post_only=parameters["type"] == "LIMIT_MAKER",
        )

    def cancel(self, signed: SignedCall) -> Reply:
        """Answer ``DELETE order``."""
        order = self._named_order(signed)
        canceled = signed.call.venue.cancel(signed.account, order.serial, signed.call.at_ms)
        return Reply(_canceled_row(canceled, signed.call.venue.listings[order.symbol]))

    def cancel_symbols(self, signed: SignedCall) -> Reply:
        """Answer ``DELETE openOrders``, of up to five symbols."""
        symbols = signed.required("symbol").split(",")
        if len(symbols) > _CANCEL_SYMBOLS_MAX:
            raise spot_error(*_OTHER_REFUSAL)
        call = signed.call
        rows = [
            _canceled_row(call.venue.cancel(signed.account, order.serial, call.at_ms), listing)
            for listing in [self.listing(symbol) for symbol in symbols]
            for order in call.venue.open_orders(signed.account, listing.symbol)
        ]
        return Reply(rows)

    def order(self, signed: SignedCall) -> Reply:
        """Answer ``GET order``."""
        order = self._named_order(signed)
        if not signed.call.shows_order(order):
            raise VenueError(Refusal.ORDER_NOT_FOUND, "not to be seen yet")
        return Reply(_order_row(order, signed.call.venue.listings[order.symbol]))

    def open_orders(self, signed: SignedCall) -> Reply:
        """Answer ``GET openOrders``, newest first."""
        listing = self.listing(signed.required("symbol"))
        orders = signed.call.venue.open_orders(signed.account, listing.symbol)
        return Reply(
            [_order_row(one, listing) for one in reversed(orders) if signed.call.shows_order(one)]
        )

    def all_orders(self, signed: SignedCall) -> Reply:
        """Answer ``GET allOrders``: newest first, of one day unless asked otherwise."""
        listing = self.listing(signed.required("symbol"))
        start_ms, end_ms = _window(signed, default_days=1, days_max=_ORDER_DAYS)
        limit = min(signed.whole("limit", _ORDERS_DEFAULT), _ORDERS_MAX)
        orders = [
            order
            for order in reversed(signed.call.venue.orders(signed.account, listing.symbol))
            if start_ms <= order.created_at_ms <= end_ms and signed.call.shows_order(order)
        ]
        return Reply([_order_row(order, listing) for order in orders[:limit]])

    def fills(self, signed: SignedCall) -> Reply:
        """Answer ``GET myTrades``, newest first."""
        listing = self.listing(signed.required("symbol"))
        start_ms, end_ms = _window(signed, default_days=_FILL_DAYS, days_max=_FILL_DAYS)
        limit = min(signed.whole("limit", _FILLS_MAX), _FILLS_MAX)
        order_id = signed.parameters.get("orderId", "")
        serial = parse_spot_order_id(order_id) if order_id else None
        fills = [
            fill
            for fill in reversed(
                signed.call.venue.fills(signed.account, listing.symbol, since_ms=start_ms)
            )
            if fill.at_ms <= end_ms
            and serial in {None, fill.order_serial}
            and signed.call.shows_fill(fill)
        ]
        return Reply([_fill_row(fill, listing) for fill in fills[:limit]])

    def _named_order(self, signed: SignedCall) -> VenueOrder:
        """Return the order that ``orderId`` or ``origClientOrderId`` names, on the given symbol."""
        listing = self.listing(signed.required("symbol"))
        order_id = signed.parameters.get("orderId", "")
        client_id = signed.parameters.get("origClientOrderId", "")
        venue = signed.call.venue
        if order_id:
            order = venue.order(signed.account, parse_spot_order_id(order_id))
        elif client_id:
            order = venue.order_by_client_id(signed.account, client_id, listing.symbol)
        else:
            raise spot_error(
                700004,
                "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
            )
        if order.symbol != listing.symbol:
            raise VenueError(Refusal.ORDER_NOT_FOUND, "the order is on another symbol")
        return order

    def listing(self, symbol_id: str) -> Listing:
        """Return the market that *symbol_id* names, or refuse."""
        listing = self._symbols.find(symbol_id)
        if listing is None:
            raise spot_error(-1121, "Invalid symbol.")
        return listing

    def refusal(self, method: str, error: VenueError, parameters: Mapping[str, str]) -> ReplyError:
        """Return the exchange's answer to what the venue refused."""
        match error.kind:
            case Refusal.ORDER_NOT_FOUND if method == "GET":
                return spot_error(-2013, "Order does not exist.")
            case Refusal.ORDER_NOT_FOUND | Refusal.ORDER_NOT_CANCELABLE:
                return spot_error(-2011, "Unknown order sent.")
            case Refusal.INSUFFICIENT_BALANCE if parameters.get("side") == "SELL":
                return spot_error(30005, "Oversold")
            case Refusal.INSUFFICIENT_BALANCE:
                return spot_error(30004, "Insufficient position")
            case kind:
                code, text = _REFUSALS.get(kind, _OTHER_REFUSAL)
                return spot_error(code, text + self._bound(kind, parameters))

    def _bound(self, kind: Refusal, parameters: Mapping[str, str]) -> str:
        listing = self._symbols.find(parameters.get("symbol", ""))
        if listing is None:
            return ""
        market = listing.market
        match kind:
            case Refusal.COST_BELOW_MINIMUM:
                return f"{number_text(market.cost_min)}{market.quote}"
            case Refusal.AMOUNT_BELOW_MINIMUM:
                return f"{number_text(market.amount_min)}{market.base}"
            case Refusal.AMOUNT_ABOVE_MAXIMUM if market.amount_max is not None:
                return f"{number_text(market.amount_max)}{market.base}"
            case Refusal.AMOUNT_ABOVE_MAXIMUM if listing.cost_max is not None:
                return f"{number_text(listing.cost_max)}{market.quote}"
            case _:
                return ""


def cancel_all(signed: SignedCall) -> Reply:
    """Answer ``DELETE order/all``: every spot order of the account."""
    call = signed.call
    for order in call.venue.open_orders(signed.account):
        if not call.venue.listings[order.symbol].is_futures:
            call.venue.cancel(signed.account, order.serial, call.at_ms)
    return Reply({"code": 200, "msg": "success", "timestamp": call.at_ms})


def may_trade(key: ApiKey, listing: Listing) -> bool:
    """Return whether the key's own list of pairs has the market."""
    return key.symbols is None or listing.symbol in key.symbols


def _amounts(
    parameters: Mapping[str, str], *, is_market: bool
) -> tuple[Decimal | None, Decimal | None]:
    """Return amount and cost, of which a market order may have either; the amount wins."""
    if is_market and not parameters.get("quantity"):
        if not parameters.get("quoteOrderQty"):
            raise missing_parameter("quantity")
        return None, _positive(parameters, "quoteOrderQty")
    return _positive(parameters, "quantity"), None


def _positive(parameters: Mapping[str, str], name: str) -> Decimal:
    text = parameters.get(name, "")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise missing_parameter(name) from None
    if not value.is_finite():
        raise missing_parameter(name)
    if value <= 0:
        raise spot_error(10102, f"{name} cannot be zero or negative")
    return value


def _new_client_id(parameters: Mapping[str, str]) -> str | None:
    client_id = parameters.get("newClientOrderId")
    if client_id is not None and not 1 <= len(client_id) <= _CLIENT_ID_MAX:
        raise VenueError(Refusal.CLIENT_ID_INVALID, "length")
    return client_id


def _window(signed: SignedCall, *, default_days: int, days_max: int) -> tuple[int, int]:
    """Return start and end; what is older than *days_max* days is not to be had any more."""
    now_ms = signed.call.at_ms
    # Without an end nothing is cut off, so that a clock set back hides nothing.
    end_ms = signed.whole("endTime", now_ms + DAY_MS)
    start_ms = signed.whole("startTime", min(end_ms, now_ms) - default_days * DAY_MS)
    return max(start_ms, now_ms - days_max * DAY_MS), end_ms


def _type_text(order: VenueOrder) -> str:
    if order.type is OrderType.MARKET:
        return "MARKET"
    if order.is_post_only:
        return "LIMIT_MAKER"
    return {
        TimeInForce.GTC: "LIMIT",
        TimeInForce.IOC: "IMMEDIATE_OR_CANCEL",
        TimeInForce.FOK: "FILL_OR_KILL",
    }[order.time_in_force]


def _amount_text(order: VenueOrder) -> str:
    """Return the amount asked for; of an order by cost what was executed so far."""
    return number_text(order.filled_base if order.amount_base is None else order.amount_base)


def _created_row(order: VenueOrder, listing: Listing) -> dict[str, Any]:
    return {
        "symbol": symbol_id_of(listing),
        "orderId": spot_order_id(order.serial),
        "orderListId": -1,
        "price": number_text(order.price or ZERO),
        "origQty": _amount_text(order),
        "type": _type_text(order),
        "side": order.side.upper(),
        "transactTime": order.created_at_ms,
    }


def _canceled_row(order: VenueOrder, listing: Listing) -> dict[str, Any]:
    return {
        "symbol": symbol_id_of(listing),
        "origClientOrderId": order.client_id,
        "orderId": spot_order_id(order.serial),
        "clientOrderId": order.client_id,
        "price": number_text(order.price or ZERO),
        "origQty": _amount_text(order),
        "executedQty": number_text(order.filled_base),
        "cummulativeQuoteQty": number_text(order.filled_quote),
        # Also of an order that was partly filled.
        "status": "CANCELED",
        "timeInForce": None,
        "type": _type_text(order),
        "side": order.side.upper(),
    }


def _order_row(order: VenueOrder, listing: Listing) -> dict[str, Any]:
    price = order.price or ZERO
    cost = price * (order.amount_base or ZERO) if order.cost_quote is None else order.cost_quote
    return {
        "symbol": symbol_id_of(listing),
        "orderId": spot_order_id(order.serial),
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "price": number_text(price),
        "origQty": _amount_text(order),
        "executedQty": number_text(order.filled_base),
        "cummulativeQuoteQty": number_text(order.filled_quote),
        "status": spot_status(order),
        "timeInForce": None,  # the documentation shows one; recorded answers never do
        "type": _type_text(order),
        "side": order.side.upper(),
        "stopPrice": None,
        "icebergQty": None,
        "time": order.created_at_ms,
        "updateTime": order.updated_at_ms,
        "isWorking": True,
        "origQuoteOrderQty": number_text(cost),
    }


def _fill_row(fill: VenueFill, listing: Listing) -> dict[str, Any]:
    return {
        "symbol": symbol_id_of(listing),
        "id": spot_trade_id(fill.serial),
        "orderId": spot_order_id(fill.order_serial),
        "orderListId": -1,
        "price": number_text(fill.price),
        "qty": number_text(fill.amount_base),
        "quoteQty": number_text(fill.cost_quote),
        "commission": number_text(fill.fee.amount),
        "commissionAsset": fill.fee.currency,
        "time": fill.at_ms,
        "isBuyer": fill.side is Side.BUY,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
        "isSelfTrade": False,
        "clientOrderId": fill.client_id,
    }
