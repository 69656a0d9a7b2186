"""MEXC spot over HTTP: keys, account, orders; the public data is in `mexc_market`.

Errors are ``{"code": ..., "msg": ...}``, nearly always with HTTP 400. What the exchange does in
cases marked UNVERIFIED is known from no primary source.

Source: the exchange's spot API v3, "Spot Account/Trade" and "Wallet Endpoints".
"""

from __future__ import annotations

from backfuturectl.emulator.dialect import Call, Exchange, Pool, Reply, Route
from backfuturectl.emulator.mexc_auth import SignedCall, signed, spot_parameters
from backfuturectl.emulator.mexc_gateway import Offenders, gateway_reply, maintenance_reply
from backfuturectl.emulator.mexc_market import MexcMarketData
from backfuturectl.emulator.mexc_spot_account import (
    account,
    change_key,
    currency_row,
    key_info,
    kyc,
    refuse_withdrawal,
    uid,
)
from backfuturectl.emulator.mexc_spot_orders import MexcSpotOrders, cancel_all, may_trade
from backfuturectl.emulator.mexc_values import Symbols, iso_time, symbol_id_of
from backfuturectl.emulator.mexc_wire import spot_error
from backfuturectl.matching.refusals import VenueError
from backfuturectl.model.market import MarketKind


class MexcSpot:
    """The exchange's ``/api/v3``."""

    host = "mexc"
    prefix = "/api/v3"

    def __init__(self, exchange: Exchange) -> None:
        self._symbols = Symbols(exchange.venue, MarketKind.SPOT)
        self._orders = MexcSpotOrders(self._symbols)
        self._offenders = Offenders()
        self.pools = {
            "ip": Pool(limit=300, window_s=10, is_per_key=False),
            "uid": Pool(limit=500, window_s=10),
            "order": Pool(limit=120, window_s=10),
        }
        routes = (*MexcMarketData(self._symbols).routes, *self._signed_routes())
        self.routes = tuple(self._offenders.keep_out(route) for route in routes)

    def _signed_routes(self) -> tuple[Route, ...]:
        read, deal_read, deal = "SPOT_ACCOUNT_READ", "SPOT_DEAL_READ", "SPOT_DEAL_WRITE"
        orders = self._orders
        return (
            # Which right the key endpoints need is UNVERIFIED; they answer any valid key.
            Route("GET", "/api/v3/apiKeyInfo", signed(key_info, None), "uid"),
            Route("POST", "/api/v3/apiKeyInfo", signed(change_key, None), "uid"),
            Route("GET", "/api/v3/uid", signed(uid, read), "uid"),
            Route("GET", "/api/v3/kyc/status", signed(kyc, read), "uid"),
            Route("GET", "/api/v3/selfSymbols", signed(self._self_symbols, read), "uid"),
            Route("GET", "/api/v3/account", signed(account, read), "uid", 10),
            Route("GET", "/api/v3/tradeFee", signed(self._trade_fee, read), "uid", 20),
            Route("GET", "/api/v3/myTrades", signed(orders.fills, read), "uid", 10),
            Route("GET", "/api/v3/order", signed(orders.order, deal_read), "uid", 2),
            Route("GET", "/api/v3/openOrders", signed(orders.open_orders, deal_read), "uid", 3),
            Route("GET", "/api/v3/allOrders", signed(orders.all_orders, deal_read), "uid", 10),
            Route("POST", "/api/v3/order", signed(orders.create, deal), "order"),
            Route("POST", "/api/v3/order/test", signed(orders.test, deal), "order"),
            Route("POST", "/api/v3/batchOrders", signed(orders.batch, deal), "order", 10),
            Route("DELETE", "/api/v3/order", signed(orders.cancel, deal), "order"),
            Route("DELETE", "/api/v3/openOrders", signed(orders.cancel_symbols, deal), "order"),
            Route("DELETE", "/api/v3/order/all", signed(cancel_all, deal), "order"),
            Route(
                "GET",
                "/api/v3/capital/config/getall",
                signed(self._currencies, "SPOT_WITHDRAW_READ"),
                "uid",
                10,
            ),
            *(
                Route(method, path, signed(refuse_withdrawal, "SPOT_WITHDRAW_WRITE"), "uid")
                for method, path in (
                    ("POST", "/api/v3/capital/withdraw"),
                    ("POST", "/api/v3/capital/withdraw/apply"),
                    ("DELETE", "/api/v3/capital/withdraw"),
                )
            ),
        )

    def key_of(self, call: Call) -> str:
        """Return the API key that the request names."""
        return call.headers.get("X-MEXC-APIKEY", "")

    def refused(self, call: Call, error: VenueError) -> Reply:
        """Return the exchange's answer to what the venue refused."""
        return self._orders.refusal(call.method, error, spot_parameters(call)).reply

    def malformed(self, call: Call, error: ValueError) -> Reply:  # noqa: ARG002 - the protocol's
        """Return the answer to a request that cannot be parsed."""
        return spot_error(700008, "Illegal characters found in parameter.").reply

    def not_found(self, call: Call) -> Reply:
        """Return the answer to a path or method that does not exist. UNVERIFIED."""
        return Reply(
            {
                "timestamp": iso_time(call.at_ms),
                "status": 404,
                "error": "Not Found",
                "path": call.path,
            },
            404,
        )

    def rate_limited(self, call: Call, retry_after_s: float) -> Reply:
        """Return 429, or 418 to a caller that goes on in spite of it."""
        return self._offenders.refuse(call, retry_after_s)

    def maintenance(self, call: Call) -> Reply:  # noqa: ARG002 - the protocol's
        """Return the exchange's answer during maintenance; its HTTP status is UNVERIFIED."""
        return maintenance_reply()

    def server_error(self, call: Call, status: int) -> Reply:  # noqa: ARG002 - the protocol's
        """Return what stands in front of the exchange sends: a page, and no JSON."""
        return gateway_reply(status)

    # Account

    def _self_symbols(self, signed: SignedCall) -> Reply:
        ids = [
            symbol_id_of(listing)
            for listing in self._symbols.all()
            if listing.market.is_active and may_trade(signed.key, listing)
        ]
        return Reply({"code": 200, "data": ids, "msg": None})

    def _trade_fee(self, signed: SignedCall) -> Reply:
        market = self._orders.listing(signed.required("symbol")).market
        return Reply(
            {
                "data": {"makerCommission": market.maker_fee, "takerCommission": market.taker_fee},
                "code": 0,
                "msg": "success",
                "timestamp": signed.call.at_ms,
            }
        )

    def _currencies(self, signed: SignedCall) -> Reply:  # noqa: ARG002 - a handler's signature
        markets = [listing.market for listing in self._symbols.all()]
        names = dict.fromkeys(name for market in markets for name in (market.base, market.quote))
        return Reply([currency_row(name) for name in names])
