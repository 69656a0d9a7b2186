import asyncio
from random import Random

import pytest

from backfuturectl.exchanges.retry import Retry
from backfuturectl.model.errors import PermanentError, TransientError
from backfuturectl.model.status import Reason

pytestmark = pytest.mark.looptime


class Flaky:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def passing(retry_after_s: float | None = None) -> TransientError:
    return TransientError(Reason.EXCHANGE_UNAVAILABLE, "down", retry_after_s=retry_after_s)


async def test_a_passing_failure_is_tried_again():
    read = Flaky(passing(), passing())

    assert await Retry(Random(1))(read) == "answer"


async def test_attempts_are_bounded_and_the_last_error_comes_out():
    last = passing()
    read = Flaky(passing(), passing(), last, passing())

    with pytest.raises(TransientError) as caught:
        await Retry(Random(1))(read)

    assert caught.value is last
    assert read.calls == 3


async def test_a_permanent_error_is_not_tried_again():
    read = Flaky(PermanentError(Reason.INVALID_KEY, "no"))

    with pytest.raises(PermanentError):
        await Retry(Random(1))(read)

    assert read.calls == 1


async def test_the_servers_wish_is_never_shortened():
    loop = asyncio.get_running_loop()
    started_at = loop.time()

    await Retry(Random(1))(Flaky(passing(retry_after_s=4.0)))

    assert loop.time() - started_at >= 4.0


async def test_a_wish_beyond_the_time_bound_ends_the_attempts_at_once():
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    read = Flaky(passing(retry_after_s=60.0))

    with pytest.raises(TransientError):
        await Retry(Random(1))(read)

    assert read.calls == 1
    assert loop.time() == started_at


async def test_the_first_attempt_takes_from_the_time_that_all_may_take():
    read = Flaky(passing(), passing())

    async def slow() -> str:
        await asyncio.sleep(9.9)
        return await read()

    with pytest.raises(TransientError):
        await Retry(Random(1))(slow)

    assert read.calls == 1


async def test_two_bots_that_failed_together_do_not_come_back_together():
    loop = asyncio.get_running_loop()

    async def wait_of(seed: int) -> float:
        started_at = loop.time()
        await Retry(Random(seed))(Flaky(passing()))
        return loop.time() - started_at

    assert await wait_of(1) != await wait_of(2)
