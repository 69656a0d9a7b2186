"""The numbers and codes that MEXC futures speak in: modes, refusals, and the market asked for.

Source: the exchange's contract API v1, "Error code".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from backfuturectl.emulator.mexc_auth import KeyedCall
from backfuturectl.emulator.mexc_values import Symbols
from backfuturectl.emulator.mexc_wire import futures_error
from backfuturectl.matching.refusals import Refusal
from backfuturectl.matching.values import Listing, MarginMode

T = TypeVar("T")

_MARGIN_MODES: Final = {1: MarginMode.ISOLATED, 2: MarginMode.CROSS}
MARGIN_NUMBERS: Final = {mode: number for number, mode in _MARGIN_MODES.items()}

REFUSALS: Final[Mapping[Refusal, tuple[int, str]]] = {
    Refusal.SYMBOL_UNKNOWN: (1001, "Contract does not exist"),
    Refusal.SYMBOL_CLOSED: (1002, "Contract not allow place order!"),
    Refusal.PRICE_MISSING: (1002, "Contract not allow place order!"),
    Refusal.AMOUNT_BELOW_MINIMUM: (2008, "The quantity is insufficient"),
    Refusal.COST_BELOW_MINIMUM: (2008, "The quantity is insufficient"),
    Refusal.AMOUNT_ABOVE_MAXIMUM: (2028, "The maximum order quantity is exceeded"),
    Refusal.AMOUNT_PRECISION: (2015, "Price or quantity accuracy error"),
    Refusal.PRICE_PRECISION: (2015, "Price or quantity accuracy error"),
    Refusal.PRICE_BAND: (2007, "Order price error"),
    Refusal.INSUFFICIENT_BALANCE: (2005, "Insufficient balance!"),
    Refusal.CLIENT_ID_INVALID: (2030, "The external order ID is too long"),
    Refusal.ORDER_NOT_FOUND: (2040, "order not exist"),
    Refusal.ORDER_NOT_CANCELABLE: (2041, "order state cannot be cancelled"),
    Refusal.TOO_MANY_ORDERS: (2036, "The orders more than the limit"),
    Refusal.REDUCE_ONLY_REJECTED: (2009, "Position is not exists or closed."),
    Refusal.LEVERAGE: (2006, "Leverage ratio error"),
    Refusal.MARGIN_MODE_DIFFERS: (2027, "There is only one cross or isolated position"),
    Refusal.POSITION_MODE_DIFFERS: (600, "Parameter error: position mode"),  # UNVERIFIED
    Refusal.POSITION_OPEN: (2019, "There is an active open position"),
    Refusal.ACCOUNT_UNKNOWN: (1000, "Account does not exist"),
}
OTHER_REFUSAL: Final = (600, "Parameter error")
_OPEN_TYPE_WRONG: Final = (2002, "Opening type error")


def margin_mode(parameters: Mapping[str, Any]) -> MarginMode:
    """Return the margin mode that ``openType`` names."""
    return choice(_MARGIN_MODES, parameters["openType"], _OPEN_TYPE_WRONG)


def choice(table: Mapping[int, T], number: Any, refusal: tuple[int, str]) -> T:
    """Return what *number* stands for; one that stands for nothing has its own *refusal*."""
    if int(number) not in table:
        raise futures_error(*refusal)
    return table[int(number)]


def known_listing(symbols: Symbols, symbol_id: str) -> Listing:
    """Return the market that *symbol_id* names, or refuse."""
    listing = symbols.find(symbol_id)
    if listing is None:
        raise futures_error(1001, "Contract does not exist")
    return listing


def wanted_listing(symbols: Symbols, keyed: KeyedCall) -> Listing | None:
    """Return the market that an optional ``symbol`` names."""
    name = keyed.parameters.get("symbol")
    return None if name is None else known_listing(symbols, str(name))
