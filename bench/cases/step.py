"""One step of one bot in memory: a price that changes nothing, which is nearly every price."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from backfuturectl.model.market import Market, MarketKind
from backfuturectl.model.orders import OrderStatus
from backfuturectl.model.resources import StrategySpec
from backfuturectl.strategy.base import (
    BotIdentity,
    Gate,
    GateChanged,
    OrderChanged,
    Place,
    PriceSeen,
)
from backfuturectl.strategy.registry import KINDS
from bench.figures import Figure

KIND: Any = KINDS["averaging"]
MARKET = Market(
    exchange="kucoin",
    kind=MarketKind.SPOT,
    pair="BTC/USDT",
    base="BTC",
    quote="USDT",
    price_tick=Decimal("0.01"),
    amount_step=Decimal("0.0001"),
    amount_min=Decimal("0.0001"),
    cost_min=Decimal(1),
    taker_fee=Decimal("0.001"),
    maker_fee=Decimal("0.001"),
)
_START = Decimal(100)


def setup() -> Any:
    """Return what a bot of a conservative strategy needs."""
    spec = StrategySpec.model_validate(
        {
            "connection": "main",
            "pairs": ("BTC/USDT",),
            "risk": "conservative",
            "marginLimit": "1000 USDT",
            "maxActiveDeals": 1,
        }
    )
    return KIND.setup(spec, MARKET, BotIdentity(installation="ab12", bot="bench/BTC-USDT"))


def with_deal() -> Any:
    """Return the state of a bot whose base order is filled and whose other orders rest."""
    state = KIND.step(KIND.initial(setup()), GateChanged(Gate.OPEN, "", 1_000)).state
    step = KIND.step(state, PriceSeen(_START, 1_001))
    waiting = [action for action in step.actions if isinstance(action, Place)]
    while waiting:
        order = waiting.pop(0)
        is_base = str(order.leg) == "base"
        amount = order.order.amount_base
        change = OrderChanged(
            client_order_id=order.order.client_order_id,
            status=OrderStatus.FILLED if is_base else OrderStatus.OPEN,
            filled_base=amount if is_base else Decimal(0),
            cost_quote=amount * _START if is_base else Decimal(0),
            fees=(),
            at_ms=1_002,
        )
        step = KIND.step(step.state, change)
        waiting.extend(action for action in step.actions if isinstance(action, Place))
    return step.state


def measure(*, quick: bool) -> Iterator[Figure]:
    """Yield microseconds per step: a quiet price, and the step that opens a deal."""
    prices = [_START + Decimal(number % 7) / 100 for number in range(1_000)]
    state = with_deal()
    quiet_us = []
    for _ in range(5 if quick else 50):
        started_s = time.perf_counter()
        for number, price in enumerate(prices):
            state = KIND.step(state, PriceSeen(price, 2_000 + number)).state
        quiet_us.append((time.perf_counter() - started_s) * 1_000_000 / len(prices))
    yield Figure("step: a price that changes nothing", "µs", quiet_us)
    flat = KIND.step(KIND.initial(setup()), GateChanged(Gate.OPEN, "", 1_000)).state
    opening_us = []
    for _ in range(20 if quick else 200):
        started_s = time.perf_counter()
        step = KIND.step(flat, PriceSeen(_START, 1_001))
        opening_us.append((time.perf_counter() - started_s) * 1_000_000)
        assert any(isinstance(action, Place) for action in step.actions), "it opens a deal"
    yield Figure("step: a price that opens a deal", "µs", opening_us)
