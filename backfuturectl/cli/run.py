"""``backfuturectl run``: the daemon."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click


@click.command()
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Configuration root. [default: configs, or BACKFUTURECTL_ROOT]",
)
@click.option("--state-dir", type=click.Path(path_type=Path), help="State database and lock.")
@click.option("--runtime-dir", type=click.Path(path_type=Path), help="Status socket.")
@click.option("--age-key-file", type=click.Path(path_type=Path), help="age identities for SOPS.")
@click.option(
    "--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), help="How much to log."
)
@click.option("--log-format", type=click.Choice(["auto", "text", "json"]), help="How to log.")
def run(
    *,
    root: Path | None,
    state_dir: Path | None,
    runtime_dir: Path | None,
    age_key_file: Path | None,
    log_level: str | None,
    log_format: str | None,
) -> None:
    r"""Watch the files, test the connections and run the bots, until SIGTERM.

    SIGHUP reads the files at once. Orders that rest on the exchange stay there when the daemon
    stops; the next start takes them up again.

    \b
    Examples:
      backfuturectl run --root configs
      BACKFUTURECTL_ROOT=/etc/backfuturectl/configs backfuturectl run
    """
    from backfuturectl.config.settings import load_settings  # noqa: PLC0415 - slow import
    from backfuturectl.daemon import logs  # noqa: PLC0415
    from backfuturectl.daemon import run as daemon  # noqa: PLC0415

    settings = load_settings(
        root=root,
        state_dir=state_dir,
        runtime_dir=runtime_dir,
        age_key_file=age_key_file,
        log_level=log_level,
        log_format=log_format,
    )
    logs.configure(settings.log_level, settings.log_format)
    try:
        asyncio.run(daemon.run(settings, os.environ))
    # Not `except*`, which would wrap again what is raised here.
    except ExceptionGroup as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
