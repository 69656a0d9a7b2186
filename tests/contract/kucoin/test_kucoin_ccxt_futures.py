"""ccxt on the futures host: lots, positions, margin modes."""

from __future__ import annotations

from decimal import Decimal

import ccxt
import pytest

from backfuturectl.matching.values import MarginMode
from tests.contract.kucoin.kucoin_clients import ACCOUNT, Stand, ccxt_client, kucoin

SWAP = "BTC/USDT:USDT"
ISOLATED_3X = {"leverage": 3, "marginMode": "isolated"}
CROSS = {"marginMode": "cross"}


def set_price(stand: Stand, price: int) -> None:
    now_ms = stand.running.emulator.exchanges["kucoin"].now_ms()
    stand.venue.set_price(SWAP, Decimal(price), now_ms)


async def test_contracts_are_named_in_xbt_and_sized_in_lots() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        market = (await client.load_markets())[SWAP]
        assert (market["id"], market["contractSize"], market["linear"]) == ("XBTUSDTM", 0.001, True)
        assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 1)
        assert (market["taker"], market["maker"]) == (0.0006, 0.0002)
        assert (market["limits"]["leverage"]["max"], market["limits"]["amount"]["min"]) == (100, 1)
        tiers = await client.fetch_market_leverage_tiers(SWAP)
        assert (tiers[0]["maxLeverage"], tiers[0]["maintenanceMarginRate"]) == (100, 0.005)


async def test_the_wallet_shows_equity_and_what_is_free() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        balance = await client.fetch_balance({"type": "swap"})
        assert (balance["USDT"]["total"], balance["USDT"]["free"]) == (50_000.0, 50_000.0)
        await client.create_order(SWAP, "limit", "buy", 100, 60_000, ISOLATED_3X)
        balance = await client.fetch_balance({"type": "swap"})
        assert balance["USDT"]["total"] == 50_000.0
        assert balance["USDT"]["free"] <= 48_000.0
        overview = stand.venue.overview(ACCOUNT, "USDT")
        assert balance["USDT"]["free"] == pytest.approx(float(overview.available_quote))


async def test_a_resting_order_is_read_listed_and_canceled() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        created = await client.create_order(
            SWAP, "limit", "buy", 7, 60_000, {"clientOrderId": "bf-1", **ISOLATED_3X}
        )
        order = await client.fetch_order(created["id"], SWAP)
        assert (order["status"], order["amount"], order["filled"]) == ("open", 7.0, 0.0)
        assert (order["price"], order["clientOrderId"]) == (60_000.0, "bf-1")
        assert order["info"]["leverage"] == "3"
        assert [one["id"] for one in await client.fetch_open_orders(SWAP)] == [created["id"]]
        await client.cancel_order(created["id"], SWAP)
        assert (await client.fetch_order(created["id"], SWAP))["status"] == "canceled"
        assert await client.fetch_open_orders(SWAP) == []
        assert [one["id"] for one in await client.fetch_closed_orders(SWAP)] == [created["id"]]


async def test_an_order_is_found_and_canceled_by_client_id() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        by_client_id = {"clientOrderId": "bf-find-me"}
        created = await client.create_order(
            SWAP, "limit", "sell", 2, 90_000, {**by_client_id, **ISOLATED_3X}
        )
        assert (await client.fetch_order(None, SWAP, by_client_id))["id"] == created["id"]
        await client.cancel_order(None, SWAP, by_client_id)
        assert (await client.fetch_order(None, SWAP, by_client_id))["status"] == "canceled"
        with pytest.raises(ccxt.OrderNotFound):
            await client.fetch_order(None, SWAP, {"clientOrderId": "never-was"})
        with pytest.raises(ccxt.BadRequest, match="100004"):
            await client.cancel_order(created["id"], SWAP)


