"""``backfuturectl completion``: shell completion scripts."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    r"""Print the completion script of a shell.

    \b
    Examples:
      source <(backfuturectl completion bash)
      backfuturectl completion fish > ~/.config/fish/completions/backfuturectl.fish
    """
    found = get_completion_class(shell)
    assert found is not None, "click completes the shells listed above"
    program = found(context.find_root().command, {}, "backfuturectl", "_BACKFUTURECTL_COMPLETE")
    click.echo(program.source())
