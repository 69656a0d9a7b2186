"""What is said to the database: upserts, deletions, queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    union,
)
from sqlalchemy.dialects.sqlite import Insert, insert

from backfuturectl.model.orders import OrderStatus
from backfuturectl.model.records import (
    BotRecord,
    DealRecord,
    EventRecord,
    FillRecord,
    FundingRecord,
    HoldRecord,
    OrderRecord,
    ResourceRecord,
    SettlementRecord,
)
from backfuturectl.store.rows import TO_VALUES, Record, merge_order, to_order
from backfuturectl.store.schema import (
    BOTS,
    DEALS,
    EVENTS,
    FILLS,
    FUNDING,
    HOLDS,
    ORDERS,
    RESOURCES,
    SETTLEMENTS,
)

EVENTS_KEPT: Final = 100_000
# SQLite's oldest limit on the number of variables in one statement is 999.
_CHUNK: Final = 900
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete one row by its primary key; a row that is not there is no error.

    Attributes:
        record: Which kind of row.
        key: BotRecord: (bot,). ResourceRecord: (kind, name). HoldRecord: (target, verb).
    """

    record: type[BotRecord | ResourceRecord | HoldRecord]
    key: tuple[str, ...]


Write = Record | Remove


def _upsert(table: Table) -> Insert:
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    rest = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


def _insert_fill() -> Insert:
    """Return the statement for fills: what happened does not change, but its fee may come late."""
    statement = insert(FILLS)
    late = ("fee_currency", "fee_amount", "fee_price")
    known = {name: func.coalesce(FILLS.c[name], statement.excluded[name]) for name in late}
    return statement.on_conflict_do_update(index_elements=["bot", "fill_id"], set_=known)


_TABLES: Final[dict[type[Record], Table]] = {
    BotRecord: BOTS,
    DealRecord: DEALS,
    OrderRecord: ORDERS,
    FillRecord: FILLS,
    FundingRecord: FUNDING,
    EventRecord: EVENTS,
    ResourceRecord: RESOURCES,
    HoldRecord: HOLDS,
    SettlementRecord: SETTLEMENTS,
}
_STATEMENTS: Final[dict[type[Record], Insert]] = {
    **{record: _upsert(table) for record, table in _TABLES.items()},
    FillRecord: _insert_fill(),
    # What happened does not change: the same payment seen again is the same payment.
    FundingRecord: insert(FUNDING).on_conflict_do_nothing(),
    EventRecord: insert(EVENTS),
}
# Made once, like every statement that is often needed: making one takes longer than its answer.
_ORDERS_OF_IDS: Final = select(ORDERS).where(
    ORDERS.c.client_order_id.in_(bindparam("ids", expanding=True))
)
_FORGET_EVENTS: Final = EVENTS.delete().where(
    EVENTS.c.event_id <= select(func.max(EVENTS.c.event_id)).scalar_subquery() - bindparam("kept")
)
_FINAL: Final = [status.value for status in OrderStatus if status.is_final]
_OPEN: Final = [status.value for status in OrderStatus if not status.is_final]


def apply(connection: Connection, writes: Iterable[Write]) -> None:
    """Carry out *writes* in the connection's transaction.

    Rows of one table go in one statement each time; their order within the table is kept, and
    between tables it does not matter until a row is removed.
    """
    waiting: dict[type[Record], list[Any]] = {}
    for write in writes:
        if isinstance(write, Remove):
            _flush(connection, waiting)
            waiting = {}
            _remove(connection, write)
        else:
            waiting.setdefault(type(write), []).append(write)
    _flush(connection, waiting)


def _flush(connection: Connection, waiting: dict[type[Record], list[Any]]) -> None:
    for record, rows in waiting.items():
        current = _merged(connection, rows) if record is OrderRecord else rows
        to_values = TO_VALUES[record]
        connection.execute(_STATEMENTS[record], [to_values(row) for row in current])
        if record is EventRecord:
            connection.execute(_FORGET_EVENTS, {"kept": EVENTS_KEPT})


