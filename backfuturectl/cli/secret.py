"""``backfuturectl secret``: put credentials into Connections, check that they come out again."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import click

from backfuturectl.cli.waiting import told_when_slow
from backfuturectl.config.settings import Settings, load_settings
from backfuturectl.config.tree import scan
from backfuturectl.exchanges.catalog import CATALOG
from backfuturectl.model.errors import ConfigurationError, OperationError, UsageError
from backfuturectl.model.resources import API_VERSION
from backfuturectl.model.secret import Secret, is_placeholder
from backfuturectl.secrets.document import ENC_PREFIX, Document, LeafPath, read_document
from backfuturectl.secrets.encrypt import (
    CREDENTIALS,
    encrypt_credentials,
    find_rules,
    write_atomically,
)
from backfuturectl.secrets.failures import SopsFailure
from backfuturectl.secrets.sops import Sops, is_clean

_KEYS: Final = {"apiKey": "API key", "secret": "API secret", "password": "Passphrase"}
_LINE: Final = re.compile(r"\s*(apiKey|secret|password)\s*=(.*)")
_CONNECTION: Final = re.compile(rb"^kind:[ \t]*[\"']?Connection\b", re.MULTILINE)
_STDIN_MAX: Final = 65_536
_FORMAT: Final = "give JSON, YAML or `key=value` lines with the keys apiKey, secret and password"

_root_option = click.option(
    "--root", type=click.Path(path_type=Path), help="Configuration root [default: configs]."
)
_key_option = click.option(
    "--age-key-file",
    "--key-file",
    "key_file",
    type=click.Path(path_type=Path),
    help="Age key file [default: SOPS_AGE_KEY_FILE, or age.key in the configuration directory].",
)


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one Connection's credentials.

    Attributes:
        failure: Name of the subcause; empty when they decrypt.
        message: Cause and remedy.
        key: Fingerprint of the API key; empty when it is unknown.
    """

    connection: str
    path: str
    failure: str = ""
    message: str = ""
    key: str = ""


@click.group()
def secret() -> None:
    """Write and check encrypted credentials.

    Values are read from a prompt or from standard input, never from the command line, and are
    never shown again: a key appears as its fingerprint.
    """


@secret.command("set")
@click.argument("connection")
@_root_option
@_key_option
def set_(connection: str, root: Path | None, key_file: Path | None) -> None:
    r"""Encrypt credentials into the Connection named CONNECTION.

    A Connection that is encrypted already is decrypted first, which proves that nobody changed it
    without the key; values that are not given are kept.

    \b
    Examples:
      backfuturectl secret set mexc-spot-main
      vault kv get -format=json -field=data bots/mexc | backfuturectl secret set mexc-spot-main
    """
    settings = load_settings(root=root, age_key_file=key_file)
    path, content = _find(connection, settings.root)
    document = read_document(content)
    new = _read_credentials(document)
    sops = _open(settings)
    _rewrite(sops, path, content, new)
    if "apiKey" in new:
        print(f"{path}: apiKey {new['apiKey'].fingerprint()}")
    print(f"{path}: encrypted {', '.join(new)}{_proof(sops)}")
    if _held_clear_secret(document):
        print(
            "warning: the file held credentials in clear text; if they were ever committed or "
            "shared, delete that key at the exchange",
            file=sys.stderr,
        )


@secret.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@_key_option
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def check(path: Path | None, key_file: Path | None, output: str) -> None:
    """Decrypt the credentials of every Connection below PATH [default: configs].

    Shows a key's fingerprint or the named reason of a failure, never a value. Exits with 1 when
    one does not decrypt, or when two Connections use the same key.
    """
    settings = load_settings(root=path, age_key_file=key_file)
    sops, found = _open(settings), _connections(settings.root)
    with told_when_slow(
        f"{sops.program}, which has {sops.timeout_s:.0f} s for each of {len(found)} files"
    ):
        checks = asyncio.run(_check_all(sops, found))
    if output == "json":
        _print_json(checks)
    else:
        _print_table(checks)
    if any(one.failure for one in checks):
        sys.exit(1)


