"""What a case returns: samples of one quantity, and the bar that one of their statistics meets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Bar:
    """A promise of the design.

    Attributes:
        limit: In the figure's unit.
        of: The statistic that is held to it: median, p99 or max.
        is_floor: Whether the statistic must be above the limit; below it otherwise.
    """

    limit: float
    of: str = "median"
    is_floor: bool = False

    def __str__(self) -> str:
        return f"{self.of} {'>' if self.is_floor else '<'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """Samples of one quantity.

    Attributes:
        bar: None for a peer, a floor or a figure that nothing is promised of.
    """

    name: str
    unit: str
    samples: Sequence[float]
    bar: Bar | None = None

    @property
    def summary(self) -> dict[str, float]:
        """Minimum, median, 99th percentile (of the samples, not interpolated), maximum."""
        ordered = sorted(self.samples)
        return {
            "min": ordered[0],
            "median": statistics.median(ordered),
            "p99": ordered[max(0, -(-len(ordered) * 99 // 100) - 1)],
            "max": ordered[-1],
        }

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; None without one."""
        if self.bar is None:
            return None
        value = self.summary[self.bar.of]
        return value > self.bar.limit if self.bar.is_floor else value < self.bar.limit

    def row(self) -> dict[str, Any]:
        """Return the figure for JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "n": len(self.samples),
            **self.summary,
            "bar": None if self.bar is None else str(self.bar),
            "isMet": self.is_met,
        }
