"""What the work queue promises, on virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfuturectl.reconcile.queue import WORKERS, Again, Done, Ending, Failed, WorkQueue

pytestmark = pytest.mark.looptime(noop_cycles=3)


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Bench:
    """A queue whose work takes time and ends by script.

    Attributes:
        turns: (key, start, end) in the order of starting; the end is None while one runs.
    """

    takes_s: float = 1.0
    endings: dict[str, list[Ending | Exception]] = field(default_factory=dict)
    turns: list[list] = field(default_factory=list)
    running: Counter[str] = field(default_factory=Counter)
    started_s: float = 0.0

    def __post_init__(self) -> None:
        self.queue = WorkQueue(self.work, jitter=random.Random(1))

    async def work(self, key: str) -> Ending:
        self.running[key] += 1
        assert self.running[key] == 1, "one worker at a time per key"
        assert self.running.total() <= WORKERS
        turn = [key, now() - self.started_s, None]
        self.turns.append(turn)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.running[key] -= 1
            turn[2] = now() - self.started_s
        waiting = self.endings.get(key)
        ending = waiting.pop(0) if waiting else Done()
        if isinstance(ending, Exception):
            raise ending
        return ending

    def starts(self, key: str = "a") -> list[float]:
        return [start for name, start, _ in self.turns if name == key]


@asynccontextmanager
async def bench(takes_s: float = 1.0, **endings: list) -> AsyncIterator[Bench]:
    made = Bench(takes_s, endings, started_s=now())
    task = asyncio.get_running_loop().create_task(made.queue.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled(), "the queue ends by cancellation only"


async def test_a_key_is_worked_on_at_once() -> None:
    async with bench() as b:
        b.queue.add("a")
        await asyncio.sleep(5)
        assert b.starts() == [0]


async def test_a_key_added_often_before_its_turn_runs_once() -> None:
    async with bench() as b:
        for _ in range(5):
            b.queue.add("a")
        await asyncio.sleep(60)
        assert b.starts() == [0]


async def test_a_key_added_while_it_runs_runs_exactly_once_more_afterwards() -> None:
    async with bench(takes_s=10) as b:
        b.queue.add("a")
        await asyncio.sleep(1)
        for _ in range(5):
            b.queue.add("a")
        await asyncio.sleep(600)
        assert b.starts() == [0, 10]


async def test_keys_run_side_by_side() -> None:
    async with bench(takes_s=10) as b:
        b.queue.add("a")
        b.queue.add("b")
        await asyncio.sleep(1)
        assert b.running == {"a": 1, "b": 1}


async def test_more_keys_than_workers_all_get_their_turn() -> None:
    async with bench(takes_s=10) as b:
        for number in range(3 * WORKERS):
            b.queue.add(str(number))
        await asyncio.sleep(60)
        assert sorted(Counter(key for key, _, _ in b.turns).values()) == [1] * 3 * WORKERS


async def test_the_earlier_appointment_stays() -> None:
    async with bench() as b:
        b.queue.add("a", after_s=50)
        b.queue.add("a", after_s=20)
        b.queue.add("a", after_s=90)
        await asyncio.sleep(200)
        assert b.starts() == [pytest.approx(20)]


# The four endings.


async def test_done_waits_until_somebody_adds_the_key() -> None:
    async with bench(a=[Done()]) as b:
        b.queue.add("a")
        await asyncio.sleep(10_000)
        assert b.starts() == [0]
        b.queue.add("a")
        await asyncio.sleep(10)
        assert len(b.starts()) == 2


async def test_again_comes_back_after_its_time() -> None:
    async with bench(a=[Again(100), Again(7)]) as b:
        b.queue.add("a")
        await asyncio.sleep(1_000)
        assert b.starts() == [pytest.approx(t) for t in (0, 101, 109)]


async def test_a_hint_comes_before_the_time_of_again() -> None:
    async with bench(a=[Again(100)]) as b:
        b.queue.add("a")
        await asyncio.sleep(10)
        b.queue.add("a")
        await asyncio.sleep(1)
        assert b.starts() == [0, 10]


def waits(starts: list[float], takes_s: float = 1.0) -> list[float]:
    return [after - before - takes_s for before, after in pairwise(starts)]


async def test_failures_back_off_from_one_second_to_five_minutes() -> None:
    async with bench(a=[Failed()] * 40) as b:
        b.queue.add("a")
        await asyncio.sleep(5_000)
        found = waits(b.starts())
        assert 0.5 <= found[0] <= 1.5
        assert all(late > 1.2 * early for early, late in pairwise(found[:7]))
        assert max(found) <= 300
        assert min(found[9:]) >= 300 / 1.2 * 0.8


async def test_success_begins_the_backoff_anew() -> None:
    async with bench(a=[Failed()] * 5 + [Again(1)] + [Failed()] * 2) as b:
        b.queue.add("a")
        await asyncio.sleep(1_000)
        assert waits(b.starts())[6] <= 1.5


async def test_what_changed_begins_the_backoff_anew() -> None:
    async with bench(a=[Failed()] * 20) as b:
        b.queue.add("a")
        await asyncio.sleep(200)
        b.queue.succeed("a")
        b.queue.add("a")
        await asyncio.sleep(3)
        assert waits(b.starts())[-1] <= 1.5


@pytest.mark.parametrize("wish_s", [5, 60, 1_000])
async def test_the_servers_own_waiting_time_is_never_shortened(wish_s: float) -> None:
    async with bench(a=[Failed(wish_s)] * 4) as b:
        b.queue.add("a")
        await asyncio.sleep(10_000)
        assert len(b.starts()) == 5
        assert min(waits(b.starts())) >= wish_s


async def test_a_forgotten_key_does_not_come_back() -> None:
    async with bench(a=[Again(100)]) as b:
        b.queue.add("a")
        await asyncio.sleep(10)
        b.queue.forget("a")
        await asyncio.sleep(1_000)
        assert b.starts() == [0]


async def test_a_key_that_is_forgotten_while_it_runs_does_not_come_back() -> None:
    async with bench(takes_s=10, a=[Again(100)]) as b:
        b.queue.add("a")
        await asyncio.sleep(1)
        b.queue.add("a")
        b.queue.forget("a")
        await asyncio.sleep(1_000)
        assert b.starts() == [0]
        b.queue.add("a")
        await asyncio.sleep(1)
        assert len(b.starts()) == 2, "forgetting is not for ever"


async def test_a_defect_over_one_key_does_not_end_the_others() -> None:
    async with bench(a=[ValueError("a defect")], b=[Again(5)] * 3) as b:
        b.queue.add("a")
        b.queue.add("b")
        await asyncio.sleep(60)
        assert len(b.starts("b")) == 4
        assert len(b.starts("a")) == 2, "a defect counts as a failure and is tried again"


async def test_an_idle_queue_shows_that_it_turns() -> None:
    async with bench() as b:
        await asyncio.sleep(100)
        assert now() - b.queue.last_turn_s <= 1.5


# Any history.

KEYS = st.sampled_from("abc")
CALLS = st.lists(
    st.tuples(
        st.floats(0, 20).map(lambda s: round(s, 1)),
        KEYS,
        st.sampled_from(["add", "add", "add later", "succeed"]),
    ),
    max_size=25,
)
ENDINGS = st.lists(
    st.sampled_from([Done(), Again(3.0), Failed(), Failed(30.0), ValueError("a defect")]),
    max_size=6,
)


@settings(max_examples=40)
@given(CALLS, st.fixed_dictionaries(dict.fromkeys("abc", ENDINGS)), st.sampled_from([0.0, 4.0]))
async def test_every_request_is_followed_by_a_turn_of_its_own(
    calls: list[tuple[float, str, str]], endings: dict[str, list[Ending]], takes_s: float
) -> None:
    requests: list[tuple[str, float]] = []
    async with bench(takes_s, **{key: list(some) for key, some in endings.items()}) as b:
        for pause_s, key, call in calls:
            await asyncio.sleep(pause_s)
            _CALLS[call](b.queue, key)
            if call == "add":
                requests.append((key, now() - b.started_s))
        await asyncio.sleep(600)  # longer than six failures in a row put a turn off
        for key, at in requests:
            soonest = [start for start in b.starts(key) if start >= at - 1e-6]
            assert soonest, f"{key} was added at {at} and had no turn"
            assert soonest[0] <= at + takes_s + 1, "a request waits for the running turn at most"
        # In the end all is quiet: no key goes round by itself.
        asked = Counter(key for _, key, call in calls if call != "succeed")
        for key in "abc":
            assert len(b.starts(key)) <= asked[key] + len(endings[key])
            assert b.queue.depth == 0


_CALLS: dict[str, Callable[[WorkQueue, str], None]] = {
    "add": lambda queue, key: queue.add(key),
    "add later": lambda queue, key: queue.add(key, after_s=5),
    "succeed": lambda queue, key: queue.succeed(key),
}


APPOINTMENTS = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([0.0, 0.5, 3.0, 20.0]), st.booleans()),
    max_size=80,
)


@settings(max_examples=60)
@given(APPOINTMENTS)
async def test_who_was_due_first_goes_first_and_moved_or_dropped_appointments_count_for_nothing(
    calls: list[tuple[int, float, bool]],
) -> None:
    """The order by time says what a search through all appointments says."""
    due: dict[str, float] = {}
    async with bench(takes_s=2.0) as b:
        for number, after_s, is_dropped in calls:
            key = f"k{number:02d}"
            if is_dropped:
                b.queue.forget(key)
                due.pop(key, None)
            else:
                b.queue.add(key, after_s=after_s)
                due[key] = min(due.get(key, after_s), after_s)
        await asyncio.sleep(60)
    turns = [(key, start) for key, start, _ in b.turns]
    assert sorted(key for key, _ in turns) == sorted(due)
    free_at = [0.0] * WORKERS
    expected = []
    for key, at in sorted(due.items(), key=lambda item: (item[1], item[0])):
        start = max(at, min(free_at))
        free_at[free_at.index(min(free_at))] = start + 2.0
        expected.append((key, start))
    for (key, start), (wanted, at) in zip(turns, expected, strict=True):
        assert (key, round(start, 1)) == (wanted, round(at, 1))
