"""The tables, as the newest schema has them; `migrations` brings older files here.

Decimals are text, so that every digit survives. Times are milliseconds UTC. Enumerations are their
values, which are part of the format and never change meaning.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

METADATA: Final = MetaData()

SCHEMA_VERSION: Final = Table(
    "schema_version", METADATA, Column("version", Integer, primary_key=True)
)

INSTALLATION: Final = Table("installation", METADATA, Column("code", Text, primary_key=True))

LEASE: Final = Table(
    "lease",
    METADATA,
    Column("id", Integer, primary_key=True),  # always 1
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("heartbeat_ms", Integer, nullable=False),
)

RESOURCES: Final = Table(
    "resources",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("source", LargeBinary, nullable=False),
    Column("path", Text, nullable=False),
    Column("accepted_at_ms", Integer, nullable=False),
)

BOTS: Final = Table(
    "bots",
    METADATA,
    Column("bot", Text, primary_key=True),
    Column("strategy", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("pair", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("updated_at_ms", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("is_retired", Integer, nullable=False),
)

DEALS: Final = Table(
    "deals",
    METADATA,
    Column("deal", Text, primary_key=True),
    Column("bot", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("side", Text, nullable=False),
    Column("opened_at_ms", Integer, nullable=False),
    Column("closed_at_ms", Integer),
    Column("result_quote", Text),
    Column("exit_leg", Text),
    Column("connection", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("market", Text, nullable=False),
    Index("deals_newest", "bot", "opened_at_ms", "number"),
    Index("deals_open", "bot", sqlite_where=text("closed_at_ms IS NULL")),
    Index("deals_closed", "closed_at_ms"),
)

ORDERS: Final = Table(
    "orders",
    METADATA,
    Column("client_order_id", Text, primary_key=True),
    Column("bot", Text, nullable=False),
    Column("deal", Text, nullable=False),
    Column("leg_kind", Text, nullable=False),
    Column("leg_index", Integer, nullable=False),
    Column("side", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("price", Text, nullable=False),
    Column("amount_base", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("commit", Text, nullable=False),
    Column("intended_at_ms", Integer, nullable=False),
    Column("updated_at_ms", Integer, nullable=False),
    Column("is_reduce_only", Integer, nullable=False),
    Column("order_id", Text),
    Column("filled_base", Text, nullable=False),
    Column("cost_quote", Text, nullable=False),
    Column("raw_code", Text),
    Column("field", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("trigger_price", Text),
    Column("environment", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Index("orders_bot", "bot", "status"),
    Index("orders_newest", "bot", "intended_at_ms", "client_order_id"),
    Index("orders_deal", "deal"),
)

FILLS: Final = Table(
    "fills",
    METADATA,
    Column("bot", Text, primary_key=True),
    Column("fill_id", Text, primary_key=True),
    Column("client_order_id", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("price", Text, nullable=False),
    Column("amount_base", Text, nullable=False),
    Column("fee_currency", Text),
    Column("fee_amount", Text),
    Column("at_ms", Integer, nullable=False),
    Column("fee_price", Text),
    Index("fills_order", "client_order_id"),
)

FUNDING: Final = Table(
    "funding",
    METADATA,
    Column("bot", Text, primary_key=True),
    Column("funding_id", Text, primary_key=True),
    Column("pair", Text, nullable=False),
    Column("amount_quote", Text, nullable=False),
    Column("at_ms", Integer, nullable=False),
    Column("deal", Text, nullable=False),
    Index("funding_deal", "deal"),
)

SETTLEMENTS: Final = Table(
    "settlements",
    METADATA,
    Column("deal", Text, primary_key=True),
    Column("bot", Text, nullable=False),
    Column("audit", Text, nullable=False),
    Column("told_quote", Text, nullable=False),
    Column("gross", Text, nullable=False),
    Column("fees", Text, nullable=False),
    Column("funding", Text, nullable=False),
    Column("unvalued", Text, nullable=False),  # JSON: [[currency, amount], ...]
    Column("dust_base", Text, nullable=False),
    Column("dust_cost", Text, nullable=False),
    Column("settled_at_ms", Integer, nullable=False),
)

EVENTS: Final = Table(
    "events",
    METADATA,
    Column("event_id", Integer, primary_key=True),
    Column("at_ms", Integer, nullable=False),
    Column("about", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("deal", Text, nullable=False),
    Index("events_about", "about", "event_id"),
    Index("events_deal", "deal", "event_id"),
)

HOLDS: Final = Table(
    "holds",
    METADATA,
    Column("target", Text, primary_key=True),
    Column("verb", Text, primary_key=True),
    Column("since_ms", Integer, nullable=False),
    Column("note", Text, nullable=False),
)
