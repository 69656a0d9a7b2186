"""``backfuturectl doctor``: what on this machine keeps the program from working, and what to do."""

from __future__ import annotations

import asyncio
import enum
import importlib.util
import json
import os
import resource
import shutil
import stat
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import click

from backfuturectl.config.settings import Settings, load_settings
from backfuturectl.config.tree import scan
from backfuturectl.model.errors import ConfigurationError, OperationError
from backfuturectl.model.resources import API_VERSION
from backfuturectl.secrets.age import recipients_of
from backfuturectl.secrets.encrypt import RULES_NAME
from backfuturectl.secrets.program import find_program, read_version

_PYTHON_MIN: Final = (3, 11)
_PYTHON_TESTED: Final = (3, 14)
_WATCHES_MIN: Final = 8_192
_INSTANCES_MIN: Final = 64
_FILES_MIN: Final = 1_024
_FREE_MIN_MIB: Final = 256
# A clock before the program's own release is wrong for sure; more needs the network.
_RELEASED_S: Final = 1_790_000_000
_SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
_NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "nfs", "nfs4", "smb3", "smbfs"}
)
_MEMORY_FILE_SYSTEMS: Final = frozenset({"ramfs", "tmpfs"})
_UNIT: Final = "backfuturectl.service"
_UNIT_FOLDERS: Final = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system")


