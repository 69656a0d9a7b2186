"""How deals share what the document limits: marginLimit and caps.maxOpenOrders."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import LegKind, OrderStatus
from backfuturectl.strategy.averaging.state import Setup
from backfuturectl.strategy.base import SetupChanged
from tests.unit.strategy.venue import KIND, Venue, setup

D = Decimal
SPOT, FUTURES = MarketKind.SPOT, MarketKind.FUTURES


def told(venue: Venue, edited: Setup, *, deals: int, share: object) -> None:
    """Let the venue's bot take an edit while *deals* are open, and come to rest."""
    venue.tell(SetupChanged(KIND.sharing(edited, deals=deals, share=D(str(share))), venue.now_ms))
    venue.settle()


def rungs(venue: Venue) -> int:
    return len(venue.live(LegKind.RUNG))


def full_ladder(venue: Venue) -> Decimal:
    """Return what the deal has cost once the price has fallen through the whole ladder."""
    for price in (99, 98, 97, 96, 95, 94, 93, 92):
        venue.run(price)
    assert venue.state.deal is not None
    return sum(
        (order.cost_quote for order in venue.state.deal.orders if order.leg.kind.is_adding), D(0)
    )


# The margin limit.


def test_a_deal_keeps_its_share_when_more_deals_are_allowed() -> None:
    venue = Venue.start(setup(baseOrder="auto"))
    venue.run(100)
    told(venue, setup(baseOrder="auto", maxActiveDeals=4), deals=4, share=1_000)
    assert rungs(venue) == 2
    assert full_ladder(venue) > 980


def test_deals_give_way_when_the_limit_has_no_room_for_all_of_them() -> None:
    venue = Venue.start(setup(marginLimit="1000 USDT", maxActiveDeals=2, baseOrder="auto"))
    venue.run(100)
    lowered = setup(marginLimit="600 USDT", maxActiveDeals=1, baseOrder="auto")
    told(venue, lowered, deals=2, share=300)
    assert D(240) < full_ladder(venue) * lowered.rates.per_notional <= 300


def test_deals_that_adopt_share_the_limit_however_few_are_allowed_from_now_on() -> None:
    venue = Venue.start(setup(maxActiveDeals=2, baseOrder="auto"))
    venue.run(100)
    adopted = setup(maxActiveDeals=1, baseOrder="auto", onChange="adopt")
    told(venue, adopted, deals=2, share=500)
    assert venue.state.deal is not None
    assert venue.state.deal.base_quote == setup(maxActiveDeals=2, baseOrder="auto").base_quote
    assert full_ladder(venue) * adopted.rates.per_notional <= 500


@pytest.mark.parametrize(
    "edited",
    [
        {"marginLimit": "900 USDT"},
        {"averaging": {"firstDeviationPct": D(3)}, "onChange": "keep"},
    ],
    ids=["the limit", "the ladder, while it is kept"],
)
def test_on_change_close_closes_for_an_edit_of_the_ladder_alone(edited: dict[str, object]) -> None:
    venue = Venue.start(setup(baseOrder="auto", onChange="close"))
    venue.run(100)
    venue.tell(SetupChanged(setup(**{"baseOrder": "auto", "onChange": "close", **edited}), 9_000))
    venue.tell(
        SetupChanged(setup(**{"baseOrder": "auto", **edited, "onChange": "close"}), venue.now_ms)
    )
    venue.settle()
    assert venue.phase() == "ACTIVE"


def test_a_restart_remembers_what_a_deal_may_use() -> None:
    venue = Venue.start(setup(baseOrder="auto"))
    assert KIND.share_of(KIND.dump(venue.state)) is None
    venue.run(100)
    told(venue, setup(baseOrder="auto", maxActiveDeals=4), deals=4, share=1_000)
    text = KIND.dump(venue.state)
    assert KIND.share_of(text) == 1_000
    venue.state = KIND.load(text, setup(baseOrder="auto", maxActiveDeals=4))
    assert full_ladder(venue) > 980


def test_a_record_from_before_shares_were_kept_has_the_documents() -> None:
    venue = Venue.start(setup())
    venue.run(100)
    text = KIND.dump(venue.state).replace('"share":"1000","deals":1,', "")
    assert '"share"' not in text
    assert KIND.share_of(text) is None
    venue.state = KIND.load(text, setup(marginLimit="250 USDT", baseOrder="60 USDT"))
    venue.run(100)
    assert full_ladder(venue) <= 250


# The cap on open orders.


class Capped:
    """At no moment more orders rest on the exchange than the cap allows."""

    def __init__(self, most: int) -> None:
        self.most, self.seen = most, 0

    def __call__(self, venue: Venue) -> None:
        resting = [o for o in venue.orders.values() if o.status is OrderStatus.OPEN]
        self.seen = max(self.seen, len(resting))
        assert len(resting) <= self.most


CAPPED = {"caps": {"maxOpenOrders": 5}, "averaging": {"maxPlaced": 2}}


def test_a_stop_that_is_replaced_stays_within_the_cap() -> None:
    venue = Venue.start(setup(FUTURES, **CAPPED))
    venue.checks = [check := Capped(5)]
    venue.run(100)
    moved = setup(FUTURES, stopLoss={"percent": D(11)}, **CAPPED)
    venue.tell(SetupChanged(moved, venue.now_ms))
    venue.settle()
    for price in ("97.9", "95.9", "94", "93"):
        venue.run(price)
    assert check.seen == 5


def test_deals_beyond_an_edited_max_share_the_cap() -> None:
    capped = {"caps": {"maxOpenOrders": 8}, "averaging": {"maxPlaced": 2}, "baseOrder": "20 USDT"}
    venue = Venue.start(setup(maxActiveDeals=2, **capped))
    venue.run(100)
    assert rungs(venue) == 2
    told(venue, setup(maxActiveDeals=1, **capped), deals=3, share=100)
    assert rungs(venue) == 0
    assert "RungsCapped" in venue.notes()
    assert venue.live(LegKind.TAKE_PROFIT), "exits come first"
    told(venue, setup(maxActiveDeals=1, **capped), deals=1, share=100)
    assert rungs(venue) == 2


@pytest.mark.parametrize(("kind", "resting"), [(SPOT, 2), (FUTURES, 1)])
def test_a_place_is_kept_free_for_a_stops_successor(kind: MarketKind, resting: int) -> None:
    capped = {"caps": {"maxOpenOrders": 9}, "averaging": {"maxPlaced": 2}, "baseOrder": "20 USDT"}
    venue = Venue.start(setup(kind, **capped))
    venue.run(100)
    told(venue, setup(kind, **capped), deals=2, share=500)
    assert rungs(venue) == resting


@pytest.mark.parametrize("kind", [SPOT, FUTURES])
def test_an_edit_to_fewer_rungs_places_none_before_there_are_fewer(kind: MarketKind) -> None:
    venue = Venue.start(setup(kind))
    venue.run(100)
    fewer = setup(kind, averaging={"maxPlaced": 1, "firstDeviationPct": D("1.5")}, onChange="adopt")
    venue.tell(SetupChanged(fewer, venue.now_ms))
    first = venue.live(LegKind.RUNG)[0].order.client_order_id
    venue.cancel(first)
    venue.report(first)
    assert [place.leg.index for place in venue.sent if place.leg.kind is LegKind.RUNG] == [1, 2]
    venue.settle()
    assert rungs(venue) == 1
