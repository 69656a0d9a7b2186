"""Findings for machines: JSON of our own, GitHub, GitLab, SARIF and JUnit.

Paths are as the user gave them, relative to the working directory where they lie below it, which in
CI is the repository.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from backfuturectl import __version__
from backfuturectl.cli.finding_text import summary
from backfuturectl.config.compile import Loaded
from backfuturectl.model.findings import Finding, Severity
from backfuturectl.model.rules import RULES

FORMAT_VERSION: Final = 1
"""Of the JSON format; raised when a field is removed or changes its meaning."""

_GITHUB: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
_GITLAB: Final = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.NOTE: "info"}
_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def json_report(loaded: Loaded) -> str:
    """Return the findings as our own JSON."""
    counts = Counter(finding.severity for finding in loaded.findings)
    return _dump(
        {
            "version": FORMAT_VERSION,
            "tool": {"name": "backfuturectl", "version": __version__},
            "summary": {
                "files": len(loaded.tree.files),
                "documents": len(loaded.documents),
                "errors": counts[Severity.ERROR],
                "warnings": counts[Severity.WARNING],
                "notes": counts[Severity.NOTE],
            },
            "treeDigest": loaded.tree.digest,
            "isComplete": loaded.is_complete,
            "unknown": list(loaded.unknown),
            "assumed": list(loaded.assumed),
            "findings": [_as_json(finding) for finding in loaded.findings],
        }
    )


def github_report(loaded: Loaded) -> str:
    """Return workflow commands, and the summary as a plain line."""
    lines = [_command(finding) for finding in loaded.findings]
    return "\n".join([*lines, summary(loaded)]) + "\n"


def github_summary(loaded: Loaded) -> str:
    """Return Markdown for the job summary, since GitHub shows only few annotations."""
    lines = ["### backfuturectl validate", "", summary(loaded), ""]
    if loaded.findings:
        lines += ["| severity | rule | place | message |", "|---|---|---|---|"]
    for finding in loaded.findings:
        place = f"{_path(finding)}:{finding.span.line}"
        cells = (finding.severity, finding.code, place, finding.message)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def gitlab_report(loaded: Loaded) -> str:
    """Return a GitLab code quality report."""
    return _dump(
        [
            {
                "description": finding.message,
                "check_name": finding.code,
                "fingerprint": fingerprint,
                "severity": _GITLAB[finding.severity],
                "location": {
                    "path": _path(finding),
                    "positions": {
                        "begin": {"line": finding.span.line, "column": finding.span.column},
                        "end": {"line": finding.span.end_line, "column": finding.span.end_column},
                    },
                },
            }
            for finding, fingerprint in _fingerprinted(loaded)
        ]
    )


def sarif_report(loaded: Loaded) -> str:
    """Return SARIF 2.1.0."""
    codes = sorted({finding.code for finding in loaded.findings})
    return _dump(
        {
            "$schema": _SARIF_SCHEMA,
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {
                        "driver": {
                            "name": "backfuturectl",
                            "version": __version__,
                            "rules": [_sarif_rule(code) for code in codes],
                        }
                    },
                    "columnKind": "unicodeCodePoints",
                    "results": [
                        _sarif_result(finding, fingerprint, codes)
                        for finding, fingerprint in _fingerprinted(loaded)
                    ],
                }
            ],
        }
    )


def junit_report(loaded: Loaded) -> str:
    """Return JUnit XML: a suite per file, a case per finding, a passing case for a clean file."""
    by_file: dict[str, list[Finding]] = {file.path: [] for file in loaded.tree.files}
    for finding in loaded.findings:
        by_file[finding.file].append(finding)
    suites = [_suite(path, findings) for path, findings in by_file.items()]
    failures = sum(finding.is_error for finding in loaded.findings)
    tests = sum(max(1, len(findings)) for findings in by_file.values())
    head = f'<testsuites name="backfuturectl validate" tests="{tests}" failures="{failures}">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *suites, "</testsuites>", ""])


def _as_json(finding: Finding) -> dict[str, Any]:
    span = finding.span
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
        "help": finding.help,
        "file": finding.file,
        "line": span.line,
        "column": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
        "field": finding.field,
        "subjects": [{"kind": kind, "name": name} for kind, name in finding.subjects],
    }


def _command(finding: Finding) -> str:
    span = finding.span
    properties = {
        "title": f"{finding.code} {RULES[finding.code].title}",
        "file": _path(finding),
        "line": str(span.line),
        "endLine": str(span.end_line),
        "col": str(span.column),
    }
    if span.end_line == span.line:
        properties["endColumn"] = str(span.end_column)
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    help_ = f"\nhelp: {finding.help}" if finding.help else ""
    return f"::{_GITHUB[finding.severity]} {listed}::{_data(finding.message + help_)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _cell(text: str) -> str:
    plain = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return plain.replace("<", "&lt;")


def _sarif_rule(code: str) -> dict[str, Any]:
    rule = RULES[code]
    return {
        "id": code,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.remedy},
        "defaultConfiguration": {"level": rule.severity.value},
    }


def _sarif_result(finding: Finding, fingerprint: str, codes: list[str]) -> dict[str, Any]:
    span = finding.span
    help_ = f" Help: {finding.help}" if finding.help else ""
    return {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": finding.severity.value,
        "message": {"text": f"{finding.message}.{help_}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(_path(finding))},
                    "region": {
                        "startLine": span.line,
                        "startColumn": span.column,
                        "endLine": span.end_line,
                        "endColumn": span.end_column,
                    },
                }
            }
        ],
        "partialFingerprints": {"backfuturectl/v1": fingerprint},
    }


def _suite(path: str, findings: list[Finding]) -> str:
    failures = sum(finding.is_error for finding in findings)
    name = _attribute(path)
    tests = max(1, len(findings))
    lines = [f'  <testsuite name={name} tests="{tests}" failures="{failures}">']
    if not findings:
        lines.append(f'    <testcase name="valid" classname={name}/>')
    for finding in findings:
        title = _attribute(f"{finding.code} at {finding.span.line}:{finding.span.column}")
        text = escape(_NOT_XML.sub("?", f"{finding.message}\n{finding.help}".strip()))
        lines.append(f"    <testcase name={title} classname={name}>")
        if finding.is_error:
            message = _attribute(finding.message)
            lines.append(f'      <failure type="{finding.code}" message={message}>{text}</failure>')
        else:
            lines.append(f"      <system-out>{finding.severity}: {text}</system-out>")
        lines.append("    </testcase>")
    return "\n".join([*lines, "  </testsuite>"])


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("?", text), {"\n": "&#10;"})


def _fingerprinted(loaded: Loaded) -> Iterator[tuple[Finding, str]]:
    """Yield each finding with a text that stays when lines are added above it."""
    seen: Counter[str] = Counter()
    for finding in loaded.findings:
        what = "\0".join((finding.code, _path(finding), finding.field, finding.message))
        count = seen[what]
        seen[what] += 1
        yield finding, hashlib.sha256(f"{what}\0{count}".encode()).hexdigest()


def _path(finding: Finding) -> str:
    """Return the path relative to the working directory when it lies below it."""
    relative = os.path.relpath(finding.file)
    return finding.file if relative.startswith("..") else relative


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
