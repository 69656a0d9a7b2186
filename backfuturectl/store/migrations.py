"""Bring a database to the newest schema, one step per transaction.

A step is never edited once it was released: a mended schema is a new step. `schema` shows the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, inspect

from backfuturectl.model.errors import ConfigurationError
from backfuturectl.store.schema import SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Migration:
    """SQL that leads from the version before to *version*."""

    version: int
    statements: tuple[str, ...]


MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(
        1,
        (
            "CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY)",
            "INSERT INTO schema_version (version) VALUES (0)",
            "CREATE TABLE installation (code TEXT NOT NULL PRIMARY KEY)",
            "CREATE TABLE lease (id INTEGER NOT NULL PRIMARY KEY, host TEXT NOT NULL,"
            " pid INTEGER NOT NULL, heartbeat_ms INTEGER NOT NULL)",
            "CREATE TABLE resources (kind TEXT NOT NULL, name TEXT NOT NULL,"
            " generation INTEGER NOT NULL, digest TEXT NOT NULL, source BLOB NOT NULL,"
            " path TEXT NOT NULL, accepted_at_ms INTEGER NOT NULL, PRIMARY KEY (kind, name))",
            "CREATE TABLE bots (bot TEXT NOT NULL PRIMARY KEY, strategy TEXT NOT NULL,"
            " connection TEXT NOT NULL, pair TEXT NOT NULL, kind TEXT NOT NULL,"
            " state TEXT NOT NULL, generation INTEGER NOT NULL, updated_at_ms INTEGER NOT NULL,"
            " document BLOB NOT NULL, is_retired INTEGER NOT NULL)",
            "CREATE TABLE deals (deal TEXT NOT NULL PRIMARY KEY, bot TEXT NOT NULL,"
            " number INTEGER NOT NULL, side TEXT NOT NULL, opened_at_ms INTEGER NOT NULL,"
            " closed_at_ms INTEGER, result_quote TEXT, exit_leg TEXT)",
            "CREATE INDEX deals_bot ON deals (bot, number)",
            "CREATE TABLE orders (client_order_id TEXT NOT NULL PRIMARY KEY, bot TEXT NOT NULL,"
            " deal TEXT NOT NULL, leg_kind TEXT NOT NULL, leg_index INTEGER NOT NULL,"
            " side TEXT NOT NULL, type TEXT NOT NULL, price TEXT NOT NULL,"
            " amount_base TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,"
            ' generation INTEGER NOT NULL, "commit" TEXT NOT NULL,'
            " intended_at_ms INTEGER NOT NULL, updated_at_ms INTEGER NOT NULL,"
            " is_reduce_only INTEGER NOT NULL, order_id TEXT, filled_base TEXT NOT NULL,"
            " cost_quote TEXT NOT NULL, raw_code TEXT)",
            "CREATE INDEX orders_bot ON orders (bot, status)",
            "CREATE INDEX orders_deal ON orders (deal)",
            "CREATE TABLE fills (bot TEXT NOT NULL, fill_id TEXT NOT NULL,"
            " client_order_id TEXT NOT NULL, side TEXT NOT NULL, price TEXT NOT NULL,"
            " amount_base TEXT NOT NULL, fee_currency TEXT, fee_amount TEXT,"
            " at_ms INTEGER NOT NULL, PRIMARY KEY (bot, fill_id))",
            "CREATE INDEX fills_order ON fills (client_order_id)",
            "CREATE TABLE events (event_id INTEGER NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL,"
            " about TEXT NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,"
            " message TEXT NOT NULL)",
            "CREATE INDEX events_about ON events (about, event_id)",
            "CREATE TABLE holds (target TEXT NOT NULL, verb TEXT NOT NULL,"
            " since_ms INTEGER NOT NULL, note TEXT NOT NULL, PRIMARY KEY (target, verb))",
        ),
    ),
    Migration(
        2,
        (
            "ALTER TABLE deals ADD COLUMN connection TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE deals ADD COLUMN environment TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE deals ADD COLUMN market TEXT NOT NULL DEFAULT ''",
            "UPDATE deals SET connection = coalesce("
            "(SELECT bots.connection FROM bots WHERE bots.bot = deals.bot), '')",
            "CREATE INDEX deals_closed ON deals (closed_at_ms)",
            "ALTER TABLE orders ADD COLUMN field TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE orders ADD COLUMN source TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE orders ADD COLUMN trigger_price TEXT",
            "ALTER TABLE orders ADD COLUMN environment TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE fills ADD COLUMN fee_price TEXT",
            "CREATE TABLE funding (bot TEXT NOT NULL, funding_id TEXT NOT NULL,"
            " pair TEXT NOT NULL, amount_quote TEXT NOT NULL, at_ms INTEGER NOT NULL,"
            " deal TEXT NOT NULL, PRIMARY KEY (bot, funding_id))",
            "CREATE INDEX funding_deal ON funding (deal)",
            "CREATE TABLE settlements (deal TEXT NOT NULL PRIMARY KEY, bot TEXT NOT NULL,"
            " audit TEXT NOT NULL, told_quote TEXT NOT NULL, gross TEXT NOT NULL,"
            " fees TEXT NOT NULL, funding TEXT NOT NULL, unvalued TEXT NOT NULL,"
            " dust_base TEXT NOT NULL, dust_cost TEXT NOT NULL, settled_at_ms INTEGER NOT NULL)",
            "ALTER TABLE events ADD COLUMN deal TEXT NOT NULL DEFAULT ''",
            "CREATE INDEX events_deal ON events (deal, event_id)",
        ),
    ),
    Migration(
        3,
        (
            "ALTER TABLE orders ADD COLUMN account_id TEXT NOT NULL DEFAULT ''",
            # What a bot reads at its start is found without a look at all that it ever did.
            "CREATE INDEX orders_newest ON orders (bot, intended_at_ms, client_order_id)",
            "DROP INDEX deals_bot",
            "CREATE INDEX deals_newest ON deals (bot, opened_at_ms, number)",
            "CREATE INDEX deals_open ON deals (bot) WHERE closed_at_ms IS NULL",
        ),
    ),
)


def migrate(engine: Engine, steps: Sequence[Migration] = MIGRATIONS) -> None:
    """Carry out the steps that the database has not seen.

    A crash between two steps leaves the earlier ones done; a crash within one leaves it undone.

    Raises:
        ConfigurationError: A newer program wrote the database.
    """
    version = _version(engine)
    if version > steps[-1].version:
        raise ConfigurationError(
            f"the state database has schema {version}, this program knows {steps[-1].version}",
            remedy="run the newer version again, or restore the database from before the upgrade",
        )
    for step in steps:
        if step.version > version:
            with engine.begin() as connection:
                for statement in step.statements:
                    connection.exec_driver_sql(statement)
                connection.execute(SCHEMA_VERSION.update().values(version=step.version))


def _version(engine: Engine) -> int:
    with engine.begin() as connection:
        if not inspect(connection).has_table(SCHEMA_VERSION.name):
            return 0
        return int(connection.execute(SCHEMA_VERSION.select()).scalar_one())
