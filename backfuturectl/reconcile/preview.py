"""What a pass over some files would do, without doing it: the plan, for people and for CI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from backfuturectl.config.compile import Loaded, load
from backfuturectl.config.parsing import Document, Parser
from backfuturectl.config.settings import Settings
from backfuturectl.model.errors import ConfigurationError
from backfuturectl.model.resources import Connection, Strategy
from backfuturectl.planning.diff import diff
from backfuturectl.planning.plan import (
    DesiredBot,
    DrainBot,
    PlanAction,
    PlannedChange,
    RefuseEdit,
    ReplaceBot,
    RunningBot,
    StartBot,
    StopBot,
    UpdateBot,
    plan,
)
from backfuturectl.reconcile.seats import desired_bots
from backfuturectl.reconcile.source import stored_document
from backfuturectl.store.database import Store

Row = dict[str, Any]


async def running_now(settings: Settings) -> list[Row]:
    """Return what the state store says runs, in the shape of the status API's list ``running``.

    Raises:
        ConfigurationError: There is no state store yet, or it cannot be read.
    """
    if settings.database is None and not (settings.state_dir / "state.db").exists():
        return []
    async with Store.open(settings.database_url, seed=b"read only") as store:
        open_deals = {deal.bot for deal in await store.deals(is_open=True)}
        bots = [bot for bot in await store.bots() if not bot.is_retired]
        return [
            {
                "kind": record.kind,
                "name": record.name,
                "generation": record.generation,
                "path": record.path,
                "source": record.source.decode(),
                "bots": [
                    {
                        "bot": bot.bot,
                        "pair": bot.pair,
                        "hasOpenDeal": bot.bot in open_deals,
                        "isCompared": True,
                        "isDraining": False,
                        "isStopping": False,
                    }
                    for bot in bots
                    if record.kind == "Strategy" and bot.strategy == record.name
                ],
            }
            for record in await store.resources()
        ]


def preview(root: Path, running_rows: Iterable[Row]) -> list[Row]:
    """Return the actions that would bring what runs to the files below *root*.

    Raises:
        ConfigurationError: The files have errors; a plan of half of them would mislead.
    """
    loaded = load(root, Parser())
    errors = [finding for finding in loaded.findings if finding.is_error]
    if errors:
        raise ConfigurationError(
            f"{errors[0].file}:{errors[0].span.line}: {errors[0].message}"
            + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""),
            remedy="run `backfuturectl validate` and mend what it names",
        )
    rows = list(running_rows)
    account_ids = {row["name"]: row.get("accountId") for row in rows if row["kind"] == "Connection"}
    documents = {
        (row["kind"], row["name"]): stored_document(row["source"].encode(), row["path"])
        for row in rows
    }
    running = _running(rows, documents)
    actions = plan(_desired(loaded), running)
    return [
        *_connection_changes(loaded, documents, account_ids),
        *(_row(action) for action in actions if not _is_only_a_number(action)),
    ]


def _is_only_a_number(action: PlanAction) -> bool:
    """Return whether *action* changes nothing but the generation, which files do not have."""
    return isinstance(action, UpdateBot) and not action.changes and not action.is_resumed


def _desired(loaded: Loaded) -> dict[str, DesiredBot]:
    usable = loaded.usable
    bots: dict[str, DesiredBot] = {}
    for document in usable.values():
        if isinstance(document.resource, Strategy):
            bots.update(_bots(document, usable, generation=0))
    return bots


def _running(
    rows: Iterable[Row], documents: Mapping[tuple[str, str], Document | None]
) -> dict[str, RunningBot]:
    usable = {key: document for key, document in documents.items() if document is not None}
    found: dict[str, RunningBot] = {}
    for row in rows:
        document = usable.get((row["kind"], row["name"]))
        if row["kind"] != "Strategy" or document is None:
            continue
        flags = {bot["bot"]: bot for bot in row["bots"]}
        pairs = [bot["pair"] for bot in row["bots"]]
        wanted = _bots(document, usable, generation=row["generation"], extra_pairs=pairs)
        for bot in wanted.values():
            if bot.bot not in flags:
                continue
            flag = flags[bot.bot]
            found[bot.bot] = RunningBot(
                bot=bot.bot,
                strategy=bot.strategy,
                connection=bot.connection,
                pair=bot.pair,
                spec=bot.spec,
                generation=bot.generation,
                digest=bot.digest,
                has_open_deal=flag["hasOpenDeal"],
                is_compared=flag.get("isCompared", True),  # an older daemon does not say
                is_draining=flag["isDraining"],
                is_stopping=flag["isStopping"],
            )
    return found


def _bots(
    document: Document,
    usable: Mapping[tuple[str, str], Document],
    *,
    generation: int,
    extra_pairs: Iterable[str] = (),
) -> dict[str, DesiredBot]:
    strategy = document.resource
    assert isinstance(strategy, Strategy), "the caller looked"
    target = usable.get(("Connection", strategy.spec.connection))
    connection = target.resource if target is not None else None
    if not isinstance(connection, Connection):
        return {}
    return desired_bots(document, connection.spec, generation=generation, extra_pairs=extra_pairs)


def _connection_changes(
    loaded: Loaded,
    documents: Mapping[tuple[str, str], Document | None],
    account_ids: Mapping[str, str | None],
) -> Iterable[Row]:
    for key, document in sorted(loaded.usable.items()):
        new = document.resource
        before = documents.get(key)
        old = before.resource if before is not None else None
        if not isinstance(new, Connection):
            continue
        if not isinstance(old, Connection):
            yield {"action": "test", "bot": f"connection {key[1]}", "changes": []}
        elif before is not None and before.digest != document.digest:
            account_id = account_ids.get(key[1])
            yield {
                "action": "test",
                "bot": f"connection {key[1]}",
                "why": f"it changed; account {account_id} so far" if account_id else "it changed",
                "changes": [
                    {"path": c.path, "old": c.old, "new": c.new, "effect": "afterTest"}
                    for c in diff(old, new)
                ],
            }


def _row(action: PlanAction) -> Row:
    match action:
        case StartBot(bot, desired, _):
            return {"action": "start", "bot": bot, "why": f"on {desired.connection}", "changes": []}
        case UpdateBot(bot, _, changes, _):
            return {"action": "update", "bot": bot, "changes": _changes(changes)}
        case RefuseEdit(bot, _, changes, why):
            return {"action": "refuse", "bot": bot, "why": why, "changes": _changes(changes)}
        case ReplaceBot(bot, _, how, changes, _):
            return {
                "action": "replace",
                "bot": bot,
                "how": str(how),
                "changes": _changes(changes),
            }
        case DrainBot(bot, why):
            return {"action": "drain", "bot": bot, "why": why, "changes": []}
        case StopBot(bot, how, why):
            return {"action": "stop", "bot": bot, "how": str(how), "why": why, "changes": []}


def _changes(changes: Iterable[PlannedChange]) -> list[Row]:
    return [
        {
            "path": item.change.path,
            "old": item.change.old,
            "new": item.change.new,
            "effect": str(item.effect),
        }
        for item in changes
    ]
