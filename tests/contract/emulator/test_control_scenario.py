"""Scenario files and the `emulator` command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from backfuturectl.cli.emulator import emulator
from backfuturectl.emulator.scenario import BRANDS, Scenario, build, load_scenario
from backfuturectl.emulator.server import HOSTS
from backfuturectl.engine.clock import WallClock
from backfuturectl.matching.values import Wallet
from backfuturectl.model.errors import ConfigurationError, UsageError

D = Decimal

SCENARIO = """
tick_s: 0.5
markets:
  - {exchange: mexc, pair: BTC/USDT, price: 68000.5, price_tick: 0.01, amount_step: 0.000001}
  - exchange: kucoin
    pair: ETH/USDT
    kind: futures
    price: 3400
    price_tick: 0.01
    amount_step: 0.01
    contract_size: 0.01
    maintenance_margin: 0.005
    leverage_max: 75
    volatility: 0
accounts:
  - exchange: kucoin
    name: desk
    futures: {USDT: 1000.10}
    keys:
      - {key: k, secret: s, passphrase: p, permissions: [General], ips: [192.0.2.1]}
candles: [{exchange: mexc, symbol: BTC/USDT, file: btc.csv}]
synthetic: [{exchange: mexc, count: 3}]
faults: [{kind: delay, probability: 0.25, delay_s: 0.1}]
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "scenario.yaml"
    file.write_text(text, encoding="utf-8")
    (folder / "btc.csv").write_text(
        "time,open,high,low,close,volume\n0,50000,51000,49000,50500,1\n", encoding="utf-8"
    )
    return file


def test_a_scenario_file_describes_everything_exactly(tmp_path: Path):
    state = build(load_scenario(write(tmp_path, SCENARIO)), clock=WallClock())
    mexc, kucoin = state.exchanges["mexc"].venue, state.exchanges["kucoin"].venue
    assert set(mexc.listings) == {"BTC/USDT", "L0001/USDT", "L0002/USDT", "L0003/USDT"}
    assert mexc.listing("BTC/USDT").market.price_tick == D("0.01")
    assert mexc.quote("BTC/USDT").last == D(50_000)
    assert kucoin.quote("ETH/USDT:USDT").last == D(3400)
    assert kucoin.balances("desk", Wallet.FUTURES)["USDT"].total == D("1000.10")
    assert kucoin.key("k").ips == ("192.0.2.1",)
    (fault,) = [one.fault for one in state.faults.states()]
    assert fault.probability == D("0.25")


def test_json_is_a_scenario_too(tmp_path: Path):
    file = tmp_path / "scenario.json"
    file.write_text('{"markets": [], "accounts": []}', encoding="utf-8")
    assert load_scenario(file).markets == ()


def test_the_built_in_scenario_is_the_empty_document(tmp_path: Path):
    file = tmp_path / "scenario.yaml"
    file.write_text("", encoding="utf-8")
    assert load_scenario(file) == Scenario()
    state = build(Scenario(), clock=WallClock())
    for brand in BRANDS:
        venue = state.exchanges[brand].venue
        assert {"BTC/USDT", "ETH/USDT", "ADA/USDT", "SOL/USDT:USDT"} <= set(venue.listings)
        assert venue.accounts == ("main",)
        (key,) = venue.keys
        assert not any("WITHDRAW" in right or right == "Transfer" for right in key.permissions)


def test_all_exchanges_see_one_market():
    state = build(Scenario(), clock=WallClock(), seed=7)
    quotes = {brand: state.exchanges[brand].venue.quote("BTC/USDT").last for brand in BRANDS}
    assert len(set(quotes.values())) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("markets: 3", "markets"),
        ("nope: 1", "nope"),
        ("markets: [{exchange: mexc, pair: A/B}]", "markets.0.price"),
        ("accounts: [{exchange: nope, name: a}]", "no exchange nope"),
        ("synthetic: [{exchange: nope, count: 1}]", "no exchange nope"),
        ("candles: [{exchange: mexc, symbol: NO/PE, file: btc.csv}]", "NO/PE"),
        ("candles: [{exchange: mexc, symbol: BTC/USDT, file: gone.csv}]", "gone.csv"),
        ("{", "scenario"),
        ("accounts: [{exchange: mexc, name: a, spot: {USDT: -1}}]", "USDT"),
        ("accounts: [{exchange: mexc, name: a, spot: {USDT: .inf}}]", "decimal number"),
        ("accounts: [{exchange: mexc, name: a, spot: {USDT: Infinity}}]", "finite"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_told(tmp_path: Path, text: str, told: str):
    with pytest.raises(ConfigurationError) as caught:
        build(load_scenario(write(tmp_path, text)), clock=WallClock())
    assert told in str(caught.value)


def test_a_scenario_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"gone\.yaml"):
        load_scenario(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "nope=1"],
        ["--port", "mexc=x"],
        ["--candles", "BTC/USDT=file"],
        ["--synthetic", "kucoin:spot=many"],
        ["--synthetic", "kucoin=3"],
        ["--chaos", "2"],
        ["--chaos", "often"],
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_a_usage_error(arguments: list[str]):
    result = CliRunner().invoke(emulator, arguments)
    assert isinstance(result.exception, UsageError)


def test_a_ready_file_that_cannot_be_written_ends_the_command(tmp_path: Path):
    ready = tmp_path / "nowhere" / "ready.json"
    result = CliRunner().invoke(emulator, ["--ready-file", str(ready)])
    assert isinstance(result.exception, ConfigurationError)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_the_command_serves_until_a_signal_and_removes_its_ready_file(
    tmp_path: Path, number: signal.Signals
):
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "backfuturectl", "emulator", "--ready-file", str(ready)]
    options = ["--synthetic", "mexc:spot=5", "--chaos", "0", "--seed", "3", "--speed", "2"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while not ready.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            content = json.loads(ready.read_text(encoding="utf-8"))
            assert set(content["hosts"]) == set(HOSTS)
            with urllib.request.urlopen(content["hosts"]["mexc"] + "/api/v3/ping") as answer:
                assert json.load(answer) == {}
            with urllib.request.urlopen(content["control"]) as answer:
                shown = json.load(answer)
            assert shown["speed"] == 2
            process.send_signal(number)
            out, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert content["control"] in out
    assert errors.splitlines()[-1] == "stopped"
    assert not ready.exists()
