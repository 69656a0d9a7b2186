"""``backfuturectl logs``: the newest log lines of the running daemon."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import click

from backfuturectl.cli.render import printable
from backfuturectl.daemon.client import daemon

_POLL_S: Final = 1.0
_PAGE: Final = 1_000


@click.command()
@click.option("-n", "--lines", type=click.IntRange(1, 2_000), default=100, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print; json is one object a line.",
)
def logs(*, lines: int, follow: bool, output: str) -> None:
    r"""Show the newest log lines of the running daemon, the last 2,000 of which it keeps.

    The whole log, with tracebacks, is the daemon's standard error: `journalctl -u backfuturectl`.

    \b
    Examples:
      backfuturectl logs
      backfuturectl logs -n 20 --follow
    """
    asked = daemon()
    found = asked.get("logs", limit=lines)["items"]
    _print(found, output)
    while follow:
        time.sleep(_POLL_S)  # noqa: TID251 - no event loop runs in this command
        after = found[-1]["id"] if found else 0
        fresh = asked.get("logs", since=after, limit=_PAGE)["items"]
        # A daemon that was started anew counts from one again.
        if not fresh and after and _is_restarted(asked.get("logs", limit=1)["items"], after):
            found = []
            continue
        _print(fresh, output)
        found = fresh or found


def _is_restarted(newest: list[dict[str, Any]], after: int) -> bool:
    return bool(newest) and int(newest[-1]["id"]) < after


def _print(found: list[dict[str, Any]], output: str) -> None:
    for line in found:
        click.echo(json.dumps(line, ensure_ascii=False) if output == "json" else _text(line))


def _text(line: Mapping[str, Any]) -> str:
    at = datetime.fromtimestamp(line["at"] / 1000, UTC).isoformat(timespec="milliseconds")
    return f"{at} {line['level']:7} {printable(line['message'])}"
