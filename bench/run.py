"""Measure, print a table, write JSON: `python -m bench [NAME...] [--quick]`.

Nothing here fails because of a slow figure: a bar that is missed is shown, and that is all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from bench.cases import (
    cpu,
    edit,
    memory,
    price_to_order,
    reaction,
    restart,
    startup,
    step,
    store,
    validate,
)
from bench.figures import Figure
from bench.fleet import Fleet, FleetPlan, running

RESULTS: Final = Path(__file__).parent / "results"


class FleetCase(Protocol):
    """A measurement on running bots."""

    def __call__(self, fleet: Fleet, *, quick: bool) -> Iterator[Figure]:
        """Yield figures."""


@dataclass(frozen=True, slots=True)
class OnFleets:
    """A case and the fleets it wants, full size and for a quick run."""

    measure: FleetCase
    plans: Sequence[FleetPlan]


_SMALL: Final = FleetPlan(100)
_LARGE: Final = FleetPlan(1_000)
_HUGE: Final = FleetPlan(10_000, paused=True)
_QUICK: Final = FleetPlan(10)

ALONE: Final[dict[str, Callable[..., Iterator[Figure]]]] = {
    "startup": startup.measure,
    "validate": validate.measure,
    "step": step.measure,
    "store": store.measure,
    "reaction": reaction.measure,
}
ON_FLEETS: Final = {
    # In this order on one fleet: at rest first, then edits, then trades, then a crash.
    "memory": OnFleets(memory.measure, (_SMALL, _LARGE, _HUGE)),
    "cpu": OnFleets(cpu.measure, (_SMALL, _LARGE)),
    "edit": OnFleets(edit.measure, (_SMALL, _LARGE, _HUGE)),
    "price": OnFleets(price_to_order.measure, (_LARGE,)),
    "restart": OnFleets(restart.measure, (_SMALL, _LARGE)),
}


def main(arguments: Sequence[str]) -> int:
    """Run the cases that *arguments* name, all without names."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - {*ALONE, *ON_FLEETS}:
        parser.error(f"no case is named {', '.join(sorted(unknown))}")
    machine = _machine()
    print("  ".join(f"{name}: {value}" for name, value in machine.items()), flush=True)
    figures: list[tuple[str, Figure]] = []
    started_s = time.monotonic()
    try:
        for case, figure in measure(options.names, quick=options.quick, bots_max=options.bots_max):
            figures.append((case, figure))
            print(_line(figure), flush=True)
        figures += [("edit", figure) for figure in edit.growth([figure for _, figure in figures])]
    finally:  # what was measured before a case broke took minutes as well
        print(f"\n{_table([figure for _, figure in figures])}")
        print(f"\n{len(figures)} figures in {time.monotonic() - started_s:.0f} s")
        path = options.json or RESULTS / f"{machine['at'].replace(':', '')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"case": case, **figure.row()} for case, figure in figures]
        path.write_text(json.dumps({"machine": machine, "figures": rows}, indent=2) + "\n")
        print(f"written to {path}")
    return 0


def measure(names: Collection[str], *, quick: bool, bots_max: int) -> Iterator[tuple[str, Figure]]:
    """Yield each figure with the name of its case; an empty *names* means all."""
    wanted = names or (*ALONE, *ON_FLEETS)
    for name, case in ALONE.items():
        if name in wanted:
            yield from ((name, figure) for figure in case(quick=quick))
    cases = {name: case for name, case in ON_FLEETS.items() if name in wanted}
    plans = dict.fromkeys(
        plan for case in cases.values() for plan in ((_QUICK,) if quick else case.plans)
    )
    for plan in (plan for plan in plans if plan.bots <= bots_max):
        with running(plan) as fleet:
            for name, case in cases.items():
                if quick or plan in case.plans:
                    yield from ((name, figure) for figure in case.measure(fleet, quick=quick))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    known = (*ALONE, *ON_FLEETS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="few samples, small fleets")
    parser.add_argument(
        "--bots-max",
        type=int,
        default=10_000,
        metavar="N",
        help="leave out larger fleets; 10,000 bots take minutes to start (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: bench/results/")
    return parser


def _machine() -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),  # noqa: TID251 - a benchmark's edge
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "cpu": _cpu_model(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _line(figure: Figure) -> str:
    return f"  {figure.name}: {_number(figure.summary['median'])} {figure.unit}"


def _table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    verdicts = {None: "", True: "met", False: "missed"}
    lines = [
        "| figure | unit | n | min | median | p99 | max | bar | |",
        "|---|---|--:|--:|--:|--:|--:|---|---|",
    ]
    for figure in figures:
        numbers = [_number(value) for value in figure.summary.values()]
        bar = "" if figure.bar is None else str(figure.bar)
        cells = [figure.name, figure.unit, str(len(figure.samples)), *numbers, bar]
        lines.append(f"| {' | '.join(cells)} | {verdicts[figure.is_met]} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
