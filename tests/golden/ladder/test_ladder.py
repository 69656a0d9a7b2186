"""The ladder command's output, against files; ``REWRITE_GOLDEN=1 pytest`` writes them anew."""

from __future__ import annotations

import json
import os
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backfuturectl.cli.main import cli
from backfuturectl.model.errors import ConfigurationError, UsageError

HERE = Path(__file__).parent
CONFIGS = HERE / "configs"

CASES = {
    "dca-1.json": ("strategies/dca-1.yaml", "--price", "36901.57", "-o", "json", "--exact"),
    "dca-1.txt": ("strategies/dca-1.yaml", "--price", "36901.57"),
    "dca-1-rounded.txt": (
        "strategies/dca-1.yaml",
        *("--price", "36901.57", "--tick", "0.1", "--step", "0.00001", "--min-notional", "5"),
    ),
    "balanced.txt": ("strategies/balanced.yaml",),
    "balanced.yaml": ("strategies/balanced.yaml", "--price", "60000", "-o", "yaml"),
    "recovery.txt": ("strategies/recovery.yaml",),
    "short.txt": ("strategies/short.yaml", "--price", "60000", "--tick", "0.1"),
}


def run(*arguments: str, **options: object) -> Result:
    file, *rest = arguments
    # By the program's name: a command remembers its help option, and asked alone it has no -h.
    return CliRunner().invoke(cli, ["ladder", str(CONFIGS / file), *rest], **options)


@pytest.mark.parametrize("name", CASES)
def test_the_output_is_as_in_the_file(name: str) -> None:
    golden = HERE / name
    printed = run(*CASES[name]).stdout
    if os.environ.get("REWRITE_GOLDEN"):
        golden.write_text(printed)
    assert printed == golden.read_text()


def test_what_does_not_fit_ends_with_one_and_what_fits_with_zero() -> None:
    refused = run("strategies/dca-1.yaml", "--price", "36901.57")
    assert refused.exit_code == 1
    assert "V-MARGIN" in refused.stderr
    assert run("strategies/balanced.yaml", "--price", "100").exit_code == 0


def test_the_json_has_the_promised_keys_and_decimals_as_text() -> None:
    tree = json.loads(run(*CASES["dca-1.json"]).stdout, parse_float=pytest.fail)
    assert list(tree) == ["base", "rungs", "worstCase"]
    assert [rung["k"] for rung in tree["rungs"]] == list(range(8))
    assert list(tree["rungs"][0]) == [
        *("k", "deviationPct", "price", "size", "total", "average", "takeProfit", "liquidation"),
    ]
    assert tree["worstCase"] == {
        "margin": "4080.4884375",
        "limit": "4080",
        "fits": False,
        "lossAtStop": tree["worstCase"]["lossAtStop"],
    }
    assert Decimal(tree["rungs"][7]["average"]).quantize(Decimal("1e-8")) == Decimal(
        "21282.98701658"
    )
    assert tree["rungs"][7]["liquidation"] is None


def test_the_connection_beside_the_strategy_gives_market_and_capital() -> None:
    tree = json.loads(run("strategies/balanced.yaml", "-o", "json", "--exact").stdout)
    assert tree["worstCase"]["limit"] == "500"  # 10 % of its 5000 USDT
    assert tree["rungs"][0]["liquidation"] is not None
    # M-2: 500 over two deals at 0.06 % and leverage 3.
    assert tree["base"].startswith("60.961134")


def test_what_a_connection_lacks_for_all_its_strategies_is_told(tmp_path: Path) -> None:
    root = tmp_path / "configs"
    shutil.copytree(CONFIGS, root)
    one = root / "strategies" / "balanced.yaml"
    assert "V-ACCOUNT" not in run(str(one)).stderr

    text = one.read_text()
    (root / "strategies" / "other.yaml").write_text(
        text.replace("name: balanced", "name: other").replace("10%", "95%")
    )
    told = run(str(one)).stderr
    assert "V-ACCOUNT: the strategies on this connection need" in told
    assert "other 4750" in told
    (root / "strategies" / "other.yaml").write_text(
        text.replace("name: balanced", "name: other")
        .replace("10%", "95%")
        .replace("spec:\n", "spec:\n  mode: paper\n", 1)
    )
    assert "V-ACCOUNT" not in run(str(one)).stderr


def test_the_options_stand_in_for_a_connection_that_is_not_there(tmp_path: Path) -> None:
    lonely = tmp_path / "alone.yaml"
    lonely.write_text((CONFIGS / "strategies/balanced.yaml").read_text())
    with pytest.raises(ConfigurationError, match="capital that is not known"):
        run(str(lonely), standalone_mode=False, catch_exceptions=False)
    given = ("--capital", "5000 USDT", "--market", "futures", "--exchange", "kucoin")
    printed = run(str(lonely), *given, "-o", "json").stdout
    assert json.loads(printed) == json.loads(run("strategies/balanced.yaml", "-o", "json").stdout)
    dearer = json.loads(run(str(lonely), *given, "--fee", "1%", "-o", "json", "--exact").stdout)
    assert Decimal(dearer["base"]) < 58


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--price", "cheap"), "is not a number"),
        (("--price", "0"), "is not above zero"),
        (("--fee", "0.1"), "write it as `0.1%`"),
        (("--capital", "much"), "amount with its currency"),
    ],
)
def test_a_wrong_option_is_explained(arguments: tuple[str, ...], said: str) -> None:
    result = run("strategies/balanced.yaml", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("strategies/balanced.yaml", "--tick", "1"), "together with --price"),
        (("connections/kucoin.yaml",), "holds no valid Strategy"),
        (("strategies/balanced.yaml", "--name", "other"), "named `other`"),
        (("strategies/two.yaml",), "choose one with --name"),
    ],
)
def test_a_file_that_gives_no_ladder_is_explained(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run(*arguments, standalone_mode=False, catch_exceptions=False)


def test_one_of_several_strategies_is_chosen_by_name() -> None:
    assert run("strategies/two.yaml", "--name", "second").exit_code == 0
