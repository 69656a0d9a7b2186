"""Client order ids: what they are made of, pinned, since stores and exchanges remember them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.ids import (
    OrderName,
    bot_code,
    bot_id,
    client_order_id,
    deal_id,
    installation_code,
    parse_client_order_id,
)
from backfuturectl.model.orders import Leg, LegKind

codes = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=6, max_size=6)
names = st.builds(
    OrderName,
    installation=codes.map(lambda text: text[:4]),
    bot=codes,
    deal=st.integers(0, 36**5 - 1),
    leg=st.builds(Leg, st.sampled_from(LegKind), st.integers(0, 36**2 - 1)),
    attempt=st.integers(0, 36**3 - 1),
)


def test_an_id_is_the_same_in_every_process_and_version() -> None:
    bot = bot_id("eth-btc-balanced", "BTC/USDT")
    assert bot == "eth-btc-balanced/BTC-USDT"
    assert deal_id(bot, 3) == "eth-btc-balanced/BTC-USDT#3"
    installation = installation_code(b"a seed of eight")
    name = OrderName(installation, bot_code(bot), 3, Leg(LegKind.RUNG, 2), 1)
    assert client_order_id(name) == "bfkb23bbhhsa00003r02001"


@given(names)
def test_the_parts_of_an_id_can_be_read_back(name: OrderName) -> None:
    text = client_order_id(name)
    assert len(text) == 23
    assert parse_client_order_id(text) == name


@given(names, names)
def test_different_orders_have_different_ids(one: OrderName, two: OrderName) -> None:
    assert (client_order_id(one) == client_order_id(two)) == (one == two)


@pytest.mark.parametrize(
    "name",
    [
        OrderName("aaaa", "bbbbbb", 36**5, Leg(LegKind.BASE), 0),
        OrderName("aaaa", "bbbbbb", 1, Leg(LegKind.RUNG, 36**2), 0),
        OrderName("aaaa", "bbbbbb", 1, Leg(LegKind.BASE), 36**3),
    ],
    ids=["deal", "leg", "attempt"],
)
def test_a_number_that_does_not_fit_makes_no_id(name: OrderName) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        client_order_id(name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web-4711",
        "BFAAAABBBBBB00001B00000",
        "bfaaaabbbbbb00001x00000",
        "bfaaaabbbbbb00001b0000",
    ],
)
def test_what_others_named_is_no_name_of_ours(text: str) -> None:
    assert parse_client_order_id(text) is None
