"""What tools and people write in the place of a secret is not taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.secret import is_placeholder
from backfuturectl.secrets.sops import is_clean


@pytest.mark.parametrize(
    "text",
    [
        "********",
        "••••••",
        "xxxxxxxx",
        "XXXX-XXXX",
        "...",
        "<your-api-key>",
        "your_api_key_here",
        "${MEXC_KEY}",
        "REDACTED",
        "[redacted]",
        "(sensitive)",
        "changeme",
        "change-me",
        "REPLACE_ME",
        "TODO",
        "null",
    ],
)
def test_placeholders_are_recognised(text: str) -> None:
    assert is_placeholder(text)


@given(st.text("0123456789abcdef", min_size=8, max_size=64))
def test_keys_are_no_placeholders(text: str) -> None:
    assert not is_placeholder(text)
    assert is_clean(text)


@pytest.mark.parametrize("text", ["", " ", "abc\n", " abc", "a\x00b", "a\tb", "a\u202eb"])
def test_what_no_key_contains_is_not_clean(text: str) -> None:
    assert not is_clean(text)
