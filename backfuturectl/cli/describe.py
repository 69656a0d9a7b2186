"""``backfuturectl describe``: everything about one thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import click

from backfuturectl.cli.deal_story import moment, story
from backfuturectl.cli.get import LISTS, for_people
from backfuturectl.cli.kinds import Kind
from backfuturectl.cli.render import Column, age, cell, has_colours, print_object, table_lines
from backfuturectl.daemon.client import daemon

_TABLES: Final[dict[str, tuple[Column, ...]]] = {
    # field of the answer: how it is shown
    "checks": (
        Column("CHECK", "name"),
        Column("OK", "ok"),
        Column("REASON", "reason"),
        Column("MESSAGE", "message"),
    ),
    "conditions": (
        Column("TYPE", "type"),
        Column("STATUS", "status"),
        Column("REASON", "reason"),
        Column("SINCE", "sinceAge"),
        Column("MESSAGE", "message"),
    ),
    "findings": (
        Column("CODE", "code"),
        Column("FILE", "file"),
        Column("LINE", "line", is_number=True),
        Column("MESSAGE", "message"),
        Column("HELP", "help"),
    ),
    "pendingChanges": (Column("FIELD", "path"), Column("RUNS", "old"), Column("FILE SAYS", "new")),
    "results": (
        Column("WHERE", "environment"),
        Column("QUOTE", "quote"),
        Column("REALISED", "realised", is_number=True),
        Column("BEFORE FEES", "gross", is_number=True),
        Column("FEES", "fees", is_number=True),
        Column("FUNDING", "funding", is_number=True),
        Column("UNREALISED", "unrealised", is_number=True),
        Column("UNVALUED FEES", "unvaluedShort"),
    ),
    "unvaluedFees": (Column("COIN", "currency"), Column("FEES WITHOUT A PRICE", "amount")),
    "fundingPayments": (Column("AGE", "atAge"), Column("AMOUNT", "amount", is_number=True)),
    "recovery": (
        Column("RULE", "rule"),
        Column("OF", "measure"),
        Column("NOW", "now", is_number=True),
        Column("ASKS FOR", "asks", is_number=True),
        Column("TRUE", "isTrue"),
        Column("FOR", "held"),
    ),
    "exits": (
        Column("EXIT", "name"),
        Column("PRICE", "price", is_number=True),
        Column("AWAY", "away", is_number=True),
        Column("AMOUNT", "amount", is_number=True),
        Column("HOW", "how"),
    ),
    "ladder": (
        Column("RUNG", "number", is_number=True),
        Column("STATE", "state"),
        Column("PRICE", "price", is_number=True),
        Column("AWAY", "away", is_number=True),
        Column("AMOUNT", "amount", is_number=True),
        Column("AVERAGE AFTER", "averageAfter", is_number=True),
    ),
    "story": (
        Column("TIME (UTC)", "time"),
        Column("WHAT", "what"),
        Column("SIDE", "side"),
        Column("PRICE", "price", is_number=True),
        Column("AMOUNT", "amount", is_number=True),
        Column("FEE", "paid", is_number=True),
        Column("POSITION", "position", is_number=True),
        Column("AVERAGE", "average", is_number=True),
        Column("REMARK", "remark"),
    ),
    "fills": (
        Column("AGE", "atAge"),
        Column("FILL", "fillId"),
        Column("SIDE", "side"),
        Column("PRICE", "price", is_number=True),
        Column("AMOUNT", "amount", is_number=True),
        Column("FEE", "fee", is_number=True),
        Column("COIN", "feeCurrency"),
    ),
    "deals": LISTS["deals"],
    # All of it: what caused an order is what a description is asked for.
    "orders": tuple(
        replace(column, is_wide=False) for column in LISTS["orders"] if column.key != "dealId"
    ),
    "events": tuple(column for column in LISTS["events"] if column.key != "about"),
}
_HIDDEN: Final = frozenset(
    {"apiVersion", "kind", "shortCommit", "permissionList"}
    | {"unvaluedShort", "realisedShort", "unrealisedShort", "scoreShort"}
)
_FOUR_PLACES: Final = Decimal("0.0001")
_MOMENTS: Final = frozenset(
    {"since", "lastTested", "openedAt", "closedAt", "settledAt", "createdAt", "updatedAt"}
)


@click.command()
@click.argument(
    "kind", metavar="KIND", type=Kind(["connection", "strategy", "bot", "deal", "order"])
)
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "yaml", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)
def describe(kind: str, name: str, output: str) -> None:
    r"""Show everything about one KIND: a connection, strategy, bot, deal or order.

    KIND may be plural. JSON and YAML hold every field; their times are milliseconds UTC.

    \b
    Examples:
      backfuturectl describe connection mexc-spot-main
      backfuturectl describe bot btc-eth-balanced/BTC-USDT
      backfuturectl describe deal 'btc-eth-balanced/BTC-USDT#1'
      backfuturectl describe order bfti0bzidplh00003r01000
    """
    found = daemon().get(kind, name)
    if output != "text":
        print_object(found, output)
        return
    now_ms = int(daemon().get("status")["now"])
    for line in text_lines(found, now_ms, is_coloured=has_colours()):
        click.echo(line, color=has_colours())


def text_lines(
    found: Mapping[str, Any], now_ms: int, *, is_coloured: bool = False
) -> Iterator[str]:
    """Yield the lines of one description: its fields, then a table for each list in it."""
    hidden = _HIDDEN | _TABLES.keys()
    if found.get("cause") == found.get("message"):
        hidden |= {"cause"}
    fields = dict(_fields({k: v for k, v in found.items() if k not in hidden}, now_ms))
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        yield f"{name:{width}}  {value}"
    told = {**found, "story": story(found)} if "story" in found else found
    for name, columns in _TABLES.items():
        rows = [for_people(row, now_ms) for row in told.get(name, ())]
        if name == "recovery":
            rows = [_measured(row) for row in rows]
        is_told = name in {"fills", "events", "fundingPayments"} and "story" in found
        if rows and not is_told:
            yield ""
            yield f"{name}:"
            for line in table_lines(columns, rows, is_coloured=is_coloured):
                yield f"  {line}"


def _measured(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one rule of Recovery Mode as people read it: how far, what it asks for, how long."""
    now, limit = (_figure(row[field], row["unit"]) for field in ("value", "limit"))
    asks = f"below {limit}" if row["isBelow"] else f"at least {limit}"
    held = f"{age(0, row['heldMs'])} of {age(0, row['confirmMs'])}" if row["isTrue"] else ""
    is_flag = row["unit"] == "flag"
    return {
        **row,
        "now": "" if is_flag else now,
        "asks": "" if is_flag else asks,
        "held": held if row["confirmMs"] else "",
    }


def _figure(value: str, unit: str) -> str:
    """Return *value* with digits enough to tell it from the limit that it comes near."""
    if unit == "ms":
        return age(0, int(value))
    return f"{Decimal(value).quantize(_FOUR_PLACES).normalize() + 0:f}%"


def _fields(found: Mapping[str, Any], now_ms: int, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in for_people(dict(found), now_ms).items():
        if name.endswith("Age") or name in _HIDDEN:
            continue
        if isinstance(value, Mapping):
            yield from _fields(value, now_ms, f"{prefix}{name}.")
        elif name in _MOMENTS and value is not None:
            yield f"{prefix}{name}", _moment(value, now_ms)
        elif value not in (None, "", []):
            yield f"{prefix}{name}", cell(value)


def _moment(at_ms: int, now_ms: int) -> str:
    return f"{moment(at_ms)} UTC ({age(at_ms, now_ms)} ago)"
