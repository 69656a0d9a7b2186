"""A crash at any side effect of a whole daemon ends as if there had been none."""

from __future__ import annotations

import pytest

from tests.simulation.sieve import Telling, difference, tell

STRIDE = 9
"""Of all side effects, every ninth is tried here; `make simulate SIEVE=1` tries them all."""


@pytest.fixture(scope="module")
def calm() -> Telling:
    return tell()


def test_the_story_has_all_that_it_is_meant_to_have(calm: Telling) -> None:
    ending = calm.ending
    assert calm.lives == 1
    assert {bot: [d[2] for d in deals] for bot, deals in ending.deals.items()} == {
        "grid/BTC-USDT": ["takeProfit"],
        "grid/ETH-USDT": ["takeProfit"],
        "swing/BTC-USDT": ["takeProfit"],
        "swing/ETH-USDT": [],
    }
    legs = {(symbol, leg) for symbol, leg, *_ in ending.executions}
    assert ("BTC/USDT", "rung/2") in legs
    assert ("BTC/USDT:USDT", "rung/4") in legs
    assert {"RecoveryWatch", "RecoveryBegan"} <= ending.told
    assert ending.states == {"grid/BTC-USDT": "COOLDOWN", "swing/BTC-USDT": "COOLDOWN"}
    assert ending.resting == 0
    assert not any(ending.positions.values())


@pytest.mark.parametrize("first", range(1, 2 * STRIDE + 1, STRIDE))
def test_a_crash_at_any_side_effect_ends_as_if_there_had_been_none(
    first: int, calm: Telling
) -> None:
    tried = range(first, calm.effects + 1, 2 * STRIDE)
    assert len(tried) > 10
    wrong = [text for number in tried if (text := difference(calm, number))]
    assert not wrong, f"without a crash: {calm.ending}"
