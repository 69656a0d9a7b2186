"""Age keys are made once, readable by their owner alone."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from backfuturectl.model.errors import ConfigurationError
from backfuturectl.secrets.age import make_key, recipients_of


def test_a_new_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "age.key"
    recipient = make_key(path)
    assert recipient.startswith("age1")
    assert recipients_of(path) == (recipient,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "age.key"
    make_key(path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="exists"):
        make_key(path)
    assert path.read_bytes() == before


def test_several_keys_have_several_recipients(tmp_path: Path) -> None:
    one, other = make_key(tmp_path / "one"), make_key(tmp_path / "other")
    both = tmp_path / "both"
    both.write_text((tmp_path / "one").read_text() + "\n" + (tmp_path / "other").read_text())
    assert recipients_of(both) == (one, other)


def test_a_damaged_key_is_named_by_its_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "age.key"
    make_key(path)
    private = path.read_text().splitlines()[-1]
    path.write_text(f"# comment\n\n{private[:-3]}\n")
    with pytest.raises(ConfigurationError, match="line 3 of") as caught:
        recipients_of(path)
    assert private[:-3] not in str(caught.value)


def test_without_pyrage_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)
    with pytest.raises(ConfigurationError, match="pyrage is needed") as caught:
        make_key(tmp_path / "age.key")
    assert "backfuturectl[sops]" in caught.value.remedy
    assert not (tmp_path / "age.key").exists()
