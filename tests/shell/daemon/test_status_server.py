"""The status API over real sockets: who may ask, and what the answers are."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backfuturectl.daemon.client import Daemon, DaemonError
from backfuturectl.daemon.status_server import StatusServer
from backfuturectl.model.errors import ConfigurationError, TransientError, UsageError
from backfuturectl.model.secret import Secret
from backfuturectl.model.status import Reason

TOKEN = "0123456789abcdef0123456789abcdef"
BOT = "grid/BTC-USDT"


class Desk:
    """A board with one bot on it, that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.is_broken = False

    async def items(self, kind: str, *, about: str | None, limit: int, since: int) -> list[Any]:
        self.asked.append((kind, about, limit, since))
        if self.is_broken:
            raise TransientError(Reason.STORE_UNAVAILABLE, "the state store does not answer")
        if kind != "bots":
            raise UsageError(f"there is no list of {kind}")
        return [{"name": BOT}]

    async def describe(self, kind: str, name: str) -> dict[str, Any] | None:
        return {"kind": "Bot", "name": name} if (kind, name) == ("bots", BOT) else None

    async def status(self) -> dict[str, Any]:
        return {"bots": 1}

    async def metrics(self) -> str:
        return "backfuturectl_bots 1\n"

    async def act(self, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if verb != "approve":
            raise UsageError(f"{verb} is no action")
        return {"approved": arguments["digest"]}


@asynccontextmanager
async def serving(path: Path, **given: Any) -> AsyncIterator[tuple[Daemon, Desk]]:
    desk = Desk()
    async with StatusServer(desk, socket=path / "run" / "status.sock", **given):
        yield Daemon(path / "run" / "status.sock"), desk


async def refusal(daemon: Daemon, *parts: str) -> DaemonError:
    with pytest.raises(DaemonError) as caught:
        await asyncio.to_thread(daemon.get, *parts)
    return caught.value


# The Unix socket.


async def test_owner_and_group_may_connect_and_nobody_else(tmp_path: Path) -> None:
    async with serving(tmp_path):
        mode = (tmp_path / "run" / "status.sock").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o660
        assert stat.S_IMODE((tmp_path / "run").stat().st_mode) & 0o007 == 0


async def test_status_lists_and_single_things_are_answered(tmp_path: Path) -> None:
    async with serving(tmp_path) as (daemon, desk):
        status = await asyncio.to_thread(daemon.get, "status")
        assert (status["kind"], status["bots"]) == ("Status", 1)
        bots = await asyncio.to_thread(lambda: daemon.get("bots", about="grid", limit=7, since=3))
        assert (bots["kind"], bots["items"]) == ("BotList", [{"name": BOT}])
        assert desk.asked == [("bots", "grid", 7, 3)]
        one = await asyncio.to_thread(daemon.get, "bots", BOT)
        assert one["name"] == BOT, "a name with a slash in it is one name"


async def test_an_action_is_passed_on_with_its_arguments(tmp_path: Path) -> None:
    async with serving(tmp_path) as (daemon, _):
        answer = await asyncio.to_thread(lambda: daemon.act("approve", digest="abc"))
        assert answer == {"approved": "abc"}


async def test_what_does_not_exist_is_404(tmp_path: Path) -> None:
    async with serving(tmp_path) as (daemon, _):
        error = await refusal(daemon, "bots", "nobody")
        assert error.status == 404
        assert "nobody" in str(error)
        assert "get bots" in error.remedy


async def test_what_makes_no_sense_is_400(tmp_path: Path) -> None:
    async with serving(tmp_path) as (daemon, _):
        error = await refusal(daemon, "pears")
        assert (error.status, str(error)) == (400, "there is no list of pears")
        with pytest.raises(DaemonError) as caught:
            await asyncio.to_thread(daemon.act, "explode")
        assert caught.value.status == 400


async def test_what_cannot_be_had_now_is_503(tmp_path: Path) -> None:
    async with serving(tmp_path) as (daemon, desk):
        desk.is_broken = True
        error = await refusal(daemon, "bots")
        assert (error.status, str(error)) == (503, "the state store does not answer")


def post(path: Path, body: bytes) -> tuple[int, dict[str, Any]]:
    """Post *body* as it is, as no well-behaved client would."""
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(path / "run" / "status.sock"))
    try:
        connection.request("POST", "/v1/actions/approve", body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("body", [b"{", b"[1]", b'"text"', b"null", b"\xff\xfe"])
async def test_a_body_that_is_no_json_object_is_400(tmp_path: Path, body: bytes) -> None:
    async with serving(tmp_path):
        status, answer = await asyncio.to_thread(post, tmp_path, body)
        assert status == 400
        assert "JSON object" in answer["error"]


async def test_a_body_that_is_too_big_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as (daemon, _):
        big = b'{"digest": "' + b"x" * 100_000 + b'"}'
        status, answer = await asyncio.to_thread(post, tmp_path, big)
        assert status == 413
        assert "error" in answer
        assert await asyncio.to_thread(lambda: daemon.is_there), "and others are served on"


async def test_a_limit_is_bounded_and_nonsense_is_ignored(tmp_path: Path) -> None:
    async with serving(tmp_path) as (daemon, desk):
        await asyncio.to_thread(lambda: daemon.get("bots", limit=10**9))
        await asyncio.to_thread(lambda: daemon.get("bots", limit="many", since="-1"))
        limits = [limit for _, _, limit, _ in desk.asked]
        assert limits[0] == 10_000
        assert 0 < limits[1] < 10_000


async def test_a_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "run" / "status.sock"))
    async with serving(tmp_path) as (daemon, _):
        assert await asyncio.to_thread(lambda: daemon.is_there)


