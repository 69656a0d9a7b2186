"""One candle feed for all bots of a market."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from backfuturectl.engine.candles import LOOKS, SETTLE_MS, CandleFeed
from backfuturectl.exchanges.simulated import PortCall, SimulatedPublic
from backfuturectl.matching.values import Listing
from backfuturectl.matching.venue import Venue
from backfuturectl.model.candles import Interval, Rsi
from backfuturectl.model.errors import TransientError
from backfuturectl.model.market import MarketKind
from backfuturectl.model.status import Reason
from backfuturectl.strategy.base import IndicatorSeen
from backfuturectl.strategy.indicators import rsi
from tests.shell.world import BUSY, Faults, LoopClock
from tests.unit.strategy.venue import market

pytestmark = pytest.mark.looptime(noop_cycles=1)

D = Decimal
BTC, ETH = "BTC/USDT", "ETH/USDT"
MINUTE, HOUR = Rsi(3, Interval.MINUTE), Rsi(14, Interval.HOUR)
CLOSES = tuple(D(10_000 + 37 * number % 101) / 100 for number in range(200))


@dataclass
class Desk:
    feed: CandleFeed
    venue: Venue
    faults: Faults
    seen: list[tuple[str, IndicatorSeen]] = field(default_factory=list)

    def follow(self, pair: str, who: str, indicator: Rsi) -> None:
        self.feed.follow(pair, who, indicator, lambda reading: self.seen.append((who, reading)))

    def past(self, pair: str, interval: Interval, closes: tuple[Decimal, ...] = CLOSES) -> None:
        self.venue.tell_past(pair, closes, step_ms=interval.ms, until_ms=LoopClock().now_ms())

    def of(self, who: str) -> list[IndicatorSeen]:
        return [reading for name, reading in self.seen if name == who]


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    venue, faults, clock = Venue("kucoin"), Faults(), LoopClock()
    for pair in (BTC, ETH):
        venue.add_listing(Listing(replace(market(), pair=pair, base=pair[:3])))
        venue.set_price(pair, CLOSES[-1], clock.now_ms())
    public = SimulatedPublic(venue, MarketKind.SPOT, now_ms=clock.now_ms, disturbance=faults)
    made = Desk(CandleFeed(public, clock, random.Random(3)), venue, faults)
    for pair in (BTC, ETH):
        made.past(pair, Interval.HOUR)
    task = asyncio.get_running_loop().create_task(made.feed.run())
    try:
        yield made
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_nothing_is_asked_while_nobody_follows() -> None:
    async with desk() as d:
        await asyncio.sleep(10_000)
        assert d.faults.calls == []


async def test_a_follower_is_told_at_once_what_closed_candles_read() -> None:
    async with desk() as d:
        d.follow(BTC, "one", HOUR)
        await asyncio.sleep(1)
        (reading,) = d.of("one")
        assert reading.indicator == HOUR
        assert reading.value == rsi(CLOSES, 14)
        assert reading.closed_at_ms % HOUR.interval.ms == 0
        assert reading.closed_at_ms <= LoopClock().now_ms() - SETTLE_MS


async def test_one_request_per_pair_and_close_serves_every_follower_soon_after_it() -> None:
    async with desk() as d:
        for number in range(20):
            d.follow(BTC, f"btc {number}", replace(HOUR, period=2 + number))
        d.follow(ETH, "eth", HOUR)
        await asyncio.sleep(1)
        seeded = d.faults.count(PortCall.CANDLES)
        assert seeded == 2
        await asyncio.sleep(3 * 3_600)
        assert d.faults.count(PortCall.CANDLES) == seeded + 2 * 3
        for who in ("btc 0", "btc 19", "eth"):
            assert len(d.of(who)) == 4
            for reading in d.of(who)[1:]:
                assert SETTLE_MS <= reading.at_ms - reading.closed_at_ms <= SETTLE_MS + 4_000


async def test_the_candle_that_still_forms_is_not_read() -> None:
    async with desk() as d:
        d.follow(BTC, "one", HOUR)
        await asyncio.sleep(1)
        before = d.of("one")[-1].value
        d.venue.set_price(BTC, D(50), LoopClock().now_ms())
        d.follow(BTC, "two", HOUR)
        await asyncio.sleep(1)
        assert d.of("two")[-1].value == before
        await asyncio.sleep(3_600)
        assert d.of("two")[-1].value < before


async def test_a_candle_that_closed_this_moment_may_still_change_and_is_left_for_a_while() -> None:
    async with desk() as d:
        hour_ms = HOUR.interval.ms
        await asyncio.sleep((hour_ms - LoopClock().now_ms() % hour_ms + 500) / 1_000)
        d.follow(BTC, "one", HOUR)
        await asyncio.sleep(1)
        assert d.of("one")[-1].closed_at_ms == LoopClock().now_ms() // hour_ms * hour_ms - hour_ms
        await asyncio.sleep(6)
        assert d.of("one")[-1].closed_at_ms == LoopClock().now_ms() // hour_ms * hour_ms


async def test_who_no_longer_follows_hears_no_more() -> None:
    async with desk() as d:
        d.follow(BTC, "one", HOUR)
        d.follow(BTC, "two", HOUR)
        await asyncio.sleep(1)
        d.feed.unfollow("one")
        d.feed.unfollow("nobody")
        d.follow(BTC, "two", replace(HOUR, period=7))
        await asyncio.sleep(3_700)
        assert len(d.of("one")) == 1
        assert [reading.indicator.period for reading in d.of("two")] == [14, 7, 7]
        d.feed.unfollow("two")
        calls = d.faults.count(PortCall.CANDLES)
        await asyncio.sleep(7_200)
        assert d.faults.count(PortCall.CANDLES) == calls


async def test_too_short_a_history_reads_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as d:
        d.past(BTC, Interval.HOUR, (D(100),))  # all alike
        d.follow(BTC, "one", HOUR)
        await asyncio.sleep(8_000)
        assert d.of("one") == []
    assert caplog.text.count("no deal begins before that") == 1


async def test_an_exchange_that_fails_is_asked_less_and_less_and_then_as_before() -> None:
    async with desk() as d:
        d.faults.always[PortCall.CANDLES] = BUSY
        d.follow(BTC, "one", HOUR)
        await asyncio.sleep(1_800)
        assert 5 <= d.faults.count(PortCall.CANDLES) <= 13
        d.faults.always.clear()
        await asyncio.sleep(310)
        assert len(d.of("one")) == 1


async def test_the_exchanges_own_waiting_time_is_kept() -> None:
    async with desk() as d:
        d.faults.fail(
            PortCall.CANDLES, TransientError(Reason.RATE_LIMITED, "slow down", retry_after_s=600)
        )
        d.follow(BTC, "one", HOUR)
        await asyncio.sleep(595)
        assert d.faults.count(PortCall.CANDLES) == 1
        await asyncio.sleep(30)
        assert d.of("one")


async def test_a_failing_pair_keeps_no_other_waiting() -> None:
    async with desk() as d:
        d.faults.fail(PortCall.CANDLES, BUSY)
        d.follow(BTC, "one", HOUR)
        d.follow(ETH, "two", HOUR)
        await asyncio.sleep(1)
        assert (d.of("one"), len(d.of("two"))) == ([], 1)


class Late(SimulatedPublic):
    """An exchange that knows no candle of the newest hour, as where nobody traded."""

    async def candles(self, pair, interval, *, limit, before_ms):
        return await super().candles(pair, interval, limit=limit, before_ms=before_ms - interval.ms)


async def test_a_close_that_is_not_there_is_asked_for_again_a_few_times() -> None:
    async with desk() as d:
        d.feed._public.__class__ = Late
        d.follow(BTC, "one", HOUR)
        await asyncio.sleep(300)
        assert d.faults.count(PortCall.CANDLES) == LOOKS
        assert len(d.of("one")) == LOOKS, "what is there is told all the same"
