"""A configuration repository of any size, as text: for what reads files and runs nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_PER_CONNECTION: Final = 40
_EXAMPLE: Final = Path(__file__).parents[1] / "configs" / "connections" / "mexc-spot-main.yaml"
_DATA_KEY: Final = re.compile(r"(BEGIN AGE ENCRYPTED FILE-----\n.*\n\s+)\S{6}")


def strategy_document(number: int) -> str:
    """Return one Strategy of about the length that people write, without a finding."""
    first = 2 * (number % _PER_CONNECTION)
    return f"""\
# Written by the benchmark.
apiVersion: backfuture.ai/v1alpha1
kind: Strategy
metadata:
  name: mexc-spot-core-{number:05d}
  title: MEXC Spot Core {number}
  labels:
    group: core
spec:
  connection: mexc-spot-{number // _PER_CONNECTION:04d}
  mode: live
  pairs:
    - C{first:02d}/USDT
    - C{first + 1:02d}/USDT
  risk: balanced
  marginLimit: {400 + number % 50} USDT
  maxActiveDeals: 2
  takeProfit:
    percent: 1.{number % 10}
  recovery:
    enabled: false
"""


def connection_document(number: int) -> str:
    """Return the example Connection under another name; only the key could tell its MAC is off."""
    text = _EXAMPLE.read_text()
    named = (
        text.replace("name: mexc-spot-main", f"name: mexc-spot-{number:04d}")
        .replace("title: MEXC Spot Main", f"title: MEXC Spot {number:04d}")
        .replace("capital: 5000 USDT", "capital: 50000 USDT")
        # Every account has its own API key and its file its own data key.
        .replace("data:B3lcIa", f"data:{number:06d}")
    )
    return _DATA_KEY.sub(rf"\g<1>{number:06d}", named)


def write_repository(root: Path, documents: int) -> None:
    """Write *documents* files: Strategies, and the Connections that they name."""
    connections = -(-documents // (_PER_CONNECTION + 1))
    for folder in ("connections", "strategies"):
        (root / folder).mkdir(parents=True)
    for number in range(connections):
        (root / "connections" / f"c{number:04d}.yaml").write_text(connection_document(number))
    for number in range(documents - connections):
        (root / "strategies" / f"s{number:05d}.yaml").write_text(strategy_document(number))
