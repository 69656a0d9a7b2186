"""The control API: everything a test or a person does to the stand-in exchanges from outside.

JSON over HTTP on loopback. Amounts and prices are text, so that no digit is lost. A wrong request
is answered with status 400 or 404 and ``{"error": ...}``.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from decimal import Decimal, DecimalException
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backfuturectl.emulator.dialect import Exchange
from backfuturectl.emulator.faults import Fault, chaos
from backfuturectl.emulator.prices import (
    PricePath,
    Walk,
    candle_path,
    random_walk,
    read_candles,
)
from backfuturectl.emulator.scenario import (
    Emulator,
    KeySpec,
    NewAccount,
    Number,
    add_account,
    add_key,
)
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import Wallet
from backfuturectl.model.candles import Interval
from backfuturectl.model.errors import ConfigurationError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_SECRETS: Final = frozenset({"secret", "passphrase"})


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PriceBody(_Body):
    """Sets a price by hand; *bid* and *ask* follow from the last price when left out."""

    symbol: str
    last: Number
    bid: Number | None = None
    ask: Number | None = None


class PathBody(_Body):
    """Starts a price path: a list of prices, a candle file or, with neither, a random walk.

    Attributes:
        start: Of the random walk; None for the present price.
        tick_s: Time between prices at normal speed; candles bring their own.
    """

    symbol: str
    prices: tuple[Number, ...] | None = None
    candles: str | None = None
    walk: Walk = Walk.LOW_FIRST
    seed: int = 0
    start: Number | None = None
    volatility: Number = Decimal("0.0005")
    tick_s: Annotated[float, Field(gt=0)] = 1.0


class PastBody(_Body):
    """Tells at what a market's candles have closed until now, oldest first."""

    symbol: str
    interval: Interval
    closes: Annotated[tuple[Number, ...], Field(min_length=1)]


class SymbolBody(_Body):
    """Names a market."""

    symbol: str


class MarketBody(_Body):
    """Changes a market's rules; fields left out stay as they are."""

    symbol: str
    price_tick: Number | None = None
    amount_step: Number | None = None
    amount_min: Number | None = None
    cost_min: Number | None = None
    is_active: bool | None = None


class DepositBody(_Body):
    """Puts money into a wallet; a negative amount takes it out."""

    account: str
    wallet: Wallet
    currency: str
    amount: Number


class NewKeyBody(KeySpec):
    """Gives an account a key."""

    account: str


class KeyChangeBody(_Body):
    """Changes a key; fields left out stay as they are."""

    permissions: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    expires_at_ms: int | None = None
    is_enabled: bool = True


class StateBody(_Body):
    """Changes how the exchange as a whole behaves; fields left out stay as they are."""

    is_in_maintenance: bool | None = None
    is_cancel_only: bool | None = None
    enforces_limits: bool | None = None
    clock_skew_ms: int | None = None


class CallerBody(_Body):
    """Declares the address callers seem to have; *key* "" is everyone without one of their own.

    Attributes:
        ip: None goes back to the socket's address.
    """

    key: str = ""
    ip: str | None


class FundingBody(_Body):
    """Makes a funding payment."""

    symbol: str
    rate: Number


class ChaosBody(_Body):
    """Puts a bit of every fault in force."""

    probability: Annotated[Decimal, Field(ge=0, le=1)]


