"""``backfuturectl demo``: the whole story on the stand-in exchanges."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from backfuturectl.demo.world import World


@click.command()
@click.option(
    "--keep", is_flag=True, help="Leave everything running at the end and say how to look at it."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to put it; must not exist yet. [default: a new temporary folder]",
)
def demo(*, keep: bool, folder: Path | None) -> None:
    r"""Show the whole story in about a minute: nothing leaves this machine, no key is needed.

    Makes a repository with encrypted keys, starts the stand-in exchanges and the daemon, lets bots
    trade on a moving market, edits and breaks a file, kills the daemon and compares its journal
    with the exchanges' ledgers. Exit code 0 only if both agree.

    \b
    Examples:
      backfuturectl demo
      backfuturectl demo --keep --folder ~/backfuturectl-demo
    """
    from backfuturectl.demo.story import Story  # noqa: PLC0415 - slow import
    from backfuturectl.model.errors import UsageError  # noqa: PLC0415

    if folder is not None and folder.exists():
        raise UsageError(f"{folder} exists already; name a folder that does not")
    place = (folder or Path(tempfile.mkdtemp(prefix="backfuturectl-demo-"))).absolute()
    story = Story(place, click.echo)
    world = story.world
    is_kept = False
    try:
        found = story.tell()
        is_kept = keep and found.is_clean
        if is_kept:
            _say_how(world)
    except (BrokenPipeError, KeyboardInterrupt):
        # Nobody waits for the end, so nobody looks at what is left either.
        world.stop()
        shutil.rmtree(place, ignore_errors=True)
        raise
    finally:
        if not is_kept:
            world.stop()
    if not found.is_clean:
        click.echo(f"journal and ledgers differ; everything is kept in {place}", err=True)
        raise click.exceptions.Exit(1)
    if not is_kept:
        shutil.rmtree(place, ignore_errors=True)


def _say_how(world: World) -> None:
    assert world.daemon is not None, "the story started it"
    assert world.emulator is not None, "the story started it"
    settings = {
        name: value
        for name, value in world.variables().items()
        if name.startswith("BACKFUTURECTL_")
    }
    click.echo(f"\nit is still running in {world.folder}; look at it with\n")
    for name, value in settings.items():
        click.echo(f"  export {name}={shlex.quote(value)}")
    program = Path(sys.argv[0]).absolute()
    if shutil.which(program.name) is None:
        click.echo(f'  export PATH={shlex.quote(str(program.parent))}:"$PATH"')
    click.echo("  backfuturectl status; backfuturectl get bots; backfuturectl get events")
    click.echo("  backfuturectl describe deal 'btc-eth-balanced/BTC-USDT#1'")
    click.echo(f"  curl {world.control}/exchanges/mexc/ledger\n")
    click.echo(f"its log: {world.daemon.log}")
    click.echo(
        f"stop it with: kill {world.daemon.child.pid} {world.emulator.child.pid}; "
        f"rm -r {shlex.quote(str(world.folder))}"
    )
