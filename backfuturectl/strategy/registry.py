"""Every kind of trading by its name in the Strategy document."""

from __future__ import annotations

from typing import Any, Final

from backfuturectl.strategy.averaging.kind import Averaging
from backfuturectl.strategy.base import Kind

KINDS: Final[dict[str, Kind[Any]]] = {
    "averaging": Averaging(),
}
