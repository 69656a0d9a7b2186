"""MEXC futures behind a key, orders apart: assets, positions, settings.

Positions are one-way: an account in hedge mode, which is the exchange's default, gets its orders
refused here until it changes the mode.

Source: the exchange's contract API v1, "Account and trading endpoints".
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from backfuturectl.emulator.dialect import Reply, Route
from backfuturectl.emulator.mexc_auth import KeyedCall, keyed
from backfuturectl.emulator.mexc_contract_terms import (
    MARGIN_NUMBERS,
    known_listing,
    margin_mode,
    wanted_listing,
)
from backfuturectl.emulator.mexc_values import Symbols, symbol_id_of
from backfuturectl.emulator.mexc_wire import succeeded
from backfuturectl.matching.refusals import Refusal, VenueError
from backfuturectl.matching.values import FuturesOverview, PositionMode, VenuePosition, Wallet
from backfuturectl.model.market import ZERO

_POSITION_MODES: Final = {1: PositionMode.HEDGE, 2: PositionMode.ONE_WAY}


class MexcContractAccount:
    """The endpoints under ``/api/v1/private``."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols
        self.routes = self._routes()

    def _routes(self) -> tuple[Route, ...]:
        root = "/api/v1/private"
        read, write = "CONTRACT_ACCOUNT_READ", "CONTRACT_ACCOUNT_WRITE"
        return (
            Route("GET", f"{root}/account/assets", keyed(_assets, read), "account"),
            Route("GET", f"{root}/account/asset/{{currency}}", keyed(_asset, read), "account"),
            Route(
                "GET", f"{root}/position/open_positions", keyed(self._positions, read), "account"
            ),
            Route("GET", f"{root}/position/leverage", keyed(self._leverage, read), "account"),
            Route("GET", f"{root}/position/position_mode", keyed(_position_mode, read), "account"),
            Route(
                "POST",
                f"{root}/position/change_position_mode",
                keyed(_change_position_mode, write),
                "account",
            ),
            Route(
                "POST",
                f"{root}/position/change_leverage",
                keyed(self._change_leverage, write),
                "account",
            ),
        )

    def _positions(self, keyed: KeyedCall) -> Reply:
        wanted = wanted_listing(self._symbols, keyed)
        return succeeded(
            [
                _position_row(keyed, position)
                for position in keyed.call.venue.positions(keyed.account)
                if wanted is None or position.symbol == wanted.symbol
            ]
        )

    def _leverage(self, keyed: KeyedCall) -> Reply:
        listing = known_listing(self._symbols, keyed.parameters.get("symbol", ""))
        setting = keyed.call.venue.setting(keyed.account, listing.symbol)
        market = listing.market
        return succeeded(
            [
                {
                    "level": 1,
                    "maxVol": 1_000_000,
                    "mmr": market.maintenance_margin,
                    "imr": 1 / Decimal(market.leverage_max),
                    "positionType": position_type,
                    "openType": MARGIN_NUMBERS[setting.margin_mode],
                    "leverage": setting.leverage,
                    "limitBySys": False,
                    "currentMmr": market.maintenance_margin,
                }
                for position_type in (1, 2)
            ]
        )

    def _change_leverage(self, keyed: KeyedCall) -> Reply:
        """Set leverage by position id, or by symbol and margin mode; both sides share it."""
        venue, call = keyed.call.venue, keyed.call
        leverage = int(keyed.parameters["leverage"])
        if "positionId" in keyed.parameters:
            position = _position_of(keyed, int(keyed.parameters["positionId"]))
            venue.set_leverage(keyed.account, position.symbol, leverage, call.at_ms)
            return Reply({"success": True, "code": 0})
        listing = known_listing(self._symbols, str(keyed.parameters.get("symbol", "")))
        mode = margin_mode(keyed.parameters)
        venue.set_margin_mode(keyed.account, listing.symbol, mode)
        venue.set_leverage(keyed.account, listing.symbol, leverage, call.at_ms)
        return Reply({"success": True, "code": 0})


def _assets(keyed: KeyedCall) -> Reply:
    venue, account = keyed.call.venue, keyed.account
    return succeeded(
        [
            _asset_row(venue.overview(account, currency))
            for currency in venue.balances(account, Wallet.FUTURES)
        ]
    )


def _asset(keyed: KeyedCall) -> Reply:
    currency = keyed.call.path_params["currency"]
    return succeeded(_asset_row(keyed.call.venue.overview(keyed.account, currency)))


def _asset_row(overview: FuturesOverview) -> dict[str, Any]:
    available = max(overview.available_quote, ZERO)
    return {
        "currency": overview.currency,
        "positionMargin": overview.position_margin_quote,
        "frozenBalance": overview.order_margin_quote,
        "availableBalance": available,
        "cashBalance": overview.wallet_quote,
        "equity": overview.equity_quote,
        "unrealized": overview.unrealised_quote,
        "bonus": 0,
    }


def _position_mode(keyed: KeyedCall) -> Reply:
    mode = keyed.call.venue.position_mode(keyed.account)
    return succeeded(next(number for number, one in _POSITION_MODES.items() if one is mode))


def _change_position_mode(keyed: KeyedCall) -> Reply:
    mode = _POSITION_MODES[int(keyed.parameters["positionMode"])]
    keyed.call.venue.set_position_mode(keyed.account, mode)
    return Reply({"success": True, "code": 0})


def _position_id(keyed: KeyedCall, symbol: str) -> int:
    """Return a number that stays the same for one account and market."""
    place = list(keyed.call.venue.listings).index(symbol)
    return 1_000_000 * keyed.call.venue.account_number(keyed.account) + place


def _position_of(keyed: KeyedCall, number: int) -> VenuePosition:
    for position in keyed.call.venue.positions(keyed.account):
        if _position_id(keyed, position.symbol) == number:
            return position
    raise VenueError(Refusal.REDUCE_ONLY_REJECTED, "there is no such position")


def _position_row(keyed: KeyedCall, position: VenuePosition) -> dict[str, Any]:
    listing = keyed.call.venue.listing(position.symbol)
    contracts = abs(position.amount_base) / listing.market.contract_size
    return {
        "positionId": _position_id(keyed, position.symbol),
        "symbol": symbol_id_of(listing),
        "positionType": 1 if position.amount_base > 0 else 2,
        "openType": MARGIN_NUMBERS[position.margin_mode],
        "state": 1,
        "holdVol": contracts,
        "frozenVol": 0,
        "closeVol": 0,
        "holdAvgPrice": position.entry_price,
        "openAvgPrice": position.entry_price,
        "closeAvgPrice": 0,
        "liquidatePrice": position.liquidation_price or ZERO,
        "oim": position.margin_quote,
        "im": position.margin_quote,
        "holdFee": 0,
        "realised": position.realised_quote,
        "leverage": position.leverage,
        "createTime": position.opened_at_ms,
        "updateTime": position.opened_at_ms,
        "autoAddIm": False,
        "unRealizedPnl": position.unrealised_quote,
    }
