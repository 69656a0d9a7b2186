"""What is assumed of an exchange when nobody can ask it, for proofs without a network.

A small table, reviewed by hand. The daemon repeats every proof with the exchange's own market
rules, so a figure here can only make `validate` too strict or too mild, never a bot. Fees are those
of an account without volume or discount. Ticks and steps differ per pair and are left unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from backfuturectl.model.market import ZERO, Market, MarketKind
from backfuturectl.strategy.arithmetic import Grid, shown


@dataclass(frozen=True, slots=True)
class MarketRules:
    """What the proofs need to know of a market.

    Attributes:
        taker_fee: Ratio.
        maker_fee: Ratio.
        price_tick: None where unknown.
        amount_step: Base units; None where unknown.
        amount_min: Base units; None where unknown.
        cost_min: Smallest order, quote; zero where the exchange has none.
        maintenance_margin: Ratio of the first tier; zero on spot.
        tier_max_quote: Largest position value of that tier; None where unknown or without end.
        open_orders_max: Per account or symbol, whichever is less.
        leverage_max: None where unknown.
        stop_orders_max: Stops that may wait beside a take profit; zero where none can.
        source: Where the figures come from and when they were read, for messages.
    """

    kind: MarketKind
    taker_fee: Decimal
    maker_fee: Decimal
    cost_min: Decimal
    maintenance_margin: Decimal
    open_orders_max: int
    source: str
    price_tick: Decimal | None = None
    amount_step: Decimal | None = None
    amount_min: Decimal | None = None
    leverage_max: int | None = None
    stop_orders_max: int = 0
    tier_max_quote: Decimal | None = None

    @property
    def grid(self) -> Grid:
        """The steps prices and amounts are rounded to."""
        return Grid(self.price_tick, self.amount_step)

    def describe(self) -> str:
        """Return one sentence that names every assumed figure."""
        parts = [f"taker fee {shown(self.taker_fee * 100)}%", f"minimum order {self.cost_min:f}"]
        if self.kind is MarketKind.FUTURES:
            parts.append(f"maintenance margin {shown(self.maintenance_margin * 100)}%")
        parts.append(f"open orders at most {self.open_orders_max}")
        place = "may rest there" if self.stop_orders_max else "are watched by the daemon"
        parts.append(f"stop losses {place}")
        return f"{', '.join(parts)} ({self.source})"


def rules_of(market: Market) -> MarketRules:
    """Return what the exchange itself says of *market*."""
    return MarketRules(
        kind=market.kind,
        taker_fee=market.taker_fee,
        maker_fee=market.maker_fee,
        price_tick=market.price_tick,
        amount_step=market.amount_step,
        amount_min=market.amount_min,
        cost_min=market.cost_min,
        maintenance_margin=market.maintenance_margin,
        open_orders_max=market.open_orders_max,
        leverage_max=market.leverage_max,
        stop_orders_max=market.stop_orders_max,
        tier_max_quote=market.tier_max_quote,
        source=f"{market.exchange}'s market data of {market.pair}",
    )


def assumed_rules(exchange: str | None, kind: MarketKind) -> MarketRules | None:
    """Return the table's row, or None when *exchange* has no such market here.

    *exchange* None (no Connection known yet) gives the figures most exchanges share.
    """
    return ASSUMED.get((exchange, kind))


def _spot(
    taker_fee: str, maker_fee: str, *, cost_min: str, orders: int, source: str
) -> MarketRules:
    return MarketRules(
        kind=MarketKind.SPOT,
        taker_fee=Decimal(taker_fee),
        maker_fee=Decimal(maker_fee),
        cost_min=Decimal(cost_min),
        maintenance_margin=ZERO,
        open_orders_max=orders,
        leverage_max=1,
        source=source,
    )


def _futures(
    taker_fee: str, maker_fee: str, *, cost_min: str, orders: int, source: str, stops: int = 0
) -> MarketRules:
    return MarketRules(
        kind=MarketKind.FUTURES,
        taker_fee=Decimal(taker_fee),
        maker_fee=Decimal(maker_fee),
        cost_min=Decimal(cost_min),
        # First tier of the large pairs; smaller coins ask for more, which the daemon sees.
        maintenance_margin=Decimal("0.005"),
        open_orders_max=orders,
        stop_orders_max=stops,
        source=source,
    )


_FEES: Final = "fees of ccxt 4.5.90, 2026-09"
_GUESS: Final = f"{_FEES}; no page states an open-order limit, the figure is a cautious guess"


def _limit(source: str) -> str:
    return f"{_FEES}; open-order limit: {source}"


_KUCOIN: Final = _limit(
    "classic account, per pair or contract, KuCoin's `place-order` page, 2026-11"
)
_BINANCE: Final = _limit("filter MAX_NUM_ORDERS of exchangeInfo, 2026-11")
_BYBIT: Final = _limit("Bybit's v5 `create-order` page, 2026-11")
_MEXC: Final = _limit("per account, MEXC's spot v3 page, 2026-09")
_MEXC_CONTRACT: Final = _limit("`maxNumOrders` of MEXC's contract detail, 2026-11")
_OKX: Final = _limit("per instrument, OKX's v5 trade page, 2026-09")
_BINGX: Final = _limit("per symbol, BingX's swap page, 2026-09")
_GATE: Final = _limit("`orders_limit` of Gate's contracts, the smallest shown, 2026-11")
_COINBASE: Final = _limit("per profile and product, Coinbase's trading page, 2026-11")

ASSUMED: Final[dict[tuple[str | None, MarketKind], MarketRules]] = {
    (None, MarketKind.SPOT): _spot(
        "0.001", "0.001", cost_min="5", orders=100, source="no exchange known; usual figures"
    ),
    (None, MarketKind.FUTURES): _futures(
        "0.0006", "0.0002", cost_min="5", orders=100, source="no exchange known; usual figures"
    ),
    ("mexc", MarketKind.SPOT): _spot("0.0005", "0", cost_min="1", orders=500, source=_MEXC),
    # ccxt has one fee for both markets; contract pages show at most this.
    ("mexc", MarketKind.FUTURES): _futures(
        "0.0005", "0", cost_min="0", orders=200, source=_MEXC_CONTRACT
    ),
    ("kucoin", MarketKind.SPOT): _spot(
        "0.001", "0.001", cost_min="0.1", orders=200, source=_KUCOIN
    ),
    ("kucoin", MarketKind.FUTURES): _futures(
        "0.0006", "0.0002", cost_min="0", orders=100, stops=50, source=_KUCOIN
    ),
    ("binance", MarketKind.SPOT): _spot(
        "0.001", "0.001", cost_min="5", orders=200, source=_BINANCE
    ),
    ("binance", MarketKind.FUTURES): _futures(
        "0.0005", "0.0002", cost_min="5", orders=200, source=_BINANCE
    ),
    ("okx", MarketKind.SPOT): _spot("0.0015", "0.001", cost_min="0", orders=500, source=_OKX),
    ("okx", MarketKind.FUTURES): _futures(
        "0.0005", "0.0002", cost_min="0", orders=500, source=_OKX
    ),
    ("bitget", MarketKind.SPOT): _spot("0.002", "0.002", cost_min="1", orders=200, source=_GUESS),
    ("bitget", MarketKind.FUTURES): _futures(
        "0.0006", "0.0004", cost_min="5", orders=200, source=_GUESS
    ),
    ("gate", MarketKind.SPOT): _spot("0.002", "0.002", cost_min="3", orders=100, source=_GUESS),
    ("gate", MarketKind.FUTURES): _futures("0.0005", "0", cost_min="0", orders=50, source=_GATE),
    ("htx", MarketKind.SPOT): _spot("0.002", "0.002", cost_min="1", orders=100, source=_GUESS),
    # ccxt's table has no futures fee for HTX; the spot fee is the cautious reading.
    ("htx", MarketKind.FUTURES): _futures(
        "0.002", "0.002", cost_min="0", orders=100, source=_GUESS
    ),
    ("bingx", MarketKind.SPOT): _spot("0.001", "0.001", cost_min="5", orders=200, source=_GUESS),
    ("bingx", MarketKind.FUTURES): _futures(
        "0.0005", "0.0002", cost_min="2", orders=200, source=_BINGX
    ),
    ("coinbase", MarketKind.SPOT): _spot(
        "0.012", "0.006", cost_min="1", orders=500, source=_COINBASE
    ),
    ("bybit", MarketKind.SPOT): _spot("0.001", "0.001", cost_min="5", orders=500, source=_BYBIT),
    ("bybit", MarketKind.FUTURES): _futures(
        "0.00075", "0.0001", cost_min="5", orders=500, source=_BYBIT
    ),
}