def _merged(connection: Connection, rows: Sequence[OrderRecord]) -> list[OrderRecord]:
    current: dict[str, OrderRecord] = {}
    for ids in _chunks({row.client_order_id: None for row in rows}):
        found = connection.execute(_ORDERS_OF_IDS, {"ids": ids})
        current.update((row["client_order_id"], to_order(row)) for row in found.mappings())
    for row in rows:
        current[row.client_order_id] = merge_order(current.get(row.client_order_id), row)
    return list(current.values())


def _remove(connection: Connection, write: Remove) -> None:
    table = _TABLES[write.record]
    keys = zip(table.primary_key, write.key, strict=True)
    connection.execute(table.delete().where(*(column == value for column, value in keys)))


def _is_of(column: ColumnElement[str], name: str, prefix: str = "") -> ColumnElement[bool]:
    """Return whether *column* is the bot *name*, or any bot of the strategy *name*."""
    if "/" in name:
        return column == prefix + name
    # All that begin with `name/`, in a way that an index answers: "0" follows "/".
    return and_(column >= f"{prefix}{name}/", column < f"{prefix}{name}0")


def _plain(column: Column[_T]) -> ColumnElement[_T]:
    """Return *column* as a value that no index is used for.

    Where another column leaves few rows, SQLite might still rather search or walk all that a bot
    ever did. Source: SQLite documentation, "The SQLite Query Optimizer Overview", 2.1.
    """
    return literal_column(f"+{column.table.name}.{column.name}", column.type)


def _newest_first(*columns: Column[Any], is_walked: bool) -> list[ColumnElement[Any]]:
    """Return what to sort by, descending.

    Args:
        columns: The time first.
        is_walked: Whether to take the order of an index, as for the newest of many.
    """
    return [(column if is_walked else _plain(column)).desc() for column in columns]


def deals(bot: str | None, *, is_open: bool | None, limit: int | None) -> Select[Any]:
    """Return the query for deals, newest first; a strategy's name stands for all its bots."""
    query = select(DEALS).order_by(
        *_newest_first(DEALS.c.opened_at_ms, DEALS.c.number, is_walked=not is_open)
    )
    if is_open is None and limit is not None:
        query = _cut(query, DEALS, bot, DEALS.c.opened_at_ms, DEALS.c.number, limit=limit)
    if bot is not None:
        query = query.where(_is_of(DEALS.c.bot, bot))
    if is_open is not None:
        closed = DEALS.c.closed_at_ms
        query = query.where(closed.is_(None) if is_open else closed.is_not(None))
    return query.limit(limit)


def _cut(
    query: Select[Any], table: Table, who: str | None, *columns: Column[Any], limit: int
) -> Select[Any]:
    """Return *query* for the newest of many bots, whatever they ever did; one bot has its index.

    Args:
        query: Sorted, and limited by the caller.
        table: With a column ``bot``.
        who: A bot or a strategy; None for all.
        columns: What an index has after the bot, the time first.
        limit: So many at most are asked for.
    """
    if who is None:  # rows of all bots are written in the order in which they come to be
        row = literal_column("rowid", Integer)
        newest = select(row).select_from(table.alias()).order_by(row.desc()).limit(limit)
        return query.where(literal_column(f"{table.name}.rowid", Integer).in_(newest))
    if "/" in who:
        return query
    own, (key,) = table.alias(), table.primary_key.columns
    of_bot = (
        select(own.c[key.name])
        .where(own.c.bot == BOTS.c.bot)
        .order_by(*(own.c[column.name].desc() for column in columns))
        .limit(limit)
        .correlate(BOTS)
    )
    return query.select_from(BOTS.join(table, key.in_(of_bot))).where(_is_of(BOTS.c.bot, who))


def _unsettled() -> Select[Any]:
    is_stale = SETTLEMENTS.c.told_quote != DEALS.c.result_quote
    return (
        select(DEALS)
        .join(SETTLEMENTS, SETTLEMENTS.c.deal == DEALS.c.deal, isouter=True)
        .where(DEALS.c.closed_at_ms.between(bindparam("since_ms"), bindparam("until_ms")))
        .where(SETTLEMENTS.c.deal.is_(None) | is_stale)
        .order_by(DEALS.c.closed_at_ms, DEALS.c.deal)
        .limit(bindparam("limit"))
    )


