from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from backfuturectl.model.units import (
    DurationMs,
    Money,
    MoneyOrAuto,
    MoneyOrShare,
    Number,
    Share,
    format_duration,
)

amounts = st.decimals(0, 10**12, allow_nan=False, allow_infinity=False, places=8)


@given(amounts, st.sampled_from(["USDT", "BTC", "1INCH", "USDC"]))
def test_money_is_read_back_exactly(amount, currency):
    money = Money(amount, currency)
    assert Money.parse(str(money)) == money


@given(st.integers(1, 10**9))
def test_a_duration_is_read_back_exactly(seconds):
    text = format_duration(seconds * 1000)
    durations = TypeAdapter(DurationMs)
    assert durations.validate_python(text) == seconds * 1000
    assert durations.dump_python(seconds * 1000, mode="json") == text, "as a document has it"


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [(0, "0s"), (90_000, "90s"), (900_000, "15m"), (129_600_000, "36h"), (604_800_000, "7d")],
)
def test_a_duration_is_written_in_its_largest_whole_unit(duration_ms, text):
    assert format_duration(duration_ms) == text


@pytest.mark.parametrize(
    "text", ["1500", "1500USDT", "1500  USDT", "-5 USDT", "1,500 USDT", "5 usdt", "٣ USDT", "", 5]
)
def test_there_is_one_way_to_write_money(text):
    with pytest.raises(ValueError, match="1500 USDT"):
        Money.parse(text)


@pytest.mark.parametrize("text", ["60", 60, "1.5h", "15 m", "15M", "m", "٣m", True, None])
def test_there_is_one_way_to_write_a_duration(text):
    with pytest.raises(ValidationError):
        TypeAdapter(DurationMs).validate_python(text)


@pytest.mark.parametrize("value", ["3", True, None, Decimal("NaN"), Decimal("Infinity"), 0.1])
def test_a_number_is_neither_text_nor_float_nor_infinite(value):
    with pytest.raises(ValidationError):
        TypeAdapter(Number).validate_python(value)


def test_a_limit_is_money_or_a_share_and_a_base_order_money_or_auto():
    limit, order = TypeAdapter(MoneyOrShare), TypeAdapter(MoneyOrAuto)
    assert limit.validate_python("35%") == Share(Decimal(35))
    assert limit.validate_python("500 USDT") == Money(Decimal(500), "USDT")
    assert order.validate_python("auto") == "auto"
    assert order.validate_python("50 USDT") == Money(Decimal(50), "USDT")
    for adapter, value in ((limit, "auto"), (order, "35%"), (limit, 500), (order, 50)):
        with pytest.raises(ValidationError):
            adapter.validate_python(value)
