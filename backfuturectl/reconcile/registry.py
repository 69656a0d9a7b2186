"""What is known of each resource: what the files want, what runs, and how it stands.

*Desired* is the document in the files when it is usable. *Applied* is the one that runs, kept in
the store as it came, so that a restart over a broken file resumes the good generation. An invalid
document changes only its own status.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from backfuturectl.config.parsing import Document
from backfuturectl.model.findings import Finding, Key
from backfuturectl.model.records import EventRecord, ResourceRecord
from backfuturectl.model.resources import Strategy
from backfuturectl.model.status import Reason
from backfuturectl.planning.conditions import Outcome, ResourceStatus, observe, transitions

Complaint = tuple[Reason, str, str | None]
"""Reason, one sentence, and the tool's own code: why a document in the files is not usable."""


@dataclass(slots=True)
class Entry:
    """One resource.

    Attributes:
        generation: Of *applied*; 0 before the first.
        findings: Rules that the files' document breaks; empty when it is usable.
        complaint: Why it is not usable, a broken rule or credentials that could not be had.
        is_present: Whether the files have it, usable or not.
        status: How it stands; None before the first pass over it.
    """

    kind: str
    name: str
    desired: Document | None = None
    applied: Document | None = None
    generation: int = 0
    path: str = ""
    findings: tuple[Finding, ...] = ()
    complaint: Complaint | None = None
    is_present: bool = True
    status: ResourceStatus | None = None

    @property
    def key(self) -> Key:
        """Kind and name."""
        return (self.kind, self.name)

    @property
    def document(self) -> Document | None:
        """The document to run: the files', else the last good one."""
        return self.desired or self.applied

    @property
    def generation_wanted(self) -> int:
        """Generation that *document* has, or will have once it runs."""
        return self.generation if self.is_current or self.desired is None else self.generation + 1

    @property
    def is_current(self) -> bool:
        """Whether what runs is what the files want."""
        return (
            self.desired is not None
            and self.applied is not None
            and self.desired.digest == self.applied.digest
        )


