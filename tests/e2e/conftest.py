"""Worlds of real processes: the daemon, the emulator, sops, files, signals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from backfuturectl.demo.audit import Audit, audit
from backfuturectl.demo.story import ACCOUNTS
from backfuturectl.demo.world import Account, World

MEXC, KUCOIN, FUTURES, CARELESS = ACCOUNTS

MakeWorld = Callable[..., World]


def spec(account: Account, *pairs: str, **more: Any) -> dict[str, Any]:
    """Return a small Strategy on *account* that opens at once and rests a second between deals."""
    return {
        "connection": account.connection,
        "pairs": list(pairs),
        "risk": "conservative",
        "marginLimit": "2000 USDT",
        "maxActiveDeals": len(pairs),
        "recovery": {"enabled": False},
        "cooldown": {"afterTakeProfit": "1s", "afterStopLoss": "1s"},
        **more,
    }


def audited(world: World) -> Audit:
    """Compare the journal with every account's ledger."""
    connections = {bot["name"]: bot["connection"] for bot in world.rows("bots")}
    orders = world.rows("orders")
    found = Audit()
    for account in world.accounts:
        journal = [row for row in orders if connections.get(row["bot"]) == account.connection]
        found += audit(journal, world.ledger(account))
    return found


def eventually(check: Callable[[], Audit], *, tries: int = 60) -> Audit:
    """Return what *check* finds once it is clean, or after *tries* seconds."""
    found = check()
    for _ in range(tries):
        if found.is_clean:
            break
        time.sleep(1)
        found = check()
    return found


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Make worlds whose emulator runs and whose connections are written; stop them at the end."""
    worlds: list[World] = []

    def make(
        *accounts: Account,
        strategies: Mapping[str, Mapping[str, Any]] | None = None,
        moves: bool = False,
        options: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> World:
        # Unix sockets have short names, temporary folders of test runs long ones.
        world = World(tmp_path / f"w{len(worlds)}", accounts, environment=environment or {})
        worlds.append(world)
        scenario = {"accounts": [a.scenario() for a in accounts], "moves": moves}
        world.start_emulator(scenario, *options)
        world.write_connections()
        for name, document in (strategies or {}).items():
            world.write_strategy(name, document)
        return world

    yield make
    for world in worlds:
        world.stop()
