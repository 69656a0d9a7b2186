"""All documents of a tree side by side, as the cross-checks see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from backfuturectl.config.parsing import Document
from backfuturectl.config.remarks import Remark
from backfuturectl.model.findings import Key
from backfuturectl.model.resources import Connection, Policy, Strategy

Located = tuple[Document, Remark]
"""A remark with the document it stands in."""


LiveConnection = tuple[Document, Connection, tuple[tuple[Document, Strategy], ...]]
"""A Connection with the strategies that trade on it with real orders."""


@dataclass(frozen=True)  # no slots: `live_by_connection` is kept
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
