"""``backfuturectl edit``: change a document in an editor, with the checks of `validate` first.

The editor sees a Connection without its credentials: they are decrypted in memory and put back into
the ciphertext of what was edited. So no copy, swap file or crash of an editor can hold a secret.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import click

from backfuturectl.cli.kinds import Kind
from backfuturectl.cli.waiting import told_when_slow
from backfuturectl.config.compile import Loaded, compile_tree
from backfuturectl.config.parsing import Parser
from backfuturectl.config.settings import load_settings
from backfuturectl.config.tree import SourceFile, Tree, scan
from backfuturectl.model.errors import (
    BackfutureError,
    ConfigurationError,
    OperationError,
    UsageError,
)
from backfuturectl.planning.diff import FIELD_CLASSES, diff
from backfuturectl.secrets.document import read_document, with_values
from backfuturectl.secrets.encrypt import (
    CREDENTIALS,
    encrypt_credentials,
    find_rules,
    write_atomically,
)
from backfuturectl.secrets.sops import Decrypted, Sops

KEPT: Final = "(encrypted; `backfuturectl secret set` changes it)"
"""Stands for each credential while a Connection is edited."""

_ANYONES: Final = "vi"


@dataclass(frozen=True, slots=True)
class _Original:
    """The file as it was found.

    Attributes:
        shown: What the editor gets; holds no secret.
        secrets: Of an encrypted file; empty for a plain one.
    """

    file: SourceFile
    content: bytes
    shown: bytes
    secrets: Decrypted
    sops: Sops | None


@click.command()
@click.argument("kind", metavar="KIND", type=Kind(["connection", "strategy", "policy"]))
@click.argument("name")
@click.option(
    "--root", type=click.Path(path_type=Path), help="Configuration root [default: configs]."
)
@click.option(
    "--age-key-file",
    "key_file",
    type=click.Path(path_type=Path),
    help="Age key file [default: SOPS_AGE_KEY_FILE, or age.key in the configuration directory].",
)
def edit(kind: str, name: str, root: Path | None, key_file: Path | None) -> None:
    r"""Edit the file of a connection, strategy or policy with VISUAL, EDITOR or vi.

    What was edited is checked as `validate` does, together with all other files. With errors the
    old file stays, and the editor opens again or, without a terminal, the edited copy is kept and
    named. A daemon that watches the files follows at once.

    A Connection is shown without its credentials and encrypted anew; the age key is needed. Change
    credentials with `backfuturectl secret set`.

    \b
    Examples:
      backfuturectl edit strategy btc-eth-balanced
      EDITOR='code --wait' backfuturectl edit connection mexc-spot-main
    """
    settings = load_settings(root=root, age_key_file=key_file)
    before = compile_tree(scan(settings.root), Parser())
    file = _find(before, kind, name)
    original = _opened(file, settings.age_key_file, settings.sops)
    folder = Path(tempfile.mkdtemp(prefix="backfuturectl-edit-"))
    copy = folder / Path(file.path).name
    is_kept = False
    try:
        copy.write_bytes(original.shown)
        while True:
            _run_editor(copy)
            edited = copy.read_bytes()
            if edited == original.shown:
                click.echo("nothing was changed")
                return
            problem, content = _checked(before, original, edited)
            if not problem:
                break
            click.echo(problem, err=True)
            if not (sys.stdin.isatty() and click.confirm("edit again?", default=True, err=True)):
                is_kept = not _holds_new_secret(original, edited)
                where = f"; the edited copy is {copy}" if is_kept else ""
                raise ConfigurationError(f"{file.path} stays as it was{where}")
        _write(original, content)
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)
    for line in _changes(before, original, content):
        click.echo(line)
    click.echo(f"{file.path}: written")


def _find(loaded: Loaded, kind: str, name: str) -> SourceFile:
    document = loaded.documents.get((kind.capitalize(), name))
    found = [
        file
        for file in loaded.tree.files
        # By the file's name too: a broken document has none, and is what must be edited.
        if (file.path == document.path if document else Path(file.path).stem == name)
    ]
    if len(found) != 1 or found[0].content is None:
        known = sorted(each for of, each in loaded.documents if of == kind.capitalize())
        raise UsageError(
            f"there is no {kind} named `{name}` below {', '.join(loaded.tree.roots)}; "
            f"there are: {', '.join(known) or 'none'}"
        )
    return found[0]


def _opened(file: SourceFile, key_file: Path, program: Path | None) -> _Original:
    assert file.content is not None
    try:
        document = read_document(file.content)
    except OperationError:
        if b"ENC[" in file.content:
            raise
        return _Original(file, file.content, file.content, {}, None)
    if not document.is_encrypted:
        if any(leaf.path[:2] == CREDENTIALS for leaf in document.leaves):
            raise ConfigurationError(
                f"{file.path} is not encrypted",
                remedy="run `backfuturectl secret set` on it first",
            )
        return _Original(file, file.content, file.content, {}, None)
    if not key_file.is_file():
        raise ConfigurationError(
            f"{file.path} is encrypted and there is no age key at {key_file}",
            remedy="name it with --age-key-file",
        )
    with told_when_slow(f"sops to decrypt {file.path}"):
        sops = asyncio.run(Sops.open(key_file=key_file, program=program))
        secrets = asyncio.run(sops.decrypt(file.content))
    shown = with_values(document, dict.fromkeys(secrets, KEPT), parent=(), new={})
    return _Original(file, file.content, shown.encode(), secrets, sops)


def _run_editor(copy: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _ANYONES
    try:
        ended = subprocess.run([*shlex.split(editor), str(copy)], check=False)  # noqa: S603 - theirs
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the editor `{editor}` cannot be started", remedy="set EDITOR to one that is installed"
        ) from error
    if ended.returncode:
        raise BackfutureError(f"`{editor}` ended with {ended.returncode}; nothing was changed")


def _checked(before: Loaded, original: _Original, edited: bytes) -> tuple[str, bytes]:
    """Return what is wrong with *edited*, or nothing and the bytes to be written."""
    content = edited
    if original.sops is not None:
        try:
            read_document(edited)
        except OperationError as error:
            return str(error), b""
        if _holds_new_secret(original, edited):
            return "credentials are changed with `backfuturectl secret set`, not here", b""
        path = Path(original.file.path)
        keys = {str(leaf[-1]): value for leaf, value in original.secrets.items()}
        try:
            content = asyncio.run(
                encrypt_credentials(original.sops, edited, keys, path=path, rules=find_rules(path))
            )
        except (ConfigurationError, OperationError) as error:
            return str(error), b""
    known = {(each.code, each.message) for each in before.findings}
    loaded = _loaded(before.tree, original.file, content)
    new = [
        each
        for each in loaded.findings
        if each.is_error
        and (each.file == original.file.path or (each.code, each.message) not in known)
    ]
    if not new:
        return "", content
    from backfuturectl.cli.finding_text import text_report  # noqa: PLC0415 - only with findings

    return text_report(replace(loaded, findings=tuple(new)), is_coloured=False).rstrip(), b""


def _holds_new_secret(original: _Original, edited: bytes) -> bool:
    """Return whether the credentials are not exactly those that were shown as kept."""
    if original.sops is None:
        return False
    try:
        leaves = read_document(edited).leaves
    except OperationError:
        return edited.count(KEPT.encode()) != len(original.secrets)
    found = {leaf.path: leaf.text for leaf in leaves if leaf.path[:2] == CREDENTIALS}
    return found != dict.fromkeys(original.secrets, KEPT)


def _loaded(tree: Tree, file: SourceFile, content: bytes) -> Loaded:
    """Return the whole repository with *content* in the place of what *file* has."""
    digest = hashlib.sha256(content).hexdigest()
    new = replace(file, content=content, digest=digest, rule="", problem="")
    files = tuple(new if each.path == new.path else each for each in tree.files)
    return compile_tree(replace(tree, files=files), Parser())


def _write(original: _Original, content: bytes) -> None:
    path = Path(original.file.path)
    try:
        if path.read_bytes() != original.content:
            raise ConfigurationError(
                f"{path} was changed meanwhile; it stays as it is", remedy="edit it again"
            )
        write_atomically(path, content)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


def _changes(old: Loaded, original: _Original, content: bytes) -> Iterator[str]:
    """Yield what differs, field by field, with what that means for an open deal."""
    new = _loaded(old.tree, original.file, content)
    for key, document in new.documents.items():
        if document.path != original.file.path or document.resource is None:
            continue
        before = old.documents.get(key)
        label = f"{document.kind.lower()} {document.name}"
        if before is None or before.resource is None:
            yield f"+ {label}"
            continue
        for change in diff(before.resource, document.resource):
            of = FIELD_CLASSES.get(change.path.removeprefix("spec."))
            effect = f"  [{of}]" if of is not None and document.kind == "Strategy" else ""
            yield f"~ {label}: {change}{effect}"
    for kind, name in old.documents.keys() - new.documents.keys():
        yield f"- {kind.lower()} {name}"
