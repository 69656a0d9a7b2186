"""What KuCoin's two hosts share: envelope, errors, names, numbers, pages.

A successful body is ``{"code": "200000", "data": ...}``, a refusal ``{"code": ..., "msg": ...}``;
business refusals come with HTTP 200. Every answer carries the rate budget in ``gw-ratelimit-*``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from backfuturectl.emulator.dialect import Call, Pool, Reply, ReplyError, Route, encode_json
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import Listing
from backfuturectl.model.market import Market, MarketKind

SUCCESS: Final = "200000"
BAD_PARAMETER: Final = "400100"
NS_PER_MS: Final = 1_000_000
DAY_MS: Final = 86_400_000
FOREVER_MS: Final = 2**53

_WINDOW_S: Final = 30
_NUMBER_PLACES: Final = Decimal("1e-10")
_PAGE_MAX: Final = 1000
_MAGNITUDE_MAX: Final = 15

# VIP 0, weight per 30 s. Source: docs-new, "Rate limit", and the official SDK for the weights; the
# UTA pool and its weights are ccxt's and UNVERIFIED.
POOLS: Final[Mapping[str, Pool]] = {
    "spot": Pool(limit=4000, window_s=_WINDOW_S),
    "futures": Pool(limit=2000, window_s=_WINDOW_S),
    "management": Pool(limit=2000, window_s=_WINDOW_S),
    "uta": Pool(limit=2000, window_s=_WINDOW_S),
    "public": Pool(limit=2000, window_s=_WINDOW_S, is_per_key=False),
}

RefusalTexts = Mapping[Refusal, tuple[str, str]]


@dataclass(slots=True)
class KucoinDialect:
    """One of KuCoin's hosts; `kucoin_spot` and `kucoin_futures` build it.

    Attributes:
        refusals: Code and text of what the venue refuses; the rest is a parameter error.
    """

    host: str
    routes: tuple[Route, ...]
    refusals: RefusalTexts
    prefix: str = "/api"
    pools: Mapping[str, Pool] = field(default_factory=lambda: POOLS)

    def key_of(self, call: Call) -> str:
        """Return the key the request names."""
        return call.headers.get("KC-API-KEY", "")

    def refused(self, call: Call, error: VenueError) -> Reply:
        """Return the code and text of the venue's refusal."""
        return _refusal(call, *refusal_of(self.refusals, error), 200)

    def malformed(self, call: Call, error: ValueError) -> Reply:  # noqa: ARG002 - the protocol's
        """Return the answer to a body or parameter that cannot be parsed."""
        return _refusal(call, BAD_PARAMETER, "Bad Request", 400)

    def not_found(self, call: Call) -> Reply:
        """Return the gateway's 404."""
        content = {"code": "404", "msg": "Not Found", "retry": False, "success": False}
        return Reply(content, 404, limit_headers(call))

    def rate_limited(self, call: Call, retry_after_s: float) -> Reply:
        """Return 429000 with the time until the window ends."""
        headers = {**limit_headers(call), "gw-ratelimit-reset": str(round(retry_after_s * 1000))}
        return Reply({"code": "429000", "msg": "Too Many Requests"}, 429, headers)

    def maintenance(self, call: Call) -> Reply:
        """Return 503, except that the status endpoints still tell why."""
        if call.path == "/api/v1/status":
            return ok(call, {"status": "close", "msg": "system maintenance"})
        if call.path.endswith("/server/status"):
            trade_type = call.query.get("tradeType", "SPOT")
            content = {"tradeType": trade_type, "serverStatus": "close", "msg": ""}
            return ok(call, content)
        return _refusal(call, "503", "Service Unavailable", 503)

    def server_error(self, call: Call, status: int) -> Reply:
        """Return what the gateway sends when it, or the service behind it, fails."""
        match status:
            case 500:
                return _refusal(call, "500000", "Internal Server Error", status)
            case 503:
                return _refusal(call, "503", "Service Unavailable", status)
            case _:
                page = f"<html><head><title>{status}</title></head><body></body></html>"
                return Reply(page.encode(), status, content_type="text/html")


def ok(call: Call, data: Any) -> Reply:
    """Return a success."""
    content = {"code": SUCCESS, "data": data}
    try:
        # The large answers hold only text and integers, which the C encoder writes far faster.
        body = json.dumps(content, separators=(",", ":")).encode()
    except TypeError:
        body = encode_json(content)
    return Reply(body, headers=limit_headers(call))


def failed(call: Call, code: str, message: str, status: int = 200) -> ReplyError:
    """Return the error to raise for a refusal of the dialect's own."""
    return ReplyError(_refusal(call, code, message, status))


def bad_parameter(call: Call, message: str) -> ReplyError:
    """Return the error to raise for a parameter that is missing or wrong."""
    return failed(call, BAD_PARAMETER, message)


def refusal_of(texts: RefusalTexts, error: VenueError) -> tuple[str, str]:
    """Return code and text of what the venue refused."""
    return texts.get(error.kind, (BAD_PARAMETER, "Parameter Error"))


