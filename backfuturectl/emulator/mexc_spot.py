"""MEXC spot over HTTP: keys, account, orders; the public data is in `mexc_market`.

Errors are ``{"code": ..., "msg": ...}``, nearly always with HTTP 400. What the exchange does in
cases marked UNVERIFIED is known from no primary source.

Source: the exchange's spot API v3, "Spot Account/Trade" and "Wallet Endpoints".
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from backfuturectl.emulator.dialect import Call, Exchange, Handler, Pool, Reply, ReplyError, Route
from backfuturectl.emulator.mexc_auth import (
    authorise_spot,
    missing_parameter,
    remaining_days,
    spot_error,
    spot_parameters,
)
from backfuturectl.emulator.mexc_gateway import Offenders, gateway_reply, maintenance_reply
from backfuturectl.emulator.mexc_market import MexcMarketData
from backfuturectl.emulator.mexc_values import (
    DAY_MS,
    Symbols,
    iso_time,
    number_text,
    parse_spot_order_id,
    spot_order_id,
    spot_status,
    spot_trade_id,
    symbol_id_of,
)
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    ApiKey,
    Listing,
    OrderRequest,
    TimeInForce,
    VenueFill,
    VenueOrder,
    Wallet,
)
from backfuturectl.model.market import ZERO, MarketKind
from backfuturectl.model.orders import OrderType, Side

_CLIENT_ID_MAX: Final = 32
_BATCH_MAX: Final = 20
_CANCEL_SYMBOLS_MAX: Final = 5
_ORDERS_MAX: Final = 1000
_ORDERS_DEFAULT: Final = 500
_FILLS_MAX: Final = 100
_ORDER_DAYS: Final = 7
_FILL_DAYS: Final = 30
_KEY_IPS_MAX: Final = 20

_TYPES: Final = {
    "LIMIT": (OrderType.LIMIT, TimeInForce.GTC),
    "LIMIT_MAKER": (OrderType.LIMIT, TimeInForce.GTC),
    "IMMEDIATE_OR_CANCEL": (OrderType.LIMIT, TimeInForce.IOC),
    "FILL_OR_KILL": (OrderType.LIMIT, TimeInForce.FOK),
    "MARKET": (OrderType.MARKET, TimeInForce.GTC),
}

# Texts that name a number are completed by `MexcSpot.refused`.
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


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A call whose key was accepted.

    Attributes:
        parameters: Of query and body together.
    """

    call: Call
    key: ApiKey
    parameters: Mapping[str, str]

    @property
    def account(self) -> str:
        """The account the key belongs to."""
        return self.key.account

    def required(self, name: str) -> str:
        """Return a parameter that must be there."""
        text = self.parameters.get(name, "")
        if not text:
            raise missing_parameter(name)
        return text

    def whole(self, name: str, default: int) -> int:
        """Return a parameter that is a whole number."""
        text = self.parameters.get(name, str(default))
        if not text.isdecimal():
            raise missing_parameter(name)
        return int(text)


