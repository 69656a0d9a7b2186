"""Proofs that a strategy's worst case fits: the V-rules, as pure functions.

`validate` runs them on assumed market rules, `ladder` on a price somebody named, the daemon on the
exchange's own rules, and a bot once more at the price it is about to open at: one set of rules,
four users. Without a price everything is relative to a start of 100; only what depends on ticks,
steps and minimum amounts waits for a price then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Final

from backfuturectl.model.market import HUNDRED, ONE, ZERO, MarketKind
from backfuturectl.model.resources import StrategySpec
from backfuturectl.strategy.arithmetic import (
    Grid,
    MarginRates,
    Rung,
    gap_pct,
    improvement_pct,
    ladder,
    largest_base,
    loss_at,
    notional,
    precisely,
    prices,
    sizes_quote,
    stop_price,
)
from backfuturectl.strategy.assumptions import MarketRules
from backfuturectl.strategy.presets import Terms
from backfuturectl.strategy.violation import Severity, Violation, figure

RELATIVE_START: Final = HUNDRED
"""The start price where none is known."""


JUMP_PCT: Final = Decimal(50)
"""How far a price may jump while a base order is on its way, for all that is counted on."""


@dataclass(frozen=True, slots=True)
class WorstCase:
    """Every deal of a strategy with its whole ladder filled.

    Attributes:
        margin: W_strategy, quote.
        limit: marginLimit, quote.
        loss_at_stop: All deals stopped, fees in, quote.
    """

    margin: Decimal
    limit: Decimal
    loss_at_stop: Decimal

    @property
    def fits(self) -> bool:
        """Whether V-MARGIN holds."""
        return self.margin <= self.limit


def rates_of(terms: Terms, rules: MarketRules) -> MarginRates:
    """Return what notional costs under *terms*; only isolated futures can be liquidated."""
    can_liquidate = terms.market_kind is MarketKind.FUTURES and terms.margin_mode == "isolated"
    return MarginRates(
        leverage=terms.leverage,
        taker_fee=rules.taker_fee,
        maintenance_margin=rules.maintenance_margin if can_liquidate else None,
        funding_reserve=rules.funding_reserve,
    )


def base_quote_of(terms: Terms, rules: MarketRules) -> Decimal:
    """Return the base order's size: as written, or the largest that fits for ``auto``."""
    if terms.base_quote is not None:
        return terms.base_quote
    return largest_base(
        terms.shape,
        margin_limit=terms.margin_limit,
        max_active_deals=terms.max_active_deals,
        rates=rates_of(terms, rules),
        extra_orders=terms.extra_orders,
    )


def rests_stop(terms: Terms, rules: MarketRules) -> bool:
    """Return whether the stop waits on the exchange; otherwise it is watched here."""
    return terms.wants_resting_stop and rules.stop_orders_max > 0


def orders_beside_rungs(terms: Terms) -> int:
    """Return how many orders of one deal may rest beside its rungs.

    The take profit, in its steps or with a reduction of Recovery Mode, and the stop, or instead of
    that one more exit while the deal closes.
    """
    return max(len(terms.steps), 1 if terms.recovery.reduce is None else 2) + 1


