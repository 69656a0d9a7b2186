"""From the files on disk to one settled, parsed, decrypted generation.

Settle before acting: a checkout is not atomic, and SOPS truncates before it writes. Two equal
readings some time apart, and no git at work, make a tree worth believing.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from backfuturectl.config.compile import CheckMemory, Loaded, compile_tree
from backfuturectl.config.git import head_commit, is_checkout_under_way
from backfuturectl.config.parsing import Document, Parser, parse_file
from backfuturectl.config.tree import SourceFile, Tree, scan
from backfuturectl.engine.clock import Clock
from backfuturectl.exchanges.ccxt_adapter import KeyMaterial
from backfuturectl.model.errors import (
    ConfigurationError,
    OperationError,
    PermanentError,
    TransientError,
)
from backfuturectl.model.resources import Connection, Policy
from backfuturectl.model.secret import Secret
from backfuturectl.model.status import Reason
from backfuturectl.secrets.sops import Decrypted

SETTLE_MAX_S: Final = 10.0
_CREDENTIALS: Final = ("spec", "credentials")


class Decryptor(Protocol):
    """What `secrets.Sops` does; a simulation decrypts inline."""

    async def decrypt(self, ciphertext: bytes) -> Decrypted:
        """Return the encrypted leaves of one file, by path."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One settled reading of the files.

    Attributes:
        loaded: Everything that was found, with findings.
        keys: Decrypted credentials by connection, for every usable Connection.
        undecrypted: Connections whose credentials could not be had, and why.
        commit: Checked-out Git commit; empty outside a work tree.
        is_whole: Whether every file was read for it.
    """

    loaded: Loaded
    keys: Mapping[str, KeyMaterial] = field(default_factory=dict)
    undecrypted: Mapping[str, OperationError] = field(default_factory=dict)
    commit: str = ""
    is_whole: bool = True

    @property
    def is_retry_needed(self) -> bool:
        """Whether a decryption failed in a way that may pass without an edit."""
        return any(isinstance(error, TransientError) for error in self.undecrypted.values())


class Source:
    """Reads one configuration root again and again, cheaply where nothing changed."""

    def __init__(self, root: Path, sops: Decryptor, clock: Clock, *, settle_s: float) -> None:
        self.root = root
        self._sops = sops
        self._clock = clock
        self._settle_s = settle_s
        self._parser = Parser()
        self._checks = CheckMemory()
        self._tree: Tree | None = None
        self._loaded: Loaded | None = None
        self._policy: Policy | None = None

    async def read(self, *, is_whole: bool = True) -> Generation:
        """Return the files' present generation, once they are quiet.

        Args:
            is_whole: Whether every file is read. If not, one whose stamp has not changed since it
                was read is taken as known, see `config.tree`.

        Raises:
            TransientError: SOURCE_UNSETTLED, they kept changing for `SETTLE_MAX_S`.
            ConfigurationError: The root is missing or cannot be listed; that is no empty tree.
        """
        loaded = self._loaded
        tree = await self._scan(is_whole=is_whole)
        if loaded is None or tree.digest != loaded.tree.digest:
            loaded = await self._settled(tree)
            self._loaded, self._policy = loaded, loaded.policy
        keys, failures = await self._decrypt_all(loaded)
        return Generation(loaded, keys, failures, head_commit(self.root), is_whole)

    async def key_of(self, document: Document) -> KeyMaterial:
        """Return the decrypted credentials of a Connection document.

        Raises:
            PermanentError: DECRYPT_FAILED or INTEGRITY_FAILED.
            TransientError: DECRYPT_FAILED, for a reason that may pass.
        """
        leaves = await self._sops.decrypt(document.source)
        api_key = leaves.get((*_CREDENTIALS, "apiKey"))
        secret = leaves.get((*_CREDENTIALS, "secret"))
        if api_key is None or secret is None:
            raise PermanentError(
                Reason.DECRYPT_FAILED,
                f"connection {document.name}: apiKey and secret must both be encrypted and not "
                "empty; enter them with `backfuturectl secret set`",
            )
        password: Secret | None = leaves.get((*_CREDENTIALS, "password"))
        return KeyMaterial(api_key, secret, password)

    async def _settled(self, tree: Tree) -> Loaded:
        """Return what the files mean once they are quiet, found out while waiting for that."""
        failure: OperationError | ConfigurationError | None = None
        settled = tree
        async with asyncio.TaskGroup() as group:
            ahead = group.create_task(asyncio.to_thread(self._compile, tree), name="compile ahead")
            try:
                settled = await self._settle(tree)
            except (OperationError, ConfigurationError) as error:
                failure = error  # told below: two threads must never compile at once
        if failure is not None:
            raise failure
        if settled.digest == tree.digest:
            return ahead.result()
        return await asyncio.to_thread(self._compile, settled)

    async def _scan(self, *, is_whole: bool) -> Tree:
        now_ms = self._clock.now_ms()
        look = functools.partial(scan, self.root, self._tree, now_ms=now_ms, is_whole=is_whole)
        self._tree = tree = await asyncio.to_thread(look)
        return tree

    def _compile(self, tree: Tree) -> Loaded:
        return compile_tree(tree, self._parser, self._policy, memory=self._checks)

    async def _settle(self, tree: Tree) -> Tree:
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + SETTLE_MAX_S
        while True:
            await asyncio.sleep(self._settle_s)
            # What changed just now is read again, whatever its stamp says.
            again = await self._scan(is_whole=False)
            is_busy = is_checkout_under_way(self.root, now_s=self._clock.now_ms() / 1000)
            if again.digest == tree.digest and not is_busy:
                return again
            if loop.time() > give_up_s:
                raise TransientError(
                    Reason.SOURCE_UNSETTLED,
                    f"{self.root} kept changing for {SETTLE_MAX_S:.0f} s; nothing was applied",
                )
            tree = again

    async def _decrypt_all(
        self, loaded: Loaded
    ) -> tuple[dict[str, KeyMaterial], dict[str, OperationError]]:
        keys: dict[str, KeyMaterial] = {}
        failures: dict[str, OperationError] = {}

        async def one(document: Document) -> None:
            try:
                keys[document.name] = await self.key_of(document)
            except OperationError as error:
                failures[document.name] = error

        async with asyncio.TaskGroup() as group:
            for document in connections(loaded.usable.values()):
                group.create_task(one(document), name=f"decrypt {document.name}")
        return keys, failures


def connections(documents: Iterable[Document]) -> Iterable[Document]:
    """Yield those of *documents* that are Connections."""
    return (document for document in documents if isinstance(document.resource, Connection))


def stored_document(document: bytes, path: str) -> Document | None:
    """Return the one document of *document*'s bytes; None when this version cannot read it."""
    parsed = parse_file(SourceFile(path, document, hashlib.sha256(document).hexdigest()))
    return parsed.documents[0] if parsed.documents else None
