"""KuCoin spot, public: markets, currencies, tickers, books, candles, trades.

The venue knows a price, not a history: books are built around the price, candles and daily figures
are flat, and volumes are zero.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from backfuturectl.emulator.dialect import Call, Route
from backfuturectl.emulator.kucoin_account import currencies_of
from backfuturectl.emulator.kucoin_auth import Permission, private
from backfuturectl.emulator.kucoin_wire import (
    NS_PER_MS,
    bad_parameter,
    failed,
    listings,
    public,
    required,
    spot_listing,
    spot_name,
    text,
    whole,
)
from backfuturectl.matching.values import ApiKey, Listing, Quote
from backfuturectl.model.market import MarketKind

CANDLE_S: Final = {
    "1min": 60,
    "3min": 180,
    "5min": 300,
    "15min": 900,
    "30min": 1_800,
    "1hour": 3_600,
    "2hour": 7_200,
    "4hour": 14_400,
    "6hour": 21_600,
    "8hour": 28_800,
    "12hour": 43_200,
    "1day": 86_400,
    "1week": 604_800,
    "1month": 2_592_000,
}

_CANDLES_MAX: Final = 1_500
_SIZE_MAX: Final = "10000000000"
_QUOTE_MAX: Final = "99999999"
_QUOTE_STEP: Final = Decimal("0.000001")
_PRICE_LIMIT_RATE: Final = Decimal("0.1")
_DEPTH_FULL: Final = 200
_SIZE_FACTOR: Final = 1_000


def spot_market_routes() -> tuple[Route, ...]:
    """Return the spot host's market endpoints."""
    return (
        public("GET", "/api/v2/symbols", _symbols, weight=4),
        public("GET", "/api/v2/symbols/{symbol}", _symbol, weight=4),
        public("GET", "/api/v1/symbols", _symbols, weight=4),
        public("GET", "/api/v3/currencies", _currencies, weight=3),
        public("GET", "/api/v3/currencies/{currency}", _currency, weight=3),
        public("GET", "/api/v1/market/allTickers", _all_tickers, weight=15),
        public("GET", "/api/v1/market/stats", _stats, weight=15),
        public("GET", "/api/v1/market/orderbook/level1", _level1, weight=2),
        public("GET", "/api/v1/market/orderbook/level2_20", _book_20, weight=2),
        public("GET", "/api/v1/market/orderbook/level2_100", _book_100, weight=4),
        private(
            "GET",
            "/api/v3/market/orderbook/level2",
            Permission.GENERAL,
            _book_full,
            pool="spot",
            weight=3,
        ),
        public("GET", "/api/v1/market/histories", _trades, weight=3),
        public("GET", "/api/v1/market/candles", _candles, weight=3),
        public("GET", "/api/v3/margin/symbols", _cross_margin, weight=3),
        public("GET", "/api/v1/isolated/symbols", _isolated_margin, weight=3),
    )


def levels(
    listing: Listing, quote: Quote, depth: int
) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
    """Return bids and asks as (price, base units), best first, one tick apart."""
    market = listing.market
    size = listing.fill_max_base or market.amount_step * _SIZE_FACTOR
    bids = [(quote.bid - market.price_tick * step, size) for step in range(depth)]
    asks = [(quote.ask + market.price_tick * step, size) for step in range(depth)]
    return [level for level in bids if level[0] > 0], asks


# Markets


def _symbols(call: Call) -> list[dict[str, Any]]:
    return [_symbol_row(one) for one in listings(call, MarketKind.SPOT)]


def _symbol(call: Call) -> dict[str, Any]:
    return _symbol_row(spot_listing(call, call.path_params["symbol"]))


def _symbol_row(listing: Listing) -> dict[str, Any]:
    market = listing.market
    name = spot_name(market)
    return {
        "symbol": name,
        "name": name,
        "baseCurrency": market.base,
        "quoteCurrency": market.quote,
        "feeCurrency": market.quote,
        "market": "USDS",
        "baseMinSize": text(market.amount_min),
        "quoteMinSize": text(market.cost_min),
        "baseMaxSize": text(market.amount_max) if market.amount_max else _SIZE_MAX,
        "quoteMaxSize": text(listing.cost_max) if listing.cost_max else _QUOTE_MAX,
        "baseIncrement": text(market.amount_step),
        "quoteIncrement": text(min(market.price_tick, _QUOTE_STEP)),
        "priceIncrement": text(market.price_tick),
        "priceLimitRate": text(listing.price_band or _PRICE_LIMIT_RATE),
        "minFunds": text(market.cost_min),
        "isMarginEnabled": False,
        "enableTrading": market.is_active,
        "feeCategory": 1,
        "makerFeeCoefficient": "1.00",
        "takerFeeCoefficient": "1.00",
        "st": False,
        "callauctionIsEnabled": False,
        "callauctionPriceFloor": None,
        "callauctionPriceCeiling": None,
        "callauctionFirstStageStartTime": None,
        "callauctionSecondStageStartTime": None,
        "callauctionThirdStageStartTime": None,
        "tradingStartTime": None,
    }


def _currencies(call: Call) -> list[dict[str, Any]]:
    return [_currency_row(coin) for coin in currencies_of(call)]


