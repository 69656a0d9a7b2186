"""What is known of each resource: what the files want, what runs, and how it stands.

*Desired* is the document in the files when it is usable. *Applied* is the one that runs, kept in
the store as it came, so that a restart over a broken file resumes the good generation. An invalid
document changes only its own status.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from backfuturectl.config.parsing import Document
from backfuturectl.model.findings import Finding, Key
from backfuturectl.model.records import EventRecord, ResourceRecord
from backfuturectl.model.status import REASONS, Reason, ReasonClass


@dataclass(slots=True)
class Entry:
    """One resource.

    Attributes:
        generation: Of *applied*; 0 before the first.
        findings: Why the files' document is not usable; empty when it is.
        absent_since_ms: When a complete, settled reading first lacked it; None while it is there.
        reason: How it stands; with *message* and *raw_code* it is the resource's Ready condition.
        since_ms: When *reason* last changed.
    """

    kind: str
    name: str
    desired: Document | None = None
    applied: Document | None = None
    generation: int = 0
    path: str = ""
    findings: tuple[Finding, ...] = ()
    absent_since_ms: int | None = None
    reason: Reason = Reason.PROGRESSING
    message: str = ""
    raw_code: str | None = None
    since_ms: int = 0

    @property
    def key(self) -> Key:
        """Kind and name."""
        return (self.kind, self.name)

    @property
    def document(self) -> Document | None:
        """The document to run: the files', else the last good one."""
        return self.desired or self.applied

    @property
    def is_current(self) -> bool:
        """Whether what runs is what the files want."""
        return (
            self.desired is not None
            and self.applied is not None
            and self.desired.digest == self.applied.digest
        )


@dataclass(slots=True)
class Registry:
    """All resources by key."""

    entries: dict[Key, Entry] = field(default_factory=dict)

    def get(self, kind: str, name: str) -> Entry | None:
        """Return one entry."""
        return self.entries.get((kind, name))

    def of_kind(self, kind: str) -> Iterator[Entry]:
        """Yield the entries of one kind, by name."""
        return (self.entries[key] for key in sorted(self.entries) if key[0] == kind)

    def restore(self, record: ResourceRecord, document: Document) -> None:
        """Take what the store remembers as applied."""
        self.entries[(record.kind, record.name)] = Entry(
            kind=record.kind,
            name=record.name,
            applied=document,
            generation=record.generation,
            path=record.path,
            since_ms=record.accepted_at_ms,
        )

    def see(self, document: Document) -> bool:
        """Take a usable document of the files; return whether its content changed."""
        entry = self.entries.setdefault(document.key, Entry(*document.key))
        before = entry.desired
        was_invalid = bool(entry.findings)
        entry.desired = document
        entry.path = document.path
        entry.findings = ()
        entry.absent_since_ms = None
        return before is None or before.digest != document.digest or was_invalid

    def refuse(self, key: Key, path: str, findings: Iterable[Finding]) -> bool:
        """Take note that the files' document is not usable; return whether that is news."""
        entry = self.entries.setdefault(key, Entry(*key))
        news = entry.desired is not None or entry.findings != tuple(findings)
        entry.desired = None
        entry.path = path
        entry.findings = tuple(findings)
        entry.absent_since_ms = None
        return news

    def miss(self, key: Key, now_ms: int) -> None:
        """Take note that a complete, settled reading lacks the document."""
        entry = self.entries[key]
        entry.desired = None
        entry.findings = ()
        if entry.absent_since_ms is None:
            entry.absent_since_ms = now_ms

    def applied(self, entry: Entry, document: Document, now_ms: int) -> ResourceRecord:
        """Take note that *document* runs now, and return the row that keeps it."""
        if entry.applied is None or entry.applied.digest != document.digest:
            entry.generation += 1
        entry.applied = document
        return ResourceRecord(
            kind=entry.kind,
            name=entry.name,
            generation=entry.generation,
            digest=document.digest,
            source=document.source,
            path=document.path,
            accepted_at_ms=now_ms,
        )


def settle_status(
    entry: Entry,
    reason: Reason,
    now_ms: int,
    *,
    message: str = "",
    raw_code: str | None = None,
) -> EventRecord | None:
    """Set how *entry* stands; return the event to keep when that is a transition."""
    is_transition = entry.reason is not reason or (
        entry.message != message and REASONS[reason].kind is not ReasonClass.RETRYABLE
    )
    entry.message = message
    entry.raw_code = raw_code
    if not is_transition:
        return None
    entry.reason = reason
    entry.since_ms = now_ms
    kind = (
        "Normal" if REASONS[reason].kind in {ReasonClass.GOOD, ReasonClass.WAITING} else "Warning"
    )
    return EventRecord(
        at_ms=now_ms,
        about=f"{entry.kind}/{entry.name}",
        kind=kind,
        reason=str(reason),
        message=message or REASONS[reason].cause,
    )
