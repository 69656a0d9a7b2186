"""Whether the account behind the key is the one that the open deal is on.

A key may be replaced by one of another account. There the deal's orders do not exist and its coins
are somebody else's: nothing is sent or canceled there, and nothing that it shows says anything
about the deal. What exchanges tell of a key's account is compared with what the deal's orders were
recorded with. Where either is not known, the key that the deal's newest order went through is its
account's, and of another key an order that is found there is the proof.
"""

from __future__ import annotations

from typing import Final

from backfuturectl.engine.context import Context
from backfuturectl.engine.rulings import RULINGS, Action, Known, Shown
from backfuturectl.engine.stepper import Stepper
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.orders import OrderStatus
from backfuturectl.model.records import PAPER
from backfuturectl.model.status import Reason
from backfuturectl.strategy.base import Note

PROOFS_MAX: Final = 3
"""Orders that are asked for, those that should rest first; none found is no proof."""

_ACCOUNT: Final = "account"


class Home:
    """Judges the account before anything is sent there, or believed of it.

    Args:
        key_since_ms: Since when every order goes through this key, restarts included.
    """

    def __init__(self, context: Context, stepper: Stepper, *, key_since_ms: int) -> None:
        self._context = context
        self._stepper = stepper
        self._key_since_ms = key_since_ms
        self._is_vouched = False
        self._is_unproven = False
        self.is_given_up = False

    @property
    def is_away(self) -> bool:
        """Whether the open deal is on another account, or not known to be on this one."""
        return _ACCOUNT in self._context.holds

    @property
    def trouble(self) -> str:
        """What to say of that; empty while all is well."""
        return self._context.holds.why(_ACCOUNT)

    def forgive(self) -> None:
        """Take a person's word for what could not be proven; what is known to differ stays so."""
        self._is_vouched = self._is_vouched or self._is_unproven

    async def judge(self) -> bool:
        """Return whether the bot is at home; if not, nothing may be sent or asked.

        Raises:
            OperationError: The exchange could not be asked for a proof, or the store failed.
        """
        context = self._context
        shown, why = await self._shown()
        self._is_unproven = shown is Shown.UNPROVEN
        ruling = RULINGS[Known.ACCOUNT, shown]
        if ruling.action is not Action.HOLD:
            context.holds.lift(_ACCOUNT)
            if self._is_bound:
                await context.journal.claim()
            return True
        if not self.is_away:
            note = Note(ruling.note, f"{why}; {ruling.because}", is_warning=True)
            context.journal.note(note, context.clock.now_ms())
        if context.holds.put(_ACCOUNT, ruling.gate, why):
            context.on_trouble(PermanentError(Reason.ACCOUNT_CHANGED, why))
        return False

    def give_up(self) -> None:
        """Count what may still rest as ended, once the deal is abandoned: nobody can look."""
        context = self._context
        orders = self._stepper.open_orders() if self.is_given_up else ()
        if not orders:
            return
        message = f"{len(orders)} orders may still rest on the deal's account; cancel them there"
        context.journal.note(
            Note("OrdersLeftBehind", message, is_warning=True), context.clock.now_ms()
        )
        for order in orders:
            context.report(order.client_order_id, OrderStatus.CANCELED)

    @property
    def _is_bound(self) -> bool:
        """Whether there is anything that only one account can have: a position, an order."""
        has_any = self._stepper.view().deal_number is not None or self._stepper.open_orders()
        return bool(has_any) and self._context.name.environment != PAPER

    async def _shown(self) -> tuple[Shown, str]:
        """Return how the account looks, and what to say of that."""
        journal, connection = self._context.journal, self._context.name.connection
        if not self._is_bound:
            return Shown.SAME, ""
        if journal.account_id and journal.account_ids:
            if not journal.is_elsewhere:
                return Shown.SAME, ""
            there = ", ".join(sorted(journal.account_ids))
            return Shown.ELSEWHERE, (
                f"the key of {connection} belongs to account {journal.account_id}, "
                f"the open deal is on account {there}"
            )
        if self._is_vouched or self._has_ordered() or await self._is_found():
            return Shown.SAME, ""
        return Shown.UNPROVEN, (
            f"the key of {connection} was replaced, and nothing shows that the new one belongs to "
            "the open deal's account: none of its orders is known there"
        )

    def _has_ordered(self) -> bool:
        """Return whether an order of the deal went through this very key."""
        rows = self._context.journal.orders
        return any(row.intended_at_ms >= self._key_since_ms for row in rows)

    async def _is_found(self) -> bool:
        """Return whether the account knows an order of the deal."""
        context = self._context
        acknowledged = [row for row in context.journal.orders if row.order_id is not None]
        acknowledged.sort(key=lambda row: (row.status.may_rest, row.updated_at_ms), reverse=True)
        for row in acknowledged[:PROOFS_MAX]:
            question = context.account.order(context.name.pair, row.client_order_id, row.order_id)
            if await context.ask(question) is not None:
                return True
        return False
