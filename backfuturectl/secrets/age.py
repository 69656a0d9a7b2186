"""Make and read age keys; the private part is never printed.

Needs pyrage, from the extra ``sops``; nothing else in the program does.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from backfuturectl.model.errors import ConfigurationError


def make_key(path: Path) -> str:
    """Write a new private key to *path* and return its recipient, the public part.

    The file belongs to its owner alone (0600) and its new directories too (0700).

    Raises:
        ConfigurationError: pyrage is missing, *path* exists, or it cannot be written.
    """
    identity = _pyrage().x25519.Identity.generate()
    recipient = str(identity.to_public())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{path} exists", remedy="use that key, or name another file with --age-key-file"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(f"# public key: {recipient}\n{identity}\n")
        file.flush()
        os.fsync(file.fileno())
    return recipient


def recipients_of(path: Path) -> tuple[str, ...]:
    """Return the recipients of the private keys in *path*, in its order.

    Raises:
        ConfigurationError: pyrage is missing, the file cannot be read, or a line is no age key.
    """
    pyrage = _pyrage()
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            f"the age key file {path} is missing or cannot be read",
            remedy="make one with `backfuturectl init`, or set SOPS_AGE_KEY_FILE",
        ) from None
    recipients = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            recipients.append(str(pyrage.x25519.Identity.from_str(line.strip()).to_public()))
        except pyrage.IdentityError:
            # From None: the library's message could quote the line.
            raise ConfigurationError(
                f"line {number} of {path} is not an age key",
                remedy="each line is empty, a comment, or starts with AGE-SECRET-KEY-1",
            ) from None
    return tuple(recipients)


def _pyrage() -> ModuleType:
    try:
        import pyrage  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra; few commands need it
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "the Python package pyrage is needed to handle age keys",
            remedy="install `backfuturectl[sops]`, or make a key with `age-keygen` and name it "
            "with --age-key-file",
        ) from error
    assert isinstance(pyrage, ModuleType)
    return pyrage