async def test_a_market_order_opens_a_position_that_a_closing_order_flattens() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        created = await client.create_order(SWAP, "market", "buy", 50, None, ISOLATED_3X)
        order = await client.fetch_order(created["id"], SWAP)
        assert (order["status"], order["filled"], order["average"]) == ("closed", 50.0, 68_000.1)
        assert order["cost"] == pytest.approx(50 * 0.001 * 68_000.1)

        (position,) = await client.fetch_positions([SWAP])
        assert (position["side"], position["contracts"]) == ("long", 50.0)
        assert (position["entryPrice"], position["marginMode"]) == (68_000.1, "isolated")
        assert position["leverage"] == pytest.approx(3, abs=0.01)
        shown = stand.venue.position(ACCOUNT, SWAP)
        assert shown is not None
        assert shown.liquidation_price is not None
        assert position["liquidationPrice"] == pytest.approx(float(shown.liquidation_price))
        assert position["unrealizedPnl"] == pytest.approx(float(shown.unrealised_quote))
        assert (await client.fetch_position(SWAP))["contracts"] == 50.0

        await client.close_position(SWAP)
        assert await client.fetch_positions([SWAP]) == []
        flat = await client.fetch_position(SWAP)
        assert (flat["contracts"], flat["side"]) == (0.0, None)
        with pytest.raises(ccxt.InvalidOrder, match="300009"):
            await client.close_position(SWAP)


async def test_a_short_position_counts_negative_and_earns_on_the_way_down() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        await client.create_order(SWAP, "market", "sell", 10, None, ISOLATED_3X)
        set_price(stand, 67_000)
        (position,) = await client.fetch_positions([SWAP])
        assert (position["side"], position["contracts"]) == ("short", 10.0)
        assert position["info"]["currentQty"] == -10
        assert position["unrealizedPnl"] == pytest.approx(10.0)


async def test_reduce_only_never_opens() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        reduce_only = {"reduceOnly": True, **ISOLATED_3X}
        await client.create_order(SWAP, "market", "buy", 5, None, ISOLATED_3X)
        await client.create_order(SWAP, "market", "sell", 50, None, reduce_only)
        assert await client.fetch_positions([SWAP]) == []
        with pytest.raises(ccxt.InvalidOrder, match="300009"):
            await client.create_order(SWAP, "market", "sell", 5, None, reduce_only)


async def test_trades_tell_lots_fee_and_nanoseconds() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        created = await client.create_order(SWAP, "market", "buy", 20, None, ISOLATED_3X)
        (trade,) = await client.fetch_my_trades(SWAP)
        assert (trade["order"], trade["amount"], trade["price"]) == (created["id"], 20.0, 68_000.1)
        assert trade["cost"] == pytest.approx(1_360.002)
        assert trade["fee"]["cost"] == pytest.approx(1_360.002 * 0.0006)
        assert trade["info"]["tradeTime"] == trade["timestamp"] * 1_000_000
        assert trade["info"]["openFeePay"] != "0"
        await client.close_position(SWAP)
        closing = (await client.fetch_my_trades(SWAP))[-1]
        assert (closing["info"]["openFeePay"], closing["side"]) == ("0", "sell")


async def test_orders_are_paged() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        for price in range(60_000, 60_005):
            await client.create_order(SWAP, "limit", "buy", 1, price, ISOLATED_3X)
        seen = []
        for page in (1, 2, 3):
            orders = await client.fetch_open_orders(
                SWAP, params={"pageSize": 2, "currentPage": page}
            )
            seen += [order["price"] for order in orders]
            assert client.last_json_response["data"]["totalNum"] == 5
            assert client.last_json_response["data"]["totalPage"] == 3
        assert sorted(seen) == [60_000.0, 60_001.0, 60_002.0, 60_003.0, 60_004.0]


async def test_margin_mode_is_set_per_market_and_orders_must_agree() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        assert (await client.fetch_margin_mode(SWAP))["marginMode"] == "isolated"
        with pytest.raises(ccxt.InvalidOrder, match="330005"):
            await client.create_order(SWAP, "limit", "buy", 1, 60_000, CROSS)
        assert (await client.set_margin_mode("cross", SWAP))["marginMode"] == "cross"
        assert (await client.fetch_margin_mode(SWAP))["marginMode"] == "cross"
        created = await client.create_order(SWAP, "limit", "buy", 1, 60_000, CROSS)
        with pytest.raises(ccxt.ExchangeError, match=r"exist\.order\.or\.position"):
            await client.set_margin_mode("isolated", SWAP)
        await client.cancel_order(created["id"], SWAP)
        await client.set_margin_mode("isolated", SWAP)
        assert stand.venue.setting(ACCOUNT, SWAP).margin_mode is MarginMode.ISOLATED


