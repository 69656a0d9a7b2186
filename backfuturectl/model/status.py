"""Reasons, conditions and connection states: the closed vocabulary of everything that is reported.

Every failure a user can meet is a row of `REASONS`; the terminal, JSON, the status API and the log
all print cause and remedy from here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class ReasonClass(enum.StrEnum):
    """What the reconciler does about a reason."""

    GOOD = "good"
    WAITING = "waiting"
    RETRYABLE = "retryable"
    TERMINAL = "terminal"


class Reason(enum.StrEnum):
    """Why something is as it is; names are part of the public interface."""

    ONLINE = "Online"
    NOT_TESTED = "NotTested"
    INVALID_KEY = "InvalidKey"
    INVALID_SIGNATURE = "InvalidSignature"
    INVALID_PASSPHRASE = "InvalidPassphrase"  # noqa: S105 - a reason, not a password
    KEY_EXPIRED = "KeyExpired"
    NO_READ_PERMISSION = "NoReadPermission"
    NO_TRADING_PERMISSION = "NoTradingPermission"
    NO_FUTURES_PERMISSION = "NoFuturesPermission"
    IP_NOT_ALLOWED = "IPNotAllowed"
    EXCHANGE_UNAVAILABLE = "ExchangeUnavailable"
    RATE_LIMITED = "RateLimited"
    MAINTENANCE = "Maintenance"
    WITHDRAW_ENABLED = "WithdrawEnabled"
    PERMISSIONS_UNVERIFIABLE = "PermissionsUnverifiable"
    PERMISSION_EXCESSIVE = "PermissionExcessive"
    IP_RESTRICTION_MISSING = "IPRestrictionMissing"
    CLOCK_SKEW = "ClockSkew"
    ACCOUNT_RESTRICTED = "AccountRestricted"

    INSUFFICIENT_FUNDS = "InsufficientFunds"
    ORDER_REJECTED = "OrderRejected"
    ORDER_NOT_FOUND = "OrderNotFound"
    ORDER_DUPLICATE = "OrderDuplicate"
    ORDER_OUTCOME_UNKNOWN = "OrderOutcomeUnknown"
    MARKET_UNAVAILABLE = "MarketUnavailable"
    EXCHANGE_ERROR = "ExchangeError"

    RECONCILE_SUCCEEDED = "ReconcileSucceeded"
    PROGRESSING = "Progressing"
    SUSPENDED = "Suspended"
    SCHEMA_INVALID = "SchemaInvalid"
    POLICY_VIOLATED = "PolicyViolated"
    PROOF_FAILED = "ProofFailed"
    CAPITAL_IN_USE = "CapitalInUse"
    REFERENCE_NOT_FOUND = "ReferenceNotFound"
    DEPENDENCY_NOT_READY = "DependencyNotReady"
    DECRYPT_FAILED = "DecryptFailed"
    INTEGRITY_FAILED = "IntegrityFailed"
    SOURCE_UNREADABLE = "SourceUnreadable"
    SOURCE_UNSETTLED = "SourceUnsettled"
    PRUNE_BLOCKED = "PruneBlocked"
    EDIT_REFUSED = "EditRefused"
    STORE_UNAVAILABLE = "StoreUnavailable"
    PRICES_STALE = "PricesStale"
    POSITION_MISMATCH = "PositionMismatch"
    ACCOUNT_CHANGED = "AccountChanged"
    INTERNAL_ERROR = "InternalError"


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """One row of the reason table: who acts, why it happened, what to do."""

    kind: ReasonClass
    cause: str
    remedy: str


def _retryable(cause: str, remedy: str) -> ReasonRow:
    return ReasonRow(ReasonClass.RETRYABLE, cause, remedy)


def _terminal(cause: str, remedy: str) -> ReasonRow:
    return ReasonRow(ReasonClass.TERMINAL, cause, remedy)


def _waiting(cause: str, remedy: str) -> ReasonRow:
    return ReasonRow(ReasonClass.WAITING, cause, remedy)


def _good(cause: str) -> ReasonRow:
    return ReasonRow(ReasonClass.GOOD, cause, "")


REASONS: Final[dict[Reason, ReasonRow]] = {
    Reason.ONLINE: _good("the connection passed every check"),
    Reason.NOT_TESTED: _waiting(
        "the connection has not been tested yet", "wait for the first test"
    ),
    Reason.INVALID_KEY: _terminal(
        "the exchange does not know this API key; it was copied wrongly, deleted, or belongs to "
        "another site",
        "create a new key, or copy the values again with `backfuturectl secret set`",
    ),
    Reason.INVALID_SIGNATURE: _terminal(
        "the exchange knows the key but the secret does not sign for it (an expired key can look "
        "the same)",
        "copy the secret again with `backfuturectl secret set`, or create a new key",
    ),
    Reason.INVALID_PASSPHRASE: _terminal(
        "key and secret fit but the passphrase does not",
        "copy the passphrase chosen when the key was created into `credentials.password`",
    ),
    Reason.KEY_EXPIRED: _terminal(
        "the key's lifetime is over", "renew it at the exchange, or create a new key"
    ),
    Reason.NO_READ_PERMISSION: _terminal(
        "the key may not read balances or orders",
        "enable reading on the key; keep withdrawal disabled",
    ),
    Reason.NO_TRADING_PERMISSION: _terminal(
        "the key's trade right is off", "enable trading on the key; keep withdrawal disabled"
    ),
    Reason.NO_FUTURES_PERMISSION: _terminal(
        "the key's futures right is off, or the account has no futures wallet",
        "enable futures trading on the key; keep withdrawal disabled",
    ),
    Reason.IP_NOT_ALLOWED: _terminal(
        "the key's IP list lacks this server's address",
        "add this server's public address to the key at the exchange",
    ),
    Reason.EXCHANGE_UNAVAILABLE: _retryable(
        "the exchange's API cannot be reached or answers with an error of its own",
        "wait; the test repeats by itself",
    ),
    Reason.RATE_LIMITED: _retryable(
        "the exchange asks for fewer requests", "wait; requests resume by themselves"
    ),
    Reason.MAINTENANCE: _retryable(
        "the exchange is under maintenance", "wait; the test repeats by itself"
    ),
    Reason.WITHDRAW_ENABLED: _terminal(
        "the key can withdraw funds",
        "create a key without the withdrawal right and delete this one; there is no override",
    ),
    Reason.PERMISSIONS_UNVERIFIABLE: _terminal(
        "the key's rights cannot be read, so withdrawal cannot be ruled out",
        "use a key whose rights can be read, or accept this by name in the Connection; see "
        "`backfuturectl guide EXCHANGE`",
    ),
    Reason.PERMISSION_EXCESSIVE: _terminal(
        "the key has rights that no strategy here needs and the policy forbids",
        "create a key with only reading and trading",
    ),
    Reason.IP_RESTRICTION_MISSING: _terminal(
        "the key works from any address, and the file or the policy requires an IP restriction",
        "bind the key to this server's address at the exchange",
    ),
    Reason.CLOCK_SKEW: _retryable(
        "this machine's clock and the exchange's differ too much",
        "fix time synchronisation (chrony, systemd-timesyncd)",
    ),
    Reason.ACCOUNT_RESTRICTED: _terminal(
        "the exchange restricts the account (identity check, region, or frozen)",
        "log in to the exchange and resolve the restriction",
    ),
    Reason.INSUFFICIENT_FUNDS: _terminal(
        "the account does not hold enough for the order",
        "deposit, or lower the strategy's marginLimit",
    ),
    Reason.ORDER_REJECTED: _terminal(
        "the exchange refused the order", "see the exchange's code; the order was not placed"
    ),
    Reason.ORDER_NOT_FOUND: _terminal("the exchange does not know the order", ""),
    Reason.ORDER_DUPLICATE: _terminal("an order with this client id exists already", ""),
    Reason.ORDER_OUTCOME_UNKNOWN: _retryable(
        "the exchange did not say whether it took the order",
        "wait; the order is looked up until the answer is known",
    ),
    Reason.MARKET_UNAVAILABLE: _terminal(
        "the pair does not exist or is not open for trading by API",
        "choose another pair, or wait until the exchange opens it",
    ),
    Reason.EXCHANGE_ERROR: _retryable(
        "the exchange answered with a code that is not in its table",
        "see the raw code; report it if it stays",
    ),
    Reason.RECONCILE_SUCCEEDED: _good("running state equals the files"),
    Reason.PROGRESSING: _waiting("the change is being carried out", ""),
    Reason.SUSPENDED: _waiting(
        "an operator or the file suspended it", "lift it with `backfuturectl resume` or in the file"
    ),
    Reason.SCHEMA_INVALID: _terminal(
        "the document is not valid", "run `backfuturectl validate` and mend what it names"
    ),
    Reason.POLICY_VIOLATED: _terminal(
        "the document breaks the repository's Policy", "run `backfuturectl validate`"
    ),
    Reason.PROOF_FAILED: _terminal(
        "the worst case does not fit the limits", "run `backfuturectl ladder` on the strategy"
    ),
    Reason.CAPITAL_IN_USE: _waiting(
        "what still runs on the connection leaves too little of its capital",
        "wait for the deals that wind down, mend the documents whose last good version still runs, "
        "or lower marginLimit",
    ),
    Reason.REFERENCE_NOT_FOUND: _terminal(
        "the document names a Connection that is not there",
        "add the Connection or correct the name",
    ),
    Reason.DEPENDENCY_NOT_READY: _waiting(
        "its Connection is not Online", "see `backfuturectl describe connection NAME`"
    ),
    Reason.DECRYPT_FAILED: _terminal(
        "the credentials could not be decrypted",
        "check the age key and the file's recipients with `backfuturectl doctor`",
    ),
    Reason.INTEGRITY_FAILED: _terminal(
        "the file was changed after it was encrypted, without the key",
        "restore it from Git, and edit it with `backfuturectl edit`; an unexplained change is an "
        "attack",
    ),
    Reason.SOURCE_UNREADABLE: _retryable(
        "the file cannot be read completely", "check permissions and encoding; nothing was changed"
    ),
    Reason.SOURCE_UNSETTLED: _retryable(
        "the files keep changing", "wait until the checkout is complete"
    ),
    Reason.PRUNE_BLOCKED: _terminal(
        "too many strategies would be removed at once",
        "if that is meant, run `backfuturectl approve DIGEST`",
    ),
    Reason.EDIT_REFUSED: _terminal(
        "the edit cannot be applied while a deal is open",
        "wait until the deal is closed, or set `onChange: drain`",
    ),
    Reason.STORE_UNAVAILABLE: _retryable(
        "the state database cannot be written", "check disk space and permissions"
    ),
    Reason.PRICES_STALE: _retryable(
        "no fresh price arrived", "wait; only exits are possible until prices return"
    ),
    Reason.POSITION_MISMATCH: _terminal(
        "the exchange's orders or position contradict the journal",
        "look at the account; clear with `backfuturectl resume` when it is understood",
    ),
    Reason.ACCOUNT_CHANGED: _terminal(
        "the connection's key belongs to another exchange account than the open deal, or nothing "
        "shows that it belongs to the same; nothing of the deal is sent or canceled",
        "put a key of the deal's account back; or settle the deal there by hand, then give it up: "
        "set `onDelete: abandon`, remove the strategy, and add it again; where the account is the "
        "same and only could not be proven, `backfuturectl resume`",
    ),
    Reason.INTERNAL_ERROR: _retryable(
        "a defect in backfuturectl", "report it with the log; the bot is restarted by itself"
    ),
}


class ConditionType(enum.StrEnum):
    """Aspects of a resource, as in Kubernetes status conventions."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    DECRYPTED = "Decrypted"
    REACHABLE = "Reachable"
    AUTHENTICATED = "Authenticated"
    PERMISSIONS_VERIFIED = "PermissionsVerified"
    BALANCE_READABLE = "BalanceReadable"
    STATUS_RECEIVABLE = "StatusReceivable"


@dataclass(frozen=True, slots=True)
class Condition:
    """One aspect of a resource.

    Attributes:
        status: True, False, or None for unknown.
        message: One sentence for people; never a secret.
        raw_code: The exchange's own code beside the reason.
        since_ms: When *status* last changed.
    """

    type: ConditionType
    status: bool | None
    reason: Reason
    message: str = ""
    raw_code: str | None = None
    since_ms: int = 0
