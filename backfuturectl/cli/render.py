"""Print values: aligned tables, JSON and YAML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


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
    """Print *rows* as *output* asks: a table, or ``{"apiVersion", "kind", "items"}``."""
    raise NotImplementedError


def print_table(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], *, wide: bool = False
) -> None:
    """Print *rows* under their titles, kubectl style."""
    raise NotImplementedError


def print_object(value: Any, output: str) -> None:
    """Print plain dicts and lists as ``json`` or ``yaml``; Decimal becomes exact text."""
    raise NotImplementedError


def age(since_ms: int | None, now_ms: int) -> str:
    """Return ``45s``, ``12m``, ``3h``, ``5d``; ``-`` for None."""
    raise NotImplementedError
