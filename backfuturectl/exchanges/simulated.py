"""The exchange ports on a `Venue`, without HTTP: paper trading and deterministic simulation.

What the ports promise is the same as of a real exchange, the three kinds of error included; a
`Disturbance` makes an exchange that fails, before or after the effect of a call.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, Protocol

from backfuturectl.exchanges.candles import Span, closed
from backfuturectl.exchanges.port import KeyRights
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import (
    MarginMode,
    OrderRequest,
    PositionMode,
    Trigger,
    VenueFill,
    VenueFunding,
    VenueOrder,
    symbol_of,
    wallet_of,
)
from backfuturectl.matching.venue import Venue
from backfuturectl.model.candles import Candle, Interval
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.market import ZERO, Market, MarketKind, Quote, with_vanished
from backfuturectl.model.orders import (
    Balances,
    Fill,
    Funding,
    FuturesSettings,
    NewOrder,
    Order,
    OrderType,
    Position,
    Side,
)
from backfuturectl.model.status import Reason

TRADING_RIGHTS: Final = KeyRights(
    tokens=("read", "trade"),
    can_read=True,
    can_trade_spot=True,
    can_trade_futures=True,
    can_withdraw=False,
)
"""What a key should be able to do, and nothing more."""

_REASONS: Final[dict[Refusal, Reason]] = {
    Refusal.SYMBOL_UNKNOWN: Reason.MARKET_UNAVAILABLE,
    Refusal.SYMBOL_CLOSED: Reason.MARKET_UNAVAILABLE,
    Refusal.PRICE_MISSING: Reason.MARKET_UNAVAILABLE,
    Refusal.INSUFFICIENT_BALANCE: Reason.INSUFFICIENT_FUNDS,
    Refusal.CLIENT_ID_DUPLICATE: Reason.ORDER_DUPLICATE,
    Refusal.ORDER_NOT_FOUND: Reason.ORDER_NOT_FOUND,
    Refusal.ACCOUNT_UNKNOWN: Reason.INVALID_KEY,
}
"""Any other refusal is ORDER_REJECTED."""


class PortCall(enum.StrEnum):
    """What is being asked of an exchange."""

    MARKETS = "markets"
    SERVER_TIME = "server_time"
    PRICES = "prices"
    CANDLES = "candles"
    RIGHTS = "rights"
    BALANCES = "balances"
    PREPARE = "prepare"
    PLACE = "place"
    CANCEL = "cancel"
    ORDER = "order"
    OPEN_ORDERS = "open_orders"
    FILLS = "fills"
    POSITION = "position"
    SETTINGS = "settings"
    FUNDING = "funding"


class Disturbance(Protocol):
    """What gets in the way; each hook may wait, and may raise one of the ports' errors."""

    async def before(self, call: PortCall) -> None:
        """Act while the exchange has not seen the call."""

    async def after(self, call: PortCall) -> None:
        """Act when the exchange has carried the call out and the answer is on its way."""


class Calm:
    """No disturbance at all."""

    async def before(self, call: PortCall) -> None:
        """Let the call through."""

    async def after(self, call: PortCall) -> None:
        """Let the answer through."""


class SimulatedPublic:
    """A venue's markets of one kind."""

    def __init__(
        self,
        venue: Venue,
        kind: MarketKind,
        *,
        now_ms: Callable[[], int],
        disturbance: Disturbance | None = None,
    ) -> None:
        self.exchange = venue.name
        self._venue = venue
        self._kind = kind
        self._now_ms = now_ms
        self._disturbance = disturbance or Calm()
        self._markets: Mapping[str, Market] | None = None

    async def markets(self) -> Mapping[str, Market]:
        """Return the venue's markets of this kind by pair, as they were when they were loaded."""
        if self._markets is None:
            self._markets = await self._load()
        return self._markets

    async def reload_markets(self) -> None:
        """Load the markets again."""
        self._markets = with_vanished(await self._load(), self._markets or {})

    async def _load(self) -> Mapping[str, Market]:
        await self._disturbance.before(PortCall.MARKETS)
        markets = {
            listing.market.pair: listing.market
            for listing in self._venue.listings.values()
            if listing.market.kind is self._kind
        }
        await self._disturbance.after(PortCall.MARKETS)
        return markets

    async def server_time_ms(self) -> int:
        """Return the simulation's time."""
        await self._disturbance.before(PortCall.SERVER_TIME)
        now_ms = self._now_ms()
        await self._disturbance.after(PortCall.SERVER_TIME)
        return now_ms

    async def prices(self, pairs: Collection[str]) -> Mapping[str, Quote]:
        """Return the quotes of those *pairs* that are listed and have one."""
        await self._disturbance.before(PortCall.PRICES)
        prices = {}
        for pair in pairs:
            symbol = symbol_of(self._kind, pair)
            quote = self._venue.quote(symbol) if symbol in self._venue.listings else None
            if quote is not None:
                prices[pair] = Quote(quote.last, quote.bid, quote.ask)
        await self._disturbance.after(PortCall.PRICES)
        return prices

    async def candles(
        self, pair: str, interval: Interval, *, limit: int, before_ms: int
    ) -> tuple[Candle, ...]:
        """Return closed candles, oldest first, made of the prices that the venue remembers."""
        await self._disturbance.before(PortCall.CANDLES)
        span = Span(interval, limit, before_ms)
        with _translated():
            bars = self._venue.bars(
                symbol_of(self._kind, pair), range(span.first_ms, before_ms, interval.ms)
            )
        await self._disturbance.after(PortCall.CANDLES)
        return closed(((bar.at_ms, bar.close) for bar in bars), span)

    async def close(self) -> None:
        """Do nothing: the venue outlives its ports."""


