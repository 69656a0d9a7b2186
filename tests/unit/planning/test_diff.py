from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from backfuturectl.model.resources import ConnectionSpec, StrategySpec
from backfuturectl.planning.diff import FIELD_CLASSES, HIDDEN, FieldClass, diff, spec_changes


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        parts = (field.annotation, *get_args(field.annotation))
        nested = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        if nested and "tuple" not in str(field.annotation):
            yield from leaves(nested[0], f"{path}.")
        else:
            yield path


def strategy(**fields: Any) -> StrategySpec:
    return StrategySpec.model_validate({"connection": "c", "pairs": ["BTC/USDT"]} | fields)


def connection(**credentials: str) -> ConnectionSpec:
    return ConnectionSpec.model_validate(
        {
            "exchange": "kucoin",
            "market": "spot",
            "capital": "100 USDT",
            "credentials": {"apiKey": "key-one", "secret": "hunter2"} | credentials,
        }
    )


def changed(old: BaseModel, new: BaseModel) -> list[tuple[str, str | None, str | None]]:
    return [(change.path, change.old, change.new) for change in diff(old, new)]


def test_every_field_of_a_strategy_has_a_class_and_the_table_has_no_other() -> None:
    assert sorted(FIELD_CLASSES) == sorted(leaves(StrategySpec))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("leverage", FieldClass.IDENTITY),
        ("direction", FieldClass.IDENTITY),
        ("marginMode", FieldClass.IDENTITY),
        ("connection", FieldClass.IDENTITY),
        ("kind", FieldClass.IDENTITY),
        ("mode", FieldClass.IDENTITY),
        ("baseOrder", FieldClass.LADDER),
        ("averaging.stepScale", FieldClass.LADDER),
        ("averaging.maxPlaced", FieldClass.LIVE),
        ("takeProfit.percent", FieldClass.LIVE),
        ("stopLoss.percent", FieldClass.LIVE),
        ("recovery.trigger.drawdownPct", FieldClass.LIVE),
        ("pairs", FieldClass.MEMBERSHIP),
    ],
)
def test_fields_have_the_class_that_the_specification_gives_them(
    path: str, expected: FieldClass
) -> None:
    assert FIELD_CLASSES[path] is expected


def test_equal_documents_have_no_changes() -> None:
    assert diff(strategy(), strategy()) == ()


def test_paths_and_values_are_written_as_in_the_file() -> None:
    new = strategy(
        entry={"timeout": "90s"},
        averaging={"minInterval": "5m", "stepScale": Decimal("1.40")},
        caps={"maxDealAge": "30d", "maxOrderNotional": "300 USDT"},
        takeProfit={"steps": [{"sharePct": 100, "profitPct": Decimal("1.5")}]},
        recovery={"enabled": False},
        pairs=["BTC/USDT", "ETH/USDT"],
    )
    assert changed(strategy(), new) == [
        ("pairs", "[BTC/USDT]", "[BTC/USDT, ETH/USDT]"),
        ("entry.timeout", "10m", "90s"),
        ("averaging.stepScale", None, "1.40"),
        ("averaging.minInterval", "0s", "5m"),
        ("takeProfit.steps", "[]", "[{sharePct: 100, profitPct: 1.5}]"),
        ("recovery.enabled", "true", "false"),
        ("caps.maxOrderNotional", None, "300 USDT"),
        ("caps.maxDealAge", None, "30d"),
    ]


def test_an_absent_part_shows_the_fields_it_gains() -> None:
    new = strategy(takeProfit={"trailing": {"deviationPct": Decimal("0.25")}})
    assert changed(strategy(), new) == [("takeProfit.trailing.deviationPct", None, "0.25")]
    assert changed(new, strategy()) == [("takeProfit.trailing.deviationPct", "0.25", None)]
    (change,) = diff(strategy(), new)
    assert str(change) == "takeProfit.trailing.deviationPct: absent → 0.25"


def test_secrets_are_hidden() -> None:
    found = diff(connection(), connection(secret="hunter3", password="xyzzy"))
    assert [(change.path, change.old, change.new) for change in found] == [
        ("credentials.secret", HIDDEN, HIDDEN),
        ("credentials.password", None, HIDDEN),
    ]
    assert not any(word in repr(found) for word in ("hunter", "xyzzy"))


def test_membership_is_no_change_of_a_bot() -> None:
    assert spec_changes(strategy(), strategy(pairs=["BTC/USDT", "ETH/USDT"])) == ()


def test_documents_of_different_kinds_cannot_be_compared() -> None:
    with pytest.raises(AssertionError):
        diff(strategy(), connection())
