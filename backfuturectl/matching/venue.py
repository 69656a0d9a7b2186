"""One exchange brand: its markets, accounts, keys, orders and positions.

A `Venue` is deterministic: the same calls with the same arguments give the same answers and the
same state. It knows no clock (time arrives as ``at_ms``), no chance and no wire format.

What always holds: a balance is the sum of its entries; a spot hold is what open orders still need
and never negative; an order never fills beyond its amount; a position is the signed sum of its
fills; a reduce-only order never turns one around.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from backfuturectl.matching.account import Account, FuturesView, require
from backfuturectl.matching.admission import admit, check_leverage
from backfuturectl.matching.book import Book, crosses, is_reached, taking_price
from backfuturectl.matching.margin import Position, fee_of, initial_margin
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    ApiKey,
    Balance,
    Change,
    ChangeKind,
    ClientIdScope,
    CloseReason,
    Entry,
    EntryKind,
    FeeMode,
    FuturesOverview,
    Listing,
    MarginMode,
    MarketSetting,
    OrderRequest,
    PositionMode,
    Quote,
    TimeInForce,
    VenueFill,
    VenueOrder,
    VenuePosition,
    VenueRules,
    Wallet,
)
from backfuturectl.model.market import ONE, ZERO, step_down, step_up
from backfuturectl.model.orders import Fee, OrderStatus, OrderType, Side

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
        self._listings: dict[str, Listing] = {}
        self._books: dict[str, Book] = {}
        self._marks: dict[str, Decimal] = {}
        self._accounts: dict[str, Account] = {}
        self._keys: dict[str, ApiKey] = {}
        self._owners: dict[int, Account] = {}
        self._holders: dict[str, dict[str, None]] = {}
        self._changes: list[Change] = []
        self._fill_count = 0

    # Markets and prices

    @property
    def listings(self) -> Mapping[str, Listing]:
        """Markets by venue symbol."""
        return self._listings

    @property
    def changes(self) -> Sequence[Change]:
        """History of effects, append-only; do not change it."""
        return self._changes

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
        self._listings[listing.symbol] = listing
        self._books.setdefault(listing.symbol, Book())

    def listing(self, symbol: str) -> Listing:
        """Return a market.

        Raises:
            VenueError: SYMBOL_UNKNOWN.
        """
        try:
            return self._listings[symbol]
        except KeyError:
            raise VenueError(Refusal.SYMBOL_UNKNOWN, f"no market {symbol}") from None

    def quote(self, symbol: str) -> Quote | None:
        """Return the price, or None before the first."""
        self.listing(symbol)
        return self._books[symbol].quote

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

        Orders fill in price-time order along the way, each account being liquidated as soon as
        the price on that way reaches its liquidation price.
        """
        listing = self.listing(symbol)
        bid = last if bid is None else bid
        ask = last + listing.spread_ticks * listing.market.price_tick if ask is None else ask
        if not ZERO < bid <= ask:
            raise VenueError(Refusal.PARAMETER, "expected prices above zero and bid <= ask")
        book = self._books[symbol]
        before = book.quote
        book.quote = Quote(last=last, bid=bid, ask=ask, at_ms=at_ms)
        depth = listing.fill_max_base
        if depth is not None:
            depth = step_down(depth, listing.market.amount_step)
        book.depth_base = {Side.BUY: depth, Side.SELL: depth}
        first_fill = self._fill_count
        new: list[VenueFill] = []
        for side in Side:
            new.extend(self._fill_reached(listing, side, before, at_ms))
        self._marks[symbol] = last
        for name in tuple(self._holders.get(symbol, ())):
            new.extend(self._liquidate_if_due(self._accounts[name], symbol, at_ms))
        assert len(new) == self._fill_count - first_fill
        return tuple(new)

    # Accounts, money, keys

    def add_account(self, account: str) -> None:
        """Open an account (free text id); an existing one is left as it is."""
        if account not in self._accounts:
            self._accounts[account] = Account(
                account, len(self._accounts) + 1, self.rules.position_mode
            )

    @property
    def accounts(self) -> tuple[str, ...]:
        """Account ids in the order of opening."""
        return tuple(self._accounts)

    def account_number(self, account: str) -> int:
        """Return a stable number of the account (for numeric uids), from 1."""
        return self._account(account).number

    def deposit(
        self, account: str, wallet: Wallet, currency: str, amount: Decimal, at_ms: int
    ) -> None:
        """Put money in; a negative amount takes it out.

        Raises:
            VenueError: INSUFFICIENT_BALANCE.
        """
        owner = self._account(account)
        require(self._available(owner, wallet, currency), -amount, currency)
        owner.book(wallet, currency, amount, kind=EntryKind.DEPOSIT, at_ms=at_ms)
        self._changes.append(Change(ChangeKind.TRANSFERRED, account))

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
        owner = self._account(account)
        if amount <= 0:
            raise VenueError(Refusal.PARAMETER, "expected an amount above zero")
        require(self._available(owner, source, currency), amount, currency)
        owner.book(source, currency, -amount, kind=EntryKind.TRANSFER, at_ms=at_ms)
        owner.book(target, currency, amount, kind=EntryKind.TRANSFER, at_ms=at_ms)
        self._changes.append(Change(ChangeKind.TRANSFERRED, account))

    def put_key(self, key: ApiKey) -> None:
        """Add a key, or replace it (rights, addresses, expiry, revocation).

        Raises:
            VenueError: ACCOUNT_UNKNOWN.
        """
        self._account(key.account)
        self._keys[key.key] = key
        self._changes.append(Change(ChangeKind.KEY_CHANGED, key.account))

    def key(self, key: str) -> ApiKey | None:
        """Return a key, revoked and expired ones too; None for one that never was."""
        return self._keys.get(key)

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """All keys in the order of adding."""
        return tuple(self._keys.values())

    def balances(self, account: str, wallet: Wallet) -> Mapping[str, Balance]:
        """Return the wallet's currencies that ever held something."""
        owner = self._account(account)
        purses = owner.purses[wallet]
        if wallet is Wallet.FUTURES:
            view = self._view(owner)
            return {currency: view.balance(currency) for currency in purses}
        return {
            currency: Balance(purse.total, purse.total - purse.held, purse.held)
            for currency, purse in purses.items()
        }

    def overview(self, account: str, currency: str) -> FuturesOverview:
        """Return the futures wallet in *currency*; zeros where nothing ever was."""
        return self._view(self._account(account)).overview(currency)

    # Orders

    def place(self, account: str, request: OrderRequest, at_ms: int) -> VenueOrder:
        """Take an order, fill what crosses at once, and return it as it then stands.

        Raises:
            VenueError: Refused; nothing has changed.
        """
        owner = self._account(account)
        listing = self.listing(request.symbol)
        self._check(owner, listing, request)
        book = self._books[request.symbol]
        order = self._new_order(owner, listing, request, at_ms)
        takes = book.quote is not None and crosses(order, book.quote)
        if order.is_post_only and takes and self.rules.is_post_only_refused:
            raise VenueError(Refusal.POST_ONLY_WOULD_TAKE, "the order would take")
        order = self._held(order, book.quote)
        self._require_funds(owner, listing, order)

        self._owners[order.serial] = owner
        if order.client_id is not None:
            owner.serial_by_client_id[order.client_id] = order.serial
        self._changes.append(
            Change(ChangeKind.ORDER_PLACED, account, order.serial, order.client_id)
        )
        owner.put_order(order)
        self._match_new(owner, listing, order, takes=takes, at_ms=at_ms)
        return owner.orders[order.serial]

    def check(self, account: str, request: OrderRequest) -> None:
        """Raise what `place` would raise, balance aside, and change nothing (test orders).

        Raises:
            VenueError: The order would be refused.
        """
        self._check(self._account(account), self.listing(request.symbol), request)

    def cancel(self, account: str, serial: int, at_ms: int) -> VenueOrder:
        """Cancel an open order and return it.

        Raises:
            VenueError: ORDER_NOT_FOUND, or ORDER_NOT_CANCELABLE once it is filled or canceled.
        """
        owner = self._account(account)
        order = self.order(account, serial)
        if not order.is_open:
            raise VenueError(
                Refusal.ORDER_NOT_CANCELABLE, f"the order is {order.status}", order_serial=serial
            )
        self._close(owner, order, CloseReason.USER, at_ms)
        return owner.orders[serial]

    def order(self, account: str, serial: int) -> VenueOrder:
        """Return one order of the account, however old.

        Raises:
            VenueError: ORDER_NOT_FOUND.
        """
        order = self._account(account).orders.get(serial)
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
        owner = self._account(account)
        serial = owner.serial_by_client_id.get(client_id)
        if serial is None or (symbol is not None and owner.orders[serial].symbol != symbol):
            raise VenueError(Refusal.ORDER_NOT_FOUND, "no such order")
        return owner.orders[serial]

    def open_orders(self, account: str, symbol: str | None = None) -> tuple[VenueOrder, ...]:
        """Return open orders, oldest first."""
        by_symbol = self._account(account).open_orders
        if symbol is not None:
            return tuple(by_symbol.get(symbol, {}).values())
        orders = (order for some in by_symbol.values() for order in some.values())
        return tuple(sorted(orders, key=lambda order: order.serial))

    def orders(self, account: str, symbol: str | None = None) -> tuple[VenueOrder, ...]:
        """Return every order ever, oldest first."""
        return tuple(
            order
            for order in self._account(account).orders.values()
            if symbol is None or order.symbol == symbol
        )

    def fills(
        self, account: str, symbol: str | None = None, *, since_ms: int = 0
    ) -> tuple[VenueFill, ...]:
        """Return executions from *since_ms* on, oldest first."""
        by_symbol = self._account(account).fills
        if symbol is not None:
            return tuple(fill for fill in by_symbol.get(symbol, ()) if fill.at_ms >= since_ms)
        fills = (fill for some in by_symbol.values() for fill in some if fill.at_ms >= since_ms)
        return tuple(sorted(fills, key=lambda fill: fill.serial))

    # Futures

    def position(self, account: str, symbol: str) -> VenuePosition | None:
        """Return the position; None when flat."""
        self._futures_listing(symbol)
        owner = self._account(account)
        position = owner.positions.get(symbol)
        if position is None or not position.amount_base:
            return None
        return self._shown(owner, symbol, position)

    def positions(self, account: str) -> tuple[VenuePosition, ...]:
        """Return all open positions of the account."""
        owner = self._account(account)
        return tuple(
            self._shown(owner, symbol, position)
            for symbol, position in owner.positions.items()
            if position.amount_base
        )

    def setting(self, account: str, symbol: str) -> MarketSetting:
        """Return leverage and margin mode of a futures market."""
        return self._setting(self._account(account), self._futures_listing(symbol))

    def set_leverage(self, account: str, symbol: str, leverage: int, at_ms: int) -> None:
        """Set leverage; an open isolated position gets the margin that it asks for.

        Raises:
            VenueError: LEVERAGE, also where the position would be liquidated at once;
                INSUFFICIENT_BALANCE for what an open position then needs.
        """
        listing = self._futures_listing(symbol)
        owner = self._account(account)
        check_leverage(leverage, listing)
        position = owner.positions.get(symbol)
        if position is not None and position.amount_base:
            self._change_position_leverage(owner, listing, position, leverage)
        setting = self._setting(owner, listing)
        owner.settings[symbol] = replace(setting, leverage=leverage)
        self._changes.append(Change(ChangeKind.SETTING_CHANGED, account))
        # The new margin may leave cross positions short of equity at the present price.
        self._liquidate_if_due(owner, symbol, at_ms)

    def set_margin_mode(self, account: str, symbol: str, mode: MarginMode) -> None:
        """Set the margin mode of a market.

        Raises:
            VenueError: POSITION_OPEN while a position or an order is open there.
        """
        listing = self._futures_listing(symbol)
        owner = self._account(account)
        setting = self._setting(owner, listing)
        if setting.margin_mode is mode:
            return
        self._require_flat(owner, symbol)
        owner.settings[symbol] = replace(setting, margin_mode=mode)
        owner.positions.pop(symbol, None)
        self._changes.append(Change(ChangeKind.SETTING_CHANGED, account))

    def position_mode(self, account: str) -> PositionMode:
        """Return the account's position mode."""
        return self._account(account).position_mode

    def set_position_mode(self, account: str, mode: PositionMode) -> None:
        """Set the account's position mode.

        Raises:
            VenueError: POSITION_OPEN while any futures position or order is open.
        """
        owner = self._account(account)
        if owner.position_mode is mode:
            return
        for symbol, listing in self._listings.items():
            if listing.is_futures:
                self._require_flat(owner, symbol)
        owner.position_mode = mode
        self._changes.append(Change(ChangeKind.SETTING_CHANGED, account))

    def apply_funding(self, symbol: str, rate: Decimal, at_ms: int) -> None:
        """Let longs pay shorts *rate* of the position's value; with a negative rate the reverse.

        What available money does not cover comes out of an isolated position's margin.
        """
        listing = self._futures_listing(symbol)
        currency = listing.market.quote
        for name in tuple(self._holders.get(symbol, ())):
            owner = self._accounts[name]
            position = owner.positions[symbol]
            payment = -position.sign * fee_of(abs(position.amount_base) * self._marks[symbol], rate)
            position.realised_quote += payment
            owner.book(Wallet.FUTURES, currency, payment, kind=EntryKind.FUNDING, at_ms=at_ms)
            overview = self._view(owner).overview(currency)
            shortfall = -(overview.available_quote + overview.order_margin_quote)
            if shortfall > 0 and position.margin_mode is MarginMode.ISOLATED:
                position.margin_quote -= min(shortfall, position.margin_quote)
            self._liquidate_if_due(owner, symbol, at_ms)

    # The ledger

    def entries(self, account: str) -> tuple[Entry, ...]:
        """Return every change of every balance of the account, oldest first."""
        return tuple(self._account(account).entries)

    # Taking orders

    def _check(self, owner: Account, listing: Listing, request: OrderRequest) -> None:
        admit(request, listing, self._books[listing.symbol].quote)
        self._check_client_id(owner, request)
        if listing.is_futures:
            self._check_futures(owner, listing, request)
        if len(owner.open_orders.get(listing.symbol, ())) >= listing.market.open_orders_max:
            raise VenueError(
                Refusal.TOO_MANY_ORDERS,
                f"{listing.market.open_orders_max} open orders on {listing.symbol} already",
            )

    def _check_client_id(self, owner: Account, request: OrderRequest) -> None:
        client_id, scope = request.client_id, self.rules.client_id_scope
        if client_id is None or scope is ClientIdScope.NONE:
            return
        serial = owner.serial_by_client_id.get(client_id)
        if serial is not None and (scope is ClientIdScope.EVER or owner.orders[serial].is_open):
            raise VenueError(
                Refusal.CLIENT_ID_DUPLICATE,
                f"an order with client id {client_id} exists",
                order_serial=serial,
            )

    def _check_futures(self, owner: Account, listing: Listing, request: OrderRequest) -> None:
        if owner.position_mode is PositionMode.HEDGE or request.is_hedge:
            raise VenueError(
                Refusal.POSITION_MODE_DIFFERS, f"the account is in {owner.position_mode} mode"
            )
        setting = self._setting(owner, listing)
        if request.margin_mode not in {None, setting.margin_mode}:
            raise VenueError(
                Refusal.MARGIN_MODE_DIFFERS, f"{listing.symbol} is in {setting.margin_mode} mode"
            )
        if request.is_reduce_only and not _reducible(owner, listing.symbol, request.side):
            raise VenueError(Refusal.REDUCE_ONLY_REJECTED, "there is no position to reduce")

    def _new_order(
        self, owner: Account, listing: Listing, request: OrderRequest, at_ms: int
    ) -> VenueOrder:
        leverage, mode = 1, None
        if listing.is_futures:
            setting = self._setting(owner, listing)
            leverage, mode = setting.leverage, setting.margin_mode
            # In cross mode the leverage is the account's, whatever the order says.
            if request.leverage is not None and mode is MarginMode.ISOLATED:
                leverage = request.leverage
        return VenueOrder(
            serial=len(self._owners) + 1,
            account=owner.name,
            symbol=request.symbol,
            side=request.side,
            type=request.type,
            amount_base=request.amount_base,
            cost_quote=request.cost_quote,
            price=request.price,
            client_id=request.client_id,
            time_in_force=request.time_in_force,
            is_post_only=request.is_post_only,
            is_reduce_only=request.is_reduce_only,
            leverage=leverage,
            margin_mode=mode,
            created_at_ms=at_ms,
            updated_at_ms=at_ms,
        )

    def _require_funds(self, owner: Account, listing: Listing, order: VenueOrder) -> None:
        if listing.is_futures:
            view = self._view(owner)
            quote = listing.market.quote
            needed = view.order_margin(order.symbol, extra=order) - view.order_margin(order.symbol)
            # Closing needs nothing, even while a loss has eaten all that was available.
            if needed > 0:
                require(view.overview(quote).available_quote, needed, quote)
            return
        available = self._available(owner, Wallet.SPOT, order.held_currency)
        require(available, order.held, order.held_currency)

    def _match_new(
        self, owner: Account, listing: Listing, order: VenueOrder, *, takes: bool, at_ms: int
    ) -> None:
        book = self._books[order.symbol]
        if order.is_post_only and takes:
            self._close(owner, order, CloseReason.POST_ONLY, at_ms)
            return
        if takes:
            assert book.quote is not None  # otherwise nothing crosses
            price = taking_price(order.side, book.quote)
            amount = self._fillable(owner, listing, order, price)
            if order.time_in_force is TimeInForce.FOK and amount < order.remaining_base:
                self._close(owner, order, CloseReason.IMMEDIATE, at_ms)
                return
            if amount > 0:
                self._fill(owner, listing, order, amount, price, is_maker=False, at_ms=at_ms)
            order = owner.orders[order.serial]
            if order.is_open and _is_spent(order, amount, book.depth_base[order.side]):
                self._finish(owner, order, at_ms)
        order = owner.orders[order.serial]
        if not order.is_open:
            return
        if order.time_in_force is not TimeInForce.GTC:
            self._close(owner, order, CloseReason.IMMEDIATE, at_ms)
            return
        book.rest(order)

    # Filling

    def _fill_reached(
        self, listing: Listing, side: Side, before: Quote | None, at_ms: int
    ) -> Iterator[VenueFill]:
        book = self._books[listing.symbol]
        quote = book.quote
        assert quote is not None  # set by the caller
        while (serial := book.first(side)) is not None:
            owner = self._owners[serial]
            order = owner.orders[serial]
            if not order.is_open:
                book.drop_first(side)
                continue
            depth = book.depth_base[side]
            if not is_reached(order, quote) or (depth is not None and depth <= 0):
                return
            price, is_maker = _resting_price(order, quote, before)
            self._marks[listing.symbol] = price
            yield from self._liquidate_if_due(owner, listing.symbol, at_ms)
            order = owner.orders[serial]
            if not order.is_open:
                continue
            amount = self._fillable(owner, listing, order, price)
            if amount > 0:
                fill = self._fill(
                    owner, listing, order, amount, price, is_maker=is_maker, at_ms=at_ms
                )
                if fill is not None:
                    yield fill
            order = owner.orders[serial]
            if order.is_open and _is_spent(order, amount, book.depth_base[side]):
                self._finish(owner, order, at_ms)

    def _fillable(
        self, owner: Account, listing: Listing, order: VenueOrder, price: Decimal
    ) -> Decimal:
        """Return how much of *order* trades now at *price*, for depth, cost and position."""
        market = listing.market
        if order.cost_quote is None:
            amount = order.remaining_base
        else:
            amount = step_down(order.remaining_quote / price, market.amount_step)
        if order.is_reduce_only:
            amount = min(amount, _reducible(owner, order.symbol, order.side))
        depth = self._books[order.symbol].depth_base[order.side]
        return amount if depth is None else min(amount, depth)

    def _fill(
        self,
        owner: Account,
        listing: Listing,
        order: VenueOrder,
        amount: Decimal,
        price: Decimal,
        *,
        is_maker: bool,
        at_ms: int,
    ) -> VenueFill | None:
        """Execute *amount*; None, and the order is canceled, when the money is not there."""
        cost = amount * price
        rate = listing.market.maker_fee if is_maker else listing.market.taker_fee
        fee = self._fee(owner, listing, order.side, amount=amount, cost=cost, rate=rate)
        if not self._is_covered(owner, listing, order, amount=amount, cost=cost, fee=fee):
            self._close(owner, order, CloseReason.FUNDS, at_ms)
            return None
        serial = self._fill_count + 1
        realised = ZERO
        if listing.is_futures:
            realised = self._move_position(
                owner, listing, order, amount=amount, price=price, at_ms=at_ms
            )
            self._book_result(owner, listing, realised, fee, fill_serial=serial, at_ms=at_ms)
        else:
            self._swap(
                owner,
                listing,
                order.side,
                amount=amount,
                cost=cost,
                fee=fee,
                fill_serial=serial,
                at_ms=at_ms,
            )
        self._books[order.symbol].use_depth(order.side, amount)
        fill = VenueFill(
            serial=serial,
            order_serial=order.serial,
            client_id=order.client_id,
            account=owner.name,
            symbol=order.symbol,
            side=order.side,
            price=price,
            amount_base=amount,
            cost_quote=cost,
            fee=fee,
            fee_rate=rate,
            is_maker=is_maker,
            at_ms=at_ms,
            realised_quote=realised,
        )
        self._record(owner, order, fill)
        return fill

    def _record(self, owner: Account, order: VenueOrder, fill: VenueFill) -> None:
        """Store *fill* and what it makes of its order."""
        self._fill_count = fill.serial
        owner.fills.setdefault(fill.symbol, []).append(fill)
        filled = replace(
            order,
            filled_base=order.filled_base + fill.amount_base,
            filled_quote=order.filled_quote + fill.cost_quote,
            fees=_with_fee(order.fees, fill.fee),
            updated_at_ms=fill.at_ms,
        )
        if order.amount_base is not None and not filled.remaining_base:
            filled = replace(filled, status=OrderStatus.FILLED)
        owner.put_order(self._held(filled, self._books[order.symbol].quote))
        self._changes.append(
            Change(ChangeKind.ORDER_FILLED, owner.name, order.serial, order.client_id)
        )
        if filled.symbol in owner.positions:
            self._cancel_irreducible(owner, filled.symbol, fill.at_ms)

    def _cancel_irreducible(self, owner: Account, symbol: str, at_ms: int) -> None:
        """Cancel reduce-only orders that have nothing left to reduce."""
        for order in tuple(owner.open_orders.get(symbol, {}).values()):
            if order.is_reduce_only and not _reducible(owner, symbol, order.side):
                self._close(owner, order, CloseReason.REDUCE_ONLY, at_ms)

    def _fee(
        self,
        owner: Account,
        listing: Listing,
        side: Side,
        *,
        amount: Decimal,
        cost: Decimal,
        rate: Decimal,
    ) -> Fee:
        market = listing.market
        if listing.is_futures or listing.fee_mode is FeeMode.QUOTE:
            return Fee(market.quote, fee_of(cost, rate))
        if listing.fee_mode is FeeMode.COIN and listing.fee_coin is not None:
            fee = self._coin_fee(listing.fee_coin, market.quote, fee_of(cost, rate))
            if fee is not None and fee.amount <= self._available(owner, Wallet.SPOT, fee.currency):
                return fee
        if side is Side.BUY:
            return Fee(market.base, fee_of(amount, rate))
        return Fee(market.quote, fee_of(cost, rate))

    def _coin_fee(self, coin: str, quote: str, fee_quote: Decimal) -> Fee | None:
        price = self._marks.get(f"{coin}/{quote}")
        return None if price is None else Fee(coin, fee_of(fee_quote, ONE / price))

    def _is_covered(
        self,
        owner: Account,
        listing: Listing,
        order: VenueOrder,
        *,
        amount: Decimal,
        cost: Decimal,
        fee: Fee,
    ) -> bool:
        if not listing.is_futures:
            pays_quote = order.side is Side.BUY
            needed = cost if pays_quote else amount
            if pays_quote and fee.currency == order.held_currency:
                needed += fee.amount
            available = self._available(owner, Wallet.SPOT, order.held_currency)
            return needed <= available + order.held
        closing = min(amount, _reducible(owner, order.symbol, order.side))
        if closing == amount:
            return True
        view = self._view(owner)
        overview = view.overview(listing.market.quote)
        # The order's own margin is free for this fill; profit of a closing part is not counted.
        free = overview.available_quote + view.order_margin(order.symbol)
        free -= view.order_margin(order.symbol, without=order.serial)
        opening_cost = cost * (amount - closing) / amount
        return initial_margin(opening_cost, order.leverage) + fee.amount <= free

    def _swap(
        self,
        owner: Account,
        listing: Listing,
        side: Side,
        *,
        amount: Decimal,
        cost: Decimal,
        fee: Fee,
        fill_serial: int,
        at_ms: int,
    ) -> None:
        sign = 1 if side is Side.BUY else -1
        market = listing.market
        for currency, change, kind in (
            (market.base, sign * amount, EntryKind.TRADE),
            (market.quote, -sign * cost, EntryKind.TRADE),
            (fee.currency, -fee.amount, EntryKind.FEE),
        ):
            owner.book(
                Wallet.SPOT, currency, change, kind=kind, at_ms=at_ms, fill_serial=fill_serial
            )

    def _book_result(
        self,
        owner: Account,
        listing: Listing,
        realised: Decimal,
        fee: Fee,
        *,
        fill_serial: int,
        at_ms: int,
    ) -> None:
        for change, kind in ((realised, EntryKind.REALISED), (-fee.amount, EntryKind.FEE)):
            if change:
                owner.book(
                    Wallet.FUTURES,
                    listing.market.quote,
                    change,
                    kind=kind,
                    at_ms=at_ms,
                    fill_serial=fill_serial,
                )
        owner.positions[listing.symbol].realised_quote += realised - fee.amount

    def _move_position(
        self,
        owner: Account,
        listing: Listing,
        order: VenueOrder,
        *,
        amount: Decimal,
        price: Decimal,
        at_ms: int,
    ) -> Decimal:
        """Apply a fill to the position and return the profit it realised."""
        symbol = listing.symbol
        closing = min(amount, _reducible(owner, symbol, order.side))
        position = owner.positions.get(symbol)
        realised = ZERO
        if position is None or not position.amount_base:
            setting = self._setting(owner, listing)
            position = Position(setting.margin_mode, order.leverage, opened_at_ms=at_ms)
            owner.positions[symbol] = position
        if closing:
            realised = position.reduce(closing, price)
        if closing < amount:
            if not position.amount_base:
                position.opened_at_ms = at_ms
            position.add(amount - closing, price, side=order.side, leverage=order.leverage)
        self._note_holder(owner, symbol)
        return realised

    def _note_holder(self, owner: Account, symbol: str) -> None:
        holders = self._holders.setdefault(symbol, {})
        if owner.positions[symbol].amount_base:
            holders[owner.name] = None
        else:
            holders.pop(owner.name, None)

    def _finish(self, owner: Account, order: VenueOrder, at_ms: int) -> None:
        """End an order that can fill no further although depth is left."""
        if order.is_reduce_only:
            self._close(owner, order, CloseReason.REDUCE_ONLY, at_ms)
        elif order.filled_base:
            # The rest of a cost that buys less than one step stays with the account.
            done = replace(order, status=OrderStatus.FILLED, updated_at_ms=at_ms)
            owner.put_order(self._held(done, None))
        else:
            self._close(owner, order, CloseReason.FUNDS, at_ms)

    def _close(self, owner: Account, order: VenueOrder, reason: CloseReason, at_ms: int) -> None:
        closed = replace(
            order,
            status=OrderStatus.CANCELED,
            close_reason=reason,
            updated_at_ms=at_ms,
            held=ZERO,
        )
        owner.put_order(closed)
        self._changes.append(
            Change(ChangeKind.ORDER_CANCELED, owner.name, order.serial, order.client_id)
        )

    # Liquidation

    def _liquidate_if_due(self, owner: Account, symbol: str, at_ms: int) -> tuple[VenueFill, ...]:
        position = owner.positions.get(symbol)
        if position is None or not position.amount_base:
            return ()
        market = self._listings[symbol].market
        if position.margin_mode is MarginMode.ISOLATED:
            if not position.is_liquidated(self._marks[symbol], market.maintenance_margin):
                return ()
            return (self._liquidate(owner, symbol, position.bankruptcy_price(), at_ms),)
        view = self._view(owner)
        if view.cross_equity(market.quote) > view.cross_maintenance(market.quote):
            return ()
        fills = tuple(
            self._liquidate(owner, other, self._marks[other], at_ms)
            for other, held in tuple(owner.positions.items())
            if held.amount_base
            and held.margin_mode is MarginMode.CROSS
            and self._listings[other].market.quote == market.quote
        )
        self._insure(owner, market.quote, at_ms)
        return fills

    def _liquidate(self, owner: Account, symbol: str, price: Decimal, at_ms: int) -> VenueFill:
        """Take a position over at *price*; an isolated one loses exactly its margin."""
        for order in tuple(owner.open_orders.get(symbol, {}).values()):
            self._close(owner, order, CloseReason.LIQUIDATION, at_ms)
        listing = self._listings[symbol]
        position = owner.positions[symbol]
        size, margin = abs(position.amount_base), position.margin_quote
        side = Side.SELL if position.sign > 0 else Side.BUY
        order = VenueOrder(
            serial=len(self._owners) + 1,
            account=owner.name,
            symbol=symbol,
            side=side,
            type=OrderType.MARKET,
            amount_base=size,
            cost_quote=None,
            price=None,
            client_id=None,
            time_in_force=TimeInForce.IOC,
            is_post_only=False,
            is_reduce_only=True,
            leverage=position.leverage,
            margin_mode=position.margin_mode,
            created_at_ms=at_ms,
            updated_at_ms=at_ms,
            is_liquidation=True,
        )
        self._owners[order.serial] = owner
        owner.put_order(order)
        is_isolated = position.margin_mode is MarginMode.ISOLATED
        realised = position.reduce(size, price)
        if is_isolated:
            realised = -margin
        self._note_holder(owner, symbol)
        fee = Fee(listing.market.quote, ZERO)
        serial = self._fill_count + 1
        self._book_result(owner, listing, realised, fee, fill_serial=serial, at_ms=at_ms)
        fill = VenueFill(
            serial=serial,
            order_serial=order.serial,
            client_id=None,
            account=owner.name,
            symbol=symbol,
            side=side,
            price=price,
            amount_base=size,
            cost_quote=size * price,
            fee=fee,
            fee_rate=ZERO,
            is_maker=False,
            at_ms=at_ms,
            realised_quote=realised,
            is_liquidation=True,
        )
        self._record(owner, order, fill)
        return fill

    def _insure(self, owner: Account, currency: str, at_ms: int) -> None:
        """Bring a wallet that a cross liquidation overdrew back up to its isolated margins."""
        missing = -self._view(owner).cross_equity(currency)
        if missing > 0:
            owner.book(Wallet.FUTURES, currency, missing, kind=EntryKind.INSURANCE, at_ms=at_ms)

    # Looking things up

    def _account(self, account: str) -> Account:
        try:
            return self._accounts[account]
        except KeyError:
            raise VenueError(Refusal.ACCOUNT_UNKNOWN, f"no account {account}") from None

    def _futures_listing(self, symbol: str) -> Listing:
        listing = self.listing(symbol)
        if not listing.is_futures:
            raise VenueError(Refusal.SYMBOL_UNKNOWN, f"{symbol} is no futures market")
        return listing

    def _view(self, owner: Account) -> FuturesView:
        return FuturesView(owner, self._listings, self._marks)

    def _available(self, owner: Account, wallet: Wallet, currency: str) -> Decimal:
        if wallet is Wallet.FUTURES:
            return self._view(owner).overview(currency).available_quote
        purse = owner.purses[wallet].get(currency)
        return ZERO if purse is None else purse.total - purse.held

    def _setting(self, owner: Account, listing: Listing) -> MarketSetting:
        setting = owner.settings.get(listing.symbol)
        if setting is None:
            leverage = min(self.rules.leverage, listing.market.leverage_max)
            setting = MarketSetting(leverage, self.rules.margin_mode)
        return setting

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
            require(self._available(owner, Wallet.FUTURES, currency), more, currency)
        if position.margin_mode is MarginMode.ISOLATED:
            loss = min(position.unrealised_quote(self._marks[listing.symbol]), ZERO)
            needed = self._view(owner).maintenance(listing.symbol, position)
            if margin + loss <= needed:
                raise VenueError(Refusal.LEVERAGE, "the position would be liquidated at once")
            position.margin_quote = margin
        position.leverage = leverage

    def _held(self, order: VenueOrder, quote: Quote | None) -> VenueOrder:
        """Return *order* with what it must hold of the spot wallet from now on."""
        listing = self._listings[order.symbol]
        if listing.is_futures:
            return order
        currency = listing.market.quote if order.side is Side.BUY else listing.market.base
        held = _needed_spot(order, listing, quote) if order.is_open else ZERO
        return replace(order, held_currency=currency, held=held)

    def _shown(self, owner: Account, symbol: str, position: Position) -> VenuePosition:
        view = self._view(owner)
        mark = self._marks[symbol]
        ratio = self._listings[symbol].market.maintenance_margin
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


