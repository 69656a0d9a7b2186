import pytest
from pydantic import ValidationError

from backfuturectl.model.resources import Strategy

BASE = {
    "apiVersion": "backfuture.ai/v1alpha1",
    "kind": "Strategy",
    "metadata": {"name": "coins"},
}


def strategy(**spec):
    spec = {"connection": "mexc-spot", "pairs": ["BTC/USDT"], **spec}
    return Strategy.model_validate({**BASE, "spec": spec})


@pytest.mark.parametrize(
    "spec",
    [
        {"leverage": "3"},
        {"leverage": True},
        {"leverage": 3.0},
        {"recovery": {"enabled": 1}},
        {"recovery": {"enabled": "true"}},
        {"averaging": {"stepScale": "1.3"}},
        {"averaging": {"step_scale": 2}},
        {"pairs": "BTC/USDT"},
        {"pairs": ["btc/usdt"]},
        {"state": "Running"},
    ],
)
def test_nothing_is_taken_for_what_it_is_not(spec):
    with pytest.raises(ValidationError):
        strategy(**spec)


def test_what_a_preset_may_fill_is_none_until_written():
    spec = strategy().spec
    assert spec.leverage is spec.margin_limit is spec.averaging.step_scale is None


def test_a_resource_cannot_be_changed():
    with pytest.raises(ValidationError):
        strategy().spec.mode = "paper"
