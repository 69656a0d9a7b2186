"""Talk to the running daemon over its Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from backfuturectl.model.errors import BackfutureError

TIMEOUT_S: Final = 30.0
_ERROR_FROM: Final = 400


class DaemonError(BackfutureError):
    """The daemon cannot be asked, or refused what was asked.

    Attributes:
        remedy: What the user does next.
        status: HTTP status; None when nobody answered.
        is_absent: Whether no daemon listens there; one that may not be asked is no absent one.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        status: int | None = None,
        is_absent: bool = False,
    ) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.status = status
        self.is_absent = is_absent


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Daemon:
    """The daemon behind one socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def is_there(self) -> bool:
        """Whether somebody answers."""
        try:
            self.get("status")
        except DaemonError:
            return False
        return True

    def get(self, *parts: str, **query: str | int | None) -> dict[str, Any]:
        """Return the JSON below ``/v1``.

        Raises:
            DaemonError: Nobody answers, or the answer is an error.
        """
        path = "/v1/" + "/".join(quote(part, safe="") for part in parts)
        given = {name: value for name, value in query.items() if value is not None}
        return self._send("GET", f"{path}?{urlencode(given)}" if given else path, None)

    def act(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """Ask for an action and return its answer; errors as for `get`."""
        return self._send("POST", f"/v1/actions/{verb}", json.dumps(arguments))

    def _send(self, method: str, path: str, body: str | None) -> dict[str, Any]:
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (FileNotFoundError, ConnectionRefusedError):
            raise DaemonError(
                f"no daemon answers at {self._path}",
                remedy="start it with `backfuturectl run`, or set BACKFUTURECTL_RUNTIME_DIR to its "
                "runtime directory",
                is_absent=True,
            ) from None
        except PermissionError:
            raise DaemonError(
                f"this user may not talk to the daemon at {self._path}",
                remedy="join the socket's group",
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DaemonError(f"the daemon at {self._path} did not answer: {error}") from error
        finally:
            connection.close()
        if response.status >= _ERROR_FROM:
            raise DaemonError(
                str(answer.get("error", "refused")),
                remedy=str(answer.get("help", "")),
                status=response.status,
            )
        found: dict[str, Any] = answer
        return found


def daemon() -> Daemon:
    """Return the daemon that the settings name."""
    from backfuturectl.config.settings import load_settings  # noqa: PLC0415 - slow import

    return Daemon(load_settings().socket)
