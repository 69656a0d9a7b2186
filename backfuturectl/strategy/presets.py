"""Risk presets, and a Strategy document with every setting given.

A preset fills only what the file leaves out. What it cannot fill (``risk: custom``) is an error
that names the fields, never a value from somewhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

from backfuturectl.model.candles import Rsi
from backfuturectl.model.market import HUNDRED, ZERO, MarketKind
from backfuturectl.model.resources import Direction, Risk, RsiEntry, StrategySpec
from backfuturectl.model.units import Money, Share
from backfuturectl.strategy.arithmetic import LadderShape
from backfuturectl.strategy.violation import IncompleteTermsError, Violation

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Preset:
    """One column of the preset table.

    Attributes:
        liquidation_buffer_pct: How far liquidation must lie beyond the next rung and the stop.
        margin_limit_pct: Of the connection's declared capital.
    """

    leverage: int
    first_deviation_pct: Decimal
    step_scale: Decimal
    first_size_ratio: Decimal
    volume_scale: Decimal
    max_orders: int
    take_profit_pct: Decimal
    stop_pct: Decimal
    liquidation_buffer_pct: Decimal
    max_active_deals: int
    margin_limit_pct: Decimal
    recovery_drawdown_pct: Decimal
    recovery_margin_used_pct: Decimal
    recovery_averaging_used_pct: Decimal
    recovery_take_profit_pct: Decimal
    recovery_escalate_pct: Decimal


# Of the specification's table, trailing deviations are not here: a file without `trailing` means a
# resting limit order, and one with it names its deviation.
PRESETS: Final[dict[Risk, Preset]] = {
    Risk.CONSERVATIVE: Preset(
        leverage=2,
        first_deviation_pct=Decimal("2.0"),
        step_scale=Decimal("1.30"),
        first_size_ratio=Decimal("1.0"),
        volume_scale=Decimal("1.10"),
        max_orders=5,
        take_profit_pct=Decimal("1.2"),
        stop_pct=Decimal(25),
        liquidation_buffer_pct=Decimal(20),
        max_active_deals=2,
        margin_limit_pct=Decimal(20),
        recovery_drawdown_pct=Decimal(6),
        recovery_margin_used_pct=Decimal(60),
        recovery_averaging_used_pct=Decimal(60),
        recovery_take_profit_pct=Decimal("0.6"),
        recovery_escalate_pct=Decimal(15),
    ),
    Risk.BALANCED: Preset(
        leverage=3,
        first_deviation_pct=Decimal("1.5"),
        step_scale=Decimal("1.35"),
        first_size_ratio=Decimal("1.0"),
        volume_scale=Decimal("1.25"),
        max_orders=6,
        take_profit_pct=Decimal("1.0"),
        stop_pct=Decimal(25),
        liquidation_buffer_pct=Decimal(15),
        max_active_deals=3,
        margin_limit_pct=Decimal(35),
        recovery_drawdown_pct=Decimal(8),
        recovery_margin_used_pct=Decimal(75),
        recovery_averaging_used_pct=Decimal(80),
        recovery_take_profit_pct=Decimal("0.4"),
        recovery_escalate_pct=Decimal(12),
    ),
    Risk.AGGRESSIVE: Preset(
        leverage=5,
        first_deviation_pct=Decimal("1.0"),
        step_scale=Decimal("1.40"),
        first_size_ratio=Decimal("1.0"),
        volume_scale=Decimal("1.40"),
        max_orders=6,
        take_profit_pct=Decimal("0.8"),
        stop_pct=Decimal(18),
        liquidation_buffer_pct=Decimal(8),
        max_active_deals=5,
        margin_limit_pct=Decimal(50),
        recovery_drawdown_pct=Decimal(6),
        recovery_margin_used_pct=Decimal(65),
        recovery_averaging_used_pct=Decimal(80),
        recovery_take_profit_pct=Decimal("0.3"),
        recovery_escalate_pct=Decimal("7.5"),
    ),
}

RSI_OVERSOLD: Final = Decimal(30)
RSI_OVERBOUGHT: Final = Decimal(70)
"""Wilder's own levels, and every chart's."""

CUSTOM_LIQUIDATION_BUFFER_PCT: Final = Decimal(8)
"""No field sets the buffer; without a preset the mildest preset's counts."""


