"""``backfuturectl status``: how the daemon is doing, on one screen."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import click

from backfuturectl.cli.get import two_places
from backfuturectl.cli.render import age, output_option, print_object
from backfuturectl.daemon.client import daemon


@click.command()
@output_option
def status(output: str) -> None:
    r"""Show how the daemon is doing: files, connections, strategies, bots, blocked deletions.

    Exit code 1 when something needs a person: files that cannot be read, a connection that is not
    Online, a strategy that has not converged, a bot that may not trade or is MANUAL or HALTED, a
    deletion that waits for `approve`. A pause, a halt or a deal in Recovery Mode does not count. 2
    when no daemon answers.

    \b
    Examples:
      backfuturectl status
      backfuturectl status -o json
    """
    asked = daemon()
    found = asked.get("status")
    if output in {"json", "yaml"}:
        print_object(found, output)
    else:
        click.echo(_text(found))
        for kind in ("connections", "strategies"):
            for row in asked.get(kind)["items"]:
                if row["status"] not in _GOOD or not row.get("isCurrent", True):
                    click.echo(_unwell(kind, row))
    bots = asked.get("bots")["items"]
    stuck = [row for row in bots if _state(row) in _STUCK]
    degraded = [row for row in bots if row not in stuck and _is_degraded(row, found["holds"])]
    if output not in {"json", "yaml"}:
        recovering = [row for row in bots if _state(row) in _RECOVERING]
        for rows, told in ((degraded, _degraded), (stuck, _stuck), (recovering, _recovering)):
            for row in rows[:_SHOWN_MAX]:
                click.echo(told(row))
            if len(rows) > _SHOWN_MAX:
                label = told(rows[0]).partition(" ")[0]
                click.echo(f"{label:12} and {len(rows) - _SHOWN_MAX} more bots")
    if degraded or stuck or _needs_a_person(found):
        raise click.exceptions.Exit(1)


_SHOWN_MAX: Final = 10
_STUCK: Final = frozenset({"MANUAL", "HALTED"})
_RECOVERING: Final = frozenset({"WATCH", "RECOVERY"})
_GOOD: Final = frozenset({"Online", "Ready"})
_ONE_OF: Final = {"connections": "connection", "strategies": "strategy"}


def _unwell(kind: str, row: dict[str, Any]) -> str:
    name = f"{_ONE_OF[kind]} {row['name']}"
    # A good one that is not current has an edit or a deletion under way.
    label = "CHANGING" if row["status"] in _GOOD else row["status"].upper()
    return f"{label:12} {name}: {row['reason']}; see `backfuturectl describe {name}`"


def _state(bot: dict[str, Any]) -> str:
    state: str = bot["state"]
    return state.partition("/")[0]


def _degraded(bot: dict[str, Any]) -> str:
    return f"DEGRADED     bot {bot['name']}: {bot['gateReason']}"


def _stuck(bot: dict[str, Any]) -> str:
    why = f": {bot['gateReason']}" if bot["gateReason"] else ""
    return (
        f"{_state(bot):12} bot {bot['name']} waits for a person{why}; see `backfuturectl describe "
        f"bot {bot['name']}`, then `backfuturectl resume strategy {bot['strategy']}`"
    )


def _recovering(bot: dict[str, Any]) -> str:
    score = bot.get("recoveryScore")  # an older daemon does not tell
    reached = "" if score is None else f": the nearest trigger is {int(Decimal(score))}% reached"
    return f"{_state(bot):12} bot {bot['name']}{reached}"


def _is_degraded(bot: dict[str, Any], holds: list[dict[str, Any]]) -> bool:
    """Return whether *bot* may not trade for a reason that is not an operator's halt."""
    places = {"all", f"strategy/{bot['strategy']}", f"connection/{bot['connection']}"}
    is_halted = any(hold["verb"] == "halt" and hold["target"] in places for hold in holds)
    return bot["gate"] != "open" and bool(bot["gateReason"]) and not is_halted


def _text(found: dict[str, Any]) -> str:
    source, prune = found["source"], found["prune"]
    commit = f", commit {source['commit'][:12]}" if source["commit"] else ""
    digest = (source["digest"] or "-")[:12]
    lines = [
        f"backfuturectl {found['version']}, up {age(found['startedAt'], found['now'])}",
        f"files        {found['root']}, digest {digest}{commit}, "
        f"read {age(source['readAt'] or None, found['now'])} ago",
        f"connections  {found['connections']['online']}/{found['connections']['total']} online",
        f"strategies   {found['strategies']['converged']}/{found['strategies']['total']} converged",
        f"bots         {found['bots']['running']}/{found['bots']['total']} running"
        + (f", {found['bots']['paper']} of them on paper" if found["bots"]["paper"] else ""),
    ]
    lines.extend(
        f"result       {two_places(row['realised'])} {row['quote']} realised"
        f" (fees {two_places(row['fees'])}, funding {two_places(row['funding'])} in),"
        f" {two_places(row['unrealised'])} unrealised, {row['environment'] or 'unknown'}"
        + "".join(
            f"; without fees of {fee['amount']} {fee['currency']}, whose price is not known"
            for fee in row["unvaluedFees"]
        )
        for row in found["results"]
    )
    if source["trouble"]:
        lines.append(f"TROUBLE      {source['trouble']}; the last good state runs")
    if found["store"]["trouble"]:
        lines.append(f"TROUBLE      {found['store']['trouble']}; nothing can be ordered")
    lines.extend(f"UNKNOWN      {path}" for path in source["unknown"])
    lines.extend(
        f"HELD         {hold['target']}: {_verbs(hold)}, {age(hold['since'], found['now'])} ago; "
        f"lift it with `backfuturectl resume {hold['target'].replace('/', ' ')}`"
        for hold in found["holds"]
    )
    if prune["blocked"]:
        lines.append(
            f"BLOCKED      deletion of {', '.join(prune['blocked'])}; "
            f"let it through with `backfuturectl approve {prune['digest']}`"
        )
    return "\n".join(lines)


def _verbs(hold: dict[str, Any]) -> str:
    besides = (option for option in ("cancel", "close") if hold.get(option))
    return " --".join((hold["verb"], *besides))


def _needs_a_person(found: dict[str, Any]) -> bool:
    return bool(
        found["source"]["trouble"]
        or found["store"]["trouble"]
        or found["source"]["unknown"]
        or found["prune"]["blocked"]
        or found["connections"]["online"] < found["connections"]["total"]
        or found["strategies"]["converged"] < found["strategies"]["total"]
    )
