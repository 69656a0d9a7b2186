"""Errors named by what the caller does next.

Foreign exceptions are translated into these once, at the adapter that met them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backfuturectl.model.status import Reason


class BackfutureError(Exception):
    """Everything this program raises on purpose; the command line prints it without a traceback."""


class UsageError(BackfutureError):
    """The command line or a setting is wrong; exit code 64."""


class ConfigurationError(BackfutureError):
    """The program cannot start with what it was given; exit code 78.

    Attributes:
        remedy: What the user does next, one sentence.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class OperationError(BackfutureError):
    """An operation on the outside world failed for a named reason.

    Attributes:
        reason: Row of the closed reason table; cause and remedy hang on it.
        raw_code: The exchange's or tool's own code, as text; None when it sent none.
        retry_after_s: The server's own wish; never shortened by a caller.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        raw_code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.raw_code = raw_code
        self.retry_after_s = retry_after_s


class TransientError(OperationError):
    """Try again later; nothing in the configuration has to change."""


class PermanentError(OperationError):
    """Do not try again until the configuration or the account changes."""


class OutcomeUnknownError(OperationError):
    """An order may or may not exist: read before writing again."""


class InvalidTransitionError(BackfutureError):
    """A state table has no row for what happened; a defect or a lying exchange."""