class MexcSpot:
    """The exchange's ``/api/v3``."""

    host = "mexc"
    prefix = "/api/v3"

    def __init__(self, exchange: Exchange) -> None:
        self._symbols = Symbols(exchange.venue, MarketKind.SPOT)
        self._offenders = Offenders()
        self.pools = {
            "ip": Pool(limit=300, window_s=10, is_per_key=False),
            "uid": Pool(limit=500, window_s=10),
            "order": Pool(limit=120, window_s=10),
        }
        routes = (*MexcMarketData(self._symbols).routes, *self._signed_routes())
        self.routes = tuple(self._offenders.keep_out(route) for route in routes)

    def _signed_routes(self) -> tuple[Route, ...]:
        read, deal_read, deal = "SPOT_ACCOUNT_READ", "SPOT_DEAL_READ", "SPOT_DEAL_WRITE"
        signed = _signed
        return (
            # Which right the key endpoints need is UNVERIFIED; they answer any valid key.
            Route("GET", "/api/v3/apiKeyInfo", signed(_key_info, None), "uid"),
            Route("POST", "/api/v3/apiKeyInfo", signed(_change_key, None), "uid"),
            Route("GET", "/api/v3/uid", signed(_uid, read), "uid"),
            Route("GET", "/api/v3/kyc/status", signed(_kyc, read), "uid"),
            Route("GET", "/api/v3/selfSymbols", signed(self._self_symbols, read), "uid"),
            Route("GET", "/api/v3/account", signed(_account, read), "uid", 10),
            Route("GET", "/api/v3/tradeFee", signed(self._trade_fee, read), "uid", 20),
            Route("GET", "/api/v3/myTrades", signed(self._fills, read), "uid", 10),
            Route("GET", "/api/v3/order", signed(self._order, deal_read), "uid", 2),
            Route("GET", "/api/v3/openOrders", signed(self._open_orders, deal_read), "uid", 3),
            Route("GET", "/api/v3/allOrders", signed(self._all_orders, deal_read), "uid", 10),
            Route("POST", "/api/v3/order", signed(self._create, deal), "order"),
            Route("POST", "/api/v3/order/test", signed(self._test, deal), "order"),
            Route("POST", "/api/v3/batchOrders", signed(self._batch, deal), "order", 10),
            Route("DELETE", "/api/v3/order", signed(self._cancel, deal), "order"),
            Route("DELETE", "/api/v3/openOrders", signed(self._cancel_symbols, deal), "order"),
            Route("DELETE", "/api/v3/order/all", signed(_cancel_all, deal), "order"),
            Route(
                "GET",
                "/api/v3/capital/config/getall",
                signed(self._currencies, "SPOT_WITHDRAW_READ"),
                "uid",
                10,
            ),
            *(
                Route(method, path, signed(_refuse_withdrawal, "SPOT_WITHDRAW_WRITE"), "uid")
                for method, path in (
                    ("POST", "/api/v3/capital/withdraw"),
                    ("POST", "/api/v3/capital/withdraw/apply"),
                    ("DELETE", "/api/v3/capital/withdraw"),
                )
            ),
        )

    def key_of(self, call: Call) -> str:
        """Return the API key that the request names."""
        return call.headers.get("X-MEXC-APIKEY", "")

    def refused(self, call: Call, error: VenueError) -> Reply:
        """Return the exchange's answer to what the venue refused."""
        return self._refusal(call.method, error, spot_parameters(call)).reply

    def malformed(self, call: Call, error: ValueError) -> Reply:  # noqa: ARG002 - the protocol's
        """Return the answer to a request that cannot be parsed."""
        return spot_error(700008, "Illegal characters found in parameter.").reply

    def not_found(self, call: Call) -> Reply:
        """Return the answer to a path or method that does not exist. UNVERIFIED."""
        return Reply(
            {
                "timestamp": iso_time(call.at_ms),
                "status": 404,
                "error": "Not Found",
                "path": call.path,
            },
            404,
        )

    def rate_limited(self, call: Call, retry_after_s: float) -> Reply:
        """Return 429, or 418 to a caller that goes on in spite of it."""
        return self._offenders.refuse(call, retry_after_s)

    def maintenance(self, call: Call) -> Reply:  # noqa: ARG002 - the protocol's
        """Return the exchange's answer during maintenance; its HTTP status is UNVERIFIED."""
        return maintenance_reply()

    def server_error(self, call: Call, status: int) -> Reply:  # noqa: ARG002 - the protocol's
        """Return what stands in front of the exchange sends: a page, and no JSON."""
        return gateway_reply(status)

    # Account

    def _self_symbols(self, signed: SignedCall) -> Reply:
        ids = [
            symbol_id_of(listing)
            for listing in self._symbols.all()
            if listing.market.is_active and _may_trade(signed.key, listing)
        ]
        return Reply({"code": 200, "data": ids, "msg": None})

    def _trade_fee(self, signed: SignedCall) -> Reply:
        market = self._listing(signed.required("symbol")).market
        return Reply(
            {
                "data": {"makerCommission": market.maker_fee, "takerCommission": market.taker_fee},
                "code": 0,
                "msg": "success",
                "timestamp": signed.call.at_ms,
            }
        )

    def _currencies(self, signed: SignedCall) -> Reply:  # noqa: ARG002 - a handler's signature
        markets = [listing.market for listing in self._symbols.all()]
        names = dict.fromkeys(name for market in markets for name in (market.base, market.quote))
        return Reply([_currency_row(name) for name in names])

    # Orders

    def _create(self, signed: SignedCall) -> Reply:
        order = self._place(signed, signed.parameters)
        return Reply(_created_row(order, signed.call.venue.listings[order.symbol]))

    def _test(self, signed: SignedCall) -> Reply:
        request = self._request(signed.key, signed.parameters)
        signed.call.venue.check(signed.account, request)
        return Reply({})

    def _batch(self, signed: SignedCall) -> Reply:
        orders = json.loads(signed.required("batchOrders"))
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
                **self._refusal("POST", error, parameters).reply.content,
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
        if not _may_trade(key, listing):
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

    def _cancel(self, signed: SignedCall) -> Reply:
        order = self._named_order(signed)
        canceled = signed.call.venue.cancel(signed.account, order.serial, signed.call.at_ms)
        return Reply(_canceled_row(canceled, signed.call.venue.listings[order.symbol]))

    def _cancel_symbols(self, signed: SignedCall) -> Reply:
        symbols = signed.required("symbol").split(",")
        if len(symbols) > _CANCEL_SYMBOLS_MAX:
            raise spot_error(*_OTHER_REFUSAL)
        call = signed.call
        rows = [
            _canceled_row(call.venue.cancel(signed.account, order.serial, call.at_ms), listing)
            for listing in [self._listing(symbol) for symbol in symbols]
            for order in call.venue.open_orders(signed.account, listing.symbol)
        ]
        return Reply(rows)

    def _order(self, signed: SignedCall) -> Reply:
        order = self._named_order(signed)
        if not signed.call.shows_order(order):
            raise VenueError(Refusal.ORDER_NOT_FOUND, "not to be seen yet")
        return Reply(_order_row(order, signed.call.venue.listings[order.symbol]))

    def _open_orders(self, signed: SignedCall) -> Reply:
        listing = self._listing(signed.required("symbol"))
        orders = signed.call.venue.open_orders(signed.account, listing.symbol)
        return Reply(
            [_order_row(one, listing) for one in reversed(orders) if signed.call.shows_order(one)]
        )

    def _all_orders(self, signed: SignedCall) -> Reply:
        listing = self._listing(signed.required("symbol"))
        start_ms, end_ms = _window(signed, default_days=1, days_max=_ORDER_DAYS)
        limit = min(signed.whole("limit", _ORDERS_DEFAULT), _ORDERS_MAX)
        orders = [
            order
            for order in reversed(signed.call.venue.orders(signed.account, listing.symbol))
            if start_ms <= order.created_at_ms <= end_ms and signed.call.shows_order(order)
        ]
        return Reply([_order_row(order, listing) for order in orders[:limit]])

    def _fills(self, signed: SignedCall) -> Reply:
        listing = self._listing(signed.required("symbol"))
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
        listing = self._listing(signed.required("symbol"))
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

    def _listing(self, symbol_id: str) -> Listing:
        listing = self._symbols.find(symbol_id)
        if listing is None:
            raise spot_error(-1121, "Invalid symbol.")
        return listing

    def _refusal(self, method: str, error: VenueError, parameters: Mapping[str, str]) -> ReplyError:
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


