"""maxActiveDeals over the bots of one strategy."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class DealRoom:
    """Who of a strategy's bots holds a deal; one event loop, so asking and taking cannot race.

    Attributes:
        deals_max: maxActiveDeals of the generation in force.
    """

    deals_max: int
    _holders: set[str] = field(default_factory=set)

    def has_room(self, bot: str) -> bool:
        """Return whether *bot* may hold a deal now; one that holds one keeps it."""
        return bot in self._holders or len(self._holders) < self.deals_max

    def note(self, bot: str, *, has_deal: bool) -> None:
        """Book *bot* in or out."""
        if has_deal:
            self._holders.add(bot)
        else:
            self._holders.discard(bot)
