"""V-ACCOUNT over what runs: no connection's capital is promised twice.

The files are proven against one another. What runs may be older than they are: the last good
generation of a broken document, a strategy that was removed and winds down, an edit that an open
deal puts off. So each strategy that is to have more on a connection is proven once more, by the
exchange's own rules, against all that is there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal

from backfuturectl.model.market import ZERO
from backfuturectl.model.resources import Connection
from backfuturectl.planning.plan import DesiredBot
from backfuturectl.reconcile.books import Books
from backfuturectl.reconcile.building import Builder, Pass
from backfuturectl.reconcile.registry import Registry
from backfuturectl.reconcile.rooms import Rooms
from backfuturectl.strategy.proofs import prove_account
from backfuturectl.strategy.registry import KINDS


class Capital:
    """What every strategy needs of each connection at worst.

    One event loop, so asking and taking cannot race. What a strategy takes is found out anew after
    each pass over it; no other pass changes it.
    """

    def __init__(self, registry: Registry, books: Books, builder: Builder, rooms: Rooms) -> None:
        self._registry = registry
        self._books = books
        self._builder = builder
        self._rooms = rooms
        self._taken: dict[str, dict[str, Decimal]] = {}
        self._sums: dict[str, Decimal] = {}
        self._connections: dict[str, set[str]] = {}

    def claim(self, strategy: str, wanted: Collection[DesiredBot], left: Pass) -> None:
        """Take what *wanted* need by what *left* has built, or say there what is lacking.

        Where a pair's second bot would need too much, only that one is left out.
        """
        left.lacking = self._claimed(strategy, [bot for bot in wanted if not bot.primary], left)
        seconds = [bot for bot in wanted if bot.primary]
        lacking = "" if left.lacking else self._claimed(strategy, seconds, left)
        if lacking:
            left.aside = lacking
            for bot in seconds:
                left.setups.pop(bot.bot, None)

    def _claimed(self, strategy: str, wanted: Iterable[DesiredBot], left: Pass) -> str:
        needs: dict[str, Decimal] = {}
        for bot in wanted:
            if bot.bot in left.setups and bot.spec.mode == "live":
                worst = KINDS[bot.spec.kind].worst_quote(left.setups[bot.bot][0])
                needs[bot.connection] = max(worst, needs.get(bot.connection, ZERO))
        for connection, need in needs.items():
            why = self._refusal(strategy, connection, need)
            if why:
                return why
        for connection, need in needs.items():
            had = self._taken.get(connection, {}).get(strategy, ZERO)
            self._take(strategy, connection, max(need, had))
        return ""

    def note(self, strategy: str) -> None:
        """Find out what *strategy* needs as its bots are now."""
        seats, stored = self._books.of(strategy).values(), self._books.unseated(strategy)
        now = {
            *(seat.planned.connection for seat in seats),
            *(record.connection for record in stored),
        }
        for connection in now | self._connections.get(strategy, set()):
            self._take(strategy, connection, self._needed(strategy, connection))

    def _refusal(self, strategy: str, connection: str, need: Decimal) -> str:
        """Return why *strategy* may not need *need*; one that needs no more than it has may."""
        entry = self._registry.get("Connection", connection)
        document = entry.document if entry is not None else None
        resource = document.resource if document is not None else None
        taken = self._taken.get(connection, {})
        had = taken.get(strategy, ZERO)
        if not isinstance(resource, Connection) or need <= had:
            return ""
        capital = resource.spec.capital
        if self._sums.get(connection, ZERO) - had + need <= capital.amount:
            return ""
        shares = {**taken, strategy: need}
        found = prove_account(shares, capital=capital.amount, currency=capital.currency)
        return f"on `{connection}`: {found[0].code}: {found[0].message}"

    def _needed(self, strategy: str, connection: str) -> Decimal:
        seats = [
            seat
            for seat in self._books.of(strategy).values()
            if seat.planned.connection == connection and seat.planned.spec.mode == "live"
        ]
        staying = [seat.worst_quote for seat in seats if not seat.is_leaving]
        if not staying:
            staying = [self._rooms.booked(strategy, [seat.planned.bot for seat in seats])]
        return max(*staying, self._remembered(strategy, connection))

    def _remembered(self, strategy: str, connection: str) -> Decimal:
        """Return the limit of bots that have no seat yet: what they need is not known before."""
        stored = {
            record.document: record
            for record in self._books.unseated(strategy)
            if record.connection == connection
        }
        return max(map(self._builder.limit_of, stored.values()), default=ZERO)

    def _take(self, strategy: str, connection: str, amount: Decimal) -> None:
        taken = self._taken.setdefault(connection, {})
        sums, places = self._sums, self._connections.setdefault(strategy, set())
        sums[connection] = sums.get(connection, ZERO) - taken.pop(strategy, ZERO) + amount
        if amount:
            taken[strategy] = amount
            places.add(connection)
        else:
            places.discard(connection)
