"""`explain` knows every code and reason that the program can print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import backfuturectl
from backfuturectl.cli.main import cli
from backfuturectl.config.proving import CODES
from backfuturectl.model.happenings import HAPPENINGS
from backfuturectl.model.rules import RULES
from backfuturectl.model.status import REASONS
from backfuturectl.secrets.failures import FAILURES

PACKAGE = Path(backfuturectl.__file__).parent
SAID = re.compile(
    r"""(?:\bNote\(|\bnote\(|note=|reason=|_tell_deal\(\s*seat,|restrict\(\s*context,\s*\w+,
    |_REASON:\ Final\ =|event\(\s*"\w+",\s*"\w+",|LegKind\.\w+:)
    \s*"([A-Z][a-z]+[A-Za-z]*)\"""",
    re.VERBOSE,
)


def said() -> set[str]:
    """Return every event's name in the source of the parts that tell events."""
    found: set[str] = set()
    for folder in ("strategy", "engine", "reconcile"):
        for path in (PACKAGE / folder).rglob("*.py"):
            found |= {each for each in SAID.findall(path.read_text()) if " " not in each}
    return found


def explained(subject: str) -> str:
    done = CliRunner().invoke(cli, ["explain", subject])
    assert done.exit_code == 0, done.exception
    return done.output


def test_every_event_in_the_source_has_a_meaning_and_no_meaning_is_left_over() -> None:
    reasons = {str(reason) for reason in REASONS}
    assert said() - reasons == HAPPENINGS.keys() - reasons
    assert len(said()) > 40


@pytest.mark.parametrize("code", sorted(RULES))
def test_every_rule_is_explained(code: str) -> None:
    text = explained(code)
    assert re.search(r"Why: +\S", text)
    assert re.search(r"Remedy: \S", text)


@pytest.mark.parametrize(("proof", "code"), CODES.items())
def test_a_proof_is_explained_by_the_name_that_ladder_and_daemon_use(proof: str, code: str) -> None:
    assert explained(proof) == explained(code)


@pytest.mark.parametrize("name", [*REASONS, *(each.value for each in FAILURES), *HAPPENINGS])
def test_every_reason_subcause_and_event_is_explained(name: str) -> None:
    text = explained(name)
    assert text.startswith(f"{name} (")
    assert re.search(r"Means: +\S", text)


def test_case_does_not_matter_and_an_event_that_ends_another_leads_to_it() -> None:
    assert explained("withdrawenabled") == explained("WithdrawEnabled")
    assert "it is over" in explained("SettingsChangedCleared")
