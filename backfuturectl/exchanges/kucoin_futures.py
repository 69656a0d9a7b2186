"""One KuCoin USDT-margined futures account: settings, orders, fills, position, funding."""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import Any, Final

from backfuturectl.exchanges.ccxt_adapter import HORIZON_MS, Route
from backfuturectl.exchanges.kucoin import CLOCK_SLACK_MS, read_rights, windows
from backfuturectl.exchanges.kucoin_futures_orders import (
    SETTLE,
    fills_page,
    funding_page,
    order_or_none,
    order_params,
    orders_page,
    positions,
    taken_order_id,
    whole,
)
from backfuturectl.exchanges.listing import Listing
from backfuturectl.exchanges.orders import acknowledged, found, pick, priority_of
from backfuturectl.exchanges.payload import mapping, number, text
from backfuturectl.exchanges.port import KeyRights
from backfuturectl.exchanges.public import Access
from backfuturectl.exchanges.translation import Operation
from backfuturectl.model.errors import OperationError, PermanentError, TransientError
from backfuturectl.model.orders import (
    Balances,
    Fill,
    Funding,
    FuturesSettings,
    NewOrder,
    Order,
    OrderStatus,
    Position,
)
from backfuturectl.model.status import Reason

_PAGE: Final = 100
_PAGES_MAX: Final = 50
_FUNDING_WINDOW_MS: Final = 90 * 86_400_000
_FUNDING_PAGES_MAX: Final = 12
_ONE_WAY: Final = 0

# Where an order is listed: `stopOrders` holds what has not triggered, `orders` everything else.
_WAITING: Final = "waiting"
_ACTIVE: Final = "active"
_DONE: Final = "done"

_PRIVATE: Final = ("futuresPrivate",)


def _read(path: str, weight: int) -> Route:
    return Route(_PRIVATE, "GET", path, {"futures": weight})


def _write(path: str, method: str, operation: Operation, weight: int = 2) -> Route:
    return Route(_PRIVATE, method, path, {"futures": weight}, operation)


_ACCOUNT: Final = _read("account-overview", 5)
_POSITIONS: Final = _read("positions", 2)
_ORDER_BY_CLIENT_ID: Final = _read("orders/byClientOid", 5)
_ORDER_BY_ID: Final = _read("orders/{orderId}", 5)
_ORDERS: Final = _read("orders", 2)
_STOP_ORDERS: Final = _read("stopOrders", 6)
_FILLS: Final = _read("fills", 5)
_FUNDING: Final = _read("funding-history", 5)
_PLACE: Final = _write("orders", "POST", Operation.CREATE)
_TRY: Final = _write("orders/test", "POST", Operation.TRIAL)
_CANCEL_BY_ID: Final = _write("orders/{orderId}", "DELETE", Operation.CANCEL, 1)
_CANCEL_BY_CLIENT_ID: Final = _write(
    "orders/client-order/{clientOid}", "DELETE", Operation.CANCEL, 1
)
_POSITION_MODE: Final = _read("position/getPositionMode", 2)
_SET_POSITION_MODE: Final = _write("position/switchPositionMode", "POST", Operation.SETUP)
_MARGIN_MODE: Final = _read("position/getMarginMode", 2)
_SET_MARGIN_MODE: Final = _write("position/changeMarginMode", "POST", Operation.SETUP)
_LEVERAGE: Final = _read("getCrossUserLeverage", 2)
_SET_LEVERAGE: Final = _write("changeCrossUserLeverage", "POST", Operation.SETUP)


