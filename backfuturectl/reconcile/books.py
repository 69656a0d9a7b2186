"""All bots on the books, running or only stored, found by name, strategy, connection and place.

The one writer of its indexes: whoever seats a bot or takes it off the books does it here. A bot's
strategy, connection and pair are part of its identity, so a seat never changes its places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import TypeVar

from backfuturectl.model.ids import bot_code
from backfuturectl.model.records import BotRecord
from backfuturectl.reconcile.seats import Seat

Place = tuple[str, str]
"""Connection and pair: what two bots must never share."""

_K = TypeVar("_K")
_V = TypeVar("_V")


class Books:
    """Seats, and what the store remembers of the bots that have none."""

    def __init__(self) -> None:
        self._seats: dict[str, Seat] = {}
        self._seats_of: dict[str, dict[str, Seat]] = {}
        self._seats_on: dict[str, dict[str, Seat]] = {}
        self._seats_at: dict[Place, dict[str, Seat]] = {}
        self._records: dict[str, BotRecord] = {}
        self._unseated_of: dict[str, dict[str, BotRecord]] = {}
        self._unseated_at: dict[Place, dict[str, BotRecord]] = {}
        self._codes: dict[str, str] = {}

    # Writing.

    def seat(self, seat: Seat) -> None:
        """Take *seat* onto the books."""
        bot = seat.planned.bot
        assert bot not in self._seats, "never two runners for one bot"
        self._codes.setdefault(bot_code(bot), bot)
        self._seats[bot] = seat
        self._seats_of.setdefault(seat.planned.strategy, {})[bot] = seat
        self._seats_on.setdefault(seat.planned.connection, {})[bot] = seat
        self._seats_at.setdefault(_place(seat), {})[bot] = seat
        self._file(self._records.get(bot), is_unseated=False)

    def unseat(self, bot: str) -> None:
        """Take a bot's seat away; its record stays."""
        seat = self._seats.pop(bot)
        _remove(self._seats_of, seat.planned.strategy, bot)
        _remove(self._seats_on, seat.planned.connection, bot)
        _remove(self._seats_at, _place(seat), bot)
        record = self._records.get(bot)
        self._file(record, is_unseated=record is not None and not record.is_retired)

    def remember(self, record: BotRecord) -> None:
        """Take *record* as what the store has of its bot."""
        self._file(self._records.get(record.bot), is_unseated=False)
        self._records[record.bot] = record
        self._codes.setdefault(bot_code(record.bot), record.bot)
        is_unseated = not record.is_retired and record.bot not in self._seats
        self._file(record, is_unseated=is_unseated)

    def _file(self, record: BotRecord | None, *, is_unseated: bool) -> None:
        if record is None:
            return
        place = (record.connection, record.pair)
        if is_unseated:
            self._unseated_of.setdefault(record.strategy, {})[record.bot] = record
            self._unseated_at.setdefault(place, {})[record.bot] = record
        else:
            _remove(self._unseated_of, record.strategy, record.bot)
            _remove(self._unseated_at, place, record.bot)

    # Reading.

    @property
    def seats(self) -> Mapping[str, Seat]:
        """Every seat, by bot."""
        return self._seats

    def of(self, strategy: str) -> dict[str, Seat]:
        """Return the seats of one strategy, by bot."""
        return dict(self._seats_of.get(strategy, {}))

    def on(self, connection: str) -> tuple[Seat, ...]:
        """Return the seats of one connection."""
        return tuple(self._seats_on.get(connection, {}).values())

    def targeted(self, target: str) -> tuple[Seat, ...]:
        """Return the seats that an operator's *target* names; see `Seat.targets`."""
        kind, _, name = target.partition("/")
        match kind:
            case "strategy":
                return tuple(self.of(name).values())
            case "connection":
                return self.on(name)
            case _:
                return tuple(self._seats.values())

    def record(self, bot: str) -> BotRecord | None:
        """Return what the store remembers of *bot*; None when it never ran."""
        return self._records.get(bot)

    def namesake(self, bot: str) -> str | None:
        """Return another bot, perhaps retired, whose client order ids would be those of *bot*."""
        other = self._codes.get(bot_code(bot))
        return other if other != bot else None

    def is_unseated(self, bot: str) -> bool:
        """Return whether the store has *bot* on the books and it has no seat yet."""
        record = self._records.get(bot)
        return record is not None and not record.is_retired and bot not in self._seats

    def unseated(self, strategy: str) -> tuple[BotRecord, ...]:
        """Return a strategy's stored bots that are on the books and have no seat yet."""
        return tuple(self._unseated_of.get(strategy, {}).values())

    def at(self, places: Iterable[Place]) -> Iterator[Seat | BotRecord]:
        """Yield who is on the books at *places*: seats, and records that have none yet."""
        for place in dict.fromkeys(places):
            yield from self._seats_at.get(place, {}).values()
            yield from self._unseated_at.get(place, {}).values()

    @property
    def strategies(self) -> Set[str]:
        """The strategies that have a bot, running or stored."""
        return self._seats_of.keys() | self._unseated_of.keys()


def _place(seat: Seat) -> Place:
    return seat.planned.connection, seat.planned.pair


def _remove(index: dict[_K, dict[str, _V]], key: _K, bot: str) -> None:
    members = index.get(key)
    if members is not None:
        members.pop(bot, None)
        if not members:
            del index[key]
