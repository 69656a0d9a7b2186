"""The planted faults still fit the code, and the check can tell caught from survived."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutations.check import ROOT, Verdict, check, copied
from tests.mutations.fault import Fault, LostTextError, plant
from tests.mutations.faults import FAULTS
from tests.mutations.report import REPORT, row_of

QUICK_TEST = "tests/unit/model/test_units.py"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with copied(tmp_path_factory.mktemp("mutations") / "copy") as folder:
        yield folder


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_changes_one_place_that_is_there(fault: Fault) -> None:
    assert plant(fault, ROOT)
    assert all((ROOT / test.partition("::")[0]).exists() for test in fault.tests)


def test_every_fault_is_in_the_report() -> None:
    report = (ROOT / REPORT).read_text()
    names = [row_of(fault.name, fault.promise) for fault in FAULTS]
    assert len(set(names)) == len(names)
    assert [name for name in names if name not in report] == []
    assert "**" not in report


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.is_quick], ids=lambda fault: fault.name)
def test_a_planted_fault_is_caught(fault: Fault, copy: Path) -> None:
    outcome = check(fault, copy)
    assert outcome.verdict is Verdict.CAUGHT, outcome.by


def test_a_change_that_matters_to_nobody_survives(copy: Path) -> None:
    harmless = Fault("", "", "__init__.py", (('"""', '"""As before. '),), (QUICK_TEST,))
    text = (ROOT / "backfuturectl/__init__.py").read_text()
    whole = Fault("", "", "__init__.py", ((text, f"{text}\n"),), (QUICK_TEST,))
    with pytest.raises(LostTextError):
        plant(harmless, copy)  # begins and ends the docstring: not one place
    assert check(whole, copy).verdict is Verdict.SURVIVED


def test_tests_that_cannot_run_prove_nothing(copy: Path) -> None:
    text = (ROOT / "backfuturectl/__init__.py").read_text()
    fault = Fault("", "", "__init__.py", ((text, "1 / 0"),), (QUICK_TEST,))
    assert check(fault, copy).verdict is Verdict.BROKEN
