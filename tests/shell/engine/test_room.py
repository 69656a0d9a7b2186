"""maxActiveDeals and the margin limit, over the bots of one strategy."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from backfuturectl.engine.room import DealRoom

BOTS = ("a", "b", "c", "d")


def test_as_many_deals_fit_as_the_document_says():
    room = DealRoom(2, Decimal(600))
    assert room.has_room("a")
    room.note("a", has_deal=True)
    room.note("b", has_deal=True)
    assert not room.has_room("c")
    assert room.has_room("a"), "who holds one keeps it"
    room.note("a", has_deal=False)
    assert room.has_room("c")


def test_a_deal_of_the_whole_limit_leaves_no_room_for_smaller_ones():
    room = DealRoom(1, Decimal(600))
    room.note("a", has_deal=True)
    room.deals_max = 3  # an edit from one deal to three
    assert not room.has_room("b")
    room.note("a", has_deal=False)
    assert room.has_room("b")


def test_a_deal_keeps_the_share_it_was_planned_for_until_it_is_planned_anew():
    room = DealRoom(3, Decimal(600))
    room.note("a", has_deal=True)
    room.deals_max = 1
    room.note("a", has_deal=True)
    assert not room.has_room("b")
    room.deals_max = 2
    assert room.has_room("b"), "200 of the first and 300 of the next fit 600"
    room.note("a", has_deal=True, share=Decimal(400))
    assert not room.has_room("b")


def test_all_deals_give_way_in_proportion_while_a_lower_limit_has_no_room_for_them():
    room = DealRoom(2, Decimal(600))
    room.note("a", has_deal=True, share=Decimal(400))
    room.note("b", has_deal=True, share=Decimal(200))
    assert (room.allowance("a"), room.allowance("b")) == (400, 200)
    room.limit, room.deals_max = Decimal(300), 1
    assert (room.allowance("a"), room.allowance("b"), room.deals) == (200, 100, 2)
    room.limit = Decimal(600)
    assert (room.allowance("a"), room.allowance("b")) == (400, 200)


def test_a_higher_limit_makes_larger_deals_not_more_of_them():
    room = DealRoom(2, Decimal(600))
    room.note("a", has_deal=True)
    room.note("b", has_deal=True)
    room.limit = Decimal(1200)
    assert not room.has_room("c")


def test_a_bot_that_may_hold_a_deal_has_its_place_kept_and_takes_nothing_from_known_deals():
    room = DealRoom(3, Decimal(600))
    room.note("a", has_deal=True)
    room.doubt("b")
    room.doubt("c")
    assert not room.has_room("d")
    room.deals_max = 4
    assert not room.has_room("d"), "200, and 150 for each of two, leave no 150"
    room.limit = Decimal(200)
    assert (room.allowance("a"), room.deals) == (200, 4)
    room.note("b", has_deal=False)
    room.note("c", has_deal=True)
    room.limit = Decimal(600)
    assert room.has_room("d")


def test_a_first_deal_waits_while_the_pairs_second_bot_may_hold_one():
    room = DealRoom(2, Decimal(600))
    room.pair_up("second", "first", lambda: False)
    room.doubt("second")
    assert not room.has_room("first")
    room.note("second", has_deal=False)
    assert room.has_room("first")


@given(st.lists(st.tuples(st.sampled_from(BOTS), st.integers(1, 4), st.integers(100, 900))))
def test_shares_booked_by_asking_first_never_exceed_the_largest_limit(steps):
    room = DealRoom(1, Decimal(100))
    largest = room.limit
    booked: dict[str, Decimal] = {}
    for bot, deals_max, limit in steps:
        room.deals_max, room.limit = deals_max, Decimal(limit)
        largest = max(largest, room.limit)
        if room.has_room(bot) and bot not in booked:
            room.note(bot, has_deal=True)
            booked[bot] = room.share
        assert sum(booked.values()) <= largest


@example(
    [
        ("first", "open"),
        ("first", "apart"),
        ("second", "open"),
        ("first", "close"),
        ("first", "open"),
    ],
    3,
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["first", "second", "other"]),
            st.sampled_from(["open", "close", "apart", "together"]),
        ),
        max_size=30,
    ),
    st.integers(1, 3),
)
def test_a_second_deal_begins_only_beside_one_that_is_set_apart(history, deals_max):
    room = DealRoom(deals_max, Decimal(600))
    held, apart = set(), set()
    room.pair_up("second", "first", lambda: "first" in apart)
    for bot, verb in history:
        match verb:
            case "open" if room.has_room(bot):
                if bot not in held:
                    assert len(held) < deals_max
                    assert bot != "second" or "first" in apart
                    assert bot != "first" or "second" not in held
                held.add(bot)
                room.note(bot, has_deal=True)
            case "close":
                held.discard(bot)
                room.note(bot, has_deal=False)
                apart -= {"first"} - held
            case "apart" if "first" in held:
                apart.add("first")
            case "together":
                apart.discard("first")
