"""Value fees that exchanges take in a coin of their own (KCS, MX) soon after each execution.

The coin's price in the quote currency is asked for once per round and coin. What could not be
priced within minutes stays without a value, and every result says so.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from decimal import Decimal
from typing import Final

from backfuturectl.engine.clock import Clock
from backfuturectl.model.errors import OperationError
from backfuturectl.model.records import FillRecord
from backfuturectl.reconcile.connections import Lines
from backfuturectl.store.database import Store

_LOG = logging.getLogger(__name__)

YOUNG_MS: Final = 300_000
"""A price that is further away from the execution than this says nothing about its fee."""

_AT_ONCE: Final = 500
_LOOK_BACK_ROWS: Final = 1_000


def may_be_priced(fill: FillRecord, pair: str, now_ms: int) -> bool:
    """Return whether *fill*, of *pair*, has a fee in a third coin whose price may still come."""
    is_third = fill.fee is not None and fill.fee.currency not in pair.split("/")
    return is_third and fill.fee_price is None and now_ms - fill.at_ms < YOUNG_MS


class FeePrices:
    """Follows the fills of the store and adds what their fees' coins cost."""

    def __init__(self, store: Store, clock: Clock, lines: Lines) -> None:
        self._store = store
        self._clock = clock
        self._lines = lines
        self._after: int | None = None

    async def follow(self) -> None:
        """Price the fees of the fills that are new since the last call, as far as they need it.

        Raises:
            TransientError: The store failed; the next call looks again.
        """
        if self._after is None:
            newest = await self._store.newest_fill()
            self._after = max(newest - _LOOK_BACK_ROWS, 0)
        fills = await self._store.unpriced(self._after, limit=_AT_ONCE)
        asked: dict[tuple[str, str], Decimal | None] = {}
        is_waiting = False  # for a price: the next call looks at that fill again
        for row, connection, pair, fill in fills:
            assert fill.fee is not None, "asked for fills with a fee"
            base, _, quote = pair.partition("/")
            coin = fill.fee.currency
            if coin == base:
                await self._store.commit([replace(fill, fee_price=fill.price)])
            elif coin != quote and may_be_priced(fill, pair, self._clock.now_ms()):
                place = (connection, f"{coin}/{quote}")
                if place not in asked:
                    asked[place] = await self._ask(*place)
                price = asked[place]
                if price is not None:
                    await self._store.commit([replace(fill, fee_price=price)])
                is_waiting = is_waiting or price is None
            if not is_waiting:
                self._after = row

    async def _ask(self, connection: str, pair: str) -> Decimal | None:
        shared = self._lines.line(connection).shared
        if shared is None:
            return None
        try:
            if pair not in await shared.public.markets():
                return None
            quote = (await shared.public.prices([pair])).get(pair)
        except OperationError as error:
            _LOG.info("%s: no price of %s for its fees: %s", connection, pair, error)
            return None
        # A price of nothing is a hole in the exchange's answer.
        return quote.last if quote is not None and quote.last > 0 else None
