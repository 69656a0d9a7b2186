"""From the daemon's restart until every bot has compared its open deal with the exchange.

The exchange's rate limit sets the floor: what was asked of each budget beyond the allowance that a
rested caller has at once, at the rate at which it returns. Where that is nothing the time is the
program's own, and the bar is left out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from backfuturectl.emulator.kucoin_spot import kucoin_spot
from backfuturectl.emulator.scenario import Scenario, Synthetic, build
from backfuturectl.engine.clock import WallClock
from bench.figures import Bar, Figure
from bench.fleet import START_S, Fleet
from bench.processes import cpu_s

_OVER_FLOOR = 1.2


def measure(fleet: Fleet, *, quick: bool) -> Iterator[Figure]:  # noqa: ARG001 - a case's signature
    """Yield what a restart over open deals takes and asks; the daemon is killed, not stopped."""
    world, label = fleet.world, fleet.plan.label
    world.kill_daemon()
    world.tell("DELETE", "/requests")
    started_s = time.monotonic()
    world.start_daemon()
    while not fleet.is_settled():
        if time.monotonic() - started_s > START_S:
            raise TimeoutError(f"{label} did not come back; see {world.folder}")
        time.sleep(0.5)  # noqa: TID251 - no event loop here
    took_s, used_s = time.monotonic() - started_s, cpu_s(fleet.pid)
    counts = world.tell("GET", "/requests")["counts"]
    floor_s = _floor_s(counts)
    bar = Bar(_OVER_FLOOR * floor_s, "max") if floor_s else None
    yield Figure(f"restart → all reconciled, {label}", "s", [took_s], bar)
    yield Figure(f"restart → all reconciled, {label}: CPU time", "s", [used_s])
    yield Figure(f"restart: what the rate limit allows it in, {label}", "s", [floor_s])
    asked = sum(row["count"] for row in counts if row["key"])
    yield Figure(f"restart: signed requests a bot, {label}", "1", [asked / fleet.plan.bots])


def _floor_s(counts: list[dict[str, Any]]) -> float:
    """Return how long the fullest budget needs for what was asked, see the module."""
    scenario = Scenario(synthetic=(Synthetic(exchange="kucoin", count=1),), moves=False)
    dialect = kucoin_spot(build(scenario, clock=WallClock()).exchanges["kucoin"])
    routes = {(route.method, route.path): route for route in dialect.routes}
    spent: Counter[tuple[str, str]] = Counter()
    for row in counts:
        route = routes.get((row["method"], row["route"]))
        if route is not None and route.pool:
            who = row["key"] if dialect.pools[route.pool].is_per_key else ""
            spent[route.pool, who] += route.weight * row["count"]
    floors_s = [
        max(0, weight - dialect.pools[pool].limit)
        * dialect.pools[pool].window_s
        / dialect.pools[pool].limit
        for (pool, _), weight in spent.items()
    ]
    return max(floors_s, default=0.0)
