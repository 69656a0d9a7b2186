"""What both MEXC dialects share: symbols, numbers, identifiers and times in its forms."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from decimal import Decimal
from typing import Final

from backfuturectl.matching.values import Listing, VenueOrder
from backfuturectl.matching.venue import Venue
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import OrderStatus

# Both keep the width of identifiers seen in the wild; clients must treat them as opaque.
_SPOT_ORDER_BASE: Final = 443776347957968000000
_FUTURES_BASE: Final = 739113577038255000
_SPOT_ORDER_ID: Final = re.compile(r"C02__(\d{21})")

DAY_MS: Final = 86_400_000


class Symbols:
    """The exchange's own market names of one kind, ``BTCUSDT`` or ``BTC_USDT``."""

    def __init__(self, venue: Venue, kind: MarketKind) -> None:
        self._venue = venue
        self._kind = kind
        self._by_id: dict[str, str] = {}

    def find(self, symbol_id: str) -> Listing | None:
        """Return the market that the exchange calls *symbol_id*, or None."""
        if symbol_id not in self._by_id:
            # Markets may be opened while the server runs; they are never taken away.
            self._by_id = {symbol_id_of(listing): listing.symbol for listing in self.all()}
        symbol = self._by_id.get(symbol_id)
        return None if symbol is None else self._venue.listings[symbol]

    def all(self) -> tuple[Listing, ...]:
        """Return every market of the kind, open or not."""
        return tuple(
            listing
            for listing in self._venue.listings.values()
            if listing.market.kind is self._kind
        )


def symbol_id_of(listing: Listing) -> str:
    """Return ``BTCUSDT`` for a spot market, ``BTC_USDT`` for a contract."""
    separator = "_" if listing.is_futures else ""
    return f"{listing.market.base}{separator}{listing.market.quote}"


def number_text(value: Decimal) -> str:
    """Return *value* in plain digits without trailing zeros: ``0.1``, ``100``, ``0``."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) if value else "0"


def decimals_of(step: Decimal) -> int:
    """Return how many decimals *step* has: 2 for 0.01, 0 for 1 and 10."""
    return len(number_text(step).partition(".")[2])


def spot_order_id(serial: int) -> str:
    """Return ``C02__443776347957968000001`` for order 1."""
    return f"C02__{_SPOT_ORDER_BASE + serial}"


def parse_spot_order_id(text: str) -> int:
    """Return the serial of the order; 0, which no order has, for a text of another form."""
    match = _SPOT_ORDER_ID.fullmatch(text)
    return 0 if match is None else int(match[1]) - _SPOT_ORDER_BASE


def spot_trade_id(serial: int) -> str:
    """Return the 32 hexadecimal digits that name a fill."""
    return hashlib.blake2b(serial.to_bytes(8), digest_size=16).hexdigest()


def futures_id(serial: int) -> str:
    """Return ``739113577038255001`` for order or fill 1."""
    return str(_FUTURES_BASE + serial)


def parse_futures_id(text: str) -> int:
    """Return the serial; 0, which nothing has, for a text that is no number."""
    return int(text) - _FUTURES_BASE if text.isascii() and text.isdigit() else 0


def spot_status(order: VenueOrder) -> str:
    """Return the order's status in the exchange's words."""
    if order.status is OrderStatus.FILLED:
        return "FILLED"
    is_partly_filled = order.filled_base > 0
    if order.is_open:
        return "PARTIALLY_FILLED" if is_partly_filled else "NEW"
    return "PARTIALLY_CANCELED" if is_partly_filled else "CANCELED"


def iso_time(at_ms: int) -> str:
    """Return ``2026-09-14T18:53:36.000+00:00``."""
    seconds, millis = divmod(at_ms, 1000)
    moment = dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{millis:03d}+00:00"
