"""What only futures have: positions, leverage, margin and position mode."""

from decimal import Decimal

import pytest

from backfuturectl.emulator.faults import FaultKind
from backfuturectl.engine.settings import settings_mismatch
from backfuturectl.matching.values import EntryKind, MarginMode, PositionMode
from backfuturectl.model.errors import PermanentError, TransientError
from backfuturectl.model.orders import FuturesSettings, OrderStatus, OrderType, Side
from backfuturectl.model.status import Reason

from .conftest import NAME, PAIR, Stand, now_ms


def market_order(stand: Stand, name: str, side: Side, **changes: object):
    return stand.order(
        name, side=side, type=OrderType.MARKET, price=Decimal(68_000), leverage=3, **changes
    )


@pytest.mark.parametrize(("side", "sign"), [(Side.BUY, 1), (Side.SELL, -1)])
async def test_a_position_is_signed_and_in_base_units(futures: Stand, side: Side, sign: int):
    await futures.account.place(market_order(futures, "bf1", side))

    position = await futures.account.position(PAIR)

    assert position is not None
    assert position.amount_base == sign * Decimal("0.01")
    (fill,) = await futures.account.fills(PAIR, 0)
    assert position.entry_price == fill.price
    assert position.leverage == 3
    assert position.margin_mode == "isolated"
    assert position.liquidation_price is not None


async def test_a_reduce_only_order_closes_and_never_turns_a_position(futures: Stand):
    await futures.account.place(market_order(futures, "bf1", Side.BUY))
    await futures.account.place(
        market_order(futures, "bf2", Side.SELL, is_reduce_only=True, amount_base=Decimal("0.03"))
    )

    assert await futures.account.position(PAIR) is None
    seen = await futures.account.order(PAIR, "bf2")
    assert seen is not None
    assert seen.is_reduce_only
    assert seen.filled_base == Decimal("0.01")
    assert seen.status in {OrderStatus.FILLED, OrderStatus.CANCELED}


@pytest.mark.parametrize("margin_mode", ["isolated", "cross"])
async def test_preparing_sets_modes_and_leverage_and_the_next_order_uses_them(
    futures: Stand, margin_mode: str
):
    futures.venue.set_position_mode(NAME, PositionMode.HEDGE)

    await futures.account.prepare(PAIR, leverage=5, margin_mode=margin_mode)
    await futures.account.place(
        futures.order(
            type=OrderType.MARKET, price=Decimal(68_000), leverage=5, margin_mode=margin_mode
        )
    )

    assert futures.venue.position_mode(NAME) is PositionMode.ONE_WAY
    setting = futures.venue.setting(NAME, futures.symbol())
    assert setting.margin_mode is MarginMode(margin_mode)
    position = await futures.account.position(PAIR)
    assert position is not None
    assert position.margin_mode == margin_mode
    assert position.leverage == 5


async def test_preparing_what_is_set_already_only_reads(futures: Stand):
    await futures.account.prepare(PAIR, leverage=5, margin_mode="cross")
    before = len(futures.routes())

    await futures.account.prepare(PAIR, leverage=5, margin_mode="cross")

    assert {route.split()[0] for route in futures.routes()[before:]} == {"GET"}


async def test_preparing_more_leverage_than_there_is_is_refused_before_anything_is_sent(
    futures: Stand,
):
    with pytest.raises(PermanentError):
        await futures.account.prepare(PAIR, leverage=101, margin_mode="cross")

    assert not any("POST" in route for route in futures.routes())


async def test_preparing_that_the_exchange_acknowledges_but_does_not_do_is_an_error(
    futures: Stand,
):
    await futures.account.prepare(PAIR, leverage=3, margin_mode="cross")
    symbol = futures.symbol()
    real = futures.venue.set_leverage
    futures.venue.set_leverage = lambda *_: None
    try:
        with pytest.raises(PermanentError) as caught:
            await futures.account.prepare(PAIR, leverage=7, margin_mode="cross")
    finally:
        futures.venue.set_leverage = real

    assert "shows 3 after setting 7" in str(caught.value)
    assert futures.venue.setting(NAME, symbol).leverage == 3


async def test_preparing_may_be_repeated_after_a_lost_answer(futures: Stand):
    futures.fault(FaultKind.DROP_AFTER, "POST", count=1)

    with pytest.raises(TransientError):
        await futures.account.prepare(PAIR, leverage=4, margin_mode="cross")
    await futures.account.prepare(PAIR, leverage=4, margin_mode="cross")


