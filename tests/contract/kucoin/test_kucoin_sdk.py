"""The exchange's official SDK on the stand-ins: it must not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from tests.contract.kucoin.kucoin_clients import ACCOUNT, TRADER, kucoin
from tests.contract.kucoin.kucoin_sdk import (
    RestError,
    Sdk,
    account_models,
    fee_models,
    funding_models,
    futures_market_models,
    futures_models,
    position_models,
    sdk_client,
    spot_market_models,
    spot_models,
)

# The SDK reads model fields off instances, which pydantic 2.11 deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Accessing the 'model_fields' attribute:pydantic.PydanticDeprecatedSince211"
)

_Response = TypeVar("_Response")

SPOT_ORDER = {
    "clientOid": "bf-1",
    "symbol": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "price": "60000",
    "size": "0.01",
}
FUTURES_ORDER = {
    "clientOid": "bf-1",
    "symbol": "XBTUSDTM",
    "side": "buy",
    "type": "limit",
    "price": "60000",
    "size": 7,
    "leverage": 3,
    "marginMode": "ISOLATED",
}


def checked(response: _Response) -> _Response:
    """Return *response*; the SDK hides answers that do not fit its models, so parse it again."""
    common: Any = response
    assert common.common_response.code == "200000"
    if common.common_response.data is not None:
        type(common).from_dict(common.common_response.data)
    return response


async def drive(script: Callable[[Sdk], Any], key: str = TRADER) -> Any:
    """Run *script* in a thread against a fresh exchange and return its result."""
    async with kucoin() as stand:
        sdk = sdk_client(stand, key)
        return await asyncio.to_thread(script, sdk)


async def test_the_key_and_the_wallets_are_readable() -> None:
    def script(sdk: Sdk) -> None:
        api = sdk.account.get_account_api()
        info = checked(api.get_apikey_info())
        assert (info.api_key, info.permission) == (TRADER, "General,Spot,Futures")
        assert (info.is_master, info.ip_whitelist) == (True, None)
        assert checked(api.get_account_info()).level == 0
        assert checked(api.get_spot_account_type()).data is True
        rows = checked(
            api.get_spot_account_list(account_models.GetSpotAccountListReq.from_dict({}))
        ).data
        held = {(row.type.value, row.currency): row.available for row in rows}
        assert held == {("main", "USDT"): "25", ("trade", "USDT"): "100000", ("trade", "BTC"): "2"}
        detail = checked(
            api.get_spot_account_detail(
                account_models.GetSpotAccountDetailReq.from_dict({"accountId": rows[0].id})
            )
        )
        assert detail.currency == rows[0].currency
        overview = checked(
            api.get_futures_account(
                account_models.GetFuturesAccountReq.from_dict({"currency": "USDT"})
            )
        )
        assert (overview.account_equity, overview.available_balance) == (50_000, 50_000)
        assert overview.currency == "USDT"

    await drive(script)


async def test_fees_are_readable() -> None:
    def script(sdk: Sdk) -> None:
        api = sdk.account.get_fee_api()
        spot = checked(
            api.get_spot_actual_fee(
                fee_models.GetSpotActualFeeReq.from_dict({"symbols": "BTC-USDT,ETH-USDT"})
            )
        )
        assert [row.taker_fee_rate for row in spot.data] == ["0.001", "0.001"]
        futures = checked(
            api.get_futures_actual_fee(
                fee_models.GetFuturesActualFeeReq.from_dict({"symbol": "XBTUSDTM"})
            )
        )
        assert (futures.taker_fee_rate, futures.maker_fee_rate) == ("0.0006", "0.0002")
        basic = fee_models.GetBasicFeeReq.from_dict({})
        assert checked(api.get_basic_fee(basic)).taker_fee_rate == "0.001"

    await drive(script)


async def test_a_spot_order_is_added_read_and_canceled() -> None:
    def script(sdk: Sdk) -> None:
        api = sdk.spot.get_order_api()
        added = checked(api.add_order(spot_models.AddOrderReq.from_dict(SPOT_ORDER)))
        assert (added.client_oid, len(added.order_id)) == ("bf-1", 24)
        by_id = {"symbol": "BTC-USDT", "orderId": added.order_id}
        order = checked(
            api.get_order_by_order_id(spot_models.GetOrderByOrderIdReq.from_dict(by_id))
        )
        assert (order.active, order.in_order_book, order.cancel_exist) == (True, True, False)
        assert (order.price, order.size, order.funds) == ("60000", "0.01", "600")
        symbol = {"symbol": "BTC-USDT"}
        open_orders = checked(
            api.get_open_orders(spot_models.GetOpenOrdersReq.from_dict(symbol))
        ).data
        assert [one.id for one in open_orders] == [added.order_id]
        open_page = checked(
            api.get_open_orders_by_page(spot_models.GetOpenOrdersByPageReq.from_dict(symbol))
        )
        assert (open_page.total_num, open_page.items[0].id) == (1, added.order_id)
        assert checked(api.get_symbols_with_open_order()).symbols == ["BTC-USDT"]
        assert api.get_dcp().timeout is None

        by_client_id = {"symbol": "BTC-USDT", "clientOid": "bf-1"}
        canceled = checked(
            api.cancel_order_by_client_oid(
                spot_models.CancelOrderByClientOidReq.from_dict(by_client_id)
            )
        )
        assert canceled.client_oid == "bf-1"
        order = checked(
            api.get_order_by_client_oid(spot_models.GetOrderByClientOidReq.from_dict(by_client_id))
        )
        assert (order.active, order.cancel_exist, order.cancelled_size) == (False, True, "0.01")
        done = checked(api.get_closed_orders(spot_models.GetClosedOrdersReq.from_dict(symbol)))
        assert [one.id for one in done.items] == [added.order_id]
        assert done.last_id > 0

    await drive(script)


async def test_a_spot_order_that_fills_leaves_a_trade() -> None:
    def script(sdk: Sdk) -> None:
        api = sdk.spot.get_order_api()
        market = {"clientOid": "bf-1", "symbol": "BTC-USDT", "side": "sell", "type": "market"}
        added = checked(
            api.add_order_sync(spot_models.AddOrderSyncReq.from_dict(market | {"size": "0.5"}))
        )
        assert (added.status.value, added.deal_size, added.remain_size) == ("done", "0.5", "0")
        history = checked(
            api.get_trade_history(
                spot_models.GetTradeHistoryReq.from_dict({"symbol": "BTC-USDT", "limit": 10})
            )
        )
        (trade,) = history.items
        assert (trade.order_id, trade.liquidity.value) == (added.order_id, "taker")
        assert (trade.price, trade.funds, trade.fee) == ("68000", "34000", "34")
        assert history.last_id == trade.id

    await drive(script)


async def test_spot_batches_tests_and_mass_cancels() -> None:
    def script(sdk: Sdk) -> None:
        api = sdk.spot.get_order_api()
        tried = checked(api.add_order_test(spot_models.AddOrderTestReq.from_dict(SPOT_ORDER)))
        assert tried.client_oid == "bf-1"
        orders = {"orderList": [SPOT_ORDER, SPOT_ORDER | {"clientOid": "bf-2", "size": "0.00001"}]}
        batch = checked(api.batch_add_orders(spot_models.BatchAddOrdersReq.from_dict(orders))).data
        assert [one.success for one in batch] == [True, False]
        assert batch[1].fail_msg == "The order funds should more then 1 USDT."
        by_id = {"symbol": "BTC-USDT", "orderId": batch[0].order_id}
        canceled = checked(
            api.cancel_order_by_order_id_sync(
                spot_models.CancelOrderByOrderIdSyncReq.from_dict(by_id)
            )
        )
        assert (canceled.status.value, canceled.canceled_size) == ("done", "0.01")
        symbol = spot_models.CancelAllOrdersBySymbolReq.from_dict({"symbol": "BTC-USDT"})
        assert checked(api.cancel_all_orders_by_symbol(symbol)).data == "success"
        checked(api.add_order(spot_models.AddOrderReq.from_dict(SPOT_ORDER)))
        assert checked(api.cancel_all_orders()).succeed_symbols == ["BTC-USDT"]

    await drive(script)


async def test_a_refusal_reaches_the_caller_with_its_code() -> None:
    def script(sdk: Sdk) -> None:
        api = sdk.spot.get_order_api()
        too_much = spot_models.AddOrderReq.from_dict(SPOT_ORDER | {"size": "100"})
        with pytest.raises(RestError) as refused:
            api.add_order(too_much)
        assert refused.value.get_common_response().code == "200004"

    await drive(script)


async def test_a_key_without_the_right_is_refused() -> None:
    def script(sdk: Sdk) -> None:
        order = spot_models.AddOrderTestReq.from_dict(SPOT_ORDER)
        with pytest.raises(RestError, match="400007"):
            sdk.spot.get_order_api().add_order_test(order)

    await drive(script, key="reader0000000000000000ab")


async def test_a_futures_order_is_added_read_and_canceled() -> None:
    def script(sdk: Sdk) -> None:
        api = sdk.futures.get_order_api()
        added = checked(api.add_order(futures_models.AddOrderReq.from_dict(FUTURES_ORDER)))
        assert added.client_oid == "bf-1"
        by_id = futures_models.GetOrderByOrderIdReq.from_dict({"order-id": added.order_id})
        order = checked(api.get_order_by_order_id(by_id))
        assert (order.status.value, order.is_active, order.size) == ("open", True, 7)
        assert (order.leverage, order.margin_mode.value, order.value) == ("3", "ISOLATED", "420")
        by_client_id = futures_models.GetOrderByClientOidReq.from_dict({"clientOid": "bf-1"})
        assert checked(api.get_order_by_client_oid(by_client_id)).id == added.order_id
        active = futures_models.GetOrderListReq.from_dict(
            {"status": "active", "symbol": "XBTUSDTM"}
        )
        assert [one.id for one in checked(api.get_order_list(active)).items] == [added.order_id]
        symbol = {"symbol": "XBTUSDTM"}
        value = checked(
            api.get_open_order_value(futures_models.GetOpenOrderValueReq.from_dict(symbol))
        )
        assert (value.open_order_buy_size, value.open_order_buy_cost) == (7, "420")
        canceled = checked(
            api.cancel_order_by_client_oid(
                futures_models.CancelOrderByClientOidReq.from_dict(symbol | {"clientOid": "bf-1"})
            )
        )
        assert canceled.client_oid == "bf-1"
        done = checked(
            api.get_recent_closed_orders(futures_models.GetRecentClosedOrdersReq.from_dict(symbol))
        )
        assert [(one.id, one.cancel_exist) for one in done.data] == [(added.order_id, True)]
        stops = futures_models.GetStopOrderListReq.from_dict(symbol)
        assert checked(api.get_stop_order_list(stops)).items == []

    await drive(script)


async def test_a_futures_stop_order_is_listed_and_canceled_with_all_of_them() -> None:
    def script(sdk: Sdk) -> None:
        api, symbol = sdk.futures.get_order_api(), {"symbol": "XBTUSDTM"}
        falling = {"stop": "down", "stopPrice": "60000", "stopPriceType": "MP"}
        added = checked(
            api.add_order(futures_models.AddOrderReq.from_dict(FUTURES_ORDER | falling))
        )
        waiting = futures_models.GetStopOrderListReq.from_dict(symbol)
        (stop,) = checked(api.get_stop_order_list(waiting)).items
        assert (stop.id, stop.stop.value, stop.stop_price) == (added.order_id, "down", "60000")
        assert (stop.stop_price_type.value, stop.stop_triggered) == ("MP", False)
        canceled = checked(
            api.cancel_all_stop_orders(futures_models.CancelAllStopOrdersReq.from_dict(symbol))
        )
        assert canceled.cancelled_order_ids == [added.order_id]
        assert checked(api.get_stop_order_list(waiting)).items == []

    await drive(script)


async def test_a_futures_position_is_opened_read_and_closed() -> None:
    def script(sdk: Sdk) -> None:
        orders, positions = sdk.futures.get_order_api(), sdk.futures.get_positions_api()
        market = {**FUTURES_ORDER, "type": "market"}
        del market["price"]
        opened = checked(orders.add_order(futures_models.AddOrderReq.from_dict(market)))
        symbol = {"symbol": "XBTUSDTM"}
        wanted = position_models.GetPositionDetailsReq.from_dict(symbol)
        held = checked(positions.get_position_details(wanted))
        assert (held.is_open, held.current_qty, held.avg_entry_price) == (True, 7, 68_000.1)
        (listed,) = checked(
            positions.get_position_list(position_models.GetPositionListReq.from_dict({}))
        ).data
        assert (listed.symbol, listed.margin_mode.value) == ("XBTUSDTM", "ISOLATED")
        assert listed.position_side.value == "BOTH"
        history = checked(
            orders.get_trade_history(futures_models.GetTradeHistoryReq.from_dict(symbol))
        )
        assert [(one.order_id, one.size) for one in history.items] == [(opened.order_id, 7)]
        recent = futures_models.GetRecentTradeHistoryReq.from_dict(symbol)
        assert checked(orders.get_recent_trade_history(recent)).data[0].size == 7

        close = {"clientOid": "bf-2", **symbol, "type": "market", "closeOrder": True}
        checked(orders.add_order(futures_models.AddOrderReq.from_dict(close)))
        flat = checked(positions.get_position_details(wanted))
        assert (flat.is_open, flat.current_qty) == (False, 0)

    await drive(script)


async def test_futures_settings_and_batches() -> None:
    def script(sdk: Sdk) -> None:
        orders, positions = sdk.futures.get_order_api(), sdk.futures.get_positions_api()
        symbol = {"symbol": "XBTUSDTM"}
        switched = checked(
            positions.switch_margin_mode(
                position_models.SwitchMarginModeReq.from_dict(symbol | {"marginMode": "CROSS"})
            )
        )
        assert switched.margin_mode.value == "CROSS"
        mode = position_models.GetMarginModeReq.from_dict(symbol)
        assert checked(positions.get_margin_mode(mode)).margin_mode.value == "CROSS"
        leverage = position_models.ModifyMarginLeverageReq.from_dict(symbol | {"leverage": "5"})
        assert checked(positions.modify_margin_leverage(leverage)).data is True
        wanted = position_models.GetCrossMarginLeverageReq.from_dict(symbol)
        assert checked(positions.get_cross_margin_leverage(wanted)).leverage == "5"
        limits = position_models.GetIsolatedMarginRiskLimitReq.from_dict(symbol)
        assert checked(positions.get_isolated_margin_risk_limit(limits)).data[0].max_leverage == 100
        size = position_models.GetMaxOpenSizeReq.from_dict(
            symbol | {"price": "68000", "leverage": 5}
        )
        assert 3_000 < checked(positions.get_max_open_size(size)).max_buy_open_size < 3_700

        cross = {**FUTURES_ORDER, "marginMode": "CROSS"}
        batch = checked(
            orders.batch_add_orders(
                futures_models.BatchAddOrdersReq.from_dict([cross, cross | {"clientOid": "bf-2"}])
            )
        ).data
        assert [one.code for one in batch] == ["200000", "200000"]
        all_of_it = futures_models.CancelAllOrdersV3Req.from_dict(symbol)
        canceled = checked(orders.cancel_all_orders_v3(all_of_it)).cancelled_order_ids
        assert canceled == [one.order_id for one in batch]
        tried = checked(orders.add_order_test(futures_models.AddOrderTestReq.from_dict(cross)))
        assert tried.order_id

    await drive(script)


async def test_spot_market_data() -> None:
    def script(sdk: Sdk) -> None:
        api = sdk.spot.get_market_api()
        symbol = {"symbol": "BTC-USDT"}
        assert checked(api.get_server_time()).data > 0
        assert checked(api.get_service_status()).status.value == "open"
        assert checked(api.get_client_ip_address()).data == "127.0.0.1"
        every = checked(api.get_all_symbols(spot_market_models.GetAllSymbolsReq.from_dict({})))
        assert "BTC-USDT" in {one.symbol for one in every.data}
        one = checked(api.get_symbol(spot_market_models.GetSymbolReq.from_dict(symbol)))
        assert (one.base_increment, one.enable_trading) == ("0.000001", True)
        coins = checked(api.get_all_currencies()).data
        assert "BTC" in {coin.currency for coin in coins}
        coin = spot_market_models.GetCurrencyReq.from_dict({"currency": "BTC"})
        assert checked(api.get_currency(coin)).precision == 8
        ticker = checked(api.get_ticker(spot_market_models.GetTickerReq.from_dict(symbol)))
        assert (ticker.price, ticker.best_ask) == ("68000", "68000.01")
        tickers = checked(api.get_all_tickers()).ticker
        assert len(tickers) == len(every.data)
        stats = checked(api.get24hr_stats(spot_market_models.Get24hrStatsReq.from_dict(symbol)))
        assert stats.last == "68000"
        book = checked(
            api.get_part_order_book(
                spot_market_models.GetPartOrderBookReq.from_dict(symbol | {"size": "20"})
            )
        )
        assert (book.bids[0][0], len(book.asks)) == ("68000", 20)
        full = checked(
            api.get_full_order_book(spot_market_models.GetFullOrderBookReq.from_dict(symbol))
        )
        assert len(full.asks) == 200
        candles = checked(
            api.get_klines(spot_market_models.GetKlinesReq.from_dict(symbol | {"type": "1min"}))
        ).data
        assert candles[0][1:5] == ["68000"] * 4
        trades = checked(
            api.get_trade_history(spot_market_models.GetTradeHistoryReq.from_dict(symbol))
        ).data
        assert trades[0].price == "68000"

    await drive(script)


async def test_futures_market_data() -> None:
    def script(sdk: Sdk) -> None:
        api = sdk.futures.get_market_api()
        symbol = {"symbol": "XBTUSDTM"}
        assert checked(api.get_server_time()).data > 0
        assert checked(api.get_service_status()).status.value == "open"
        contracts = checked(api.get_all_symbols()).data
        assert "XBTUSDTM" in {one.symbol for one in contracts}
        one = checked(api.get_symbol(futures_market_models.GetSymbolReq.from_dict(symbol)))
        assert (one.multiplier, one.base_currency, one.status.value) == (0.001, "XBT", "Open")
        ticker = checked(api.get_ticker(futures_market_models.GetTickerReq.from_dict(symbol)))
        assert (ticker.price, ticker.best_ask_price) == ("68000", "68000.1")
        assert len(checked(api.get_all_tickers()).data) == len(contracts)
        book = checked(
            api.get_part_order_book(
                futures_market_models.GetPartOrderBookReq.from_dict(symbol | {"size": "20"})
            )
        )
        assert (book.bids[0][0], len(book.asks)) == (68_000, 20)
        full = futures_market_models.GetFullOrderBookReq.from_dict(symbol)
        assert len(checked(api.get_full_order_book(full)).bids) == 200
        mark = futures_market_models.GetMarkPriceReq.from_dict(symbol)
        assert checked(api.get_mark_price(mark)).value == 68_000
        candles = futures_market_models.GetKlinesReq.from_dict(symbol | {"granularity": 60})
        assert checked(api.get_klines(candles)).data[0][4] == 68_000
        trades = futures_market_models.GetTradeHistoryReq.from_dict(symbol)
        assert checked(api.get_trade_history(trades)).data[0].price == "68000"
        assert checked(api.get24hr_stats()).turnover_of24h == 0
        funding = checked(
            sdk.futures.get_funding_fees_api().get_current_funding_rate(
                funding_models.GetCurrentFundingRateReq.from_dict(symbol)
            )
        )
        assert (funding.value, funding.granularity) == (0.0001, 28_800_000)
        paid = checked(
            sdk.futures.get_funding_fees_api().get_private_funding_history(
                funding_models.GetPrivateFundingHistoryReq.from_dict(symbol)
            )
        )
        assert (paid.data_list, paid.has_more) == ([], False)

    await drive(script)


async def test_what_the_sdk_places_is_what_the_venue_holds() -> None:
    async with kucoin() as stand:
        sdk = sdk_client(stand)
        request = spot_models.AddOrderReq.from_dict(SPOT_ORDER)
        await asyncio.to_thread(sdk.spot.get_order_api().add_order, request)
        (order,) = stand.venue.orders(ACCOUNT)
        assert (order.client_id, order.is_open) == ("bf-1", True)