def _currency(call: Call) -> dict[str, Any]:
    coin = call.path_params["currency"]
    if coin not in currencies_of(call):
        raise failed(call, "900014", "Currency not exists")
    return _currency_row(coin)


def _currency_row(coin: str) -> dict[str, Any]:
    chain = {
        "chainName": coin,
        "withdrawalMinSize": "0.001",
        "depositMinSize": "0.0002",
        "withdrawFeeRate": "0",
        "withdrawalMinFee": "0.0005",
        "isWithdrawEnabled": True,
        "isDepositEnabled": True,
        "confirms": 3,
        "preConfirms": 1,
        "contractAddress": "",
        "withdrawPrecision": 8,
        "maxWithdraw": None,
        "maxDeposit": None,
        "needTag": False,
        "chainId": coin.lower(),
    }
    return {
        "currency": coin,
        "name": coin,
        "fullName": coin,
        "precision": 8,
        "confirms": None,
        "contractAddress": None,
        "isMarginEnabled": False,
        "isDebitEnabled": False,
        "chains": [chain],
    }


def _cross_margin(call: Call) -> dict[str, Any]:
    return {"timestamp": call.at_ms, "items": []}


def _isolated_margin(_call: Call) -> list[Any]:
    return []


# Prices


def _all_tickers(call: Call) -> dict[str, Any]:
    rows = []
    for listing in listings(call, MarketKind.SPOT):
        quote = call.venue.quote(listing.symbol)
        if quote is not None:
            name = spot_name(listing.market)
            sizes = {"bestBidSize": _size(listing), "bestAskSize": _size(listing)}
            rows.append({"symbol": name, "symbolName": name} | sizes | _day(listing, quote))
    return {"time": call.at_ms, "ticker": rows}


def _stats(call: Call) -> dict[str, Any]:
    listing, quote = _quoted(call)
    return {"time": quote.at_ms, "symbol": spot_name(listing.market)} | _day(listing, quote)


def _day(listing: Listing, quote: Quote) -> dict[str, str]:
    last = text(quote.last)
    return {
        "buy": text(quote.bid),
        "sell": text(quote.ask),
        "changeRate": "0",
        "changePrice": "0",
        "high": last,
        "low": last,
        "vol": "0",
        "volValue": "0",
        "last": last,
        "averagePrice": last,
        "takerFeeRate": text(listing.market.taker_fee),
        "makerFeeRate": text(listing.market.maker_fee),
        "takerCoefficient": "1",
        "makerCoefficient": "1",
    }


def _level1(call: Call) -> dict[str, Any]:
    listing, quote = _quoted(call)
    return {
        "time": quote.at_ms,
        "sequence": str(quote.at_ms),
        "price": text(quote.last),
        "size": text(listing.market.amount_min),
        "bestBid": text(quote.bid),
        "bestBidSize": _size(listing),
        "bestAsk": text(quote.ask),
        "bestAskSize": _size(listing),
    }


def _book_20(call: Call) -> dict[str, Any]:
    return _book(call, 20)


def _book_100(call: Call) -> dict[str, Any]:
    return _book(call, 100)


def _book_full(call: Call, _key: ApiKey) -> dict[str, Any]:
    return _book(call, _DEPTH_FULL)


def _book(call: Call, depth: int) -> dict[str, Any]:
    listing, quote = _quoted(call)
    bids, asks = levels(listing, quote, depth)
    return {
        "time": call.at_ms,
        "sequence": str(quote.at_ms),
        "bids": [[text(price), text(size)] for price, size in bids],
        "asks": [[text(price), text(size)] for price, size in asks],
    }


def _trades(call: Call) -> list[dict[str, Any]]:
    listing, quote = _quoted(call)
    trade = {
        "sequence": str(quote.at_ms),
        "price": text(quote.last),
        "size": text(listing.market.amount_min),
        "side": "buy",
        "time": quote.at_ms * NS_PER_MS,
    }
    return [trade]


def _candles(call: Call) -> list[list[str]]:
    listing, _ = _quoted(call)
    step_s = CANDLE_S.get(required(call, call.query, "type"))
    if step_s is None:
        raise bad_parameter(call, "type is invalid")
    end_s = min(whole(call, "endAt", 0) or call.at_ms // 1000, call.at_ms // 1000)
    start_s = max(whole(call, "startAt", 0), end_s - step_s * (_CANDLES_MAX - 1))
    opens_ms = range(-(-start_s // step_s) * step_s * 1000, end_s * 1000 + 1, step_s * 1000)
    return [
        [
            str(bar.at_ms // 1000),
            *(text(price) for price in (bar.open, bar.close, bar.high, bar.low)),
            "0",
            "0",
        ]
        for bar in reversed(call.venue.bars(listing.symbol, opens_ms))
    ]


def _quoted(call: Call) -> tuple[Listing, Quote]:
    """Return the market that the query names, with its price."""
    listing = spot_listing(call, required(call, call.query, "symbol"))
    quote = call.venue.quote(listing.symbol)
    if quote is None:
        raise failed(call, "400600", "validation.createOrder.symbolNotAvailable")
    return listing, quote


def _size(listing: Listing) -> str:
    return text(listing.fill_max_base or listing.market.amount_step * _SIZE_FACTOR)
