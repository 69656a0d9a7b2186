"""What a check has to say about a file: one value, whoever found it and however it is printed."""

from __future__ import annotations

import enum
from dataclasses import dataclass

Key = tuple[str, str]
"""Kind and name: the identity of a document, whatever file it lies in."""


class Severity(enum.StrEnum):
    """How bad a finding is; only an error keeps a document from being used."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of a file; lines and columns count from 1, the end column is exclusive."""

    line: int = 1
    column: int = 1
    end_line: int = 1
    end_column: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem at one place.

    Attributes:
        code: Row of `rules.RULES`.
        message: One sentence for people, lower case; never a secret.
        file: Path as the user gave the root, printable even where the name is not UTF-8.
        field: Dotted path inside the document, ``spec.averaging.stepScale``; empty for the whole.
        subjects: Documents that an error makes unusable; empty where no document was recognised.
        help: What the user does next; empty where the message says it all.
    """

    code: str
    severity: Severity
    message: str
    file: str
    span: Span = Span()
    field: str = ""
    subjects: tuple[Key, ...] = ()
    help: str = ""

    @property
    def is_error(self) -> bool:
        """Whether the subjects cannot be used."""
        return self.severity is Severity.ERROR

    @property
    def place(self) -> tuple[str, Span, str, str]:
        """Return the sort key: file, position, code, message."""
        return (self.file, self.span, self.code, self.message)
