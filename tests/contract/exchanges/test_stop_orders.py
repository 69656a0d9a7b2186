"""Stop orders through every port that offers them, and the ports that do not."""

from dataclasses import replace
from decimal import Decimal

import pytest

from backfuturectl.emulator.faults import FaultKind
from backfuturectl.exchanges import kucoin_futures
from backfuturectl.model.errors import OutcomeUnknownError, PermanentError
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import OrderStatus, OrderType, Side

from .conftest import NAME, PAIR, Stand


def stop(stand: Stand, name: str = "stop1", price: str = "60000", **changes: object):
    given: dict[str, object] = {
        "side": Side.SELL,
        "type": OrderType.MARKET,
        "price": Decimal(price),
        "trigger_price": Decimal(price),
        "leverage": 3,
        "is_reduce_only": True,
    }
    return stand.order(name, **(given | changes))


async def enter(stand: Stand, side: Side = Side.BUY) -> None:
    await stand.account.place(
        stand.order("in", side=side, type=OrderType.MARKET, price=Decimal(68_000), leverage=3)
    )


async def offers_stops(stand: Stand) -> bool:
    return (await stand.market()).stop_orders_max > 0


async def test_only_futures_offer_stops(any_stand: Stand):
    assert await offers_stops(any_stand) is (any_stand.kind is MarketKind.FUTURES)


async def test_a_market_that_offers_none_refuses_a_stop_rather_than_sell_at_once(any_stand: Stand):
    if await offers_stops(any_stand):
        return
    with pytest.raises(PermanentError):
        await any_stand.account.place(stop(any_stand, is_reduce_only=False))
    assert any_stand.venue.orders(NAME) == ()


async def test_a_waiting_stop_is_open_listed_and_found_under_both_ids(any_stand: Stand):
    if not await offers_stops(any_stand):
        return
    await enter(any_stand)
    placed = await any_stand.account.place(stop(any_stand))
    assert placed.trigger_price == Decimal(60_000)

    (listed,) = await any_stand.account.open_orders(PAIR)
    by_client_id = await any_stand.account.order(PAIR, "stop1")
    by_both = await any_stand.account.order(PAIR, "stop1", placed.order_id)

    assert listed == by_client_id == by_both
    assert (listed.status, listed.trigger_price) == (OrderStatus.OPEN, Decimal(60_000))
    assert (listed.amount_base, listed.filled_base) == (Decimal("0.01"), 0)
    assert listed.is_reduce_only


@pytest.mark.parametrize(
    ("side", "beyond"), [(Side.BUY, "59999.9"), (Side.SELL, "76000.1")], ids=["long", "short"]
)
async def test_a_triggered_stop_keeps_its_ids_and_tells_its_fills(
    futures: Stand, side: Side, beyond: str
):
    await enter(futures, side)
    level = "60000" if side is Side.BUY else "76000"
    placed = await futures.account.place(stop(futures, price=level, side=side.opposite))

    futures.set_price(beyond)

    seen = await futures.account.order(PAIR, "stop1", placed.order_id)
    assert seen is not None
    assert (seen.order_id, seen.status) == (placed.order_id, OrderStatus.FILLED)
    assert seen.filled_base == Decimal("0.01")
    assert await futures.account.open_orders(PAIR) == ()
    assert await futures.account.position(PAIR) is None
    assert (await futures.account.fills(PAIR, 0))[-1].order_id == placed.order_id


@pytest.mark.parametrize("by_id", [True, False], ids=["by id", "by client id"])
async def test_a_waiting_stop_is_canceled(futures: Stand, by_id: bool):
    await enter(futures)
    placed = await futures.account.place(stop(futures))

    await futures.account.cancel(PAIR, "stop1", placed.order_id if by_id else None)

    seen = await futures.account.order(PAIR, "stop1")
    assert seen is not None
    assert seen.status is OrderStatus.CANCELED
    futures.set_price("50000")
    assert await futures.account.position(PAIR) is not None


async def test_a_stop_whose_answer_is_lost_is_found_by_its_client_id(futures: Stand):
    await enter(futures)
    futures.fault(FaultKind.DROP_AFTER, "POST", "/api/v1/orders", count=1)
    with pytest.raises(OutcomeUnknownError):
        await futures.account.place(stop(futures))

    seen = await futures.account.order(PAIR, "stop1")

    assert seen is not None
    assert (seen.status, seen.trigger_price) == (OrderStatus.OPEN, Decimal(60_000))


async def test_a_stop_that_a_look_up_misses_by_id_is_found_among_the_waiting_ones(futures: Stand):
    await enter(futures)
    await futures.account.place(stop(futures))
    futures.fault(FaultKind.HIDE_ORDERS, "GET", "*/byClientOid")

    seen = await futures.account.order(PAIR, "stop1")

    assert seen is not None
    assert seen.trigger_price == Decimal(60_000)


async def test_a_stop_that_trades_on_under_another_id_is_followed(
    futures: Stand, monkeypatch: pytest.MonkeyPatch
):
    """The venue keeps the id, so the old order's row is made up: ended, triggered, unfilled."""
    await enter(futures)
    placed = await futures.account.place(stop(futures))
    futures.set_price("60000")
    became = await futures.account.order(PAIR, "stop1")
    assert became is not None
    old = replace(became, order_id="old", status=OrderStatus.CANCELED, filled_base=Decimal(0))
    monkeypatch.setattr(kucoin_futures, "order_or_none", lambda _body, **_: old)

    assert await futures.account.order(PAIR, "stop1", placed.order_id) == became


async def test_a_trigger_off_the_tick_is_refused_before_anything_is_sent(futures: Stand):
    with pytest.raises(PermanentError, match="tick"):
        await futures.account.place(stop(futures, price="60000.05"))
    assert not any("POST" in route for route in futures.routes())
