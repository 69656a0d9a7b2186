"""What is assumed of an exchange when nobody can ask it, for proofs without a network.

A small table, reviewed by hand; `explain assumptions` prints it. The daemon repeats every proof
with the exchange's own market rules before a bot starts, so a figure here can only make `validate`
and `ladder` too strict or too mild, never a bot. Fees are those of an account without volume or
discount. Ticks and steps differ per pair and are left unknown.

No exchange asks one maintenance margin for all contracts: its largest ask for 0.33 to 0.5 %, an
ordinary coin for 1 % and more. A row has the highest rate of a first tier that its source shows,
and half a percent where that is less.
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
        funding_reserve: φ, what is set aside for funding, ratio of the notional. Zero: nobody can
            say how long a deal lasts, and what funding takes is booked when it is paid.
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
    funding_reserve: Decimal = ZERO

    @property
    def grid(self) -> Grid:
        """The steps prices and amounts are rounded to."""
        return Grid(self.price_tick, self.amount_step)

    @property
    def why_watched(self) -> str:
        """Why no stop waits on the exchange; of a market that offers none.

        On spot nothing is reduce-only. A resting take profit holds the coins, so that a stop beside
        it is refused, or canceled when it sets off; once the take profit has sold them, the stop
        would sell others that the account may hold.
        """
        if self.kind is MarketKind.SPOT:
            return (
                "on spot the take profit holds the coins that a stop would sell, and no order "
                "there only reduces"
            )
        return "this program knows no stop orders of this market"

    def describe(self) -> str:
        """Return one sentence that names every assumed figure."""
        parts = [f"taker fee {shown(self.taker_fee * 100)}%", f"minimum order {self.cost_min:f}"]
        if self.kind is MarketKind.FUTURES:
            parts.append(f"maintenance margin {shown(self.maintenance_margin * 100)}%")
            parts.append(f"set aside for funding {shown(self.funding_reserve * 100)}%")
        parts.append(f"open orders at most {self.open_orders_max}")
        if self.stop_orders_max:
            parts.append("stop losses may rest there")
        else:
            parts.append(f"stop losses are watched by the daemon, since {self.why_watched}")
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


@dataclass(frozen=True, slots=True)
class _Figure:
    """One assumed figure and what it rests on."""

    value: str
    source: str


def _spot(
    taker_fee: str, maker_fee: str, *, cost_min: _Figure, orders: _Figure, fees: str | None = None
) -> MarketRules:
    return MarketRules(
        kind=MarketKind.SPOT,
        taker_fee=Decimal(taker_fee),
        maker_fee=Decimal(maker_fee),
        cost_min=Decimal(cost_min.value),
        maintenance_margin=ZERO,
        open_orders_max=int(orders.value),
        leverage_max=1,
        source=_sources(fees, cost_min, orders),
    )


def _futures(
    taker_fee: str,
    maker_fee: str,
    *,
    cost_min: _Figure,
    orders: _Figure,
    maintenance: _Figure,
    stops: int = 0,
    fees: str | None = None,
) -> MarketRules:
    return MarketRules(
        kind=MarketKind.FUTURES,
        taker_fee=Decimal(taker_fee),
        maker_fee=Decimal(maker_fee),
        cost_min=Decimal(cost_min.value),
        maintenance_margin=Decimal(maintenance.value),
        open_orders_max=int(orders.value),
        stop_orders_max=stops,
        source=_sources(fees, cost_min, orders, maintenance),
    )


def _sources(fees: str | None, *figures: _Figure) -> str:
    """Return what each figure rests on, figures of one source together."""
    names = ("fees", "minimum order", "open orders", "maintenance margin")
    sources = (fees or _CCXT, *(each.source for each in figures))
    named: dict[str, list[str]] = {}
    for name, source in zip(names, sources, strict=False):
        named.setdefault(source, []).append(name)
    return "; ".join(f"{', '.join(same)}: {source}" for source, same in named.items())


_CCXT: Final = "ccxt 4.5.90, 2026-09"
_NONE: Final = _Figure("0", "ccxt 4.5.90 knows none, 2026-09")
_USUAL: Final = "no exchange known, usual figures, 2026-11"


def _recorded(value: str) -> _Figure:
    """Return a figure of the exchange's own answers, as ccxt's source quotes them."""
    return _Figure(value, _CCXT)


def _guess(value: str) -> _Figure:
    return _Figure(value, "no page found that states one, a cautious guess, 2026-11")


def _at_least(shown_pct: str, whose: str, source: str = _CCXT) -> _Figure:
    """Return the maintenance margin of a row whose source shows less than half a percent."""
    return _Figure("0.005", f"{shown_pct}% is {whose} first tier ({source}), taken up to 0.5%")


_KUCOIN_ORDERS: Final = "per pair or contract of a classic account, KuCoin's `place-order`, 2026-11"
_BINANCE_ORDERS: Final = _Figure("200", "filter MAX_NUM_ORDERS of exchangeInfo, 2026-11")
_BYBIT_ORDERS: Final = _Figure("500", "Bybit's v5 `create-order` page, 2026-11")
_OKX_ORDERS: Final = _Figure("500", "per instrument, OKX's notice of 2023-07, read 2026-11")

ASSUMED: Final[dict[tuple[str | None, MarketKind], MarketRules]] = {
    (None, MarketKind.SPOT): _spot(
        "0.001",
        "0.001",
        cost_min=_Figure("5", _USUAL),
        orders=_Figure("100", _USUAL),
        fees=_USUAL,
    ),
    (None, MarketKind.FUTURES): _futures(
        "0.0006",
        "0.0002",
        cost_min=_Figure("5", _USUAL),
        orders=_Figure("100", _USUAL),
        maintenance=_Figure("0.005", _USUAL),
        fees=_USUAL,
    ),
    ("mexc", MarketKind.SPOT): _spot(
        "0.0005",
        "0",
        cost_min=_Figure("1", "MEXC's spot trading rules, 2026-11"),
        orders=_Figure("500", "per account, MEXC's spot v3 page, 2026-09"),
    ),
    # ccxt's table has one fee for both markets; the contract's own, as it quotes it, is higher.
    ("mexc", MarketKind.FUTURES): _futures(
        "0.0006",
        "0.0002",
        cost_min=_NONE,
        orders=_Figure("200", "`maxNumOrders` of MEXC's contract detail, 2026-11"),
        maintenance=_at_least("0.4", "BTC_USDT's"),
    ),
    ("kucoin", MarketKind.SPOT): _spot(
        "0.001", "0.001", cost_min=_recorded("0.1"), orders=_Figure("200", _KUCOIN_ORDERS)
    ),
    # A position stands on the risk level that its account has chosen, not on the one of its size.
    ("kucoin", MarketKind.FUTURES): _futures(
        "0.0006",
        "0.0002",
        cost_min=_NONE,
        orders=_Figure("100", _KUCOIN_ORDERS),
        maintenance=_at_least("0.4", "XBTUSDTM's", "KuCoin's universal SDK 1.3.2, 2026-11"),
        stops=50,
    ),
    ("binance", MarketKind.SPOT): _spot(
        "0.001", "0.001", cost_min=_recorded("5"), orders=_BINANCE_ORDERS
    ),
    ("binance", MarketKind.FUTURES): _futures(
        "0.0005",
        "0.0002",
        cost_min=_Figure("5", "Binance's error -4164 of a small contract, 2023-09"),
        orders=_BINANCE_ORDERS,
        maintenance=_recorded("0.01"),
    ),
    ("okx", MarketKind.SPOT): _spot("0.0015", "0.001", cost_min=_NONE, orders=_OKX_ORDERS),
    ("okx", MarketKind.FUTURES): _futures(
        "0.0005", "0.0002", cost_min=_NONE, orders=_OKX_ORDERS, maintenance=_guess("0.005")
    ),
    ("bitget", MarketKind.SPOT): _spot(
        "0.002", "0.002", cost_min=_guess("1"), orders=_guess("200")
    ),
    ("bitget", MarketKind.FUTURES): _futures(
        "0.0006",
        "0.0004",
        cost_min=_recorded("5"),
        orders=_guess("200"),
        maintenance=_at_least("0.4", "BTCUSDT's"),
    ),
    ("gate", MarketKind.SPOT): _spot(
        "0.002",
        "0.002",
        cost_min=_Figure("3", "text of Gate's INVALID_PARAM_VALUE, 2026-09"),
        orders=_guess("100"),
    ),
    ("gate", MarketKind.FUTURES): _futures(
        "0.0005",
        "0.0002",
        cost_min=_NONE,
        orders=_Figure("50", "`orders_limit` of Gate's contracts, the smallest shown, 2026-11"),
        maintenance=_recorded("0.01"),
    ),
    ("htx", MarketKind.SPOT): _spot(
        "0.002",
        "0.002",
        cost_min=_Figure("10", "HTX's notice of 2022-12 on USDT pairs, read 2026-11"),
        orders=_guess("100"),
    ),
    # The adjustment factor over the leverage: 0.7 / 75 of MANA-USDT.
    ("htx", MarketKind.FUTURES): _futures(
        "0.0005", "0.0002", cost_min=_NONE, orders=_guess("100"), maintenance=_recorded("0.0094")
    ),
    ("bingx", MarketKind.SPOT): _spot(
        "0.001", "0.001", cost_min=_recorded("5"), orders=_guess("200")
    ),
    ("bingx", MarketKind.FUTURES): _futures(
        "0.0005",
        "0.0002",
        cost_min=_recorded("2"),
        orders=_Figure("200", "per symbol, BingX's swap page, 2026-09"),
        maintenance=_at_least("0.33", "ETH-USDT's"),
    ),
    ("coinbase", MarketKind.SPOT): _spot(
        "0.012",
        "0.006",
        cost_min=_recorded("1"),
        orders=_Figure("500", "per profile and product, Coinbase's trading page, 2026-11"),
    ),
    ("bybit", MarketKind.SPOT): _spot("0.001", "0.001", cost_min=_guess("5"), orders=_BYBIT_ORDERS),
    ("bybit", MarketKind.FUTURES): _futures(
        "0.00075",
        "0.0001",
        cost_min=_guess("5"),
        orders=_BYBIT_ORDERS,
        maintenance=_Figure("0.005", f"BTCUSD's first tier ({_CCXT})"),
    ),
}
