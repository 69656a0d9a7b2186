"""What each pair of journal and exchange view means: the one table a bot is reconciled by.

A row is what the journal knows, a column what the exchange shows. At the start, after every outage
and with every look the engine finds the pair, and does what the ruling says; a pair that is in no
row is a defect, and ends the bot's task rather than being guessed at.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from backfuturectl.model.orders import OrderStatus
from backfuturectl.strategy.base import Gate, OpenOrder


class Known(enum.StrEnum):
    """What the journal knows of an order, or of what is held; the value is how people are told."""

    ACCOUNT = "the account of the open deal"
    UNANSWERED = "an order whose answer never came"
    RESTING = "an order that the exchange acknowledged"
    ENDING_STOP = "a stop that waits on the exchange and is being canceled"
    BARE = "an order that ended, with fills its list has not explained"
    ABSENT = "an order believed never to have arrived"
    ENDED = "an order that ended"
    LOST = "nothing, though the order carries this bot's id"
    SIBLING = "nothing, the order carries another bot's id"
    TWIN = "nothing, the order carries another installation's id"
    FOREIGN = "nothing, the order carries no id of this program"
    POSITION = "a futures position, or none"
    COINS = "coins bought on spot"


class Shown(enum.StrEnum):
    """What the exchange shows of it."""

    SAME = "the same"
    MORE = "more filled or another status, its fills explain it"
    UNEXPLAINED = "more filled than its fills explain, for less than 10 s"
    OVERDUE = "more filled than its fills explain, for longer"
    UNSEEN = "nothing, and it may still appear"
    GONE = "nothing, for longer than it takes to appear"
    OPEN = "open"
    FILLED = "filled, or another order under the next deal's first id"
    FORCED = "another position, and closed something of it by itself"
    OTHER = "another position, five looks in a row"
    LESS = "fewer coins, five looks in a row"
    ELSEWHERE = "another account behind the key"
    UNPROVEN = "another key, of an account that is not told, and none of the deal's orders"


class Action(enum.StrEnum):
    """What the engine does about it."""

    GO_ON = "goes on"
    LOOK_AGAIN = "looks again in a second; until then nothing is decided about it"
    BOOK = "books what is shown, with its fills"
    BELIEVE = "books the order's own figures, and goes on asking for its fills"
    BURY = "books that it never arrived; its leg may be tried under the next id"
    END = "books its end"
    HOLD = "restricts itself, tells people once, and goes on looking"
    EXPEL = "cancels it if it rests and books what it did; the deal has gone on without it"
    LEAVE = "tells people once and leaves it alone"
    TAKE = "books the exchange's own fills, cancels what rests and waits for a person"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one pair means.

    Attributes:
        gate: What the bot is left free to do while it lasts.
        note: Reason of the event that tells people; empty for none.
        because: Why this is right.
    """

    action: Action
    because: str
    gate: Gate = Gate.OPEN
    note: str = ""


