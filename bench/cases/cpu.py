"""What the daemon costs while nothing happens but prices, once a second for every bot."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.figures import Bar, Figure
from bench.fleet import Fleet
from bench.processes import cpu_s


def measure(fleet: Fleet, *, quick: bool) -> Iterator[Figure]:
    """Yield user and system time as a share of one core."""
    window_s, windows = (2.0, 2) if quick else (10.0, 3)
    shares = []
    for _ in range(windows):
        started_s, used_s = time.perf_counter(), cpu_s(fleet.pid)
        time.sleep(window_s)  # noqa: TID251 - no event loop here
        shares.append(100 * (cpu_s(fleet.pid) - used_s) / (time.perf_counter() - started_s))
    bar = Bar(50) if fleet.plan.bots == 1_000 else None
    yield Figure(f"CPU at rest, {fleet.plan.label}", "% of a core", shares, bar)
