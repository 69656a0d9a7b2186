"""One account's state: purses, orders, fills, positions; changed by its venue alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from backfuturectl.matching.margin import Position, order_margin
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    Balance,
    Entry,
    EntryKind,
    FuturesOverview,
    Listing,
    MarginMode,
    MarketSetting,
    PositionMode,
    VenueFill,
    VenueFunding,
    VenueOrder,
    Wallet,
)
from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import Side


@dataclass(slots=True)
class Purse:
    """One currency of one wallet; *held* belongs to open spot orders."""

    total: Decimal = ZERO
    held: Decimal = ZERO


@dataclass(slots=True)
class Account:
    """One account.

    Attributes:
        number: Counts accounts of the venue from one.
        orders: Every order ever, by serial.
        open_orders: Serial to order, by symbol; symbols without open orders may be absent.
        serial_by_client_id: The newest order with each client id.
        fills: Every execution ever, by symbol, oldest first.
        positions: By symbol; a flat one may stay in it.
    """

    name: str
    number: int
    position_mode: PositionMode
    purses: dict[Wallet, dict[str, Purse]] = field(
        default_factory=lambda: {wallet: {} for wallet in Wallet}
    )
    orders: dict[int, VenueOrder] = field(default_factory=dict)
    open_orders: dict[str, dict[int, VenueOrder]] = field(default_factory=dict)
    serial_by_client_id: dict[str, int] = field(default_factory=dict)
    fills: dict[str, list[VenueFill]] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    settings: dict[str, MarketSetting] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    fundings: list[VenueFunding] = field(default_factory=list)

    def purse(self, wallet: Wallet, currency: str) -> Purse:
        """Return the purse, made on first use."""
        purses = self.purses[wallet]
        if currency not in purses:
            purses[currency] = Purse()
        return purses[currency]

    def book(
        self,
        wallet: Wallet,
        currency: str,
        amount: Decimal,
        *,
        kind: EntryKind,
        at_ms: int,
        fill_serial: int | None = None,
    ) -> None:
        """Add *amount* (negative: take it) to a purse and write it down."""
        self.purse(wallet, currency).total += amount
        self.entries.append(Entry(self.name, wallet, currency, kind, amount, at_ms, fill_serial))

    def put_order(self, order: VenueOrder) -> None:
        """Store the newest state of *order* and move the hold to what it now holds."""
        before = self.orders.get(order.serial)
        if before is not None and before.held:
            self.purse(Wallet.SPOT, before.held_currency).held -= before.held
        if order.held:
            self.purse(Wallet.SPOT, order.held_currency).held += order.held
        self.orders[order.serial] = order
        if order.is_open:
            self.open_orders.setdefault(order.symbol, {})[order.serial] = order
        elif before is not None:
            self.open_orders[order.symbol].pop(order.serial, None)


@dataclass(frozen=True, slots=True)
class FuturesView:
    """The futures side of an account against the venue's present prices.

    Attributes:
        listings: The venue's, by symbol.
        marks: Last prices by symbol; every market with a position or a market order has one.
    """

    account: Account
    listings: Mapping[str, Listing]
    marks: Mapping[str, Decimal]

    def overview(self, currency: str) -> FuturesOverview:
        """Return the wallet in one settlement currency."""
        purse = self.account.purses[Wallet.FUTURES].get(currency)
        wallet = purse.total if purse is not None else ZERO
        margin = unrealised = cross_unrealised = ZERO
        for symbol, position in self.account.positions.items():
            if not position.amount_base or self.listings[symbol].market.quote != currency:
                continue
            profit = position.unrealised_quote(self.marks[symbol])
            margin += position.initial_margin_quote
            unrealised += profit
            if position.margin_mode is MarginMode.CROSS:
                cross_unrealised += profit
        orders = sum(
            (
                self.order_margin(symbol)
                for symbol in self.account.open_orders
                if self._settles(symbol, currency)
            ),
            ZERO,
        )
        return FuturesOverview(
            currency=currency,
            wallet_quote=wallet,
            equity_quote=wallet + unrealised,
            unrealised_quote=unrealised,
            position_margin_quote=margin,
            order_margin_quote=orders,
            available_quote=wallet - margin - orders + min(cross_unrealised, ZERO),
        )

    def order_margin(
        self, symbol: str, *, extra: VenueOrder | None = None, without: int | None = None
    ) -> Decimal:
        """Return what the open orders of *symbol* hold, one added or left out (by serial)."""
        open_orders = self.account.open_orders.get(symbol, {})
        orders = [order for serial, order in open_orders.items() if serial != without]
        if extra is not None:
            orders.append(extra)
        if not orders:
            return ZERO
        position = self.account.positions.get(symbol)
        return order_margin(
            ((order, self._value_price(order)) for order in orders),
            position.amount_base if position is not None else ZERO,
            self.listings[symbol].market.taker_fee,
        )

    def cross_equity(self, currency: str) -> Decimal:
        """Return what backs all cross positions: cash that is no isolated margin, plus profit."""
        purse = self.account.purses[Wallet.FUTURES].get(currency)
        equity = purse.total if purse is not None else ZERO
        for symbol, position in self.account.positions.items():
            if self.listings[symbol].market.quote != currency:
                continue
            if position.margin_mode is MarginMode.ISOLATED:
                equity -= position.margin_quote
            elif position.amount_base:
                equity += position.unrealised_quote(self.marks[symbol])
        return equity

    def cross_maintenance(self, currency: str) -> Decimal:
        """Return what the cross positions must at least be backed by."""
        return sum(
            (
                self.maintenance(symbol, position)
                for symbol, position in self.account.positions.items()
                if position.amount_base
                and position.margin_mode is MarginMode.CROSS
                and self.listings[symbol].market.quote == currency
            ),
            ZERO,
        )

    def maintenance(self, symbol: str, position: Position) -> Decimal:
        """Return one position's maintenance margin at the present price."""
        ratio = self.listings[symbol].market.maintenance_margin
        return abs(position.amount_base) * self.marks[symbol] * ratio

    def backing(self, symbol: str, position: Position) -> Decimal:
        """Return what one position can lose before it is liquidated down to its maintenance."""
        if position.margin_mode is MarginMode.ISOLATED:
            return position.margin_quote
        currency = self.listings[symbol].market.quote
        others = self.cross_maintenance(currency) - self.maintenance(symbol, position)
        own = position.unrealised_quote(self.marks[symbol])
        return self.cross_equity(currency) - own - others

    def balance(self, currency: str) -> Balance:
        """Return the wallet's currency as a balance."""
        overview = self.overview(currency)
        return Balance(
            total=overview.wallet_quote,
            available=max(overview.available_quote, ZERO),
            held=overview.position_margin_quote + overview.order_margin_quote,
        )

    def _settles(self, symbol: str, currency: str) -> bool:
        listing = self.listings[symbol]
        return listing.is_futures and listing.market.quote == currency

    def _value_price(self, order: VenueOrder) -> Decimal:
        mark = self.marks.get(order.symbol, ZERO)
        if order.price is None:
            return mark
        # A sell below the market fills at the market, whose price its margin must cover.
        return order.price if order.side is Side.BUY else max(order.price, mark)


def require(available: Decimal, needed: Decimal, currency: str) -> None:
    """Raise VenueError unless *available* covers *needed*."""
    if needed > available:
        raise VenueError(
            Refusal.INSUFFICIENT_BALANCE,
            f"{needed:f} {currency} needed, {max(available, ZERO):f} available",
        )
