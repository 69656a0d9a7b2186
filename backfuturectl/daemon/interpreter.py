"""Keep short what the interpreter does of its own accord, so that no order waits behind it.

The collector: a full pass walks every object there is, which takes a quarter of a second with a
thousand bots, and the objects of each answer make one due every few seconds. So what has lived for
a minute is set aside, where passes do not walk; reference counts still free it. What only a full
pass can free, a cycle that became garbage while set aside, waits for the hourly one.

Switches between threads: the store's writer gives the interpreter up around each call into SQLite,
and while the loop is busy it gets it back only after the switch interval. With the five
milliseconds that are the default, the few calls of one commit could wait for longer than the disk
takes.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Final

SET_ASIDE_EVERY_S: Final = 60.0
FULL_PASS_EVERY: Final = 60
"""In turns of `SET_ASIDE_EVERY_S`."""

_YOUNG_MAX: Final = 5_000
"""So many new objects make a pass over the youngest due; an answer with all prices has as many."""


SWITCH_INTERVAL_S: Final = 0.0005


async def tend() -> None:
    """Mind collector and threads until canceled, then leave them as they were."""
    before, interval_s = gc.get_threshold(), sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(_YOUNG_MAX, *before[1:])
    turn = 0
    try:
        while True:
            await asyncio.sleep(SET_ASIDE_EVERY_S)
            turn += 1
            if turn % FULL_PASS_EVERY == 0:
                gc.unfreeze()
                gc.collect()
            else:
                gc.collect(1)
            gc.freeze()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
        sys.setswitchinterval(interval_s)
