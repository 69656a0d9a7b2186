"""The exchange of a history: what it lists, who has an account there, and what time it is."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

from backfuturectl.matching.values import (
    ClientIdScope,
    FeeMode,
    Listing,
    VenueRules,
    symbol_of,
    wallet_of,
)
from backfuturectl.matching.venue import Venue
from backfuturectl.model.market import MarketKind
from tests.shell.world import START_MS, LoopClock
from tests.simulation.prices import START
from tests.unit.strategy.venue import market

FUNDING_RATE = Decimal("0.0005")
OWN_COINS = Decimal(10)
"""Of each base on spot: coins of the owner that no bot may ever sell."""

SPOT, FUTURES = MarketKind.SPOT, MarketKind.FUTURES
CONNECTIONS = {"spot": SPOT, "futures": FUTURES}
"""What the files of every history have."""

ACCOUNTS = {**CONNECTIONS, "spare-spot": SPOT, "spare-futures": FUTURES}
"""What there is at the exchange; spare ones are for new deals while an old one recovers."""

STRANGERS = {f"stranger-{kind.value}": kind for kind in (SPOT, FUTURES)}
"""Other accounts: they have coins that could be sold, and no money to begin a deal with."""

PAIRS = ("BTC/USDT", "ETH/USDT")

FEE_COIN = "KCS"
"""What fees are taken in with FeeMode.COIN."""

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_PAST_MINUTES = 60


def drawn_clock(rng: random.Random) -> LoopClock:
    """Return a clock of the usual morning, or of an evening: a day ends within the history."""
    midnight_ms = (START_MS // _DAY_MS + 1) * _DAY_MS
    evening_ms = midnight_ms - rng.randrange(5, 50) * _MINUTE_MS
    return LoopClock(rng.choice((0, 0, evening_ms - START_MS)))


def drawn_venue(rng: random.Random) -> Venue:
    """Return an exchange whose fees, depth and contracts *rng* decides."""
    fee = rng.choice((FeeMode.QUOTE, FeeMode.RECEIVED))
    depth = rng.choice((None, None, Decimal("0.9"), Decimal("0.2")))
    contract = rng.choice((Decimal("0.0001"), Decimal("0.0001"), Decimal("0.01"), Decimal("0.1")))
    return new_venue(fee, depth, contract)


def new_venue(
    spot_fee: FeeMode, depth_base: Decimal | None, contract_base: Decimal = Decimal("0.0001")
) -> Venue:
    """Return an exchange that takes client order ids twice, with money and the owner's coins.

    Args:
        spot_fee: Which coin spot fees are taken in.
        depth_base: Base units that trade per price; None for endless depth.
        contract_base: What one contract of futures is, and so their amount step.
    """
    venue = Venue("kucoin", VenueRules(client_id_scope=ClientIdScope.NONE))
    for kind in (SPOT, FUTURES):
        step = contract_base if kind is FUTURES else market(kind).amount_step
        for pair in PAIRS:
            rules = replace(
                market(kind),
                pair=pair,
                base=pair.partition("/")[0],
                amount_step=step,
                amount_min=step,
                contract_size=contract_base if kind is FUTURES else Decimal(1),
            )
            venue.add_listing(
                Listing(
                    rules,
                    fee_mode=spot_fee if kind is SPOT else FeeMode.QUOTE,
                    fee_coin=FEE_COIN if spot_fee is FeeMode.COIN else None,
                    fill_max_base=depth_base,
                    funding_rate=FUNDING_RATE if kind is FUTURES else Decimal(0),
                    funding_interval_ms=3_600_000,
                )
            )
            venue.set_price(symbol_of(kind, pair), Decimal(int(START)), START_MS)
    if spot_fee is FeeMode.COIN:
        pair = f"{FEE_COIN}/USDT"
        venue.add_listing(Listing(replace(market(), pair=pair, base=FEE_COIN)))
        venue.set_price(symbol_of(SPOT, pair), Decimal(8), START_MS)
    for name, kind in STRANGERS.items():
        venue.add_account(name)
        for pair in PAIRS if kind is SPOT else ():
            venue.deposit(name, wallet_of(kind), pair.partition("/")[0], OWN_COINS, START_MS)
    for name, kind in ACCOUNTS.items():
        venue.add_account(name)
        venue.deposit(name, wallet_of(kind), "USDT", Decimal(20_000), START_MS)
        for pair in PAIRS if kind is SPOT else ():
            venue.deposit(name, wallet_of(kind), pair.partition("/")[0], OWN_COINS, START_MS)
        if spot_fee is FeeMode.COIN and kind is SPOT:
            venue.deposit(name, wallet_of(kind), FEE_COIN, OWN_COINS, START_MS)
    return venue


def tell_past(venue: Venue, symbol: str, rng: random.Random, until_ms: int) -> None:
    """Let the hour before the history have had prices, for those who ask for candles."""
    price, closes = START, []
    for _ in range(_PAST_MINUTES):
        closes.append(Decimal(round(price * 100)) / 100)
        price *= 1 + rng.gauss(0, 0.001)
    venue.tell_past(symbol, closes[::-1], step_ms=_MINUTE_MS, until_ms=until_ms)
