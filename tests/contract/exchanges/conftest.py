"""Accounts to test the ports with: the real adapters on stand-in exchanges over HTTP."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from backfuturectl.emulator.faults import Fault, FaultKind
from backfuturectl.emulator.scenario import (
    AccountSpec,
    Emulator,
    KeySpec,
    MarketSpec,
    Scenario,
    add_key,
    build,
)
from backfuturectl.emulator.server import serve
from backfuturectl.engine.clock import WallClock
from backfuturectl.exchanges import ccxt_adapter
from backfuturectl.exchanges.ccxt_adapter import Endpoint, KeyMaterial
from backfuturectl.exchanges.factory import open_account, open_public
from backfuturectl.exchanges.port import AccountPort
from backfuturectl.exchanges.public import PublicExchange
from backfuturectl.exchanges.retry import Retry
from backfuturectl.exchanges.simulated import SimulatedAccount, SimulatedPublic
from backfuturectl.matching.values import PositionMode, symbol_of
from backfuturectl.matching.venue import Venue
from backfuturectl.model.market import Market, MarketKind
from backfuturectl.model.orders import NewOrder, OrderType, Side
from backfuturectl.model.secret import Secret

PAIR = "BTC/USDT"
THIN_PAIR = "SOL/USDT"
MONEY = {"USDT": Decimal(100_000), "BTC": Decimal(2)}
NAME = "main"
KEY, SECRET, PASSPHRASE = "mx0vcontractkey001", "contract-secret", "contract-pass"
RIGHTS = {
    "mexc": ("SPOT_ACCOUNT_READ", "SPOT_DEAL_READ", "SPOT_DEAL_WRITE"),
    "kucoin": ("General", "Spot", "Futures"),
}
SIMULATED = {"simulated-spot": MarketKind.SPOT, "simulated-futures": MarketKind.FUTURES}
KINDS = {
    "mexc-spot": ("mexc", MarketKind.SPOT, "mexc"),
    "kucoin-spot": ("kucoin", MarketKind.SPOT, "kucoin-spot"),
    "kucoin-futures": ("kucoin", MarketKind.FUTURES, "kucoin-futures"),
}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _market(brand: str, kind: MarketKind, pair: str, *, price: str, **more: object) -> MarketSpec:
    steps: dict[str, object] = {"price_tick": "0.01", "amount_step": "0.00001", "cost_min": "1"}
    if kind is MarketKind.FUTURES:
        steps = {
            "price_tick": "0.1",
            "amount_step": "0.001",
            "contract_size": "0.001",
            "cost_min": "0",
            "leverage_max": 100,
            "maintenance_margin": "0.005",
        }
    return MarketSpec(
        exchange=brand, kind=kind, pair=pair, price=price, spread_ticks=1, **(steps | more)
    )


def scenario() -> Scenario:
    markets = [
        market
        for brand, kind, _ in KINDS.values()
        for market in (
            _market(brand, kind, PAIR, price="68000"),
            _market(brand, kind, THIN_PAIR, price="165", fill_max_base="1"),
        )
    ]
    accounts = [
        AccountSpec(
            exchange=brand,
            name=NAME,
            spot=MONEY,
            futures={"USDT": Decimal(100_000)},
            keys=(KeySpec(key=KEY, secret=SECRET, passphrase=PASSPHRASE, permissions=rights),),
        )
        for brand, rights in RIGHTS.items()
    ]
    return Scenario(moves=False, markets=tuple(markets), accounts=tuple(accounts))


@dataclass(frozen=True)
class Stand:
    """One account on one exchange, and the hand behind the curtain.

    Attributes:
        public: `PublicExchange`, or the simulated one.
        url: Where the exchange listens; empty for the simulated one.
    """

    public: Any
    account: AccountPort
    emulator: Emulator
    brand: str
    kind: MarketKind
    url: str

    @property
    def venue(self) -> Venue:
        return self.emulator.exchanges[self.brand].venue

    def symbol(self, pair: str = PAIR) -> str:
        return symbol_of(self.kind, pair)

    def set_price(self, price: str, pair: str = PAIR) -> None:
        self.venue.set_price(self.symbol(pair), Decimal(price), now_ms())

    def fault(self, kind: FaultKind, method: str = "*", path: str = "*", **more: object) -> None:
        self.emulator.faults.add(Fault(kind=kind, method=method, path=path, **more))

    def give_key(self, name: str, *rights: str, **more: object) -> None:
        spec = {"key": name, "secret": SECRET, "passphrase": PASSPHRASE, "permissions": rights}
        add_key(self.emulator.exchanges[self.brand], NAME, KeySpec(**(spec | more)))

    def connect(self, key: str = KEY, *, secret: str = SECRET, password: str = PASSPHRASE):
        return open_account(self.public, material(key, secret, password), now_ms=now_ms)

    def routes(self) -> list[str]:
        return [
            f"{record.method} {record.route}" for record in self.emulator.requests.newest(10_000)
        ]

    async def market(self, pair: str = PAIR) -> Market:
        return (await self.public.markets())[pair]

    def order(self, name: str = "bf1", **changes: object) -> NewOrder:
        given: dict[str, object] = {
            "client_order_id": name,
            "pair": PAIR,
            "side": Side.BUY,
            "type": OrderType.LIMIT,
            "amount_base": Decimal("0.01"),
            "price": Decimal(60_000),
            "margin_mode": "isolated" if self.kind is MarketKind.FUTURES else None,
        }
        return NewOrder(**(given | changes))


def material(key: str = KEY, secret: str = SECRET, password: str = PASSPHRASE) -> KeyMaterial:
    return KeyMaterial(Secret(key), Secret(secret), Secret(password))


@asynccontextmanager
async def standing(name: str) -> AsyncIterator[Stand]:
    brand, kind, host = KINDS[name]
    emulator = build(scenario(), clock=WallClock())
    emulator.exchanges["mexc"].venue.set_position_mode(NAME, PositionMode.ONE_WAY)
    async with AsyncExitStack() as stack:
        endpoints = await stack.enter_async_context(serve(emulator, ports={}))
        url = endpoints.hosts[host]
        public: PublicExchange = open_public(brand, kind, rng=Random(1), endpoint=Endpoint(url))
        stack.push_async_callback(public.close)
        account = open_account(public, material(), now_ms=now_ms)
        yield Stand(public, account, emulator, brand, kind, url)


def simulated(kind: MarketKind) -> Stand:
    emulator = build(scenario(), clock=WallClock())
    exchange = emulator.exchanges["kucoin"]
    public = SimulatedPublic(exchange.venue, kind, now_ms=exchange.now_ms)
    account = SimulatedAccount(exchange.venue, NAME, kind, now_ms=exchange.now_ms)
    return Stand(public, account, emulator, "kucoin", kind, url="")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat reads as often as ever, but without the waits in between."""
    monkeypatch.setattr(ccxt_adapter, "Retry", functools.partial(Retry, wait_first_s=0.001))


@pytest.fixture(params=[*KINDS, *SIMULATED])
async def any_stand(request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    """A stand of every kind there is, the simulated ones included."""
    if request.param in SIMULATED:
        yield simulated(SIMULATED[request.param])
        return
    async with standing(request.param) as opened:
        yield opened


@pytest.fixture(params=list(KINDS))
async def stand(request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    async with standing(request.param) as opened:
        yield opened


@pytest.fixture
async def futures() -> AsyncIterator[Stand]:
    async with standing("kucoin-futures") as opened:
        yield opened
