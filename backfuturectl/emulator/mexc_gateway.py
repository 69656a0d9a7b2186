"""What stands in front of MEXC: limits and bans, the firewall's and the gateway's pages.

Source: the exchange's spot API v3, "Limits". How many refusals lead to a ban is UNVERIFIED.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from backfuturectl.emulator.dialect import Call, Reply, ReplyError, Route

_REFUSALS_MAX: Final = 30
_WINDOW_MS: Final = 60_000
_BAN_MS: Final = 120_000  # the shortest the exchange gives; the longest is three days

_GATEWAY_PAGE: Final = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>"
    "\r\n<hr><center>openresty</center>\r\n</body>\r\n</html>\r\n"
)
_GATEWAY_TITLES: Final = {
    403: "Access Denied",
    418: "418 I'm a teapot",
    500: "500 Internal Server Error",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}


@dataclass(slots=True)
class _Record:
    since_ms: int
    refusals: int = 0
    banned_until_ms: int = 0


class Offenders:
    """Who was refused how often and is banned for it, by address."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def refuse(self, call: Call, retry_after_s: float) -> Reply:
        """Return 429 with the wait, or 418 to an address that kept calling."""
        record = self._records.get(call.caller_ip)
        if record is None or call.at_ms - record.since_ms > _WINDOW_MS:
            record = self._records[call.caller_ip] = _Record(call.at_ms)
        record.refusals += 1
        if record.refusals > _REFUSALS_MAX:
            record.banned_until_ms = call.at_ms + _BAN_MS
            return _ban_reply(_BAN_MS)
        return Reply(
            {"code": 429, "msg": "Too Many Requests"},
            429,
            {"Retry-After": str(max(1, math.ceil(retry_after_s)))},
        )

    def keep_out(self, route: Route) -> Route:
        """Return *route* closed to banned addresses."""

        def answer(call: Call) -> Reply:
            record = self._records.get(call.caller_ip)
            if record is not None and call.at_ms < record.banned_until_ms:
                raise ReplyError(_ban_reply(record.banned_until_ms - call.at_ms))
            return route.handler(call)

        return dataclasses.replace(route, handler=answer)


def maintenance_reply() -> Reply:
    """Return what spot and futures answer during maintenance."""
    return Reply(
        {
            "code": 500,
            "message": "Under maintenance, please try again later",
            "announcement": "https://www.mexc.com/support/articles/17827791510263",
        },
        500,
    )


def gateway_reply(status: int, headers: Mapping[str, str] | None = None) -> Reply:
    """Return the page of the firewall (403, 418) or the gateway (5xx): no JSON, no code."""
    title = _GATEWAY_TITLES.get(status, str(status))
    page = _GATEWAY_PAGE.format(title=title).encode()
    return Reply(page, status, headers or {}, content_type="text/html")


def _ban_reply(left_ms: int) -> Reply:
    return gateway_reply(418, {"Retry-After": str(math.ceil(left_ms / 1000))})
