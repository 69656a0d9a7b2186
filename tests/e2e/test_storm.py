"""The storm: a hundred kills at random moments while fifty bots trade under injected faults."""

from __future__ import annotations

import random
import time
from decimal import Decimal

import pytest

from backfuturectl.demo.world import World
from tests.e2e.conftest import FUTURES, KUCOIN, MEXC, audited, eventually, spec
from tests.e2e.margin import most_used

KILLS = 100
BOTS = {MEXC: 20, KUCOIN: 20, FUTURES: 10}
MARGIN_LIMIT = Decimal(20_000)
LADDER = {
    "averaging": {
        "firstDeviationPct": 0.15,
        "stepScale": 1.2,
        "maxOrders": 4,
        "minAverageImprovementPct": 0,
    },
    "takeProfit": {"percent": 0.45},
    "marginLimit": f"{MARGIN_LIMIT} USDT",
}


@pytest.mark.long
def test_a_storm_of_kills_and_faults_leaves_no_duplicate_no_orphan_and_no_breach(make_world):
    world = make_world(
        *BOTS,
        strategies={
            account.connection: spec(
                account, *(f"L{number:04}/USDT" for number in range(1, count + 1)), **LADDER
            )
            for account, count in BOTS.items()
        },
        moves=True,
        options=(
            *("--speed", "5", "--seed", "20261122"),
            *("--synthetic", "mexc:spot=20"),
            *("--synthetic", "kucoin:spot=20"),
            *("--synthetic", "kucoin:futures=10"),
        ),
    )
    moments = random.Random(5)
    world.start_daemon()
    world.wait(lambda: len(world.rows("bots")) == 50, "fifty bots run")
    world.tell("POST", "/chaos", {"probability": "0.01"})
    for number in range(KILLS):
        # A bot with an order of unknown fate waits out the exchange's horizon; sometimes it may.
        time.sleep(18 if number % 33 == 16 else moments.uniform(0.1, 1.4))
        world.kill_daemon()
        world.start_daemon()
    world.tell("DELETE", "/faults")
    for exchange in ("mexc", "kucoin"):
        world.tell("DELETE", f"/exchanges/{exchange}/paths")
    world.wait(lambda: len(world.rows("bots")) == 50, "all bots are back")
    found = eventually(lambda: audited(world), tries=90)
    assert found.is_clean, found
    for account in world.accounts:
        assert 0 < most_used(world.ledger(account)) <= MARGIN_LIMIT, account.connection
    assert results(world) == ledger_results(world)
    assert found.orders > 200
    assert "Traceback" not in (world.folder / "daemon.log").read_text()


def results(world: World) -> dict[str, Decimal]:
    """Return the realised result of each closed deal, as the daemon booked it."""
    return {
        row["id"]: Decimal(row["result"])
        for row in world.rows("deals")
        if row["status"] == "closed"
    }


def ledger_results(world: World) -> dict[str, Decimal]:
    """Return the same, summed from the exchanges' own fills and fees."""
    deals = {row["clientOrderId"]: row["dealId"] for row in world.rows("orders")}
    booked = results(world)
    sums = dict.fromkeys(booked, Decimal(0))
    for account in world.accounts:
        for fill in world.ledger(account)["fills"]:
            deal = deals.get(fill["client_id"])
            if deal not in sums:
                continue
            sign = 1 if fill["side"] == "sell" else -1
            sums[deal] += sign * Decimal(fill["cost_quote"]) - Decimal(fill["fee"]["amount"])
    return sums
