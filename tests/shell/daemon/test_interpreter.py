"""The interpreter, minded: short collector passes, quick threads, and nothing is kept for ever."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from backfuturectl.daemon.interpreter import (
    FULL_PASS_EVERY,
    SET_ASIDE_EVERY_S,
    SWITCH_INTERVAL_S,
    tend,
)

pytestmark = pytest.mark.looptime(noop_cycles=1)


class Node:
    """Something that refers to itself, as a bot and its task do."""

    def __init__(self) -> None:
        self.itself = self


@asynccontextmanager
async def tended() -> AsyncIterator[None]:
    task = asyncio.get_running_loop().create_task(tend())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_what_lives_long_is_set_aside() -> None:
    assert gc.get_freeze_count() == 0
    async with tended():
        await asyncio.sleep(SET_ASIDE_EVERY_S + 1)
        assert gc.get_freeze_count() > 1_000
        assert len(gc.get_objects(generation=2)) < gc.get_freeze_count()


async def test_a_cycle_that_became_garbage_while_set_aside_is_freed_within_the_hour() -> None:
    node = Node()
    alive = weakref.ref(node)
    async with tended():
        await asyncio.sleep(SET_ASIDE_EVERY_S * 2)
        del node
        gc.collect()
        assert alive() is not None, "passes do not walk what is set aside"
        await asyncio.sleep(SET_ASIDE_EVERY_S * FULL_PASS_EVERY)
        assert alive() is None


async def test_the_interpreter_is_left_as_it_was() -> None:
    before, interval_s = gc.get_threshold(), sys.getswitchinterval()
    async with tended():
        await asyncio.sleep(SET_ASIDE_EVERY_S + 1)
        assert gc.get_threshold() != before
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
    assert sys.getswitchinterval() == pytest.approx(interval_s)
