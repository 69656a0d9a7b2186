"""What each fault does to a request and to the exchange behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import aiohttp
import pytest

from backfuturectl.emulator.faults import Fault, FaultKind, FaultPlan, chaos
from tests.contract.emulator.client import MEXC_KEY, Outside, outside

TIME = "/api/v3/time"
NO_ANSWER = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError)


@pytest.fixture
async def emulator() -> AsyncIterator[Outside]:
    async with outside() as made:
        yield made


def orders(emulator: Outside) -> list[str | None]:
    return [order.client_id for order in emulator.venue().orders("main")]


async def test_without_faults_an_order_has_its_effect(emulator: Outside):
    status, _ = await emulator.buy("one")
    assert (status, orders(emulator)) == (200, ["one"])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("timeout_before", []), ("timeout_after", ["one"])],
)
async def test_a_time_out_loses_the_answer(emulator: Outside, kind: str, expected: list[str]):
    await emulator.fault(kind, path="/api/v3/order")
    with pytest.raises(TimeoutError):
        await emulator.buy("one")
    assert orders(emulator) == expected


@pytest.mark.parametrize(("kind", "expected"), [("drop_before", []), ("drop_after", ["one"])])
async def test_a_dropped_connection_loses_the_answer(
    emulator: Outside, kind: str, expected: list[str]
):
    await emulator.fault(kind, path="/api/v3/order")
    with pytest.raises(NO_ANSWER):
        await emulator.buy("one")
    assert orders(emulator) == expected


async def test_a_time_out_ends_by_itself_in_a_dropped_connection(emulator: Outside):
    await emulator.fault("timeout_before", delay_s=0.01)
    with pytest.raises(NO_ANSWER):
        await emulator.get(TIME)


@pytest.mark.parametrize(("kind", "expected"), [("error_before", []), ("error_after", ["one"])])
async def test_a_5xx_does_not_say_whether_the_order_exists(
    emulator: Outside, kind: str, expected: list[str]
):
    await emulator.fault(kind, status=502, path="/api/v3/order")
    status, _ = await emulator.buy("one")
    assert status == 502
    assert orders(emulator) == expected


@pytest.mark.parametrize("code", [403, 418, 429])
async def test_what_stands_before_the_exchange_may_refuse_as_well(emulator: Outside, code: int):
    await emulator.fault("error_before", status=code, path="/api/v3/order")
    status, _ = await emulator.buy("one")
    assert status == code
    assert orders(emulator) == []


async def test_what_was_made_while_the_clock_was_ahead_is_shown_after_it_is_set(
    emulator: Outside,
):
    await emulator.control("PATCH", "/exchanges/mexc", {"clock_skew_ms": 3_000})
    await emulator.buy("one")
    await emulator.control("PATCH", "/exchanges/mexc", {"clock_skew_ms": 0})

    query = "symbol=BTCUSDT&origClientOrderId=one"
    status, answer = await emulator.signed("GET", "/api/v3/order", query)
    assert (status, answer["clientOrderId"]) == (200, "one")


async def test_a_rate_limit_is_told_in_the_exchanges_own_words(emulator: Outside):
    await emulator.fault("rate_limit", retry_after_s=7)
    for host, path, header, value in (
        ("mexc", TIME, "Retry-After", "7"),
        ("kucoin-spot", "/api/v1/timestamp", "gw-ratelimit-reset", "7000"),
    ):
        async with emulator.session.get(emulator.running.endpoints.hosts[host] + path) as response:
            assert (response.status, response.headers[header]) == (429, value)


async def test_maintenance_of_one_exchange_leaves_the_other_alone(emulator: Outside):
    await emulator.control("PATCH", "/exchanges/mexc", {"is_in_maintenance": True})
    _, answer = await emulator.get(TIME)
    assert "maintenance" in str(answer).lower()
    _, answer = await emulator.get("/api/v1/timestamp", "kucoin-spot")
    assert answer["code"] == "200000"


async def test_a_truncated_body_is_shorter_than_announced(emulator: Outside):
    await emulator.fault("truncate")
    with pytest.raises(NO_ANSWER):
        await emulator.get(TIME)


async def test_a_malformed_body_is_no_json(emulator: Outside):
    await emulator.fault("malform")
    with pytest.raises(ValueError, match=r"Expecting|Invalid|Unterminated"):
        await emulator.get(TIME)


async def test_a_wrong_clock_refuses_signed_requests(emulator: Outside):
    await emulator.fault("wrong_clock", shift_ms=60_000, path="/api/v3/account")
    status, answer = await emulator.signed("GET", "/api/v3/account")
    assert (status, answer["code"]) == (400, 700003)


async def test_a_skewed_server_tells_its_own_time(emulator: Outside):
    await emulator.control("PATCH", "/exchanges/mexc", {"clock_skew_ms": 3_600_000})
    _, answer = await emulator.get(TIME)
    now_ms = emulator.running.emulator.exchanges["mexc"].clock.now_ms()
    assert answer["serverTime"] > now_ms + 3_000_000


async def test_hidden_fills_are_left_out_of_the_list(emulator: Outside):
    await emulator.buy("one", price="70000")
    _, fills = await emulator.signed("GET", "/api/v3/myTrades", "symbol=BTCUSDT")
    assert len(fills) == 1
    await emulator.fault("hide_fills")
    _, fills = await emulator.signed("GET", "/api/v3/myTrades", "symbol=BTCUSDT")
    assert fills == []


async def test_hidden_orders_are_not_found(emulator: Outside):
    await emulator.buy("one")
    await emulator.fault("hide_orders", count=1)
    query = "symbol=BTCUSDT&origClientOrderId=one"
    status, answer = await emulator.signed("GET", "/api/v3/order", query)
    assert (status, answer["code"]) == (400, -2013)
    status, answer = await emulator.signed("GET", "/api/v3/order", query)
    assert (status, answer["clientOrderId"]) == (200, "one")


async def test_a_late_order_appears_after_its_sender_has_lost_the_connection(emulator: Outside):
    await emulator.fault("late", path="/api/v3/order", method="POST", delay_s=0.05)
    with pytest.raises(NO_ANSWER):
        await emulator.buy("one")
    assert orders(emulator) == []
    async with asyncio.timeout(10):
        while not orders(emulator):  # noqa: ASYNC110 - nobody tells when it is carried out
            await asyncio.sleep(0.005)
    (record,) = (await emulator.control("GET", "/requests?limit=1"))["records"]
    assert (record["status"], record["effects"][0]["client_id"]) == (0, "one")


async def test_a_repeated_request_takes_effect_twice(emulator: Outside):
    await emulator.fault("repeat", method="POST")
    await emulator.buy("one")
    assert orders(emulator) == ["one", "one"]


async def test_a_stale_answer_is_the_one_before(emulator: Outside):
    query = "symbol=BTCUSDT&origClientOrderId=one"
    await emulator.fault("stale", method="GET", path="/api/v3/order", skip=1, count=1)
    await emulator.buy("one")
    seen = [(await emulator.signed("GET", "/api/v3/order", query))[1]["status"]]
    await emulator.signed("DELETE", "/api/v3/order", query)
    seen += [(await emulator.signed("GET", "/api/v3/order", query))[1]["status"] for _ in "12"]
    assert seen == ["NEW", "NEW", "CANCELED"]


async def test_a_key_can_be_revoked_in_the_middle_of_a_run(emulator: Outside):
    await emulator.fault("revoke_key", path="/api/v3/order", skip=1)
    assert (await emulator.buy("one"))[0] == 200
    status, answer = await emulator.buy("two")
    assert (status, answer["code"]) == (400, 10072)
    assert orders(emulator) == ["one"]


async def test_a_fault_fits_exchange_method_path_and_key(emulator: Outside):
    await emulator.fault("error_before", exchange="kucoin*")
    await emulator.fault("error_before", method="DELETE")
    await emulator.fault("error_before", path="/api/v3/order*")
    await emulator.fault("error_before", key="another")
    assert (await emulator.get(TIME))[0] == 200
    await emulator.fault("error_before", exchange="mexc", method="GET", path=TIME, key="")
    assert (await emulator.get(TIME))[0] == 503


async def test_faults_are_listed_counted_and_lifted(emulator: Outside):
    number = await emulator.fault("delay", delay_s=0, path=TIME, skip=1, count=1)
    for _ in range(3):
        await emulator.get(TIME)
    (shown,) = (await emulator.control("GET", "/faults"))["faults"]
    assert (shown["number"], shown["matched"], shown["hits"]) == (number, 2, 1)
    await emulator.control("DELETE", f"/faults/{number}")
    assert (await emulator.control("GET", "/faults"))["faults"] == []
    assert (await emulator.try_control("DELETE", f"/faults/{number}"))[0] == 404


async def test_chaos_is_a_bit_of_everything_and_can_be_lifted(emulator: Outside):
    numbers = (await emulator.control("POST", "/chaos", {"probability": "0.5"}))["numbers"]
    assert len(numbers) == len(chaos(Decimal(1)))
    await emulator.control("DELETE", "/faults")
    assert (await emulator.get(TIME))[0] == 200


async def test_an_abandoned_request_is_recorded_as_unanswered(emulator: Outside):
    await emulator.fault("timeout_after", path="/api/v3/order", delay_s=0.4)
    with pytest.raises(TimeoutError):
        await emulator.buy("one")
    await emulator.get(TIME)
    answer = await emulator.control("GET", "/requests?limit=10")
    (record,) = [one for one in answer["records"] if one["route"] == "/api/v3/order"]
    assert (record["status"], record["faults"]) == (0, ["timeout_after"])
    assert [effect["client_id"] for effect in record["effects"]] == ["one"]
    assert record["key"] == MEXC_KEY.key


def draws(seed: int, probability: str) -> list[bool]:
    plan = FaultPlan(seed)
    plan.add(Fault(kind=FaultKind.DELAY, probability=Decimal(probability)))
    return [
        bool(plan.choose(brand="mexc", host="mexc", method="GET", path="/", key=""))
        for _ in range(400)
    ]


def test_the_same_seed_hits_the_same_requests():
    assert draws(1, "0.3") == draws(1, "0.3")
    assert draws(1, "0.3") != draws(2, "0.3")


@pytest.mark.parametrize(
    ("probability", "low", "high"), [("0", 0, 0), ("0.25", 60, 140), ("1", 400, 400)]
)
def test_a_fault_hits_about_as_often_as_it_should(probability: str, low: int, high: int):
    assert low <= sum(draws(3, probability)) <= high


def test_a_request_meets_each_kind_of_fault_once():
    plan = FaultPlan()
    plan.add(Fault(kind=FaultKind.DELAY, delay_s=1))
    plan.add(Fault(kind=FaultKind.DELAY, delay_s=2))
    plan.add(Fault(kind=FaultKind.MALFORM))
    chosen = plan.choose(brand="mexc", host="mexc", method="GET", path="/", key="")
    assert [(fault.kind, fault.delay_s) for fault in chosen] == [
        (FaultKind.DELAY, 1),
        (FaultKind.MALFORM, 60),
    ]
