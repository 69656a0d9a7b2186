"""Which exchanges this program trades on, and what their users must know; never imports ccxt.

Reviewed 2026-11 against each exchange's own pages. `guide`, `secret set` and error messages read
this table; what is not in it is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from backfuturectl.model.errors import PermanentError
from backfuturectl.model.market import MarketKind
from backfuturectl.model.status import Reason


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One supported exchange.

    Attributes:
        title: As the exchange writes itself.
        markets: Market kinds this program trades there.
        needs_passphrase: Whether a key has a third part, `credentials.password`.
        keys_url: Where a user creates API keys.
        docs_url: The exchange's API documentation.
        rights_needed: Boxes to tick when creating the key, per market kind.
        rights_refused: Boxes that make this program refuse the key.
        key_policy: What the exchange does to keys by itself, one sentence each.
    """

    title: str
    markets: tuple[MarketKind, ...]
    needs_passphrase: bool
    keys_url: str
    docs_url: str
    rights_needed: dict[MarketKind, tuple[str, ...]]
    rights_refused: tuple[str, ...]
    key_policy: tuple[str, ...] = ()


CATALOG: Final[dict[str, CatalogEntry]] = {
    "mexc": CatalogEntry(
        title="MEXC",
        markets=(MarketKind.SPOT,),
        needs_passphrase=False,
        keys_url="https://www.mexc.com/user/openapi",
        docs_url="https://www.mexc.com/api-docs/spot-v3/introduction",
        rights_needed={
            MarketKind.SPOT: (
                "SPOT: view account details",
                "SPOT: view order details",
                "SPOT: trade",
            )
        },
        rights_refused=("withdraw",),
        key_policy=(
            "A key without an IP list stops working 90 days after it was made or renewed.",
            "A key may be limited to chosen pairs; the strategy's pairs must be among them.",
        ),
    ),
    "kucoin": CatalogEntry(
        title="KuCoin",
        markets=(MarketKind.SPOT, MarketKind.FUTURES),
        needs_passphrase=True,
        keys_url="https://www.kucoin.com/account/api",
        docs_url="https://www.kucoin.com/docs-new/introduction",
        rights_needed={
            MarketKind.SPOT: ("General", "Spot Trading"),
            MarketKind.FUTURES: ("General", "Futures Trading"),
        },
        rights_refused=("Withdrawal (the API calls it Transfer)",),
        key_policy=(
            "A trading key without an IP list is disabled after 30 days without use.",
            "Money in the funding account cannot trade: move it to the trading account.",
        ),
    ),
}


def catalog_entry(exchange: str, market: MarketKind) -> CatalogEntry:
    """Return the row of *exchange*, which must offer *market*.

    Raises:
        PermanentError: Not supported; the message lists what is.
    """
    entry = CATALOG.get(exchange)
    if entry is None or market not in entry.markets:
        known = ", ".join(f"{name} {kind}" for name, row in CATALOG.items() for kind in row.markets)
        raise PermanentError(
            Reason.MARKET_UNAVAILABLE,
            f"exchange `{exchange}` with market `{market}` is not supported; supported: {known}",
        )
    return entry
