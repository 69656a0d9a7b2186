"""A client of the control API and of the MEXC stand-in, with nothing but an HTTP session."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from backfuturectl.emulator.scenario import Scenario, default_accounts
from backfuturectl.matching.venue import Venue
from tests.contract.emulator_fixture import STILL, Running, running

MEXC_KEY = default_accounts()[0].keys[0]


@dataclass(frozen=True)
class Outside:
    """What a test holds: a session, the endpoints and, to look behind them, the state."""

    session: aiohttp.ClientSession
    running: Running

    def venue(self, brand: str = "mexc") -> Venue:
        return self.running.venue(brand)

    async def control(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Call the control API and expect success."""
        status, answer = await self.try_control(method, path, body)
        assert status == 200, answer
        return answer

    async def try_control(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        url = self.running.endpoints.control + path
        async with self.session.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def fault(self, kind: str, **more: Any) -> int:
        return (await self.control("POST", "/faults", {"kind": kind, **more}))["number"]

    async def get(self, path: str, host: str = "mexc") -> tuple[int, Any]:
        url = self.running.endpoints.hosts[host] + path
        async with self.session.get(url) as response:
            return response.status, await _content(response)

    async def signed(self, method: str, path: str, query: str = "") -> tuple[int, Any]:
        """Call MEXC with the built-in key."""
        now_ms = self.running.emulator.exchanges["mexc"].clock.now_ms()
        query = f"{query}&timestamp={now_ms}&recvWindow=5000".lstrip("&")
        signature = hmac.new(MEXC_KEY.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self.running.endpoints.hosts['mexc']}{path}?{query}&signature={signature}"
        headers = {"X-MEXC-APIKEY": MEXC_KEY.key, "Content-Type": "application/json"}
        async with self.session.request(method, url, headers=headers) as response:
            return response.status, await _content(response)

    async def buy(self, client_id: str, price: str = "60000") -> tuple[int, Any]:
        """Place a limit order on MEXC."""
        return await self.signed(
            "POST",
            "/api/v3/order",
            f"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.01&price={price}"
            f"&newClientOrderId={client_id}",
        )


async def _content(response: aiohttp.ClientResponse) -> Any:
    """Return JSON parsed and anything else as text."""
    return await (response.json() if response.content_type.endswith("json") else response.text())


@asynccontextmanager
async def outside(scenario: Scenario = STILL) -> AsyncIterator[Outside]:
    """Run the emulator and a session that gives up on an answer after a quarter of a second."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=0.25)
    async with running(scenario) as emulator, aiohttp.ClientSession(timeout=timeout) as session:
        yield Outside(session, emulator)
