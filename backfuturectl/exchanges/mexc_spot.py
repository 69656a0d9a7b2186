"""MEXC spot: markets, prices, orders and account over the v3 REST API."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator, Mapping
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
from backfuturectl.exchanges.mexc import spot_rights
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
from backfuturectl.model.errors import OperationError, PermanentError
from backfuturectl.model.market import ONE, Market, MarketKind, Quote
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

_OPEN_ORDERS_MAX: Final = 500
_BOOKS_WAIT_S: Final = 2.0
_FILLS_PAGE: Final = 100
_FILLS_PAGES_MAX: Final = 50

_INTERVALS: Final = {interval: interval.value for interval in Interval} | {Interval.HOUR: "60m"}

_PUBLIC: Final = ("spot", "public")
_PRIVATE: Final = ("spot", "private")


def _read(path: str, weight: int) -> Route:
    return Route(_PRIVATE, "GET", path, {"ip": weight, "account": weight})


def _write(path: str, method: str, operation: Operation) -> Route:
    return Route(_PRIVATE, method, path, {"ip": 1, "account": 1, "orders": 1}, operation)


_TIME: Final = Route(_PUBLIC, "GET", "time", {"ip": 1})
_MARKETS: Final = Route(_PUBLIC, "GET", "exchangeInfo", {"ip": 25})
# The one endpoint that has all three prices, ticker/24hr, weighs 40 of the 300 that an address may
# spend in ten seconds. Of these two the documentation says 2 and 1, ccxt 4.5.90 counts 10 each:
# the higher figure is kept, since who exceeds the limit is banned for minutes. Asked once a second
# they leave a third of the limit, of which orders are served first.
_PRICES: Final = Route(_PUBLIC, "GET", "ticker/price", {"ip": 10}, is_price=True)
_BOOKS: Final = Route(_PUBLIC, "GET", "ticker/bookTicker", {"ip": 10}, is_price=True)
_CANDLES: Final = Route(_PUBLIC, "GET", "klines", {"ip": 1})
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


class MexcSpotPublic:
    """MEXC spot without a key."""

    exchange = "mexc"

    def __init__(self, client: Client) -> None:
        self.client = client
        self.listed = Listed(lambda: client.call(_MARKETS, _listing))

    async def markets(self) -> Mapping[str, Market]:
        """Return all spot markets by pair."""
        return (await self.listed.get()).markets

    async def reload_markets(self) -> None:
        """Load the markets again."""
        await self.listed.reload()

    async def server_time_ms(self) -> int:
        """Return the exchange's clock."""
        return await self.client.call(_TIME, lambda body: integer(mapping(body), "serverTime"))

    async def prices(self, pairs: Collection[str]) -> Mapping[str, Quote]:
        """Return the quote per pair; two requests whatever their number.

        A bid and ask that cannot be had take no last price away: exits need only that.
        """
        listed = await self.listed.get()
        wanted = listed.wanted(pairs)
        params = {"symbol": next(iter(wanted))} if len(wanted) == 1 else {}
        last = await self.client.call(
            _PRICES, functools.partial(_last_prices, wanted=wanted), params
        )
        books = await self._books(wanted, params)
        return {pair: Quote(price, *books.get(pair, ())) for pair, price in last.items()}

    async def candles(
        self, pair: str, interval: Interval, *, limit: int, before_ms: int
    ) -> tuple[Candle, ...]:
        """Return closed candles, oldest first."""
        symbol = (await self.listed.get()).symbol(pair)
        span = Span(interval, limit, before_ms)
        params = {
            "symbol": symbol,
            "interval": _INTERVALS[interval],
            "startTime": span.first_ms,
            "endTime": span.last_ms,
            "limit": limit,
        }
        return await self.client.call(_CANDLES, functools.partial(_candles, span=span), params)

    def account(self, key: KeyMaterial, now_ms: Callable[[], int]) -> MexcSpotAccount:
        """Return one account on this session and budget."""
        return MexcSpotAccount(self.client.with_key(key, now_ms), self, key)

    async def close(self) -> None:
        """Close the HTTP session, for every account on it."""
        await self.client.close()

    async def _books(
        self, wanted: Mapping[str, str], params: Mapping[str, str]
    ) -> Mapping[str, tuple[Decimal | None, Decimal | None]]:
        try:
            async with asyncio.timeout(_BOOKS_WAIT_S):
                return await self.client.call(
                    _BOOKS, functools.partial(_book_tops, wanted=wanted), params
                )
        except (OperationError, TimeoutError):
            return {}


