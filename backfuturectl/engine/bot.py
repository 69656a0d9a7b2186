"""One running bot: receive, step, record, execute.

The order of things is the safety: a step's intents are durable before the first byte goes onto the
wire; what came back is a new event; what did not come back is looked up until it is known. One
task runs a bot, so nothing here is shared and nothing needs a lock.

Its parts, each with the state that is its own: `stepper` (the strategy's state), `wire` (calls that
change something), `lookups` (calls that ask), `strangers` (orders that are not its own), `home`
(whose account it is), `agreement` (start and outages), `liquidation` and `funding` (what only
futures have), `holds` (the gate), `pace` (when to look next).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from backfuturectl.engine.agreement import Agreement
from backfuturectl.engine.clock import Clock
from backfuturectl.engine.context import Context, GaveWayError
from backfuturectl.engine.entries import BotName, Provenance
from backfuturectl.engine.funding import FundingWatch
from backfuturectl.engine.holds import Holds
from backfuturectl.engine.home import Home
from backfuturectl.engine.journal import Journal
from backfuturectl.engine.liquidation import PositionWatch
from backfuturectl.engine.lookups import Lookups
from backfuturectl.engine.pace import Pace
from backfuturectl.engine.prices import STALE_AFTER_MS
from backfuturectl.engine.room import DealRoom
from backfuturectl.engine.stepper import Stepper
from backfuturectl.engine.strangers import Strangers
from backfuturectl.engine.wire import Wire
from backfuturectl.exchanges.port import AccountPort
from backfuturectl.model.errors import OperationError, TransientError
from backfuturectl.model.market import Market, Quote
from backfuturectl.model.status import Reason
from backfuturectl.strategy.base import (
    BotView,
    Cancel,
    Command,
    Commanded,
    Event,
    Gate,
    GateChanged,
    IndicatorSeen,
    Kind,
    Note,
    PriceSeen,
    SetupChanged,
)
from backfuturectl.strategy.outlook import Outlook

_START: Final = "start"
"""Who shuts a bot until journal and exchange were compared."""

_FIRST_PRICE: Final = "first price"


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
        key_since_ms: int = 0,
    ) -> None:
        self.name = name
        self._context = context = Context(
            name=name,
            installation=installation,
            market=market,
            account=account,
            journal=journal,
            clock=clock,
            holds=Holds(),
            pace=Pace(jitter),
            on_trouble=on_trouble,
        )
        self._wire = Wire(context)
        self._stepper = Stepper(
            context, self._wire, kind=kind, state=state, room=room, provenance=provenance
        )
        self._home = Home(context, self._stepper, key_since_ms=key_since_ms)
        self._strangers = Strangers(context)
        self._lookups = Lookups(
            context, wire=self._wire, stepper=self._stepper, strangers=self._strangers
        )
        self._positions = PositionWatch(context, self._stepper)
        self._funding = FundingWatch(context, self._stepper)
        self._agreement = Agreement(
            context, stepper=self._stepper, lookups=self._lookups, positions=self._positions
        )

        self._quote: tuple[Quote, int] | None = None
        self._reading: IndicatorSeen | None = None
        self._inbox: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._is_parked = False
        self._must_reconcile = True
        self._has_compared = False
        self._must_cancel_adding = False
        self._gate_told: Gate | None = None
        self.last_error: OperationError | None = None
        context.holds.put(_START, Gate.SHUT, "not reconciled yet")
        # What the journal knows of the price may be hours old.
        context.holds.put(_FIRST_PRICE, Gate.EXITS_ONLY, "no price looked at yet")

    # What others may ask; none of these waits.

    def offer_price(self, quote: Quote, at_ms: int) -> bool:
        """Take a quote; only the newest is kept when the bot is busy.

        Nearly every price decides nothing: while the task waits, such a one is only remembered.

        Returns:
            Whether the task has to look at it.
        """
        # While the task is parked, the state is nobody's.
        if self._is_parked and self._stepper.remembers(quote.last, at_ms):
            return False
        self._quote = (quote, at_ms)
        self._rouse()
        if self._context.is_asking and self._is_pressing(self._seen(quote, at_ms)):
            self._context.give_way()
        return True

    def _is_pressing(self, event: PriceSeen) -> bool:
        """Whether *event* asks for an exit, which never waits for the answer to a question."""
        try:
            return self._stepper.leaves_on(event)
        except Exception:  # noqa: BLE001 - met again by the task, whose supervisor judges it
            return False

    def _seen(self, quote: Quote, at_ms: int) -> PriceSeen:
        return PriceSeen(quote.last, at_ms, self._stepper.may_open(), quote.bid, quote.ask)

    def offer_reading(self, reading: IndicatorSeen) -> None:
        """Take an indicator's reading; only the newest is kept when the bot is busy."""
        self._reading = reading
        self._rouse()

    def command(self, command: Command, field: str = "") -> None:
        """Ask for *command*, which *field* of the document causes, or else an operator."""
        if command is Command.ABANDON:
            self._home.is_given_up = True
        self._receive(Commanded(command, self._context.clock.now_ms(), field))

    def adopt(self, setup: Any, market: Market, provenance: Provenance) -> None:
        """Run a new generation of the strategy document from the next step on."""
        self._context.market = market
        self._stepper.provenance = provenance
        self._wire.verify_again()
        self._receive(SetupChanged(setup, self._context.clock.now_ms()))

    def _receive(self, event: Event) -> None:
        self._inbox.append(event)
        self._context.give_way()
        self._rouse()

    @property
    def account(self) -> AccountPort:
        """What it trades through."""
        return self._context.account

    @property
    def account_id(self) -> str:
        """Of `account`, as the exchange tells it; empty where it tells none, and on paper."""
        return self._context.journal.account_id

    def identify(self, account_id: str) -> None:
        """Take what the exchange tells of the account; what it does not tell changes nothing."""
        journal = self._context.journal
        if account_id and account_id != journal.account_id:
            journal.account_id = account_id
            self.reconcile_soon()

    @property
    def away(self) -> str:
        """Why the open deal is not on this account, or not known to be; empty while it is."""
        return self._home.trouble

    def trace_to(self, commit: str) -> None:
        """Trace the next orders to *commit*, which has the very document that runs."""
        self._stepper.provenance = replace(self._stepper.provenance, commit=commit)

    def note(self, note: Note) -> None:
        """Tell people something about the bot and its deal that no step decides."""
        self._context.journal.note(note, self._context.clock.now_ms())

    def hold(self, who: str, gate: Gate, why: str) -> None:
        """Let *who* restrict the bot until `release`; the strictest hold counts."""
        if self._context.holds.put(who, gate, why):
            self._rouse()

    def release(self, who: str, *, reconcile: bool = False) -> None:
        """Lift *who*'s hold; with *reconcile* the bot first compares itself with the exchange."""
        if not self._context.holds.lift(who):
            return
        if reconcile:
            self.reconcile_soon()
        self._rouse()

    def reconcile_soon(self) -> None:
        """Compare journal and exchange before the next trade."""
        self._must_reconcile = True
        self._context.holds.put(_START, Gate.SHUT, "reconciling with the exchange")
        self._rouse()

    def cancel_adding(self) -> None:
        """Cancel resting orders that would enlarge the position, in turn."""
        self._must_cancel_adding = True
        self._context.pace.at_once()
        self._rouse()

    def forgive(self) -> None:
        """Drop what was held against the account, and compare it with the journal anew.

        What still contradicts the journal holds the bot again.
        """
        self._home.forgive()
        self._strangers.forgive()
        self._lookups.forgive()
        self._agreement.forgive()
        self.reconcile_soon()

    def stop(self) -> None:
        """End `run` at its next safe point: no call in flight, everything recorded."""
        self._context.stopping.set()
        self._rouse()

    def _rouse(self) -> None:
        self._is_parked = False
        self._wake.set()

    @property
    def gate(self) -> tuple[Gate, str]:
        """The strictest hold and its reason."""
        return self._context.holds.gate

    @property
    def is_contradicted(self) -> bool:
        """Whether account and journal contradict one another, so that a person has to look."""
        return self._context.holds.shuts_beside(_START)

    @property
    def has_compared(self) -> bool:
        """Whether journal and exchange were compared since it was built."""
        return self._has_compared

    @property
    def has_lost_orders(self) -> bool:
        """Whether its account has orders of this bot that its journal does not know."""
        return self._strangers.has_lost_orders or self._agreement.has_lost_orders

    @property
    def liquidation_price(self) -> Decimal | None:
        """As the exchange showed it last; None while flat and where it shows none."""
        return self._positions.liquidation_price

    @property
    def margin_mode(self) -> str | None:
        """As the exchange showed it last for an open position; None while flat and on spot."""
        return self._positions.margin_mode

    @property
    def provenance(self) -> Provenance:
        """What the bot's next orders are traced to."""
        return self._stepper.provenance

    def view(self) -> BotView:
        """Return what people see of the bot."""
        return self._stepper.view()

    def outlook(self) -> Outlook | None:
        """Return what the open deal waits for; None without one."""
        return self._stepper.outlook()

    # The task.

    async def run(self) -> None:
        """Trade until stopped.

        Store failures drop the step that was to be recorded and are retried: prices and order
        states come again by themselves. While the exchange does not answer, prices and requests
        are still obeyed: exits wait for no answer. Every other error is for the supervisor.
        """
        context, failures = self._context, 0
        while not context.is_stopping:
            try:
                if self._must_reconcile and context.pace.may_ask:
                    await self._reconcile()
                await self._drain()
                if context.pace.left_s <= 0:
                    await self._poll()
                    await self._drain()
                    await self._watch()
                    await self._drain()
                    self.last_error = None
                    failures = 0
            except GaveWayError:
                context.pace.urgent()  # what was dropped is asked again
                continue
            except TransientError as error:
                self.last_error = error
                # What was learned before the call that failed shows that the exchange answers.
                failures = 1 if context.results else failures + 1
                context.on_trouble(error)
                wait_s = context.pace.after_failure(failures, error.retry_after_s)
                if error.reason is Reason.STORE_UNAVAILABLE:
                    with context.journal.told_when_writable(context.hurry):
                        await context.pause(wait_s)
                    context.pace.forgive()
            is_due = self._must_reconcile and context.pace.may_ask
            if not (self._inbox or context.results or is_due):
                await self._sleep_until_woken(context.pace.left_s)
        await self._hear_out()

    async def _hear_out(self) -> None:
        """Take what was asked for before the bot was told to stop: nobody would ask again."""
        try:
            while self._inbox:
                await self._stepper.take(self._inbox[0])
                self._inbox.popleft()
        except TransientError as error:
            self.last_error = error

    async def _sleep_until_woken(self, at_most_s: float) -> None:
        if self._quote is None:
            self._stepper.rest()
            self._is_parked = True
            try:
                async with asyncio.timeout(max(at_most_s, 0.01)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            finally:
                self._is_parked = False
        self._wake.clear()

    async def _reconcile(self) -> None:
        """Compare journal and exchange; the gate stays shut until they agree."""
        # The state may remember an open gate from before a crash; nothing may pass it now.
        await self._tell_gate()
        if not self._must_cancel_adding:
            # It looks at every order: the next look is due at leisure, unless it leaves a question.
            self._context.pace.idle()
        if not await self._home.judge():
            self._must_reconcile = False
            self._context.holds.lift(_START)  # another hold keeps the bot shut by now
        elif await self._agreement.reach():
            if self._funding.is_owed:
                await self._funding.ask()
            self._must_reconcile = False
            self._has_compared = True
            self._context.holds.lift(_START)
            self._stepper.book(is_sure=self.gate[0] is not Gate.SHUT)

    async def _drain(self) -> None:
        """Handle all that waits: the gate, results of our own calls, requests, then the price."""
        context, stepper = self._context, self._stepper
        while not context.is_stopping:
            if self.gate[0] is not self._gate_told:
                # Before any result: what a look-up found may forbid what its fills would begin.
                await self._tell_gate()
            elif context.results:
                change, fills = context.results.popleft()
                await stepper.take(change, fills)
            elif self._inbox:
                # Kept until it is handled: a store failure must not lose a request.
                await stepper.take(self._inbox[0])
                self._inbox.popleft()
            elif self._reading is not None:
                reading = self._reading  # kept until it is handled, likewise
                await stepper.take(reading)
                if self._reading is reading:
                    self._reading = None
            elif self._quote is not None and self._funding.is_owed:
                await self._funding.ask()  # the price may begin the next deal
            elif self._quote is not None:
                quote, at_ms = self._quote
                self._quote = None
                if abs(context.clock.now_ms() - at_ms) > STALE_AFTER_MS:
                    continue  # it waited too long, or the clock was set; the next one counts
                self._lookups.touch(quote.last)
                await stepper.take(self._seen(quote, at_ms))
                context.holds.lift(_FIRST_PRICE)
            else:
                return

    async def _tell_gate(self) -> None:
        gate, why = self.gate
        await self._stepper.take(GateChanged(gate, why, self._context.clock.now_ms()))
        self._gate_told = gate

    async def _poll(self) -> None:
        context = self._context
        if self._home.is_away:
            context.pace.idle()
            self._home.give_up()
            self.reconcile_soon()  # it is over once the deal is
            return
        if self._must_cancel_adding:
            await self._cancel_adding()
        context.pace.idle()
        if self._must_cancel_adding:
            context.pace.urgent()
        if self._agreement.is_contradicted:
            self.reconcile_soon()  # it may have been a view that lagged behind
        elif self._lookups.is_due:
            await self._lookups.look()

    async def _watch(self) -> None:
        """Ask what only futures have; whatever fails there keeps nothing else waiting."""
        if self._home.is_away:
            return
        await self._funding.ask()
        if await self._positions.look() and not self._agreement.is_contradicted:
            self.reconcile_soon()

    async def _cancel_adding(self) -> None:
        """Cancel adding orders; asked again with every poll until none rests any more."""
        adding = [order for order in self._stepper.open_orders() if order.leg.kind.is_adding]
        self._must_cancel_adding = bool(adding)
        for order in adding:
            await self._wire.cancel(Cancel(order.client_order_id, "asked for by the operator"))
