"""Results as the status API shows them: per deal, and summed per strategy, connection and in all.

Sums never mix quote currencies, nor live with paper or sandbox: one row for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from backfuturectl.daemon.history import Row, rounded, text
from backfuturectl.model.market import ZERO, MarketKind
from backfuturectl.model.records import ABANDONED, DealBooks, DealRecord, SettlementRecord
from backfuturectl.planning.accounting import Account, account_of, total
from backfuturectl.reconcile.controller import Controller
from backfuturectl.reconcile.settling import Purse, pair_of, settled_account
from backfuturectl.store.database import Store


@dataclass(frozen=True, slots=True)
class Standing:
    """What a bot came to on one connection.

    Attributes:
        account: All its deals, the open one's realised part in.
        unrealised: Of the open deal at the last price.
    """

    purse: Purse
    account: Account
    unrealised: Decimal


class Results:
    """Reads what was settled from memory, and what was not from the store."""

    def __init__(self, controller: Controller, store: Store) -> None:
        self._controller = controller
        self._store = store

    async def by_strategy(self) -> dict[str, list[Row]]:
        """Return the sums of each strategy."""
        return results_by(await self._standings(), lambda purse: purse.strategy)

    async def by_connection(self) -> dict[str, list[Row]]:
        """Return the sums of each connection."""
        return results_by(await self._standings(), lambda purse: purse.connection)

    async def in_all(self) -> list[Row]:
        """Return the sums of everything."""
        return result_rows(await self._standings())

    async def of_strategy(self, name: str) -> list[Row]:
        """Return the sums of one strategy; what it costs does not grow with the others."""
        return result_rows(await self._standings(strategy=name))

    async def of_connection(self, name: str) -> list[Row]:
        """Return the sums of one connection, likewise."""
        return result_rows(await self._standings(connection=name))

    async def _standings(
        self, *, strategy: str | None = None, connection: str | None = None
    ) -> tuple[Standing, ...]:
        totals = {
            purse: account
            for purse, account in self._controller.settler.totals().items()
            if strategy in {None, purse.strategy} and connection in {None, purse.connection}
        }
        unsettled = await self._unsettled(strategy=strategy, connection=connection)
        found: dict[Purse, list[Account]] = {purse: [kept] for purse, kept in totals.items()}
        open_purses: dict[str, Purse] = {}
        for deal, account in unsettled.items():
            purse = Purse(deal.bot, deal.connection, deal.environment)
            found.setdefault(purse, []).append(account)
            if deal.closed_at_ms is None:
                open_purses[deal.bot] = purse
        return tuple(
            Standing(
                purse,
                total(accounts),
                self._unrealised(purse.bot) if open_purses.get(purse.bot) == purse else ZERO,
            )
            for purse, accounts in found.items()
        )

    def _unrealised(self, bot: str) -> Decimal:
        seat = self._controller.strategies.seats.get(bot)
        return (seat.bot.view().unrealised_quote if seat is not None else None) or ZERO

    async def of_deals(self, deals: Iterable[DealRecord]) -> dict[str, Row]:
        """Return what is shown of each deal's result, by deal."""
        deals = tuple(deals)
        settled = {
            record.deal: record
            for record in await self._store.settlements([deal.deal for deal in deals])
        }
        left = [deal for deal in deals if deal.deal not in settled]
        open_now: dict[str, Account] = {}
        if left:
            bots = {deal.bot for deal in left}
            unsettled = await self._unsettled(bot=bots.pop() if len(bots) == 1 else None)
            open_now = {deal.deal: account for deal, account in unsettled.items()}
        rows = {}
        for deal in deals:
            record = settled.get(deal.deal)
            account = settled_account(record) if record is not None else open_now.get(deal.deal)
            rows[deal.deal] = _deal_result(deal, record, account or Account())
        return rows

    async def _unsettled(
        self,
        *,
        bot: str | None = None,
        strategy: str | None = None,
        connection: str | None = None,
    ) -> dict[DealRecord, Account]:
        books = await self._store.unsettled_books(
            self._controller.settler.since_ms, bot=bot, strategy=strategy, connection=connection
        )
        # Arithmetic over thousands of fills; the loop has orders to send.
        return await asyncio.to_thread(_accounts, books)


def _accounts(books: Iterable[DealBooks]) -> dict[DealRecord, Account]:
    return {
        each.deal: account_of(
            each.fills,
            each.funding,
            each.orders,
            side=each.deal.side,
            pair=pair_of(each.deal.bot),
            kind=MarketKind(each.deal.market or MarketKind.SPOT),
            is_closed=each.deal.exit_leg not in {None, ABANDONED},
        )
        for each in books
    }


def results_by(
    standings: Iterable[Standing], name_of: Callable[[Purse], str]
) -> dict[str, list[Row]]:
    """Return the sums of each strategy, or connection, that *name_of* names."""
    groups: dict[str, list[Standing]] = {}
    for standing in standings:
        groups.setdefault(name_of(standing.purse), []).append(standing)
    return {name: result_rows(group) for name, group in groups.items()}


def result_rows(standings: Iterable[Standing]) -> list[Row]:
    """Return the sums: one row per environment and quote currency."""
    groups: dict[tuple[str, str], list[Standing]] = {}
    for standing in standings:
        key = (standing.purse.environment, standing.purse.quote)
        groups.setdefault(key, []).append(standing)
    return [
        {
            "environment": environment or None,
            "quote": quote,
            **_figures(total(each.account for each in group)),
            "unrealised": rounded(sum((each.unrealised for each in group), ZERO)),
        }
        for (environment, quote), group in sorted(groups.items())
    ]


def metric_lines(rows: Mapping[str, Iterable[Row]]) -> Iterable[str]:
    """Yield results in Prometheus' text format; *rows* are those of each connection."""
    for name in ("realised", "fees", "funding", "unrealised"):
        yield f"# TYPE backfuturectl_{name}_quote gauge"
        for connection, results in sorted(rows.items()):
            for row in results:
                labels = (
                    f'connection="{connection}",environment="{row["environment"] or ""}",'
                    f'quote="{row["quote"]}"'
                )
                yield f"backfuturectl_{name}_quote{{{labels}}} {row[name]}"


def _figures(account: Account) -> Row:
    return {
        "realised": text(account.realised),
        "gross": text(account.gross),
        "fees": text(account.fees),
        "funding": text(account.funding),
        "unvaluedFees": [
            {"currency": fee.currency, "amount": text(fee.amount)} for fee in account.unvalued
        ],
    }


def _deal_result(deal: DealRecord, record: SettlementRecord | None, account: Account) -> Row:
    pair = pair_of(deal.bot)
    result = account.realised if record is not None else deal.result_quote
    return {
        "result": text(result),
        **_figures(account),
        "quote": pair.partition("/")[2],
        "connection": deal.connection or None,
        "environment": deal.environment or None,
        "audit": str(record.audit) if record is not None else None,
        "settledAt": record.settled_at_ms if record is not None else None,
        "dust": text(account.position_base) if deal.closed_at_ms is not None else None,
    }
