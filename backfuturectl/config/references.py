"""Checks between documents: who names whom, and whether they fit together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from backfuturectl.config.parsing import Document
from backfuturectl.config.recall import Recall
from backfuturectl.config.remarks import Remark
from backfuturectl.config.repository import VIA, LiveConnection, Located, Repository, named_via
from backfuturectl.config.schema_errors import did_you_mean
from backfuturectl.config.sops_rules import SopsRules
from backfuturectl.model.market import MarketKind
from backfuturectl.model.resources import Direction, Strategy
from backfuturectl.model.units import Money


@dataclass(frozen=True, slots=True)
class ReferenceMemory:
    """What a second look at mostly the same documents need not find out again.

    Attributes:
        own: By strategy, what is wrong between it and its Connections.
        shared: By connection, what is wrong among the strategies that trade on it.
    """

    own: Recall[str, tuple[Located, ...]] = field(default_factory=Recall)
    shared: Recall[str, tuple[Located, ...]] = field(default_factory=Recall)


def check_references(repository: Repository, memory: ReferenceMemory) -> Iterator[Located]:
    """Yield what is wrong between the documents of *repository*."""
    own = memory.own.all(repository.rests_on.items(), lambda name: tuple(_own(name, repository)))
    yield from chain.from_iterable(own.values())
    live = {each[0].name: each for each in repository.live_by_connection}
    shared = memory.shared.all(
        (
            (name, (document, *(user for user, _ in members)))
            for name, (document, _, members) in live.items()
        ),
        lambda name: tuple(_shared_pairs(live[name])),
    )
    yield from chain.from_iterable(shared.values())
    if repository.is_whole:
        yield from _unused(repository)
        yield from _groups(repository)
    yield from _copied(repository)
    yield from _recipients(repository)


def _own(name: str, repository: Repository) -> Iterator[Located]:
    document, strategy = repository.strategies[name]
    yield from _pairs(document, strategy)
    yield from _connection(document, strategy, repository)
    yield from _recovery(document, strategy, repository)


def _pairs(document: Document, strategy: Strategy) -> Iterator[Located]:
    spec = strategy.spec
    quote = spec.pairs[0].partition("/")[2]
    for index, pair in enumerate(spec.pairs):
        if pair.partition("/")[2] != quote:
            message = f"`{pair}` is not quoted in {quote} like `{spec.pairs[0]}`"
            yield document, Remark("BF311", ("spec", "pairs", index), message)
    for path, value in (
        (("spec", "marginLimit"), spec.margin_limit),
        (("spec", "baseOrder"), spec.base_order),
        (("spec", "caps", "maxOrderNotional"), spec.caps.max_order_notional),
    ):
        if isinstance(value, Money) and value.currency != quote:
            message = f"`{'.'.join(path)}` is in {value.currency}, the pairs are in {quote}"
            yield document, Remark("BF312", path, message, f"write an amount in {quote}")


def _connection(
    document: Document, strategy: Strategy, repository: Repository
) -> Iterator[Located]:
    spec, path = strategy.spec, ("spec", "connection")
    found = repository.connections.get(spec.connection)
    if found is None:
        if ("Connection", spec.connection) in repository.documents:
            message = f"the Connection `{spec.connection}` is not valid, so nothing can be proved"
            yield document, Remark("BF319", path, message, "mend the Connection first")
        elif repository.is_whole:
            names = [name for kind, name in repository.documents if kind == "Connection"]
            message = f"there is no Connection `{spec.connection}`"
            listed = f"Connections: {', '.join(sorted(names)[:10])}" if names else ""
            yield (
                document,
                Remark("BF301", path, message, did_you_mean(spec.connection, names) or listed),
            )
        elif repository.has_unknown:
            names = [name for kind, name in repository.documents if kind == "Connection"]
            message = f"the Connection `{spec.connection}` may be in a file that cannot be read"
            help_ = did_you_mean(spec.connection, names) or "mend the file that cannot be read"
            yield document, Remark("BF319", path, message, help_)
        return
    connection = found[1].spec
    quote = spec.pairs[0].partition("/")[2]
    if connection.capital.currency != quote:
        message = (
            f"the pairs are in {quote}, but the capital of `{spec.connection}` is in "
            f"{connection.capital.currency}"
        )
        yield document, Remark("BF312", ("spec", "pairs"), message)
    if connection.market is not MarketKind.SPOT:
        return
    on_spot = f"but `{spec.connection}` trades spot"
    if spec.leverage not in {None, 1}:
        message = f"leverage is {spec.leverage}, {on_spot}"
        yield document, Remark("BF310", ("spec", "leverage"), message, "remove `leverage`")
    if spec.direction is Direction.SHORT:
        message = f"direction is short, {on_spot}"
        yield document, Remark("BF310", ("spec", "direction"), message, "use `direction: long`")
    if "margin_mode" in spec.model_fields_set:
        message = f"marginMode is for futures, {on_spot}"
        yield document, Remark("BF309", ("spec", "marginMode"), message, "remove `marginMode`")


def _recovery(document: Document, strategy: Strategy, repository: Repository) -> Iterator[Located]:
    spec, path = strategy.spec, ("spec", "recovery", "actions", "newDeals")
    if not spec.recovery.actions.new_deals.startswith(VIA):
        return
    name = named_via(spec)
    if name == spec.connection:
        message = f"`{name}` is the strategy's own Connection"
        yield document, Remark("BF308", path, message, "name another one, or write `block`")
        return
    own, other = repository.connections.get(spec.connection), repository.connections.get(name)
    if other is None:
        if repository.is_whole and ("Connection", name) not in repository.documents:
            names = [each for kind, each in repository.documents if kind == "Connection"]
            message = f"there is no Connection `{name}`"
            yield document, Remark("BF308", path, message, did_you_mean(name, names))
        return
    if own is not None and own[1].spec.market is not other[1].spec.market:
        message = f"`{name}` trades {other[1].spec.market}, `{spec.connection}` does not"
        yield document, Remark("BF308", path, message)
    quote, currency = spec.pairs[0].partition("/")[2], other[1].spec.capital.currency
    if currency != quote:
        message = f"the pairs are in {quote}, but the capital of `{name}` is in {currency}"
        yield document, Remark("BF308", path, message)


def _shared_pairs(live: LiveConnection) -> Iterator[Located]:
    _, connection, members = live
    is_spot = connection.spec.market is MarketKind.SPOT
    by_pair: dict[str, list[tuple[Document, int]]] = {}
    for document, strategy in members:
        if is_spot and strategy.spec.state == "stopped":
            continue  # on futures its open deal and another's would be one position
        for index, pair in enumerate(dict.fromkeys(strategy.spec.pairs)):
            by_pair.setdefault(pair, []).append((document, index))
    for pair, users in by_pair.items():
        for document, index in users if len(users) > 1 else ():
            others = ", ".join(f"`{user.name}`" for user, _ in users if user is not document)
            message = f"{pair} is also traded by {others} on `{connection.metadata.name}`"
            path = ("spec", "pairs", index)
            yield document, Remark("BF314" if is_spot else "BF313", path, message)


def _unused(repository: Repository) -> Iterator[Located]:
    specs = [strategy.spec for _, strategy in repository.strategies.values()]
    used = {spec.connection for spec in specs} | {named_via(spec) for spec in specs}
    if any(
        key[0] == "Strategy" and key[1] not in repository.strategies for key in repository.documents
    ):
        return  # a strategy that cannot be read may use it
    for name, (document, _) in repository.connections.items():
        if name not in used:
            message = f"no Strategy uses the Connection `{name}`"
            help_ = "delete it here and its key at the exchange, if it is not needed"
            yield document, Remark("BF306", ("metadata", "name"), message, help_)


def _groups(repository: Repository) -> Iterator[Located]:
    for document, connection, members in repository.live_by_connection:
        groups = sorted({strategy.metadata.labels.get("group", "") for _, strategy in members})
        if len(groups) > 1:
            listed = ", ".join(f"`{group}`" if group else "none" for group in groups)
            message = (
                f"one key serves strategies of different groups ({listed}) on "
                f"`{connection.metadata.name}`"
            )
            yield document, Remark("BF307", ("metadata", "name"), message)


def _copied(repository: Repository) -> Iterator[Located]:
    owners: dict[str, Document] = {}
    for document, _ in repository.connections.values():
        for data_key in document.data_keys:
            first = owners.setdefault(data_key, document)
            if first is not document:
                message = f"shares its data key with {first.path}: one is a copy of the other"
                help_ = f"run `sops rotate -i {document.path}`, and use a separate API key"
                yield document, Remark("BF410", ("sops",), message, help_)
                break


def _recipients(repository: Repository) -> Iterator[Located]:
    rules = SopsRules()
    for document, _ in repository.connections.values():
        if not document.recipients:
            continue
        wanted = rules.recipients(document.path)
        actual = frozenset(document.recipients)
        if wanted is None or wanted == actual:
            continue
        parts = [f"{short(text)} may decrypt but is not named" for text in sorted(actual - wanted)]
        parts += [f"{short(text)} is named but cannot" for text in sorted(wanted - actual)]
        message = f"recipients differ from .sops.yaml: {'; '.join(parts)}"
        help_ = f"run `sops updatekeys {document.path}`"
        yield document, Remark("BF408", ("sops",), message, help_)


def short(recipient: str) -> str:
    """Return enough of a public key to recognise it."""
    return recipient if len(recipient) <= 20 else f"{recipient[:10]}…{recipient[-6:]}"  # noqa: PLR2004
