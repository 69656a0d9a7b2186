"""KuCoin: rate limits, refusals and key rights, for spot and futures alike.

Sources: KuCoin's universal SDK specification (2025-11), its documentation and error lists. What
they leave open is marked UNVERIFIED.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Generic, TypedDict, TypeVar

from backfuturectl.exchanges.budget import Limit
from backfuturectl.exchanges.ccxt_adapter import Client, Dialect, Route
from backfuturectl.exchanges.payload import (
    PayloadError,
    integer,
    mapping,
    optional_number,
    optional_text,
    text,
    words,
)
from backfuturectl.exchanges.port import KeyRights
from backfuturectl.exchanges.translation import ErrorTable, Failure, Operation, TextRule
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.orders import OrderStatus
from backfuturectl.model.status import Reason

T = TypeVar("T")

# Resource pools of a user without VIP level, per 30 s; public data is counted per address.
LIMITS: Final[dict[str, Limit]] = {
    "public": Limit(2000, 30.0),
    "spot": Limit(4000, 30.0, is_per_account=True),
    "futures": Limit(2000, 30.0, is_per_account=True),
    "management": Limit(2000, 30.0, is_per_account=True),
    "unified": Limit(200, 30.0, is_per_account=True),
}

_WINDOW_MS: Final = 7 * 86_400_000
_WINDOWS_MAX: Final = 26
CLOCK_SLACK_MS: Final = 60_000

_R: Final = Reason

_CODES: Final[dict[str, Reason]] = {
    "400001": _R.INVALID_KEY,
    "400002": _R.CLOCK_SKEW,
    # Deleted keys and keys of a regional site, too.
    "400003": _R.INVALID_KEY,
    "400004": _R.INVALID_PASSPHRASE,
    "400005": _R.INVALID_SIGNATURE,
    "400006": _R.IP_NOT_ALLOWED,
    "400007": _R.NO_READ_PERMISSION,
    "400401": _R.INVALID_KEY,
    "400303": _R.ACCOUNT_RESTRICTED,
    "200009": _R.ACCOUNT_RESTRICTED,
    "126047": _R.ACCOUNT_RESTRICTED,
    "126048": _R.ACCOUNT_RESTRICTED,
    "400500": _R.ACCOUNT_RESTRICTED,
    "40010": _R.ACCOUNT_RESTRICTED,
    "130315": _R.ACCOUNT_RESTRICTED,
    "126021": _R.ACCOUNT_RESTRICTED,
    "126037": _R.ACCOUNT_RESTRICTED,
    "126045": _R.ACCOUNT_RESTRICTED,
    "411100": _R.ACCOUNT_RESTRICTED,
    "400200": _R.ACCOUNT_RESTRICTED,
    "112010": _R.ACCOUNT_RESTRICTED,
    "101030": _R.ACCOUNT_RESTRICTED,
    "429000": _R.RATE_LIMITED,
    "1015": _R.RATE_LIMITED,
    "503": _R.EXCHANGE_UNAVAILABLE,
    "500000": _R.EXCHANGE_UNAVAILABLE,
    "230005": _R.EXCHANGE_UNAVAILABLE,
    "200004": _R.INSUFFICIENT_FUNDS,
    "102421": _R.INSUFFICIENT_FUNDS,
    "126013": _R.INSUFFICIENT_FUNDS,
    "260100": _R.INSUFFICIENT_FUNDS,
    "300003": _R.INSUFFICIENT_FUNDS,
    "330008": _R.INSUFFICIENT_FUNDS,
    "200005": _R.INSUFFICIENT_FUNDS,
    # Below a minimum or off a step; not a lack of funds, whatever its text says.
    "600100": _R.ORDER_REJECTED,
    "600101": _R.ORDER_REJECTED,
    "400100": _R.ORDER_REJECTED,
    "102435": _R.ORDER_REJECTED,
    "102434": _R.ORDER_REJECTED,
    "300011": _R.ORDER_REJECTED,
    "300012": _R.ORDER_REJECTED,
    "102429": _R.ORDER_REJECTED,
    "400370": _R.ORDER_REJECTED,
    "400760": _R.ORDER_REJECTED,
    "126043": _R.ORDER_NOT_FOUND,
    "102436": _R.ORDER_NOT_FOUND,
    "102426": _R.ORDER_DUPLICATE,
    "126044": _R.ORDER_DUPLICATE,
    "126033": _R.ORDER_DUPLICATE,
    "300018": _R.ORDER_DUPLICATE,
    "102427": _R.ORDER_REJECTED,
    "200003": _R.ORDER_REJECTED,
    "300001": _R.ORDER_REJECTED,
    "300004": _R.ORDER_REJECTED,
    "900001": _R.MARKET_UNAVAILABLE,
    "400600": _R.MARKET_UNAVAILABLE,
    "200001": _R.MARKET_UNAVAILABLE,
    "600203": _R.MARKET_UNAVAILABLE,
    "300016": _R.ORDER_REJECTED,
    "330005": _R.ORDER_REJECTED,
    "330012": _R.ORDER_REJECTED,
    "300009": _R.ORDER_REJECTED,
    "300000": _R.ORDER_REJECTED,
    "102411": _R.ORDER_REJECTED,
    # The exchange is still at work on the order.
    "102428": _R.EXCHANGE_ERROR,
}

_TEXTS: Final = (
    TextRule("400100", "order_not_exist", _R.ORDER_NOT_FOUND),
    TextRule("400100", "order not exist", _R.ORDER_NOT_FOUND),
    TextRule("400100", "order does not exist", _R.ORDER_NOT_FOUND),
    TextRule("404", "order_not_exist", _R.ORDER_NOT_FOUND),
    TextRule("404", "order not exist", _R.ORDER_NOT_FOUND),
    TextRule("404", "order does not exist", _R.ORDER_NOT_FOUND),
    TextRule("400100", "clientoidduplicated", _R.ORDER_DUPLICATE),
    TextRule("400100", "symbolnotavailable", _R.MARKET_UNAVAILABLE),
)


def _denied(trading: Reason) -> dict[tuple[Operation, str], Reason]:
    writes = (Operation.TRIAL, Operation.CREATE, Operation.CANCEL, Operation.SETUP)
    return {(operation, "400007"): trading for operation in writes}


SPOT_ERRORS: Final = ErrorTable(
    exchange="KuCoin",
    codes={**_CODES, "200002": _R.MARKET_UNAVAILABLE},
    texts=_TEXTS,
    by_operation=_denied(_R.NO_TRADING_PERMISSION),
)

FUTURES_ERRORS: Final = ErrorTable(
    exchange="KuCoin Futures",
    # On this host 200002 is a burst limit with a block of 10 s.
    codes={**_CODES, "200002": _R.RATE_LIMITED, "100001": _R.ORDER_REJECTED},
    texts=_TEXTS,
    by_operation={
        **_denied(_R.NO_FUTURES_PERMISSION),
        # Balance and positions need the futures right even for reading.
        (Operation.READ, "400007"): _R.NO_FUTURES_PERMISSION,
        # On a query "not found"; with any other request a parameter that is missing or wrong.
        (Operation.READ, "100001"): _R.ORDER_NOT_FOUND,
        (Operation.CANCEL, "100001"): _R.ORDER_NOT_FOUND,
        # "The order cannot be canceled": it ended before; a look-up tells how.
        (Operation.CANCEL, "100004"): _R.ORDER_NOT_FOUND,
    },
)


class Envelope(TypedDict, Generic[T]):
    """What is around a success, for `tickers.lean`."""

    code: str
    data: T


_SUCCESS: Final = "200000"
_TOO_MANY: Final = 429


def interpret(status: int, body: Any) -> Any:
    """Return ``data`` of ``{"code": "200000", "data": ..}``, or the Failure that *body* tells."""
    row = mapping(body)
    code = text(row, "code")
    if code != _SUCCESS:
        return Failure(str(row.get("msg") or row.get("message") or ""), code=code)
    if not 200 <= status < 300:  # noqa: PLR2004 - HTTP's own numbers
        raise PayloadError(f"HTTP status {status} around a success")
    return row.get("data")


def retry_after_s(status: int, headers: Mapping[str, str]) -> float | None:
    """Return the wait until the pool refills (header in milliseconds), or ``Retry-After``.

    The pool's header is on every answer; it is a wish only on a refusal by the rate limit.
    """
    reset_ms = headers.get("gw-ratelimit-reset", "")
    if status == _TOO_MANY and reset_ms.isascii() and reset_ms.isdigit():
        return int(reset_ms) / 1000
    wait_s = headers.get("retry-after", "")
    return float(wait_s) if wait_s.isascii() and wait_s.isdigit() else None


def remaining(headers: Mapping[str, str]) -> int | None:
    """Return what is left of the pool that the request drew from."""
    left = headers.get("gw-ratelimit-remaining", "")
    return int(left) if left.isascii() and left.isdigit() else None


def _signer(settings: dict[str, Any]) -> Any:
    # ccxt costs 0.7 s and 100 MiB to import: only who trades pays.
    from ccxt.async_support.kucoin import kucoin  # noqa: PLC0415

    # Without this, every request would carry a broker's tag.
    return kucoin({**settings, "options": {"partner": {}}})


SPOT_DIALECT: Final = Dialect(
    exchange="kucoin",
    signer=_signer,
    limits=LIMITS,
    errors=SPOT_ERRORS,
    interpret=interpret,
    retry_after_s=retry_after_s,
    remaining=remaining,
)
FUTURES_DIALECT: Final = dataclasses.replace(SPOT_DIALECT, errors=FUTURES_ERRORS)

_RIGHTS: Final = Route(("private",), "GET", "user/api-key", {"management": 20})
_ACCOUNT_MODE: Final = Route(("utaPrivate",), "GET", "account/mode", {"unified": 30})
_MY_IP: Final = Route(("public",), "GET", "my-ip", {"public": 10})

_READ: Final = frozenset({"GENERAL"})
_SPOT: Final = frozenset({"SPOT", "TRADE"})
_FUTURES: Final = frozenset({"FUTURES"})
# `Transfer` is the withdrawal right; the harmless internal transfer is `InnerTransfer`.
_WITHDRAW: Final = frozenset({"TRANSFER", "WITHDRAWAL", "WITHDRAW"})
_SUPERFLUOUS: Final = frozenset({"MARGIN", "EARN", "INNERTRANSFER", "LEADTRADEFUTURES", "UNIFIED"})
_KNOWN: Final = _READ | _SPOT | _FUTURES | _WITHDRAW | _SUPERFLUOUS


async def read_rights(client: Client) -> KeyRights:
    """Return what the key may do.

    Raises:
        PermanentError: ACCOUNT_RESTRICTED for a unified trading account, whose orders go through
            another API than the one spoken here.
    """
    rights = await client.call(_RIGHTS, key_rights)
    if rights.can_withdraw:
        return rights
    if await client.call(_ACCOUNT_MODE, _is_unified):
        raise PermanentError(
            Reason.ACCOUNT_RESTRICTED,
            "the account is a KuCoin unified trading account, which is not supported; use a "
            "classic account or sub-account",
        )
    return rights


def key_rights(value: Any) -> KeyRights:
    """Return the rights that ``GET /api/v1/user/api-key`` tells."""
    row = mapping(value)
    if not isinstance(row.get("permission"), str):
        raise PayloadError("field `permission` is missing")
    tokens = words(row["permission"])
    names = {token.upper() for token in tokens}
    # A right of that name is refused in any spelling; nobody can accept it as unverifiable.
    withdraws = bool(names & _WITHDRAW) or any("WITHDRAW" in name for name in names)
    unknown = tuple(token for token in tokens if token.upper() not in _KNOWN)
    created = optional_number(row, "createdAt")
    addresses = words(optional_text(row, "ipWhitelist"))
    return KeyRights(
        tokens=tokens,
        can_read=bool(names & _READ),
        can_trade_spot=bool(names & _SPOT),
        can_trade_futures=bool(names & _FUTURES),
        can_withdraw=True if withdraws else None if unknown else False,
        unknown=unknown,
        superfluous=tuple(token for token in tokens if token.upper() in _SUPERFLUOUS),
        is_ip_restricted=bool(addresses),
        ip_list=addresses,
        created_at_ms=None if created is None else int(created),
        account_id=optional_text(row, "uid"),
    )


async def read_egress_ip(client: Client) -> str:
    """Return this machine's address as KuCoin sees it."""
    return await client.call(_MY_IP, lambda value: text({"data": value}, "data"))


