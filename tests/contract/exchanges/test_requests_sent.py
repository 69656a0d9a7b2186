"""Which requests go out, over which session: nothing hidden, nothing twice."""

import asyncio
import gc
import os
from collections import Counter
from decimal import Decimal
from random import Random

import pytest
from aiohttp import web

from backfuturectl.exchanges.ccxt_adapter import Endpoint
from backfuturectl.exchanges.factory import open_account, open_public
from backfuturectl.model.candles import Interval
from backfuturectl.model.errors import OperationError, PermanentError, TransientError
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import OrderType

from .conftest import PAIR, Stand, material, now_ms

LISTING = {
    "mexc-spot": ["GET /api/v3/exchangeInfo"],
    "kucoin-spot": ["GET /api/v1/market/allTickers", "GET /api/v2/symbols"],
    "kucoin-futures": ["GET /api/v1/contracts/active"],
}
PRICES = {
    "mexc-spot": ["GET /api/v3/ticker/price", "GET /api/v3/ticker/bookTicker"],
    "kucoin-spot": ["GET /api/v1/market/allTickers"],
    "kucoin-futures": ["GET /api/v1/allTickers"],
}
CANDLES = {
    "mexc-spot": ["GET /api/v3/klines"],
    "kucoin-spot": ["GET /api/v1/market/candles"],
    "kucoin-futures": ["GET /api/v1/kline/query"],
}
ORDER_LIFE = {
    "mexc-spot": [
        "POST /api/v3/order",
        "GET /api/v3/order",
        "DELETE /api/v3/order",
        "GET /api/v3/account",
    ],
    "kucoin-spot": [
        "POST /api/v1/hf/orders",
        "GET /api/v1/hf/orders/client-order/{clientOid}",
        "DELETE /api/v1/hf/orders/client-order/{clientOid}",
        "GET /api/v1/accounts",
    ],
    "kucoin-futures": [
        "POST /api/v1/orders",
        "GET /api/v1/orders/byClientOid",
        "DELETE /api/v1/orders/client-order/{clientOid}",
        "GET /api/v1/account-overview",
    ],
}


def name_of(stand: Stand) -> str:
    return f"{stand.brand}-{stand.kind}"


def shaped(routes: list[str]) -> list[str]:
    return [route.split("{")[0] for route in routes]


async def test_an_orders_life_takes_one_request_per_step_and_no_hidden_ones(stand: Stand):
    await stand.account.place(stand.order())
    await stand.account.order(PAIR, "bf1")
    await stand.account.cancel(PAIR, "bf1", None)
    await stand.account.balances()

    name = name_of(stand)
    assert shaped(stand.routes()) == shaped(LISTING[name] + ORDER_LIFE[name])


async def test_markets_are_loaded_once_for_every_account(stand: Stand):
    other = stand.connect()
    async with asyncio.TaskGroup() as tasks:
        for account in (stand.account, other):
            for _ in range(5):
                tasks.create_task(account.open_orders(PAIR))

    counts = Counter(shaped(stand.routes()))
    assert all(counts[route] == 1 for route in shaped(LISTING[name_of(stand)]))
    lists = 2 if stand.kind is MarketKind.FUTURES else 1  # stops that wait are listed apart
    assert sum(counts.values()) == len(LISTING[name_of(stand)]) + 10 * lists


async def test_a_thousand_prices_take_no_more_requests_than_one(stand: Stand):
    await stand.market()
    before = len(stand.routes())

    await stand.public.prices([f"L{number:04d}/USDT" for number in range(1_000)] + [PAIR])

    assert shaped(stand.routes())[before:] == PRICES[name_of(stand)]


async def test_candles_are_one_request(stand: Stand):
    await stand.market()
    before = len(stand.routes())

    await stand.public.candles(PAIR, Interval.HOUR, limit=200, before_ms=now_ms())

    assert shaped(stand.routes())[before:] == CANDLES[name_of(stand)]


