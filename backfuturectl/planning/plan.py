"""Decide which bots to stop, change and start.

Pure: the same desired and running sets always give the same plan, in the same order. The table of
what an edit does to an open deal is the specification's section "What an edit does to open deals".
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from backfuturectl.model.resources import StrategySpec
from backfuturectl.planning.diff import (
    SIZING,
    FieldChange,
    FieldClass,
    class_of,
    spec_changes,
)


@dataclass(frozen=True, slots=True)
class DesiredBot:
    """A bot that the files ask for.

    Attributes:
        bot: ``strategy/BASE-QUOTE``.
        spec: Of the whole Strategy, presets already filled in, so that a change of `risk` shows
            as the fields that it changes.
        digest: Of the Strategy document. What it asks for may change all the same, where a share
            is of the Connection's capital.
        primary: Bot of the same pair whose recovering deal this one keeps apart from new ones, on a
            connection of its own; empty for a bot that stands for itself.
    """

    bot: str
    strategy: str
    connection: str
    pair: str
    spec: StrategySpec
    generation: int
    digest: str
    primary: str = ""


@dataclass(frozen=True, slots=True)
class RunningBot:
    """A bot on the books: running, or not yet confirmed to have stopped.

    Attributes:
        spec: What it runs now, presets filled in.
        digest: Of the document it runs.
        has_open_deal: It has a position, or an order of ours that may rest, or is known to have
            lost a part of its journal.
        is_compared: Journal and exchange were compared since it was seated. Until then that it has
            no open deal is only what the journal says.
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
    is_compared: bool = True
    is_draining: bool = False
    is_stopping: bool = False
    refused_digest: str | None = None

    @property
    def is_flat(self) -> bool:
        """Whether it may end as it is: it has no open deal, and the exchange has confirmed that."""
        return self.is_compared and not self.has_open_deal


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
    """End a bot that the files no longer ask for; *how* is never DRAIN.

    Attributes:
        field: Path in the document that says how; empty when there is nothing to end.
    """

    bot: str
    how: Ending
    why: str
    field: str = ""


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
    """End the running bot as *how* says; start *desired* when that and *after* are gone.

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
    departing: Collection[RunningBot] = (),
) -> tuple[PlanAction, ...]:
    """Return the actions that turn *running* into *desired*, keys being bot names.

    Stops come before starts: a replaced bot and its successor share one exchange account and must
    never both hold open orders.

    Args:
        desired: What the files ask for. A bot that the deletion guard holds back belongs here
            with the document that it runs.
        running: The bots on the books.
        departing: Bots outside *running* that the files no longer name, the ones that the deletion
            guard holds back included: a new bot waits until none has its account and pair.
    """
    leaving = [
        *(bot for bot in running.values() if _is_leaving(bot, desired.get(bot.bot))),
        *departing,
    ]
    strategies = {bot.strategy: bot.spec for bot in desired.values()}
    actions: list[PlanAction] = []
    for name in sorted(running.keys() | desired.keys()):
        wanted, current = desired.get(name), running.get(name)
        if wanted is None and current is not None:
            actions.extend(_leave(current, strategies.get(current.strategy)))
        elif wanted is not None and current is None:
            actions.append(StartBot(name, wanted, _in_the_way(wanted, leaving)))
        elif wanted is not None and current is not None:
            actions.extend(_edit(current, wanted, leaving))
    return tuple(sorted(actions, key=lambda action: _ORDER[type(action)]))


_ORDER: Final[dict[type[PlanAction], int]] = {
    StopBot: 0,
    DrainBot: 1,
    RefuseEdit: 2,
    ReplaceBot: 3,
    UpdateBot: 4,
    StartBot: 5,
}

_ON_DELETE: Final[dict[str, Ending]] = {
    "drain": Ending.DRAIN,
    "close": Ending.CLOSE,
    "abandon": Ending.ABANDON,
}


def _leave(bot: RunningBot, strategy: StrategySpec | None) -> Iterator[PlanAction]:
    """End a bot whose document, or whose pair in *strategy* (its newest spec), is gone."""
    if strategy is None:
        how, why = _ON_DELETE[bot.spec.on_delete], "the strategy was removed from the files"
        field = "spec.onDelete"
    else:
        field = "spec.onChange"
        how = Ending.CLOSE if strategy.on_change == "close" else Ending.DRAIN
        why = f"the pair {bot.pair} was removed from the strategy"
        if bot.pair in strategy.pairs:
            why = f"the strategy opens no deals through {bot.connection} any more"
    if bot.is_flat:
        yield StopBot(bot.bot, Ending.FLAT, why)
    elif bot.is_stopping:
        return  # its end is under way; a later plan takes it off the books
    elif bot.has_open_deal and how is not Ending.DRAIN:
        yield StopBot(bot.bot, how, why, field)
    elif not bot.is_draining:
        yield DrainBot(bot.bot, why)


def _edit(
    bot: RunningBot, wanted: DesiredBot, leaving: Collection[RunningBot]
) -> Iterator[PlanAction]:
    """Bring a bot on the books to its newest generation."""
    if bot.is_stopping:
        if bot.is_flat:  # its end is confirmed: it starts again
            way = _in_the_way(wanted, leaving)
            yield ReplaceBot(bot.bot, wanted, Ending.FLAT, (), way)
        return
    if (bot.digest, bot.spec) == (wanted.digest, wanted.spec):
        if bot.is_draining or bot.generation != wanted.generation or bot.refused_digest is not None:
            yield UpdateBot(bot.bot, wanted, (), is_resumed=bot.is_draining)
        return
    changes = spec_changes(bot.spec, wanted.spec)
    how = _replacement(bot, wanted.spec, {class_of(change.path) for change in changes})
    planned = tuple(PlannedChange(c, _effect(bot, wanted.spec, c, how)) for c in changes)
    match how:
        case _Edit.IN_PLACE:
            yield UpdateBot(bot.bot, wanted, planned, is_resumed=bot.is_draining)
        case _Edit.REFUSE:
            if bot.refused_digest != wanted.digest:
                why = ", ".join(c.path for c in changes if _is_identity(c))
                yield RefuseEdit(
                    bot.bot, wanted.digest, planned, f"{why} cannot change while a deal is open"
                )
        case Ending.DRAIN:
            if not bot.is_draining:
                yield ReplaceBot(bot.bot, wanted, how, planned)
        case Ending.FLAT | Ending.CLOSE | Ending.ABANDON:
            yield ReplaceBot(bot.bot, wanted, how, planned, _in_the_way(wanted, leaving))


class _Edit(enum.Enum):
    IN_PLACE = enum.auto()
    REFUSE = enum.auto()


def _replacement(
    bot: RunningBot, wanted: StrategySpec, classes: Collection[FieldClass]
) -> Ending | _Edit:
    """Return how an edit is carried out, by the new document's ``onChange``."""
    if FieldClass.IDENTITY in classes:
        if not bot.has_open_deal:
            return Ending.FLAT if bot.is_compared else Ending.DRAIN
        return _IDENTITY_EDITS[wanted.on_change]
    if FieldClass.LADDER in classes and bot.has_open_deal and wanted.on_change == "close":
        return Ending.CLOSE
    return _Edit.IN_PLACE


