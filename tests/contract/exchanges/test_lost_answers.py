"""Orders and reads when the exchange, or the way to it, fails."""

import asyncio
import traceback
from random import Random

import aiohttp
import pytest

from backfuturectl.emulator.faults import FaultKind
from backfuturectl.exchanges import transport
from backfuturectl.exchanges.ccxt_adapter import Endpoint
from backfuturectl.exchanges.factory import open_account, open_public
from backfuturectl.model.errors import (
    OperationError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
)
from backfuturectl.model.orders import OrderStatus
from backfuturectl.model.status import Reason

from .conftest import KEY, NAME, PAIR, PASSPHRASE, SECRET, Stand, material, now_ms

BEFORE = [
    (FaultKind.DROP_BEFORE, {}),
    (FaultKind.TIMEOUT_BEFORE, {"delay_s": 0.05}),
    (FaultKind.ERROR_BEFORE, {"status": 503}),
    (FaultKind.ERROR_BEFORE, {"status": 500}),
]
AFTER = [
    (FaultKind.DROP_AFTER, {}),
    (FaultKind.TIMEOUT_AFTER, {"delay_s": 0.05}),
    (FaultKind.ERROR_AFTER, {"status": 502}),
    (FaultKind.TRUNCATE, {}),
    (FaultKind.MALFORM, {}),
]


@pytest.mark.parametrize(("kind", "more"), BEFORE)
async def test_a_create_lost_on_the_way_has_an_unknown_outcome_and_is_sent_once(
    stand: Stand, kind: FaultKind, more
):
    await stand.market()
    stand.fault(kind, "POST", **more)

    with pytest.raises(OutcomeUnknownError) as caught:
        await stand.account.place(stand.order())

    assert caught.value.reason is Reason.ORDER_OUTCOME_UNKNOWN
    assert len([route for route in stand.routes() if route.startswith("POST")]) == 1
    stand.emulator.faults.clear()
    assert await stand.account.order(PAIR, "bf1") is None


@pytest.mark.parametrize(("kind", "more"), AFTER)
async def test_a_create_whose_answer_is_lost_is_found_by_its_client_id(
    stand: Stand, kind: FaultKind, more
):
    await stand.market()
    stand.fault(kind, "POST", **more)

    with pytest.raises(OutcomeUnknownError):
        await stand.account.place(stand.order())

    stand.emulator.faults.clear()
    seen = await stand.account.order(PAIR, "bf1")
    assert seen is not None
    assert seen.status is OrderStatus.OPEN
    assert len(stand.venue.orders(NAME)) == 1


async def test_a_create_that_gets_no_answer_in_time_has_an_unknown_outcome(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transport, "_TIMEOUT", aiohttp.ClientTimeout(total=0.3))
    await stand.market()
    stand.fault(FaultKind.TIMEOUT_AFTER, "POST", delay_s=30)

    with pytest.raises(OutcomeUnknownError) as caught:
        await stand.account.place(stand.order())

    assert "no answer in time" in str(caught.value)


async def test_a_create_that_finds_no_exchange_made_no_order(stand: Stand):
    await stand.market()
    await stand.public.close()

    with pytest.raises(TransientError) as caught:
        await stand.account.place(stand.order())

    assert caught.value.reason is Reason.EXCHANGE_UNAVAILABLE


async def test_an_exchange_that_is_not_there_is_unavailable():
    async def unused_port() -> int:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with server:
            return server.sockets[0].getsockname()[1]

    endpoint = Endpoint(f"http://127.0.0.1:{await unused_port()}")
    public = open_public("mexc", "spot", rng=Random(1), endpoint=endpoint)

    with pytest.raises(TransientError) as caught:
        await public.server_time_ms()

    assert caught.value.reason is Reason.EXCHANGE_UNAVAILABLE
    await public.close()


@pytest.mark.parametrize(("kind", "more"), [*BEFORE, *AFTER])
async def test_a_read_that_fails_once_is_repeated(stand: Stand, kind: FaultKind, more):
    await stand.market()
    stand.fault(kind, "GET", count=1, **more)

    assert (await stand.account.balances()).total["USDT"] == 100_000


async def test_a_read_that_keeps_failing_is_transient(stand: Stand):
    await stand.market()
    stand.fault(FaultKind.DROP_BEFORE, "GET")

    with pytest.raises(TransientError) as caught:
        await stand.account.balances()

    assert caught.value.reason is Reason.EXCHANGE_UNAVAILABLE


