"""Read an answer with the prices of all markets: the largest there is, and one comes every second.

Of its twenty fields a row only four become objects, and only those of markets that somebody asked
for become numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from backfuturectl.exchanges.payload import NOT_JSON, PayloadError, decode, exact_or_none
from backfuturectl.model.market import Quote


class Ticker(msgspec.Struct, gc=False):
    """What is read of one row, as JSON has it; each exchange names the fields in its own way.

    Attributes:
        last: None for a market that never traded.
    """

    symbol: str | None = None
    last: Any = None
    bid: Any = None
    ask: Any = None


def lean(shape: Any) -> Callable[[bytes], Any]:
    """Return a `payload.decode` for answers of *shape* that leaves out what *shape* does not name.

    An answer of another shape, such as a refusal, is decoded whole.
    """
    decoder = msgspec.json.Decoder(shape, float_hook=Decimal)

    def read(body: bytes) -> Any:
        try:
            return decoder.decode(body)
        except NOT_JSON:
            return decode(body)

    return read


def quotes(value: Any, wanted: Mapping[str, str]) -> dict[str, Quote]:
    """Return the quotes in *value*, a list of tickers, by pair.

    *wanted* is pair by symbol; others are left out, as are those whose last price is no number:
    markets that never traded, and what an exchange got wrong, which takes no other price away. A
    bid or ask that is no number is not known; exits need only the last price.

    Raises:
        PayloadError: No list of tickers.
    """
    if not isinstance(value, list):
        raise PayloadError("expected a list")
    found = {}
    for ticker in value:
        if not isinstance(ticker, Ticker):
            raise PayloadError("expected a list of tickers")
        pair = wanted.get(ticker.symbol or "")
        last = exact_or_none(ticker.last) if pair is not None else None
        if pair is not None and last is not None:
            found[pair] = Quote(last, exact_or_none(ticker.bid), exact_or_none(ticker.ask))
    return found
