"""The composition root: everything is opened here, in order, and closed in the opposite one."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from backfuturectl import __version__
from backfuturectl.config.settings import Settings
from backfuturectl.daemon import interpreter
from backfuturectl.daemon.board import ControllerBoard
from backfuturectl.daemon.notify import Notifier
from backfuturectl.daemon.status_server import StatusServer
from backfuturectl.daemon.watch import TreeWatch
from backfuturectl.engine.clock import WallClock
from backfuturectl.model.errors import BackfutureError, ConfigurationError
from backfuturectl.model.records import LeaseRecord
from backfuturectl.model.secret import Secret
from backfuturectl.reconcile.controller import Controller
from backfuturectl.reconcile.hub import Hub, RealExchanges
from backfuturectl.reconcile.source import Source
from backfuturectl.secrets.hardening import harden_process
from backfuturectl.secrets.sops import Sops
from backfuturectl.store.database import Store
from backfuturectl.store.lock import hold_directory

_LOG = logging.getLogger(__name__)

LEASE_BEAT_S: Final = 10.0
HEARTBEAT_S: Final = 5.0
LIVENESS_MAX_S: Final = 45.0
"""A watcher or a queue silent for this long means that the process only looks alive."""


class _Stop(Exception):  # noqa: N818 - it ends the root task group and is no error
    """SIGTERM or SIGINT arrived."""


async def run(settings: Settings, environ: Mapping[str, str]) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: It cannot start: no sops, no state directory, another daemon runs.
    """
    harden_process()
    notifier = Notifier(environ)
    clock = WallClock()
    _make_directory(settings.state_dir)
    async with AsyncExitStack() as stack:
        stack.enter_context(hold_directory(settings.state_dir))
        sops = await Sops.open(key_file=settings.age_key_file, program=settings.sops)
        store = await stack.enter_async_context(
            Store.open(settings.database_url, seed=secrets.token_bytes(16))
        )
        lease = LeaseRecord(os.uname().nodename, os.getpid(), clock.now_ms())
        await store.take_lease(lease)
        stack.push_async_callback(store.drop_lease, lease)
        try:
            async with asyncio.TaskGroup() as tasks:
                rng = random.Random(secrets.randbits(64))  # noqa: S311 - spreads retries, no more
                hub = Hub(
                    tasks,
                    clock,
                    rng,
                    opener=RealExchanges(clock, rng),
                    price_interval_s=settings.price_interval_s,
                )
                stack.push_async_callback(hub.close)
                controller = Controller(
                    source=Source(settings.root, sops, clock, settle_s=settings.settle_s),
                    store=store,
                    clock=clock,
                    rng=rng,
                    tasks=tasks,
                    hub=hub,
                    scan_interval_s=settings.scan_interval_s,
                    test_interval_s=settings.test_interval_s,
                    prune_grace_s=settings.prune_grace_s,
                )
                stack.push_async_callback(controller.lines.close)
                _on_signals(tasks, controller, notifier)
                await controller.restore()
                board = ControllerBoard(
                    controller, store, clock, root=str(settings.root.absolute())
                )
                server = StatusServer(
                    board,
                    socket=settings.socket,
                    listen=settings.listen,
                    token=_token(settings.token_file),
                )
                await stack.enter_async_context(server)
                watch = TreeWatch(settings.root, controller.look_soon)
                tasks.create_task(watch.run(), name="watch")
                tasks.create_task(_serve(controller, notifier), name="controller")
                tasks.create_task(_beat(controller, watch, notifier), name="heartbeat")
                tasks.create_task(interpreter.tend(lambda: store.is_recording), name="interpreter")
                tasks.create_task(_keep_lease(store, lease, clock), name="lease")
                _LOG.info("backfuturectl %s started, reading %s", __version__, settings.root)
        except* _Stop:
            _LOG.info("stopped; resting orders stay on the exchange")


async def _serve(controller: Controller, notifier: Notifier) -> None:
    loop = asyncio.get_running_loop()

    async def reload() -> None:
        notifier.reloading()
        await controller.files.read_now()
        notifier.ready(_summary(controller))

    reloads = _Serial(reload)
    loop.add_signal_handler(signal.SIGHUP, reloads.ask)
    async with asyncio.TaskGroup() as group:
        group.create_task(controller.run(), name="queue")
        group.create_task(reloads.run(), name="reloads")
        await controller.files.read_now()
        notifier.ready(_summary(controller))
        _LOG.info("ready: %s", _summary(controller))


class _Serial:
    """Runs a coroutine once per request, never twice at once; requests meanwhile count as one."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Ask for a run."""
        self._asked.set()

    async def run(self) -> None:
        """Serve requests until canceled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self._work()


def _on_signals(tasks: asyncio.TaskGroup, controller: Controller, notifier: Notifier) -> None:
    """End the root task group on SIGTERM and SIGINT, once no bot has a call in flight."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def wait() -> None:
        await stop.wait()
        notifier.stopping()
        _LOG.info("stopping")
        await controller.strategies.stop_all()
        raise _Stop

    tasks.create_task(wait(), name="signals")


async def _beat(controller: Controller, watch: TreeWatch, notifier: Notifier) -> None:
    """Feed the watchdog while watcher and queue prove that they turn."""
    loop = asyncio.get_running_loop()
    interval_s = min(notifier.watchdog_s or HEARTBEAT_S, HEARTBEAT_S)
    started_s = loop.time()  # neither has turned yet, and that is no sign of trouble
    while True:
        slowest_s = min(watch.last_beat_s, controller.queue.last_turn_s)
        if loop.time() - max(slowest_s, started_s) < LIVENESS_MAX_S:
            notifier.alive()
            notifier.status(_summary(controller))
        else:
            _LOG.error("the watcher or the queue does not turn; the watchdog is not fed")
        await asyncio.sleep(interval_s)


async def _keep_lease(store: Store, lease: LeaseRecord, clock: WallClock) -> None:
    while True:
        await asyncio.sleep(LEASE_BEAT_S)
        try:
            await store.renew_lease(LeaseRecord(lease.host, lease.pid, clock.now_ms()))
        except ConfigurationError:
            raise  # another daemon writes to this store: two must never trade
        except BackfutureError as error:
            _LOG.warning("lease: %s", error)


def _summary(controller: Controller) -> str:
    if controller.files.source_trouble and not controller.registry.entries:
        return f"files unreadable, and nothing runs yet: {controller.files.source_trouble}"
    if controller.files.source_trouble:
        return f"files unreadable, last good state runs: {controller.files.source_trouble}"
    connections = list(controller.registry.of_kind("Connection"))
    online = sum(controller.lines.line(entry.name).is_online for entry in connections)
    bots = len(controller.strategies.seats)
    return f"{online}/{len(connections)} connections online, {bots} bots"


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot create the state directory {path}: {error.strerror}",
            remedy="set BACKFUTURECTL_STATE_DIR to a directory this user may write",
        ) from error


def _token(path: Path | None) -> Secret | None:
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"cannot read the token file {path}", remedy="check the path and its permissions"
        ) from error
    if len(text) < 16:  # noqa: PLR2004 - shorter is guessed
        raise ConfigurationError(
            f"the token in {path} is too short", remedy="use at least 16 random characters"
        )
    return Secret(text)
