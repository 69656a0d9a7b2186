"""One KuCoin spot account over the high-frequency REST API: orders, fills, balances."""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import Any, Final

from backfuturectl.exchanges.ccxt_adapter import HORIZON_MS, Route
from backfuturectl.exchanges.joint import Joint
from backfuturectl.exchanges.kucoin import order_status, read_rights, windows
from backfuturectl.exchanges.listing import Listing
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
from backfuturectl.model.orders import (
    Balances,
    Fee,
    Fill,
    Funding,
    FuturesSettings,
    NewOrder,
    Order,
    OrderType,
    Position,
)

_PAGE: Final = 100
_PAGES_MAX: Final = 50
_TRADING_ACCOUNTS: Final = frozenset({"trade", "trade_hf"})

_PRIVATE: Final = ("private",)


def _read(path: str, weight: int) -> Route:
    return Route(_PRIVATE, "GET", path, {"spot": weight})


def _write(path: str, method: str, operation: Operation) -> Route:
    return Route(_PRIVATE, method, path, {"spot": 1}, operation)


_ACCOUNTS: Final = Route(_PRIVATE, "GET", "accounts", {"management": 5})
_ORDER_BY_CLIENT_ID: Final = _read("hf/orders/client-order/{clientOid}", 2)
_ORDER_BY_ID: Final = _read("hf/orders/{orderId}", 2)
_OPEN_ORDERS: Final = _read("hf/orders/active", 2)
_DONE_ORDERS: Final = _read("hf/orders/done", 2)
_FILLS: Final = _read("hf/fills", 2)
_PLACE: Final = _write("hf/orders", "POST", Operation.CREATE)
_TRY: Final = _write("hf/orders/test", "POST", Operation.TRIAL)
_CANCEL_BY_ID: Final = _write("hf/orders/{orderId}", "DELETE", Operation.CANCEL)
_CANCEL_BY_CLIENT_ID: Final = _write(
    "hf/orders/client-order/{clientOid}", "DELETE", Operation.CANCEL
)


class KucoinSpotAccount:
    """One KuCoin spot account: the trading account, not the funding account."""

    exchange = "kucoin"
    horizon_ms = HORIZON_MS

    def __init__(self, access: Access) -> None:
        self._client = client = access.client
        self._listed = access.listed
        self._now_ms = access.now_ms
        self._balances = Joint(lambda: client.call(_ACCOUNTS, _balances))

    async def rights(self) -> KeyRights:
        """Return what the key may do."""
        return await read_rights(self._client)

    async def balances(self) -> Balances:
        """Return the trading account."""
        return await self._balances()

    async def prepare(self, pair: str, *, leverage: int, margin_mode: str) -> None:
        """Do nothing: spot has neither leverage nor margin."""

    async def place(self, order: NewOrder) -> Order:
        """Send *order* once; the exchange acknowledges it before it is matched."""
        params = await self._order_params(order)
        order_id = await self._client.call(_PLACE, _order_id, params, priority=priority_of(order))
        return acknowledged(order, order_id)

    async def try_order(self, order: NewOrder) -> None:
        """Send *order* to the exchange's test endpoint: judged, never placed."""
        await self._client.call(_TRY, mapping, await self._order_params(order))

    async def cancel(self, pair: str, client_order_id: str, order_id: str | None) -> None:
        """Ask for a cancel; an order that is gone already is no error."""
        symbol = (await self._listed.get()).symbol(pair)
        if order_id is not None:
            call = self._client.call(
                _CANCEL_BY_ID, mapping, {"orderId": order_id, "symbol": symbol}
            )
        else:
            call = self._client.call(
                _CANCEL_BY_CLIENT_ID, mapping, {"clientOid": client_order_id, "symbol": symbol}
            )
        await found(call)

    async def order(
        self, pair: str, client_order_id: str, order_id: str | None = None
    ) -> Order | None:
        """Return the order by client id, else by id, else from the open and the recent ones."""
        listed = await self._listed.get()
        symbol = {"symbol": listed.symbol(pair)}
        parse = functools.partial(_order_or_none, listed=listed)
        by_client_id = {**symbol, "clientOid": client_order_id}
        order = await found(self._client.call(_ORDER_BY_CLIENT_ID, parse, by_client_id))
        if order is None and order_id is not None:
            by_id = {**symbol, "orderId": order_id}
            order = await found(self._client.call(_ORDER_BY_ID, parse, by_id))
        if order is None:
            order = pick(await self.open_orders(pair), client_order_id, order_id)
        if order is None:
            done = await self._client.call(
                _DONE_ORDERS,
                lambda body: _orders(mapping(body).get("items"), listed=listed),
                {**symbol, "limit": _PAGE},
            )
            order = pick(done, client_order_id, order_id)
        return order

    async def open_orders(self, pair: str) -> tuple[Order, ...]:
        """Return every open order of the pair, ours and foreign."""
        listed = await self._listed.get()
        parse = functools.partial(_orders, listed=listed)
        return await self._client.call(_OPEN_ORDERS, parse, {"symbol": listed.symbol(pair)})

    async def fills(self, pair: str, since_ms: int) -> tuple[Fill, ...]:
        """Return executions since then, at most half a year back, oldest first."""
        listed = await self._listed.get()
        seen: dict[str, Fill] = {}
        for start_ms, end_ms in windows(since_ms, self._now_ms()):
            params = {"symbol": listed.symbol(pair), "startAt": start_ms, "endAt": end_ms}
            seen |= await self._fills_between(params, listed)
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

    async def _fills_between(self, params: dict[str, Any], listed: Listing) -> dict[str, Fill]:
        parse = functools.partial(_fills, listed=listed)
        seen: dict[str, Fill] = {}
        params = {**params, "limit": _PAGE}
        for _ in range(_PAGES_MAX):
            page, last_id = await self._client.call(_FILLS, parse, params)
            fresh = {fill.fill_id: fill for fill in page if fill.fill_id not in seen}
            seen |= fresh
            if len(page) < _PAGE or not fresh or last_id is None:
                break
            params["lastId"] = last_id
        return seen

    async def _order_params(self, order: NewOrder) -> dict[str, Any]:
        listed = await self._listed.get()
        check_steps(order, listed.market(order.pair))
        params: dict[str, Any] = {
            "clientOid": order.client_order_id,
            "symbol": listed.symbol(order.pair),
            "side": order.side.value,
            "type": order.type.value,
            "size": plain(order.amount_base),
        }
        if order.type is OrderType.LIMIT:
            params["price"] = plain(order.price)
        if order.is_post_only:
            params["postOnly"] = True
        return params


