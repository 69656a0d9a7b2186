"""KuCoin USDT-margined futures: markets, prices, orders, positions and account.

Amounts on the wire are whole lots of `contract_size` base units; the rest of the program sees base
units only. KuCoin writes Bitcoin as XBT there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any, Final

from backfuturectl.exchanges.candles import Span, closed
from backfuturectl.exchanges.ccxt_adapter import (
    HORIZON_MS,
    Client,
    KeyMaterial,
    Listed,
    Listing,
    Route,
    acknowledged,
    check_steps,
    found,
    listing,
    pick,
)
from backfuturectl.exchanges.kucoin import (
    CLOCK_SLACK_MS,
    read_egress_ip,
    read_rights,
    server_time_ms,
    windows,
)
from backfuturectl.exchanges.kucoin_spot import order_status
from backfuturectl.exchanges.payload import (
    PayloadError,
    flag,
    integer,
    lists,
    mapping,
    number,
    number_at,
    number_or_zero,
    optional_number,
    optional_text,
    plain,
    rows,
    side,
    text,
)
from backfuturectl.exchanges.port import KeyRights
from backfuturectl.exchanges.translation import Operation
from backfuturectl.model.candles import Candle, Interval
from backfuturectl.model.errors import OperationError, PermanentError, TransientError
from backfuturectl.model.market import Market, MarketKind, Quote
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

_SETTLE: Final = "USDT"
_OPEN_ORDERS_MAX: Final = 100
_STOP_ORDERS_MAX: Final = 50
_PAGE: Final = 100
_PAGES_MAX: Final = 50
_FUNDING_WINDOW_MS: Final = 90 * 86_400_000
_FUNDING_PAGES_MAX: Final = 12
_ONE_WAY: Final = 0
_FORCED: Final = frozenset({"liquid", "adl", "settlement"})

# Where an order is listed: `stopOrders` holds what has not triggered, `orders` everything else.
_WAITING: Final = "waiting"
_ACTIVE: Final = "active"
_DONE: Final = "done"
_MINUTE_MS: Final = 60_000

_PUBLIC: Final = ("futuresPublic",)
_PRIVATE: Final = ("futuresPrivate",)


def _read(path: str, weight: int) -> Route:
    return Route(_PRIVATE, "GET", path, {"futures": weight})


def _write(path: str, method: str, operation: Operation, weight: int = 2) -> Route:
    return Route(_PRIVATE, method, path, {"futures": weight}, operation)


_TIME: Final = Route(_PUBLIC, "GET", "timestamp", {"public": 2})
_MARKETS: Final = Route(_PUBLIC, "GET", "contracts/active", {"public": 3})
_TICKERS: Final = Route(_PUBLIC, "GET", "allTickers", {"public": 5}, is_price=True)
_CANDLES: Final = Route(_PUBLIC, "GET", "kline/query", {"public": 3})
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


class KucoinFuturesPublic:
    """KuCoin futures without a key."""

    exchange = "kucoin"

    def __init__(self, client: Client) -> None:
        self.client = client
        self.listed = Listed(lambda: client.call(_MARKETS, _listing))

    async def markets(self) -> Mapping[str, Market]:
        """Return all perpetual USDT-margined markets by pair."""
        return (await self.listed.get()).markets

    async def reload_markets(self) -> None:
        """Load the markets again."""
        await self.listed.reload()

    async def server_time_ms(self) -> int:
        """Return the exchange's clock."""
        return await self.client.call(_TIME, server_time_ms)

    async def egress_ip(self) -> str:
        """Return this machine's public address as the exchange sees it."""
        return await read_egress_ip(self.client)

    async def prices(self, pairs: Collection[str]) -> Mapping[str, Quote]:
        """Return the quote per pair; one request whatever their number."""
        listed = await self.listed.get()
        wanted = listed.wanted(pairs)
        return await self.client.call(_TICKERS, functools.partial(_prices, wanted=wanted))

    async def candles(
        self, pair: str, interval: Interval, *, limit: int, before_ms: int
    ) -> tuple[Candle, ...]:
        """Return closed candles, oldest first."""
        symbol = (await self.listed.get()).symbol(pair)
        span = Span(interval, limit, before_ms)
        params = {
            "symbol": symbol,
            "granularity": interval.ms // _MINUTE_MS,
            "from": span.first_ms,
            "to": span.last_ms,
        }
        return await self.client.call(_CANDLES, functools.partial(_candles, span=span), params)

    def account(self, key: KeyMaterial, now_ms: Callable[[], int]) -> KucoinFuturesAccount:
        """Return one account on this session and budget."""
        return KucoinFuturesAccount(self.client.with_key(key, now_ms), self, now_ms)

    async def close(self) -> None:
        """Close the HTTP session, for every account on it."""
        await self.client.close()


