"""What an exchange's refusal means: a table over (operation, raw code, text, HTTP status).

The exchange's own code decides, never a library's exception class. The same lost answer is
transient when reading and outcome-unknown when creating an order.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from backfuturectl.model.errors import (
    OperationError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
)
from backfuturectl.model.status import REASONS, Reason, ReasonClass

_TEXT_MAX: Final = 200


class Operation(enum.StrEnum):
    """What a request does, as far as a lost or strange answer is concerned.

    TRIAL: an order sent to be judged, which is never placed.
    """

    READ = "read"
    TRIAL = "trial"
    CREATE = "create"
    CANCEL = "cancel"
    SETUP = "setup"


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is no success, or no answer.

    Attributes:
        status: HTTP status; None when no whole answer came.
        code: The exchange's own code; None when the body carried none.
        text: The exchange's own words, or what happened to the answer.
        was_sent: False only when the request provably never left this machine.
        retry_after_s: The server's own wish.
    """

    text: str
    status: int | None = None
    code: str | None = None
    was_sent: bool = True
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class TextRule:
    """A code that several situations share, told apart by a part of its text, lower case."""

    code: str
    part: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """One exchange's codes.

    Attributes:
        exchange: As it writes itself, for messages.
        codes: Raw code to reason.
        texts: Looked at before *codes*.
        by_operation: Codes that mean something else for one operation; looked at first.
        rate_limit_s: How long to keep away after a rate-limit answer without a wish of its own.
    """

    exchange: str
    codes: Mapping[str, Reason]
    texts: tuple[TextRule, ...] = ()
    by_operation: Mapping[tuple[Operation, str], Reason] = field(default_factory=dict)
    rate_limit_s: float = 10.0


# The exchange (or something before it) did not say whether it acted: on create, look it up.
_UNCLEAR: Final = frozenset({Reason.EXCHANGE_UNAVAILABLE, Reason.EXCHANGE_ERROR})

_RATE_LIMIT_STATUSES: Final = frozenset({418, 429})
_UNAUTHORIZED: Final = 401

_SERVER_ERROR: Final = 500


def reason_of(failure: Failure, operation: Operation, table: ErrorTable) -> Reason:
    """Return why *failure* happened; EXCHANGE_ERROR for a code that is not in the table."""
    if failure.status is None:
        return Reason.EXCHANGE_UNAVAILABLE
    if failure.code is not None:
        by_operation = table.by_operation.get((operation, failure.code))
        if by_operation is not None:
            return by_operation
        lowered = failure.text.lower()
        for rule in table.texts:
            if rule.code == failure.code and rule.part in lowered:
                return rule.reason
        if failure.code in table.codes:
            return table.codes[failure.code]
    if failure.status in _RATE_LIMIT_STATUSES:
        return Reason.RATE_LIMITED
    if failure.code is None:
        # A firewall's or proxy's page (403, 401, a redirect), or a cut-off body: not a verdict
        # of the exchange on the key.
        return Reason.EXCHANGE_UNAVAILABLE
    return Reason.INVALID_KEY if failure.status == _UNAUTHORIZED else Reason.EXCHANGE_ERROR


def translate(failure: Failure, operation: Operation, table: ErrorTable) -> OperationError:
    """Return the error to raise for *failure*."""
    reason = reason_of(failure, operation, table)
    message = _message(failure, table)
    retry_after_s = failure.retry_after_s
    if reason is Reason.RATE_LIMITED and retry_after_s is None:
        retry_after_s = table.rate_limit_s
    if operation is Operation.CREATE and _may_exist(failure, reason):
        return OutcomeUnknownError(
            Reason.ORDER_OUTCOME_UNKNOWN,
            message,
            raw_code=failure.code,
            retry_after_s=retry_after_s,
        )
    is_transient = REASONS[reason].kind is ReasonClass.RETRYABLE
    kind = TransientError if is_transient else PermanentError
    return kind(reason, message, raw_code=failure.code, retry_after_s=retry_after_s)


def _may_exist(failure: Failure, reason: Reason) -> bool:
    """Return whether an order may exist after a create that failed like this.

    A 5xx leaves it open whatever its body says; so does a code that is not in the table.
    """
    if not failure.was_sent:
        return False
    is_server_error = failure.status is not None and failure.status >= _SERVER_ERROR
    return is_server_error or reason in _UNCLEAR


def _message(failure: Failure, table: ErrorTable) -> str:
    words = "".join(part if part.isprintable() else " " for part in failure.text)
    if len(words) > _TEXT_MAX:
        words = f"{words[:_TEXT_MAX]}…"
    code = failure.code if failure.code is not None else failure.status
    where = table.exchange if code is None else f"{table.exchange} {code}"
    return f"{where}: {words}"
