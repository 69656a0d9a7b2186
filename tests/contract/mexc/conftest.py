from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from ccxt.async_support.mexc import mexc
from yarl import URL

from backfuturectl.emulator.dialect import Exchange
from backfuturectl.emulator.faults import Fault, FaultKind
from backfuturectl.emulator.mexc_auth import futures_signature, spot_signature
from backfuturectl.emulator.prices import move_price
from backfuturectl.emulator.scenario import AccountSpec, KeySpec, Scenario, add_key
from backfuturectl.matching.values import PositionMode
from backfuturectl.matching.venue import Venue
from tests.contract.emulator_fixture import Running, running

KEY = "mx0vtest"
SECRET = "test-secret"
ACCOUNT = "main"
SPOT_RIGHTS = ("SPOT_ACCOUNT_READ", "SPOT_DEAL_READ", "SPOT_DEAL_WRITE")
FUTURES_RIGHTS = (
    "CONTRACT_ACCOUNT_READ",
    "CONTRACT_ACCOUNT_WRITE",
    "CONTRACT_DEAL_READ",
    "CONTRACT_DEAL_WRITE",
)
RIGHTS = SPOT_RIGHTS + FUTURES_RIGHTS


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer.

    Attributes:
        body: Parsed JSON, or text where it is none.
    """

    status: int
    body: Any
    headers: Any

    @property
    def refusal(self) -> tuple[int, int, str]:
        return self.status, self.body["code"], self.body.get("msg", self.body.get("message"))


@dataclass(frozen=True, slots=True)
class Mexc:
    """The running exchange, and a client of our own that signs what it is told to."""

    running: Running
    session: aiohttp.ClientSession

    @property
    def exchange(self) -> Exchange:
        return self.running.emulator.exchanges["mexc"]

    @property
    def venue(self) -> Venue:
        return self.exchange.venue

    @property
    def now_ms(self) -> int:
        return self.exchange.now_ms()

    def set_price(self, symbol: str, price: str) -> None:
        move_price(self.exchange, symbol, Decimal(price))

    @contextmanager
    def fault(self, kind: FaultKind, **settings: Any) -> Iterator[None]:
        """Keep a fault in force inside the block."""
        number = self.running.emulator.faults.add(Fault(kind=kind, exchange="mexc", **settings))
        try:
            yield
        finally:
            self.running.emulator.faults.remove(number)

    def give_key(self, name: str, *rights: str, **changes: Any) -> None:
        add_key(
            self.exchange,
            ACCOUNT,
            KeySpec(key=name, secret=SECRET, permissions=rights, **changes),
        )

    async def send(
        self, method: str, target: str, *, body: str = "", headers: dict[str, str] | None = None
    ) -> Answer:
        url = self.running.endpoints.hosts["mexc"] + target
        async with self.session.request(
            method,
            URL(url, encoded=True),
            data=body.encode() if body else None,
            headers={"Content-Type": "application/json"} | (headers or {}),
        ) as response:
            is_json = response.content_type == "application/json"
            content = await response.json() if is_json else await response.text()
            return Answer(response.status, content, response.headers)

    async def spot(
        self,
        method: str,
        path: str,
        query: str = "",
        *,
        key: str = KEY,
        secret: str = SECRET,
        at_ms: int | None = None,
        body: str = "",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        stamp = f"timestamp={self.now_ms if at_ms is None else at_ms}"
        text = "&".join(part for part in (query, stamp) if part)
        signature = spot_signature(secret, text + body)
        return await self.send(
            method,
            f"/api/v3/{path}?{text}&signature={signature}",
            body=body,
            headers={"X-MEXC-APIKEY": key} | (headers or {}),
        )

    async def futures(
        self,
        method: str,
        path: str,
        parameters: str = "",
        *,
        key: str = KEY,
        secret: str = SECRET,
        at_ms: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        stamp = str(self.now_ms if at_ms is None else at_ms)
        target = f"/api/v1/private/{path}"
        if method == "GET" and parameters:
            target += f"?{parameters}"
        return await self.send(
            method,
            target,
            body=parameters if method == "POST" else "",
            headers={
                "ApiKey": key,
                "Request-Time": stamp,
                "Signature": futures_signature(secret, key, stamp, parameters),
            }
            | (headers or {}),
        )

    def client(self, key: str = KEY, **settings: Any) -> mexc:
        """Return ccxt as it is, apart from where it sends its requests."""
        url = self.running.endpoints.hosts["mexc"]
        client = mexc({"apiKey": key, "secret": SECRET, "enableRateLimit": False, **settings})
        client.urls["api"]["spot"] = {"public": url, "private": url}
        client.urls["api"]["contract"] = {
            "public": f"{url}/api/v1/contract",
            "private": f"{url}/api/v1/private",
        }
        return client


@pytest.fixture
def scenario() -> Scenario:
    money = {"USDT": Decimal(10_000), "BTC": Decimal(2)}
    return Scenario(
        moves=False,
        accounts=(
            AccountSpec(
                exchange="mexc",
                name=ACCOUNT,
                spot=money,
                futures={"USDT": Decimal(10_000)},
                keys=(KeySpec(key=KEY, secret=SECRET, permissions=RIGHTS),),
            ),
        ),
    )


@pytest.fixture
async def exchange(scenario: Scenario) -> AsyncIterator[Mexc]:
    async with running(scenario) as served, aiohttp.ClientSession() as session:
        shown = Mexc(served, session)
        shown.venue.set_position_mode(ACCOUNT, PositionMode.ONE_WAY)
        yield shown


@pytest.fixture
async def connect(exchange: Mexc) -> AsyncIterator[Callable[..., mexc]]:
    clients: list[mexc] = []

    def make(key: str = KEY, **settings: Any) -> mexc:
        clients.append(exchange.client(key, **settings))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
async def client(connect: Callable[..., mexc]) -> mexc:
    client = connect()
    client.has["fetchCurrencies"] = False
    await client.load_markets()
    return client