def rungs_under_cap(terms: Terms, rules: MarketRules, deals: int) -> int | None:
    """Return how many rungs caps.maxOpenOrders lets each of *deals* have resting; None: any number.

    A stop that is replaced rests beside its successor for a moment, so that the position is never
    without one; that place is kept free, and the cap holds then, too.
    """
    if terms.max_open_orders is None:
        return None
    kept_free = orders_beside_rungs(terms) + rests_stop(terms, rules)
    return max(terms.max_open_orders // deals - kept_free, 0)


@precisely
def gives_way(terms: Terms, rates: MarginRates, base_quote: Decimal) -> bool:
    """Return whether a deal's share has room for a base order that fills after a jump.

    What rungs then have less of was never needed for the base order alone.
    """
    room_quote = terms.margin_limit / terms.max_active_deals / rates.per_notional
    return base_quote * (ONE + JUMP_PCT / HUNDRED) <= room_quote


def ladder_of(
    terms: Terms, rules: MarketRules, *, start: Decimal, is_rounded: bool
) -> tuple[Rung, ...]:
    """Return the rung table of one deal that opens at *start*."""
    return ladder(
        terms.shape,
        base_quote=base_quote_of(terms, rules),
        start=start,
        take_profit_pct=terms.target_pct,
        rates=rates_of(terms, rules),
        grid=rules.grid if is_rounded else Grid(),
    )


@precisely
def worst_case(terms: Terms, rules: MarketRules) -> WorstCase:
    """Return what *terms* can cost at most; exact, so never less than any rounded ladder."""
    return _worst(terms, rules, ladder_of(terms, rules, start=RELATIVE_START, is_rounded=False))


@precisely
def margin_of(terms: Terms, rules: MarketRules) -> Decimal:
    """Return W_strategy: what all deals need with their ladders and extra orders filled, quote."""
    total = notional(terms.shape, base_quote_of(terms, rules), terms.extra_orders)
    return terms.max_active_deals * total * rates_of(terms, rules).per_notional


def _worst(terms: Terms, rules: MarketRules, exact: tuple[Rung, ...]) -> WorstCase:
    base = base_quote_of(terms, rules)
    # Of the sizes, not of the rungs: those end where prices do.
    planned = notional(terms.shape, base)
    total = notional(terms.shape, base, terms.extra_orders)
    # Orders beyond the ladder fill beyond its last rung; there they would lose the most.
    average = exact[-1].average
    if total > planned:
        average = total / (planned / average + (total - planned) / exact[-1].price)
    loss = loss_at(
        _stop_at(terms, average=exact[-1].average, start=exact[0].price),
        terms.sign,
        total_quote=total,
        average=average,
        taker_fee=rules.taker_fee,
    )
    return WorstCase(
        margin=margin_of(terms, rules),
        limit=terms.margin_limit,
        loss_at_stop=terms.max_active_deals * loss,
    )


@precisely
def prove(
    terms: Terms, rules: MarketRules, *, start: Decimal | None = None
) -> tuple[Violation, ...]:
    """Return every rule that *terms* break; *start* is the price a deal would open at, if known.

    What `prove_at` finds at a price is among it.
    """
    last = prices(terms.shape, RELATIVE_START)[-1]
    if last <= 0:  # nothing else has a meaning without prices
        reach = figure(HUNDRED - last)
        return (
            Violation(
                "V-RANGE",
                ("spec", "averaging", "stepScale"),
                f"rung {terms.shape.max_orders} would lie {reach}% below the base order, where no "
                "price is",
                "lower firstDeviationPct, stepScale or maxOrders",
            ),
        )
    terms = replace(terms, base_quote=base_quote_of(terms, rules))
    exact = ladder_of(terms, rules, start=start or RELATIVE_START, is_rounded=False)
    rounded = ladder_of(terms, rules, start=start, is_rounded=True) if start is not None else exact
    if start is not None and not rounded:
        return _below_tick(rules, start)
    worst = _worst(terms, rules, exact)
    return (
        *_margin(terms, rules, worst),
        *_minimum(terms, rules, rounded, is_priced=start is not None),
        *_range(terms, rules, rounded, is_priced=start is not None),
        *_liquidation(terms, rules, rounded),
        *_stop(terms, rounded),
        *_daily_loss(terms, worst),
        *_take_profit(terms, rules),
        *_improvement(terms, rounded),
        *_recovery(terms, exact),
        *_orders(terms, rules),
    )


@precisely
def prove_at(terms: Terms, rules: MarketRules, start: Decimal) -> tuple[Violation, ...]:
    """Return those broken rules of `prove` at *start* that ticks, steps and minima decide.

    For *terms* that `prove` has passed: what no price changes is not proven again.
    """
    rungs = ladder_of(terms, rules, start=start, is_rounded=True)
    if not rungs:
        return _below_tick(rules, start)
    return (
        *_minimum(terms, rules, rungs, is_priced=True),
        *_range(terms, rules, rungs, is_priced=True),
        *_liquidation(terms, rules, rungs),
        *_stop(terms, rungs),
        *_improvement(terms, rungs),
    )


def prove_account(
    shares: Mapping[str, Decimal], *, capital: Decimal, currency: str
) -> tuple[Violation, ...]:
    """Return V-ACCOUNT's violation: *shares* are W by strategy name, long and short alike."""
    total = sum(shares.values(), ZERO)
    if total <= capital:
        return ()
    parts = ", ".join(f"{name} {figure(share)}" for name, share in sorted(shares.items()))
    return (
        Violation(
            "V-ACCOUNT",
            ("spec", "capital"),
            f"the strategies on this connection need {figure(total)} {currency} at worst "
            f"({parts}), but its capital is {figure(capital)} {currency}",
            "lower marginLimit or baseOrder of a strategy, or declare more capital",
        ),
    )


def watched(spec: StrategySpec, rules: MarketRules) -> tuple[Violation, ...]:
    """Return a warning where the stop is watched although the file lets it rest.

    Where a market offers no stop orders that is told only of a file that names them: `describe`
    of the rules says it of every market.
    """
    stop = spec.stop_loss
    is_named = "on_exchange" in stop.model_fields_set
    if stop.on_exchange != "preferred":
        return ()
    if rules.stop_orders_max and stop.confirm_for:
        why = "it is to be confirmed, and an exchange would set it off at the first touch"
    elif is_named and not rules.stop_orders_max:
        why = rules.why_watched
    else:
        return ()
    return (
        Violation(
            "V-RESTING",
            ("spec", "stopLoss", "onExchange" if is_named else "confirmFor"),
            f"the stop loss is watched by the daemon and does not rest on the exchange: {why}",
            "write `onExchange: never` to say so"
            + (", or remove `confirmFor`" if stop.confirm_for else ""),
            Severity.WARNING,
        ),
    )


def _stop_at(terms: Terms, *, average: Decimal, start: Decimal) -> Decimal:
    return stop_price(
        terms.sign,
        stop_pct=terms.stop_pct,
        reference=terms.stop_reference,
        start=start,
        average=average,
    )


def _margin(terms: Terms, rules: MarketRules, worst: WorstCase) -> Iterator[Violation]:
    if not worst.fits:
        largest = largest_base(
            terms.shape,
            margin_limit=terms.margin_limit,
            max_active_deals=terms.max_active_deals,
            rates=rates_of(terms, rules),
            extra_orders=terms.extra_orders,
        )
        yield Violation(
            "V-MARGIN",
            ("spec", "baseOrder"),
            f"the worst case needs {figure(worst.margin, 8)} {terms.quote}, but marginLimit is "
            f"{figure(worst.limit, 8)} {terms.quote}",
            f"lower baseOrder to {figure(largest)} {terms.quote} or less, or raise marginLimit",
        )
    biggest = max(sizes_quote(terms.shape, base_quote_of(terms, rules)))
    if terms.max_order_notional is not None and biggest > terms.max_order_notional:
        yield Violation(
            "V-MARGIN",
            ("spec", "caps", "maxOrderNotional"),
            f"the largest order is {figure(biggest)} {terms.quote}, above the cap of "
            f"{figure(terms.max_order_notional)} {terms.quote}",
            "lower baseOrder, volumeScale or maxOrders, or raise the cap",
        )
    base, rates = base_quote_of(terms, rules), rates_of(terms, rules)
    if worst.fits and terms.entry_type == "market" and not gives_way(terms, rates, base):
        room = terms.margin_limit / terms.max_active_deals / rates.per_notional
        yield Violation(
            "V-MARGIN",
            ("spec", "entry", "orderType"),
            f"a base order at market costs what the price has jumped to by then: of "
            f"{figure(base)} {terms.quote} it may become {figure(JUMP_PCT)}% more, but marginLimit "
            f"lets a deal hold {figure(room)} {terms.quote}",
            f"write `orderType: limit`, lower baseOrder to "
            f"{figure(room / (ONE + JUMP_PCT / HUNDRED))} {terms.quote} or less, or raise "
            "marginLimit",
        )


def _minimum(
    terms: Terms, rules: MarketRules, rungs: Iterable[Rung], *, is_priced: bool
) -> Iterator[Violation]:
    for rung in rungs:
        is_small = rung.size_quote < rules.cost_min or rung.size_quote <= 0
        if is_priced and rules.amount_min is not None:
            is_small = is_small or rung.amount_base < rules.amount_min
        if is_priced and rules.amount_step is not None:
            is_small = is_small or rung.amount_base < rules.amount_step
        if is_small:
            name = f"rung {rung.k}" if rung.k else "the base order"
            needed = f"{figure(rules.cost_min)} {terms.quote}"
            if rules.amount_min is not None:
                needed += f" and {figure(rules.amount_min, 12)} in base units"
            amount = f" ({figure(rung.amount_base, 12)} in base units)" if is_priced else ""
            yield Violation(
                "V-MIN",
                ("spec", "baseOrder"),
                f"{name} is {figure(rung.size_quote)} {terms.quote}{amount}, below the exchange's "
                f"minimum of {needed}",
                "raise baseOrder or marginLimit, or lower maxActiveDeals or maxOrders",
            )
            return  # the smallest one says enough


def _range(
    terms: Terms, rules: MarketRules, rungs: tuple[Rung, ...], *, is_priced: bool
) -> Iterator[Violation]:
    if not is_priced or rules.price_tick is None:
        return
    path = ("spec", "averaging", "stepScale")
    for one, two in pairwise(rungs):
        if terms.sign * (one.price - two.price) <= 0 or two.price <= 0:
            yield Violation(
                "V-RANGE",
                path,
                f"rungs {one.k} and {two.k} fall onto one price, {figure(two.price, 12)}, with the "
                f"market's tick of {figure(rules.price_tick, 12)}",
                "raise firstDeviationPct",
            )
            return
    if len(rungs) <= terms.shape.max_orders:
        yield Violation(
            "V-RANGE",
            path,
            f"rung {len(rungs)} has no price left after rounding to the tick",
            "lower firstDeviationPct, stepScale or maxOrders",
        )


def _below_tick(rules: MarketRules, start: Decimal) -> tuple[Violation, ...]:
    return (
        Violation(
            "V-RANGE",
            ("spec", "averaging"),
            f"the price of {figure(start, 12)} is below the market's tick of "
            f"{figure(rules.price_tick or ZERO, 12)}, so that no order can be placed there",
            "trade another pair",
        ),
    )


def _liquidation(terms: Terms, rules: MarketRules, rungs: tuple[Rung, ...]) -> Iterator[Violation]:
    if rungs[-1].liquidation is None:
        return  # nor has any other one
    buffer_pct = terms.liquidation_buffer_pct
    tier_max = rules.tier_max_quote
    whole = notional(terms.shape, base_quote_of(terms, rules), terms.extra_orders)
    if tier_max is not None and whole > tier_max:
        yield Violation(
            "V-LIQ",
            ("spec", "marginLimit"),
            f"the full ladder of {figure(whole)} {terms.quote} exceeds the exchange's first risk "
            f"tier of {figure(tier_max)} {terms.quote}; beyond it the exchange refuses orders, or "
            "asks for more maintenance margin than is counted here",
            "lower marginLimit or leverage, or raise maxActiveDeals",
        )
    for rung, following in pairwise((*rungs, None)):
        if rung is None or rung.liquidation is None:
            return
        if following is not None:
            goal, name = following.price, f"rung {following.k}"
        else:
            goal = _stop_at(terms, average=rung.average, start=rungs[0].price)
            name = "the stop"
        gap = gap_pct(goal, rung.liquidation, terms.sign)
        if gap < buffer_pct:
            where = "beyond" if gap >= 0 else "before"
            yield Violation(
                "V-LIQ",
                ("spec", "leverage"),
                f"after rung {rung.k} the position is liquidated at {figure(rung.liquidation, 4)}, "
                f"{figure(abs(gap), 2)}% {where} {name} at {figure(goal, 4)}; needed are "
                f"{figure(buffer_pct)}% beyond it",
                "lower leverage or the ladder's reach, or bring the stop nearer",
            )
            return


def _stop(terms: Terms, rungs: tuple[Rung, ...]) -> Iterator[Violation]:
    for rung, following in pairwise((*rungs, rungs[-1])):
        stop = _stop_at(terms, average=rung.average, start=rungs[0].price)
        if stop <= 0 or terms.sign * (following.price - stop) <= 0:
            yield Violation(
                "V-STOP",
                ("spec", "stopLoss", "percent"),
                f"the stop at {figure(stop, 4)} does not lie beyond rung {following.k} at "
                f"{figure(following.price, 4)} (start {figure(rungs[0].price, 4)})",
                "raise stopLoss.percent, or lower the ladder's reach",
            )
            return


def _daily_loss(terms: Terms, worst: WorstCase) -> Iterator[Violation]:
    if terms.max_daily_loss_pct is None:
        return
    allowed = terms.margin_limit * terms.max_daily_loss_pct / HUNDRED
    if worst.loss_at_stop > allowed:
        yield Violation(
            "V-STOP",
            ("spec", "caps", "maxDailyRealisedLossPct"),
            f"all deals stopped lose {figure(worst.loss_at_stop)} {terms.quote}, more than the "
            f"{figure(allowed)} {terms.quote} allowed in a day",
            "lower marginLimit or stopLoss.percent, or raise the cap",
            Severity.WARNING,
        )


def _take_profit(terms: Terms, rules: MarketRules) -> Iterator[Violation]:
    fees_pct = 2 * rules.taker_fee * HUNDRED
    kept_pct = min(_kept_pct(terms))
    if kept_pct < fees_pct:
        yield Violation(
            "V-TP",
            ("spec", "takeProfit", "steps" if terms.steps else "percent"),
            f"the take profit keeps {figure(kept_pct)}%, less than the {figure(fees_pct)}% that "
            "two taker fees cost",
            "raise takeProfit.percent" if not terms.steps else "raise profitPct",
        )
    for (_, near), (_, far) in pairwise(terms.steps):
        if far <= near:
            yield Violation(
                "V-TP",
                ("spec", "takeProfit", "steps"),
                f"the step at {figure(far)}% comes after the one at {figure(near)}%, but is not "
                "beyond it",
                "order the steps by profitPct, each above the one before",
            )
            break
    shares = sum((share for share, _ in terms.steps), ZERO)
    if terms.steps and shares != HUNDRED:
        yield Violation(
            "V-TP",
            ("spec", "takeProfit", "steps"),
            f"the steps' shares sum to {figure(shares)}%, not to 100%",
            "change sharePct so that the whole position leaves",
        )
    recovery_pct = terms.recovery.take_profit_pct if terms.recovery.is_enabled else None
    if recovery_pct is not None and recovery_pct < fees_pct:
        yield Violation(
            "V-TP",
            ("spec", "recovery", "actions", "takeProfitPct"),
            f"the recovery take profit of {figure(recovery_pct)}% is less than "
            f"the {figure(fees_pct)}% that two taker fees cost",
            "raise recovery.actions.takeProfitPct",
        )


def _kept_pct(terms: Terms) -> Iterator[Decimal]:
    """Yield what each part of the take profit wins at least, fees not counted."""
    resting = [profit for _, profit in terms.steps] or [terms.target_pct]
    if terms.trailing_pct is not None:
        touched, turn = ONE + terms.sign * resting.pop() / HUNDRED, terms.trailing_pct / HUNDRED
        yield terms.sign * HUNDRED * (touched * (ONE - terms.sign * turn) - ONE)
    yield from resting


def _improvement(terms: Terms, rungs: tuple[Rung, ...]) -> Iterator[Violation]:
    for before, after in pairwise(rungs):
        improvement = improvement_pct(before.average, after.average, terms.sign)
        if improvement < terms.min_improvement_pct:
            yield Violation(
                "V-IMPROVE",
                ("spec", "averaging", "minAverageImprovementPct"),
                f"rung {after.k} improves the average by {figure(improvement)}%, less than "
                f"{figure(terms.min_improvement_pct)}%",
                "raise firstDeviationPct or firstSizeRatio, or lower minAverageImprovementPct",
            )
            return


def _recovery(terms: Terms, exact: tuple[Rung, ...]) -> Iterator[Violation]:
    recovery = terms.recovery
    base_pct, limit_pct = ZERO, recovery.margin_used_pct
    if exact[-1].total_quote:  # a ladder of nothing is refused by the other rules
        base_pct = HUNDRED * exact[0].total_quote / exact[-1].total_quote
    if recovery.is_enabled and limit_pct is not None and base_pct >= limit_pct:
        yield Violation(
            "V-RECOVERY",
            ("spec", "recovery", "trigger", "marginUsedPct"),
            f"the base order alone is {figure(base_pct, 2)}% of a deal's margin, at or above the "
            f"trigger of {figure(limit_pct)}%: every deal is in Recovery Mode from its beginning",
            "raise marginUsedPct or maxOrders, or write `recovery: {enabled: false}`",
            Severity.WARNING,
        )
    if not recovery.is_enabled or recovery.drawdown_pct is None or recovery.escalate_pct is None:
        return
    average = exact[-1].average
    stop = _stop_at(terms, average=average, start=exact[0].price)
    order = (
        ("exit drawdown", recovery.exit_drawdown_pct),
        ("trigger", recovery.drawdown_pct),
        ("escalation", recovery.escalate_pct),
        ("distance of the stop from the full ladder's average", gap_pct(average, stop, terms.sign)),
    )
    for (name, value), (next_name, next_value) in pairwise(order):
        if value >= next_value:
            yield Violation(
                "V-RECOVERY",
                ("spec", "recovery"),
                f"{name} {figure(value)}% is not below {next_name} {figure(next_value)}%",
                "order them: exit drawdown < trigger < escalation < distance of the stop",
            )


def _orders(terms: Terms, rules: MarketRules) -> Iterator[Violation]:
    each = terms.max_placed + orders_beside_rungs(terms)
    # Exchanges count stops apart, so that a stop's successor finds room there in any case.
    for limit, more, whose, path in (
        (rules.open_orders_max, 0, "the exchange's", ("averaging", "maxPlaced")),
        (terms.max_open_orders, rests_stop(terms, rules), "the cap's", ("caps", "maxOpenOrders")),
    ):
        needed = terms.max_active_deals * (each + more)
        if limit is not None and needed > limit:
            yield Violation(
                "V-ORDERS",
                ("spec", *path),
                f"{terms.max_active_deals} deals may have {needed} open orders, above {whose} "
                f"limit of {limit}",
                "lower maxPlaced or maxActiveDeals",
            )
