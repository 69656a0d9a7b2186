"""What a bot reads at its start, and people list, takes the same however much it ever did."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import pytest
from sqlalchemy import Engine, event

from backfuturectl.model.ids import OrderName, bot_code, client_order_id
from backfuturectl.model.orders import Leg, LegKind
from backfuturectl.model.records import OrderRecord
from backfuturectl.store.database import Store
from tests.contract.store.records import BOT, SEED

ORDERS: Final = 200_000
FEW: Final = 2_000
A_DEAL: Final = 8  # orders of one, each with a fill and a funding payment

_ORDER: Final = (
    "INSERT INTO orders VALUES (?, ?, ?, 'r', 1, 'buy', 'limit', '1', '1', ?, 'why', 1, '', ?, ?,"
    " 0, NULL, '0', '0', NULL, '', '', NULL, 'live', '')"
)
_BOT: Final = "INSERT INTO bots VALUES (?, ?, 'main', 'BTC/USDT', 'averaging', '{}', 1, 1, x'', 0)"
_FILL: Final = "INSERT INTO fills VALUES (?, ?, ?, 'buy', '1', '1', NULL, NULL, ?, NULL)"
_PAYMENT: Final = "INSERT INTO funding VALUES (?, ?, 'BTC/USDT', '1', ?, ?)"
_DEAL: Final = (
    "INSERT INTO deals VALUES (?, ?, ?, 'buy', ?, ?, '1', 'takeProfit', 'main', 'live', 'spot')"
)
_SETTLEMENT: Final = (
    "INSERT INTO settlements VALUES (?, ?, 'clean', '1', '1', '0', '0', '[]', '0', '0', 1)"
)


def fill_up(driver: sqlite3.Connection, installation: str, orders: int) -> None:
    """Write the history of one bot; its last deal is open, and its last three orders rest."""
    deals = orders // A_DEAL

    def deal_of(number: int) -> str:
        return f"{BOT}#{number // A_DEAL}"

    def name_of(number: int) -> str:
        deal, attempt = divmod(number, A_DEAL)
        name = OrderName(installation, bot_code(BOT), deal, Leg(LegKind.RUNG, 1), attempt)
        return client_order_id(name)

    numbers = range(orders)
    rests = orders - 3
    driver.execute("BEGIN")
    driver.execute(_BOT, (BOT, BOT.partition("/")[0]))
    driver.executemany(
        _ORDER,
        (
            (
                name_of(n),
                BOT,
                deal_of(n),
                "open" if n >= rests else "filled",
                n,
                n,
            )
            for n in numbers
        ),
    )
    driver.executemany(_FILL, ((BOT, f"f{n}", name_of(n), n) for n in numbers))
    driver.executemany(_PAYMENT, ((BOT, f"p{n}", n, deal_of(n)) for n in numbers))
    driver.executemany(
        _DEAL,
        (
            (f"{BOT}#{n}", BOT, n, n * A_DEAL, None if n == deals - 1 else n * A_DEAL + 7)
            for n in range(deals)
        ),
    )
    driver.executemany(_SETTLEMENT, ((f"{BOT}#{n}", BOT) for n in range(deals - 1)))
    driver.execute("COMMIT")


def driver_of(engine: Engine) -> sqlite3.Connection:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


@asynccontextmanager
async def history(orders: int) -> AsyncIterator[Store]:
    async with Store.open("sqlite://", seed=SEED, inline=True) as store:
        fill_up(driver_of(store._engines.writer), store.installation, orders)
        yield store


@contextmanager
def counted(store: Store) -> Iterator[list[int]]:
    """Count the instructions of SQLite's machine while the block runs."""
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    driver = driver_of(store._engines.reader)
    driver.set_progress_handler(count, 1)
    try:
        yield steps
    finally:
        driver.set_progress_handler(None, 0)


@contextmanager
def told(store: Store) -> Iterator[list[str]]:
    """Collect how SQLite carries out the queries of the block."""
    plans: list[str] = []

    def explain(
        _: object, cursor: sqlite3.Cursor, statement: str, values: tuple[object], *_rest: object
    ) -> None:
        rows = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
        plans.extend(row[3] for row in rows)

    engine = store._engines.reader
    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(engine, "before_cursor_execute", explain)


Read = Callable[[Store, str], Awaitable[object]]
READS: Final[dict[str, Read]] = {
    "the bot": lambda store, _: store.bots(BOT),
    "its newest deal": lambda store, _: store.deals(BOT, limit=1),
    "its open deals": lambda store, _: store.deals(BOT, is_open=True),
    "its newest orders and those that rest": lambda store, _: store.remembered_orders(BOT),
    "its resting orders": lambda store, _: store.orders(BOT, is_open=True),
    "its last orders": lambda store, _: store.orders(BOT, limit=5),
    "the orders of a deal": lambda store, deal: store.orders(BOT, deal),
    "the fills of a deal": lambda store, deal: store.fills(BOT, deal=deal),
    "the fills of some orders": lambda store, _: store.fills(BOT, client_order_ids=["bf1"]),
    "the funding of a deal": lambda store, deal: store.funding(BOT, deal=deal),
    "the books that are not settled": lambda store, _: store.unsettled_books(10**9, bot=BOT),
}
LISTS: Final[dict[str, Read]] = {
    "a strategy's newest orders": lambda store, _: store.orders("eth", limit=5),
    "a strategy's newest deals": lambda store, _: store.deals("eth", limit=5),
    "the newest orders": lambda store, _: store.orders(limit=5),
    "the newest deals": lambda store, _: store.deals(limit=5),
}
WHOLE_HISTORY: Final = ("SCAN orders", "SCAN deals", "SCAN fills", "SCAN funding")


def deal(orders: int) -> str:
    return f"{BOT}#{orders // A_DEAL - 1}"


async def test_a_start_and_a_list_cost_the_same_after_a_hundred_times_the_orders() -> None:
    costs: dict[int, dict[str, int]] = {}
    for orders in (FEW, ORDERS):
        async with history(orders) as store:
            assert len(await store.remembered_orders(BOT)) == A_DEAL
            costs[orders] = {}
            for name, read in (READS | LISTS).items():
                with counted(store) as steps:
                    found = await read(store, deal(orders))
                costs[orders][name] = steps[0]
                if name in LISTS:
                    assert newest_are_listed(found, orders), name
    assert all(steps > 0 for steps in costs[FEW].values())
    assert costs[ORDERS] == costs[FEW]


def newest_are_listed(found: object, orders: int) -> bool:
    """Return whether *found* are the five newest orders, or deals, oldest first."""
    assert isinstance(found, tuple)
    if isinstance(found[0], OrderRecord):
        return [row.intended_at_ms for row in found] == list(range(orders - 5, orders))
    began = range(orders - 5 * A_DEAL, orders, A_DEAL)
    return [row.opened_at_ms for row in found] == list(began)


@pytest.mark.parametrize("name", READS)
async def test_what_a_start_reads_is_searched_for_by_an_index(name: str) -> None:
    async with history(FEW) as store:
        with told(store) as plans:
            await READS[name](store, deal(FEW))
    assert plans
    assert not [line for line in plans if line.startswith(WHOLE_HISTORY)], plans
    # A search for all of one bot's rows is one through its whole history, but for the newest.
    by_bot = [line for line in plans if line.endswith("(bot=?)")]
    allowed = ("bots USING", "USING INDEX orders_newest", "USING INDEX deals_newest", "deals_open")
    assert not [line for line in by_bot if not any(part in line for part in allowed)], plans