class KucoinFuturesAccount:
    """One KuCoin futures account."""

    exchange = "kucoin"
    horizon_ms = HORIZON_MS

    def __init__(
        self, client: Client, public: KucoinFuturesPublic, now_ms: Callable[[], int]
    ) -> None:
        self._client = client
        self._listed = public.listed
        self._now_ms = now_ms

    async def rights(self) -> KeyRights:
        """Return what the key may do."""
        return await read_rights(self._client)

    async def balances(self) -> Balances:
        """Return the futures wallet in the settlement currency."""
        return await self._client.call(_ACCOUNT, _balances, {"currency": _SETTLE})

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
            leverage = _whole(Decimal(await self._shown(_LEVERAGE, symbol, "leverage")))
        return FuturesSettings(
            is_one_way=position_mode == str(_ONE_WAY), margin_mode=margin_mode, leverage=leverage
        )

    async def place(self, order: NewOrder) -> Order:
        """Send *order* once; the exchange acknowledges it before it is matched."""
        params = await self._order_params(order)
        return acknowledged(order, await self._client.call(_PLACE, _order_id, params))

    async def try_order(self, order: NewOrder) -> None:
        """Send *order* to the exchange's test endpoint: judged, never placed."""
        await self._client.call(_TRY, mapping, await self._order_params(order))

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
        parse = functools.partial(_order_or_none, listed=listed)
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
        parse = functools.partial(_positions, listed=listed, pair=pair)
        positions = await self._client.call(_POSITIONS, parse, {"currency": _SETTLE})
        if len(positions) > 1:
            raise PermanentError(
                Reason.POSITION_MISMATCH,
                f"{pair} has a long and a short position at once; expected one-way mode",
            )
        return positions[0] if positions else None

    async def funding(self, pair: str, since_ms: int) -> tuple[Funding, ...]:
        """Return funding payments since then, at most three months back, oldest first."""
        listed = await self._listed.get()
        symbol = listed.symbol(pair)
        parse = functools.partial(_funding, pair=pair, symbol=symbol)
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
        parse = functools.partial(_orders, listed=listed)
        if where == _WAITING:
            return await self._client.call(_STOP_ORDERS, parse, params)
        return await self._client.call(_ORDERS, parse, {"status": where, **params})

    async def _fills_between(self, params: dict[str, Any], listed: Listing) -> dict[str, Fill]:
        parse = functools.partial(_fills, listed=listed)
        seen: dict[str, Fill] = {}
        for page in range(1, _PAGES_MAX + 1):
            fills, pages = await self._client.call(
                _FILLS, parse, {**params, "currentPage": page, "pageSize": _PAGE}
            )
            seen |= {fill.fill_id: fill for fill in fills}
            if page >= pages:
                break
        return seen

    async def _order_params(self, order: NewOrder) -> dict[str, Any]:
        listed = await self._listed.get()
        market = listed.market(order.pair)
        check_steps(order, market)
        params: dict[str, Any] = {
            "clientOid": order.client_order_id,
            "symbol": listed.symbol(order.pair),
            "side": order.side.value,
            "type": order.type.value,
            "size": int(order.amount_base / market.contract_size),
            "leverage": order.leverage,
            "marginMode": (order.margin_mode or "isolated").upper(),
        }
        if order.type is OrderType.LIMIT:
            params["price"] = plain(order.price)
        if order.trigger_price is not None:
            # By the last trade price, which bots are shown, too.
            is_rising = order.side is Side.BUY
            params |= {"stop": "up" if is_rising else "down", "stopPriceType": "TP"}
            params["stopPrice"] = plain(order.trigger_price)
        if order.is_reduce_only:
            params["reduceOnly"] = True
        if order.is_post_only:
            params["postOnly"] = True
        return params


