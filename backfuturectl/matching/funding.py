"""Funding: what longs pay to shorts, or shorts to longs, at fixed times."""

from __future__ import annotations

from decimal import Decimal

from backfuturectl.matching.account import Account
from backfuturectl.matching.floor import Floor
from backfuturectl.matching.liquidation import liquidate_if_due
from backfuturectl.matching.margin import fee_of
from backfuturectl.matching.values import EntryKind, Listing, MarginMode, VenueFunding, Wallet
from backfuturectl.model.market import ZERO


def settle_funding(floor: Floor, listing: Listing, at_ms: int) -> None:
    """Make the payments of every funding time of the market that has passed since the last call.

    The first call makes none: nobody can have held a position before the first price.
    """
    interval_ms, symbol = listing.funding_interval_ms, listing.symbol
    due_ms = at_ms // interval_ms * interval_ms
    done_ms = floor.funded_ms.get(symbol, due_ms)
    floor.funded_ms[symbol] = max(due_ms, done_ms)
    if not listing.funding_rate or not floor.holders.get(symbol):
        return
    for time_ms in range(done_ms + interval_ms, due_ms + 1, interval_ms):
        pay_funding(floor, listing, listing.funding_rate, time_ms)


def pay_funding(floor: Floor, listing: Listing, rate: Decimal, at_ms: int) -> None:
    """Let longs pay shorts *rate* of the position's value; with a negative rate the reverse.

    What available money does not cover comes out of an isolated position's margin.
    """
    for name in tuple(floor.holders.get(listing.symbol, ())):
        owner = floor.accounts[name]
        _pay(floor, owner, listing, rate, at_ms)
        liquidate_if_due(floor, owner, listing.symbol, at_ms)


def _pay(floor: Floor, owner: Account, listing: Listing, rate: Decimal, at_ms: int) -> None:
    symbol, currency = listing.symbol, listing.market.quote
    position, mark = owner.positions[symbol], floor.marks[symbol]
    payment = -position.sign * fee_of(abs(position.amount_base) * mark, rate)
    position.realised_quote += payment
    owner.book(Wallet.FUTURES, currency, payment, kind=EntryKind.FUNDING, at_ms=at_ms)
    floor.funding_count += 1
    owner.fundings.append(
        VenueFunding(
            serial=floor.funding_count,
            account=owner.name,
            symbol=symbol,
            rate=rate,
            mark_price=mark,
            amount_base=position.amount_base,
            margin_mode=position.margin_mode,
            payment_quote=payment,
            at_ms=at_ms,
        )
    )
    overview = floor.view(owner).overview(currency)
    shortfall = -(overview.available_quote + overview.order_margin_quote)
    if shortfall > ZERO and position.margin_mode is MarginMode.ISOLATED:
        position.margin_quote -= min(shortfall, position.margin_quote)