class KucoinFuturesAccount:
    """One KuCoin futures account."""

    exchange = "kucoin"
    horizon_ms = HORIZON_MS

    def __init__(self, access: Access) -> None:
        self._client = access.client
        self._listed = access.listed
        self._now_ms = access.now_ms

    async def rights(self) -> KeyRights:
        """Return what the key may do."""
        return await read_rights(self._client)

    async def balances(self) -> Balances:
        """Return the futures wallet in the settlement currency."""
        return await self._client.call(_ACCOUNT, _balances, {"currency": SETTLE})

    async def prepare(self, pair: str, *, leverage: int, margin_mode: str) -> None:
        """Set what differs, then read it back; isolated leverage travels with each order."""
        listed = await self._listed.get()
        market, symbol = listed.market(pair), {"symbol": listed.symbol(pair)}
        if leverage > market.leverage_max:
            raise _not_taken(pair, f"leverage {leverage} is above {market.leverage_max}")
        await self._set(
            _POSITION_MODE, _SET_POSITION_MODE, {}, {"positionMode": str(_ONE_WAY)}, pair
        )
        await self._set(
            _MARGIN_MODE, _SET_MARGIN_MODE, symbol, {"marginMode": margin_mode.upper()}, pair
        )
        if margin_mode == "cross":
            await self._set(_LEVERAGE, _SET_LEVERAGE, symbol, {"leverage": str(leverage)}, pair)

    async def settings(self, pair: str) -> FuturesSettings:
        """Return position mode, margin mode and, in cross mode, leverage."""
        symbol = {"symbol": (await self._listed.get()).symbol(pair)}
        position_mode = await self._shown(_POSITION_MODE, {}, "positionMode")
        margin_mode = (await self._shown(_MARGIN_MODE, symbol, "marginMode")).lower()
        leverage = None
        if margin_mode == "cross":
            leverage = whole(Decimal(await self._shown(_LEVERAGE, symbol, "leverage")))
        return FuturesSettings(
            is_one_way=position_mode == str(_ONE_WAY), margin_mode=margin_mode, leverage=leverage
        )

    async def place(self, order: NewOrder) -> Order:
        """Send *order* once; the exchange acknowledges it before it is matched."""
        params = order_params(order, await self._listed.get())
        priority = priority_of(order)
        order_id = await self._client.call(_PLACE, taken_order_id, params, priority=priority)
        return acknowledged(order, order_id)

    async def try_order(self, order: NewOrder) -> None:
        """Send *order* to the exchange's test endpoint: judged, never placed."""
        params = order_params(order, await self._listed.get())
        await self._client.call(_TRY, mapping, params)

    async def cancel(self, pair: str, client_order_id: str, order_id: str | None) -> None:
        """Ask for a cancel; an order that is gone already is no error."""
        symbol = (await self._listed.get()).symbol(pair)
        if order_id is not None:
            call = self._client.call(_CANCEL_BY_ID, mapping, {"orderId": order_id})
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
        parse = functools.partial(order_or_none, listed=listed)
        by_client_id = {"clientOid": client_order_id}
        order = await found(self._client.call(_ORDER_BY_CLIENT_ID, parse, by_client_id))
        if order is None and order_id is not None:
            by_id = {"orderId": order_id}
            order = await found(self._client.call(_ORDER_BY_ID, parse, by_id))
        for where in (_WAITING, _ACTIVE, _DONE):
            if order is None:
                orders, _ = await self._orders(pair, where, 1)
                order = pick(orders, client_order_id, order_id)
        if order is not None and _may_have_moved(order):
            return await self._triggered(pair, order)
        return order

    async def open_orders(self, pair: str) -> tuple[Order, ...]:
        """Return every open order of the pair, ours and foreign; also stops not yet triggered."""
        seen: dict[str, Order] = {}
        # In this order a stop that triggers in between is in one list at least.
        for where in (_WAITING, _ACTIVE):
            for page in range(1, _PAGES_MAX + 1):
                orders, pages = await self._orders(pair, where, page)
                seen |= {order.order_id: order for order in orders}
                if page >= pages:
                    break
        return tuple(seen.values())

    async def fills(self, pair: str, since_ms: int) -> tuple[Fill, ...]:
        """Return executions since then, at most half a year back, oldest first."""
        listed = await self._listed.get()
        seen: dict[str, Fill] = {}
        for start_ms, end_ms in windows(since_ms, self._now_ms()):
            params = {"symbol": listed.symbol(pair), "startAt": start_ms, "endAt": end_ms}
            seen |= await self._fills_between(params, listed)
        return tuple(sorted(seen.values(), key=lambda fill: (fill.at_ms, fill.fill_id)))

    async def position(self, pair: str) -> Position | None:
        """Return the position; None when flat."""
        listed = await self._listed.get()
        parse = functools.partial(positions, listed=listed, pair=pair)
        held = await self._client.call(_POSITIONS, parse, {"currency": SETTLE})
        if len(held) > 1:
            raise PermanentError(
                Reason.POSITION_MISMATCH,
                f"{pair} has a long and a short position at once; expected one-way mode",
            )
        return held[0] if held else None

    async def funding(self, pair: str, since_ms: int) -> tuple[Funding, ...]:
        """Return funding payments since then, at most three months back, oldest first."""
        listed = await self._listed.get()
        symbol = listed.symbol(pair)
        parse = functools.partial(funding_page, pair=pair, symbol=symbol)
        now_ms = self._now_ms()
        params: dict[str, Any] = {
            "symbol": symbol,
            "startAt": max(since_ms, now_ms - _FUNDING_WINDOW_MS),
            "endAt": now_ms + CLOCK_SLACK_MS,
            "maxCount": _PAGE,
        }
        seen: dict[str, Funding] = {}
        for _ in range(_FUNDING_PAGES_MAX):
            payments, has_more = await self._client.call(_FUNDING, parse, params)
            fresh = {one.funding_id: one for one in payments if one.funding_id not in seen}
            seen |= fresh
            if not has_more or not fresh:
                break
            # Newest first, without a cursor that could be trusted: up to the oldest one seen.
            params["endAt"] = min(one.at_ms for one in payments)
        return tuple(sorted(seen.values(), key=lambda one: (one.at_ms, one.funding_id)))

    async def close(self) -> None:
        """Do nothing: session and budget belong to the public port."""

    async def _shown(self, read: Route, where: dict[str, Any], name: str) -> str:
        return await self._client.call(read, lambda body: text(mapping(body), name), where)

    async def _set(
        self,
        read: Route,
        write: Route,
        where: dict[str, Any],
        wanted: dict[str, str],
        pair: str,
    ) -> None:
        ((name, value),) = wanted.items()
        before = await self._shown(read, where, name)
        if before == value:
            return
        try:
            await self._client.call(write, lambda body: body, {**where, **wanted})
        except OperationError as error:
            if isinstance(error, TransientError) and error.reason is not Reason.EXCHANGE_ERROR:
                raise
            # The code for an open position or order in the way is not documented.
            raise _not_taken(
                pair,
                f"{name} shows {before}, and the exchange does not change it to {value} ({error}); "
                "it cannot while a position or an order is open",
            ) from error
        after = await self._shown(read, where, name)
        if after != value:
            raise _not_taken(pair, f"{name} shows {after} after setting {value}")

    async def _triggered(self, pair: str, stop: Order) -> Order:
        """Return the order that a stop became, or *stop* itself when it became none."""
        for where in (_ACTIVE, _DONE):
            orders, _ = await self._orders(pair, where, 1)
            for order in orders:
                if order.client_order_id == stop.client_order_id and order.filled_base:
                    return order
        return stop

    async def _orders(self, pair: str, where: str, page: int) -> tuple[tuple[Order, ...], int]:
        listed = await self._listed.get()
        params = {"symbol": listed.symbol(pair), "currentPage": page, "pageSize": _PAGE}
        parse = functools.partial(orders_page, listed=listed)
        if where == _WAITING:
            return await self._client.call(_STOP_ORDERS, parse, params)
        return await self._client.call(_ORDERS, parse, {"status": where, **params})

    async def _fills_between(self, params: dict[str, Any], listed: Listing) -> dict[str, Fill]:
        parse = functools.partial(fills_page, listed=listed)
        seen: dict[str, Fill] = {}
        for page in range(1, _PAGES_MAX + 1):
            fills, pages = await self._client.call(
                _FILLS, parse, {**params, "currentPage": page, "pageSize": _PAGE}
            )
            seen |= {fill.fill_id: fill for fill in fills}
            if page >= pages:
                break
        return seen


def _not_taken(pair: str, what: str) -> PermanentError:
    return PermanentError(Reason.ORDER_REJECTED, f"{pair} cannot be prepared: {what}")


def _balances(body: Any) -> Balances:
    row = mapping(body)
    currency = text(row, "currency")
    total = number(row, "accountEquity")
    if not total:
        return Balances()
    return Balances({currency: number(row, "availableBalance")}, {currency: total})


def _may_have_moved(order: Order) -> bool:
    """Return whether a stop may have gone on as another order of the same client id.

    UNVERIFIED: whether a stop keeps its id when it triggers; KuCoin's pages say only that it is
    listed among the other orders from then on.
    """
    is_stop = order.trigger_price is not None
    return is_stop and order.status is OrderStatus.CANCELED and not order.filled_base
