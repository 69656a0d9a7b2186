"""A small world to show and to test the product in: a repository, the emulator, the daemon.

Everything is the user's own way: files on disk, secrets encrypted by sops, the emulator and the
daemon as separate processes that are talked to over HTTP and signals.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import yaml

from backfuturectl.daemon.client import Daemon, DaemonError
from backfuturectl.model.errors import BackfutureError
from backfuturectl.model.secret import Secret
from backfuturectl.secrets.age import make_key
from backfuturectl.secrets.encrypt import encrypt_credentials
from backfuturectl.secrets.sops import Sops

START_TIMEOUT_S: Final = 60.0
_KEPT_VARIABLES: Final = ("PATH", "HOME", "TERM", "PYTHONPATH")  # the last: run this very code
_STEP_S: Final = 0.05
_CLEAR: Final = "unset"
"""Stands in a Connection file until its credentials are encrypted over it."""


class WorldError(BackfutureError):
    """Something did not happen in time; the message says what, the logs say why."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account at a stand-in exchange and the Connection on it.

    Attributes:
        host: Key in the emulator's ready file: ``mexc``, ``kucoin-spot``, ``kucoin-futures``.
        permissions: The exchange's own tokens of the key.
    """

    connection: str
    title: str
    exchange: str
    market: str
    host: str
    api_key: str
    secret: str
    permissions: tuple[str, ...]
    password: str | None = None
    capital: str = "50000 USDT"

    def scenario(self) -> dict[str, Any]:
        """Return the account as the emulator's scenario wants it."""
        wallet = "spot" if self.market == "spot" else "futures"
        return {
            "exchange": self.exchange,
            "name": self.connection,
            wallet: {"USDT": "100000"},
            "keys": [
                {
                    "key": self.api_key,
                    "secret": self.secret,
                    "passphrase": self.password or "",
                    "permissions": list(self.permissions),
                    "ips": ["127.0.0.1"],
                }
            ],
        }

    def document(self, endpoint: str) -> dict[str, Any]:
        """Return the Connection document, its credentials still to be encrypted."""
        names = ("apiKey", "secret", *(("password",) if self.password is not None else ()))
        return {
            "apiVersion": "backfuture.ai/v1alpha1",
            "kind": "Connection",
            "metadata": {"name": self.connection, "title": self.title},
            "spec": {
                "exchange": self.exchange,
                "market": self.market,
                "environment": "emulator",
                "endpoint": endpoint,
                "capital": self.capital,
                "ipWhitelist": {"require": True, "addresses": ["127.0.0.1"]},
                "attest": {"twoFactor": True},
                "credentials": dict.fromkeys(names, _CLEAR),
            },
        }

    def credentials(self) -> dict[str, Secret]:
        """Return what goes into the file encrypted."""
        known = {"apiKey": Secret(self.api_key), "secret": Secret(self.secret)}
        if self.password is not None:
            known["password"] = Secret(self.password)
        return known


@dataclass(slots=True)
class Process:
    """One child of this world.

    Attributes:
        log: Where its output goes.
    """

    name: str
    child: subprocess.Popen[bytes]
    log: Path
    _stream: IO[bytes]

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.child.poll() is None

    def end(self, number: int = signal.SIGTERM, *, timeout_s: float = 30.0) -> int:
        """Send a signal, wait for the end, return the exit status."""
        if self.is_alive:
            self.child.send_signal(number)
        try:
            status = self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            status = self.child.wait()
        self._stream.close()
        return status


