"""`backfuturectl emulator`: the stand-in exchanges over HTTP, until stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backfuturectl.model.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from backfuturectl.emulator.scenario import Emulator, Scenario
    from backfuturectl.emulator.server import Endpoints


@click.command
@click.option(
    "--scenario",
    "scenario_path",
    type=click.Path(path_type=Path),
    help="YAML or JSON file of markets, accounts, keys, prices and faults.  [default: built in]",
)
@click.option("--seed", default=0, show_default=True, help="Of price walks and faults.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How much faster than real time prices move.",
)
@click.option(
    "--port-base",
    type=click.IntRange(1, 65_000),
    help="Hosts listen on this port and the following ones.  [default: free ports]",
)
@click.option(
    "--port",
    "ports",
    multiple=True,
    metavar="HOST=PORT",
    help="Port of one host; repeatable.",
)
@click.option(
    "--control-port",
    type=click.IntRange(0, 65_535),
    default=0,
    show_default=True,
    help="Port of the control API; 0 takes a free one.",
)
@click.option(
    "--bind", default="127.0.0.1", show_default=True, help="Loopback address to listen on."
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path),
    help="Written with the endpoints as JSON once everything listens; removed at the end.",
)
@click.option(
    "--candles",
    multiple=True,
    metavar="EXCHANGE:SYMBOL=FILE",
    help="CSV (time,open,high,low,close,volume) that drives a price; repeatable.",
)
@click.option(
    "--synthetic",
    multiple=True,
    metavar="EXCHANGE:KIND=N",
    help="Add N made-up pairs, such as kucoin:spot=1000; repeatable.",
)
@click.option(
    "--chaos", metavar="PROBABILITY", help="Let each kind of fault hit requests at random."
)
def emulator(
    *,
    scenario_path: Path | None,
    seed: int,
    speed: float,
    port_base: int | None,
    ports: tuple[str, ...],
    control_port: int,
    bind: str,
    ready_file: Path | None,
    candles: tuple[str, ...],
    synthetic: tuple[str, ...],
    chaos: str | None,
) -> None:
    """Run stand-ins for MEXC and KuCoin over HTTP on loopback.

    Any client works against them with only its base URL changed. The control API sets
    prices, faults, keys and rights, and shows every order, fill and request.

    \b
    Examples:
      backfuturectl emulator
      backfuturectl emulator --port-base 18000 --control-port 17999 --seed 7
      backfuturectl emulator --candles kucoin:BTC/USDT=btc-1m.csv --speed 60
      backfuturectl emulator --synthetic mexc:spot=1000 --chaos 0.01
    """  # noqa: D301 - click's own mark for text that is not to be wrapped
    # Imported here so that `--help` does not wait for the HTTP server.
    from backfuturectl.emulator.scenario import build  # noqa: PLC0415
    from backfuturectl.emulator.server import HOSTS  # noqa: PLC0415
    from backfuturectl.engine.clock import WallClock  # noqa: PLC0415

    scenario = _scenario(scenario_path, candles=candles, synthetic=synthetic, chaos=chaos)
    state = build(scenario, clock=WallClock(), seed=seed, speed=speed)
    host_ports = _host_ports(tuple(HOSTS), base=port_base, named=ports)
    asyncio.run(
        _run(state, ports=host_ports, control_port=control_port, bind=bind, ready_file=ready_file)
    )


async def _run(
    state: Emulator,
    *,
    ports: dict[str, int],
    control_port: int,
    bind: str,
    ready_file: Path | None,
) -> None:
    from backfuturectl.emulator.server import serve  # noqa: PLC0415 - see `emulator`

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serve(state, ports=ports, control_port=control_port, bind=bind) as endpoints:
        _announce(endpoints, state)
        with _ready(ready_file, endpoints):
            await stop.wait()
    click.echo("stopped", err=True)


def _scenario(
    path: Path | None, *, candles: Sequence[str], synthetic: Sequence[str], chaos: str | None
) -> Scenario:
    from backfuturectl.emulator.faults import chaos as some_of_all  # noqa: PLC0415 - see `emulator`
    from backfuturectl.emulator.scenario import (  # noqa: PLC0415 - see `emulator`
        CandleSpec,
        Scenario,
        Synthetic,
        load_scenario,
    )

    scenario = Scenario() if path is None else load_scenario(path)
    more_candles = []
    for text in candles:
        exchange, symbol, file = _three(text, "--candles", "EXCHANGE:SYMBOL=FILE")
        more_candles.append(CandleSpec(exchange=exchange, symbol=symbol, file=file))
    more_pairs = []
    for text in synthetic:
        exchange, kind, count = _three(text, "--synthetic", "EXCHANGE:KIND=N")
        try:
            more_pairs.append(
                Synthetic.model_validate({"exchange": exchange, "kind": kind, "count": count})
            )
        except ValueError as error:
            raise UsageError(f"--synthetic {text}: expected such as kucoin:spot=1000") from error
    faults = () if chaos is None else some_of_all(_probability(chaos))
    return scenario.model_copy(
        update={
            "candles": (*scenario.candles, *more_candles),
            "synthetic": (*scenario.synthetic, *more_pairs),
            "faults": (*scenario.faults, *faults),
        }
    )


def _three(text: str, option: str, form: str) -> tuple[str, str, str]:
    """Return the parts of ``A:B=C``; B may hold colons (``BTC/USDT:USDT``)."""
    left, equals, last = text.partition("=")
    first, colon, middle = left.partition(":")
    if not (equals and colon and first and middle and last):
        raise UsageError(f"{option} {text}: expected {form}")
    return first, middle, last


def _probability(text: str) -> Decimal:
    try:
        probability = Decimal(text)
    except InvalidOperation:
        probability = Decimal(-1)
    if not 0 <= probability <= 1:
        raise UsageError(f"--chaos {text}: expected a probability from 0 to 1")
    return probability


def _host_ports(
    hosts: tuple[str, ...], *, base: int | None, named: Sequence[str]
) -> dict[str, int]:
    ports = {} if base is None else {host: base + index for index, host in enumerate(hosts)}
    for text in named:
        host, _, port = text.partition("=")
        if host not in hosts or not port.isdecimal():
            raise UsageError(f"--port {text}: expected HOST=PORT, HOST one of {', '.join(hosts)}")
        ports[host] = int(port)
    return ports


def _announce(endpoints: Endpoints, state: Emulator) -> None:
    rows = [*endpoints.hosts.items(), ("control", endpoints.control)]
    width = max(len(name) for name, _ in rows)
    click.echo(f"{'HOST':<{width}}  URL")
    for name, url in rows:
        click.echo(f"{name:<{width}}  {url}")
    markets = sum(len(exchange.venue.listings) for exchange in state.exchanges.values())
    accounts = sum(len(exchange.venue.accounts) for exchange in state.exchanges.values())
    click.echo(f"{markets} markets, {accounts} accounts; stop with Ctrl-C", err=True)


@contextmanager
def _ready(path: Path | None, endpoints: Endpoints) -> Iterator[None]:
    """Keep the ready file for as long as the block lasts."""
    if path is None:
        yield
        return
    _write_ready_file(path, endpoints)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _write_ready_file(path: Path, endpoints: Endpoints) -> None:
    content = {
        "pid": os.getpid(),
        "hosts": dict(endpoints.hosts),
        "control": endpoints.control,
    }
    # Renamed into place, so that whoever waits for the file never reads half of it.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise ConfigurationError(f"ready file {path}: {error.strerror}") from error