UNSETTLED: Final = _unsettled()
"""The query for closed deals that have no settlement, or that changed since; oldest first.

It takes *since_ms*, *until_ms* and *limit*.
"""


def _unsettled_deals(
    since_ms: int, bot: str | None, strategy: str | None, connection: str | None
) -> Select[Any]:
    """Return the query for the ids of deals, open or closed since, that have no settlement."""
    closed = DEALS.c.closed_at_ms
    query = (
        select(DEALS.c.deal)
        .join(SETTLEMENTS, SETTLEMENTS.c.deal == DEALS.c.deal, isouter=True)
        .where(closed.is_(None) | (closed >= since_ms), SETTLEMENTS.c.deal.is_(None))
    )
    owner = _plain(DEALS.c.bot)  # open and lately closed deals are few
    if bot is not None:
        query = query.where(owner == bot)
    if strategy is not None:  # a bot is STRATEGY/PAIR, and `0` follows `/`
        query = query.where(owner >= f"{strategy}/", owner < f"{strategy}0")
    if connection is not None:
        query = query.where(DEALS.c.connection == connection)
    return query


def unsettled_books(
    since_ms: int, *, bot: str | None, strategy: str | None, connection: str | None
) -> tuple[Select[Any], ...]:
    """Return the queries for deals without settlement, their filled orders, fills and funding."""
    ids = _unsettled_deals(since_ms, bot, strategy, connection)
    fills_of = (
        select(ORDERS.c.deal, FILLS)
        .join(ORDERS, ORDERS.c.client_order_id == FILLS.c.client_order_id)
        .where(ORDERS.c.deal.in_(ids))
        .order_by(FILLS.c.at_ms, FILLS.c.fill_id)
    )
    return (
        select(DEALS).where(DEALS.c.deal.in_(ids)),
        select(ORDERS).where(ORDERS.c.deal.in_(ids), ORDERS.c.filled_base != "0"),
        fills_of,
        select(FUNDING).where(FUNDING.c.deal.in_(ids)).order_by(FUNDING.c.at_ms),
    )


def settled(after: str, limit: int) -> Select[Any]:
    """Return the query for the next *limit* settlements after deal *after*, by deal."""
    query = select(SETTLEMENTS, DEALS.c.connection, DEALS.c.environment)
    query = query.join(DEALS, DEALS.c.deal == SETTLEMENTS.c.deal)
    query = query.where(SETTLEMENTS.c.deal > after)
    return query.order_by(SETTLEMENTS.c.deal).limit(limit)


def settlements(deals: Iterable[str]) -> Iterable[Select[Any]]:
    """Yield the queries for the settlements of *deals*."""
    for ids in _chunks(deals):
        yield select(SETTLEMENTS).where(SETTLEMENTS.c.deal.in_(ids))


def orders(
    bot: str | None, deal: str | None, *, is_open: bool | None, limit: int | None
) -> Select[Any]:
    """Return the query for orders, newest first; a strategy's name stands for all its bots."""
    is_walked = deal is None and not is_open
    query = select(ORDERS).order_by(
        *_newest_first(ORDERS.c.intended_at_ms, ORDERS.c.client_order_id, is_walked=is_walked)
    )
    if deal is None and is_open is None and limit is not None:
        query = _cut(
            query, ORDERS, bot, ORDERS.c.intended_at_ms, ORDERS.c.client_order_id, limit=limit
        )
    if bot is not None:
        query = query.where(_is_of(ORDERS.c.bot if deal is None else _plain(ORDERS.c.bot), bot))
    if deal is not None:
        query = query.where(ORDERS.c.deal == deal)
    if is_open is not None:
        query = query.where(ORDERS.c.status.in_(_OPEN if is_open else _FINAL))
    return query.limit(limit)