def _signed(handler: Callable[[SignedCall], Reply], token: str | None) -> Handler:
    """Return *handler* behind the check of the key and of the right it needs."""

    def guarded(call: Call) -> Reply:
        parameters = spot_parameters(call)
        key = authorise_spot(call, parameters, token)
        return handler(SignedCall(call, key, parameters))

    return guarded


# Keys and account


def _key_info(signed: SignedCall) -> Reply:
    return Reply(_key_row(_asked_key(signed), signed.call.at_ms))


def _change_key(signed: SignedCall) -> Reply:
    """Change the key's addresses and note; the parameters' names are UNVERIFIED."""
    key = _asked_key(signed)
    ips = tuple(
        ip
        for ip in (part.strip() for part in signed.parameters.get("ipWhiteList", "").split(","))
        if ip
    )
    if len(ips) > _KEY_IPS_MAX:
        raise spot_error(730703, "The IP information is incorrect")
    changed = dataclasses.replace(key, ips=ips, note=signed.parameters.get("note", key.note))
    signed.call.venue.put_key(changed)
    return Reply(_key_row(changed, signed.call.at_ms))


def _asked_key(signed: SignedCall) -> ApiKey:
    """Return the key that ``accessKey`` names; one of another account is as good as none."""
    name = signed.parameters.get("accessKey", "")
    if not name:
        raise spot_error(730707, "accessKey cannot be null")
    key = signed.call.venue.key(name)
    if key is None or key.account != signed.account:
        raise spot_error(730706, "API KEY information does not exist")
    return key


