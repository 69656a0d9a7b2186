"""Seeded price paths: walks, falls, gaps, flat stretches and candles, one price per step."""

from __future__ import annotations

import csv
import io
import math
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count, islice, pairwise

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
            yield Decimal(round(price / float(TICK))) * TICK


def swing(step: int, *, period: int) -> float:
    """Return the factor of a calm swing that reaches every take profit and no stop."""
    return 1.0 + 0.05 * math.sin(2 * math.pi * step / period)


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
    """Walk through the rows of a candle file: open, one extreme, the other, close."""
    rows = csv.DictReader(io.StringIO(_candle_file(rng, price)))
    for row in rows:
        corners = [float(row[name]) for name in ("open", "low", "high", "close")]
        if corners[3] < corners[0]:
            corners[1], corners[2] = corners[2], corners[1]
        for start, end in pairwise(corners):
            for part in range(4):
                yield start + (end - start) * part / 4
        price = corners[3]
    yield from _walk(rng, price)


def _candle_file(rng: random.Random, price: float) -> str:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(("open", "high", "low", "close"))
    for _ in range(rng.randrange(10, 40)):
        close = price * math.exp(rng.gauss(0, 0.01))
        high = max(price, close) * (1 + abs(rng.gauss(0, 0.004)))
        low = min(price, close) * (1 - abs(rng.gauss(0, 0.004)))
        table.writerow(f"{value:.2f}" for value in (price, high, low, close))
        price = close
    return text.getvalue()


Stretch = Callable[[random.Random, float], Iterator[float]]
STRETCHES: tuple[Stretch, ...] = (_walk, _walk, _fall, _rise, _gaps, _flat, _wicks, _candles)


def calm(start: Decimal, *, period: int) -> Iterator[Decimal]:
    """Yield prices that swing around *start* for ever."""
    for step in count():
        yield (start * Decimal(swing(step, period=period)) / TICK).quantize(Decimal(1)) * TICK
