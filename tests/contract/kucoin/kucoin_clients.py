"""Clients of KuCoin, changed in nothing but their base URLs, and keys for them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp
import ccxt.async_support
from yarl import URL

from backfuturectl.emulator.scenario import AccountSpec, KeySpec, Scenario
from backfuturectl.matching.venue import Venue
from tests.contract.emulator_fixture import Running, running

SECRET = "kucoin-secret"
PASSPHRASE = "kucoin-pass"
ACCOUNT = "main"


def key_spec(name: str, *permissions: str, **more: Any) -> KeySpec:
    spec = {"key": name, "secret": SECRET, "passphrase": PASSPHRASE, "permissions": permissions}
    return KeySpec(**(spec | more))


TRADER = "6705f5c311545b000157d3eb"
KEYS = (
    key_spec(TRADER, "General", "Spot", "Futures", note="bot", created_at_ms=1_728_443_843_000),
    key_spec("reader0000000000000000ab", "General"),
    key_spec("spotonly00000000000000ab", "General", "Spot"),
    key_spec("withdrawer000000000000ab", "General", "Spot", "Transfer", "InnerTransfer"),
    key_spec("elsewhere0000000000000ab", "General", "Spot", ips=("203.0.113.154", "103.8.9.34")),
    key_spec("expired000000000000000ab", "General", "Spot", expires_at_ms=1_728_443_843_000),
)
SCENARIO = Scenario(
    moves=False,
    accounts=(
        AccountSpec(
            exchange="kucoin",
            name=ACCOUNT,
            funding={"USDT": Decimal(25)},
            spot={"USDT": Decimal(100_000), "BTC": Decimal(2)},
            futures={"USDT": Decimal(50_000)},
            keys=KEYS,
        ),
        AccountSpec(
            exchange="kucoin",
            name=f"{ACCOUNT}/robot1",
            keys=(key_spec("subaccount000000000000ab", "General"),),
        ),
    ),
)


@dataclass(frozen=True)
class Stand:
    """KuCoin alone out of a running emulator."""

    running: Running

    @property
    def venue(self) -> Venue:
        return self.running.venue("kucoin")

    @property
    def spot_url(self) -> str:
        return self.running.endpoints.hosts["kucoin-spot"]

    @property
    def futures_url(self) -> str:
        return self.running.endpoints.hosts["kucoin-futures"]


@asynccontextmanager
async def kucoin(scenario: Scenario = SCENARIO) -> AsyncIterator[Stand]:
    async with running(scenario) as emulator:
        yield Stand(emulator)


@asynccontextmanager
async def ccxt_client(stand: Stand, key: str = TRADER) -> AsyncIterator[Any]:
    """ccxt as it comes, without its waits between requests and on closing."""
    client = ccxt.async_support.kucoin(
        {
            "apiKey": key,
            "secret": SECRET,
            "password": PASSPHRASE,
            "enableRateLimit": False,
            "enableLastJsonResponse": True,
            "timeout_on_exit": 0,
        }
    )
    futures_apis = {"futuresPublic", "futuresPrivate"}
    client.urls["api"] = {
        name: stand.futures_url if name in futures_apis else stand.spot_url
        for name in client.urls["api"]
    }
    try:
        yield client
    finally:
        await client.close()


def signature(secret: str, message: str) -> str:
    digest = hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def signed_headers(
    method: str,
    target: str,
    *,
    body: str = "",
    key: str = TRADER,
    secret: str = SECRET,
    passphrase: str = PASSPHRASE,
    at_ms: int | None = None,
    version: str = "3",
) -> dict[str, str]:
    timestamp = str(int(time.time() * 1000) if at_ms is None else at_ms)
    return {
        "KC-API-KEY": key,
        "KC-API-SIGN": signature(secret, f"{timestamp}{method}{target}{body}"),
        "KC-API-TIMESTAMP": timestamp,
        "KC-API-PASSPHRASE": signature(secret, passphrase),
        "KC-API-KEY-VERSION": version,
        "Content-Type": "application/json",
    }


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any]
    headers: Any

    @property
    def code(self) -> str:
        return str(self.body["code"])


async def send(
    url: str, method: str, target: str, headers: dict[str, str] | None = None, body: str = ""
) -> Answer:
    """Send one request exactly as written."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method, URL(url + target, encoded=True), data=body or None, headers=headers
        ) as response,
    ):
        return Answer(response.status, json.loads(await response.read()), response.headers)


async def signed(url: str, method: str, target: str, payload: Any = None, **signing: Any) -> Answer:
    """Sign and send one request."""
    body = "" if payload is None else json.dumps(payload)
    headers = signed_headers(method, target, body=body, **signing)
    return await send(url, method, target, headers, body)
