"""The exchange's official SDK, changed in nothing but its base URLs. It is synchronous."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass

from pydantic import PydanticDeprecatedSince20

with warnings.catch_warnings():
    # Its models pass keywords to pydantic's Field in a way that pydantic 2 deprecates.
    warnings.simplefilter("ignore", PydanticDeprecatedSince20)
    from kucoin_universal_sdk.api.client import DefaultClient
    from kucoin_universal_sdk.generate.account import account as account_models
    from kucoin_universal_sdk.generate.account import fee as fee_models
    from kucoin_universal_sdk.generate.futures import fundingfees as funding_models
    from kucoin_universal_sdk.generate.futures import market as futures_market_models
    from kucoin_universal_sdk.generate.futures import order as futures_models
    from kucoin_universal_sdk.generate.futures import positions as position_models
    from kucoin_universal_sdk.generate.service.account_api import AccountService
    from kucoin_universal_sdk.generate.service.futures_api import FuturesService
    from kucoin_universal_sdk.generate.service.spot_api import SpotService
    from kucoin_universal_sdk.generate.spot import market as spot_market_models
    from kucoin_universal_sdk.generate.spot import order as spot_models
    from kucoin_universal_sdk.model.client_option import ClientOptionBuilder
    from kucoin_universal_sdk.model.common import RestError

    API_MODULES = [
        importlib.import_module(f"kucoin_universal_sdk.generate.{name}")
        for name in (
            "account.account.api_account",
            "account.fee.api_fee",
            "account.transfer.api_transfer",
            "account.withdrawal.api_withdrawal",
            "futures.fundingfees.api_funding_fees",
            "futures.market.api_market",
            "futures.order.api_order",
            "futures.positions.api_positions",
            "margin.market.api_market",
            "spot.market.api_market",
            "spot.order.api_order",
        )
    ]
    from kucoin_universal_sdk.model.transport_option import TransportOptionBuilder

from tests.contract.kucoin.kucoin_clients import PASSPHRASE, SECRET, TRADER, Stand

__all__ = [
    "API_MODULES",
    "RestError",
    "Sdk",
    "account_models",
    "fee_models",
    "funding_models",
    "futures_market_models",
    "futures_models",
    "position_models",
    "sdk_client",
    "spot_market_models",
    "spot_models",
]


@dataclass(frozen=True)
class Sdk:
    """The SDK's services for one key."""

    account: AccountService
    spot: SpotService
    futures: FuturesService


def sdk_client(stand: Stand, key: str = TRADER) -> Sdk:
    options = (
        ClientOptionBuilder()
        .set_key(key)
        .set_secret(SECRET)
        .set_passphrase(PASSPHRASE)
        .set_spot_endpoint(stand.spot_url)
        .set_futures_endpoint(stand.futures_url)
        .set_broker_endpoint(stand.spot_url)
        .set_transport_option(TransportOptionBuilder().set_keep_alive(False).build())
        .build()
    )
    rest = DefaultClient(options).rest_service()
    return Sdk(rest.get_account_service(), rest.get_spot_service(), rest.get_futures_service())
