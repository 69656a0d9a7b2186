"""``backfuturectl approve``: let a protected mass deletion through."""

from __future__ import annotations

import click

from backfuturectl.daemon.client import daemon


@click.command()
@click.argument("digest")
def approve(digest: str) -> None:
    r"""Let the blocked deletion named by DIGEST through; `status` shows the digest and the list.

    \b
    Examples:
      backfuturectl approve 3f9a1c
    """
    daemon().act("approve", digest=digest)
    click.echo("approved; the strategies end as their onDelete says")
