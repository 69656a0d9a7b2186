"""maxActiveDeals and the margin limit over the bots of one strategy."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from decimal import Decimal

from backfuturectl.model.market import ZERO


@dataclass(slots=True)
class DealRoom:
    """Who of a strategy's bots holds a deal; one event loop, so asking and taking cannot race.

    A deal is booked with the share of the margin limit it was planned for. An edit that changes the
    shares must not let old and new ones together exceed the limit.

    Attributes:
        deals_max: maxActiveDeals of the generation in force.
        limit: marginLimit of the generation in force, quote.
    """

    deals_max: int = 1
    limit: Decimal = ZERO
    _shares: dict[str, Decimal] = field(default_factory=dict)
    _doubted: set[str] = field(default_factory=set)
    _seconds: dict[str, tuple[str, Callable[[], bool]]] = field(default_factory=dict)

    def pair_up(self, second: str, first: str, is_set_apart: Callable[[], bool]) -> None:
        """Let *second* open deals on the pair of *first* only while that one's deal is set apart.

        Nor does *first* open one while *second* holds one.
        """
        self._seconds[second] = (first, is_set_apart)

    @property
    def share(self) -> Decimal:
        """What one more deal is planned for, quote."""
        return self.limit / self.deals_max

    def has_room(self, bot: str) -> bool:
        """Return whether *bot* may hold a deal now; one that holds one keeps it."""
        # Not by `_may_hold`: a bot without a deal asks this on every price.
        if bot in self._shares or bot in self._doubted:
            return True
        if len(self._shares) + len(self._doubted) >= self.deals_max:
            return False
        if bot in self._seconds and not self._seconds[bot][1]():
            return False
        if any(first == bot and self._may_hold(who) for who, (first, _) in self._seconds.items()):
            return False
        kept = self.share * (len(self._doubted) + 1)
        return sum(self._shares.values(), ZERO) + kept <= self.limit

    def note(self, bot: str, *, has_deal: bool, share: Decimal | None = None) -> None:
        """Book *bot* in or out; *share* is what its deal was planned for, None the present one."""
        self._doubted.discard(bot)
        if not has_deal:
            self._shares.pop(bot, None)
        elif share is not None:
            self._shares[bot] = share
        else:
            self._shares.setdefault(bot, self.share)

    def doubt(self, bot: str) -> None:
        """Keep room for a deal of *bot* that its journal may lack; known deals give up nothing."""
        self._shares.pop(bot, None)
        self._doubted.add(bot)

    def booked(self, bots: Collection[str]) -> Decimal:
        """Return what of the limit the deals of *bots* were planned for, or may have been."""
        doubted = sum((self.share for bot in bots if bot in self._doubted), ZERO)
        return doubted + sum((self._shares.get(bot, ZERO) for bot in bots), ZERO)

    def _may_hold(self, bot: str) -> bool:
        return bot in self._shares or bot in self._doubted

    @property
    def deals(self) -> int:
        """How many deals share the limit: as many as may be open, or more that are."""
        return max(self.deals_max, len(self._shares))

    def allowance(self, bot: str) -> Decimal:
        """Return what of the limit *bot*'s deal may use: what it was planned for, if all fit so.

        Otherwise all give way in proportion. What is booked stays, so that a limit that is raised
        again gives back what it took.
        """
        booked = sum(self._shares.values(), ZERO)
        share = self._shares.get(bot, self.share)
        return share if booked <= self.limit else share * self.limit / booked
