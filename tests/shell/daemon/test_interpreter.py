"""The interpreter, minded: short collector passes, quick threads, and nothing is kept for ever."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from backfuturectl.daemon.interpreter import (
    FULL_PASS_EVERY_S,
    LATE_S,
    LOOK_EVERY_S,
    PASSES_MAX,
    SWITCH_INTERVAL_S,
    YOUNG_MAX,
    tend,
)

pytestmark = pytest.mark.looptime(noop_cycles=1)


class Node:
    """Something that refers to itself, as a bot and its task do."""

    def __init__(self) -> None:
        self.itself = self


@asynccontextmanager
async def tended(*, is_recording: bool = False) -> AsyncIterator[None]:
    task = asyncio.get_running_loop().create_task(tend(lambda: is_recording))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@contextmanager
def passes() -> Iterator[list[int]]:
    """Note the generation of each pass, whoever begins it."""
    found: list[int] = []

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            found.append(about["generation"])

    gc.callbacks.append(note)
    try:
        yield found
    finally:
        gc.callbacks.remove(note)


async def new_objects() -> list[list[None]]:
    """Return as many as make a pass due, whatever is freed meanwhile, once there was a moment."""
    made: list[list[None]] = [[] for _ in range(2 * YOUNG_MAX)]
    await asyncio.sleep(LOOK_EVERY_S)
    return made


async def set_aside() -> list[list[list[None]]]:
    return [await new_objects() for _ in range(PASSES_MAX + 1)]


async def test_the_young_are_walked_when_the_loop_rests_and_not_while_they_are_made() -> None:
    async with tended():
        with passes() as found:
            made = [[None] for _ in range(5 * YOUNG_MAX)]
            assert not found
            await asyncio.sleep(LOOK_EVERY_S)
            assert len(found) == 1
        del made


async def test_a_turn_that_finds_the_loop_at_work_makes_no_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with tended():
        with passes() as found:
            loop = asyncio.get_running_loop()
            made = [[None] for _ in range(2 * YOUNG_MAX)]
            now, late_s = loop.time, LOOK_EVERY_S + 2 * LATE_S
            monkeypatch.setattr(loop, "time", lambda: now() + late_s)
            for _ in range(3):  # the timer, its task, and this one again
                await asyncio.sleep(0)
            assert not found
            monkeypatch.undo()
        del made


async def test_no_pass_is_made_while_what_an_order_waits_for_is_being_recorded() -> None:
    async with tended(is_recording=True):
        with passes() as found:
            made = await new_objects()
            assert not found
        del made


async def test_what_survives_a_few_passes_is_set_aside() -> None:
    assert gc.get_freeze_count() == 0
    async with tended():
        kept = await set_aside()
        assert gc.get_freeze_count() > PASSES_MAX * YOUNG_MAX
        assert len(gc.get_objects(generation=2)) < gc.get_freeze_count()
        del kept


async def test_a_cycle_that_became_garbage_while_set_aside_is_freed_within_the_hour() -> None:
    node = Node()
    alive = weakref.ref(node)
    async with tended():
        kept = await set_aside()
        del node
        gc.collect()
        assert alive() is not None, "passes do not walk what is set aside"
        await asyncio.sleep(FULL_PASS_EVERY_S)
        assert alive() is None
        del kept


async def test_the_interpreter_is_left_as_it_was() -> None:
    before, interval_s = gc.get_threshold(), sys.getswitchinterval()
    async with tended():
        kept = await set_aside()
        assert gc.get_threshold() != before
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
        del kept
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
    assert sys.getswitchinterval() == pytest.approx(interval_s)
