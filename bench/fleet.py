"""A daemon with many bots on the stand-in exchange, everything as separate real processes.

One Strategy document per bot, one pair per bot, spread over up to 50 connections at KuCoin spot.
Every bot holds an open deal with resting orders, unless the fleet is paused.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from backfuturectl.demo.world import Account, World

START_S: Final = 300.0
PRICE: Final = 10
"""Of every pair at the start."""

_CONNECTIONS_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """How many bots, and whether they trade.

    Attributes:
        paused: All bots are paused: they run, are priced and never order.
    """

    bots: int
    paused: bool = False

    @property
    def label(self) -> str:
        """What the figures call it."""
        return f"{self.bots:,} {'paused bots' if self.paused else 'bots'}"


@dataclass(slots=True)
class Fleet:
    """A running fleet.

    Attributes:
        start_s: From the daemon's start until every bot was where it had to be.
    """

    plan: FleetPlan
    world: World
    start_s: float = 0.0

    @property
    def pid(self) -> int:
        """The daemon's process."""
        assert self.world.daemon is not None, "a fleet has its daemon"
        return self.world.daemon.child.pid

    def write(self, number: int, **changes: Any) -> None:
        """Write the Strategy of one bot."""
        spec: dict[str, Any] = {
            "connection": connection(number),
            "pairs": [pair(number)],
            "risk": "conservative",
            "marginLimit": "200 USDT",
            "maxActiveDeals": 1,
            "cooldown": {"afterTakeProfit": "1s"},
        }
        if self.plan.paused:
            spec["state"] = "paused"
        self.world.write_strategy(strategy(number), {**spec, **changes})

    def is_settled(self) -> bool:
        """Whether every document is applied and every bot is where it has to be."""
        status = self.world.api.get("status")
        wanted = self.plan.bots
        if status["strategies"]["converged"] < wanted or status["bots"]["running"] < wanted:
            return False
        bots = self.world.rows("bots")
        ready = sum(bot["state"] == "ACTIVE" and bot["openOrders"] > 1 for bot in bots)
        are_open = all(bot["gate"] == "open" for bot in bots)
        return are_open and (self.plan.paused or ready == wanted)


def strategy(number: int) -> str:
    """Return the name of a bot's Strategy."""
    return f"s{number:05d}"


def pair(number: int) -> str:
    """Return the pair of a bot."""
    return f"L{number + 1:04d}/USDT"


def connection(number: int) -> str:
    """Return the connection of a bot."""
    return f"kucoin-spot-{number % _CONNECTIONS_MAX:02d}"


@contextmanager
def running(plan: FleetPlan) -> Iterator[Fleet]:
    """Start a fleet, wait until it has settled, and end it with the block."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    world = World(folder, _accounts())
    fleet = Fleet(plan, world)
    try:
        world.start_emulator(
            {"accounts": [account.scenario() for account in world.accounts], "moves": False},
            "--synthetic",
            f"kucoin:spot={plan.bots}",
        )
        world.write_connections()
        for number in range(plan.bots):
            fleet.write(number)
        started_s = time.monotonic()
        world.start_daemon()
        while not fleet.is_settled():
            if time.monotonic() - started_s > START_S:
                raise TimeoutError(f"{plan.label} did not settle; see {folder}")
            time.sleep(0.5)  # noqa: TID251 - no event loop here
        fleet.start_s = time.monotonic() - started_s
        yield fleet
    finally:
        world.stop()
    shutil.rmtree(folder)


def _accounts() -> list[Account]:
    return [
        Account(
            connection=connection(number),
            title=f"KuCoin Spot Bench {number:02d}",
            exchange="kucoin",
            market="spot",
            host="kucoin-spot",
            api_key=f"66f1a0c2d5e83b0001a8{number:04d}",
            secret=f"0b7e9d14-52aa-4c3e-8d07-bench000{number:04d}",
            password=f"bench-{number:04d}",
            permissions=("General", "Spot"),
        )
        for number in range(_CONNECTIONS_MAX)
    ]
