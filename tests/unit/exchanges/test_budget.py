import asyncio

import pytest

from backfuturectl.exchanges.budget import Budget, Limit, Priority
from backfuturectl.model.errors import TransientError
from backfuturectl.model.status import Reason

pytestmark = pytest.mark.looptime


def budget() -> Budget:
    return Budget({"ip": Limit(10, 10.0), "orders": Limit(2, 1.0, is_per_account=True)})


async def drain(shared: Budget, weight: int) -> None:
    await shared.acquire(shared.draws({"ip": weight}, ""), Priority.READ, wait_max_s=0)


async def elapsed(shared: Budget, weights: dict[str, int], owner: str = "") -> float:
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    await shared.acquire(shared.draws(weights, owner), Priority.READ, wait_max_s=100)
    return loop.time() - started_at


async def test_requests_within_the_limit_do_not_wait():
    shared = budget()

    assert [await elapsed(shared, {"ip": 1}) for _ in range(10)] == [0.0] * 10


async def test_a_request_beyond_the_limit_waits_for_its_token():
    shared = budget()
    await drain(shared, 10)

    assert await elapsed(shared, {"ip": 3}) == pytest.approx(3.0, abs=0.01)


async def test_a_limit_per_account_leaves_other_accounts_alone():
    shared = budget()

    assert await elapsed(shared, {"orders": 2}, "a") == 0.0
    assert await elapsed(shared, {"orders": 2}, "b") == 0.0
    assert await elapsed(shared, {"orders": 1}, "a") == pytest.approx(0.5, abs=0.01)


async def test_an_order_goes_before_reads_that_waited_longer():
    shared = budget()
    await drain(shared, 10)
    order: list[str] = []

    async def send(name: str, priority: Priority) -> None:
        await shared.acquire(shared.draws({"ip": 1}, ""), priority, wait_max_s=100)
        order.append(name)

    async with asyncio.TaskGroup() as tasks:
        for name in ("read 1", "read 2"):
            tasks.create_task(send(name, Priority.READ))
        await asyncio.sleep(0.1)
        tasks.create_task(send("price", Priority.PRICE))
        tasks.create_task(send("order", Priority.ORDER))
        tasks.create_task(send("exit", Priority.EXIT))

    assert order == ["exit", "order", "price", "read 1", "read 2"]


async def test_an_exit_of_one_account_passes_another_accounts_orders_at_one_address():
    shared = budget()
    await drain(shared, 10)
    sent: list[str] = []

    async def send(owner: str, priority: Priority) -> None:
        draws = shared.draws({"ip": 5, "orders": 1}, owner)
        await shared.acquire(draws, priority, wait_max_s=100)
        sent.append(owner)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send("a", Priority.ORDER))
        tasks.create_task(send("b", Priority.ORDER))
        await asyncio.sleep(0.1)
        tasks.create_task(send("c", Priority.EXIT))

    assert sent == ["c", "a", "b"]


async def test_light_reads_cannot_starve_a_heavy_one():
    shared = budget()
    await drain(shared, 10)
    done: list[int] = []

    async def read(weight: int) -> None:
        await shared.acquire(shared.draws({"ip": weight}, ""), Priority.READ, wait_max_s=100)
        done.append(weight)

    async with asyncio.TaskGroup() as tasks:
        for weight in (5, 1, 1):
            tasks.create_task(read(weight))

    assert done == [5, 1, 1]


async def test_a_full_queue_of_one_account_does_not_hold_up_another():
    shared = budget()
    await shared.acquire(shared.draws({"orders": 2}, "a"), Priority.ORDER, wait_max_s=0)
    loop = asyncio.get_running_loop()
    finished: dict[str, float] = {}

    async def order(owner: str) -> None:
        await shared.acquire(
            shared.draws({"ip": 1, "orders": 1}, owner), Priority.ORDER, wait_max_s=9
        )
        finished[owner] = loop.time()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(order("a"))
        tasks.create_task(order("b"))

    assert finished["b"] < finished["a"]


async def test_a_wait_longer_than_allowed_is_a_rate_limit_error_and_spends_nothing():
    shared = budget()
    await drain(shared, 10)

    with pytest.raises(TransientError) as caught:
        await shared.acquire(shared.draws({"ip": 9}, ""), Priority.READ, wait_max_s=2)

    assert caught.value.reason is Reason.RATE_LIMITED
    assert await elapsed(shared, {"ip": 2}) == 0.0


async def test_a_pause_the_server_asked_for_holds_everybody_back():
    shared = budget()
    shared.pause(shared.draws({"ip": 1}, ""), 7.0)

    assert await elapsed(shared, {"ip": 1}) == pytest.approx(7.0, abs=0.01)


async def test_a_pause_longer_than_the_wait_allowed_fails_at_once_with_the_rest_of_it():
    shared = budget()
    shared.pause(shared.draws({"ip": 1}, ""), 60.0)
    loop = asyncio.get_running_loop()
    started_at = loop.time()

    with pytest.raises(TransientError) as caught:
        await shared.acquire(shared.draws({"ip": 1}, ""), Priority.ORDER, wait_max_s=5)

    assert caught.value.retry_after_s == pytest.approx(60.0)
    assert loop.time() == started_at


async def test_a_shorter_pause_never_shortens_a_longer_one():
    shared = budget()
    shared.pause(shared.draws({"ip": 1}, ""), 8.0)
    shared.pause(shared.draws({"ip": 1}, ""), 1.0)

    assert await elapsed(shared, {"ip": 1}) == pytest.approx(8.0, abs=0.01)


async def test_what_the_server_says_is_left_is_believed_when_it_is_less():
    shared = budget()
    (draw,) = shared.draws({"ip": 1}, "")
    shared.observe(draw, 0)
    assert await elapsed(shared, {"ip": 1}) == pytest.approx(1.0, abs=0.01)

    shared.observe(draw, 1_000)
    assert await elapsed(shared, {"ip": 10}) == pytest.approx(10.0, abs=0.01)


async def test_a_canceled_waiter_leaves_its_place_to_the_next():
    shared = budget()
    await drain(shared, 10)
    waiting = asyncio.ensure_future(elapsed(shared, {"ip": 10}))
    await asyncio.sleep(0.5)
    waiting.cancel()

    assert await elapsed(shared, {"ip": 1}) == pytest.approx(0.5, abs=0.01)


async def test_a_request_heavier_than_the_limit_passes_with_a_full_bucket():
    assert await elapsed(budget(), {"ip": 50}) == 0.0


@pytest.mark.long
async def test_ten_thousand_waiters_are_let_out_in_order_at_the_limits_pace():
    shared = Budget({"ip": Limit(1_000, 1.0), "orders": Limit(1_000, 1.0, is_per_account=True)})
    loop = asyncio.get_running_loop()
    out: list[int] = []

    async def read(number: int) -> None:
        draws = shared.draws({"ip": 1, "orders": 1}, str(number % 5))
        await shared.acquire(draws, Priority.READ, wait_max_s=100)
        out.append(number)

    started_at = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for number in range(10_000):
            tasks.create_task(read(number))

    assert out == list(range(10_000))
    assert loop.time() - started_at == pytest.approx(9.0, abs=0.1)
