"""Every refusal that MEXC's pages list, and what the program must make of it."""

import pytest

from backfuturectl.exchanges import mexc
from backfuturectl.exchanges.payload import PayloadError
from backfuturectl.exchanges.translation import Failure, Operation, translate
from backfuturectl.model.errors import OutcomeUnknownError, PermanentError, TransientError
from backfuturectl.model.status import Reason

R = Reason

ROWS = [
    # code, text, reason when reading, reason when creating, may an order exist then
    (10072, "Api key info invalid", R.INVALID_KEY, None),
    (700001, "API-key format invalid", R.INVALID_KEY, None),
    (400, "api key required", R.INVALID_KEY, None),
    (700002, "Signature for this request is not valid.", R.INVALID_SIGNATURE, None),
    (700004, "Mandatory parameter 'signature' was not sent", R.INVALID_SIGNATURE, None),
    (700004, "Mandatory parameter 'symbol' was not sent", R.ORDER_REJECTED, None),
    (602, "Signature verification failed", R.INVALID_SIGNATURE, None),
    (402, "API key expired", R.KEY_EXPIRED, None),
    (700003, "Timestamp for this request is outside of the recvWindow.", R.CLOCK_SKEW, None),
    (700005, "recvWindow must less than 60000", R.CLOCK_SKEW, None),
    (10073, "Invalid Request-Time", R.CLOCK_SKEW, None),
    (700006, "IP [203.0.113.7] not in the ip white list", R.IP_NOT_ALLOWED, None),
    (10075, "IP [203.0.113.7] not in the ip white list", R.IP_NOT_ALLOWED, None),
    (
        700007,
        "No permission to access the endpoint.",
        R.NO_READ_PERMISSION,
        R.NO_TRADING_PERMISSION,
    ),
    (700008, "Illegal characters found in parameter.", R.ORDER_REJECTED, None),
    (700013, "Invalid content Type.", R.ORDER_REJECTED, None),
    (30020, "No right for the symbol", R.MARKET_UNAVAILABLE, None),
    (70011, "Pair user ban trade apikey.", R.MARKET_UNAVAILABLE, None),
    (10007, "bad symbol", R.MARKET_UNAVAILABLE, None),
    (10007, "symbol not support api", R.MARKET_UNAVAILABLE, None),
    (30000, "suspended transaction for the symbol", R.MARKET_UNAVAILABLE, None),
    (30001, "current transaction direction is not allowed", R.MARKET_UNAVAILABLE, None),
    (30014, "invalid symbol", R.MARKET_UNAVAILABLE, None),
    (30016, "trading disabled", R.MARKET_UNAVAILABLE, None),
    (30021, "invalid symbol", R.MARKET_UNAVAILABLE, None),
    (30018, "market order is disabled", R.ORDER_REJECTED, None),
    (30019, "api market order is disabled", R.ORDER_REJECTED, None),
    (403, "Access Denied", R.EXCHANGE_UNAVAILABLE, R.ORDER_OUTCOME_UNKNOWN),
    (429, "Too Many Requests", R.RATE_LIMITED, None),
    (510, "Excessive frequency of requests", R.RATE_LIMITED, None),
    (604, "Maintenance", R.MAINTENANCE, None),
    (801, "Maintenance", R.MAINTENANCE, None),
    (11444, "Maintenance", R.MAINTENANCE, None),
    (500, "Under maintenance, please try again later", R.MAINTENANCE, None),
    (503, "Under maintenance, please try again later", R.MAINTENANCE, None),
    (500, "Internal error", R.EXCHANGE_UNAVAILABLE, R.ORDER_OUTCOME_UNKNOWN),
    (501, "System busy", R.EXCHANGE_UNAVAILABLE, R.ORDER_OUTCOME_UNKNOWN),
    (503, "Service not available", R.EXCHANGE_UNAVAILABLE, R.ORDER_OUTCOME_UNKNOWN),
    (504, "Gateway Time-out", R.EXCHANGE_UNAVAILABLE, R.ORDER_OUTCOME_UNKNOWN),
    (10101, "Insufficient balance", R.INSUFFICIENT_FUNDS, None),
    (30004, "Insufficient position", R.INSUFFICIENT_FUNDS, None),
    (30005, "Oversold", R.INSUFFICIENT_FUNDS, None),
    (-2013, "Order does not exist.", R.ORDER_NOT_FOUND, None),
    (-2011, "Unknown order sent", R.ORDER_NOT_FOUND, None),
    (400, "the length of order id should between 1 and 32", R.ORDER_REJECTED, None),
    (
        30002,
        "The minimum transaction volume cannot be less than:0.5USDT",
        R.ORDER_REJECTED,
        None,
    ),
    (30003, "Cannot exceed the maximum order limit", R.ORDER_REJECTED, None),
    (30029, "Cannot exceed the maximum order limit", R.ORDER_REJECTED, None),
    (10096, "amount decimal places is too long", R.ORDER_REJECTED, None),
    (30087, "Order price exceeds allowed range", R.ORDER_REJECTED, None),
    (30010, "no valid trade price", R.ORDER_REJECTED, None),
    (30069, "Open orders too many", R.ORDER_REJECTED, None),
    (30041, "current order type can not place order", R.ORDER_REJECTED, None),
    (200006, "Identity verification required", R.ACCOUNT_RESTRICTED, None),
    (200010, "Identity verification required", R.ACCOUNT_RESTRICTED, None),
    (60005, "your account is abnormal", R.ACCOUNT_RESTRICTED, None),
    (730100, "account abnormal", R.ACCOUNT_RESTRICTED, None),
    (140002, "sub account forbidden", R.ACCOUNT_RESTRICTED, None),
    (99999, "never seen before", R.EXCHANGE_ERROR, R.ORDER_OUTCOME_UNKNOWN),
]
TRANSIENT = {R.CLOCK_SKEW, R.EXCHANGE_UNAVAILABLE, R.RATE_LIMITED, R.MAINTENANCE, R.EXCHANGE_ERROR}


