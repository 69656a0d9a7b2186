"""Records to write, for the tests of the store."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from backfuturectl.model.orders import Fee, Leg, LegKind, OrderStatus, OrderType, Side
from backfuturectl.model.records import (
    BotRecord,
    DealRecord,
    EventRecord,
    FillRecord,
    FundingRecord,
    HoldRecord,
    OrderRecord,
    ResourceRecord,
)

SEED = b"seed of the tests"
BOT = "eth/BTC-USDT"
DEAL = "eth/BTC-USDT#1"


def order(client_order_id: str = "bf1", **changes: Any) -> OrderRecord:
    return replace(
        OrderRecord(
            client_order_id=client_order_id,
            bot=BOT,
            deal=DEAL,
            leg=Leg(LegKind.RUNG, 3),
            side=Side.BUY,
            type=OrderType.LIMIT,
            price=Decimal("36901.570"),
            amount_base=Decimal("0.00000002"),
            status=OrderStatus.INTENDED,
            reason="rung 3 of 6",
            generation=2,
            commit="0123abc",
            intended_at_ms=1_000,
            updated_at_ms=1_000,
        ),
        **changes,
    )


def bot(name: str = BOT, **changes: Any) -> BotRecord:
    return replace(
        BotRecord(name, "eth", "mexc-spot-main", "BTC/USDT", "averaging", "{}", 1, 5), **changes
    )


def deal(number: int = 1, **changes: Any) -> DealRecord:
    return replace(DealRecord(f"{BOT}#{number}", BOT, number, Side.BUY, 100 * number), **changes)


def fill(fill_id: str = "f1", client_order_id: str = "bf1", **changes: Any) -> FillRecord:
    price, amount = Decimal("1E+3"), Decimal("0.10")
    fee = Fee("MX", Decimal("-0.0001"))
    return replace(
        FillRecord(fill_id, client_order_id, BOT, Side.SELL, price, amount, fee, 7), **changes
    )


def funding(funding_id: str = "p1", **changes: Any) -> FundingRecord:
    amount = Decimal("-0.0120")
    return replace(FundingRecord(funding_id, BOT, "BTC/USDT:USDT", amount, 8, DEAL), **changes)


def event(message: str = "a deal opened", about: str = "Bot/eth/BTC-USDT") -> EventRecord:
    return EventRecord(9, about, "Normal", "DealOpened", message)


def resource(name: str = "eth", **changes: Any) -> ResourceRecord:
    path = "configs/strategies/eth.yaml"
    return replace(
        ResourceRecord("Strategy", name, 1, "d" * 64, b"\x00kind: \xff", path, 3), **changes
    )


def hold(target: str = "strategy/eth", verb: str = "pause") -> HoldRecord:
    return HoldRecord(target, verb, 11, "holiday")