@dataclass(slots=True)
class World:
    """One folder with everything in it.

    Attributes:
        hosts: Base URL of each stand-in exchange.
    """

    folder: Path
    accounts: Sequence[Account]
    environment: Mapping[str, str] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    control: str = ""
    emulator: Process | None = None
    daemon: Process | None = None

    @property
    def root(self) -> Path:
        """The configuration root."""
        return self.folder / "configs"

    @property
    def age_key(self) -> Path:
        """The age key file."""
        return self.folder / "age.key"

    @property
    def api(self) -> Daemon:
        """The daemon's status API."""
        return Daemon(self.folder / "run" / "api.sock")

    @property
    def store(self) -> Path:
        """The state database."""
        return self.folder / "state" / "state.db"

    def variables(self) -> dict[str, str]:
        """Return the environment of every process of this world."""
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        return {
            **kept,
            "PYTHONUNBUFFERED": "1",
            "BACKFUTURECTL_ROOT": str(self.root),
            "BACKFUTURECTL_STATE_DIR": str(self.folder / "state"),
            "BACKFUTURECTL_RUNTIME_DIR": str(self.folder / "run"),
            "BACKFUTURECTL_AGE_KEY_FILE": str(self.age_key),
            **self.environment,
        }

    # Processes.

    def start_emulator(self, scenario: Mapping[str, Any], *options: str) -> None:
        """Start the stand-in exchanges and learn where they listen."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "scenario.yaml"
        path.write_text(yaml.safe_dump(dict(scenario), sort_keys=False))
        ready = self.folder / "emulator.json"
        ready.unlink(missing_ok=True)
        arguments = ["emulator", "--scenario", str(path), "--ready-file", str(ready), *options]
        self.emulator = self._start("emulator", arguments)
        self._wait(ready.exists, "the emulator listens", self.emulator)
        endpoints = json.loads(ready.read_text())
        self.hosts, self.control = endpoints["hosts"], endpoints["control"]

    def start_daemon(self) -> None:
        """Start the daemon and wait until it answers."""
        self.daemon = self._start("daemon", ["run"])
        self._wait(lambda: self.api.is_there, "the daemon answers", self.daemon)

    def kill_daemon(self) -> None:
        """End the daemon as a power cut would."""
        assert self.daemon is not None, "there is a daemon to kill"
        self.daemon.end(signal.SIGKILL)

    def stop(self) -> None:
        """End what still runs."""
        for process in (self.daemon, self.emulator):
            if process is not None:
                process.end()

    def _start(self, name: str, arguments: Sequence[str]) -> Process:
        log = self.folder / f"{name}.log"
        stream = log.open("ab")
        child = subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-m", "backfuturectl", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=self.variables(),
            cwd=self.folder,
        )
        return Process(name, child, log, stream)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command of this program in the world and return what it printed."""
        return subprocess.run(  # noqa: S603 - this program itself
            [sys.executable, "-m", "backfuturectl", *arguments],
            capture_output=True,
            text=True,
            env=self.variables(),
            cwd=self.folder,
            check=False,
            timeout=START_TIMEOUT_S,
        )

    # Files.

    def write_connections(self) -> None:
        """Make an age key and write every Connection, encrypted for it."""
        recipient = make_key(self.age_key)
        rules = self.folder / ".sops.yaml"
        rule = {
            "path_regex": r"connections/[^/]+\.yaml$",
            "encrypted_regex": "^(apiKey|secret|password)$",
            "age": recipient,
        }
        rules.write_text(yaml.safe_dump({"creation_rules": [rule]}))
        (self.root / "connections").mkdir(parents=True, exist_ok=True)
        asyncio.run(self._encrypt_all(rules))

    async def _encrypt_all(self, rules: Path) -> None:
        sops = await Sops.open(key_file=self.age_key)
        for account in self.accounts:
            path = self.connection_file(account.connection)
            clear = yaml.safe_dump(account.document(self.hosts[account.host]), sort_keys=False)
            path.write_bytes(
                await encrypt_credentials(
                    sops, clear.encode(), account.credentials(), path=path, rules=rules
                )
            )

    def connection_file(self, name: str) -> Path:
        """Return where a Connection lies."""
        return self.root / "connections" / f"{name}.yaml"

    def strategy_file(self, name: str) -> Path:
        """Return where a Strategy lies."""
        return self.root / "strategies" / f"{name}.yaml"

    def write_strategy(self, name: str, spec: Mapping[str, Any]) -> None:
        """Write one Strategy."""
        path = self.strategy_file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {
            "apiVersion": "backfuture.ai/v1alpha1",
            "kind": "Strategy",
            "metadata": {"name": name},
            "spec": dict(spec),
        }
        path.write_text(yaml.safe_dump(document, sort_keys=False))

    # The stand-in exchanges' control API.

    def tell(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control API and return its answer."""
        request = urllib.request.Request(  # noqa: S310 - loopback, from the ready file
            f"{self.control}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return json.loads(answer.read())

    def set_price(self, exchange: str, symbol: str, price: str) -> None:
        """Move one market."""
        self.tell("PUT", f"/exchanges/{exchange}/prices", {"symbol": symbol, "last": price})

    def ledger(self, account: Account) -> dict[str, Any]:
        """Return what the exchange itself wrote down about one account."""
        answer = self.tell(
            "GET", f"/exchanges/{account.exchange}/ledger?account={account.connection}"
        )
        found: dict[str, Any] = answer[account.connection]
        return found

    # Waiting.

    def rows(self, kind: str, about: str | None = None) -> list[dict[str, Any]]:
        """Return a list of the status API, empty while nobody answers."""
        try:
            items: list[dict[str, Any]] = self.api.get(kind, about=about, limit=10_000)["items"]
        except DaemonError:
            return []
        return items

    def wait(self, condition: Any, what: str, *, timeout_s: float = START_TIMEOUT_S) -> float:
        """Wait until *condition* holds and return how many seconds that took.

        Raises:
            WorldError: It did not in time.
        """
        return self._wait(condition, what, self.daemon, timeout_s=timeout_s)

    def _wait(
        self,
        condition: Any,
        what: str,
        process: Process | None,
        *,
        timeout_s: float = START_TIMEOUT_S,
    ) -> float:
        started_s = time.monotonic()
        while not condition():
            if process is not None and not process.is_alive:
                raise WorldError(
                    f"waited until {what}, but the {process.name} ended; see {process.log}"
                )
            if time.monotonic() - started_s > timeout_s:
                raise WorldError(f"waited {timeout_s:.0f} s in vain until {what}")
            time.sleep(_STEP_S)  # noqa: TID251 - no event loop here
        return time.monotonic() - started_s
