from decimal import Decimal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.config.yaml_source import read


def problems(text: str) -> list[tuple[str, int, int]]:
    found = read(text.encode()).problems
    return [(each.code, each.span.line, each.span.column) for each in found]


def value(text: str) -> object:
    (document,) = read(f"x: {text}".encode()).documents
    return document.values["x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1", Decimal("0.1")),
        ("123456789.123456789123", Decimal("123456789.123456789123")),
        ("-3", -3),
        ("true", True),
        ("", None),
        ("null", None),
        ("'3'", "3"),
        ('"yes"', "yes"),
        ("BTC/USDT", "BTC/USDT"),
        ("1500 USDT", "1500 USDT"),
        ("203.0.113.7", "203.0.113.7"),
        ("15m", "15m"),
    ],
)
def test_scalars_become_exact_values(text, expected):
    assert value(text) == expected
    assert type(value(text)) is type(expected)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *((word, "BF111") for word in ("yes", "No", "on", "OFF", "y", "True", "NULL")),
        *((number, "BF112") for number in ("012", "0x1F", "1_000", "1e3", "12:30", ".5", "1.")),
        *((number, "BF112") for number in ("+1", "-.inf", ".nan", "0o14", "1.5e-3")),
        ("2026-01-01", "BF113"),
        ("2026-01-01 10:00:00", "BF113"),
        ("!!str 3", "BF110"),
        ("&a 3", "BF109"),
    ],
)
def test_what_readers_disagree_about_is_refused_at_its_place(text, code):
    assert problems(f"x: {text}") == [(code, 1, 4)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a: 1\nb: 2\na: 3", ("BF108", 3, 1), id="duplicate"),
        pytest.param("a: {b: 1, b: 2}", ("BF108", 1, 11), id="duplicate in flow style"),
        pytest.param("<<: {a: 1}", ("BF109", 1, 1), id="merge key"),
        pytest.param("1: a", ("BF114", 1, 1), id="number as key"),
        pytest.param("a:\n\tb: 1", ("BF107", 2, 1), id="tab"),
        pytest.param("a: [1", ("BF105", 1, 6), id="unclosed"),
        pytest.param("a: 1\n<<<<<<< HEAD\nb: 1\n=======\n", ("BF106", 2, 1), id="conflict"),
        pytest.param("[" * 100_000, ("BF115", 1, 41), id="deep in flow style"),
        pytest.param("- " * 100_000, ("BF115", 1, 81), id="deep in block style"),
    ],
)
def test_syntax_is_refused_at_its_place(text, expected):
    assert problems(text)[0] == expected


def test_an_expansion_bomb_costs_nothing():
    lines = ["a: &a [x, x]"]
    lines += [f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    assert {code for code, _, _ in problems("\n".join(lines))} == {"BF109"}


def test_a_value_that_may_be_a_secret_is_not_quoted():
    (problem,) = read(b"credentials: {apiKey: 0123456}").problems
    assert "0123456" not in problem.message


def test_documents_before_a_syntax_error_are_kept_and_the_file_is_broken():
    found = read(b"a: 1\n---\nb: [")
    assert [document.values for document in found.documents] == [{"a": 1}]
    assert found.is_broken


def test_positions_name_key_and_value():
    (document,) = read(b"a:\n  - b: long\n", has_positions=True).documents
    position = document.positions["a", 0, "b"]
    assert position.key is not None
    assert (position.key.line, position.key.column) == (2, 5)
    assert (position.value.column, position.value.end_column) == (8, 12)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(st.text("abcdefgh", min_size=2, max_size=5), below, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcdefgh", min_size=2, max_size=5), plain, min_size=1))
def test_what_is_written_is_read_back(values):
    text = yaml.safe_dump(values, default_style='"', allow_unicode=True)
    untagged = text.replace("!!int ", "").replace("!!bool ", "").replace("!!null ", "")
    found = read(untagged.encode())
    assert not found.is_broken
    plain_text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    document = read(plain_text.encode())
    if not document.problems:
        assert document.documents[0].values == values


@given(st.binary(max_size=300))
def test_no_bytes_raise(content):
    try:
        content.decode()
    except UnicodeDecodeError:
        return
    read(content, has_positions=True)


@given(st.text(alphabet=":-{}[]&*!|>'\"%@`#,? \n\tab1.", max_size=80))
def test_no_text_made_of_yaml_marks_raises(text):
    read(text.encode(), has_positions=True)
