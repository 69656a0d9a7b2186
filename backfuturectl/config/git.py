"""What Git says about the configuration root, read from its files; git itself is never run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

LOCK_AGE_MAX_S: Final = 60.0
"""A lock older than this was left behind by a crash and no checkout is under way."""


def git_dir(root: Path) -> Path | None:
    """Return the Git directory of the work tree that holds *root*, or None outside of one."""
    for folder in (root, *root.parents):
        dot_git = folder / ".git"
        if dot_git.is_dir():
            return dot_git
        if dot_git.is_file():  # a linked work tree or a submodule: "gitdir: PATH"
            target = _read(dot_git).removeprefix("gitdir:").strip()
            return (folder / target).resolve() if target else None
    return None


def head_commit(root: Path) -> str:
    """Return the commit that is checked out at *root*, or the empty string."""
    folder = git_dir(root.resolve())
    if folder is None:
        return ""
    head = _read(folder / "HEAD")
    if not head.startswith("ref:"):
        return head
    ref = head.removeprefix("ref:").strip()
    # Linked work trees keep their refs in the main Git directory.
    common = folder / (_read(folder / "commondir") or ".")
    for place in (folder, common):
        if found := _read(place / ref):
            return found
    for line in _read(common / "packed-refs").splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return commit
    return ""


def is_checkout_under_way(root: Path, *, now_s: float) -> bool:
    """Return whether a young ``.git/*.lock`` says that git is writing; *now_s* is Unix time."""
    folder = git_dir(root.resolve())
    if folder is None:
        return False
    for lock in folder.glob("*.lock"):
        try:
            age_s = now_s - lock.stat().st_mtime
        except OSError:
            continue  # gone since it was listed
        if age_s < LOCK_AGE_MAX_S:
            return True
    return False


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
