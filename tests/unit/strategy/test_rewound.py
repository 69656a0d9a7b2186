"""A clock that was ahead leaves no time behind that has not come yet."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

from backfuturectl.strategy.averaging.rewound import REWIND_MS, rewound
from backfuturectl.strategy.averaging.state import Deal, Gauge, LegOrder, Reduction, State
from tests.unit.strategy.venue import Venue, setup

D = Decimal
NOW_MS, AHEAD_MS = 1_760_000_000_000, 3_600_000
OF_CANDLES = {"used_reading_ms"}
"""The exchange's clock made these."""


def late(record: Any) -> Any:
    """Return *record* with every time in it a second older than the clock that was ahead."""
    times = {
        field.name: NOW_MS + AHEAD_MS - 1_000
        for field in dataclasses.fields(record)
        if field.name.endswith("_ms") and field.name != "at_ms"
    }
    return dataclasses.replace(record, **times)


def times(record: Any) -> dict[str, int]:
    return {
        field.name: getattr(record, field.name)
        for field in dataclasses.fields(record)
        if field.name.endswith("_ms") and field.name != "at_ms"
    }


def state_ahead() -> State:
    venue = Venue.start(setup())
    venue.run(100)
    state = venue.state
    assert state.deal is not None
    deal: Deal = dataclasses.replace(
        late(state.deal),
        orders=tuple(late(order) for order in state.deal.orders),
        reduction=late(Reduction(D(1), D(1), D(1), 0)),
    )
    return dataclasses.replace(
        late(state),
        at_ms=NOW_MS + AHEAD_MS,
        deal=deal,
        gauge=late(Gauge(D(1), 0)),
        escalations=(NOW_MS + AHEAD_MS - 1_000,),
        reductions=((NOW_MS + AHEAD_MS - 1_000, D(1)),),
    )


def test_every_time_that_has_not_come_is_moved_back_and_lasts_as_long() -> None:
    state = rewound(state_ahead(), NOW_MS)
    deal, gauge = state.deal, state.gauge
    assert deal is not None
    assert gauge is not None
    records: list[State | Deal | Gauge | Reduction | LegOrder | None]
    records = [state, deal, gauge, deal.reduction, *deal.orders]
    for record in records:
        told = times(record)
        assert told
        for name, time_ms in told.items():
            assert name in OF_CANDLES or time_ms == NOW_MS - 1_000, (record, name)
    assert state.at_ms == NOW_MS
    assert (*state.escalations, *(at_ms for at_ms, _ in state.reductions)) == (NOW_MS - 1_000,) * 2


def test_what_had_come_stays_where_it_was() -> None:
    state = dataclasses.replace(state_ahead(), stop_since_ms=NOW_MS - 5_000)
    assert rewound(state, NOW_MS).stop_since_ms == NOW_MS - 5_000


def test_a_late_report_moves_nothing() -> None:
    state = state_ahead()
    assert rewound(state, state.at_ms - REWIND_MS) is state
