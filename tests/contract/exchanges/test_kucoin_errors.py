"""Every refusal that KuCoin's pages list, and what the program must make of it."""

import pytest

from backfuturectl.exchanges import kucoin
from backfuturectl.exchanges.payload import PayloadError
from backfuturectl.exchanges.translation import Failure, Operation, translate
from backfuturectl.model.errors import OutcomeUnknownError, PermanentError, TransientError
from backfuturectl.model.status import Reason

R = Reason

SPOT, FUTURES = kucoin.SPOT_ERRORS, kucoin.FUTURES_ERRORS
BOTH = [
    ("400001", "Please check the header of your request for KC-API-KEY", R.INVALID_KEY),
    ("400002", "KC-API-TIMESTAMP Invalid", R.CLOCK_SKEW),
    ("400003", "KC-API-KEY not exists", R.INVALID_KEY),
    ("400003", "The API key does not exist or site mismatch.", R.INVALID_KEY),
    ("400004", "KC-API-PASSPHRASE error", R.INVALID_PASSPHRASE),
    ("400005", "Signature error", R.INVALID_SIGNATURE),
    (
        "400006",
        "The requested ip address is not in the api whitelist",
        R.IP_NOT_ALLOWED,
    ),
    ("400401", "User are not logged in", R.INVALID_KEY),
    ("400303", "kyc required", R.ACCOUNT_RESTRICTED),
    ("200009", "kyc required", R.ACCOUNT_RESTRICTED),
    ("126047", "kyc required", R.ACCOUNT_RESTRICTED),
    ("126048", "kyc required", R.ACCOUNT_RESTRICTED),
    ("400500", "Your located country/region is not supported", R.ACCOUNT_RESTRICTED),
    ("40010", "region", R.ACCOUNT_RESTRICTED),
    ("130315", "region", R.ACCOUNT_RESTRICTED),
    ("126021", "region", R.ACCOUNT_RESTRICTED),
    ("126037", "region", R.ACCOUNT_RESTRICTED),
    ("126045", "region", R.ACCOUNT_RESTRICTED),
    ("411100", "User is frozen", R.ACCOUNT_RESTRICTED),
    ("400200", "Forbidden to place an order", R.ACCOUNT_RESTRICTED),
    ("112010", "Invalid Unified Account user.", R.ACCOUNT_RESTRICTED),
    ("101030", "margin not enabled", R.ACCOUNT_RESTRICTED),
    ("429000", "Too Many Requests", R.RATE_LIMITED),
    ("1015", "You are being rate limited", R.RATE_LIMITED),
    ("503", "Service unavailable", R.EXCHANGE_UNAVAILABLE),
    ("500000", "Internal Server Error", R.EXCHANGE_UNAVAILABLE),
    ("230005", "system is busy", R.EXCHANGE_UNAVAILABLE),
    ("200004", "Balance insufficient!", R.INSUFFICIENT_FUNDS),
    ("102421", "Insufficient balance", R.INSUFFICIENT_FUNDS),
    ("126013", "Insufficient balance", R.INSUFFICIENT_FUNDS),
    ("260100", "account.noBalance", R.INSUFFICIENT_FUNDS),
    ("300003", "Balance insufficient", R.INSUFFICIENT_FUNDS),
    ("330008", "Insufficient margin", R.INSUFFICIENT_FUNDS),
    ("200005", "Balance insufficient", R.INSUFFICIENT_FUNDS),
    ("600100", "Funds below the minimum requirement.", R.ORDER_REJECTED),
    ("600100", "Order size increment invalid.", R.ORDER_REJECTED),
    ("600101", "The order funds should more then 0.1 USDT.", R.ORDER_REJECTED),
    ("400100", "Order size below the minimum requirement.", R.ORDER_REJECTED),
    ("102435", "too small", R.ORDER_REJECTED),
    ("102434", "too large", R.ORDER_REJECTED),
    ("300011", "price too high", R.ORDER_REJECTED),
    ("300012", "price too low", R.ORDER_REJECTED),
    ("102429", "price", R.ORDER_REJECTED),
    ("400370", "max price", R.ORDER_REJECTED),
    ("400760", "max price", R.ORDER_REJECTED),
    ("400100", "order_not_exist_or_not_allow_to_cancel", R.ORDER_NOT_FOUND),
    ("400100", "order_not_exist", R.ORDER_NOT_FOUND),
    ("400100", "Order not exist or not allow to be cancelled", R.ORDER_NOT_FOUND),
    ("400100", "order not exist", R.ORDER_NOT_FOUND),
    ("404", "The order does not exist.", R.ORDER_NOT_FOUND),
    ("404", "order_not_exist", R.ORDER_NOT_FOUND),
    ("404", "order not exist", R.ORDER_NOT_FOUND),
    ("400100", "The order does not exist.", R.ORDER_NOT_FOUND),
    ("126043", "order not exist", R.ORDER_NOT_FOUND),
    ("102436", "order does not exist", R.ORDER_NOT_FOUND),
    ("102426", "duplicate client order id", R.ORDER_DUPLICATE),
    ("126044", "duplicate", R.ORDER_DUPLICATE),
    ("126033", "duplicate", R.ORDER_DUPLICATE),
    ("400100", "validation.createOrder.clientOidDuplicated", R.ORDER_DUPLICATE),
    ("300018", "clientOid parameter repeated", R.ORDER_DUPLICATE),
    ("102427", "too many orders", R.ORDER_REJECTED),
    ("200003", "too many orders", R.ORDER_REJECTED),
    ("300001", "too many active orders", R.ORDER_REJECTED),
    ("300004", "too many orders", R.ORDER_REJECTED),
    ("900001", "symbol not exists", R.MARKET_UNAVAILABLE),
    ("400600", "validation.createOrder.symbolNotAvailable", R.MARKET_UNAVAILABLE),
    ("400100", "validation.createOrder.symbolNotAvailable", R.MARKET_UNAVAILABLE),
    ("200001", "Order creation for this pair suspended", R.MARKET_UNAVAILABLE),
    ("600203", "Symbol not tradable", R.MARKET_UNAVAILABLE),
    ("300016", "leverage", R.ORDER_REJECTED),
    ("330005", "margin mode differs", R.ORDER_REJECTED),
    ("330012", "position mode differs", R.ORDER_REJECTED),
    ("300009", "No open positions to close", R.ORDER_REJECTED),
    ("300000", "request parameter illegal", R.ORDER_REJECTED),
    ("102411", "bad parameter", R.ORDER_REJECTED),
    ("102428", "order is being processed", R.EXCHANGE_ERROR),
    ("987654", "never seen before", R.EXCHANGE_ERROR),
]
ROWS = [
    *[(table, *row) for table in (SPOT, FUTURES) for row in BOTH],
    (SPOT, "400007", "Access denied, require more permission.", R.NO_READ_PERMISSION),
    (FUTURES, "400007", "Access denied, require more permission.", R.NO_FUTURES_PERMISSION),
    (SPOT, "200002", "Order cancellation for this pair suspended", R.MARKET_UNAVAILABLE),
    (
        FUTURES,
        "200002",
        "Too many requests in a short period of time, please retry later",
        R.RATE_LIMITED,
    ),
    (FUTURES, "100001", "error.getOrder.orderNotExist", R.ORDER_NOT_FOUND),
]
TRANSIENT = {R.CLOCK_SKEW, R.EXCHANGE_UNAVAILABLE, R.RATE_LIMITED, R.MAINTENANCE, R.EXCHANGE_ERROR}
OPEN = {R.EXCHANGE_UNAVAILABLE, R.EXCHANGE_ERROR}
DENIED = "400007"


