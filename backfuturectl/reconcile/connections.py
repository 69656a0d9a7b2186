"""One Connection: test its key, open its account, tell its bots how it stands.

A new key is tested beside the old one and takes its place only when it passed. Until then the old
account serves exits. A key that is refused is never traded with: where nothing passed yet, there is
no account.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from backfuturectl.engine.clock import Clock
from backfuturectl.exchanges.ccxt_adapter import Endpoint, KeyMaterial
from backfuturectl.exchanges.factory import open_account, open_public
from backfuturectl.exchanges.port import AccountPort
from backfuturectl.exchanges.probe import ProbeReport, Terms, probe
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.resources import Connection, Policy
from backfuturectl.model.status import REASONS, Reason, ReasonClass
from backfuturectl.reconcile.hub import Hub, Shared
from backfuturectl.reconcile.queue import Again, Done, Ending, Failed

_LOG = logging.getLogger(__name__)

RETEST_NOW: Final = frozenset(
    {
        Reason.INVALID_KEY,
        Reason.INVALID_SIGNATURE,
        Reason.INVALID_PASSPHRASE,
        Reason.KEY_EXPIRED,
        Reason.NO_READ_PERMISSION,
        Reason.NO_TRADING_PERMISSION,
        Reason.NO_FUTURES_PERMISSION,
        Reason.IP_NOT_ALLOWED,
        Reason.ACCOUNT_RESTRICTED,
        Reason.CLOCK_SKEW,
        Reason.EXCHANGE_UNAVAILABLE,
        Reason.MAINTENANCE,
    }
)
"""What a bot may meet that says something about its connection, not about its order."""

MOVED_WITHIN_MS: Final = 600_000
"""How long after a key came into use a bot may still order through the one before."""


@dataclass(slots=True)
class Line:
    """The live side of one Connection.

    Attributes:
        account: The account bots trade through; None until a key passed the test.
        account_digest: Digest of the document whose key *account* uses.
        account_id: Of *account*, as the exchange tells it; empty while it tells none.
        key_since_ms: Since when every order of the connection's bots goes through *account*'s key;
            a restart remembers it.
        remembered: Digest and `key_since_ms` of the document that was in force last.
        report: The last test's outcome; None before the first.
        tested_digest: Digest of the document that was tested last.
        tested_at_ms: When.
    """

    name: str
    shared: Shared | None = None
    account: AccountPort | None = None
    account_digest: str = ""
    account_id: str = ""
    key_since_ms: int = 0
    remembered: tuple[str, int] = ("", 0)
    report: ProbeReport | None = None
    tested_digest: str = ""
    tested_at_ms: int = 0

    @property
    def is_online(self) -> bool:
        """Whether the newest key passed its last test and is in use."""
        return (
            self.report is not None
            and self.report.outcome is Reason.ONLINE
            and self.account is not None
            and self.account_digest == self.tested_digest
        )

    @property
    def tested_account_id(self) -> str:
        """Account of the key that was tested last; empty where no test of it has told one."""
        told = self.report.account_id if self.report is not None else None
        return told or (self.account_id if self.tested_digest == self.account_digest else "")

    def use(
        self, shared: Shared, account: AccountPort, digest: str, report: ProbeReport, now_ms: int
    ) -> None:
        """Take *account*, whose key has passed its test, into use, or go on using it.

        A key belongs to one account for good, so what was told of it once stays known.
        """
        if account is not self.account:
            before, since_ms = self.remembered
            if digest != before:
                since_ms = key_since_ms(now_ms, is_first=not before)
            self.key_since_ms, self.remembered = since_ms, (digest, since_ms)
            self.account_id = ""
        self.shared, self.account, self.account_digest = shared, account, digest
        self.account_id = report.account_id or self.account_id


def key_since_ms(accepted_ms: int, *, is_first: bool) -> int:
    """Return since when every order goes through a key that was accepted then.

    Args:
        accepted_ms: When its document came into force.
        is_first: Whether the connection had no other key before.
    """
    return accepted_ms if is_first else accepted_ms + MOVED_WITHIN_MS


def terms_of(connection: Connection, policy: Policy | None, *, pair: str | None = None) -> Terms:
    """Return what *connection* and *policy* demand of the key."""
    spec = connection.spec
    rules = policy.spec if policy is not None else None
    return Terms(
        market=spec.market,
        pair=pair,
        requires_ip=spec.ip_whitelist.require or (rules is not None and rules.require_ip_whitelist),
        addresses=spec.ip_whitelist.addresses,
        accepts=spec.accept,
        refuses_excess=rules is not None and rules.refuse_superfluous_rights,
    )


def report_row(report: ProbeReport | None) -> dict[str, Any]:
    """Return the public fields of a test's outcome; `test` and the status API share them."""
    rights = report.rights if report is not None else None
    return {
        "checks": [
            {
                "name": check.name,
                "ok": check.ok,
                "reason": str(check.reason),
                "message": check.message,
                "rawCode": check.raw_code,
                "durationMs": check.duration_ms,
            }
            for check in (report.checks if report is not None else ())
        ],
        "permissions": list(rights.tokens) if rights is not None else [],
        "warnings": list(report.warnings) if report is not None else [],
        "keyFingerprint": report.key_fingerprint if report is not None else None,
        "keyExpiresInDays": rights.expires_in_days if rights is not None else None,
        "egressIp": report.egress_ip if report is not None else None,
        "accountId": report.account_id if report is not None else None,
    }


