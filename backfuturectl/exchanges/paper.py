"""A bot's own exchange for ``mode: paper``: real prices and market rules, simulated fills.

- A resting order fills in full at its own price as soon as a price that was seen touches it; a
  taker pays the ask or gets the bid. What happened between two prices is not known and fills
  nothing; queue and depth are not simulated.
- Leverage and, on isolated margin, liquidation are simulated; funding is not. The quote currency
  never runs out. Fees are the market's, in the quote.
- The journal is this exchange's memory. An intent that was never acknowledged did not arrive, an
  acknowledged order rests again, an execution that was not recorded did not happen; an
  acknowledged market order, which no exchange lets rest, was executed at the price it was decided
  at. Orders that rested through a restart fill at their own price, never at a better one.
- No call leaves this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from backfuturectl.exchanges.port import KeyRights
from backfuturectl.exchanges.simulated import SimulatedAccount, request_of
from backfuturectl.matching.values import (
    ClientIdScope,
    Listing,
    MarginMode,
    VenueRules,
    symbol_of,
    wallet_of,
)
from backfuturectl.matching.venue import Venue
from backfuturectl.model.errors import TransientError
from backfuturectl.model.market import ZERO, Market, MarketKind, Quote
from backfuturectl.model.orders import (
    Balances,
    Fill,
    Funding,
    FuturesSettings,
    NewOrder,
    Order,
    OrderStatus,
    OrderType,
    Position,
    Side,
)
from backfuturectl.model.records import FillRecord, OrderRecord
from backfuturectl.model.status import Reason

FRESH_MS: Final = 15_000
"""How old the last price may be for an order to be taken: nothing trades at an old one."""

ORDERS_KEPT: Final = 200
"""How many orders are remembered before those of past deals are forgotten."""

LOOKED_UP_MS: Final = 60_000
"""How long an order that ended is remembered at least; bots look theirs up every 20 s."""

FUNDS_QUOTE: Final = Decimal(10) ** 12

_ACCOUNT: Final = "paper"


class PaperAccount:
    """One bot's account on an exchange of its own.

    Attributes:
        exchange: Of the market whose rules and prices it trades by.
        horizon_ms: No order ever appears late.
    """

    horizon_ms = 0

    def __init__(
        self,
        market: Market,
        *,
        leverage: int,
        margin_mode: str,
        now_ms: Callable[[], int],
        orders: Iterable[OrderRecord] = (),
        fills: Iterable[FillRecord] = (),
    ) -> None:
        """Open the account as the journal remembers it.

        Args:
            market: What is traded.
            leverage: Of the strategy; one on spot.
            margin_mode: ``isolated`` or ``cross``; without meaning on spot.
            now_ms: The wall clock.
            orders: The bot's orders of its newest deal, and older ones that may still rest.
            fills: The executions of these orders, oldest first.
        """
        self.exchange = market.exchange
        self._market = market
        self._leverage = leverage
        self._margin_mode = MarginMode(margin_mode)
        self._symbol = symbol_of(market.kind, market.pair)
        self._now_ms = now_ms
        self._quote: tuple[Quote, int] | None = None
        self._open()
        known = {order.client_order_id: order for order in orders}
        self._recorded = tuple(
            _recorded(fill, market.pair) for fill in fills if fill.client_order_id in known
        )
        self._restore_holdings()
        for order in known.values():
            if order.status is OrderStatus.OPEN:
                self._restore(order)

    def _open(self) -> None:
        """Open an exchange without a past."""
        rules = VenueRules(
            client_id_scope=ClientIdScope.EVER,
            margin_mode=self._margin_mode,
            leverage=self._leverage,
        )
        kind, quote = self._market.kind, self._market.quote
        self._venue = Venue(self.exchange, rules)
        self._venue.add_account(_ACCOUNT)
        self._venue.deposit(_ACCOUNT, wallet_of(kind), quote, FUNDS_QUOTE, 0)
        self._inner = SimulatedAccount(self._venue, _ACCOUNT, kind, now_ms=self._now_ms)
        self.use(self._market)

    def use(self, market: Market) -> None:
        """Trade by the market's newest rules from now on."""
        self._market = market
        # The venue demands what every sound futures market has; a paper one is not refused for it.
        maintenance = max(market.maintenance_margin, market.taker_fee)
        if market.kind is MarketKind.FUTURES and market.maintenance_margin != maintenance:
            market = replace(market, maintenance_margin=maintenance)
        self._venue.add_listing(Listing(market))

    def see(self, quote: Quote, at_ms: int) -> None:
        """Take the market's newest quote, seen at *at_ms*, and fill what it reaches.

        Where bid and ask are not known, or make no sense, a seller gets the last price and a buyer
        pays one tick more.
        """
        if quote.last <= ZERO:
            return
        bid, ask = quote.bid, quote.ask
        if bid is None or ask is None or not ZERO < bid <= ask:
            bid = ask = None
        self._quote = (quote, at_ms)
        self._venue.set_price(self._symbol, quote.last, at_ms, bid=bid, ask=ask)

    # The port.

    async def rights(self) -> KeyRights:
        """Return what may be done here: everything but moving funds away."""
        return await self._inner.rights()

    async def balances(self) -> Balances:
        """Return what the account holds."""
        return await self._inner.balances()

    async def prepare(self, pair: str, *, leverage: int, margin_mode: str) -> None:
        """Set leverage and margin mode; nothing on spot."""
        await self._inner.prepare(pair, leverage=leverage, margin_mode=margin_mode)

    async def settings(self, pair: str) -> FuturesSettings | None:
        """Return leverage and modes; None on spot."""
        return await self._inner.settings(pair)

    async def place(self, order: NewOrder) -> Order:
        """Take *order*, once.

        Raises:
            TransientError: PRICES_STALE; there is no fresh price to trade at.
            PermanentError: The market's rules refuse it.
        """
        # Before the first price a limit order only rests: there is nothing yet that it could take.
        is_blind = self._quote is None and order.type is OrderType.MARKET
        is_stale = self._quote is not None and self._now_ms() - self._quote[1] > FRESH_MS
        if is_blind or is_stale:
            raise TransientError(
                Reason.PRICES_STALE,
                "paper orders are taken at fresh prices only, and there is none",
            )
        self._forget()
        return _named(await self._inner.place(order))

    async def cancel(self, pair: str, client_order_id: str, order_id: str | None) -> None:  # noqa: ARG002 - the port's; the client id finds every order here
        """Cancel an order; one that is gone or unknown is no error."""
        await self._inner.cancel(pair, client_order_id, None)

    async def order(
        self,
        pair: str,
        client_order_id: str,
        order_id: str | None = None,  # noqa: ARG002 - the port's; the client id finds every order
    ) -> Order | None:
        """Return the order, or None when it never arrived."""
        found = await self._inner.order(pair, client_order_id)
        return None if found is None else _named(found)

    async def open_orders(self, pair: str) -> tuple[Order, ...]:
        """Return every open order."""
        return tuple(_named(order) for order in await self._inner.open_orders(pair))

    async def fills(self, pair: str, since_ms: int) -> tuple[Fill, ...]:
        """Return executions since then, oldest first; ids are the same after every restart."""
        counts: dict[str, int] = {}
        found = []
        for fill in (*self._recorded, *await self._inner.fills(pair, 0)):
            # A liquidation is the exchange's own order; a position is liquidated once.
            name = fill.client_order_id or f"liquidation-{fill.at_ms}"
            counts[name] = counts.get(name, 0) + 1
            if fill.at_ms >= since_ms:
                found.append(
                    replace(fill, fill_id=f"{_id(name)}-{counts[name]}", order_id=_id(name))
                )
        return tuple(found)

    async def position(self, pair: str) -> Position | None:
        """Return the position; None when flat or on spot."""
        return await self._inner.position(pair)

    async def funding(self, pair: str, since_ms: int) -> tuple[Funding, ...]:  # noqa: ARG002 - the port's
        """Return nothing: funding is not simulated."""
        return ()

    async def close(self) -> None:
        """Do nothing: there is no session."""

    # The journal as memory.

    def _restore_holdings(self) -> None:
        """Hold what the recorded executions left."""
        market, held = self._market, ZERO
        for fill in self._recorded:
            if market.kind is MarketKind.FUTURES:
                self._venue.restore_trade(
                    _ACCOUNT,
                    self._symbol,
                    fill.side,
                    amount_base=fill.amount_base,
                    price=fill.price,
                    at_ms=fill.at_ms,
                )
                continue
            held += fill.amount_base if fill.side is Side.BUY else -fill.amount_base
            if fill.fee is not None and fill.fee.currency == market.base:
                held -= fill.fee.amount
        if held > ZERO:
            self._venue.deposit(_ACCOUNT, wallet_of(market.kind), market.base, held, 0)

    def _restore(self, row: OrderRecord) -> None:
        kind = self._market.kind
        order = NewOrder(
            client_order_id=row.client_order_id,
            pair=self._market.pair,
            side=row.side,
            type=row.type,
            amount_base=row.amount_base,
            price=row.price,
            is_reduce_only=row.is_reduce_only,
            leverage=self._leverage,
            margin_mode=self._margin_mode if kind is MarketKind.FUTURES else None,
            trigger_price=row.trigger_price,
        )
        self._venue.restore_order(
            _ACCOUNT,
            request_of(order, kind),
            filled_base=row.filled_base,
            filled_quote=row.cost_quote,
            taken_at=row.price,
            at_ms=row.intended_at_ms,
        )

    def _forget(self) -> None:
        """Forget the orders of deals that are over, once they are many: the journal has them."""
        orders = self._venue.orders(_ACCOUNT)
        if len(orders) < ORDERS_KEPT or self._venue.open_orders(_ACCOUNT):
            return
        if self._now_ms() - max(order.updated_at_ms for order in orders) < LOOKED_UP_MS:
            return  # the bot may not have asked yet how the last ones ended
        market, held = self._market, ZERO
        if market.kind is MarketKind.FUTURES:
            if self._venue.position(_ACCOUNT, self._symbol) is not None:
                return
        else:
            purse = self._venue.balances(_ACCOUNT, wallet_of(market.kind)).get(market.base)
            held = purse.total if purse is not None else ZERO
            if held >= market.amount_step:
                return
        self._recorded = ()
        self._open()
        if held:
            self._venue.deposit(_ACCOUNT, wallet_of(market.kind), market.base, held, 0)
        if self._quote is not None:
            self.see(*self._quote)


def _id(client_order_id: str) -> str:
    """Return an order id that is unique over restarts, and tells that the order is no real one."""
    return f"paper-{client_order_id}"


def _named(order: Order) -> Order:
    return replace(order, order_id=_id(order.client_order_id))


def _recorded(row: FillRecord, pair: str) -> Fill:
    return Fill(
        fill_id=row.fill_id,
        order_id=_id(row.client_order_id),
        client_order_id=row.client_order_id,
        pair=pair,
        side=row.side,
        price=row.price,
        amount_base=row.amount_base,
        fee=row.fee,
        is_maker=False,
        at_ms=row.at_ms,
    )
