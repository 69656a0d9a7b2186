"""What every test needs."""

import asyncio

# pytest-asyncio asks for the current event loop before its first test; asyncio would make one on
# the spot, which nobody closes, and its ResourceWarning would fail some later test. Once a loop has
# been set, even None, asyncio makes none by itself.
asyncio.set_event_loop(None)
