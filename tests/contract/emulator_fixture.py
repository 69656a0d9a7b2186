"""The emulator in this process, on free loopback ports, for tests that drive it from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from backfuturectl.emulator.scenario import Emulator, Scenario, build
from backfuturectl.emulator.server import Endpoints, serve
from backfuturectl.engine.clock import WallClock
from backfuturectl.matching.venue import Venue

STILL = Scenario(moves=False)


@dataclass(frozen=True)
class Running:
    """A running emulator: its state, and where it listens."""

    emulator: Emulator
    endpoints: Endpoints

    def venue(self, brand: str) -> Venue:
        return self.emulator.exchanges[brand].venue


@asynccontextmanager
async def running(scenario: Scenario = STILL) -> AsyncIterator[Running]:
    """Serve *scenario* until the block ends; prices stand still unless it says otherwise."""
    emulator = build(scenario, clock=WallClock())
    async with serve(emulator, ports={}) as endpoints:
        yield Running(emulator, endpoints)
