"""One running bot: receive, step, record, execute.

The order of things is the safety: a step's intents are durable before the first byte goes onto the
wire; what came back is a new event; what did not come back is looked up until it is known. One
task runs a bot, so nothing here is shared and nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from backfuturectl.engine.clock import Clock
from backfuturectl.engine.journal import BotName, Journal, Provenance
from backfuturectl.engine.recover import Owner, executed, owner, position_mismatch
from backfuturectl.engine.room import DealRoom
from backfuturectl.exchanges.port import AccountPort
from backfuturectl.model.errors import (
    OperationError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
)
from backfuturectl.model.ids import (
    OrderName,
    bot_code,
    client_order_id,
    parse_client_order_id,
)
from backfuturectl.model.market import ZERO, Market, MarketKind, Quote
from backfuturectl.model.orders import Fill, Leg, LegKind, Order, OrderStatus, Side
from backfuturectl.model.records import OrderRecord
from backfuturectl.model.status import Reason
from backfuturectl.strategy.base import (
    BotView,
    Cancel,
    Command,
    Commanded,
    Event,
    Gate,
    GateChanged,
    Kind,
    Note,
    OpenOrder,
    OrderChanged,
    Place,
    PriceSeen,
    SetupChanged,
)

_LOG = logging.getLogger(__name__)

IDLE_POLL_S: Final = 20.0
"""How often resting orders are looked at when no price touched them."""

URGENT_POLL_S: Final = 1.0
"""How often an order is looked at whose fate is open: touched by the price, or unknown."""

FILLS_PATIENCE_MS: Final = 10_000
"""How long a fill list may lag behind its order before the order's own figures are believed."""

MISSING_PATIENCE_MS: Final = 120_000
"""How long an acknowledged order may be invisible before a person has to look."""

MISMATCH_LOOKS: Final = 5
"""A fill between two questions looks like a mismatch: only one that stays is believed."""

ABSENT_WATCH_S: Final = 120.0
"""How long the open orders are looked through for one that was believed never to have arrived."""

PAUSE_MAX_S: Final = 15.0
"""Longest pause between two tries while the exchange or the store fails."""

_MISSING: Final = "missing/"
_FORGOTTEN: Final = (
    "order {} carries this bot's id but is not in its journal; was an older state restored?"
)

_GATES: Final = (Gate.OPEN, Gate.EXITS_ONLY, Gate.SHUT)  # from free to shut


