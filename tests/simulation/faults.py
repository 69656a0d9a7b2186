"""What an exchange and a store do wrong, decided by a seed and by the weather of the moment.

Within the ports' promises: an order may show up late, but never later than the account's horizon;
a look-up may be old, a list may be short, an answer may never come.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal

from backfuturectl.exchanges.port import KeyRights
from backfuturectl.exchanges.simulated import PortCall, SimulatedAccount, SimulatedPublic
from backfuturectl.matching.venue import Venue
from backfuturectl.model.errors import (
    OperationError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
)
from backfuturectl.model.market import ZERO, MarketKind
from backfuturectl.model.orders import Fill, NewOrder, Order, OrderStatus
from backfuturectl.model.status import Reason
from backfuturectl.store.database import Store, Write

HORIZON_MS = 8_000
HIDDEN_MAX_S = 7.0
"""Under the horizon by more than the longest way of a request."""

SLOW_S = 0.5
"""A way that takes longer is a delay."""

LOST_FILL_S = (11.0, 25.0)
"""Longer than a bot waits for the fills of an order, and less than a closed deal may lack any."""

GOOD_RIGHTS = KeyRights(
    tokens=("read", "trade"),
    can_read=True,
    can_trade_spot=True,
    can_trade_futures=True,
    can_withdraw=False,
    is_ip_restricted=True,
    ip_list=("203.0.113.7",),
)
WITHDRAW_RIGHTS = replace(GOOD_RIGHTS, tokens=("read", "trade", "withdraw"), can_withdraw=True)
READ_RIGHTS = replace(GOOD_RIGHTS, tokens=("read",), can_trade_spot=False, can_trade_futures=False)


@dataclass
class Key:
    """A connection's key at the exchange; None for one that was revoked."""

    rights: KeyRights | None = GOOD_RIGHTS


@dataclass
class Weather:
    """How bad it is right now; all off is a perfect world.

    Attributes:
        met: The faults that have hit somebody; see `visits`.
        level: Share of calls that fail.
        has_prices: Whether prices are answered.
        store_level: Share of commits that fail.
        hides: Whether new orders show up late, and lists and look-ups are old.
        fills_lag_s: How young a fill no list has; steadily, unlike what `hides` does.
        loses_fills: Whether some fills are not listed for longer than anybody waits for them.
        lag_s: Longest way of a request or an answer.
        skew_ms: How far the exchange's clock is ahead.
        spread: Distance of bid and ask from the last price, as a ratio; 0 for one tick.
    """

    rng: random.Random
    met: set[str] = field(default_factory=set, repr=False)
    level: float = 0.0
    store_level: float = 0.0
    has_prices: bool = True
    hides: bool = False
    fills_lag_s: float = 0.0
    loses_fills: bool = False
    lag_s: float = 0.15
    skew_ms: int = 0
    spread: Decimal = ZERO

    def happens(self, share: float, fault: str = "") -> bool:
        """Draw whether something with that *share* happens, and note the *fault* if it does."""
        does = share > 0 and self.rng.random() < share
        if does and fault:
            self.met.add(fault)
        return does

    def calm_down(self) -> None:
        """Let nothing go wrong from now on."""
        self.level = self.store_level = self.fills_lag_s = 0.0
        self.has_prices, self.hides, self.loses_fills = True, False, False
        self.lag_s, self.skew_ms, self.spread = 0.05, 0, ZERO


@dataclass
class Life:
    """One process from start to death.

    Attributes:
        crash_at: The side effect at which it dies; None for never.
        on_death: Told once.
    """

    name: str
    on_death: Callable[[], None]
    crash_at: int | None = None
    effects: int = 0
    is_dead: bool = False

    def die(self) -> None:
        if not self.is_dead:
            self.is_dead = True
            self.on_death()

    async def effect(self) -> None:
        """Count a moment right before or after a side effect; never return when dead."""
        if not self.is_dead:
            self.effects += 1
            if self.effects == self.crash_at:
                self.die()
        await self.alive()

    async def alive(self) -> None:
        """Never return when dead: nothing of a dead process happens any more."""
        if self.is_dead:
            await asyncio.Event().wait()


_ORDER_CALLS = frozenset({PortCall.PLACE, PortCall.CANCEL, PortCall.PREPARE})


