"""Open ports to an exchange: the one door the rest of the program uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from backfuturectl.exchanges.port import AccountPort, PublicPort
from backfuturectl.model.market import MarketKind
from backfuturectl.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A stand-in exchange on this machine; replaces every host of the exchange.

    Attributes:
        url: ``http://127.0.0.1:8101``, without a path.
    """

    url: str


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """One API key, as decrypted; never printed.

    Attributes:
        password: The passphrase, where the exchange has one.
    """

    api_key: Secret
    secret: Secret
    password: Secret | None = None


def open_public(
    exchange: str,
    market: MarketKind,
    *,
    endpoint: Endpoint | None = None,
    egress: str | None = None,
    rng: Random,
) -> PublicPort:
    """Return the shared port; the caller owns it and closes it after every account on it.

    Args:
        endpoint: A stand-in on loopback instead of the real exchange.
        egress: Local address to send from; None lets the system choose.
        rng: Seeded source of retry jitter.

    Raises:
        PermanentError: Unknown exchange or market; the message lists the supported ones.
    """
    raise NotImplementedError


def open_account(
    public: PublicPort,
    key: KeyMaterial,
    *,
    now_ms: Callable[[], int],
) -> AccountPort:
    """Return one account's port; exchange, market, endpoint, session and budget are *public*'s."""
    raise NotImplementedError
