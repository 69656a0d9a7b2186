"""Run histories by hand: ``python -m tests.simulation --start 1 --seeds 1000``.

With ``--sieve``: tell each story with a crash at each of its side effects.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import click

from tests.simulation.history import HistoryError, Told, run
from tests.simulation.sieve import difference, tell
from tests.simulation.stories import BADLY, PARTING, WELL
from tests.simulation.visits import coverage, missing

_FEW = 10
_DAY_S = 86_400
_MANY = 100
"""So many histories come by every state, or something is wrong with them."""


def main() -> int:
    arguments = argparse.ArgumentParser(prog="simulate")
    arguments.add_argument("--start", type=int, default=1)
    arguments.add_argument("--seeds", type=int, default=100)
    arguments.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments.add_argument("--sieve", action="store_true")
    asked = arguments.parse_args()
    if asked.sieve:
        return _sieve(asked.jobs)
    return _histories(range(asked.start, asked.start + asked.seeds), asked.jobs)


def _histories(seeds: range, jobs: int) -> int:
    began_s = time.perf_counter()
    told: list[Told] = []
    with ProcessPoolExecutor(min(jobs, len(seeds))) as pool:
        for outcome in pool.map(_run, seeds):
            if isinstance(outcome, Told):
                told.append(outcome)
            if not isinstance(outcome, Told) or len(seeds) <= _FEW:
                click.echo(outcome)
    took_s = time.perf_counter() - began_s
    cpu_min = _children_cpu_s() / 60
    days = sum(t.virtual_s for t in told) / _DAY_S
    deals, deal_days = sum(t.deals for t in told), sum(t.open_s for t in told) / _DAY_S
    click.echo(
        f"{len(told)} of {len(seeds)} histories hold: {sum(t.orders for t in told)} orders, "
        f"{sum(t.fills for t in told)} fills, {sum(t.lives for t in told)} lives, in {took_s:.0f} s"
    )
    click.echo(
        f"{len(told)} seeds, {days:.2f} simulated days, {deals} deals, {deal_days:.2f} deal-days "
        f"in {cpu_min:.1f} CPU minutes; per CPU minute: {len(told) / cpu_min:.1f} seeds, "
        f"{days / cpu_min:.2f} days, {deals / cpu_min:.0f} deals, "
        f"{deal_days / cpu_min:.2f} deal-days"
    )
    visited = [each.visited for each in told]
    click.echo(f"histories that came by: {coverage(visited)}")
    if absent := missing(visited):
        click.echo(f"none came by: {', '.join(absent)}")
    return 0 if len(told) == len(seeds) and (not absent or len(seeds) < _MANY) else 1


def _children_cpu_s() -> float:
    """Return what the processes that have ended used, in seconds of CPU."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _sieve(jobs: int) -> int:
    wrong = 0
    for story in (WELL, BADLY, PARTING):
        calm = tell(story)
        with ProcessPoolExecutor(jobs) as pool:
            told = pool.map(partial(difference, story, calm), range(1, calm.effects + 1))
            differences = [text for text in told if text]
        for text in differences:
            click.echo(text)
        wrong += len(differences)
        click.echo(
            f"{calm.effects - len(differences)} of {calm.effects} crashes, one at each side "
            "effect, end as if there had been none"
        )
    return 1 if wrong else 0


def _run(seed: int) -> Told | str:
    try:
        return run(seed)
    except HistoryError as error:
        return str(error)


if __name__ == "__main__":
    sys.exit(main())