class SimulatedAccount:
    """One account of a venue, one kind of market.

    Attributes:
        horizon_ms: None of the venue's orders ever appears late.
    """

    horizon_ms = 0

    def __init__(
        self,
        venue: Venue,
        account: str,
        kind: MarketKind,
        *,
        now_ms: Callable[[], int],
        rights: Callable[[], KeyRights] | None = None,
        disturbance: Disturbance | None = None,
    ) -> None:
        self.exchange = venue.name
        self._venue = venue
        self._account = account
        self._kind = kind
        self._now_ms = now_ms
        self._rights = rights or (lambda: replace(TRADING_RIGHTS, account_id=account))
        self._disturbance = disturbance or Calm()

    async def rights(self) -> KeyRights:
        """Return what the simulation says the key may do."""
        await self._disturbance.before(PortCall.RIGHTS)
        rights = self._rights()
        await self._disturbance.after(PortCall.RIGHTS)
        return rights

    async def balances(self) -> Balances:
        """Return free and total amounts of the wallet that this kind of market trades from."""
        await self._disturbance.before(PortCall.BALANCES)
        with _translated():
            wallet = self._venue.balances(self._account, wallet_of(self._kind))
        shown = {name: balance for name, balance in wallet.items() if balance.total}
        await self._disturbance.after(PortCall.BALANCES)
        return Balances(
            free={name: balance.available for name, balance in shown.items()},
            total={name: balance.total for name, balance in shown.items()},
        )

    async def prepare(self, pair: str, *, leverage: int, margin_mode: str) -> None:
        """Set one-way mode, margin mode and leverage; nothing on spot."""
        await self._disturbance.before(PortCall.PREPARE)
        if self._kind is MarketKind.FUTURES:
            symbol = symbol_of(self._kind, pair)
            with _translated():
                self._venue.set_position_mode(self._account, PositionMode.ONE_WAY)
                self._venue.set_margin_mode(self._account, symbol, MarginMode(margin_mode))
                self._venue.set_leverage(self._account, symbol, leverage, self._now_ms())
        await self._disturbance.after(PortCall.PREPARE)

    async def settings(self, pair: str) -> FuturesSettings | None:
        """Return position mode, margin mode and leverage; None on spot."""
        await self._disturbance.before(PortCall.SETTINGS)
        found = None
        if self._kind is MarketKind.FUTURES:
            with _translated():
                setting = self._venue.setting(self._account, symbol_of(self._kind, pair))
                mode = self._venue.position_mode(self._account)
            found = FuturesSettings(
                is_one_way=mode is PositionMode.ONE_WAY,
                margin_mode=setting.margin_mode.value,
                leverage=setting.leverage,
            )
        await self._disturbance.after(PortCall.SETTINGS)
        return found

    async def place(self, order: NewOrder) -> Order:
        """Place *order*, once."""
        await self._disturbance.before(PortCall.PLACE)
        request = request_of(order, self._kind)
        with _translated():
            placed = self._venue.place(self._account, request, self._now_ms())
        await self._disturbance.after(PortCall.PLACE)
        return self._shown(placed, order.pair)

    async def cancel(self, pair: str, client_order_id: str, order_id: str | None) -> None:
        """Cancel an order; one that is gone or unknown is no error."""
        await self._disturbance.before(PortCall.CANCEL)
        found = self._find(pair, client_order_id, order_id)
        if found is not None and found.is_open:
            self._venue.cancel(self._account, found.serial, self._now_ms())
        await self._disturbance.after(PortCall.CANCEL)

    async def order(
        self, pair: str, client_order_id: str, order_id: str | None = None
    ) -> Order | None:
        """Return the order, or None when the venue does not know it."""
        await self._disturbance.before(PortCall.ORDER)
        found = self._find(pair, client_order_id, order_id)
        await self._disturbance.after(PortCall.ORDER)
        return None if found is None else self._shown(found, pair)

    async def open_orders(self, pair: str) -> tuple[Order, ...]:
        """Return every open order of the pair."""
        await self._disturbance.before(PortCall.OPEN_ORDERS)
        with _translated():
            symbol = self._venue.listing(symbol_of(self._kind, pair)).symbol
            found = self._venue.open_orders(self._account, symbol)
        await self._disturbance.after(PortCall.OPEN_ORDERS)
        return tuple(self._shown(order, pair) for order in found)

    async def fills(self, pair: str, since_ms: int) -> tuple[Fill, ...]:
        """Return executions since then, oldest first."""
        await self._disturbance.before(PortCall.FILLS)
        with _translated():
            symbol = self._venue.listing(symbol_of(self._kind, pair)).symbol
            found = self._venue.fills(self._account, symbol, since_ms=since_ms)
        await self._disturbance.after(PortCall.FILLS)
        return tuple(_fill(fill, pair) for fill in found)

    async def position(self, pair: str) -> Position | None:
        """Return the position; None when flat or on spot."""
        await self._disturbance.before(PortCall.POSITION)
        found = None
        if self._kind is MarketKind.FUTURES:
            with _translated():
                found = self._venue.position(self._account, symbol_of(self._kind, pair))
        await self._disturbance.after(PortCall.POSITION)
        if found is None:
            return None
        return Position(
            pair=pair,
            amount_base=found.amount_base,
            entry_price=found.entry_price,
            leverage=found.leverage,
            margin_mode=found.margin_mode.value,
            liquidation_price=found.liquidation_price,
            mark_price=found.mark_price,
            unrealised_quote=found.unrealised_quote,
        )

    async def funding(self, pair: str, since_ms: int) -> tuple[Funding, ...]:
        """Return funding payments since then, oldest first."""
        await self._disturbance.before(PortCall.FUNDING)
        found: tuple[VenueFunding, ...] = ()
        if self._kind is MarketKind.FUTURES:
            with _translated():
                symbol = symbol_of(self._kind, pair)
                found = self._venue.fundings(self._account, symbol, since_ms=since_ms)
        await self._disturbance.after(PortCall.FUNDING)
        return tuple(Funding(str(one.serial), pair, one.payment_quote, one.at_ms) for one in found)

    async def close(self) -> None:
        """Do nothing: the account lives in the venue."""

    def _find(self, pair: str, client_order_id: str, order_id: str | None) -> VenueOrder | None:
        """Return the order by client id, or by id where none has that client id."""
        symbol = symbol_of(self._kind, pair)
        with _translated():
            self._venue.listing(symbol)
            found = _or_none(
                lambda: self._venue.order_by_client_id(self._account, client_order_id, symbol)
            )
            if found is None and order_id is not None:
                found = _or_none(lambda: self._venue.order(self._account, int(order_id)))
        return found if found is None or found.symbol == symbol else None

    def _shown(self, order: VenueOrder, pair: str) -> Order:
        trigger_price = None if order.trigger is None else order.trigger.price
        average = order.average_price
        price = order.price if order.price is not None else average
        price = trigger_price if price is None else price
        if price is None:
            # A market order that nothing has filled was taken at the price of the moment.
            quote = self._venue.quote(order.symbol)
            price = quote.last if quote is not None else ZERO
        return Order(
            client_order_id=order.client_id or "",
            order_id=str(order.serial),
            pair=pair,
            side=order.side,
            type=order.type,
            status=order.status,
            price=price,
            amount_base=order.filled_base if order.amount_base is None else order.amount_base,
            filled_base=order.filled_base,
            cost_quote=order.filled_quote,
            fees=order.fees,
            is_reduce_only=order.is_reduce_only,
            created_at_ms=order.created_at_ms,
            updated_at_ms=order.updated_at_ms,
            trigger_price=trigger_price,
        )


