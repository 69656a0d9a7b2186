"""One call from a directory to checked resources; validate, plan, test and the daemon use it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

from backfuturectl.config.parsing import Document, ParsedFile, Parser
from backfuturectl.config.policing import check_policy
from backfuturectl.config.proving import Proof, assumptions, check_proofs, prove_all
from backfuturectl.config.recall import Recall
from backfuturectl.config.references import ReferenceMemory, check_references
from backfuturectl.config.remarks import Locator, Remark, locate
from backfuturectl.config.repository import Located, Repository
from backfuturectl.config.suppressions import silence, suppressions_in
from backfuturectl.config.tree import Tree, scan
from backfuturectl.model.findings import Finding, Key, Severity
from backfuturectl.model.resources import Connection, Policy, Strategy
from backfuturectl.model.rules import RULES

_POLICY: Final = re.compile(rb"""^["']?kind["']?:\s*["']?Policy\b""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A tree, parsed and checked.

    Attributes:
        documents: Every identified document; of duplicates the first. See `usable` before use.
        findings: All of them, by file and position; suppressed ones are left out.
        unknown: Paths that are present but could not be understood.
        policy: The Policy that was enforced; None when there is none.
        assumed: What was assumed of exchanges, one sentence each.
        by_key: The findings by each document they concern.
        usable: The documents with a resource and without an error finding.
    """

    tree: Tree
    documents: Mapping[Key, Document]
    findings: tuple[Finding, ...]
    unknown: tuple[str, ...]
    policy: Policy | None
    assumed: tuple[str, ...]
    by_key: Mapping[Key, tuple[Finding, ...]]
    usable: Mapping[Key, Document]

    @property
    def is_complete(self) -> bool:
        """Whether absence from *documents* proves absence from the files."""
        return not self.unknown

    def findings_of(self, key: Key) -> tuple[Finding, ...]:
        """Return the findings that concern one document."""
        return self.by_key.get(key, ())


class Finder:
    """Finds the places of remarks, remembering them by document.

    Both are compared as objects or by value; what they say depends on nothing else.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Document, dict[Remark, Finding]]] = {}

    def find(self, located: Iterable[Located]) -> Iterable[Finding]:
        """Return each remark with its place, by file; forget the remarks of other documents."""
        locator = Locator()
        known: dict[int, tuple[Document, dict[Remark, Finding]]] = {}
        findings: list[Finding] = []
        for document, remark in sorted(located, key=lambda pair: (pair[0].path, pair[0].index)):
            _, places = known.setdefault(id(document), (document, {}))
            before = self._known.get(id(document))
            finding = before[1].get(remark) if before and before[0] is document else None
            if finding is None:
                positions = locator.positions(document.content, document.index)
                finding = locate(remark, document.path, positions, subject=document.key)
            places[remark] = finding
            findings.append(finding)
        self._known = known
        return findings


@dataclass(frozen=True, slots=True)
class CheckMemory:
    """What a second look at mostly the same documents need not find out again."""

    proofs: Recall[str, Proof] = field(default_factory=Recall)
    references: ReferenceMemory = field(default_factory=ReferenceMemory)
    finder: Finder = field(default_factory=Finder)


def load(root: str | os.PathLike[str], parser: Parser, last_policy: Policy | None = None) -> Loaded:
    """Return everything below *root*, parsed and checked.

    Args:
        root: The configuration root.
        parser: Kept by the caller, so that a second load costs only what changed.
        last_policy: Enforced when the files do not tell the present one.

    Raises:
        ConfigurationError: *root* does not exist or cannot be listed.
    """
    return compile_tree(scan(root), parser, last_policy)


def compile_tree(
    tree: Tree,
    parser: Parser,
    last_policy: Policy | None = None,
    *,
    is_whole: bool = True,
    memory: CheckMemory | None = None,
) -> Loaded:
    """Return *tree* parsed and checked; `load` without the scan.

    Args:
        tree: What was read.
        parser: Kept by the caller, so that a second load costs only what changed.
        last_policy: Enforced when the files do not tell the present one.
        is_whole: Whether the tree is the whole configuration; if not, a document that is named
            but not there is no finding.
        memory: Kept by the caller for the same reason as *parser*; None to check everything.
    """
    memory = memory or CheckMemory()
    files = parser.parse_all(tree.files)
    unknown = tuple(file.path for file in files if file.is_unknown)
    repository, located = _repository(files, last_policy, is_whole=is_whole, unknown=unknown)
    proofs = prove_all(repository, memory.proofs)
    located += check_references(repository, memory.references)
    told = {(document.key, remark.path) for document, remark in located}
    located += (
        (document, remark)
        for document, remark in check_proofs(repository, proofs)
        # A field that contradicts another document is said once, by `references`.
        if remark.code != "BF611" or (document.key, remark.path) not in told
    )
    located += check_policy(repository, proofs)
    findings = [
        *chain.from_iterable(file.findings for file in files),
        *memory.finder.find(located),
        *_hidden_policy(tree, unknown, repository),
    ]
    policy = None if repository.policy is None else repository.policy[1]
    if policy is not None:
        findings = [*_adjusted(findings, policy)]
    kept = _silenced(findings, tree, is_whole=repository.is_whole)
    unusable = {key for finding in kept if finding.is_error for key in finding.subjects}
    return Loaded(
        tree=tree,
        documents=repository.documents,
        findings=kept,
        unknown=unknown,
        policy=policy,
        assumed=assumptions(repository, proofs),
        by_key=_by_key(kept),
        usable={
            key: document
            for key, document in repository.documents.items()
            if document.resource is not None and key not in unusable
        },
    )


