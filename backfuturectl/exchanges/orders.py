"""What every account does with its orders before and after the wire, whatever the exchange."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from backfuturectl.exchanges.budget import Priority
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.market import Market
from backfuturectl.model.orders import NewOrder, Order, OrderStatus, OrderType
from backfuturectl.model.status import Reason

T = TypeVar("T")


def check_steps(order: NewOrder, market: Market) -> None:
    """Refuse an order that the market cannot take, rather than let it be changed silently.

    Raises:
        PermanentError: ORDER_REJECTED; nothing was sent.
    """
    if order.amount_base <= 0 or order.amount_base % market.amount_step:
        raise PermanentError(
            Reason.ORDER_REJECTED,
            f"amount {order.amount_base:f} of {order.pair} is not a multiple of the step "
            f"{market.amount_step:f}; nothing was sent",
        )
    trigger_price = order.trigger_price
    if trigger_price is not None and not market.stop_orders_max:
        # Sent without its trigger, it would trade at once.
        raise PermanentError(
            Reason.ORDER_REJECTED, f"{order.pair} takes no stop orders here; nothing was sent"
        )
    if trigger_price is not None and (trigger_price <= 0 or trigger_price % market.price_tick):
        raise PermanentError(
            Reason.ORDER_REJECTED,
            f"trigger price {trigger_price:f} of {order.pair} is not a multiple of the tick "
            f"{market.price_tick:f}; nothing was sent",
        )
    if order.type is OrderType.LIMIT and (order.price <= 0 or order.price % market.price_tick):
        raise PermanentError(
            Reason.ORDER_REJECTED,
            f"price {order.price:f} of {order.pair} is not a multiple of the tick "
            f"{market.price_tick:f}; nothing was sent",
        )


def priority_of(order: NewOrder) -> Priority:
    """Return who goes first: what leaves a position before what enlarges one."""
    return Priority.EXIT if order.is_exit else Priority.ORDER


def acknowledged(order: NewOrder, order_id: str) -> Order:
    """Return *order* as it stands when the exchange has only said yes."""
    return Order(
        client_order_id=order.client_order_id,
        order_id=order_id,
        pair=order.pair,
        side=order.side,
        type=order.type,
        status=OrderStatus.OPEN,
        price=order.price,
        amount_base=order.amount_base,
        is_reduce_only=order.is_reduce_only,
        trigger_price=order.trigger_price,
    )


async def found(look_up: Awaitable[T]) -> T | None:
    """Return what *look_up* finds, None when the exchange does not know the order."""
    try:
        return await look_up
    except PermanentError as error:
        if error.reason is Reason.ORDER_NOT_FOUND:
            return None
        raise


def pick(orders: tuple[Order, ...], client_order_id: str, order_id: str | None) -> Order | None:
    """Return the one of *orders* that carries either id."""
    for order in orders:
        if order.client_order_id == client_order_id or order.order_id == order_id:
            return order
    return None
