"""Every row of the reconciliation table, brought about on an exchange and carried out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from backfuturectl.engine import agreement, home, lookups, strangers
from backfuturectl.engine.lookups import FILLS_PATIENCE_S, MISSING_PATIENCE_S
from backfuturectl.engine.rulings import RULINGS, Known, Ruling, Shown
from backfuturectl.exchanges.simulated import PortCall
from backfuturectl.matching.values import OrderRequest, VenueOrder, Wallet
from backfuturectl.model.ids import OrderName, bot_code, client_order_id
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import Leg, LegKind, OrderStatus, OrderType, Side
from backfuturectl.strategy.base import Gate
from tests.shell.world import ACCOUNT, BUSY, NAME, PAIR, START_MS, UNKNOWN, World, world

pytestmark = pytest.mark.looptime(noop_cycles=1)

D = Decimal
BASE, RUNG, TAKE_PROFIT, STOP = (
    LegKind.BASE,
    LegKind.RUNG,
    LegKind.TAKE_PROFIT,
    LegKind.STOP_LOSS,
)
PAGE = Path(__file__).parents[3] / "docs" / "reconciliation.md"


class Asked(dict[tuple[Known, Shown], Ruling]):
    """The table, and which rows of it were asked for."""

    def __init__(self) -> None:
        super().__init__(RULINGS)
        self.rows: list[tuple[Known, Shown]] = []

    def __getitem__(self, row: tuple[Known, Shown]) -> Ruling:
        self.rows.append(row)
        return super().__getitem__(row)


@dataclass
class Outcome:
    """What a scene is to end in; None for what it does not matter to."""

    leg: LegKind | None = None
    statuses: tuple[OrderStatus, ...] = ()
    gate: Gate = Gate.OPEN
    notes: tuple[str, ...] = field(default=())


S = OrderStatus
Scene = Callable[[World], Awaitable[None]]
SCENES: dict[tuple[Known, Shown], tuple[Scene, Outcome, MarketKind]] = {}


def scene(
    known: Known, shown: Shown, outcome: Outcome, kind: MarketKind = MarketKind.SPOT
) -> Callable[[Scene], Scene]:
    def put(play: Scene) -> Scene:
        assert (known, shown) not in SCENES
        SCENES[known, shown] = (play, outcome, kind)
        return play

    return put


async def begin(w: World) -> None:
    await w.start()
    await w.price("100", for_s=5)


def named(w: World, bot: str = NAME.bot, installation: str = "", deal: int = 7) -> str:
    leg = Leg(RUNG, 1) if deal > 1 else Leg(BASE)
    return client_order_id(
        OrderName(installation or w.store.installation, bot_code(bot), deal, leg, 0)
    )


def put(w: World, client_id: str, *, at_market: bool = False) -> VenueOrder:
    """Put an order on the exchange that the bot did not place."""
    kind, price = (OrderType.MARKET, None) if at_market else (OrderType.LIMIT, D(90))
    request = OrderRequest(w.symbol, Side.BUY, kind, D("0.5"), price=price, client_id=client_id)
    return w.venue.place(ACCOUNT, request, w.clock.now_ms())


# Whose account it is.


async def with_a_new_key(w: World, account_id: str, hidden: frozenset[str] = frozenset()) -> None:
    """Have a deal of account one go on with a key that the exchange says *account_id* of."""
    w.account_id = "one"
    await begin(w)
    await w.stop()
    w.account_id, w.key_since_ms = account_id, w.clock.now_ms()
    w.account.hidden_orders = hidden
    await begin(w)


@scene(Known.ACCOUNT, Shown.SAME, Outcome(TAKE_PROFIT, (S.OPEN,)))
async def key_of_the_same_account(w: World) -> None:
    await with_a_new_key(w, "one")


@scene(
    Known.ACCOUNT,
    Shown.ELSEWHERE,
    Outcome(TAKE_PROFIT, (S.OPEN,), gate=Gate.SHUT, notes=("AccountChanged",)),
)
async def key_of_another_account(w: World) -> None:
    await with_a_new_key(w, "two")
    asked = len(w.faults.calls)
    await w.price("103", for_s=60)
    assert len(w.faults.calls) == asked


@scene(
    Known.ACCOUNT,
    Shown.UNPROVEN,
    Outcome(TAKE_PROFIT, (S.OPEN,), gate=Gate.SHUT, notes=("AccountChanged",)),
)
async def key_of_an_account_that_is_not_told(w: World) -> None:
    class Everything(frozenset[str]):
        def __contains__(self, _: object) -> bool:
            return True

    await with_a_new_key(w, "", Everything())
    await w.price("103", for_s=60)


# An order whose answer never came.


@scene(Known.UNANSWERED, Shown.MORE, Outcome(BASE, (S.FILLED,)))
async def arrived(w: World) -> None:
    w.faults.lose_answer(PortCall.PLACE, UNKNOWN)
    await begin(w)


@scene(Known.UNANSWERED, Shown.UNEXPLAINED, Outcome(BASE, (S.UNKNOWN,)))
async def arrived_and_fills_lag(w: World) -> None:
    w.account.hides_fills = True
    await arrived(w)


@scene(Known.UNANSWERED, Shown.UNSEEN, Outcome(BASE, (S.UNKNOWN,)))
async def may_still_appear(w: World) -> None:
    w.account.horizon_ms = 30_000
    w.faults.fail(PortCall.PLACE, UNKNOWN)
    await begin(w)


@scene(Known.UNANSWERED, Shown.GONE, Outcome(BASE, (S.ABSENT,)))
async def never_arrived(w: World) -> None:
    w.account.horizon_ms = 3_000
    w.faults.fail(PortCall.PLACE, UNKNOWN)
    await begin(w)
    await w.price("100", for_s=2)


# An order that the exchange acknowledged.


@scene(Known.RESTING, Shown.SAME, Outcome(TAKE_PROFIT, (S.OPEN,)))
async def rests(w: World) -> None:
    await begin(w)
    await w.price("100", for_s=30)


@scene(Known.RESTING, Shown.MORE, Outcome(BASE, (S.FILLED,)))
async def filled(w: World) -> None:
    await begin(w)


@scene(Known.RESTING, Shown.UNEXPLAINED, Outcome(BASE, (S.OPEN,)))
async def fills_lag(w: World) -> None:
    w.account.hides_fills = True
    await begin(w)


@scene(Known.RESTING, Shown.OVERDUE, Outcome(BASE, (S.FILLED,)))
async def fills_never_come(w: World) -> None:
    await fills_lag(w)
    await w.price("100", for_s=FILLS_PATIENCE_S + 5)


@scene(Known.RESTING, Shown.UNSEEN, Outcome(TAKE_PROFIT, (S.OPEN,)))
async def view_lags(w: World) -> None:
    await begin(w)
    (gone,) = w.resting(TAKE_PROFIT)
    w.account.hidden_orders = frozenset({gone.client_id or ""})
    await w.price("100", for_s=MISSING_PATIENCE_S - 30)


@scene(
    Known.RESTING,
    Shown.GONE,
    Outcome(TAKE_PROFIT, (S.OPEN,), gate=Gate.EXITS_ONLY, notes=("OrderMissing",)),
)
async def vanished(w: World) -> None:
    await view_lags(w)
    await w.price("100", for_s=120)


# A stop that waits on the exchange and is being canceled.


async def moved_stop(w: World) -> VenueOrder:
    """Have a rung fill, so that a stop for more takes the place of the first, which is returned."""
    w.faults.always[PortCall.CANCEL] = BUSY
    await begin(w)
    (stop,) = w.resting(STOP)
    await w.price("97.9", for_s=10)
    return stop


@scene(Known.ENDING_STOP, Shown.SAME, Outcome(STOP, (S.OPEN, S.OPEN)), MarketKind.FUTURES)
async def stop_still_waits(w: World) -> None:
    await moved_stop(w)
    await w.price("97.9", for_s=25)


@scene(Known.ENDING_STOP, Shown.MORE, Outcome(STOP, (S.CANCELED, S.OPEN)), MarketKind.FUTURES)
async def stop_canceled(w: World) -> None:
    await moved_stop(w)
    del w.faults.always[PortCall.CANCEL]
    await w.price("97.9", for_s=120)


@scene(Known.ENDING_STOP, Shown.UNEXPLAINED, Outcome(), MarketKind.FUTURES)
async def stop_fires_and_fills_lag(w: World) -> None:
    await moved_stop(w)
    w.account.hides_fills = True
    await w.price("80", for_s=4)
    assert {S.OPEN} == set(await w.statuses(STOP))


@scene(Known.ENDING_STOP, Shown.OVERDUE, Outcome(), MarketKind.FUTURES)
async def stop_fires_and_fills_never_come(w: World) -> None:
    await stop_fires_and_fills_lag(w)
    await w.price("80", for_s=FILLS_PATIENCE_S + 10)
    assert S.OPEN not in await w.statuses(STOP)
    assert w.venue.position(ACCOUNT, w.symbol) is None


@scene(Known.ENDING_STOP, Shown.UNSEEN, Outcome(STOP, (S.OPEN, S.OPEN)), MarketKind.FUTURES)
async def stop_unseen(w: World) -> None:
    stop = await moved_stop(w)
    w.account.hidden_orders = frozenset({stop.client_id or ""})
    await w.price("97.9", for_s=MISSING_PATIENCE_S - 30)


@scene(Known.ENDING_STOP, Shown.GONE, Outcome(STOP, (S.CANCELED, S.OPEN)), MarketKind.FUTURES)
async def stop_gone(w: World) -> None:
    await stop_unseen(w)
    await w.price("97.9", for_s=60)


# Orders that ended.


@scene(Known.BARE, Shown.UNEXPLAINED, Outcome(BASE, (S.FILLED,)))
async def fills_stay_away(w: World) -> None:
    await fills_never_come(w)
    await w.price("100", for_s=60)
    assert await w.store.fills(NAME.bot) == ()


@scene(Known.BARE, Shown.MORE, Outcome(BASE, (S.FILLED,)))
async def fills_come_after_all(w: World) -> None:
    await fills_stay_away(w)
    w.account.hides_fills = False
    await w.price("100", for_s=60)
    assert len(await w.store.fills(NAME.bot)) == 1


@scene(Known.ABSENT, Shown.OPEN, Outcome(notes=("OrderAppeared",)))
async def appears_after_all(w: World) -> None:
    late = client_order_id(OrderName(w.store.installation, bot_code(NAME.bot), 1, Leg(RUNG, 1), 0))
    w.account.hidden_orders = frozenset({late})
    w.faults.lose_answer(PortCall.PLACE, None, None, UNKNOWN)
    await begin(w)
    w.account.hidden_orders = frozenset()
    await w.price("100", for_s=60)
    rows = {row.client_order_id: row.status for row in await w.rows(RUNG)}
    assert rows[late] is S.CANCELED


@scene(Known.ABSENT, Shown.MORE, Outcome(notes=("OrderAppeared",)))
async def filled_after_all(w: World) -> None:
    late = client_order_id(OrderName(w.store.installation, bot_code(NAME.bot), 1, Leg(RUNG, 1), 0))
    w.account.hidden_orders = frozenset({late})
    w.faults.lose_answer(PortCall.PLACE, None, None, UNKNOWN)
    await begin(w)
    w.venue.set_price(w.symbol, D("97.9"), w.clock.now_ms())
    w.account.hidden_orders = frozenset()
    await w.price("100", for_s=60)
    rows = {row.client_order_id: row.status for row in await w.rows(RUNG)}
    assert rows[late] is S.FILLED


@scene(Known.ENDED, Shown.OPEN, Outcome())
async def list_is_stale(w: World) -> None:
    await begin(w)
    stale = await w.account.open_orders(PAIR)
    await w.price("103", for_s=130)
    w.account.listed_too = stale
    await w.price("103", for_s=30)
    assert w.bot is not None
    assert w.bot.view().deal_number == 2


# Orders that are not in the journal.


@scene(Known.LOST, Shown.OPEN, Outcome(BASE, (), gate=Gate.SHUT, notes=("LostOrder",)))
async def own_order_is_not_in_the_journal(w: World) -> None:
    order = put(w, named(w))
    await begin(w)
    assert w.venue.order(ACCOUNT, order.serial).is_open


@scene(Known.LOST, Shown.FILLED, Outcome(BASE, (), gate=Gate.SHUT, notes=("PositionMismatch",)))
async def own_deal_is_not_in_the_journal(w: World) -> None:
    put(w, named(w, deal=1), at_market=True)
    await begin(w)


@scene(Known.SIBLING, Shown.OPEN, Outcome(BASE, (S.FILLED,)))
async def another_bots_order(w: World) -> None:
    order = put(w, named(w, bot="short/BTC-USDT"))
    await begin(w)
    assert w.venue.order(ACCOUNT, order.serial).is_open
    assert "ForeignOrder" not in await w.notes()


@scene(Known.TWIN, Shown.OPEN, Outcome(BASE, (), gate=Gate.EXITS_ONLY, notes=("TwinOrder",)))
async def another_daemons_order(w: World) -> None:
    order = put(w, named(w, installation="zzzz"))
    await begin(w)
    assert w.venue.order(ACCOUNT, order.serial).is_open


@scene(Known.TWIN, Shown.FILLED, Outcome(BASE, (), gate=Gate.SHUT, notes=("PositionMismatch",)))
async def coins_of_a_state_that_was_lost(w: World) -> None:
    put(w, named(w, installation="zzzz", deal=1), at_market=True)
    await begin(w)


@scene(Known.FOREIGN, Shown.OPEN, Outcome(BASE, (S.FILLED,), notes=("ForeignOrder",)))
async def a_persons_order(w: World) -> None:
    order = put(w, "web-1")
    await begin(w)
    assert w.venue.order(ACCOUNT, order.serial).is_open


# What is held.


@scene(Known.POSITION, Shown.SAME, Outcome(), MarketKind.FUTURES)
async def position_agrees(w: World) -> None:
    await begin(w)
    assert w.bot is not None
    w.bot.reconcile_soon()
    await w.price("100", for_s=5)


@scene(
    Known.POSITION,
    Shown.OTHER,
    Outcome(gate=Gate.SHUT, notes=("PositionMismatch",)),
    MarketKind.FUTURES,
)
async def position_differs(w: World) -> None:
    await begin(w)
    request = OrderRequest(w.symbol, Side.BUY, OrderType.MARKET, amount_base=D("0.5"))
    w.venue.place(ACCOUNT, request, w.clock.now_ms())
    await w.price("100", for_s=120)


@scene(Known.POSITION, Shown.FORCED, Outcome(notes=("Liquidated",)), MarketKind.FUTURES)
async def position_was_liquidated(w: World) -> None:
    await begin(w)
    w.bot, bot = None, w.bot  # the price runs away while nobody looks
    await w.price("40", for_s=1)
    w.bot = bot
    await w.price("100", for_s=120)
    assert w.bot is not None
    assert w.bot.view().state == "MANUAL"


@scene(Known.COINS, Shown.SAME, Outcome())
async def coins_are_there(w: World) -> None:
    w.venue.deposit(ACCOUNT, Wallet.SPOT, "BTC", D(3), START_MS)
    await position_agrees(w)


@scene(Known.COINS, Shown.LESS, Outcome(gate=Gate.SHUT, notes=("PositionMismatch",)))
async def coins_are_gone(w: World) -> None:
    await begin(w)
    w.venue.cancel(ACCOUNT, w.resting(TAKE_PROFIT)[0].serial, w.clock.now_ms())
    w.venue.deposit(ACCOUNT, Wallet.SPOT, "BTC", D("-0.5"), w.clock.now_ms())
    assert w.bot is not None
    w.bot.reconcile_soon()
    await w.price("100", for_s=60)


@pytest.mark.parametrize("row", SCENES, ids=lambda row: f"{row[0].name}-{row[1].name}")
async def test_a_ruling_is_carried_out(
    row: tuple[Known, Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    play, outcome, kind = SCENES[row]
    asked = Asked()
    for module in (agreement, home, lookups, strangers):
        monkeypatch.setattr(module, "RULINGS", asked)
    async with world(kind, starts=False) as w:
        await play(w)
        assert row in asked.rows
        assert w.bot is not None
        assert w.task is not None
        assert not w.task.done()
        assert w.bot.gate[0] is outcome.gate, w.bot.gate
        if outcome.leg is not None:
            assert tuple(await w.statuses(outcome.leg)) == outcome.statuses
        told = await w.notes()
        for note in outcome.notes:
            assert told.count(note) == 1, told


def test_every_ruling_has_a_scene() -> None:
    assert set(SCENES) == set(RULINGS)


def test_a_ruling_that_restricts_a_bot_tells_people() -> None:
    for ruling in RULINGS.values():
        assert ruling.note or ruling.gate is Gate.OPEN


def test_the_page_shows_every_ruling() -> None:
    rows = [
        f"| {known} | {shown} | {ruling.action} | "
        f"{'' if ruling.gate is Gate.OPEN else f'`{ruling.gate}`'} | "
        f"{f'`{ruling.note}`' if ruling.note else ''} | {ruling.because} |"
        for (known, shown), ruling in RULINGS.items()
    ]
    assert "\n".join(rows) in PAGE.read_text()