class Outcome(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        found: What is there, or why it is wrong.
        remedy: What to do; empty when all is well.
    """

    name: str
    outcome: Outcome
    found: str
    remedy: str = ""


@click.command()
@click.option(
    "--root", type=click.Path(path_type=Path), help="Configuration root [default: configs]."
)
@click.option(
    "--age-key-file",
    "--key-file",
    "key_file",
    type=click.Path(path_type=Path),
    help="Age key file.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def doctor(root: Path | None, key_file: Path | None, output: str) -> None:
    """Check this machine: programs, keys, directories, limits. Uses no network.

    Exits with 1 when something fails; warnings do not count.
    """
    checks = examine(load_settings(root=root, age_key_file=key_file))
    if output == "json":
        listing = {
            "apiVersion": API_VERSION,
            "kind": "DoctorReport",
            "items": [asdict(check) for check in checks],
        }
        print(json.dumps(listing, indent=2, ensure_ascii=False))
    else:
        _print_table(checks)
    if any(check.outcome is Outcome.FAIL for check in checks):
        sys.exit(1)


def examine(settings: Settings) -> tuple[Check, ...]:
    """Return every check, in the order in which problems are best mended."""
    parts: Sequence[Callable[[Settings], list[Check]]] = (
        _python,
        _ccxt,
        _sops,
        _age_key,
        _root,
        _recipients,
        _state_dir,
        _runtime_dir,
        _clock,
        _inotify,
        _descriptors,
        _memory,
        _systemd,
    )
    return tuple(check for part in parts for check in part(settings))


def _python(settings: Settings) -> list[Check]:  # noqa: ARG001 - all checks are called alike
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _PYTHON_MIN:
        return [Check("python", Outcome.FAIL, found, "install Python 3.11 or later")]
    if sys.version_info[:2] > _PYTHON_TESTED:
        return [Check("python", Outcome.WARN, f"{found} is newer than what was tested")]
    return [Check("python", Outcome.OK, found)]


def _ccxt(settings: Settings) -> list[Check]:  # noqa: ARG001 - all checks are called alike
    # Its import takes most of a second; the metadata tells the version too.
    try:
        return [Check("ccxt", Outcome.OK, metadata.version("ccxt"))]
    except metadata.PackageNotFoundError:
        remedy = "install backfuturectl with its dependencies"
        return [Check("ccxt", Outcome.FAIL, "not installed", remedy)]


def _sops(settings: Settings) -> list[Check]:
    try:
        program = find_program(settings.sops)
        version = asyncio.run(read_version(program))
    except ConfigurationError as error:
        return [Check("sops", Outcome.FAIL, str(error), error.remedy)]
    except OperationError as error:
        return [Check("sops", Outcome.FAIL, str(error), "run `sops --version` by hand")]
    return [Check("sops", Outcome.OK, f"{'.'.join(map(str, version))} at {program}")]


def _age_key(settings: Settings) -> list[Check]:
    path = settings.age_key_file
    try:
        mode = path.stat().st_mode
        path.open("rb").close()
    except OSError as error:
        return [
            Check(
                "age key",
                Outcome.FAIL,
                f"{path}: {(error.strerror or 'cannot be read').lower()}",
                "make one with `backfuturectl init`, or name yours in SOPS_AGE_KEY_FILE",
            )
        ]
    if stat.S_IMODE(mode) & 0o077:
        found = f"{path} has mode {stat.S_IMODE(mode):04o}: others can read it"
        return [Check("age key", Outcome.FAIL, found, f"chmod 600 {path}")]
    if importlib.util.find_spec("pyrage") is None:
        found = f"{path} can be read; what it holds was not looked at"
        return [Check("age key", Outcome.WARN, found, "install the extra `backfuturectl[sops]`")]
    try:
        recipients = recipients_of(path)
    except ConfigurationError as error:
        return [Check("age key", Outcome.FAIL, str(error), error.remedy)]
    if not recipients:
        return [Check("age key", Outcome.FAIL, f"{path} holds no key", "restore it from a copy")]
    return [Check("age key", Outcome.OK, f"{path}: {', '.join(map(_short, recipients))}")]


def _root(settings: Settings) -> list[Check]:
    try:
        tree = scan(settings.root)
    except ConfigurationError as error:
        return [Check("configuration", Outcome.FAIL, str(error), error.remedy)]
    unusable = [file for file in tree.files if file.problem]
    if unusable:
        found = f"{unusable[0].path} {unusable[0].problem}"
        return [Check("configuration", Outcome.FAIL, found, "run `backfuturectl validate`")]
    return [Check("configuration", Outcome.OK, f"{settings.root}: {len(tree.files)} YAML files")]


def _recipients(settings: Settings) -> list[Check]:
    """Compare the key with the rules: files encrypted by them must open here."""
    rules = next(
        (
            folder / RULES_NAME
            for folder in (settings.root.absolute(), *settings.root.absolute().parents)
            if (folder / RULES_NAME).is_file()
        ),
        None,
    )
    if rules is None:
        found = f"no {RULES_NAME} at or above {settings.root}"
        return [Check("recipients", Outcome.WARN, found, "`backfuturectl init` writes one")]
    try:
        text = rules.read_text()
        recipients = recipients_of(settings.age_key_file)
    except (OSError, UnicodeDecodeError, ConfigurationError):
        found = f"{rules} or the age key cannot be read, so they were not compared"
        return [Check("recipients", Outcome.WARN, found)]
    if any(recipient in text for recipient in recipients):
        return [Check("recipients", Outcome.OK, f"the age key is a recipient in {rules}")]
    return [
        Check(
            "recipients",
            Outcome.FAIL,
            f"the age key is no recipient in {rules}",
            "have an owner of a recipient's key add this one and run `backfuturectl secret rotate`",
        )
    ]


def _state_dir(settings: Settings) -> list[Check]:
    path = settings.state_dir
    place = _existing(path)
    if not os.access(place, os.W_OK | os.X_OK):
        found = f"{place} cannot be written by this user"
        return [Check("state directory", Outcome.FAIL, found, f"chown or chmod {place}")]
    kind = _file_system(place)
    if kind in _NETWORK_FILE_SYSTEMS:
        return [
            Check(
                "state directory",
                Outcome.FAIL,
                f"{path} is on {kind}, where locks and fsync cannot be relied on",
                "use a local disk (BACKFUTURECTL_STATE_DIR)",
            )
        ]
    if kind in _MEMORY_FILE_SYSTEMS:
        return [
            Check(
                "state directory",
                Outcome.WARN,
                f"{path} is on {kind}: the journal of orders is lost at a reboot",
                "use a local disk (BACKFUTURECTL_STATE_DIR)",
            )
        ]
    free_mib = shutil.disk_usage(place).free // 2**20
    if free_mib < _FREE_MIN_MIB:
        found = f"{path} has {free_mib} MiB free"
        return [Check("state directory", Outcome.FAIL, found, "free or add disk space")]
    if place == path and stat.S_IMODE(path.stat().st_mode) & 0o077:
        found = f"{path} can be entered by others"
        return [Check("state directory", Outcome.WARN, found, f"chmod 700 {path}")]
    note = "" if place == path else ", made at the first run"
    return [Check("state directory", Outcome.OK, f"{path} ({kind}, {free_mib} MiB free{note})")]


def _runtime_dir(settings: Settings) -> list[Check]:
    socket = settings.socket
    if socket.exists():
        if not stat.S_ISSOCK(socket.stat().st_mode):
            return [Check("socket", Outcome.FAIL, f"{socket} is no socket", f"remove {socket}")]
        if not os.access(socket, os.R_OK | os.W_OK):
            found = f"{socket} does not let this user in"
            return [Check("socket", Outcome.WARN, found, "join the group of the socket")]
        return [Check("socket", Outcome.OK, f"{socket} is there")]
    place = _existing(socket.parent)
    if not os.access(place, os.W_OK | os.X_OK):
        found = f"{place} cannot be written by this user"
        return [Check("socket", Outcome.FAIL, found, "set BACKFUTURECTL_RUNTIME_DIR")]
    return [Check("socket", Outcome.OK, f"{socket} will be made; no daemon runs here now")]


def _clock(settings: Settings) -> list[Check]:  # noqa: ARG001 - all checks are called alike
    now_s = time.clock_gettime(time.CLOCK_REALTIME)
    if now_s < _RELEASED_S:
        found = "the clock shows a time before this program was made"
        return [Check("clock", Outcome.FAIL, found, "set it, and run chrony or systemd-timesyncd")]
    if _SYNCHRONISED.exists() or Path("/run/chrony/chronyd.pid").exists():
        return [Check("clock", Outcome.OK, "kept by a time service")]
    return [
        Check(
            "clock",
            Outcome.WARN,
            "no time service was found on this machine; the host may keep its clock",
            "exchanges refuse requests from a clock that is off: run chrony or systemd-timesyncd",
        )
    ]


def _inotify(settings: Settings) -> list[Check]:  # noqa: ARG001 - all checks are called alike
    checks = []
    for name, least in (("max_user_watches", _WATCHES_MIN), ("max_user_instances", _INSTANCES_MIN)):
        limit = _number(Path("/proc/sys/fs/inotify") / name)
        if limit is None:
            found = f"fs.inotify.{name} cannot be read; files are looked at by the clock as well"
            checks.append(Check("inotify", Outcome.WARN, found))
        elif limit < least:
            found = f"fs.inotify.{name} is {limit}"
            remedy = f"sysctl fs.inotify.{name}={least}"
            checks.append(Check("inotify", Outcome.WARN, found, remedy))
    return checks or [Check("inotify", Outcome.OK, "limits suffice")]


def _descriptors(settings: Settings) -> list[Check]:  # noqa: ARG001 - all checks are called alike
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES_MIN:
        remedy = f"raise it with `ulimit -n {_FILES_MIN}` or LimitNOFILE= in the unit"
        return [Check("open files", Outcome.WARN, f"limit {soft}", remedy)]
    return [Check("open files", Outcome.OK, f"limit {soft}")]


def _memory(settings: Settings) -> list[Check]:  # noqa: ARG001 - all checks are called alike
    """Look for ways in which memory, and keys with it, gets onto a disk."""
    try:
        swaps = Path("/proc/swaps").read_text().splitlines()[1:]
    except OSError:
        swaps = []
    devices = [line.split()[0] for line in swaps if not line.startswith("/dev/zram")]
    if devices:
        return [
            Check(
                "memory",
                Outcome.WARN,
                f"swap on {', '.join(devices)}: decrypted keys can reach that disk",
                "encrypt the swap, or run under the unit in systemd/, which sets MemorySwapMax=0",
            )
        ]
    return [Check("memory", Outcome.OK, "no swap on a disk")]


def _systemd(settings: Settings) -> list[Check]:  # noqa: ARG001 - all checks are called alike
    if not Path("/run/systemd/system").is_dir():
        found = "this machine was not booted with systemd; `backfuturectl run` works without"
        return [Check("systemd", Outcome.OK, found)]
    units = [folder for folder in _UNIT_FOLDERS if (Path(folder) / _UNIT).exists()]
    if not units:
        remedy = f"copy systemd/{_UNIT} to {_UNIT_FOLDERS[0]}; see docs/operations.md"
        return [Check("systemd", Outcome.WARN, f"{_UNIT} is not installed", remedy)]
    return [Check("systemd", Outcome.OK, f"{units[0]}/{_UNIT}")]


def _existing(path: Path) -> Path:
    """Return *path*, or the nearest folder above it that is there."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def _file_system(path: Path) -> str:
    """Return the type of the file system *path* is on; ``unknown`` where the system hides it."""
    target = str(path.resolve())
    best = ("", "unknown")
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        mounts = []
    for line in mounts:
        _, place, kind, *_ = line.split()
        is_above = place in {"/", target} or target.startswith(f"{place}/")
        if is_above and len(place) >= len(best[0]):
            best = (place, kind)
    return best[1]


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _short(recipient: str) -> str:
    return f"{recipient[:10]}…{recipient[-4:]}"


def _print_table(checks: tuple[Check, ...]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{check.outcome:4}  {check.name:{width}}  {check.found}")
        if check.remedy and check.outcome is not Outcome.OK:
            print(f"{'':4}  {'':{width}}  → {check.remedy}")
