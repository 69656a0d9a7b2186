"""ccxt as it is, driving the futures stand-in: what it parses is what the venue's ledger says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ccxt
import pytest
from ccxt.async_support.mexc import mexc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backfuturectl.emulator.faults import FaultKind
from backfuturectl.emulator.mexc_values import futures_id, parse_futures_id
from backfuturectl.matching.values import MarginMode, PositionMode
from backfuturectl.model.orders import OrderStatus
from tests.contract.mexc.conftest import ACCOUNT, Mexc

PAIR = "BTC/USDT:USDT"
CONTRACT = Decimal("0.0001")
ISOLATED = {"marginMode": "isolated", "leverage": 10}
CLOSING = {"reduceOnly": True}


def order_of(exchange: Mexc, order: Any) -> Any:
    return exchange.venue.order(ACCOUNT, parse_futures_id(order["id"]))


def as_number(value: Decimal) -> Any:
    """Return what *value* is once ccxt has read it from a JSON number."""
    return pytest.approx(float(value), rel=1e-12)


async def test_a_contract_is_described_as_the_venue_has_it(client: mexc) -> None:
    market = client.market(PAIR)
    assert market["id"] == "BTC_USDT"
    assert market["linear"] is True
    assert market["contractSize"] == 0.0001
    assert market["precision"] == {"amount": 1, "price": 0.1}
    assert market["limits"]["leverage"] == {"min": 1, "max": 100}


async def test_the_server_tells_its_time(client: mexc, exchange: Mexc) -> None:
    client.options["defaultType"] = "swap"
    assert abs(await client.fetch_time() - exchange.now_ms) < 60_000
    assert (await client.fetch_status())["status"] == "ok"


async def test_tickers_follow_the_price(client: mexc, exchange: Mexc) -> None:
    exchange.set_price(PAIR, "70000.5")
    one = await client.fetch_ticker(PAIR)
    assert (one["last"], one["bid"], one["ask"]) == (70000.5, 70000.5, 70000.6)
    several = await client.fetch_tickers([PAIR, "ETH/USDT:USDT"])
    assert several["ETH/USDT:USDT"]["last"] == 3400
    assert (await client.fetch_tickers([PAIR]))[PAIR]["last"] == 70000.5


async def test_market_data_is_the_venues(client: mexc, exchange: Mexc) -> None:
    await client.create_order(PAIR, "limit", "buy", 25, 60_000, ISOLATED)
    await client.create_order(PAIR, "market", "buy", 10, None, ISOLATED)
    book = await client.fetch_order_book(PAIR)
    assert [60_000, 25, 1] in book["bids"]
    (trade,) = await client.fetch_trades(PAIR)
    assert (trade["amount"], trade["side"], trade["price"]) == (10, "buy", 68000.1)
    candles = await client.fetch_ohlcv(PAIR, "1d")
    assert sum(candle[5] for candle in candles[-2:]) == 10
    rate = await client.fetch_funding_rate(PAIR)
    assert rate["fundingRate"] == 0
    assert rate["fundingTimestamp"] > exchange.now_ms


async def test_the_balance_is_the_wallets(client: mexc, exchange: Mexc) -> None:
    await client.create_order(PAIR, "limit", "buy", 100, 60_000, ISOLATED)
    balance = await client.fetch_balance({"type": "swap"})
    overview = exchange.venue.overview(ACCOUNT, "USDT")
    assert overview.order_margin_quote > 60
    assert Decimal(str(balance["USDT"]["free"])) == overview.available_quote
    assert Decimal(str(balance["USDT"]["used"])) == overview.order_margin_quote


async def test_a_limit_order_rests_and_is_found_by_both_ids(client: mexc, exchange: Mexc) -> None:
    made = await client.create_order(
        PAIR, "limit", "buy", 10, 60_000, {**ISOLATED, "clientOrderId": "bf0001"}
    )
    by_id = await client.fetch_order(made["id"], PAIR)
    assert (by_id["status"], by_id["side"], by_id["amount"]) == ("open", "buy", 10)
    by_client_id = await client.contractPrivateGetOrderExternalSymbolExternalOid(
        {"symbol": "BTC_USDT", "external_oid": "bf0001"}
    )
    assert by_client_id["data"]["orderId"] == made["id"]
    assert [one["id"] for one in await client.fetch_open_orders(PAIR)] == [made["id"]]
    assert [one["id"] for one in await client.fetch_orders_by_ids([made["id"]], PAIR)] == [
        made["id"]
    ]


async def test_a_position_opens_and_closes(client: mexc, exchange: Mexc) -> None:
    await client.create_order(PAIR, "market", "buy", 100, None, ISOLATED)
    (position,) = await client.fetch_positions([PAIR])
    truth = exchange.venue.position(ACCOUNT, PAIR)
    assert truth is not None
    assert truth.leverage == 10
    assert (position["side"], position["contracts"]) == ("long", 100)
    assert position["marginMode"] == "isolated"
    assert Decimal(str(position["entryPrice"])) == truth.entry_price
    assert position["liquidationPrice"] == pytest.approx(float(truth.liquidation_price or 0))

    # ccxt says "close short" for a reducing buy and "close long" for a reducing sell.
    closed = await client.create_order(PAIR, "market", "sell", 100, None, CLOSING)
    assert order_of(exchange, closed).is_reduce_only
    assert await client.fetch_positions([PAIR]) == []
    deals = await client.fetch_my_trades(PAIR)
    assert [trade["takerOrMaker"] for trade in deals] == ["taker", "taker"]
    assert (await client.fetch_order_trades(closed["id"], PAIR))[0]["amount"] == 100


async def test_a_short_opens_and_closes(client: mexc, exchange: Mexc) -> None:
    await client.create_order(PAIR, "market", "sell", 100, None, ISOLATED)
    (position,) = await client.fetch_positions()
    assert (position["side"], position["contracts"]) == ("short", 100)
    await client.create_order(PAIR, "market", "buy", 100, None, CLOSING)
    assert exchange.venue.positions(ACCOUNT) == ()


async def test_a_canceled_order_is_canceled_and_only_once(client: mexc, exchange: Mexc) -> None:
    made = await client.create_order(PAIR, "limit", "buy", 10, 60_000, ISOLATED)
    await client.cancel_order(made["id"], PAIR)
    assert order_of(exchange, made).status is OrderStatus.CANCELED
    assert (await client.fetch_order(made["id"], PAIR))["status"] == "canceled"
    with pytest.raises(ccxt.InvalidOrder, match="order state cannot be cancelled"):
        await client.cancel_order(made["id"], PAIR)


async def test_an_order_is_canceled_by_client_id(client: mexc, exchange: Mexc) -> None:
    params = {**ISOLATED, "clientOrderId": "bf0002"}
    made = await client.create_order(PAIR, "limit", "buy", 10, 60_000, params)
    await client.contractPrivatePostOrderCancelWithExternal(
        {"symbol": "BTC_USDT", "externalOid": "bf0002"}
    )
    assert order_of(exchange, made).status is OrderStatus.CANCELED


async def test_all_futures_orders_are_canceled_and_spot_orders_stay(
    client: mexc, exchange: Mexc
) -> None:
    await client.create_order(PAIR, "limit", "buy", 10, 60_000, ISOLATED)
    await client.create_order("ETH/USDT:USDT", "limit", "buy", 10, 3000, ISOLATED)
    await client.create_order("BTC/USDT", "limit", "buy", 0.01, 60_000)
    await client.cancel_all_orders(None, {"type": "swap"})
    assert [order.symbol for order in exchange.venue.open_orders(ACCOUNT)] == ["BTC/USDT"]


async def test_history_is_paged_and_sorted_by_state(client: mexc, exchange: Mexc) -> None:
    first = await client.create_order(PAIR, "limit", "buy", 10, 60_000, ISOLATED)
    await client.cancel_order(first["id"], PAIR)
    second = await client.create_order(PAIR, "market", "buy", 10, None, ISOLATED)
    assert [one["id"] for one in await client.fetch_canceled_orders(PAIR)] == [first["id"]]
    assert [one["id"] for one in await client.fetch_closed_orders(PAIR)] == [second["id"]]
    page = await client.fetch_orders(PAIR, None, 1, {"page_num": 2})
    assert [one["id"] for one in page] == [first["id"]]


async def test_a_spot_order_is_no_futures_order(client: mexc) -> None:
    await client.create_order("BTC/USDT", "limit", "buy", 0.01, 60_000)
    with pytest.raises(ccxt.ExchangeError, match="2040"):
        await client.fetch_order(futures_id(1), PAIR)
    assert await client.fetch_orders(PAIR) == []


async def test_an_order_may_stay_unknown_right_after_it_was_made(
    client: mexc, exchange: Mexc
) -> None:
    made = await client.create_order(PAIR, "limit", "buy", 10, 60_000, ISOLATED)
    with exchange.fault(FaultKind.HIDE_ORDERS), pytest.raises(ccxt.ExchangeError, match="2040"):
        await client.fetch_order(made["id"], PAIR)
    with exchange.fault(FaultKind.HIDE_ORDERS):
        assert await client.fetch_open_orders(PAIR) == []


async def test_leverage_and_margin_mode_are_the_markets(client: mexc, exchange: Mexc) -> None:
    await client.set_leverage(25, PAIR, {"openType": 2, "positionType": 1})
    setting = exchange.venue.setting(ACCOUNT, PAIR)
    assert (setting.leverage, setting.margin_mode) == (25, MarginMode.CROSS)
    told = await client.fetch_leverage(PAIR)
    assert (told["longLeverage"], told["shortLeverage"]) == (25, 25)
    assert told["marginMode"] == "cross"


async def test_leverage_of_a_position_is_changed_by_its_id(client: mexc, exchange: Mexc) -> None:
    await client.create_order(PAIR, "market", "buy", 10, None, ISOLATED)
    (position,) = await client.fetch_positions([PAIR])
    await client.set_leverage(5, PAIR, {"positionId": position["info"]["positionId"]})
    truth = exchange.venue.position(ACCOUNT, PAIR)
    assert truth is not None
    assert truth.leverage == 5


async def test_an_order_against_the_positions_margin_mode_is_refused(client: mexc) -> None:
    await client.create_order(PAIR, "market", "buy", 10, None, ISOLATED)
    with pytest.raises(ccxt.ExchangeError, match="2027"):
        await client.create_order(PAIR, "limit", "buy", 10, 60_000, {"marginMode": "cross"})


async def test_an_order_with_another_leverage_than_the_position_is_refused(client: mexc) -> None:
    await client.create_order(PAIR, "market", "buy", 10, None, ISOLATED)
    with pytest.raises(ccxt.ExchangeError, match="2021"):
        await client.create_order(PAIR, "limit", "buy", 10, 60_000, {**ISOLATED, "leverage": 3})


async def test_an_account_in_hedge_mode_trades_after_changing_it(
    client: mexc, exchange: Mexc
) -> None:
    exchange.venue.set_position_mode(ACCOUNT, PositionMode.HEDGE)
    assert (await client.fetch_position_mode())["hedged"] is True
    with pytest.raises(ccxt.ExchangeError, match="position mode"):
        await client.create_order(PAIR, "limit", "buy", 10, 60_000, ISOLATED)
    await client.set_position_mode(False)
    assert (await client.fetch_position_mode())["hedged"] is False
    await client.create_order(PAIR, "limit", "buy", 10, 60_000, ISOLATED)


async def test_the_position_mode_stays_while_an_order_is_open(client: mexc) -> None:
    await client.create_order(PAIR, "limit", "buy", 10, 60_000, ISOLATED)
    with pytest.raises(ccxt.ExchangeError, match="2019"):
        await client.set_position_mode(True)


@pytest.mark.parametrize(
    ("params", "number"),
    [
        pytest.param({"postOnly": True}, 2, id="post-only"),
        pytest.param({"timeInForce": "GTC"}, 1, id="limit"),
    ],
)
async def test_the_order_type_is_told_by_number(
    client: mexc, params: dict[str, Any], number: int
) -> None:
    made = await client.create_order(PAIR, "limit", "buy", 10, 60_000, {**ISOLATED, **params})
    assert (await client.fetch_order(made["id"], PAIR))["info"]["orderType"] == number


_prices = st.integers(600_000, 760_000).map(lambda ticks: ticks / 10)
_steps = st.lists(
    st.tuples(
        st.sampled_from(["limit", "market", "close", "price", "cancel"]),
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 500),
        _prices,
    ),
    max_size=6,
)


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=_steps)
async def test_what_ccxt_parses_is_the_venues_ledger(
    client: mexc, exchange: Mexc, steps: list[tuple[str, str, int, float]]
) -> None:
    for kind, side, contracts, price in steps:
        try:
            if kind == "limit":
                await client.create_order(PAIR, "limit", side, contracts, price, ISOLATED)
            elif kind == "market":
                await client.create_order(PAIR, "market", side, contracts, None, ISOLATED)
            elif kind == "close":
                await client.create_order(PAIR, "market", side, contracts, None, CLOSING)
            elif kind == "price":
                exchange.set_price(PAIR, str(price))
            elif open_orders := await client.fetch_open_orders(PAIR):
                await client.cancel_order(open_orders[0]["id"], PAIR)
        except (ccxt.InsufficientFunds, ccxt.InvalidOrder):
            pass  # no money left, or nothing to close; what there is must agree all the same

    await _agrees_with_ledger(client, exchange)


async def _agrees_with_ledger(client: mexc, exchange: Mexc) -> None:
    venue = exchange.venue
    overview = venue.overview(ACCOUNT, "USDT")
    balance = await client.fetch_balance({"type": "swap"})
    (row,) = balance["info"]["data"]
    assert row["cashBalance"] == as_number(overview.wallet_quote)
    assert row["equity"] == as_number(overview.equity_quote)
    assert row["positionMargin"] == as_number(overview.position_margin_quote)

    positions = await client.fetch_positions([PAIR])
    truth = venue.position(ACCOUNT, PAIR)
    signed = sum(
        Decimal(str(one["contracts"])) * (1 if one["side"] == "long" else -1) for one in positions
    )
    assert signed * CONTRACT == (truth.amount_base if truth is not None else 0)

    words = {"open": OrderStatus.OPEN, "closed": OrderStatus.FILLED}
    newest = venue.orders(ACCOUNT, PAIR)[-100:]
    seen = {order["id"]: order for order in await client.fetch_orders(PAIR, limit=100)}
    assert set(seen) == {futures_id(order.serial) for order in newest}
    for order in newest:
        shown = seen[futures_id(order.serial)]
        assert words.get(shown["status"], OrderStatus.CANCELED) is order.status
        assert Decimal(str(shown["filled"])) * CONTRACT == order.filled_base
        fees = sum((fee.amount for fee in order.fees), Decimal(0))
        raw = shown["info"]
        assert raw["takerFee"] + raw["makerFee"] == as_number(fees)

    fills = venue.fills(ACCOUNT, PAIR)[-100:]
    deals = {one["id"]: one for one in await client.fetch_my_trades(PAIR, limit=100)}
    assert set(deals) == {futures_id(fill.serial) for fill in fills}
    for fill in fills:
        deal = deals[futures_id(fill.serial)]
        assert deal["order"] == futures_id(fill.order_serial)
        assert Decimal(str(deal["price"])) == fill.price
        assert Decimal(str(deal["amount"])) * CONTRACT == fill.amount_base
        assert deal["info"]["profit"] == as_number(fill.realised_quote)
