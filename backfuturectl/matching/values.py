"""What a venue is made of: listings, keys, orders, fills, positions, balances; all immutable.

Amounts are in base units on every market; a dialect that speaks contracts divides by the market's
contract size. Orders and fills carry a serial number, unique within the venue and counting up from
one; a dialect renders it in the exchange's own form and parses it back.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from backfuturectl.model.market import ZERO, Market, MarketKind
from backfuturectl.model.orders import Fee, OrderStatus, OrderType, Side

FUNDING_INTERVAL_MS: Final = 8 * 3_600_000
"""What most futures markets have."""


class Wallet(enum.StrEnum):
    """Where an account keeps money; only SPOT and FUTURES can trade."""

    FUNDING = "funding"
    SPOT = "spot"
    FUTURES = "futures"


class FeeMode(enum.StrEnum):
    """Which coin a fee is taken in; futures always pay in the quote.

    RECEIVED: base on a buy, quote on a sell.
    COIN: a third coin at its own price, or RECEIVED while the account has too little of it.
    """

    QUOTE = "quote"
    RECEIVED = "received"
    COIN = "coin"


class TimeInForce(enum.StrEnum):
    """How long an order may rest."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class MarginMode(enum.StrEnum):
    """Whether a position is backed by its own margin or by the whole wallet."""

    ISOLATED = "isolated"
    CROSS = "cross"


class PositionMode(enum.StrEnum):
    """One position per market, or a long and a short; orders are taken in ONE_WAY only."""

    ONE_WAY = "one_way"
    HEDGE = "hedge"


class ClientIdScope(enum.StrEnum):
    """Among which of an account's orders a client id must be new."""

    ACTIVE = "active"
    EVER = "ever"
    NONE = "none"


class CloseReason(enum.StrEnum):
    """Why an order that was not filled is off the book."""

    USER = "user"
    IMMEDIATE = "immediate"  # the rest of an IOC or FOK
    POST_ONLY = "post_only"
    REDUCE_ONLY = "reduce_only"  # nothing left to reduce
    FUNDS = "funds"  # no balance or margin for the next fill
    LIQUIDATION = "liquidation"


@dataclass(frozen=True, slots=True)
class Listing:
    """A market as this venue runs it.

    Attributes:
        fee_coin: Currency of FeeMode.COIN.
        fill_max_base: Base units that trade per side and price update, shared by all orders in
            price-time order; None means endless depth.
        price_band: Largest distance of a limit price from the last, as a ratio; None for none.
        spread_ticks: Ticks between bid (the last price) and ask where a price comes without them.
        cost_max: Largest order value, quote; None where there is none.
        funding_rate: What longs pay shorts at each funding time, as a ratio of the value; futures.
        funding_interval_ms: Funding times are its multiples since the epoch.
    """

    market: Market
    fee_mode: FeeMode = FeeMode.QUOTE
    fee_coin: str | None = None
    fill_max_base: Decimal | None = None
    price_band: Decimal | None = None
    spread_ticks: int = 1
    cost_max: Decimal | None = None
    funding_rate: Decimal = ZERO
    funding_interval_ms: int = FUNDING_INTERVAL_MS

    @property
    def symbol(self) -> str:
        """The market's name in the venue: ``BTC/USDT`` on spot, ``BTC/USDT:USDT`` on futures."""
        return symbol_of(self.market.kind, self.market.pair)

    @property
    def is_futures(self) -> bool:
        """Whether the market trades positions out of the futures wallet."""
        return self.market.kind is MarketKind.FUTURES

    @property
    def wallet(self) -> Wallet:
        """The wallet that orders on this market draw from."""
        return wallet_of(self.market.kind)


def wallet_of(kind: MarketKind) -> Wallet:
    """Return the wallet that markets of *kind* trade from."""
    return Wallet.FUTURES if kind is MarketKind.FUTURES else Wallet.SPOT


def symbol_of(kind: MarketKind, pair: str) -> str:
    """Return the venue's name for *pair*: ``BTC/USDT`` or, on futures, ``BTC/USDT:USDT``."""
    return pair if kind is MarketKind.SPOT else f"{pair}:{pair.partition('/')[2]}"


