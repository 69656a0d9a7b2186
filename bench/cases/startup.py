"""How long a user waits before anything happens: `--help`, and `validate` of one document."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Bar, Figure
from bench.processes import program, run
from bench.repository import strategy_document


def measure(*, quick: bool) -> Iterator[Figure]:
    """Yield what fresh processes cost; a bare interpreter is the floor."""
    rounds = 3 if quick else 15
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "one.yaml").write_text(strategy_document(0))
        commands = {
            "floor: python -c pass": ([sys.executable, "-c", "pass"], None),
            "backfuturectl --help": (program("--help"), Bar(0.25)),
            "validate, 1 document": (program("validate", "one.yaml"), Bar(0.25)),
        }
        for title, (command, bar) in commands.items():
            run(command, cwd=folder)  # byte code and page cache are warm, as on any second call
            runs = [run(command, cwd=folder) for _ in range(rounds)]
            yield Figure(title, "s", [one.wall_s for one in runs], bar)
            yield Figure(f"{title}: CPU time", "s", [one.cpu_s for one in runs])