@dataclass
class Disturbed:
    """The way to the exchange and back, for one life and one key.

    Attributes:
        on_call: Called when a call leaves the daemon.
    """

    life: Life
    weather: Weather
    key: Key | None = None
    on_call: Callable[[PortCall], None] = lambda _: None

    async def before(self, call: PortCall) -> None:
        await self.life.alive()
        self.on_call(call)
        if call in _ORDER_CALLS:
            await self.life.effect()
        await self._travel()
        if self.key is not None:
            self._admit(call, self.key)
        if call is PortCall.PRICES and not self.weather.has_prices:
            self.weather.met.add("no prices")
            raise TransientError(Reason.EXCHANGE_UNAVAILABLE, "no prices")
        if self.weather.happens(self.weather.level):
            raise self._refusal(call)

    async def after(self, call: PortCall) -> None:
        if call in _ORDER_CALLS:
            await self.life.effect()
        await self._travel()
        if self.weather.happens(self.weather.level):
            raise self._loss(call)

    async def _travel(self) -> None:
        await self.life.alive()
        way_s = self.weather.rng.uniform(0.005, self.weather.lag_s)
        if way_s > SLOW_S:
            self.weather.met.add("delay")
        await asyncio.sleep(way_s)
        await self.life.alive()

    def _admit(self, call: PortCall, key: Key) -> None:
        met = self.weather.met
        if key.rights is None:
            met.add("key revoked")
            raise PermanentError(Reason.INVALID_KEY, "no such key", raw_code="400003")
        if call is PortCall.PLACE and key.rights.can_trade_spot is False:
            met.add("order without the right")
            raise PermanentError(Reason.NO_TRADING_PERMISSION, "read only", raw_code="400007")
        if call is PortCall.RIGHTS and key.rights is not GOOD_RIGHTS:
            met.add("rights changed")

    def _refusal(self, call: PortCall) -> OperationError:
        """The exchange has not seen the call."""
        rng, met = self.weather.rng, self.weather.met
        if call is PortCall.PLACE and rng.random() < 0.5:
            met.add("order lost on its way")
            return OutcomeUnknownError(Reason.EXCHANGE_UNAVAILABLE, "the request was lost")
        if call is PortCall.PLACE and rng.random() < 0.2:
            met.add("order refused")
            return PermanentError(Reason.ORDER_REJECTED, "not now", raw_code="300000")
        if rng.random() < 0.3:
            met.add("rate limit")
            wait_s = rng.choice((None, 1.0, 5.0, 20.0))
            return TransientError(Reason.RATE_LIMITED, "too many requests", retry_after_s=wait_s)
        if rng.random() < 0.1:
            met.add("maintenance")
            return TransientError(Reason.MAINTENANCE, "under maintenance", retry_after_s=10.0)
        met.add("time-out before the effect")
        return TransientError(Reason.EXCHANGE_UNAVAILABLE, "gateway time-out before the effect")

    def _loss(self, call: PortCall) -> OperationError:
        """The exchange has carried the call out, and the answer is lost, cut off or garbage."""
        if call is PortCall.PLACE:
            self.weather.met.add("order placed, answer lost")
            return OutcomeUnknownError(Reason.EXCHANGE_UNAVAILABLE, "the answer was lost")
        if call in _ORDER_CALLS:
            self.weather.met.add("time-out after the effect")
        else:
            self.weather.met.add("answer lost")
        return TransientError(Reason.EXCHANGE_UNAVAILABLE, "the answer was lost")


@dataclass
class Sight:
    """What the exchange shows late, shared by every life.

    Attributes:
        hidden_until_s: Loop time before which an order is not shown, by client id.
        is_lying: Whether a list is to say that an order was refused that has rested for a while.
        unlisted_until_ms: Time before which a fill is on no list, by its id.
        lost: Orders of which a fill was not listed when it was asked for.
    """

    is_lying: bool = False
    hidden_until_s: dict[str, float] = field(default_factory=dict)
    unlisted_until_ms: dict[str, int] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    listed: dict[str, tuple[float, tuple[Order, ...]]] = field(default_factory=dict)
    seen: dict[str, tuple[float, Order]] = field(default_factory=dict)

    def hides(self, client_order_id: str, now_s: float) -> bool:
        until_s = self.hidden_until_s.get(client_order_id)
        return until_s is not None and now_s < until_s


class UnreliablePublic(SimulatedPublic):
    """Markets and prices of an exchange whose clock may be wrong."""

    weather: Weather

    async def server_time_ms(self) -> int:
        if self.weather.skew_ms:
            self.weather.met.add("wrong clock")
        return await super().server_time_ms() + self.weather.skew_ms