def limit_headers(call: Call) -> dict[str, str]:
    """Return the rate budget as headers; empty for an endpoint without one."""
    if call.allowance is None:
        return {}
    return {
        "gw-ratelimit-limit": str(call.allowance.limit),
        "gw-ratelimit-remaining": str(max(0, call.allowance.remaining)),
        "gw-ratelimit-reset": str(call.allowance.reset_ms),
    }


def public(
    method: str, path: str, answer: Callable[[Call], Any], *, weight: int, pool: str = "public"
) -> Route:
    """Return a route that needs no key; *answer* gives the data of the success."""

    def handle(call: Call) -> Reply:
        return ok(call, answer(call))

    return Route(method, path, handle, pool=pool, weight=weight)


# Names


def spot_name(market: Market) -> str:
    """Return ``BTC-USDT``."""
    return f"{market.base}-{market.quote}"


def futures_name(market: Market) -> str:
    """Return ``XBTUSDTM``."""
    return f"{futures_currency(market.base)}{market.quote}M"


def futures_currency(currency: str) -> str:
    """Return the futures host's name of a coin: it calls bitcoin XBT."""
    return "XBT" if currency == "BTC" else currency


def spot_listing(call: Call, name: str) -> Listing:
    """Return the market called ``BTC-USDT``; VenueError SYMBOL_UNKNOWN."""
    base, separator, quote = name.partition("-")
    if not separator:
        raise VenueError(Refusal.SYMBOL_UNKNOWN, f"no market {name}")
    return call.venue.listing(f"{base}/{quote}")


def futures_listing(call: Call, name: str) -> Listing:
    """Return the market called ``XBTUSDTM``; VenueError SYMBOL_UNKNOWN."""
    for quote in ("USDT", "USDC"):
        base = name.removesuffix(f"{quote}M")
        if base != name:
            base = "BTC" if base == "XBT" else base
            return call.venue.listing(f"{base}/{quote}:{quote}")
    raise VenueError(Refusal.SYMBOL_UNKNOWN, f"no market {name}")


def listings(call: Call, kind: MarketKind) -> list[Listing]:
    """Return the venue's markets of one kind."""
    return [one for one in call.venue.listings.values() if one.market.kind is kind]


# Numbers


def text(value: Decimal | None) -> str:
    """Return *value* as KuCoin writes amounts in text: plain, no trailing zeros."""
    return "0" if not value else f"{value.normalize():f}"


def number(value: Decimal | None) -> Decimal | int:
    """Return *value* as a JSON number of at most ten places."""
    if not value:
        return 0
    # Adding zero after rounding drops a negative sign that rounding may leave on zero.
    return (value.quantize(_NUMBER_PLACES) if value % 1 else value).normalize() + 0


def lots(amount_base: Decimal, market: Market) -> int:
    """Return *amount_base* in contracts."""
    return int(amount_base / market.contract_size)


# Parameters


def body_of(call: Call) -> dict[str, Any]:
    """Return the JSON object that a POST carries.

    Raises:
        ReplyError: 415000 when it is not declared as JSON, 400100 when it is no object.
    """
    if "json" not in call.headers.get("Content-Type", "").lower():
        raise failed(call, "415000", "Unsupported Media Type", 415)
    body = call.json()
    if not isinstance(body, dict):
        raise bad_parameter(call, "Bad Request")
    return body


def required(call: Call, values: Mapping[str, Any], name: str) -> str:
    """Return a parameter as text; a missing or empty one is a parameter error."""
    value = values.get(name)
    if value is None or value == "":
        raise bad_parameter(call, f"{name} can not be empty")
    return str(value)


def decimal_of(call: Call, values: Mapping[str, Any], name: str) -> Decimal | None:
    """Return a parameter as a positive number; None when it is absent or empty."""
    value = values.get(name)
    if value is None or value == "":
        return None
    try:
        parsed = Decimal(str(value))
    except InvalidOperation as error:
        raise bad_parameter(call, f"{name} is invalid") from error
    if not parsed.is_finite() or parsed <= 0 or abs(parsed.adjusted()) > _MAGNITUDE_MAX:
        raise bad_parameter(call, f"{name} is invalid")
    return parsed


def whole(call: Call, name: str, default: int) -> int:
    """Return a query parameter as an integer."""
    value = call.query.get(name)
    if not value:
        return default
    try:
        return int(value)
    except ValueError as error:
        raise bad_parameter(call, f"{name} is invalid") from error


def page(
    call: Call, items: Sequence[Any], render: Callable[[Any], Any], *, size_default: int = 50
) -> dict[str, Any]:
    """Return one page of *items*, which come newest first."""
    current = max(1, whole(call, "currentPage", 1))
    size = whole(call, "pageSize", size_default)
    if not 1 <= size <= _PAGE_MAX:
        raise bad_parameter(call, f"pageSize should not greater than {_PAGE_MAX}")
    start = (current - 1) * size
    return {
        "currentPage": current,
        "pageSize": size,
        "totalNum": len(items),
        "totalPage": -(-len(items) // size),
        "items": [render(item) for item in items[start : start + size]],
    }


def _refusal(call: Call, code: str, message: str, status: int) -> Reply:
    return Reply({"code": code, "msg": message}, status, limit_headers(call))
