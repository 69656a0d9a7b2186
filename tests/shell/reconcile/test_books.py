"""Whatever is seated, taken away and remembered: the indexes say what a scan of everything says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.ids import bot_id
from backfuturectl.model.records import BotRecord
from backfuturectl.planning.plan import DesiredBot
from backfuturectl.reconcile.books import Books
from backfuturectl.reconcile.seats import Seat

STRATEGIES = ("a", "b", "c")
CONNECTIONS = ("main", "side")
PAIRS = ("BTC/USDT", "ETH/USDT")

Act = tuple[str, str, str, str, bool]
acts = st.tuples(
    st.sampled_from(["seat", "unseat", "remember"]),
    st.sampled_from(STRATEGIES),
    st.sampled_from(CONNECTIONS),
    st.sampled_from(PAIRS),
    st.booleans(),
)


def seat_of(strategy: str, connection: str, pair: str) -> Seat:
    planned = DesiredBot(bot_id(strategy, pair), strategy, connection, pair, cast(Any, None), 1, "")
    return Seat(cast(Any, None), planned, "", cast(Any, None), 0, cast(Any, None), Decimal(0))


def record_of(strategy: str, connection: str, pair: str, *, is_retired: bool) -> BotRecord:
    bot = bot_id(strategy, pair)
    return BotRecord(bot, strategy, connection, pair, "averaging", "", 1, 0, b"", is_retired)


@dataclass
class Naive:
    """The same, by looking at everything each time."""

    seats: dict[str, Seat] = field(default_factory=dict)
    records: dict[str, BotRecord] = field(default_factory=dict)

    def unseated(self) -> dict[str, BotRecord]:
        return {
            bot: record
            for bot, record in self.records.items()
            if not record.is_retired and bot not in self.seats
        }


def apply(books: Books, naive: Naive, act: Act) -> None:
    verb, strategy, connection, pair, is_retired = act
    bot = bot_id(strategy, pair)
    match verb:
        case "seat" if bot not in naive.seats:
            seat = seat_of(strategy, connection, pair)
            naive.seats[bot] = seat
            books.seat(seat)
        case "unseat" if bot in naive.seats:
            del naive.seats[bot]
            books.unseat(bot)
        case "remember":
            record = record_of(strategy, connection, pair, is_retired=is_retired)
            naive.records[bot] = record
            books.remember(record)


@given(st.lists(acts, max_size=30))
def test_an_index_says_what_a_scan_says(history: Sequence[Act]) -> None:
    books, naive = Books(), Naive()
    for act in history:
        apply(books, naive, act)
        unseated = naive.unseated()
        assert dict(books.seats) == naive.seats
        assert {bot for bot in naive.records if books.is_unseated(bot)} == set(unseated)
        assert books.strategies == {
            *(seat.planned.strategy for seat in naive.seats.values()),
            *(record.strategy for record in unseated.values()),
        }
        for name in STRATEGIES:
            mine = {b: s for b, s in naive.seats.items() if s.planned.strategy == name}
            assert books.of(name) == mine
            assert {s.planned.bot for s in books.targeted(f"strategy/{name}")} == set(mine)
            waiting = {bot for bot, record in unseated.items() if record.strategy == name}
            assert {record.bot for record in books.unseated(name)} == waiting
        for name in CONNECTIONS:
            there = {b for b, s in naive.seats.items() if s.planned.connection == name}
            assert {s.planned.bot for s in books.on(name)} == there
            assert {s.planned.bot for s in books.targeted(f"connection/{name}")} == there
        for place in ((c, p) for c in CONNECTIONS for p in PAIRS):
            seated = [
                s for s in naive.seats.values() if (s.planned.connection, s.planned.pair) == place
            ]
            stored = [r for r in unseated.values() if (r.connection, r.pair) == place]
            found = list(books.at([place, place]))
            assert len(found) == len(seated) + len(stored)
            assert all(each in seated or each in stored for each in found)
        assert {s.planned.bot for s in books.targeted("all")} == set(naive.seats)
        assert all(books.record(bot) == record for bot, record in naive.records.items())
