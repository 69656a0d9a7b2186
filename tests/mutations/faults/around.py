"""Faults around the bots: keys, files, plans and secrets."""

from __future__ import annotations

from tests.mutations.fault import Fault

_RIGHTS = (
    "tests/unit/exchanges/test_key_rights.py",
    "tests/unit/exchanges/test_connection_terms.py",
)
_PRUNE = ("tests/unit/planning/test_prune.py",)
_TREE = ("tests/unit/config/test_tree.py",)
_PLAN = ("tests/unit/planning/test_plan.py",)
_CONTROLLER = "tests/shell/reconcile/test_controller.py"
_MARKETS = "tests/shell/reconcile/test_markets.py"

FILES = "what the files say is found"
KEYS = "a key that can withdraw is refused"
DELETION = "deletion needs proof"
SHARES = "open deals keep the share they were planned for"
STOPS = "a bot stops before its successor starts"
KEPT = "an open deal keeps its bot, and a bot that is to end ends"
SECRETS = "a secret is never shown"

FAULTS = (
    Fault(
        "a strategy may trade a contract that another one's last good generation still trades",
        STOPS,
        "reconcile/strategies.py",
        (("is_shared = not self._is_futures(whose.connection)", "is_shared = True"),),
        ("tests/shell/reconcile/test_one_keeper.py",),
    ),
    Fault(
        "a key that can withdraw is taken",
        KEYS,
        "exchanges/probe.py",
        (("    if rights.can_withdraw:\n", "    if False:\n"),),
        (*_RIGHTS, _CONTROLLER),
        is_quick=True,
    ),
    Fault(
        "withdrawal that cannot be ruled out is taken",
        KEYS,
        "exchanges/probe.py",
        (("if rights.unknown or rights.can_withdraw is None:", "if False:"),),
        _RIGHTS,
    ),
    Fault(
        "an unverifiable key is accepted without being named",
        KEYS,
        "exchanges/probe.py",
        (("    if not terms.accepts_unverifiable:\n", "    if False:\n"),),
        _RIGHTS,
    ),
    Fault(
        "KuCoin's Transfer is harmless",
        KEYS,
        "exchanges/kucoin.py",
        (
            (
                'withdraws = bool(names & _WITHDRAW) or any("WITHDRAW" in name for name in names)',
                "withdraws = False",
            ),
        ),
        _RIGHTS,
    ),
    Fault(
        "MEXC's withdrawal rights are harmless",
        KEYS,
        "exchanges/mexc.py",
        (("withdraws = any(_can_withdraw(token) for token in tokens)", "withdraws = False"),),
        _RIGHTS,
    ),
    Fault(
        "a connection is Online before its key passed",
        KEYS,
        "reconcile/connections.py",
        (("            and self.report.outcome is Reason.ONLINE\n", ""),),
        (_CONTROLLER,),
    ),
    Fault(
        "a new key is used before it passed",
        KEYS,
        "reconcile/connections.py",
        (
            (
                "        if report.outcome is Reason.ONLINE:\n            if account",
                "        if True:\n            if account",
            ),
        ),
        (_CONTROLLER,),
    ),
    Fault(
        "doubt about the files removes strategies",
        DELETION,
        "planning/prune.py",
        (("if doubt is not None and news:", "if False:"),),
        _PRUNE,
        is_quick=True,
    ),
    Fault(
        "any number may go at once",
        DELETION,
        "planning/prune.py",
        (("if len(suspects) > largest and digest not in approvals:", "if False:"),),
        _PRUNE,
    ),
    Fault(
        "an empty tree is a tree",
        DELETION,
        "planning/prune.py",
        (("if tree.documents == 0:", "if tree.documents < 0:"),),
        _PRUNE,
    ),
    Fault(
        "a removal rests on stamps alone",
        DELETION,
        "planning/prune.py",
        (("    if not tree.is_whole:\n", "    if False:\n"),),
        _PRUNE,
    ),
    Fault(
        "a stamp is believed however soon after a change the file was read",
        FILES,
        "config/tree.py",
        (("if stamp is not None and max(stamp[-2:]) >= quiet_since_ns:", "if False:"),),
        _TREE,
        is_quick=True,
    ),
    Fault(
        "hints put off for ever that every file is read",
        FILES,
        "reconcile/files.py",
        (
            (
                "        if is_whole:\n            self._whole",
                "        if True:\n            self._whole",
            ),
        ),
        (_CONTROLLER,),
    ),
    Fault(
        "there is no grace delay",
        DELETION,
        "planning/prune.py",
        (("if now_ms - since[name] >= grace_ms]", "]"),),
        _PRUNE,
    ),
    Fault(
        "what cannot be read is gone",
        DELETION,
        "planning/prune.py",
        (("suspects = [name for name in news if name not in tree.unknown]", "suspects = news"),),
        _PRUNE,
    ),
    Fault(
        "an approval is for any set",
        DELETION,
        "planning/prune.py",
        (("digest = removal_digest(suspects)", "digest = removal_digest([])"),),
        _PRUNE,
    ),
    Fault(
        "an edit changes the share of a deal that is open",
        SHARES,
        "engine/room.py",
        (("self._shares.setdefault(bot, self.share)", "self._shares[bot] = self.share"),),
        ("tests/shell/engine/test_room.py", _CONTROLLER),
    ),
    Fault(
        "a bot that may hold a deal takes a share from those that do",
        SHARES,
        "engine/stepper.py",
        (("self._room.doubt(bot)", "self._room.note(bot, has_deal=True)"),),
        ("tests/shell/reconcile/test_limits.py",),
    ),
    Fault(
        "a bot loses its seat before it is known what it did",
        KEPT,
        "reconcile/seating.py",
        (
            (
                "        records = await self._store.bots(seat.planned.bot)\n"
                "        self._books.unseat(seat.planned.bot)\n",
                "        self._books.unseat(seat.planned.bot)\n"
                "        records = await self._store.bots(seat.planned.bot)\n",
            ),
        ),
        (f"{_CONTROLLER}::test_a_bot_whose_rows_cannot_be_read_as_it_moves_keeps_its_deal",),
    ),
    Fault(
        "a bot that no longer fits loses its seat when its key changes",
        KEPT,
        "reconcile/seating.py",
        (
            (
                "        if await self._builder.build_known(seat.planned, left):\n",
                "        await self._builder.build(seat.planned, left)\n"
                "        if seat.planned.bot in left.setups:\n",
            ),
        ),
        (_MARKETS,),
    ),
    Fault(
        "a bot that no longer fits keeps its document from being replaced by one that does",
        KEPT,
        "reconcile/building.py",
        (
            (
                "left.misfits[wanted.bot] = str(error)\n",
                "left.misfits[wanted.bot] = str(error)\n                left.trouble = error\n",
            ),
        ),
        (_MARKETS,),
    ),
    Fault(
        "what winds down is not looked at while another bot is in trouble",
        KEPT,
        "reconcile/strategies.py",
        (("return self._unfinished(name)", "return queue.Done()"),),
        (_MARKETS,),
    ),
    Fault(
        "an edit of the capital does not reach bots whose limit is a share of it",
        STOPS,
        "planning/plan.py",
        (
            (
                "(bot.digest, bot.spec) == (wanted.digest, wanted.spec)",
                "bot.digest == wanted.digest",
            ),
        ),
        _PLAN,
    ),
    Fault(
        "a limit that is edited under onChange close ends the deal",
        STOPS,
        "strategy/averaging",
        (('if setup.on_change == "close" and is_edited and', 'if setup.on_change == "close" and'),),
        ("tests/unit/strategy/test_limits.py",),
    ),
    Fault(
        "bots start in the order of their names, stops after starts",
        STOPS,
        "planning/plan.py",
        (("sorted(actions, key=lambda action: _ORDER[type(action)])", "reversed(actions)"),),
        _PLAN,
    ),
    Fault(
        "a bot that has not looked at the exchange yet counts as flat",
        STOPS,
        "planning/plan.py",
        (
            ("return self.is_compared and not", "return not"),
            ("Ending.FLAT if bot.is_compared else Ending.DRAIN", "Ending.FLAT"),
        ),
        _PLAN,
    ),
    Fault(
        "a bot that lost a part of its journal counts as flat",
        STOPS,
        "reconcile/seats.py",
        (("return self.has_open_deal or self.bot.has_lost_orders", "return self.has_open_deal"),),
        (_CONTROLLER,),
    ),
    Fault(
        "a new bot does not wait for the one that trades its pair",
        STOPS,
        "planning/plan.py",
        (("StartBot(name, wanted, _in_the_way(wanted, leaving))", "StartBot(name, wanted, ())"),),
        _PLAN,
    ),
    Fault(
        "a secret shows itself",
        SECRETS,
        "model/secret.py",
        (
            (
                "    def __repr__(self) -> str:\n        return _MASK",
                "    def __repr__(self) -> str:\n        return self._text",
            ),
        ),
        ("tests/unit/model/test_secret.py",),
    ),
)
