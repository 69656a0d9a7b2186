"""What the daemon holds in memory while its bots run."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.figures import Bar, Figure
from bench.fleet import Fleet
from bench.processes import memory_mib


def measure(fleet: Fleet, *, quick: bool) -> Iterator[Figure]:
    """Yield resident and proportional set size of the daemon's process, and how long it started."""
    sizes = []
    for _ in range(2 if quick else 5):
        sizes.append(memory_mib(fleet.pid))
        time.sleep(1)  # noqa: TID251 - no event loop here
    bar = Bar(400, "max") if fleet.plan.bots == 1_000 else None
    label = fleet.plan.label
    yield Figure(f"memory, {label}: RSS", "MiB", [resident for resident, _ in sizes], bar)
    yield Figure(f"memory, {label}: PSS", "MiB", [shared for _, shared in sizes])
    yield Figure(f"start → all settled, {label}", "s", [fleet.start_s])
