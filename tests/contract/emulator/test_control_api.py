"""The control API: what it changes in the exchanges and what it shows of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from backfuturectl.emulator.scenario import Scenario, build
from backfuturectl.emulator.server import HOSTS, serve
from backfuturectl.engine.clock import WallClock
from backfuturectl.matching.values import OrderRequest, Wallet
from backfuturectl.model.errors import ConfigurationError
from backfuturectl.model.orders import OrderType, Side
from tests.contract.emulator.client import MEXC_KEY, Outside, outside

D = Decimal
BTC = "BTC/USDT"


@pytest.fixture
async def emulator() -> AsyncIterator[Outside]:
    async with outside() as made:
        yield made


async def test_every_host_answers_on_its_own_loopback_port(emulator: Outside):
    urls = {*emulator.running.endpoints.hosts.values(), emulator.running.endpoints.control}
    assert set(emulator.running.endpoints.hosts) == set(HOSTS)
    assert len(urls) == len(HOSTS) + 1
    assert all(url.startswith("http://127.0.0.1:") for url in urls)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.1", "localhost", ""])
async def test_another_address_than_loopback_is_refused(bind: str):
    state = build(Scenario(moves=False), clock=WallClock())
    with pytest.raises(ConfigurationError, match="loopback only"):
        async with serve(state, ports={}, bind=bind):
            pytest.fail("it listens")


async def test_a_taken_port_is_an_error_with_a_remedy(emulator: Outside):
    port = int(emulator.running.endpoints.control.rpartition(":")[2])
    state = build(Scenario(moves=False), clock=WallClock())
    with pytest.raises(ConfigurationError, match=str(port)):
        async with serve(state, ports={"mexc": port}):
            pytest.fail("it listens")


async def test_the_state_of_each_exchange_is_shown(emulator: Outside):
    shown = await emulator.control("GET", "/")
    assert set(shown["exchanges"]) == {"mexc", "kucoin"}
    assert shown["exchanges"]["mexc"]["isInMaintenance"] is False
    assert shown["paths"] == []


async def test_a_price_set_by_hand_fills_what_it_reaches(emulator: Outside):
    await emulator.buy("one")
    answer = await emulator.control(
        "PUT", "/exchanges/mexc/prices", {"symbol": BTC, "last": "59000"}
    )
    (fill,) = answer["fills"]
    assert (fill["client_id"], fill["price"], fill["amount_base"]) == ("one", "60000", "0.01")
    prices = await emulator.control("GET", "/exchanges/mexc/prices")
    assert prices[BTC]["last"] == "59000"
    assert (await emulator.control("GET", "/exchanges/kucoin/prices"))[BTC]["last"] != "59000"


async def test_bid_and_ask_can_be_set_too(emulator: Outside):
    body = {"symbol": BTC, "last": "100", "bid": "99", "ask": "103"}
    await emulator.control("PUT", "/exchanges/mexc/prices", body)
    quote = emulator.venue().quote(BTC)
    assert (quote.bid, quote.ask) == (D(99), D(103))


async def test_an_account_is_opened_with_money_and_keys(emulator: Outside):
    await emulator.control(
        "POST",
        "/exchanges/mexc/accounts",
        {
            "name": "second",
            "spot": {"USDT": "12.5"},
            "keys": [{"key": "mx0second", "secret": "s", "permissions": ["SPOT_ACCOUNT_READ"]}],
        },
    )
    await emulator.control(
        "POST",
        "/exchanges/mexc/deposits",
        {"account": "second", "wallet": "spot", "currency": "USDT", "amount": "0.5"},
    )
    accounts = await emulator.control("GET", "/exchanges/mexc/accounts")
    assert accounts["second"]["spot"]["USDT"]["available"] == "13.0"
    assert emulator.venue().key("mx0second").account == "second"


async def test_a_deposit_of_less_than_nothing_takes_at_most_what_is_there(emulator: Outside):
    body = {"account": "main", "wallet": "spot", "currency": "USDT", "amount": "-100001"}
    status, answer = await emulator.try_control("POST", "/exchanges/mexc/deposits", body)
    assert (status, answer["kind"]) == (400, "insufficient_balance")


async def test_a_key_is_added_and_its_secret_never_shown(emulator: Outside):
    await emulator.control(
        "POST",
        "/exchanges/kucoin/keys",
        {
            "account": "main",
            "key": "k2",
            "secret": "hush-hush",
            "passphrase": "hush-hush",
            "permissions": ["General"],
        },
    )
    shown = await emulator.control("GET", "/exchanges/kucoin/keys")
    assert shown["k2"]["permissions"] == ["General"]
    assert "hush" not in str(shown)


async def test_rights_addresses_and_expiry_of_a_key_change_while_it_is_used(emulator: Outside):
    path = f"/exchanges/mexc/keys/{MEXC_KEY.key}"
    assert (await emulator.signed("GET", "/api/v3/account"))[0] == 200
    seen = []
    for change in (
        {"permissions": ["SPOT_DEAL_READ"]},
        {"permissions": ["SPOT_ACCOUNT_READ"], "ips": ["203.0.113.7"]},
        {"ips": [], "expires_at_ms": 1},
        {"expires_at_ms": None, "is_enabled": False},
    ):
        await emulator.control("PATCH", path, change)
        seen.append((await emulator.signed("GET", "/api/v3/account"))[1]["code"])
    # Not permitted, wrong address; an expired key answers like a wrong secret; revoked.
    assert seen == [700007, 700006, 700002, 10072]
    await emulator.control("PATCH", path, {"is_enabled": True})
    assert (await emulator.signed("GET", "/api/v3/account"))[0] == 200


async def test_a_callers_address_can_be_declared(emulator: Outside):
    for body in ({"key": MEXC_KEY.key, "ip": "203.0.113.7"}, {"ip": "203.0.113.7"}):
        await emulator.control("PUT", "/exchanges/mexc/caller", body)
        _, answer = await emulator.signed("GET", "/api/v3/account")
        assert "203.0.113.7" in answer["msg"]
        await emulator.control("PUT", "/exchanges/mexc/caller", {**body, "ip": None})
        assert (await emulator.signed("GET", "/api/v3/account"))[0] == 200


async def test_the_ledger_shows_orders_fills_entries_positions_and_balances(emulator: Outside):
    await emulator.buy("one", price="70000")
    ledger = (await emulator.control("GET", "/exchanges/mexc/ledger?account=main"))["main"]
    assert [order["client_id"] for order in ledger["orders"]] == ["one"]
    assert [fill["order_serial"] for fill in ledger["fills"]] == [1]
    assert {entry["kind"] for entry in ledger["entries"]} == {"deposit", "trade", "fee"}
    assert ledger["positions"] == []
    assert D(ledger["balances"]["spot"]["BTC"]["total"]) == D("0.01")


async def test_funding_is_paid_when_asked_for(emulator: Outside):
    venue, symbol = emulator.venue("kucoin"), f"{BTC}:USDT"
    venue.place("main", OrderRequest(symbol, Side.BUY, OrderType.MARKET, amount_base=D("0.01")), 1)
    before = venue.balances("main", Wallet.FUTURES)["USDT"].total
    body = {"symbol": symbol, "rate": "0.001"}
    await emulator.control("POST", "/exchanges/kucoin/funding", body)
    assert before - venue.balances("main", Wallet.FUTURES)["USDT"].total == D("0.68")


async def test_requests_are_counted_by_route_key_and_status(emulator: Outside):
    await emulator.control("DELETE", "/requests")
    await emulator.buy("one")
    await emulator.buy("two")
    await emulator.get("/nowhere")
    answer = await emulator.control("GET", "/requests?limit=1")
    assert answer["total"] == 3
    counts = {(row["route"], row["key"], row["status"]): row["count"] for row in answer["counts"]}
    assert counts == {("/api/v3/order", MEXC_KEY.key, 200): 2, ("(unknown)", "", 404): 1}
    assert [record["target"] for record in answer["records"]] == ["/nowhere"]


async def test_limits_hold_once_they_are_enforced(emulator: Outside):
    async def burst() -> set[int]:
        return {(await emulator.get("/api/v3/exchangeInfo"))[0] for _ in range(40)}

    assert await burst() == {200}
    await emulator.control("PATCH", "/exchanges/mexc", {"enforces_limits": True})
    assert 429 in await burst()


_WRONG: dict[str, tuple[str, str, Any, int]] = {
    "unknown exchange": ("GET", "/exchanges/nope/prices", None, 404),
    "unknown path": ("GET", "/nope", None, 404),
    "unknown symbol": ("PUT", "/exchanges/mexc/prices", {"symbol": "NO/PE", "last": "1"}, 404),
    "no price": ("PUT", "/exchanges/mexc/prices", {"symbol": BTC}, 400),
    "float price": ("PUT", "/exchanges/mexc/prices", {"symbol": BTC, "last": "a"}, 400),
    "infinite price": ("PUT", "/exchanges/mexc/prices", {"symbol": BTC, "last": "Infinity"}, 400),
    "negative price": ("PUT", "/exchanges/mexc/prices", {"symbol": BTC, "last": "-1"}, 400),
    "unknown field": ("POST", "/faults", {"kind": "delay", "delay": 1}, 400),
    "unknown fault": ("POST", "/faults", {"kind": "earthquake"}, 400),
    "probability": ("POST", "/chaos", {"probability": "1.5"}, 400),
    "unknown key": ("PATCH", "/exchanges/mexc/keys/nope", {"is_enabled": False}, 404),
    "unknown account": (
        "POST",
        "/exchanges/mexc/deposits",
        {"account": "nope", "wallet": "spot", "currency": "USDT", "amount": "1"},
        404,
    ),
    "no body": ("POST", "/faults", None, 400),
    "negative limit": ("GET", "/requests?limit=-1", None, 400),
    "missing candles": (
        "POST",
        "/exchanges/mexc/paths",
        {"symbol": BTC, "candles": "/nope.csv"},
        400,
    ),
}


@pytest.mark.parametrize(("method", "path", "body", "status"), _WRONG.values(), ids=_WRONG.keys())
async def test_a_wrong_request_is_explained(
    emulator: Outside, method: str, path: str, body: Any, status: int
):
    got, answer = await emulator.try_control(method, path, body)
    assert got == status
    assert answer["error"]


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}], ids=str
)
async def test_a_web_page_cannot_reach_the_control_api(emulator: Outside, headers: dict[str, str]):
    assert (await emulator.try_control("GET", "/", headers=headers))[0] == 403


async def test_stopping_does_not_wait_for_a_held_time_out():
    async with outside() as emulator:
        await emulator.fault("timeout_before")
        url = emulator.running.endpoints.hosts["mexc"] + "/api/v3/time"
        with pytest.raises(TimeoutError):
            await emulator.session.get(url)
    with pytest.raises(aiohttp.ClientConnectionError):
        async with aiohttp.ClientSession() as session:
            await session.get(url)


async def test_a_markets_rules_change_while_clients_watch(emulator: Outside):
    rules = {"symbol": BTC, "price_tick": "0.5", "is_active": False}
    shown = await emulator.control("PATCH", "/exchanges/mexc/markets", rules)
    assert (shown["price_tick"], shown["is_active"]) == ("0.5", False)
    market = emulator.venue().listings[BTC].market
    assert (market.price_tick, market.is_active) == (D("0.5"), False)
    status, _ = await emulator.buy("closed")
    assert status == 400
    status, _ = await emulator.try_control("PATCH", "/exchanges/mexc/markets", {"symbol": "NO/NO"})
    assert status in {400, 404}
