"""KuCoin futures, public: contracts, tickers, books, candles, mark prices, funding rates.

Sizes are contracts. The venue knows a price, not a history: books are built around the price,
candles and daily figures are flat, and volumes are zero. Funding is a constant rate.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from backfuturectl.emulator.dialect import Call, Route
from backfuturectl.emulator.kucoin_spot_market import levels
from backfuturectl.emulator.kucoin_wire import (
    NS_PER_MS,
    bad_parameter,
    failed,
    futures_currency,
    futures_listing,
    futures_name,
    listings,
    lots,
    number,
    public,
    required,
    text,
    whole,
)
from backfuturectl.matching.values import Listing, Quote
from backfuturectl.model.market import ONE, MarketKind

GRANULARITIES_MIN: Final = frozenset({1, 5, 15, 30, 60, 120, 240, 480, 720, 1440, 10080})
RISK_LIMIT: Final = 10_000_000

_FUNDING_CAP: Final = Decimal("0.003")
_FIRST_OPEN_MS: Final = 1_585_555_200_000
_ORDER_MAX_LOTS: Final = 1_000_000
_PRICE_MAX: Final = 1_000_000
_INDEX_TICK: Final = Decimal("0.01")
_BAND_SHOWN: Final = Decimal("0.05")
_CANDLES_MAX: Final = 500
_DEPTH_FULL: Final = 200
_MS_PER_MIN: Final = 60_000
_CURSOR_BASE: Final = 1_784_000_000_000


def futures_market_routes() -> tuple[Route, ...]:
    """Return the futures host's market endpoints."""
    return (
        public("GET", "/api/v1/contracts/active", _contracts, weight=3),
        public("GET", "/api/v1/contracts/risk-limit/{symbol}", _risk_limits, weight=5),
        public("GET", "/api/v1/contracts/{symbol}", _contract, weight=3),
        public("GET", "/api/v1/ticker", _ticker, weight=2),
        public("GET", "/api/v1/allTickers", _all_tickers, weight=5),
        public("GET", "/api/v1/level2/snapshot", _book_full, weight=3),
        public("GET", "/api/v1/level2/depth20", _book_20, weight=5),
        public("GET", "/api/v1/level2/depth100", _book_100, weight=10),
        public("GET", "/api/v1/trade/history", _trades, weight=5),
        public("GET", "/api/v1/kline/query", _candles, weight=3),
        public("GET", "/api/v1/mark-price/{symbol}/current", _mark_price, weight=3),
        public("GET", "/api/v1/funding-rate/{symbol}/current", _funding_rate, weight=2),
        public("GET", "/api/v1/trade-statistics", _statistics, weight=3, pool="futures"),
    )


def quoted(call: Call, name: str) -> tuple[Listing, Quote]:
    """Return the contract called *name*, with its price."""
    listing = futures_listing(call, name)
    quote = call.venue.quote(listing.symbol)
    if quote is None:
        raise failed(call, "300002", "Order placement/cancellation suspended")
    return listing, quote


# Contracts


def _contracts(call: Call) -> list[dict[str, Any]]:
    rows = []
    for listing in listings(call, MarketKind.FUTURES):
        quote = call.venue.quote(listing.symbol)
        if quote is not None:
            rows.append(_contract_row(call, listing, quote))
    return rows


def _contract(call: Call) -> dict[str, Any]:
    return _contract_row(call, *quoted(call, call.path_params["symbol"]))


def _contract_row(call: Call, listing: Listing, quote: Quote) -> dict[str, Any]:
    market = listing.market
    name, last, base = futures_name(market), number(quote.last), futures_currency(market.base)
    interval_ms = listing.funding_interval_ms
    return {
        "symbol": name,
        "rootSymbol": market.quote,
        "type": "FFWCSX",
        "firstOpenDate": _FIRST_OPEN_MS,
        "expireDate": None,
        "settleDate": None,
        "baseCurrency": base,
        "quoteCurrency": market.quote,
        "settleCurrency": market.quote,
        "maxOrderQty": lots(market.amount_max, market) if market.amount_max else _ORDER_MAX_LOTS,
        "maxPrice": _PRICE_MAX,
        "lotSize": lots(market.amount_step, market),
        "tickSize": number(market.price_tick),
        "indexPriceTickSize": number(_INDEX_TICK),
        "multiplier": number(market.contract_size),
        "initialMargin": number(ONE / market.leverage_max),
        "maintainMargin": number(market.maintenance_margin),
        "maxRiskLimit": RISK_LIMIT,
        "minRiskLimit": RISK_LIMIT,
        "riskStep": RISK_LIMIT // 2,
        "makerFeeRate": number(market.maker_fee),
        "takerFeeRate": number(market.taker_fee),
        "takerFixFee": 0,
        "makerFixFee": 0,
        "settlementFee": None,
        "isDeleverage": True,
        "isQuanto": True,
        "isInverse": False,
        "markMethod": "FairPrice",
        "fairMethod": "FundingRate",
        "fundingBaseSymbol": f".{base}INT8H",
        "fundingQuoteSymbol": f".{market.quote}INT8H",
        "fundingRateSymbol": f".{name}FPI8H",
        "indexSymbol": f".K{base}{market.quote}",
        "settlementSymbol": "",
        "status": "Open" if market.is_active else "Paused",
        "fundingFeeRate": number(listing.funding_rate),
        "predictedFundingFeeRate": number(listing.funding_rate),
        "fundingRateGranularity": interval_ms,
        "openInterest": "0",
        "turnoverOf24h": 0,
        "volumeOf24h": 0,
        "markPrice": last,
        "indexPrice": last,
        "lastTradePrice": last,
        "nextFundingRateTime": interval_ms - call.at_ms % interval_ms,
        "maxLeverage": market.leverage_max,
        "sourceExchanges": ["kucoin"],
        "premiumsSymbol1M": f".{name}PI",
        "premiumsSymbol8H": f".{name}PI8H",
        "fundingBaseSymbol1M": f".{base}INT",
        "fundingQuoteSymbol1M": f".{market.quote}INT",
        "lowPrice": last,
        "highPrice": last,
        "priceChgPct": 0,
        "priceChg": 0,
        "supportCross": True,
        "buyLimit": number(quote.last * (1 + (listing.price_band or _BAND_SHOWN))),
        "sellLimit": number(quote.last * (1 - (listing.price_band or _BAND_SHOWN))),
    }