async def test_no_request_changes_anything_but_orders(stand: Stand):
    await stand.account.rights()
    await stand.account.balances()
    await stand.account.try_order(stand.order())
    await stand.account.open_orders(PAIR)
    await stand.account.fills(PAIR, now_ms())
    await stand.account.position(PAIR)

    effects = [
        effect for record in stand.emulator.requests.newest(1_000) for effect in record.effects
    ]
    assert effects == []


async def test_a_trial_order_is_judged_and_never_placed(stand: Stand):
    await stand.account.try_order(stand.order())
    with pytest.raises(PermanentError):
        await stand.account.try_order(stand.order(pair="NOPE/USDT"))

    assert stand.venue.orders("main") == ()


async def test_all_accounts_share_one_session_and_close_cleanly(stand: Stand):
    other = stand.connect()
    await stand.account.balances()
    await other.balances()

    gateways = {id(account._client._gateway) for account in (stand.account, other)}
    assert gateways == {id(stand.public.client._gateway)}
    await other.close()
    await stand.account.balances()
    await stand.public.close()
    gc.collect()


async def test_spot_and_futures_of_one_exchange_can_share_session_and_budget(futures: Stand):
    endpoint = Endpoint(futures.url)
    first = open_public("kucoin", MarketKind.FUTURES, rng=Random(1), endpoint=endpoint)
    second = open_public("kucoin", MarketKind.SPOT, rng=Random(1), beside=first)

    await first.server_time_ms()
    await first.close()
    assert await second.server_time_ms() > 0
    await second.close()
    with pytest.raises(TransientError):
        await second.server_time_ms()


async def test_a_proxy_in_the_environment_is_not_used(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:9")

    assert await stand.public.server_time_ms() > 0


async def test_a_redirect_is_not_followed(stand: Stand):
    seen: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        seen.append(request.path)
        raise web.HTTPTemporaryRedirect(stand.url + request.path)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", redirect)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    elsewhere = open_public(
        stand.brand, stand.kind, rng=Random(1), endpoint=Endpoint(f"http://127.0.0.1:{port}")
    )

    with pytest.raises(OperationError):
        await elsewhere.server_time_ms()

    await elsewhere.close()
    await runner.cleanup()
    assert seen
    assert stand.routes() == []


async def test_orders_are_written_exactly(stand: Stand):
    amount = Decimal("0.10000") if stand.kind is MarketKind.SPOT else Decimal("0.100")
    await stand.account.place(
        stand.order(amount_base=amount, price=Decimal("6E+4"), type=OrderType.LIMIT)
    )

    (order,) = stand.venue.orders("main")
    assert (order.amount_base, order.price) == (Decimal("0.1"), Decimal(60_000))


async def test_a_request_is_signed_only_when_its_turn_has_come(stand: Stand):
    await stand.market()
    budget = stand.public.client._gateway.budget
    stamps: list[int] = []

    def stamp() -> int:
        stamps.append(now_ms())
        return stamps[-1]

    account = open_account(stand.public, material(), now_ms=stamp)
    limits = budget._limits
    owner = account._client._owner
    budget.pause(budget.draws(dict.fromkeys(limits, 1), owner), 0.5)
    asked_at = now_ms()

    await account.balances()

    assert min(stamps) - asked_at >= 500


async def test_a_burst_of_orders_and_reads_stays_within_the_exchanges_limits(stand: Stand):
    stand.emulator.exchanges[stand.brand].enforces_limits = True
    names = [f"bf{number}" for number in range(12)]

    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(stand.account.place(stand.order(name)))
        for _ in range(15):
            tasks.create_task(stand.account.balances())
    async with asyncio.TaskGroup() as tasks:
        looked_up = [tasks.create_task(stand.account.order(PAIR, name)) for name in names]

    assert all(task.result() is not None for task in looked_up)
    assert 429 not in {record.status for record in stand.emulator.requests.newest(1_000)}
