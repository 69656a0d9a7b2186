"""The status API: HTTP over a Unix socket, the one door for every viewer.

Access is the socket's: mode 0660, owner and group. A TCP listener exists only when asked for, wants
a bearer token, and checks the Host header, so that no web page can reach it through a browser.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from aiohttp import web

from backfuturectl.model.errors import BackfutureError, ConfigurationError, UsageError
from backfuturectl.model.resources import API_VERSION
from backfuturectl.model.secret import Secret

_LOG = logging.getLogger(__name__)

SOCKET_MODE: Final = 0o660
_BODY_MAX: Final = 64 * 1024
_LIMIT_DEFAULT: Final = 200
_LIMIT_MAX: Final = 10_000

Rows = list[dict[str, Any]]


class Board(Protocol):
    """What the server shows and passes on; the controller answers."""

    async def items(self, kind: str, *, about: str | None, limit: int, since: int) -> Rows:
        """Return the rows of one list.

        Raises:
            UsageError: No such list.
        """

    async def describe(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return everything about one thing, or None when there is no such thing."""

    async def status(self) -> dict[str, Any]:
        """Return the daemon's own state."""

    async def metrics(self) -> str:
        """Return the figures in Prometheus' text format."""

    async def act(self, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Carry out an operator's request.

        Raises:
            UsageError: The request makes no sense.
        """


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StatusServer:
    """Serves a `Board` while it is open."""

    def __init__(
        self,
        board: Board,
        *,
        socket: Path,
        listen: str | None = None,
        token: Secret | None = None,
    ) -> None:
        self._board = board
        self._socket = socket
        self._listen = listen
        self._token = token
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            runner = self._runner(middlewares=[_errors])
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await self._open_socket(runner)
            if self._listen is not None:
                tcp = self._runner(middlewares=[_errors, self._authenticate])
                stack.push_async_callback(tcp.cleanup)
                await tcp.setup()
                await self._open_tcp(tcp, self._listen)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()
        self._socket.unlink(missing_ok=True)

    def _runner(self, *, middlewares: list[Any]) -> web.AppRunner:
        app = web.Application(middlewares=middlewares, client_max_size=_BODY_MAX)
        app.add_routes(
            [
                web.get("/v1/status", self._get_status),
                web.get("/metrics", self._get_metrics),
                web.get("/v1/{kind}", self._get_list),
                web.get("/v1/{kind}/{name:.+}", self._get_one),
                web.post("/v1/actions/{verb}", self._post_action),
            ]
        )
        return web.AppRunner(app, access_log=None, handle_signals=False)

    async def _open_socket(self, runner: web.AppRunner) -> None:
        try:
            self._socket.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            # The state lock says that no other daemon lives, so a socket here is a dead one's.
            self._socket.unlink(missing_ok=True)
            await web.UnixSite(runner, str(self._socket)).start()
            # Through the umask of a service the group could not connect.
            os.chmod(self._socket, SOCKET_MODE)
        except OSError as error:
            raise ConfigurationError(
                f"cannot open the status socket {self._socket}: {error.strerror or error}",
                remedy="set BACKFUTURECTL_RUNTIME_DIR to a writable directory with a short path",
            ) from error

    async def _open_tcp(self, runner: web.AppRunner, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        if self._token is None:
            raise ConfigurationError(
                "a TCP listener needs a bearer token",
                remedy="set BACKFUTURECTL_TOKEN_FILE, or unset BACKFUTURECTL_LISTEN",
            )
        try:
            await web.TCPSite(runner, host.strip("[]") or "127.0.0.1", int(port)).start()
        except (OSError, ValueError, OverflowError) as error:  # the last for a port beyond 65535
            raise ConfigurationError(
                f"cannot listen on {listen}: {error}", remedy="give HOST:PORT that is free"
            ) from error

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _is_own_host(request.host):
            return _problem(403, "this host name is not served", "use the listener's address")
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        assert self._token is not None, "the listener opens only with a token"
        if not hmac.compare_digest(given.encode(), self._token.reveal().encode()):
            return _problem(401, "the bearer token is missing or wrong", "send the token file's")
        return await handler(request)

    async def _get_status(self, _: web.Request) -> web.Response:
        return _json({"apiVersion": API_VERSION, "kind": "Status", **(await self._board.status())})

    async def _get_metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=await self._board.metrics(), content_type="text/plain")

    async def _get_list(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        items = await self._board.items(
            kind,
            about=request.query.get("about"),
            limit=min(_number(request, "limit", _LIMIT_DEFAULT), _LIMIT_MAX),
            since=_number(request, "since", 0),
        )
        name = kind.removesuffix("s").replace("strategie", "strategy").capitalize()
        return _json({"apiVersion": API_VERSION, "kind": f"{name}List", "items": items})

    async def _get_one(self, request: web.Request) -> web.Response:
        kind, name = request.match_info["kind"], request.match_info["name"]
        found = await self._board.describe(kind, name)
        if found is None:
            return _problem(404, f"no {kind} is named {name}", f"see `backfuturectl get {kind}`")
        return _json({"apiVersion": API_VERSION, **found})

    async def _post_action(self, request: web.Request) -> web.Response:
        try:
            arguments = json.loads(await request.text() or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            return _problem(400, "the body is not a JSON object", "")
        return _json(await self._board.act(request.match_info["verb"], arguments))


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except UsageError as error:
        return _problem(400, str(error), "")
    except BackfutureError as error:
        return _problem(503, str(error), "")
    except web.HTTPError as error:  # the server's own: no such path, a body that is too big
        return _problem(error.status, error.reason, "")


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    return int(text) if text.isdecimal() else default


def _is_own_host(host: str) -> bool:
    name = host.rsplit(":", 1)[0].strip("[]")
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _json(body: dict[str, Any]) -> web.Response:
    return web.json_response(body)


def _problem(status: int, message: str, remedy: str) -> web.Response:
    return web.json_response({"error": message, "help": remedy}, status=status)
