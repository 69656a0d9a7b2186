"""Random prices, faults and restarts against the averaging step: the invariants hold."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import LegKind, OrderStatus, Side
from backfuturectl.strategy.averaging.reduction import budget_of, reduced_loss
from backfuturectl.strategy.averaging.state import Setup
from backfuturectl.strategy.base import Command, DealClosed, Gate, Place, PriceSeen, SetupChanged
from backfuturectl.strategy.proofs import orders_beside_rungs
from tests.unit.strategy.venue import KIND, Venue, setup

D = Decimal

SPOT, FUTURES = MarketKind.SPOT, MarketKind.FUTURES
# Confirmations so short that a random history sees Recovery Mode from within.
RECOVERY = {
    "enabled": True,
    "trigger": {"drawdownPct": D(2), "confirmFor": "60s", "emaSpan": "10s"},
    "actions": {
        "takeProfitPct": D("0.5"),
        "strict": {
            "minAverageImprovementPct": D("0.2"),
            "minSpacingPct": D(1),
            "minInterval": "60s",
            "maxExtraOrders": 2,
        },
        "reduce": {
            "enabled": True,
            "closePct": D(20),
            "reboundPct": D("0.5"),
            "minInterval": "60s",
            "lossBudgetPct": D(5),
        },
    },
    "exit": {"drawdownPct": D(1), "marginUsedPct": D(99), "confirmFor": "60s"},
    "escalate": {
        "drawdownPct": D(4),
        "maxDuration": "2h",
        "cooldown": "60s",
        "maxPerWindow": {"count": 1, "window": "1d"},
    },
}
LONGER = {"stepScale": D("1.2")}
STEPS = (
    {"sharePct": D(30), "profitPct": D("0.5")},
    {"sharePct": D(30), "profitPct": D(1)},
    {"sharePct": D(40), "profitPct": D(2)},
)
DOCUMENTS: dict[str, tuple[MarketKind, dict[str, object]]] = {
    "spot long": (SPOT, {}),
    "spot long, auto": (SPOT, {"baseOrder": "auto"}),
    "spot long, lastFill": (SPOT, {"averaging": {"reference": "lastFill"}}),
    "spot long at market": (
        SPOT,
        {"entry": {"orderType": "market"}, "stopLoss": {"confirmFor": "30s"}},
    ),
    "spot long, recovery": (SPOT, {"recovery": RECOVERY, "averaging": LONGER}),
    "futures short, recovery": (
        FUTURES,
        {"recovery": RECOVERY, "averaging": LONGER, "direction": "short"},
    ),
    "spot long, trailing": (SPOT, {"takeProfit": {"trailing": {"deviationPct": D("0.3")}}}),
    "spot long, steps": (SPOT, {"takeProfit": {"steps": STEPS}}),
    "spot long, steps and trailing": (
        SPOT,
        {"takeProfit": {"steps": STEPS, "trailing": {"deviationPct": D("0.3")}}},
    ),
    "futures short, steps and trailing": (
        FUTURES,
        {
            "direction": "short",
            "takeProfit": {"steps": STEPS, "trailing": {"deviationPct": D("0.3")}},
        },
    ),
    "futures long": (FUTURES, {"baseOrder": "auto"}),
    "futures long, watched stop": (FUTURES, {"stopLoss": {"onExchange": "never"}}),
    "futures long, stop from the average": (
        FUTURES,
        {"stopLoss": {"reference": "average"}, "takeProfit": {"steps": STEPS}},
    ),
    "futures short": (FUTURES, {"baseOrder": "auto", "direction": "short"}),
    "futures long, recovery, lastFill": (
        FUTURES,
        {
            "recovery": RECOVERY,
            "baseOrder": "auto",
            "averaging": {**LONGER, "reference": "lastFill"},
            "takeProfit": {"steps": STEPS},
        },
    ),
    "futures short, recovery, auto": (
        FUTURES,
        {
            "recovery": {**RECOVERY, "trigger": {**RECOVERY["trigger"], "marginUsedPct": D(70)}},
            "baseOrder": "auto",
            "averaging": LONGER,
            "direction": "short",
            "takeProfit": {"trailing": {"deviationPct": D("0.3")}},
        },
    ),
}
EDITS: tuple[dict[str, object], ...] = (
    {},
    {"takeProfit": {"percent": D(2)}, "stopLoss": {"percent": D(12)}},
    {"averaging": {"maxPlaced": 1}},
    {"takeProfit": {"trailing": {"deviationPct": D("0.2")}}},
    {"takeProfit": {"trailing": None, "steps": ()}},
    {"averaging": {"firstDeviationPct": D("2.5")}, "onChange": "adopt"},
    {"baseOrder": "60 USDT", "onChange": "adopt"},
    {"averaging": {"maxOrders": 2}, "onChange": "close"},
    {"averaging": {"maxOrders": 2}, "onChange": "keep"},
    {"state": "paused"},
    {"stopLoss": {"onExchange": "never"}},
    {"stopLoss": {"confirmFor": "30s"}},
    {"stopLoss": {"percent": D(11)}},
    {"recovery": {"enabled": False}},
    {"marginLimit": "700 USDT", "baseOrder": "60 USDT"},
)


def generation(name: str, number: int) -> Setup:
    """One of the generations that the document *name* goes through."""
    kind, document = DOCUMENTS[name]
    changes = dict(document)
    for key, value in EDITS[number % len(EDITS)].items():
        old = changes.get(key)
        changes[key] = {**old, **value} if isinstance(old, dict) else value
    return setup(kind, **changes)


SETUPS = {
    name: tuple(generation(name, number) for number in range(len(EDITS))) for name in DOCUMENTS
}


# One step of a random history: what happens, and two numbers that say to what and how much.
_KINDS = (
    "tick", "tick", "tick", "accept", "accept", "fill", "fill", "part", "cancel", "cancel",
    "report", "report", "stale", "reject", "unknown", "absent", "refuse", "late", "better", "gate",
    "command", "edit", "plunge", "home", "home", "hold", "hold", "hold",
)  # fmt: skip
HISTORIES = st.lists(
    st.tuples(st.sampled_from(_KINDS), st.integers(0, 1_000), st.integers(1, 99)), max_size=70
)


def restart(venue: Venue) -> None:
    """A crash after every step: what was saved is all that is left."""
    text = KIND.dump(venue.state)
    loaded = KIND.load(text, venue.state.setup)
    assert loaded == venue.state
    assert KIND.dump(loaded) == text
    venue.state = loaded


def margin_holds(venue: Venue) -> None:
    """Invariant 1: what is held and what may rest never needs more than the deal's share."""
    view, with_setup = KIND.view(venue.state), venue.state.setup
    limit = with_setup.terms.margin_limit / with_setup.terms.max_active_deals
    assert view.margin_quote <= limit
    # By the exchange's own books, whatever the bot believes.
    orders = [
        venue.orders[place.order.client_order_id]
        for place in venue.sent
        if place.leg.kind.is_adding and place.deal_number == venue.state.deals
    ]
    spent = sum((order.cost for order in orders), D(0))
    resting = sum(
        (order.left * order.order.price for order in orders if order.status.may_rest), D(0)
    )
    assert (spent + resting) * with_setup.rates.per_notional <= limit


