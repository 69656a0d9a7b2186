"""What the stand-in exchanges start with: markets, accounts, keys, prices; and their state.

A scenario is YAML or JSON. Every field has a default; the built-in scenario is the empty document.
Keys and secrets in it are made up and open nothing: an emulator's scenario is no place for real
ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from backfuturectl.emulator.dialect import Exchange
from backfuturectl.emulator.faults import Fault, FaultPlan
from backfuturectl.emulator.prices import (
    PriceFeed,
    PricePath,
    Walk,
    candle_path,
    move_price,
    random_walk,
    read_candles,
)
from backfuturectl.emulator.requests import RequestLedger
from backfuturectl.engine.clock import Clock
from backfuturectl.matching.refusals import VenueError
from backfuturectl.matching.values import (
    FUNDING_INTERVAL_MS,
    ApiKey,
    ClientIdScope,
    FeeMode,
    Listing,
    PositionMode,
    VenueRules,
    Wallet,
    symbol_of,
)
from backfuturectl.matching.venue import Venue
from backfuturectl.model.errors import ConfigurationError
from backfuturectl.model.market import ONE, ZERO, Market, MarketKind

BRANDS: Final[dict[str, VenueRules]] = {
    # KuCoin's high-frequency orders refuse a client id only while its order is open; a post-only
    # order that would take is taken and canceled at once.
    "kucoin": VenueRules(client_id_scope=ClientIdScope.ACTIVE),
    # Whether MEXC refuses duplicates is not documented; taking them is the harder case for a
    # client, which must never rely on being refused.
    "mexc": VenueRules(client_id_scope=ClientIdScope.NONE, position_mode=PositionMode.HEDGE),
}


def _exact(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise ValueError("expected a number written as text or a whole number")  # noqa: TRY004 - pydantic turns ValueError into a finding
    try:
        number = Decimal(value)
    except (InvalidOperation, TypeError) as error:
        raise ValueError("expected a number") from error
    if not number.is_finite():
        raise ValueError("expected a finite number")
    return number


Number = Annotated[Decimal, BeforeValidator(_exact)]
"""An exact number: text, a whole number, or a decimal fraction in YAML."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MarketSpec(_Model):
    """One market.

    Attributes:
        price: Where it starts.
        leverage_max, maintenance_margin, contract_size: Futures only.
        fill_max_base: Base units that trade per side and price; None for endless depth.
        volatility: Of the random walk's steps; zero leaves the price where it is.
        funding_rate: What longs pay shorts every *funding_interval_ms*, as a ratio; futures only.
    """

    exchange: str
    pair: str
    kind: MarketKind = MarketKind.SPOT
    price: Number
    price_tick: Number
    amount_step: Number
    amount_min: Number | None = None
    amount_max: Number | None = None
    cost_min: Number = ONE
    cost_max: Number | None = None
    taker_fee: Number = Decimal("0.001")
    maker_fee: Number = Decimal("0.001")
    fee_mode: FeeMode = FeeMode.QUOTE
    fee_coin: str | None = None
    contract_size: Number = ONE
    maintenance_margin: Number = ZERO
    leverage_max: int = 1
    open_orders_max: int = 500
    stop_orders_max: int = 50
    price_band: Number | None = None
    spread_ticks: Annotated[int, Field(ge=0)] = 1
    fill_max_base: Number | None = None
    volatility: Number = Decimal("0.0005")
    funding_rate: Number = ZERO
    funding_interval_ms: Annotated[int, Field(gt=0)] = FUNDING_INTERVAL_MS


class KeySpec(_Model):
    """One API key; the permissions are the exchange's own tokens."""

    key: str
    secret: str
    passphrase: str = ""
    permissions: tuple[str, ...]
    ips: tuple[str, ...] = ()
    symbols: tuple[str, ...] | None = None
    note: str = ""
    created_at_ms: int | None = None
    expires_at_ms: int | None = None


class NewAccount(_Model):
    """An account with its money and keys."""

    name: str
    funding: dict[str, Number] = {}
    spot: dict[str, Number] = {}
    futures: dict[str, Number] = {}
    keys: tuple[KeySpec, ...] = ()


