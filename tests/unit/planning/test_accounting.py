"""What deals came to, to the last digit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Context, Decimal, localcontext

from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import Fee, Side
from backfuturectl.model.records import FillRecord, FundingRecord
from backfuturectl.planning.accounting import Account, account_of, total

D = Decimal
BOT = "eth/BTC-USDT"
EXACT = Context(prec=100)


def fill(number: int, side: Side, price: str, amount: str, fee: Fee | None = None) -> FillRecord:
    return FillRecord(f"f{number}", "bf1", BOT, side, D(price), D(amount), fee, number)


def books(
    *fills: FillRecord,
    side: Side = Side.BUY,
    is_closed: bool = False,
    kind: MarketKind = MarketKind.SPOT,
    funding: tuple[FundingRecord, ...] = (),
) -> Account:
    return account_of(fills, funding, side=side, pair="BTC/USDT", kind=kind, is_closed=is_closed)


def test_a_sale_realises_the_difference_to_the_average_of_its_moment():
    found = books(
        fill(1, Side.BUY, "100", "1"),
        fill(2, Side.SELL, "110", "0.5"),
        fill(3, Side.BUY, "90", "1"),
    )
    assert found.realised == D(5)
    assert (found.position_base, found.position_cost) == (D("1.5"), D(140))
    assert found.unrealised(D(100), Side.BUY) == D(10)


def test_of_one_moment_what_enlarges_comes_first():
    entry, exit_ = fill(2, Side.BUY, "100", "1"), fill(1, Side.SELL, "110", "1")
    again = replace(fill(3, Side.BUY, "90", "1"), at_ms=3)
    found = books(replace(exit_, at_ms=2), entry, again)
    assert (found.realised, found.position_cost) == (D(10), D(90))


def test_a_short_gains_when_the_price_falls():
    found = books(fill(1, Side.SELL, "100", "2"), fill(2, Side.BUY, "90", "1"), side=Side.SELL)
    assert found.realised == D(10)
    assert found.unrealised(D(80), Side.SELL) == D(20)


def test_a_fee_in_the_coin_that_was_bought_counts_once():
    found = books(
        fill(1, Side.BUY, "100", "1", Fee("BTC", D("0.001"))),
        fill(2, Side.SELL, "110", "0.999", Fee("USDT", D("0.10989"))),
        is_closed=True,
    )
    assert found.realised == D("109.89") - D("0.10989") - D(100)
    assert found.fees == D("0.1") + D("0.10989")
    assert found.gross - found.fees == found.realised
    assert found.position_base == 0


def test_an_open_deal_has_realised_the_fee_of_its_entry_and_no_more():
    found = books(fill(1, Side.BUY, "100", "1", Fee("BTC", D("0.001"))))
    assert (found.gross, found.realised) == (D(0), D("-0.1"))
    assert found.average == D(100)


def test_on_futures_a_fee_in_base_takes_nothing_off_the_position():
    entry = fill(1, Side.BUY, "100", "1", Fee("BTC", D("0.001")))
    found = books(replace(entry, fee_price=D(100)), kind=MarketKind.FUTURES)
    assert (found.position_base, found.fees) == (D(1), D("0.1"))


def test_a_fee_in_a_third_coin_counts_at_its_price_or_is_named():
    kcs = Fee("KCS", D("0.02"))
    entry, exit_ = fill(1, Side.BUY, "100", "1", kcs), fill(2, Side.SELL, "101", "1", kcs)
    valued = books(replace(entry, fee_price=D(10)), exit_, is_closed=True)
    assert valued.realised == D("0.8")
    assert valued.unvalued == (kcs,)
    both = books(replace(entry, fee_price=D(10)), replace(exit_, fee_price=D(11)), is_closed=True)
    assert both.realised == D("0.58")
    assert both.unvalued == ()


def test_what_nobody_takes_is_worth_nothing_once_the_deal_is_closed_and_is_named():
    fills = (fill(1, Side.BUY, "100", "1.0003"), fill(2, Side.SELL, "101", "1"))
    closed, still_open = books(*fills, is_closed=True), books(*fills)
    assert closed.realised == D(101) - D("100.03")
    assert still_open.realised == D(1)
    assert (closed.position_base, closed.position_cost) == (D("0.0003"), D("0.0300"))


def test_funding_is_shown_apart_and_is_in_the_result():
    paid = FundingRecord("p1", BOT, "BTC/USDT", D("-0.5"), 5)
    got = FundingRecord("p2", BOT, "BTC/USDT", D("0.2"), 6)
    found = books(fill(1, Side.BUY, "100", "1"), kind=MarketKind.FUTURES, funding=(paid, got))
    assert (found.funding, found.realised) == (D("-0.3"), D("-0.3"))


amounts = st.decimals("0.00001", "50", places=5)
prices = st.decimals("0.01", "90000", places=2)
fees = st.one_of(
    st.none(),
    st.builds(Fee, st.sampled_from(["USDT", "KCS"]), st.decimals("-0.1", "5", places=8)),
)


@st.composite
def deals(draw, *, is_flat: bool) -> tuple[FillRecord, ...]:
    """Fills of a long deal that never sells more than it holds; at its end flat if asked for."""
    held, fills = D(0), []
    for number in range(draw(st.integers(1, 12))):
        amount = draw(amounts)
        side = Side.SELL if held >= amount and draw(st.booleans()) else Side.BUY
        held += amount if side is Side.BUY else -amount
        made = FillRecord(
            f"f{number}", "bf1", BOT, side, draw(prices), amount, draw(fees), number // 3
        )
        fills.append(replace(made, fee_price=draw(st.one_of(st.none(), prices))))
    if is_flat and held:
        fills.append(FillRecord("z", "bf1", BOT, Side.SELL, draw(prices), held, None, 99))
    return tuple(fills)


def said_by(fills: tuple[FillRecord, ...]) -> Decimal:
    """What the fills of a flat deal say, by the simplest arithmetic there is."""
    with localcontext(EXACT):
        result = D(0)
        for each in fills:
            value = each.price * each.amount_base
            result += value if each.side is Side.SELL else -value
            if each.fee is not None and each.fee.currency == "USDT":
                result -= each.fee.amount
            elif each.fee is not None and each.fee_price is not None:
                result -= each.fee.amount * each.fee_price
        return result


@given(deals(is_flat=True), st.randoms())
def test_a_closed_deal_came_to_what_its_fills_say_in_whatever_order(fills, random):
    shuffled = list(fills)
    random.shuffle(shuffled)
    found = books(*shuffled, is_closed=True)
    assert found.realised == said_by(fills)
    assert found == books(*fills, is_closed=True)
    # A flat deal is worth the same whether its end was recorded or not.
    assert books(*fills).realised == found.realised


entries = st.tuples(st.booleans(), amounts, prices, fees, st.none() | prices, st.booleans())


@given(st.lists(entries, min_size=1, max_size=8), st.randoms())
def test_fees_in_the_coin_itself_and_dust_are_in_the_result_to_the_last_digit(drawn, random):
    held, fills = D(0), []
    for number, (is_sale, amount, price, fee, fee_price, is_in_coin) in enumerate(drawn):
        side = Side.SELL if is_sale and held >= amount else Side.BUY
        held += amount if side is Side.BUY else -amount
        fill = FillRecord(f"f{number}", "bf1", BOT, side, price, amount, fee, number)
        if side is Side.BUY and is_in_coin:
            held -= amount / 1000
            fills.append(replace(fill, fee=Fee("BTC", amount / 1000)))
        else:
            fills.append(replace(fill, fee_price=fee_price))
    shuffled = list(fills)
    random.shuffle(shuffled)
    found = books(*shuffled, is_closed=True)
    assert found.realised == said_by(tuple(fills)), "a coin that cannot be sold is no second fee"
    assert found.position_base == held, "the remainder is named"
    in_coin = [fill for fill in fills if fill.fee is not None and fill.fee.currency == "BTC"]
    plain = [replace(fill, fee=None) if fill in in_coin else fill for fill in fills]
    with localcontext(EXACT):
        worth = sum((fill.fee.amount * fill.price for fill in in_coin), D(0))
        assert found.fees == books(*plain).fees + worth


@given(deals(is_flat=False), prices)
def test_realised_and_unrealised_together_are_cash_and_what_is_held(fills, price):
    found = books(*fills)
    with localcontext(EXACT):
        worth = said_by(fills) + found.position_base * price
        together = found.realised + found.unrealised(price, Side.BUY)
        # The average is divided, everything else is exact.
        assert abs(together - worth) < D("1e-40")


@given(st.lists(deals(is_flat=True), max_size=6), st.integers(0, 6))
def test_the_sum_of_deals_is_the_strategy_is_the_connection(found, cut):
    accounts = [books(*fills, is_closed=True) for fills in found]
    with localcontext(EXACT):
        whole = sum((said_by(fills) for fills in found), D(0))
    assert total(accounts).realised == whole
    assert total([total(accounts[:cut]), total(accounts[cut:])]) == total(accounts)
    assert total(reversed(accounts)) == total(accounts)
