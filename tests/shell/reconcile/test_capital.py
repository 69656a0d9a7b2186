"""V-ACCOUNT over what runs: a connection's capital is never promised twice."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from backfuturectl.model.status import Reason
from tests.shell.reconcile.town import Town, connection, new_town, strategy

pytestmark = pytest.mark.looptime(noop_cycles=3)

D = Decimal
GRID, ETH = "grid/BTC-USDT", "eth/ETH-USDT"
AHEAD = "102"


@pytest.fixture
def town(tmp_path: Path) -> Town:
    """Files in which two strategies need four fifths of the capital."""
    made = new_town(tmp_path)
    made.write(main=connection(), grid=grid(3000), eth=eth(1000))
    return made


def grid(limit: int, **fields: object) -> str:
    return auto(margin=f"{limit} USDT", **fields)


def eth(limit: int, **fields: object) -> str:
    fields.setdefault("name", "eth")
    return auto(margin=f"{limit} USDT", **{"pairs": "[ETH/USDT]", **fields})


def auto(**fields: object) -> str:
    return strategy(**fields).replace("baseOrder: 100 USDT", "baseOrder: auto")


def limits(town: Town) -> dict[str, Decimal]:
    return {
        seat.planned.bot: seat.bot._stepper._state.setup.terms.margin_limit for seat in town.seats
    }


async def in_deals(town: Town) -> None:
    await town.until(lambda: len(town.seats) == 2 and all(s.has_open_deal for s in town.seats))


async def test_the_last_good_generation_of_a_broken_file_keeps_what_it_has(town: Town) -> None:
    async with town.daemon():
        await in_deals(town)
        broken = grid(3000).replace("takeProfit:", "takeProfitt:")
        town.write(grid=broken, eth=eth(4500))
        await town.settled()
        assert town.reason("grid") is Reason.SCHEMA_INVALID
        assert town.reason("eth") is Reason.CAPITAL_IN_USE
        assert limits(town) == {GRID: 3000, ETH: 1000}

        town.write(grid=grid(400))
        await town.settled()
        assert limits(town) == {GRID: 400, ETH: 4500}
        assert town.reason("eth") is Reason.RECONCILE_SUCCEEDED


async def test_a_restart_does_not_forget_what_a_broken_file_runs_with(town: Town) -> None:
    async with town.daemon():
        await in_deals(town)
    town.write(grid=grid(3000).replace("takeProfit:", "takeProfitt:"), eth=eth(4500))
    async with town.daemon():
        await town.settled()
        assert limits(town) == {GRID: 3000, ETH: 1000}


async def test_a_removed_strategy_keeps_what_its_open_deal_may_use_until_it_ends(
    town: Town,
) -> None:
    async with town.daemon():
        await in_deals(town)
        town.remove("grid")
        town.write(eth=eth(4500))
        await town.settled()
        assert limits(town) == {GRID: 3000, ETH: 1000}
        town.price(AHEAD)
        await town.rest(120)
        assert limits(town) == {ETH: 4500}


async def test_a_removed_strategy_without_a_deal_leaves_its_part_at_once(town: Town) -> None:
    town.write(grid=grid(3000, extra="entry: {trigger: priceBelow, price: 1}"))
    async with town.daemon():
        await town.until(lambda: len(town.seats) == 2)
        town.remove("grid")
        town.write(eth=eth(4500))
        await town.settled()
        assert limits(town) == {ETH: 4500}


async def test_a_new_strategy_waits_until_there_is_enough(town: Town) -> None:
    async with town.daemon():
        await in_deals(town)
        town.remove("grid")
        town.write(three=eth(2500, name="three", pairs="[SOL/USDT]"))
        await town.settled()
        assert town.bots == {GRID, ETH}
        town.price(AHEAD)
        await town.rest(120)
        assert town.bots == {ETH, "three/SOL-USDT"}


async def test_parts_that_change_places_in_one_edit_both_change(town: Town) -> None:
    async with town.daemon():
        await in_deals(town)
        town.write(grid=grid(500), eth=eth(4500))
        await town.settled()
        assert limits(town) == {GRID: 500, ETH: 4500}


async def test_who_needs_less_than_before_is_never_refused(town: Town) -> None:
    async with town.daemon():
        await in_deals(town)
        broken = grid(3000).replace("takeProfit:", "takeProfitt:")
        poor = connection().replace("5000 USDT", "2000 USDT")
        town.write(main=poor, grid=broken, eth=eth(900))
        await town.settled()
        assert limits(town) == {GRID: 3000, ETH: 900}


async def test_the_exchanges_own_fee_counts_when_the_parts_are_summed(town: Town) -> None:
    """The files pass by the assumed fee; by the exchange's own they need a little more."""
    for pair in ("BTC/USDT", "ETH/USDT"):
        town.change_market(pair, taker_fee=D("0.004"))
    needs = [  # 2,488 for the orders; with fees of 0.1 % 2,492.98 each, with 0.4 % 2,507.90
        strategy(margin="4000 USDT", **fields).replace("100 USDT", "622 USDT")
        for fields in ({}, {"name": "eth", "pairs": "[ETH/USDT]"})
    ]
    town.write(grid=needs[0], eth=needs[1])
    async with town.daemon():
        await town.settled()
        assert len(town.bots) == 1
        waiting = {town.reason("grid"), town.reason("eth")}
        assert waiting == {Reason.RECONCILE_SUCCEEDED, Reason.CAPITAL_IN_USE}