def refused(code: int, text: str, operation: Operation, status: int = 400):
    failure = mexc.interpret(status, {"code": code, "msg": text})
    assert isinstance(failure, Failure)
    sent = Failure(failure.text, status=status, code=failure.code)
    return translate(sent, operation, mexc.ERRORS)


@pytest.mark.parametrize(("code", "text", "reading", "_creating"), ROWS)
def test_a_refused_read_has_its_reason_and_its_raw_code(code, text, reading, _creating):
    error = refused(code, text, Operation.READ)

    assert error.reason is reading
    assert error.raw_code == str(code)
    assert isinstance(error, TransientError if reading in TRANSIENT else PermanentError)
    assert text in str(error)


@pytest.mark.parametrize(("code", "text", "reading", "creating"), ROWS)
def test_a_refused_create_says_whether_an_order_may_exist(code, text, reading, creating):
    error = refused(code, text, Operation.CREATE)

    expected = creating or reading
    assert error.reason is expected
    if expected is R.ORDER_OUTCOME_UNKNOWN:
        assert isinstance(error, OutcomeUnknownError)
    else:
        assert isinstance(error, TransientError if expected in TRANSIENT else PermanentError)


def test_every_code_of_the_table_is_in_this_test():
    tested = {str(code) for code, *_ in ROWS}

    assert set(mexc.ERRORS.codes) <= tested
    assert {rule.code for rule in mexc.ERRORS.texts} <= tested
    assert {code for _, code in mexc.ERRORS.by_operation} <= tested


@pytest.mark.parametrize("operation", [Operation.CANCEL, Operation.TRIAL, Operation.CREATE])
def test_no_permission_on_an_order_call_is_a_missing_trade_right(operation):
    text = "No permission to access the endpoint."

    assert refused(700007, text, operation).reason is R.NO_TRADING_PERMISSION


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("code", [10072, 604, 429])
def test_a_5xx_on_create_leaves_the_outcome_open_whatever_the_body_says(status, code):
    error = refused(code, "Maintenance", Operation.CREATE, status)

    assert isinstance(error, OutcomeUnknownError)


@pytest.mark.parametrize("body", [{"code": 0}, {"code": 200, "data": []}, {}, [], {"orderId": "1"}])
def test_a_success_is_returned_as_it_is(body):
    assert mexc.interpret(200, body) is body


@pytest.mark.parametrize("status", [301, 403, 404, 500])
def test_an_error_status_without_a_code_is_no_answer(status):
    with pytest.raises(PayloadError):
        mexc.interpret(status, {"hello": "world"})


def test_a_ban_keeps_away_for_two_minutes_at_least():
    assert mexc.retry_after_s(418, {}) == 120
    assert mexc.retry_after_s(429, {"retry-after": "7"}) == 7
    assert mexc.retry_after_s(429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}) is None
