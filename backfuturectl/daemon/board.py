"""What the status API shows: rows of plain values out of the controller and the store.

Field names are part of the public interface. Decimals are text; times are milliseconds UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from backfuturectl import __version__
from backfuturectl.daemon.history import (
    Row,
    deal_row,
    event_row,
    fill_row,
    order_row,
    rounded,
    story_rows,
    text,
)
from backfuturectl.daemon.logs import RECENT
from backfuturectl.daemon.prospects import outlook_rows
from backfuturectl.daemon.results import Results, metric_lines
from backfuturectl.daemon.score import measure_rows, score_of
from backfuturectl.engine.clock import Clock
from backfuturectl.model.errors import UsageError
from backfuturectl.model.ids import deal_id
from backfuturectl.model.records import DealRecord
from backfuturectl.model.resources import Connection, Strategy
from backfuturectl.model.status import REASONS, Condition, Reason, ReasonClass
from backfuturectl.planning.diff import diff
from backfuturectl.reconcile.connections import report_row
from backfuturectl.reconcile.controller import Controller
from backfuturectl.reconcile.registry import Entry
from backfuturectl.reconcile.seats import Seat
from backfuturectl.store.database import Store
from backfuturectl.strategy.base import BotView, Gate

_EVENTS_MAX: Final = 10_000
_ABOUT: Final = frozenset({"Bot", "Connection", "Daemon", "Policy", "Strategy"})
_KINDS: Final = {"connection": "Connection", "strategy": "Strategy"}


class ControllerBoard:
    """Answers the status API from a running controller."""

    def __init__(self, controller: Controller, store: Store, clock: Clock, *, root: str) -> None:
        self._controller = controller
        self._store = store
        self._clock = clock
        self._root = root
        self._results = Results(controller, store)
        self._started_ms = clock.now_ms()

    async def items(self, kind: str, *, about: str | None, limit: int, since: int) -> list[Row]:
        """Return the rows of one list; *about* narrows to one bot, deal or resource."""
        match kind:
            case "connections":
                results = await self._results.by_connection()
                return [
                    self._connection(e) | {"results": results.get(e.name, [])}
                    for e in self._entries("Connection", about)
                ]
            case "strategies":
                results = await self._results.by_strategy()
                return [
                    self._strategy(e) | {"results": results.get(e.name, [])}
                    for e in self._entries("Strategy", about)
                ]
            case "bots":
                return [
                    self._bot(seat)
                    for name, seat in sorted(self._controller.strategies.seats.items())
                    if about in {None, name, seat.planned.strategy, seat.planned.connection}
                ]
            case "running":
                return self._running()
            case "deals":
                return await self._deals(about, limit=limit)
            case "orders":
                bot, deal = (None, about) if about is not None and "#" in about else (about, None)
                orders = await self._store.orders(bot, deal, limit=limit)
                return [order_row(order) for order in orders]
            case "events":
                about, deal = _events_of(about)
                events = await self._store.events(
                    about, deal=deal, after_id=since or None, limit=limit
                )
                return [event_row(event) for event in events]
            case "logs":
                return RECENT.lines(after=since, limit=limit)
            case _:
                raise UsageError(
                    f"no list is named `{kind}`; there are connections, strategies, bots, deals, "
                    "orders, events and logs"
                )

    async def describe(self, kind: str, name: str) -> Row | None:
        """Return everything about one resource, bot, deal or order."""
        kind = kind.rstrip("s").replace("strategie", "strategy")
        if kind == "bot":
            return await self._describe_bot(name)
        if kind == "deal":
            return await self._describe_deal(name)
        if kind == "order":
            return await self._describe_order(name)
        if kind not in _KINDS:
            raise UsageError(
                f"`{kind}` cannot be described; a connection, strategy, bot, deal or order can"
            )
        entry = self._controller.registry.get(_KINDS[kind], name)
        if entry is None:
            return None
        if kind == "connection":
            row, results = self._connection(entry), await self._results.of_connection(name)
        else:
            row, results = self._strategy(entry), await self._results.of_strategy(name)
        return {
            "kind": _KINDS[kind],
            **row,
            "results": results,
            "path": entry.path,
            "generation": entry.generation,
            "conditions": [_condition(c) for c in entry.status.conditions] if entry.status else [],
            "findings": [
                {
                    "code": finding.code,
                    "file": finding.file,
                    "line": finding.span.line,
                    "column": finding.span.column,
                    "field": finding.field,
                    "message": finding.message,
                    "help": finding.help,
                }
                for finding in entry.findings
            ],
            "pendingChanges": _pending(entry),
            "spec": _spec_of(entry),
            "events": [event_row(e) for e in await self._store.events(f"{_KINDS[kind]}/{name}")],
        }

    async def status(self) -> Row:
        """Return the daemon's own state."""
        return {**self._status(), "results": await self._results.in_all()}

    def _status(self) -> Row:
        controller = self._controller
        generation = controller.files.generation
        strategies = list(controller.registry.of_kind("Strategy"))
        connections = list(controller.registry.of_kind("Connection"))
        return {
            "version": __version__,
            "root": self._root,
            "startedAt": self._started_ms,
            "now": self._clock.now_ms(),
            "installation": self._store.installation,
            "source": {
                "digest": generation.loaded.tree.digest if generation is not None else None,
                "commit": generation.commit if generation is not None else "",
                "readAt": controller.files.read_at_ms,
                "trouble": controller.files.source_trouble,
                "unknown": list(generation.loaded.unknown) if generation is not None else [],
            },
            "store": {"trouble": self._store.trouble},
            "prune": {
                "blocked": list(controller.files.prune.blocked),
                "waiting": list(controller.files.prune.waiting),
                "digest": controller.files.prune.digest,
            },
            "holds": [
                {
                    "target": hold.target,
                    "verb": hold.verb,
                    "since": hold.since_ms,
                    "cancel": hold.is_canceling,
                    "close": hold.is_closing,
                }
                for hold in controller.strategies.hand.holds.values()
            ],
            "connections": {
                "total": len(connections),
                "online": sum(controller.lines.line(e.name).is_online for e in connections),
            },
            "strategies": {
                "total": len(strategies),
                "converged": sum(_is_converged(entry) for entry in strategies),
            },
            "bots": {
                "total": len(controller.strategies.seats),
                "running": controller.strategies.running_count(),
                "paper": sum(
                    seat.planned.spec.mode == "paper"
                    for seat in controller.strategies.seats.values()
                ),
            },
            "queueDepth": controller.queue.depth,
        }

    async def metrics(self) -> str:
        """Return the figures in Prometheus' text format."""
        status = self._status()
        figures = {
            "connections": status["connections"]["total"],
            "connections_online": status["connections"]["online"],
            "strategies": status["strategies"]["total"],
            "strategies_converged": status["strategies"]["converged"],
            "bots": status["bots"]["total"],
            "bots_running": status["bots"]["running"],
            "queue_depth": status["queueDepth"],
            "store_writable": int(not self._store.trouble),
            "source_readable": int(not status["source"]["trouble"]),
            "source_read_timestamp_seconds": status["source"]["readAt"] / 1000,
        }
        lines = []
        for name, value in figures.items():
            lines.append(f"# TYPE backfuturectl_{name} gauge")
            lines.append(f"backfuturectl_{name} {value}")
        lines.extend(metric_lines(await self._results.by_connection()))
        return "\n".join(lines) + "\n"

    async def act(self, verb: str, arguments: Row) -> Row:
        """Carry out an operator's request."""
        actions: dict[str, Callable[[Row], Any]] = {
            "audit": self._act_audit,
            "reconcile": self._act_reconcile,
            "test": self._act_test,
            "approve": self._act_approve,
            "pause": self._act_pause,
            "halt": self._act_halt,
            "resume": self._act_resume,
            "takeover": self._act_takeover,
        }
        if verb not in actions:
            raise UsageError(f"no action is named `{verb}`")
        done: Row = await actions[verb](arguments)
        return done

    async def _act_audit(self, arguments: Row) -> Row:
        """Compare one bot with the exchange; the caller goes from bot to bot, in its own time."""
        seat = self._controller.strategies.seats.get(str(arguments.get("bot", "")))
        if seat is None:
            raise UsageError(f"no bot is named `{arguments.get('bot', '')}`")
        since_ms = arguments.get("since")
        if not isinstance(since_ms, int):
            raise UsageError("`since` must be a time in milliseconds UTC")
        if seat.paper is not None:
            raise UsageError(
                f"{seat.planned.bot} trades on paper: there is nothing to compare with"
            )
        found = await self._controller.settler.auditor.audit(seat.bot, since_ms)
        return {
            "bot": found.bot,
            "from": found.from_ms,
            "isComplete": found.from_ms <= since_ms,
            "fills": found.fills,
            "openOrders": found.orders,
            "differences": [
                {
                    "kind": str(each.kind),
                    "about": each.about,
                    "clientOrderId": each.client_order_id,
                    "ours": each.ours,
                    "theirs": each.theirs,
                }
                for each in found.differences
            ],
        }

    async def _act_reconcile(self, _: Row) -> Row:
        await self._controller.files.read_now()
        return {"trouble": self._controller.files.source_trouble}

    async def _act_test(self, arguments: Row) -> Row:
        names = arguments.get("connections") or [
            entry.name for entry in self._controller.registry.of_kind("Connection")
        ]
        for name in names:
            if self._controller.registry.get("Connection", str(name)) is None:
                raise UsageError(f"no connection is named `{name}`")
            self._controller.test_soon(str(name))
        return {"connections": names}

    async def _act_pause(self, arguments: Row) -> Row:
        target = self._target(arguments)
        bots = await self._controller.strategies.hand.hold(
            target, "pause", cancel=False, close=False
        )
        return {"target": target, "bots": bots}

    async def _act_halt(self, arguments: Row) -> Row:
        target = self._target(arguments)
        bots = await self._controller.strategies.hand.hold(
            target,
            "halt",
            cancel=bool(arguments.get("cancel")),
            close=bool(arguments.get("close")),
        )
        return {"target": target, "bots": bots}

    async def _act_resume(self, arguments: Row) -> Row:
        target = self._target(arguments)
        return {"target": target, "bots": await self._controller.strategies.hand.lift(target)}

    async def _act_takeover(self, arguments: Row) -> Row:
        target = self._target(arguments)
        return {"target": target, "deals": self._controller.strategies.hand.take_over(target)}

    def _target(self, arguments: Row) -> str:
        """Return whom a hold is for, if there is such a one."""
        target = str(arguments.get("target", ""))
        kind, _, name = target.partition("/")
        if target == "all":
            return target
        if kind not in _KINDS or self._controller.registry.get(_KINDS[kind], name) is None:
            raise UsageError(f"there is no {target!r}; name strategy/NAME, connection/NAME or all")
        return target

    async def _act_approve(self, arguments: Row) -> Row:
        digest = str(arguments.get("digest", ""))
        if not self._controller.files.approve(digest):
            raise UsageError("no blocked deletion has this digest; see `backfuturectl status`")
        return {"approved": digest}

    def _running(self) -> list[Row]:
        """Return what runs, as documents: `plan` compares it with any checkout of the files."""
        seats = self._controller.strategies.seats
        return [
            {
                "kind": entry.kind,
                "name": entry.name,
                "generation": entry.generation,
                "path": entry.applied.path,
                "source": entry.applied.source.decode(),
                "accountId": self._controller.lines.line(entry.name).account_id or None
                if entry.kind == "Connection"
                else None,
                "bots": [
                    {
                        "bot": seat.planned.bot,
                        "pair": seat.planned.pair,
                        "hasOpenDeal": seat.may_hold_deal,
                        "isCompared": seat.bot.has_compared,
                        "isDraining": seat.is_draining,
                        "isStopping": seat.is_stopping,
                    }
                    for seat in seats.values()
                    if entry.kind == "Strategy" and seat.planned.strategy == entry.name
                ],
            }
            for entry in self._controller.registry.entries.values()
            if entry.applied is not None
        ]

    def _entries(self, kind: str, name: str | None) -> list[Entry]:
        return [e for e in self._controller.registry.of_kind(kind) if name in {None, e.name}]

    def _connection(self, entry: Entry) -> Row:
        resource = entry.document.resource if entry.document is not None else None
        spec = resource.spec if isinstance(resource, Connection) else None
        line = self._controller.lines.line(entry.name)
        return {
            "name": entry.name,
            "title": resource.metadata.title if resource is not None else None,
            "exchange": str(spec.exchange) if spec is not None else None,
            "market": str(spec.market) if spec is not None else None,
            "environment": str(spec.environment) if spec is not None else None,
            **self._standing(entry),
            **report_row(line.report),
            "accountId": line.tested_account_id or None,
            "lastTested": line.tested_at_ms or None,
        }

    def _strategy(self, entry: Entry) -> Row:
        resource = entry.document.resource if entry.document is not None else None
        spec = resource.spec if isinstance(resource, Strategy) else None
        seats = self._controller.strategies.of(entry.name).values()
        return {
            "name": entry.name,
            "title": resource.metadata.title if resource is not None else None,
            "connection": spec.connection if spec is not None else None,
            "pairs": list(spec.pairs) if spec is not None else [],
            "mode": spec.mode if spec is not None else None,
            "risk": str(spec.risk) if spec is not None else None,
            **self._standing(entry),
            "isCurrent": entry.is_current,
            "bots": len(seats),
            "openDeals": sum(seat.has_open_deal for seat in seats),
        }

    def _standing(self, entry: Entry) -> Row:
        if entry.status is None:
            return {"status": "Unknown", "reason": str(Reason.NOT_TESTED), "message": ""}
        ready = entry.status.ready
        row = REASONS[ready.reason]
        status = {
            ReasonClass.GOOD: "Online" if entry.kind == "Connection" else "Ready",
            ReasonClass.WAITING: "Waiting",
            ReasonClass.RETRYABLE: "Retrying",
            ReasonClass.TERMINAL: "Failed",
        }[row.kind]
        return {
            "status": status,
            "reason": str(ready.reason),
            "message": ready.message,
            "rawCode": ready.raw_code,
            "cause": row.cause,
            "remedy": row.remedy,
            "since": ready.since_ms,
            "generation": entry.status.generation,
            "observedGeneration": entry.status.observed_generation,
        }

    def _bot(self, seat: Seat) -> Row:
        view = seat.bot.view()
        gate, why = seat.bot.gate
        number = view.deal_number
        trouble = seat.supervisor.trouble
        return {
            "name": seat.planned.bot,
            "strategy": seat.planned.strategy,
            "connection": seat.planned.connection,
            "pair": seat.planned.pair,
            "mode": seat.planned.spec.mode,
            "state": _state(seat, view.state),
            "dealId": deal_id(seat.planned.bot, number) if number is not None else None,
            "position": text(view.position_base),
            "average": rounded(view.average),
            "unrealised": rounded(view.unrealised_quote),
            "margin": rounded(view.margin_quote),
            "nextExit": rounded(view.next_exit),
            "stop": rounded(view.stop),
            "stopOn": _place_of_stop(view),
            "liquidation": rounded(seat.bot.liquidation_price),
            "marginMode": seat.bot.margin_mode,
            "openOrders": view.open_orders,
            "recoveryScore": score_of(view.recovery),
            "generation": seat.planned.generation,
            "gate": str(gate),
            "gateReason": why,
            "isDraining": seat.is_draining,
            "isPaused": view.is_paused,
            "task": str(seat.supervisor.status),
            "trouble": trouble[1] if trouble is not None else None,
        }

    async def _describe_bot(self, name: str) -> Row | None:
        seat = self._controller.strategies.seats.get(name)
        if seat is None:
            return None
        return {
            "kind": "Bot",
            **self._bot(seat),
            "recovery": measure_rows(seat.bot.view().recovery),
            **_outlook(seat),
            "deals": await self._deals(name, limit=10),
            "orders": [order_row(order) for order in await self._store.orders(name, is_open=True)],
            "events": [event_row(event) for event in await self._store.events(f"Bot/{name}")],
        }

    async def _describe_deal(self, name: str) -> Row | None:
        bot = name.rpartition("#")[0]
        found = await self._store.deal(name)
        if found is None:
            return None
        orders = await self._store.orders(bot, name)
        fills = await self._store.fills(bot, deal=name)
        return {
            "kind": "Deal",
            **deal_row(found),
            **(await self._results.of_deals([found]))[name],
            **self._standing_of(found),
            "fundingPayments": [
                {"at": each.at_ms, "amount": text(each.amount_quote)}
                for each in await self._store.funding(bot, deal=name)
            ],
            "story": story_rows(found, orders, fills),
            "orders": [order_row(order) for order in orders],
            "fills": [fill_row(fill) for fill in fills],
            "events": [
                event_row(event) for event in await self._store.events(deal=name, limit=_EVENTS_MAX)
            ],
        }

    def _standing_of(self, deal: DealRecord) -> Row:
        """Return how an open deal stands and what it waits for; only its bot knows."""
        seat = self._controller.strategies.seats.get(deal.bot)
        bot = self._bot(seat) if seat is not None and deal.closed_at_ms is None else None
        if seat is None or bot is None or bot["dealId"] != deal.deal:
            return {"state": None, "unrealised": None, "recoveryScore": None, "recovery": []}
        kept = ("state", "gateReason", "position", "average", "unrealised", "margin", "generation")
        return {
            **{name: bot[name] for name in (*kept, "recoveryScore")},
            "recovery": measure_rows(seat.bot.view().recovery),
            **_outlook(seat),
        }

    async def _deals(self, about: str | None, *, limit: int) -> list[Row]:
        deals = await self._store.deals(about, limit=limit)
        results = await self._results.of_deals(deals)
        return [deal_row(deal) | results[deal.deal] for deal in deals]

    async def _describe_order(self, name: str) -> Row | None:
        order = await self._store.order(name)
        if order is None:
            return None
        fills = await self._store.fills(order.bot, client_order_ids=[name])
        return {
            "kind": "Order",
            **order_row(order),
            "fills": [fill_row(fill) for fill in fills],
        }


