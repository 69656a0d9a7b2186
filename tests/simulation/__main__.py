"""Run histories by hand: ``python -m tests.simulation --start 1 --seeds 1000``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import click

from tests.simulation.history import HistoryError, Told, run


def main() -> int:
    arguments = argparse.ArgumentParser(prog="simulate")
    arguments.add_argument("--start", type=int, default=1)
    arguments.add_argument("--seeds", type=int, default=100)
    asked = arguments.parse_args()
    seeds = range(asked.start, asked.start + asked.seeds)
    began_s = time.perf_counter()
    told: list[Told] = []
    failed: list[str] = []
    with ProcessPoolExecutor(min(os.cpu_count() or 1, asked.seeds)) as pool:
        for outcome in pool.map(_run, seeds):
            if isinstance(outcome, Told):
                told.append(outcome)
                if asked.seeds <= 10:
                    click.echo(outcome)
            else:
                failed.append(outcome)
                click.echo(outcome)
    took_s = time.perf_counter() - began_s
    click.echo(
        f"{len(told)} of {len(seeds)} histories hold: {sum(t.orders for t in told)} orders, "
        f"{sum(t.fills for t in told)} fills, {sum(t.deals for t in told)} deals, "
        f"{sum(t.lives for t in told)} lives, "
        f"{sum(t.virtual_s for t in told) / 86_400:.1f} days in {took_s:.0f} s"
    )
    return 1 if failed else 0


def _run(seed: int) -> Told | str:
    try:
        return run(seed)
    except HistoryError as error:
        return str(error)


if __name__ == "__main__":
    sys.exit(main())