@dataclass(frozen=True, slots=True)
class ReduceTerms:
    """How Recovery Mode may realise a small loss on a rebound.

    Attributes:
        close_pct: Of the position, at a time.
        rebound_pct: Rise from the worst price that it waits for.
        loss_budget_pct: Most loss realised this way, of the margin of the deal's whole ladder.
    """

    close_pct: Decimal
    rebound_pct: Decimal
    min_interval_ms: int
    loss_budget_pct: Decimal


@dataclass(frozen=True, slots=True)
class RecoveryTerms:
    """Recovery Mode with every setting given.

    They exist even where it is switched off: a deal that is in Recovery Mode when the file
    switches it off stays there, and leaves by these.

    Attributes:
        drawdown_pct: Trigger; None where nothing names one, so that it never fires.
        margin_used_pct: Trigger, of what the deal's whole ladder costs; None likewise.
        averaging_used_pct: Trigger, rungs filled of all; None likewise.
        is_manual: The file itself asks for Recovery Mode.
        ema_span_ms: Time constant of the smoothed price.
        is_adding: Whether the ladder may go on under the strict conditions.
        extra_orders: Add-ons beyond the ladder.
        take_profit_pct: None keeps the deal's own target.
        reduce: None when switched off.
        escalate_pct: None where nothing names one: only `max_duration_ms` gives up then.
        window_count: Escalations within `window_ms` beyond which the bot halts.
    """

    is_enabled: bool
    drawdown_pct: Decimal | None
    margin_used_pct: Decimal | None
    averaging_used_pct: Decimal | None
    underwater_ms: int
    is_manual: bool
    confirm_ms: int
    ema_span_ms: int
    is_adding: bool
    min_improvement_pct: Decimal
    min_spacing_pct: Decimal
    min_interval_ms: int
    extra_orders: int
    take_profit_pct: Decimal | None
    reduce: ReduceTerms | None
    exit_drawdown_pct: Decimal
    exit_margin_used_pct: Decimal
    exit_confirm_ms: int
    escalate_pct: Decimal | None
    max_duration_ms: int
    cooldown_ms: int
    window_count: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class RsiTerms:
    """When a reading of the relative strength index lets a deal begin.

    Attributes:
        is_below: At or below *threshold*; at or above it otherwise.
    """

    indicator: Rsi
    threshold: Decimal
    is_below: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """A Strategy document with every setting given.

    Attributes:
        market_kind: Of the Connection.
        margin_mode: None on spot.
        base_quote: None for ``auto``.
        margin_limit: Over all deals of the strategy, quote.
        min_interval_ms: Rest between a rung's fill and the next rung's order.
        wants_resting_stop: Let the stop wait on the exchange where it offers that. Not while it is
            to be confirmed: there it would go off at the first touch.
        trailing_pct: None when the take profit is a resting limit order.
        steps: Share and profit of each part of a staged exit, percent; empty for one order.
            With `trailing_pct` the last one trails, and the others rest.
        max_deal_age_ms: A deal older than this adds nothing any more.
        max_spread_pct: Between bid and ask, of their middle; None where any is allowed.
        entry_trigger: ``immediate``, ``schedule``, ``priceBelow``, ``priceAbove`` or ``rsi``.
        entry_rsi: None with any other trigger than ``rsi``.
        windows: When deals may begin, as written, in `timezone`.
        capital: Of the Connection; None where unknown.
    """

    market_kind: MarketKind
    quote: str
    leverage: int
    margin_mode: str | None
    shape: LadderShape
    base_quote: Decimal | None
    margin_limit: Decimal
    max_active_deals: int
    max_placed: int
    min_interval_ms: int
    min_improvement_pct: Decimal
    take_profit_pct: Decimal
    steps: tuple[tuple[Decimal, Decimal], ...]
    trailing_pct: Decimal | None
    stop_pct: Decimal
    stop_reference: str
    stop_confirm_ms: int
    wants_resting_stop: bool
    liquidation_buffer_pct: Decimal
    recovery: RecoveryTerms
    entry_trigger: str
    entry_price: Decimal | None
    entry_rsi: RsiTerms | None
    entry_type: str
    entry_timeout_ms: int
    max_slippage_pct: Decimal
    max_order_notional: Decimal | None
    max_open_orders: int | None
    max_daily_loss_pct: Decimal | None
    max_deal_age_ms: int | None
    max_spread_pct: Decimal | None
    timezone: str
    windows: tuple[str, ...]
    rest_after_take_profit_ms: int
    rest_after_stop_loss_ms: int
    rest_after_recovery_ms: int
    capital: Decimal | None

    @property
    def sign(self) -> int:
        """+1 for a long, -1 for a short."""
        return self.shape.sign

    @property
    def target_pct(self) -> Decimal:
        """Where the take profit begins: its first step, or all of it."""
        return self.steps[0][1] if self.steps else self.take_profit_pct

    @property
    def trailed_pct(self) -> Decimal:
        """Where trailing begins: at the last step, or at the take profit."""
        return self.steps[-1][1] if self.steps else self.take_profit_pct

    @property
    def extra_orders(self) -> int:
        """Add-ons beyond the ladder that a deal may come to need margin for."""
        recovery = self.recovery
        return recovery.extra_orders if recovery.is_enabled and recovery.is_adding else 0


