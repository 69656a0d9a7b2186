import pytest

from backfuturectl.exchanges.translation import ErrorTable, Failure, Operation, translate
from backfuturectl.model.errors import OutcomeUnknownError, PermanentError, TransientError
from backfuturectl.model.status import Reason

TABLE = ErrorTable(exchange="Venue", codes={"1": Reason.INSUFFICIENT_FUNDS}, rate_limit_s=9.0)
NOT_SENT = Failure("no connection", was_sent=False)
LOST = Failure("no answer in time")
GARBLED = Failure("the answer is not JSON", status=200)
FIREWALL = Failure("the answer is not JSON", status=403)
SERVER_ERROR = Failure("the answer is not JSON", status=502)
LIMITED = Failure("the answer is not JSON", status=429)


@pytest.mark.parametrize("failure", [LOST, GARBLED, FIREWALL, SERVER_ERROR])
def test_a_create_without_a_clear_answer_may_have_made_an_order(failure: Failure):
    error = translate(failure, Operation.CREATE, TABLE)

    assert isinstance(error, OutcomeUnknownError)
    assert error.reason is Reason.ORDER_OUTCOME_UNKNOWN


def test_a_server_error_is_no_verdict_on_a_create_whatever_its_body_says():
    refused = Failure("no money", status=500, code="1")

    assert isinstance(translate(refused, Operation.CREATE, TABLE), OutcomeUnknownError)
    assert isinstance(translate(refused, Operation.READ, TABLE), PermanentError)


@pytest.mark.parametrize(
    "operation", [Operation.READ, Operation.CANCEL, Operation.SETUP, Operation.TRIAL]
)
@pytest.mark.parametrize("failure", [NOT_SENT, LOST, GARBLED, FIREWALL, SERVER_ERROR])
def test_anything_else_without_a_clear_answer_may_be_repeated(
    failure: Failure, operation: Operation
):
    error = translate(failure, operation, TABLE)

    assert isinstance(error, TransientError)
    assert error.reason is Reason.EXCHANGE_UNAVAILABLE


def test_a_create_that_never_left_this_machine_made_no_order():
    assert isinstance(translate(NOT_SENT, Operation.CREATE, TABLE), TransientError)


def test_a_create_refused_by_the_rate_limit_made_no_order():
    error = translate(LIMITED, Operation.CREATE, TABLE)

    assert isinstance(error, TransientError)
    assert error.reason is Reason.RATE_LIMITED


def test_a_rate_limit_without_a_wish_waits_as_long_as_the_table_says():
    assert translate(LIMITED, Operation.READ, TABLE).retry_after_s == 9.0


def test_a_clear_refusal_is_permanent_and_keeps_its_code():
    error = translate(Failure("no money", status=400, code="1"), Operation.CREATE, TABLE)

    assert isinstance(error, PermanentError)
    assert error.raw_code == "1"
    assert str(error) == "Venue 1: no money"


def test_what_the_exchange_says_is_cut_and_cleaned_before_it_is_shown():
    text = "line\x1b[31m\n" + "x" * 500

    shown = str(translate(Failure(text, status=400, code="1"), Operation.READ, TABLE))

    assert shown.isprintable()
    assert len(shown) < 250
