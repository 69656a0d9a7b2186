"""Faults in whose account a deal is on."""

from __future__ import annotations

from tests.mutations.fault import Fault

_RULINGS = "tests/shell/engine/test_rulings.py"
_ACCOUNTS = "tests/shell/reconcile/test_accounts.py"
_MIGRATIONS = "tests/contract/store/test_migrations.py"
_HISTORY = "tests/contract/store/test_history.py"

ACCOUNT = "nothing of a deal is touched from another account"
START = "what a start reads does not grow with what was done"

FAULTS = (
    Fault(
        "another account is traded on",
        ACCOUNT,
        "engine/home.py",
        (("            if not journal.is_elsewhere:\n", "            if journal.account_id:\n"),),
        (_RULINGS, _ACCOUNTS),
        is_quick=True,
    ),
    Fault(
        "another account is only held to exits",
        ACCOUNT,
        "engine/home.py",
        (
            ("put(_ACCOUNT, ruling.gate, why)", "put(_ACCOUNT, Gate.EXITS_ONLY, why)"),
            (
                "from backfuturectl.strategy.base import Note\n",
                "from backfuturectl.strategy.base import Gate, Note\n",
            ),
        ),
        (_RULINGS, _ACCOUNTS),
    ),
    Fault(
        "another account is asked about the deal's orders",
        ACCOUNT,
        "engine/bot.py",
        (
            (
                "        if self._home.is_away:\n            context.pace.idle()\n",
                "        if self._home.is_given_up:\n            context.pace.idle()\n",
            ),
        ),
        (_RULINGS, _ACCOUNTS),
    ),
    Fault(
        "an account that is not told counts as another one",
        ACCOUNT,
        "engine/home.py",
        ((" or self._has_ordered() or await self._is_found()", ""),),
        (_ACCOUNTS,),
    ),
    Fault(
        "an account that cannot be proven is taken for the deal's",
        ACCOUNT,
        "engine/home.py",
        (("        return Shown.UNPROVEN, (", "        return Shown.SAME, ("),),
        (_RULINGS, _ACCOUNTS),
    ),
    Fault(
        "any key is one that the deal was ordered through",
        ACCOUNT,
        "engine/home.py",
        (("row.intended_at_ms >= self._key_since_ms", "row.intended_at_ms >= 0"),),
        (_RULINGS, _ACCOUNTS),
    ),
    Fault(
        "a key counts as in use from the moment it passed, though bots still order through the old",
        ACCOUNT,
        "reconcile/connections.py",
        (("accepted_ms if is_first else accepted_ms + MOVED_WITHIN_MS", "accepted_ms"),),
        (_ACCOUNTS,),
    ),
    Fault(
        "an order is not recorded with its account",
        ACCOUNT,
        "engine/entries.py",
        (
            (
                "            trigger_price=order.trigger_price,\n            account_id=self.account_id,\n",
                "            trigger_price=order.trigger_price,\n",
            ),
        ),
        (_RULINGS, _ACCOUNTS),
    ),
    Fault(
        "an order's account is written over",
        ACCOUNT,
        "store/rows.py",
        (("stored.account_id or new.account_id", "new.account_id or stored.account_id"),),
        (_MIGRATIONS,),
    ),
    Fault(
        "an older store never learns the account",
        ACCOUNT,
        "engine/home.py",
        (("                await context.journal.claim()\n", "                pass\n"),),
        (_ACCOUNTS,),
    ),
    Fault(
        "a test that does not tell the account forgets it",
        ACCOUNT,
        "reconcile/connections.py",
        (("report.account_id or self.account_id\n", 'report.account_id or ""\n'),),
        (_ACCOUNTS,),
    ),
    Fault(
        "a new key's account is taken for the old one's",
        ACCOUNT,
        "reconcile/connections.py",
        (('            self.account_id = ""\n', ""),),
        (_ACCOUNTS,),
    ),
    Fault(
        "a deal that cannot be reached cannot be given up",
        ACCOUNT,
        "engine/bot.py",
        (("            self._home.is_given_up = True\n", "            pass\n"),),
        (_ACCOUNTS,),
    ),
    Fault(
        "a closed deal is compared with another account",
        ACCOUNT,
        "reconcile/settling.py",
        (("bool(line.account_id and places - {line.account_id})", "False"),),
        (_ACCOUNTS,),
    ),
    Fault(
        "an audit compares what was done on another account",
        ACCOUNT,
        "reconcile/auditor.py",
        (('order.account_id in {"", bot.account_id}', "True"),),
        (_ACCOUNTS,),
    ),
    Fault(
        "a deal's fills are looked for among all that its bot ever had",
        START,
        "store/statements.py",
        (("(FILLS.c.bot if is_whole else _plain(FILLS.c.bot)) == bot", "FILLS.c.bot == bot"),),
        (_HISTORY,),
    ),
    Fault(
        "a bot's newest order is looked for among all that it ever had",
        START,
        "store/migrations.py",
        (("ON orders (bot, intended_at_ms, client_order_id)", "ON orders (intended_at_ms)"),),
        (_HISTORY,),
    ),
)
