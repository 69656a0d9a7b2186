"""Many seeds, each a history of its own: safe at every moment, and whole again in the end."""

from __future__ import annotations

import pytest

from tests.simulation.history import run
from tests.simulation.visits import missing

SEEDS = 200

FOUND = {
    2: "a bot that was told to end stayed for good; a strategy stood Ready with a bot too many",
    5: "an adding order left after its gate had closed",
    12: "a failing store was taken for a defect; a bot was seated with a state of long ago",
    13: "an older store gave ids again that the exchange had",
    29: "an adding order left after its connection had been refused",
    34: "a fill between two questions was taken for a position of somebody else",
    65: "a bot that could not be taken off the books was seated with a state of long ago",
}
"""Seeds that found something once, whatever the number of seeds."""


TOURS = range(6, 106, 10)


@pytest.mark.parametrize("seed", sorted({*range(1, SEEDS + 1), *FOUND}))
def test_a_history_stays_safe_and_converges(seed: int) -> None:
    told = run(seed)
    assert told.orders > 0


def test_tours_come_by_every_state() -> None:
    assert missing(run(seed).visited for seed in TOURS) == []


def test_a_seed_is_one_history() -> None:
    assert run(7) == run(7)