def _events_of(about: str | None) -> tuple[str | None, str | None]:
    """Return what events are about and of which deal, for what a person names them by."""
    if about is None or "/" not in about or about.partition("/")[0] in _ABOUT:
        return about, None
    return (None, about) if "#" in about else (f"Bot/{about}", None)


def _outlook(seat: Seat) -> Row:
    return outlook_rows(seat.bot.outlook(), liquidation=seat.bot.liquidation_price)


def _state(seat: Seat, phase: str) -> str:
    """Return where a bot is, as people read it: what shuts it is more than a degradation."""
    if seat.bot.is_contradicted:
        return "MANUAL"
    return phase if seat.bot.gate[0] is Gate.OPEN else f"{phase}/DEGRADED"


def _place_of_stop(view: BotView) -> str | None:
    """Return whose stop it is: the exchange's works while the daemon is down."""
    if view.stop is None:
        return None
    return "exchange" if view.is_stop_resting else "daemon"


def _is_converged(entry: Entry) -> bool:
    return (
        entry.status is not None
        and entry.is_current
        and entry.status.ready.reason is Reason.RECONCILE_SUCCEEDED
    )


def _pending(entry: Entry) -> list[Row]:
    if entry.desired is None or entry.applied is None or entry.is_current:
        return []
    old, new = entry.applied.resource, entry.desired.resource
    if old is None or new is None or type(old) is not type(new):
        return []
    return [{"path": c.path, "old": c.old, "new": c.new} for c in diff(old, new)]


def _spec_of(entry: Entry) -> Row:
    resource = entry.document.resource if entry.document is not None else None
    if resource is None:
        return {}
    spec: Row = resource.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    spec.pop("credentials", None)
    return spec


def _condition(condition: Condition) -> Row:
    return {
        "type": str(condition.type),
        "status": {True: "True", False: "False", None: "Unknown"}[condition.status],
        "reason": str(condition.reason),
        "message": condition.message,
        "rawCode": condition.raw_code,
        "since": condition.since_ms,
    }
