"""A deal's books: what its orders' cumulative figures add up to.

Everything follows from `Deal.totals`, so neither the order of reports nor their repetition matters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from backfuturectl.model.market import ZERO, Market, MarketKind, is_tradable, round_amount
from backfuturectl.model.orders import Fee, advance
from backfuturectl.strategy.arithmetic import precisely, stop_price, take_profit_price
from backfuturectl.strategy.averaging.state import Deal, LegOrder, Setup
from backfuturectl.strategy.base import OrderChanged


@dataclass(frozen=True, slots=True)
class Books:
    """What a deal has bought, sold and paid.

    Attributes:
        entered_base: Filled by base order and rungs.
        entered_cost: Likewise, quote.
        left_base: Filled by exits.
        left_cost: Likewise, quote.
        position_base: What is held, unsigned; spot fees taken from the coin itself are off.
        average: As `Deal.average`.
        result_quote: Cash in less cash out, quote fees and funding in.
        other_fees: Fees in coins that are neither quote nor, on spot, base; not converted.
    """

    entered_base: Decimal
    entered_cost: Decimal
    left_base: Decimal
    left_cost: Decimal
    position_base: Decimal
    average: Decimal | None
    result_quote: Decimal
    other_fees: tuple[Fee, ...]


@precisely
def books(deal: Deal, setup: Setup) -> Books:
    """Return the books of *deal*."""
    market, sums = setup.market, deal.totals
    quote_fee = sums.fees.get(market.quote, ZERO)
    # A futures position is not made of the coin, so a fee in it takes nothing off.
    is_spot = market.kind is MarketKind.SPOT
    base_fee = sums.fees.get(market.base, ZERO) if is_spot else ZERO
    own = {market.quote, market.base} if is_spot else {market.quote}
    return Books(
        entered_base=sums.entered_base,
        entered_cost=sums.entered_cost,
        left_base=sums.left_base,
        left_cost=sums.left_cost,
        position_base=max(sums.entered_base - sums.left_base - base_fee, ZERO),
        average=deal.average,
        result_quote=(
            setup.terms.sign * (sums.left_cost - sums.entered_cost) - quote_fee + deal.funding_quote
        ),
        other_fees=tuple(
            Fee(currency, amount)
            for currency, amount in sorted(sums.fees.items())
            if currency not in own
        ),
    )


def target_price(average: Decimal, setup: Setup, *, is_recovering: bool = False) -> Decimal:
    """Return the take profit's price, exact: the first step's where it is staged."""
    terms = setup.terms
    percent = terms.target_pct
    if is_recovering and terms.recovery.take_profit_pct is not None:
        percent = terms.recovery.take_profit_pct
    return take_profit_price(average, terms.sign, percent)


def trailed_price(average: Decimal, setup: Setup) -> Decimal:
    """Return the price whose touch arms the trailing take profit, exact."""
    return take_profit_price(average, setup.terms.sign, setup.terms.trailed_pct)


@precisely
def notional_max(deal: Deal, setup: Setup) -> Decimal:
    """Return what *deal* may hold and have resting, quote, so that marginLimit is never passed."""
    share = setup.share if deal.share is None else deal.share
    return share / setup.rates.per_notional


@precisely
def stop_of(deal: Deal, average: Decimal, setup: Setup) -> Decimal:
    """Return the price that stops *deal*."""
    base = deal.base
    start = base.cost_quote / base.filled_base if base.filled_base else average
    return stop_price(
        setup.terms.sign,
        stop_pct=setup.terms.stop_pct,
        reference=setup.terms.stop_reference,
        start=start,
        average=average,
    )


def is_dust(amount_base: Decimal, price: Decimal, market: Market) -> bool:
    """Return whether the exchange would not take an order for *amount_base* at *price*.

    On futures the minimum value does not bind orders that only reduce.
    """
    amount = round_amount(amount_base, market)
    if market.kind is MarketKind.FUTURES:
        return amount < max(market.amount_min, market.amount_step)
    return not is_tradable(amount, price, market)


def observed(order: LegOrder, event: OrderChanged) -> LegOrder:
    """Return *order* as *event* tells it; an older or repeated report changes nothing.

    Raises:
        InvalidTransitionError: The report is impossible after what is known.
    """
    status = advance(order.status, event.status)
    return replace(
        order,
        status=status,
        filled_base=max(order.filled_base, event.filled_base),
        cost_quote=max(order.cost_quote, event.cost_quote),
        fees=_larger_fees(order.fees, event.fees),
        not_before_ms=max(order.not_before_ms, event.not_before_ms),
        since_ms=event.at_ms if status is not order.status else order.since_ms,
    )


def _larger_fees(known: tuple[Fee, ...], told: tuple[Fee, ...]) -> tuple[Fee, ...]:
    """Return per coin what is further from zero: cumulative fees (or rebates) only grow."""
    if known == told or not told:
        return known
    amounts = {fee.currency: fee.amount for fee in known}
    for fee in told:
        if abs(fee.amount) > abs(amounts.get(fee.currency, ZERO)):
            amounts[fee.currency] = fee.amount
    return tuple(Fee(currency, amounts[currency]) for currency in sorted(amounts))
