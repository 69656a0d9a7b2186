"""Price paths: random walks, candles, lists, and the task that follows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.emulator.prices import (
    Candle,
    Walk,
    candle_path,
    random_walk,
    read_candles,
    walk_candles,
)
from backfuturectl.model.errors import ConfigurationError
from tests.contract.emulator.client import outside

D = Decimal
BTC = "BTC/USDT"
CANDLE = Candle(60_000, open=D(10), high=D(13), low=D(8), close=D(12))


def walk(seed: int = 1, symbol: str = BTC, volatility: str = "0.01", steps: int = 200) -> list[D]:
    path = random_walk(seed=seed, symbol=symbol, start=D(100), volatility=D(volatility))
    return list(islice(path, steps))


def test_a_walk_is_the_same_for_the_same_seed_and_symbol():
    assert walk() == walk()
    assert walk() != walk(seed=2)
    assert walk() != walk(symbol="ETH/USDT")


@given(st.integers(), st.sampled_from(["0", "0.001", "0.05", "0.5"]))
def test_a_walk_starts_where_it_should_and_stays_above_zero(seed: int, volatility: str):
    prices = walk(seed, volatility=volatility)
    assert prices[0] == D(100)
    assert all(price > 0 for price in prices)


def test_a_walk_steps_about_as_far_as_its_volatility():
    prices = walk(steps=2000)
    squares = [(after / before - 1) ** 2 for before, after in pairwise(prices)]
    assert D("0.009") < (sum(squares) / len(squares)).sqrt() < D("0.011")


@pytest.mark.parametrize(
    ("order", "expected"),
    [(Walk.LOW_FIRST, [10, 8, 13, 12]), (Walk.HIGH_FIRST, [10, 13, 8, 12])],
)
def test_a_candle_is_walked_through_its_four_prices(order: Walk, expected: list[int]):
    assert list(walk_candles([CANDLE], order)) == expected


def test_four_prices_last_as_long_as_a_candle():
    later = Candle(360_000, D(1), D(1), D(1), D(1))
    assert candle_path([CANDLE, later]).tick_s == 75
    assert candle_path([CANDLE]).tick_s == 15


def test_candles_are_read_exactly_in_milliseconds_or_seconds(tmp_path: Path):
    file = tmp_path / "candles.csv"
    file.write_text(
        "time,open,high,low,close,volume\n"
        "1790274000,0.1,0.30000000000000001,0.1,0.2,5\n"
        "1790274060000,1,1,1,1,0\n",
        encoding="utf-8",
    )
    first, second = read_candles(file)
    assert first == Candle(
        1_790_274_000_000, D("0.1"), D("0.30000000000000001"), D("0.1"), D("0.2")
    )
    assert second.at_ms == 1_790_274_060_000


@pytest.mark.parametrize(
    "content",
    [
        "",
        "time,open,high,low,close,volume\n",
        "time,open\n1,2\n",
        "time,open,high,low,close,volume\nx,1,1,1,1,1\n",
        "time,open,high,low,close,volume\n1,1,1,one,1,1\n",
        "time,open,high,low,close,volume\n1,1,1,0,1,1\n",
        "time,open,high,low,close,volume\n1,NaN,1,1,1,1\n",
    ],
)
def test_a_file_that_holds_no_candles_is_refused(tmp_path: Path, content: str):
    file = tmp_path / "candles.csv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"candles\.csv"):
        read_candles(file)


async def until(is_so: Callable[[], bool]) -> None:
    """Return once *is_so*; what moves prices tells nobody."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


async def test_a_list_of_prices_is_followed_to_its_end_and_every_one_is_visited():
    async with outside() as emulator:
        await emulator.buy("one", price="60000")
        await emulator.control(
            "POST",
            "/exchanges/mexc/paths",
            {"symbol": BTC, "prices": ["61000", "59000", "62000"], "tick_s": 0.001},
        )
        await until(lambda: not emulator.running.emulator.feed.moving)
        assert emulator.venue().quote(BTC).last == D(62_000)
        assert [fill.price for fill in emulator.venue().fills("main")] == [D(60_000)]


async def test_a_market_is_given_a_past():
    async with outside() as emulator:
        body = {"symbol": BTC, "interval": "1h", "closes": ["59000", "60500.5"]}
        await emulator.control("PUT", "/exchanges/mexc/past", body)
        hour_ms = 3_600_000
        now_ms = emulator.running.emulator.exchanges["mexc"].now_ms()
        newest_ms = now_ms // hour_ms * hour_ms
        bars = emulator.venue().bars(BTC, range(newest_ms - 2 * hour_ms, newest_ms, hour_ms))
        assert [bar.close for bar in bars] == [D(59_000), D("60500.5")]


async def test_candles_are_followed(tmp_path: Path):
    file = tmp_path / "candles.csv"
    file.write_text(
        "time,open,high,low,close,volume\n0,50000,51000,49000,50500,1\n1,50500,1,1,47000,1\n",
        encoding="utf-8",
    )
    async with outside() as emulator:
        emulator.running.emulator.feed.speed = 1000
        body = {"symbol": BTC, "candles": str(file)}
        await emulator.control("POST", "/exchanges/mexc/paths", body)
        await until(lambda: emulator.venue().quote(BTC).last == D(47_000))


async def test_a_price_on_the_move_is_stopped_by_hand():
    async with outside() as emulator:
        for symbol in (BTC, "ETH/USDT", "SOL/USDT"):
            body = {"symbol": symbol, "seed": 1, "tick_s": 0.001}
            await emulator.control("POST", "/exchanges/mexc/paths", body)
        await emulator.control("PUT", "/exchanges/mexc/prices", {"symbol": BTC, "last": "1000"})
        answer = await emulator.control("DELETE", "/exchanges/mexc/paths", {"symbol": "ETH/USDT"})
        assert answer["stopped"] == ["ETH/USDT"]
        assert (await emulator.control("GET", "/"))["paths"] == [["mexc", "SOL/USDT"]]
        await emulator.control("DELETE", "/exchanges/mexc/paths")
        assert (await emulator.control("GET", "/"))["paths"] == []
        assert emulator.venue().quote(BTC).last == D(1000)


async def test_a_walk_goes_on_from_the_present_price():
    async with outside() as emulator:
        before = emulator.venue().quote(BTC).last
        body = {"symbol": BTC, "volatility": "0.01", "tick_s": 1000}
        await emulator.control("POST", "/exchanges/mexc/paths", body)
        assert emulator.venue().quote(BTC).last == before
