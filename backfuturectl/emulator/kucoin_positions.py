"""KuCoin futures: the wallet, positions, and what an account sets per contract.

Reading these needs the futures right, unlike reading orders.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from backfuturectl.emulator.dialect import Call, Route
from backfuturectl.emulator.kucoin_account import futures_fees
from backfuturectl.emulator.kucoin_auth import Permission, private
from backfuturectl.emulator.kucoin_futures_market import RISK_LIMIT, quoted
from backfuturectl.emulator.kucoin_wire import (
    bad_parameter,
    body_of,
    decimal_of,
    futures_listing,
    futures_name,
    lots,
    number,
    required,
)
from backfuturectl.matching.values import (
    ApiKey,
    Listing,
    MarginMode,
    PositionMode,
    VenuePosition,
)
from backfuturectl.model.market import ONE, ZERO

_ID_BASE: Final = 500_000_000_000_000_000
_POSITION_MODES: Final = {"0": PositionMode.ONE_WAY, "1": PositionMode.HEDGE}


def position_routes() -> tuple[Route, ...]:
    """Return the futures host's wallet, position and setting endpoints."""

    def futures(
        method: str, path: str, answer: Callable[[Call, ApiKey], Any], weight: int
    ) -> Route:
        return private(method, path, Permission.FUTURES, answer, pool="futures", weight=weight)

    return (
        futures("GET", "/api/v1/account-overview", _overview, 5),
        private(
            "GET", "/api/v1/trade-fees", Permission.GENERAL, futures_fees, pool="futures", weight=3
        ),
        futures("GET", "/api/v1/positions", _positions, 2),
        futures("GET", "/api/v1/position", _position, 2),
        futures("GET", "/api/v2/position/getMarginMode", _margin_mode, 2),
        futures("POST", "/api/v2/position/changeMarginMode", _change_margin_mode, 2),
        futures("GET", "/api/v2/position/getPositionMode", _position_mode, 2),
        futures("POST", "/api/v2/position/switchPositionMode", _switch_position_mode, 2),
        futures("GET", "/api/v2/getCrossUserLeverage", _cross_leverage, 2),
        futures("POST", "/api/v2/changeCrossUserLeverage", _change_cross_leverage, 2),
        futures("GET", "/api/v2/getMaxOpenSize", _max_open_size, 2),
    )


def wire_margin_mode(mode: MarginMode) -> str:
    """Return ``ISOLATED`` or ``CROSS``."""
    return mode.value.upper()


def venue_margin_mode(call: Call, name: str) -> MarginMode:
    """Return the margin mode called *name*, in either case."""
    try:
        return MarginMode(name.lower())
    except ValueError as error:
        raise bad_parameter(call, "marginMode is invalid") from error


# The wallet


def _overview(call: Call, key: ApiKey) -> dict[str, Any]:
    shown = call.query.get("currency") or "XBT"
    currency = "BTC" if shown == "XBT" else shown
    overview = call.venue.overview(key.account, currency)
    maintenance = sum(
        (
            position.maintenance_quote
            for position in call.venue.positions(key.account)
            if position.margin_mode is MarginMode.CROSS
            and call.venue.listing(position.symbol).market.quote == currency
        ),
        ZERO,
    )
    equity = overview.equity_quote
    return {
        "accountEquity": number(equity),
        "unrealisedPNL": number(overview.unrealised_quote),
        "marginBalance": number(overview.wallet_quote),
        "positionMargin": number(overview.position_margin_quote),
        "orderMargin": number(overview.order_margin_quote),
        "frozenFunds": 0,
        "availableBalance": number(overview.available_quote),
        "currency": shown,
        "riskRatio": number(maintenance / equity) if equity > 0 else 0,
        "maxWithdrawAmount": number(overview.available_quote),
    }


# Positions


def _positions(call: Call, key: ApiKey) -> list[dict[str, Any]]:
    wanted = call.query.get("currency")
    return [
        _open_position(call, key, call.venue.listing(position.symbol), position)
        for position in call.venue.positions(key.account)
        if wanted in {None, "", call.venue.listing(position.symbol).market.quote}
    ]


def _position(call: Call, key: ApiKey) -> dict[str, Any]:
    listing = futures_listing(call, required(call, call.query, "symbol"))
    position = call.venue.position(key.account, listing.symbol)
    if position is None:
        return _flat_position(call, key, listing)
    return _open_position(call, key, listing, position)


def _flat_position(call: Call, key: ApiKey, listing: Listing) -> dict[str, Any]:
    setting = call.venue.setting(key.account, listing.symbol)
    quote = call.venue.quote(listing.symbol)
    zeros = (
        *("delevPercentage", "currentCost", "currentComm", "unrealisedCost", "realisedGrossCost"),
        *("realisedCost", "markValue", "posCost", "posInit", "posMargin", "realisedGrossPnl"),
        *("realisedPnl", "unrealisedPnl", "unrealisedPnlPcnt", "unrealisedRoePcnt"),
        *("avgEntryPrice", "liquidationPrice", "bankruptPrice"),
    )
    return {
        **_identity(call, key, listing, setting.margin_mode),
        "currentTimestamp": call.at_ms,
        "currentQty": 0,
        "isOpen": False,
        "markPrice": number(quote.last) if quote else 0,
        **dict.fromkeys(zeros, 0),
        "leverage": setting.leverage,
    }


