"""One exchange's market without a key: one port for all, and what differs as a value.

Whoever adds an exchange writes its `MarketCalls` and an account class; `factory` joins the two.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from backfuturectl.exchanges.candles import Span
from backfuturectl.exchanges.ccxt_adapter import Client, KeyMaterial
from backfuturectl.exchanges.listing import Listed, Listing
from backfuturectl.exchanges.port import AccountPort
from backfuturectl.model.candles import Candle, Interval
from backfuturectl.model.market import Market, Quote


@dataclass(frozen=True, slots=True)
class MarketCalls:
    """How one market of an exchange is read.

    Attributes:
        exchange: The product's id of it.
        load: Lists the markets.
        server_time_ms: Asks for the exchange's clock.
        prices: Quotes by pair; given the pair by symbol of those wanted.
        candles: Closed candles of a symbol, oldest first.
        egress_ip: Asks for this machine's address; None where the exchange does not tell it.
    """

    exchange: str
    load: Callable[[Client], Awaitable[Listing]]
    server_time_ms: Callable[[Client], Awaitable[int]]
    prices: Callable[[Client, Mapping[str, str]], Awaitable[Mapping[str, Quote]]]
    candles: Callable[[Client, str, Span], Awaitable[tuple[Candle, ...]]]
    egress_ip: Callable[[Client], Awaitable[str]] | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """What an account is made of.

    Attributes:
        client: Signs with *key*.
        listed: The markets, shared with the port without a key.
        now_ms: The wall clock.
    """

    client: Client
    listed: Listed
    key: KeyMaterial
    now_ms: Callable[[], int]


class PublicExchange:
    """One exchange and market kind without a key; see `PublicPort`."""

    def __init__(
        self, client: Client, calls: MarketCalls, account: Callable[[Access], AccountPort]
    ) -> None:
        self.exchange = calls.exchange
        self.client = client
        self._calls = calls
        self._account = account
        self._listed = Listed(lambda: calls.load(client))

    async def markets(self) -> Mapping[str, Market]:
        """Return all markets of this kind by pair."""
        return (await self._listed.get()).markets

    async def reload_markets(self) -> None:
        """Load the markets again."""
        await self._listed.reload()

    async def server_time_ms(self) -> int:
        """Return the exchange's clock."""
        return await self._calls.server_time_ms(self.client)

    async def egress_ip(self) -> str | None:
        """Return this machine's address as the exchange sees it; None where it does not tell."""
        ask = self._calls.egress_ip
        return None if ask is None else await ask(self.client)

    async def prices(self, pairs: Collection[str]) -> Mapping[str, Quote]:
        """Return the quote per pair, of those that are listed."""
        wanted = (await self._listed.get()).wanted(pairs)
        return await self._calls.prices(self.client, wanted)

    async def candles(
        self, pair: str, interval: Interval, *, limit: int, before_ms: int
    ) -> tuple[Candle, ...]:
        """Return closed candles, oldest first."""
        symbol = (await self._listed.get()).symbol(pair)
        return await self._calls.candles(self.client, symbol, Span(interval, limit, before_ms))

    def account(self, key: KeyMaterial, now_ms: Callable[[], int]) -> AccountPort:
        """Return one account on this session and budget."""
        client = self.client.with_key(key, now_ms)
        return self._account(Access(client, self._listed, key, now_ms))

    async def close(self) -> None:
        """Close the HTTP session, for every account on it."""
        await self.client.close()
