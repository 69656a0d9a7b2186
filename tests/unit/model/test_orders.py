"""An order's life: every pair of statuses, as a table."""

import pytest

from backfuturectl.model.errors import InvalidTransitionError
from backfuturectl.model.orders import OrderStatus, advance

# One row per known status; a column per report: what follows, `=` for no change, `!` for an error.
SEEN = ("intended", "unknown", "open", "filled", "canceled", "rejected", "absent")
LIFE = {
    "intended": "intended unknown open filled canceled rejected absent",
    "unknown": "! unknown open filled canceled rejected absent",
    "open": "= = open filled canceled ! !",
    "filled": "= = = filled = ! !",
    "canceled": "= = = filled canceled ! !",
    "rejected": "= = = ! = rejected !",
    "absent": "= = open filled canceled ! absent",
}
ROWS = [
    (known, seen, told)
    for known, row in LIFE.items()
    for seen, told in zip(SEEN, row.split(), strict=True)
]


@pytest.mark.parametrize(("known", "seen", "told"), ROWS, ids=[f"{k} {s}" for k, s, _ in ROWS])
def test_what_a_report_makes_of_an_order(known: str, seen: str, told: str) -> None:
    current, report = OrderStatus(known), OrderStatus(seen)
    if told == "!":
        with pytest.raises(InvalidTransitionError):
            advance(current, report)
    else:
        assert advance(current, report) is (current if told == "=" else OrderStatus(told))


def test_what_is_not_final_may_rest() -> None:
    resting = {status for status in OrderStatus if status.may_rest}
    assert resting == {OrderStatus.INTENDED, OrderStatus.UNKNOWN, OrderStatus.OPEN}
