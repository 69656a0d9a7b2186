"""One MEXC spot account over the v3 REST API: orders, fills, balances."""

from __future__ import annotations

import dataclasses
import functools
from decimal import Decimal
from typing import Any, Final

from backfuturectl.exchanges.ccxt_adapter import HORIZON_MS, Route
from backfuturectl.exchanges.joint import Joint
from backfuturectl.exchanges.listing import Listing
from backfuturectl.exchanges.mexc import spot_rights
from backfuturectl.exchanges.orders import acknowledged, check_steps, found, pick, priority_of
from backfuturectl.exchanges.payload import (
    PayloadError,
    flag,
    integer,
    mapping,
    number,
    number_or_zero,
    optional_text,
    plain,
    rows,
    side,
    text,
)
from backfuturectl.exchanges.port import KeyRights
from backfuturectl.exchanges.public import Access
from backfuturectl.exchanges.translation import Operation
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.orders import (
    Balances,
    Fee,
    Fill,
    Funding,
    FuturesSettings,
    NewOrder,
    Order,
    OrderStatus,
    OrderType,
    Position,
    Side,
)
from backfuturectl.model.status import Reason

_FILLS_PAGE: Final = 100
_FILLS_PAGES_MAX: Final = 50

_PRIVATE: Final = ("spot", "private")


def _read(path: str, weight: int) -> Route:
    return Route(_PRIVATE, "GET", path, {"ip": weight, "account": weight})


def _write(path: str, method: str, operation: Operation) -> Route:
    return Route(_PRIVATE, method, path, {"ip": 1, "account": 1, "orders": 1}, operation)


_RIGHTS: Final = _read("apiKeyInfo", 1)
_UID: Final = _read("uid", 1)
_ACCOUNT: Final = _read("account", 10)
_ORDER: Final = _read("order", 2)
_OPEN_ORDERS: Final = _read("openOrders", 3)
_ALL_ORDERS: Final = _read("allOrders", 10)
_FILLS: Final = _read("myTrades", 10)
_PLACE: Final = _write("order", "POST", Operation.CREATE)
_TRY: Final = _write("order/test", "POST", Operation.TRIAL)
_CANCEL: Final = _write("order", "DELETE", Operation.CANCEL)

_STATUSES: Final = {
    "NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.OPEN,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "PARTIALLY_CANCELED": OrderStatus.CANCELED,
}


class MexcSpotAccount:
    """One MEXC spot account."""

    exchange = "mexc"
    horizon_ms = HORIZON_MS

    def __init__(self, access: Access) -> None:
        self._client = client = access.client
        self._listed = access.listed
        self._key = access.key
        self._balances = Joint(lambda: client.call(_ACCOUNT, _balances))

    async def rights(self) -> KeyRights:
        """Return what the key may do; only the key's own list counts."""
        params = {"accessKey": self._key.api_key.reveal()}
        try:
            rights = await self._client.call(_RIGHTS, spot_rights, params)
        except PermanentError as error:
            if error.reason is not Reason.NO_READ_PERMISSION:
                raise
            raise PermanentError(
                Reason.PERMISSIONS_UNVERIFIABLE, str(error), raw_code=error.raw_code
            ) from error
        return await self._with_account_id(rights)

    async def balances(self) -> Balances:
        """Return the spot wallet."""
        return await self._balances()

    async def prepare(self, pair: str, *, leverage: int, margin_mode: str) -> None:
        """Do nothing: spot has neither leverage nor margin."""

    async def place(self, order: NewOrder) -> Order:
        """Send *order* once."""
        params = await self._order_params(order)
        order_id = await self._client.call(
            _PLACE,
            lambda body: text(mapping(body), "orderId"),
            params,
            priority=priority_of(order),
        )
        return acknowledged(order, order_id)

    async def try_order(self, order: NewOrder) -> None:
        """Send *order* to the exchange's test endpoint: judged, never placed."""
        await self._client.call(_TRY, mapping, await self._order_params(order))

    async def cancel(self, pair: str, client_order_id: str, order_id: str | None) -> None:
        """Ask for a cancel; an order that is gone already is no error."""
        symbol = (await self._listed.get()).symbol(pair)
        name = (
            {"orderId": order_id}
            if order_id is not None
            else {"origClientOrderId": client_order_id}
        )
        await found(self._client.call(_CANCEL, mapping, {"symbol": symbol, **name}))

    async def order(
        self, pair: str, client_order_id: str, order_id: str | None = None
    ) -> Order | None:
        """Return the order by client id, else by id, else from the open and the recent ones."""
        listed = await self._listed.get()
        symbol = {"symbol": listed.symbol(pair)}
        parse = functools.partial(
            _asked_order, listed=listed, client_order_id=client_order_id, order_id=order_id
        )
        names = [{"origClientOrderId": client_order_id}]
        if order_id is not None:
            names.append({"orderId": order_id})
        for name in names:
            order = await found(self._client.call(_ORDER, parse, {**symbol, **name}))
            if order is not None:
                return order
        parse_all = functools.partial(_orders, listed=listed)
        for route in (_OPEN_ORDERS, _ALL_ORDERS):
            orders = await self._client.call(route, parse_all, symbol)
            picked = pick(orders, client_order_id, order_id)
            if picked is not None:
                return picked
        return None

    async def open_orders(self, pair: str) -> tuple[Order, ...]:
        """Return every open order of the pair, ours and foreign."""
        listed = await self._listed.get()
        parse = functools.partial(_orders, listed=listed)
        return await self._client.call(_OPEN_ORDERS, parse, {"symbol": listed.symbol(pair)})

    async def fills(self, pair: str, since_ms: int) -> tuple[Fill, ...]:
        """Return executions since then, oldest first; the exchange keeps one month."""
        listed = await self._listed.get()
        parse = functools.partial(_fills, listed=listed)
        params = {
            "symbol": listed.symbol(pair),
            "startTime": since_ms,
            "limit": _FILLS_PAGE,
        }
        seen: dict[str, Fill] = {}
        for _ in range(_FILLS_PAGES_MAX):
            page = await self._client.call(_FILLS, parse, params)
            fresh = {fill.fill_id: fill for fill in page if fill.fill_id not in seen}
            seen |= fresh
            if len(page) < _FILLS_PAGE or not fresh:
                break
            # Pages come newest first and have no cursor: ask again up to the oldest one seen,
            # whose millisecond may hold more.
            params["endTime"] = min(fill.at_ms for fill in page)
        return tuple(sorted(seen.values(), key=lambda fill: (fill.at_ms, fill.fill_id)))

    async def position(self, pair: str) -> Position | None:  # noqa: ARG002 - the port's
        """Return None: spot has no positions."""
        return None

    async def settings(self, pair: str) -> FuturesSettings | None:  # noqa: ARG002 - the port's
        """Return None: spot has neither leverage nor margin."""
        return None

    async def funding(self, pair: str, since_ms: int) -> tuple[Funding, ...]:  # noqa: ARG002 - the port's
        """Return nothing: spot pays no funding."""
        return ()

    async def close(self) -> None:
        """Do nothing: session and budget belong to the public port."""

    async def _order_params(self, order: NewOrder) -> dict[str, str]:
        listed = await self._listed.get()
        check_steps(order, listed.market(order.pair))
        params = {
            "symbol": listed.symbol(order.pair),
            "side": order.side.value.upper(),
            "type": "LIMIT_MAKER" if order.is_post_only else order.type.value.upper(),
            "quantity": plain(order.amount_base),
            "newClientOrderId": order.client_order_id,
        }
        if order.type is OrderType.LIMIT:
            params["price"] = plain(order.price)
        return params

    async def _with_account_id(self, rights: KeyRights) -> KeyRights:
        try:
            uid = await self._client.call(_UID, lambda body: text(mapping(body), "uid"))
        except PermanentError:
            return rights
        return dataclasses.replace(rights, account_id=uid)


