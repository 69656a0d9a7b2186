"""Whatever is edited: what a compiler remembers is what one says that never saw it before."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from backfuturectl.config.compile import CheckMemory, compile_tree
from backfuturectl.config.parsing import Parser
from backfuturectl.config.tree import scan
from tests.unit.config.samples import connection, policy, strategy

VARIANTS: dict[str, tuple[str | None, ...]] = {
    "c": (
        connection(),
        connection(capital="100 USDT"),  # V-ACCOUNT fails
        connection(exchange="kucoin", spec="title: x"),  # not valid
        connection(exchange="kucoin", market="futures"),
        "a: [",
        None,
    ),
    "d": (connection("mexc-spot-side"), connection("mexc-spot-side", capital="9 USDT"), None),
    "p": (
        None,
        policy("pairs: ['ETH/*']"),
        policy("limits: {marginPerStrategy: 10 USDT}"),
        policy("severities: {BF306: off}"),
    ),
    "s": (
        strategy(),
        strategy(spec="leverage: 3"),
        strategy(spec="direction: short"),
        "# a line more\n" + strategy(spec="leverage: 3"),
        strategy(spec="marginLimit: 4 USDT"),
        strategy(on="mexc-spot-side"),
        strategy(on="nowhere"),
        strategy(spec="recovery: {actions: {newDeals: 'viaConnection: mexc-spot-side'}}"),
        None,
    ),
    "t": (strategy("coins-too"), strategy("coins-too", on="mexc-spot-side"), strategy(), None),
}
edits = st.sampled_from([(name, text) for name, texts in VARIANTS.items() for text in texts])


@settings(max_examples=60)
@given(st.lists(edits, max_size=10))
def test_what_is_remembered_is_what_is_true(history: list[tuple[str, str | None]]) -> None:
    parser, memory = Parser(), CheckMemory()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        tree = None
        for name, text in [("c", connection()), ("s", strategy()), *history]:
            path = root / f"{name}.yaml"
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
            tree = scan(root, tree)
            assert compile_tree(tree, parser, memory=memory) == compile_tree(tree, Parser())


def test_an_unchanged_strategy_is_not_proven_again_unless_its_connection_changes(
    tmp_path: Path,
) -> None:
    parser, memory = Parser(), CheckMemory()

    def proofs(**files: str) -> dict[str, object]:
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        compile_tree(scan(tmp_path), parser, memory=memory)
        return {name: proof for name, (_, proof) in memory.proofs._known.items()}

    first = proofs(c=connection(), s=strategy(), t=strategy("coins-too"))
    second = proofs(t=strategy("coins-too", spec="maxActiveDeals: 1"))
    assert second["coins-balanced"] is first["coins-balanced"]
    assert second["coins-too"] is not first["coins-too"]
    third = proofs(c=connection(capital="6000 USDT"))
    assert third["coins-balanced"] is not second["coins-balanced"]
