"""Keep short what the interpreter does of its own accord, so that no order waits behind it.

The collector: left to itself it starts when enough objects are new, which is while an answer with
all prices is being looked at, and walks every object there is, which takes a quarter of a second
with a thousand bots. So its passes are made here, at moments when the loop has nothing to do, a
little at a time; what has survived a few is set aside, where passes do not walk. Reference counts
still free it; what only a full pass can free, a cycle that became garbage while set aside, waits
for the hourly one. Only a loop that never rests meets a pass that the interpreter begins.

Switches between threads: the store's writer gives the interpreter up around each call into SQLite,
and while the loop is busy it gets it back only after the switch interval. With the five
milliseconds that are the default, the few calls of one commit could wait for longer than the disk
takes.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import Final

LOOK_EVERY_S: Final = 0.1
FULL_PASS_EVERY_S: Final = 3_600.0

YOUNG_MAX: Final = 2_000
"""So many new objects are walked at the next moment of rest; it takes a millisecond or two."""

PASSES_MAX: Final = 10
"""After so many passes over the youngest, their survivors are walked once more and set aside."""

LATE_S: Final = 0.002
"""A turn that comes so late finds the loop at work."""

_UNTENDED: Final = (50_000, 10, 1_000)
"""When the interpreter begins passes by itself; a start with a thousand bots never rests."""

SWITCH_INTERVAL_S: Final = 0.0005


async def tend(is_recording: Callable[[], bool]) -> None:
    """Mind collector and threads until canceled, then leave them as they were.

    No pass is made while *is_recording*.
    """
    before, interval_s = gc.get_threshold(), sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*_UNTENDED)
    loop = asyncio.get_running_loop()
    full_pass_s = loop.time() + FULL_PASS_EVERY_S
    try:
        while True:
            due_s = loop.time() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            if loop.time() > due_s + LATE_S or is_recording():
                continue
            if loop.time() >= full_pass_s:
                full_pass_s += FULL_PASS_EVERY_S
                gc.unfreeze()
                gc.collect()
                gc.freeze()
            else:
                _pass_over_the_young()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
        sys.setswitchinterval(interval_s)


def _pass_over_the_young() -> None:
    new, passes, _ = gc.get_count()
    if passes >= PASSES_MAX:
        gc.collect(1)
        gc.freeze()
    elif new >= YOUNG_MAX:
        gc.collect(0)
