"""Faults in the running bot, its journal and the state store."""

from __future__ import annotations

from tests.mutations.fault import Fault

_BOT = "tests/shell/engine/test_bot.py"
_FUTURES = "tests/shell/engine/test_futures.py"
_FOUND = "tests/simulation/test_found.py"
_CRASH = "tests/shell/engine/test_crash_everywhere.py"
_RECOVER = "tests/shell/engine/test_recover.py"
_CONTROLLER = "tests/shell/reconcile/test_controller.py"
_AVERAGING = "tests/unit/strategy/test_averaging.py"
_PATHS = "tests/unit/strategy/test_invariants.py"

JOURNAL = "journal before wire"
IDS = "client order ids follow from their inputs and are used once"
UNKNOWN = "an unknown outcome is looked up, never sent again"
FOREIGN = "orders of others are never touched"
GATE = "what the world forbids is not sent"
URGENT = "an exit waits for no question and for no failure longer than that lasts"
QUIET = "a price that decides something is looked at, and one that decides nothing counts"
DURABLE = "what is acknowledged is on disk"
ONE_WRITER = "one writer"
RUNS = "a bot that is on the books runs"
COUNTED = "a deal's result is booked once"
PAID = "funding is part of the result of the deal that it was paid for"

FAULTS = (
    Fault(
        "funding of what a person trades after the deal has sold all is the deal's",
        PAID,
        "strategy/averaging/imposed.py",
        (("_held_until_ms(deal, state.setup) or event.at_ms", "deal.closed_at_ms or event.at_ms"),),
        ("tests/unit/strategy/test_imposed.py",),
    ),
    Fault(
        "the next deal begins while the last one's funding is put off by a failure before its end",
        PAID,
        "engine/funding.py",
        ((" and (deal.closed_at_ms is None or _HOLD in context.holds):", ":"),),
        (_FUTURES,),
    ),
    Fault(
        "an order is sent before its intent is recorded",
        JOURNAL,
        "engine",
        (
            (
                "        try:\n            await context.journal.record(",
                "        for action in step.actions:\n            if isinstance(action, Place):\n                await self._wire.place(action, context.clock.now_ms())\n        try:\n            await context.journal.record(",
            ),
            (
                "                case Place():\n                    await self._wire.place(action, decided_ms)\n",
                "",
            ),
        ),
        (_BOT, _CRASH),
        is_quick=True,
    ),
    Fault(
        "an order is sent although its intent could not be recorded",
        JOURNAL,
        "engine",
        (
            (
                "        except TransientError:\n            self._book(self._state)\n            raise\n",
                "        except TransientError:\n            self._book(self._state)\n",
            ),
        ),
        (_BOT,),
    ),
    Fault(
        "intents are not written",
        JOURNAL,
        "engine/journal.py",
        (
            (
                "                    orders[row.client_order_id] = row\n                    writes.append(row)\n                case DealOpened",
                "                    orders[row.client_order_id] = row\n                case DealOpened",
            ),
        ),
        (_BOT, _CRASH),
    ),
    Fault(
        "a bot's code is another in each process",
        IDS,
        "model/ids.py",
        (
            (
                "number = int.from_bytes(hashlib.sha256(bot.encode()).digest()[:8])",
                "number = hash(bot)",
            ),
        ),
        ("tests/unit/model/test_ids.py",),
    ),
    Fault(
        "every attempt has the same id",
        IDS,
        "strategy/averaging/draft.py",
        (("attempt=len(deal.of(leg.kind, leg.index)),", "attempt=0,"),),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "a deal's number is used again",
        IDS,
        "strategy/averaging/beginning.py",
        (("        deals=number,\n", ""),),
        (_AVERAGING, _PATHS),
    ),
    Fault(
        "the installation is no part of the id",
        IDS,
        "strategy/averaging/draft.py",
        (("installation=setup.identity.installation,", 'installation="0000",'),),
        (_AVERAGING, _BOT),
    ),
    Fault(
        "two bots may share one code",
        IDS,
        "reconcile/building.py",
        (("if namesake is not None and not is_known:", "if False:"),),
        (f"{_CONTROLLER}::test_a_bot_whose_orders_would_have_another_bots_ids_is_refused",),
    ),
    Fault(
        "the store takes an intent under a used id",
        IDS,
        "store/rows.py",
        (
            (
                "if new.status is OrderStatus.INTENDED and stored.status is not OrderStatus.INTENDED:",
                "if False:",
            ),
        ),
        ("tests/contract/store/test_store.py",),
    ),
    Fault(
        "an unknown outcome counts as never sent",
        UNKNOWN,
        "engine",
        (
            (
                " action.leg, error)\n            context.report(client_order_id, OrderStatus.UNKNOWN)",
                " action.leg, error)\n            context.report(client_order_id, OrderStatus.ABSENT)",
            ),
        ),
        (_BOT, _FOUND),
    ),
    Fault(
        "an unknown outcome is sent again at once",
        UNKNOWN,
        "engine",
        (
            (
                "        except OutcomeUnknownError as error:\n",
                "        except OutcomeUnknownError as error:\n            await context.account.place(order)\n",
            ),
        ),
        (_BOT,),
    ),
    Fault(
        "the horizon is not waited for",
        UNKNOWN,
        "engine",
        (
            (
                "patience_s = context.account.horizon_ms / 1000",
                "patience_s = 0.0",
            ),
        ),
        (_BOT, _RECOVER),
    ),
    Fault(
        "an intent of an earlier process is looked up from its own time on",
        UNKNOWN,
        "engine",
        (
            (
                "self._wire.sent_at_s(client_order_id) or self._started_s",
                "self._wire.sent_at_s(client_order_id) or -1e9",
            ),
        ),
        (_FOUND,),
    ),
    Fault(
        "a clock that is set forth makes orders absent",
        UNKNOWN,
        "engine/lookups.py",
        (
            (
                "    return asyncio.get_running_loop().time()\n",
                "    return time.time()\n",
            ),
            ("import asyncio\n", "import time\n"),
        ),
        ("tests/shell/engine/test_clock_jumps.py",),
    ),
    Fault(
        "fills that come late are not asked for",
        UNKNOWN,
        "engine/lookups.py",
        (
            (
                "            self._learn(client_order_id, row.status, listed, fills)\n",
                "            pass\n",
            ),
        ),
        ("tests/shell/engine/test_late_fills.py",),
    ),
    Fault(
        "the newest deal is the one that began last by this machine's clock",
        UNKNOWN,
        "engine/journal.py",
        (
            (
                "newest = max(map(_number, orders.values()), default=0)",
                "newest = max(orders.values(), key=lambda row: row.intended_at_ms).deal",
            ),
            ("if _number(row) == newest or", "if row.deal == newest or"),
        ),
        ("tests/shell/engine/test_clock_jumps.py",),
    ),
    Fault(
        "a price of nothing is a price",
        GATE,
        "engine/prices.py",
        (
            (
                "for pair, quote in told.items() if quote.last > ZERO}",
                "for pair, quote in told.items()}",
            ),
        ),
        ("tests/shell/engine/test_prices.py",),
    ),
    Fault(
        "a look that was dropped for a person's word is put off",
        URGENT,
        "engine/bot.py",
        (("                context.pace.urgent()  # what was dropped is asked again\n", ""),),
        ("tests/shell/engine/test_urgency.py",),
    ),
    Fault(
        "a bot that stops forgets what it was asked for",
        JOURNAL,
        "engine/bot.py",
        (("        await self._hear_out()\n", ""),),
        ("tests/shell/engine/test_urgency.py",),
    ),
    Fault(
        "an order believed absent is looked at once after it appeared",
        UNKNOWN,
        "engine/lookups.py",
        (("        if is_decided and known is None:\n", "        if True:\n"),),
        ("tests/shell/engine/test_late_fills.py",),
    ),
    Fault(
        "a deal that goes on after its end keeps a closed row",
        JOURNAL,
        "engine/entries.py",
        (("replace(last, closed_at_ms=None, result_quote=None, exit_leg=None)", "last"),),
        ("tests/shell/engine/test_late_fills.py",),
    ),
    Fault(
        "the loss of a deal that ends a second time counts twice",
        COUNTED,
        "strategy/averaging/closing.py",
        (("max(state.day_loss - lost, ZERO) if is_of_day", "state.day_loss if is_of_day"),),
        (_AVERAGING,),
    ),
    Fault(
        "a restart gives the room of a deal away that a person has to look at",
        COUNTED,
        "strategy/averaging/codec.py",
        ((' and tree["phase"] != Phase.MANUAL)', ")"),),
        (_AVERAGING,),
    ),
    Fault(
        "a deal is settled before the price of its fee's coin could come",
        COUNTED,
        "reconcile/settling.py",
        (("return any(may_be_priced(fill, pair, now_ms) for fill in fills)", "return False"),),
        ("tests/shell/reconcile/test_settling.py",),
    ),
    Fault(
        "what a late fill has bought counts as lost",
        COUNTED,
        "strategy/averaging/kind.py",
        (
            (
                "(taken_back(state, before), deal=replace(deal, closed_at_ms=0))",
                "(taken_back(state, before), deal=deal)",
            ),
        ),
        (_AVERAGING,),
    ),
    Fault(
        "a price that is no number takes the prices of all pairs away",
        GATE,
        "exchanges/tickers.py",
        (
            (
                "exact_or_none(ticker.last) if pair is not None else None",
                'exact(ticker.last, "last") if pair is not None else None',
            ),
            ("PayloadError, decode, exact_or_none", "PayloadError, decode, exact, exact_or_none"),
        ),
        ("tests/contract/exchanges/test_recorded_payloads.py",),
    ),
    Fault(
        "a bot without a journal looks for no older orders of its own",
        JOURNAL,
        "engine/agreement.py",
        (
            (
                "        mine = [(fill, name) for fill, name in fills if name.bot == code]\n",
                "        mine = [(fill, name) for fill, name in fills if newest and name.bot == code]\n",
            ),
        ),
        ("tests/shell/engine/test_older_store.py",),
    ),
    Fault(
        "coins that a lost state had bought are the owner's own",
        JOURNAL,
        "engine/agreement.py",
        (("            left = await self._left_over(others)\n", "            left = None\n"),),
        ("tests/shell/engine/test_older_store.py",),
    ),
    Fault(
        "a bot whose move broke off is never run again",
        RUNS,
        "reconcile/seating.py",
        (("            seat.is_ended = True  # all", "            pass  # all"),),
        (_CONTROLLER,),
    ),
    Fault(
        "a halt that is lifted and laid at once is lost with the process",
        GATE,
        "reconcile/hand.py",
        (("self._writing = asyncio.Lock()", "self._writing = asyncio.Semaphore(9)"),),
        (_CONTROLLER,),
    ),
    Fault(
        "a close is for those bots alone that run when it is asked for",
        GATE,
        "reconcile/hand.py",
        (("        if any(hold.is_closing for hold in holds):\n", "        if False:\n"),),
        (_CONTROLLER,),
    ),
    Fault(
        "the newest deal is the one that began last by the clock",
        JOURNAL,
        "store/statements.py",
        (
            (
                "        .order_by(name.desc())\n",
                "        .order_by(ORDERS.c.intended_at_ms.desc())\n",
            ),
        ),
        ("tests/shell/engine/test_clock_jumps.py",),
    ),
    Fault(
        "an order believed absent is not asked for by its id",
        UNKNOWN,
        "engine/lookups.py",
        (("            self._absent.watch(client_order_id)\n", ""),),
        ("tests/shell/engine/test_late_fills.py",),
        is_quick=True,
    ),
    Fault(
        "orders believed absent are not asked for after a restart",
        UNKNOWN,
        "engine/absent.py",
        (("        for row in silent[-ASKED_MAX:]:\n", "        for row in silent[:0]:\n"),),
        ("tests/shell/engine/test_late_fills.py",),
    ),
    Fault(
        "a late fill of a deal that is long over leaves its order's row as it was",
        UNKNOWN,
        "engine/journal.py",
        ((" or await self.recall(name)  #", "  #"),),
        ("tests/shell/engine/test_late_fills.py",),
    ),
    Fault(
        "an order that appears after all is left to itself",
        UNKNOWN,
        "engine",
        (
            (
                "            self._expelled.setdefault(stranger.client_order_id, known)\n",
                "            pass\n",
            ),
        ),
        ("tests/shell/engine/test_late_fills.py",),
    ),
    Fault(
        "an acknowledged order that cannot be seen counts as absent",
        UNKNOWN,
        "engine",
        (("    if not has_answer:\n", "    if True:\n"),),
        (_BOT,),
    ),
    Fault(
        "a time-out when creating is a passing failure",
        UNKNOWN,
        "exchanges/translation.py",
        (("if operation is Operation.CREATE and _may_exist(failure, reason):", "if False:"),),
        (
            "tests/unit/exchanges/test_translation.py",
            "tests/contract/exchanges/test_lost_answers.py",
        ),
        is_quick=True,
    ),
    Fault(
        "a 5xx when creating is a verdict",
        UNKNOWN,
        "exchanges/translation.py",
        (("return is_server_error or reason in _UNCLEAR", "return reason in _UNCLEAR"),),
        (
            "tests/unit/exchanges/test_translation.py",
            "tests/contract/exchanges/test_lost_answers.py",
        ),
    ),
    Fault(
        "an exchange that contradicts itself ends the bot's task",
        FOREIGN,
        "engine/entries.py",
        (
            (
                "    except InvalidTransitionError:\n        return row\n",
                "    except InvalidTransitionError:\n        raise\n",
            ),
        ),
        (_FOUND,),
    ),
    Fault(
        "a deal begins on a contract on which somebody else holds a position",
        FOREIGN,
        "engine/wire.py",
        (("            await self._require_flat(order.pair)\n", ""),),
        (_FUTURES,),
    ),
    Fault(
        "nobody looks at the position between deals",
        FOREIGN,
        "engine/liquidation.py",
        (("            if view.deal_number is not None:\n", "            if True:\n"),),
        (_FUTURES,),
    ),
    Fault(
        "a bot that a contradiction shuts is shown as one that may exit",
        FOREIGN,
        "daemon/board.py",
        (("    if seat.bot.is_contradicted:\n", "    if False:\n"),),
        ("tests/shell/reconcile/test_degraded.py",),
    ),
    Fault(
        "foreign orders are canceled",
        FOREIGN,
        "engine",
        (
            (
                "                self._seen.add(order.order_id)\n",
                "                self._seen.add(order.order_id)\n                await self._context.account.cancel(\n                    self._context.name.pair, order.client_order_id, order.order_id\n                )\n",
            ),
        ),
        (_BOT, _RECOVER),
    ),
    Fault(
        "another installation's orders are taken for our own",
        FOREIGN,
        "engine/recover.py",
        (
            (
                "    if name.installation != installation:\n        return Known.TWIN\n",
                "",
            ),
        ),
        (_RECOVER, _BOT),
        is_quick=True,
    ),
    Fault(
        "a twin's orders change nothing",
        FOREIGN,
        "engine",
        (
            (
                '        gate=Gate.EXITS_ONLY,\n        note="TwinOrder",',
                '        note="TwinOrder",',
            ),
        ),
        (_BOT,),
    ),
    Fault(
        "orders of ours that the journal lacks change nothing",
        FOREIGN,
        "engine",
        (('        gate=Gate.SHUT,\n        note="LostOrder",', '        note="LostOrder",'),),
        (_BOT,),
    ),
    Fault(
        "an older store is not noticed",
        FOREIGN,
        "engine",
        (
            (
                "forgotten = await self._forgotten()",
                "forgotten = None",
            ),
        ),
        (_FOUND,),
    ),
    Fault(
        "an older store is not noticed where executions carry no id of ours",
        FOREIGN,
        "engine/agreement.py",
        (("                names[order_id] = order.client_order_id\n", "                pass\n"),),
        ("tests/shell/engine/test_older_store.py",),
    ),
    Fault(
        "a position that contradicts the journal is no matter",
        FOREIGN,
        "engine",
        (("put(_POSITION, ruling.gate", "put(_POSITION, Gate.OPEN"),),
        (_BOT, _RECOVER),
    ),
    Fault(
        "EXITS_ONLY lets a rung through",
        GATE,
        "strategy/averaging/rungs.py",
        (
            (
                "if draft.phase is Phase.WATCH or draft.gate is not Gate.OPEN:",
                "if draft.phase is Phase.WATCH:",
            ),
        ),
        (_AVERAGING, _PATHS, _BOT),
    ),
    Fault(
        "EXITS_ONLY lets a deal begin",
        GATE,
        "strategy/averaging/state.py",
        (("self.gate is Gate.OPEN\n", "self.gate is not Gate.SHUT\n"),),
        (_AVERAGING, _PATHS, _BOT),
        is_quick=True,
    ),
    Fault(
        "SHUT lets everything through",
        GATE,
        "strategy/averaging/orders.py",
        (("    if draft.gate is Gate.SHUT:\n        return\n", ""),),
        (_AVERAGING, _PATHS, _BOT),
    ),
    Fault(
        "a gate that closes while the intent is recorded is not looked at again",
        GATE,
        "engine",
        (("if context.holds.forbid(action.leg.kind) or", "if False or"),),
        (_FOUND,),
    ),
    Fault(
        "the strictest hold does not count",
        GATE,
        "engine",
        (("return max(self._by_name.values(), key", "return min(self._by_name.values(), key"),),
        (_BOT, _CONTROLLER),
    ),
    Fault(
        "a bot trades before it has compared itself with the exchange",
        GATE,
        "engine",
        (
            ('put(_START, Gate.SHUT, "not reconciled yet")', 'put(_START, Gate.OPEN, "")'),
            (
                'put(_START, Gate.SHUT, "reconciling with the exchange")',
                'put(_START, Gate.OPEN, "")',
            ),
        ),
        (_BOT, _FOUND),
    ),
    Fault(
        "a bot trades before it has looked at a price",
        GATE,
        "engine/bot.py",
        (
            (
                'put(_FIRST_PRICE, Gate.EXITS_ONLY, "no price',
                'put(_FIRST_PRICE, Gate.OPEN, "no price',
            ),
        ),
        (_BOT,),
    ),
    Fault(
        "a price of any age is traded on",
        GATE,
        "reconcile",
        (('self._judge("prices", stale)', 'self._judge("prices", "")'),),
        (_CONTROLLER,),
    ),
    Fault(
        "a bot goes on while its connection is refused",
        GATE,
        "reconcile/seats.py",
        (('why = f"connection is {standing}"', 'why = ""'),),
        (_CONTROLLER,),
    ),
    Fault(
        "a bot that may have forgotten a deal leaves its room to others",
        GATE,
        "engine/stepper.py",
        (("self._room.doubt(bot)", "self._room.note(bot, has_deal=False)"),),
        (_FOUND,),
    ),
    Fault(
        "a clock that is wrong holds nobody back",
        GATE,
        "reconcile/seats.py",
        (('{trouble}" if trouble else "", reconcile', '{trouble}" if False else "", reconcile'),),
        ("tests/shell/reconcile/test_degraded.py", _CONTROLLER),
    ),
    Fault(
        "an exit waits for the answer to a question",
        URGENT,
        "engine/bot.py",
        (
            (
                "if self._context.is_asking and self._is_pressing(self._seen(quote, at_ms)):",
                "if False:",
            ),
        ),
        ("tests/shell/engine/test_urgency.py",),
    ),
    Fault(
        "a person's word waits for the answer to a question",
        URGENT,
        "engine/bot.py",
        (
            (
                "        self._inbox.append(event)\n        self._context.give_way()\n",
                "        self._inbox.append(event)\n",
            ),
        ),
        ("tests/shell/engine/test_urgency.py",),
    ),
    Fault(
        "a price that reaches a resting order is only remembered",
        QUIET,
        "engine/stepper.py",
        (("band.narrowed(self.open_orders())", "band"),),
        (_BOT,),
    ),
    Fault(
        "a bot that waits for room does not look when there is some",
        QUIET,
        "engine/stepper.py",
        (("or (band.wants_room and self._room.has_room(self._bot))", ""),),
        (_BOT,),
    ),
    Fault(
        "of the prices that decide nothing only the newest is smoothed",
        QUIET,
        "strategy/averaging/kind.py",
        (("each_counts=gauge is not None", "each_counts=False"),),
        (_PATHS,),
    ),
    Fault(
        "a price after a gap is only remembered",
        QUIET,
        "engine/stepper.py",
        (("            or at_ms - self._seen_ms > band.gap_ms\n", ""),),
        (_BOT,),
    ),
    Fault(
        "an exchange that does not answer is asked with every price",
        URGENT,
        "engine/pace.py",
        (("return max(self._due_s, self._not_before_s) -", "return self._due_s -"),),
        ("tests/shell/engine/test_urgency.py",),
    ),
    Fault(
        "a store that works again is noticed by the next try only",
        URGENT,
        "store/database.py",
        (("            tell()\n", "            pass\n"),),
        ("tests/shell/engine/test_urgency.py",),
    ),
    Fault(
        "exits wait behind other orders for the rate limit",
        URGENT,
        "exchanges/orders.py",
        (("return Priority.EXIT if order.is_exit else Priority.ORDER", "return Priority.ORDER"),),
        ("tests/contract/exchanges/test_exits_on_the_wire.py",),
    ),
    Fault(
        "an exit that was not sent is tried ever more slowly",
        URGENT,
        "strategy/averaging/draft.py",
        (("            wait_ms = min(wait_ms, URGENT_RETRY_MAX_MS)\n", "            pass\n"),),
        ("tests/shell/engine/test_urgency.py",),
    ),
    Fault(
        "a clock that was ahead is waited for",
        URGENT,
        "strategy/averaging/rewound.py",
        (("    if ahead_ms <= REWIND_MS:\n", "    if ahead_ms:\n"),),
        ("tests/shell/engine/test_clock_jumps.py",),
    ),
    Fault(
        "an order is sent however old its decision is",
        GATE,
        "engine/wire.py",
        (("(is_old and action.leg.kind.is_adding)", "False"),),
        ("tests/shell/engine/test_clock_jumps.py",),
    ),
    Fault(
        "a group is acknowledged before it is written",
        DURABLE,
        "store/writer.py",
        (
            (
                "            _write_group(self._engine, group)\n",
                "            self._loop.call_soon_threadsafe(_settle, group)\n"
                "            _write_group(self._engine, group)\n",
            ),
        ),
        ("tests/contract/store/test_store.py", "tests/contract/store/test_crash.py"),
    ),
    Fault(
        "a commit does not wait for the disk",
        DURABLE,
        "store/engines.py",
        (("PRAGMA synchronous=FULL", "PRAGMA synchronous=OFF"),),
        ("tests/contract/store/test_opening.py", "tests/contract/store/test_crash.py"),
    ),
    Fault(
        "a failed group fails nobody",
        DURABLE,
        "store/writer.py",
        (("            job.error = error\n", "            pass\n"),),
        ("tests/contract/store/test_store.py",),
    ),
    Fault(
        "two daemons may use one state directory",
        ONE_WRITER,
        "store/lock.py",
        (
            (
                "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
                "fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)",
            ),
        ),
        ("tests/contract/store/test_lock.py",),
    ),
    Fault(
        "a living daemon on another machine is overrun",
        ONE_WRITER,
        "store/lock.py",
        (("if other.host != lease.host and is_alive:", "if False:"),),
        ("tests/contract/store/test_lock.py",),
    ),
)
