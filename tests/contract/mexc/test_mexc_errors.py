"""Every row of the exchange's error table that the stand-in can be brought to give."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import pytest

from backfuturectl.emulator.faults import FaultKind
from backfuturectl.emulator.mexc_auth import (
    RECV_WINDOW_MAX_MS,
    RECV_WINDOW_MS,
    futures_signature,
    spot_signature,
)
from backfuturectl.emulator.mexc_gateway import gateway_reply
from backfuturectl.emulator.mexc_values import DAY_MS
from backfuturectl.matching.values import Listing, Wallet
from tests.contract.mexc.conftest import ACCOUNT, FUTURES_RIGHTS, KEY, RIGHTS, SPOT_RIGHTS, Mexc

NO_PERMISSION = (400, 700007, "No permission to access the endpoint.")
BAD_SIGNATURE = (400, 700002, "Signature for this request is not valid.")
OUTSIDE_WINDOW = (400, 700003, "Timestamp for this request is outside of the recvWindow.")
LIMIT_BUY = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.01&price=60000"


def missing(name: str) -> tuple[int, int, str]:
    return (
        400,
        700004,
        f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
    )


@pytest.mark.parametrize(
    ("secret", "text", "signature"),
    [
        pytest.param(
            "45d0b3c26f2644f19bfb98b07741b2f5",
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=11&recvWindow=5000"
            "&timestamp=1644489390087",
            "fd3e4e8543c5188531eb7279d68ae7d26a573d0fc5ab0d18eb692451654d837a",
            id="published",
        ),
        pytest.param(
            "mexc-secret",
            "timestamp=1790274000000&recvWindow=5000",
            "454aeab6cc9a170f62940827104b8e6ed65e14310062e1b31ef781d2ee456cea",
            id="no-parameters",
        ),
        pytest.param(
            "mexc-secret",
            "accessKey=mexc-key&timestamp=1790274000000&recvWindow=5000",
            "7343ce5a08751c39529115920ef3943671d86066cedcc27568e23dec4de91119",
            id="ccxt",
        ),
    ],
)
def test_spot_signatures_match_known_vectors(secret: str, text: str, signature: str) -> None:
    assert spot_signature(secret, text) == signature


@pytest.mark.parametrize(
    ("parameters", "signature"),
    [
        pytest.param(
            "page_num=1&page_size=20",
            "319ec9b5b2851df16bf34d673cef94b714310c3790de0bdd843b7cdf50547d1b",
            id="get",
        ),
        pytest.param(
            '["123"]',
            "1f1bffe97ded62b93015d330478bc923dbdfabaf3d7e5e2616b016fcaa7f8eef",
            id="post",
        ),
        pytest.param(
            "",
            "700a6596eb6738b6f5cc2598061c7ca48933e572f2978f0c431c6fc7415d1c3b",
            id="no-parameters",
        ),
    ],
)
def test_futures_signatures_match_known_vectors(parameters: str, signature: str) -> None:
    assert futures_signature("mexc-secret", "mexc-key", "1790274000000", parameters) == signature


# Keys, signatures, clocks


async def test_a_request_without_a_key_is_refused(exchange: Mexc) -> None:
    answer = await exchange.send("GET", "/api/v3/account?timestamp=1&signature=00")
    assert answer.refusal == (400, 400, "api key required")


@pytest.mark.parametrize(
    ("key", "refusal"),
    [
        pytest.param("mx0vunknown", (400, 10072, "Api key info invalid"), id="unknown"),
        pytest.param("mx0v unknown", (400, 700001, "API-key format invalid"), id="malformed"),
    ],
)
async def test_a_wrong_key_is_told_from_a_malformed_one(
    exchange: Mexc, key: str, refusal: Any
) -> None:
    assert (await exchange.spot("GET", "account", key=key)).refusal == refusal


async def test_a_revoked_key_is_an_unknown_key(exchange: Mexc) -> None:
    with exchange.fault(FaultKind.REVOKE_KEY):
        answer = await exchange.spot("GET", "account")
    assert answer.refusal == (400, 10072, "Api key info invalid")


async def test_a_wrong_secret_is_a_bad_signature(exchange: Mexc) -> None:
    assert (await exchange.spot("GET", "account", secret="other")).refusal == BAD_SIGNATURE


async def test_an_expired_key_looks_like_a_wrong_secret(exchange: Mexc) -> None:
    exchange.give_key("mx0vold", *RIGHTS, expires_at_ms=exchange.now_ms - 1)
    assert (await exchange.spot("GET", "account", key="mx0vold")).refusal == BAD_SIGNATURE


async def test_the_signature_covers_query_and_body_without_a_separator(exchange: Mexc) -> None:
    answer = await exchange.spot("POST", "order/test", "symbol=BTCUSDT", body="side=BUY&type=LIMIT")
    assert answer.refusal == (400, *missing("quantity")[1:])


async def test_parameters_may_all_be_in_the_body(exchange: Mexc) -> None:
    text = f"{LIMIT_BUY}&timestamp={exchange.now_ms}"
    signature = spot_signature("test-secret", text)
    answer = await exchange.send(
        "POST",
        "/api/v3/order",
        body=f"{text}&signature={signature}",
        headers={"X-MEXC-APIKEY": KEY},
    )
    assert answer.status == 200
    assert answer.body["orderId"].startswith("C02__")


@pytest.mark.parametrize(
    ("target", "name"),
    [
        pytest.param("account?timestamp=1", "signature", id="signature"),
        pytest.param("account?signature=00", "timestamp", id="timestamp"),
        pytest.param("account?timestamp=soon&signature=00", "timestamp", id="not-a-number"),
    ],
)
async def test_what_every_signed_request_needs_is_named(
    exchange: Mexc, target: str, name: str
) -> None:
    answer = await exchange.send("GET", f"/api/v3/{target}", headers={"X-MEXC-APIKEY": KEY})
    assert answer.refusal == missing(name)


@pytest.mark.parametrize(
    ("offset_ms", "window_ms", "is_taken"),
    [
        # Some milliseconds of room for the request to arrive.
        pytest.param(900, RECV_WINDOW_MS, True, id="ahead"),
        pytest.param(5000, RECV_WINDOW_MS, False, id="too-far-ahead"),
        pytest.param(-4000, RECV_WINDOW_MS, True, id="late"),
        pytest.param(-5001, RECV_WINDOW_MS, False, id="too-late"),
        pytest.param(-50_000, RECV_WINDOW_MAX_MS, True, id="late-in-the-widest-window"),
    ],
)
async def test_a_timestamp_counts_inside_its_window_only(
    exchange: Mexc, offset_ms: int, window_ms: int, is_taken: bool
) -> None:
    answer = await exchange.spot(
        "GET", "account", f"recvWindow={window_ms}", at_ms=exchange.now_ms + offset_ms
    )
    if is_taken:
        assert answer.status == 200
    else:
        assert answer.refusal == OUTSIDE_WINDOW


async def test_an_exchange_whose_clock_is_off_refuses_honest_clients(exchange: Mexc) -> None:
    with exchange.fault(FaultKind.WRONG_CLOCK, shift_ms=30_000):
        answer = await exchange.spot("GET", "account")
    assert answer.refusal == OUTSIDE_WINDOW


async def test_too_wide_a_window_is_refused(exchange: Mexc) -> None:
    answer = await exchange.spot("GET", "account", "recvWindow=60001")
    assert answer.refusal == (400, 700005, "recvWindow must less than 60000")


async def test_another_address_is_refused_and_told(exchange: Mexc) -> None:
    exchange.give_key("mx0vbound", *RIGHTS, ips=("198.51.100.1",))
    exchange.exchange.caller_ips["mx0vbound"] = "203.0.113.7"
    answer = await exchange.spot("GET", "account", key="mx0vbound")
    assert answer.refusal == (400, 700006, "IP [203.0.113.7] not in the ip white list")


async def test_a_form_content_type_is_refused(exchange: Mexc) -> None:
    answer = await exchange.spot(
        "POST",
        "order",
        LIMIT_BUY,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.refusal == (400, 700013, "Invalid content Type.")


async def test_a_body_that_cannot_be_read_is_refused(exchange: Mexc) -> None:
    answer = await exchange.spot("POST", "order", body="{nonsense")
    assert answer.refusal == (400, 700008, "Illegal characters found in parameter.")


# Rights

ACCOUNT_READ = "SPOT_ACCOUNT_READ"
DEAL_READ = "SPOT_DEAL_READ"
DEAL_WRITE = "SPOT_DEAL_WRITE"
ENDPOINTS = [
    ("GET", "account", "", ACCOUNT_READ),
    ("GET", "uid", "", ACCOUNT_READ),
    ("GET", "kyc/status", "", ACCOUNT_READ),
    ("GET", "tradeFee", "symbol=BTCUSDT", ACCOUNT_READ),
    ("GET", "myTrades", "symbol=BTCUSDT", ACCOUNT_READ),
    ("GET", "selfSymbols", "", ACCOUNT_READ),
    ("GET", "openOrders", "symbol=BTCUSDT", DEAL_READ),
    ("GET", "allOrders", "symbol=BTCUSDT", DEAL_READ),
    ("GET", "order", "symbol=BTCUSDT&orderId=1", DEAL_READ),
    ("POST", "order", LIMIT_BUY, DEAL_WRITE),
    ("POST", "order/test", LIMIT_BUY, DEAL_WRITE),
    ("POST", "batchOrders", "batchOrders=%5B%5D", DEAL_WRITE),
    ("DELETE", "order", "symbol=BTCUSDT&orderId=1", DEAL_WRITE),
    ("DELETE", "order/all", "", DEAL_WRITE),
    ("DELETE", "openOrders", "symbol=BTCUSDT", DEAL_WRITE),
    ("GET", "capital/config/getall", "", "SPOT_WITHDRAW_READ"),
    ("POST", "capital/withdraw", "coin=USDT&address=a&amount=1", "SPOT_WITHDRAW_WRITE"),
    ("DELETE", "capital/withdraw", "id=1", "SPOT_WITHDRAW_WRITE"),
]


@pytest.mark.parametrize(
    ("method", "path", "query", "token"),
    [pytest.param(*row, id=f"{row[0]}-{row[1]}") for row in ENDPOINTS],
)
async def test_each_endpoint_needs_its_own_right_and_no_other(
    exchange: Mexc, method: str, path: str, query: str, token: str
) -> None:
    others = {row[3] for row in ENDPOINTS} - {token}
    exchange.give_key("mx0vothers", *others)
    exchange.give_key("mx0vjust", token)
    assert (await exchange.spot(method, path, query, key="mx0vothers")).refusal == NO_PERMISSION
    taken = await exchange.spot(method, path, query, key="mx0vjust")
    assert taken.status == 200 or taken.body["code"] != 700007


async def test_the_short_spelling_of_a_right_counts(exchange: Mexc) -> None:
    exchange.give_key("mx0vshort", "SPOT_ACCOUNT_R")
    assert (await exchange.spot("GET", "account", key="mx0vshort")).status == 200


async def test_nobody_can_withdraw_whatever_the_key_says(exchange: Mexc) -> None:
    exchange.give_key("mx0vdanger", *RIGHTS, "SPOT_WITHDRAW_READ", "SPOT_WITHDRAW_WRITE")
    before = exchange.venue.entries(ACCOUNT)
    for path in ("capital/withdraw", "capital/withdraw/apply"):
        answer = await exchange.spot("POST", path, "coin=USDT&amount=1", key="mx0vdanger")
        assert (answer.status, answer.body["code"]) == (400, 10212)
    assert exchange.venue.entries(ACCOUNT) == before


async def test_the_accounts_flags_say_nothing_about_the_key(exchange: Mexc) -> None:
    account = (await exchange.spot("GET", "account")).body
    assert (account["canTrade"], account["canWithdraw"], account["canDeposit"]) == (True,) * 3


async def test_a_key_tells_what_it_may_do(exchange: Mexc) -> None:
    exchange.give_key(
        "mx0vfull",
        *SPOT_RIGHTS,
        ips=("127.0.0.1", "198.51.100.1"),
        note="bot",
        created_at_ms=1_789_412_016_000,
        expires_at_ms=exchange.now_ms + 82 * DAY_MS + 60_000,
    )
    answer = await exchange.spot("GET", "apiKeyInfo", "accessKey=mx0vfull", key="mx0vfull")
    assert answer.body == {
        "note": "bot",
        "accessKey": "mx0vfull",
        "createTime": "2026-09-14T18:53:36.000+00:00",
        "permissions": "SPOT_ACCOUNT_READ,SPOT_DEAL_READ,SPOT_DEAL_WRITE",
        "remainingValidity": 82,
        "ipWhiteList": "127.0.0.1,198.51.100.1",
        "status": "VALID",
    }


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param("", 730707, id="none"),
        pytest.param("accessKey=mx0vnobody", 730706, id="unknown"),
        pytest.param("accessKey=mx0vforeign", 730706, id="of-another-account"),
    ],
)
async def test_only_keys_of_ones_own_account_are_told(
    exchange: Mexc, query: str, code: int
) -> None:
    exchange.venue.add_account("other")
    exchange.give_key("mx0vforeign", *RIGHTS)
    foreign = exchange.venue.key("mx0vforeign")
    assert foreign is not None
    exchange.venue.put_key(_owned_by(foreign, "other"))
    answer = await exchange.spot("GET", "apiKeyInfo", query)
    assert (answer.status, answer.body["code"]) == (400, code)


async def test_posting_key_info_changes_the_addresses(exchange: Mexc) -> None:
    await exchange.spot("POST", "apiKeyInfo", f"accessKey={KEY}&note=renamed")
    assert (await exchange.spot("GET", "account")).status == 200
    await exchange.spot("POST", "apiKeyInfo", f"accessKey={KEY}&ipWhiteList=198.51.100.1")
    answer = await exchange.spot("GET", "account")
    assert answer.refusal == (400, 700006, "IP [127.0.0.1] not in the ip white list")


# Orders


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        pytest.param("side=BUY&type=LIMIT", missing("symbol"), id="no-symbol"),
        pytest.param("symbol=BTCUSDT&type=LIMIT", missing("side"), id="no-side"),
        pytest.param(LIMIT_BUY.replace("BUY", "LONG"), missing("side"), id="bad-side"),
        pytest.param(LIMIT_BUY.replace("LIMIT", "STOP"), missing("type"), id="bad-type"),
        pytest.param(LIMIT_BUY.replace("60000", ""), missing("price"), id="no-price"),
        pytest.param(
            LIMIT_BUY.replace("BTCUSDT", "BTC-USDT"), (400, 10007, "bad symbol"), id="symbol"
        ),
        pytest.param(
            LIMIT_BUY.replace("0.01", "0.00001"),
            (400, 30002, "The minimum transaction volume cannot be less than:1USDT"),
            id="too-small",
        ),
        pytest.param(
            LIMIT_BUY.replace("0.01", "0.0100001"),
            (400, 10096, "amount decimal places is too long"),
            id="amount-precision",
        ),
        pytest.param(
            LIMIT_BUY.replace("60000", "60000.001"),
            (400, 10096, "price decimal places is too long"),
            id="price-precision",
        ),
        pytest.param(
            LIMIT_BUY.replace("0.01", "-1"),
            (400, 10102, "quantity cannot be zero or negative"),
            id="negative",
        ),
        pytest.param(
            LIMIT_BUY.replace("0.01", "1"), (400, 30004, "Insufficient position"), id="no-money"
        ),
        pytest.param(
            LIMIT_BUY.replace("BUY", "SELL").replace("0.01", "3"),
            (400, 30005, "Oversold"),
            id="no-coins",
        ),
        pytest.param(
            f"{LIMIT_BUY}&newClientOrderId={'x' * 33}",
            (400, 400, "the length of order id should between 1 and 32"),
            id="client-id-too-long",
        ),
        pytest.param(
            f"{LIMIT_BUY}&newClientOrderId=",
            (400, 400, "the length of order id should between 1 and 32"),
            id="client-id-empty",
        ),
    ],
)
async def test_a_bad_order_is_refused_and_changes_nothing(
    exchange: Mexc, query: str, refusal: Any
) -> None:
    balances = exchange.venue.balances(ACCOUNT, Wallet.SPOT)
    answer = await exchange.spot("POST", "order", query)
    assert answer.refusal == refusal
    assert exchange.venue.orders(ACCOUNT) == ()
    assert exchange.venue.balances(ACCOUNT, Wallet.SPOT) == balances


@pytest.mark.parametrize(
    ("changes", "market_changes", "refusal"),
    [
        pytest.param({}, {"is_active": False}, (400, 30016, "trading disabled"), id="closed"),
        pytest.param(
            {"price_band": Decimal("0.05")},
            {},
            (400, 30087, "Order price exceeds allowed range"),
            id="price-band",
        ),
        pytest.param(
            {"cost_max": Decimal(500)},
            {},
            (400, 30003, "The maximum transaction volume cannot be greater than:500USDT"),
            id="too-much",
        ),
        pytest.param(
            {},
            {"amount_max": Decimal("0.001")},
            (400, 30003, "The maximum transaction volume cannot be greater than:0.001BTC"),
            id="too-many-coins",
        ),
        pytest.param(
            {},
            {"amount_min": Decimal("0.5")},
            (400, 30002, "The minimum transaction volume cannot be less than:0.5BTC"),
            id="too-few-coins",
        ),
        pytest.param(
            {},
            {"open_orders_max": 0},
            (400, 30069, "Open orders too many"),
            id="too-many-orders",
        ),
    ],
)
async def test_the_markets_rules_are_enforced(
    exchange: Mexc, changes: Any, market_changes: Any, refusal: Any
) -> None:
    _change_listing(exchange, "BTC/USDT", changes, market_changes)
    assert (await exchange.spot("POST", "order", LIMIT_BUY)).refusal == refusal


@pytest.mark.parametrize(
    "orders",
    [
        pytest.param("%5B%5D", id="none"),
        pytest.param("%5B1%5D", id="no-objects"),
        pytest.param("%7B%7D", id="no-list"),
        pytest.param(
            "%5B%7B%22symbol%22%3A%22BTCUSDT%22%7D%2C%7B%22symbol%22%3A%22ETHUSDT%22%7D%5D",
            id="two-symbols",
        ),
    ],
)
async def test_a_batch_that_is_none_is_refused(exchange: Mexc, orders: str) -> None:
    answer = await exchange.spot("POST", "batchOrders", f"batchOrders={orders}")
    assert answer.refusal == (400, 730002, "Your input param is invalid")


async def test_a_key_limited_to_pairs_trades_no_other(exchange: Mexc) -> None:
    exchange.give_key("mx0veth", *RIGHTS, symbols=("ETH/USDT",))
    answer = await exchange.spot("POST", "order", LIMIT_BUY, key="mx0veth")
    assert answer.refusal == (400, 30020, "no permission for the symbol")
    own = await exchange.spot("GET", "selfSymbols", key="mx0veth")
    assert own.body == {"code": 200, "data": ["ETHUSDT"], "msg": None}


@pytest.mark.parametrize(
    ("method", "query", "refusal"),
    [
        pytest.param("GET", "orderId=C02__1", (400, -2013, "Order does not exist."), id="get"),
        pytest.param(
            "GET", "origClientOrderId=x", (400, -2013, "Order does not exist."), id="get-client-id"
        ),
        pytest.param("DELETE", "orderId=1", (400, -2011, "Unknown order sent."), id="cancel"),
        pytest.param(
            "DELETE",
            "",
            (
                400,
                700004,
                "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
            ),
            id="no-id",
        ),
    ],
)
async def test_an_unknown_order_is_named_by_what_was_asked(
    exchange: Mexc, method: str, query: str, refusal: Any
) -> None:
    assert (await exchange.spot(method, "order", f"symbol=BTCUSDT&{query}")).refusal == refusal


async def test_an_order_is_not_found_on_another_symbol(exchange: Mexc) -> None:
    order_id = (await exchange.spot("POST", "order", LIMIT_BUY)).body["orderId"]
    answer = await exchange.spot("GET", "order", f"symbol=ETHUSDT&orderId={order_id}")
    assert answer.refusal == (400, -2013, "Order does not exist.")


async def test_another_accounts_order_is_no_order(exchange: Mexc) -> None:
    order_id = (await exchange.spot("POST", "order", LIMIT_BUY)).body["orderId"]
    exchange.venue.add_account("other")
    exchange.give_key("mx0vforeign", *RIGHTS)
    foreign = exchange.venue.key("mx0vforeign")
    assert foreign is not None
    exchange.venue.put_key(_owned_by(foreign, "other"))
    query = f"symbol=BTCUSDT&orderId={order_id}"
    for method, code in (("GET", -2013), ("DELETE", -2011)):
        answer = await exchange.spot(method, "order", query, key="mx0vforeign")
        assert answer.body["code"] == code


async def test_the_same_client_id_is_taken_twice(exchange: Mexc) -> None:
    for _ in range(2):
        answer = await exchange.spot("POST", "order", f"{LIMIT_BUY}&newClientOrderId=twice")
        assert answer.status == 200
    assert len(exchange.venue.open_orders(ACCOUNT)) == 2


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        pytest.param("ticker/price?symbol=NO", (400, -1121, "Invalid symbol."), id="symbol"),
        pytest.param("depth", missing("symbol"), id="no-symbol"),
        pytest.param("trades?symbol=BTCUSDT&limit=x", missing("limit"), id="limit"),
        pytest.param(
            "klines?symbol=BTCUSDT&interval=7m", (400, -1121, "Invalid interval."), id="interval"
        ),
    ],
)
async def test_bad_questions_about_markets_are_refused(
    exchange: Mexc, path: str, refusal: Any
) -> None:
    assert (await exchange.send("GET", f"/api/v3/{path}")).refusal == refusal


# What stands in front


async def test_a_path_that_does_not_exist_is_not_found(exchange: Mexc) -> None:
    answer = await exchange.send("GET", "/api/v3/nothing")
    assert (answer.status, answer.body["error"]) == (404, "Not Found")


async def test_too_many_requests_are_refused_with_a_wait_and_then_a_ban(exchange: Mexc) -> None:
    exchange.exchange.enforces_limits = True
    answers = [await exchange.send("GET", "/api/v3/ping") for _ in range(340)]
    assert {answer.status for answer in answers[:300]} == {200}
    refused = answers[300]
    assert refused.refusal == (429, 429, "Too Many Requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= 10
    assert answers[-1].status == 418
    assert int(answers[-1].headers["Retry-After"]) >= 119

    exchange.exchange.enforces_limits = False
    assert (await exchange.send("GET", "/api/v3/time")).status == 418


async def test_maintenance_has_a_body_of_its_own(exchange: Mexc) -> None:
    with exchange.fault(FaultKind.MAINTENANCE):
        answer = await exchange.spot("POST", "order", LIMIT_BUY)
    assert answer.body["code"] == 500
    assert answer.body["message"] == "Under maintenance, please try again later"
    assert "msg" not in answer.body
    assert exchange.venue.orders(ACCOUNT) == ()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_gateway_error_is_a_page(exchange: Mexc, status: int) -> None:
    with exchange.fault(FaultKind.ERROR_BEFORE, status=status):
        answer = await exchange.send("GET", "/api/v3/ping")
    assert answer.status == status
    assert answer.body.startswith("<html>")


async def test_a_gateway_error_may_hide_an_order_that_was_made(exchange: Mexc) -> None:
    with exchange.fault(FaultKind.ERROR_AFTER):
        answer = await exchange.spot("POST", "order", f"{LIMIT_BUY}&newClientOrderId=hidden")
    assert answer.status == 503
    assert exchange.venue.order_by_client_id(ACCOUNT, "hidden").is_open


def test_the_firewalls_page_is_no_json() -> None:
    page = gateway_reply(403)
    assert (page.status, page.content_type) == (403, "text/html")
    assert b"Access Denied" in page.encoded()


# Futures


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"key": "mx0vunknown"}, 401, id="unknown-key"),
        pytest.param({"secret": "other"}, 602, id="signature"),
        pytest.param({"at_ms": 1}, 513, id="clock"),
        pytest.param({"headers": {"Request-Time": "now"}}, 513, id="no-time"),
    ],
)
async def test_futures_refuse_what_is_not_signed_well(
    exchange: Mexc, changes: Any, code: int
) -> None:
    answer = await exchange.futures("GET", "account/assets", **changes)
    assert (answer.body["success"], answer.body["code"]) == (False, code)


async def test_a_late_futures_request_counts_in_a_wider_window(exchange: Mexc) -> None:
    late_ms = exchange.now_ms - 20_000
    assert (await exchange.futures("GET", "account/assets", at_ms=late_ms)).body["code"] == 513
    answer = await exchange.futures(
        "GET", "account/assets", at_ms=late_ms, headers={"Recv-Window": "30"}
    )
    assert answer.body["success"] is True


async def test_an_expired_key_is_told_so_on_futures(exchange: Mexc) -> None:
    exchange.give_key("mx0vold", *RIGHTS, expires_at_ms=exchange.now_ms - 1)
    answer = await exchange.futures("GET", "account/assets", key="mx0vold")
    assert answer.body["code"] == 402


async def test_another_address_is_refused_on_futures(exchange: Mexc) -> None:
    exchange.give_key("mx0vbound", *RIGHTS, ips=("198.51.100.1",))
    answer = await exchange.futures("GET", "account/assets", key="mx0vbound")
    assert answer.body["code"] == 406


async def test_a_spot_only_key_looks_logged_out_on_futures(exchange: Mexc) -> None:
    exchange.give_key("mx0vspot", *SPOT_RIGHTS)
    answer = await exchange.futures("GET", "account/assets", key="mx0vspot")
    assert answer.refusal == (401, 401, "Not logged in or login has expired")


@pytest.mark.parametrize(
    ("request_parts", "token", "code"),
    [
        pytest.param(("GET", "account/assets", ""), "CONTRACT_ACCOUNT_READ", 701, id="assets"),
        pytest.param(
            ("POST", "position/change_position_mode", '{"positionMode":2}'),
            "CONTRACT_ACCOUNT_WRITE",
            702,
            id="mode",
        ),
        pytest.param(("GET", "order/get/1", ""), "CONTRACT_DEAL_READ", 703, id="order"),
        pytest.param(("POST", "order/cancel", '["1"]'), "CONTRACT_DEAL_WRITE", 704, id="cancel"),
    ],
)
async def test_each_futures_right_is_missed_by_its_own_code(
    exchange: Mexc, request_parts: tuple[str, str, str], token: str, code: int
) -> None:
    exchange.give_key("mx0vless", *(right for right in FUTURES_RIGHTS if right != token))
    answer = await exchange.futures(*request_parts, key="mx0vless")
    assert (answer.body["success"], answer.body["code"]) == (False, code)


async def test_canceling_an_order_that_never_was_succeeds_as_a_call(exchange: Mexc) -> None:
    answer = await exchange.futures("POST", "order/cancel", '["1"]')
    assert answer.body == {
        "success": True,
        "code": 0,
        "data": [{"orderId": 1, "errorCode": 2040, "errorMsg": "order not exist"}],
    }


def _futures_order(**changes: Any) -> str:
    fields = {
        "symbol": '"BTC_USDT"',
        "vol": "10",
        "price": "60000",
        "side": "1",
        "type": "1",
        "openType": "1",
        "leverage": "10",
    } | changes
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"symbol": '"NO_USDT"'}, 1001, id="symbol"),
        pytest.param({"vol": "0"}, 2008, id="too-small"),
        pytest.param({"vol": "0.5"}, 2008, id="below-one-contract"),
        pytest.param({"vol": "1.5"}, 2015, id="amount-precision"),
        pytest.param({"price": "60000.01"}, 2015, id="price-precision"),
        pytest.param({"vol": "900000"}, 2005, id="no-money"),
        pytest.param({"leverage": "500"}, 2006, id="leverage"),
        pytest.param({"side": "4"}, 2009, id="nothing-to-close"),
        pytest.param({"externalOid": f'"{"x" * 33}"'}, 2030, id="client-id"),
        pytest.param({"side": "9"}, 2001, id="side"),
        pytest.param({"openType": "3"}, 2002, id="margin-mode"),
        pytest.param({"type": "9"}, 2029, id="type"),
        pytest.param({"side": '"buy"'}, 600, id="no-number"),
        pytest.param({"price": '"dear"'}, 600, id="price"),
        pytest.param({"positionMode": "1"}, 600, id="hedge"),
    ],
)
async def test_a_bad_futures_order_is_refused(exchange: Mexc, changes: Any, code: int) -> None:
    answer = await exchange.futures("POST", "order/create", _futures_order(**changes))
    assert (answer.status, answer.body["success"], answer.body["code"]) == (200, False, code)
    assert exchange.venue.orders(ACCOUNT) == ()


async def test_futures_requests_that_are_too_many_are_refused_by_510(exchange: Mexc) -> None:
    exchange.exchange.enforces_limits = True
    answers = [await exchange.futures("GET", "account/assets") for _ in range(5)]
    assert answers[-1].body["code"] == 510
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_an_unknown_contract_is_refused(exchange: Mexc) -> None:
    answer = await exchange.send("GET", "/api/v1/contract/ticker?symbol=NO_USDT")
    assert answer.refusal == (200, 1001, "Contract does not exist")


async def test_a_futures_path_that_does_not_exist_is_not_found(exchange: Mexc) -> None:
    answer = await exchange.send("GET", "/api/v1/private/nothing")
    assert (answer.status, answer.body["success"]) == (404, False)


def _owned_by(key: Any, account: str) -> Any:
    return dataclasses.replace(key, account=account)


def _change_listing(exchange: Mexc, symbol: str, changes: Any, market_changes: Any) -> Listing:
    listing = exchange.venue.listing(symbol)
    market = dataclasses.replace(listing.market, **market_changes)
    changed = dataclasses.replace(listing, market=market, **changes)
    exchange.venue.add_listing(changed)
    return changed