def told_time_ms(value: Any) -> int:
    """Return the time that ``GET /api/v1/timestamp`` tells."""
    return integer({"data": value}, "data")


def order_status(*, is_active: bool, is_whole: bool) -> OrderStatus:
    """Return the status that KuCoin writes only as flags.

    An inactive order that is not whole was canceled, also where no cancel is on record: a market
    order that ran out of book must not count as filled.
    """
    if is_active:
        return OrderStatus.OPEN
    return OrderStatus.FILLED if is_whole else OrderStatus.CANCELED


def windows(since_ms: int, now_ms: int) -> list[tuple[int, int]]:
    """Return the spans, first and last millisecond, in which to ask for fills since *since_ms*.

    The exchange answers for at most one week at a time; half a year of weeks is asked for, so that
    a caller who wants everything cannot spend the account's rate budget on 1970.
    """
    first_ms = max(since_ms, now_ms - _WINDOWS_MAX * _WINDOW_MS)
    # The exchange's clock may be ahead of ours.
    last_ms = now_ms + CLOCK_SLACK_MS
    return [
        (start_ms, min(start_ms + _WINDOW_MS - 1, last_ms))
        for start_ms in range(first_ms, last_ms + 1, _WINDOW_MS)
    ]


def _is_unified(value: Any) -> bool:
    return text(mapping(value), "selfAccountMode") != "CLASSIC"