def _open_position(
    call: Call, key: ApiKey, listing: Listing, position: VenuePosition
) -> dict[str, Any]:
    market = listing.market
    amount, margin = position.amount_base, position.margin_quote
    cost, value = amount * position.entry_price, amount * position.mark_price
    commission = sum(
        (
            fill.fee.amount
            for fill in call.venue.fills(
                key.account, listing.symbol, since_ms=position.opened_at_ms
            )
        ),
        ZERO,
    )
    unrealised = position.unrealised_quote
    shown = {
        **_identity(call, key, listing, position.margin_mode),
        "delevPercentage": number(Decimal("0.5")),
        "openingTimestamp": position.opened_at_ms,
        "currentTimestamp": call.at_ms,
        "currentQty": lots(amount, market),
        "currentCost": number(cost),
        "currentComm": number(commission),
        "unrealisedCost": number(cost),
        "realisedGrossCost": number(-position.realised_quote - commission),
        "realisedCost": number(-position.realised_quote),
        "isOpen": True,
        "markPrice": number(position.mark_price),
        "markValue": number(value),
        "posCost": number(cost),
        "posInit": number(abs(cost) / position.leverage),
        "posMargin": number(margin),
        "realisedGrossPnl": number(position.realised_quote + commission),
        "realisedPnl": number(position.realised_quote),
        "unrealisedPnl": number(unrealised),
        "unrealisedPnlPcnt": number(unrealised / abs(cost)),
        "unrealisedRoePcnt": number(unrealised * position.leverage / abs(cost)),
        "avgEntryPrice": number(position.entry_price),
        "liquidationPrice": number(position.liquidation_price),
        "bankruptPrice": number(max(position.entry_price - margin / amount, ZERO)),
        "leverage": position.leverage,
    }
    if position.margin_mode is MarginMode.CROSS:
        return shown
    return shown | {
        "autoDeposit": False,
        "maintMarginReq": number(market.maintenance_margin),
        "riskLimit": RISK_LIMIT,
        "realLeverage": number((abs(value) / margin).quantize(Decimal("0.01"))) if margin else 0,
        "posCross": 0,
        "posCrossMargin": 0,
        "posComm": 0,
        "posCommCommon": 0,
        "posLoss": 0,
        "posFunding": 0,
        "posMaint": number(position.maintenance_quote),
        "maintMargin": number(margin + unrealised),
        "maintainMargin": number(market.maintenance_margin),
        "riskLimitLevel": 1,
    }


def _identity(call: Call, key: ApiKey, listing: Listing, mode: MarginMode) -> dict[str, Any]:
    name = futures_name(listing.market)
    account_number = call.venue.account_number(key.account)
    return {
        "id": str(_ID_BASE + account_number * 10**9 + int.from_bytes(name.encode()) % 10**9),
        "symbol": name,
        "crossMode": mode is MarginMode.CROSS,
        "settleCurrency": listing.market.quote,
        "isInverse": False,
        "marginMode": wire_margin_mode(mode),
        "positionSide": "BOTH",
    }


# Settings


def _margin_mode(call: Call, key: ApiKey) -> dict[str, str]:
    name = required(call, call.query, "symbol")
    setting = call.venue.setting(key.account, futures_listing(call, name).symbol)
    return {"symbol": name, "marginMode": wire_margin_mode(setting.margin_mode)}


def _change_margin_mode(call: Call, key: ApiKey) -> dict[str, str]:
    body = body_of(call)
    name = required(call, body, "symbol")
    mode = venue_margin_mode(call, required(call, body, "marginMode"))
    call.venue.set_margin_mode(key.account, futures_listing(call, name).symbol, mode)
    return {"symbol": name, "marginMode": wire_margin_mode(mode)}


def _position_mode(call: Call, key: ApiKey) -> dict[str, int]:
    mode = call.venue.position_mode(key.account)
    return {"positionMode": int(mode is PositionMode.HEDGE)}


def _switch_position_mode(call: Call, key: ApiKey) -> dict[str, int]:
    mode = _POSITION_MODES.get(required(call, body_of(call), "positionMode"))
    if mode is None:
        raise bad_parameter(call, "positionMode is invalid")
    call.venue.set_position_mode(key.account, mode)
    return {"positionMode": int(mode is PositionMode.HEDGE)}


def _cross_leverage(call: Call, key: ApiKey) -> dict[str, str]:
    name = required(call, call.query, "symbol")
    setting = call.venue.setting(key.account, futures_listing(call, name).symbol)
    return {"symbol": name, "leverage": str(setting.leverage)}


def _change_cross_leverage(call: Call, key: ApiKey) -> bool:
    body = body_of(call)
    listing = futures_listing(call, required(call, body, "symbol"))
    leverage = decimal_of(call, body, "leverage")
    if leverage is None or leverage % 1:
        raise bad_parameter(call, "leverage is invalid")
    call.venue.set_leverage(key.account, listing.symbol, int(leverage), call.at_ms)
    return True


def _max_open_size(call: Call, key: ApiKey) -> dict[str, Any]:
    name = required(call, call.query, "symbol")
    listing, quote = quoted(call, name)
    market = listing.market
    price = decimal_of(call, call.query, "price") or quote.last
    leverage = decimal_of(call, call.query, "leverage") or ONE
    available = call.venue.overview(key.account, market.quote).available_quote
    margin_per_lot = price * market.contract_size * (ONE / leverage + 2 * market.taker_fee)
    most = int(available / margin_per_lot)
    return {"symbol": name, "maxBuyOpenSize": most, "maxSellOpenSize": most}
