"""Plant a fault in a copy of the repository and see whether the tests notice.

The work tree is never touched. A copy has its own package first on the import path, no byte code
and no example database, so that nothing of one fault outlives it; hypothesis runs from one seed.
"""

from __future__ import annotations

import enum
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutations.fault import Fault, plant

ROOT = Path(__file__).parents[2]
_COPIED = ("backfuturectl", "tests", "configs", "schemas", "docs", "systemd")
_PATIENCE_S = 600.0
_TESTS_FAILED = 1
_FAILED = re.compile(r"^FAILED (\S+?)(?:\[.*)?(?: - .*)?$", re.MULTILINE)


class Verdict(enum.StrEnum):
    """What became of a fault.

    BROKEN: the tests could not be collected or did not end, so they say nothing.
    """

    CAUGHT = "caught"
    SURVIVED = "survived"
    BROKEN = "broken"


@dataclass(frozen=True)
class Outcome:
    """What the tests said to a fault.

    Attributes:
        by: The test that failed first; what pytest said when none did.
    """

    fault: Fault
    verdict: Verdict
    by: str


@contextmanager
def copied(folder: Path) -> Iterator[Path]:
    """Yield a copy of what the tests need, in *folder*."""
    for name in _COPIED:
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def check(fault: Fault, copy: Path) -> Outcome:
    """Plant *fault* in *copy*, run its tests, and take it out again.

    Raises:
        LostTextError: The code is no longer what the fault is about.
    """
    planted = plant(fault, copy)
    for each in planted:
        each.path.write_text(each.after)
    try:
        code, said = run_tests(fault.tests, copy)
    finally:
        for each in planted:
            each.path.write_text(each.before)
    if code is None:
        return Outcome(fault, Verdict.BROKEN, f"no end within {_PATIENCE_S:.0f} s")
    if code == 0:
        return Outcome(fault, Verdict.SURVIVED, "every test passed")
    failed = _FAILED.search(said)
    if code != _TESTS_FAILED or failed is None:
        return Outcome(fault, Verdict.BROKEN, said[-2000:])
    return Outcome(fault, Verdict.CAUGHT, failed[1])


def run_tests(tests: tuple[str, ...], copy: Path) -> tuple[int | None, str]:
    """Run *tests* in *copy* up to the first failure.

    Returns pytest's exit code, None when it had to be ended, and what it printed.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(copy / ".hypothesis"),
    }
    options = ("-q", "-x", "--tb=no", "-rf", "-p", "no:cacheprovider", "--hypothesis-seed=0")
    with subprocess.Popen(
        (sys.executable, "-m", "pytest", *options, *tests),
        cwd=copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as run:
        try:
            said, _ = run.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            return None, ""
        finally:
            shutil.rmtree(copy / ".hypothesis", ignore_errors=True)
    return run.returncode, said
