"""Plant every fault: ``python -m tests.mutations [WORDS...]`` plants those whose name has any.

Fails when a fault survives, when its text is no longer found, and when the tests fail without any.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

import click

from tests.mutations.check import ROOT, Outcome, Verdict, check, copied, run_tests
from tests.mutations.fault import Fault, LostTextError, plant
from tests.mutations.faults import FAULTS
from tests.mutations.report import REPORT, report


def main() -> int:
    arguments = argparse.ArgumentParser(prog="mutations")
    arguments.add_argument("words", nargs="*", help="plant only faults whose name has one of these")
    arguments.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4))
    asked = arguments.parse_args()
    chosen = [fault for fault in FAULTS if _is_asked(fault, asked.words)]
    lost = [text for fault in chosen if (text := _lost(fault))]
    for text in lost:
        click.echo(text)
    if lost or not chosen:
        return 1
    began_s = time.perf_counter()
    with ExitStack() as stack:
        copies: SimpleQueue[Path] = SimpleQueue()
        for _ in range(asked.jobs):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            copies.put(stack.enter_context(copied(folder / "copy")))
        if not _are_sound(chosen, copies):
            return 1
        with ThreadPoolExecutor(asked.jobs) as pool:
            outcomes = [_told(outcome) for outcome in pool.map(lambda f: _on(f, copies), chosen)]
    caught = sum(outcome.verdict is Verdict.CAUGHT for outcome in outcomes)
    click.echo(f"{caught} of {len(outcomes)} caught in {time.perf_counter() - began_s:.0f} s")
    page = ROOT / REPORT
    page.write_text(report(FAULTS, outcomes, page.read_text() if page.exists() else ""))
    click.echo(f"written: {REPORT}")
    return 0 if caught == len(outcomes) else 1


def _is_asked(fault: Fault, words: list[str]) -> bool:
    return not words or any(word in f"{fault.promise}: {fault.name}" for word in words)


def _lost(fault: Fault) -> str:
    try:
        plant(fault, ROOT)
    except LostTextError as error:
        return str(error)
    return ""


def _are_sound(chosen: list[Fault], copies: SimpleQueue[Path]) -> bool:
    """Say whether the tests pass without a fault; otherwise they prove nothing."""
    tests = tuple(dict.fromkeys(test for fault in chosen for test in fault.tests))
    click.echo(f"{len(tests)} test files without a fault")
    copy = copies.get()
    code, said = run_tests(tests, copy)
    copies.put(copy)
    if code != 0:
        click.echo(f"the tests do not pass without a fault:\n{said[-3000:]}")
    return code == 0


def _on(fault: Fault, copies: SimpleQueue[Path]) -> Outcome:
    copy = copies.get()
    try:
        return check(fault, copy)
    finally:
        copies.put(copy)


def _told(outcome: Outcome) -> Outcome:
    click.echo(f"{outcome.verdict:9} {outcome.fault.promise}: {outcome.fault.name} ({outcome.by})")
    return outcome


if __name__ == "__main__":
    sys.exit(main())
