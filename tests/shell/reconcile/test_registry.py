"""Whatever documents come and go: who uses a connection is what a look at every entry says."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.config.parsing import Document, parse_file
from backfuturectl.config.tree import SourceFile
from backfuturectl.model.records import ResourceRecord
from backfuturectl.model.resources import Strategy
from backfuturectl.model.status import Reason
from backfuturectl.reconcile.registry import Registry
from tests.shell.reconcile.town import connection, strategy

NAMES = ("a", "b", "c")
CONNECTIONS = ("main", "side")


def document(text: str) -> Document:
    content = text.encode()
    parsed = parse_file(SourceFile("x.yaml", content, hashlib.sha256(content).hexdigest()))
    return parsed.documents[0]


VIA = "recovery: {actions: {newDeals: 'viaConnection: main'}}"
DOCUMENTS = {
    (n, on): document(
        strategy(n, on=on).replace(
            "recovery: {enabled: false}", VIA if (n, on) == ("b", "side") else ""
        )
    )
    for n in NAMES
    for on in CONNECTIONS
}
MAIN = document(connection())


def naive(registry: Registry, name: str) -> list[str]:
    return sorted(
        entry.name
        for entry in registry.entries.values()
        if any(
            document is not None
            and isinstance(document.resource, Strategy)
            and name in document.resource.spec.connections
            for document in (entry.desired, entry.applied)
        )
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["restore", "see", "refuse", "miss", "apply", "drop"]),
            st.sampled_from(NAMES),
            st.sampled_from(CONNECTIONS),
        ),
        max_size=25,
    )
)
def test_the_users_of_a_connection_are_found_whatever_came_before(
    history: Sequence[tuple[str, str, str]],
) -> None:
    registry = Registry()
    registry.see(MAIN)
    for verb, name, on in history:
        found, wanted = registry.get("Strategy", name), DOCUMENTS[name, on]
        match verb:
            case "restore" if found is None:
                record = ResourceRecord("Strategy", name, 1, wanted.digest, wanted.source, "x", 0)
                registry.restore(record, wanted)
            case "see":
                registry.see(wanted)
            case "refuse":
                registry.refuse(("Strategy", name), "x", (Reason.SCHEMA_INVALID, "broken", None))
            case "miss" if found is not None:
                registry.miss(("Strategy", name))
            case "apply" if found is not None:
                registry.applied(found, wanted, 1)
            case "drop":
                registry.drop(("Strategy", name))
        for each in CONNECTIONS:
            assert [entry.name for entry in registry.using(each)] == naive(registry, each)
        strategies = sorted(
            entry.name for entry in registry.entries.values() if entry.name in NAMES
        )
        assert [entry.name for entry in registry.of_kind("Strategy")] == strategies


def test_a_document_that_comes_back_after_it_was_missed_is_no_old_acquaintance() -> None:
    registry = Registry()
    wanted = DOCUMENTS["a", "main"]
    assert registry.see(wanted)
    assert not registry.see(wanted)
    registry.miss(wanted.key)
    assert registry.see(wanted)
    registry.refuse(wanted.key, "x", (Reason.SCHEMA_INVALID, "broken", None))
    assert registry.see(wanted)
