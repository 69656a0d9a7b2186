"""Why no stop rests on spot: what the exchanges' own clients know of such orders.

Should one of these fail after an upgrade, the reasons in docs/operations.md are to be read again.
"""

import ccxt.async_support as ccxt
import pytest

from tests.contract.kucoin.kucoin_sdk import futures_models, spot_models

# The SDK reads model fields off instances, which pydantic 2.11 deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Accessing the 'model_fields' attribute:pydantic.PydanticDeprecatedSince211"
)


def fields(model) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_a_stop_of_kucoin_spot_cannot_only_reduce_as_one_of_its_futures_can():
    assert "reduceOnly" in fields(futures_models.AddOrderReq)
    assert {"reduceOnly", "closeOrder"}.isdisjoint(fields(spot_models.AddStopOrderReq))


def test_a_pair_of_kucoin_spot_has_one_target_and_a_stop_with_a_limit():
    assert fields(spot_models.AddOcoOrderReq) == {
        "clientOid",
        "side",
        "symbol",
        "remark",
        "price",
        "size",
        "stopPrice",
        "limitPrice",
        "tradeType",
    }


def test_mexc_spot_has_no_stop():
    spot = ccxt.mexc().features["spot"]["createOrder"]
    assert not any(spot[name] for name in ("triggerPrice", "stopLossPrice", "stopLoss"))
