"""Worlds of real processes: the daemon, the emulator, sops, files, signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

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