def resolve(spec: StrategySpec, capital: Money | None, market_kind: MarketKind) -> Terms:
    """Return *spec* with the gaps filled by its preset.

    Args:
        spec: As written.
        capital: Declared by the Connection; None where it is not known, which is an error only
            when the margin limit is a share of it.
        market_kind: Of the Connection.

    Raises:
        IncompleteTermsError: Fields are missing (``risk: custom``) or contradict one another; all
            of them are named.
    """
    filling = _Filling(PRESETS.get(spec.risk))
    preset = filling.preset
    averaging, trailing = spec.averaging, spec.take_profit.trailing
    quote = spec.pairs[0].partition("/")[2]
    terms = Terms(
        market_kind=market_kind,
        quote=quote,
        leverage=_leverage(spec, market_kind, filling),
        margin_mode=spec.margin_mode if market_kind is MarketKind.FUTURES else None,
        shape=LadderShape(
            sign=1 if spec.direction is Direction.LONG else -1,
            reference=averaging.reference,
            first_deviation_pct=filling.fill(
                averaging.first_deviation_pct,
                lambda preset: preset.first_deviation_pct,
                "averaging.firstDeviationPct",
            ),
            step_scale=filling.fill(
                averaging.step_scale, lambda preset: preset.step_scale, "averaging.stepScale"
            ),
            first_size_ratio=filling.fill(
                averaging.first_size_ratio,
                lambda preset: preset.first_size_ratio,
                "averaging.firstSizeRatio",
            ),
            volume_scale=filling.fill(
                averaging.volume_scale, lambda preset: preset.volume_scale, "averaging.volumeScale"
            ),
            max_orders=filling.fill(
                averaging.max_orders, lambda preset: preset.max_orders, "averaging.maxOrders"
            ),
        ),
        base_quote=filling.money(spec.base_order, quote, "baseOrder"),
        margin_limit=_margin_limit(spec, capital, quote, filling),
        max_active_deals=filling.fill(
            spec.max_active_deals, lambda preset: preset.max_active_deals, "maxActiveDeals"
        ),
        max_placed=averaging.max_placed,
        min_interval_ms=averaging.min_interval,
        min_improvement_pct=averaging.min_average_improvement_pct,
        take_profit_pct=_take_profit_pct(spec, filling),
        steps=tuple((step.share_pct, step.profit_pct) for step in spec.take_profit.steps),
        trailing_pct=trailing.deviation_pct if trailing is not None else None,
        stop_pct=filling.fill(
            spec.stop_loss.percent, lambda preset: preset.stop_pct, "stopLoss.percent"
        ),
        stop_reference=spec.stop_loss.reference,
        stop_confirm_ms=spec.stop_loss.confirm_for,
        wants_resting_stop=(
            spec.stop_loss.on_exchange == "preferred" and not spec.stop_loss.confirm_for
        ),
        liquidation_buffer_pct=(
            preset.liquidation_buffer_pct if preset else CUSTOM_LIQUIDATION_BUFFER_PCT
        ),
        recovery=_recovery(spec, filling),
        entry_trigger=spec.entry.trigger,
        entry_price=spec.entry.price,
        entry_rsi=_rsi(spec),
        entry_type=spec.entry.order_type,
        entry_timeout_ms=spec.entry.timeout,
        max_slippage_pct=spec.entry.max_slippage_pct,
        max_order_notional=filling.money(
            spec.caps.max_order_notional, quote, "caps.maxOrderNotional"
        ),
        max_open_orders=spec.caps.max_open_orders,
        max_daily_loss_pct=spec.caps.max_daily_realised_loss_pct,
        max_deal_age_ms=spec.caps.max_deal_age,
        max_spread_pct=spec.caps.max_spread_pct,
        timezone=spec.schedule.timezone,
        windows=spec.schedule.new_deals,
        rest_after_take_profit_ms=spec.cooldown.after_take_profit,
        rest_after_stop_loss_ms=spec.cooldown.after_stop_loss,
        rest_after_recovery_ms=spec.cooldown.after_recovery,
        capital=capital.amount if capital is not None and capital.currency == quote else None,
    )
    filling.check_quotes(spec.pairs, quote)
    if filling.violations:
        raise IncompleteTermsError(filling.violations)
    return terms


