"""KuCoin spot: markets, prices, orders and account over the high-frequency REST API."""

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
    read_egress_ip,
    read_rights,
    server_time_ms,
    windows,
)
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
)

_OPEN_ORDERS_MAX: Final = 200
_PAGE: Final = 100
_PAGES_MAX: Final = 50
_TRADING_ACCOUNTS: Final = frozenset({"trade", "trade_hf"})

_INTERVALS: Final = {
    Interval.MINUTE: "1min",
    Interval.MINUTES_5: "5min",
    Interval.MINUTES_15: "15min",
    Interval.MINUTES_30: "30min",
    Interval.HOUR: "1hour",
    Interval.HOURS_4: "4hour",
    Interval.DAY: "1day",
}

_PUBLIC: Final = ("public",)
_PRIVATE: Final = ("private",)


def _read(path: str, weight: int) -> Route:
    return Route(_PRIVATE, "GET", path, {"spot": weight})


def _write(path: str, method: str, operation: Operation) -> Route:
    return Route(_PRIVATE, method, path, {"spot": 1}, operation)


_TIME: Final = Route(_PUBLIC, "GET", "timestamp", {"public": 3})
_MARKETS: Final = Route(_PUBLIC, "GET", "symbols", {"public": 4})
_TICKERS: Final = Route(_PUBLIC, "GET", "market/allTickers", {"public": 15}, is_price=True)
_CANDLES: Final = Route(_PUBLIC, "GET", "market/candles", {"public": 3})
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


class KucoinSpotPublic:
    """KuCoin spot without a key."""

    exchange = "kucoin"

    def __init__(self, client: Client) -> None:
        self.client = client
        self.listed = Listed(self._load)

    async def markets(self) -> Mapping[str, Market]:
        """Return all spot markets by pair."""
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
            "type": _INTERVALS[interval],
            "startAt": span.first_ms // 1_000,
            "endAt": span.last_ms // 1_000,
        }
        return await self.client.call(_CANDLES, functools.partial(_candles, span=span), params)

    def account(self, key: KeyMaterial, now_ms: Callable[[], int]) -> KucoinSpotAccount:
        """Return one account on this session and budget."""
        return KucoinSpotAccount(self.client.with_key(key, now_ms), self, now_ms)

    async def close(self) -> None:
        """Close the HTTP session, for every account on it."""
        await self.client.close()

    async def _load(self) -> Listing:
        fees = await self.client.call(_TICKERS, _fees)
        return await self.client.call(_MARKETS, functools.partial(_listing, fees=fees))


class KucoinSpotAccount:
    """One KuCoin spot account: the trading account, not the funding account."""

    exchange = "kucoin"
    horizon_ms = HORIZON_MS

    def __init__(self, client: Client, public: KucoinSpotPublic, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._listed = public.listed
        self._now_ms = now_ms

    async def rights(self) -> KeyRights:
        """Return what the key may do."""
        return await read_rights(self._client)

    async def balances(self) -> Balances:
        """Return the trading account."""
        return await self._client.call(_ACCOUNTS, _balances)

    async def prepare(self, pair: str, *, leverage: int, margin_mode: str) -> None:
        """Do nothing: spot has neither leverage nor margin."""

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


def _fees(body: Any) -> dict[str, tuple[Decimal, Decimal]]:
    """Return (taker, maker) by symbol; a ticker without fees is left out."""
    fees = {}
    for row in rows(mapping(body).get("ticker")):
        try:
            fees[text(row, "symbol")] = (
                number(row, "takerFeeRate") * number(row, "takerCoefficient"),
                number(row, "makerFeeRate") * number(row, "makerCoefficient"),
            )
        except PayloadError:
            continue
    return fees


def _listing(body: Any, *, fees: Mapping[str, tuple[Decimal, Decimal]]) -> Listing:
    """Return the markets that can be read; a row without its rules is no market."""
    markets = {}
    for row in rows(body):
        try:
            symbol = text(row, "symbol")
            if symbol in fees:
                markets[symbol] = _market(row, fees[symbol])
        except PayloadError:
            continue
    return listing(markets)


def _market(row: dict[str, Any], fees: tuple[Decimal, Decimal]) -> Market:
    base, quote = text(row, "baseCurrency"), text(row, "quoteCurrency")
    taker_fee, maker_fee = fees
    return Market(
        exchange="kucoin",
        kind=MarketKind.SPOT,
        pair=f"{base}/{quote}",
        base=base,
        quote=quote,
        price_tick=number(row, "priceIncrement"),
        amount_step=number(row, "baseIncrement"),
        amount_min=number(row, "baseMinSize"),
        # quoteMinSize rules market buys, minFunds limit orders; the higher one satisfies both.
        cost_min=max(number_or_zero(row, "minFunds"), number_or_zero(row, "quoteMinSize")),
        taker_fee=taker_fee,
        maker_fee=maker_fee,
        amount_max=optional_number(row, "baseMaxSize"),
        open_orders_max=_OPEN_ORDERS_MAX,
        # `stop-order` takes no reduceOnly. It holds coins at once (KuCoin's API page) or when it
        # sets off ("Why Stop Orders Are Canceled", KuCoin's help); beside a take profit, which
        # holds them, it is refused or canceled for want of coins, or sells others that the account
        # has. `oco/order` would hold them once, but its stop is a limit order that a fall may leave
        # behind, unfilled and with the coins held; it has one price where a take profit may have
        # steps; and a take profit that fills in part takes the stop away.
        stop_orders_max=0,
        is_active=flag(row, "enableTrading"),
    )


def _prices(body: Any, *, wanted: Mapping[str, str]) -> dict[str, Quote]:
    return {
        wanted[row["symbol"]]: Quote(
            last=number(row, "last"),
            bid=optional_number(row, "buy"),
            ask=optional_number(row, "sell"),
        )
        for row in rows(mapping(body).get("ticker"))
        # A market that never traded has no last price.
        if row.get("symbol") in wanted and row.get("last") is not None
    }


def _candles(body: Any, *, span: Span) -> tuple[Candle, ...]:
    opened = ((int(number_at(row, 0)) * 1_000, number_at(row, 2)) for row in lists(body))
    return closed(opened, span)


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


def order_status(*, is_active: bool, is_whole: bool) -> OrderStatus:
    """Return the status that KuCoin writes only as flags.

    An inactive order that is not whole was canceled, also where no cancel is on record: a market
    order that ran out of book must not count as filled.
    """
    if is_active:
        return OrderStatus.OPEN
    return OrderStatus.FILLED if is_whole else OrderStatus.CANCELED


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
