import asyncio

import pytest

from backfuturectl.exchanges.joint import Joint
from backfuturectl.model.errors import TransientError
from backfuturectl.model.status import Reason

pytestmark = pytest.mark.looptime


class Balance:
    """Answers with the time at which it was asked, a second later."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked_at: list[float] = []

    async def __call__(self) -> float:
        at = asyncio.get_running_loop().time()
        self.asked_at.append(at)
        await asyncio.sleep(1)
        if self.errors:
            raise self.errors.pop(0)
        return at


async def test_however_many_ask_at_the_same_time_two_requests_answer_them():
    read = Balance()
    joint = Joint(read)
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(joint())
    assert len(read.asked_at) == 2


async def test_no_answer_is_older_than_its_question():
    loop, joint = asyncio.get_running_loop(), Joint(Balance())

    async def ask(after_s: float) -> None:
        await asyncio.sleep(after_s)
        at = loop.time()
        assert await joint() >= at

    async with asyncio.TaskGroup() as group:
        for tenths in range(40):
            group.create_task(ask(tenths / 10))


async def test_a_failure_is_told_to_those_who_waited_for_it_and_to_nobody_else():
    read = Balance(TransientError(Reason.EXCHANGE_UNAVAILABLE, "down"))
    joint = Joint(read)
    first, second, third = (asyncio.ensure_future(joint()) for _ in range(3))
    await asyncio.wait([first, second, third])
    assert isinstance(first.exception(), TransientError)
    assert second.result() == third.result() == 1.0


async def test_two_who_share_a_request_share_its_failure():
    down = TransientError(Reason.EXCHANGE_UNAVAILABLE, "down")
    read = Balance(down, down)
    joint = Joint(read)
    asking = [asyncio.ensure_future(joint()) for _ in range(4)]
    await asyncio.wait(asking)
    assert [task.exception() for task in asking] == [down] * 4
    assert len(read.asked_at) == 2
    assert await joint() == 2.0


async def test_who_is_canceled_while_he_reads_leaves_the_others_their_answer():
    read = Balance()
    joint = Joint(read)
    alone, reader, other = (asyncio.ensure_future(joint()) for _ in range(3))
    await asyncio.sleep(1.5)
    reader.cancel()
    await asyncio.wait([alone, reader, other])
    assert reader.cancelled()
    assert other.result() == 1.5
