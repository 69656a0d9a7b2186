import subprocess
import sys
from random import Random

import pytest

from backfuturectl.exchanges import ccxt_adapter, transport
from backfuturectl.exchanges.budget import Priority
from backfuturectl.exchanges.catalog import CATALOG, catalog_entry
from backfuturectl.exchanges.ccxt_adapter import Endpoint, KeyMaterial
from backfuturectl.exchanges.factory import open_account, open_public
from backfuturectl.model.errors import PermanentError
from backfuturectl.model.market import MarketKind
from backfuturectl.model.resources import Exchange
from backfuturectl.model.secret import Secret
from backfuturectl.model.status import Reason


@pytest.mark.parametrize(
    ("exchange", "market"), [("binance", MarketKind.SPOT), ("mexc", MarketKind.FUTURES)]
)
def test_an_unsupported_exchange_or_market_is_refused_with_what_is_supported(exchange, market):
    with pytest.raises(PermanentError) as caught:
        open_public(exchange, market, rng=Random(1))

    assert "mexc spot, kucoin spot, kucoin futures" in str(caught.value)


def test_every_row_of_the_catalog_opens_a_port_and_tells_its_rights():
    for exchange, entry in CATALOG.items():
        assert Exchange(exchange)
        for market in entry.markets:
            assert catalog_entry(exchange, market).rights_needed[market]
            assert open_public(exchange, market, rng=Random(1)).exchange == exchange


def test_a_kucoin_key_without_its_passphrase_is_refused_before_anything_is_sent():
    public = open_public("kucoin", MarketKind.SPOT, rng=Random(1))

    with pytest.raises(PermanentError) as caught:
        open_account(public, KeyMaterial(Secret("key"), Secret("secret")), now_ms=lambda: 0)

    assert caught.value.reason is Reason.INVALID_PASSPHRASE


@pytest.mark.parametrize(
    "url", ["https://api.mexc.com", "http://127.0.0.1.example.org:1", "ftp://127.0.0.1", "", "x"]
)
def test_an_endpoint_off_this_machine_is_refused(url):
    with pytest.raises(PermanentError):
        Endpoint(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8101", "http://localhost:1", "http://[::1]:1"])
def test_an_endpoint_on_this_machine_is_taken(url):
    assert Endpoint(url).url == url


@pytest.mark.parametrize("module", ["catalog", "factory", "probe"])
def test_ccxt_is_not_imported_before_a_port_is_opened(module):
    code = f"import sys, backfuturectl.exchanges.{module}; sys.exit('ccxt' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_catalog_needs_no_http_client():
    code = "import sys, backfuturectl.exchanges.catalog; sys.exit('aiohttp' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_order_may_wait_for_the_budget_and_still_be_valid_within_the_horizon():
    wait_s = transport.WAIT_MAX_S[Priority.ORDER]

    assert (wait_s + 5 + 1) * 1000 <= ccxt_adapter.HORIZON_MS
