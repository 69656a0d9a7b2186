"""KuCoin's account endpoints: clock, status, the key's own rights, wallets, fees, transfers.

Both hosts answer the clock and the key's rights, as clients may know only one of them. There is no
way to withdraw here: those endpoints tell a key without the right from one with it and refuse both.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from backfuturectl.emulator.dialect import Call, Route
from backfuturectl.emulator.kucoin_auth import Permission, private
from backfuturectl.emulator.kucoin_wire import (
    bad_parameter,
    body_of,
    decimal_of,
    failed,
    futures_listing,
    public,
    required,
    spot_listing,
    text,
)
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import ApiKey, Balance, Wallet
from backfuturectl.model.market import MarketKind

_UID_BASE: Final = 165_000_000
_WALLETS: Final = {"main": Wallet.FUNDING, "trade": Wallet.SPOT, "trade_hf": Wallet.SPOT}
_TRANSFER_WALLETS: Final = {
    "main": Wallet.FUNDING,
    "trade": Wallet.SPOT,
    "trade_hf": Wallet.SPOT,
    "contract": Wallet.FUTURES,
}
_BASIC_FEE: Final = "0.001"


def common_routes(*, pool: str, timestamp_weight: int, status_weight: int) -> tuple[Route, ...]:
    """Return what both hosts answer; *pool* pays for reading the key's rights."""
    general = Permission.GENERAL
    unified = "/api/ua/{version:v[12]}"
    return (
        public("GET", "/api/v1/timestamp", _timestamp, weight=timestamp_weight),
        public("GET", "/api/v1/status", _status, weight=status_weight),
        public("GET", "/api/v1/my-ip", _my_ip, weight=0),
        public("GET", f"{unified}/user/my-ip", _my_ip, weight=10),
        public("GET", f"{unified}/server/status", _server_status, weight=3),
        private("GET", "/api/v1/user/api-key", general, _api_key, pool=pool, weight=20),
        private("GET", f"{unified}/user/api-key", general, _unified_key, pool="uta", weight=20),
        private("GET", f"{unified}/account/mode", general, _account_mode, pool="uta", weight=30),
        *(
            private(
                method,
                f"{unified}/unified/{{rest:.+}}",
                general,
                _unified_only,
                pool="uta",
                weight=4,
            )
            for method in ("GET", "POST")
        ),
    )


def spot_account_routes() -> tuple[Route, ...]:
    """Return the spot host's account endpoints."""
    general, transfer = Permission.GENERAL, Permission.TRANSFER
    pool = "management"
    return (
        private("GET", "/api/v2/user-info", general, _user_info, pool=pool, weight=20),
        private("GET", "/api/v1/hf/accounts/opened", general, _is_hf, pool="spot", weight=30),
        private("GET", "/api/v1/accounts", general, _accounts, pool=pool, weight=5),
        private("GET", "/api/v1/accounts/{account_id}", general, _account, pool=pool, weight=5),
        private("GET", "/api/v1/base-fee", general, _base_fee, pool="spot", weight=3),
        private("GET", "/api/v1/trade-fees", general, _spot_fees, pool="spot", weight=3),
        private(
            "POST",
            "/api/v3/accounts/universal-transfer",
            Permission.INNER_TRANSFER,
            _universal_transfer,
            pool=pool,
            weight=4,
        ),
        # The deprecated transfer between one's own wallets needs no more than the trade right.
        private(
            "POST",
            "/api/v2/accounts/inner-transfer",
            Permission.SPOT,
            _inner_transfer,
            pool=pool,
            weight=10,
        ),
        private("POST", "/api/v3/withdrawals", transfer, _no_withdrawal, pool=pool, weight=5),
        private("POST", "/api/v1/withdrawals", transfer, _no_withdrawal, pool=pool, weight=5),
        private(
            "DELETE",
            "/api/v1/withdrawals/{withdrawal_id}",
            transfer,
            _no_withdrawal,
            pool=pool,
            weight=20,
        ),
    )


def futures_fees(call: Call, _key: ApiKey) -> dict[str, str]:
    """Return the account's fee rates of one contract."""
    name = required(call, call.query, "symbol")
    market = futures_listing(call, name).market
    return {
        "symbol": name,
        "takerFeeRate": text(market.taker_fee),
        "makerFeeRate": text(market.maker_fee),
    }


# The service


def _timestamp(call: Call) -> int:
    return call.at_ms


def _status(call: Call) -> dict[str, str]:
    return {"status": _status_word(call), "msg": ""}


def _server_status(call: Call) -> dict[str, str]:
    trade_type = call.query.get("tradeType", "SPOT")
    return {"tradeType": trade_type, "serverStatus": _status_word(call), "msg": ""}


def _status_word(call: Call) -> str:
    return "cancelonly" if call.exchange.is_cancel_only else "open"


def _my_ip(call: Call) -> str:
    return call.caller_ip


# The key


def _api_key(call: Call, key: ApiKey) -> dict[str, Any]:
    master, _, sub_name = key.account.partition("/")
    shown: dict[str, Any] = {
        "remark": key.note,
        "apiKey": key.key,
        "apiVersion": 3,
        "permission": ",".join(key.permissions),
    }
    if key.ips:
        shown["ipWhitelist"] = ",".join(_masked(ip) for ip in key.ips)
    shown |= {
        "createdAt": key.created_at_ms,
        "uid": _UID_BASE + call.venue.account_number(key.account),
        "isMaster": key.account == master,
    }
    return shown | ({"subName": sub_name} if sub_name else {})


