"""What systemd hears, over a real datagram socket."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backfuturectl.daemon.notify import Notifier


@contextmanager
def supervisor(address: str) -> Iterator[socket.socket]:
    """Listen as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
        listener.settimeout(2)
        yield listener


def told(listener: socket.socket) -> list[str]:
    return listener.recv(4096).decode().splitlines()


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "path":
        return str(tmp_path / "notify")
    return f"@backfuturectl-test-{os.getpid()}-{tmp_path.name}"


def test_readiness_comes_with_a_status(address: str) -> None:
    with supervisor(address) as listener:
        Notifier({"NOTIFY_SOCKET": address}).ready("2/2 connections online, 3 bots")
        assert told(listener) == ["READY=1", "STATUS=2/2 connections online, 3 bots"]


def test_a_reload_carries_its_monotonic_time_in_the_same_datagram(address: str) -> None:
    with supervisor(address) as listener:
        before_us = time.monotonic_ns() // 1000
        Notifier({"NOTIFY_SOCKET": address}).reloading()
        first, second = told(listener)
        assert first == "RELOADING=1"
        found = re.fullmatch(r"MONOTONIC_USEC=(\d+)", second)
        assert found is not None
        assert before_us <= int(found[1]) <= time.monotonic_ns() // 1000


def test_watchdog_status_and_end_are_told(address: str) -> None:
    with supervisor(address) as listener:
        notifier = Notifier({"NOTIFY_SOCKET": address})
        notifier.alive()
        notifier.status("well")
        notifier.stopping()
        assert [told(listener) for _ in range(3)] == [
            ["WATCHDOG=1"],
            ["STATUS=well"],
            ["STOPPING=1"],
        ]


@pytest.mark.parametrize(
    "environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}]
)
def test_without_a_supervisor_nothing_happens(environ: dict[str, str]) -> None:
    notifier = Notifier(environ)
    notifier.ready("x")
    notifier.alive()
    notifier.stopping()


def test_a_supervisor_that_does_not_read_never_blocks_the_daemon(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with supervisor(address):
        notifier = Notifier({"NOTIFY_SOCKET": address})
        for _ in range(5_000):  # far more than a socket keeps
            notifier.alive()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
    ids=["none", "ours", "ours by number", "of another process", "nonsense"],
)
def test_the_watchdog_is_fed_twice_per_period_and_only_where_it_is_ours(
    environ: dict[str, str], expected: float | None
) -> None:
    assert Notifier(environ).watchdog_s == expected
