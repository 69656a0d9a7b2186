"""One call from a directory to checked resources; validate, plan, test and the daemon use it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from backfuturectl.config.parsing import Document, Parser
from backfuturectl.config.tree import Tree
from backfuturectl.model.findings import Finding, Key
from backfuturectl.model.resources import Policy


@dataclass(frozen=True, slots=True)
class Loaded:
    """A tree, parsed and checked.

    Attributes:
        documents: Every identified document; of duplicates the first. See `usable` before use.
        findings: All of them, by file and position; suppressed ones are left out.
        unknown: Paths that are present but could not be understood.
        is_complete: Whether absence from *documents* proves absence from the files.
        policy: The Policy that was enforced; None when there is none.
    """

    tree: Tree
    documents: Mapping[Key, Document]
    findings: tuple[Finding, ...]
    unknown: tuple[str, ...]
    policy: Policy | None

    @property
    def is_complete(self) -> bool:
        """Whether absence from *documents* proves absence from the files."""
        return not self.unknown

    def usable(self) -> Mapping[Key, Document]:
        """Return the documents with a resource and without an error finding."""
        raise NotImplementedError

    def findings_of(self, key: Key) -> tuple[Finding, ...]:
        """Return the findings that concern one document."""
        raise NotImplementedError


def load(root: str | os.PathLike[str], parser: Parser, last_policy: Policy | None = None) -> Loaded:
    """Return everything below *root*, parsed and checked.

    Args:
        root: The configuration root.
        parser: Kept by the caller, so that a second load costs only what changed.
        last_policy: Enforced when the files do not tell the present one.

    Raises:
        ConfigurationError: *root* does not exist or cannot be listed.
    """
    raise NotImplementedError


def compile_tree(tree: Tree, parser: Parser, last_policy: Policy | None = None) -> Loaded:
    """Return *tree* parsed and checked; `load` without the scan."""
    raise NotImplementedError
