"""MEXC: rate limits, refusals and key rights.

Sources: MEXC spot v3 documentation (2025-08 and 2026), error table and "Query API key info".
What the documentation leaves open is marked UNVERIFIED.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any, Final

from backfuturectl.exchanges.budget import Limit
from backfuturectl.exchanges.ccxt_adapter import Dialect
from backfuturectl.exchanges.payload import (
    PayloadError,
    mapping,
    optional_number,
    optional_text,
    words,
)
from backfuturectl.exchanges.port import KeyRights
from backfuturectl.exchanges.translation import ErrorTable, Failure, Operation, TextRule
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.status import Reason

# The documentation of 2025 and 2026 disagree; these are the lower of each pair.
LIMITS: Final[dict[str, Limit]] = {
    "ip": Limit(300, 10.0),
    "account": Limit(500, 10.0, is_per_account=True),
    "orders": Limit(5, 1.0, is_per_account=True),
}

_R: Final = Reason

ERRORS: Final = ErrorTable(
    exchange="MEXC",
    codes={
        "10072": _R.INVALID_KEY,
        "700001": _R.INVALID_KEY,
        # Also the answer to an expired key; the two cannot be told apart.
        "700002": _R.INVALID_SIGNATURE,
        "602": _R.INVALID_SIGNATURE,
        "402": _R.KEY_EXPIRED,
        "700004": _R.ORDER_REJECTED,
        "700003": _R.CLOCK_SKEW,
        "700005": _R.CLOCK_SKEW,
        "10073": _R.CLOCK_SKEW,
        "700006": _R.IP_NOT_ALLOWED,
        "10075": _R.IP_NOT_ALLOWED,
        "700007": _R.NO_READ_PERMISSION,
        "700008": _R.ORDER_REJECTED,
        "700013": _R.ORDER_REJECTED,
        "30020": _R.MARKET_UNAVAILABLE,
        "70011": _R.MARKET_UNAVAILABLE,
        "10007": _R.MARKET_UNAVAILABLE,
        "30000": _R.MARKET_UNAVAILABLE,
        "30001": _R.MARKET_UNAVAILABLE,
        "30014": _R.MARKET_UNAVAILABLE,
        "30016": _R.MARKET_UNAVAILABLE,
        "30021": _R.MARKET_UNAVAILABLE,
        "30018": _R.ORDER_REJECTED,
        "30019": _R.ORDER_REJECTED,
        "403": _R.EXCHANGE_UNAVAILABLE,
        "429": _R.RATE_LIMITED,
        "510": _R.RATE_LIMITED,
        "604": _R.MAINTENANCE,
        "801": _R.MAINTENANCE,
        "11444": _R.MAINTENANCE,
        "500": _R.EXCHANGE_UNAVAILABLE,
        "501": _R.EXCHANGE_UNAVAILABLE,
        "503": _R.EXCHANGE_UNAVAILABLE,
        "504": _R.EXCHANGE_UNAVAILABLE,
        "10101": _R.INSUFFICIENT_FUNDS,
        "30004": _R.INSUFFICIENT_FUNDS,
        "30005": _R.INSUFFICIENT_FUNDS,
        "-2013": _R.ORDER_NOT_FOUND,
        "-2011": _R.ORDER_NOT_FOUND,
        "30002": _R.ORDER_REJECTED,
        "30003": _R.ORDER_REJECTED,
        "30029": _R.ORDER_REJECTED,
        "10096": _R.ORDER_REJECTED,
        "30087": _R.ORDER_REJECTED,
        "30010": _R.ORDER_REJECTED,
        # Too many open orders.
        "30069": _R.ORDER_REJECTED,
        # UNVERIFIED: a post-only order that would take.
        "30041": _R.ORDER_REJECTED,
        "200006": _R.ACCOUNT_RESTRICTED,
        "200010": _R.ACCOUNT_RESTRICTED,
        "60005": _R.ACCOUNT_RESTRICTED,
        "730100": _R.ACCOUNT_RESTRICTED,
        "140002": _R.ACCOUNT_RESTRICTED,
    },
    texts=(
        TextRule("400", "api key required", _R.INVALID_KEY),
        TextRule("400", "length of order id", _R.ORDER_REJECTED),
        TextRule("500", "maintenance", _R.MAINTENANCE),
        TextRule("503", "maintenance", _R.MAINTENANCE),
        TextRule("700004", "signature", _R.INVALID_SIGNATURE),
    ),
    by_operation={
        (Operation.TRIAL, "700007"): _R.NO_TRADING_PERMISSION,
        (Operation.CREATE, "700007"): _R.NO_TRADING_PERMISSION,
        (Operation.CANCEL, "700007"): _R.NO_TRADING_PERMISSION,
    },
)

_SUCCESS: Final = frozenset({"0", "200"})
_BAN_STATUS: Final = 418
_BAN_S: Final = 120.0


def interpret(status: int, body: Any) -> Any:
    """Return *body*, or the Failure it tells: ``{"code": .., "msg": ..}`` in an object."""
    if isinstance(body, dict):
        code = optional_text(body, "code")
        if code is not None and code not in _SUCCESS:
            return Failure(optional_text(body, "msg") or str(body.get("message", "")), code=code)
    if not 200 <= status < 300:  # noqa: PLR2004 - HTTP's own numbers
        raise PayloadError(f"HTTP status {status} without a code")
    return body


def retry_after_s(status: int, headers: Mapping[str, str]) -> float | None:
    """Return the seconds of ``Retry-After``; a ban without one lasts two minutes or more."""
    value = headers.get("retry-after", "")
    if value.isascii() and value.isdigit():
        return float(value)
    return _BAN_S if status == _BAN_STATUS else None


def _signer(settings: dict[str, Any]) -> Any:
    # ccxt costs 0.7 s and 100 MiB to import: only who trades pays.
    from ccxt.async_support.mexc import mexc  # noqa: PLC0415

    return mexc(settings)


DIALECT: Final = Dialect(
    exchange="mexc",
    signer=_signer,
    limits=LIMITS,
    errors=ERRORS,
    interpret=interpret,
    retry_after_s=retry_after_s,
)

_TOKEN: Final = re.compile(
    r"(SPOT|CONTRACT|ISOLATED_MARGIN)_(ACCOUNT|DEAL|TRANSFER|WITHDRAW|DEPOSIT)_(READ|WRITE|R|W)"
)
_LONG: Final = {"R": "READ", "W": "WRITE"}
_NEEDED: Final = frozenset(
    {"SPOT_ACCOUNT_READ", "SPOT_DEAL_READ", "SPOT_DEAL_WRITE"}
    | {"CONTRACT_ACCOUNT_WRITE", "CONTRACT_DEAL_WRITE"}
)
_VALID: Final = "VALID"


def spot_rights(value: Any) -> KeyRights:
    """Return the rights that ``GET /api/v3/apiKeyInfo`` tells, seen from the spot market.

    The account's own flags (``canWithdraw`` of ``/account``) say nothing about the key and are
    never asked.

    Raises:
        PermanentError: The key is not valid any more.
    """
    row = mapping(value)
    status = optional_text(row, "status")
    if status is not None and status != _VALID:
        # Only VALID was ever seen, UNVERIFIED: anything else is treated as unusable.
        reason = Reason.KEY_EXPIRED if "EXPIR" in status.upper() else Reason.INVALID_KEY
        raise PermanentError(reason, f"MEXC says that the key's status is {status}")
    if not isinstance(row.get("permissions"), str):
        raise PayloadError("field `permissions` is missing")
    tokens = words(row["permissions"])
    known = {name for token in tokens if (name := _long_name(token)) is not None}
    unknown = tuple(token for token in tokens if _long_name(token) is None)
    withdraws = any(_can_withdraw(token) for token in tokens)
    days = optional_number(row, "remainingValidity")
    addresses = words(optional_text(row, "ipWhiteList"))
    return KeyRights(
        tokens=tokens,
        can_read={"SPOT_ACCOUNT_READ", "SPOT_DEAL_READ"} <= known,
        can_trade_spot="SPOT_DEAL_WRITE" in known,
        can_trade_futures="CONTRACT_DEAL_WRITE" in known,
        can_withdraw=True if withdraws else None if unknown else False,
        unknown=unknown,
        superfluous=tuple(
            token
            for token in tokens
            if (name := _long_name(token)) is not None
            and name.endswith("_WRITE")
            and name not in _NEEDED
            and not _can_withdraw(token)
        ),
        is_ip_restricted=bool(addresses),
        ip_list=addresses,
        created_at_ms=_created_at_ms(optional_text(row, "createTime")),
        # Keys bound to addresses do not expire; what is written then is UNVERIFIED.
        expires_in_days=int(days) if days is not None and days >= 0 else None,
    )


def _long_name(token: str) -> str | None:
    """Return the long spelling of a known token: documentation and answers use both."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    return f"{match[1]}_{match[2]}_{_LONG.get(match[3], match[3])}"


def _can_withdraw(token: str) -> bool:
    """Return whether *token* can move funds out, in any spelling, known or not."""
    name = token.upper()
    return "WITHDRAW" in name and not name.endswith(("_READ", "_R"))


def _created_at_ms(written: str | None) -> int | None:
    try:
        return None if written is None else int(_instant(written).timestamp() * 1000)
    except ValueError as error:
        raise PayloadError("field `createTime` is not a time") from error


def _instant(written: str) -> datetime.datetime:
    instant = datetime.datetime.fromisoformat(written)
    return instant if instant.tzinfo else instant.replace(tzinfo=datetime.UTC)
