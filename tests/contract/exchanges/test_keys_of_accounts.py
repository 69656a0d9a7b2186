"""Keys that are swapped between accounts of one exchange, through the adapters, over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest

from backfuturectl.emulator.scenario import KeySpec, NewAccount, add_account
from backfuturectl.engine.clock import WallClock
from backfuturectl.exchanges.ccxt_adapter import KeyMaterial
from backfuturectl.exchanges.factory import open_account
from backfuturectl.exchanges.port import AccountPort, KeyRights
from backfuturectl.matching.values import VenueOrder
from backfuturectl.model.market import MarketKind
from backfuturectl.model.orders import OrderStatus
from backfuturectl.model.status import Reason
from backfuturectl.reconcile.hub import Opened, Where
from backfuturectl.strategy.base import Gate
from tests.shell.reconcile.town import Town, connection, strategy

from .conftest import KEY, MONEY, NAME, PASSPHRASE, RIGHTS, SECRET, Stand, material, now_ms

D = Decimal
OTHER, SUB = "other", f"{NAME}/robot"
KEY_OF = {OTHER: "mx0votherkey0001", SUB: "mx0vrobotkey0001"}
SECOND = "mx0vsecondkey001"
"""Another key of the first account."""

GRID = "grid/BTC-USDT"
PATIENCE_S = 30.0


def open_accounts(stand: Stand) -> None:
    """Open two more accounts, which have money and coins as the first one has."""
    for name in (OTHER, SUB):
        add_account(
            stand.emulator.exchanges[stand.brand],
            NewAccount(
                name=name,
                spot=MONEY,
                futures={"USDT": D(100_000)},
                keys=(key_spec(stand, KEY_OF[name]),),
            ),
        )
    stand.give_key(SECOND, *RIGHTS[stand.brand])


def key_spec(stand: Stand, key: str) -> KeySpec:
    rights = RIGHTS[stand.brand]
    return KeySpec(key=key, secret=SECRET, passphrase=PASSPHRASE, permissions=rights)


async def test_keys_tell_whose_they_are(stand: Stand):
    open_accounts(stand)

    told = {
        key: (await stand.connect(key).rights()).account_id for key in (SECOND, *KEY_OF.values())
    }

    first = (await stand.account.rights()).account_id
    assert first
    assert told[SECOND] == first
    assert all(told.values())
    assert len(set(told.values())) == 3


@dataclass
class WiredTown(Town):
    """A control loop on a stand-in exchange over HTTP, in real time.

    Attributes:
        keys: Which key a Connection document has, by its text.
        untold: Keys of which the exchange tells no account.
    """

    stand: Stand = field(kw_only=True)
    keys: dict[str, str] = field(default_factory=dict)

    def open(self, where: Where) -> Opened:
        def account(key: KeyMaterial) -> AccountPort:
            digest = key.api_key.reveal().partition(" ")[2]
            name = self.keys[digest]
            made = open_account(self.stand.public, material(name), now_ms=now_ms)
            if name in self.untold:
                made.rights = untold(made.rights)  # type: ignore[method-assign]
            return made

        return Opened(self.stand.public, account)

    def use_key(self, name: str) -> None:
        """Write the Connection with the key of that name."""
        text = connection(key=name)
        text = text.replace("exchange: kucoin", f"exchange: {self.stand.brand}")
        text = text.replace("market: spot", f"market: {self.stand.kind}")
        if self.stand.brand == "mexc":  # whose keys have none
            text = "".join(
                line for line in text.splitlines(keepends=True) if "password: " not in line
            )
        self.keys[hashlib.sha256(text.encode()).hexdigest()] = name
        self.write(main=text)
        if self.controller is not None:
            self.controller.look_soon()

    def orders(self, account: str = NAME) -> tuple[VenueOrder, ...]:
        return self.stand.venue.orders(account)

    def check(self) -> None:
        """Nothing to look at all the time."""

    async def until(self, what: Callable[[], object], within_s: float = PATIENCE_S) -> None:
        await super().until(what, within_s)


def untold(rights: Callable[[], object]) -> Callable[[], object]:
    async def without_account() -> KeyRights:
        return replace(await rights(), account_id=None)

    return without_account


@pytest.fixture
def town(stand: Stand, tmp_path: Path) -> WiredTown:
    made = WiredTown(tmp_path, stand.venue, stand=stand, daemon_clock=WallClock())
    made.root.mkdir()
    is_futures = stand.kind is MarketKind.FUTURES
    made.write(grid=strategy(extra="leverage: 2" if is_futures else ""))
    open_accounts(stand)
    stand.set_price("1000")
    made.use_key(SECOND)
    return made


def resting(orders: Collection[VenueOrder]) -> set[int]:
    return {order.serial for order in orders if order.is_open}


async def in_deal(town: WiredTown) -> None:
    await town.until(
        lambda: (
            GRID in town.bots
            and town.bot().gate[0] is Gate.OPEN
            and len(resting(town.orders())) >= 3
        )
    )
    await town.until(lambda: town.bot().view().open_orders >= 3)


@pytest.mark.parametrize("account", [OTHER, SUB])
async def test_a_deal_waits_for_a_key_of_its_account(town: WiredTown, account: str):
    async with town.daemon():
        await in_deal(town)
        orders = town.orders()
        town.use_key(KEY_OF[account])
        await town.until(lambda: GRID in town.bots and bool(town.bot().away))
        assert town.bot().gate[0] is Gate.SHUT
        await town.until(lambda: town.reason("grid") is Reason.ACCOUNT_CHANGED)
        assert town.orders() == orders
    before = len(town.stand.routes())
    async with town.daemon():
        await town.until(lambda: GRID in town.bots and bool(town.bot().away))
        town.stand.set_price("890")  # at the stop, whose coins the other account has as well
        await asyncio.sleep(2.5)
        assert town.orders(account) == ()
        sent = [
            route
            for route in town.stand.routes()[before:]
            if not route.startswith("GET") and "test" not in route
        ]
        assert sent == []
        town.stand.set_price("1000")
        town.use_key(SECOND)
        await town.until(lambda: not town.bot().away and town.bot().gate[0] is Gate.OPEN)
        town.stand.set_price("1030")
        await town.until(lambda: town.bot().view().deal_number != 1)
        ids = [order.client_id for order in town.orders()]
        assert len(ids) == len(set(ids))
        assert town.orders(account) == ()


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "not told this time"])
async def test_a_key_of_the_same_account_goes_on_with_the_deal(town: WiredTown, *, is_told: bool):
    new = KEY
    if not is_told:
        town.untold.add(new)
    async with town.daemon():
        await in_deal(town)
        old = town.bot()
        town.use_key(new)
        await town.until(lambda: GRID in town.bots and town.bot() is not old)
        await town.until(lambda: town.bot().gate[0] is Gate.OPEN)
        assert bool(town.bot().account_id) is is_told
        town.stand.set_price("1030")
        await town.until(lambda: town.bot().view().deal_number != 1)
        filled = [o for o in town.orders() if o.status is OrderStatus.FILLED]
        assert len(filled) >= 2
        assert town.store is not None
        events = [stored.event.reason for stored in await town.store.events()]
        assert "AccountChanged" not in events