class AccountSpec(NewAccount):
    """An account on one of the exchanges."""

    exchange: str


class CandleSpec(_Model):
    """Candles that drive one market's price; the path counts from the scenario file."""

    exchange: str
    symbol: str
    file: str
    walk: Walk = Walk.LOW_FIRST


class Synthetic(_Model):
    """Made-up pairs for load tests: ``L0001/USDT`` and on, on spot and, where listed, futures."""

    exchange: str
    kind: MarketKind = MarketKind.SPOT
    count: Annotated[int, Field(ge=0, le=20_000)]


class Scenario(_Model):
    """A whole scenario.

    Attributes:
        markets: None for the built-in ones.
        accounts: None for the built-in ones.
        enforce_limits: Whether callers beyond the exchanges' rate limits are refused.
        tick_s: Time between two prices of a random walk.
        moves: Whether prices walk by themselves from the start.
    """

    markets: tuple[MarketSpec, ...] | None = None
    accounts: tuple[AccountSpec, ...] | None = None
    candles: tuple[CandleSpec, ...] = ()
    synthetic: tuple[Synthetic, ...] = ()
    faults: tuple[Fault, ...] = ()
    enforce_limits: bool = False
    tick_s: Annotated[float, Field(gt=0)] = 1.0
    moves: bool = True


@dataclass(slots=True)
class Emulator:
    """All exchanges, and what is done to them.

    Attributes:
        exchanges: By brand.
    """

    exchanges: dict[str, Exchange]
    faults: FaultPlan
    feed: PriceFeed
    requests: RequestLedger = field(default_factory=RequestLedger)


