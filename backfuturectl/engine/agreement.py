"""At the start and after every outage: journal and exchange must agree before a bot may trade."""

from __future__ import annotations

from typing import Final

from backfuturectl.engine.context import Context
from backfuturectl.engine.liquidation import PositionWatch
from backfuturectl.engine.lookups import Lookups
from backfuturectl.engine.pace import URGENT_POLL_S
from backfuturectl.engine.recover import position_mismatch
from backfuturectl.engine.stepper import Stepper
from backfuturectl.engine.strangers import FORGOTTEN
from backfuturectl.model.ids import OrderName, bot_code, client_order_id, parse_client_order_id
from backfuturectl.model.market import ZERO, MarketKind
from backfuturectl.model.orders import Leg, LegKind, OrderStatus
from backfuturectl.model.status import Reason
from backfuturectl.strategy.base import Gate, Note

MISMATCH_LOOKS: Final = 5
"""A fill between two questions looks like a mismatch: only one that stays is believed."""

_POSITION: Final = "position"


class Agreement:
    """Compares one bot's journal with the exchange."""

    def __init__(
        self, context: Context, *, stepper: Stepper, lookups: Lookups, positions: PositionWatch
    ) -> None:
        self._context = context
        self._stepper = stepper
        self._lookups = lookups
        self._positions = positions
        self._is_memory_proven = False
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
        mismatch = await self._forgotten() or await self._lasting_mismatch()
        if mismatch is not None and await self._positions.take_forced():
            mismatch = await self._mismatch()
        if context.is_stopping:
            return False
        if mismatch is None:
            context.holds.lift(_POSITION)
        elif not self.is_contradicted:
            context.holds.put(_POSITION, Gate.SHUT, mismatch)
            context.journal.note(
                Note(str(Reason.POSITION_MISMATCH), mismatch, is_warning=True),
                context.clock.now_ms(),
            )
        return True

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
        if await account.order(pair, next_base) is not None:
            return FORGOTTEN.format(next_base)
        if newest:
            for fill in await account.fills(pair, self._remembers_until_ms):
                name = parse_client_order_id(fill.client_order_id or "")
                if (
                    name is not None
                    and (name.installation, name.bot) == (context.installation, code)
                    and name.deal >= newest
                    and context.journal.order(fill.client_order_id or "") is None
                ):
                    return FORGOTTEN.format(fill.client_order_id)
        self._is_memory_proven = True
        return None

    async def _lasting_mismatch(self) -> str | None:
        mismatch = await self._mismatch()
        looks = 0 if self.is_contradicted else MISMATCH_LOOKS - 1
        for _ in range(looks):
            if mismatch is None or self._context.is_stopping:
                return None
            await self._context.pause(URGENT_POLL_S)
            await self._settle()
            mismatch = await self._mismatch()
        return mismatch

    async def _mismatch(self) -> str | None:
        context = self._context
        expected, market = self._stepper.view().position_base, context.market
        if market.kind is MarketKind.FUTURES:
            position = await context.account.position(context.name.pair)
            await self._positions.judge(position)
            return position_mismatch(expected, market=market, position=position, balances=None)
        if expected == ZERO:
            return None
        balances = await context.account.balances()
        return position_mismatch(expected, market=market, position=None, balances=balances)