def one_take_profit(venue: Venue) -> None:
    """Never two take profits, or two of one step, that may fill."""
    resting = [
        place.leg.index
        for place in venue.sent
        if place.leg.kind is LegKind.TAKE_PROFIT
        and venue.orders[place.order.client_order_id].status.may_rest
    ]
    assert len(resting) == len(set(resting))


def exits_fit(venue: Venue) -> None:
    """Invariant 6: what may leave never exceeds what is held, by the exchange's own books."""
    sign = venue.state.setup.terms.sign
    assert sign * venue.held() >= 0
    if any(
        order.order.trigger_price is not None and order.filled for order in venue.orders.values()
    ):
        return  # the bot may not know yet; what only reduces takes no more than is left
    leaving = sum(
        (
            venue.orders[place.order.client_order_id].left
            for place in venue.sent
            if not place.leg.kind.is_adding
            and place.order.trigger_price is None
            and venue.orders[place.order.client_order_id].status.may_rest
        ),
        D(0),
    )
    assert leaving <= max(sign * venue.held(), D(0))


def can_be_told(venue: Venue) -> None:
    """What people are shown of a deal can always be worked out, and sells no more than is held."""
    found, view = KIND.outlook(venue.state), KIND.view(venue.state)
    if found is None:
        return
    leaving = [each for each in found.exits if each.name != "stopLoss"]
    assert all(each.price > 0 for each in (*found.exits, *found.rungs))
    if not venue.state.deal.was_stopped:
        assert sum((each.amount_base for each in leaving), D(0)) <= abs(view.position_base)


