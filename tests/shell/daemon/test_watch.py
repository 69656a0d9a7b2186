"""A watcher loses events silently; each way that is known is a test, on real files.

Waits are for the next hint and are bounded; what no watcher can see at all (an edit behind a
symlink, on a network file system, in an overflow) is left to the timer of the control loop.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import watchfiles

from backfuturectl.daemon import watch
from backfuturectl.daemon.watch import TreeWatch

PATIENCE_S = 10.0
QUIET_S = 0.3


async def until(what: Callable[[], object], *, by: Callable[[], object] = lambda: None) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not what():
            by()
            await asyncio.sleep(0.05)


class Hints:
    """Counts hints and waits for more."""

    def __init__(self) -> None:
        self.count = 0
        self._more = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._more.set()

    async def quiet(self) -> None:
        """Wait until no hint has come for a while."""
        while True:
            before = self.count
            await asyncio.sleep(QUIET_S)
            if self.count == before:
                self._more.clear()
                return

    async def reach(self, count: int, *, by: Callable[[], object] = lambda: None) -> None:
        """Wait until there have been *count* hints, doing something meanwhile."""
        await until(lambda: self.count >= count, by=by)

    async def follows(self, change: Callable[[], object]) -> None:
        """Make *change* and wait for the hint that follows it."""
        await self.quiet()
        change()
        async with asyncio.timeout(PATIENCE_S):
            await self._more.wait()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "configs"
    root.mkdir()
    (root / "a.yaml").write_text("one")
    return root


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for a replaced root more often than a daemon does."""
    monkeypatch.setattr(watch, "_IDENTITY_CHECK_MS", 150)
    monkeypatch.setattr(watch, "_MISSING_PAUSE_S", 0.6)
    monkeypatch.setattr(watch, "_RESTART_PAUSE_S", 0.6)


@asynccontextmanager
async def watching(root: Path, *, is_there: bool = True) -> AsyncIterator[tuple[TreeWatch, Hints]]:
    hints = Hints()
    tree = TreeWatch(root, hints)
    task = asyncio.get_running_loop().create_task(tree.run())
    try:
        # A probe file shows that the watch is in place.
        if is_there:
            await hints.reach(1, by=lambda: (root / ".probe").write_text("x"))
        yield tree, hints
        assert not task.done(), "the watcher has died"
    finally:
        task.cancel()
        await asyncio.wait([task])


def replace_by_rename(path: Path, text: str) -> None:
    (path.parent / ".tmp-1").write_text(text)
    (path.parent / ".tmp-1").rename(path)


async def test_an_edit_in_place_is_noticed(root: Path) -> None:
    async with watching(root) as (_, hints):
        await hints.follows(lambda: (root / "a.yaml").write_text("two"))


async def test_every_atomic_replacement_is_noticed(root: Path) -> None:
    async with watching(root) as (_, hints):
        for text in ("two", "three", "four"):
            await hints.follows(lambda text=text: replace_by_rename(root / "a.yaml", text))


async def test_a_file_deleted_and_created_in_one_go_is_noticed(root: Path) -> None:
    def backup_as_editors_do() -> None:
        (root / "a.yaml").rename(root / "a.yaml~")
        (root / "a.yaml").write_text("two")
        (root / "a.yaml~").unlink()

    async with watching(root) as (_, hints):
        await hints.follows(backup_as_editors_do)


async def test_a_swap_of_a_data_symlink_is_noticed(root: Path) -> None:
    """As volumes of secrets and configuration are updated in a cluster."""

    def publish(number: int) -> None:
        (root / f"..v{number}").mkdir()
        (root / f"..v{number}" / "b.yaml").write_text(str(number))
        (root / "..tmp").symlink_to(f"..v{number}")
        (root / "..tmp").rename(root / "..data")

    publish(1)
    (root / "b.yaml").symlink_to("..data/b.yaml")
    async with watching(root) as (_, hints):
        await hints.follows(lambda: publish(2))
        await hints.follows(lambda: publish(3))


