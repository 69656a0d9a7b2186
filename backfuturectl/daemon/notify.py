"""systemd's notification protocol in plain datagrams; silent where there is no systemd.

Source: sd_notify(3). MONOTONIC_USEC goes with RELOADING always: systemd 253 and later need it in
the same datagram, 252 ignores it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Tells the supervisor how the process is doing.

    Attributes:
        watchdog_s: How often `alive` must be called, half of what systemd allows; None without a
            watchdog.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s: float | None = None
        is_mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if is_mine and environ.get("WATCHDOG_USEC", "").isdecimal():
            self.watchdog_s = int(environ["WATCHDOG_USEC"]) / 2_000_000

    def ready(self, status: str) -> None:
        """The first full load is done, or a reload ended."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload was asked for; call it at once, then `ready` when it is done."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(f"STATUS={text}")

    def alive(self) -> None:
        """Feed the watchdog; only from a place that proves liveness."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The process is going down in order."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            try:
                sock.sendto(text.encode(), self._address)
            except OSError:
                # A supervisor that does not listen is no reason to stop trading.
                return
