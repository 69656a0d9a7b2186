"""What people are shown of an open deal: what comes next, where, and how far away it is."""

from __future__ import annotations

from decimal import Decimal

from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import LegKind
from backfuturectl.strategy.base import Command, Gate
from backfuturectl.strategy.outlook import Outlook, RungState
from tests.unit.strategy.test_recovery import MINUTE, deep, hold, opened, recovering
from tests.unit.strategy.venue import KIND, Venue, setup

D = Decimal
ENTRY = D("100.3")
"""Where the base order fills: its limit, maxSlippagePct above the price."""


def seen(venue: Venue) -> Outlook:
    found = KIND.outlook(venue.state)
    assert found is not None
    return found


def started(with_setup: object = None) -> Venue:
    venue = Venue.start(with_setup or setup())
    venue.run(100)
    return venue


def test_there_is_nothing_to_tell_without_an_open_deal() -> None:
    venue = Venue.start(setup())
    assert KIND.outlook(venue.state) is None
    venue.tick(100)
    assert KIND.outlook(venue.state) is None, "the base order rests, nothing is held"


def test_the_ladder_says_what_is_filled_what_rests_and_what_is_planned() -> None:
    venue = started()
    venue.run(98)
    rungs = seen(venue).rungs
    assert [(each.number, each.state) for each in rungs] == [
        (1, RungState.FILLED),
        (2, RungState.RESTING),
        (3, RungState.RESTING),
    ]
    assert [each.price for each in rungs] == [D("98.29"), D("96.28"), D("94.28")]
    venue = started()
    assert [each.state for each in seen(venue).rungs] == ["resting", "resting", "planned"]


def test_the_average_is_the_one_once_all_nearer_rungs_are_filled() -> None:
    venue = started()
    told = {each.number: each.average for each in seen(venue).rungs}
    for number, price in ((1, 98), (2, 96), (3, 94)):
        venue.run(price)
        average, expected = KIND.view(venue.state).average, told[number]
        assert average is not None
        assert expected is not None
        assert abs(average - expected) < D("0.01"), "but for the rounding of later amounts"


def test_a_rung_that_filled_in_part_is_told_in_both_parts() -> None:
    venue = started()
    rung = venue.live(LegKind.RUNG)[0].order.client_order_id
    venue.fill(rung, D("0.3"))
    venue.report(rung)
    first = [each for each in seen(venue).rungs if each.number == 1]
    assert [(each.state, each.amount_base) for each in first] == [
        (RungState.FILLED, D("0.3")),
        (RungState.RESTING, venue.orders[rung].left),
    ]


def test_take_profit_and_stop_say_who_acts() -> None:
    exits = {each.name: each for each in seen(started()).exits}
    assert exits["takeProfit"].price == D("101.31")
    assert exits["takeProfit"].how == "rests on the exchange"
    assert exits["stopLoss"].price == ENTRY * D("0.9")
    assert exits["stopLoss"].how == "watched by the daemon"


def test_a_stop_on_the_exchange_is_told_as_that() -> None:
    exits = {each.name: each.how for each in seen(started(setup(MarketKind.FUTURES))).exits}
    assert exits["stopLoss"] == "waits on the exchange; the daemon watches as well"


def test_a_trailing_take_profit_is_told_before_and_after_its_touch() -> None:
    trailing = {"percent": D(1), "trailing": {"deviationPct": D("0.25")}}
    venue = started(setup(takeProfit=trailing))
    before = seen(venue).exits[0]
    assert (before.name, before.price) == ("takeProfit", ENTRY * D("1.01"))
    assert before.how.startswith("watched: followed from the touch on")
    venue.run(102)
    after = seen(venue).exits[0]
    assert after.price == D(102) * (1 - D("0.0025"))
    assert "102" in after.how


def test_every_step_of_the_take_profit_is_told_with_what_it_sells() -> None:
    steps = [{"sharePct": D(60), "profitPct": D(1)}, {"sharePct": D(40), "profitPct": D(2)}]
    exits = seen(started(setup(takeProfit={"percent": None, "steps": steps}))).exits
    held = sum((each.amount_base for each in exits[:2]), D(0))
    assert [each.price for each in exits[:2]] == [D("101.31"), D("102.31")]
    assert held == exits[-1].amount_base, "together all that the stop would sell"


def test_watch_and_recovery_say_what_they_do_to_rungs() -> None:
    venue = opened()
    hold(venue, 95, 5)
    assert venue.phase() == "WATCH"
    assert "being confirmed" in seen(venue).adding
    assert seen(recovering()).adding.startswith(("Recovery Mode adds one rung", "minInterval"))


def test_the_rest_between_rungs_is_counted_down() -> None:
    venue = started(setup(averaging={"minInterval": "5m", "maxPlaced": 1}))
    venue.run(98, after_ms=MINUTE)
    assert seen(venue).adding == "minInterval: the next rung is placed in 5m"


def test_a_bot_held_to_exits_says_that_nothing_is_added() -> None:
    venue = started()
    venue.gate(Gate.EXITS_ONLY)
    assert "held to exits" in seen(venue).adding


def test_a_deal_that_is_closing_waits_for_nothing_else() -> None:
    venue = started(deep())
    venue.command(Command.CLOSE)
    found = seen(venue)
    assert [each.name for each in found.exits] == ["close"]
    assert all(each.state is RungState.FILLED for each in found.rungs)
