"""KuCoin futures: what an account has paid and received as funding."""

from __future__ import annotations

import json
from typing import Any, Final

from backfuturectl.emulator.dialect import Call, Route
from backfuturectl.emulator.kucoin_auth import Permission, private
from backfuturectl.emulator.kucoin_positions import wire_margin_mode
from backfuturectl.emulator.kucoin_wire import (
    FOREVER_MS,
    futures_listing,
    lots,
    number,
    required,
    whole,
)
from backfuturectl.matching.values import ApiKey, Listing, VenueFunding

_ID_BASE: Final = 1_472_387_374_000_000
_PAGE: Final = 10
_PAGE_MAX: Final = 100


def funding_routes() -> tuple[Route, ...]:
    """Return the futures host's private funding endpoint."""
    path = "/api/v1/funding-history"
    return (private("GET", path, Permission.FUTURES, _history, pool="futures", weight=5),)


def _history(call: Call, key: ApiKey) -> dict[str, Any]:
    """Return payments of one contract, newest first; the page's default size is the exchange's."""
    name = required(call, call.query, "symbol")
    listing = futures_listing(call, name)
    start_ms, end_ms = whole(call, "startAt", 0), whole(call, "endAt", FOREVER_MS)
    most = min(whole(call, "maxCount", _PAGE), _PAGE_MAX)
    found = [
        one
        for one in reversed(call.venue.fundings(key.account, listing.symbol, since_ms=start_ms))
        if one.at_ms <= end_ms
    ]
    return {
        "dataList": [_row(name, listing, one) for one in found[:most]],
        "hasMore": len(found) > most,
    }


def _row(name: str, listing: Listing, one: VenueFunding) -> dict[str, Any]:
    return {
        "id": _ID_BASE + one.serial,
        "symbol": name,
        "timePoint": one.at_ms,
        "fundingRate": number(one.rate),
        "markPrice": number(one.mark_price),
        "positionQty": lots(one.amount_base, listing.market),
        "positionCost": number(one.amount_base * one.mark_price),
        "funding": number(one.payment_quote),
        "settleCurrency": listing.market.quote,
        "context": json.dumps({"marginMode": wire_margin_mode(one.margin_mode)}),
        "marginMode": wire_margin_mode(one.margin_mode),
    }
