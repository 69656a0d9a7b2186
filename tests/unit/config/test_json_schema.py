from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from backfuturectl.config.json_schema import file_name, schema_of, schema_text
from backfuturectl.config.yaml_source import read
from backfuturectl.model.resources import KINDS
from tests.unit.config.samples import connection, policy, strategy

SCHEMAS = Path(__file__).parents[3] / "schemas"

WHOLE_STRATEGY = """\
state: paused
mode: live
kind: averaging
direction: long
risk: custom
leverage: 3
marginMode: isolated
marginLimit: 35%
maxActiveDeals: 2
entry: {trigger: priceBelow, price: 60000.5, orderType: limit, timeout: 10m, maxSlippagePct: 0.3}
baseOrder: auto
averaging: {reference: lastFill, firstDeviationPct: 1.5, stepScale: 1.35, maxOrders: 6}
takeProfit: {percent: 1.0, trailing: {deviationPct: 0.25}, steps: [{sharePct: 100, profitPct: 1}]}
stopLoss: {percent: 25, reference: baseOrder, confirmFor: 0s, onExchange: never, action: closeDeal}
recovery: {enabled: true, trigger: {drawdownPct: 8, underwaterFor: 72h}, actions: {addOns: "off"}}
caps: {maxOrderNotional: 300 USDT, maxOpenOrders: 20, maxDealAge: 30d}
cooldown: {afterTakeProfit: 60s}
schedule: {timezone: UTC, newDeals: ["Mon-Fri 00:00-24:00"]}
onChange: adopt
onDelete: abandon"""

GOOD = {
    "connection": connection(),
    "kucoin": connection("kucoin-futures-a", exchange="kucoin", market="futures"),
    "strategy": strategy(),
    "whole strategy": strategy(spec=WHOLE_STRATEGY),
    "policy": policy("exchanges: [mexc]\nlimits: {leverage: 3, marginTotal: 100 USDT}"),
}
BAD = {
    "unknown field": strategy(spec="marginLimt: 500 USDT"),
    "money without currency": strategy(spec="marginLimit: 500"),
    "duration as a number": strategy(spec="entry: {timeout: 600}"),
    "text as a number": strategy(spec='leverage: "3"'),
    "number out of range": strategy(spec="stopLoss: {percent: 125}"),
    "zero": strategy(spec="averaging: {stepScale: 0}"),
    "unknown choice": strategy(spec="direction: up"),
    "pair without quote": strategy(spec="pairs: [BTC]"),
    "no pairs": strategy(spec="pairs: []"),
    "text as truth value": strategy(spec='recovery: {enabled: "true"}'),
    "bad name": strategy("Not_A_Name"),
    "missing capital": connection().replace("  capital: 5000 USDT\n", ""),
    "unknown exchange": connection().replace("exchange: mexc", "exchange: mexx"),
    "wrong version": connection().replace("v1alpha1", "v1"),
}


def parsed(text: str) -> tuple[str, Any]:
    values = read(text.encode()).documents[0].values
    return values["kind"], values


def plain(values: Any) -> Any:
    """Return *values* with floats, as any other YAML reader has them."""
    if isinstance(values, dict):
        return {key: plain(value) for key, value in values.items()}
    if isinstance(values, list):
        return [plain(value) for value in values]
    return float(values) if isinstance(values, Decimal) else values


def is_accepted_by_schema(text: str) -> bool:
    kind, values = parsed(text)
    return jsonschema.Draft7Validator(schema_of(kind)).is_valid(plain(values))


def is_accepted_by_model(text: str) -> bool:
    kind, values = parsed(text)
    values.pop("sops", None)
    try:
        KINDS[kind].model_validate(values)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_schemas_equal_the_models(kind):
    published = (SCHEMAS / file_name(kind)).read_text(encoding="utf-8")
    assert published == schema_text(kind), "run `backfuturectl schema --write schemas`"


@pytest.mark.parametrize("kind", KINDS)
def test_the_schemas_are_valid_draft_7_without_anything_beside_a_reference(kind):
    schema = schema_of(kind)
    jsonschema.Draft7Validator.check_schema(schema)
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            assert "$ref" not in node or len(node) == 1
            pending += node.values()
        elif isinstance(node, list):
            pending += node


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_schema_and_model_accept_the_same_good_documents(text):
    assert is_accepted_by_schema(text)
    assert is_accepted_by_model(text)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_schema_and_model_refuse_the_same_bad_documents(text):
    assert not is_accepted_by_schema(text)
    assert not is_accepted_by_model(text)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_description(kind):
    schema = schema_of(kind)
    owners = {kind: schema, **schema["definitions"]}
    silent = [
        f"{owner}.{name}"
        for owner, definition in owners.items()
        for name, field in definition.get("properties", {}).items()
        # A bare reference shows the description of what it refers to.
        if not field.get("description") and "$ref" not in field
    ]
    assert silent == []


def test_defaults_are_shown_as_they_are_written():
    fields = schema_of("Strategy")["definitions"]
    assert fields["Entry"]["properties"]["timeout"]["default"] == "10m"
    assert fields["Entry"]["properties"]["maxSlippagePct"]["default"] == 0.3
    assert fields["RecoveryEscalate"]["properties"]["cooldown"]["default"] == "36h"


def test_a_reader_without_our_loader_can_use_the_schema():
    values = yaml.safe_load(strategy(spec=WHOLE_STRATEGY))
    jsonschema.Draft7Validator(schema_of("Strategy")).validate(values)