@pytest.mark.parametrize(("kind", "more"), [*BEFORE, *AFTER])
async def test_a_cancel_without_an_answer_may_be_repeated(stand: Stand, kind: FaultKind, more):
    await stand.account.place(stand.order())
    # Twice, since the HTTP client itself repeats a DELETE once when a kept connection breaks.
    stand.fault(kind, "DELETE", count=2, **more)

    with pytest.raises(TransientError):
        await stand.account.cancel(PAIR, "bf1", None)
    stand.emulator.faults.clear()
    await stand.account.cancel(PAIR, "bf1", None)

    seen = await stand.account.order(PAIR, "bf1")
    assert seen is not None
    assert seen.status is OrderStatus.CANCELED


async def test_a_rate_limited_create_made_no_order_and_holds_the_next_one_back(stand: Stand):
    await stand.market()
    stand.fault(FaultKind.RATE_LIMIT, "POST", count=1, retry_after_s=60)

    with pytest.raises(TransientError) as first:
        await stand.account.place(stand.order())
    sent = len(stand.routes())
    with pytest.raises(TransientError) as second:
        await stand.account.place(stand.order())

    assert first.value.reason is second.value.reason is Reason.RATE_LIMITED
    assert first.value.retry_after_s == pytest.approx(60, abs=1)
    assert second.value.retry_after_s == pytest.approx(60, abs=2)
    assert len(stand.routes()) == sent
    assert stand.venue.orders(NAME) == ()


async def test_maintenance_is_told_as_such(stand: Stand):
    await stand.market()
    stand.emulator.exchanges[stand.brand].is_in_maintenance = True

    with pytest.raises(TransientError) as caught:
        await stand.account.balances()

    assert caught.value.reason in {Reason.MAINTENANCE, Reason.EXCHANGE_UNAVAILABLE}


async def test_an_order_not_shown_yet_is_found_in_the_lists_or_is_none(stand: Stand):
    placed = await stand.account.place(stand.order())
    stand.fault(FaultKind.HIDE_ORDERS)

    assert await stand.account.order(PAIR, "bf1", placed.order_id) is None

    stand.emulator.faults.clear()
    assert await stand.account.order(PAIR, "bf1", placed.order_id) is not None


async def test_a_look_up_that_misses_by_id_finds_the_order_in_the_open_ones(stand: Stand):
    await stand.account.place(stand.order())
    stand.fault(FaultKind.HIDE_ORDERS, "GET", "*/order")
    stand.fault(FaultKind.HIDE_ORDERS, "GET", "*/client-order/*")
    stand.fault(FaultKind.HIDE_ORDERS, "GET", "*/byClientOid")

    seen = await stand.account.order(PAIR, "bf1")

    assert seen is not None
    assert seen.client_order_id == "bf1"


async def test_a_look_up_that_misses_by_id_finds_an_ended_order_in_the_recent_ones(stand: Stand):
    await stand.account.place(stand.order())
    await stand.account.cancel(PAIR, "bf1", None)
    stand.fault(FaultKind.HIDE_ORDERS, "GET", "*/order")
    stand.fault(FaultKind.HIDE_ORDERS, "GET", "*/client-order/*")
    stand.fault(FaultKind.HIDE_ORDERS, "GET", "*/byClientOid")

    seen = await stand.account.order(PAIR, "bf1")

    assert seen is not None
    assert seen.status is OrderStatus.CANCELED


async def test_a_key_revoked_while_trading_is_permanent(stand: Stand):
    await stand.market()
    stand.fault(FaultKind.REVOKE_KEY, count=1)

    with pytest.raises(PermanentError) as caught:
        await stand.account.balances()

    assert caught.value.reason is Reason.INVALID_KEY


FAULTS = [*BEFORE, *AFTER, (FaultKind.RATE_LIMIT, {}), (FaultKind.REVOKE_KEY, {})]


@pytest.mark.parametrize(("kind", "more"), FAULTS)
async def test_no_error_and_nothing_that_it_carries_shows_a_secret(
    stand: Stand, kind: FaultKind, more
):
    await stand.market()
    stand.fault(kind, "POST", **more)

    with pytest.raises(OperationError) as caught:
        await stand.account.place(stand.order())

    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for secret in (KEY, SECRET, PASSPHRASE, "signature=", "KC-API-SIGN"):
        assert secret not in shown


async def test_an_exchange_that_quotes_the_key_is_not_quoted(stand: Stand):
    stand.give_key("leaky-key-0123456789", "General", "SPOT_ACCOUNT_READ")
    account = open_account(stand.public, material("leaky-key-0123456789"), now_ms=now_ms)
    client = account._client

    assert client._redacted(f"no such key leaky-key-0123456789 {SECRET}") == "no such key **** ****"
