"""From a price to the order that it causes, as the exchange sees both on the wire.

A bot whose cooldown is over opens its next deal on the next price. The exchange's own request
ledger has the time at which its answer with all prices was ready to be sent, and the time at which
it had received the base order that followed; the difference holds everything: the way here, every
bot's price, the steps, the durable intents, the signatures, the way back. The ledger's clock counts
whole milliseconds.
"""

from __future__ import annotations

import bisect
import random
import time
from collections.abc import Iterator
from typing import Any

from backfuturectl.model.ids import parse_client_order_id
from bench.figures import Bar, Figure
from bench.fleet import PRICE, Fleet, pair

_PRICES = "/api/v1/market/allTickers"
_PER_ROUND = 5


def measure(fleet: Fleet, *, quick: bool) -> Iterator[Figure]:
    """Yield the time from the answer with prices to each base order, a few orders per tick."""
    rounds = 2 if quick else 50
    world = fleet.world
    numbers = random.Random(11).sample(
        range(fleet.plan.bots), min(fleet.plan.bots, rounds * _PER_ROUND)
    )
    world.tell("DELETE", "/requests")
    for start in range(0, len(numbers), _PER_ROUND):
        for number in numbers[start : start + _PER_ROUND]:
            # Beyond every take profit an edit may have set: the deal closes, the next one opens
            # on the first price after a second of cooldown.
            world.set_price("kucoin", pair(number), str(PRICE * 1.03))
        time.sleep(1.1)  # noqa: TID251 - no event loop here
    time.sleep(4)  # noqa: TID251 - the last deals close and open
    records = world.tell("GET", "/requests?limit=100000")["records"]
    delays = list(_delays(records))
    if len(delays) < len(numbers):
        raise RuntimeError(f"{len(numbers)} deals were to open, {len(delays)} did")
    bar = Bar(20, "p99") if fleet.plan.bots == 1_000 else None
    yield Figure(f"price → order on the wire, {fleet.plan.label}", "ms", delays, bar)
    answers = [row["took_us"] / 1_000 for row in records if row["route"] == _PRICES]
    yield Figure(f"beside it, the exchange answers {fleet.plan.bots:,} prices in", "ms", answers)


def _delays(records: list[dict[str, Any]]) -> Iterator[float]:
    ticks = sorted(
        row["at_ms"] + row["took_us"] / 1_000 for row in records if row["route"] == _PRICES
    )
    for row in records:
        if row["method"] == "POST" and _is_base_order(row):
            before = bisect.bisect_right(ticks, row["at_ms"])
            if before:
                yield row["at_ms"] - ticks[before - 1]


def _is_base_order(row: dict[str, Any]) -> bool:
    for effect in row["effects"]:
        name = parse_client_order_id(str(effect.get("client_id") or ""))
        if name is not None:
            return str(name.leg) == "base"
    return False
