"""One bot on an exchange that fails: what it sends, and what it never sends."""

from __future__ import annotations

import pytest

from backfuturectl.model.orders import LegKind
from tests.shell.world import world

pytestmark = pytest.mark.looptime


async def test_smoke() -> None:
    async with world() as w:
        await w.price("100")
        for o in w.orders():
            print(o.client_id, o.side, o.type, o.status, o.price, o.amount_base)
        for r in await w.rows():
            print(r)
        print(await w.notes(), w.bot.gate, w.faults.calls)
        await w.price("97.9")
        await w.price("102")
        print(await w.store.deals())
        assert 0
