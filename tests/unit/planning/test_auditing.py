"""Where store and exchange differ, and where they only seem to."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.ids import OrderName, client_order_id
from backfuturectl.model.orders import (
    Fee,
    Fill,
    Leg,
    LegKind,
    Order,
    OrderStatus,
    OrderType,
    Side,
)
from backfuturectl.model.records import FillRecord, OrderRecord
from backfuturectl.planning.auditing import DifferenceKind, compare_fills, find_orphans

D = Decimal
BOT = "eth/BTC-USDT"
NAME = client_order_id(OrderName("4eu4", "abcdef", 1, Leg(LegKind.BASE), 0))
KIND = DifferenceKind


def order(**changes: object) -> OrderRecord:
    made = OrderRecord(
        client_order_id=NAME,
        bot=BOT,
        deal=f"{BOT}#1",
        leg=Leg(LegKind.BASE),
        side=Side.BUY,
        type=OrderType.LIMIT,
        price=D(100),
        amount_base=D(2),
        status=OrderStatus.FILLED,
        reason="",
        generation=1,
        commit="",
        intended_at_ms=10,
        updated_at_ms=20,
        order_id="x1",
        filled_base=D(2),
    )
    return replace(made, **changes)


def told(fill_id: str = "f1", **changes: object) -> Fill:
    fee = Fee("USDT", D("0.1"))
    made = Fill(fill_id, "x1", None, "BTC/USDT", Side.BUY, D(100), D(2), fee, False, 15)
    return replace(made, **changes)


def stored(fill: Fill, **changes: object) -> FillRecord:
    made = FillRecord(
        fill.fill_id, NAME, BOT, fill.side, fill.price, fill.amount_base, fill.fee, fill.at_ms
    )
    return replace(made, **changes)


def kinds(ours: list[FillRecord], theirs: list[Fill], *orders: OrderRecord, until_ms: int = 99):
    found = compare_fills(orders or [order()], ours, theirs, from_ms=0, until_ms=until_ms)
    return [each.kind for each in found]


def test_what_both_tell_alike_is_no_difference():
    assert kinds([stored(told())], [told(), told()]) == []


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"price": D("100.01")}, KIND.PRICE),
        ({"side": Side.SELL}, KIND.SIDE),
        ({"fee": Fee("USDT", D("0.10000001"))}, KIND.FEE),
        ({"fee": Fee("KCS", D("0.1"))}, KIND.FEE),
        ({"fee": None}, KIND.FEE),
        ({"amount_base": D("2.00000001")}, KIND.AMOUNT),
    ],
    ids=["price", "side", "fee", "coin", "no fee", "amount"],
)
def test_the_last_digit_counts(change, kind):
    assert kinds([stored(told(), **change)], [told()]) == [kind]


def test_an_execution_that_one_side_lacks_is_named():
    assert kinds([], [told()]) == [KIND.MISSING]
    assert kinds([stored(told())], []) == [KIND.AMOUNT, KIND.EXTRA]


def test_an_order_that_counts_more_than_its_executions_is_named():
    part = told(amount_base=D("1.5"))
    assert kinds([stored(part)], [part]) == [KIND.AMOUNT]


def test_executions_of_others_are_no_business_of_ours():
    assert kinds([stored(told())], [told(), told("f2", order_id="x9")]) == []


def test_what_is_too_young_or_too_old_is_not_compared():
    late = told("f2", order_id="x2", at_ms=90)
    resting = order(
        client_order_id=NAME[:-1] + "1", order_id="x2", status=OrderStatus.OPEN, filled_base=D(0)
    )
    assert kinds([stored(told())], [told(), late], order(), resting, until_ms=50) == []
    assert compare_fills([order()], [stored(told())], [], from_ms=16, until_ms=99) == ()


@given(st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_every_execution_is_missing_extra_or_on_both_sides(ours, theirs):
    orders = [order(status=OrderStatus.OPEN)]
    found = compare_fills(
        orders,
        [stored(told(f"f{number}")) for number in ours],
        [told(f"f{number}") for number in theirs],
        from_ms=0,
        until_ms=99,
    )
    by_kind = {kind: {each.about for each in found if each.kind is kind} for kind in KIND}
    assert by_kind[KIND.MISSING] == {f"f{number}" for number in theirs - ours}
    assert by_kind[KIND.EXTRA] == {f"f{number}" for number in ours - theirs}


def listed(name: str) -> Order:
    return Order(name, "x1", "BTC/USDT", Side.BUY, OrderType.LIMIT, OrderStatus.OPEN, D(100), D(2))


def test_an_open_order_of_ours_that_nobody_answers_for_is_an_orphan():
    def found(name: str, row: OrderRecord | None) -> list[DifferenceKind]:
        return [each.kind for each in find_orphans([listed(name)], {name: row}, asked_ms=50)]

    assert found(NAME, None) == [KIND.ORPHAN]
    assert found(NAME, order()) == [KIND.ORPHAN]
    assert found(NAME, order(status=OrderStatus.OPEN)) == []
    assert found(NAME, order(updated_at_ms=51)) == []  # it ended while the exchange answered
    assert found("made-by-hand", None) == []
