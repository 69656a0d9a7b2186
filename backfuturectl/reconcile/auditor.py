"""Ask the exchange for a bot's executions and open orders, and compare them with the store.

Through the bot's own account, at the priority of reads: orders never wait for an audit. One bot
costs one list of open orders and one of fills, which an exchange hands out in pages and windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from backfuturectl.engine.bot import Bot
from backfuturectl.engine.clock import Clock
from backfuturectl.exchanges.port import AccountPort
from backfuturectl.model.orders import Fill
from backfuturectl.model.records import PAPER, DealRecord, FillRecord
from backfuturectl.planning.auditing import Difference, compare_fills, find_orphans, own
from backfuturectl.store.database import Store

DAY_MS: Final = 86_400_000

REACH_MS: Final = 29 * DAY_MS
"""How far back is asked: MEXC keeps a month, KuCoin half a year in windows of a week, so that no
audit takes more than five windows."""

FRESH_MS: Final = 60_000
"""What happened this recently may still be on its way into the store."""

_ORDERS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class BotAudit:
    """What came of comparing one bot.

    Attributes:
        from_ms: What happened before was not compared.
        fills: How many executions the exchange told of this bot's orders.
    """

    bot: str
    from_ms: int
    fills: int
    orders: int
    differences: tuple[Difference, ...]


class Auditor:
    """Compares; it changes nothing but adding to the store what `repair` is asked to."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def audit(self, bot: Bot, since_ms: int) -> BotAudit:
        """Return how *bot*'s orders since then differ.

        Raises:
            OperationError: The exchange or the store could not be asked.
        """
        now_ms = self._clock.now_ms()
        from_ms = max(since_ms, now_ms - REACH_MS)
        pair, name = bot.name.pair, bot.name.bot
        listed = await bot.account.open_orders(pair)
        rows = {
            order.client_order_id: await self._store.order(order.client_order_id)
            for order in listed
            if order.client_order_id
        }
        theirs = await bot.account.fills(pair, from_ms)
        recorded = await self._store.orders(name, limit=_ORDERS_MAX)
        # What the strategy did on paper, or on another account, before it came to this one is
        # nothing that this one could know.
        here = {"", bot.name.connection}
        elsewhere = {d.deal for d in await self._store.deals(name) if d.connection not in here}
        orders = [
            order
            for order in recorded
            if order.environment != PAPER
            and order.deal not in elsewhere
            and (not bot.account_id or order.account_id in {"", bot.account_id})
        ]
        left_out = {order.client_order_id for order in recorded} - {
            order.client_order_id for order in orders
        }
        ours = [
            fill
            for fill in await self._store.fills(name)
            if fill.at_ms >= from_ms and fill.client_order_id not in left_out
        ]
        until_ms = now_ms - FRESH_MS
        return BotAudit(
            bot=name,
            from_ms=from_ms,
            fills=len(own(orders, theirs)),
            orders=len(listed),
            differences=(
                *find_orphans(listed, rows, asked_ms=now_ms),
                *compare_fills(orders, ours, theirs, from_ms=from_ms, until_ms=until_ms),
            ),
        )

    async def check(
        self, account: AccountPort, deal: DealRecord, pair: str
    ) -> tuple[Difference, ...] | None:
        """Return how a closed *deal* differs, after adding what came late; None: out of reach.

        *account* is the one that it was traded on.

        A fee that the exchange told late, and an execution whose order counts it already, are added
        to the store: the order's own figures were believed while the list of fills lagged behind.

        Raises:
            OperationError: The exchange or the store could not be asked.
        """
        orders = await self._store.orders(deal.bot, deal.deal)
        from_ms = min((order.intended_at_ms for order in orders), default=deal.opened_at_ms)
        from_ms -= FRESH_MS
        now_ms = self._clock.now_ms()
        if from_ms < now_ms - REACH_MS:
            return None
        theirs = await account.fills(pair, from_ms)
        late = [_record(deal.bot, name, fill) for name, fill in own(orders, theirs)]
        filled = {order.client_order_id: order.filled_base for order in orders}
        explained = {
            name
            for name, amount in filled.items()
            if amount == sum(row.amount_base for row in late if row.client_order_id == name)
        }
        await self._store.commit([row for row in late if row.client_order_id in explained])
        ours = await self._store.fills(deal.bot, deal=deal.deal)
        return compare_fills(orders, ours, theirs, from_ms=from_ms, until_ms=now_ms)


def _record(bot: str, client_order_id: str, fill: Fill) -> FillRecord:
    return FillRecord(
        fill_id=fill.fill_id,
        client_order_id=client_order_id,
        bot=bot,
        side=fill.side,
        price=fill.price,
        amount_base=fill.amount_base,
        fee=fill.fee,
        at_ms=fill.at_ms,
    )
