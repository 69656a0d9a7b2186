"""Rows of what an open deal waits for, as the status API shows them.

Field names are part of the public interface. Decimals are text; times are milliseconds.
"""

from __future__ import annotations

from decimal import Decimal

from backfuturectl.daemon.history import Row, rounded, text
from backfuturectl.model.market import HUNDRED
from backfuturectl.strategy.outlook import Outlook, RungOutlook


def outlook_rows(found: Outlook | None, *, liquidation: Decimal | None) -> Row:
    """Return ladder and exits; nothing where no deal is open.

    Args:
        found: What the bot says of its deal.
        liquidation: As the exchange shows it; None on spot.
    """
    if found is None:
        return {}
    exits: list[tuple[str, Decimal, Decimal | None, str]] = [
        (each.name, each.price, each.amount_base, each.how) for each in found.exits
    ]
    if liquidation is not None:
        exits.append(("liquidation", liquidation, None, "by the exchange, as it shows it"))
    return {
        "price": text(found.price),
        "adding": found.adding,
        "ladder": [_rung(each, found.price) for each in found.rungs],
        "exits": [
            {
                "name": name,
                "price": rounded(price),
                "amount": text(amount),
                "awayPct": _away(price, found.price),
                "how": how,
            }
            for name, price, amount, how in exits
        ],
    }


def _rung(rung: RungOutlook, price: Decimal | None) -> Row:
    is_ahead = rung.average is not None
    return {
        "number": rung.number,
        "state": str(rung.state),
        "price": rounded(rung.price),
        "amount": text(rung.amount_base),
        "awayPct": _away(rung.price, price) if is_ahead else None,
        "averageAfter": rounded(rung.average),
    }


def _away(level: Decimal, price: Decimal | None) -> str | None:
    """Return how far *level* is from the last price, percent of it; negative is below."""
    return rounded(HUNDRED * (level - price) / price) if price else None