class Bot:
    """One pair of one strategy on one account."""

    def __init__(
        self,
        name: BotName,
        *,
        installation: str,
        kind: Kind[Any],
        state: Any,
        market: Market,
        account: AccountPort,
        journal: Journal,
        room: DealRoom,
        clock: Clock,
        jitter: random.Random,
        provenance: Provenance,
        on_trouble: Callable[[OperationError], None],
    ) -> None:
        self.name = name
        self._installation = installation
        self._kind = kind
        self._state = state
        self._market = market
        self._account = account
        self._journal = journal
        self._room = room
        self._clock = clock
        self._jitter = jitter
        self._provenance = provenance
        self._on_trouble = on_trouble

        self._holds: dict[str, tuple[Gate, str]] = {"start": (Gate.SHUT, "not reconciled yet")}
        self._quote: tuple[Quote, int] | None = None
        self._inbox: deque[Event] = deque()
        self._results: deque[tuple[OrderChanged, tuple[Fill, ...]]] = deque()
        self._wake = asyncio.Event()
        self._must_reconcile = True
        self._must_cancel_adding = False
        self._is_stopping = False
        self._stop = asyncio.Event()
        self._gate_told: Gate | None = None
        self._poll_at = 0.0
        self._watch_absent_s = 0.0
        self._is_prepared = False
        self._is_memory_proven = False
        self._remembers_until_ms = journal.updated_at_ms
        self._started_ms = clock.now_ms()
        self._sent_at_ms: dict[str, int] = {}
        self._first_missing_ms: dict[str, int] = {}
        self._fills_awaited_ms: dict[str, int] = {}
        self._foreign_seen: set[str] = set()
        self.last_error: OperationError | None = None
        room.note(name.bot, has_deal=self.view().deal_number is not None)

    # What others may ask; none of these waits.

    def offer_price(self, quote: Quote, at_ms: int) -> None:
        """Take a quote; only the newest is kept when the bot is busy."""
        self._quote = (quote, at_ms)
        self._wake.set()

    def command(self, command: Command) -> None:
        """Ask for *command*; it is carried out in turn."""
        self._inbox.append(Commanded(command, self._clock.now_ms()))
        self._wake.set()

    def adopt(self, setup: Any, market: Market, provenance: Provenance) -> None:
        """Run a new generation of the strategy document from the next step on."""
        self._market = market
        self._provenance = provenance
        self._is_prepared = False
        self._inbox.append(SetupChanged(setup, self._clock.now_ms()))
        self._wake.set()

    def hold(self, who: str, gate: Gate, why: str) -> None:
        """Let *who* restrict the bot until `release`; the strictest hold counts."""
        if self._holds.get(who) != (gate, why):
            self._holds[who] = (gate, why)
            self._wake.set()

    def release(self, who: str, *, reconcile: bool = False) -> None:
        """Lift *who*'s hold; with *reconcile* the bot first compares itself with the exchange."""
        if self._holds.pop(who, None) is None:
            return
        if reconcile:
            self.reconcile_soon()
        self._wake.set()

    def reconcile_soon(self) -> None:
        """Compare journal and exchange before the next trade."""
        self._must_reconcile = True
        self._holds["start"] = (Gate.SHUT, "reconciling with the exchange")
        self._wake.set()

    def cancel_adding(self) -> None:
        """Cancel resting orders that would enlarge the position, in turn."""
        self._must_cancel_adding = True
        self._poll_at = 0.0
        self._wake.set()

    def forgive(self) -> None:
        """Drop what was held against the account, and compare it with the journal anew.

        What still contradicts the journal holds the bot again.
        """
        for who in tuple(self._holds):
            if who in {"journal", "position", "twin"} or who.startswith(_MISSING):
                self._holds.pop(who)
        self._first_missing_ms.clear()
        self._foreign_seen.clear()
        self.reconcile_soon()

    def stop(self) -> None:
        """End `run` at its next safe point: no call in flight, everything recorded."""
        self._is_stopping = True
        self._stop.set()
        self._wake.set()

    @property
    def gate(self) -> tuple[Gate, str]:
        """The strictest hold and its reason."""
        if not self._holds:
            return Gate.OPEN, ""
        return max(self._holds.values(), key=lambda hold: _GATES.index(hold[0]))

    @property
    def provenance(self) -> Provenance:
        """What the bot's next orders are traced to."""
        return self._provenance

    def view(self) -> BotView:
        """Return what people see of the bot."""
        return self._kind.view(self._state)

    # The task.

    async def run(self) -> None:
        """Trade until stopped.

        Store failures drop the step that was to be recorded and are retried: prices and order
        states come again by themselves. Every other error is for the supervisor.
        """
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._is_stopping:
            try:
                if self._must_reconcile:
                    await self._reconcile()
                await self._drain()
                if loop.time() >= self._poll_at:
                    if self._must_cancel_adding:
                        await self._cancel_adding()
                    await self._poll()
                    await self._drain()
                self.last_error = None
                failures = 0
            except TransientError as error:
                self.last_error = error
                failures += 1
                wait_s = min(URGENT_POLL_S * 2 ** min(failures - 1, 8), PAUSE_MAX_S)
                wait_s = max(wait_s * self._jitter.uniform(0.5, 1.0), error.retry_after_s or 0)
                self._poll_at = loop.time() + wait_s
                self._on_trouble(error)
                await self._pause(wait_s)
            if not (self._inbox or self._results or self._must_reconcile):
                await self._sleep_until_woken(self._poll_at - loop.time())

    async def _pause(self, wait_s: float) -> None:
        """Wait, unless the bot is told to stop."""
        try:
            async with asyncio.timeout(wait_s):
                await self._stop.wait()
        except TimeoutError:
            pass

    async def _sleep_until_woken(self, at_most_s: float) -> None:
        if self._quote is None:
            try:
                async with asyncio.timeout(max(at_most_s, 0.01)):
                    await self._wake.wait()
            except TimeoutError:
                pass
        self._wake.clear()

    async def _drain(self) -> None:
        """Handle all that waits: the gate, results of our own calls, requests, then the price."""
        while not self._is_stopping:
            if self.gate[0] is not self._gate_told:
                # Before any result: what a look-up found may forbid what its fills would begin.
                await self._tell_gate()
            elif self._results:
                change, fills = self._results.popleft()
                await self._handle(change, fills)
            elif self._inbox:
                # Kept until it is handled: a store failure must not lose a request.
                await self._handle(self._inbox[0])
                self._inbox.popleft()
            elif self._quote is not None:
                quote, at_ms = self._quote
                self._quote = None
                self._touch(quote.last)
                may_open = self._room.has_room(self.name.bot)
                await self._handle(PriceSeen(quote.last, at_ms, may_open, quote.bid, quote.ask))
            else:
                return

    async def _tell_gate(self) -> None:
        gate, why = self.gate
        await self._handle(GateChanged(gate, why, self._clock.now_ms()))
        self._gate_told = gate

    async def _drain_results(self) -> None:
        while self._results:
            change, fills = self._results.popleft()
            await self._handle(change, fills)

    async def _handle(self, event: Event, fills: tuple[Fill, ...] = ()) -> None:
        step = self._kind.step(self._state, event)
        if not step.actions and isinstance(event, PriceSeen | GateChanged):
            self._state = step.state  # a tick, confirmed again by the next one after a restart
            return
        if not (step.actions or fills) and step.state == self._state:
            return
        bot = self.name.bot
        held = self.view().deal_number is not None
        # Booked before the first await, so that no other bot of the strategy takes the same room.
        self._room.note(bot, has_deal=self._kind.view(step.state).deal_number is not None)
        try:
            await self._journal.record(
                state=self._kind.dump(step.state),
                actions=step.actions,
                change=event if isinstance(event, OrderChanged) else None,
                fills=fills,
                provenance=self._provenance,
                now_ms=self._clock.now_ms(),
            )
        except TransientError:
            self._room.note(bot, has_deal=held)
            raise
        self._state = step.state
        for action in step.actions:
            match action:
                case Place():
                    await self._place(action)
                case Cancel():
                    await self._cancel(action)
                case Note():
                    level = logging.WARNING if action.is_warning else logging.INFO
                    _LOG.log(level, "%s: %s: %s", bot, action.reason, action.message)
                case _:
                    pass  # deals are rows, written above

    # The wire.

    async def _place(self, action: Place) -> None:
        order = action.order
        try:
            if action.leg.kind is LegKind.BASE:
                await self._prepare(action)
            if self._is_forbidden(action.leg.kind):
                # The world changed while the intent was being recorded; nothing has been sent.
                self._learn_later(order.client_order_id, OrderStatus.ABSENT)
                return
            self._sent_at_ms[order.client_order_id] = self._clock.now_ms()
            placed = await self._account.place(order)
        except OutcomeUnknownError as error:
            _LOG.warning("%s: outcome of %s unknown: %s", self.name.bot, action.leg, error)
            self._learn_later(order.client_order_id, OrderStatus.UNKNOWN)
            return
        except PermanentError as error:
            if error.reason is Reason.ORDER_DUPLICATE:
                # It exists: a look-up tells how it stands.
                self._learn_later(order.client_order_id, OrderStatus.UNKNOWN)
                return
            _LOG.warning("%s: %s refused: %s", self.name.bot, action.leg, error)
            self._on_trouble(error)
            self._learn_later(order.client_order_id, OrderStatus.REJECTED, error)
            return
        except TransientError as error:
            _LOG.warning("%s: %s not sent: %s", self.name.bot, action.leg, error)
            self._learn_later(order.client_order_id, OrderStatus.ABSENT, error)
            return
        self._journal.acknowledge(order.client_order_id, placed.order_id)
        # Amounts come with the look-up, together with the fills that explain them.
        self._learn_later(order.client_order_id, OrderStatus.OPEN)
        self._soon()

    def _is_forbidden(self, leg: LegKind) -> bool:
        gate, _ = self.gate
        return gate is Gate.SHUT or (gate is Gate.EXITS_ONLY and leg.is_adding)

    async def _prepare(self, action: Place) -> None:
        order = action.order
        if self._is_prepared or self._market.kind is MarketKind.SPOT:
            return
        await self._account.prepare(
            order.pair, leverage=order.leverage, margin_mode=order.margin_mode or "isolated"
        )
        self._is_prepared = True

    async def _cancel(self, action: Cancel) -> None:
        row = self._journal.order(action.client_order_id)
        order_id = row.order_id if row is not None else None
        self._soon()
        try:
            await self._account.cancel(self.name.pair, action.client_order_id, order_id)
        except OperationError as error:
            # The look-up that follows says what became of it; the step asks again if it rests.
            self._on_trouble(error)
            _LOG.warning("%s: cancel of %s: %s", self.name.bot, action.client_order_id, error)

    async def _cancel_adding(self) -> None:
        """Cancel adding orders; asked again with every poll until none rests any more."""
        adding = [o for o in self._kind.open_orders(self._state) if o.leg.kind.is_adding]
        self._must_cancel_adding = bool(adding)
        for order in adding:
            await self._cancel(Cancel(order.client_order_id, "asked for by the operator"))

    def _learn_later(
        self, client_order_id: str, status: OrderStatus, error: OperationError | None = None
    ) -> None:
        change = OrderChanged(
            client_order_id=client_order_id,
            status=status,
            filled_base=ZERO,
            cost_quote=ZERO,
            fees=(),
            at_ms=self._clock.now_ms(),
            raw_code=error.raw_code if error is not None else None,
        )
        self._results.append((change, ()))
        if status is OrderStatus.UNKNOWN:
            self._soon()
        elif status is OrderStatus.ABSENT:
            self._watch_absent_s = asyncio.get_running_loop().time() + ABSENT_WATCH_S

    def _soon(self) -> None:
        self._poll_at = min(self._poll_at, asyncio.get_running_loop().time())

    # What became of our orders.

    def _touch(self, price: Decimal) -> None:
        """Look at the orders soon when *price* reached one that rests."""
        for order in self._kind.open_orders(self._state):
            is_reached = price <= order.price if order.side is Side.BUY else price >= order.price
            if is_reached:
                now = asyncio.get_running_loop().time()
                self._poll_at = min(self._poll_at, now + URGENT_POLL_S / 4)
                return

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        mine = self._kind.open_orders(self._state)
        self._poll_at = loop.time() + IDLE_POLL_S * self._jitter.uniform(0.8, 1.2)
        if self._must_cancel_adding:
            self._urgent()
        if "position" in self._holds:
            self.reconcile_soon()  # it may have been a view that lagged behind
            return
        if not mine and loop.time() > self._watch_absent_s:
            return
        await self._look_at(mine, await self._account.open_orders(self.name.pair))

    async def _look_at(self, mine: Sequence[OpenOrder], listed: tuple[Order, ...]) -> None:
        by_id = {order.client_order_id: order for order in listed}
        ours = {order.client_order_id for order in mine}
        for order, absent in await self._judge_listed(listed, ours):
            await self._expel(order, absent)
        for known in mine:
            seen = by_id.get(known.client_order_id)
            if seen is None:
                row = self._journal.order(known.client_order_id)
                order_id = row.order_id if row is not None else None
                seen = await self._account.order(self.name.pair, known.client_order_id, order_id)
            if seen is None:
                self._judge_missing(known)
            else:
                await self._learn(known, seen)

    async def _expel(self, order: Order, row: OrderRecord) -> None:
        """Cancel an order of ours that was believed never to have arrived, and book what it did.

        The deal has gone on without it, so it must not be taken into the deal again.
        """
        _LOG.warning("%s: %s appeared after all; canceling it", self.name.bot, row.leg)
        await self._cancel(Cancel(order.client_order_id, "it was believed absent"))
        seen = await self._account.order(self.name.pair, order.client_order_id, order.order_id)
        self._urgent()
        if seen is not None and seen.status.is_final:
            known = OpenOrder(
                client_order_id=row.client_order_id,
                leg=row.leg,
                side=row.side,
                price=row.price,
                amount_base=row.amount_base,
                status=row.status,
                filled_base=row.filled_base,
            )
            await self._learn(known, seen)

    async def _learn(self, known: OpenOrder, seen: Order) -> None:
        self._first_missing_ms.pop(known.client_order_id, None)
        self.release(_MISSING + known.client_order_id)
        self._sent_at_ms.pop(known.client_order_id, None)
        self._journal.acknowledge(known.client_order_id, seen.order_id)
        filled, cost, fees = seen.filled_base, seen.cost_quote, seen.fees
        fills: tuple[Fill, ...] = ()
        if filled > known.filled_base or (filled and seen.status.is_final):
            fills = await self._fills_of(known, seen.order_id)
            told = executed(fills, client_order_id=known.client_order_id, order_id=seen.order_id)
            if told.amount_base >= filled:
                filled, cost, fees = told.amount_base, told.cost_quote, told.fees
                self._fills_awaited_ms.pop(known.client_order_id, None)
            elif self._is_patient(known.client_order_id):
                self._urgent()
                return
            else:
                self._fills_awaited_ms.pop(known.client_order_id, None)
        if seen.status is known.status and filled == known.filled_base:
            return
        change = OrderChanged(
            client_order_id=known.client_order_id,
            status=seen.status,
            filled_base=filled,
            cost_quote=cost,
            fees=fees,
            at_ms=self._clock.now_ms(),
        )
        self._results.append((change, fills))

    async def _fills_of(self, known: OpenOrder, order_id: str) -> tuple[Fill, ...]:
        row = self._journal.order(known.client_order_id)
        since_ms = (row.intended_at_ms if row is not None else self._clock.now_ms()) - 60_000
        return tuple(
            replace(fill, client_order_id=known.client_order_id)
            for fill in await self._account.fills(self.name.pair, since_ms)
            if fill.order_id == order_id or fill.client_order_id == known.client_order_id
        )

    def _is_patient(self, client_order_id: str) -> bool:
        now_ms = self._clock.now_ms()
        return now_ms - self._fills_awaited_ms.setdefault(client_order_id, now_ms) < (
            FILLS_PATIENCE_MS
        )

    def _judge_missing(self, known: OpenOrder) -> None:
        """Decide what it means that the exchange does not know an order of ours."""
        row = self._journal.order(known.client_order_id)
        now_ms = self._clock.now_ms()
        if row is None or row.order_id is None:
            # An intent of an earlier process may have been sent at any time before that one died.
            sent_at_ms = self._sent_at_ms.get(known.client_order_id, self._started_ms)
            if now_ms - sent_at_ms > self._account.horizon_ms:
                self._learn_later(known.client_order_id, OrderStatus.ABSENT)
            else:
                self._urgent()
            return
        first_ms = self._first_missing_ms.setdefault(known.client_order_id, now_ms)
        if now_ms - first_ms > MISSING_PATIENCE_MS:
            # Exits wait for it, since it may fill; it is looked for at the pace of resting orders.
            self.hold(
                _MISSING + known.client_order_id,
                Gate.EXITS_ONLY,
                f"the exchange no longer knows {known.leg} ({known.client_order_id}), which it "
                "had acknowledged",
            )
            return
        self._urgent()

    def _urgent(self) -> None:
        now = asyncio.get_running_loop().time()
        self._poll_at = min(self._poll_at, now + URGENT_POLL_S)

    # Start, and after every outage.

    async def _reconcile(self) -> None:
        """Compare journal and exchange; the gate stays shut until they agree."""
        # The state may remember an open gate from before a crash; nothing may pass it now.
        await self._tell_gate()
        await self._settle()
        mismatch = await self._forgotten() or await self._lasting_mismatch()
        if self._is_stopping:
            return
        self._must_reconcile = False
        if mismatch is None:
            self.release("position")
        elif "position" not in self._holds:
            self.hold("position", Gate.SHUT, mismatch)
            self._journal.note(
                Note(str(Reason.POSITION_MISMATCH), mismatch, is_warning=True),
                self._clock.now_ms(),
            )
        self.release("start")

    async def _settle(self) -> None:
        """Look at our orders until none is left whose fate is open."""
        while not self._is_stopping:
            listed = await self._account.open_orders(self.name.pair)
            await self._look_at(self._kind.open_orders(self._state), listed)
            await self._drain_results()
            unsettled = [
                order
                for order in self._kind.open_orders(self._state)
                if order.status in {OrderStatus.INTENDED, OrderStatus.UNKNOWN}
            ]
            if not unsettled and not self._fills_awaited_ms:
                return
            await self._pause(URGENT_POLL_S)

    async def _forgotten(self) -> str | None:
        """Return what this bot did that its journal does not know, once after the start.

        A store that was put back from an older copy would give ids to new orders that old ones
        have already. What still rests is found among the open orders; here follow what was filled
        since, and the deal after the last one.
        """
        if self._is_memory_proven or self._is_stopping:
            return None
        newest = self._journal.newest_deal
        code = bot_code(self.name.bot)
        next_base = client_order_id(
            OrderName(self._installation, code, newest + 1, Leg(LegKind.BASE), 0)
        )
        if await self._account.order(self.name.pair, next_base) is not None:
            return _FORGOTTEN.format(next_base)
        if newest:
            for fill in await self._account.fills(self.name.pair, self._remembers_until_ms):
                name = parse_client_order_id(fill.client_order_id or "")
                if (
                    name is not None
                    and (name.installation, name.bot) == (self._installation, code)
                    and name.deal >= newest
                    and self._journal.order(fill.client_order_id or "") is None
                ):
                    return _FORGOTTEN.format(fill.client_order_id)
        self._is_memory_proven = True
        return None

    async def _lasting_mismatch(self) -> str | None:
        mismatch = await self._mismatch()
        looks = 0 if "position" in self._holds else MISMATCH_LOOKS - 1
        for _ in range(looks):
            if mismatch is None or self._is_stopping:
                return None
            await self._pause(URGENT_POLL_S)
            await self._settle()
            mismatch = await self._mismatch()
        return mismatch

    async def _mismatch(self) -> str | None:
        expected = self.view().position_base
        if self._market.kind is MarketKind.FUTURES:
            position = await self._account.position(self.name.pair)
            return position_mismatch(
                expected, market=self._market, position=position, balances=None
            )
        if expected == ZERO:
            return None
        balances = await self._account.balances()
        return position_mismatch(expected, market=self._market, position=None, balances=balances)

    async def _judge_listed(
        self, listed: tuple[Order, ...], journal: Collection[str]
    ) -> list[tuple[Order, OrderRecord]]:
        """Decide what open orders mean that the state does not know as open.

        Returns:
            Orders of ours that were believed never to have arrived, with their rows.
        """
        intruders = []
        for order in listed:
            whose = owner(
                order, journal=journal, installation=self._installation, bot=self.name.bot
            )
            row = None
            if whose is Owner.LOST:
                row = await self._journal.recall(order.client_order_id)
            if row is not None:
                if row.status is OrderStatus.ABSENT:
                    intruders.append((order, row))
                continue  # otherwise the list is older than what is known
            if whose is Owner.MINE or order.order_id in self._foreign_seen:
                continue
            self._foreign_seen.add(order.order_id)
            if whose is Owner.LOST:
                self.hold(
                    "journal",
                    Gate.SHUT,
                    _FORGOTTEN.format(order.client_order_id),
                )
            elif whose is Owner.TWIN:
                self.hold(
                    "twin",
                    Gate.EXITS_ONLY,
                    f"another backfuturectl trades this account (order {order.client_order_id})",
                )
            self._journal.note(
                Note(
                    f"{whose.value.capitalize()}Order",
                    f"{order.side} {order.amount_base:f} at {order.price:f} is not this bot's; "
                    "it is left alone",
                    is_warning=True,
                ),
                self._clock.now_ms(),
            )
        return intruders
