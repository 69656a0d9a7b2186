"""All documents of a tree side by side, as the cross-checks see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from backfuturectl.config.parsing import Document
from backfuturectl.config.recall import RestsOn
from backfuturectl.config.remarks import Remark
from backfuturectl.model.findings import Key
from backfuturectl.model.resources import Connection, Policy, Strategy, StrategySpec

VIA: Final = "viaConnection:"

Located = tuple[Document, Remark]
"""A remark with the document it stands in."""


LiveConnection = tuple[Document, Connection, tuple[tuple[Document, Strategy], ...]]
"""A Connection with the strategies that trade on it with real orders."""


def named_via(spec: StrategySpec) -> str:
    """Return the Connection that *spec* names for new deals beside a recovering one, or nothing."""
    text = spec.recovery.actions.new_deals
    return text.removeprefix(VIA).strip() if text.startswith(VIA) else ""


@dataclass(frozen=True)  # no slots: what is worked out once is kept
class Repository:
    """Documents by what they are.

    Attributes:
        documents: Every identified document, of duplicates the first, valid or not.
        connections: Those that fit the schema, by name.
        strategies: Those that fit the schema, by name.
        policy: The one to enforce; None where there is none.
        is_whole: Whether a document that is not here does not exist.
        has_unknown: Whether some file could not be understood.
    """

    documents: Mapping[Key, Document]
    connections: Mapping[str, tuple[Document, Connection]]
    strategies: Mapping[str, tuple[Document, Strategy]]
    policy: tuple[Document | None, Policy] | None
    is_whole: bool
    has_unknown: bool

    @cached_property
    def rests_on(self) -> Mapping[str, RestsOn]:
        """What a finding about one Strategy alone rests on, by name: it and its Connections.

        Where a Connection is named that is not here, it rests on everything.
        """
        found: dict[str, RestsOn] = {}
        for name, (document, strategy) in self.strategies.items():
            own, via = strategy.spec.connection, named_via(strategy.spec)
            found[name] = (document, self._connection(own), self._connection(via) if via else None)
        return found

    def _connection(self, name: str) -> object:
        known = self.connections.get(name)
        return object() if known is None else known[0]

    @cached_property
    def live_by_connection(self) -> tuple[LiveConnection, ...]:
        """Each Connection with the strategies that trade on it with real orders."""
        grouped: dict[str, list[tuple[Document, Strategy]]] = {}
        for document, strategy in self.strategies.values():
            if strategy.spec.mode == "live":
                for connection in dict.fromkeys(strategy.spec.connections):
                    grouped.setdefault(connection, []).append((document, strategy))
        return tuple(
            (*self.connections[name], tuple(members))
            for name, members in grouped.items()
            if name in self.connections
        )