_AnyBody = TypeVar("_AnyBody", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Control:
    """The handlers, on the state they change."""

    emulator: Emulator

    def routes(self) -> list[web.RouteDef]:
        """Return the table of the control API."""
        brand = "/exchanges/{brand}"
        return [
            web.get("/", self.show),
            web.get("/requests", self.show_requests),
            web.delete("/requests", self.forget_requests),
            web.get("/faults", self.show_faults),
            web.post("/faults", self.add_fault),
            web.delete("/faults", self.clear_faults),
            web.delete("/faults/{number:[0-9]+}", self.remove_fault),
            web.post("/chaos", self.add_chaos),
            web.patch(brand, self.change_exchange),
            web.put(f"{brand}/caller", self.declare_caller),
            web.patch(f"{brand}/markets", self.change_market),
            web.get(f"{brand}/prices", self.show_prices),
            web.put(f"{brand}/prices", self.set_price),
            web.put(f"{brand}/past", self.tell_past),
            web.post(f"{brand}/paths", self.start_path),
            web.delete(f"{brand}/paths", self.stop_path),
            web.post(f"{brand}/funding", self.pay_funding),
            web.get(f"{brand}/accounts", self.show_accounts),
            web.post(f"{brand}/accounts", self.add_account),
            web.post(f"{brand}/deposits", self.deposit),
            web.get(f"{brand}/keys", self.show_keys),
            web.post(f"{brand}/keys", self.add_key),
            web.patch(f"{brand}/keys/{{key}}", self.change_key),
            web.get(f"{brand}/ledger", self.show_ledger),
        ]

    async def show(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's signature
        """Answer with the exchanges and their state; also the health check."""
        return _json(
            {
                "exchanges": {
                    brand: {
                        "nowMs": exchange.now_ms(),
                        "clockSkewMs": exchange.clock_skew_ms,
                        "isInMaintenance": exchange.is_in_maintenance,
                        "isCancelOnly": exchange.is_cancel_only,
                        "enforcesLimits": exchange.enforces_limits,
                        "markets": len(exchange.venue.listings),
                        "accounts": len(exchange.venue.accounts),
                        "callerIps": exchange.caller_ips,
                    }
                    for brand, exchange in self.emulator.exchanges.items()
                },
                "paths": [list(name) for name in self.emulator.feed.moving],
                "speed": self.emulator.feed.speed,
                "requests": self.emulator.requests.total,
            }
        )

    # Requests and faults

    async def show_requests(self, request: web.Request) -> web.Response:
        """Answer with counts, and with the newest records when ``?limit=`` asks for them."""
        requests = self.emulator.requests
        names = ("host", "method", "route", "key", "status", "count")
        return _json(
            {
                "total": requests.total,
                "counts": [dict(zip(names, row, strict=True)) for row in requests.counts()],
                "records": [
                    _plain(record) for record in requests.newest(_number(request, "limit", 0))
                ],
            }
        )

    async def forget_requests(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's signature
        """Count from zero."""
        self.emulator.requests.clear()
        return _json({})

    async def show_faults(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's signature
        """Answer with the faults in force and how often each was met."""
        return _json(
            {
                "faults": [
                    {
                        "number": state.number,
                        "matched": state.matched,
                        "hits": state.hits,
                        "fault": state.fault.model_dump(mode="json"),
                    }
                    for state in self.emulator.faults.states()
                ]
            }
        )

    async def add_fault(self, request: web.Request) -> web.Response:
        """Put a fault in force."""
        return _json({"number": self.emulator.faults.add(await _body(request, Fault))})

    async def add_chaos(self, request: web.Request) -> web.Response:
        """Put a bit of everything in force."""
        body = await _body(request, ChaosBody)
        numbers = [self.emulator.faults.add(fault) for fault in chaos(body.probability)]
        return _json({"numbers": numbers})

    async def clear_faults(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's signature
        """Lift all faults."""
        self.emulator.faults.clear()
        return _json({})

    async def remove_fault(self, request: web.Request) -> web.Response:
        """Lift one fault."""
        if not self.emulator.faults.remove(int(request.match_info["number"])):
            raise web.HTTPNotFound(reason="no such fault")
        return _json({})

    # One exchange

    async def change_exchange(self, request: web.Request) -> web.Response:
        """Change maintenance, cancel-only, limits, clock."""
        exchange = self._exchange(request)
        body = await _body(request, StateBody)
        for name, value in body.model_dump(exclude_none=True).items():
            setattr(exchange, name, value)
        return _json({})

    async def declare_caller(self, request: web.Request) -> web.Response:
        """Declare a caller's address."""
        exchange = self._exchange(request)
        body = await _body(request, CallerBody)
        if body.ip is None:
            exchange.caller_ips.pop(body.key, None)
        else:
            exchange.caller_ips[body.key] = body.ip
        return _json({})

    async def change_market(self, request: web.Request) -> web.Response:
        """Let a market go by other rules, or close it, and answer with its rules."""
        venue = self._exchange(request).venue
        body = await _body(request, MarketBody)
        listing = venue.listing(body.symbol)
        changes = body.model_dump(exclude_none=True, exclude={"symbol"})
        venue.add_listing(replace(listing, market=replace(listing.market, **changes)))
        return _json(_plain(venue.listing(body.symbol).market))

    async def show_prices(self, request: web.Request) -> web.Response:
        """Answer with the quotes by symbol; null before a market's first price."""
        venue = self._exchange(request).venue
        return _json({symbol: _plain(venue.quote(symbol)) for symbol in venue.listings})

    async def set_price(self, request: web.Request) -> web.Response:
        """Set a price and answer with the fills it made; a path that moved it is stopped."""
        exchange = self._exchange(request)
        body = await _body(request, PriceBody)
        exchange.venue.listing(body.symbol)
        self.emulator.feed.stop(exchange.brand, body.symbol)
        fills = exchange.venue.set_price(
            body.symbol, body.last, exchange.now_ms(), bid=body.bid, ask=body.ask
        )
        return _json({"fills": [_plain(fill) for fill in fills]})

    async def tell_past(self, request: web.Request) -> web.Response:
        """Give a market a past."""
        exchange = self._exchange(request)
        body = await _body(request, PastBody)
        exchange.venue.tell_past(
            body.symbol, body.closes, step_ms=body.interval.ms, until_ms=exchange.now_ms()
        )
        return _json({})

    async def start_path(self, request: web.Request) -> web.Response:
        """Let a price follow a path."""
        exchange = self._exchange(request)
        body = await _body(request, PathBody)
        self.emulator.feed.start(exchange, body.symbol, _path(exchange, body))
        return _json({})

    async def stop_path(self, request: web.Request) -> web.Response:
        """Leave a price, or with an empty body every price, where it is."""
        exchange = self._exchange(request)
        if await request.read():
            symbols = [(await _body(request, SymbolBody)).symbol]
        else:
            symbols = [name for brand, name in self.emulator.feed.moving if brand == exchange.brand]
        for symbol in symbols:
            self.emulator.feed.stop(exchange.brand, symbol)
        return _json({"stopped": symbols})

    async def pay_funding(self, request: web.Request) -> web.Response:
        """Make a funding payment."""
        exchange = self._exchange(request)
        body = await _body(request, FundingBody)
        exchange.venue.apply_funding(body.symbol, body.rate, exchange.now_ms())
        return _json({})

    async def show_accounts(self, request: web.Request) -> web.Response:
        """Answer with the balances of every account."""
        venue = self._exchange(request).venue
        return _json(
            {
                account: {
                    wallet.value: {
                        currency: _plain(balance)
                        for currency, balance in venue.balances(account, wallet).items()
                    }
                    for wallet in Wallet
                }
                for account in venue.accounts
            }
        )

    async def add_account(self, request: web.Request) -> web.Response:
        """Open an account."""
        exchange = self._exchange(request)
        add_account(exchange, await _body(request, NewAccount))
        return _json({})

    async def deposit(self, request: web.Request) -> web.Response:
        """Put money in."""
        exchange = self._exchange(request)
        body = await _body(request, DepositBody)
        exchange.venue.deposit(
            body.account, body.wallet, body.currency, body.amount, exchange.now_ms()
        )
        return _json({})

    async def show_keys(self, request: web.Request) -> web.Response:
        """Answer with all keys, without their secrets."""
        return _json({key.key: _plain(key) for key in self._exchange(request).venue.keys})

    async def add_key(self, request: web.Request) -> web.Response:
        """Give an account a key."""
        exchange = self._exchange(request)
        body = await _body(request, NewKeyBody)
        add_key(exchange, body.account, body)
        return _json({})

    async def change_key(self, request: web.Request) -> web.Response:
        """Change a key's rights, addresses, expiry, or revoke it."""
        venue = self._exchange(request).venue
        key = venue.key(request.match_info["key"])
        if key is None:
            raise web.HTTPNotFound(reason="no such key")
        body = await _body(request, KeyChangeBody)
        venue.put_key(replace(key, **{name: getattr(body, name) for name in body.model_fields_set}))
        return _json({})

    async def show_ledger(self, request: web.Request) -> web.Response:
        """Answer with all that ever was of each account, its positions and its balances."""
        venue = self._exchange(request).venue
        wanted = request.query.get("account")
        return _json(
            {
                account: {
                    "orders": [_plain(order) for order in venue.orders(account)],
                    "fills": [_plain(fill) for fill in venue.fills(account)],
                    "changes": [_plain(one) for one in venue.changes if one.account == account],
                    "fundings": [_plain(one) for one in venue.fundings(account)],
                    "entries": [_plain(entry) for entry in venue.entries(account)],
                    "positions": [_plain(position) for position in venue.positions(account)],
                    "balances": {
                        wallet.value: {
                            currency: _plain(balance)
                            for currency, balance in venue.balances(account, wallet).items()
                        }
                        for wallet in Wallet
                    },
                }
                for account in venue.accounts
                if wanted in {None, account}
            }
        )

    def _exchange(self, request: web.Request) -> Exchange:
        try:
            return self.emulator.exchanges[request.match_info["brand"]]
        except KeyError:
            raise web.HTTPNotFound(reason="no such exchange") from None


def control_app(emulator: Emulator) -> web.Application:
    """Return the control API on *emulator*."""
    app = web.Application(middlewares=[_guard])
    app.add_routes(_Control(emulator).routes())
    return app


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse web pages that reach for loopback, and say in JSON what was wrong."""
    name = request.host.rpartition(":")[0] if request.host[-1:].isdigit() else request.host
    if name not in _LOCAL_NAMES or "Origin" in request.headers:
        return _json({"error": "this is for callers on this machine"}, status=403)
    try:
        return await handler(request)
    except VenueError as error:
        status = 404 if error.kind in _NOT_FOUND else 400
        return _json({"error": str(error), "kind": error.kind.value}, status=status)
    except (ValidationError, ConfigurationError, ValueError, DecimalException) as error:
        return _json({"error": _explain(error)}, status=400)
    except web.HTTPException as error:
        return _json({"error": error.reason}, status=error.status)


_NOT_FOUND: Final = frozenset({Refusal.SYMBOL_UNKNOWN, Refusal.ACCOUNT_UNKNOWN})


def _explain(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        )
    return str(error)


async def _body(request: web.Request, model: type[_AnyBody]) -> _AnyBody:
    return model.model_validate(json.loads(await request.read(), parse_float=Decimal))


def _number(request: web.Request, name: str, default: int) -> int:
    number = int(request.query.get(name, default))
    if number < 0:
        raise ValueError(f"{name}: expected zero or more")
    return number


def _path(exchange: Exchange, body: PathBody) -> PricePath:
    if body.prices is not None:
        return PricePath(iter(body.prices), body.tick_s)
    if body.candles is not None:
        return candle_path(read_candles(Path(body.candles)), body.walk)
    quote = exchange.venue.quote(body.symbol)
    start = body.start if body.start is not None or quote is None else quote.last
    if start is None:
        raise ValueError(f"start: {body.symbol} has no price to start from")
    return PricePath(
        random_walk(seed=body.seed, symbol=body.symbol, start=start, volatility=body.volatility),
        body.tick_s,
    )


def _json(content: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.json_response(content, status=status)


def _plain(value: Any) -> Any:
    """Return *value* as JSON values: records as objects, decimals as text, no secrets."""
    match value:
        case Decimal():
            return f"{value:f}"
        case enum.Enum():
            return value.value
        case tuple() | list():
            return [_plain(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {
                part.name: _plain(getattr(value, part.name))
                for part in fields(value)
                if part.name not in _SECRETS
            }
        case _:
            return value