class FewOrders:
    """What V-ORDERS reckons with is never exceeded, so caps.maxOpenOrders holds."""

    def __init__(self, name: str) -> None:
        self.most = max(
            each.terms.max_placed + orders_beside_rungs(each.terms) + each.rests_stop
            for each in SETUPS[name]
        )

    def __call__(self, venue: Venue) -> None:
        resting = [
            client_order_id
            for client_order_id, order in venue.orders.items()
            if order.status is OrderStatus.OPEN
        ]
        assert len(resting) <= self.most, resting
        stops = [name for name in resting if venue.orders[name].order.trigger_price is not None]
        assert len(stops) <= 2, stops


class Averages:
    """Invariant 2: between two looks at RECOVERY no fill moved the average against the deal."""

    def __init__(self) -> None:
        self.before: tuple[str, int, Decimal] | None = None

    def __call__(self, venue: Venue) -> None:
        view, deal = KIND.view(venue.state), venue.state.deal
        now = None
        if view.state == "RECOVERY" and view.average is not None and not deal.is_winding:
            now = ("RECOVERY", deal.number, view.average)
        if now and self.before and now[:2] == self.before[:2]:
            worse = venue.state.setup.terms.sign * (now[2] - self.before[2])
            assert worse <= D("1e-20")
        self.before = now


class Beginnings:
    """Invariant 3: a deal begins in FLAT, in no other phase."""

    def __init__(self) -> None:
        self.deals = 0

    def __call__(self, venue: Venue) -> None:
        if venue.state.deals > self.deals:
            assert KIND.view(venue.state).state in {"FLAT", "MANUAL"}
        self.deals = venue.state.deals