def _unified_key(call: Call, key: ApiKey) -> dict[str, Any]:
    shown = _api_key(call, key)
    shown.pop("ipWhitelist", None)
    return shown | {"region": "", "kycStatus": 1, "siteType": "global"}


def _masked(ip: str) -> str:
    """Return the first and last part of an address: ``203.**.154``."""
    separator = ":" if ":" in ip else "."
    parts = ip.split(separator)
    return f"{parts[0]}{separator}**{separator}{parts[-1]}"


def _account_mode(_call: Call, _key: ApiKey) -> dict[str, Any]:
    return {"selfAccountMode": "CLASSIC", "unifiedSubAccount": [], "classicSubAccount": []}


def _unified_only(call: Call, _key: ApiKey) -> None:
    raise failed(call, "112010", "Invalid Unified Account user.")


def _user_info(_call: Call, _key: ApiKey) -> dict[str, int]:
    return {
        "level": 0,
        "subQuantity": 0,
        "spotSubQuantity": 0,
        "marginSubQuantity": 0,
        "futuresSubQuantity": 0,
        "optionSubQuantity": 0,
        "maxSubQuantity": 5,
        "maxDefaultSubQuantity": 5,
        "maxSpotSubQuantity": 0,
        "maxMarginSubQuantity": 0,
        "maxFuturesSubQuantity": 0,
        "maxOptionSubQuantity": 0,
    }


def _is_hf(_call: Call, _key: ApiKey) -> bool:
    return True


# Wallets


def _accounts(call: Call, key: ApiKey) -> list[dict[str, str]]:
    """Return a row per wallet and currency.

    The rows carry the type that was asked for: clients ask for ``trade_hf`` where the exchange's
    own documentation knows only ``trade``.
    """
    wanted = call.query.get("type")
    types = ("main", "trade") if wanted is None else (wanted,)
    return [
        _account_row(call, key, kind, currency, balance)
        for kind in types
        if kind in _WALLETS
        for currency, balance in call.venue.balances(key.account, _WALLETS[kind]).items()
        if call.query.get("currency") in {None, currency}
    ]


def _account(call: Call, key: ApiKey) -> dict[str, str]:
    for kind in ("main", "trade"):
        for currency, balance in call.venue.balances(key.account, _WALLETS[kind]).items():
            row = _account_row(call, key, kind, currency, balance)
            if row["id"] == call.path_params["account_id"]:
                return {name: row[name] for name in ("currency", "balance", "available", "holds")}
    raise bad_parameter(call, "account not exist")


def _account_row(
    call: Call, key: ApiKey, kind: str, currency: str, balance: Balance
) -> dict[str, str]:
    number = call.venue.account_number(key.account)
    coin = int.from_bytes(currency.encode()[:8])
    is_main = kind == "main"
    return {
        # Funding accounts have a hexadecimal id, trading accounts a decimal one.
        "id": f"63355cd1{number:06x}{coin % 16**10:010x}"
        if is_main
        else f"{number}{coin % 10**12}",
        "currency": currency,
        "type": kind,
        "balance": text(balance.total),
        "available": text(balance.available),
        "holds": text(balance.held),
    }


def _base_fee(_call: Call, _key: ApiKey) -> dict[str, str]:
    return {"takerFeeRate": _BASIC_FEE, "makerFeeRate": _BASIC_FEE}


def _spot_fees(call: Call, _key: ApiKey) -> list[dict[str, str]]:
    names = required(call, call.query, "symbols").split(",")
    markets = [(name, spot_listing(call, name).market) for name in names]
    return [
        {
            "symbol": name,
            "takerFeeRate": text(market.taker_fee),
            "makerFeeRate": text(market.maker_fee),
        }
        for name, market in markets
    ]


# Moving money


def _universal_transfer(call: Call, key: ApiKey) -> dict[str, str]:
    body = body_of(call)
    if required(call, body, "type").upper() != "INTERNAL":
        raise bad_parameter(call, "type is invalid")
    source = required(call, body, "fromAccountType")
    target = required(call, body, "toAccountType")
    return _transfer(call, key, body, source, target)


def _inner_transfer(call: Call, key: ApiKey) -> dict[str, str]:
    body = body_of(call)
    return _transfer(call, key, body, required(call, body, "from"), required(call, body, "to"))


def _transfer(
    call: Call, key: ApiKey, body: dict[str, Any], source: str, target: str
) -> dict[str, str]:
    client_id = required(call, body, "clientOid")
    currency = required(call, body, "currency")
    amount = decimal_of(call, body, "amount") or Decimal(0)
    wallet_from = _TRANSFER_WALLETS.get(source.lower())
    wallet_to = _TRANSFER_WALLETS.get(target.lower())
    if wallet_from is None or wallet_to is None or not amount:
        raise bad_parameter(call, "recAccountType not in the given range")
    try:
        call.venue.transfer(
            key.account,
            currency,
            amount,
            source=wallet_from,
            target=wallet_to,
            at_ms=call.at_ms,
        )
    except VenueError as error:
        if error.kind is Refusal.INSUFFICIENT_BALANCE:
            raise failed(call, "230003", "Balance insufficient!") from error
        raise
    return {"orderId": client_id}


def _no_withdrawal(call: Call, _key: ApiKey) -> None:
    raise failed(call, "260210", "withdraw.disabled.exchange")


def currencies_of(call: Call) -> list[str]:
    """Return the coins of the spot markets, sorted."""
    markets = [one.market for one in call.venue.listings.values()]
    spot = [market for market in markets if market.kind is MarketKind.SPOT]
    return sorted({coin for market in spot for coin in (market.base, market.quote)})
