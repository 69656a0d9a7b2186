"""What must hold at every moment of every history, checked against the exchange's own books."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

from backfuturectl.matching.values import CloseReason, OrderType, VenueOrder, symbol_of
from backfuturectl.matching.venue import Venue
from backfuturectl.model.ids import bot_code, bot_id, parse_client_order_id, via_bot_id
from backfuturectl.model.market import ZERO, MarketKind

TAKER_FEES = {MarketKind.SPOT: Decimal("0.001"), MarketKind.FUTURES: Decimal("0.0006")}


DUST_BASE = Decimal("0.0001")
"""The amount step of the simulated markets."""

parsed = lru_cache(maxsize=10_000)(parse_client_order_id)


class BrokenError(AssertionError):
    """An invariant does not hold."""


class OverrunError(Exception):
    """A position was liquidated while its stop was being filled, as fast as the market took it."""


@dataclass(frozen=True)
class Trader:
    """One bot as the checks know it.

    Attributes:
        account: Connection that it trades through.
        sign: 1 for long, -1 for short.
        limit: The largest marginLimit that its strategy ever has, quote.
        via: Its connection where it is a pair's second bot; empty for the first.
    """

    strategy: str
    pair: str
    account: str
    kind: MarketKind
    sign: int
    limit: Decimal
    via: str = ""

    @property
    def first(self) -> str:
        """The pair's first bot, which may be this one."""
        return bot_id(self.strategy, self.pair)

    @property
    def bot(self) -> str:
        return via_bot_id(self.first, self.via) if self.via else self.first

    @property
    def symbol(self) -> str:
        return symbol_of(self.kind, self.pair)


@dataclass
class DealBooks:
    """What one deal's orders at the exchange add up to."""

    leverage: int = 1
    entered_base: Decimal = ZERO
    entered_quote: Decimal = ZERO
    left_base: Decimal = ZERO
    left_quote: Decimal = ZERO
    base_fee: Decimal = ZERO
    quote_fee: Decimal = ZERO
    adding_quote: Decimal = ZERO
    exits_base: Decimal = ZERO
    is_resting: bool = False
    was_stopped: bool = False

    @property
    def held_base(self) -> Decimal:
        return self.entered_base - self.base_fee - self.left_base

    @property
    def held_cost(self) -> Decimal:
        """What is held has cost this; coins taken as fee are spread, and dust counts as flat."""
        if self.held_base < DUST_BASE:
            return ZERO
        return self.entered_quote * self.held_base / (self.entered_base - self.base_fee)


def deal_books(orders: Iterable[VenueOrder], trader: Trader) -> DealBooks:
    books = DealBooks()
    base, _, quote = trader.pair.partition("/")
    for order in orders:
        name = parsed(order.client_id or "")
        assert name is not None, "only orders of ours are summed"
        rest = order.remaining_base if order.is_open else ZERO
        books.is_resting |= order.is_open
        if name.leg.kind.is_adding:
            books.leverage = order.leverage
            books.entered_base += order.filled_base
            books.entered_quote += order.filled_quote
            books.adding_quote += rest * (order.price or ZERO)
        else:
            books.left_base += order.filled_base
            books.left_quote += order.filled_quote
            if order.trigger is None:
                books.exits_base += rest
            elif not order.is_reduce_only:
                raise BrokenError(f"{order.client_id} could open a position")
            books.was_stopped |= order.triggered_at_ms is not None
        for fee in order.fees:
            if fee.currency == base:
                books.base_fee += fee.amount
            elif fee.currency == quote:
                books.quote_fee += fee.amount
    return books


