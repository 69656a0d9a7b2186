"""Find the configuration files below a root and read each exactly once.

What is read here is what is parsed, hashed and decrypted; nothing opens a file a second time. A
file that cannot be read whole is present and unknown, never absent: absence is what stops bots.
Only content decides; times, owners and modes of files are not looked at.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from backfuturectl.model.errors import ConfigurationError

SIZE_MAX: Final = 5 * 1024 * 1024
_SUFFIXES: Final = (".yaml", ".yml")
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class SourceFile:
    r"""One file as it was read.

    Attributes:
        path: Root and relative path; bytes that are not UTF-8 appear as ``\xff``, so it prints.
        content: The bytes, or None when they could not be taken; `problem` then says why.
        digest: SHA-256 of *content* as hex; of the problem where there is no content.
        rule: Code of the rule that an unusable file breaks; empty for a usable one.
        problem: Why the file is unknown, for people; empty for a usable one.
    """

    path: str
    content: bytes | None
    digest: str
    rule: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """Everything below the roots at one moment.

    Attributes:
        roots: As given, for messages.
        files: By path, in order; unknown files included.
        digest: Changes if and only if some file's relative path or bytes change.
    """

    roots: tuple[str, ...]
    files: tuple[SourceFile, ...]
    digest: str


def scan(root: str | os.PathLike[str], previous: Tree | None = None) -> Tree:
    """Return every YAML file below *root*, symbolic links followed anew each time.

    Args:
        root: A directory, or a single file.
        previous: An earlier tree; its values are kept for files whose bytes are equal.

    Raises:
        ConfigurationError: *root* does not exist or cannot be listed: that is not an empty tree.
    """
    return scan_all((root,), previous)


def scan_all(roots: Sequence[str | os.PathLike[str]], previous: Tree | None = None) -> Tree:
    """Return every YAML file below all *roots* as one tree; a file reached twice counts once."""
    known = {} if previous is None else {file.path: file for file in previous.files}
    visited: set[tuple[int, int]] = set()
    files: dict[str, SourceFile] = {}
    whole = hashlib.sha256()
    for root in roots:
        base = os.fspath(root)
        for raw in sorted(_candidates(base, visited)):
            path = printable(os.path.normpath(raw))
            file = files[path] = _read(raw, path, known)
            relative = os.fsencode(raw.removeprefix(base).lstrip("/") or ".")
            whole.update(b"%d:%b%b" % (len(relative), relative, bytes.fromhex(file.digest)))
    return Tree(
        roots=tuple(printable(os.fspath(root)) for root in roots),
        files=tuple(files[path] for path in sorted(files)),
        digest=whole.hexdigest(),
    )


def printable(path: str) -> str:
    r"""Return *path* with bytes that are not UTF-8 written as ``\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _candidates(root: str, visited: set[tuple[int, int]]) -> Iterator[str]:
    """Yield the files to read, hidden ones and editors' temporary ones left out."""
    try:
        status = os.stat(root)
    except OSError as error:
        raise ConfigurationError(
            f"{printable(root)}: {(error.strerror or 'cannot be read').lower()}",
            remedy="give the directory that holds the Connections and Strategies",
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        yield root
        return
    pending = [(root, (status.st_dev, status.st_ino))]
    while pending:
        directory, identity = pending.pop()
        if identity in visited:  # a loop of symbolic links, or a directory reached by two ways
            continue
        visited.add(identity)
        try:
            with os.scandir(directory) as listing:
                # In order: which of two ways into a directory counts must not change by chance.
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if directory == root:
                raise ConfigurationError(
                    f"{printable(root)}: cannot be listed: {(error.strerror or '').lower()}",
                    remedy="check the directory's permissions",
                ) from error
            yield directory  # cannot be read as a file either, so it becomes an unknown
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith("~"):
                continue
            try:
                is_directory = entry.is_dir()
                found = entry.stat() if is_directory else None
            except OSError:
                is_directory, found = False, None
            if is_directory and found is not None:
                pending.append((entry.path, (found.st_dev, found.st_ino)))
            elif entry.name.endswith(_SUFFIXES):
                yield entry.path


def _read(raw: str, path: str, known: Mapping[str, SourceFile]) -> SourceFile:
    try:
        content = _content(raw)
    except OSError as error:
        why = (error.strerror or "input/output error").lower()
        return _unknown(path, "BF101", f"cannot be read: {why}")
    if content is None:
        return _unknown(path, "BF101", "is not a regular file")
    before = known.get(path)
    if before is not None and before.content == content:
        return before
    if len(content) > SIZE_MAX:
        return _unknown(path, "BF104", f"is larger than {SIZE_MAX // 1024 // 1024} MiB")
    digest = hashlib.sha256(content).hexdigest()
    if not content.removeprefix(_BOM).strip():
        return SourceFile(path, content, digest, "BF102", "is empty")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return SourceFile(path, content, digest, "BF103", f"is not UTF-8 at byte {error.start}")
    return SourceFile(path, content, digest)


def _content(raw: str) -> bytes | None:
    """Return at most one byte more than `SIZE_MAX`; None for a device, pipe or directory."""
    # Not blocking: opening a named pipe would wait for its writer.
    descriptor = os.open(raw, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        chunks: list[bytes] = []
        size = 0
        while size <= SIZE_MAX:
            chunk = os.read(descriptor, min(status.st_size + 1, SIZE_MAX + 1) or 1)
            if not chunk:
                break
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def _unknown(path: str, rule: str, problem: str) -> SourceFile:
    return SourceFile(path, None, hashlib.sha256(problem.encode()).hexdigest(), rule, problem)
