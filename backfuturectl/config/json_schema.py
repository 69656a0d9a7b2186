"""The file format as JSON Schema, draft 7, which is what YAML language servers speak.

Generated from the models. A schema says less than `validate`: it knows one document and no proof.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel

from backfuturectl.model.resources import KINDS
from backfuturectl.model.units import format_duration

_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_DURATION_EXAMPLE: Final = ["15m"]
_SOPS: Final = {
    "type": "object",
    "description": "Written by SOPS: who can decrypt the file, and the MAC over all of it.",
}


def file_name(kind: str) -> str:
    """Return the name of the schema file of *kind*."""
    return f"{kind.lower()}.json"


def schema_text(kind: str) -> str:
    """Return the schema of *kind* as it stands in its file."""
    return json.dumps(schema_of(kind), indent=2, ensure_ascii=False, default=_number) + "\n"


def schema_of(kind: str) -> dict[str, Any]:
    """Return the schema of *kind*."""
    model: type[BaseModel] = KINDS[kind]
    schema = model.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions = schema.pop("$defs", {})
    if kind == "Connection":
        schema["properties"]["sops"] = dict(_SOPS)
    whole = {"$schema": _DRAFT, "title": kind, **schema, "definitions": definitions}
    draft7: dict[str, Any] = _draft7(whole)
    return draft7


def _draft7(node: Any) -> Any:
    """Return *node* as people and draft 7 read it.

    Draft 7 ignores everything beside ``$ref``; defaults are shown as one would write them; titles
    that only repeat a field's name are noise in an editor's hover.
    """
    if isinstance(node, list):
        return [_draft7(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {
        key: _draft7(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str) and ("type" in node or "anyOf" in node))
        or "$schema" in node
    }
    default = result.get("default")
    if isinstance(default, int) and result.get("examples") == _DURATION_EXAMPLE:
        result["default"] = format_duration(default)
    if isinstance(default, str) and result.get("type") == "number":
        result["default"] = _number(Decimal(default))
    if isinstance(default, dict) or ("default" in result and default is None):
        del result["default"]  # the fields inside have their own; absent is how one writes nothing
    if "$ref" in result and len(result) > 1:
        result["allOf"] = [{"$ref": result.pop("$ref")}]
    return result


def _number(value: Decimal) -> int | float:
    # A float only for display: a default such as 0.3 prints as it is written.
    return int(value) if value == value.to_integral_value() else float(value)
