"""Speak to an exchange: ccxt signs and knows the hosts, everything else is ours.

Of ccxt only `sign` is used: no unified method, so no request happens that no route here names, no
number passes through a float, and no market table is copied per account. Sending, pacing, reading
and judging answers is done here, once for all exchanges; what differs is a `Dialect`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from backfuturectl.exchanges.budget import Budget, Limit, Priority
from backfuturectl.exchanges.payload import PayloadError, decode
from backfuturectl.exchanges.retry import Retry
from backfuturectl.exchanges.translation import ErrorTable, Failure, Operation, translate
from backfuturectl.exchanges.transport import (
    WAIT_MAX_S,
    Answer,
    Call,
    Gateway,
    LostAnswerError,
    Request,
)
from backfuturectl.model.errors import OperationError, PermanentError
from backfuturectl.model.secret import Secret
from backfuturectl.model.status import Reason

T = TypeVar("T")

# A signed order request is void 5 s after its time stamp on both exchanges (MEXC's recvWindow,
# KuCoin's fixed window); clocks may differ by 1 s, which the connection test enforces, and an
# exchange that takes orders asynchronously may need a while to show one.
_VALID_S: Final = 5
_SKEW_S: Final = 1
_SHOWN_S: Final = 4

HORIZON_MS: Final = int((WAIT_MAX_S[Priority.ORDER] + _VALID_S + _SKEW_S + _SHOWN_S) * 1000)
"""How long after it was decided an order may still appear.

