"""The order and the words of KuCoin's refusals, request by request."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backfuturectl.emulator.faults import Fault, FaultKind
from backfuturectl.emulator.kucoin_auth import sign
from backfuturectl.matching.values import Wallet
from tests.contract.kucoin.kucoin_clients import (
    ACCOUNT,
    PASSPHRASE,
    SCENARIO,
    SECRET,
    TRADER,
    Stand,
    key_spec,
    kucoin,
    send,
    signed,
    signed_headers,
)

READ = "/api/v1/accounts"
ORDER = {
    "clientOid": "bf-1",
    "symbol": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "price": "60000",
    "size": "0.01",
}
FUTURES_ORDER = {
    "clientOid": "bf-1",
    "symbol": "XBTUSDTM",
    "side": "buy",
    "type": "limit",
    "price": "60000",
    "size": 1,
    "leverage": "3",
    "marginMode": "ISOLATED",
}


@pytest.mark.parametrize(
    ("method", "target", "body", "expected"),
    [
        ("GET", "/api/v1/accounts", "", "1IQclfd7ZIzIsIT5X47cdnJKnoEiZ5mElgGxVJwDuv8="),
        ("GET", "/api/v1/user/api-key", "", "2ih2hBaBCi/eFQCFlxWN3oRH3b+aDMjxwhnjHbNp5OU="),
        ("GET", "/api/ua/v1/account/mode", "", "OAAKOrq4YrBwk10xpkN3Qr6rqY9ZhnHWeM1xWC5Xe/o="),
        (
            "POST",
            "/api/v1/hf/orders/test",
            '{"clientOid":"bf-1","side":"buy","symbol":"BTC-USDT","type":"limit","price":"1",'
            '"size":"0.001"}',
            "9Qh0cIBN3756JagtCEQ+Fxz/1gGhHzCfPg8BlEHBKTI=",
        ),
        (
            "POST",
            "/api/v1/orders/test",
            '{"clientOid":"bf-1"}',
            "QY/fypSUmYH26UYlFnYW4101/ylpBIWbzb+6QannmQw=",
        ),
    ],
    ids=["accounts", "api-key", "account-mode", "spot test order", "futures test order"],
)
def test_signatures_are_those_of_the_exchange(
    method: str, target: str, body: str, expected: str
) -> None:
    assert sign(SECRET, f"1790274000000{method}{target}{body}") == expected


def test_the_passphrase_is_hidden_as_the_exchange_wants_it() -> None:
    assert sign(SECRET, PASSPHRASE) == "OplStk3M/IYYslJlMpTMb7auKQZQhD1g+JEQkER3KkA="


async def test_key_versions_two_and_three_are_taken_and_the_dead_first_is_not() -> None:
    async with kucoin() as stand:
        for version, code in (("2", "200000"), ("3", "200000"), ("1", "400004")):
            answer = await signed(stand.spot_url, "GET", READ, version=version)
            assert answer.code == code


@pytest.mark.parametrize(
    "missing", ["KC-API-KEY", "KC-API-SIGN", "KC-API-TIMESTAMP", "KC-API-PASSPHRASE"]
)
async def test_every_header_is_needed(missing: str) -> None:
    async with kucoin() as stand:
        headers = signed_headers("GET", READ)
        del headers[missing]
        answer = await send(stand.spot_url, "GET", READ, headers)
        assert (answer.status, answer.code) == (401, "400001")
        assert answer.body["msg"].startswith("Please check the header of your request for KC-API")


@pytest.mark.parametrize("host", ["spot_url", "futures_url"])
@pytest.mark.parametrize(
    ("signing", "code", "message"),
    [
        pytest.param({"at_ms": 1_728_443_843_000}, "400002", "KC-API-TIMESTAMP Invalid", id="time"),
        pytest.param(
            {"key": "0" * 24},
            "400003",
            "The API key does not exist or site mismatch.",
            id="unknown key",
        ),
        pytest.param(
            {"key": "expired000000000000000ab"},
            "400003",
            "The API key does not exist or site mismatch.",
            id="expired key",
        ),
        pytest.param({"passphrase": "x"}, "400004", "KC-API-PASSPHRASE error", id="passphrase"),
        pytest.param({"secret": "x"}, "400004", "KC-API-PASSPHRASE error", id="secret"),
        pytest.param(
            {"key": "elsewhere0000000000000ab"},
            "400006",
            "The requested ip address is not in the api whitelist",
            id="address",
        ),
    ],
)
async def test_who_calls_wrongly_is_told_what_is_wrong(
    host: str, signing: dict[str, Any], code: str, message: str
) -> None:
    async with kucoin() as stand:
        answer = await signed(getattr(stand, host), "GET", "/api/v1/user/api-key", **signing)
        assert (answer.status, answer.body) == (401, {"code": code, "msg": message})


async def test_a_signature_of_another_request_is_refused() -> None:
    async with kucoin() as stand:
        headers = signed_headers("GET", "/api/v1/user/api-key")
        answer = await send(stand.spot_url, "GET", READ, headers)
        assert (answer.status, answer.code) == (401, "400005")
        assert answer.body["msg"] == "Signature error"
        headers = signed_headers("POST", "/api/v1/hf/orders", body=json.dumps(ORDER))
        other = json.dumps(ORDER | {"size": "1"})
        answer = await send(stand.spot_url, "POST", "/api/v1/hf/orders", headers, other)
        assert answer.code == "400005"
        assert stand.venue.orders(ACCOUNT) == ()


async def test_the_query_may_be_signed_as_written_or_as_sent() -> None:
    async with kucoin() as stand:
        for written in (f"{READ}?currency=USDT&type=a b", f"{READ}?currency=USDT&type=a%20b"):
            headers = signed_headers("GET", written)
            sent = f"{READ}?currency=USDT&type=a%20b"
            assert (await send(stand.spot_url, "GET", sent, headers)).code == "200000"


async def test_the_first_thing_wrong_is_the_one_reported() -> None:
    async with kucoin() as stand:
        wrong = {"key": "0" * 24, "at_ms": 0, "secret": "x"}
        assert (await signed(stand.spot_url, "GET", READ, **wrong)).code == "400002"
        del wrong["at_ms"]
        assert (await signed(stand.spot_url, "GET", READ, **wrong)).code == "400003"
        # A key that may not come from here does not learn which rights it has.
        answer = await signed(
            stand.futures_url,
            "GET",
            "/api/v1/positions",
            key="elsewhere0000000000000ab",
        )
        assert answer.code == "400006"


async def test_the_clock_may_be_five_seconds_off() -> None:
    async with kucoin() as stand:
        exchange = stand.running.emulator.exchanges["kucoin"]
        for skew_ms, code in ((4_000, "200000"), (-4_000, "200000"), (6_000, "400002")):
            exchange.clock_skew_ms = skew_ms
            assert (await signed(stand.spot_url, "GET", READ)).code == code
        now = (await send(stand.futures_url, "GET", "/api/v1/timestamp")).body["data"]
        assert abs(now - exchange.now_ms()) < 2_000


async def test_an_address_on_the_list_is_let_in() -> None:
    async with kucoin() as stand:
        ips = stand.running.emulator.exchanges["kucoin"].caller_ips
        ips["elsewhere0000000000000ab"] = "203.0.113.154"
        answer = await signed(stand.spot_url, "GET", READ, key="elsewhere0000000000000ab")
        assert answer.code == "200000"


async def test_a_revoked_key_is_one_that_does_not_exist() -> None:
    async with kucoin() as stand:
        stand.running.emulator.faults.add(Fault(kind=FaultKind.REVOKE_KEY, key=TRADER, count=1))
        codes = [(await signed(stand.spot_url, "GET", READ)).code for _ in range(2)]
        assert codes[-1] == "400003"


NEEDED_RIGHTS = [
    ("spot_url", "GET", "/api/v1/accounts", "General"),
    ("spot_url", "GET", "/api/v1/user/api-key", "General"),
    ("spot_url", "GET", "/api/ua/v1/account/mode", "General"),
    ("spot_url", "GET", "/api/v1/hf/orders/active?symbol=BTC-USDT", "General"),
    ("spot_url", "GET", "/api/v1/hf/orders/done?symbol=BTC-USDT", "General"),
    ("spot_url", "GET", "/api/v1/hf/fills?symbol=BTC-USDT", "General"),
    ("spot_url", "GET", "/api/v1/hf/orders/active/symbols", "Spot"),
    ("spot_url", "GET", "/api/v1/hf/orders/dead-cancel-all/query", "Spot"),
    ("spot_url", "POST", "/api/v1/hf/orders", "Spot"),
    ("spot_url", "POST", "/api/v1/hf/orders/test", "Spot"),
    ("spot_url", "DELETE", "/api/v1/hf/orders/cancelAll", "Spot"),
    ("spot_url", "POST", "/api/v3/accounts/universal-transfer", "InnerTransfer"),
    ("spot_url", "POST", "/api/v3/withdrawals", "Transfer"),
    ("spot_url", "DELETE", "/api/v1/withdrawals/1", "Transfer"),
    ("futures_url", "GET", "/api/v1/orders?status=active", "General"),
    ("futures_url", "GET", "/api/v1/fills", "General"),
    ("futures_url", "GET", "/api/v1/account-overview?currency=USDT", "Futures"),
    ("futures_url", "GET", "/api/v1/positions", "Futures"),
    ("futures_url", "GET", "/api/v1/position?symbol=XBTUSDTM", "Futures"),
    ("futures_url", "GET", "/api/v2/position/getMarginMode?symbol=XBTUSDTM", "Futures"),
    ("futures_url", "POST", "/api/v1/orders", "Futures"),
    ("futures_url", "POST", "/api/v1/orders/test", "Futures"),
    ("futures_url", "DELETE", "/api/v3/orders", "Futures"),
]


@pytest.mark.parametrize(
    ("host", "method", "target", "needed"), NEEDED_RIGHTS, ids=[row[2] for row in NEEDED_RIGHTS]
)
async def test_each_endpoint_asks_for_its_right(
    host: str, method: str, target: str, needed: str
) -> None:
    everything = ("General", "Spot", "Futures", "Margin", "Transfer", "InnerTransfer", "Earn")
    lacking = key_spec("lacking", *(token for token in everything if token != needed))
    holding = key_spec("holding", needed)
    accounts = (SCENARIO.accounts or ())[0].model_copy(update={"keys": (lacking, holding)})
    async with kucoin(SCENARIO.model_copy(update={"accounts": (accounts,)})) as stand:
        payload = {} if method == "POST" else None
        url = getattr(stand, host)
        answer = await signed(url, method, target, payload, key="lacking")
        assert (answer.status, answer.code) == (401, "400007")
        assert answer.body["msg"] == "Access denied, require more permission."
        answer = await signed(url, method, target, payload, key="holding")
        assert answer.code != "400007"


async def test_a_key_tells_its_own_rights() -> None:
    async with kucoin() as stand:
        stand_key = (await signed(stand.spot_url, "GET", "/api/v1/user/api-key")).body["data"]
        assert stand_key == {
            "remark": "bot",
            "apiKey": TRADER,
            "apiVersion": 3,
            "permission": "General,Spot,Futures",
            "createdAt": 1_728_443_843_000,
            "uid": 165_000_001,
            "isMaster": True,
        }
        caller_ips = stand.running.emulator.exchanges["kucoin"].caller_ips
        caller_ips["elsewhere0000000000000ab"] = "203.0.113.154"
        bound = await signed(
            stand.futures_url, "GET", "/api/v1/user/api-key", key="elsewhere0000000000000ab"
        )
        assert bound.body["data"]["ipWhitelist"] == "203.**.154,103.**.34"
        sub = await signed(
            stand.spot_url, "GET", "/api/v1/user/api-key", key="subaccount000000000000ab"
        )
        assert sub.body["data"]["isMaster"] is False
        assert sub.body["data"]["subName"] == "robot1"
        assert sub.body["data"]["uid"] == 165_000_002


async def test_no_key_can_withdraw() -> None:
    async with kucoin() as stand:
        before = stand.venue.balances(ACCOUNT, Wallet.FUNDING)["USDT"]
        payload = {"currency": "USDT", "toAddress": "T", "amount": "1", "withdrawType": "ADDRESS"}
        for path in ("/api/v3/withdrawals", "/api/v1/withdrawals"):
            answer = await signed(
                stand.spot_url, "POST", path, payload, key="withdrawer000000000000ab"
            )
            assert answer.code == "260210"
        assert stand.venue.balances(ACCOUNT, Wallet.FUNDING)["USDT"] == before


async def test_a_classic_account_has_no_unified_endpoints() -> None:
    async with kucoin() as stand:
        answer = await signed(stand.spot_url, "POST", "/api/ua/v1/unified/order/place", {})
        assert answer.body == {"code": "112010", "msg": "Invalid Unified Account user."}


async def _spot(stand: Stand, **change: Any) -> Any:
    return await signed(stand.spot_url, "POST", "/api/v1/hf/orders", ORDER | change)


async def _futures(stand: Stand, **change: Any) -> Any:
    return await signed(stand.futures_url, "POST", "/api/v1/orders", FUTURES_ORDER | change)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"symbol": "NO-USDT"}, "900001", "symbol not exists"),
        ({"symbol": "BTC/USDT"}, "900001", "symbol not exists"),
        ({"size": "0.0000001"}, "400100", "Order size below the minimum requirement."),
        ({"size": "0.0100001"}, "600100", "Order size increment invalid."),
        ({"price": "60000.001"}, "600100", "Price increment invalid."),
        ({"size": "0.00001"}, "600101", "The order funds should more then 1 USDT."),
        ({"size": "100"}, "200004", "Balance insufficient!"),
        ({"price": None}, "400100", "validation.createOrder.priceIsRequired"),
        ({"size": None}, "400100", None),
        ({"side": "hold"}, "400100", None),
        ({"price": "abc"}, "400100", None),
        ({"price": "-1"}, "400100", None),
        ({"clientOid": "x" * 41}, "400100", None),
        ({"type": "market", "price": None, "size": None, "funds": "0.5"}, "600100", None),
    ],
)
async def test_spot_orders_are_refused_with_the_exchanges_words(
    change: dict[str, Any], code: str, message: str | None
) -> None:
    async with kucoin() as stand:
        answer = await _spot(stand, **change)
        assert (answer.status, answer.code) == (200, code)
        assert message in {None, answer.body["msg"]}
        assert stand.venue.orders(ACCOUNT) == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"symbol": "NOUSDTM"}, "200003"),
        ({"symbol": "BTC-USDT"}, "200003"),
        ({"size": 0.5}, "300000"),
        ({"size": None}, "100001"),
        ({"price": None}, "300000"),
        ({"leverage": None}, "100001"),
        ({"leverage": "101"}, "300016"),
        ({"price": "60000.05"}, "300000"),
        ({"size": 1_000_000}, "300003"),
        ({"clientOid": None}, "400100"),
        ({"marginMode": "CROSS"}, "330005"),
        ({"positionSide": "LONG"}, "330012"),
        ({"reduceOnly": True}, "300009"),
        ({"stop": "up", "stopPrice": "70000"}, "300000"),
        ({"stop": "up", "stopPriceType": "TP"}, "300000"),
        ({"stop": "sideways", "stopPrice": "70000", "stopPriceType": "TP"}, "300000"),
        ({"stop": "up", "stopPrice": "70000.05", "stopPriceType": "TP"}, "300000"),
    ],
)
async def test_futures_orders_are_refused_with_the_exchanges_codes(
    change: dict[str, Any], code: str
) -> None:
    async with kucoin() as stand:
        answer = await _futures(stand, **change)
        assert (answer.status, answer.code) == (200, code)
        assert stand.venue.orders(ACCOUNT) == ()


async def test_a_price_outside_the_band_is_refused_with_the_limit() -> None:
    async with kucoin() as stand:
        for pair in ("BTC/USDT", "BTC/USDT:USDT"):
            listing = stand.venue.listing(pair)
            stand.venue.add_listing(type(listing)(listing.market, price_band=Decimal("0.1")))
        assert (await _spot(stand, price="80000")).body == {
            "code": "400370",
            "msg": "Max. price: 74800",
        }
        assert (await _spot(stand, price="60000")).code == "400760"
        assert (await _futures(stand, price="80000")).code == "300011"
        assert (await _futures(stand, price="60000")).body == {
            "code": "300012",
            "msg": "Order price cannot be lower than 61200",
        }


oddities = st.sampled_from(
    [None, "", 0, -1, True, "abc", "1e400", "1e-400", "NaN", "-5", [], {}, [{}], 2**70, "x" * 50]
)
bodies = st.dictionaries(st.sampled_from([*ORDER, *FUTURES_ORDER, "funds", "qty"]), oddities)


@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.lists(bodies, min_size=30, max_size=30))
async def test_no_body_makes_the_exchange_itself_fail(changes: list[dict[str, Any]]) -> None:
    async with kucoin() as stand:
        for change in changes:
            for answer in (await _spot(stand, **change), await _futures(stand, **change)):
                assert answer.status < 500
                assert answer.code == "200000" or answer.body["msg"]


async def test_a_body_that_is_no_json_is_refused() -> None:
    async with kucoin() as stand:
        headers = signed_headers("POST", "/api/v1/hf/orders", body="{")
        answer = await send(stand.spot_url, "POST", "/api/v1/hf/orders", headers, "{")
        assert (answer.status, answer.code) == (400, "400100")
        headers = signed_headers("POST", "/api/v1/hf/orders", body="{}")
        headers["Content-Type"] = "text/plain"
        answer = await send(stand.spot_url, "POST", "/api/v1/hf/orders", headers, "{}")
        assert (answer.status, answer.code) == (415, "415000")


async def test_unknown_paths_are_not_found() -> None:
    async with kucoin() as stand:
        for url in (stand.spot_url, stand.futures_url):
            answer = await send(url, "GET", "/api/v9/nothing")
            assert (answer.status, answer.code) == (404, "404")


async def test_every_answer_carries_the_rate_budget() -> None:
    async with kucoin() as stand:
        first = await signed(stand.spot_url, "GET", READ)
        second = await signed(stand.spot_url, "GET", READ)
        assert first.headers["gw-ratelimit-limit"] == "2000"
        used = int(first.headers["gw-ratelimit-remaining"]) - int(
            second.headers["gw-ratelimit-remaining"]
        )
        assert used == 5
        assert 0 < int(second.headers["gw-ratelimit-reset"]) <= 30_000
        refused = await signed(stand.spot_url, "GET", READ, at_ms=0)
        assert "gw-ratelimit-remaining" in refused.headers


async def test_a_pool_that_is_used_up_refuses_until_its_window_ends() -> None:
    async with kucoin(SCENARIO.model_copy(update={"enforce_limits": True})) as stand:
        path = "/api/v1/user/api-key"
        answers = [await signed(stand.spot_url, "GET", path) for _ in range(101)]
        assert {answer.status for answer in answers[:100]} == {200}
        refused = answers[100]
        assert (refused.status, refused.body) == (
            429,
            {"code": "429000", "msg": "Too Many Requests"},
        )
        assert refused.headers["gw-ratelimit-remaining"] == "0"
        assert 0 < int(refused.headers["gw-ratelimit-reset"]) <= 30_000
        # Another pool, and another key, have budgets of their own.
        orders = "/api/v1/hf/orders/active?symbol=BTC-USDT"
        assert (await signed(stand.spot_url, "GET", orders)).status == 200
        other = await signed(stand.spot_url, "GET", path, key="reader0000000000000000ab")
        assert other.status == 200


async def test_maintenance_is_told_by_the_status_endpoints() -> None:
    async with kucoin() as stand:
        stand.running.emulator.exchanges["kucoin"].is_in_maintenance = True
        for url in (stand.spot_url, stand.futures_url):
            status = await send(url, "GET", "/api/v1/status")
            assert (status.status, status.body["data"]["status"]) == (200, "close")
        refused = await signed(stand.spot_url, "GET", READ)
        assert (refused.status, refused.code) == (503, "503")


async def test_cancel_only_takes_cancels_and_no_orders() -> None:
    async with kucoin() as stand:
        client_id = (await _spot(stand)).body["data"]["clientOid"]
        stand.running.emulator.exchanges["kucoin"].is_cancel_only = True
        assert (await _spot(stand, clientOid="bf-2")).code == "200001"
        assert (await _futures(stand)).code == "300002"
        path = f"/api/v1/hf/orders/client-order/{client_id}?symbol=BTC-USDT"
        assert (await signed(stand.spot_url, "DELETE", path)).code == "200000"


async def test_an_order_may_be_acknowledged_before_it_can_be_read() -> None:
    async with kucoin() as stand:
        stand.running.emulator.faults.add(Fault(kind=FaultKind.HIDE_ORDERS, hidden_ms=60_000))
        order_id = (await _spot(stand)).body["data"]["orderId"]
        path = f"/api/v1/hf/orders/{order_id}?symbol=BTC-USDT"
        by_client_id = "/api/v1/hf/orders/client-order/bf-1?symbol=BTC-USDT"
        listed = "/api/v1/hf/orders/active?symbol=BTC-USDT"
        for target in (path, by_client_id):
            assert (await signed(stand.spot_url, "GET", target)).code == "400100"
        assert (await signed(stand.spot_url, "DELETE", by_client_id)).code == "400100"
        assert (await signed(stand.spot_url, "GET", listed)).body["data"] == []
        stand.running.emulator.faults.clear()
        for target in (path, by_client_id):
            assert (await signed(stand.spot_url, "GET", target)).code == "200000"


async def test_history_reaches_back_a_week_at_most() -> None:
    async with kucoin() as stand:
        await _spot(stand, type="market", price=None)
        now_ms = stand.running.emulator.exchanges["kucoin"].now_ms()
        fills = "/api/v1/hf/fills?symbol=BTC-USDT"
        week_ms = 7 * 86_400_000
        in_range = await signed(
            stand.spot_url, "GET", f"{fills}&startAt={now_ms - week_ms + 5_000}"
        )
        assert len(in_range.body["data"]["items"]) == 1
        # Without an end the range is a week from the start: today's fill is not in it.
        early = await signed(stand.spot_url, "GET", f"{fills}&startAt={now_ms - 2 * week_ms}")
        assert early.body["data"] == {"items": [], "lastId": 0}
        wide = f"{fills}&startAt={now_ms - 2 * week_ms}&endAt={now_ms}"
        assert (await signed(stand.spot_url, "GET", wide)).code == "102425"


async def test_symbols_with_open_orders_are_listed() -> None:
    async with kucoin() as stand:
        await _spot(stand)
        await _futures(stand, clientOid="bf-2")
        answer = await signed(stand.spot_url, "GET", "/api/v1/hf/orders/active/symbols")
        assert answer.body["data"] == {"symbols": ["BTC-USDT"]}
        statistics = "/api/v1/openOrderStatistics?symbol=XBTUSDTM"
        answer = await signed(stand.futures_url, "GET", statistics)
        assert answer.body["data"]["openOrderBuySize"] == 1
        assert answer.body["data"]["openOrderBuyCost"] == "60"


async def test_accounts_are_echoed_with_the_type_that_was_asked_for() -> None:
    async with kucoin() as stand:
        for kind in ("trade", "trade_hf", "main"):
            rows = (await signed(stand.spot_url, "GET", f"{READ}?type={kind}")).body["data"]
            assert {row["type"] for row in rows} == {kind}
        rows = (await signed(stand.spot_url, "GET", READ)).body["data"]
        assert {row["type"] for row in rows} == {"main", "trade"}
        one = await signed(stand.spot_url, "GET", f"{READ}/{rows[0]['id']}")
        assert one.body["data"]["currency"] == rows[0]["currency"]
        assert len({row["id"] for row in rows}) == len(rows)
