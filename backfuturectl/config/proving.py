"""The strategies' proofs as findings: which rule, at which field.

Offline, with the figures that `strategy.assumptions` holds; the daemon repeats the proofs with the
exchange's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Final

from backfuturectl.config.parsing import Document
from backfuturectl.config.recall import Recall
from backfuturectl.config.remarks import Remark
from backfuturectl.config.repository import Located, Repository
from backfuturectl.model.findings import Severity
from backfuturectl.model.resources import Connection, Strategy
from backfuturectl.strategy.assumptions import MarketRules, assumed_rules
from backfuturectl.strategy.presets import Terms, resolve
from backfuturectl.strategy.proofs import prove, prove_account, watched, worst_case
from backfuturectl.strategy.violation import IncompleteTermsError, Violation, errors

CODES: Final[dict[str, str]] = {
    "V-MARGIN": "BF601",
    "V-ACCOUNT": "BF602",
    "V-MIN": "BF603",
    "V-RANGE": "BF604",
    "V-LIQ": "BF605",
    "V-STOP": "BF606",
    "V-TP": "BF607",
    "V-IMPROVE": "BF608",
    "V-RECOVERY": "BF609",
    "V-ORDERS": "BF610",
    "V-PRESET": "BF611",
    "V-RESTING": "BF613",
}


_NEW_DEALS: Final = ("spec", "recovery", "actions", "newDeals")


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of proving one strategy.

    Attributes:
        terms: None when settings are missing, so that nothing could be computed.
        rules: What was assumed of the exchange; None when it is not in the table.
    """

    terms: Terms | None
    rules: MarketRules | None
    violations: tuple[Violation, ...]


def prove_all(repository: Repository, known: Recall[str, Proof]) -> Mapping[str, Proof]:
    """Return the proof of each strategy whose Connection is at hand, by name."""
    strategies, connections = repository.strategies, repository.connections

    def prove_one(name: str) -> Proof:
        strategy = strategies[name][1]
        via = connections.get(strategy.spec.via_connection or "")
        own = connections[strategy.spec.connection][1]
        return _prove(strategy, own, via[1] if via is not None else None)

    provable = (
        (name, rests_on)
        for name, rests_on in repository.rests_on.items()
        if strategies[name][1].spec.connection in connections
    )
    return known.all(provable, prove_one)


def check_proofs(repository: Repository, proofs: Mapping[str, Proof]) -> Iterator[Located]:
    """Yield the broken rules of each strategy and of each connection as a whole."""
    for name, (document, _) in repository.strategies.items():
        proof = proofs.get(name)
        for violation in () if proof is None else proof.violations:
            yield document, _remark(violation)
    for document, connection, members in repository.live_by_connection:
        yield from _account(document, connection, members, proofs)


def assumptions(repository: Repository, proofs: Mapping[str, Proof]) -> tuple[str, ...]:
    """Return one sentence for each exchange and market whose figures were assumed."""
    rules = {
        repository.strategies[name][1].spec.connection: proof.rules
        for name, proof in proofs.items()
        if proof.rules is not None
    }
    sentences = set()
    for connection, assumed in rules.items():
        spec = repository.connections[connection][1].spec
        sentences.add(f"{spec.exchange} {spec.market}: {assumed.describe()}")
    return tuple(sorted(sentences))


def _prove(strategy: Strategy, connection: Connection, via: Connection | None) -> Proof:
    spec, where = strategy.spec, connection.spec
    rules = assumed_rules(where.exchange, where.market)
    advice = () if rules is None else watched(spec, rules)
    try:
        terms = resolve(spec, where.capital, where.market)
    except IncompleteTermsError as error:
        return Proof(None, None, (*error.violations, *advice))
    violations = () if rules is None else _proved(terms, rules)
    return Proof(terms, rules, (*violations, *_through(terms, via), *advice))


def _through(terms: Terms, via: Connection | None) -> Iterator[Violation]:
    """Yield what a deal would break that opens through another connection in Recovery Mode."""
    rules = None if via is None else assumed_rules(via.spec.exchange, via.spec.market)
    if via is None or rules is None or rules.kind is not terms.market_kind:
        return
    for violation in errors(_proved(terms, rules)):
        message = f"through `{via.metadata.name}`: {violation.code}: {violation.message}"
        yield replace(violation, path=_NEW_DEALS, message=message)


@lru_cache(maxsize=16_384)  # many strategies of one repository differ in name and pairs only
def _proved(terms: Terms, rules: MarketRules) -> tuple[Violation, ...]:
    return prove(terms, rules)


@lru_cache(maxsize=16_384)
def _worst_margin(terms: Terms, rules: MarketRules) -> Decimal:
    return worst_case(terms, rules).margin


def _account(
    document: Document,
    connection: Connection,
    members: tuple[tuple[Document, Strategy], ...],
    proofs: Mapping[str, Proof],
) -> Iterator[Located]:
    """Yield V-ACCOUNT; it concerns the strategies, since the account itself is not at fault.

    A strategy that passes V-MARGIN needs at most its limit, so limits that fit prove the rule.
    """
    proved = {user.name: proofs[user.name] for user, _ in members if user.name in proofs}
    known = {name: proof for name, proof in proved.items() if proof.terms and proof.rules}
    capital = connection.spec.capital
    if sum(_limit(proof) for proof in known.values()) <= capital.amount and not any(
        violation.code == "V-MARGIN" for proof in known.values() for violation in proof.violations
    ):
        return
    rules = assumed_rules(connection.spec.exchange, connection.spec.market)
    shares = {
        name: _worst_margin(
            proof.terms, rules if rules and rules.kind is proof.rules.kind else proof.rules
        )
        for name, proof in known.items()
        if proof.terms is not None and proof.rules is not None
    }
    subjects = tuple(user.key for user, _ in members)
    for violation in prove_account(shares, capital=capital.amount, currency=capital.currency):
        remark = _remark(violation)
        yield (
            document,
            Remark(remark.code, remark.path, remark.message, remark.help, subjects=subjects),
        )


def _limit(proof: Proof) -> Decimal:
    return proof.terms.margin_limit if proof.terms is not None else Decimal(0)


def _remark(violation: Violation) -> Remark:
    return Remark(
        CODES[violation.code],
        violation.path,
        violation.message,
        violation.help,
        severity=Severity(violation.severity.value),
    )
