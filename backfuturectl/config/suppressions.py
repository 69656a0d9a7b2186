"""Comments that silence one rule in one place: ``# backfuturectl: ignore BF306 reason``.

At the end of a line the comment is about that line; on a line of its own it is about the next line
that holds something. Only advice can be silenced, and only with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from backfuturectl.model.findings import Finding, Span
from backfuturectl.model.rules import RULES

MARK: Final = b"backfuturectl:"
_COMMENT: Final = re.compile(r"(?:^|\s)#\s*backfuturectl:\s*(\w*)\s*(\w*)[\s,:-]*(.*)$")


@dataclass(frozen=True, slots=True)
class Suppression:
    """One comment.

    Attributes:
        line: The line it is about.
        span: Where the comment itself stands.
        problem: Why it silences nothing; empty for a valid one.
    """

    code: str
    line: int
    span: Span
    problem: str


def suppressions_in(content: bytes) -> Iterator[Suppression]:
    """Yield the comments in a file's *content*, which is UTF-8."""
    if MARK not in content:
        return
    lines = content.decode().splitlines()
    for number, line in enumerate(lines, start=1):
        match = _COMMENT.search(line)
        if match is None:
            continue
        verb, code, reason = match.groups()
        about = number
        if line.lstrip().startswith("#"):
            about = next(
                (
                    later
                    for later, text in enumerate(lines[number:], start=number + 1)
                    if text.strip() and not text.lstrip().startswith("#")
                ),
                number,
            )
        start = line.index("#", match.start()) + 1
        span = Span(number, start, number, len(line) + 1)
        yield Suppression(code, about, span, _problem(verb, code, reason))


def silence(
    findings: Iterable[Finding], file: str, suppressions: Iterable[Suppression], *, is_whole: bool
) -> Iterator[Finding]:
    """Yield those of one *file*'s findings that stay, and what is wrong with the comments.

    Args:
        findings: Of this file.
        file: Its path.
        suppressions: Of this file.
        is_whole: Whether everything was checked; a comment is called unused only then.
    """
    valid = [comment for comment in suppressions if not comment.problem]
    used: set[Suppression] = set()
    for finding in findings:
        silencers = {
            comment
            for comment in valid
            if comment.code == finding.code and comment.line == finding.span.line
        }
        used |= silencers
        if not silencers:
            yield finding
    for comment in suppressions:
        if comment.problem:
            yield Finding("BF117", RULES["BF117"].severity, comment.problem, file, comment.span)
        elif is_whole and comment not in used:
            message = f"there is no {comment.code} here to silence"
            yield Finding("BF118", RULES["BF118"].severity, message, file, comment.span)


def _problem(verb: str, code: str, reason: str) -> str:
    if verb != "ignore":
        return "a comment to backfuturectl must read `backfuturectl: ignore CODE reason`"
    rule = RULES.get(code)
    if rule is None:
        return f"there is no rule `{code[:20]}` to silence"
    if not rule.is_suppressible:
        return f"{code} cannot be silenced"
    return "" if reason.strip() else f"a reason must follow `ignore {code}`"
