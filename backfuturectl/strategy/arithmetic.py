"""The ladder's arithmetic: deviations, prices, sizes, averages, exits, liquidation, margin.

All of it is exact `Decimal` in a context of its own, so that neither the caller's context nor a
float ever decides a price. *sign* is +1 for a long and -1 for a short throughout; percentages are
numbers such as 1.5, rates are ratios such as 0.001.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    getcontext,
    localcontext,
)
from typing import Final, ParamSpec, TypeVar

from backfuturectl.model.market import HUNDRED, ONE, ZERO

P = ParamSpec("P")
R = TypeVar("R")

DIGITS: Final = 40

PRECISE: Final = Context(prec=DIGITS)
"""The context of every operation here, whatever the caller's thread is set to."""

SHOWN: Final = Context(prec=28, rounding=ROUND_HALF_EVEN)
"""What is shown as exact: 12 digits fewer than computed, so that 10/(10/x) is x again."""


def precisely(function: Callable[P, R]) -> Callable[P, R]:
    """Run *function* in the `PRECISE` context, entered once however deep the calls go."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if getcontext().prec == DIGITS:
            return function(*args, **kwargs)
        with localcontext(PRECISE):
            return function(*args, **kwargs)

    return run


@dataclass(frozen=True, slots=True)
class LadderShape:
    """What a ladder looks like, whatever its size and start price.

    Attributes:
        reference: ``baseOrder`` or ``lastFill``: what deviations are measured from.
        first_deviation_pct: δ.
        step_scale: g.
        first_size_ratio: A / B.
        volume_scale: v.
        max_orders: K.
    """

    sign: int
    reference: str
    first_deviation_pct: Decimal
    step_scale: Decimal
    first_size_ratio: Decimal
    volume_scale: Decimal
    max_orders: int


@dataclass(frozen=True, slots=True)
class MarginRates:
    """What one unit of notional costs.

    Attributes:
        leverage: One on spot.
        taker_fee: f.
        maintenance_margin: μ; None where nothing can be liquidated (spot) or the whole account
            stands behind it (cross).
        funding_reserve: φ.
    """

    leverage: int
    taker_fee: Decimal
    maintenance_margin: Decimal | None = None
    funding_reserve: Decimal = ZERO

    @property
    def per_notional(self) -> Decimal:
        """Margin and fees for one unit of notional: 1/L + 2f + φ."""
        with localcontext(PRECISE):
            return ONE / self.leverage + 2 * self.taker_fee + self.funding_reserve


@dataclass(frozen=True, slots=True)
class Grid:
    """An exchange's steps; None where unknown, which leaves the value exact."""

    price_tick: Decimal | None = None
    amount_step: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """One line of the ladder table; rung 0 is the base order.

    Attributes:
        size_quote: What this order costs.
        total_quote: What all orders up to this one cost.
        average: Entry price of all orders up to this one.
        liquidation: None where `MarginRates.maintenance_margin` is.
    """

    k: int
    deviation_pct: Decimal
    price: Decimal
    amount_base: Decimal
    size_quote: Decimal
    total_quote: Decimal
    average: Decimal
    take_profit: Decimal
    liquidation: Decimal | None


@precisely
def ladder(
    shape: LadderShape,
    *,
    base_quote: Decimal,
    start: Decimal,
    take_profit_pct: Decimal,
    rates: MarginRates,
    grid: Grid | None = None,
) -> tuple[Rung, ...]:
    """Return rungs 0 to K from price *start*; on *grid*, prices and amounts are rounded to it.

    Rounding is the trader's: entries never pay more than computed, take profits never ask less,
    amounts go down.
    """
    grid = grid or Grid()
    rungs: list[Rung] = []
    total = amount = ZERO
    sizes = sizes_quote(shape, base_quote)
    for k, (raw_price, size) in enumerate(zip(prices(shape, start), sizes, strict=True)):
        price = on_tick(raw_price, grid.price_tick, is_up=shape.sign < 0)
        if price <= 0:
            break  # V-RANGE says so; there is no amount for a price of zero
        amount_k = on_step(size / price, grid.amount_step)
        size_k = size if grid.amount_step is None else amount_k * price
        total += size_k
        amount += amount_k
        average = total / amount if amount else price
        target = take_profit_price(average, shape.sign, take_profit_pct)
        rungs.append(
            Rung(
                k=k,
                deviation_pct=shape.sign * HUNDRED * (ONE - raw_price / start),
                price=price,
                amount_base=amount_k,
                size_quote=size_k,
                total_quote=total,
                average=average,
                take_profit=on_tick(target, grid.price_tick, is_up=shape.sign > 0),
                liquidation=liquidation_price(average, shape.sign, rates),
            )
        )
    return tuple(rungs)


@precisely
def prices(shape: LadderShape, start: Decimal) -> tuple[Decimal, ...]:
    """Return P_0 to P_K, exact."""
    result = [start]
    distance_pct = step_pct = ZERO
    for k in range(1, shape.max_orders + 1):
        step_pct = shape.first_deviation_pct if k == 1 else step_pct * shape.step_scale
        if shape.reference == "lastFill":
            result.append(beyond(result[-1], shape.sign, step_pct))
        else:
            distance_pct += step_pct
            result.append(beyond(start, shape.sign, distance_pct))
    return tuple(result)


