"""One event loop for the tests that have none of their own, closed at the end.

The looptime plugin asks for the current loop before every test; before a test that is no coroutine
it would make one that nobody closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def idle_loop() -> Iterator[None]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
