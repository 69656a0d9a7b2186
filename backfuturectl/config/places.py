"""Where a field stands in a document: the line that a person goes to when asking why."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from backfuturectl.config.remarks import dotted
from backfuturectl.config.yaml_source import read

_KEPT: Final = 2_048
_PRESET: Final = ("spec.averaging", "spec.takeProfit", "spec.stopLoss", "spec.recovery")
"""What ``spec.risk`` fills in where the document says nothing."""


def line_of(document: bytes, field: str) -> int | None:
    """Return the line of *field* in the bytes of one document, from 1.

    A field that the document does not have was filled in: by ``spec.risk`` where it is one of the
    presets', otherwise by a default, and then the nearest mapping around it is what there is.

    Args:
        document: The document's own bytes, as `parsing.Document.source`.
        field: Dotted path, ``spec.takeProfit.steps[0].profitPct``.

    Returns:
        None when the document cannot be read or has nothing on the way to *field*.
    """
    lines = _lines(document)
    if field in lines:
        return lines[field]
    if field.startswith(_PRESET) and "spec.risk" in lines:
        return lines["spec.risk"]
    while field := field.rpartition(".")[0]:
        if field in lines:
            return lines[field]
    return None


@lru_cache(maxsize=_KEPT)
def _lines(document: bytes) -> Mapping[str, int]:
    """Return the lines of a document by field; read once, since an order waits for it."""
    documents = read(document, has_positions=True).documents
    if not documents:
        return {}
    return {
        dotted(path): (position.key or position.value).line
        for path, position in documents[0].positions.items()
    }
