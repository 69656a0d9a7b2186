"""Who may call MEXC: signatures, time windows, keys and their rights, on spot and on futures.

The order in which several faults of one request are reported is not documented; the one here lets a
client learn about the key first, then the signature, then the address, then the right.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from backfuturectl.emulator.dialect import Call, Handler, Reply
from backfuturectl.emulator.mexc_values import DAY_MS
from backfuturectl.emulator.mexc_wire import futures_error, missing_parameter, spot_error
from backfuturectl.matching.values import ApiKey

RECV_WINDOW_MS: Final = 5000
RECV_WINDOW_MAX_MS: Final = 60_000
_AHEAD_MS: Final = 1000  # a timestamp may lead the server's clock by less than this
_FUTURES_WINDOW_S: Final = 10
_FUTURES_WINDOW_MAX_S: Final = 60

_KEY_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SIGNATURE: Final = re.compile(r"(?:^|&)signature=[^&]*")
_MUTATING: Final = frozenset({"POST", "PUT", "DELETE"})
_SHORT_TOKENS: Final = {"_R": "_READ", "_W": "_WRITE"}

_FUTURES_RIGHTS: Final = {
    "CONTRACT_ACCOUNT_READ": (701, "Please enable API Key read access"),
    "CONTRACT_ACCOUNT_WRITE": (702, "Please enable API Key write access"),
    "CONTRACT_DEAL_READ": (703, "Trading information read access is required"),
    "CONTRACT_DEAL_WRITE": (704, "Please enable API Key trading information write access"),
}


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A call whose key was accepted.

    Attributes:
        parameters: Of query and body together.
    """

    call: Call
    key: ApiKey
    parameters: Mapping[str, str]

    @property
    def account(self) -> str:
        """The account the key belongs to."""
        return self.key.account

    def required(self, name: str) -> str:
        """Return a parameter that must be there."""
        text = self.parameters.get(name, "")
        if not text:
            raise missing_parameter(name)
        return text

    def whole(self, name: str, default: int) -> int:
        """Return a parameter that is a whole number."""
        text = self.parameters.get(name, str(default))
        if not text.isdecimal():
            raise missing_parameter(name)
        return int(text)


@dataclass(frozen=True, slots=True)
class KeyedCall:
    """A call whose key was accepted.

    Attributes:
        parameters: The query of a GET, the JSON body of a POST: an object or a list.
    """

    call: Call
    key: ApiKey
    parameters: Any

    @property
    def account(self) -> str:
        """The account the key belongs to."""
        return self.key.account

    def whole(self, name: str, default: int) -> int:
        """Return a parameter that is a whole number."""
        return int(self.parameters.get(name, default))


def signed(handler: Callable[[SignedCall], Reply], token: str | None) -> Handler:
    """Return *handler* behind the check of the key and of the right it needs."""

    def guarded(call: Call) -> Reply:
        parameters = spot_parameters(call)
        key = authorise_spot(call, parameters, token)
        return handler(SignedCall(call, key, parameters))

    return guarded


def keyed(handler: Callable[[KeyedCall], Reply], token: str) -> Handler:
    """Return *handler* behind the check of the key and of the right it needs."""

    def guarded(call: Call) -> Reply:
        key = authorise_futures(call, token)
        parameters = call.json() if call.method == "POST" else call.query
        try:
            return handler(KeyedCall(call, key, parameters))
        except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
            # The body has another shape or lacks a field.
            raise ValueError(str(error)) from error

    return guarded


def spot_signature(secret: str, signed_text: str) -> str:
    """Return the signature of a spot request: 64 lowercase hexadecimal digits."""
    return hmac.new(secret.encode(), signed_text.encode(), hashlib.sha256).hexdigest()


def futures_signature(secret: str, key: str, request_time: str, parameters: str) -> str:
    """Return the signature of a futures request."""
    return spot_signature(secret, f"{key}{request_time}{parameters}")


def spot_parameters(call: Call) -> dict[str, str]:
    """Return the parameters of query and body together; the query wins.

    Raises:
        ValueError: The body is neither a form nor a JSON object.
    """
    return _body_parameters(call.body) | dict(call.query)


def spot_signed_text(call: Call) -> str:
    """Return what the client signed: query then body as sent, nothing between, no signature."""
    return _SIGNATURE.sub("", call.target.partition("?")[2]) + _SIGNATURE.sub(
        "", call.body.decode()
    )