async def test_the_socket_goes_with_the_daemon(tmp_path: Path) -> None:
    async with serving(tmp_path) as (daemon, _):
        pass
    assert not (tmp_path / "run" / "status.sock").exists()
    error = await refusal(daemon, "status")
    assert error.status is None
    assert "backfuturectl run" in error.remedy


async def test_a_socket_that_cannot_be_opened_is_a_clear_refusal(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    with pytest.raises(ConfigurationError, match="cannot open the status socket"):
        async with serving(deep):
            pass


# The TCP listener.


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, path: str = "/v1/status", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[int]:
    port = free_port()
    async with serving(path, listen=f"127.0.0.1:{port}", token=Secret(TOKEN)):
        yield port


async def test_tcp_is_served_with_the_token_only(tmp_path: Path) -> None:
    async with listening(tmp_path) as port:
        for path in ("/v1/status", "/metrics", "/v1/bots"):
            right = await asyncio.to_thread(ask, port, path, Authorization=f"Bearer {TOKEN}")
            none = await asyncio.to_thread(ask, port, path)
            wrong = await asyncio.to_thread(ask, port, path, Authorization=f"Bearer {TOKEN[:-1]}")
            assert (right, none, wrong) == (200, 401, 401)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
async def test_a_foreign_host_name_is_refused_even_with_the_token(
    tmp_path: Path, host: str
) -> None:
    async with listening(tmp_path) as port:
        given = {"Authorization": f"Bearer {TOKEN}", "Host": host}
        assert await asyncio.to_thread(lambda: ask(port, **given)) == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]:9000", "localhost:9000"])
async def test_the_listeners_own_names_are_served(tmp_path: Path, host: str) -> None:
    async with listening(tmp_path) as port:
        given = {"Authorization": f"Bearer {TOKEN}", "Host": host}
        assert await asyncio.to_thread(lambda: ask(port, **given)) == 200


async def test_a_listener_without_a_token_does_not_open(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="bearer token"):
        async with serving(tmp_path, listen="127.0.0.1:0"):
            pass


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:port", "127.0.0.1:99999"])
async def test_an_address_that_is_none_is_a_clear_refusal(tmp_path: Path, listen: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen"):
        async with serving(tmp_path, listen=listen, token=Secret(TOKEN)):
            pass
