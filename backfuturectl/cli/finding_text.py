"""Findings for people: place, sentence, source line, caret, what to do.

A source line that may hold a secret is cut off after its first key: a report ends up in logs that
more people can read than the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from backfuturectl.config.compile import Loaded
from backfuturectl.model.findings import Finding, Severity

_WIDTH_MAX: Final = 160
_MASK: Final = "****"
_SECRET_WORD: Final = re.compile(
    r"credentials|api_?key|secret|password|passphrase|private_?key|token", re.IGNORECASE
)
_STRUCTURE: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "sops", "capital"})
_AROUND_KEY: Final = " -{\"'"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_COLOURS: Final = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.NOTE: "36"}


def text_report(loaded: Loaded, *, is_coloured: bool) -> str:
    """Return the whole report, ending in a summary."""
    sources = {
        file.path: file.content for file in loaded.tree.files if file.content and not file.rule
    }
    lines = [*_all_findings(loaded, sources, is_coloured=is_coloured)]
    lines.append(_paint(summary(loaded), "1", is_coloured=is_coloured))
    if loaded.unknown:
        lines.append(
            f"not understood, so nothing they held counts as removed: {len(loaded.unknown)}"
        )
    lines += [f"assumed of {sentence}" for sentence in loaded.assumed]
    codes = sorted({finding.code for finding in loaded.findings if not _is_note(finding)})
    if codes:
        lines.append(f"for more: backfuturectl explain {' '.join(codes[:6])}")
    return "\n".join(lines) + "\n"


def summary(loaded: Loaded) -> str:
    """Return one line with the counts."""
    counts = dict.fromkeys(Severity, 0)
    for finding in loaded.findings:
        counts[finding.severity] += 1
    found = ", ".join(
        f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items()
    )
    documents, files = len(loaded.documents), len(loaded.tree.files)
    plural = "s" if documents != 1 else ""
    return f"{found}: {documents} document{plural} in {files} file{'s' if files != 1 else ''}"


def printed(text: str) -> str:
    """Return *text* safe for a terminal and for one line: control characters are spelled out."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _all_findings(
    loaded: Loaded, sources: Mapping[str, bytes], *, is_coloured: bool
) -> Iterator[str]:
    cut: dict[str, list[str]] = {}
    for finding in loaded.findings:
        content = sources.get(finding.file)
        if content is not None and finding.file not in cut:
            cut = {finding.file: content.decode().removeprefix("\ufeff").splitlines()}
        yield from _finding(finding, cut.get(finding.file, []), is_coloured=is_coloured)


def _finding(finding: Finding, lines: list[str], *, is_coloured: bool) -> Iterator[str]:
    span = finding.span
    colour = _COLOURS[finding.severity]
    place = f"{printed(finding.file)}:{span.line}:{span.column}:"
    yield (
        f"{_paint(place, '1', is_coloured=is_coloured)} "
        f"{_paint(finding.severity, colour, is_coloured=is_coloured)} {finding.code} "
        f"{printed(finding.message)}"
    )
    if not _is_note(finding) and span.line <= len(lines):
        yield from _excerpt(finding, lines, colour, is_coloured=is_coloured)
    if finding.help:
        yield f"  {_paint('help:', '1', is_coloured=is_coloured)} {printed(finding.help)}"
    yield ""


def _excerpt(
    finding: Finding, lines: list[str], colour: str, *, is_coloured: bool
) -> Iterator[str]:
    span = finding.span
    line, start = lines[span.line - 1], span.column - 1
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    if _may_hold_secret(finding, line, lines):
        key = _known_key(finding, line)
        if start > len(key):
            start, end = len(key) - len(key.lstrip(_AROUND_KEY)), len(key)
        line = f"{key}: {_MASK}" if key else _MASK
        start, end = min(start, len(line)), min(end, len(line))
    first = max(0, start - _WIDTH_MAX // 2)
    shown = line[first : first + _WIDTH_MAX].replace("\t", " ")
    number = str(span.line)
    yield f"  {number} | {_CONTROL.sub('·', shown)}"
    width = max(1, min(end, first + _WIDTH_MAX) - start)
    caret = _paint("^" * width, colour, is_coloured=is_coloured)
    yield f"  {' ' * len(number)} | {' ' * (start - first)}{caret}"


def _known_key(finding: Finding, line: str) -> str:
    """Return *line* up to its key, if that is a field's name and no part of a value."""
    key, colon, _ = line.partition(":")
    name = key.strip(_AROUND_KEY)
    is_field = name in _STRUCTURE or name in finding.field.split(".")
    return key if colon and (is_field or _SECRET_WORD.fullmatch(name)) else ""


def _may_hold_secret(finding: Finding, line: str, lines: list[str]) -> bool:
    if _SECRET_WORD.search(line) or _SECRET_WORD.search(finding.field):
        return True
    # Without a field nobody knows what the line belongs to, perhaps to a secret over two lines.
    return not finding.field and any(_SECRET_WORD.search(each) for each in lines)


def _is_note(finding: Finding) -> bool:
    return finding.severity is Severity.NOTE


def _paint(text: str, colour: str, *, is_coloured: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if is_coloured else text
