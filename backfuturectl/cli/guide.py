"""``backfuturectl guide``: how to make an API key that this program takes."""

from __future__ import annotations

import click

from backfuturectl.exchanges.catalog import CATALOG


@click.command()
@click.argument("exchange", type=click.Choice(list(CATALOG)))
def guide(exchange: str) -> None:
    r"""Print the nine steps of connecting EXCHANGE: which boxes to tick, and which never.

    \b
    Examples:
      backfuturectl guide kucoin
    """
    row = CATALOG[exchange]
    parts = "key, secret and passphrase" if row.needs_passphrase else "key and secret"
    lines = [
        f"Connecting {row.title}",
        "",
        f"1. Log in to {row.title} and open {row.keys_url}",
        "2. Create an API key. One key per strategy group; never share a key between programs.",
        f"3. Leave withdrawal off: {', '.join(row.rights_refused)}.",
        "   A key that can withdraw is refused; there is no override.",
        "4. Tick only what is needed:",
        *(f"   {kind:8} {', '.join(boxes)}" for kind, boxes in row.rights_needed.items()),
        "5. Bind the key to this server's public address and declare it in the Connection:",
        "   ipWhitelist: {require: true, addresses: [...]}",
        f"6. Copy {parts} with `backfuturectl secret set CONNECTION`; they are asked for at a",
        "   prompt and go into the file encrypted.",
        "7. Commit the Connection document.",
        "8. Run `backfuturectl test CONNECTION`.",
        "9. When it is Online, add a Strategy that names it.",
        "",
        *(f"Note: {sentence}" for sentence in row.key_policy),
        f"Documentation: {row.docs_url}",
    ]
    click.echo("\n".join(lines))
