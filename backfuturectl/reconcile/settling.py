"""Settle closed deals: compare their fills with the exchange's, then say what they came to.

A while after a deal closed, since exchanges tell some executions and fees late. What was settled
adds up in memory, so that the result of a strategy or connection is at hand however long it ran.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from backfuturectl.engine.clock import Clock
from backfuturectl.exchanges.port import AccountPort
from backfuturectl.model.errors import OperationError, PermanentError, TransientError
from backfuturectl.model.market import ZERO, MarketKind
from backfuturectl.model.orders import Fee
from backfuturectl.model.records import (
    ABANDONED,
    PAPER,
    AuditOutcome,
    DealRecord,
    EventRecord,
    SettlementRecord,
)
from backfuturectl.planning.accounting import Account, account_of, total
from backfuturectl.planning.auditing import Difference
from backfuturectl.reconcile.auditor import REACH_MS, Auditor
from backfuturectl.reconcile.connections import Lines
from backfuturectl.reconcile.fee_prices import FeePrices, may_be_priced
from backfuturectl.reconcile.seats import Seat
from backfuturectl.store.database import Store

_LOG = logging.getLogger(__name__)

SETTLE_AFTER_MS: Final = 30_000
"""How long exchanges may take to tell every execution and fee."""

GIVE_UP_MS: Final = 600_000
"""After this, of a daemon that runs, a deal is settled without the exchange's word."""

_LOOK_S: Final = 10.0
_LOOK_BACK_MS: Final = 21_600_000  # a fee or funding that is told late changes the result
_AT_ONCE: Final = 50
_PAGE: Final = 5_000
_SHOWN_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Purse:
    """Whose result is whose: never added across environments or quote currencies."""

    bot: str
    connection: str
    environment: str

    @property
    def strategy(self) -> str:
        """The strategy's name."""
        return self.bot.partition("/")[0]

    @property
    def quote(self) -> str:
        """The quote currency."""
        return pair_of(self.bot).partition("/")[2]


class Seats(Protocol):
    """Who runs."""

    @property
    def seats(self) -> Mapping[str, Seat]:
        """The running bots, by name."""