def refused(table, code: str, text: str, operation: Operation, status: int = 200):
    failure = kucoin.interpret(status, {"code": code, "msg": text})
    assert isinstance(failure, Failure)
    sent = Failure(failure.text, status=status, code=failure.code)
    return translate(sent, operation, table)


@pytest.mark.parametrize(("table", "code", "text", "reason"), ROWS)
def test_a_refused_read_has_its_reason_and_its_raw_code(table, code, text, reason):
    error = refused(table, code, text, Operation.READ)

    assert error.reason is reason
    assert error.raw_code == code
    assert isinstance(error, TransientError if reason in TRANSIENT else PermanentError)


@pytest.mark.parametrize(("table", "code", "text", "reason"), ROWS)
def test_a_refused_create_says_whether_an_order_may_exist(table, code, text, reason):
    error = refused(table, code, text, Operation.CREATE)

    if reason in OPEN:
        assert isinstance(error, OutcomeUnknownError)
    elif reason in TRANSIENT:
        assert isinstance(error, TransientError)
    else:
        assert isinstance(error, PermanentError)


@pytest.mark.parametrize(
    ("table", "reason"), [(SPOT, R.NO_TRADING_PERMISSION), (FUTURES, R.NO_FUTURES_PERMISSION)]
)
@pytest.mark.parametrize(
    "operation", [Operation.TRIAL, Operation.CREATE, Operation.CANCEL, Operation.SETUP]
)
def test_no_permission_on_an_order_call_is_a_missing_trade_right(table, reason, operation):
    assert refused(table, DENIED, "Access denied", operation).reason is reason


