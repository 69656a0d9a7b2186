"""Read an exchange's JSON: numbers exact, and a missing or senseless field is an error."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, DecimalException, InvalidOperation
from typing import Any, Final

import msgspec

from backfuturectl.model.market import ZERO
from backfuturectl.model.orders import Side

_JSON: Final = msgspec.json.Decoder(float_hook=Decimal)

NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, DecimalException, RecursionError)
"""What decoding raises."""


class PayloadError(Exception):
    """The answer is not what this endpoint's documentation promises."""


def decode(body: bytes) -> Any:
    """Return the JSON value of *body*; fractions become Decimal, never float.

    Raises:
        PayloadError: Not JSON, or cut off.
    """
    try:
        return _JSON.decode(body)
    except NOT_JSON as error:
        raise PayloadError("the answer is not JSON") from error


def rows(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of the list *value*."""
    if not isinstance(value, list):
        raise PayloadError("expected a list")
    for row in value:
        yield mapping(row)


def lists(value: Any) -> Iterator[list[Any]]:
    """Yield the lists of the list *value*: rows whose fields have no names."""
    if not isinstance(value, list):
        raise PayloadError("expected a list")
    for row in value:
        if not isinstance(row, list):
            raise PayloadError("expected a list of lists")
        yield row


def exact(value: Any, name: str) -> Decimal:
    """Return the number *value* of field *name*, exactly as it was written."""
    is_text = isinstance(value, str)  # nearly always
    if not is_text and (not isinstance(value, int | Decimal) or isinstance(value, bool)):
        raise PayloadError(f"field `{name}` is missing")
    try:
        result = Decimal(value)
    except InvalidOperation as error:
        raise PayloadError(f"field `{name}` is not a number") from error
    if not result.is_finite():
        raise PayloadError(f"field `{name}` is not a number")
    return result


def exact_or_none(value: Any) -> Decimal | None:
    """Return the number *value*, exactly as it was written; None where it is no number."""
    try:
        return exact(value, "")
    except PayloadError:
        return None


def number_at(row: list[Any], index: int) -> Decimal:
    """Return the number at *index*, exactly as it was written."""
    return exact(row[index] if index < len(row) else None, str(index))


def mapping(value: Any) -> dict[str, Any]:
    """Return *value*, which must be an object."""
    if not isinstance(value, dict):
        raise PayloadError("expected an object")
    return value


def text(row: dict[str, Any], name: str) -> str:
    """Return the text of a field; whole numbers count as text."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise PayloadError(f"field `{name}` is missing")
    return str(value)


def optional_text(row: dict[str, Any], name: str) -> str | None:
    """Return the text of a field, or None when it is absent, null or empty."""
    return None if row.get(name) in {None, ""} else text(row, name)


def number(row: dict[str, Any], name: str) -> Decimal:
    """Return the number of a field, exactly as it was written."""
    return exact(row.get(name), name)


def number_or_zero(row: dict[str, Any], name: str) -> Decimal:
    """Return the number of a field for which the exchange writes nothing when it is zero."""
    return ZERO if row.get(name) in {None, ""} else number(row, name)


def optional_number(row: dict[str, Any], name: str) -> Decimal | None:
    """Return the number of a field, or None when it is absent, null or empty."""
    return None if row.get(name) in {None, ""} else number(row, name)


def integer(row: dict[str, Any], name: str) -> int:
    """Return the whole number of a field."""
    value = number(row, name)
    if value != value.to_integral_value():
        raise PayloadError(f"field `{name}` is not a whole number")
    return int(value)


def flag(row: dict[str, Any], name: str) -> bool:
    """Return the truth value of a field."""
    value = row.get(name)
    if not isinstance(value, bool):
        raise PayloadError(f"field `{name}` is missing")
    return value


def side(row: dict[str, Any]) -> Side:
    """Return the direction that field ``side`` names."""
    name = text(row, "side")
    if name.lower() not in {Side.BUY, Side.SELL}:
        raise PayloadError(f"field `side` is {name}")
    return Side(name.lower())


def words(value: str | None) -> tuple[str, ...]:
    """Return the parts of a comma-joined field."""
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


def plain(value: Decimal) -> str:
    """Return *value* as exchanges take it: no exponent, no trailing zeros."""
    written = f"{value:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written
