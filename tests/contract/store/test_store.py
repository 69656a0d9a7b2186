"""What every user of the store relies on, in a thread and inline alike."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, closing
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy import event as sqlalchemy_event

from backfuturectl.model.errors import InvalidTransitionError, TransientError
from backfuturectl.model.ids import OrderName, bot_code, client_order_id
from backfuturectl.model.orders import TRANSITIONS, Leg, LegKind, OrderStatus
from backfuturectl.model.records import BotRecord, HoldRecord, OrderRecord, ResourceRecord
from backfuturectl.model.status import Reason
from backfuturectl.store import statements, writer
from backfuturectl.store.database import Remove, Store, Write
from tests.contract.store.records import (
    BOT,
    DEAL,
    SEED,
    bot,
    deal,
    event,
    fill,
    funding,
    hold,
    order,
    resource,
)


def open_store(path: Path, *, inline: bool = False) -> AbstractAsyncContextManager[Store]:
    return Store.open(f"sqlite:///{path / 'state.db'}", seed=SEED, inline=inline)


@pytest.fixture(params=[False, True], ids=["in threads", "inline"])
async def store(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with open_store(tmp_path, inline=request.param) as opened:
        yield opened


async def test_every_kind_of_record_comes_back_as_it_went_in(store: Store) -> None:
    closed = deal(1, closed_at_ms=900, result_quote=Decimal("-1.50"), exit_leg="stopLoss")
    stop = order(trigger_price=Decimal("35000.10"), field="spec.stopLoss.percent", source="a:3")
    valued = fill(fee_price=Decimal("1.250"))
    writes: list[Write] = [bot(), closed, stop, valued, funding(), event(), resource(), hold()]
    await store.commit(writes)
    assert await store.bots() == (bot(),)
    assert await store.deals() == (closed,)
    assert await store.orders() == (stop,)
    assert await store.fills(BOT) == (valued,)
    assert str((await store.fills(BOT))[0].fee_price) == "1.250"
    assert await store.funding(BOT) == (funding(),)
    assert [stored.event for stored in await store.events()] == [event()]
    assert await store.resources() == (resource(),)
    assert await store.holds() == (hold(),)


async def test_decimals_keep_every_digit_and_their_exponent(store: Store) -> None:
    price = Decimal("36901.57000000000000000000000000000001")
    await store.commit([order(price=price, amount_base=Decimal("1E-30"))])
    (found,) = await store.orders()
    assert (str(found.price), str(found.amount_base)) == (str(price), "1E-30")


async def test_a_fill_without_a_fee_comes_back_without_one(store: Store) -> None:
    await store.commit([fill(fee=None)])
    assert (await store.fills(BOT))[0].fee is None


async def test_a_commit_is_all_or_nothing(store: Store) -> None:
    await store.commit([order(status=OrderStatus.FILLED)])
    with pytest.raises(InvalidTransitionError, match="bf1 is filled already"):
        await store.commit([bot(), order(), deal()])
    assert await store.bots() == ()
    assert await store.deals() == ()


async def test_a_stale_report_does_not_reopen_a_filled_order(store: Store) -> None:
    filled = order(
        status=OrderStatus.FILLED, filled_base=Decimal(2), order_id="77", updated_at_ms=2_000
    )
    await store.commit([filled])
    await store.commit([order(status=OrderStatus.OPEN, filled_base=Decimal(1))])
    assert await store.orders(is_open=True) == ()
    assert await store.orders(is_open=False) == (filled,)


async def test_a_fill_that_arrives_after_a_cancel_is_kept(store: Store) -> None:
    await store.commit([order(status=OrderStatus.CANCELED)])
    await store.commit([order(status=OrderStatus.CANCELED, filled_base=Decimal("0.5"))])
    await store.commit([order(status=OrderStatus.FILLED, filled_base=Decimal(1))])
    (found,) = await store.orders()
    assert (found.status, found.filled_base) == (OrderStatus.FILLED, Decimal(1))


async def test_the_exchange_id_once_known_stays(store: Store) -> None:
    await store.commit([order(status=OrderStatus.OPEN, order_id="77")])
    await store.commit([order(status=OrderStatus.CANCELED)])
    assert (await store.orders())[0].order_id == "77"


async def test_deals_and_orders_are_filtered_and_the_newest_are_kept(store: Store) -> None:
    await store.commit([deal(1, closed_at_ms=5), deal(2), deal(3)])
    await store.commit(
        [
            order("a", intended_at_ms=1, status=OrderStatus.FILLED),
            order("b", intended_at_ms=2),
            order("c", intended_at_ms=3, deal=f"{BOT}#2"),
            order("d", intended_at_ms=4, bot="other/ETH-USDT"),
        ]
    )
    assert [d.number for d in await store.deals(BOT, limit=2)] == [2, 3]
    assert [d.number for d in await store.deals(BOT, is_open=False)] == [1]
    assert await store.deals("nobody") == ()
    assert [o.client_order_id for o in await store.orders(limit=2)] == ["c", "d"]
    assert [o.client_order_id for o in await store.orders(BOT, DEAL)] == ["a", "b"]
    assert [o.client_order_id for o in await store.orders(BOT, is_open=True)] == ["b", "c"]


async def test_fills_are_found_by_deal_and_by_order(store: Store) -> None:
    await store.commit([order("a"), order("b", deal=f"{BOT}#2")])
    await store.commit([fill("1", "a", at_ms=2), fill("2", "b", at_ms=1)])
    assert [f.fill_id for f in await store.fills(BOT)] == ["2", "1"]
    assert [f.fill_id for f in await store.fills(BOT, deal=DEAL)] == ["1"]
    assert [f.fill_id for f in await store.fills(BOT, client_order_ids=["b"])] == ["2"]


async def test_the_same_fill_seen_twice_is_one_fill(store: Store) -> None:
    await store.commit([fill(), fill()])
    await store.commit([fill(price=Decimal(5))])
    assert await store.fills(BOT) == (fill(),)


async def test_a_fee_that_is_told_late_is_added_to_its_fill(store: Store) -> None:
    await store.commit([fill(fee=None)])
    await store.commit([fill()])
    await store.commit([fill(fee_price=Decimal(2))])
    await store.commit([fill(fee=None), fill(fee_price=Decimal(9))])
    assert await store.fills(BOT) == (fill(fee_price=Decimal(2)),)


async def test_funding_is_found_by_deal_and_seen_twice_is_paid_once(store: Store) -> None:
    other = funding("p2", deal=f"{BOT}#2", at_ms=4)
    await store.commit([funding(), funding(), other, funding(amount_quote=Decimal(5))])
    assert await store.funding(BOT) == (other, funding())
    assert await store.funding(BOT, deal=DEAL) == (funding(),)


async def test_events_can_be_followed_by_id(store: Store) -> None:
    await store.commit([event(str(number), "Daemon") for number in range(5)])
    newest = await store.events(limit=2)
    assert [stored.event.message for stored in newest] == ["3", "4"]
    later = await store.events("Daemon", after_id=newest[0].event_id - 2, limit=2)
    assert [stored.event.message for stored in later] == ["2", "3"]
    assert await store.events("Bot/x") == ()


async def test_old_events_are_dropped_beyond_the_bound(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "EVENTS_KEPT", 3)
    for number in range(10):
        await store.commit([event(str(number))])
    assert [stored.event.message for stored in await store.events()] == ["7", "8", "9"]


async def test_rows_are_removed_by_key_in_the_order_of_the_writes(store: Store) -> None:
    await store.commit([hold(), hold(verb="halt"), bot(), resource()])
    await store.commit(
        [
            Remove(HoldRecord, ("strategy/eth", "pause")),
            Remove(BotRecord, (BOT,)),
            Remove(ResourceRecord, ("Strategy", "eth")),
            Remove(ResourceRecord, ("Strategy", "never was")),
            bot("new/BTC-USDT"),
            Remove(BotRecord, ("new/BTC-USDT",)),
            bot("newer/BTC-USDT"),
        ]
    )
    assert await store.holds() == (hold(verb="halt"),)
    assert [found.bot for found in await store.bots()] == ["newer/BTC-USDT"]
    assert await store.resources() == ()


async def test_posted_events_are_there_after_the_next_commit(store: Store) -> None:
    store.post([event("posted")])
    await store.commit([bot()])
    assert [stored.event.message for stored in await store.events()] == ["posted"]


async def test_the_installation_is_drawn_once_per_database(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        first = store.installation
    async with Store.open(f"sqlite:///{tmp_path / 'state.db'}", seed=b"another seed") as store:
        assert store.installation == first
    assert len(first) == 4


async def test_posted_events_are_written_before_the_store_closes(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        store.post([event("last words")])
    async with open_store(tmp_path) as store:
        assert [stored.event.message for stored in await store.events()] == ["last words"]


@pytest.fixture
def transactions() -> Iterator[list[str]]:
    """Names of the threads that committed, one per transaction."""
    seen: list[str] = []

    def count(_: object) -> None:
        seen.append(threading.current_thread().name)

    sqlalchemy_event.listen(Engine, "commit", count)
    yield seen
    sqlalchemy_event.remove(Engine, "commit", count)


async def test_nothing_posted_is_no_transaction(store: Store, transactions: list[str]) -> None:
    store.post([])
    await store.commit([bot()])
    assert len(transactions) == 1


async def test_a_burst_of_commits_is_one_transaction(
    tmp_path: Path, transactions: list[str]
) -> None:
    async with open_store(tmp_path) as store:
        transactions.clear()
        async with asyncio.TaskGroup() as group:
            for number in range(500):
                group.create_task(store.commit([order(f"bf{number}")]))
        assert transactions == ["store-writer"]
        assert len(await store.orders()) == 500


async def test_a_poison_write_fails_alone(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await store.commit([order("bad", status=OrderStatus.FILLED)])
        outcomes: dict[str, BaseException | None] = {}

        async def commit(name: str) -> None:
            try:
                await store.commit([order(name), bot(name)])
            except InvalidTransitionError as error:
                outcomes[name] = error
            else:
                outcomes[name] = None

        async with asyncio.TaskGroup() as group:
            for name in ("a", "b", "bad", "c", "d"):
                group.create_task(commit(name))
        assert [name for name, error in outcomes.items() if error] == ["bad"]
        assert [found.bot for found in await store.bots()] == ["a", "b", "c", "d"]


async def test_a_row_that_the_database_refuses_is_an_unavailable_store(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        with pytest.raises(TransientError) as caught:
            await store.commit([bot(strategy=None)])
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
        assert caught.value.raw_code == "SQLITE_CONSTRAINT_NOTNULL"
        await store.commit([bot()])


async def test_commits_keep_the_order_of_their_calls(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(store.commit([bot(generation=number)]))
        assert (await store.bots())[0].generation == 99


async def test_a_canceled_commit_disturbs_no_other(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        task = asyncio.ensure_future(store.commit([bot("canceled")]))
        await asyncio.sleep(0)
        task.cancel()
        await store.commit([bot("kept")])
        assert "kept" in {found.bot for found in await store.bots()}


async def test_a_full_queue_refuses_posts_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "POSTS_MAX", 3)
    async with open_store(tmp_path) as store:
        with caplog.at_level(logging.ERROR):
            store.post([event(str(number)) for number in range(4)])
            await store.commit([bot()])
        assert await store.events() == ()
    assert "4 events were not recorded" in caplog.text


async def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await store.commit([bot()])
        writing, may_end = threading.Event(), threading.Event()

        def stay(_: object) -> None:
            writing.set()
            may_end.wait(30)

        writer_task = asyncio.ensure_future(store._writer.run(stay))
        await asyncio.to_thread(writing.wait, 30)
        assert await store.bots() == (bot(),)
        assert not writer_task.done()
        may_end.set()
        await writer_task


_REPORTS = st.tuples(
    st.sampled_from(sorted(OrderStatus)), st.integers(0, 5).map(Decimal), st.booleans()
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reports=st.lists(_REPORTS, min_size=1, max_size=8))
async def test_an_order_only_ever_moves_along_its_table_and_writes_are_idempotent(
    reports: list[tuple[OrderStatus, Decimal, bool]],
) -> None:
    async with Store.open("sqlite://", seed=SEED, inline=True) as store:
        before = None
        for status, filled, is_repeated in reports:
            row = order(status=status, filled_base=filled)
            try:
                await store.commit([row])
            except InvalidTransitionError:
                continue
            (after,) = await store.orders()
            if before is not None:
                allowed = TRANSITIONS[before.status] | {before.status}
                assert after.status in allowed
                assert after.filled_base >= before.filled_base
            if is_repeated:
                await store.commit([after])
                assert await store.orders() == (after,)
            before = after


def tell(engine: Engine, *pragmas: str) -> None:
    """Set *pragmas* on the one connection there is, outside of any transaction."""
    pooled = engine.raw_connection()
    for pragma in pragmas:
        pooled.driver_connection.execute(f"PRAGMA {pragma}")
    pooled.close()


@pytest.mark.parametrize(
    ("broken", "mended", "cause"),
    [
        ("max_page_count=1", "max_page_count=1000000", "the disk is full"),
        ("query_only=ON", "query_only=OFF", "it is read-only"),
    ],
    ids=["full", "read-only"],
)
async def test_a_store_that_cannot_write_says_why_and_recovers_by_itself(
    tmp_path: Path,
    broken: str,
    mended: str,
    cause: str,
) -> None:
    async with open_store(tmp_path) as store:
        await store.commit([order()])
        tell(store._engines.writer, broken)
        large = [bot(f"bot{number}", state="x" * 4_000) for number in range(50)]
        with pytest.raises(TransientError, match=cause) as caught:
            await store.commit(large)
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
        assert cause in store.trouble
        assert not store.is_recording
        assert await store.orders() == (order(),)  # reading goes on
        assert await store.bots() == ()
        tell(store._engines.writer, mended)
        await store.commit(large)
        assert store.trouble == ""
        assert len(await store.bots()) == 50


async def test_it_is_recording_while_somebody_waits_for_a_commit(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store, asyncio.TaskGroup() as group:
        assert not store.is_recording
        commit = group.create_task(store.commit([order()]))
        await asyncio.sleep(0)
        assert store.is_recording
        await commit
        assert not store.is_recording


async def test_a_store_that_another_process_holds_is_unavailable_until_it_lets_go(
    tmp_path: Path,
) -> None:
    async with open_store(tmp_path) as store:
        tell(store._engines.writer, "busy_timeout=0")
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TransientError, match="another process holds it") as caught:
                await store.commit([order()])
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
        await store.commit([order()])
        assert await store.orders() == (order(),)


async def test_a_file_that_is_damaged_while_it_is_open_is_named_and_nothing_is_recorded(
    tmp_path: Path,
) -> None:
    async with open_store(tmp_path) as store:
        await store.commit([bot(f"bot{number}", state="x" * 2_000) for number in range(200)])
    async with open_store(tmp_path) as store:
        content = bytearray((tmp_path / "state.db").read_bytes())
        content[4096:] = b"\xff" * (len(content) - 4096)
        (tmp_path / "state.db").write_bytes(content)
        tell(store._engines.writer, "shrink_memory")  # what is cached is not read again
        with pytest.raises(TransientError, match="the file is damaged"):
            await store.commit([bot("bot7", state="y")])
        assert "the file is damaged" in store.trouble


async def test_a_bot_remembers_its_newest_deal_and_what_may_still_rest(store: Store) -> None:
    def at(ms: int, number: int, status: OrderStatus, bot: str = BOT) -> OrderRecord:
        leg = Leg(LegKind.RUNG, 1)
        name = OrderName(store.installation, bot_code(bot), number, leg, attempt=ms)
        deal = f"{bot}#{number}"
        return order(client_order_id(name), bot=bot, deal=deal, intended_at_ms=ms, status=status)

    old = at(1, 1, OrderStatus.FILLED)
    late = at(2, 1, OrderStatus.UNKNOWN)
    done, resting = at(3, 37, OrderStatus.CANCELED), at(4, 37, OrderStatus.OPEN)
    ahead = at(9, 36, OrderStatus.FILLED)  # before this machine's clock was set back
    other = at(5, 40, OrderStatus.OPEN, bot="other/BTC-USDT")
    await store.commit([resting, old, other, done, late, ahead])
    assert await store.remembered_orders(BOT) == (late, done, resting)
    assert await store.remembered_orders("nobody/BTC-USDT") == ()
