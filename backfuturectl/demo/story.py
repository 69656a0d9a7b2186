"""The demo: from nothing to trading bots, an edit, a broken file and a power cut, in a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from backfuturectl.demo.audit import Audit, audit
from backfuturectl.demo.world import Account, World, WorldError

_MEXC_RIGHTS: Final = ("SPOT_ACCOUNT_READ", "SPOT_DEAL_READ", "SPOT_DEAL_WRITE")

# Keys of the stand-in exchanges: made up, and they open nothing else.
ACCOUNTS: Final = (
    Account(
        connection="mexc-spot-main",
        title="MEXC Spot Main",
        exchange="mexc",
        market="spot",
        host="mexc",
        api_key="mx0vDemoSpotMainKey1",
        secret="3d1f8a52c07b4e6f9a1c",  # noqa: S106 - see above
        permissions=_MEXC_RIGHTS,
    ),
    Account(
        connection="kucoin-spot-main",
        title="KuCoin Spot Main",
        exchange="kucoin",
        market="spot",
        host="kucoin-spot",
        api_key="66f1a0c2d5e83b0001a7c401",
        secret="0b7e9d14-52aa-4c3e-8d07-demo00000001",  # noqa: S106 - see above
        password="spot-main-demo",  # noqa: S106 - see above
        permissions=("General", "Spot"),
    ),
    Account(
        connection="kucoin-futures-conservative",
        title="KuCoin Futures Conservative",
        exchange="kucoin",
        market="futures",
        host="kucoin-futures",
        api_key="66f1a0c2d5e83b0001a7c402",
        secret="0b7e9d14-52aa-4c3e-8d07-demo00000002",  # noqa: S106 - see above
        password="futures-demo",  # noqa: S106 - see above
        permissions=("General", "Futures"),
    ),
    Account(
        connection="kucoin-spot-careless",
        title="KuCoin Spot Careless",
        exchange="kucoin",
        market="spot",
        host="kucoin-spot",
        api_key="66f1a0c2d5e83b0001a7c403",
        secret="0b7e9d14-52aa-4c3e-8d07-demo00000003",  # noqa: S106 - see above
        password="careless-demo",  # noqa: S106 - see above
        permissions=("General", "Spot", "Transfer"),
    ),
)

_STRATEGIES: Final[dict[str, dict[str, Any]]] = {
    "btc-eth-balanced": {
        "connection": "mexc-spot-main",
        "pairs": ["BTC/USDT", "ETH/USDT"],
        "risk": "balanced",
        "marginLimit": "3000 USDT",
        "maxActiveDeals": 2,
    },
    "sol-xrp-conservative": {
        "connection": "kucoin-spot-main",
        "pairs": ["SOL/USDT", "XRP/USDT"],
        "risk": "conservative",
        "marginLimit": "3000 USDT",
        "maxActiveDeals": 2,
    },
    "eth-futures-long": {
        "connection": "kucoin-futures-conservative",
        "pairs": ["ETH/USDT"],
        "risk": "conservative",
        "marginLimit": "2000 USDT",
        "maxActiveDeals": 1,
    },
    "ada-careless": {
        "connection": "kucoin-spot-careless",
        "pairs": ["ADA/USDT"],
        "risk": "conservative",
        "marginLimit": "1000 USDT",
        "maxActiveDeals": 1,
    },
}

_QUICK: Final[dict[str, Any]] = {
    "recovery": {"enabled": False},
    # Nobody wants to watch bots rest for the default minute.
    "cooldown": {"afterTakeProfit": "3s"},
}

_MARKETS: Final = (
    # exchange, symbol at the stand-in, start price, digits behind the point
    ("mexc", "BTC/USDT", 68000, 2),
    ("mexc", "ETH/USDT", 3400, 2),
    ("kucoin", "SOL/USDT", 165, 3),
    ("kucoin", "XRP/USDT", 0.62, 4),
    ("kucoin", "ETH/USDT:USDT", 3400, 2),
)
_EDITED: Final = "btc-eth-balanced"
_BROKEN: Final = "sol-xrp-conservative"


class Story:
    """Tells the story in *folder*, printing as it goes."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.world = World(folder, ACCOUNTS)
        self._say = say
        self._step = 0
        self._started_s = time.monotonic()

    def tell(self) -> Audit:
        """Run every step.

        Raises:
            WorldError: A step did not end as it must.
        """
        world = self.world
        self._head("the stand-in exchanges start: MEXC spot, KuCoin spot, KuCoin futures")
        world.start_emulator(
            {"accounts": [account.scenario() for account in ACCOUNTS], "moves": False}
        )
        for host, url in world.hosts.items():
            self._say(f"  {host:15} {url}")

        self._head("a repository: age key, four Connections encrypted with sops, four Strategies")
        world.write_connections()
        for name, spec in _STRATEGIES.items():
            world.write_strategy(name, {**spec, **_QUICK})
        self._show_file(world.connection_file("mexc-spot-main"), lines=24)
        self._command("validate", "configs", "--format", "text", only="documents in")

        self._head("the connection test: three keys pass, one can withdraw and is refused")
        self._command("test", expected=1)

        self._head("the daemon starts; bots open their deals")
        world.start_daemon()
        took_s = world.wait(self._all_active, "five bots hold a deal with resting orders")
        self._say(f"  five deals open after {took_s:.1f} s")
        self._command("get", "connections")
        self._command("get", "bots")

        self._head("the market falls 4.5 %: averaging orders fill")
        self._move(1.0, 0.955)
        world.wait(lambda: self._filled("rung") >= len(_MARKETS), "every bot averaged")
        self._command("get", "bots")

        self._head("it recovers: take profits fill, deals close, new ones open")
        self._move(0.955, 1.01)
        world.wait(lambda: self._closed() >= len(_MARKETS), "every bot took its profit")
        self._command("get", "deals")

        self._head("an edit: takeProfit from the preset's 1.0 % to 0.8 %")
        self._edit()
        self._head("a broken file: the bots go on, the error names file, line and field")
        self._break()
        self._head("a power cut: kill -9 in the middle of trading, and a restart")
        return self._crash()

    # Steps.

    def _edit(self) -> None:
        world = self.world
        world.wait(lambda: self._has_deals(_EDITED), "the new deals are open")
        spec = {**_STRATEGIES[_EDITED], **_QUICK}
        world.write_strategy(_EDITED, {**spec, "takeProfit": {"percent": 0.8}})
        took_s = world.wait(lambda: self._generation(_EDITED) == 2, "the edit is converged")  # noqa: PLR2004
        self._say(f"  converged {took_s * 1000:.0f} ms after the file was written")
        for line in self._log_of(_EDITED):
            if "takeProfit.percent" in line:
                self._say(f"  {line}")

    def _break(self) -> None:
        world = self.world
        path = world.strategy_file(_BROKEN)
        good = path.read_text()
        path.write_text(good.replace("marginLimit: 3000 USDT", "marginLimt: 3000 USDT"))
        world.wait(lambda: self._strategy(_BROKEN)["status"] == "Failed", "the error is seen")
        found = self._strategy(_BROKEN)
        self._say(f"  {found['reason']}: {found['message']}")
        before = len(self.world.rows("bots"))
        self._move(1.01, 1.0)
        alive = [bot for bot in world.rows("bots") if bot["strategy"] == _BROKEN]
        self._say(f"  {len(alive)} of its bots go on, {before} in all")
        if any(bot["task"] != "running" for bot in alive) or not alive:
            raise WorldError("a broken file stopped a bot")
        path.write_text(good)
        world.wait(lambda: self._strategy(_BROKEN)["status"] == "Ready", "the file is mended")
        self._say("  mended, and converged again")

    def _crash(self) -> Audit:
        world = self.world
        self._move(1.0, 0.97)
        world.kill_daemon()
        self._say("  killed; the market goes on without it")
        self._move(0.97, 0.96)
        world.start_daemon()
        world.wait(self._all_active, "the restarted bots have picked up their deals")
        self._move(0.96, 1.012)
        world.wait(lambda: self._closed() >= 2 * len(_MARKETS), "every bot took its second profit")
        found = self._settled_audit()
        self._command("get", "connections")
        self._command("get", "strategies")
        self._command("get", "bots")
        self._command("get", "deals")
        self._say(f"\njournal against the exchanges' own ledgers: {found}")
        for text in (*found.duplicates, *found.orphans, *found.lost, *found.differences):
            self._say(f"  {text}")
        self._say(f"done in {time.monotonic() - self._started_s:.0f} s")
        return found

    def _settled_audit(self) -> Audit:
        """Compare until it agrees, for as long as orders may still be under way."""
        found = self._audit()
        for _ in range(60):
            if found.is_clean:
                break
            time.sleep(0.5)  # noqa: TID251 - no event loop here
            found = self._audit()
        return found

    def _audit(self) -> Audit:
        bots = {bot["name"]: bot["connection"] for bot in self.world.rows("bots")}
        orders = self.world.rows("orders")
        found = Audit()
        for account in ACCOUNTS:
            journal = [row for row in orders if bots.get(row["bot"]) == account.connection]
            found += audit(journal, self.world.ledger(account))
        return found

    # What is there.

    def _all_active(self) -> bool:
        bots = self.world.rows("bots")
        return len(bots) == len(_MARKETS) and all(
            bot["state"] == "ACTIVE" and bot["openOrders"] > 1 for bot in bots
        )

    def _has_deals(self, strategy: str) -> bool:
        bots = [bot for bot in self.world.rows("bots") if bot["strategy"] == strategy]
        return bool(bots) and all(bot["state"] == "ACTIVE" for bot in bots)

    def _filled(self, leg: str) -> int:
        return len(
            {
                row["bot"]
                for row in self.world.rows("orders")
                if row["leg"].startswith(leg) and row["status"] == "filled"
            }
        )

    def _closed(self) -> int:
        return sum(row["status"] == "closed" for row in self.world.rows("deals"))

    def _strategy(self, name: str) -> dict[str, Any]:
        return next(row for row in self.world.rows("strategies") if row["name"] == name)

    def _generation(self, name: str) -> int:
        row = self._strategy(name)
        return int(row["generation"]) if row["isCurrent"] else 0

    def _log_of(self, name: str) -> list[str]:
        log = self.world.folder / "daemon.log"
        return [
            line.split('"message": ', 1)[-1].strip('"}')
            for line in log.read_text().splitlines()
            if name in line
        ]

    def _move(self, start: float, end: float, *, steps: int = 8) -> None:
        """Move every market in small steps, as a walk would."""
        for step in range(1, steps + 1):
            factor = start + (end - start) * step / steps
            for exchange, symbol, price, digits in _MARKETS:
                self.world.set_price(exchange, symbol, f"{price * factor:.{digits}f}")
            time.sleep(0.25)  # noqa: TID251 - no event loop here

    # Telling.

    def _head(self, text: str) -> None:
        self._step += 1
        elapsed_s = time.monotonic() - self._started_s
        self._say(f"\n[{self._step}] {text}  ({elapsed_s:.0f} s)")

    def _command(self, *arguments: str, expected: int = 0, only: str = "") -> None:
        self._say(f"$ backfuturectl {' '.join(arguments)}")
        done = self.world.command(*arguments)
        if done.returncode != expected:
            raise WorldError(
                f"`backfuturectl {' '.join(arguments)}` ended with {done.returncode}, expected "
                f"{expected}: {done.stdout}{done.stderr}"
            )
        for line in done.stdout.rstrip().splitlines():
            if only in line:
                self._say(f"  {line}")

    def _show_file(self, path: Path, *, lines: int) -> None:
        self._say(f"  {path.relative_to(self.world.folder)}:")
        for line in path.read_text().splitlines()[:lines]:
            self._say(f"    {line[:88] + '…' if len(line) > 88 else line}")  # noqa: PLR2004