_IDENTITY_EDITS: Final[dict[str, Ending | _Edit]] = {
    "keep": _Edit.REFUSE,
    "adopt": _Edit.REFUSE,
    "drain": Ending.DRAIN,
    "close": Ending.CLOSE,
}


def _effect(
    bot: RunningBot, wanted: StrategySpec, change: FieldChange, how: Ending | _Edit
) -> Effect:
    match how:
        case _Edit.REFUSE:
            return Effect.REFUSED
        case Ending.DRAIN:
            return Effect.AFTER_FLAT
        case Ending.CLOSE | Ending.ABANDON:
            return Effect.AFTER_CLOSE
        case Ending.FLAT:
            return Effect.AT_ONCE
        case _Edit.IN_PLACE:
            if not bot.has_open_deal:
                return Effect.AT_ONCE
            is_adopted = wanted.on_change == "adopt"
            if class_of(change.path) is FieldClass.LADDER:
                return Effect.REPLANNED if is_adopted else Effect.NEXT_DEAL
            if is_adopted and wanted.base_order == "auto" and change.path in SIZING:
                return Effect.REPLANNED
            return Effect.AT_ONCE


def _is_leaving(bot: RunningBot, wanted: DesiredBot | None) -> bool:
    """Return whether *bot* holds an account and pair that the files no longer give it."""
    return wanted is None or bot.is_stopping or bot.connection != wanted.connection


def _is_identity(change: FieldChange) -> bool:
    return class_of(change.path) is FieldClass.IDENTITY


def _in_the_way(wanted: DesiredBot, leaving: Collection[RunningBot]) -> tuple[str, ...]:
    """Return the leaving bots that trade what *wanted* will trade, on the same account.

    A renamed strategy is one that leaves and one that comes: both at once would manage one
    position twice. A paper bot trades on an exchange of its own and is in nobody's way.
    """
    if wanted.spec.mode == "paper":
        return ()
    return tuple(
        sorted(
            bot.bot
            for bot in leaving
            if (bot.connection, bot.pair) == (wanted.connection, wanted.pair)
            and bot.bot != wanted.bot
            and bot.spec.mode != "paper"
        )
    )