def authorise_spot(call: Call, parameters: Mapping[str, str], token: str | None) -> ApiKey:
    """Return the key of a signed spot request.

    Args:
        call: The request.
        parameters: Of `spot_parameters`.
        token: The right the endpoint needs; None for an endpoint that any valid key may call.

    Raises:
        ReplyError: Refused, with the exchange's own code.
    """
    name = call.headers.get("X-MEXC-APIKEY", "")
    if not name:
        raise spot_error(400, "api key required")
    _check_content_type(call)
    if _KEY_FORM.fullmatch(name) is None:
        raise spot_error(700001, "API-key format invalid")
    signature = parameters.get("signature", "")
    if not signature:
        raise missing_parameter("signature")
    sent_at_ms = _whole(parameters, "timestamp")
    window_ms = _whole(parameters, "recvWindow", RECV_WINDOW_MS)
    if window_ms > RECV_WINDOW_MAX_MS:
        raise spot_error(700005, "recvWindow must less than 60000")
    key = call.venue.key(name)
    if key is None or not key.is_enabled:
        raise spot_error(10072, "Api key info invalid")
    expected = spot_signature(key.secret, spot_signed_text(call))
    # The exchange gives an expired key the same answer as a wrong secret.
    if not key.is_usable(call.at_ms) or not hmac.compare_digest(
        signature.encode(), expected.encode()
    ):
        raise spot_error(700002, "Signature for this request is not valid.")
    if not (sent_at_ms < call.at_ms + _AHEAD_MS and call.at_ms - sent_at_ms <= window_ms):
        raise spot_error(700003, "Timestamp for this request is outside of the recvWindow.")
    if not key.takes_ip(call.caller_ip):
        raise spot_error(700006, f"IP [{call.caller_ip}] not in the ip white list")
    if token is not None and not has_right(key, token):
        raise spot_error(700007, "No permission to access the endpoint.")
    return key


def authorise_futures(call: Call, token: str) -> ApiKey:
    """Return the key of a signed futures request.

    Raises:
        ReplyError: Refused, with the exchange's own code.
    """
    name = call.headers.get("ApiKey", "")
    sent_at = call.headers.get("Request-Time", "")
    signature = call.headers.get("Signature", "")
    key = call.venue.key(name) if name else None
    if key is None or not key.is_enabled or not signature:
        raise futures_error(401, "Not logged in or login has expired", 401)
    if not key.is_usable(call.at_ms):
        raise futures_error(402, "API Key expired, please apply again")
    if not sent_at.isdecimal() or _is_outside_futures_window(call, int(sent_at)):
        raise futures_error(513, "Invalid request, please try again later")
    expected = {futures_signature(key.secret, name, sent_at, text) for text in _futures_texts(call)}
    if signature not in expected:
        raise futures_error(602, "Signature verification failed")
    if not key.takes_ip(call.caller_ip):
        raise futures_error(406, "Accessing IP is not in the whitelist")
    if not any(right.startswith("CONTRACT_") for right in key.permissions):
        # Keys without any futures scope are reported to look as if not logged in. UNVERIFIED
        raise futures_error(401, "Not logged in or login has expired", 401)
    if not has_right(key, token):
        raise futures_error(*_FUTURES_RIGHTS[token])
    return key


def has_right(key: ApiKey, token: str) -> bool:
    """Return whether *key* holds *token*, in either spelling; no right implies another."""
    return any(_long_form(right.strip()) == token for right in key.permissions)


def remaining_days(key: ApiKey, at_ms: int) -> int | None:
    """Return the whole days left; None for a key that does not expire. UNVERIFIED for those."""
    if key.expires_at_ms is None:
        return None
    return max(0, (key.expires_at_ms - at_ms) // DAY_MS)


def _check_content_type(call: Call) -> None:
    if call.method not in _MUTATING:
        return
    content_type = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type != "application/json" and (content_type or call.body):
        raise spot_error(700013, "Invalid content Type.")


def _whole(parameters: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = parameters.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise missing_parameter(name)
    return int(text)


def _body_parameters(body: bytes) -> dict[str, str]:
    text = body.decode()
    if text.lstrip().startswith("{"):
        return {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in json.loads(text).items()
        }
    return dict(parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)))


def _is_outside_futures_window(call: Call, sent_at_ms: int) -> bool:
    text = call.headers.get("Recv-Window", "")
    window_s = int(text) if text.isdecimal() else _FUTURES_WINDOW_S
    return abs(call.at_ms - sent_at_ms) > min(window_s, _FUTURES_WINDOW_MAX_S) * 1000


def _futures_texts(call: Call) -> tuple[str, ...]:
    """Return the parameter strings that a client may have signed.

    A query is signed sorted by name; encoded or not, since clients differ and both are accepted.
    """
    if call.method == "POST":
        return (call.body.decode(),)
    parts = [part for part in call.target.partition("?")[2].split("&") if part]
    query = "&".join(sorted(parts, key=lambda part: part.partition("=")[0]))
    return (query, unquote_plus(query))


def _long_form(token: str) -> str:
    suffix = token[-2:]
    return token[:-2] + _SHORT_TOKENS[suffix] if suffix in _SHORT_TOKENS else token
