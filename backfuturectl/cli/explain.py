"""``explain``: what a rule wants, a field or a reason means, what is assumed of the exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from backfuturectl.model.errors import UsageError

if TYPE_CHECKING:
    from backfuturectl.model.rules import Rule

_GROUPS: Final = {
    "1": "syntax",
    "2": "schema",
    "3": "references",
    "4": "secrets",
    "5": "policy and permissions",
    "6": "safety",
}

_ASSUMPTIONS: Final = "assumptions"


@click.command
@click.argument("subjects", nargs=-1, metavar="[CODE | KIND.FIELD | REASON | assumptions]...")
def explain(subjects: tuple[str, ...]) -> None:
    """Explain a rule, a field, a reason or the assumed figures; without an argument, list rules.

    A reason is what `status`, `get` and `describe` show under REASON, events among them.

    \b
    Examples:
      backfuturectl explain BF204
      backfuturectl explain V-MARGIN
      backfuturectl explain strategy.spec
      backfuturectl explain strategy.spec.averaging.stepScale
      backfuturectl explain WithdrawEnabled
      backfuturectl explain assumptions
    """  # noqa: D301 - \b is click's mark for text that keeps its lines
    from backfuturectl.model.rules import RULES  # noqa: PLC0415 - keeps --help fast

    if not subjects:
        click.echo("\n".join(_listing(RULES)))
        return
    sections = []
    for subject in subjects:
        code = _code(subject.upper())
        if code in RULES:
            sections.append("\n".join(_rule(code, RULES[code])))
        elif subject == _ASSUMPTIONS:
            sections.append("\n".join(_assumed()))
        elif code.startswith("BF") and code[2:].isdigit():
            raise UsageError(f"there is no rule {code}; `backfuturectl explain` lists them")
        else:
            sections.append("\n".join(_reason(subject) or _field(subject)))
    click.echo("\n\n".join(sections))


def _code(subject: str) -> str:
    """Return the rule code that *subject* is; a proof has a second name, which the daemon uses."""
    if not subject.startswith("V-"):
        return subject
    from backfuturectl.config.proving import CODES  # noqa: PLC0415 - keeps --help fast

    return CODES.get(subject, subject)


def _listing(rules: dict[str, Rule]) -> Iterator[str]:
    group = ""
    for code, rule in sorted(rules.items()):
        if code[2] != group:
            yield f"{'' if not group else chr(10)}{_GROUPS[code[2]]}"
            group = code[2]
        yield f"  {code}  {rule.severity:<7}  {rule.title}"


def _rule(code: str, rule: Rule) -> Iterator[str]:
    yield f"{code} ({rule.severity}, {_GROUPS[code[2]]}): {rule.title}"
    yield ""
    yield f"Why:    {rule.why}"
    yield f"Remedy: {rule.remedy}"
    for title, example in (("Bad", rule.bad), ("Good", rule.good)):
        if example:
            yield ""
            yield f"{title}:"
            yield from (f"  {line}" for line in example.splitlines())
    yield ""
    if rule.is_suppressible:
        yield f"A comment may silence it: # backfuturectl: ignore {code} REASON"
    if rule.is_adjustable:
        yield f"The Policy may change it: spec.severities: {{{code}: error | warning | off}}"
    if not rule.is_adjustable and not rule.is_suppressible:
        yield "It can be neither silenced nor lowered."


def _reason(subject: str) -> list[str]:
    """Return what a reason, a subcause of one, or an event means; nothing for anything else."""
    from backfuturectl.model.happenings import HAPPENINGS  # noqa: PLC0415 - keeps --help fast
    from backfuturectl.model.status import REASONS  # noqa: PLC0415 - the same
    from backfuturectl.secrets.failures import FAILURES  # noqa: PLC0415 - the same

    wanted = subject.lower().removesuffix("cleared")
    found: list[tuple[str, str, str, str]] = [
        (str(reason), f"a reason, {row.kind}", row.cause, row.remedy)
        for reason, row in REASONS.items()
    ]
    found += [
        (failure.value, f"a subcause of {failed.reason}", failed.cause, failed.remedy)
        for failure, failed in FAILURES.items()
    ]
    found += [(name, "an event", *told) for name, told in HAPPENINGS.items()]
    lines = []
    for name, what, cause, remedy in found:
        if name.lower() == wanted:
            lines += [f"{name} ({what})", "", f"Means:  {cause}", f"Remedy: {remedy or 'none'}"]
    if lines and wanted != subject.lower():
        lines += ["", "Cleared: it is over."]
    return lines


def _assumed() -> Iterator[str]:
    from backfuturectl.cli.render import Column, table_lines  # noqa: PLC0415 - keeps --help fast
    from backfuturectl.model.market import HUNDRED  # noqa: PLC0415 - the same
    from backfuturectl.strategy.arithmetic import shown  # noqa: PLC0415 - the same
    from backfuturectl.strategy.assumptions import ASSUMED  # noqa: PLC0415 - the same

    rows = [
        {
            "exchange": exchange or "any",
            "market": kind.value,
            "taker": shown(rules.taker_fee * HUNDRED),
            "maker": shown(rules.maker_fee * HUNDRED),
            "minimum": rules.cost_min,
            "maintenance": shown(rules.maintenance_margin * HUNDRED),
            "orders": rules.open_orders_max,
            "stops": rules.stop_orders_max or "watched",
            "source": rules.source,
        }
        for (exchange, kind), rules in sorted(
            ASSUMED.items(), key=lambda item: (item[0][0] or "", item[0][1])
        )
    ]
    yield "Assumed by `validate` and `ladder` where no exchange can be asked. The daemon proves"
    yield "every strategy again with the exchange's own figures before it starts a bot."
    yield ""
    yield from table_lines(
        [
            Column("EXCHANGE", "exchange"),
            Column("MARKET", "market"),
            Column("TAKER %", "taker", is_number=True),
            Column("MAKER %", "maker", is_number=True),
            Column("MINIMUM", "minimum", is_number=True),
            Column("MAINTENANCE %", "maintenance", is_number=True),
            Column("OPEN ORDERS", "orders", is_number=True),
            Column("STOPS", "stops", is_number=True),
        ],
        rows,
    )
    yield ""
    yield "SOURCES:"
    yield from (f"  {row['exchange']} {row['market']}: {row['source']}" for row in rows)


def _field(subject: str) -> Iterator[str]:
    from backfuturectl.config.json_schema import schema_of  # noqa: PLC0415 - keeps --help fast
    from backfuturectl.config.schema_errors import did_you_mean  # noqa: PLC0415 - the same
    from backfuturectl.model.resources import KINDS  # noqa: PLC0415 - the same

    head, *path = subject.split(".")
    kind = next((name for name in KINDS if name.lower() == head.lower()), None)
    if kind is None:
        hint = did_you_mean(head, [name.lower() for name in KINDS])
        raise UsageError(
            f"`{subject}` is neither a rule code, nor a field below "
            f"{', '.join(name.lower() for name in KINDS)}, nor a reason, nor `{_ASSUMPTIONS}`; "
            f"{hint}".rstrip("; ")
        )
    schema = schema_of(kind)
    node: dict[str, Any] = schema
    is_required = True
    for index, part in enumerate(path):
        inner = _resolved(node, schema)
        fields: dict[str, Any] = inner.get("properties", {})
        if part not in fields:
            place = ".".join([head, *path[:index]])
            hint = did_you_mean(part, list(fields)) or f"fields: {', '.join(fields) or 'none'}"
            raise UsageError(f"`{place}` has no field `{part}`; {hint}")
        is_required = part in inner.get("required", [])
        node = fields[part]
    inner = _resolved(node, schema)
    yield f"KIND:  {kind}"
    yield f"FIELD: {'.'.join(path) or '(the whole document)'}"
    yield f"TYPE:  {_type(node, schema)}{'' if not is_required or not path else ', required'}"
    if "default" in node:
        yield f"DEFAULT: {_shown(node['default'])}"
    presets = _presets(path) if kind == "Strategy" else ""
    if presets:
        yield f"PRESETS: {presets}"
    description = node.get("description") or inner.get("description", "")
    yield ""
    yield f"  {description}"
    fields = inner.get("properties", {})
    if fields:
        yield ""
        yield "FIELDS:"
        width = max(len(name) for name in fields)
        for name, field in fields.items():
            text = field.get("description", "")
            mark = "*" if name in inner.get("required", []) else " "
            yield f" {mark}{name:<{width}}  {_type(field, schema)}  {text}".rstrip()


def _resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the mapping that *node* stands for, through references, options and lists."""
    for key in ("allOf", "anyOf"):
        for option in node.get(key, []):
            if option.get("type") != "null":
                return _resolved(option, schema)
    if "$ref" in node:
        name = str(node["$ref"]).rpartition("/")[2]
        return _resolved(schema["definitions"][name], schema)
    if node.get("type") == "array" and isinstance(node.get("items"), dict):
        return _resolved(node["items"], schema)
    return node