def _remembered() -> CompoundSelect[Any]:
    # By its number, which its id tells: by its time another is newest once a clock was set back.
    name = ORDERS.c.client_order_id
    newest = (
        select(ORDERS.c.deal)
        .where(name >= bindparam("first"), name < bindparam("beyond"))
        .where(_plain(ORDERS.c.bot) == bindparam("bot"))
        .order_by(name.desc())
        .limit(1)
    )
    # Two searches, each with its own index.
    resting = select(ORDERS).where(ORDERS.c.bot == bindparam("bot"), ORDERS.c.status.in_(_OPEN))
    of_newest = select(ORDERS).where(ORDERS.c.deal == newest.scalar_subquery())
    return union(resting, of_newest)


REMEMBERED: Final = _remembered()
"""The query for a *bot*'s orders of its newest deal and others that may still rest, in no order.

Its ids are from *first* on and before *beyond*.
Made once: with a thousand bots, making it takes as long as answering it.
"""

_FILL_ROW: Final = literal_column("fills.rowid", Integer)
"""Grows with every new fill."""


def newest_fill() -> Select[Any]:
    """Return the query for the row of the newest fill; none when there are no fills."""
    return select(func.max(_FILL_ROW).label("row")).select_from(FILLS)


UNPRICED: Final = (
    select(_FILL_ROW.label("row"), BOTS.c.connection, BOTS.c.pair, FILLS)
    .join(BOTS, BOTS.c.bot == FILLS.c.bot)
    .where(bindparam("after", type_=Integer) < _FILL_ROW)
    .where(FILLS.c.fee_currency.is_not(None), FILLS.c.fee_price.is_(None))
    .order_by(_FILL_ROW)
    .limit(bindparam("limit"))
)
"""The query for fills after row *after* whose fee has no price, oldest first; at most *limit*."""


def fills(bot: str, *, deal: str | None, client_order_ids: Iterable[str] | None) -> Select[Any]:
    """Return the query for a bot's executions, oldest first.

    Those of one deal, or of some orders, are searched for by their orders.
    """
    query = select(FILLS).order_by(FILLS.c.at_ms, FILLS.c.fill_id)
    is_whole = deal is None and client_order_ids is None
    query = query.where((FILLS.c.bot if is_whole else _plain(FILLS.c.bot)) == bot)
    if deal is not None:
        of_deal = select(ORDERS.c.client_order_id).where(ORDERS.c.deal == deal)
        query = query.where(FILLS.c.client_order_id.in_(of_deal))
    if client_order_ids is not None:
        query = query.where(FILLS.c.client_order_id.in_(list(client_order_ids)))
    return query


def funding(bot: str, *, deal: str | None) -> Select[Any]:
    """Return the query for a bot's funding payments, oldest first."""
    query = select(FUNDING).where(FUNDING.c.bot == bot)
    if deal is not None:
        query = query.where(FUNDING.c.deal == deal)
    return query.order_by(FUNDING.c.at_ms, FUNDING.c.funding_id)


def events(about: str | None, *, deal: str | None, after_id: int | None, limit: int) -> Select[Any]:
    """Return the query for events: ascending after *after_id*, or else the newest, descending.

    *about* is ``Kind/name``, or the bare name of a strategy, with its bots, or a connection.
    """
    query = select(EVENTS).limit(limit)
    if about is not None and "/" in about:
        query = query.where(EVENTS.c.about == about)
    elif about is not None:
        named = EVENTS.c.about.in_((about, f"Strategy/{about}", f"Connection/{about}"))
        query = query.where(or_(named, _is_of(EVENTS.c.about, about, "Bot/")))
    if deal is not None:
        query = query.where(EVENTS.c.deal == deal)
    if after_id is None:
        return query.order_by(EVENTS.c.event_id.desc())
    return query.where(EVENTS.c.event_id > after_id).order_by(EVENTS.c.event_id)


def _chunks(values: Iterable[_T]) -> Iterable[list[_T]]:
    source = iter(values)
    while chunk := list(islice(source, _CHUNK)):
        yield chunk
