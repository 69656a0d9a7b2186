"""What the judge of histories forgives, and what it does not."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backfuturectl.matching.values import FeeMode, OrderRequest, Trigger, symbol_of
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import OrderType, Side
from tests.shell.world import START_MS
from tests.simulation.exchange import new_venue
from tests.simulation.invariants import BrokenError, Ledger, OverrunError

D = Decimal
SYMBOL = symbol_of(MarketKind.FUTURES, "BTC/USDT")


@pytest.mark.parametrize(
    ("stop_base", "verdict"),
    [(D(2), OverrunError), (D("1.5"), BrokenError), (None, BrokenError)],
    ids=["a stop for all of it", "a stop for a part", "no stop"],
)
def test_a_liquidation_is_forgiven_only_while_all_of_it_was_on_offer(
    stop_base: D | None, verdict: type[Exception]
) -> None:
    venue = new_venue(FeeMode.QUOTE, D("0.2"))
    venue.set_leverage("futures", SYMBOL, 3, START_MS)
    sell = OrderRequest(SYMBOL, Side.SELL, OrderType.LIMIT, D(2), price=D(100))
    venue.place("futures", sell, START_MS)
    at_ms = START_MS
    for _ in range(10):
        at_ms += 1000
        venue.set_price(SYMBOL, D("100.5"), at_ms)
    if stop_base is not None:
        stop = OrderRequest(
            SYMBOL,
            Side.BUY,
            OrderType.MARKET,
            stop_base,
            is_reduce_only=True,
            trigger=Trigger(D(115), is_rising=True),
        )
        venue.place("futures", stop, at_ms)
    ledger = Ledger(venue, ("futures",), {})
    ledger.update()
    for price in (116, 120, 125, 130, 134):  # a short of leverage 3 ends at about 133
        at_ms += 1000
        venue.set_price(SYMBOL, D(price), at_ms)
    with pytest.raises(verdict):
        ledger.update()
