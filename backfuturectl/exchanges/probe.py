"""The connection test: five checks in order, the first failure ends it.

1 the endpoint answers and the clocks agree; 2 the key is accepted; 3 its rights; 4 the balance can
be read; 5 order and position status can be received. A withdrawal right refuses the key, on every
exchange, with no override.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from backfuturectl.exchanges.port import (
    AccountPort,
    AddressPort,
    KeyRights,
    PublicPort,
    TrialPort,
)
from backfuturectl.model.errors import OperationError, PermanentError
from backfuturectl.model.market import Market, MarketKind, round_price, step_up
from backfuturectl.model.orders import NewOrder, OrderType, Side
from backfuturectl.model.secret import Secret
from backfuturectl.model.status import REASONS, Condition, ConditionType, Reason, ReasonClass

SKEW_MAX_MS: Final = 1_000
"""Largest difference between the clocks; MEXC takes no more than a second."""

_CHECKS: Final = {
    "endpoint": ConditionType.REACHABLE,
    "key": ConditionType.AUTHENTICATED,
    "rights": ConditionType.PERMISSIONS_VERIFIED,
    "balance": ConditionType.BALANCE_READABLE,
    "status": ConditionType.STATUS_RECEIVABLE,
}
_EXPIRY_WARNING_DAYS: Final = 14
_USUAL_PAIR: Final = "BTC/USDT"
_TRIAL_DISCOUNT: Final = Decimal("0.9")
# Deliberately outside the pattern of real client order ids.
_TRIAL_ID: Final = "bftrial"
_ADDRESS: Final = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")

# What a refused trial order says about the key or the account. Any other refusal is about the
# order, and means that the key had got past the door.
_TRIAL_VERDICTS: Final = frozenset(
    {
        Reason.INVALID_KEY,
        Reason.INVALID_SIGNATURE,
        Reason.INVALID_PASSPHRASE,
        Reason.KEY_EXPIRED,
        Reason.IP_NOT_ALLOWED,
        Reason.NO_READ_PERMISSION,
        Reason.NO_TRADING_PERMISSION,
        Reason.NO_FUTURES_PERMISSION,
        Reason.ACCOUNT_RESTRICTED,
    }
)


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
    skew_max_ms: int = SKEW_MAX_MS

    @property
    def accepts_unverifiable(self) -> bool:
        """Whether rights that cannot be read are accepted."""
        return Reason.PERMISSIONS_UNVERIFIABLE.value in self.accepts


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
    run = _Run(public, account, terms, now_ms)
    steps: dict[str, Callable[[], Awaitable[None]]] = {
        "endpoint": run.endpoint,
        "key": run.key,
        "rights": run.rights_suffice,
        "balance": run.balance,
        "status": run.status,
    }
    checks: list[Check] = []
    failure: OperationError | None = None
    for name, step in steps.items():
        if failure is not None:
            checks.append(Check(name, None, Reason.NOT_TESTED))
            continue
        check, failure = await _checked(name, step)
        checks.append(check)
    outcome = Reason.ONLINE if failure is None else failure.reason
    return ProbeReport(
        outcome=outcome,
        checks=tuple(checks),
        conditions=_conditions(checks, failure, now_ms()),
        rights=run.rights,
        key_fingerprint=api_key.fingerprint(),
        account_id=None if run.rights is None else run.rights.account_id,
        egress_ip=await _egress_ip(failure, public),
        warnings=tuple(run.warnings),
        retry_after_s=None if failure is None else failure.retry_after_s,
    )


def judge(rights: KeyRights, terms: Terms) -> tuple[str, ...]:
    """Return the warnings about *rights*.

    Raises:
        PermanentError: The key must not be used, for the first of these reasons that holds:
            it can withdraw, that cannot be ruled out, a needed right is missing, its IP
            restriction is not what the terms demand, it has rights that the terms forbid.
    """
    if rights.can_withdraw:
        raise PermanentError(
            Reason.WITHDRAW_ENABLED, f"the key can withdraw: its rights are {_list(rights.tokens)}"
        )
    warnings: list[str] = []
    if rights.unknown or rights.can_withdraw is None:
        what = (
            f"the key has rights that this version does not know: {_list(rights.unknown)}"
            if rights.unknown
            else "the exchange does not tell whether the key can withdraw"
        )
        _unverifiable(what, terms, warnings)
    _judge_needed(rights, terms)
    _judge_addresses(rights, terms, warnings)
    _judge_excess(rights, terms, warnings)
    days = rights.expires_in_days
    if days is not None and days <= _EXPIRY_WARNING_DAYS:
        warnings.append(f"the key stops working in {days} days; renew it at the exchange")
    return tuple(warnings)


@dataclass(slots=True)
class _Run:
    """One test under way: what a later check needs of an earlier one."""

    public: PublicPort
    account: AccountPort
    terms: Terms
    now_ms: Callable[[], int]
    rights: KeyRights | None = None
    unreadable: PermanentError | None = None
    warnings: list[str] = field(default_factory=list)

    async def endpoint(self) -> None:
        """The exchange answers, and its time lies between our sending and receiving."""
        before_ms = self.now_ms()
        server_ms = await self.public.server_time_ms()
        skew_ms = max(before_ms - server_ms, server_ms - self.now_ms(), 0)
        if skew_ms > self.terms.skew_max_ms:
            ahead = "behind" if server_ms > before_ms else "ahead of"
            raise PermanentError(
                Reason.CLOCK_SKEW, f"this machine's clock is {skew_ms} ms {ahead} the exchange's"
            )

    async def key(self) -> None:
        """The exchange lets the key in, which reading its rights shows."""
        try:
            self.rights = await self.account.rights()
        except PermanentError as error:
            if error.reason is not Reason.PERMISSIONS_UNVERIFIABLE:
                raise
            # The key is known but may not read its own rights: a matter of the next check.
            self.unreadable = error

    async def rights_suffice(self) -> None:
        """The key can do what is needed and nothing dangerous."""
        if self.rights is not None:
            self.warnings += judge(self.rights, self.terms)
        elif self.unreadable is not None:
            _unverifiable(str(self.unreadable), self.terms, self.warnings)
        if isinstance(self.account, TrialPort):
            await self._try_order(self.account)

    async def balance(self) -> None:
        """The balance can be read."""
        await self.account.balances()

    async def status(self) -> None:
        """Orders, and positions on futures, can be read."""
        pair = (await self._market()).pair
        await self.account.open_orders(pair)
        if self.terms.market is MarketKind.FUTURES:
            await self.account.position(pair)

    async def _try_order(self, account: TrialPort) -> None:
        """Have the exchange judge a small order far from the price: the list may not be all."""
        try:
            market = await self._market()
            quote = (await self.public.prices([market.pair])).get(market.pair)
            if quote is None:
                self.warnings.append(f"{market.pair} has no price; trading was not proven")
                return
            await account.try_order(_trial_order(market, quote.last))
        except OperationError as error:
            if error.reason in _TRIAL_VERDICTS:
                raise
            is_passing = REASONS[error.reason].kind is ReasonClass.RETRYABLE
            # A key may be limited to chosen pairs.
            if is_passing or error.reason is Reason.MARKET_UNAVAILABLE:
                self.warnings.append(f"trading was not proven by a test order: {error}")

    async def _market(self) -> Market:
        markets = await self.public.markets()
        wanted = self.terms.pair or _USUAL_PAIR
        if wanted in markets:
            return markets[wanted]
        if self.terms.pair is not None:
            # The pair's own strategy is told; the account's others are not its hostages.
            warning = f"the exchange lists no market `{self.terms.pair}`"
            if warning not in self.warnings:
                self.warnings.append(warning)
        return markets[_USUAL_PAIR if _USUAL_PAIR in markets else min(markets)]


async def _checked(
    name: str, step: Callable[[], Awaitable[None]]
) -> tuple[Check, OperationError | None]:
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    failure: OperationError | None = None
    try:
        await step()
    except OperationError as error:
        failure = error
    duration_ms = round((loop.time() - started_at) * 1000)
    if failure is None:
        return Check(name, ok=True, reason=Reason.ONLINE, duration_ms=duration_ms), None
    check = Check(
        name,
        ok=False,
        reason=failure.reason,
        message=str(failure),
        raw_code=failure.raw_code,
        duration_ms=duration_ms,
    )
    return check, failure


def _unverifiable(what: str, terms: Terms, warnings: list[str]) -> None:
    if not terms.accepts_unverifiable:
        raise PermanentError(Reason.PERMISSIONS_UNVERIFIABLE, what)
    warnings.append(f"accepted by name: {what}")


def _judge_needed(rights: KeyRights, terms: Terms) -> None:
    """Refuse a missing right; one that the exchange does not tell is left to the trial order."""
    tokens = _list(rights.tokens)
    if not rights.can_read:
        raise PermanentError(
            Reason.NO_READ_PERMISSION, f"the key may not read: its rights are {tokens}"
        )
    if terms.market is MarketKind.SPOT and rights.can_trade_spot is False:
        raise PermanentError(
            Reason.NO_TRADING_PERMISSION, f"the key may not trade spot: its rights are {tokens}"
        )
    if terms.market is MarketKind.FUTURES and rights.can_trade_futures is False:
        raise PermanentError(
            Reason.NO_FUTURES_PERMISSION, f"the key may not trade futures: its rights are {tokens}"
        )


def _judge_addresses(rights: KeyRights, terms: Terms, warnings: list[str]) -> None:
    if rights.is_ip_restricted is None:
        if terms.requires_ip:
            _unverifiable("the exchange does not tell the key's IP restriction", terms, warnings)
        return
    if not rights.is_ip_restricted:
        what = "the key works from any address"
        if terms.requires_ip:
            raise PermanentError(Reason.IP_RESTRICTION_MISSING, what)
        warnings.append(f"{what}; bind it to this server's address at the exchange")
        return
    absent = [
        address
        for address in terms.addresses
        if not any(_matches(address, shown) for shown in rights.ip_list)
    ]
    if absent:
        what = f"the key's IP list does not hold {_list(absent)}"
        if terms.requires_ip:
            raise PermanentError(Reason.IP_RESTRICTION_MISSING, what)
        warnings.append(what)
    foreign = [
        shown
        for shown in rights.ip_list
        if not any(_matches(address, shown) for address in terms.addresses)
    ]
    if terms.addresses and foreign:
        warnings.append(f"the key also works from {_list(foreign)}, which is not declared")


def _judge_excess(rights: KeyRights, terms: Terms, warnings: list[str]) -> None:
    excess = list(rights.superfluous)
    if terms.market is MarketKind.SPOT and rights.can_trade_futures:
        excess.append("futures trading")
    if terms.market is MarketKind.FUTURES and rights.can_trade_spot:
        excess.append("spot trading")
    if not excess:
        return
    what = f"the key has rights that this connection does not need: {_list(excess)}"
    if terms.refuses_excess:
        raise PermanentError(Reason.PERMISSION_EXCESSIVE, what)
    warnings.append(what)


def _matches(address: str, shown: str) -> bool:
    """Return whether *address* is what the exchange shows, perhaps masked (``203.**.154``)."""
    pattern = ".*".join(re.escape(part) for part in re.split(r"\*+", shown))
    return re.fullmatch(pattern, address) is not None


def _trial_order(market: Market, price: Decimal) -> NewOrder:
    limit = round_price(price * _TRIAL_DISCOUNT, market, is_buy=True)
    least = max(market.amount_min, market.amount_step, market.cost_min / limit)
    return NewOrder(
        client_order_id=_TRIAL_ID,
        pair=market.pair,
        side=Side.BUY,
        type=OrderType.LIMIT,
        amount_base=step_up(least, market.amount_step),
        price=limit,
        margin_mode="isolated" if market.kind is MarketKind.FUTURES else None,
    )


def _conditions(
    checks: list[Check], failure: OperationError | None, at_ms: int
) -> tuple[Condition, ...]:
    """Return one condition per check, and Ready; a passing failure leaves its check unknown."""
    parts = [
        Condition(
            type=_CHECKS[check.name],
            status=_condition_status(check),
            reason=check.reason,
            message=check.message,
            raw_code=check.raw_code,
            since_ms=at_ms,
        )
        for check in checks
    ]
    ready = Condition(
        type=ConditionType.READY,
        status=failure is None,
        reason=Reason.ONLINE if failure is None else failure.reason,
        message="" if failure is None else str(failure),
        raw_code=None if failure is None else failure.raw_code,
        since_ms=at_ms,
    )
    return (*parts, ready)


def _condition_status(check: Check) -> bool | None:
    """Return the check's result; an exchange that is not reached says nothing on the rest."""
    is_passing = REASONS[check.reason].kind is ReasonClass.RETRYABLE
    return None if is_passing and check.name != "endpoint" else check.ok


async def _egress_ip(failure: OperationError | None, public: PublicPort) -> str | None:
    """Return the address to put on the key's list, when that list is what failed."""
    if failure is None or failure.reason is not Reason.IP_NOT_ALLOWED:
        return None
    match = _ADDRESS.search(str(failure))
    if match is not None:
        return match[0]
    if not isinstance(public, AddressPort):
        return None
    try:
        return await public.egress_ip()
    except OperationError:
        # A courtesy to the reader of the report; the failure itself is known.
        return None


def _list(words: tuple[str, ...] | list[str]) -> str:
    return ", ".join(words) if words else "none"