@secret.command()
@click.argument("connections", nargs=-1)
@_root_option
@_key_option
def rotate(connections: tuple[str, ...], root: Path | None, key_file: Path | None) -> None:
    """Encrypt anew, for the recipients that .sops.yaml names now, with a fresh data key.

    CONNECTIONS are names; none means all. The credentials stay the same: someone who could decrypt
    the old file has seen them, so make new keys at the exchange when a recipient leaves.
    """
    settings = load_settings(root=root, age_key_file=key_file)
    found = _connections(settings.root)
    chosen = [_find(name, settings.root) for name in connections] if connections else found
    sops = _open(settings)
    for path, content in chosen:
        _rewrite(sops, path, content, {})
        print(f"{path}: encrypted anew{_proof(sops)}")


def _open(settings: Settings) -> Sops:
    """Return a working sops; without a key file it can still encrypt."""
    key_file = settings.age_key_file if settings.age_key_file.is_file() else None
    with told_when_slow("sops to tell its version"):
        return asyncio.run(Sops.open(key_file=key_file, program=settings.sops))


def _proof(sops: Sops) -> str:
    return "; decrypted again as a proof" if sops.has_key else "; not proved: no age key here"


def _rewrite(sops: Sops, path: Path, content: bytes, new: Mapping[str, Secret]) -> None:
    encrypted = encrypt_credentials(sops, content, new, path=path, rules=find_rules(path))
    with told_when_slow(f"{sops.program} to encrypt {path}, at most {sops.timeout_s:.0f} s a call"):
        ciphertext = asyncio.run(encrypted)
    try:
        write_atomically(path, ciphertext)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


def _connections(root: Path) -> list[tuple[Path, bytes]]:
    """Return the files below *root* that hold a Connection, encrypted or not."""
    return [
        (Path(file.path), file.content)
        for file in scan(root).files
        if file.content is not None and _CONNECTION.search(file.content)
    ]


def _find(name: str, root: Path) -> tuple[Path, bytes]:
    found = [
        (path, content)
        for path, content in _connections(root)
        if name in {_name(content), path.stem}
    ]
    if not found:
        raise UsageError(f"there is no Connection named `{name}` below {root}")
    if len(found) > 1:
        files = " and ".join(str(path) for path, _ in found)
        raise UsageError(f"`{name}` is not clear: {files}")
    return found[0]


def _name(content: bytes) -> str:
    """Return what ``metadata.name`` says; empty when the file cannot be read so far."""
    try:
        return _leaf(read_document(content), ("metadata", "name"))
    except OperationError:
        return ""


def _leaf(document: Document, path: LeafPath) -> str:
    return next((leaf.text for leaf in document.leaves if leaf.path == path), "")


def _held_clear_secret(document: Document) -> bool:
    return any(
        leaf.path[:2] == CREDENTIALS
        and leaf.text
        and not leaf.is_encrypted
        # Nobody is warned about a placeholder.
        and not is_placeholder(leaf.text)
        for leaf in document.leaves
    )


def _read_credentials(document: Document) -> dict[str, Secret]:
    """Return what the user gives; all that the exchange needs unless the file has some already."""
    exchange = _leaf(document, ("spec", "exchange"))
    entry = CATALOG.get(exchange)
    needed = ["apiKey", "secret"]
    if entry is not None and entry.needs_passphrase:
        needed.append("password")
    given = _prompt(needed) if sys.stdin.isatty() else _parse(sys.stdin.read(_STDIN_MAX + 1))
    for key, value in given.items():
        _refuse_unusable(key, value)
    if not given:
        raise UsageError(f"no credentials were given; {_FORMAT}")
    missing = [key for key in needed if key not in given]
    if missing and entry is not None and not document.is_encrypted:
        raise UsageError(f"{entry.title} needs {' and '.join(missing)} too; {_FORMAT}")
    if "password" in given and entry is not None and not entry.needs_passphrase:
        raise UsageError(f"{entry.title} keys have no passphrase; leave `password` out")
    return {key: Secret(value) for key, value in given.items()}


