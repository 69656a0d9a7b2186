"""Values are put into a file's text without touching the rest of it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.errors import PermanentError
from backfuturectl.secrets.document import read_document, with_values

PARENT = ("spec", "credentials")
BEFORE = "kind: Connection  # é\nspec:\n  exchange: mexc\n"
AFTER = "\n  # last\n  capital: 1 USDT\nsops:\n  mac: x\n  age:\n    - enc: |\n        y\n"
CREDENTIALS = [
    "  credentials:\n    apiKey: ''\n    secret: >-\n      folded\n      text",
    "  credentials:\n    apiKey: plain\n    secret: |\n      block",
    "  credentials: {apiKey: 'a', secret: \"b\"}",
    "  credentials: {secret: b}",
    "  credentials:\n      apiKey: !!str 5 # five",
    "  credentials: {}",
    "  credentials: null",
    "  credentials:",
    "  credentials: # none so far",
    "",
]
SECRETS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1)


def changed(text: str, new: dict[str, str]) -> dict[str, Any]:
    document = read_document(text.encode())
    loaded = yaml.safe_load(with_values(document, {}, parent=PARENT, new=new))
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("credentials", CREDENTIALS)
@given(
    new=st.dictionaries(st.sampled_from(["apiKey", "secret", "password"]), SECRETS, min_size=1),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_new_values_read_back_and_everything_else_stays(
    credentials: str, new: dict[str, str], newline: str
) -> None:
    text = (BEFORE + credentials + AFTER).replace("\n", newline)
    loaded = changed(text, new)
    found = loaded["spec"].pop("credentials")
    assert {key: found[key] for key in new} == new
    assert loaded == {"kind": "Connection", "spec": {"exchange": "mexc", "capital": "1 USDT"}}


@given(new=st.dictionaries(st.sampled_from(["apiKey", "secret"]), SECRETS, min_size=1))
def test_a_file_may_begin_with_a_byte_order_mark(new: dict[str, str]) -> None:
    loaded = changed("\ufeffspec:\n  credentials:\n    apiKey: ''\n", new)
    assert {key: loaded["spec"]["credentials"][key] for key in new} == new


@given(value=SECRETS)
def test_a_leaf_elsewhere_is_replaced_by_its_path(value: str) -> None:
    document = read_document(b"a:\n  - x: 1\n  - x: 2\nspec: {b: c}\n")
    text = with_values(document, {("a", 1, "x"): value}, parent=PARENT, new={"apiKey": "k"})
    assert yaml.safe_load(text)["a"] == [{"x": 1}, {"x": value}]


def test_the_place_above_the_credentials_must_be_a_mapping() -> None:
    with pytest.raises(PermanentError):
        changed("spec: text\n", {"apiKey": "k"})


def test_the_metadata_of_sops_are_kept_apart() -> None:
    document = read_document(b"a: ENC[AES256_GCM,data:x]\nsops:\n  mac: ENC[AES256_GCM,data:y]\n")
    assert [leaf.path for leaf in document.leaves if leaf.is_encrypted] == [("a",)]
    assert [leaf.path for leaf in document.sops_leaves] == [("sops", "mac")]


@pytest.mark.parametrize(
    ("content", "failure"),
    [
        (b"a: &x 1\nb: *x\n", "Aliases"),
        (b"a: &x {b: 1}\nc:\n  <<: *x\n", "Aliases"),
        (b"a: 1\n---\nb: 2\n", "MultipleDocuments"),
        (b"", "NotEncrypted"),
        (b"- a\n", "Malformed"),
        (b"? [a]\n: b\n", "Malformed"),
        (b"a: [" * 40, "Malformed"),
    ],
)
def test_what_cannot_be_a_sops_file_is_named(content: bytes, failure: str) -> None:
    with pytest.raises(PermanentError) as caught:
        read_document(content)
    assert caught.value.raw_code == failure


def test_a_syntax_error_does_not_quote_the_file() -> None:
    with pytest.raises(PermanentError) as caught:
        read_document(b"apiKey: canary\n  secret: [")
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@given(text=st.text())
def test_no_text_whatever_causes_another_error(text: str) -> None:
    with contextlib.suppress(PermanentError):
        read_document(text.encode())


def test_a_document_in_clear_text_does_not_print() -> None:
    document = read_document(b"spec: {credentials: {apiKey: canary}}\n")
    assert "apiKey" in repr(document)
    assert "canary" not in repr(document)