@precisely
def next_price(shape: LadderShape, *, k: int, previous: Decimal) -> Decimal:
    """Return rung *k*'s price from the *previous* rung's, for reference ``lastFill``."""
    step_pct = shape.first_deviation_pct * shape.step_scale ** (k - 1)
    return beyond(previous, shape.sign, step_pct)


@precisely
def beyond(price: Decimal, sign: int, percent: Decimal) -> Decimal:
    """Return *price* moved by *percent* against a position of *sign*."""
    return price * (ONE - sign * percent / HUNDRED)


@precisely
def sizes_quote(shape: LadderShape, base_quote: Decimal) -> tuple[Decimal, ...]:
    """Return B and Q_1 to Q_K."""
    result = [base_quote]
    size = base_quote * shape.first_size_ratio
    for _ in range(shape.max_orders):
        result.append(size)
        size = size * shape.volume_scale
    return tuple(result)


@precisely
def extra_size_quote(shape: LadderShape, base_quote: Decimal) -> Decimal:
    """Return what an order beyond the ladder costs: as much as the last rung."""
    if not shape.max_orders:
        return base_quote * shape.first_size_ratio
    return sizes_quote(shape, base_quote)[-1]


@precisely
def notional(shape: LadderShape, base_quote: Decimal, extra_orders: int = 0) -> Decimal:
    """Return what the whole ladder and *extra_orders* beyond it cost: N_K and a little more."""
    extra = extra_orders * extra_size_quote(shape, base_quote) if extra_orders else ZERO
    return sum(sizes_quote(shape, base_quote), ZERO) + extra


@precisely
def take_profit_price(average: Decimal, sign: int, take_profit_pct: Decimal) -> Decimal:
    """Return the price at which a position with *average* has won *take_profit_pct*."""
    return average * (ONE + sign * take_profit_pct / HUNDRED)


@precisely
def liquidation_price(average: Decimal, sign: int, rates: MarginRates) -> Decimal | None:
    """Return where an isolated position is liquidated; None where nothing can be."""
    if rates.maintenance_margin is None:
        return None
    left = ONE - sign * ONE / rates.leverage
    return average * left / (ONE - sign * rates.maintenance_margin)


@precisely
def stop_price(
    sign: int, *, stop_pct: Decimal, reference: str, start: Decimal, average: Decimal
) -> Decimal:
    """Return the stop, measured from the base order's price or from the average."""
    return beyond(start if reference == "baseOrder" else average, sign, stop_pct)


@precisely
def loss_at(
    price: Decimal, sign: int, *, total_quote: Decimal, average: Decimal, taker_fee: Decimal
) -> Decimal:
    """Return what closing the whole position at *price* loses, fees of both ways in; quote."""
    amount = total_quote / average
    value = amount * price
    return sign * (total_quote - value) + taker_fee * (total_quote + value)


@precisely
def largest_base(
    shape: LadderShape,
    *,
    margin_limit: Decimal,
    max_active_deals: int,
    rates: MarginRates,
    extra_orders: int = 0,
) -> Decimal:
    """Return the largest base order that passes V-MARGIN, rounded down to ten places."""
    per_base = notional(shape, ONE, extra_orders) * rates.per_notional * max_active_deals
    # Down, so that the worst case of the rounded value never exceeds the limit.
    return on_step(margin_limit / per_base, Decimal("1e-10"))


@precisely
def improvement_pct(before: Decimal, after: Decimal, sign: int) -> Decimal:
    """Return by how much the average moves in the position's favour, percent of *before*."""
    return sign * HUNDRED * (before - after) / before


@precisely
def average_after(
    total_quote: Decimal, amount_base: Decimal, *, price: Decimal, size_quote: Decimal
) -> Decimal:
    """Return the average of a position after adding *size_quote* at *price*."""
    return (total_quote + size_quote) / (amount_base + size_quote / price)


@precisely
def gap_pct(price: Decimal, liquidation: Decimal, sign: int) -> Decimal:
    """Return how far *liquidation* lies beyond *price*, percent of *price*."""
    return sign * HUNDRED * (price - liquidation) / price


@precisely
def on_tick(price: Decimal, tick: Decimal | None, *, is_up: bool) -> Decimal:
    """Return *price* rounded to *tick*; as it is when the tick is unknown."""
    if tick is None:
        return price
    rounding = ROUND_CEILING if is_up else ROUND_FLOOR
    return (price / tick).to_integral_value(rounding=rounding) * tick


@precisely
def on_step(amount: Decimal, step: Decimal | None) -> Decimal:
    """Return *amount* rounded down to *step*; as it is when the step is unknown."""
    if step is None:
        return amount
    return (amount / step).to_integral_value(rounding=ROUND_DOWN) * step


def shown(value: Decimal) -> str:
    """Return *value* as plain text, without the last digits of a division or trailing zeros."""
    text = f"{SHOWN.plus(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
