from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.cli import render
from backfuturectl.cli.render import Column, age, cell, output_option, print_rows, table_lines
from backfuturectl.model.status import Reason

COLUMNS = (
    Column("NAME", "name"),
    Column("READY", "status.ready"),
    Column("MARGIN", "margin", is_number=True),
    Column("DIGEST", "digest", is_wide=True),
    Column("MESSAGE", "status.message"),
)
ROWS: list[dict[str, Any]] = [
    {
        "name": "eth",
        "status": {"ready": True, "message": "running state equals the files"},
        "margin": Decimal("1E+2"),
        "digest": "0123",
    },
    {"name": "btc-conservative", "status": None, "margin": Decimal("7.50")},
]


def test_a_table_is_aligned_and_says_what_is_absent() -> None:
    assert table_lines(COLUMNS, ROWS) == [
        "NAME               READY   MARGIN   MESSAGE",
        "eth                True       100   running state equals the files",
        "btc-conservative   -         7.50   -",
    ]


def test_wide_shows_more_columns() -> None:
    assert table_lines(COLUMNS, ROWS, wide=True)[1].split() == [
        "eth", "True", "100", "0123", "running", "state", "equals", "the", "files",
    ]  # fmt: skip


def test_a_terminal_cuts_the_last_column_only() -> None:
    lines = table_lines(COLUMNS, ROWS, width=56)
    assert lines[1] == "eth                True       100   running state equal…"
    assert all(len(line) <= 56 for line in lines)


def test_a_narrow_terminal_still_shows_a_bit_of_the_last_column() -> None:
    assert table_lines(COLUMNS, ROWS, width=10)[1].endswith("   running sta…")


def test_no_rows_are_only_titles() -> None:
    assert table_lines(COLUMNS, []) == ["NAME   READY   MARGIN   MESSAGE"]


def test_wide_letters_take_two_columns() -> None:
    lines = table_lines(
        (Column("A", "a"), Column("B", "b")), [{"a": "漢字", "b": 1}, {"a": "e\u0301", "b": 2}]
    )
    assert lines == ["A      B", "漢字   1", "e\u0301      2"]


def test_colours_do_not_move_the_columns() -> None:
    plain = table_lines(COLUMNS, ROWS)
    painted = table_lines(COLUMNS, ROWS, is_coloured=True)
    assert painted[1] != plain[1]
    assert [click.unstyle(line) for line in painted] == plain


@given(text=st.text())
def test_no_text_can_break_a_line_or_command_the_terminal(text: str) -> None:
    assert cell(text).isprintable()
    assert len(table_lines((Column("A", "a"),), [{"a": text}])) == 2


def test_an_escape_sequence_from_an_exchange_is_made_visible() -> None:
    assert cell("\x1b[2Jgone\nnew\tline") == "\\x1b[2Jgone new line"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        ("", "-"),
        (False, "False"),
        (Decimal("1E-8"), "0.00000001"),
        (["BTC/USDT", "ETH/USDT"], "BTC/USDT,ETH/USDT"),
        ((), "-"),
        (0, "0"),
        (Reason.ONLINE, "Online"),
    ],
)
def test_a_cell_is_written_exactly(value: object, expected: str) -> None:
    assert cell(value) == expected


@pytest.mark.parametrize(
    ("passed_ms", "expected"),
    [
        (0, "0s"),
        (119_999, "119s"),
        (120_000, "2m"),
        (7_199_999, "119m"),
        (7_200_000, "2h"),
        (172_799_999, "47h"),
        (172_800_000, "2d"),
        (-5_000, "0s"),
    ],
)
def test_an_age_is_short(passed_ms: int, expected: str) -> None:
    assert age(1_000_000, 1_000_000 + passed_ms) == expected


def test_an_unknown_age_is_a_dash() -> None:
    assert age(None, 5) == "-"


@click.command
@output_option
def show(output: str) -> None:
    print_rows(COLUMNS, ROWS, output=output, kind="StrategyList")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(show, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


EXPECTED = {
    "apiVersion": "backfuture.ai/v1alpha1",
    "kind": "StrategyList",
    "items": [
        {
            "name": "eth",
            "status": {"ready": True, "message": "running state equals the files"},
            "margin": "100",
            "digest": "0123",
        },
        {"name": "btc-conservative", "status": None, "margin": "7.50"},
    ],
}


def test_json_and_yaml_are_versioned_lists_with_exact_numbers() -> None:
    assert json.loads(run("-o", "json")) == EXPECTED
    assert yaml.safe_load(run("-o", "yaml")) == EXPECTED


def test_a_pipe_gets_whole_lines_without_colours() -> None:
    output = run()
    assert output.splitlines() == table_lines(COLUMNS, ROWS)


def test_an_unknown_format_is_refused() -> None:
    result = CliRunner().invoke(show, ["-o", "xml"])
    assert result.exit_code == 2
    assert "'xml' is not one of 'table', 'wide', 'json', 'yaml'" in result.output


def test_no_color_is_obeyed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert render.has_colours()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not render.has_colours()


def test_an_enumeration_is_its_value_in_yaml() -> None:
    @click.command
    def one() -> None:
        render.print_object({"reason": Reason.ONLINE, "at": (1, Decimal("2.0"))}, "yaml")

    assert CliRunner().invoke(one).output == "reason: Online\nat:\n- 1\n- '2.0'\n"
