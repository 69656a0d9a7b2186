"""Many seeds, each a history of its own: safe at every moment, and whole again in the end."""

from __future__ import annotations

import pytest

from tests.simulation.conftest import Tell
from tests.simulation.history import run
from tests.simulation.visits import missing

SEEDS = 200

FOUND: dict[int, str] = {
    20058: "an edit took a bot off the account where a deal was that an older store forgot",
    20218: "an edit replaced a bot that had not looked at the exchange yet",
    31293: "a bot that an older store has as ended went on, on paper (documented)",
    60096: "funding of what the owner traded went into a deal that waited for a person, all sold",
}
"""Seeds beyond the first that found something, and what.

The history of a seed is another one since plans or faults were last changed; what was found before
that is told by itself in `test_found`.
"""


@pytest.mark.parametrize("seed", sorted({*range(1, SEEDS + 1), *FOUND}))
def test_a_history_stays_safe_and_converges(seed: int, told: Tell) -> None:
    assert told(seed).orders > 0


def test_a_seed_is_one_history(told: Tell) -> None:
    assert run(7) == told(7)


@pytest.mark.last
def test_the_histories_come_by_everything(told: Tell) -> None:
    absent = missing([])
    # From the last on, so as not to wait for each one that another process runs just now.
    for seed in range(SEEDS, 0, -1):
        visited = told(seed).visited
        absent = [what for what in absent if what not in visited]
        if not absent:
            break
    assert absent == []