async def test_settings_are_read_without_changing_anything(futures: Stand):
    futures.venue.set_position_mode(NAME, PositionMode.HEDGE)
    before = len(futures.routes())

    isolated = await futures.account.settings(PAIR)
    futures.venue.set_margin_mode(NAME, futures.symbol(), MarginMode.CROSS)
    futures.venue.set_leverage(NAME, futures.symbol(), 7, now_ms())
    cross = await futures.account.settings(PAIR)

    assert isolated == FuturesSettings(is_one_way=False, margin_mode="isolated", leverage=None)
    assert cross == FuturesSettings(is_one_way=False, margin_mode="cross", leverage=7)
    assert {route.split()[0] for route in futures.routes()[before:]} == {"GET"}


@pytest.mark.parametrize("margin_mode", ["isolated", "cross"])
async def test_leverage_changed_by_hand_during_a_deal_is_shown(futures: Stand, margin_mode: str):
    await futures.account.prepare(PAIR, leverage=3, margin_mode=margin_mode)
    await futures.account.place(market_order(futures, "bf1", Side.BUY, margin_mode=margin_mode))
    before = await futures.account.position(PAIR)
    assert before is not None
    assert settings_mismatch(3, margin_mode, before) is None

    futures.venue.set_leverage(NAME, futures.symbol(), 5, now_ms())

    after = await futures.account.position(PAIR)
    assert after is not None
    assert "leverage 5" in (settings_mismatch(3, margin_mode, after) or "")
    settings = await futures.account.settings(PAIR)
    assert settings is not None
    assert settings.leverage == (5 if margin_mode == "cross" else None)


async def test_an_open_position_with_another_margin_mode_is_refused_by_name(futures: Stand):
    await futures.account.prepare(PAIR, leverage=3, margin_mode="cross")
    await futures.account.place(market_order(futures, "bf1", Side.BUY, margin_mode="cross"))

    with pytest.raises(PermanentError) as caught:
        await futures.account.prepare(PAIR, leverage=3, margin_mode="isolated")

    assert "marginMode shows CROSS" in str(caught.value)
    assert "while a position or an order is open" in str(caught.value)
    position = await futures.account.position(PAIR)
    assert position is not None
    assert position.margin_mode == "cross"


@pytest.mark.parametrize("what", ["positionMode", "marginMode"])
async def test_what_an_open_order_keeps_from_being_set_is_refused_by_name(
    futures: Stand, what: str
):
    await futures.account.place(futures.order())
    if what == "positionMode":
        # The venue trades one-way only, so that the switch has to be made up.
        futures.venue.position_mode = lambda _account: PositionMode.HEDGE
    mode = "cross" if what == "marginMode" else "isolated"

    with pytest.raises(PermanentError) as caught:
        await futures.account.prepare(PAIR, leverage=3, margin_mode=mode)

    assert caught.value.reason is Reason.ORDER_REJECTED
    assert what in str(caught.value)
    assert futures.venue.setting(NAME, futures.symbol()).margin_mode is MarginMode.ISOLATED


async def test_funding_comes_oldest_first_with_its_sign_and_all_of_it(futures: Stand):
    await futures.account.place(market_order(futures, "bf1", Side.SELL))
    start_ms = now_ms() - 600_000
    for number in range(250):
        futures.venue.apply_funding(futures.symbol(), Decimal("0.0001"), start_ms + number // 2)

    found = await futures.account.funding(PAIR, start_ms)

    assert len({one.funding_id for one in found}) == len(found) == 250
    assert [one.at_ms for one in found] == sorted(one.at_ms for one in found)
    entries = [one for one in futures.venue.entries(NAME) if one.kind is EntryKind.FUNDING]
    assert sum(one.amount_quote for one in found) == sum(one.amount for one in entries) > 0
    assert len(await futures.account.funding(PAIR, start_ms + 100)) == 50


async def test_a_liquidation_is_told_among_the_fills(futures: Stand):
    await futures.account.place(market_order(futures, "bf1", Side.BUY))
    futures.set_price("40000")

    mine, forced = await futures.account.fills(PAIR, 0)

    assert (mine.is_forced, forced.is_forced) == (False, True)
    assert forced.side is Side.SELL
    assert await futures.account.position(PAIR) is None
