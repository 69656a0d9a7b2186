"""What was found out about many subjects, each with the very things that it rests on.

Among thousands of files one changes. Whatever rests on the parser's same documents as the last time
need not be found out again; comparing a document with itself costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")

RestsOn = tuple[object, ...]
"""All that a finding depends on; an `object()` among them makes it be found out anew."""


class Recall(Generic[K, T]):
    """Remembers the last answer about each subject of the last question."""

    def __init__(self) -> None:
        self._known: dict[K, tuple[RestsOn, T]] = {}

    def all(self, subjects: Iterable[tuple[K, RestsOn]], find: Callable[[K], T]) -> Mapping[K, T]:
        """Return what *find* finds out about each of *subjects*; forget every other one."""
        before, known = self._known, {}
        for subject, rests_on in subjects:
            answer = before.get(subject)
            if answer is None or answer[0] != rests_on:
                answer = (rests_on, find(subject))
            known[subject] = answer
        self._known = known
        return {subject: found for subject, (_, found) in known.items()}
