"""Find the configuration files below a root and read each exactly once.

What is read here is what is parsed, hashed and decrypted; nothing opens a file a second time. A
file that cannot be read whole is present and unknown, never absent: absence is what stops bots.

Only content decides. A quick scan may take the content of a file as known whose stamp (which file,
how long, changed when) is the one that it was read under. That is the index of git, with its one
hole closed: a file changed so shortly before it was read that a second change could bear the same
times keeps no stamp, and is read again until it has been quiet for long enough. What a stamp cannot
show (a page mapped into another program's memory, a network file system's late attributes, a clock
set back) the next whole scan does: it trusts no stamp.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from backfuturectl.model.errors import ConfigurationError

SIZE_MAX: Final = 5 * 1024 * 1024
RACY_MS: Final = 2_000
"""No file system in use counts its times in longer steps."""

_SUFFIXES: Final = (".yaml", ".yml")
_BOM: Final = b"\xef\xbb\xbf"

Stamp = tuple[int, int, int, int, int]
"""Device, number and size of a file, and when its content and when anything of it changed, in ns.

The last one is the kernel's own: no program can set it.
"""


@dataclass(frozen=True, slots=True)
class SourceFile:
    r"""One file as it was read.

    Attributes:
        path: Root and relative path; bytes that are not UTF-8 appear as ``\xff``, so it prints.
        content: The bytes, or None when they could not be taken; `problem` then says why.
        digest: SHA-256 of *content* as hex; of the problem where there is no content.
        rule: Code of the rule that an unusable file breaks; empty for a usable one.
        problem: Why the file is unknown, for people; empty for a usable one.
        stamp: What the file system showed before and after reading; None where that proves nothing.
    """

    path: str
    content: bytes | None
    digest: str
    rule: str = ""
    problem: str = ""
    stamp: Stamp | None = None


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


def scan(
    root: str | os.PathLike[str],
    previous: Tree | None = None,
    *,
    now_ms: int = 0,
    is_whole: bool = True,
) -> Tree:
    """Return every YAML file below *root*, symbolic links followed anew each time.

    Args:
        root: A directory, or a single file.
        previous: An earlier tree; its values are kept for files whose bytes are equal.
        now_ms: Wall time, by which stamps are judged; 0 to note none.
        is_whole: Whether every file is read. If not, one whose stamp is *previous*' is not.

    Raises:
        ConfigurationError: *root* does not exist or cannot be listed: that is not an empty tree.
    """
    return scan_all((root,), previous, now_ms=now_ms, is_whole=is_whole)


def scan_all(
    roots: Sequence[str | os.PathLike[str]],
    previous: Tree | None = None,
    *,
    now_ms: int = 0,
    is_whole: bool = True,
) -> Tree:
    """Return every YAML file below all *roots* as one tree; a file reached twice counts once."""
    known = {} if previous is None else {file.path: file for file in previous.files}
    visited: set[tuple[int, int]] = set()
    files: dict[str, SourceFile] = {}
    whole = hashlib.sha256()
    for root in roots:
        base = os.fspath(root)
        shown = printable(os.path.normpath(base))
        for raw, stamp in sorted(_candidates(base, visited, is_whole=is_whole)):
            relative = raw.removeprefix(base).lstrip("/")
            path = _below(shown, printable(relative))
            file = known.get(path)
            if file is None or stamp is None or file.stamp != stamp:
                file = _read(raw, path, file, quiet_since_ns=(now_ms - RACY_MS) * 1_000_000)
            files[path] = file
            name = os.fsencode(relative or ".")
            whole.update(b"%d:%b%b" % (len(name), name, bytes.fromhex(file.digest)))
    return Tree(
        roots=tuple(printable(os.fspath(root)) for root in roots),
        files=tuple(files[path] for path in sorted(files)),
        digest=whole.hexdigest(),
    )


def printable(path: str) -> str:
    r"""Return *path* with bytes that are not UTF-8 written as ``\xff``."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")


def _below(folder: str, relative: str) -> str:
    """Return the normal form of a *relative* path below *folder*, which is in its own."""
    if not relative or folder == ".":
        return relative or folder
    return f"{folder.removesuffix('/')}/{relative}"


def _candidates(
    root: str, visited: set[tuple[int, int]], *, is_whole: bool
) -> Iterator[tuple[str, Stamp | None]]:
    """Yield the files, with their stamps unless every one is to be read.

    Hidden ones and editors' temporary ones are left out.
    """
    try:
        status = os.stat(root)
    except OSError as error:
        raise ConfigurationError(
            f"{printable(root)}: {(error.strerror or 'cannot be read').lower()}",
            remedy="give the directory that holds the Connections and Strategies",
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        yield root, None
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
            yield directory, None  # cannot be read as a file either, so it becomes an unknown
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith("~"):
                continue
            try:
                is_directory = entry.is_dir()
                found = None if is_whole and not is_directory else entry.stat()
            except OSError:
                is_directory, found = False, None
            if is_directory and found is not None:
                pending.append((entry.path, (found.st_dev, found.st_ino)))
            elif entry.name.endswith(_SUFFIXES):
                yield entry.path, None if found is None else _stamp(found)


def _stamp(status: os.stat_result) -> Stamp:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _read(raw: str, path: str, before: SourceFile | None, *, quiet_since_ns: int) -> SourceFile:
    try:
        found = _content(raw)
    except OSError as error:
        why = (error.strerror or "input/output error").lower()
        return _unknown(path, "BF101", f"cannot be read: {why}")
    if found is None:
        return _unknown(path, "BF101", "is not a regular file")
    content, stamp = found
    if stamp is not None and max(stamp[-2:]) >= quiet_since_ns:
        stamp = None
    if before is not None and before.content == content:
        return before if before.stamp == stamp else replace(before, stamp=stamp)
    if len(content) > SIZE_MAX:
        return _unknown(path, "BF104", f"is larger than {SIZE_MAX // 1024 // 1024} MiB")
    digest = hashlib.sha256(content).hexdigest()
    if not content.removeprefix(_BOM).strip():
        return SourceFile(path, content, digest, "BF102", "is empty", stamp)
    try:
        content.decode()
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 at byte {error.start}"
        return SourceFile(path, content, digest, "BF103", problem, stamp)
    return SourceFile(path, content, digest, stamp=stamp)


def _content(raw: str) -> tuple[bytes, Stamp | None] | None:
    """Return at most one byte more than `SIZE_MAX`; None for a device, pipe or directory.

    With the file's stamp, unless it changed while it was read.
    """
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
        stamp = _stamp(status)
        return b"".join(chunks), stamp if _stamp(os.fstat(descriptor)) == stamp else None
    finally:
        os.close(descriptor)


def _unknown(path: str, rule: str, problem: str) -> SourceFile:
    return SourceFile(path, None, hashlib.sha256(problem.encode()).hexdigest(), rule, problem)
