"""The worked cases of the strategy's specification, to every printed digit."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal, localcontext
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.market import MarketKind
from backfuturectl.model.resources import Risk, StrategySpec
from backfuturectl.strategy.arithmetic import (
    Grid,
    LadderShape,
    MarginRates,
    average_after,
    gap_pct,
    improvement_pct,
    ladder,
    largest_base,
    liquidation_price,
    loss_at,
    next_price,
    notional,
    prices,
    shown,
    sizes_quote,
    stop_price,
    take_profit_price,
)
from backfuturectl.strategy.presets import PRESETS, resolve

D = Decimal


def shape(delta: str, g: str, ratio: str, v: str, k: int, *, sign: int = 1, ref: str = "baseOrder"):
    return LadderShape(sign, ref, D(delta), D(g), D(ratio), D(v), k)


def preset_shape(risk: str, sign: int = 1) -> LadderShape:
    preset = PRESETS[Risk(risk)]
    return LadderShape(
        sign,
        "baseOrder",
        preset.first_deviation_pct,
        preset.step_scale,
        preset.first_size_ratio,
        preset.volume_scale,
        preset.max_orders,
    )


def deviations_pct(form: LadderShape) -> tuple[Decimal, ...]:
    return tuple(form.sign * (100 - price) for price in prices(form, D(100)))


def digits(value: Decimal, like: str) -> str:
    """*value* with as many places as the specification prints."""
    places = len(like.partition(".")[2])
    with localcontext(prec=60):
        return str(value.quantize(D(1).scaleb(-places)))


DCA_1 = """
0 0 36901.57 10 10 36901.57 37270.5857
1 1.3 36421.84959 10 20 36660.14050327 37026.74190830
2 3.328 35673.4857504 25 45 36105.36295760 36466.41658718
3 6.49168 34506.03816062 62.5 107.5 35157.95562996 35509.53518626
4 11.4270208 32684.81992057 156.25 263.75 33649.58149519 33986.07731014
5 19.12615245 29843.71946609 390.625 654.375 31269.18150278 31581.87331780
6 31.13679782 25411.60275711 976.5625 1630.9375 27476.77747315 27751.54524788
7 49.8734046 18497.50069109 2441.40625 4072.34375 21282.98701658 21495.81688675
"""


def test_dca_1_every_figure_of_every_rung() -> None:
    rungs = ladder(
        shape("1.3", "1.56", "1", "2.5", 7),
        base_quote=D(10),
        start=D("36901.57"),
        take_profit_pct=D(1),
        rates=MarginRates(1, D("0.001")),
    )
    lines = [line.split() for line in DCA_1.strip().splitlines()]
    assert len(rungs) == len(lines) == 8
    for rung, (k, deviation, price, size, total, average, target) in zip(rungs, lines, strict=True):
        assert rung.k == int(k)
        assert digits(rung.deviation_pct, deviation) == deviation
        assert digits(rung.price, price) == price
        assert digits(rung.size_quote, size) == size
        assert digits(rung.total_quote, total) == total
        assert digits(rung.average, average) == average
        assert digits(rung.take_profit, target) == target
        assert rung.liquidation is None


def test_dca_1_needs_4080_48843750_on_spot() -> None:
    total = D(10) * notional(shape("1.3", "1.56", "1", "2.5", 7), D(1))
    assert total * MarginRates(1, D("0.001")).per_notional == D("4080.48843750")


def test_dca_2_total() -> None:
    assert sum(sizes_quote(shape("1", "1", "0.5", "3", 3), D("0.0002"))) == D("0.0015")


def test_dca_5_total_and_reach() -> None:
    fifteen = shape("2", "1", "2", "1", 15)
    assert sum(sizes_quote(fifteen, D(20))) == 620
    assert deviations_pct(fifteen)[-1] == 30


@pytest.mark.parametrize(
    ("reference", "expected"), [("baseOrder", "98 96 94"), ("lastFill", "98 96.04 94.1192")]
)
def test_dca_6_prices(reference: str, expected: str) -> None:
    found = prices(shape("2", "1", "1", "1", 3, ref=reference), D(100))[1:]
    assert [shown(price) for price in found] == expected.split()


def test_the_next_price_of_last_fill_is_the_ladders_own() -> None:
    scaled = shape("2", "1.3", "1", "1", 4, ref="lastFill")
    whole = prices(scaled, D(100))
    assert next_price(scaled, k=4, previous=whole[3]) == whole[4]


@pytest.mark.parametrize(
    ("risk", "reach", "multiple"),
    [
        ("conservative", "18.0862", "7.1051"),
        ("balanced", "21.657622", "12.258789"),
        ("aggressive", "16.32384", "17.32384"),
    ],
)
def test_the_presets_reach_and_multiple(risk: str, reach: str, multiple: str) -> None:
    assert digits(deviations_pct(preset_shape(risk))[-1], reach) == reach
    assert digits(notional(preset_shape(risk), D(1)), multiple) == multiple


@pytest.mark.parametrize(
    ("risk", "rates", "limit", "needed", "largest"),
    [
        ("conservative", MarginRates(1, D("0.001")), 1000, "1423.86204", "70.231523"),
        ("balanced", MarginRates(3, D("0.0006")), 500, "820.194714", "60.961134"),
    ],
    ids=["M-1", "M-2"],
)
def test_margin_and_the_largest_base(
    risk: str, rates: MarginRates, limit: int, needed: str, largest: str
) -> None:
    form = preset_shape(risk)
    worst = 2 * 100 * notional(form, D(1)) * rates.per_notional
    assert digits(worst, needed) == needed
    base = largest_base(form, margin_limit=D(limit), max_active_deals=2, rates=rates)
    assert str(base.quantize(D("1e-6"), rounding=ROUND_DOWN)) == largest
    assert 2 * base * notional(form, D(1)) * rates.per_notional <= limit


def test_liq_1_the_position_is_gone_before_its_last_rung() -> None:
    rates = MarginRates(5, D("0.0006"), D("0.005"))
    rungs = ladder(
        shape("1", "1.5", "1", "1.5", 7),
        base_quote=D(1),
        start=D(100),
        take_profit_pct=D(1),
        rates=rates,
    )
    liquidation = rungs[6].liquidation
    assert liquidation is not None
    assert digits(liquidation, "70.0459") == "70.0459"
    assert digits(rungs[7].price, "67.8281") == "67.8281"


def test_liq_2_the_gaps_of_the_balanced_ladder() -> None:
    rates = MarginRates(3, D("0.0006"), D("0.005"))
    rungs = ladder(
        preset_shape("balanced"),
        base_quote=D(1),
        start=D(100),
        take_profit_pct=D(1),
        rates=rates,
    )
    gaps = [
        digits(gap_pct(after.price, before.liquidation or D(0), 1), "0.00")
        for before, after in pairwise(rungs)
    ]
    assert gaps == ["31.98", "31.08", "29.84", "28.07", "25.44", "21.39"]
    assert digits(gap_pct(D(75), rungs[-1].liquidation or D(0), 1), "0.00") == "21.28"


def test_rm_1_and_rm_2_improvements() -> None:
    held, amount = D(200), D(100) / 3000 + D(100) / 2850
    first = held / amount
    second = average_after(held, amount, price=D(2700), size_quote=D(100))
    third = average_after(D(300), D(300) / second, price=D(2900), size_quote=D(100))
    rebound = average_after(held, amount, price=D(2900), size_quote=D(100))
    assert digits(first, "2923.076923") == "2923.076923"
    assert digits(second, "2844.731978") == "2844.731978"
    assert digits(improvement_pct(first, second, 1), "2.680222") == "2.680222"
    assert digits(third, "2858.350545") == "2858.350545"
    assert digits(improvement_pct(second, third, 1), "-0.478729") == "-0.478729"
    assert digits(rebound, "2915.343915") == "2915.343915"
    assert digits(improvement_pct(first, rebound, 1), "0.264550") == "0.264550"


def test_rm_3_the_balanced_ladder_five_of_six_filled() -> None:
    rungs = ladder(
        preset_shape("balanced"),
        base_quote=D(1),
        start=D(100),
        take_profit_pct=D(1),
        rates=MarginRates(3, D("0.0006")),
    )
    used = 100 * rungs[5].total_quote / rungs[6].total_quote
    assert digits(used, "75.11") == "75.11"
    assert digits(rungs[5].price, "85.0684") == "85.0684"
    drawdown = 100 * (rungs[5].average - rungs[5].price) / rungs[5].average
    assert digits(drawdown, "7.452") == "7.452"
    gain = improvement_pct(rungs[5].average, rungs[6].average, 1)
    assert digits(gain, "4.135451") == "4.135451"


def test_a_short_mirrors_the_long() -> None:
    rungs = ladder(
        shape("2", "1", "1", "1", 2, sign=-1),
        base_quote=D(100),
        start=D(100),
        take_profit_pct=D(1),
        rates=MarginRates(2, D("0.0006"), D("0.005")),
    )
    assert [shown(rung.price) for rung in rungs] == ["100", "102", "104"]
    assert [shown(rung.deviation_pct) for rung in rungs] == ["0", "2", "4"]
    assert shown(rungs[0].take_profit) == "99"
    assert rungs[0].liquidation == liquidation_price(
        D(100), -1, MarginRates(2, D("0.0006"), D("0.005"))
    )
    assert digits(rungs[0].liquidation or D(0), "0.0000") == "149.2537"
    assert rungs[1].average > 100
    stop = stop_price(-1, stop_pct=D(10), reference="baseOrder", start=D(100), average=D(101))
    assert stop == 110


def test_the_loss_at_a_stop_has_both_fees_in() -> None:
    loss = loss_at(D(90), 1, total_quote=D(100), average=D(100), taker_fee=D("0.001"))
    assert loss == D(10) + D("0.1") + D("0.09")
    short = loss_at(D(110), -1, total_quote=D(100), average=D(100), taker_fee=D("0.001"))
    assert short == D(10) + D("0.1") + D("0.11")


def test_rounding_is_the_traders_and_never_costs_more() -> None:
    exact = {"base_quote": D(10), "start": D("100.037"), "take_profit_pct": D(1)}
    rates = MarginRates(1, D("0.001"))
    for sign in (1, -1):
        form = shape("1.3", "1.56", "1", "1.5", 4, sign=sign)
        grid = Grid(price_tick=D("0.05"), amount_step=D("0.001"))
        for rough, fine in zip(
            ladder(form, rates=rates, grid=grid, **exact),
            ladder(form, rates=rates, **exact),
            strict=True,
        ):
            assert rough.price % D("0.05") == 0
            assert rough.amount_base % D("0.001") == 0
            assert sign * (fine.price - rough.price) >= 0
            assert rough.size_quote <= fine.size_quote
            target = take_profit_price(rough.average, sign, D(1))
            assert 0 <= sign * (rough.take_profit - target) < D("0.05")


def test_the_callers_context_decides_nothing() -> None:
    form = preset_shape("balanced")
    before = prices(form, D("36901.57"))
    with localcontext(prec=5):
        assert prices(form, D("36901.57")) == before


@given(
    st.builds(
        LadderShape,
        sign=st.sampled_from([1, -1]),
        reference=st.just("baseOrder"),
        first_deviation_pct=st.decimals("0.1", "5", places=2),
        step_scale=st.decimals("0.5", "2", places=2),
        first_size_ratio=st.decimals("0.5", "3", places=2),
        volume_scale=st.decimals("0.5", "3", places=2),
        max_orders=st.integers(0, 10),
    )
)
def test_closed_forms_hold_for_every_ladder(form: LadderShape) -> None:
    delta, g, k = form.first_deviation_pct, form.step_scale, form.max_orders
    ratio, v = form.first_size_ratio, form.volume_scale
    with localcontext(prec=40):
        reach = delta * k if g == 1 else delta * (g**k - 1) / (g - 1)
        multiple = 1 + (ratio * k if v == 1 else ratio * (v**k - 1) / (v - 1))
    assert abs(deviations_pct(form)[-1] - reach) < D("1e-20")
    assert abs(notional(form, D(1)) - multiple) < D("1e-20")


@pytest.mark.parametrize("text", ["1E+3", "10.500", "0", "1E-7"])
def test_shown_figures_are_plain_and_equal(text: str) -> None:
    assert D(shown(D(text))) == D(text)
    assert "E" not in shown(D(text))


def test_the_presets_fill_only_absent_fields() -> None:
    spec = StrategySpec.model_validate(
        {
            "connection": "x",
            "pairs": ("BTC/USDT",),
            "marginLimit": "500 USDT",
            "averaging": {"stepScale": D("1.5")},
        }
    )
    terms = resolve(spec, None, MarketKind.FUTURES)
    assert terms.shape.step_scale == D("1.5")
    assert terms.shape.first_deviation_pct == D("1.5")
    assert terms.leverage == 3


@pytest.mark.parametrize(("sign", "after", "gained"), [(1, 99, 1), (1, 101, -1), (-1, 101, 1)])
def test_an_average_improves_in_the_positions_direction(sign: int, after: int, gained: int) -> None:
    assert improvement_pct(D(100), D(after), sign) == gained
