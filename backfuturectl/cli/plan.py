"""``backfuturectl plan``: what the daemon would change to follow the files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click

from backfuturectl.cli.main import complain
from backfuturectl.cli.render import API_VERSION, print_object
from backfuturectl.model.errors import BackfutureError

EXIT_CHANGES: Final = 2
EXIT_ERROR: Final = 1
"""With ``--detailed-exitcode``, where 2 already means changes."""


@click.command()
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Configuration root. [default: configs, or BACKFUTURECTL_ROOT]",
)
@click.option(
    "--detailed-exitcode", is_flag=True, help="Exit 0 without changes, 2 with, 1 on an error."
)
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text")
def plan(*, root: Path | None, detailed_exitcode: bool, output: str) -> None:
    r"""Compare the files with what runs; nothing is changed.

    What runs is asked of the daemon, or read from the state store when none runs. Any checkout can
    be compared: in a pull request, `--root` is the branch's files.

    Signs: + starts, - stops or drains, ~ is updated in place, ± is replaced, ! is tested again or
    refused. In brackets: when a change reaches an open deal.

    \b
    Examples:
      backfuturectl plan
      backfuturectl plan --root ./configs --detailed-exitcode
    """
    from backfuturectl.config.settings import load_settings  # noqa: PLC0415 - slow import
    from backfuturectl.reconcile.preview import preview, running_now  # noqa: PLC0415

    try:
        settings = load_settings(root=root)
        rows = preview(settings.root, _running(settings.socket, lambda: running_now(settings)))
    except BackfutureError as error:
        if not detailed_exitcode:
            raise
        complain(str(error), str(getattr(error, "remedy", "")))
        raise click.exceptions.Exit(EXIT_ERROR) from error
    if output == "text":
        click.echo("\n".join(_lines(rows)))
    else:
        print_object({"apiVersion": API_VERSION, "kind": "Plan", "actions": rows}, output)
    if rows and detailed_exitcode:
        raise click.exceptions.Exit(EXIT_CHANGES)


def _running(socket: Path, from_store: Any) -> list[dict[str, Any]]:
    from backfuturectl.daemon.client import Daemon, DaemonError  # noqa: PLC0415

    try:
        rows: list[dict[str, Any]] = Daemon(socket).get("running")["items"]
    except DaemonError as error:
        if not error.is_absent:
            raise
        rows = asyncio.run(from_store())
        click.echo("no daemon runs here; comparing with the state store", err=True)
    return rows


_SIGNS: Final = {"start": "+", "stop": "-", "drain": "-", "update": "~", "replace": "±"}


def _lines(rows: Iterable[dict[str, Any]]) -> Iterable[str]:
    from backfuturectl.planning.diff import FieldChange  # noqa: PLC0415 - slow import

    count = 0
    for row in rows:
        count += 1
        how = f" ({row['how']})" if row.get("how") else ""
        why = f": {row['why']}" if row.get("why") else ""
        yield f"{_SIGNS.get(row['action'], '!')} {row['action']} {row['bot']}{how}{why}"
        for change in row["changes"]:
            told = FieldChange(change["path"], change["old"], change["new"])
            yield f"    {told}  [{change['effect']}]"
    if count:
        yield f"{count} change{'s' if count > 1 else ''}"
    else:
        yield "no changes: what runs equals the files"
