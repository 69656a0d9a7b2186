"""The trading floor: the state that all of a venue's operations share, and how to look it up."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from backfuturectl.matching.account import Account, FuturesView
from backfuturectl.matching.book import Book
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    Change,
    ChangeKind,
    Listing,
    MarketSetting,
    VenueOrder,
    VenueRules,
    Wallet,
)
from backfuturectl.model.market import ZERO


@dataclass(slots=True)
class Floor:
    """A venue's state; changed by `intake`, `execution`, `liquidation` and `ticks` alone.

    Attributes:
        listings: Markets by venue symbol.
        books: By venue symbol; every listing has one.
        marks: Last price by venue symbol; while a price update is worked through, the price it has
            come to.
        accounts: By name.
        owners: The account of every order ever, by serial.
        holders: Names of the accounts with an open position, by venue symbol, in a fixed order.
        changes: History of effects.
        funded_ms: The last funding time that has passed, by venue symbol.
    """

    rules: VenueRules
    listings: dict[str, Listing] = field(default_factory=dict)
    books: dict[str, Book] = field(default_factory=dict)
    marks: dict[str, Decimal] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    owners: dict[int, Account] = field(default_factory=dict)
    holders: dict[str, dict[str, None]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    fill_count: int = 0
    funding_count: int = 0
    funded_ms: dict[str, int] = field(default_factory=dict)

    def account(self, account: str) -> Account:
        """Return an account; VenueError ACCOUNT_UNKNOWN."""
        try:
            return self.accounts[account]
        except KeyError:
            raise VenueError(Refusal.ACCOUNT_UNKNOWN, f"no account {account}") from None

    def listing(self, symbol: str) -> Listing:
        """Return a market; VenueError SYMBOL_UNKNOWN."""
        try:
            return self.listings[symbol]
        except KeyError:
            raise VenueError(Refusal.SYMBOL_UNKNOWN, f"no market {symbol}") from None

    def futures_listing(self, symbol: str) -> Listing:
        """Return a futures market; VenueError SYMBOL_UNKNOWN, also for a spot market."""
        listing = self.listing(symbol)
        if not listing.is_futures:
            raise VenueError(Refusal.SYMBOL_UNKNOWN, f"{symbol} is no futures market")
        return listing

    def view(self, owner: Account) -> FuturesView:
        """Return the futures side of an account at present prices."""
        return FuturesView(owner, self.listings, self.marks)

    def available(self, owner: Account, wallet: Wallet, currency: str) -> Decimal:
        """Return what can be spent or moved; below zero when losses have eaten more."""
        if wallet is Wallet.FUTURES:
            return self.view(owner).overview(currency).available_quote
        purse = owner.purses[wallet].get(currency)
        return ZERO if purse is None else purse.total - purse.held

    def setting(self, owner: Account, listing: Listing) -> MarketSetting:
        """Return leverage and margin mode, the venue's defaults until the account chose."""
        setting = owner.settings.get(listing.symbol)
        if setting is None:
            leverage = min(self.rules.leverage, listing.market.leverage_max)
            setting = MarketSetting(leverage, self.rules.margin_mode)
        return setting

    def note(self, kind: ChangeKind, owner: Account, order: VenueOrder | None = None) -> None:
        """Write one effect into the history."""
        serial, client_id = (None, None) if order is None else (order.serial, order.client_id)
        self.changes.append(Change(kind, owner.name, serial, client_id))
