"""ccxt as it is, driving the spot stand-in: what it parses is what the venue's ledger says."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from ccxt.async_support.mexc import mexc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backfuturectl.emulator.faults import FaultKind
from backfuturectl.emulator.mexc_values import parse_spot_order_id, spot_order_id, spot_trade_id
from backfuturectl.matching.values import Wallet
from backfuturectl.model.orders import OrderStatus
from tests.contract.mexc.conftest import ACCOUNT, RIGHTS, Mexc

PAIR = "BTC/USDT"


def order_of(exchange: Mexc, order: Any) -> Any:
    return exchange.venue.order(ACCOUNT, parse_spot_order_id(order["id"]))


async def test_markets_load_without_a_key_that_may_see_withdrawals(client: mexc) -> None:
    market = client.market(PAIR)
    assert market["id"] == "BTCUSDT"
    assert market["active"] is True
    assert market["precision"] == {"amount": 0.000001, "price": 0.01}
    assert market["limits"]["cost"]["min"] == 1
    assert client.market("BTC/USDT:USDT")["contractSize"] == 0.0001


async def test_loading_currencies_needs_the_right_to_see_withdrawals(
    connect: Callable[..., mexc], exchange: Mexc
) -> None:
    with pytest.raises(ccxt.AuthenticationError, match="700007"):
        await connect().load_markets()

    exchange.give_key("mx0vcurious", *RIGHTS, "SPOT_WITHDRAW_READ")
    curious = connect("mx0vcurious")
    await curious.load_markets()
    assert "BTC" in curious.currencies


async def test_the_clock_is_told(client: mexc, exchange: Mexc) -> None:
    exchange.exchange.clock_skew_ms = 3_600_000
    assert abs(await client.fetch_time() - exchange.now_ms) < 60_000
    assert (await client.fetch_status())["status"] == "ok"


async def test_the_balance_is_the_wallets(client: mexc, exchange: Mexc) -> None:
    await client.create_order(PAIR, "limit", "buy", 0.1, 50_000)
    balance = await client.fetch_balance()
    wallet = exchange.venue.balances(ACCOUNT, Wallet.SPOT)
    for currency, held in wallet.items():
        assert Decimal(str(balance[currency]["free"])) == held.available
        assert Decimal(str(balance[currency]["used"])) == held.held
    assert wallet["USDT"].held == 5005  # the fee is set aside with the cost


async def test_a_limit_order_rests_and_is_found_by_both_ids(client: mexc, exchange: Mexc) -> None:
    made = await client.create_order(
        PAIR, "limit", "buy", 0.01, 60_000, {"clientOrderId": "bf0001"}
    )
    assert made["id"].startswith("C02__")
    by_id = await client.fetch_order(made["id"], PAIR)
    by_client_id = await client.fetch_order(None, PAIR, {"clientOrderId": "bf0001"})
    assert by_id["id"] == by_client_id["id"] == made["id"]
    assert by_id["clientOrderId"] == "bf0001"
    assert by_id["status"] == "open"
    assert [order["id"] for order in await client.fetch_open_orders(PAIR)] == [made["id"]]


async def test_a_market_buy_spends_its_cost(client: mexc, exchange: Mexc) -> None:
    made = await client.create_order(PAIR, "market", "buy", 0, None, {"cost": 1000})
    order = await client.fetch_order(made["id"], PAIR)
    truth = order_of(exchange, made)
    assert order["status"] == "closed"
    assert order["type"] == "market"
    assert Decimal(str(order["cost"])) == truth.filled_quote
    assert Decimal(str(order["filled"])) == truth.filled_base
    assert 999 < truth.filled_quote <= 1000


async def test_a_market_sell_sells_its_amount(client: mexc, exchange: Mexc) -> None:
    made = await client.create_order(PAIR, "market", "sell", 0.5)
    assert order_of(exchange, made).filled_base == Decimal("0.5")
    (trade,) = await client.fetch_my_trades(PAIR)
    assert trade["side"] == "sell"
    assert trade["takerOrMaker"] == "taker"
    assert trade["fee"]["currency"] == "USDT"


async def test_a_canceled_order_is_canceled(client: mexc, exchange: Mexc) -> None:
    made = await client.create_order(PAIR, "limit", "sell", 0.01, 90_000)
    canceled = await client.cancel_order(made["id"], PAIR)
    assert canceled["status"] == "canceled"
    assert order_of(exchange, made).status is OrderStatus.CANCELED
    assert await client.fetch_open_orders(PAIR) == []


async def test_an_order_is_canceled_by_client_id(client: mexc, exchange: Mexc) -> None:
    made = await client.create_order(
        PAIR, "limit", "sell", 0.01, 90_000, {"clientOrderId": "bf0002"}
    )
    await client.cancel_order(None, PAIR, {"clientOrderId": "bf0002"})
    assert order_of(exchange, made).status is OrderStatus.CANCELED


async def test_a_cancel_that_loses_the_race_is_refused(client: mexc, exchange: Mexc) -> None:
    made = await client.create_order(PAIR, "limit", "buy", 0.01, 60_000)
    exchange.set_price(PAIR, "59000")
    with pytest.raises(ccxt.BadRequest, match="-2011"):
        await client.cancel_order(made["id"], PAIR)
    assert (await client.fetch_order(made["id"], PAIR))["status"] == "closed"


async def test_all_orders_of_a_symbol_are_canceled_at_once(client: mexc, exchange: Mexc) -> None:
    for price in (50_000, 51_000):
        await client.create_order(PAIR, "limit", "buy", 0.01, price)
    await client.create_order("ETH/USDT", "limit", "buy", 0.1, 3000)
    assert len(await client.cancel_all_orders(PAIR)) == 2
    assert [order.symbol for order in exchange.venue.open_orders(ACCOUNT)] == ["ETH/USDT"]
    assert await client.cancel_all_orders() == []
    assert exchange.venue.open_orders(ACCOUNT) == ()


async def test_a_batch_tells_each_orders_outcome(client: mexc, exchange: Mexc) -> None:
    made = await client.create_orders(
        [
            {"symbol": PAIR, "type": "limit", "side": "buy", "amount": 0.01, "price": 60_000},
            {
                "symbol": PAIR,
                "type": "limit",
                "side": "buy",
                "amount": 0.00001,
                "price": 60_000,
                "params": {"clientOrderId": "small"},
            },
        ]
    )
    assert made[0]["id"] == spot_order_id(1)
    assert made[1]["status"] == "rejected"
    assert made[1]["clientOrderId"] == "small"
    assert made[1]["info"]["code"] == 30002


async def test_a_test_order_is_judged_and_not_placed(client: mexc, exchange: Mexc) -> None:
    tested = await client.create_order(PAIR, "limit", "buy", 0.01, 60_000, {"test": True})
    assert tested["id"] is None
    assert exchange.venue.orders(ACCOUNT) == ()
    with pytest.raises(ccxt.InvalidOrder, match="30002"):
        await client.create_order(PAIR, "limit", "buy", 0.00001, 60_000, {"test": True})


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        pytest.param({"timeInForce": "IOC"}, "IMMEDIATE_OR_CANCEL", id="ioc"),
        pytest.param({"timeInForce": "FOK"}, "FILL_OR_KILL", id="fok"),
        pytest.param({"postOnly": True}, "LIMIT_MAKER", id="post-only"),
    ],
)
async def test_the_order_type_is_told_as_it_was_sent(
    client: mexc, params: dict[str, Any], kind: str
) -> None:
    made = await client.create_order(PAIR, "limit", "buy", 0.01, 60_000, params)
    assert (await client.fetch_order(made["id"], PAIR))["info"]["type"] == kind


async def test_an_ioc_order_that_meets_nobody_is_canceled(client: mexc) -> None:
    made = await client.create_order(PAIR, "limit", "buy", 0.01, 60_000, {"timeInForce": "IOC"})
    assert (await client.fetch_order(made["id"], PAIR))["status"] == "canceled"


async def test_history_lists_what_is_over(client: mexc, exchange: Mexc) -> None:
    first = await client.create_order(PAIR, "limit", "buy", 0.01, 60_000)
    await client.cancel_order(first["id"], PAIR)
    second = await client.create_order(PAIR, "market", "sell", 0.01)
    statuses = {order["id"]: order["status"] for order in await client.fetch_orders(PAIR)}
    assert statuses == {first["id"]: "canceled", second["id"]: "closed"}


async def test_an_order_may_stay_unknown_right_after_it_was_made(
    client: mexc, exchange: Mexc
) -> None:
    made = await client.create_order(PAIR, "limit", "buy", 0.01, 60_000)
    with (
        exchange.fault(FaultKind.HIDE_ORDERS),
        pytest.raises(ccxt.ExchangeError, match="-2013"),
    ):
        await client.fetch_order(made["id"], PAIR)
    assert (await client.fetch_order(made["id"], PAIR))["status"] == "open"


async def test_a_fill_may_come_late_to_the_list(client: mexc, exchange: Mexc) -> None:
    await client.create_order(PAIR, "market", "sell", 0.01)
    with exchange.fault(FaultKind.HIDE_FILLS):
        assert await client.fetch_my_trades(PAIR) == []
    assert len(await client.fetch_my_trades(PAIR)) == 1


async def test_tickers_follow_the_price(client: mexc, exchange: Mexc) -> None:
    exchange.set_price(PAIR, "70000.5")
    tickers = await client.fetch_tickers([PAIR, "ETH/USDT"])
    assert tickers[PAIR]["last"] == 70000.5
    assert tickers["ETH/USDT"]["last"] == 3400
    assert (await client.fetch_ticker(PAIR))["bid"] == 70000.5
    book = await client.fetch_bids_asks([PAIR, "ETH/USDT"])
    assert book[PAIR]["ask"] == 70000.51


async def test_the_book_shows_who_rests(client: mexc) -> None:
    await client.create_order(PAIR, "limit", "buy", 0.15, 60_000)
    book = await client.fetch_order_book(PAIR, 1000)
    assert [60_000, 0.15] in book["bids"]
    assert book["bids"][0][0] < book["asks"][0][0]


async def test_public_trades_and_candles_are_the_venues_executions(
    client: mexc, exchange: Mexc
) -> None:
    await client.create_order(PAIR, "market", "sell", 0.5)
    exchange.set_price(PAIR, "69000")
    await client.create_order(PAIR, "market", "sell", 0.25)
    trades = await client.fetch_trades(PAIR)
    assert [(one["amount"], one["side"]) for one in trades] == [(0.5, "sell"), (0.25, "sell")]
    plain = await client.fetch_trades(PAIR, params={"method": "spotPublicGetTrades"})
    assert {one["price"] for one in plain} == {68_000, 69_000}
    candles = await client.fetch_ohlcv(PAIR, "1d")
    assert candles[-1][4] == 69_000
    assert sum(candle[5] for candle in candles[-2:]) == 0.75


async def test_fees_and_pairs_of_the_key_can_be_asked(client: mexc) -> None:
    fee = await client.fetch_trading_fee(PAIR)
    assert (fee["maker"], fee["taker"]) == (0.001, 0.001)
    assert "BTCUSDT" in (await client.spotPrivateGetSelfSymbols())["data"]
    assert "BTCUSDT" in (await client.spotPublicGetDefaultSymbols())["data"]


_prices = st.integers(5_000_000, 9_000_000).map(lambda cents: cents / 100)
_amounts = st.integers(100, 20_000).map(lambda steps: steps / 1_000_000)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("order"), st.sampled_from(["buy", "sell"]), _amounts, _prices),
        st.tuples(st.just("market"), st.sampled_from(["buy", "sell"]), _amounts, _prices),
        st.tuples(st.just("price"), st.just(""), _amounts, _prices),
        st.tuples(st.just("cancel"), st.just(""), _amounts, _prices),
    ),
    max_size=6,
)


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=_steps)
async def test_what_ccxt_parses_is_the_venues_ledger(
    client: mexc, exchange: Mexc, steps: list[tuple[str, str, float, float]]
) -> None:
    for kind, side, amount, price in steps:
        try:
            if kind == "order":
                await client.create_order(PAIR, "limit", side, amount, price)
            elif kind == "market":
                await client.create_order(PAIR, "market", side, amount)
            elif kind == "price":
                exchange.set_price(PAIR, str(price))
            elif open_orders := await client.fetch_open_orders(PAIR):
                await client.cancel_order(open_orders[0]["id"], PAIR)
        except ccxt.InsufficientFunds:
            pass  # the account may run dry; what it then holds must agree all the same

    await _agrees_with_ledger(client, exchange)


async def _agrees_with_ledger(client: mexc, exchange: Mexc) -> None:
    venue = exchange.venue
    balance = await client.fetch_balance()
    for currency, held in venue.balances(ACCOUNT, Wallet.SPOT).items():
        if held.total:
            assert Decimal(balance["info"]["balances"][_place(balance, currency)]["free"]) == (
                held.available
            )
            assert balance[currency]["total"] == pytest.approx(float(held.total), rel=1e-12)
    entries = [one for one in venue.entries(ACCOUNT) if one.wallet is Wallet.SPOT]
    for currency, held in venue.balances(ACCOUNT, Wallet.SPOT).items():
        assert sum(one.amount for one in entries if one.currency == currency) == held.total

    words = {"open": OrderStatus.OPEN, "closed": OrderStatus.FILLED}
    seen = {order["id"]: order for order in await client.fetch_orders(PAIR, limit=1000)}
    assert set(seen) == {spot_order_id(order.serial) for order in venue.orders(ACCOUNT, PAIR)}
    for order in venue.orders(ACCOUNT, PAIR):
        shown = seen[spot_order_id(order.serial)]
        assert words.get(shown["status"], OrderStatus.CANCELED) is order.status
        assert Decimal(str(shown["filled"])) == order.filled_base
        assert Decimal(shown["info"]["cummulativeQuoteQty"]) == order.filled_quote
        assert shown["side"] == order.side

    fills = venue.fills(ACCOUNT, PAIR)[-100:]
    trades = {trade["id"]: trade for trade in await client.fetch_my_trades(PAIR, limit=100)}
    assert set(trades) == {spot_trade_id(fill.serial) for fill in fills}
    for fill in fills:
        trade = trades[spot_trade_id(fill.serial)]
        assert trade["order"] == spot_order_id(fill.order_serial)
        assert Decimal(str(trade["price"])) == fill.price
        assert Decimal(str(trade["amount"])) == fill.amount_base
        assert Decimal(trade["info"]["commission"]) == fill.fee.amount


def _place(balance: Any, currency: str) -> int:
    return [row["asset"] for row in balance["info"]["balances"]].index(currency)
