"""Write a preset's values into a Strategy document, so that two generations compare as they trade.

Without this an edit of ``risk`` would look like one changed word instead of a changed ladder and a
changed leverage.
"""

from __future__ import annotations

from backfuturectl.model.market import MarketKind
from backfuturectl.model.resources import Entry, RsiEntry, StrategySpec
from backfuturectl.model.units import Money
from backfuturectl.strategy.presets import Terms, resolve


def filled(spec: StrategySpec, capital: Money, market_kind: MarketKind) -> StrategySpec:
    """Return *spec* with every field its preset fills written out and shares turned into money.

    Raises:
        IncompleteTermsError: As `presets.resolve`.
    """
    terms = resolve(spec, capital, market_kind)
    shape, recovery = terms.shape, terms.recovery
    written = (
        # Only what is in force: with risk custom an absent section means none.
        {
            "recovery": spec.recovery.model_copy(
                update={
                    "trigger": spec.recovery.trigger.model_copy(
                        update={
                            "drawdown_pct": recovery.drawdown_pct,
                            "margin_used_pct": recovery.margin_used_pct,
                            "averaging_used_pct": recovery.averaging_used_pct,
                        }
                    ),
                    "actions": spec.recovery.actions.model_copy(
                        update={"take_profit_pct": recovery.take_profit_pct}
                    ),
                    "escalate": spec.recovery.escalate.model_copy(
                        update={"drawdown_pct": recovery.escalate_pct}
                    ),
                }
            )
        }
        if recovery.is_enabled
        else {}
    )
    return spec.model_copy(
        update={
            "leverage": terms.leverage,
            "margin_limit": Money(terms.margin_limit, terms.quote),
            "max_active_deals": terms.max_active_deals,
            "averaging": spec.averaging.model_copy(
                update={
                    "first_deviation_pct": shape.first_deviation_pct,
                    "step_scale": shape.step_scale,
                    "first_size_ratio": shape.first_size_ratio,
                    "volume_scale": shape.volume_scale,
                    "max_orders": shape.max_orders,
                }
            ),
            **({"entry": _entry(spec, terms)} if terms.entry_rsi is not None else {}),
            "take_profit": spec.take_profit.model_copy(update={"percent": terms.take_profit_pct}),
            "stop_loss": spec.stop_loss.model_copy(update={"percent": terms.stop_pct}),
            **written,
        }
    )


def _entry(spec: StrategySpec, terms: Terms) -> Entry:
    """Return the entry with the threshold that its direction brings."""
    assert terms.entry_rsi is not None
    given, rsi = spec.entry.rsi or RsiEntry(), terms.entry_rsi
    side = {"below": rsi.threshold} if rsi.is_below else {"above": rsi.threshold}
    return spec.entry.model_copy(update={"rsi": given.model_copy(update=side)})
