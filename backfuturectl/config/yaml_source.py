"""YAML text to plain values, refusing whatever two YAML readers could understand differently.

Values are `str`, `int`, `Decimal` (from the text, never via float), `bool`, None, `dict`, `list`.
Anchors, aliases, merge keys, tags, duplicate keys and the scalars that YAML 1.1 and 1.2 read
differently are problems with a position, not values: SOPS, editors and this program must agree on
every byte of a file that moves money.

The text is read as a stream of events, so a hostile file costs neither stack nor memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from backfuturectl.model.findings import Span

FieldPath = tuple[str | int, ...]

DEPTH_MAX: Final = 40
PROBLEMS_MAX: Final = 50
"""Per file; a file with more is not a configuration file that somebody is about to mend."""

_DIGITS_MAX: Final = 60

_SECRET_NAMES: Final = frozenset(
    {"credentials", "apikey", "api_key", "secret", "apisecret", "api_secret", "password"}
    | {"passphrase", "privatekey", "private_key", "token"}
)

_WORDS: Final[dict[str, bool | None]] = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
}
_LOOKALIKES: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
_AMBIGUOUS_NUMBER: Final = re.compile(
    r"""[-+]?(
        0[0-9_]+(\.[0-9_]*)?  # leading zeros: octal in YAML 1.1, decimal in 1.2
      | 0[xXoObB][0-9a-fA-F_]+
      | [0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?
      | \.[0-9_]+([eE][-+]?[0-9]+)?
      | [0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?  # sexagesimal: 12:30 is 750 in YAML 1.1
      | \.(inf|Inf|INF|nan|NaN|NAN)
    )""",
    re.VERBOSE,
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")
_CONFLICT: Final = re.compile(rb"^(<{7} |={7}\r?$|>{7} )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class YamlProblem:
    """One thing wrong with the text.

    Attributes:
        path: Where in the document; empty when the text could not be read that far.
        document: Index of the document it lies in.
    """

    code: str
    message: str
    span: Span
    path: FieldPath = ()
    document: int = 0
    help: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a field stands.

    Attributes:
        key: None for items of a list.
        is_scalar: Whether *value* is the whole value; of a mapping or list it is the start.
    """

    key: Span | None
    value: Span
    is_scalar: bool


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """One document of a file.

    Attributes:
        start: Offset of its first character in the text, for cutting it out.
        positions: By field path; empty unless asked for.
    """

    values: Any
    span: Span
    start: int
    end: int
    positions: Mapping[FieldPath, Position] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What a file's text holds.

    Attributes:
        documents: Those before the first syntax error; documents without any value are left out.
        is_broken: The text could not be read to its end.
    """

    text: str
    documents: tuple[YamlDocument, ...]
    problems: tuple[YamlProblem, ...]
    is_broken: bool


class _StoppedError(Exception):
    """The rest of the file is not worth reading."""


def read(content: bytes, *, has_positions: bool = False) -> YamlFile:
    """Return the documents and problems of *content*, which is UTF-8; never raises.

    Args:
        content: The bytes of a whole file.
        has_positions: Record where each field stands. Costs time and memory, so it is asked for
            only when there is something to report.
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    text = content.decode()
    conflict = _CONFLICT.search(content) if b"<<<<<<< " in content else None
    if conflict is not None:
        line = content.count(b"\n", 0, conflict.start()) + 1
        problem = YamlProblem(
            "BF106",
            "a merge conflict was committed unresolved",
            Span(line, 1, line, 8),
            help="keep one of the two sides and remove the marker lines",
        )
        return YamlFile(text, (), (problem,), is_broken=True)
    reader = _Reader(content, has_positions=has_positions)
    is_broken = False
    try:
        reader.run()
    except yaml.YAMLError as error:
        reader.problems.append(_syntax_problem(error, text, len(reader.documents)))
        is_broken = True
    except _StoppedError:
        is_broken = True
    return YamlFile(text, tuple(reader.documents), tuple(reader.problems), is_broken=is_broken)


class _Reader:
    """Builds values from the event stream of one file; PyYAML's events are untyped."""

    def __init__(self, content: bytes, *, has_positions: bool) -> None:
        self.documents: list[YamlDocument] = []
        self.problems: list[YamlProblem] = []
        self._next: Callable[[], Any] = yaml.CSafeLoader(content).get_event
        self._has_positions = has_positions
        self._positions: dict[FieldPath, Position] = {}
        self._index = 0

    def run(self) -> None:
        while (event := self._next()) is not None:
            if not _is_document_start(event):
                continue
            start = event.start_mark
            first = self._next()
            values = self._value(first, (), 0)
            end = self._next()
            if type(first) is not ScalarEvent or first.value or first.style:
                self.documents.append(
                    YamlDocument(
                        values, _span(first), start.index, end.end_mark.index, self._positions
                    )
                )
            self._positions = {}
            self._index = len(self.documents)

    def _value(self, event: Any, path: FieldPath, depth: int) -> Any:
        kind = type(event)
        if kind is AliasEvent:
            self._report(
                "BF109", event, path, f"alias {_shown(f'*{event.anchor}', path)} is not allowed"
            )
            return None
        if event.anchor is not None:
            self._report(
                "BF109", event, path, f"anchor {_shown(f'&{event.anchor}', path)} is not allowed"
            )
        if event.tag is not None:
            self._report("BF110", event, path, f"tag {_shown(event.tag[:40], path)} is not allowed")
        if kind is ScalarEvent:
            return self._scalar(event, path) if event.implicit[0] else event.value
        if depth == DEPTH_MAX:
            self._report("BF115", event, path, f"nested deeper than {DEPTH_MAX} levels")
            raise _StoppedError
        if kind is SequenceStartEvent:
            return self._sequence(path, depth)
        assert kind is MappingStartEvent
        return self._mapping(path, depth)

    def _sequence(self, path: FieldPath, depth: int) -> list[Any]:
        items: list[Any] = []
        while type(event := self._next()) is not SequenceEndEvent:
            below = (*path, len(items))
            if self._has_positions:
                self._positions[below] = Position(None, _span(event), _is_scalar(event))
            items.append(self._value(event, below, depth + 1))
        return items

    def _mapping(self, path: FieldPath, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        while type(event := self._next()) is not MappingEndEvent:
            key = self._key(event, path, depth)
            value = self._next()
            below = (*path, key)
            if key in fields:
                self._report("BF108", event, below, f"key {_shown(key[:60], path)} is given twice")
                self._value(value, below, depth + 1)
                continue
            if self._has_positions:
                self._positions[below] = Position(_span(event), _span(value), _is_scalar(value))
            fields[key] = self._value(value, below, depth + 1)
        return fields

    def _key(self, event: Any, path: FieldPath, depth: int) -> str:
        key = self._value(event, path, depth + 1)
        if isinstance(key, str):
            if key == "<<" and event.implicit[0]:
                self._report("BF109", event, path, "merge key `<<` is not allowed")
            return key
        shown = f" {_shown(event.value[:40], path)}" if type(event) is ScalarEvent else ""
        self._report("BF114", event, path, f"key{shown} is not text")
        return str(event.value) if type(event) is ScalarEvent else ""

    def _scalar(self, event: Any, path: FieldPath) -> Any:
        text: str = event.value
        if text in _WORDS:
            return _WORDS[text]
        first = text[0]
        if first.isalpha():
            if text.lower() in _LOOKALIKES:
                shown = _shown(text, path)
                self._report("BF111", event, path, f"{shown} is a truth value to some readers")
            return text
        if len(text) > _DIGITS_MAX:
            return text
        if _INTEGER.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text):
            return Decimal(text)
        if _AMBIGUOUS_NUMBER.fullmatch(text):
            shown = _shown(text, path)
            self._report("BF112", event, path, f"{shown} is not one number to every YAML reader")
        elif _DATE.fullmatch(text):
            self._report("BF113", event, path, f"{_shown(text, path)} is a date to some readers")
        return text

    def _report(self, code: str, event: Any, path: FieldPath, message: str) -> None:
        self.problems.append(
            YamlProblem(code, message, _span(event), path, self._index, _HELP.get(code, ""))
        )
        if len(self.problems) >= PROBLEMS_MAX:
            raise _StoppedError


_HELP: Final = {
    "BF108": "keep one; which of the two counts depends on the reader",
    "BF109": "write the values out",
    "BF110": "remove the tag; put text in quotes",
    "BF111": "write `true` or `false`, or put text in quotes",
    "BF112": "write a plain decimal number such as `1000` or `0.5`, or put text in quotes",
    "BF113": "put it in quotes",
    "BF114": "put the key in quotes",
}


def _shown(text: str, path: FieldPath) -> str:
    """Quote *text* unless it may be a secret."""
    return "(not shown)" if is_secret_path(path) else f"`{text}`"


def is_secret_path(path: FieldPath) -> bool:
    """Return whether what stands at *path* must never be shown."""
    return any(isinstance(part, str) and part.lower() in _SECRET_NAMES for part in path)


def _is_document_start(event: Any) -> bool:
    return type(event) is DocumentStartEvent


def _is_scalar(event: Any) -> bool:
    return type(event) is ScalarEvent


def _span(event: Any) -> Span:
    start, end = event.start_mark, event.end_mark
    return Span(start.line + 1, start.column + 1, end.line + 1, end.column + 1)


def _syntax_problem(error: yaml.YAMLError, text: str, document: int) -> YamlProblem:
    """Say what is wrong without quoting the text: it may hold a secret."""
    mark: Any = getattr(error, "problem_mark", None)
    if mark is None:  # a byte that YAML does not allow at all
        return YamlProblem(
            "BF105", "contains a control character that YAML forbids", Span(), document=document
        )
    if mark.index >= len(text):  # the end of the file: point behind its last character
        last = text.rstrip().splitlines() or [""]
        span = Span(len(last), len(last[-1]) + 1, len(last), len(last[-1]) + 2)
    else:
        span = Span(mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 2)
    if text[mark.index : mark.index + 1] == "\t":
        return YamlProblem(
            "BF107", "a tab cannot indent YAML", span, document=document, help="indent with spaces"
        )
    problem = str(getattr(error, "problem", None) or "malformed")
    return YamlProblem("BF105", f"not YAML: {problem}", span, document=document)
