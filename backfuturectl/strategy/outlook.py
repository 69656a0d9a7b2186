"""What an open deal waits for, as people are shown it: its ladder and its exits."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal


class RungState(enum.StrEnum):
    """How far a rung is. PLANNED: its order is still to come."""

    FILLED = "filled"
    RESTING = "resting"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class RungOutlook:
    """One rung of an open deal.

    Attributes:
        number: From 1; beyond the ladder for an extra order of Recovery Mode.
        price: Of what filled the average; of an order its own; else where it is planned.
        amount_base: Filled, or still to be filled.
        average: The deal's average once this one and the nearer ones are filled; None where it is.
    """

    number: int
    state: RungState
    price: Decimal
    amount_base: Decimal
    average: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ExitOutlook:
    """One way out of an open deal.

    Attributes:
        name: Of the order's leg, as ``takeProfit/1``, or of what is watched.
        amount_base: What leaves there.
        how: Who acts, and on what.
    """

    name: str
    price: Decimal
    amount_base: Decimal
    how: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an open deal waits for.

    Attributes:
        price: The last one seen; None before the first.
        adding: Why the next rung's order may be late, one sentence; empty when it may not.
    """

    price: Decimal | None
    adding: str
    rungs: tuple[RungOutlook, ...]
    exits: tuple[ExitOutlook, ...]
