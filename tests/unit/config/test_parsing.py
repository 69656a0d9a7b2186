import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.config.parsing import Parser, parse_file
from backfuturectl.config.tree import SourceFile, scan
from tests.unit.config.samples import codes, connection, loaded, strategy, write


def parse(text: str | bytes, path: str = "a.yaml"):
    content = text.encode() if isinstance(text, str) else text
    return parse_file(SourceFile(path, content, "digest"))


def wrong(spec: str):
    """Return the findings of a strategy with *spec*, as (code, field, line text, help)."""
    text = strategy(spec=spec)
    lines = text.splitlines()
    return [
        (each.code, each.field, lines[each.span.line - 1].strip(), each.help)
        for each in parse(text).findings
    ]


@pytest.mark.parametrize(
    ("spec", "code", "field", "hint"),
    [
        ("marginLimt: 500 USDT", "BF204", "spec.marginLimt", "did you mean `marginLimit`?"),
        ("margin_limit: 500 USDT", "BF204", "spec.margin_limit", "did you mean `marginLimit`?"),
        ("stepScale: 2", "BF204", "spec.stepScale", "belongs at `spec.averaging.stepScale`"),
        ("direction: lng", "BF207", "spec.direction", "did you mean `long`?"),
        ('leverage: "3"', "BF206", "spec.leverage", "without quotes: `3`"),
        ("leverage: 500", "BF209", "spec.leverage", ""),
        ("marginLimit: 500", "BF208", "spec.marginLimit", "did you mean `500 USDT`?"),
        ("baseOrder: 50", "BF208", "spec.baseOrder", "did you mean `50 USDT`?"),
        ("pairs: [BTC]", "BF208", "spec.pairs[0]", ""),
        ("pairs: []", "BF210", "spec.pairs", ""),
        ("pairs: [BTC/USDT, BTC/USDT]", "BF211", "spec.pairs[1]", ""),
        ("stopLoss: {percent: 125}", "BF209", "spec.stopLoss.percent", ""),
        ("stopLoss: {confirmFor: 60}", "BF208", "spec.stopLoss.confirmFor", "`60s` or `60m`"),
        ("stopLoss: []", "BF206", "spec.stopLoss", ""),
        ("schedule: {timezone: Europe/Berln}", "BF212", "spec.schedule.timezone", "Berlin"),
        ("schedule: {timezone: ../../etc/passwd}", "BF212", "spec.schedule.timezone", ""),
        ("schedule: {timezone: Europe}", "BF212", "spec.schedule.timezone", ""),
        ('schedule: {timezone: ""}', "BF212", "spec.schedule.timezone", ""),
        ("entry: {trigger: priceBelow}", "BF318", "spec.entry.price", ""),
        ("entry: {rsi: {period: 14}}", "BF318", "spec.entry.rsi", "write `trigger: rsi`"),
        (
            "entry: {trigger: rsi, rsi: {below: 30, above: 70}}",
            "BF318",
            "spec.entry.rsi.above",
            "keep one of the two",
        ),
        (
            "recovery: {enabled: false, trigger: {manual: true}}",
            "BF318",
            "spec.recovery.trigger.manual",
            "remove `enabled: false`",
        ),
        (
            "takeProfit: {percent: 2, steps: [{sharePct: 100, profitPct: 1}]}",
            "BF318",
            "spec.takeProfit.percent",
            "keep one of the two",
        ),
        ("entry: {trigger: rsi, rsi: {interval: 2h}}", "BF207", "spec.entry.rsi.interval", ""),
        ("entry: {trigger: rsi, rsi: {period: 25}}", "BF209", "spec.entry.rsi.period", ""),
        ("entry: {trigger: rsi, rsi: {below: 0}}", "BF209", "spec.entry.rsi.below", ""),
        (
            "takeProfit: {steps: [{sharePct: 50}]}",
            "BF205",
            "spec.takeProfit.steps[0].profitPct",
            "",
        ),
        ("recovery: {enabled: 1}", "BF206", "spec.recovery.enabled", ""),
    ],
)
def test_a_wrong_field_is_named_with_line_and_remedy(spec, code, field, hint):
    (found,) = wrong(spec)
    assert found[:2] == (code, field)
    assert found[2] == spec
    assert hint in found[3]


def test_a_time_zone_that_exists_is_accepted():
    assert wrong("schedule: {timezone: Europe/Berlin}") == []


def test_all_problems_of_all_documents_come_in_one_run():
    text = "---\n".join(strategy(f"s-{n}", spec="direction: up\nleverage: x") for n in range(3))
    assert [each.code for each in parse(text).findings] == ["BF207", "BF206"] * 3


def test_a_missing_required_field_points_at_the_mapping_it_belongs_to():
    text = "apiVersion: backfuture.ai/v1alpha1\nkind: Strategy\nmetadata: {name: abc-def}\nspec:\n"
    (found,) = parse(text + "  pairs: [BTC/USDT]\n").findings
    assert (found.code, found.span.line, found.message) == (
        "BF205",
        4,
        "`spec.connection` is missing",
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("apiVersion: backf", id="cut in the apiVersion"),
        pytest.param("apiVersion: backfuture.ai/v1alpha1\nkind: Strat", id="cut in the kind"),
        pytest.param("apiVersion: backfuture.ai/v1alpha1\nkind: Strategy\n", id="cut before name"),
        pytest.param("apiVer", id="cut in the first word"),
        pytest.param("apiVersion:", id="cut after the first key"),
        pytest.param("kind: Strategy\nmetadata: {}", id="no apiVersion"),
        pytest.param("# all of it is a comment", id="commented out"),
        pytest.param("a: [", id="syntax error"),
        pytest.param(f"apiVersion: {'ENC[AES256_GCM,data:eA==]'}\nsops: {{}}", id="all encrypted"),
    ],
)
def test_what_may_have_been_a_document_is_unknown_and_never_absent(text):
    found = parse(text)
    assert found.is_unknown
    assert any(each.is_error for each in found.findings)


