"""Why a venue refuses: one exception, a closed set of kinds; dialects map them to raw codes."""

from __future__ import annotations

import enum


class Refusal(enum.StrEnum):
    """What was wrong with a request; nothing has changed when one of these is raised."""

    SYMBOL_UNKNOWN = "symbol_unknown"
    SYMBOL_CLOSED = "symbol_closed"
    PRICE_MISSING = "price_missing"
    AMOUNT_BELOW_MINIMUM = "amount_below_minimum"
    AMOUNT_ABOVE_MAXIMUM = "amount_above_maximum"
    COST_BELOW_MINIMUM = "cost_below_minimum"
    AMOUNT_PRECISION = "amount_precision"
    PRICE_PRECISION = "price_precision"
    PRICE_BAND = "price_band"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    CLIENT_ID_DUPLICATE = "client_id_duplicate"
    CLIENT_ID_INVALID = "client_id_invalid"
    ORDER_NOT_FOUND = "order_not_found"
    ORDER_NOT_CANCELABLE = "order_not_cancelable"
    TOO_MANY_ORDERS = "too_many_orders"
    TOO_MANY_STOPS = "too_many_stops"
    POST_ONLY_WOULD_TAKE = "post_only_would_take"
    REDUCE_ONLY_REJECTED = "reduce_only_rejected"
    LEVERAGE = "leverage"
    MARGIN_MODE_DIFFERS = "margin_mode_differs"
    POSITION_MODE_DIFFERS = "position_mode_differs"
    POSITION_OPEN = "position_open"
    ACCOUNT_UNKNOWN = "account_unknown"
    PARAMETER = "parameter"


class VenueError(Exception):
    """A refused request.

    Attributes:
        kind: What was wrong; a dialect maps it to the exchange's code and text.
        order_serial: The order concerned, where there is one (the existing one of a duplicate).
    """

    def __init__(self, kind: Refusal, message: str, *, order_serial: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.order_serial = order_serial