class UnreliableAccount(SimulatedAccount):
    """An account whose requests arrive late or never, and whose answers are old.

    Args:
        on_send: Called when an order leaves the daemon.
        spawn: Starts what goes on without the daemon: a request that is under way.
    """

    horizon_ms = HORIZON_MS

    def __init__(
        self,
        venue: Venue,
        name: str,
        kind: MarketKind,
        *,
        now_ms: Callable[[], int],
        key: Key,
        way: Disturbed,
        sight: Sight,
        on_send: Callable[[NewOrder], None],
        spawn: Callable[[Coroutine[object, object, None]], object],
    ) -> None:
        def rights() -> KeyRights:  # a revoked key never gets here
            return replace(key.rights or READ_RIGHTS, account_id=name)

        super().__init__(venue, name, kind, now_ms=now_ms, rights=rights, disturbance=way)
        self._calm = SimulatedAccount(venue, name, kind, now_ms=now_ms)
        self._way = way
        self._sight = sight
        self._on_send = on_send
        self._spawn = spawn

    async def place(self, order: NewOrder) -> Order:
        """Place *order*, perhaps after the caller was told that nobody knows."""
        await self._way.life.alive()
        self._on_send(order)
        weather = self._way.weather
        now_s = asyncio.get_running_loop().time()
        if weather.hides and weather.happens(0.3, "order shown late"):
            until_s = now_s + weather.rng.uniform(0, HIDDEN_MAX_S)
            self._sight.hidden_until_s[order.client_order_id] = until_s
        life = self._way.life
        if life.effects + 1 == life.crash_at and weather.happens(0.5):
            # The daemon dies while its request is under way.
            self._spawn(self._arrive(order, weather.rng.uniform(0, HIDDEN_MAX_S - 1)))
            life.die()
        if weather.happens(weather.level * 0.5, "order under way"):
            await self._way.before(PortCall.PLACE)
            self._spawn(self._arrive(order, weather.rng.uniform(0, HIDDEN_MAX_S - 1)))
            raise OutcomeUnknownError(Reason.EXCHANGE_UNAVAILABLE, "the request is still under way")
        return await super().place(order)

    async def _arrive(self, order: NewOrder, after_s: float) -> None:
        await asyncio.sleep(after_s)
        with suppress(PermanentError):  # refused, and nobody listens any more
            await self._calm.place(order)

    async def order(
        self, pair: str, client_order_id: str, order_id: str | None = None
    ) -> Order | None:
        found = await super().order(pair, client_order_id, order_id)
        now_s = asyncio.get_running_loop().time()
        if found is None or self._sight.hides(client_order_id, now_s):
            return None
        weather = self._way.weather
        before = self._sight.seen.get(client_order_id)
        is_old = before is not None and weather.hides and now_s - before[0] < 20
        if before is not None and is_old and weather.happens(0.3, "old look-up"):
            return before[1]
        self._sight.seen[client_order_id] = (now_s, found)
        return found

    async def open_orders(self, pair: str) -> tuple[Order, ...]:
        now_s = asyncio.get_running_loop().time()
        found = tuple(
            order
            for order in await super().open_orders(pair)
            if not self._sight.hides(order.client_order_id, now_s)
        )
        weather = self._way.weather
        old_ms = self._now_ms() - 60_000
        if self._sight.is_lying and any(_is_ours(order, old_ms) for order in found):
            self._sight.is_lying = False
            return tuple(
                replace(order, status=OrderStatus.REJECTED) if _is_ours(order, old_ms) else order
                for order in found
            )
        where = f"{self._kind} {pair}"
        before = self._sight.listed.get(where)
        is_old = before is not None and weather.hides and now_s - before[0] < 20
        if before is not None and is_old and weather.happens(0.3, "old list"):
            return before[1]
        self._sight.listed[where] = (now_s, found)
        if weather.hides and weather.happens(0.1, "repeated orders"):
            found += found[::-1]
        return tuple(
            order for order in found if not (weather.hides and weather.happens(0.1, "short list"))
        )

    async def fills(self, pair: str, since_ms: int) -> tuple[Fill, ...]:
        found = await super().fills(pair, since_ms)
        weather, now_ms = self._way.weather, self._now_ms()
        shown = [fill for fill in found if self._unlisted_until_ms(fill) <= now_ms]
        if not weather.hides:
            return tuple(shown)
        late_ms = now_ms - int(weather.rng.choice((0, 0, 2, 5)) * 1000)
        shown = [fill for fill in shown if fill.at_ms <= late_ms]
        if weather.happens(0.3):
            weather.met.add("repeated fills")
            shown += shown[-3:]
        if weather.happens(0.2):
            weather.met.add("shuffled fills")
            weather.rng.shuffle(shown)
        return tuple(shown)

    def _unlisted_until_ms(self, fill: Fill) -> int:
        """Return from when on *fill* is listed, decided when it is asked for first."""
        known = self._sight.unlisted_until_ms.get(fill.fill_id)
        if known is None:
            weather = self._way.weather
            lag_s = weather.fills_lag_s
            if weather.loses_fills and weather.happens(0.3, "lost fills"):
                lag_s = weather.rng.uniform(*LOST_FILL_S)
                self._sight.lost.add(fill.client_order_id or "")
            elif lag_s:
                weather.met.add("late fills")
            known = self._sight.unlisted_until_ms[fill.fill_id] = fill.at_ms + int(lag_s * 1000)
        return known


def _is_ours(order: Order, before_ms: int) -> bool:
    return order.client_order_id.startswith("bf") and order.created_at_ms < before_ms


class UnreliableStore(Store):
    """A store on a disk that fails now and then, and that dies with its process."""

    life: Life
    weather: Weather

    async def commit(self, writes: Sequence[Write]) -> None:
        await self.life.effect()
        if self.weather.happens(self.weather.store_level, "store failure"):
            raise TransientError(Reason.STORE_UNAVAILABLE, "disk full")
        await super().commit(writes)
        await asyncio.sleep(0.001)
        await self.life.effect()

    def post(self, writes: Sequence[Write]) -> None:
        if not self.life.is_dead:
            super().post(writes)
