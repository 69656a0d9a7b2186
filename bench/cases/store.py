"""Durable order intents per second: one after the other, and a thousand bots at once."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from backfuturectl.model.orders import Leg, LegKind, OrderStatus, OrderType, Side
from backfuturectl.model.records import BotRecord, OrderRecord
from backfuturectl.store.database import Store, Write
from bench.figures import Figure

_BOTS = 1_000


def measure(*, quick: bool) -> Iterator[Figure]:
    """Yield intents per second; each is on disk (fsync) before it counts."""
    rounds = 2 if quick else 8
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        singles, together = asyncio.run(_rates(Path(name), rounds))
    yield Figure("store: durable intents, one by one", "1/s", singles)
    yield Figure(f"store: durable intents, {_BOTS:,} bots at once", "1/s", together)


async def _rates(folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    singles, together = [], []
    async with Store.open(f"sqlite:///{folder / 'state.db'}", seed=bytes(16)) as store:
        for attempt in range(rounds):
            started_s = time.perf_counter()
            for number in range(100):
                await store.commit(_intent(number, attempt))
            singles.append(100 / (time.perf_counter() - started_s))
            started_s = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for number in range(_BOTS):
                    group.create_task(store.commit(_intent(number, rounds + attempt)))
            together.append(_BOTS / (time.perf_counter() - started_s))
    return singles, together


def _intent(number: int, attempt: int) -> list[Write]:
    """Return what a bot records before an order: the order's row and its own state."""
    bot = f"s{number:05d}/BTC-USDT"
    order = OrderRecord(
        client_order_id=f"bench{attempt:04d}{number:06d}",
        bot=bot,
        deal=f"{bot}#{attempt}",
        leg=Leg(LegKind.BASE),
        side=Side.BUY,
        type=OrderType.LIMIT,
        price=Decimal("100.30"),
        amount_base=Decimal("0.28"),
        status=OrderStatus.INTENDED,
        reason="a deal begins",
        generation=1,
        commit="",
        intended_at_ms=1_000 + attempt,
        updated_at_ms=1_000 + attempt,
    )
    state = "x" * 1_500  # about what an open deal's state is long
    return [order, BotRecord(bot, f"s{number:05d}", "main", "BTC/USDT", "averaging", state, 1, 1)]
