"""kill -9 at random moments under injected faults: nothing doubled, nothing lost."""

from __future__ import annotations

import random
import time

import pytest

from backfuturectl.demo.world import World
from tests.e2e.conftest import FUTURES, KUCOIN, MEXC, audited, eventually, spec

KILLS = 8
LADDER = {
    "averaging": {
        "firstDeviationPct": 0.15,
        "stepScale": 1.2,
        "maxOrders": 4,
        "minAverageImprovementPct": 0,
    },
    "takeProfit": {"percent": 0.45},
}


@pytest.mark.long
def test_a_daemon_killed_again_and_again_under_faults_doubles_and_loses_nothing(make_world):
    world = make_world(
        MEXC,
        KUCOIN,
        FUTURES,
        strategies={
            "mexc": spec(MEXC, "BTC/USDT", "ETH/USDT", "SOL/USDT", **LADDER),
            "kucoin": spec(KUCOIN, "BTC/USDT", "XRP/USDT", "SOL/USDT", **LADDER),
            "futures": spec(FUTURES, "ETH/USDT", "SOL/USDT", **LADDER),
        },
        moves=True,
        options=("--speed", "10", "--seed", "11"),
    )
    moments = random.Random(20261122)
    world.start_daemon()
    world.wait(lambda: len(world.rows("bots")) == 8, "eight bots run")
    world.tell("POST", "/chaos", {"probability": "0.03"})
    for _ in range(KILLS):
        time.sleep(moments.uniform(0.5, 4.0))
        world.kill_daemon()
        world.start_daemon()
    world.tell("DELETE", "/faults")
    world.tell("DELETE", "/exchanges/mexc/paths")
    world.tell("DELETE", "/exchanges/kucoin/paths")
    world.wait(lambda: len(world.rows("bots")) == 8, "all bots are back")
    found = eventually(lambda: audited(world))
    assert found.is_clean, found
    assert found.orders > 20
    assert "Traceback" not in (world.folder / "daemon.log").read_text()


def test_orders_filled_while_the_daemon_was_dead_are_found_and_the_deal_goes_on(make_world):
    world = make_world(MEXC, strategies={"btc": spec(MEXC, "BTC/USDT")})
    world.start_daemon()
    world.wait(lambda: bot(world)["openOrders"] == 4, "the ladder rests")
    world.kill_daemon()
    for price in ("66000", "64800"):  # two rungs of the conservative ladder
        world.set_price("mexc", "BTC/USDT", price)
    world.start_daemon()
    world.wait(lambda: filled_rungs(world) == 2, "both fills are booked")
    world.wait(lambda: bot(world)["openOrders"] == 4, "the ladder rests again")
    assert eventually(lambda: audited(world)).is_clean


def test_a_take_profit_filled_while_the_daemon_was_dead_closes_the_deal(make_world):
    world = make_world(MEXC, strategies={"btc": spec(MEXC, "BTC/USDT")})
    world.start_daemon()
    world.wait(lambda: bot(world)["openOrders"] == 4, "the ladder rests")
    world.kill_daemon()
    world.set_price("mexc", "BTC/USDT", "69500")
    world.start_daemon()
    world.wait(lambda: closed_deals(world) == 1, "the deal is closed")
    world.wait(lambda: bot(world)["dealId"] == "btc/BTC-USDT#2", "the next deal is open")
    assert eventually(lambda: audited(world)).is_clean


def test_a_stop_that_fires_while_the_daemon_is_dead_protects_and_is_booked_afterwards(make_world):
    rest = {"cooldown": {"afterStopLoss": "1h"}}
    world = make_world(FUTURES, strategies={"eth": spec(FUTURES, "ETH/USDT", **rest)})
    world.start_daemon()
    resting = {"base", "takeProfit", "rung/1", "rung/2", "rung/3", "stopLoss/1"}
    world.wait(lambda: known_legs(world) == resting, "target, three rungs and the stop rest")
    assert bot(world)["stopOn"] == "exchange"
    world.kill_daemon()

    world.set_price("kucoin", "ETH/USDT:USDT", "2500")  # the rungs fill on the way to the stop

    ledger = world.ledger(FUTURES)
    assert ledger["positions"] == []
    world.start_daemon()
    world.wait(lambda: closed_deals(world) == 1, "the deal is closed")
    (deal,) = world.rows("deals")
    assert deal["exitLeg"] == "stopLoss"
    assert filled_rungs(world) == 3
    assert bot(world)["openOrders"] == 0
    assert eventually(lambda: audited(world)).is_clean
    assert all(row["leg"] != "stopLoss" for row in world.rows("orders")), "nothing was sold twice"


def bot(world: World) -> dict[str, object]:
    rows = world.rows("bots")
    return rows[0] if rows else {"openOrders": 0, "dealId": None}


def known_legs(world: World) -> set[object]:
    """Legs of the orders that the exchange has acknowledged."""
    return {row["leg"] for row in world.rows("orders") if row["status"] in {"open", "filled"}}


def filled_rungs(world: World) -> int:
    return sum(
        row["leg"].startswith("rung") and row["status"] == "filled" for row in world.rows("orders")
    )


def closed_deals(world: World) -> int:
    return sum(row["status"] == "closed" for row in world.rows("deals"))