class Settler:
    """Settles one deal after the other, at most a few at a time.

    Attributes:
        auditor: Compares with the exchange, also for an operator.
        since_ms: Deals that closed before are settled.
    """

    def __init__(self, store: Store, clock: Clock, running: Seats, lines: Lines) -> None:
        self._store = store
        self._clock = clock
        self._running = running
        self._lines = lines
        self.auditor = Auditor(store, clock)
        self._fee_prices = FeePrices(store, clock, lines)
        self._totals: dict[Purse, Account] = {}
        self._started_ms = clock.now_ms()
        self.since_ms = 0

    def totals(self) -> Mapping[Purse, Account]:
        """Return what all settled deals came to."""
        return self._totals

    async def run(self) -> None:
        """Settle until canceled."""
        is_restored = False
        while True:
            try:
                if not is_restored:
                    await self._restore()
                    is_restored = True
                await self._fee_prices.follow()
                await self._settle_due()
            except TransientError as error:
                _LOG.warning("settling: %s", error)
            await asyncio.sleep(_LOOK_S)

    async def _settle_due(self) -> None:
        now_ms = self._clock.now_ms()
        until_ms = now_ms - SETTLE_AFTER_MS
        due = await self._store.unsettled(self.since_ms, until_ms, limit=_AT_ONCE)
        for deal in due:
            await self._settle(deal)
        if len(due) < _AT_ONCE:
            self.since_ms = max(now_ms - _LOOK_BACK_MS, 0)

    async def _restore(self) -> None:
        self._totals.clear()
        after = ""
        while page := await self._store.settled(after, limit=_PAGE):
            for found in page:
                settlement = found.settlement
                self._add(Purse(settlement.bot, found.connection, found.environment), (settlement,))
            after = page[-1].settlement.deal

    async def _settle(self, deal: DealRecord) -> None:
        now_ms = self._clock.now_ms()
        assert deal.closed_at_ms is not None, "only closed deals are settled"
        assert deal.result_quote is not None, "a deal closes with its result"
        tried_ms = now_ms - max(deal.closed_at_ms, self._started_ms)
        if await self._awaits_price(deal):
            return
        outcome = await self._audited(deal, is_last_try=tried_ms > GIVE_UP_MS)
        if outcome is None or await self._awaits_price(deal):  # it may have told a fee
            return
        account = account_of(
            await self._store.fills(deal.bot, deal=deal.deal),
            await self._store.funding(deal.bot, deal=deal.deal),
            await self._store.orders(deal.bot, deal.deal),
            side=deal.side,
            pair=pair_of(deal.bot),
            kind=MarketKind(deal.market or MarketKind.SPOT),
            is_closed=deal.exit_leg != ABANDONED,
        )
        record = SettlementRecord(
            deal=deal.deal,
            bot=deal.bot,
            audit=outcome,
            told_quote=deal.result_quote,
            gross=account.gross,
            fees=account.fees,
            funding=account.funding,
            unvalued=account.unvalued,
            dust_base=account.position_base,
            dust_cost=account.position_cost,
            settled_at_ms=now_ms,
        )
        before = await self._store.settlements([deal.deal])
        await self._store.commit([record])
        purse = Purse(deal.bot, deal.connection, deal.environment)
        self._add(purse, (record,), instead_of=before)

    async def _awaits_price(self, deal: DealRecord) -> bool:
        """Return whether what a fee of *deal* is worth may be known with a later look."""
        now_ms, pair = self._clock.now_ms(), pair_of(deal.bot)
        fills = await self._store.fills(deal.bot, deal=deal.deal)
        return any(may_be_priced(fill, pair, now_ms) for fill in fills)

    async def _audited(self, deal: DealRecord, *, is_last_try: bool) -> AuditOutcome | None:
        """Return what the exchange says; None when it is to be asked again."""
        assert deal.closed_at_ms is not None, "only closed deals are settled"
        is_far = deal.closed_at_ms < self._clock.now_ms() - REACH_MS
        if deal.environment == PAPER or is_far:
            return AuditOutcome.SKIPPED
        account = await self._account_of(deal)
        if account is None:
            return AuditOutcome.SKIPPED if is_last_try else None
        try:
            found = await self.auditor.check(account, deal, pair_of(deal.bot))
        except PermanentError as error:
            _LOG.warning("%s: its fills cannot be compared: %s", deal.deal, error)
            return AuditOutcome.UNKNOWN
        except OperationError as error:
            _LOG.info("%s: its fills cannot be compared now: %s", deal.deal, error)
            return AuditOutcome.UNKNOWN if is_last_try else None
        if found is None:
            return AuditOutcome.UNKNOWN
        if found:
            self._complain(deal, found)
            return AuditOutcome.DIFFERS
        return AuditOutcome.CLEAN

    async def _account_of(self, deal: DealRecord) -> AccountPort | None:
        """Return the account that *deal* was traded on; None while it is out of reach.

        Its bot may trade elsewhere or on paper by now, or be gone, and its connection may have a
        key of another account.
        """
        if deal.connection:
            line = self._lines.line(deal.connection)
            orders = await self._store.orders(deal.bot, deal.deal)
            places = {order.account_id for order in orders if order.account_id}
            is_elsewhere = bool(line.account_id and places - {line.account_id})
            return None if is_elsewhere else line.account
        seat = self._running.seats.get(deal.bot)  # older records do not tell
        return seat.bot.account if seat is not None and seat.paper is None else None

    def _complain(self, deal: DealRecord, found: tuple[Difference, ...]) -> None:
        shown = "; ".join(
            f"{each.kind} {each.about}: store {each.ours or 'nothing'}, "
            f"exchange {each.theirs or 'nothing'}"
            for each in found[:_SHOWN_MAX]
        )
        more = f"; and {len(found) - _SHOWN_MAX} more" if len(found) > _SHOWN_MAX else ""
        message = f"deal {deal.number} and the exchange differ: {shown}{more}"
        _LOG.warning("%s: %s", deal.bot, message)
        event = EventRecord(
            at_ms=self._clock.now_ms(),
            about=f"Bot/{deal.bot}",
            kind="Warning",
            reason="AuditDiffers",
            message=message,
            deal=deal.deal,
        )
        self._store.post([event])

    def _add(
        self,
        purse: Purse,
        records: Iterable[SettlementRecord],
        *,
        instead_of: Iterable[SettlementRecord] = (),
    ) -> None:
        parts = [self._totals.get(purse, Account())]
        parts += [settled_account(record) for record in records]
        parts += [_negated(settled_account(record)) for record in instead_of]
        self._totals[purse] = total(parts)


def settled_account(record: SettlementRecord) -> Account:
    """Return the account that *record* keeps."""
    return Account(
        gross=record.gross,
        fees=record.fees,
        funding=record.funding,
        unvalued=record.unvalued,
        position_base=record.dust_base,
        position_cost=record.dust_cost,
    )


def pair_of(bot: str) -> str:
    """Return the pair of a bot's name: ``eth/BTC-USDT`` trades ``BTC/USDT``.

    So does ``eth/BTC-USDT@spare``, through another connection.
    """
    return bot.rpartition("/")[2].partition("@")[0].replace("-", "/", 1)


def _negated(account: Account) -> Account:
    return Account(
        gross=ZERO - account.gross,
        fees=ZERO - account.fees,
        funding=ZERO - account.funding,
        unvalued=tuple(Fee(fee.currency, -fee.amount) for fee in account.unvalued),
    )
