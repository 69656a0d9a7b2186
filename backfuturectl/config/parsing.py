"""Turn files into documents: values, resources and every problem found on the way.

Nothing here looks at a second document; `references` does. All problems of all documents of a file
come out of one run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from backfuturectl.config import sops_block
from backfuturectl.config.consistency import check_alone
from backfuturectl.config.remarks import Locator, Remark, locate
from backfuturectl.config.schema_errors import did_you_mean, remarks_of
from backfuturectl.config.tree import SourceFile
from backfuturectl.config.yaml_source import FieldPath, YamlDocument, YamlFile, read
from backfuturectl.model.findings import Finding, Key, Span
from backfuturectl.model.resources import API_VERSION, KINDS, Resource
from backfuturectl.model.rules import RULES

_GROUP: Final = API_VERSION.partition("/")[0] + "/"
_ABOUT_SECRETS: Final = "BF4"
_TOP_LEVEL: Final = ("apiVersion", "kind", "metadata", "spec")
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Document:
    """One document with our apiVersion whose kind and name could be read.

    Attributes:
        path: File it lies in; not part of its identity.
        index: Place within the file, from 0.
        resource: None when the document does not fit the schema.
        digest: SHA-256 over the canonical JSON of all values: comments, format, order of keys and
            the file's name do not enter; for a Connection the ciphertext and its SOPS block do.
        source: The bytes of this document alone; for a Connection the whole file, for SOPS.
        content: The bytes of the file it lies in.
        data_keys: Digests of the SOPS data key's wrappings, to notice copied files.
        recipients: Who can decrypt it, as the SOPS block says.
    """

    kind: str
    name: str
    path: str
    index: int
    resource: Resource | None
    digest: str
    source: bytes
    content: bytes
    data_keys: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """Return kind and name."""
        return (self.kind, self.name)


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What one file holds.

    Attributes:
        is_unknown: Some document in it could not be identified, so nobody can tell what is absent.
    """

    path: str
    documents: tuple[Document, ...]
    findings: tuple[Finding, ...]
    is_unknown: bool


@dataclass(frozen=True, slots=True)
class _Identity:
    """What a document claims to be.

    Attributes:
        key: None when it is not one of ours, or does not say which.
        is_unknown: It may be one of ours; its absence proves nothing.
    """

    key: Key | None
    is_unknown: bool


class Parser:
    """Parses files, remembering results by path and digest: a re-scan costs only what changed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, ParsedFile]] = {}

    def parse_all(self, files: tuple[SourceFile, ...]) -> tuple[ParsedFile, ...]:
        """Return what *files* hold, in order, and forget every other file."""
        known: dict[str, tuple[str, ParsedFile]] = {}
        for file in files:
            before = self._known.get(file.path)
            if before is None or before[0] != file.digest:
                before = (file.digest, parse_file(file))
            known[file.path] = before
        self._known = known
        return tuple(parsed for _, parsed in known.values())


def parse_file(file: SourceFile) -> ParsedFile:
    """Return what *file* holds; never raises for any content."""
    if file.rule or file.content is None:
        finding = Finding(
            file.rule, RULES[file.rule].severity, f"the file {file.problem}", file.path
        )
        return ParsedFile(file.path, (), (finding,), is_unknown=True)
    yaml_file = read(file.content)
    if not yaml_file.documents and not yaml_file.is_broken:
        finding = Finding(
            "BF102",
            RULES["BF102"].severity,
            "the file holds only comments",
            file.path,
            help="delete the file if that is meant",
        )
        return ParsedFile(file.path, (), (finding,), is_unknown=True)
    return _parsed(file.path, file.content, yaml_file)


def _parsed(path: str, content: bytes, yaml_file: YamlFile) -> ParsedFile:
    documents: list[Document] = []
    findings: list[Finding] = []
    is_unknown = yaml_file.is_broken
    locator = Locator()
    for index, found in enumerate(yaml_file.documents):
        problems = [
            Remark(problem.code, problem.path, problem.message, problem.help, span=problem.span)
            for problem in yaml_file.problems
            if problem.document == index
        ]
        identity, remarks = _identify(found.values)
        is_unknown = is_unknown or identity.is_unknown
        remarks = [*problems, *remarks]
        if identity.key is not None:
            document, more = _document(path, content, yaml_file, index, identity.key)
            documents.append(document)
            taken = {remark.path for remark in remarks if remark.path}
            remarks += [
                remark
                for remark in more
                if remark.path not in taken or remark.code.startswith(_ABOUT_SECRETS)
            ]
        positions = locator.positions(content, index) if remarks else None
        findings += [locate(remark, path, positions, subject=identity.key) for remark in remarks]
    findings += _rest(path, yaml_file, tuple(document.key for document in documents))
    return ParsedFile(path, tuple(documents), tuple(findings), is_unknown=is_unknown)


def _rest(path: str, yaml_file: YamlFile, keys: tuple[Key, ...]) -> Iterator[Finding]:
    """Yield the problems of the part of a file that could not be read.

    A broken file may be half written, so none of its documents is used.
    """
    for problem in yaml_file.problems:
        if problem.document >= len(yaml_file.documents):
            remark = Remark(
                problem.code,
                (),
                problem.message,
                problem.help,
                span=problem.span,
                subjects=keys,
            )
            yield locate(remark, path, None, subject=None)


def _identify(values: Any) -> tuple[_Identity, list[Remark]]:
    """Return what a document claims to be, and what is wrong with the claim."""
    if isinstance(values, list):
        return _ignored("a list")
    if not isinstance(values, dict):
        remark = Remark("BF116", (), "the document is plain text, not a mapping")
        return _Identity(None, is_unknown=True), [remark]
    version, kind = values.get("apiVersion"), values.get("kind")
    if not isinstance(version, str) or not version.startswith(_GROUP):
        if sops_block.is_encrypted(version):
            message = "the whole document is encrypted, so nobody can tell what it is"
            remark = Remark("BF413", ("apiVersion",), message)
            return _Identity(None, is_unknown=True), [remark]
        if not _looks_like_ours(values):
            return _ignored(f"apiVersion `{version[:60]}`" if isinstance(version, str) else "none")
    remarks = []
    if version != API_VERSION:
        found = f", found `{version[:60]}`" if isinstance(version, str) else ""
        message = f"`apiVersion` must be `{API_VERSION}`{found}"
        remarks.append(Remark("BF201", ("apiVersion",), message))
    if not isinstance(kind, str) or kind not in KINDS:
        shown = f"unknown kind `{kind[:60]}`" if isinstance(kind, str) else "`kind` is missing"
        help_ = did_you_mean(kind, list(KINDS)) if isinstance(kind, str) else ""
        remarks.append(Remark("BF202", ("kind",), shown, help_ or f"kinds: {', '.join(KINDS)}"))
        return _Identity(None, is_unknown=True), remarks
    metadata = values.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = "`metadata.name` is missing"
        if name is not None:
            shown = f"`{str(name)[:60]}` is not a name" if isinstance(name, str) else "it is not"
            message = f"`metadata.name` must be text of lower-case letters and digits: {shown}"
        help_ = "use lower-case letters, digits and dashes, at most 63 characters"
        remarks.append(Remark("BF203", ("metadata", "name"), message, help_))
        remarks += _schema(kind, values)[1]
        return _Identity(None, is_unknown=True), remarks
    # Without a spec the file was probably cut off, perhaps in the middle of the name.
    return _Identity((kind, name), is_unknown=values.get("spec") is None), remarks


def _looks_like_ours(values: dict[str, Any]) -> bool:
    """Tell a document of ours with a wrong or cut apiVersion from somebody else's YAML."""
    version = values.get("apiVersion")
    kind = values.get("kind")
    if isinstance(kind, str) and kind in KINDS:
        return True
    if isinstance(version, str):
        return "backfuture" in version or API_VERSION.startswith(version)
    return bool(values) and set(values) <= {*_TOP_LEVEL, "sops"}