def _type(node: dict[str, Any], schema: dict[str, Any]) -> str:
    if node.get("type") == "array":
        return f"list of {_type(node.get('items', {}), schema)}"
    inner = _resolved(node, schema)
    if "enum" in inner:
        return " | ".join(str(value) for value in inner["enum"])
    if "const" in inner:
        return str(inner["const"])
    if "examples" in inner:
        return f"text such as {' or '.join(f'`{example}`' for example in inner['examples'])}"
    names = {
        "object": "mapping",
        "string": "text",
        "number": "number",
        "integer": "whole number",
        "boolean": "true | false",
    }
    bounds = [
        f"{sign} {inner[key]}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in inner
    ]
    name = names.get(str(inner.get("type")), "text")
    return f"{name} {', '.join(bounds)}".rstrip()


def _presets(path: list[str]) -> str:
    """Return what each risk preset fills in for a field that the file leaves out."""
    from backfuturectl.strategy.presets import PRESETS  # noqa: PLC0415 - keeps --help fast

    attribute = _PRESET_FIELDS.get(".".join(path))
    if attribute is None:
        return ""
    unit = "% of capital" if attribute == "margin_limit_pct" else ""
    values = [f"{risk} {getattr(preset, attribute)}{unit}" for risk, preset in PRESETS.items()]
    return ", ".join(values)


_PRESET_FIELDS: Final = {
    "spec.leverage": "leverage",
    "spec.marginLimit": "margin_limit_pct",
    "spec.maxActiveDeals": "max_active_deals",
    "spec.averaging.firstDeviationPct": "first_deviation_pct",
    "spec.averaging.stepScale": "step_scale",
    "spec.averaging.firstSizeRatio": "first_size_ratio",
    "spec.averaging.volumeScale": "volume_scale",
    "spec.averaging.maxOrders": "max_orders",
    "spec.takeProfit.percent": "take_profit_pct",
    "spec.stopLoss.percent": "stop_pct",
    "spec.recovery.trigger.drawdownPct": "recovery_drawdown_pct",
    "spec.recovery.trigger.marginUsedPct": "recovery_margin_used_pct",
    "spec.recovery.trigger.averagingUsedPct": "recovery_averaging_used_pct",
    "spec.recovery.actions.takeProfitPct": "recovery_take_profit_pct",
    "spec.recovery.escalate.drawdownPct": "recovery_escalate_pct",
}


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(str(item) for item in value)}]"
    return str(value)
