"""What each event means that is no reason of `status`, and what a person does about it.

An event `XCleared` says that X is over and has no row of its own.
"""

from __future__ import annotations

from typing import Final

NOTHING: Final = "nothing"

HAPPENINGS: Final[dict[str, tuple[str, str]]] = {
    # event: (what it means, what to do)
    "AttemptsExhausted": (
        "an order of the deal was tried as often as a client order id can count",
        "close the deal with `backfuturectl halt --close`, and look why it was refused",
    ),
    "AuditDiffers": (
        "the exchange tells other fills of a closed deal than the journal has",
        "run `backfuturectl audit` and compare with the exchange's own history",
    ),
    "BaseOrderFilled": ("the deal is open", NOTHING),
    "ClocksAgree": ("this machine's clock and the exchange's agree again", NOTHING),
    "CloseFilled": ("the position was closed at market", NOTHING),
    "DailyLossReached": (
        "`caps.maxDailyRealisedLossPct` is reached: no new deal before the next day, UTC",
        "nothing; open deals are managed",
    ),
    "DealAbandoned": ("the deal was ended and its position left as it is", "the position is yours"),
    "DealClosed": ("the deal is flat; the message has its result", NOTHING),
    "DealTooOld": ("`caps.maxDealAge` is passed: the deal adds nothing any more", NOTHING),
    "Draining": ("no new deal begins; the open one is managed to its exit", NOTHING),
    "EditApplied": ("a new generation of the document is in force for the open deal", NOTHING),
    "Ending": ("the deal is being ended as the document's onDelete or onChange says", NOTHING),
    "EntryRefused": (
        "the exchange refused the base order; it is tried again with growing pauses",
        "see the code: balance, market rules, or the account's state",
    ),
    "ExitsExceedPosition": (
        "more was sold than was held: somebody else traded the position",
        "look at the account, then `backfuturectl resume`",
    ),
    "ForeignOrder": (
        "an order on the pair is not this program's; it is never touched",
        "let only one program trade a pair on an account",
    ),
    "Funding": ("a futures position paid or received funding; it is part of the result", NOTHING),
    "Halted": (
        "Recovery Mode gave up more often than `recovery.escalate.maxPerWindow` allows",
        "look at the strategy, then `backfuturectl resume`",
    ),
    "ImpossibleReport": (
        "the exchange tells of an order what cannot follow from what it told before",
        "look at the order at the exchange, then `backfuturectl resume`",
    ),
    "IndicatorTooOld": ("the newest candle is too old to open a deal on", "wait for new candles"),
    "LateFill": (
        "an order filled after its deal had ended",
        "settle what it left at the exchange, then `backfuturectl resume`",
    ),
    "Liquidated": (
        "the exchange itself closed the position or a part of it",
        "look at the account, then `backfuturectl resume`",
    ),
    "LiquidationNear": (
        "the exchange would liquidate nearer than the proof counted on: exits only",
        "add margin to the position, or let it leave",
    ),
    "LostOrder": ("an order in the journal is not at the exchange", NOTHING),
    "OrderAppeared": ("an order that was taken for absent is at the exchange", NOTHING),
    "OrderMissing": ("an order that should rest is not at the exchange", NOTHING),
    "OrdersLeftBehind": (
        "a deal was given up while its account was out of reach; orders of it may rest there still",
        "log in to that account and cancel them",
    ),
    "PositionTooSmall": (
        "the exchange takes no order as small as what is held",
        "nothing; the deal waits for a rung",
    ),
    "RecoveryBegan": ("the deal is in Recovery Mode; the message has every figure", NOTHING),
    "RecoveryEnded": ("the deal left Recovery Mode and goes on with its ladder", NOTHING),
    "RecoveryGaveUp": ("Recovery Mode closes the deal at market", NOTHING),
    "RecoveryWatch": ("a trigger of Recovery Mode is true and being confirmed", NOTHING),
    "RecoveryWatchEnded": ("no trigger of Recovery Mode is true any more", NOTHING),
    "ReduceBudgetSpent": ("reducing more would lose more than `reduce.lossBudgetPct`", NOTHING),
    "ReduceFilled": ("Recovery Mode sold a part of the position", NOTHING),
    "ReduceSkipped": ("the part to be sold is too small for the exchange", NOTHING),
    "RungFilled": ("an averaging order filled", NOTHING),
    "RungGivenUp": (
        "the exchange refused a rung again and again; it is left out",
        "see the codes of its orders: `backfuturectl get orders DEAL -o wide`",
    ),
    "RungSkipped": ("a rung is left out; the message says why", NOTHING),
    "RungsCapped": ("fewer rungs rest, so that `caps.maxOpenOrders` holds", NOTHING),
    "SettingsChanged": (
        "leverage, margin mode or position mode is no longer the document's: exits only",
        "set it back at the exchange",
    ),
    "SettingsRefused": (
        "the exchange does not take leverage, margin mode or position mode",
        "close what is in the way there, or set it by hand",
    ),
    "SpreadTooWide": ("bid and ask are further apart than `caps.maxSpreadPct`", NOTHING),
    "SpreadUnknown": ("bid or ask is not known, and `caps.maxSpreadPct` asks for them", NOTHING),
    "StopLossFilled": ("the stop loss sold", NOTHING),
    "StopLossReached": ("the price is beyond the stop: the deal leaves at market", NOTHING),
    "TakeProfitArmed": ("the target was touched; the price is followed from here", NOTHING),
    "TakeProfitDisarmed": ("the price jumped over the turn to where nothing is won", NOTHING),
    "TakeProfitFilled": ("the take profit, or a step of it, sold", NOTHING),
    "TakeProfitTurned": ("the price turned: the trailing take profit sells at market", NOTHING),
    "TakenOver": ("a person manages the deal", "`backfuturectl resume` gives it back"),
    "TwinOrder": ("two orders carry one client order id", "look at the account"),
}
