"""What every test needs."""

import asyncio

import pytest

# pytest-asyncio asks for the current event loop before its first test; asyncio would make one on
# the spot, which nobody closes, and its ResourceWarning would fail some later test. Once a loop has
# been set, even None, asyncio makes none by itself.
asyncio.set_event_loop(None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that nothing is waited for alone in the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