def _balances(body: Any) -> Balances:
    free: dict[str, Decimal] = {}
    total: dict[str, Decimal] = {}
    for row in rows(mapping(body).get("balances")):
        currency = text(row, "asset")
        available = number(row, "free")
        whole = available + number(row, "locked")
        if whole:
            free[currency], total[currency] = available, whole
    return Balances(free, total)


def _orders(body: Any, *, listed: Listing) -> tuple[Order, ...]:
    return tuple(_order(row, listed=listed) for row in rows(body))


def _order(body: Any, *, listed: Listing) -> Order:
    row = mapping(body)
    status = _STATUSES.get(text(row, "status"))
    pair = listed.pairs.get(text(row, "symbol"))
    if status is None or pair is None:
        raise PayloadError(f"an order with status {row['status']} in market {row['symbol']}")
    return Order(
        client_order_id=optional_text(row, "clientOrderId") or "",
        order_id=text(row, "orderId"),
        pair=pair,
        side=side(row),
        type=OrderType.MARKET if text(row, "type") == "MARKET" else OrderType.LIMIT,
        status=status,
        price=number_or_zero(row, "price"),
        amount_base=number_or_zero(row, "origQty"),
        filled_base=number(row, "executedQty"),
        cost_quote=number(row, "cummulativeQuoteQty"),
        created_at_ms=integer(row, "time"),
        updated_at_ms=integer(row, "updateTime") if row.get("updateTime") else integer(row, "time"),
    )


def _asked_order(
    body: Any, *, listed: Listing, client_order_id: str, order_id: str | None
) -> Order:
    order = _order(body, listed=listed)
    if order.client_order_id == client_order_id or order.order_id == order_id:
        return order
    raise PayloadError("the answer is about another order")


def _fills(body: Any, *, listed: Listing) -> tuple[Fill, ...]:
    return tuple(_fill(row, listed) for row in rows(body))


def _fill(row: dict[str, Any], listed: Listing) -> Fill:
    currency = optional_text(row, "commissionAsset")
    pair = listed.pairs.get(text(row, "symbol"))
    if pair is None:
        raise PayloadError(f"a fill in market {row['symbol']}")
    return Fill(
        fill_id=text(row, "id"),
        order_id=text(row, "orderId"),
        client_order_id=optional_text(row, "clientOrderId"),
        pair=pair,
        side=Side.BUY if flag(row, "isBuyer") else Side.SELL,
        price=number(row, "price"),
        amount_base=number(row, "qty"),
        fee=None if currency is None else Fee(currency, number(row, "commission")),
        is_maker=flag(row, "isMaker"),
        at_ms=integer(row, "time"),
    )
