"""What a dialect is: a table of routes whose handlers turn one call into one reply.

Handlers are plain functions without await: all state is the `Venue` in memory. The server does the
rest: reading the request, the caller's address, rate limits, faults, the request ledger.

A dialect is a class built with the `Exchange` it speaks for::

    class KucoinSpot:
        host = "kucoin-spot"
        prefix = "/api"

        def __init__(self, exchange: Exchange) -> None:
            self._exchange = exchange
            self.pools = {"spot": Pool(limit=4000, window_s=30)}
            self.routes = (Route("POST", "/api/v1/hf/orders", self._create, pool="spot"), ...)

It is named in `server.HOSTS`. Handlers raise VenueError freely; the desk hands it to `refused`.
An error that is the dialect's own (signature, rights, unknown symbol text) is a `ReplyError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from backfuturectl.engine.clock import Clock
from backfuturectl.matching.refusals import VenueError
from backfuturectl.matching.values import VenueFill, VenueOrder
from backfuturectl.matching.venue import Venue


@dataclass(slots=True)
class Exchange:
    """One exchange brand as the server runs it; its hosts share it.

    Attributes:
        clock_skew_ms: Added to the machine's time: a server whose clock is off.
        is_in_maintenance: Every call is answered by the dialect's `maintenance`.
        is_cancel_only: New orders are refused; for the dialects' status endpoints.
        enforces_limits: Whether the pools of the dialects refuse callers.
        caller_ips: Addresses the server pretends callers have, by API key; "" for everyone else.
    """

    brand: str
    venue: Venue
    clock: Clock
    clock_skew_ms: int = 0
    is_in_maintenance: bool = False
    is_cancel_only: bool = False
    enforces_limits: bool = False
    caller_ips: dict[str, str] = field(default_factory=dict)

    def now_ms(self) -> int:
        """Return the exchange's own time."""
        return self.clock.now_ms() + self.clock_skew_ms

    def caller_ip(self, key: str, socket_ip: str) -> str:
        """Return the address that a caller with *key* is taken to have."""
        return self.caller_ips.get(key, self.caller_ips.get("", socket_ip))


@dataclass(frozen=True, slots=True)
class Pool:
    """A rate budget.

    Attributes:
        limit: Weight per window.
        is_per_key: Counted per API key; otherwise per caller address.
    """

    limit: int
    window_s: float
    is_per_key: bool = True


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a pool for this caller, this call included."""

    limit: int
    remaining: int
    reset_ms: int


@dataclass(slots=True)
class Call:
    """One request as a handler sees it.

    Attributes:
        path: Decoded, without the query.
        target: Path and query exactly as sent: what signatures cover.
        path_params: Parts of the path named in the route.
        query: Decoded; the first value of a repeated name.
        headers: Case-insensitive.
        caller_ip: Of the socket, unless the control API declared another.
        at_ms: The exchange's time, skew included; pass it to the venue.
        allowance: Of the route's pool; None for a route without one.
        hidden_orders_ms: Orders younger than this are not to be shown by reads (a fault).
        hidden_fills_ms: Fills younger than this are not to be shown by reads (a fault).
    """

    exchange: Exchange
    host: str
    method: str
    path: str
    target: str
    path_params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    caller_ip: str
    at_ms: int
    allowance: Allowance | None = None
    hidden_orders_ms: int = 0
    hidden_fills_ms: int = 0

    @property
    def venue(self) -> Venue:
        """The exchange's state."""
        return self.exchange.venue

    def json(self) -> Any:
        """Return the body parsed, numbers with a fraction as Decimal; {} when it is empty.

        Raises:
            ValueError: The body is no JSON.
        """
        return json.loads(self.body, parse_float=Decimal) if self.body else {}

    def shows_order(self, order: VenueOrder) -> bool:
        """Return whether reads may show *order* yet; otherwise answer as if it did not exist."""
        return self._shows(order.created_at_ms, self.hidden_orders_ms)

    def shows_fill(self, fill: VenueFill) -> bool:
        """Return whether reads may show *fill* yet; otherwise leave it out."""
        return self._shows(fill.at_ms, self.hidden_fills_ms)

    def _shows(self, made_at_ms: int, hidden_ms: int) -> bool:
        # Without the fault all is shown, also what was made while the clock was ahead.
        return not hidden_ms or self.at_ms - made_at_ms >= hidden_ms


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        content: Bytes go out as they are (build large answers once); anything else as JSON, with
            Decimal written as a JSON number, digit for digit.
    """

    content: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def encoded(self) -> bytes:
        """Return the body."""
        return self.content if isinstance(self.content, bytes) else encode_json(self.content)


class ReplyError(Exception):
    """Ends a handler with a reply that is an error of the dialect's own."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


Handler = Callable[[Call], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint.

    Attributes:
        path: As aiohttp writes it: ``/api/v1/orders/{order_id}``.
        pool: Name in the dialect's `pools`; "" for an endpoint without limit.
    """

    method: str
    path: str
    handler: Handler
    pool: str = ""
    weight: int = 1


class Dialect(Protocol):
    """One HTTP API of an exchange; plain attributes serve for its properties."""

    @property
    def host(self) -> str:
        """The stand-in's host (a port of its own); several dialects may share one."""

    @property
    def prefix(self) -> str:
        """Start of the paths whose unknown routes this dialect answers; longest wins."""

    @property
    def routes(self) -> tuple[Route, ...]:
        """The endpoints."""

    @property
    def pools(self) -> Mapping[str, Pool]:
        """The rate budgets that routes name."""

    def key_of(self, call: Call) -> str:
        """Return the API key that the request names, unverified; "" for none."""

    def refused(self, call: Call, error: VenueError) -> Reply:
        """Return the exchange's answer to what the venue refused."""

    def malformed(self, call: Call, error: ValueError) -> Reply:
        """Return the answer to a request that cannot be parsed (ValueError from a handler)."""

    def not_found(self, call: Call) -> Reply:
        """Return the answer to a path or method that does not exist."""

    def rate_limited(self, call: Call, retry_after_s: float) -> Reply:
        """Return the exchange's answer to too many requests, with its headers."""

    def maintenance(self, call: Call) -> Reply:
        """Return the exchange's answer during maintenance."""

    def server_error(self, call: Call, status: int) -> Reply:
        """Return what the exchange's gateway sends with a 5xx *status*."""


def encode_json(value: Any) -> bytes:
    """Return *value* as compact JSON, Decimal as a number without loss."""
    try:
        # Most answers hold text and whole numbers only, which the C encoder writes far faster.
        return json.dumps(value, separators=(",", ":")).encode()
    except TypeError:
        parts: list[str] = []
        _write(value, parts.append)
        return "".join(parts).encode()


def _write(value: Any, put: Callable[[str], object]) -> None:
    match value:
        case str():
            put(json.dumps(value))
        case None | bool() | int():
            put(json.dumps(value))
        case Decimal():
            put(f"{value:f}")
        case Mapping():
            separator = "{"
            for name, item in value.items():
                put(f"{separator}{json.dumps(name)}:")
                _write(item, put)
                separator = ","
            put("}" if separator == "," else "{}")
        case list() | tuple():
            separator = "["
            for item in value:
                put(separator)
                _write(item, put)
                separator = ","
            put("]" if separator == "," else "[]")
        case _:
            raise TypeError(f"no JSON for {type(value).__name__}")
