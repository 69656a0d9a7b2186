"""What a check says before it is known where it stands.

Checks speak of fields; positions are looked up only when there is something to report, since
recording them for every field of every document would cost most of the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from backfuturectl.config.yaml_source import FieldPath, Position, YamlDocument, read
from backfuturectl.model.findings import Finding, Key, Severity, Span
from backfuturectl.model.rules import RULES

_CREDENTIALS: Final = frozenset({"apiKey", "secret", "password"})


@dataclass(frozen=True, slots=True)
class Remark:
    """One problem of one document.

    Attributes:
        path: The field; of a missing one, where it would be.
        is_about_key: Point at the key, not at the value.
        severity: None for the rule's own.
        span: Where it is known without looking.
        subjects: Documents it makes unusable; None for the document it stands in.
    """

    code: str
    path: FieldPath
    message: str
    help: str = ""
    is_about_key: bool = False
    severity: Severity | None = None
    span: Span | None = None
    subjects: tuple[Key, ...] | None = None


class Locator:
    """Looks up positions; keeps those of the last file only, so ask file by file."""

    def __init__(self) -> None:
        self._content: bytes | None = None
        self._documents: tuple[YamlDocument, ...] = ()

    def positions(self, content: bytes, index: int) -> YamlDocument | None:
        """Return document *index* of *content* with its positions; None if it is unreadable."""
        if content is not self._content:
            self._content = content
            self._documents = read(content, has_positions=True).documents
        return self._documents[index] if index < len(self._documents) else None


def locate(
    remark: Remark,
    file: str,
    document: YamlDocument | None,
    *,
    subject: Key | None,
) -> Finding:
    """Return *remark* as a finding at its place in *file*."""
    subjects = remark.subjects
    if subjects is None:
        subjects = () if subject is None else (subject,)
    span = remark.span
    if span is None:
        span = Span() if document is None else _span(remark, document)
    return Finding(
        code=remark.code,
        severity=remark.severity or RULES[remark.code].severity,
        message=remark.message,
        file=file,
        span=span,
        field=dotted(remark.path),
        subjects=subjects,
        help=remark.help,
    )


def dotted(path: FieldPath) -> str:
    """Return *path* as people write it: ``spec.pairs[1]``.

    What stands where a credential's name should be may be the credential itself, so it is left out.
    """
    text = ""
    for above, part in zip(("", *path), path, strict=False):
        if above in _CREDENTIALS or (above == "credentials" and part not in _CREDENTIALS):
            break
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _span(remark: Remark, document: YamlDocument) -> Span:
    positions: Mapping[FieldPath, Position] = document.positions
    path = remark.path
    exact = positions.get(path)
    if exact is not None:
        if exact.key is not None and (remark.is_about_key or not exact.is_scalar):
            return exact.key
        return exact.value
    while path := path[:-1]:  # a missing field: point at the mapping it belongs to
        above = positions.get(path)
        if above is not None:
            return above.key or above.value
    return document.span
