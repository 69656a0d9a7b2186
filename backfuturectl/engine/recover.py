"""Compare the journal with the exchange, as pure functions; `rulings` says what follows.

Invariants:
- An order is ours only if its client id carries this installation's and this bot's code *and* the
  journal knows it. Nothing else is ever canceled.
- An order counts as absent only when a look-up found nothing after the exchange's horizon; one
  that was acknowledged is never declared absent.
- A position that contradicts the journal stops the bot; it is never "corrected" by trading.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from backfuturectl.engine.rulings import Known
from backfuturectl.model.ids import bot_code, parse_client_order_id
from backfuturectl.model.market import Market, MarketKind
from backfuturectl.model.orders import Balances, Fee, Fill, Position


@dataclass(frozen=True, slots=True)
class Executed:
    """What the exchange's fills say about one order, summed."""

    amount_base: Decimal
    cost_quote: Decimal
    fees: tuple[Fee, ...]


def owner(client_order_id: str, *, installation: str, bot: str) -> Known:
    """Return whose an order is by its id alone, for the bot named *bot*; LOST is its own.

    SIBLING is another bot of this installation on the same account and pair, a long beside a short.
    """
    name = parse_client_order_id(client_order_id)
    if name is None:
        return Known.FOREIGN
    if name.installation != installation:
        return Known.TWIN
    return Known.LOST if name.bot == bot_code(bot) else Known.SIBLING


def executed(fills: Iterable[Fill], *, client_order_id: str, order_id: str | None) -> Executed:
    """Return the sum of those *fills* that belong to the order, each execution counted once."""
    seen: dict[str, Fill] = {
        fill.fill_id: fill
        for fill in fills
        if fill.client_order_id == client_order_id
        or (order_id is not None and fill.order_id == order_id)
    }
    fees: dict[str, Decimal] = {}
    for fill in seen.values():
        if fill.fee is not None:
            fees[fill.fee.currency] = fees.get(fill.fee.currency, Decimal(0)) + fill.fee.amount
    return Executed(
        amount_base=sum((fill.amount_base for fill in seen.values()), Decimal(0)),
        cost_quote=sum((fill.amount_base * fill.price for fill in seen.values()), Decimal(0)),
        fees=tuple(Fee(currency, amount) for currency, amount in sorted(fees.items())),
    )


def position_mismatch(
    expected_base: Decimal, *, market: Market, position: Position | None, balances: Balances | None
) -> str | None:
    """Return how the account contradicts *expected_base* (signed), or None when it does not.

    On futures the position must equal the journal's within one amount step. On spot the account
    may hold more than the bot bought (the owner's own coins), never less.
    """
    if market.kind is MarketKind.FUTURES:
        actual = position.amount_base if position is not None else Decimal(0)
        if abs(actual - expected_base) < market.amount_step:
            return None
        return (
            f"the journal says {expected_base:f} {market.base}, the exchange shows a position of "
            f"{actual:f}"
        )
    if expected_base < market.amount_step or balances is None:
        return None
    held = balances.total.get(market.base, Decimal(0))
    if held + market.amount_step > expected_base:
        return None
    return f"the journal says {expected_base:f} {market.base}, the account holds only {held:f}"
