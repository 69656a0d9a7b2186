"""Leverage, margin mode and position mode against the document, and what a difference means."""

from __future__ import annotations

import logging
from typing import Final

from backfuturectl.engine.context import Context
from backfuturectl.model.orders import FuturesSettings, Position
from backfuturectl.strategy.base import Gate, Note

_LOG = logging.getLogger(__name__)

SETTINGS: Final = "settings"
"""Who holds a bot whose exchange settings are not the document's."""

SETTINGS_REASON: Final = "SettingsChanged"


def settings_mismatch(
    leverage: int, margin_mode: str, shown: Position | FuturesSettings
) -> str | None:
    """Return how the exchange's settings differ from the document's; None when they do not."""
    if isinstance(shown, FuturesSettings) and not shown.is_one_way:
        return "the account is in hedge mode, expected one-way mode"
    if shown.margin_mode != margin_mode:
        return f"the exchange shows {shown.margin_mode} margin, the document says {margin_mode}"
    if shown.leverage not in {None, leverage}:
        return f"the exchange shows leverage {shown.leverage}, the document says {leverage}"
    return None


def restrict(context: Context, who: str, reason: str, trouble: str | None) -> None:
    """Hold the bot to exits while there is *trouble*, and tell people when that begins and ends."""
    holds = context.holds
    if trouble is None:
        if holds.lift(who):
            told = Note(f"{reason}Cleared", "adding is free again")
            context.journal.note(told, context.clock.now_ms())
        return
    is_new = who not in holds
    holds.put(who, Gate.EXITS_ONLY, trouble)
    if is_new:
        _LOG.warning("%s: %s: %s", context.name.bot, reason, trouble)
        context.journal.note(Note(reason, trouble, is_warning=True), context.clock.now_ms())
