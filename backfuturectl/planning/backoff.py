"""Decide how long to wait after failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BASE_S: Final = 1.0
CAP_S: Final = 300.0
_SPREAD: Final = 0.2
# Jitter is on top of this, so that even waits at the cap are spread out and none exceeds it.
_LARGEST_S: Final = CAP_S / (1 + _SPREAD)
_DOUBLINGS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Failures:
    """How often one key failed in a row with one configuration.

    Attributes:
        digest: Of the configuration that failed; another one starts over.
    """

    digest: str
    count: int


def failed(previous: Failures | None, digest: str) -> Failures:
    """Return the count after one more failure with *digest*."""
    if previous is None or previous.digest != digest:
        return Failures(digest, 1)
    return Failures(digest, previous.count + 1)


def delay_s(failures: Failures, *, jitter: float, retry_after_s: float | None = None) -> float:
    """Return how long to wait before the next try: 1 s, doubled per failure, at most 5 min.

    Args:
        failures: At least one.
        jitter: A number in [0, 1) drawn by the caller; spreads the wait by 20 % either way.
        retry_after_s: The server's own wish; never shortened, also beyond the cap.
    """
    doublings = min(failures.count - 1, _DOUBLINGS_MAX)
    wait_s = min(BASE_S * 2.0**doublings, _LARGEST_S) * (1 - _SPREAD + 2 * _SPREAD * jitter)
    return max(wait_s, retry_after_s or 0.0)
