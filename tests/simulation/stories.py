"""The stories that `sieve` tells: who trades, what the prices are, and what people do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from backfuturectl.matching.values import FeeMode, symbol_of
from backfuturectl.matching.venue import Venue
from tests.simulation.exchange import FEE_COIN, FUTURES, SPOT, new_venue
from tests.simulation.world import Plan

BTC, ETH = symbol_of(SPOT, "BTC/USDT"), symbol_of(SPOT, "ETH/USDT")
KCS = symbol_of(SPOT, f"{FEE_COIN}/USDT")
SWING, GUARD = symbol_of(FUTURES, "BTC/USDT"), symbol_of(FUTURES, "ETH/USDT")
RECOVERY = (
    "{enabled: true, trigger: {drawdownPct: 4, confirmFor: 20s, emaSpan: 10s}, "
    "actions: {takeProfitPct: 0.4, strict: {minInterval: 60s}}, "
    "exit: {drawdownPct: 2, confirmFor: 60s}, escalate: {drawdownPct: 10, cooldown: 1d}}"
)
EXACT = "{trigger: immediate, timeout: 1d, maxSlippagePct: 0}"
"""On paper, what rests through a restart fills at its own price, never at a better one."""

REST = "{afterTakeProfit: 1d, afterStopLoss: 1d}"

REDUCING = (
    "{enabled: true, trigger: {drawdownPct: 4, confirmFor: 20s, emaSpan: 10s}, "
    "actions: {takeProfitPct: 0.4, strict: {minInterval: 1d}, "
    "reduce: {enabled: true, closePct: 20, reboundPct: 1, minInterval: 1d, lossBudgetPct: 5}}, "
    "exit: {drawdownPct: 2, confirmFor: 1h}, escalate: {drawdownPct: 8, cooldown: 1d}}"
)


@dataclass(frozen=True)
class Scene:
    """What the prices are for a while, and what people do as it begins.

    Attributes:
        edit: What is done to the files; None for nothing.
        pauses: Strategy that the operator has paused in this scene; empty for none.
    """

    prices: dict[str, str]
    edit: Callable[[dict[str, Plan]], None] | None = None
    pauses: str = ""


@dataclass(frozen=True)
class Story:
    """Strategies, and what happens to them.

    Attributes:
        starts_ms: How long after the usual morning it begins.
        fee: Which coin spot fees are taken in.
    """

    plans: tuple[Plan, ...]
    scenes: tuple[Scene, ...]
    starts_ms: int = 0
    fee: FeeMode = FeeMode.RECEIVED

    def venue(self) -> Venue:
        """Return the exchange that it happens on, of endless depth."""
        return new_venue(self.fee, None)


def _take_profit(plans: dict[str, Plan]) -> None:
    plans["grid"].fields["takeProfit"] = "{percent: 1.5}"


def _pair(plans: dict[str, Plan]) -> None:
    plans["grid"].pairs = ("BTC/USDT",)


def _delete(name: str, plans: dict[str, Plan]) -> None:
    del plans[name]


def _leverage(plans: dict[str, Plan]) -> None:
    plans["guard"].fields["leverage"] = "3"


WELL = Story(
    (
        Plan("grid", "spot", ("BTC/USDT", "ETH/USDT"), {"cooldown": REST}),
        Plan(
            "swing",
            "futures",
            ("BTC/USDT",),
            {"direction": "short", "recovery": RECOVERY, "cooldown": REST},
        ),
    ),
    (
        Scene({BTC: "100", ETH: "100", SWING: "100"}),  # three deals begin
        Scene({BTC: "98.7", ETH: "98.7", SWING: "101.3"}),  # and average
        Scene({BTC: "97.2", ETH: "98.7", SWING: "103"}, edit=_take_profit),
        Scene({BTC: "97.2", ETH: "98.7", SWING: "109.5"}, edit=_pair),  # the short is in trouble
        Scene({BTC: "97.2", ETH: "98.7", SWING: "109.5"}),
        Scene({BTC: "101.5", ETH: "101.5", SWING: "99"}),  # and everything ends well
    ),
)
"""Ladders, Recovery Mode, edits, funding, take profits."""

BADLY = Story(
    (
        Plan("grid", "spot", ("BTC/USDT",), {"mode": "paper", "entry": EXACT, "cooldown": REST}),
        Plan(
            "swing",
            "futures",
            ("BTC/USDT",),
            {"leverage": "3", "marginMode": "cross", "recovery": REDUCING, "cooldown": REST},
        ),
        Plan("guard", "futures", ("ETH/USDT",), {"cooldown": REST, "maxActiveDeals": "1"}),
    ),
    (
        Scene({BTC: "100", SWING: "100", GUARD: "100"}),  # three deals begin
        Scene({BTC: "98.7", SWING: "98.7", GUARD: "98.7"}),  # and average, one on paper
        Scene({BTC: "97.2", SWING: "92", GUARD: "84"}),  # a stop on the exchange goes off
        Scene({BTC: "97.2", SWING: "93.5", GUARD: "84"}, pauses="grid"),  # a rebound: reduce
        Scene(
            {BTC: "97.2", SWING: "87", GUARD: "84"}, edit=partial(_delete, "guard")
        ),  # Recovery Mode gives up
        Scene({BTC: "100.5", SWING: "87", GUARD: "84"}),  # a take profit on paper
    ),
    starts_ms=900_000,
)
"""A stop on the exchange, a reduction, an escalation, a pause, a deletion, a deal on paper."""

PARTING = Story(
    (
        Plan("grid", "spot", ("BTC/USDT",), {"onDelete": "close"}),
        Plan("swing", "futures", ("BTC/USDT",), {"onDelete": "abandon"}),
        Plan("guard", "futures", ("ETH/USDT",), {"onChange": "drain"}),
    ),
    (
        Scene({BTC: "100", SWING: "100", GUARD: "100", KCS: "8"}),  # three deals begin
        Scene({BTC: "98.7", SWING: "98.7", GUARD: "98.7"}),  # and average
        Scene({BTC: "98.7", SWING: "98.7", GUARD: "98.7"}, edit=_leverage),  # it has to wait
        Scene({BTC: "98.7", SWING: "98.7", GUARD: "98.7"}, edit=partial(_delete, "grid")),
        Scene({BTC: "98.7", SWING: "98.7", GUARD: "98.7"}, edit=partial(_delete, "swing")),
        Scene({BTC: "98.7", SWING: "98.7", GUARD: "101.5"}),  # the edit's turn, and a new deal
    ),
    fee=FeeMode.COIN,
)
"""A deal closed by the files and one left to its owner, an edit that waits for the end of a deal,
fees in a third coin."""
