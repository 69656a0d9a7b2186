"""A deal's story: everything that happened to it, in the order in which it did."""

from __future__ import annotations

from typing import Any

from backfuturectl.cli.deal_story import story


def order(leg: str, at_ms: int, **given: Any) -> dict[str, Any]:
    return {
        "leg": leg,
        "side": "buy",
        "price": "100",
        "triggerPrice": None,
        "amount": "1",
        "status": "filled",
        "reason": f"why {leg}",
        "rawCode": None,
        "createdAt": at_ms,
        "updatedAt": at_ms,
        **given,
    }


def fill(leg: str, at_ms: int, **given: Any) -> dict[str, Any]:
    return {"leg": leg, "at": at_ms, "price": "100", "amount": "1", "side": "buy", **given}


def event(reason: str, at_ms: int) -> dict[str, Any]:
    return {"reason": reason, "message": f"about {reason}", "at": at_ms}


def told(**found: Any) -> list[str]:
    return [row["what"] for row in story({"quote": "USDT", **found})]


def test_orders_fills_and_transitions_are_one_story() -> None:
    assert told(
        orders=[
            order("base", 1_000),
            order("rung/1", 2_000, status="canceled", updatedAt=5_000),
            order("takeProfit", 2_000),
        ],
        story=[fill("base", 1_500), fill("takeProfit", 6_000)],
        events=[event("RecoveryBegan", 4_000), event("DealClosed", 6_000)],
    ) == [
        "order base",
        "FILLED base",
        "order rung/1",
        "order takeProfit",
        "RecoveryBegan",
        "canceled rung/1",
        "FILLED takeProfit",
        "DealClosed",
    ]


def test_what_came_at_once_is_told_as_it_follows() -> None:
    assert told(
        orders=[order("takeProfit", 9, status="canceled"), order("takeProfit", 9)],
        story=[fill("takeProfit", 9)],
        events=[event("DealClosed", 9), event("TakeProfitTurned", 9)],
    ) == [
        "TakeProfitTurned",
        "order takeProfit",
        "order takeProfit",
        "FILLED takeProfit",
        "canceled takeProfit",
        "DealClosed",
    ]


def test_an_event_that_only_repeats_a_fill_is_left_out() -> None:
    assert told(story=[fill("rung/1", 1)], events=[event("RungFilled", 1)]) == ["FILLED rung/1"]


def test_a_fill_is_told_with_its_fee_and_its_average() -> None:
    rows = story({"story": [fill("base", 1, fee="0.1200", feeCurrency="USDT", average="100")]})
    assert (rows[0]["paid"], rows[0]["average"]) == ("0.12 USDT", "100")


def test_a_resting_stop_is_told_at_the_price_that_sets_it_off() -> None:
    rows = story({"orders": [order("stopLoss/1", 1, triggerPrice="90")]})
    assert rows[0]["price"] == "90"


def test_a_refusal_is_told_with_the_exchanges_code() -> None:
    rows = story({"orders": [order("rung/1", 1, status="rejected", rawCode="30004")]})
    assert [row["what"] for row in rows] == ["order rung/1", "rejected rung/1"]
    assert "30004" in rows[1]["remark"]


def test_funding_is_part_of_the_story() -> None:
    rows = story({"quote": "USDT", "fundingPayments": [{"at": 3_000, "amount": "-0.2"}]})
    assert (rows[0]["what"], rows[0]["remark"]) == ("funding", "-0.2 USDT")
    assert rows[0]["time"] == "1970-01-01 00:00:03"
