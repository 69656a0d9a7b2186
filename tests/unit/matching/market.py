"""Markets and shorthand for the venue's tests."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from backfuturectl.matching.values import (
    Listing,
    MarginMode,
    OrderRequest,
    VenueOrder,
    VenueRules,
    Wallet,
)
from backfuturectl.matching.venue import Venue
from backfuturectl.model.market import Market, MarketKind
from backfuturectl.model.orders import OrderType, Side

D = Decimal
SPOT = "BTC/USDT"
FUTURES = "BTC/USDT:USDT"
BUY, SELL = Side.BUY, Side.SELL
LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET
ISOLATED, CROSS = MarginMode.ISOLATED, MarginMode.CROSS


def spot_market(**changes: Any) -> Market:
    return Market(
        **{
            "exchange": "kucoin",
            "kind": MarketKind.SPOT,
            "pair": SPOT,
            "base": "BTC",
            "quote": "USDT",
            "price_tick": D("0.1"),
            "amount_step": D("0.001"),
            "amount_min": D("0.001"),
            "cost_min": D(1),
            "taker_fee": D("0.001"),
            "maker_fee": D("0.0005"),
            **changes,
        }
    )


def futures_market(**changes: Any) -> Market:
    return spot_market(
        **{
            "kind": MarketKind.FUTURES,
            "contract_size": D("0.001"),
            "cost_min": D(0),
            "maintenance_margin": D("0.005"),
            "leverage_max": 50,
            "stop_orders_max": 3,
            **changes,
        }
    )


def venue(
    *,
    rules: VenueRules | None = None,
    price: str = "100",
    spot: dict[str, Any] | None = None,
    futures: dict[str, Any] | None = None,
    money: str = "10000",
) -> Venue:
    """Return a venue with both markets at *price* and the account "a" holding *money* twice."""
    made = Venue("kucoin", rules or VenueRules())
    made.add_listing(Listing(spot_market(), **(spot or {})))
    made.add_listing(Listing(futures_market(), **(futures or {})))
    made.add_account("a")
    made.deposit("a", Wallet.SPOT, "USDT", D(money), 0)
    made.deposit("a", Wallet.FUTURES, "USDT", D(money), 0)
    for symbol in (SPOT, FUTURES):
        made.set_price(symbol, D(price), 0)
    return made


def limit(side: Side, amount: str, price: str, symbol: str = SPOT, **more: Any) -> OrderRequest:
    return OrderRequest(symbol, side, LIMIT, amount_base=D(amount), price=D(price), **more)


def market(side: Side, amount: str, symbol: str = SPOT, **more: Any) -> OrderRequest:
    return OrderRequest(symbol, side, MARKET, amount_base=D(amount), **more)


def place(made: Venue, request: OrderRequest, at_ms: int = 1) -> VenueOrder:
    return made.place("a", request, at_ms)
