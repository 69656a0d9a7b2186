"""A tiny exchange for one bot: it fills by price or by order, and lies on demand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

from backfuturectl.model.market import HUNDRED, ZERO, Market, MarketKind, round_amount
from backfuturectl.model.orders import Fee, LegKind, NewOrder, OrderStatus, OrderType, Side
from backfuturectl.model.resources import StrategySpec
from backfuturectl.strategy.averaging.kind import Averaging
from backfuturectl.strategy.averaging.state import Setup, State
from backfuturectl.strategy.base import (
    Action,
    BotIdentity,
    Cancel,
    Command,
    Commanded,
    DealClosed,
    DealOpened,
    Event,
    Gate,
    GateChanged,
    Note,
    OrderChanged,
    Place,
    PriceSeen,
)

D = Decimal
KIND = Averaging()
IDENTITY = BotIdentity(installation="ab12", bot="grid/BTC-USDT")


def market(kind: MarketKind = MarketKind.SPOT, **changes: object) -> Market:
    futures = kind is MarketKind.FUTURES
    rules = Market(
        exchange="kucoin",
        kind=kind,
        pair="BTC/USDT",
        base="BTC",
        quote="USDT",
        price_tick=D("0.01"),
        amount_step=D("0.0001"),
        amount_min=D("0.0001"),
        cost_min=D(1),
        taker_fee=D("0.0006") if futures else D("0.001"),
        maker_fee=D("0.0002") if futures else D("0.001"),
        maintenance_margin=D("0.005") if futures else D(0),
        leverage_max=100 if futures else 1,
        stop_orders_max=50 if futures else 0,
    )
    return replace(rules, **changes)


def spec(**changes: object) -> StrategySpec:
    document: dict[str, object] = {
        "connection": "main",
        "pairs": ("BTC/USDT",),
        "risk": "custom",
        "marginLimit": "1000 USDT",
        "maxActiveDeals": 1,
        "leverage": None,
        "averaging": {
            "firstDeviationPct": D(2),
            "stepScale": D(1),
            "firstSizeRatio": D(1),
            "volumeScale": D(1),
            "maxOrders": 3,
            "maxPlaced": 2,
        },
        "takeProfit": {"percent": D(1)},
        "stopLoss": {"percent": D(10)},
        "recovery": {"enabled": False},
        "baseOrder": "100 USDT",
    }
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            document[key] = {**document[key], **value}
        else:
            document[key] = value
    return StrategySpec.model_validate({k: v for k, v in document.items() if v is not None})


def setup(
    kind: MarketKind = MarketKind.SPOT, rules: Market | None = None, **changes: object
) -> Setup:
    if kind is MarketKind.FUTURES:
        changes.setdefault("leverage", 2)
    return KIND.setup(spec(**changes), rules or market(kind), IDENTITY)


@dataclass
class Resting:
    order: NewOrder
    status: OrderStatus
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fees: dict[str, Decimal] = field(default_factory=dict)

    @property
    def left(self) -> Decimal:
        return self.order.amount_base - self.filled

    def is_waiting(self, price: Decimal) -> bool:
        """Whether it is a stop that *price* does not set off."""
        trigger = self.order.trigger_price
        if trigger is None or self.filled:
            return False
        return price > trigger if self.order.side is Side.SELL else price < trigger


@dataclass
class Venue:
    """Drives one bot.

    Attributes:
        fee_in: In which coin entries are charged: quote, base or another.
        doubts_quiet: Whether each price is also looked at in full, which must change nothing.
    """

    state: State
    fee_in: str = "USDT"
    doubts_quiet: bool = False
    now_ms: int = 1_000
    price: Decimal = HUNDRED
    orders: dict[str, Resting] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    sent: list[Place] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    checks: list = field(default_factory=list)

    @classmethod
    def start(cls, with_setup: Setup, **given: object) -> Venue:
        venue = cls(KIND.initial(with_setup), **given)
        venue.gate(Gate.OPEN)
        return venue

    # Telling the bot.

    def tell(self, event: Event) -> tuple[Action, ...]:
        step = KIND.step(self.state, event)
        if self.doubts_quiet and isinstance(event, PriceSeen):
            looked = KIND.step(replace(self.state, quiet=None), event)
            assert (looked.state, looked.actions) == (step.state, step.actions)
        self.state = step.state
        self.events.append(event)
        self.actions += step.actions
        for action in step.actions:
            if isinstance(action, Place):
                self._take(action)
            elif isinstance(action, Cancel):
                assert action.client_order_id in self.orders, "only its own orders are canceled"
        for check in self.checks:
            check(self)
        return step.actions

    def gate(self, gate: Gate) -> tuple[Action, ...]:
        return self.tell(GateChanged(gate, "test", self.now_ms))

    def command(self, command: Command) -> tuple[Action, ...]:
        return self.tell(Commanded(command, self.now_ms))

    def tick(
        self,
        price: object = None,
        *,
        after_ms: int = 1_000,
        may_open: bool = True,
        bid: object = None,
        ask: object = None,
    ):
        """Move the price, fill what it crosses, then tell the bot."""
        self.now_ms += after_ms
        if price is not None:
            self.price = D(str(price))
        book = (None if side is None else D(str(side)) for side in (bid, ask))
        return self.tell(PriceSeen(self.price, self.now_ms, may_open, *book))

    def report(self, client_order_id: str) -> tuple[Action, ...]:
        """Tell the bot how one order stands; of one not yet sent, no exchange tells anything."""
        if self.orders[client_order_id].status is OrderStatus.INTENDED:
            return ()
        return self.tell(self.view(client_order_id))

    def view(self, client_order_id: str) -> OrderChanged:
        order = self.orders[client_order_id]
        return OrderChanged(
            client_order_id,
            order.status,
            order.filled,
            order.cost,
            tuple(Fee(coin, amount) for coin, amount in sorted(order.fees.items())),
            self.now_ms,
        )

    # What the exchange does.

    def _take(self, action: Place) -> None:
        order = action.order
        assert order.client_order_id not in self.orders, "a client id is used once"
        assert len(order.client_order_id) == 23
        self.sent.append(action)
        self.orders[order.client_order_id] = Resting(order, OrderStatus.INTENDED)

    def accept(self, client_order_id: str) -> None:
        """Put an order on the book; one that crosses the price fills at it."""
        resting = self.orders[client_order_id]
        if resting.status not in {OrderStatus.INTENDED, OrderStatus.UNKNOWN}:
            return
        resting.status = OrderStatus.OPEN
        if resting.order.type is OrderType.MARKET and not resting.is_waiting(self.price):
            self.fill(client_order_id, at=self.price)

    def reject(self, client_order_id: str, status: OrderStatus = OrderStatus.REJECTED) -> None:
        self.orders[client_order_id].status = status

    def fill(self, client_order_id: str, amount: Decimal | None = None, at: Decimal | None = None):
        resting = self.orders[client_order_id]
        assert not resting.status.is_final
        part = min(resting.left if amount is None else amount, resting.left)
        order = resting.order
        if order.is_reduce_only:
            sign = 1 if order.side is Side.SELL else -1
            held = max(sign * self.held(), ZERO)
            if part > held:  # what there is nothing left for ends at once
                part = held
                resting.status = OrderStatus.CANCELED
        if part <= 0:
            return
        price = order.price if at is None else at
        resting.filled += part
        resting.cost += part * price
        coin = self.fee_in if order.side is Side.BUY else "USDT"
        value = part if coin == "BTC" else part * price
        if coin == "KCS":
            value /= 10
        resting.fees[coin] = resting.fees.get(coin, D(0)) + value * D("0.001")
        if not resting.left:
            resting.status = OrderStatus.FILLED

    def cancel(self, client_order_id: str) -> None:
        if not self.orders[client_order_id].status.is_final:
            self.orders[client_order_id].status = OrderStatus.CANCELED

    # Doing what a good exchange does at once.

    def settle(self) -> None:
        """Take every order and every cancel, and report, until nothing changes."""
        for _ in range(100):
            told = self._told()
            busy = False
            for client_order_id in list(self.orders):
                if self.orders[client_order_id].status is OrderStatus.INTENDED:
                    self.accept(client_order_id)
                    busy = True
                known = told.get(client_order_id)
                if known is not None and known.cancels:
                    self.cancel(client_order_id)
                    busy = True
                if self._is_news(client_order_id):
                    self.report(client_order_id)
                    busy = True
            if not busy:
                return
        raise AssertionError("the bot never comes to rest")

    def _is_news(self, client_order_id: str) -> bool:
        deal = self.state.deal
        known = deal.named(client_order_id) if deal is not None else None
        order = self.orders[client_order_id]
        return known is not None and (known.status, known.filled_base) != (
            order.status,
            order.filled,
        )

    def _told(self):
        deal = self.state.deal
        if deal is None:
            return {}
        return {order.client_order_id: order for order in deal.orders if order.may_rest}

    def match(self) -> None:
        """Fill every resting order that the price has reached, stops last and at the price."""
        for client_order_id, resting in sorted(
            self.orders.items(), key=lambda item: item[1].order.trigger_price is not None
        ):
            order = resting.order
            if order.trigger_price is not None:
                if resting.status is OrderStatus.OPEN and not resting.is_waiting(self.price):
                    self.fill(client_order_id, at=self.price)
                continue
            is_reached = (
                self.price <= order.price if order.side is Side.BUY else self.price >= order.price
            )
            if resting.status is OrderStatus.OPEN and is_reached:
                self.fill(client_order_id)

    def run(self, *prices: object, after_ms: int = 1_000) -> None:
        """Let an honest exchange and the bot follow *prices*."""
        for price in prices:
            self.tick(price, after_ms=after_ms)
            self.settle()
            self.match()
            self.settle()

    # Looking.

    def live(self, kind: LegKind) -> list[Resting]:
        return [
            self.orders[place.order.client_order_id]
            for place in self.sent
            if place.leg.kind is kind
            and self.orders[place.order.client_order_id].status is OrderStatus.OPEN
        ]

    def last(self, kind: LegKind) -> Place:
        return [place for place in self.sent if place.leg.kind is kind][-1]

    def notes(self) -> list[str]:
        return [action.reason for action in self.actions if isinstance(action, Note)]

    def message(self, reason: str) -> str:
        found = (action for action in self.actions if isinstance(action, Note))
        return next(note.message for note in found if note.reason == reason)

    def closed(self) -> list[DealClosed]:
        return [action for action in self.actions if isinstance(action, DealClosed)]

    def opened(self) -> list[DealOpened]:
        return [action for action in self.actions if isinstance(action, DealOpened)]

    def held(self) -> Decimal:
        """The account's position by the exchange's own books; short is negative."""
        total = D(0)
        for resting in self.orders.values():
            sign = 1 if resting.order.side is Side.BUY else -1
            total += sign * resting.filled
            if self.state.setup.market.kind is MarketKind.SPOT:
                total -= resting.fees.get("BTC", D(0))
        return total

    def cash(self) -> Decimal:
        total = D(0)
        for resting in self.orders.values():
            sign = -1 if resting.order.side is Side.BUY else 1
            total += sign * resting.cost - resting.fees.get("USDT", D(0))
        return total

    def phase(self) -> str:
        return KIND.view(self.state).state

    def is_flat(self) -> bool:
        return round_amount(abs(self.held()), self.state.setup.market) == 0
