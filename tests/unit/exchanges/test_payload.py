from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.exchanges import payload
from backfuturectl.exchanges.payload import PayloadError

numbers = st.decimals(allow_nan=False, allow_infinity=False, places=18, max_value=10**12)


@given(numbers)
def test_a_number_survives_as_json_number_and_as_text(value: Decimal):
    row = payload.decode(f'{{"a": {value:f}, "b": "{value:f}"}}'.encode())

    assert payload.number(row, "a") == payload.number(row, "b") == value


@given(numbers)
def test_a_plain_number_reads_back_the_same_and_has_no_exponent(value: Decimal):
    written = payload.plain(value)

    assert Decimal(written) == value
    assert "E" not in written


@pytest.mark.parametrize(
    ("value", "written"),
    [("1E+3", "1000"), ("0.0010", "0.001"), ("100", "100"), ("1E-8", "0.00000001")],
)
def test_plain_numbers_are_written_as_exchanges_take_them(value: str, written: str):
    assert payload.plain(Decimal(value)) == written


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"a": 1',
        b"NaN",
        b'{"a": Infinity}',
        b"[" * 100_000,
        b"[1e99999999999999999999]",
        b'{"a": "\xff"}',
    ],
)
def test_what_is_not_json_is_refused(body: bytes):
    with pytest.raises(PayloadError):
        payload.decode(body)


@pytest.mark.parametrize("value", [None, "", "abc", "NaN", "Infinity", True, [], {}])
def test_a_required_number_that_is_missing_or_senseless_is_an_error_never_zero(value: object):
    with pytest.raises(PayloadError):
        payload.number({"price": value}, "price")


@pytest.mark.parametrize("value", [None, "", True, 1.5, []])
def test_a_required_text_that_is_missing_is_an_error(value: object):
    with pytest.raises(PayloadError):
        payload.text({"orderId": value}, "orderId")


@pytest.mark.parametrize("value", ["1.5", "x", None])
def test_a_time_that_is_not_whole_is_an_error(value: object):
    with pytest.raises(PayloadError):
        payload.integer({"time": value}, "time")


def test_optional_fields_are_none_when_absent_null_or_empty():
    for row in ({}, {"a": None}, {"a": ""}):
        assert payload.optional_text(row, "a") is None
        assert payload.optional_number(row, "a") is None
        assert payload.number_or_zero(row, "a") == 0


@pytest.mark.parametrize("value", ["hold", None, 1])
def test_a_side_that_is_neither_buy_nor_sell_is_an_error(value: object):
    with pytest.raises(PayloadError):
        payload.side({"side": value})


def test_rows_must_be_objects_in_a_list():
    with pytest.raises(PayloadError):
        list(payload.rows({"a": 1}))
    with pytest.raises(PayloadError):
        list(payload.rows([1]))


def test_comma_joined_words_are_trimmed():
    assert payload.words(" a, b,,c ") == ("a", "b", "c")
    assert payload.words(None) == ()