class Registry:
    """All resources by key, and the strategies by the connections they name.

    The one writer of entries' documents, so that what is found by connection is never stale.
    """

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._of_kind: dict[str, dict[str, Entry]] = {}
        self._users: dict[str, dict[str, Entry]] = {}
        self._named: dict[str, frozenset[str]] = {}

    @property
    def entries(self) -> Mapping[Key, Entry]:
        """Every entry, by kind and name."""
        return self._entries

    def get(self, kind: str, name: str) -> Entry | None:
        """Return one entry."""
        return self._entries.get((kind, name))

    def of_kind(self, kind: str) -> Iterator[Entry]:
        """Yield the entries of one kind, by name."""
        members = self._of_kind.get(kind, {})
        return (members[name] for name in sorted(members))

    def using(self, connection: str) -> tuple[Entry, ...]:
        """Return the strategies of which a document, wanted or running, names *connection*."""
        members = self._users.get(connection, {})
        return tuple(members[name] for name in sorted(members))

    def _entry(self, key: Key) -> Entry:
        entry = self._entries.get(key)
        if entry is None:
            self._add(entry := Entry(*key))
        return entry

    def _add(self, entry: Entry) -> None:
        self._entries[entry.key] = entry
        self._of_kind.setdefault(entry.kind, {})[entry.name] = entry
        self._index(entry)

    def _index(self, entry: Entry, *, is_gone: bool = False) -> None:
        """File *entry* under the connections that its documents name now."""
        if entry.kind != "Strategy":
            return
        documents = () if is_gone else (entry.desired, entry.applied)
        named = frozenset(
            connection
            for document in documents
            if document is not None and isinstance(document.resource, Strategy)
            for connection in document.resource.spec.connections
        )
        for connection in self._named.pop(entry.name, frozenset()) - named:
            del self._users[connection][entry.name]
        for connection in named:
            self._users.setdefault(connection, {})[entry.name] = entry
        if named:
            self._named[entry.name] = named

    def restore(self, record: ResourceRecord, document: Document) -> None:
        """Take what the store remembers as applied."""
        self._add(
            Entry(
                kind=record.kind,
                name=record.name,
                applied=document,
                generation=record.generation,
                path=record.path,
            )
        )

    def see(self, document: Document) -> bool:
        """Take a usable document of the files; return whether its content changed."""
        entry = self._entry(document.key)
        before = entry.desired
        was_invalid = entry.complaint is not None
        if before is document and not was_invalid and entry.is_present:
            return False  # among thousands of files nearly all
        entry.desired = document
        entry.path = document.path
        entry.findings = ()
        entry.complaint = None
        entry.is_present = True
        self._index(entry)
        return before is None or before.digest != document.digest or was_invalid

    def refuse(
        self, key: Key, path: str, complaint: Complaint, findings: Iterable[Finding] = ()
    ) -> bool:
        """Take note that the files' document is not usable; return whether that is news."""
        entry = self._entry(key)
        news = entry.status is None or entry.desired is not None or entry.complaint != complaint
        entry.desired = None
        entry.path = path
        entry.findings = tuple(findings)
        entry.complaint = complaint
        entry.is_present = True
        self._index(entry)
        return news

    def miss(self, key: Key) -> None:
        """Take note that a complete, settled reading lacks the document."""
        entry = self._entries[key]
        entry.desired = None
        entry.findings = ()
        entry.complaint = None
        entry.is_present = False
        self._index(entry)

    def drop(self, key: Key) -> None:
        """Forget a resource that is gone for good."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            del self._of_kind[entry.kind][entry.name]
            self._index(entry, is_gone=True)

    def applied(self, entry: Entry, document: Document, now_ms: int) -> ResourceRecord:
        """Take note that *document* runs now, and return the row that keeps it."""
        if entry.applied is None or entry.applied.digest != document.digest:
            entry.generation += 1
        entry.applied = document
        self._index(entry)
        return ResourceRecord(
            kind=entry.kind,
            name=entry.name,
            generation=entry.generation,
            digest=document.digest,
            source=document.source,
            path=document.path,
            accepted_at_ms=now_ms,
        )


def settle(entry: Entry, outcome: Outcome, now_ms: int) -> tuple[EventRecord, ...]:
    """Set how *entry* stands; return the events to keep, one per transition.

    While the files' document is not usable that is what is shown: it is what is to be mended.
    """
    if entry.complaint is not None:
        reason, message, raw_code = entry.complaint
        outcome = replace(outcome, reason=reason, message=message, raw_code=raw_code)
    before = entry.status
    entry.status = observe(before, outcome, now_ms)
    about = f"{entry.kind}/{entry.name}"
    if before is not None and (before.ready.status, before.ready.reason) == (
        entry.status.ready.status,
        entry.status.ready.reason,
    ):
        return ()  # the checks behind Ready tell people no more than Ready does
    return transitions(about, before, entry.status, now_ms)[:1]


_REASON_OF_RULES: Final = {
    "1": Reason.SOURCE_UNREADABLE,
    "2": Reason.SCHEMA_INVALID,
    "3": Reason.REFERENCE_NOT_FOUND,
    "4": Reason.INTEGRITY_FAILED,
    "5": Reason.POLICY_VIOLATED,
    "6": Reason.PROOF_FAILED,
}
"""Reason by the hundred of a rule code: BF3xx are references."""


def complaint_of(findings: Sequence[Finding]) -> Complaint:
    """Return what keeps a document from being used, in one sentence with its place."""
    first = findings[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    message = (
        f"{first.file}:{first.span.line}:{first.span.column}: {first.field or 'document'}: "
        f"{first.message} [{first.code}]{more}"
    )
    return _REASON_OF_RULES.get(first.code[2:3], Reason.SCHEMA_INVALID), message, None