async def test_paper_takes_nothing_of_the_capital(town: Town) -> None:
    town.write(grid=grid(5000, extra="mode: paper"), eth=eth(5000))
    async with town.daemon():
        await town.settled()
        assert limits(town) == {GRID: 5000, ETH: 5000}


async def test_a_second_bot_for_which_nothing_is_left_keeps_the_first_one_from_nothing(
    town: Town,
) -> None:
    town.write(spare=connection("spare", key="spare"))
    on_spare = eth(4500, on="spare")
    town.write(grid=grid(1000), eth=on_spare)
    recovery = "recovery: {actions: {takeProfitPct: 0.5, newDeals: 'viaConnection: spare'}}"
    via = grid(1000, take_profit="2").replace(
        "recovery: {enabled: false}",
        recovery[:-1] + ", trigger: {drawdownPct: 5}, escalate: {drawdownPct: 6}}",
    )
    async with town.daemon():
        await in_deals(town)
        town.write(eth=on_spare.replace("takeProfit:", "takeProfitt:"), grid=via)
        await town.settled()
        assert town.bots == {GRID, ETH}
        assert town.bot(GRID).provenance.generation == 2
        assert town.reason("grid") is Reason.RECONCILE_SUCCEEDED

        town.write(eth=eth(4000, on="spare"))
        await town.rest(90)
        assert town.bots == {GRID, ETH, f"{GRID}@spare"}


async def test_who_waits_for_capital_elsewhere_still_leaves_where_it_was(town: Town) -> None:
    """Two strategies that change places must not wait for one another for ever."""
    town.write(spare=connection("spare", key="spare"))
    entry = "entry: {trigger: priceBelow, price: 101}"
    moving = grid(1000, pairs="[BTC/USDT, ETH/USDT]", deals=2, extra=entry)
    town.price("200", "ETH/USDT")
    occupant = eth(4500, pairs="[SOL/USDT]", on="spare")
    town.write(grid=moving, eth=occupant)
    async with town.daemon():
        await town.until(lambda: len(town.bots) == 3 and town.bot(GRID).view().position_base > 0)
        there = moving.replace("connection: main", "connection: spare\n  onChange: drain")
        town.write(grid=there, eth=occupant.replace("takeProfit:", "takeProfitt:"))
        await town.settled()
        assert town.bots == {GRID, "eth/SOL-USDT"}
        town.price(AHEAD)
        await town.rest(90)
        assert town.bots == {"eth/SOL-USDT"}
        assert town.reason("grid") is Reason.CAPITAL_IN_USE

        town.write(eth=eth(4000, pairs="[SOL/USDT]", on="spare"))
        await town.rest(60)
        assert town.bots == {GRID, "grid/ETH-USDT", "eth/SOL-USDT"}
