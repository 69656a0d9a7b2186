"""What each mismatch between journal and exchange means."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.engine.recover import executed, owner, position_mismatch
from backfuturectl.engine.rulings import Known
from backfuturectl.model.ids import OrderName, bot_code, client_order_id, parse_client_order_id
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import (
    Balances,
    Fee,
    Fill,
    Leg,
    LegKind,
    Position,
    Side,
)
from tests.unit.strategy.venue import market

D = Decimal
BOT, OTHER_BOT = "grid/BTC-USDT", "grid/ETH-USDT"
HOME, ABROAD = "ab12", "cd34"

names = st.builds(
    OrderName,
    installation=st.sampled_from([HOME, ABROAD]),
    bot=st.sampled_from([bot_code(BOT), bot_code(OTHER_BOT)]),
    deal=st.integers(1, 10_000),
    leg=st.builds(Leg, st.sampled_from(LegKind), st.integers(0, 50)),
    attempt=st.integers(0, 1_000),
)


def whose(client_id: str) -> Known:
    return owner(client_id, installation=HOME, bot=BOT)


# Whose an order is.


@given(names)
def test_an_order_is_judged_by_its_name(name: OrderName) -> None:
    expected = (
        Known.TWIN
        if name.installation == ABROAD
        else Known.LOST
        if name.bot == bot_code(BOT)
        else Known.SIBLING
    )
    assert whose(client_order_id(name)) is expected


@given(st.text(max_size=40))
def test_an_order_without_such_a_name_is_foreign(text: str) -> None:
    if parse_client_order_id(text) is None:
        assert whose(text) is Known.FOREIGN


@pytest.mark.parametrize(
    "client_id",
    ["", "web-1", "BFAB12ABCDEF00001B00000", "bfab12abcdef00001x00000", "bf" + "0" * 20],
)
def test_a_name_that_only_looks_like_one_is_foreign(client_id: str) -> None:
    assert whose(client_id) is Known.FOREIGN


# What an order's fills add up to.

amounts = st.decimals("0.0001", "5", places=4)
coins = st.sampled_from(["USDT", "BTC", "KCS"])
fills = st.builds(
    Fill,
    fill_id=st.integers(1, 30).map(str),
    order_id=st.sampled_from(["1", "2"]),
    client_order_id=st.sampled_from(["mine", "other", None]),
    pair=st.just("BTC/USDT"),
    side=st.just(Side.BUY),
    price=st.decimals("1", "100", places=2),
    amount_base=amounts,
    fee=st.none() | st.builds(Fee, coins, st.decimals("-1", "1", places=4)),
    is_maker=st.booleans(),
    at_ms=st.integers(0, 10),
)
lists = st.lists(fills, max_size=12, unique_by=lambda fill: fill.fill_id)


@given(lists)
def test_only_the_orders_own_fills_count(some: list[Fill]) -> None:
    told = executed(some, client_order_id="mine", order_id="1")
    own = [fill for fill in some if fill.client_order_id == "mine" or fill.order_id == "1"]
    assert told.amount_base == sum(fill.amount_base for fill in own)
    assert told.cost_quote == sum(fill.amount_base * fill.price for fill in own)
    fees: Counter[str] = Counter()
    for fill in own:
        if fill.fee is not None:
            fees[fill.fee.currency] += fill.fee.amount
    assert {fee.currency: fee.amount for fee in told.fees} == dict(fees)


@given(lists, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_of_fills_matters(some: list[Fill], rng) -> None:
    repeated = [*some, *some[: len(some) // 2]]
    rng.shuffle(repeated)
    assert executed(repeated, client_order_id="mine", order_id="1") == executed(
        some, client_order_id="mine", order_id="1"
    )


@given(lists)
def test_without_the_exchanges_id_only_our_own_id_tells(some: list[Fill]) -> None:
    told = executed(some, client_order_id="mine", order_id=None)
    assert told.amount_base == sum(
        fill.amount_base for fill in some if fill.client_order_id == "mine"
    )


# What the account should hold.

SPOT, FUTURES = market(MarketKind.SPOT), market(MarketKind.FUTURES)
signed = st.decimals("-10", "10", places=4)


def position(amount: Decimal) -> Position | None:
    return Position("BTC/USDT", amount, D(100), 2, "isolated") if amount else None


def check_futures(expected: Decimal, actual: Decimal) -> str | None:
    return position_mismatch(expected, market=FUTURES, position=position(actual), balances=None)


def check_spot(expected: Decimal, held: Decimal) -> str | None:
    balances = Balances(total={"BTC": held} if held else {})
    return position_mismatch(expected, market=SPOT, position=None, balances=balances)


@given(signed)
def test_a_futures_position_that_is_the_journals_agrees(amount: Decimal) -> None:
    assert check_futures(amount, amount) is None


@given(signed, signed)
def test_a_futures_position_one_step_or_more_away_contradicts(a: Decimal, b: Decimal) -> None:
    assert (check_futures(a, b) is not None) == (abs(a - b) >= FUTURES.amount_step)


@given(st.decimals("0.0001", "10", places=4))
def test_a_turned_position_contradicts(amount: Decimal) -> None:
    assert check_futures(amount, -amount) is not None
    assert check_futures(amount, D(0)) is not None
    assert check_futures(D(0), amount) is not None


@given(st.decimals("0", "10", places=6), st.decimals("0", "10", places=6))
def test_on_spot_more_than_was_bought_is_the_owners_and_less_contradicts(
    expected: Decimal, held: Decimal
) -> None:
    mismatch = check_spot(expected, held)
    if held >= expected or expected < SPOT.amount_step:
        assert mismatch is None
    elif expected - held >= SPOT.amount_step:
        assert mismatch is not None
        assert f"{expected:f}" in mismatch


def test_a_mismatch_names_both_figures() -> None:
    text = check_futures(D("1.5"), D("-0.25"))
    assert text is not None
    assert "1.5" in text
    assert "-0.25" in text


def test_a_coarse_step_forgives_no_whole_step() -> None:
    coarse = replace(FUTURES, amount_step=D(1))
    near = position_mismatch(D(5), market=coarse, position=position(D("4.5")), balances=None)
    far = position_mismatch(D(5), market=coarse, position=position(D(4)), balances=None)
    assert near is None
    assert far is not None
