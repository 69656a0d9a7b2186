"""A crash at any side effect of a whole daemon ends as if there had been none."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.simulation.sieve import Telling, difference, tell
from tests.simulation.stories import BADLY, PARTING, WELL, Story

STORIES = {"well": (WELL, 9), "badly": (BADLY, 15), "parting": (PARTING, 15)}
"""Each with how many of its side effects are tried here: every ninth, every fifteenth.

`make simulate SIEVE=1` tries them all.
"""


@pytest.fixture(scope="module")
def well() -> Telling:
    return tell(WELL)


@pytest.fixture(scope="module")
def badly() -> Telling:
    return tell(BADLY)


def test_the_story_that_ends_well_has_all_that_it_is_meant_to_have(well: Telling) -> None:
    ending = well.ending
    assert well.lives == 1
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


def test_the_story_that_ends_badly_has_all_that_it_is_meant_to_have(badly: Telling) -> None:
    ending = badly.ending
    assert badly.lives == 1
    assert {bot: [d[2] for d in deals] for bot, deals in ending.deals.items() if deals} == {
        "grid/BTC-USDT": ["takeProfit"],
        "swing/BTC-USDT": ["close"],
        "guard/ETH-USDT": ["stopLoss"],
    }
    legs = {(symbol, leg) for symbol, leg, *_ in ending.executions}
    assert {
        ("paper", "rung/2"),
        ("BTC/USDT:USDT", "reduce"),
        ("ETH/USDT:USDT", "stopLoss/1"),
    } <= legs
    assert {"RecoveryBegan", "ReduceFilled", "RecoveryGaveUp"} <= ending.told
    assert ending.states == {"grid/BTC-USDT": "COOLDOWN", "swing/BTC-USDT": "COOLDOWN"}
    assert ending.resting == 0
    assert not any(ending.positions.values())


def test_the_story_of_partings_has_all_that_it_is_meant_to_have() -> None:
    parting = tell(PARTING)
    ending = parting.ending
    assert parting.lives == 1
    assert {bot: [d[2] for d in deals] for bot, deals in ending.deals.items() if deals} == {
        "grid/BTC-USDT": ["close"],
        "swing/BTC-USDT": ["abandoned"],
        "guard/ETH-USDT": ["takeProfit", None],
    }
    assert ending.fees.keys() == {"grid/BTC-USDT"}
    assert {"Draining", "DealAbandoned", "Funding"} <= ending.told
    assert ending.states == {"guard/ETH-USDT": "ACTIVE"}
    assert ending.positions["swing/BTC-USDT"] > 0, "it is left to its owner"
    entries = sorted(amount for (_, leg, *_, amount) in ending.executions if leg == "base")
    assert entries[-1] > Decimal("1.4") * entries[-2], "by the new leverage"


@pytest.mark.long
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize(("story", "stride"), STORIES.values(), ids=STORIES)
def test_a_crash_at_any_side_effect_ends_as_if_there_had_been_none(
    story: Story, stride: int, half: int
) -> None:
    calm = tell(story)
    tried = range(1 + half * stride, calm.effects + 1, 2 * stride)
    assert len(tried) > 7
    wrong = [text for number in tried if (text := difference(story, calm, number))]
    assert not wrong, f"without a crash: {calm.ending}"