def test_every_prefix_of_a_document_is_unknown_or_identified_with_the_same_name():
    text = strategy("whole-name-here")
    for cut in range(1, len(text)):
        found = parse(text[:cut])
        names = {document.name for document in found.documents}
        assert found.is_unknown or names <= {"whole-name-here"}, text[:cut]
        assert found.is_unknown or names, text[:cut]


def test_a_document_cut_in_its_name_is_unknown():
    found = parse("apiVersion: backfuture.ai/v1alpha1\nkind: Strategy\nmetadata:\n  name: whole-na")
    assert found.is_unknown


def test_foreign_yaml_is_ignored_with_a_note():
    found = parse("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {}\n")
    assert [each.code for each in found.findings] == ["BF119"]
    assert not found.is_unknown


def test_a_connection_with_a_foreign_api_version_is_an_error_and_identified():
    found = parse(connection().replace("backfuture.ai/v1alpha1", "v1"))
    assert [each.code for each in found.findings] == ["BF201"]
    assert [document.key for document in found.documents] == [("Connection", "mexc-spot-main")]
    assert found.documents[0].resource is None


def test_a_broken_file_makes_its_other_documents_unusable(tmp_path):
    result = loaded(tmp_path, a=strategy() + "---\na: [", c=connection())
    assert ("Strategy", "coins-balanced") in result.documents
    assert ("Strategy", "coins-balanced") not in result.usable


def test_a_bad_document_does_not_hurt_its_neighbour(tmp_path):
    other = strategy("other-coins", spec="pairs: [SOL/USDT]\nmarginLimit: 900 USDT")
    text = strategy(spec="direction: up") + "---\n" + other
    result = loaded(tmp_path, a=text, c=connection())
    assert ("Strategy", "other-coins") in result.usable
    assert ("Strategy", "coins-balanced") not in result.usable


def digest(text: str) -> str:
    (document,) = parse(text).documents
    return document.digest


def test_comments_format_order_and_file_name_do_not_change_a_digest():
    text = strategy(spec="leverage: 1\nstopLoss: {percent: 25}")
    values = yaml.safe_load(text)
    reordered = yaml.safe_dump(dict(reversed(values.items())), indent=8, width=20)
    assert digest(text) == digest(reordered) == digest("# hello\n" + text)
    assert digest(text) == digest(text.replace("percent: 25", "percent: 25.0"))
    assert parse(text, "b.yaml").documents[0].digest == digest(text)


def test_a_changed_value_changes_the_digest():
    assert digest(strategy(spec="leverage: 1")) != digest(strategy(spec="leverage: 2"))
    one, two = (strategy(spec=f"stopLoss: {{percent: {p}}}") for p in ("25.01", "25.001"))
    assert digest(one) != digest(two)


def test_the_source_of_a_document_among_several_is_its_own_and_parses_to_the_same():
    first, second = (
        strategy("héllo-a".replace("é", "e")),
        strategy("name-b", spec="# é\nleverage: 1"),
    )
    documents = parse(f"{first}---\n{second}---\n{strategy('name-c')}").documents
    for document in documents:
        (again,) = parse(document.source).documents
        assert again.digest == document.digest


def test_only_changed_files_are_parsed_again(tmp_path):
    write(tmp_path, a=strategy("name-a"), b=strategy("name-b"))
    parser = Parser()
    before = parser.parse_all(scan(tmp_path).files)
    write(tmp_path, b=strategy("name-b", spec="leverage: 2"))
    after = parser.parse_all(scan(tmp_path).files)
    assert after[0] is before[0]
    assert after[1] is not before[1]


def test_no_message_shows_a_credential(tmp_path):
    keys = "{apiKey: 0123456789, secret: [hunter2hunter2], password: {a: hunter2}}"
    result = loaded(tmp_path, c=connection(credentials=keys))
    assert "BF401" in codes(result)
    for finding in result.findings:
        assert "hunter2" not in finding.message + finding.help
        assert "0123456789" not in finding.message + finding.help


fields = st.sampled_from(
    ["apiVersion", "kind", "metadata", "spec", "name", "sops", "credentials", "pairs", "apiKey"]
)
values = st.recursive(
    st.sampled_from(["Connection", "Strategy", "Policy", "backfuture.ai/v1alpha1", "ENC[", "x"])
    | st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(fields, below, max_size=5),
    max_leaves=15,
)


@given(values)
def test_no_document_raises(value):
    parse(yaml.safe_dump(value, allow_unicode=True))


@given(st.data())
def test_no_damage_to_a_good_file_raises(data):
    text = connection()
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 40))
    insert = data.draw(st.text(alphabet="{}[]:-&*!\"'#\n\t aE0", max_size=6))
    parse(text[:at] + insert + text[at + length :])
