"""The repository's Policy, enforced on every other document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase

from backfuturectl.config.parsing import Document
from backfuturectl.config.proving import Proof
from backfuturectl.config.remarks import Remark
from backfuturectl.config.repository import Located, Repository
from backfuturectl.model.resources import Environment, PolicySpec, Strategy
from backfuturectl.model.units import Money


def check_policy(repository: Repository, proofs: Mapping[str, Proof]) -> Iterator[Located]:
    """Yield where documents ask for more than the Policy allows."""
    if repository.policy is None:
        return
    policy_document, policy = repository.policy
    spec = policy.spec
    for document, connection in repository.connections.values():
        where = connection.spec
        if spec.exchanges and where.exchange not in spec.exchanges:
            message = f"the Policy does not allow {where.exchange}"
            help_ = f"allowed: {', '.join(spec.exchanges)}"
            yield document, Remark("BF501", ("spec", "exchange"), message, help_)
        is_real = where.environment is not Environment.EMULATOR
        if spec.require_ip_whitelist and is_real and not where.ip_whitelist.require:
            message = "the Policy demands an IP restriction"
            yield document, Remark("BF508", ("spec", "ipWhitelist"), message)
    for name, (document, strategy) in repository.strategies.items():
        yield from _strategy(document, strategy, spec, proofs.get(name))
    yield from _connections(repository, spec, proofs)
    yield from _total(repository, policy_document, spec, proofs)


def _strategy(
    document: Document, strategy: Strategy, policy: PolicySpec, proof: Proof | None
) -> Iterator[Located]:
    spec = strategy.spec
    for index, pair in enumerate(spec.pairs):
        if policy.pairs and not any(fnmatchcase(pair, pattern) for pattern in policy.pairs):
            message = f"the Policy does not allow {pair}"
            help_ = f"allowed: {', '.join(policy.pairs)}"
            yield document, Remark("BF502", ("spec", "pairs", index), message, help_)
    if policy.modes and spec.mode not in policy.modes:
        message = f"the Policy does not allow mode {spec.mode}"
        yield document, Remark("BF503", ("spec", "mode"), message)
    if proof is None or proof.terms is None:
        return
    terms, most = proof.terms, policy.limits.leverage
    if most is not None and terms.leverage > most:
        message = f"leverage is {terms.leverage}, the Policy allows {most}"
        yield document, Remark("BF507", ("spec", "leverage"), message)
    limit = policy.limits.margin_per_strategy
    if limit is not None:
        message = _excess(terms.margin_limit, terms.quote, limit)
        if message:
            yield document, Remark("BF504", ("spec", "marginLimit"), f"marginLimit {message}")


def _connections(
    repository: Repository, policy: PolicySpec, proofs: Mapping[str, Proof]
) -> Iterator[Located]:
    limit = policy.limits.margin_per_connection
    if limit is None:
        return
    for document, _, members in repository.live_by_connection:
        names = tuple(user.name for user, _ in members)
        for quote, total in _sums(names, proofs).items():
            message = _excess(total, quote, limit)
            if message:
                yield (
                    document,
                    Remark(
                        "BF505",
                        ("spec", "capital"),
                        f"the marginLimits of {len(names)} strategies on it together {message}",
                        subjects=tuple(("Strategy", name) for name in names),
                    ),
                )


def _total(
    repository: Repository,
    policy_document: Document | None,
    policy: PolicySpec,
    proofs: Mapping[str, Proof],
) -> Iterator[Located]:
    limit = policy.limits.margin_total
    names = tuple(
        name for name, (_, each) in repository.strategies.items() if each.spec.mode == "live"
    )
    if limit is None or not names:
        return
    place = policy_document or repository.strategies[names[0]][0]
    for quote, total in _sums(names, proofs).items():
        message = _excess(total, quote, limit)
        if message:
            yield (
                place,
                Remark(
                    "BF506",
                    ("spec", "limits", "marginTotal"),
                    f"the marginLimits of all {len(names)} strategies together {message}",
                    subjects=tuple(("Strategy", name) for name in names),
                ),
            )


def _sums(names: tuple[str, ...], proofs: Mapping[str, Proof]) -> dict[str, Decimal]:
    """Return the sum of margin limits by currency."""
    sums: dict[str, Decimal] = {}
    for name in names:
        proof = proofs.get(name)
        if proof is not None and proof.terms is not None:
            terms = proof.terms
            sums[terms.quote] = sums.get(terms.quote, Decimal(0)) + terms.margin_limit
    return sums


def _excess(amount: Decimal, currency: str, limit: Money) -> str:
    """Return how *amount* breaks *limit*, or nothing; another currency cannot be compared."""
    if currency != limit.currency:
        return f"is in {currency}, and the Policy's limit in {limit.currency}"
    if amount > limit.amount:
        return f"is {Money(amount, currency)}, the Policy allows {limit}"
    return ""
