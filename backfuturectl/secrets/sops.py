"""Decrypt credentials with the sops program, in memory only."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from backfuturectl.model.secret import Secret, is_placeholder
from backfuturectl.secrets.document import (
    ENC_PREFIX,
    SOPS_KEY,
    Document,
    Leaf,
    LeafPath,
    read_document,
)
from backfuturectl.secrets.failures import SopsFailure, classify, failed
from backfuturectl.secrets.program import INPUT_MAX_BYTES, find_program, read_version, run

Decrypted = Mapping[LeafPath, Secret]
"""The secrets of one file by their paths, such as ``("spec", "credentials", "apiKey")``."""

_TIMEOUT_S: Final = 20.0
# More than the cores gains nothing; each call costs about 34 MiB, so many cores are not used.
_PARALLEL_MAX: Final = 4
_CACHE_MAX: Final = 4096
_TEXT_TYPE: Final = "type:str]"


class Sops:
    """Decrypts files with one age key file.

    Results are kept by the SHA-256 of the ciphertext: the same bytes are decrypted once. Failures
    are not kept.

    Attributes:
        program: The sops program.
        has_key: Whether an age key file was named; it may still be the wrong one.
        timeout_s: How long each call may take.
    """

    def __init__(
        self, program: Path, *, key_file: Path | None, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self.program = program
        self.has_key = key_file is not None
        self._environment = (
            {} if key_file is None else {"SOPS_AGE_KEY_FILE": str(key_file.absolute())}
        )
        self.timeout_s = timeout_s
        self._slots = asyncio.Semaphore(min(os.cpu_count() or 1, _PARALLEL_MAX))
        self._cache: OrderedDict[bytes, Decrypted] = OrderedDict()

    @classmethod
    async def open(cls, *, key_file: Path | None, program: Path | None = None) -> Sops:
        """Return one that is known to work: the program is found, may run and is new enough.

        Args:
            key_file: The age key file; None decrypts nothing that needs a key.
            program: Explicit path of the program; None looks for it.

        Raises:
            ConfigurationError: The program is missing, not executable or too old.
        """
        found = find_program(program)
        await read_version(found)
        return cls(found, key_file=key_file)

    async def decrypt(self, ciphertext: bytes) -> Decrypted:
        """Return the secrets in *ciphertext*, one SOPS file's content, once its MAC is proved.

        Only what is ciphertext in the file comes back. The clear fields are for the caller's own
        parse of the same bytes, which the MAC vouches for: SOPS would hand them out rewritten.

        Raises:
            PermanentError: DECRYPT_FAILED or INTEGRITY_FAILED; the raw code is a `SopsFailure`.
            TransientError: The same, where the cause lies in this machine and can pass.
        """
        digest = hashlib.sha256(ciphertext).digest()
        known = self._cache.get(digest)
        if known is None:
            known = await self._decrypt(ciphertext)
            self._cache[digest] = known
            if len(self._cache) > _CACHE_MAX:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(digest)
        return known

    async def _decrypt(self, ciphertext: bytes) -> Decrypted:
        if len(ciphertext) > INPUT_MAX_BYTES:
            raise failed(SopsFailure.TOO_LARGE)
        document = read_document(ciphertext)
        _refuse_weak_mac(document)
        async with self._slots:
            completed = await run(
                self.program,
                # Even decryption reads a .sops.yaml on the way up, and a broken one stops it.
                [
                    "--config",
                    os.devnull,
                    "decrypt",
                    "--input-type",
                    "yaml",
                    "--output-type",
                    "json",
                ],
                stdin=ciphertext,
                environment=self._environment,
                timeout_s=self.timeout_s,
            )
        if completed.exit_code != 0:
            raise failed(classify(completed.exit_code, completed.stderr))
        return _take(document, completed.stdout)


def _refuse_weak_mac(document: Document) -> None:
    for leaf in document.sops_leaves:
        if leaf.path == (SOPS_KEY, "mac_only_encrypted") and leaf.text != "false":
            raise failed(SopsFailure.MAC_PARTIAL)


def _take(document: Document, stdout: bytes) -> Decrypted:
    """Return the values of *stdout* where *document* has ciphertext."""
    try:
        tree = json.loads(stdout)
    except ValueError:
        # The parser's error holds the whole text.
        raise failed(SopsFailure.OUTPUT_INVALID) from None
    return MappingProxyType(
        {
            leaf.path: Secret(_usable(leaf, _at(tree, leaf.path)))
            for leaf in document.leaves
            if leaf.is_encrypted
        }
    )


def _at(tree: Any, path: LeafPath) -> Any:
    for step in path:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            raise failed(SopsFailure.OUTPUT_INVALID) from None
    return tree


def _usable(leaf: Leaf, value: Any) -> str:
    """Return *value* if it can be a credential.

    The type tag of a ciphertext is not authenticated, and a number has lost its leading zeros.
    """
    if not isinstance(value, str) or not leaf.text.endswith(_TEXT_TYPE):
        raise failed(SopsFailure.NOT_TEXT)
    if value.startswith(ENC_PREFIX):
        raise failed(SopsFailure.STILL_ENCRYPTED)
    if is_placeholder(value):
        raise failed(SopsFailure.MASKED)
    if not is_clean(value):
        raise failed(SopsFailure.UNPRINTABLE)
    return value


def is_clean(value: str) -> bool:
    """Return whether *value* can be a credential: not empty, printable, no space at its ends."""
    return value != "" and value.isprintable() and value == value.strip()
