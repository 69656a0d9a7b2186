"""Let a strategy go only on positive proof that its owner removed it.

What could not be read is unknown, never absent. Invariants: nothing is allowed from a tree that is
incomplete, unsettled, empty or has errors; of what was not allowed before, never more than a
quarter of the running strategies (or one) is allowed at once without an approval of exactly that
set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from backfuturectl.model.status import Reason

GRACE_MS: Final = 10_000
SHARE_PCT: Final = 25


@dataclass(frozen=True, slots=True)
class TreeEvidence:
    """What one scan of the configuration root proves.

    Attributes:
        is_complete: Every directory and file was read to its end.
        is_settled: Two equal digests, far enough apart, and no Git lock.
        has_errors: Some document is invalid, or a reference or proof failed.
        documents: How many documents were read.
        unknown: Strategies whose document cannot be read now; they count as present.
        is_whole: Every file was read for it; none was taken as known by its stamp.
    """

    is_complete: bool
    is_settled: bool
    has_errors: bool
    documents: int
    unknown: frozenset[str] = frozenset()
    is_whole: bool = True


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
    missing = sorted(set(running) - set(desired))
    gone = [name for name in missing if name in leaving]
    news = [name for name in missing if name not in leaving]
    suspects = [name for name in news if name not in tree.unknown]
    unknown = [name for name in news if name in tree.unknown]
    doubt = _doubt(tree)
    # The delay runs while the tree is in doubt too: it guards against a brief absence, not doubt.
    since = {name: min(absent_since_ms.get(name, now_ms), now_ms) for name in suspects}
    ripe = [name for name in suspects if now_ms - since[name] >= grace_ms]
    largest = max(1, (len(set(running) - set(gone)) * SHARE_PCT) // 100)
    digest = removal_digest(suspects)
    if doubt is not None and news:
        reason, message = doubt
        return PruneVerdict(tuple(gone), tuple(news), (), "", reason, message, since)
    if len(suspects) > largest and digest not in approvals:
        message = (
            f"{len(suspects)} of {len(set(running))} running strategies are no longer in the "
            f"files, more than {largest} at once: {', '.join(suspects)}; "
            f"`backfuturectl approve {digest}` lets them go"
        )
        return PruneVerdict(
            tuple(gone),
            tuple(unknown),
            tuple(suspects),
            digest,
            Reason.PRUNE_BLOCKED,
            message,
            since,
        )
    if len(suspects) > largest and len(ripe) < len(suspects):
        # The approval is for the whole set: let it go at once, or its rest would be blocked again.
        ripe = []
    waiting = tuple(name for name in news if name not in ripe)
    if unknown:
        message = f"the files of {', '.join(unknown)} cannot be read; they count as present"
        return PruneVerdict(
            tuple(sorted((*gone, *ripe))),
            waiting,
            reason=Reason.SOURCE_UNREADABLE,
            message=message,
            absent_since_ms=since,
        )
    return PruneVerdict(
        tuple(sorted((*gone, *ripe))),
        waiting,
        reason=Reason.PROGRESSING if waiting else None,
        message=f"{', '.join(waiting)} will be removed shortly" if waiting else "",
        absent_since_ms=since,
    )


def removal_digest(strategies: Collection[str]) -> str:
    """Return twelve characters that stand for exactly this set of removals."""
    return hashlib.sha256("\n".join(sorted(strategies)).encode()).hexdigest()[:12]


def _doubt(tree: TreeEvidence) -> tuple[Reason, str] | None:
    if not tree.is_complete:
        return (
            Reason.SOURCE_UNREADABLE,
            "nothing is removed while a file or directory is unreadable",
        )
    if not tree.is_whole:
        return Reason.PROGRESSING, "nothing is removed before every file has been read again"
    if not tree.is_settled:
        return Reason.SOURCE_UNSETTLED, "nothing is removed while the files keep changing"
    if tree.documents == 0:
        return (
            Reason.PRUNE_BLOCKED,
            "the configuration root has no documents, which is taken for a failed checkout: "
            "nothing is removed; to end every strategy, set `state: stopped` in it",
        )
    if tree.has_errors:
        return Reason.SCHEMA_INVALID, "nothing is removed while a document is invalid"
    return None