async def test_edits_in_a_directory_that_came_later_are_noticed(root: Path) -> None:
    async with watching(root) as (_, hints):
        await hints.follows(lambda: (root / "new" / "deep").mkdir(parents=True))
        await hints.follows(lambda: (root / "new" / "deep" / "b.yaml").write_text("one"))
        await hints.follows(lambda: (root / "new" / "deep" / "b.yaml").write_text("two"))


async def test_a_root_that_is_a_symlink_is_followed_to_its_new_target(tmp_path: Path) -> None:
    for release in ("rel1", "rel2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "a.yaml").write_text(release)
    current = tmp_path / "current"
    current.symlink_to("rel1")

    def swap() -> None:
        (tmp_path / "next").symlink_to("rel2")
        (tmp_path / "next").rename(current)

    async with watching(current) as (_, hints):
        await hints.follows(swap)
        await hints.follows(lambda: (tmp_path / "rel2" / "a.yaml").write_text("edited"))


async def test_a_root_that_was_deleted_and_made_anew_is_watched_again(root: Path) -> None:
    def remake() -> None:
        shutil.rmtree(root)
        root.mkdir()

    async with watching(root) as (_, hints):
        await hints.follows(remake)
        await hints.follows(lambda: (root / "a.yaml").write_text("two"))


async def test_a_root_that_was_renamed_away_and_replaced_is_watched_again(root: Path) -> None:
    def replace() -> None:
        root.rename(root.with_name("old"))
        root.mkdir()

    async with watching(root) as (_, hints):
        await hints.follows(replace)
        await hints.follows(lambda: (root / "b.yaml").write_text("one"))


async def test_a_root_that_is_missing_at_the_start_is_watched_once_it_is_there(
    tmp_path: Path,
) -> None:
    root = tmp_path / "later"
    async with watching(root, is_there=False) as (tree, hints):
        await asyncio.sleep(0.1)
        assert tree.last_beat_s > 0
        root.mkdir()
        await hints.reach(1)
        await asyncio.sleep(2 * watch._MISSING_PAUSE_S)
        await hints.follows(lambda: (root / "a.yaml").write_text("one"))


async def test_a_root_that_disappears_for_a_while_is_watched_again(root: Path) -> None:
    async with watching(root) as (tree, hints):
        await hints.follows(lambda: root.rename(root.with_name("away")))
        await asyncio.sleep(2 * watch._MISSING_PAUSE_S)
        beat_s = tree.last_beat_s
        root.with_name("away").rename(root)
        await asyncio.sleep(2 * watch._MISSING_PAUSE_S)
        assert tree.last_beat_s > beat_s
        await hints.follows(lambda: (root / "a.yaml").write_text("two"))


async def test_a_file_name_that_is_not_utf8_does_not_silence_the_watcher(root: Path) -> None:
    def odd() -> None:
        with open(os.fsencode(root) + b"/\xff\xfe.yaml", "wb") as file:
            file.write(b"x")

    async with watching(root) as (tree, hints):
        await hints.follows(odd)
        await hints.follows(lambda: (root / "a.yaml").write_text("two"))
        assert tree.mode == "inotify", "an odd name is no reason to poll for ever"


async def test_exhausted_limits_end_in_polling(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    awatch = watchfiles.awatch

    def limited(*paths: Path, **options: object) -> AsyncIterator[set[tuple[object, str]]]:
        if not options["force_polling"]:
            raise OSError(28, "inotify watch limit reached")
        return awatch(*paths, **options)

    monkeypatch.setattr(watchfiles, "awatch", limited)
    async with watching(root) as (tree, hints):
        assert tree.mode == "polling"
        await hints.follows(lambda: (root / "b.yaml").write_text("one"))


async def test_the_watch_is_renewed_from_time_to_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "RENEW_S", 0.2)
    async with watching(root) as (_, hints):
        await hints.reach(hints.count + 3)


async def test_a_watcher_without_events_shows_that_it_lives(root: Path) -> None:
    async with watching(root) as (tree, hints):
        await hints.quiet()
        beat_s = tree.last_beat_s
        await until(lambda: tree.last_beat_s > beat_s)
