"""Who calls KuCoin, and may they: the signature, its order of refusals, permission tokens.

The refusals come in the exchange's order: headers, timestamp, key, passphrase, signature, address,
permission; each is HTTP 401. An expired or revoked key is one that does not exist.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl

from backfuturectl.emulator.dialect import Call, Reply, ReplyError, Route
from backfuturectl.emulator.kucoin_wire import failed, ok
from backfuturectl.matching.values import ApiKey

TIMESTAMP_TOLERANCE_MS: Final = 5_000

_UNAUTHORIZED: Final = 401
_HEADERS: Final = ("KC-API-KEY", "KC-API-SIGN", "KC-API-TIMESTAMP", "KC-API-PASSPHRASE")
_HEADERS_MISSING: Final = f"Please check the header of your request for {', '.join(_HEADERS)}"
# Version 1 sent the passphrase in clear; such keys are dead.
_KEY_VERSIONS: Final = frozenset({"2", "3"})


class Permission(enum.StrEnum):
    """Tokens of a key's ``permission``.

    TRANSFER is the right to withdraw, in spite of its name; INNER_TRANSFER moves money between own
    accounts.
    """

    GENERAL = "General"
    SPOT = "Spot"
    FUTURES = "Futures"
    TRANSFER = "Transfer"
    INNER_TRANSFER = "InnerTransfer"


Answer = Callable[[Call, ApiKey], Any]


def private(
    method: str, path: str, permission: Permission, answer: Answer, *, pool: str, weight: int
) -> Route:
    """Return a route for keys that hold *permission*; *answer* gives the data of the success."""

    def handle(call: Call) -> Reply:
        return ok(call, answer(call, authorize(call, permission)))

    return Route(method, path, handle, pool=pool, weight=weight)


def authorize(call: Call, permission: Permission) -> ApiKey:
    """Return the caller's key.

    Raises:
        ReplyError: 400001 to 400007.
    """
    key_name, signature, timestamp, passphrase = (call.headers.get(name, "") for name in _HEADERS)
    if not (key_name and signature and timestamp and passphrase):
        raise _denied(call, "400001", _HEADERS_MISSING)
    if not timestamp.isdecimal() or abs(call.at_ms - int(timestamp)) > TIMESTAMP_TOLERANCE_MS:
        raise _denied(call, "400002", "KC-API-TIMESTAMP Invalid")
    key = call.venue.key(key_name)
    if key is None or not key.is_usable(call.at_ms):
        raise _denied(call, "400003", "The API key does not exist or site mismatch.")
    version = call.headers.get("KC-API-KEY-VERSION", "1")
    if version not in _KEY_VERSIONS or not _is_same(passphrase, sign(key.secret, key.passphrase)):
        raise _denied(call, "400004", "KC-API-PASSPHRASE error")
    if not _is_signed(call, key, timestamp, signature):
        raise _denied(call, "400005", "Signature error")
    if not key.takes_ip(call.caller_ip):
        raise _denied(call, "400006", "The requested ip address is not in the api whitelist")
    if permission not in key.permissions:
        raise _denied(call, "400007", "Access denied, require more permission.")
    return key


def sign(secret: str, message: str) -> str:
    """Return the base64 of HMAC-SHA256, which signs requests and hides the passphrase."""
    digest = hmac.digest(secret.encode(), message.encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()


def _is_signed(call: Call, key: ApiKey, timestamp: str, signature: str) -> bool:
    """Return whether the signature covers the request.

    Clients sign the query as they wrote it and may send it percent-encoded, so both forms count.
    """
    body = call.body.decode("utf-8", "replace")
    query = call.target.partition("?")[2]
    decoded = "&".join(
        f"{name}={value}" for name, value in parse_qsl(query, keep_blank_values=True)
    )
    targets = {call.target, f"{call.path}?{decoded}" if query else call.path}
    return any(
        _is_same(signature, sign(key.secret, f"{timestamp}{call.method}{target}{body}"))
        for target in targets
    )


def _is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _denied(call: Call, code: str, message: str) -> ReplyError:
    return failed(call, code, message, _UNAUTHORIZED)
