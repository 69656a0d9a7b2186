"""Where prices come from: fixed, a seeded random walk, or candles; and the task that moves them."""

from __future__ import annotations

import asyncio
import csv
import enum
import hashlib
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from backfuturectl.emulator.dialect import Exchange
from backfuturectl.model.errors import ConfigurationError
from backfuturectl.model.market import ONE, round_price

_COLUMNS: Final = ("time", "open", "high", "low", "close", "volume")
_UNIFORMS: Final = 12  # their sum less six is close to a standard normal variate
_UNIFORM_BYTES: Final = 2
_UNIFORM_VALUES: Final = 256**_UNIFORM_BYTES
_FACTOR_MIN: Final = Decimal("0.01")  # the wildest walk loses 99 % in a step, never everything


@dataclass(frozen=True, slots=True)
class PricePath:
    """Prices to come.

    Attributes:
        prices: May be endless; the market keeps the last one when they end.
        tick_s: Time from one to the next at normal speed.
    """

    prices: Iterator[Decimal]
    tick_s: float


class Walk(enum.StrEnum):
    """In which order a candle's prices are visited."""

    LOW_FIRST = "olhc"
    HIGH_FIRST = "ohlc"


@dataclass(frozen=True, slots=True)
class Candle:
    """One row of a candle file; *at_ms* is its beginning."""

    at_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


def random_walk(
    *, seed: int, symbol: str, start: Decimal, volatility: Decimal
) -> Iterator[Decimal]:
    """Yield a geometric random walk from *start*, the same for the same arguments.

    Args:
        seed: Of the whole run; each symbol walks its own way.
        symbol: Name of the walk.
        start: The first price.
        volatility: Standard deviation of one step, as a ratio; a step is less than six of them.
    """
    price, tick = start, 0
    while True:
        yield price
        tick += 1
        factor = ONE + volatility * _normal(f"{seed}:{symbol}:{tick}")
        price *= max(factor, _FACTOR_MIN)


def walk_candles(candles: Sequence[Candle], walk: Walk) -> Iterator[Decimal]:
    """Yield four prices a candle."""
    for candle in candles:
        match walk:
            case Walk.LOW_FIRST:
                yield from (candle.open, candle.low, candle.high, candle.close)
            case Walk.HIGH_FIRST:
                yield from (candle.open, candle.high, candle.low, candle.close)


def read_candles(path: Path) -> tuple[Candle, ...]:
    """Return the candles of a CSV file: time (ms or s since the epoch),open,high,low,close,volume.

    Raises:
        ConfigurationError: The file cannot be read, or a row is not that.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"candles {path}: {error}") from error
    candles = []
    for number, row in enumerate(rows, start=2):
        try:
            at = int(row["time"])
            prices = [Decimal(row[name]) for name in ("open", "high", "low", "close")]
        except (KeyError, TypeError, ValueError, InvalidOperation) as error:
            raise ConfigurationError(
                f"candles {path}, line {number}: expected columns {','.join(_COLUMNS)}"
            ) from error
        if not all(price.is_finite() and price > 0 for price in prices):
            raise ConfigurationError(f"candles {path}, line {number}: expected prices above zero")
        candles.append(Candle(_to_ms(at), *prices))
    if not candles:
        raise ConfigurationError(f"candles {path}: no rows")
    return tuple(candles)


def candle_path(candles: Sequence[Candle], walk: Walk = Walk.LOW_FIRST) -> PricePath:
    """Return the path through *candles*, each lasting as long as from the first to the second."""
    duration_ms = candles[1].at_ms - candles[0].at_ms if len(candles) > 1 else 60_000
    return PricePath(walk_candles(candles, walk), duration_ms / 4_000)


def move_price(exchange: Exchange, symbol: str, price: Decimal) -> None:
    """Set the last price, on the market's tick and never below one tick."""
    market = exchange.venue.listing(symbol).market
    rounded = max(round_price(price, market), market.price_tick)
    exchange.venue.set_price(symbol, rounded, exchange.now_ms())


class PriceFeed:
    """Moves prices along their paths; one task runs it.

    Attributes:
        speed: Divides every path's tick; 60 lets an hour pass in a minute.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._paths: dict[tuple[str, str], tuple[Exchange, PricePath]] = {}
        self._due: list[tuple[float, str, str]] = []
        self._changed = asyncio.Event()

    def start(self, exchange: Exchange, symbol: str, path: PricePath) -> None:
        """Let *symbol* follow *path* from now on; its first price is set at once."""
        exchange.venue.listing(symbol)
        name = (exchange.brand, symbol)
        self._paths[name] = (exchange, path)
        self._step(name)
        self._due = [due for due in self._due if due[1:] != name]
        heapq.heapify(self._due)
        self._changed.set()

    def stop(self, brand: str, symbol: str) -> bool:
        """Leave the price where it is; False when it follows no path."""
        return self._paths.pop((brand, symbol), None) is not None

    @property
    def moving(self) -> tuple[tuple[str, str], ...]:
        """Brand and symbol of every price that follows a path."""
        return tuple(self._paths)

    async def run(self) -> None:
        """Move prices until canceled."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            self._schedule_new(loop.time())
            await self._wait(self._due[0][0] - loop.time() if self._due else None)
            now = loop.time()
            while self._due and self._due[0][0] <= now:
                due, brand, symbol = heapq.heappop(self._due)
                if self._step((brand, symbol)):
                    tick_s = self._paths[brand, symbol][1].tick_s / self.speed
                    # After a stall the missed ticks are taken one by one, not skipped: every
                    # price of a path is visited.
                    heapq.heappush(self._due, (due + tick_s, brand, symbol))

    def _schedule_new(self, now: float) -> None:
        scheduled = {due[1:] for due in self._due}
        for (brand, symbol), (_, path) in self._paths.items():
            if (brand, symbol) not in scheduled:
                heapq.heappush(self._due, (now + path.tick_s / self.speed, brand, symbol))

    async def _wait(self, delay_s: float | None) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def _step(self, name: tuple[str, str]) -> bool:
        """Take the next price; False when the path is over or was stopped."""
        if name not in self._paths:
            return False
        exchange, path = self._paths[name]
        price = next(path.prices, None)
        if price is None:
            del self._paths[name]
            return False
        move_price(exchange, name[1], price)
        return True


def _normal(name: str) -> Decimal:
    """Return a variate of about the standard normal distribution, computed from *name*."""
    digest = hashlib.sha256(name.encode()).digest()
    total = sum(
        int.from_bytes(digest[index : index + _UNIFORM_BYTES])
        for index in range(0, _UNIFORMS * _UNIFORM_BYTES, _UNIFORM_BYTES)
    )
    return Decimal(total) / _UNIFORM_VALUES - _UNIFORMS // 2


def _to_ms(at: int) -> int:
    seconds_end = 10**11  # a time below is in seconds: in milliseconds it would be March 1973
    return at * 1000 if at < seconds_end else at
