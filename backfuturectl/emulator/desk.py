"""Answers one host's requests: allowance, faults, the dialect's handler, the request ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from decimal import DecimalException
from typing import Final

from aiohttp import web

from backfuturectl.emulator.dialect import (
    Allowance,
    Call,
    Dialect,
    Exchange,
    Pool,
    Reply,
    ReplyError,
    Route,
)
from backfuturectl.emulator.faults import Fault, FaultKind
from backfuturectl.emulator.scenario import Emulator
from backfuturectl.matching.refusals import VenueError
from backfuturectl.matching.values import Change

_VOLATILE: Final = frozenset({"timestamp", "signature", "recvWindow"})
"""Query parameters that differ between two askings of the same thing."""


class _DroppedError(Exception):
    """The connection is to be cut without an answer."""


@dataclass(slots=True)
class _Window:
    start_s: float
    used: int = 0


@dataclass(slots=True)
class _Visit:
    """One request under way.

    Attributes:
        began_s: When it had arrived, by the loop's clock.
        status: As sent; 0 until then.
        effects: What the handler changed in the venue.
        is_late: Carried out, and recorded, after its connection has ended.
    """

    dialect: Dialect
    route: Route
    call: Call
    key: str
    faults: dict[FaultKind, Fault]
    began_s: float
    status: int = 0
    effects: list[Change] = field(default_factory=list)
    is_late: bool = False


class Desk:
    """Turns the routes of one host's dialects into aiohttp handlers."""

    def __init__(self, emulator: Emulator, exchange: Exchange) -> None:
        self._emulator = emulator
        self._exchange = exchange
        self._windows: dict[tuple[str, str], _Window] = {}
        self._earlier: dict[tuple[object, ...], Reply] = {}

    def answer(
        self, dialect: Dialect, route: Route
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return the aiohttp handler of *route*."""

        async def handle(request: web.Request) -> web.StreamResponse:
            visit = await self._receive(dialect, route, request)
            try:
                reply = await self._reply(visit)
                return await _send(request, visit, reply)
            except _DroppedError:
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            finally:
                # Also when the client hung up during a held time-out, which cancels this task.
                if not visit.is_late:
                    self._record(visit)

        return handle

    async def _receive(self, dialect: Dialect, route: Route, request: web.Request) -> _Visit:
        call = Call(
            exchange=self._exchange,
            host=dialect.host,
            method=request.method,
            path=request.path,
            target=request.raw_path,
            path_params=request.match_info,
            query=request.query,
            headers=request.headers,
            body=await request.read(),
            caller_ip=request.remote or "",
            at_ms=self._exchange.now_ms(),
        )
        began_s = asyncio.get_running_loop().time()
        key = dialect.key_of(call)
        call.caller_ip = self._exchange.caller_ip(key, call.caller_ip)
        if route.pool:
            pool = dialect.pools[route.pool]
            caller = key if pool.is_per_key else call.caller_ip
            call.allowance = self._use(pool, f"{dialect.host}/{route.pool}", caller, route.weight)
        faults = self._emulator.faults.choose(
            brand=self._exchange.brand,
            host=dialect.host,
            method=call.method,
            path=call.path,
            key=key,
        )
        return _Visit(dialect, route, call, key, {fault.kind: fault for fault in faults}, began_s)

    def _use(self, pool: Pool, name: str, caller: str, weight: int) -> Allowance:
        """Count one request in a fixed window; what remains is negative when it was too much."""
        now_s = asyncio.get_running_loop().time()
        window = self._windows.setdefault((name, caller), _Window(now_s))
        if now_s - window.start_s >= pool.window_s:
            window.start_s, window.used = now_s, 0
        window.used += weight
        reset_ms = round((window.start_s + pool.window_s - now_s) * 1000)
        return Allowance(pool.limit, pool.limit - window.used, reset_ms)

    async def _reply(self, visit: _Visit) -> Reply:
        """Return the answer, after everything that the faults do before and after the effect."""
        faults = visit.faults
        if not faults:
            return self._early_reply(visit) or self._run(visit)
        if FaultKind.DELAY in faults:
            await asyncio.sleep(faults[FaultKind.DELAY].delay_s)
            visit.call.at_ms = self._exchange.now_ms()
        await _hold_or_drop(faults, FaultKind.TIMEOUT_BEFORE, FaultKind.DROP_BEFORE)
        self._bend(visit)
        if FaultKind.LATE in faults:
            visit.is_late = True
            loop = asyncio.get_running_loop()
            loop.call_later(faults[FaultKind.LATE].delay_s, self._run_late, visit)
            raise _DroppedError
        reply = self._early_reply(visit)
        if reply is None:
            reply = self._run(visit)
            if FaultKind.REPEAT in faults:
                reply = self._run(visit)
            await _hold_or_drop(faults, FaultKind.TIMEOUT_AFTER, FaultKind.DROP_AFTER)
            if FaultKind.ERROR_AFTER in faults:
                status = faults[FaultKind.ERROR_AFTER].status
                reply = visit.dialect.server_error(visit.call, status)
        return reply

    def _bend(self, visit: _Visit) -> None:
        """Let the faults that change what the handler sees take effect."""
        faults, call = visit.faults, visit.call
        if FaultKind.WRONG_CLOCK in faults:
            call.at_ms += faults[FaultKind.WRONG_CLOCK].shift_ms
        if FaultKind.HIDE_ORDERS in faults:
            call.hidden_orders_ms = faults[FaultKind.HIDE_ORDERS].hidden_ms
        if FaultKind.HIDE_FILLS in faults:
            call.hidden_fills_ms = faults[FaultKind.HIDE_FILLS].hidden_ms
        if FaultKind.REVOKE_KEY in faults:
            key = call.venue.key(visit.key)
            if key is not None:
                call.venue.put_key(replace(key, is_enabled=False))

    def _early_reply(self, visit: _Visit) -> Reply | None:
        """Return the answer of a gateway that does not let the request through; None if it does."""
        dialect, call, faults = visit.dialect, visit.call, visit.faults
        if self._exchange.is_in_maintenance or FaultKind.MAINTENANCE in faults:
            return dialect.maintenance(call)
        if FaultKind.ERROR_BEFORE in faults:
            return dialect.server_error(call, faults[FaultKind.ERROR_BEFORE].status)
        if FaultKind.RATE_LIMIT in faults:
            return dialect.rate_limited(call, faults[FaultKind.RATE_LIMIT].retry_after_s)
        allowance = call.allowance
        if self._exchange.enforces_limits and allowance is not None and allowance.remaining < 0:
            return dialect.rate_limited(call, allowance.reset_ms / 1000)
        return None

    def _run(self, visit: _Visit) -> Reply:
        history = visit.call.venue.changes
        before = len(history)
        reply = _handled(visit)
        visit.effects.extend(history[before:])
        if visit.call.method == "GET" and self._emulator.faults.has(FaultKind.STALE):
            reply = self._perhaps_stale(visit, reply)
        return reply

    def _run_late(self, visit: _Visit) -> None:
        """Carry out a request that nobody waits for; its signature is as old as its arrival."""
        self._run(visit)
        self._record(visit)

    def _perhaps_stale(self, visit: _Visit, reply: Reply) -> Reply:
        """Keep *reply* for later, and return the one before it if the fault says so."""
        call = visit.call
        asked = frozenset(item for item in call.query.items() if item[0] not in _VOLATILE)
        question = (call.host, visit.key, call.path, asked)
        earlier = self._earlier.get(question)
        self._earlier[question] = reply
        return earlier if FaultKind.STALE in visit.faults and earlier is not None else reply

    def _record(self, visit: _Visit) -> None:
        call = visit.call
        self._emulator.requests.add(
            at_ms=call.at_ms,
            host=call.host,
            method=call.method,
            route=visit.route.path,
            target=call.target,
            key=visit.key,
            caller_ip=call.caller_ip,
            took_us=round((asyncio.get_running_loop().time() - visit.began_s) * 1_000_000),
            status=visit.status,
            faults=tuple(visit.faults),
            effects=tuple(visit.effects),
        )


def _handled(visit: _Visit) -> Reply:
    """Return what the route's handler says, its errors in the exchange's own words."""
    try:
        return visit.route.handler(visit.call)
    except ReplyError as error:
        return error.reply
    except VenueError as error:
        return visit.dialect.refused(visit.call, error)
    except DecimalException:
        return visit.dialect.malformed(visit.call, ValueError("not a decimal number"))
    except ValueError as error:
        return visit.dialect.malformed(visit.call, error)


async def _hold_or_drop(faults: dict[FaultKind, Fault], hold: FaultKind, drop: FaultKind) -> None:
    if hold in faults:
        await asyncio.sleep(faults[hold].delay_s)
        raise _DroppedError
    if drop in faults:
        raise _DroppedError


async def _send(request: web.Request, visit: _Visit, reply: Reply) -> web.StreamResponse:
    body = reply.encoded()
    if FaultKind.MALFORM in visit.faults:
        body = body[: len(body) // 2] + b"\x00<"
    visit.status = reply.status
    if FaultKind.TRUNCATE not in visit.faults:
        return web.Response(
            body=body,
            status=reply.status,
            headers=reply.headers,
            content_type=reply.content_type,
        )
    announced = {"Content-Type": reply.content_type, "Content-Length": str(len(body))}
    response = web.StreamResponse(status=reply.status, headers={**reply.headers, **announced})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
