"""The stand-in exchanges over HTTP: one loopback port per host, one for control."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from backfuturectl.emulator.control import control_app
from backfuturectl.emulator.desk import Desk
from backfuturectl.emulator.dialect import Dialect, Exchange, Route
from backfuturectl.emulator.kucoin_futures import kucoin_futures
from backfuturectl.emulator.kucoin_spot import kucoin_spot
from backfuturectl.emulator.mexc_contract import MexcContract
from backfuturectl.emulator.mexc_spot import MexcSpot
from backfuturectl.emulator.scenario import Emulator
from backfuturectl.model.errors import ConfigurationError

BODY_MAX_BYTES: Final = 1 << 20
STOP_S: Final = 1.0
"""How long open requests get to end when the server stops; a held time-out never would."""

HOSTS: Final[dict[str, tuple[str, tuple[Callable[[Exchange], Dialect], ...]]]] = {
    # host: (brand, the dialects that share its port)
    "mexc": ("mexc", (MexcSpot, MexcContract)),
    "kucoin-spot": ("kucoin", (kucoin_spot,)),
    "kucoin-futures": ("kucoin", (kucoin_futures,)),
}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where everything listens.

    Attributes:
        hosts: Base URL by host.
        control: Base URL of the control API.
    """

    hosts: Mapping[str, str]
    control: str


@asynccontextmanager
async def serve(
    emulator: Emulator, *, ports: Mapping[str, int], control_port: int = 0, bind: str = "127.0.0.1"
) -> AsyncIterator[Endpoints]:
    """Run the exchanges, their prices and the control API until the block ends.

    Args:
        emulator: The state they serve.
        ports: By host; 0, or a host left out, takes a free port.
        control_port: 0 takes a free port.
        bind: A loopback address; the emulator has no protection of its own.

    Raises:
        ConfigurationError: The address is not loopback, or a port is taken.
    """
    _require_loopback(bind)
    runners: list[web.AppRunner] = []
    hosts: dict[str, str] = {}
    try:
        for host, (brand, dialects) in HOSTS.items():
            exchange = emulator.exchanges[brand]
            app = _host_app(emulator, exchange, tuple(dialect(exchange) for dialect in dialects))
            hosts[host] = await _listen(app, runners, bind=bind, port=ports.get(host, 0))
        control = await _listen(control_app(emulator), runners, bind=bind, port=control_port)
        async with asyncio.TaskGroup() as tasks:
            feed = tasks.create_task(emulator.feed.run(), name="emulator-prices")
            try:
                yield Endpoints(hosts, control)
            finally:
                feed.cancel()
    except BaseExceptionGroup as group:
        # The caller's own error comes out as it went in, not wrapped by the prices' task group.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise
    finally:
        for runner in reversed(runners):
            await runner.cleanup()


def _require_loopback(bind: str) -> None:
    try:
        is_loopback = ipaddress.ip_address(bind).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ConfigurationError(
            f"the emulator listens on loopback only, not on {bind}",
            remedy="bind to 127.0.0.1 or ::1",
        )


async def _listen(
    app: web.Application, runners: list[web.AppRunner], *, bind: str, port: int
) -> str:
    # Cancellation ends a held time-out as soon as its client has gone.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=STOP_S)
    await runner.setup()
    runners.append(runner)
    try:
        await web.TCPSite(runner, bind, port).start()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {bind} port {port}: {error.strerror}",
            remedy="choose another port, or 0 for a free one",
        ) from error
    address = runner.addresses[0]
    name = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{name}:{address[1]}"


def _host_app(
    emulator: Emulator, exchange: Exchange, dialects: tuple[Dialect, ...]
) -> web.Application:
    app = web.Application(client_max_size=BODY_MAX_BYTES)
    desk = Desk(emulator, exchange)
    for dialect in dialects:
        for route in dialect.routes:
            app.router.add_route(route.method, route.path, desk.answer(dialect, route))
    # The longest prefix comes first; what fits none is answered by the last.
    by_prefix = sorted(dialects, key=lambda dialect: len(dialect.prefix), reverse=True)
    unknown = [
        (dialect.prefix, desk.answer(dialect, Route("*", "(unknown)", dialect.not_found)))
        for dialect in by_prefix
    ]

    async def answer_unknown(request: web.Request) -> web.StreamResponse:
        answers = (answer for prefix, answer in unknown if request.path.startswith(prefix))
        return await next(answers, unknown[-1][1])(request)

    app.router.add_route("*", "/{tail:.*}", answer_unknown)
    return app
