"""Write the candle files anew: ``python -m tests.simulation.candles.make``.

Made up, from one seed per file, so that nobody's data is needed and every price is known to be
reachable: ``flat-month`` stays within five ticks for thirty days, ``fall-30`` loses 30 % within its
second day, ``gaps`` opens most days up to 6 % away from where the day before closed.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

FOLDER = Path(__file__).parent
_BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
_HEAD = ("time", "open", "high", "low", "close")

Closes = Callable[[random.Random], Iterator[tuple[float, float]]]
"""Yields where each candle opens and closes."""


def _flat_month(rng: random.Random) -> Iterator[tuple[float, float]]:
    closes = [100 + rng.randint(-2, 2) / 100 for _ in range(30 * 6 + 1)]
    yield from pairwise(closes)


def _fall_30(rng: random.Random) -> Iterator[tuple[float, float]]:
    price = 100.0
    for number in range(240):
        is_falling = 96 <= number < 192
        drift = 0.7 ** (1 / 96) if is_falling else 1.0
        close = price * drift * (1 + rng.gauss(0, 0.0015))
        yield price, close
        price = close


def _gaps(rng: random.Random) -> Iterator[tuple[float, float]]:
    price = 100.0
    for number in range(240):
        if number and number % 24 == 0:
            price = 100.0 * (1 + rng.uniform(-0.06, 0.06))
        close = price * (1 + rng.gauss(0, 0.002))
        yield price, close
        price = close


FILES: dict[str, tuple[timedelta, Closes]] = {
    "flat-month": (timedelta(hours=4), _flat_month),
    "fall-30": (timedelta(minutes=15), _fall_30),
    "gaps": (timedelta(hours=1), _gaps),
}


def text_of(name: str) -> str:
    """Return what the file *name* holds."""
    every, closes = FILES[name]
    rng = random.Random(name)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_HEAD)
    for number, (first, last) in enumerate(closes(rng)):
        spread = 0.0001 if name == "flat-month" else 0.001
        high = max(first, last) * (1 + spread * rng.random())
        low = min(first, last) * (1 - spread * rng.random())
        at = (_BEGIN + number * every).strftime("%Y-%m-%dT%H:%MZ")
        table.writerow((at, *(f"{value:.2f}" for value in (first, high, low, last))))
    return text.getvalue()


def path_of(name: str) -> Path:
    """Return where the file *name* is."""
    return FOLDER / f"{name}.csv"


if __name__ == "__main__":
    for each in FILES:
        path_of(each).write_text(text_of(each))
