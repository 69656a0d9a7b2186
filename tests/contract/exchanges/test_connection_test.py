"""The connection test against exchanges and keys of every sort."""

from __future__ import annotations

from collections import Counter

import pytest

from backfuturectl.emulator.faults import FaultKind
from backfuturectl.exchanges.probe import ProbeReport, Terms, probe
from backfuturectl.model.market import MarketKind
from backfuturectl.model.secret import Secret
from backfuturectl.model.status import ConditionType, Reason

from .conftest import KEY, NAME, PASSPHRASE, RIGHTS, SECRET, Stand, now_ms

NAMES = ["endpoint", "key", "rights", "balance", "status"]
WITHDRAWALS = {"mexc": ["SPOT_WITHDRAW_WRITE"], "kucoin": ["Transfer"]}


def least(stand: Stand) -> tuple[str, ...]:
    if stand.brand == "mexc":
        return RIGHTS["mexc"]
    return ("General", "Spot" if stand.kind is MarketKind.SPOT else "Futures")


async def report_on(
    stand: Stand, key: str = KEY, *, secret: str = SECRET, password: str = PASSPHRASE, **terms
) -> ProbeReport:
    account = stand.connect(key, secret=secret, password=password)
    return await probe(
        stand.public,
        account,
        Terms(stand.kind, **terms),
        api_key=Secret(key),
        now_ms=now_ms,
    )


def results(report: ProbeReport) -> list[bool | None]:
    return [check.ok for check in report.checks]


def conditions(report: ProbeReport) -> dict[ConditionType, bool | None]:
    return {condition.type: condition.status for condition in report.conditions}


async def test_a_good_key_is_online(stand: Stand):
    stand.give_key("good-key-00000001", *least(stand), ips=("127.0.0.1",))

    report = await report_on(stand, "good-key-00000001", addresses=("127.0.0.1",), requires_ip=True)

    assert report.outcome is Reason.ONLINE
    assert [check.name for check in report.checks] == NAMES
    assert results(report) == [True] * 5
    assert set(conditions(report).values()) == {True}
    assert len(report.conditions) == 6
    assert report.warnings == ()
    assert report.rights is not None
    assert report.account_id
    assert report.key_fingerprint.startswith("good…0001 · sha256:")


async def test_no_order_is_ever_placed(stand: Stand):
    await report_on(stand)

    assert stand.venue.orders(NAME) == ()
    methods = Counter(record.method for record in stand.emulator.requests.newest(100))
    assert methods["POST"] == 1
    assert set(methods) == {"GET", "POST"}


async def test_a_key_that_can_withdraw_is_refused_and_nothing_more_is_asked_of_it(stand: Stand):
    stand.give_key("withdrawing-key-1", *least(stand), *WITHDRAWALS[stand.brand])

    report = await report_on(stand, "withdrawing-key-1", accepts=("PermissionsUnverifiable",))

    assert report.outcome is Reason.WITHDRAW_ENABLED
    assert results(report) == [True, True, False, None, None]
    assert {check.reason for check in report.checks[3:]} == {Reason.NOT_TESTED}
    assert conditions(report)[ConditionType.READY] is False
    assert conditions(report)[ConditionType.PERMISSIONS_VERIFIED] is False
    assert not any(route.startswith("POST") for route in stand.routes())


async def test_a_right_this_version_does_not_know_fails_closed_unless_accepted(stand: Stand):
    stand.give_key("odd-key-000000001", *least(stand), "TELEPORT")

    refused = await report_on(stand, "odd-key-000000001")
    accepted = await report_on(stand, "odd-key-000000001", accepts=("PermissionsUnverifiable",))

    assert refused.outcome is Reason.PERMISSIONS_UNVERIFIABLE
    assert "TELEPORT" in refused.checks[2].message
    assert accepted.outcome is Reason.ONLINE
    assert any("TELEPORT" in warning for warning in accepted.warnings)


async def test_a_key_that_may_not_trade_is_told_so(stand: Stand):
    reading = ("General",) if stand.brand == "kucoin" else RIGHTS["mexc"][:2]
    stand.give_key("reading-key-00001", *reading)

    report = await report_on(stand, "reading-key-00001")

    assert report.outcome is (
        Reason.NO_TRADING_PERMISSION
        if stand.kind is MarketKind.SPOT
        else Reason.NO_FUTURES_PERMISSION
    )


async def test_an_unknown_key_is_invalid(stand: Stand):
    report = await report_on(stand, "no-such-key-00001")

    assert report.outcome is Reason.INVALID_KEY
    assert results(report) == [True, False, None, None, None]
    assert report.checks[1].raw_code in {"10072", "400003"}
    assert conditions(report)[ConditionType.AUTHENTICATED] is False
    assert report.rights is None


async def test_a_wrong_secret_is_an_invalid_signature(stand: Stand):
    # KuCoin's passphrase is sent signed with the secret, so that it fails there first.
    expected = {Reason.INVALID_SIGNATURE, Reason.INVALID_PASSPHRASE}

    assert (await report_on(stand, secret="wrong")).outcome in expected


async def test_a_wrong_passphrase_is_told_apart(stand: Stand):
    if stand.brand == "mexc":
        assert (await report_on(stand, password="wrong")).outcome is Reason.ONLINE
        return
    assert (await report_on(stand, password="wrong")).outcome is Reason.INVALID_PASSPHRASE


async def test_a_key_bound_to_another_address_is_told_and_where_we_come_from(stand: Stand):
    stand.give_key("bound-key-0000001", *least(stand), ips=("203.0.113.7",))

    report = await report_on(stand, "bound-key-0000001")

    assert report.outcome is Reason.IP_NOT_ALLOWED
    assert report.egress_ip == "127.0.0.1"