@dataclass(frozen=True, slots=True)
class VenueRules:
    """How this exchange differs from others.

    Attributes:
        client_id_scope: See `ClientIdScope`; a duplicate is refused.
        is_post_only_refused: Whether a post-only order that would take is refused; otherwise it is
            accepted and canceled at once.
        margin_mode: Of a market until an account sets another.
        position_mode: Of an account until it sets another.
        leverage: Of a market until an account sets another.
    """

    client_id_scope: ClientIdScope = ClientIdScope.ACTIVE
    is_post_only_refused: bool = False
    margin_mode: MarginMode = MarginMode.ISOLATED
    position_mode: PositionMode = PositionMode.ONE_WAY
    leverage: int = 1


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of an account; the venue stores it, the dialect enforces it.

    Attributes:
        permissions: The exchange's own tokens, free text.
        ips: Addresses it may come from; empty means any.
        symbols: Venue symbols it may trade; None means all.
        is_enabled: False once revoked; a dialect answers as for a key that does not exist.
        expires_at_ms: None for a key without end.
    """

    key: str
    account: str
    secret: str = field(repr=False)
    passphrase: str = field(default="", repr=False)
    permissions: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    symbols: tuple[str, ...] | None = None
    note: str = ""
    created_at_ms: int = 0
    expires_at_ms: int | None = None
    is_enabled: bool = True

    def is_usable(self, at_ms: int) -> bool:
        """Return whether the key is neither revoked nor expired."""
        return self.is_enabled and (self.expires_at_ms is None or at_ms < self.expires_at_ms)

    def takes_ip(self, ip: str) -> bool:
        """Return whether a caller at *ip* may use the key."""
        return not self.ips or ip in self.ips


@dataclass(frozen=True, slots=True)
class Quote:
    """The market's price: resting orders fill when *last* reaches them, takers pay bid or ask."""

    last: Decimal
    bid: Decimal
    ask: Decimal
    at_ms: int


