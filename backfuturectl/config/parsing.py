"""Turn files into documents: values, resources and every problem found on the way.

Nothing here looks at a second document; `references` does. All problems of all documents of a file
come out of one run.
"""

from __future__ import annotations

from dataclasses import dataclass

from backfuturectl.config.tree import SourceFile
from backfuturectl.model.findings import Finding, Key, Span
from backfuturectl.model.resources import Resource


@dataclass(frozen=True, slots=True)
class Document:
    """One document with our apiVersion whose kind and name could be read.

    Attributes:
        path: File it lies in; not part of its identity.
        index: Place within the file, from 0.
        resource: None when the document does not fit the schema.
        digest: SHA-256 over the canonical JSON of all values: comments, format, order of keys and
            the file's name do not enter; for a Connection the ciphertext and its SOPS block do.
        source: The bytes of this document alone; for a Connection the whole file, for SOPS.
        name_span: Where ``metadata.name`` stands.
    """

    kind: str
    name: str
    path: str
    index: int
    resource: Resource | None
    digest: str
    source: bytes
    name_span: Span

    @property
    def key(self) -> Key:
        """Return kind and name."""
        return (self.kind, self.name)


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What one file holds.

    Attributes:
        is_unknown: Some document in it could not be identified, so nobody can tell what is absent.
    """

    path: str
    documents: tuple[Document, ...]
    findings: tuple[Finding, ...]
    is_unknown: bool


class Parser:
    """Parses files, remembering results by path and digest: a re-scan costs only what changed."""

    def parse(self, file: SourceFile) -> ParsedFile:
        """Return what *file* holds; never raises for any content."""
        raise NotImplementedError
