"""One exchange brand: its markets, accounts, keys, orders and positions.

A `Venue` is deterministic: the same calls with the same arguments give the same answers and the
same state. It knows no clock (time arrives as ``at_ms``), no chance and no wire format.

What always holds: a balance is the sum of its entries; a spot hold is what open orders still need
and never negative; an order never fills beyond its amount; a position is the signed sum of its
fills; a reduce-only order never turns one around.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from backfuturectl.matching.account import Account, require
from backfuturectl.matching.admission import check_leverage
from backfuturectl.matching.book import Book
from backfuturectl.matching.execution import close_order
from backfuturectl.matching.floor import Floor
from backfuturectl.matching.funding import pay_funding, settle_funding
from backfuturectl.matching.history import Bar, History, past
from backfuturectl.matching.intake import check_order, place_order
from backfuturectl.matching.liquidation import liquidate_if_due
from backfuturectl.matching.margin import Position, initial_margin
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.restoring import restore_order, restore_trade
from backfuturectl.matching.ticks import move_price
from backfuturectl.matching.values import (
    ApiKey,
    Balance,
    Change,
    ChangeKind,
    CloseReason,
    Entry,
    EntryKind,
    FuturesOverview,
    Listing,
    MarginMode,
    MarketSetting,
    OrderRequest,
    PositionMode,
    Quote,
    VenueFill,
    VenueFunding,
    VenueOrder,
    VenuePosition,
    VenueRules,
    Wallet,
)
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import Side

_DEFAULT_RULES: Final = VenueRules()


class Venue:
    """An exchange without a wire.

    Attributes:
        name: Brand, as in ``exchange: kucoin``.
        rules: How this brand differs from others.
    """

    def __init__(self, name: str, rules: VenueRules = _DEFAULT_RULES) -> None:
        self.name = name
        self.rules = rules
        self._floor = Floor(rules)
        self._keys: dict[str, ApiKey] = {}
        self._pasts: dict[str, History] = {}

    # Markets and prices

    @property
    def listings(self) -> Mapping[str, Listing]:
        """Markets by venue symbol."""
        return self._floor.listings

    @property
    def changes(self) -> Sequence[Change]:
        """History of effects, append-only; do not change it."""
        return self._floor.changes

    def add_listing(self, listing: Listing) -> None:
        """Open a market, or replace its rules.

        Raises:
            VenueError: A futures market whose maintenance margin does not cover the taker fee:
                closing just above liquidation would leave a debt.
        """
        market = listing.market
        if listing.is_futures and market.maintenance_margin < market.taker_fee:
            raise VenueError(
                Refusal.PARAMETER,
                f"{listing.symbol}: the maintenance margin must cover the taker fee",
            )
        self._floor.listings[listing.symbol] = listing
        self._floor.books.setdefault(listing.symbol, Book())

    def listing(self, symbol: str) -> Listing:
        """Return a market.

        Raises:
            VenueError: SYMBOL_UNKNOWN.
        """
        return self._floor.listing(symbol)

    def quote(self, symbol: str) -> Quote | None:
        """Return the price, or None before the first."""
        self._floor.listing(symbol)
        return self._floor.books[symbol].quote

    def bars(self, symbol: str, opens: range) -> tuple[Bar, ...]:
        """Return candles that begin at *opens*; the past before the first request is flat.

        Empty before the first price.

        Raises:
            VenueError: SYMBOL_UNKNOWN.
        """
        quote = self.quote(symbol)
        if quote is None:
            return ()
        history = self._pasts.setdefault(symbol, History())
        if not history.closes:
            history.note(quote.last, quote.at_ms)
        return history.bars(opens)

    def tell_past(
        self, symbol: str, closes: Sequence[Decimal], *, step_ms: int, until_ms: int
    ) -> None:
        """Let the candles of *step_ms* up to *until_ms* have closed at *closes*, oldest first."""
        self._floor.listing(symbol)
        self._pasts[symbol] = past(closes, step_ms=step_ms, until_ms=until_ms)

    def set_price(
        self,
        symbol: str,
        last: Decimal,
        at_ms: int,
        *,
        bid: Decimal | None = None,
        ask: Decimal | None = None,
    ) -> tuple[VenueFill, ...]:
        """Move the price; fill and liquidate what it reaches, and return the fills.

        Funding that has come due since the price before is paid first, at that price.
        Orders fill in price-time order along the way, each account being liquidated as soon as
        the price on that way reaches its liquidation price.
        """
        listing = self._floor.listing(symbol)
        bid = last if bid is None else bid
        ask = last + listing.spread_ticks * listing.market.price_tick if ask is None else ask
        if not (last > 0 and ZERO < bid <= ask):
            raise VenueError(Refusal.PARAMETER, "expected prices above zero and bid <= ask")
        if symbol in self._pasts:
            self._pasts[symbol].note(last, at_ms)
        if listing.is_futures:
            settle_funding(self._floor, listing, at_ms)
        return move_price(self._floor, listing, Quote(last=last, bid=bid, ask=ask, at_ms=at_ms))

    # Accounts, money, keys

    def add_account(self, account: str) -> None:
        """Open an account (free text id); an existing one is left as it is."""
        if account not in self._floor.accounts:
            self._floor.accounts[account] = Account(
                account, len(self._floor.accounts) + 1, self.rules.position_mode
            )

    @property
    def accounts(self) -> tuple[str, ...]:
        """Account ids in the order of opening."""
        return tuple(self._floor.accounts)

    def account_number(self, account: str) -> int:
        """Return a stable number of the account (for numeric uids), from 1."""
        return self._floor.account(account).number

    def deposit(
        self, account: str, wallet: Wallet, currency: str, amount: Decimal, at_ms: int
    ) -> None:
        """Put money in; a negative amount takes it out.

        Raises:
            VenueError: INSUFFICIENT_BALANCE.
        """
        owner = self._floor.account(account)
        require(self._floor.available(owner, wallet, currency), -amount, currency)
        owner.book(wallet, currency, amount, kind=EntryKind.DEPOSIT, at_ms=at_ms)
        self._floor.note(ChangeKind.TRANSFERRED, owner)

    def transfer(
        self,
        account: str,
        currency: str,
        amount: Decimal,
        *,
        source: Wallet,
        target: Wallet,
        at_ms: int,
    ) -> None:
        """Move available money between wallets.

        Raises:
            VenueError: INSUFFICIENT_BALANCE, or PARAMETER for an amount that is not positive.
        """
        owner = self._floor.account(account)
        if amount <= 0:
            raise VenueError(Refusal.PARAMETER, "expected an amount above zero")
        require(self._floor.available(owner, source, currency), amount, currency)
        owner.book(source, currency, -amount, kind=EntryKind.TRANSFER, at_ms=at_ms)
        owner.book(target, currency, amount, kind=EntryKind.TRANSFER, at_ms=at_ms)
        self._floor.note(ChangeKind.TRANSFERRED, owner)

    def put_key(self, key: ApiKey) -> None:
        """Add a key, or replace it (rights, addresses, expiry, revocation).

        Raises:
            VenueError: ACCOUNT_UNKNOWN.
        """
        owner = self._floor.account(key.account)
        self._keys[key.key] = key
        self._floor.note(ChangeKind.KEY_CHANGED, owner)

    def key(self, key: str) -> ApiKey | None:
        """Return a key, revoked and expired ones too; None for one that never was."""
        return self._keys.get(key)

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """All keys in the order of adding."""
        return tuple(self._keys.values())

    def balances(self, account: str, wallet: Wallet) -> Mapping[str, Balance]:
        """Return the wallet's currencies that ever held something."""
        owner = self._floor.account(account)
        purses = owner.purses[wallet]
        if wallet is Wallet.FUTURES:
            view = self._floor.view(owner)
            return {currency: view.balance(currency) for currency in purses}
        return {
            currency: Balance(purse.total, purse.total - purse.held, purse.held)
            for currency, purse in purses.items()
        }

    def overview(self, account: str, currency: str) -> FuturesOverview:
        """Return the futures wallet in *currency*; zeros where nothing ever was."""
        return self._floor.view(self._floor.account(account)).overview(currency)

    # Orders

    def place(self, account: str, request: OrderRequest, at_ms: int) -> VenueOrder:
        """Take an order, fill what crosses at once, and return it as it then stands.

        Raises:
            VenueError: Refused; nothing has changed.
        """
        floor = self._floor
        owner, listing = floor.account(account), floor.listing(request.symbol)
        return place_order(floor, owner, listing, request, at_ms)

    def check(self, account: str, request: OrderRequest) -> None:
        """Raise what `place` would raise, balance aside, and change nothing (test orders).

        Raises:
            VenueError: The order would be refused.
        """
        check_order(
            self._floor, self._floor.account(account), self._floor.listing(request.symbol), request
        )

    def cancel(self, account: str, serial: int, at_ms: int) -> VenueOrder:
        """Cancel an open order and return it.

        Raises:
            VenueError: ORDER_NOT_FOUND, or ORDER_NOT_CANCELABLE once it is filled or canceled.
        """
        owner = self._floor.account(account)
        order = self.order(account, serial)
        if not order.is_open:
            raise VenueError(
                Refusal.ORDER_NOT_CANCELABLE, f"the order is {order.status}", order_serial=serial
            )
        close_order(self._floor, owner, order, CloseReason.USER, at_ms)
        return owner.orders[serial]

    def order(self, account: str, serial: int) -> VenueOrder:
        """Return one order of the account, however old.

        Raises:
            VenueError: ORDER_NOT_FOUND.
        """
        order = self._floor.account(account).orders.get(serial)
        if order is None:
            raise VenueError(Refusal.ORDER_NOT_FOUND, "no such order")
        return order

    def order_by_client_id(
        self, account: str, client_id: str, symbol: str | None = None
    ) -> VenueOrder:
        """Return the newest order with the client id.

        Raises:
            VenueError: ORDER_NOT_FOUND, also when it is of another market than *symbol*.
        """
        owner = self._floor.account(account)
        serial = owner.serial_by_client_id.get(client_id)
        if serial is None or (symbol is not None and owner.orders[serial].symbol != symbol):
            raise VenueError(Refusal.ORDER_NOT_FOUND, "no such order")
        return owner.orders[serial]

    def open_orders(self, account: str, symbol: str | None = None) -> tuple[VenueOrder, ...]:
        """Return open orders, oldest first."""
        by_symbol = self._floor.account(account).open_orders
        if symbol is not None:
            return tuple(by_symbol.get(symbol, {}).values())
        orders = (order for some in by_symbol.values() for order in some.values())
        return tuple(sorted(orders, key=lambda order: order.serial))

    def orders(self, account: str, symbol: str | None = None) -> tuple[VenueOrder, ...]:
        """Return every order ever, oldest first."""
        return tuple(
            order
            for order in self._floor.account(account).orders.values()
            if symbol is None or order.symbol == symbol
        )

    def fills(
        self, account: str, symbol: str | None = None, *, since_ms: int = 0
    ) -> tuple[VenueFill, ...]:
        """Return executions from *since_ms* on, oldest first."""
        by_symbol = self._floor.account(account).fills
        if symbol is not None:
            return tuple(fill for fill in by_symbol.get(symbol, ()) if fill.at_ms >= since_ms)
        fills = (fill for some in by_symbol.values() for fill in some if fill.at_ms >= since_ms)
        return tuple(sorted(fills, key=lambda fill: fill.serial))

    # A venue whose memory is elsewhere

    def restore_order(
        self,
        account: str,
        request: OrderRequest,
        *,
        filled_base: Decimal,
        filled_quote: Decimal,
        taken_at: Decimal,
        at_ms: int,
    ) -> VenueOrder:
        """Put an open order back as it stood; the next price is the first that can fill it.

        A market order never rests: its rest is executed at *taken_at*, the price of its moment.
        """
        return restore_order(
            self._floor,
            self._floor.account(account),
            self._floor.listing(request.symbol),
            request,
            filled_base=filled_base,
            filled_quote=filled_quote,
            taken_at=taken_at,
            at_ms=at_ms,
        )

    def restore_trade(
        self,
        account: str,
        symbol: str,
        side: Side,
        *,
        amount_base: Decimal,
        price: Decimal,
        at_ms: int,
    ) -> None:
        """Carry an execution of before into the futures position; no money moves."""
        listing = self._floor.futures_listing(symbol)
        restore_trade(
            self._floor,
            self._floor.account(account),
            listing,
            side,
            amount_base=amount_base,
            price=price,
            at_ms=at_ms,
        )

    # Futures

    def position(self, account: str, symbol: str) -> VenuePosition | None:
        """Return the position; None when flat."""
        self._floor.futures_listing(symbol)
        owner = self._floor.account(account)
        position = owner.positions.get(symbol)
        if position is None or not position.amount_base:
            return None
        return self._shown(owner, symbol, position)

    def positions(self, account: str) -> tuple[VenuePosition, ...]:
        """Return all open positions of the account."""
        owner = self._floor.account(account)
        return tuple(
            self._shown(owner, symbol, position)
            for symbol, position in owner.positions.items()
            if position.amount_base
        )

    def setting(self, account: str, symbol: str) -> MarketSetting:
        """Return leverage and margin mode of a futures market."""
        return self._floor.setting(
            self._floor.account(account), self._floor.futures_listing(symbol)
        )

    def set_leverage(self, account: str, symbol: str, leverage: int, at_ms: int) -> None:
        """Set leverage; an open isolated position gets the margin that it asks for.

        Raises:
            VenueError: LEVERAGE, also where the position would be liquidated at once;
                INSUFFICIENT_BALANCE for what an open position then needs.
        """
        listing = self._floor.futures_listing(symbol)
        owner = self._floor.account(account)
        check_leverage(leverage, listing)
        position = owner.positions.get(symbol)
        if position is not None and position.amount_base:
            self._change_position_leverage(owner, listing, position, leverage)
        setting = self._floor.setting(owner, listing)
        owner.settings[symbol] = replace(setting, leverage=leverage)
        self._floor.note(ChangeKind.SETTING_CHANGED, owner)
        # The new margin may leave cross positions short of equity at the present price.
        liquidate_if_due(self._floor, owner, symbol, at_ms)

    def set_margin_mode(self, account: str, symbol: str, mode: MarginMode) -> None:
        """Set the margin mode of a market.

        Raises:
            VenueError: POSITION_OPEN while a position or an order is open there.
        """
        listing = self._floor.futures_listing(symbol)
        owner = self._floor.account(account)
        setting = self._floor.setting(owner, listing)
        if setting.margin_mode is mode:
            return
        self._require_flat(owner, symbol)
        owner.settings[symbol] = replace(setting, margin_mode=mode)
        owner.positions.pop(symbol, None)
        self._floor.note(ChangeKind.SETTING_CHANGED, owner)

    def position_mode(self, account: str) -> PositionMode:
        """Return the account's position mode."""
        return self._floor.account(account).position_mode

    def set_position_mode(self, account: str, mode: PositionMode) -> None:
        """Set the account's position mode.

        Raises:
            VenueError: POSITION_OPEN while any futures position or order is open.
        """
        owner = self._floor.account(account)
        if owner.position_mode is mode:
            return
        for symbol, listing in self._floor.listings.items():
            if listing.is_futures:
                self._require_flat(owner, symbol)
        owner.position_mode = mode
        self._floor.note(ChangeKind.SETTING_CHANGED, owner)

    def apply_funding(self, symbol: str, rate: Decimal, at_ms: int) -> None:
        """Let longs pay shorts *rate* of the position's value; with a negative rate the reverse.

        What available money does not cover comes out of an isolated position's margin.
        """
        pay_funding(self._floor, self._floor.futures_listing(symbol), rate, at_ms)

    def fundings(
        self, account: str, symbol: str | None = None, *, since_ms: int = 0
    ) -> tuple[VenueFunding, ...]:
        """Return funding payments from *since_ms* on, oldest first."""
        return tuple(
            one
            for one in self._floor.account(account).fundings
            if one.at_ms >= since_ms and symbol in {None, one.symbol}
        )

    # The ledger

    def entries(self, account: str) -> tuple[Entry, ...]:
        """Return every change of every balance of the account, oldest first."""
        return tuple(self._floor.account(account).entries)

    # Looking things up

    def _require_flat(self, owner: Account, symbol: str) -> None:
        position = owner.positions.get(symbol)
        if owner.open_orders.get(symbol) or (position is not None and position.amount_base):
            raise VenueError(Refusal.POSITION_OPEN, f"{symbol} has an open position or open orders")

    def _change_position_leverage(
        self, owner: Account, listing: Listing, position: Position, leverage: int
    ) -> None:
        margin = initial_margin(position.cost_quote, leverage)
        currency = listing.market.quote
        more = margin - position.initial_margin_quote
        if more > 0:
            require(self._floor.available(owner, Wallet.FUTURES, currency), more, currency)
        if position.margin_mode is MarginMode.ISOLATED:
            loss = min(position.unrealised_quote(self._floor.marks[listing.symbol]), ZERO)
            needed = self._floor.view(owner).maintenance(listing.symbol, position)
            if margin + loss <= needed:
                raise VenueError(Refusal.LEVERAGE, "the position would be liquidated at once")
            position.margin_quote = margin
        position.leverage = leverage

    def _shown(self, owner: Account, symbol: str, position: Position) -> VenuePosition:
        view = self._floor.view(owner)
        mark = self._floor.marks[symbol]
        ratio = self._floor.listings[symbol].market.maintenance_margin
        return VenuePosition(
            account=owner.name,
            symbol=symbol,
            amount_base=position.amount_base,
            entry_price=position.entry_price,
            mark_price=mark,
            leverage=position.leverage,
            margin_mode=position.margin_mode,
            margin_quote=position.initial_margin_quote,
            maintenance_quote=view.maintenance(symbol, position),
            unrealised_quote=position.unrealised_quote(mark),
            realised_quote=position.realised_quote,
            liquidation_price=position.liquidation_price(view.backing(symbol, position), ratio),
            opened_at_ms=position.opened_at_ms,
        )
