"""What deals came to: realised and unrealised result, fees and funding, to the last digit.

Pure: the same executions give the same account in whatever order they are handed in. All money is
in the quote currency of one account; accounts of different quotes, or of paper and live, are never
added.

- An open position is carried at its average cost: what enlarges it moves the average, what shrinks
  it realises the difference to the average.
- A fee in the base coin on spot takes that much off the position; it counts as a fee at the price
  of its execution. A fee in a third coin counts at that coin's price then; while nobody knows that
  price, the fee is named and not in the result.
- Where an order has filled by more than its executions explain, the order's own figures count for
  the rest; what fee that cost is not known, and the comparison with the exchange says so.
- What is left of a closed deal, too little for any order, counts as nothing in the result and is
  named beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import Final

from backfuturectl.model.market import ZERO, MarketKind
from backfuturectl.model.orders import Fee, Side
from backfuturectl.model.records import FillRecord, FundingRecord, OrderRecord

_EXACT: Final = Context(prec=60)


@dataclass(frozen=True, slots=True)
class Account:
    """The books of one deal, or the sum of several.

    Attributes:
        gross: Realised result before fees and funding.
        fees: What executions cost, as far as it has a value in quote; negative for rebates.
        funding: Signed: received is positive.
        unvalued: Fees in coins whose price is not known, by coin; not in *fees*.
        position_base: What is held, unsigned; for a closed deal the remainder nobody takes.
        position_cost: What that cost, at the average.
    """

    gross: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    unvalued: tuple[Fee, ...] = ()
    position_base: Decimal = ZERO
    position_cost: Decimal = ZERO

    @property
    def realised(self) -> Decimal:
        """The realised result, fees and funding in."""
        with localcontext(_EXACT):
            return self.gross - self.fees + self.funding

    @property
    def average(self) -> Decimal | None:
        """Average cost of what is held; None when nothing is."""
        return self.position_cost / self.position_base if self.position_base else None

    def unrealised(self, price: Decimal, side: Side) -> Decimal:
        """Return what the position of a deal on *side* would bring at *price*, fees out."""
        with localcontext(_EXACT):
            gained = self.position_base * price - self.position_cost
            return gained if side is Side.BUY else -gained


def account_of(
    fills: Iterable[FillRecord],
    funding: Iterable[FundingRecord] = (),
    orders: Iterable[OrderRecord] = (),
    *,
    side: Side,
    pair: str,
    kind: MarketKind,
    is_closed: bool,
) -> Account:
    """Return the account of one deal.

    Args:
        fills: Its executions.
        funding: Its funding payments.
        orders: Its orders.
        side: The side that enlarges the position.
        pair: ``BTC/USDT``.
        kind: On futures a fee in the base coin takes nothing off the position.
        is_closed: Nothing more will be sold, so a remainder is worth nothing.
    """
    base, _, quote = pair.partition("/")
    with localcontext(_EXACT):
        position = cost = cash = fees = ZERO
        entered = entered_cost = left = ZERO
        unvalued: dict[str, Decimal] = {}
        listed = tuple(fills)
        told = (*listed, *_unlisted(orders, listed))
        # Of one moment, what enlarges comes first: nothing is sold that is not held.
        for fill in sorted(told, key=lambda f: (f.at_ms, f.side is not side, f.fill_id)):
            amount = fill.amount_base
            cash += amount * fill.price * (-1 if fill.side is Side.BUY else 1)
            if fill.side is side:
                position, cost = position + amount, cost + amount * fill.price
                entered, entered_cost = entered + amount, entered_cost + amount * fill.price
            else:
                position, cost = _shrunk(position, cost, amount)
                left += amount
            fee = fill.fee
            if fee is None:
                continue
            if fee.currency == base and kind is MarketKind.SPOT:
                value = fee.amount * fill.price
                position, cost = _shrunk(position, cost, fee.amount)
                left += fee.amount
                fees += value
                cash += value  # it lacks in what is sold; as a fee it would count twice
            elif fee.currency == quote:
                fees += fee.amount
            elif fill.fee_price is not None:
                fees += fee.amount * fill.fee_price
            else:
                unvalued[fee.currency] = unvalued.get(fee.currency, ZERO) + fee.amount
        held = max(entered - left, ZERO)
        if held != position:  # their times contradict each other: one average over all entries
            position, cost = held, held * entered_cost / entered if entered else ZERO
        carried = ZERO if is_closed else (cost if side is Side.BUY else -cost)
        return Account(
            gross=cash + carried,
            fees=fees,
            funding=sum((each.amount_quote for each in funding), ZERO),
            unvalued=_sorted(unvalued),
            position_base=position,
            position_cost=cost,
        )


def _unlisted(orders: Iterable[OrderRecord], fills: Iterable[FillRecord]) -> Iterable[FillRecord]:
    """Yield what *orders* have filled beyond *fills*, as one execution each."""
    amounts: dict[str, Decimal] = {}
    costs: dict[str, Decimal] = {}
    for fill in fills:
        name = fill.client_order_id
        amounts[name] = amounts.get(name, ZERO) + fill.amount_base
        costs[name] = costs.get(name, ZERO) + fill.amount_base * fill.price
    for order in orders:
        name = order.client_order_id
        amount = order.filled_base - amounts.get(name, ZERO)
        if amount > 0:
            price = (order.cost_quote - costs.get(name, ZERO)) / amount
            yield FillRecord(
                f"{name}/rest",
                name,
                order.bot,
                order.side,
                price,
                amount,
                None,
                order.updated_at_ms,
            )


def total(accounts: Iterable[Account]) -> Account:
    """Return the sum of accounts of one quote currency; positions of several pairs do not add."""
    with localcontext(_EXACT):
        gross = fees = funding = ZERO
        unvalued: dict[str, Decimal] = {}
        for each in accounts:
            gross += each.gross
            fees += each.fees
            funding += each.funding
            for fee in each.unvalued:
                unvalued[fee.currency] = unvalued.get(fee.currency, ZERO) + fee.amount
        return Account(gross=gross, fees=fees, funding=funding, unvalued=_sorted(unvalued))


def _shrunk(position: Decimal, cost: Decimal, amount: Decimal) -> tuple[Decimal, Decimal]:
    """Return position and cost after *amount* left it at the average."""
    if amount >= position:
        return ZERO, ZERO
    return position - amount, cost - cost * amount / position


def _sorted(fees: dict[str, Decimal]) -> tuple[Fee, ...]:
    return tuple(Fee(currency, amount) for currency, amount in sorted(fees.items()) if amount)
