"""``backfuturectl get``: lists out of the running daemon."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any, Final

import click

from backfuturectl.cli.kinds import Kind
from backfuturectl.cli.render import Column, age, output_option, print_rows
from backfuturectl.daemon.client import daemon

LISTS: Final[dict[str, tuple[Column, ...]]] = {
    "connections": (
        Column("NAME", "name"),
        Column("EXCHANGE", "exchange"),
        Column("MARKET", "market"),
        Column("STATUS", "status"),
        Column("REASON", "reason"),
        Column("KEY", "keyFingerprint"),
        Column("TESTED", "testedAge"),
        Column("REALISED", "realisedShort", is_number=True),
        Column("UNREALISED", "unrealisedShort", is_number=True),
        Column("ACCOUNT", "accountId", is_wide=True),
        Column("PERMISSIONS", "permissionList", is_wide=True),
        Column("MESSAGE", "message", is_wide=True),
    ),
    "strategies": (
        Column("NAME", "name"),
        Column("CONNECTION", "connection"),
        Column("MODE", "mode"),
        Column("RISK", "risk"),
        Column("STATUS", "status"),
        Column("REASON", "reason"),
        Column("BOTS", "bots", is_number=True),
        Column("DEALS", "openDeals", is_number=True),
        Column("REALISED", "realisedShort", is_number=True),
        Column("UNREALISED", "unrealisedShort", is_number=True),
        Column("GEN", "generation", is_number=True),
        Column("MESSAGE", "message", is_wide=True),
    ),
    "bots": (
        Column("NAME", "name"),
        Column("MODE", "mode"),
        Column("STATE", "state"),
        Column("DEAL", "dealId"),
        Column("POSITION", "position", is_number=True),
        Column("AVERAGE", "average", is_number=True),
        Column("UNREALISED", "unrealised", is_number=True),
        Column("ORDERS", "openOrders", is_number=True),
        Column("CONNECTION", "connection", is_wide=True),
        Column("EXIT AT", "nextExit", is_number=True, is_wide=True),
        Column("STOP AT", "stop", is_number=True, is_wide=True),
        Column("STOP ON", "stopOn", is_wide=True),
        Column("LIQUIDATED AT", "liquidation", is_number=True, is_wide=True),
        Column("MARGIN", "margin", is_number=True, is_wide=True),
        Column("RECOVERY", "scoreShort", is_number=True, is_wide=True),
        Column("GATE", "gateReason", is_wide=True),
    ),
    "deals": (
        Column("ID", "id"),
        Column("MODE", "mode"),
        Column("SIDE", "side"),
        Column("STATUS", "status"),
        Column("OPENED", "openedAge"),
        Column("EXIT", "exitLeg"),
        Column("RESULT", "result", is_number=True),
        Column("QUOTE", "quote"),
        Column("REALISED", "realised", is_number=True, is_wide=True),
        Column("FEES", "fees", is_number=True, is_wide=True),
        Column("FUNDING", "funding", is_number=True, is_wide=True),
        Column("UNVALUED FEES", "unvaluedShort", is_wide=True),
        Column("AUDIT", "audit", is_wide=True),
    ),
    "orders": (
        Column("CLIENT ORDER ID", "clientOrderId"),
        Column("DEAL", "dealId"),
        Column("MODE", "mode"),
        Column("LEG", "leg"),
        Column("SIDE", "side"),
        Column("PRICE", "price", is_number=True),
        Column("AMOUNT", "amount", is_number=True),
        Column("FILLED", "filled", is_number=True),
        Column("STATUS", "status"),
        Column("AGE", "createdAge"),
        Column("REASON", "reason", is_wide=True),
        Column("FIELD", "field", is_wide=True),
        Column("GEN", "generation", is_number=True, is_wide=True),
        Column("COMMIT", "shortCommit", is_wide=True),
        Column("SOURCE", "source", is_wide=True),
    ),
    "events": (
        Column("AGE", "atAge"),
        Column("TYPE", "type"),
        Column("REASON", "reason"),
        Column("ABOUT", "about"),
        Column("MESSAGE", "message"),
    ),
}
_AGES: Final = {
    "lastTested": "testedAge",
    "openedAt": "openedAge",
    "createdAt": "createdAge",
    "since": "sinceAge",
    "at": "atAge",
}
_ROUNDED: Final = frozenset(
    {"average", "averageAfter", "unrealised", "margin", "nextExit", "stop", "liquidation", "result"}
    | {"realised", "gross", "fees", "funding", "dust"}
)
_COMMIT_DIGITS: Final = 12
_NOT_FINAL: Final = "not final"
"""A closed deal's result before its fills and fees were compared with the exchange's."""

_TWO_PLACES: Final = Context(prec=60)
_EIGHT_DIGITS: Final = Context(prec=8)
"""Figures that were divided or multiplied; the exact ones are in the JSON."""


@click.command()
@click.argument("kind", metavar="KIND", type=Kind(list(LISTS)))
@click.argument("about", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=200, show_default=True)
@output_option
def get(kind: str, about: str | None, limit: int, output: str) -> None:
    r"""List KIND: connections, strategies, bots, deals, orders or events.

    ABOUT narrows the list: a strategy or a bot for bots, deals, orders and events; a deal for
    orders and events; a connection for bots and events. KIND may be singular. JSON and YAML hold
    every field, exact.

    \b
    Examples:
      backfuturectl get connections
      backfuturectl get bots btc-eth-balanced -o wide
      backfuturectl get deals btc-eth-balanced
      backfuturectl get orders 'btc-eth-balanced/BTC-USDT#1' -o json
    """
    answer = daemon().get(kind, about=about, limit=limit)
    rows = answer["items"]
    if output in {"table", "wide"}:
        if not rows:
            click.echo(f"no {kind}" + (f" of `{about}`" if about else ""), err=True)
            return
        now_ms = int(daemon().get("status")["now"])
        rows = [for_people(row, now_ms) for row in rows]
    print_rows(LISTS[kind], rows, output=output, kind=answer["kind"])


def for_people(row: dict[str, Any], now_ms: int) -> dict[str, Any]:
    """Return *row* as a table shows it: ages for times, figures without digits nobody reads."""
    shown = dict(row)
    for field, name in _AGES.items():
        if field in row:
            shown[name] = age(row[field], now_ms)
    for field in _ROUNDED & row.keys():
        if row[field] is not None:
            shown[field] = _EIGHT_DIGITS.create_decimal(row[field]).normalize()
    if row.get("status") == "closed" and row.get("settledAt", 0) is None:
        shown["result"] = f"{shown['result']} ({_NOT_FINAL})"
    if "permissions" in row:
        shown["permissionList"] = ",".join(row["permissions"])
    if "unvaluedFees" in row:
        shown["unvaluedShort"] = [
            f"{fee['amount']} {fee['currency']}" for fee in row["unvaluedFees"]
        ]
    for field, name in (("realised", "realisedShort"), ("unrealised", "unrealisedShort")):
        if "results" in row:
            shown[name] = [_money(result, field) for result in row["results"]]
    if row.get("awayPct") is not None:
        shown["price"] = _EIGHT_DIGITS.create_decimal(row["price"]).normalize()
        shown["away"] = f"{_TWO_PLACES.quantize(Decimal(row['awayPct']), Decimal('0.01')):+f}%"
    if "commit" in row:
        shown["shortCommit"] = row["commit"][:_COMMIT_DIGITS]
    if row.get("recoveryScore") is not None:
        shown["scoreShort"] = shown["recoveryScore"] = f"{_whole(row['recoveryScore'])}%"
    if row.get("isPaused"):
        shown["state"] = f"{row['state']}/PAUSED"
    return shown


def _money(result: dict[str, Any], field: str) -> str:
    """Return one sum with its currency, and where it is not live, with that."""
    figure = two_places(result[field])
    environment = result["environment"]
    where = f" {environment}" if environment not in {None, "live"} else ""
    return f"{figure} {result['quote']}{where}"


def _whole(score: str) -> int:
    """Return *score* without its fraction: only what is reached reads 100."""
    return int(Decimal(score))


def two_places(figure: str) -> str:
    """Return *figure* as money is read; what is nothing has no sign."""
    return f"{_TWO_PLACES.quantize(Decimal(figure), Decimal('0.01')) + 0:f}"
