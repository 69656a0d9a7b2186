import json

import pytest
from click.testing import CliRunner

from backfuturectl.cli.explain import explain
from backfuturectl.cli.main import cli
from backfuturectl.cli.schema import schema
from backfuturectl.config.proving import CODES
from backfuturectl.model.errors import UsageError
from backfuturectl.model.rules import RULES
from tests.golden.validate.samples import same_as_golden


def run(command, *arguments: str) -> tuple[int, str]:
    # By the program's name: a command remembers its help option, and asked alone it has no -h.
    result = CliRunner().invoke(cli, (command.name, *arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.mark.parametrize(
    "subject",
    [
        "BF204",
        "strategy",
        "strategy.spec.averaging",
        "strategy.spec.averaging.stepScale",
        "strategy.spec.marginLimit",
        "strategy.spec.takeProfit.steps",
        "connection.spec.environment",
        "policy.spec.limits.keyAge",
        "assumptions",
    ],
)
def test_the_explanation_is_the_golden_one(subject):
    _, text = run(explain, subject)
    assert same_as_golden(f"explain.{subject}.txt", text)


def test_the_list_names_every_rule():
    _, text = run(explain)
    assert all(f"  {code}  {rule.severity}" in text for code, rule in RULES.items())


@pytest.mark.parametrize("code", RULES)
def test_every_rule_can_be_explained(code):
    assert RULES[code].why in run(explain, code.lower())[1]


def test_every_proof_has_a_rule_that_names_it():
    assert set(CODES.values()) <= set(RULES)
    for proof, code in CODES.items():
        assert RULES[code].title.startswith(proof) or proof == "V-PRESET"


@pytest.mark.parametrize(
    ("subject", "hint"),
    [
        ("BF999", "there is no rule BF999"),
        ("strategy.spec.averaging.stepscale", "did you mean `stepScale`"),
        ("stratgy.spec", "did you mean `strategy`"),
    ],
)
def test_a_mistyped_subject_gets_a_suggestion(subject, hint):
    with pytest.raises(UsageError, match=hint):
        run(explain, subject)


def test_schemas_are_written_printed_and_checked(tmp_path):
    assert run(schema, "--check", str(tmp_path))[0] == 1
    run(schema, "--write", str(tmp_path))
    assert run(schema, "--check", str(tmp_path)) == (0, "")
    (tmp_path / "policy.json").write_text("{}")
    code, text = run(schema, "--check", str(tmp_path))
    assert code == 1
    assert "policy.json differs" in text
    assert json.loads(run(schema, "strategy")[1])["title"] == "Strategy"


def test_a_kind_that_does_not_exist_is_a_usage_error():
    with pytest.raises(UsageError, match="there is no kind `pod`"):
        run(schema, "pod")
