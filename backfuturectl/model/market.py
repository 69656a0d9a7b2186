"""What can be traded and in which steps: markets, ticks, rounding.

Amounts are in base units everywhere in the program; the exchange adapter alone knows contracts.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Final

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
HUNDRED: Final = Decimal(100)


class MarketKind(enum.StrEnum):
    """Which of an exchange's wallets and rule books a market belongs to."""

    SPOT = "spot"
    FUTURES = "futures"


@dataclass(frozen=True, slots=True)
class Market:
    """One pair on one exchange, with its rules.

    Attributes:
        exchange: ccxt id.
        pair: ``BTC/USDT``, as written in a Strategy; futures are linear, settled in the quote.
        price_tick: Smallest price step, quote per base.
        amount_step: Smallest amount step, base units (contract size times lot on futures).
        amount_min: Smallest order, base units.
        cost_min: Smallest order value, quote; zero where the exchange has none.
        amount_max: Largest order, base units; None where the exchange has none.
        contract_size: Base units per contract; one on spot.
        taker_fee: Ratio, 0.001 is 0.1 %.
        maker_fee: Ratio.
        maintenance_margin: Ratio of the first tier; zero on spot.
        tier_max_quote: Largest position value of the first tier; None where there is no other.
        leverage_max: One on spot.
        open_orders_max: Open orders the exchange allows per account or symbol, whichever is less.
        stop_orders_max: Stop orders that only reduce, which the exchange keeps beside a resting
            take profit; zero where it offers none, or where one would lock what the other sells.
        is_active: Whether the exchange takes orders for it now.
    """

    exchange: str
    kind: MarketKind
    pair: str
    base: str
    quote: str
    price_tick: Decimal
    amount_step: Decimal
    amount_min: Decimal
    cost_min: Decimal
    taker_fee: Decimal
    maker_fee: Decimal
    amount_max: Decimal | None = None
    contract_size: Decimal = ONE
    maintenance_margin: Decimal = ZERO
    leverage_max: int = 1
    open_orders_max: int = 500
    stop_orders_max: int = 0
    is_active: bool = True
    tier_max_quote: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """What a market trades at.

    Attributes:
        last: Price of the last trade.
        bid: Best price that somebody buys at; None where the exchange did not tell.
        ask: Best price that somebody sells at; None where the exchange did not tell.
    """

    last: Decimal
    bid: Decimal | None = None
    ask: Decimal | None = None


def with_vanished(now: Mapping[str, Market], before: Mapping[str, Market]) -> dict[str, Market]:
    """Return *now*, and what is in *before* only as closed: its orders are looked up still."""
    gone = {
        pair: replace(market, is_active=False) for pair, market in before.items() if pair not in now
    }
    return {**gone, **now}


def step_down(value: Decimal, step: Decimal) -> Decimal:
    """Return *value* rounded toward zero to a multiple of *step*."""
    return (value / step).quantize(ONE, rounding=ROUND_DOWN) * step


def step_up(value: Decimal, step: Decimal) -> Decimal:
    """Return *value* rounded up to a multiple of *step*."""
    return (value / step).quantize(ONE, rounding=ROUND_CEILING) * step


def round_amount(amount_base: Decimal, market: Market) -> Decimal:
    """Return *amount_base* rounded down to the market's step; may be zero.

    Source: ccxt manual, "Precision And Limits".
    """
    return step_down(amount_base, market.amount_step)


def round_price(price: Decimal, market: Market, *, is_buy: bool | None = None) -> Decimal:
    """Return *price* on the market's tick, never worse for the trader than asked.

    A buy rounds down and a sell rounds up; None rounds to the nearest tick (for display).
    """
    rounding = {True: ROUND_FLOOR, False: ROUND_CEILING, None: ROUND_HALF_EVEN}[is_buy]
    return (price / market.price_tick).quantize(ONE, rounding=rounding) * market.price_tick


def is_tradable(amount_base: Decimal, price: Decimal, market: Market) -> bool:
    """Return whether an order of *amount_base* at *price* is at or above the exchange's minima."""
    return amount_base >= max(market.amount_min, market.amount_step) and (
        amount_base * price >= market.cost_min
    )