def _ignored(what: str) -> tuple[_Identity, list[Remark]]:
    remark = Remark(
        "BF119", (), f"ignored: not a document of {_GROUP.rstrip('/')} ({what})", span=Span()
    )
    return _Identity(None, is_unknown=False), [remark]


def _document(
    path: str, content: bytes, yaml_file: YamlFile, index: int, key: Key
) -> tuple[Document, list[Remark]]:
    found = yaml_file.documents[index]
    kind, name = key
    block = sops_block.read_block(found.values)
    remarks = sops_block.check(kind, found.values, len(yaml_file.documents))
    told = {remark.path for remark in remarks}
    resource, more = _schema(kind, found.values)
    remarks += [remark for remark in more if remark.path not in told or remark.code == "BF204"]
    if resource is not None:
        remarks += check_alone(resource)
    return (
        Document(
            kind=kind,
            name=name,
            path=path,
            index=index,
            resource=resource,
            digest=digest_of(found.values),
            source=_cut(content, yaml_file, found),
            content=content,
            data_keys=block.data_keys,
            recipients=block.recipients,
        ),
        remarks,
    )


def _schema(kind: str, values: dict[str, Any]) -> tuple[Resource | None, list[Remark]]:
    """Return the resource, or what keeps *values* from being one."""
    model = KINDS[kind]
    plain = {name: value for name, value in values.items() if name != "sops"}
    try:
        return model.model_validate(plain), []
    except ValidationError as error:
        # Told by `_identify` or `sops_block` already, and better.
        told: set[FieldPath] = {("apiVersion",), ("metadata", "name")}
        return None, [
            remark
            for remark in remarks_of(error, model)
            if remark.path not in told and not _follows(remark, plain)
        ]


def _follows(remark: Remark, values: dict[str, Any]) -> bool:
    """Return whether *remark* only repeats another: a list that is short of wrong items."""
    if remark.code != "BF210" or "at least" not in remark.message:
        return False
    value: Any = values
    for part in remark.path:
        value = value[part]
    return bool(value)


def digest_of(values: Any) -> str:
    """Return SHA-256 of *values* in one canonical form: 1 and 1.0 are equal, 1 and "1" are not."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=_number)
    return hashlib.sha256(text.encode()).hexdigest()


def _number(value: Decimal) -> object:
    text = f"{value:f}".rstrip("0").rstrip(".")
    return {"decimal": text} if "." in text else int(text)


def _cut(content: bytes, yaml_file: YamlFile, found: YamlDocument) -> bytes:
    if len(yaml_file.documents) == 1:
        return content
    return yaml_file.text[found.start : found.end].encode()
