"""Pydantic's errors as sentences that say what to write instead.

Values under a secret field are never quoted.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from backfuturectl.config.remarks import Remark, dotted
from backfuturectl.config.yaml_source import FieldPath, is_secret_path

_SHOWN_MAX: Final = 40
_FORMS: Final[dict[str, str]] = {
    # The last part of a field's path to what its text looks like.
    "pairs": "a pair such as `BTC/USDT`",
    "connection": "a name of lower-case letters, digits and dashes",
    "name": "a name of lower-case letters, digits and dashes, at most 63 characters",
    "newDeals": "a window such as `Mon-Fri 08:00-24:00`",
    "new_deals": "`block` or `viaConnection: NAME`",
}
_CHOICES: Final = frozenset({"literal_error", "enum"})
_TYPES: Final[dict[str, str]] = {
    "int_type": "a whole number",
    "bool_type": "`true` or `false`",
    "string_type": "text",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
}
_BOUNDS: Final[dict[str, tuple[str, str]]] = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def remarks_of(error: ValidationError, model: type[BaseModel]) -> Iterator[Remark]:
    """Yield one remark per wrong field of a document that *model* refused with *error*."""
    for detail in error.errors(include_url=False):
        yield _remark(detail, model)


def did_you_mean(word: str, choices: Sequence[str]) -> str:
    """Return ``did you mean `x`?``, or nothing when no choice is close."""
    plain = {choice.replace("_", "").replace("-", "").lower(): choice for choice in choices}
    exact = plain.get(word.replace("_", "").replace("-", "").lower())
    if exact is not None:
        return f"did you mean `{exact}`?"
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def field_model(model: type[BaseModel], path: FieldPath) -> type[BaseModel] | None:
    """Return the model that describes the mapping at *path* below *model*."""
    current: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        if current is None:
            return None
        found = [field for field in current.model_fields.values() if field.alias == part]
        current = _inner_model(found[0].annotation) if found else None
    return current


def _remark(detail: ErrorDetails, model: type[BaseModel]) -> Remark:
    kind, path, found = detail["type"], detail["loc"], detail["input"]
    context = detail.get("ctx", {})
    name = dotted(path)
    shown = "" if is_secret_path(path) else f", found {_describe(found)}"
    if kind == "missing":
        return Remark("BF205", path, f"`{name}` is missing", _description(model, path))
    if kind == "extra_forbidden":
        return Remark(
            "BF204",
            path,
            f"unknown field{_quoted_key(path)}{_within(path)}",
            _suggest_field(model, path),
            is_about_key=True,
        )
    if kind in _CHOICES:
        choices = [choice.strip("'") for choice in _split(str(context["expected"]))]
        listed = ", ".join(f"`{choice}`" for choice in choices)
        help_ = did_you_mean(found, choices) if isinstance(found, str) else ""
        one_of = "must be" if len(choices) == 1 else "must be one of"
        return Remark("BF207", path, f"`{name}` {one_of} {listed}{shown}", help_)
    if kind in _TYPES:
        return Remark("BF206", path, f"`{name}` must be {_TYPES[kind]}{shown}", _retype(found))
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return Remark("BF209", path, f"`{name}` must be {words} {context[key]}{shown}")
    if kind in {"too_short", "too_long", "string_too_long"}:
        least, most = context.get("min_length"), context.get("max_length")
        unit = "characters" if kind == "string_too_long" else "items"
        bound = f"at most {most}" if least is None else f"at least {least}"
        return Remark("BF210", path, f"`{name}` must have {bound} {unit}")
    if kind == "string_pattern_mismatch":
        form = next((_FORMS[part] for part in reversed(path) if part in _FORMS), "another form")
        return Remark("BF208", path, f"`{name}` must be {form}{shown}")
    if kind == "value_error":
        wanted = str(context["error"]).removeprefix("expected ")
        is_type = wanted.startswith("a number")
        return Remark(
            "BF206" if is_type else "BF208",
            path,
            f"`{name}` must be {wanted}{shown}",
            _retype(found) if is_type else _with_unit(wanted, found),
        )
    return Remark("BF206", path, f"`{name}`: {detail['msg'].lower()}{shown}")


def _describe(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | Decimal():
            return f"`{value}`"
        case str():
            text = value if len(value) <= _SHOWN_MAX else f"{value[:_SHOWN_MAX]}…"
            return f"text `{text}`" if text else "empty text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _retype(value: Any) -> str:
    """Help for a number or truth value that was written as text."""
    if isinstance(value, str) and value.replace(".", "", 1).isdecimal():
        return f"write it without quotes: `{value}`"
    if isinstance(value, str) and value in {"true", "false"}:
        return f"write it without quotes: `{value}`"
    return ""


def _with_unit(wanted: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return ""
    if "USDT" in wanted:
        return f"did you mean `{value} USDT`?"
    return f"did you mean `{value}s` or `{value}m`?" if "duration" in wanted else ""


def _quoted_key(path: FieldPath) -> str:
    return "" if is_secret_path(path[:-1]) else f" `{str(path[-1])[:60]}`"


def _within(path: FieldPath) -> str:
    return f" in `{dotted(path[:-1])}`" if len(path) > 1 else ""


def _suggest_field(model: type[BaseModel], path: FieldPath) -> str:
    word = str(path[-1])
    parent = field_model(model, path[:-1])
    known = [] if parent is None else [str(field.alias) for field in parent.model_fields.values()]
    suggestion = did_you_mean(word, known)
    if suggestion:
        return suggestion
    elsewhere = [place for place in _places(model, ()) if place[-1] == word]
    if elsewhere:
        return f"`{word}` belongs at `{dotted(elsewhere[0])}`"
    return f"known fields: {', '.join(known)}" if known else ""


def _places(model: type[BaseModel], path: FieldPath) -> Iterator[FieldPath]:
    for field in model.model_fields.values():
        below = (*path, str(field.alias))
        yield below
        inner = _inner_model(field.annotation)
        if inner is not None:
            yield from _places(inner, below)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside ``Model | None``, ``tuple[Model, ...]`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {Union, types.UnionType, Annotated, tuple}:
        for argument in get_args(annotation):
            inner = _inner_model(argument)
            if inner is not None:
                return inner
    return None


def _description(model: type[BaseModel], path: FieldPath) -> str:
    parent = field_model(model, path[:-1])
    if parent is None:
        return ""
    found = [field for field in parent.model_fields.values() if field.alias == path[-1]]
    return (found[0].description or "").rstrip(".") if found else ""


def _split(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(", ")
