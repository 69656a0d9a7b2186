"""Put credentials into a file as SOPS ciphertext, and prove that it worked.

SOPS succeeds without a word when its rules select nothing and leaves the secrets in clear text, so
its result is checked leaf by leaf before anything is written.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from backfuturectl.model.errors import ConfigurationError
from backfuturectl.model.secret import Secret
from backfuturectl.secrets.document import SOPS_KEY, Document, LeafPath, read_document, with_values
from backfuturectl.secrets.program import run
from backfuturectl.secrets.sops import Sops

CREDENTIALS: Final[LeafPath] = ("spec", "credentials")
RULES_NAME: Final = ".sops.yaml"

_TIMEOUT_S: Final = 20.0
# A shorter text can stand in a file by chance; no exchange gives out keys that short.
_TELLING_LENGTH: Final = 8


async def encrypt_credentials(
    sops: Sops, content: bytes, new: Mapping[str, Secret], *, path: Path, rules: Path
) -> bytes:
    """Return *content* with *new* under ``spec.credentials``, encrypted for the rules' recipients.

    A file that is encrypted already is decrypted first, which proves that nobody changed its clear
    fields without the key; credentials that *new* does not name are kept.

    Args:
        sops: Decrypts what is encrypted already, and the result as a proof where it has a key.
        content: A Connection, encrypted or with placeholders in clear text.
        new: By key, such as ``apiKey``.
        path: Where the file will be: the rules choose by it.
        rules: The ``.sops.yaml``.

    Raises:
        ConfigurationError: The rules do not fit; nothing was written.
        PermanentError: *content* cannot be decrypted, or was tampered with.
        TransientError: As `Sops.decrypt`.
    """
    before = read_document(content)
    old = await sops.decrypt(content) if before.is_encrypted else {}
    clear = with_values(
        before,
        {leaf: secret.reveal() for leaf, secret in old.items()},
        parent=CREDENTIALS,
        new={key: secret.reveal() for key, secret in new.items()},
    ).encode()
    expected = {**old, **{(*CREDENTIALS, key): secret for key, secret in new.items()}}
    ciphertext = await _encrypt(sops.program, clear, path=path, rules=rules)
    _prove(read_document(clear), ciphertext, expected, rules)
    if sops.has_key and await sops.decrypt(ciphertext) != expected:
        raise ConfigurationError(f"{path} does not decrypt to what was encrypted")
    return ciphertext


def find_rules(path: Path) -> Path:
    """Return the ``.sops.yaml`` that rules *path*: the nearest one above it.

    Raises:
        ConfigurationError: There is none.
    """
    for folder in path.absolute().parents:
        if (folder / RULES_NAME).is_file():
            return folder / RULES_NAME
    raise ConfigurationError(
        f"there is no {RULES_NAME} above {path}",
        remedy="`backfuturectl init` writes one; it says which fields are encrypted and for whom",
    )


def write_atomically(path: Path, content: bytes) -> None:
    """Replace *path* so that a reader sees the old or the new content, never a part.

    The mode of an existing file is kept; a symbolic link stays one.

    Raises:
        OSError: It could not be written; the old content is still there.
    """
    target = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            _copy_access(target, file.fileno())
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _copy_access(target: Path, descriptor: int) -> None:
    try:
        present = target.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, 0o644)  # ciphertext in a Git repository; Git knows no other mode
        return
    os.fchmod(descriptor, present.st_mode & 0o7777)
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, present.st_uid, present.st_gid)


async def _encrypt(program: Path, clear: bytes, *, path: Path, rules: Path) -> bytes:
    completed = await run(program, _arguments(path, rules), stdin=clear, timeout_s=_TIMEOUT_S)
    if completed.exit_code == 0:
        return completed.stdout
    # The text itself is not shown: it can quote the input.
    if "no matching creation rules" in completed.stderr:
        raise ConfigurationError(
            f"no rule of {rules} matches {path}",
            remedy="add an entry to `creation_rules` whose `path_regex` matches the file",
        )
    raise ConfigurationError(
        f"sops could not encrypt {path} by {rules} (exit code {completed.exit_code})",
        remedy="check the recipients under `age:` and the spelling of the fields in the rules",
    )


def _arguments(path: Path, rules: Path) -> list[str]:
    return [
        *("--config", str(rules.absolute()), "encrypt"),
        *("--input-type", "yaml", "--output-type", "yaml"),
        # Absolute: a rule's path_regex is matched below the folder of the rules.
        *("--filename-override", str(path.absolute())),
    ]


def _prove(
    before: Document, ciphertext: bytes, expected: Mapping[LeafPath, Secret], rules: Path
) -> None:
    """Raise unless exactly the *expected* leaves of *before* became ciphertext."""
    after = read_document(ciphertext)
    texts = {leaf.path: leaf.text for leaf in before.leaves}
    if not after.is_encrypted or [leaf.path for leaf in after.leaves] != list(texts):
        raise ConfigurationError("sops changed the document's structure; nothing was written")
    for leaf in after.leaves:
        field = ".".join(map(str, leaf.path))
        if leaf.path in expected and not leaf.is_encrypted:
            raise ConfigurationError(
                f"{rules} does not select {field} for encryption; nothing was written",
                remedy="set `encrypted_regex: ^credentials$` in its rule",
            )
        if leaf.path not in expected and leaf.is_encrypted:
            raise ConfigurationError(
                f"{rules} selects {field}, which must stay readable; nothing was written",
                remedy="set `encrypted_regex: ^credentials$` in its rule",
            )
        if leaf.path not in expected and leaf.text != texts[leaf.path]:
            raise ConfigurationError(
                f"sops would rewrite the value of {field}; nothing was written",
                remedy="put the value into quotes",
            )
    if any(leaf.path == (SOPS_KEY, "mac_only_encrypted") for leaf in after.sops_leaves):
        raise ConfigurationError(
            f"{rules} sets `mac_only_encrypted`, which leaves the clear fields unprotected",
            remedy="remove it: a key could be redirected to another exchange",
        )
    for secret in expected.values():
        text = secret.reveal()
        if len(text) >= _TELLING_LENGTH and text.encode() in ciphertext:
            raise ConfigurationError(
                "a secret stands in clear text elsewhere in the file, such as in a comment; "
                "nothing was written",
                remedy="remove it there; if it was ever committed, make a new key",
            )