async def test_a_key_without_addresses_is_refused_where_the_file_demands_them(stand: Stand):
    assert (await report_on(stand)).outcome is Reason.ONLINE
    assert any("any address" in warning for warning in (await report_on(stand)).warnings)
    assert (await report_on(stand, requires_ip=True)).outcome is Reason.IP_RESTRICTION_MISSING


async def test_an_address_that_the_exchange_masks_is_still_recognised(stand: Stand):
    stand.give_key("masked-key-000001", *least(stand), ips=("127.0.0.1", "203.0.113.154"))

    declared = ("127.0.0.1", "203.0.113.154")
    good = await report_on(stand, "masked-key-000001", requires_ip=True, addresses=declared)
    bad = await report_on(
        stand, "masked-key-000001", requires_ip=True, addresses=("203.0.113.155",)
    )

    assert good.outcome is Reason.ONLINE
    assert bad.outcome is Reason.IP_RESTRICTION_MISSING


@pytest.mark.parametrize("skew_ms", [-20_000, 20_000])
async def test_a_clock_that_is_off_is_told_before_any_key_is_shown(stand: Stand, skew_ms: int):
    stand.emulator.exchanges[stand.brand].clock_skew_ms = skew_ms

    report = await report_on(stand)

    assert report.outcome is Reason.CLOCK_SKEW
    assert results(report) == [False, None, None, None, None]
    assert ("ahead of" if skew_ms < 0 else "behind") in report.checks[0].message
    assert {record.key for record in stand.emulator.requests.newest(10)} == {""}


async def test_an_exchange_that_fails_is_unavailable_and_says_nothing_about_the_key(stand: Stand):
    stand.fault(FaultKind.DROP_BEFORE)

    report = await report_on(stand)

    assert report.outcome is Reason.EXCHANGE_UNAVAILABLE
    assert conditions(report)[ConditionType.REACHABLE] is False
    assert conditions(report)[ConditionType.AUTHENTICATED] is None


async def test_a_key_check_that_gets_no_answer_leaves_the_key_unknown(stand: Stand):
    stand.fault(FaultKind.ERROR_BEFORE, path="*/user/api-key")
    stand.fault(FaultKind.ERROR_BEFORE, path="*/apiKeyInfo")

    report = await report_on(stand)

    assert report.outcome is Reason.EXCHANGE_UNAVAILABLE
    assert conditions(report)[ConditionType.REACHABLE] is True
    assert conditions(report)[ConditionType.AUTHENTICATED] is None


async def test_a_rate_limit_hands_on_the_servers_wish(stand: Stand):
    stand.fault(FaultKind.RATE_LIMIT, retry_after_s=45)

    report = await report_on(stand)

    assert report.outcome is Reason.RATE_LIMITED
    assert report.retry_after_s == pytest.approx(45, abs=1)


async def test_balances_that_cannot_be_read_fail_their_own_check(stand: Stand):
    stand.fault(FaultKind.ERROR_BEFORE, "GET", "*/account")
    stand.fault(FaultKind.ERROR_BEFORE, "GET", "*/accounts")
    stand.fault(FaultKind.ERROR_BEFORE, "GET", "*/account-overview")

    assert results(await report_on(stand)) == [True, True, True, False, None]


async def test_orders_that_cannot_be_read_fail_their_own_check(stand: Stand):
    stand.fault(FaultKind.ERROR_BEFORE, "GET", "*/openOrders")
    stand.fault(FaultKind.ERROR_BEFORE, "GET", "*/hf/orders/active")
    stand.fault(FaultKind.ERROR_BEFORE, "GET", "/api/v1/orders")

    assert results(await report_on(stand)) == [True, True, True, True, False]


async def test_a_test_order_that_gets_no_answer_is_only_a_warning(stand: Stand):
    stand.fault(FaultKind.ERROR_BEFORE, "POST", "*/test")

    report = await report_on(stand)

    assert report.outcome is Reason.ONLINE
    assert any("not proven" in warning for warning in report.warnings)


async def test_a_pair_that_is_not_listed_is_told_and_takes_no_connection_offline(stand: Stand):
    report = await report_on(stand, pair="NOPE/USDT")

    assert report.outcome is Reason.ONLINE
    assert sum("NOPE/USDT" in warning for warning in report.warnings) == 1


async def test_superfluous_rights_warn_or_by_policy_refuse(stand: Stand):
    more = "SPOT_TRANSFER_WRITE" if stand.brand == "mexc" else "InnerTransfer"
    stand.give_key("excessive-key-001", *least(stand), more)

    warned = await report_on(stand, "excessive-key-001")
    refused = await report_on(stand, "excessive-key-001", refuses_excess=True)

    assert any(more in warning for warning in warned.warnings)
    assert refused.outcome is Reason.PERMISSION_EXCESSIVE


async def test_the_report_shows_no_secret(stand: Stand):
    for report in (await report_on(stand), await report_on(stand, secret="wrong-secret-text")):
        for secret in (SECRET, PASSPHRASE, "wrong-secret-text", KEY):
            assert secret not in repr(report)


async def test_a_key_limited_to_other_pairs_is_told(stand: Stand):
    if stand.brand != "mexc":
        return
    stand.give_key("pairs-key-0000001", *least(stand), symbols=("SOL/USDT",))

    report = await report_on(stand, "pairs-key-0000001", pair="BTC/USDT")

    assert report.outcome is Reason.ONLINE
    assert any("not proven" in warning for warning in report.warnings)
