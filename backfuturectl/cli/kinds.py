"""The kinds of things that commands name, in singular or plural, and the nearest to a typo."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final

import click

_FORMS: Final = (
    ("connection", "connections"),
    ("strategy", "strategies"),
    ("bot", "bots"),
    ("deal", "deals"),
    ("order", "orders"),
    ("event", "events"),
    ("policy", "policies"),
)


class Kind(click.Choice[str]):
    """A choice that takes a kind's singular and plural alike, and suggests the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return *value* in the form that this choice lists."""
        text = str(value).lower()
        forms: tuple[str, ...] = next((pair for pair in _FORMS if text in pair), (text,))
        found = next((form for form in forms if form in self.choices), None)
        if found is None:
            self.fail(
                f"there is no kind `{value}`; {did_you_mean(text, self.choices)}"
                f"there are {', '.join(self.choices)}",
                param,
                ctx,
            )
        return found


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """Return ``did you mean `x`? `` for the nearest of *known*, or nothing when none is near."""
    near = difflib.get_close_matches(text, list(known), n=1)
    return f"did you mean `{near[0]}`? " if near else ""
