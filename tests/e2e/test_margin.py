"""The replay of an account's history sees what a sample would miss."""

from __future__ import annotations

from decimal import Decimal

from backfuturectl.matching.values import Listing, MarginMode, OrderRequest, Wallet
from backfuturectl.matching.venue import Venue
from backfuturectl.model.ids import OrderName, client_order_id
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import Leg, LegKind, OrderType, Side
from tests.e2e.margin import most_used
from tests.unit.strategy.venue import market

D = Decimal
SYMBOL = "BTC/USDT:USDT"
BASE, RUNG = Leg(LegKind.BASE), Leg(LegKind.RUNG, 1)
EXIT = Leg(LegKind.TAKE_PROFIT)


def trade(*steps: tuple[Leg, int, str, int] | int) -> dict[str, list[dict[str, object]]]:
    """Play prices and orders (leg, deal, amount, price) and return the account's ledger."""
    venue = Venue("kucoin")
    venue.add_listing(Listing(market(MarketKind.FUTURES)))
    venue.add_account("a")
    venue.deposit("a", Wallet.FUTURES, "USDT", D(100_000), 0)
    venue.set_price(SYMBOL, D(100), 0)
    for number, step in enumerate(steps):
        if isinstance(step, int):
            venue.set_price(SYMBOL, D(step), number)
            continue
        leg, deal, amount, price = step
        venue.place(
            "a",
            OrderRequest(
                symbol=SYMBOL,
                side=Side.BUY if leg.kind.is_adding else Side.SELL,
                type=OrderType.LIMIT,
                amount_base=D(amount),
                price=D(price),
                client_id=client_order_id(OrderName("ab12", "abcdef", deal, leg, 0)),
                is_reduce_only=not leg.kind.is_adding,
                leverage=2,
                margin_mode=MarginMode.ISOLATED,
            ),
            number,
        )
    return {
        "orders": [
            {
                "serial": order.serial,
                "client_id": order.client_id,
                "price": str(order.price),
                "amount_base": str(order.amount_base),
                "leverage": order.leverage,
                "margin_mode": "isolated",
            }
            for order in venue.orders("a")
        ],
        "fills": [
            {
                "order_serial": fill.order_serial,
                "amount_base": str(fill.amount_base),
                "cost_quote": str(fill.cost_quote),
            }
            for fill in venue.fills("a")
        ],
        "changes": [
            {"kind": str(change.kind), "order_serial": change.order_serial}
            for change in venue.changes
        ],
    }


def test_what_rests_and_what_is_held_count_together_and_only_while_they_do() -> None:
    rate = D("0.5012")
    resting = trade((BASE, 1, "1", 90))
    assert most_used(resting) == 90 * rate
    rung = (RUNG, 1, "1", 80)
    assert most_used(trade((BASE, 1, "1", 90), rung)) == 170 * rate
    whole = trade((BASE, 1, "1", 90), rung, 70, (EXIT, 1, "2", 75), 100, (BASE, 2, "1", 60))
    assert most_used(whole) == 170 * rate, "the second deal begins after the first has gone"


def test_a_moment_between_two_samples_is_seen() -> None:
    ledger = trade((BASE, 1, "5", 90), 80, (EXIT, 1, "5", 75))

    assert most_used(ledger) == 450 * D("0.5012")
