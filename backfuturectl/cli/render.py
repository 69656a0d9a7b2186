"""Print values: aligned tables, JSON and YAML.

Plain text, not rich: importing rich costs more than all of ``get`` may take. What the program
prints can come from an exchange or a file, so control characters never reach the terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

API_VERSION: Final = "backfuture.ai/v1alpha1"
_GAP: Final = "   "
_NOTHING: Final = "-"
_NARROWEST: Final = 12
_SECOND_MS: Final = 1_000
_AGES: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"))
# A unit is kept until it reads better in the next: 119 minutes are 119m, 120 are 2h.
_UNITS_BEFORE_NEXT: Final = 2
_COLOURS: Final[dict[str, str]] = {
    "Online": "green",
    "True": "green",
    "ok": "green",
    "ACTIVE": "green",
    "Unknown": "yellow",
    "WATCH": "yellow",
    "RECOVERY": "yellow",
    "COOLDOWN": "yellow",
    "DEGRADED": "yellow",
    "Warning": "yellow",
    "warning": "yellow",
    "False": "red",
    "failed": "red",
    "HALTING": "red",
    "HALTED": "red",
    "MANUAL": "red",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        title: Upper case, as kubectl prints it.
        key: Dotted path into a row: ``status.ready``.
        is_wide: Shown only with ``-o wide``.
        is_number: Aligned right.
    """

    title: str
    key: str
    is_wide: bool = False
    is_number: bool = False


def output_option(command: F) -> F:
    """Add ``-o/--output`` (``table wide json yaml``) as the parameter *output*."""
    decorate = click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "wide", "json", "yaml"]),
        default="table",
        show_default=True,
        help="How to print.",
    )
    return decorate(command)


def print_rows(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], *, output: str, kind: str
) -> None:
    """Print *rows* as *output* asks: a table, or a versioned list of *kind* with every field."""
    if output in {"table", "wide"}:
        print_table(columns, rows, wide=output == "wide")
    else:
        print_object({"apiVersion": API_VERSION, "kind": kind, "items": list(rows)}, output)


def print_table(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], *, wide: bool = False
) -> None:
    """Print *rows* under their titles, kubectl style.

    On a terminal the last column is cut to fit, with ``…``, unless *wide*; in a pipe nothing is
    ever cut. Colours only on a terminal and without ``NO_COLOR``.
    """
    width = None if wide or not sys.stdout.isatty() else shutil.get_terminal_size().columns
    for line in table_lines(columns, rows, wide=wide, width=width, is_coloured=has_colours()):
        click.echo(line, color=has_colours())


def table_lines(
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    *,
    wide: bool = False,
    width: int | None = None,
    is_coloured: bool = False,
) -> list[str]:
    """Return the lines of a table; *width* is what the last column is cut to fit."""
    shown = [column for column in columns if wide or not column.is_wide]
    cells = [[cell(_lookup(row, column.key)) for column in shown] for row in rows]
    widths = [
        max(_width(text) for text in (column.title, *(line[place] for line in cells)))
        for place, column in enumerate(shown)
    ]
    if width is not None:
        taken = sum(widths[:-1]) + len(_GAP) * (len(shown) - 1)
        widths[-1] = min(widths[-1], max(width - taken, _NARROWEST))
    header = _line(shown, [column.title for column in shown], widths, is_coloured=False)
    return [header, *(_line(shown, line, widths, is_coloured=is_coloured) for line in cells)]


def print_object(value: Any, output: str) -> None:
    """Print plain dicts and lists as ``json`` or ``yaml``; a Decimal is its exact text."""
    plain = _plain(value)
    if output == "json":
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))
        return
    import yaml  # noqa: PLC0415 - only who asks for YAML pays for its import

    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=False)
    click.echo(text, nl=False)


def has_colours() -> bool:
    """Return whether standard output wants colours: a terminal, and no ``NO_COLOR`` set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def coloured(text: str) -> str:
    """Return *text* in the colour of its meaning, for words that have one."""
    colour = _COLOURS.get(text.strip())
    return text if colour is None else click.style(text, fg=colour)


def age(since_ms: int | None, now_ms: int) -> str:
    """Return ``45s``, ``12m``, ``3h``, ``5d``, rounded down; ``-`` for None."""
    if since_ms is None:
        return _NOTHING
    passed_ms = max(now_ms - since_ms, 0)
    for unit_ms, letter in _AGES:
        if passed_ms >= _UNITS_BEFORE_NEXT * unit_ms:
            return f"{passed_ms // unit_ms}{letter}"
    return f"{passed_ms // _SECOND_MS}s"


def cell(value: Any) -> str:
    """Return *value* as one line of a table that no control character can break."""
    match value:
        case None | "":
            return _NOTHING
        case bool():
            return "True" if value else "False"
        case Decimal():
            return f"{value:f}"
        case list() | tuple():
            return ",".join(cell(item) for item in value) or _NOTHING
        case _:
            return printable(str(value))


def printable(text: str) -> str:
    """Return *text* on one line, with everything that a terminal would obey made visible."""
    kept = (
        letter if letter.isprintable() else " " if letter.isspace() else f"\\x{ord(letter):02x}"
        for letter in text
    )
    return "".join(kept)


def _lookup(row: Mapping[str, Any], key: str) -> Any:
    value: Any = row
    for part in key.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _line(
    columns: Sequence[Column], texts: Sequence[str], widths: Sequence[int], *, is_coloured: bool
) -> str:
    parts = []
    for column, text, width in zip(columns, texts, widths, strict=True):
        fitting = _cut(text, width)
        padding = " " * (width - _width(fitting))
        painted = coloured(fitting) if is_coloured else fitting
        parts.append(padding + painted if column.is_number else painted + padding)
    return _GAP.join(parts).rstrip()


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while text and _width(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def _width(text: str) -> int:
    """Return how many columns of a terminal *text* takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return f"{value:f}"
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case str():
            return str(value)  # a StrEnum becomes its text, which YAML can write
        case _:
            return value
