import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.exchanges import payload
from backfuturectl.exchanges.payload import PayloadError
from backfuturectl.exchanges.tickers import Ticker, lean, quotes
from backfuturectl.model.market import Quote


class Row(Ticker, gc=False):
    bid: Any = msgspec.field(default=None, name="buy")
    ask: Any = msgspec.field(default=None, name="sell")


read = lean(list[Row])

prices = st.one_of(
    st.none(),
    st.just(""),
    st.integers(1, 10**6),
    st.decimals("0.00000001", 10**6, places=8).map(lambda value: f"{value:f}"),
)
rows = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.sampled_from(["BTC-USDT", "ETH-USDT", "OTHER"]),
        "last": prices.filter(lambda price: price != ""),
        "buy": prices,
        "sell": prices,
        "vol": st.sampled_from([None, "", "7", [1]]),
    },
)
WANTED = {"BTC-USDT": "BTC/USDT", "ETH-USDT": "ETH/USDT"}


@given(st.lists(rows, max_size=6))
def test_reading_only_what_counts_finds_the_same_as_reading_everything(sent: list[dict[str, Any]]):
    body = json.dumps(sent).encode()
    found = {
        WANTED[row["symbol"]]: Quote(
            payload.number(row, "last"),
            payload.optional_number(row, "buy"),
            payload.optional_number(row, "sell"),
        )
        for row in payload.decode(body)
        if row.get("symbol") in WANTED and row.get("last") is not None
    }

    assert quotes(read(body), WANTED) == found


def test_prices_written_as_numbers_are_exact():
    body = b'[{"symbol": "BTC-USDT", "last": 0.10000000000000000001, "buy": 1e2}]'

    found = quotes(read(body), WANTED)["BTC/USDT"]

    assert found == Quote(Decimal("0.10000000000000000001"), Decimal(100))


@pytest.mark.parametrize("price", ["x", "NaN", "Infinity", "", True, [], {}])
def test_a_senseless_price_is_left_out_and_takes_no_other_away(price: Any):
    sent = [{"symbol": "ETH-USDT", "last": "2"}, {"symbol": "BTC-USDT", "last": price}]

    assert quotes(read(json.dumps(sent).encode()), WANTED) == {"ETH/USDT": Quote(Decimal(2))}


@pytest.mark.parametrize("price", ["x", "NaN", "Infinity", "", True, [], {}])
def test_a_senseless_bid_or_ask_is_not_known_and_the_last_price_is(price: Any):
    sent = [{"symbol": "BTC-USDT", "last": "2", "buy": price, "sell": price}]

    assert quotes(read(json.dumps(sent).encode()), WANTED) == {"BTC/USDT": Quote(Decimal(2))}


@pytest.mark.parametrize("sent", [{"code": "429000", "msg": "slow down"}, [{"symbol": 1}], None])
def test_an_answer_of_another_shape_is_decoded_whole_and_holds_no_quotes(sent: Any):
    value = read(json.dumps(sent).encode())

    assert value == sent
    with pytest.raises(PayloadError):
        quotes(value, WANTED)


@pytest.mark.parametrize("body", [b"", b"<html>", b'[{"symbol": "BTC-USDT"', b'["\xff"]'])
def test_what_is_not_json_is_refused(body: bytes):
    with pytest.raises(PayloadError):
        read(body)
