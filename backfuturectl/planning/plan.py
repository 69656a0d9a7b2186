"""Decide which bots to stop, change and start.

Pure: the same desired and running sets always give the same plan, in the same order. The table of
what an edit does to an open deal is the specification's section "What an edit does to open deals".
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from backfuturectl.model.resources import StrategySpec
from backfuturectl.planning.diff import FieldChange, FieldClass, class_of, spec_changes


@dataclass(frozen=True, slots=True)
class DesiredBot:
    """A bot that the files ask for.

    Attributes:
        bot: ``strategy/BASE-QUOTE``.
        spec: Of the whole Strategy, presets already filled in, so that a change of `risk` shows
            as the fields that it changes.
        digest: Of the Strategy document; an equal digest means that nothing changed.
    """

    bot: str
    strategy: str
    connection: str
    pair: str
    spec: StrategySpec
    generation: int
    digest: str


@dataclass(frozen=True, slots=True)
class RunningBot:
    """A bot on the books: running, or not yet confirmed to have stopped.

    Attributes:
        spec: What it runs now, presets filled in.
        digest: Of the document it runs.
        has_open_deal: It has a position, or an order of ours that may rest.
        is_draining: A plan told it to open no new deal, and none has lifted that.
        is_stopping: A plan told it to close or abandon, and the end is not confirmed yet.
        refused_digest: Of the edit that was last refused; None when the last one was taken.
    """

    bot: str
    strategy: str
    connection: str
    pair: str
    spec: StrategySpec
    generation: int
    digest: str
    has_open_deal: bool = False
    is_draining: bool = False
    is_stopping: bool = False
    refused_digest: str | None = None


class Effect(enum.StrEnum):
    """When a changed field takes hold.

    AT_ONCE: now, exits included. NEXT_DEAL: the open deal keeps what it was born with.
    REPLANNED: unfilled rungs of the open deal are planned again. AFTER_FLAT: the bot is replaced
    when its deal has ended. AFTER_CLOSE: the deal is closed at market first. REFUSED: not at all.
    """

    AT_ONCE = "atOnce"
    NEXT_DEAL = "nextDeal"
    REPLANNED = "replanned"
    AFTER_FLAT = "afterFlat"
    AFTER_CLOSE = "afterClose"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One changed field and what its change does to this bot."""

    change: FieldChange
    effect: Effect


class Ending(enum.StrEnum):
    """How a bot ends.

    FLAT: it has no deal; it just ends. DRAIN: its deal is managed to the exit first. CLOSE: orders
    canceled, position closed at market. ABANDON: our orders canceled, the position left alone.
    """

    FLAT = "flat"
    DRAIN = "drain"
    CLOSE = "close"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True)
class StopBot:
    """End a bot that the files no longer ask for; *how* is never DRAIN."""

    bot: str
    how: Ending
    why: str


@dataclass(frozen=True, slots=True)
class DrainBot:
    """Let a bot that the files no longer ask for manage its deal to the exit, by its stored spec.

    A later plan stops it when it is flat.
    """

    bot: str
    why: str


@dataclass(frozen=True, slots=True)
class RefuseEdit:
    """Keep the old generation running and say why; nothing of the edit is applied."""

    bot: str
    digest: str
    changes: tuple[PlannedChange, ...]
    why: str


@dataclass(frozen=True, slots=True)
class ReplaceBot:
    """End the running bot as *how* says; start *desired* when it is confirmed gone.

    With DRAIN the bot only opens no new deal for now: a later plan replaces it when it is flat.

    Attributes:
        after: Bots that share the successor's account and pair and must be off the books first.
    """

    bot: str
    desired: DesiredBot
    how: Ending
    changes: tuple[PlannedChange, ...]
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UpdateBot:
    """Give a running bot its new generation.

    Attributes:
        changes: Empty when the edit concerns other bots of the strategy only.
        is_resumed: It was draining for a reason that is gone: new deals are allowed again.
    """

    bot: str
    desired: DesiredBot
    changes: tuple[PlannedChange, ...]
    is_resumed: bool = False


@dataclass(frozen=True, slots=True)
class StartBot:
    """Start a bot.

    Attributes:
        after: Bots that share its account and pair and must be off the books first; while one is
            there, do not start, and plan again.
    """

    bot: str
    desired: DesiredBot
    after: tuple[str, ...] = ()


PlanAction = StopBot | DrainBot | RefuseEdit | ReplaceBot | UpdateBot | StartBot


def plan(
    desired: Mapping[str, DesiredBot],
    running: Mapping[str, RunningBot],
    *,
    held: Collection[str] = (),
) -> tuple[PlanAction, ...]:
    """Return the actions that turn *running* into *desired*, keys being bot names.

    Stops come before starts: a replaced bot and its successor share one exchange account and must
    never both hold open orders. Bots in *held* stay as they are although the files do not name
    them: the deletion guard has not let them go.
    """
    raise NotImplementedError