def _key_row(key: ApiKey, at_ms: int) -> dict[str, Any]:
    return {
        "note": key.note,
        "accessKey": key.key,
        "createTime": iso_time(key.created_at_ms),
        "permissions": ",".join(key.permissions),
        "remainingValidity": remaining_days(key, at_ms),
        "ipWhiteList": ",".join(key.ips),
        "status": "VALID" if key.is_usable(at_ms) else "INVALID",  # UNVERIFIED: only VALID is seen
    }


def _uid(signed: SignedCall) -> Reply:
    return Reply({"uid": str(20_930_000 + signed.call.venue.account_number(signed.account))})


def _kyc(signed: SignedCall) -> Reply:  # noqa: ARG001 - a handler's signature
    return Reply({"status": "3"})


def _account(signed: SignedCall) -> Reply:
    """Return balances; the three flags speak of the account and say nothing about the key."""
    balances = signed.call.venue.balances(signed.account, Wallet.SPOT)
    return Reply(
        {
            "makerCommission": None,
            "takerCommission": None,
            "buyerCommission": None,
            "sellerCommission": None,
            "canTrade": True,
            "canWithdraw": True,
            "canDeposit": True,
            "updateTime": None,
            "accountType": "SPOT",
            "balances": [
                {
                    "asset": currency,
                    "free": number_text(balance.available),
                    "locked": number_text(balance.held),
                    "available": number_text(balance.available),
                }
                for currency, balance in balances.items()
                if balance.total
            ],
            "permissions": ["SPOT"],
        }
    )


def _currency_row(name: str) -> dict[str, Any]:
    return {
        "coin": name,
        "name": name,
        "Name": name,
        "networkList": [
            {
                "coin": name,
                "depositDesc": None,
                "depositEnable": True,
                "minConfirm": 0,
                "name": name,
                "Name": name,
                "network": name,
                "netWork": name,
                "withdrawEnable": False,
                "withdrawFee": "0",
                "withdrawIntegerMultiple": None,
                "withdrawMax": "0",
                "withdrawMin": "0",
                "sameAddress": False,
                "contract": "",
            }
        ],
    }


def _refuse_withdrawal(signed: SignedCall) -> Reply:  # noqa: ARG001 - a handler's signature
    """Refuse: a stand-in that could pay out would make a mistake with a key look harmless."""
    raise spot_error(
        10212,
        "This withdrawal address is not on the commonly used address list or has been invalidated",
    )


# Orders


def _cancel_all(signed: SignedCall) -> Reply:
    call = signed.call
    for order in call.venue.open_orders(signed.account):
        if not call.venue.listings[order.symbol].is_futures:
            call.venue.cancel(signed.account, order.serial, call.at_ms)
    return Reply({"code": 200, "msg": "success", "timestamp": call.at_ms})


def _may_trade(key: ApiKey, listing: Listing) -> bool:
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
