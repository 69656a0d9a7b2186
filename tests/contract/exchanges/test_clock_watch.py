"""An exchange whose clock and ours part, over HTTP."""

from __future__ import annotations

import asyncio
import random

import pytest

from backfuturectl.engine.clock import WallClock
from backfuturectl.reconcile import clocks
from backfuturectl.reconcile.clocks import ClockWatch

from .conftest import Stand

PATIENCE_S = 10.0


@pytest.mark.parametrize("skew_ms", [5_000, -5_000])
async def test_a_wrong_clock_is_noticed_and_forgiven_once_it_agrees_again(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, skew_ms: int
):
    for name in ("LOOK_S", "COMPARE_S", "COMPARE_SOON_S"):
        monkeypatch.setattr(clocks, name, 0.02)
    told: asyncio.Queue[str] = asyncio.Queue()
    watch = ClockWatch(stand.public, WallClock(), random.Random(1), on_change=told.put_nowait)
    task = asyncio.get_running_loop().create_task(watch.run())
    try:
        await asyncio.sleep(0.2)
        assert told.empty()
        stand.emulator.exchanges[stand.brand].clock_skew_ms = skew_ms
        trouble = await asyncio.wait_for(told.get(), PATIENCE_S)
        side = "behind" if skew_ms > 0 else "ahead of"
        assert f"{side} {stand.brand}'s" in trouble
        stand.emulator.exchanges[stand.brand].clock_skew_ms = 0
        assert await asyncio.wait_for(told.get(), PATIENCE_S) == ""
        assert watch.trouble == ""
    finally:
        task.cancel()
        await asyncio.wait([task])
