"""From a saved file to a converged bot, as the status API shows it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator

from bench.figures import Bar, Figure
from bench.fleet import Fleet, strategy

_POLL_S = 0.005
_WAIT_S = 20.0


def measure(fleet: Fleet, *, quick: bool) -> Iterator[Figure]:
    """Yield the time from before one file is written until the API shows its new generation."""
    rng = random.Random(7)
    numbers = rng.sample(range(fleet.plan.bots), 3 if quick else 20)
    seconds = []
    for turn, number in enumerate(numbers):
        # Edits fall anywhere between two looks of the daemon, as a person's do.
        time.sleep(rng.uniform(0.3, 0.9))  # noqa: TID251 - no event loop here
        seconds.append(_edit(fleet, number, f"1.{3 + turn % 5}"))
    # What is promised is one of 1,000; ten times as many is held to by `growth`.
    bar = Bar(0.5) if fleet.plan.bots <= 1_000 else None
    yield Figure(_title(fleet.plan.label), "s", seconds, bar)


def growth(figures: Iterable[Figure]) -> Iterator[Figure]:
    """Yield how much longer an edit takes among ten times as many documents."""
    medians = {figure.name: figure.summary["median"] for figure in figures}
    few, many = medians.get(_title("1,000 bots")), medians.get(_title("10,000 paused bots"))
    if few is not None and many is not None:
        yield Figure("edit → converged, 10,000 to 1,000 strategies", "times", [many / few], Bar(2))


def _title(label: str) -> str:
    return f"edit → converged, {label}"


def _edit(fleet: Fleet, number: int, percent: str) -> float:
    api, name = fleet.world.api, strategy(number)
    wanted = int(api.get("strategy", name)["generation"]) + 1
    started_s = time.perf_counter()
    fleet.write(number, takeProfit={"percent": float(percent)})
    while time.perf_counter() - started_s < _WAIT_S:
        row = api.get("strategy", name)
        if row["generation"] >= wanted and row["isCurrent"] and row["status"] == "Ready":
            return time.perf_counter() - started_s
        time.sleep(_POLL_S)  # noqa: TID251 - no event loop here
    raise TimeoutError(f"{name} did not converge: {row['status']} {row['message']}")
