"""At the start and after every outage: journal and exchange must agree before a bot may trade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from backfuturectl.engine.context import Context
from backfuturectl.engine.liquidation import PositionWatch
from backfuturectl.engine.lookups import Lookups
from backfuturectl.engine.pace import URGENT_POLL_S
from backfuturectl.engine.recover import position_mismatch
from backfuturectl.engine.rulings import RULINGS, Action, Known, Shown
from backfuturectl.engine.stepper import Stepper
from backfuturectl.engine.strangers import FORGOTTEN
from backfuturectl.model.ids import OrderName, bot_code, client_order_id, parse_client_order_id
from backfuturectl.model.market import ZERO, MarketKind
from backfuturectl.model.orders import Fill, Leg, LegKind, OrderStatus
from backfuturectl.strategy.base import Note

MISMATCH_LOOKS: Final = 5
"""A fill between two questions looks like a mismatch: only one that stays is believed."""

ORDERS_ASKED_MAX: Final = 30
"""Orders of other names whose executions are looked into, once after the start."""

_POSITION: Final = "position"


@dataclass(frozen=True, slots=True)
class _Found:
    """A pair of journal and exchange view.

    Attributes:
        why: The mismatch in words; empty for none.
        forced: What the exchange itself closed and no row has, by its order id.
    """

    known: Known
    shown: Shown
    why: str = ""
    forced: Mapping[str, list[Fill]] = field(default_factory=dict)


class Agreement:
    """Compares one bot's journal with the exchange.

    Attributes:
        has_lost_orders: The exchange shows what this bot did and its journal does not know.
    """

    def __init__(
        self, context: Context, *, stepper: Stepper, lookups: Lookups, positions: PositionWatch
    ) -> None:
        self._context = context
        self._stepper = stepper
        self._lookups = lookups
        self._positions = positions
        self._is_memory_proven = False
        self.has_lost_orders = False
        self._remembers_until_ms = context.journal.updated_at_ms

    @property
    def is_contradicted(self) -> bool:
        """Whether the last comparison found the account to hold something else."""
        return _POSITION in self._context.holds

    def forgive(self) -> None:
        """Drop what the last comparison found; the next one judges anew."""
        self._context.holds.lift(_POSITION)

    async def reach(self) -> bool:
        """Settle every open question and compare positions; a contradiction shuts the bot.

        Returns:
            Whether it came to an end; not so when the bot was told to stop meanwhile.
        """
        context = self._context
        await self._settle()
        found = await self._find()
        if RULINGS[found.known, found.shown].action is Action.TAKE:
            await self._positions.take(found.forced)
            found = await self._compare()
        if context.is_stopping:
            return False
        self.has_lost_orders = found.known is Known.LOST
        ruling = RULINGS[found.known, found.shown]
        if ruling.action is not Action.HOLD:
            context.holds.lift(_POSITION)
        elif not self.is_contradicted:
            context.holds.put(_POSITION, ruling.gate, found.why)
            note = Note(ruling.note, f"{found.why}; {ruling.because}", is_warning=True)
            context.journal.note(note, context.clock.now_ms())
        return True

    async def _find(self) -> _Found:
        forgotten = await self._forgotten()
        if forgotten is not None:
            return _Found(Known.LOST, Shown.FILLED, forgotten)
        found = await self._lasting()
        forced = await self._positions.forced() if found.shown is Shown.OTHER else {}
        return replace(found, shown=Shown.FORCED, forced=forced) if forced else found

    async def _settle(self) -> None:
        """Look at our orders until none is left whose fate is open."""
        while not self._context.is_stopping:
            await self._lookups.look()
            await self._stepper.take_results()
            unsettled = [
                order
                for order in self._stepper.open_orders()
                if order.status in {OrderStatus.INTENDED, OrderStatus.UNKNOWN}
            ]
            if not unsettled and not self._lookups.awaits_fills:
                return
            await self._context.pause(URGENT_POLL_S)

    async def _forgotten(self) -> str | None:
        """Return what this bot did that its journal does not know, once after the start.

        A store that was put back from an older copy would give ids to new orders that old ones
        have already. What still rests is found among the open orders; here follow what was filled
        since, and the deal after the last one.
        """
        context = self._context
        if self._is_memory_proven or context.is_stopping:
            return None
        account, pair = context.account, context.name.pair
        newest = context.journal.newest_deal
        code = bot_code(context.name.bot)
        next_base = client_order_id(
            OrderName(context.installation, code, newest + 1, Leg(LegKind.BASE), 0)
        )
        if await context.ask(account.order(pair, next_base)) is not None:
            return FORGOTTEN.format(next_base)
        if newest:
            fills = await context.ask(account.fills(pair, self._remembers_until_ms))
            for name in await self._names(fills, next_base):
                parts = parse_client_order_id(name)
                if (
                    parts is not None
                    and (parts.installation, parts.bot) == (context.installation, code)
                    and parts.deal >= newest
                    and context.journal.order(name) is None
                ):
                    return FORGOTTEN.format(name)
        self._is_memory_proven = True
        return None

    async def _names(self, fills: Sequence[Fill], unused: str) -> list[str]:
        """Return the client order ids of *fills*; where they carry none, their orders are asked.

        The newest are asked first, and no more than `ORDERS_ASKED_MAX`: a person may trade here
        too. *unused* is an id that no order has.
        """
        context = self._context
        names = [fill.client_order_id for fill in fills if fill.client_order_id is not None]
        known = {row.order_id for row in context.journal.orders}
        nameless = [
            fill.order_id
            for fill in reversed(fills)
            if fill.client_order_id is None and fill.order_id not in known
        ]
        for order_id in list(dict.fromkeys(nameless))[:ORDERS_ASKED_MAX]:
            pair = context.name.pair
            order = await context.ask(context.account.order(pair, unused, order_id))
            if order is not None:
                names.append(order.client_order_id)
        return names

    async def _lasting(self) -> _Found:
        """Return what is held, and how the exchange shows it in several looks in a row."""
        found = await self._compare()
        looks = 0 if self.is_contradicted else MISMATCH_LOOKS - 1
        for _ in range(looks):
            if found.shown is Shown.SAME or self._context.is_stopping:
                return found
            await self._context.pause(URGENT_POLL_S)
            await self._settle()
            found = await self._compare()
        return found

    async def _compare(self) -> _Found:
        context = self._context
        expected, market = self._stepper.view().position_base, context.market
        if market.kind is MarketKind.FUTURES:
            position = await context.ask(context.account.position(context.name.pair))
            await self._positions.judge(position)
            why = position_mismatch(expected, market=market, position=position, balances=None)
            return _Found(Known.POSITION, Shown.OTHER if why else Shown.SAME, why or "")
        if expected == ZERO:
            return _Found(Known.COINS, Shown.SAME)
        balances = await context.ask(context.account.balances())
        why = position_mismatch(expected, market=market, position=None, balances=balances)
        return _Found(Known.COINS, Shown.LESS if why else Shown.SAME, why or "")