def _balances(body: Any) -> Balances:
    """Add up the trading accounts: the funding account's money cannot trade."""
    free: dict[str, Decimal] = {}
    total: dict[str, Decimal] = {}
    for row in rows(body):
        whole = number(row, "balance")
        if text(row, "type") in _TRADING_ACCOUNTS and whole:
            currency = text(row, "currency")
            free[currency] = free.get(currency, Decimal(0)) + number(row, "available")
            total[currency] = total.get(currency, Decimal(0)) + whole
    return Balances(free, total)


def _order_id(body: Any) -> str:
    return text(mapping(body), "orderId")


def _orders(body: Any, *, listed: Listing) -> tuple[Order, ...]:
    return tuple(_order(row, listed) for row in rows([] if body is None else body))


def _order_or_none(body: Any, *, listed: Listing) -> Order | None:
    return None if body is None else _order(mapping(body), listed)


def _order(row: dict[str, Any], listed: Listing) -> Order:
    pair = listed.pairs.get(text(row, "symbol"))
    if pair is None:
        raise PayloadError(f"an order in market {row['symbol']}")
    amount, filled = number_or_zero(row, "size"), number(row, "dealSize")
    currency = optional_text(row, "feeCurrency")
    fee = number_or_zero(row, "fee")
    created_at_ms = integer(row, "createdAt")
    return Order(
        client_order_id=optional_text(row, "clientOid") or "",
        order_id=text(row, "id"),
        pair=pair,
        side=side(row),
        type=OrderType.MARKET if text(row, "type") == "market" else OrderType.LIMIT,
        status=order_status(
            is_active=flag(row, "active"),
            is_whole=not flag(row, "cancelExist") and filled >= amount,
        ),
        price=number_or_zero(row, "price"),
        amount_base=amount,
        filled_base=filled,
        cost_quote=number(row, "dealFunds"),
        fees=(Fee(currency, fee),) if currency is not None and fee else (),
        created_at_ms=created_at_ms,
        updated_at_ms=integer(row, "lastUpdatedAt") if row.get("lastUpdatedAt") else created_at_ms,
    )


def _fills(body: Any, *, listed: Listing) -> tuple[tuple[Fill, ...], str | None]:
    page = mapping(body)
    fills = tuple(_fill(row, listed) for row in rows(page.get("items")))
    return fills, optional_text(page, "lastId")


def _fill(row: dict[str, Any], listed: Listing) -> Fill:
    pair = listed.pairs.get(text(row, "symbol"))
    if pair is None:
        raise PayloadError(f"a fill in market {row['symbol']}")
    currency = optional_text(row, "feeCurrency")
    return Fill(
        # `tradeId` names both sides of a trade, `id` this one.
        fill_id=text(row, "id"),
        order_id=text(row, "orderId"),
        client_order_id=None,
        pair=pair,
        side=side(row),
        price=number(row, "price"),
        amount_base=number(row, "size"),
        fee=None if currency is None else Fee(currency, number_or_zero(row, "fee")),
        is_maker=text(row, "liquidity") == "maker",
        at_ms=integer(row, "createdAt"),
    )