class TriggerBy(enum.StrEnum):
    """Which price a client wants a stop compared with; a venue has one, the last, for all."""

    LAST = "last"
    MARK = "mark"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a stop order enters the market.

    Attributes:
        is_rising: Whether it goes off at or above the price; otherwise at or below.
    """

    price: Decimal
    is_rising: bool
    by: TriggerBy = TriggerBy.LAST

    def is_reached(self, last: Decimal) -> bool:
        """Return whether the price sets it off."""
        return last >= self.price if self.is_rising else last <= self.price


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client asks for; exactly one of *amount_base* and *cost_quote* is given.

    Attributes:
        cost_quote: Spot market orders only: how much quote to spend or to raise.
        price: Limit orders only.
        leverage: Futures; None takes the account's setting for the market.
        margin_mode: Futures; one that differs from the setting is refused. None takes the setting.
        is_hedge: Futures; whether the client named a position side other than "both".
        trigger: Futures; makes it a stop order.
    """

    symbol: str
    side: Side
    type: OrderType
    amount_base: Decimal | None = None
    cost_quote: Decimal | None = None
    price: Decimal | None = None
    client_id: str | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    is_post_only: bool = False
    is_reduce_only: bool = False
    leverage: int | None = None
    margin_mode: MarginMode | None = None
    is_hedge: bool = False
    trigger: Trigger | None = None


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order with everything that happened to it.

    Attributes:
        status: OPEN, FILLED or CANCELED; a canceled order may be partly filled.
        held: What the order holds of the spot wallet now, in *held_currency*; zero on futures,
            where margin is worked out over all orders of the market.
        leverage: One on spot.
        margin_mode: None on spot.
        is_liquidation: Placed by the venue itself.
        trigger: Of a stop order.
        triggered_at_ms: When it entered the market; None before that, and for plain orders.
    """

    serial: int
    account: str
    symbol: str
    side: Side
    type: OrderType
    amount_base: Decimal | None
    cost_quote: Decimal | None
    price: Decimal | None
    client_id: str | None
    time_in_force: TimeInForce
    is_post_only: bool
    is_reduce_only: bool
    leverage: int
    margin_mode: MarginMode | None
    created_at_ms: int
    updated_at_ms: int
    status: OrderStatus = OrderStatus.OPEN
    filled_base: Decimal = ZERO
    filled_quote: Decimal = ZERO
    fees: tuple[Fee, ...] = ()
    held_currency: str = ""
    held: Decimal = ZERO
    close_reason: CloseReason | None = None
    is_liquidation: bool = False
    trigger: Trigger | None = None
    triggered_at_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status is OrderStatus.OPEN

    @property
    def is_waiting(self) -> bool:
        """Whether it is a stop order that is not in the market yet: it holds and fills nothing."""
        return self.is_open and self.trigger is not None and self.triggered_at_ms is None

    @property
    def remaining_base(self) -> Decimal:
        """Base units still to fill; zero for an order by cost."""
        return ZERO if self.amount_base is None else self.amount_base - self.filled_base

    @property
    def remaining_quote(self) -> Decimal:
        """Quote still to spend of an order by cost; zero for an order by amount."""
        return ZERO if self.cost_quote is None else self.cost_quote - self.filled_quote

    @property
    def average_price(self) -> Decimal | None:
        """Mean price of the fills; None before the first."""
        return self.filled_quote / self.filled_base if self.filled_base else None


@dataclass(frozen=True, slots=True)
class VenueFill:
    """One execution.

    Attributes:
        realised_quote: Profit of the part that closed a position, before fees; zero on spot.
    """

    serial: int
    order_serial: int
    client_id: str | None
    account: str
    symbol: str
    side: Side
    price: Decimal
    amount_base: Decimal
    cost_quote: Decimal
    fee: Fee
    fee_rate: Decimal
    is_maker: bool
    at_ms: int
    realised_quote: Decimal = ZERO
    is_liquidation: bool = False


@dataclass(frozen=True, slots=True)
class VenueFunding:
    """One funding payment of one position.

    Attributes:
        amount_base: The position then, signed.
        payment_quote: Received is positive, paid is negative.
    """

    serial: int
    account: str
    symbol: str
    rate: Decimal
    mark_price: Decimal
    amount_base: Decimal
    margin_mode: MarginMode
    payment_quote: Decimal
    at_ms: int


@dataclass(frozen=True, slots=True)
class Balance:
    """One currency of one wallet; ``total = available + held`` on spot and funding.

    On futures *held* is order margin plus position margin, and *available* is also less the
    unrealised loss of cross positions, never below zero.
    """

    total: Decimal
    available: Decimal
    held: Decimal


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """A futures position that is not flat.

    Attributes:
        amount_base: Signed: long positive, short negative.
        margin_quote: What backs it: its own margin when isolated, the initial margin when cross.
        liquidation_price: None where no positive price would liquidate it.
        realised_quote: Profit taken out of it since it was opened, fees and funding included.
    """

    account: str
    symbol: str
    amount_base: Decimal
    entry_price: Decimal
    mark_price: Decimal
    leverage: int
    margin_mode: MarginMode
    margin_quote: Decimal
    maintenance_quote: Decimal
    unrealised_quote: Decimal
    realised_quote: Decimal
    liquidation_price: Decimal | None
    opened_at_ms: int


@dataclass(frozen=True, slots=True)
class FuturesOverview:
    """The futures wallet in one currency.

    Attributes:
        wallet_quote: Cash, realised profit included.
        equity_quote: Cash plus unrealised profit.
    """

    currency: str
    wallet_quote: Decimal
    equity_quote: Decimal
    unrealised_quote: Decimal
    position_margin_quote: Decimal
    order_margin_quote: Decimal
    available_quote: Decimal


@dataclass(frozen=True, slots=True)
class MarketSetting:
    """What an account chose for one futures market."""

    leverage: int
    margin_mode: MarginMode


class EntryKind(enum.StrEnum):
    """Why a balance changed."""

    DEPOSIT = "deposit"
    TRANSFER = "transfer"
    TRADE = "trade"
    FEE = "fee"
    REALISED = "realised"
    FUNDING = "funding"
    INSURANCE = "insurance"  # what the venue paid in when a cross wallet went below zero


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of one balance; the entries of a balance sum to its total.

    Attributes:
        fill_serial: Of trades, fees and realised profits; None otherwise.
    """

    account: str
    wallet: Wallet
    currency: str
    kind: EntryKind
    amount: Decimal
    at_ms: int
    fill_serial: int | None = None


class ChangeKind(enum.StrEnum):
    """What one step of a venue's history did."""

    ORDER_PLACED = "order_placed"
    ORDER_TRIGGERED = "order_triggered"
    ORDER_FILLED = "order_filled"
    ORDER_CANCELED = "order_canceled"
    TRANSFERRED = "transferred"
    SETTING_CHANGED = "setting_changed"
    KEY_CHANGED = "key_changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a venue's history; tests count effects by it.

    Attributes:
        order_serial: The order concerned; None for transfers, settings and keys.
    """

    kind: ChangeKind
    account: str
    order_serial: int | None = None
    client_id: str | None = None
