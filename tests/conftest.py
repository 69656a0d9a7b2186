"""What every test needs."""

import asyncio
import gc

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# pytest-asyncio asks for the current event loop before its first test; asyncio would make one on
# the spot, which nobody closes, and its ResourceWarning would fail some later test. Once a loop has
# been set, even None, asyncio makes none by itself.
asyncio.set_event_loop(None)


_TURNS = {"long": 0, "last": 2}
"""When a test with such a mark has its turn, where several processes share the tests."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long where several processes share the tests.

    So nothing is waited for alone in the end. One process by itself has nobody to wait for, and may
    stop at the first failure, which it then comes by the sooner.
    """
    if hasattr(config, "workerinput"):
        items.sort(
            key=lambda item: next(
                (_TURNS[mark.name] for mark in item.iter_markers() if mark.name in _TURNS), 1
            )
        )


def pytest_collection_finish() -> None:
    """Have the collector leave alone what was imported and collected, which stays to the end."""
    gc.freeze()
