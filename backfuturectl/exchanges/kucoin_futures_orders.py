"""KuCoin futures on the wire: orders, fills, positions and funding, to and from our values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from backfuturectl.exchanges.kucoin import order_status
from backfuturectl.exchanges.listing import Listing
from backfuturectl.exchanges.orders import check_steps
from backfuturectl.exchanges.payload import (
    PayloadError,
    flag,
    integer,
    mapping,
    number,
    number_or_zero,
    optional_number,
    optional_text,
    plain,
    rows,
    side,
    text,
)
from backfuturectl.model.orders import (
    Fee,
    Fill,
    Funding,
    NewOrder,
    Order,
    OrderType,
    Position,
    Side,
)

SETTLE: Final = "USDT"

_FORCED: Final = frozenset({"liquid", "adl", "settlement"})


def order_params(order: NewOrder, listed: Listing) -> dict[str, Any]:
    """Return what *order* is on the wire; raises like `check_steps`, before anything is sent."""
    market = listed.market(order.pair)
    check_steps(order, market)
    params: dict[str, Any] = {
        "clientOid": order.client_order_id,
        "symbol": listed.symbol(order.pair),
        "side": order.side.value,
        "type": order.type.value,
        "size": int(order.amount_base / market.contract_size),
        "leverage": order.leverage,
        "marginMode": (order.margin_mode or "isolated").upper(),
    }
    if order.type is OrderType.LIMIT:
        params["price"] = plain(order.price)
    if order.trigger_price is not None:
        # By the last trade price, which bots are shown, too.
        is_rising = order.side is Side.BUY
        params |= {"stop": "up" if is_rising else "down", "stopPriceType": "TP"}
        params["stopPrice"] = plain(order.trigger_price)
    if order.is_reduce_only:
        params["reduceOnly"] = True
    if order.is_post_only:
        params["postOnly"] = True
    return params


def taken_order_id(body: Any) -> str:
    """Return the id under which an order was taken."""
    return text(mapping(body), "orderId")


def orders_page(body: Any, *, listed: Listing) -> tuple[tuple[Order, ...], int]:
    """Return one page of orders and how many pages there are."""
    page = mapping(body)
    # Contracts of another kind share the account; they are none of ours.
    orders = tuple(
        _order(row, listed) for row in rows(page.get("items")) if row.get("symbol") in listed.pairs
    )
    return orders, integer(page, "totalPage")


def order_or_none(body: Any, *, listed: Listing) -> Order | None:
    """Return the order that was asked for, None where the answer is empty."""
    return None if body is None else _order(mapping(body), listed)


def _order(row: dict[str, Any], listed: Listing) -> Order:
    pair = listed.pairs.get(text(row, "symbol"))
    if pair is None:
        raise PayloadError(f"an order in market {row['symbol']}")
    contract_size = listed.markets[pair].contract_size
    lots, filled_lots = number(row, "size"), number_or_zero(row, "filledSize")
    trigger_price = optional_number(row, "stopPrice") if optional_text(row, "stop") else None
    created_at_ms = integer(row, "createdAt")
    return Order(
        client_order_id=optional_text(row, "clientOid") or "",
        order_id=text(row, "id"),
        pair=pair,
        side=side(row),
        type=OrderType.MARKET if text(row, "type") == "market" else OrderType.LIMIT,
        status=order_status(
            is_active=flag(row, "isActive"),
            is_whole=not flag(row, "cancelExist") and filled_lots >= lots,
        ),
        price=number_or_zero(row, "price") or trigger_price or Decimal(0),
        amount_base=lots * contract_size,
        filled_base=filled_lots * contract_size,
        cost_quote=number_or_zero(row, "filledValue"),
        is_reduce_only=row.get("reduceOnly") is True,
        created_at_ms=created_at_ms,
        updated_at_ms=integer(row, "updatedAt") if row.get("updatedAt") else created_at_ms,
        trigger_price=trigger_price,
    )


def fills_page(body: Any, *, listed: Listing) -> tuple[tuple[Fill, ...], int]:
    """Return one page of fills and how many pages there are."""
    page = mapping(body)
    fills = tuple(
        _fill(row, listed) for row in rows(page.get("items")) if row.get("symbol") in listed.pairs
    )
    return fills, integer(page, "totalPage")


def _fill(row: dict[str, Any], listed: Listing) -> Fill:
    pair = listed.pairs[text(row, "symbol")]
    currency = optional_text(row, "feeCurrency")
    return Fill(
        fill_id=text(row, "tradeId"),
        order_id=text(row, "orderId"),
        client_order_id=None,
        pair=pair,
        side=side(row),
        price=number(row, "price"),
        amount_base=number(row, "size") * listed.markets[pair].contract_size,
        fee=None if currency is None else Fee(currency, number_or_zero(row, "fee")),
        is_maker=text(row, "liquidity") == "maker",
        # Nanoseconds.
        at_ms=integer(row, "tradeTime") // 1_000_000,
        is_forced=row.get("tradeType") in _FORCED,
    )


def funding_page(body: Any, *, pair: str, symbol: str) -> tuple[tuple[Funding, ...], bool]:
    """Return one page of payments and whether there is another."""
    page = mapping(body)
    payments = tuple(
        Funding(
            funding_id=text(row, "id"),
            pair=pair,
            amount_quote=number(row, "funding"),
            at_ms=integer(row, "timePoint"),
        )
        for row in rows(page.get("dataList"))
        if row.get("symbol") == symbol and text(row, "settleCurrency") == SETTLE
    )
    return payments, page.get("hasMore") is True


def positions(body: Any, *, listed: Listing, pair: str) -> tuple[Position, ...]:
    """Return the open positions of *pair*: one, or two in hedge mode."""
    symbol = listed.symbol(pair)
    contract_size = listed.markets[pair].contract_size
    return tuple(
        _position(row, pair, contract_size)
        for row in rows(body)
        if row.get("symbol") == symbol and number(row, "currentQty")
    )


def whole(leverage: Decimal) -> int:
    """Return leverage as the whole number it was set to."""
    return int(leverage.to_integral_value())


def _position(row: dict[str, Any], pair: str, contract_size: Decimal) -> Position:
    # Not `realLeverage`, which moves with the price.
    leverage = optional_number(row, "leverage")
    liquidation_price = number_or_zero(row, "liquidationPrice")
    is_cross = flag(row, "crossMode")
    return Position(
        pair=pair,
        amount_base=number(row, "currentQty") * contract_size,
        entry_price=number(row, "avgEntryPrice"),
        leverage=None if leverage is None else whole(leverage),
        margin_mode="cross" if is_cross else "isolated",
        liquidation_price=liquidation_price or None,
        mark_price=optional_number(row, "markPrice"),
        unrealised_quote=number_or_zero(row, "unrealisedPnl"),
    )
