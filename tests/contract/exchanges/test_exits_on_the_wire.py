"""Every order that leaves a futures position may only reduce it: as the exchange received it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from random import Random

import pytest

from backfuturectl.exchanges.budget import Budget, Priority
from backfuturectl.exchanges.ccxt_adapter import Endpoint
from backfuturectl.exchanges.factory import open_account, open_public
from backfuturectl.model.market import Market, MarketKind
from backfuturectl.model.orders import LegKind, NewOrder, OrderType, Side
from backfuturectl.strategy.averaging.state import Setup
from backfuturectl.strategy.base import Command, Place
from tests.unit.strategy.test_recovery import document, hold
from tests.unit.strategy.venue import Venue, setup

from .conftest import NAME, PAIR, Stand, material, now_ms

D = Decimal
FUTURES = MarketKind.FUTURES
REDUCE = {
    "enabled": True,
    "closePct": D(10),
    "reboundPct": D(1),
    "minInterval": "1h",
    "lossBudgetPct": D(1),
}
STEPS = [{"sharePct": 50, "profitPct": 1}, {"sharePct": 50, "profitPct": 2}]


def reducing(venue: Venue) -> None:
    venue.run(100, 98)
    hold(venue, "95.5", 20)
    venue.run("96.5")


SCENES: dict[str, tuple[LegKind, dict[str, object], Callable[[Venue], object]]] = {
    "take profit": (LegKind.TAKE_PROFIT, {}, lambda venue: venue.run(100)),
    "steps": (LegKind.TAKE_PROFIT, {"takeProfit": {"steps": STEPS}}, lambda venue: venue.run(100)),
    "trailing": (
        LegKind.TAKE_PROFIT,
        {"takeProfit": {"percent": D(1), "trailing": {"deviationPct": D("0.25")}}},
        lambda venue: venue.run(100, 103, 102),
    ),
    "resting stop": (LegKind.STOP_LOSS, {}, lambda venue: venue.run(100)),
    "watched stop": (
        LegKind.STOP_LOSS,
        {"stopLoss": {"percent": D(10), "onExchange": "never"}},
        lambda venue: venue.run(100, 89),
    ),
    "close": (
        LegKind.CLOSE,
        {},
        lambda venue: (venue.run(100), venue.command(Command.CLOSE), venue.settle(), venue.tick()),
    ),
    "reduce": (
        LegKind.REDUCE,
        {
            "averaging": {"maxOrders": 2, "stepScale": D(3)},
            "recovery": document(actions={"reduce": REDUCE}),
        },
        reducing,
    ),
}


def decided(scene: str, market: Market) -> list[Place]:
    """Return what the strategy sends in *scene*, in order."""
    leg, changes, play = SCENES[scene]
    known: Setup = setup(FUTURES, market, **changes)
    venue = Venue.start(known)
    play(venue)
    assert any(place.leg.kind is leg for place in venue.sent), scene
    return venue.sent


@pytest.mark.parametrize("scene", SCENES)
async def test_every_exit_leg_may_only_reduce_on_the_wire(futures: Stand, scene: str):
    futures.set_price("100")
    public = open_public("kucoin", FUTURES, rng=Random(1), endpoint=Endpoint(futures.url))
    account = open_account(public, material(), now_ms=now_ms)
    sent = decided(scene, (await public.markets())[PAIR])
    try:
        for place in sent:
            if place.leg.kind.is_adding and place.order.type is OrderType.LIMIT:
                # Each adds at once here, so that there is a position for what leaves.
                futures.set_price(str(min(place.order.price, D(100))))
            await account.place(place.order)
    finally:
        await public.close()

    adding = {place.order.client_order_id for place in sent if place.leg.kind.is_adding}
    received = {order.client_id: order for order in futures.venue.orders(NAME)}
    assert received.keys() == {place.order.client_order_id for place in sent}
    for name, order in received.items():
        assert order.is_reduce_only is (name not in adding), name
    by_request = {
        change.client_id
        for record in futures.emulator.requests.newest(10_000)
        if record.method == "POST"
        for change in record.effects
    }
    assert received.keys() <= by_request


async def test_exits_and_cancels_go_before_other_orders(stand: Stand, monkeypatch):
    granted: list[Priority] = []
    acquire = Budget.acquire

    async def spy(self: Budget, draws: object, priority: Priority, **wait: float) -> None:
        granted.append(priority)
        await acquire(self, draws, priority, **wait)

    monkeypatch.setattr(Budget, "acquire", spy)
    public = open_public(stand.brand, stand.kind, rng=Random(1), endpoint=Endpoint(stand.url))
    account = open_account(public, material(), now_ms=now_ms)
    try:
        await public.markets()
        for priority in (Priority.ORDER, Priority.EXIT):
            order = NewOrder(
                f"bfaaaabbbbbb00001b0000{priority}",
                PAIR,
                Side.BUY,
                OrderType.LIMIT,
                D("0.1"),
                D(90),
                leverage=1,
                margin_mode="isolated" if stand.kind is FUTURES else None,
                is_exit=priority is Priority.EXIT,
            )
            granted.clear()
            await account.place(order)
            assert priority in granted
            granted.clear()
            await account.cancel(PAIR, order.client_order_id, None)
            assert granted[-1] is Priority.EXIT
    finally:
        await public.close()
