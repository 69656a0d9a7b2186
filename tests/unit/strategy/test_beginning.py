"""When a deal may begin: price triggers, the schedule, the day's losses."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.candles import Interval, Rsi
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import LegKind
from backfuturectl.strategy.averaging.state import Setup
from backfuturectl.strategy.base import Command, IndicatorSeen, SetupChanged
from backfuturectl.strategy.schedule import parse_windows
from tests.unit.strategy.venue import KIND, Venue, setup

D = Decimal
MONDAY_MS = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1_000)
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def bases(venue: Venue) -> int:
    return sum(place.leg.kind is LegKind.BASE for place in venue.sent)


# Price.


@pytest.mark.parametrize(
    ("trigger", "path", "begun"),
    [
        ("priceBelow", [101, "100.01", 100], [0, 0, 1]),
        ("priceBelow", [99], [1]),
        ("priceAbove", [99, "99.99", 100], [0, 0, 1]),
        ("priceAbove", [101], [1]),
    ],
)
def test_a_deal_waits_for_its_price(trigger: str, path: list[object], begun: list[int]) -> None:
    venue = Venue.start(setup(entry={"trigger": trigger, "price": D(100)}))
    for price, count in zip(path, begun, strict=True):
        venue.tick(price)
        assert bases(venue) == count


def test_the_price_must_still_be_there_when_there_is_room() -> None:
    venue = Venue.start(setup(entry={"trigger": "priceBelow", "price": D(100)}))
    venue.tick(99, may_open=False)
    venue.tick(101)
    assert not bases(venue)
    venue.tick(99)
    assert bases(venue) == 1


# The spread.


def capped(**changes: object) -> Venue:
    return Venue.start(setup(caps={"maxSpreadPct": D("0.5")}, **changes))


@pytest.mark.parametrize(
    ("bid", "ask", "begun"),
    [
        ("99.75", "100.25", 1),  # half a percent of their middle
        ("99.75", "100.26", 0),
        ("100", "100", 1),
        (None, "100", 0),
        ("100", None, 0),
        (None, None, 0),
        ("100.01", "100", 0),  # crossed: nothing to rely on
        ("0", "0.0001", 0),
    ],
)
def test_a_deal_begins_only_while_the_spread_is_known_and_small(
    bid: str | None, ask: str | None, begun: int
) -> None:
    venue = capped()
    venue.tick(100, bid=bid, ask=ask)
    assert bases(venue) == begun


def test_a_wide_spread_is_told_once_and_the_deal_begins_when_it_is_over() -> None:
    venue = capped()
    for _ in range(5):
        venue.tick(100, bid=98, ask=102)
    venue.state = KIND.load(KIND.dump(venue.state), venue.state.setup)
    venue.tick(100, bid=98, ask=102)
    assert venue.notes() == ["SpreadTooWide"]
    venue.tick(100)
    venue.tick(100)
    assert venue.notes() == ["SpreadTooWide", "SpreadUnknown"]
    venue.tick(100, bid="99.9", ask="100.1")
    assert bases(venue) == 1
    assert not venue.state.noted


def test_without_the_cap_no_spread_is_asked_for() -> None:
    venue = Venue.start(setup())
    venue.tick(100, bid=90, ask=110)
    assert bases(venue) == 1


def test_a_wide_spread_keeps_neither_rungs_nor_exits_back() -> None:
    venue = capped(stopLoss={"percent": D(10)})
    venue.tick(100, bid=100, ask=100)
    venue.settle()
    venue.match()
    venue.settle()
    venue.run("98.2", "96.2", "89")  # an exchange that tells no bid and ask any more
    assert len([place for place in venue.sent if place.leg.kind is LegKind.RUNG]) == 3
    assert venue.is_flat()


def test_a_state_from_before_the_cap_existed_is_read() -> None:
    venue = Venue.start(setup())
    venue.run(100)
    older = json.loads(KIND.dump(venue.state))
    del older["noted"]
    assert KIND.load(json.dumps(older), venue.state.setup) == venue.state


# An indicator.


HOURLY = Rsi(14, Interval.HOUR)


def rsi_setup(direction: str = "long", **changes: object) -> Setup:
    kind = MarketKind.SPOT if direction == "long" else MarketKind.FUTURES
    entry = {"trigger": "rsi"} | ({"rsi": changes} if changes else {})
    return setup(kind, direction=direction, entry=entry)


def read(venue: Venue, value: object, *, of: Rsi = HOURLY, ago_ms: int = 5_000) -> None:
    """Tell a reading of a candle that closed *ago_ms* before."""
    venue.now_ms = max(venue.now_ms, HOUR_MS)
    venue.tell(IndicatorSeen(of, D(str(value)), venue.now_ms - ago_ms, venue.now_ms))


@pytest.mark.parametrize(
    ("direction", "changes", "value", "begun"),
    [
        ("long", {}, "30", 1),
        ("long", {}, "30.0001", 0),
        ("short", {}, "70", 1),
        ("short", {}, "69.9999", 0),
        ("short", {}, "10", 0),
        ("long", {"below": D(45)}, "44", 1),
        ("long", {"below": D(45)}, "46", 0),
        ("long", {"above": D(55)}, "56", 1),  # with the trend
        ("long", {"above": D(55)}, "20", 0),
        ("short", {"below": D(40)}, "39", 1),
    ],
)
def test_a_deal_waits_for_its_reading(
    direction: str, changes: dict[str, object], value: str, begun: int
) -> None:
    venue = Venue.start(rsi_setup(direction, **changes))
    venue.tick(100)
    assert not bases(venue)
    read(venue, value)
    assert not bases(venue), "only a price begins a deal"
    venue.tick(100)
    assert bases(venue) == begun


def test_one_candle_lets_one_deal_begin() -> None:
    venue = Venue.start(rsi_setup())
    read(venue, 25)
    venue.run(100, 102, after_ms=10_000)
    assert len(venue.closed()) == 1
    venue.run(*[100] * 20, after_ms=60_000)
    assert bases(venue) == 1
    venue.state = KIND.load(KIND.dump(venue.state), venue.state.setup)
    read(venue, 25)
    venue.run(100)
    assert bases(venue) == 2


@pytest.mark.parametrize(("age_ms", "begun"), [(2 * HOUR_MS - 2_000, 1), (2 * HOUR_MS, 0)])
def test_a_reading_two_candles_old_opens_nothing_and_that_is_told_once(
    age_ms: int, begun: int
) -> None:
    venue = Venue.start(rsi_setup())
    read(venue, 25, ago_ms=0)
    venue.tick(100, after_ms=age_ms - 1_000, may_open=False)
    for _ in range(3):
        venue.tick(100)
    assert bases(venue) == begun
    assert venue.notes().count("IndicatorTooOld") == 1 - begun


def test_a_bot_that_waits_is_told_when_its_readings_stop() -> None:
    venue = Venue.start(rsi_setup())
    read(venue, 50, ago_ms=0)
    for _ in range(25):
        venue.tick(100, after_ms=300_000)
    assert venue.notes() == ["IndicatorTooOld"]


def test_readings_of_another_indicator_or_of_an_older_candle_count_for_nothing() -> None:
    venue = Venue.start(rsi_setup())
    read(venue, 25, of=Rsi(7, Interval.HOUR))
    venue.tick(100)
    read(venue, 50)
    read(venue, 25, ago_ms=HOUR_MS)
    venue.tick(100)
    assert not bases(venue)
    venue.tell(SetupChanged(rsi_setup(period=7), venue.now_ms))
    venue.tick(100)
    assert not bases(venue)
    read(venue, 25, of=Rsi(7, Interval.HOUR))
    venue.tick(100)
    assert bases(venue) == 1


def test_a_quiet_bot_that_waits_for_a_reading_looks_at_no_price() -> None:
    venue = Venue.start(rsi_setup())
    venue.tick(100)
    before = venue.state.quiet
    venue.tick(50)
    assert venue.state.quiet is before


def test_a_state_from_before_indicators_existed_is_read() -> None:
    venue = Venue.start(setup())
    venue.run(100)
    older = json.loads(KIND.dump(venue.state))
    del older["reading"], older["usedReadingMs"]
    assert KIND.load(json.dumps(older), venue.state.setup) == venue.state


# Schedule.


def at(day: int, hour: int, minute: int = 0) -> int:
    return MONDAY_MS + day * DAY_MS + hour * HOUR_MS + minute * 60_000


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("Mon-Fri 00:00-24:00", [at(0, 0), at(4, 23, 59)], [at(5, 0), at(6, 23)]),
        ("Sat-Mon 08:00-20:00", [at(5, 8), at(6, 9), at(0, 19, 59)], [at(0, 20), at(1, 9)]),
        ("Fri 22:00-06:00", [at(4, 22), at(5, 5, 59)], [at(4, 5), at(5, 6), at(5, 22)]),
    ],
)
def test_windows_say_when(text: str, inside: list[int], outside: list[int]) -> None:
    windows = parse_windows([text], "UTC")
    assert all(windows.current(at_ms) is not None for at_ms in inside)
    assert all(windows.current(at_ms) is None for at_ms in outside)


def test_windows_follow_the_clocks_of_their_zone() -> None:
    windows = parse_windows(["Mon-Sun 09:00-10:00"], "Europe/Berlin")
    winter = int(datetime(2026, 1, 15, 8, 30, tzinfo=UTC).timestamp() * 1_000)
    summer = int(datetime(2026, 7, 15, 7, 30, tzinfo=UTC).timestamp() * 1_000)
    assert windows.current(winter) is not None
    assert windows.current(summer) is not None
    assert windows.current(summer + HOUR_MS) is None


BERLIN_BACK_MS = int(datetime(2026, 10, 25, tzinfo=UTC).timestamp() * 1_000)
BERLIN_FORTH_MS = int(datetime(2026, 3, 29, tzinfo=UTC).timestamp() * 1_000)


def open_minutes(text: str, day_ms: int) -> list[int]:
    """The minutes UTC of a day and the next, counted from its beginning, in a window of Berlin."""
    windows = parse_windows([text], "Europe/Berlin")
    return [
        minute
        for minute in range(2 * 1_440)
        if windows.current(day_ms + minute * 60_000) is not None
    ]


@pytest.mark.parametrize(
    ("text", "day_ms", "first", "last"),
    [
        # The clocks go back at 01:00 UTC: 02:00 to 03:00 comes twice, as one window of two hours.
        ("Sun 02:00-03:00", BERLIN_BACK_MS, 0, 119),
        ("Sun 01:30-03:30", BERLIN_BACK_MS - HOUR_MS, 30, 209),
        # They go forth at 01:00 UTC: 02:00 to 03:00 does not come.
        ("Sun 01:30-03:30", BERLIN_FORTH_MS, 30, 89),
        ("Sat 22:00-06:00", BERLIN_FORTH_MS, 0, 239),
    ],
)
def test_a_window_is_longer_or_shorter_where_the_clocks_change(
    text: str, day_ms: int, first: int, last: int
) -> None:
    assert open_minutes(text, day_ms) == list(range(first, last + 1))


def test_a_window_that_falls_into_the_missing_hour_does_not_come() -> None:
    assert open_minutes("Sun 02:15-02:45", BERLIN_FORTH_MS) == []


def test_an_hour_that_comes_twice_begins_one_deal_by_schedule() -> None:
    schedule = {"timezone": "Europe/Berlin", "newDeals": ("Sun 02:00-03:00",)}
    document = {"schedule": schedule, "cooldown": {"afterTakeProfit": "60s"}}
    venue = Venue.start(
        setup(entry={"trigger": "schedule"}, **document), now_ms=BERLIN_BACK_MS - HOUR_MS
    )
    for _ in range(4 * 12):
        venue.run(100, 102, after_ms=150_000)
    assert bases(venue) == 1


@given(st.integers(0, 4_000_000_000_000))
def test_one_number_stands_for_one_occurrence_of_a_window(at_ms: int) -> None:
    windows = parse_windows(["Mon-Sun 18:00-06:00"], "UTC")
    number = windows.current(at_ms)
    assert (number is None) is (6 <= at_ms // HOUR_MS % 24 < 18)
    if number is not None:
        assert windows.current(at_ms + 12 * HOUR_MS) is None
        assert windows.current(at_ms + DAY_MS) == number + 24 * 60


def test_no_deal_begins_outside_the_schedule_and_exits_do_not_mind_it() -> None:
    made = setup(
        schedule={"newDeals": ("Mon-Fri 08:00-09:00",)}, cooldown={"afterTakeProfit": "60s"}
    )
    venue = Venue.start(made, now_ms=at(0, 7, 58))
    venue.run(100, 100, after_ms=50_000)
    assert not bases(venue)
    venue.run(100, after_ms=20_000)  # 08:00
    assert venue.phase() == "ACTIVE"
    venue.run(*[100] * 40, after_ms=120_000)
    venue.run("101.4")  # after 09:00
    assert venue.phase() == "COOLDOWN"
    venue.run(*[100] * 60, after_ms=60_000)
    assert bases(venue) == 1
    venue.run(100, after_ms=22 * HOUR_MS)
    assert bases(venue) == 2


def test_the_trigger_schedule_begins_one_deal_per_window() -> None:
    made = setup(
        entry={"trigger": "schedule"},
        schedule={"newDeals": ("Mon-Sun 08:00-12:00",)},
        cooldown={"afterTakeProfit": "60s"},
    )
    venue = Venue.start(made, now_ms=at(0, 8))
    venue.run(100, "101.4", after_ms=60_000)
    assert venue.closed()
    venue.state = KIND.load(KIND.dump(venue.state), made)
    venue.run(*[100] * 30, after_ms=120_000)
    assert bases(venue) == 1
    venue.run(100, after_ms=DAY_MS - HOUR_MS)
    assert bases(venue) == 2


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(PermanentError, match="Mars/Olympus"):
        setup(schedule={"timezone": "Mars/Olympus"})


# Losses.


def stopped(caps: dict[str, object]) -> Venue:
    venue = Venue.start(
        setup(caps=caps, cooldown={"afterStopLoss": "60s"}), now_ms=MONDAY_MS + 8 * HOUR_MS
    )
    venue.run(100, 90)
    assert venue.closed()[0].result_quote < -10
    return venue


def test_a_day_with_too_much_lost_begins_no_deal_until_midnight() -> None:
    venue = stopped({"maxDailyRealisedLossPct": D(1)})
    assert "DailyLossReached" in venue.notes()
    venue.state = KIND.load(KIND.dump(venue.state), venue.state.setup)
    venue.run(*[90] * 15, after_ms=HOUR_MS)
    assert bases(venue) == 1
    venue.run(90, after_ms=HOUR_MS)
    assert bases(venue) == 2


def test_a_loss_below_the_cap_stops_nothing_and_an_edit_of_the_cap_counts_at_once() -> None:
    venue = stopped({"maxDailyRealisedLossPct": D(5)})
    assert "DailyLossReached" not in venue.notes()
    strict = setup(caps={"maxDailyRealisedLossPct": D(1)}, cooldown={"afterStopLoss": "60s"})
    venue.tell(SetupChanged(strict, venue.now_ms))
    venue.run(90, after_ms=HOUR_MS)
    assert bases(venue) == 1
    venue.tell(SetupChanged(setup(), venue.now_ms))
    venue.run(90, after_ms=60_000)
    assert bases(venue) == 2


@pytest.mark.parametrize(
    ("after_ms", "is_reached"), [(HOUR_MS, True), (17 * HOUR_MS, False)], ids=["day", "day after"]
)
def test_a_fee_that_comes_late_counts_to_the_day_on_which_its_deal_ended(
    after_ms: int, is_reached: bool
) -> None:
    cap = D(12) / 10  # the stop loses a little less of the 1,000 USDT
    venue = stopped({"maxDailyRealisedLossPct": cap})
    assert "DailyLossReached" not in venue.notes()
    before = venue.state.day_loss
    venue.tick(90, after_ms=after_ms, may_open=False)
    name = venue.last(LegKind.STOP_LOSS).order.client_order_id
    told = venue.view(name)
    for more in (5, 5, 6):
        dearer = tuple(replace(fee, amount=fee.amount + more) for fee in told.fees)
        venue.tell(replace(told, fees=dearer))
    assert venue.state.day_loss == before + 6
    assert venue.notes().count("DailyLossReached") == is_reached
    venue.run(90, after_ms=60_000)
    assert bases(venue) == (1 if is_reached else 2)


def test_a_late_fee_of_an_abandoned_deal_adds_nothing_to_the_losses_of_another_day() -> None:
    venue = stopped({})
    venue.run(90, after_ms=20 * HOUR_MS)
    assert venue.state.deals == 2
    venue.command(Command.ABANDON)
    venue.settle()
    before = venue.state.day_loss
    told = venue.view(venue.last(LegKind.BASE).order.client_order_id)
    dearer = tuple(replace(fee, amount=fee.amount + 5) for fee in told.fees)
    venue.tell(replace(told, fees=dearer))
    assert venue.state.day_loss == before


def test_a_price_below_the_tick_begins_no_deal_and_breaks_nothing() -> None:
    venue = Venue.start(setup())
    venue.tick("0.001")
    assert not venue.sent
    assert venue.message("EntryRefused").startswith("no deal begins: V-RANGE: the price of 0.001")
    venue.run("100", after_ms=30_000)
    assert venue.phase() == "ACTIVE"
