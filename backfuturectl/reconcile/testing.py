"""The connection test without a daemon: every key of a tree, decrypted here, asked directly."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Any

from backfuturectl.config.parsing import Document
from backfuturectl.engine.clock import WallClock
from backfuturectl.exchanges.probe import ProbeReport
from backfuturectl.model.errors import OperationError, UsageError
from backfuturectl.model.resources import Connection
from backfuturectl.model.status import REASONS, Reason
from backfuturectl.reconcile.connections import report_row, test_once
from backfuturectl.reconcile.registry import complaint_of
from backfuturectl.reconcile.source import Generation, Source
from backfuturectl.secrets.sops import Sops

Row = dict[str, Any]


async def test_all(
    root: Path, *, key_file: Path, program: Path | None, names: Collection[str]
) -> list[Row]:
    """Return the rows of ``get connections`` for *names*, or for every Connection below *root*.

    Raises:
        ConfigurationError: sops or the root cannot be used.
        UsageError: A name is not there.
    """
    sops = await Sops.open(key_file=key_file, program=program)
    generation = await Source(root, sops, WallClock(), settle_s=0).read()
    documents = {
        name: document
        for (kind, name), document in generation.loaded.documents.items()
        if kind == "Connection"
    }
    unknown = sorted(set(names) - set(documents))
    if unknown:
        raise UsageError(
            f"no connection is named {', '.join(unknown)}; there are: "
            f"{', '.join(sorted(documents)) or 'none'}"
        )
    rng = random.Random(secrets.randbits(64))  # noqa: S311 - spreads retries, no more
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_test(documents[name], generation, rng), name=f"test {name}")
            for name in sorted(names or documents)
        ]
    return [task.result() for task in tasks]


async def _test(document: Document, generation: Generation, rng: random.Random) -> Row:
    clock = WallClock()
    resource = document.resource if isinstance(document.resource, Connection) else None
    report: ProbeReport | None = None
    raw_code: str | None = None
    findings = [f for f in generation.loaded.findings_of(document.key) if f.is_error]
    if findings or resource is None:
        reason, message, raw_code = complaint_of(findings)
    else:
        try:
            if document.name in generation.undecrypted:
                raise generation.undecrypted[document.name]
            report = await test_once(
                resource,
                generation.keys[document.name],
                generation.loaded.policy,
                clock=clock,
                rng=rng,
            )
        except OperationError as error:
            reason, message, raw_code = error.reason, str(error), error.raw_code
        else:
            reason, message, raw_code = _verdict(report)
    return {
        "name": document.name,
        "title": resource.metadata.title if resource is not None else None,
        "exchange": str(resource.spec.exchange) if resource is not None else None,
        "market": str(resource.spec.market) if resource is not None else None,
        "environment": str(resource.spec.environment) if resource is not None else None,
        "status": "Online" if reason is Reason.ONLINE else "Failed",
        "reason": str(reason),
        "message": message,
        "rawCode": raw_code,
        "cause": REASONS[reason].cause,
        "remedy": REASONS[reason].remedy,
        **report_row(report),
        "lastTested": clock.now_ms(),
    }


def _verdict(report: ProbeReport) -> tuple[Reason, str, str | None]:
    failed = next((check for check in report.checks if check.ok is False), None)
    if failed is None:
        return report.outcome, "", None
    return report.outcome, failed.message, failed.raw_code
