"""What accounts of one exchange share: the public port, its rate budget, prices, candles."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from backfuturectl.engine.candles import CandleFeed
from backfuturectl.engine.clock import Clock
from backfuturectl.engine.prices import PriceFeed
from backfuturectl.exchanges.ccxt_adapter import Endpoint, KeyMaterial
from backfuturectl.exchanges.factory import open_account, open_public
from backfuturectl.exchanges.port import AccountPort, PublicPort
from backfuturectl.exchanges.public import PublicExchange
from backfuturectl.model.market import MarketKind
from backfuturectl.model.resources import ConnectionSpec
from backfuturectl.reconcile.clocks import ClockWatch
from backfuturectl.reconcile.markets import MarketWatch

Where = tuple[str, MarketKind, str | None]
"""Exchange, market kind and endpoint: accounts that agree in all three share everything."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The ports of one exchange and market.

    Attributes:
        account: Opens the account of a key; raises PermanentError where the key lacks a part.
    """

    public: PublicPort
    account: Callable[[KeyMaterial], AccountPort]


class Opener(Protocol):
    """Opens exchanges: the real ones, or a simulation's."""

    def __call__(self, where: Where) -> Opened:
        """Return the ports of *where*; called once for each.

        Raises:
            PermanentError: The exchange or market is not supported.
        """


@dataclass(frozen=True, slots=True)
class Shared:
    """One exchange and market, as all its accounts see it."""

    public: PublicPort
    account: Callable[[KeyMaterial], AccountPort]
    feed: PriceFeed
    markets: MarketWatch
    clock: ClockWatch
    candles: CandleFeed


class RealExchanges:
    """Opens the exchanges on the network, or at the endpoint that a Connection names."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._opened: dict[Where, PublicExchange] = {}

    def __call__(self, where: Where) -> Opened:
        """Return the ports of *where*."""
        exchange, market, endpoint = where
        public = open_public(
            exchange,
            market,
            endpoint=Endpoint(endpoint) if endpoint is not None else None,
            rng=self._rng,
            beside=self._neighbour(where),
        )
        self._opened[where] = public
        return Opened(public, lambda key: open_account(public, key, now_ms=self._clock.now_ms))

    def _neighbour(self, where: Where) -> PublicExchange | None:
        """Return the port of the exchange's other market: one address, one rate budget."""
        exchange, market, endpoint = where
        for (other, kind, place), public in self._opened.items():
            if other == exchange and place == endpoint and kind is not market:
                return public
        return None


class Hub:
    """Opens each exchange once; its feeds run in the task group it is given.

    `close` is for after that group ended: tasks end before the ports they use.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        clock: Clock,
        jitter: random.Random,
        *,
        opener: Opener,
        price_interval_s: float,
    ) -> None:
        self._tasks = tasks
        self._clock = clock
        self._jitter = jitter
        self._open = opener
        self._interval_s = price_interval_s
        self._shared: dict[Where, Shared] = {}
        self._on_markets: Callable[[PublicPort, frozenset[str]], None] = _nobody
        self._on_clock: Callable[[PublicPort, str], None] = _nobody

    def follow(
        self,
        *,
        on_markets: Callable[[PublicPort, frozenset[str]], None],
        on_clock: Callable[[PublicPort, str], None],
    ) -> None:
        """Name who is told of what an exchange changes.

        Args:
            on_markets: Called with the port and the pairs whose market rules have changed.
            on_clock: Called with the port and `ClockWatch.trouble` when that has changed.
        """
        self._on_markets = on_markets
        self._on_clock = on_clock

    def shared(self, spec: ConnectionSpec) -> Shared:
        """Return what *spec*'s account shares with others, opened on first use.

        Raises:
            PermanentError: The exchange or market is not supported.
        """
        where = (str(spec.exchange), spec.market, spec.endpoint)
        found = self._shared.get(where)
        if found is None:
            opened = self._open(where)
            feed = PriceFeed(opened.public, self._clock, interval_s=self._interval_s)
            candles = CandleFeed(opened.public, self._clock, self._jitter)
            markets = MarketWatch(
                opened.public,
                self._jitter,
                on_change=lambda pairs: self._on_markets(opened.public, pairs),
            )
            clock = ClockWatch(
                opened.public,
                self._clock,
                self._jitter,
                on_change=lambda trouble: self._on_clock(opened.public, trouble),
            )
            found = Shared(opened.public, opened.account, feed, markets, clock, candles)
            self._shared[where] = found
            self._tasks.create_task(feed.run(), name=f"prices {where[0]} {where[1]}")
            self._tasks.create_task(markets.run(), name=f"markets {where[0]} {where[1]}")
            self._tasks.create_task(clock.run(), name=f"clock {where[0]} {where[1]}")
            self._tasks.create_task(candles.run(), name=f"candles {where[0]} {where[1]}")
        return found

    async def close(self) -> None:
        """Close every port."""
        for shared in self._shared.values():
            await shared.public.close()
        self._shared.clear()


def _nobody(_public: PublicPort, _what: object) -> None:
    """Stand in for a listener until there is one."""
