"""Name why decryption failed, from an exit code and text that must not be shown.

SOPS quotes plaintext in some of its messages, so its text is matched here and then dropped: only
the names and sentences of this table go further. Texts were seen on SOPS 3.11.0; they are matched
loosely, and what matches nothing has a name too.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from backfuturectl.model.errors import PermanentError, TransientError
from backfuturectl.model.status import Reason


class SopsFailure(enum.StrEnum):
    """Subcauses of DecryptFailed and IntegrityFailed; values are part of the public interface."""

    NOT_ENCRYPTED = "NotEncrypted"
    METADATA_INVALID = "MetadataInvalid"
    NO_RECIPIENTS = "NoRecipients"
    MALFORMED = "Malformed"
    ALIASES = "Aliases"
    MULTIPLE_DOCUMENTS = "MultipleDocuments"
    TOO_LARGE = "TooLarge"

    NO_IDENTITY = "NoIdentity"
    KEY_FILE_UNREADABLE = "KeyFileUnreadable"
    KEY_MALFORMED = "KeyMalformed"
    KEY_MISMATCH = "KeyMismatch"
    STANZA_DAMAGED = "StanzaDamaged"
    SHAMIR_THRESHOLD = "ShamirThreshold"
    KEY_SERVICE_UNAVAILABLE = "KeyServiceUnavailable"

    CLEAR_TEXT = "ClearText"
    VALUE_ALTERED = "ValueAltered"
    MAC_MISMATCH = "MacMismatch"
    MAC_MISSING = "MacMissing"
    MAC_PARTIAL = "MacPartial"

    STILL_ENCRYPTED = "StillEncrypted"
    NOT_TEXT = "NotText"
    MASKED = "Masked"
    UNPRINTABLE = "Unprintable"

    TIMED_OUT = "TimedOut"
    KILLED = "Killed"
    COULD_NOT_START = "CouldNotStart"
    OUTPUT_INVALID = "OutputInvalid"
    UNCLASSIFIED = "Unclassified"


@dataclass(frozen=True, slots=True)
class FailureRow:
    """What a subcause means.

    Attributes:
        is_retryable: It can pass without a change of the file: the key file appears, memory is
            free again. Everything else waits for other bytes.
    """

    reason: Reason
    is_retryable: bool
    cause: str
    remedy: str


def _file(cause: str, remedy: str) -> FailureRow:
    return FailureRow(Reason.DECRYPT_FAILED, is_retryable=False, cause=cause, remedy=remedy)


def _machine(cause: str, remedy: str) -> FailureRow:
    return FailureRow(Reason.DECRYPT_FAILED, is_retryable=True, cause=cause, remedy=remedy)


def _tampered(cause: str) -> FailureRow:
    return FailureRow(
        Reason.INTEGRITY_FAILED,
        is_retryable=False,
        cause=cause,
        remedy="restore the file from Git and edit it with `backfuturectl edit`; treat a change "
        "that nobody explains as an attack",
    )


FAILURES: Final[dict[SopsFailure, FailureRow]] = {
    SopsFailure.NOT_ENCRYPTED: _file(
        "the file has no SOPS metadata: it is not encrypted, or cut off",
        "encrypt it with `backfuturectl secret set`; if it was encrypted, restore it from Git",
    ),
    SopsFailure.METADATA_INVALID: _file(
        "the file's `sops` block is damaged", "restore the file from Git"
    ),
    SopsFailure.NO_RECIPIENTS: _file(
        "the file's `sops` block names no recipient", "restore the file from Git"
    ),
    SopsFailure.MALFORMED: _file(
        "the file is not well-formed YAML",
        "look for merge-conflict markers, tabs and duplicate keys with `backfuturectl validate`",
    ),
    SopsFailure.ALIASES: _file(
        "the file uses YAML anchors or aliases, which SOPS rewrites",
        "write the values out, then encrypt again",
    ),
    SopsFailure.MULTIPLE_DOCUMENTS: _file(
        "the file holds several YAML documents, of which SOPS reads only the first",
        "put each encrypted document into a file of its own",
    ),
    SopsFailure.TOO_LARGE: _file(
        "the file is larger than a credentials file can be", "keep one Connection per file"
    ),
    SopsFailure.NO_IDENTITY: _machine(
        "no age key was found", "set SOPS_AGE_KEY_FILE to the age key; see `backfuturectl doctor`"
    ),
    SopsFailure.KEY_FILE_UNREADABLE: _machine(
        "the age key file is missing or cannot be read",
        "check the path and permissions of SOPS_AGE_KEY_FILE with `backfuturectl doctor`",
    ),
    SopsFailure.KEY_MALFORMED: _machine(
        "the age key file does not hold an age key",
        "the file must hold a line that starts with AGE-SECRET-KEY-1",
    ),
    SopsFailure.KEY_MISMATCH: _file(
        "the age key is none of the file's recipients",
        "use the matching key, or have an owner of one add this machine's recipient to "
        "`.sops.yaml` and run `sops updatekeys`",
    ),
    SopsFailure.STANZA_DAMAGED: _file(
        "the encrypted data key in the `sops` block is damaged", "restore the file from Git"
    ),
    SopsFailure.SHAMIR_THRESHOLD: _file(
        "the file needs keys of several groups, and too few are here",
        "encrypt Connections for one group of recipients",
    ),
    SopsFailure.KEY_SERVICE_UNAVAILABLE: _machine(
        "a key service cannot be reached", "wait; it is tried again by itself"
    ),
    SopsFailure.CLEAR_TEXT: _tampered("a field that must be encrypted holds clear text"),
    SopsFailure.VALUE_ALTERED: _tampered(
        "an encrypted value was altered, moved, or its key renamed"
    ),
    SopsFailure.MAC_MISMATCH: _tampered("a value was changed, added or removed without the key"),
    SopsFailure.MAC_MISSING: _tampered("the message authentication code is missing or damaged"),
    SopsFailure.MAC_PARTIAL: _tampered(
        "`mac_only_encrypted` leaves the clear fields unprotected, so the key could be redirected"
    ),
    SopsFailure.STILL_ENCRYPTED: _file(
        "a decrypted value is SOPS ciphertext again",
        "the file was encrypted twice; enter the values with `backfuturectl secret set`",
    ),
    SopsFailure.NOT_TEXT: _file(
        "a decrypted value is not text", "enter the values with `backfuturectl secret set`"
    ),
    SopsFailure.MASKED: _file(
        "a decrypted value is a mask or a placeholder, not a key",
        "enter the values with `backfuturectl secret set`",
    ),
    SopsFailure.UNPRINTABLE: _file(
        "a decrypted value has white space at its ends or control characters in it",
        "enter the values with `backfuturectl secret set`",
    ),
    SopsFailure.TIMED_OUT: _machine(
        "sops did not finish in time and was stopped", "wait; it is tried again by itself"
    ),
    SopsFailure.KILLED: _machine(
        "sops was killed by a signal", "check the machine's memory; it is tried again by itself"
    ),
    SopsFailure.COULD_NOT_START: _machine(
        "sops could not be started", "see `backfuturectl doctor`"
    ),
    SopsFailure.OUTPUT_INVALID: _file(
        "sops wrote something other than the decrypted document", "see `backfuturectl doctor`"
    ),
    SopsFailure.UNCLASSIFIED: _machine(
        "sops failed for a reason this program does not know",
        "run `sops decrypt` on the file by hand; its messages can quote secrets",
    ),
}

# Rows are tried from top to bottom. One text can carry the messages of several keys, so what an
# operator can mend comes before what follows from it.
_TEXTS: Final[tuple[tuple[int, str, SopsFailure], ...]] = (
    (1, "sops metadata not found", SopsFailure.NOT_ENCRYPTED),
    (1, "parsing time", SopsFailure.METADATA_INVALID),
    (1, "Version string empty", SopsFailure.METADATA_INVALID),
    (1, "No Major.Minor.Patch elements found", SopsFailure.METADATA_INVALID),
    (1, "No keys found in file", SopsFailure.NO_RECIPIENTS),
    (1, "already defined at line", SopsFailure.MALFORMED),
    (1, "into stores.SopsFile", SopsFailure.MALFORMED),
    (1, "cannot unmarshal", SopsFailure.METADATA_INVALID),
    (1, "Error unmarshalling", SopsFailure.MALFORMED),
    (128, "failed to open SOPS_AGE_KEY_FILE", SopsFailure.KEY_FILE_UNREADABLE),
    (128, "unknown identity type", SopsFailure.KEY_MALFORMED),
    (128, "malformed secret key", SopsFailure.KEY_MALFORMED),
    (128, "failed to parse", SopsFailure.KEY_MALFORMED),
    (128, "failed to load age identities", SopsFailure.NO_IDENTITY),
    (128, "code = Unavailable", SopsFailure.KEY_SERVICE_UNAVAILABLE),
    (128, "encrypted with a Shamir threshold of", SopsFailure.SHAMIR_THRESHOLD),
    (128, "parsing age header", SopsFailure.STANZA_DAMAGED),
    (128, "invalid armor", SopsFailure.STANZA_DAMAGED),
    (128, "failed to copy age decrypted data", SopsFailure.STANZA_DAMAGED),
    (128, "identity did not match any of the recipients", SopsFailure.KEY_MISMATCH),
    (51, "File has no MAC", SopsFailure.MAC_MISSING),
    (51, "Cannot decrypt MAC", SopsFailure.MAC_MISSING),
    (51, "", SopsFailure.MAC_MISMATCH),
    (52, "", SopsFailure.MAC_MISSING),
    (25, "does not match sops' data format", SopsFailure.CLEAR_TEXT),
    (25, "", SopsFailure.VALUE_ALTERED),
    (2, "panic: interface conversion", SopsFailure.CLEAR_TEXT),
)
_GUTTER: Final = re.compile(r"^[ \t]*\|[ \t]?", re.MULTILINE)
_SPACE: Final = re.compile(r"\s+")


def classify(exit_code: int, stderr: str) -> SopsFailure:
    """Return why SOPS ended with *exit_code*, which is not 0; negative is a signal's number."""
    if exit_code < 0:
        return SopsFailure.KILLED
    text = normalise(stderr)
    for code, fragment, failure in _TEXTS:
        if code == exit_code and fragment in text:
            return failure
    return SopsFailure.UNCLASSIFIED


def normalise(stderr: str) -> str:
    """Return *stderr* on one line: SOPS wraps it at 60 characters behind a ``|`` gutter."""
    return _SPACE.sub(" ", _GUTTER.sub("", stderr)).strip()


def failed(failure: SopsFailure) -> PermanentError | TransientError:
    """Return the error to raise for *failure*; its raw code is the subcause's name."""
    row = FAILURES[failure]
    kind = TransientError if row.is_retryable else PermanentError
    return kind(row.reason, f"{row.cause}; {row.remedy}", raw_code=failure.value)
