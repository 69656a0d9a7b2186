"""`validate` over whole repositories, with check-jsonschema beside it on the same files."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Bar, Figure
from bench.processes import program, run
from bench.repository import write_repository

_ROOT = Path(__file__).parents[2]


def measure(*, quick: bool) -> Iterator[Figure]:
    """Yield wall time and peak memory by number of documents, and the peer's at 1,000."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for documents, limit_s, rounds in ((1_000, 0.8, 7), (10_000, 6.0, 3)):
            if quick and documents > 1_000:
                continue
            root = Path(name) / str(documents)
            write_repository(root, documents)
            command = program("validate", str(root))
            runs = [run(command, cwd=root) for _ in range(2 if quick else rounds)]
            title = f"validate, {documents:,} documents"
            yield Figure(title, "s", [one.wall_s for one in runs], Bar(limit_s))
            yield Figure(f"{title}: CPU time", "s", [one.cpu_s for one in runs])
            memory_bar = Bar(60, "max") if documents == 1_000 else None
            yield Figure(f"{title}: peak RSS", "MiB", [one.peak_mib for one in runs], memory_bar)
            if documents == 1_000:
                ours_s = min(one.wall_s for one in runs)
                yield from _peer(root, ours_s, rounds=1 if quick else 3)


def _peer(root: Path, ours_s: float, *, rounds: int) -> Iterator[Figure]:
    # Schema alone: no references, no Policy, no secrets, no proofs; and only the Strategies, since
    # the peer takes one schema per run.
    files = sorted(str(path) for path in (root / "strategies").iterdir())
    schema = _ROOT / "schemas" / "strategy.json"
    checker = str(Path(sys.executable).with_name("check-jsonschema"))
    command = [checker, "--schemafile", str(schema), *files]
    runs = [run(command, cwd=root) for _ in range(rounds)]
    yield Figure("peer: check-jsonschema, the same files", "s", [one.wall_s for one in runs])
    yield Figure("peer: check-jsonschema: CPU time", "s", [one.cpu_s for one in runs])
    yield Figure("peer: check-jsonschema: peak RSS", "MiB", [one.peak_mib for one in runs])
    ratios = [one.wall_s / ours_s for one in runs]
    yield Figure(
        "validate is faster than the peer by", "times", ratios, Bar(1, "min", is_floor=True)
    )
