"""What a request to MEXC is taken to weigh, beside what others count."""

import ccxt.async_support as ccxt
import pytest

from backfuturectl.exchanges import mexc_spot, mexc_spot_market
from backfuturectl.exchanges.ccxt_adapter import Route
from backfuturectl.exchanges.mexc import LIMITS

ROUTES = [
    route
    for module in (mexc_spot, mexc_spot_market)
    for route in vars(module).values()
    if isinstance(route, Route)
]


# Of the tickers ccxt counts 10 each and the documentation 2 and 1, which is kept.
@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if not route.is_price],
    ids=lambda route: f"{route.method} {route.path}",
)
def test_no_request_to_mexc_weighs_less_than_ccxt_counts(route: Route) -> None:
    host, access = route.api
    counted = ccxt.mexc().describe()["api"][host][access][route.method.lower()][route.path]["cost"]
    assert route.weights["ip"] >= counted


def test_prices_once_a_second_leave_a_third_of_mexcs_limit() -> None:
    a_second = sum(route.weights["ip"] for route in ROUTES if route.is_price)
    assert a_second <= LIMITS["ip"].per_s * 2 / 3
