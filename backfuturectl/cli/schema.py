"""``schema``: the JSON Schemas of the file format."""

from __future__ import annotations

import os
import sys
from typing import Final

import click

from backfuturectl.model.errors import BackfutureError, UsageError

_EXIT_DIFFERENT: Final = 1


@click.command
@click.argument("kind", required=False)
@click.option("--write", type=click.Path(), metavar="DIR", help="Write one file per kind.")
@click.option("--check", type=click.Path(), metavar="DIR", help="Exit with 1 if files differ.")
def schema(kind: str | None, write: str | None, check: str | None) -> None:
    """Print or write the JSON Schemas (draft 7) of the documents.

    Editors with the YAML language server take one from the first line of a file:
    `# yaml-language-server: $schema=../schemas/strategy.json`.

    \b
    Examples:
      backfuturectl schema strategy
      backfuturectl schema --write schemas
      backfuturectl schema --check schemas
    """  # noqa: D301 - \b is click's mark for text that keeps its lines
    from backfuturectl.config.json_schema import (  # noqa: PLC0415 - keeps --help fast
        file_name,
        schema_text,
    )
    from backfuturectl.model.resources import KINDS  # noqa: PLC0415 - keeps --help fast

    chosen = [name for name in KINDS if kind is None or name.lower() == kind.lower()]
    if not chosen:
        raise UsageError(f"there is no kind `{kind}`; kinds: {', '.join(KINDS)}")
    if check is not None:
        stale = [
            name
            for name in chosen
            if _read(os.path.join(check, file_name(name))) != schema_text(name)
        ]
        for name in stale:
            path = os.path.join(check, file_name(name))
            click.echo(
                f"{path} differs from the models; run `backfuturectl schema --write {check}`"
            )
        if stale:
            sys.exit(_EXIT_DIFFERENT)
    elif write is not None:
        for name in chosen:
            _write(os.path.join(write, file_name(name)), schema_text(name))
    elif kind is None:
        raise UsageError(f"name a kind ({', '.join(KINDS)}), or use --write DIR or --check DIR")
    else:
        click.echo(schema_text(chosen[0]), nl=False)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise BackfutureError(f"{path}: cannot be read: {error.strerror}") from error


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BackfutureError(f"{path}: cannot be written: {error.strerror}") from error
    click.echo(f"wrote {path}")
