"""All documents of a tree side by side, as the cross-checks see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from backfuturectl.config.parsing import Document
from backfuturectl.config.remarks import Remark
from backfuturectl.model.findings import Key
from backfuturectl.model.resources import Connection, Policy, Strategy

Located = tuple[Document, Remark]
"""A remark with the document it stands in."""


@dataclass(frozen=True, slots=True)
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

    def live_by_connection(
        self,
    ) -> Iterator[tuple[Document, Connection, tuple[tuple[Document, Strategy], ...]]]:
        """Yield each Connection with the strategies that trade on it with real orders."""
        grouped: dict[str, list[tuple[Document, Strategy]]] = {}
        for document, strategy in self.strategies.values():
            if strategy.spec.mode == "live":
                grouped.setdefault(strategy.spec.connection, []).append((document, strategy))
        for name, members in grouped.items():
            found = self.connections.get(name)
            if found is not None:
                yield *found, tuple(members)