def test_a_futures_order_that_cannot_be_canceled_has_ended():
    text = "The order cannot be canceled."

    assert refused(FUTURES, "100004", text, Operation.CANCEL).reason is R.ORDER_NOT_FOUND
    assert refused(FUTURES, "100004", text, Operation.READ).reason is R.EXCHANGE_ERROR


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (Operation.READ, R.ORDER_NOT_FOUND),
        (Operation.CANCEL, R.ORDER_NOT_FOUND),
        (Operation.CREATE, R.ORDER_REJECTED),
        (Operation.TRIAL, R.ORDER_REJECTED),
        (Operation.SETUP, R.ORDER_REJECTED),
    ],
)
def test_a_code_that_means_not_found_on_a_query_is_a_wrong_parameter_elsewhere(operation, reason):
    assert refused(FUTURES, "100001", "Leverage parameter invalid.", operation).reason is reason


@pytest.mark.parametrize("table", [SPOT, FUTURES])
def test_every_code_of_the_table_is_in_this_test(table):
    tested = {code for other, code, *_ in ROWS if other is table}

    assert set(table.codes) <= tested
    assert {rule.code for rule in table.texts} <= tested


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("code", ["400003", "429000", "200004"])
def test_a_5xx_on_create_leaves_the_outcome_open_whatever_the_body_says(status, code):
    assert isinstance(refused(SPOT, code, "text", Operation.CREATE, status), OutcomeUnknownError)


def test_an_unknown_code_with_status_401_is_about_the_key():
    assert refused(SPOT, "400999", "text", Operation.READ, 401).reason is R.INVALID_KEY


def test_a_success_is_its_data():
    assert kucoin.interpret(200, {"code": "200000", "data": [1]}) == [1]
    # ccxt takes this text for an error, wherever it stands.
    said = {"code": "200000", "data": {"msg": "Position does not exist"}}
    assert kucoin.interpret(200, said) == {"msg": "Position does not exist"}


@pytest.mark.parametrize(
    ("status", "body"), [(200, []), (200, {}), (502, {"code": "200000", "data": 1}), (403, None)]
)
def test_anything_else_is_no_answer(status, body):
    with pytest.raises(PayloadError):
        kucoin.interpret(status, body)


def test_the_wait_after_a_rate_limit_is_the_servers():
    assert kucoin.retry_after_s(429, {"gw-ratelimit-reset": "2500"}) == 2.5
    assert kucoin.retry_after_s(429, {"retry-after": "7"}) == 7
    assert kucoin.retry_after_s(429, {}) is None
    # The header is on every answer, and no wish on any other.
    assert kucoin.retry_after_s(503, {"gw-ratelimit-reset": "25000"}) is None
    assert kucoin.remaining({"gw-ratelimit-remaining": "12"}) == 12
    assert kucoin.remaining({}) is None