@dataclass
class Ledger:
    """Orders of ours at the exchange by bot code and deal, kept up to date.

    Attributes:
        forgives_unfilled: Whether an id may be used again whose order was canceled unfilled: a
            store as old as its copy cannot know of it, and exchanges refuse it as a duplicate.
    """

    venue: Venue
    accounts: tuple[str, ...]
    traders: dict[tuple[str, str], Trader]
    deals: dict[tuple[str, str], dict[int, list[tuple[str, int]]]] = field(default_factory=dict)
    ids: Counter[tuple[str, str]] = field(default_factory=Counter)
    forgives_unfilled: bool = False
    _read: dict[str, int] = field(default_factory=dict)
    _added_up: dict[tuple[str, str, int], tuple[list[VenueOrder], DealBooks]] = field(
        default_factory=dict
    )

    def update(self) -> None:
        """Take note of orders that are new since the last time."""
        for account in self.accounts:
            orders = self.venue.orders(account)
            for order in orders[self._read.get(account, 0) :]:
                name = parsed(order.client_id or "")
                if name is None:
                    if order.is_liquidation and self._was_leaving(account, order):
                        raise OverrunError(f"the market took too little before {order}")
                    if order.is_liquidation:
                        raise BrokenError(f"the exchange liquidated {order}")
                    continue
                key = (name.installation, name.bot)
                if key not in self.traders:
                    raise BrokenError(f"{order.client_id} belongs to no bot")
                mine = self.deals.setdefault(key, {}).setdefault(name.deal, [])
                mine.append((account, order.serial))
                self.ids[account, order.client_id or ""] += 1
                if self.ids[account, order.client_id or ""] > 1 and not self._is_forgiven(
                    order, self.orders(key, name.deal)
                ):
                    raise BrokenError(f"the exchange has two orders {order.client_id}")
            self._read[account] = len(orders)

    def _was_leaving(self, account: str, end: VenueOrder) -> bool:
        """Return whether all that the exchange liquidated by *end* was on offer at market."""
        return any(
            order.close_reason is CloseReason.LIQUIDATION
            and order.updated_at_ms == end.created_at_ms
            and order.type is OrderType.MARKET
            and order.is_reduce_only
            and order.filled_base
            and order.remaining_base >= end.filled_base
            for order in self.venue.orders(account, end.symbol)
        )

    def _is_forgiven(self, order: VenueOrder, orders: list[VenueOrder]) -> bool:
        """Return whether *order* only repeats, after a relapse, what was canceled unfilled."""
        return self.forgives_unfilled and not any(
            other.client_id == order.client_id and (other.is_open or other.filled_base)
            for other in orders
            if other.serial != order.serial
        )

    def orders(self, key: tuple[str, str], deal: int) -> list[VenueOrder]:
        found = self.deals.get(key, {}).get(deal, [])
        return [self.venue.order(account, serial) for account, serial in found]

    def _books(self, key: tuple[str, str], deal: int) -> DealBooks:
        """Return what a deal's orders add up to, added up again only when one has changed."""
        orders = self.orders(key, deal)
        known = self._added_up.get((*key, deal))
        if known is not None and known[0] == orders:
            return known[1]
        books = deal_books(orders, self.traders[key])
        self._added_up[*key, deal] = orders, books
        return books

    def live(self) -> Iterator[tuple[Trader, int, DealBooks]]:
        """Yield the books of deals that may still hold or rest something."""
        for key, deals in self.deals.items():
            trader = self.traders[key]
            newest = max(deals)
            for number in list(deals):
                books = self._books(key, number)
                if number < newest and not books.is_resting:
                    del deals[number]  # over, and a newer one has begun
                    must_not_oversell(trader, number, books)
                    continue
                yield trader, number, books

    def check(self) -> None:
        """Raise BrokenError for the first thing that does not hold."""
        self.update()
        margins: dict[str, Decimal] = {}
        for trader, number, books in self.live():
            must_not_oversell(trader, number, books)
            margin = margin_of(books, trader)
            margins[trader.strategy] = margins.get(trader.strategy, ZERO) + margin
            if margins[trader.strategy] > trader.limit:
                raise BrokenError(
                    f"{trader.strategy}: margin {margins[trader.strategy]:.4f} is above its limit "
                    f"of {trader.limit}, {trader.bot} deal {number}: {books}"
                )
        for trader in self.traders.values():
            if trader.kind is MarketKind.FUTURES:
                position = self.venue.position(trader.account, trader.symbol)
                if position is not None and position.amount_base * trader.sign < 0:
                    raise BrokenError(f"{trader.bot} was flipped to {position.amount_base}")


def margin_of(books: DealBooks, trader: Trader) -> Decimal:
    """Return the margin that a deal has in use and under orders, with the fees of both ways."""
    quote = books.held_cost + books.adding_quote
    return quote * (Decimal(1) / books.leverage + 2 * TAKER_FEES[trader.kind])


def must_not_oversell(trader: Trader, number: int, books: DealBooks) -> None:
    """Raise BrokenError where a deal's exits could sell more than it has entered."""
    # Stops only reduce: the exchange clips them to the position, and once one has fired, the
    # other exits, too.
    exits_base = ZERO if books.was_stopped else books.exits_base
    if books.left_base + exits_base > books.entered_base - books.base_fee:
        raise BrokenError(
            f"{trader.bot} deal {number}: exits of {books.left_base} and {books.exits_base} "
            f"resting exceed what was entered: {books}"
        )


def one_task_per_bot() -> None:
    """Raise BrokenError when two tasks run one bot."""
    names = Counter(
        task.get_name()
        for task in asyncio.all_tasks()
        if task.get_name().startswith("bot ") and not task.done()
    )
    for name, count in names.items():
        if count > 1:
            raise BrokenError(f"{count} tasks are `{name}`")


def codes(traders: Iterable[Trader], installation: str) -> dict[tuple[str, str], Trader]:
    """Return *traders* by what stands in their client order ids."""
    return {(installation, bot_code(trader.bot)): trader for trader in traders}
