"""Permissions, pools and weights of the stand-ins against what the official SDK documents."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import pytest

from backfuturectl.emulator.dialect import Exchange, Route
from backfuturectl.emulator.kucoin_futures import kucoin_futures
from backfuturectl.emulator.kucoin_spot import kucoin_spot
from backfuturectl.emulator.scenario import add_key
from backfuturectl.engine.clock import WallClock
from backfuturectl.matching.venue import Venue
from tests.contract.kucoin.kucoin_clients import ACCOUNT, key_spec, kucoin, send, signed
from tests.contract.kucoin.kucoin_sdk import API_MODULES

HOSTS = {"spot": kucoin_spot, "futures": kucoin_futures}
TOKENS = {
    "GENERAL": "General",
    "SPOT": "Spot",
    "FUTURES": "Futures",
    "WITHDRAWAL": "Transfer",
    "FLEXTRANSFERS": "InnerTransfer",
}
# A deeper book costs more than the SDK's one figure for both depths (docs-new); the SDK gives no
# weight for recentFills.
WEIGHT_EXCEPTIONS = {
    "/api/v1/market/orderbook/level2_100",
    "/api/v1/level2/depth100",
    "/api/v1/recentFills",
}


@dataclass(frozen=True)
class Documented:
    """One endpoint's row in the SDK: permission token (None for a public one), pool, weight."""

    channel: str
    permission: str | None
    pool: str
    weight: str


def documented(modules: list[ModuleType]) -> dict[tuple[str, str, str], Documented]:
    """Return the SDK's docstring tables by host, method and path."""
    found = {}
    for module in modules:
        source = inspect.getsource(module)
        tables = {
            name: dict(re.findall(r"\| API-([A-Z-]+)\s*\| (\w+)", text))
            for name, text in re.findall(r'def (\w+)\(.*?\).*?:\s+"""(.*?)"""', source, re.DOTALL)
        }
        for name, arguments in re.findall(
            r"def (\w+)\((?:(?!def ).)*?transport\.call\((.*?)\)\n", source, re.DOTALL
        ):
            host, method, path = re.findall(r'"([^"]+)"', arguments)[:3]
            table = tables[name]
            found[host, method.upper(), _plain(path)] = Documented(
                table["CHANNEL"],
                TOKENS.get(table["PERMISSION"]),
                table["RATE-LIMIT-POOL"].lower(),
                table["RATE-LIMIT-WEIGHT"],
            )
    return found


def _plain(path: str) -> str:
    """Return *path* without the names of its variables."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def _compared(host: str) -> Iterator[tuple[Route, Documented]]:
    known = documented(API_MODULES)
    exchange = Exchange("kucoin", Venue("kucoin"), WallClock())
    for route in HOSTS[host](exchange).routes:
        path = re.sub(r"(level2_|depth)\d+$", r"\1{}", _plain(route.path))
        if (row := known.get((host, route.method, path))) is not None:
            yield route, row


@pytest.mark.parametrize("host", HOSTS)
def test_pools_and_weights_are_the_documented_ones(host: str) -> None:
    rows = list(_compared(host))
    assert len(rows) >= 35
    for route, row in rows:
        if route.path not in WEIGHT_EXCEPTIONS:
            assert (route.pool, str(route.weight)) == (row.pool, row.weight), route.path


@pytest.mark.parametrize("host", HOSTS)
async def test_permissions_are_the_documented_ones(host: str) -> None:
    async with kucoin() as stand:
        url = stand.spot_url if host == "spot" else stand.futures_url
        exchange = stand.running.emulator.exchanges["kucoin"]
        for token in TOKENS.values():
            others = (other for other in TOKENS.values() if other != token)
            add_key(exchange, ACCOUNT, key_spec(f"no-{token}", *others))
        for route, row in _compared(host):
            path = _plain(route.path).replace("{}", "BTC-USDT" if host == "spot" else "XBTUSDTM")
            payload = {} if route.method == "POST" else None
            if row.channel == "PUBLIC" or row.permission is None:
                assert (await send(url, route.method, path)).status == 200, path
                continue
            lacking = await signed(url, route.method, path, payload, key=f"no-{row.permission}")
            assert lacking.code == "400007", path
            other = next(token for token in TOKENS.values() if token != row.permission)
            holding = await signed(url, route.method, path, payload, key=f"no-{other}")
            assert holding.status != 401, path


def test_every_pool_of_a_route_exists() -> None:
    exchange = Exchange("kucoin", Venue("kucoin"), WallClock())
    for build in HOSTS.values():
        dialect = build(exchange)
        assert {route.pool for route in dialect.routes} <= set(dialect.pools)