def _reducible(owner: Account, symbol: str, side: Side) -> Decimal:
    """Return how much an order on *side* can take off the position."""
    position = owner.positions.get(symbol)
    if position is None:
        return ZERO
    return max(position.amount_base if side is Side.SELL else -position.amount_base, ZERO)


def _needed_spot(order: VenueOrder, listing: Listing, quote: Quote | None) -> Decimal:
    """Return what an open spot order needs to fill: quote and fee for a buy, base for a sell."""
    price = order.price
    if price is None:
        assert quote is not None  # market orders enter only with a price
        price = taking_price(order.side, quote)
    if order.side is Side.SELL:
        if order.cost_quote is None:
            return order.remaining_base
        return step_up(order.remaining_quote / price, listing.market.amount_step)
    cost = order.remaining_quote if order.cost_quote is not None else order.remaining_base * price
    fee_rate = listing.market.taker_fee if listing.fee_mode is FeeMode.QUOTE else ZERO
    return cost + fee_of(cost, fee_rate)


def _resting_price(order: VenueOrder, quote: Quote, before: Quote | None) -> tuple[Decimal, bool]:
    """Return at what price a reached order fills, and whether as maker.

    An order that already crossed and only waited for depth goes on taking; one that the price came
    to fills at its own price.
    """
    taking = taking_price(order.side, quote)
    if order.price is None:
        return taking, False
    if before is None or not crosses(order, before):
        return order.price, True
    better = min if order.side is Side.BUY else max
    return better(order.price, taking), False


def _is_spent(order: VenueOrder, amount: Decimal, depth_left: Decimal | None) -> bool:
    """Return whether an open order that just tried to fill *amount* will never fill further."""
    is_limited_by_depth = depth_left is not None and depth_left <= 0
    if order.cost_quote is not None or order.is_reduce_only:
        return not is_limited_by_depth
    return amount <= 0 and not is_limited_by_depth


def _with_fee(fees: tuple[Fee, ...], fee: Fee) -> tuple[Fee, ...]:
    for index, known in enumerate(fees):
        if known.currency == fee.currency:
            total = Fee(fee.currency, known.amount + fee.amount)
            return (*fees[:index], total, *fees[index + 1 :])
    return (*fees, fee)