def _not_taken(pair: str, what: str) -> PermanentError:
    return PermanentError(Reason.ORDER_REJECTED, f"{pair} cannot be prepared: {what}")


def _listing(body: Any) -> Listing:
    """Return the markets that can be read; a row without its rules is no market."""
    markets = {}
    for row in rows(body):
        try:
            is_linear = not flag(row, "isInverse") and text(row, "settleCurrency") == _SETTLE
            if is_linear and text(row, "quoteCurrency") == _SETTLE and not row.get("expireDate"):
                markets[text(row, "symbol")] = _market(row)
        except PayloadError:
            continue
    return listing(markets)


def _market(row: dict[str, Any]) -> Market:
    base, quote = text(row, "baseCurrency"), text(row, "quoteCurrency")
    base = "BTC" if base == "XBT" else base
    contract_size = number(row, "multiplier")
    step = contract_size * number(row, "lotSize")
    lots_max = [
        lots
        for name in ("maxOrderQty", "marketMaxOrderQty")
        if (lots := optional_number(row, name)) is not None
    ]
    return Market(
        exchange="kucoin",
        kind=MarketKind.FUTURES,
        pair=f"{base}/{quote}",
        base=base,
        quote=quote,
        price_tick=number(row, "tickSize"),
        amount_step=step,
        amount_min=step,
        cost_min=Decimal(0),
        taker_fee=number(row, "takerFeeRate"),
        maker_fee=number(row, "makerFeeRate"),
        amount_max=min(lots_max) * contract_size if lots_max else None,
        contract_size=contract_size,
        maintenance_margin=number(row, "maintainMargin"),
        # With isolated margin an account holds no more than the risk level it has chosen, and the
        # whole position is liquidated by that level's rate ("User must set Risk Limit", KuCoin's
        # `get-position-tiers`). Changing it cancels the contract's open orders, so this program
        # does not, and the higher levels are of no use to it. UNVERIFIED: in every sample this is
        # the first level's upper end.
        tier_max_quote=optional_number(row, "minRiskLimit"),
        leverage_max=int(number(row, "maxLeverage")),
        open_orders_max=_OPEN_ORDERS_MAX,
        # Nothing is held for a stop that only reduces, so it may wait beside a take profit.
        stop_orders_max=_STOP_ORDERS_MAX,
        is_active=text(row, "status") == "Open",
    )


def _prices(body: Any, *, wanted: Mapping[str, str]) -> dict[str, Quote]:
    return {
        wanted[row["symbol"]]: Quote(
            last=number(row, "price"),
            bid=optional_number(row, "bestBidPrice"),
            ask=optional_number(row, "bestAskPrice"),
        )
        for row in rows(body)
        # A market that never traded has no last price.
        if row.get("symbol") in wanted and row.get("price") is not None
    }


def _candles(body: Any, *, span: Span) -> tuple[Candle, ...]:
    return closed(((int(number_at(row, 0)), number_at(row, 4)) for row in lists(body)), span)


def _balances(body: Any) -> Balances:
    row = mapping(body)
    currency = text(row, "currency")
    total = number(row, "accountEquity")
    if not total:
        return Balances()
    return Balances({currency: number(row, "availableBalance")}, {currency: total})


def _order_id(body: Any) -> str:
    return text(mapping(body), "orderId")


def _orders(body: Any, *, listed: Listing) -> tuple[tuple[Order, ...], int]:
    """Return one page of orders and how many pages there are."""
    page = mapping(body)
    # Contracts of another kind share the account; they are none of ours.
    orders = tuple(
        _order(row, listed) for row in rows(page.get("items")) if row.get("symbol") in listed.pairs
    )
    return orders, integer(page, "totalPage")


def _may_have_moved(order: Order) -> bool:
    """Return whether a stop may have gone on as another order of the same client id.

    UNVERIFIED: whether a stop keeps its id when it triggers; KuCoin's pages say only that it is
    listed among the other orders from then on.
    """
    is_stop = order.trigger_price is not None
    return is_stop and order.status is OrderStatus.CANCELED and not order.filled_base


def _order_or_none(body: Any, *, listed: Listing) -> Order | None:
    return None if body is None else _order(mapping(body), listed)


