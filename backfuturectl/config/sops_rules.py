"""The ``.sops.yaml`` that governs a file, as far as recipients go."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Final

from backfuturectl.config.yaml_source import read

_NAME: Final = ".sops.yaml"


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: str
    recipients: frozenset[str]


class SopsRules:
    """Looks up who should be able to decrypt a file; reads each ``.sops.yaml`` once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, tuple[_Rule, ...]] | None] = {}

    def recipients(self, path: str) -> frozenset[str] | None:
        """Return the age recipients that the first matching rule names for the file at *path*.

        None where no ``.sops.yaml`` governs it: none at or above it up to the top of its Git work
        tree, an unreadable one, no matching rule, or one without age recipients.
        """
        absolute = os.path.abspath(path)
        found = self._nearest(os.path.dirname(absolute))
        if found is None:
            return None
        directory, rules = found
        relative = os.path.relpath(absolute, directory)
        for rule in rules:
            try:
                is_match = re.search(rule.pattern, relative) is not None
            except re.error:
                return None
            if is_match:
                return rule.recipients or None
        return None

    def _nearest(self, directory: str) -> tuple[str, tuple[_Rule, ...]] | None:
        if directory not in self._known:
            self._known[directory] = self._look(directory)
        return self._known[directory]

    def _look(self, directory: str) -> tuple[str, tuple[_Rule, ...]] | None:
        try:
            with open(os.path.join(directory, _NAME), "rb") as file:
                return directory, _rules(file.read())
        except OSError:
            pass  # not here, so look further up
        parent = os.path.dirname(directory)
        if parent == directory or os.path.exists(os.path.join(directory, ".git")):
            return None
        return self._nearest(parent)


def _rules(content: bytes) -> tuple[_Rule, ...]:
    try:
        documents = read(content).documents
    except UnicodeDecodeError:
        return ()
    values = documents[0].values if documents else None
    entries = values.get("creation_rules") if isinstance(values, dict) else None
    return tuple(
        _Rule(str(entry.get("path_regex") or ""), frozenset(_age(entry)))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    )


def _age(entry: dict[str, Any]) -> list[str]:
    """Return the recipients of a rule, of its key groups as well."""
    age = entry.get("age")
    texts = age if isinstance(age, list) else str(age or "").split(",")
    groups = entry.get("key_groups")
    for group in groups if isinstance(groups, list) else []:
        below = group.get("age") if isinstance(group, dict) else None
        texts = [*texts, *(below if isinstance(below, list) else [])]
    return [str(text).strip() for text in texts if str(text).strip()]
