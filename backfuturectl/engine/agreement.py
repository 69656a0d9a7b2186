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
from backfuturectl.model.orders import Fill, Leg, LegKind, OrderStatus, Side
from backfuturectl.strategy.base import Note

MISMATCH_LOOKS: Final = 5
"""A fill between two questions looks like a mismatch: only one that stays is believed."""

ORDERS_ASKED_MAX: Final = 30
"""Orders of other names whose executions are looked into, once after the start."""

LOOK_BACK_MS: Final = 6 * 86_400_000
"""How far back a bot looks that has no journal: exchanges tell a week at a time."""

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
        self._is_vouched = False
        self.has_lost_orders = False
        self._remembers_until_ms = context.journal.updated_at_ms

    @property
    def is_contradicted(self) -> bool:
        """Whether the last comparison found the account to hold something else."""
        return _POSITION in self._context.holds

    def forgive(self) -> None:
        """Drop what the last comparison found; the next one judges anew.

        A person has looked at what another installation left here.
        """
        self._is_vouched = self._is_vouched or self.is_contradicted
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
            return forgotten
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

    async def _forgotten(self) -> _Found | None:
        """Return what this bot did that its journal does not know, once after the start.

        A store that was put back from an older copy would give ids to new orders that old ones
        have already. What still rests is found among the open orders; here follow what was filled
        since, and the deal after the last one. Of a store that was lost with all it knew tells only
        what was bought under the same bot's name and is still here.
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
            return _Found(Known.LOST, Shown.FILLED, FORGOTTEN.format(next_base))
        since_ms = self._remembers_until_ms or context.clock.now_ms() - LOOK_BACK_MS
        fills = await self._named(await context.ask(account.fills(pair, since_ms)), next_base)
        mine = [(fill, name) for fill, name in fills if name.bot == code]
        for _, name in mine:
            text = client_order_id(name)
            is_own = name.installation == context.installation and name.deal >= newest
            if is_own and context.journal.order(text) is None:
                return _Found(Known.LOST, Shown.FILLED, FORGOTTEN.format(text))
        if not newest and not self._is_vouched:
            others = [fill for fill, name in mine if name.installation != context.installation]
            left = await self._left_over(others)
            if left is not None:
                return _Found(Known.TWIN, Shown.FILLED, left)
        self._is_memory_proven = True
        return None

    async def _left_over(self, fills: Sequence[Fill]) -> str | None:
        """Return what is left of what another installation's *fills* have bought; None if nothing.

        On futures the position itself tells.
        """
        context, market = self._context, self._context.market
        held = ZERO
        for fill in fills:
            held += fill.amount_base if fill.side is Side.BUY else -fill.amount_base
            if fill.fee is not None and fill.fee.currency == market.base:
                held -= fill.fee.amount
        if market.kind is MarketKind.FUTURES or held < max(market.amount_min, market.amount_step):
            return None
        balances = await context.ask(context.account.balances())
        if balances.total.get(market.base, ZERO) < held:
            return None  # sold since, by whomever
        return (
            f"{held:f} {market.base} were bought by this very bot under a state that is gone, and "
            "are still here; was the state lost?"
        )

    async def _named(self, fills: Sequence[Fill], unused: str) -> list[tuple[Fill, OrderName]]:
        """Return those of *fills* whose orders this program made, each with its order's name.

        Where they carry none, their orders are asked: the newest first, and no more than
        `ORDERS_ASKED_MAX`, since a person may trade here too. *unused* is an id that no order has.
        """
        context = self._context
        names = {
            fill.order_id: fill.client_order_id
            for fill in fills
            if fill.client_order_id is not None
        }
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
                names[order_id] = order.client_order_id
        found = ((fill, parse_client_order_id(names.get(fill.order_id, ""))) for fill in fills)
        return [(fill, name) for fill, name in found if name is not None]

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
