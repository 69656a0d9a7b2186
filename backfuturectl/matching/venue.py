"""One exchange brand: its markets, accounts, keys, orders and positions.

A `Venue` is deterministic: the same calls with the same arguments give the same answers and the
same state. It knows no clock (time arrives as ``at_ms``), no chance and no wire format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from backfuturectl.matching.values import (
    ApiKey,
    Balance,
    Change,
    Entry,
    FuturesOverview,
    Listing,
    MarginMode,
    MarketSetting,
    OrderRequest,
    PositionMode,
    Quote,
    VenueFill,
    VenueOrder,
    VenuePosition,
    VenueRules,
    Wallet,
)


class Venue:
    """An exchange without a wire.

    Attributes:
        name: Brand, as in ``exchange: kucoin``.
        listings: Markets by venue symbol.
        changes: Append-only history of effects.
    """

    name: str
    listings: Mapping[str, Listing]
    changes: Sequence[Change]

    def __init__(self, name: str, rules: VenueRules | None = None) -> None: ...

    # Markets and prices

    def add_listing(self, listing: Listing) -> None:
        """Open a market, or replace its rules."""
        raise NotImplementedError

    def listing(self, symbol: str) -> Listing:
        """Return a market; VenueError SYMBOL_UNKNOWN."""
        raise NotImplementedError

    def quote(self, symbol: str) -> Quote | None:
        """Return the price, or None before the first."""
        raise NotImplementedError

    def set_price(
        self,
        symbol: str,
        last: Decimal,
        at_ms: int,
        *,
        bid: Decimal | None = None,
        ask: Decimal | None = None,
    ) -> tuple[VenueFill, ...]:
        """Move the price; liquidate and fill what it reaches, and return the fills."""
        raise NotImplementedError

    # Accounts, money, keys

    def add_account(self, account: str) -> None:
        """Open an account (free text id); an existing one is left as it is."""
        raise NotImplementedError

    @property
    def accounts(self) -> tuple[str, ...]:
        """Account ids in the order of opening."""
        raise NotImplementedError

    def account_number(self, account: str) -> int:
        """Return a stable number of the account (for numeric uids), from 1."""
        raise NotImplementedError

    def deposit(
        self, account: str, wallet: Wallet, currency: str, amount: Decimal, at_ms: int
    ) -> None:
        """Put money in (a negative amount takes it out); VenueError INSUFFICIENT_BALANCE."""
        raise NotImplementedError

    def transfer(
        self,
        account: str,
        currency: str,
        amount: Decimal,
        source: Wallet,
        target: Wallet,
        at_ms: int,
    ) -> None:
        """Move available money between wallets; VenueError INSUFFICIENT_BALANCE."""
        raise NotImplementedError

    def put_key(self, key: ApiKey) -> None:
        """Add a key, or replace it (rights, addresses, expiry, revocation)."""
        raise NotImplementedError

    def key(self, key: str) -> ApiKey | None:
        """Return a key, revoked and expired ones too; None for one that never was."""
        raise NotImplementedError

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """All keys in the order of adding."""
        raise NotImplementedError

    def balances(self, account: str, wallet: Wallet) -> Mapping[str, Balance]:
        """Return the wallet's currencies that ever held something."""
        raise NotImplementedError

    def overview(self, account: str, currency: str) -> FuturesOverview:
        """Return the futures wallet in *currency*; zeros where nothing ever was."""
        raise NotImplementedError

    # Orders

    def place(self, account: str, request: OrderRequest, at_ms: int) -> VenueOrder:
        """Take an order, fill what crosses at once, and return it as it then stands.

        Raises:
            VenueError: Refused; nothing has changed.
        """
        raise NotImplementedError

    def check(self, account: str, request: OrderRequest) -> None:
        """Raise what `place` would raise, balance aside, and change nothing (test orders)."""
        raise NotImplementedError

    def cancel(self, account: str, serial: int, at_ms: int) -> VenueOrder:
        """Cancel an open order and return it.

        Raises:
            VenueError: ORDER_NOT_FOUND, or ORDER_NOT_CANCELABLE once it is filled or canceled.
        """
        raise NotImplementedError

    def order(self, account: str, serial: int) -> VenueOrder:
        """Return one order of the account, however old; VenueError ORDER_NOT_FOUND."""
        raise NotImplementedError

    def order_by_client_id(
        self, account: str, client_id: str, symbol: str | None = None
    ) -> VenueOrder:
        """Return the newest order with the client id; VenueError ORDER_NOT_FOUND."""
        raise NotImplementedError

    def open_orders(self, account: str, symbol: str | None = None) -> tuple[VenueOrder, ...]:
        """Return open orders, oldest first."""
        raise NotImplementedError

    def orders(self, account: str, symbol: str | None = None) -> tuple[VenueOrder, ...]:
        """Return every order ever, oldest first."""
        raise NotImplementedError

    def fills(
        self, account: str, symbol: str | None = None, *, since_ms: int = 0
    ) -> tuple[VenueFill, ...]:
        """Return executions from *since_ms* on, oldest first."""
        raise NotImplementedError

    # Futures

    def position(self, account: str, symbol: str) -> VenuePosition | None:
        """Return the position; None when flat."""
        raise NotImplementedError

    def positions(self, account: str) -> tuple[VenuePosition, ...]:
        """Return all open positions of the account."""
        raise NotImplementedError

    def setting(self, account: str, symbol: str) -> MarketSetting:
        """Return leverage and margin mode of a futures market."""
        raise NotImplementedError

    def set_leverage(self, account: str, symbol: str, leverage: int, at_ms: int) -> None:
        """Set leverage; VenueError LEVERAGE, or INSUFFICIENT_BALANCE for an open position."""
        raise NotImplementedError

    def set_margin_mode(self, account: str, symbol: str, mode: MarginMode, at_ms: int) -> None:
        """Set the margin mode; VenueError POSITION_OPEN while a position or order is open."""
        raise NotImplementedError

    def position_mode(self, account: str) -> PositionMode:
        """Return the account's position mode."""
        raise NotImplementedError

    def set_position_mode(self, account: str, mode: PositionMode, at_ms: int) -> None:
        """Set the position mode; VenueError POSITION_OPEN while a position or order is open."""
        raise NotImplementedError

    def apply_funding(self, symbol: str, rate: Decimal, at_ms: int) -> None:
        """Let longs pay shorts *rate* of the position's value (a negative rate: the reverse)."""
        raise NotImplementedError

    # The ledger

    def entries(self, account: str) -> tuple[Entry, ...]:
        """Return every change of every balance of the account, oldest first."""
        raise NotImplementedError
