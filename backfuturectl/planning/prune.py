"""Let a strategy go only on positive proof that its owner removed it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from backfuturectl.model.status import Reason

GRACE_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class TreeEvidence:
    """What one scan of the configuration root proves.

    Attributes:
        is_complete: Every directory and file was read to its end.
        is_settled: Two equal digests, far enough apart, and no Git lock.
        has_errors: Some document is invalid, or a reference or proof failed.
        documents: How many documents were read.
        unknown: Strategies whose document cannot be read now; they count as present.
    """

    is_complete: bool
    is_settled: bool
    has_errors: bool
    documents: int
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PruneVerdict:
    """What may go.

    Attributes:
        allowed: Strategies whose bots may be stopped now.
        waiting: Missing, but the proof or the grace delay is not complete.
        blocked: Too many at once; go only after an approval of *digest*.
        digest: Of the blocked set; empty when nothing is blocked.
        reason: Why something waits or is blocked; None when nothing does.
        absent_since_ms: Hand it to the next call.
    """

    allowed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    digest: str = ""
    reason: Reason | None = None
    message: str = ""
    absent_since_ms: Mapping[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> frozenset[str]:
        """The strategies that stay although the files do not name them."""
        return frozenset((*self.waiting, *self.blocked))


def guard_prune(
    *,
    running: Collection[str],
    desired: Collection[str],
    leaving: Collection[str],
    tree: TreeEvidence,
    approvals: Collection[str],
    absent_since_ms: Mapping[str, int],
    now_ms: int,
    grace_ms: int = GRACE_MS,
) -> PruneVerdict:
    """Return which of the *running* strategies that *desired* lacks may go.

    Args:
        running: Strategies with a bot on the books.
        desired: Strategies that the files ask for, last known good ones included.
        leaving: Strategies let go before whose bots still wind down; they are not counted again.
        tree: What the scan behind *desired* proves.
        approvals: Digests that an operator approved.
        absent_since_ms: From the previous verdict.
        now_ms: Wall time.
        grace_ms: How long a strategy must be missing before it may go.
    """
    raise NotImplementedError
