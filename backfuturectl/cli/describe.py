"""``backfuturectl describe``: everything about one thing."""

from __future__ import annotations

import click

from backfuturectl.cli.render import print_object
from backfuturectl.daemon.client import daemon


@click.command()
@click.argument("kind", type=click.Choice(["connection", "strategy", "bot", "deal"]))
@click.argument("name")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml")
def describe(kind: str, name: str, output: str) -> None:
    r"""Show everything about one connection, strategy, bot or deal.

    \b
    Examples:
      backfuturectl describe connection mexc-spot-main
      backfuturectl describe bot eth-btc-balanced/BTC-USDT
      backfuturectl describe deal 'eth-btc-balanced/BTC-USDT#1'
    """
    print_object(daemon().get(kind, name), output)