class MexcSpotAccount:
    """One MEXC spot account."""

    exchange = "mexc"
    horizon_ms = HORIZON_MS

    def __init__(self, client: Client, public: MexcSpotPublic, key: KeyMaterial) -> None:
        self._client = client
        self._listed = public.listed
        self._key = key

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
        return await self._client.call(_ACCOUNT, _balances)

    async def prepare(self, pair: str, *, leverage: int, margin_mode: str) -> None:
        """Do nothing: spot has neither leverage nor margin."""

    async def place(self, order: NewOrder) -> Order:
        """Send *order* once."""
        params = await self._order_params(order)
        order_id = await self._client.call(
            _PLACE, lambda body: text(mapping(body), "orderId"), params
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


def _listing(body: Any) -> Listing:
    """Return the markets that can be read; a row without its rules is no market."""
    markets = {}
    for row in rows(mapping(body).get("symbols")):
        try:
            markets[text(row, "symbol")] = _market(row)
        except PayloadError:
            continue
    return listing(markets)


def _market(row: dict[str, Any]) -> Market:
    base, quote = text(row, "baseAsset"), text(row, "quoteAsset")
    # Despite their names: baseSizePrecision is the least amount, quoteAmountPrecision the least
    # value of a limit order.
    cost_min = max(
        number(row, "quoteAmountPrecision"), number_or_zero(row, "quoteAmountPrecisionMarket")
    )
    side_type = optional_number(row, "tradeSideType")
    return Market(
        exchange="mexc",
        kind=MarketKind.SPOT,
        pair=f"{base}/{quote}",
        base=base,
        quote=quote,
        price_tick=ONE.scaleb(-integer(row, "quoteAssetPrecision")),
        amount_step=ONE.scaleb(-integer(row, "baseAssetPrecision")),
        amount_min=number(row, "baseSizePrecision"),
        cost_min=cost_min,
        taker_fee=number(row, "takerCommission"),
        maker_fee=number(row, "makerCommission"),
        open_orders_max=_OPEN_ORDERS_MAX,
        # The API's order types are LIMIT, MARKET, LIMIT_MAKER, IMMEDIATE_OR_CANCEL, FILL_OR_KILL.
        stop_orders_max=0,
        is_active=(
            text(row, "status") == "1"
            and flag(row, "isSpotTradingAllowed")
            and side_type in {None, ONE}
        ),
    )


def _last_prices(body: Any, *, wanted: Mapping[str, str]) -> dict[str, Decimal]:
    return {pair: number(row, "price") for pair, row in _tickers(body, wanted)}


def _book_tops(
    body: Any, *, wanted: Mapping[str, str]
) -> dict[str, tuple[Decimal | None, Decimal | None]]:
    return {
        pair: (optional_number(row, "bidPrice"), optional_number(row, "askPrice"))
        for pair, row in _tickers(body, wanted)
    }


def _tickers(body: Any, wanted: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of those *wanted*, with their pair; asked for one, the answer is no list."""
    for row in rows([body] if isinstance(body, dict) else body):
        if row.get("symbol") in wanted:
            yield wanted[row["symbol"]], row


def _candles(body: Any, *, span: Span) -> tuple[Candle, ...]:
    return closed(((int(number_at(row, 0)), number_at(row, 4)) for row in lists(body)), span)


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
