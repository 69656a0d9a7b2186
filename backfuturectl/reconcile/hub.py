"""What accounts of one exchange share: the public port, its rate budget, one price feed."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from backfuturectl.engine.clock import Clock
from backfuturectl.engine.prices import PriceFeed
from backfuturectl.exchanges.ccxt_adapter import Endpoint
from backfuturectl.exchanges.factory import RealPublic, open_public
from backfuturectl.model.market import MarketKind
from backfuturectl.model.resources import ConnectionSpec

Where = tuple[str, MarketKind, str | None]
"""Exchange, market kind and endpoint: accounts that agree in all three share everything."""


@dataclass(frozen=True, slots=True)
class Shared:
    """One exchange and market, as all its accounts see it."""

    public: RealPublic
    feed: PriceFeed


class Hub:
    """Opens each exchange once; its price feeds run in the task group it is given.

    `close` is for after that group ended: tasks end before the ports they use.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        clock: Clock,
        rng: random.Random,
        *,
        price_interval_s: float,
    ) -> None:
        self._tasks = tasks
        self._clock = clock
        self._rng = rng
        self._interval_s = price_interval_s
        self._shared: dict[Where, Shared] = {}

    def shared(self, spec: ConnectionSpec) -> Shared:
        """Return what *spec*'s account shares with others, opened on first use.

        Raises:
            PermanentError: The exchange or market is not supported.
        """
        where = (str(spec.exchange), spec.market, spec.endpoint)
        found = self._shared.get(where)
        if found is None:
            endpoint = Endpoint(spec.endpoint) if spec.endpoint is not None else None
            public = open_public(
                where[0],
                where[1],
                endpoint=endpoint,
                rng=self._rng,
                beside=self._neighbour(where),
            )
            feed = PriceFeed(public, self._clock, interval_s=self._interval_s)
            found = self._shared[where] = Shared(public, feed)
            self._tasks.create_task(feed.run(), name=f"prices {where[0]} {where[1]}")
        return found

    def _neighbour(self, where: Where) -> RealPublic | None:
        """Return the port of the exchange's other market: one address, one rate budget."""
        exchange, market, endpoint = where
        for (other, kind, place), shared in self._shared.items():
            if other == exchange and place == endpoint and kind is not market:
                return shared.public
        return None

    async def close(self) -> None:
        """Close every port."""
        for shared in self._shared.values():
            await shared.public.close()
        self._shared.clear()
