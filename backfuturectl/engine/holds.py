"""Who restricts a bot, and what that leaves it free to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backfuturectl.model.orders import LegKind
from backfuturectl.strategy.base import Gate

_GATES: Final = (Gate.OPEN, Gate.EXITS_ONLY, Gate.SHUT)  # from free to shut


class Holds:
    """Restrictions by name; the strictest counts."""

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[Gate, str]] = {}

    def __contains__(self, who: str) -> bool:
        return who in self._by_name

    def put(self, who: str, gate: Gate, why: str) -> bool:
        """Let *who* restrict the bot until `lift`; return whether that is new."""
        is_new = self._by_name.get(who) != (gate, why)
        self._by_name[who] = (gate, why)
        return is_new

    def lift(self, who: str) -> bool:
        """Lift *who*'s restriction; return whether there was one."""
        return self._by_name.pop(who, None) is not None

    def lift_where(self, is_meant: Callable[[str], bool]) -> None:
        """Lift the restrictions of all whom *is_meant* names."""
        self._by_name = {who: hold for who, hold in self._by_name.items() if not is_meant(who)}

    def why(self, who: str) -> str:
        """Return why *who* restricts the bot; empty where it does not."""
        return self._by_name[who][1] if who in self._by_name else ""

    @property
    def gate(self) -> tuple[Gate, str]:
        """The strictest hold and its reason."""
        if not self._by_name:
            return Gate.OPEN, ""
        return max(self._by_name.values(), key=lambda hold: _GATES.index(hold[0]))

    def shuts_beside(self, who: str) -> bool:
        """Return whether anybody but *who* leaves the bot nothing to do."""
        holds = self._by_name.items()
        return any(gate is Gate.SHUT for other, (gate, _) in holds if other != who)

    def forbid(self, leg: LegKind) -> bool:
        """Return whether an order of *leg* may not be sent now."""
        gate, _ = self.gate
        return gate is Gate.SHUT or (gate is Gate.EXITS_ONLY and leg.is_adding)
