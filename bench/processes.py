"""Children and what they cost, as the kernel counts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Run:
    """One child from start to end.

    Attributes:
        cpu_s: User and system time of the child; unlike *wall_s* it does not count waiting for a
            core that something else uses.
        peak_mib: Largest resident set of the child.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


def program(*arguments: str) -> list[str]:
    """Return the command line of this product as its users start it."""
    return [str(Path(sys.executable).with_name("backfuturectl")), *arguments]


def environment() -> dict[str, str]:
    """Return what children are started with: they keep their byte code, as an installed one does.

    Where writing it is switched off, every run of a checkout compiles the whole program anew.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(command: Sequence[str], *, cwd: Path, expected: int = 0) -> Run:
    """Run *command* to its end and return its cost.

    Raises:
        RuntimeError: It ended with another status than *expected*.
    """
    started_s = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as child:
        assert child.stdout is not None, "it was asked for"
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - started_s
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != expected:
        raise RuntimeError(f"{' '.join(command[:3])}: {child.returncode}: {output[-800:].decode()}")
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def memory_mib(pid: int) -> tuple[float, float]:
    """Return resident and proportional set size of a process."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) / 1024
    return sizes["Rss"], sizes["Pss"]


def cpu_s(pid: int) -> float:
    """Return the user and system time that a process has used, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