def _prompt(needed: list[str]) -> dict[str, str]:
    return {key: click.prompt(_KEYS[key], hide_input=True, err=True).strip() for key in needed}


def _parse(text: str) -> dict[str, str]:
    """Return the credentials in *text*; no error quotes it."""
    if len(text) > _STDIN_MAX:
        raise UsageError("standard input is too long for credentials")
    lines = [line for line in text.splitlines() if line.strip()]
    matches = [_LINE.fullmatch(line) for line in lines]
    if lines and all(matches):
        return {match[1]: match[2].strip() for match in matches if match is not None}
    try:
        leaves = read_document(text.encode()).leaves
    except OperationError:
        raise UsageError(f"standard input cannot be read; {_FORMAT}") from None
    given = {str(leaf.path[0]): leaf.text.strip() for leaf in leaves if len(leaf.path) == 1}
    if len(given) != len(leaves) or given.keys() - _KEYS.keys():
        raise UsageError(f"standard input has other keys than credentials have; {_FORMAT}")
    return given


def _refuse_unusable(key: str, value: str) -> None:
    if value.startswith(ENC_PREFIX):
        raise UsageError(f"`{key}` is SOPS ciphertext already; give the value itself")
    if is_placeholder(value):
        raise UsageError(f"`{key}` is a mask or a placeholder; exchanges show a secret only once")
    if not is_clean(value):
        raise UsageError(f"`{key}` is empty or has characters that no key has")


async def _check_all(sops: Sops, found: list[tuple[Path, bytes]]) -> list[Checked]:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_check(sops, path, content), name=f"check {path}")
            for path, content in found
        ]
    return _refuse_shared([task.result() for task in tasks])


async def _check(sops: Sops, path: Path, content: bytes) -> tuple[Checked, Secret | None]:
    one = Checked(_name(content) or path.stem, str(path))
    try:
        key = (await sops.decrypt(content)).get((*CREDENTIALS, "apiKey"))
    except OperationError as error:
        return replace(one, failure=str(error.raw_code), message=str(error)), None
    if key is None:
        message = "spec.credentials.apiKey is not encrypted, or not there"
        return replace(one, failure=SopsFailure.CLEAR_TEXT.value, message=message), None
    return replace(one, key=key.fingerprint()), key


def _refuse_shared(results: list[tuple[Checked, Secret | None]]) -> list[Checked]:
    """Mark Connections whose keys are equal: a key belongs to one group of strategies."""
    users = defaultdict(list)
    for one, key in results:
        if key is not None:
            users[key].append(one.connection)
    return [
        replace(
            one,
            failure="SharedKey",
            message=f"{', '.join(users[key])} use the same key; make a key for each",
        )
        if key is not None and len(users[key]) > 1
        else one
        for one, key in results
    ]


def _print_json(checks: list[Checked]) -> None:
    listing = {
        "apiVersion": API_VERSION,
        "kind": "SecretCheckList",
        "items": [{**asdict(one), "ok": not one.failure} for one in checks],
    }
    print(json.dumps(listing, indent=2, ensure_ascii=False))


def _print_table(checks: list[Checked]) -> None:
    if not checks:
        print("no Connection was found")
        return
    width = max(len("CONNECTION"), *(len(one.connection) for one in checks))
    result = max(len("RESULT"), *(len(one.failure) for one in checks))
    print(f"{'CONNECTION':{width}}  {'RESULT':{result}}  KEY")
    for one in checks:
        print(f"{one.connection:{width}}  {one.failure or 'ok':{result}}  {one.key}".rstrip())
    for one in checks:
        if one.failure:
            print(f"\n{one.path}: {one.message}")
