"""Dispatch to the commands, each imported only when it is asked for.

Importing little keeps ``--help`` and ``validate`` fast; a command's module is named in `COMMANDS`.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Final

import click

from backfuturectl import __version__
from backfuturectl.model.errors import BackfutureError, ConfigurationError, UsageError

EXIT_FINDINGS: Final = 1
EXIT_COULD_NOT_RUN: Final = 2
EXIT_USAGE: Final = 64
EXIT_DEFECT: Final = 70
EXIT_CONFIGURATION: Final = 78
EXIT_INTERRUPTED: Final = 130

_DEBUG: Final = "BACKFUTURECTL_DEBUG"

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    # name: (module below backfuturectl.cli with a click command of the same name, short help)
    "init": ("init", "Scaffold a repository: layout, age key, SOPS rules, examples, CI."),
    "validate": ("validate", "Check a repository offline: schema, references, secrets, proofs."),
    "plan": ("plan", "Show what the daemon would change to follow the files."),
    "run": ("run", "Run the daemon."),
    "test": ("test", "Test connections: key, rights, balance, order status."),
    "get": ("get", "List connections, strategies, bots, deals, orders or events."),
    "describe": ("describe", "Show everything about one connection, strategy, bot, deal or order."),
    "status": ("status", "Show how the daemon is doing."),
    "logs": ("logs", "Show the newest log lines of the running daemon."),
    "pause": ("hand", "Open no new deals until resumed; open ones are managed."),
    "takeover": ("hand", "Leave open deals to a person until resumed; touch nothing."),
    "resume": ("hand", "Lift pause, halt and takeover, and look at the exchange again."),
    "halt": ("hand", "Exits only until resumed; can cancel orders and close positions."),
    "audit": ("audit", "Compare orders and fills with the exchange's, to the last digit."),
    "approve": ("approve", "Let a protected mass deletion through."),
    "ladder": ("ladder", "Print a strategy's rungs and its worst case."),
    "edit": ("edit", "Edit a document, checked before it replaces the old one."),
    "secret": ("secret", "Enter and check encrypted credentials."),
    "guide": ("guide", "How to make an API key that this program takes."),
    "explain": ("explain", "Explain a rule code or a field."),
    "schema": ("schema", "Print or write the JSON Schemas."),
    "doctor": ("doctor", "Check this machine: sops, keys, directories, limits."),
    "emulator": ("emulator", "Run the stand-in exchanges over HTTP on loopback."),
    "demo": ("demo", "Show the whole story on the stand-in exchanges, in a minute."),
    "completion": ("completion", "Print a shell completion script."),
}


class LazyGroup(click.Group):
    """A command group whose members are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"backfuturectl.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        _keep_lines(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that *args* begin with; a typo is told what is nearest to it."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            from backfuturectl.cli.kinds import did_you_mean  # noqa: PLC0415 - only after a typo

            raise UsageError(
                f"there is no command `{name}`; {did_you_mean(name, COMMANDS)}"
                "`backfuturectl --help` lists all"
            )
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list from the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backfuturectl")
def cli() -> None:
    r"""Trading bots as code: YAML in Git, keys in SOPS, bots that converge to the files.

    \b
    Start here:
      backfuturectl demo            the whole story, nothing to set up
      backfuturectl init trading    a repository of your own
    \b
    Exit codes:
      0    done
      1    done, and a finding or a failure needs a person
      2    could not be done; with `plan --detailed-exitcode`: there are changes
      64   wrong command line
      70   a defect of this program
      78   wrong configuration of this machine or these files
      130  interrupted
    """


def _keep_lines(command: click.Command) -> None:
    r"""Turn the ``\b`` of raw docstrings into the character by which click leaves lines alone."""
    if command.help is not None:
        command.help = command.help.replace(r"\b", "\b")
    if isinstance(command, click.Group) and command is not cli:
        for member in command.commands.values():
            _keep_lines(member)


_keep_lines(cli)


def main() -> None:
    """Run the command line; errors end in one clear message and an exit code, never a traceback."""
    # A plugin would be shown every value that is checked, keys too; and pydantic finds plugins by
    # reading about every package that is installed.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    try:
        # Outside of standalone mode click returns the code of `ctx.exit` and `Exit`.
        ended = cli(prog_name="backfuturectl", standalone_mode=False)
        sys.exit(ended if isinstance(ended, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("aborted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader went away (`| head`); nothing is left to say, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except UsageError as error:
        complain(str(error))
        sys.exit(EXIT_USAGE)
    except ConfigurationError as error:
        complain(str(error), error.remedy)
        sys.exit(EXIT_CONFIGURATION)
    except BackfutureError as error:
        complain(str(error), str(getattr(error, "remedy", "")))
        sys.exit(EXIT_COULD_NOT_RUN)
    except Exception as error:  # a user never sees a traceback
        if os.environ.get(_DEBUG):
            raise
        complain(
            f"internal error: {type(error).__name__}",
            f"this is a defect; run again with {_DEBUG}=1 and report what it prints",
        )
        sys.exit(EXIT_DEFECT)


def complain(message: str, remedy: str = "") -> None:
    """Print an error and what to do about it to standard error."""
    click.echo(f"error: {message}", err=True)
    if remedy:
        click.echo(f"help: {remedy}", err=True)