async def test_cross_orders_take_the_accounts_leverage_not_their_own() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        await client.set_margin_mode("cross", SWAP)
        await client.set_leverage(5, SWAP, CROSS)
        assert (await client.fetch_leverage(SWAP))["longLeverage"] == 5
        await client.create_order(SWAP, "market", "buy", 10, None, {**CROSS, "leverage": 2})
        (position,) = await client.fetch_positions([SWAP])
        assert (position["marginMode"], position["leverage"]) == ("cross", 5)
        with pytest.raises(ccxt.ExchangeError, match="300016"):
            await client.set_leverage(101, SWAP, CROSS)


async def test_hedge_mode_refuses_one_way_orders() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        assert (await client.fetch_position_mode())["hedged"] is False
        await client.load_markets()
        await client.set_position_mode(True)
        assert (await client.fetch_position_mode())["hedged"] is True
        with pytest.raises(ccxt.InvalidOrder, match="330012"):
            await client.create_order(SWAP, "limit", "buy", 1, 60_000, ISOLATED_3X)
        await client.set_position_mode(False)
        await client.create_order(SWAP, "limit", "buy", 1, 60_000, ISOLATED_3X)


async def test_batches_are_taken_and_canceled() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        orders = [
            {
                "symbol": SWAP,
                "type": "limit",
                "side": "buy",
                "amount": amount,
                "price": 60_000,
                "params": ISOLATED_3X,
            }
            for amount in (1, 2, 1_000_000)
        ]
        created = await client.create_orders(orders)
        assert [order["info"]["code"] for order in created] == ["200000", "200000", "300003"]
        await client.cancel_orders([created[0]["id"]], SWAP)
        assert [one["amount"] for one in await client.fetch_open_orders(SWAP)] == [2.0]
        await client.cancel_all_orders(SWAP)
        assert await client.fetch_open_orders(SWAP) == []


async def test_a_test_order_is_checked_and_leaves_nothing() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        params = {"test": True, **ISOLATED_3X}
        assert (await client.create_order(SWAP, "limit", "buy", 1, 60_000, params))["id"]
        assert stand.venue.orders(ACCOUNT) == ()
        with pytest.raises(ccxt.ExchangeError, match="300016"):
            await client.create_order(
                SWAP, "limit", "buy", 1, 60_000, {**params, "leverage": 1_000}
            )


async def test_prices_books_candles_and_funding() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        await client.load_markets()
        ticker = await client.fetch_ticker(SWAP)
        assert (ticker["last"], ticker["bid"], ticker["ask"]) == (68_000.0, 68_000.0, 68_000.1)
        assert (await client.fetch_mark_price(SWAP))["markPrice"] == 68_000.0
        tickers = await client.fetch_tickers(params={"type": "swap"})
        assert tickers[SWAP]["last"] == 68_000.0
        by_ticker = await client.fetch_tickers(
            params={"type": "swap", "method": "futuresPublicGetAllTickers"}
        )
        assert by_ticker[SWAP]["last"] == 68_000.0
        for depth in (None, 20, 100):
            book = await client.fetch_order_book(SWAP, depth)
            assert (book["bids"][0][0], book["asks"][0][0]) == (68_000.0, 68_000.1)
        candles = await client.fetch_ohlcv(SWAP, "5m", None, 10)
        assert [row[4] for row in candles] == [68_000.0] * len(candles)
        assert 9 <= len(candles) <= 10
        funding = await client.fetch_funding_rate(SWAP)
        assert (funding["fundingRate"], funding["interval"]) == (0.0001, "8h")
        assert len(await client.fetch_trades(SWAP)) == 1
        fee = await client.fetch_trading_fee(SWAP)
        assert (fee["taker"], fee["maker"]) == (0.0006, 0.0002)


async def test_a_liquidation_is_a_trade_of_its_own_kind() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        await client.create_order(SWAP, "market", "buy", 50, None, {"leverage": 20})
        set_price(stand, 60_000)
        assert await client.fetch_positions([SWAP]) == []
        assert [trade["info"]["tradeType"] for trade in await client.fetch_my_trades(SWAP)] == [
            "trade",
            "liquid",
        ]


