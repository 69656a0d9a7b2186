"""ccxt on the spot host: what it parses is what the venue holds."""

from __future__ import annotations

from decimal import Decimal

import ccxt
import pytest

from backfuturectl.emulator.faults import Fault, FaultKind
from backfuturectl.matching.values import Wallet
from tests.contract.kucoin.kucoin_clients import ACCOUNT, ccxt_client, kucoin

PAIR = "BTC/USDT"


async def test_markets_carry_the_venue_rules() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        markets = await client.load_markets()
        assert set(markets) == set(stand.venue.listings)
        market = markets[PAIR]
        assert (market["id"], market["active"], market["spot"]) == ("BTC-USDT", True, True)
        assert (market["precision"]["price"], market["precision"]["amount"]) == (0.01, 0.000001)
        assert (market["taker"], market["maker"]) == (0.001, 0.001)
        assert (market["limits"]["amount"]["min"], market["limits"]["cost"]["min"]) == (0.000001, 1)
        assert client.options["hf"] is True
        assert client.options["uta"] is False
        assert set(client.currencies) >= {"BTC", "USDT"}


async def test_loading_markets_needs_no_key() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        client.apiKey = client.secret = client.password = ""
        assert PAIR in await client.load_markets()


async def test_clock_and_status_are_readable() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        exchange = stand.running.emulator.exchanges["kucoin"]
        assert abs(await client.fetch_time() - exchange.now_ms()) < 5_000
        assert (await client.fetch_status())["status"] == "ok"
        exchange.is_cancel_only = True
        assert (await client.fetch_status())["status"] == "maintenance"


async def test_balance_is_the_trading_wallet_and_not_the_funding_one() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        balance = await client.fetch_balance()
        assert balance["USDT"] == {"free": 100_000.0, "used": 0.0, "total": 100_000.0}
        assert (await client.fetch_balance({"type": "main"}))["USDT"]["total"] == 25.0


async def test_a_resting_limit_order_holds_quote_and_fee_until_it_is_canceled() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        created = await client.create_order(
            PAIR, "limit", "buy", 0.01, 60_000, {"clientOrderId": "bf-1", "postOnly": True}
        )
        assert created["clientOrderId"] == "bf-1"
        order = await client.fetch_order(created["id"], PAIR)
        assert (order["status"], order["filled"], order["remaining"]) == ("open", 0.0, 0.01)
        assert (order["price"], order["amount"], order["side"]) == (60_000.0, 0.01, "buy")
        assert order["postOnly"] is True
        assert [one["id"] for one in await client.fetch_open_orders(PAIR)] == [created["id"]]
        assert (await client.fetch_balance())["USDT"]["used"] == pytest.approx(600.6)

        await client.cancel_order(created["id"], PAIR)
        gone = await client.fetch_order(created["id"], PAIR)
        assert (gone["status"], gone["filled"]) == ("canceled", 0.0)
        assert await client.fetch_open_orders(PAIR) == []
        assert [one["id"] for one in await client.fetch_closed_orders(PAIR)] == [created["id"]]
        assert (await client.fetch_balance())["USDT"]["used"] == 0.0


async def test_a_market_buy_by_cost_fills_at_the_ask() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        created = await client.create_market_buy_order_with_cost(PAIR, 680)
        order = await client.fetch_order(created["id"], PAIR)
        assert (order["status"], order["type"]) == ("closed", "market")
        assert order["average"] == pytest.approx(68_000.01)
        assert order["cost"] == pytest.approx(680, abs=0.1)
        assert order["fee"]["currency"] == "USDT"
        assert order["fee"]["cost"] == pytest.approx(order["cost"] * 0.001)


async def test_a_market_sell_by_amount_fills_at_the_bid() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        created = await client.create_order(PAIR, "market", "sell", 0.5)
        order = await client.fetch_order(created["id"], PAIR)
        assert (order["status"], order["filled"], order["average"]) == ("closed", 0.5, 68_000.0)
        assert (await client.fetch_balance())["BTC"]["total"] == 1.5


async def test_an_order_is_found_and_canceled_by_client_id() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        by_client_id = {"clientOid": "bf-find-me"}
        created = await client.create_order(PAIR, "limit", "sell", 0.1, 90_000, by_client_id)
        found = await client.fetch_order(None, PAIR, by_client_id)
        assert (found["id"], found["clientOrderId"]) == (created["id"], "bf-find-me")
        await client.cancel_order(None, PAIR, by_client_id)
        assert (await client.fetch_order(None, PAIR, by_client_id))["status"] == "canceled"
        with pytest.raises(ccxt.OrderNotFound):
            await client.fetch_order(None, PAIR, {"clientOid": "never-was"})
        with pytest.raises(ccxt.OrderNotFound):
            await client.cancel_order(None, PAIR, by_client_id)


