"""MEXC spot behind a key, orders apart: the key itself, the account, the currencies."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from backfuturectl.emulator.dialect import Reply
from backfuturectl.emulator.mexc_auth import SignedCall, remaining_days
from backfuturectl.emulator.mexc_values import iso_time, number_text
from backfuturectl.emulator.mexc_wire import spot_error
from backfuturectl.matching.values import ApiKey, Wallet

_KEY_IPS_MAX: Final = 20
_UID_BASE: Final = 20_930_000


def key_info(signed: SignedCall) -> Reply:
    """Answer ``GET apiKeyInfo``: what the key may do."""
    return Reply(_key_row(_asked_key(signed), signed.call.at_ms))


def change_key(signed: SignedCall) -> Reply:
    """Change the key's addresses and note; the parameters' names are UNVERIFIED."""
    key = _asked_key(signed)
    listed = signed.parameters.get("ipWhiteList", ",".join(key.ips))
    ips = tuple(ip for ip in (part.strip() for part in listed.split(",")) if ip)
    if len(ips) > _KEY_IPS_MAX:
        raise spot_error(730703, "The IP information is incorrect")
    changed = dataclasses.replace(key, ips=ips, note=signed.parameters.get("note", key.note))
    signed.call.venue.put_key(changed)
    return Reply(_key_row(changed, signed.call.at_ms))


def _asked_key(signed: SignedCall) -> ApiKey:
    """Return the key that ``accessKey`` names; one of another account is as good as none."""
    name = signed.parameters.get("accessKey", "")
    if not name:
        raise spot_error(730707, "accessKey cannot be null")
    key = signed.call.venue.key(name)
    if key is None or key.account != signed.account:
        raise spot_error(730706, "API KEY information does not exist")
    return key


def _key_row(key: ApiKey, at_ms: int) -> dict[str, Any]:
    return {
        "note": key.note,
        "accessKey": key.key,
        "createTime": iso_time(key.created_at_ms),
        "permissions": ",".join(key.permissions),
        "remainingValidity": remaining_days(key, at_ms),
        "ipWhiteList": ",".join(key.ips),
        "status": "VALID" if key.is_usable(at_ms) else "INVALID",  # UNVERIFIED: only VALID is seen
    }


def uid(signed: SignedCall) -> Reply:
    """Answer ``GET uid``: the account's number."""
    return Reply({"uid": str(_UID_BASE + signed.call.venue.account_number(signed.account))})


def kyc(signed: SignedCall) -> Reply:  # noqa: ARG001 - a handler's signature
    """Answer ``GET kyc/status``: an account with advanced verification."""
    return Reply({"status": "3"})


def account(signed: SignedCall) -> Reply:
    """Return balances; the three flags speak of the account and say nothing about the key."""
    balances = signed.call.venue.balances(signed.account, Wallet.SPOT)
    return Reply(
        {
            "makerCommission": None,
            "takerCommission": None,
            "buyerCommission": None,
            "sellerCommission": None,
            "canTrade": True,
            "canWithdraw": True,
            "canDeposit": True,
            "updateTime": None,
            "accountType": "SPOT",
            "balances": [
                {
                    "asset": currency,
                    "free": number_text(balance.available),
                    "locked": number_text(balance.held),
                    "available": number_text(balance.available),
                }
                for currency, balance in balances.items()
                if balance.total
            ],
            "permissions": ["SPOT"],
        }
    )


def currency_row(name: str) -> dict[str, Any]:
    """Return one currency of ``capital/config/getall``."""
    return {
        "coin": name,
        "name": name,
        "Name": name,
        "networkList": [
            {
                "coin": name,
                "depositDesc": None,
                "depositEnable": True,
                "minConfirm": 0,
                "name": name,
                "Name": name,
                "network": name,
                "netWork": name,
                "withdrawEnable": False,
                "withdrawFee": "0",
                "withdrawIntegerMultiple": None,
                "withdrawMax": "0",
                "withdrawMin": "0",
                "sameAddress": False,
                "contract": "",
            }
        ],
    }


def refuse_withdrawal(signed: SignedCall) -> Reply:  # noqa: ARG001 - a handler's signature
    """Refuse: a stand-in that could pay out would make a mistake with a key look harmless."""
    raise spot_error(
        10212,
        "This withdrawal address is not on the commonly used address list or has been invalidated",
    )
