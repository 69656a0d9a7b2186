"""When new deals may begin: weekly windows in a time zone.

A window is written ``Mon-Fri 08:00-20:00``. One that ends at or before its beginning goes on into
the next day. Boundaries are whole minutes of local time; across a change of the clocks local time
counts, so that a window is an hour shorter or longer on that day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_MINUTES: Final = 24 * 60
MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Window:
    """One line of the schedule.

    Attributes:
        days: Weekdays on which it begins, Monday is 0.
        begin: Minute of the day.
        length: Minutes.
    """

    days: frozenset[int]
    begin: int
    length: int


@dataclass(frozen=True, slots=True)
class Windows:
    """A schedule in its time zone."""

    zone: ZoneInfo
    windows: tuple[Window, ...]

    @property
    def is_always(self) -> bool:
        """Return whether one window alone never closes."""
        return any(
            len(window.days) == len(_DAYS) and window.length == _DAY_MINUTES
            for window in self.windows
        )

    def current(self, at_ms: int) -> int | None:
        """Return a number for the window that *at_ms* lies in; None outside of all.

        The number is the local minute at which the window began, so that two times have the same
        one only when they lie in the same occurrence of the same window.
        """
        local = datetime.fromtimestamp(at_ms // 1_000, self.zone)
        today, minute = local.toordinal(), local.hour * 60 + local.minute
        for window in self.windows:
            for day in (today, today - 1):  # also one that began yesterday
                since = minute + (today - day) * _DAY_MINUTES - window.begin
                # Ordinal 1 is a Monday.
                if (day - 1) % 7 in window.days and 0 <= since < window.length:
                    return day * _DAY_MINUTES + window.begin
        return None


def parse_windows(texts: Sequence[str], timezone: str) -> Windows:
    """Return the schedule *texts* in *timezone*.

    The time zone's table is read here, once; everything after that is arithmetic.

    Raises:
        ZoneInfoNotFoundError: *timezone* is not an IANA name known here.
        ValueError: *timezone* is not a name at all.
    """
    return Windows(ZoneInfo(timezone), tuple(_window(text) for text in texts))


def _window(text: str) -> Window:
    days, hours = text.split(" ")
    first, _, last = days.partition("-")
    begin, end = (_minute(part) for part in hours.split("-"))
    number = _DAYS.index(first)
    count = (_DAYS.index(last or first) - number) % 7 + 1
    return Window(
        days=frozenset((number + step) % 7 for step in range(count)),
        begin=begin,
        length=end - begin if end > begin else end - begin + _DAY_MINUTES,
    )


def _minute(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)
