"""The shipped unit keeps its restrictions, and systemd agrees with it where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[3] / "systemd"
UNIT = SYSTEMD / "backfuturectl.service"
EXAMPLES = sorted((SYSTEMD / "examples").glob("*.conf"))
ANALYZE = shutil.which("systemd-analyze")

YES = (
    "NoNewPrivileges",
    "PrivateDevices",
    "PrivateTmp",
    "PrivateUsers",
    "PrivateIPC",
    "PrivateMounts",
    "ProtectHome",
    "ProtectClock",
    "ProtectHostname",
    "ProtectControlGroups",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "RemoveIPC",
    "DynamicUser",
)
EXACT = {
    "Type": ["notify"],
    "NotifyAccess": ["main"],
    "Restart": ["on-failure"],
    "RestartPreventExitStatus": ["64 78"],
    "UMask": ["0077"],
    "StateDirectoryMode": ["0700"],
    "RuntimeDirectoryMode": ["0750"],
    "CapabilityBoundingSet": [""],
    "AmbientCapabilities": [""],
    "ProtectSystem": ["strict"],
    "ProtectProc": ["invisible"],
    "ProcSubset": ["pid"],
    "RestrictAddressFamilies": ["AF_UNIX AF_INET AF_INET6"],
    "SystemCallArchitectures": ["native"],
    "SystemCallFilter": ["@system-service", "~@privileged @resources"],
    "SystemCallErrorNumber": ["EPERM"],
    "DevicePolicy": ["closed"],
    "IPAddressDeny": ["link-local multicast"],
    "KeyringMode": ["private"],
    "LimitCORE": ["0"],
    "MemorySwapMax": ["0"],
}


def directives(path: Path) -> dict[str, dict[str, list[str]]]:
    """Return section → key → values; systemd allows a key several times."""
    sections: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in path.read_text().splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            sections[section][key].append(value)
    return sections


def test_every_restriction_is_there() -> None:
    service = directives(UNIT)["Service"]
    assert {key: service.get(key) for key in YES} == {key: ["yes"] for key in YES}
    assert {key: service.get(key) for key in EXACT} == EXACT


def test_the_age_key_reaches_the_service_as_a_credential_only() -> None:
    service = directives(UNIT)["Service"]
    name, _, source = service["LoadCredential"][0].partition(":")
    assert source.startswith("/etc/backfuturectl/")  # a bare name would be optional
    assert f"SOPS_AGE_KEY_FILE=%d/{name}" in service["Environment"]
    assert not [value for value in service["Environment"] if "AGE-SECRET-KEY" in value]


def test_the_restart_limit_stands_where_systemd_reads_it() -> None:
    assert directives(UNIT)["Unit"]["StartLimitBurst"] == ["5"]
    assert "StartLimitBurst" not in directives(UNIT)["Service"]


def test_nothing_in_the_unit_is_newer_than_systemd_252() -> None:
    newer = {"ReloadSignal", "RestartSteps", "RestartMaxDelaySec", "ImportCredential"}
    assert not newer & directives(UNIT)["Service"].keys()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_loosens_nothing_but_what_it_is_about(path: Path) -> None:
    changed = set(directives(path)["Service"])
    assert not changed & {*YES, *(EXACT.keys() - {"Type", "IPAddressDeny"})}


def test_users_and_groups_that_are_named_are_also_made() -> None:
    lines = [
        line.split()
        for name in ("sysusers", "tmpfiles")
        for line in (SYSTEMD / f"backfuturectl.{name}.conf").read_text().splitlines()
        if not line.startswith("#")
    ]
    made = {line[1] for line in lines if line[0] in {"u", "g"}}
    service = directives(UNIT)["Service"]
    named = {*service["User"], *service["SupplementaryGroups"]}
    folders = {line[1]: line for line in lines if line[0] == "d"}
    assert {*named, *(line[4] for line in folders.values())} - {"root"} == made
    assert folders["/etc/backfuturectl"][2:4] == ["0700", "root"]


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE
    return subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, check=False)


# A machine without systemd is a place to develop on too; what can be said there is said above.
if ANALYZE:

    def test_systemd_rates_the_exposure_at_1_1_or_lower() -> None:
        rated = systemd_analyze("security", "--offline=true", "--threshold=11", str(UNIT))
        assert rated.returncode == 0, rated.stdout[-200:]

    def test_systemd_knows_every_line(tmp_path: Path) -> None:
        copy = tmp_path / UNIT.name
        program = shutil.which("true")
        copy.write_text(re.sub(r"ExecStart=\S+", f"ExecStart={program}", UNIT.read_text()))
        verified = systemd_analyze("verify", str(copy))
        assert (verified.returncode, verified.stderr) == (0, "")