def _repository(
    files: Iterable[ParsedFile],
    last_policy: Policy | None,
    *,
    is_whole: bool,
    unknown: tuple[str, ...],
) -> tuple[Repository, list[Located]]:
    documents: dict[Key, Document] = {}
    located: list[Located] = []
    refused: set[Key] = set()
    for file in files:
        for finding in file.findings:
            refused.update(finding.subjects if finding.is_error else ())
        for document in file.documents:
            first = documents.setdefault(document.key, document)
            if first is not document:
                refused.add(document.key)
                located += _duplicate(document, first) + _duplicate(first, document)
    policies = [document for document in documents.values() if document.kind == "Policy"]
    for document in policies[1:]:
        message = f"a second Policy, `{policies[0].name}` is the first"
        subjects = tuple(policy.key for policy in policies)
        located.append((document, Remark("BF303", ("kind",), message, subjects=subjects)))
    policy: tuple[Document | None, Policy] | None = None
    if len(policies) == 1 and policies[0].key not in refused:
        assert isinstance(policies[0].resource, Policy)
        policy = (policies[0], policies[0].resource)
    elif last_policy is not None and (policies or unknown):
        policy = (None, last_policy)
    elif policies:
        subjects = tuple(key for key in documents if key[0] != "Policy")
        message = "the Policy cannot be used, so nothing can be checked against it"
        located.append((policies[0], Remark("BF509", ("kind",), message, subjects=subjects)))
    repository = Repository(
        documents=documents,
        connections={
            document.name: (document, document.resource)
            for document in documents.values()
            if isinstance(document.resource, Connection)
        },
        strategies={
            document.name: (document, document.resource)
            for document in documents.values()
            if isinstance(document.resource, Strategy)
        },
        policy=policy,
        is_whole=is_whole and not unknown,
        has_unknown=bool(unknown),
    )
    return repository, located


def _duplicate(document: Document, other: Document) -> list[Located]:
    place = f"in {other.path}" if other.path != document.path else "in this file"
    message = f"there is another {document.kind} `{document.name}` {place}"
    return [(document, Remark("BF302", ("metadata", "name"), message))]


def _hidden_policy(
    tree: Tree, unknown: tuple[str, ...], repository: Repository
) -> Iterable[Finding]:
    """Yield a refusal of everything when the only Policy seems to be in a broken file."""
    if repository.policy is not None or any(kind == "Policy" for kind, _ in repository.documents):
        return
    for file in tree.files:
        if file.path in unknown and file.content is not None and _POLICY.search(file.content):
            yield Finding(
                "BF509",
                RULES["BF509"].severity,
                "the file seems to hold the Policy, so nothing can be checked against it",
                file.path,
                subjects=tuple(repository.documents),
            )


def _by_key(findings: Iterable[Finding]) -> dict[Key, tuple[Finding, ...]]:
    grouped: dict[Key, list[Finding]] = {}
    for finding in findings:
        for key in finding.subjects:
            grouped.setdefault(key, []).append(finding)
    return {key: tuple(members) for key, members in grouped.items()}


def _adjusted(findings: Iterable[Finding], policy: Policy) -> Iterable[Finding]:
    """Yield *findings* with the severities that the Policy wants, where a rule allows that."""
    for finding in findings:
        wanted = policy.spec.severities.get(finding.code)
        if wanted is None or not RULES[finding.code].is_adjustable:
            yield finding
        elif wanted != "off":
            yield replace(finding, severity=Severity(wanted))


def _silenced(findings: list[Finding], tree: Tree, *, is_whole: bool) -> tuple[Finding, ...]:
    """Return *findings* in order, without those that a comment silences and without repetitions."""
    by_file: dict[str, list[Finding]] = {}
    for finding in dict.fromkeys(findings):
        by_file.setdefault(finding.file, []).append(finding)
    kept: list[Finding] = []
    for file in tree.files:
        ours = by_file.get(file.path, [])
        readable = file.content if file.content is not None and not file.rule else b""
        if comments := tuple(suppressions_in(readable)):
            ours = list(silence(ours, file.path, comments, is_whole=is_whole))
        kept += ours
    return tuple(sorted(kept, key=lambda finding: finding.place))
