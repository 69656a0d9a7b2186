"""HTTP to one exchange: one session and one rate budget, whichever account sends.

Nothing here prints: URLs and headers carry keys and signatures, so errors name only what went
wrong. Redirects are not followed, since they would carry a key to another host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
import yarl

from backfuturectl.exchanges.budget import Budget, Draw, Priority

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=5, sock_connect=5, sock_read=10)
_BODY_MAX_BYTES: Final = 64 * 1024 * 1024
WAIT_MAX_S: Final = {
    Priority.EXIT: 5.0,
    Priority.ORDER: 5.0,
    Priority.PRICE: 5.0,
    Priority.READ: 30.0,
}
"""How long a request may wait for the rate budget; orders' horizons count on it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, signed and ready."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str | None


@dataclass(frozen=True, slots=True)
class Call:
    """One request to be made.

    Attributes:
        sign: Makes the request when its turn has come: a signature is good for seconds only.
    """

    sign: Callable[[], Request]
    draws: tuple[Draw, ...]
    priority: Priority


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        headers: Names in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class LostAnswerError(Exception):
    """No whole answer came.

    Attributes:
        was_sent: False only when the request provably never left this machine.
    """

    def __init__(self, message: str, *, was_sent: bool) -> None:
        super().__init__(message)
        self.was_sent = was_sent


class Gateway:
    """The way out to one exchange from one address; every user closes it once."""

    def __init__(self, budget: Budget, *, egress: str | None = None) -> None:
        self.budget = budget
        self._egress = egress
        self._session: aiohttp.ClientSession | None = None
        self._users = 1

    async def send(self, call: Call) -> Answer:
        """Send *call* once, when the budget allows it.

        Raises:
            TransientError: RATE_LIMITED by the own budget; nothing was sent.
            LostAnswerError: No connection, a timeout, or a broken answer.
        """
        await self.budget.acquire(call.draws, call.priority, wait_max_s=WAIT_MAX_S[call.priority])
        try:
            return await self._exchange(call.sign())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise LostAnswerError(
                f"no connection ({type(error).__name__})", was_sent=False
            ) from error
        except TimeoutError as error:
            raise LostAnswerError("no answer in time", was_sent=True) from error
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as error:
            raise LostAnswerError(
                f"the answer broke off ({type(error).__name__})", was_sent=True
            ) from error

    def shared(self) -> Gateway:
        """Return this gateway for one more user, who closes it as well."""
        self._users += 1
        return self

    async def close(self) -> None:
        """Close the session after the last user; later sends do not leave this machine."""
        self._users -= 1
        if self._users <= 0 and self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(self, request: Request) -> Answer:
        async with self._open().request(
            request.method,
            # The signature is over these very characters.
            yarl.URL(request.url, encoded=True),
            headers=dict(request.headers),
            data=None if request.body is None else request.body.encode(),
            allow_redirects=False,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                body += chunk
                if len(body) > _BODY_MAX_BYTES:
                    raise LostAnswerError("the answer is too long", was_sent=True)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, headers, bytes(body))

    def _open(self) -> aiohttp.ClientSession:
        if self._users <= 0:
            raise LostAnswerError("the connection to the exchange is closed", was_sent=False)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=256,
                    # Shorter than any exchange's own, so that a create seldom meets a
                    # connection that the other side has just closed.
                    keepalive_timeout=15,
                    local_addr=None if self._egress is None else (self._egress, 0),
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=_TIMEOUT,
                trust_env=False,
                headers={"User-Agent": "backfuturectl", "Accept": "application/json"},
            )
        return self._session