def request_of(order: NewOrder, kind: MarketKind) -> OrderRequest:
    """Return what a venue is asked for *order* on a market of *kind*."""
    is_futures = kind is MarketKind.FUTURES
    return OrderRequest(
        symbol=symbol_of(kind, order.pair),
        side=order.side,
        type=order.type,
        amount_base=order.amount_base,
        price=order.price if order.type is OrderType.LIMIT else None,
        client_id=order.client_order_id,
        is_post_only=order.is_post_only,
        is_reduce_only=is_futures and order.is_reduce_only,
        leverage=order.leverage if is_futures else None,
        margin_mode=MarginMode(order.margin_mode)
        if is_futures and order.margin_mode is not None
        else None,
        trigger=None
        if order.trigger_price is None
        else Trigger(order.trigger_price, is_rising=order.side is Side.BUY),
    )


def _fill(fill: VenueFill, pair: str) -> Fill:
    return Fill(
        fill_id=str(fill.serial),
        order_id=str(fill.order_serial),
        client_order_id=fill.client_id,
        pair=pair,
        side=fill.side,
        price=fill.price,
        amount_base=fill.amount_base,
        fee=fill.fee,
        is_maker=fill.is_maker,
        at_ms=fill.at_ms,
        is_forced=fill.is_liquidation,
    )


def _or_none(look: Callable[[], VenueOrder]) -> VenueOrder | None:
    try:
        return look()
    except VenueError as error:
        if error.kind is Refusal.ORDER_NOT_FOUND:
            return None
        raise


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the venue's refusals into the ports' errors."""
    try:
        yield
    except VenueError as error:
        reason = _REASONS.get(error.kind, Reason.ORDER_REJECTED)
        raise PermanentError(reason, str(error), raw_code=error.kind.value) from error
