"""``backfuturectl audit``: what the store remembers against what the exchange says."""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from backfuturectl.cli.render import Column, output_option, print_rows
from backfuturectl.daemon.client import Daemon, DaemonError, daemon

_COLUMNS: Final = (
    Column("BOT", "bot"),
    Column("DIFFERENCE", "kind"),
    Column("FILL OR ORDER", "about"),
    Column("ORDER", "clientOrderId", is_wide=True),
    Column("STORE", "ours"),
    Column("EXCHANGE", "theirs"),
)
_DIFFERENCES: Final = 1
_COULD_NOT: Final = 2
_AS_FAR: Final = "an audit looks 29 days back, as far as every exchange remembers"


@click.command()
@click.argument("strategies", metavar="[STRATEGY]...", nargs=-1)
@click.option("--since", default="24h", show_default=True, help="How far back: 90m, 24h, 7d.")
@output_option
def audit(strategies: tuple[str, ...], since: str, output: str) -> None:
    r"""Compare the store's orders and fills with the exchange's, to the last digit.

    The running daemon asks, bot by bot, through each connection's own key; orders go first. Fills
    that only one side knows, other prices, amounts or fees, and open orders of this program that
    nobody answers for are listed. What an exchange's history no longer reaches is said. Paper bots
    are left out.

    Exit codes: 0 all is the same, 1 there are differences, 2 something could not be compared.

    \b
    Examples:
      backfuturectl audit
      backfuturectl audit btc-eth-balanced --since 7d -o json
    """
    from backfuturectl.model.units import parse_duration  # noqa: PLC0415 - slow import

    try:
        since_ms = parse_duration(since)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from error
    asked = daemon()
    bots = _bots(asked, strategies)
    from_ms = int(asked.get("status")["now"]) - since_ms
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    fills = 0
    label = "auditing" if sys.stderr.isatty() else ""  # without a terminal that is all it prints
    with click.progressbar(bots, label=label, file=sys.stderr) as each:
        for bot in each:
            try:
                found = asked.act("audit", bot=bot, since=from_ms)
            except DaemonError as error:
                failures.append(f"{bot}: could not be compared: {error}")
                continue
            fills += found["fills"]
            if not found["isComplete"]:
                failures.append(f"{bot}: not compared so far back: {_AS_FAR}")
            rows += [{"bot": bot, **difference} for difference in found["differences"]]
    if rows or output in {"json", "yaml"}:
        print_rows(_COLUMNS, rows, output=output, kind="AuditDifferenceList")
    for failure in failures:
        click.echo(failure, err=True)
    click.echo(
        f"{len(bots)} bots, {fills} fills compared: {len(rows)} differences"
        + (f"; {len(failures)} could not be compared in full" if failures else ""),
        err=True,
    )
    if failures:
        raise click.exceptions.Exit(_COULD_NOT)
    if rows:
        raise click.exceptions.Exit(_DIFFERENCES)


def _bots(asked: Daemon, strategies: tuple[str, ...]) -> list[str]:
    rows = asked.get("bots")["items"]
    unknown = set(strategies) - {row["strategy"] for row in rows}
    if unknown:
        raise click.BadParameter(f"no bot runs of {', '.join(sorted(unknown))}")
    return [
        row["name"]
        for row in rows
        if row["mode"] == "live" and (not strategies or row["strategy"] in strategies)
    ]