async def test_a_partly_filled_order_shows_both_parts() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        venue, listing = stand.venue, stand.venue.listing(PAIR)
        venue.add_listing(type(listing)(listing.market, fill_max_base=Decimal("0.004")))
        created = await client.create_order(PAIR, "limit", "buy", 0.01, 67_000)
        now_ms = stand.running.emulator.exchanges["kucoin"].now_ms()
        venue.set_price(PAIR, Decimal(67_000), now_ms)
        order = await client.fetch_order(created["id"], PAIR)
        assert (order["status"], order["filled"], order["remaining"]) == ("open", 0.004, 0.006)
        await client.cancel_order(created["id"], PAIR)
        order = await client.fetch_order(created["id"], PAIR)
        assert (order["status"], order["filled"], order["amount"]) == ("canceled", 0.004, 0.01)
        assert order["info"]["cancelledSize"] == "0.006"
        assert order["info"]["remainSize"] == "0"


async def test_a_post_only_order_that_would_take_is_canceled_at_once() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        created = await client.create_order(PAIR, "limit", "buy", 0.01, 69_000, {"postOnly": True})
        order = await client.fetch_order(created["id"], PAIR)
        assert (order["status"], order["filled"]) == ("canceled", 0.0)


async def test_an_immediate_order_keeps_what_filled_and_cancels_the_rest() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        venue, listing = stand.venue, stand.venue.listing(PAIR)
        venue.add_listing(type(listing)(listing.market, fill_max_base=Decimal("0.004")))
        now_ms = stand.running.emulator.exchanges["kucoin"].now_ms()
        venue.set_price(PAIR, Decimal(68_000), now_ms)
        immediate = await client.create_order(
            PAIR, "limit", "buy", 0.01, 69_000, {"timeInForce": "IOC"}
        )
        order = await client.fetch_order(immediate["id"], PAIR)
        assert (order["status"], order["filled"], order["timeInForce"]) == (
            "canceled",
            0.004,
            "IOC",
        )
        whole = await client.create_order(
            PAIR, "limit", "buy", 0.01, 69_000, {"timeInForce": "FOK"}
        )
        order = await client.fetch_order(whole["id"], PAIR)
        assert (order["status"], order["filled"]) == ("canceled", 0.0)


async def test_my_trades_carry_fee_role_and_order() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        taker = await client.create_order(PAIR, "market", "buy", 0.001)
        maker = await client.create_order(PAIR, "limit", "buy", 0.002, 67_500)
        now_ms = stand.running.emulator.exchanges["kucoin"].now_ms()
        stand.venue.set_price(PAIR, Decimal(67_400), now_ms)
        trades = await client.fetch_my_trades(PAIR)
        assert [
            (trade["order"], trade["takerOrMaker"], trade["price"], trade["amount"])
            for trade in trades
        ] == [(taker["id"], "taker", 68_000.01, 0.001), (maker["id"], "maker", 67_500.0, 0.002)]
        assert all(trade["fee"]["currency"] == "USDT" for trade in trades)
        assert len({trade["id"] for trade in trades}) == 2


async def test_history_is_paged_by_last_id() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        for _ in range(5):
            await client.create_order(PAIR, "market", "buy", 0.001)
        seen: list[str] = []
        last_id = 0
        while page := await client.fetch_my_trades(PAIR, None, 2, {"lastId": last_id}):
            seen = [trade["id"] for trade in page] + seen
            last_id = client.last_json_response["data"]["lastId"]
        assert len(seen) == len(set(seen)) == 5
        assert seen == [trade["id"] for trade in await client.fetch_my_trades(PAIR)]


async def test_cancel_all_leaves_nothing_open() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        for price in (60_000, 61_000):
            await client.create_order(PAIR, "limit", "buy", 0.01, price)
        await client.create_order("ETH/USDT", "limit", "buy", 0.1, 3_000)
        await client.cancel_all_orders(PAIR)
        assert await client.fetch_open_orders(PAIR) == []
        assert len(await client.fetch_open_orders("ETH/USDT")) == 1
        await client.cancel_all_orders()
        assert await client.fetch_open_orders("ETH/USDT") == []


async def test_prices_of_all_markets_come_in_one_answer() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        tickers = await client.fetch_tickers()
        assert tickers[PAIR]["last"] == 68_000.0
        assert (tickers[PAIR]["bid"], tickers[PAIR]["ask"]) == (68_000.0, 68_000.01)
        ticker = await client.fetch_ticker("ETH/USDT")
        assert (ticker["last"], ticker["symbol"]) == (3_400.0, "ETH/USDT")


