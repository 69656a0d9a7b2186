"""The samples that the exchanges' own pages show, read by the adapters over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from aiohttp import web

from backfuturectl.exchanges.ccxt_adapter import Endpoint
from backfuturectl.exchanges.factory import open_account, open_public
from backfuturectl.exchanges.kucoin_futures_orders import order_params
from backfuturectl.exchanges.listing import listing
from backfuturectl.exchanges.port import AccountPort
from backfuturectl.model.errors import OutcomeUnknownError, PermanentError, TransientError
from backfuturectl.model.market import MarketKind, Quote
from backfuturectl.model.orders import Balances, Fee, NewOrder, OrderStatus, OrderType, Side
from backfuturectl.model.status import Reason

from .conftest import material, now_ms

MEXC_MARKETS = {
    "timezone": "CST",
    "serverTime": 1647521860402,
    "symbols": [
        {
            "symbol": "LTCUSDT",
            "status": "1",
            "baseAsset": "LTC",
            "baseAssetPrecision": 2,
            "quoteAsset": "USDT",
            "quoteAssetPrecision": 4,
            "isSpotTradingAllowed": True,
            "baseSizePrecision": "0.01",
            "quoteAmountPrecision": "5",
            "quoteAmountPrecisionMarket": "1",
            "makerCommission": "0",
            "takerCommission": "0.0005",
            "tradeSideType": 1,
        },
        {
            "symbol": "PAUSEDUSDT",
            "status": "2",
            "baseAsset": "PAUSED",
            "baseAssetPrecision": 2,
            "quoteAsset": "USDT",
            "quoteAssetPrecision": 4,
            "isSpotTradingAllowed": True,
            "baseSizePrecision": "0",
            "quoteAmountPrecision": "5",
            "makerCommission": "0",
            "takerCommission": "0.0005",
        },
        {"symbol": "BROKENUSDT", "status": "1"},
    ],
}
MEXC_ORDER = {
    "symbol": "LTCUSDT",
    "orderId": "C02__1",
    "orderListId": -1,
    "clientOrderId": "myOrder1",
    "price": "0.1",
    "origQty": "1.0",
    "executedQty": "0.0",
    "cummulativeQuoteQty": "0.0",
    "status": "NEW",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "BUY",
    "stopPrice": "0.0",
    "time": 1790274000000,
    "updateTime": 1790274000000,
    "isWorking": True,
    "origQuoteOrderQty": "0.0",
}
MEXC_FILL = {
    "symbol": "LTCUSDT",
    "id": "fad2",
    "orderId": "C02__1",
    "orderListId": -1,
    "price": "4.0",
    "qty": "12",
    "quoteQty": "48",
    "commission": "0.01",
    "commissionAsset": "USDT",
    "time": 1790274000000,
    "isBuyer": True,
    "isMaker": False,
    "isBestMatch": True,
    "isSelfTrade": False,
    "clientOrderId": None,
}
KUCOIN_SYMBOLS = [
    {
        "symbol": "BTC-USDT",
        "baseCurrency": "BTC",
        "quoteCurrency": "USDT",
        "baseMinSize": "0.00001",
        "quoteMinSize": "0.1",
        "baseMaxSize": "10000000000",
        "baseIncrement": "0.00000001",
        "quoteIncrement": "0.000001",
        "priceIncrement": "0.1",
        "minFunds": "0.1",
        "enableTrading": True,
    }
]
KUCOIN_TICKERS = {
    "time": 1602832092060,
    "ticker": [
        {
            "symbol": "BTC-USDT",
            "last": "11328.9",
            "buy": "11328.8",
            "sell": "11329",
            "takerFeeRate": "0.001",
            "makerFeeRate": "0.001",
            "takerCoefficient": "1",
            "makerCoefficient": "0.5",
        },
        {"symbol": "NEW-USDT", "last": None},
    ],
}
KUCOIN_ORDER = {
    "id": "6717422bd51c29000775ea03",
    "clientOid": "bf-1",
    "symbol": "BTC-USDT",
    "opType": "DEAL",
    "type": "limit",
    "side": "buy",
    "price": "70000",
    "size": "0.00001",
    "funds": "0.7",
    "dealSize": "0.00001",
    "dealFunds": "0.677176",
    "remainSize": "0",
    "remainFunds": "0.022824",
    "cancelledSize": "0",
    "cancelledFunds": "0",
    "fee": "0.000677176",
    "feeCurrency": "USDT",
    "stp": None,
    "timeInForce": "GTC",
    "postOnly": False,
    "cancelExist": False,
    "tradeType": "TRADE",
    "inOrderBook": False,
    "active": False,
    "createdAt": 1729577515444,
    "lastUpdatedAt": 1729577515481,
}
KUCOIN_ACCOUNTS = [
    {"currency": "USDT", "type": "trade", "balance": "26.66", "available": "26.6", "holds": "0.06"},
    {"currency": "USDT", "type": "main", "balance": "0.01", "available": "0.01", "holds": "0"},
    {"currency": "BTC", "type": "trade_hf", "balance": "0.1", "available": "0.1", "holds": "0"},
    {"currency": "ETH", "type": "trade", "balance": "0", "available": "0", "holds": "0"},
]
KUCOIN_CONTRACTS = [
    {
        "symbol": "XBTUSDTM",
        "type": "FFWCSX",
        "expireDate": None,
        "baseCurrency": "XBT",
        "quoteCurrency": "USDT",
        "settleCurrency": "USDT",
        "maxOrderQty": 1000000,
        "marketMaxOrderQty": 100000,
        "lotSize": 1,
        "tickSize": 0.1,
        "multiplier": 0.001,
        "maintainMargin": 0.004,
        "maxRiskLimit": 100000,
        "minRiskLimit": 100000,
        "riskStep": 50000,
        "maxLeverage": 125,
        "makerFeeRate": 2.0e-4,
        "takerFeeRate": 6.0e-4,
        "status": "Open",
        "isInverse": False,
    },
    {
        "symbol": "XBTUSDM",
        "baseCurrency": "XBT",
        "quoteCurrency": "USD",
        "settleCurrency": "XBT",
        "lotSize": 1,
        "tickSize": 0.1,
        "multiplier": -1,
        "isInverse": True,
        "status": "Open",
    },
]
KUCOIN_POSITION = {
    "id": "500000000000988255",
    "symbol": "XBTUSDTM",
    "crossMode": False,
    "currentQty": -1,
    "avgEntryPrice": 67430.9,
    "markPrice": 68323.06,
    "markValue": 68.32,
    "unrealisedPnl": 0.89,
    "realisedPnl": -0.15,
    "liquidationPrice": 45000.0,
    "isOpen": True,
    "isInverse": False,
    "settleCurrency": "USDT",
    "marginMode": "ISOLATED",
    "positionSide": "BOTH",
    "leverage": 3,
}
KUCOIN_OVERVIEW = {
    "accountEquity": 394.43,
    "unrealisedPNL": 20.15,
    "marginBalance": 371.39,
    "positionMargin": 102.2,
    "orderMargin": 10.06,
    "frozenFunds": 0.0,
    "availableBalance": 290.32,
    "currency": "USDT",
}
KUCOIN_FUTURES_FILL = {
    "symbol": "XBTUSDTM",
    "tradeId": "1784277229880",
    "orderId": "236317213710184449",
    "side": "sell",
    "liquidity": "taker",
    "price": "67430.9",
    "size": 1,
    "value": "67.4309",
    "feeRate": "0.00060",
    "fee": "0.04045854",
    "feeCurrency": "USDT",
    "tradeTime": 1729155616310000000,
    "createdAt": 1729155616493,
}
MEXC = {"/api/v3/exchangeInfo": MEXC_MARKETS}
KUCOIN = {"/api/v2/symbols": KUCOIN_SYMBOLS, "/api/v1/market/allTickers": KUCOIN_TICKERS}
FUTURES = {"/api/v1/contracts/active": KUCOIN_CONTRACTS}


@asynccontextmanager
async def answering(
    exchange: str, market: MarketKind, bodies: dict[str, Any]
) -> AsyncIterator[tuple[Any, AccountPort]]:
    """A server that says the same for a path whatever it is asked."""

    async def answer(request: web.Request) -> web.Response:
        body = bodies[request.path]
        if exchange == "kucoin" and not isinstance(body, web.Response):
            body = {"code": "200000", "data": body}
        return body if isinstance(body, web.Response) else web.json_response(body)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint = Endpoint(f"http://127.0.0.1:{runner.addresses[0][1]}")
    public = open_public(exchange, market, rng=Random(1), endpoint=endpoint)
    try:
        yield public, open_account(public, material(), now_ms=now_ms)
    finally:
        await public.close()
        await runner.cleanup()


def ltc_order() -> NewOrder:
    return NewOrder("myOrder1", "LTC/USDT", Side.BUY, OrderType.LIMIT, Decimal(1), Decimal("0.1"))


async def test_mexc_markets():
    async with answering("mexc", MarketKind.SPOT, MEXC) as (public, _):
        markets = await public.markets()

    assert set(markets) == {"LTC/USDT", "PAUSED/USDT"}
    market = markets["LTC/USDT"]
    assert (market.price_tick, market.amount_step) == (Decimal("0.0001"), Decimal("0.01"))
    assert (market.amount_min, market.cost_min) == (Decimal("0.01"), 5)
    assert (market.taker_fee, market.maker_fee) == (Decimal("0.0005"), 0)
    assert market.is_active
    assert not markets["PAUSED/USDT"].is_active


async def test_an_exchange_that_lists_nothing_is_unavailable():
    async with answering("mexc", MarketKind.SPOT, {"/api/v3/exchangeInfo": {"symbols": []}}) as (
        public,
        _,
    ):
        with pytest.raises(TransientError):
            await public.markets()


async def test_a_mexc_order():
    bodies = {**MEXC, "/api/v3/order": MEXC_ORDER}
    async with answering("mexc", MarketKind.SPOT, bodies) as (_, account):
        order = await account.order("LTC/USDT", "myOrder1")

    assert order is not None
    assert (order.order_id, order.client_order_id) == ("C02__1", "myOrder1")
    assert (order.status, order.side, order.type) == (
        OrderStatus.OPEN,
        Side.BUY,
        OrderType.LIMIT,
    )
    assert (order.price, order.amount_base) == (Decimal("0.1"), 1)
    assert order.created_at_ms == order.updated_at_ms == 1790274000000


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("NEW", OrderStatus.OPEN),
        ("PARTIALLY_FILLED", OrderStatus.OPEN),
        ("FILLED", OrderStatus.FILLED),
        ("CANCELED", OrderStatus.CANCELED),
        ("PARTIALLY_CANCELED", OrderStatus.CANCELED),
    ],
)
async def test_the_statuses_of_a_mexc_order(status: str, expected: OrderStatus):
    bodies = {**MEXC, "/api/v3/order": MEXC_ORDER | {"status": status}}
    async with answering("mexc", MarketKind.SPOT, bodies) as (_, account):
        order = await account.order("LTC/USDT", "myOrder1")

    assert order is not None
    assert order.status is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "DREAMING"},
        {"clientOrderId": "another", "orderId": "another"},
        {"executedQty": None},
        {"side": "HOLD"},
        {"symbol": "BTCUSDT"},
    ],
)
async def test_an_answer_about_something_else_is_no_answer(changes: dict[str, Any]):
    bodies = {**MEXC, "/api/v3/order": MEXC_ORDER | changes}
    async with answering("mexc", MarketKind.SPOT, bodies) as (_, account):
        with pytest.raises(TransientError):
            await account.order("LTC/USDT", "myOrder1")


async def test_a_mexc_create_answered_without_an_order_id_has_an_unknown_outcome():
    bodies = {**MEXC, "/api/v3/order": {"symbol": "LTCUSDT"}}
    async with answering("mexc", MarketKind.SPOT, bodies) as (_, account):
        with pytest.raises(OutcomeUnknownError):
            await account.place(ltc_order())


async def test_mexc_fills():
    bodies = {**MEXC, "/api/v3/myTrades": [MEXC_FILL]}
    async with answering("mexc", MarketKind.SPOT, bodies) as (_, account):
        (fill,) = await account.fills("LTC/USDT", 0)

    assert (fill.fill_id, fill.order_id, fill.client_order_id) == ("fad2", "C02__1", None)
    assert (fill.side, fill.price, fill.amount_base) == (Side.BUY, 4, 12)
    assert fill.fee == Fee("USDT", Decimal("0.01"))
    assert not fill.is_maker


async def test_mexc_balances():
    body = {
        "canWithdraw": True,
        "balances": [
            {"asset": "USDT", "free": "100.5", "locked": "0.25"},
            {"asset": "BTC", "free": "0", "locked": "0"},
        ],
    }
    async with answering("mexc", MarketKind.SPOT, {**MEXC, "/api/v3/account": body}) as (
        _,
        account,
    ):
        balances = await account.balances()

    assert balances == Balances({"USDT": Decimal("100.5")}, {"USDT": Decimal("100.75")})


async def test_mexc_rights_that_may_not_be_read_are_unverifiable_whatever_the_account_says():
    denied = web.json_response(
        {"code": 700007, "msg": "No permission to access the endpoint."}, status=400
    )
    bodies = {**MEXC, "/api/v3/apiKeyInfo": denied, "/api/v3/account": {"canWithdraw": False}}
    async with answering("mexc", MarketKind.SPOT, bodies) as (_, account):
        with pytest.raises(PermanentError) as caught:
            await account.rights()

    assert caught.value.reason is Reason.PERMISSIONS_UNVERIFIABLE
    assert caught.value.raw_code == "700007"


async def test_kucoin_markets_and_prices():
    async with answering("kucoin", MarketKind.SPOT, KUCOIN) as (public, _):
        markets = await public.markets()
        prices = await public.prices(["BTC/USDT", "NEW/USDT"])

    assert set(markets) == {"BTC/USDT"}
    market = markets["BTC/USDT"]
    assert (market.price_tick, market.amount_step) == (Decimal("0.1"), Decimal("1E-8"))
    assert (market.taker_fee, market.maker_fee) == (Decimal("0.001"), Decimal("0.0005"))
    assert market.amount_max == 10_000_000_000
    assert prices == {
        "BTC/USDT": Quote(Decimal("11328.9"), bid=Decimal("11328.8"), ask=Decimal(11329))
    }


MALFORMED = ["n/a", "", None, "Infinity", True, {}]


@pytest.mark.parametrize("last", MALFORMED, ids=str)
@pytest.mark.parametrize("exchange", ["kucoin", "kucoin futures", "mexc"])
async def test_a_price_that_is_no_number_takes_no_other_pairs_price_away(exchange: str, last: Any):
    venue, _, kind = exchange.partition(" ")
    if venue == "mexc":
        rows = [{"symbol": "AEUSDT", "price": last}, {"symbol": "LTCUSDT", "price": "6.65"}]
        bodies, pairs = {**MEXC, "/api/v3/ticker/price": rows}, ["AE/USDT", "LTC/USDT"]
    elif kind:
        rows = [{"symbol": "ETHUSDTM", "price": last}, {"symbol": "XBTUSDTM", "price": "67158.4"}]
        bodies, pairs = {**FUTURES, "/api/v1/allTickers": rows}, ["ETH/USDT", "BTC/USDT"]
    else:
        rows = [{"symbol": "NEW-USDT", "last": last}, {"symbol": "BTC-USDT", "last": "11328.9"}]
        bodies = {**KUCOIN, "/api/v1/market/allTickers": {"ticker": rows}}
        pairs = ["NEW/USDT", "BTC/USDT"]
    market = MarketKind.FUTURES if kind else MarketKind.SPOT
    async with answering(venue, market, bodies) as (public, _):
        symbols = {row["symbol"]: pair for row, pair in zip(rows, pairs, strict=True)}
        prices = await public._calls.prices(public.client, symbols)

    assert set(prices) == {pairs[1]}


@pytest.mark.parametrize("bid", ["n/a", True, "NaN"])
async def test_a_bid_that_is_no_number_is_not_known_and_takes_no_price_away(bid: Any):
    row = {"symbol": "XBTUSDTM", "price": "67158.4", "bestBidPrice": bid, "bestAskPrice": "67169.7"}
    async with answering(
        "kucoin", MarketKind.FUTURES, {**FUTURES, "/api/v1/allTickers": [row]}
    ) as (
        public,
        _,
    ):
        assert await public.prices(["BTC/USDT"]) == {
            "BTC/USDT": Quote(Decimal("67158.4"), None, Decimal("67169.7"))
        }
    price = [{"symbol": "LTCUSDT", "price": "6.65"}, {"symbol": "AEUSDT", "price": "1"}]
    books = [
        {"symbol": "LTCUSDT", "bidPrice": bid, "askPrice": "6.7"},
        {"symbol": "AEUSDT", "bidPrice": "1", "askPrice": "2"},
    ]
    bodies = {**MEXC, "/api/v3/ticker/price": price, "/api/v3/ticker/bookTicker": books}
    async with answering("mexc", MarketKind.SPOT, bodies) as (public, _):
        wanted = {"LTCUSDT": "LTC/USDT", "AEUSDT": "AE/USDT"}
        assert await public._calls.prices(public.client, wanted) == {
            "LTC/USDT": Quote(Decimal("6.65"), None, Decimal("6.7")),
            "AE/USDT": Quote(Decimal(1), Decimal(1), Decimal(2)),
        }


async def test_kucoin_futures_prices():
    row = {"symbol": "XBTUSDTM", "price": "67158.4", "bestBidPrice": "67169.6"}
    tickers = {"/api/v1/allTickers": [row | {"bestAskPrice": "67169.7"}]}
    async with answering("kucoin", MarketKind.FUTURES, FUTURES | tickers) as (public, _):
        prices = await public.prices(["BTC/USDT"])

    bid, ask = Decimal("67169.6"), Decimal("67169.7")
    assert prices == {"BTC/USDT": Quote(Decimal("67158.4"), bid, ask)}


@pytest.mark.parametrize("is_one", [True, False])
@pytest.mark.parametrize("has_book", [True, False])
async def test_mexc_prices_do_not_depend_on_bid_and_ask(is_one: bool, has_book: bool):
    price: Any = {"symbol": "LTCUSDT", "price": "6.65"}
    book: Any = {"symbol": "LTCUSDT", "bidPrice": "6.6", "askPrice": "6.7"}
    if not is_one:
        others = [{"symbol": "AEUSDT", "price": "1", "bidPrice": "1", "askPrice": "1"}]
        price, book = [*others, price], [*others, book]
    bodies = {
        **MEXC,
        "/api/v3/ticker/price": price,
        "/api/v3/ticker/bookTicker": book if has_book else {"code": 602, "msg": "no"},
    }
    async with answering("mexc", MarketKind.SPOT, bodies) as (public, _):
        prices = await public.prices(["LTC/USDT"])

    bid, ask = (Decimal("6.6"), Decimal("6.7")) if has_book else (None, None)
    assert prices == {"LTC/USDT": Quote(Decimal("6.65"), bid, ask)}


async def test_a_kucoin_order():
    bodies = {**KUCOIN, "/api/v1/hf/orders/client-order/bf-1": KUCOIN_ORDER}
    async with answering("kucoin", MarketKind.SPOT, bodies) as (_, account):
        order = await account.order("BTC/USDT", "bf-1")

    assert order is not None
    assert order.status is OrderStatus.FILLED
    assert order.cost_quote == Decimal("0.677176")
    assert order.fees == (Fee("USDT", Decimal("0.000677176")),)
    assert (order.created_at_ms, order.updated_at_ms) == (1729577515444, 1729577515481)


@pytest.mark.parametrize(
    ("active", "cancel_exist", "filled", "expected"),
    [
        (True, False, "0", OrderStatus.OPEN),
        (True, True, "0.000005", OrderStatus.OPEN),
        (False, True, "0.000005", OrderStatus.CANCELED),
        (False, True, "0", OrderStatus.CANCELED),
        # Ran out of book, or was refused as post-only: inactive, nothing canceled, not whole.
        (False, False, "0", OrderStatus.CANCELED),
        (False, False, "0.000005", OrderStatus.CANCELED),
        (False, False, "0.00001", OrderStatus.FILLED),
    ],
)
async def test_the_flags_of_a_kucoin_order(
    active: bool, cancel_exist: bool, filled: str, expected: OrderStatus
):
    flags = {"active": active, "cancelExist": cancel_exist, "dealSize": filled}
    bodies = {**KUCOIN, "/api/v1/hf/orders/client-order/bf-1": KUCOIN_ORDER | flags}
    async with answering("kucoin", MarketKind.SPOT, bodies) as (_, account):
        order = await account.order("BTC/USDT", "bf-1")

    assert order is not None
    assert order.status is expected


async def test_kucoin_balances_leave_the_funding_account_out():
    bodies = {**KUCOIN, "/api/v1/accounts": KUCOIN_ACCOUNTS}
    async with answering("kucoin", MarketKind.SPOT, bodies) as (_, account):
        balances = await account.balances()

    assert balances.total == {"USDT": Decimal("26.66"), "BTC": Decimal("0.1")}
    assert balances.free == {"USDT": Decimal("26.6"), "BTC": Decimal("0.1")}


@pytest.mark.parametrize("mode", ["UNIFIED", "SOMETHING_NEW"])
async def test_a_unified_trading_account_is_refused_by_name(mode: str):
    key = {"permission": "General,Unified", "uid": 7}
    bodies = {
        **KUCOIN,
        "/api/v1/user/api-key": key,
        "/api/ua/v1/account/mode": {"selfAccountMode": mode},
    }
    async with answering("kucoin", MarketKind.SPOT, bodies) as (_, account):
        with pytest.raises(PermanentError) as caught:
            await account.rights()

    assert caught.value.reason is Reason.ACCOUNT_RESTRICTED
    assert "unified trading account" in str(caught.value)


async def test_kucoin_contracts():
    async with answering("kucoin", MarketKind.FUTURES, FUTURES) as (public, _):
        markets = await public.markets()

    assert set(markets) == {"BTC/USDT"}
    market = markets["BTC/USDT"]
    assert (market.base, market.contract_size) == ("BTC", Decimal("0.001"))
    assert (market.price_tick, market.amount_step) == (Decimal("0.1"), Decimal("0.001"))
    assert market.taker_fee == Decimal("0.0006")
    assert market.amount_max == 100
    assert (market.leverage_max, market.maintenance_margin) == (125, Decimal("0.004"))
    assert market.tier_max_quote == 100_000


@pytest.mark.parametrize(
    ("pair", "changes"),
    [
        ("BTC/USD", {"quoteCurrency": "USD", "settleCurrency": "XBT", "isInverse": True}),
        ("BTC/USDC", {"quoteCurrency": "USDC", "settleCurrency": "USDC"}),
        ("BTC/USDT", {"expireDate": 1_798_000_000_000, "symbol": "XBTMZ26"}),
    ],
    ids=["inverse", "another settlement", "dated"],
)
async def test_contracts_of_other_kinds_are_no_markets_and_refused_by_name(pair, changes):
    eth = KUCOIN_CONTRACTS[0] | {"symbol": "ETHUSDTM", "baseCurrency": "ETH"}
    other = KUCOIN_CONTRACTS[0] | {"symbol": "OTHER"} | changes
    bodies = {"/api/v1/contracts/active": [eth, other]}
    async with answering("kucoin", MarketKind.FUTURES, bodies) as (public, account):
        assert set(await public.markets()) == {"ETH/USDT"}
        with pytest.raises(PermanentError) as caught:
            await account.prepare(pair, leverage=2, margin_mode="isolated")

    assert caught.value.reason is Reason.MARKET_UNAVAILABLE
    assert f"`{pair}`" in str(caught.value)


@pytest.mark.parametrize("multiplier", ["0.0001", "0.001", "0.01", "0.1", "1", "10", "1000"])
@pytest.mark.parametrize("lot", [1, 5])
async def test_lots_become_base_units_and_back_whatever_the_contracts_size(multiplier, lot):
    contract = KUCOIN_CONTRACTS[0] | {"multiplier": float(multiplier), "lotSize": lot}
    lots = 3 * lot
    bodies = {
        "/api/v1/contracts/active": [contract],
        "/api/v1/positions": [KUCOIN_POSITION | {"currentQty": -lots}],
        "/api/v1/fills": {
            "totalPage": 1,
            "items": [KUCOIN_FUTURES_FILL | {"size": lots}],
        },
    }
    amount = lots * Decimal(multiplier)
    order = NewOrder("o", "BTC/USDT", Side.BUY, OrderType.LIMIT, amount, Decimal(60_000))
    async with answering("kucoin", MarketKind.FUTURES, bodies) as (public, account):
        market = (await public.markets())["BTC/USDT"]
        position = await account.position("BTC/USDT")
        (fill,) = {one.fill_id: one for one in await account.fills("BTC/USDT", now_ms())}.values()
        params = order_params(order, listing({"XBTUSDTM": market}))
        with pytest.raises(PermanentError):
            await account.place(replace(order, amount_base=amount + market.contract_size / 2))

    assert (market.amount_step, market.amount_min) == (lot * Decimal(multiplier),) * 2
    assert position is not None
    assert (position.amount_base, fill.amount_base) == (-amount, amount)
    assert params["size"] == lots


async def test_a_kucoin_position():
    bodies = {**FUTURES, "/api/v1/positions": [KUCOIN_POSITION]}
    async with answering("kucoin", MarketKind.FUTURES, bodies) as (_, account):
        position = await account.position("BTC/USDT")

    assert position is not None
    assert position.amount_base == Decimal("-0.001")
    assert position.entry_price == Decimal("67430.9")
    assert position.mark_price == Decimal("68323.06")
    assert position.liquidation_price == 45_000
    assert (position.leverage, position.margin_mode) == (3, "isolated")
    assert position.unrealised_quote == Decimal("0.89")


async def test_a_leverage_that_moves_with_the_price_is_not_the_one_that_was_set():
    real = {key: value for key, value in KUCOIN_POSITION.items() if key != "leverage"}
    bodies = {**FUTURES, "/api/v1/positions": [real | {"realLeverage": 2.47}]}
    async with answering("kucoin", MarketKind.FUTURES, bodies) as (_, account):
        position = await account.position("BTC/USDT")

    assert position is not None
    assert position.leverage is None


async def test_a_long_and_a_short_at_once_is_a_mismatch():
    long = KUCOIN_POSITION | {"currentQty": 2, "positionSide": "LONG"}
    bodies = {**FUTURES, "/api/v1/positions": [KUCOIN_POSITION, long]}
    async with answering("kucoin", MarketKind.FUTURES, bodies) as (_, account):
        with pytest.raises(PermanentError) as caught:
            await account.position("BTC/USDT")

    assert caught.value.reason is Reason.POSITION_MISMATCH


async def test_kucoin_futures_balance_and_fills():
    page = {"currentPage": 1, "pageSize": 100, "totalNum": 1, "totalPage": 1}
    bodies = {
        **FUTURES,
        "/api/v1/account-overview": KUCOIN_OVERVIEW,
        "/api/v1/fills": page | {"items": [KUCOIN_FUTURES_FILL]},
    }
    async with answering("kucoin", MarketKind.FUTURES, bodies) as (_, account):
        balances = await account.balances()
        (fill,) = await account.fills("BTC/USDT", now_ms() - 1)

    assert balances == Balances({"USDT": Decimal("290.32")}, {"USDT": Decimal("394.43")})
    assert fill.amount_base == Decimal("0.001")
    assert fill.at_ms == 1729155616310
    assert fill.fee == Fee("USDT", Decimal("0.04045854"))


KUCOIN_WAITING_STOP = {
    # The documentation's sample of `stopOrders`, for a market order.
    "id": "622076e79f12700001f84138",
    "symbol": "XBTUSDTM",
    "type": "market",
    "side": "sell",
    "price": None,
    "size": 2,
    "value": "0",
    "dealValue": "0",
    "dealSize": 0,
    "stp": "",
    "stop": "down",
    "stopPriceType": "TP",
    "stopTriggered": None,
    "stopPrice": "30000",
    "timeInForce": "GTC",
    "leverage": "20",
    "clientOid": "bf1",
    "isActive": True,
    "cancelExist": False,
    "createdAt": 1646294759000,
    "updatedAt": 1646294759000,
    "endAt": None,
    "orderTime": None,
    "settleCurrency": "USDT",
    "status": "open",
    "filledValue": "0",
    "filledSize": 0,
    "reduceOnly": True,
}


async def test_a_kucoin_stop_that_waits():
    page = {"currentPage": 1, "pageSize": 100, "totalNum": 1, "totalPage": 1}
    bodies = {
        **FUTURES,
        "/api/v1/stopOrders": page | {"items": [KUCOIN_WAITING_STOP]},
        "/api/v1/orders": page | {"items": []},
    }
    async with answering("kucoin", MarketKind.FUTURES, bodies) as (_, account):
        (order,) = await account.open_orders("BTC/USDT")

    assert (order.client_order_id, order.side, order.type) == ("bf1", Side.SELL, OrderType.MARKET)
    assert (order.status, order.is_reduce_only) == (OrderStatus.OPEN, True)
    assert order.trigger_price == order.price == Decimal(30_000)
    assert (order.amount_base, order.filled_base) == (Decimal("0.002"), 0)