def load_scenario(path: Path) -> Scenario:
    """Return the scenario in the file at *path*.

    Raises:
        ConfigurationError: It cannot be read or is not valid.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_ExactLoader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"scenario {path}: {error}") from error
    try:
        scenario = Scenario.model_validate({} if document is None else document)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        )
        raise ConfigurationError(f"scenario {path}: {problems}") from error
    # Files are named from where the scenario lies, wherever the command is run.
    candles = tuple(
        spec.model_copy(update={"file": str(path.parent / spec.file)}) for spec in scenario.candles
    )
    return scenario.model_copy(update={"candles": candles})


def build(scenario: Scenario, *, clock: Clock, seed: int = 0, speed: float = 1.0) -> Emulator:
    """Return the exchanges that *scenario* describes, prices set and moving once the feed runs.

    Raises:
        ConfigurationError: The scenario names an exchange or market that is not there, or what it
            asks for is impossible.
    """
    exchanges = {
        brand: Exchange(
            brand=brand,
            venue=Venue(brand, rules),
            clock=clock,
            enforces_limits=scenario.enforce_limits,
        )
        for brand, rules in BRANDS.items()
    }
    emulator = Emulator(exchanges, FaultPlan(seed), PriceFeed(speed))
    markets = default_markets() if scenario.markets is None else scenario.markets
    accounts = default_accounts() if scenario.accounts is None else scenario.accounts
    try:
        for market in (*markets, *_synthetic_markets(scenario.synthetic)):
            _add_market(emulator, market, scenario=scenario, seed=seed)
        for account in accounts:
            add_account(_exchange(emulator, account.exchange), account)
        for candles in scenario.candles:
            path = candle_path(read_candles(Path(candles.file)), candles.walk)
            emulator.feed.start(_exchange(emulator, candles.exchange), candles.symbol, path)
    except VenueError as error:
        raise ConfigurationError(f"scenario: {error}") from error
    for fault in scenario.faults:
        emulator.faults.add(fault)
    return emulator


def add_account(exchange: Exchange, spec: NewAccount) -> None:
    """Open an account with its money and keys; an existing one gets more of both."""
    exchange.venue.add_account(spec.name)
    for wallet, money in (
        (Wallet.FUNDING, spec.funding),
        (Wallet.SPOT, spec.spot),
        (Wallet.FUTURES, spec.futures),
    ):
        for currency, amount in money.items():
            exchange.venue.deposit(spec.name, wallet, currency, amount, exchange.now_ms())
    for key in spec.keys:
        add_key(exchange, spec.name, key)


def add_key(exchange: Exchange, account: str, spec: KeySpec) -> None:
    """Give *account* a key, or replace the one of that name."""
    created = spec.created_at_ms if spec.created_at_ms is not None else exchange.now_ms()
    exchange.venue.put_key(
        ApiKey(
            key=spec.key,
            account=account,
            secret=spec.secret,
            passphrase=spec.passphrase,
            permissions=spec.permissions,
            ips=spec.ips,
            symbols=spec.symbols,
            note=spec.note,
            created_at_ms=created,
            expires_at_ms=spec.expires_at_ms,
        )
    )


def default_markets() -> tuple[MarketSpec, ...]:
    """Return the built-in markets: large pairs on spot, three of them as futures on KuCoin."""
    spot = tuple(
        MarketSpec(
            exchange=brand,
            pair=f"{base}/USDT",
            price=Decimal(price),
            price_tick=Decimal(tick),
            amount_step=Decimal(step),
        )
        for brand in BRANDS
        for base, price, tick, step in _SPOT
    )
    futures = tuple(
        _futures_market(brand, f"{base}/USDT", price=price, tick=tick, contract=contract)
        for brand in BRANDS
        for base, price, tick, contract in _FUTURES
    )
    return (*spot, *futures)


def default_accounts() -> tuple[AccountSpec, ...]:
    """Return one funded account per exchange, its key able to read and trade and nothing else."""
    money = {"USDT": Decimal(100_000)}
    return (
        AccountSpec(
            exchange="mexc",
            name="main",
            spot=money,
            futures=money,
            keys=(
                KeySpec(
                    key="mx0vemulatorkey001",
                    secret="emulator-secret-mexc-0000000001",  # noqa: S106 - opens only this stand-in
                    permissions=(
                        "SPOT_ACCOUNT_READ",
                        "SPOT_DEAL_READ",
                        "SPOT_DEAL_WRITE",
                        "CONTRACT_ACCOUNT_READ",
                        "CONTRACT_ACCOUNT_WRITE",
                        "CONTRACT_DEAL_READ",
                        "CONTRACT_DEAL_WRITE",
                    ),
                    ips=("127.0.0.1",),
                    note="emulator",
                ),
            ),
        ),
        AccountSpec(
            exchange="kucoin",
            name="main",
            spot=money,
            futures=money,
            keys=(
                KeySpec(
                    key="0123456789abcdef01234567",
                    secret="11111111-2222-4333-8444-555555555555",  # noqa: S106 - opens only this stand-in
                    passphrase="emulator-pass",  # noqa: S106 - opens only this stand-in
                    permissions=("General", "Spot", "Futures"),
                    ips=("127.0.0.1",),
                    note="emulator",
                ),
            ),
        ),
    )


_SPOT: Final = (
    # base, price, price tick, amount step
    ("BTC", "68000", "0.01", "0.000001"),
    ("ETH", "3400", "0.01", "0.00001"),
    ("SOL", "165", "0.001", "0.001"),
    ("XRP", "0.62", "0.0001", "0.01"),
    ("ADA", "0.45", "0.0001", "0.01"),
    ("DOGE", "0.14", "0.00001", "0.1"),
    ("LTC", "82", "0.01", "0.001"),
    ("LINK", "14", "0.001", "0.01"),
    ("DOT", "6.2", "0.0001", "0.01"),
    ("AVAX", "31", "0.001", "0.01"),
)

_FUTURES: Final = (
    # base, price, price tick, base units per contract
    ("BTC", "68000", "0.1", {"kucoin": "0.001", "mexc": "0.0001"}),
    ("ETH", "3400", "0.01", {"kucoin": "0.01", "mexc": "0.01"}),
    ("SOL", "165", "0.001", {"kucoin": "0.1", "mexc": "0.1"}),
)


def _futures_market(
    brand: str, pair: str, *, price: str, tick: str, contract: dict[str, str]
) -> MarketSpec:
    size = Decimal(contract[brand])
    return MarketSpec(
        exchange=brand,
        pair=pair,
        kind=MarketKind.FUTURES,
        price=Decimal(price),
        price_tick=Decimal(tick),
        amount_step=size,
        contract_size=size,
        cost_min=ZERO,
        taker_fee=Decimal("0.0006"),
        maker_fee=Decimal("0.0002"),
        maintenance_margin=Decimal("0.005"),
        leverage_max=100,
        open_orders_max=100,
        funding_rate=Decimal("0.0001"),
    )


def _synthetic_markets(specs: tuple[Synthetic, ...]) -> tuple[MarketSpec, ...]:
    one = dict.fromkeys(BRANDS, "1")
    markets: list[MarketSpec] = []
    for spec in specs:
        if spec.exchange not in BRANDS:
            raise ConfigurationError(_unknown_exchange(spec.exchange))
        for number in range(1, spec.count + 1):
            pair = f"L{number:04d}/USDT"
            if spec.kind is MarketKind.FUTURES:
                made = _futures_market(spec.exchange, pair, price="10", tick="0.001", contract=one)
                markets.append(made.model_copy(update={"funding_rate": ZERO}))
            else:
                markets.append(
                    MarketSpec(
                        exchange=spec.exchange,
                        pair=pair,
                        price=Decimal(10),
                        price_tick=Decimal("0.0001"),
                        amount_step=Decimal("0.01"),
                    )
                )
    return tuple(markets)


def _add_market(emulator: Emulator, spec: MarketSpec, *, scenario: Scenario, seed: int) -> None:
    exchange = _exchange(emulator, spec.exchange)
    base, _, quote = spec.pair.partition("/")
    exchange.venue.add_listing(
        Listing(
            market=Market(
                exchange=spec.exchange,
                kind=spec.kind,
                pair=spec.pair,
                base=base,
                quote=quote,
                price_tick=spec.price_tick,
                amount_step=spec.amount_step,
                amount_min=spec.amount_step if spec.amount_min is None else spec.amount_min,
                amount_max=spec.amount_max,
                cost_min=spec.cost_min,
                taker_fee=spec.taker_fee,
                maker_fee=spec.maker_fee,
                contract_size=spec.contract_size,
                maintenance_margin=spec.maintenance_margin,
                leverage_max=spec.leverage_max,
                open_orders_max=spec.open_orders_max,
                stop_orders_max=spec.stop_orders_max if spec.kind is MarketKind.FUTURES else 0,
            ),
            fee_mode=spec.fee_mode,
            fee_coin=spec.fee_coin,
            fill_max_base=spec.fill_max_base,
            price_band=spec.price_band,
            spread_ticks=spec.spread_ticks,
            cost_max=spec.cost_max,
            funding_rate=spec.funding_rate,
            funding_interval_ms=spec.funding_interval_ms,
        )
    )
    symbol = symbol_of(spec.kind, spec.pair)
    if not scenario.moves or not spec.volatility:
        move_price(exchange, symbol, spec.price)
        return
    # The walk hangs on the pair alone: spot and futures, and all exchanges, see one market.
    walk = random_walk(seed=seed, symbol=spec.pair, start=spec.price, volatility=spec.volatility)
    emulator.feed.start(exchange, symbol, PricePath(walk, scenario.tick_s))


def _exchange(emulator: Emulator, brand: str) -> Exchange:
    try:
        return emulator.exchanges[brand]
    except KeyError:
        raise ConfigurationError(_unknown_exchange(brand)) from None


def _unknown_exchange(brand: str) -> str:
    return f"scenario: no exchange {brand}; there are {', '.join(BRANDS)}"


class _ExactLoader(yaml.SafeLoader):
    """Reads fractions as Decimal, digit for digit."""


def _exact_fraction(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal:
    try:
        return Decimal(loader.construct_scalar(node).replace("_", ""))
    except InvalidOperation:
        raise yaml.constructor.ConstructorError(
            None, None, "expected a decimal number", node.start_mark
        ) from None


_ExactLoader.add_constructor("tag:yaml.org,2002:float", _exact_fraction)
