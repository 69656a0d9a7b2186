"""Deals that wait for a reading or a spread, over HTTP on every exchange."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import FUTURES, KUCOIN, MEXC, audited, eventually, spec

PAIR = "BTC/USDT"
FALLING = [str(70_000 - 10 * number) for number in range(200)]
RSI = {"trigger": "rsi", "rsi": {"period": 14, "interval": "1m"}}


def symbol(account) -> str:
    return f"{PAIR}:USDT" if account is FUTURES else PAIR


@pytest.mark.parametrize("account", [MEXC, KUCOIN, FUTURES], ids=lambda account: account.connection)
def test_deals_open_by_closed_candles_and_while_the_spread_is_small(make_world, account):
    world = make_world(
        account,
        strategies={
            "waits": spec(account, "ETH/USDT", entry=RSI),
            "opens": spec(account, PAIR, entry=RSI, caps={"maxSpreadPct": 0.5}),
        },
    )
    wide = {"symbol": symbol(account), "last": "68000", "bid": "67000", "ask": "69000"}
    past = {"symbol": symbol(account), "interval": "1m", "closes": FALLING}
    world.tell("PUT", f"/exchanges/{account.exchange}/past", past)
    world.tell("PUT", f"/exchanges/{account.exchange}/prices", wide)
    world.start_daemon()
    world.wait(
        lambda: any(row["reason"] == "SpreadTooWide" for row in world.rows("events")),
        "the reading is there and the spread is wide",
    )
    assert not world.rows("orders")
    world.set_price(account.exchange, symbol(account), "68000")
    world.wait(lambda: world.rows("deals"), "a deal opens")
    assert {row["id"].split("#")[0] for row in world.rows("deals")} == {"opens/BTC-USDT"}
    assert eventually(lambda: audited(world)).is_clean
