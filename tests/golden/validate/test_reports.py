import json
import xml.etree.ElementTree as ET

import click
import pytest
from click.testing import CliRunner

from backfuturectl.cli.main import cli
from backfuturectl.cli.validate import validate
from tests.golden.validate.samples import REPOSITORY, same_as_golden

EXTENSIONS = {
    "text": "txt",
    "json": "json",
    "github": "github.txt",
    "gitlab": "gitlab.json",
    "sarif": "sarif.json",
    "junit": "xml",
}


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str) -> tuple[int, str]:
    # By the program's name: a command remembers its help option, and asked alone it has no -h.
    result = CliRunner().invoke(cli, ("validate", *arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.mark.parametrize("name", EXTENSIONS)
def test_the_report_is_the_golden_one(name):
    code, text = run("--format", name)
    assert code == 1
    assert same_as_golden(f"report.{EXTENSIONS[name]}", text)


@pytest.mark.parametrize("name", EXTENSIONS)
def test_no_report_shows_a_secret(name):
    assert "hunter2" not in run("--format", name)[1]


@pytest.mark.parametrize(
    "credentials",
    [
        '{apiKey: "hunter2:hunter2", secret: hunter2}',
        '\n    apiKey:\n      "hunter2:hunter2"\n    secret: hunter2',
        "\n    apiKey: |\n      hunter2:\n      hunter2\n    secret: hunter2",
        "\n    hunter2key: &hunter hunter2\n",
        '\n    apiKey: "hunter2\n    hunter2: hunter2',
        "\n    - hunter2\n    - hunter2",
        "{apiKey:hunter2, secret:hunter2}",
        "{hunter2: a, hunter2: b}",
        "{apiKey: *hunter2, secret: &hunter2 a, password: !hunter2 a}",
        "{apiKey: {hunter2: &hunter2 yes}, secret: [hunter2, !hunter2 ]}",
        "hunter2:hunter2",
        "hunter2: hunter2",
    ],
)
def test_a_secret_is_not_shown_however_it_is_written(tmp_path, credentials):
    text = "apiVersion: backfuture.ai/v1alpha1\nkind: Connection\nmetadata: {name: mexc-spot}\n"
    text += f"spec:\n  exchange: mexc\n  market: spot\n  credentials: {credentials}\n"
    (tmp_path / "a.yaml").write_text(text)
    for name in EXTENSIONS:
        code, report = run(str(tmp_path), "--format", name)
        assert code == 1
        assert "hunter2" not in report


def test_every_machine_format_holds_every_finding():
    findings = json.loads(run("--format", "json")[1])["findings"]
    assert len(json.loads(run("--format", "gitlab")[1])) == len(findings)
    sarif = json.loads(run("--format", "sarif")[1])["runs"][0]
    assert [each["ruleId"] for each in sarif["results"]] == [each["code"] for each in findings]
    cases = ET.fromstring(run("--format", "junit")[1]).iter("testcase")
    assert sum(case.attrib["name"] != "valid" for case in cases) == len(findings)
    commands = [line for line in run("--format", "github")[1].splitlines() if line[:2] == "::"]
    assert len(commands) == len(findings)


def test_sarif_points_into_the_file_and_names_its_rules():
    sarif = json.loads(run("--format", "sarif")[1])["runs"][0]
    rules = [rule["id"] for rule in sarif["tool"]["driver"]["rules"]]
    fingerprints = set()
    for result in sarif["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]
        lines = (REPOSITORY / place["artifactLocation"]["uri"]).read_text().splitlines()
        assert 1 <= place["region"]["startLine"] <= len(lines)
        fingerprints.add(result["partialFingerprints"]["backfuturectl/v1"])
    assert len(fingerprints) == len(sarif["results"])


def test_github_properties_are_escaped():
    line = next(line for line in run("--format", "github")[1].splitlines() if "BF304" in line)
    properties, message = line.removeprefix("::error ").split("::", 1)
    assert dict(part.split("=", 1) for part in properties.split(","))["line"]
    assert "100%25" in message


def test_inside_github_actions_annotations_and_a_summary_are_written(monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    _, text = run()
    assert text.startswith("::")
    assert "| error | BF" in (tmp_path / "summary.md").read_text()


def test_several_formats_go_to_their_files(tmp_path):
    outputs = [tmp_path / "a.json", tmp_path / "b.xml"]
    options = [option for path in outputs for option in ("--output", str(path))]
    _, text = run("--format", "text", "--format", "json", "--format", "junit", *options)
    assert "configs/clear.yaml:" in text
    assert json.loads(outputs[0].read_text())["version"] == 1
    ET.fromstring(outputs[1].read_text())


def test_warnings_fail_only_when_strict(tmp_path):
    good = (REPOSITORY / "configs" / "connections.yaml").read_text()
    (tmp_path / "a.yaml").write_text(good.replace("KuCoin, 100% Spot: Main", "MEXC Spot"))
    code, text = run(str(tmp_path))
    assert "warning BF306" in text
    assert code == 0
    assert run(str(tmp_path), "--strict")[0] == 1


def test_a_missing_path_cannot_run_and_says_so():
    with pytest.raises(Exception, match="no such file"):
        run("nowhere")


def test_two_formats_cannot_share_standard_output():
    with pytest.raises(Exception, match="only one --format"):
        run("--format", "json", "--format", "sarif")


def test_control_characters_of_a_file_do_not_reach_the_terminal(tmp_path):
    text = '"apiVersion": "backfuture.ai/v1alpha1"\nkind: "\\e[31mStrategy"\n# \x9b\n'
    (tmp_path / "a.yaml").write_text(text)
    _, out = run(str(tmp_path))
    assert "\x1b" not in out
    assert "\x9b" not in out


def test_colour_only_on_a_terminal():
    assert "\x1b[" not in run()[1]


def test_the_command_has_help_with_examples():
    assert isinstance(validate, click.Command)
    assert "Examples:" in run("--help")[1]


def test_the_example_repository_that_sops_itself_encrypted_is_clean():
    code, text = run(str(REPOSITORY.parents[3] / "configs"), "--strict")
    assert code == 0, text


def test_a_single_file_needs_nothing_around_it():
    path = REPOSITORY.parents[3] / "configs" / "strategies" / "btc-eth-balanced.yaml"
    code, text = run(str(path), "--strict")
    assert code == 0, text
    assert "1 document in 1 file" in text