class _Filling:
    """Collects what is missing, so that one run names every field."""

    def __init__(self, preset: Preset | None) -> None:
        self.preset = preset
        self.violations: list[Violation] = []

    def fill(self, given: T | None, of_preset: Callable[[Preset], T], field: str) -> T:
        """Return what the file says, else what the preset says.

        A missing value is noted; the caller throws the result away then, so its type may lie.
        """
        if given is not None:
            return given
        if self.preset is None:
            self.refuse(
                field,
                f"`{field}` is missing, and risk `custom` fills nothing",
                f"write `{field}`, or choose risk conservative, balanced or aggressive",
            )
            return None  # type: ignore[return-value]  # thrown away: a violation is noted
        return of_preset(self.preset)

    def money(self, value: Money | str | None, quote: str, field: str) -> Decimal | None:
        """Return the amount of *value* in *quote*; None for ``auto`` and for nothing."""
        if not isinstance(value, Money):
            return None
        if value.currency != quote:
            self.refuse(
                field,
                f"`{field}` is in {value.currency}, but the pairs are quoted in {quote}",
                f"write the amount in {quote}",
            )
        return value.amount

    def check_quotes(self, pairs: tuple[str, ...], quote: str) -> None:
        others = sorted({pair for pair in pairs if pair.partition("/")[2] != quote})
        if others:
            self.refuse(
                "pairs",
                f"pairs have different quote currencies: {pairs[0]} and {', '.join(others)}",
                "use one Strategy per quote currency",
            )

    def refuse(self, field: str, message: str, help_: str) -> None:
        """Note what is wrong with *field* (dotted, below ``spec``)."""
        self.violations.append(Violation("V-PRESET", ("spec", *field.split(".")), message, help_))


def _leverage(spec: StrategySpec, market_kind: MarketKind, filling: _Filling) -> int:
    if market_kind is MarketKind.FUTURES:
        return filling.fill(spec.leverage, lambda preset: preset.leverage, "leverage")
    if spec.leverage not in {None, 1}:
        filling.refuse(
            "leverage",
            f"leverage is {spec.leverage}, but the Connection trades spot",
            "remove `leverage`, or use a futures Connection",
        )
    if spec.direction is Direction.SHORT:
        filling.refuse(
            "direction",
            "a short needs futures, but the Connection trades spot",
            "use `direction: long`, or a futures Connection",
        )
    return 1


def _rsi(spec: StrategySpec) -> RsiTerms | None:
    """Return the reading that is waited for; without a threshold the usual one of the direction."""
    if spec.entry.trigger != "rsi":
        return None
    given = spec.entry.rsi or RsiEntry()
    is_below = given.below is not None or (given.above is None and spec.direction is Direction.LONG)
    threshold = given.below if is_below else given.above
    if threshold is None:
        threshold = RSI_OVERSOLD if is_below else RSI_OVERBOUGHT
    return RsiTerms(Rsi(given.period, given.interval), threshold, is_below)