def _risk_limits(call: Call) -> list[dict[str, Any]]:
    """Return one level: the venue has no tiers."""
    name = call.path_params["symbol"]
    market = futures_listing(call, name).market
    level = {
        "symbol": name,
        "level": 1,
        "maxRiskLimit": RISK_LIMIT,
        "minRiskLimit": 0,
        "maxLeverage": market.leverage_max,
        "initialMargin": number(ONE / market.leverage_max),
        "maintainMargin": number(market.maintenance_margin),
    }
    return [level]


# Prices


def _ticker(call: Call) -> dict[str, Any]:
    return _ticker_row(*quoted(call, required(call, call.query, "symbol")))


def _all_tickers(call: Call) -> list[dict[str, Any]]:
    rows = []
    for listing in listings(call, MarketKind.FUTURES):
        quote = call.venue.quote(listing.symbol)
        if quote is not None:
            rows.append(_ticker_row(listing, quote))
    return rows


def _ticker_row(listing: Listing, quote: Quote) -> dict[str, Any]:
    bids, asks = levels(listing, quote, 1)
    return {
        "sequence": _CURSOR_BASE + quote.at_ms % _CURSOR_BASE,
        "symbol": futures_name(listing.market),
        "side": "buy",
        "size": lots(listing.market.amount_step, listing.market),
        "tradeId": str(quote.at_ms),
        "price": text(quote.last),
        "bestBidPrice": text(quote.bid),
        "bestBidSize": lots(bids[0][1], listing.market),
        "bestAskPrice": text(quote.ask),
        "bestAskSize": lots(asks[0][1], listing.market),
        "ts": quote.at_ms * NS_PER_MS,
    }


def _book_full(call: Call) -> dict[str, Any]:
    return _book(call, _DEPTH_FULL)


def _book_20(call: Call) -> dict[str, Any]:
    return _book(call, 20)


def _book_100(call: Call) -> dict[str, Any]:
    return _book(call, 100)


def _book(call: Call, depth: int) -> dict[str, Any]:
    listing, quote = quoted(call, required(call, call.query, "symbol"))
    market = listing.market
    bids, asks = levels(listing, quote, depth)
    return {
        "sequence": quote.at_ms,
        "symbol": futures_name(market),
        "bids": [[number(price), lots(size, market)] for price, size in bids],
        "asks": [[number(price), lots(size, market)] for price, size in asks],
        "ts": call.at_ms * NS_PER_MS,
    }


def _trades(call: Call) -> list[dict[str, Any]]:
    listing, quote = quoted(call, required(call, call.query, "symbol"))
    trade = {
        "sequence": quote.at_ms,
        "contractId": 1,
        "tradeId": str(quote.at_ms),
        "makerOrderId": "236679665752801280",
        "takerOrderId": "236679667975745536",
        "ts": quote.at_ms * NS_PER_MS,
        "size": lots(listing.market.amount_step, listing.market),
        "price": text(quote.last),
        "side": "buy",
    }
    return [trade]


def _candles(call: Call) -> list[list[Any]]:
    listing, _ = quoted(call, required(call, call.query, "symbol"))
    granularity_min = whole(call, "granularity", 0)
    if granularity_min not in GRANULARITIES_MIN:
        raise bad_parameter(call, "granularity is invalid")
    step_ms = granularity_min * _MS_PER_MIN
    end_ms = min(whole(call, "to", call.at_ms), call.at_ms)
    start_ms = max(whole(call, "from", 0), end_ms - step_ms * (_CANDLES_MAX - 1))
    opens = range(-(-start_ms // step_ms) * step_ms, end_ms + 1, step_ms)
    return [
        [bar.at_ms, *(number(price) for price in (bar.open, bar.high, bar.low, bar.close)), 0, 0]
        for bar in call.venue.bars(listing.symbol, opens)
    ]


def _mark_price(call: Call) -> dict[str, Any]:
    listing, quote = quoted(call, call.path_params["symbol"])
    return {
        "symbol": futures_name(listing.market),
        "granularity": 1000,
        "timePoint": quote.at_ms,
        "value": number(quote.last),
        "indexPrice": number(quote.last),
    }


def _funding_rate(call: Call) -> dict[str, Any]:
    listing = futures_listing(call, call.path_params["symbol"])
    interval_ms, rate = listing.funding_interval_ms, number(listing.funding_rate)
    period_start_ms = call.at_ms // interval_ms * interval_ms
    return {
        "symbol": f".{futures_name(listing.market)}FPI8H",
        "granularity": interval_ms,
        "timePoint": period_start_ms,
        "value": rate,
        "predictedValue": rate,
        "fundingRateCap": number(_FUNDING_CAP),
        "fundingRateFloor": number(-_FUNDING_CAP),
        "period": 1,
        "fundingTime": period_start_ms + interval_ms,
    }


def _statistics(_call: Call) -> dict[str, int]:
    return {"turnoverOf24h": 0}