def _order(row: dict[str, Any], listed: Listing) -> Order:
    pair = listed.pairs.get(text(row, "symbol"))
    if pair is None:
        raise PayloadError(f"an order in market {row['symbol']}")
    contract_size = listed.markets[pair].contract_size
    lots, filled_lots = number(row, "size"), number_or_zero(row, "filledSize")
    trigger_price = optional_number(row, "stopPrice") if optional_text(row, "stop") else None
    created_at_ms = integer(row, "createdAt")
    return Order(
        client_order_id=optional_text(row, "clientOid") or "",
        order_id=text(row, "id"),
        pair=pair,
        side=side(row),
        type=OrderType.MARKET if text(row, "type") == "market" else OrderType.LIMIT,
        status=order_status(
            is_active=flag(row, "isActive"),
            is_whole=not flag(row, "cancelExist") and filled_lots >= lots,
        ),
        price=number_or_zero(row, "price") or trigger_price or Decimal(0),
        amount_base=lots * contract_size,
        filled_base=filled_lots * contract_size,
        cost_quote=number_or_zero(row, "filledValue"),
        is_reduce_only=row.get("reduceOnly") is True,
        created_at_ms=created_at_ms,
        updated_at_ms=integer(row, "updatedAt") if row.get("updatedAt") else created_at_ms,
        trigger_price=trigger_price,
    )


def _fills(body: Any, *, listed: Listing) -> tuple[tuple[Fill, ...], int]:
    """Return one page of fills and how many pages there are."""
    page = mapping(body)
    fills = tuple(
        _fill(row, listed) for row in rows(page.get("items")) if row.get("symbol") in listed.pairs
    )
    return fills, integer(page, "totalPage")


def _fill(row: dict[str, Any], listed: Listing) -> Fill:
    pair = listed.pairs[text(row, "symbol")]
    currency = optional_text(row, "feeCurrency")
    return Fill(
        fill_id=text(row, "tradeId"),
        order_id=text(row, "orderId"),
        client_order_id=None,
        pair=pair,
        side=side(row),
        price=number(row, "price"),
        amount_base=number(row, "size") * listed.markets[pair].contract_size,
        fee=None if currency is None else Fee(currency, number_or_zero(row, "fee")),
        is_maker=text(row, "liquidity") == "maker",
        # Nanoseconds.
        at_ms=integer(row, "tradeTime") // 1_000_000,
        is_forced=row.get("tradeType") in _FORCED,
    )


def _funding(body: Any, *, pair: str, symbol: str) -> tuple[tuple[Funding, ...], bool]:
    """Return one page of payments and whether there is another."""
    page = mapping(body)
    payments = tuple(
        Funding(
            funding_id=text(row, "id"),
            pair=pair,
            amount_quote=number(row, "funding"),
            at_ms=integer(row, "timePoint"),
        )
        for row in rows(page.get("dataList"))
        if row.get("symbol") == symbol and text(row, "settleCurrency") == _SETTLE
    )
    return payments, page.get("hasMore") is True


def _positions(body: Any, *, listed: Listing, pair: str) -> tuple[Position, ...]:
    symbol = listed.symbol(pair)
    contract_size = listed.markets[pair].contract_size
    return tuple(
        _position(row, pair, contract_size)
        for row in rows(body)
        if row.get("symbol") == symbol and number(row, "currentQty")
    )


def _whole(leverage: Decimal) -> int:
    return int(leverage.to_integral_value())


def _position(row: dict[str, Any], pair: str, contract_size: Decimal) -> Position:
    # Not `realLeverage`, which moves with the price.
    leverage = optional_number(row, "leverage")
    liquidation_price = number_or_zero(row, "liquidationPrice")
    is_cross = flag(row, "crossMode")
    return Position(
        pair=pair,
        amount_base=number(row, "currentQty") * contract_size,
        entry_price=number(row, "avgEntryPrice"),
        leverage=None if leverage is None else _whole(leverage),
        margin_mode="cross" if is_cross else "isolated",
        liquidation_price=liquidation_price or None,
        mark_price=optional_number(row, "markPrice"),
        unrealised_quote=number_or_zero(row, "unrealisedPnl"),
    )
