"""Money, percentages and durations: one way to write each, as pydantic types.

The YAML loader hands over numbers as `int` or `Decimal`, never as float, so no digit is lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

_MONEY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ([A-Z0-9]{2,12})")
_PERCENT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")
_DURATION: Final = re.compile(r"([0-9]+)(s|m|h|d)")
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class Money:
    """An amount with its currency, written ``1500 USDT``."""

    amount: Decimal
    currency: str

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"

    @classmethod
    def parse(cls, value: Any) -> Money:
        """Return the money that *value* writes; accepts Money itself."""
        if isinstance(value, Money):
            return value
        match = _MONEY.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError("expected an amount with its currency, such as `1500 USDT`")
        return cls(Decimal(match[1]), match[2])

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_MONEY.pattern}$", "examples": ["1500 USDT"]}


@dataclass(frozen=True, slots=True)
class Share:
    """A percentage of something named elsewhere, written ``35%``."""

    percent: Decimal

    def __str__(self) -> str:
        return f"{self.percent:f}%"


def _money_or_share(value: Any) -> Money | Share:
    if isinstance(value, Money | Share):
        return value
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        return Share(Decimal(match[1]))
    try:
        return Money.parse(value)
    except ValueError:
        raise ValueError("expected `500 USDT` or a share of the capital such as `35%`") from None


def _money_or_auto(value: Any) -> Money | str:
    if value == "auto":
        return "auto"
    try:
        return Money.parse(value)
    except ValueError:
        raise ValueError("expected an amount such as `50 USDT`, or `auto`") from None


def parse_duration(value: Any) -> int:
    """Return what `format_duration` wrote, milliseconds.

    Raises:
        ValueError: It is not written as a duration is.
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a duration such as `90s`, `15m`, `36h` or `7d`")
    return int(match[1]) * _UNIT_MS[match[2]]


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("expected a number, without quotes or a unit")  # noqa: TRY004 - pydantic
    return Decimal(value)


def _finite(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError("expected a finite number")
    return value


def format_duration(duration_ms: int) -> str:
    """Return the shortest exact way to write *duration_ms*: ``36h``, not ``129600s``."""
    for unit in ("d", "h", "m", "s"):
        if duration_ms and duration_ms % _UNIT_MS[unit] == 0:
            return f"{duration_ms // _UNIT_MS[unit]}{unit}"
    return f"{duration_ms // 1000}s"


Number = Annotated[
    Decimal,
    BeforeValidator(_number),
    AfterValidator(_finite),
    WithJsonSchema({"type": "number"}),
]
"""A plain number, exact."""

DurationMs = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["15m"]}),
]
"""A duration as whole milliseconds, written ``15m``."""

MoneyOrShare = Annotated[
    Money | Share,
    BeforeValidator(_money_or_share),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^({_MONEY.pattern}|{_PERCENT.pattern})$",
            "examples": ["500 USDT", "35%"],
        }
    ),
]
"""``500 USDT``, or ``35%`` of the connection's declared capital."""

MoneyOrAuto = Annotated[
    Money | Literal["auto"],
    BeforeValidator(_money_or_auto),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^({_MONEY.pattern}|auto)$",
            "examples": ["auto", "50 USDT"],
        }
    ),
]
"""``50 USDT``, or ``auto``."""
