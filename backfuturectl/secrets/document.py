"""The shape of an encrypted YAML file, read without a key, and edits of single values in it.

Only shape: which leaves are ciphertext, at which path. Values stay text; the typed parse with
lines and columns is the configuration's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import yaml

from backfuturectl.secrets.failures import SopsFailure, failed

ENC_PREFIX: Final = "ENC[AES256_GCM,"
SOPS_KEY: Final = "sops"

LeafPath = tuple[str | int, ...]
"""Map keys and list indices from the document's root to a leaf."""

_ENC_COMMENT: Final = re.compile(r"^[ \t]*#ENC\[AES256_GCM,[^\]\n]*\][ \t]*\n", re.MULTILINE)
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
    """A single YAML document; its text and nodes do not print, since they can be clear text.

    Attributes:
        leaves: In the order of the file, the `sops` block left out.
        sops_leaves: Those of the `sops` block; empty when the file is not encrypted.
    """

    text: str = field(repr=False)
    root: yaml.MappingNode = field(repr=False)
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
        text = content.decode("utf-8-sig")
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
    leaves = tuple(_leaves(text, roots[0], (), set()))
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


def _leaves(text: str, node: yaml.Node, path: LeafPath, seen: set[int]) -> Iterator[Leaf]:
    if id(node) in seen:
        raise failed(SopsFailure.ALIASES)
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise failed(SopsFailure.MALFORMED)
            yield from _leaves(text, value, (*path, key.value), seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _leaves(text, value, (*path, index), seen)
    else:
        yield Leaf(path, node.value, node.start_mark.index, _end(text, node))


def with_values(
    document: Document, values: Mapping[LeafPath, str], *, parent: LeafPath, new: Mapping[str, str]
) -> str:
    """Return the text of *document* without its `sops` block and with other values in it.

    Everything else stays as it is, comments too, except those that are ciphertext. The result is
    clear text: it goes to the standard input of sops and nowhere else.

    Args:
        document: Encrypted or not.
        values: Replace the leaves at these paths.
        parent: The mapping that *new* goes into; made when it is not there.
        new: Replace or add these keys.

    Raises:
        PermanentError: The place above *parent* is no mapping.
    """
    edits = [
        (leaf.start, leaf.end, _quoted(values[leaf.path]))
        for leaf in document.leaves
        if leaf.path in values and not (leaf.path[:-1] == parent and leaf.path[-1] in new)
    ]
    edits += _edits_of_mapping(document, parent, new)
    edits += [
        (key.start_mark.index, value.end_mark.index, "")
        for key, value in document.root.value
        if key.value == SOPS_KEY
    ]
    text = document.text
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return _ENC_COMMENT.sub("", text)


def _edits_of_mapping(
    document: Document, path: LeafPath, new: Mapping[str, str]
) -> list[tuple[int, int, str]]:
    """Return the (start, end, replacement) edits that put *new* into the mapping at *path*."""
    node = _find(document.root, path)
    if isinstance(node, yaml.MappingNode) and node.value:
        present = {key.value: value for key, value in node.value}
        edits = [
            (present[key].start_mark.index, _end(document.text, present[key]), _quoted(value))
            for key, value in new.items()
            if key in present
        ]
        missing = [f"{key}: {_quoted(new[key])}" for key in new if key not in present]
        return [*edits, _insertion(document, node, missing)]
    # One line in flow style will do: sops writes it out in block style.
    flow = "{" + ", ".join(f"{key}: {_quoted(value)}" for key, value in new.items()) + "}"
    if node is not None:  # `credentials:` or `credentials: {}`
        return [(node.start_mark.index, node.end_mark.index, f" {flow}")]
    above = _find(document.root, path[:-1])
    if not isinstance(above, yaml.MappingNode) or not above.value:
        raise failed(SopsFailure.MALFORMED)
    return [_insertion(document, above, [f"{path[-1]}: {flow}"])]


def _insertion(
    document: Document, node: yaml.MappingNode, entries: Sequence[str]
) -> tuple[int, int, str]:
    """Return the edit that adds *entries* to a mapping that has some."""
    if node.flow_style:
        start = node.start_mark.index + 1
        return (start, start, "".join(f"{entry}, " for entry in entries))
    end = document.text.find("\n", _end(document.text, node))
    end = len(document.text) if end < 0 else end
    indent = " " * node.value[0][0].start_mark.column
    return (end, end, "".join(f"\n{indent}{entry}" for entry in entries))


def _end(text: str, node: yaml.Node) -> int:
    """Return the index after the node's last character.

    The mark of a block, and of a text in block style, lies further down, on the next token.
    """
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(node, yaml.MappingNode) else last)
    start = node.start_mark.index
    return int(start + len(text[start : node.end_mark.index].rstrip()))


def _find(node: yaml.Node | None, path: LeafPath) -> yaml.Node | None:
    for step in path:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for key, value in node.value if key.value == step), None)
    return node


def _quoted(value: str) -> str:
    """Return *value* as a double-quoted YAML scalar, of which JSON's strings are a subset."""
    return json.dumps(value, ensure_ascii=False)
