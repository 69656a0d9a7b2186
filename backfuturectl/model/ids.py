"""Identifiers computed from their inputs, so that a restart repeats them.

A client order id is ``bf`` + installation (4) + bot (6) + deal (5) + leg code (1) + leg index (2)
+ attempt (3): 23 characters of ``[a-z0-9]``. Every exchange supported takes 32 or more, except
where its page says otherwise; none forbids letters and digits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from backfuturectl.model.orders import Leg, LegKind

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_PREFIX: Final = "bf"
_LENGTH: Final = 23
_LEG_CODES: Final = frozenset(kind.value for kind in LegKind)


@dataclass(frozen=True, slots=True)
class OrderName:
    """The parts of a client order id.

    Attributes:
        installation: Four characters drawn once per state store: another daemon's orders differ.
        bot: Six characters from the bot's name.
        deal: Serial number of the deal within the bot, from 1.
        attempt: Counts re-placements of the same leg within the deal, from 0.
    """

    installation: str
    bot: str
    deal: int
    leg: Leg
    attempt: int


def bot_id(strategy: str, pair: str) -> str:
    """Return the bot's name, ``eth-btc-balanced/BTC-USDT``: what users see and type."""
    return f"{strategy}/{pair.replace('/', '-')}"


def via_bot_id(bot: str, connection: str) -> str:
    """Return the name of the bot that trades *bot*'s pair through another connection.

    ``eth-btc-balanced/BTC-USDT@recovery``: it has the connection in it, since deals of another
    account are another bot's. No strategy, pair or connection has an ``@``.
    """
    return f"{bot}@{connection}"


def bot_code(bot: str) -> str:
    """Return six characters that stand for the bot in client order ids."""
    number = int.from_bytes(hashlib.sha256(bot.encode()).digest()[:8])
    return _base36(number % 36**6, 6)


def deal_id(bot: str, deal: int) -> str:
    """Return ``eth-btc-balanced/BTC-USDT#3``."""
    return f"{bot}#{deal}"


def installation_code(seed: bytes) -> str:
    """Return the four characters of an installation from random *seed* bytes (at least 8)."""
    return _base36(int.from_bytes(hashlib.sha256(seed).digest()[:8]) % 36**4, 4)


def client_order_id(name: OrderName) -> str:
    """Return the id of *name*; `parse_client_order_id` is its inverse."""
    return "".join(
        (
            _PREFIX,
            name.installation,
            name.bot,
            _base36(name.deal, 5),
            name.leg.kind.value,
            _base36(name.leg.index, 2),
            _base36(name.attempt, 3),
        )
    )


def client_order_ids(installation: str, bot: str) -> tuple[str, str]:
    """Return the least text that ids of *bot*'s orders have, and the least that is beyond them all.

    In between the later deal's are the greater ones: its number comes first, in digits that sort.
    """
    prefix = f"{_PREFIX}{installation}{bot_code(bot)}"
    return prefix, f"{prefix}{chr(ord(_DIGITS[-1]) + 1)}"


def parse_client_order_id(text: str) -> OrderName | None:
    """Return the parts of *text*, or None when no backfuturectl made it."""
    if len(text) != _LENGTH or not text.startswith(_PREFIX) or set(text) - set(_DIGITS):
        return None
    if text[17] not in _LEG_CODES:
        return None
    return OrderName(
        installation=text[2:6],
        bot=text[6:12],
        deal=int(text[12:17], 36),
        leg=Leg(LegKind(text[17]), int(text[18:20], 36)),
        attempt=int(text[20:23], 36),
    )


def _base36(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 36)
        digits.append(_DIGITS[rest])
    if number:
        raise ValueError(f"number does not fit {width} base-36 digits")
    return "".join(reversed(digits))