class Reductions:
    """Invariant 4: what reductions lose stays within the budget they were decided by."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, venue: Venue) -> None:
        deal = venue.state.deal
        if deal is None:
            return
        if len(deal.reduced) > self.count:
            assert reduced_loss(deal) <= budget_of(deal, venue.state.setup)
        self.count = len(deal.reduced)


def result_is_cash(venue: Venue) -> None:
    """What closed deals report is what the account gained, fees in quote in."""
    results = {
        action.number: action.result_quote
        for action in venue.actions
        if isinstance(action, DealClosed)
    }
    for number, result in results.items():
        cash = D(0)
        for place in venue.sent:
            if place.deal_number == number:
                order = venue.orders[place.order.client_order_id]
                sign = -1 if place.order.side == "buy" else 1
                cash += sign * order.cost - order.fees.get("USDT", D(0))
        assert result == cash


def play(venue: Venue, name: str, history: list[tuple[str, int, int]]) -> None:
    for what, pick, size in history:
        ids = list(venue.orders)
        chosen = ids[pick % len(ids)] if ids else None
        order = venue.orders[chosen] if chosen is not None else None
        match what:
            case "tick":
                venue.tick(
                    (venue.price * D(9_700 + pick % 601) / D(10_000)).quantize(D("0.01")),
                    after_ms=size * 1_000,
                )
            case "plunge" if venue.state.deal is not None:  # to the stop and beyond
                start = venue.state.deal.base.price
                fall = D(90 - size % 5) if venue.state.setup.terms.sign > 0 else D(112)
                venue.tick((start * fall / 100).quantize(D("0.01")), after_ms=size * 1_000)
            case "home" if venue.state.deal is not None:
                venue.tick(venue.state.deal.base.price, after_ms=size * 1_000)
            case "gate":
                venue.gate((Gate.OPEN, Gate.OPEN, Gate.EXITS_ONLY, Gate.SHUT)[pick % 4])
            case "command":
                venue.command(
                    tuple(Command)[pick % (len(Command) - 1)]
                )  # abandoning is tested by itself
            case "edit":
                generations = SETUPS[name]
                before = venue.phase()
                venue.tell(SetupChanged(generations[pick % len(generations)], venue.now_ms))
                # Invariant 5: an edit may close a deal, but it brings none back to trading.
                if before in {"RECOVERY", "HALTED"}:
                    assert venue.phase() in {before, "HALTING"}
                if before == "COOLDOWN" and venue.state.at_ms < venue.state.rest_until_ms:
                    assert venue.phase() == "COOLDOWN"
            case "hold" if venue.state.deal is not None:  # long enough to be confirmed
                start, fall = (
                    venue.state.deal.base.price,
                    D(size % 6) * venue.state.setup.terms.sign,
                )
                for _ in range(6):
                    venue.tick((start * (100 - fall) / 100).quantize(D("0.01")), after_ms=15_000)
                    if pick % 2:
                        venue.settle()
            case _ if order is None or chosen is None:
                pass
            case "accept":
                venue.accept(chosen)
                venue.report(chosen)
            case "fill" | "part" if order.status is OrderStatus.OPEN:
                part = order.order.amount_base * D(size) / D(100) if what == "part" else None
                step = venue.state.setup.market.amount_step
                venue.fill(chosen, part and (part / step).to_integral_value() * step)
                if pick % 2:
                    venue.report(chosen)
            case "cancel":
                known = venue.state.deal and venue.state.deal.named(chosen)
                if known and known.cancels:
                    venue.cancel(chosen)
                    venue.report(chosen)
            case "better" if order.status is OrderStatus.OPEN and not order.order.is_post_only:
                # What takes from the book may meet a better price than it asked for.
                sign = 1 if order.order.side is Side.SELL else -1
                better = order.order.price * (10_000 + sign * size * 3) / 10_000
                venue.fill(chosen, at=better.quantize(D("0.01")))
                venue.report(chosen)
            case "late" if order.status is OrderStatus.OPEN:  # the cancel loses against the fill
                venue.fill(chosen)
                venue.report(chosen)
            case "report":
                venue.report(chosen)
            case "stale":
                if venue.events:
                    venue.tell(venue.events[pick % len(venue.events)])
            case "reject" | "absent" if order.status is OrderStatus.INTENDED:
                venue.reject(
                    chosen, OrderStatus.REJECTED if what == "reject" else OrderStatus.ABSENT
                )
                venue.report(chosen)
            case "unknown" if order.status is OrderStatus.INTENDED:
                order.status = OrderStatus.UNKNOWN
                venue.report(chosen)
            case "refuse" if order.status is OrderStatus.OPEN and size < 10:
                venue.cancel(chosen)  # the exchange ended it by itself
                venue.report(chosen)


def converge(venue: Venue, name: str) -> None:
    """Faults off: an honest exchange, an open gate, the first document, time for every back-off."""
    venue.gate(Gate.OPEN)
    venue.tell(SetupChanged(SETUPS[name][0], venue.now_ms))
    venue.command(Command.RESUME)
    for client_order_id in list(venue.orders):
        venue.accept(client_order_id)
        venue.report(client_order_id)
    for _ in range(5):
        venue.run(venue.price, after_ms=400_000)
    venue.command(Command.CLOSE)
    for _ in range(5):
        venue.run(venue.price, after_ms=400_000)


@pytest.mark.parametrize("name", SETUPS)
@pytest.mark.parametrize("fee_in", ["USDT", "BTC", "KCS"])
@given(history=HISTORIES)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_history_breaks_an_invariant_and_every_history_ends_flat(
    name: str, fee_in: str, history: list[tuple[str, int, int]]
) -> None:
    venue = Venue.start(
        SETUPS[name][0], fee_in=fee_in if "spot" in name else "USDT", doubts_quiet=True
    )
    venue.checks = [
        restart,
        margin_holds,
        one_take_profit,
        exits_fit,
        can_be_told,
        result_is_cash,
        FewOrders(name),
        Averages(),
        Beginnings(),
        Reductions(),
    ]
    play(venue, name, history)
    converge(venue, name)
    assert not any(order.status.may_rest for order in venue.orders.values())
    assert KIND.view(venue.state).position_base == 0
    assert abs(venue.held()) * venue.price < venue.state.setup.market.cost_min * max(
        venue.state.deals, 1
    )


@given(
    st.lists(st.tuples(st.sampled_from([80, 89, 90, 91, 95, 100]), st.integers(1, 40)), max_size=40)
)
@settings(max_examples=100)
def test_only_a_price_beyond_the_stop_all_through_confirm_for_stops_a_deal(
    path: list[tuple[int, int]],
) -> None:
    venue = Venue.start(setup(averaging={"maxOrders": 0}, stopLoss={"confirmFor": "60s"}))
    venue.run(100)
    beyond_since: int | None = None
    for price, seconds in path:
        venue.tick(price, after_ms=seconds * 1_000)
        if price > 90:  # the stop is at 90.27
            beyond_since = None
        elif beyond_since is None:
            beyond_since = venue.now_ms
        is_confirmed = beyond_since is not None and venue.now_ms - beyond_since >= 60_000
        assert (venue.phase() == "HALTING") is is_confirmed
        if is_confirmed:
            return


@given(history=HISTORIES)
@settings(max_examples=60)
def test_replaying_every_order_report_changes_nothing(
    history: list[tuple[str, int, int]],
) -> None:
    venue = Venue.start(SETUPS["spot long"][0])
    play(venue, "spot long", history)
    before = venue.state
    for event in [event for event in venue.events if hasattr(event, "client_order_id")]:
        step = KIND.step(before, replace(event, at_ms=before.at_ms))  # told again now
        assert step.state.deal == before.deal
        assert not [action for action in step.actions if isinstance(action, Place)]


WALKS = st.lists(st.tuples(st.integers(-90, 80), st.integers(1, 8)), min_size=10, max_size=60)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in DOCUMENTS if "recovery" in name])
@given(walk=WALKS)
@settings(max_examples=60)
def test_no_walk_of_prices_through_recovery_breaks_an_invariant(
    name: str, walk: list[tuple[int, int]]
) -> None:
    """An honest exchange and a restart after every step; each price holds for a while."""
    venue = Venue.start(SETUPS[name][0], doubts_quiet=True)
    venue.checks = [
        restart,
        margin_holds,
        one_take_profit,
        exits_fit,
        can_be_told,
        result_is_cash,
        FewOrders(name),
        Averages(),
        Beginnings(),
        Reductions(),
    ]
    venue.run(100)
    sign = venue.state.setup.terms.sign
    price = D(97) if sign > 0 else D(103)
    for hundredths, ticks in walk:
        price = (price * (10_000 + hundredths) / 10_000).quantize(D("0.01"))
        venue.run(*[price] * ticks, after_ms=15_000)
    venue.command(Command.CLOSE)
    venue.settle()
    assert venue.is_flat()


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    prices=st.lists(
        st.tuples(
            st.decimals(D(88), D(112), places=1),
            st.sampled_from([0, 1_000, 60_000, 299_000, 301_000]),
        ),
        min_size=2,
        max_size=25,
    ),
    start=st.sampled_from([(), (D(100),), (D(100), D("97.9"))]),
)
def test_prices_within_the_band_may_be_remembered_together(
    name: str, prices: list[tuple[Decimal, int]], start: tuple[Decimal, ...]
) -> None:
    kind, document = DOCUMENTS[name]
    venue = Venue.start(setup(kind, **document))
    venue.run(*start)
    each = skipped = venue.state
    waiting: list[tuple[Decimal, int]] = []
    at_ms, band = venue.state.at_ms, KIND.band(skipped)
    for price, passed_ms in prices:
        before_ms, at_ms = at_ms, at_ms + passed_ms
        event = PriceSeen(price, at_ms)
        step = KIND.step(each, event)
        if (
            band is not None
            and band.low < price < band.high
            and band.seen_ms <= at_ms < band.until_ms
            and at_ms - (before_ms if waiting else band.seen_ms) <= band.gap_ms
            and not band.wants_room
        ):
            assert step.actions == ()
            waiting = [*(waiting if band.each_counts else ()), (price, at_ms)]
        else:
            skipped = KIND.remember(skipped, waiting) if waiting else skipped
            again = KIND.step(skipped, event)
            assert again.actions == step.actions
            skipped, waiting = again.state, []
            band = KIND.band(skipped)
        each = step.state
    assert (KIND.remember(skipped, waiting) if waiting else skipped) == each
