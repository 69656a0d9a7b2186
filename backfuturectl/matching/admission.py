"""Whether an order may enter: everything that needs no look at balances, orders or positions."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from backfuturectl.matching.book import taking_price
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import Listing, OrderRequest, Quote, TimeInForce
from backfuturectl.model.market import ONE
from backfuturectl.model.orders import OrderType

_DIGITS_MAX: Final = 13
_COST_MAX: Final = Decimal(10) ** 14
"""Larger numbers, with twelve decimals, would leave the 28 digits in which decimals are exact."""


def admit(request: OrderRequest, listing: Listing, quote: Quote | None) -> None:
    """Raise VenueError unless *request* is well formed and within the market's rules."""
    _check_form(request, listing)
    if not listing.market.is_active:
        raise VenueError(Refusal.SYMBOL_CLOSED, f"{listing.symbol} takes no orders")
    if request.type is OrderType.MARKET and quote is None:
        raise VenueError(Refusal.PRICE_MISSING, f"{listing.symbol} has no price yet")
    _check_trigger(request, listing)
    _check_price(request, listing, quote)
    _check_amount(request, listing)
    _check_cost(request, listing, quote)
    if listing.is_futures and request.leverage is not None:
        check_leverage(request.leverage, listing)


def check_leverage(leverage: int, listing: Listing) -> None:
    """Raise VenueError unless the market allows *leverage*."""
    if not 1 <= leverage <= listing.market.leverage_max:
        raise VenueError(
            Refusal.LEVERAGE, f"leverage is 1 to {listing.market.leverage_max}, not {leverage}"
        )


def _check_form(request: OrderRequest, listing: Listing) -> None:
    is_limit = request.type is OrderType.LIMIT
    wrong = ""
    if (request.amount_base is None) == (request.cost_quote is None):
        wrong = "either an amount or a cost"
    elif request.cost_quote is not None and (is_limit or listing.is_futures):
        wrong = "a cost only with spot market orders"
    elif is_limit != (request.price is not None):
        wrong = "a price with limit orders and with no others"
    elif request.is_post_only and (not is_limit or request.time_in_force is not TimeInForce.GTC):
        wrong = "post-only with resting limit orders only"
    elif (request.is_reduce_only or request.trigger is not None) and not listing.is_futures:
        wrong = "reduce-only and stop orders on futures only"
    elif any(
        value is not None and not (value.is_finite() and value.adjusted() < _DIGITS_MAX)
        for value in (
            request.amount_base,
            request.cost_quote,
            request.price,
            None if request.trigger is None else request.trigger.price,
        )
    ):
        wrong = f"numbers below 1e{_DIGITS_MAX}"
    if wrong:
        raise VenueError(Refusal.PARAMETER, f"expected {wrong}")


def _check_trigger(request: OrderRequest, listing: Listing) -> None:
    trigger, tick = request.trigger, listing.market.price_tick
    if trigger is not None and (trigger.price <= 0 or trigger.price % tick):
        raise VenueError(
            Refusal.PRICE_PRECISION,
            f"the trigger is a positive multiple of {tick:f}, not {trigger.price:f}",
        )


def _check_price(request: OrderRequest, listing: Listing, quote: Quote | None) -> None:
    price = request.price
    if price is None:
        return
    if price <= 0 or price % listing.market.price_tick:
        raise VenueError(
            Refusal.PRICE_PRECISION,
            f"the price is a positive multiple of {listing.market.price_tick:f}, not {price:f}",
        )
    # A stop's price is far from the market on purpose until it triggers.
    band = listing.price_band if request.trigger is None else None
    if band is not None and quote is not None:
        low, high = quote.last * (ONE - band), quote.last * (ONE + band)
        if not low <= price <= high:
            raise VenueError(Refusal.PRICE_BAND, f"the price is {low:f} to {high:f}, not {price:f}")


def _check_amount(request: OrderRequest, listing: Listing) -> None:
    amount, market = request.amount_base, listing.market
    if amount is None:
        return
    if amount <= 0 or amount < market.amount_min:
        raise VenueError(
            Refusal.AMOUNT_BELOW_MINIMUM, f"the least is {market.amount_min:f}, not {amount:f}"
        )
    if market.amount_max is not None and amount > market.amount_max:
        raise VenueError(
            Refusal.AMOUNT_ABOVE_MAXIMUM, f"the most is {market.amount_max:f}, not {amount:f}"
        )
    if amount % market.amount_step:
        raise VenueError(
            Refusal.AMOUNT_PRECISION,
            f"the amount is a multiple of {market.amount_step:f}, not {amount:f}",
        )


def _check_cost(request: OrderRequest, listing: Listing, quote: Quote | None) -> None:
    cost = _cost(request, quote)
    market = listing.market
    if cost <= 0 or cost < market.cost_min:
        raise VenueError(
            Refusal.COST_BELOW_MINIMUM, f"the least value is {market.cost_min:f}, not {cost:f}"
        )
    highest = _COST_MAX if listing.cost_max is None else min(listing.cost_max, _COST_MAX)
    if cost > highest:
        raise VenueError(Refusal.AMOUNT_ABOVE_MAXIMUM, f"the highest value is {highest:f}")
    if request.cost_quote is not None and quote is not None:
        price = taking_price(request.side, quote)
        if cost < price * max(market.amount_step, market.amount_min):
            raise VenueError(
                Refusal.AMOUNT_BELOW_MINIMUM,
                f"{cost:f} buys less than the least amount, {market.amount_min:f}",
            )


def _cost(request: OrderRequest, quote: Quote | None) -> Decimal:
    if request.cost_quote is not None:
        return request.cost_quote
    price = request.price
    if price is None:
        assert quote is not None  # market orders without a price were refused before
        price = taking_price(request.side, quote)
    assert request.amount_base is not None  # the form was checked before
    return request.amount_base * price
