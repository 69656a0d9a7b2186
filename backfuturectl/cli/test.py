"""``backfuturectl test``: the connection test, with a daemon or without one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from backfuturectl.cli.render import Column, output_option, print_rows

CHECKS: Final = ("endpoint", "key", "rights", "balance", "status")
_MARKS: Final = {True: "ok", False: "FAIL", None: "-"}
_COLUMNS: Final = (
    Column("NAME", "name"),
    Column("EXCHANGE", "exchange"),
    Column("MARKET", "market"),
    *(Column(name.upper(), f"marks.{name}") for name in CHECKS),
    Column("RESULT", "status"),
    Column("REASON", "reason"),
    Column("KEY", "keyFingerprint", is_wide=True),
    Column("ACCOUNT", "accountId", is_wide=True),
    Column("PERMISSIONS", "permissionList", is_wide=True),
)


@click.command()
@click.argument("connections", nargs=-1)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Configuration root. [default: configs, or BACKFUTURECTL_ROOT]",
)
@click.option("--age-key-file", type=click.Path(path_type=Path), help="age identities for SOPS.")
@output_option
def test(
    connections: tuple[str, ...], root: Path | None, age_key_file: Path | None, output: str
) -> None:
    r"""Test CONNECTIONS, or all: endpoint and clock, key, rights, balance, order status.

    Decrypts the keys here and asks the exchanges directly; nothing is traded. A key that can
    withdraw is refused. A running daemon is asked to test the same connections again.

    Exit code 0 when all are Online, 1 when one is not.

    \b
    Examples:
      backfuturectl test
      backfuturectl test mexc-spot-main -o json
    """
    from backfuturectl.config.settings import load_settings  # noqa: PLC0415 - slow imports
    from backfuturectl.reconcile.testing import test_all  # noqa: PLC0415

    settings = load_settings(root=root, age_key_file=age_key_file)
    if sys.stderr.isatty():
        click.echo(f"testing {', '.join(connections) or 'all connections'} …", err=True)
    rows = asyncio.run(
        test_all(
            settings.root,
            key_file=settings.age_key_file,
            program=settings.sops,
            names=connections,
        )
    )
    if output in {"json", "yaml"}:
        print_rows(_COLUMNS, rows, output=output, kind="ConnectionList")
    else:
        print_rows(_COLUMNS, [_shown(row) for row in rows], output=output, kind="ConnectionList")
        for row in rows:
            _explain(row)
    _tell_daemon(settings.socket, [row["name"] for row in rows])
    if any(row["status"] != "Online" for row in rows):
        raise click.exceptions.Exit(1)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    marks = dict.fromkeys(CHECKS, _MARKS[None])
    marks.update({check["name"]: _MARKS[check["ok"]] for check in row["checks"]})
    return {**row, "marks": marks, "permissionList": ",".join(row["permissions"])}


def _explain(row: Mapping[str, Any]) -> None:
    if row["status"] != "Online":
        code = f" (code {row['rawCode']})" if row["rawCode"] else ""
        click.echo(f"\n{row['name']}: {row['reason']}: {row['cause']}{code}")
        if row["message"]:
            click.echo(f"  {row['message']}")
        if row["egressIp"]:
            click.echo(f"  the exchange sees this machine as {row['egressIp']}")
        click.echo(f"  help: {row['remedy']}")
    for warning in row["warnings"]:
        click.echo(f"\n{row['name']}: warning: {warning}")


def _tell_daemon(socket: Path, names: list[str]) -> None:
    """Make a running daemon test again: what failed there may be mended now."""
    from backfuturectl.daemon.client import Daemon, DaemonError  # noqa: PLC0415

    try:
        Daemon(socket).act("test", connections=names)
    except DaemonError:
        return  # none runs here, or it reads other files; the test above stands on its own
