"""``backfuturectl test``: the connection test, with a daemon or without one."""

from __future__ import annotations

import asyncio
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
    Column("STATUS", "status"),
    Column("REASON", "reason"),
    Column("KEY", "keyFingerprint", is_wide=True),
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
    from backfuturectl.config.settings import load_settings  # noqa: PLC0415 - slow import

    settings = load_settings(root=root, age_key_file=age_key_file)
    rows = asyncio.run(_test_all(settings.root, settings.age_key_file, settings.sops, connections))
    if output in {"json", "yaml"}:
        print_rows(_COLUMNS, rows, output=output, kind="ConnectionList")
    else:
        print_rows(_COLUMNS, [_shown(row) for row in rows], output=output, kind="ConnectionList")
        for row in rows:
            _explain(row)
    _tell_daemon(settings.socket, [row["name"] for row in rows])
    if any(row["status"] != "Online" for row in rows):
        raise click.exceptions.Exit(1)


async def _test_all(
    root: Path, key_file: Path, program: Path | None, names: tuple[str, ...]
) -> list[dict[str, Any]]:
    import random  # noqa: PLC0415 - the imports below are slow; `--help` must not be
    import secrets  # noqa: PLC0415

    from backfuturectl.engine.clock import WallClock  # noqa: PLC0415
    from backfuturectl.model.errors import UsageError  # noqa: PLC0415
    from backfuturectl.reconcile.source import Source, connections  # noqa: PLC0415
    from backfuturectl.secrets.sops import Sops  # noqa: PLC0415

    sops = await Sops.open(key_file=key_file, program=program)
    source = Source(root, sops, WallClock(), settle_s=0)
    generation = await source.read()
    found = {key[1]: doc for key, doc in generation.loaded.documents.items() if key[0] == _KIND}
    unknown = sorted(set(names) - set(found))
    if unknown:
        raise UsageError(
            f"no connection is named {', '.join(unknown)}; there are: "
            f"{', '.join(sorted(found)) or 'none'}"
        )
    rng = random.Random(secrets.randbits(64))  # noqa: S311 - spreads retries, no more
    usable = {d.name: d for d in connections(generation.loaded.usable().values())}
    rows: dict[str, dict[str, Any]] = {}

    async def one(name: str) -> None:
        if name not in usable:
            findings = generation.loaded.findings_of((_KIND, name))
            rows[name] = _unusable(name, next(f.message for f in findings if f.is_error))
            return
        rows[name] = await _test(usable[name].resource, name, generation, rng)

    async with asyncio.TaskGroup() as group:
        for name in names or tuple(found):
            group.create_task(one(name), name=f"test {name}")
    return [rows[name] for name in sorted(rows)]


_KIND: Final = "Connection"


async def _test(resource: Any, name: str, generation: Any, rng: Any) -> dict[str, Any]:
    from backfuturectl.engine.clock import WallClock  # noqa: PLC0415
    from backfuturectl.model.errors import OperationError  # noqa: PLC0415
    from backfuturectl.model.status import REASONS, Reason  # noqa: PLC0415
    from backfuturectl.reconcile.connections import report_row, test_once  # noqa: PLC0415

    clock = WallClock()
    row: dict[str, Any] = {
        "name": name,
        "exchange": str(resource.spec.exchange),
        "market": str(resource.spec.market),
    }
    report = None
    message, raw_code = "", None
    try:
        if name in generation.undecrypted:
            raise generation.undecrypted[name]
        report = await test_once(
            resource, generation.keys[name], generation.loaded.policy, clock=clock, rng=rng
        )
    except OperationError as error:
        reason, message, raw_code = error.reason, str(error), error.raw_code
    else:
        reason = report.outcome
        failed = next((check for check in report.checks if check.ok is False), None)
        if failed is not None:
            message, raw_code = failed.message, failed.raw_code
    return {
        **row,
        "status": "Online" if reason is Reason.ONLINE else "Failed",
        "reason": str(reason),
        "message": message,
        "rawCode": raw_code,
        "cause": REASONS[reason].cause,
        "remedy": REASONS[reason].remedy,
        **report_row(report),
        "lastTested": clock.now_ms(),
    }


def _unusable(name: str, message: str) -> dict[str, Any]:
    from backfuturectl.model.status import REASONS, Reason  # noqa: PLC0415
    from backfuturectl.reconcile.connections import report_row  # noqa: PLC0415

    row = REASONS[Reason.SCHEMA_INVALID]
    return {
        "name": name,
        "exchange": None,
        "market": None,
        "status": "Failed",
        "reason": str(Reason.SCHEMA_INVALID),
        "message": message,
        "rawCode": None,
        "cause": row.cause,
        "remedy": row.remedy,
        **report_row(None),
        "lastTested": None,
    }


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    marks = dict.fromkeys(CHECKS, _MARKS[None])
    marks.update({check["name"]: _MARKS[check["ok"]] for check in row["checks"]})
    return {**row, "marks": marks, "permissionList": ",".join(row["permissions"])}


def _explain(row: Mapping[str, Any]) -> None:
    if row["status"] != "Online":
        code = f" (exchange code {row['rawCode']})" if row["rawCode"] else ""
        click.echo(f"\n{row['name']}: {row['reason']}: {row['cause']}{code}")
        if row["message"]:
            click.echo(f"  {row['message']}")
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
