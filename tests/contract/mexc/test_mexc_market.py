"""Public data as the exchange shapes it: objects or lists, limits, candles."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from backfuturectl.matching.values import Listing
from backfuturectl.model.market import Market
from tests.contract.mexc.conftest import Mexc

MINUTE_MS = 60_000


def unpriced(exchange: Mexc) -> Listing:
    """Open a market that nobody has given a price yet."""
    listing = exchange.venue.listing("BTC/USDT")
    market: Market = dataclasses.replace(listing.market, pair="NEW/USDT", base="NEW")
    opened = dataclasses.replace(listing, market=market)
    exchange.venue.add_listing(opened)
    return opened


@pytest.mark.parametrize("path", ["ticker/price", "ticker/bookTicker", "ticker/24hr"])
async def test_one_symbol_is_an_object_and_several_are_a_list(exchange: Mexc, path: str) -> None:
    one = (await exchange.send("GET", f"/api/v3/{path}?symbol=BTCUSDT")).body
    every = (await exchange.send("GET", f"/api/v3/{path}")).body
    assert one["symbol"] == "BTCUSDT"
    assert one["symbol"] in [row["symbol"] for row in every]
    assert len(every) == 10


async def test_symbols_are_chosen_by_a_list(exchange: Mexc) -> None:
    answer = await exchange.send("GET", "/api/v3/exchangeInfo?symbols=ETHUSDT,BTCUSDT")
    assert [row["symbol"] for row in answer.body["symbols"]] == ["ETHUSDT", "BTCUSDT"]


async def test_a_market_opened_later_is_found(exchange: Mexc) -> None:
    unpriced(exchange)
    answer = await exchange.send("GET", "/api/v3/exchangeInfo?symbol=NEWUSDT")
    assert answer.body["symbols"][0]["baseAsset"] == "NEW"


async def test_a_market_without_a_price_is_left_out_of_the_lists(exchange: Mexc) -> None:
    unpriced(exchange)
    every = (await exchange.send("GET", "/api/v3/ticker/price")).body
    assert "NEWUSDT" not in [row["symbol"] for row in every]
    assert (await exchange.send("GET", "/api/v3/ticker/price?symbol=NEWUSDT")).body == {
        "symbol": "NEWUSDT"
    }
    assert (await exchange.send("GET", "/api/v3/klines?symbol=NEWUSDT&interval=1m")).body == []
    assert (await exchange.send("GET", "/api/v3/depth?symbol=NEWUSDT")).body["bids"] == []
    answer = await exchange.spot(
        "POST", "order", "symbol=NEWUSDT&side=BUY&type=MARKET&quoteOrderQty=10"
    )
    assert answer.refusal == (400, 30010, "no valid trade price")


async def test_a_closed_market_is_shown_as_closed(exchange: Mexc) -> None:
    listing = exchange.venue.listing("BTC/USDT")
    market = dataclasses.replace(listing.market, is_active=False)
    exchange.venue.add_listing(dataclasses.replace(listing, market=market))
    answer = await exchange.send("GET", "/api/v3/exchangeInfo?symbol=BTCUSDT")
    (row,) = answer.body["symbols"]
    assert (row["status"], row["isSpotTradingAllowed"]) == ("2", False)
    assert "BTCUSDT" not in (await exchange.send("GET", "/api/v3/defaultSymbols")).body["data"]


async def test_the_book_is_as_deep_as_asked(exchange: Mexc) -> None:
    book = (await exchange.send("GET", "/api/v3/depth?symbol=BTCUSDT&limit=3")).body
    assert [price for price, _ in book["bids"]] == ["68000", "67999.99", "67999.98"]
    assert [price for price, _ in book["asks"]] == ["68000.01", "68000.02", "68000.03"]


async def test_candles_join_without_a_gap(exchange: Mexc) -> None:
    await exchange.spot("POST", "order", "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.01")
    exchange.set_price("BTC/USDT", "69000")
    answer = await exchange.send("GET", "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=5")
    candles = answer.body
    assert len(candles) == 5
    for before, after in pairwise(candles):
        assert after[0] - before[0] == MINUTE_MS
        assert before[6] == after[0]
        assert after[1] == before[4]
    assert candles[-1][2] == candles[-1][4] == "69000"


async def test_candles_begin_where_asked(exchange: Mexc) -> None:
    start_ms = exchange.now_ms // MINUTE_MS * MINUTE_MS - 10 * MINUTE_MS
    span = f"startTime={start_ms - 1}&endTime={start_ms + 2 * MINUTE_MS + 1}"
    answer = await exchange.send("GET", f"/api/v3/klines?symbol=BTCUSDT&interval=1m&{span}")
    assert [candle[0] - start_ms for candle in answer.body] == [0, MINUTE_MS, 2 * MINUTE_MS]


async def test_the_day_tells_extremes_and_volume(exchange: Mexc) -> None:
    for price in ("70000", "66000"):
        exchange.set_price("BTC/USDT", price)
        await exchange.spot("POST", "order", "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.01")
    exchange.set_price("BTC/USDT", "67000")
    day = (await exchange.send("GET", "/api/v3/ticker/24hr?symbol=BTCUSDT")).body
    assert (day["openPrice"], day["highPrice"], day["lowPrice"]) == ("70000", "70000", "66000")
    assert (day["lastPrice"], day["priceChange"]) == ("67000", "-3000")
    assert day["priceChangePercent"] == "-0.042857"
    assert (day["volume"], day["quoteVolume"]) == ("0.02", "1360")


async def test_the_average_price_is_the_price(exchange: Mexc) -> None:
    answer = await exchange.send("GET", "/api/v3/avgPrice?symbol=BTCUSDT")
    assert answer.body == {"mins": 5, "price": "68000"}


@pytest.mark.parametrize("name", ["index_price", "fair_price"])
async def test_futures_prices_are_one_price(exchange: Mexc, name: str) -> None:
    answer = await exchange.send("GET", f"/api/v1/contract/{name}/BTC_USDT")
    assert 68000 in answer.body["data"].values()


async def test_an_unknown_futures_interval_is_refused(exchange: Mexc) -> None:
    answer = await exchange.send("GET", "/api/v1/contract/kline/BTC_USDT?interval=Min7")
    assert answer.refusal == (200, 600, "Parameter error")
