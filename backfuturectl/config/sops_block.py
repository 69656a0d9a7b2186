"""What can be said about a SOPS file without its key.

The schema knows which fields are secret, so a file that SOPS calls encrypted while a secret stands
in it in clear is found here. Values are never quoted in a message.

Source: SOPS 3.11 file format; the MAC covers values, not key names or types.
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from backfuturectl.config.remarks import Remark, dotted
from backfuturectl.config.yaml_source import FieldPath, is_secret_path
from backfuturectl.model.secret import is_placeholder

_CREDENTIALS: Final[FieldPath] = ("spec", "credentials")
_BLOCK: Final = "sops"
_ENC_PREFIX: Final = "ENC["
_ENC: Final = re.compile(
    r"ENC\[AES256_GCM,data:([A-Za-z0-9+/]*={0,2}),iv:([A-Za-z0-9+/]+={0,2}),"
    r"tag:([A-Za-z0-9+/]+={0,2}),type:(str|int|float|bool|bytes|comment|time)\]"
)
_IV_BYTES: Final = 32
_TAG_BYTES: Final = 16
_LENGTH_MIN: Final = 2
_SELECTORS: Final = (
    "unencrypted_suffix",
    "encrypted_suffix",
    "unencrypted_regex",
    "encrypted_regex",
    "unencrypted_comment_regex",
    "encrypted_comment_regex",
)
_OTHER_KEYS: Final = ("kms", "gcp_kms", "azure_kv", "hc_vault", "pgp")
_RECIPIENT: Final = re.compile(
    r"age1[a-z0-9]{50,4000}|ssh-ed25519 [A-Za-z0-9+/=]+( .*)?|ssh-rsa [A-Za-z0-9+/=]+( .*)?"
)
_ARMOUR: Final = re.compile(
    r"-----BEGIN AGE ENCRYPTED FILE-----\s+([A-Za-z0-9+/=\s]+)-----END AGE ENCRYPTED FILE-----\s*"
)
_AGE_MAGIC: Final = b"age-encryption.org/v1\n"
_MODIFIED: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")
_VERSION: Final = re.compile(r"\d+\.\d+(\.\d+)?.*")


@dataclass(frozen=True, slots=True)
class Block:
    """What the SOPS block says of who can decrypt.

    Attributes:
        data_keys: Digests of the wrapped data keys.
        recipients: The age recipients named.
    """

    data_keys: tuple[str, ...]
    recipients: tuple[str, ...]


def is_encrypted(value: Any) -> bool:
    """Return whether *value* looks like a SOPS value, well formed or not."""
    return isinstance(value, str) and value.startswith(_ENC_PREFIX)


def read_block(values: dict[str, Any]) -> Block:
    """Return what the SOPS block of a document says, as far as it can be read."""
    stanzas = list(_age_stanzas(values.get(_BLOCK)))
    texts = [(stanza.get("recipient"), stanza.get("enc")) for _, stanza in stanzas]
    return Block(
        data_keys=tuple(
            sha256(wrapped.strip().encode()).hexdigest()
            for _, wrapped in texts
            if isinstance(wrapped, str)
        ),
        recipients=tuple(recipient for recipient, _ in texts if isinstance(recipient, str)),
    )


def check(kind: str, values: dict[str, Any], documents_in_file: int) -> list[Remark]:
    """Return what is wrong with secrets and SOPS block of one document."""
    if kind != "Connection":
        return [*_unexpected(kind, values)]
    block = values.get(_BLOCK)
    remarks = [*_stray_ciphertext(values), *_secrets(values)]
    if _BLOCK not in values:
        message = "the Connection is not a SOPS file: it has no `sops` block"
        return [*remarks, Remark("BF402", _CREDENTIALS, message, is_about_key=True)]
    if not isinstance(block, dict):
        return [*remarks, Remark("BF403", (_BLOCK,), "`sops` must be a mapping")]
    if documents_in_file > 1:
        message = f"a SOPS file must hold one document, found {documents_in_file}"
        remarks.append(Remark("BF409", (_BLOCK,), message, "give each Connection its own file"))
    return [*remarks, *_metadata(block), *_recipients(block), *_selection(values, block)]


def _unexpected(kind: str, values: dict[str, Any]) -> Iterator[Remark]:
    if _BLOCK in values:
        yield Remark("BF413", (_BLOCK,), f"a {kind} is plain YAML, not a SOPS file")
    for path, value in _leaves(values, ()):
        if path[0] == _BLOCK:
            continue
        if is_encrypted(value):
            yield Remark("BF413", path, f"`{dotted(path)}` is encrypted; a {kind} holds no secret")
        elif isinstance(value, str) and is_secret_path(path):
            message = f"`{dotted(path)}` looks like a secret; only a Connection may hold one"
            yield Remark("BF414", path, message)


def _stray_ciphertext(values: dict[str, Any]) -> Iterator[Remark]:
    for path, value in _leaves(values, ()):
        if path[0] != _BLOCK and path[:2] != _CREDENTIALS and is_encrypted(value):
            message = f"`{dotted(path)}` is encrypted; only `spec.credentials` may be"
            yield Remark("BF413", path, message)


def _secrets(values: dict[str, Any]) -> Iterator[Remark]:
    spec = values.get("spec")
    credentials = spec.get("credentials") if isinstance(spec, dict) else None
    for path, value in _leaves(credentials, _CREDENTIALS):
        name = dotted(path)
        if value is None or value == "":
            yield Remark(
                "BF411", path, f"`{name}` is empty, and SOPS never encrypts an empty value"
            )
        elif is_encrypted(value):
            yield from _ciphertext(path, value)
        elif isinstance(value, str) and is_placeholder(value):
            yield Remark("BF412", path, f"`{name}` is a placeholder, not a credential")
        else:
            yield Remark(
                "BF401",
                path,
                f"`{name}` is in clear text",
                "revoke this key at the exchange, make a new one, and write it with "
                "`backfuturectl secret set`",
            )


def _ciphertext(path: FieldPath, value: str) -> Iterator[Remark]:
    name = dotted(path)
    match = _ENC.fullmatch(value)
    sizes = [] if match is None else [_size(match[group]) for group in (1, 2, 3)]
    if match is None or None in sizes:
        yield Remark("BF404", path, f"`{name}` is not a well-formed encrypted value")
        return
    length, iv, tag = sizes
    if iv != _IV_BYTES or tag != _TAG_BYTES:
        yield Remark("BF404", path, f"`{name}` has an initialisation vector or tag of a wrong size")
    if match[4] != "str":
        yield Remark(
            "BF404",
            path,
            f"`{name}` was encrypted as {match[4]}, so digits or zeros of it may be lost",
            "set the value again, in quotes",
        )
    if length is not None and length < _LENGTH_MIN:
        plural = "" if length == 1 else "s"
        yield Remark("BF411", path, f"`{name}` has only {length} character{plural}")


def _metadata(block: dict[str, Any]) -> Iterator[Remark]:
    for name, form in (("mac", _ENC), ("lastmodified", _MODIFIED), ("version", _VERSION)):
        value = block.get(name)
        if value is None:
            yield Remark("BF403", (_BLOCK, name), f"`sops.{name}` is missing")
        elif not isinstance(value, str) or not form.fullmatch(value):
            yield Remark("BF403", (_BLOCK, name), f"`sops.{name}` is malformed")
    selectors = [name for name in _SELECTORS if block.get(name)]
    if len(selectors) > 1:
        listed = " and ".join(f"`{name}`" for name in selectors)
        yield Remark("BF403", (_BLOCK, selectors[1]), f"SOPS allows one selector, found {listed}")
    if block.get("mac_only_encrypted") not in {None, False}:
        message = "`mac_only_encrypted` lets anyone change the fields in clear"
        yield Remark("BF406", (_BLOCK, "mac_only_encrypted"), message)


def _recipients(block: dict[str, Any]) -> Iterator[Remark]:
    stanzas = list(_age_stanzas(block))
    groups = block.get("key_groups")
    holders = (
        [block, *(group for group in groups if isinstance(group, dict))]
        if isinstance(groups, list)
        else [block]
    )
    has_other = any(holder.get(name) for holder in holders for name in _OTHER_KEYS)
    if not stanzas and not has_other:
        yield Remark("BF407", (_BLOCK,), "the SOPS file names no recipient")
    for path, stanza in stanzas:
        recipient, wrapped = stanza.get("recipient"), stanza.get("enc")
        if not isinstance(recipient, str) or not _RECIPIENT.fullmatch(recipient):
            yield Remark("BF407", (*path, "recipient"), "not a valid age or SSH recipient")
        if not isinstance(wrapped, str) or not _is_age_file(wrapped):
            yield Remark("BF407", (*path, "enc"), "not an age file with one recipient")


def _selection(values: dict[str, Any], block: dict[str, Any]) -> Iterator[Remark]:
    names = [name for name in _SELECTORS if block.get(name)]
    if len(names) != 1 or names[0].endswith("comment_regex"):
        return
    name = names[0]
    selector = str(block[name])
    try:
        with warnings.catch_warnings(action="error", category=FutureWarning):
            pattern = re.compile(selector) if name.endswith("regex") else None
    except (re.error, FutureWarning):  # sops reads some expressions otherwise than Python
        yield Remark("BF405", (_BLOCK, name), f"`{name}` is not a valid expression")
        return
    spec = values.get("spec")
    credentials = spec.get("credentials") if isinstance(spec, dict) else None
    for path, _ in _leaves(credentials, _CREDENTIALS):
        keys = [part for part in path if isinstance(part, str)]
        if pattern is not None:
            is_matched = any(pattern.search(key) for key in keys)
        else:
            is_matched = any(key.endswith(selector) for key in keys)
        if is_matched == name.startswith("unencrypted"):
            message = f"the selector `{name}` does not cover `{dotted(path)}`"
            yield Remark("BF405", (_BLOCK, name), message, "use `encrypted_regex: ^credentials$`")


def _age_stanzas(block: Any) -> Iterator[tuple[FieldPath, dict[str, Any]]]:
    """Yield the age entries of a SOPS block, of key groups as well, with where they stand."""
    if not isinstance(block, dict):
        return
    yield from _entries(block.get("age"), (_BLOCK, "age"))
    groups = block.get("key_groups")
    for index, group in enumerate(groups if isinstance(groups, list) else []):
        if isinstance(group, dict):
            yield from _entries(group.get("age"), (_BLOCK, "key_groups", index, "age"))


def _entries(entries: Any, path: FieldPath) -> Iterator[tuple[FieldPath, dict[str, Any]]]:
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        yield (*path, index), entry if isinstance(entry, dict) else {}


def _is_age_file(text: str) -> bool:
    match = _ARMOUR.fullmatch(text.strip())
    if match is None:
        return False
    try:
        content = base64.b64decode("".join(match[1].split()), validate=True)
    except binascii.Error:
        return False
    return content.startswith(_AGE_MAGIC) and content.count(b"\n-> ") == 1


def _size(text: str) -> int | None:
    try:
        return len(base64.b64decode(text, validate=True))
    except binascii.Error:
        return None


def _leaves(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, Any]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, (*path, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _leaves(below, (*path, index))
    elif path:
        yield path, value
