"""Seeded price paths: walks, falls, gaps, flat stretches and candles, one price per step."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count, islice

from tests.simulation.candles.make import FILES, path_of

TICK = Decimal("0.01")
START = 100.0
_LOW, _HIGH = 82.0, 118.0


def path(rng: random.Random) -> Iterator[Decimal]:
    """Yield prices for ever: stretches of one kind follow one another without a jump between."""
    price = START
    while True:
        make = rng.choice(STRETCHES)
        for value in islice(make(rng, price), rng.randrange(40, 400)):
            # Reflected at the edges, so that no path ends in liquidation or at zero.
            price = value
            if price < _LOW:
                price = _LOW * _LOW / price
            elif price > _HIGH:
                price = _HIGH * _HIGH / price
            yield _on_tick(price)


def tour(rng: random.Random, sign: int) -> Iterator[Decimal]:
    """Yield prices that lead a position of *sign* through Recovery Mode, each time another way."""
    ways = ("target", "rebound", "deeper", "calm", "wick", "through", "through")
    level = 0.0  # percent in the position's favour

    def go(to: float, steps: int) -> Iterator[Decimal]:
        nonlocal level
        start = level
        for step in range(1, steps + 1):
            level = start + (to - start) * step / steps
            value = START * (1 + sign * level / 100) * (1 + rng.gauss(0, 0.0002))
            yield _on_tick(value)

    while True:
        yield from go(rng.uniform(-1, 1), 30)
        yield from go(level, 25)
        bottom = level - rng.uniform(6.2, 7.2)
        yield from go(bottom, rng.randrange(40, 70))
        yield from go(bottom, 35)
        for way in (rng.choice(ways), rng.choice(ways)):
            match way:
                case "target":
                    yield from go(bottom + 8, 30)
                case "rebound":
                    yield from go(bottom + 1.5, 8)
                    yield from go(bottom + 1.5, 40)
                case "deeper":
                    yield from go(bottom - 2.5, 20)
                    yield from go(bottom - 2.5, 20)
                case "calm":
                    yield from go(bottom + 2.8, 10)
                    yield from go(bottom + 2.8, 40)
                case "wick":
                    yield from go(level - 5, 1)
                    yield from go(level + 5, 1)
                    yield from go(level, 20)
                case "through":
                    yield from go(bottom - 5, 30)
                    yield from go(bottom - 5, 30)


def swing(step: int, *, period: int) -> float:
    """Return the factor of a calm swing, wide in the end for a deal that only waits for its exit.

    At first it reaches the take profit of every deal that averages, and no stop.
    """
    width = 0.05 if step < 3 * period else 0.09
    return 1.0 + width * math.sin(2 * math.pi * step / period)


def _walk(rng: random.Random, price: float) -> Iterator[float]:
    volatility = rng.choice((0.0005, 0.001, 0.003))
    while True:
        price *= math.exp(rng.gauss(0, volatility))
        yield price


def _fall(rng: random.Random, price: float) -> Iterator[float]:
    """Fall by 30 %, then recover some of it."""
    steps = rng.randrange(60, 200)
    for _ in range(steps):
        price *= math.exp(math.log(0.7) / steps + rng.gauss(0, 0.002))
        yield price
    while True:
        price *= math.exp(0.001 + rng.gauss(0, 0.002))
        yield price


def _rise(rng: random.Random, price: float) -> Iterator[float]:
    while True:
        price *= math.exp(0.001 + rng.gauss(0, 0.002))
        yield price


def _gaps(rng: random.Random, price: float) -> Iterator[float]:
    while True:
        if rng.random() < 0.02:
            price *= 1 + rng.uniform(-0.08, 0.08)
        yield price * (1 + rng.gauss(0, 0.0005))


def _flat(rng: random.Random, price: float) -> Iterator[float]:
    while True:
        yield price


def _wicks(rng: random.Random, price: float) -> Iterator[float]:
    while True:
        yield price * (1 + (rng.uniform(-0.06, 0.06) if rng.random() < 0.03 else 0))


def _candles(rng: random.Random, price: float) -> Iterator[float]:
    """Play a candle file from its beginning, then walk on."""
    yield from played(rng.choice(sorted(FILES)), price)
    yield from _walk(rng, price)


def candles(rng: random.Random, name: str) -> Iterator[Decimal]:
    """Yield the prices of the candle file *name*, then a walk, without reflection at any edge."""
    last = START
    for last in played(name, START):
        yield _on_tick(last)
    for price in _walk(rng, last):
        yield _on_tick(price)


def played(name: str, start: float) -> Iterator[float]:
    """Yield four prices per candle of *name*, scaled to *start*: open, extremes, close.

    Time is compressed: a candle of four hours lasts four steps like one of a minute.
    """
    with path_of(name).open() as file:
        rows = list(csv.DictReader(file))
    scale = start / float(rows[0]["open"])
    for row in rows:
        corners = [float(row[corner]) * scale for corner in ("open", "low", "high", "close")]
        if corners[3] < corners[0]:
            corners[1], corners[2] = corners[2], corners[1]
        yield from corners


def _on_tick(price: float) -> Decimal:
    return Decimal(round(price / float(TICK))) * TICK


Stretch = Callable[[random.Random, float], Iterator[float]]
STRETCHES: tuple[Stretch, ...] = (_walk, _walk, _fall, _rise, _gaps, _flat, _wicks, _candles)


def calm(start: Decimal, *, period: int) -> Iterator[Decimal]:
    """Yield prices that swing around *start* for ever."""
    for step in count():
        yield (start * Decimal(swing(step, period=period)) / TICK).quantize(Decimal(1)) * TICK
