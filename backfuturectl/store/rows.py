"""Records to rows and back, and what a newer record does to the row that is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import RowMapping

from backfuturectl.model.errors import InvalidTransitionError
from backfuturectl.model.orders import (
    Fee,
    Leg,
    LegKind,
    OrderStatus,
    OrderType,
    Side,
    advance,
)
from backfuturectl.model.records import (
    AuditOutcome,
    BotRecord,
    DealRecord,
    EventRecord,
    FillRecord,
    FundingRecord,
    HoldRecord,
    LeaseRecord,
    OrderRecord,
    ResourceRecord,
    SettledDeal,
    SettlementRecord,
    StoredEvent,
)

Values = dict[str, Any]
Record = (
    BotRecord
    | DealRecord
    | OrderRecord
    | FillRecord
    | FundingRecord
    | EventRecord
    | ResourceRecord
    | HoldRecord
    | SettlementRecord
)


def merge_order(stored: OrderRecord | None, new: OrderRecord) -> OrderRecord:
    """Return the row after *new* is written over *stored*.

    The store enforces this although callers keep to it too: it is the last place where a stale
    report could take back what is known. The status follows `orders.advance`, filled amounts never
    shrink, the exchange's id once known stays, and so does the account.

    Raises:
        InvalidTransitionError: *new* intends an order under an id that was used before, or the
            exchange contradicts itself. Nothing may be sent.
    """
    if stored is None:
        return new
    if new.status is OrderStatus.INTENDED and stored.status is not OrderStatus.INTENDED:
        raise InvalidTransitionError(
            f"order {new.client_order_id} is {stored.status} already and cannot be intended again"
        )
    return replace(
        new,
        status=advance(stored.status, new.status),
        filled_base=max(stored.filled_base, new.filled_base),
        cost_quote=max(stored.cost_quote, new.cost_quote),
        order_id=new.order_id or stored.order_id,
        account_id=stored.account_id or new.account_id,
        raw_code=new.raw_code or stored.raw_code,
        intended_at_ms=stored.intended_at_ms,
        updated_at_ms=max(stored.updated_at_ms, new.updated_at_ms),
    )


def _plain(record: Any) -> Values:
    return {name: getattr(record, name) for name in _FIELDS[type(record)]}


def _bot_values(bot: BotRecord) -> Values:
    return _plain(bot) | {"is_retired": int(bot.is_retired)}


def _deal_values(deal: DealRecord) -> Values:
    return _plain(deal) | {
        "side": deal.side.value,
        "result_quote": _text_of(deal.result_quote),
    }


def _order_values(order: OrderRecord) -> Values:
    values = _plain(order)
    leg: Leg = values.pop("leg")
    return values | {
        "leg_kind": leg.kind.value,
        "leg_index": leg.index,
        "side": order.side.value,
        "type": order.type.value,
        "status": order.status.value,
        "price": str(order.price),
        "amount_base": str(order.amount_base),
        "filled_base": str(order.filled_base),
        "cost_quote": str(order.cost_quote),
        "is_reduce_only": int(order.is_reduce_only),
        "trigger_price": _text_of(order.trigger_price),
    }


def _fill_values(fill: FillRecord) -> Values:
    values = _plain(fill)
    fee: Fee | None = values.pop("fee")
    return values | {
        "side": fill.side.value,
        "price": str(fill.price),
        "amount_base": str(fill.amount_base),
        "fee_currency": None if fee is None else fee.currency,
        "fee_amount": None if fee is None else str(fee.amount),
        "fee_price": _text_of(fill.fee_price),
    }


def _funding_values(funding: FundingRecord) -> Values:
    return _plain(funding) | {"amount_quote": str(funding.amount_quote)}


_SETTLED: Final = ("told_quote", "gross", "fees", "funding", "dust_base", "dust_cost")


def _settlement_values(settlement: SettlementRecord) -> Values:
    fees = [[fee.currency, str(fee.amount)] for fee in settlement.unvalued]
    return _plain(settlement) | {
        "audit": settlement.audit.value,
        "unvalued": json.dumps(fees),
        **{name: str(getattr(settlement, name)) for name in _SETTLED},
    }


def _text_of(number: Decimal | None) -> str | None:
    return None if number is None else str(number)


def _number_of(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


_FIELDS: Final = {
    record: tuple(field.name for field in fields(record))
    for record in (
        BotRecord,
        DealRecord,
        OrderRecord,
        FillRecord,
        FundingRecord,
        EventRecord,
        ResourceRecord,
        HoldRecord,
        SettlementRecord,
    )
}

TO_VALUES: Final[dict[type[Record], Callable[[Any], Values]]] = {
    BotRecord: _bot_values,
    DealRecord: _deal_values,
    OrderRecord: _order_values,
    FillRecord: _fill_values,
    FundingRecord: _funding_values,
    EventRecord: _plain,
    ResourceRecord: _plain,
    HoldRecord: _plain,
    SettlementRecord: _settlement_values,
}


def to_bot(row: RowMapping) -> BotRecord:
    """Return the record of a row of ``bots``."""
    return BotRecord(**{**row, "is_retired": bool(row["is_retired"])})


def to_resource(row: RowMapping) -> ResourceRecord:
    """Return the record of a row of ``resources``."""
    return ResourceRecord(**row)


def to_hold(row: RowMapping) -> HoldRecord:
    """Return the record of a row of ``holds``."""
    return HoldRecord(**row)


def to_lease(row: RowMapping) -> LeaseRecord:
    """Return the record of the row of ``lease``."""
    return LeaseRecord(row["host"], row["pid"], row["heartbeat_ms"])


def lease_values(lease: LeaseRecord) -> Values:
    """Return the row of ``lease``."""
    return {"id": 1, **asdict(lease)}


def to_deal(row: RowMapping) -> DealRecord:
    """Return the record of a row of ``deals``."""
    values: Values = dict(row)
    return DealRecord(
        **values
        | {
            "side": Side(values["side"]),
            "result_quote": _number_of(values["result_quote"]),
        }
    )


def to_order(row: RowMapping) -> OrderRecord:
    """Return the record of a row of ``orders``."""
    values: Values = dict(row)
    leg = Leg(LegKind(values.pop("leg_kind")), values.pop("leg_index"))
    return OrderRecord(
        **values
        | {
            "leg": leg,
            "side": Side(values["side"]),
            "type": OrderType(values["type"]),
            "status": OrderStatus(values["status"]),
            "price": Decimal(values["price"]),
            "amount_base": Decimal(values["amount_base"]),
            "filled_base": Decimal(values["filled_base"]),
            "cost_quote": Decimal(values["cost_quote"]),
            "is_reduce_only": bool(values["is_reduce_only"]),
            "trigger_price": _number_of(values["trigger_price"]),
        }
    )


def to_fill(row: RowMapping) -> FillRecord:
    """Return the record of a row of ``fills``."""
    return _fill(dict(row))


def _fill(values: Values) -> FillRecord:
    currency, amount = values.pop("fee_currency"), values.pop("fee_amount")
    return FillRecord(
        **values
        | {
            "side": Side(values["side"]),
            "price": Decimal(values["price"]),
            "amount_base": Decimal(values["amount_base"]),
            "fee": None if currency is None else Fee(currency, Decimal(amount)),
            "fee_price": _number_of(values["fee_price"]),
        }
    )


def to_deal_fill(row: RowMapping) -> tuple[str, FillRecord]:
    """Return deal and record of a row of ``fills`` that was joined with its order."""
    values: Values = dict(row)
    deal = values.pop("deal")
    return deal, _fill(values)


def to_unpriced(row: RowMapping) -> tuple[int, str, str, FillRecord]:
    """Return row number, connection, pair and record of a row of ``fills`` and its bot."""
    values: Values = dict(row)
    number, connection, pair = (values.pop(name) for name in ("row", "connection", "pair"))
    return number, connection, pair, _fill(values)


def to_funding(row: RowMapping) -> FundingRecord:
    """Return the record of a row of ``funding``."""
    return FundingRecord(**{**row, "amount_quote": Decimal(row["amount_quote"])})


def to_settlement(row: RowMapping) -> SettlementRecord:
    """Return the record of a row of ``settlements``."""
    return _settlement(dict(row))


def _settlement(values: Values) -> SettlementRecord:
    fees = json.loads(values["unvalued"])
    return SettlementRecord(
        **values
        | {
            "audit": AuditOutcome(values["audit"]),
            "unvalued": tuple(Fee(currency, Decimal(amount)) for currency, amount in fees),
            **{name: Decimal(values[name]) for name in _SETTLED},
        }
    )


def to_settled(row: RowMapping) -> SettledDeal:
    """Return the record of a row of ``settlements`` that was joined with its deal."""
    values: Values = dict(row)
    connection, environment = values.pop("connection"), values.pop("environment")
    return SettledDeal(_settlement(values), connection, environment)


def to_event(row: RowMapping) -> StoredEvent:
    """Return the record of a row of ``events``."""
    values: Values = dict(row)
    return StoredEvent(values.pop("event_id"), EventRecord(**values))
