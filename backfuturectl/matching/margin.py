"""Margin arithmetic of linear futures: what a position needs, when it is liquidated.

With ``s`` = +1 long or -1 short, ``q`` the size, ``M`` its margin, ``E`` the entry price and ``u``
the maintenance ratio, an isolated position is liquidated where margin plus loss meets maintenance:
``M + s*q*(P - E) = u*q*P``, so ``P = (E - s*M/q) / (1 - s*u)``; with ``M = q*E/L`` that is
``E*(1 - s/L) / (1 - s*u)``. The venue takes it over at the bankruptcy price ``E - s*M/q``, where
exactly the margin is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_UP, Decimal
from typing import Final

from backfuturectl.matching.values import MarginMode, VenueOrder
from backfuturectl.model.market import ONE, ZERO
from backfuturectl.model.orders import Side

MONEY_STEP: Final = Decimal("1e-12")
"""Quotients are rounded to this, so that sums of money stay exact within 28 digits."""


@dataclass(slots=True)
class Position:
    """A position as the venue keeps it; flat when *amount_base* is zero.

    Attributes:
        amount_base: Signed.
        cost_quote: What the open part was bought (or sold) for, positive.
        margin_quote: Set aside for it when isolated; zero when cross.
    """

    margin_mode: MarginMode
    leverage: int
    amount_base: Decimal = ZERO
    cost_quote: Decimal = ZERO
    margin_quote: Decimal = ZERO
    realised_quote: Decimal = ZERO
    opened_at_ms: int = 0

    @property
    def sign(self) -> int:
        """+1 long, -1 short; of a flat position +1."""
        return -1 if self.amount_base < 0 else 1

    @property
    def entry_price(self) -> Decimal:
        """Mean price of the open part; zero when flat."""
        size = abs(self.amount_base)
        return self.cost_quote / size if size else ZERO

    @property
    def initial_margin_quote(self) -> Decimal:
        """What the position takes out of the wallet's available money."""
        if self.margin_mode is MarginMode.ISOLATED:
            return self.margin_quote
        return initial_margin(self.cost_quote, self.leverage)

    def unrealised_quote(self, mark: Decimal) -> Decimal:
        """Return profit (negative: loss) if closed at *mark*, before fees."""
        return self.sign * (abs(self.amount_base) * mark - self.cost_quote)

    def is_liquidated(self, mark: Decimal, maintenance: Decimal) -> bool:
        """Return whether *mark* exhausts an isolated position's own margin."""
        size = abs(self.amount_base)
        return self.margin_quote + self.unrealised_quote(mark) <= maintenance * size * mark

    def bankruptcy_price(self) -> Decimal:
        """Return the price at which exactly the position's own margin is lost."""
        return round_money(self.entry_price - self.sign * self.margin_quote / abs(self.amount_base))

    def liquidation_price(self, backing_quote: Decimal, maintenance: Decimal) -> Decimal | None:
        """Return where *backing_quote* plus profit meets maintenance; None if never above zero."""
        divisor = ONE - self.sign * maintenance
        price = (self.entry_price - self.sign * backing_quote / abs(self.amount_base)) / divisor
        return round_money(price) if price > 0 else None

    def add(self, amount_base: Decimal, price: Decimal, *, side: Side, leverage: int) -> None:
        """Enlarge the position, or open it."""
        cost = amount_base * price
        self.leverage = leverage
        self.amount_base += amount_base if side is Side.BUY else -amount_base
        self.cost_quote += cost
        if self.margin_mode is MarginMode.ISOLATED:
            self.margin_quote += initial_margin(cost, leverage)

    def reduce(self, amount_base: Decimal, price: Decimal) -> Decimal:
        """Shrink the position by at most its size and return the profit, before fees."""
        size = abs(self.amount_base)
        sign = self.sign
        assert ZERO < amount_base <= size
        if amount_base == size:
            cost, margin = self.cost_quote, self.margin_quote
        else:
            cost = round_money(self.cost_quote * amount_base / size)
            margin = round_money(self.margin_quote * amount_base / size)
        self.amount_base -= sign * amount_base
        self.cost_quote -= cost
        self.margin_quote -= margin
        return sign * (amount_base * price - cost)


def round_money(amount: Decimal) -> Decimal:
    """Return *amount* on the money step, nearest."""
    return amount.quantize(MONEY_STEP, rounding=ROUND_HALF_EVEN)


def initial_margin(cost_quote: Decimal, leverage: int) -> Decimal:
    """Return what opening *cost_quote* sets aside, rounded up."""
    return (cost_quote / leverage).quantize(MONEY_STEP, rounding=ROUND_UP)


def fee_of(cost_quote: Decimal, rate: Decimal) -> Decimal:
    """Return the fee, rounded away from zero in the exchange's favour."""
    return (cost_quote * rate).quantize(MONEY_STEP, rounding=ROUND_UP)


def order_margin(
    orders: Iterable[tuple[VenueOrder, Decimal]], position_base: Decimal, taker_fee: Decimal
) -> Decimal:
    """Return what the open orders of one market hold of the futures wallet.

    Orders against the position need nothing up to its size, oldest first; what opens or adds needs
    initial margin and the fee of a taker. Reduce-only orders need nothing, nor do stop orders
    before they trigger.

    Args:
        orders: Each with the price it is valued at, oldest first.
        position_base: Signed.
        taker_fee: Ratio.
    """
    closable = {Side.SELL: max(position_base, ZERO), Side.BUY: max(-position_base, ZERO)}
    total = ZERO
    for order, price in orders:
        if order.is_reduce_only or order.is_waiting:
            continue
        closing = min(closable[order.side], order.remaining_base)
        closable[order.side] -= closing
        cost = (order.remaining_base - closing) * price
        if cost:
            total += initial_margin(cost, order.leverage) + fee_of(cost, taker_fee)
    return total
