"""The connection test: five checks in order, the first failure ends it.

1 the endpoint answers and the clocks agree; 2 the key is accepted; 3 its rights; 4 the balance can
be read; 5 order and position status can be received. A withdrawal right refuses the key, on every
exchange, with no override.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backfuturectl.exchanges.port import AccountPort, KeyRights, PublicPort
from backfuturectl.model.market import MarketKind
from backfuturectl.model.secret import Secret
from backfuturectl.model.status import Condition, Reason


@dataclass(frozen=True, slots=True)
class Terms:
    """What the Connection (and the Policy) demand of the key.

    Attributes:
        market: Decides which trade right is needed and which would be superfluous.
        pair: Whose orders are asked for; None picks one of the exchange's own.
        requires_ip: Refuse a key that works from any address.
        addresses: This machine's public addresses, as declared; empty declares nothing.
        accepts: Findings accepted by name: ``PermissionsUnverifiable``.
        refuses_excess: A superfluous right is an error, not a warning.
        skew_max_ms: Largest difference between the clocks.
    """

    market: MarketKind
    pair: str | None = None
    requires_ip: bool = False
    addresses: tuple[str, ...] = ()
    accepts: tuple[str, ...] = ()
    refuses_excess: bool = False
    skew_max_ms: int = 1_000


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the test.

    Attributes:
        name: ``endpoint``, ``key``, ``rights``, ``balance`` or ``status``.
        ok: None when it was not run because an earlier one failed.
    """

    name: str
    ok: bool | None
    reason: Reason
    message: str = ""
    raw_code: str | None = None
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """The outcome of one connection test.

    Attributes:
        outcome: ONLINE, or the reason of the first failed check.
        checks: All five, in order.
        conditions: The same as conditions of the Connection, Ready included.
        rights: None when they could not be read.
        key_fingerprint: Identifies the key to people.
        account_id: Stable identity of the account; None where the exchange tells none.
        egress_ip: This machine's address as the exchange sees it, where an answer told it.
        warnings: Findings that do not stop trading, one sentence each.
        retry_after_s: The server's own wish, when it asked for fewer requests.
    """

    outcome: Reason
    checks: tuple[Check, ...]
    conditions: tuple[Condition, ...]
    rights: KeyRights | None
    key_fingerprint: str
    account_id: str | None
    egress_ip: str | None
    warnings: tuple[str, ...]
    retry_after_s: float | None = None


async def probe(
    public: PublicPort,
    account: AccountPort,
    terms: Terms,
    *,
    api_key: Secret,
    now_ms: Callable[[], int],
) -> ProbeReport:
    """Test one connection; never raises for what the exchange does, never places an order."""
    raise NotImplementedError