async def test_once(
    connection: Connection,
    key: KeyMaterial,
    policy: Policy | None,
    *,
    clock: Clock,
    rng: random.Random,
) -> ProbeReport:
    """Test one connection outside of a daemon and close everything again.

    Raises:
        PermanentError: The exchange or market is not supported, or the key lacks a part.
    """
    spec = connection.spec
    endpoint = Endpoint(spec.endpoint) if spec.endpoint is not None else None
    public = open_public(str(spec.exchange), spec.market, endpoint=endpoint, rng=rng)
    try:
        account = open_account(public, key, now_ms=clock.now_ms)
        try:
            return await probe(
                public,
                account,
                terms_of(connection, policy),
                api_key=key.api_key,
                now_ms=clock.now_ms,
            )
        finally:
            await account.close()
    finally:
        await public.close()


class Lines:
    """Tests connections and keeps their accounts; one call at a time per name (the queue's word).

    Args:
        on_change: Called with a connection's name when its account or its standing changed.
    """

    def __init__(
        self,
        hub: Hub,
        clock: Clock,
        jitter: random.Random,
        *,
        test_interval_s: float,
        on_change: Callable[[str], None],
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._jitter = jitter
        self._interval_s = test_interval_s
        self._on_change = on_change
        self._lines: dict[str, Line] = {}
        self._retired: list[AccountPort] = []

    def line(self, name: str) -> Line:
        """Return the live side of *name*, empty when nothing is known of it."""
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Line(name)
        return line

    async def test(
        self,
        connection: Connection,
        digest: str,
        key: KeyMaterial,
        policy: Policy | None,
        *,
        pair: str | None,
    ) -> Ending:
        """Test *connection* and take its account into use when it passes.

        Raises:
            PermanentError: The exchange or market is not supported, or the key lacks a part.
        """
        line = self.line(connection.metadata.name)
        was_online, old_account = line.is_online, line.account
        try:
            shared = self._hub.shared(connection.spec)
            account = (
                line.account
                if line.account is not None and line.account_digest == digest
                else shared.account(key)
            )
        except PermanentError as error:
            _LOG.warning("connection %s: %s", line.name, error)
            raise
        report = await probe(
            shared.public,
            account,
            terms_of(connection, policy, pair=pair),
            api_key=key.api_key,
            now_ms=self._clock.now_ms,
        )
        if self._lines.get(line.name) is not line:
            await account.close()  # dropped meanwhile: nobody waits for it any more
            return Done()
        line.report = report
        line.tested_digest = digest
        line.tested_at_ms = self._clock.now_ms()
        if report.outcome is Reason.ONLINE:
            if account is not old_account and old_account is not None:
                self._retired.append(old_account)
            line.use(shared, account, digest, report, line.tested_at_ms)
        elif account is not old_account:
            await account.close()
        if line.is_online != was_online or line.account is not old_account:
            _LOG.info("connection %s: %s", line.name, report.outcome)
        self._on_change(line.name)
        return self._ending(report)

    async def keep_exits(
        self, connection: Connection, digest: str, key: KeyMaterial, policy: Policy | None
    ) -> None:
        """Take the key that ran before into use where there is no account, for exits alone.

        After a restart a new key that is refused would else leave open deals without an account.
        The connection stays as its newest key's test left it, so nothing new begins. A key that
        does not pass, or that a Policy refuses by now, is not used for exits either.

        Raises:
            PermanentError: The exchange or market is not supported, or the key lacks a part.
        """
        line = self.line(connection.metadata.name)
        if line.account is not None:
            return
        shared = self._hub.shared(connection.spec)
        account = shared.account(key)
        report = await probe(
            shared.public,
            account,
            terms_of(connection, policy),
            api_key=key.api_key,
            now_ms=self._clock.now_ms,
        )
        if report.outcome is not Reason.ONLINE or self._lines.get(line.name) is not line:
            await account.close()
            return
        line.use(shared, account, digest, report, self._clock.now_ms())
        _LOG.warning("connection %s: the key that ran before serves exits", line.name)
        self._on_change(line.name)

    def _ending(self, report: ProbeReport) -> Ending:
        if report.outcome is Reason.ONLINE:
            return Again(self._interval_s * self._jitter.uniform(0.9, 1.1))
        if REASONS[report.outcome].kind is ReasonClass.TERMINAL:
            return Done()  # until the file changes or somebody asks for a test
        return Failed(report.retry_after_s)

    async def drop(self, name: str) -> None:
        """Forget a connection that no strategy uses any more."""
        line = self._lines.pop(name, None)
        if line is not None and line.account is not None:
            await line.account.close()

    async def close(self) -> None:
        """Close every account."""
        for name in tuple(self._lines):
            await self.drop(name)
        for account in self._retired:
            await account.close()
        self._retired.clear()