It may wait for the rate budget before it is signed, so the wait counts as well.
"""

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A stand-in exchange on this machine; replaces every host of the exchange.

    Attributes:
        url: ``http://127.0.0.1:8101``, without a path.
    """

    url: str

    def __post_init__(self) -> None:
        """Refuse any host but this machine, since requests carry keys."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or parts.hostname not in _LOOPBACK:
            raise PermanentError(
                Reason.SCHEMA_INVALID,
                f"endpoint `{self.url}` is not on this machine; expected a URL such as "
                "`http://127.0.0.1:8101`",
            )


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """One API key, as decrypted; never printed.

    Attributes:
        password: The passphrase, where the exchange has one.
    """

    api_key: Secret
    secret: Secret
    password: Secret | None = None


class Signer(Protocol):
    """The one thing asked of ccxt."""

    def sign(
        self, path: str, api: list[str], method: str, params: dict[str, Any]
    ) -> dict[str, Any]:
        """Return ``url``, ``method``, ``headers`` and ``body`` of a request."""


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint.

    Attributes:
        api: ccxt's name for the host and whether the request is signed.
        path: As ccxt spells it, with ``{placeholders}``.
        weights: What it costs, by limit of the dialect.
        operation: What a lost answer would mean.
        is_price: Prices go before other reads, or bots would stand still while others recover.
        decode: Reads a body as JSON, of a large one only what its reader looks at.
    """

    api: tuple[str, ...]
    method: str
    path: str
    weights: Mapping[str, int]
    operation: Operation = Operation.READ
    is_price: bool = False
    decode: Callable[[bytes], Any] = decode

    @property
    def priority(self) -> Priority:
        """Cancels make way for exits and go with them, then orders, prices, everything else."""
        if self.operation is Operation.CANCEL:
            return Priority.EXIT
        if self.operation is Operation.CREATE:
            return Priority.ORDER
        return Priority.PRICE if self.is_price else Priority.READ


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one exchange speaks.

    Attributes:
        exchange: The product's id of it.
        signer: Makes a ccxt instance; imports ccxt, so it is called late.
        limits: The exchange's rate limits.
        errors: What its refusals mean.
        interpret: Takes a decoded body out of its envelope, or returns the Failure it tells.
        retry_after_s: Reads the server's wish from the status and headers of a refusal.
        remaining: Reads from the headers how much of the allowance is left; None if not told.
    """

    exchange: str
    signer: Callable[[dict[str, Any]], Any]
    limits: Mapping[str, Limit]
    errors: ErrorTable
    interpret: Callable[[int, Any], Any]
    retry_after_s: Callable[[int, Mapping[str, str]], float | None]
    remaining: Callable[[Mapping[str, str]], int | None] = field(default=lambda _headers: None)


class Client:
    """Calls routes of one exchange, with one key or with none.

    Attributes:
        endpoint: The stand-in it speaks to; None for the exchange itself.
    """

    def __init__(
        self,
        dialect: Dialect,
        gateway: Gateway,
        rng: Random,
        *,
        endpoint: Endpoint | None = None,
        key: KeyMaterial | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._dialect = dialect
        self._gateway = gateway
        self._rng = rng
        self._retry = Retry(rng)
        self._signer = _signer(dialect, endpoint, key, now_ms)
        self._owner = "" if key is None else key.api_key.digest()
        self._secrets = () if key is None else (key.api_key, key.secret, key.password)

    def with_key(self, key: KeyMaterial, now_ms: Callable[[], int]) -> Client:
        """Return a client of the same exchange and gateway that signs with *key*."""
        return Client(
            self._dialect,
            self._gateway,
            self._rng,
            endpoint=self.endpoint,
            key=key,
            now_ms=now_ms,
        )

    async def call(
        self,
        route: Route,
        parse: Callable[[Any], T],
        params: Mapping[str, Any] | None = None,
        *,
        priority: Priority | None = None,
    ) -> T:
        """Send one request and return what *parse* makes of the answer.

        Reads are repeated when they fail for a passing reason; nothing else is.

        Args:
            route: Where to.
            parse: Reads the answer.
            params: What is asked.
            priority: Who goes first; None for what the route says.

        Raises:
            OperationError: One of its three kinds, by the dialect's table; an answer that *parse*
                cannot read counts as no answer.
        """
        first = route.priority if priority is None else priority
        if route.operation is not Operation.READ:
            return await self._call_once(route, parse, params or {}, first)
        return await self._retry(lambda: self._call_once(route, parse, params or {}, first))

    def beside(self, dialect: Dialect) -> Client:
        """Return a key-less client that speaks *dialect* over the same gateway."""
        return Client(dialect, self._gateway.shared(), self._rng, endpoint=self.endpoint)

    async def close(self) -> None:
        """Close the gateway once its last key-less client is closed."""
        await self._gateway.close()

    async def _call_once(
        self,
        route: Route,
        parse: Callable[[Any], T],
        params: Mapping[str, Any],
        priority: Priority,
    ) -> T:
        call = Call(
            sign=lambda: self._signed(route, params),
            draws=self._gateway.budget.draws(route.weights, self._owner),
            priority=priority,
        )
        try:
            answer = await self._gateway.send(call)
        except LostAnswerError as error:
            lost = Failure(str(error), was_sent=error.was_sent)
            raise self._judged(lost, route, call) from error
        self._learn(answer, call)
        try:
            value = self._dialect.interpret(answer.status, route.decode(answer.body))
            if not isinstance(value, Failure):
                return parse(value)
        except PayloadError as error:
            garbled = Failure(
                str(error),
                status=answer.status,
                retry_after_s=self._dialect.retry_after_s(answer.status, answer.headers),
            )
            raise self._judged(garbled, route, call) from error
        refused = Failure(
            self._redacted(value.text),
            status=answer.status,
            code=value.code,
            retry_after_s=self._dialect.retry_after_s(answer.status, answer.headers),
        )
        raise self._judged(refused, route, call)

    def _signed(self, route: Route, params: Mapping[str, Any]) -> Request:
        signed = self._signer.sign(route.path, list(route.api), route.method, dict(params))
        return Request(
            method=signed["method"],
            url=signed["url"],
            headers=signed["headers"] or {},
            body=signed["body"],
        )

    def _judged(self, failure: Failure, route: Route, call: Call) -> OperationError:
        error = translate(failure, route.operation, self._dialect.errors)
        if error.reason is Reason.RATE_LIMITED and error.retry_after_s is not None:
            self._gateway.budget.pause(call.draws, error.retry_after_s)
        return error

    def _learn(self, answer: Answer, call: Call) -> None:
        remaining = self._dialect.remaining(answer.headers)
        if remaining is not None:
            for draw in call.draws:
                self._gateway.budget.observe(draw, remaining)

    def _redacted(self, words: str) -> str:
        for secret in self._secrets:
            if secret is not None:
                words = words.replace(secret.reveal(), "****")
        return words


def new_gateway(dialect: Dialect, egress: str | None) -> Gateway:
    """Return a way out with the dialect's rate budget."""
    return Gateway(Budget(dialect.limits), egress=egress)


def _signer(
    dialect: Dialect,
    endpoint: Endpoint | None,
    key: KeyMaterial | None,
    now_ms: Callable[[], int] | None,
) -> Signer:
    settings: dict[str, Any] = {"enableRateLimit": False, "verbose": False}
    if key is not None:
        settings |= {"apiKey": key.api_key.reveal(), "secret": key.secret.reveal()}
        if key.password is not None:
            settings["password"] = key.password.reveal()
    if now_ms is not None:
        # ccxt's own name of the clock that requests are stamped with.
        settings["milliseconds"] = now_ms
    exchange = dialect.signer(settings)
    if endpoint is not None:
        exchange.urls["api"] = _moved(exchange.urls["api"], endpoint.url.rstrip("/"))
    signer: Signer = exchange
    return signer


def _moved(urls: Any, base: str) -> Any:
    """Return ccxt's tree of base URLs with every host replaced and every path kept."""
    if isinstance(urls, dict):
        return {name: _moved(url, base) for name, url in urls.items()}
    return base + urlsplit(urls).path
