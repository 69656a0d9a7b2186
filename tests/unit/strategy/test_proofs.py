"""Each proof refuses what breaks it, names the field and the figures, and lets the rest pass."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfuturectl.model.market import MarketKind
from backfuturectl.model.resources import Exchange, StrategySpec
from backfuturectl.model.units import Money
from backfuturectl.strategy.arithmetic import notional, sizes_quote
from backfuturectl.strategy.assumptions import ASSUMED, MarketRules, assumed_rules, rules_of
from backfuturectl.strategy.filled import filled
from backfuturectl.strategy.presets import PRESETS, Terms, resolve
from backfuturectl.strategy.proofs import (
    base_quote_of,
    prove,
    prove_account,
    prove_at,
    watched,
    worst_case,
)
from backfuturectl.strategy.violation import IncompleteTermsError, Severity, Violation, errors
from tests.unit.strategy.venue import market, spec

D = Decimal
CAPITAL = Money(D(5000), "USDT")


def assumed(exchange: str, kind: MarketKind) -> MarketRules:
    rules = assumed_rules(exchange, kind)
    assert rules is not None
    return rules


SPOT = assumed("kucoin", MarketKind.SPOT)
FUTURES = assumed("kucoin", MarketKind.FUTURES)


def document(**changes: object) -> StrategySpec:
    return StrategySpec.model_validate(
        {"connection": "x", "pairs": ("BTC/USDT",), "marginLimit": "500 USDT", **changes}
    )


def terms(kind: MarketKind = MarketKind.FUTURES, **changes: object) -> Terms:
    return resolve(document(**changes), CAPITAL, kind)


def step(share: int, profit: str) -> dict[str, object]:
    return {"sharePct": D(share), "profitPct": D(profit)}


def codes(found: object) -> list[str]:
    return [violation.code for violation in found]


@pytest.mark.parametrize("risk", [risk.value for risk in PRESETS])
@pytest.mark.parametrize("kind", list(MarketKind))
@pytest.mark.parametrize("price", [None, D(100), D("36901.57")])
def test_every_preset_passes_every_proof_as_a_long(
    risk: str, kind: MarketKind, price: Decimal | None
) -> None:
    rules = replace(
        SPOT if kind is MarketKind.SPOT else FUTURES,
        price_tick=D("0.001"),
        amount_step=D("0.000001"),
        amount_min=D("0.000001"),
    )
    assert prove(terms(kind, risk=risk), rules, start=price) == ()


@pytest.mark.parametrize("risk", ["conservative", "balanced"])
def test_the_calmer_presets_pass_as_shorts_too(risk: str) -> None:
    assert prove(terms(risk=risk, direction="short"), FUTURES) == ()


def test_the_aggressive_short_misses_its_first_improvement_by_a_hair() -> None:
    found = prove(terms(risk="aggressive", direction="short"), FUTURES)
    assert codes(found) == ["V-IMPROVE"]
    assert "0.497512%" in found[0].message


def test_m_1_is_refused_and_says_the_largest_base() -> None:
    bound = terms(
        MarketKind.SPOT,
        risk="conservative",
        baseOrder="100 USDT",
        marginLimit="1000 USDT",
        maxActiveDeals=2,
    )
    worst = worst_case(bound, SPOT)
    assert (worst.margin, worst.limit, worst.fits) == (D("1423.86204"), 1000, False)
    (found,) = prove(bound, SPOT)
    assert found.code == "V-MARGIN"
    assert found.path == ("spec", "baseOrder")
    assert "1423.86204" in found.message
    assert "70.231523" in found.help


def test_what_is_set_aside_for_funding_is_part_of_the_worst_case() -> None:
    bound = terms(risk="balanced", leverage=3, maxActiveDeals=2, marginLimit="500 USDT")
    reserving = replace(FUTURES, funding_reserve=D("0.01"))
    sized = replace(bound, base_quote=base_quote_of(bound, FUTURES))
    assert "V-MARGIN" not in codes(prove(sized, FUTURES))
    assert "V-MARGIN" in codes(prove(sized, reserving))
    kept = worst_case(sized, reserving).margin - worst_case(sized, FUTURES).margin
    whole = 2 * notional(sized.shape, sized.base_quote)
    assert kept.quantize(D("1e-20")) == (whole / 100).quantize(D("1e-20"))
    assert base_quote_of(bound, reserving) < base_quote_of(bound, FUTURES)


@pytest.mark.parametrize(("limit", "fits"), [("4080", False), ("4081", True)])
def test_dca_1_is_refused_at_4080_and_accepted_at_4081(limit: str, fits: bool) -> None:
    bound = resolve(
        spec(
            marginLimit=f"{limit} USDT",
            baseOrder="10 USDT",
            averaging={
                "firstDeviationPct": D("1.3"),
                "stepScale": D("1.56"),
                "volumeScale": D("2.5"),
                "maxOrders": 7,
            },
            stopLoss={"percent": D(60)},
        ),
        None,
        MarketKind.SPOT,
    )
    assert worst_case(bound, SPOT).fits is fits
    assert ("V-MARGIN" in codes(prove(bound, SPOT))) is not fits


@pytest.mark.parametrize("direction", ["long", "short"])
def test_a_base_order_at_market_needs_room_to_give_way_to_a_jump(direction: str) -> None:
    whole = {
        "direction": direction,
        "averaging": {"maxOrders": 0},
        "recovery": {"enabled": False},
        "maxActiveDeals": 1,
        "leverage": 2,
    }
    at_market = {**whole, "entry": {"orderType": "market"}}
    assert codes(prove(terms(**whole), FUTURES)) == []
    (found,) = prove(terms(**at_market), FUTURES)
    assert (found.code, found.path) == ("V-MARGIN", ("spec", "entry", "orderType"))
    most = base_quote_of(terms(**whole), FUTURES) / D("1.5")
    assert codes(prove(terms(**at_market, baseOrder=f"{most - 1:.2f} USDT"), FUTURES)) == []
    assert codes(prove(terms(**at_market, baseOrder=f"{most + 1:.2f} USDT"), FUTURES)) == [
        "V-MARGIN"
    ]


@pytest.mark.parametrize("risk", ["conservative", "balanced", "aggressive"])
@pytest.mark.parametrize("kind", [MarketKind.SPOT, MarketKind.FUTURES])
def test_every_preset_may_begin_at_market(risk: str, kind: MarketKind) -> None:
    rules = SPOT if kind is MarketKind.SPOT else FUTURES
    at_market = terms(kind, risk=risk, entry={"orderType": "market"}, maxActiveDeals=1)
    assert codes(errors(prove(at_market, rules))) == []


def test_auto_always_fits_its_limit() -> None:
    for risk in PRESETS:
        for kind, rules in ((MarketKind.SPOT, SPOT), (MarketKind.FUTURES, FUTURES)):
            worst = worst_case(terms(kind, risk=risk), rules)
            assert worst.fits
            assert worst.limit - worst.margin < D("1e-6")


def test_a_connection_whose_strategies_need_more_than_its_capital_is_refused() -> None:
    shares = {"long": D(60), "short": D(50)}
    assert prove_account(shares, capital=D(110), currency="USDT") == ()
    (found,) = prove_account(shares, capital=D(109), currency="USDT")
    assert found.code == "V-ACCOUNT"
    assert "110" in found.message
    assert "long 60, short 50" in found.message


def test_an_order_below_the_minimum_is_refused() -> None:
    bound = terms(baseOrder="4 USDT", marginLimit="500 USDT")
    (found,) = prove(bound, replace(FUTURES, cost_min=D(5)))
    assert found.code == "V-MIN"


def test_an_amount_below_the_minimum_is_refused_once_a_price_is_known() -> None:
    rules = replace(FUTURES, amount_step=D("0.01"), amount_min=D("0.5"), price_tick=D("0.01"))
    bound = terms(baseOrder="40 USDT", maxActiveDeals=1)
    assert "V-MIN" not in codes(prove(bound, rules))
    assert "V-MIN" in codes(prove(bound, rules, start=D(100)))
    assert "V-MIN" not in codes(prove(bound, rules, start=D(50)))


def test_an_amount_that_rounds_to_nothing_is_refused_once_a_price_is_known() -> None:
    rules = replace(FUTURES, amount_step=D("0.1"), amount_min=D("0.1"), price_tick=D("0.1"))
    bound = terms(baseOrder="40 USDT", maxActiveDeals=1)
    assert "V-MIN" not in codes(prove(bound, rules))
    assert "V-MIN" in codes(prove(bound, rules, start=D(36_000)))


def test_a_long_ladder_that_reaches_below_zero_is_refused() -> None:
    for first_pct in (D(20), D(9)):  # far below zero, and just below
        bound = terms(averaging={"firstDeviationPct": first_pct, "maxOrders": 6})
        assert codes(prove(bound, FUTURES)) == ["V-RANGE"]


def test_rungs_that_fall_onto_one_tick_are_refused() -> None:
    rules = replace(FUTURES, price_tick=D(10))
    found = prove(terms(), rules, start=D(100))
    assert "V-RANGE" in codes(found)


@pytest.mark.parametrize("tick", ["0.01", "50"])
def test_a_price_below_the_tick_is_refused(tick: str) -> None:
    coarse = replace(FUTURES, price_tick=D(tick))
    found = prove(terms(), coarse, start=D(tick) / 10)
    assert codes(found) == ["V-RANGE"]
    assert prove_at(terms(), coarse, D(tick) / 10) == found


@given(
    start=st.decimals(D("0.00001"), D(100_000), places=5),
    grid=st.tuples(
        st.sampled_from(["0.00001", "0.01", "1", "50"]),
        st.sampled_from(["0.00000001", "0.001", "1", "1000"]),
    ),
    kind=st.sampled_from(list(MarketKind)),
    risk=st.sampled_from(list(PRESETS)),
    base=st.sampled_from(["auto", "1 USDT", "40 USDT"]),
)
@settings(max_examples=200)
def test_at_a_price_a_document_that_passed_breaks_only_what_ticks_and_steps_decide(
    start: Decimal, grid: tuple[str, str], kind: MarketKind, risk: str, base: str
) -> None:
    rules = replace(
        FUTURES,
        kind=kind,
        cost_min=D(1),
        price_tick=D(grid[0]),
        amount_step=D(grid[1]),
        amount_min=D(grid[1]),
    )
    given_terms = terms(kind, risk=risk, baseOrder=base)
    if errors(prove(given_terms, rules)):
        return
    assert prove_at(given_terms, rules, start) == errors(prove(given_terms, rules, start=start))


def test_liq_1_is_refused() -> None:
    bound = terms(
        leverage=5,
        averaging={
            "firstDeviationPct": D(1),
            "stepScale": D("1.5"),
            "volumeScale": D("1.5"),
            "firstSizeRatio": D(1),
            "maxOrders": 7,
        },
        stopLoss={"percent": D(40)},
        baseOrder="1 USDT",
    )
    found = [each for each in prove(bound, FUTURES) if each.code == "V-LIQ"]
    assert len(found) == 1
    assert found[0].path == ("spec", "leverage")


def test_a_ladder_beyond_the_tier_whose_maintenance_is_known_is_refused() -> None:
    bound = terms(leverage=3)
    whole = sum(sizes_quote(bound.shape, base_quote_of(bound, FUTURES)), D(0))

    for tier_max, is_refused in ((whole, False), (whole - 1, True), (None, False)):
        found = [
            each
            for each in prove(bound, replace(FUTURES, tier_max_quote=tier_max))
            if each.code == "V-LIQ"
        ]
        assert bool(found) is is_refused
    cross = terms(leverage=3, marginMode="cross")
    assert "V-LIQ" not in codes(prove(cross, replace(FUTURES, tier_max_quote=D(1))))


def test_orders_that_recovery_mode_may_add_fit_the_first_risk_tier_too() -> None:
    strict = {"actions": {"strict": {"maxExtraOrders": 2}}}
    bound = terms(leverage=3, recovery=strict)
    whole = notional(bound.shape, base_quote_of(bound, FUTURES), bound.extra_orders)
    just = replace(FUTURES, tier_max_quote=whole)

    assert "V-LIQ" not in codes(prove(bound, just))
    assert "V-LIQ" in codes(prove(bound, replace(just, tier_max_quote=whole - 1)))


def test_the_stop_comes_before_the_liquidation_of_the_whole_ladder() -> None:
    wide: dict[str, object] = {
        "leverage": 3,
        "averaging": {"firstDeviationPct": D(1), "stepScale": D(1), "maxOrders": 2},
        "recovery": {"enabled": False},
    }
    assert "V-LIQ" not in codes(prove(terms(stopLoss={"percent": D(15)}, **wide), FUTURES))
    (found,) = prove(terms(stopLoss={"percent": D(25)}, **wide), FUTURES)
    assert found.code == "V-LIQ"
    assert "the stop" in found.message


def test_liq_2_is_accepted_and_cross_margin_has_no_liquidation_to_prove() -> None:
    assert "V-LIQ" not in codes(prove(terms(leverage=3), FUTURES))
    tight = {"leverage": 5, "risk": "conservative"}
    assert "V-LIQ" in codes(prove(terms(**tight), FUTURES))
    assert "V-LIQ" not in codes(prove(terms(marginMode="cross", **tight), FUTURES))


@pytest.mark.parametrize(
    ("stop", "refused"),
    [
        ({"percent": D(20)}, True),
        ({"percent": D("21.6")}, True),
        ({"percent": D(22)}, False),
        ({"percent": D(3), "reference": "average"}, True),
        ({"percent": D(20), "reference": "average"}, False),
    ],
)
def test_the_stop_lies_beyond_the_last_rung(stop: dict[str, object], refused: bool) -> None:
    found = codes(prove(terms(stopLoss=stop, recovery={"enabled": False}), FUTURES))
    assert ("V-STOP" in found) is refused


def test_the_loss_at_the_stop_is_compared_with_the_daily_cap() -> None:
    bound = terms(caps={"maxDailyRealisedLossPct": D("0.1")})
    (found,) = prove(bound, FUTURES)
    assert (found.code, found.severity) == ("V-STOP", Severity.WARNING)
    assert found.path[-1] == "maxDailyRealisedLossPct"
    share = 100 * worst_case(bound, FUTURES).loss_at_stop / bound.margin_limit
    for percent, refused in ((share * D("0.99"), True), (share * D("1.01"), False)):
        near = terms(caps={"maxDailyRealisedLossPct": percent.quantize(D("0.0001"))})
        assert ("V-STOP" in codes(prove(near, FUTURES))) is refused
    assert prove(terms(caps={"maxDailyRealisedLossPct": D(50)}), FUTURES) == ()


@pytest.mark.parametrize(
    ("percent", "trailing", "refused"),
    [("0.11", None, True), ("0.12", None, False), ("0.4", "0.3", True), ("0.4", "0.2", False)],
)
def test_a_take_profit_earns_two_fees(percent: str, trailing: str | None, refused: bool) -> None:
    target: dict[str, object] = {"percent": D(percent)}
    if trailing is not None:
        target["trailing"] = {"deviationPct": D(trailing)}
    found = prove(terms(takeProfit=target), FUTURES)
    assert ("V-TP" in codes(found)) is refused


@pytest.mark.parametrize(("percent", "refused"), [("0.11", True), ("0.12", False)])
def test_recovery_modes_take_profit_earns_two_fees_too(percent: str, refused: bool) -> None:
    found = prove(terms(recovery={"actions": {"takeProfitPct": D(percent)}}), FUTURES)
    assert [each.path[-1] for each in found] == (["takeProfitPct"] if refused else [])


def test_a_rung_that_hardly_improves_the_average_is_refused() -> None:
    found = prove(terms(averaging={"minAverageImprovementPct": D("0.8")}), FUTURES)
    assert codes(found) == ["V-IMPROVE"]
    assert "rung 1" in found[0].message


@pytest.mark.parametrize(
    "recovery",
    [
        {"exit": {"drawdownPct": D(8)}},
        {"trigger": {"drawdownPct": D(12)}},
        {"escalate": {"drawdownPct": D(20)}},
    ],
)
def test_recovery_levels_come_in_order(recovery: dict[str, object]) -> None:
    assert "V-RECOVERY" in codes(prove(terms(recovery=recovery), FUTURES))


def test_a_base_order_that_is_a_margin_trigger_by_itself_is_told_and_allowed() -> None:
    def told(**recovery: object) -> list[Violation]:
        known = terms(
            averaging={"maxOrders": 1, "firstSizeRatio": D("0.25")},
            baseOrder="40 USDT",
            recovery=recovery,
        )
        return [found for found in prove(known, FUTURES) if found.path[-1] == "marginUsedPct"]

    (found,) = told()
    assert (found.code, found.severity) == ("V-RECOVERY", Severity.WARNING)
    assert "80% of a deal's margin" in found.message
    assert told(trigger={"marginUsedPct": D(80)}) != told(trigger={"marginUsedPct": D(81)}) == []
    assert told(enabled=False) == []


def test_open_orders_stay_within_the_exchanges_limit_and_the_cap() -> None:
    bound = terms(maxActiveDeals=20, averaging={"maxPlaced": 3}, baseOrder="1 USDT")
    assert codes(prove(bound, FUTURES)) == []
    assert codes(prove(bound, replace(FUTURES, open_orders_max=99))) == ["V-ORDERS"]


@pytest.mark.parametrize(
    ("changes", "enough"),
    [
        ({"stopLoss": {"onExchange": "never"}}, 15),
        ({}, 18),  # a stop that is replaced rests beside its successor
        ({"recovery": {"actions": {"reduce": {"enabled": True}}}}, 21),
        ({"takeProfit": {"steps": (step(50, "1.1"), step(50, "1.2"))}}, 21),
    ],
    ids=["watched stop", "resting stop", "reduction", "steps"],
)
def test_open_orders_stay_within_the_cap_at_any_moment(
    changes: dict[str, object], enough: int
) -> None:
    capped = terms(caps={"maxOpenOrders": enough - 1}, **changes)
    assert [found.path[-1] for found in prove(capped, FUTURES)] == ["maxOpenOrders"]
    assert prove(terms(caps={"maxOpenOrders": enough}, **changes), FUTURES) == ()


def test_an_order_above_the_notional_cap_is_refused() -> None:
    found = prove(terms(caps={"maxOrderNotional": "10 USDT"}), FUTURES)
    assert [each.path[-1] for each in found] == ["maxOrderNotional"]
    one = {"baseOrder": "20 USDT", "averaging": {"firstSizeRatio": D(1), "volumeScale": D(1)}}
    assert prove(terms(caps={"maxOrderNotional": "20 USDT"}, **one), FUTURES) == ()
    (near,) = prove(terms(caps={"maxOrderNotional": "19 USDT"}, **one), FUTURES)
    assert near.code == "V-MARGIN"


def test_orders_that_recovery_mode_may_add_are_part_of_the_worst_case() -> None:
    strict = {"actions": {"strict": {"maxExtraOrders": 2}}}
    one = {"baseOrder": "20 USDT", "averaging": {"firstSizeRatio": D(1), "volumeScale": D(1)}}
    plain, extra = terms(**one), terms(recovery=strict, **one)
    ratio = worst_case(extra, FUTURES).margin / worst_case(plain, FUTURES).margin
    assert ratio == pytest.approx(D(9) / 7)  # a base, six rungs, two more


def test_custom_names_every_missing_field_at_once() -> None:
    with pytest.raises(IncompleteTermsError) as caught:
        resolve(document(risk="custom"), CAPITAL, MarketKind.FUTURES)
    named = {".".join(found.path[1:]) for found in caught.value.violations}
    assert named == {
        "leverage",
        "maxActiveDeals",
        "averaging.firstDeviationPct",
        "averaging.stepScale",
        "averaging.firstSizeRatio",
        "averaging.volumeScale",
        "averaging.maxOrders",
        "takeProfit.percent",
        "stopLoss.percent",
    }


@pytest.mark.parametrize(
    ("changes", "capital", "kind", "field"),
    [
        ({"marginLimit": "35%"}, None, MarketKind.SPOT, "marginLimit"),
        ({"marginLimit": "35%"}, Money(D(1), "EUR"), MarketKind.SPOT, "marginLimit"),
        ({"marginLimit": "5 EUR"}, CAPITAL, MarketKind.SPOT, "marginLimit"),
        ({"baseOrder": "5 EUR"}, CAPITAL, MarketKind.SPOT, "baseOrder"),
        ({"leverage": 3}, CAPITAL, MarketKind.SPOT, "leverage"),
        ({"direction": "short"}, CAPITAL, MarketKind.SPOT, "direction"),
        ({"pairs": ("BTC/USDT", "ETH/EUR")}, CAPITAL, MarketKind.SPOT, "pairs"),
    ],
)
def test_settings_that_contradict_one_another_are_named(
    changes: dict[str, object], capital: Money | None, kind: MarketKind, field: str
) -> None:
    with pytest.raises(IncompleteTermsError) as caught:
        resolve(document(**changes), capital, kind)
    assert [found.path for found in caught.value.violations] == [("spec", field)]


def test_a_share_is_of_the_declared_capital() -> None:
    assert terms(marginLimit="35%").margin_limit == 1750
    assert terms(marginLimit=None, risk="aggressive").margin_limit == 2500


PREFERRED = {"onExchange": "preferred"}


@pytest.mark.parametrize(
    ("kind", "stop", "field"),
    [
        (FUTURES, {}, None),
        (FUTURES, PREFERRED, None),
        (FUTURES, {"confirmFor": "60s"}, "confirmFor"),
        (FUTURES, {"confirmFor": "60s", **PREFERRED}, "onExchange"),
        (FUTURES, {"confirmFor": "60s", "onExchange": "never"}, None),
        (SPOT, {}, None),
        (SPOT, {"confirmFor": "60s"}, None),
        (SPOT, PREFERRED, "onExchange"),
        (SPOT, {"onExchange": "never"}, None),
    ],
)
def test_a_stop_that_is_watched_although_the_file_lets_it_rest_is_told(
    kind: MarketRules, stop: dict[str, object], field: str | None
) -> None:
    found = watched(document(stopLoss=stop), kind)
    assert [each.path[-1] for each in found] == ([] if field is None else [field])
    assert not errors(found)


def test_the_assumed_rules_say_where_stops_wait() -> None:
    assert "stop losses may rest there" in FUTURES.describe()
    assert "stop losses are watched by the daemon, since on spot the take" in SPOT.describe()


def test_a_stop_that_is_watched_on_spot_is_told_why() -> None:
    (found,) = watched(document(stopLoss=PREFERRED), SPOT)
    assert "no order there only reduces" in found.message


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((step(50, "1"), step(50, "2")), None),
        ((step(50, "0.1"), step(50, "2")), "keeps 0.1%"),
        ((step(50, "2"), step(50, "1")), "not beyond it"),
        ((step(50, "1"), step(40, "2")), "sum to 90%"),
    ],
)
def test_steps_pay_their_fees_in_order_and_sum_to_all(
    steps: tuple[dict[str, object], ...], said: str | None
) -> None:
    found = prove(terms(takeProfit={"steps": steps}), FUTURES)
    assert codes(found) == (["V-TP"] if said else [])
    assert said is None or said in found[0].message


def test_steps_need_no_percent_beside_them() -> None:
    made = resolve(
        spec(takeProfit={"percent": None, "steps": (step(100, "1.5"),)}), None, MarketKind.SPOT
    )
    assert made.target_pct == D("1.5")


def test_steps_count_as_open_orders() -> None:
    four = tuple(step(25, f"{number}") for number in (1, 2, 3, 4))
    bound = replace(FUTURES, open_orders_max=20)
    # Three deals of three rungs, a take profit and one more each.
    assert prove(terms(maxActiveDeals=3), bound) == ()
    assert codes(prove(terms(maxActiveDeals=3, takeProfit={"steps": four}), bound)) == ["V-ORDERS"]


@pytest.mark.parametrize("direction", ["long", "short"])
def test_the_trailing_deviation_must_leave_the_fees(direction: str) -> None:
    def found(deviation: str) -> list[str]:
        trailing = {"percent": D(1), "trailing": {"deviationPct": D(deviation)}}
        return codes(prove(terms(direction=direction, takeProfit=trailing), FUTURES))

    assert found("0.25") == []
    assert found("0.95") == ["V-TP"]


@pytest.mark.parametrize("direction", ["long", "short"])
@pytest.mark.parametrize(
    ("near", "far", "deviation", "broken"),
    [
        ("1", "2", "0.5", []),
        ("0.1", "2", "0.5", ["V-TP"]),  # the one that rests
        ("1", "2", "1.95", ["V-TP"]),  # the one that trails
        ("1", "5", "1.9", []),  # of which the deviation takes nothing from the one that rests
    ],
)
def test_each_part_of_a_take_profit_that_trails_at_last_must_leave_the_fees(
    direction: str, near: str, far: str, deviation: str, broken: list[str]
) -> None:
    exits = {"steps": (step(60, near), step(40, far)), "trailing": {"deviationPct": D(deviation)}}
    assert codes(prove(terms(direction=direction, takeProfit=exits), FUTURES)) == broken


def test_a_filled_document_means_what_the_short_one_meant() -> None:
    for changes in ({}, {"recovery": {"enabled": False}}, {"risk": "aggressive"}):
        short = document(**changes)
        whole = filled(short, CAPITAL, MarketKind.FUTURES)
        for spec_ in (short, whole):
            assert resolve(spec_, CAPITAL, MarketKind.FUTURES) == terms(**changes)
    assert filled(document(), CAPITAL, MarketKind.FUTURES).recovery.trigger.drawdown_pct == 8


@pytest.mark.parametrize("exchange", list(Exchange))
def test_the_table_knows_every_exchange(exchange: Exchange) -> None:
    assert assumed_rules(exchange.value, MarketKind.SPOT) is not None
    has_futures = assumed_rules(exchange.value, MarketKind.FUTURES) is not None
    assert has_futures is (exchange is not Exchange.COINBASE)


def test_assumptions_say_what_they_are() -> None:
    assert "taker fee 0.06%" in FUTURES.describe()
    assert "maintenance margin 0.5%" in FUTURES.describe()
    assert "2026" in FUTURES.describe()


@pytest.mark.parametrize(
    "rules", ASSUMED.values(), ids=[f"{exchange}-{kind}" for exchange, kind in ASSUMED]
)
def test_every_assumed_figure_has_a_source_and_a_date(rules: MarketRules) -> None:
    figures = {"fees", "minimum order", "open orders"}
    if rules.kind is MarketKind.FUTURES:
        figures.add("maintenance margin")
    sourced = [part.partition(": ") for part in rules.source.split("; ")]
    assert {name for names, _, _ in sourced for name in names.split(", ")} == figures
    assert all(re.search(r"20\d\d-\d\d", source) for _, _, source in sourced)


def test_no_maintenance_margin_is_assumed_below_half_a_percent() -> None:
    futures = [rules for rules in ASSUMED.values() if rules.kind is MarketKind.FUTURES]
    assert min(rules.maintenance_margin for rules in futures) == D("0.005")


def test_a_real_market_speaks_for_itself() -> None:
    rules = rules_of(market(MarketKind.FUTURES, cost_min=D(7)))
    assert rules.cost_min == 7
    assert rules.grid.price_tick == D("0.01")
