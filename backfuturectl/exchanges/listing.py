"""What an exchange lists of one market kind, loaded once and again when it is asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from backfuturectl.exchanges.payload import PayloadError
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.market import Market, with_vanished
from backfuturectl.model.status import Reason


@dataclass(frozen=True, slots=True)
class Listing:
    """What an exchange lists of one market kind.

    Attributes:
        markets: By pair.
        symbols: The exchange's own symbol, by pair.
        pairs: The pair, by the exchange's own symbol.
    """

    markets: Mapping[str, Market]
    symbols: Mapping[str, str]
    pairs: Mapping[str, str]

    def market(self, pair: str) -> Market:
        """Return the market of *pair*.

        Raises:
            PermanentError: MARKET_UNAVAILABLE; the exchange does not list it.
        """
        if pair not in self.markets:
            raise PermanentError(
                Reason.MARKET_UNAVAILABLE, f"the exchange lists no market `{pair}` of this kind"
            )
        return self.markets[pair]

    def symbol(self, pair: str) -> str:
        """Return the exchange's symbol of *pair*; raises like `market`."""
        self.market(pair)
        return self.symbols[pair]

    def wanted(self, pairs: Collection[str]) -> dict[str, str]:
        """Return pair by symbol of those *pairs* that are listed.

        One unlisted pair must not take the prices of all others away.
        """
        return {self.symbols[pair]: pair for pair in pairs if pair in self.symbols}


def listing(symbols: Mapping[str, Market]) -> Listing:
    """Return the listing of markets by the exchange's own symbol.

    Raises:
        PayloadError: Nothing is listed, which no exchange in service would say.
    """
    if not symbols:
        raise PayloadError("the exchange lists no market at all")
    return Listing(
        markets={market.pair: market for market in symbols.values()},
        symbols={market.pair: symbol for symbol, market in symbols.items()},
        pairs={symbol: market.pair for symbol, market in symbols.items()},
    )


def _beside(fresh: Listing, known: Listing) -> Listing:
    """Return *fresh* with what vanished from it as closed."""
    return Listing(
        markets=with_vanished(fresh.markets, known.markets),
        symbols={**known.symbols, **fresh.symbols},
        pairs={**known.pairs, **fresh.pairs},
    )


class Listed:
    """Loads a listing once, however many ask at the same time, and again when it is asked to."""

    def __init__(self, load: Callable[[], Awaitable[Listing]]) -> None:
        self._load = load
        self._lock = asyncio.Lock()
        self._listing: Listing | None = None

    async def reload(self) -> None:
        """Load the listing again; what fails to load leaves the known one in force."""
        fresh = await self._load()
        known = self._listing
        self._listing = fresh if known is None else _beside(fresh, known)

    async def get(self) -> Listing:
        """Return the listing; a failed load is tried again by the next caller."""
        if self._listing is not None:
            return self._listing
        async with self._lock:
            if self._listing is None:
                self._listing = await self._load()
            return self._listing