async def test_books_and_candles_are_built_around_the_price() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        await client.load_markets()
        for depth in (None, 20, 100):
            book = await client.fetch_order_book(PAIR, depth)
            assert (book["bids"][0][0], book["asks"][0][0]) == (68_000.0, 68_000.01)
            assert depth is None or len(book["asks"]) == depth
        candles = await client.fetch_ohlcv(PAIR, "1m", None, 10)
        assert [row[4] for row in candles] == [68_000.0] * len(candles)
        assert 9 <= len(candles) <= 10
        assert candles == sorted(candles)
        assert len(await client.fetch_trades(PAIR)) == 1


async def test_a_test_order_is_checked_and_leaves_nothing() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        created = await client.create_order(PAIR, "limit", "buy", 0.01, 60_000, {"test": True})
        assert created["id"]
        assert stand.venue.orders(ACCOUNT) == ()
        with pytest.raises(ccxt.OrderNotFound):
            await client.fetch_order(created["id"], PAIR)
        with pytest.raises(ccxt.InvalidOrder):
            await client.create_order(PAIR, "limit", "buy", 0.000001, 10_000, {"test": True})


async def test_the_synchronous_endpoints_answer_with_the_outcome() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        created = await client.create_order(PAIR, "limit", "buy", 0.01, 60_000, {"sync": True})
        assert created["info"]["status"] == "open"
        canceled = await client.cancel_order(created["id"], PAIR, {"sync": True})
        assert canceled["info"]["status"] == "done"
        assert canceled["info"]["canceledSize"] == "0.01"


async def test_fees_of_a_pair_are_the_markets() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        fee = await client.fetch_trading_fee(PAIR)
        assert (fee["taker"], fee["maker"]) == (0.001, 0.001)


async def test_money_moves_between_own_wallets_only() -> None:
    async with kucoin() as stand, ccxt_client(stand, "withdrawer000000000000ab") as client:
        await client.transfer("USDT", 20, "main", "spot")
        assert stand.venue.balances(ACCOUNT, Wallet.SPOT)["USDT"].total == 100_020
        with pytest.raises(ccxt.InsufficientFunds):
            await client.transfer("USDT", 20, "main", "spot")
        with pytest.raises(ccxt.ExchangeError, match=r"withdraw\.disabled"):
            await client.withdraw("USDT", 1, "TXYZ")
        assert stand.venue.balances(ACCOUNT, Wallet.SPOT)["USDT"].total == 100_020


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"amount": 0.00001}, ccxt.InvalidOrder, id="value below the minimum"),
        pytest.param({"price": 1_000_000_000}, ccxt.InsufficientFunds, id="balance"),
        pytest.param({"params": {"clientOid": "bf 1"}}, ccxt.BadRequest, id="client id"),
        pytest.param({"params": {"timeInForce": "GTT"}}, ccxt.BadRequest, id="good till time"),
    ],
)
async def test_a_refused_order_leaves_nothing(
    change: dict[str, object], expected: type[Exception]
) -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        order = {"symbol": PAIR, "type": "limit", "side": "buy", "amount": 0.01, "price": 60_000}
        with pytest.raises(expected):
            await client.create_order(**(order | change))
        assert stand.venue.orders(ACCOUNT) == ()


async def test_a_client_id_may_not_be_used_twice_while_its_order_is_open() -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        arguments = (PAIR, "limit", "buy", 0.01, 60_000, {"clientOid": "bf-1"})
        created = await client.create_order(*arguments)
        with pytest.raises(ccxt.ExchangeError, match="102426"):
            await client.create_order(*arguments)
        await client.cancel_order(created["id"], PAIR)
        await client.create_order(*arguments)
        assert len(stand.venue.orders(ACCOUNT)) == 2


@pytest.mark.parametrize(
    ("fault", "expected", "effects"),
    [
        pytest.param({"kind": FaultKind.RATE_LIMIT}, ccxt.RateLimitExceeded, 0, id="too often"),
        pytest.param(
            {"kind": FaultKind.MAINTENANCE}, ccxt.ExchangeNotAvailable, 0, id="maintenance"
        ),
        *(
            pytest.param(
                {"kind": kind, "status": status},
                ccxt.ExchangeNotAvailable,
                effects,
                id=f"{status} {'after' if effects else 'before'} the effect",
            )
            for status in (500, 502, 503)
            for kind, effects in ((FaultKind.ERROR_BEFORE, 0), (FaultKind.ERROR_AFTER, 1))
        ),
    ],
)
async def test_failures_of_the_gateway_look_like_the_exchanges(
    fault: dict[str, object], expected: type[Exception], effects: int
) -> None:
    async with kucoin() as stand, ccxt_client(stand) as client:
        await client.load_markets()
        stand.running.emulator.faults.add(Fault.model_validate({"count": 1, **fault}))
        with pytest.raises(expected):
            await client.create_order(PAIR, "limit", "buy", 0.01, 60_000)
        assert len(stand.venue.orders(ACCOUNT)) == effects
        await client.create_order(PAIR, "limit", "buy", 0.01, 60_000)
