"""``backfuturectl pause``, ``halt``, ``takeover``, ``resume``: the operator's hand.

With a daemon they act through it. Without one pause and halt go into the state store, or are lifted
in it, and the next daemon obeys before it trades.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from backfuturectl.cli.kinds import Kind
from backfuturectl.daemon.client import Daemon, DaemonError
from backfuturectl.model.errors import UsageError

if TYPE_CHECKING:
    from backfuturectl.store.database import Store

_KINDS: Final = ("strategy", "connection", "all")
_kind = click.argument("kind", metavar="KIND", type=Kind(_KINDS))
_name = click.argument("name", required=False)


@click.command()
@_kind
@_name
def pause(kind: str, name: str | None) -> None:
    r"""Open no new deals on a strategy, a connection or all, until resumed; open ones go on.

    KIND is strategy or connection, with its NAME, or all. Without a daemon the next one obeys.

    \b
    Examples:
      backfuturectl pause strategy btc-eth-balanced
      backfuturectl pause all
    """
    _lay("pause", _target(kind, name))


@click.command()
@_kind
@_name
@click.option("--cancel", is_flag=True, help="Also cancel resting orders that enlarge a position.")
@click.option("--close", is_flag=True, help="Also close open deals at market.")
@click.option("--yes", is_flag=True, help="Do not ask before closing positions.")
def halt(*, kind: str, name: str | None, cancel: bool, close: bool, yes: bool) -> None:
    r"""Allow exits only on a strategy, a connection or all, until resumed.

    KIND is strategy or connection, with its NAME, or all. Without --cancel and --close whatever
    rests on the exchange stays there; without a daemon the next one obeys.

    \b
    Examples:
      backfuturectl halt connection mexc-spot-main --cancel
      backfuturectl halt all --close
    """
    target = _target(kind, name)
    if close and not yes:
        whose = "" if target == "all" else f" of {target}"
        click.confirm(f"close every open deal{whose} at market?", abort=True, err=True)
    _lay("halt", target, cancel=cancel, close=close)


@click.command()
@_kind
@_name
def takeover(kind: str, name: str | None) -> None:
    r"""Leave the open deals of a strategy, a connection or all to a person, until resumed.

    KIND is strategy or connection, with its NAME, or all. The bots of those deals go to MANUAL:
    they watch and touch nothing, and what rests on the exchange stays there. Bots without a deal
    go on; pause them as well if no new deal shall begin.

    \b
    Examples:
      backfuturectl takeover strategy btc-eth-balanced
    """
    target = _target(kind, name)
    daemon, _ = _daemon()
    answer = daemon.act("takeover", target=target)
    click.echo(f"left to you: {target}: {answer['deals']} deals; `resume` gives them back")


@click.command()
@_kind
@_name
def resume(kind: str, name: str | None) -> None:
    r"""Lift pause, halt and takeover; bots compare themselves with the exchange before they go on.

    KIND is strategy or connection, with its NAME, or all: lift it as it was laid. Without a daemon
    a pause or halt is lifted for the next one; HALTED and MANUAL bots need one that runs.

    \b
    Examples:
      backfuturectl resume all
    """
    target = _target(kind, name)
    daemon, settings = _daemon()
    try:
        answer = daemon.act("resume", target=target)
    except DaemonError as error:
        if not error.is_absent:
            raise
        lifted = asyncio.run(_out_of_store(settings, target))
        if not lifted:
            raise
        click.echo(f"no daemon runs; {' and '.join(lifted)} of {target} is lifted for the next one")
        return
    click.echo(f"resumed {target}: {answer['bots']} bots")


def _target(kind: str, name: str | None) -> str:
    if (kind == "all") is (name is not None):
        raise UsageError("name one strategy or connection, or say `all` without a name")
    return kind if name is None else f"{kind}/{name}"


def _lay(verb: str, target: str, **options: bool) -> None:
    daemon, settings = _daemon()
    try:
        answer = daemon.act(verb, target=target, **options)
    except DaemonError as error:
        if not error.is_absent:
            raise
        asyncio.run(_into_store(settings, target, verb, **options))
        besides = "".join(f", and {option}" for option, is_meant in options.items() if is_meant)
        click.echo(f"no daemon runs; the next one will {verb} {target}{besides}")
        return
    click.echo(f"{verb}: {target}: {answer['bots']} bots")


def _daemon() -> tuple[Daemon, Any]:
    from backfuturectl.config.settings import load_settings  # noqa: PLC0415 - slow import

    settings = load_settings()
    return Daemon(settings.socket), settings


async def _into_store(
    settings: Any, target: str, verb: str, *, cancel: bool = False, close: bool = False
) -> None:
    from backfuturectl.engine.clock import WallClock  # noqa: PLC0415 - slow import
    from backfuturectl.model.records import HoldRecord, halt_note  # noqa: PLC0415 - the same

    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with _store(settings) as store:
        note = halt_note(cancel=cancel, close=close)
        await store.commit([HoldRecord(target, verb, WallClock().now_ms(), note)])


async def _out_of_store(settings: Any, target: str) -> list[str]:
    """Lift what was laid on *target*; return the verbs, none where nothing was."""
    from backfuturectl.model.records import HoldRecord  # noqa: PLC0415 - slow import
    from backfuturectl.store.statements import Remove  # noqa: PLC0415 - the same

    if settings.database is None and not (settings.state_dir / "state.db").exists():
        return []
    async with _store(settings) as store:
        verbs = [hold.verb for hold in await store.holds() if hold.target == target]
        await store.commit([Remove(HoldRecord, (target, verb)) for verb in verbs])
        return verbs


@asynccontextmanager
async def _store(settings: Any) -> AsyncIterator[Store]:
    """Own the state store, as only one process may."""
    import secrets  # noqa: PLC0415 - the imports below are slow; `--help` must not be

    from backfuturectl.store.database import Store  # noqa: PLC0415
    from backfuturectl.store.lock import hold_directory  # noqa: PLC0415

    with hold_directory(settings.state_dir):
        async with Store.open(settings.database_url, seed=secrets.token_bytes(16)) as store:
            yield store
