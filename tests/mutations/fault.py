"""What a planted fault is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "backfuturectl"


class LostTextError(Exception):
    """The text that a fault would change is not where it was, or is there more than once."""


@dataclass(frozen=True)
class Fault:
    """One thing done wrong on purpose, and the tests that must notice.

    Attributes:
        name: What is wrong then, in words; unique.
        promise: What it breaks.
        where: File or folder below the package; every *old* text stands there exactly once, so that
            code may move between a folder's modules.
        edits: Old and new text, applied in order.
        tests: Paths that pytest takes, the quickest first.
        is_quick: Whether it is among the few that every test run plants.
    """

    name: str
    promise: str
    where: str
    edits: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]
    is_quick: bool = False


@dataclass(frozen=True)
class Planted:
    """One file of a copy as it is with a fault in it."""

    path: Path
    before: str
    after: str


def plant(fault: Fault, root: Path) -> tuple[Planted, ...]:
    """Return what *fault* changes below *root*, without writing it.

    Raises:
        LostTextError: A text is not found exactly once.
    """
    before = {path: path.read_text() for path in _files(root / PACKAGE / fault.where)}
    after = dict(before)
    for old, new in fault.edits:
        found = [path for path, text in after.items() for _ in range(text.count(old))]
        if len(found) != 1:
            raise LostTextError(
                f"`{fault.name}`: this stands {len(found)} times below {fault.where}, not once:\n"
                f"{old}\nadapt the fault to the code, in tests/mutations"
            )
        after[found[0]] = after[found[0]].replace(old, new)
    return tuple(
        Planted(path, text, after[path]) for path, text in before.items() if after[path] != text
    )


def _files(where: Path) -> Iterator[Path]:
    if where.is_file():
        yield where
    else:
        yield from sorted(where.rglob("*.py"))
