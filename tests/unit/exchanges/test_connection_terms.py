"""What the rights of a key mean for a connection, without an exchange."""

import dataclasses

import pytest

from backfuturectl.exchanges.port import KeyRights
from backfuturectl.exchanges.probe import Terms, judge
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.market import MarketKind
from backfuturectl.model.status import Reason

GOOD = KeyRights(
    tokens=("read", "spot"),
    can_read=True,
    can_trade_spot=True,
    can_trade_futures=False,
    can_withdraw=False,
    is_ip_restricted=True,
    ip_list=("203.0.113.7",),
)
SPOT = Terms(MarketKind.SPOT)


def refusal(terms: Terms, **changes: object) -> Reason:
    with pytest.raises(PermanentError) as caught:
        judge(dataclasses.replace(GOOD, **changes), terms)
    return caught.value.reason


def warnings(terms: Terms, **changes: object) -> str:
    return "\n".join(judge(dataclasses.replace(GOOD, **changes), terms))


def test_a_least_privilege_key_passes_without_a_word():
    assert judge(GOOD, SPOT) == ()


def test_a_withdrawal_right_refuses_the_key_and_nothing_overrides_it():
    accepting = Terms(MarketKind.SPOT, accepts=("PermissionsUnverifiable", "WithdrawEnabled"))

    assert refusal(accepting, can_withdraw=True) is Reason.WITHDRAW_ENABLED
    assert refusal(accepting, can_withdraw=True, unknown=("x",)) is Reason.WITHDRAW_ENABLED
    assert refusal(accepting, can_withdraw=True, can_read=False) is Reason.WITHDRAW_ENABLED


@pytest.mark.parametrize("changes", [{"can_withdraw": None}, {"unknown": ("Teleport",)}])
def test_withdrawal_that_cannot_be_disproved_fails_closed_unless_accepted_by_name(changes):
    assert refusal(SPOT, **changes) is Reason.PERMISSIONS_UNVERIFIABLE

    accepting = Terms(MarketKind.SPOT, accepts=("PermissionsUnverifiable",))
    assert "accepted by name" in warnings(accepting, **changes)


def test_a_missing_right_is_named():
    futures = Terms(MarketKind.FUTURES)

    assert refusal(SPOT, can_read=False) is Reason.NO_READ_PERMISSION
    assert refusal(SPOT, can_trade_spot=False) is Reason.NO_TRADING_PERMISSION
    assert refusal(futures, can_trade_futures=False) is Reason.NO_FUTURES_PERMISSION


def test_a_spot_key_needs_no_futures_right_and_the_other_way_round():
    futures = Terms(MarketKind.FUTURES)

    assert warnings(SPOT, can_trade_futures=False) == ""
    assert warnings(futures, can_trade_spot=False, can_trade_futures=True) == ""


def test_the_other_markets_trade_right_is_superfluous():
    assert "futures trading" in warnings(SPOT, can_trade_futures=True)


def test_a_superfluous_right_is_a_warning_or_by_policy_an_error():
    strict = Terms(MarketKind.SPOT, refuses_excess=True)

    assert "transfer" in warnings(SPOT, superfluous=("transfer",))
    assert refusal(strict, superfluous=("transfer",)) is Reason.PERMISSION_EXCESSIVE


def test_a_key_without_addresses_is_a_warning_or_by_demand_an_error():
    strict = Terms(MarketKind.SPOT, requires_ip=True)
    anywhere = {"is_ip_restricted": False, "ip_list": ()}

    assert "any address" in warnings(SPOT, **anywhere)
    assert refusal(strict, **anywhere) is Reason.IP_RESTRICTION_MISSING


def test_an_ip_restriction_that_is_not_told_fails_closed_where_one_is_demanded():
    strict = Terms(MarketKind.SPOT, requires_ip=True)

    assert refusal(strict, is_ip_restricted=None) is Reason.PERMISSIONS_UNVERIFIABLE
    assert warnings(SPOT, is_ip_restricted=None) == ""


@pytest.mark.parametrize("shown", ["203.0.113.7", "203.**.7", "203.*.*.7", "203.0.113.*"])
def test_a_declared_address_is_recognised_masked_or_not(shown: str):
    terms = Terms(MarketKind.SPOT, requires_ip=True, addresses=("203.0.113.7",))

    assert warnings(terms, ip_list=(shown,)) == ""


@pytest.mark.parametrize("shown", ["203.0.113.8", "203.**.8", "20.**.7"])
def test_a_declared_address_that_is_not_on_the_list_is_told(shown: str):
    strict = Terms(MarketKind.SPOT, requires_ip=True, addresses=("203.0.113.7",))
    lax = Terms(MarketKind.SPOT, addresses=("203.0.113.7",))

    assert refusal(strict, ip_list=(shown,)) is Reason.IP_RESTRICTION_MISSING
    assert "does not hold 203.0.113.7" in warnings(lax, ip_list=(shown,))


def test_an_address_nobody_declared_is_told():
    terms = Terms(MarketKind.SPOT, addresses=("203.0.113.7",))

    assert "198.51.100.9" in warnings(terms, ip_list=("203.0.113.7", "198.51.100.9"))


@pytest.mark.parametrize(("days", "told"), [(14, True), (15, False), (None, False)])
def test_a_key_near_its_end_is_told(days: int | None, told: bool):
    assert ("stops working" in warnings(SPOT, expires_in_days=days)) is told
