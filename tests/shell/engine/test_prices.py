"""One price feed for all bots of a market."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from backfuturectl.engine.prices import Listener, PriceFeed
from backfuturectl.exchanges.simulated import PortCall, SimulatedPublic
from backfuturectl.matching.values import Listing
from backfuturectl.matching.venue import Venue
from backfuturectl.model.errors import TransientError
from backfuturectl.model.market import MarketKind, Quote
from backfuturectl.model.status import Reason
from tests.shell.world import BUSY, START_MS, Faults, LoopClock
from tests.unit.strategy.venue import market

pytestmark = pytest.mark.looptime(noop_cycles=1)

D = Decimal
BTC, ETH = "BTC/USDT", "ETH/USDT"


@dataclass
class Desk:
    feed: PriceFeed
    venue: Venue
    faults: Faults
    seen: list[tuple[str, Decimal, int]] = field(default_factory=list)

    def listen(self, pair: str, who: str) -> None:
        self.feed.listen(pair, who, lambda quote, at_ms: self._hear(who, quote, at_ms))

    def _hear(self, who: str, quote: Quote, at_ms: int) -> bool:
        self.seen.append((who, quote.last, at_ms))
        return False

    def of(self, who: str) -> list[Decimal]:
        return [price for name, price, _ in self.seen if name == who]


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    venue, faults, clock = Venue("kucoin"), Faults(), LoopClock()
    for pair in (BTC, ETH):
        venue.add_listing(Listing(replace(market(), pair=pair, base=pair[:3])))
        venue.set_price(pair, D(100), START_MS)
    public = SimulatedPublic(venue, MarketKind.SPOT, now_ms=clock.now_ms, disturbance=faults)
    made = Desk(PriceFeed(public, clock, interval_s=1.0), venue, faults)
    task = asyncio.get_running_loop().create_task(made.feed.run())
    try:
        yield made
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_nothing_is_asked_while_nobody_listens() -> None:
    async with desk() as d:
        await asyncio.sleep(10)
        assert d.faults.calls == []


async def test_one_request_a_second_serves_every_listener() -> None:
    async with desk() as d:
        for number in range(50):
            d.listen(BTC, f"btc {number}")
            d.listen(ETH, f"eth {number}")
        await asyncio.sleep(10.5)
        assert 10 <= d.faults.count(PortCall.PRICES) <= 11
        assert all(len(d.of(f"{coin} 7")) >= 10 for coin in ("btc", "eth"))


async def test_who_is_muted_hears_no_more_and_the_others_do() -> None:
    async with desk() as d:
        d.listen(BTC, "one")
        d.listen(BTC, "two")
        await asyncio.sleep(3)
        d.feed.mute(BTC, "one")
        d.feed.mute(BTC, "nobody")
        heard = len(d.of("one"))
        await asyncio.sleep(5)
        assert len(d.of("one")) == heard
        assert len(d.of("two")) >= 7


async def test_who_has_something_to_do_gets_a_turn_before_all_others_are_told() -> None:
    async with desk() as d:
        told: list[str] = []
        woken = asyncio.Event()

        async def act() -> None:
            await woken.wait()
            told.append("acted")

        def hear(who: str) -> Listener:
            def listener(quote: Quote, at_ms: int) -> bool:
                told.append(who)
                woken.set()
                return True

            return listener

        async with asyncio.TaskGroup() as group:
            group.create_task(act())
            for number in range(30):
                d.feed.listen(BTC, f"btc {number}", hear(f"btc {number}"))
            d.feed.listen(ETH, "eth", hear("eth"))
            await asyncio.sleep(1)
        assert told.index("btc 29") < told.index("acted") < told.index("eth")


async def test_the_beat_is_steady_however_long_an_answer_takes() -> None:
    async with desk() as d:
        d.faults.delay_s = 0.2  # 0.4 s in all
        d.listen(BTC, "one")
        await asyncio.sleep(20)
        assert 18 <= len(d.of("one")) <= 20


async def test_an_answer_slower_than_the_beat_is_not_asked_for_twice_at_once() -> None:
    async with desk() as d:
        d.faults.delay_s = 2
        d.listen(BTC, "one")
        for _ in range(40):
            await asyncio.sleep(0.5)
            assert d.faults.in_flight <= 1


async def test_an_exchange_that_fails_is_asked_less_and_less_and_then_as_before() -> None:
    async with desk() as d:
        d.listen(BTC, "one")
        await asyncio.sleep(2)
        d.faults.always[PortCall.PRICES] = BUSY
        await asyncio.sleep(300)
        assert d.feed.last_error == str(BUSY)
        assert d.faults.count(PortCall.PRICES, since_s=100) <= 8
        d.faults.always.clear()
        await asyncio.sleep(31)
        heard = len(d.of("one"))
        await asyncio.sleep(10)
        assert d.feed.last_error is None
        assert len(d.of("one")) - heard >= 9


async def test_the_exchanges_own_waiting_time_is_kept() -> None:
    async with desk() as d:
        d.faults.fail(
            PortCall.PRICES, TransientError(Reason.RATE_LIMITED, "slow down", retry_after_s=60)
        )
        d.listen(BTC, "one")
        await asyncio.sleep(59)
        assert d.faults.count(PortCall.PRICES) == 1
        await asyncio.sleep(5)
        assert d.of("one")


@pytest.mark.parametrize("nothing", [D(0), D(-1)])
async def test_a_price_of_nothing_is_no_price(
    nothing: Decimal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def prices(_public: SimulatedPublic, _pairs: object) -> dict[str, Quote]:
        return {BTC: Quote(nothing), ETH: Quote(D(100))}

    monkeypatch.setattr(SimulatedPublic, "prices", prices)
    async with desk() as d:
        d.listen(BTC, "btc")
        d.listen(ETH, "eth")
        await asyncio.sleep(2.5)
        assert d.of("btc") == []
        assert D(100) in d.of("eth")
        assert d.feed.last_at_ms(BTC) == 0


async def test_the_age_of_a_price_is_told() -> None:
    async with desk() as d:
        d.listen(BTC, "one")
        await asyncio.sleep(5)
        last_ms = d.feed.last_at_ms(BTC)
        assert LoopClock().now_ms() - last_ms <= 1_000
        d.faults.always[PortCall.PRICES] = BUSY
        await asyncio.sleep(20)
        assert d.feed.last_at_ms(BTC) - last_ms <= 1_000
        assert d.feed.last_at_ms(ETH) == 0, "nobody asked for it"