RULINGS: Final[dict[tuple[Known, Shown], Ruling]] = {
    (Known.ACCOUNT, Shown.SAME): Ruling(
        Action.GO_ON, "a key may be replaced by another one of the same account"
    ),
    (Known.ACCOUNT, Shown.ELSEWHERE): Ruling(
        Action.HOLD,
        "what is held here is somebody else's, and what rests there cannot be reached",
        gate=Gate.SHUT,
        note="AccountChanged",
    ),
    (Known.ACCOUNT, Shown.UNPROVEN): Ruling(
        Action.HOLD,
        "what is held here may be somebody else's",
        gate=Gate.SHUT,
        note="AccountChanged",
    ),
    (Known.UNANSWERED, Shown.MORE): Ruling(
        Action.BOOK, "it arrived; it is never sent again under another id"
    ),
    # From the next look on it is one that the exchange acknowledged.
    (Known.UNANSWERED, Shown.UNEXPLAINED): Ruling(
        Action.LOOK_AGAIN, "lists of fills lag behind their orders"
    ),
    (Known.UNANSWERED, Shown.UNSEEN): Ruling(
        Action.LOOK_AGAIN, "an exchange may take a while to show an order"
    ),
    (Known.UNANSWERED, Shown.GONE): Ruling(
        Action.BURY, "after the exchange's horizon what is not shown never arrived"
    ),
    (Known.RESTING, Shown.SAME): Ruling(Action.GO_ON, "both agree"),
    (Known.RESTING, Shown.MORE): Ruling(Action.BOOK, "the exchange is the truth"),
    (Known.RESTING, Shown.UNEXPLAINED): Ruling(
        Action.LOOK_AGAIN, "lists of fills lag behind their orders"
    ),
    (Known.RESTING, Shown.OVERDUE): Ruling(
        Action.BELIEVE, "exits must not wait for a list that does not come"
    ),
    (Known.RESTING, Shown.UNSEEN): Ruling(
        Action.LOOK_AGAIN, "a view may lag; for two minutes it is only looked for"
    ),
    (Known.RESTING, Shown.GONE): Ruling(
        Action.HOLD,
        "what was acknowledged is never declared absent: it may fill, so nothing takes its place",
        gate=Gate.EXITS_ONLY,
        note="OrderMissing",
    ),
    (Known.ENDING_STOP, Shown.SAME): Ruling(Action.GO_ON, "both agree"),
    (Known.ENDING_STOP, Shown.MORE): Ruling(Action.BOOK, "the exchange is the truth"),
    (Known.ENDING_STOP, Shown.UNEXPLAINED): Ruling(
        Action.LOOK_AGAIN, "lists of fills lag behind their orders"
    ),
    (Known.ENDING_STOP, Shown.OVERDUE): Ruling(
        Action.BELIEVE, "exits must not wait for a list that does not come"
    ),
    (Known.ENDING_STOP, Shown.UNSEEN): Ruling(
        Action.LOOK_AGAIN, "a view may lag; for two minutes it is only looked for"
    ),
    # UNVERIFIED whether every exchange remembers a stop that never triggered.
    (Known.ENDING_STOP, Shown.GONE): Ruling(
        Action.END, "not every exchange remembers a stop that was canceled before it triggered"
    ),
    (Known.BARE, Shown.MORE): Ruling(
        Action.BOOK, "a fee in the coin that was bought takes something off what can be sold"
    ),
    (Known.BARE, Shown.UNEXPLAINED): Ruling(Action.GO_ON, "its amounts are booked already"),
    (Known.ABSENT, Shown.OPEN): Ruling(
        Action.EXPEL, "another order took its place; both must not rest", note="OrderAppeared"
    ),
    (Known.ABSENT, Shown.MORE): Ruling(
        Action.EXPEL,
        "it filled at once, or a process ended between its cancel and the booking",
        note="OrderAppeared",
    ),
    (Known.ENDED, Shown.OPEN): Ruling(Action.GO_ON, "the list is older than what is known"),
    (Known.LOST, Shown.OPEN): Ruling(
        Action.LEAVE,
        "an older state was restored: new orders would get ids that old ones have",
        gate=Gate.SHUT,
        note="LostOrder",
    ),
    (Known.LOST, Shown.FILLED): Ruling(
        Action.HOLD,
        "an older state was restored: there may be a deal that it does not know",
        gate=Gate.SHUT,
        note="PositionMismatch",
    ),
    (Known.TWIN, Shown.FILLED): Ruling(
        Action.HOLD,
        "a state was lost with all it knew: a second deal would begin beside the one it left",
        gate=Gate.SHUT,
        note="PositionMismatch",
    ),
    (Known.SIBLING, Shown.OPEN): Ruling(Action.GO_ON, "that bot's own journal answers for it"),
    (Known.TWIN, Shown.OPEN): Ruling(
        Action.LEAVE,
        "two daemons on one account would use each other's money",
        gate=Gate.EXITS_ONLY,
        note="TwinOrder",
    ),
    (Known.FOREIGN, Shown.OPEN): Ruling(
        Action.LEAVE, "what is not ours is never touched", note="ForeignOrder"
    ),
    (Known.POSITION, Shown.SAME): Ruling(Action.GO_ON, "they agree within one amount step"),
    (Known.POSITION, Shown.FORCED): Ruling(
        Action.TAKE, "the exchange liquidated or reduced it", note="Liquidated"
    ),
    (Known.POSITION, Shown.OTHER): Ruling(
        Action.HOLD,
        "somebody else traded; a contradiction is never corrected by trading",
        gate=Gate.SHUT,
        note="PositionMismatch",
    ),
    (Known.COINS, Shown.SAME): Ruling(
        Action.GO_ON, "the account holds at least that; more is the owner's own"
    ),
    (Known.COINS, Shown.LESS): Ruling(
        Action.HOLD,
        "somebody else sold them; a contradiction is never corrected by trading",
        gate=Gate.SHUT,
        note="PositionMismatch",
    ),
}
"""Every mismatch there is; a missing row is a defect."""


def known_of(order: OpenOrder, *, has_answer: bool) -> Known:
    """Return what the journal knows of an *order* that may rest.

    Args:
        order: As the bot's state has it.
        has_answer: Whether the exchange ever gave it an id of its own.
    """
    if not has_answer:
        return Known.UNANSWERED
    if order.trigger_price is not None and order.is_canceling:
        return Known.ENDING_STOP
    return Known.RESTING


def known_of_row(status: OrderStatus) -> Known:
    """Return what the journal knows of an order in its rows that the bot's state does not have."""
    return Known.ABSENT if status is OrderStatus.ABSENT else Known.ENDED
