"""The exchange as the rest of the program sees it.

Two protocols: what needs no key is shared by every account of an exchange, what needs one is per
Connection. Every method raises only `TransientError`, `PermanentError` or `OutcomeUnknownError`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from backfuturectl.model.candles import Candle, Interval
from backfuturectl.model.market import Market, Quote
from backfuturectl.model.orders import (
    Balances,
    Fill,
    Funding,
    FuturesSettings,
    NewOrder,
    Order,
    Position,
)


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What a key may do, read off the key itself.

    Attributes:
        tokens: The exchange's own words, in its order.
        can_read: Balances and orders.
        can_trade_spot: None where this exchange does not tell.
        can_trade_futures: None where this exchange does not tell.
        can_withdraw: None when it could not be disproved, which counts as unverifiable.
        unknown: Tokens this program does not know; one is enough to refuse.
        superfluous: Known tokens beyond reading and trading (transfer, margin, earn).
        is_ip_restricted: None where the exchange does not tell.
        ip_list: As the exchange shows it, perhaps masked (``203.**.154``).
        created_at_ms: None where the exchange does not tell.
        expires_in_days: None where the exchange does not tell or the key does not expire.
        account_id: Stable account identity, to notice two keys of one account; None if unknown.
    """

    tokens: tuple[str, ...]
    can_read: bool
    can_trade_spot: bool | None
    can_trade_futures: bool | None
    can_withdraw: bool | None
    unknown: tuple[str, ...] = ()
    superfluous: tuple[str, ...] = ()
    is_ip_restricted: bool | None = None
    ip_list: tuple[str, ...] = ()
    created_at_ms: int | None = None
    expires_in_days: int | None = None
    account_id: str | None = None


class PublicPort(Protocol):
    """One exchange and market kind without a key; shared by all accounts there."""

    exchange: str

    async def markets(self) -> Mapping[str, Market]:
        """Return all markets of this kind by pair (``BTC/USDT``); loaded once, then cached."""

    async def reload_markets(self) -> None:
        """Load the markets again: from then on `markets` returns the newest rules.

        A pair that the exchange lists no longer stays, closed. When this raises, what is known
        stays in force.
        """

    async def server_time_ms(self) -> int:
        """Return the exchange's clock."""

    async def prices(self, pairs: Collection[str]) -> Mapping[str, Quote]:
        """Return last price, bid and ask per pair, in as few requests as the exchange allows."""

    async def candles(
        self, pair: str, interval: Interval, *, limit: int, before_ms: int
    ) -> tuple[Candle, ...]:
        """Return the newest *limit* candles that closed at or before *before_ms*, oldest first.

        One request. Fewer where the market is young; where nobody traded an exchange may leave a
        candle out.
        """

    async def close(self) -> None:
        """Close the HTTP session."""


class AccountPort(Protocol):
    """One account through one key.

    Attributes:
        horizon_ms: How long after `place` was called an order may still appear on the exchange. A
            look-up that finds nothing proves absence only when the order is older than this.
    """

    exchange: str
    horizon_ms: int

    async def rights(self) -> KeyRights:
        """Return what the key may do."""

    async def balances(self) -> Balances:
        """Return free and total amounts by currency, of the wallet this market kind trades from."""

    async def prepare(self, pair: str, *, leverage: int, margin_mode: str) -> None:
        """Set and verify leverage, margin mode and one-way position mode; nothing on spot.

        Raises:
            PermanentError: The exchange did not take them, or shows other values afterwards.
        """

    async def settings(self, pair: str) -> FuturesSettings | None:
        """Return what `prepare` sets as the exchange shows it; None on spot. Changes nothing."""

    async def place(self, order: NewOrder) -> Order:
        """Send *order* once, without retry.

        Returns:
            The order as acknowledged: OPEN at least; later look-ups tell more.

        Raises:
            OutcomeUnknownError: Timeout, broken connection or 5xx: it may exist.
            PermanentError: Refused; it does not exist. ORDER_DUPLICATE means an order with this
                client id exists.
            TransientError: Refused before any effect (rate limit, maintenance); it does not exist.
        """

    async def cancel(self, pair: str, client_order_id: str, order_id: str | None) -> None:
        """Ask for a cancel; an order that is gone already is no error.

        The caller learns the end state by `order`: a cancel can lose the race against a fill.
        """

    async def order(
        self, pair: str, client_order_id: str, order_id: str | None = None
    ) -> Order | None:
        """Return the order, or None when the exchange does not know it (yet)."""

    async def open_orders(self, pair: str) -> tuple[Order, ...]:
        """Return every open order of the pair, ours and foreign."""

    async def fills(self, pair: str, since_ms: int) -> tuple[Fill, ...]:
        """Return executions since then, oldest first."""

    async def position(self, pair: str) -> Position | None:
        """Return the futures position; None when flat or on spot."""

    async def funding(self, pair: str, since_ms: int) -> tuple[Funding, ...]:
        """Return funding payments since then, oldest first; none on spot."""

    async def close(self) -> None:
        """Release what this account alone holds."""


@runtime_checkable
class TrialPort(Protocol):
    """An account whose exchange judges orders without placing them; not all do."""

    async def try_order(self, order: NewOrder) -> None:
        """Have the exchange judge *order* as if it were real; nothing is placed, ever.

        Raises:
            PermanentError: As `AccountPort.place` would.
        """


@runtime_checkable
class AddressPort(Protocol):
    """An exchange that may tell callers their own address."""

    async def egress_ip(self) -> str | None:
        """Return this machine's public address as the exchange sees it; None if it tells none."""