async def test_size_may_be_given_in_coins_or_in_quote() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        await client.load_markets()
        base = {"symbol": "XBTUSDTM", "side": "buy", "type": "limit", "price": "60000"}
        more = {"leverage": "3", "marginMode": "ISOLATED"}
        for client_id, size in (("a", {"qty": "0.005"}), ("b", {"valueQty": "310"})):
            await client.futuresPrivatePostOrders(base | more | size | {"clientOid": client_id})
        sizes = [order["amount"] for order in await client.fetch_open_orders(SWAP)]
        assert sorted(sizes) == [5.0, 5.0]


async def test_funding_payments_are_told_with_their_sign() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        await client.create_order(SWAP, "market", "buy", 100, None, ISOLATED_3X)
        now_ms = stand.running.emulator.exchanges["kucoin"].now_ms()
        for number in range(12):
            stand.venue.apply_funding(SWAP, Decimal("0.0001"), now_ms - 1_000 + number)

        (newest, *_) = history = await client.fetch_funding_history(SWAP)
        assert len(history) == 10
        mark = stand.venue.quote(SWAP).last
        assert newest["amount"] == pytest.approx(-0.1 * float(mark) * 0.0001)
        assert (newest["code"], newest["symbol"]) == ("USDT", SWAP)
        assert newest["timestamp"] == now_ms - 1_000 + 11
        assert (newest["fundingRate"], newest["positionQty"]) == (0.0001, 100.0)
        assert len(await client.fetch_funding_history(SWAP, limit=100)) == 12
        assert len(await client.fetch_funding_history(SWAP, since=now_ms - 991)) == 3


async def test_a_stop_loss_waits_apart_from_the_book_until_the_price_sets_it_off() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        await client.create_order(SWAP, "market", "buy", 5, None, ISOLATED_3X)
        created = await client.create_order(
            SWAP,
            "market",
            "sell",
            5,
            None,
            {"stopLossPrice": 60_000, "clientOrderId": "bf-stop", **ISOLATED_3X},
        )
        assert await client.fetch_open_orders(SWAP) == []
        (waiting,) = await client.fetch_open_orders(SWAP, params={"stop": True})
        assert (waiting["id"], waiting["status"]) == (created["id"], "open")
        assert (waiting["triggerPrice"], waiting["reduceOnly"]) == (60_000.0, True)
        assert (waiting["info"]["stop"], waiting["info"]["stopPriceType"]) == ("down", "MP")
        assert (await client.fetch_order(None, SWAP, {"clientOrderId": "bf-stop"}))[
            "status"
        ] == "open"

        set_price(stand, 60_000)

        assert await client.fetch_open_orders(SWAP, params={"stop": True}) == []
        order = await client.fetch_order(created["id"], SWAP)
        assert (order["status"], order["filled"]) == ("closed", 5.0)
        assert order["info"]["stopTriggered"] is True
        assert await client.fetch_positions([SWAP]) == []


async def test_a_trigger_that_rises_and_is_canceled_by_id_alone_or_with_all() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        for number in (1, 2, 3):
            rising = {"triggerPrice": 70_000, "clientOrderId": f"bf-{number}", **ISOLATED_3X}
            await client.create_order(SWAP, "limit", "buy", 1, 70_500, rising)
        assert (await client.fetch_balance({"type": "swap"}))["USDT"]["free"] == 50_000.0
        one, *others = await client.fetch_open_orders(SWAP, params={"stop": True})
        assert (one["info"]["stop"], one["price"]) == ("up", 70_500.0)
        await client.cancel_order(one["id"], SWAP)
        await client.cancel_all_orders(SWAP)
        left = await client.fetch_open_orders(SWAP, params={"stop": True})
        assert [order["id"] for order in left] == [order["id"] for order in others]
        await client.cancel_all_orders(SWAP, {"stop": True})
        assert await client.fetch_open_orders(SWAP, params={"stop": True}) == []


async def test_one_stop_too_many_is_refused() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        falling = {"stopLossPrice": 60_000, **ISOLATED_3X}
        for _ in range(50):
            await client.create_order(SWAP, "market", "sell", 1, None, falling)
        with pytest.raises(ccxt.BaseError, match="300004"):
            await client.create_order(SWAP, "market", "sell", 1, None, falling)
