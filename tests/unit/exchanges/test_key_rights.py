import pytest

from backfuturectl.exchanges.kucoin import key_rights
from backfuturectl.exchanges.mexc import spot_rights
from backfuturectl.exchanges.payload import PayloadError
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.status import Reason


def mexc(permissions: str, **changes: object):
    recorded = {
        "note": "bot",
        "accessKey": "mx0vXXXXXXXXXXXXXX",
        "createTime": "2026-09-14T18:53:36.000+00:00",
        "permissions": permissions,
        "remainingValidity": 82,
        "ipWhiteList": "",
        "status": "VALID",
    }
    return spot_rights(recorded | changes)


def kucoin(permission: str, **changes: object):
    recorded = {
        "remark": "bot",
        "apiKey": "6705f5c311545b000157d3eb",
        "apiVersion": 3,
        "permission": permission,
        "ipWhitelist": "203.**.154,103.**.34",
        "createdAt": 1728443843000,
        "uid": 165111215,
        "isMaster": True,
    }
    return key_rights(recorded | changes)


LEAST = "SPOT_ACCOUNT_READ,SPOT_DEAL_READ,SPOT_DEAL_WRITE"


def test_the_recorded_mexc_answer_reads_as_it_should():
    rights = mexc(
        "CONTRACT_ACCOUNT_READ,CONTRACT_DEAL_READ,SPOT_ACCOUNT_READ,SPOT_DEAL_WRITE,SPOT_DEAL_READ"
    )

    assert rights.can_read
    assert rights.can_trade_spot
    assert rights.can_trade_futures is False
    assert rights.can_withdraw is False
    assert rights.unknown == rights.superfluous == ()
    assert rights.is_ip_restricted is False
    assert rights.expires_in_days == 82
    assert rights.created_at_ms == 1_789_412_016_000


def test_both_spellings_of_mexc_are_understood():
    rights = mexc("SPOT_ACCOUNT_R, SPOT_DEAL_R, SPOT_DEAL_W")

    assert (rights.can_read, rights.can_trade_spot, rights.can_withdraw) == (True, True, False)


@pytest.mark.parametrize(
    "token",
    [
        "SPOT_WITHDRAW_WRITE",
        "SPOT_WITHDRAW_W",
        "CONTRACT_WITHDRAW_WRITE",
        "WITHDRAW_WRITE_ALL",
        "spot_withdraw_write",
        "FIAT_WITHDRAW_W",
        "SPOT_WITHDRAW",
        "SPOT_WITHDRAW_FAST",
    ],
)
def test_any_spelling_of_a_mexc_withdrawal_right_is_one(token: str):
    assert mexc(f"{LEAST},{token}").can_withdraw is True


@pytest.mark.parametrize("token", ["SPOT_MAGIC_WRITE", "OTC_DEAL_WRITE", "spot_deal_write"])
def test_an_unknown_mexc_token_leaves_withdrawal_undisproved(token: str):
    rights = mexc(f"{LEAST},{token}")

    assert rights.unknown == (token,)
    assert rights.can_withdraw is None


def test_seeing_withdrawals_is_not_withdrawing():
    rights = mexc(f"{LEAST},SPOT_WITHDRAW_READ")

    assert rights.can_withdraw is False
    assert rights.superfluous == ()


@pytest.mark.parametrize(
    "token", ["SPOT_TRANSFER_WRITE", "SPOT_ACCOUNT_WRITE", "ISOLATED_MARGIN_DEAL_WRITE"]
)
def test_writing_rights_beyond_trading_are_superfluous(token: str):
    assert mexc(f"{LEAST},{token}").superfluous == (token,)


@pytest.mark.parametrize("missing", ["SPOT_ACCOUNT_READ", "SPOT_DEAL_READ"])
def test_mexc_reading_needs_account_and_orders(missing: str):
    tokens = ",".join(token for token in LEAST.split(",") if token != missing)

    assert mexc(tokens).can_read is False


@pytest.mark.parametrize(
    ("status", "reason"),
    [("EXPIRED", Reason.KEY_EXPIRED), ("FROZEN", Reason.INVALID_KEY), ("", None)],
)
def test_a_mexc_key_that_is_not_valid_is_refused(status: str, reason: Reason | None):
    if reason is None:
        assert mexc(LEAST, status=status).can_read
        return
    with pytest.raises(PermanentError) as caught:
        mexc(LEAST, status=status)
    assert caught.value.reason is reason


@pytest.mark.parametrize("days", [None, -1, ""])
def test_a_mexc_key_without_a_lifetime_does_not_expire(days: object):
    assert mexc(LEAST, remainingValidity=days).expires_in_days is None


def test_the_addresses_of_a_mexc_key_are_listed():
    rights = mexc(LEAST, ipWhiteList="203.0.113.7,198.51.100.2")

    assert rights.is_ip_restricted
    assert rights.ip_list == ("203.0.113.7", "198.51.100.2")


def test_a_kucoin_key_that_can_transfer_can_withdraw():
    rights = kucoin("General,Futures,Spot,Earn,InnerTransfer,Transfer,Margin")

    assert rights.can_withdraw is True
    assert rights.superfluous == ("Earn", "InnerTransfer", "Margin")
    assert rights.account_id == "165111215"
    assert rights.ip_list == ("203.**.154", "103.**.34")
    assert rights.created_at_ms == 1_728_443_843_000


@pytest.mark.parametrize("token", ["Transfer", "Withdrawal", "Withdraw", "TRANSFER"])
def test_any_spelling_of_a_kucoin_withdrawal_right_is_one(token: str):
    assert kucoin(f"General,Spot,{token}").can_withdraw is True


def test_an_inner_transfer_moves_nothing_out_of_kucoin():
    rights = kucoin("General,Spot,InnerTransfer")

    assert rights.can_withdraw is False
    assert rights.superfluous == ("InnerTransfer",)


def test_an_unknown_kucoin_token_leaves_withdrawal_undisproved():
    rights = kucoin("General,Spot,Teleport")

    assert rights.unknown == ("Teleport",)
    assert rights.can_withdraw is None


@pytest.mark.parametrize("token", ["Spot", "Trade"])
def test_the_old_name_of_spot_trading_counts(token: str):
    rights = kucoin(f"General,{token}")

    assert rights.can_trade_spot is True
    assert rights.can_trade_futures is False


def test_a_kucoin_key_without_addresses_works_from_anywhere():
    assert kucoin("General,Spot", ipWhitelist=None).is_ip_restricted is False


@pytest.mark.parametrize("permission", [None, 7])
def test_an_answer_without_a_list_of_rights_is_no_answer(permission: object):
    with pytest.raises(PayloadError):
        mexc(permission)
    with pytest.raises(PayloadError):
        kucoin(permission)


@pytest.mark.parametrize("token", ["FastWithdraw", "WithdrawalV2"])
def test_a_kucoin_right_that_names_withdrawal_is_one_in_any_spelling(token: str):
    assert kucoin(f"General,Spot,{token}").can_withdraw is True
