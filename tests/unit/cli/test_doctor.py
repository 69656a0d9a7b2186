"""`doctor` looks at everything, whatever one part of the machine does."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from backfuturectl.cli import doctor
from backfuturectl.cli.main import cli
from backfuturectl.secrets.failures import SopsFailure, failed


def test_a_sops_that_hangs_is_one_line_among_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hanging(_: object) -> tuple[int, int, int]:
        raise failed(SopsFailure.TIMED_OUT)

    monkeypatch.setattr(doctor, "read_version", hanging)
    lines = CliRunner().invoke(cli, ["doctor"]).output.splitlines()
    assert any(line.startswith("fail  sops ") for line in lines)
    assert any("systemd" in line for line in lines), "what comes after it is checked too"
