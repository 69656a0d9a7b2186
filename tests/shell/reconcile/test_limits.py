"""What an edit of a limit, or of what a limit is a share of, does to bots and their open deals."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from backfuturectl.model.orders import LegKind
from tests.shell.reconcile.town import Town, connection, new_town, strategy

pytestmark = pytest.mark.looptime(noop_cycles=3)

D = Decimal
PAIRS = "[BTC/USDT, ETH/USDT]"


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return new_town(tmp_path)


def document(**fields: object) -> str:
    """Return a strategy over two pairs whose base order is as large as its limit allows."""
    return strategy(pairs=PAIRS, **fields).replace("baseOrder: 100 USDT", "baseOrder: auto")


def deals(town: Town) -> int:
    return sum(seat.has_open_deal for seat in town.seats)


def limit(town: Town, bot: str = "grid/BTC-USDT") -> Decimal:
    return town.bot(bot)._stepper._state.setup.terms.margin_limit


async def test_a_limit_that_is_a_share_follows_the_connections_capital(town: Town) -> None:
    town.write(main=connection(), grid=strategy(margin="20%"))
    async with town.daemon():
        await town.settled()
        assert limit(town) == 1000
        town.write(main=connection().replace("5000 USDT", "4000 USDT"))
        await town.settled()
        assert limit(town) == 800


async def test_after_an_adopted_edit_the_next_deals_are_as_large_as_the_file_says(
    town: Town,
) -> None:
    auto = document(deals=2)
    town.write(main=connection(), grid=auto)
    async with town.daemon():
        await town.settled()
        await town.until(lambda: all(seat.has_open_deal for seat in town.seats))
        two = town.bot()._stepper._state.setup.base_quote
        town.write(grid=auto.replace("maxActiveDeals: 2", "maxActiveDeals: 1\n  onChange: adopt"))
        await town.settled()
        state = town.bot()._stepper._state
        assert state.deal.base_quote == two
        assert state.setup.base_quote > D("1.9") * two


async def test_a_deal_keeps_its_ladder_when_more_deals_are_allowed(town: Town) -> None:
    town.write(grid=document(deals=1))
    async with town.daemon():
        await town.until(lambda: deals(town) == 1)
        await town.rest()
        (seat,) = (seat for seat in town.seats if seat.has_open_deal)
        before = [o for o in seat.bot._stepper.open_orders() if o.leg.kind is LegKind.RUNG]
        town.write(grid=document(deals=2))
        await town.settled()
        after = [o for o in seat.bot._stepper.open_orders() if o.leg.kind is LegKind.RUNG]
        assert [o.client_order_id for o in after] == [o.client_order_id for o in before]
        assert len(after) == 2
        assert deals(town) == 1


async def test_a_restart_remembers_the_share_of_a_deal_that_an_edit_has_outlived(
    town: Town,
) -> None:
    town.write(grid=document(deals=1))
    async with town.daemon():
        await town.until(lambda: deals(town) == 1)
        town.write(grid=document(deals=2))
        await town.settled()
        assert deals(town) == 1
    async with town.daemon():
        await town.settled()
        assert deals(town) == 1


async def test_bots_that_have_not_looked_take_nothing_from_a_deal_that_an_edit_meets(
    town: Town,
) -> None:
    pairs = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
    three = document(deals=3).replace(PAIRS, f"[{', '.join(pairs)}]")
    one = three.replace("Deals: 3", "Deals: 1")
    town.write(grid=three)
    async with town.daemon():
        await town.until(lambda: deals(town) == 3)
        town.write(grid=one)
        await town.until(lambda: town.generation("grid") == 2)
        for pair in pairs:
            town.price("104", pair)
        await town.until(lambda: deals(town) == 0)
        await town.until(lambda: deals(town) == 1, within_s=120)
        (name,) = (seat.planned.bot for seat in town.seats if seat.has_open_deal)
    town.write(grid=one.replace("percent: 1}", "percent: 2}"))
    town.faults.delay_s = 1.0
    async with town.daemon():
        await town.until(lambda: name in town.bots and town.bot(name).provenance.generation == 3)
        assert not any(seat.bot.has_compared for seat in town.seats)
        await town.rest(20)
        state = town.bot(name)._stepper._state
        assert state.deal.share == 1000
        assert "RungSkipped" not in {s.event.reason for s in await town.store.events()}
