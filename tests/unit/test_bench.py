"""The benchmark's own arithmetic, and that its light cases run to their figures."""

from __future__ import annotations

import json
import sys

import pytest

from bench.cases import edit
from bench.figures import Bar, Figure
from bench.processes import run
from bench.run import main


def test_the_99th_percentile_is_a_sample():
    summary = Figure("f", "ms", range(200, 0, -1)).summary
    assert summary == {"min": 1, "median": 100.5, "p99": 198, "max": 200}
    assert Figure("f", "ms", [7.0]).summary["p99"] == 7.0


@pytest.mark.parametrize(
    ("bar", "is_met"),
    [
        (None, None),
        (Bar(3), True),
        (Bar(2), False),
        (Bar(3, "max"), False),
        (Bar(0.5, "min", is_floor=True), True),
        (Bar(1, "min", is_floor=True), False),
    ],
)
def test_a_bar_holds_one_statistic_to_one_side(bar, is_met):
    assert Figure("f", "s", [1, 2, 3], bar).is_met is is_met


def test_growth_needs_both_sizes():
    few = Figure("edit → converged, 1,000 bots", "s", [0.4])
    many = Figure("edit → converged, 10,000 paused bots", "s", [0.6])
    assert not list(edit.growth([few]))
    (growth,) = edit.growth([few, many])
    assert growth.samples == [pytest.approx(1.5)]
    assert growth.is_met


def test_what_is_measured_keeps_its_byte_code(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert run(
        [sys.executable, "-c", "import sys; sys.exit(sys.dont_write_bytecode)"], cwd=tmp_path
    )


def test_a_quick_run_writes_its_figures_as_json(tmp_path, capsys):
    path = tmp_path / "figures.json"
    assert main(["startup", "step", "store", "reaction", "--quick", "--json", str(path)]) == 0
    written = json.loads(path.read_text())
    assert written["machine"]["cores"] >= 1
    assert {row["case"] for row in written["figures"]} == {"startup", "step", "store", "reaction"}
    assert all(0 < row["min"] <= row["median"] <= row["max"] for row in written["figures"])
    table = capsys.readouterr().out
    assert all(row["name"] in table for row in written["figures"])