def _take_profit_pct(spec: StrategySpec, filling: _Filling) -> Decimal:
    """Return the target; with steps nothing leaves at `percent`, so it need not be written."""
    percent, steps = spec.take_profit.percent, spec.take_profit.steps
    if percent is None and steps:
        return steps[0].profit_pct
    return filling.fill(percent, lambda preset: preset.take_profit_pct, "takeProfit.percent")


def _margin_limit(
    spec: StrategySpec, capital: Money | None, quote: str, filling: _Filling
) -> Decimal:
    limit = spec.margin_limit
    if isinstance(limit, Money):
        filling.money(limit, quote, "marginLimit")
        return limit.amount
    share = filling.fill(limit, lambda preset: Share(preset.margin_limit_pct), "marginLimit")
    if filling.violations:
        return ZERO
    if capital is None:
        filling.refuse(
            "marginLimit",
            f"the margin limit is {share} of a capital that is not known",
            "add the Connection this strategy names, or write an amount such as `500 USDT`",
        )
        return ZERO
    filling.money(capital, quote, "marginLimit")
    return capital.amount * share.percent / HUNDRED


def margin_limit_of(spec: StrategySpec, capital: Money) -> Decimal:
    """Return marginLimit of a *spec* that resolves, quote; the rest of it is not looked at."""
    return _margin_limit(spec, capital, capital.currency, _Filling(PRESETS.get(spec.risk)))


def _recovery(spec: StrategySpec, filling: _Filling) -> RecoveryTerms:
    recovery, preset = spec.recovery, filling.preset
    trigger, actions, escalate = recovery.trigger, recovery.actions, recovery.escalate
    # custom fills nothing, so nothing is what an absent section means
    is_enabled = recovery.enabled and (preset is not None or "recovery" in spec.model_fields_set)

    def wanted(
        given: Decimal | None, of_preset: Callable[[Preset], Decimal], needed_as: str | None = None
    ) -> Decimal | None:
        """Return what file or preset say; None where neither does and it is not needed."""
        if preset is None and not (is_enabled and needed_as):
            return given
        return filling.fill(given, of_preset, needed_as or "recovery")

    strict, reduce = actions.strict, actions.reduce
    return RecoveryTerms(
        is_enabled=is_enabled,
        drawdown_pct=wanted(
            trigger.drawdown_pct,
            lambda preset: preset.recovery_drawdown_pct,
            "recovery.trigger.drawdownPct",
        ),
        margin_used_pct=wanted(
            trigger.margin_used_pct, lambda preset: preset.recovery_margin_used_pct
        ),
        averaging_used_pct=wanted(
            trigger.averaging_used_pct, lambda preset: preset.recovery_averaging_used_pct
        ),
        underwater_ms=trigger.underwater_for,
        is_manual=trigger.manual,
        confirm_ms=trigger.confirm_for,
        ema_span_ms=trigger.ema_span,
        is_adding=actions.add_ons == "strict",
        min_improvement_pct=strict.min_average_improvement_pct,
        min_spacing_pct=strict.min_spacing_pct,
        min_interval_ms=strict.min_interval,
        extra_orders=strict.max_extra_orders,
        take_profit_pct=wanted(
            actions.take_profit_pct,
            lambda preset: preset.recovery_take_profit_pct,
            "recovery.actions.takeProfitPct",
        ),
        reduce=(
            ReduceTerms(
                close_pct=reduce.close_pct,
                rebound_pct=reduce.rebound_pct,
                min_interval_ms=reduce.min_interval,
                loss_budget_pct=reduce.loss_budget_pct,
            )
            if reduce.enabled
            else None
        ),
        exit_drawdown_pct=recovery.exit.drawdown_pct,
        exit_margin_used_pct=recovery.exit.margin_used_pct,
        exit_confirm_ms=recovery.exit.confirm_for,
        escalate_pct=wanted(
            escalate.drawdown_pct,
            lambda preset: preset.recovery_escalate_pct,
            "recovery.escalate.drawdownPct",
        ),
        max_duration_ms=escalate.max_duration,
        cooldown_ms=escalate.cooldown,
        window_count=escalate.max_per_window.count,
        window_ms=escalate.max_per_window.window,
    )
