"""Open ports to an exchange: the one door the rest of the program uses."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from backfuturectl.exchanges.catalog import CATALOG, catalog_entry
from backfuturectl.exchanges.ccxt_adapter import (
    Client,
    Dialect,
    Endpoint,
    KeyMaterial,
    new_gateway,
)
from backfuturectl.exchanges.kucoin import FUTURES_DIALECT, SPOT_DIALECT
from backfuturectl.exchanges.kucoin_futures import KucoinFuturesAccount
from backfuturectl.exchanges.kucoin_futures_market import CALLS as KUCOIN_FUTURES
from backfuturectl.exchanges.kucoin_spot import KucoinSpotAccount
from backfuturectl.exchanges.kucoin_spot_market import CALLS as KUCOIN_SPOT
from backfuturectl.exchanges.mexc import DIALECT
from backfuturectl.exchanges.mexc_spot import MexcSpotAccount
from backfuturectl.exchanges.mexc_spot_market import CALLS as MEXC_SPOT
from backfuturectl.exchanges.port import AccountPort
from backfuturectl.exchanges.public import Access, MarketCalls, PublicExchange
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.market import MarketKind
from backfuturectl.model.status import Reason

_Made = tuple[Dialect, MarketCalls, Callable[[Access], AccountPort]]

_MADE_OF: Final[dict[tuple[str, MarketKind], _Made]] = {
    ("mexc", MarketKind.SPOT): (DIALECT, MEXC_SPOT, MexcSpotAccount),
    ("kucoin", MarketKind.SPOT): (SPOT_DIALECT, KUCOIN_SPOT, KucoinSpotAccount),
    ("kucoin", MarketKind.FUTURES): (FUTURES_DIALECT, KUCOIN_FUTURES, KucoinFuturesAccount),
}


def open_public(
    exchange: str,
    market: MarketKind,
    *,
    rng: Random,
    endpoint: Endpoint | None = None,
    egress: str | None = None,
    beside: PublicExchange | None = None,
) -> PublicExchange:
    """Return the port that every account of *exchange* and *market* shares; nothing is sent yet.

    Open one per exchange, market and egress address, and close it after the accounts on it.

    Args:
        exchange: The product's id, a key of the catalog.
        market: Which of the exchange's markets.
        rng: Seeded source of retry jitter.
        endpoint: A stand-in on this machine instead of the exchange.
        egress: Local address to send from; None lets the system choose.
        beside: A port of the same exchange's other market: session, rate budget, endpoint and
            egress address are shared with it.

    Raises:
        PermanentError: Unknown exchange or market; the message lists the supported ones.
    """
    catalog_entry(exchange, market)
    dialect, calls, account = _MADE_OF[exchange, market]
    if beside is not None:
        assert beside.exchange == exchange, "a budget belongs to one exchange"
        client = beside.client.beside(dialect)
    else:
        client = Client(dialect, new_gateway(dialect, egress), rng, endpoint=endpoint)
    return PublicExchange(client, calls, account)


def open_account(
    public: PublicExchange, key: KeyMaterial, *, now_ms: Callable[[], int]
) -> AccountPort:
    """Return one account; exchange, market, endpoint, session and budget are those of *public*.

    Args:
        public: From `open_public`.
        key: What signs; see the catalog for which exchanges need the passphrase.
        now_ms: The wall clock that requests are stamped with.

    Raises:
        PermanentError: INVALID_PASSPHRASE; the exchange's keys have one and *key* has none.
    """
    if CATALOG[public.exchange].needs_passphrase and key.password is None:
        raise PermanentError(
            Reason.INVALID_PASSPHRASE,
            f"{public.exchange} keys have a passphrase; expected `credentials.password`",
        )
    return public.account(key, now_ms)
