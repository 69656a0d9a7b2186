"""Read the shape of an encrypted YAML file without a key.

Only shape: which leaves are ciphertext, at which path. Values stay text; the typed parse with
lines and columns is the configuration's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from backfuturectl.secrets.failures import SopsFailure, failed

ENC_PREFIX: Final = "ENC[AES256_GCM,"
SOPS_KEY: Final = "sops"

LeafPath = tuple[str | int, ...]
"""Map keys and list indices from the document's root to a leaf."""

_DEPTH_MAX: Final = 32
_Loader: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One scalar.

    Attributes:
        start: Index of its first character in the file's text, quotes included.
        end: Index after its last character.
    """

    path: LeafPath
    text: str
    start: int
    end: int

    @property
    def is_encrypted(self) -> bool:
        """Whether the text is SOPS ciphertext."""
        return self.text.startswith(ENC_PREFIX)

    def __repr__(self) -> str:
        return f"Leaf({self.path!r})"


@dataclass(frozen=True, slots=True)
class Document:
    """A single YAML document.

    Attributes:
        leaves: In the order of the file, the `sops` block left out.
        sops_leaves: Those of the `sops` block; empty when the file is not encrypted.
    """

    text: str
    root: yaml.MappingNode
    leaves: tuple[Leaf, ...]
    sops_leaves: tuple[Leaf, ...]

    @property
    def is_encrypted(self) -> bool:
        """Whether there is a `sops` block; says nothing about the values."""
        return bool(self.sops_leaves)


def read_document(content: bytes) -> Document:
    """Return the one document of *content*.

    Raises:
        PermanentError: It is not UTF-8, not YAML, not a mapping, holds several documents, or uses
            aliases.
    """
    try:
        text = content.decode()
        _refuse_depth(text)
        roots = list(yaml.compose_all(text, Loader=_Loader))
    except (UnicodeDecodeError, yaml.YAMLError):
        # The parser's message quotes the text around the error, which may be a secret.
        raise failed(SopsFailure.MALFORMED) from None
    if len(roots) > 1:
        raise failed(SopsFailure.MULTIPLE_DOCUMENTS)
    if not roots:
        raise failed(SopsFailure.NOT_ENCRYPTED)
    if not isinstance(roots[0], yaml.MappingNode):
        raise failed(SopsFailure.MALFORMED)
    leaves = tuple(_leaves(roots[0], (), set()))
    return Document(
        text=text,
        root=roots[0],
        leaves=tuple(leaf for leaf in leaves if leaf.path[0] != SOPS_KEY),
        sops_leaves=tuple(leaf for leaf in leaves if leaf.path[0] == SOPS_KEY),
    )


def _refuse_depth(text: str) -> None:
    """Refuse nesting that no document has; the composer recurses, and a C stack ends in a crash."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH_MAX:
            raise failed(SopsFailure.MALFORMED)


def _leaves(node: yaml.Node, path: LeafPath, seen: set[int]) -> Iterator[Leaf]:
    if id(node) in seen:
        raise failed(SopsFailure.ALIASES)
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise failed(SopsFailure.MALFORMED)
            yield from _leaves(value, (*path, key.value), seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _leaves(value, (*path, index), seen)
    else:
        yield Leaf(path, node.value, node.start_mark.index, node.end_mark.index)
